# SPDX-License-Identifier: BSD-3-Clause
"""What the scorers that probe a network's layers share: parameters, and the bank that they keep."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval, StrOptions

from .._randomness import draw_seed
from .._warnings import warn_caller
from ..inference.embeddings import EmbeddingReader
from ..inference.neighbors import NeighborBank, choose_rows, positions_in
from ..inference.probes import ProbeChoice
from ..inference.probing import NeighborProbes
from ..inference.trace import Probe
from ..networks.forward import module_device
from ..rows.rows import Rows
from ..training.record import TrainingRecord
from ..training.requirements import RecordNeeds
from ._base import BaseDifficultyScorer

_MANY_PRODUCTS = 5e12  # of numbers: a few minutes on a core


class KeepsBank(BaseDifficultyScorer):
    """The part of a scorer that keeps training rows, and leaves them out of its pickle if asked."""

    pickle_bank: bool
    _bank: Any
    _bank_trained_as = "record_"  # what can be read again, to get lost rows back

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())  # it may be the scorer's own
        if not self.pickle_bank:
            state.pop("_bank", None)
        return state

    def _forget(self) -> None:
        super()._forget()
        self.__dict__.pop("_bank", None)

    def _known_bank(self) -> Any:
        """Return the training rows as they were kept, or say how to get them back."""
        if not hasattr(self, "_bank"):
            raise lost_bank(type(self).__name__, self._bank_trained_as)
        return self._bank


class BaseProbeScorer(KeepsBank):
    """Base of the scorers that ask the nearest training rows at several layers of the network."""

    classes_: NDArray[Any]
    _bank: NeighborBank

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
        self._probing.rehearse(record, X)

    @property
    def _probing(self) -> NeighborProbes:
        """What looks for neighbours, as the parameters say."""
        return NeighborProbes(
            n_neighbors=self.n_neighbors,
            probes=self.probes,
            include_input=self.include_input,
            metric=self.metric,
            pool=self.pool,
            batch_size=self.batch_size,
        )

    def _open_bank(self, X: Rows, targets: NDArray[Any]) -> None:
        """Make the bank of the training rows, or of some of them."""
        probing, record = self._probing, self.record_
        probes = probing.find(record, X)
        self.probe_names_ = np.array([probe.name for probe in probes], dtype=object)
        self.bank_indices_ = self._choose_bank(targets)
        if self.pool is not None:
            as_is = EmbeddingReader(record)
            if probing.reader(record).widths(X, probes) != as_is.widths(X, probes):
                warn_caller(
                    f"pool={self.pool} averages wide maps before distances are measured: the "
                    "scores are an approximation."
                )
        self._bank = bank = probing.bank(record, X, targets, self.bank_indices_, probes)
        if bank.products(len(X)) > _MANY_PRODUCTS and module_device(record.module).type == "cpu":
            warn_caller(
                f"{len(X)} rows are compared with {len(bank.X)} at {len(probes)} layers, which "
                "takes minutes to hours on a CPU. Faster approximations: max_bank=10_000 looks "
                "among some of the rows, pool=4 averages maps. verbose=1 shows how far it is."
            )

    def _choose_bank(self, targets: NDArray[Any]) -> NDArray[np.int64]:
        """Return the positions of the bank's rows, in order."""
        if self.max_bank is None or self.max_bank >= len(targets):
            return np.arange(len(targets))
        warn_caller(
            f"max_bank={self.max_bank} looks for neighbours among that many of the "
            f"{len(targets)} training rows: the scores are an approximation."
        )
        return choose_rows(targets, self.max_bank, draw_seed(self.random_state) % 2**32)

    def _training_rows(self, X: Rows) -> tuple[Rows | None, NDArray[np.int64] | None]:
        """Return rows to ask the bank about, and their places in it; None for the bank's own."""
        n = len(X)
        if len(self.bank_indices_) == n:
            return None, None
        return X, positions_in(self.bank_indices_, n)

    def _named(self, probe: str | int) -> Probe:
        """Return the probe of a name or position."""
        names, probes = self.probe_names_.tolist(), self._known_bank().probes
        if isinstance(probe, Integral) and -len(names) <= probe < len(names):
            return probes[int(probe)]
        if not isinstance(probe, str) or probe not in names:
            raise ValueError(f"There is no probe {probe!r}; there are {names}.")
        return probes[names.index(probe)]


def lost_bank(scorer: str, kept: str) -> ValueError:
    """Return the error of a scorer without its training rows, which says how to get them back."""
    return ValueError(
        f"This {scorer} was pickled with pickle_bank=False and has lost the training rows, among "
        f"which neighbours are looked for. Set estimator to its {kept} and fit it on them again: "
        "nothing is trained."
    )
