# SPDX-License-Identifier: BSD-3-Clause
"""A frame of scores in place of a fitted scorer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from .._arrays import as_floats


class ScoreFrame(BaseEstimator):
    """What a scorer would say that had found the scores of a frame, the first its difficulty."""

    def __init__(self, frame: Any) -> None:
        self.frame = frame
        names = [str(name) for name in frame.columns]
        if not names:
            raise ValueError("A frame of scores needs a column: the first is the difficulty.")
        columns = [
            as_floats(frame.iloc[:, i] if hasattr(frame, "iloc") else frame[name], f"Column {name}")
            for i, name in enumerate(names)
        ]
        self.score_names_: NDArray[Any] = np.array(names, dtype=object)
        self.difficulties_ = np.stack(columns, axis=1)
        self.difficulty_ = self.difficulties_[:, 0]

    def fit(self, X: Any, y: Any = None) -> ScoreFrame:
        """Do nothing: the scores are there."""
        return self


def as_scorer(scorer: Any) -> Any:
    """Return a scorer, also in place of a frame of scores."""
    return ScoreFrame(scorer) if hasattr(scorer, "columns") else scorer
