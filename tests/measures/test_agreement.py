# SPDX-License-Identifier: BSD-3-Clause
"""Agreement of ensembles: hand cases, closed forms for nearest neighbours, and slow loops."""

import tracemalloc
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_difficulty.measures import (
    consensus_class,
    consensus_consistency,
    consistency_score,
    high_influence_pairs,
    influence,
    memorization,
)
from sklearn_difficulty.measures.memorization import _influence_blocks

NAN = float("nan")


def random_ensemble(seed=0, n_members=25, n_rows=12, n_test=9, n_classes=3):
    """Return members whose accuracy differs from row to row, some rows on one side only."""
    rng = np.random.default_rng(seed)
    trained_on = rng.random((n_members, n_rows)) < 0.6
    trained_on[:, 0], trained_on[:, 1] = True, False
    predictions = rng.integers(n_classes, size=(n_members, n_rows))
    test_correct = rng.random((n_members, n_test)) < rng.random(n_test)
    return trained_on, predictions, rng.integers(n_classes, size=n_rows), test_correct


def masks_of_size(n_members, n_rows, size, seed=0):
    """Return independent, uniform training sets of one size."""
    keys = np.random.default_rng(seed).random((n_members, n_rows))
    return keys.argsort(axis=1).argsort(axis=1) < size


def nearest_neighbor_correct(X, y, trained_on):
    """Return whether the nearest row of every member's training set has the row's label."""
    order = np.linalg.norm(X[:, None] - X, axis=2).argsort(axis=1)
    return np.stack(
        [y[order[np.arange(len(y)), mask[order].argmax(axis=1)]] == y for mask in trained_on]
    )


def nearest_neighbor_p_out(X, y, size):
    """Return the exact chance that a row held out is predicted right, over all training sets."""
    n = len(y)
    order = np.linalg.norm(X[:, None] - X, axis=2).argsort(axis=1)[:, 1:]
    # The r-th nearest of the others decides if it is there and the nearer ones are not.
    chance = [comb(n - 1 - r, size - 1) / comb(n - 1, size) for r in range(1, n)]
    return (y[order] == y[:, None]) @ np.array(chance)


# ------------------------------------------------------------------ consistency


def test_consistency_counts_only_members_that_held_the_row_out():
    correct = np.array([[1, 0, 1, 1], [1, 1, 0, 0], [0, 0, 1, 0], [0, 1, 0, 1]], dtype=bool)
    held_out = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [1, 1, 1, 0], [0, 1, 0, 0]], dtype=bool)
    score = consistency_score(correct, held_out)
    assert score.dtype == np.float64
    assert_array_equal(score, [0.5, 0.5, 0.5, NAN])
    assert_array_equal(consistency_score(correct.tolist(), held_out.tolist()), score)


def test_consistency_of_probabilities():
    score = consistency_score([[0.25, 0.5], [0.75, 0.5]], [[True, False], [True, True]])
    assert_array_equal(score, [0.5, 0.5])


def test_consistency_is_what_memorization_calls_p_out():
    trained_on, predictions, labels, _ = random_ensemble()
    correct = predictions == labels
    found = memorization(correct, trained_on)
    assert_array_equal(consistency_score(correct, ~trained_on), found.p_out)
    assert_array_equal(consistency_score(correct, trained_on), found.p_in)


# -------------------------------------------------------------------- consensus


@pytest.mark.parametrize(
    ("votes", "label", "expected"),
    [
        ([0, 1, 1], 0, 1),  # no tie: the label has no say
        ([0, 1, 1, 0], 1, 1),  # tied, the label among them
        ([0, 1, 1, 0], 0, 0),
        ([2, 1, 1, 2], 0, 1),  # tied, the label voted for by nobody: the lowest
        ([2, 1, 1, 2, 0], 0, 1),  # ... or by too few
        ([2, 1, 1, 2], 7, 1),  # ... or larger than every prediction
        ([3, 2, 1], 3, 3),
        ([3, 2, 1], None, 1),
        ([5], 0, 5),
    ],
)
def test_consensus_and_its_ties(votes, label, expected):
    column = np.array(votes)[:, None]
    found = consensus_class(column, given=None if label is None else [label])
    assert found.dtype == np.int64
    assert found.tolist() == [expected]
    share = consensus_consistency(column)
    assert share.tolist() == [votes.count(expected) / len(votes)]


