# SPDX-License-Identifier: BSD-3-Clause
"""The rows as they are scored: those of a `scoring_view`, or X if it is the same at every read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arrays import to_numpy
from .._randomness import isolated_rng
from .._warnings import warn_caller
from .given import GivenRows
from .inputs import input_of, named_leaves
from .items import item_of
from .rows import DatasetRows, Rows, as_rows

_READ_TWICE = 8  # items; a coin that flips pictures is missed once in 256 times
VARYING = "Items of the Dataset differ between two reads"


def as_view(
    scoring_view: Any,
    rows: Rows,
    *,
    collate_fn: Callable[..., Any] | None = None,
    estimator: Any = None,
    is_read: bool = True,
) -> Rows:
    """Return the rows of `scoring_view`, as many as `rows`; `rows` themselves if it is None.

    If they are going to be read in evaluation, what is random in them is warned of.
    """
    if scoring_view is None:
        if is_read and differ_between_reads(rows):
            warn_caller(
                f"{VARYING}, as by random augmentation, and no scoring_view is given: rows are "
                "scored as they happen to come. Pass the same rows without it as scoring_view; "
                "the network is trained on X all the same."
            )
        return rows
    columns = getattr(rows, "columns", None)
    view: Rows = (
        GivenRows(scoring_view)
        if isinstance(rows, GivenRows)
        else as_rows(scoring_view, collate_fn=collate_fn, estimator=estimator, columns=columns)
    )
    if len(view) != len(rows):
        raise ValueError(
            f"scoring_view has {len(view)} rows and X has {len(rows)}: it must hold the same "
            "rows in the same order."
        )
    if None not in (shapes := (view.row_shape, rows.row_shape)) and shapes[0] != shapes[1]:
        raise ValueError(
            f"Rows of scoring_view have the shape {shapes[0]}, those of X {shapes[1]}."
        )
    if is_read and differ_between_reads(view):
        warn_caller(
            f"{VARYING}, that of scoring_view: rows are scored as they happen to come. Leave "
            "random transforms out of it."
        )
    return view


def differ_between_reads(rows: Rows) -> bool:
    """Tell whether some items of a Dataset come out otherwise when they are read again."""
    if not isinstance(rows, DatasetRows):
        return False
    positions = np.unique(np.linspace(0, len(rows) - 1, _READ_TWICE, dtype=int)).tolist()
    reads = []
    for seed in range(2):
        with isolated_rng(seed):
            items = [input_of(item_of(rows.data, i)) for i in positions]
            # Copied at once: a Dataset may hand out one buffer again and again.
            reads.append([_comparable(leaf) for item in items for _, leaf in named_leaves(item)])
    first, second = reads
    if len(first) != len(second):
        return True
    pairs = zip(first, second, strict=True)
    return not all(a is None or b is None or _are_equal(a, b) for a, b in pairs)


def _comparable(leaf: Any) -> NDArray[Any] | None:
    """Return a copy of a leaf as an array, None if it is no array, number or text."""
    try:
        array = np.array(to_numpy(leaf))
    except (TypeError, ValueError, RuntimeError):
        return None
    return None if array.dtype == object else array


def _are_equal(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Tell whether arrays are equal, NaN to NaN."""
    has_nan = a.dtype.kind in "fc" and b.dtype.kind in "fc"
    return np.array_equal(a, b, equal_nan=has_nan)
