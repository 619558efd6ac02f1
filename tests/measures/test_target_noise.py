# SPDX-License-Identifier: BSD-3-Clause
"""Wrong targets from held-out predictions: against simulations of which the truth is known."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit
from sklearn.metrics import average_precision_score, f1_score

from sklearn_difficulty.measures import estimate_target_noise
from sklearn_difficulty.measures._local_shape import Density, Windows, resolution
from sklearn_difficulty.measures._two_parts import fit_two_parts
from sklearn_difficulty.measures.target_noise import fit_target_noise

HONEST = {
    "normal": lambda rng, n: rng.normal(size=n),
    "heavy": lambda rng, n: rng.standard_t(3, size=n),
    "laplace": lambda rng, n: rng.laplace(size=n),
}


def simulated(rate, spread="normal", kind="other", n=1000, seed=0, growth=0.0):
    """Return targets, predictions, which are wrong, and the right targets."""
    rng = np.random.default_rng(seed)
    predictions = rng.uniform(0, 20, size=n)
    width = 0.7 + growth * predictions
    right = 20 + predictions + width * HONEST[spread](rng, n)
    wrong = np.arange(n) < round(rate * n)
    errors = {
        "other": rng.permutation(right),
        "unit": 10 * right,
        "shift": right + 8,
        "normal": right + 10 * rng.normal(size=n),
    }
    return np.where(wrong, errors[kind], right), predictions, wrong, right


# ----------------------------------------------------------------------------- rate and calibration


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.4, 0.6])
@pytest.mark.parametrize("spread", HONEST)
def test_true_rate_lies_in_its_interval(rate, spread):
    y, predictions, wrong, _ = simulated(rate, spread)
    found = estimate_target_noise(y, predictions)
    low, high = found.noise_rate_interval
    assert low <= rate <= high
    assert high - low < 0.2
    assert abs(found.noise_rate - rate) < 0.06
    least = {0.05: 0.5, 0.2: 0.65, 0.4: 0.75, 0.6: 0.8}[rate]
    assert f1_score(wrong, found.error_probability > 0.5) > least


@pytest.mark.parametrize("kind", ["unit", "shift", "normal"])
def test_kinds_of_errors(kind):
    y, predictions, wrong, _ = simulated(0.15, kind=kind)
    found = estimate_target_noise(y, predictions)
    low, high = found.noise_rate_interval
    assert low <= 0.15 <= high
    assert f1_score(wrong, found.error_probability > 0.5) > {"normal": 0.8}.get(kind, 0.98)


@pytest.mark.parametrize("spread", HONEST)
def test_honest_targets_are_left_alone(spread):
    y, predictions, _, _ = simulated(0, spread, n=3000)
    found = estimate_target_noise(y, predictions)
    assert (found.error_probability > 0.5).mean() < 0.003
    assert found.noise_rate < 0.01
    assert found.noise_rate_interval[0] == 0


def test_probabilities_come_true():
    y, predictions, wrong, _ = simulated(0.3, n=5000)
    error = estimate_target_noise(y, predictions).error_probability
    for low, high in ((0, 0.1), (0.1, 0.5), (0.5, 0.9), (0.9, 1)):
        inside = (error >= low) & (error <= high)
        assert abs(wrong[inside].mean() - error[inside].mean()) < 0.1


def test_spread_that_grows_with_the_target():
    y, predictions, wrong, _ = simulated(0.1, growth=0.3, n=2000)
    local = estimate_target_noise(y, predictions)
    overall = estimate_target_noise(y, predictions, scale="global")
    ap = [average_precision_score(wrong, found.difficulty) for found in (local, overall)]
    assert ap[0] > ap[1] + 0.05
    assert_allclose(np.corrcoef(local.scale, 0.7 + 0.3 * predictions)[0, 1], 1, atol=0.02)
    assert np.ptp(overall.scale) == 0
    assert local.noise_rate_interval[0] <= 0.1 <= local.noise_rate_interval[1]


def test_predictions_that_are_too_near_to_the_middle():
    y, predictions, wrong, right = simulated(0.4, n=2000)
    shrunk = 0.6 * predictions + 0.4 * predictions.mean()
    found = estimate_target_noise(y, shrunk)
    assert average_precision_score(wrong, np.abs(y - shrunk)) < 0.75
    assert average_precision_score(wrong, found.difficulty) > 0.9
    suspect = found.error_probability > 0.5
    assert np.abs(found.suggested - right)[suspect & wrong].mean() < 1


# ----------------------------------------------------------------------------------- order and form


def test_larger_residuals_are_more_suspect():
    y, predictions, _, _ = simulated(0.2, kind="shift")
    model = fit_target_noise(y, predictions)[1]
    for at in (3.0, 10.0, 17.0):
        for side in (-1, 1):
            center = at + model.shape.center(np.array([at]))[0]
            z = side * np.linspace(0, 400, 4000) * model.shape.width(np.array([at]))[0]
            # Of an error of the shapes that depend on the residual alone.
            alone = model.parts._replace(shares=np.r_[0, model.parts.shares[1:]])
            log_odds = model.log_odds(center + z, np.full(4000, at), alone)
            assert (np.diff(log_odds) >= -1e-9).all()


def test_difficulty_is_in_the_order_of_the_probability():
    y, predictions, _, _ = simulated(0.2)
    found = estimate_target_noise(y, predictions)
    assert found.difficulty.dtype == np.float32
    order = np.argsort(found.difficulty, kind="stable")
    assert (np.diff(found.error_probability[order]) >= -1e-6).all()
    assert_array_equal(found.difficulty > 0.5, found.error_probability > 0.5)
    sure = found.error_probability > 1 - 1e-9
    assert len(np.unique(found.difficulty[sure])) > 0.9 * sure.sum()


@pytest.mark.parametrize(("a", "b"), [(1000.0, -3e5), (1e-4, 0.0), (-1.0, 0.0)])
def test_units_do_not_matter(a, b):
    y, predictions, _, _ = simulated(0.1, growth=0.1)
    expected = estimate_target_noise(y, predictions)
    found = estimate_target_noise(a * y + b, a * predictions + b)
    tolerance = 1e-5 if a > 0 else 0.1  # quantiles are not the same from either end
    assert_allclose(found.error_probability, expected.error_probability, atol=tolerance)
    assert_allclose(found.noise_rate_interval, expected.noise_rate_interval, atol=tolerance)


def test_order_of_the_rows_does_not_matter():
    y, predictions, _, _ = simulated(0.1, n=300)
    expected = estimate_target_noise(y, predictions).error_probability
    order = np.random.default_rng(1).permutation(300)
    found = estimate_target_noise(y[order], predictions[order]).error_probability
    assert_allclose(found, expected[order], atol=1e-6)


def test_parts_of_many_rows():
    y, predictions, wrong, _ = simulated(0.2, n=21_000)
    found = estimate_target_noise(y, predictions)
    assert found.error_probability.shape == (21_000,)
    assert abs(found.noise_rate - 0.2) < 0.02
    assert f1_score(wrong, found.error_probability > 0.5) > 0.85


def test_whole_numbers():
    rng = np.random.default_rng(0)
    predictions = rng.uniform(15, 66, size=2000)
    y = np.round(predictions + 2 * rng.normal(size=2000))
    wrong = np.arange(2000) < 200
    y[wrong] = rng.permutation(y)[wrong]
    found = estimate_target_noise(y, predictions)
    assert found.noise_rate_interval[0] <= 0.1 <= found.noise_rate_interval[1]
    assert f1_score(wrong, found.error_probability > 0.5) > 0.7


@pytest.mark.parametrize(
    ("kind", "rate"), [("rounded", 0.0), ("rounded", 0.3), ("count", 0.0), ("count", 0.1)]
)
def test_ties_are_no_errors(kind, rate):
    rng = np.random.default_rng(0)
    predictions = rng.uniform(0, 10, size=1000)
    rounded = np.round(predictions + rng.normal(size=1000))  # a dozen values or so
    right = rounded if kind == "rounded" else rng.poisson(predictions).astype(float)
    y = np.where(np.arange(1000) < rate * 1000, rng.permutation(right), right)
    found = estimate_target_noise(y, predictions)
    low, high = found.noise_rate_interval
    assert low - 0.05 <= np.mean(y != right) <= high
    assert (found.error_probability[y == right] > 0.5).mean() < 0.1


def test_predictions_that_tell_nothing_leave_the_rate_open():
    y = np.random.default_rng(0).uniform(size=300)
    found = estimate_target_noise(y, np.full(300, 0.5))
    assert found.noise_rate_interval[0] == 0


def test_constant_targets_that_are_met_are_right():
    for constant in (0.0, 3.0):
        found = estimate_target_noise(np.full(50, constant), np.full(50, constant))
        assert found.noise_rate < 0.02


def test_one_target_far_off_is_the_most_suspect_one():
    y, predictions, _, _ = simulated(0, n=82)  # as many as galaxies
    y[40] += 50
    found = estimate_target_noise(y, predictions)
    assert found.difficulty.argmax() == 40
    assert found.error_probability[40] > 0.5 > np.delete(found.error_probability, 40).max()


@pytest.mark.parametrize(
    ("y", "predictions"),
    [
        ([1.0], [1.0]),
        ([1.0, 2.0], [2.0, 1.0]),
        ([3.0] * 20, [3.0] * 20),
        (np.arange(20.0), np.arange(20.0)),
        (np.arange(20.0), np.zeros(20)),
        (np.r_[np.zeros(50), 1e30], np.zeros(51)),
    ],
)
def test_hardly_anything_to_go_by(y, predictions):
    found = estimate_target_noise(y, predictions)
    for name, values in found._asdict().items():
        assert np.isfinite(values).all(), name
    assert (found.scale > 0).all()
    assert 0 <= found.noise_rate_interval[0] <= found.noise_rate <= found.noise_rate_interval[1]


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.4])
@pytest.mark.parametrize("coverage", [0.8, 0.95])
def test_interval_of_the_right_target(rate, coverage):
    y, predictions, _, right = simulated(rate, "laplace", n=2000, growth=0.1)
    found = estimate_target_noise(y, predictions, coverage=coverage)
    low, high = found.suggested_interval.T
    assert abs(np.mean((low <= right) & (right <= high)) - coverage) < 0.04


def test_bounds_are_the_ends_of_the_rate():
    y, predictions, _, _ = simulated(0.2, "heavy")
    found = estimate_target_noise(y, predictions)
    low, high = found.error_probability_bounds.mean(axis=1)
    assert found.noise_rate_interval[0] < low <= found.noise_rate <= high
    assert high < found.noise_rate_interval[1]
    assert_allclose(found.noise_rate, found.error_probability.mean())


# ---------------------------------------------------------------------------------------- the parts


def test_mixture_by_hand():
    """With everything known, log odds are those of the densities."""
    rng = np.random.default_rng(0)
    z = np.r_[rng.normal(size=1800), rng.uniform(-30, 30, size=200)]
    density = np.full(2000, 1 / 60)  # another row's target, in units of z
    parts = fit_two_parts(z, density, 50.0)
    assert_allclose([parts.left, parts.right], 1, atol=0.08)
    assert_allclose(parts.location, 0, atol=0.1)
    places = np.array([0.0, 1.5, 3.0, 5.0])
    honest = 0.9 * np.exp(-(places**2) / 2) / np.sqrt(2 * np.pi)
    expected = 0.1 / 60 / (0.1 / 60 + honest)
    found = expit(parts.log_odds(places, np.full(4, 1 / 60)))
    assert_allclose(found, expected, atol=0.1)


def test_honest_spread_may_lean_to_one_side():
    rng = np.random.default_rng(0)
    z = np.abs(rng.normal(size=4000)) * np.where(rng.random(4000) < 0.25, -1, 3)
    parts = fit_two_parts(z, np.full(4000, 1e-3), 50.0)
    assert_allclose([parts.left, parts.right], [1, 3], rtol=0.12)
    assert parts.shares.sum() < 0.01


def test_shortest_intervals_hold_among_a_majority_of_errors():
    rng = np.random.default_rng(0)
    predictions = rng.uniform(size=4000)
    residuals = rng.normal(5, 1, size=4000)
    residuals[:2400] = rng.uniform(-100, 100, size=2400)
    windows = Windows(predictions, residuals, local=True)
    shape = windows.start(residuals, 0.25)
    assert np.abs(shape.centers - 5).max() < 1.5
    weights = (np.arange(4000) >= 2400).astype(float)
    shape = windows.weighted(residuals, weights)
    assert np.abs(shape.centers - 5).max() < 0.4
    assert_allclose(shape.widths, 1, rtol=0.35)


def test_density_and_resolution():
    values = np.random.default_rng(0).uniform(0, 10, size=5000)
    assert_allclose(Density(values)(np.array([2.0, 5.0, 8.0])), 0.1, rtol=0.15)
    assert Density(values)(np.array([1000.0]))[0] < 1e-3
    assert resolution(np.array([3.0, 3, 5, 5, 7])) == 2
    assert resolution(np.array([3.0, 3])) == 0


# ---------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y": []}, r"y must have the shape \(n_rows,\)"),
        ({"y": [[1.0], [2.0]]}, r"y must have the shape \(n_rows,\), got \(2, 1\)"),
        ({"predictions": [1.0, np.nan]}, r"predictions holds NaN or inf in 1 row.* \[1\]"),
        ({"y": [np.inf, 1.0]}, r"y holds NaN or inf in 1 row.* \[0\]"),
        ({"predictions": [1.0]}, r"predictions must have the shape \(2,\) of y, got \(1,\)"),
        ({"scale": "row"}, "'scale' parameter"),
        ({"coverage": 1.0}, "'coverage' parameter"),
    ],
)
def test_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        estimate_target_noise(**{"y": [1.0, 2.0], "predictions": [1.0, 2.0], **arguments})
