# SPDX-License-Identifier: BSD-3-Clause
"""What fits cost against what ``estimate_cost`` said: five workloads, each in a fresh process.

Seconds are told and measured twice: of the clock on the wall, and of the processor, which other
work on the machine disturbs less. Memory is the peak of the process, all that it holds included.
"""

import time

from problems import CONV, MLP_784, TIMED, net, random_rows
from report import argument_parser, parse, write_results
from summaries import show
from timing import added_mib, in_fresh_process, timed

from sklearn_difficulty import ConsistencyScorer, LabelErrorScorer, PredictionDepthScorer, VoGScorer
from sklearn_difficulty.scorers import _cost


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


WORKLOADS = {
    "VoG, table": vog_table,
    "VoG, images": vog_images,
    "prediction depth": depth,
    "consistency, 5 members": ensemble,
    "label errors": label_errors,
}


def measure(name, quick, device):
    """Return what was told before a fit, and what it took."""
    scorer, shape, n = WORKLOADS[name]()
    X, y = random_rows(n // 10 if quick == "True" else n, shape)
    told_wall, rehearsal = None, None

    def tell():
        nonlocal told_wall
        told_wall = scorer.estimate_cost(X, y)

    _, rehearsal = timed(tell)
    _cost._wall_clock = time.process_time
    told = scorer.estimate_cost(X, y)
    took = []
    before = _cost._resident()
    added = added_mib(lambda: took.extend(timed(lambda: scorer.fit(X, y))), device)
    peak = before + added * 2**20
    return {
        "rows": len(X),
        "trainings": told.trainings,
        "processor seconds": took[1],
        "told": told.seconds,
        "told over took": told.seconds / took[1],
        "wall seconds": took[0],
        "wall: told over took": told_wall.seconds / took[0],
        "peak MiB": peak / 2**20,
        "memory: told over peak": told.memory / peak,
        "rehearsal, processor seconds": rehearsal,
    }


def main():
    args = parse(argument_parser(__doc__, name="estimate_cost_{device}", quick=True), measure)
    results = {}
    for name in WORKLOADS:
        results[name] = in_fresh_process(args, name, args.quick)
        show(name, results[name])
        write_results(args, results)


if __name__ == "__main__":
    main()
