# SPDX-License-Identifier: BSD-3-Clause
"""Who is trained on what: balance, exact sizes, whole groups, class shares, a stable prefix."""

import math
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from sklearn_difficulty.training.ensemble.splits import draw_masks

K_FOLD = (1 / 2, 2 / 3, 3 / 4, 0.8, 0.9)
OTHER = (0.1, 0.3, 0.63, 0.7, 0.85)
STRATA = np.repeat([0, 1, 2, 3], [1, 3, 16, 40])  # a single row, fewer rows than folds
GROUPS = np.arange(60) // 3


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings(action="error"):
        yield


@given(
    n=st.integers(2, 60),
    n_members=st.integers(1, 25),
    train_size=st.sampled_from(K_FOLD + OTHER),
    seed=st.integers(0, 2**40),
    n_classes=st.none() | st.integers(1, 70),
)
@settings(max_examples=150, deadline=None)
def test_any_number_of_rows_and_members(n, n_members, train_size, seed, n_classes):
    k = round(1 / (1 - train_size)) if train_size in K_FOLD else None
    size = round(train_size * n)
    if (n < k) if k else size in (0, n):
        with pytest.raises(ValueError, match=f"train_size={train_size}"):
            draw_masks(n, n_members, train_size, seed=seed)
        return
    strata = None if n_classes is None else np.random.default_rng(seed).integers(n_classes, size=n)
    masks = draw_masks(n, n_members, train_size, strata=strata, seed=seed)
    assert masks.shape == (n_members, n)
    assert masks.dtype == bool
    assert_array_equal(masks.sum(axis=1), n - math.ceil(n / k) if k else size)
    for start in range(0, n_members - k + 1, k) if k else ():
        # Once in a fold; beyond that only the odd rows that make the members equally long.
        times_out = (~masks[start : start + k]).sum(axis=0)
        assert times_out.min() >= 1
        assert times_out.sum() - n == k * math.ceil(n / k) - n


def test_every_row_is_held_out_equally_often():
    masks = draw_masks(40, 30, 0.9, seed=0)
    assert_array_equal((~masks).sum(axis=0), 3)
    folds = {tuple(np.flatnonzero(~mask)) for mask in masks}
    assert len(folds) == 30  # another division in every repetition


def test_incomplete_repetition_favours_no_row():
    # One fold of three has three rows and the others two; the first member draws any of them.
    out = np.mean([~draw_masks(7, 1, 2 / 3, seed=s)[0] for s in range(2000)], axis=0)
    assert np.abs(out - 3 / 7).max() < 0.045  # four standard errors


@pytest.mark.parametrize("train_size", K_FOLD + OTHER)
@pytest.mark.parametrize("strata", [None, STRATA], ids=["plain", "strata"])
@pytest.mark.parametrize("groups", [None, GROUPS], ids=["rows", "groups"])
def test_first_masks_depend_on_the_seed_and_not_on_the_number(train_size, strata, groups):
    if strata is not None and groups is not None and train_size in OTHER:
        return
    longest = draw_masks(60, 23, train_size, strata=strata, groups=groups, seed=5)
    for m in (1, 4, 10, 23):
        masks = draw_masks(60, m, train_size, strata=strata, groups=groups, seed=5)
        assert_array_equal(masks, longest[:m])
    other = draw_masks(60, 23, train_size, strata=strata, groups=groups, seed=6)
    assert not np.array_equal(other, longest)
    assert len(np.unique(longest, axis=0)) > 1


def test_global_generator_is_left_alone():
    before = np.random.get_state()[1].tolist()
    draw_masks(60, 12, 0.9, strata=STRATA, seed=0)
    draw_masks(60, 3, 0.7, strata=STRATA, seed=0)
    assert np.random.get_state()[1].tolist() == before


