# SPDX-License-Identifier: BSD-3-Clause
"""Difficulty out of fold, scorers compared on your own data, and sizes of networks compared."""

from .benchmark import benchmark_scorers
from .cross_validation import cross_val_difficulty
from .size_curve import MemorizationTrajectory

__all__ = ["MemorizationTrajectory", "benchmark_scorers", "cross_val_difficulty"]
