# SPDX-License-Identifier: BSD-3-Clause
"""One public scorer per file: a record, a reader and a measure behind fit and transform."""

from .consistency import ConsistencyScorer
from .difficulty import DifficultyScorer
from .label_error import LabelErrorScorer
from .margin import MarginScorer
from .memorization import MemorizationScorer
from .neighbor_confidence import NeighborConfidenceScorer
from .prediction_depth import PredictionDepthScorer
from .quadrants import DifficultyQuadrantClassifier
from .training_dynamics import TrainingDynamicsScorer
from .vog import VoGScorer

__all__ = [
    "ConsistencyScorer",
    "DifficultyQuadrantClassifier",
    "DifficultyScorer",
    "LabelErrorScorer",
    "MarginScorer",
    "MemorizationScorer",
    "NeighborConfidenceScorer",
    "PredictionDepthScorer",
    "TrainingDynamicsScorer",
    "VoGScorer",
]
