# SPDX-License-Identifier: BSD-3-Clause
"""BaseDifficultyScorer: what every scorer promises. Think twice before adding to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted, validate_data

from .._progress import CallbackSupportMixin, Task, root_task, with_callbacks
from .._warnings import warn_caller
from ..rows.rows import ArrayRows, Rows, as_rows, as_view, n_rows
from ..training.default import default_network_for
from ..training.record import TrainingRecord, targets_for, train_record
from ..training.requirements import RecordNeeds
from ..training.skorch_net import NET_TYPES, frozen_net
from ..training.skorch_net import collate_fn as net_collate_fn
from ._trained_source import TRAINED_TYPES


class BaseDifficultyScorer(CallbackSupportMixin, TransformerMixin, BaseEstimator, ABC):
    """Base of the scorers: larger = harder, one training, the rows' order kept.

    A scorer says what it needs of a training run (`_needs`), and turns a record and rows into
    numbers (`_score_training_rows`, `_score_rows`). This class does the rest: it checks the rows,
    obtains the record by training or by taking a given one, and keeps the contract of undefined
    scores. Subclasses have at least the parameters `estimator`, `undefined`, `random_state` and
    `verbose`, and write their constructor themselves.
    """

    estimator: Any
    undefined: str
    random_state: Any
    verbose: int

    # Lets a pipeline route y to `transform`; the name is scikit-learn's.
    __metadata_request__transform = {"y": True}

    _parameter_constraints: dict[str, list[Any]] = {
        "estimator": [*NET_TYPES, TrainingRecord, None],
        "undefined": [StrOptions({"nan", "max"})],
        "random_state": ["random_state"],
        "verbose": [Interval(Integral, 0, None, closed="left")],
    }

    # ------------------------------------------------------------------- what a subclass provides

    @abstractmethod
    def _needs(self) -> RecordNeeds:
        """Return what the record must hold."""

    def _check_size(self, n: int) -> None:
        """Raise before training if there are too few rows."""

    def _rehearse(self, record: TrainingRecord, X: Rows, targets: NDArray[Any]) -> None:
        """Read two rows of the untrained network, so that what cannot be read is refused early."""

    @abstractmethod
    def _score_training_rows(self, X: Rows, targets: NDArray[Any], progress: Task) -> NDArray[Any]:
        """Return the raw difficulty (n,) of the rows that were trained on, from `record_`."""

    @abstractmethod
    def _score_rows(self, X: Rows, targets: NDArray[Any] | None) -> NDArray[Any]:
        """Return the difficulty (m,) of rows taken as unseen; targets None: label-free."""

    # Why some rows have no score, and why unseen ones have none; subclasses know better.
    _undefined_because = "something in it is not finite, or not known for these rows"
    _no_unseen_because = "The score has no meaning for rows that were not trained on."

    @property
    def _scores_unseen_rows(self) -> bool:
        """Whether rows that were not trained on can be scored."""
        return True

    def _offer_unseen(self) -> bool:
        """Tell the reason where rows that were not trained on cannot be scored."""
        if not self._scores_unseen_rows:
            raise AttributeError(self._no_unseen_because)
        return True

    @property
    @abstractmethod
    def _column_names(self) -> list[str]:
        """Names of the columns of `transform`."""

    # -------------------------------------------------------------------------------- public verbs

    @with_callbacks
    def fit(
        self, X: Any, y: Any = None, *, scoring_view: Any = None, groups: Any = None
    ) -> BaseDifficultyScorer:
        """Train the network (unless a record is given) and score its training rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), tensor, DataFrame, dict of arrays, or Dataset
            The training rows. Arrays may have any rank of at least two. Floats are cast to the
            network's dtype, integers are passed on as they are.
        y : array-like of shape (n_samples,), default=None
            Their labels, of any type; targets for a regressor. May be None for a Dataset that
            yields (x, y).
        scoring_view : same kind as X, default=None
            The same rows in the same order without random augmentation; scored in place of X.
        groups : array-like of shape (n_samples,), default=None
            For the scorers that train several networks on parts of the rows: rows of one group
            are trained on, or held out, together. Others ignore it.

        Returns
        -------
        self : object
            With `difficulty_`, one score per row of X.
        """
        self._validate_params()
        self._forget()
        with root_task(self, 2) as progress:
            rows = self._rows(X)
            self._check_width(X, rows, reset=True)
            view = self._check_view(scoring_view, rows)
            targets = self._train(rows, y, view, groups, progress)
            self._read_training_rows(view, targets, progress)
        return self

    def score_samples(self, X: Any, y: Any = None) -> NDArray[np.float32]:
        """Return the difficulty of rows taken as unseen.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Rows of the kind that `fit` was given.
        y : array-like of shape (n_samples,), default=None
            Their labels; without them, the predicted class takes their place.

        Returns
        -------
        difficulty : ndarray of shape (n_samples,)
            Larger = harder.
        """
        scores = self._score_rows(*self._check_unseen(X, y))
        return self._settle(scores, self.difficulty_)

    def transform(self, X: Any, y: Any = None) -> NDArray[np.float32]:
        """Return the difficulty of rows taken as unseen, and what else there is of them.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Rows of the kind that `fit` was given.
        y : array-like of shape (n_samples,), default=None
            Their labels; without them, the predicted class takes their place.

        Returns
        -------
        columns : ndarray of shape (n_samples, n_columns)
            The first one is `score_samples`; `get_feature_names_out` names all of them.
        """
        return self._columns(X, y)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Return the names of the columns of `transform`.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Only checked against the names seen in `fit`.

        Returns
        -------
        names : ndarray of str objects
            One per column.
        """
        check_is_fitted(self)
        _check_feature_names_in(self, input_features, generate_names=False)
        return np.asarray(self._column_names, dtype=object)

    def set_params(self, **params: Any) -> BaseDifficultyScorer:
        """Set parameters, those of the network as ``estimator__<name>``.

        Parameters
        ----------
        **params : dict
            Parameters of the scorer or, if it was given a net, of the net.

        Returns
        -------
        self : object
            The scorer.
        """
        estimator = params.get("estimator", self.estimator)
        nested = [name for name in params if name.startswith("estimator__")]
        if nested and isinstance(estimator, (*TRAINED_TYPES, str)):
            raise ValueError(
                f"{nested[0]} cannot be set: the network is already trained; pass a net to tune it."
            )
        if nested and estimator is None:
            raise ValueError(
                f"{nested[0]} cannot be set, because estimator is None; pass a net, for example "
                "training.default_network(X, y)."
            )
        return super().set_params(**params)

    # ---------------------------------------------------------------------------- the scorer's work

    def _train(self, X: Rows, y: Any, view: Rows, groups: Any, progress: Task) -> NDArray[Any]:
        """Set `record_`, `estimator_` and `classes_`, and return the rows' targets."""
        self.record_, targets = self._obtain_record(X, y, progress)
        self.estimator_ = self.record_ if self.record_.net is None else self.record_.net
        self.classes_ = self.record_.classes_
        return targets

    def _obtain_record(
        self, X: Rows, y: Any, progress: Task
    ) -> tuple[TrainingRecord, NDArray[Any]]:
        """Return the record to read, trained now or given, and the rows' targets."""
        self._check_size(n_rows(X))
        needs = self._needs()
        record = self._given_record()
        if record is not None:
            record.require(needs)
            targets = record.targets(X, y)
            self._compare_rows(record, X, targets, needs)
            return record, targets
        net = self.estimator
        if net is None:
            net = default_network_for(X, y, self).set_params(verbose=self.verbose)
        classes, targets = targets_for(net, X, y)
        with progress.subtask("train", net.max_epochs) as training:
            record = train_record(
                net,
                X,
                targets,
                classes,
                recorder=needs.recorder(),
                random_state=self.random_state,
                verbose=self.verbose,
                needs=needs,
                rehearse=self._rehearse,
                progress=training,
            )
        record.require(needs)
        return record, targets

    def _read_training_rows(self, X: Rows, targets: NDArray[Any], progress: Task) -> None:
        """Set `difficulty_` and what goes with it, from what `_train` has set."""
        scores = self._score_training_rows(X, targets, progress)
        self.n_undefined_ = int(np.isnan(scores).sum())
        self.difficulty_ = self._settle(scores, scores)

    def _columns(self, X: Any, y: Any) -> NDArray[np.float32]:
        """Return what `transform` returns."""
        return self.score_samples(X, y)[:, None]

    def _given_record(self) -> TrainingRecord | None:
        if isinstance(self.estimator, TrainingRecord):
            return self.estimator
        net = frozen_net(self.estimator)
        return None if net is None else TrainingRecord.from_net(net)

    def _compare_rows(
        self, record: TrainingRecord, X: Rows, targets: NDArray[Any], needs: RecordNeeds
    ) -> None:
        if needs.same_rows:
            trajectory = record.trajectory
            difference = (record if trajectory is None else trajectory).difference(X, targets)
            if difference is not None:
                raise ValueError(
                    f"This record was trained on other rows ({difference}); pass the net."
                )
            if not needs.checkpoints and not needs.final_network:
                return
        difference = record.difference(X, targets)
        if difference is None:
            return
        warn_caller(
            f"This record was trained on other rows ({difference}). {type(self).__name__} reads "
            "them as given, but difficulty_ is not that of training rows; pass the net to train "
            "on them."
        )

    def _forget(self) -> None:
        """Drop everything that an earlier fit has set."""
        fitted = [n for n in vars(self) if n.endswith("_") and not n.startswith("_")]
        for name in [*fitted, "_row_shape"]:
            self.__dict__.pop(name, None)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "difficulty_")

    def _rows(self, X: Any) -> Rows:
        return as_rows(X, collate_fn=self._collate_fn(), estimator=self)

    def _collate_fn(self) -> Any:
        """Return how the items of a Dataset are joined."""
        given = self._given_record()
        if given is not None:
            return given.collate_fn
        estimator = getattr(self.estimator, "estimator_", self.estimator)  # of an ensemble
        return None if isinstance(estimator, str) else net_collate_fn(estimator)

    def _check_view(self, scoring_view: Any, rows: Rows) -> Rows:
        view = as_view(scoring_view, rows, collate_fn=self._collate_fn(), estimator=self)
        if view is not rows:
            self._check_width(scoring_view, view, reset=False)
        return view

    def _check_width(self, X: Any, rows: Rows, *, reset: bool) -> None:
        """Remember, or compare with what was remembered, how wide a row is."""
        shape = rows.row_shape
        if isinstance(rows, ArrayRows) and (reset or len(shape) == 1):
            validate_data(self, X, skip_check_array=True, reset=reset)
        if shape is None:
            return
        if reset:
            self._row_shape = shape
        elif shape != getattr(self, "_row_shape", shape):
            raise ValueError(
                f"The rows of X have shape {shape}, but {type(self).__name__} was fitted on rows "
                f"of shape {self._row_shape}."
            )

    def _check_unseen(self, X: Any, y: Any) -> tuple[Rows, NDArray[Any] | None]:
        check_is_fitted(self)
        rows = self._rows(X)
        self._check_width(X, rows, reset=False)
        return rows, None if y is None else self._targets_of(rows, y)

    def _targets_of(self, X: Rows, y: Any) -> NDArray[Any]:
        """Return label codes of rows, or regression targets, as the training had them."""
        return self.record_.targets(X, y)

    def _settle(self, scores: NDArray[Any], of_training: NDArray[Any]) -> NDArray[np.float32]:
        """Return float32 scores, undefined ones warned of and treated as `undefined` says."""
        bad = np.flatnonzero(np.isnan(scores))
        if len(bad):
            stand_in = self._largest_score(of_training) if self.undefined == "max" else np.nan
            returned = "NaN" if np.isnan(stand_in) else "the largest score"
            warn_caller(
                f"{len(bad)} row(s) have no defined difficulty, first {bad[:5].tolist()}: "
                f"{returned} is returned for them, since {self._undefined_because}."
            )
            scores = np.where(np.isnan(scores), stand_in, scores)
        return scores.astype(np.float32)

    def _largest_score(self, of_training: NDArray[Any]) -> float:
        """Return what ``undefined="max"`` puts in place of an undefined score."""
        return float("nan") if np.isnan(of_training).all() else float(np.nanmax(of_training))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


# Here and not as decorators: TransformerMixin wraps `transform` when the class is made, and would
# take what hides it for a plain method.
for _name in ("transform", "fit_transform", "score_samples"):
    _hidden = available_if(lambda self: self._offer_unseen())(getattr(BaseDifficultyScorer, _name))
    setattr(BaseDifficultyScorer, _name, _hidden)
