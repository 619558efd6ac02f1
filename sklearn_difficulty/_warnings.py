# SPDX-License-Identifier: BSD-3-Clause
"""Warnings that point at the user's line."""

from __future__ import annotations

import inspect
import warnings

_INTERNAL = ("sklearn_difficulty", "sklearn")  # scikit-learn wraps fit and transform


def warn_caller(message: str) -> None:
    """Warn at the line that called this library, however deep below it the cause was found."""
    frame, level = inspect.currentframe(), 0
    while frame is not None and frame.f_globals["__name__"].partition(".")[0] in _INTERNAL:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, UserWarning, stacklevel=level + 1)
