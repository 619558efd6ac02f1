# SPDX-License-Identifier: BSD-3-Clause
"""The linear layers of a stack, computed as each would be by itself.

They get all members' batches and weights, either as they are or inside a ``vmap`` over the members.

`vmap` adds the bias after the product and leaves the gradient of the weights transposed, which
costs a copy of all weights in every step and rounds otherwise than a single layer does. Here the
bias goes into the product, and the gradient comes out as the weights lie in memory.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode


class SingleLayerProducts(TorchFunctionMode):
    """Computes the linear layers of stacked members; leaves other operations alone."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Return what a torch function returns."""
        if func is functional.linear and len(args) == 3 and not kwargs and args[2] is not None:
            if args[0].ndim == 2:
                return _MemberLinear.apply(*args)
            if args[0].ndim == args[1].ndim == 3:
                return _StackedLinear.apply(*args)
        return func(*args, **(kwargs or {}))


class _MemberLinear(torch.autograd.Function):
    """A linear layer that knows what it is in a stack."""

    @staticmethod
    def forward(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """Return the outputs of a plain layer."""
        return functional.linear(x, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep nothing: only stacks are differentiated."""

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *tensors: torch.Tensor) -> Any:
        """Hand the batches of all members to the stacked layer."""
        stacked = [
            t.expand(info.batch_size, *t.shape) if dim is None else t.movedim(dim, 0)
            for t, dim in zip(tensors, in_dims, strict=True)
        ]
        return _StackedLinear.apply(*stacked), 0


class _StackedLinear(torch.autograd.Function):
    """y = x W^T + b for (members, rows, inputs), (members, outputs, inputs), (members, outputs)."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor
    ) -> torch.Tensor:
        """Return the outputs of all members."""
        ctx.save_for_backward(x, weight)  # here, since a `setup_context` takes longer to call
        return torch.baddbmm(bias[:, None], x, weight.mT)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        """Return the gradients of inputs, weights and biases."""
        [gradient] = gradients
        x, weight = ctx.saved_tensors
        x_gradient = gradient.bmm(weight) if ctx.needs_input_grad[0] else None
        return x_gradient, gradient.mT.bmm(x), gradient.sum(dim=1)
