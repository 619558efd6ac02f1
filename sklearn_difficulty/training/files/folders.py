# SPDX-License-Identifier: BSD-3-Clause
"""Files and folders that are there as a whole or not at all, or are found unusable early."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

if sys.platform != "win32":
    import fcntl


def folder_of(path: Any) -> Path:
    """Return a folder that the user named, ``~`` replaced by their home."""
    return Path(path).expanduser()


def check_writable(folder: Path, parameter: str, n_bytes: int = 1) -> None:
    """Make a folder, and raise an OSError that names the parameter if no file of a size fits."""
    part = folder / f".{secrets.token_hex(4)}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as file:
                file.write(bytes(n_bytes))
                os.fsync(file.fileno())  # some file systems find room, or none, only now
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise type(error)(
            f"{parameter}={str(folder)!r} cannot hold results: {error.strerror or error}. Name a "
            f"folder that can be written to and has room, or set {parameter} to None."
        ) from error


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file, then move it to `path`: readers see all or nothing."""
    # A name of its own: threads may write the same file.
    part = path.with_name(f".{path.name}-{secrets.token_hex(4)}.part")
    try:
        write(part)
        os.replace(part, path)
    except BaseException as error:
        part.unlink(missing_ok=True)
        _name_target(error, path)
        raise


def _name_target(error: BaseException, target: Path) -> None:
    """Say what was to be written where the system does not, as of a full disk."""
    if isinstance(error, OSError) and error.errno is not None and error.filename is None:
        error.filename = str(target)


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
        _name_target(error, target)
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
