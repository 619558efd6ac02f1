# SPDX-License-Identifier: BSD-3-Clause
"""Shares and groups of rows that perturbed copies lose, against counts by hand."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_difficulty.measures import forgetting_under_perturbation, targeted_forgetting

BEFORE = np.array([[1, 1, 1, 0, 1], [1, 1, 0, 0, 1], [1, 1, 1, 1, 1]], dtype=bool)
AFTER = np.array([[1, 0, 0, 0, 1], [1, 1, 0, 0, 0], [1, 0, 0, 1, 1]], dtype=bool)
GROUPS = np.array(["b", "a", "b", "a", "b"])


def test_share_of_copies_that_are_wrong():
    expected = [0, 2 / 3, 1, 2 / 3, 1 / 3]
    assert_allclose(forgetting_under_perturbation(AFTER), expected)
    assert_allclose(forgetting_under_perturbation(AFTER[::-1]), expected)
    assert_allclose(forgetting_under_perturbation(np.full((4, 2), 0.25)), [0.75, 0.75])


def test_groups_before_and_after():
    found = targeted_forgetting(BEFORE, AFTER, GROUPS)
    assert_array_equal(found.group, ["a", "b"])
    assert_array_equal(found.n_rows, [2, 3])
    lost = np.array([[1 / 2, 1 / 3], [0, 1 / 3], [1 / 2, 1 / 3]])
    assert_allclose(found.before, [(1 / 2 + 1 / 2 + 1) / 3, (1 + 2 / 3 + 1) / 3])
    assert_allclose(found.after, found.before - lost.mean(axis=0))
    assert_allclose(found.lost, lost.mean(axis=0))
    assert_allclose(found.standard_error, lost.std(axis=0, ddof=1) / np.sqrt(3), atol=1e-15)


def test_one_network_and_its_copies():
    once = targeted_forgetting(BEFORE[0], AFTER, GROUPS)
    thrice = targeted_forgetting(np.tile(BEFORE[0], (3, 1)), AFTER, GROUPS)
    for a, b in zip(once, thrice, strict=True):
        assert_array_equal(a, b)
    single = targeted_forgetting(BEFORE[0], AFTER[:1], GROUPS)
    assert np.isnan(single.standard_error).all()
    assert_allclose(single.lost, [1 / 2, 1 / 3])


def test_the_order_of_rows_does_not_matter():
    order = [3, 0, 4, 2, 1]
    found = targeted_forgetting(BEFORE[:, order], AFTER[:, order], GROUPS[order])
    for a, b in zip(found, targeted_forgetting(BEFORE, AFTER, GROUPS), strict=True):
        assert_array_equal(a, b)


def test_what_is_refused():
    for arguments, message in (
        ((BEFORE[:2], AFTER, GROUPS), "correct_before must hold"),
        ((BEFORE[0, :1], AFTER, GROUPS), "correct_before must hold"),
        ((BEFORE, AFTER, GROUPS[:4]), "groups must hold one value for each of the 5 rows"),
        ((BEFORE, AFTER[:0], GROUPS), "correct_after must have the shape"),
        ((BEFORE, 2 * AFTER.astype(int), GROUPS), r"correct_after must lie in \[0, 1\]"),
    ):
        with pytest.raises(ValueError, match=message):
            targeted_forgetting(*arguments)
    with pytest.raises(ValueError, match="correct must have the shape"):
        forgetting_under_perturbation(AFTER[0])
