# SPDX-License-Identifier: BSD-3-Clause
"""DATA, once it is read: labels, names of the rows, and what they are judged by."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..messages import UserError, listed, note

_MISSING_LABELS = ("", "nan", "NaN", "<NA>")
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})|-0")
_MANY_CLASSES = 50  # from which labels that hardly repeat are taken for numbers or names


@dataclass(frozen=True, eq=False)
class Data:
    """Rows with their labels.

    `columns` is a DataFrame of features, float64 or text, `array` an array of numbers of rank 2
    (features) or 4 (images); one of them is None, or, with `texts`, both.
    """

    path: Path
    label: str  # what the labels are called
    y: NDArray[Any]
    digest: str  # of all that was read
    rewrite: Callable[[Path, NDArray[Any], NDArray[np.bool_]], None]  # labels, and rows to keep
    table: Any = None  # the DataFrame of all columns as they were read
    columns: Any = None
    array: NDArray[Any] | None = None
    texts: list[str] | None = None
    pictures: list[Path] | None = None
    ids: list[str] | None = None
    groups: NDArray[Any] | None = None


def labels_of(values: Sequence[Any], name: str) -> NDArray[Any]:
    """Return labels of any type as integers, bools or strings, after checking them."""
    if not len(values):
        raise UserError("there are no rows in it.")
    texts = [str(value) for value in values]
    missing = [i for i, text in enumerate(texts) if text in _MISSING_LABELS]
    if missing:
        raise UserError(
            f"{len(missing)} row(s) have no label in {name!r} (rows {listed(missing)}). Leave them "
            "out: label errors are those of labels that are there."
        )
    kinds = set(map(type, values))
    if kinds <= {bool, np.bool_}:
        y = np.array(values, dtype=bool)
    elif all(_WHOLE.fullmatch(text) for text in set(texts)):
        y = np.array([int(text) for text in texts], dtype=np.int64)
    else:
        y = np.array(texts)
    counts = Counter(texts)
    if len(counts) < 2:
        raise UserError(
            f"all labels in {name!r} are {texts[0]!r}; at least two classes are needed."
        )
    _tell_alike(list(counts))
    if len(counts) > max(_MANY_CLASSES, len(texts) // 4):
        raise UserError(
            f"{name!r} has {len(counts)} different values in {len(texts)} rows, such as "
            f"{listed(list(counts)[:3])}. These are no classes; is --label another column?"
        )
    return y


def _tell_alike(labels: list[str]) -> None:
    """Tell of labels that differ by spaces or capitals alone: two classes, or one misspelt."""
    alike: dict[str, list[str]] = {}
    for label in labels:
        alike.setdefault(" ".join(label.split()).casefold(), []).append(label)
    for several in alike.values():
        if len(several) > 1:
            note(f"the labels {several} are taken as different classes.")


def ids_of(values: Sequence[Any], name: str) -> list[str]:
    """Return the names of rows, each of which must be its own."""
    ids = [str(value) for value in values]
    first: dict[str, int] = {}
    for i, text in enumerate(ids):
        if text in first:
            raise UserError(
                f"--id {name}: rows {first[text]} and {i} are both called {text!r}. Name a column "
                "that tells rows apart, or leave --id out."
            )
        first[text] = i
    return ids


def groups_of(values: Sequence[Any], name: str) -> NDArray[Any]:
    """Return the groups of rows as positions."""
    codes = np.unique([str(value) for value in values], return_inverse=True)[1]
    if codes.max() < 1:
        raise UserError(f"--groups {name}: all rows are in one group, and none can be held out.")
    return np.asarray(codes)


def column(names: Sequence[str], wanted: str | None, option: str) -> str:
    """Return the name of a column, or say which there are."""
    if wanted is None:
        raise UserError(f"{option} is missing: name one of the columns {listed(names)}.")
    if wanted not in names:
        like = [name for name in names if name.strip().lower() == wanted.strip().lower()]
        hint = f"do you mean {like[0]!r}?" if like else f"there are {listed(names)}."
        raise UserError(f"{option} {wanted}: there is no such column; {hint}")
    return wanted
