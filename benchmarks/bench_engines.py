# SPDX-License-Identifier: BSD-3-Clause
"""The engines that joblib hands work to: dask with two workers against one process.

Members of an ensemble, folds of `cross_val_difficulty` and members of all sizes of
`MemorizationTrajectory`: are the numbers the same bit for bit, and what do they take? The start of
the workers is not counted. Engines that are not installed are left out.
"""

import contextlib
import importlib.util
import tempfile
import time

import joblib
import numpy as np
from problems import mlp_net, random_rows
from report import argument_parser, parse, write_results
from summaries import show

from sklearn_difficulty import VoGScorer
from sklearn_difficulty.model_selection import MemorizationTrajectory, cross_val_difficulty
from sklearn_difficulty.training import ResampledEnsemble

N_WORKERS = 2


def net(n_hidden=64):
    return mlp_net(20, (n_hidden,), max_epochs=5, batch_size=64)


def members(X, y):
    ensemble = ResampledEnsemble(
        net(), n_members=6, train_size=0.5, backend="joblib", n_jobs=N_WORKERS, random_state=0
    )
    return ensemble.fit(X, y).given_probability_


def folds(X, y):
    scorer = VoGScorer(net(), checkpoints=3, random_state=0)
    return cross_val_difficulty(scorer, X, y, cv=4, n_jobs=N_WORKERS, random_state=0)


def sizes(X, y):
    trajectory = MemorizationTrajectory(
        [(f"{n} units", net(n)) for n in (16, 64)],
        n_members=4,
        train_size=0.5,
        backend="joblib",
        n_jobs=N_WORKERS,
        random_state=0,
    )
    return trajectory.fit(X, y).memorization_


WORKS = {"members": members, "cross_val_difficulty": folds, "MemorizationTrajectory": sizes}


@contextlib.contextmanager
def dask():
    """Run joblib's work on two processes of dask."""
    import distributed

    with tempfile.TemporaryDirectory() as folder:
        cluster = distributed.LocalCluster(
            n_workers=N_WORKERS,
            threads_per_worker=1,
            dashboard_address=None,
            local_directory=folder,
        )
        with cluster, distributed.Client(cluster), joblib.parallel_config(backend="dask"):
            yield


@contextlib.contextmanager
def one_process():
    """Run joblib's work where it is asked for."""
    with joblib.parallel_config(backend="sequential"):
        yield


ENGINES = {"one process": one_process, "dask": dask}
PACKAGES = {"dask": "distributed"}


def main():
    args = parse(argument_parser(__doc__, name="engines_{device}", quick=True))
    X, y = random_rows(200 if args.quick else 1_000, (20,))
    results, alone = {}, {}
    for engine, running in ENGINES.items():
        if engine in PACKAGES and importlib.util.find_spec(PACKAGES[engine]) is None:
            continue
        with running():
            # Imports torch in all workers.
            joblib.Parallel(n_jobs=N_WORKERS)(joblib.delayed(VoGScorer)() for _ in range(N_WORKERS))
            results[engine] = found = {}
            for name, work in WORKS.items():
                start = time.perf_counter()
                numbers = work(X, y)
                found[name] = {
                    "seconds": time.perf_counter() - start,
                    "equal": np.array_equal(numbers, alone.setdefault(name, numbers), True),
                }
        show(engine, found)
        write_results(args, results, settings={"rows": len(X), "workers": N_WORKERS})


if __name__ == "__main__":
    main()
