# SPDX-License-Identifier: BSD-3-Clause
"""Detection measures against counting by hand and averaging over tie orders."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import average_precision_score, roc_auc_score

from sklearn_difficulty.metrics import (
    detection_report,
    error_rate_by_percentile,
    lift_at_k,
    precision_at_k,
    recall_at_precision,
)

MARKED = np.array([1, 0, 1, 1, 0, 0, 0, 0, 0, 0])
SCORE = np.array([10, 9, 8, 7, 6, 5, 4, 3, 2, 1]) / 10

# Few values, so that most examples have ties.
marked_and_scores = st.lists(
    st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.25, 1.0])), min_size=2, max_size=30
)


def columns(pairs):
    marked, score = (np.array(column) for column in zip(*pairs, strict=True))
    assume(0 < marked.sum() < len(marked))
    return marked, score


def test_precision_at_k_by_hand():
    expected = [1, 1 / 2, 2 / 3, 3 / 4, 3 / 5, 3 / 6, 3 / 7, 3 / 8, 3 / 9, 3 / 10]
    assert [precision_at_k(MARKED, SCORE, k) for k in range(1, 11)] == expected


@pytest.mark.parametrize(
    ("share", "count"), [(0.2, 2), (0.34, 3), (0.37, 4), (1.0, 10), (0.001, 1)]
)
def test_k_as_a_share(share, count):
    assert precision_at_k(MARKED, SCORE, share) == precision_at_k(MARKED, SCORE, count)
    assert precision_at_k(MARKED, SCORE, np.float32(share)) == precision_at_k(MARKED, SCORE, count)


def test_one_is_a_count_and_one_point_zero_a_share():
    assert precision_at_k(MARKED, SCORE, 1) == 1
    assert precision_at_k(MARKED, SCORE, 1.0) == MARKED.mean()


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_ties_are_the_mean_over_all_their_orders(k):
    marked, score = np.array([1, 0, 1, 0, 0]), np.array([0.5, 0.5, 0.5, 0.9, 0.1])
    precisions = []
    for order in permutations([0, 1, 2]):
        ranking = [3, *order, 4]
        precisions.append(marked[ranking[:k]].mean())
    assert_allclose(precision_at_k(marked, score, k), np.mean(precisions), rtol=1e-14)


@given(marked_and_scores, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_order_of_rows_changes_nothing(pairs, random):
    marked, score = columns(pairs)
    order = random.sample(range(len(score)), len(score))
    assert detection_report(marked[order], score[order]) == detection_report(marked, score)
    bins = random.randint(1, len(score))
    shuffled = error_rate_by_percentile(score[order], marked[order], bins)
    result = error_rate_by_percentile(score, marked, bins)
    assert_array_equal(shuffled.error_rate, result.error_rate)


@given(marked_and_scores)
@settings(max_examples=60, deadline=None)
def test_only_the_order_of_scores_counts(pairs):
    marked, score = columns(pairs)
    stretched = np.array([{0.0: -np.inf, 0.1: -7, 0.25: 1e-3, 1.0: np.inf}[s] for s in score])
    assert detection_report(marked, stretched) == detection_report(marked, score)


@given(marked_and_scores)
@settings(max_examples=60, deadline=None)
def test_report_agrees_with_scikit_learn_and_its_parts(pairs):
    marked, score = columns(pairs)
    report = detection_report(marked, score)
    k = int(marked.sum())
    assert list(report) == [
        "auroc",
        "average_precision",
        "precision_at_k",
        "recall_at_precision",
        "lift_at_k",
        "base_rate",
    ]
    assert_allclose(report["auroc"], roc_auc_score(marked, score), rtol=1e-12)
    assert_allclose(report["average_precision"], average_precision_score(marked, score), rtol=1e-12)
    assert report["precision_at_k"] == precision_at_k(marked, score, k)
    assert report["recall_at_precision"] == recall_at_precision(marked, score, 0.9)
    assert report["lift_at_k"] == lift_at_k(marked, score, k)
    assert report["base_rate"] == marked.mean()
    assert {type(value) for value in report.values()} == {float}


def test_report_takes_k():
    assert detection_report(MARKED, SCORE, k=4)["precision_at_k"] == 0.75
    assert detection_report(MARKED, SCORE, k=0.2)["lift_at_k"] == 0.5 / 0.3


def test_orientation_larger_is_more_suspect():
    marked = np.repeat([True, False], [5, 45])
    perfect = detection_report(marked, marked.astype(float))
    assert perfect == {
        "auroc": 1,
        "average_precision": 1,
        "precision_at_k": 1,
        "recall_at_precision": 1,
        "lift_at_k": 10,
        "base_rate": 0.1,
    }
    worst = detection_report(marked, -marked.astype(float))
    assert worst["auroc"] == worst["precision_at_k"] == worst["recall_at_precision"] == 0


def test_a_constant_score_is_a_random_pick():
    report = detection_report(MARKED, np.zeros(10), k=3)
    assert report["auroc"] == 0.5
    assert report["precision_at_k"] == report["average_precision"] == report["base_rate"] == 0.3
    assert report["lift_at_k"] == 1


@pytest.mark.parametrize(
    ("precision", "expected"),
    [(1.0, 1 / 3), (0.76, 1 / 3), (0.75, 1.0), (0.5, 1.0), (0.01, 1.0)],
)
def test_recall_at_precision_by_hand(precision, expected):
    assert recall_at_precision(MARKED, SCORE, precision) == expected


def test_recall_is_zero_if_no_cut_is_precise_enough():
    assert recall_at_precision([0, 1, 1, 1], [0.9, 0.8, 0.7, 0.6], 0.9) == 0
    # The two rows at the top cannot be told apart, so no list holds the marked one alone.
    assert recall_at_precision([1, 0, 0], [0.9, 0.9, 0.1], 0.6) == 0


def test_lift_by_hand():
    assert lift_at_k(MARKED, SCORE, 4) == 0.75 / 0.3


def test_error_rate_by_hand():
    error = [0, 0, 0, 1, 0, 1, 1, 1, 0, 1]
    result = error_rate_by_percentile(np.arange(10) * 0.1, error, bins=3)
    assert_array_equal(result.count, [4, 3, 3])
    assert_allclose(result.percentile, [40, 70, 100])
    assert_allclose(result.error_rate, [1 / 4, 2 / 3, 2 / 3])
    expected = [(3 / 16 / 4) ** 0.5, (2 / 9 / 3) ** 0.5, (2 / 9 / 3) ** 0.5]
    assert_allclose(result.standard_error, expected)


def test_no_row_is_dropped_at_the_ends_or_in_ties():
    # The only errors are the minimum, the maximum and tied rows: bins that are open on
    # both sides, as in the released VoG code, see none of them.
    score = np.array([0.0, 1, 2, 3, 3, 3, 3, 4, 5, 9])
    error = np.array([1, 0, 0, 1, 1, 1, 1, 0, 0, 1])
    result = error_rate_by_percentile(score, error, bins=5)
    assert_array_equal(result.count, [2] * 5)
    assert_allclose(result.error_rate, [0.5, 0.5, 1, 0.5, 0.5])


def test_tied_rows_share_their_error_across_bins():
    result = error_rate_by_percentile([1, 1, 1, 1], [1, 0, 0, 0], bins=2)
    assert_allclose(result.error_rate, [0.25, 0.25])


@given(marked_and_scores, st.integers(1, 30))
@settings(max_examples=100, deadline=None)
def test_every_row_is_in_one_bin(pairs, bins):
    error, score = (np.array(column) for column in zip(*pairs, strict=True))
    bins = min(bins, len(score))
    result = error_rate_by_percentile(score, error, bins)
    assert result.count.sum() == len(score)
    assert len(result.count) == bins
    assert np.ptp(result.count) <= 1
    assert result.percentile[-1] == 100
    assert_allclose(np.diff(result.percentile, prepend=0), 100 * result.count / len(score))
    assert_allclose((result.error_rate * result.count).sum(), error.sum(), atol=1e-10)
    assert np.isfinite(result.standard_error).all()


@pytest.mark.parametrize("value", [0, 1])
def test_a_classifier_that_is_always_right_or_always_wrong(value):
    result = error_rate_by_percentile(np.arange(7) % 3, np.full(7, value), bins=3)
    assert_allclose(result.error_rate, [value] * 3)
    assert_allclose(result.standard_error, [0] * 3, atol=1e-7)


@pytest.mark.parametrize(
    ("marked", "score", "message"),
    [
        ([1, 0], [1.0], r"shapes \(2,\) and \(1,\)"),
        ([[1, 0]], [[1.0, 0.0]], r"one number for every row"),
        ([], [], "one number for every row"),
        ([1, 2], [1.0, 0.0], r"bool or 0/1, got \[1, 2\]"),
        (["a", "b"], [1.0, 0.0], "bool or 0/1"),
        ([1.0, np.nan], [1.0, 0.0], "bool or 0/1"),
        ([1, 0, 1], [np.nan, 0.0, np.nan], r"NaN for 2 of 3 rows; first rows: \[0, 2\].*undefined"),
    ],
)
def test_errors_of_all_functions(marked, score, message):
    for function in (
        lambda: precision_at_k(marked, score, 1),
        lambda: lift_at_k(marked, score, 1),
        lambda: recall_at_precision(marked, score, 0.5),
        lambda: detection_report(marked, score),
        lambda: error_rate_by_percentile(score, marked, 1),
    ):
        with pytest.raises(ValueError, match=message):
            function()


@pytest.mark.parametrize("value", [0, 1])
def test_marked_needs_both_kinds(value):
    for function in (
        lambda: precision_at_k([value] * 3, [1, 2, 3], 1),
        lambda: recall_at_precision([value] * 3, [1, 2, 3], 0.5),
        lambda: detection_report([value] * 3, [1, 2, 3]),
    ):
        with pytest.raises(ValueError, match=f"got {3 * value} marked of 3"):
            function()


@pytest.mark.parametrize("k", [0, 11, -1, 0.0, 1.5, True, None, "auto", np.nan])
def test_k_out_of_range(k):
    with pytest.raises(ValueError, match="'k' parameter"):
        precision_at_k(MARKED, SCORE, k)


@pytest.mark.parametrize("precision", [0, 1.1, -0.5, np.nan])
def test_precision_out_of_range(precision):
    with pytest.raises(ValueError, match="'precision' parameter"):
        recall_at_precision(MARKED, SCORE, precision)


@pytest.mark.parametrize("bins", [0, 11, -1, 2.0, True])
def test_bins_out_of_range(bins):
    with pytest.raises(ValueError, match=r"'bins' parameter .* 1, \.\.\., 10"):
        error_rate_by_percentile(SCORE, MARKED, bins)
