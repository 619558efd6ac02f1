# SPDX-License-Identifier: BSD-3-Clause
"""Folders that the user names, found unusable before the work whose results they are to hold."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any


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
