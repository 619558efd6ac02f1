# SPDX-License-Identifier: BSD-3-Clause
"""X as it was given, for an estimator of scikit-learn's kind that makes of it what it can."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils import _safe_indexing, indexable
from torch.utils.data import Dataset

from .._arrays import to_numpy
from .rows import Rows


def keys_of_sparse(matrix: Any) -> NDArray[Any]:
    """Return a number (n,) that equal rows of a CSR matrix share."""
    bounds = zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True)
    rows = ((matrix.indices[a:b].tobytes(), matrix.data[a:b].tobytes()) for a, b in bounds)
    return np.array([hash(row) for row in rows])


class GivenRows(Rows):
    """A DataFrame, a sparse matrix, an array or a list, not looked into; no network reads it."""

    def __init__(self, data: Any) -> None:
        if isinstance(data, Dataset) or (isinstance(data, Mapping) and not issparse(data)):
            kind = "a Dataset" if isinstance(data, Dataset) else "a mapping"
            raise TypeError(
                f"X is {kind}, of which networks are trained; estimators of scikit-learn take "
                "arrays, DataFrames, sparse matrices and lists."
            )
        if getattr(getattr(data, "dtype", None), "kind", None) == "c":
            raise ValueError("Complex data not supported; pass real and imaginary parts.")
        super().__init__(indexable(to_numpy(data))[0])  # sparse matrices as CSR
        shape = getattr(self.data, "shape", ())
        self.has_columns = len(shape) == 2

    def __len__(self) -> int:
        return self.data.shape[0] if hasattr(self.data, "shape") else len(self.data)

    def take(self, index: Any) -> GivenRows:
        """Return some rows, by a slice, a mask or positions."""
        return GivenRows(_safe_indexing(self.data, np.arange(len(self))[index]))

    def _batches(self, batch_size: int) -> Iterator[Any]:
        """Yield nothing: no network reads these rows."""
        raise TypeError(f"Networks do not read a {type(self.data).__name__} as it was given.")

    @property
    def arrays(self) -> list[NDArray[Any]]:
        """Return no array: what X holds is the estimator's business."""
        return []

    @property
    def row_shape(self) -> tuple[int, ...] | None:
        """Return the shape of a row, None of what has no shape."""
        return self.data.shape[1:] if self.has_columns else None

    def keys(self) -> NDArray[Any] | None:
        """Return a number (n,) that equal rows share, None if rows cannot be compared."""
        data = self.data
        if issparse(data):
            return keys_of_sparse(data)
        try:
            if hasattr(data, "iloc"):
                return sys.modules["pandas"].util.hash_pandas_object(data, index=False).to_numpy()
            if hasattr(data, "hash_rows"):  # polars
                return data.hash_rows().to_numpy()
            is_numeric = getattr(getattr(data, "dtype", None), "kind", "O") in "biufc"
            return np.array([hash(row.tobytes() if is_numeric else row) for row in data])
        except TypeError:  # what cannot be hashed
            return None

    def _digest(self) -> str:
        """Return no digest."""
        return ""
