# SPDX-License-Identifier: BSD-3-Clause
"""How well a difficulty score finds rows that are known to be bad.

A larger score is more suspect, and no result depends on the order of the rows, even with ties.
"""

from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score
from sklearn.utils._param_validation import Interval

from .._arrays import as_array, as_floats
from .._parameters import check_parameters

__all__ = [
    "detection_report",
    "error_rate_by_percentile",
    "lift_at_k",
    "precision_at_k",
    "recall_at_precision",
]


def precision_at_k(marked: ArrayLike, score: ArrayLike, k: int | float) -> float:
    r"""Share of marked rows among the `k` rows with the largest scores.

    Parameters
    ----------
    marked : array-like of shape (n_rows,), bool or 0/1
        True for the rows that should be found, such as rows with a wrong label.
    score : array-like of shape (n_rows,)
        Larger means more suspect.
    k : int or float
        Length of the list: an int is a number of rows in ``1, ..., n_rows``; a float is a
        share of the rows in (0, 1], rounded to the nearest number of rows, at least one.

    Returns
    -------
    precision : float
        In [0, 1]. If the cut falls within rows of equal score, the expected value over all
        orders of those rows.

    Raises
    ------
    ValueError
        If the lengths differ, a score is NaN, no row or every row is marked, or `k` is out
        of range.

    See Also
    --------
    lift_at_k : The same, relative to picking rows at random.

    Notes
    -----
    With :math:`a` rows above the score at the cut, :math:`h` of them marked, and :math:`t`
    rows tied at it, :math:`u` of them marked, the value is
    :math:`\left(h + (k - a)\, u / t\right) / k` [1]_.

    References
    ----------
    .. [1] F. McSherry and M. Najork, "Computing information retrieval performance measures
       efficiently in the presence of tied scores", ECIR 2008.
       :doi:`10.1007/978-3-540-78646-7_38`

    Examples
    --------
    >>> from sklearn_difficulty.metrics import precision_at_k
    >>> precision_at_k([1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1], k=2)
    0.5
    >>> precision_at_k([1, 1, 0, 0], [0.9, 0.5, 0.5, 0.1], k=2)
    0.75
    """
    marked, rank = _check_marked_and_score(marked, score)
    k = _check_k(k, len(rank))
    cut = np.partition(rank, -k)[-k]
    above, tied = rank > cut, rank == cut
    # Multiplied before divided, so that a cut between ties gives a whole number of hits.
    hits = marked[above].sum() + (k - above.sum()) * marked[tied].sum() / tied.sum()
    return float(hits / k)


def lift_at_k(marked: ArrayLike, score: ArrayLike, k: int | float) -> float:
    """How many times better than random picks the `k` largest scores are.

    Parameters
    ----------
    marked : array-like of shape (n_rows,), bool or 0/1
        True for the rows that should be found.
    score : array-like of shape (n_rows,)
        Larger means more suspect.
    k : int or float
        A number of rows (int) or a share of them (float), as in :func:`precision_at_k`.

    Returns
    -------
    lift : float
        Precision at `k` divided by the share of marked rows; 1 is what random picks reach.

    Raises
    ------
    ValueError
        As :func:`precision_at_k`.

    Examples
    --------
    >>> from sklearn_difficulty.metrics import lift_at_k
    >>> lift_at_k([1, 0, 0, 0], [0.9, 0.8, 0.3, 0.1], k=2)
    2.0
    """
    marked = as_array(marked, "marked")
    return precision_at_k(marked, score, k) / float(np.mean(marked.astype(bool)))


