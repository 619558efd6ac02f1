# SPDX-License-Identifier: BSD-3-Clause
"""What a fit will cost, told beforehand by fits of a few batches of the rows."""

from __future__ import annotations

import os
import pickle
import tempfile
import threading
import time
import warnings
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn import get_config
from sklearn.base import clone
from sklearn.utils import _safe_indexing

from .._arrays import as_array, as_labels
from ..inference.nearest import counted_pairs, seconds_of_pair
from ..rows.checked import is_frame
from ..training.recorder import find_recorder
from ..training.skorch_net import UNTRAINED_TYPES, settings_of
from ._trained_source import given_record, is_trained

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..rows.rows import Rows

_BATCHES = (2, 6)  # of rows, in the two fits that are timed
_BATCH_ROWS = 128  # skorch's, for what has no network
_PER_NEIGHBOR = 8  # rows, so that there are enough to look among
_PER_CLASS = 8
_STATED_ERROR = 1.5
_WORTH_TELLING = 10  # times as many rows as are rehearsed with

_wall_clock = time.perf_counter


@dataclass(frozen=True, repr=False)
class CostEstimate:
    """What a fit will cost: see ``estimate_cost`` of the scorers.

    Attributes
    ----------
    trainings : int
        How many times a network, or another model, is trained; 0 where what is given is only read.
    seconds : float
        What the fit takes on this machine, as busy as it is now.
    memory : float
        The peak memory of this process in bytes, all that it holds now included; NaN where the
        system does not tell (it is read from ``/proc``, on Linux).
    disk : float
        Bytes that are written and stay: 0 without `cache_dir` or `checkpoint_dir`.
    error : float
        The factor that seconds and memory are stated within.
    """

    trainings: int
    seconds: float
    memory: float
    disk: float
    error: float = _STATED_ERROR

    def __repr__(self) -> str:
        return (
            f"CostEstimate(trainings={self.trainings}, seconds={self.seconds:.3g}, "
            f"memory={self.memory:.3g}, disk={self.disk:.3g}, error={self.error:g})"
        )

    def __str__(self) -> str:
        disk = f", {_size(self.disk)} on disk" if self.disk else ""
        memory = "" if np.isnan(self.memory) else f", memory up to {_size(self.memory)}"
        s = "" if self.trainings == 1 else "s"
        return (
            f"{self.trainings} training{s}, about {_duration(self.seconds)}{memory}{disk} "
            f"(within a factor of {self.error:g})"
        )


class EstimatesCost:
    """The part of a scorer that says what its fit will cost."""

    def estimate_cost(self, X: Any, y: Any = None) -> CostEstimate:
        r"""Estimate what ``fit(X, y)`` will cost, from fits of a few batches of the rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), tensor, DataFrame, dict of arrays, or Dataset
            The rows that `fit` would be given.
        y : array-like of shape (n_samples,), default=None
            Their labels or targets. May be None for a Dataset that yields (x, y).

        Returns
        -------
        cost : CostEstimate
            With `trainings`, `seconds`, `memory` and `disk` (bytes), and the factor `error` that
            the estimate is stated within; ``str(cost)`` is a sentence.

        Notes
        -----
        A clone with all its epochs, members and parameters is fitted to two and to six batches of
        the rows, and first once more to two, which is not timed. With :math:`n_1` and :math:`n_2`
        rows and :math:`t_1` and :math:`t_2` seconds, :math:`n` rows take

        .. math:: t_1 + (n - n_1) \frac{t_2 - t_1}{n_2 - n_1} + p\\,s,

        where :math:`p` pairs of rows have their distance computed in a search of nearest
        neighbours, at :math:`s` seconds each, timed separately; :math:`p` grows with
        :math:`n^2` up to `max_bank` rows. Seconds are those of the processor, times what the
        clock on the wall said more in both fits; of that clock alone with `n_jobs`. The
        rehearsal costs what ten batches of rows do.

        Callbacks of the network other than RecordTraining are left out: training that they stop
        early takes less. Where a record or an ensemble that is given can be asked about its own
        rows alone, all of them are read, and nothing is extrapolated. The scorer, its network and
        the global random generators are left as they are.

        Examples
        --------
        >>> from sklearn.datasets import load_digits
        >>> from sklearn_difficulty import VoGScorer
        >>> X, y = load_digits(return_X_y=True)
        >>> cost = VoGScorer().estimate_cost(X, y)
        >>> cost.trainings
        1
        >>> cost.seconds < 1000
        True
        """
        self._check_estimator()  # type: ignore[attr-defined]  # of the scorer, as all below
        self._validate_params()  # type: ignore[attr-defined]
        with _quiet():
            rows = self._rows(X)  # type: ignore[attr-defined]
            y = _labels(rows.given_labels(y)) if X is not None else y
            n = len(rows)
            sizes = [n] if _reads_its_rows(self) else _sizes(self, n, y)
            runs = [_Run.of(self, X, rows, y, size) for size in [sizes[0], *sizes][-3:]]
        return _extrapolated(runs[1:], n, self)


