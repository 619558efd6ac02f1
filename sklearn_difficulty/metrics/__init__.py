# SPDX-License-Identifier: BSD-3-Clause
"""How well a difficulty score finds rows that are known to be bad, and how to choose by that."""

from sklearn_difficulty.metrics.detection import (
    detection_report,
    error_rate_by_percentile,
    lift_at_k,
    precision_at_k,
    recall_at_precision,
)
from sklearn_difficulty.metrics.scoring import label_error_scoring

__all__ = [
    "detection_report",
    "error_rate_by_percentile",
    "label_error_scoring",
    "lift_at_k",
    "precision_at_k",
    "recall_at_precision",
]
