# SPDX-License-Identifier: BSD-3-Clause
"""Sparse matrices: checked, compared, and made dense a batch at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import check_array
from torch.utils.data import Dataset

from .._arrays import LISTED_ROWS
from .checked import nonfinite_rows


def checked_sparse(matrix: Any, name: str, estimator: Any) -> Any:
    """Return a CSR matrix, or array, of finite floats; one that is such is not copied.

    Integers become floats: they are counts. Token ids would not be sparse.
    """
    if matrix.ndim != 2:  # scikit-learn's message depends on SciPy's release
        raise ValueError(f"{name} is a sparse array of shape {matrix.shape}; it must be 2D.")
    csr = check_array(
        matrix,
        accept_sparse="csr",
        dtype="numeric",
        ensure_all_finite=False,
        estimator=estimator,
        input_name=name,
    )
    kind = csr.dtype.kind
    if kind not in "biuf":
        raise ValueError(f"{name} is a sparse matrix of {csr.dtype}; it must hold real numbers.")
    if kind != "f":
        csr = csr.astype(np.float32)
    elif csr.dtype.itemsize > 8:
        csr = csr.astype(np.float64)
    if not csr.has_canonical_format:
        csr = csr.copy()
        csr.sum_duplicates()
    bad = rows_of_entries(csr, nonfinite_rows(csr.data))
    if len(bad):
        raise ValueError(
            f"{name} contains NaN or inf in {len(bad)} row(s), first {bad[:LISTED_ROWS].tolist()}. "
            "Impute or drop these rows."
        )
    return csr


def rows_of_entries(csr: Any, entries: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the rows that hold some of the stored entries, by their positions."""
    return np.unique(np.searchsorted(csr.indptr, entries, side="right") - 1)


def keys_of_sparse(csr: Any) -> NDArray[Any]:
    """Return a number (n,) that equal rows of a CSR matrix share."""
    bounds = zip(csr.indptr[:-1], csr.indptr[1:], strict=True)
    rows = ((csr.indices[a:b].tobytes(), csr.data[a:b].tobytes()) for a, b in bounds)
    return np.fromiter(map(hash, rows), dtype=np.int64, count=csr.shape[0])


def bytes_of_sparse(csr: Any) -> int:
    """Return how much memory a CSR matrix takes."""
    return sum(part.nbytes for part in (csr.data, csr.indices, csr.indptr))


class SparseItems(Dataset[Any]):
    """The rows of a CSR matrix with their targets; those of a batch are made dense at once."""

    def __init__(self, csr: Any, targets: NDArray[Any], dtype: torch.dtype) -> None:
        self.csr = csr
        self.targets = targets
        self.dtype = dtype

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.csr.shape[0]

    def __getitem__(self, index: int) -> Any:
        """Return row `index` with its target."""
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[int]) -> list[Any]:
        """Return rows with their targets."""
        rows = torch.from_numpy(self.csr[indices].toarray()).to(self.dtype)
        return list(zip(rows, self.targets[indices], strict=True))
