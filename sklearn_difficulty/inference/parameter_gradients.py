# SPDX-License-Identifier: BSD-3-Clause
"""GraNd: the length of each row's own gradient of the loss with respect to the parameters.

For the last linear layer it has a closed form that needs no backward pass through the network. For
all parameters the gradients of a chunk of rows are made at once by `vmap`; the chunk is as large as
scikit-learn's ``working_memory`` allows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn import get_config
from torch import nn
from torch.func import functional_call, grad_and_value, vmap

from .._progress import SILENT, Task
from ..networks.copying import copied_module
from ..networks.forward import State, call_with_state, predictions_of
from ..rows.inputs import Inputs, as_arguments, copied, map_inputs, take_rows
from ..rows.rows import Rows
from ..training.checkpoints import Checkpoint
from ..training.record import TrainingRecord
from .blocks import Block, DeviceStates, read_blocks
from .objectives import row_norms, target_function, undefined_rows

_NO_LAST_LAYER = (
    "{} has no last linear layer that is called once and leads to the output, for which the norm "
    "of the gradient has a closed form. Take that of all parameters (measure='grand_all')."
)


Norms = Callable[[State, Inputs, torch.Tensor], torch.Tensor]


def gradient_norms(
    record: TrainingRecord,
    checkpoints: Sequence[Checkpoint],
    X: Rows,
    labels: NDArray[Any] | None,
    *,
    layers: str,
    batch_size: int,
    progress: Task = SILENT,
) -> NDArray[np.float64]:
    """Return the length (n,) of parameter gradients, a mean over checkpoints; NaN if not finite."""
    loss = target_function(record, "loss")
    states = DeviceStates(record.module, checkpoints)
    norms_of_rows: Norms = (_last_layer_norms if layers == "last" else _all_parameter_norms)(
        record, loss
    )

    def reading(inputs: Inputs, block_labels: torch.Tensor | None) -> torch.Tensor:
        if block_labels is None:
            raise ValueError("The loss of a regressor needs y.")
        norms = [norms_of_rows(state, inputs, block_labels).double() for state in states]
        return torch.stack(norms).mean(dim=0)

    def keep(block: Block) -> torch.Tensor:
        return block.result[: block.n].cpu()

    norms = torch.cat(
        read_blocks(record, X, labels, reading, keep, batch_size=batch_size, progress=progress)
    ).numpy()
    norms[~np.isfinite(norms)] = np.nan
    return norms


def _last_layer_norms(record: TrainingRecord, loss: Callable[..., torch.Tensor]) -> Norms:
    """Return the reader of the norms of the last linear layer's gradients, in closed form."""
    layer: list[nn.Linear] = []  # known after the first forward pass

    def norms(state: State, inputs: Inputs, labels: torch.Tensor) -> torch.Tensor:
        if not layer:
            layer.append(_last_linear(record.module, state, inputs))
        calls: list[tuple[torch.Tensor, torch.Tensor]] = []

        def at_layer(_module: nn.Module, args: Any, kwargs: Any, output: torch.Tensor) -> Any:
            # What follows may write to both; of a leaf, torch forbids it.
            h = args[0] if args else kwargs["input"]
            leaf = output.detach().requires_grad_()
            calls.append((h.detach().clone(), leaf))
            return leaf.clone()

        with ExitStack() as stack:
            hook = layer[0].register_forward_hook(at_layer, with_kwargs=True)
            stack.callback(hook.remove)
            stack.enter_context(torch.enable_grad())
            outputs = call_with_state(record.module, state, inputs)
            total = loss(outputs, labels).sum()
        [(h, z)] = calls
        if not total.requires_grad:
            raise ValueError(_NO_LAST_LAYER.format(type(record.module).__name__))
        [g] = torch.autograd.grad(total, [z])
        # The gradient of the weight is the sum over positions (of a sequence, say) of g_t h_t'.
        g, h = (a.reshape(len(a), -1, a.shape[-1]).double() for a in (g, h))
        if g.shape[1] == 1:
            squares = g.square().sum(dim=(1, 2)) * h.square().sum(dim=(1, 2))
        else:
            squares = (g.mT @ h).square().sum(dim=(1, 2))
        if layer[0].bias is not None:
            squares += g.sum(dim=1).square().sum(dim=1)
        return squares.sqrt().masked_fill(undefined_rows(outputs), torch.nan)

    return norms


def _last_linear(module: nn.Module, state: State, inputs: Inputs) -> nn.Linear:
    """Return the linear layer that is called last, and only once."""
    called: list[nn.Linear] = []
    with ExitStack() as stack:
        for layer in module.modules():
            if isinstance(layer, nn.Linear):
                hook = layer.register_forward_hook(lambda layer, *_: called.append(layer))
                stack.callback(hook.remove)
        with torch.no_grad():
            call_with_state(module, state, take_rows(inputs, slice(0, 2)))
    if not called or called.count(called[-1]) > 1:
        raise ValueError(_NO_LAST_LAYER.format(type(module).__name__))
    return called[-1]


def _all_parameter_norms(record: TrainingRecord, loss: Callable[..., torch.Tensor]) -> Norms:
    """Return the reader of the norms over all trained parameters, by vmap over rows."""
    module = copied_module(record.module)  # vmap's tensors must not stay in what it may keep
    trained = {name for name, p in module.named_parameters() if p.requires_grad}
    n_bytes = 4 * sum(p.numel() for p in module.parameters() if p.requires_grad)
    chunk = max(1, int(get_config()["working_memory"] * 2**20 / 4 / max(1, n_bytes)))

    def loss_of_row(weights: State, fixed: State, row: Inputs, label: torch.Tensor) -> torch.Tensor:
        one = map_inputs(lambda values: values[None], row)
        outputs = predictions_of(functional_call(module, weights | fixed, *as_arguments(one)))
        return loss(outputs, label[None]).sum()

    gradients_of_rows = vmap(grad_and_value(loss_of_row), in_dims=(None, None, 0, 0))

    def norms(state: State, inputs: Inputs, labels: torch.Tensor) -> torch.Tensor:
        weights = {name: tensor for name, tensor in state.items() if name in trained}
        fixed = {name: tensor for name, tensor in state.items() if name not in trained}
        lengths = []
        for start in range(0, len(labels), chunk):
            rows = slice(start, start + chunk)
            part = copied(take_rows(inputs, rows))
            gradients, losses = gradients_of_rows(weights, fixed, part, labels[rows])
            lengths.append(row_norms(gradients.values()).masked_fill(losses.isnan(), torch.nan))
        return torch.cat(lengths)

    return norms
