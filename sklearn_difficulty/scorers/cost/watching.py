# SPDX-License-Identifier: BSD-3-Clause
"""Time and memory that this process takes, however many others work on the machine."""

from __future__ import annotations

import os
import threading
import time
import warnings
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOOK_EVERY = 0.01  # seconds

wall_seconds = time.perf_counter


def own_seconds() -> float:
    """Return the clock on the wall, which stands still while this thread waits for a processor.

    It goes on while the thread sleeps: for workers, a GPU or a disk.
    """
    while True:
        waited, now = waited_seconds(), wall_seconds()
        if waited == waited_seconds():  # others did not come in between the two clocks
            return now - waited


def waited_seconds() -> float:
    """Return how long this thread was ready to work and others had the processor; 0 if unknown."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):  # not Linux, or a kernel that keeps no such books
        return 0.0


def resident_bytes() -> float:
    """Return how much memory this process has, NaN where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return float("nan")
    return float(pages * os.sysconf("SC_PAGE_SIZE"))


class Peak:
    """The most memory that this process had while it was watched."""

    def __init__(self) -> None:
        self.before = self.bytes = resident_bytes()

    def look(self) -> None:
        """Ask how much it is now."""
        self.bytes = max(self.bytes, resident_bytes())


@contextmanager
def watched_memory() -> Iterator[Peak]:
    """Give the peak of what runs inside, looked at by a thread every few milliseconds."""
    peak, finished = Peak(), threading.Event()

    def watch() -> None:
        while not finished.wait(_LOOK_EVERY):
            peak.look()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        finished.set()
        watcher.join()
        peak.look()


@contextmanager
def quiet() -> Iterator[None]:
    """Say nothing: the fit that follows says it."""
    with warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        yield
