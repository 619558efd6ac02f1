# SPDX-License-Identifier: BSD-3-Clause
"""Detection measures against counting by hand and averaging over tie orders."""

import pickle
from functools import partial
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.datasets import load_digits
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    RandomizedSearchCV,
    StratifiedKFold,
    cross_val_score,
    cross_validate,
)

from sklearn_difficulty import LabelErrorScorer, TrainingDynamicsScorer
from sklearn_difficulty.datasets import make_label_noise
from sklearn_difficulty.metrics import (
    detection_report,
    error_rate_by_percentile,
    label_error_scoring,
    lift_at_k,
    precision_at_k,
    recall_at_precision,
)
from sklearn_difficulty.training import default_network

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


# ------------------------------------------------------------------------------ label_error_scoring


class Suspects(BaseEstimator):
    """Scores rows by a column of X, and remembers what it was asked about."""

    def __init__(self, column=0):
        self.column = column

    def fit(self, X, y=None):
        return self

    def score_samples(self, X, y):
        self.asked_ = X, y
        return (X["a"] if isinstance(X, dict) else np.asarray(X))[:, self.column]


# The first column is right about the verified rows, the second one about half of them.
VERDICTS = np.array([-1, 1, 0, -1, 1, 0, 0, -1])
ROWS = np.array([[9, 4, 1, 9, 3, 2, 0, 9.5], [9, 4, 1, 9, 3, 2, 3.5, 9.5]]).T
GIVEN = np.array(list("abcabcab"))


def test_scoring_asks_for_the_verified_rows_with_their_labels():
    estimator = Suspects()
    assert label_error_scoring()(estimator, ROWS, GIVEN, verdicts=VERDICTS) == 1
    X, y = estimator.asked_
    assert_array_equal(X, ROWS[[1, 2, 4, 5, 6]])
    assert y.tolist() == ["b", "c", "b", "c", "a"]


def test_scoring_by_hand():
    # Verified rows by the second column: wrong, right, wrong, right, right.
    score = {
        metric: label_error_scoring(metric)(Suspects(1), ROWS, GIVEN, verdicts=VERDICTS)
        for metric in ("average_precision", "roc_auc", partial(precision_at_k, k=2))
    }
    assert_allclose(list(score.values()), [(1 + 2 / 3) / 2, 5 / 6, 1 / 2], rtol=1e-12)
    assert {type(value) for value in score.values()} == {float}


@pytest.mark.parametrize(
    "verdicts",
    [
        VERDICTS.tolist(),
        np.where(VERDICTS < 0, np.nan, VERDICTS),
        [None, True, False, None, True, False, False, None],
        pd.Series(VERDICTS, index=range(8, 0, -1)),
        pd.Series(VERDICTS).astype("Int64").mask(VERDICTS < 0),
        pd.Series(VERDICTS == 1).astype("boolean").mask(VERDICTS < 0),
    ],
    ids=["list", "NaN", "None", "series", "Int64", "boolean"],
)
def test_kinds_of_verdicts(verdicts):
    seen = []
    scoring = label_error_scoring(lambda is_wrong, score: seen.append((is_wrong, score)) or 7)
    assert scoring(Suspects(), ROWS, GIVEN, verdicts=verdicts) == 7
    [(is_wrong, score)] = seen
    assert is_wrong.dtype == bool
    assert is_wrong.tolist() == [True, False, True, False, False]
    assert score.dtype == np.float64
    assert score.tolist() == [4, 1, 3, 2, 0]


def test_verdicts_may_be_bools():
    assert label_error_scoring()(Suspects(), ROWS, GIVEN, verdicts=ROWS[:, 0] >= 9) == 1


@pytest.mark.parametrize(
    "X",
    [pd.DataFrame(ROWS, index=range(8, 0, -1)), {"a": ROWS}, ROWS.tolist()],
    ids=["frame", "dict", "list"],
)
def test_kinds_of_rows(X):
    y = pd.Series(GIVEN, index=range(8, 0, -1))
    assert label_error_scoring("roc_auc")(Suspects(), X, y, verdicts=VERDICTS) == 1


