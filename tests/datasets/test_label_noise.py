# SPDX-License-Identifier: BSD-3-Clause
"""Label noise: exact counts, no flipped row that keeps its label, and the right targets."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier

from sklearn_difficulty.datasets import make_gaussian_toy, make_label_noise

Y = np.repeat([3, 5, 9], [40, 100, 60])
X = np.random.default_rng(0).normal(size=(200, 4)) + Y[:, None]
MATRIX = np.array([[0.9, 0.1, 0.0], [0.25, 0.5, 0.25], [0.0, 0.0, 1.0]])


def noise(kind, y=Y, rate=0.2, X=X, matrix=MATRIX, **parameters):
    """Make noise of any kind with the inputs that the kind needs."""
    needs = {"instance": {"X": X}, "matrix": {"noise_matrix": matrix}}
    return make_label_noise(y, rate, kind=kind, **needs.get(kind, {}), **parameters)


KINDS = ("symmetric", "pair", "matrix", "instance")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rate", [0.0, 0.003, 0.1, 0.37, 0.65])
def test_the_count_is_exact_and_no_flipped_row_keeps_its_label(kind, rate):
    y_noisy, mask = noise(kind, rate=rate, random_state=0)
    assert mask.sum() == round(rate * 200)
    assert mask.dtype == bool
    assert_array_equal(mask, y_noisy != Y)
    assert set(y_noisy) <= {3, 5, 9}


@given(
    st.lists(st.integers(0, 4), min_size=2, max_size=40).filter(lambda y: len(set(y)) > 1),
    st.floats(0, 1, exclude_max=True),
    st.sampled_from(["symmetric", "pair"]),
    st.integers(0, 1000),
)
@settings(max_examples=100, deadline=None)
def test_the_mask_is_the_truth(y, rate, kind, seed):
    y_noisy, mask = make_label_noise(y, rate, kind=kind, random_state=seed)
    assert_array_equal(mask, y_noisy != np.array(y))
    assert mask.sum() == round(rate * len(y))
    assert set(y_noisy) <= set(y)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "names",
    [
        np.array(["ant", "bee", "camel"]),
        np.array(["ant", "bee", "camel"], dtype=object),
        np.array([-7, 0, 12], dtype=np.int8),
        np.array([1.0, 2.0, 4.0], dtype=np.float32),
    ],
)
def test_labels_of_every_type_keep_their_dtype(kind, names):
    y = names[np.searchsorted([3, 5, 9], Y)]
    before = y.copy()
    y_noisy, mask = noise(kind, y=y, random_state=0)
    assert y_noisy.dtype == y.dtype
    assert_array_equal(y, before)
    # Names make no difference to which rows flip, nor to what.
    codes, codes_mask = noise(kind, random_state=0)
    assert_array_equal(mask, codes_mask)
    assert_array_equal(y_noisy, names[np.searchsorted([3, 5, 9], codes)])


def test_bools_flip_to_the_other():
    y = np.arange(50) % 2 == 0
    y_noisy, mask = make_label_noise(y, 0.5, random_state=0)
    assert y_noisy.dtype == bool
    assert mask.sum() == 25
    assert_array_equal(y_noisy, y ^ mask)


def test_pandas_labels():
    y = pd.Series(["u", "v"] * 10, index=np.arange(20) + 100)
    y_noisy, mask = make_label_noise(y, 0.3, random_state=0)
    assert mask.sum() == 6
    assert_array_equal(y_noisy != y.to_numpy(), mask)


@pytest.mark.parametrize("kind", KINDS)
def test_random_state(kind):
    first, again = noise(kind, random_state=1), noise(kind, random_state=1)
    assert_array_equal(first[0], again[0])
    if kind != "instance":  # its rows follow from the data, up to the folds
        assert (noise(kind, random_state=2)[1] != first[1]).any()


def test_symmetric_noise_is_uniform_over_rows_and_other_classes():
    y = np.repeat(np.arange(4), 5000)
    y_noisy, mask = make_label_noise(y, 0.4, random_state=0)
    assert_allclose([mask[y == k].mean() for k in range(4)], [0.4] * 4, atol=0.03)
    flows = np.array(
        [[np.sum((y == k) & (y_noisy == j) & mask) for j in range(4)] for k in range(4)]
    )
    assert_array_equal(np.diag(flows), np.zeros(4))
    shares = flows[~np.eye(4, dtype=bool)] / flows.sum()
    assert_allclose(shares, 1 / 12, atol=0.01)


def test_pair_noise_goes_to_the_next_class_and_round():
    y_noisy, mask = noise("pair", rate=0.5, random_state=0)
    following = {3: 5, 5: 9, 9: 3}
    assert set(Y[mask]) == {3, 5, 9}
    assert_array_equal(y_noisy[mask], [following[label] for label in Y[mask]])


def test_matrix_without_a_rate_is_exact_in_every_class():
    y_noisy, mask = noise("matrix", rate=None, random_state=0)
    assert [mask[Y == k].sum() for k in (3, 5, 9)] == [4, 50, 0]
    assert set(y_noisy[mask & (Y == 3)]) == {5}
    assert set(y_noisy[mask & (Y == 5)]) == {3, 9}


def test_matrix_targets_follow_the_odds():
    y = np.repeat([0, 1, 2], 6000)
    # Odds, not probabilities: rows need not sum to 1, and 6 : 1 : 3 flips four tenths.
    odds = [[6, 1, 3], [0, 5, 5], [0, 0, 8]]
    y_noisy, mask = make_label_noise(y, None, kind="matrix", noise_matrix=odds, random_state=0)
    assert [mask[y == k].sum() for k in range(3)] == [2400, 3000, 0]
    assert_allclose(np.mean(y_noisy[mask & (y == 0)] == 1), 1 / 4, atol=0.03)
    assert_array_equal(y_noisy[mask & (y == 1)], np.full(3000, 2))


def test_matrix_with_a_rate_draws_rows_by_their_odds_to_flip():
    y = np.repeat([0, 1, 2], 20_000)
    odds = [[0.9, 0.1, 0.0], [0.0, 0.7, 0.3], [0.0, 0.0, 1.0]]
    y_noisy, mask = make_label_noise(y, 0.02, kind="matrix", noise_matrix=odds, random_state=0)
    assert mask.sum() == 1200
    assert not mask[y == 2].any()
    assert_allclose(mask[y == 1].sum() / mask[y == 0].sum(), 3, rtol=0.15)
    assert_array_equal(y_noisy[mask], y[mask] + 1)


def test_matrix_with_rate_zero_and_nothing_to_flip():
    y_noisy, mask = noise("matrix", rate=0.0, matrix=np.eye(3))
    assert_array_equal(y_noisy, Y)
    assert not mask.any()


def test_matrix_that_allows_too_few_flips():
    with pytest.raises(ValueError, match=r"rate=0\.8 asks for 160 flips.*only 140 of 200"):
        noise("matrix", rate=0.8)


class TrueProbabilities(ClassifierMixin, BaseEstimator):
    """Return the columns of X as probabilities, and remember nothing."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        return np.asarray(X, dtype=float)

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def test_instance_noise_flips_the_smallest_margins_to_the_runner_up():
    y = np.repeat(["a", "b", "c"], 5)
    probabilities = np.full((15, 3), 0.05)
    probabilities[np.arange(15), np.repeat([0, 1, 2], 5)] = 0.9
    probabilities[2] = [0.5, 0.1, 0.4]  # margin 0.1, to c
    probabilities[7] = [0.45, 0.4, 0.15]  # margin -0.05, to a
    probabilities[13] = [0.3, 0.35, 0.35]  # margin 0, to b
    for n_flips, flipped in ((1, {7: "a"}), (2, {7: "a", 13: "b"}), (3, {7: "a", 13: "b", 2: "c"})):
        y_noisy, mask = make_label_noise(
            y,
            n_flips / 15,
            kind="instance",
            X=probabilities,
            estimator=TrueProbabilities(),
            random_state=0,
        )
        assert {int(row): str(y_noisy[row]) for row in np.flatnonzero(mask)} == flipped


