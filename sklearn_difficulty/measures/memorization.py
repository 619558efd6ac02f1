# SPDX-License-Identifier: BSD-3-Clause
"""What a row's own presence in training changes: memorization and influence."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arrays import as_floats, as_labels, refuse_other_kind
from .._parameters import check_parameters
from .consistency import (
    _BLOCK_ENTRIES,
    _ROUNDING,
    _check_correct,
    _check_mask,
    _nan_for_zero,
    _share,
)

__all__ = ["high_influence_pairs", "influence", "memorization"]


class Memorization(NamedTuple):
    """What `memorization` returns, each of shape (n_rows,)."""

    memorization: NDArray[np.float64]
    standard_error: NDArray[np.float64]
    p_in: NDArray[np.float64]
    p_out: NDArray[np.float64]
    n_in: NDArray[np.int64]
    n_out: NDArray[np.int64]


class InfluencePairs(NamedTuple):
    """What `high_influence_pairs` returns, each of shape (n_pairs,)."""

    test_index: NDArray[np.int64]
    train_index: NDArray[np.int64]
    influence: NDArray[np.float32]
    memorization: NDArray[np.float64]


def memorization(correct: ArrayLike, trained_on: ArrayLike) -> Memorization:
    r"""Return how much more often a row is predicted right by members that were trained on it.

    Parameters
    ----------
    correct : array-like of shape (n_members, n_rows)
        Whether a member predicts the given label of a row, as booleans; or the probability that
        it gives to this label, in [0, 1], which varies less between members but is another
        quantity than the published one.
    trained_on : array-like of shape (n_members, n_rows), bool
        Whether the row was in the member's training set.

    Returns
    -------
    found : Memorization
        A named tuple of arrays of shape (n_rows,): ``memorization``, in [-1, 1], larger means
        harder; its ``standard_error``; ``p_in`` and ``p_out``, the share predicted right by the
        members that were trained on the row and without it; and ``n_in`` and ``n_out``, how many
        these members are. The shares are NaN where there is no such member; memorization and its
        standard error where either side has none.

    Raises
    ------
    ValueError
        If the shapes differ, there is no member, a value of `correct` is not in [0, 1], or
        `trained_on` does not hold booleans.

    See Also
    --------
    influence : The same for the predictions of other rows.
    memorization_categories : The shape of memorization over networks of growing size.
    consistency_score : ``p_out`` alone.

    Notes
    -----
    With :math:`h_k` member :math:`k`, :math:`I_k` the rows that it was trained on, :math:`(x_i,
    y_i)` row :math:`i` with its given label, :math:`p_i^\text{in}` the mean of :math:`1[h_k(x_i) =
    y_i]` over the members with :math:`i \in I_k`, and :math:`p_i^\text{out}` that over the others,
    memorization is :math:`p_i^\text{in} - p_i^\text{out}`. This estimates the effect that the row
    has on its own prediction if the :math:`I_k` are independent random subsets.

    The standard error is that of two independent shares,

    .. math::
        \sqrt{\frac{\tilde{p}_i^\text{in} (1 - \tilde{p}_i^\text{in})}{n_i^\text{in}}
              + \frac{\tilde{p}_i^\text{out} (1 - \tilde{p}_i^\text{out})}{n_i^\text{out}}},
        \qquad \tilde{p} = \frac{s + 1}{n + 2},

    with :math:`s` the number of the :math:`n` members of a side that are right. Adding one success
    and one failure keeps a few unanimous members from claiming certainty; as :math:`n` grows, it
    becomes the plain binomial error. For probabilities it is an upper bound.

    References
    ----------
    V. Feldman and C. Zhang, "What neural networks memorize and why: discovering the long tail via
    influence estimation", NeurIPS 2020. :arxiv:`2008.03703`

    Examples
    --------
    Members that were trained on the second row know it, the others do not.

    >>> from sklearn_difficulty.measures import memorization
    >>> trained_on = [[True, True], [True, False], [False, True], [False, False]]
    >>> correct = [[True, True], [True, False], [True, True], [True, False]]
    >>> found = memorization(correct, trained_on)
    >>> found.memorization
    array([0., 1.])
    >>> found.standard_error.round(3)
    array([0.433, 0.433])
    """
    right = _check_correct(correct, "correct")
    inside = _check_mask(trained_on, "trained_on", right.shape)
    (p_in, n_in), (p_out, n_out) = _share(right, inside), _share(right, ~inside)
    variance = smoothed_variance(p_in, n_in) + smoothed_variance(p_out, n_out)
    return Memorization(p_in - p_out, np.sqrt(variance), p_in, p_out, n_in, n_out)


def influence(test_correct: ArrayLike, trained_on: ArrayLike) -> NDArray[np.float32]:
    r"""Return how much more often a test row is predicted right if a training row was there.

    Parameters
    ----------
    test_correct : array-like of shape (n_members, n_test)
        Whether a member predicts the given label of a test row, as booleans; or the probability
        that it gives to this label, in [0, 1].
    trained_on : array-like of shape (n_members, n_train), bool
        Whether the training row was in the member's training set.

    Returns
    -------
    influence : ndarray of shape (n_test, n_train), float32
        In [-1, 1]. Positive where the training row helps. NaN in the columns of training rows
        that all members, or none, were trained on.

    Raises
    ------
    ValueError
        If the numbers of members differ or are 0, a value of `test_correct` is not in [0, 1], or
        `trained_on` does not hold booleans.

    See Also
    --------
    high_influence_pairs : The largest entries, without the whole matrix.
    memorization : The influence of the training rows on themselves, with its standard error.

    Notes
    -----
    With :math:`h_k` member :math:`k`, :math:`I_k` the rows that it was trained on, and
    :math:`(x'_j, y'_j)` test row :math:`j`, the entry :math:`(j, i)` is the mean of
    :math:`1[h_k(x'_j) = y'_j]` over the members with :math:`i \in I_k`, minus that over the
    others. The standard error of an entry is at most :math:`\tfrac12 \sqrt{1 / n_i^\text{in} + 1 /
    n_i^\text{out}}`, with the numbers of members on either side.

    Right predictions are counted by a matrix product in float32, which is exact for booleans.
    Beside the result this takes `trained_on` once as float32, and 48 MiB or three lines of the
    result, whichever is more.

    References
    ----------
    V. Feldman and C. Zhang, "What neural networks memorize and why: discovering the long tail via
    influence estimation", NeurIPS 2020. :arxiv:`2008.03703`

    Examples
    --------
    Only members that were trained on the first of two rows predict the test row.

    >>> from sklearn_difficulty.measures import influence
    >>> trained_on = [[True, True], [True, False], [False, True], [False, False]]
    >>> influence([[True], [True], [False], [False]], trained_on)
    array([[1., 0.]], dtype=float32)
    """
    right = _check_correct(test_correct, "test_correct")
    inside = _check_mask(trained_on, "trained_on", (len(right), None))
    result = np.empty((right.shape[1], inside.shape[1]), dtype=np.float32)
    for rows, block in _influence_blocks(right, inside):
        result[rows] = block
    return result


def high_influence_pairs(
    test_correct: ArrayLike,
    trained_on: ArrayLike,
    memorization: ArrayLike,
    *,
    train_labels: ArrayLike,
    test_labels: ArrayLike,
    min_memorization: float = 0.25,
    min_influence: float = 0.15,
) -> InfluencePairs:
    r"""Return the test rows that are predicted right thanks to one memorized training row.

    Parameters
    ----------
    test_correct : array-like of shape (n_members, n_test)
        Whether a member predicts the given label of a test row, as booleans; or the probability
        that it gives to this label, in [0, 1].
    trained_on : array-like of shape (n_members, n_train), bool
        Whether the training row was in the member's training set.
    memorization : array-like of shape (n_train,)
        Memorization of every training row; rows with NaN are in no pair.
    train_labels : array-like of shape (n_train,)
        The given labels of the training rows, of any type.
    test_labels : array-like of shape (n_test,)
        The given labels of the test rows.
    min_memorization : float, default=0.25
        Smallest memorization of the training row. The default is the published one.
    min_influence : float, default=0.15
        Smallest influence of the training row on the test row. The default is the published one.

    Returns
    -------
    pairs : InfluencePairs
        A named tuple of arrays of shape (n_pairs,): ``test_index``, ``train_index``, the
        ``influence`` of the one on the other, and the ``memorization`` of the training row. The
        largest influence comes first; of equals, the smallest test index, then train index.

    Raises
    ------
    ValueError
        If the numbers of members differ or are 0, the other shapes do not fit, a value of
        `test_correct` is not in [0, 1], or `trained_on` does not hold booleans.

    See Also
    --------
    influence : The influence of all training rows on all test rows.
    memorization : What the training rows are chosen by.

    Notes
    -----
    A pair has the same label on both sides, and reaches both minima, where :math:`10^{-6}` less
    is enough, so that rounding decides nothing. Only the influence of memorized rows on test rows
    of their class is computed, in blocks of 16 MiB.

    The standard error of an influence with 100 members, 70 of them trained on the row, is up to
    0.11: with few members, many pairs are there by chance. The paper trained 2,000 to 4,000.

    References
    ----------
    V. Feldman and C. Zhang, "What neural networks memorize and why: discovering the long tail via
    influence estimation", NeurIPS 2020. :arxiv:`2008.03703`

    Examples
    --------
    >>> from sklearn_difficulty.measures import high_influence_pairs
    >>> trained_on = [[True, True], [True, False], [False, True], [False, False]]
    >>> pairs = high_influence_pairs(
    ...     [[True], [True], [False], [False]],
    ...     trained_on,
    ...     memorization=[0.5, 1.0],
    ...     train_labels=["cat", "cat"],
    ...     test_labels=["cat"],
    ... )
    >>> pairs.test_index, pairs.train_index, pairs.influence
    (array([0]), array([0]), array([1.], dtype=float32))
    """
    check_parameters(
        "high_influence_pairs",
        min_memorization=(min_memorization, [Real]),
        min_influence=(min_influence, [Real]),
    )
    right = _check_correct(test_correct, "test_correct")
    inside = _check_mask(trained_on, "trained_on", (len(right), None))
    memorized = as_floats(memorization, "memorization")
    train_classes = as_labels(train_labels, "train_labels")
    test_classes = as_labels(test_labels, "test_labels")
    refuse_other_kind(train_classes, test_classes, "train_labels and test_labels")
    for name, values, n in (
        ("memorization", memorized, inside.shape[1]),
        ("train_labels", train_classes, inside.shape[1]),
        ("test_labels", test_classes, right.shape[1]),
    ):
        if values.shape != (n,):
            raise ValueError(f"{name} must have the shape ({n},), got {values.shape}.")
    candidates = np.flatnonzero(memorized >= min_memorization - _ROUNDING)
    # Something empty to begin with, because there may be no pair.
    test, train = [candidates[:0]], [candidates[:0]]
    value: list[NDArray[np.float32]] = [np.empty(0, dtype=np.float32)]
    for label in np.unique(train_classes[candidates]):
        columns = candidates[train_classes[candidates] == label]
        lines = np.flatnonzero(test_classes == label)
        for rows, block in _influence_blocks(right[:, lines], inside[:, columns]):
            line, column = np.nonzero(block >= min_influence - _ROUNDING)
            test.append(lines[rows][line])
            train.append(columns[column])
            value.append(block[line, column])
    test_index, train_index = np.concatenate(test), np.concatenate(train)
    pair_influence: NDArray[np.float32] = np.concatenate(value)
    order = np.lexsort((train_index, test_index, -pair_influence))
    test_index, train_index = test_index[order], train_index[order]
    return InfluencePairs(test_index, train_index, pair_influence[order], memorized[train_index])


def _influence_blocks(
    test_correct: NDArray[Any], trained_on: NDArray[np.bool_], max_entries: int = _BLOCK_ENTRIES
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Yield the influence on some test rows after the other, each with the slice of these rows."""
    n_members, n_train = trained_on.shape
    n_in = trained_on.sum(axis=0)
    per_in = _nan_for_zero(n_in).astype(np.float32)
    per_out = _nan_for_zero(n_members - n_in).astype(np.float32)
    inside = trained_on.astype(np.float32)
    n_lines = max(1, max_entries // max(n_members, n_train))
    for start in range(0, test_correct.shape[1], n_lines):
        rows = slice(start, start + n_lines)
        right = test_correct[:, rows].astype(np.float32)
        block = right.T @ inside
        # Who was not trained on the row is all but those who were: no second product.
        outside = right.sum(axis=0)[:, None] - block
        block /= per_in
        outside /= per_out
        block -= outside
        yield rows, block


def smoothed_variance(p: NDArray[np.float64], n: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the variance of a share, estimated with one success and one failure added."""
    smoothed = (p * n + 1) / (n + 2)
    return smoothed * (1 - smoothed) / _nan_for_zero(n)
