# SPDX-License-Identifier: BSD-3-Clause
"""What networks of every size say of the rows, as tables: row by row, and in the mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..measures import memorization
from ..measures.memorization import smoothed_variance
from ..measures.memorization_sizes import CATEGORIES, UNDEFINED

ALL = "all"
QUANTITIES = ("memorization", "p_in", "p_out")
_COLUMNS = [column for name in QUANTITIES for column in (name, f"{name}_se")]


def values_of_size(
    correct: NDArray[np.bool_], undefined: NDArray[np.bool_], masks: NDArray[np.bool_]
) -> dict[str, NDArray[np.float64]]:
    """Return memorization, its two sides, and their standard errors, of every row."""
    found = memorization(correct, masks)
    values = {
        "memorization": found.memorization,
        "memorization_se": found.standard_error,
        "p_in": found.p_in,
        "p_in_se": np.sqrt(smoothed_variance(found.p_in, found.n_in)),
        "p_out": found.p_out,
        "p_out_se": np.sqrt(smoothed_variance(found.p_out, found.n_out)),
    }
    return {name: np.where(undefined, np.nan, value) for name, value in values.items()}


def means_of_size(
    correct: NDArray[np.bool_],
    masks: NDArray[np.bool_],
    values: Mapping[str, NDArray[np.float64]],
    category: NDArray[np.str_],
) -> list[dict[str, Any]]:
    """Return the means over all defined rows, and over those of every category.

    The standard error is that over the choice of members: of every row, a member adds to the mean
    how far it is from the row's share, divided by how many members that share is of.
    """
    groups = {ALL: category != UNDEFINED} | {name: category == name for name in CATEGORIES}
    of_row = np.stack([rows / max(1, rows.sum()) for rows in groups.values()], axis=1)
    n_members = len(masks)
    p_in, p_out = np.nan_to_num(values["p_in"]), np.nan_to_num(values["p_out"])
    n_in = np.maximum(1, masks.sum(axis=0))
    n_out = np.maximum(1, n_members - masks.sum(axis=0))
    inside, outside = (
        np.stack(
            [(mask * (right - p) / n) @ of_row for right, mask in zip(correct, side, strict=True)]
        )
        for side, p, n in ((masks, p_in, n_in), (~masks, p_out, n_out))
    )
    pulls = {"memorization": inside - outside, "p_in": inside, "p_out": outside}
    correction = n_members / (n_members - 1)
    found = []
    for g, (name, rows) in enumerate(groups.items()):
        line: dict[str, Any] = {"category": name, "n_rows": int(rows.sum())}
        for quantity in QUANTITIES:
            mean, error = np.nan, np.nan
            if rows.any():
                mean = values[quantity][rows].mean()
                error = np.sqrt(correction * (pulls[quantity][:, g] ** 2).sum())
            line |= {quantity: float(mean), f"{quantity}_se": float(error)}
        found.append(line)
    return found


def summary_frame(names: Sequence[str], means: Sequence[Sequence[Mapping[str, Any]]]) -> Any:
    """Return the means of all sizes as a data frame: one line per category and size."""
    pd = _pandas("summary_")
    lines = [
        {**line, "size": name}
        for name, of_size in zip(names, means, strict=True)
        for line in of_size
    ]
    frame = pd.DataFrame(lines)
    order = pd.Categorical(frame["category"], [ALL, *CATEGORIES], ordered=True)
    frame["category"] = order
    frame["size"] = pd.Categorical(frame["size"], names, ordered=True)
    frame["share"] = frame["n_rows"] / max(1, means[0][0]["n_rows"])
    columns = ["category", "size", "n_rows", "share", *_COLUMNS]
    return frame.sort_values(["category", "size"], ignore_index=True)[columns]


def trajectory_frame(
    names: Sequence[str],
    values: Mapping[str, NDArray[np.float64]],
    category: NDArray[np.str_],
    index: Any,
) -> Any:
    """Return the values of all rows as a data frame: one line per row and size."""
    pd = _pandas("trajectory_frame_")
    n = len(category)
    index = pd.RangeIndex(n) if index is None else index
    columns = {
        "size": pd.Categorical(np.tile(names, n), names, ordered=True),
        **{name: values[name].T.ravel() for name in _COLUMNS},
        "category": pd.Categorical(np.repeat(category, len(names)), [*CATEGORIES, UNDEFINED]),
    }
    return pd.DataFrame(columns, index=index.repeat(len(names)))


def _pandas(asked: str) -> Any:
    """Return pandas, or say what needs it."""
    try:
        import pandas
    except ImportError as error:
        raise AttributeError(f"{asked} needs pandas.") from error
    return pandas
