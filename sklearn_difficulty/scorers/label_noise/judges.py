# SPDX-License-Identifier: BSD-3-Clause
"""Any classifier of scikit-learn as judge: what may be one, its training, and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import InvalidParameterError

from ..._progress import Task
from ..._warnings import warn_caller
from ...rows.labels import codes_of, encode_labels
from ...rows.rows import Rows
from .._cross_validated import CrossValidated, name_of
from .._judges import JudgeTraining, check_kind, is_cloneable, kind_of
from .._trained_source import Trained
from .precomputed import Probabilities, contradict_too_few


def check_classifier(scorer: Any) -> None:
    """Raise unless the estimator of a scorer, a judge, can say how likely a label is."""
    check_kind(scorer, "classifier")
    estimator, name = scorer.estimator, type(scorer).__name__
    if is_cloneable(estimator) and not hasattr(estimator, "predict_proba"):
        has_scores = hasattr(estimator, "decision_function")
        remedy = "Wrap it: sklearn.calibration.CalibratedClassifierCV(estimator)."
        is_classifier = has_scores or kind_of(estimator) == "classifier"
        raise InvalidParameterError(
            f"{name_of(estimator)} has no predict_proba"
            f"{', only a decision_function' if has_scores else ''}, and {name} asks how likely "
            f"labels are. {remedy if is_classifier else 'Pass a classifier.'}"
        )


@dataclass(frozen=True)
class ClassifierTraining(JudgeTraining):
    """Clones of a classifier, each trained on a part of the rows."""

    classes: NDArray[Any] | None  # what the scorer keeps of its fit

    def obtain(self, X: Rows, y: Any, view: Rows, groups: Any, progress: Task) -> Trained:
        """Return clones that were trained on parts of the rows, and the codes of the labels."""
        classes, targets = encode_labels(X.given_labels(y))
        strata = targets if self.scorer.stratify else None
        masks, seed = self._divide(X, len(targets), strata, groups)
        labels = classes[targets]
        judged = self._ask(X, labels, view, masks, seed, "predict_proba", progress)
        return Trained(self._attributes(judged) | {"classes_": classes}, targets)

    def targets(self, X: Rows, y: Any) -> NDArray[np.int64]:
        """Return label codes of rows."""
        assert self.classes is not None
        return codes_of(X.given_labels(y), self.classes)


class HeldOutByJudges:
    """Probabilities of clones of a classifier that did not see the row."""

    def __init__(self, judged: CrossValidated) -> None:
        self.judged = judged

    def of_training_rows(
        self, X: Rows, targets: NDArray[np.int64], progress: Task
    ) -> tuple[Probabilities, Probabilities]:
        """Return the mean over the clones that did not see a row, and know its class."""
        probabilities = self.judged.held_out
        known = ~np.isnan(probabilities.sum(axis=1))
        _warn_of_labels_given_away(probabilities[known], targets[known])
        return probabilities, probabilities

    def of_unseen_rows(self, X: Rows) -> Probabilities:
        """Return the mean over all clones."""
        return self.judged.predict(X.data)


def _warn_of_labels_given_away(probabilities: Probabilities, codes: NDArray[np.int64]) -> None:
    """Warn if a judge that has not seen the labels knows nearly all of them."""
    agrees = probabilities.argmax(axis=1) == codes
    if contradict_too_few(agrees):
        warn_caller(
            f"Clones that were not trained on a row contradict {(~agrees).sum()} of {len(agrees)} "
            "given labels. Does a column of X, or a part of the estimator that was fitted before "
            "(FrozenEstimator), give labels away? If not, there is next to nothing to find."
        )
