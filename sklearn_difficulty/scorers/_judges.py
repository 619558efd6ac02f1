# SPDX-License-Identifier: BSD-3-Clause
"""Any estimator of scikit-learn as judge: what may be one, and the training of its clones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils import get_tags
from sklearn.utils._param_validation import InvalidParameterError

from .._progress import Task
from .._randomness import draw_seed
from ..rows.copies import warn_of_divided_copies
from ..rows.rows import Rows
from ..training.ensemble.splits import draw_masks
from ..training.record import TrainingRecord
from ..training.skorch_net import NET_TYPES
from ._cross_validated import CrossValidated, Method, cross_validate, name_of
from ._trained_source import is_trained

_NEEDS_A_NETWORK = {
    "one_fit": "the epochs of a network's training",
    "neighbors": "the layers of a network",
}
_OF_NETWORKS = ("cache_dir", "cache_key")  # what would be ignored, and cost time or trust


def is_judge(estimator: Any) -> bool:
    """Tell whether an estimator is one of scikit-learn's kind, and not a network or its record."""
    is_network = isinstance(estimator, (type(None), str, TrainingRecord, *NET_TYPES))
    return not is_network and not is_trained(estimator)


def check_kind(scorer: Any, kind: str) -> None:
    """Raise if the estimator of a scorer is a class, or of another kind than it asks."""
    estimator, name = scorer.estimator, type(scorer).__name__
    if isinstance(estimator, type):
        raise InvalidParameterError(
            f"The 'estimator' parameter of {name} is the class {estimator.__name__}; pass an "
            f"instance, such as {estimator.__name__}()."
        )
    # What cannot even be cloned is left to the message of scikit-learn, which says what is taken.
    if is_cloneable(estimator) and kind_of(estimator) not in (kind, None):
        raise InvalidParameterError(
            f"The 'estimator' parameter of {name} must be a {kind}; {name_of(estimator)} is a "
            f"{kind_of(estimator)}."
        )


def is_cloneable(estimator: Any) -> bool:
    """Tell whether an object has what every estimator of scikit-learn's kind has."""
    return all(hasattr(estimator, method) for method in ("fit", "get_params", "set_params"))


def kind_of(estimator: Any) -> str | None:
    """Return "classifier", "regressor" or another kind, None where an estimator does not tell."""
    if not hasattr(estimator, "__sklearn_tags__"):
        return None
    kind: str | None = get_tags(estimator).estimator_type
    return kind


def refuse_methods_of_networks(method: str, judge: Any) -> None:
    """Raise for a method that reads what an estimator other than a network does not have."""
    if method in _NEEDS_A_NETWORK:
        raise ValueError(
            f"method={method!r} reads {_NEEDS_A_NETWORK[method]}, and {name_of(judge)} has none. "
            "Set method='auto', which asks about rows that a clone did not see, or pass a skorch "
            "net."
        )


@dataclass(frozen=True)
class JudgeTraining:
    """Clones of an estimator, each trained on a part of the rows; rows are as they were given."""

    scorer: Any  # with the parameters of those who train ensembles

    reads_rows = False  # X is not a Dataset, whose items could differ between two reads
    collate_fn = None
    columns = None  # X is not looked into

    @property
    def scores_unseen_rows(self) -> bool:
        """Whether clones can be asked about other rows: if they are kept."""
        return bool(self.scorer.keep_members)

    def _divide(
        self, X: Rows, n: int, strata: NDArray[Any] | None, groups: Any
    ) -> tuple[NDArray[np.bool_], int]:
        """Return what each clone is trained on, and a seed for the clones."""
        scorer = self.scorer
        for parameter in _OF_NETWORKS:
            if getattr(scorer, parameter) is not None:
                raise ValueError(
                    f"{parameter} is of networks, and {name_of(scorer.estimator)} is none. Leave "
                    "it out; the memory of a filter keeps fitted scorers, that of a Pipeline its "
                    "steps."
                )
        split_seed, seed = np.random.SeedSequence(draw_seed(scorer.random_state)).generate_state(2)
        masks = draw_masks(
            n,
            scorer.n_members,
            scorer.train_size,
            strata=strata,
            groups=groups,
            seed=int(split_seed),
        )
        if groups is None:
            warn_of_divided_copies(X, masks)
        return masks, int(seed)

    def _ask(
        self,
        X: Rows,
        y: NDArray[Any],
        view: Rows,
        masks: NDArray[np.bool_],
        seed: int,
        method: Method,
        progress: Task,
    ) -> CrossValidated:
        """Train clones, and ask them about the rows that they have not seen."""
        scorer = self.scorer
        return cross_validate(
            scorer.estimator,
            X.data,
            y,
            masks,
            method=method,
            seed=seed,
            view=view.data,
            n_jobs=scorer.n_jobs,
            keep_models=scorer.keep_members,
            verbose=scorer.verbose,
            progress=progress,
        )

    def _attributes(self, judged: CrossValidated) -> dict[str, Any]:
        """Return what a scorer keeps of the clones."""
        kept = {"estimator_": clone(self.scorer.estimator), "_judged": judged}
        return kept | ({"estimators_": judged.models} if judged.models else {})
