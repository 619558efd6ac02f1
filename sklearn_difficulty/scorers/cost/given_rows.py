# SPDX-License-Identifier: BSD-3-Clause
"""What a fit is given, and the few rows of it that are rehearsed with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import _safe_indexing

from ..._arrays import as_array, as_labels
from ...rows.checked import is_frame
from ...rows.rows import Rows
from ...rows.views import as_view
from ...training.skorch_net import settings_of

_BATCHES = (2, 6)  # of rows, in the two fits that are timed
_BATCH_ROWS = 128  # skorch's, for what has no network
_PER_NEIGHBOR = 8, 4  # rows, so that there are enough to look among; where there are few
_PER_CLASS = 8, 2


class GivenToFit:
    """Rows, their labels, and what else a fit takes for every row."""

    def __init__(self, scorer: Any, X: Any, y: Any, scoring_view: Any, groups: Any) -> None:
        self._scorer = scorer
        self._given = X, y, {"scoring_view": scoring_view, "groups": groups}
        rows = scorer._rows(X)
        self.n = len(rows)
        y = rows.given_labels(y) if X is not None else y
        self._y = None if y is None else _labels(y)
        collate_fn = scorer._trained_source().collate_fn
        view = as_view(scoring_view, rows, collate_fn=collate_fn, estimator=scorer, is_read=False)
        self._rows, self._view = rows, view

    def sizes(self) -> list[int]:
        """Return the two numbers of rows to rehearse with, or that of all if there are so few."""
        batch = getattr(settings_of(self._scorer.estimator), "batch_size", _BATCH_ROWS)
        batch = batch if isinstance(batch, int) and batch > 0 else _BATCH_ROWS
        asked = [getattr(part, "n_neighbors", None) or 0 for part in self._scorer._parts()]
        n_neighbors = int(max(asked))
        usual, least = (
            max(a * n_neighbors, b * self._n_classes)
            for a, b in zip(_PER_NEIGHBOR, _PER_CLASS, strict=True)
        )
        first, second = (max(usual * k // _BATCHES[0], batch * k) for k in _BATCHES)
        if 2 * second <= self.n:
            return [first, second]
        return [self.n // 4, self.n // 2] if least <= self.n // 4 else [self.n]

    @property
    def cast_bytes(self) -> int:
        """How much memory the float32 copy takes that is made of float64 for a network."""
        return sum(4 * array.size for array in self._rows.arrays if array.dtype == np.float64)

    def some(self, n: int) -> tuple[Any, Any, dict[str, Any]]:
        """Return the arguments of a fit to n of the rows."""
        X, y, others = self._given
        if n >= self.n:
            return X, y, others
        index = spread(self._codes, n)
        view, groups = others["scoring_view"], others["groups"]
        if view is not None:
            view = _taken(view, self._view, index)
        if np.shape(groups)[:1] == (self.n,):  # what is wrong is told by the fit
            groups = _safe_indexing(groups, index)
        assert self._y is not None  # where no rows are given, all are read
        others = {"scoring_view": view, "groups": groups}
        return _taken(X, self._rows, index), self._y[index], others

    @property
    def _codes(self) -> NDArray[np.intp]:
        """Number the classes of all rows; targets that are numbers are one class."""
        y = self._y
        if y is None or y.ndim != 1 or y.dtype.kind == "f":
            return np.zeros(self.n, dtype=np.intp)
        return np.unique(y, return_inverse=True)[1]

    @property
    def _n_classes(self) -> int:
        return int(self._codes.max(initial=0)) + 1


def spread(codes: NDArray[np.intp], n: int) -> NDArray[np.intp]:
    """Return n rows, in order: a few of every class, the others with classes as among all."""
    order = np.argsort(codes, kind="stable")
    counts = np.bincount(codes)
    rank = np.arange(len(codes)) - np.repeat(np.cumsum(counts) - counts, counts)
    is_first = rank < min(_PER_CLASS[0], n // len(counts))
    few, rest = order[is_first], order[~is_first]
    others = rest[np.linspace(0, len(rest) - 1, n - len(few)).astype(np.intp)]
    return np.sort(np.concatenate([few, others]))


def _taken(given: Any, rows: Rows, index: NDArray[np.intp]) -> Any:
    """Return some rows, as they were given."""
    return _safe_indexing(given, index) if is_frame(given) else rows.take(index).data


def _labels(y: Any) -> NDArray[Any]:
    """Return labels or targets as an array, or raise for what is neither."""
    array = as_array(y, "y")
    if array.ndim == 0:
        raise ValueError("y is a single value; it must hold one label for every row.")
    return array if array.dtype.kind in "biuf" else as_labels(y)
