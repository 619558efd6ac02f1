# SPDX-License-Identifier: BSD-3-Clause
"""Acting on difficulty: train without the rows that a scorer suspects, or with other labels."""

from .confrag import ConFragSelector
from .confrag_regressor import ConFragRegressor
from .difficulty_filter import DifficultyFilter
from .filtered_classifier import FilteredClassifier
from .filtered_regressor import FilteredRegressor

__all__ = [
    "ConFragRegressor",
    "ConFragSelector",
    "DifficultyFilter",
    "FilteredClassifier",
    "FilteredRegressor",
]
