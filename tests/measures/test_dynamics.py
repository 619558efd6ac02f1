# SPDX-License-Identifier: BSD-3-Clause
"""Training dynamics against hand cases, slow loops, and what others compute."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import softmax
from scipy.stats import entropy
from sklearn.metrics import log_loss

from sklearn_difficulty.measures import (
    aleatoric_uncertainty,
    epoch_statistics,
    forgetting_events,
    iteration_learned,
    mean_correctness,
    mean_over_epochs,
    variability,
)

NAN = np.nan


@st.composite
def transcripts(draw):
    """Predictions of every epoch, -1 where a row was not seen, and labels."""
    shape = draw(st.integers(1, 7)), draw(st.integers(1, 5))
    predicted = draw(arrays(np.int32, shape, elements=st.integers(-1, 2)))
    return predicted, draw(arrays(np.int64, shape[1], elements=st.integers(0, 2)))


@st.composite
def probabilities(draw):
    shape = draw(st.integers(1, 7)), draw(st.integers(1, 5))
    values = draw(arrays(np.float32, shape, elements=st.floats(0, 1, width=32)))
    unseen = draw(arrays(bool, shape))
    counts = draw(arrays(np.int32, shape, elements=st.integers(1, 4)))
    return np.where(unseen, np.float32(NAN), values), np.where(unseen, 0, counts)


def of_rows(function, *columns):
    """Return what a function of one row's list of seen values says, NaN if it saw none."""
    return [function(*row) if len(row[0]) else NAN for row in zip(*columns, strict=True)]


# ---------------------------------------------------------------------------- means and spreads


@given(probabilities())
def test_means_are_those_of_a_loop(case):
    p, counts = case
    seen = [column[~np.isnan(column)].astype(float) for column in p.T]
    times = [column[column > 0] for column in counts.T]
    repeated = [np.repeat(v, t) for v, t in zip(seen, times, strict=True)]
    assert_allclose(mean_over_epochs(p), of_rows(np.mean, seen), atol=1e-12)
    assert_allclose(mean_over_epochs(p, counts), of_rows(np.mean, repeated), atol=1e-12)
    assert_allclose(variability(p), of_rows(np.std, seen), atol=1e-12)
    doubt = of_rows(lambda v: np.mean([x * (1 - x) for x in v]), seen)
    assert_allclose(aleatoric_uncertainty(p), doubt, atol=1e-12)


@given(probabilities())
def test_means_have_the_ranges_that_are_stated(case):
    p, _ = case
    for found, highest in ((variability(p), 0.5), (aleatoric_uncertainty(p), 0.25)):
        assert np.isnan(found).tolist() == np.isnan(p).all(axis=0).tolist()
        assert ((found >= 0) & (found <= highest))[~np.isnan(found)].all()


def test_means_by_hand():
    p = [[0.2, NAN, 0.5, 1.0], [0.6, NAN, NAN, 0.0]]
    assert_allclose(mean_over_epochs(p), [0.4, NAN, 0.5, 0.5])
    assert_allclose(mean_over_epochs(p, [[3, 0, 1, 1], [1, 0, 0, 1]]), [0.3, NAN, 0.5, 0.5])
    assert_allclose(variability(p), [0.2, NAN, 0, 0.5])
    assert_allclose(aleatoric_uncertainty(p), [0.2, NAN, 0.25, 0])


def test_values_in_float32_are_summed_in_float64():
    values = np.full((100_000, 1), 0.1, dtype=np.float32)
    assert mean_over_epochs(values)[0] == pytest.approx(float(np.float32(0.1)), rel=1e-12)
    assert variability(values)[0] < 1e-12


def test_inputs_are_not_written_to():
    p = np.array([[0.2, NAN], [0.6, 0.1]])
    predicted, labels = np.array([[0, -1], [1, 1]]), np.array([0, 1])
    for array in (p, predicted, labels):
        array.flags.writeable = False
    for measure in (mean_over_epochs, variability, aleatoric_uncertainty):
        measure(p)
    for measure in (mean_correctness, forgetting_events, iteration_learned):
        measure(predicted, labels)


# --------------------------------------------------------------------------------------- events


def slow_forgetting(row, label):
    right = [guess == label for guess in row]
    if not any(right):
        return None
    return sum(a and not b for a, b in pairwise(right))


def slow_learned(row, label):
    """The first of the seen epochs from which on all are the label."""
    for start in range(len(row)):
        if all(guess == label for _, guess in row[start:]):
            return row[start][0]
    return None


