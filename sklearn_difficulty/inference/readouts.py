# SPDX-License-Identifier: BSD-3-Clause
"""What is read from every member of an ensemble by its nearest training rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..progress import SILENT, Task
from ..training.record import TrainingRecord
from ..training.rows import Rows, n_rows, take_rows
from .embeddings import EmbeddingReader
from .neighbors import NeighborBank
from .probes import ProbeChoice, find_probes
from .votes import count_votes


@dataclass(frozen=True)
class NeighborReadout:
    """Base of the readouts that look for neighbours among the rows a member was trained on.

    Parameters
    ----------
    n_neighbors, probes, include_input, metric, batch_size : object
        As for `PredictionDepthScorer`.
    """

    n_neighbors: int = 30
    probes: ProbeChoice = "auto"
    include_input: bool = True
    metric: str = "euclidean"
    batch_size: int = 512

    def rehearse(self, record: TrainingRecord, X: Rows) -> None:
        """Read some rows of an untrained network, so that what cannot be read is refused early."""
        probes = find_probes(record, X, self.probes, include_input=self.include_input)
        self.reader(record).widths(X, probes)

    def reader(self, record: TrainingRecord) -> EmbeddingReader:
        """Return what embeds rows."""
        return EmbeddingReader(record, unit_length=self.metric == "cosine")

    def bank(
        self,
        record: TrainingRecord,
        X: Rows,
        codes: NDArray[np.int64],
        trained_on: NDArray[np.bool_],
    ) -> NeighborBank:
        """Return the rows that a member was trained on, to look for neighbours among them."""
        rows = np.flatnonzero(trained_on)
        return NeighborBank(
            self.reader(record),
            take_rows(X, rows),
            codes[rows],
            find_probes(record, X, self.probes, include_input=self.include_input),
            batch_size=self.batch_size,
        )


@dataclass(frozen=True)
class VotesReadout(NeighborReadout):
    """Reads which classes the neighbours of held-out rows belong to, on average over the probes."""

    def __call__(
        self,
        record: TrainingRecord,
        X: Rows,
        codes: NDArray[np.int64],
        trained_on: NDArray[np.bool_],
    ) -> dict[str, NDArray[np.float32]]:
        """Return the votes on the held-out rows as ``{"votes": (n_held_out, n_classes)}``.

        Parameters
        ----------
        record : TrainingRecord
            Of the member.
        X : ndarray, dict of ndarrays or Dataset
            All rows.
        codes : ndarray of shape (n,)
            Positions of their labels.
        trained_on : ndarray of shape (n,), bool
            Which of them are the bank.

        Returns
        -------
        arrays : dict of str to ndarray
            float32, rows sum to 1.
        """
        bank = self.bank(record, X, codes, trained_on)
        return {"votes": self.votes(bank, take_rows(X, np.flatnonzero(~trained_on)))}

    def votes(
        self, bank: NeighborBank, X: Rows | None, progress: Task = SILENT
    ) -> NDArray[np.float32]:
        """Return the shares of the classes among the neighbours of rows, none of which is zero.

        Parameters
        ----------
        bank : NeighborBank
            Where neighbours are looked for.
        X : ndarray, dict of ndarrays, Dataset or None
            Checked rows; None for those of the bank, none of which is its own neighbour.
        progress : Task
            Gets one subtask per probe.

        Returns
        -------
        votes : ndarray of shape (n, n_classes), float32
            NaN where an embedding is not finite.
        """
        assert bank.reader.record.classes_ is not None
        n_classes = len(bank.reader.record.classes_)
        # One vote is shared by all classes: none is impossible.
        counts = np.full((n_rows(bank.X if X is None else X), n_classes), 1 / n_classes)
        for found in bank.nearest(X, self.n_neighbors, progress=progress):
            counts += count_votes(bank.codes[found.positions], n_classes)
            counts[np.isnan(found.distances).any(axis=1)] = np.nan
        return (counts / counts.sum(axis=1, keepdims=True)).astype(np.float32)
