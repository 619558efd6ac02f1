# SPDX-License-Identifier: BSD-3-Clause
"""How hard is each example, and why: scikit-learn estimators around a torch network."""

from .curation import DifficultyFilter, FilteredClassifier, FilteredRegressor
from .scorers import (
    ConsistencyScorer,
    DifficultyQuadrantClassifier,
    DifficultyScorer,
    LabelErrorScorer,
    MarginScorer,
    MemorizationScorer,
    NeighborConfidenceScorer,
    PredictionDepthScorer,
    TrainingDynamicsScorer,
    VoGScorer,
)
from .training import TrainingRecord

__version__ = "0.1.0.dev0"

__all__ = [
    "ConsistencyScorer",
    "DifficultyFilter",
    "DifficultyQuadrantClassifier",
    "DifficultyScorer",
    "FilteredClassifier",
    "FilteredRegressor",
    "LabelErrorScorer",
    "MarginScorer",
    "MemorizationScorer",
    "NeighborConfidenceScorer",
    "PredictionDepthScorer",
    "TrainingDynamicsScorer",
    "TrainingRecord",
    "VoGScorer",
    "__version__",
]
