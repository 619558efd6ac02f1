# SPDX-License-Identifier: BSD-3-Clause
"""A fit of a clone to some of the rows, and what it took."""

from __future__ import annotations

import pickle
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sklearn.base import clone

from ...inference.nearest import SearchKind, counted_pairs
from ...training.recorder import find_recorder
from ...training.skorch_net import UNTRAINED_TYPES, settings_of
from .._trained_source import is_trained
from .watching import own_seconds, wall_seconds, watched_memory


@dataclass(frozen=True)
class Rehearsal:
    """What a fit of some rows took."""

    n: int
    wall: float  # seconds
    seconds: float  # of these, those in which no others kept this process from working
    grown: float  # bytes that the process had at most, beyond those before
    held: int  # bytes that are kept of it
    disk: int
    pairs: dict[SearchKind, int]  # how many distances were computed
    trainings: int

    @classmethod
    def of(cls, scorer: Any, n: int, X: Any, y: Any, others: dict[str, Any]) -> Rehearsal:
        """Fit a clone to n rows."""
        with tempfile.TemporaryDirectory() as directory:
            fitted = _silent_clone(scorer, directory)
            with watched_memory() as peak, counted_pairs() as pairs:
                wall, seconds = wall_seconds(), own_seconds()
                fitted.fit(X, y, **others)
                wall, seconds = wall_seconds() - wall, own_seconds() - seconds
            disk = sum(path.stat().st_size for path in Path(directory).rglob("*") if path.is_file())
        return cls(
            n=n,
            wall=wall,
            seconds=seconds,
            grown=peak.bytes - peak.before,
            held=_held(fitted),
            disk=disk,
            pairs=dict(pairs),
            trainings=_count_trainings(fitted),
        )

    def with_pairs(self, counted: dict[SearchKind, int], n: int, at_once: int) -> Rehearsal:
        """Return this with the distances that one worker computed for n rows, shared by several."""
        growth = (self.n / n) ** 2 / at_once
        pairs = {kind: round(growth * count) for kind, count in counted.items()}
        return replace(self, pairs=pairs)


def _silent_clone(scorer: Any, directory: str) -> Any:
    """Return a clone that says nothing and writes nowhere else."""
    copy = clone(scorer)
    vars(copy).pop("_skl_callbacks", None)  # of scikit-learn: they show the progress of fits
    copy.set_params(verbose=0)
    if copy.random_state is None:
        copy.set_params(random_state=0)
    if getattr(copy, "cache_dir", None) is not None:
        copy.set_params(cache_dir=str(Path(directory) / "cache"))
    if isinstance(copy.estimator, UNTRAINED_TYPES):
        net = settings_of(copy.estimator)
        recorder = find_recorder(net.callbacks)
        if recorder is not None and recorder.checkpoint_dir is not None:
            recorder.checkpoint_dir = str(Path(directory) / "checkpoints")
        net.set_params(callbacks=None if recorder is None else [recorder])
    return copy


def _count_trainings(fitted: Any) -> int:
    """Return how many models were trained for a fit."""
    if is_trained(fitted.estimator) or isinstance(fitted.estimator, str):
        return 0
    rounds = max(1, getattr(fitted, "n_rounds_", 1))
    ensemble = getattr(fitted, "ensemble_", None)
    if ensemble is not None:
        return rounds * len(ensemble.masks_)
    return rounds * fitted.n_members if hasattr(fitted, "_judged") else 1


def _held(fitted: Any) -> int:
    """Return how many bytes are kept of a fit; 0 if it cannot be pickled."""
    try:
        return len(pickle.dumps(fitted))
    except (pickle.PicklingError, AttributeError, TypeError):
        return 0
