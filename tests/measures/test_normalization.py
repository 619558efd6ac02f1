# SPDX-License-Identifier: BSD-3-Clause
"""Group statistics and z-scores against hand cases and their identities."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import rankdata

from sklearn_difficulty.measures import group_statistics, standardize, variance_of_gradients

NAN = float("nan")

rows = st.lists(st.tuples(st.integers(-500, 500), st.integers(0, 4)), min_size=1, max_size=60)


def test_hand_case():
    mean, std = group_statistics([1, 3, 10, 20, 30, 7], [0, 0, 2, 2, 2, 3], 5)
    assert_allclose(mean, [2, NAN, 20, 7, NAN], rtol=1e-15)
    assert_allclose(std, [1, NAN, (200 / 3) ** 0.5, 0, NAN], rtol=1e-15)
    assert mean.dtype == std.dtype == np.float64
    z = standardize([1, 3, 10, 20, 30, 7], [0, 0, 2, 2, 2, 3], mean, std)
    assert_allclose(z, [-1, 1, -(1.5**0.5), 0, 1.5**0.5, 0], rtol=1e-15, atol=1e-15)
    assert z.dtype == np.float64


@given(rows)
@settings(max_examples=100, deadline=None)
def test_mean_zero_and_mean_square_one_in_every_group(pairs):
    scores, groups = (np.array(column) for column in zip(*pairs, strict=True))
    mean, std = group_statistics(scores, groups, 5)
    z = standardize(scores, groups, mean, std)
    for group in np.unique(groups):
        ours, theirs = z[groups == group], scores[groups == group]
        if np.ptp(theirs) == 0:
            assert std[group] == 0
            assert_array_equal(ours, np.zeros(len(ours)))
            continue
        assert_allclose(ours.mean(), 0, atol=1e-12)
        assert_allclose((ours**2).mean(), 1, rtol=1e-12)
        assert_array_equal(rankdata(ours), rankdata(theirs))


@given(rows, st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_order_of_rows_does_not_matter(pairs, random):
    scores, groups = (np.array(column) for column in zip(*pairs, strict=True))
    order = random.sample(range(len(scores)), len(scores))
    shuffled = group_statistics(scores[order], groups[order], 5)
    assert_allclose(shuffled, group_statistics(scores, groups, 5), rtol=1e-12, atol=1e-12)


def test_nan_scores_are_left_out_and_stay_nan():
    scores, groups = [1, NAN, 3, NAN, 5, 5, NAN], [0, 0, 0, 1, 2, 2, 2]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mean, std = group_statistics(scores, groups, 3)
        z = standardize(scores, groups, mean, std)
    assert_array_equal(mean, [2, NAN, 5])
    assert_array_equal(std, [1, NAN, 0])
    assert_array_equal(z, [-1, NAN, 1, NAN, 0, 0, NAN])


def test_float32_rounding_is_no_spread():
    exact = 0.7
    jitter = exact * (1 + np.finfo(np.float32).eps * np.array([-8, 0, 8, 3]))
    mean, std = group_statistics(jitter, [0, 0, 0, 0], 1)
    assert std[0] == 0
    assert_allclose(mean, exact, rtol=1e-5)
    assert_array_equal(standardize(jitter, [0, 0, 0, 0], mean, std), np.zeros(4))
    # A spread a hundred times larger is real, and so is any spread around 0.
    assert group_statistics(exact * np.array([1, 1 + 1e-4]), [0, 0], 1)[1][0] > 0
    assert group_statistics([-1e-12, 1e-12], [0, 0], 1)[1][0] == 1e-12


def test_new_rows_are_read_against_the_reference():
    reference, groups = np.array([0.0, 2.0, 10.0, 14.0]), np.array([0, 0, 1, 1])
    mean, std = group_statistics(reference, groups, 2)
    assert_allclose(standardize([5.0, 5.0], [0, 1], mean, std), [4, -3.5])
    # One row at a time or all together: the same numbers.
    assert standardize([5.0], [1], mean, std)[0] == -3.5


@pytest.mark.parametrize("formula", ["rms", "mean_std", "cvpr"])
def test_scale_of_the_gradients_drops_out(formula):
    rng = np.random.default_rng(0)
    gradients, groups = rng.normal(size=(4, 30, 6)), rng.integers(0, 3, size=30)
    z = []
    for factor in (1.0, -250.0):
        scores = variance_of_gradients(factor * gradients, formula=formula)
        z.append(standardize(scores, groups, *group_statistics(scores, groups, 3)))
    assert_allclose(z[0], z[1], rtol=1e-10, atol=1e-10)


def test_identical_checkpoints_normalise_to_zero():
    gradients = np.repeat(np.random.default_rng(0).normal(size=(1, 6, 3)), 4, axis=0)
    scores, groups = variance_of_gradients(gradients), [0, 0, 0, 1, 1, 1]
    z = standardize(scores, groups, *group_statistics(scores, groups, 2))
    assert_array_equal(z, np.zeros(6))


def test_no_rows():
    mean, std = group_statistics([], [], 2)
    assert_array_equal(mean, [NAN, NAN])
    assert_array_equal(std, [NAN, NAN])
    assert standardize([], [], mean, std).shape == (0,)


def test_new_rows_of_a_group_without_a_score_have_none():
    mean, std = group_statistics([1.0, 3.0], [0, 0], 2)
    assert_array_equal(standardize([2.0, 2.0], [0, 1], mean, std), [0, NAN])


@pytest.mark.parametrize(
    ("scores", "groups", "message"),
    [
        ([1, 2], [0], r"shapes \(2,\) and \(1,\)"),
        ([[1, 2]], [[0, 1]], r"shapes \(1, 2\)"),
        ([1, 2], [0.0, 1.0], "integers, got .* float64"),
        ([1, 2], [0, 2], r"0, \.\.\., 1, got values from 0 to 2"),
        ([1, 2], [-1, 1], "got values from -1 to 1"),
    ],
)
def test_errors_of_scores_and_groups(scores, groups, message):
    with pytest.raises(ValueError, match=message):
        group_statistics(scores, groups, 2)
    with pytest.raises(ValueError, match=message):
        standardize(scores, groups, [0, 0], [1, 1])


def test_infinite_scores_have_no_statistics():
    with pytest.raises(ValueError, match=r"got 2 infinite scores; first rows: \[1, 3\]"):
        group_statistics([1, np.inf, 2, -np.inf], [0, 0, 1, 1], 2)


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ([0, 0], [1], r"shapes \(2,\) and \(1,\)"),
        (0.0, 1.0, r"shapes \(\) and \(\)"),
        ([0, 0], [1, -1], r"negative, got \[ 1\. -1\.\]"),
        ([0, 0], [NAN, -1], "negative"),
    ],
)
def test_errors_of_statistics(mean, std, message):
    with pytest.raises(ValueError, match=message):
        standardize([1, 2], [0, 1], mean, std)
