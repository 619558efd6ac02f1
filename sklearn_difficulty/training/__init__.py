# SPDX-License-Identifier: BSD-3-Clause
"""Everything that trains, and the record that a training run leaves behind."""

from .architectures import MLP, ConvNet, default_network
from .record import TrainingRecord
from .recorder import RecordTraining

__all__ = ["MLP", "ConvNet", "RecordTraining", "TrainingRecord", "default_network"]
