# SPDX-License-Identifier: BSD-3-Clause
"""The nearest bank rows by blocked matrix products, and the votes of neighbours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from .sketches import Sketch, is_worth, products_of_pair

_VOTE_BYTES = 2**26  # of the table of votes, by rows and classes, that is made at once
_CHUNK_ROWS = 2048  # embedded together, at most
_MIN_ROWS = 16  # of a chunk, a piece or a part, however little memory there is
_CPU_PRODUCT_ROWS = 256  # more are no faster, and their distances leave the caches
_GROUP = 8  # columns of which the minimum is looked at first
_PART_VALUES = 2**16  # squared at once
_MAX_COLUMNS = 2**23  # float32 can number them
_TIMED_BANK = 4096, 2**24  # rows and values, at most
_TIMES = 6  # that a search is timed


class SearchKind(NamedTuple):
    """What the time of comparing two rows depends on."""

    width: int  # of their embeddings
    device: torch.device


_COUNTED: ContextVar[Counter[SearchKind] | None] = ContextVar("_COUNTED", default=None)


def count_votes(labels: NDArray[np.int64], n_classes: int) -> NDArray[np.int64]:
    """Return how many neighbours (n, k) belong to each class, (n, n_classes)."""
    return _per_class(labels, n_classes).astype(np.int64)


def _per_class(
    labels: NDArray[np.int64], n_classes: int, weights: NDArray[Any] | None = None
) -> NDArray[Any]:
    """Return the sum over neighbours of each class, of ones or weights, (n, n_classes)."""
    n = len(labels)
    cells = labels + n_classes * np.arange(n)[:, None]
    flat = None if weights is None else weights.astype(np.float64).ravel()
    return np.bincount(cells.ravel(), flat, minlength=n * n_classes).reshape(n, n_classes)


def majority(
    labels: NDArray[np.int64], distances: NDArray[np.float32], n_classes: int, ties: str
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the class with the most votes and its share, (n,); -1 and NaN for a NaN distance."""
    winners = np.empty(len(labels), dtype=np.int64)
    shares = np.empty(len(labels), dtype=np.float32)
    step = max(1, _VOTE_BYTES // (8 * max(n_classes, labels.shape[1])))
    for start in range(0, len(labels), step):
        rows = slice(start, start + step)
        votes = count_votes(labels[rows], n_classes)
        most = votes.max(axis=1, keepdims=True)
        if ties == "nearest":
            summed = _per_class(labels[rows], n_classes, distances[rows])
            # The class whose neighbours are nearer in sum, then the lowest code.
            winners[rows] = np.where(votes == most, summed, np.inf).argmin(axis=1)
        else:
            winners[rows] = votes.argmax(axis=1)
        shares[rows] = most[:, 0] / labels.shape[1]
    undefined = np.isnan(distances).any(axis=1)
    winners[undefined], shares[undefined] = -1, np.nan
    return winners, shares


class _Piece(NamedTuple):
    """Some rows of the bank at one probe."""

    matrix: torch.Tensor  # (n_piece, width), centred; 0 for a row that is not finite
    squares: torch.Tensor  # (n_piece,), squared lengths; infinite for such a row: nobody is near it
    centre: torch.Tensor  # (width,), the mean of the bank
    sketch: Sketch | None = None

    @classmethod
    def of(
        cls,
        centred: torch.Tensor,
        finite: torch.Tensor,
        centre: torch.Tensor,
        axes: torch.Tensor | None = None,
    ) -> _Piece:
        """Return a piece whose rows are already centred, with a sketch if there are axes."""
        if not bool(finite.all()):
            centred[~finite] = 0
        squares = _squared_lengths(centred)
        sketch = None if axes is None else Sketch.of(centred, squares, axes)
        if not bool(finite.all()):
            squares.masked_fill_(~finite, torch.inf)
        return cls(centred, squares, centre, sketch)

    def part(self, rows: slice) -> _Piece:
        """Return some rows, without a copy."""
        sketch = None if self.sketch is None else self.sketch.part(rows)
        return _Piece(self.matrix[rows], self.squares[rows], self.centre, sketch)

    def embedded(self, rows: slice) -> torch.Tensor:
        """Return some rows, as they are asked about: NaN where they are not finite."""
        finite = torch.isfinite(self.squares[rows])
        matrix = self.matrix[rows]
        return matrix if bool(finite.all()) else matrix.masked_fill(~finite[:, None], torch.nan)


def _squared_lengths(matrix: torch.Tensor) -> torch.Tensor:
    # By parts: the squares of all would take as much memory as the matrix.
    """Return the squared length (n,) of every row."""
    n_part = max(_MIN_ROWS, _PART_VALUES // matrix.shape[1])
    return torch.cat([part.square().sum(dim=1) for part in matrix.split(n_part)])


class _Nearest:
    """The nearest bank rows of every row so far, at one probe."""

    def __init__(self, n: int, n_neighbors: int, n_bytes: int) -> None:
        self._k = n_neighbors = int(n_neighbors)
        self._n_bytes = n_bytes
        self._squared = torch.full((n, n_neighbors), torch.inf, dtype=torch.float32, device="cpu")
        self._positions = torch.full((n, n_neighbors), -1, device="cpu")
        self._undefined = torch.zeros(n, dtype=torch.bool, device="cpu")
        self._buffer = torch.empty(0, device="cpu")

    def update(
        self,
        rows: slice,
        embedded: torch.Tensor,
        piece: _Piece,
        start: int,
        own: NDArray[np.int64] | None,
    ) -> None:
        """Compare some rows with a piece of the bank that begins at a position."""
        device = embedded.device
        counted = _COUNTED.get()
        if counted is not None:
            counted[SearchKind(embedded.shape[1], device)] += len(embedded) * len(piece.matrix)
        squares = _squared_lengths(embedded)
        step = _CPU_PRODUCT_ROWS if device.type == "cpu" else _CHUNK_ROWS
        n_columns = min(max(1, self._n_bytes // (4 * step)), _MAX_COLUMNS)
        for first in range(0, len(embedded), step):
            block = slice(first, min(first + step, len(embedded)))
            queries = torch.nan_to_num(embedded[block], 0.0, 0.0, 0.0)
            target = slice(rows.start + block.start, rows.start + block.stop)
            squared = self._squared[target].to(device)
            positions = self._positions[target].to(device)
            for column in range(0, len(piece.matrix), n_columns):
                part = piece.part(slice(column, column + n_columns))
                beside = None if own is None else torch.from_numpy(own[block] - column).to(device)
                if part.sketch is None:
                    scores = self._scores(queries, part, beside)
                else:
                    scores = self._sketched(
                        queries, part, part.sketch, beside, squares[block], squared.amax(dim=1)
                    )
                values, columns = k_smallest(scores, self._k)
                # The nearest so far stand first: their positions are smaller.
                values = torch.cat([squared, values + squares[block, None]], dim=1)
                candidates = torch.cat([positions, columns + (start + column)], dim=1)
                squared, columns = k_smallest(values, self._k)
                positions = candidates.gather(1, columns)
            self._squared[target], self._positions[target] = squared.cpu(), positions.cpu()
        self._undefined[rows] = ~torch.isfinite(squares).cpu()

    def _scores(
        self, queries: torch.Tensor, piece: _Piece, own: torch.Tensor | None
    ) -> torch.Tensor:
        """Return squared distances less the squared length of the row; infinite for itself."""
        scores = self._products(queries, piece.matrix, piece.squares)
        _leave_out(scores, own)
        return scores

    def _sketched(
        self,
        queries: torch.Tensor,
        piece: _Piece,
        sketch: Sketch,
        own: torch.Tensor | None,
        squares: torch.Tensor,
        farthest: torch.Tensor,
    ) -> torch.Tensor:
        """Return the same, or infinity for rows that are seen to be farther than k others.

        `squares` are the queries' squared lengths, `farthest` squared distances of their k nearest.
        """
        along = queries @ sketch.axes
        lowest = self._products(along, sketch.matrix, sketch.squares)
        _leave_out(lowest, own)
        nearest = torch.empty((len(queries), 0), dtype=torch.long, device=queries.device)
        if not bool(torch.isfinite(farthest).all()):
            nearest = k_smallest(lowest, self._k)[1]
        of_nearest = torch.stack(_one_by_one(queries, piece, nearest))
        of_nearest.masked_fill_(lowest.gather(1, nearest).isinf(), torch.inf)  # the row itself
        if nearest.shape[1] == self._k:
            farthest = farthest.minimum(of_nearest.max(dim=1).values + squares)
        # Not "at most": where rounding has made a NaN, the rows are compared.
        chosen = ~(lowest > sketch.bounds(along, squares, farthest)[:, None])
        if not is_worth(int(chosen.sum()), chosen.numel()):
            return self._scores(queries, piece, own)
        chosen.scatter_(1, nearest, False)
        scores = lowest.fill_(torch.inf).scatter_(1, nearest, of_nearest)
        rows, columns = torch.nonzero(chosen, as_tuple=True)
        columns_of_rows = columns.split(chosen.sum(dim=1).tolist())
        scores[rows, columns] = torch.cat(_one_by_one(queries, piece, columns_of_rows))
        _leave_out(scores, own)
        return scores

    def _products(
        self, queries: torch.Tensor, bank: torch.Tensor, squares: torch.Tensor
    ) -> torch.Tensor:
        """Return squared lengths of the bank less twice the products with queries."""
        size = len(queries) * len(bank)
        # One buffer for all products: fresh memory of this size costs as much as the product.
        if len(self._buffer) < size or self._buffer.device != queries.device:
            self._buffer = queries.new_empty(size)
        products = self._buffer[:size].view(len(queries), len(bank))
        torch.mm(queries * -2, bank.T, out=products)
        return products.add_(squares)

    def result(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return distances (n, k) and positions in the bank (n, k)."""
        distances = self._squared.clamp_(min=0).sqrt_()
        distances[self._undefined] = torch.nan
        return distances.numpy(), self._positions.numpy()


def _leave_out(scores: torch.Tensor, own: torch.Tensor | None) -> None:
    """Set every row's score with itself to infinity, in the columns (n,) that are there."""
    if own is not None:
        here = torch.nonzero((own >= 0) & (own < scores.shape[1]))[:, 0]
        scores[here, own[here]] = torch.inf


def _one_by_one(
    queries: torch.Tensor, piece: _Piece, columns: Iterable[torch.Tensor]
) -> list[torch.Tensor]:
    """Return the scores of every query in some columns of its own."""
    pairs = zip(queries * -2, columns, strict=True)
    return [piece.squares[own] + piece.matrix[own] @ query for query, own in pairs]


def k_smallest(values: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the k smallest of (n, m) values, of equals the first, and their columns in order."""
    n, m = values.shape
    all_columns = torch.arange(m, device=values.device)
    if k >= m:
        return values, all_columns.expand(n, m)
    # One more than needed shows where the choice is between equals, of which topk takes any.
    columns = _columns_of_smallest(values, k + 1)
    smallest, order = values.gather(1, columns).sort(dim=1)
    columns = columns.gather(1, order[:, :k])
    tied = torch.nonzero(smallest[:, k - 1] == smallest[:, k])[:, 0]
    if len(tied):
        tied_values, bound = values[tied], smallest[tied, k, None]
        by_column = torch.where(tied_values == bound, all_columns.to(values.dtype), torch.inf)
        columns[tied] = _columns_of_smallest(by_column.masked_fill_(tied_values < bound, -1), k)
    columns = columns.sort(dim=1).values
    return values.gather(1, columns), columns


def _columns_of_smallest(values: torch.Tensor, k: int) -> torch.Tensor:
    """Return columns (n, k) that hold the k smallest values of every row, in any order."""
    n, m = values.shape
    n_groups = m // _GROUP
    if n_groups < 4 * k:
        return values.topk(k, largest=False, sorted=False).indices
    # The k smallest values lie in the k groups with the smallest minima, or in the rest. A
    # vectorised minimum reads a row several times faster than topk does.
    all_columns = torch.arange(m, device=values.device)
    grouped, rest = all_columns[: n_groups * _GROUP], all_columns[n_groups * _GROUP :]
    minima = values[:, : len(grouped)].view(n, _GROUP, n_groups).amin(dim=1)
    chosen = _columns_of_smallest(minima, k)
    columns = (chosen[:, None] + grouped[::n_groups, None]).flatten(1)
    columns = torch.cat([columns, rest.expand(n, -1)], dim=1)
    chosen = values.gather(1, columns).topk(k, largest=False, sorted=False).indices
    return columns.gather(1, chosen)


@contextmanager
def full_precision() -> Iterator[None]:
    """Compute matrix products in float32 proper: no TF32, no autocast."""
    backends: list[Any] = [torch.backends.cuda, torch.backends.mkldnn]
    settings = [backend.matmul for backend in backends]
    before = [setting.fp32_precision for setting in settings]
    try:
        for setting in settings:
            setting.fp32_precision = "ieee"
        with torch.autocast("cuda", enabled=False), torch.autocast("cpu", enabled=False):
            yield
    finally:
        for setting, precision in zip(settings, before, strict=True):
            setting.fp32_precision = precision


@contextmanager
def counted_pairs() -> Iterator[Counter[SearchKind]]:
    """Give how many pairs of rows are compared inside, by the kind of search."""
    counted: Counter[SearchKind] = Counter()
    token = _COUNTED.set(counted)
    try:
        yield counted
    finally:
        _COUNTED.reset(token)


def seconds_of_pair(kind: SearchKind, n_bank: int, clock: Callable[[], float]) -> float:
    """Return the seconds of comparing two rows, among a bank of some rows."""
    width, device = kind
    share = products_of_pair(width, n_bank, device) / width  # of what is timed, with sketches
    n_rows, n_values = _TIMED_BANK
    n, n_bank = _CPU_PRODUCT_ROWS, max(2, min(n_bank, n_rows, n_values // width))
    generator = torch.Generator().manual_seed(0)
    bank = torch.randn((n_bank, width), generator=generator, device="cpu").to(device)
    piece = _Piece(bank, _squared_lengths(bank), torch.zeros(width, device=device))
    queries = torch.randn((n, width), generator=generator, device="cpu").to(device)
    search = _Nearest(n, min(30, n_bank - 1), _VOTE_BYTES)
    times = []
    with full_precision():
        for _ in range(_TIMES):
            start = clock()
            search.update(slice(0, n), queries, piece, 0, None)  # ends on the CPU
            times.append(clock() - start)
    return share * median(times[1:]) / (n * n_bank)  # the first one makes the buffer
