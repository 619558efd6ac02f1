# SPDX-License-Identifier: BSD-3-Clause
"""A block of rows as a module takes it, as skorch would pass it on.

A tensor, or a dict of tensors for keyword arguments; a Dataset may also yield tuples, lists and
dicts of these. What must be known of that is known here: all others map, take and call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

Inputs = Any  # a tensor; a dict of these for keyword arguments; tuples, lists and dicts of these

_LABEL_KEYS = ("labels", "label", "target", "targets", "y")


def input_of(item: Any) -> Any:
    """Return x of an item, or of a batch, that is x or (x, y)."""
    if not isinstance(item, (tuple, list)):
        return item
    if len(item) not in (1, 2):
        raise ValueError(
            f"The Dataset yields {len(item)} values a row, and (x, y) was expected. Of several "
            "inputs make one: ((a, b), y), or ({'a': a, 'b': b}, y) for keyword arguments."
        )
    return item[0]


def label_key(item: Any) -> Any:
    """Return under which key an item holds its label, None unless it is a dict that does."""
    known = _LABEL_KEYS if isinstance(item, Mapping) else ()
    return next((key for key in known if key in item), None)


def with_label_inside(item: Any, label: Any) -> Any:
    """Return an item, a dict that holds its label, with another one."""
    return {**item, label_key(item): label}


def map_inputs(function: Callable[[Any], Any], inputs: Any) -> Any:
    """Apply a function to every tensor or array."""
    if isinstance(inputs, Mapping):
        return {str(name): map_inputs(function, value) for name, value in inputs.items()}
    if isinstance(inputs, (tuple, list)):
        values = [map_inputs(function, value) for value in inputs]
        return type(inputs)(*values) if hasattr(inputs, "_fields") else type(inputs)(values)
    return function(inputs)


def named_leaves(inputs: Any, name: str = "") -> list[tuple[str, Any]]:
    """Return the tensors or arrays, in order, with names that say where they are."""
    if not isinstance(inputs, (Mapping, tuple, list)):
        return [(name, inputs)]
    parts = inputs.items() if isinstance(inputs, Mapping) else enumerate(inputs)
    prefix = f"{name}." if name else ""
    return [leaf for key, part in parts for leaf in named_leaves(part, f"{prefix}{key}")]


def leaves(inputs: Any) -> list[Any]:
    """Return the tensors or arrays, in order."""
    return [leaf for _, leaf in named_leaves(inputs)]


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
        with np.errstate(over="raise"):  # a FloatingPointError, for the caller to name the rows
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
        if isinstance(values, np.ndarray):
            tensor = torch.tensor(_cast(values, dtype))
            return tensor.to(device, dtype) if tensor.is_floating_point() else tensor.to(device)
        if not isinstance(values, torch.Tensor):
            raise TypeError(
                f"A batch holds a {type(values).__name__} where a tensor was expected. Turn it "
                "into numbers in the Dataset, or in the network's collate_fn."
            )
        is_number = values.is_floating_point() or _is_bool(values)
        return values.detach().to(
            device=device, dtype=dtype if is_number else values.dtype, copy=True
        )

    return map_inputs(moved, inputs)
