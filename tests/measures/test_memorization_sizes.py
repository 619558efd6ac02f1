# SPDX-License-Identifier: BSD-3-Clause
"""Shapes of memorization over sizes: hand cases, and curves fitted by scikit-learn."""

from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.isotonic import IsotonicRegression

from sklearn_difficulty.measures import memorization_categories
from sklearn_difficulty.measures.memorization_sizes import CATEGORIES, _residuals

HAND_CASES = [
    ("constant", [0.3, 0.3, 0.3, 0.3]),
    ("constant", [0.3, 0.39, 0.31, 0.35]),  # within the smallest change that counts
    ("increasing", [0.0, 0.1, 0.4, 0.9]),
    ("increasing", [0.0, 0.5, 0.45, 0.9]),  # a dip that is small beside the tolerance
    ("increasing", [0.0, 0.5, 0.5, 0.42]),  # no cap: it hardly rises above its end
    ("decreasing", [0.9, 0.4, 0.1, 0.0]),
    ("decreasing", [0.42, 0.5, 0.5, 0.0]),
    ("cap", [0.0, 0.8, 0.7, 0.1]),
    ("cap", [-0.2, 0.3, 0.1, -0.3]),
    ("U", [0.8, 0.1, 0.2, 0.9]),
    ("mixed", [0.0, 0.8, 0.0, 0.8]),
    ("mixed", [0.8, 0.0, 0.8, 0.0]),
]


@pytest.mark.parametrize(("category", "curve"), HAND_CASES)
def test_hand_cases(category, curve):
    m = np.array(curve)[:, None]
    assert memorization_categories(m, np.full_like(m, 0.01)).tolist() == [category]


MIRRORED = {"increasing": "decreasing", "decreasing": "increasing"}
NEGATED = {**MIRRORED, "cap": "U", "U": "cap"}


def test_turned_curves_have_turned_shapes():
    m = np.array([curve for _, curve in HAND_CASES]).T
    se = np.full_like(m, 0.01)
    names = [name for name, _ in HAND_CASES]
    back = memorization_categories(m[::-1], se)
    # Of a zigzag the better monotone curve is a tie, and it is mixed either way.
    assert back.tolist() == [MIRRORED.get(name, name) for name in names]
    assert memorization_categories(-m, se).tolist() == [NEGATED.get(n, n) for n in names]


def test_curves_are_the_least_squares_fits():
    rng = np.random.default_rng(0)
    values, weights = rng.uniform(-1, 1, (40, 6)), rng.uniform(1, 500, (40, 6))

    def left(row, increasing, part):
        m, w = values[row, part], weights[row, part]
        if not len(m):
            return 0
        fit = IsotonicRegression(increasing=increasing).fit(np.arange(len(m)), m, w)
        return (w * (m - fit.predict(np.arange(len(m)))) ** 2).sum()

    found = _residuals(values, weights)
    for row in range(40):
        whole = slice(None)
        cap, u = (
            min(left(row, up, slice(b)) + left(row, not up, slice(b, None)) for b in range(7))
            for up in (True, False)
        )
        squares = [left(row, True, whole), left(row, False, whole), cap, u]
        expected = np.sqrt(np.array(squares) / weights[row].sum())
        assert_allclose([of_shape[row] for of_shape in found], expected, atol=1e-9)


def test_turning_curves_are_the_best_of_all():
    """No curve on a grid that rises and then falls is nearer than the one that is fitted."""
    grid = np.linspace(-1, 1, 9)
    curves = np.array(list(product(grid, repeat=4)))
    steps = np.sign(np.diff(curves, axis=1))
    is_cap = ~np.any((steps[:, :-1] < 0) & (steps[:, 1:] > 0), axis=1)
    is_cap &= ~((steps[:, 0] < 0) & (steps[:, 2] > 0))
    m = np.random.default_rng(1).uniform(-1, 1, 4)
    nearest = np.sqrt(((curves[is_cap] - m) ** 2).mean(axis=1).min())
    _, _, cap, _ = _residuals(m[None], np.ones((1, 4)))
    assert nearest - 0.25 < cap[0] <= nearest


def test_changes_within_two_standard_errors_are_none():
    m = np.array([[0.0, 0.0], [0.1, 0.1], [0.3, 0.3]])
    se = np.array([[0.05, 0.05], [0.05, 0.05], [0.05, 0.2]])
    assert memorization_categories(m, se).tolist() == ["increasing", "constant"]
    assert memorization_categories(m, se, min_change=0.35).tolist() == ["constant"] * 2


def test_uncertain_sizes_count_less():
    m, se = np.array([[0.0], [0.9], [0.2], [0.9]]), np.full((4, 1), 0.05)
    assert memorization_categories(m, se).tolist() == ["mixed"]
    se[1] = 0.2  # the peak is the uncertain one
    assert memorization_categories(m, se).tolist() == ["increasing"]


def test_two_sizes_rise_or_fall():
    m = [[0.1, 0.5, 0.3], [0.5, 0.1, 0.3]]
    found = memorization_categories(m, np.full((2, 3), 0.02))
    assert found.tolist() == ["increasing", "decreasing", "constant"]


def test_rows_do_not_see_each_other_and_nan_is_undefined():
    rng = np.random.default_rng(2)
    m, se = rng.uniform(-1, 1, (5, 9000)), rng.uniform(0.01, 0.1, (5, 9000))
    m[3, 7] = se[0, 8] = np.nan
    whole = memorization_categories(m, se)
    assert_array_equal(whole[7:9], "undefined")
    assert set(whole) == {*CATEGORIES, "undefined"}
    some = rng.permutation(9000)[:50]
    assert_array_equal(memorization_categories(m[:, some], se[:, some]), whole[some])


@pytest.mark.parametrize(
    ("m", "se", "message"),
    [
        ([0.1, 0.2], [0.1, 0.1], "at least two sizes"),
        ([[0.1]], [[0.1]], "at least two sizes"),
        ([[0.1], [0.2]], [[0.1]], r"standard_error must have the shape \(2, 1\)"),
        ([[0.1], [1.2]], [[0.1], [0.1]], r"memorization must lie in \[-1, 1\]"),
        ([[0.1], [0.2]], [[0.1], [0.0]], "standard_error must be above 0"),
        ([["a"], ["b"]], [[0.1], [0.1]], "memorization must hold real numbers"),
    ],
)
def test_bad_input_is_named(m, se, message):
    with pytest.raises(ValueError, match=message):
        memorization_categories(m, se)
