# SPDX-License-Identifier: BSD-3-Clause
"""What the nearest training rows say: prediction depth and votes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from .._progress import SILENT, Task
from ..measures import prediction_depth
from ..networks.forward import call_module
from ..rows.inputs import copied
from ..rows.rows import Rows, as_rows, n_rows, take_rows
from ..training.record import TrainingRecord
from .blocks import read_blocks
from .embeddings import EmbeddingReader
from .nearest import count_votes, full_precision, majority
from .neighbors import NeighborBank
from .predictions import predicted_classes
from .probes import ProbeChoice, find_probes
from .trace import Probe

_ROUNDING = 1e-4


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
        rows = as_rows(X, collate_fn=record.collate_fn)
        bank = self.bank(record, rows, codes, trained_on)
        return {"votes": self.votes(bank, rows.take(np.flatnonzero(~trained_on)))}

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


@dataclass(frozen=True)
class DepthReadout(NeighborReadout):
    """Reads the prediction depth of all rows from a member's record."""

    def __call__(
        self,
        record: TrainingRecord,
        X: Rows,
        codes: NDArray[np.int64],
        trained_on: NDArray[np.bool_],
    ) -> dict[str, NDArray[np.float32]]:
        """Return the depth of every row as ``{"depth": (n,)}``.

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
            float32, divided by the deepest that is possible: in [0, 1], NaN where undefined.
        """
        own = np.where(trained_on, np.cumsum(trained_on) - 1, -1)
        rows = as_rows(X, collate_fn=record.collate_fn)
        bank = self.bank(record, rows, codes, trained_on)
        return {"depth": self.depth(bank, rows, own=own)}

    def depth(
        self, bank: NeighborBank, X: Rows, own: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """Return the depth of rows in [0, 1]; `own` is the position of each in the bank, or -1."""
        record = bank.reader.record
        assert record.classes_ is not None
        winners = np.stack(
            [
                majority(
                    bank.codes[found.positions], found.distances, len(record.classes_), "nearest"
                )[0]
                for found in bank.nearest(X, self.n_neighbors, own=own)
            ]
        )
        with full_precision():  # as the last probe
            predicted = predicted_classes(record, X, batch_size=self.batch_size)
        depth = prediction_depth(winners, predicted) / max(1, len(winners) - 1)
        depth[(winners < 0).any(axis=0)] = np.nan  # an embedding that is not finite
        return depth.astype(np.float32)

    def last_hidden(self, record: TrainingRecord, X: Rows) -> Probe:
        """Return the last of the probes that is before what the network returns."""
        return last_hidden_probe(record, X, self.probes, include_input=self.include_input)

    def bank_at(
        self,
        probe: Probe,
        record: TrainingRecord,
        X: Rows,
        codes: NDArray[np.int64],
        rows: NDArray[np.int64],
    ) -> NeighborBank:
        """Return some rows, to look for neighbours among them at a single probe."""
        bank = take_rows(X, rows)
        return NeighborBank(
            self.reader(record), bank, codes[rows], [probe], batch_size=self.batch_size
        )


def last_hidden_probe(
    record: TrainingRecord, X: Rows, choice: ProbeChoice = "auto", *, include_input: bool = True
) -> Probe:
    """Return the last probe before what the network returns.

    Parameters
    ----------
    record : TrainingRecord
        The network.
    X : ndarray, dict of ndarrays or Dataset
        Some rows.
    choice : "auto", str, list of str, or callable, default="auto"
        Which layers are probed.
    include_input : bool, default=True
        Whether the input may be taken, where there is no hidden layer.

    Returns
    -------
    probe : Probe
        The first one if all of them return what the network returns.
    """
    probes = find_probes(record, X, choice, include_input=include_input)[:-1]
    rows = take_rows(X, slice(0, min(2, n_rows(X))))
    [block] = read_blocks(
        record,
        rows,
        None,
        lambda inputs, _: record.head.logits(call_module(record.module, copied(inputs))),
        batch_size=2,
    )
    returned = block.result[: block.n].float().log_softmax(dim=1)
    embedded = EmbeddingReader(record).embed(rows, probes, batch_size=2)
    for probe, values in zip(reversed(probes), reversed(embedded), strict=True):
        if values.shape[1] == 1:  # the logit of the second of two classes
            values = torch.cat([torch.zeros_like(values), values], dim=1)
        # Compared after softmax, since the network may take that itself.
        is_returned = values.shape == returned.shape and torch.allclose(
            values.log_softmax(dim=1), returned, rtol=_ROUNDING, atol=_ROUNDING
        )
        if not is_returned:
            return probe
    return probes[0]
