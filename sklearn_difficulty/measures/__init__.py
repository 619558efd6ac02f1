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
from .fragments import (
    fragment_edges,
    fragment_prior,
    neighborhood_agreement,
    selection_probability,
)
from .memorization import high_influence_pairs, influence, memorization
from .regression import (
    error_residual_ratio,
    local_scale,
    mean_relative_absolute_error,
    residual_statistics,
    selection_rate,
)
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
    "error_residual_ratio",
    "estimate_label_noise",
    "estimate_target_noise",
    "forgetting_events",
    "fragment_edges",
    "fragment_prior",
    "group_statistics",
    "high_influence_pairs",
    "influence",
    "input_margin",
    "iteration_learned",
    "local_scale",
    "mean_correctness",
    "mean_over_epochs",
    "mean_relative_absolute_error",
    "memorization",
    "neighborhood_agreement",
    "noise_cuts",
    "otsu_threshold",
    "output_margin",
    "prediction_depth",
    "residual_statistics",
    "review_plan",
    "saliency_map",
    "selection_probability",
    "selection_rate",
    "standardize",
    "variability",
    "variance_of_gradients",
]
