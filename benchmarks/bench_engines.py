# SPDX-License-Identifier: BSD-3-Clause
"""The engines that joblib hands work to: dask and ray with two workers against one process.

Members of an ensemble, folds of `cross_val_difficulty`, fits of `benchmark_scorers` and members of
all sizes of `MemorizationTrajectory`: are the numbers the same bit for bit, also when a worker is
killed in mid-run, how many members are trained again then, and what does it all take? "start" is
the start of the engine and of two workers that import torch. That of the workers is in every figure
of ray, too: joblib's backend for ray starts them for every fit. Engines that are not installed are
left out.
"""

import contextlib
import importlib.metadata
import importlib.util
import os
import tempfile
import time
import warnings
from pathlib import Path

import joblib
import numpy as np
from problems import mlp_net, random_rows
from report import argument_parser, parse, write_results
from summaries import show

from sklearn_difficulty import TrainingDynamicsScorer, VoGScorer
from sklearn_difficulty.model_selection import (
    MemorizationTrajectory,
    benchmark_scorers,
    cross_val_difficulty,
)
from sklearn_difficulty.training import ResampledEnsemble

N_WORKERS = 2
KILLED = "members, one worker killed"


def net(n_hidden=64):
    return mlp_net(20, (n_hidden,), max_epochs=20, batch_size=64)


def members(X, y, readout=None):
    ensemble = ResampledEnsemble(
        net(),
        n_members=6,
        train_size=0.5,
        backend="joblib",
        n_jobs=N_WORKERS,
        readout=readout,
        random_state=0,
    )
    return ensemble.fit(X, y).given_probability_


def folds(X, y):
    scorer = VoGScorer(net(), checkpoints=3, random_state=0)
    return cross_val_difficulty(scorer, X, y, cv=4, n_jobs=N_WORKERS, random_state=0)


def fits(X, y):
    scorers = {
        "vog": VoGScorer(net(), checkpoints=3, random_state=0),
        "dynamics": TrainingDynamicsScorer(net(), random_state=0),
    }
    table = benchmark_scorers(X, y, scorers, n_repeats=2, n_jobs=N_WORKERS, random_state=0)
    return np.array(table[["recall", "average_precision", "auroc"]].tolist())


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


WORKS = {
    "members": members,
    "cross_val_difficulty": folds,
    "benchmark_scorers": fits,
    "MemorizationTrajectory": sizes,
}


def killing(folder):
    """Return a readout that notes every member, and kills its process once, at the third one."""

    def read(record, X, codes, trained_on):
        import os
        import signal

        with (folder / joblib.hash(trained_on)).open("a") as file:
            file.write("trained\n")
        if len(list(folder.iterdir())) >= 3 and not (folder.parent / "killed").exists():
            (folder.parent / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return {}

    return read


def timed(work, *args):
    """Return the seconds of a work, and its numbers."""
    start = time.perf_counter()
    numbers = work(*args)
    return time.perf_counter() - start, numbers


def with_a_killed_worker(X, y, alone):
    """Train members, and kill a worker at the third one."""
    with tempfile.TemporaryDirectory() as folder:
        noted = Path(folder) / "members"
        noted.mkdir()
        seconds, numbers = timed(members, X, y, killing(noted))
        assert (Path(folder) / "killed").exists()
        n_trained = [len(path.read_text().splitlines()) for path in noted.iterdir()]
    return {
        "seconds": seconds,
        "equal": np.array_equal(numbers, alone, True),
        "trained again": sum(n_trained) - len(n_trained),
    }


def start_workers():
    """Let every worker import torch."""
    joblib.Parallel(n_jobs=N_WORKERS)(joblib.delayed(VoGScorer)() for _ in range(N_WORKERS))


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
def ray():
    """Run joblib's work on two processes of ray."""
    os.environ.setdefault("RAY_worker_niceness", "0")  # 15 otherwise: no fair comparison
    import ray
    from ray.util.joblib import register_ray

    with tempfile.TemporaryDirectory() as folder:
        ray.init(
            num_cpus=N_WORKERS,
            include_dashboard=False,
            logging_level="error",
            log_to_driver=False,
            _temp_dir=folder,
        )
        register_ray()
        try:
            with joblib.parallel_config(backend="ray"):
                yield
        finally:
            ray.shutdown()


@contextlib.contextmanager
def one_process():
    """Run joblib's work where it is asked for."""
    with joblib.parallel_config(backend="sequential"):
        yield


ENGINES = {"one process": one_process, "dask": dask, "ray": ray}
PACKAGES = {"dask": "distributed", "ray": "ray"}


def main():
    args = parse(argument_parser(__doc__, name="engines_{device}", quick=True))
    warnings.filterwarnings("ignore", message="A worker was lost")
    X, y = random_rows(200 if args.quick else 1_000, (20,))
    results, alone, versions = {}, {}, {}
    for engine, running in ENGINES.items():
        package = PACKAGES.get(engine)
        if package is not None and importlib.util.find_spec(package) is None:
            continue
        start = time.perf_counter()
        with running():
            start_workers()
            results[engine] = found = {"start": {"seconds": time.perf_counter() - start}}
            for name, work in WORKS.items():
                seconds, numbers = timed(work, X, y)
                equal = np.array_equal(numbers, alone.setdefault(name, numbers), True)
                found[name] = {"seconds": seconds, "equal": equal}
            if package is not None:
                versions[package] = importlib.metadata.version(package)
                found[KILLED] = with_a_killed_worker(X, y, alone["members"])
        show(engine, found)
        settings = {"rows": len(X), "workers": N_WORKERS, "engines": versions}
        write_results(args, results, settings=settings)


if __name__ == "__main__":
    main()
