# SPDX-License-Identifier: BSD-3-Clause
"""What an ensemble costs: a stack of networks beside one network after the other.

- Speed: `ResampledEnsemble` with ``backend="stacked"`` beside ``backend="joblib"`` one by one and
  with two processes (one torch thread each), beside skorch (a loop over ``fit`` on each member's
  rows) and a bare torch loop (no skorch, the same weights and batches, checked against the
  ensemble's predictions), both with all threads. The ensembles also ask each member about the
  rows it was not trained on after every epoch, and about all rows in the end; skorch and the bare
  loop only train. Each round runs all of them and the stack once more, whose ratio to the first is
  the yardstick for the noise of the machine; the table shows medians of ratios over the rounds.
- Processor seconds of the same, of this process: what counts if other programs take turns on the
  machine. There, run it with ``OMP_WAIT_POLICY=passive``: torch's threads wait for each other at
  every operation, and otherwise spin meanwhile.
- Stack size: 30 members in stacks of 1, 5, 10 and 30.
- Growth: 5, 10, 20 and 30 members, and the exponent with which the time of the stack grows.
- Memory: what a fit adds to the peak memory of a fresh process under several budgets
  (``working_memory``), and one by one.
- Jobs: stacks beside members one by one with the same number of jobs, while nothing else runs and
  beside a process that multiplies matrices on one core. Pairs take turns, with the order of the two
  turned around in every other one, and the same stacks once more are the yardstick. CPU only,
  written to a file of its own.

    python benchmarks/bench_ensemble.py            # on two cores (17 minutes on a loaded machine)
    python benchmarks/bench_ensemble.py --quick    # small, writes nothing
    python benchmarks/bench_ensemble.py --device cuda
    python benchmarks/bench_ensemble.py --parts jobs    # 6 minutes on two free cores
"""

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from statistics import median
from typing import NamedTuple

import numpy as np
import sklearn
import torch
from _common import added_mib, argument_parser, conv, mlp, prepare, write_results
from sklearn.base import clone
from skorch import NeuralNetClassifier
from torch import nn

from sklearn_difficulty._randomness import isolated_rng, spawn_seeds
from sklearn_difficulty.datasets import load_fashion_mnist
from sklearn_difficulty.training import ResampledEnsemble, ResNet18
from sklearn_difficulty.training.ensemble.member import Pool
from sklearn_difficulty.training.ensemble.stack_checks import stack_size

BATCH, LR, MOMENTUM = 128, 0.01, 0.9
STACKED, AGAIN = "stacked", "stacked again"
STACK_SIZES = (1, 5, 10, 30)
MEMBERS = (5, 10, 20, 30)
BUDGETS = (16, 64, 1024)  # MiB
SLOW_ROUNDS = 3
PARTS = ("speed", "stack_size", "growth", "memory")
JOBS = (1, 2)
# Started by this script, which ends it; it ends by itself if the script is killed.
BUSY = """
import os, torch
torch.set_num_threads(1)
parent, a = os.getppid(), torch.randn(512, 512)
while os.getppid() == parent:
    a @ a
"""


