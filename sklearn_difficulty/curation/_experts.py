# SPDX-License-Identifier: BSD-3-Clause
"""ConFrag's experts: small classifiers of contrasting fragments, and what they say of every row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._progress import SILENT, Task
from .._warnings import located, warn_caller
from ..inference.embeddings import EmbeddingReader
from ..inference.neighbors import NeighborBank, positions_in
from ..inference.probes import last_linear_layer, penultimate_probe
from ..inference.trace import OUTPUT, Probe
from ..measures.fragments import (
    assign_fragments,
    fragment_centers,
    fragment_edges,
    fragment_prior,
    neighborhood_agreement,
    prediction_agreement,
    representation_agreement,
    selection_probability,
)
from ..rows.rows import Rows
from ..training.derived import two_class_net
from ..training.ensemble.member import initialized_clone, untrained_record
from ..training.epoch_rows import train_on_epochs
from ..training.record import TrainingRecord

VIEWS = ("prediction", "representation")
_BLOCK_ROWS = 512  # read at once
_N_SHIFTS = 4  # places of the fragments, as the authors have it for ages
_CLASSES = Probe(OUTPUT, "output")  # the probabilities of an expert's classes


@dataclass(frozen=True, eq=False)
class Fragments:
    """The targets in fragments, as a whole and as the windows of every epoch see them."""

    targets: NDArray[np.float64]
    edges: NDArray[np.float64]
    fragment: NDArray[np.int64]  # (n_rows,) without jitter
    windows: NDArray[np.int16]  # (n_epochs, n_rows): the fragment in every epoch, -1 outside

    @classmethod
    def of(
        cls,
        targets: NDArray[np.float64],
        n_fragments: int,
        fragmentation: str,
        jitter: float,
        n_epochs: int,
        seed: int,
    ) -> Fragments:
        """Cut targets into fragments, with windows in one of a few places in every epoch."""
        edges = fragment_edges(targets, n_fragments, fragmentation=fragmentation)
        if jitter * len(np.unique(targets)) < 1:
            jitter = 0.0  # it would leave out the smallest or the largest of a few values as such
        windows = np.empty((n_epochs, len(targets)), dtype=np.int16)
        # In few places, so that the smallest and the largest targets are inside in some epochs.
        shifts = np.random.default_rng(seed).integers(_N_SHIFTS, size=n_epochs) / (_N_SHIFTS - 1)
        for epoch, shift in enumerate(shifts):
            moved = fragment_edges(
                targets, n_fragments, fragmentation=fragmentation, jitter=jitter, shift=shift
            )
            windows[epoch] = assign_fragments(targets, moved)
        return cls(targets, edges, assign_fragments(targets, edges), windows)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Return how many rows each fragment has."""
        return np.bincount(self.fragment, minlength=len(self.edges) - 1)

    def prior(self) -> NDArray[np.float64]:
        """Return the prior (n_rows, n_fragments) of every fragment."""
        centers = fragment_centers(self.targets, self.fragment, len(self.edges) - 1)
        return fragment_prior(self.targets, centers)


