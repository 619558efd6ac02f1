# SPDX-License-Identifier: BSD-3-Clause
"""Results as a table in the terminal, as CSV, or as JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from ..training.files.folders import write_atomically
from .messages import UserError, printable

_WIDEST, _WIDEST_LAST = 40, 80  # cells in the terminal
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

Columns = Mapping[str, Sequence[Any]]  # numbers, texts, or None, by the name of the column


def check_output(args: Namespace, suffixes: Sequence[str]) -> None:
    """Raise before anything is computed if the result cannot be written."""
    if args.output is None:
        return
    path = args.output = args.output.expanduser()
    if path.suffix.lower() not in suffixes:
        raise UserError(f"-o {path}: the name must end with {' or '.join(suffixes)}.")
    inputs = [args.data, getattr(args, "probabilities", None), getattr(args, "review", None)]
    for given in inputs:
        if given is not None and path.exists() and given.exists() and path.samefile(given):
            raise UserError(f"-o {path} would overwrite what is read.")
    if path.is_dir() or not path.parent.is_dir():
        why = "is a folder" if path.is_dir() else "lies in a folder that does not exist"
        raise UserError(f"-o {path} {why}.")
    try:
        with TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UserError(f"-o {path} cannot be written: {error.strerror or error}.") from error


def write(path: Path, columns: Columns, summary: Mapping[str, Any]) -> None:
    """Write a table as CSV, or with its summary as JSON."""
    as_json = path.suffix.lower() == ".json"
    write_text(path, json_text(columns, summary) if as_json else _csv_text(columns))


def write_text(path: Path, text: str) -> None:
    """Write a text file in one step."""
    # Names of files need not be text in any encoding; they are written as they are.
    content = text.encode("utf-8", "surrogateescape")
    write_atomically(path, lambda part: part.write_bytes(content))


def json_text(columns: Columns, summary: Mapping[str, Any]) -> str:
    """Return JSON of a summary with the table as a list of objects, NaN as null."""
    rows = [
        {name: _plain(value) for name, value in zip(columns, line, strict=True)}
        for line in zip(*columns.values(), strict=True)
    ]
    whole = {name: _plain(value) for name, value in summary.items()} | {"rows": rows}
    return json.dumps(whole, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def terminal_text(columns: Columns) -> str:
    """Return aligned columns: numbers to the right, control characters shown."""
    last = [*columns][-1] if columns else None
    cells = {
        name: [_cell(value, _WIDEST_LAST if name == last else _WIDEST) for value in values]
        for name, values in columns.items()
    }
    lines = [""] * (max(map(len, cells.values()), default=0) + 1)
    for name, texts in cells.items():
        width = max(map(len, [name, *texts]))
        is_text = any(isinstance(value, str) for value in columns[name])
        for i, text in enumerate([name, *texts]):
            lines[i] += (text.ljust(width) if is_text else text.rjust(width)) + "  "
    return "\n".join(line.rstrip() for line in lines)


def as_text_cell(value: str) -> str:
    """Return a text that a spreadsheet does not take for a formula."""
    return f"'{value}" if value.startswith(_FORMULA) else value


def _csv_text(columns: Columns) -> str:
    """Return CSV in which no text is a formula."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(map(as_text_cell, columns))
    for line in zip(*columns.values(), strict=True):
        plain = map(_plain, line)
        writer.writerow(as_text_cell(v) if isinstance(v, str) else v for v in plain)
    return file.getvalue()


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: NaN is None, numbers and sequences are Python's."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cell(value: Any, widest: int) -> str:
    """Return a value as the terminal shows it."""
    value = _plain(value)
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3f}"
    text = printable(str(value))
    return text if len(text) <= widest else f"{text[: widest - 1]}…"
