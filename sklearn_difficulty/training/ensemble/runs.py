# SPDX-License-Identifier: BSD-3-Clause
"""The members of an ensemble trained, or found on disk: in stacks or one by one, as joblib's jobs.

Everything is trained with one torch thread: at the small products of a stack several threads wait
for each other, and on cores that other programs use, too, that takes many times as long. More cores
are used by more jobs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from joblib.externals.loky.backend.reduction import dumps
from numpy.typing import NDArray
from skorch import NeuralNet

from ..._jobs import as_they_come, sent_to_processes
from ..._progress import Task
from ..._randomness import one_thread
from ..._warnings import located
from ..fingerprints.config_hash import fingerprint, training_fingerprint
from .cache import Layout, MemberStore
from .member import Arrays, Pool, train_member
from .stack_training import train_stack

_SECONDS_BETWEEN_LINES = 5


@dataclass(frozen=True, eq=False)
class Plan:
    """Which members are trained on which rows, how, and in which stacks."""

    masks: NDArray[np.bool_]  # (n_members, n), the training rows
    seeds: Sequence[int]
    backend: str  # "stacked" or "joblib"
    stacks: Sequence[Sequence[int]]  # the members that are trained together; single ones for joblib
    cache_key: str | None = None  # of the user's, for what a key cannot hold

    def keys(self, pool: Pool) -> dict[int, str]:
        """Return for every member a fingerprint of all that decides what is kept of it."""
        common = fingerprint(
            self._named(pool.net, "The network"),
            self._named(pool.X.data, "X"),
            None if pool.view is pool.X else self._named(pool.view.data, "scoring_view"),
            pool.targets,
            pool.classes,
            self._named(pool.readout, "The readout"),
            pool.keep_members,
            self.backend,
        )
        keys: dict[int, str] = {}
        for stack in self.stacks:
            stack_key = fingerprint(self.masks[stack], [self.seeds[k] for k in stack])
            keys |= {k: fingerprint(common, stack_key, i) for i, k in enumerate(stack)}
        return keys

    def _named(self, part: Any, name: str) -> str:
        """Return the fingerprint of a part, by whose name errors begin."""
        return training_fingerprint(part, name=name, cache_key=self.cache_key)

    def layouts(self, pool: Pool) -> Iterator[dict[str, Layout]]:
        """Yield shapes and types of the arrays that are kept of every member."""
        for mask in self.masks:
            held_out = (int((~mask).sum()), pool.n_answers), "float32"
            always = {"held_out_mean": held_out, "verdict": ((1,), "int64")}
            if pool.classes is None:
                yield {"predictions": ((len(mask), pool.n_answers), "float32"), **always}
                continue
            yield {
                "predictions": (mask.shape, "int32"),
                "given_probability": (mask.shape, "float32"),
                "held_out_probability": held_out,
                **always,
            }


def train_members(
    pool: Pool,
    plan: Plan,
    *,
    n_jobs: int | None,
    store: MemberStore | None,
    verbose: int,
    progress: Task,
) -> list[Arrays]:
    """Return what is kept of every member, from the store or trained now, in the plan's order."""
    members: dict[int, Arrays] = {}
    keys: dict[int, str] = {}
    if store is not None:
        keys, layouts = plan.keys(pool), list(plan.layouts(pool))
        stored = {k: store.read(key, layouts[k]) for k, key in keys.items()}
        members = {k: arrays for k, arrays in stored.items() if arrays is not None}
    # A stack is the unit of work: what is missing of it is not trained with other members.
    todo = [stack for stack in plan.stacks if any(k not in members for k in stack)]
    if store is not None and todo:
        store.check_writable(max(map(_n_bytes, layouts)))
    n_todo, n_epochs = sum(map(len, todo)), pool.net.max_epochs
    with progress.subtask("train", n_todo * n_epochs) as training:
        report = _Report(len(plan.seeds), n_todo, n_epochs, verbose, training)
        if plan.backend == "stacked" and min(len(todo), effective_n_jobs(n_jobs)) < 2:
            train = _one_after_the_other(pool, plan, todo, report)
        else:
            train = _side_by_side(pool, plan, todo, n_jobs, report)
        for k, arrays in train:
            members[k] = arrays
            if store is not None:
                store.keep(keys[k], arrays)
    return [members[k] for k in range(len(plan.seeds))]


def _n_bytes(layout: Mapping[str, Layout]) -> int:
    """Return the size of arrays."""
    return sum(math.prod(shape) * np.dtype(kind).itemsize for shape, kind in layout.values())