@dataclass(frozen=True, eq=False)
class Votes:
    """Which fragments the experts take rows for, in every epoch and view."""

    agrees: NDArray[np.bool_]  # (n_epochs, n_views, n_rows, n_fragments)

    def probabilities(self, prior: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the selection probability (n_epochs, n_views, n_rows) that follows."""
        # Fragments without rows have no expert, and stand between no others.
        occupied = prior.any(axis=0)
        return np.array(
            [
                [
                    selection_probability(
                        prior[:, occupied], neighborhood_agreement(view[:, occupied])
                    )
                    for view in epoch
                ]
                for epoch in self.agrees
            ]
        )


def default_expert(net: Any, X: Rows) -> Any:
    """Return a classifier with the body of a regressor, or say why there can be none."""
    instead = "Pass expert, a skorch classifier of two classes."
    try:
        initialized = initialized_clone(net)
    except TypeError as error:  # a net that chooses its sizes in `fit`
        raise ValueError(
            f"The network cannot be made before it is trained, to look at its layers: {error}. "
            f"{instead}"
        ) from error
    record = untrained_record(initialized, None, X)
    found = last_linear_layer(record, X)
    if found is None:
        raise ValueError(
            f"{type(record.module).__name__} has no linear layer that could be replaced by one of "
            f"two outputs, to make experts of it. {instead}"
        )
    expert = two_class_net(net, *found)
    try:
        made = untrained_record(initialized_clone(expert), np.arange(2), X)
        EmbeddingReader(made).embed(X.take(slice(2)), [_CLASSES], batch_size=2)
    except Exception as error:
        raise ValueError(
            f"With two outputs of its last layer, {found[0]!r}, {type(record.module).__name__} is "
            f"no classifier of two classes: {error} {instead}"
        ) from error
    return expert


def train_experts(
    expert: Any,
    X: Rows,
    view: Rows,
    fragments: Fragments,
    pairs: NDArray[np.int64],
    *,
    views: Sequence[str],
    n_neighbors: int,
    seed: int,
    verbose: int,
    progress: Task = SILENT,
) -> Votes:
    """Train one expert for every pair of fragments, and return what each says of all rows."""
    n_epochs, n_rows = fragments.windows.shape
    agrees = np.zeros((n_epochs, len(views), n_rows, len(fragments.edges) - 1), dtype=bool)
    seeds = np.random.SeedSequence(seed).generate_state(len(pairs)).tolist()
    for pair, seed_of_pair in zip(pairs, seeds, strict=True):
        with located(f"in the expert of the fragments {tuple((pair + 1).tolist())}"):
            agrees[..., pair] = _agreement_of_pair(
                expert,
                X,
                view,
                fragments,
                pair,
                views=views,
                n_neighbors=n_neighbors,
                seed=seed_of_pair,
                verbose=verbose,
                progress=progress,
            )
    return Votes(agrees)


def _agreement_of_pair(
    expert: Any,
    X: Rows,
    view: Rows,
    fragments: Fragments,
    pair: NDArray[np.int64],
    *,
    views: Sequence[str],
    n_neighbors: int,
    seed: int,
    verbose: int,
    progress: Task,
) -> NDArray[np.bool_]:
    """Train the expert of a pair, and return what it says, (n_epochs, n_views, n_rows, 2)."""
    n_epochs, n_rows = fragments.windows.shape
    agrees = np.zeros((n_epochs, len(views), n_rows, 2), dtype=bool)
    inside = [fragments.windows == f for f in pair]
    # A row near an edge between the two may be in either, in different epochs.
    rows_of = [np.flatnonzero(mask.any(axis=0)) for mask in inside]
    if not all(map(len, rows_of)):
        # An expert that knows one fragment alone takes every row for one of it.
        agrees[..., [len(rows) > 0 for rows in rows_of]] = True
        return agrees
    bank = np.flatnonzero(np.isin(fragments.fragment, pair))
    if "representation" in views and len(bank) <= n_neighbors:
        warn_caller(
            f"The fragments {tuple((pair + 1).tolist())} have {len(bank)} rows together, too few "
            f"for n_neighbors={n_neighbors}: in the representation view they agree with no row."
        )
    reading = _Reading(view, bank, (fragments.fragment[bank] == pair[1]).astype(np.int64), n_rows)

    def read(record: TrainingRecord, epoch: int) -> None:
        for i, name in enumerate(views):
            if name == "prediction" or len(bank) > n_neighbors:
                agrees[epoch, i] = reading.of(record, name, n_neighbors)

    rows = np.concatenate(rows_of)
    with progress.subtask("expert", n_epochs) as training:
        train_on_epochs(
            expert,
            X.take(rows),
            np.repeat([0, 1], [len(part) for part in rows_of]),
            np.arange(2),
            np.concatenate([m[:, part] for m, part in zip(inside, rows_of, strict=True)], axis=1),
            random_state=seed,
            verbose=verbose,
            after_epoch=read,
            progress=training,
        )
    return agrees


class _Reading:
    """What an expert, as it is after some epoch, says of all rows."""

    def __init__(
        self, X: Rows, bank: NDArray[np.int64], codes: NDArray[np.int64], n_rows: int
    ) -> None:
        self.X = X
        self.bank = X.take(bank)
        self.codes = codes
        self.own = positions_in(bank, n_rows)
        self._probe: Probe | None = None

    def of(self, record: TrainingRecord, view: str, n_neighbors: int) -> NDArray[np.bool_]:
        """Return whether the expert agrees with either fragment (n_rows, 2) in a view."""
        if view == "prediction":
            [values] = EmbeddingReader(record).embed(self.X, [_CLASSES], batch_size=_BLOCK_ROWS)
            return prediction_agreement(values.cpu().numpy())
        self._probe = self._probe or penultimate_probe(record, self.X)
        reader = EmbeddingReader(record, unit_length=True)
        bank = NeighborBank(reader, self.bank, self.codes, [self._probe], batch_size=_BLOCK_ROWS)
        [found] = bank.nearest(self.X, n_neighbors, own=self.own)
        defined = np.isfinite(found.distances.sum(axis=1))
        return representation_agreement(self.codes[found.positions], defined)
