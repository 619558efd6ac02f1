# SPDX-License-Identifier: BSD-3-Clause
"""What the scorers that read many networks share: they train an ensemble, or take a fitted one."""

from __future__ import annotations

from numbers import Integral, Real
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import NotFittedError
from sklearn.utils._param_validation import Interval, StrOptions

from .._progress import Task
from ..rows.rows import Rows, n_rows
from ..training.ensemble.member import Readout
from ..training.ensemble.resampled import ResampledEnsemble
from ..training.requirements import RecordNeeds
from ..training.skorch_net import NET_TYPES
from ._base import BaseDifficultyScorer


class BaseEnsembleScorer(BaseDifficultyScorer):
    """Base of the scorers that ask many networks, each trained on a part of the rows."""

    classes_: NDArray[Any]
    ensemble_: ResampledEnsemble
    _no_unseen_because = (
        "The weights of the members were not kept, so they cannot be asked about other rows. Fit "
        "with keep_members=True."
    )

    _parameter_constraints: dict[str, list[Any]] = {
        **BaseDifficultyScorer._parameter_constraints,
        "estimator": [NET_TYPES[0], ResampledEnsemble, None],
        "n_members": [Interval(Integral, 2, None, closed="left")],
        "train_size": [Interval(Real, 0, 1, closed="neither")],
        "stratify": ["boolean"],
        "backend": [StrOptions({"auto", "stacked", "joblib"})],
        "n_jobs": [Integral, None],
        "cache_dir": [str, PathLike, None],
        "keep_members": ["boolean"],
    }

    def __init__(
        self,
        estimator: Any,
        *,
        n_members: int,
        train_size: float,
        stratify: bool,
        backend: str,
        n_jobs: int | None,
        cache_dir: str | PathLike[str] | None,
        keep_members: bool,
        undefined: str,
        random_state: Any,
        verbose: int,
    ) -> None:
        self.estimator = estimator
        self.n_members = n_members
        self.train_size = train_size
        self.stratify = stratify
        self.backend = backend
        self.n_jobs = n_jobs
        self.cache_dir = cache_dir
        self.keep_members = keep_members
        self.undefined = undefined
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_clone__(self) -> BaseEnsembleScorer:
        copy = super().__sklearn_clone__()
        if isinstance(self.estimator, ResampledEnsemble):
            copy.estimator = self.estimator  # a clone of its own would be unfitted
        return copy

    def _needs(self) -> RecordNeeds:
        raise TypeError(
            f"{type(self).__name__} reads many trainings; it cannot be one of several scores that "
            "are read from a single one."
        )

    def _readout(self) -> Readout | None:
        """Return what is read from every member besides its predictions."""
        return None

    def _train(self, X: Rows, y: Any, view: Rows, groups: Any, progress: Task) -> NDArray[Any]:
        self._check_size(n_rows(X))
        if isinstance(self.estimator, ResampledEnsemble):
            if groups is not None:
                raise ValueError(
                    "groups decide about the splits, and those of a fitted ensemble are drawn. "
                    "Pass groups to its fit."
                )
            self.ensemble_ = self.estimator
            targets = self._check_given(X, y)
        else:
            self.ensemble_ = ResampledEnsemble(
                self.estimator,
                n_members=self.n_members,
                train_size=self._train_size(),
                stratify=self.stratify,
                backend=self.backend,
                n_jobs=self.n_jobs,
                cache_dir=self.cache_dir,
                readout=self._readout(),
                keep_members=self.keep_members,
                random_state=self.random_state,
                verbose=self.verbose,
            )
            with progress.subtask("train", self.n_members) as training:
                targets = self.ensemble_._train(X, y, view, groups, training)
        self.estimator_ = self.ensemble_.estimator_
        self.classes_ = self.ensemble_.classes_
        return targets

    def _train_size(self) -> float:
        return self.train_size

    def _check_given(self, X: Rows, y: Any) -> NDArray[np.int64]:
        """Return the codes of the rows that the given ensemble was trained on, or raise."""
        ensemble = self.ensemble_
        if not hasattr(ensemble, "rows_"):
            raise NotFittedError(
                "The ResampledEnsemble is not fitted. Fit it first, on the same rows, or pass its "
                "network."
            )
        targets = ensemble.targets(X, y)
        difference = ensemble.rows_.difference(X.identity(targets))
        if difference is not None:
            raise ValueError(
                f"This ensemble was trained on other rows ({difference}); pass the net."
            )
        return targets

    def _targets_of(self, X: Rows, y: Any) -> NDArray[Any]:
        return self.ensemble_.targets(X, y)

    def _correct(self, targets: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which members predict the given labels, (n_members, n)."""
        return self.ensemble_.predictions_ == targets

    def _has_members(self) -> bool:
        """Tell whether the members can be asked about other rows, also before the fit."""
        ensemble = getattr(self, "ensemble_", self.estimator)
        if isinstance(ensemble, ResampledEnsemble):
            return ensemble.has_members
        return self.keep_members

    def _labels(self, codes: NDArray[np.int64]) -> NDArray[Any]:
        """Return the classes that codes stand for, None in an object array for -1."""
        if (codes >= 0).all():
            return self.classes_[codes]
        return np.array([None if c < 0 else self.classes_[c] for c in codes], dtype=object)
