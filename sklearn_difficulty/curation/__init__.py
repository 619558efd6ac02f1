# SPDX-License-Identifier: BSD-3-Clause
"""Acting on difficulty: which kind of hard a row is, and what to do about it."""

from .filtered_classifier import FilteredClassifier
from .filtered_regressor import FilteredRegressor
from .filtering import DifficultyFilter
from .quadrants import DifficultyQuadrantClassifier

__all__ = [
    "DifficultyFilter",
    "DifficultyQuadrantClassifier",
    "FilteredClassifier",
    "FilteredRegressor",
]
