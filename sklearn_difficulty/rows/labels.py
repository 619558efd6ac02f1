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


def encode_among(y: Any, classes: Any) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the classes of a network's columns, and for every row that of its label.

    Labels are some of the classes or, where these are names only, positions of columns.
    """
    names = np.asarray(classes)
    labels, codes = encode_labels(y)
    if not set(labels.tolist()) <= set(names.tolist()):
        names, given = np.arange(len(names)), names
        if not _are_positions(labels, len(names)):
            unknown = [label for label in labels.tolist() if label not in given.tolist()]
            raise ValueError(
                f"y contains labels that are not among classes={given.tolist()} of the network: "
                f"{unknown[:LISTED_ROWS]}."
            )
    position = {label: k for k, label in enumerate(names.tolist())}
    columns = np.array([position[label] for label in labels.tolist()])
    return names, columns[codes].astype(np.int64)


def among_columns(
    classes: NDArray[Any], codes: NDArray[Any], n_columns: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return classes and codes of a network that may have more columns than y has labels.

    Integers that fit are positions of columns, as skorch takes them.
    """
    if n_columns <= len(classes) or not _are_positions(classes, n_columns):
        return classes, codes
    return np.arange(n_columns), classes[codes].astype(np.int64)


def _are_positions(labels: NDArray[Any], n_columns: int) -> bool:
    """Tell whether labels are positions of columns."""
    return bool(labels.dtype.kind in "iu" and 0 <= labels.min() and labels.max() < n_columns)


def classes_of_columns(y: Any, n_columns: int) -> NDArray[Any]:
    """Return what columns stand for: 0, 1, ... if y holds these, else the sorted labels of y."""
    y = np.asarray(to_numpy(y))
    return np.arange(n_columns) if _are_positions(y, n_columns) else np.unique(y)


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
