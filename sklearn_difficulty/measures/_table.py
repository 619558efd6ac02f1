# SPDX-License-Identifier: BSD-3-Clause
"""Structured arrays that print and show as the tables that they are."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MOST_ROWS = 60  # that are shown


class Table(np.ndarray):
    """A structured array (n,) with a readable repr; a field of it is a plain array."""

    @classmethod
    def of(cls, array: NDArray[Any]) -> Table:
        """Return a view of a structured array."""
        return array.view(cls)

    def __getitem__(self, key: Any) -> Any:
        item = super().__getitem__(key)
        if isinstance(item, Table) and item.dtype.names is None:
            return item.view(np.ndarray)
        return item

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        """Return what NumPy made of a table as what NumPy makes of an array."""
        plain = np.asarray(array)
        return plain[()] if return_scalar else plain

    def __repr__(self) -> str:
        if self.ndim != 1 or self.dtype.names is None:
            return repr(np.asarray(self))
        cells = self._cells()
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [
            "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
            for line in cells
        ]
        return "\n".join([*lines, *self._rest()])

    __str__ = __repr__

    def _repr_html_(self) -> str | None:
        """Return the table for a notebook."""
        if self.ndim != 1 or self.dtype.names is None:
            return None
        names, *lines = ([escape(cell) for cell in line] for line in self._cells())
        head = "".join(f"<th>{name}</th>" for name in names)
        rows = "".join(
            "<tr>" + "".join(f"<td>{cell}</td>" for cell in line) + "</tr>" for line in lines
        )
        rest = "".join(f"<p>{line}</p>" for line in self._rest())
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{rest}"

    def _cells(self) -> list[list[str]]:
        """Return the names of the fields and then the values as they are shown."""
        shown = self[:_MOST_ROWS].tolist()
        return [list(self.dtype.names or ()), *([_text(v) for v in row] for row in shown)]

    def _rest(self) -> list[str]:
        """Return a line on the rows that are not shown, if there are any."""
        return [f"... {len(self) - _MOST_ROWS} more rows"] if len(self) > _MOST_ROWS else []


def _text(value: Any) -> str:
    """Return a value as it is shown."""
    return f"{value:.3f}" if isinstance(value, float) else str(value)