def test_only_members_that_held_the_row_out_vote():
    predictions = [[0, 1, -1], [2, 1, -1], [0, 0, -1]]  # -1: not asked
    held_out = [[False, True, False], [True, True, False], [False, True, False]]
    assert consensus_class(predictions, held_out).tolist() == [2, 1, -1]
    assert_array_equal(consensus_consistency(predictions, held_out), [1, 2 / 3, NAN])
    # Where nobody votes, the given label is no consensus.
    assert consensus_class(predictions, held_out, given=[0, 0, 0]).tolist() == [2, 1, -1]


@given(st.integers(0, 10**6), st.integers(1, 7), st.integers(1, 5), st.booleans(), st.booleans())
def test_consensus_equals_a_slow_loop(seed, n_members, n_classes, some_vote, knows_labels):
    rng = np.random.default_rng(seed)
    predictions = rng.integers(n_classes, size=(n_members, 6))
    held_out = rng.random((n_members, 6)) < 0.5 if some_vote else np.ones((n_members, 6), bool)
    labels = rng.integers(n_classes, size=6)
    consensus, share = [], []
    for row in range(6):
        votes = predictions[held_out[:, row], row].tolist()
        tied = [c for c in sorted(set(votes)) if votes.count(c) == max(map(votes.count, votes))]
        of_label = [c for c in tied if knows_labels and c == labels[row]]
        consensus.append((of_label + tied + [-1])[0])
        share.append(votes.count(consensus[-1]) / len(votes) if votes else NAN)
    mask, own = held_out if some_vote else None, labels if knows_labels else None
    assert consensus_class(predictions, mask, own).tolist() == consensus
    assert_array_equal(consensus_consistency(predictions, mask), share)


def test_consensus_in_blocks(monkeypatch):
    _, predictions, labels, _ = random_ensemble(n_members=6, n_rows=50)
    consensus, share = (
        consensus_class(predictions, None, labels),
        consensus_consistency(predictions),
    )
    monkeypatch.setattr("sklearn_difficulty.measures.consistency._BLOCK_ENTRIES", 42)
    assert_array_equal(consensus_class(predictions, None, labels), consensus)
    assert_array_equal(consensus_consistency(predictions), share)


# ----------------------------------------------------------------- memorization


def test_memorization_by_hand():
    trained_on = np.array([[1, 1, 0, 1], [1, 0, 0, 0], [1, 0, 0, 1], [0, 0, 0, 0]], dtype=bool)
    correct = np.array([[1, 1, 1, 1], [1, 0, 0, 1], [0, 1, 0, 0], [1, 0, 0, 0]], dtype=bool)
    found = memorization(correct, trained_on)
    assert_allclose(found.p_in, [2 / 3, 1, NAN, 1 / 2], rtol=1e-15)
    assert_allclose(found.p_out, [1, 1 / 3, 1 / 4, 1 / 2], rtol=1e-15)
    assert_allclose(found.memorization, [-1 / 3, 2 / 3, NAN, 0], rtol=1e-15)
    assert found.n_in.tolist() == [3, 1, 0, 2]
    assert found.n_out.tolist() == [1, 3, 4, 2]
    # Row 0: (2 + 1) / (3 + 2) right inside, (1 + 1) / (1 + 2) outside.
    assert_allclose(found.standard_error[0], (0.6 * 0.4 / 3 + (2 / 3) * (1 / 3) / 1) ** 0.5)
    assert np.isnan(found.standard_error).tolist() == [False, False, True, False]
    assert all(values.dtype == np.float64 for values in found[:4])
    assert found.n_in.dtype == found.n_out.dtype == np.int64


def test_a_side_without_members_is_nan_and_the_other_is_not():
    found = memorization([[True, True], [False, True]], [[True, False], [True, False]])
    assert_array_equal(found.p_in, [0.5, NAN])
    assert_array_equal(found.p_out, [NAN, 1.0])
    assert np.isnan(found.memorization).all()
    assert np.isnan(found.standard_error).all()


def test_standard_error_becomes_the_binomial_one():
    n = 40_000
    trained_on = np.arange(n)[:, None] < 0.7 * n
    correct = np.arange(n)[:, None] % 10 < np.where(trained_on, 9, 4)
    found = memorization(correct, trained_on)
    binomial = (0.9 * 0.1 / (0.7 * n) + 0.4 * 0.6 / (0.3 * n)) ** 0.5
    assert_allclose(found.standard_error, binomial, rtol=1e-3)


