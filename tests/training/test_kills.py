# SPDX-License-Identifier: BSD-3-Clause
"""Signals at random moments of a save and of a fit that writes: nothing half-written is read."""

import multiprocessing
import os
import shutil
import signal
import time

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from torch import nn

from sklearn_difficulty import TrainingRecord

SIGNALS = [signal.SIGKILL, signal.SIGTERM, signal.SIGINT]
N_SHORT, N_LONG = 9, 45


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


def in_child(write, folder, started):
    """Write until a signal comes; Ctrl-C ends with 3."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        started.set()
        write(folder)
    except KeyboardInterrupt:
        os._exit(3)


def kill(write, folder, kind, seconds, is_ready=lambda: True):
    """Let a process write, and send it a signal after some seconds."""
    fork = multiprocessing.get_context("fork")  # a new process would import torch every time
    started = fork.Event()
    process = fork.Process(target=in_child, args=(write, folder, started))
    process.start()
    assert started.wait(30)
    deadline = time.monotonic() + 30
    while not is_ready() and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(seconds)
    deadline = time.monotonic() + 30
    while process.is_alive() and time.monotonic() < deadline:
        os.kill(process.pid, kind)  # Python ignores a KeyboardInterrupt inside a destructor
        process.join(3)
    assert process.exitcode == (3 if kind == signal.SIGINT else -kind)


def kill_saves(record, folder, n_kills):
    """Kill that many processes while they save, look at what is left, and save it again."""

    def save_for_ever(folder):
        for number in range(10**6):
            record.save(folder / str(number))

    rng, n_half = np.random.default_rng(0), 0
    for number in range(n_kills):
        kind = SIGNALS[number % len(SIGNALS)]
        kill(save_for_ever, folder, kind, rng.uniform(0, 0.1))
        half = [path for path in folder.iterdir() if path.name.startswith(".")]
        whole = [path for path in folder.iterdir() if path not in half]
        assert len(half) <= 1
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


def fit(folder, n_epochs=10**6):
    """Train, and write every epoch."""
    X, y = np.random.default_rng(0).normal(size=(64, 4)).astype("float32"), np.arange(64) % 2
    net = NeuralNetClassifier(
        nn.Linear,
        module__in_features=4,
        module__out_features=2,
        criterion=nn.CrossEntropyLoss,
        lr=0.1,
        max_epochs=n_epochs,
    )
    TrainingRecord.from_fit(net, X, y, checkpoints="all", checkpoint_dir=folder, random_state=0)


def states_in(folder):
    """Return what is read from the files of a fit, by the number of the epoch."""
    paths = sorted(folder.glob("fit-*/epoch-*.safetensors"))
    record = TrainingRecord.from_checkpoints(nn.Linear(4, 2), paths, classes=[0, 1])
    numbers = [int(path.stem.partition("-")[2]) for path in paths]
    return dict(zip(numbers, (c.state_dict() for c in record.checkpoints), strict=True))


@pytest.mark.kill
def test_many_killed_fits(tmp_path):
    # In a process of its own: torch does not train where it has trained before the fork.
    whole = multiprocessing.get_context("fork").Process(target=fit, args=(tmp_path / "whole", 500))
    whole.start()
    whole.join(120)
    expected, rng, n_compared = states_in(tmp_path / "whole"), np.random.default_rng(0), 0
    for number in range(N_LONG):
        kind, folder = SIGNALS[number % len(SIGNALS)], tmp_path / str(number)
        seconds = rng.uniform(0, 0.2)
        kill(fit, folder, kind, seconds, lambda path=folder: any(path.glob("fit-*/epoch-*")))
        if kind == signal.SIGINT:  # an error like any other: what was written is removed
            assert not list(folder.glob("fit-*"))
            continue
        found = states_in(folder)
        for epoch in found.keys() & expected.keys():
            n_compared += 1
            for name, value in found[epoch].items():
                assert torch.equal(value, expected[epoch][name])
        assert len(list(folder.glob("fit-*/.*"))) <= 1
    assert n_compared > N_LONG
