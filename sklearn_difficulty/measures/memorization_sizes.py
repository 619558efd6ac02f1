# SPDX-License-Identifier: BSD-3-Clause
"""How the memorization of a row changes with the size of the network."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils._param_validation import Interval

from .._arrays import as_floats
from .._parameters import check_parameters

__all__ = ["memorization_categories"]

CATEGORIES = ("constant", "increasing", "decreasing", "cap", "U", "mixed")
UNDEFINED = "undefined"
_BLOCK_ROWS = 8192  # whose shapes are fitted together
_ROUNDING = 1e-9  # so that rounding decides nothing
_LEAST_WEIGHT = 1e-12  # of a size, beside the most certain one


def memorization_categories(
    memorization: ArrayLike, standard_error: ArrayLike, *, min_change: float = 0.1
) -> NDArray[np.str_]:
    r"""Return for every row the shape of its memorization over networks of growing size.

    Parameters
    ----------
    memorization : array-like of shape (n_sizes, n_rows)
        Memorization of every row by networks of every size, the smallest first, in [-1, 1]; at
        least two sizes, and three or more for "cap" and "U".
    standard_error : array-like of shape (n_sizes, n_rows)
        Its standard error, above 0, as `measures.memorization` returns it.
    min_change : float, default=0.1
        The smallest change that counts as one, above 0, however small the standard errors are.

    Returns
    -------
    category : ndarray of shape (n_rows,), str
        One of "constant", "increasing", "decreasing", "cap" (it rises, then falls), "U" (it falls,
        then rises) and "mixed"; "undefined" for rows with a NaN.

    Raises
    ------
    ValueError
        If there are fewer than two sizes, shapes differ, a memorization is outside [-1, 1], or a
        standard error is not above 0.

    See Also
    --------
    memorization : The memorization of one size, and its standard error.
    sklearn_difficulty.model_selection.MemorizationTrajectory : Trains the networks.

    Notes
    -----
    Let :math:`m_s` be the memorization of a row at size :math:`s = 1, \dots, S`, :math:`e_s` its
    standard error, and :math:`\tau = \max(\text{min\_change}, 2 \max_s e_s)`.

    1. If :math:`\max_s m_s - \min_s m_s \le \tau`, the row is "constant".
    2. Otherwise four curves :math:`c_s` are fitted by least squares with weights :math:`w_s =
       e_s^{-2}`: one that rises, one that falls, one that rises and then falls, and one that falls
       and then rises, the turn being where it fits best. The residual of each is :math:`r =
       \sqrt{\sum_s w_s (m_s - c_s)^2 / \sum_s w_s}`.
    3. If the better of the first two has :math:`r \le \tau / 2`, the row is "increasing" or
       "decreasing"; else, if the better of the other two has :math:`r \le \tau / 2`, it is "cap" or
       "U"; else "mixed".
    4. A cap must rise above both ends, :math:`\max_s m_s - \max(m_1, m_S) > \tau`, and a U fall
       below both, :math:`\min(m_1, m_S) - \min_s m_s > \tau`; otherwise the row is what the better
       of the first two says.

    The paper names the shapes and shows them, but gives no rule; this one is ours. Categories of
    single rows are uncertain with few members: a change must exceed two standard errors, 0.28 with
    60 members that are trained on 70 % of the rows and are right half the time.

    References
    ----------
    M. Lukasik, V. Nagarajan, A. S. Rawat, A. K. Menon, S. Kumar, "What do larger image classifiers
    memorise?", TMLR 2024, :arxiv:`2310.05337`.

    Examples
    --------
    Four rows and three sizes of networks.

    >>> from sklearn_difficulty.measures import memorization_categories
    >>> memorization = [
    ...     [0.1, 0.1, 0.9, 0.1],
    ...     [0.1, 0.5, 0.5, 0.8],
    ...     [0.1, 0.9, 0.1, 0.2],
    ... ]
    >>> standard_error = [[0.05] * 4] * 3
    >>> memorization_categories(memorization, standard_error).tolist()
    ['constant', 'increasing', 'decreasing', 'cap']
    """
    check_parameters(
        "memorization_categories",
        min_change=(min_change, [Interval(Real, 0, None, closed="neither")]),
    )
    values = as_floats(memorization, "memorization")
    errors = as_floats(standard_error, "standard_error")
    if values.ndim != 2 or len(values) < 2:
        raise ValueError(
            "memorization must have the shape (n_sizes, n_rows) with at least two sizes, got "
            f"{values.shape}."
        )
    if errors.shape != values.shape:
        raise ValueError(f"standard_error must have the shape {values.shape}, got {errors.shape}.")
    if np.any(np.abs(values) > 1 + _ROUNDING):
        raise ValueError("memorization must lie in [-1, 1], or be NaN.")
    if np.any((errors <= 0) | np.isinf(errors)):
        raise ValueError("standard_error must be above 0 and finite, or NaN.")
    category = np.full(values.shape[1], UNDEFINED, dtype=f"<U{len(max(CATEGORIES, key=len))}")
    defined = np.flatnonzero(~np.isnan(values + errors).any(axis=0))
    for start in range(0, len(defined), _BLOCK_ROWS):
        rows = defined[start : start + _BLOCK_ROWS]
        category[rows] = _categories(values[:, rows].T, errors[:, rows].T, min_change)
    return category


def _categories(
    values: NDArray[np.float64], errors: NDArray[np.float64], min_change: float
) -> NDArray[np.str_]:
    """Return the shapes of curves (n, n_sizes) without NaN."""
    tolerance = np.maximum(min_change, 2 * errors.max(axis=1)) + _ROUNDING
    largest, smallest = values.max(axis=1), values.min(axis=1)
    first, last = values[:, 0], values[:, -1]
    # Only their ratios matter, and where these are extreme, that they are not zero.
    weights = np.maximum((errors.min(axis=1, keepdims=True) / errors) ** 2, _LEAST_WEIGHT)
    rising, falling, cap, u = _residuals(values, weights)
    is_falling = falling < rising - _ROUNDING
    monotone = np.where(is_falling, "decreasing", "increasing")
    is_u = u < cap - _ROUNDING
    stands_out = np.where(
        is_u,
        np.minimum(first, last) - smallest > tolerance,
        largest - np.maximum(first, last) > tolerance,
    )
    turning = np.where(stands_out, np.where(is_u, "U", "cap"), monotone)
    return np.select(
        [
            largest - smallest <= tolerance,
            np.minimum(rising, falling) <= tolerance / 2,
            np.minimum(cap, u) <= tolerance / 2,
        ],
        ["constant", monotone, turning],
        "mixed",
    )


def _residuals(
    values: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], ...]:
    """Return the residuals of curves that rise, fall, rise then fall, and fall then rise."""
    n_sizes = values.shape[1]
    means = _means_of_intervals(values, weights)

    def squares(sign: int, start: int, stop: int) -> Any:
        """Return what a curve on sizes start to stop - 1 leaves; it rises if the sign is 1."""
        part = slice(start, stop)
        fit = sign * _rising(sign * means, start, stop)
        return (weights[:, part] * (values[:, part] - fit) ** 2).sum(axis=1)

    def turning(sign: int) -> Any:
        """Return the least that two curves leave, of which the second has the other sign."""
        return np.min(
            [squares(sign, 0, b) + squares(-sign, b, n_sizes) for b in range(n_sizes + 1)], axis=0
        )

    found = squares(1, 0, n_sizes), squares(-1, 0, n_sizes), turning(1), turning(-1)
    return tuple(np.sqrt(left / weights.sum(axis=1)) for left in found)


def _means_of_intervals(
    values: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the weighted means (n, n_sizes, n_sizes) of sizes j to k, for j <= k."""
    n, n_sizes = values.shape
    means = np.full((n, n_sizes, n_sizes), np.nan)
    for j in range(n_sizes):
        total = np.cumsum(weights[:, j:] * values[:, j:], axis=1)
        means[:, j, j:] = total / np.cumsum(weights[:, j:], axis=1)
    return means


def _rising(means: NDArray[np.float64], start: int, stop: int) -> NDArray[np.float64]:
    """Return the isotonic fit to sizes start to stop - 1, by its max-min formula."""
    fit = np.empty((len(means), stop - start))
    for i in range(start, stop):
        fit[:, i - start] = means[:, start : i + 1, i:stop].min(axis=2).max(axis=1)
    return fit