@given(transcripts(), st.none() | st.floats(-5, 50))
def test_events_are_those_of_a_transcript(case, never):
    predicted, labels = case
    n = len(predicted)
    seen = [[g for g in column if g >= 0] for column in predicted.T]
    numbered = [[(e + 1, g) for e, g in enumerate(c) if g >= 0] for c in predicted.T]
    right = of_rows(lambda row, y: np.mean([g == y for g in row]), seen, labels)
    assert_allclose(mean_correctness(predicted, labels), right)

    def forgotten(row, label):
        events = slow_forgetting(row, label)
        return (n if never is None else never) if events is None else events

    assert_array_equal(
        forgetting_events(predicted, labels, never_learned=never),
        of_rows(forgotten, seen, labels),
    )

    def learned(row, label):
        epoch = slow_learned(row, label)
        return n + 1 if epoch is None else epoch

    assert_array_equal(iteration_learned(predicted, labels), of_rows(learned, numbered, labels))
    last = [row[-1][1] if row else 0 for row in numbered]
    assert_array_equal(iteration_learned(predicted), of_rows(learned, numbered, last))


TRANSCRIPT = """
    1111111  learned at once           0  1  1
    0000000  never learned             7  8  1
    0000111  learned in the fifth      0  5  5
    1110000  forgotten                 1  8  4
    0101010  forgotten over and over   3  8  7
    0101011  learned in the end        2  6  6
    -111-0-  forgotten after a gap     1  8  6
    -1-1-1-  right whenever seen       0  2  2
    -------  never seen                -  -  -
    ----1--  seen once, right          0  5  5
    ----0--  seen once, wrong          7  8  5
    1----01  lost in a gap             1  7  7
"""


def test_events_by_hand():
    lines = [line.split() for line in TRANSCRIPT.strip().splitlines()]
    codes = {"0": 0, "1": 1, "-": -1}
    predicted = np.array([[codes[c] for c in line[0]] for line in lines]).T
    labels = np.ones(len(lines), int)
    expected = [[NAN if v == "-" else float(v) for v in line[-3:]] for line in lines]
    found = [
        forgetting_events(predicted, labels),
        iteration_learned(predicted, labels),
        iteration_learned(predicted),
    ]
    assert_array_equal(np.transpose(found), expected)


@given(transcripts())
def test_never_learned_is_worse_than_all_others(case):
    predicted, labels = case
    events = forgetting_events(predicted, labels)
    learned = ((predicted == labels) & (predicted >= 0)).any(axis=0)
    assert (events[learned] <= len(predicted) / 2).all()
    assert (events[learned] < len(predicted)).all()


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.uint8, np.float64])
def test_predictions_of_any_type(dtype):
    predicted = np.array([[0, 1], [1, 1], [0, 0]]).astype(dtype)
    assert forgetting_events(predicted, [0, 1]).tolist() == [1, 1]
    assert iteration_learned(predicted, [0, 1]).tolist() == [3, 4]


def test_rescale_divides_by_the_95th_percentile_of_the_learned():
    labels = np.zeros(41, int)
    predicted = np.ones((40, 41), int)
    for row in range(40):
        predicted[row:, row] = 0  # learned in epoch row + 1
    plain = iteration_learned(predicted, labels)
    assert plain.tolist() == [*range(1, 41), 41]
    scale = np.percentile(np.arange(1, 41), 95)
    assert_allclose(iteration_learned(predicted, labels, rescale=True), plain / scale)
    assert_allclose(
        iteration_learned(predicted, rescale=True),
        np.array([*range(1, 41), 1]) / np.percentile([*range(1, 41), 1], 95),
    )


def test_rescale_without_a_learned_row_changes_nothing():
    predicted = [[1, -1], [1, -1]]
    assert_array_equal(iteration_learned(predicted, [0, 0], rescale=True), [3, NAN])


def test_rows_that_were_never_shown_do_not_disturb_rescale():
    learned = iteration_learned([[0, 1, -1], [0, 0, -1]], [0, 0, 0], rescale=True)
    assert_allclose(learned, np.array([1, 2, NAN]) / np.percentile([1, 2], 95))


# --------------------------------------------------------------------------- statistics of logits


@pytest.fixture(scope="module")
def logits():
    rng = np.random.default_rng(0)
    return rng.normal(scale=3, size=(4, 30, 5)), rng.integers(5, size=30)


def test_statistics_are_those_of_scipy_and_scikit_learn(logits):
    z, y = logits
    found = epoch_statistics(z, y)
    p = softmax(z, axis=2)
    rows = np.arange(30)
    one_hot = np.eye(5)[y]
    assert_allclose(found.probability, p[:, rows, y])
    assert_allclose(found.loss.mean(axis=1), [log_loss(y, q, labels=range(5)) for q in p])
    assert_allclose(found.el2n, np.sqrt(((p - one_hot) ** 2).sum(axis=2)))
    assert_allclose(found.entropy, entropy(p, axis=2))
    assert_array_equal(found.predicted, p.argmax(axis=2))
    for e in range(4):
        for i in range(30):
            others = np.delete(z[e, i], y[i])
            assert found.margin[e, i] == pytest.approx(z[e, i, y[i]] - max(others))


