# SPDX-License-Identifier: BSD-3-Clause
"""Measures of regression: closed forms, hand cases, and what must not change them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_difficulty.datasets import make_target_noise
from sklearn_difficulty.measures import (
    error_residual_ratio,
    local_scale,
    mean_relative_absolute_error,
    residual_statistics,
    selection_rate,
)

RNG = np.random.default_rng(0)
Y = np.exp(RNG.normal(size=500))
NOISY, MASK, _ = make_target_noise(Y, level=0.4, random_state=0)
NAN = np.nan


# ---------------------------------------------------------------------------- selections


def test_the_error_ratio_of_all_of_the_clean_and_of_random_rows():
    assert error_residual_ratio(NOISY, Y, np.ones(500, bool)) == 1
    assert error_residual_ratio(NOISY, Y, ~MASK) == 0
    assert_allclose(error_residual_ratio(NOISY, Y, MASK), 500 / MASK.sum())
    random = [error_residual_ratio(NOISY, Y, RNG.random(500) < 0.5) for _ in range(200)]
    assert_allclose(np.mean(random), 1, atol=0.02)


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3), st.sampled_from([-1, 1]))
def test_the_error_ratio_does_not_know_units(shift, factor, sign):
    selected = NOISY > 0.8
    moved = [sign * factor * y + shift for y in (NOISY, Y)]
    assert_allclose(
        error_residual_ratio(*moved, selected),
        error_residual_ratio(NOISY, Y, selected),
        rtol=1e-6,
    )


def test_probabilities_count_as_draws_do_in_the_mean():
    p = RNG.random(500)
    # Ratios of means are not means of ratios, so the draws are pooled.
    draws = RNG.random((2000, 500)) < p
    error = np.abs(NOISY - Y)
    pooled = (draws @ error).sum() / draws.sum() / error.mean()
    assert_allclose(error_residual_ratio(NOISY, Y, p), pooled, rtol=0.01)
    assert_allclose(selection_rate(p), draws.mean(), rtol=0.01)


def test_corrected_targets_count_with_the_error_that_is_left():
    everything, halved = np.ones(500), np.where(MASK, (NOISY + Y) / 2, NOISY)
    assert_allclose(error_residual_ratio(NOISY, Y, everything, corrected=halved), 0.5)
    assert error_residual_ratio(NOISY, Y, everything, corrected=Y) == 0
    assert error_residual_ratio(NOISY, Y, ~MASK, corrected=halved) == 0


def test_outputs_without_an_error_say_nothing():
    two = np.c_[NOISY, Y], np.c_[Y, Y]
    selected = NOISY > 0.8
    assert_allclose(error_residual_ratio(*two, selected), error_residual_ratio(NOISY, Y, selected))


def test_ratios_that_are_not_defined():
    assert np.isnan(error_residual_ratio(Y, Y, np.ones(500)))
    assert np.isnan(error_residual_ratio(NOISY, Y, np.zeros(500)))
    assert np.isnan(selection_rate([]))
    assert np.isnan(mean_relative_absolute_error(Y, Y + 1, Y))


def test_selection_rate():
    assert selection_rate(~MASK) == 0.6
    assert selection_rate([0.25, 0.75]) == 0.5


def test_relative_error():
    clean = Y + RNG.normal(size=500)
    assert mean_relative_absolute_error(Y, clean, clean) == 0
    assert_allclose(mean_relative_absolute_error(Y, Y + 1.5 * (clean - Y), clean), 0.5)
    assert_allclose(
        mean_relative_absolute_error(3 * Y - 5, 3 * NOISY - 5, 3 * clean - 5),
        mean_relative_absolute_error(Y, NOISY, clean),
    )
    two = [np.c_[a, 100 * a] for a in (Y, NOISY, clean)]
    assert_allclose(
        mean_relative_absolute_error(*two), mean_relative_absolute_error(Y, NOISY, clean)
    )


# ---------------------------------------------------------------------------- residuals


def test_statistics_are_those_of_a_loop():
    f, y = RNG.normal(size=(7, 20, 2)), RNG.normal(size=(20, 2))
    f[2, :9] = NAN
    f[:, 4] = NAN
    found = residual_statistics(f, y)
    for i in range(20):
        r = (y[i] - f[:, i])[~np.isnan(f[:, i, 0])]
        if i == 4:
            assert np.isnan([found.size[i], found.deviation[i], *found.mean[i]]).all()
            continue
        assert_allclose(found.mean[i], r.mean(axis=0))
        assert_allclose(found.size[i], np.sqrt((r**2).sum(axis=1)).mean())
        assert_allclose(found.deviation[i] ** 2, (r.std(axis=0) ** 2).sum())


def test_counts_are_repetitions():
    f, y = RNG.normal(size=(3, 10)), RNG.normal(size=10)
    counts = np.array([[2] * 10, [0] * 10, [1] * 10])
    for a, b in zip(
        residual_statistics(f, y, counts), residual_statistics(f[[0, 0, 2]], y), strict=True
    ):
        assert_allclose(a, b)


def test_signs_and_units_of_statistics():
    f, y = RNG.normal(size=(3, 10)), RNG.normal(size=10)
    found, moved = residual_statistics(f, y), residual_statistics(7 - 2 * f, 7 - 2 * y)
    assert_allclose(moved.mean, -2 * found.mean)
    assert_allclose(moved.size, 2 * found.size)
    assert_allclose(moved.deviation, 2 * found.deviation)
    above = residual_statistics(np.zeros((2, 1)), [3.0])
    assert above.mean[0] == above.size[0] == 3
    assert above.deviation[0] == 0


# ---------------------------------------------------------------------------- scale

SPREAD = np.linspace(1, 10, 3000)
RESIDUAL = RNG.normal(scale=SPREAD)


def test_the_scale_follows_the_spread():
    scale = local_scale(RESIDUAL, SPREAD, n_neighbors=200)
    assert_allclose(np.median(scale / SPREAD), 1, atol=0.03)
    assert_allclose(scale / SPREAD, 1, atol=0.35)
    wrong = np.where(RNG.random(3000) < 0.4, RESIDUAL + 100, RESIDUAL)
    lower = local_scale(wrong, SPREAD, n_neighbors=200, quantile=0.25)
    assert np.median(lower / SPREAD) < 2.5


@pytest.mark.parametrize("n_rows", [2, 3, 60])
@pytest.mark.parametrize("n_axes", [1, 2])
def test_the_scale_is_that_of_a_loop(n_rows, n_axes):
    residual, position = RNG.normal(size=n_rows), RNG.normal(size=(n_rows, n_axes))
    scale = local_scale(residual, position, n_neighbors=9, quantile=0.3, floor=0)
    for i in range(n_rows):
        order = np.argsort(np.linalg.norm(position - position[i], axis=1))
        others = [j for j in order if j != i][:9]
        expected = np.quantile(np.abs(residual[others]), 0.3) / 0.3853204664075677
        assert_allclose(scale[i], expected)


def test_a_row_has_no_part_in_its_own_scale():
    position = np.r_[SPREAD, np.full(300, 5.0)]  # and more copies than neighbours
    residual = np.r_[RESIDUAL, RNG.normal(size=300)]
    before = local_scale(residual, position)
    for row in (7, 3003, 3299):
        changed = residual.copy()
        changed[row] = 1e6
        assert local_scale(changed, position)[row] == before[row]
    changed[row] = NAN
    assert_allclose(local_scale(changed, position)[row], before[row], rtol=0.1)


def test_units_order_and_signs_do_not_matter_to_the_scale():
    order = RNG.permutation(3000)
    scale = local_scale(RESIDUAL, SPREAD)
    assert_allclose(local_scale(-3 * RESIDUAL, SPREAD), 3 * scale)
    assert_allclose(local_scale(RESIDUAL, 5 - 2 * SPREAD), scale)
    assert_array_equal(local_scale(RESIDUAL[order], SPREAD[order]), scale[order])


def test_the_floor_holds_where_neighbours_agree():
    residual = np.r_[np.zeros(500), np.ones(500)]
    scale = local_scale(residual, np.arange(1000), n_neighbors=20, quantile=0.6, floor=0.1)
    assert_allclose(scale[0] / scale[-1], 0.1)
    assert not local_scale(np.zeros(50), np.arange(50)).any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: error_residual_ratio(Y, Y[1:], MASK), r"differ in shape: \(500,\) and \(499,\)"),
        (lambda: error_residual_ratio(Y, np.where(MASK, NAN, Y), MASK), "y_true holds NaN or inf"),
        (lambda: error_residual_ratio(NOISY, Y, np.flatnonzero(MASK)), "selected must hold"),
        (lambda: selection_rate([0.5, 1.2]), "selected must hold"),
        (lambda: selection_rate([0.5, NAN]), "selected must hold"),
        (lambda: mean_relative_absolute_error(Y, Y[1:], Y), "y_true and y_pred differ"),
        (lambda: residual_statistics(Y, Y), r"\(n_epochs, 500\)"),
        (lambda: residual_statistics([Y], Y, counts=-MASK[None].astype(int)), "counts must hold"),
        (lambda: local_scale(Y[1:], Y), "one number for each of the 500 positions"),
        (lambda: local_scale(np.full(500, NAN), Y), "needs two rows with a residual; there are 0"),
        (lambda: local_scale(Y, Y, quantile=1.0), "'quantile' parameter of local_scale"),
        (lambda: local_scale(Y, Y, n_neighbors=0), "'n_neighbors' parameter of local_scale"),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
