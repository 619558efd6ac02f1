# SPDX-License-Identifier: BSD-3-Clause
"""The four kinds of example difficulty, from prediction depth without and with the row."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arrays import as_floats

__all__ = ["QUADRANT_NAMES", "corner_distances", "difficulty_quadrants", "otsu_threshold"]

# By code: twice whether the validation depth is high, plus whether the training depth is.
QUADRANT_NAMES = (
    "easy",
    "looks_like_a_different_class",
    "ambiguous_without_label",
    "ambiguous",
)

# The corner of every quadrant, (validation depth, training depth).
_CORNERS = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])

# Depths are averages of float32 numbers, and may leave [0, 1] by their rounding.
_ROUNDING = 1e-6


def otsu_threshold(values: ArrayLike) -> float:
    r"""Return the cut that separates the values best into two groups, by Otsu's rule.

    Parameters
    ----------
    values : array-like of shape (n_values,)
        Real numbers, in any order; NaN is left out.

    Returns
    -------
    threshold : float
        Midpoint between two neighbouring values: the lower group is at or below it, the higher
        group above.

    Raises
    ------
    ValueError
        If `values` is not one-dimensional, holds an infinite value, or holds fewer than two
        different values.

    See Also
    --------
    difficulty_quadrants : What the thresholds are for.

    Notes
    -----
    Every cut between two different values is tried, without a histogram. With :math:`w_0` and
    :math:`w_1 = 1 - w_0` the shares of values below and above the cut, and :math:`\mu_0` and
    :math:`\mu_1` their means, the cut has the largest variance between the groups,
    :math:`w_0 w_1 (\mu_1 - \mu_0)^2`, and so the smallest within them. Of cuts with equal variance
    (to a relative :math:`10^{-12}`) it is the lowest. The time is that of sorting.

    References
    ----------
    N. Otsu, "A threshold selection method from gray-level histograms", IEEE Transactions on
    Systems, Man, and Cybernetics 9(1), 1979. :doi:`10.1109/TSMC.1979.4310076`

    Examples
    --------
    >>> from sklearn_difficulty.measures import otsu_threshold
    >>> otsu_threshold([0.1, 0.2, 0.0, 0.8, 0.9, float("nan")])
    0.5
    """
    numbers = as_floats(values, "values")
    if numbers.ndim != 1:
        raise ValueError(f"values must have the shape (n_values,), got {numbers.shape}.")
    if np.isinf(numbers).any():
        raise ValueError("values must be finite or NaN, got infinite ones.")
    distinct, counts = np.unique(numbers[~np.isnan(numbers)], return_counts=True)
    if len(distinct) < 2:
        raise ValueError("values must hold at least two different numbers to be cut between.")
    # The best cut does not depend on offset and scale, and squares of these cannot overflow.
    scaled = (distinct - distinct[0]) / (distinct[-1] - distinct[0])
    n_below, sums = counts.cumsum(), (counts * scaled).cumsum()
    n_above, sums_above = n_below[-1] - n_below[:-1], sums[-1] - sums[:-1]
    gap = sums_above / n_above - sums[:-1] / n_below[:-1]
    between = (n_below[:-1] / n_below[-1]) * (n_above / n_below[-1]) * gap**2
    best = int(np.argmax(between >= between.max() * (1 - 1e-12)))
    low, high = distinct[best], distinct[best + 1]
    # Between adjacent floats the midpoint may round up; it must stay below the higher value.
    return float(min(low + (high - low) / 2, np.nextafter(high, low)))


def corner_distances(validation_depth: ArrayLike, train_depth: ArrayLike) -> NDArray[np.float64]:
    r"""Return how far a row is from the extreme of each of the four kinds of difficulty.

    Parameters
    ----------
    validation_depth : array-like of shape (n_rows,)
        Mean prediction depth over members that were trained without the row, divided by the
        largest depth that the network can have: from 0 to 1, or NaN.
    train_depth : array-like of shape (n_rows,)
        The same over members that were trained on it.

    Returns
    -------
    distances : ndarray of shape (n_rows, 4), float64
        Euclidean distance from each corner, in [0, :math:`\sqrt{2}`], in the order of the codes of
        `difficulty_quadrants`: easy (0, 0), looks like a different class (0, 1), ambiguous
        without label (1, 0) and ambiguous (1, 1), the validation depth first. NaN where either
        depth is.

    Raises
    ------
    ValueError
        If the depths differ in shape, are not one-dimensional, or do not lie in [0, 1].

    See Also
    --------
    difficulty_quadrants : The quadrant that a row is in.

    Notes
    -----
    With :math:`v_i` and :math:`t_i` the depths of row :math:`i`, the distance from corner
    :math:`(a, b)` is :math:`\sqrt{(v_i - a)^2 + (t_i - b)^2}`. The rows with the smallest
    distances from a corner are the most extreme of its kind; the paper shows 100 for each.

    References
    ----------
    R. Baldock, H. Maennel and B. Neyshabur, "Deep learning through the lens of example
    difficulty", NeurIPS 2021, section 4. :arxiv:`2106.09647`

    Examples
    --------
    >>> from sklearn_difficulty.measures import corner_distances
    >>> corner_distances([0.0, 0.6], [0.0, 0.8]).round(2)
    array([[0.  , 1.  , 1.  , 1.41],
           [1.  , 0.63, 0.89, 0.45]])
    """
    depths = _stack_depths(validation_depth, train_depth)
    if np.any((depths < -_ROUNDING) | (depths > 1 + _ROUNDING)):
        raise ValueError(
            "validation_depth and train_depth must lie in [0, 1]: divide them by the largest depth "
            "that the network can have."
        )
    return np.linalg.norm(depths[:, None, :] - _CORNERS, axis=2)


def difficulty_quadrants(
    validation_depth: ArrayLike, train_depth: ArrayLike, thresholds: tuple[float, float]
) -> NDArray[np.int64]:
    r"""Return which of the four kinds of difficulty a row shows.

    Parameters
    ----------
    validation_depth : array-like of shape (n_rows,)
        Mean prediction depth over members that were trained without the row, on any scale.
    train_depth : array-like of shape (n_rows,)
        The same over members that were trained on it.
    thresholds : tuple of two float
        The largest validation depth, and the largest training depth, that count as low.

    Returns
    -------
    quadrant : ndarray of shape (n_rows,), int64
        0, *easy*: both are low. 1, *looks like a different class*: low without the row, high with
        it. 2, *ambiguous without label*: high without the row, low with it. 3, *ambiguous*: both
        are high. -1 where either depth is NaN.

    Raises
    ------
    ValueError
        If the depths differ in shape or are not one-dimensional, or `thresholds` is not two
        numbers.

    See Also
    --------
    otsu_threshold : A threshold from the depths themselves.
    corner_distances : How extreme a row is of its kind.

    Notes
    -----
    With :math:`v_i` and :math:`t_i` the depths of row :math:`i`, and :math:`(\theta_v, \theta_t)`
    the thresholds, the code is :math:`2 \cdot 1[v_i > \theta_v] + 1[t_i > \theta_t]`. The paper
    names the four kinds and shows their extremes, but sets no thresholds.

    References
    ----------
    R. Baldock, H. Maennel and B. Neyshabur, "Deep learning through the lens of example
    difficulty", NeurIPS 2021, section 4. :arxiv:`2106.09647`

    Examples
    --------
    >>> from sklearn_difficulty.measures import difficulty_quadrants
    >>> difficulty_quadrants(
    ...     [0.1, 0.1, 0.9, 0.9], [0.2, 0.8, 0.2, 0.8], thresholds=(0.5, 0.5)
    ... )
    array([0, 1, 2, 3])
    """
    depths = _stack_depths(validation_depth, train_depth)
    cuts = as_floats(thresholds, "thresholds")
    if cuts.shape != (2,) or np.isnan(cuts).any():
        raise ValueError(
            "thresholds must be two numbers, for the validation depth and for the training depth, "
            f"got {thresholds!r}."
        )
    codes = (depths > cuts) @ np.array([2, 1])
    return np.where(np.isnan(depths).any(axis=1), -1, codes)


def _stack_depths(validation_depth: ArrayLike, train_depth: ArrayLike) -> NDArray[np.float64]:
    """Return the depths as (n_rows, 2), validation first."""
    validation = as_floats(validation_depth, "validation_depth")
    train = as_floats(train_depth, "train_depth")
    if validation.ndim != 1 or validation.shape != train.shape:
        raise ValueError(
            "validation_depth and train_depth must both have the shape (n_rows,), got "
            f"{validation.shape} and {train.shape}."
        )
    return np.stack([validation, train], axis=1)
