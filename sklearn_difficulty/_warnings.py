# SPDX-License-Identifier: BSD-3-Clause
"""What the user is told: warnings at their line, and notes on where an error happened."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_INTERNAL = ("sklearn_difficulty", "sklearn")  # scikit-learn wraps fit and transform


def warn_caller(message: str) -> None:
    """Warn at the line that called this library, however deep below it the cause was found."""
    frame, level = inspect.currentframe(), 0
    while frame is not None and frame.f_globals["__name__"].partition(".")[0] in _INTERNAL:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, UserWarning, stacklevel=level + 1)


_HAPPENED = "This happened "


def locate(error: BaseException, place: str) -> None:
    """Say in the error's note where it happened; a place around that joins the same note."""
    notes: list[str] = getattr(error, "__notes__", [])
    for i, note in enumerate(notes):
        if note.startswith(_HAPPENED):
            notes[i] = f"{note.removesuffix('.')}, {place}."
            return
    error.add_note(f"{_HAPPENED}{place}.")


@contextmanager
def located(place: str) -> Iterator[None]:
    """Note the place on any error that comes from within; its type and traceback stay."""
    try:
        yield
    except Exception as error:
        locate(error, place)
        raise


Caught = list[tuple[type[Warning], str]]


@contextmanager
def caught_warnings() -> Iterator[Caught]:
    """Yield a list that holds, at the end, each kind of warning once, which a worker would lose."""
    found: Caught = []
    with warnings.catch_warnings(record=True) as caught:
        yield found
    found += dict.fromkeys((w.category, str(w.message)) for w in caught)
