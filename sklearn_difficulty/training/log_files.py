# SPDX-License-Identifier: BSD-3-Clause
"""Trajectories from the logs that other tools and training loops write."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._arrays import as_array, as_labels
from ..rows.labels import classes_of_columns, codes_of
from .row_names import RowNames
from .trajectory import Trajectory
from .trajectory_recorder import TrajectoryRecorder

_OF_AUM = ("sample_id", "num_measurements", "target_logit", "other_logit", "margin")
_LAYOUTS = (
    "a folder of Dataset Cartography (*_epoch_N.jsonl with guid, logits_epoch_N and gold), the "
    "full_aum_records.csv of aum, or a table (.npz, .parquet, .csv) with epoch, id, logits and, "
    "unless y is passed, label"
)


class _Log(NamedTuple):
    """What a log says, a line per epoch and row."""

    epoch: NDArray[Any]  # (n_lines,), in any units that can be ordered
    id: NDArray[Any]  # (n_lines,)
    logits: NDArray[np.float64] | None  # (n_lines, n_classes)
    label: NDArray[Any] | None  # (n_lines,)
    margin: NDArray[np.float64] | None = None  # (n_lines,), where logits are not logged
    other: NDArray[np.int64] | None = None  # the column of the runner-up, with margin


def trajectory_of_log(
    path: Path, ids: Any, y: Any, classes: Any, keep_logits: bool
) -> tuple[Trajectory, NDArray[Any]]:
    """Return the trajectory that a log holds, and the classes of its columns."""
    log = _read(path)
    n_rows, rows = _positions(log.id, ids, path)
    label, n_rows = _labels(log.label, y, n_rows, rows)
    if log.logits is None:
        return _of_margins(log, label, n_rows, rows, classes, path)
    n_classes = log.logits.shape[1]
    if classes is None:
        classes = classes_of_columns(label, n_classes)
    classes = as_labels(classes, "classes")
    if len(classes) != n_classes:
        raise ValueError(
            f"{path} has {n_classes} logits a row, and there are {len(classes)} classes; pass "
            "classes=[...], one per column."
        )
    # Tools log positions of columns, and tell nobody what these stand for.
    are_positions = y is None and label.dtype.kind in "iu" and 0 <= label.min() <= label.max()
    codes = label if are_positions and label.max() < n_classes else codes_of(label, classes)
    recorder = TrajectoryRecorder(n_rows, keep_logits=keep_logits)
    for lines in _by_epoch(log.epoch):
        recorder.update(rows[lines], log.logits[lines], codes[lines])
        recorder.end_epoch()
    return recorder.trajectory(), classes


def _of_margins(
    log: _Log, label: Any, n_rows: int, rows: NDArray[np.int64], classes: Any, path: Path
) -> tuple[Trajectory, NDArray[Any]]:
    """Return the trajectory of margins, with which go neither probabilities nor losses."""
    assert log.label is not None
    assert log.margin is not None
    assert log.other is not None
    if classes is None:
        classes = np.arange(max(log.label.max(), log.other.max()) + 1)
    classes = as_labels(classes, "classes")
    highest = max(log.label.max(), log.other.max())
    if highest >= len(classes):
        raise ValueError(f"{path} has a logit {highest}, and there are {len(classes)} classes.")
    is_given = label is not log.label  # from y
    unlike = np.flatnonzero(is_given & (classes[log.label] != label))
    if len(unlike):
        raise ValueError(
            f"{path} holds margins of other labels than y, first of row {rows[unlike[0]]}: "
            f"{classes[log.label[unlike[0]]]} in place of {label[unlike[0]]}."
        )
    targets = np.full(n_rows, -1, dtype=np.int64)
    targets[rows] = log.label
    epochs = list(_by_epoch(log.epoch))
    margin = np.full((len(epochs), n_rows), np.nan, dtype=np.float32)
    predicted = np.full((len(epochs), n_rows), -1, dtype=np.int32)
    count = np.zeros((len(epochs), n_rows), dtype=np.int32)
    for epoch, lines in enumerate(epochs):
        at = rows[lines]
        margin[epoch, at] = log.margin[lines]
        predicted[epoch, at] = np.where(log.margin[lines] > 0, log.label[lines], log.other[lines])
        count[epoch, at] = 1
    missing = np.full_like(margin, np.nan)
    return Trajectory(missing, margin, missing, missing, predicted, count, targets), classes


def _by_epoch(epoch: NDArray[Any]) -> Iterator[NDArray[np.int64]]:
    """Yield the lines of every epoch, in the order of the epochs and within them of the log."""
    order = np.argsort(epoch, kind="stable")
    _, starts = np.unique(epoch[order], return_index=True)
    yield from np.split(order, starts[1:])


def _positions(names: NDArray[Any], ids: Any, path: Path) -> tuple[int, NDArray[np.int64]]:
    """Return how many rows there are, and which of them every line is about."""
    if ids is not None:
        listed = ids.tolist() if hasattr(ids, "tolist") else list(ids)
        if path.suffix == ".csv" and all(isinstance(name, str) for name in listed):
            names = names.astype(str)  # the file does not say whether 1 is a number
        return len(listed), RowNames(listed, len(listed)).find(names, str(path)).numpy()
    if names.dtype.kind not in "iu" or names.min() < 0:
        raise ValueError(
            f"{path} calls the rows by names such as {names.tolist()[0]!r}; pass ids=[...], the "
            "names of all rows in the order that X and y have."
        )
    return int(names.max()) + 1, names.astype(np.int64)


def _labels(label: Any, y: Any, n_rows: int, rows: NDArray[np.int64]) -> tuple[Any, int]:
    """Return the label of every line, of the log or from y, and how many rows there are."""
    if y is None:
        if label is None:
            raise ValueError("The log holds no labels; pass y, in the order of the rows.")
        return label, n_rows
    y = as_labels(y)
    if len(y) < n_rows:
        raise ValueError(f"y holds {len(y)} labels, and the log is about {n_rows} rows.")
    return y[rows], len(y)


def _read(path: Path) -> _Log:
    """Return what a file, or a folder of files, holds."""
    if path.is_dir():
        return _read_cartography(_cartography_files(path))
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist.")
    readers: dict[str, Callable[[Path], _Log]] = {
        ".jsonl": lambda file: _read_cartography([file]),
        ".npz": _read_npz,
        ".csv": _read_table,
        ".parquet": _read_table,
    }
    if path.suffix not in readers:
        raise ValueError(f"{path} is not a log that can be read: {_LAYOUTS}.")
    return readers[path.suffix](path)


def _cartography_files(folder: Path) -> list[Path]:
    """Return the files of the epochs in a folder, or in the one that cartography makes in it."""
    for place in (folder, folder / "training_dynamics"):
        if files := sorted(place.glob("*_epoch_*.jsonl")):
            return files
    if (records := folder / "full_aum_records.csv").exists():
        raise ValueError(f"Pass the file itself: {records}.")
    raise ValueError(f"{folder} is not a log that can be read: {_LAYOUTS}.")


def _read_cartography(files: Sequence[Path]) -> _Log:
    """Return the lines of Dataset Cartography, whose keys name the epoch."""
    epochs, names, logits, labels = [], [], [], []
    for file in files:
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            if not line.strip():
                continue
            try:
                said = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{file}, line {number} is not JSON: {error}.") from error
            keys = sorted(said) if isinstance(said, dict) else []
            key = next((key for key in keys if key.startswith("logits_epoch_")), None)
            if key is None or "guid" not in keys or "gold" not in keys:
                raise ValueError(
                    f"{file}, line {number} has {keys}; it needs guid, gold and logits_epoch_N."
                )
            epochs.append(int(key.removeprefix("logits_epoch_")))
            names.append(said["guid"])
            logits.append(said[key])
            labels.append(said["gold"])
    return _checked(epochs, names, logits, labels, files[0])


def _read_npz(path: Path) -> _Log:
    """Return the arrays of a file of NumPy."""
    with np.load(path, allow_pickle=False) as held:
        missing = [name for name in ("epoch", "id", "logits") if name not in held]
        if missing:
            raise ValueError(f"{path} lacks {missing} among {sorted(held)}: {_LAYOUTS}.")
        label = held["label"] if "label" in held else None
        return _checked(held["epoch"], held["id"], held["logits"], label, path)


def _read_table(path: Path) -> _Log:
    """Return the columns of a table."""
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError(
            f"{path.suffix} files are read with pandas, which is not here."
        ) from error
    table = _as_written(path, pd) if path.suffix == ".csv" else pd.read_parquet(path)
    if set(_OF_AUM) <= set(table.columns):
        return _Log(
            table["num_measurements"].to_numpy(),
            table["sample_id"].to_numpy(),
            None,
            table["target_logit"].to_numpy(np.int64),
            table["margin"].to_numpy(np.float64),
            table["other_logit"].to_numpy(np.int64),
        )
    if list(table.columns) == ["sample_id", "aum"]:
        raise ValueError(
            f"{path} holds one number per row, the area under the margin, and not what it is the "
            "mean of; have it written by AUMCalculator(..., compressed=False)."
        )
    columns = [name for name in table.columns if str(name).startswith("logit_")]
    missing = [name for name in ("epoch", "id") if name not in table.columns]
    if missing or not ("logits" in table.columns or len(columns) > 1):
        raise ValueError(
            f"{path} has the columns {list(table.columns)}; it needs epoch, id, and logits as "
            "lists or as logit_0, logit_1, ...; label too, unless y is passed."
        )
    if "logits" in table.columns:
        logits: Any = table["logits"].tolist()
    else:
        logits = table[sorted(columns, key=lambda name: int(name[6:]))].to_numpy()
    label = table["label"].to_numpy() if "label" in table.columns else None
    return _checked(table["epoch"].to_numpy(), table["id"].to_numpy(), logits, label, path)


def _as_written(path: Path, pd: Any) -> Any:
    """Return a .csv file in which names and labels such as 007, NA or None stay what they are."""
    table = pd.read_csv(path)
    names = [name for name in ("id", "sample_id", "label") if name in table.columns]
    texts = pd.read_csv(path, usecols=names, dtype=str, keep_default_na=False)
    for name in names:
        if (table[name].astype(str) != texts[name]).any():
            table[name] = texts[name].where(texts[name] != "")
    return table


def _checked(epoch: Any, names: Any, logits: Any, label: Any, path: Path) -> _Log:
    """Return a log whose parts have one entry a line, or raise."""
    epoch, names = as_array(epoch, "epoch"), _names(names)
    try:
        logits = np.array(logits, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"The logits of {path} are no rows of equally many numbers.") from error
    label = None if label is None else as_labels(label, "label")
    if not len(names):
        raise ValueError(f"{path} is empty.")
    lengths = {len(part) for part in (epoch, names, logits, label) if part is not None}
    if len(lengths) > 1 or logits.ndim != 2 or logits.shape[1] < 2 or epoch.ndim != 1:
        raise ValueError(
            f"{path} needs one epoch, id and label a line and logits of shape (n_lines, "
            f"n_classes); epoch has the shape {epoch.shape}, logits {logits.shape}."
        )
    return _Log(epoch, names, logits, label)


def _names(values: Any) -> NDArray[Any]:
    """Return names of rows as an array, objects where they are of several types."""
    names = np.asarray(values)
    if names.dtype.kind in "iu" or isinstance(values, np.ndarray):
        return names
    mixed = np.empty(len(values), dtype=object)
    mixed[:] = values
    return mixed
