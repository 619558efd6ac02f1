# SPDX-License-Identifier: BSD-3-Clause
"""The votes of neighbours: which class has the most, and what share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_VOTE_BYTES = 2**26


def count_votes(labels: NDArray[np.int64], n_classes: int) -> NDArray[np.int64]:
    """Return how many neighbours (n, k) belong to each class, (n, n_classes)."""
    return _per_class(labels, n_classes).astype(np.int64)


def _per_class(
    labels: NDArray[np.int64], n_classes: int, weights: NDArray[Any] | None = None
) -> NDArray[Any]:
    n = len(labels)
    cells = labels + n_classes * np.arange(n)[:, None]
    flat = None if weights is None else weights.astype(np.float64).ravel()
    return np.bincount(cells.ravel(), flat, minlength=n * n_classes).reshape(n, n_classes)


def majority(
    labels: NDArray[np.int64], distances: NDArray[np.float32], n_classes: int, ties: str
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the class with the most votes, and its share of them.

    Parameters
    ----------
    labels : ndarray of shape (n, k)
        Class codes of the neighbours.
    distances : ndarray of shape (n, k)
        Their distances.
    n_classes : int
        Number of classes.
    ties : {"nearest", "lowest"}
        Of the classes with the most votes, the one whose neighbours are nearer in sum, then the
        lowest code; or the lowest code.

    Returns
    -------
    winners : ndarray of shape (n,)
        Codes; -1 where the distances are NaN.
    shares : ndarray of shape (n,), float32
        From 1 / k to 1; NaN where the distances are.
    """
    winners = np.empty(len(labels), dtype=np.int64)
    shares = np.empty(len(labels), dtype=np.float32)
    step = max(1, _VOTE_BYTES // (8 * max(n_classes, labels.shape[1])))
    for start in range(0, len(labels), step):
        rows = slice(start, start + step)
        votes = count_votes(labels[rows], n_classes)
        most = votes.max(axis=1, keepdims=True)
        if ties == "nearest":
            summed = _per_class(labels[rows], n_classes, distances[rows])
            winners[rows] = np.where(votes == most, summed, np.inf).argmin(axis=1)
        else:
            winners[rows] = votes.argmax(axis=1)
        shares[rows] = most[:, 0] / labels.shape[1]
    undefined = np.isnan(distances).any(axis=1)
    winners[undefined], shares[undefined] = -1, np.nan
    return winners, shares
