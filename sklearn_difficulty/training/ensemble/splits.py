# SPDX-License-Identifier: BSD-3-Clause
"""Which rows each member of an ensemble is trained on.

Where the share that is held out is 1 / K, every row is held out equally often. A member's rows
depend on the seed and the member's number alone, so that an ensemble can be enlarged later.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
)

from ..._arrays import as_labels

Mask = NDArray[np.bool_]
Codes = NDArray[np.intp]


def draw_masks(
    n: int, n_members: int, train_size: float, *, strata: Any = None, groups: Any = None, seed: int
) -> Mask:
    """Return the rows (n_members, n) that each member of an ensemble is trained on.

    If 1 / (1 - train_size) is an integer K, member r K + j is trained on all but fold j of
    repetition r; where folds differ by a row, the larger training sets leave one random row out, so
    that all have `n - ceil(n / K)`. For any other size every member draws `round(train_size * n)`
    rows. Groups are not divided but dealt or drawn, so that training sets differ in length.
    """
    if not 0 < train_size < 1:
        raise ValueError(f"train_size must lie between 0 and 1, both excluded; got {train_size}.")
    class_codes, group_codes = _encode(strata, "stratify", n), _encode(groups, "groups", n)
    n_folds = _whole_folds(train_size)
    streams = np.random.SeedSequence(seed)
    if n_folds is not None:
        _check_enough(n_folds, n, group_codes, train_size)
        masks = _folds(n, n_folds, class_codes, group_codes, streams)
    else:
        _check_sizes(n, class_codes, group_codes, train_size)
        masks = _subsets(n, train_size, class_codes, group_codes, streams)
    return np.stack(list(islice(masks, n_members)))


def _encode(labels: Any, name: str, n: int) -> Codes | None:
    """Return the labels as integers from 0 on."""
    if labels is None:
        return None
    labels = as_labels(labels, name)
    if labels.shape != (n,):
        raise ValueError(
            f"{name} must hold one label per row, shape ({n},); its shape is {labels.shape}."
        )
    return np.unique(labels, return_inverse=True)[1]


def _whole_folds(train_size: float) -> int | None:
    """Return how many folds a training set is all but one of, None if it is no such share."""
    n_folds = round(1 / (1 - train_size))
    is_whole = math.isclose(1 / (1 - train_size), n_folds, rel_tol=0, abs_tol=1e-6)
    return n_folds if n_folds >= 2 and is_whole else None


def smallest_training_set(n: int, train_size: float) -> int:
    """Return how many rows a member is trained on at least, where there are no groups."""
    n_folds = _whole_folds(train_size)
    return round(train_size * n) if n_folds is None else n - -(-n // n_folds)


def _check_enough(n_folds: int, n: int, groups: Codes | None, train_size: float) -> None:
    """Raise if there are fewer rows or groups than folds."""
    advice = f"train_size={train_size} needs at least {n_folds}"
    if n < n_folds:
        raise ValueError(f"{advice} rows; there are {n}. Make train_size smaller.")
    if groups is not None and groups.max() + 1 < n_folds:
        raise ValueError(
            f"{advice} different groups; groups holds {groups.max() + 1}. Make train_size smaller."
        )


def _check_sizes(n: int, strata: Codes | None, groups: Codes | None, train_size: float) -> None:
    """Raise if random subsets cannot be drawn as asked."""
    if strata is not None and groups is not None:
        raise ValueError(
            "stratify and groups can be combined only where 1 / (1 - train_size) is an integer, "
            f"as for train_size=0.5, 0.75, 0.8 or 0.9; got {train_size}. Choose such a "
            "train_size, or leave out stratify or groups."
        )
    n_units, units = (n, "rows") if groups is None else (groups.max() + 1, "groups")
    size = round(train_size * n_units)
    if not 0 < size < n_units:
        raise ValueError(
            f"train_size={train_size} of {n_units} {units} is {size}, which leaves nobody "
            f"{'out' if size else 'in'}. Choose another train_size."
        )


def _folds(
    n: int,
    n_folds: int,
    strata: Codes | None,
    groups: Codes | None,
    streams: np.random.SeedSequence,
) -> Iterator[Mask]:
    """Yield the training sets of repeated K-fold without end."""
    if strata is not None and np.bincount(strata).max() < n_folds:
        strata = None  # scikit-learn does not stratify if no class reaches every fold
    splitter_type = {
        (False, False): KFold,
        (True, False): StratifiedKFold,
        (False, True): GroupKFold,
        (True, True): StratifiedGroupKFold,
    }[strata is not None, groups is not None]
    while True:
        fold_seed, seed = (int(word) for word in streams.spawn(1)[0].generate_state(2))
        splitter = splitter_type(n_folds, shuffle=True, random_state=fold_seed)
        with warnings.catch_warnings():
            # That a class does not reach every fold is no news: it was asked for.
            warnings.filterwarnings("ignore", message="The least populated class")
            folds = [train for train, _ in splitter.split(np.zeros(n), strata, groups)]
        rng = np.random.default_rng(seed)
        # The first folds are larger and hold the odd rows of rare classes: their order is random.
        for fold in rng.permutation(n_folds):
            train = folds[fold]
            if groups is None and len(train) > n - -(-n // n_folds):
                train = np.delete(train, rng.integers(len(train)))
            yield _mask(train, n)


def _subsets(
    n: int,
    train_size: float,
    strata: Codes | None,
    groups: Codes | None,
    streams: np.random.SeedSequence,
) -> Iterator[Mask]:
    """Yield independent random subsets without end."""
    size = round(train_size * n)
    while True:
        seed = int(streams.spawn(1)[0].generate_state(1)[0])
        if strata is not None:
            yield _stratified_subset(strata, size, seed)
            continue
        if groups is None:
            splitter = ShuffleSplit(1, train_size=size, test_size=n - size, random_state=seed)
        else:
            n_groups = int(groups.max()) + 1
            n_train_groups = round(train_size * n_groups)
            splitter = GroupShuffleSplit(
                1, train_size=n_train_groups, test_size=n_groups - n_train_groups, random_state=seed
            )
        train, _ = next(splitter.split(np.zeros(n), None, groups))
        yield _mask(train, n)


def _stratified_subset(strata: Codes, size: int, seed: int) -> Mask:
    """Draw `size` rows, of each class its share rounded up or down, each row equally likely.

    StratifiedShuffleSplit refuses classes of one row, and fewer rows than classes on either side,
    and it rounds the same classes up in nearly every draw. Here the rows are laid out by class,
    classes and rows within them in random order, and taken at even steps from a random start
    (systematic sampling).
    """
    rng = np.random.default_rng(seed)
    n = len(strata)
    order = np.lexsort((rng.permutation(n), rng.permutation(strata.max() + 1)[strata]))
    steps = (np.arange(n + 1) * size + rng.integers(n)) // n  # rises by one at a row that is taken
    return _mask(order[np.diff(steps) == 1], n)


def _mask(rows: NDArray[np.intp], n: int) -> Mask:
    """Return positions as a mask."""
    mask = np.zeros(n, dtype=bool)
    mask[rows] = True
    return mask
