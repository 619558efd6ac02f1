# SPDX-License-Identifier: BSD-3-Clause
"""How hard is each example, and why: scikit-learn estimators around a torch network."""

from typing import TYPE_CHECKING

from ._lazy import lazy_names

if TYPE_CHECKING:
    from .curation import (
        ConFragRegressor,
        ConFragSelector,
        DifficultyFilter,
        FilteredClassifier,
        FilteredRegressor,
    )
    from .scorers import (
        ConsistencyScorer,
        CostEstimate,
        DifficultyQuadrantClassifier,
        DifficultyScorer,
        ForgettingUnderPerturbationScorer,
        LabelErrorScorer,
        MarginScorer,
        MemorizationScorer,
        NeighborConfidenceScorer,
        NormGradScorer,
        PredictionDepthScorer,
        TargetErrorScorer,
        TrainingDynamicsScorer,
        VoGScorer,
    )
    from .training import DistilledClassifier, TrainingRecord
else:  # type checkers see the imports above
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            ".curation": [
                "ConFragRegressor",
                "ConFragSelector",
                "DifficultyFilter",
                "FilteredClassifier",
                "FilteredRegressor",
            ],
            ".scorers": [
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
            ],
            ".training": ["DistilledClassifier", "TrainingRecord"],
        },
    )

__version__ = "0.1.0.dev0"

__all__ = [
    "ConFragRegressor",
    "ConFragSelector",
    "ConsistencyScorer",
    "CostEstimate",
    "DifficultyFilter",
    "DifficultyQuadrantClassifier",
    "DifficultyScorer",
    "DistilledClassifier",
    "FilteredClassifier",
    "FilteredRegressor",
    "ForgettingUnderPerturbationScorer",
    "LabelErrorScorer",
    "MarginScorer",
    "MemorizationScorer",
    "NeighborConfidenceScorer",
    "NormGradScorer",
    "PredictionDepthScorer",
    "TargetErrorScorer",
    "TrainingDynamicsScorer",
    "TrainingRecord",
    "VoGScorer",
    "__version__",
]
