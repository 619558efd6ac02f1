# SPDX-License-Identifier: BSD-3-Clause
"""What the scorers that read ensembles share: the ensemble as a source, and their base."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import NotFittedError
from sklearn.utils._param_validation import Interval, StrOptions

from .._progress import Task
from .._warnings import warn_caller
from ..rows.rows import ReadColumns, Rows
from ..training.ensemble.member import Readout
from ..training.ensemble.resampled import ResampledEnsemble
from ..training.requirements import RecordNeeds
from ..training.skorch_net import NET_TYPES, columns_of, is_regression
from ..training.skorch_net import collate_fn as net_collate_fn
from ._base import BaseDifficultyScorer
from ._trained_source import Trained

# Of the parameters that all who train an ensemble have in common.
CONSTRAINTS: dict[str, list[Any]] = {
    "n_members": [Interval(Integral, 2, None, closed="left")],
    "stratify": ["boolean"],
    "backend": [StrOptions({"auto", "stacked", "joblib"})],
    "n_jobs": [Integral, None],
    "cache_dir": [str, PathLike, None],
    "cache_key": [str, None],
    "keep_members": ["boolean"],
}
TRAIN_SIZE: dict[str, list[Any]] = {"train_size": [Interval(Real, 0, 1, closed="neither")]}

MEMBERS_ARE_GONE = (
    "The weights of the members were not kept, so they cannot be asked about other rows. Fit "
    "with keep_members=True."
)
_PASSED_ON = (*CONSTRAINTS, "random_state", "verbose")
_NO_AGREEMENT = "The network is a regressor; agreement between members is defined for classes."


class BaseEnsembleScorer(BaseDifficultyScorer):
    """Base of the scorers that ask many networks, each trained on a part of the rows."""

    classes_: NDArray[Any]
    ensemble_: ResampledEnsemble
    _no_unseen_because = MEMBERS_ARE_GONE

    _parameter_constraints: dict[str, list[Any]] = {
        **BaseDifficultyScorer._parameter_constraints,
        "estimator": [NET_TYPES[0], ResampledEnsemble, None],
        **TRAIN_SIZE,
        **CONSTRAINTS,
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
        cache_key: str | None,
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
        self.cache_key = cache_key
        self.keep_members = keep_members
        self.undefined = undefined
        self.random_state = random_state
        self.verbose = verbose

    def _needs(self) -> RecordNeeds:
        raise not_one_of_several(self)

    def _readout(self) -> Readout | None:
        """Return what is read from every member besides its predictions."""
        return None

    def _train_size(self) -> float:
        """Return the share of the rows that a member is trained on."""
        return self.train_size

    def _trained_source(self) -> EnsembleTraining:
        return EnsembleTraining.of(self, train_size=self._train_size, readout=self._readout)

    def _correct(self, targets: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which members predict the given labels, (n_members, n)."""
        return self.ensemble_.predictions_ == targets

    def _predicts(self) -> NDArray[np.bool_]:
        """Return which members predict a class for a row, (n_members, n): not from NaN."""
        return ~np.isnan(self.ensemble_.given_probability_)

    def _labels(self, codes: NDArray[np.int64]) -> NDArray[Any]:
        """Return the classes that codes stand for, None in an object array for -1."""
        if (codes >= 0).all():
            return self.classes_[codes]
        return np.array([None if c < 0 else self.classes_[c] for c in codes], dtype=object)


