# SPDX-License-Identifier: BSD-3-Clause
"""Time and memory of this process alone."""

import sys
import time

import numpy as np
import pytest

from sklearn_difficulty.scorers.cost import watching
from sklearn_difficulty.scorers.cost.watching import own_seconds, watched_memory

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


def test_the_clock_stands_still_while_others_have_the_processor(monkeypatch):
    monkeypatch.setattr(watching, "wall_seconds", lambda: 100.0)
    waited = iter([10.0, 30.0, 30.0, 30.0])  # others come in between the first two looks
    monkeypatch.setattr(watching, "waited_seconds", lambda: next(waited))
    assert own_seconds() == 70


@on_linux
def test_sleep_counts_and_so_does_work():
    start = own_seconds(), time.thread_time()
    time.sleep(0.05)
    sum(range(1_000_000))
    worked = time.thread_time() - start[1]
    # What is read from the clocks at different times, and waking up, is a little more.
    assert worked + 0.05 <= own_seconds() - start[0] < 2 * worked + 0.2


@on_linux
def test_the_peak_is_seen_although_it_is_gone():
    with watched_memory() as peak:
        held = np.ones(2**23)
        time.sleep(0.1)
        del held
    assert peak.bytes - peak.before > 2**25


def test_systems_that_tell_nothing(monkeypatch):
    def refuse(path):
        raise FileNotFoundError(path)

    monkeypatch.setattr(watching.Path, "read_text", refuse)
    assert watching.waited_seconds() == 0
    assert np.isnan(watching.resident_bytes())