@dataclass(frozen=True)
class _Run:
    """What a fit of some rows took."""

    n: int
    wall: float  # seconds
    seconds: float  # of the processor; on the wall where other processes work, too
    grown: float  # bytes that the process had at most, beyond those before
    held: int  # bytes that are kept of it
    disk: int
    pairs: dict[int, int]  # by width, how many distances were computed
    pair_seconds: float
    trainings: int

    @classmethod
    def of(cls, scorer: Any, X: Any, rows: Rows, y: Any, n: int) -> _Run:
        """Fit a clone to n of the rows."""
        if n < len(rows):
            index = _spread(y, n)
            X = _safe_indexing(X, index) if is_frame(X) else rows.take(index).data
            y = y[index]
        with tempfile.TemporaryDirectory() as directory:
            fitted = _rehearsing(scorer, directory)
            with _watched_memory() as memory, counted_pairs() as pairs:
                start = _wall_clock(), time.process_time()
                fitted.fit(X, y)
                wall, seconds = _wall_clock() - start[0], time.process_time() - start[1]
            if getattr(scorer, "n_jobs", None) not in (None, 1):
                seconds = wall
            files = (path.stat().st_size for path in Path(directory).rglob("*") if path.is_file())
            disk = sum(files)
        width_seconds = {width: seconds_of_pair(width, n) for width in pairs}
        pair_seconds = sum(count * width_seconds[width] for width, count in pairs.items())
        return cls(
            n,
            wall,
            seconds,
            max(memory) - memory[0],
            _held(fitted),
            disk,
            dict(pairs),
            min(pair_seconds, seconds),
            _count_trainings(fitted),
        )


def told_beforehand(scorer: Any, X: Any, y: Any) -> str | None:
    """Return the estimate as a sentence; None where the rehearsal would take longer than it saves.

    A scorer that cannot be rehearsed says nothing here: what is wrong is told by its fit.
    """
    try:
        with _quiet():
            rows = scorer._rows(X)
            y = np.asarray(rows.given_labels(y))
            is_small = len(rows) < _WORTH_TELLING * sum(_sizes(scorer, len(rows), y))
        if is_trained(scorer.estimator) or is_small:
            return None
        return f"{type(scorer).__name__}: {scorer.estimate_cost(X, y)}"
    except Exception:
        return None


def _extrapolated(runs: list[_Run], n: int, scorer: Any) -> CostEstimate:
    """Return what n rows cost, after two runs, or one of all rows."""
    last = runs[-1]
    now = _resident()
    if last.n == n:
        return CostEstimate(last.trainings, last.wall, now + last.grown, last.disk)
    first = runs[0]
    times = [run.seconds - run.pair_seconds for run in runs]
    step = (n - last.n) / (last.n - first.n)
    slope = times[1] - times[0] if times[1] > times[0] else times[1] * (1 - first.n / last.n)
    max_bank = getattr(scorer, "max_bank", None) or n
    growth = (n / last.n) * min(n, max_bank) / min(last.n, max_bank)
    bank = min(n, max_bank)
    pairs = sum(
        growth * count * seconds_of_pair(width, bank) for width, count in last.pairs.items()
    )
    embedded = 4 * bank * sum(last.pairs)
    per_row = (last.held - first.held) / (last.n - first.n)
    memory = now + last.grown + max(0.0, per_row) * (n - last.n)
    memory += min(embedded, 2**20 * get_config()["working_memory"])
    disk = last.disk + step * (last.disk - first.disk)
    # Other work on the machine slows all runs; it would spoil the difference of two of them.
    slowdown = sum(run.wall for run in runs) / sum(run.seconds for run in runs)
    seconds = slowdown * (times[1] + slope * step + pairs)
    return CostEstimate(last.trainings, seconds, memory, disk)


