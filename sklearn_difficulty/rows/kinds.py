# SPDX-License-Identifier: BSD-3-Clause
"""Rows of the kinds that lie in arrays: dense, sparse, several by name, or encoded of a DataFrame.

What their interface is says `Rows`; `rows.as_rows` makes them of what a user passes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .checked import refuse_beyond
from .columns import Columns
from .identity import RowsFingerprint, hash_arrays
from .inputs import Inputs, leaves, map_inputs, n_rows, take_rows, to_device
from .sparse import bytes_of_sparse, keys_of_sparse, rows_of_entries


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
        rows = zip(*self.arrays, strict=True)
        keys = (hash(tuple(part.tobytes() for part in row)) for row in rows)
        return np.fromiter(keys, dtype=np.int64, count=len(self))

    @property
    def nbytes(self) -> int:
        """Return how much memory the rows take, as far as it is known."""
        return sum(array.nbytes for array in self.arrays)

    @property
    def row_nbytes(self) -> int | None:
        """Return how much memory a row takes in a block, None if that is not known."""
        return sum(array[:1].nbytes for array in self.arrays) if self.arrays else None

    @property
    def are_images(self) -> bool:
        """Tell whether a row has the rank of an image, or a larger one."""
        return any(array.ndim >= 4 for array in self.arrays)

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


class SparseRows(Rows):
    """A CSR matrix, or array, of floats, whose rows are made dense a batch at a time."""

    has_columns = True

    def __len__(self) -> int:
        return int(self.data.shape[0])

    def take(self, index: Any) -> SparseRows:
        """Return some rows, by a slice, a mask or positions."""
        return SparseRows(self.data[index])

    def _batches(self, batch_size: int) -> Iterator[Any]:
        """Yield slices of the matrix, dense."""
        for start in range(0, len(self), batch_size):
            yield self.data[start : start + batch_size].toarray()

    @property
    def arrays(self) -> list[NDArray[Any]]:
        """Return no array: rows are made dense when they are read."""
        return []

    def keys(self) -> NDArray[Any]:
        """Return a number (n,) that equal rows share."""
        return keys_of_sparse(self.data)

    @property
    def nbytes(self) -> int:
        """Return how much memory the matrix takes."""
        return bytes_of_sparse(self.data)

    @property
    def row_nbytes(self) -> int:
        """Return how much memory a dense row takes."""
        return int(self.data.shape[1] * self.data.dtype.itemsize)

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Return the shape of a row."""
        return (int(self.data.shape[1]),)

    def refuse_beyond(self, dtype: torch.dtype, name: str = "X") -> None:
        """Raise if finite values would become infinite in the dtype of a network."""
        of_network, limit = str(dtype).removeprefix("torch."), torch.finfo(dtype).max
        rows_of = partial(rows_of_entries, self.data)
        refuse_beyond(self.data.data, name, limit, of_network, rows_of)

    def _digest(self) -> str:
        """Return a digest of what is stored."""
        parts = {name: getattr(self.data, name) for name in ("data", "indices", "indptr")}
        return hash_arrays(parts, kind="sparse")


class NumberOfRows(Rows):
    """Rows of which nothing but their number is known."""

    def __init__(self, n: int) -> None:
        super().__init__(None)
        self._n = n

    def __len__(self) -> int:
        return self._n

    def take(self, index: Any) -> NumberOfRows:
        """Return some rows, by a slice, a mask or positions."""
        return NumberOfRows(len(np.arange(self._n)[index]))

    def _batches(self, batch_size: int) -> Iterator[Any]:
        """Raise: there is nothing to read."""
        raise ValueError("X is None, and this score reads the rows; pass them.")

    @property
    def arrays(self) -> list[NDArray[Any]]:
        """Return no array."""
        return []

    def _digest(self) -> str:
        """Return that nothing is known."""
        return ""


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