def test_few_unanimous_members_are_uncertain():
    few = memorization(np.ones((4, 1), bool), [[True], [True], [False], [False]])
    assert few.memorization == 0
    assert few.standard_error > 0.4


def test_memorization_of_probabilities():
    trained_on = [[True], [True], [False]]
    found = memorization(np.array([[0.5], [1.0], [0.25]], dtype=np.float32), trained_on)
    assert_array_equal(found.memorization, [0.5])


def test_memorization_of_nearest_neighbors_is_the_closed_form():
    n, size, n_members = 200, 140, 3000
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(n, 2)), rng.integers(2, size=n)
    trained_on = masks_of_size(n_members, n, size)
    found = memorization(nearest_neighbor_correct(X, y, trained_on), trained_on)
    assert_array_equal(found.p_in, 1)  # a row is its own nearest neighbour
    p_out = nearest_neighbor_p_out(X, y, size)
    error = found.memorization - (1 - p_out)
    assert np.all(abs(error) < 5 * found.standard_error)
    assert np.ptp(p_out) > 0.8  # the oracle tells rows apart
    # In units of the standard error the scatter is that of a normal variable.
    uncertain = (p_out > 0.05) & (p_out < 0.95)
    assert uncertain.sum() > 100
    assert 0.7 < np.mean((error / found.standard_error)[uncertain] ** 2) < 1.4


def test_duplicates_are_hardly_memorized_and_a_lone_wrong_label_entirely():
    n, size = 40, 28
    rng = np.random.default_rng(2)
    X, y = rng.normal(size=(n, 2)), np.zeros(n, dtype=int)
    X[1], y[:2] = X[0], 1  # an exact duplicate pair of a label of its own
    X[2:] += 20  # a pure cluster, far off, with one wrong label in it
    y[2] = 1
    trained_on = masks_of_size(2000, n, size)
    found = memorization(nearest_neighbor_correct(X, y, trained_on), trained_on)
    assert found.memorization[2] == 1
    # Without its twin, or another row of its label in reach, a duplicate is wrong.
    twin_is_there = size / (n - 1)
    assert_array_equal(found.p_in, 1)
    assert np.all(abs(found.p_out[:2] - twin_is_there) < 5 * found.standard_error[:2])


@pytest.mark.parametrize("predicted", [0, 1])
def test_a_constant_classifier_memorizes_nothing(predicted):
    trained_on, predictions, labels, _ = random_ensemble()
    correct = np.broadcast_to(labels == predicted, predictions.shape)
    found = memorization(correct, trained_on)
    assert_array_equal(found.memorization, [NAN, NAN] + [0] * 10)
    of_test = influence(correct, trained_on)
    assert_array_equal(of_test, np.tile([NAN, NAN] + [0] * 10, (12, 1)))


# -------------------------------------------------------------------- influence


def slow_influence(test_correct, trained_on):
    def mean(values):
        return values.mean() if len(values) else NAN

    return np.array(
        [
            [mean(right[mask]) - mean(right[~mask]) for mask in trained_on.T]
            for right in test_correct.T
        ]
    )


