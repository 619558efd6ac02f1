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
from sklearn_difficulty.measures.label_noise import estimate_label_noise
from sklearn_difficulty.measures.margins import input_margin, output_margin
from sklearn_difficulty.measures.normalization import group_statistics, standardize
from sklearn_difficulty.measures.quadrants import (
    corner_distances,
    difficulty_quadrants,
    otsu_threshold,
)

from .consistency import consensus_class, consensus_consistency, consistency_score
from .cuts import noise_cuts
from .memorization import high_influence_pairs, influence, memorization
from .review import calibrate_with_review, review_plan
from .saliency import combine_saliency_maps, saliency_map
from .target_noise import estimate_target_noise

__all__ = [
    "aleatoric_uncertainty",
    "calibrate_with_review",
    "combine_saliency_maps",
    "consensus_class",
    "consensus_consistency",
    "consistency_score",
    "corner_distances",
    "difficulty_quadrants",
    "epoch_statistics",
    "estimate_label_noise",
    "estimate_target_noise",
    "forgetting_events",
    "group_statistics",
    "high_influence_pairs",
    "influence",
    "input_margin",
    "iteration_learned",
    "mean_correctness",
    "mean_over_epochs",
    "memorization",
    "noise_cuts",
    "otsu_threshold",
    "output_margin",
    "prediction_depth",
    "review_plan",
    "saliency_map",
    "standardize",
    "variability",
    "variance_of_gradients",
]
