# SPDX-License-Identifier: BSD-3-Clause
"""What TargetErrorScorer says of the errors, by column and by row."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from ..._warnings import warn_caller
from ...measures.cuts import noise_cuts
from ...measures.target_noise import MOST_BELIEVED, TargetNoise, TargetNoiseModel, fit_target_noise

Floats = NDArray[np.float64]

_MOST_TIED = 1 / 3  # of the targets that may be one and the same
_FEW_ROWS = 20  # of which a third may be the same by chance


class Errors(NamedTuple):
    """Wrong targets of known rows, column by column and by row."""

    columns: list[TargetNoise]
    models: list[TargetNoiseModel]

    @classmethod
    def of(cls, targets: Floats, predictions: Floats, scale: Any, coverage: float) -> Errors:
        """Return the errors of targets (n, n_outputs)."""
        pairs = [
            fit_target_noise(y, f, scale=scale, coverage=coverage)
            for y, f in zip(targets.T, predictions.T, strict=True)
        ]
        return cls([noise for noise, _ in pairs], [model for _, model in pairs])

    def log_odds(self, targets: Floats, predictions: Floats) -> Floats:
        """Return the log odds (n,) that a target of a row is wrong, whichever."""
        triples = zip(self.models, targets.T, predictions.T, strict=True)
        return log_odds_of_any([model.log_odds(y, f) for model, y, f in triples])

    def relative_width(self, predictions: Floats) -> Floats:
        """Return how wide the honest spread is (n,), in [0, 1), 0.5 where it is usual."""
        widths = []
        for noise, model, f in zip(self.columns, self.models, predictions.T, strict=True):
            width = model.shape.width(f)
            widths.append(width / (width + np.median(noise.scale)))
        return np.mean(widths, axis=0)


def log_odds_of_any(log_odds: list[Floats]) -> Floats:
    """Return the log odds that any of independent errors is there."""
    if len(log_odds) == 1:
        return log_odds[0]
    total = np.logaddexp(0, log_odds).sum(axis=0)  # minus the log probability of none
    with np.errstate(divide="ignore"):
        return np.maximum(total + np.log(-np.expm1(-total)), -1e6)


def warn_of_doubt(targets: Floats, noises: list[TargetNoise]) -> None:
    """Warn where columns of targets (n, n_outputs) are such that rates are not to be believed."""
    for j, (y, noise) in enumerate(zip(targets.T, noises, strict=True)):
        of_column = f" of column {j}" if len(noises) > 1 else ""
        if noise.noise_rate > MOST_BELIEVED:
            warn_caller(
                f"{noise.noise_rate:.0%} of the targets{of_column} look wrong. Most likely the "
                "predictions tell next to nothing about them: take a better judge, or features "
                "that have to do with the target, before you drop any."
            )
        values, counts = np.unique(y, return_counts=True)
        share = counts.max() / len(y)
        if len(y) >= _FEW_ROWS and 1 > share > _MOST_TIED:
            warn_caller(
                f"{share:.0%} of the targets{of_column} are {values[counts.argmax()]:g}. Right "
                "targets then have no single spread around the predictions, and too many look "
                "wrong. Judge the other rows by themselves, and by LabelErrorScorer which of all "
                "have this value."
            )


class TellsTargetNoise:
    """The part of a scorer that keeps what is known of wrong targets."""

    suggested_target_: Floats
    _given: Floats

    def _keep_errors(
        self, errors: Errors, known: NDArray[np.bool_], targets: Floats, predictions: Floats
    ) -> Floats:
        """Set the attributes that tell of the errors, and return the log odds (n,), or NaN.

        `targets` are of all rows, and `predictions` (n, n_outputs).
        """
        n, noises = len(targets), errors.columns
        columns = targets.reshape(n, -1)
        log_odds = np.full(n, np.nan)
        log_odds[known] = errors.log_odds(columns[known], predictions[known])
        bounds = [noise.error_probability_bounds for noise in noises]
        of_rows = 1 - np.prod([1 - of_column for of_column in bounds], axis=0)
        self.error_probability_ = expit(log_odds)
        self.noise_rate_ = float(self.error_probability_[known].mean())
        intervals = np.array([noise.noise_rate_interval for noise in noises])
        # Errors of the columns may all be in the same rows, or all in others.
        self.noise_rate_interval_ = (
            float(intervals[:, 0].max()),
            min(1.0, float(intervals[:, 1].sum())),
        )
        self.cuts_ = noise_cuts(self.error_probability_[known], of_rows.clip(0, 1))
        self.column_noise_rate_ = np.array([noise.noise_rate for noise in noises])
        self.column_error_probability_ = np.full(columns.shape, np.nan)
        scaled, widths = (np.full(columns.shape, np.nan) for _ in range(2))
        suggested, interval = columns.copy(), np.full((*columns.shape, 2), np.nan)
        for j, noise in enumerate(noises):
            self.column_error_probability_[known, j] = noise.error_probability
            scaled[known, j], widths[known, j] = noise.scaled_residual, noise.scale
            suggested[known, j], interval[known, j] = noise.suggested, noise.suggested_interval
        self.scaled_residual_ = scaled.reshape(targets.shape)
        self.residual_scale_ = widths.reshape(targets.shape)
        self.predictions_ = predictions.reshape(targets.shape)
        self.suggested_target_ = suggested.reshape(targets.shape)
        self.suggested_target_interval_ = interval.reshape(*targets.shape, 2)
        return log_odds

    def _beside_each_other(self, rows: NDArray[np.intp]) -> dict[str, NDArray[Any]]:
        """Return what some rows were given, and what is suggested in its place."""
        pairs = {"given": self._given[rows], "suggested": self.suggested_target_[rows]}
        if self._given.ndim == 1:
            return pairs
        return {
            f"{name}_{j}": values[:, j]
            for j in range(self._given.shape[1])
            for name, values in pairs.items()
        }
