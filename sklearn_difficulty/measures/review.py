# SPDX-License-Identifier: BSD-3-Clause
"""What a cut on the error probability drops: expected, and measured by reviewing some rows."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state

from .._arrays import as_array, as_floats
from .._parameters import check_parameters
from ._review_estimates import NoiseReview, estimate
from ._verdicts import as_verdicts
from .cuts import CUTS, check_cuts, check_error

__all__ = ["NoiseReview", "ReviewPlan", "calibrate_with_review", "review_plan"]

_DOUBT = 0.05  # so that no row is too sure to be reviewed
_PRECISION_COUNTS = 4.0  # in variance, against the rate
_SHOWN = 5  # rows, in a repr
_LARGEST_WEIGHT = 1e18  # more rows than anybody has; its square is finite


class _RowsAndWeight(NamedTuple):
    """What a plan is unpacked into."""

    rows: NDArray[np.int64]
    weight: NDArray[np.float64]


class ReviewPlan(_RowsAndWeight):
    """What `review_plan` returns, each of shape (n,); `ids` are the names of rows, if known."""

    ids: NDArray[Any] | None = None

    def __repr__(self) -> str:
        first = ", ".join(str(row) for row in self.rows[:_SHOWN].tolist())
        more = ", ..." if len(self.rows) > _SHOWN else ""
        n = round(float(self.weight.sum()))
        return f"ReviewPlan({len(self.rows)} rows that stand for about {n}: {first}{more})"


def review_plan(
    error_probability: ArrayLike,
    n: int = 100,
    *,
    cut: float = 0.5,
    random_state: int | np.random.RandomState | None = None,
) -> ReviewPlan:
    r"""Return the rows whose review tells most about the rate of errors and about a cut.

    Parameters
    ----------
    error_probability : array-like of shape (n_rows,)
        The probability that a label is wrong, in [0, 1].
    n : int, default=100
        How many rows to review; all if there are fewer.
    cut : float, default=0.5
        The cut whose precision is to be known.
    random_state : int, RandomState instance or None, default=None
        Determines the rows.

    Returns
    -------
    plan : ReviewPlan
        A named tuple of arrays of shape (n,): ``rows``, in random order, and ``weight``, the
        number of rows that each stands for. The first m rows are a random part of the plan: they
        stand for all rows with their weights times n / m.

    Raises
    ------
    ValueError
        If a probability is not in [0, 1] or `n` is below 1.

    See Also
    --------
    calibrate_with_review : What the verdicts say.

    Notes
    -----
    With :math:`N` rows, :math:`N_c` of them above the cut :math:`c`, and :math:`p_i = 0.05 + 0.9\,
    e_i` for the error probability :math:`e_i`, row :math:`i` is drawn with a probability

    .. math::

        \pi_i \propto \sqrt{p_i (1 - p_i) \left(4 \cdot 1[e_i > c] / N_c^2 + 1 / N^2\right)}

    of at most 1: the variance of the rate, plus four times that of the precision, is smallest
    [1]_. The draw is systematic in the order of :math:`e_i`, so every part of the range gets its
    share. Weights are :math:`1 / \pi_i`. The order of the plan is drawn after its rows.

    References
    ----------
    .. [1] C.-E. Särndal, B. Swensson and J. Wretman, "Model assisted survey sampling", Springer
       1992, chapters 3 and 12. :doi:`10.1007/978-1-4612-4378-6`

    Examples
    --------
    Three of 1,000 rows are above the cut, and all of them are reviewed.

    >>> import numpy as np
    >>> from sklearn_difficulty.measures import review_plan
    >>> error_probability = np.r_[0.9, 0.8, 0.6, np.full(997, 0.01)]
    >>> plan = review_plan(error_probability, n=20, random_state=0)
    >>> plan.rows[plan.weight == 1]
    array([1, 0, 2])
    >>> round(float(plan.weight.sum()))
    1000
    """
    check_parameters(
        "review_plan", cut=(cut, [Real]), random_state=(random_state, ["random_state"])
    )
    error = check_error(error_probability)
    if isinstance(n, bool) or not isinstance(n, Integral) or n < 1:
        raise ValueError(f"n must be an integer of at least 1, got {n!r}.")
    check_cuts(cut)
    n_rows, n_wanted = len(error), min(n, len(error))
    above = error > cut
    p = _DOUBT + (1 - 2 * _DOUBT) * error
    size = np.sqrt(
        p * (1 - p) * (_PRECISION_COUNTS * above / max(1, above.sum()) ** 2 + 1 / n_rows**2)
    )
    certain = np.zeros(n_rows, dtype=bool)
    while True:
        left = n_wanted - certain.sum()
        total = max(size[~certain].sum(), np.finfo(float).tiny)
        chance = np.where(certain, 1.0, left * size / total)
        beyond = (chance >= 1) & ~certain
        if not beyond.any():
            break
        certain |= beyond
    random = check_random_state(random_state)
    order = np.lexsort((random.random_sample(n_rows), error))
    cumulated = chance[order].cumsum()
    marks = (random.random_sample() + np.arange(n_wanted)) * (cumulated[-1] / n_wanted)
    rows = np.unique(order[np.searchsorted(cumulated, marks, side="right")])
    rows = rows[random.permutation(len(rows))]
    return ReviewPlan(rows, 1 / chance[rows])


def calibrate_with_review(
    error_probability: ArrayLike,
    rows: ArrayLike,
    weight: ArrayLike,
    verdicts: ArrayLike,
    *,
    cuts: ArrayLike = CUTS,
) -> NoiseReview:
    r"""Return the rate of errors and what cuts drop, from reviewed rows, without assumptions.

    Parameters
    ----------
    error_probability : array-like of shape (n_rows,)
        What `review_plan` was given.
    rows : array-like of shape (n_reviewed,)
        The reviewed rows: all of the plan, or the first of them.
    weight : array-like of shape (n_reviewed,)
        Their weights in the plan; if only the first m of n rows were reviewed, times n / m.
    verdicts : array-like of shape (n_reviewed,), bool, number or str
        Whether the label turned out to be wrong: True, 1, "yes" or "wrong" say so, and False, 0,
        "no" or "right" that it is right, in upper or lower case. None, NaN, "" and "unsure": the
        person could not tell, and the intervals hold whatever these labels are.
    cuts : array-like of shape (n_cuts,)
        Rows with an `error_probability` above the cut are dropped.

    Returns
    -------
    review : NoiseReview
        A named tuple of

        - ``noise_rate``, the share of wrong labels, and ``noise_rate_interval``, of 95 %;
        - ``error_probability`` (n_rows,): calibrated by the verdicts, and the verdict itself, 0 or
          1, for reviewed rows of which the person could tell;
        - ``cuts``: the table of `noise_cuts` with intervals of 95 %.

    Raises
    ------
    ValueError
        If the shapes do not fit, a row is not one of `error_probability` or there twice, a weight
        is below 1, or something else is among the verdicts.

    See Also
    --------
    review_plan : Which rows to review.
    noise_cuts : The table from assumptions alone.

    Notes
    -----
    The calibrated probability of row :math:`i` is :math:`g_i = 1 / (1 + e^{-a - b\, l_i})`, with
    :math:`l_i` the logit of its error probability. :math:`a` and :math:`b > 0` are fitted to the
    verdicts :math:`v_i`; priors of standard deviation 2 for :math:`a`, and 0.5 for :math:`\ln b`,
    around no change hold them where verdicts are few. The number of errors in a set :math:`D` of
    rows is that of the calibration, corrected by the weights :math:`w_i` of the reviewed rows
    :math:`R` [1]_,

    .. math::

        \hat{t}_D = \sum_{i \in D} g_i + \sum_{i \in D \cap R} w_i (v_i - g_i)

    which is right on average whether or not the calibration is. The rate is :math:`\hat{t}` of all
    rows by their number, the precision of a cut :math:`\hat{t}_D / |D|` and its recall
    :math:`\hat{t}_D / \hat{t}`, 1 at most. The variance of a total is taken to be
    :math:`\sum_i w_i (w_i - 1) s_i^2`, with :math:`s_i^2` the larger of the squared residual
    :math:`(v_i - g_i)^2` and :math:`h_i (1 - h_i)`, so that agreement by chance does not pass for
    certainty. :math:`h_i` is :math:`g_i`, kept :math:`1 / (2 + 2 m)` away from 0 and 1, with
    :math:`m = (\sum_i w_i)^2 / \sum_i w_i^2`: half a row more might have been wrong, of the
    :math:`m` that weigh. Errors that no error probability shows are found among those alone.
    :math:`v_i = g_i` where the person could not tell; the interval then reaches from the lower end
    if all these labels were right to the upper end if all were wrong (for the recall of a cut:
    right above it and wrong below it, and the reverse).

    References
    ----------
    .. [1] C.-E. Särndal, B. Swensson and J. Wretman, "Model assisted survey sampling", Springer
       1992, chapter 6. :doi:`10.1007/978-1-4612-4378-6`

    Examples
    --------
    Half of the labels above the cut turn out to be right.

    >>> import numpy as np
    >>> from sklearn_difficulty.measures import calibrate_with_review, review_plan
    >>> error_probability = np.r_[np.full(200, 0.9), np.full(800, 0.02)]
    >>> is_wrong = np.arange(1000) < 100
    >>> plan = review_plan(error_probability, n=100, random_state=0)
    >>> review = calibrate_with_review(
    ...     error_probability,
    ...     plan.rows,
    ...     plan.weight,
    ...     is_wrong[plan.rows],
    ...     cuts=[0.5],
    ... )
    >>> low, high = review.noise_rate_interval
    >>> print(f"wrong labels: {low:.1%} to {high:.1%}")
    wrong labels: 5.0% to 13.5%
    >>> review.cuts[["cut", "n_dropped", "precision"]]
      cut  n_dropped  precision
    0.500        200      0.462
    """
    error = check_error(error_probability)
    reviewed, weights, wrong = _check_review(rows, weight, verdicts, len(error))
    cut_values = check_cuts(cuts)
    return estimate(error, reviewed, weights, wrong, cut_values)


def _check_review(
    rows: ArrayLike, weight: ArrayLike, verdicts: ArrayLike, n_rows: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return rows, weights and verdicts as arrays, after checking them."""
    reviewed, wrong = as_array(rows, "rows"), as_verdicts(verdicts)
    weights = as_floats(weight, "weight")
    if reviewed.ndim != 1 or len(reviewed) == 0 or reviewed.dtype.kind not in "iu":
        raise ValueError(
            f"rows must be integers of shape (n_reviewed,), got {reviewed.dtype} {reviewed.shape}."
        )
    for name, values in (("weight", weights), ("verdicts", wrong)):
        if values.shape != reviewed.shape:
            raise ValueError(f"{name} must have the shape {reviewed.shape}, got {values.shape}.")
    if reviewed.min() < 0 or reviewed.max() >= n_rows:
        raise ValueError(f"rows must lie from 0 to {n_rows - 1}, the rows of error_probability.")
    if len(np.unique(reviewed)) < len(reviewed):
        raise ValueError("rows must name every row once.")
    # Rounding may leave the weight of a certain row just below 1.
    if not np.all((weights >= 1 - 1e-6) & (weights <= _LARGEST_WEIGHT)):
        raise ValueError("weight must be at least 1: it counts the rows that each stands for.")
    return reviewed.astype(np.int64), np.maximum(weights, 1.0), wrong
