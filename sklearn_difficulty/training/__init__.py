# SPDX-License-Identifier: BSD-3-Clause
"""Everything that trains, and the record that a training run leaves behind."""

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from ..networks.losses import ZeroMarginHingeLoss
    from ..networks.published import VGG16, ResNet18
    from ..networks.small import MLP, ConvNet
    from .default import default_network
    from .distillation import DistilledClassifier
    from .ensemble.resampled import ResampledEnsemble
    from .record import TrainingRecord
    from .recorder import RecordTraining
    from .schedules.annealing import SimulatedAnnealingEarlyLayers
    from .schedules.forgetting import LaterLayerForgetting
    from .trajectory import Trajectory
    from .trajectory_recorder import TrajectoryRecorder
else:  # type checkers see the imports above
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "..networks.losses": ["ZeroMarginHingeLoss"],
            "..networks.published": ["VGG16", "ResNet18"],
            "..networks.small": ["MLP", "ConvNet"],
            ".default": ["default_network"],
            ".distillation": ["DistilledClassifier"],
            ".ensemble.resampled": ["ResampledEnsemble"],
            ".record": ["TrainingRecord"],
            ".recorder": ["RecordTraining"],
            ".schedules.annealing": ["SimulatedAnnealingEarlyLayers"],
            ".schedules.forgetting": ["LaterLayerForgetting"],
            ".trajectory": ["Trajectory"],
            ".trajectory_recorder": ["TrajectoryRecorder"],
        },
    )

__all__ = [
    "MLP",
    "VGG16",
    "ConvNet",
    "DistilledClassifier",
    "LaterLayerForgetting",
    "RecordTraining",
    "ResNet18",
    "ResampledEnsemble",
    "SimulatedAnnealingEarlyLayers",
    "TrainingRecord",
    "Trajectory",
    "TrajectoryRecorder",
    "ZeroMarginHingeLoss",
    "default_network",
]
