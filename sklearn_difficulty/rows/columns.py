# SPDX-License-Identifier: BSD-3-Clause
"""Columns: what a DataFrame holds, and its rows as finite numbers that a network can encode.

Nothing here is estimated: what is a number, a date or a category, and which categories there are,
is looked up, as the classes of y are. Means, scales and frequencies are a matter of the rows that a
network is trained on, see `networks.tables`.
"""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .._arrays import LISTED_ROWS, is_missing, kind_of_values
from .._warnings import warn_caller

Kind = Literal["number", "date", "category", "text"]

_MOST_CATEGORIES = 100  # of a column that are told apart, the most frequent ones
_REPEATS = 0.5  # share of different values, above which a column is names or texts
_PERIODS = (365.2425, 7.0, 1.0)  # in days: the year, the week and the day
_PARTS = {"number": 1, "date": 1 + 2 * len(_PERIODS), "category": 0, "text": 0}
_DECLARED = ("category", "categorical", "enum")  # how the dtypes of categories begin
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?)?")
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Column:
    """A column: its name, what it holds, the categories if these are told apart, and holes."""

    name: str
    kind: Kind
    categories: tuple[str, ...] = ()
    has_missing: bool = False


@dataclass(frozen=True)
class Columns:
    """The columns of a DataFrame, and how its rows lie in a matrix.

    A matrix of rows has for every number one column, and for every date seven: days since 1970, and
    sine and cosine of the time of the year, of the week and of the day. As many columns say where
    these are missing, and hold 0 then. Last comes one column for every column of categories, with
    the position of the category; missing ones have the last position if `fit` has seen some, and
    what is not among the categories is -1.
    """

    columns: tuple[Column, ...]

    @classmethod
    def of(cls, frame: Any) -> Columns:
        """Return the columns of a frame; texts that hardly repeat are left out, with a warning."""
        columns = tuple(_described(name, *_read(frame, i)) for i, name in enumerate(_names(frame)))
        texts = [column.name for column in columns if column.kind == "text"]
        if len(texts) == len(columns):
            raise ValueError(
                f"X has no column to learn from: all hold texts that hardly repeat, "
                f"{texts[:LISTED_ROWS]}. {_VECTORISE}"
            )
        if texts:
            warn_caller(
                f"{len(texts)} column(s) of X hold texts that hardly repeat, and are left out: "
                f"{texts[:LISTED_ROWS]}. {_VECTORISE}"
            )
        return cls(columns)

    def __repr__(self) -> str:
        counts = Counter(column.kind for column in self.columns)
        return f"Columns({', '.join(f'{kind}: {n}' for kind, n in counts.items())})"

    @property
    def names(self) -> list[str]:
        """Return the names of all columns."""
        return [column.name for column in self.columns]

    @property
    def _values(self) -> list[tuple[int, int]]:
        """Return column and part of every value of a row, those that tell what is missing first."""
        parts = [(i, p) for i, c in enumerate(self.columns) for p in range(_PARTS[c.kind])]
        return sorted(parts, key=lambda part: not self._tells(*part))

    def _tells(self, i: int, part: int) -> bool:
        """Tell whether a value is the one by which its column tells what is missing."""
        return self.columns[i].has_missing and part == 0

    @property
    def n_values(self) -> int:
        """Return how many numbers a row has."""
        return len(self._values)

    @property
    def n_missing(self) -> int:
        """Return of how many columns of numbers a row tells that they are missing."""
        return sum(self._tells(*part) for part in self._values)

    @property
    def n_categories(self) -> list[int]:
        """Return how many categories there are in every column that has some."""
        return [
            len(column.categories) + column.has_missing
            for column in self.columns
            if column.kind == "category"
        ]

    @property
    def width(self) -> int:
        """Return the number of columns of a matrix."""
        return 2 * self.n_values + len(self.n_categories)

    def matrix(self, frame: Any, name: str = "X") -> NDArray[np.float32]:
        """Return the rows of a frame as float32 of shape (n, width)."""
        names = _names(frame)
        if names != self.names:
            unlike = next(
                (pair for pair in zip(names, self.names, strict=False) if pair[0] != pair[1]),
                (f"{len(names)} columns", f"{len(self.names)} columns"),
            )
            raise ValueError(
                f"{name} has other columns than the rows of the fit: {unlike[0]!r} in place of "
                f"{unlike[1]!r}. The feature names should match those that were passed during fit."
            )
        rows = np.zeros((len(frame), self.width), dtype=np.float32)
        n_values, at_code = self.n_values, 2 * self.n_values
        place = {part: k for k, part in enumerate(self._values)}
        for i, column in enumerate(self.columns):
            if column.kind == "text":
                continue
            values = _read(frame, i)[1] if column.kind == "category" else _read_as(frame, i, column)
            missing = is_missing(values)
            if column.kind == "category":
                rows[:, at_code] = _codes(values, missing, column)
                at_code += 1
                continue
            for p, part in enumerate(_parts(values, column.kind)):
                if p == 0:
                    _refuse_infinite(part, missing, column.name, name)
                rows[:, place[i, p]] = np.where(missing, 0.0, part)
                rows[:, n_values + place[i, p]] = missing
        return rows

    def to_json(self) -> list[dict[str, Any]]:
        """Return the columns for a JSON file."""
        return [{**asdict(c), "categories": list(c.categories)} for c in self.columns]

    @classmethod
    def from_json(cls, fields: Any) -> Columns:
        """Return the columns that `to_json` wrote, or raise for what it does not write."""
        types = {"name": str, "kind": str, "categories": list, "has_missing": bool}
        columns = []
        for field in fields if isinstance(fields, list) else [fields]:
            is_column = isinstance(field, dict) and {k: type(v) for k, v in field.items()} == types
            is_column = is_column and field["kind"] in _PARTS
            if not is_column or not all(type(text) is str for text in field["categories"]):
                raise ValueError(f"{field!r:.80} describes no column")
            columns.append(Column(**{**field, "categories": tuple(field["categories"])}))
        return cls(tuple(columns))


