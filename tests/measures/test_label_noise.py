# SPDX-License-Identifier: BSD-3-Clause
"""Label noise from probabilities: the channel by hand, known noise, and what cannot be known."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import average_precision_score

from sklearn_difficulty.datasets import make_label_noise
from sklearn_difficulty.measures import estimate_label_noise, noise_cuts
from sklearn_difficulty.measures._noise_channel import (
    CompactRows,
    _slips_that_go_anywhere,
    calibrated,
    compact_rows,
    fit_channel,
    slips_to_any_class,
    start_of_fit,
)
from sklearn_difficulty.measures.label_noise import _rows_of_fit, fit_noise_model


def softmax(z):
    z = np.exp(z - z.max(axis=1, keepdims=True))
    return z / z.sum(axis=1, keepdims=True)


def world(rate, *, kind="symmetric", n=3000, n_classes=5, seed=0, clear=7, blur=0.0):
    """Return a network's probabilities, given and true labels, where errors follow the class.

    The true class is drawn from the row's own probabilities r, and the network says r T, with an
    error of its own in the logarithms.
    """
    rng = np.random.default_rng(seed)
    centre = rng.integers(n_classes, size=n)
    r = softmax(rng.gumbel(size=(n, n_classes)) + clear * np.eye(n_classes)[centre])
    true = (r.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    step = np.eye(n_classes, k=1) + np.eye(n_classes, k=1 - n_classes)
    flips = step if kind == "pair" else (1 - np.eye(n_classes)) / (n_classes - 1)
    channel = (1 - rate) * np.eye(n_classes) + rate * flips
    y = (channel[true].cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    said = np.log(r @ channel + 1e-4) + blur * rng.normal(size=r.shape)
    return softmax(said), y, true


def f1(flagged, wrong):
    return 2 * (flagged & wrong).sum() / (flagged.sum() + wrong.sum())


def compact(q, y):
    return CompactRows.of(*compact_rows(q, y), q.shape[1])


# -------------------------------------------------------------------------------------- the channel


def test_compact_rows_hold_the_label_and_the_likeliest_other_classes():
    q = softmax(3 * np.random.default_rng(0).normal(size=(50, 40)))
    y = np.arange(50) % 40
    rows = compact(q, y)
    assert rows.log_q.shape == rows.classes.shape == (50, 16)
    assert_array_equal(rows.classes[:, 0], y)
    for i in range(50):
        others = np.delete(np.arange(40), y[i])
        likeliest = others[np.argsort(-q[i, others])][:15]
        assert_array_equal(rows.classes[i, 1:], likeliest)
        assert_allclose(rows.log_q[i], np.log(q[i, rows.classes[i]] / q[i, rows.classes[i]].max()))
    assert rows.contradicted == (q.argmax(axis=1) != y).mean()
    assert compact(q[:, :3], y % 3).classes.shape == (50, 3)


def test_channel_with_certain_beliefs_is_the_table_of_counts():
    # Beliefs that are certain leave EM nothing to guess: counts, plus twenty rows of prior.
    true = np.repeat([0, 1], 500)
    y = np.where(np.arange(1000) % 10 == 0, 1 - true, true)
    q = np.where(np.eye(2)[true] > 0, 1 - 1e-6, 1e-6)
    found = fit_channel(compact(q, y), 1.0, 0.2, fixed=True)
    expected = (50 + 20 * 0.1) / (500 + 20)
    assert_allclose(found.noise_matrix, [[1 - expected, expected], [expected, 1 - expected]], 1e-3)
    assert found.rate == pytest.approx(0.1, abs=1e-3)


def test_one_round_of_the_channel_by_hand():
    # Where nothing moves any more, a round by the formulas of the module leaves T as it is.
    q, y, _ = world(0.2, kind="pair", n=2000)
    rows = compact(q, y)
    found = fit_channel(rows, 3.0, 0.2, fixed=True)
    belief = q**3 / (q**3).sum(axis=1, keepdims=True)
    joint = belief * found.noise_matrix.T[y]
    posterior = joint / joint.sum(axis=1, keepdims=True)
    assert found.log_likelihood == pytest.approx(np.log(joint.sum(axis=1)).sum())
    rate = 1 - posterior[np.arange(2000), y].mean()
    assert found.rate == pytest.approx(rate)
    counts = np.array([posterior[y == j].sum(axis=0) for j in range(5)]).T
    slips = counts * (1 - np.eye(5))
    of_class = slips.sum(axis=1)
    same = ((slips**2 - slips).sum() + 20 / 4) / ((of_class**2 - of_class).sum() + 20)
    a = (1 - same) / (same - 1 / 4)
    rate_of_true = (of_class + 20 * rate) / (counts.sum(axis=1) + 20)
    where = (slips + a / 4) / (of_class + a)[:, None]
    expected = rate_of_true[:, None] * where * (1 - np.eye(5)) + np.diag(1 - rate_of_true)
    assert_allclose(found.noise_matrix, expected, atol=2e-3)


def test_slips_tell_whether_they_go_one_way():
    many = np.full(10, 200.0)
    assert _slips_that_go_anywhere(many, many) < 0.05  # one pair of every class has them all
    assert _slips_that_go_anywhere(np.full(90, 200 / 9), many) > 50
    # Two slips of two classes say next to nothing.
    assert _slips_that_go_anywhere(np.ones(2), np.r_[1.0, 1.0, np.zeros(8)]) > 1e5


def test_sharpness_is_found():
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(20_000, 4))
    y = (softmax(logits).cumsum(axis=1) > rng.random((20_000, 1))).argmax(axis=1)
    sharpness, likelihood = calibrated(compact(softmax(3 * logits), y))
    assert sharpness == pytest.approx(1 / 3, abs=0.01)
    of_labels = np.log(softmax(logits)[np.arange(20_000), y]).sum()
    assert likelihood == pytest.approx(of_labels, rel=0.002)


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.2, 0.4])
def test_the_share_of_slips_is_found(rate):
    q, y, true = world(rate, blur=0.7)
    rows = compact(q, y)
    slips = slips_to_any_class(rows)
    share = (y != true).mean()
    assert slips.rate == pytest.approx(share, abs=0.02)
    assert slips.lowest_rate <= slips.rate
    channel = fit_channel(rows, *start_of_fit(slips, calibrated(rows)[0]))
    assert channel.rate == pytest.approx(share, abs=0.02)
    # A network that learned from wrong labels doubts too much.
    assert channel.sharpness > (1.5 if rate else 1)


# ------------------------------------------------------------------------- probability and order


@pytest.mark.parametrize("noise", ["auto", "class", "instance"])
def test_model_reads_other_rows_as_it_reads_those_of_the_estimate(noise):
    q, y, _ = world(0.1, n=600)
    found, model = fit_noise_model(q, y, noise=noise)
    some = np.random.default_rng(1).permutation(600)[:50]
    assert_array_equal(model.difficulty(q[some], y[some]), found.difficulty[some])
    assert_array_equal(found.difficulty > 0.5, found.error_probability > 0.5)
    # Without labels the belief alone counts.
    assert_allclose(model.difficulty(q, None), stretched(1 - q.max(axis=1), model), rtol=1e-4)


def stretched(order, model):
    return np.interp(order, [0, model.cut, 1], [0, 0.5, 1])


def test_the_order_by_hand():
    q, y, _ = world(0.2, kind="pair", n=800, blur=0.3)
    own = np.arange(800), y
    by_doubt, model = fit_noise_model(q, y, noise="instance")
    assert_allclose(by_doubt.difficulty, stretched(1 - q[own], model), rtol=1e-4)
    found, model = fit_noise_model(q, y)
    matrix, right = found.noise_matrix, found.noise_matrix.diagonal()
    rate = 1 - right[y].mean()
    more_often = matrix / right / (rate / (1 - rate) / 4)
    weight = found.class_dependence**2
    g = (1 - weight) + weight * more_often
    np.fill_diagonal(g, 1)
    expected = 1 - q[own] / (q * g.T[y]).sum(axis=1)
    assert_allclose(found.difficulty, stretched(expected, model), rtol=1e-4, atol=1e-6)
    assert found.class_dependence > 0.5


@pytest.mark.parametrize("noise", ["auto", "class", "instance"])
@pytest.mark.parametrize("kind", ["symmetric", "pair"])
def test_above_a_cut_are_the_first_of_the_order(noise, kind):
    q, y, _ = world(0.15, kind=kind, clear=4)
    found = estimate_label_noise(q, y, noise=noise)
    order = np.argsort(-found.difficulty, kind="stable")
    assert np.all(np.diff(found.error_probability[order]) <= 0)
    for cut in noise_cuts(found.error_probability, found.error_probability_bounds):
        first = np.sort(order[: cut["n_dropped"]])
        assert_array_equal(first, np.flatnonzero(found.error_probability > cut["cut"]))
    assert len(np.unique(found.difficulty)) >= len(np.unique(found.error_probability))
    assert found.noise_rate == pytest.approx(found.error_probability.mean())


@pytest.mark.parametrize(("rate", "clear"), [(0.05, 5), (0.2, 5), (0.2, 7), (0.4, 7)])
def test_error_probabilities_of_slips_are_calibrated(rate, clear):
    q, y, true = world(rate, clear=clear, n=5000, blur=0.7)
    error = estimate_label_noise(q, y, noise="class").error_probability
    groups = np.minimum((10 * error).astype(int), 9)
    for group in np.unique(groups):
        rows = groups == group
        off = abs(error[rows].mean() - (y != true)[rows].mean())
        assert off * rows.mean() < 0.04  # its part of the expected calibration error


@pytest.mark.parametrize("kind", ["symmetric", "pair", "doubtful"])
@pytest.mark.parametrize("rate", [0.05, 0.2])
def test_auto_ranks_no_worse_than_both_of_its_ends(kind, rate):
    if kind == "doubtful":
        q, y, wrong = doubtful_world(rate)
    else:
        q, y, true = world(rate, kind=kind, clear=5)
        wrong = y != true
    auto, by_class, by_row = (
        average_precision_score(wrong, estimate_label_noise(q, y, noise=noise).difficulty)
        for noise in ("auto", "class", "instance")
    )
    assert auto >= min(by_class, by_row)
    assert auto >= by_row - 0.005  # which is 1 - q


# ----------------------------------------------------------------------------- rates that are known


@pytest.mark.parametrize(
    ("kind", "rate", "blur"),
    [
        *(("symmetric", rate, 0.7) for rate in (0.05, 0.2, 0.4)),
        ("pair", 0.05, 0.7),
        ("pair", 0.2, 0.3),
    ],
)
def test_known_noise_by_class(kind, rate, blur):
    q, y, true = world(rate, kind=kind, blur=blur)
    wrong = y != true
    found = estimate_label_noise(q, y)
    low, high = found.noise_rate_interval
    assert low <= wrong.mean() <= high
    assert low < found.noise_rate < high
    assert found.noise_rate == pytest.approx(found.error_probability.mean())
    flagged = found.error_probability > 0.5
    assert f1(flagged, wrong) > 0.85
    assert (found.suggested == true)[flagged & wrong].mean() > 0.85
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
    assert found.class_dependence < 0.1
    assert found.noise_rate_interval[0] == 0
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


def doubtful_world(rate, n=3000):
    """Return probabilities, labels, and which are wrong, if only doubtful rows are mislabelled."""
    rng = np.random.default_rng(0)
    doubtful = rng.random(n) < 0.4
    true = rng.integers(5, size=n)
    runner_up = (true + 1) % 5
    wrong = doubtful & (rng.random(n) < rate / 0.4)
    doubt = np.where(doubtful, rate / 0.4, 0.002)[:, None] * np.exp(0.3 * rng.normal(size=(n, 1)))
    identity = np.eye(5)
    doubt = np.minimum(doubt, 0.9)
    q = (1 - doubt) * identity[true] + doubt * identity[runner_up]
    return q, np.where(wrong, runner_up, true), wrong


def test_the_surest_rows_tell_the_worlds_apart():
    # The same rate of errors: in every row with the same chance, or where the network doubts.
    q, y, _ = world(0.1, blur=0.7)
    assert estimate_label_noise(q, y).class_dependence > 0.8
    q, y, wrong = doubtful_world(0.08)
    found = estimate_label_noise(q, y)
    assert found.class_dependence < 0.1
    low, high = found.noise_rate_interval
    assert low == 0
    assert wrong.mean() < high
    # Errors are taken to be in the doubt, if anywhere: as many as contradict the network.
    assert found.noise_rate == pytest.approx(wrong.mean(), abs=0.03)
    assert f1(found.error_probability > 0.5, wrong) > 0.8


@pytest.mark.parametrize(
    ("n_classes", "clear"), [(5, 7), (8, 6), (2, 5)], ids=["five classes", "eight", "two"]
)
def test_more_flips_more_flags(n_classes, clear):
    flagged, rates = [], []
    for rate in np.arange(0, 0.41, 0.02):
        # The same rows and the same draws: who is flipped at a rate stays flipped at the next.
        q, y, _ = world(rate, n=2000, n_classes=n_classes, clear=clear, blur=0.7)
        found = estimate_label_noise(q, y)
        flagged.append((found.error_probability > 0.5).mean())
        rates.append(found.noise_rate)
    assert np.diff(rates).min() > -0.003
    assert np.diff(flagged).min() > -0.003
    assert_allclose(rates[1::5], np.arange(0, 0.41, 0.02)[1::5], atol=0.1)


@pytest.mark.parametrize(
    ("rate", "clear", "most"), [(0.05, 5, 0.02), (0.2, 5, 0.02), (0.0, 5, 0.06), (0.05, 7, 0.06)]
)
def test_one_label_moves_no_other_probability_by_much(rate, clear, most):
    q, y, _ = world(rate, n=2000, clear=clear, blur=0.7)
    before = estimate_label_noise(q, y).error_probability
    rng = np.random.default_rng(0)
    for row in rng.permutation(2000)[:25]:
        other = y.copy()
        other[row] = (y[row] + rng.integers(1, 5)) % 5
        moved = np.abs(estimate_label_noise(q, other).error_probability - before)
        assert np.delete(moved, row).max() <= most


# ------------------------------------------------------------- few rows, imbalance, small classes


def two_classes(rate, seed, n=400):
    """Return what a network makes of two classes that overlap little, with few rows."""
    rng = np.random.default_rng(seed)
    true = rng.integers(2, size=n)
    y = np.where(rng.random(n) < rate, 1 - true, true)
    # It learned the direction, but from so many wrong labels that it says little.
    z = (2 * true - 1) * 2 + rng.normal(size=n)
    p = 0.5 + (0.5 - rate) * np.tanh(z) * 0.8
    return np.column_stack([1 - p, p]), y, y != true


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rate", [0.1, 0.4])
def test_two_classes_of_few_rows(rate, seed):
    q, y, wrong = two_classes(rate, seed)
    found = estimate_label_noise(q, y)
    low, high = found.noise_rate_interval
    assert low <= wrong.mean() <= high
    assert f1(found.error_probability > 0.5, wrong) > 0.75


def test_labels_that_agree_with_the_network_are_kept_where_labels_tell_nothing():
    rng = np.random.default_rng(0)
    q = softmax(5 * rng.normal(size=(300, 3)))
    for y in (rng.integers(3, size=300), np.zeros(300, dtype=int)):
        contradicted = q.argmax(axis=1) != y
        flagged = estimate_label_noise(q, y).error_probability > 0.5
        assert flagged.mean() <= contradicted.mean() + 0.05
    assert estimate_label_noise([[0.5, 0.5]], [0]).error_probability[0] <= 0.5


@pytest.mark.parametrize("seed", range(3))
def test_imbalance_without_errors(seed):
    rng = np.random.default_rng(seed)
    z = 2 * rng.normal(size=5000) - 7.5
    p = 1 / (1 + np.exp(-z))
    y = (rng.random(5000) < p).astype(int)
    assert 0.003 < y.mean() < 0.02
    found = estimate_label_noise(np.column_stack([1 - p, p]), y)
    assert (found.error_probability > 0.5).mean() <= 0.02
    assert found.noise_rate_interval[0] == 0


@pytest.mark.parametrize("rate", [0.0, 0.1])
def test_a_thousand_classes_of_five_rows(rate):
    rng = np.random.default_rng(0)
    true = np.repeat(np.arange(1000), 5)
    y = np.where(rng.random(5000) < rate, rng.integers(1000, size=5000), true)
    q = softmax(rng.gumbel(size=(5000, 1000)).astype(np.float32) + 14 * np.eye(1000)[true])
    found = estimate_label_noise(q, y)
    wrong = y != true
    low, high = found.noise_rate_interval
    assert low <= wrong.mean() <= high
    flagged = found.error_probability > 0.5
    if rate == 0:
        assert flagged.mean() < 0.02
    else:
        assert f1(flagged, wrong) > 0.9
        assert (found.suggested == true)[flagged & wrong].mean() > 0.9


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


def test_many_rows_are_fitted_by_a_part_and_estimated_in_full(monkeypatch):
    q, y, true = world(0.2, n=2000)
    whole = estimate_label_noise(q, y)
    monkeypatch.setattr("sklearn_difficulty.measures.label_noise._ROWS_OF_FIT", 1000)
    part = estimate_label_noise(q, y)
    assert part.error_probability.shape == (2000,)
    assert part.noise_rate == pytest.approx(whole.noise_rate, abs=0.03)
    assert f1(part.error_probability > 0.5, y != true) > 0.85


@pytest.mark.parametrize("seed", range(3))
def test_rows_of_the_fit_are_not_those_that_a_seed_flips(seed):
    true = np.arange(8000) % 4
    y, is_flipped = make_label_noise(true, rate=0.2, random_state=seed)
    taken = _rows_of_fit(len(y))
    assert len(np.unique(taken)) == 5000
    assert is_flipped[taken].mean() == pytest.approx(0.2, abs=0.02)  # seed 0 gave 0.32 once
    probabilities = 0.1 + 0.6 * np.eye(4)[true]
    low, high = estimate_label_noise(probabilities, y).noise_rate_interval
    assert low < 0.2 < high < 0.25


def test_blocks_do_not_show_and_a_memory_map_is_not_copied(monkeypatch, tmp_path):
    q, y, _ = world(0.1, n=20_000, n_classes=200, clear=9)
    q.astype(np.float32).tofile(tmp_path / "q")
    mapped = np.memmap(tmp_path / "q", dtype=np.float32, mode="r", shape=q.shape)
    tracemalloc.start()
    found = estimate_label_noise(mapped, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.5 * mapped.nbytes
    monkeypatch.setattr("sklearn_difficulty.measures._noise_blocks._NUMBERS_OF_BLOCK", 200 * 777)
    again = estimate_label_noise(mapped, y)
    assert_allclose(again.error_probability, found.error_probability, atol=1e-5)
    bad = np.array(mapped)
    bad[19_998] *= 0.5
    with pytest.raises(ValueError, match=r"sum to 1; see row 19998\."):
        estimate_label_noise(bad, y)


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
