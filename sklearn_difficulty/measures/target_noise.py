# SPDX-License-Identifier: BSD-3-Clause
"""Which targets of a regression are wrong, and how many: from predictions of held-out rows.

The way of `fit_target_noise`:

1. Center and width of honest residuals by prediction (`_local_shape`), first such that most rows
   may be wrong, then by weights of the rows, in turn with
2. two parts of the scaled residuals, honest spread and errors (`_two_parts`).
3. The honest part once for each of several tails: how far that moves the rate is the interval.
"""

from __future__ import annotations

from numbers import Real
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.utils._param_validation import Interval, StrOptions

from .._arrays import LISTED_ROWS, as_floats
from .._parameters import check_parameters
from ._local_shape import Density, LocalShape, Windows, without_ties
from ._two_parts import TwoParts, fit_two_parts

__all__ = ["TargetNoise", "estimate_target_noise"]

Floats = NDArray[np.float64]
Scale = Literal["local", "global"]

_TAILS = (2.5, 4.0, 7.0, 50.0)  # degrees of freedom, from heavy to next to normal
_TAIL_OF_WEIGHTS = 7.0
_SHARES_INSIDE = (0.25, 0.5)  # of a window's rows, in the interval that the fit begins with
_N_TURNS = 3
_ITERATIONS_OF_TURN = 60
_ROWS_OF_FIT = 20_000
_NEAR, _BESIDE = 2.5, 5.0  # scaled residuals: errors are hardly seen below, and seen above
SPREAD_OUT = 8.0  # by which log odds are divided, so that a float32 tells the largest apart
MOST_BELIEVED = 0.75  # of the targets: predictions that tell nothing make as many look wrong
_Z = 1.96  # of a 95 % interval
_LARGEST = 1e100  # of predictions: of larger ones squares would overflow


class TargetNoise(NamedTuple):
    """What `estimate_target_noise` returns."""

    error_probability: Floats
    suggested: Floats
    suggested_interval: Floats
    noise_rate: float
    noise_rate_interval: tuple[float, float]
    error_probability_bounds: Floats
    difficulty: NDArray[np.float32]
    scaled_residual: Floats
    scale: Floats


class TargetNoiseModel(NamedTuple):
    """What is needed to read other rows."""

    shape: LocalShape
    parts: TwoParts
    others: Density

    def scaled(self, y: Floats, predictions: Floats) -> tuple[Floats, Floats]:
        """Return the residuals in units of the honest spread, and that spread."""
        width = self.shape.width(predictions)
        z = (y - predictions - self.shape.center(predictions)) / width
        return z, width

    def log_odds(self, y: Floats, predictions: Floats, parts: TwoParts | None = None) -> Floats:
        """Return the log odds (n,) that a target is wrong."""
        z, width = self.scaled(y, predictions)
        return (parts or self.parts).log_odds(z, self.others(y) * width)

    def difficulty(self, y: Floats, predictions: Floats) -> NDArray[np.float32]:
        """Return a score (n,) in [0, 1] in the order of the log odds, 0.5 where they are even."""
        return expit(self.log_odds(y, predictions) / SPREAD_OUT).astype(np.float32)


