# SPDX-License-Identifier: BSD-3-Clause
"""Rows that are equal byte by byte: held out beside their copies, they are not held out."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from .._warnings import warn_caller
from .labels import LISTED_ROWS
from .rows import FrameRows, Rows

_FEW, _SHARE = 5, 0.001  # of the rows: fewer copies happen by chance, and harm only themselves


def warn_of_divided_copies(X: Rows, trained_on: Iterable[NDArray[np.bool_]]) -> None:
    """Warn of rows that are held out while an equal row is trained on, for masks of the latter.

    The items of a Dataset are not compared, since each would have to be made for that.
    """
    codes = _codes_of_copies(X)
    if codes is None:
        return
    divided = np.zeros(len(codes), dtype=bool)
    for mask in trained_on:
        is_seen = np.zeros(codes.max() + 1, dtype=bool)
        is_seen[codes[mask]] = True
        divided |= ~mask & is_seen[codes]
    n = int(divided.sum())
    if n < max(_FEW, _SHARE * len(codes)):
        return
    first = np.flatnonzero(divided)[:LISTED_ROWS].tolist()
    warn_caller(
        f"{n} of {len(codes)} rows are equal, byte by byte, to a row that is trained on while they "
        f"are held out, first {first}, so models may have seen them. If they are copies, and not "
        "rows of few values that happen to be equal, pass groups that keep them together"
        f"{_how_to_group(X)}."
    )


def _how_to_group(X: Rows) -> str:
    """Return how groups of equal rows are made, for a message; nothing where it takes lines."""
    data = X.data
    if isinstance(X, FrameRows) or hasattr(data, "iloc"):
        return ": X.groupby(list(X), dropna=False, observed=True).ngroup()"
    if issparse(data) or hasattr(data, "columns"):
        return ""
    flat = "X" if np.ndim(data) == 1 else "X.reshape(len(X), -1), axis=0"
    return f": np.unique({flat}, return_inverse=True)[1]"


def _codes_of_copies(X: Rows) -> NDArray[np.intp] | None:
    """Return a number (n,) that equal rows share, None if that is not known or none are equal."""
    keys = X.keys()
    if keys is None:
        return None
    distinct, codes = np.unique(keys, return_inverse=True)
    return codes if len(distinct) < len(keys) else None
