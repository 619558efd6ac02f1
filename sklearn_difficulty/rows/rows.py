# SPDX-License-Identifier: BSD-3-Clause
"""The rows that a network is trained on and read at: arrays, dicts of arrays, torch Datasets.

Every kind is brought to one of three forms (ndarray, dict of ndarrays, map-style Dataset) by
`check_rows`, and cut into blocks on the device by `iter_blocks`.
"""

from __future__ import annotations

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
from .labels import _LISTED_ROWS, nonfinite_rows, to_numpy

Rows = Any  # ndarray, dict of str to ndarray, or map-style Dataset


Inputs = torch.Tensor | dict[str, torch.Tensor]


def is_dataset(X: Any) -> bool:
    """Tell whether X is a torch Dataset."""
    return isinstance(X, Dataset)


def n_rows(X: Rows) -> int:
    """Return the number of rows."""
    return len(next(iter(X.values()))) if isinstance(X, Mapping) else len(X)


def take_rows(X: Rows, index: Any) -> Rows:
    """Return some rows, by a slice or an array of positions; of a Dataset, as a Subset."""
    if is_dataset(X):
        return Subset(X, np.arange(len(X))[index].tolist())
    if isinstance(X, Mapping):
        return {name: values[index] for name, values in X.items()}
    return X[index]


def check_rows(X: Any, *, estimator: Any = None) -> Rows:
    """Bring X to an ndarray, a dict of ndarrays or a Dataset, or say what is wrong with it.

    Parameters
    ----------
    X : array-like, tensor, DataFrame, mapping of these, or map-style Dataset
        The rows. Arrays may have any rank of at least two.
    estimator : object, default=None
        Named in error messages.

    Returns
    -------
    X : ndarray, dict of ndarrays or Dataset
        Arrays are not copied if they need no conversion.
    """
    if isinstance(X, IterableDataset):
        raise TypeError(
            "X is an IterableDataset, whose rows have no index to score them by. Pass a "
            "map-style Dataset (with __len__ and __getitem__) or an array."
        )
    if isinstance(X, DataLoader):
        raise TypeError("X is a DataLoader; pass its dataset, and the network's iterators load it.")
    if is_dataset(X):
        if len(X) == 0:
            raise ValueError("X is a Dataset without rows.")
        return X
    # scipy's dictionary-of-keys arrays are mappings too; check_array refuses them.
    if isinstance(X, Mapping) and not issparse(X):
        if not X:
            raise ValueError("X is an empty mapping; it needs at least one array.")
        arrays = {
            str(k): _check_one(v, f"X[{k!r}]", estimator, ensure_2d=False) for k, v in X.items()
        }
        check_consistent_length(*arrays.values())
        return arrays
    return _check_one(X, "X", estimator, ensure_2d=True)


def check_view(scoring_view: Any, rows: Rows, *, estimator: Any = None) -> Rows:
    """Return the rows to be scored in place of others, checked; these others if it is None."""
    if scoring_view is None:
        return rows
    view = check_rows(scoring_view, estimator=estimator)
    if n_rows(view) != n_rows(rows):
        raise ValueError(
            f"scoring_view has {n_rows(view)} rows and X has {n_rows(rows)}: it must hold the same "
            "rows in the same order."
        )
    return view


def _check_one(array: Any, name: str, estimator: Any, *, ensure_2d: bool) -> NDArray[Any]:
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
            f"{bad[:_LISTED_ROWS].tolist()}. Impute or drop these rows."
        )
    # torch takes no view that runs backwards.
    runs_backwards = any(stride < 0 for stride in array.strides)
    return np.ascontiguousarray(array) if runs_backwards else array


def cast_floats(X: Any, dtype: torch.dtype) -> Any:
    """Give floating (and bool) arrays and tensors the module's dtype; integers may be tokens."""
    if isinstance(X, Mapping):
        return {name: cast_floats(array, dtype) for name, array in X.items()}
    if isinstance(X, np.ndarray) and X.dtype.kind in "fb":
        return X.astype(_numpy_dtype(dtype), copy=False)
    if isinstance(X, torch.Tensor) and (X.is_floating_point() or X.dtype == torch.bool):
        return X.to(dtype)
    return X


def _numpy_dtype(dtype: torch.dtype) -> np.dtype[Any]:
    # NumPy has no bfloat16: such modules get float32 arrays, cast block by block on the device.
    return torch.empty(0, dtype=dtype if dtype != torch.bfloat16 else torch.float32).numpy().dtype


