# SPDX-License-Identifier: BSD-3-Clause
"""Labels to codes and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array
from sklearn.utils.multiclass import check_classification_targets

from .._arrays import (
    LISTED_ROWS,
    as_labels,
    as_numbers,
    kind_of_values,
    label_kind,
)
from .checked import nonfinite_rows

_MANY_VALUES, _FEW_REPEATS = 20, 5  # numbers that repeat less often are measured, not named
_AS_TARGETS = (
    "To predict numbers, pass a regressor: a skorch NeuralNetRegressor, such as "
    "default_network(X, y, task='regression'), or outputs='values' to a recorder. "
    "TargetErrorScorer finds wrong ones."
)


def encode_labels(y: Any) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the sorted classes and, for every row, the position of its label among them."""
    y = as_labels(y)
    if y.dtype.kind == "f" and (y != np.round(y)).any():
        raise ValueError(f"Unknown label type: y holds continuous numbers. {_AS_TARGETS}")
    classes, codes = np.unique(y, return_inverse=True)
    if _are_measurements(classes, len(y)):
        raise ValueError(
            f"y holds {len(classes)} different numbers in {len(y)} rows, from {listed(classes)[0]} "
            f"to {classes[-1].item()}, which look like measurements. {_AS_TARGETS} If they are "
            "names of classes, pass y.astype(str)."
        )
    check_classification_targets(y)
    if len(classes) < 2:
        found = f"one class, {listed(classes)[0]!r}" if len(classes) else "no row"
        raise ValueError(f"A classifier needs at least two classes in y; got {found}.")
    return classes, codes.astype(np.int64)


def _are_measurements(values: NDArray[Any], n: int) -> bool:
    """Tell whether sorted distinct labels are numbers with gaps, and hardly repeat in n rows."""
    if values.dtype.kind not in "iuf" or len(values) < _MANY_VALUES:
        return False
    has_gaps = float(values[-1]) - float(values[0]) + 1 > len(values)  # names are often 0, 1, 2 ...
    return has_gaps and n < _FEW_REPEATS * len(values)


def encode_among(y: Any, classes: Any) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the classes of a network's columns, and for every row that of its label.

    Labels are some of the classes or, where these are names only, positions of columns.
    """
    names = as_labels(classes, "classes")
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
    classes = np.unique(as_labels(y))
    return np.arange(n_columns) if _are_positions(classes, n_columns) else classes


def codes_of(y: Any, classes: NDArray[Any]) -> NDArray[np.int64]:
    """Return the position of every label of y among known classes, whatever type both have.

    Numbers are compared by their value (1, 1.0 and True are the same label, as in scikit-learn),
    strings by their characters; the string "1" is not the number 1.
    """
    y, classes = as_labels(y), as_labels(classes, "classes")
    if len(y) and label_kind(y) != label_kind(classes):
        raise ValueError(
            f"y holds {kind_of_values(y)}, such as {listed(y)[0]!r}, and the network was trained "
            f"on {kind_of_values(classes)}: {listed(classes)}. Give y the same type."
        )
    if y.dtype.kind == "M" and y.dtype != classes.dtype:
        unit = np.promote_types(y.dtype, classes.dtype)
        y, classes = y.astype(unit), classes.astype(unit)
    # Python compares numbers of any two types without rounding, which NumPy does not.
    position = {label: code for code, label in enumerate(classes.tolist())}
    given, inverse = np.unique(y, return_inverse=True)
    codes = np.array([position.get(label, -1) for label in given.tolist()], dtype=np.int64)
    unknown = np.flatnonzero(codes < 0)
    if len(unknown):
        rows = np.flatnonzero(np.isin(inverse, unknown))[:LISTED_ROWS].tolist()
        raise ValueError(
            f"y contains labels that the network was not trained on: {listed(given[unknown])}. It "
            f"knows {listed(classes)}. The first such rows are {rows}."
        )
    return codes[inverse]


def listed(labels: NDArray[Any], n: int = LISTED_ROWS) -> list[Any]:
    """Return some labels for a message."""
    if labels.dtype.kind == "M":
        labels = labels.astype(str)
    return [value.item() if isinstance(value, np.generic) else value for value in labels[:n]]


def float_targets(y: Any) -> NDArray[np.float32]:
    """Return regression targets as float32, (n,) or (n, n_outputs)."""
    y = as_numbers(y, "y")
    with np.errstate(over="ignore"):  # named below
        targets = check_array(y, dtype=np.float32, ensure_2d=False, ensure_all_finite=False)
    bad = nonfinite_rows(targets)
    if len(bad):
        raise ValueError(
            f"Input y contains NaN, inf or values beyond float32 in {len(bad)} row(s), first "
            f"{bad[:LISTED_ROWS].tolist()}."
        )
    return targets
