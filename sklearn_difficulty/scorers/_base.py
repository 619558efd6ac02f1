# SPDX-License-Identifier: BSD-3-Clause
"""BaseDifficultyScorer: what every scorer promises. Think twice before adding to it."""

from __future__ import annotations

from abc import abstractmethod
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval, StrOptions

from .._progress import CallbackSupportMixin, Task, root_task, with_callbacks
from .._randomness import alone
from .._reprs import ShowsFindings
from .._warnings import warn_caller
from ..rows.rows import DatasetRows, Rows
from ..rows.views import as_view
from ..training.default import Task as NetworkTask
from ..training.record import TrainingRecord
from ..training.requirements import RecordNeeds
from ..training.skorch_net import NET_TYPES, keep_trace, refuse_other_estimators
from ._trained_source import SingleTraining, TrainedSource, is_trained, refuse_tuning
from ._unseen_rows import ScoresUnseenRows
from .cost.estimating import EstimatesCost, told_beforehand


class BaseDifficultyScorer(
    ShowsFindings, EstimatesCost, CallbackSupportMixin, ScoresUnseenRows, BaseEstimator
):
    """Base of the scorers: larger = harder, one training, the rows' order kept.

    A scorer has a source of trained networks (`_trained_source`) and turns what comes from there
    and rows into numbers (`_score_training_rows`, `_score_rows`). This class does the rest: it
    checks the rows, obtains the networks, and keeps the contract of undefined scores. Subclasses
    have at least the parameters `estimator`, `undefined`, `random_state` and `verbose`, and write
    their constructor themselves.
    """

    estimator: Any
    undefined: str
    random_state: Any
    verbose: int

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

    def _check_estimator(self) -> None:
        """Raise if the estimator is none that this scorer reads."""
        refuse_other_estimators(self)

    def _check_size(self, n: int) -> None:
        """Raise before training if there are too few rows."""

    def _rehearse(self, record: TrainingRecord, X: Rows, targets: NDArray[Any]) -> None:
        """Read two rows of a network or its record, so that what cannot be read is refused early.

        Of the untrained one before it is trained; there is one checkpoint then.
        """

    @abstractmethod
    def _score_training_rows(self, X: Rows, targets: NDArray[Any], progress: Task) -> NDArray[Any]:
        """Return the raw difficulty (n,) of the rows that were trained on, from what was kept."""

    # A class says by `_provides` which fitted attributes besides `difficulty_` filters can read:
    # () if none. It holds for the class itself; a subclass that says nothing may have others.

    @property
    def _task(self) -> NetworkTask:
        """What the network learns that stands for None."""
        return "classification"

    # Why some rows have no score; subclasses know better.
    _undefined_because = "something in it is not finite, or not known for these rows"

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
            network's dtype, integers are passed on as they are. If `estimator` is None a DataFrame,
            of pandas or polars, may hold categories, strings, dates, booleans and missing values,
            which ``training.default_network`` encodes. None will do where scores are read from
            trajectories alone.
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
        self._check_estimator()
        self._validate_params()
        self._forget()
        if self.verbose and (cost := told_beforehand(self, X, y, scoring_view, groups)):
            print(cost)
        with root_task(self, 2) as progress:
            rows = self._rows(X)
            self._check_width(X, rows, reset=True)
            view = self._check_view(scoring_view, rows)
            targets = self._train(rows, y, view, groups, progress)
            with alone():
                self._read_training_rows(view, targets, progress)
        if self.verbose:
            print(f"{type(self).__name__}: {self._found()}")
        return self

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
        refuse_tuning(params.get("estimator", self.estimator), params)
        return super().set_params(**params)

    # ---------------------------------------------------------------------------- the scorer's work

    def _trained_source(self) -> TrainedSource:
        """Return where networks come from: a single training, unless a subclass says otherwise."""
        return SingleTraining(
            self.estimator,
            getattr(self, "record_", None),
            scorer=self,
            needs=self._needs,
            rehearse=self._rehearse,
            random_state=self.random_state,
            verbose=self.verbose,
            task=self._task,
        )

    def _train(self, X: Rows, y: Any, view: Rows, groups: Any, progress: Task) -> NDArray[Any]:
        """Keep what the source has trained or taken, and return the rows' targets."""
        if y is None and not isinstance(X, DatasetRows):
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None. Only a "
                "Dataset that yields (x, y) can do without."
            )
        self._check_size(len(X))
        trained = self._trained_source().obtain(X, y, view, groups, progress)
        for name, value in trained.attributes.items():
            setattr(self, name, value)
        return trained.targets

    def _read_training_rows(self, X: Rows, targets: NDArray[Any], progress: Task) -> None:
        """Set `difficulty_` and what goes with it, from what `_train` has set."""
        scores = self._score_training_rows(X, targets, progress)
        self.n_undefined_ = int(np.isnan(scores).sum())
        self.difficulty_ = self._fill_undefined(scores, scores)

    def _forget(self) -> None:
        """Drop everything that an earlier fit has set."""
        fitted = [n for n in vars(self) if n.endswith("_") and not n.startswith("_")]
        for name in [*fitted, "_row_shape"]:
            self.__dict__.pop(name, None)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "difficulty_")

    def _found(self) -> str:
        hardest = np.argsort(-self.difficulty_, kind="stable")[:3].tolist()
        undefined = f", {self.n_undefined_} undefined" if self.n_undefined_ else ""
        return f"{len(self.difficulty_)} rows{undefined}, the hardest are {hardest}"

    def __sklearn_clone__(self) -> BaseDifficultyScorer:
        copy = super().__sklearn_clone__()
        if is_trained(self.estimator):
            copy.estimator = self.estimator  # a clone of an ensemble would be unfitted
        keep_trace(self.estimator, copy.estimator)
        return copy

    def _check_view(self, scoring_view: Any, rows: Rows) -> Rows:
        """Return the rows that are scored: those of the view if there is one."""
        source = self._trained_source()
        view = as_view(
            scoring_view,
            rows,
            collate_fn=source.collate_fn,
            estimator=self,
            is_read=self._reads_rows(source),
        )
        if view is not rows:
            self._check_width(scoring_view, view, reset=False)
        return view

    def _reads_rows(self, source: TrainedSource) -> bool:
        """Tell whether rows are read in evaluation to score those of the training."""
        return source.reads_rows

    def _fill_undefined(self, scores: NDArray[Any], reference: NDArray[Any]) -> NDArray[np.float32]:
        """Return float32 scores, undefined ones warned of and treated as `undefined` says."""
        bad = np.flatnonzero(np.isnan(scores))
        if len(bad):
            stand_in = self._largest_score(reference) if self.undefined == "max" else np.nan
            returned = "NaN" if np.isnan(stand_in) else "the largest score"
            warn_caller(
                f"{len(bad)} row(s) have no defined difficulty, first {bad[:5].tolist()}: "
                f"{returned} is returned for them, since {self._undefined_because}."
            )
            scores = np.where(np.isnan(scores), stand_in, scores)
        return scores.astype(np.float32)

    def _largest_score(self, reference: NDArray[Any]) -> float:
        """Return what ``undefined="max"`` puts in place of an undefined score."""
        return float("nan") if np.isnan(reference).all() else float(np.nanmax(reference))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.three_d_array = True
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