@pytest.mark.parametrize("train_size", K_FOLD + OTHER)
def test_groups_are_never_divided(train_size):
    names = np.array([f"patient {g}" for g in GROUPS], dtype=object)
    masks = draw_masks(60, 12, train_size, groups=names, seed=0)
    by_group = masks.reshape(12, 20, 3)
    assert_array_equal(by_group.any(axis=2), by_group.all(axis=2))
    if train_size in OTHER:
        assert_array_equal(by_group.all(axis=2).sum(axis=1), round(train_size * 20))
    else:
        k = round(1 / (1 - train_size))
        times_out = (~masks[: 12 // k * k]).sum(axis=0)
        assert_array_equal(times_out, 12 // k)


@pytest.mark.parametrize("n_classes", [2, 4, 12])
def test_groups_with_classes(n_classes):
    classes = GROUPS % n_classes
    masks = draw_masks(60, 10, 0.8, strata=classes, groups=GROUPS, seed=1)
    assert_array_equal(masks.reshape(10, 20, 3).any(axis=2), masks.reshape(10, 20, 3).all(axis=2))
    assert_array_equal((~masks).sum(axis=0), 2)
    if n_classes < 12:  # as many groups of a class as folds, or twice as many
        for label in range(n_classes):
            assert len(set(masks[:, classes == label].sum(axis=1))) == 1


@pytest.mark.parametrize("train_size", [0.9, 0.7])
def test_training_sets_hold_the_classes_in_their_shares(train_size):
    masks = draw_masks(60, 200, train_size, strata=STRATA, seed=0)
    for label in range(4):
        of_class = masks[:, STRATA == label].sum(axis=1)
        share = train_size * (STRATA == label).sum()
        assert of_class.min() >= math.floor(share)
        assert of_class.max() <= math.ceil(share)
    assert_array_equal(masks.sum(axis=1), round(60 * train_size))


def test_rows_of_every_class_are_equally_likely():
    # Largest remainders would train on the single row always: 0.7 is rounded up.
    share = draw_masks(60, 3000, 0.7, strata=STRATA, seed=0).mean(axis=0)
    assert np.abs(share - 0.7).max() < 0.037  # 4.4 standard errors, of 60 rows


def test_every_class_rarer_than_folds():
    masks = draw_masks(20, 10, 0.9, strata=np.arange(20) // 4, seed=0)
    assert_array_equal((~masks).sum(axis=0), 1)


@pytest.mark.parametrize("make", [list, np.asarray, pd.Series, torch.tensor])
def test_labels_of_any_kind(make):
    for name in ("strata", "groups"):
        expected = draw_masks(60, 5, 0.8, **{name: GROUPS}, seed=0)
        assert_array_equal(draw_masks(60, 5, 0.8, **{name: make(GROUPS * 7)}, seed=0), expected)


@pytest.mark.parametrize(
    ("n", "train_size", "labels", "message"),
    [
        (9, 0.9, {}, "train_size=0.9 needs at least 10 rows; there are 9"),
        (1, 0.5, {}, "train_size=0.5 needs at least 2 rows; there are 1"),
        (5, 0.95, {}, "train_size=0.95 needs at least 20 rows"),
        (2, 0.85, {}, "train_size=0.85 of 2 rows is 2, which leaves nobody out"),
        (2, 0.1, {}, "train_size=0.1 of 2 rows is 0, which leaves nobody in"),
        (6, 0.3, {"groups": [0] * 6}, "train_size=0.3 of 1 groups is 0, which leaves nobody in"),
        (6, 2 / 3, {"groups": list("ababab")}, "at least 3 different groups; groups holds 2"),
        (6, 0.5, {"groups": [1, 2]}, r"groups must hold one label per row, shape \(6,\)"),
        (6, 0.5, {"strata": [[1, 2]] * 6}, r"stratify should be a 1d array, .*\(6, 2\)"),
        (6, 0.5, {"groups": [np.nan] * 6}, "groups contains NaN"),
        (6, 0.7, {"strata": [0, 1] * 3, "groups": range(6)}, "stratify and groups.*got 0.7"),
        (6, 0, {}, "train_size must lie between 0 and 1, both excluded; got 0"),
        (6, 1.0, {}, "train_size must lie"),
        (6, math.nan, {}, "train_size must lie"),
    ],
)
def test_bad_arguments(n, train_size, labels, message):
    labels = {name: list(value) for name, value in labels.items()}
    with pytest.raises(ValueError, match=message):
        draw_masks(n, 3, train_size, **labels, seed=0)
