# SPDX-License-Identifier: BSD-3-Clause
"""Acting on difficulty: which kind of hard a row is, and what to do about it."""

from .filtered import FilteredClassifier, FilteredRegressor
from .filtering import DifficultyFilter
from .quadrants import DifficultyQuadrantClassifier

__all__ = [
    "DifficultyFilter",
    "DifficultyQuadrantClassifier",
    "FilteredClassifier",
    "FilteredRegressor",
]
