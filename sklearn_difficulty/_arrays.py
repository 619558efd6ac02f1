# SPDX-License-Identifier: BSD-3-Clause
"""What callers hand over as an array, as an ndarray: tensors, series, masked arrays, generators."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Set
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils import column_or_1d

LISTED_ROWS = 5
_NUMBERS = (bool, int, float, complex, np.number, np.bool_)


def is_tensor(values: Any) -> bool:
    """Tell whether values are a torch tensor; torch is not imported for the question."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(values, torch.Tensor)


def to_numpy(values: Any) -> Any:
    """Return a tensor of any device and dtype as an ndarray; leave anything else as it is."""
    if not is_tensor(values):
        return values
    refuse_not_dense(values)
    tensor = values.detach()
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    tensor = tensor.cpu().resolve_conj().resolve_neg()
    is_known = str(tensor.dtype) != "torch.bfloat16" and "float8" not in str(tensor.dtype)
    return (tensor if is_known else tensor.float()).numpy()


def refuse_not_dense(tensor: Any) -> None:
    """Raise for a tensor whose rows cannot be taken by their number."""
    if tensor.is_meta or tensor.is_nested or tensor.layout != sys.modules["torch"].strided:
        what = "on the meta device" if tensor.is_meta else "nested or sparse"
        raise TypeError(f"A tensor is {what}; pass a dense one, such as tensor.to_dense().")


def as_array(values: Any, name: str) -> NDArray[Any]:
    """Return what stands for an array as one; its dtype is kept, objects become numbers if all are.

    Raises
    ------
    TypeError, ValueError
        That name the parameter, for a mapping, a set, a sparse matrix, lists of unequal length,
        and masked entries, which must not be taken for values.
    """
    if type(values) is np.ndarray:
        return _without_objects(values)
    if isinstance(values, np.ma.MaskedArray):
        _refuse_masked(values, name)
        values = values.data
    if issparse(values):
        raise TypeError(f"{name} is a sparse matrix; pass {name}.toarray().")
    if isinstance(values, (Mapping, Set)):
        raise TypeError(f"{name} must be an array, not a {type(values).__name__}.")
    if isinstance(values, Iterator) or type(values).__name__ in ("dict_values", "dict_keys"):
        values = list(values)
    if isinstance(values, (list, tuple)) and any(map(is_tensor, values)):
        values = [to_numpy(value) for value in values]
    try:
        return _without_objects(np.asarray(to_numpy(values)))
    except ValueError as error:
        if "inhomogeneous" not in str(error):
            raise
        remedy = " Pad them: torch.nn.utils.rnn.pad_sequence." if name == "X" else ""
        raise ValueError(
            f"{name} is ragged: its entries differ in length ({error}).{remedy}"
        ) from error


def as_numbers(values: Any, name: str) -> NDArray[Any]:
    """Return real numbers or booleans in the machine's byte order; missing ones are NaN."""
    array = as_array(values, name)
    if array.dtype.kind == "O":
        missing = is_missing(array)
        array = array.copy()
        array[missing] = np.nan
        array = _without_objects(array)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold real numbers; it holds {kind_of_values(array)}.")
    return native(array)


def as_floats(values: Any, name: str) -> NDArray[np.float64]:
    """Return numbers as float64; missing ones are NaN."""
    return as_numbers(values, name).astype(np.float64, copy=False)


def as_labels(y: Any, name: str = "y") -> NDArray[Any]:
    """Return labels (n,) of one kind: strings, whole or other numbers, booleans, or days and times.

    Labels of a kind are sorted and compared with each other, so what cannot be is refused here:
    missing labels with their rows, a mix of strings and numbers, and objects of other types.
    """
    if isinstance(y, (list, tuple)) and not any(map(is_tensor, y)):
        # np.asarray(["a", 1, None]) would make one string type of all.
        array = np.empty(len(y), dtype=object)
        array[:] = [v.item() if isinstance(v, np.ndarray) and v.ndim == 0 else v for v in y]
        if len(array) and isinstance(array[0], (list, tuple, np.ndarray)):
            array = as_array(y, name)
    else:
        array = y if type(y) is np.ndarray else as_array(_with_missing(y), name)
    array = _one_column(array, name)
    array = _without_objects(array)
    if array.dtype.kind == "f":
        _refuse_rows(~np.isfinite(array), name, "NaN or inf")
    _refuse_rows(is_missing(array), name, "no label (None, NaN, NaT or masked)")
    if array.dtype.kind == "O":
        _refuse_objects(array, name)
        if isinstance(y, (list, tuple)):
            array = np.array(array.tolist(), dtype=str)
    if array.dtype.kind in "ScmV":
        way_out = "y.astype(str)" if array.dtype.kind != "c" else "strings or integers"
        raise ValueError(
            f"{name} holds {kind_of_values(array)}, which cannot be labels; pass {way_out}."
        )
    return array.astype(object) if array.dtype.kind == "T" else native(array)