def estimate_target_noise(
    y: ArrayLike,
    predictions: ArrayLike,
    *,
    scale: Scale = "local",
    coverage: float = 0.9,
) -> TargetNoise:
    r"""Return for every row the probability that its target is wrong, and how many are.

    Parameters
    ----------
    y : array-like of shape (n_rows,)
        The given targets.
    predictions : array-like of shape (n_rows,)
        Predictions of models that were trained without the row.
    scale : {"local", "global"}, default="local"
        Whether the honest spread is that of rows with about the same prediction, or the same for
        all. "local" where it grows with the target, as that of prices does.
    coverage : float, default=0.9
        Share of the right targets that are to lie in their interval, in (0, 1).

    Returns
    -------
    result : TargetNoise
        A named tuple of

        - ``error_probability`` (n_rows,): the probability that the given target is wrong;
        - ``suggested`` (n_rows,): the prediction, without what it misses on average, where the
          target is more likely wrong than right, the given target elsewhere;
        - ``suggested_interval`` (n_rows, 2): where the right target lies with a probability of
          `coverage`;
        - ``noise_rate``: the share of wrong targets, the mean of ``error_probability``;
        - ``noise_rate_interval``: over tails of the honest spread from heavy to next to normal,
          with errors that are too small to be seen, and the sampling error; it begins at 0 where
          the rate would be above 0.75, since predictions that tell nothing look the same;
        - ``error_probability_bounds`` (2, n_rows): what ``error_probability`` is under the tails
          with the lowest and the highest rate;
        - ``difficulty`` (n_rows,), float32: in [0, 1], larger = more suspect, in the order of
          ``error_probability``, but it tells apart what rounds to 1 there;
        - ``scaled_residual`` (n_rows,): target less prediction, less what it is among rows of that
          prediction, in units of
        - ``scale`` (n_rows,): the honest spread there.

    Raises
    ------
    ValueError
        If the shapes do not fit, there is no row, a number is not finite, or a prediction is
        beyond 1e100.

    See Also
    --------
    estimate_label_noise : The same for classes.
    noise_cuts : Precision and recall of dropping the rows above a cut.

    Notes
    -----
    **Scale.** With target :math:`y_i` and prediction :math:`f_i`, the scaled residual is

    .. math:: z_i = \frac{y_i - f_i - b(f_i)}{s(f_i)}

    :math:`b` and :math:`s` are the center and the width of honest residuals in windows of rows in
    the order of :math:`f` (a 25th of the rows, but at least 150), smoothed and joined by straight
    lines. They begin as the shortest interval that holds a quarter, or half, of a window's
    residuals [1]_, whichever leads to the larger likelihood: errors are spread out, honest
    residuals are not. Then they are medians, and median distances from them, of the rows weighted
    by the probability that they are right. :math:`b` undoes that a model which has seen wrong
    targets predicts too near to the middle of all.

    **Two parts.** The density of :math:`z` is a mixture,

    .. math:: (1 - \pi)\, t_\nu(z) + \sum_j \pi_j e_j(z)

    The honest part :math:`t_\nu` is Student's distribution with a location and a width on either
    side, of which one may be six times the other. The shapes :math:`e_j` of the errors are the
    density of all targets at :math:`y_i` (that of another row's target), normals of widths 4, 8,
    16, ..., and clusters on either side at distances 4, 6.4, 10.2, ... (the same error again and
    again). All are fitted by EM, in which a shape that explains less than 0.2 % of the rows, or
    four, is left out: of honest data with heavy tails, every outlier would pass for an error. In
    the end the shapes that are not clusters share the weight of one row: a target far off any
    other is suspect even if it is the only one.

    The error probability is the share of the errors in the density at :math:`z_i`, with the ratio
    to the honest part not falling as :math:`|z|` grows.

    **Interval.** :math:`\nu` is the one of 2.5, 4, 7 and 50 with the largest likelihood. The
    interval of the rate is that of all four: whether a large residual is an error or an outlier is
    an assumption about tails that the data hardly decide. Errors near the right target are not
    seen: at the upper end they are as dense at :math:`|z| < 2.5` as those at
    :math:`2.5 \le |z| < 5`, if they are not denser. Both ends are moved outwards by 1.96 standard
    errors of a share. If most errors are smaller than the honest spread, the rate is higher yet.

    **Suggestion.** The interval holds the quantiles of the :math:`z_i`, weighted by
    :math:`1 - e_i`, as in split conformal prediction [2]_ for rows that were held out.

    **Ties.** Where half of the targets or more are repeated, as counts and rounded ones are, shape
    and mixture are fitted to targets that are spread evenly over the distance between different
    ones: a density of tied values would narrow down to one of them. That is not enough where a
    third of the targets or more are one and the same, such as zero: rates are then too high.

    Mixtures are fitted to 20,000 rows at most. Numbers were chosen by measurement, not derived.

    References
    ----------
    .. [1] P. J. Rousseeuw, "Least median of squares regression", Journal of the American
       Statistical Association 79(388), 1984. :doi:`10.1080/01621459.1984.10477105`
    .. [2] J. Lei et al., "Distribution-free predictive inference for regression", Journal of the
       American Statistical Association 113(523), 2018. :arxiv:`1604.04173`

    Examples
    --------
    One target in ten belongs to another row.

    >>> import numpy as np
    >>> from sklearn_difficulty.measures import estimate_target_noise
    >>> rng = np.random.default_rng(0)
    >>> predictions = rng.uniform(0, 100, size=1000)
    >>> y = predictions + rng.normal(size=1000)
    >>> y[:100] = rng.permutation(y)[:100]
    >>> found = estimate_target_noise(y, predictions)
    >>> suspect = found.error_probability > 0.5
    >>> int(suspect[:100].sum()), int(suspect[100:].sum())
    (92, 0)
    >>> low, high = found.noise_rate_interval
    >>> print(f"wrong targets: {low:.0%} to {high:.0%}")
    wrong targets: 7% to 12%
    """
    check_parameters(
        "estimate_target_noise",
        scale=(scale, [StrOptions({"local", "global"})]),
        coverage=(coverage, [Interval(Real, 0, 1, closed="neither")]),
    )
    targets, predicted = as_floats(y, "y"), as_floats(predictions, "predictions")
    for name, values in (("y", targets), ("predictions", predicted)):
        if values.ndim != 1 or len(values) == 0:
            raise ValueError(f"{name} must have the shape (n_rows,), got {values.shape}.")
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise ValueError(
                f"{name} holds NaN or inf in {len(bad)} row(s), first {bad[:LISTED_ROWS].tolist()}."
            )
    too_large = np.flatnonzero(np.abs(predicted) > _LARGEST)
    if len(too_large):
        raise ValueError(
            f"predictions holds numbers beyond {_LARGEST:g} in {len(too_large)} row(s), first "
            f"{too_large[:LISTED_ROWS].tolist()}: has the training diverged?"
        )
    if len(targets) != len(predicted):
        raise ValueError(
            f"predictions must have the shape {targets.shape} of y, got {predicted.shape}."
        )
    return fit_target_noise(targets, predicted, scale=scale, coverage=coverage)[0]


