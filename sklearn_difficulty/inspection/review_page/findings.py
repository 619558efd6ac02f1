# SPDX-License-Identifier: BSD-3-Clause
"""What a fitted scorer says of its rows, as far as it says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from ..._arrays import as_labels
from ...rows.labels import codes_of
from ..displays._fitted import difference, given_labels

_SHOWN_APART = ("difficulty_", "error_probability_", "suggested_label_confidence_")


@dataclass(frozen=True)
class Findings:
    """Labels, scores and suggestions, row by row; None for what the scorer does not have."""

    classes: NDArray[Any]
    given: NDArray[np.int64]
    difficulty: NDArray[np.float64]
    scores: dict[str, NDArray[np.float64]]  # those that have no place of their own
    error: NDArray[np.float64] | None
    suggested: NDArray[np.int64] | None
    confidence: NDArray[np.float64] | None
    probabilities: NDArray[Any] | None
    label_probability: NDArray[Any] | None  # (n_epochs, n), of the given label
    quadrant: NDArray[np.int64] | None
    quadrant_names: list[str]
    rate: float | None
    rate_interval: tuple[float, float] | None
    cuts: NDArray[Any] | None

    @property
    def order(self) -> NDArray[np.int64]:
        """Return the rows, hardest first, undefined ones last."""
        return np.argsort(-self.difficulty, kind="stable")

    def sentences(self) -> list[str]:
        """Say in words what was found."""
        n = len(self.given)
        said = [f"{n:,} rows of {len(self.classes)} classes."]
        if self.rate is None or self.rate_interval is None:
            said.append(
                "The order says which rows to look at first; how many labels are wrong is unknown."
            )
            return said
        low, high = self.rate_interval
        said.append(
            f"About {self.rate:.1%} of the labels are wrong; it may be {low:.1%} to {high:.1%}."
        )
        for cut in () if self.cuts is None else self.cuts:
            if cut["cut"] != 0.5 or not cut["n_dropped"]:
                continue
            said.append(
                f"Of the {cut['n_dropped']:,} rows with an error probability above 0.5, expect "
                f"{cut['precision']:.0%} ({cut['precision_low']:.0%} to "
                f"{cut['precision_high']:.0%}) to be wrong; they hold {cut['recall']:.0%} of all "
                "wrong labels."
            )
        return said


def findings_of(scorer: Any, X: Any, y: Any) -> Findings:
    """Return what a scorer says of the rows that it was fitted on, after checking them."""
    check_is_fitted(scorer)
    if getattr(scorer, "difficulty_", None) is None:
        raise ValueError(
            "ReviewPage needs a fitted scorer with difficulty_, such as LabelErrorScorer; "
            f"{type(scorer).__name__} has none."
        )
    if getattr(scorer, "classes_", ()) is None:
        raise ValueError(
            f"This {type(scorer).__name__} was fitted with a regressor, and a page reviews classes."
        )
    differs = difference(scorer, X, y)
    if differs is not None:
        raise ValueError(
            "ReviewPage shows the rows that the scorer was fitted on, with the labels of that fit, "
            f"and these are not ({differs}). Pass those; what is to be seen of them goes into show."
        )
    difficulty = np.asarray(scorer.difficulty_, dtype=np.float64)
    labels = as_labels(given_labels(scorer, X, y))
    if len(labels) != len(difficulty):
        raise ValueError(f"y has {len(labels)} labels, and there are {len(difficulty)} rows.")
    classes = getattr(scorer, "classes_", None)
    if classes is None:
        classes = np.unique(labels)
    suggested = getattr(scorer, "suggested_label_", None)
    names = getattr(scorer, "quadrant_names_", None)
    interval = getattr(scorer, "noise_rate_interval_", None)
    has_error = getattr(scorer, "error_probability_", None) is not None
    return Findings(
        classes=np.asarray(classes),
        given=codes_of(labels, classes),
        difficulty=difficulty,
        scores=_other_scores(scorer, len(difficulty)),
        error=_floats(scorer, "error_probability_"),
        suggested=None if suggested is None else codes_of(suggested, classes),
        confidence=_floats(scorer, "suggested_label_confidence_"),
        probabilities=getattr(scorer, "probabilities_", None),
        label_probability=_label_probability(scorer),
        quadrant=getattr(scorer, "difficulty_quadrant_", None),
        quadrant_names=[] if names is None else [str(name).replace("_", " ") for name in names],
        rate=getattr(scorer, "noise_rate_", None) if has_error else None,
        rate_interval=interval if has_error else None,
        cuts=getattr(scorer, "cuts_", None),
    )


def _floats(scorer: Any, name: str) -> NDArray[np.float64] | None:
    """Return an attribute as numbers, None if there is none."""
    values = getattr(scorer, name, None)
    return None if values is None else np.asarray(values, dtype=np.float64)


def _other_scores(scorer: Any, n: int) -> dict[str, NDArray[np.float64]]:
    """Return every number per row that a scorer keeps, by its name in words."""
    scores = {}
    for name, value in vars(scorer).items():
        is_score = isinstance(value, np.ndarray) and value.shape == (n,) and value.dtype.kind == "f"
        if is_score and name.endswith("_") and name[0] != "_" and name not in _SHOWN_APART:
            scores[name.strip("_").replace("_", " ")] = value
    several = getattr(scorer, "difficulties_", None)
    if several is not None:
        scores.update(zip(map(str, scorer.score_names_), np.asarray(several).T, strict=True))
    return scores


def _label_probability(scorer: Any) -> NDArray[Any] | None:
    """Return the probability of the given label by epoch, if a single training was recorded."""
    trajectory = getattr(getattr(scorer, "record_", None), "trajectory", None)
    if trajectory is None or trajectory.n_epochs < 2:
        return None
    probability: NDArray[Any] = trajectory.probability
    return probability
