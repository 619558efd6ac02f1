# SPDX-License-Identifier: BSD-3-Clause
"""Time and memory: works in turns, medians of their ratios, peaks, and fresh processes.

A work that is in the rounds twice under two names gives the A/A ratio, the noise of the machine.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any

import numpy as np
import torch

SLOW_ROUNDS = 3  # for what takes several times as long as the rest
# It also ends if the process that started it is killed.
_BUSY = """
import os, torch
torch.set_num_threads(1)
parent, a = os.getppid(), torch.randn(512, 512)
print("begun", flush=True)
while os.getppid() == parent:
    a @ a
"""


class Seconds(dict[str, list[float]]):
    """What every work took in each round, and `loads`, those of the machine before it."""

    def __init__(self, works: Iterable[Any]) -> None:
        super().__init__({work: [] for work in works})
        self.loads: list[float] = []

    def median(self, work: str) -> float:
        return median(self[work])

    def medians(self) -> dict[str, float]:
        return {work: median(times) for work, times in self.items()}

    def ratios(self, work: str, of: str) -> list[float]:
        """Return the time of one work over that of another in each round."""
        return [a / b for a, b in zip(self[work], self[of], strict=False)]

    def ratio(self, work: str, of: str) -> float:
        return median(self.ratios(work, of))


def interleaved(
    works: Mapping[Any, Callable[[], object]],
    n_rounds: int,
    *,
    slow: Collection[Any] = (),
    there_and_back: bool = False,
) -> tuple[Seconds, Seconds]:
    """Run every work once a round; return its wall-clock and its processor seconds.

    Works in `slow` take part in the first `SLOW_ROUNDS` rounds only; `there_and_back` turns the
    order around in every other round.
    """
    wall, processor = Seconds(works), Seconds(works)
    for i in range(n_rounds):
        wall.loads.append(os.getloadavg()[0])
        for work, run in list(works.items())[:: -1 if there_and_back and i % 2 else 1]:
            if work in slow and i >= SLOW_ROUNDS:
                continue
            for clock, taken in zip((wall, processor), timed(run), strict=True):
                clock[work].append(taken)
    return wall, processor


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return wall-clock and processor seconds of one work."""
    _synchronize()
    start = time.perf_counter(), time.process_time()
    work()
    _synchronize()
    return time.perf_counter() - start[0], time.process_time() - start[1]


def _synchronize() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


@contextmanager
def busy_core() -> Iterator[None]:
    """Keep one core busy by another process, which multiplies matrices."""
    with subprocess.Popen([sys.executable, "-c", _BUSY], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield
        finally:
            process.kill()


class Stopwatch:
    """Tells the seconds since it was made or last asked."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def lap(self) -> float:
        start, self._start = self._start, time.perf_counter()
        return self._start - start


def exponent(sizes: Sequence[int], seconds: Any) -> float:
    """Return the power of the size with which the time grows."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


# ------------------------------------------------------------------------------------------ memory


def peak_rss_mib() -> float:
    """Return the largest resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def added_mib(work: Callable[[], object], device: str) -> float:
    """Return what a work adds to the peak memory; on the CPU Linux only."""
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated() / 2**20
        work()
        return torch.cuda.max_memory_allocated() / 2**20 - before
    before = reset_peak()
    work()
    return resident_mib("VmHWM") - before


def reset_peak() -> float:
    """Set the peak back to what is resident now, and return that; on Linux."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return resident_mib("VmRSS")


def resident_mib(field: str) -> float:
    """Return VmRSS (now) or VmHWM (the peak) of this process."""
    with open("/proc/self/status") as status:
        (line,) = (line for line in status if line.startswith(field))
    return int(line.split()[1]) / 1024


# --------------------------------------------------------------------------------- fresh processes


def in_fresh_process(args: argparse.Namespace, *words: Any) -> Any:
    """Return what this script prints as JSON when it is called with ``--measure`` and words."""
    command = [sys.executable, sys.argv[0], "--device", args.device, "--threads", str(args.threads)]
    command += ["--measure", *map(str, words)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)
