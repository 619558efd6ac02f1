# SPDX-License-Identifier: BSD-3-Clause
"""What networks that were trained on different rows say about a row, and whether it was among them.

Every function takes arrays with one line per network (a *member* of the ensemble) and one column
per row, and returns the raw quantity, in its own direction. NaN (in classes, -1) marks rows for
which no member was on a side that is needed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arrays import as_array

__all__ = ["consensus_class", "consensus_consistency", "consistency_score"]

# Entries of a block: 16 MiB of float32, tall enough for the matrix product to run at full speed.
_BLOCK_ENTRIES = 2**22
# Shares of members are sums of rounded quotients: less than this decides nothing.
_ROUNDING = 1e-6


def consistency_score(correct: ArrayLike, held_out: ArrayLike) -> NDArray[np.float64]:
    r"""Return how often a row is predicted right by the members that were trained without it.

    Parameters
    ----------
    correct : array-like of shape (n_members, n_rows)
        Whether a member predicts the given label of a row, as booleans; or the probability that
        it gives to this label, in [0, 1].
    held_out : array-like of shape (n_members, n_rows), bool
        Whether a member was trained without the row.

    Returns
    -------
    score : ndarray of shape (n_rows,), float64
        In [0, 1]; larger means easier. NaN for rows that no member held out.

    Raises
    ------
    ValueError
        If the shapes differ, there is no member, a value of `correct` is not in [0, 1], or
        `held_out` does not hold booleans.

    See Also
    --------
    consensus_consistency : The same for the class that most members predict.
    memorization : How much more often it is predicted right by members that were trained on it.

    Notes
    -----
    With :math:`O_i` the members that held row :math:`i` out, :math:`\hat{y}_{ki}` the prediction
    of member :math:`k` and :math:`y_i` the given label, the score is :math:`\hat{C}_i =
    \frac{1}{|O_i|} \sum_{k \in O_i} 1[\hat{y}_{ki} = y_i]`. It belongs to the size of the
    members' training sets: with more rows to learn from, it rises.

    References
    ----------
    Z. Jiang, C. Zhang, K. Talwar and M. C. Mozer, "Characterizing structural regularities of
    labeled data in overparameterized models", ICML 2021. :arxiv:`2002.03206`

    Examples
    --------
    >>> from sklearn_difficulty.measures import consistency_score
    >>> correct = [[True, False, True], [True, False, True], [True, True, True]]
    >>> held_out = [[True, True, False], [True, True, False], [False, True, False]]
    >>> consistency_score(correct, held_out).round(3)
    array([1.   , 0.333,   nan])
    """
    right = _check_correct(correct, "correct")
    return _share(right, _check_mask(held_out, "held_out", right.shape))[0]


def consensus_class(
    predictions: ArrayLike, held_out: ArrayLike | None = None, given: ArrayLike | None = None
) -> NDArray[np.int64]:
    """Return the class that most members predict for a row.

    Parameters
    ----------
    predictions : array-like of shape (n_members, n_rows)
        The class that a member predicts: a position among the sorted classes, 0 or larger. What
        stands where a member has no vote is ignored.
    held_out : array-like of shape (n_members, n_rows), bool, default=None
        Whether a member was trained without the row: only such members vote. None lets all vote.
    given : array-like of shape (n_rows,), default=None
        Positions of the given labels, which decide ties.

    Returns
    -------
    consensus : ndarray of shape (n_rows,), int64
        The class with the most votes. Of classes with equally many it is the given label, or, if
        this is not one of them or `given` is None, the first; -1 where nobody voted.

    Raises
    ------
    ValueError
        If the shapes do not fit, there is no member, `held_out` does not hold booleans, or a
        class is not an integer from 0.

    See Also
    --------
    consensus_consistency : The share of votes for this class.

    References
    ----------
    R. Baldock, H. Maennel and B. Neyshabur, "Deep learning through the lens of example
    difficulty", NeurIPS 2021, section 3.1 and appendix A.6.2. :arxiv:`2106.09647`

    Examples
    --------
    >>> from sklearn_difficulty.measures import consensus_class
    >>> predictions = [[0, 2, 2], [0, 1, 1], [1, 0, 2]]
    >>> consensus_class(predictions)
    array([0, 0, 2])
    >>> consensus_class(predictions, given=[1, 2, 1])
    array([0, 2, 2])
    """
    return _consensus(predictions, held_out, given)[0]


def consensus_consistency(
    predictions: ArrayLike, held_out: ArrayLike | None = None
) -> NDArray[np.float64]:
    r"""Return the share of the members that predict the class that most of them predict.

    Parameters
    ----------
    predictions : array-like of shape (n_members, n_rows)
        The class that a member predicts: a position among the sorted classes, 0 or larger. What
        stands where a member has no vote is ignored.
    held_out : array-like of shape (n_members, n_rows), bool, default=None
        Whether a member was trained without the row: only such members vote. None lets all vote.

    Returns
    -------
    share : ndarray of shape (n_rows,), float64
        From 1 / n_votes (all disagree) to 1 (all agree), where n_votes members voted; larger
        means easier. NaN where nobody voted.

    Raises
    ------
    ValueError
        If the shapes do not fit, there is no member, `held_out` does not hold booleans, or a
        class is not an integer from 0.

    See Also
    --------
    consensus_class : The class that is meant. Where classes have equally many votes, the share is
        the same for each of them.
    consistency_score : The same for the given label.

    Notes
    -----
    With :math:`O_i` the members that voted on row :math:`i`, :math:`\hat{y}_{ki}` the vote of
    member :math:`k` and :math:`\hat{y}_i` the consensus class, the share is :math:`C^*_i =
    \frac{1}{|O_i|} \sum_{k \in O_i} 1[\hat{y}_{ki} = \hat{y}_i]`.

    The same members elect the class and are counted for it, as in appendix A.6.3 of the paper, so
    the share is too large on average, and much too large with few votes: two votes can only give
    0.5 or 1.

    References
    ----------
    R. Baldock, H. Maennel and B. Neyshabur, "Deep learning through the lens of example
    difficulty", NeurIPS 2021, equation 2 and appendix A.6.3. :arxiv:`2106.09647`

    Examples
    --------
    >>> from sklearn_difficulty.measures import consensus_consistency
    >>> consensus_consistency([[0, 2, 2], [0, 1, 2], [1, 0, 2]]).round(3)
    array([0.667, 0.333, 1.   ])
    """
    _, n_for, n_votes = _consensus(predictions, held_out, None)
    return n_for / _nan_for_zero(n_votes)


def _consensus(
    predictions: ArrayLike, held_out: ArrayLike | None, given: ArrayLike | None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the consensus class of every row, its votes, and all votes."""
    classes = as_array(predictions, "predictions")
    if classes.ndim != 2 or len(classes) == 0:
        raise ValueError(
            "predictions must have the shape (n_members, n_rows) with at least one member, got "
            f"{classes.shape}."
        )
    votes = (
        np.ones(classes.shape, dtype=bool)
        if held_out is None
        else _check_mask(held_out, "held_out", classes.shape)
    )
    n_rows = classes.shape[1]
    labels = None if given is None else as_array(given, "given")
    if labels is not None and labels.shape != (n_rows,):
        raise ValueError(f"given must have the shape ({n_rows},), got {labels.shape}.")
    n_classes = 1 + _largest_class(classes, "predictions", votes)
    if labels is not None:
        every_row = np.ones(n_rows, dtype=bool)
        n_classes = max(n_classes, 1 + _largest_class(labels, "given", every_row))
    consensus, n_for = np.empty(n_rows, dtype=np.int64), np.empty(n_rows, dtype=np.int64)
    # Some rows at a time: a table of all rows by a thousand classes could fill the memory.
    n_lines = max(1, _BLOCK_ENTRIES // max(len(classes), n_classes))
    for start in range(0, n_rows, n_lines):
        rows = slice(start, start + n_lines)
        member, row = np.nonzero(votes[:, rows])
        n_here = len(consensus[rows])
        cells = row * n_classes + classes[:, rows][member, row].astype(np.int64)
        table = np.bincount(cells, minlength=n_here * n_classes).reshape(n_here, n_classes)
        most, winner = table.max(axis=1), table.argmax(axis=1)
        if labels is not None:
            label = labels[rows].astype(np.int64)
            winner = np.where(table[np.arange(n_here), label] == most, label, winner)
        consensus[rows], n_for[rows] = np.where(most > 0, winner, -1), most
    return consensus, n_for, votes.sum(axis=0)


def _largest_class(classes: NDArray[Any], name: str, used: NDArray[np.bool_]) -> int:
    """Return the largest of the classes that are used, at least 0, after checking them."""
    if classes.size and classes.dtype.kind not in "iu":
        raise ValueError(f"{name} must hold integers, got an array of dtype {classes.dtype}.")
    if np.any(classes[used] < 0):
        raise ValueError(f"{name} must hold classes from 0, got {classes[used].min()}.")
    largest = int(classes.max(initial=0, where=used))
    if largest >= _BLOCK_ENTRIES:
        raise ValueError(
            f"{name} holds {largest}; a class is its position among the sorted classes: "
            "np.unique(labels, return_inverse=True)[1]."
        )
    return largest


def _share(
    right: NDArray[Any], members: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the mean of every row over the members that count for it, and how many these are."""
    n: NDArray[np.int64] = members.sum(axis=0)
    return np.sum(right, axis=0, where=members, dtype=np.float64) / _nan_for_zero(n), n


def _nan_for_zero(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return counts, NaN for 0, to divide by."""
    return np.where(counts == 0, np.nan, counts)


def _check_correct(correct: ArrayLike, name: str) -> NDArray[Any]:
    """Return booleans or shares (n_members, n_rows) as an array, after checking them."""
    right = as_array(correct, name)
    if right.ndim != 2 or len(right) == 0:
        raise ValueError(
            f"{name} must have the shape (n_members, n_rows) with at least one member, got "
            f"{right.shape}."
        )
    if right.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold booleans or numbers, got dtype {right.dtype}.")
    # Negated, so that NaN is refused too.
    if right.dtype.kind != "b" and not np.all((right >= 0) & (right <= 1)):
        raise ValueError(f"{name} must lie in [0, 1], without NaN.")
    return right


def _check_mask(mask: ArrayLike, name: str, shape: tuple[int | None, ...]) -> NDArray[np.bool_]:
    """Return a mask of the shape, in which None stands for any length, as an array."""
    array = as_array(mask, name)
    if array.ndim != len(shape) or any(
        wanted not in (None, length) for wanted, length in zip(shape, array.shape, strict=True)
    ):
        wanted_shape = str(shape).replace("None", "n_train")
        raise ValueError(f"{name} must have the shape {wanted_shape}, got {array.shape}.")
    if array.dtype != np.bool_:
        raise ValueError(f"{name} must hold booleans, got an array of dtype {array.dtype}.")
    return array