def test_statistics_are_those_that_are_recorded(logits):
    from sklearn_difficulty.networks.heads import Logits

    z, y = logits
    ours = epoch_statistics(z, y)
    for e in range(4):
        theirs, _ = Logits().row_statistics(torch.tensor(z[e]).float(), torch.tensor(y))
        for name, values in zip(("probability", "margin", "loss", "el2n"), theirs, strict=True):
            assert_allclose(getattr(ours, name)[e], values, rtol=1e-4, atol=1e-5)


def test_statistics_by_hand():
    found = epoch_statistics([[2.0, 0.0, 1.0], [NAN, NAN, NAN], [0.0, 0.0, 0.0]], [2, 0, 1])
    e = np.e
    p = e / (1 + e + e**2)
    assert_allclose(found.probability, [[p, NAN, 1 / 3]])
    assert_allclose(found.margin, [[-1, NAN, 0]])
    assert_allclose(found.loss, [[-np.log(p), NAN, np.log(3)]])
    assert_allclose(found.el2n[0, 2], np.sqrt(4 / 9 + 2 / 9))
    assert_allclose(found.entropy[0, 1:], [NAN, np.log(3)])
    assert found.predicted.tolist() == [[0, -1, 0]]


def test_a_single_epoch_may_lack_its_axis(logits):
    z, y = logits
    for one, other in zip(epoch_statistics(z[0], y), epoch_statistics(z[:1], y), strict=True):
        assert_array_equal(one, other)


def test_extreme_logits_stay_finite():
    found = epoch_statistics([[[1e4, 0.0], [0.0, 1e4], [-1e4, 1e4]]], [0, 0, 1])
    assert_allclose(found.loss, [[0, 1e4, 0]])
    assert_allclose(found.el2n, [[0, np.sqrt(2), 0]])
    assert_allclose(found.entropy, 0)
    assert all(np.isfinite(values).all() for values in found)


@given(st.integers(0, 2**32 - 1), st.floats(-50, 50))
def test_a_constant_added_to_all_logits_changes_nothing(seed, shift):
    z = np.random.default_rng(seed).normal(size=(2, 3, 4))
    y = [0, 3, 1]
    for one, other in zip(epoch_statistics(z, y), epoch_statistics(z + shift, y), strict=True):
        assert_allclose(one, other, atol=1e-9)


def test_logits_are_not_written_to(logits):
    z = logits[0].copy()
    z[0, 0] = NAN
    before = z.copy()
    epoch_statistics(z, logits[1])
    assert_array_equal(z, before)


# ------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_over_epochs([0.1, 0.2]), r"\(n_epochs, n_rows\).*shape \(2,\)"),
        (lambda: mean_over_epochs(np.empty((0, 3))), r"at least one epoch.*\(0, 3\)"),
        (lambda: mean_over_epochs([[0.1, 0.2]], [[1]]), "values and counts differ in shape"),
        (lambda: variability(np.zeros((2, 2, 2))), r"shape \(2, 2, 2\)"),
        (lambda: aleatoric_uncertainty(0.5), r"shape \(\)"),
        (lambda: mean_correctness([[0, 1]], [0]), r"2 rows in predicted.*shape \(1,\)"),
        (lambda: forgetting_events([[0, 1]], [[0, 1]]), r"labels of shape \(1, 2\)"),
        (lambda: iteration_learned([[0, 1]], [0, 1, 1]), r"labels of shape \(3,\)"),
        (lambda: iteration_learned(np.empty((0, 2))), "at least one epoch"),
        (lambda: epoch_statistics([0.0, 1.0], [0]), r"got \(2,\) and \(1,\)"),
        (lambda: epoch_statistics(np.zeros((2, 3, 1)), [0, 0, 0]), "at least two classes"),
        (lambda: epoch_statistics(np.zeros((2, 3, 2)), [0, 0]), r"\(2, 3, 2\) and \(2,\)"),
        (lambda: epoch_statistics(np.zeros((1, 2, 2)), [0, 2]), "integers from 0 to 1"),
        (lambda: epoch_statistics(np.zeros((1, 2, 2)), [0, -1]), "integers from 0 to 1"),
        (lambda: epoch_statistics(np.zeros((1, 2, 2)), ["a", "b"]), "integers from 0 to 1"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# ------------------------------------------------------------------------------- what others do


def test_margin_and_its_mean_are_those_of_the_aum_package(tmp_path, logits):
    aum = pytest.importorskip("aum")
    z, y = logits
    calculator = aum.AUMCalculator(str(tmp_path), compressed=True)
    order = np.random.default_rng(1)
    for epoch in z:
        for ids in np.split(order.permutation(30), [7, 20]):
            records = calculator.update(
                torch.tensor(epoch[ids]), torch.tensor(y[ids]), [int(i) for i in ids]
            )
    calculator.finalize()
    pd = pytest.importorskip("pandas")
    theirs = pd.read_csv(tmp_path / "aum_values.csv").set_index("sample_id")["aum"]
    assert set(records) <= set(theirs.index)
    ours = mean_over_epochs(epoch_statistics(z, y).margin)
    assert_allclose(ours, theirs.loc[range(30)], rtol=1e-5)