_VECTORISE = (
    "To judge rows by texts, vectorise them: columns of numbers from a sentence encoder, or from "
    "make_pipeline(TfidfVectorizer(), TruncatedSVD(100)).fit_transform(frame['text']). If they are "
    "dates or numbers that are written otherwise than 2024-12-31 and 1.5, convert them: "
    "pandas.to_datetime, pandas.to_numeric."
)


def needs_encoding(frame: Any) -> bool:
    """Tell whether a frame holds anything else than numbers that are there."""
    return any(
        kind != "number" or is_missing(values).any()
        for kind, values in (_read(frame, i) for i in range(len(_names(frame))))
    )


def _names(frame: Any) -> list[str]:
    """Return the names of the columns of a frame."""
    return [str(name) for name in frame.columns]


def _column(frame: Any, i: int) -> Any:
    """Return a column of a frame of pandas, polars or the like."""
    return frame.iloc[:, i] if hasattr(frame, "iloc") else frame[:, i]


def _read(frame: Any, i: int) -> tuple[Kind, NDArray[Any]]:
    """Return what a column holds, and its values: float64 or datetime64 with holes, or objects."""
    column = _column(frame, i)
    values = np.asarray(column)
    if values.dtype.kind == "c" or values.ndim != 1:  # of polars, arrays and structs of numbers
        held = kind_of_values(values) if values.ndim == 1 else "several values a row"
        raise ValueError(
            f"Column {_names(frame)[i]!r} of X holds {held}; make columns of numbers of it."
        )
    if str(column.dtype).lower().startswith(_DECLARED):
        return "category", values.astype(object)
    if values.dtype.kind == "M":
        return "date", values
    if values.dtype.kind == "m":
        return "number", values / np.timedelta64(1, "D")
    if values.dtype.kind in "biuf":
        return "number", values.astype(np.float64)
    return _read_objects(values.astype(object), _names(frame)[i])


def _read_objects(values: NDArray[Any], name: str) -> tuple[Kind, NDArray[Any]]:
    """Return what objects are, where they are not missing."""
    missing = is_missing(values)
    there = values[~missing]
    try:
        numbers = np.full(len(values), np.nan)
        numbers[~missing] = [_as_number(value) for value in there]
    except (TypeError, ValueError):
        pass
    else:
        return "number", numbers
    if len(there) and all(map(_is_date, there)):
        dates = np.full(len(values), np.datetime64("NaT"), dtype="datetime64[us]")
        with suppress(ValueError):  # a text that is no day of the calendar
            dates[~missing] = [_as_date(value) for value in there]
            return "date", dates
    for row in np.flatnonzero(~missing):
        if isinstance(values[row], (list, tuple, Mapping, set, np.ndarray)):
            raise ValueError(
                f"Column {name!r} of X holds a {type(values[row]).__name__} in row {row}; make "
                "columns of numbers or of single texts of it, or leave it out."
            )
    return "category", values


