# SPDX-License-Identifier: BSD-3-Clause
"""One trajectory of those that several processes recorded: `merge_trajectories`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .record import TrainingRecord
from .trajectory import Trajectory

__all__ = ["merge_trajectories"]
_MEANS = ("probability", "margin", "loss", "el2n")


def merge_trajectories(parts: Sequence[Trajectory | TrainingRecord]) -> Trajectory:
    """Return the trajectory of a training whose processes have each recorded their own batches.

    In distributed data parallel training every process sees a part of the rows in an epoch. Let
    each have its own `TrajectoryRecorder`, of all rows, and save what it recorded; then merge.

    Parameters
    ----------
    parts : list of Trajectory or TrainingRecord
        What the processes recorded, or records of it, such as `TrainingRecord.load` returns: of the
        same rows in the same order and of as many epochs. A process that saw no row has its part.

    Returns
    -------
    trajectory : Trajectory
        A row that several processes saw in an epoch, as samplers make them to give each as many
        rows, has the mean over all times that it was seen, and the prediction and logits of the
        last process that saw it.

    Raises
    ------
    ValueError
        If parts differ in rows, epochs, labels or mode.

    See Also
    --------
    TrajectoryRecorder : What every process has.
    sklearn_difficulty.TrainingRecord.from_trajectory : What scorers read.

    Examples
    --------
    >>> import torch
    >>> from sklearn_difficulty.training import (
    ...     TrajectoryRecorder,
    ...     merge_trajectories,
    ... )
    >>> y, parts = torch.tensor([0, 1, 1, 0]), []
    >>> for rows in ([0, 1], [2, 3]):  # in two processes
    ...     recorder = TrajectoryRecorder(n_rows=4)
    ...     recorder.update(rows, torch.eye(2)[y[rows]], y[rows])
    ...     recorder.end_epoch()
    ...     parts.append(recorder.trajectory())
    >>> parts[0].margin
    array([[ 1.,  1., nan, nan]], dtype=float32)
    >>> merge_trajectories(parts).margin
    array([[1., 1., 1., 1.]], dtype=float32)
    """
    numbered = dict(enumerate(map(_trajectory, _listed(parts)), start=1))
    for number, part in numbered.items():
        _check_alike(numbered[1], part, number)
    # Who saw no row knows neither what targets look like nor how many logits there are.
    numbered = {n: part for n, part in numbered.items() if part.count.any()} or {1: numbered[1]}
    trajectories = list(numbered.values())
    first = trajectories[0]
    seen = np.zeros(first.n_rows, dtype=bool)
    targets = first.targets.copy()
    for number, part in numbered.items():
        if (part.logits is None) != (first.logits is None):
            raise ValueError(f"Part {number} was recorded with another keep_logits.")
        ever = (part.count > 0).any(axis=0)
        _check_labels(targets, part.targets, np.flatnonzero(seen & ever), number)
        targets[ever] = part.targets[ever]
        seen |= ever
    counts = np.stack([part.count for part in trajectories])
    means = {name: _mean([getattr(t, name) for t in trajectories], counts) for name in _MEANS}
    predicted = first.predicted.copy()
    logits = None if first.logits is None else first.logits.copy()
    for part in trajectories[1:]:
        saw = part.count > 0
        predicted[saw] = part.predicted[saw]
        if logits is not None and part.logits is not None:
            logits[saw] = part.logits[saw]
    return Trajectory(
        **means,
        predicted=predicted,
        count=counts.sum(axis=0, dtype=np.int32),
        targets=targets,
        mode=first.mode,
        logits=logits,
        rows=first.rows,
    )


def _listed(parts: Any) -> list[Any]:
    """Return the parts as a list, or raise."""
    if not isinstance(parts, Sequence) or isinstance(parts, (str, bytes)) or not len(parts):
        raise ValueError(
            "parts must be a list of trajectories or records, one per process, with at least one; "
            f"got {type(parts).__name__}."
        )
    return list(parts)


def _trajectory(part: Any) -> Trajectory:
    """Return the trajectory that a part is or holds."""
    found = part.trajectory if isinstance(part, TrainingRecord) else part
    if not isinstance(found, Trajectory):
        raise TypeError(
            "parts must be Trajectory or TrainingRecord with one; got "
            f"{'a record without' if found is None else type(part).__name__}."
        )
    return found


def _check_alike(first: Trajectory, part: Trajectory, number: int) -> None:
    """Raise if parts are not of one training."""
    if part.count.shape != first.count.shape:
        raise ValueError(
            f"The first part has {first.n_epochs} epochs of {first.n_rows} rows, part {number} "
            f"{part.n_epochs} of {part.n_rows}: every process must name all rows, and end every "
            "epoch."
        )
    if part.mode != first.mode:
        raise ValueError(f"Part {number} was recorded with another mode.")


def _check_labels(
    known: NDArray[Any], given: NDArray[Any], both: NDArray[np.int64], number: int
) -> None:
    """Raise if rows that were seen before come with another label."""
    unlike = known[both] != given[both]
    unlike = unlike.any(axis=tuple(range(1, unlike.ndim)))
    if unlike.any():
        raise ValueError(
            f"{unlike.sum()} row(s) have another label in part {number} than before, first row "
            f"{both[unlike][0]}: do all processes call the rows by the same ids?"
        )


def _mean(values: Sequence[NDArray[np.float32]], counts: NDArray[Any]) -> NDArray[np.float32]:
    """Return the mean over all times that a row was seen, NaN if it never was."""
    total = np.zeros(counts.shape[1:])
    for value, count in zip(values, counts, strict=True):
        total += np.where(count > 0, value, 0.0) * count
    n_seen = counts.sum(axis=0)
    mean = np.divide(total, n_seen, out=np.full_like(total, np.nan), where=n_seen > 0)
    return mean.astype(np.float32)
