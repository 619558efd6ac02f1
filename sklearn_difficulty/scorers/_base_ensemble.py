# SPDX-License-Identifier: BSD-3-Clause
"""What the scorers that read nothing but an ensemble share."""

from __future__ import annotations

from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..training.ensemble.member import Readout
from ..training.ensemble.resampled import ResampledEnsemble
from ..training.requirements import RecordNeeds
from ..training.skorch_net import NET_TYPES
from ._base import BaseDifficultyScorer
from ._ensemble_source import (
    CONSTRAINTS,
    MEMBERS_ARE_GONE,
    TRAIN_SIZE,
    EnsembleTraining,
    not_one_of_several,
)


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

    def _labels(self, codes: NDArray[np.int64]) -> NDArray[Any]:
        """Return the classes that codes stand for, None in an object array for -1."""
        if (codes >= 0).all():
            return self.classes_[codes]
        return np.array([None if c < 0 else self.classes_[c] for c in codes], dtype=object)