def small_mlp():
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def deep_mlp():
    widths = (30, 128, 128, 128, 4)
    layers = [part for a, b in pairwise(widths) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def resnet():
    return ResNet18(1, 10)


class Case(NamedTuple):
    """A network and the work that is done with it."""

    make: object
    shape: tuple
    n: int
    epochs: int
    members: int
    target: float | None  # stacked against skorch one by one


CASES = {
    "cpu": {
        "mlp 64-64-10": Case(small_mlp, (64,), 1_000, 3, 30, 3.0),
        "mlp 784-256-10": Case(mlp, (784,), 1_000, 2, 30, 1.5),
        "conv 32-64": Case(conv, (1, 28, 28), 400, 1, 4, None),
    },
    "cuda": {
        "mlp 64-64-10": Case(small_mlp, (64,), 20_000, 2, 30, 10.0),
        "mlp 784-256-10": Case(mlp, (784,), 20_000, 2, 30, 10.0),
        "conv 32-64": Case(conv, (1, 28, 28), 4_000, 1, 30, 10.0),
        "resnet18": Case(resnet, (1, 28, 28), 1_000, 1, 8, 10.0),
    },
}

JOBS_CASES = {
    "mlp 64-64-10": CASES["cpu"]["mlp 64-64-10"],
    "mlp 30-128-128-128-4": Case(deep_mlp, (30,), 1_000, 3, 30, 3.0),
    "mlp 784-256-10": CASES["cpu"]["mlp 784-256-10"],
}


def data(case):
    """Return Fashion-MNIST; for 64 inputs the middle 24 x 24 pixels, averaged by threes.

    For 30 inputs and four classes four Gaussian blobs.
    """
    if case.shape == (30,):
        rng = np.random.default_rng(0)
        y = np.arange(case.n) % 4
        X = rng.standard_normal((case.n, 30)) + np.eye(4, 30)[y]
        return X.astype(np.float32), y
    images, y = (load_fashion_mnist()[key][: case.n] for key in ("data", "target"))
    if case.shape == (64,):
        images = images[:, 0, 2:26, 2:26].reshape(-1, 8, 3, 8, 3).mean(axis=(2, 4))
    return np.ascontiguousarray(images.reshape(-1, *case.shape), dtype=np.float32), y


def network(case, device):
    return NeuralNetClassifier(
        case.make,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.SGD,
        optimizer__momentum=MOMENTUM,
        lr=LR,
        batch_size=BATCH,
        max_epochs=case.epochs,
        iterator_train__shuffle=True,
        train_split=None,
        device=device,
        verbose=0,
    )


def ensemble(case, device, backend, **parameters):
    parameters = {"n_members": case.members, "random_state": 0} | parameters
    return ResampledEnsemble(network(case, device), backend=backend, **parameters)


# -------------------------------------------------------------------------------------- the clocks


def timed(work):
    """Return wall-clock and processor seconds of a work."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter(), time.process_time()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start[0], time.process_time() - start[1]


def ratio(times, name, of):
    """Return the median over rounds of the ratio of two works."""
    return median(np.divide(times[name], times[of]))


# --------------------------------------------------------------------------------------- the works


def skorch_loop(case, device, X, y, masks):
    for mask in masks:
        clone(network(case, device)).fit(X[mask], y[mask])


def bare_member(case, device, X, y, mask, seed):
    """Train what the ensemble trains from this seed, in a plain loop."""
    init_seed, order_seed, _ = spawn_seeds(seed)
    with isolated_rng(init_seed, device):
        module = case.make().to(device)
    X, y = torch.from_numpy(X[mask]).to(device), torch.from_numpy(y[mask]).to(device)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(module.parameters(), lr=LR, momentum=MOMENTUM)
    generator = torch.Generator().manual_seed(order_seed)
    for _ in range(case.epochs):
        # The draws before and after the order are those of a DataLoader.
        torch.empty((), dtype=torch.int64).random_(generator=generator)
        order = torch.randperm(len(X), generator=generator).to(device)
        torch.randperm(len(X), generator=generator)
        for rows in order.split(BATCH):
            optimizer.zero_grad()
            criterion(module(X[rows]), y[rows]).backward()
            optimizer.step()
    return module.eval()


def bare_loop(case, device, X, y, masks, seeds):
    for mask, seed in zip(masks, seeds, strict=True):
        bare_member(case, device, X, y, mask, int(seed))


def speed(name, case, args):
    X, y = data(case)
    device = args.device
    fitted = ensemble(case, device, "stacked").fit(X, y)
    assert fitted.backend_ == "stacked", fitted.why_not_stacked_
    masks, seeds = fitted.masks_, fitted.seeds_
    module = bare_member(case, device, X, y, masks[0], int(seeds[0]))
    with torch.no_grad():
        predicted = module(torch.from_numpy(X).to(device)).argmax(dim=1).cpu().numpy()
    agreement = np.mean(predicted == fitted.predictions_[0])
    assert agreement > 0.99, agreement
    fit = {
        STACKED: lambda: ensemble(case, device, "stacked").fit(X, y),
        "joblib": lambda: ensemble(case, device, "joblib").fit(X, y),
    }
    works = {STACKED: fit[STACKED]}
    if device == "cpu":
        two = ensemble(case, device, "joblib", n_jobs=2)
        works["joblib, 2 processes"] = lambda: two.fit(X, y)
        # The processes start and import what they need before they are timed.
        ensemble(case, device, "joblib", n_jobs=2, n_members=4).fit(X, y)
    works |= {
        "joblib": fit["joblib"],
        "skorch": partial(skorch_loop, case, device, X, y, masks),
        "bare loop": partial(bare_loop, case, device, X, y, masks, seeds),
        AGAIN: fit[STACKED],
    }
    wall, processor = ({work: [] for work in works} for _ in range(2))
    loads = []
    for _ in range(args.rounds):
        loads.append(os.getloadavg()[0])
        for work, run in works.items():
            for clock, seconds in zip((wall, processor), timed(run), strict=True):
                clock[work].append(seconds)
    others = [work for work in works if work != STACKED]
    gain = ratio(wall, "skorch", STACKED)
    return {
        "n": case.n,
        "inputs": case.shape,
        "epochs": case.epochs,
        "members": case.members,
        "rounds": args.rounds,
        "load_before_each_round": loads,
        "seconds_over_stacked": {work: ratio(wall, work, STACKED) for work in others},
        "processor_seconds_over_stacked": {
            work: ratio(processor, work, STACKED) for work in others if "processes" not in work
        },
        "target_skorch_over_stacked": case.target,
        "meets_target": None if case.target is None else bool(gain >= case.target),
        "agreement_with_bare_loop": agreement,
        "seconds": {work: median(times) for work, times in wall.items()},
        "least_seconds": {work: min(times) for work, times in wall.items()},
        "processor_seconds": {
            work: median(times) for work, times in processor.items() if "processes" not in work
        },
        "seconds_per_round": wall,
    }


# -------------------------------------------------------------------------------------------- jobs


@contextmanager
def neighbour(is_there):
    """Keep one core busy by another process."""
    if not is_there:
        yield
        return
    process = subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        time.sleep(3)  # it imports torch first
        yield
    finally:
        process.kill()
        process.wait()


def jobs(name, case, args):
    """Time stacks and members one by one with the same number of jobs, idle and busy."""
    X, y = data(case)
    found = {}
    for n_jobs in args.jobs:
        fits = {
            backend: ensemble(case, "cpu", backend, n_jobs=n_jobs)
            for backend in ("stacked", "joblib")
        }
        # Both give the same answers, and the processes import what they need before they are timed.
        stacked, joblib = (fit.fit(X, y) for fit in fits.values())
        assert stacked.backend_ == "stacked"
        assert np.mean(stacked.predictions_ == joblib.predictions_) > 0.99
        automatic = ensemble(case, "cpu", "auto", n_jobs=n_jobs, n_members=2).fit(X, y).backend_
        for state in ("idle", "busy"):
            times = {STACKED: [], "joblib": [], AGAIN: []}
            works = [(STACKED, stacked), ("joblib", joblib), (AGAIN, stacked)]
            loads = []
            with neighbour(state == "busy"):
                for round_ in range(args.rounds):
                    loads.append(os.getloadavg()[0])
                    for work, fit in works if round_ % 2 else works[::-1]:
                        times[work].append(timed(lambda fit=fit: fit.fit(X, y))[0])
            gain = ratio(times, "joblib", STACKED)
            found[f"{state}, n_jobs={n_jobs}"] = {
                "joblib_over_stacked": gain,
                "smallest_and_largest": [
                    extreme(np.divide(times["joblib"], times[STACKED])) for extreme in (min, max)
                ],
                "stacked_again_over_stacked": ratio(times, AGAIN, STACKED),
                "target": case.target,
                "meets_target": bool(gain >= case.target),
                "seconds": {work: median(of_rounds) for work, of_rounds in times.items()},
                "load_before_each_round": loads,
                "seconds_per_round": times,
            }
    return {
        "n": case.n,
        "epochs": case.epochs,
        "members": case.members,
        "rounds": args.rounds,
        "auto": automatic,
        "states": found,
    }


# ------------------------------------------------------------------ stack size, growth, memory


def by_size(name, case, args):
    """Time stacks of several sizes."""
    X, y = data(case)
    sizes = [size for size in STACK_SIZES if size <= case.members]
    times, processor = ({size: [] for size in sizes} for _ in range(2))
    for _ in range(args.rounds_sizes):
        for size in sizes:
            run = ensemble(case, args.device, "stacked", stack_size=size)
            seconds = timed(lambda run=run: run.fit(X, y))
            times[size].append(seconds[0])
            processor[size].append(seconds[1])
    return {
        "rounds": args.rounds_sizes,
        "stack_size": sizes,
        "seconds": [median(times[size]) for size in sizes],
        "least seconds": [min(times[size]) for size in sizes],
        "processor seconds": [median(processor[size]) for size in sizes],
    }


def growth(name, case, args):
    """Time 5, 10, ... members as one stack and one by one."""
    X, y = data(case)
    counts = [n for n in MEMBERS if n <= case.members]
    times = {(backend, n): [] for n in counts for backend in ("stacked", "joblib")}
    for _ in range(args.rounds_sizes):
        for backend, n in times:
            run = ensemble(case, args.device, backend, n_members=n)
            times[backend, n].append(timed(lambda run=run: run.fit(X, y))[0])
    found = {
        backend: [median(times[backend, n]) for n in counts] for backend in ("stacked", "joblib")
    }
    return {
        "rounds": args.rounds_sizes,
        "members": counts,
        "seconds": found,
        "exponent": {
            backend: np.polyfit(np.log(counts), np.log(seconds), 1)[0]
            for backend, seconds in found.items()
        },
    }


def measure_peak(name, backend, budget, device):
    """Print what a fit adds to the peak memory, and the size of the stacks."""
    case = CASES[device][name]._replace(n=2_000, epochs=1)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((case.n, *case.shape), dtype=np.float32)
    y = np.arange(case.n) % 10
    # What is loaded at the first fit is no part of the second.
    ensemble(case, device, backend, n_members=2).fit(X[:300], y[:300])
    classes = np.arange(10)
    pool = Pool(network(case, device), X, X, y, classes, None, keep_members=False, verbose=0)
    with sklearn.config_context(working_memory=budget):
        size = stack_size(pool, case.members) if backend == "stacked" else 1
        peak = added_mib(lambda: ensemble(case, device, backend).fit(X, y), device)
    print(json.dumps({"stack_size": size, "peak_mib": peak}))


def memory(name, case, args):
    """Return the peak under every budget, each read in a fresh process."""
    lines = []
    for backend, budget in (("joblib", 1024), *(("stacked", budget) for budget in BUDGETS)):
        command = [sys.executable, __file__, "--device", args.device]
        command += ["--measure", name, backend, str(budget)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        lines.append({"backend": backend, "working_memory": budget} | json.loads(done.stdout))
    return lines


# ----------------------------------------------------------------------------------------- the run

MEASURED = {
    "speed": speed,
    "stack_size": by_size,
    "growth": growth,
    "memory": memory,
    "jobs": jobs,
}


def print_speed(name, found):
    target = found["target_skorch_over_stacked"]
    print(
        f"{name}, {found['members']} members, n = {found['n']:,}, {found['epochs']} epochs: "
        f"stacked {found['seconds'][STACKED]:.2f} s; seconds, processor seconds over stacked"
        + ("" if target is None else f" (target of skorch: {target})")
    )
    for work, over in found["seconds_over_stacked"].items():
        of_processor = found["processor_seconds_over_stacked"].get(work)
        shown = "" if of_processor is None else f"{of_processor:8.2f}"
        print(f"    {work:22}{over:8.2f}{shown}", flush=True)


def print_jobs(name, found):
    print(
        f"{name}, {found['members']} members, n = {found['n']:,}, {found['epochs']} epochs, "
        f"{found['rounds']} rounds; auto takes {found['auto']}"
    )
    for state, cell in found["states"].items():
        low, high = cell["smallest_and_largest"]
        print(
            f"    {state:16} one by one over stacked {cell['joblib_over_stacked']:.2f} "
            f"({low:.2f} to {high:.2f}; target {cell['target']}), stacked again "
            f"{cell['stacked_again_over_stacked']:.2f}; stacked {cell['seconds'][STACKED]:.2f} s",
            flush=True,
        )


def print_other(name, found):
    for line in found if isinstance(found, list) else [found]:
        print(f"{name}: {line}", flush=True)


def main():
    parser = argument_parser(__doc__, n_seeds=1)
    parser.set_defaults(threads=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rounds-sizes", type=int, default=SLOW_ROUNDS)
    parser.add_argument("--parts", nargs="+", choices=(*PARTS, "jobs"), default=list(PARTS))
    parser.add_argument("--jobs", type=int, nargs="+", default=list(JOBS))
    parser.add_argument("--quick", action="store_true", help="small sizes; writes nothing")
    parser.add_argument("--measure", nargs=3, help="used by the script itself")
    args = parser.parse_args()
    prepare(args)
    if args.measure:
        name, backend, budget = args.measure
        measure_peak(name, backend, int(budget), args.device)
        return
    cases, jobs_cases = CASES[args.device], JOBS_CASES
    if args.quick:
        args.rounds, args.rounds_sizes = 2, 1
        args.parts = [part for part in args.parts if part != "memory"]  # has sizes of its own
        cases, jobs_cases = (
            {
                name: case._replace(n=300, epochs=2, members=min(5, case.members))
                for name, case in some.items()
            }
            for some in (cases, jobs_cases)
        )
    results = {part: {} for part in args.parts}

    def keep(part, name, found):
        # After every part: a run that is cut short keeps what it has measured.
        results[part][name] = found
        if not args.quick:
            settings = {
                "batch": BATCH,
                "lr": LR,
                "momentum": MOMENTUM,
                "train_size": 0.9,
                "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY"),
            }
            write_results(
                args.name or f"ensemble{'_jobs' * (args.parts == ['jobs'])}_{args.device}",
                {"settings": settings, "results": results},
                device=args.device,
            )

    for part in args.parts:
        # Of stacks of large networks only the speed is measured.
        names = list(cases) if part == "speed" else list(cases)[:2]
        for name in list(jobs_cases) if part == "jobs" else names:
            found = MEASURED[part](name, (jobs_cases if part == "jobs" else cases)[name], args)
            {"speed": print_speed, "jobs": print_jobs}.get(part, print_other)(name, found)
            keep(part, name, found)


if __name__ == "__main__":
    main()
