# SPDX-License-Identifier: BSD-3-Clause
"""Seeds, and the global generators that must be left as they were found."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


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


@contextmanager
def isolated_rng(seed: int, device: Any = "cpu") -> Iterator[None]:
    """Seed the global generators of torch, NumPy and Python, and restore them at the end.

    Parameters
    ----------
    seed : int
        For all of them.
    device : torch.device or str, default="cpu"
        Where the work is done. CUDA's generators are touched only if it is a CUDA device, or if
        CUDA is in use already: waking CUDA up costs memory and forbids forking.
    """
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


def seed_generators(seed: int, *, cuda: bool) -> None:
    """Seed the global generators; only inside `isolated_rng`."""
    torch.default_generator.manual_seed(seed)
    if cuda:
        torch.cuda.manual_seed_all(seed)
    np.random.seed(seed)
    random.seed(seed)
