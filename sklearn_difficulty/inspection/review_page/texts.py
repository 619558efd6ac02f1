# SPDX-License-Identifier: BSD-3-Clause
"""Rows as texts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..displays._pictures import item_of

_MOST_LETTERS = 20_000  # of a row


class Texts:
    """Texts of rows; of a very long one the beginning."""

    kind = "texts"

    def __init__(self, show: Any) -> None:
        self._show = show

    def of(self, rows: NDArray[np.int64]) -> dict[str, Any]:
        """Return what the page holds of some rows."""
        return {"texts": [self._shortened(item_of(self._show, row)) for row in rows.tolist()]}

    def details(self, rows: NDArray[np.int64], n_bytes: int) -> dict[str, Any]:
        """Return nothing: the texts are all there is."""
        return {}

    def space(self) -> None:
        """Return nothing: texts as such have no distances."""

    def _shortened(self, item: Any) -> str:
        """Return a text, and how much of it is left out."""
        text = str(item)
        if len(text) <= _MOST_LETTERS:
            return text
        return f"{text[:_MOST_LETTERS]} … ({len(text) - _MOST_LETTERS:,} more letters)"
