# SPDX-License-Identifier: BSD-3-Clause
"""Rows: what X is, asked once; arrays, DataFrames, dicts of arrays and torch Datasets answer alike.

`as_rows` brings the X of a user to one of the kinds. A further kind derives from `Rows`, says how
its rows are counted, taken and batched, and is made in `as_rows`; nothing else asks for types.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import issparse
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset

from .._arrays import LISTED_ROWS, as_array, as_labels
from .._randomness import isolated_rng
from .._warnings import located
from .checked import checked_array, is_frame, refuse_same_names
from .collation import (
    FollowedBatch,
    FollowedCollate,
    InputsInOrder,
    is_own,
    takes_labels_inside,
)
from .columns import Columns, needs_encoding
from .identity import hash_items
from .inputs import Inputs, input_of, leaves, to_device
from .items import LabelledDataset, LocatedItems, item_of
from .kinds import (
    ArrayRows,
    DictRows,
    FrameRows,
    NumberOfRows,
    Rows,
    SparseRows,
)
from .sparse import checked_sparse

__all__ = [
    "ArrayRows",
    "DatasetRows",
    "DictRows",
    "FrameRows",
    "LabelledDataset",
    "NumberOfRows",
    "ReadColumns",
    "Rows",
    "SparseRows",
    "as_rows",
]

_LABEL_BLOCK = 512
_TRIED_ROWS = 16  # to see whether rows differ in shape


class DatasetRows(Rows):
    """A map-style Dataset that yields x or (x, y), joined by `collate_fn` (None: as torch does)."""

    def __init__(self, data: Any, collate_fn: Callable[..., Any] | None = None) -> None:
        super().__init__(data)
        self.collate_fn = collate_fn

    def __len__(self) -> int:
        return len(self.data)

    def take(self, index: Any) -> DatasetRows:
        """Return some rows, by a slice, a mask or positions, as a Subset."""
        if isinstance(index, slice):
            positions: Any = range(len(self))[index]  # which takes no memory
        else:
            positions = np.arange(len(self))[index].tolist()
        return DatasetRows(Subset(self.data, positions), self.collate_fn)

    def _loader(self, batch_size: int, follow: Callable[..., Any]) -> DataLoader[Any]:
        """Return a loader of the items in order; `follow` wraps a collate_fn of the user's own."""
        # Its own generator: a DataLoader draws a number from the global one when it is started.
        return DataLoader(
            LocatedItems(self.data),
            batch_size=batch_size,
            collate_fn=follow(self.collate_fn) if is_own(self.collate_fn) else self.collate_fn,
            generator=torch.Generator(),
        )

    def _joined(self, batch_size: int, follow: Callable[..., Any]) -> Iterator[Any]:
        """Yield joined batches; an error says which rows were to be joined."""
        batches, start = iter(self._loader(batch_size, follow)), 0
        while start < len(self):
            end = min(start + batch_size, len(self))
            with located(f"in rows {start} to {end - 1}"):
                batch = next(batches)
            yield batch
            start = end

    def blocks(
        self, batch_size: int, *, dtype: torch.dtype, device: torch.device
    ) -> Iterator[tuple[slice | NDArray[np.int64], Inputs]]:
        """Yield `(rows, inputs)`; rows are positions where collate_fn has sorted them."""
        if not is_own(self.collate_fn):
            yield from super().blocks(batch_size, dtype=dtype, device=device)
            return
        start = 0
        for inputs, order in self._joined(batch_size, InputsInOrder):
            is_sorted = bool((np.diff(order) == 1).all())
            rows = slice(start, start + len(order)) if is_sorted else start + order
            yield rows, to_device(inputs, dtype, device)
            start += len(order)

    def differing(self) -> DatasetRows | None:
        """Return rows that differ in shape, None if some that are spread over all do not."""
        if not is_own(self.collate_fn):
            return None
        few = self.take(np.unique(np.linspace(0, len(self) - 1, _TRIED_ROWS).astype(int)))
        with isolated_rng(0):  # the items may be random
            alone = list(few._batches(1))
        shapes = {tuple(tuple(leaf.shape) for leaf in leaves(inputs)) for inputs in alone}
        return few if len(shapes) > 1 else None

    def _batches(self, batch_size: int) -> Iterator[Any]:
        """Yield the inputs of batches."""
        return map(input_of, self._joined(batch_size, InputsInOrder))

    @property
    def arrays(self) -> list[NDArray[Any]]:
        """Return no array: items are made one at a time."""
        return []

    @cached_property
    def _first_row(self) -> list[Any]:
        """The first row as a batch; nothing where others may have another size, as texts have."""
        if is_own(self.collate_fn):
            return []
        with isolated_rng(0):  # the item may be random
            row = leaves(next(self.take(slice(1))._batches(1)))
        return row if all(hasattr(leaf, "nbytes") for leaf in row) else []

    @property
    def row_nbytes(self) -> int | None:
        """Return how much memory the first row takes, None if others may take more."""
        return sum(leaf.nbytes for leaf in self._first_row) if self._first_row else None

    @property
    def are_images(self) -> bool:
        """Tell whether the first row has the rank of an image, or a larger one."""
        return any(leaf.ndim >= 4 for leaf in self._first_row)

    def labels(self) -> NDArray[Any]:
        """Read the labels in one ordered pass."""
        try:
            return self._read_labels()
        except (TypeError, RuntimeError) as error:  # of torch's default_collate
            if not is_own(self.collate_fn):
                self._refuse_labels(error)
            raise

    def _refuse_labels(self, error: Exception) -> None:
        """Raise if labels, and not inputs, are what cannot be joined, and say which."""
        with isolated_rng(0):
            items = [item_of(self.data, i) for i in range(len(self))]
        if all(isinstance(item, (tuple, list)) and len(item) == 2 for item in items):
            try:
                as_labels([item[1] for item in items], "y of the Dataset")
            except ValueError as problem:
                raise problem from error

    def _read_labels(self) -> NDArray[Any]:
        """Read the labels, block by block."""
        parts = []
        with isolated_rng(0):  # the items may be random
            for batch in self._joined(_LABEL_BLOCK, FollowedCollate):
                if not isinstance(batch, (tuple, list)) or len(batch) != 2:
                    raise ValueError(
                        "The Dataset does not yield (X, y) pairs, so its labels cannot be read; "
                        "pass y."
                    )
                parts.append(_labels_in_order(batch))
        if all(isinstance(part, (list, tuple)) for part in parts):  # strings, which are not joined
            return as_labels([label for part in parts for label in part])
        return np.concatenate([as_array(part, "The labels of the Dataset") for part in parts])

    def with_targets(self, targets: NDArray[Any]) -> LabelledDataset:
        """Return the Dataset with other labels."""
        inside = False
        if is_own(self.collate_fn):
            with isolated_rng(0):  # the item may be random
                inside = takes_labels_inside(self.collate_fn, item_of(self.data, 0))
        return LabelledDataset(self.data, targets, inside=inside)

    def _digest(self) -> str:
        """Return a digest of a few items."""
        return hash_items(LocatedItems(self.data))


