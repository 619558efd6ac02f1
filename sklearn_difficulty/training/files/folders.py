# SPDX-License-Identifier: BSD-3-Clause
"""A folder that is there as a whole or not at all, and the removal of what killed writers left."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

if sys.platform != "win32":
    import fcntl


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield a hidden folder beside `target` to be filled; at the end it moves there in one step.

    Hidden folders of the same target whose writers were killed are removed first. A writer holds a
    lock on its folder, which ends with its process.
    """
    _check_is_free(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(target)
    part, lock = _locked_part(target)
    try:
        yield part
        _check_is_free(target)  # another process may have been faster
        if target.exists():
            target.rmdir()
        os.replace(part, target)
    except BaseException as error:
        shutil.rmtree(part, ignore_errors=True)
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            error.filename = str(target)  # a full disk does not say where
        raise
    finally:
        if lock is not None:
            os.close(lock)


def _check_is_free(target: Path) -> None:
    """Raise if there is something that would be overwritten."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FileExistsError(f"{target} exists and is not empty; give a new directory.")


def _locked_part(target: Path) -> tuple[Path, int | None]:
    """Make a hidden folder and lock it; the lock is None where there are no locks."""
    while True:
        part = target.with_name(f".{target.name}-{secrets.token_hex(4)}.part")
        part.mkdir()
        lock = _lock(part, wait=True)
        if part.exists():
            return part, lock
        # Another process took it for abandoned before it was locked.
        if lock is not None:
            os.close(lock)


def _remove_abandoned(target: Path) -> None:
    """Remove the hidden folders of writers to `target` that have died."""
    pattern = re.compile(rf"\.{re.escape(target.name)}-[0-9a-f]{{8}}\.part")
    for part in target.parent.iterdir():
        if pattern.fullmatch(part.name) and part.is_dir() and not part.is_symlink():
            lock = _lock(part, wait=False)
            if lock is not None:
                shutil.rmtree(part, ignore_errors=True)
                os.close(lock)


def _lock(folder: Path, *, wait: bool) -> int | None:
    """Return an open file that holds the lock of a folder, or None if it cannot be had."""
    if sys.platform == "win32":
        return None
    try:
        lock = os.open(folder, os.O_RDONLY)
    except OSError:  # it has just been moved or removed, or belongs to somebody else
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:  # held by a living writer, or the file system has no locks
        os.close(lock)
        return None
    return lock
