# SPDX-License-Identifier: BSD-3-Clause
"""How wide a row is: remembered of a fit, and asked of the rows of later calls."""

from __future__ import annotations

from typing import Any

from sklearn.utils.validation import validate_data

from .rows import Rows


def check_width(estimator: Any, X: Any, rows: Rows, *, reset: bool) -> None:
    """Remember, or compare with what was remembered, how wide a row is."""
    shape = rows.row_shape
    if shape is None:
        return
    if X is not rows and rows.has_columns and (reset or len(shape) == 1):
        validate_data(estimator, X, skip_check_array=True, reset=reset)
    if reset:
        estimator._row_shape = shape
    elif shape != getattr(estimator, "_row_shape", shape):
        raise ValueError(
            f"The rows of X have shape {shape}, but {type(estimator).__name__} was fitted on rows "
            f"of shape {estimator._row_shape}."
        )
