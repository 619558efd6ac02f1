# SPDX-License-Identifier: BSD-3-Clause
"""Any classifier of scikit-learn as judge: what may be one, its training, and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils import get_tags
from sklearn.utils._param_validation import InvalidParameterError

from ..._progress import Task
from ..._randomness import draw_seed
from ..._warnings import warn_caller
from ...rows.copies import warn_of_divided_copies
from ...rows.labels import codes_of, encode_labels
from ...rows.rows import Rows
from ...training.ensemble.splits import draw_masks
from ...training.record import TrainingRecord
from ...training.skorch_net import NET_TYPES
from .._cross_validated import CrossValidated, cross_validate, name_of
from .._trained_source import Trained, is_trained
from .precomputed import Probabilities, contradict_too_few

_NEEDS_A_NETWORK = {
    "one_fit": "the epochs of a network's training",
    "neighbors": "the layers of a network",
}
_OF_NETWORKS = ("cache_dir", "cache_key")  # what would be ignored, and cost time or trust


def is_judge(estimator: Any) -> bool:
    """Tell whether an estimator is one of scikit-learn's kind, and not a network or its record."""
    is_network = isinstance(estimator, (type(None), str, TrainingRecord, *NET_TYPES))
    return not is_network and not is_trained(estimator)


def check_judge(scorer: Any) -> None:
    """Raise unless the estimator of a scorer, a judge, can say how likely a label is."""
    estimator, name = scorer.estimator, type(scorer).__name__
    if isinstance(estimator, type):
        raise InvalidParameterError(
            f"The 'estimator' parameter of {name} is the class {estimator.__name__}; pass an "
            f"instance, such as {estimator.__name__}()."
        )
    if not all(hasattr(estimator, method) for method in ("fit", "get_params", "set_params")):
        return  # the message of scikit-learn says what is taken
    judge = name_of(estimator)
    kind = get_tags(estimator).estimator_type if hasattr(estimator, "__sklearn_tags__") else None
    if kind not in ("classifier", None):
        raise InvalidParameterError(
            f"The 'estimator' parameter of {name} must be a classifier; {judge} is a {kind}."
        )
    if not hasattr(estimator, "predict_proba"):
        has_scores = hasattr(estimator, "decision_function")
        remedy = "Wrap it: sklearn.calibration.CalibratedClassifierCV(estimator)."
        raise InvalidParameterError(
            f"{judge} has no predict_proba{', only a decision_function' if has_scores else ''}, "
            f"and {name} asks how likely labels are. "
            f"{remedy if has_scores or kind == 'classifier' else 'Pass a classifier.'}"
        )


def refuse_methods_of_networks(method: str, judge: Any) -> None:
    """Raise for a method that reads what a classifier other than a network does not have."""
    if method in _NEEDS_A_NETWORK:
        raise ValueError(
            f"method={method!r} reads {_NEEDS_A_NETWORK[method]}, and {name_of(judge)} has none. "
            "Set method='auto', which asks about rows that a clone did not see, or pass a skorch "
            "net."
        )


@dataclass(frozen=True)
class JudgeTraining:
    """Clones of a classifier, each trained on a part of the rows; rows are as they were given."""

    scorer: Any  # with the parameters of those who train ensembles
    classes: NDArray[Any] | None  # what the scorer keeps of its fit

    reads_rows = False  # X is not a Dataset, whose items could differ between two reads
    collate_fn = None
    columns = None  # X is not looked into

    @property
    def scores_unseen_rows(self) -> bool:
        """Whether clones can be asked about other rows: if they are kept."""
        return bool(self.scorer.keep_members)

    def obtain(self, X: Rows, y: Any, view: Rows, groups: Any, progress: Task) -> Trained:
        """Return clones that were trained on parts of the rows, and the codes of the labels."""
        scorer = self.scorer
        for parameter in _OF_NETWORKS:
            if getattr(scorer, parameter) is not None:
                raise ValueError(
                    f"{parameter} is of networks, and {name_of(scorer.estimator)} is none. Leave "
                    "it out; the memory of FilteredClassifier keeps fitted scorers, that of a "
                    "Pipeline its steps."
                )
        classes, targets = encode_labels(X.given_labels(y))
        split_seed, seed = np.random.SeedSequence(draw_seed(scorer.random_state)).generate_state(2)
        masks = draw_masks(
            len(targets),
            scorer.n_members,
            scorer.train_size,
            strata=targets if scorer.stratify else None,
            groups=groups,
            seed=int(split_seed),
        )
        if groups is None:
            warn_of_divided_copies(X, masks)
        judged = cross_validate(
            scorer.estimator,
            X.data,
            classes[targets],
            masks,
            method="predict_proba",
            seed=int(seed),
            view=view.data,
            n_jobs=scorer.n_jobs,
            keep_models=scorer.keep_members,
            verbose=scorer.verbose,
            progress=progress,
        )
        kept = {"estimator_": clone(scorer.estimator), "classes_": classes, "_judged": judged}
        return Trained(kept | ({"estimators_": judged.models} if judged.models else {}), targets)

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
