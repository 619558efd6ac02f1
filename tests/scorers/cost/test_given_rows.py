# SPDX-License-Identifier: BSD-3-Clause
"""Which rows are rehearsed with."""

import numpy as np
import pytest

from sklearn_difficulty import DifficultyScorer, PredictionDepthScorer, TrainingDynamicsScorer
from sklearn_difficulty.scorers.cost.given_rows import GivenToFit, spread

DEPTH = PredictionDepthScorer(n_neighbors=60)


def test_rare_classes_are_among_the_rows():
    codes = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [390, 5, 105]))
    index = spread(codes, 64)
    assert len(np.unique(index)) == 64
    assert (np.diff(index) > 0).all()
    n_of = np.bincount(codes[index])
    assert n_of[1] == 5
    assert 0.6 < n_of[0] / 64 < 0.78  # as among all


def test_a_single_class_is_taken_from_all_rows():
    index = spread(np.zeros(1000, dtype=int), 100)
    assert len(np.unique(index)) == 100
    assert index[-1] == 999
    assert np.diff(index[8:]).max() <= 11


@pytest.mark.parametrize(
    ("scorer", "y", "sizes"),
    [
        (TrainingDynamicsScorer(), np.arange(2000) % 3, [256, 768]),
        (TrainingDynamicsScorer(), np.arange(2000) % 100, [500, 1000]),
        (TrainingDynamicsScorer(), np.arange(2000) % 500, [2000]),
        (DEPTH, np.arange(4000) % 3, [480, 1440]),
        (DifficultyScorer(scores=[DEPTH, "aum"]), np.arange(4000) % 3, [480, 1440]),
        (TrainingDynamicsScorer(), np.arange(300) % 3, [75, 150]),
        (TrainingDynamicsScorer(), np.arange(300) / 3, [75, 150]),
    ],
)
def test_how_many_rows(scorer, y, sizes):
    X = np.zeros((len(y), 2), dtype=np.float32)
    assert GivenToFit(scorer, X, y, None, None).sizes() == sizes


def test_only_what_the_network_takes_in_another_dtype_is_copied():
    X, y = np.zeros((100, 4)), np.arange(100) % 2
    for dtype, copied in [(np.float64, 1600), (np.float32, 0), (np.int64, 0)]:
        assert GivenToFit(DEPTH, X.astype(dtype), y, None, None).cast_bytes == copied
