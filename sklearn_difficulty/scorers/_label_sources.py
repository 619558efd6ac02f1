# SPDX-License-Identifier: BSD-3-Clause
"""Where LabelErrorScorer takes class probabilities from: four sources behind one interface."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from ..inference.dynamics import mean_probabilities
from ..inference.neighbors import NeighborBank
from ..inference.readouts import VotesReadout
from ..progress import Task
from ..training.ensemble import ResampledEnsemble
from ..training.record import TrainingRecord
from ..training.rows import Rows

Probabilities = NDArray[np.floating[Any]]


class LabelSource(Protocol):
    """Class probabilities of training rows, and of rows taken as unseen."""

    def of_training_rows(
        self, X: Rows, targets: NDArray[np.int64], progress: Task
    ) -> tuple[Probabilities, Probabilities]:
        """Return the probabilities (n, n_classes) of the training rows; NaN where unknown.

        And the same once more, on the scale of `of_unseen_rows`.
        """

    def of_unseen_rows(self, X: Rows) -> Probabilities:
        """Return the probabilities (m, n_classes) of other rows."""


class HeldOutMembers:
    """What members of an ensemble say of rows that they were not trained on.

    Half of it is their own probability, half the votes of the nearest rows that they were trained
    on, unless there is no readout.
    """

    def __init__(self, ensemble: ResampledEnsemble, readout: VotesReadout | None) -> None:
        self.ensemble = ensemble
        self.readout = readout
        self.bank: tuple[Rows, NDArray[np.int64]] | None = None

    def of_training_rows(
        self, X: Rows, targets: NDArray[np.int64], progress: Task
    ) -> tuple[Probabilities, Probabilities]:
        """Return the mean over members and epochs, and over members as they were in the end."""
        over_epochs = self.ensemble.out_of_sample_probability("epochs")
        in_the_end = self.ensemble.out_of_sample_probability("last")
        if self.readout is None:
            return over_epochs, in_the_end
        self.bank = X, targets
        votes = self._votes(X, targets, progress)
        return (over_epochs + votes) / 2, (in_the_end + votes) / 2

    def of_unseen_rows(self, X: Rows) -> Probabilities:
        """Return the mean over all members."""
        ensemble, said = self.ensemble, self.ensemble._member_probability(X).mean(axis=0)
        if self.readout is None:
            return said
        bank = known_bank(self.bank, "ensemble_")
        votes = [
            self.readout.votes(self.readout.bank(ensemble.record(k), *bank, trained_on), X)
            for k, trained_on in enumerate(ensemble.masks_)
        ]
        return (said + np.mean(votes, axis=0)) / 2

    def _votes(self, X: Rows, targets: NDArray[np.int64], progress: Task) -> Probabilities:
        """Return the mean votes over the members that held a row out, (n, n_classes)."""
        ensemble, held_out = self.ensemble, ~self.ensemble.masks_
        assert self.readout is not None
        if ensemble._read_with == self.readout:
            parts = ensemble.readout_["votes"]
        elif ensemble.has_members:
            parts = []
            with progress.subtask("score", len(held_out)) as scoring:
                for k, trained_on in enumerate(ensemble.masks_):
                    with scoring.subtask(f"member {k}"):
                        record = ensemble.record(k)
                        parts.append(self.readout(record, X, targets, trained_on)["votes"])
        else:
            raise ValueError(
                "This ensemble has not asked neighbours with these settings, and its members are "
                "gone. Fit it with readout=LabelErrorScorer(...).readout(), with "
                "keep_members=True, pass the net, or set n_neighbors=None."
            )
        total = np.zeros((held_out.shape[1], len(ensemble.classes_)))
        for mask, part in zip(held_out, parts, strict=True):
            total[mask] += part
        n_votes = held_out.sum(axis=0)[:, None]
        return np.divide(total, n_votes, out=np.full_like(total, np.nan), where=n_votes > 0)


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
        mean = np.divide(total, n_shown, out=np.full_like(total, np.nan), where=n_shown > 0)
        return mean, mean

    def of_unseen_rows(self, X: Rows) -> Probabilities:
        """Return the mean over the checkpoints that were kept."""
        checkpoints = self.record.select(10)
        if not checkpoints:
            raise ValueError(
                "Unseen rows are read at checkpoints, and the record holds none. Record some "
                "(checkpoints=10), or make it from checkpoints."
            )
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
        votes = self.readout.votes(self._bank(), None, progress)
        return votes, votes

    def of_unseen_rows(self, X: Rows) -> Probabilities:
        """Return the votes of the training rows."""
        return self.readout.votes(self._bank(), X)

    def _bank(self) -> NeighborBank:
        rows, codes = known_bank(self.bank, "record_")
        return self.readout.bank(self.record, rows, codes, np.ones(len(codes), dtype=bool))


class Precomputed:
    """Probabilities that are given in place of rows."""

    def of_training_rows(
        self, X: Rows, targets: NDArray[np.int64], progress: Task
    ) -> tuple[Probabilities, Probabilities]:
        """Return X itself."""
        probabilities = self.of_unseen_rows(X)
        return probabilities, probabilities

    def of_unseen_rows(self, X: Rows) -> Probabilities:
        """Return X itself."""
        return np.asarray(X, dtype=np.float64)


def known_bank(
    bank: tuple[Rows, NDArray[np.int64]] | None, again: str
) -> tuple[Rows, NDArray[np.int64]]:
    """Return the training rows and their codes, or say how to get them back."""
    if bank is None:
        raise ValueError(
            "This LabelErrorScorer was pickled with pickle_bank=False and has lost the training "
            "rows, among which neighbours are looked for. Set estimator to its "
            f"{again} and fit it on them again: nothing is trained."
        )
    return bank
