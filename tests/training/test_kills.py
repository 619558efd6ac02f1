# SPDX-License-Identifier: BSD-3-Clause
"""Signals at random moments of a save and of a fit that writes: nothing half-written is read."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import torch
from torch import nn

from sklearn_difficulty import TrainingRecord

SIGNALS = [signal.SIGKILL, signal.SIGTERM, signal.SIGINT]
N_SHORT, N_LONG = 9, 60


@pytest.fixture(scope="module")
def record():
    """Return a record that takes some milliseconds to save."""
    history = np.random.default_rng(0).normal(size=(10, 5000, 3))
    module = nn.Linear(300, 3)
    states = [{k: v + i for k, v in module.state_dict().items()} for i in range(3)]
    trajectory = TrainingRecord.from_logits(history, np.arange(5000) % 3).trajectory
    return TrainingRecord.from_checkpoints(module, states, classes=[0, 1, 2], trajectory=trajectory)


def assert_same(one, other):
    for ours, theirs in zip(one.checkpoints, other.checkpoints, strict=True):
        assert all(torch.equal(v, theirs.state_dict()[k]) for k, v in ours.state_dict().items())
    np.testing.assert_array_equal(one.trajectory.logits, other.trajectory.logits)


def save_for_ever(record, folder, started):
    """Save a record under one name after the other."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    started.set()
    try:
        for number in range(10**6):
            record.save(folder / str(number))
    except KeyboardInterrupt:
        os._exit(3)


def kill_saves(record, folder, n_kills):
    """Kill that many processes while they save, look at what is left, and save it again."""
    rng, n_half = np.random.default_rng(0), 0
    fork = multiprocessing.get_context("fork")  # a new process would import torch every time
    for number in range(n_kills):
        kind = SIGNALS[number % len(SIGNALS)]
        started = fork.Event()
        process = fork.Process(target=save_for_ever, args=(record, folder, started))
        process.start()
        assert started.wait(30)
        time.sleep(rng.uniform(0, 0.1))
        os.kill(process.pid, kind)
        process.join(30)
        assert process.exitcode == (3 if kind == signal.SIGINT else -kind)
        half = [path for path in folder.iterdir() if path.name.startswith(".")]
        whole = [path for path in folder.iterdir() if path not in half]
        assert len(half) <= (kind != signal.SIGINT)
        for path in whole:
            assert_same(TrainingRecord.load(path, record.module), record)
        for path in half:
            n_half += 1
            target = folder / path.name[1:].rpartition("-")[0]
            record.save(target)
            assert_same(TrainingRecord.load(target, record.module), record)
            assert not path.exists()
        for path in folder.iterdir():
            shutil.rmtree(path)
    return n_half


def test_killed_saves(record, tmp_path):
    kill_saves(record, tmp_path, N_SHORT)


@pytest.mark.kill
def test_many_killed_saves(record, tmp_path):
    assert kill_saves(record, tmp_path, N_LONG) > 5


FIT = """
    import sys
    import numpy as np
    from skorch import NeuralNetClassifier
    from torch import nn
    from sklearn_difficulty.training import TrainingRecord

    X, y = np.random.default_rng(0).normal(size=(64, 4)).astype("float32"), np.arange(64) % 2
    net = NeuralNetClassifier(
        nn.Linear,
        module__in_features=4,
        module__out_features=2,
        criterion=nn.CrossEntropyLoss,
        lr=0.1,
        max_epochs=int(sys.argv[2]),
    )
    folder = sys.argv[1]
    TrainingRecord.from_fit(net, X, y, checkpoints="all", checkpoint_dir=folder, random_state=0)
"""


def fit(folder, n_epochs):
    """Start a process that fits and writes every epoch."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(FIT), str(folder), str(n_epochs)]
    )


def states_in(folder):
    """Return what is read from the files of a fit, by the number of the epoch."""
    paths = sorted(folder.glob("fit-*/epoch-*.safetensors"))
    record = TrainingRecord.from_checkpoints(nn.Linear(4, 2), paths, classes=[0, 1])
    numbers = [int(path.stem.partition("-")[2]) for path in paths]
    return dict(zip(numbers, (c.state_dict() for c in record.checkpoints), strict=True))


@pytest.mark.kill
def test_many_killed_fits(tmp_path):
    assert fit(tmp_path / "whole", 400).wait(120) == 0
    expected, rng = states_in(tmp_path / "whole"), np.random.default_rng(0)
    for number in range(24):
        kind, folder = SIGNALS[number % len(SIGNALS)], tmp_path / str(number)
        process = fit(folder, 10**6)
        deadline = time.monotonic() + 60
        while not list(folder.glob("fit-*/epoch-*")) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.5))
        process.send_signal(kind)
        process.wait(60)
        assert process.returncode != 0
        if kind == signal.SIGINT:  # an error like any other: what was written is removed
            assert not list(folder.glob("fit-*"))
            continue
        found = states_in(folder)
        assert found
        for epoch in found.keys() & expected.keys():
            for name, value in found[epoch].items():
                assert torch.equal(value, expected[epoch][name])
        assert len(list(folder.glob("fit-*/.*"))) <= 1
