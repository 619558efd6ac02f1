# SPDX-License-Identifier: BSD-3-Clause
"""Everything that trains, and the record that a training run leaves behind."""

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from ..networks.losses import ScaledL1Loss, ZeroMarginHingeLoss
    from ..networks.published import VGG16, ResNet18
    from ..networks.small import MLP, ConvNet
    from ..networks.tables import TableMLP
    from .default import default_network
    from .ensemble.resampled import ResampledEnsemble
    from .record import TrainingRecord
    from .recorder import RecordTraining
    from .trajectory import Trajectory
    from .trajectory_recorder import TrajectoryRecorder
else:  # type checkers see the imports above
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "..networks.losses": ["ScaledL1Loss", "ZeroMarginHingeLoss"],
            "..networks.published": ["VGG16", "ResNet18"],
            "..networks.small": ["MLP", "ConvNet"],
            "..networks.tables": ["TableMLP"],
            ".default": ["default_network"],
            ".ensemble.resampled": ["ResampledEnsemble"],
            ".record": ["TrainingRecord"],
            ".recorder": ["RecordTraining"],
            ".trajectory": ["Trajectory"],
            ".trajectory_recorder": ["TrajectoryRecorder"],
        },
    )

__all__ = [
    "MLP",
    "VGG16",
    "ConvNet",
    "RecordTraining",
    "ResNet18",
    "ResampledEnsemble",
    "ScaledL1Loss",
    "TableMLP",
    "TrainingRecord",
    "Trajectory",
    "TrajectoryRecorder",
    "ZeroMarginHingeLoss",
    "default_network",
]
