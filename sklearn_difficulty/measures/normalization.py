# SPDX-License-Identifier: BSD-3-Clause
"""Scores relative to the other rows of their group, usually their class."""

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils._param_validation import Interval

from .._arrays import as_array, as_floats
from .._parameters import check_parameters

# Scores are read from float32 networks: a smaller spread than this share is their rounding.
_ROUNDING = 32 * float(np.finfo(np.float32).eps)


def group_statistics(
    scores: ArrayLike, groups: ArrayLike, n_groups: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r"""Mean and standard deviation of the scores in every group.

    Parameters
    ----------
    scores : array-like of shape (n_rows,)
        One number per row. NaN scores are left out of the statistics.
    groups : array-like of shape (n_rows,)
        The group of every row, an integer in ``0, ..., n_groups - 1``.
    n_groups : int
        Number of groups, those without a row included.

    Returns
    -------
    mean : ndarray of shape (n_groups,), float64
        Mean score; NaN for a group without a score.
    std : ndarray of shape (n_groups,), float64
        Population standard deviation (``ddof=0``). Exactly 0 for a group with one score, or
        with scores that differ by no more than float32 rounding
        (:math:`\text{std} \le 32\,\varepsilon_{32}\,|\text{mean}|`, with
        :math:`\varepsilon_{32} = 2^{-23}`). NaN for a group without a score.

    Raises
    ------
    ValueError
        If the lengths differ, a score is infinite, or a group is not an integer in range.

    See Also
    --------
    standardize : Uses these statistics, for the same rows or for new ones.

    Examples
    --------
    >>> from sklearn_difficulty.measures import group_statistics
    >>> mean, std = group_statistics(
    ...     [1.0, 3.0, 5.0, 5.0, float("nan")], [0, 0, 1, 1, 1], 3
    ... )
    >>> mean
    array([ 2.,  5., nan])
    >>> std
    array([ 1.,  0., nan])
    """
    check_parameters(
        "group_statistics", n_groups=(n_groups, [Interval(Integral, 0, None, closed="left")])
    )
    scores, groups = _check_scores_and_groups(scores, groups, n_groups)
    infinite = np.flatnonzero(np.isinf(scores))
    if len(infinite):
        raise ValueError(
            f"scores must be finite or NaN, got {len(infinite)} infinite scores; first rows: "
            f"{infinite[:5].tolist()}."
        )
    defined = ~np.isnan(scores)
    scores, groups = scores[defined], groups[defined]
    count = np.bincount(groups, minlength=n_groups).astype(np.float64)
    count[count == 0] = np.nan  # nothing is known of such a group
    mean = np.bincount(groups, weights=scores, minlength=n_groups) / count
    with np.errstate(over="ignore"):
        squares = np.bincount(groups, weights=(scores - mean[groups]) ** 2, minlength=n_groups)
    std = np.sqrt(squares / count)
    if np.isinf(std).any():
        raise ValueError(
            f"The scores of group(s) {np.flatnonzero(np.isinf(std))[:5].tolist()} are so large "
            "that their squares are infinite; divide all scores by a large number."
        )
    std[std <= _ROUNDING * np.abs(mean)] = 0.0
    return mean, std


def standardize(
    scores: ArrayLike, groups: ArrayLike, mean: ArrayLike, std: ArrayLike
) -> NDArray[np.float64]:
    r"""Signed distance of every score from its group's mean, in standard deviations.

    Every result depends on its own row and the given statistics alone, so new rows can be
    read against the statistics of the training rows.

    Parameters
    ----------
    scores : array-like of shape (n_rows,)
        One number per row.
    groups : array-like of shape (n_rows,)
        The group of every row, an integer in ``0, ..., n_groups - 1``.
    mean, std : array-like of shape (n_groups,)
        Statistics of every group, as :func:`group_statistics` returns them.

    Returns
    -------
    z : ndarray of shape (n_rows,), float64
        :math:`z_i = (s_i - m_g) / d_g` for a row :math:`i` with score :math:`s_i` in group
        :math:`g` of mean :math:`m_g` and standard deviation :math:`d_g`; without unit.
        Exactly 0 where :math:`d_g = 0`: a group without spread says nothing about which of
        its rows are hard. NaN where the score is NaN, or the group's statistics are.

    Raises
    ------
    ValueError
        If the lengths differ, a group is not an integer in range, or `std` is negative.

    See Also
    --------
    group_statistics : Mean and standard deviation of the scores in every group.

    Notes
    -----
    On the rows that the statistics were taken from, every group with a spread has mean
    0 and mean square 1, and the order of rows within a group is kept.

    Examples
    --------
    >>> from sklearn_difficulty.measures import group_statistics, standardize
    >>> scores, groups = [1.0, 3.0, 5.0, 5.0], [0, 0, 1, 1]
    >>> mean, std = group_statistics(scores, groups, 2)
    >>> standardize(scores, groups, mean, std)
    array([-1.,  1.,  0.,  0.])
    >>> standardize([6.0], [0], mean, std)
    array([4.])
    """
    mean = as_floats(mean, "mean")
    std = as_floats(std, "std")
    if mean.ndim != 1 or mean.shape != std.shape:
        raise ValueError(
            "mean and std must hold one number for every group, got arrays of shapes "
            f"{mean.shape} and {std.shape}."
        )
    if np.any(std < 0):
        raise ValueError(f"std must not be negative, got {std}.")
    scores, groups = _check_scores_and_groups(scores, groups, len(mean))
    spread = std[groups]
    flat = spread == 0
    with np.errstate(over="ignore", invalid="ignore"):  # of infinite scores and statistics
        z = np.asarray((scores - mean[groups]) / np.where(flat, 1.0, spread))
    z[flat & ~np.isnan(scores)] = 0.0
    return z


def _check_scores_and_groups(
    scores: ArrayLike, groups: ArrayLike, n_groups: int
) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Return both as arrays of one axis and the same length, with every group in range."""
    scores = as_floats(scores, "scores")
    groups = as_array(groups, "groups")
    if scores.ndim != 1 or scores.shape != groups.shape:
        raise ValueError(
            "scores and groups must hold one number for every row, got arrays of shapes "
            f"{scores.shape} and {groups.shape}."
        )
    if not len(groups):
        # np.asarray([]) is float64, which cannot index.
        return scores, groups.astype(np.intp)
    if groups.dtype.kind not in "iu":
        raise ValueError(f"groups must hold integers, got an array of dtype {groups.dtype}.")
    if groups.min() < 0 or groups.max() >= n_groups:
        raise ValueError(
            f"groups must lie in 0, ..., {n_groups - 1}, got values from {groups.min()} to "
            f"{groups.max()}."
        )
    return scores, groups.astype(np.intp, copy=False)
