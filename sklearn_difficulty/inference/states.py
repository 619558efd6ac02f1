# SPDX-License-Identifier: BSD-3-Clause
"""Checkpoints as states of a module on its device, and a forward pass with one of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from sklearn import get_config
from torch import nn
from torch.func import functional_call

from ..training.checkpoints import Checkpoint
from ..training.network import module_device
from ..training.outputs import first_output
from ..training.rows import Inputs
from .blocks import copied

State = dict[str, torch.Tensor]


class DeviceStates:
    """The checkpoints as states on the device: all at once if they fit, else one at a time.

    Parameters
    ----------
    module : torch.nn.Module
        Whose parameters and buffers they are, and on whose device they are put.
    checkpoints : sequence of Checkpoint
        In the order of iteration.
    """

    def __init__(self, module: nn.Module, checkpoints: Sequence[Checkpoint]) -> None:
        self._checkpoints = checkpoints
        self._device = module_device(module)
        # Tied tensors have one name here; functional_call refuses two values for one tensor.
        self._names = {name for name, _ in module.named_parameters()}
        self._names |= {name for name, _ in module.named_buffers()}
        self._resident: list[State] | None = None
        n_bytes = sum(t.nbytes for t in (*module.parameters(), *module.buffers()))
        if n_bytes * len(checkpoints) <= get_config()["working_memory"] * 2**20:
            self._resident = [self._load(checkpoint) for checkpoint in checkpoints]

    def _load(self, checkpoint: Checkpoint) -> State:
        return {
            name: tensor.to(self._device)
            for name, tensor in checkpoint.state_dict().items()
            if name in self._names
        }

    def __iter__(self) -> Iterator[State]:
        if self._resident is not None:
            return iter(self._resident)
        return (self._load(checkpoint) for checkpoint in self._checkpoints)


def call_with_state(module: nn.Module, state: State, inputs: Inputs) -> torch.Tensor:
    """Return what the module predicts with the weights of a state; inputs are not written to."""
    inputs = copied(inputs)
    if isinstance(inputs, dict):
        return first_output(functional_call(module, state, (), inputs))
    return first_output(functional_call(module, state, (inputs,)))
