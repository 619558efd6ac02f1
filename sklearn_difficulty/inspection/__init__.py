# SPDX-License-Identifier: BSD-3-Clause
"""Pictures of what scorers say, and reviews. matplotlib is imported only to draw something."""

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from .displays.data_map import DataMapDisplay
    from .displays.detection_curve import DetectionCurveDisplay
    from .displays.difficulty import DifficultyDisplay
    from .displays.error_rate import ErrorRateDisplay
    from .displays.gradient_map import GradientMapDisplay
    from .displays.hardest_rows import HardestRowsDisplay
    from .displays.inference_curve import InferenceCurveDisplay
    from .displays.label_error_matrix import LabelErrorMatrixDisplay
    from .displays.memorization_trajectory import MemorizationTrajectoryDisplay
    from .displays.noise_cuts import NoiseCutsDisplay
    from .displays.normgrad import NormGradDisplay
    from .displays.probe_path import ProbePathDisplay
    from .displays.quadrants import DifficultyQuadrantDisplay
    from .displays.scorer_comparison import ScorerComparisonDisplay
    from .displays.trajectory import TrajectoryDisplay
    from .review import Review, read_review
    from .review_page.page import ReviewPage
else:  # type checkers see the imports above
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            ".displays.data_map": ["DataMapDisplay"],
            ".displays.detection_curve": ["DetectionCurveDisplay"],
            ".displays.difficulty": ["DifficultyDisplay"],
            ".displays.error_rate": ["ErrorRateDisplay"],
            ".displays.gradient_map": ["GradientMapDisplay"],
            ".displays.hardest_rows": ["HardestRowsDisplay"],
            ".displays.inference_curve": ["InferenceCurveDisplay"],
            ".displays.label_error_matrix": ["LabelErrorMatrixDisplay"],
            ".displays.memorization_trajectory": ["MemorizationTrajectoryDisplay"],
            ".displays.noise_cuts": ["NoiseCutsDisplay"],
            ".displays.normgrad": ["NormGradDisplay"],
            ".displays.probe_path": ["ProbePathDisplay"],
            ".displays.quadrants": ["DifficultyQuadrantDisplay"],
            ".displays.scorer_comparison": ["ScorerComparisonDisplay"],
            ".displays.trajectory": ["TrajectoryDisplay"],
            ".review": ["Review", "read_review"],
            ".review_page.page": ["ReviewPage"],
        },
    )

__all__ = [
    "DataMapDisplay",
    "DetectionCurveDisplay",
    "DifficultyDisplay",
    "DifficultyQuadrantDisplay",
    "ErrorRateDisplay",
    "GradientMapDisplay",
    "HardestRowsDisplay",
    "InferenceCurveDisplay",
    "LabelErrorMatrixDisplay",
    "MemorizationTrajectoryDisplay",
    "NoiseCutsDisplay",
    "NormGradDisplay",
    "ProbePathDisplay",
    "Review",
    "ReviewPage",
    "ScorerComparisonDisplay",
    "TrajectoryDisplay",
    "read_review",
]
