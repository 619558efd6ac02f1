# SPDX-License-Identifier: BSD-3-Clause
"""What the scorers that probe a network's layers share: probes, bank, neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split
from sklearn.utils._param_validation import Interval, StrOptions

from .._progress import SILENT, Task
from .._randomness import draw_seed
from .._warnings import warn_caller
from ..inference.embeddings import EmbeddingReader
from ..inference.nearest import full_precision
from ..inference.neighbors import NeighborBank, Neighbors
from ..inference.predictions import predicted_classes
from ..inference.probes import ProbeChoice, find_probes
from ..inference.trace import Probe
from ..rows.rows import Rows, n_rows, take_rows
from ..training.record import TrainingRecord
from ..training.requirements import RecordNeeds
from ._base import BaseDifficultyScorer


class BaseProbeScorer(BaseDifficultyScorer):
    """Base of the scorers that ask the nearest training rows at several layers of the network."""

    classes_: NDArray[Any]

    _parameter_constraints: dict[str, list[Any]] = {
        **BaseDifficultyScorer._parameter_constraints,
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "probes": [str, callable, "array-like"],
        "include_input": ["boolean"],
        "metric": [StrOptions({"euclidean", "cosine"})],
        "max_bank": [Interval(Integral, 2, None, closed="left"), None],
        "pool": [Interval(Integral, 1, None, closed="left"), None],
        "pickle_bank": ["boolean"],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        estimator: Any,
        *,
        n_neighbors: int,
        probes: ProbeChoice,
        include_input: bool,
        metric: str,
        max_bank: int | None,
        pool: int | None,
        pickle_bank: bool,
        batch_size: int,
        undefined: str,
        random_state: Any,
        verbose: int,
    ) -> None:
        self.estimator = estimator
        self.n_neighbors = n_neighbors
        self.probes = probes
        self.include_input = include_input
        self.metric = metric
        self.max_bank = max_bank
        self.pool = pool
        self.pickle_bank = pickle_bank
        self.batch_size = batch_size
        self.undefined = undefined
        self.random_state = random_state
        self.verbose = verbose

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())  # it may be the scorer's own
        if not self.pickle_bank:
            state.pop("_bank", None)
        return state

    def _forget(self) -> None:
        super()._forget()
        self.__dict__.pop("_bank", None)

    def _needs(self) -> RecordNeeds:
        return RecordNeeds(final_network=True)

    def _check_size(self, n: int) -> None:
        n_bank = n if self.max_bank is None else min(self.max_bank, n)
        if self.n_neighbors >= n_bank:
            raise ValueError(
                f"n_neighbors={self.n_neighbors} must be smaller than the bank, since no row is "
                f"its own neighbour, and the bank has {n_bank} row(s) (n_samples={n}, "
                f"max_bank={self.max_bank})."
            )

    def _rehearse(self, record: TrainingRecord, X: Rows, targets: NDArray[Any]) -> None:
        self._reader(record).widths(X, self._find_probes(record, X))

    def _find_probes(self, record: TrainingRecord, X: Rows) -> list[Probe]:
        return find_probes(record, X, self.probes, include_input=self.include_input)

    def _reader(self, record: TrainingRecord) -> EmbeddingReader:
        return EmbeddingReader(record, pool=self.pool, unit_length=self.metric == "cosine")

    def _open_bank(self, X: Rows, targets: NDArray[Any]) -> None:
        """Make the bank of the training rows, or of some of them."""
        probes = self._find_probes(self.record_, X)
        self.probe_names_ = np.array([probe.name for probe in probes], dtype=object)
        self.bank_indices_ = self._choose_bank(targets)
        reader, as_is = self._reader(self.record_), EmbeddingReader(self.record_)
        if self.pool is not None and reader.widths(X, probes) != as_is.widths(X, probes):
            warn_caller(
                f"pool={self.pool} averages wide maps before distances are measured: the scores "
                "are an approximation."
            )
        is_whole = len(self.bank_indices_) == len(targets)
        self._bank = NeighborBank(
            reader,
            X if is_whole else take_rows(X, self.bank_indices_),
            targets[self.bank_indices_],
            probes,
            batch_size=self.batch_size,
        )

    def _choose_bank(self, targets: NDArray[Any]) -> NDArray[np.int64]:
        """Return the positions of the bank's rows, in order."""
        everything = np.arange(len(targets))
        if self.max_bank is None or self.max_bank >= len(targets):
            return everything
        warn_caller(
            f"max_bank={self.max_bank} looks for neighbours among that many of the "
            f"{len(targets)} training rows: the scores are an approximation."
        )
        counts = np.bincount(targets)
        # Stratified where every class can be inside and outside: else a plain draw.
        n_least = min(self.max_bank, len(targets) - self.max_bank)
        can_stratify = counts[counts > 0].min() > 1 and n_least >= np.count_nonzero(counts)
        chosen, _ = train_test_split(
            everything,
            train_size=self.max_bank,
            stratify=targets if can_stratify else None,
            random_state=draw_seed(self.random_state) % 2**32,
        )
        return np.sort(chosen)

    def _neighbors_of_training_rows(self, X: Rows, progress: Task) -> Iterator[Neighbors]:
        n = n_rows(X)
        if len(self.bank_indices_) == n:
            return self._bank.nearest(None, self.n_neighbors, progress=progress)
        own = np.full(n, -1)
        own[self.bank_indices_] = np.arange(len(self.bank_indices_))
        return self._bank.nearest(X, self.n_neighbors, own=own, progress=progress)

    def _neighbors_of(self, X: Rows, *chosen: str | int) -> Iterator[Neighbors]:
        """Yield the neighbours of unseen rows, at the chosen probes or at all."""
        if not hasattr(self, "_bank"):
            raise ValueError(
                f"This {type(self).__name__} was pickled with pickle_bank=False and has lost the "
                "training rows, among which neighbours are looked for. Set estimator to its "
                "record_ and fit it on them again: nothing is trained."
            )
        probes = [self._named(probe) for probe in chosen] or None
        return self._bank.nearest(X, self.n_neighbors, probes=probes)

    def _named(self, probe: str | int) -> Probe:
        names = self.probe_names_.tolist()
        if isinstance(probe, Integral) and -len(names) <= probe < len(names):
            return self._bank.probes[int(probe)]
        if probe not in names:
            raise ValueError(f"There is no probe {probe!r}; there are {names}.")
        return self._bank.probes[names.index(probe)]

    def _labels_of(self, neighbors: Neighbors) -> NDArray[np.int64]:
        return self._bank.codes[neighbors.positions]

    def _predicted(self, X: Rows, progress: Task = SILENT) -> NDArray[np.int64]:
        with full_precision():  # as the last probe
            return predicted_classes(self.record_, X, batch_size=self.batch_size, progress=progress)
