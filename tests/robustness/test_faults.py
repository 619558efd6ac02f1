# SPDX-License-Identifier: BSD-3-Clause
"""Errors of any type in user code, at random steps: they come through, and nothing has changed."""

import os
import random
import signal
import tempfile
import threading
import warnings

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from robustness.entries import X, Y
from robustness.outcomes import file_of, steps_of, story, time_limit
from robustness.trapped import HOOKS, TRAP, Data, net_of_datasets, state_of, trapped_net
from sklearn.linear_model import LogisticRegression

from sklearn_difficulty import (
    ConsistencyScorer,
    DifficultyScorer,
    FilteredClassifier,
    LabelErrorScorer,
    MarginScorer,
    MemorizationScorer,
    PredictionDepthScorer,
    TrainingDynamicsScorer,
    VoGScorer,
)
from sklearn_difficulty.estimator_checks._material import surroundings

N_FAULTS = 40


class Own(Exception):
    """An error that only the user knows."""


class OwnAbort(BaseException):
    """One that no `except Exception` stops."""


ERRORS = [
    *(RuntimeError, ValueError, KeyError, TypeError, MemoryError, StopIteration, AssertionError),
    *(KeyboardInterrupt, SystemExit, GeneratorExit, NotImplementedError, OSError, Own, OwnAbort),
]
# As long as a callback stops training by it, a KeyboardInterrupt there is no fault.
EARLY_STOP = (KeyboardInterrupt,)

DEPTH = {"n_neighbors": 2}
FEW = {"n_members": 2, "train_size": 0.5, "random_state": 0}


def on_datasets(cls, **params):
    def fit(folder):
        scorer = cls(net_of_datasets(), random_state=0, **params)
        return scorer.fit(Data(), Y, scoring_view=Data("view", noise=0.1)).difficulty_

    return fit


def on_arrays(cls, make_net=trapped_net, **params):
    def fit(folder):
        if "cache_dir" in params:
            params["cache_dir"] = folder / "cache"
        return cls(make_net(), **params).fit(X, Y).difficulty_

    return fit


def stacked_net():
    """Return a net that stacks can train: without callbacks, and with a known optimizer."""
    return trapped_net(
        criterion=torch.nn.CrossEntropyLoss, optimizer=torch.optim.SGD, callbacks=None
    )


def filtered(folder):
    scorer = TrainingDynamicsScorer(trapped_net(), random_state=0)
    classifier = FilteredClassifier(
        LogisticRegression(), scorer=scorer, drop=0.2, memory=str(folder / "memory")
    )
    return classifier.fit(X, Y).difficulty_


FITS = {
    "dynamics": on_datasets(TrainingDynamicsScorer),
    "dynamics, evaluated": on_datasets(TrainingDynamicsScorer, mode="evaluation"),
    "vog": on_datasets(VoGScorer, checkpoints=2),
    "many scores": on_datasets(DifficultyScorer, scores=["confidence", "forgetting"]),
    "depth": on_arrays(PredictionDepthScorer, random_state=0, **DEPTH),
    "members one by one": on_arrays(ConsistencyScorer, backend="joblib", cache_dir=None, **FEW),
    "members with votes": on_arrays(LabelErrorScorer, backend="joblib", n_neighbors=2, **FEW),
    "a stack": on_arrays(MemorizationScorer, stacked_net, backend="stacked", cache_dir=None, **FEW),
    "a filter": filtered,
}


def reading(cls, **params):
    """Return a function that makes a reading of rows, from a scorer that is fitted before."""

    def prepare():
        scorer = cls(trapped_net(), random_state=0, **params).fit(X, Y)
        return lambda folder: scorer.score_samples(X)

    return prepare


READINGS = {
    "vog": reading(VoGScorer, checkpoints=2),
    "margin": reading(MarginScorer, kind="input"),
    "depth": reading(PredictionDepthScorer, **DEPTH),
    "members": reading(ConsistencyScorer, backend="joblib", n_members=2, train_size=0.5),
    "dynamics": reading(TrainingDynamicsScorer, measure="entropy"),
}


