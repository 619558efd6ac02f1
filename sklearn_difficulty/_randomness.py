# SPDX-License-Identifier: BSD-3-Clause
"""Seeds, and the global state of a process that must be left as it was found.

torch, NumPy and Python have one random generator each for all threads, and torch one number of
threads. One lock guards them: whoever seeds or sets them is alone until they are put back. The
modes of torch (inference, autocast, a default device) belong to the thread that is in them.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch

_GLOBAL_STATE = threading.RLock()
_N_THREADS_BEFORE: dict[int, int] = {}  # torch's, of every thread that is in `one_thread`


def _begin_forked() -> None:
    """Let a forked process not wait for threads of its parent, which it does not have.

    torch would wait for those that compute, so it takes one, as in the workers of a DataLoader; in
    all processes that are forked, since whoever computes first would hang. A thread that held the
    lock will never release it, so there is a new one.
    """
    global _GLOBAL_STATE
    torch.set_num_threads(1)
    if not is_alone():
        _GLOBAL_STATE = threading.RLock()
        _N_THREADS_BEFORE.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_forked)


def is_alone() -> bool:
    """Tell whether this thread holds the lock, so that it must not wait for others that need it."""
    return bool(_GLOBAL_STATE._is_owned())  # type: ignore[attr-defined]  # as Condition asks


@contextmanager
def alone() -> Iterator[None]:
    """Hold the lock of `isolated_rng`, for work that must be alone as a whole.

    Reading a network puts other weights and hooks into a module that several threads may share.
    """
    with _GLOBAL_STATE, _plain_modes():
        yield


@contextmanager
def others_may_work() -> Iterator[None]:
    """Leave the lock to other threads, if this one has it, while it runs what may wait for them."""
    lock: Any = _GLOBAL_STATE
    if not is_alone():
        yield
        return
    held = lock._release_save()  # as Condition does, however often it was acquired
    try:
        yield
    finally:
        lock._acquire_restore(held)


@contextmanager
def _plain_modes() -> Iterator[None]:
    """Leave the modes of torch in which a caller may be: they would change or forbid the work."""
    with ExitStack() as stack:
        if torch.is_inference_mode_enabled():  # nothing could be differentiated
            stack.enter_context(torch.inference_mode(False))
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":  # networks have devices of their own
            stack.enter_context(torch.device("cpu"))
        yield


def draw_seed(random_state: Any) -> int:
    """Return an integer seed: the given one, one drawn from a RandomState, or a fresh one."""
    if random_state is None:
        # Fresh entropy, not NumPy's global generator, which stays as it was found.
        return int(np.random.SeedSequence().generate_state(1)[0])
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(np.iinfo(np.int32).max))
    if int(random_state) < 0:
        raise ValueError(f"random_state must not be negative; got {random_state}.")
    return int(random_state)


def spawn_seeds(seed: int) -> tuple[int, int, int]:
    """Return seeds of independent streams for initialisation, row order and dropout."""
    streams = np.random.SeedSequence(seed).spawn(3)
    initialisation, order, dropout = (int(s.generate_state(1)[0]) for s in streams)
    return initialisation, order, dropout


def further_seed(seed: int) -> int:
    """Return the seed of one more training that belongs to another, from a stream of its own."""
    return int(np.random.SeedSequence(seed).spawn(4)[3].generate_state(1)[0])


@contextmanager
def isolated_rng(seed: int, device: Any = "cpu") -> Iterator[None]:
    """Seed the global generators of torch, NumPy and Python, and restore them at the end.

    Other threads that ask for the same wait until then.
    """
    with alone():
        # CUDA is not woken up for the sake of its generators: it costs memory and forbids forking.
        on_cuda = str(device).startswith("cuda") or torch.cuda.is_initialized()
        devices = range(torch.cuda.device_count()) if on_cuda else ()
        numpy_state, python_state = np.random.get_state(), random.getstate()
        with torch.random.fork_rng(devices=devices):
            try:
                seed_generators(seed, cuda=on_cuda)
                yield
            finally:
                np.random.set_state(numpy_state)
                random.setstate(python_state)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use a single thread, so that the number of workers changes no result."""
    me = threading.get_ident()
    with _GLOBAL_STATE:
        if me in _N_THREADS_BEFORE:
            yield
            return
        # A thread that is in here, and lets this one work meanwhile, has already set it to 1.
        n_threads = next(iter(_N_THREADS_BEFORE.values()), torch.get_num_threads())
        _N_THREADS_BEFORE[me] = n_threads
        torch.set_num_threads(1)
        try:
            yield
        finally:
            del _N_THREADS_BEFORE[me]
            torch.set_num_threads(n_threads)


def seed_generators(seed: int, *, cuda: bool) -> None:
    """Seed the global generators; only inside `isolated_rng`."""
    torch.default_generator.manual_seed(seed)
    if cuda:
        torch.cuda.manual_seed_all(seed)
    np.random.seed(seed)
    random.seed(seed)


def generator_states() -> tuple[Any, ...]:
    """Return the states of the generators that work on the CPU, for `restore_generators`."""
    return torch.get_rng_state(), np.random.get_state(), random.getstate()


def restore_generators(states: tuple[Any, ...]) -> None:
    """Put the generators back; only inside `isolated_rng`, or in a process that loads data."""
    torch_state, numpy_state, python_state = states
    torch.set_rng_state(torch_state)
    np.random.set_state(numpy_state)
    random.setstate(python_state)
