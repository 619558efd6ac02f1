# SPDX-License-Identifier: BSD-3-Clause
"""The rate of wrong labels and what cuts drop, estimated from reviewed rows and their weights."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit

from ._table import Table
from .cuts import CUT_FIELDS, Z

# Prior deviations of intercept and log slope: the wider, the more a few verdicts may change.
_PRIOR = np.array([2.0, 0.5])
_SUREST = 1e-3  # error probabilities are kept so far from 0 and 1, where logits are infinite
_SHOWN_CUT = 0.5


class NoiseReview(NamedTuple):
    """What `calibrate_with_review` returns."""

    noise_rate: float
    noise_rate_interval: tuple[float, float]
    error_probability: NDArray[np.float64]
    cuts: Table

    def __repr__(self) -> str:
        low, high = self.noise_rate_interval
        text = f"{self.noise_rate:.1%} of the labels are wrong (95 %: {low:.1%} to {high:.1%})"
        for row in self.cuts[self.cuts["cut"] == _SHOWN_CUT]:
            text += (
                f"; the cut at {_SHOWN_CUT} drops {row['n_dropped']} rows, {row['precision']:.0%} "
                f"of them wrong ({row['precision_low']:.0%} to {row['precision_high']:.0%})"
            )
        return f"NoiseReview({text})"


def estimate(
    error: NDArray[np.float64],
    reviewed: NDArray[np.int64],
    weights: NDArray[np.float64],
    wrong: NDArray[np.float64],
    cut_values: NDArray[np.float64],
) -> NoiseReview:
    """Return what verdicts (NaN: could not tell) on rows that stand for so many others say."""
    is_sure = ~np.isnan(wrong)
    calibrated = _calibration(error, reviewed[is_sure], wrong[is_sure])
    g = calibrated[reviewed]
    likely = np.where(is_sure, wrong, g)
    # Rows that weigh much may be few, and all right by chance: half a row more might be wrong.
    doubt = 0.5 / (1 + weights.sum() ** 2 / (weights**2).sum())
    doubtful = np.clip(g, doubt, 1 - doubt)
    variance = weights * (weights - 1) * np.maximum((likely - g) ** 2, doubtful * (1 - doubtful))

    def n_errors(mask: NDArray[np.bool_], verdicts: NDArray[np.float64]) -> float:
        """Return the estimated number of errors among some rows, if those are the verdicts."""
        inside = mask[reviewed]
        total = calibrated[mask].sum() + (weights * (verdicts - g))[inside].sum()
        # What was seen bounds it, and what can be there.
        least, most = verdicts[inside].sum(), mask.sum() - (1 - verdicts)[inside].sum()
        return float(np.clip(total, least, most))

    def verdicts_if(unsure: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Return the verdicts, given what the rows are of which nobody could tell."""
        return np.where(is_sure, wrong, unsure)

    everything = np.ones(len(error), dtype=bool)
    n_wrong = n_errors(everything, likely)
    table = np.empty(len(cut_values), dtype=CUT_FIELDS)
    for i, cut in enumerate(cut_values):
        dropped = error > cut
        n_dropped, inside = int(dropped.sum()), dropped[reviewed]
        precisions, recalls = [], []
        # The unsure rows above the cut are right and those below it wrong, or the other way round.
        for verdicts in (likely, verdicts_if(~inside), verdicts_if(inside)):
            n_found, total = n_errors(dropped, verdicts), n_errors(everything, verdicts)
            precision = n_found / n_dropped if n_dropped else np.nan
            recall = min(1.0, n_found / total) if total else np.nan
            precisions.append(_interval(precision, variance[inside].sum(), n_dropped))
            recalls.append(_interval(recall, (variance * (inside - recall) ** 2).sum(), total))
        both = _joined(precisions)
        if n_dropped and not inside.any():  # the calibration is all there is
            both = both[0], 0.0, 1.0
        table[i] = (cut, n_dropped, *both, *_joined(recalls))
    n = len(error)
    shares = [n_wrong / n, *(n_errors(everything, verdicts_if(v)) / n for v in (0.0, 1.0))]
    rate, low, high = _joined([_interval(share, variance.sum(), n) for share in shares])
    calibrated[reviewed[is_sure]] = wrong[is_sure]
    return NoiseReview(rate, (low, high), calibrated, Table.of(table))


def _calibration(
    error: NDArray[np.float64], reviewed: NDArray[np.int64], wrong: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return error probabilities on the scale of the verdicts."""
    score = logit(np.clip(error, _SUREST, 1 - _SUREST))
    x = score[reviewed]

    def loss(parameters: NDArray[np.float64]) -> float:
        z = parameters[0] + np.exp(parameters[1]) * x
        fit = np.logaddexp(0, z) - wrong * z
        return float(fit.sum() + 0.5 * ((parameters / _PRIOR) ** 2).sum())

    intercept, log_slope = minimize(loss, np.zeros(2)).x
    return np.asarray(expit(intercept + np.exp(log_slope) * score))


def _interval(share: float, variance: float, n: float) -> tuple[float, float, float]:
    """Return a share and its interval, from the variance of the total that it is made of."""
    if not n:
        return np.nan, np.nan, np.nan
    half = Z * np.sqrt(max(0.0, variance)) / n
    return share, float(max(0.0, share - half)), float(min(1.0, share + half))


def _joined(intervals: list[tuple[float, float, float]]) -> tuple[float, float, float]:
    """Return the first share, and the interval that holds those of all."""
    shares, lows, highs = zip(*intervals, strict=True)
    return shares[0], float(np.fmin.reduce(lows)), float(np.fmax.reduce(highs))
