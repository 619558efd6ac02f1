# SPDX-License-Identifier: BSD-3-Clause
"""Tables from .csv, .tsv and .parquet files, and from the columns their features."""

from __future__ import annotations

import io
from argparse import Namespace
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..messages import UserError, listed, note
from .data import Data, column, groups_of, ids_of, labels_of

_MISSING = ["", "NA", "N/A", "#N/A", "NaN", "nan", "<NA>", "NULL", "null", "None", "?"]
_MOSTLY = 0.95  # share of values that are numbers, from which the others count as missing
_REPEATS = 0.5  # share of different values, above which a column is names or texts


def pandas() -> Any:
    """Import pandas, or say how to get it."""
    try:
        import pandas
    except ImportError as error:
        raise UserError("tables need pandas: pip install pandas") from error
    return pandas


def read_table(path: Path, args: Namespace) -> Data:
    """Read a table file."""
    raw = path.read_bytes()
    is_parquet = path.suffix.lower() == ".parquet"
    frame, separator = (_parquet(raw, path), "") if is_parquet else _csv(raw, path, args.encoding)
    names = list(frame.columns)
    label = column(names, args.label, "--label")
    y = labels_of(frame[label].astype(object).where(frame[label].notna(), "").tolist(), label)
    taken = {label, *args.ignore}
    for name in args.ignore:
        column(names, name, "--ignore")
    ids = groups = texts = columns = None
    if args.id is not None:
        ids = ids_of(frame[column(names, args.id, "--id")].tolist(), args.id)
        taken.add(args.id)
    if args.groups is not None:
        groups = groups_of(frame[column(names, args.groups, "--groups")].tolist(), args.groups)
        taken.add(args.groups)
    if args.text is not None:
        values = frame[column(names, args.text, "--text")]
        texts = values.astype(object).where(values.notna(), "").map(str).tolist()
    elif not args.labels_only:
        decimal = "," if separator == ";" else "."  # as spreadsheets write in much of Europe
        features = frame[[name for name in names if name not in taken]]
        columns = _features(features, y, decimal)

    def rewrite(target: Path, y_new: NDArray[Any], keep: NDArray[np.bool_]) -> None:
        """Write the table as it was read, with other labels."""
        new = frame.copy()
        changed = y_new != y
        cells = frame[label].astype(object).to_numpy(copy=True)
        are_texts = isinstance(cells[0], str)
        cells[changed] = [str(v) if are_texts else v for v in y_new[changed].tolist()]
        new[label] = pandas().Series(cells, index=frame.index).astype(frame[label].dtype)
        new = new[keep]
        with target.open("xb") as file:
            if is_parquet:
                new.to_parquet(file)
            else:
                text = new.to_csv(index=False, sep=separator, lineterminator="\n")
                file.write(text.encode(args.encoding))

    return Data(
        path,
        label,
        y,
        sha256(raw).hexdigest(),
        rewrite,
        table=frame,
        columns=columns,
        texts=texts,
        ids=ids,
        groups=groups,
    )


def to_show(frame: Any) -> Any:
    """Return columns as they are looked at: numbers where all values are numbers, or missing."""
    shown = {}
    for name in frame.columns:
        values = frame[name].astype(object)
        values = values.where(values.notna() & ~values.isin(_MISSING), None)
        numbers = pandas().to_numeric(values, errors="coerce").astype(np.float64)
        are_numbers = (numbers.notna() == values.notna()).all()
        shown[name] = numbers if are_numbers else values.map(str, na_action="ignore")
    return pandas().DataFrame(shown)


def read_columns(path: Path) -> Any:
    """Return the DataFrame of numbers of a .csv or .parquet file of probabilities."""
    if path.suffix.lower() == ".parquet":
        return _parquet(path.read_bytes(), path)
    frame = _csv(path.read_bytes(), path, "utf-8")[0]
    try:
        return frame.astype(np.float64)
    except ValueError as error:
        raise UserError(f"{path}: not all values are numbers ({error}).") from error


def _parquet(raw: bytes, path: Path) -> Any:
    """Return the DataFrame of a .parquet file."""
    try:
        frame = pandas().read_parquet(io.BytesIO(raw))
    except ImportError as error:
        raise UserError(".parquet files need pyarrow: pip install pyarrow") from error
    except Exception as error:  # of many types, as files are damaged in many ways
        raise UserError(f"{path} cannot be read as Parquet: {error}") from error
    frame.columns = [str(name) for name in frame.columns]
    return frame


