# SPDX-License-Identifier: BSD-3-Clause
"""Rows: what X is, asked once; arrays, DataFrames, dicts of arrays and torch Datasets answer alike.

`as_rows` brings the X of a user to one of the kinds. A further kind derives from `Rows`, says how
its rows are counted, taken and batched, and is made in `as_rows`; nothing else asks for types.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import issparse
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset

from .._arrays import LISTED_ROWS, as_array, as_labels
from .._randomness import isolated_rng
from .._warnings import located
from .checked import checked_array, is_frame, refuse_beyond, refuse_same_names
from .collation import (
    FollowedBatch,
    FollowedCollate,
    InputsInOrder,
    is_own,
    takes_labels_inside,
)
from .columns import Columns, needs_encoding
from .identity import RowsFingerprint, hash_arrays, hash_items
from .inputs import Inputs, input_of, leaves, map_inputs, n_rows, take_rows, to_device
from .items import LabelledDataset, LocatedItems, item_of

_LABEL_BLOCK = 512
_TRIED_ROWS = 16  # to see whether rows differ in shape


class Rows(ABC):
    """Rows of one kind, in order; `data` is what skorch takes in place of X."""

    has_columns = False  # axis 1 of an array, which feature names belong to

    def __init__(self, data: Any) -> None:
        self.data = data

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of rows."""

    @abstractmethod
    def take(self, index: Any) -> Rows:
        """Return some rows, by a slice, a mask or positions."""

    @abstractmethod
    def _batches(self, batch_size: int) -> Iterator[Any]:
        """Yield the rows in order, `batch_size` at a time, as arrays or tensors."""

    def blocks(
        self, batch_size: int, *, dtype: torch.dtype, device: torch.device
    ) -> Iterator[tuple[slice | NDArray[np.int64], Inputs]]:
        """Yield `(rows, inputs)` block by block, on the device and floats in a dtype.

        Blocks follow each other in order; where a collate_fn sorts, the rows within do not, and are
        named by their positions instead of a slice.
        """
        start = 0
        for batch in self._batches(batch_size):
            try:
                inputs = to_device(batch, dtype, device)
            except FloatingPointError:
                self.refuse_beyond(dtype)
                raise
            n = n_rows(inputs)
            yield slice(start, start + n), inputs
            start += n

    def differing(self) -> Rows | None:
        """Return rows that differ in shape, as a collate_fn that pads may take them, or None."""
        return None

    @property
    def arrays(self) -> list[NDArray[Any]]:
        """Return the arrays that hold the rows, if they lie in arrays."""
        return leaves(self.data)

    def keys(self) -> NDArray[Any] | None:
        """Return a number (n,) that equal rows share, and hardly any others; None if unknown."""
        if not self.arrays:
            return None
        of_arrays = [[hash(row.tobytes()) for row in array] for array in self.arrays]
        return np.array([hash(of_row) for of_row in zip(*of_arrays, strict=True)])

    @property
    def nbytes(self) -> int:
        """Return how much memory the rows take, as far as it is known."""
        return sum(array.nbytes for array in self.arrays)

    @property
    def row_shape(self) -> Any:
        """Return what rows of another call must agree with; None if nothing is known."""
        return None

    def labels(self) -> NDArray[Any]:
        """Return the labels that the rows bring along, or raise if they bring none."""
        raise ValueError(
            "This scorer requires y to be passed, but the target y is None. Only a Dataset that "
            "yields (x, y) can do without."
        )

    def given_labels(self, y: Any) -> Any:
        """Return y, or the rows' own labels if it is None, one for every row."""
        y = self.labels() if y is None else y
        if isinstance(y, Iterator):
            raise TypeError(f"y is a {type(y).__name__}, which can be read once; pass list(y).")
        if getattr(y, "shape", None) == ():
            raise ValueError("y is a single value; it must hold one label for every row.")
        if hasattr(y, "__len__") and len(y) != len(self):
            raise ValueError(
                f"X and y have inconsistent numbers of samples: {len(self)} rows and {len(y)} "
                "labels."
            )
        return y

    def with_targets(self, targets: NDArray[Any]) -> Any:
        """Return what skorch is to be trained on, beside the targets."""
        return self.data

    def refuse_beyond(self, dtype: torch.dtype, name: str = "X") -> None:
        """Raise if finite values would become infinite in the dtype of a network."""
        of_network = str(dtype).removeprefix("torch.")
        for array in self.arrays:
            refuse_beyond(array, name, torch.finfo(dtype).max, of_network)

    def extreme_rows(self) -> NDArray[np.intp]:
        """Return the rows that hold the smallest and the largest integers, if there are any."""
        extremes = [
            at // max(1, array[0].size)
            for array in self.arrays
            if array.dtype.kind in "iu" and array.size
            for at in (array.argmin(), array.argmax())
        ]
        return np.unique(np.array(extremes, dtype=np.intp))

    def identity(self, targets: NDArray[Any]) -> RowsFingerprint:
        """Return by what these rows, with label codes or targets, are recognised."""
        return RowsFingerprint.of(len(self), self._digest(), targets)

    def _digest(self) -> str:
        """Return a digest of X."""
        return hash_arrays({"": self.data})


class ArrayRows(Rows):
    """An ndarray, a memory map included, of two or more axes."""

    has_columns = True

    def __len__(self) -> int:
        return len(self.data)

    def take(self, index: Any) -> ArrayRows:
        """Return some rows, by a slice, a mask or positions."""
        return ArrayRows(self.data[index])

    def _batches(self, batch_size: int) -> Iterator[Any]:
        """Yield slices of the array."""
        return (self.data[i : i + batch_size] for i in range(0, len(self), batch_size))

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Return the shape of a row."""
        return self.data.shape[1:]


class FrameRows(ArrayRows):
    """A DataFrame of any columns, as the numbers that the default network encodes."""

    def __init__(self, data: NDArray[np.float32], columns: Columns) -> None:
        super().__init__(data)
        self.columns = columns

    def take(self, index: Any) -> FrameRows:
        """Return some rows, by a slice, a mask or positions."""
        return FrameRows(self.data[index], self.columns)


class DictRows(Rows):
    """A dict of arrays of one length, which the module takes as keyword arguments."""

    def __len__(self) -> int:
        return n_rows(self.data)

    def take(self, index: Any) -> DictRows:
        """Return some rows, by a slice, a mask or positions."""
        return DictRows(take_rows(self.data, index))

    def _batches(self, batch_size: int) -> Iterator[Any]:
        """Yield slices of all arrays."""
        for start in range(0, len(self), batch_size):
            yield take_rows(self.data, slice(start, start + batch_size))

    @property
    def row_shape(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of a row in every array."""
        return map_inputs(lambda array: array.shape[1:], self.data)

    def _digest(self) -> str:
        """Return a digest of all arrays."""
        return hash_arrays(self.data)


class DatasetRows(Rows):
    """A map-style Dataset that yields x or (x, y), joined by `collate_fn` (None: as torch does)."""

    def __init__(self, data: Any, collate_fn: Callable[..., Any] | None = None) -> None:
        super().__init__(data)
        self.collate_fn = collate_fn

    def __len__(self) -> int:
        return len(self.data)

    def take(self, index: Any) -> DatasetRows:
        """Return some rows, by a slice, a mask or positions, as a Subset."""
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
    # scipy's dictionary-of-keys arrays are mappings too; check_array refuses them.
    if isinstance(X, Mapping) and not issparse(X):
        if not X:
            raise ValueError("X is an empty mapping; it needs at least one array.")
        return DictRows(_arrays_of(X, estimator))
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