def _reads_its_rows(scorer: Any) -> bool:
    """Tell whether what was trained knows about its own rows alone."""
    if not is_trained(scorer.estimator):
        return False
    is_ensemble = given_record(scorer.estimator) is None
    return is_ensemble or bool(scorer._needs().same_rows)


def _sizes(scorer: Any, n: int, y: NDArray[Any]) -> list[int]:
    """Return the two numbers of rows to rehearse with, or that of all, if there are so few."""
    batch = getattr(scorer.estimator, "batch_size", _BATCH_ROWS)
    batch = _BATCH_ROWS if not isinstance(batch, int) or batch < 1 else batch
    n_neighbors = getattr(scorer, "n_neighbors", None) or 0
    least = max(_PER_NEIGHBOR * int(n_neighbors), _PER_CLASS * _n_classes(y, n))
    first, second = (max(least * k // _BATCHES[0], batch * k) for k in _BATCHES)
    return [first, second] if 2 * second <= n else [n // 4, n // 2] if least <= n // 4 else [n]


def _labels(y: Any) -> NDArray[Any]:
    """Return labels or targets as an array, or raise for what is neither."""
    array = as_array(y, "y")
    return array if array.dtype.kind in "biuf" else as_labels(y)


def _n_classes(y: NDArray[Any], n: int) -> int:
    """Return how many classes there are, 1 for targets that are numbers."""
    if y.ndim != 1 or y.dtype.kind == "f":
        return 1
    return len(set(y.tolist()))


def _spread(y: NDArray[Any], n: int) -> NDArray[np.intp]:
    """Return n rows, every class among them as often as among all, and at least twice."""
    if y.ndim != 1 or y.dtype.kind == "f":
        return np.unique(np.linspace(0, len(y) - 1, n).astype(np.intp))
    codes = {label: code for code, label in enumerate(dict.fromkeys(y.tolist()))}
    order = np.argsort([codes[label] for label in y.tolist()], kind="stable")
    sorted_codes = np.array([codes[y[i : i + 1].tolist()[0]] for i in order])
    starts = np.searchsorted(sorted_codes, np.arange(len(codes)))
    few = [order[start : start + _PER_CLASS] for start in starts]
    own = [part[: int((sorted_codes == c).sum())] for c, part in enumerate(few)]
    spread = order[np.linspace(0, len(y) - 1, n).astype(np.intp)]
    return np.unique(np.concatenate([spread, *own]))


def _rehearsing(scorer: Any, directory: str) -> Any:
    """Return a silent clone that writes nowhere else."""
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


def _resident() -> float:
    """Return how much memory this process has, NaN where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return float("nan")
    return float(pages * os.sysconf("SC_PAGE_SIZE"))


@contextmanager
def _watched_memory() -> Iterator[list[float]]:
    """Give a list that the memory of this process is written to every few milliseconds."""
    seen, finished = [_resident()], threading.Event()

    def watch() -> None:
        while not finished.wait(0.01):
            seen.append(_resident())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield seen
    finally:
        finished.set()
        watcher.join()
        seen.append(_resident())


@contextmanager
def _quiet() -> Iterator[None]:
    """Say nothing: the fit that follows says it."""
    with warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        yield


def _size(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.1f} MB"


def _duration(seconds: float) -> str:
    for unit, length in {"hours": 3600, "minutes": 60}.items():
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} seconds"
