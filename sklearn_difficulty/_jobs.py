# SPDX-License-Identifier: BSD-3-Clause
"""Jobs for joblib's workers: results as they come, and what is lost with a worker done again.

To clusters jobs go as bytes, and results come back as such, pickled and unpickled where errors are
caught: joblib's backend for dask waits forever for what cannot be (joblib 1.6, distributed 2026.8).
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from itertools import islice
from typing import Any

from joblib import effective_n_jobs
from joblib.externals.loky.backend.reduction import dumps
from joblib.externals.loky.process_executor import TerminatedWorkerError
from joblib.parallel import ParallelBackendBase, get_active_backend
from sklearn.utils.parallel import Parallel, delayed

from ._randomness import is_alone
from ._warnings import located, warn_caller

__all__ = ["as_they_come", "sent_to_processes"]

_MAX_LOST = 3  # times in a row, with no result between them
_DASK, _RAY = "DaskDistributedBackend", "RayBackend"
_SUBMIT = "submit" if hasattr(ParallelBackendBase, "submit") else "apply_async"  # joblib 1.4
_ELSEWHERE = ("LokyBackend", "MultiprocessingBackend", _RAY)  # never threads of this process
_OF_CLUSTERS = (_DASK, _RAY)


def as_they_come(
    work: Callable[..., Any],
    arguments: Callable[[int], tuple[Any, ...]],
    n: int,
    n_jobs: int | None,
) -> Iterator[tuple[int, Any]]:
    """Yield the number and the result of n jobs as soon as they are there.

    Jobs that are lost with a worker, or while they ran beside it, are done again; those of which
    the result is there are not.

    Parameters
    ----------
    work : callable
        With all that the jobs have in common: it goes to a cluster once.
    arguments : callable
        Returns the arguments of the job of a number.
    n : int
        Jobs.
    n_jobs : int or None
        Jobs at a time, as for joblib.

    Raises
    ------
    Exception
        What a job raises, or the loss of a worker, if four follow each other without a result.
    """
    if _stays_here(n_jobs):
        for k in range(n):
            yield k, work(*arguments(k))
        return
    unpacked: Callable[[Any], Any] = _as_it_is
    if type(_active_backend()).__name__ in _OF_CLUSTERS:
        work, unpacked = _Packed(work), pickle.loads
    left, n_lost = dict.fromkeys(range(n)), 0
    while left:
        jobs = (delayed(_numbered)(k, work, *arguments(k)) for k in list(left))
        try:
            for k, result in _handed_out(jobs, n_jobs):
                del left[k]
                n_lost = 0
                yield k, unpacked(result)
        except Exception as error:
            if not _is_loss(error):
                raise
            n_lost += 1
            if n_lost > _MAX_LOST:
                error.add_note(
                    f"{n_lost} times in a row a worker was lost before any job was finished. If "
                    "it was killed for want of memory, which is the usual reason, take fewer jobs "
                    "at a time (n_jobs) or workers with more memory."
                )
                raise
            warn_caller(
                f"A worker was lost ({type(error).__name__}); {len(left)} of {n} jobs are handed "
                "out again, the others are kept."
            )


def sent_to_processes(n_jobs: int | None) -> bool:
    """Tell whether jobs are pickled."""
    is_by_pickle = type(_active_backend()).__name__ in (*_ELSEWHERE, *_OF_CLUSTERS)
    return is_by_pickle and not _stays_here(n_jobs)


def _active_backend() -> Any:
    """Return what joblib hands jobs to now."""
    active, _ = get_active_backend()
    if type(active).__name__ == _DASK and _SUBMIT not in vars(active):
        _mend(active)
    return active


def _mend(dask: Any) -> None:
    """Let joblib's backend for dask tell of jobs that dask gives up, and not do jobs itself.

    It waits forever for the first, and does the second when a single worker is left: what has just
    killed the others would kill this process.
    """
    submit, n_workers = getattr(dask, _SUBMIT), dask.effective_n_jobs

    def submit_and_tell(batch: Any, callback: Callable[[Any], None]) -> Any:
        def tell(done: Any) -> None:
            if done.exception() is not None:
                callback(done.exception())

        future = submit(batch, callback)
        future.add_done_callback(tell)
        return future

    setattr(dask, _SUBMIT, submit_and_tell)
    dask.effective_n_jobs = lambda n_jobs: max(2, n_workers(n_jobs))


def _stays_here(n_jobs: int | None) -> bool:
    """Tell whether jobs are done one after the other by this thread."""
    # Other threads would wait for this one, which is part of a job itself and waits for them.
    is_held = is_alone() and type(_active_backend()).__name__ not in _ELSEWHERE
    return is_held or effective_n_jobs(n_jobs) == 1


class _Packed:
    """Work as bytes, that gives its result as bytes."""

    def __init__(self, work: Callable[..., Any]) -> None:
        with located("while the job was pickled for a cluster"):
            self._pickled = dumps(work)

    def __sizeof__(self) -> int:
        """Return the size, by which dask decides to send an argument of several jobs but once."""
        return len(self._pickled)

    def __call__(self, *arguments: Any) -> bytes:
        """Do the work."""
        result = pickle.loads(self._pickled)(*arguments)
        with located("while the result was pickled on a cluster"):
            return bytes(dumps(result))


def _as_it_is(result: Any) -> Any:
    """Return the result of a job that was not packed."""
    return result


def _numbered(k: int, work: Callable[..., Any], *arguments: Any) -> tuple[int, Any]:
    """Return the number of a job beside its result."""
    return k, work(*arguments)


def _handed_out(jobs: Iterator[Any], n_jobs: int | None) -> Iterator[tuple[int, Any]]:
    """Yield results as they come, or, where joblib cannot do that, in chunks."""
    one_by_one: Any = {"n_jobs": n_jobs, "batch_size": 1}  # nothing is lost with another job
    if not _active_backend().supports_return_generator:
        # One pool for all chunks: the workers of a new one have to import everything again.
        with Parallel(**one_by_one) as parallel:
            while chunk := list(islice(jobs, effective_n_jobs(n_jobs))):
                yield from parallel(chunk)
        return
    yield from Parallel(**one_by_one, return_as="generator_unordered")(jobs)


def _is_loss(error: Exception) -> bool:
    """Tell whether a job could be done by another worker: loky's, dask's or ray's word for it."""
    lost: tuple[type[Exception], ...] = (TerminatedWorkerError, CancelledError)
    ray = sys.modules.get("ray.exceptions")
    if ray is not None:
        lost += ray.RayActorError, ray.ObjectLostError, ray.OutOfMemoryError
    return isinstance(error, lost)
