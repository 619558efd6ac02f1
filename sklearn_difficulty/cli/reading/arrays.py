# SPDX-License-Identifier: BSD-3-Clause
"""Arrays from .npz files."""

from __future__ import annotations

from argparse import Namespace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..messages import UserError, listed
from .data import Data, groups_of, ids_of, labels_of
from .tables import pandas


def read_arrays(path: Path, args: Namespace) -> Data:
    """Read an .npz file with X, y, and perhaps names and groups of rows."""
    if args.text is not None or args.ignore:
        raise UserError("--text and --ignore are for tables.")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except Exception as error:  # of many types, as files are damaged in many ways
        raise UserError(f"{path} cannot be read as .npz: {error}") from error
    label = args.label or "y"
    X = _array(arrays, "X", path)
    y = labels_of(_array(arrays, label, path, len(X)).ravel().tolist(), label)
    if X.dtype.kind not in "fiub" or X.ndim not in (2, 4):
        raise UserError(
            "X must hold numbers of shape (rows, features), or (rows, channels, height, width) "
            f"for images; it holds {X.dtype} of shape {X.shape}."
        )
    columns = None
    if X.dtype.kind == "f" and not np.isfinite(X).all():
        if X.ndim == 4:
            raise UserError("X holds NaN or infinite values, which images must not.")
        names = [f"x{i}" for i in range(X.shape[1])]
        columns = pandas().DataFrame(np.where(np.isfinite(X), X, np.nan), columns=names)

    def rewrite(target: Path, y_new: NDArray[Any], keep: NDArray[np.bool_]) -> None:
        """Write all arrays that have a line per row without the dropped ones."""
        new = {**arrays, label: y_new.astype(arrays[label].dtype)}
        lines = {k: a[keep] if a.ndim and len(a) == len(keep) else a for k, a in new.items()}
        with target.open("xb") as file:
            np.savez_compressed(file, **lines)

    ids = groups = None
    if args.id is not None:
        ids = ids_of(_array(arrays, args.id, path, len(X)).tolist(), args.id)
    if args.groups is not None:
        groups = groups_of(_array(arrays, args.groups, path, len(X)).tolist(), args.groups)
    return Data(
        path,
        label,
        y,
        sha256(path.read_bytes()).hexdigest(),
        rewrite,
        columns=columns,
        array=None if columns is not None else X,
        ids=ids,
        groups=groups,
    )


def _array(arrays: dict[str, Any], name: str, path: Path, n: int | None = None) -> Any:
    """Return an array of the file, with n lines."""
    if name not in arrays:
        raise UserError(f"{path} has no array {name!r}; it holds {listed(list(arrays))}.")
    found = arrays[name]
    if not found.ndim or (n is not None and len(found) != n):
        raise UserError(f"{name!r} in {path} has the shape {found.shape}, not one line per row.")
    return found