@dataclass(frozen=True)
class EnsembleTraining:
    """Many networks, each trained on a part of the rows, or a given ensemble of such."""

    estimator: Any  # as the user gave it
    ensemble: ResampledEnsemble | None  # what the scorer keeps of its fit
    keep_members: bool
    readout: Callable[[], Readout | None]  # returns what is read besides predictions
    untrained: Callable[[], ResampledEnsemble]  # returns the ensemble that is to be trained
    task: str = "classification"

    @classmethod
    def of(
        cls,
        scorer: Any,
        *,
        train_size: Callable[[], float],
        readout: Callable[[], Readout | None],
        net: Any = None,
        task: str = "classification",
    ) -> EnsembleTraining:
        """Return the source of a scorer that has the parameters of `CONSTRAINTS`.

        `net` stands in for its estimator.
        """

        def untrained() -> ResampledEnsemble:
            return ResampledEnsemble(
                scorer.estimator if net is None else net,
                train_size=train_size(),
                readout=readout(),
                **{name: getattr(scorer, name) for name in _PASSED_ON if hasattr(scorer, name)},
            )

        ensemble = getattr(scorer, "ensemble_", None)
        return cls(scorer.estimator, ensemble, scorer.keep_members, readout, untrained, task)

    def obtain(self, X: Rows, y: Any, view: Rows, groups: Any, progress: Task) -> Trained:
        """Return the ensemble, trained now or given, and the codes of the rows' labels."""
        if isinstance(self.estimator, ResampledEnsemble):
            ensemble = self.estimator
            self._refuse_other_task(getattr(ensemble, "classes_", ()) is None)
            if groups is not None:
                raise ValueError(
                    "groups decide about the splits, and those of a fitted ensemble are drawn. "
                    "Pass groups to its fit."
                )
            targets = self._targets_of_its_rows(ensemble, X, y)
        else:
            ensemble = self.untrained()
            net = ensemble.estimator
            self._refuse_other_task(net is not None and is_regression(net))
            _warn_of_too_few(ensemble)
            targets = ensemble._train(X, y, view, groups, progress)
        kept = {
            "ensemble_": ensemble,
            "estimator_": ensemble.estimator_,
            "classes_": ensemble.classes_,
        }
        return Trained(kept, targets)

    def _refuse_other_task(self, of_regressors: bool) -> None:
        """Raise for regressors where classes are needed, and the reverse."""
        if of_regressors != (self.task == "regression"):
            raise ValueError(_NO_AGREEMENT if of_regressors else no_regressor("The network"))

    def _targets_of_its_rows(self, ensemble: ResampledEnsemble, X: Rows, y: Any) -> NDArray[Any]:
        """Return codes or targets of the rows that a given ensemble was trained on, or raise."""
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

    def targets(self, X: Rows, y: Any) -> NDArray[Any]:
        """Return label codes of rows, read with the ensemble's classes, or targets."""
        assert self.ensemble is not None
        return self.ensemble.targets(X, y)

    @property
    def reads_rows(self) -> bool:
        """Whether rows are read in evaluation; a given ensemble may have been asked already."""
        if not isinstance(self.estimator, ResampledEnsemble):
            return True
        return self.readout() not in (None, getattr(self.estimator, "_read_with", None))

    @property
    def collate_fn(self) -> Any:
        """How the items of a Dataset are joined, None for torch's default."""
        return net_collate_fn(self._net())

    @property
    def columns(self) -> ReadColumns:
        """What may stand in a DataFrame, None for numbers alone."""
        return columns_of(self._net())

    def _net(self) -> Any:
        """Return the network that members are clones of, None if it is to be made."""
        net = self.estimator if self.ensemble is None else self.ensemble
        if isinstance(net, ResampledEnsemble):
            return getattr(net, "estimator_", net.estimator)
        return net

    @property
    def scores_unseen_rows(self) -> bool:
        """Whether the members can be asked about other rows: if their weights are kept."""
        ensemble = self.estimator if self.ensemble is None else self.ensemble
        if isinstance(ensemble, ResampledEnsemble):
            return ensemble.has_members
        return self.keep_members


def no_regressor(what: str) -> str:
    """Return what to say of a classifier where targets are numbers."""
    return (
        f"{what} is a classifier, and targets are numbers. Pass a regressor: NeuralNetRegressor, "
        "or a NeuralNet with criterion=nn.MSELoss. LabelErrorScorer finds wrong labels."
    )


def not_one_of_several(scorer: Any) -> TypeError:
    """Return the error of a scorer that is to be read from a record and needs an ensemble."""
    return TypeError(
        f"{type(scorer).__name__} reads many trainings; it cannot be one of several scores that "
        "are read from a single one."
    )


def readings_of_members(
    ensemble: ResampledEnsemble,
    readout: Readout,
    name: str,
    X: Rows,
    targets: NDArray[np.int64],
    progress: Task,
    *,
    if_gone: str,
) -> Sequence[NDArray[Any]]:
    """Return a readout's array of this name for every member, read now unless it was before."""
    if ensemble._read_with == readout:
        return ensemble.readout_[name]
    if not ensemble.has_members:
        raise ValueError(if_gone)
    readings = []
    with progress.subtask("score", len(ensemble.masks_)) as scoring:
        for k, trained_on in enumerate(ensemble.masks_):
            with scoring.subtask(f"member {k}"):
                readings.append(readout(ensemble.record(k), X, targets, trained_on)[name])
    return readings


def _warn_of_too_few(ensemble: ResampledEnsemble) -> None:
    """Say before training that some rows will be held out by no member."""
    held_out = 1 - ensemble.train_size
    share = ensemble.n_members * held_out
    if share < 1 - 1e-9:
        warn_caller(
            f"At least {1 - share:.0%} of the rows will have no defined difficulty: each of the "
            f"{ensemble.n_members} networks holds out {held_out:.0%} of the rows, and n_members x "
            f"{held_out:.2g} is below 1. Set n_members={math.ceil(1 / held_out - 1e-9)} or more, "
            "or hold out more."
        )
