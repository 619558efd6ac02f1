# SPDX-License-Identifier: BSD-3-Clause
"""A forward pass: device, floating type, eval mode, weights other than the module's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from ..rows.inputs import Inputs, as_arguments, copied, leaves
from .heads import first_output

State = dict[str, torch.Tensor]


def call_with_state(module: nn.Module, state: State, inputs: Inputs) -> torch.Tensor:
    """Return what the module predicts with the weights of a state; inputs are not written to."""
    with _token_errors_named(inputs):
        return first_output(functional_call(module, state, *as_arguments(copied(inputs))))


def plain_module(module: nn.Module) -> nn.Module:
    """Return the module itself if `module` is the wrapper that torch.compile makes."""
    return getattr(module, "_orig_mod", module)


def module_device(module: nn.Module) -> torch.device:
    """Return the device of the module's tensors, the CPU if it has none."""
    for tensor in (*module.parameters(), *module.buffers()):
        return tensor.device
    return torch.device("cpu")


def module_dtype(module: nn.Module) -> torch.dtype:
    """Return the floating dtype of the module's tensors, float32 if it has none."""
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            return tensor.dtype
    return torch.float32


def call_module(module: nn.Module, inputs: Any) -> torch.Tensor:
    """Run a forward pass on a block of inputs; a dict is spread over keyword arguments."""
    args, kwargs = as_arguments(inputs)
    with _token_errors_named(inputs):
        return first_output(module(*args, **kwargs))


@contextmanager
def _token_errors_named(inputs: Any) -> Iterator[None]:
    """Say what the IndexError of an embedding is about."""
    try:
        yield
    except IndexError as error:
        if all(tensor.is_floating_point() for tensor in leaves(inputs)):
            raise
        raise ValueError(
            f"The network does not take these rows of X, which hold integers: {error}. Token ids "
            "must lie from 0 to the size of the embedding, less 1."
        ) from error


@contextmanager
def evaluation_mode(module: nn.Module) -> Iterator[None]:
    """Put every submodule in eval mode, and each back in its own mode afterwards."""
    modes = {submodule: submodule.training for submodule in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for submodule, mode in modes.items():
            submodule.training = mode
