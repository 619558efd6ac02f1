# SPDX-License-Identifier: BSD-3-Clause
"""Which training rows of a fitted scorer are to go, and how the others are taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import _safe_indexing, indexable

from .._arrays import as_array, as_labels, as_numbers, is_tensor
from .._warnings import warn_caller
from ..measures.quadrants import QUADRANT_NAMES
from ._scoring_step import attribute_of

_MORE_LIKELY_WRONG = 0.5


def rows_to_drop(
    scorer: Any,
    labels: NDArray[Any] | None,
    *,
    drop: float | str,
    threshold: float | None,
    quadrants: Sequence[str] | None,
) -> NDArray[np.bool_]:
    """Return which training rows (n,) of a fitted scorer are dropped; every label keeps one."""
    difficulty = np.asarray(scorer.difficulty_)
    suspicion, can_drop = difficulty, ~np.isnan(difficulty)
    if quadrants is not None:
        suspicion, can_drop = _in_quadrants(scorer, quadrants)
    if threshold is not None:
        dropped = can_drop & (difficulty > threshold)
    elif drop != "auto":
        n_dropped = min(round(float(drop) * len(difficulty)), np.count_nonzero(can_drop))
        dropped = np.zeros(len(difficulty), dtype=bool)
        order = np.argsort(np.where(can_drop, -suspicion, np.inf), kind="stable")
        dropped[order[:n_dropped]] = True
    elif quadrants is not None:
        dropped = can_drop
    else:
        suspicion = _error_probability(scorer)
        dropped = can_drop & (suspicion > _MORE_LIKELY_WRONG)
    outcome = "would be dropped; the least suspect one (of each) is kept."
    dropped[_least_suspect(dropped, suspicion, labels, outcome)] = False
    return dropped


def _error_probability(scorer: Any) -> NDArray[Any]:
    """Return the probability by which drop='auto' goes: of an error, or of not being selected."""
    selected = getattr(scorer, "selection_probability_", None)
    if selected is not None:
        return 1 - np.asarray(selected)
    return attribute_of(scorer, "error_probability_", "drop='auto'")


def trust_in_labels(
    scorer: Any, labels: NDArray[Any] | None, counts: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return 1 less the error probability of rows (n,); every label that counts keeps one at 1."""
    probability = attribute_of(scorer, "error_probability_", "action='weight'")
    probability = np.nan_to_num(probability, nan=0.0)
    rows = np.flatnonzero(counts)
    suspicion = probability[rows]
    outcome = "are more likely wrong than right; the least suspect one (of each) keeps its weight."
    labels = None if labels is None else labels[rows]
    spared = _least_suspect(suspicion > _MORE_LIKELY_WRONG, suspicion, labels, outcome)
    probability[rows[spared]] = 0.0
    return 1 - probability


def _in_quadrants(
    scorer: Any, quadrants: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return how near rows are to their corner, and which of them lie in some quadrants."""
    code = scorer.difficulty_quadrant_
    distance = scorer.corner_distance_[np.arange(len(code)), np.maximum(code, 0)]
    return -distance, np.isin(code, [QUADRANT_NAMES.index(name) for name in quadrants])


def _least_suspect(
    suspect: NDArray[np.bool_], suspicion: NDArray[Any], labels: NDArray[Any] | None, outcome: str
) -> NDArray[np.intp]:
    """Return the least suspect row of every label of which all rows are suspect, with a warning."""
    if labels is None:
        lost: list[Any] = [None] if suspect.all() else []
    else:
        lost = sorted(set(labels.tolist()) - set(labels[~suspect].tolist()))
    if lost:
        what = "All rows" if labels is None else f"All rows of the class(es) {lost[:5]}"
        warn_caller(f"{what} {outcome}")
    rows_of = (np.flatnonzero(suspect if label is None else labels == label) for label in lost)
    return np.array([rows[np.argmin(suspicion[rows])] for rows in rows_of], dtype=np.intp)


def column(y: Any) -> NDArray[Any]:
    """Return y as a one-dimensional ndarray."""
    return as_labels(y)


def as_given(y: Any, labels: NDArray[Any] | None) -> NDArray[Any]:
    """Return labels, or targets of one or several columns, as an ndarray."""
    return as_numbers(y, "y") if labels is None else labels


def for_estimators(values: Any, name: str) -> Any:
    """Return tensors without a graph, and objects that are numbers as such; few take the others."""
    if is_tensor(values):
        return values.detach()
    if getattr(getattr(values, "dtype", None), "kind", None) != "O":
        return values
    array = as_array(values, name)
    return values if array.dtype == object else array


def take(X: Any, rows: NDArray[np.intp]) -> Any:
    """Return some rows of arrays, DataFrames, sparse matrices, lists or dicts of these."""
    if isinstance(X, Mapping):
        return {name: take(values, rows) for name, values in X.items()}
    return _safe_indexing(indexable(X)[0], rows)
