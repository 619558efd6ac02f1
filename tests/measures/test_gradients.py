# SPDX-License-Identifier: BSD-3-Clause
"""Variance of gradients against hand cases, closed forms and its invariants."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import rankdata, spearmanr

from sklearn_difficulty.measures import variance_of_gradients

FORMULAS = ("rms", "mean_std", "cvpr")

# Multiples of 1/64: apart enough that a rounding error is never mistaken for a spread.
gradient_stacks = arrays(
    np.float64,
    array_shapes(min_dims=3, max_dims=4, min_side=1, max_side=5),
    elements=st.integers(-6400, 6400).map(lambda i: i / 64),
)


def pixel_series(*series):
    """Return gradients (K, 1, N) of one row from the series of each of its pixels."""
    return np.array(series, dtype=float).T[:, None, :]


def random_gradients(shape=(5, 40, 3, 6), seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def by_the_book(gradients, formula):
    """Return the formulas of the papers, one row at a time, with plain sums."""
    n_checkpoints = len(gradients)
    scores = []
    for row in np.moveaxis(gradients, 1, 0).reshape(gradients.shape[1], n_checkpoints, -1):
        squares = ((row - row.mean(axis=0)) ** 2).sum(axis=0)
        n_inputs = len(squares)
        if formula == "rms":
            scores.append((squares.sum() / (n_checkpoints * n_inputs)) ** 0.5)
        elif formula == "mean_std":
            scores.append(sum((s / n_checkpoints) ** 0.5 for s in squares) / n_inputs)
        else:
            scores.append(sum((1 / n_checkpoints) ** 0.5 * s for s in squares) / n_inputs)
    return np.array(scores)


@pytest.mark.parametrize(
    ("formula", "expected"), [("cvpr", 5.388603), ("rms", 1.763834), ("mean_std", 1.759305)]
)
def test_hand_case_three_checkpoints(formula, expected):
    gradients = pixel_series((1, 3, 5), (0, 0, 4))
    assert_allclose(variance_of_gradients(gradients, formula=formula), [expected], atol=5e-7)


@pytest.mark.parametrize(
    ("formula", "expected"), [("cvpr", 0.5**0.5), ("rms", 0.5**0.5), ("mean_std", 0.5)]
)
def test_hand_case_two_checkpoints(formula, expected):
    gradients = pixel_series((0, 2), (0, 0))
    assert_allclose(variance_of_gradients(gradients, formula=formula), [expected], rtol=1e-15)


def test_default_formula_is_rms():
    gradients = random_gradients()
    assert_array_equal(
        variance_of_gradients(gradients), variance_of_gradients(gradients, formula="rms")
    )


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("shape", [(3, 7), (1, 4, 2), (6, 5, 1), (4, 6, 2, 3), (3, 4, 3, 5, 5)])
def test_agrees_with_the_formula_as_written(formula, shape):
    gradients = random_gradients(shape)
    expected = by_the_book(gradients, formula)
    result = variance_of_gradients(gradients, formula=formula)
    assert result.shape == (shape[1],)
    assert result.dtype == np.float64
    assert_allclose(result, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("n_checkpoints", [1, 3, 10])
def test_identical_checkpoints_give_exactly_zero(formula, n_checkpoints):
    # Naive means leave rounding here: 0.1 + 0.1 + 0.1 is not 3 * 0.1.
    one = random_gradients((1, 20, 3, 4)) * 0.1
    gradients = np.repeat(one, n_checkpoints, axis=0)
    for channel_axis in (None, 2):
        result = variance_of_gradients(gradients, formula=formula, channel_axis=channel_axis)
        assert_array_equal(result, np.zeros(20))


@given(gradient_stacks)
@settings(max_examples=100, deadline=None)
def test_identities_between_the_formulas(gradients):
    rms, mean_std, cvpr = (variance_of_gradients(gradients, formula=f) for f in FORMULAS)
    assert (rms >= 0).all()
    assert (mean_std >= 0).all()
    assert_allclose(cvpr, np.sqrt(len(gradients)) * rms**2, rtol=1e-12)
    assert (mean_std <= rms * (1 + 1e-12)).all()


def test_rms_ranks_as_cvpr_and_mean_std_does_not():
    gradients = random_gradients((4, 60, 5)) * random_gradients((1, 60, 5), seed=1)
    rms, mean_std, cvpr = (variance_of_gradients(gradients, formula=f) for f in FORMULAS)
    assert_array_equal(rankdata(rms), rankdata(cvpr))
    assert 0.8 < spearmanr(mean_std, cvpr).statistic < 1


@given(gradient_stacks, st.sampled_from([-3.0, -0.5, 2.0, 7.0]))
@settings(max_examples=50, deadline=None)
def test_scaled_gradients(gradients, factor):
    for formula, power in (("rms", 1), ("mean_std", 1), ("cvpr", 2)):
        assert_allclose(
            variance_of_gradients(factor * gradients, formula=formula),
            abs(factor) ** power * variance_of_gradients(gradients, formula=formula),
            rtol=1e-10,
        )


@given(gradient_stacks, st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_order_of_checkpoints_and_a_constant_field_do_not_matter(gradients, random):
    order = random.sample(range(len(gradients)), len(gradients))
    field = np.full(gradients.shape[1:], 12.25)
    for formula in FORMULAS:
        expected = variance_of_gradients(gradients, formula=formula)
        for changed in (gradients[order], gradients + field):
            # atol: in another order a zero spread may be left with the rounding of a mean.
            assert_allclose(
                variance_of_gradients(changed, formula=formula), expected, rtol=1e-9, atol=1e-12
            )


@pytest.mark.parametrize(("formula", "growth"), [("rms", 1), ("mean_std", 1), ("cvpr", 2**0.5)])
def test_repeated_checkpoint_list(formula, growth):
    gradients = random_gradients()
    repeated = np.concatenate([gradients, gradients])
    assert_allclose(
        variance_of_gradients(repeated, formula=formula),
        growth * variance_of_gradients(gradients, formula=formula),
        rtol=1e-12,
    )


@pytest.mark.parametrize("formula", FORMULAS)
def test_every_row_depends_on_itself_alone(formula):
    gradients = random_gradients()
    rows = np.array([7, 3, 3, 31])
    assert_array_equal(
        variance_of_gradients(gradients[:, rows], formula=formula),
        variance_of_gradients(gradients, formula=formula)[rows],
    )


@pytest.mark.parametrize("formula", FORMULAS)
def test_channels_that_cancel_give_zero(formula):
    gray = random_gradients((4, 10, 5, 5))
    colour = np.stack([gray, -gray, np.zeros_like(gray)], axis=2)
    assert_array_equal(variance_of_gradients(colour, formula=formula, channel_axis=2), np.zeros(10))
    assert (variance_of_gradients(colour, formula=formula) > 0).all()


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("channel_axis", [2, 3, 4, -1, -3])
def test_channel_axis_is_a_signed_mean_over_that_axis(formula, channel_axis):
    gradients = random_gradients((4, 10, 3, 5, 2))
    result = variance_of_gradients(gradients, formula=formula, channel_axis=channel_axis)
    expected = by_the_book(gradients.mean(axis=channel_axis), formula)
    assert_allclose(result, expected, rtol=1e-12)
    # The mean of channels cannot vary more than the channels do.
    assert (result <= variance_of_gradients(gradients, formula=formula)).all()


def test_linear_model_depends_on_the_class_only():
    # The gradient of a linear logit is the weight row of its class, wherever the input is.
    weights = random_gradients((6, 3, 8))
    y = np.array([0, 1, 2, 1, 0, 2, 2])
    result = variance_of_gradients(weights[:, y])
    closed_form = np.sqrt(weights.var(axis=0).mean(axis=1))
    assert_allclose(result, closed_form[y], rtol=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("n_checkpoints", [1, 4])
@pytest.mark.parametrize("formula", FORMULAS)
def test_rows_with_non_finite_gradients_are_nan(bad, n_checkpoints, formula):
    gradients = random_gradients((n_checkpoints, 6, 2, 3))
    gradients[-1, 2, 0, 1] = bad
    gradients[:, 4] = bad
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for channel_axis in (None, 2):
            result = variance_of_gradients(gradients, formula=formula, channel_axis=channel_axis)
            assert_array_equal(np.isnan(result), [False, False, True, False, True, False])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int8])
def test_arithmetic_is_in_float64(dtype):
    # 100 squared overflows int8, and 300 squared float16.
    gradients = np.array([[[100.0, 1.0]], [[-100.0, 4.0]]]) * (1 if dtype == np.int8 else 3)
    result = variance_of_gradients(gradients.astype(dtype), formula="cvpr")
    assert_allclose(result, by_the_book(gradients, "cvpr"), rtol=1e-15)
    # Thirds of odd numbers: a mean of the channels in float32 would be off by 1e-8.
    colour = np.arange(36).reshape(3, 2, 3, 2) ** 2 % 101
    result = variance_of_gradients(colour.astype(dtype), channel_axis=2)
    assert_allclose(result, by_the_book(colour.mean(axis=2), "rms"), rtol=1e-12)


def test_small_spread_on_a_large_offset_survives():
    # Squares of 1e8 hold no trace of a spread of 1: E[S^2] - E[S]^2 would give garbage.
    gradients = pixel_series((1e8, 1e8 + 1, 1e8 + 2))
    assert_allclose(variance_of_gradients(gradients), [(2 / 3) ** 0.5], rtol=1e-12)


def test_input_is_left_alone():
    gradients = random_gradients()
    before = gradients.copy()
    variance_of_gradients(gradients, channel_axis=2)
    assert_array_equal(gradients, before)


def test_no_rows():
    assert variance_of_gradients(np.empty((3, 0, 4))).shape == (0,)


@pytest.mark.parametrize(
    ("gradients", "parameters", "message"),
    [
        (np.ones(3), {}, r"shape \(n_checkpoints, n_rows, \.\.\.\), got .* \(3,\)"),
        (np.ones((0, 3, 2)), {}, "at least one checkpoint"),
        (np.ones((2, 3, 0)), {}, "one input per row"),
        (np.ones((2, 3, 2), dtype=complex), {}, "real numbers, got .* complex128"),
        (np.full((2, 3, 2), "a"), {}, "real numbers"),
        (np.ones((2, 3, 2)), {"formula": "std"}, "'rms', 'mean_std', 'cvpr'. Got 'std'"),
        (np.ones((2, 3, 2)), {"channel_axis": 0}, "'channel_axis'.*Got 0"),
        (np.ones((2, 3, 2)), {"channel_axis": 1}, "'channel_axis'.*Got 1"),
        (np.ones((2, 3, 2)), {"channel_axis": 3}, "'channel_axis'.*Got 3"),
        (np.ones((2, 3, 2)), {"channel_axis": -2}, "'channel_axis'.*Got -2"),
        (np.ones((2, 3, 2)), {"channel_axis": -4}, "'channel_axis'.*Got -4"),
    ],
)
def test_errors(gradients, parameters, message):
    with pytest.raises(ValueError, match=message):
        variance_of_gradients(gradients, **parameters)
