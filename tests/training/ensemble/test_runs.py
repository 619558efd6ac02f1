# SPDX-License-Identifier: BSD-3-Clause
"""Where members are trained: stacks side by side, in processes and in threads."""

import os
import pickle
import signal
import subprocess
import sys
import time

import joblib
import numpy as np
import pytest
import torch
from fits_elsewhere import ended, fit_and_fork, started
from numpy.testing import assert_array_equal
from skorch import NeuralNetClassifier
from torch import nn

from sklearn_difficulty import LabelErrorScorer
from sklearn_difficulty.training import MLP
from sklearn_difficulty.training.ensemble.resampled import ResampledEnsemble

N_FEATURES = 20


@pytest.fixture(scope="module")
def rows():
    """Return 61 rows of 3 noisy classes."""
    rng = np.random.default_rng(0)
    y = np.arange(61) % 3
    X = (rng.normal(size=(61, N_FEATURES)) + np.eye(3, N_FEATURES)[y]).astype(np.float32)
    return X, y


def ensemble_of(*, max_epochs=3, lr=0.1, **settings):
    """Return an ensemble of networks that another process can import, in stacks of two."""
    net = NeuralNetClassifier(
        MLP,
        module__n_inputs=N_FEATURES,
        module__n_outputs=3,
        module__hidden_units=(32,),
        criterion=nn.CrossEntropyLoss,
        max_epochs=max_epochs,
        lr=lr,
        batch_size=16,
        iterator_train__shuffle=True,
        verbose=0,
    )
    defaults = {
        "n_members": 5,
        "train_size": 0.75,
        "random_state": 0,
        "backend": "stacked",
        "stack_size": 2,
        "keep_members": True,
    }
    return ResampledEnsemble(net, **{**defaults, **settings})


def assert_same(first, second):
    """Compare answers and weights, bit for bit."""
    assert_array_equal(first.masks_, second.masks_)
    assert_array_equal(first.given_probability_, second.given_probability_)
    for k in range(len(first.masks_)):
        assert_array_equal(
            first.mean_held_out_probability_[k], second.mean_held_out_probability_[k]
        )
        theirs = second.record(k).module.state_dict()
        for name, tensor in first.record(k).module.state_dict().items():
            assert torch.equal(tensor, theirs[name])


def files(folder):
    """Return when each whole file was written, by its name."""
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.safetensors")}


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)


@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing"])
def test_jobs_change_nothing(rows, two_threads, backend):
    alone = ensemble_of().fit(*rows)
    with joblib.parallel_config(backend=backend):
        side_by_side = ensemble_of(n_jobs=2).fit(*rows)
    assert side_by_side.backend_ == "stacked"
    assert_same(side_by_side, alone)
    with joblib.parallel_config(backend=backend, n_jobs=2):
        assert_same(ensemble_of(backend="joblib").fit(*rows), alone)


def test_threads_change_nothing(rows, two_threads):
    alone = ensemble_of().fit(*rows)
    torch.set_num_threads(1)
    assert_same(ensemble_of().fit(*rows), alone)
    torch.set_num_threads(2)


def test_a_fit_in_a_process_that_is_forked_after_a_fit(rows):
    fits = [ensemble_of(backend=backend) for backend in ("stacked", "joblib")]
    fits += [LabelErrorScorer(fits[0].estimator, random_state=0)]
    assert ended(started(fit_and_fork, fits, rows)) == [0]


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_stacks_take_one_thread_each(rows, two_threads, n_jobs):
    # A function of its own test is sent to another process as it is.
    def place(record, X, codes, trained_on):
        return {"process": os.getpid(), "n_threads": torch.get_num_threads()}

    found = ensemble_of(n_jobs=n_jobs, readout=place).fit(*rows).readout_
    assert set(found["n_threads"]) == {1}
    assert (os.getpid() in found["process"]) == (n_jobs is None)
    for first, second in ((0, 1), (2, 3)):
        assert found["process"][first] == found["process"][second]


def test_stacks_that_are_alone_stay_in_this_process(rows):
    def place(record, X, codes, trained_on):
        return {"process": os.getpid()}

    found = ensemble_of(n_jobs=2, n_members=2, readout=place).fit(*rows).readout_
    assert set(found["process"]) == {os.getpid()}


@pytest.mark.filterwarnings("error")
def test_rows_and_labels_that_reach_a_process_as_memory_maps(rows):
    alone = ensemble_of().fit(*rows)
    with joblib.parallel_config(backend="loky", max_nbytes=100):
        assert_same(ensemble_of(n_jobs=2).fit(*rows), alone)


def test_members_are_found_whatever_the_number_of_jobs(rows, tmp_path):
    settings = {"cache_dir": tmp_path, "stack_size": None, "n_members": 16, "max_epochs": 1}
    first = ensemble_of(**settings).fit(*rows)
    before = files(tmp_path)
    assert len(before) == 16
    assert_same(ensemble_of(n_jobs=2, **settings).fit(*rows), first)
    assert files(tmp_path) == before


# Reads an ensemble and its rows from a file, so that no line of this file is needed there.
FIT = """
import joblib, pickle, sys
with open(sys.argv[1], "rb") as file:
    ensemble, X, y = pickle.load(file)
with joblib.parallel_config(backend=sys.argv[2]):
    ensemble.fit(X, y)
"""


@pytest.mark.parametrize(
    ("how", "backend"),
    [
        (signal.SIGKILL, "loky"),
        (signal.SIGKILL, "multiprocessing"),
        (signal.SIGINT, "threading"),
    ],
)
def test_stopped_processes_are_taken_up(rows, tmp_path, how, backend):
    cache = tmp_path / "cache"
    settings = {"n_members": 12, "max_epochs": 40}
    with (tmp_path / "task.pickle").open("wb") as file:
        pickle.dump((ensemble_of(cache_dir=cache, n_jobs=2, **settings), *rows), file)
    process = subprocess.Popen(
        [sys.executable, "-c", FIT, tmp_path / "task.pickle", backend],
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 120
        while len(files(cache)) < 2 and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)
    finally:
        os.killpg(process.pid, how)  # its workers, too, as Ctrl-C in a terminal does
        _, error = process.communicate(timeout=60)
    assert process.returncode != 0
    assert ("KeyboardInterrupt" in error) == (how == signal.SIGINT)
    before = files(cache)
    assert 2 <= len(before) < 12
    resumed = ensemble_of(cache_dir=cache, **settings).fit(*rows)
    after = files(cache)
    assert len(after) == 12
    assert sum(after[name] == before[name] for name in before) == len(before) // 2 * 2
    assert_same(resumed, ensemble_of(**settings).fit(*rows))


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_member_that_diverges_is_named(rows, two_threads, backend):
    with (
        joblib.parallel_config(backend=backend),
        pytest.raises(ValueError, match=r"in epoch 1\b") as raised,
    ):
        ensemble_of(n_jobs=2, lr=1e25).fit(*rows)
    assert any("in members " in note for note in raised.value.__notes__)


def test_every_stack_is_reported(rows, capsys):
    with joblib.parallel_config(backend="threading"):
        ensemble_of(n_jobs=2, verbose=1).fit(*rows)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all("of 5 members are trained after" in line for line in lines)
    assert lines[-1].startswith("5 of 5 members are trained after ")