def test_instance_noise_lies_near_the_boundary():
    X, y, distance = make_gaussian_toy(400, random_state=0)
    _, mask = make_label_noise(y, 0.1, kind="instance", X=X, random_state=0)
    right = (X[:, 0] > 0) == y
    # Rows on the wrong side come first, and next those nearest to the boundary.
    n_wrong = (~right).sum()
    assert n_wrong < mask.sum()
    assert mask[~right].mean() > 0.9
    assert distance[mask & right].max() < np.quantile(distance, 0.2)


def test_instance_probabilities_are_out_of_sample():
    # A forest knows its training rows by heart; only held-out it is confused by noise rows.
    X, y, distance = make_gaussian_toy(200, random_state=0)
    forest = RandomForestClassifier(n_estimators=20, random_state=0)
    _, mask = make_label_noise(y, 0.1, kind="instance", X=X, estimator=forest, random_state=0)
    wrong_side = ((X[:, 0] > 0) != y) & (distance > 0.3)
    assert wrong_side.sum() >= 5
    assert mask[wrong_side].all()
    assert not hasattr(forest, "classes_")


def test_instance_ties_are_broken_at_random():
    y = np.arange(40) % 2
    masks = [
        make_label_noise(
            y, 0.25, kind="instance", X=y[:, None], estimator=DummyClassifier(), random_state=seed
        )[1]
        for seed in (0, 1)
    ]
    assert (masks[0] != masks[1]).any()