def test_undefined_scores_count_as_easiest():
    X = ROWS.copy()
    X[4, 0] = np.nan  # one of two wrong labels, tied with the easiest of three right ones
    score = label_error_scoring("roc_auc")(Suspects(), X, GIVEN, verdicts=VERDICTS)
    assert_allclose(score, (3 + 0.5) / 6)
    X[:, 0] = np.nan
    assert label_error_scoring("roc_auc")(Suspects(), X, GIVEN, verdicts=VERDICTS) == 0.5


@pytest.mark.parametrize("metric", ["average_precision", "roc_auc", precision_at_k])
@pytest.mark.parametrize(
    ("verdicts", "lacking"), [(0, "wrong"), (1, "right"), (-1, "right or wrong")]
)
def test_without_both_kinds_the_score_is_undefined(metric, verdicts, lacking):
    estimator = Suspects()
    with pytest.warns(UndefinedMetricWarning, match=f"known to be {lacking}, .*Stratify") as caught:
        score = label_error_scoring(metric)(estimator, ROWS, GIVEN, verdicts=np.full(8, verdicts))
    assert np.isnan(score)
    assert caught[0].filename == __file__
    assert not hasattr(estimator, "asked_")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"verdicts": None}, r"needs verdicts.*enable_metadata_routing=True.*verdicts=verdicts"),
        ({"y": None}, "needs y"),
        ({"verdicts": VERDICTS[:5]}, r"one value for every row .* shape \(5,\) for 8 rows"),
        ({"verdicts": VERDICTS[:, None]}, r"shape \(8, 1\) for 8 rows"),
        ({"verdicts": VERDICTS + 1}, r"verdicts hold \[2.0\]; they can be 1 = known wrong label"),
        ({"verdicts": VERDICTS / 2}, r"verdicts hold \[-0.5, 0.5\]"),
        ({"verdicts": ["wrong"] * 8}, "verdicts must be numbers or bools"),
        ({"verdicts": VERDICTS.astype(str)}, "verdicts must be numbers or bools"),
        ({"verdicts": [{}] * 8}, "verdicts must be numbers or bools"),
    ],
)
def test_bad_calls_of_scoring(arguments, message):
    call = {"X": ROWS, "y": GIVEN, "verdicts": VERDICTS} | arguments
    with pytest.raises(ValueError, match=message):
        label_error_scoring()(Suspects(), **call)


@pytest.mark.parametrize("metric", ["auroc", None, 3])
def test_bad_metrics(metric):
    with pytest.raises(ValueError, match=r"'metric' parameter .*'average_precision', 'roc_auc'"):
        label_error_scoring(metric)


def test_copies_of_scoring():
    scoring = label_error_scoring("roc_auc").set_score_request(verdicts="review")
    for copy in (clone(scoring), pickle.loads(pickle.dumps(scoring))):
        assert copy is not scoring
        assert copy.metric == "roc_auc"
        assert copy.get_metadata_routing().score.requests == {"verdicts": "review"}
        assert copy(Suspects(), ROWS, GIVEN, verdicts=VERDICTS) == 1
    assert repr(scoring) == "label_error_scoring('roc_auc')"
    assert repr(label_error_scoring(precision_at_k)) == "label_error_scoring(precision_at_k)"
    search = GridSearchCV(Suspects(), {}, scoring=scoring)
    assert "label_error_scoring('roc_auc')" in repr(search)
    assert clone(search).scoring.metric == "roc_auc"


# Rows of which the first column tells wrong from right labels, and the second one does not.
MANY = np.column_stack([np.arange(40) % 4, np.arange(40) % 3]).astype(float)
MANY_VERDICTS = np.where(np.arange(40) % 5 == 0, -1, np.arange(40) % 4 == 3)
MANY_GIVEN = np.repeat(["a", "b"], 20)


