# SPDX-License-Identifier: BSD-3-Clause
"""What a person is told in the terminal, on stderr."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

_LISTED = 5


class UserError(Exception):
    """Something that the person at the terminal can put right; told in one line."""


def say(message: str, kind: str = "error") -> None:
    """Print one line to stderr."""
    with contextlib.suppress(OSError, ValueError):  # it may be closed
        print(f"sklearn-difficulty: {kind}: {printable(message)}", file=sys.stderr)


def note(message: str) -> None:
    """Tell something that is worth knowing and no error; --quiet is silent about it."""
    warnings.warn(message, UserWarning, stacklevel=2)


@contextlib.contextmanager
def progress_on_stderr() -> Iterator[None]:
    """Send what is printed during a training to stderr: stdout is for results."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def printable(text: str) -> str:
    """Return text whose control and direction characters are shown, not obeyed."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def listed(values: Sequence[Any]) -> str:
    """Return the first few values, for a message."""
    shown = ", ".join(str(value) for value in values[:_LISTED])
    return f"{shown}, ..." if len(values) > _LISTED else shown
