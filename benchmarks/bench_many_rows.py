# SPDX-License-Identifier: BSD-3-Clause
"""Many images: what one training finds and costs, and whether few rows predict the time of many.

Fashion-MNIST with a fifth of the labels flipped, the default network for images. The probabilities
of all epochs are kept and read by ``LabelErrorScorer(method="one_fit")``. Processor seconds on one
thread; what the largest size takes is also predicted from the two smaller ones, as a fixed part and
a part in proportion to the rows.
"""

import numpy as np
from problems import images, with_noise
from report import argument_parser, parse, write_results
from summaries import detection, share, show
from timing import timed

from sklearn_difficulty import LabelErrorScorer, TrainingRecord
from sklearn_difficulty.training import default_network

SHARE = 0.2


def one_size(n, args):
    """Return what is found among n rows, and the processor seconds of training and of reading."""
    X, y = images("train", n, np.random.RandomState(0))
    given, wrong = with_noise(y, f"symmetric {100 * SHARE:.0f} %", 0)
    net = default_network(X, given).set_params(max_epochs=args.epochs, device=args.device)
    found, kept = {}, {}

    def train():
        kept["record"] = TrainingRecord.from_fit(
            net, X, given, checkpoints=1, keep_logits=True, random_state=0
        )

    def read():
        kept["scorer"] = LabelErrorScorer(kept["record"], method="one_fit").fit(X, given)

    _, found["training"] = timed(train)
    _, found["reading"] = timed(read)
    scorer = kept["scorer"]
    found |= detection(wrong, scorer.difficulty_)
    hardest = np.argsort(-scorer.difficulty_, kind="stable")[: round(SHARE * n)]
    for name, dropped in {
        "cut at 0.5": np.flatnonzero(scorer.error_probability_ > 0.5),
        "share known": hardest,
    }.items():
        right = share(wrong, dropped)
        found[name] = {"precision": right, "recall": right * len(dropped) / wrong.sum()}
    return found


def predicted(sizes, seconds):
    """Return what the last size should take, after the two before it."""
    slope = (seconds[1] - seconds[0]) / (sizes[1] - sizes[0])
    return seconds[1] + slope * (sizes[2] - sizes[1])


def main():
    parser = argument_parser(__doc__, name="many_rows_{device}", quick=True, epochs=5)
    args = parse(parser)
    sizes = [500, 1_000, 2_000] if args.quick else [10_000, 20_000, 60_000]
    results = {"sizes": {}}
    for n in sizes:
        results["sizes"][f"{n:,} rows"] = found = one_size(n, args)
        show(f"{n:,} rows", found)
        write_results(args, results, settings={"epochs": args.epochs, "flipped": SHARE})
    for part in ("training", "reading"):
        seconds = [found[part] for found in results["sizes"].values()]
        results[f"{part}, predicted"] = predicted(sizes, seconds)
    write_results(args, results, settings={"epochs": args.epochs, "flipped": SHARE})


if __name__ == "__main__":
    main()
