# SPDX-License-Identifier: BSD-3-Clause
"""Which reader DATA needs, and probabilities from a file."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..messages import UserError, listed
from .arrays import read_arrays
from .data import Data
from .folders import read_folder
from .tables import read_columns, read_table

_TABLES = (".csv", ".tsv", ".parquet")


def read(args: Namespace) -> Data:
    """Read DATA as its kind asks for."""
    path = args.data.expanduser()
    if not path.exists():
        raise UserError(f"{path} does not exist.")
    suffix = path.suffix.lower()
    if path.is_dir():
        return read_folder(path, args)
    if suffix in _TABLES:
        return read_table(path, args)
    if suffix == ".npz":
        return read_arrays(path, args)
    raise UserError(f"{path}: DATA must be a .csv, .tsv, .parquet or .npz file, or a folder.")


def read_probabilities(path: Path, y: NDArray[Any]) -> NDArray[Any]:
    """Return held-out class probabilities, columns in the order of the sorted classes."""
    if not path.exists():
        raise UserError(f"--probabilities: {path} does not exist.")
    suffix = path.suffix.lower()
    names = None
    if suffix == ".npy":
        try:
            values = np.load(path, allow_pickle=False, mmap_mode="r")
        except Exception as error:  # of many types, as files are damaged in many ways
            raise UserError(f"{path} cannot be read as .npy: {error}") from error
    elif suffix in _TABLES:
        frame = read_columns(path)
        names, values = list(frame.columns), frame.to_numpy()
    else:
        raise UserError(f"--probabilities {path}: give a .npy, .csv or .parquet file.")
    if values.ndim != 2 or values.dtype.kind not in "fiu" or len(values) != len(y):
        raise UserError(
            f"{path} holds {values.dtype} of shape {values.shape}; there must be a line for each "
            f"of the {len(y)} rows, and a column per class."
        )
    classes = [str(label) for label in np.unique(y).tolist()]
    if names is None or not set(names) & set(classes):
        places = _places_by_value(classes)
    elif sorted(names) == sorted(classes):
        places = [names.index(name) for name in classes]
    else:
        raise UserError(
            f"the columns of {path} are {listed(names)}, and the classes {listed(classes)}. Give "
            "one column per class."
        )
    is_in_order = places == sorted(places) or values.shape[1] != len(places)
    return values if is_in_order else values[:, places]  # a memory map stays one


def _places_by_value(classes: list[str]) -> list[int]:
    """Return the places of classes in their order by value: 2.0 comes before 10.0."""
    try:
        return np.argsort(np.argsort([float(name) for name in classes])).tolist()
    except ValueError:  # names, which are sorted as texts
        return list(range(len(classes)))
