# SPDX-License-Identifier: BSD-3-Clause
"""Difficulty as pure functions of arrays: no network, no training, no estimator."""

from sklearn_difficulty.measures.gradients import variance_of_gradients
from sklearn_difficulty.measures.normalization import group_statistics, standardize

__all__ = ["group_statistics", "standardize", "variance_of_gradients"]