def iter_blocks(
    X: Rows,
    batch_size: int,
    *,
    dtype: torch.dtype,
    device: torch.device,
    collate_fn: Callable[..., Any] | None = None,
) -> Iterator[tuple[slice, Inputs]]:
    """Yield the rows in order as ``(slice, inputs)`` on the device.

    Parameters
    ----------
    X : ndarray, dict of ndarrays or Dataset
        As `check_rows` returned it.
    batch_size : int
        Rows a block; the last one may have fewer.
    dtype : torch.dtype
        Given to floating inputs.
    device : torch.device
        Where the blocks go.
    collate_fn : callable, default=None
        Joins the items of a Dataset, as in a DataLoader; ignored for arrays.

    Yields
    ------
    rows : slice
        Which rows the block holds.
    inputs : Tensor or dict of str to Tensor
        What the module takes.
    """
    if is_dataset(X):
        blocks: Iterator[Any] = (
            batch[0] if isinstance(batch, (tuple, list)) else batch
            for batch in _ordered_loader(X, batch_size, collate_fn)
        )
    elif isinstance(X, Mapping):
        blocks = (
            {name: array[start : start + batch_size] for name, array in X.items()}
            for start in range(0, n_rows(X), batch_size)
        )
    else:
        blocks = (X[start : start + batch_size] for start in range(0, len(X), batch_size))
    start = 0
    for block in blocks:
        inputs = _to_device(block, dtype, device)
        n = n_rows(inputs)
        yield slice(start, start + n), inputs
        start += n


def _ordered_loader(
    dataset: Dataset[Any], batch_size: int, collate_fn: Callable[..., Any] | None
) -> DataLoader[Any]:
    # Its own generator: a DataLoader draws a number from the global one whenever it is started.
    return DataLoader(
        dataset, batch_size=batch_size, collate_fn=collate_fn, generator=torch.Generator()
    )


def _to_device(block: Any, dtype: torch.dtype, device: torch.device) -> Any:
    if isinstance(block, Mapping):
        return {str(name): _to_device(value, dtype, device) for name, value in block.items()}
    # Always a copy: a module that works in place must not write to the caller's rows.
    tensor = torch.tensor(block) if isinstance(block, np.ndarray) else block
    is_number = tensor.is_floating_point() or tensor.dtype == torch.bool
    dtype = dtype if is_number else tensor.dtype
    return tensor.to(device=device, dtype=dtype, copy=isinstance(block, torch.Tensor))


def dataset_labels(
    dataset: Dataset[Any], collate_fn: Callable[..., Any] | None = None
) -> NDArray[Any]:
    """Read the labels of a Dataset in one ordered pass."""
    labels = []
    for batch in _ordered_loader(dataset, 512, collate_fn):
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            raise ValueError(
                "The Dataset does not yield (X, y) pairs, so its labels cannot be read; pass y."
            )
        labels.append(np.asarray(to_numpy(batch[1])))
    return np.concatenate(labels)


def given_labels(X: Rows, y: Any, collate_fn: Callable[..., Any] | None) -> Any:
    """Return y, those of the Dataset if it is None, or raise if there are none or too few.

    Parameters
    ----------
    X : ndarray, dict of ndarrays or Dataset
        Checked rows.
    y : array-like or None
        As the user gave it.
    collate_fn : callable or None
        Joins the items of a Dataset.

    Returns
    -------
    y : array-like
        One label or target per row.
    """
    if y is None and is_dataset(X):
        with isolated_rng(0):  # the items may be random
            y = dataset_labels(X, collate_fn)
    if y is None:
        raise ValueError(
            "This scorer requires y to be passed, but the target y is None. Only a Dataset that "
            "yields (x, y) can do without."
        )
    if hasattr(y, "__len__") and len(y) != n_rows(X):
        raise ValueError(
            f"X and y have inconsistent numbers of samples: {n_rows(X)} rows and {len(y)} labels."
        )
    return y


class LabelledDataset(Dataset[Any]):
    """A Dataset of (x, y) pairs whose labels are replaced by given ones.

    Parameters
    ----------
    dataset : Dataset
        Yields pairs; the second element is dropped.
    labels : ndarray of shape (n_rows,)
        What is yielded in its place.
    """

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