def recall_at_precision(marked: ArrayLike, score: ArrayLike, precision: float) -> float:
    """Largest share of the marked rows found while the list stays this precise.

    Parameters
    ----------
    marked : array-like of shape (n_rows,), bool or 0/1
        True for the rows that should be found.
    score : array-like of shape (n_rows,)
        Larger means more suspect.
    precision : float
        Lowest precision to accept, in (0, 1].

    Returns
    -------
    recall : float
        In [0, 1]; 0 if no cut is that precise. Rows of equal score stand on the same side
        of every cut.

    Raises
    ------
    ValueError
        If the lengths differ, a score is NaN, no row or every row is marked, or
        `precision` is out of range.

    See Also
    --------
    sklearn.metrics.precision_recall_curve : Precision and recall at every cut.

    Examples
    --------
    >>> from sklearn_difficulty.metrics import recall_at_precision
    >>> recall_at_precision([1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1], precision=0.6)
    1.0
    >>> recall_at_precision([1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1], precision=0.9)
    0.5
    """
    check_parameters(
        "recall_at_precision", precision=(precision, [Interval(Real, 0, 1, closed="right")])
    )
    marked, rank = _check_marked_and_score(marked, score)
    precisions, recalls, _ = precision_recall_curve(marked, rank)
    return float(recalls[precisions >= precision].max())


def detection_report(
    marked: ArrayLike, score: ArrayLike, *, k: int | float | None = None
) -> dict[str, float]:
    """All detection measures of one score at once.

    Parameters
    ----------
    marked : array-like of shape (n_rows,), bool or 0/1
        True for the rows that should be found.
    score : array-like of shape (n_rows,)
        Larger means more suspect.
    k : int or float, default=None
        Length of the list, as in :func:`precision_at_k`; None: the number of marked rows.

    Returns
    -------
    report : dict of str to float
        ``"auroc"`` and ``"average_precision"`` as in scikit-learn, ``"precision_at_k"``,
        ``"recall_at_precision"`` (at a precision of 0.9), ``"lift_at_k"`` and
        ``"base_rate"``, the share of marked rows. A score that knows nothing has an
        expected AUROC of 0.5, precisions near the base rate, and a lift of 1.

    Raises
    ------
    ValueError
        As :func:`precision_at_k`.

    See Also
    --------
    error_rate_by_percentile : What a score says about the errors of a classifier.

    Examples
    --------
    >>> from sklearn_difficulty.metrics import detection_report
    >>> for name, value in detection_report(
    ...     [1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1]
    ... ).items():
    ...     print(f"{name:20} {value:.3f}")
    auroc                0.750
    average_precision    0.833
    precision_at_k       0.500
    recall_at_precision  0.500
    lift_at_k            1.000
    base_rate            0.500
    """
    marked, rank = _check_marked_and_score(marked, score)
    k = int(marked.sum()) if k is None else k
    return {
        "auroc": float(roc_auc_score(marked, rank)),
        "average_precision": float(average_precision_score(marked, rank)),
        "precision_at_k": precision_at_k(marked, rank, k),
        "recall_at_precision": recall_at_precision(marked, rank, 0.9),
        "lift_at_k": lift_at_k(marked, rank, k),
        "base_rate": float(marked.mean()),
    }


@dataclass(frozen=True, eq=False)
class ErrorRateByPercentile:
    """Error rates of rows binned by score, from the easiest bin to the hardest, each (bins,)."""

    percentile: NDArray[np.float64]  # upper edge: share of rows, in per cent, up to the bin's last
    error_rate: NDArray[np.float64]
    standard_error: NDArray[np.float64]  # binomial, of the rate
    count: NDArray[np.intp]