@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 30))
def test_influence_equals_a_slow_loop(seed, n_members, max_entries):
    trained_on, _, _, test_correct = random_ensemble(seed, n_members=n_members)
    expected = slow_influence(test_correct, trained_on)
    found = influence(test_correct, trained_on)
    assert found.dtype == np.float32
    assert_allclose(found, expected, rtol=0, atol=2e-7)
    blocks = list(_influence_blocks(test_correct, trained_on, max_entries))
    assert len(blocks) == -(-9 // max(1, max_entries // 12))
    assert_array_equal(np.concatenate([block for _, block in blocks]), found)
    covered = np.concatenate([np.arange(9)[rows] for rows, _ in blocks])
    assert_array_equal(covered, np.arange(9))


def test_influence_of_probabilities():
    trained_on, _, _, _ = random_ensemble()
    probabilities = np.random.default_rng(3).random((25, 9))
    # A side without members is NaN without a warning, whatever rounding leaves of its sum.
    with np.errstate(all="raise"):
        found = influence(probabilities, trained_on)
    assert_array_equal(np.isnan(found), np.tile([True, True] + [False] * 10, (9, 1)))
    expected = [
        [right[mask].mean() - right[~mask].mean() for mask in trained_on.T[2:]]
        for right in probabilities.T
    ]
    assert_allclose(found[:, 2:], expected, rtol=0, atol=1e-6)


def test_influence_of_training_rows_on_themselves_is_memorization():
    trained_on, predictions, labels, _ = random_ensemble()
    correct = predictions == labels
    found = influence(correct, trained_on)
    assert_allclose(np.diag(found), memorization(correct, trained_on).memorization, atol=2e-7)


def test_no_test_rows_and_no_training_rows():
    assert influence(np.ones((3, 0)), np.ones((3, 5), bool)).shape == (0, 5)
    assert influence(np.ones((3, 5)), np.ones((3, 0), bool)).shape == (5, 0)


# ------------------------------------------------------------------------ pairs


def slow_pairs(test_correct, trained_on, memorized, train_labels, test_labels, least):
    full = influence(test_correct, trained_on)
    found = [
        (-full[test, train], test, train)
        for test in range(len(test_labels))
        for train in range(len(train_labels))
        if test_labels[test] == train_labels[train]
        and memorized[train] >= least[0] - 1e-6
        and full[test, train] >= least[1] - 1e-6
    ]
    return sorted(found)


@given(st.integers(0, 10**6), st.sampled_from([(0.25, 0.15), (-1, -1), (-0.1, 0.3), (0.9, 0.9)]))
@settings(deadline=None)
def test_pairs_equal_brute_force(seed, least):
    trained_on, predictions, labels, test_correct = random_ensemble(seed, n_members=8)
    memorized = memorization(predictions == labels, trained_on).memorization
    names = np.array(["cat", "ant", "dog"], dtype=object)
    test_labels = names[np.random.default_rng(seed).integers(3, size=9)]
    pairs = high_influence_pairs(
        test_correct,
        trained_on,
        memorized,
        train_labels=names[labels],
        test_labels=test_labels,
        min_memorization=least[0],
        min_influence=least[1],
    )
    expected = slow_pairs(test_correct, trained_on, memorized, names[labels], test_labels, least)
    found = list(zip(-pairs.influence, pairs.test_index, pairs.train_index, strict=True))
    assert found == expected
    assert_array_equal(pairs.memorization, memorized[pairs.train_index])
    assert pairs.test_index.dtype == pairs.train_index.dtype == np.int64
    assert pairs.influence.dtype == np.float32


@given(st.integers(0, 10**6))
@settings(deadline=None)
def test_pairs_do_not_depend_on_the_blocks(seed):
    trained_on, _, labels, test_correct = random_ensemble(seed, n_members=8)
    arguments = {"train_labels": labels, "test_labels": labels[:9], "min_influence": 0.0}
    pairs = high_influence_pairs(test_correct, trained_on, np.ones(12), **arguments)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_influence_blocks, "__defaults__", (1,))
        in_blocks = high_influence_pairs(test_correct, trained_on, np.ones(12), **arguments)
    for values, expected in zip(in_blocks, pairs, strict=True):
        assert_array_equal(values, expected)


def test_the_published_rule_takes_its_limits_in():
    # 20 members on each side: 20 right of 20 against 17 of 20 is 0.15, below it in float32.
    trained_on = np.zeros((40, 2), bool)
    trained_on[:20] = True
    test_correct = np.ones((40, 2), bool)
    test_correct[20:23, 0] = False
    test_correct[20:22, 1] = False
    assert influence(test_correct, trained_on)[0, 0] < np.float32(0.15)
    pairs = high_influence_pairs(
        test_correct, trained_on, [0.25, 0.24], train_labels=[0, 0], test_labels=[0, 0]
    )
    assert (pairs.test_index.tolist(), pairs.train_index.tolist()) == ([0], [0])


def test_no_pair():
    trained_on, _, labels, test_correct = random_ensemble()
    pairs = high_influence_pairs(
        test_correct, trained_on, np.full(12, NAN), train_labels=labels, test_labels=labels[:9]
    )
    assert [len(values) for values in pairs] == [0, 0, 0, 0]


