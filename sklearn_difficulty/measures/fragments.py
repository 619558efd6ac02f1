# SPDX-License-Identifier: BSD-3-Clause
"""ConFrag's parts: a target's range in fragments, and how far a row is to be believed."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils._param_validation import Interval, StrOptions

from .._arrays import as_floats, as_numbers
from .._parameters import check_parameters

__all__ = ["fragment_edges", "fragment_prior", "neighborhood_agreement", "selection_probability"]

FRAGMENTATIONS = ("length", "count")
MOST_FRAGMENTS = 1000
_SMOOTHING = 1 / 510  # of the range: 0.1 years of ages from 15 to 66, as the authors have it


def fragment_edges(
    y: ArrayLike,
    n_fragments: int = 4,
    *,
    fragmentation: str = "length",
    jitter: float = 0.0,
    shift: float = 0.0,
) -> NDArray[np.float64]:
    r"""Return the edges that cut the range of a target into fragments.

    Parameters
    ----------
    y : array-like of shape (n_rows,)
        The targets.
    n_fragments : int, default=4
        How many fragments, from 1 to 1000.
    fragmentation : {"length", "count"}, default="length"
        Whether all fragments are equally long, or hold equally many rows, as far as equal targets
        allow: fewer different ones than fragments are cut by length.
    jitter : float, default=0.0
        Share of the range ("length"), or of the rows ("count"), in [0, 1), that the fragments leave
        out.
    shift : float, default=0.0
        Where the fragments lie, in [0, 1]: 0 leaves out the largest targets, 1 the smallest.

    Returns
    -------
    edges : ndarray of shape (n_fragments + 1,)
        Not decreasing. Fragment :math:`f` holds the targets from ``edges[f]`` on and below
        ``edges[f + 1]``, the last fragment its upper edge too.

    Raises
    ------
    ValueError
        If y is empty, constant or not finite, or a parameter out of its range.

    See Also
    --------
    ConFragSelector : Cuts the targets like this, with another shift in every epoch.

    Notes
    -----
    With jitter :math:`J`, shift :math:`s` and :math:`F` fragments, edge :math:`f` lies at the share
    :math:`q_f = sJ + (1 - J) f / F` of the range, or is the quantile :math:`q_f` of the targets.

    References
    ----------
    C. D. Kim, S. Moon, J. Moon, D. Woo, G. Kim, "Sample Selection via Contrastive Fragmentation for
    Noisy Label Regression", NeurIPS 2024, :arxiv:`2502.17771`.

    Examples
    --------
    >>> from sklearn_difficulty.measures import fragment_edges
    >>> fragment_edges([0, 1, 2, 4, 8])
    array([0., 2., 4., 6., 8.])
    >>> fragment_edges([0, 1, 2, 4, 8], fragmentation="count")
    array([0., 1., 2., 4., 8.])
    """
    check_parameters(
        "fragment_edges",
        n_fragments=(n_fragments, [Interval(Integral, 1, MOST_FRAGMENTS, closed="both")]),
        fragmentation=(fragmentation, [StrOptions(set(FRAGMENTATIONS))]),
        jitter=(jitter, [Interval(Real, 0, 1, closed="left")]),
        shift=(shift, [Interval(Real, 0, 1, closed="both")]),
    )
    targets = _column(y, "y")
    if len(targets) == 0 or targets.min() == targets.max():
        raise ValueError("y holds no two different targets, so it has no range to cut.")
    shares = shift * jitter + (1 - jitter) * np.arange(n_fragments + 1) / n_fragments
    if fragmentation == "count" and len(np.unique(targets)) >= n_fragments:
        return np.quantile(targets, np.clip(shares, 0, 1))
    low, high = targets.min(), targets.max()
    edges = low + (high - low) * shares
    # Rounding must not lose the largest target.
    return edges if shares[-1] < 1 else np.append(edges[:-1], high)


def assign_fragments(y: ArrayLike, edges: ArrayLike) -> NDArray[np.int64]:
    """Return the fragment (n,) of every target, -1 for those outside of the edges."""
    targets, bounds = _column(y, "y"), _column(edges, "edges")
    fragment = np.searchsorted(bounds[:-1], targets, side="right") - 1
    fragment[targets > bounds[-1]] = -1
    return fragment.astype(np.int64)


def contrastive_pairs(n_fragments: int) -> NDArray[np.int64]:
    """Return the perfect matching (n_pairs, 2) of fragments whose nearest pair is farthest apart.

    It is (i, i + F / 2), whatever the lengths: let i be the pair that is nearest. Of the F / 2 + 1
    fragments from i to i + F / 2 any other matching joins two, and these are no farther apart.
    """
    if int(n_fragments) != n_fragments or n_fragments < 2 or n_fragments % 2:
        raise ValueError(f"n_fragments must be even and at least 2; got {n_fragments!r}.")
    first = np.arange(n_fragments // 2)
    return np.stack([first, first + n_fragments // 2], axis=1)


def fragment_centers(y: ArrayLike, fragment: ArrayLike, n_fragments: int) -> NDArray[np.float64]:
    """Return the mean target (n_fragments,) of every fragment, NaN for one without rows."""
    targets, codes = _column(y, "y"), np.asarray(fragment)
    inside = codes >= 0
    counts = np.bincount(codes[inside], minlength=n_fragments).astype(np.float64)
    sums = np.bincount(codes[inside], targets[inside], minlength=n_fragments)
    return np.divide(sums, counts, out=np.full(n_fragments, np.nan), where=counts > 0)


def fragment_prior(
    y: ArrayLike, centers: ArrayLike, *, value_range: float | None = None
) -> NDArray[np.float64]:
    r"""Return how much each fragment has to say about a row, by the row's own target.

    Parameters
    ----------
    y : array-like of shape (n_rows,)
        The targets.
    centers : array-like of shape (n_fragments,)
        The mean target of every fragment; NaN for a fragment without rows, which has no say.
    value_range : float, default=None
        By how much the largest target exceeds the smallest; None takes that of y.

    Returns
    -------
    prior : ndarray of shape (n_rows, n_fragments)
        In [0, 1]; every row sums to 1.

    Raises
    ------
    ValueError
        If a target is not finite, all centres are NaN, or the range is not positive.

    See Also
    --------
    selection_probability : What the prior is for.

    Notes
    -----
    The prior of fragment :math:`f` for a row with the target :math:`y` is

    .. math:: \rho_f = \frac{e^{g_f}}{\sum_h e^{g_h}}, \qquad
        g_f = \frac{R}{|y - c_f| + R / 510},

    with the range :math:`R` of the targets and the centre :math:`c_f`. The paper has no term
    :math:`R / 510`, without which :math:`g_f` is infinite for a target at a centre; the authors'
    code adds 0.1, in whatever unit the targets have. Ours is the same for ages from 15 to 66, and
    leaves the prior as it is in other units.

    References
    ----------
    C. D. Kim, S. Moon, J. Moon, D. Woo, G. Kim, "Sample Selection via Contrastive Fragmentation for
    Noisy Label Regression", NeurIPS 2024, :arxiv:`2502.17771`.

    Examples
    --------
    >>> from sklearn_difficulty.measures import fragment_prior
    >>> fragment_prior([21, 27], centers=[21, 34, 47, 60], value_range=51).round(2)
    array([[1.  , 0.  , 0.  , 0.  ],
           [0.76, 0.24, 0.  , 0.  ]])
    """
    check_parameters(
        "fragment_prior",
        value_range=(value_range, [Interval(Real, 0, None, closed="neither"), None]),
    )
    targets, middles = _column(y, "y"), as_floats(centers, "centers")
    if middles.ndim != 1 or np.isnan(middles).all():
        raise ValueError("centers must have the shape (n_fragments,), and not all be NaN.")
    span = float(np.ptp(targets)) if value_range is None else float(value_range)
    if not 0 < span < np.inf:
        raise ValueError(
            f"y has the range {span}; pass value_range, the range of all targets, a positive one."
        )
    closeness = 1 / (np.abs(targets[:, None] - middles) / span + _SMOOTHING)
    closeness = np.where(np.isnan(closeness), -np.inf, closeness)
    weight = np.exp(closeness - closeness.max(axis=1, keepdims=True))  # up to 510 before
    return weight / weight.sum(axis=1, keepdims=True)


def prediction_agreement(probabilities: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return whether an expert prefers either fragment of its pair, (n, 2); a tie counts for both.

    `probabilities` (n, 2) are those of the expert's classes. NaN agrees with neither.
    """
    first, second = probabilities.T
    return np.stack([first >= second, second >= first], axis=1)


