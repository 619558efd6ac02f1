# SPDX-License-Identifier: BSD-3-Clause
"""Error probabilities from one view of the rows, in the order of another that ranks better."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import isotonic_regression

from .label_noise import LabelNoise


def noise_in_order(
    noise: LabelNoise,
    difficulty: NDArray[np.float32],
    probabilities: NDArray[np.floating[Any]],
    y: NDArray[np.int64],
) -> LabelNoise:
    """Return what was estimated as a function of a difficulty (n,) that does not fall.

    It is the mean over rows of equal difficulty, made so by isotonic regression; the rates stay.
    The likeliest other class is that of the probabilities (n, n_classes), from which the order is.
    """
    _, place, counts = np.unique(difficulty, return_inverse=True, return_counts=True)
    error, low, high = (
        isotonic_regression(np.bincount(place, of_row) / counts, sample_weight=counts)[place].clip(
            0, 1
        )
        for of_row in (noise.error_probability, *noise.error_probability_bounds)
    )
    rows = np.arange(len(y))
    others = probabilities.astype(np.float64)
    others[rows, y] = 0
    other = others.argmax(axis=1)
    to_other = error * others[rows, other] / np.maximum(others.sum(axis=1), np.finfo(float).tiny)
    is_other = to_other > 1 - error
    return noise._replace(
        error_probability=error,
        suggested=np.where(is_other, other, y),
        suggested_probability=np.where(is_other, to_other, 1 - error),
        error_probability_bounds=np.stack([low, high]),
        difficulty=difficulty,
    )
