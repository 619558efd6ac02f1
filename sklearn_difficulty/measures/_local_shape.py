# SPDX-License-Identifier: BSD-3-Clause
"""Where honest residuals lie and how wide they are, among rows with about the same prediction.

Windows of rows in the order of their predictions; within each, a center and a width that hold while
most of its rows are wrong, and between them straight lines.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_WINDOW_ROWS = 150  # at least: fewer tell little of a width
_MAX_WINDOWS = 80
_ROWS_PER_WINDOW = 25  # one in so many rows
_LEAST_WIDTH = 0.1  # of the median width
_MAD_TO_STD = 1.4826
_GOLDEN = 0.6180339887498949  # multiples of it, less whole ones, lie evenly in a unit
_TINY = 1e-300


class LocalShape(NamedTuple):
    """Center and width of honest residuals as functions of the prediction."""

    places: Floats  # increasing predictions
    centers: Floats
    widths: Floats  # positive

    def center(self, predictions: Floats) -> Floats:
        """Return the center (n,) of the residuals at predictions."""
        return np.interp(predictions, self.places, self.centers)

    def width(self, predictions: Floats) -> Floats:
        """Return the width (n,) of the residuals at predictions."""
        return np.interp(predictions, self.places, self.widths)


class Windows:
    """Rows in the order of their predictions, in windows that overlap."""

    def __init__(self, predictions: Floats, targets: Floats, *, local: bool) -> None:
        n = len(predictions)
        n_rows = min(n, max(_WINDOW_ROWS, n // _ROWS_PER_WINDOW)) if local else n
        n_windows = 1 if n_rows == n else min(_MAX_WINDOWS, max(2, 2 * n // n_rows))
        first = np.linspace(0, n - n_rows, n_windows).astype(int)
        order = np.argsort(predictions, kind="stable")
        self.rows = order[first[:, None] + np.arange(n_rows)]
        self.places = predictions[self.rows].mean(axis=1)
        largest = float(np.abs(targets).max())
        # Targets in whole units cannot be met more closely than that.
        self.least_width = max(resolution(targets) / 2, 1e-9 * largest) or 1e-9

    def start(self, residuals: Floats, share: float) -> LocalShape:
        """Return the shortest intervals that hold a share of each window's residuals.

        What is wrong is spread out: while it is not too much, the shortest interval lies among what
        is right.
        """
        values = np.sort(residuals[self.rows], axis=1)
        n_rows = values.shape[1]
        n_inside = min(max(2, int(share * n_rows)), n_rows - 1)
        lengths = values[:, n_inside:] - values[:, : n_rows - n_inside]
        at = lengths.argmin(axis=1), np.arange(len(values))
        center = (values[at[1], at[0]] + values[at[1], at[0] + n_inside]) / 2
        return self._shape(center, lengths[at[1], at[0]] / 2)

    def weighted(self, residuals: Floats, weights: Floats) -> LocalShape:
        """Return weighted medians, and the median distance from them."""
        values, weights = residuals[self.rows], weights[self.rows] + 1e-9
        center = _weighted_medians(values, weights)
        distance = _weighted_medians(np.abs(values - center[:, None]), weights)
        return self._shape(center, _MAD_TO_STD * distance)

    def _shape(self, center: Floats, width: Floats) -> LocalShape:
        """Return a shape without what is too narrow, smoothed over neighbouring windows."""
        width = np.maximum(width, max(_LEAST_WIDTH * np.median(width), self.least_width))
        return LocalShape(self.places, _smoothed(center), np.exp(_smoothed(np.log(width))))


def _weighted_medians(values: Floats, weights: Floats) -> Floats:
    """Return the weighted median of every line."""
    order = values.argsort(axis=1)
    cumulated = np.take_along_axis(weights, order, axis=1).cumsum(axis=1)
    middle = (cumulated >= cumulated[:, -1:] / 2).argmax(axis=1)
    lines = np.arange(len(values))
    return values[lines, order[lines, middle]]


def _smoothed(values: Floats) -> Floats:
    """Return each value with half of its weight given to its neighbours."""
    if len(values) < 3:
        return values
    padded = np.concatenate([values[:1], values, values[-1:]])
    return (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4


def resolution(values: Floats) -> float:
    """Return how far apart different values lie, for half of the rows at least; 0 for one."""
    different, counts = np.unique(values, return_counts=True)
    if len(different) < 2:
        return 0.0
    gaps = np.diff(different)
    gaps = np.append(gaps, gaps[-1])
    order = gaps.argsort(kind="stable")
    return float(gaps[order][np.searchsorted(counts[order].cumsum(), len(values) / 2)])


def without_ties(values: Floats, predictions: Floats) -> Floats:
    """Return values, each somewhere in what is rounded to it, evenly over the predictions.

    A density that is fitted to tied values narrows down to one of them.
    """
    if 2 * len(np.unique(values)) > len(values):
        return values
    order = np.lexsort((values, predictions))
    places = np.empty(len(values))
    places[order] = np.arange(1, len(values) + 1) * _GOLDEN % 1 - 0.5
    return values + resolution(values) * places


class Density:
    """How densely values lie around a place: what a target is that belongs to another row."""

    def __init__(self, values: Floats) -> None:
        self.sorted = np.sort(values)
        n = len(values)
        self.n_beside = max(5, int(n**0.8 / 8))
        tenth, last_tenth = np.quantile(values, [0.1, 0.9])
        spread = float(last_tenth - tenth) or float(np.ptp(values)) or 1.0
        self.least = 0.02 * spread

    def __call__(self, places: Floats) -> Floats:
        """Return the density (n,) at places."""
        values, last = self.sorted, len(self.sorted) - 1
        at = np.searchsorted(values, places)
        low = values[np.clip(at - self.n_beside, 0, last)]
        high = values[np.clip(at + self.n_beside, 0, last)]
        # Beyond the values the interval reaches out to the place.
        low, high = np.minimum(low, places), np.maximum(high, places)
        half, middle = np.maximum((high - low) / 2, self.least), (low + high) / 2
        half *= 1 + 1e-9  # both ends are inside, however they are rounded
        n_inside = np.searchsorted(values, middle + half, side="right") - np.searchsorted(
            values, middle - half, side="left"
        )
        return np.maximum(n_inside, 1) / (2 * half * len(values)) + _TINY
