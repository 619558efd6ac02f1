# SPDX-License-Identifier: BSD-3-Clause
"""One public scorer per file: a record, a reader and a measure behind fit and transform."""

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from .consistency import ConsistencyScorer
    from .cost.estimate import CostEstimate
    from .difficulty import DifficultyScorer
    from .forgetting_under_perturbation import ForgettingUnderPerturbationScorer
    from .label_error import LabelErrorScorer
    from .margin import MarginScorer
    from .memorization import MemorizationScorer
    from .neighbor_confidence import NeighborConfidenceScorer
    from .normgrad import NormGradScorer
    from .prediction_depth import PredictionDepthScorer
    from .quadrants import DifficultyQuadrantClassifier
    from .target_error import TargetErrorScorer
    from .training_dynamics import TrainingDynamicsScorer
    from .vog import VoGScorer
else:  # type checkers see the imports above
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            ".consistency": ["ConsistencyScorer"],
            ".cost.estimate": ["CostEstimate"],
            ".difficulty": ["DifficultyScorer"],
            ".forgetting_under_perturbation": ["ForgettingUnderPerturbationScorer"],
            ".label_error": ["LabelErrorScorer"],
            ".margin": ["MarginScorer"],
            ".memorization": ["MemorizationScorer"],
            ".neighbor_confidence": ["NeighborConfidenceScorer"],
            ".normgrad": ["NormGradScorer"],
            ".prediction_depth": ["PredictionDepthScorer"],
            ".quadrants": ["DifficultyQuadrantClassifier"],
            ".target_error": ["TargetErrorScorer"],
            ".training_dynamics": ["TrainingDynamicsScorer"],
            ".vog": ["VoGScorer"],
        },
    )

__all__ = [
    "ConsistencyScorer",
    "CostEstimate",
    "DifficultyQuadrantClassifier",
    "DifficultyScorer",
    "ForgettingUnderPerturbationScorer",
    "LabelErrorScorer",
    "MarginScorer",
    "MemorizationScorer",
    "NeighborConfidenceScorer",
    "NormGradScorer",
    "PredictionDepthScorer",
    "TargetErrorScorer",
    "TrainingDynamicsScorer",
    "VoGScorer",
]