@pytest.mark.parametrize("alias", [True, "review"])
@pytest.mark.parametrize("search", [GridSearchCV, partial(RandomizedSearchCV, n_iter=2)])
def test_searches_route_the_verdicts_of_the_tested_rows(alias, search):
    folds = KFold(4, shuffle=True, random_state=0)
    with config_context(enable_metadata_routing=True):
        scoring = label_error_scoring().set_score_request(verdicts=alias)
        name = "verdicts" if alias is True else alias
        found = search(Suspects(), {"column": [1, 0]}, scoring=scoring, cv=folds).fit(
            MANY, MANY_GIVEN, **{name: MANY_VERDICTS}
        )
    assert found.best_params_ == {"column": 0}
    assert found.best_score_ == 1
    by_hand = [
        average_precision_score(*np.array([MANY_VERDICTS, MANY[:, 1]])[:, verified])
        for _, test in folds.split(MANY)
        for verified in [test[MANY_VERDICTS[test] >= 0]]
    ]
    scores = dict(
        zip(
            found.cv_results_["param_column"],
            zip(*(found.cv_results_[f"split{k}_test_score"] for k in range(4)), strict=True),
            strict=True,
        )
    )
    assert_allclose(scores[1], by_hand)


def test_verdicts_are_requested_without_asking():
    with config_context(enable_metadata_routing=True):
        settings = {"cv": 2, "params": {"verdicts": MANY_VERDICTS}}
        one = cross_val_score(
            Suspects(), MANY, MANY_GIVEN, scoring=label_error_scoring(), **settings
        )
        several = cross_validate(
            Suspects(),
            MANY,
            MANY_GIVEN,
            scoring={m: label_error_scoring(m) for m in ("average_precision", "roc_auc")},
            **settings,
        )
    assert_array_equal(one, [1, 1])
    assert_array_equal(several["test_average_precision"], [1, 1])
    assert_array_equal(several["test_roc_auc"], [1, 1])


def test_a_search_without_verdicts_says_how_to_pass_them():
    with config_context(enable_metadata_routing=True):
        search = GridSearchCV(
            Suspects(), {}, scoring=label_error_scoring(), cv=2, error_score="raise"
        )
        with pytest.raises(ValueError, match=r"search\.fit\(X, y, verdicts=verdicts\)"):
            search.fit(MANY, MANY_GIVEN)
        with pytest.raises(ValueError, match=r"shape \(3,\) for 20 rows"):
            search.fit(MANY, MANY_GIVEN, verdicts=[0, 1, 1])


@pytest.fixture(scope="module")
def reviewed():
    """Return digits, some of their labels wrong, verdicts on a part of them, and folds."""
    X, y = load_digits(return_X_y=True)
    X, y = X[:400].astype(np.float32), y[:400]
    given, is_wrong = make_label_noise(y, 0.15, random_state=0)
    verdicts = np.where(np.arange(400) < 150, is_wrong, -1)
    folds = StratifiedKFold(2, shuffle=True, random_state=0).split(X, verdicts)
    return X, given, verdicts, list(folds)


def test_a_search_picks_the_measure_that_finds_wrong_labels(reviewed, one_thread):
    X, given, verdicts, folds = reviewed
    search = GridSearchCV(
        TrainingDynamicsScorer(random_state=0),
        # The last one has no scores of unseen rows.
        {"measure": ["entropy", "confidence", "variability"]},
        scoring=label_error_scoring(),
        cv=folds,
    )
    with (
        config_context(enable_metadata_routing=True),
        pytest.warns(UserWarning, match="no attribute 'score_samples'|non-finite"),
    ):
        search.fit(X, given, verdicts=verdicts)
    assert search.best_params_ == {"measure": "confidence"}
    entropy, confidence, variability = search.cv_results_["mean_test_score"]
    assert confidence > entropy + 0.2
    assert np.isnan(variability)
    assert search.best_estimator_.difficulty_.shape == (400,)


def test_a_search_tunes_the_network_of_a_scorer(reviewed, one_thread):
    X, given, verdicts, folds = reviewed
    net = default_network(X, given).set_params(max_epochs=5)
    scorer = LabelErrorScorer(
        net, n_members=2, train_size=0.5, n_neighbors=None, noise="class", random_state=0
    )
    search = GridSearchCV(
        scorer, {"estimator__lr": [0.0, 0.05]}, scoring=label_error_scoring("roc_auc"), cv=folds
    )
    with config_context(enable_metadata_routing=True):
        search.fit(X, given, verdicts=verdicts)
    assert search.best_params_ == {"estimator__lr": 0.05}
    untrained, trained = search.cv_results_["mean_test_score"]
    assert trained > 0.9
    assert abs(untrained - 0.5) < 0.25