def _csv(raw: bytes, path: Path, encoding: str) -> tuple[Any, str]:
    """Return the cells of a .csv file as texts, as they are, and what separates them."""
    try:
        text = raw.decode("utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding)
    except LookupError as error:
        raise UserError(f"--encoding {encoding} is not known.") from error
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise UserError(
            f"{path} is not {error.encoding} text (byte {raw[error.start]:#x} in line {line}). "
            "Name its encoding, as in --encoding latin-1."
        ) from error
    if "\0" in text:
        raise UserError(f"{path} is not a text file: it holds zero bytes.")
    header = text.lstrip("\r\n").partition("\n")[0]
    if not header.strip():
        raise UserError(f"{path} is empty.")
    separator = max(",;\t", key=header.count)
    try:
        cells = pandas().read_csv(
            io.StringIO(text), sep=separator, header=None, dtype=object, na_filter=False
        )
    except ValueError as error:  # ParserError is one
        raise UserError(f"{path} cannot be read as CSV: {error}") from error
    names = [str(name) for name in cells.iloc[0]]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UserError(f"{path}: several columns are called {twice[0]!r}.")
    frame = cells.iloc[1:].reset_index(drop=True)
    frame.columns = names
    return frame, separator


def _features(frame: Any, y: NDArray[Any], decimal: str) -> Any:
    """Return the columns that rows can be judged by: float64, dates, or texts that repeat."""
    features, left_out = {}, []
    for name in frame.columns:
        values, why_not = _feature(frame[name], name, decimal)
        if values is not None and _says_the_same(values, y):
            values, why_not = None, "it says the same as the label"
        if values is None:
            left_out.append(f"{name!r}: {why_not}")
        else:
            features[name] = values
    if not features:
        raise UserError(
            f"no column is left to judge rows by ({'; '.join(left_out) or 'there is none'}). A "
            "column of texts is named by --text, probabilities of another model are passed by "
            "--probabilities."
        )
    if left_out:
        note(f"left out: {'; '.join(left_out)}.")
    return pandas().DataFrame(features)


def _feature(values: Any, name: str, decimal: str) -> tuple[Any, str]:
    """Return a column as float64, dates or texts, None for missing; or None, and why not."""
    pd = pandas()
    if values.dtype.kind in "fiub":
        numbers = values.astype(np.float64)
    elif values.dtype.kind == "m":
        numbers = values.astype("int64").where(values.notna()).astype(np.float64)
    elif values.dtype.kind == "M":
        return (values, "") if values.notna().any() else (None, "it is empty")
    else:
        values = values.astype(object)
        values = values.where(values.notna() & ~values.isin(_MISSING), None)
        written = [v.replace(decimal, ".") if isinstance(v, str) else v for v in values]
        numbers = pd.to_numeric(pd.Series(written, values.index, object), errors="coerce")
        numbers = numbers.astype(np.float64)
    is_there = values.notna()
    n_there, n_numbers = int(is_there.sum()), int(numbers.notna().sum())
    if not n_there:
        return None, "it is empty"
    if n_numbers < _MOSTLY * n_there:
        texts = values.where(is_there, None).map(str, na_action="ignore").astype(object)
        dates = pd.to_datetime(texts, format="ISO8601", errors="coerce", utc=True)
        if dates.notna().sum() == n_there:
            return dates, ""
        if texts.nunique() > max(_REPEATS * n_there, 2):
            return None, f"its texts hardly repeat (--text {name} judges by them)"
        return texts, ""
    if n_numbers < n_there:
        others = values[is_there & numbers.isna()].map(str).unique().tolist()
        note(f"{name!r}: {n_there - n_numbers} value(s) are no numbers, taken as missing: "
             f"{listed(others)}.")  # fmt: skip
    if np.isinf(numbers).any():
        note(f"{name!r}: infinite values are taken as missing.")
        numbers = numbers.where(np.isfinite(numbers))
    steps = np.diff(numbers)
    if len(steps) > 2 and (steps == 1).all() and numbers.iloc[0] in (0, 1):
        return None, "it numbers the rows"
    if np.abs(numbers).max() > 1e30:  # squares of it must fit, too
        raise UserError(
            f"column {name!r} holds numbers up to {np.abs(numbers).max():.0e}. Scale it, or leave "
            "it out with --ignore."
        )
    return numbers, ""


def _says_the_same(values: Any, y: NDArray[Any]) -> bool:
    """Tell whether a column has one value for each label, and another for each other."""
    codes, uniques = pandas().factorize(values)
    if len(uniques) != len(np.unique(y)):
        return False
    return len(np.unique(np.stack([codes, np.unique(y, return_inverse=True)[1]]), axis=1).T) == len(
        uniques
    )
