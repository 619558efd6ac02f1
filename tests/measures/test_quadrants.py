# SPDX-License-Identifier: BSD-3-Clause
"""Quadrants of difficulty: hand cases, and Otsu's cut against trying every cut."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_difficulty.measures import corner_distances, difficulty_quadrants, otsu_threshold
from sklearn_difficulty.measures.quadrants import QUADRANT_NAMES

NAN = float("nan")


def within_variance(values, threshold):
    """Return the sum of squares left within the groups, which Otsu's cut makes smallest."""
    groups = values[values <= threshold], values[values > threshold]
    return sum(((group - group.mean()) ** 2).sum() for group in groups)


@given(st.lists(st.integers(-20, 20), min_size=2, max_size=30).filter(lambda v: len(set(v)) > 1))
def test_otsu_equals_trying_every_cut(values):
    values = np.array(values, dtype=float)
    distinct = np.unique(values)
    cuts = (distinct[1:] + distinct[:-1]) / 2
    left = np.array([within_variance(values, cut) for cut in cuts])
    # The lowest of equal cuts.
    expected = cuts[np.flatnonzero(left <= left.min() + 1e-9)[0]]
    assert otsu_threshold(values) == expected
    assert otsu_threshold(np.append(values, NAN)[::-1]) == expected
    # Exact in floats: far from zero, and where squares overflow or vanish.
    assert otsu_threshold(values + 2.0**40) == expected + 2.0**40
    assert otsu_threshold(values * 2.0**600) == expected * 2.0**600
    assert otsu_threshold(values * 2.0**-600) == expected * 2.0**-600


def test_otsu_by_hand():
    assert otsu_threshold([0, 1]) == 0.5
    assert otsu_threshold([0, 0, 0, 0, 10]) == 5
    assert otsu_threshold([4, 1, 3, 2]) == 2.5
    assert isinstance(otsu_threshold([0, 1]), float)


def test_otsu_takes_the_lowest_of_equal_cuts():
    assert otsu_threshold([0, 1, 2]) == 0.5
    # The two cuts differ by rounding alone.
    assert otsu_threshold([0.1, 0.2, 0.3]) == pytest.approx(0.15)
    assert otsu_threshold([-0.3, -0.2, -0.1]) == pytest.approx(-0.25)


def test_otsu_finds_two_clusters():
    rng = np.random.default_rng(0)
    low, high = rng.normal(0.2, 0.03, size=300), rng.normal(0.7, 0.05, size=60)
    threshold = otsu_threshold(rng.permutation(np.concatenate([low, high])))
    assert threshold == (low.max() + high.min()) / 2


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=20).filter(lambda v: max(v) > min(v)))
def test_otsu_leaves_rows_on_both_sides(values):
    assert min(values) <= otsu_threshold(values) < max(values)


def test_otsu_between_adjacent_floats():
    for low in (1.0, np.nextafter(1.0, 2)):  # one of the two midpoints rounds up
        high = np.nextafter(low, 2)
        assert otsu_threshold([low, high]) == low


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "at least two different"),
        ([1.0], "at least two different"),
        ([1.0, 1.0, NAN], "at least two different"),
        ([NAN, NAN], "at least two different"),
        ([0.0, 1.0, np.inf], "finite or NaN"),
        ([[0.0, 1.0]], r"shape \(n_values,\), got \(1, 2\)"),
    ],
)
def test_otsu_of_what_cannot_be_cut(values, message):
    with pytest.raises(ValueError, match=message):
        otsu_threshold(values)


def test_distances_from_the_corners():
    found = corner_distances([0, 0, 1, 1, 0.5, 0.3], [0, 1, 0, 1, 0.5, 0.4])
    root = 2**0.5
    corners = [[0, 1, 1, root], [1, 0, root, 1], [1, root, 0, 1], [root, 1, 1, 0]]
    assert_allclose(found[:4], corners, atol=1e-15)
    assert_allclose(found[4], [root / 2] * 4)
    assert_allclose(found[5, 0], 0.5)


def test_the_nearest_corner_is_the_quadrant_at_one_half():
    validation, train = np.random.default_rng(0).random((2, 100))
    nearest = corner_distances(validation, train).argmin(axis=1)
    assert_array_equal(difficulty_quadrants(validation, train, (0.5, 0.5)), nearest)
    assert set(nearest) == {0, 1, 2, 3}


def test_names_of_the_codes():
    codes = difficulty_quadrants([0, 0, 1, 1], [0, 1, 0, 1], (0.5, 0.5))
    assert codes.dtype == np.int64
    assert [QUADRANT_NAMES[code] for code in codes] == [
        "easy",
        "looks_like_a_different_class",
        "ambiguous_without_label",
        "ambiguous",
    ]


def test_each_axis_has_its_threshold_and_the_threshold_is_low():
    assert difficulty_quadrants([2, 3, 2, 3], [7, 7, 8, 8], (2, 7)).tolist() == [0, 2, 1, 3]
    assert difficulty_quadrants([2, 3, 2, 3], [7, 7, 8, 8], (7, 2)).tolist() == [1, 1, 1, 1]


def test_nan_goes_through():
    validation, train = [NAN, 0.2, NAN, 0.2], [0.2, NAN, NAN, 0.2]
    assert difficulty_quadrants(validation, train, (0.5, 0.5)).tolist() == [-1, -1, -1, 0]
    undefined = np.isnan(corner_distances(validation, train))
    assert_array_equal(undefined, np.repeat([[True], [True], [True], [False]], 4, axis=1))


def test_no_rows():
    assert corner_distances([], []).shape == (0, 4)
    assert difficulty_quadrants([], [], (0.5, 0.5)).shape == (0,)


@pytest.mark.parametrize(("validation", "train"), [([0.1], [0.1, 0.2]), ([[0.1]], [[0.1]])])
def test_depths_that_do_not_fit(validation, train):
    for call in (
        lambda: corner_distances(validation, train),
        lambda: difficulty_quadrants(validation, train, (0.5, 0.5)),
    ):
        with pytest.raises(ValueError, match=r"must both have the shape \(n_rows,\), got"):
            call()


def test_corners_want_scaled_depths():
    for depth in (1.1, -0.1, 7):
        with pytest.raises(ValueError, match=r"must lie in \[0, 1\]: divide"):
            corner_distances([depth], [0.5])
        with pytest.raises(ValueError, match=r"must lie in \[0, 1\]: divide"):
            corner_distances([0.5], [depth])
    assert_allclose(corner_distances([np.nextafter(1, 2)], [1.0])[0, 3], 0, atol=1e-15)


@pytest.mark.parametrize("thresholds", [0.5, (0.5,), (0.5, 0.5, 0.5), (0.5, NAN)])
def test_thresholds_that_are_none(thresholds):
    with pytest.raises(ValueError, match="thresholds must be two numbers"):
        difficulty_quadrants([0.1], [0.1], thresholds)
