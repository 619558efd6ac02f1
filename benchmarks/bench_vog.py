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

from functools import partial

import numpy as np
import torch
from problems import CONV, MLP_784, TIMED, random_rows
from report import argument_parser, parse, write_results
from summaries import show
from timing import SLOW_ROUNDS, added_mib, in_fresh_process, interleaved

from sklearn_difficulty import TrainingRecord
from sklearn_difficulty.inference.blocks import rows_per_block
from sklearn_difficulty.inference.input_gradients import GradientReader, gradient_variance
from sklearn_difficulty.rows.rows import ArrayRows

CHECKPOINTS = (3, 10, 30)
BLOCK = 512


# rows for K = 3, rows for the memory, target
SIZES = {MLP_784: (10_000, 4_000, 1.30), CONV: (800, 200, 1.10)}


def case(network, n, n_checkpoints, device):
    """Return modules (one per checkpoint), their record, rows and labels."""
    make, shape = TIMED[network]
    torch.manual_seed(0)
    modules = [make().eval().requires_grad_(False).to(device) for _ in range(n_checkpoints)]
    record = TrainingRecord.from_checkpoints(
        modules[-1], [module.state_dict() for module in modules], classes=range(10)
    )
    return modules, record, *random_rows(n, shape)


def input_gradients(modules, X, labels, device):
    """Yield the gradients of every block at every checkpoint: the bare loop."""
    labels = torch.from_numpy(labels).to(device)
    size = rows_per_block(ArrayRows(X), BLOCK, torch.device(device))  # the blocks that ours takes
    for start in range(0, len(X), size):
        x = torch.from_numpy(X[start : start + size]).to(device).requires_grad_()
        rows = labels[start : start + size, None]
        for t, module in enumerate(modules):
            (gradient,) = torch.autograd.grad(module(x).gather(1, rows).sum(), x)
            yield t, start, gradient


def bare(modules, record, X, labels, device):
    for _ in input_gradients(modules, X, labels, device):
        pass


def ours(modules, record, X, labels, device):
    reader = GradientReader(record, record.checkpoints, target="logit", channel_mean=True, wrt=None)
    return gradient_variance(reader, ArrayRows(X), labels, formula="rms", batch_size=BLOCK).variance


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


def measure_peak(way, network, n_checkpoints, device):
    """Return what a way adds to the peak memory of this process, in MiB."""
    n = SIZES[network][1]
    arguments = (*case(network, n, int(n_checkpoints), device), device)
    # Kernels and thread pools are set up once, whatever is computed.
    modules, record, X, labels, _ = arguments
    bare(modules, record, X[:BLOCK], labels[:BLOCK], device)
    return added_mib(lambda: WAYS[way](*arguments), device)


def run(network, n_checkpoints, args):
    n, _, target = SIZES[network]
    n = n * CHECKPOINTS[0] // n_checkpoints
    arguments = (*case(network, n, n_checkpoints, args.device), args.device)
    np.testing.assert_allclose(ours(*arguments), stored(*arguments), rtol=1e-4)
    works = {way: partial(WAYS[way], *arguments) for way in ("bare", "ours")}
    times, _ = interleaved(works | {"bare again": works["bare"]}, args.rounds)
    slow, _ = interleaved({"stored": partial(stored, *arguments)}, min(SLOW_ROUNDS, args.rounds))
    ratio = times.ratio("ours", "bare")
    return {
        "n": n,
        "checkpoints": n_checkpoints,
        "ours_over_bare": ratio,
        "bare_over_bare": times.ratio("bare again", "bare"),
        "target": target,
        "meets_target": bool(ratio <= target),
        "stored_over_ours": slow.median("stored") / times.median("ours"),
        "seconds": {way: times.median(way) for way in works},
        "rows_per_second": n / times.median("ours"),
        "peak_mib": {way: in_fresh_process(args, way, network, n_checkpoints) for way in WAYS},
    }


def main():
    args = parse(argument_parser(__doc__, name="vog_speed_{device}", rounds=9), measure_peak)
    results = {network: [] for network in SIZES}
    for network, lines in results.items():
        for n_checkpoints in CHECKPOINTS:
            lines.append(run(network, n_checkpoints, args))
            show(f"{network}, K = {n_checkpoints}", lines[-1])
            write_results(args, results, rounds=args.rounds)


if __name__ == "__main__":
    main()
