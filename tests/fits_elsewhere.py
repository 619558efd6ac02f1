# SPDX-License-Identifier: BSD-3-Clause
"""Fits in processes that have run nothing before, which tests kill, limit and fork.

They are forked from a server that has only imported. A child of the process of the tests would lack
the threads that other tests have started there, as OpenMP's, and could wait for them for ever.
"""

import faulthandler
import multiprocessing
import os
import resource
import signal
import sys
import time
import warnings

import joblib
import torch
from skorch import NeuralNetClassifier
from torch import nn

from sklearn_difficulty.training import MLP, ResampledEnsemble

N_MEMBERS = 6
FRESH = multiprocessing.get_context("forkserver")
# The packages are lazy: these are what a fit imports, which takes longer than the fit.
FRESH.set_forkserver_preload(["sklearn_difficulty.training.ensemble.resampled", "torch._dynamo"])
SECONDS = 120  # in which everything here ends on a busy machine, too


def ensemble_of(cache_dir, max_epochs=1, **settings):
    """Return an ensemble of six networks, two to a stack."""
    net = NeuralNetClassifier(
        MLP,
        module__n_inputs=16,
        module__n_outputs=3,
        module__hidden_units=(32,),
        criterion=nn.CrossEntropyLoss,
        max_epochs=max_epochs,
        batch_size=16,
        lr=0.1,
    )
    settings = {"n_members": N_MEMBERS, "stack_size": 2, "keep_members": True, **settings}
    return ResampledEnsemble(net, cache_dir=cache_dir, train_size=0.5, random_state=0, **settings)


def fit_here(rows, cache_dir, settings, n_bytes=None, barrier=None):
    """Fit in a process of the tests, and leave it by what came of it."""
    faulthandler.dump_traceback_later(SECONDS - 10)
    os.setpgrp()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(3))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if n_bytes is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))
    if barrier is not None:
        barrier.wait()
    code = 1
    try:
        torch.set_num_threads(1)  # as the tests' own
        with joblib.parallel_config(backend="multiprocessing"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ensemble_of(cache_dir, **settings).fit(*rows)
        code = 0
    except OSError as error:
        code = 2 if "cannot hold results" in str(error) else 1
    finally:
        os._exit(code)


def fit_and_fork(estimators, rows):
    """Fit, fork, and fit once more in the child: its end is that of this process."""
    os.setpgrp()
    torch.set_num_threads(2)
    for estimator in estimators:
        estimator.fit(*rows)
    torch.ones(300, 300) @ torch.ones(300, 300)  # what starts OpenMP's threads for certain
    child = os.fork()
    if not child:
        faulthandler.dump_traceback_later(SECONDS - 10, exit=True)
        for estimator in estimators:
            estimator.fit(*rows)
        os._exit(0)
    os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def started(work, *args):
    """Start a process."""
    process = FRESH.Process(target=work, args=args)
    process.start()
    return process


def ended(*processes):
    """Wait for the end of processes, of all that one has forked, and fail if there is none."""
    deadline = time.monotonic() + SECONDS
    for process in processes:
        process.join(max(0, deadline - time.monotonic()))
    hang = [process.pid for process in processes if process.exitcode is None]
    for process in processes:
        if process.pid in hang:
            send(process, signal.SIGKILL)
            process.join()
    assert not hang, f"{len(hang)} of {len(processes)} processes hang; stderr says where."
    return [process.exitcode for process in processes]


def send(process, number):
    """Send a signal to a process and its workers, if there are any left."""
    for kill in (os.killpg, os.kill):  # before it has a group of its own it is alone
        try:
            kill(process.pid, number)
        except ProcessLookupError:
            continue
        return
