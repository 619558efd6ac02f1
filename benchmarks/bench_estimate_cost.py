# SPDX-License-Identifier: BSD-3-Clause
"""What fits cost against what ``estimate_cost`` said, before a fit in the same fresh process.

Five workloads, and prediction depth without a bound on its bank, whose time grows with the square
of the rows. Seconds are those in which no other program kept this one from working, as told; beside
them those on the wall, told by how busy the machine was in the rehearsal, taken while it was as
busy as it then happened to be. Memory is the peak of the process, and what of it the fit added.
"""

import json
import os

import numpy as np
from problems import CONV, MLP_784, TIMED, net, random_rows
from report import RESULTS, argument_parser, parse, plain, write_results
from summaries import show
from timing import added_mib, in_fresh_process

from sklearn_difficulty import ConsistencyScorer, LabelErrorScorer, PredictionDepthScorer, VoGScorer
from sklearn_difficulty.scorers.cost.watching import own_seconds, resident_bytes, wall_seconds


def vog_table():
    return VoGScorer(random_state=0), (20,), 8_000


def vog_images():
    module, shape = TIMED[CONV]
    return VoGScorer(net(module(), max_epochs=2), checkpoints=2, random_state=0), shape, 3_000


def depth():
    module, shape = TIMED[MLP_784]
    return PredictionDepthScorer(net(module(), max_epochs=2), random_state=0), shape, 5_000


def ensemble():
    return ConsistencyScorer(n_members=5, random_state=0), (20,), 4_000


def label_errors():
    return LabelErrorScorer(random_state=0), (20,), 3_000


def depth_of_images(n):
    module, shape = TIMED[CONV]
    return PredictionDepthScorer(net(module(), max_epochs=2), random_state=0), shape, n


# With how often each is measured.
WORKLOADS = {
    "VoG, table": (vog_table, 3),
    "VoG, images": (vog_images, 3),
    "prediction depth": (depth, 3),
    "consistency, 5 members": (ensemble, 3),
    "label errors": (label_errors, 3),
    "depth of 3,000 images": (lambda: depth_of_images(3_000), 2),
    "depth of 6,000 images": (lambda: depth_of_images(6_000), 1),
}


def measure(name, quick, device):
    """Return what was told before a fit, and what it took."""
    scorer, shape, n = WORKLOADS[name][0]()
    X, y = random_rows(n // 10 if quick == "True" else n, shape)
    load, start = os.getloadavg()[0], own_seconds()
    told = scorer.estimate_cost(X, y)
    rehearsal = own_seconds() - start
    taken, before = [], resident_bytes()

    def fit():
        wall, own = wall_seconds(), own_seconds()
        scorer.fit(X, y)
        taken.extend([own_seconds() - own, wall_seconds() - wall])

    peak = before + added_mib(fit, device) * 2**20
    seconds, wall = taken
    return {
        "rows": len(X),
        "trainings": told.trainings,
        "rehearsal, seconds": rehearsal,
        "told seconds": told.seconds,
        "took seconds": seconds,
        "told over took": told.seconds / seconds,
        "wall: told over took": told.seconds * told.slowdown / wall,
        "slowdown told": told.slowdown,
        "slowdown then": wall / seconds,
        "peak MiB": peak / 2**20,
        "memory: told over took": told.memory / peak,
        "added: told over took": (told.memory - before) / max(1.0, peak - before),
        "added MiB": (peak - before) / 2**20,
        "share of the search for neighbours": told.neighbor_seconds / told.seconds,
        "load": load,
    }


def summary(runs):
    """Return medians, and what is furthest from 1 of what is told over what was taken."""
    found = {key: float(np.median([run[key] for run in runs])) for key in runs[0]}
    ratios = ("told over took", "wall: told over took", "memory: told over took")
    for key in ratios:
        found[f"{key}, worst"] = max((run[key] for run in runs), key=lambda r: max(r, 1 / r))
    return {"n_runs": len(runs), **found, "runs": runs}


def main():
    args = parse(argument_parser(__doc__, name="estimate_cost_{device}", quick=True), measure)
    path = RESULTS / f"{args.name}.json"
    results = json.loads(path.read_text())["results"] if args.name and path.exists() else {}
    for name, (_, n_runs) in WORKLOADS.items():
        runs = results.get(name, {}).get("runs", [])
        while len(runs) < n_runs:  # those of a call that was cut short are kept
            runs.append(plain(in_fresh_process(args, name, args.quick)))
            results[name] = summary(runs)
            write_results(args, results)
        show(name, {key: value for key, value in results[name].items() if key != "runs"})


if __name__ == "__main__":
    main()