def _one_after_the_other(
    pool: Pool, plan: Plan, todo: Sequence[Sequence[int]], report: _Report
) -> Iterator[tuple[int, Arrays]]:
    """Train stacks in this process, where they can say how far they are."""
    n_finished = 0
    for stack in todo:
        trained = train_stack(
            pool,
            plan.masks[stack],
            [plan.seeds[k] for k in stack],
            numbers=stack,
            tell=partial(_of_running_stack, report, n_finished, len(stack)),
        )
        for k in stack:
            with one_thread():
                arrays = next(trained)
            yield k, arrays
        n_finished += len(stack)
        report(n_finished, n_finished)


def _of_running_stack(report: _Report, n_finished: int, n_running: int, share: float) -> None:
    """Report members that are finished, and others that are trained to a share."""
    report(n_finished, n_finished + share * n_running)


def _side_by_side(
    pool: Pool, plan: Plan, todo: Sequence[Sequence[int]], n_jobs: int | None, report: _Report
) -> Iterator[tuple[int, Arrays]]:
    """Train stacks, or members one by one, as jobs."""
    if sent_to_processes(n_jobs):
        _refuse_unpicklable(pool.net)
    train = partial(_train_stack if plan.backend == "stacked" else _train_one, pool)
    n_finished, n_todo = 0, sum(map(len, todo))

    def arguments(i: int) -> tuple[Any, ...]:
        stack = todo[i]
        return stack, plan.masks[stack], [plan.seeds[k] for k in stack]

    for _, trained in as_they_come(train, arguments, len(todo), n_jobs):
        yield from trained
        n_finished += len(trained)
        # Jobs are equally long: when one is finished, those begun with it are nearly so.
        at_once = effective_n_jobs(n_jobs) * len(trained)
        report(n_finished, min(n_todo, -(-n_finished // at_once) * at_once))


def _refuse_unpicklable(net: NeuralNet) -> None:
    """Raise for a net that cannot be sent to other processes, and name the parameter."""
    for name, value in net.get_params(deep=False).items():
        try:
            dumps(value)
        except Exception as error:  # of any object that a net may hold
            reason = str(error).partition("\n")[0].rstrip(".")
            raise ValueError(
                f"{name} of the network cannot be sent to other processes ({reason}). Set "
                "n_jobs=1, train in joblib.parallel_config('threading'), or let a class or a "
                "function make it."
            ) from error


def _train_stack(
    pool: Pool, stack: Sequence[int], masks: NDArray[np.bool_], seeds: Sequence[int]
) -> list[tuple[int, Arrays]]:
    """Train the members of a stack."""
    with one_thread():
        return list(zip(stack, train_stack(pool, masks, seeds, numbers=stack), strict=True))


def _train_one(
    pool: Pool, stack: Sequence[int], masks: NDArray[np.bool_], seeds: Sequence[int]
) -> list[tuple[int, Arrays]]:
    """Train the only member of a stack."""
    [k], [mask], [seed] = stack, masks, seeds
    with located(f"in member {k} of the ensemble"):
        return [(k, train_member(pool, mask, seed))]


class _Report:
    """Says how far an ensemble is: in lines, with about how long the rest takes, and to a task."""

    def __init__(
        self, n_members: int, n_todo: int, n_epochs: int, verbose: int, progress: Task
    ) -> None:
        self._n_members, self._n_todo, self._n_epochs = n_members, n_todo, n_epochs
        self._verbose, self._progress = verbose, progress
        self._n_finished, self._n_told = 0, 0
        self._start = self._last = time.monotonic()
        self._since = self._start, 0.0  # when how much was done that the estimate leaves out
        if verbose and n_todo < n_members:
            print(f"{n_members - n_todo} of {n_members} members found in the cache")

    def __call__(self, n_finished: int, work: float) -> None:
        """Take note that some members are finished, and how much is done, in members."""
        now = time.monotonic()
        if work < 1 and self._since[1] == 0:  # what was done before the first epoch is done once
            self._since = now, work
        while self._n_told < round(work * self._n_epochs):
            self._n_told += 1
            with self._progress.subtask("epoch"):
                pass
        is_due = n_finished > self._n_finished or now - self._last >= _SECONDS_BETWEEN_LINES
        self._n_finished = n_finished
        if not self._verbose or not is_due:
            return
        self._last = now
        n_finished += self._n_members - self._n_todo
        line = f"{n_finished} of {self._n_members} members are trained after "
        line += f"{now - self._start:.0f} s"
        since, before = self._since
        if before < work < self._n_todo:
            left = (now - since) * (self._n_todo - work) / (work - before)
            line += f", about {left:.0f} s left"
        print(line)
