# SPDX-License-Identifier: BSD-3-Clause
"""Everything that trains, and the record that a training run leaves behind."""

from .architectures import MLP, VGG16, ConvNet, ResNet18
from .default import default_network
from .ensemble import ResampledEnsemble
from .losses import ZeroMarginHingeLoss
from .record import TrainingRecord
from .recorder import RecordTraining
from .trajectory import Trajectory, TrajectoryRecorder

__all__ = [
    "MLP",
    "VGG16",
    "ConvNet",
    "RecordTraining",
    "ResNet18",
    "ResampledEnsemble",
    "TrainingRecord",
    "Trajectory",
    "TrajectoryRecorder",
    "ZeroMarginHingeLoss",
    "default_network",
]