def _as_number(value: Any) -> float:
    """Return a number, a text that is one, or a time in days; raise for anything else."""
    if isinstance(value, datetime.timedelta):
        return value / datetime.timedelta(days=1)
    if isinstance(value, datetime.time):
        seconds = 3600 * value.hour + 60 * value.minute + value.second + 1e-6 * value.microsecond
        return seconds / 86400
    if isinstance(value, complex):
        raise TypeError
    return float(value)


def _is_date(value: Any) -> bool:
    """Tell whether an object is a date, a time on one, a period of time, or the text of one."""
    if isinstance(value, str):
        return _ISO_DATE.fullmatch(value) is not None
    return isinstance(value, datetime.date) or hasattr(value, "to_timestamp")


def _as_date(value: Any) -> np.datetime64:
    """Return a date, or the begin of a period; of times in a zone, in UTC."""
    if isinstance(value, str):
        return np.datetime64(value.replace(" ", "T"), "us")
    value = value.to_timestamp() if hasattr(value, "to_timestamp") else value
    if getattr(value, "tzinfo", None) is not None:
        value = value.astimezone(datetime.UTC).replace(tzinfo=None)
    return np.datetime64(value.isoformat(), "us")


def _read_as(frame: Any, i: int, column: Column) -> NDArray[Any]:
    """Return the values of a column of numbers or dates, or raise if they are something else."""
    kind, values = _read(frame, i)
    missing = is_missing(values)
    if kind == column.kind:
        return values
    if missing.all():
        return np.full(len(values), np.nan) if column.kind == "number" else values.astype("M8[us]")
    row = int(np.flatnonzero(~missing)[0])
    raise ValueError(
        f"Column {column.name!r} of X held {column.kind}s in the fit and holds "
        f"{values[row].item() if isinstance(values[row], np.generic) else values[row]!r} in row "
        f"{row}."
    )


def _described(name: str, kind: Kind, values: NDArray[Any]) -> Column:
    """Return what there is to know of a column."""
    missing = is_missing(values)
    has_missing = bool(missing.any())
    if kind != "category":
        return Column(name, kind, has_missing=has_missing)
    counts = Counter(map(_text, values[~missing]))
    if len(counts) > max(2, _REPEATS * np.count_nonzero(~missing)):
        return Column(name, "text", has_missing=has_missing)
    frequent = sorted(counts, key=lambda text: (-counts[text], text))[:_MOST_CATEGORIES]
    return Column(name, kind, tuple(sorted(frequent)), has_missing)


def _text(value: Any) -> str:
    """Return by what a category is known: 1.0, as pandas makes of 1 beside missing ones, is 1."""
    is_whole = isinstance(value, (float, np.floating)) and float(value).is_integer()
    return str(int(value)) if is_whole else str(value)


def _codes(values: NDArray[Any], missing: NDArray[np.bool_], column: Column) -> NDArray[np.float32]:
    """Return positions of categories, -1 for others."""
    position = {text: k for k, text in enumerate(column.categories)}
    codes = np.full(len(values), len(position) if column.has_missing else -1, dtype=np.float32)
    codes[~missing] = [position.get(_text(value), -1) for value in values[~missing]]
    return codes


def _parts(values: NDArray[Any], kind: Kind) -> Iterator[NDArray[np.float64]]:
    """Yield the numbers that stand for a number or a date."""
    if kind == "number":
        yield values
        return
    days = (values - np.datetime64(0, "D")) / np.timedelta64(1, "D")
    yield days
    for period in _PERIODS:
        angle = 2 * np.pi * days / period
        yield np.sin(angle)
        yield np.cos(angle)


def _refuse_infinite(
    values: NDArray[np.float64], missing: NDArray[np.bool_], column: str, name: str
) -> None:
    """Raise for numbers that are infinite, or beyond float32."""
    rows = np.flatnonzero(~missing & ~(np.abs(values) <= _LARGEST))
    if len(rows):
        raise ValueError(
            f"{name} contains inf, or a number beyond float32, in {len(rows)} row(s), first "
            f"{rows[:LISTED_ROWS].tolist()}, in the column {column!r}. Scale the column, or leave "
            "these values out."
        )
