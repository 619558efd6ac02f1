# SPDX-License-Identifier: BSD-3-Clause
"""Exact nearest neighbours of embedded rows in a bank of embedded rows.

The order of the work: groups of probes whose embeddings of the whole bank fit the memory budget are
embedded once; the bank of a wider probe is embedded piece by piece, and the rows anew for every
piece. Inside, blocks of rows meet the piece in a matrix product, and the nearest of each row are
carried from piece to piece. The budget is scikit-learn's ``working_memory``: half of it for a
piece, an eighth each for embedded rows, for the copies made on the way, and for distances.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn import get_config
from sklearn.model_selection import train_test_split

from .._progress import SILENT, Task
from ..networks.forward import module_device
from ..rows.rows import Rows
from .blocks import parts_of
from .embeddings import EmbeddingReader, refuse_other_width
from .nearest import _CHUNK_ROWS, _MIN_ROWS, _Nearest, _Piece, _squared_lengths, full_precision
from .sketches import has_sketches, principal_axes, products_of_pair, rows_of_axes
from .trace import Probe

_MIN_BUDGET = 2**22  # bytes, below which it is not halved again when CUDA runs out of memory


class Neighbors(NamedTuple):
    """The nearest bank rows of every row at one probe."""

    probe: Probe
    distances: NDArray[np.float32]  # (n, k); NaN where the row's embedding is not finite
    positions: NDArray[np.int64]  # (n, k) in the bank, increasing, not by distance


class NeighborBank:
    """Rows, kept by reference, among which neighbours are looked for; embedded when needed."""

    def __init__(
        self,
        reader: EmbeddingReader,
        X: Rows,
        codes: NDArray[Any],  # or targets
        probes: Sequence[Probe],
        *,
        batch_size: int,
    ) -> None:
        self.reader = reader
        self.X = X
        self.codes = codes
        self.probes = list(probes)
        self.batch_size = batch_size
        self._widths = dict(zip(probes, reader.widths(X, probes), strict=True))
        self._kept: dict[Probe, _Piece] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": {}}

    def parts(
        self, X: Rows | None, own: NDArray[np.int64] | None
    ) -> Iterator[tuple[slice, Rows | None, NDArray[np.int64] | None]]:
        """Yield parts of the rows that `nearest` is asked about: it holds k neighbours of each."""
        parts = list(parts_of(len(self.X if X is None else X)))
        if len(parts) == 1:
            yield parts[0], X, own
            return
        if X is None:
            X, own = self.X, np.arange(len(self.X))
        for part in parts:
            yield part, X.take(part), None if own is None else own[part]

    def products(self, n: int) -> float:
        """Return how many products of two numbers a search for n rows takes, on a CPU."""
        n_bank, cpu = len(self.X), torch.device("cpu")
        of_pair = sum(products_of_pair(self._widths[p], n_bank, cpu) for p in self.probes)
        return n * n_bank * of_pair

    def nearest(
        self,
        X: Rows | None,
        n_neighbors: int,
        *,
        own: NDArray[np.int64] | None = None,
        probes: Sequence[Probe] | None = None,
        progress: Task = SILENT,
    ) -> Iterator[Neighbors]:
        """Yield the nearest bank rows of every row, probe by probe; of equally near ones the first.

        X None stands for the rows of the bank, none of which is its own neighbour; `own` (n,) is
        the position of every row in the bank, which is left out, -1 if it is not in it.
        """
        if X is None:
            own = np.arange(len(self.X))
        if n_neighbors > len(self.X) - (own is not None):
            raise ValueError(
                f"n_neighbors={n_neighbors} is more than the {len(self.X)} rows of the bank can "
                "offer."
            )
        remaining = list(self.probes if probes is None else probes)
        budget = int(get_config()["working_memory"] * 2**20)
        with progress.subtask("score", len(remaining)) as searching:
            while remaining:
                group = self._group(remaining, budget)
                results: list[Neighbors] = []
                try:
                    results = self._search(X, n_neighbors, own, group, budget)
                except torch.cuda.OutOfMemoryError:
                    if budget <= _MIN_BUDGET:
                        raise
                if not results:
                    # Outside of the handler, whose traceback holds the tensors.
                    self._kept.clear()
                    torch.cuda.empty_cache()
                    budget //= 2
                for neighbors in results:
                    with searching.subtask(neighbors.probe.name):
                        yield neighbors
                remaining = remaining[len(results) :]

    def _group(self, probes: Sequence[Probe], budget: int) -> list[Probe]:
        """Return the first probes that fit half of the budget together, or the first one."""
        n_bytes = np.cumsum([self._bytes(probe) for probe in probes])
        return list(probes[: max(1, int(np.searchsorted(n_bytes, budget // 2, side="right")))])

    def _bytes(self, probe: Probe) -> int:
        """Return the bytes that the embeddings of the whole bank take at a probe."""
        return 4 * self._widths[probe] * len(self.X)

    def _search(
        self,
        X: Rows | None,
        n_neighbors: int,
        own: NDArray[np.int64] | None,
        group: Sequence[Probe],
        budget: int,
    ) -> list[Neighbors]:
        """Return the neighbours at the probes of a group, chunk by chunk and piece by piece."""
        rows = self.X if X is None else X
        n = len(rows)
        row_bytes = 4 * sum(self._widths[probe] for probe in group)
        n_chunk = min(_CHUNK_ROWS, max(_MIN_ROWS, budget // 8 // row_bytes))
        batch_size = min(self.batch_size, n_chunk)
        searches = [_Nearest(n, n_neighbors, budget // 8) for _ in group]
        finite: list[list[NDArray[np.bool_]]] = []  # by piece and probe, rows of the bank
        with full_precision():
            for start, pieces in self._pieces(group, n_chunk, batch_size, budget):
                finite.append([torch.isfinite(piece.squares).cpu().numpy() for piece in pieces])
                for first in range(0, n, n_chunk):
                    chunk = slice(first, min(first + n_chunk, n))
                    if X is None and len(pieces[0].matrix) == n:
                        embedded = [piece.embedded(chunk) for piece in pieces]
                    else:
                        part = rows.take(chunk)
                        embedded = self.reader.embed(part, group, batch_size=batch_size)
                        for values, piece, probe in zip(embedded, pieces, group, strict=True):
                            refuse_other_width(probe, values, piece.matrix.shape[1])
                            values -= piece.centre
                    own_in_piece = None if own is None else own[chunk] - start
                    for values, piece, search in zip(embedded, pieces, searches, strict=True):
                        search.update(chunk, values, piece, start, own_in_piece)
                del pieces, piece, embedded, values  # before the next piece is embedded
        of_probes = [np.concatenate(parts) for parts in zip(*finite, strict=True)]
        _refuse_too_few(group, of_probes, n_neighbors, own is not None)
        return [
            Neighbors(probe, *search.result())
            for probe, search in zip(group, searches, strict=True)
        ]

    def _pieces(
        self, group: Sequence[Probe], n_chunk: int, batch_size: int, budget: int
    ) -> Iterator[tuple[int, list[_Piece]]]:
        """Yield where a piece of the bank starts, and its embeddings at every probe of a group."""
        n = len(self.X)
        if all(probe in self._kept for probe in group):
            yield 0, [self._kept[probe] for probe in group]
            return
        n_piece = max(_MIN_ROWS, budget // 2 // sum(self._bytes(p) // n for p in group))
        centres: list[torch.Tensor] | None = None
        if n_piece < n:
            centres = self._centres(group, n_chunk, batch_size)
        axes = self._axes(group, batch_size, budget)
        for start in range(0, n, n_piece):
            part = self.X.take(slice(start, min(start + n_piece, n)))
            matrices = self.reader.embed(part, group, batch_size=batch_size)
            finite = [_finite_rows(matrix) for matrix in matrices]
            if centres is None:
                centres = [_mean(*pair) for pair in zip(matrices, finite, strict=True)]
            pieces = [
                _Piece.of(matrix.sub_(centre), rows, centre, own_axes)
                for matrix, rows, centre, own_axes in zip(
                    matrices, finite, centres, axes, strict=True
                )
            ]
            if sum(map(self._bytes, self.probes)) <= budget // 2:
                self._kept.update(zip(group, pieces, strict=True))
            yield start, pieces
            del pieces, matrices

    def _axes(
        self, group: Sequence[Probe], batch_size: int, budget: int
    ) -> list[torch.Tensor | None]:
        """Return the axes of sketches at every probe of a group, None where they do not pay."""
        n, device = len(self.X), module_device(self.reader.record.module)
        axes: list[torch.Tensor | None] = []
        for probe in group:
            width = self._widths[probe]
            rows = rows_of_axes(n, budget // 8 // (4 * width))
            if rows is None or not has_sketches(width, n, device):
                axes.append(None)
                continue
            [matrix] = self.reader.embed(self.X.take(rows), [probe], batch_size=batch_size)
            axes.append(principal_axes(matrix))
        return axes

    def _centres(self, group: Sequence[Probe], n_chunk: int, batch_size: int) -> list[torch.Tensor]:
        """Return the mean of the whole bank at every probe of a group, in a pass of its own."""
        n = len(self.X)
        sums: list[Any] = [0.0] * len(group)
        counts = [0] * len(group)
        for start in range(0, n, n_chunk):
            part = self.X.take(slice(start, min(start + n_chunk, n)))
            for i, matrix in enumerate(self.reader.embed(part, group, batch_size=batch_size)):
                finite = _finite_rows(matrix)
                counts[i] += int(finite.sum())
                matrix = matrix if bool(finite.all()) else matrix[finite]
                sums[i] = sums[i] + matrix.sum(dim=0, dtype=torch.float64)
        pairs = zip(sums, counts, strict=True)
        return [(total / max(1, count)).float() for total, count in pairs]


def choose_rows(codes: NDArray[np.int64], n: int, seed: int) -> NDArray[np.int64]:
    """Return the positions of n rows, in order, with the shares of the classes if that can be."""
    all_rows = np.arange(len(codes))
    if n >= len(codes):
        return all_rows
    counts = np.bincount(codes)
    # train_test_split stratifies only where every class can be inside and outside.
    n_least = min(n, len(codes) - n)
    can_stratify = counts[counts > 0].min() > 1 and n_least >= np.count_nonzero(counts)
    strata = codes if can_stratify else None
    chosen, _ = train_test_split(all_rows, train_size=n, stratify=strata, random_state=seed)
    return np.sort(chosen)


def positions_in(rows: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Return the position (n,) of every row among those of a bank, -1 if it is not in it."""
    own = np.full(n, -1)
    own[rows] = np.arange(len(rows))
    return own


def _mean(matrix: torch.Tensor, finite: torch.Tensor) -> torch.Tensor:
    """Return the mean (width,) of the rows that are finite."""
    if bool(finite.all()):
        return matrix.mean(dim=0)
    return matrix[finite].mean(dim=0) if bool(finite.any()) else torch.zeros_like(matrix[0])


def _finite_rows(matrix: torch.Tensor) -> torch.Tensor:
    """Return the rows (n,) whose embeddings and squared lengths are finite."""
    return torch.isfinite(_squared_lengths(matrix))


def _refuse_too_few(
    group: Sequence[Probe], finite: Sequence[NDArray[np.bool_]], n_neighbors: int, has_own: bool
) -> None:
    """Raise where too few rows of the bank have finite embeddings to be anybody's neighbours."""
    for probe, rows in zip(group, finite, strict=True):
        if np.count_nonzero(rows) - has_own < n_neighbors:
            raise ValueError(
                f"The network computes NaN or inf, or numbers whose squares are inf, at "
                f"{probe.name!r} for training rows, first {np.flatnonzero(~rows)[:5].tolist()}, so "
                f"distances to them mean nothing, and fewer than n_neighbors={n_neighbors} others "
                "are left. Did the training diverge?"
            )
