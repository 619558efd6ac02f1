# SPDX-License-Identifier: BSD-3-Clause
"""Difficulty as pure functions of arrays: no network, no training, no estimator."""

from sklearn_difficulty.measures.depth import prediction_depth
from sklearn_difficulty.measures.dynamics import (
    aleatoric_uncertainty,
    epoch_statistics,
    forgetting_events,
    iteration_learned,
    mean_correctness,
    mean_over_epochs,
    variability,
)
from sklearn_difficulty.measures.gradients import variance_of_gradients
from sklearn_difficulty.measures.margins import input_margin, output_margin
from sklearn_difficulty.measures.normalization import group_statistics, standardize

__all__ = [
    "aleatoric_uncertainty",
    "epoch_statistics",
    "forgetting_events",
    "group_statistics",
    "input_margin",
    "iteration_learned",
    "mean_correctness",
    "mean_over_epochs",
    "output_margin",
    "prediction_depth",
    "standardize",
    "variability",
    "variance_of_gradients",
]
