# SPDX-License-Identifier: BSD-3-Clause
"""What the training loop of a user calls the rows, as positions; and its numbers as tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from .._arrays import LISTED_ROWS, as_array, is_tensor, kind_of_values, native
from ..networks.heads import first_output


class RowNames:
    """The names of all rows: any hashable values, in the order of the rows."""

    def __init__(self, names: Any, n_rows: int) -> None:
        listed = _listed(names)
        try:
            self._position = {name: i for i, name in enumerate(listed)}
        except TypeError as error:
            raise ValueError(
                f"ids must be hashable, such as strings or tuples: {error}."
            ) from error
        if len(listed) != n_rows or len(self._position) != n_rows:
            raise ValueError(
                f"ids must name each of the {n_rows} rows once; got {len(listed)} ids, "
                f"{len(self._position)} of them different."
            )

    def find(self, names: Any, source: str = "A batch") -> torch.Tensor:
        """Return the positions of rows, or raise for names that are not known."""
        listed = _listed(names)
        found = [self._position.get(name, -1) for name in listed]
        if -1 in found:
            missing = [name for name, at in zip(listed, found, strict=True) if at < 0]
            unknown = list(dict.fromkeys(missing))  # a log names a row in every epoch
            raise ValueError(
                f"{source} names {len(unknown)} row(s) that ids does not, first "
                f"{unknown[:LISTED_ROWS]}; ids begins with {list(self._position)[:LISTED_ROWS]}."
            )
        return torch.tensor(found, dtype=torch.int64)


def positions(ids: Any, n_rows: int) -> torch.Tensor:
    """Return what should be row numbers as int64, or raise and say what to do with other ids."""
    if type(ids) is np.ndarray and ids.dtype == np.int64:
        return torch.from_numpy(ids).reshape(-1)
    ids = ids.detach() if isinstance(ids, torch.Tensor) else torch.from_numpy(_integers(ids))
    if ids.is_meta:
        raise TypeError("ids are a tensor on the meta device, without values.")
    if ids.is_floating_point() and bool((ids == ids.long()).all()):
        ids = ids.long()
    if ids.dtype == torch.bool or ids.is_floating_point() or ids.is_complex():
        hint = "; of a mask, np.flatnonzero(mask)" if ids.dtype == torch.bool else ""
        raise ValueError(f"ids must be row numbers from 0 to {n_rows - 1}, not {ids.dtype}{hint}.")
    return ids.reshape(-1).long()


def refuse_unknown_positions(ids: torch.Tensor, n_rows: int) -> None:
    """Raise if ids are no row numbers."""
    if not len(ids):
        return
    low, high = (int(bound) for bound in ids.aminmax())
    if low < 0 or high >= n_rows:
        raise ValueError(
            f"ids must be row numbers from 0 to {n_rows - 1}; a batch holds {low} to {high}. If "
            "rows have other names, give all of them, in order, as TrajectoryRecorder(n_rows, "
            "ids=[...])."
        )


def outputs_of(outputs: Any) -> Any:
    """Return the predictions of a module, which may also come as lists of numbers."""
    has_tensors = isinstance(outputs, (list, tuple)) and any(map(is_tensor, outputs))
    has_logits = hasattr(outputs, "logits") or (
        isinstance(outputs, Mapping) and "logits" in outputs
    )
    return first_output(outputs) if has_tensors or has_logits else outputs


def numbers_of(values: Any, name: str) -> torch.Tensor:
    """Return outputs or labels as a tensor without a graph."""
    if isinstance(values, torch.Tensor):
        if values.is_meta:
            raise TypeError(f"{name} are a tensor on the meta device, without values.")
        return values.detach()
    array = as_array(values, name)
    if array.dtype.kind not in "biuf":
        way_out = "positions of output columns" if name == "labels" else "tensors"
        raise ValueError(f"{name} hold {kind_of_values(array)}; pass {way_out}.")
    array = array.astype(np.int64) if array.dtype.kind == "u" else native(array)
    return torch.from_numpy(np.array(array))


def _integers(ids: Any) -> np.ndarray[Any, Any]:
    """Return ids that are numbers as an array that torch takes, or say what to do with others."""
    array = as_array(ids, "ids")
    if array.dtype.kind not in "biuf":
        raise ValueError(
            f"ids hold {kind_of_values(array)}, such as {array.ravel()[:1].tolist()}. Give the ids "
            "of all rows, in order, as TrajectoryRecorder(n_rows, ids=[...])."
        )
    if array.dtype.kind in "iu":
        return array.astype(np.int64)
    return np.array(array, dtype=bool if array.dtype.kind == "b" else np.float64)


def _listed(names: Any) -> list[Any]:
    """Return names as Python values, which are equal and hash alike whatever held them."""
    if hasattr(names, "tolist") or isinstance(names, torch.Tensor):
        names = names.tolist()
    return [_plain(name) for name in names]


def _plain(name: Any) -> Any:
    """Return a scalar of torch or NumPy as Python's, and a list as a tuple."""
    if isinstance(name, (torch.Tensor, np.ndarray)):
        name = name.tolist()
    if isinstance(name, np.generic):
        return name.item()
    return tuple(map(_plain, name)) if isinstance(name, (list, tuple)) else name
