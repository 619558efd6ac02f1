# SPDX-License-Identifier: BSD-3-Clause
"""The one table of displays: a small picture of each, drawn from numbers that are easy to check."""

import numpy as np

from sklearn_difficulty.inspection import (
    DataMapDisplay,
    DetectionCurveDisplay,
    DifficultyDisplay,
    DifficultyQuadrantDisplay,
    ErrorRateDisplay,
    GradientMapDisplay,
    HardestRowsDisplay,
    InferenceCurveDisplay,
    LabelErrorMatrixDisplay,
    MemorizationTrajectoryDisplay,
    NoiseCutsDisplay,
    NormGradDisplay,
    ProbePathDisplay,
    ScorerComparisonDisplay,
    TrajectoryDisplay,
)

N = 60
ROW = np.arange(N)
Y = np.array(["cat", "dog", "eel"])[ROW % 3]
MARKED = ROW % 10 == 0
DIFFICULTY = (ROW * 7 % N) / 20 + MARKED
ERROR_PROBABILITY = np.where(MARKED, 0.95 - ROW / 200, (ROW % 7) / 20)
EPOCHS = np.arange(1, 7)[:, None]
PROBABILITY = np.where(MARKED, 0.05 + EPOCHS * ROW / 1000, 1 - np.exp(-EPOCHS * (ROW + 5) / 90))
DEPTHS = (ROW / N) ** 2, np.where(MARKED, 0.9 - ROW / 300, (ROW / N) ** 3)
IMAGES = ((ROW[:6, None, None] + 1) * np.add.outer(np.arange(8), np.arange(8))) % 11 / 10
PROBES = ["input", "layers.0", "layers.2", "softmax"]
VOTES = np.stack([np.roll(Y, 1), np.where(ROW % 4, Y, "cat"), np.where(ROW % 8, Y, "dog"), Y], 1)
KINDS = ["all", "constant", "increasing", "cap"]
SIZES_OF_NETS = {
    "category": np.repeat(KINDS, 3),
    "size": ["small", "medium", "large"] * 4,
    "n_rows": np.repeat([60, 42, 18, 0], 3),
    "share": np.repeat([1.0, 0.7, 0.3, 0.0], 3),
    "p_in": [0.7, 0.9, 0.99, 0.9, 0.95, 1.0, 0.3, 0.7, 1.0] + [np.nan] * 3,
    "p_out": [0.6, 0.7, 0.65, 0.85, 0.9, 0.9, 0.2, 0.2, 0.1] + [np.nan] * 3,
    "memorization": [0.1, 0.2, 0.34, 0.05, 0.05, 0.1, 0.1, 0.5, 0.9] + [np.nan] * 3,
    "p_in_se": [0.02] * 9 + [np.nan] * 3,
    "p_out_se": [0.03] * 9 + [np.nan] * 3,
    "memorization_se": [0.04] * 9 + [np.nan] * 3,
}

SCENES = {
    "difficulty": lambda **kw: DifficultyDisplay.from_predictions(
        DIFFICULTY, marked=MARKED, marked_name="wrong label", bins=12, **kw
    ),
    "difficulty by class": lambda **kw: DifficultyDisplay.from_predictions(
        DIFFICULTY, Y, marked=MARKED, kind="ecdf", **kw
    ),
    "data map": lambda **kw: DataMapDisplay(
        confidence=PROBABILITY.mean(axis=0),
        variability=PROBABILITY.std(axis=0),
        correctness=(PROBABILITY > 0.5).mean(axis=0),
        marked=MARKED,
    ).plot(**kw),
    "data map of many": lambda **kw: DataMapDisplay(
        confidence=np.tile(PROBABILITY.mean(axis=0), 100),
        variability=np.tile(PROBABILITY.std(axis=0), 100),
    ).plot(**kw),
    "trajectory": lambda **kw: TrajectoryDisplay.from_predictions(
        PROBABILITY, groups=np.where(MARKED, "wrong", "right"), rows=[3, -1], **kw
    ),
    "inference curve": lambda **kw: InferenceCurveDisplay.from_predictions(
        VOTES, Y, y_true=np.where(MARKED, "cow", Y), probe_names=PROBES, **kw
    ),
    "probe path": lambda **kw: ProbePathDisplay(
        predicted=["eel", "cat", "dog", "dog"],
        share=[0.4, 0.5, 0.8, 1.0],
        probe_names=PROBES,
        title="row 17, label dog",
    ).plot(**kw),
    "quadrants": lambda **kw: DifficultyQuadrantDisplay.from_predictions(
        *DEPTHS, thresholds=(0.4, 0.45), marked=MARKED, **kw
    ),
    "noise cuts": lambda **kw: NoiseCutsDisplay.from_predictions(
        ERROR_PROBABILITY, is_wrong=MARKED, **kw
    ),
    "label errors": lambda **kw: LabelErrorMatrixDisplay.from_predictions(
        Y, np.where(MARKED, np.roll(Y, 1), "dog"), suspect=MARKED | (ROW % 4 == 0), **kw
    ),
    "hardest rows": lambda **kw: HardestRowsDisplay.from_predictions(
        IMAGES, DIFFICULTY[:6], Y[:6], suggested=Y[1:7], y_true=Y[[1, 0, 3, 4, 1, 2]], **kw
    ),
    "hardest texts": lambda **kw: HardestRowsDisplay.from_predictions(
        [f"costs ${i} <b>and</b> $x_{i}$\nmore {'or less ' * i}" for i in range(6)],
        DIFFICULTY[:6],
        Y[:6],
        suggested=Y[[1, 1, 1, 3, 3, 3]],
        **kw,
    ),
    "detection curve": lambda **kw: DetectionCurveDisplay.from_predictions(
        MARKED, {"difficulty": DIFFICULTY, "row": -ROW, "constant": np.ones(N)}, **kw
    ),
    "error rate": lambda **kw: ErrorRateDisplay.from_predictions(
        DIFFICULTY, MARKED, bins=5, name="first", **kw
    ),
    "gradient map": lambda **kw: GradientMapDisplay(
        gradient_map=np.outer(np.arange(8), np.arange(8)) / 49, image=IMAGES[1], title="row 1"
    ).plot(**kw),
    "normgrad map": lambda **kw: NormGradDisplay(
        saliency_map=np.outer(np.arange(8), np.arange(8)) / 49, image=IMAGES[1], title="row 1"
    ).plot(**kw),
    "memorization": lambda **kw: MemorizationTrajectoryDisplay(summary=SIZES_OF_NETS).plot(**kw),
    "memorization by category": lambda **kw: MemorizationTrajectoryDisplay(
        summary=SIZES_OF_NETS, kind="categories", n_undefined=2
    ).plot(**kw),
    "scorer comparison": lambda **kw: ScorerComparisonDisplay(
        names=["aum", "VoG", "LabelErrorScorer"],
        quality=[0.9, 0.3, 0.95],
        seconds=[1.0, 2.5, 11.0],
        quality_error=[0.02, 0.05, 0.01],
    ).plot(**kw),
}
