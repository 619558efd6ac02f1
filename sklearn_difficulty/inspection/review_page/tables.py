# SPDX-License-Identifier: BSD-3-Clause
"""Rows of a table, beside what is usual in their class."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler

from ..._arrays import as_array, as_floats, is_missing
from .packing import packed

_ABSENT = "(missing)"
_NORMAL = 1.4826  # the standard deviation of normal values by their median absolute deviation
_ROWS_FOR_MEDIANS = 5_000  # of a class, at most, evenly spaced
_MOST_LEVELS = 50  # of a column that says which rows are alike
_NO_KIND = 0.5  # different values by rows, above which a column holds names, dates or free text


class Table:
    """Columns of numbers and of categories, whole, with the class of every row."""

    kind = "table"

    def __init__(self, show: Any, given: NDArray[np.int64], n_classes: int, names: Any) -> None:
        self._given = given
        self._n_classes = n_classes
        self._names: list[str] = []  # of the numbers
        self._categories: list[tuple[str, list[str], NDArray[np.int64]]] = []
        numbers = []
        for name, column in _columns(show, names):
            values = _numbers(column)
            if values is None:
                self._categories.append((name, *_levels(column)))
            else:
                self._names.append(name)
                numbers.append(values)
        self._matrix = np.stack(numbers, axis=1) if numbers else np.empty((len(given), 0))
        self._medians, self._spreads = self._usual()

    def of(self, rows: NDArray[np.int64]) -> dict[str, Any]:
        """Return what the page holds of some rows."""
        numbers = {
            "names": self._names,
            "values": packed(self._matrix[rows], np.float32),
            "medians": packed(self._medians, np.float32),
            "spreads": packed(self._spreads, np.float32),
        }
        categories = [
            self._category(name, levels, codes, rows) for name, levels, codes in self._categories
        ]
        return {"table": {"numbers": numbers, "categories": categories}}

    def details(self, rows: NDArray[np.int64], n_bytes: int) -> dict[str, Any]:
        """Return nothing: the values are all there is."""
        return {}

    def space(self) -> NDArray[np.float32] | None:
        """Return standardised numbers, and an indicator for each level of a category."""
        known = ~np.isnan(self._matrix).all(axis=0)
        parts = []
        if known.any():
            parts.append(np.nan_to_num(StandardScaler().fit_transform(self._matrix[:, known])))
        for _, levels, codes in self._categories:
            if len(levels) <= _MOST_LEVELS:
                parts.append(np.eye(len(levels), dtype=np.float32)[codes])
        return np.concatenate(parts, axis=1, dtype=np.float32) if parts else None

    def _usual(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the median of every number in every class, and how far values lie from it."""
        shape = self._n_classes, self._matrix.shape[1]
        medians, spreads = np.full(shape, np.nan), np.full(shape, np.nan)
        for code in np.unique(self._given):
            rows = np.flatnonzero(self._given == code)
            values = self._matrix[rows[:: -(-len(rows) // _ROWS_FOR_MEDIANS)]]
            known = ~np.isnan(values).all(axis=0)
            some = values[:, known]
            medians[code, known] = middle = np.nanmedian(some, axis=0)
            deviation = _NORMAL * np.nanmedian(np.abs(some - middle), axis=0)
            spreads[code, known] = np.where(deviation > 0, deviation, np.nanstd(some, axis=0))
        return medians, spreads

    def _category(
        self, name: str, levels: list[str], codes: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> dict[str, Any]:
        """Return a column of categories, and how many of a row's class share its value."""
        if len(levels) > _NO_KIND * len(codes):  # nothing is usual, and nothing unusual
            used, kept = np.unique(codes[rows], return_inverse=True)
            return {
                "name": name,
                "levels": [*(levels[i] for i in used), "–"],
                "codes": packed(kept, np.uint32),
                "shares": packed(np.ones(len(rows)), np.float32),
                "common": [len(used)] * self._n_classes,
            }
        pairs, inverse, counts = np.unique(
            self._given * len(levels) + codes, return_inverse=True, return_counts=True
        )
        share = counts[inverse[rows]] / np.bincount(self._given)[self._given[rows]]
        common = np.zeros(self._n_classes, dtype=np.int64)
        ascending = np.argsort(counts, kind="stable")  # so that the most frequent is set last
        common[pairs[ascending] // len(levels)] = pairs[ascending] % len(levels)
        used, kept = np.unique(np.concatenate([codes[rows], common]), return_inverse=True)
        return {
            "name": name,
            "levels": [levels[i] for i in used],
            "codes": packed(kept[: len(rows)], np.uint32),
            "shares": packed(share, np.float32),
            "common": kept[len(rows) :].tolist(),
        }


def _columns(show: Any, names: Any) -> Iterator[tuple[str, Any]]:
    """Yield name and values of every column of a frame or a matrix."""
    if hasattr(show, "iloc"):
        for i, name in enumerate(show.columns):
            yield str(name), show.iloc[:, i]
    elif hasattr(show, "columns"):
        for name in show.columns:
            yield str(name), show[name]
    else:
        matrix = as_array(show, "show")
        for i in range(matrix.shape[1]):
            yield f"x{i}" if names is None else str(names[i]), matrix[:, i]


def _numbers(column: Any) -> NDArray[np.float64] | None:
    """Return a column as numbers, infinite ones as missing, or None if it holds something else."""
    if str(getattr(column, "dtype", "")).lower() in ("bool", "boolean", "category", "categorical"):
        return None
    try:
        values = as_floats(column, "show")
    except (TypeError, ValueError):
        return None
    return np.where(np.isinf(values), np.nan, values)


def _levels(column: Any) -> tuple[list[str], NDArray[np.int64]]:
    """Return the different values of a column as texts, and which of them every row has."""
    values = np.asarray(column, dtype=object)
    texts = np.where(is_missing(values), _ABSENT, values)
    levels, codes = np.unique([str(text) for text in texts], return_inverse=True)
    return levels.tolist(), codes
