# SPDX-License-Identifier: BSD-3-Clause
"""The votes of neighbours, by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_difficulty.inference import nearest as votes_module
from sklearn_difficulty.inference.nearest import majority


@pytest.mark.parametrize(
    ("labels", "distances", "nearest_wins", "lowest_wins"),
    [
        ([1, 1, 1, 0], [9, 9, 9, 1], 1, 1),  # a majority, however far
        ([1, 0, 1, 0], [1, 3, 2, 4], 1, 0),
        ([1, 0, 1, 0], [4, 3, 2, 1], 0, 0),
        ([2, 1, 2, 1], [2, 3, 4, 3], 1, 1),  # equal sums
        ([2, 1, 0, 2, 1], [1, 2, 0, 5, 3], 1, 1),  # class 0 is near, but has one vote
        ([2], [7], 2, 2),
        ([2, 0], [0, 0], 0, 0),
    ],
)
def test_ties_of_votes(labels, distances, nearest_wins, lowest_wins):
    labels, distances = np.array([labels]), np.array([distances], dtype=np.float32)
    share = np.bincount(labels[0]).max() / labels.shape[1]
    for ties, winner in (("nearest", nearest_wins), ("lowest", lowest_wins)):
        winners, shares = majority(labels, distances, 3, ties)
        assert winners.tolist() == [winner]
        assert_allclose(shares, [share])


@pytest.mark.parametrize("ties", ["nearest", "lowest"])
def test_votes_of_undefined_rows(ties):
    labels = np.array([[0, 1], [1, 1]])
    distances = np.array([[np.nan, np.nan], [1, 2]], dtype=np.float32)
    winners, shares = majority(labels, distances, 2, ties)
    assert winners.tolist() == [-1, 1]
    assert_array_equal(shares, [np.nan, 1])


@pytest.mark.parametrize("ties", ["nearest", "lowest"])
def test_many_classes_are_counted_in_blocks(monkeypatch, ties):
    rng = np.random.default_rng(0)
    labels = rng.integers(1000, size=(57, 6))
    labels[:, 3:] = labels[:, :3]
    distances = rng.random((57, 6)).astype(np.float32)
    expected = majority(labels, distances, 1000, ties)
    monkeypatch.setattr(votes_module, "_VOTE_BYTES", 8 * 1000 * 10)
    sizes = []
    of_block = votes_module.count_votes

    def noting(labels, n_classes):
        sizes.append(len(labels))
        return of_block(labels, n_classes)

    monkeypatch.setattr(votes_module, "count_votes", noting)
    found = majority(labels, distances, 1000, ties)
    assert sizes == [10] * 5 + [7]
    for f, e in zip(found, expected, strict=True):
        assert_array_equal(f, e)


@given(
    hnp.arrays(np.int64, (4, 6), elements=st.integers(0, 3)),
    hnp.arrays(np.float32, (4, 6), elements=st.integers(0, 5).map(float)),
)
def test_majority_equals_a_slow_loop(labels, distances):
    winners, shares = majority(labels, distances, 4, "nearest")
    for i in range(4):
        votes = [(labels[i] == c).sum() for c in range(4)]
        sums = [distances[i, labels[i] == c].sum() for c in range(4)]
        best = min(range(4), key=lambda c: (-votes[c], sums[c], c))
        assert winners[i] == best
        assert shares[i] == np.float32(votes[best] / 6)