def fit_target_noise(
    y: Floats, predictions: Floats, *, scale: Scale = "local", coverage: float = 0.9
) -> tuple[TargetNoise, TargetNoiseModel]:
    """Return what `estimate_target_noise` does, and what is needed to read other rows."""
    taken = _rows_of_fit(predictions)
    some_predictions = predictions[taken]
    some_y = without_ties(y[taken], some_predictions)
    others = Density(some_y)
    windows = Windows(some_predictions, some_y, local=scale == "local")
    starts = [_shape_of(windows, some_y, some_predictions, others, s) for s in _SHARES_INSIDE]
    model = max(starts, key=lambda start: start[1])[0]
    z, width = model.scaled(some_y, some_predictions)
    worlds = [fit_two_parts(z, others(some_y) * width, tail) for tail in _TAILS]
    model = model._replace(parts=max(worlds, key=lambda parts: parts.log_likelihood))
    log_odds = model.log_odds(y, predictions)
    error = expit(log_odds)
    of_worlds = [
        error if parts is model.parts else expit(model.log_odds(y, predictions, parts))
        for parts in worlds
    ]
    rates = [float(line.mean()) for line in of_worlds]
    lowest = min(rates) if min(rates) <= MOST_BELIEVED else 0.0
    bounds = np.stack([of_worlds[int(np.argmin(rates))], of_worlds[int(np.argmax(rates))]])
    z, width = model.scaled(y, predictions)
    middle = predictions + model.shape.center(predictions)
    low, high = _weighted_quantiles(z, 1 - error, coverage)
    return (
        TargetNoise(
            error,
            np.where(error > 0.5, middle + model.parts.location * width, y),
            np.stack([middle + low * width, middle + high * width], axis=1),
            float(error.mean()),
            _with_sampling_error(lowest, _rate_with_hidden(bounds[1], z), len(taken)),
            bounds,
            expit(log_odds / SPREAD_OUT).astype(np.float32),
            z,
            width,
        ),
        model,
    )


def _rows_of_fit(predictions: Floats) -> NDArray[np.int64]:
    """Return the rows that are fitted to: all, or some evenly in the order of predictions."""
    n = len(predictions)
    if n <= _ROWS_OF_FIT:
        return np.arange(n)
    order = predictions.argsort(kind="stable")
    return np.sort(order[np.linspace(0, n - 1, _ROWS_OF_FIT).astype(int)])


def _shape_of(
    windows: Windows, y: Floats, predictions: Floats, others: Density, share: float
) -> tuple[TargetNoiseModel, float]:
    """Return a model that began with a share of the rows inside, and its log likelihood."""
    residuals, density = y - predictions, others(y)
    shape = windows.start(residuals, share)
    # The unit of the widths is not known yet: half of the rows, were all honest.
    distance = np.abs(residuals - shape.center(predictions)) / shape.width(predictions)
    inside = np.median(distance[distance <= np.median(distance)])
    shape = shape._replace(widths=shape.widths * 2 * max(0.5, float(inside)))
    for turn in range(_N_TURNS + 1):
        width = shape.width(predictions)
        z = (residuals - shape.center(predictions)) / width
        parts = fit_two_parts(z, density * width, _TAIL_OF_WEIGHTS, _ITERATIONS_OF_TURN)
        model = TargetNoiseModel(shape, parts, others)
        if turn < _N_TURNS:
            error = expit(parts.log_odds(z, density * width))
            shape = windows.weighted(residuals, 1 - error)
    return model, parts.log_likelihood - float(np.log(width).sum())


def _weighted_quantiles(z: Floats, weights: Floats, coverage: float) -> tuple[float, float]:
    """Return the two places between which a share of the weight lies, with one row's weight more.

    The row that is to be covered counts as one beyond all others, as conformal prediction does.
    """
    order = z.argsort()
    cumulated = weights[order].cumsum()
    total = cumulated[-1] + 1
    outside = (1 - coverage) / 2
    low = np.searchsorted(cumulated, outside * total - 1, side="right")
    high = np.searchsorted(cumulated, (1 - outside) * total)
    last = len(z) - 1
    return float(z[order[min(low, last)]]), float(z[order[min(high, last)]])


def _rate_with_hidden(error: Floats, z: Floats) -> float:
    """Return the share of errors if they are as dense at small residuals as beside these."""
    distance = np.abs(z)
    near = float(error[distance < _NEAR].sum())
    beside = float(error[(distance >= _NEAR) & (distance < _BESIDE)].sum())
    hidden = max(0.0, beside * _NEAR / (_BESIDE - _NEAR) - near)
    return min(1.0, (float(error.sum()) + hidden) / len(z))


def _with_sampling_error(low: float, high: float, n_rows: int) -> tuple[float, float]:
    """Return two rates, moved outwards by the sampling error of a share."""
    below, above = (_Z * float(np.sqrt(p * (1 - p) / n_rows)) for p in (low, high))
    return max(0.0, low - below), min(1.0, high + above)
