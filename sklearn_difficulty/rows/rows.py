# SPDX-License-Identifier: BSD-3-Clause
"""Rows: what X is, asked once; arrays, dicts of arrays and torch Datasets answer alike.

`as_rows` brings the X of a user to one of the kinds. A further kind derives from `Rows`, says how
its rows are counted, taken and batched, and is made in `as_rows`; nothing else asks for types.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils import check_array
from sklearn.utils.validation import check_consistent_length
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset

from .._randomness import isolated_rng
from .identity import RowsFingerprint, hash_arrays, hash_items
from .inputs import Inputs, leaves, map_inputs, n_rows, take_rows, to_device
from .labels import LISTED_ROWS, nonfinite_rows, to_numpy

_LABEL_BLOCK = 512


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
    ) -> Iterator[tuple[slice, Inputs]]:
        """Yield the rows in order as `(slice, inputs)`, on the device and floats in a dtype."""
        start = 0
        for batch in self._batches(batch_size):
            inputs = to_device(batch, dtype, device)
            n = n_rows(inputs)
            yield slice(start, start + n), inputs
            start += n

    @property
    def arrays(self) -> list[NDArray[Any]]:
        """Return the arrays that hold the rows, if they lie in arrays."""
        return leaves(self.data)

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
        if hasattr(y, "__len__") and len(y) != len(self):
            raise ValueError(
                f"X and y have inconsistent numbers of samples: {len(self)} rows and {len(y)} "
                "labels."
            )
        return y

    def with_targets(self, targets: NDArray[Any]) -> Any:
        """Return what skorch is to be trained on, beside the targets."""
        return self.data

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

    def _loader(self, batch_size: int) -> DataLoader[Any]:
        """Return a loader of the items in order."""
        # Its own generator: a DataLoader draws a number from the global one when it is started.
        return DataLoader(
            self.data,
            batch_size=batch_size,
            collate_fn=self.collate_fn,
            generator=torch.Generator(),
        )

    def _batches(self, batch_size: int) -> Iterator[Any]:
        """Yield the inputs of batches."""
        for batch in self._loader(batch_size):
            yield batch[0] if isinstance(batch, (tuple, list)) else batch

    @property
    def arrays(self) -> list[NDArray[Any]]:
        """Return no array: items are made one at a time."""
        return []

    def labels(self) -> NDArray[Any]:
        """Read the labels in one ordered pass."""
        labels = []
        with isolated_rng(0):  # the items may be random
            for batch in self._loader(_LABEL_BLOCK):
                if not isinstance(batch, (tuple, list)) or len(batch) != 2:
                    raise ValueError(
                        "The Dataset does not yield (X, y) pairs, so its labels cannot be read; "
                        "pass y."
                    )
                labels.append(np.asarray(to_numpy(batch[1])))
        return np.concatenate(labels)

    def with_targets(self, targets: NDArray[Any]) -> LabelledDataset:
        """Return the Dataset with other labels."""
        return LabelledDataset(self.data, targets)

    def _digest(self) -> str:
        """Return a digest of a few items."""
        return hash_items(self.data)


class LabelledDataset(Dataset[Any]):
    """A Dataset of (x, y) pairs whose labels are replaced by given ones."""

    def __init__(self, dataset: Dataset[Any], labels: NDArray[Any]) -> None:
        self.dataset = dataset
        self.labels = labels

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """Return row `index` with its given label."""
        item = self.dataset[index]
        x = item[0] if isinstance(item, (tuple, list)) else item
        return x, self.labels[index]


# ------------------------------------------------------------------------------ from X to rows


def as_rows(X: Any, *, collate_fn: Callable[..., Any] | None = None, estimator: Any = None) -> Rows:
    """Return X, of any kind, as Rows; arrays are copied only where they need conversion."""
    if isinstance(X, Rows):
        return X
    if isinstance(X, IterableDataset):
        raise TypeError(
            "X is an IterableDataset, whose rows have no index to score them by. Pass a "
            "map-style Dataset (with __len__ and __getitem__) or an array."
        )
    if isinstance(X, DataLoader):
        raise TypeError("X is a DataLoader; pass its dataset, and the network's iterators load it.")
    if isinstance(X, Dataset):
        rows = DatasetRows(X, collate_fn)
        if len(rows) == 0:
            raise ValueError("X is a Dataset without rows.")
        return rows
    # scipy's dictionary-of-keys arrays are mappings too; check_array refuses them.
    if isinstance(X, Mapping) and not issparse(X):
        if not X:
            raise ValueError("X is an empty mapping; it needs at least one array.")
        arrays = {
            str(k): _checked(v, f"X[{k!r}]", estimator, ensure_2d=False) for k, v in X.items()
        }
        check_consistent_length(*arrays.values())
        return DictRows(arrays)
    return ArrayRows(_checked(X, "X", estimator, ensure_2d=True))


def as_view(
    scoring_view: Any,
    rows: Rows,
    *,
    collate_fn: Callable[..., Any] | None = None,
    estimator: Any = None,
) -> Rows:
    """Return the rows of `scoring_view`, as many as `rows`; `rows` themselves if it is None."""
    if scoring_view is None:
        return rows
    view = as_rows(scoring_view, collate_fn=collate_fn, estimator=estimator)
    if len(view) != len(rows):
        raise ValueError(
            f"scoring_view has {len(view)} rows and X has {len(rows)}: it must hold the same "
            "rows in the same order."
        )
    return view


def _checked(array: Any, name: str, estimator: Any, *, ensure_2d: bool) -> NDArray[Any]:
    """Return an array of finite numbers, or name the rows that are not."""
    array = check_array(
        to_numpy(array),
        dtype="numeric",
        allow_nd=True,
        ensure_2d=ensure_2d,
        ensure_all_finite=False,
        estimator=estimator,
        input_name=name,
    )
    bad = nonfinite_rows(array)
    if len(bad):
        raise ValueError(
            f"{name} contains NaN or inf in {len(bad)} row(s), first "
            f"{bad[:LISTED_ROWS].tolist()}. Impute or drop these rows."
        )
    # torch takes no view that runs backwards.
    runs_backwards = any(stride < 0 for stride in array.strides)
    return np.ascontiguousarray(array) if runs_backwards else array
