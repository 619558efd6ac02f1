# SPDX-License-Identifier: BSD-3-Clause
"""The forward pass that input gradients start from: what every reading of gradients shares.

Parameters are passed in by `functional_call` without requiring gradients, so that a backward pass
computes no weight gradient.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from ..training.architectures import StandardizedNetwork
from ..training.outputs import first_output
from ..training.record import TrainingRecord
from ..training.rows import Inputs
from .blocks import copied
from .states import State


class GradientSite:
    """Where a record's module is differentiated: at its input, or at the output of a submodule.

    Parameters
    ----------
    record : TrainingRecord
        The network.
    wrt : str or None
        Name of the submodule; None for the input, in the default networks after standardisation.
    """

    def __init__(self, record: TrainingRecord, wrt: str | None) -> None:
        if wrt is None and isinstance(record.module, StandardizedNetwork):
            wrt = "standardize"
        self._module = record.module
        self._wrt = wrt
        self._submodule = None if wrt is None else _submodule(self._module, wrt)
        self._shields_leaves = False

    def forward(self, state: State, inputs: Inputs) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return the outputs for a block, and the tensors at the site that they depend on.

        Parameters
        ----------
        state : dict of str to Tensor
            Weights and buffers on the device, without gradients of their own.
        inputs : Tensor or dict of str to Tensor
            The block; the module cannot write to it.

        Returns
        -------
        outputs : Tensor
            What the module returns, ready for ``torch.autograd.grad``.
        leaves : list of Tensor
            One at a submodule, one for every floating input otherwise; each (n, ...).

        Raises
        ------
        ValueError
            If there is no one site in the forward pass, or the outputs do not depend on it.
        """
        try:
            return self._forward(state, inputs)
        except RuntimeError as error:
            if self._shields_leaves or "in-place" not in str(error):
                raise
        # The module writes to what it is given, which torch forbids for leaves: pass copies on.
        self._shields_leaves = True
        return self._forward(state, inputs)

    def _forward(self, state: State, inputs: Inputs) -> tuple[torch.Tensor, list[torch.Tensor]]:
        leaves: list[torch.Tensor] = []

        def as_leaf(tensor: torch.Tensor) -> torch.Tensor:
            if not tensor.is_floating_point():
                return tensor.clone()  # the next pass reads it again
            leaf = tensor.detach().requires_grad_()
            leaves.append(leaf)
            return leaf.clone() if self._shields_leaves else leaf

        def at_site(_module: nn.Module, _args: Any, output: Any) -> torch.Tensor:
            if not isinstance(output, torch.Tensor) or not output.is_floating_point():
                raise ValueError(
                    f"wrt={self._wrt!r} returns {type(output).__name__}, not one floating tensor; "
                    "name a module that does."
                )
            return as_leaf(output)

        with torch.enable_grad(), ExitStack() as stack:
            if self._submodule is not None:
                stack.callback(self._submodule.register_forward_hook(at_site).remove)
                # No leaf, so nothing would stop the module from writing to it.
                inputs = copied(inputs)
            elif isinstance(inputs, dict):
                inputs = {name: as_leaf(tensor) for name, tensor in inputs.items()}
            else:
                inputs = as_leaf(inputs)
            args, kwargs = ((), inputs) if isinstance(inputs, dict) else ((inputs,), None)
            outputs = first_output(functional_call(self._module, state, args, kwargs))
        if self._submodule is not None and len(leaves) != 1:
            raise ValueError(
                f"wrt={self._wrt!r} is called {len(leaves)} times in a forward pass; the "
                "gradient is defined for a module that is called once."
            )
        if not leaves:
            raise ValueError(
                "The rows hold integers, which have no gradient. Name the module that embeds "
                "them, e.g. wrt='embedding', or pass floats if they are measurements."
            )
        if not outputs.requires_grad:
            raise ValueError(
                f"The output does not depend on {self._wrt or 'the input'} in a way that can "
                "be differentiated. Is there a no_grad or a detach in forward? Name a module "
                "behind it with wrt."
            )
        return outputs, leaves


def _submodule(module: nn.Module, name: str) -> nn.Module:
    found = dict(module.named_modules()).get(name) if name else None
    if found is None:
        names = [n for n, _ in module.named_modules() if n]
        raise ValueError(f"wrt={name!r} names no submodule; there are {names}.")
    return found
