# SPDX-License-Identifier: BSD-3-Clause
"""Labels to codes and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import check_array
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

LISTED_ROWS = 5


def to_numpy(array: Any) -> Any:
    """Return a tensor of any device and dtype as an ndarray; leave anything else as it is."""
    if not isinstance(array, torch.Tensor):
        return array
    array = array.detach().cpu()
    return (array.float() if array.dtype == torch.bfloat16 else array).numpy()


def nonfinite_rows(array: NDArray[Any]) -> NDArray[np.intp]:
    """Return the indices of rows that hold NaN or inf, reading memory maps block by block."""
    if array.dtype.kind not in "fc":
        return np.empty(0, dtype=np.intp)
    block = max(1, 2**24 // max(1, array[:1].nbytes))
    bad = []
    for start in range(0, len(array), block):
        rows = array[start : start + block]
        # A sum is finite if all terms are, save for overflow; only then look closer.
        with np.errstate(over="ignore", invalid="ignore"):
            total = rows.sum(dtype=np.float64)
        if not np.isfinite(total):
            finite = np.isfinite(rows).reshape(len(rows), -1).all(axis=1)
            bad.append(start + np.flatnonzero(~finite))
    return np.concatenate(bad) if bad else np.empty(0, dtype=np.intp)


def encode_labels(y: Any) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the sorted classes and, for every row, the position of its label among them."""
    y = _as_column(y)
    check_classification_targets(y)
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"A classifier needs at least two classes in y; got one class, {classes.tolist()[0]!r}."
        )
    return classes, codes.astype(np.int64)


def classes_of_columns(y: Any, n_columns: int) -> NDArray[Any]:
    """Return what columns stand for: 0, 1, ... if y holds these, else the sorted labels of y."""
    y = np.asarray(to_numpy(y))
    are_positions = y.dtype.kind in "iu" and 0 <= y.min() and y.max() < n_columns
    return np.arange(n_columns) if are_positions else np.unique(y)


def codes_of(y: Any, classes: NDArray[Any]) -> NDArray[np.int64]:
    """Return the position of every label of y among known classes."""
    y = _as_column(y)
    known = np.isin(y, classes)
    if not known.all():
        unknown = np.unique(y[~known])[:LISTED_ROWS].tolist()
        raise ValueError(
            f"y contains labels that the network was not trained on: {unknown}. It knows "
            f"{classes.tolist()}."
        )
    order = np.argsort(classes)  # columns come in any order
    return order[np.searchsorted(classes, y, sorter=order)].astype(np.int64)


def _as_column(y: Any) -> NDArray[Any]:
    """Return labels as a finite column (n,)."""
    y = column_or_1d(to_numpy(y), warn=True)
    if y.dtype.kind == "f":
        bad = nonfinite_rows(y)
        if len(bad):
            raise ValueError(
                f"Input y contains NaN or inf in {len(bad)} row(s), first "
                f"{bad[:LISTED_ROWS].tolist()}."
            )
    return y


def float_targets(y: Any) -> NDArray[np.float32]:
    """Return regression targets as float32, (n,) or (n, n_outputs)."""
    return check_array(to_numpy(y), dtype=np.float32, ensure_2d=False, input_name="y")
