# SPDX-License-Identifier: BSD-3-Clause
"""TableMLP: the small network for tables, whose first layer makes numbers of columns.

What that layer knows of its columns, means, scales and frequencies, are buffers: every network has
those of the rows that it was trained on, also where many are trained as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from .._arrays import as_floats
from ..rows.columns import Columns
from ..rows.rows import ArrayRows, FrameRows
from .small import MLP

__all__ = ["TableMLP"]


class TableEncoding(nn.Module):
    """Standardised numbers, and indicators: of missing ones, and of every category."""

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, columns: Columns, mean: Any = None, scale: Any = None) -> None:
        super().__init__()
        self.n_values, self.n_missing = columns.n_values, columns.n_missing
        self.n_categories = columns.n_categories
        self.n_features = self.n_values + self.n_missing + sum(self.n_categories)
        for name, value, neutral in (("mean", mean, 0.0), ("scale", scale, 1.0)):
            filled = np.full(self.n_features, neutral) if value is None else as_floats(value, name)
            with np.errstate(over="ignore", under="ignore"):
                filled = filled.astype(np.float32)
            is_usable = np.isfinite(filled) if name == "mean" else (filled != 0) & ~np.isnan(filled)
            if filled.shape != (self.n_features,) or not is_usable.all():
                raise ValueError(
                    f"{name} must hold {self.n_features} numbers, one per encoded column: of a "
                    f"mean finite ones, of a scale any but 0; got {value!r}."
                )
            self.register_buffer(name, torch.from_numpy(filled))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features (n, n_features) for rows of a matrix as `Columns` makes them."""
        n, k = self.n_values, self.n_missing
        x = x.to(self.mean.dtype)
        missing, codes = x[..., n : 2 * n], x[..., 2 * n :]
        is_category = [
            (codes[..., j : j + 1] == torch.arange(size, device=x.device)).to(x.dtype)
            for j, size in enumerate(self.n_categories)
        ]
        features = torch.cat([x[..., :n], missing[..., :k], *is_category], dim=-1)
        # A missing value stands where the mean does.
        is_there = torch.cat([1 - missing, torch.ones_like(features[..., n:])], dim=-1)
        return (features - self.mean) / self.scale * is_there


def encoding_of(columns: Columns, rows: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """Return mean and scale (n_features,) by which features of some rows are standardised.

    The mean of a number is that of the values that are there, and its scale the standard deviation
    with the mean in place of those that are missing. Indicators stay 0 and 1: standardised, rare
    categories would count for more than numbers, and fewer wrong labels be found. The scale is
    infinite where a feature does not vary, as of a category that no row has: nothing can be learned
    of it, so it is to say nothing.
    """
    n = columns.n_values
    mean, scale = np.zeros(n), np.full(n, np.inf)
    for k in range(n):
        there = rows[rows[:, n + k] == 0, k].astype(np.float64)
        if len(there):
            mean[k] = there.mean()
            if there.min() < there.max():
                scale[k] = np.sqrt(np.square(there - mean[k]).sum() / len(rows))
    counts = [np.count_nonzero(rows[:, n + k]) for k in range(columns.n_missing)]
    for j, size in enumerate(columns.n_categories):
        codes = rows[:, 2 * n + j].astype(np.int64)
        counts.extend(np.bincount(codes[codes >= 0], minlength=size))
    of_indicators = [1.0 if 0 < count < len(rows) else np.inf for count in counts]
    return {
        "mean": np.concatenate([mean, np.zeros(len(counts))]),
        "scale": np.concatenate([scale, of_indicators]),
    }


def features_of(rows: ArrayRows) -> NDArray[Any]:
    """Return what a network sees of rows: the encoded columns of a frame, other arrays as is."""
    if not isinstance(rows, FrameRows):
        return rows.data
    encoding = TableEncoding(rows.columns, **encoding_of(rows.columns, rows.data))
    return encoding(torch.from_numpy(rows.data)).numpy()


class TableMLP(MLP):
    """A multilayer perceptron for rows of a DataFrame with categories, dates and missing values.

    Parameters
    ----------
    columns : Columns
        What the DataFrame holds, as ``default_network(frame, y).module__columns``.
    n_outputs : int
        Columns of the output, one logit per class, or one value per target.
    hidden_units : sequence of int, default=(256, 128)
        Width of every hidden layer.
    mean, scale : array-like of shape (n_features,), default=None
        What the encoded columns are standardised by, infinite in `scale` for what does not vary.
        Scorers put in what they find in the rows that they train on. None leaves numbers as they
        are.
    target_center, target_scale : float or array-like of shape (n_outputs,), default=None
        As for `MLP`.

    See Also
    --------
    default_network : Says how columns are encoded, and makes the skorch net around this.
    MLP : The network for plain numbers.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_difficulty.training import default_network
    >>> frame = pd.DataFrame(
    ...     {"size": [1.5, None, 2.0], "colour": ["red", "blue", "red"]}
    ... )
    >>> net = default_network(frame, y=["a", "b", "b"])
    >>> net.module.__name__, net.module__columns
    ('TableMLP', Columns(number: 1, category: 1))
    """

    def __init__(
        self,
        columns: Any,
        n_outputs: int,
        hidden_units: Sequence[int] = (256, 128),
        mean: Any = None,
        scale: Any = None,
        target_center: Any = None,
        target_scale: Any = None,
    ) -> None:
        columns = columns if isinstance(columns, Columns) else Columns.from_json(columns)
        encoding = TableEncoding(columns, mean, scale)
        of_targets = {"target_center": target_center, "target_scale": target_scale}
        super().__init__(encoding.n_features, n_outputs, hidden_units, **of_targets)
        del self.config["n_inputs"]
        self.config["columns"] = columns.to_json()
        self.columns = columns
        self.standardize = encoding  # type: ignore[assignment]  # its input is another one
