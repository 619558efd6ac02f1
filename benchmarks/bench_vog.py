# SPDX-License-Identifier: BSD-3-Clause
"""Time and memory of Variance of Gradients, beside the bare loop and beside storing gradients.

Three ways to score n rows at K checkpoints, on the two reference networks:

- bare: nothing but the K forward and input-backward passes, gradients thrown away;
- ours: `gradient_variance`, which also returns the mean absolute gradient;
- stored: keep all gradients, then reduce them row by row in Python, as the released code does.

Each round runs bare, ours and bare again; the table shows the median of ours/bare over the rounds
and, as a yardstick for the noise of the machine, that of bare/bare. The number of rows shrinks as K
grows, so that every line is the same work. Peak memory, beyond data and weights, is read in a fresh
process each, at one number of rows for all K.

    python benchmarks/bench_vog.py            # both networks on the CPU
    python benchmarks/bench_vog.py --device cuda
"""

import json
import subprocess
import sys
import time
from statistics import median

import numpy as np
import torch
from _common import added_mib, argument_parser, conv, mlp, prepare, write_results

from sklearn_difficulty import TrainingRecord
from sklearn_difficulty.inference.blocks import rows_per_block
from sklearn_difficulty.inference.input_gradients import GradientReader, gradient_variance

CHECKPOINTS = (3, 10, 30)
BLOCK = 512


# maker, rows for K = 3, rows for the memory, shape of a row, target
NETWORKS = {
    "mlp 784-256-10": (mlp, 10_000, 4_000, (784,), 1.30),
    "conv 32-64": (conv, 800, 200, (1, 28, 28), 1.10),
}


def case(network, n, n_checkpoints, device):
    """Return modules (one per checkpoint), their record, rows and labels."""
    make, _, _, shape, _ = NETWORKS[network]
    torch.manual_seed(0)
    modules = [make().eval().requires_grad_(False).to(device) for _ in range(n_checkpoints)]
    record = TrainingRecord.from_checkpoints(
        modules[-1], [module.state_dict() for module in modules], classes=range(10)
    )
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, *shape), dtype=np.float32)
    return modules, record, X, rng.integers(10, size=n)


def input_gradients(modules, X, labels, device):
    """Yield the gradients of every block at every checkpoint: the bare loop."""
    labels = torch.from_numpy(labels).to(device)
    size = rows_per_block(X, BLOCK, torch.device(device))  # the blocks that ours takes
    for start in range(0, len(X), size):
        x = torch.from_numpy(X[start : start + size]).to(device).requires_grad_()
        rows = labels[start : start + size, None]
        for t, module in enumerate(modules):
            (gradient,) = torch.autograd.grad(module(x).gather(1, rows).sum(), x)
            yield t, start, gradient


def bare(modules, record, X, labels, device):
    for _ in input_gradients(modules, X, labels, device):
        pass
    if device == "cuda":
        torch.cuda.synchronize()


def ours(modules, record, X, labels, device):
    reader = GradientReader(record, record.checkpoints, target="logit", channel_mean=True, wrt=None)
    return gradient_variance(reader, X, labels, formula="rms", batch_size=BLOCK).variance


def stored(modules, record, X, labels, device):
    gradients = np.empty((len(modules), *X.shape), dtype=np.float32)
    for t, start, gradient in input_gradients(modules, X, labels, device):
        gradients[t, start : start + len(gradient)] = gradient.cpu().numpy()
    scores = []
    for row in range(len(X)):
        series = [gradient[row] for gradient in gradients]
        if X.ndim == 4:
            series = [gradient.mean(axis=0) for gradient in series]
        mean = sum(series) / len(series)
        scores.append(np.sqrt(sum((g - mean) ** 2 for g in series).mean() / len(series)))
    return np.array(scores)


WAYS = {"bare": bare, "ours": ours, "stored": stored}


def seconds(way, arguments):
    start = time.perf_counter()
    WAYS[way](*arguments)
    return time.perf_counter() - start


def peak_of(way, network, n_checkpoints, args):
    """Return what a way adds to the peak memory of a fresh process, in MiB."""
    command = [sys.executable, __file__, "--device", args.device, "--threads", str(args.threads)]
    command += ["--measure", way, network, str(n_checkpoints)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure_peak(way, network, n_checkpoints, device):
    n = NETWORKS[network][2]
    arguments = (*case(network, n, n_checkpoints, device), device)
    # Kernels and thread pools are set up once, whatever is computed.
    modules, record, X, labels, _ = arguments
    WAYS["bare"](modules, record, X[:BLOCK], labels[:BLOCK], device)
    return added_mib(lambda: WAYS[way](*arguments), device)


def run(network, n_checkpoints, args):
    _, n, _, _, target = NETWORKS[network]
    n = n * CHECKPOINTS[0] // n_checkpoints
    arguments = (*case(network, n, n_checkpoints, args.device), args.device)
    np.testing.assert_allclose(ours(*arguments), stored(*arguments), rtol=1e-4)
    rounds = []
    for _ in range(args.rounds):
        rounds.append([seconds(way, arguments) for way in ("bare", "ours", "bare")])
    times = np.array(rounds)
    slow = [seconds("stored", arguments) for _ in range(min(3, args.rounds))]
    ratio = median(times[:, 1] / times[:, 0])
    return {
        "n": n,
        "checkpoints": n_checkpoints,
        "ours_over_bare": ratio,
        "bare_over_bare": median(times[:, 2] / times[:, 0]),
        "target": target,
        "meets_target": bool(ratio <= target),
        "stored_over_ours": median(slow) / median(times[:, 1]),
        "seconds": {"bare": median(times[:, 0]), "ours": median(times[:, 1])},
        "rows_per_second": n / median(times[:, 1]),
        "peak_mib": {way: peak_of(way, network, n_checkpoints, args) for way in WAYS},
    }


def main():
    parser = argument_parser(__doc__, n_seeds=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--measure", nargs=3, metavar=("WAY", "NETWORK", "K"))
    args = parser.parse_args()
    prepare(args)
    if args.measure:
        way, network, n_checkpoints = args.measure
        print(json.dumps(measure_peak(way, network, int(n_checkpoints), args.device)))
        return
    header = f"{'network':16}{'K':>4}{'ours/bare':>11}{'bare/bare':>11}{'target':>8}"
    print(f"{header}{'stored/ours':>13}{'rows/s':>10}   peak MiB: bare, ours, stored")
    results = {}
    for network in NETWORKS:
        results[network] = []
        for n_checkpoints in CHECKPOINTS:
            found = run(network, n_checkpoints, args)
            results[network].append(found)
            peaks = ", ".join(f"{value:.0f}" for value in found["peak_mib"].values())
            print(
                f"{network:16}{n_checkpoints:4}{found['ours_over_bare']:11.2f}"
                f"{found['bare_over_bare']:11.2f}{found['target']:8.2f}"
                f"{found['stored_over_ours']:13.1f}{found['rows_per_second']:10.0f}   {peaks}",
                flush=True,
            )
            # After every line: a run that is cut short keeps what it has measured.
            name = args.name or f"vog_speed_{args.device}"
            write_results(name, {"rounds": args.rounds, "results": results}, device=args.device)


if __name__ == "__main__":
    main()
