# SPDX-License-Identifier: BSD-3-Clause
"""DifficultyScorer: many scores from one training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, reduce
from operator import or_
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from .._progress import Task
from .._randomness import draw_seed
from ..rows.rows import Rows
from ..training.default import Task as NetworkTask
from ..training.record import TrainingRecord
from ..training.requirements import RecordNeeds
from ._base import BaseDifficultyScorer
from ._unseen_rows import by_parts
from .margin import MarginScorer
from .neighbor_confidence import NeighborConfidenceScorer
from .normgrad import NormGradScorer
from .prediction_depth import PredictionDepthScorer
from .training_dynamics import MEASURES, TrainingDynamicsScorer
from .vog import VoGScorer

__all__ = ["DifficultyScorer"]

NAMED: dict[str, Callable[..., BaseDifficultyScorer]] = {
    "vog": VoGScorer,
    "prediction_depth": PredictionDepthScorer,
    "neighbor_confidence": NeighborConfidenceScorer,
    "normgrad": NormGradScorer,
    "output_margin": MarginScorer,
    "input_margin": partial(MarginScorer, kind="input"),
    **{name: partial(TrainingDynamicsScorer, measure=name) for name in MEASURES},
}


class DifficultyScorer(BaseDifficultyScorer):
    """Several difficulty scores from one training; larger = harder, in every column.

    The network is trained once, its training is recorded as all scores need it, and every score is
    read from that record. Units and ranges are those of the scores; `difficulty_` is the first one.

    Parameters
    ----------
    estimator : skorch.NeuralNet, TrainingRecord, FrozenEstimator or None, default=None
        The network. A net is cloned and trained on every row of `fit`; a `TrainingRecord`, or a
        ``FrozenEstimator`` around a net that was fitted with ``RecordTraining``, is read without
        training; None takes ``training.default_network(X, y)``, for regression where a score is
        only defined for it, as "residual" is.
    scores : sequence of str, scorer or (str, scorer), \
            default=("vog", "prediction_depth", "confidence", "aum")
        What is read. A name stands for a scorer with default parameters: "vog",
        "prediction_depth", "neighbor_confidence", "normgrad", "output_margin", "input_margin", or a
        measure of `TrainingDynamicsScorer`. A scorer of your own settings is cloned; its
        `estimator` is not used. A pair gives its column another name.
    pickle_bank : bool, default=True
        Whether a pickle holds the training rows, if a score needs them for unseen rows. False
        leaves them out of all scores.
    undefined : {"nan", "max"}, default="nan"
        Passed on to the scores that are given by name.
    random_state : int, RandomState or None, default=None
        Seeds initialisation, row order and dropout of the training. None takes fresh entropy.
    verbose : int, default=0
        0 trains silently; otherwise the net prints what it is set to print, the default network
        a line per epoch.

    Attributes
    ----------
    difficulties_ : ndarray of shape (n_samples, n_scores), float32
        The training rows with their given labels, one column per score.
    difficulty_ : ndarray of shape (n_samples,), float32
        The first column.
    difficulty_frame_ : pandas.DataFrame of shape (n_samples, n_scores)
        The same columns with their names, indexed like X. Exists where pandas is installed.
    score_names_ : ndarray of shape (n_scores,), object
        Names of the columns.
    scorers_ : dict of str to scorer
        The fitted scorers, with all that they know besides their scores.
    n_undefined_ : int
        Training rows whose first score is not defined.
    classes_ : ndarray of shape (n_classes,) or None
        The classes; None for a regressor.
    estimator_ : skorch.NeuralNet or TrainingRecord
        The fitted net, the record if there is no net. The net knows classes as positions: its
        ``predict`` returns indices into `classes_`.
    record_ : TrainingRecord
        What the training left behind.
    n_features_in_ : int
        Size of axis 1 of X, for arrays.

    See Also
    --------
    TrainingDynamicsScorer : The measures that can be named here.
    TrainingRecord : For reading scores one by one from the same training.

    Notes
    -----
    `transform` returns the columns that unseen rows can have; measures such as forgetting events
    are left out of it (see `get_feature_names_out`). Two scores that look for neighbours do so one
    after the other. If the first score is one of these,
    `transform` and `score_samples` do not exist: list another one first.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_difficulty import DifficultyScorer
    >>> X, y = load_digits(return_X_y=True, as_frame=True)
    >>> scorer = DifficultyScorer(
    ...     scores=["confidence", "forgetting", "prediction_depth"], random_state=0
    ... ).fit(X, y)
    >>> scorer.difficulty_frame_.columns.tolist()
    ['confidence', 'forgetting', 'prediction_depth']
    >>> scorer.transform(X[:5]).shape
    (5, 2)
    """

    _provides: tuple[str, ...] = ()
    _parameter_constraints: dict[str, list[Any]] = {
        **BaseDifficultyScorer._parameter_constraints,
        "scores": ["array-like"],
        "pickle_bank": ["boolean"],
    }

    def __init__(
        self,
        estimator: Any = None,
        *,
        scores: Sequence[Any] = ("vog", "prediction_depth", "confidence", "aum"),
        pickle_bank: bool = True,
        undefined: str = "nan",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.scores = scores
        self.pickle_bank = pickle_bank
        self.undefined = undefined
        self.random_state = random_state
        self.verbose = verbose

    @property
    def difficulty_frame_(self) -> Any:
        """Return `difficulties_` as a data frame."""
        try:
            import pandas as pd
        except ImportError as error:
            raise AttributeError("difficulty_frame_ needs pandas.") from error
        return pd.DataFrame(self.difficulties_, index=self._index, columns=self.score_names_)

    def _members(self) -> dict[str, BaseDifficultyScorer]:
        """Return an unfitted scorer for every score, by the name of its column."""
        if not getattr(self.scores, "ndim", 1):
            raise ValueError(f"scores must be a list of scores; got {self.scores!r}.")
        members: dict[str, BaseDifficultyScorer] = {}
        for score in self.scores:
            is_pair = isinstance(score, (tuple, list)) and len(score) == 2
            is_pair = is_pair and isinstance(score[0], str)
            name, scorer = score if is_pair else (None, score)
            if isinstance(scorer, str) and scorer in NAMED:
                name = name or scorer
                member = NAMED[scorer](undefined=self.undefined)
            elif isinstance(scorer, BaseDifficultyScorer) and not isinstance(scorer, type(self)):
                member = clone(scorer)
                name = name or member._column_names[0]
            else:
                raise ValueError(
                    f"scores holds {scorer!r}, which is neither a scorer nor one of "
                    f"{sorted(NAMED)}."
                )
            if name in members:
                raise ValueError(
                    f"Two scores are called {name!r}; pass (name, scorer) pairs to tell them apart."
                )
            if not self.pickle_bank and "pickle_bank" in member.get_params(deep=False):
                member.set_params(pickle_bank=False)
            members[name] = member
        if not members:
            raise ValueError("scores is empty; name at least one score.")
        return members

    def _parts(self) -> list[Any]:
        return list(self._members().values())

    @property
    def _task(self) -> NetworkTask:
        tasks = {member._task for member in self._members().values()}
        return "regression" if "regression" in tasks else "classification"

    def _needs(self) -> RecordNeeds:
        return reduce(or_, (member._needs() for member in self._members().values()))

    def _validate_params(self) -> None:
        super()._validate_params()
        for member in self._members().values():
            member._validate_params()

    def _check_size(self, n: int) -> None:
        for member in self._members().values():
            member._check_size(n)

    def _rehearse(self, record: TrainingRecord, X: Rows, targets: NDArray[Any]) -> None:
        for member in self._members().values():
            member._rehearse(record, X, targets)

    def _check_width(self, X: Any, rows: Rows, *, reset: bool) -> None:
        super()._check_width(X, rows, reset=reset)
        if reset:
            self._index = X.index if hasattr(X, "iloc") else None

    def _read_training_rows(self, X: Rows, targets: NDArray[Any], progress: Task) -> None:
        self.scorers_ = self._members()
        seed = draw_seed(self.random_state)
        described = ("n_features_in_", "feature_names_in_", "_row_shape")
        known = {name: getattr(self, name) for name in described if hasattr(self, name)}
        known |= {"record_": self.record_, "estimator_": self.estimator_, "classes_": self.classes_}
        with progress.subtask("scores", len(self.scorers_)) as scoring:
            for name, scorer in self.scorers_.items():
                scorer.set_params(estimator=self.record_)
                if scorer.random_state is None:
                    scorer.set_params(random_state=seed)
                for attribute, value in known.items():
                    setattr(scorer, attribute, value)
                with scoring.subtask(name, None) as task:
                    scorer._read_training_rows(X, targets, task)
        self.score_names_ = np.array(list(self.scorers_), dtype=object)
        self.difficulties_ = np.stack([s.difficulty_ for s in self.scorers_.values()], axis=1)
        self.difficulty_ = self.difficulties_[:, 0].copy()
        self.n_undefined_ = self._first.n_undefined_

    @property
    def _first(self) -> BaseDifficultyScorer:
        """The first scorer, whose score is `difficulty_`."""
        scorers = self.scorers_ if hasattr(self, "scorers_") else self._members()
        return next(iter(scorers.values()))

    @property
    def _scores_unseen_rows(self) -> bool:
        return self._first._scores_unseen_rows

    @property
    def _ignores_labels_of_unseen_rows(self) -> bool:
        return getattr(self._first, "_ignores_labels_of_unseen_rows", False)

    def _score_training_rows(self, X: Rows, targets: NDArray[Any], progress: Task) -> NDArray[Any]:
        return self._first._score_training_rows(X, targets, progress)

    def _score_rows(self, X: Rows, targets: NDArray[Any] | None) -> NDArray[Any]:
        return self._first._score_rows(X, targets)

    def _fill_undefined(self, scores: NDArray[Any], reference: NDArray[Any]) -> NDArray[np.float32]:
        return self._first._fill_undefined(scores, reference)

    def _columns(self, X: Any, y: Any) -> NDArray[np.float32]:
        rows, targets = self._check_unseen(X, y)
        columns = [
            scorer._fill_undefined(by_parts(scorer._score_rows, rows, targets), scorer.difficulty_)
            for scorer in self.scorers_.values()
            if scorer._scores_unseen_rows
        ]
        return np.stack(columns, axis=1)

    @property
    def _column_names(self) -> list[str]:
        return [name for name, s in self.scorers_.items() if s._scores_unseen_rows]
