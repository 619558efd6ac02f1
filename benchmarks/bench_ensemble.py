# SPDX-License-Identifier: BSD-3-Clause
"""What an ensemble costs: a stack of networks beside one network after the other.

- Speed: `ResampledEnsemble` with ``backend="stacked"``, and the same with one torch thread, beside
  ``backend="joblib"`` one by one and with two processes (one torch thread each), beside skorch (a
  loop over ``fit`` on each member's rows) and a bare torch loop (no skorch, the same weights and
  batches, checked against the ensemble's predictions). The ensembles also ask each member about the
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

    python benchmarks/bench_ensemble.py            # on two cores (17 minutes on a loaded machine)
    python benchmarks/bench_ensemble.py --quick    # small, writes nothing
    python benchmarks/bench_ensemble.py --device cuda
"""

import json
import os
import subprocess
import sys
import time
from functools import partial
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


def small_mlp():
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


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


def data(case):
    """Return Fashion-MNIST; for 64 inputs the middle 24 x 24 pixels, averaged by threes."""
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


def timed(work, threads=None):
    """Return wall-clock and processor seconds of a work."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter(), time.process_time()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    found = time.perf_counter() - start[0], time.process_time() - start[1]
    torch.set_num_threads(before)
    return found


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
    works = {STACKED: (fit[STACKED], None)}
    if device == "cpu":
        works["stacked, 1 thread"] = (fit[STACKED], 1)
        two = ensemble(case, device, "joblib", n_jobs=2)
        works["joblib, 2 processes"] = (lambda: two.fit(X, y), None)
        # The processes start and import what they need before they are timed.
        ensemble(case, device, "joblib", n_jobs=2, n_members=4).fit(X, y)
    works |= {
        "joblib": (fit["joblib"], None),
        "skorch": (partial(skorch_loop, case, device, X, y, masks), None),
        "bare loop": (partial(bare_loop, case, device, X, y, masks, seeds), None),
        AGAIN: (fit[STACKED], None),
    }
    wall, processor = ({work: [] for work in works} for _ in range(2))
    loads = []
    for _ in range(args.rounds):
        loads.append(os.getloadavg()[0])
        for work, (run, threads) in works.items():
            for clock, seconds in zip((wall, processor), timed(run, threads), strict=True):
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


# ------------------------------------------------------------------ stack size, growth, memory


def by_size(name, case, args):
    """Time stacks of several sizes, with all threads and with one."""
    X, y = data(case)
    sizes = [size for size in STACK_SIZES if size <= case.members]
    threads = (args.threads, 1) if args.device == "cpu" else (args.threads,)
    times = {(t, size): [] for t in threads for size in sizes}
    processor = {key: [] for key in times}
    for _ in range(args.rounds_sizes):
        for t, size in times:
            run = ensemble(case, args.device, "stacked", stack_size=size)
            seconds = timed(lambda run=run: run.fit(X, y), t)
            times[t, size].append(seconds[0])
            processor[t, size].append(seconds[1])
    return {
        "rounds": args.rounds_sizes,
        "stack_size": sizes,
        **{
            f"{label}, {t} threads": [summary(clock[t, size]) for size in sizes]
            for t in threads
            for label, clock, summary in (
                ("seconds", times, median),
                ("least seconds", times, min),
                ("processor seconds", processor, median),
            )
        },
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

MEASURED = {"speed": speed, "stack_size": by_size, "growth": growth, "memory": memory}


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


def print_other(name, found):
    for line in found if isinstance(found, list) else [found]:
        print(f"{name}: {line}", flush=True)


def main():
    parser = argument_parser(__doc__, n_seeds=1)
    parser.set_defaults(threads=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rounds-sizes", type=int, default=SLOW_ROUNDS)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--quick", action="store_true", help="small sizes; writes nothing")
    parser.add_argument("--measure", nargs=3, help="used by the script itself")
    args = parser.parse_args()
    prepare(args)
    if args.measure:
        name, backend, budget = args.measure
        measure_peak(name, backend, int(budget), args.device)
        return
    cases = CASES[args.device]
    if args.quick:
        args.rounds, args.rounds_sizes = 2, 1
        args.parts = [part for part in args.parts if part != "memory"]  # has sizes of its own
        cases = {
            name: case._replace(n=300, epochs=2, members=min(5, case.members))
            for name, case in cases.items()
        }
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
                args.name or f"ensemble_{args.device}",
                {"settings": settings, "results": results},
                device=args.device,
            )

    for part in args.parts:
        # Of stacks of large networks only the speed is measured.
        for name in list(cases) if part == "speed" else list(cases)[:2]:
            found = MEASURED[part](name, cases[name], args)
            (print_speed if part == "speed" else print_other)(name, found)
            keep(part, name, found)


if __name__ == "__main__":
    main()