def test_pairs_never_hold_the_whole_matrix():
    n_test, n_train = 10_000, 4_000
    rng = np.random.default_rng(0)
    trained_on, test_correct = rng.random((4, n_train)) < 0.5, rng.random((4, n_test)) < 0.5
    tracemalloc.start()
    try:
        high_influence_pairs(
            test_correct,
            trained_on,
            np.ones(n_train),
            train_labels=np.zeros(n_train),
            test_labels=np.zeros(n_test),
            min_influence=1.5,
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 0.5 * 4 * n_test * n_train


# --------------------------------------------------------------------- all of it


def test_rows_and_members_in_another_order():
    trained_on, predictions, labels, test_correct = random_ensemble()
    rng = np.random.default_rng(4)
    rows, tests, members = rng.permutation(12), rng.permutation(9), rng.permutation(25)
    moved, votes = trained_on[members][:, rows], predictions[members][:, rows]
    right, own = predictions == labels, labels[rows]
    for expected, found in (
        (consistency_score(right, ~trained_on), consistency_score(votes == own, ~moved)),
        (consensus_class(predictions, ~trained_on, labels), consensus_class(votes, ~moved, own)),
        (consensus_consistency(predictions, ~trained_on), consensus_consistency(votes, ~moved)),
        *zip(memorization(right, trained_on), memorization(votes == own, moved), strict=True),
    ):
        assert_array_equal(found, expected[rows])
    expected = influence(test_correct, trained_on)[tests][:, rows]
    assert_array_equal(influence(test_correct[members][:, tests], moved), expected)


def pairs_of(correct, mask, memorized=(1.0, 1.0), train_labels=(0, 0), test_labels=(0, 0)):
    return high_influence_pairs(
        correct, mask, memorized, train_labels=train_labels, test_labels=test_labels
    )


BOTH = np.array([[True, False], [False, True]])


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (consistency_score, "correct"),
        (memorization, "correct"),
        (influence, "test_correct"),
        (pairs_of, "test_correct"),
    ],
)
def test_correctness_that_is_none(function, name):
    for correct in ([True, True], [], np.ones((0, 2)), np.ones((2, 2, 1)), True):
        with pytest.raises(ValueError, match=rf"^{name} must have the shape \(n_members"):
            function(correct, BOTH)
    for correct in ([[0, 2], [0, 0]], [[0, -1], [0, 0]], [[0, NAN], [0, 0]]):
        with pytest.raises(ValueError, match=rf"^{name} must lie in \[0, 1\]"):
            function(correct, BOTH)
    with pytest.raises(ValueError, match=f"^{name} must hold booleans or numbers"):
        function([["a", "b"], ["a", "b"]], BOTH)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (consistency_score, "held_out"),
        (consensus_class, "held_out"),
        (consensus_consistency, "held_out"),
        (memorization, "trained_on"),
        (influence, "trained_on"),
        (pairs_of, "trained_on"),
    ],
)
def test_masks_that_are_none(function, name):
    for mask in (BOTH[0], BOTH[:1], BOTH[:, :, None], True):
        with pytest.raises(
            ValueError, match=rf"^{name} must have the shape \(2, (2|n_train)\), got"
        ):
            function(BOTH.astype(int), mask)
    with pytest.raises(ValueError, match=f"^{name} must hold booleans, got an array of dtype int"):
        function(BOTH.astype(int), BOTH.astype(int))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 1],), r"predictions must have the shape .* got \(2,\)"),
        ((np.empty((0, 2)),), r"predictions must have the shape .* got \(0, 2\)"),
        (([[0.0, 1.0]],), "predictions must hold integers, got an array of dtype float64"),
        (([[0, -1]],), "predictions must hold classes from 0, got -1"),
        (([[0, 1]], None, [0]), r"given must have the shape \(2,\), got \(1,\)"),
        (([[0, 1]], None, [0, -2]), "given must hold classes from 0, got -2"),
        (([[0, 1]], None, ["a", "b"]), "given must hold integers"),
    ],
)
def test_classes_that_are_none(arguments, message):
    with pytest.raises(ValueError, match=message):
        consensus_class(*arguments)


@pytest.mark.parametrize("name", ["memorized", "train_labels", "test_labels"])
def test_pairs_of_shapes_that_do_not_fit(name):
    shown = "memorization" if name == "memorized" else name
    with pytest.raises(ValueError, match=rf"^{shown} must have the shape \(2,\), got \(3,\)"):
        pairs_of(BOTH, BOTH, **{name: (1, 1, 1)})
