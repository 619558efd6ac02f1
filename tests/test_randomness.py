# SPDX-License-Identifier: BSD-3-Clause
"""Seeds are drawn without touching the global generators, which are put back after use."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from sklearn_difficulty._randomness import (
    draw_seed,
    isolated_rng,
    one_thread,
    others_may_work,
    seed_generators,
    spawn_seeds,
)


def states():
    return torch.get_rng_state().tolist(), str(np.random.get_state()), random.getstate()


def draws():
    return torch.rand(1).item(), np.random.rand(), random.random()


@pytest.mark.parametrize("random_state", [3, np.int64(3), np.random.RandomState(3), None])
def test_draw_seed(random_state):
    before = np.random.get_state()[1].copy()
    seeds = {draw_seed(random_state) for _ in range(3)}
    assert len(seeds) == (1 if isinstance(random_state, (int, np.integer)) else 3)
    assert_array_equal(np.random.get_state()[1], before)


def test_negative_seed_is_refused():
    with pytest.raises(ValueError, match="random_state must not be negative; got -1"):
        draw_seed(-1)


def test_streams_are_distinct_and_depend_on_the_seed():
    assert spawn_seeds(0) == spawn_seeds(0)
    assert len({*spawn_seeds(0), *spawn_seeds(1)}) == 6


@pytest.mark.parametrize("fails", [True, False])
def test_isolated_rng_restores_the_generators(fails):
    before = states()
    with contextlib.suppress(ZeroDivisionError), isolated_rng(0):
        draws()
        assert all(now != then for now, then in zip(states(), before, strict=True))
        assert 1 / (not fails)
    assert states() == before


def test_all_three_generators_are_seeded():
    seen = []
    for seed in (0, 0, 1):
        with isolated_rng(seed):
            seen.append(draws())
            seed_generators(seed, cuda=False)
            assert draws() == seen[-1]
    assert seen[0] == seen[1]
    assert not set(seen[0]) & set(seen[2])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_is_not_woken_up_for_work_on_the_cpu():
    code = (
        "import torch\n"
        "from sklearn_difficulty._randomness import isolated_rng\n"
        "with isolated_rng(0, 'cpu'): torch.rand(1)\n"
        "assert not torch.cuda.is_initialized()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_threads_that_work_meanwhile_leave_the_number_of_threads_alone():
    in_one, in_other, is_over = threading.Event(), threading.Event(), threading.Event()

    def one():
        with one_thread(), others_may_work():
            in_one.set()
            assert in_other.wait(60)
        is_over.set()

    def other():
        assert in_one.wait(60)
        with one_thread(), others_may_work():
            in_other.set()
            assert is_over.wait(60)

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda work: work(), [one, other]))
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(torch.get_num_threads).result() == 3
        with one_thread():
            with one_thread():
                assert torch.get_num_threads() == 1
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing is forked here")
def test_a_forked_process_waits_for_no_thread_of_torch(two_threads):
    many = torch.ones(200_000)
    many.sin()  # shared among threads, which do not come along
    child = os.fork()
    if not child:
        signal.alarm(20)  # in place of waiting forever
        try:
            many.sin()
            os._exit(0)
        finally:
            os._exit(1)  # this copy of the tests does not go on
    assert os.waitpid(child, 0)[1] == 0
    assert torch.get_num_threads() == 2
