# SPDX-License-Identifier: BSD-3-Clause
"""A forward pass: device, floating type, eval mode, weights other than the module's own."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from ..rows.inputs import Inputs, as_arguments, copied, leaves
from .heads import at_least_single, first_output

State = dict[str, torch.Tensor]


def call_with_state(module: nn.Module, state: State, inputs: Inputs) -> torch.Tensor:
    """Return what the module predicts with the weights of a state; inputs are not written to."""
    with token_errors_named(inputs):
        return predictions_of(functional_call(module, state, *as_arguments(copied(inputs))))


def predictions_of(outputs: Any) -> Any:
    """Return the predictions of a module, whose forward may autocast, in single precision."""
    found = first_output(outputs)
    return at_least_single(found) if isinstance(found, torch.Tensor) else found


def plain_module(module: nn.Module) -> nn.Module:
    """Return the module inside the wrappers of torch.compile and of parallel training."""
    while (inner := _wrapped(module)) is not None:
        module = inner
    return module


def _wrapped(module: nn.Module) -> nn.Module | None:
    """Return what a wrapper wraps, None if a module is no wrapper."""
    # By name, so that torch.distributed need not be there; other libraries name theirs alike.
    is_parallel = any("DataParallel" in cls.__name__ for cls in type(module).__mro__)
    for name in ("_orig_mod", "_fsdp_wrapped_module", *(["module"] if is_parallel else [])):
        inner = getattr(module, name, None)
        if isinstance(inner, nn.Module):
            return inner
    return None


def refuse_scripted(module: nn.Module, reading: str) -> None:
    """Raise if other weights, or hooks, are to be put into what torch.jit has compiled."""
    if any(isinstance(part, torch.jit.ScriptModule) for part in module.modules()):
        raise ValueError(
            f"{type(module).__name__} is compiled by torch.jit, and {reading}, which torch does "
            "not allow there. Pass the module that it was scripted or traced from."
        )


def first_tensor(value: Any) -> torch.Tensor | None:
    """Return the first tensor of what a layer returns, None if there is none."""
    if isinstance(value, Mapping):
        value = list(value.values())
    elif is_dataclass(value):
        value = [getattr(value, field.name) for field in fields(value)]
    parts = value if isinstance(value, (tuple, list)) else [value]
    return next((part for part in parts if isinstance(part, torch.Tensor)), None)


def with_first_tensor(value: Any, tensor: torch.Tensor) -> Any:
    """Return what a layer returns, with another tensor in place of the first one."""
    if isinstance(value, torch.Tensor):
        return tensor
    if isinstance(value, Mapping):
        changed = copy.copy(value)
        changed[_first_key(value)] = tensor  # type: ignore[index]  # whatever can be returned
        return changed
    if is_dataclass(value) and not isinstance(value, type):
        named = {field.name: getattr(value, field.name) for field in fields(value)}
        return replace(value, **{_first_key(named): tensor})
    parts = [*value]
    parts[_first_key(dict(enumerate(parts)))] = tensor
    return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)


def _first_key(parts: Mapping[Any, Any]) -> Any:
    """Return the key of the first tensor."""
    return next(key for key, part in parts.items() if isinstance(part, torch.Tensor))


def check_predictions(outputs: Any, n: int, module_name: str) -> None:
    """Raise unless what is predicted for n rows is a tensor of floats with one entry per row."""
    if not isinstance(outputs, torch.Tensor):
        found = type(outputs).__name__
    elif not outputs.is_floating_point():
        found = f"a tensor of {outputs.dtype}"
    elif outputs.ndim == 0 or len(outputs) != n:
        found = f"a tensor of shape {tuple(outputs.shape)}"
    else:
        return
    raise ValueError(
        f"{module_name} returns {found} for {n} rows; it must return floats, with one entry per "
        "row along axis 0."
    )


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
    with token_errors_named(inputs):
        return predictions_of(module(*args, **kwargs))


@contextmanager
def token_errors_named(inputs: Any) -> Iterator[None]:
    """Say what the error of an embedding is about."""
    try:
        yield
    except (IndexError, RuntimeError) as error:
        if all(t.is_floating_point() for t in leaves(inputs)) or not is_token_error(error):
            raise
        raise ValueError(
            f"The network does not take these rows of X, which hold integers: {error}. Token ids "
            "must lie from 0 to the size of the embedding, less 1."
        ) from error


def is_token_error(error: Exception) -> bool:
    """Tell whether an embedding says that it has no such token: nn.EmbeddingBag does by its own."""
    return isinstance(error, IndexError) or "not in the valid range" in str(error)


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
