# SPDX-License-Identifier: BSD-3-Clause
"""Margins against hand cases, closed forms and their invariants."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_difficulty.measures import input_margin, output_margin

NAN, INF = float("nan"), float("inf")


def random_case(seed=0, n=20, n_classes=4, shape=(3, 2)):
    rng = np.random.default_rng(seed)
    logits, gradients = rng.normal(size=(n, n_classes)), rng.normal(size=(n, n_classes, *shape))
    return logits, gradients, rng.integers(n_classes, size=n)


def by_the_book(logits, gradients, labels):
    """Return both margins, one row and one class at a time."""
    output, of_input = [], []
    for z, g, c in zip(logits, gradients, labels, strict=True):
        others = [j for j in range(len(z)) if j != c]
        output.append(min(z[c] - z[j] for j in others))
        of_input.append(min((z[c] - z[j]) / ((g[c] - g[j]) ** 2).sum() ** 0.5 for j in others))
    return np.array(output), np.array(of_input)


@pytest.mark.parametrize("shape", [(), (1,), (5,), (2, 3, 3)])
@pytest.mark.parametrize("n_classes", [2, 3, 30])
def test_agrees_with_the_formula_as_written(n_classes, shape):
    logits, gradients, labels = random_case(n_classes=n_classes, shape=shape)
    for given_labels, codes in ((labels, labels), (None, logits.argmax(axis=1))):
        output, of_input = by_the_book(logits, gradients, codes)
        found = output_margin(logits, given_labels)
        assert found.dtype == np.float64
        assert_allclose(found, output, rtol=1e-15)
        found = input_margin(logits, gradients, given_labels)
        assert found.dtype == np.float64
        assert_allclose(found, of_input, rtol=1e-13)


def test_hand_case():
    logits = [[2, 5, 1], [0, 0, -3]]
    assert_array_equal(output_margin(logits), [3, 0])
    assert_array_equal(output_margin(logits, [0, 1]), [-3, 0])
    assert_array_equal(output_margin(logits, [2, 2]), [-4, -3])
    gradients = [[[0, 0], [3, 4], [3, 3]], [[1, 0], [0, 0], [1, 1]]]
    # Row 0: 3 / 5 against class 0, 4 / 1 against class 2.
    assert_allclose(input_margin(logits, gradients), [0.6, 0], rtol=1e-15)
    assert_allclose(input_margin(logits, gradients, [0, 2]), [-0.6, -3], rtol=1e-15)


def test_distance_to_a_line():
    rng = np.random.default_rng(0)
    w, b, X = rng.normal(size=3), 0.7, rng.normal(size=(50, 3))
    signed = X @ w + b
    logits = np.stack([np.zeros(50), signed], axis=1)
    gradients = np.tile([np.zeros(3), w], (50, 1, 1))
    distance = signed / np.linalg.norm(w)
    assert_allclose(input_margin(logits, gradients), abs(distance), rtol=1e-13)
    assert_allclose(input_margin(logits, gradients, np.ones(50, int)), distance, rtol=1e-13)
    assert_allclose(input_margin(logits, gradients, np.zeros(50, int)), -distance, rtol=1e-13)


def test_a_linear_network_is_left_after_exactly_the_margin():
    rng = np.random.default_rng(0)
    weights, b, X = rng.normal(size=(5, 3)), rng.normal(size=5), rng.normal(size=(40, 3))
    logits = X @ weights.T + b
    margins = input_margin(logits, np.tile(weights, (40, 1, 1)))
    for x, c, margin in zip(X, logits.argmax(axis=1), margins, strict=True):
        away = weights - weights[c]
        steps = np.delete(away, c, axis=0)
        steps /= np.linalg.norm(steps, axis=1, keepdims=True)
        for factor, leaves in ((0.999, False), (1.001, True)):
            moved = (x + factor * margin * steps) @ weights.T + b
            assert (moved.argmax(axis=1) != c).any() == leaves


@given(st.integers(0, 2**31), st.sampled_from([0.01, 3.0, 1e6]), st.sampled_from([-5.0, 0.3]))
@settings(max_examples=50, deadline=None)
def test_scale_shift_and_order(seed, factor, shift):
    logits, gradients, labels = random_case(seed)
    output, of_input = output_margin(logits, labels), input_margin(logits, gradients, labels)
    scaled = factor * logits
    assert_allclose(output_margin(scaled, labels), factor * output, rtol=1e-9)
    assert_allclose(input_margin(scaled, factor * gradients, labels), of_input, rtol=1e-9)
    assert_allclose(output_margin(logits + shift, labels), output, rtol=1e-6, atol=1e-12)
    common = np.random.default_rng(seed).normal(size=gradients[:, :1].shape)
    shifted = input_margin(logits, gradients + common, labels)
    assert_allclose(shifted, of_input, rtol=1e-6, atol=1e-12)
    rows = np.random.default_rng(seed).permutation(len(logits))
    assert_array_equal(output_margin(logits[rows], labels[rows]), output[rows])
    assert_array_equal(input_margin(logits[rows], gradients[rows], labels[rows]), of_input[rows])
    columns = np.random.default_rng(seed).permutation(4)
    moved = np.argsort(columns)[labels]
    assert_array_equal(output_margin(logits[:, columns], moved), output)
    assert_array_equal(input_margin(logits[:, columns], gradients[:, columns], moved), of_input)


def test_sign_tells_whether_the_class_is_predicted():
    logits, gradients, labels = random_case(n=200)
    is_predicted = labels == logits.argmax(axis=1)
    assert is_predicted.any()
    assert not is_predicted.all()
    for margin in (output_margin(logits, labels), input_margin(logits, gradients, labels)):
        assert_array_equal(margin > 0, is_predicted)
    assert (output_margin(logits) > 0).all()
    assert (input_margin(logits, gradients) > 0).all()


@pytest.mark.parametrize(
    ("gradients", "labels", "expected"),
    [
        ([0, 0, 1], [2], 1.0),
        # Class 1 is behind class 0, and nothing brings it closer: class 2 alone is a bound.
        ([2, 2, 0], [0], -0.5),
        ([2, 2, 0], [1], NAN),
        ([1, 1, 1], [0], NAN),
        ([1, 1, 1], [2], NAN),
    ],
)
def test_gradients_of_zero(gradients, labels, expected):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = input_margin([[1, 0, 2]], [gradients], labels)
    assert_array_equal(found, [expected])


def test_a_tie_that_nothing_can_break_is_undefined():
    assert_array_equal(input_margin([[1, 1, 0]], [[2, 2, 0]]), [NAN])
    assert_array_equal(input_margin([[1, 1, 0]], [[2, 1, 0]]), [0])


def test_numbers_that_are_not_finite():
    logits = [[1, NAN, 0], [INF, 0, 0], [INF, INF, 0], [-INF, 2, 1], [NAN, NAN, NAN]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        output = output_margin(logits)
        of_input = input_margin(logits, np.arange(15).reshape(5, 3))
        of_gradient = input_margin([[1, 0]] * 3, [[0, INF], [0, NAN], [0, 1]])
    # A class that is ruled out, by a logit of minus infinity, is no bound.
    assert_array_equal(output, [NAN, NAN, NAN, 1, NAN])
    assert_array_equal(of_input, [NAN, NAN, NAN, 1, NAN])
    assert_array_equal(of_gradient, [NAN, NAN, 1])


def test_integers_and_float32_are_read_as_float64():
    # The difference of these is lost in float32.
    logits = np.array([[1e8 + 1, 1e8]])
    assert_array_equal(output_margin(logits), [1])
    assert_array_equal(output_margin(np.array([[255, 0]], dtype=np.uint8), [1]), [-255])
    gradients = np.array([[[200], [0]]], dtype=np.uint8)
    assert_allclose(input_margin([[0, 1]], gradients), [1 / 200], rtol=1e-15)


def test_no_rows():
    assert output_margin(np.empty((0, 3))).shape == (0,)
    assert output_margin(np.empty((0, 3)), []).shape == (0,)
    assert input_margin(np.empty((0, 3)), np.empty((0, 3, 5)), []).shape == (0,)


def test_inputs_are_left_alone():
    logits, gradients, labels = random_case()
    copies = logits.copy(), gradients.copy(), labels.copy()
    output_margin(logits, labels)
    input_margin(logits, gradients, labels)
    for array, copy in zip((logits, gradients, labels), copies, strict=True):
        assert_array_equal(array, copy)


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        ([1, 2], None, r"\(n_rows, n_classes\).*shape \(2,\)"),
        ([[1], [2]], None, r"two classes.*\(2, 1\).*logits \(0, z\)"),
        ([["a", "b"]], None, "logits must hold real numbers"),
        ([[1j, 2]], None, "logits must hold real numbers"),
        ([[1, 2]], [0, 1], r"each of the 1 rows.*shape \(2,\)"),
        ([[1, 2]], 0, r"shape \(\)"),
        ([[1, 2]], [0.0], "labels must hold integers.*float64"),
        ([[1, 2]], [True], "labels must hold integers.*bool"),
        ([[1, 2]], [2], r"0, \.\.\., 1, got values from 2 to 2"),
        ([[1, 2]], [-1], "from -1 to -1"),
    ],
)
def test_bad_logits_and_labels(logits, labels, message):
    with pytest.raises(ValueError, match=message):
        output_margin(logits, labels)
    with pytest.raises(ValueError, match=message):
        input_margin(logits, np.ones((*np.shape(logits), 3)), labels)


@pytest.mark.parametrize(
    ("gradients", "message"),
    [
        (np.ones(2), r"\(4, 2, \.\.\.\).*shape \(2,\)"),
        (np.ones((4, 3, 5)), r"shape \(4, 3, 5\)"),
        (np.ones((2, 4, 5)), r"shape \(2, 4, 5\)"),
        (np.ones((4, 2, 0)), "at least one input"),
        (np.full((4, 2, 1), "a"), "gradients must hold real numbers"),
    ],
)
def test_bad_gradients(gradients, message):
    with pytest.raises(ValueError, match=message):
        input_margin(np.ones((4, 2)), gradients)
