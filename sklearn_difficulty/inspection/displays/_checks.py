# SPDX-License-Identifier: BSD-3-Clause
"""Values to draw, as arrays: what is wrong with them is said with the parameter and the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._missing import is_pandas_na, is_scalar_nan

_LISTED = 5


def as_array(values: Any) -> NDArray[Any]:
    """Return an array of a list, Series or tensor."""
    if hasattr(values, "detach"):  # a tensor, of any device
        values = values.detach().cpu()
    return np.asarray(values)


def numbers(
    values: Any, name: str, *, ndim: int = 1, shape: Sequence[int | None] | None = None
) -> NDArray[np.float64]:
    """Return finite or undefined (NaN) numbers of some shape, whose None is any length."""
    array = as_array(values)
    if array.dtype.kind == "O":
        array = np.array([np.nan if _is_missing(v) else v for v in array.ravel()]).reshape(
            array.shape
        )
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name} must hold numbers, got an array of dtype {array.dtype}.")
    expected = tuple(shape) if shape is not None else (None,) * ndim
    fits = array.ndim == len(expected) and all(
        e in (None, n) for e, n in zip(expected, array.shape, strict=True)
    )
    if not fits or 0 in array.shape:
        wanted = ", ".join("any" if e is None else str(e) for e in expected)
        raise ValueError(f"{name} must have the shape ({wanted}), got {array.shape}.")
    array = array.astype(np.float64)
    infinite = np.flatnonzero(np.isinf(array).reshape(len(array), -1).any(axis=1))
    if len(infinite):
        raise ValueError(
            f"{name} is infinite at {infinite[:_LISTED].tolist()}, which cannot be drawn. Put NaN "
            "there, and it is left out and counted."
        )
    return array


def one_defined(defined: NDArray[np.bool_], name: str) -> None:
    """Raise if there is nothing to draw."""
    if not defined.any():
        raise ValueError(f"{name} is NaN for all {len(defined)} rows: there is nothing to draw.")


def labels(values: Any, name: str, n: int | None = None) -> NDArray[Any]:
    """Return labels that can be told apart, one for every row."""
    array = as_array(values)
    if array.ndim != 1 or len(array) == 0 or n not in (None, len(array)):
        wanted = "(n_samples,)" if n is None else f"({n},)"
        raise ValueError(f"{name} must have the shape {wanted}, got {array.shape}.")
    values = array if array.dtype.kind in "Of" else ()
    missing = np.flatnonzero([_is_missing(value) for value in values])
    if len(missing):
        raise ValueError(
            f"{name} has no label for {len(missing)} row(s), first {missing[:_LISTED].tolist()}. "
            "Leave these rows out of all arrays."
        )
    try:
        np.unique(array)
    except TypeError:
        raise ValueError(
            f"{name} holds labels of several types, which have no order. Turn them into one: "
            "[str(label) for label in y]."
        ) from None
    return array


def mask(values: Any, name: str, n: int) -> NDArray[np.bool_]:
    """Return which rows are marked."""
    array = as_array(values)
    if array.shape != (n,):
        raise ValueError(
            f"{name} must hold True or False for each of the {n} rows, got the shape "
            f"{array.shape}. From positions: np.isin(np.arange({n}), positions)."
        )
    missing = array.dtype.kind in "Of" and any(_is_missing(v) for v in array)
    if missing or array.dtype.kind not in "bOiuf" or not np.isin(array, [0, 1]).all():
        raise ValueError(f"{name} must hold True or False (or 1 or 0) for every row.")
    return array.astype(bool)


def positions(values: Any, name: str, n: int) -> NDArray[np.int64]:
    """Return positions of rows, one being enough, negative ones counted from the end."""
    array = np.atleast_1d(as_array(values))
    if array.ndim != 1 or len(array) == 0 or array.dtype.kind not in "iu":
        raise ValueError(
            f"{name} must be positions of rows, whole numbers; got {values!r}. From a mask: "
            "np.flatnonzero(mask)."
        )
    outside = array[(array < -n) | (array >= n)]
    if len(outside):
        raise ValueError(
            f"{name} holds {outside[:_LISTED].tolist()}, and there are {n} rows, counted from 0."
        )
    return np.where(array < 0, array + n, array).astype(np.int64)


def columns(table: Any, name: str, fields: Sequence[str], made_by: str) -> dict[str, NDArray[Any]]:
    """Return the columns of a structured array, a DataFrame or a dict of arrays."""
    names = getattr(getattr(table, "dtype", None), "names", None)  # of a structured array
    known = getattr(table, "columns", table if isinstance(table, Mapping) else names)
    missing = [field for field in fields if known is None or field not in known]
    if missing:
        raise ValueError(f"{name} must be a table as of {made_by}; it has no {missing[0]!r}.")
    return {field: as_array(table[field]) for field in fields}


def at_most(n: int, most: int, name: str, instead: str) -> None:
    """Raise if a picture of so many would show nothing."""
    if n > most:
        raise ValueError(f"{name} holds {n}, and at most {most} can be told apart. {instead}")


def whole_number(value: Any, name: str, least: int = 1) -> int:
    """Return a whole number that is large enough."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}; got {value!r}.")
    return int(value)


def option(value: Any, name: str, options: Sequence[str]) -> str:
    """Return one of the options."""
    if value not in options:
        raise ValueError(f"{name} must be one of {list(options)}; got {value!r}.")
    return str(value)


def _is_missing(value: Any) -> bool:
    """Whether a value is None, NaN or pandas' NA."""
    return value is None or is_scalar_nan(value) or is_pandas_na(value)
