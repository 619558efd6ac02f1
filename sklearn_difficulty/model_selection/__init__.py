# SPDX-License-Identifier: BSD-3-Clause
"""Difficulty out of fold, and scorers compared on your own data."""

from .benchmark import benchmark_scorers
from .cross_validation import cross_val_difficulty

__all__ = ["benchmark_scorers", "cross_val_difficulty"]
