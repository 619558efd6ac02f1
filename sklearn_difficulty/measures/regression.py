# SPDX-License-Identifier: BSD-3-Clause
"""Wrong targets of regression: how clean a selection is, what it costs, and the size of residuals.

`TargetErrorScorer` and `ConFragSelector` act on these quantities; here they are functions of plain
arrays.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri
from sklearn.neighbors import NearestNeighbors
from sklearn.utils._param_validation import Interval

from .._arrays import LISTED_ROWS, as_floats
from .._parameters import check_parameters

__all__ = [
    "error_residual_ratio",
    "local_scale",
    "mean_relative_absolute_error",
    "residual_statistics",
    "selection_rate",
]

_BLOCK_ROWS = 4096  # whose neighbours are held at once
_LARGEST = 1e150  # residual that can be squared


class ResidualStatistics(NamedTuple):
    """What `residual_statistics` returns."""

    mean: NDArray[np.float64]
    size: NDArray[np.float64]
    deviation: NDArray[np.float64]


def error_residual_ratio(
    y: ArrayLike, y_true: ArrayLike, selected: ArrayLike, *, corrected: ArrayLike | None = None
) -> float:
    r"""Return how much of the error in the targets is left in the selected rows (ERR).

    Parameters
    ----------
    y : array-like of shape (n_rows,) or (n_rows, n_outputs)
        Targets as given, some of them wrong.
    y_true : array-like of the shape of `y`
        The right targets.
    selected : array-like of shape (n_rows,)
        True for the rows that are kept; or the probability in [0, 1] that each is.
    corrected : array-like of the shape of `y`, default=None
        What rows are kept with, where wrong targets are replaced and not only left out. None: `y`.

    Returns
    -------
    ratio : float
        Not negative. 0: all that is kept is right; 1: no better than a random selection. Of
        several outputs, the mean over those that have errors. NaN if no target is wrong or no row
        is selected.

    Raises
    ------
    ValueError
        If shapes differ, a target is not finite, or `selected` is no selection.

    See Also
    --------
    selection_rate : What share of the rows is kept.
    mean_relative_absolute_error : What the selection is worth to a regressor.

    Notes
    -----
    With weights :math:`w_i` (1 for a kept row, 0 for another), targets :math:`y_i`, right targets
    :math:`t_i` and corrected ones :math:`c_i`, over :math:`n` rows:

    .. math:: \mathrm{ERR} = \frac{\sum_i w_i |c_i - t_i| / \sum_i w_i}{\sum_i |y_i - t_i| / n}

    It does not change if all are shifted or rescaled.

    References
    ----------
    C. D. Kim et al., "Sample selection via contrastive fragmentation for noisy label regression",
    NeurIPS 2024, :arxiv:`2502.17771`.

    Examples
    --------
    >>> from sklearn_difficulty.measures import error_residual_ratio
    >>> y_true, y = [1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 7.0, 0.0]
    >>> error_residual_ratio(y, y_true, [True, True, False, False])
    0.0
    >>> error_residual_ratio(y, y_true, [True, True, True, False])
    0.6666666666666666
    """
    given, right = _targets(y, "y"), _targets(y_true, "y_true")
    kept = given if corrected is None else _targets(corrected, "corrected")
    for name, other in (("y_true", right), ("corrected", kept)):
        if given.shape != other.shape:
            raise ValueError(f"y and {name} differ in shape: {given.shape} and {other.shape}.")
    weights = _weights(selected, len(given))
    error = np.abs(given - right).reshape(len(given), -1).mean(axis=0)
    left = weights @ np.abs(kept - right).reshape(len(given), -1)
    has_errors = error > 0
    if not weights.any() or not has_errors.any():
        return float("nan")
    return float(np.mean(left[has_errors] / weights.sum() / error[has_errors]))


def selection_rate(selected: ArrayLike) -> float:
    """Return the share of the rows that are selected.

    Parameters
    ----------
    selected : array-like of shape (n_rows,)
        True for the rows that are kept; or the probability in [0, 1] that each is.

    Returns
    -------
    rate : float
        In [0, 1]; the best one is one minus the share of wrong targets, with an error residual
        ratio of 0. NaN without rows.

    Raises
    ------
    ValueError
        If `selected` is no selection.

    See Also
    --------
    error_residual_ratio : How clean the selection is.

    Examples
    --------
    >>> from sklearn_difficulty.measures import selection_rate
    >>> selection_rate([True, True, True, False])
    0.75
    """
    weights = _weights(selected, None)
    return float(weights.mean()) if len(weights) else float("nan")


def mean_relative_absolute_error(
    y_true: ArrayLike, y_pred: ArrayLike, y_pred_clean: ArrayLike
) -> float:
    r"""Return by what share the error of a regressor exceeds that of one trained on right targets.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,) or (n_rows, n_outputs)
        Right targets of test rows.
    y_pred : array-like of the shape of `y_true`
        Predictions of the regressor that is judged.
    y_pred_clean : array-like of the shape of `y_true`
        Predictions of the same kind of regressor, trained on the right targets of all rows.

    Returns
    -------
    error : float
        At least -1; 0: as good as if no target had been wrong; 0.2: a mean absolute error that is
        20 % larger. Of several outputs, the mean. NaN where the other one makes no error.

    Raises
    ------
    ValueError
        If shapes differ or a value is not finite.

    See Also
    --------
    error_residual_ratio : How clean the rows were that it was trained on.

    Notes
    -----
    MRAE: with targets :math:`t_i`, predictions :math:`f_i` and clean ones :math:`c_i`,
    :math:`\sum_i |f_i - t_i| / \sum_i |c_i - t_i| - 1`.

    References
    ----------
    C. D. Kim et al., "Sample selection via contrastive fragmentation for noisy label regression",
    NeurIPS 2024, :arxiv:`2502.17771`.

    Examples
    --------
    >>> from sklearn_difficulty.measures import mean_relative_absolute_error
    >>> mean_relative_absolute_error([1.0, 2.0], [1.5, 3.0], [2.0, 2.0])
    0.5
    """
    right = _targets(y_true, "y_true")
    of_both = []
    for name, values in (("y_pred", y_pred), ("y_pred_clean", y_pred_clean)):
        predicted = _targets(values, name)
        if predicted.shape != right.shape:
            raise ValueError(
                f"y_true and {name} differ in shape: {right.shape} and {predicted.shape}."
            )
        of_both.append(np.abs(predicted - right).mean(axis=0))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = of_both[0] / of_both[1]
    return float(np.mean(np.where(of_both[1] > 0, ratio, np.nan))) - 1


def residual_statistics(
    predictions: ArrayLike, y: ArrayLike, counts: ArrayLike | None = None
) -> ResidualStatistics:
    r"""Return mean, size and deviation over epochs of what a regressor missed a target by.

    Parameters
    ----------
    predictions : array-like of shape (n_epochs, n_rows) or (n_epochs, n_rows, n_outputs)
        Predictions of every epoch of one training; NaN where an epoch did not show a row.
    y : array-like of shape (n_rows,) or (n_rows, n_outputs)
        Given targets.
    counts : array-like of shape (n_epochs, n_rows), default=None
        Weights of the epochs, such as how often each showed the row. None: all count the same.

    Returns
    -------
    statistics : ResidualStatistics
        ``mean``, of the shape of `y`: the signed residual, positive where the target lies above
        what is predicted. ``size``, (n_rows,): the mean of its absolute value. ``deviation``,
        (n_rows,): the standard deviation of the residual, which is that of the predictions. All in
        the unit of `y`, and NaN for rows that were never shown, or whose residual was ever infinite
        or beyond 1e150, as when a training diverges.

    Raises
    ------
    ValueError
        If shapes do not fit, a target is not finite, or counts are negative.

    See Also
    --------
    sklearn_difficulty.TrainingDynamicsScorer : Records them in the training pass.
    local_scale : What a residual is large in comparison with.

    Notes
    -----
    With residuals :math:`r_e = y - f_e`, a vector where there are several outputs, of epochs
    :math:`e` with weights :math:`w_e` that sum to 1: :math:`\bar{r} = \sum_e w_e r_e`, size
    :math:`\sum_e w_e \lVert r_e \rVert_2`, deviation :math:`\sqrt{\sum_e w_e \lVert r_e - \bar{r}
    \rVert_2^2}`. Size and deviation stay as they are under a shift of targets and predictions, and
    scale with both. A large deviation marks rows that the training changed its mind about, a large
    size with a small deviation those that it never came to meet: wrong targets, as a rule.

    Examples
    --------
    >>> from sklearn_difficulty.measures import residual_statistics
    >>> found = residual_statistics([[0.0, 3.0], [2.0, 3.0]], y=[1.0, 7.0])
    >>> found.mean, found.size, found.deviation
    (array([0., 4.]), array([1., 4.]), array([1., 0.]))
    """
    targets = _targets(y, "y")
    f = as_floats(predictions, "predictions")
    if f.ndim < 2 or len(f) == 0 or f.shape[1:] != targets.shape:
        raise ValueError(
            "predictions must have one line per epoch and the shape of y in each, (n_epochs, "
            f"{', '.join(map(str, targets.shape))}), with at least one epoch; got {f.shape}."
        )
    with np.errstate(over="ignore"):
        residual = (targets - f).reshape(*f.shape[:2], -1)
    weights = np.ones(f.shape[:2]) if counts is None else as_floats(counts, "counts")
    if weights.shape != f.shape[:2] or not (weights >= 0).all():
        raise ValueError(
            f"counts must hold numbers of at least 0 in the shape {f.shape[:2]}; the shape is "
            f"{weights.shape}."
        )
    is_shown: NDArray[np.bool_] = np.asarray(~np.isnan(residual).any(axis=2))
    is_shown &= ~(np.abs(residual) > _LARGEST).any(axis=(0, 2))
    weights = np.where(is_shown, weights, 0.0)
    with np.errstate(invalid="ignore"):
        weights = weights / weights.sum(axis=0)
    residual = np.where(is_shown[:, :, None], residual, 0.0)
    mean = np.einsum("er,ero->ro", weights, residual)
    size = (weights * np.linalg.norm(residual, axis=2)).sum(axis=0)
    squared = (weights * np.square(residual - mean).sum(axis=2)).sum(axis=0)
    return ResidualStatistics(mean.reshape(targets.shape), size, np.sqrt(squared))


def local_scale(
    residual: ArrayLike,
    position: ArrayLike,
    *,
    n_neighbors: int = 100,
    quantile: float = 0.5,
    floor: float = 0.1,
) -> NDArray[np.float64]:
    r"""Return how large residuals usually are near each row.

    Where the spread of right targets grows with the target, as that of prices does, a residual says
    little until it is divided by this.

    Parameters
    ----------
    residual : array-like of shape (n_rows,)
        Residuals, signed or not; NaN for rows that are to say nothing about their neighbours.
    position : array-like of shape (n_rows,) or (n_rows, n_features)
        Where rows lie: what is predicted for them, or standardised features. By Euclidean distance.
    n_neighbors : int, default=100
        Of how many of the nearest other rows; all of them, if there are fewer.
    quantile : float, default=0.5
        Which quantile of their absolute residuals is taken, in (0, 1). Of the neighbours at least
        this share must have right targets; with a lower one the scale withstands more wrong
        targets, and is less certain.
    floor : float, default=0.1
        The least scale, in [0, 1], as a share of the same quantile over all rows, so that no
        residual is divided by nearly nothing in a place where all neighbours happen to agree.

    Returns
    -------
    scale : ndarray of shape (n_rows,)
        In the unit of `residual`; an estimate of the standard deviation if residuals are normal. 0
        only where all rows are met exactly. A row has no part in its own scale.

    Raises
    ------
    ValueError
        If shapes do not fit, a position is not finite or a residual infinite, a parameter is out of
        range, or there are fewer than two rows with a residual.

    See Also
    --------
    residual_statistics : Residuals over epochs.

    Notes
    -----
    With :math:`N(i)` the neighbours of row :math:`i`, :math:`r_j` their residuals and :math:`q` the
    quantile: :math:`s_i = Q_q\{|r_j| : j \in N(i)\} / \Phi^{-1}((1 + q) / 2)`, with the quantile
    function :math:`\Phi^{-1}` of the standard normal distribution; for :math:`q = 0.5` the median
    absolute residual times 1.4826. The scale of multiplied residuals is the multiplied scale.

    References
    ----------
    P. J. Rousseeuw, C. Croux, "Alternatives to the median absolute deviation", JASA 88, 1993,
    :doi:`10.1080/01621459.1993.10476408` (the constant).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_difficulty.measures import local_scale
    >>> rng = np.random.default_rng(0)
    >>> predicted = np.linspace(1, 10, 2000)
    >>> residual = rng.normal(scale=predicted)
    >>> local_scale(residual, predicted)[[200, 1800]].round(1)
    array([ 1.8, 10.2])
    """
    check_parameters(
        "local_scale",
        n_neighbors=(n_neighbors, [Interval(Integral, 1, None, closed="left")]),
        quantile=(quantile, [Interval(Real, 0, 1, closed="neither")]),
        floor=(floor, [Interval(Real, 0, 1, closed="both")]),
    )
    size = np.abs(as_floats(residual, "residual"))
    place = _targets(position, "position")
    place = place[:, None] if place.ndim == 1 else place
    if size.shape != place.shape[:1]:
        raise ValueError(
            f"residual must hold one number for each of the {len(place)} positions; its shape is "
            f"{size.shape}."
        )
    if np.isinf(size).any():
        row = int(np.flatnonzero(np.isinf(size))[0])
        raise ValueError(f"residual is infinite in row {row}; NaN leaves a row out.")
    known = np.flatnonzero(~np.isnan(size))
    if len(known) < 2:
        raise ValueError(f"A local scale needs two rows with a residual; there are {len(known)}.")
    n_found = min(n_neighbors + 1, len(known))
    neighbors = NearestNeighbors(n_neighbors=n_found).fit(place[known])
    constant = float(ndtri((1 + quantile) / 2))
    scale = np.empty(len(size))
    for start in range(0, len(size), _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        found = known[neighbors.kneighbors(place[block], return_distance=False)]
        # The row itself, or, of a row without a residual or among many copies, the farthest one.
        left_out = found == np.arange(len(size))[block, None]
        left_out[~left_out.any(axis=1), -1] = True
        others = size[found[~left_out]].reshape(len(found), n_found - 1)
        scale[block] = np.quantile(others, quantile, axis=1)
    least = floor * np.quantile(size[known], quantile)
    return np.maximum(scale, least) / constant


def _targets(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """Return finite numbers (n_rows,) or (n_rows, n_columns)."""
    array = as_floats(values, name)
    if array.ndim not in (1, 2):
        raise ValueError(f"{name} must have one or two dimensions; its shape is {array.shape}.")
    if array.size == 0:
        raise ValueError(f"{name} holds no row; its shape is {array.shape}.")
    bad = np.flatnonzero(~np.isfinite(array).all(axis=tuple(range(1, array.ndim))))
    if len(bad):
        raise ValueError(
            f"{name} holds NaN or inf in {len(bad)} row(s), first {bad[:LISTED_ROWS].tolist()}."
        )
    return array


def _weights(selected: Any, n_rows: int | None) -> NDArray[np.float64]:
    """Return a mask, or selection probabilities, as weights."""
    weights = as_floats(selected, "selected")
    n_rows = weights.size if n_rows is None else n_rows
    if weights.shape != (n_rows,) or not ((weights >= 0) & (weights <= 1)).all():
        raise ValueError(
            f"selected must hold a boolean, or a probability in [0, 1], for each of {n_rows} rows; "
            f"its shape is {weights.shape}. Of positions: np.isin(np.arange(n_rows), positions)."
        )
    return weights