def is_missing(array: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where an array holds None, NA, NaT or NaN."""
    if array.dtype.kind in "fc":
        return np.isnan(array)
    if array.dtype.kind in "mM":
        return np.isnat(array)
    if array.dtype.kind != "O":
        return np.zeros(array.shape, dtype=bool)
    flat = [
        value is None
        or type(value).__name__ in ("NAType", "NaTType", "MaskedConstant")
        or (isinstance(value, (float, np.inexact)) and value != value)
        for value in array.ravel()
    ]
    return np.array(flat, dtype=bool).reshape(array.shape)


def native(array: NDArray[Any]) -> NDArray[Any]:
    """Return numbers in the byte order and a precision that torch and scikit-learn take."""
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        return array.astype(np.float64)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def kind_of_values(array: NDArray[Any]) -> str:
    """Return in words what an array holds."""
    words = {
        "b": "booleans",
        "i": "integers",
        "u": "integers",
        "f": "floats",
        "c": "complex numbers",
    }
    words |= {"M": "dates", "m": "time differences", "S": "bytes", "V": "records"}
    if array.dtype.kind in words:
        return words[array.dtype.kind]
    values = array.ravel()[:1].tolist()
    if array.dtype.kind in "UT" or (values and isinstance(values[0], str)):
        return "strings"
    return f"values of the type {type(values[0]).__name__}" if values else "nothing"


def label_kind(labels: NDArray[Any]) -> str:
    """Return which labels can be the same: those of one kind."""
    kinds = {"b": "number", "i": "number", "u": "number", "f": "number", "M": "date"}
    return kinds.get(labels.dtype.kind, "text")


def refuse_other_kind(first: NDArray[Any], second: NDArray[Any], names: str) -> None:
    """Raise if two arrays can have no label in common."""
    if first.size and second.size and label_kind(first) != label_kind(second):
        raise ValueError(
            f"{names} are compared, and hold {kind_of_values(first)} and {kind_of_values(second)}."
        )


def _with_missing(y: Any) -> Any:
    """Return a masked array of labels as objects, in which masked ones are None."""
    if isinstance(y, np.ma.MaskedArray):
        values = y.data.astype(object)
        values[np.ma.getmaskarray(y)] = None
        return values
    return y


def _one_column(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Return (n, 1) as (n,), with scikit-learn's warning, and refuse other shapes."""
    if array.ndim == 2 and array.shape[1] == 1:
        return column_or_1d(array, warn=True)
    if array.ndim != 1:
        raise ValueError(
            f"{name} should be a 1d array, got an array of shape {array.shape} instead: one label "
            f"per row. Of one-hot labels or class probabilities pass {name}.argmax(axis=1)."
        )
    return array


def _without_objects(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array of nothing but numbers, or days, with a dtype of such."""
    if array.dtype.kind != "O" or not array.size:
        return array
    kinds = [kind for kind in (_NUMBERS, np.datetime64, bytes) if isinstance(array.flat[0], kind)]
    if not kinds or not all(isinstance(value, kinds[0]) for value in array.ravel()):
        return array
    return np.array(array.tolist()).reshape(array.shape)


def _refuse_rows(bad: NDArray[np.bool_], name: str, what: str) -> None:
    """Raise if labels are bad in some rows."""
    rows = np.flatnonzero(bad)
    if len(rows):
        raise ValueError(
            f"Input {name} contains {what} in {len(rows)} row(s), first "
            f"{rows[:LISTED_ROWS].tolist()}. Label these rows, or leave them out."
        )


def _refuse_masked(array: Any, name: str) -> None:
    """Raise if entries are masked."""
    masked = np.ma.getmaskarray(array)
    if masked.any():
        rows = np.flatnonzero(masked.reshape(len(masked), -1).any(axis=1))
        raise ValueError(
            f"{name} has masked entries in {len(rows)} row(s), first "
            f"{rows[:LISTED_ROWS].tolist()}. Impute or drop these rows."
        )


def _refuse_objects(array: NDArray[Any], name: str) -> None:
    """Raise unless all objects are strings."""
    is_text = np.array([isinstance(value, str) for value in array], dtype=bool)
    if is_text.all():
        return
    other = int(np.flatnonzero(~is_text)[0])
    kind = type(array[other]).__name__
    if is_text.any():
        text = int(np.flatnonzero(is_text)[0])
        raise ValueError(
            f"{name} mixes strings and other labels, which cannot be sorted: row {text} holds "
            f"{array[text]!r}, row {other} holds {array[other]!r} ({kind}). Make all of them "
            "strings, or all numbers."
        )
    raise ValueError(
        f"{name} holds labels of the type {kind}, first in row {other}: {array[other]!r}. Pass "
        "strings, numbers, booleans or numpy.datetime64; of days and times, y.astype(str)."
    )
