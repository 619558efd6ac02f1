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
  beside a process that multiplies matrices on one core. The order of the works is turned around in
  every other round, and the same stacks once more are the yardstick. CPU only.

    python benchmarks/bench_ensemble.py            # on two cores (25 minutes on a loaded machine)
    python benchmarks/bench_ensemble.py --quick    # small, writes only with --name
    python benchmarks/bench_ensemble.py --device cuda
    python benchmarks/bench_ensemble.py --parts jobs    # writes results/ensemble_jobs_cpu.json
"""

import os
from contextlib import nullcontext
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import sklearn
import torch
from problems import conv, mlp, net, random_rows
from report import argument_parser, parse, write_results
from sklearn.base import clone
from summaries import show
from timing import SLOW_ROUNDS, added_mib, busy_core, exponent, in_fresh_process, interleaved
from torch import nn

from sklearn_difficulty._randomness import isolated_rng, spawn_seeds
from sklearn_difficulty.datasets import load_fashion_mnist
from sklearn_difficulty.rows.rows import ArrayRows
from sklearn_difficulty.training import ResampledEnsemble, ResNet18
from sklearn_difficulty.training.ensemble.member import Pool
from sklearn_difficulty.training.ensemble.stack_checks import stack_size

BATCH, LR, MOMENTUM = 128, 0.01, 0.9
STACKED, AGAIN = "stacked", "stacked again"
STACK_SIZES = (1, 5, 10, 30)
MEMBERS = (5, 10, 20, 30)
BUDGETS = (16, 64, 1024)  # MiB


def small_mlp():
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def deep_mlp():
    widths = pairwise((30, 128, 128, 128, 4))
    layers = [part for a, b in widths for part in (nn.Linear(a, b), nn.ReLU())]
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
    target: float | None  # skorch over stacked; of the jobs one by one over stacked


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
CASES["jobs"] = {
    "mlp 64-64-10": CASES["cpu"]["mlp 64-64-10"],
    "mlp 30-128-128-128-4": Case(deep_mlp, (30,), 1_000, 3, 30, 3.0),
    "mlp 784-256-10": CASES["cpu"]["mlp 784-256-10"],
}


def data(case):
    """Return Fashion-MNIST; for 64 inputs the middle 24 x 24 pixels, averaged by threes.

    For 30 inputs four Gaussian blobs.
    """
    if case.shape == (30,):
        X, y = random_rows(case.n, case.shape)
        return X + np.eye(4, 30, dtype=np.float32)[y % 4], y % 4
    images, y = (load_fashion_mnist()[key][: case.n] for key in ("data", "target"))
    if case.shape == (64,):
        images = images[:, 0, 2:26, 2:26].reshape(-1, 8, 3, 8, 3).mean(axis=(2, 4))
    return np.ascontiguousarray(images.reshape(-1, *case.shape), dtype=np.float32), y


def network(case, device):
    sgd = {"optimizer": torch.optim.SGD, "optimizer__momentum": MOMENTUM, "lr": LR}
    return net(case.make, **sgd, batch_size=BATCH, max_epochs=case.epochs, device=device)


def ensemble(case, device, backend, **parameters):
    parameters = {"n_members": case.members, "random_state": 0} | parameters
    return ResampledEnsemble(network(case, device), backend=backend, **parameters)


def fitting(case, device, backend, X, y, **parameters):
    """Return a work: the fit of an ensemble."""
    return lambda: ensemble(case, device, backend, **parameters).fit(X, y)


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
    stacked = fitting(case, device, "stacked", X, y)
    works = {STACKED: stacked}
    if device == "cpu":
        works["joblib, 2 processes"] = fitting(case, device, "joblib", X, y, n_jobs=2)
        # The processes start and import what they need before they are timed.
        ensemble(case, device, "joblib", n_jobs=2, n_members=4).fit(X, y)
    works |= {
        "joblib": fitting(case, device, "joblib", X, y),
        "skorch": partial(skorch_loop, case, device, X, y, masks),
        "bare loop": partial(bare_loop, case, device, X, y, masks, seeds),
        AGAIN: stacked,
    }
    wall, processor = interleaved(works, args.rounds)
    gain = wall.ratio("skorch", STACKED)
    # Those of the other processes are not known.
    known = [work for work in works if "processes" not in work]
    return {
        "n": case.n,
        "inputs": case.shape,
        "epochs": case.epochs,
        "members": case.members,
        "rounds": args.rounds,
        "load_before_each_round": wall.loads,
        "seconds_over_stacked": {
            work: wall.ratio(work, STACKED) for work in works if work != STACKED
        },
        "processor_seconds_over_stacked": {
            work: processor.ratio(work, STACKED) for work in known if work != STACKED
        },
        "target_skorch_over_stacked": case.target,
        "meets_target": None if case.target is None else bool(gain >= case.target),
        "agreement_with_bare_loop": agreement,
        "seconds": wall.medians(),
        "processor_seconds": {work: processor.median(work) for work in known},
        "seconds_per_round": wall,
    }


# -------------------------------------------------------------------------------------------- jobs


def jobs(name, case, args):
    """Time stacks and members one by one with the same number of jobs, idle and busy."""
    X, y = data(case)
    found = {}
    for n_jobs in args.jobs:
        # Both say the same, and the processes import what they need before they are timed.
        stacked, joblib = (
            ensemble(case, "cpu", backend, n_jobs=n_jobs).fit(X, y)
            for backend in ("stacked", "joblib")
        )
        assert stacked.backend_ == "stacked", stacked.why_not_stacked_
        assert np.mean(stacked.predictions_ == joblib.predictions_) > 0.99
        fits = {STACKED: stacked, "joblib": joblib, AGAIN: stacked}
        works = {work: partial(fit.fit, X, y) for work, fit in fits.items()}
        for state, beside in (("idle", nullcontext), ("busy", busy_core)):
            with beside():
                wall, _ = interleaved(works, args.rounds, there_and_back=True)
            gain, gains = wall.ratio("joblib", STACKED), wall.ratios("joblib", STACKED)
            found[f"{state}, n_jobs={n_jobs}"] = {
                "joblib_over_stacked": gain,
                "smallest": min(gains),
                "largest": max(gains),
                "stacked_again_over_stacked": wall.ratio(AGAIN, STACKED),
                "target": case.target,
                "meets_target": bool(gain >= case.target),
                "seconds": wall.medians(),
                "load_before_each_round": wall.loads,
                "seconds_per_round": wall,
            }
    automatic = ensemble(case, "cpu", "auto", n_members=2).fit(X, y).backend_
    return {
        "n": case.n,
        "epochs": case.epochs,
        "members": case.members,
        "rounds": args.rounds,
        "auto": automatic,
        **found,
    }


# ------------------------------------------------------------------ stack size, growth, memory


def by_size(name, case, args):
    """Time stacks of several sizes."""
    X, y = data(case)
    sizes = [size for size in STACK_SIZES if size <= case.members]
    works = {size: fitting(case, args.device, "stacked", X, y, stack_size=size) for size in sizes}
    wall, processor = interleaved(works, args.rounds_sizes)
    return {
        "rounds": args.rounds_sizes,
        "stack_size": sizes,
        "seconds": [wall.median(size) for size in sizes],
        "least seconds": [min(wall[size]) for size in sizes],
        "processor seconds": [processor.median(size) for size in sizes],
    }


def growth(name, case, args):
    """Time 5, 10, ... members as one stack and one by one."""
    X, y = data(case)
    counts, backends = [n for n in MEMBERS if n <= case.members], ("stacked", "joblib")
    works = {
        (backend, n): fitting(case, args.device, backend, X, y, n_members=n)
        for n in counts
        for backend in backends
    }
    wall, _ = interleaved(works, args.rounds_sizes)
    found = {backend: [wall.median((backend, n)) for n in counts] for backend in backends}
    return {
        "rounds": args.rounds_sizes,
        "members": counts,
        "seconds": found,
        "exponent": {backend: exponent(counts, seconds) for backend, seconds in found.items()},
    }


def measure_peak(name, backend, budget, device):
    """Return what a fit adds to the peak memory, and the size of the stacks."""
    case = CASES[device][name]._replace(n=2_000, epochs=1)
    X, _ = random_rows(case.n, case.shape)
    y = np.arange(case.n) % 10
    # What is loaded at the first fit is no part of the second.
    ensemble(case, device, backend, n_members=2).fit(X[:300], y[:300])
    rows, classes = ArrayRows(X), np.arange(10)
    untrained = network(case, device)
    pool = Pool(untrained, rows, rows, y, classes, None, keep_members=False, verbose=0)
    with sklearn.config_context(working_memory=int(budget)):
        size = stack_size(pool, case.members) if backend == "stacked" else 1
        peak = added_mib(lambda: ensemble(case, device, backend).fit(X, y), device)
    return {"stack_size": size, "peak_mib": peak}


def memory(name, case, args):
    """Return the peak under every budget, each read in a fresh process."""
    return [
        {"backend": backend, "working_memory": budget}
        | in_fresh_process(args, name, backend, budget)
        for backend, budget in (("joblib", 1024), *(("stacked", budget) for budget in BUDGETS))
    ]


# ----------------------------------------------------------------------------------------- the run

PARTS = {"speed": speed, "jobs": jobs, "stack_size": by_size, "growth": growth, "memory": memory}


def main():
    rounds = {"rounds": 7, "rounds_sizes": SLOW_ROUNDS}
    parser = argument_parser(__doc__, name="ensemble_{device}", quick=True, **rounds)
    parser.set_defaults(threads=2)
    parser.add_argument("--parts", nargs="+", choices=PARTS, help="in a file of their own")
    parser.add_argument("--jobs", nargs="+", type=int, default=[1, 2], help="of the part jobs")
    args = parse(parser, measure_peak)
    if args.parts and args.name == f"ensemble_{args.device}":
        args.name = "_".join(["ensemble", *args.parts, args.device])
    # The memory has sizes of its own, and jobs share no GPU.
    left_out = {"memory": args.quick, "jobs": args.device == "cuda"}
    parts = [part for part in args.parts or PARTS if not left_out.get(part)]
    if args.quick:
        args.rounds_sizes = 1
    settings = {"batch": BATCH, "lr": LR, "momentum": MOMENTUM, "train_size": 0.9}
    settings["OMP_WAIT_POLICY"] = os.environ.get("OMP_WAIT_POLICY")
    results = {part: {} for part in parts}
    for part in parts:
        cases = CASES["jobs" if part == "jobs" else args.device]
        # Of stacks of large networks only the speed is measured.
        for name in list(cases)[: None if part in ("speed", "jobs") else 2]:
            case = cases[name]
            if args.quick:
                case = case._replace(n=300, epochs=2, members=min(5, case.members))
            results[part][name] = found = PARTS[part](name, case, args)
            show(f"{part}, {name}", found)
            write_results(args, results, settings=settings)


if __name__ == "__main__":
    main()
