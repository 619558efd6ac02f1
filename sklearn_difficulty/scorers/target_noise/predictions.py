# SPDX-License-Identifier: BSD-3-Clause
"""Where TargetErrorScorer takes predictions from, once something is trained."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..._progress import Task
from ...inference.neighbors import NeighborBank, choose_rows, positions_in
from ...inference.probing import NeighborProbes
from ...rows.rows import Rows
from ...training.ensemble.member import answers
from ...training.ensemble.resampled import ResampledEnsemble
from ...training.record import TrainingRecord
from .._cross_validated import CrossValidated
from .training import read_predictions

Floats = NDArray[np.float64]

_SEED_OF_BANKS = 314_159_265


class Predictions(Protocol):
    """Predictions of training rows, and of rows taken as unseen."""

    def of_training_rows(self, X: Rows, targets: Floats, progress: Task) -> tuple[Floats, Floats]:
        """Return predictions (n, n_outputs) of training rows, or NaN; and as if unseen."""

    def of_unseen_rows(self, X: Rows) -> Floats:
        """Return the predictions (m, n_outputs) of other rows."""


@dataclass
class OfMembers:
    """Networks that held a row out, over all epochs; as if unseen, as they were in the end."""

    ensemble: ResampledEnsemble
    center: Floats
    scale: Floats

    def of_training_rows(self, X: Rows, targets: Floats, progress: Task) -> tuple[Floats, Floats]:
        """Return the means over the members that held a row out."""
        over_epochs = self.ensemble.out_of_sample_prediction("epochs")
        last = self.ensemble.out_of_sample_prediction("last")
        return over_epochs * self.scale + self.center, last * self.scale + self.center

    def of_unseen_rows(self, X: Rows) -> Floats:
        """Return the mean over all members."""
        said = self.ensemble._member_probability(X).mean(axis=0, dtype=np.float64)
        return np.asarray(said * self.scale + self.center)


@dataclass
class OfClones:
    """Clones of a regressor that held a row out."""

    judged: CrossValidated

    def of_training_rows(self, X: Rows, targets: Floats, progress: Task) -> tuple[Floats, Floats]:
        """Return the mean over the clones that held a row out."""
        held_out = self.judged.held_out.reshape(len(targets), -1)
        return held_out, held_out

    def of_unseen_rows(self, X: Rows) -> Floats:
        """Return the mean over all clones."""
        return self.judged.predict(X.data).reshape(len(X), -1)


@dataclass
class AsGiven:
    """Predictions that are given in place of rows."""

    is_single: bool
    n_outputs: int

    def of_training_rows(self, X: Rows, targets: Floats, progress: Task) -> tuple[Floats, Floats]:
        """Return X itself, as the mean over members."""
        predictions = self.of_unseen_rows(X)
        return predictions, predictions

    def of_unseen_rows(self, X: Rows) -> Floats:
        """Return X itself, as the mean over members."""
        return read_predictions(X, self.is_single, self.n_outputs)


@dataclass
class OfEpochs:
    """The mean over the epochs of a single training, of rows that are trained on."""

    record: TrainingRecord
    center: Floats
    scale: Floats

    def of_training_rows(self, X: Rows, targets: Floats, progress: Task) -> tuple[Floats, Floats]:
        """Return the mean of the values that were recorded."""
        trajectory = self.record.trajectory
        assert trajectory is not None
        assert trajectory.logits is not None
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Mean of empty slice")  # rows never shown
            mean = np.nanmean(trajectory.logits.astype(np.float64), axis=0)
        predictions = mean.reshape(len(targets), -1) * self.scale + self.center
        return predictions, predictions

    def of_unseen_rows(self, X: Rows) -> Floats:
        """Return what the network says in the end."""
        said = answers(self.record.module, X, self.record.head).astype(np.float64)
        return np.asarray(said * self.scale + self.center)


@dataclass
class OfNeighbors:
    """Medians of the targets of a row's neighbours in the layers of a single network."""

    record: TrainingRecord
    probes: NeighborProbes
    max_bank: int | None
    bank: tuple[Rows, Floats] | None = None  # the training rows

    def of_training_rows(self, X: Rows, targets: Floats, progress: Task) -> tuple[Floats, Floats]:
        """Return the medians over other rows."""
        self.bank = X, targets.reshape(len(targets), -1)
        own = positions_in(self._among(), len(targets))
        medians = self.probes.median_targets(self._open_bank(), X, own, progress)
        return medians, medians

    def of_unseen_rows(self, X: Rows) -> Floats:
        """Return the medians over training rows."""
        return self.probes.median_targets(self._open_bank(), X)

    def _open_bank(self) -> NeighborBank:
        """Return the rows among which neighbours are looked for."""
        assert self.bank is not None
        X, targets = self.bank
        return self.probes.bank(self.record, X, targets, self._among())

    def _among(self) -> NDArray[np.int64]:
        """Return their positions."""
        assert self.bank is not None
        n = len(self.bank[1])
        return choose_rows(np.zeros(n, dtype=np.int64), self.max_bank or n, _SEED_OF_BANKS)


def open_predictions(scorer: Any, method: str, targets: Floats) -> Predictions:
    """Return what a method takes predictions from, of a scorer that has trained."""
    if method == "precomputed":
        return AsGiven(targets.ndim == 1, targets[0].size)
    if hasattr(scorer, "_judged"):
        return OfClones(scorer._judged)
    unit = scorer.target_center_, scorer.target_scale_
    if method == "out_of_sample":
        return OfMembers(scorer.ensemble_, *unit)
    if method == "one_fit":
        return OfEpochs(scorer.record_, *unit)
    return OfNeighbors(scorer.record_, scorer._neighbor_probes(), scorer.max_bank)