def _labels_in_order(batch: Any) -> Any:
    """Return the labels of a batch in the order of its items, or say why it is not known."""
    labels = batch[1]
    if not isinstance(batch, FollowedBatch):
        return labels
    if batch.order is None:
        raise ValueError(f"The labels of the Dataset cannot be read: {batch.problem}. Pass y.")
    order = np.argsort(batch.order)
    return [labels[i] for i in order] if isinstance(labels, (list, tuple)) else labels[order]


# ------------------------------------------------------------------------------ from X to rows


ReadColumns = Columns | Literal["any"] | None


def as_rows(
    X: Any,
    *,
    collate_fn: Callable[..., Any] | None = None,
    estimator: Any = None,
    columns: ReadColumns = None,
) -> Rows:
    """Return X, of any kind, as Rows; arrays are copied only where they need conversion.

    `columns` says what a DataFrame may hold: numbers alone (None), anything ("any"), or what the
    rows of the fit held.
    """
    if isinstance(X, Rows):
        return X
    if X is None:
        raise ValueError(
            "X is None. Only scores that are read from trajectories alone, of a record without a "
            "network, can do without rows."
        )
    if isinstance(X, IterableDataset):
        raise TypeError(
            "X is an IterableDataset, whose rows have no index to score them by. Pass a "
            "map-style Dataset (with __len__ and __getitem__) or an array."
        )
    if hasattr(type(X), "collect") and hasattr(type(X), "columns"):
        raise TypeError(
            f"X is a {type(X).__name__}, whose rows are not there yet; pass X.collect()."
        )
    if isinstance(X, DataLoader):
        raise TypeError("X is a DataLoader; pass its dataset, and the network's iterators load it.")
    if isinstance(X, Dataset):
        if not hasattr(X, "__len__"):
            raise TypeError("X is a Dataset without __len__; its rows must be counted, so add it.")
        rows = DatasetRows(X, collate_fn)
        if len(rows) == 0:
            raise ValueError("X is a Dataset without rows.")
        return rows
    # scipy's dictionary-of-keys arrays are mappings too.
    if isinstance(X, Mapping) and not issparse(X):
        if not X:
            raise ValueError("X is an empty mapping; it needs at least one array.")
        return DictRows(_arrays_of(X, estimator))
    if issparse(X):
        return SparseRows(checked_sparse(X, "X", estimator))
    if columns is not None and is_frame(X):
        refuse_same_names(X, "X")
        if isinstance(columns, Columns):
            return FrameRows(columns.matrix(X), columns)
        if needs_encoding(X):
            found = Columns.of(X)
            return FrameRows(found.matrix(X), found)
    elif isinstance(columns, Columns):
        raise TypeError(
            f"The network was trained on a DataFrame with the columns {columns.names[:LISTED_ROWS]}"
            f", and X is a {type(X).__name__}. Pass a DataFrame with these columns."
        )
    return ArrayRows(checked_array(X, "X", estimator, ensure_2d=True))


def _arrays_of(X: Mapping[Any, Any], estimator: Any) -> dict[str, NDArray[Any]]:
    """Return the arrays of a mapping by names, which become keyword arguments."""
    if len({str(key) for key in X}) < len(X):
        raise ValueError(f"X has keys that are the same as names: {list(X)}. Rename one of them.")
    arrays = {
        str(key): checked_array(values, f"X[{key!r}]", estimator, ensure_2d=False)
        for key, values in X.items()
    }
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"The arrays of X have inconsistent numbers of samples: {lengths}.")
    return arrays
