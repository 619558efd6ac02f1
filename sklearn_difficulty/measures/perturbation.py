# SPDX-License-Identifier: BSD-3-Clause
"""What a network no longer predicts once its weights have been perturbed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arrays import as_array, as_labels
from .consistency import _check_correct

__all__ = ["forgetting_under_perturbation", "targeted_forgetting"]


class TargetedForgetting(NamedTuple):
    """What `targeted_forgetting` returns, each of shape (n_groups,)."""

    group: NDArray[np.generic]
    n_rows: NDArray[np.int64]
    before: NDArray[np.float64]
    after: NDArray[np.float64]
    lost: NDArray[np.float64]
    standard_error: NDArray[np.float64]


def forgetting_under_perturbation(correct: ArrayLike) -> NDArray[np.float64]:
    r"""Return the share of perturbed copies of a network that are wrong about a row.

    Parameters
    ----------
    correct : array-like of shape (n_copies, n_rows)
        Whether a copy predicts the given label of a row, as booleans; or the probability that it
        gives to this label, in [0, 1].

    Returns
    -------
    forgetting : ndarray of shape (n_rows,), float64
        From 0 to 1, larger means harder.

    Raises
    ------
    ValueError
        If there is no copy, or a value is not in [0, 1].

    See Also
    --------
    targeted_forgetting : Groups of rows before and after the perturbation.
    forgetting_events : What the training itself forgets from epoch to epoch.
    sklearn_difficulty.ForgettingUnderPerturbationScorer : Perturbs a network, and reads it.

    Notes
    -----
    With :math:`h_1, \dots, h_M` the copies, each perturbed by a draw of its own, and :math:`(x_i,
    y_i)` row :math:`i` with its given label, the value is :math:`1 - \frac{1}{M} \sum_m
    1[h_m(x_i) = y_i]`. Rows that the network is wrong about before it is perturbed are counted
    alike: it has them to lose no more, and they are hard.

    References
    ----------
    H. Zhou, A. Vani, H. Larochelle, A. Courville, "Fortuitous Forgetting in Connectionist
    Networks", ICLR 2022, :arxiv:`2202.00155`.

    Examples
    --------
    >>> from sklearn_difficulty.measures import forgetting_under_perturbation
    >>> forgetting_under_perturbation([[True, True], [True, False], [True, False]])
    array([0.        , 0.66666667])
    """
    return 1 - _check_correct(correct, "correct").mean(axis=0, dtype=np.float64)


def targeted_forgetting(
    correct_before: ArrayLike, correct_after: ArrayLike, groups: ArrayLike
) -> TargetedForgetting:
    r"""Return how many rows of each group a network predicts before and after perturbations.

    Parameters
    ----------
    correct_before : array-like of shape (n_rows,) or (n_copies, n_rows)
        Whether the network predicts the given label of a row before it is perturbed, as booleans;
        in the second form, each copy's network at its own time in the training.
    correct_after : array-like of shape (n_copies, n_rows)
        The same of the perturbed copies.
    groups : array-like of shape (n_rows,)
        The group of every row, such as whether its label is wrong.

    Returns
    -------
    found : TargetedForgetting
        A named tuple of arrays of shape (n_groups,): the ``group``, sorted, and its ``n_rows``; the
        accuracy ``before`` and ``after``, averaged over copies and rows of the group; ``lost``, the
        first less the second; and its ``standard_error`` over the copies, NaN for a single one.

    Raises
    ------
    ValueError
        If the shapes differ, there is no copy, or a value is not in [0, 1].

    See Also
    --------
    forgetting_under_perturbation : One number per row.
    sklearn_difficulty.ForgettingUnderPerturbationScorer : Perturbs a network, and reads it.

    Notes
    -----
    For group :math:`g` of :math:`n_g` rows and copy :math:`m` of :math:`M` the loss is
    :math:`d_{gm} = \frac{1}{n_g} \sum_{i \in g} (b_{mi} - a_{mi})` with :math:`b` and :math:`a`
    what is right before and after. ``lost`` is the mean of :math:`d_{gm}` over :math:`m`, its
    standard error their standard deviation over :math:`\sqrt{M}`. Copies of one network that is
    followed through its training are not independent of each other, and the error then is too
    small.

    References
    ----------
    H. Zhou, A. Vani, H. Larochelle, A. Courville, "Fortuitous Forgetting in Connectionist
    Networks", ICLR 2022, :arxiv:`2202.00155`.

    Examples
    --------
    Two copies both lose the second of two rows with wrong labels, one of them also a right one.

    >>> from sklearn_difficulty.measures import targeted_forgetting
    >>> after = [[True, True, True, False], [True, False, True, False]]
    >>> found = targeted_forgetting(
    ...     [True] * 4, after, ["right", "right", "wrong", "wrong"]
    ... )
    >>> found.group, found.lost, found.standard_error
    (array(['right', 'wrong'], dtype='<U5'), array([0.25, 0.5 ]), array([0.25, 0.  ]))
    """
    after = _check_correct(correct_after, "correct_after")
    before = as_array(correct_before, "correct_before")
    before = _check_correct(before[None] if before.ndim == 1 else before, "correct_before")
    if before.shape[1] != after.shape[1] or len(before) not in (1, len(after)):
        raise ValueError(
            f"correct_before must hold one value for each of the {after.shape[1]} rows, or for "
            f"each of the {len(after)} copies and rows; got the shape {before.shape}."
        )
    before = np.broadcast_to(before, after.shape)
    names, codes = np.unique(as_labels(groups, "groups"), return_inverse=True)
    if codes.shape != after.shape[1:]:
        raise ValueError(
            f"groups must hold one value for each of the {after.shape[1]} rows; got {len(codes)}."
        )
    n_rows = np.bincount(codes)
    member = np.eye(len(names))[codes] / n_rows
    share_before, share_after = before @ member, after @ member
    lost = share_before - share_after
    n_copies = len(lost)
    error = lost.std(axis=0, ddof=1) / np.sqrt(n_copies) if n_copies > 1 else lost[0] * np.nan
    return TargetedForgetting(
        names, n_rows, share_before.mean(axis=0), share_after.mean(axis=0), lost.mean(axis=0), error
    )
