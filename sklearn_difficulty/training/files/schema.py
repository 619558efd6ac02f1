# SPDX-License-Identifier: BSD-3-Clause
"""What may stand in the header of a saved record, and in its trajectory.

A digest says that a record is as it was written. Here is checked, on writing and on reading, what
it cannot say: that the parts go together, whoever wrote them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...networks.heads import head_named
from ..trajectory import Trajectory
from .tensors import content_digest

FORMAT = 2
_MAX_HEADER_BYTES = 2**25
_MAX_EPOCH = 2**31
_MAX_CLASS_BYTES = 2**28
_FIELDS = {
    "format", "module", "epochs", "n_epochs", "classes", "outputs", "criterion_is_usual", "rows",
    "trajectory", "trajectory_problem", "files", "digest",
}  # fmt: skip
_MEASURES = ("probability", "margin", "loss", "el2n")
_ROUNDING = 1e-3
# Types of labels, as `as_labels` leaves them; objects are strings.
_LABEL_TYPE = re.compile(r"\|b1|[|<>][iu][1248]|[<>]f[248]|[<>]U\d{1,8}|[<>]M8(\[\w+\])?|\|O")


# ---------------------------------------------------------------------------------------- header


def dump_header(fields: Mapping[str, Any]) -> bytes:
    """Return the content of record.json, its own digest included."""
    content = json.dumps({**fields, "digest": _digest(fields)}, indent=1, allow_nan=False).encode()
    if len(content) > _MAX_HEADER_BYTES:
        raise ValueError(f"The labels of the classes take more than {_MAX_HEADER_BYTES} bytes.")
    return content


def load_header(path: Path) -> dict[str, Any]:
    """Return the fields of record.json, or raise a ValueError that says what is wrong with it."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no saved record: {path} does not exist.")
    if path.stat().st_size > _MAX_HEADER_BYTES:
        raise ValueError(f"record.json has more than {_MAX_HEADER_BYTES} bytes")
    try:
        header = json.loads(
            path.read_bytes().decode(), object_pairs_hook=_distinct, parse_constant=_refuse
        )
    except (ValueError, RecursionError) as error:  # not UTF-8 is a ValueError too
        raise ValueError(f"record.json is damaged: {error}") from error
    if not isinstance(header, dict) or "format" not in header:
        raise ValueError("record.json has no field 'format'")
    if header["format"] != FORMAT or isinstance(header["format"], bool):
        raise ValueError(
            f"it was written in format {header['format']!r:.40}; this version reads {FORMAT}. Make "
            "the record again, or load it with the version that saved it"
        )
    if set(header) != _FIELDS:
        raise ValueError(f"record.json has other fields: {sorted(set(header) ^ _FIELDS)[:5]}")
    fields = {name: value for name, value in header.items() if name != "digest"}
    if header["digest"] != _digest(fields):
        raise ValueError("record.json has changed since it was written")
    check_fields(header)
    files, names = header["files"], sorted(file_names(header))
    is_met = isinstance(files, dict) and sorted(files) == names
    is_met = is_met and all(isinstance(digest, str) for digest in files.values())
    _need(is_met, "files", f"the digests of {len(names)} files, {names[:2]} ...", files)
    return header