def state():
    """Return what must be as before."""
    return {
        **surroundings(),
        "threads": {thread.name for thread in threading.enumerate()},
        "warnings filters": list(warnings.filters),
        "handlers": {n: signal.getsignal(n) for n in signal.valid_signals()},
        "numpy errors": np.geterr(),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "inference mode": torch.is_inference_mode_enabled(),
        "anomaly mode": torch.is_anomaly_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "default device": str(torch.get_default_device()),
        "hooks of all modules": [
            len(hooks)
            for name, hooks in vars(torch.nn.modules.module).items()
            if name.startswith("_global_") and name.endswith("_hooks")
        ],
        "temporary files": sorted(os.listdir(tempfile.gettempdir())),
    }


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch, one_thread):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    TRAP.disarm()
    yield
    TRAP.disarm()


def in_a_thread(action, folder):
    """Return what an action gives in another thread, which would wait for a lock for ever."""
    results = []
    thread = threading.Thread(target=lambda: results.append(action(folder)), daemon=True)
    thread.start()
    thread.join(30)
    assert results, "an action in another thread fails, or waits for a lock"
    return results[0]


def faults(actions, seed):
    """Return the name of an action, and the random choice of a place, a step and an error."""
    rng = random.Random(seed)
    return list(actions)[seed % len(actions)], rng


def spring(action, folder, rng, is_stacked=False):
    """Let the action fail somewhere; return what has been raised and what came out."""
    TRAP.disarm()
    expected = action(folder / "before")
    place = rng.choice(sorted(TRAP.calls))
    step = rng.randint(1, TRAP.calls[place])
    kinds = [e for e in ERRORS if place not in HOOKS or e not in EARLY_STOP]
    error = rng.choice(kinds)(f"raised in step {step} of {place}")
    before = state()
    TRAP.arm(place, step, error)
    try:
        with time_limit(60):
            found = action(folder / "after")
    except BaseException as found:
        check_error(error, found)
    else:
        # Before it trains, a stack tries out on a few rows which way of mapping a network allows.
        is_trial = is_stacked and place.startswith("forward")
        assert is_trial, f"{error!r}, raised in {place}, was swallowed"
        assert_array_equal(found, expected)
    finally:
        TRAP.disarm()
    after = state()
    changed = [name for name in before if before[name] != after[name]]
    assert not changed, f"after {error!r}: other {changed}"
    module, given = TRAP.given
    assert state_of(module) == given, f"{error!r} has changed the user's module"
    # What is on disk is whole, the lock is free, and the networks are as they were.
    assert_array_equal(in_a_thread(action, folder / "after"), expected)
    assert_array_equal(action(folder / "after"), expected)


def check_error(error, found):
    """Check that what came out is what was raised, with the user's frame and a note at most."""
    if isinstance(error, StopIteration) and found is not error:
        # Python makes a RuntimeError of one that leaves a generator.
        assert isinstance(found, RuntimeError), story(found)
        found = found.__cause__
    assert found is error, story(found)
    assert file_of(steps_of(found)[-1]).endswith("trapped.py"), story(found)
    assert len(getattr(found, "__notes__", [])) <= 1, found.__notes__


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("seed", range(N_FAULTS))
def test_faults_in_fits(seed, tmp_path):
    name, rng = faults(FITS, seed)
    spring(FITS[name], tmp_path, rng, is_stacked=name == "a stack")


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("seed", range(10))
def test_faults_in_readings(seed, tmp_path):
    name, rng = faults(READINGS, seed)
    spring(READINGS[name](), tmp_path, rng)


@pytest.mark.fuzz
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("seed", range(N_FAULTS, 1000))
def test_many_faults_in_fits(seed, tmp_path):
    name, rng = faults(FITS, seed)
    spring(FITS[name], tmp_path, rng, is_stacked=name == "a stack")
