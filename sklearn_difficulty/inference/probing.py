# SPDX-License-Identifier: BSD-3-Clause
"""What the nearest training rows say: prediction depth, votes and agreement.

`NeighborProbes` is the one way from settings to a bank of rows and from there to what neighbours
say. The readouts are the same, asked of the members of an ensemble.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from .._progress import SILENT, Task
from .._randomness import alone
from ..measures import prediction_depth
from ..networks.forward import call_module
from ..rows.inputs import Inputs, copied
from ..rows.rows import Rows, as_rows
from ..training.record import TrainingRecord
from .blocks import read_blocks
from .embeddings import EmbeddingReader
from .nearest import count_votes, full_precision, majority
from .neighbors import NeighborBank, choose_rows, positions_in
from .predictions import predicted_classes
from .probes import ProbeChoice, find_probes
from .trace import INPUT, Probe

_SEED_OF_BANKS = 314_159_265  # no seed by which people shuffle rows or flip labels
_ROUNDING = 1e-4  # within which a probe is what the network returns


def _is_linear(_name: str, module: nn.Module) -> bool:
    """Tell whether a module is a linear layer."""
    return isinstance(module, nn.Linear)


@dataclass(frozen=True)
class NeighborProbes:
    """Looks for nearest rows at a network's probes, by the settings of `PredictionDepthScorer`."""

    n_neighbors: int = 30
    probes: ProbeChoice = "auto"
    include_input: bool = True
    metric: str = "euclidean"
    pool: int | None = None
    batch_size: int = 512
    reads_targets: bool = False  # of a regressor, in place of classes

    def __post_init__(self) -> None:
        if not (isinstance(self.probes, str) or callable(self.probes)):
            if getattr(self.probes, "ndim", 1) != 1:
                raise ValueError(f"probes must be a list of names of modules; got {self.probes!r}.")
            # Arrays cannot be compared with one another by ==.
            object.__setattr__(self, "probes", list(self.probes))

    def find(self, record: TrainingRecord, X: Rows) -> list[Probe]:
        """Return the probes of a network, but for those nobody named where rows differ in width."""
        probes = find_probes(
            record,
            X,
            self.probes,
            include_input=self.include_input,
            of_regressor=record.head.is_regression and self.reads_targets,
        )
        differing = X.differing()
        if differing is None:
            return probes
        reader = self.reader(record)
        even = reader.even(differing, probes)
        uneven = [probe.name for probe in probes if probe not in even]
        is_auto = isinstance(self.probes, str) and self.probes == "auto"
        if is_auto and len(even) < 2:  # blocks of a transformer: what is behind them remains
            linear = find_probes(record, X, _is_linear, include_input=False)
            even = reader.even(differing, linear)
        if len(even) < 2 or not (is_auto or set(uneven) <= {INPUT}):
            raise ValueError(
                f"Embeddings at {uneven} have more values for some rows than for others, so there "
                "is no distance between them. Let collate_fn pad all rows to one length, or name "
                "other modules as probes."
            )
        return even

    def last_hidden(self, record: TrainingRecord, X: Rows) -> Probe:
        """Return the last of the probes that is before what the network returns."""
        return last_hidden_probe(record, X, self.probes, include_input=self.include_input)

    def reader(self, record: TrainingRecord) -> EmbeddingReader:
        """Return what embeds rows."""
        return EmbeddingReader(record, pool=self.pool, unit_length=self.metric == "cosine")

    def rehearse(self, record: TrainingRecord, X: Rows) -> None:
        """Read some rows of an untrained network, so that what cannot be read is refused early."""
        self.reader(record).widths(X, self.find(record, X))

    def bank(
        self,
        record: TrainingRecord,
        X: Rows,
        codes: NDArray[Any],
        among: NDArray[Any],
        probes: Sequence[Probe] | None = None,
    ) -> NeighborBank:
        """Return the rows `among` X, a mask or positions, to look for neighbours among them."""
        all_rows = np.arange(len(codes))
        rows = all_rows[among]
        return NeighborBank(
            self.reader(record),
            X if np.array_equal(rows, all_rows) else X.take(rows),
            codes[rows],
            self.find(record, X) if probes is None else probes,
            batch_size=self.batch_size,
        )

    # Below, X None stands for the rows of the bank, none of which is its own neighbour; `own` is
    # the position of every row in the bank, -1 if it is not in it.

    def majority(
        self,
        bank: NeighborBank,
        X: Rows | None,
        own: NDArray[np.int64] | None = None,
        *,
        ties: str = "nearest",
        probes: Sequence[Probe] | None = None,
        progress: Task = SILENT,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the class with the most votes and its share, (n_probes, n); or -1 and NaN."""
        n_classes = _n_classes(bank)
        parts = []
        for _, rows, places in bank.parts(X, own):
            votes = [
                majority(labels, distances, n_classes, ties)
                for labels, distances in self._neighbors(bank, rows, places, probes, progress)
            ]
            parts.append([np.stack(of_probes) for of_probes in zip(*votes, strict=True)])
        winners, shares = (np.concatenate(found, axis=1) for found in zip(*parts, strict=True))
        return winners, shares

    def votes(
        self,
        bank: NeighborBank,
        X: Rows | None,
        progress: Task = SILENT,
        own: NDArray[np.int64] | None = None,
    ) -> NDArray[np.float32]:
        """Return the shares of the classes (n, n_classes) over all probes, none zero; or NaN."""
        n_classes = _n_classes(bank)
        # One vote is shared by all classes: none is impossible.
        counts = np.full((len(bank.X if X is None else X), n_classes), 1 / n_classes)
        for part, rows, places in bank.parts(X, own):
            of_part = counts[part]
            for labels, distances in self._neighbors(bank, rows, places, progress=progress):
                of_part += count_votes(labels, n_classes)
                of_part[np.isnan(distances).any(axis=1)] = np.nan
        return (counts / counts.sum(axis=1, keepdims=True)).astype(np.float32)

    def votes_at(self, probe: Probe, bank: NeighborBank, X: Rows) -> NDArray[np.float64]:
        """Return the shares of the classes (n, n_classes) at one probe."""
        [(labels, distances)] = self._neighbors(bank, X, probes=[probe])
        shares = count_votes(labels, _n_classes(bank)) / self.n_neighbors
        shares[np.isnan(distances).any(axis=1)] = np.nan
        return shares

    def median_targets(
        self,
        bank: NeighborBank,
        X: Rows,
        own: NDArray[np.int64] | None = None,
        progress: Task = SILENT,
    ) -> NDArray[np.float64]:
        """Return the median of the neighbours' targets (n, n_outputs), a mean over the probes."""
        means = []
        for _, rows, places in bank.parts(X, own):
            medians = []
            for targets, distances in self._neighbors(bank, rows, places, progress=progress):
                median = np.median(targets.astype(np.float64), axis=1)
                median[np.isnan(distances).any(axis=1)] = np.nan
                medians.append(median)
            means.append(np.mean(medians, axis=0))
        return np.concatenate(means)

    def agreement(
        self,
        bank: NeighborBank,
        X: Rows | None,
        classes: NDArray[np.int64],
        own: NDArray[np.int64] | None = None,
        progress: Task = SILENT,
    ) -> NDArray[np.float32]:
        """Return the share of the neighbours that have a row's class, (n, n_probes)."""
        parts = []
        for part, rows, places in bank.parts(X, own):
            shares = []
            for labels, distances in self._neighbors(bank, rows, places, progress=progress):
                share = (labels == classes[part, None]).mean(axis=1, dtype=np.float32)
                share[np.isnan(distances).any(axis=1)] = np.nan
                shares.append(share)
            parts.append(np.stack(shares, axis=1))
        return np.concatenate(parts)

    def depth_of(
        self, winners: NDArray[np.int64], record: TrainingRecord, X: Rows
    ) -> NDArray[np.float64]:
        """Return the probe from which on all predict what the network does; NaN where undefined."""
        depth = prediction_depth(winners, self.predicted(record, X))
        depth[(winners < 0).any(axis=0)] = np.nan  # an embedding that is not finite
        return depth

    def depth(
        self, bank: NeighborBank, X: Rows, own: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """Return the depth of rows, divided by the deepest that is possible."""
        winners, _ = self.majority(bank, X, own)
        depth = self.depth_of(winners, bank.reader.record, X) / max(1, len(winners) - 1)
        return depth.astype(np.float32)

    def predicted(self, record: TrainingRecord, X: Rows) -> NDArray[np.int64]:
        """Return the class that the network predicts, computed as the last probe is."""
        with full_precision():
            return predicted_classes(record, X, batch_size=self.batch_size)

    def _neighbors(
        self,
        bank: NeighborBank,
        X: Rows | None,
        own: NDArray[np.int64] | None = None,
        probes: Sequence[Probe] | None = None,
        progress: Task = SILENT,
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Yield the classes of every row's neighbours and their distances, probe by probe."""
        found = bank.nearest(X, self.n_neighbors, own=own, probes=probes, progress=progress)
        for neighbors in found:
            yield bank.codes[neighbors.positions], neighbors.distances


def _n_classes(bank: NeighborBank) -> int:
    """Return how many classes the bank's network tells apart."""
    classes = bank.reader.record.classes_
    assert classes is not None
    return len(classes)


@dataclass(frozen=True)
class VotesReadout(NeighborProbes):
    """Reads which classes the neighbours of held-out rows belong to, on average over the probes."""

    max_bank: int | None = None  # of the rows that were trained on, among which they are looked for

    def bank_rows(self, codes: NDArray[np.int64], among: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return the positions of the bank's rows: always the same for the same `among`."""
        rows = np.flatnonzero(among)
        if self.max_bank is None:
            return rows
        return rows[choose_rows(codes[rows], self.max_bank, _SEED_OF_BANKS)]

    def bank(
        self,
        record: TrainingRecord,
        X: Rows,
        codes: NDArray[Any],
        among: NDArray[Any],
        probes: Sequence[Probe] | None = None,
    ) -> NeighborBank:
        """Return the rows `among` X, a mask, or some of them, to look for neighbours among them."""
        return super().bank(record, X, codes, self.bank_rows(codes, among), probes)

    def votes_on_each_other(
        self,
        record: TrainingRecord,
        X: Rows,
        codes: NDArray[np.int64],
        progress: Task = SILENT,
        probes: Sequence[Probe] | None = None,
    ) -> NDArray[np.float32]:
        """Return the votes on every row of the others, or of those of them that are in the bank."""
        every = np.ones(len(codes), dtype=bool)
        bank, rows = self.bank(record, X, codes, every, probes), self.bank_rows(codes, every)
        if len(rows) == len(codes):
            return self.votes(bank, None, progress)
        return self.votes(bank, X, progress, positions_in(rows, len(codes)))

    def __call__(
        self,
        record: TrainingRecord,
        X: Rows,
        codes: NDArray[np.int64],
        trained_on: NDArray[np.bool_],
    ) -> dict[str, NDArray[np.float32]]:
        """Return the votes on the held-out rows as ``{"votes": (n_held_out, n_classes)}``."""
        rows = as_rows(X, collate_fn=record.collate_fn)
        with alone():
            bank = self.bank(record, rows, codes, trained_on)
            return {"votes": self.votes(bank, rows.take(np.flatnonzero(~trained_on)))}


@dataclass(frozen=True)
class DepthReadout(NeighborProbes):
    """Reads the prediction depth of all rows from a member's record."""

    def __call__(
        self,
        record: TrainingRecord,
        X: Rows,
        codes: NDArray[np.int64],
        trained_on: NDArray[np.bool_],
    ) -> dict[str, NDArray[np.float32]]:
        """Return the depth of every row as ``{"depth": (n,)}``, in [0, 1], NaN where undefined."""
        rows = as_rows(X, collate_fn=record.collate_fn)
        own = positions_in(np.flatnonzero(trained_on), len(codes))
        with alone():
            return {"depth": self.depth(self.bank(record, rows, codes, trained_on), rows, own)}


def last_hidden_probe(
    record: TrainingRecord, X: Rows, choice: ProbeChoice = "auto", *, include_input: bool = True
) -> Probe:
    """Return the last probe that is not what the network returns, the first if all are."""
    probes = find_probes(record, X, choice, include_input=include_input)[:-1]
    rows = X.take(slice(2))

    def logits(inputs: Inputs, _labels: torch.Tensor | None) -> torch.Tensor:
        return record.head.logits(call_module(record.module, copied(inputs)))

    [values] = read_blocks(
        record, rows, None, logits, lambda block: block.result[: block.n], batch_size=2
    )
    returned = values.float().log_softmax(dim=1)
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
