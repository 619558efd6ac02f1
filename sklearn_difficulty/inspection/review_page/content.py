# SPDX-License-Identifier: BSD-3-Clause
"""What is to be seen of a row: a picture, a text, or its values. And which rows are like it."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.neighbors import NearestNeighbors
from sklearn.utils._missing import is_pandas_na, is_scalar_nan

from ..._arrays import to_numpy
from ..._randomness import alone
from ...inference.embeddings import EmbeddingReader
from ...inference.probing import last_hidden_probe
from ..displays._fitted import rows_for
from ..displays._pictures import item_of
from .pictures import Pictures, flat_rows
from .tables import Table
from .texts import Texts

_BATCH = 512


class Content(Protocol):
    """What the page holds of rows beside their numbers."""

    kind: str

    def of(self, rows: NDArray[np.int64]) -> dict[str, Any]:
        """Return it for some rows, in their order."""

    def details(self, rows: NDArray[np.int64], n_bytes: int) -> dict[str, Any]:
        """Return more of the first of some rows, as much as fits into so many bytes."""

    def space(self) -> NDArray[np.float32] | None:
        """Return vectors of all rows between which distances mean something, if there are any."""


def content_of(
    show: Any, given: NDArray[np.int64], n_classes: int, *, size: int, names: Any
) -> Content:
    """Return what is to be seen of the rows, by what `show` holds."""
    if issparse(show):
        raise TypeError("X is a sparse matrix, of which nothing is to be seen; pass show=texts.")
    if not isinstance(show, Mapping) and _is_table(show):
        return Table(to_numpy(show), given, n_classes, names)
    first = item_of(show, 0)
    return Texts(show) if _is_text(first) else Pictures(show, size)


def nearest_rows(
    scorer: Any, X: Any, content: Content, rows: NDArray[np.int64], n_neighbors: int
) -> NDArray[np.int64] | None:
    """Return the other rows (n_rows, n_neighbors) that are most like some, None if unknown.

    They are near in the last hidden layer of the network where there is a single one, otherwise in
    what is shown, and in X itself if that has no distances.
    """
    space = _space(scorer, X, content)
    if space is None or not 0 < n_neighbors < len(space):
        return None
    neighbors = NearestNeighbors(n_neighbors=n_neighbors + 1, algorithm="brute").fit(space)
    found = neighbors.kneighbors(space[rows], return_distance=False)
    is_other = found != rows[:, None]
    is_other[is_other.all(axis=1), -1] = False  # among more copies of a row than are asked for
    others: NDArray[np.int64] = found[is_other].reshape(len(rows), n_neighbors)
    return others


def _space(scorer: Any, X: Any, content: Content) -> NDArray[Any] | None:
    """Return vectors of all rows between which distances mean something."""
    record = getattr(scorer, "record_", None)
    if record is not None:
        data = rows_for(scorer, X)
        if data.differing() is None:
            with alone():
                probe = last_hidden_probe(record, data)
                [values] = EmbeddingReader(record).embed(data, [probe], batch_size=_BATCH)
            return np.nan_to_num(values.cpu().numpy())
    shown = content.space()
    return flat_rows(X) if shown is None else shown


def _is_table(show: Any) -> bool:
    """Whether the rows are those of a frame, or vectors."""
    if hasattr(show, "columns"):
        return True
    if hasattr(show, "ndim"):
        return show.ndim == 2
    first = show[0] if isinstance(show, (list, tuple)) and len(show) else None
    return isinstance(first, (list, tuple)) and all(isinstance(value, Real) for value in first)


def _is_text(item: Any) -> bool:
    """Whether a row is a text, or one that is missing."""
    return isinstance(item, str) or item is None or is_scalar_nan(item) or is_pandas_na(item)