def representation_agreement(
    neighbor_classes: NDArray[np.integer], defined: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return whether all but one of a row's neighbours lie in either fragment of a pair, (n, 2).

    `neighbor_classes` (n, n_neighbors) are 0 and 1; rows that are not `defined` agree with neither.
    """
    n_neighbors = neighbor_classes.shape[1]
    n_second = neighbor_classes.sum(axis=1)
    votes = np.stack([n_neighbors - n_second, n_second], axis=1)
    return (votes >= n_neighbors - 1) & defined[:, None]


def neighborhood_agreement(self_agreement: ArrayLike) -> NDArray[np.bool_]:
    r"""Return where fragments agree with a row, and so does a fragment next to them.

    Parameters
    ----------
    self_agreement : array-like of shape (n_rows, n_fragments), bool
        Whether the expert of a fragment's pair takes the row for one of the fragment.

    Returns
    -------
    agreement : ndarray of shape (n_rows, n_fragments), bool
        Nowhere true where `self_agreement` is not.

    Raises
    ------
    ValueError
        If `self_agreement` is not two-dimensional.

    See Also
    --------
    selection_probability : What the agreement is for.

    Notes
    -----
    With the expert's own agreement :math:`s_f \in \{0, 1\}`,

    .. math:: \alpha_f = s_f \, \max(s_{f-1}, s_{f+1}),

    where fragments beyond the first and the last count as 0. With four fragments and one expert for
    each of the pairs (1, 3) and (2, 4), the votes (1, 2), (3, 2) and (3, 4) leave both fragments
    agreed, and (1, 4), which no target can explain, leaves none.

    References
    ----------
    C. D. Kim, S. Moon, J. Moon, D. Woo, G. Kim, "Sample Selection via Contrastive Fragmentation for
    Noisy Label Regression", NeurIPS 2024, :arxiv:`2502.17771`.

    Examples
    --------
    >>> from sklearn_difficulty.measures import neighborhood_agreement
    >>> neighborhood_agreement([[1, 1, 0, 0], [1, 0, 0, 1]]).astype(int)
    array([[1, 1, 0, 0],
           [0, 0, 0, 0]])
    """
    agrees = as_numbers(self_agreement, "self_agreement") != 0
    if agrees.ndim != 2:
        raise ValueError(
            f"self_agreement must have the shape (n_rows, n_fragments), got {agrees.shape}."
        )
    beside = np.zeros_like(agrees)
    beside[:, 1:] |= agrees[:, :-1]
    beside[:, :-1] |= agrees[:, 1:]
    return agrees & beside


def selection_probability(prior: ArrayLike, agreement: ArrayLike) -> NDArray[np.float64]:
    r"""Return the probability with which a row is selected to be trained on.

    Parameters
    ----------
    prior : array-like of shape (n_rows, n_fragments)
        From `fragment_prior`.
    agreement : array-like of shape (n_rows, n_fragments), bool
        From `neighborhood_agreement`; the experts' own agreement is an ablation.

    Returns
    -------
    probability : ndarray of shape (n_rows,)
        In [0, 1].

    Raises
    ------
    ValueError
        If the shapes differ.

    See Also
    --------
    ConFragSelector : Reads it from trained experts, in two views.

    Notes
    -----
    With the prior :math:`\rho_f` of the row's target and the agreement :math:`\alpha_f \in
    \{0, 1\}`, the probability is :math:`p = \sum_f \rho_f \alpha_f`. A row that is drawn
    independently in two views, with :math:`p` and :math:`p'`, is drawn in one of them at least with
    :math:`1 - (1 - p)(1 - p')`.

    References
    ----------
    C. D. Kim, S. Moon, J. Moon, D. Woo, G. Kim, "Sample Selection via Contrastive Fragmentation for
    Noisy Label Regression", NeurIPS 2024, :arxiv:`2502.17771`.

    Examples
    --------
    >>> from sklearn_difficulty.measures import selection_probability
    >>> selection_probability([[0.75, 0.25, 0, 0]], [[1, 0, 0, 0]])
    array([0.75])
    """
    weights, agreed = as_floats(prior, "prior"), as_numbers(agreement, "agreement") != 0
    if weights.ndim != 2 or weights.shape != agreed.shape:
        raise ValueError(
            "prior and agreement must have one shape, (n_rows, n_fragments); got "
            f"{weights.shape} and {agreed.shape}."
        )
    # A sum of all of the prior may exceed 1 by rounding.
    return np.minimum(1, np.where(agreed, weights, 0).sum(axis=1))


def in_either_draw(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return with what probability (n,) a row is drawn in one view at least, of (n_views, n)."""
    return 1 - np.prod(1 - probabilities, axis=0)


def draw_rows(
    probabilities: NDArray[np.float64], generator: np.random.Generator
) -> NDArray[np.bool_]:
    """Return which rows (n,) are drawn in one view at least; views (n_views, n) are independent."""
    drawn = probabilities > generator.random(probabilities.shape)
    return np.logical_or.reduce(drawn, axis=0)


def _column(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """Return finite numbers (n,), or raise."""
    numbers = as_floats(values, name)
    if numbers.ndim != 1 or not np.isfinite(numbers).all():
        raise ValueError(f"{name} must have one dimension and hold finite numbers.")
    return numbers