def test_images_are_flattened_for_the_default_classifier():
    flat = noise("instance", random_state=0)
    images = noise("instance", X=X.reshape(200, 1, 2, 2), random_state=0)
    assert_array_equal(flat[0], images[0])


def test_own_classifier_gets_the_inputs_as_they_are():
    shapes = set()

    class Shape(TrueProbabilities):
        def predict_proba(self, X):
            shapes.add(X.shape[1:])
            return np.full((len(X), 3), 1 / 3)

    noise("instance", X=X.reshape(200, 1, 2, 2), estimator=Shape(), random_state=0)
    assert shapes == {(1, 2, 2)}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"rate": 1.0}, r"'rate' parameter .* \[0, 1\)\. Got 1\.0"),
        ({"rate": -0.1}, "'rate' parameter"),
        ({"rate": np.nan}, "'rate' parameter"),
        ({"rate": None}, "rate=None needs kind='matrix'"),
        ({"kind": "uniform"}, "'symmetric', 'pair', 'matrix', 'instance'. Got 'uniform'"),
        ({"kind": "instance"}, "kind='instance' needs the parameter X"),
        ({"kind": "matrix"}, "kind='matrix' needs the parameter noise_matrix"),
        ({"noise_matrix": MATRIX}, "noise_matrix has no use with kind='symmetric'"),
        ({"estimator": DummyClassifier()}, "estimator has no use with kind='symmetric'"),
        ({"y": np.zeros(10, dtype=int)}, r"at least two classes, got only \[0\]"),
        ({"y": np.linspace(0, 1, 10)}, "continuous"),
        ({"y": np.zeros((4, 2))}, "1d array"),
        ({"kind": "matrix", "noise_matrix": np.eye(2)}, r"shape \(3, 3\).*got \(2, 2\)"),
        ({"kind": "matrix", "noise_matrix": np.diag([1, 1, 0])}, "positive one in every row"),
        ({"kind": "matrix", "noise_matrix": -MATRIX}, "not negative"),
        ({"kind": "matrix", "noise_matrix": MATRIX * np.nan}, "finite odds"),
        ({"kind": "instance", "X": X[:-1]}, "inconsistent numbers of samples"),
        (
            {"kind": "instance", "X": X[:10], "y": [0] * 6 + [1] * 4},
            "5 folds .* a class with 4",
        ),
    ],
)
def test_errors(parameters, message):
    parameters = {"y": Y, "rate": 0.2, **parameters}
    with pytest.raises(ValueError, match=message):
        make_label_noise(**parameters)


def test_inputs_may_come_along_with_any_kind():
    with_X = make_label_noise(Y, 0.2, X=X, random_state=0)
    assert_array_equal(with_X[0], make_label_noise(Y, 0.2, random_state=0)[0])
