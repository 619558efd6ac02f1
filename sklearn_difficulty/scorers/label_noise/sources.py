# SPDX-License-Identifier: BSD-3-Clause
"""Where LabelErrorScorer takes class probabilities from: the choice, and what was trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from ..._progress import Task
from ...inference.neighbors import NeighborBank
from ...inference.predictions import mean_probabilities
from ...inference.probing import VotesReadout
from ...rows.rows import Rows
from ...training.ensemble.resampled import ResampledEnsemble
from ...training.record import TrainingRecord
from ...training.recorder import find_recorder
from ...training.requirements import Mode, RecordNeeds
from ...training.skorch_net import settings_of
from .._base_ensemble import readings_of_members
from .._base_probing import lost_bank
from .._cross_validated import CrossValidated
from .._judges import is_judge, refuse_methods_of_networks
from .._trained_source import checkpoints_to_read, given_record
from .judges import HeldOutByJudges
from .precomputed import Precomputed, Probabilities

_MEMBERS_ARE_GONE = (
    "This ensemble has not asked neighbours with these settings, and its members are gone. Fit it "
    "with readout=LabelErrorScorer(...).readout(), with keep_members=True, pass the net, or set "
    "n_neighbors=None."
)
# From this share of given labels that a network predicts in the end, it has learned wrong ones too.
_MEMORISED = 0.97


def choose_method(
    method: str, estimator: Any, record: TrainingRecord | None, n_neighbors: int | None
) -> str:
    """Return the method that "auto" stands for, or say why a method does not fit what is given."""
    if isinstance(estimator, str):
        if method != "auto":
            raise ValueError(f"method={method!r} trains; precomputed probabilities are read.")
        return estimator
    if isinstance(estimator, ResampledEnsemble):
        if method not in ("auto", "out_of_sample"):
            raise ValueError(f"method={method!r} reads a single training, not an ensemble.")
        return "out_of_sample"
    if is_judge(estimator):
        refuse_methods_of_networks(method, estimator)
    if record is None:
        method = "out_of_sample" if method == "auto" else method
    elif method == "out_of_sample":
        raise ValueError(
            "method='out_of_sample' needs networks that did not see every row, and the estimator "
            "is a single training. Pass the net, or a ResampledEnsemble."
        )
    elif method == "auto":
        method = _best_of_record(record)
    if method == "neighbors" and n_neighbors is None:
        raise ValueError("method='neighbors' needs a number of n_neighbors.")
    return method


def _best_of_record(record: TrainingRecord) -> str:
    """Return the method that finds most wrong labels, as the record has kept and learned them."""
    if not record.has_module:
        return "one_fit"
    trajectory = record.trajectory
    if trajectory is None or trajectory.logits is None:
        return "neighbors"
    learned = np.mean(trajectory.predicted[-1] == trajectory.targets)
    return "neighbors" if learned >= _MEMORISED else "one_fit"


def needs_of(method: str, estimator: Any) -> RecordNeeds:
    """Return what a method that reads a single training needs of its record."""
    if method == "neighbors":
        return RecordNeeds(final_network=True)
    mode = recording_mode(estimator, given_record(estimator))
    needs = RecordNeeds.of_trajectories(mode, logits=True)
    return needs | RecordNeeds.of_checkpoints(10, at_least=0)


def recording_mode(estimator: Any, record: TrainingRecord | None) -> Mode:
    """Return how the epochs of a training are recorded, or were."""
    if record is not None:
        return "training" if record.trajectory is None else record.trajectory.mode
    recorder = find_recorder(getattr(settings_of(estimator), "callbacks", None))
    return "training" if recorder is None else recorder.mode


def refuse_too_many_neighbors(
    n_neighbors: int | None, n_bank: int, n: int, max_bank: int | None
) -> None:
    """Raise if more neighbours are asked than there are rows among which to look for them."""
    if n_neighbors is not None and n_neighbors > n_bank:
        raise ValueError(
            f"n_neighbors={n_neighbors} is more than the {n_bank} rows among which neighbours are "
            f"looked for, with n_samples={n} and max_bank={max_bank}. Set a smaller number."
        )


class LabelSource(Protocol):
    """Class probabilities of training rows, and of rows taken as unseen."""

    def of_training_rows(
        self, X: Rows, targets: NDArray[np.int64], progress: Task
    ) -> tuple[Probabilities, Probabilities]:
        """Return probabilities (n, n_classes) of training rows, or NaN; and as if unseen."""

    def of_unseen_rows(self, X: Rows) -> Probabilities:
        """Return the probabilities (m, n_classes) of other rows."""


def open_source(
    method: str, trained: Any, readout: VotesReadout | None, batch_size: int
) -> LabelSource:
    """Return what a method of `choose_method` takes probabilities from; nothing is read yet."""
    if isinstance(trained, CrossValidated):
        return HeldOutByJudges(trained)
    if method == "out_of_sample":
        return HeldOutMembers(trained, readout)
    if method == "one_fit":
        return EpochsOfOneFit(trained, batch_size)
    if method == "precomputed":
        return Precomputed()
    assert readout is not None
    return NeighborsOfOneFit(trained, readout)


class HeldOutMembers:
    """Probabilities of members that held a row out: half their own, half neighbours' votes."""

    def __init__(self, ensemble: ResampledEnsemble, readout: VotesReadout | None) -> None:
        self.ensemble = ensemble
        self.readout = readout
        self.bank: tuple[Rows, NDArray[np.int64]] | None = None

    def of_training_rows(
        self, X: Rows, targets: NDArray[np.int64], progress: Task
    ) -> tuple[Probabilities, Probabilities]:
        """Return the mean over members and epochs, and over members as they were in the end."""
        ensemble = self.ensemble
        over_epochs = self._mean(ensemble.mean_held_out_probability_, targets)
        final = self._mean(ensemble.held_out_probability_, targets)
        if self.readout is None:
            return over_epochs, final
        self.bank = X, targets
        of_members = readings_of_members(
            ensemble, self.readout, "votes", X, targets, progress, if_gone=_MEMBERS_ARE_GONE
        )
        votes = self._mean(of_members, targets)
        return (over_epochs + votes) / 2, (final + votes) / 2

    def of_unseen_rows(self, X: Rows) -> Probabilities:
        """Return the mean over all members."""
        ensemble = self.ensemble
        probability = ensemble._member_probability(X).mean(axis=0)
        if self.readout is None:
            return probability
        bank = known_bank(self.bank, "ensemble_")
        votes = [
            self.readout.votes(self.readout.bank(ensemble.record(k), *bank, trained_on), X)
            for k, trained_on in enumerate(ensemble.masks_)
        ]
        return (probability + np.mean(votes, axis=0)) / 2

    def _mean(
        self, parts: Sequence[Probabilities], targets: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return the mean over the members that held a row out and know its class."""
        masks, n_classes = self.ensemble.masks_, len(self.ensemble.classes_)
        total, n_members = np.zeros((len(targets), n_classes)), np.zeros((len(targets), 1))
        for trained_on, part in zip(masks, parts, strict=True):
            # Of a class that it has not seen, a member says that it does not occur.
            knows = np.bincount(targets[trained_on], minlength=n_classes)[targets] > 0
            total[knows & ~trained_on] += part[knows[~trained_on]]
            n_members[knows & ~trained_on] += 1
        return _mean_or_nan(total, n_members)


class EpochsOfOneFit:
    """The mean over the epochs of a single training, of rows that are trained on."""

    def __init__(self, record: TrainingRecord, batch_size: int) -> None:
        self.record = record
        self.batch_size = batch_size

    def of_training_rows(
        self, X: Rows, targets: NDArray[np.int64], progress: Task
    ) -> tuple[Probabilities, Probabilities]:
        """Return the mean of the probabilities that were recorded."""
        trajectory = self.record.trajectory
        assert trajectory is not None
        assert trajectory.logits is not None
        total, n_shown = np.zeros(trajectory.logits.shape[1:]), np.zeros((len(targets), 1))
        for logits in trajectory.logits:
            shown = ~np.isnan(logits).any(axis=1)
            total[shown] += softmax(logits[shown].astype(np.float64), axis=1)
            n_shown[shown] += 1
        mean = _mean_or_nan(total, n_shown)
        return mean, mean

    def of_unseen_rows(self, X: Rows) -> Probabilities:
        """Return the mean over the checkpoints that were kept."""
        checkpoints = checkpoints_to_read(self.record, 10)
        return mean_probabilities(self.record, checkpoints, X, batch_size=self.batch_size)


class NeighborsOfOneFit:
    """The votes of the nearest training rows in the layers of a single network."""

    def __init__(self, record: TrainingRecord, readout: VotesReadout) -> None:
        self.record = record
        self.readout = readout
        self.bank: tuple[Rows, NDArray[np.int64]] | None = None

    def of_training_rows(
        self, X: Rows, targets: NDArray[np.int64], progress: Task
    ) -> tuple[Probabilities, Probabilities]:
        """Return the votes of all rows but the row itself."""
        self.bank = X, targets
        votes = self.readout.votes_on_each_other(self.record, X, targets, progress)
        return votes, votes

    def of_unseen_rows(self, X: Rows) -> Probabilities:
        """Return the votes of the training rows."""
        return self.readout.votes(self._bank(), X)

    def _bank(self) -> NeighborBank:
        """Return the bank of all training rows."""
        rows, codes = known_bank(self.bank, "record_")
        return self.readout.bank(self.record, rows, codes, np.ones(len(codes), dtype=bool))


def known_rows(probabilities: Probabilities, known: NDArray[np.bool_]) -> Probabilities:
    """Return the rows that are known, without a copy if all are."""
    return probabilities if known.all() else probabilities[known]


def _mean_or_nan(total: NDArray[Any], count: NDArray[Any]) -> NDArray[np.float32]:
    """Return totals divided by their counts, NaN for a count of zero."""
    mean = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
    return mean.astype(np.float32)


def known_bank(
    bank: tuple[Rows, NDArray[np.int64]] | None, again: str
) -> tuple[Rows, NDArray[np.int64]]:
    """Return the training rows and their codes, or say how to get them back."""
    if bank is None:
        raise lost_bank("LabelErrorScorer", again)
    return bank
