# SPDX-License-Identifier: BSD-3-Clause
"""What a scorer may be given that was trained before."""

from __future__ import annotations

from sklearn.frozen import FrozenEstimator

from ..training.ensemble.resampled import ResampledEnsemble
from ..training.record import TrainingRecord

RECORD_TYPES = (TrainingRecord, FrozenEstimator)  # of a single training


TRAINED_TYPES = (*RECORD_TYPES, ResampledEnsemble)