def _digest(fields: Mapping[str, Any]) -> str:
    """Return a digest of fields, in whatever order they come."""
    return content_digest(json.dumps(fields, sort_keys=True).encode())


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON whose keys are distinct."""
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError("a key occurs twice")
    return dict(pairs)


def _refuse(constant: str) -> Any:
    """Raise: NaN and Infinity are not JSON."""
    raise ValueError(f"{constant} is no number")


def _need(is_met: bool, field: str, wanted: str, value: Any) -> None:
    """Raise, with the name of a field, unless it is as wanted."""
    if not is_met:
        raise ValueError(f"{field} must be {wanted}; it is {value!r:.80}")


def _is_int(value: Any, low: int, high: int) -> bool:
    """Tell whether a value of JSON is an integer from `low` to below `high`."""
    return type(value) is int and low <= value < high


def check_fields(header: Mapping[str, Any]) -> None:
    """Raise if the fields, the digests aside, are not those of a record."""
    module, epochs, trajectory = header["module"], header["epochs"], header["trajectory"]
    is_met = module is None or _has(module, name=str, config=(dict, type(None)))
    _need(is_met, "module", "null, or a name and a config", module)
    is_met = isinstance(epochs, list) and all(_is_int(epoch, 0, _MAX_EPOCH) for epoch in epochs)
    is_met = is_met and epochs == sorted(set(epochs))
    _need(is_met, "epochs", "distinct integers in increasing order", epochs)
    n_epochs, last = header["n_epochs"], max(epochs, default=0)
    _need(_is_int(n_epochs, last, _MAX_EPOCH), "n_epochs", f"an integer from {last} on", n_epochs)
    _need(isinstance(header["outputs"], str), "outputs", "a string", header["outputs"])
    head_named(header["outputs"])
    usual, problem = header["criterion_is_usual"], header["trajectory_problem"]
    _need(isinstance(usual, bool), "criterion_is_usual", "true or false", usual)
    is_met = isinstance(problem, (str, type(None)))
    _need(is_met, "trajectory_problem", "null or a string", problem)
    _check_rows("rows", header["rows"])
    if trajectory is not None:
        is_met = _has(trajectory, mode=str, rows=(dict, type(None)))
        _need(is_met, "trajectory", "null, or a mode and rows", trajectory)
        mode = trajectory["mode"]
        is_met = mode in ("training", "evaluation")
        _need(is_met, "trajectory.mode", "'training' or 'evaluation'", mode)
        _check_rows("trajectory.rows", trajectory["rows"])


def _check_rows(field: str, rows: Any) -> None:
    """Raise unless a field is a fingerprint of rows, or null."""
    is_met = rows is None or (_has(rows, n=int, X=str, y=str) and _is_int(rows["n"], 0, 2**63))
    _need(is_met, field, "null, or n and the digests of X and y", rows)


def _has(value: Any, **types: Any) -> bool:
    """Tell whether a value is an object of JSON with just these fields of these types."""
    return (
        isinstance(value, dict)
        and value.keys() == types.keys()
        and all(isinstance(value[name], kinds) for name, kinds in types.items())
    )


def file_names(header: Mapping[str, Any]) -> list[str]:
    """Return the files that a record has besides its header; no name is taken from the header."""
    names = [] if header["module"] is None else ["module.safetensors"]
    names += [] if header["trajectory"] is None else ["trajectory.safetensors"]
    return names + [epoch_file(epoch) for epoch in header["epochs"]]


def epoch_file(epoch: int) -> str:
    """Return the name of the file of a checkpoint."""
    return f"epoch-{epoch:05d}.safetensors"


# --------------------------------------------------------------------------------------- classes


def classes_to_json(classes: NDArray[Any]) -> dict[str, Any]:
    """Return labels, of a type that can be trained on, for a JSON file."""
    values = classes.view(np.int64) if classes.dtype.kind == "M" else classes
    return {"dtype": classes.dtype.str, "values": values.tolist()}


def classes_from_json(field: Any) -> NDArray[Any] | None:
    """Return the labels that `classes_to_json` wrote."""
    if field is None:
        return None
    _need(_has(field, dtype=str, values=list), "classes", "null, or dtype and values", field)
    name, values = field["dtype"], field["values"]
    _need(_LABEL_TYPE.fullmatch(name) is not None, "classes.dtype", "a type of labels", name)
    try:
        dtype = np.dtype(name)
    except (TypeError, ValueError) as error:  # a unit of time that there is not
        raise ValueError(f"classes.dtype must be a type of labels: {error}") from error
    is_small = dtype.itemsize * len(values) <= _MAX_CLASS_BYTES
    _need(is_small, "classes.dtype", "as wide as its labels", name)
    kind = {"b": bool, "U": str, "f": float, "O": str}.get(dtype.kind, int)
    _need(all(type(value) is kind for value in values), "classes.values", f"of type {name}", values)
    try:
        if dtype.kind == "M":
            return np.array(values, dtype=np.int64).astype(dtype.newbyteorder("=")).astype(dtype)
        classes = np.array(values, dtype=dtype)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"classes.values must be of type {name}: {error}") from error
    _need(classes.tolist() == values, "classes.values", f"of type {name}", field["values"])
    return classes


# ------------------------------------------------------------------------------------ trajectory


def check_trajectory(trajectory: Trajectory, n_epochs: int, n_classes: int | None) -> None:
    """Raise if arrays of a trajectory do not go together, or with so many epochs and classes."""
    shape = trajectory.count.shape  # with which all others agree, or there were no Trajectory
    _need(shape[0] <= n_epochs, "trajectory", f"of at most {n_epochs} epochs", shape[0])
    targets, rows = trajectory.targets, trajectory.rows
    label_kind, last_class = ("f", -1) if n_classes is None else ("i", n_classes - 1)
    kinds = {**dict.fromkeys((*_MEASURES, "logits"), "f"), "count": "i", "predicted": "i"}
    for name, kind in {**kinds, "targets": label_kind}.items():
        array = getattr(trajectory, name)
        wanted = {"f": "of floats", "i": "of integers"}[kind]
        is_met = array is None or array.dtype.kind == kind
        _need(is_met, f"trajectory.{name}", wanted, getattr(array, "dtype", None))
    is_met = n_classes is None or targets.ndim == 1
    _need(is_met, "trajectory.targets", f"of shape {shape[1:]}", targets.shape)
    if rows is not None:
        _need(rows.n == shape[1], "trajectory.rows.n", f"{shape[1]}, as the arrays say", rows.n)
    _check_range("probability", trajectory.probability, 0, 1 + _ROUNDING)
    _check_range("el2n", trajectory.el2n, 0, math.sqrt(2) + _ROUNDING)
    _check_range("loss", trajectory.loss, -_ROUNDING, math.inf)
    _check_range("predicted", trajectory.predicted, -1, last_class)
    _check_range("count", trajectory.count, 0, math.inf)
    unseen = trajectory.count == 0
    if n_classes is not None:
        _check_range("targets", targets, -1, last_class)
        _check_range("targets of rows that were shown", targets[~unseen.all(axis=0)], 0, last_class)
    for name in _MEASURES:
        is_met = bool(np.isnan(getattr(trajectory, name)[unseen]).all())
        _need(is_met, f"trajectory.{name}", "NaN where an epoch did not show a row", "a number")
    is_met = bool((trajectory.predicted[unseen] == -1).all())
    _need(is_met, "trajectory.predicted", "-1 where an epoch did not show a row", "a class")


def _check_range(name: str, array: NDArray[Any], low: float, high: float) -> None:
    """Raise if an array leaves a range; NaN does not."""
    outside = array[(array < low) | (array > high)]
    _need(not outside.size, f"trajectory.{name}", f"from {low} to {high:.5g}", outside[:1].tolist())