def error_rate_by_percentile(
    score: ArrayLike, error: ArrayLike, bins: int = 10
) -> ErrorRateByPercentile:
    r"""Error rate of a classifier on rows binned by score; rising for a good score.

    Parameters
    ----------
    score : array-like of shape (n_rows,)
        Larger means harder.
    error : array-like of shape (n_rows,), bool or 0/1
        True where the classifier is wrong.
    bins : int, default=10
        Number of bins, at most the number of rows. Every row is in exactly one bin, and
        the bins' counts differ by at most one, larger bins first.

    Returns
    -------
    result : ErrorRateByPercentile
        The arrays `percentile` (upper edges), `error_rate`, `standard_error` and `count`.

    Raises
    ------
    ValueError
        If the lengths differ, a score is NaN, or `bins` is out of range.

    See Also
    --------
    detection_report : How well a score finds marked rows.

    Notes
    -----
    Each of the rows with one score counts with the mean error of all of them, which is
    what their bins would hold on average over all their orders. The standard error is
    :math:`\sqrt{p (1 - p) / c}` for a bin with rate :math:`p` and count :math:`c`. The
    count-weighted mean of the rates is the error rate of all rows. The binning follows the
    figures of [1]_, whose released code loses the smallest and largest score and all ties.

    References
    ----------
    .. [1] C. Agarwal, D. D'souza and S. Hooker, "Estimating example difficulty using
       variance of gradients", CVPR 2022.
       :arxiv:`2008.11600`, :doi:`10.1109/CVPR52688.2022.01012`

    Examples
    --------
    >>> from sklearn_difficulty.metrics import error_rate_by_percentile
    >>> result = error_rate_by_percentile(
    ...     [0.1, 0.2, 0.3, 0.4], [0, 0, 0, 1], bins=2
    ... )
    >>> result.percentile, result.error_rate
    (array([ 50., 100.]), array([0. , 0.5]))
    """
    error, rank = _check_marked_and_score(error, score, name="error", both_kinds=False)
    n_rows = len(rank)
    if isinstance(bins, bool) or not isinstance(bins, Integral) or not 1 <= bins <= n_rows:
        raise ValueError(
            "The 'bins' parameter of error_rate_by_percentile must be an int in 1, ..., "
            f"{n_rows}, the number of rows. Got {bins!r} instead."
        )
    rate_at_rank = np.bincount(rank, weights=error)[1:] / np.bincount(rank)[1:]
    sorted_error = rate_at_rank[np.sort(rank) - 1]
    count = np.full(bins, n_rows // bins, dtype=np.intp)
    count[: n_rows % bins] += 1
    end = np.cumsum(count)
    rate = np.add.reduceat(sorted_error, end - count) / count
    spread = np.sqrt(rate * (1 - rate) / count)
    return ErrorRateByPercentile(100 * end / n_rows, rate, spread, count)


def undefined_as_easiest(score: ArrayLike) -> NDArray[np.float64]:
    """Return scores in which the smallest defined one, 0 if there is none, stands for NaN."""
    score = as_floats(score, "score")
    undefined = np.isnan(score)
    easiest = 0.0 if undefined.all() else np.nanmin(score)
    return np.where(undefined, easiest, score)


def _check_marked_and_score(
    marked: ArrayLike, score: ArrayLike, *, name: str = "marked", both_kinds: bool = True
) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Return the marks as bools and the scores as dense ranks 1, 2, ... (ties share one).

    Only the order of scores counts here, and scikit-learn refuses infinite scores.
    """
    marked, score = as_array(marked, name), as_floats(score, "score")
    if marked.ndim != 1 or marked.shape != score.shape or not len(marked):
        raise ValueError(
            f"{name} and score must hold one number for every row, got arrays of shapes "
            f"{marked.shape} and {score.shape}."
        )
    if marked.dtype.kind not in "biuf" or not np.isin(marked, [0, 1]).all():
        values = list({repr(value): value for value in marked.tolist()}.values())
        raise ValueError(f"{name} must be bool or 0/1, got {values[:5]}.")
    marked = marked.astype(bool)
    undefined = np.flatnonzero(np.isnan(score))
    if len(undefined):
        raise ValueError(
            f"score is NaN for {len(undefined)} of {len(score)} rows; first rows: "
            f"{undefined[:5].tolist()}. Leave them out of both arrays (~np.isnan(score)), or "
            "have the scorer call them hardest (undefined='max')."
        )
    if both_kinds and (marked.all() or not marked.any()):
        raise ValueError(
            f"{name} must hold marked and unmarked rows, got {int(marked.sum())} marked of "
            f"{len(marked)}."
        )
    return marked, rankdata(score, method="dense").astype(np.intp)


def _check_k(k: int | float, n_rows: int) -> int:
    """Return the number of rows that a count or a share stands for."""
    if isinstance(k, Integral) and not isinstance(k, bool) and 1 <= k <= n_rows:
        return int(k)
    if isinstance(k, Real) and not isinstance(k, Integral) and 0 < k <= 1:
        return max(1, round(float(k) * n_rows))
    raise ValueError(
        f"The 'k' parameter must be an int in 1, ..., {n_rows}, the number of rows, or a float "
        f"in (0, 1], a share of them. Got {k!r} instead."
    )
