# SPDX-License-Identifier: BSD-3-Clause
"""A block of rows as a module takes it: a tensor, or a dict of tensors for keyword arguments.

What must be known of that is known here: all others map, take and call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

Inputs = torch.Tensor | dict[str, torch.Tensor]


def map_inputs(function: Callable[[Any], Any], inputs: Any) -> Any:
    """Apply a function to every tensor or array."""
    if isinstance(inputs, Mapping):
        return {str(name): map_inputs(function, value) for name, value in inputs.items()}
    return function(inputs)


def leaves(inputs: Any) -> list[Any]:
    """Return the tensors or arrays, in order."""
    if isinstance(inputs, Mapping):
        return [leaf for value in inputs.values() for leaf in leaves(value)]
    return [inputs]


def as_arguments(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return positional and keyword arguments of a module's forward."""
    return ((), dict(inputs)) if isinstance(inputs, Mapping) else ((inputs,), {})


def n_rows(inputs: Any) -> int:
    """Return the number of rows."""
    return len(leaves(inputs)[0])


def take_rows(inputs: Any, index: Any) -> Any:
    """Return some rows, by a slice, a mask or positions."""
    return map_inputs(lambda values: values[index], inputs)


def copied(inputs: Inputs) -> Inputs:
    """Return a copy of a block, for a pass that may write to it."""
    return map_inputs(torch.Tensor.clone, inputs)


def cast_floats(inputs: Any, dtype: torch.dtype) -> Any:
    """Give floating (and bool) arrays and tensors the module's dtype; integers may be tokens."""
    return map_inputs(lambda values: _cast(values, dtype), inputs)


def _cast(values: Any, dtype: torch.dtype) -> Any:
    """Cast one array or tensor, and leave anything else as it is."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "fb":
        return values.astype(_numpy_dtype(dtype), copy=False)
    if isinstance(values, torch.Tensor) and (values.is_floating_point() or _is_bool(values)):
        return values.to(dtype)
    return values


def _is_bool(tensor: torch.Tensor) -> bool:
    """Tell whether a tensor holds booleans, which networks take as numbers."""
    return tensor.dtype == torch.bool


def _numpy_dtype(dtype: torch.dtype) -> np.dtype[Any]:
    """Return the nearest dtype of NumPy, which has no bfloat16: blocks are cast on the device."""
    return torch.empty(0, dtype=dtype if dtype != torch.bfloat16 else torch.float32).numpy().dtype


def to_device(inputs: Any, dtype: torch.dtype, device: torch.device) -> Inputs:
    """Return a block on a device, always as a copy: a module may write to what it is given."""

    def moved(values: Any) -> torch.Tensor:
        tensor = torch.tensor(values) if isinstance(values, np.ndarray) else values
        is_number = tensor.is_floating_point() or _is_bool(tensor)
        return tensor.to(
            device=device,
            dtype=dtype if is_number else tensor.dtype,
            copy=isinstance(values, torch.Tensor),
        )

    return map_inputs(moved, inputs)
