# SPDX-License-Identifier: BSD-3-Clause
"""Label noise from probabilities: the channel by hand, known noise, and what cannot be known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_difficulty.measures import estimate_label_noise
from sklearn_difficulty.measures._noise_channel import (
    SortedRows,
    at_temperature,
    exponent_for_rate,
    fit_channel,
    likeliest_exponent,
    likeliest_temperature,
)
from sklearn_difficulty.measures.label_noise import fit_noise_model, log_probabilities


def softmax(z):
    z = np.exp(z - z.max(axis=1, keepdims=True))
    return z / z.sum(axis=1, keepdims=True)


def world(rate, *, kind="symmetric", n=3000, n_classes=5, seed=0):
    """Return a network's probabilities, given and true labels, where errors follow the class.

    The true class is drawn from the row's own probabilities r, and the network says r T.
    """
    rng = np.random.default_rng(seed)
    centre = rng.integers(n_classes, size=n)
    r = softmax(rng.gumbel(size=(n, n_classes)) + 7 * np.eye(n_classes)[centre])
    true = (r.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    step = np.eye(n_classes, k=1) + np.eye(n_classes, k=1 - n_classes)
    flips = step if kind == "pair" else (1 - np.eye(n_classes)) / (n_classes - 1)
    channel = (1 - rate) * np.eye(n_classes) + rate * flips
    y = (channel[true].cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return r @ channel, y, true


def f1(flagged, wrong):
    return 2 * (flagged & wrong).sum() / (flagged.sum() + wrong.sum())


# -------------------------------------------------------------------------------------- the channel


def test_posterior_is_bayes_rule_with_the_fitted_channel():
    q, y, _ = world(0.2, n=400)
    order = np.argsort(y)
    rows = SortedRows(np.log(q[order]), y[order])
    found = fit_channel(rows, 0.5)
    # Offsets of the classes aside, the belief is the square of q; the channel weighs it.
    odds = found.posterior / (q[order] ** 2 * found.noise_matrix[:, rows.y].T)
    per_class = odds / odds[:, :1]
    assert_allclose(per_class, np.tile(per_class[0], (400, 1)), rtol=1e-9)
    assert_allclose(found.noise_matrix.sum(axis=1), 1)
    assert_allclose(found.posterior.sum(axis=1), 1)


def test_channel_with_certain_beliefs_is_the_table_of_counts():
    # Beliefs that are certain leave EM nothing to guess: counts, plus five rows of prior.
    true = np.repeat([0, 1], 500)
    y = np.where(np.arange(1000) % 10 == 0, 1 - true, true)
    log_q = np.log(np.where(np.eye(2)[true] > 0, 1 - 1e-6, 1e-6))
    order = np.argsort(y, kind="stable")
    found = fit_channel(SortedRows(log_q[order], y[order]), 1.0)
    rate = 0.1
    expected = (50 + 5 * rate) / (500 + 5)
    assert_allclose(found.noise_matrix, [[1 - expected, expected], [expected, 1 - expected]], 1e-4)


def test_temperature_is_found():
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(20_000, 4))
    y = (softmax(logits).cumsum(axis=1) > rng.random((20_000, 1))).argmax(axis=1)
    order = np.argsort(y)
    overconfident = SortedRows(np.log(softmax(3 * logits))[order], y[order])
    temperature = likeliest_temperature(overconfident)
    assert temperature == pytest.approx(3, abs=0.1)
    mended = np.exp(at_temperature(overconfident.log_q, temperature))
    assert_allclose(mended, softmax(logits)[order], atol=0.02)


@pytest.mark.parametrize("noise", ["auto", "class", "instance"])
def test_model_reads_other_rows_as_it_reads_those_of_the_estimate(noise):
    q, y, _ = world(0.1, n=600)
    found, model = fit_noise_model(q, y, noise=noise)
    some = np.random.default_rng(1).permutation(600)[:50]
    log_q = log_probabilities(q[some])
    assert_allclose(model.error_probability(log_q, y[some]), found.error_probability[some], 1e-6)


def test_without_labels_the_belief_alone_counts():
    q, y, true = world(0.2, n=20_000)
    _, model = fit_noise_model(q, y)
    doubt = model.error_probability(log_probabilities(q), None)
    # As often as it says, the likeliest class is not the true one: its label adds no evidence.
    assert doubt.mean() == pytest.approx((q.argmax(axis=1) != true).mean(), abs=0.02)
    assert (doubt >= model.error_probability(log_probabilities(q), q.argmax(axis=1)) - 1e-9).all()


def test_exponent_for_rate_inverts_the_rate():
    q, y, _ = world(0.2)
    order = np.argsort(y)
    rows = SortedRows(np.log(q[order]), y[order])
    exponent = exponent_for_rate(rows, 0.15)
    assert fit_channel(rows, exponent).error_probability(rows.y).mean() == pytest.approx(
        0.15, abs=5e-3
    )
    assert exponent_for_rate(rows, 0.9) == 0.08
    assert exponent_for_rate(rows, 0.0) == 1.2


def test_likeliest_exponent_beats_its_neighbours():
    q, y, _ = world(0.2)
    order = np.argsort(y)
    rows = SortedRows(np.log(q[order]), y[order])
    best = likeliest_exponent(rows)
    at = [fit_channel(rows, best * factor).log_likelihood for factor in (0.8, 1, 1.25)]
    assert at[1] > max(at[0], at[2])


# ----------------------------------------------------------------------------- rates that are known


@pytest.mark.parametrize(
    ("kind", "rate"),
    [("symmetric", 0.05), ("symmetric", 0.2), ("symmetric", 0.4), ("pair", 0.05), ("pair", 0.2)],
)
def test_known_noise_by_class(kind, rate):
    q, y, true = world(rate, kind=kind)
    wrong = y != true
    found = estimate_label_noise(q, y)
    low, high = found.noise_rate_interval
    assert low <= wrong.mean() <= high
    assert low < found.noise_rate < high
    assert found.noise_rate == pytest.approx(found.error_probability.mean())
    flagged = found.error_probability > 0.5
    assert f1(flagged, wrong) > 0.85
    assert (found.suggested == true)[flagged & wrong].mean() > 0.9
    expected = estimate_label_noise(q, y, noise="class").noise_rate
    assert expected == pytest.approx(wrong.mean(), abs=0.35 * rate + 0.01)


def test_noise_matrix_tells_a_pair_from_chance():
    q, y, _ = world(0.2, kind="pair")
    matrix = estimate_label_noise(q, y).noise_matrix
    assert_allclose(matrix.sum(axis=1), 1)
    next_class = np.roll(np.eye(5, dtype=bool), 1, axis=1)
    assert matrix[next_class].min() > 5 * matrix[~next_class & ~np.eye(5, dtype=bool)].max()


@pytest.mark.parametrize("sharpness", [1.0, 3.0])
@pytest.mark.parametrize("seed", range(3))
def test_class_at_zero_noise_drops_next_to_nothing(sharpness, seed):
    rng = np.random.default_rng(seed)
    # Honest doubt: the label is drawn from what the network says.
    q = softmax(sharpness * rng.normal(size=(3000, 5)) * 2)
    y = (q.cumsum(axis=1) > rng.random((3000, 1))).argmax(axis=1)
    found = estimate_label_noise(q, y, noise="class")
    assert (found.error_probability > 0.5).mean() <= 0.015
    assert found.class_dependence < 0.5
    assert found.noise_rate_interval[0] < 0.01
    # "instance" calls the confident contradictions errors.
    assert estimate_label_noise(q, y, noise="instance").noise_rate > 4 * found.noise_rate


def test_bounds_hold_the_estimate_and_the_interval():
    q, y, _ = world(0.2)
    for noise in ("auto", "class", "instance"):
        found = estimate_label_noise(q, y, noise=noise)
        low, high = found.error_probability_bounds
        assert np.all((low <= found.error_probability) & (found.error_probability <= high))
        assert found.noise_rate_interval[0] <= low.mean()
        assert found.noise_rate_interval[1] >= high.mean()
        assert 0 <= found.noise_rate_interval[0] <= found.noise_rate_interval[1] <= 1


def test_the_surest_rows_tell_the_worlds_apart():
    # The same rate of errors: in every row with the same chance, or where the network doubts.
    q, y, _ = world(0.1)
    assert estimate_label_noise(q, y).class_dependence == 1
    rng = np.random.default_rng(0)
    doubtful = rng.random(3000) < 0.3
    true = rng.integers(5, size=3000)
    runner_up = (true + 1) % 5
    wrong = doubtful & (rng.random(3000) < 0.2)
    identity = np.eye(5)
    clear = 0.99 * identity[true] + 0.01 * identity[runner_up]
    unclear = 0.8 * identity[true] + 0.2 * identity[runner_up]
    q = np.where(doubtful[:, None], unclear, clear)
    found = estimate_label_noise(q, np.where(wrong, runner_up, true))
    assert found.class_dependence == 0
    low, high = found.noise_rate_interval
    assert low == 0
    assert wrong.mean() < high
    assert_array_equal(found.suggested, true)


# ---------------------------------------------------------------------- imbalance and small classes


@pytest.mark.parametrize("kind", ["none", "symmetric"])
def test_a_class_of_six_rows_neither_swallows_nor_is_swallowed(kind):
    rng = np.random.default_rng(0)
    true = np.repeat([0, 1, 2], [1500, 600, 6])
    r = softmax(5 * np.eye(3)[true] + rng.gumbel(size=(len(true), 3)))
    y, rate = true.copy(), 0.0
    if kind == "symmetric":
        rate = 0.1
        flipped = rng.random(len(true)) < rate
        flipped[true == 2] = False
        # Half of what is flipped lands in the class of six.
        y[flipped] = np.where(rng.random(flipped.sum()) < 0.5, 2, 1 - true[flipped].clip(0, 1))
    q = r * (1 - 1.5 * rate) + 0.5 * rate
    found = estimate_label_noise(q, y)
    assert (found.error_probability[true == 2] > 0.5).sum() <= 2
    assert (found.suggested == 2).sum() <= 20
    assert_allclose(found.noise_matrix.sum(axis=1), 1)
    if kind == "symmetric":
        assert f1(found.error_probability > 0.5, y != true) > 0.85


def test_ignorance_of_a_class_is_not_held_against_its_labels():
    # No label is wrong; of the class of ten rows, the network has learned little.
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], [1000, 500, 10])
    log_odds = np.where(y == 2, -2.5, 4.0) + 2 * rng.normal(size=len(y))
    other = np.where(y == 0, 1, 0)
    q = np.full((len(y), 3), 0.01)
    q[np.arange(len(y)), y] += 0.97 / (1 + np.exp(-log_odds))
    q[np.arange(len(y)), other] += 0.97 / (1 + np.exp(log_odds))
    flagged = {
        noise: (estimate_label_noise(q, y, noise=noise).error_probability > 0.5)[y == 2].sum()
        for noise in ("auto", "instance")
    }
    assert flagged["instance"] >= 5
    assert flagged["auto"] <= 2


def test_a_class_that_nobody_was_given():
    q, y, _ = world(0.2, n=600, n_classes=4)
    wider = np.column_stack([q * 0.99, np.full(600, 0.01)])
    found = estimate_label_noise(wider, y)
    assert np.isfinite(found.error_probability).all()
    assert np.isfinite(found.noise_matrix).all()
    assert (found.suggested < 4).all()


# ----------------------------------------------------------------------------- numbers and symmetry


def test_the_order_of_rows_and_classes_does_not_matter():
    q, y, _ = world(0.2, n=500)
    one = estimate_label_noise(q, y)
    rng = np.random.default_rng(3)
    rows, classes = rng.permutation(500), rng.permutation(5)
    # Column j of the second holds class classes[j] of the first.
    other = estimate_label_noise(q[rows][:, classes], np.argsort(classes)[y[rows]])
    assert_allclose(other.error_probability, one.error_probability[rows], atol=1e-6)
    assert_array_equal(classes[other.suggested], one.suggested[rows])
    assert_allclose(other.noise_matrix, one.noise_matrix[classes][:, classes], atol=1e-6)


def test_float16_and_zeros():
    q, y, _ = world(0.2, n=600)
    rounded = q.astype(np.float16)
    rounded[q < 0.05] = 0
    rounded = (rounded / rounded.sum(axis=1, keepdims=True, dtype=np.float32)).astype(np.float16)
    found = estimate_label_noise(rounded, y)
    assert found.error_probability.dtype == np.float64
    assert np.all((found.error_probability >= 0) & (found.error_probability <= 1))
    hard = np.eye(5)[q.argmax(axis=1)]
    certain = estimate_label_noise(hard, y)
    assert_array_equal(certain.error_probability > 0.5, hard.argmax(axis=1) != y)
    flat = estimate_label_noise(np.full((50, 2), 0.5), np.arange(50) % 2)
    assert np.isfinite(flat.error_probability).all()


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 40), st.integers(2, 6), st.floats(0.01, 30), st.integers(0, 2**31), st.booleans()
)
def test_anything_that_is_a_probability_gives_probabilities(n, n_classes, scale, seed, one_class):
    rng = np.random.default_rng(seed)
    q = softmax(scale * rng.normal(size=(n, n_classes)))
    y = np.zeros(n, dtype=int) if one_class else rng.integers(n_classes, size=n)
    found = estimate_label_noise(q, y)
    for values in (*found.error_probability_bounds, found.suggested_probability):
        assert np.all((values >= 0) & (values <= 1 + 1e-12))
    low, high = found.noise_rate_interval
    assert 0 <= low <= found.noise_rate <= high <= 1
    kept = found.suggested == y
    assert_allclose(found.error_probability[kept], 1 - found.suggested_probability[kept], atol=1e-9)


def test_many_rows_are_searched_by_a_part_and_estimated_in_full(monkeypatch):
    q, y, true = world(0.2, n=2000)
    whole = estimate_label_noise(q, y)
    monkeypatch.setattr("sklearn_difficulty.measures._noise_channel._ROWS_FOR_SEARCH", 1000)
    part = estimate_label_noise(q, y)
    assert part.error_probability.shape == (2000,)
    assert part.noise_rate == pytest.approx(whole.noise_rate, abs=0.03)
    assert f1(part.error_probability > 0.5, y != true) > 0.85


# -------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("probabilities", "y", "message"),
    [
        ([[0.5, 0.5], [0.5, 0.4], [0.2, 0.9]], [0, 1, 0], r"rows 1, 2 \(2 in all\)"),
        ([[2.0, -1.0]], [0], "row 0"),
        ([[0.5, np.nan], [0.5, 0.5]], [0, 1], "row 0"),
        ([[1.0], [1.0]], [0, 0], "two classes"),
        ([0.5, 0.5], [0, 1], "n_rows, n_classes"),
        (np.empty((0, 2)), [], "at least one row"),
        ([[0.5, 0.5]] * 7, [2] * 7, r"rows 0, 1, 2, 3, 4, ... \(7 in all\)"),
        ([[0.5, 0.5]], [-1], "row 0"),
        ([[0.5, 0.5]], [0, 1], "shape"),
        ([[0.5, 0.5]], [0.0], "integers"),
        ([[0.5, 0.5]], ["a"], "return_inverse"),
    ],
)
def test_bad_rows_are_named(probabilities, y, message):
    with pytest.raises(ValueError, match=message):
        estimate_label_noise(probabilities, y)


def test_other_bad_input():
    q, y = [[0.5, 0.5], [0.9, 0.1]], [0, 1]
    with pytest.raises(ValueError, match="noise must be"):
        estimate_label_noise(q, y, noise="none")
