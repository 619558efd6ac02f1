# SPDX-License-Identifier: BSD-3-Clause
"""Load: processor time and peak memory of whole fits on many rows, many classes, many images.

Every fit runs in a process of its own, on rows that are drawn around a centre per class. Processor
seconds, not wall-clock: they hold on a machine that others use too. The model of the memory counts
what a fit has to hold, beside the rows themselves and what the libraries take:

- trajectories: six numbers of four bytes per row and epoch, and eight times the outputs of an epoch
  (or of 64 MiB) while they are made of them;
- members: a copy of their rows, and probabilities, four bytes per row and class, three times;
- neighbours: scikit-learn's `working_memory`, set to 256 MiB here, 12 bytes per neighbour and probe
  of the 65,536 rows that are asked about at once, and 24 per probe of all rows;
- a fixed part, what the same fit takes with `FEW` rows.
"""

import math
import warnings
from itertools import pairwise

import numpy as np
import sklearn
from report import argument_parser, parse, results_so_far, write_results
from summaries import show
from timing import added_mib, exponent, in_fresh_process, timed

from sklearn_difficulty import LabelErrorScorer, PredictionDepthScorer, TrainingDynamicsScorer
from sklearn_difficulty.training import default_network

WORKING_MEMORY = 256
EPOCHS, BATCH, FEW = 3, 256, 2_000
BANK, POOL = 10_000, 4
N_NEIGHBORS, N_PROBES = 30, 5  # the defaults, for the default networks
AT_ONCE = 2**16
SCORERS = {
    "dynamics": lambda net: TrainingDynamicsScorer(net, random_state=0),
    "label errors": lambda net: LabelErrorScorer(net, n_neighbors=None, random_state=0),
    "label errors, neighbours": lambda net: LabelErrorScorer(net, random_state=0),
    "depth": lambda net: PredictionDepthScorer(net, random_state=0),
    "depth, max_bank": lambda net: PredictionDepthScorer(
        net, max_bank=BANK, pool=POOL, random_state=0
    ),
}
QUADRATIC = ("label errors, neighbours", "depth")  # every row is compared with every other
TABLE, CLASSES, IMAGES = "20 features, 10 classes", "20 features, 1,000 classes", "28 x 28, conv"
SHAPES = {TABLE: ((20,), 10), CLASSES: ((20,), 1_000), IMAGES: ((1, 28, 28), 10)}


def rows_around_centres(n, shape, n_classes):
    """Return float32 rows and their labels, a third of which lie nearer to another centre."""
    rng = np.random.default_rng(0)
    y = rng.permutation(n) % n_classes
    centres = rng.standard_normal((n_classes, *shape), dtype=np.float32)
    return centres[y] + rng.standard_normal((n, *shape), dtype=np.float32), y


def measure(name, kind, n, device):
    """Return processor and wall-clock seconds, and the MiB that one fit adds to its rows."""
    shape, n_classes = SHAPES[kind]
    X, y = rows_around_centres(int(n), shape, n_classes)
    net = default_network(X, y).set_params(max_epochs=EPOCHS, batch_size=BATCH, device=device)
    found = {}

    def fit():
        found["wall_seconds"], found["processor_seconds"] = timed(
            lambda: SCORERS[name](net).fit(X, y)
        )

    with warnings.catch_warnings(), sklearn.config_context(working_memory=WORKING_MEMORY):
        warnings.filterwarnings("ignore", message=".*max_bank")
        warnings.filterwarnings("ignore", message=".*pool")
        found["added_mib"] = added_mib(fit, "cpu")
    return found


def model_mib(name, kind, n):
    """Return the MiB of what a fit has to hold, without the fixed part."""
    of_classes = 4 * SHAPES[kind][1] * n
    n_bytes = 0
    if name.startswith("label errors"):
        n_bytes += 3 * of_classes + 4 * math.prod(SHAPES[kind][0]) * n
    else:
        n_bytes += 24 * EPOCHS * n + 8 * min(2**26, of_classes)
    if name not in ("dynamics", "label errors"):
        n_queries = n / 5 if name.startswith("label errors") else n  # of one network
        n_bytes += WORKING_MEMORY * 2**20
        n_bytes += 12 * N_NEIGHBORS * N_PROBES * min(n_queries, AT_ONCE) + 24 * N_PROBES * n_queries
    return n_bytes / 2**20


def curve(args, name, kind, sizes):
    """Return what one scorer takes at growing sizes, and the exponents between them."""
    fixed = in_fresh_process(args, name, kind, FEW)
    runs = [in_fresh_process(args, name, kind, n) for n in sizes]
    seconds = [run["processor_seconds"] for run in runs]
    added = [run["added_mib"] for run in runs]
    model = [fixed["added_mib"] + model_mib(name, kind, n) for n in sizes]
    return {
        "rows": sizes,
        "processor_seconds": seconds,
        "wall_seconds": [run["wall_seconds"] for run in runs],
        "exponents": [
            exponent(pair, times)
            for pair, times in zip(pairwise(sizes), pairwise(seconds), strict=True)
        ],
        "quadratic": name in QUADRATIC,
        "added_mib": added,
        "fixed_mib": fixed["added_mib"],
        "added_over_model": [a / b for a, b in zip(added, model, strict=True)],
    }


def main():
    parser = argument_parser(__doc__, name="load_cpu", quick=True)
    args = parse(parser, measure)
    few, some, many = (2_000, 4_000, 8_000) if args.quick else (30_000, 100_000, 300_000)
    cells = [
        *((name, TABLE, [few, some, many]) for name in SCORERS if name not in QUADRATIC),
        *((name, TABLE, [few, some]) for name in QUADRATIC),
        *((name, CLASSES, [few if args.quick else 20_000]) for name in SCORERS),
        *(
            (name, IMAGES, [few if args.quick else 60_000])
            for name in SCORERS
            if name not in QUADRATIC
        ),
    ]
    settings = {
        "epochs": EPOCHS,
        "batch_size": BATCH,
        "working_memory_mib": WORKING_MEMORY,
        "max_bank": BANK,
        "pool": POOL,
    }
    found = results_so_far(args)
    keys = [f"{name}; {kind}" for name, kind, _ in cells]
    for key, cell in zip(keys, cells, strict=True):
        if key not in found:
            found[key] = curve(args, *cell)
            show(key, found[key])
            results = {key: found[key] for key in keys if key in found}
            write_results(args, results, settings=settings)


if __name__ == "__main__":
    main()
