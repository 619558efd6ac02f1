# SPDX-License-Identifier: BSD-3-Clause
"""The rule of prediction depth: hand cases, labels of any type, and a slow loop."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sklearn_difficulty.measures import prediction_depth


@pytest.mark.parametrize(
    ("agreement", "expected"),
    [("1111", 0), ("0111", 1), ("1011", 2), ("0001", 3), ("1110", np.nan), ("0000", np.nan)],
)
def test_hand_cases(agreement, expected):
    predictions = [[int(agrees)] for agrees in agreement]
    depth = prediction_depth(predictions, [1])
    assert depth.dtype == np.float64
    assert np.array_equal(depth, [expected], equal_nan=True)


def test_disagreeing_with_another_class_each_time_is_disagreeing():
    assert prediction_depth([[2], [0], [3], [1]], [1]).tolist() == [3.0]


def test_a_single_probe():
    assert np.array_equal(prediction_depth([[0, 1]], [0, 0]), [0, np.nan], equal_nan=True)


def test_no_rows():
    assert prediction_depth(np.empty((4, 0)), []).shape == (0,)


@pytest.mark.parametrize(
    "names",
    [
        np.array(["cat", "ant"]),
        np.array(["cat", "ant"], dtype=object),
        np.array([False, True]),
        np.array([-7, 3]),
        np.array([0.5, 1.5]),
    ],
    ids=lambda names: str(names.dtype),
)
def test_labels_of_any_type(names):
    codes = np.array([[1, 0, 1, 0, 1], [1, 1, 0, 0, 1], [1, 1, 1, 0, 1], [1, 1, 1, 1, 0]])
    target = np.array([1, 1, 1, 1, 1])
    expected = [0, 1, 2, 3, np.nan]
    assert np.array_equal(prediction_depth(codes, target), expected, equal_nan=True)
    assert np.array_equal(prediction_depth(names[codes], names[target]), expected, equal_nan=True)
    as_lists = prediction_depth(names[codes].tolist(), names[target].tolist())
    assert np.array_equal(as_lists, expected, equal_nan=True)


@pytest.mark.parametrize(
    ("predictions", "target"),
    [
        ([1, 1], [1, 1]),
        (np.empty((0, 2)), [1, 1]),
        ([[1, 1]], [1]),
        ([[1, 1]], [[1, 1]]),
        ([[1], [1]], [1, 1]),
        ([[[1]]], [1]),
        ([[1]], 1),
    ],
)
def test_shapes_that_do_not_fit(predictions, target):
    with pytest.raises(ValueError, match=r"probe_predictions must have the shape.*got \("):
        prediction_depth(predictions, target)


def slow_depth(predictions, target):
    n_probes = len(predictions)
    return [
        next(
            (
                first
                for first in range(n_probes)
                if all(predictions[probe][row] == label for probe in range(first, n_probes))
            ),
            np.nan,
        )
        for row, label in enumerate(target)
    ]


@given(
    st.tuples(st.integers(1, 6), st.integers(0, 8)).flatmap(
        lambda shape: st.tuples(
            hnp.arrays(np.int64, shape, elements=st.integers(0, 2)),
            hnp.arrays(np.int64, shape[1:], elements=st.integers(0, 2)),
        )
    )
)
def test_equals_a_slow_loop(arrays):
    predictions, target = arrays
    found = prediction_depth(predictions, target)
    assert np.array_equal(found, slow_depth(predictions, target), equal_nan=True)
