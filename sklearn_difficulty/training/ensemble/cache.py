# SPDX-License-Identifier: BSD-3-Clause
"""Arrays on disk that an interrupted run finds again: one safetensors file per key, no pickle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save

from ..._warnings import warn_caller
from ..files.folders import check_writable, write_atomically
from ..fingerprints.config_hash import fingerprint

_FORMAT = "1"
Layout = tuple[tuple[int, ...], str]  # shape and type of an array


class MemberStore:
    """A folder of named entries, each a few named arrays.

    Several processes may use it at once: an entry is whole or absent. Those that were killed leave
    hidden `*.part` files, which are never read and may be deleted.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._has_warned = False

    def check_writable(self, n_bytes: int) -> None:
        """Raise an OSError if an entry of a size cannot be written."""
        check_writable(self.directory, "cache_dir", n_bytes)

    def keep(self, key: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Write arrays, or warn once if that fails: they are not lost with the disk."""
        try:
            self.write(key, arrays)
        except OSError as error:
            if not self._has_warned:
                self._has_warned = True
                warn_caller(
                    f"{self._path(key)} cannot be written ({error.strerror or error}). The fit "
                    "goes on, and what cannot be written will be trained again by the next one."
                )

    def write(self, key: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Write arrays of bools, integers or floats in one step, in place of what is there."""
        # safetensors writes the memory as it lies: rows first, in this machine's byte order.
        plain = {
            name: np.asarray(array, dtype=array.dtype.newbyteorder("="), order="C")
            for name, array in arrays.items()
        }
        for name, array in plain.items():
            if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
                raise TypeError(
                    f"The array {name!r} holds {array.dtype}; only bools, integers and floats of "
                    "up to 64 bits can be stored."
                )
        header = {"format": _FORMAT, "key": key, "content": _digest(plain)}
        self.directory.mkdir(parents=True, exist_ok=True)
        content = save(plain, metadata=header)  # save_file makes files only their owner may read
        write_atomically(self._path(key), lambda part: part.write_bytes(content))

    def read(
        self, key: str, expected: Mapping[str, Layout] = MappingProxyType({})
    ) -> dict[str, NDArray[Any]] | None:
        """Return the arrays of an entry, None if it is absent or, with a warning, damaged.

        An entry must hold the expected arrays, and may hold more.
        """
        path = self._path(key)
        try:
            with safe_open(path, framework="numpy") as file:
                header = file.metadata() or {}
                arrays = {name: file.get_tensor(name) for name in file.keys()}
        except FileNotFoundError:
            return None
        except Exception as error:  # what safetensors raises of damaged files is of many types
            problem = f"it cannot be read ({error})"
        else:
            problem = _problem(header, key, arrays) or _misfit(arrays, expected)
        if problem:
            warn_caller(f"{path} is left aside and will be made anew: {problem}.")
            return None
        return arrays

    def _path(self, key: str) -> Path:
        """Return where an entry lies."""
        return self.directory / f"{fingerprint(key)}.safetensors"


def _problem(header: Mapping[str, str], key: str, arrays: Mapping[str, NDArray[Any]]) -> str:
    """Say why a readable file is not the entry that was written under `key`, if so."""
    if header.get("format") != _FORMAT:
        return f"its format is {header.get('format')}, not {_FORMAT}"
    if header.get("key") != key:
        return "it belongs to another key"
    if header.get("content") != _digest(arrays):
        return "its content has changed since it was written"
    return ""


def _misfit(arrays: Mapping[str, NDArray[Any]], expected: Mapping[str, Layout]) -> str:
    """Say which expected array an entry lacks, or has in another shape or type, if so."""
    for name, layout in expected.items():
        if name not in arrays:
            return f"it lacks the array {name!r}"
        if (arrays[name].shape, arrays[name].dtype.name) != layout:
            return f"its array {name!r} is not {layout[1]} of shape {layout[0]}"
    return ""


def _digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Return a digest of named arrays."""
    # The file does not keep the order of the arrays.
    return fingerprint(sorted(arrays.items()))
