# SPDX-License-Identifier: BSD-3-Clause
"""What LabelErrorScorer's neighbours cost beside its trainings, and what they find in a small bank.

Fashion-MNIST, all 60,000 rows, 20 % of the labels flipped at random. Members are trained on 80 % of
the rows, and the neighbours of the rows that they hold out are looked for among all the others,
among some of them (`max_bank`), and in maps averaged to some positions along a side (`pool`).
Seconds are those of one member; of the convolutional network 3,000 of the 12,000 rows that one
member holds out are asked, and the seconds are multiplied by four. Average precision is that of the
scorer's difficulty, from the mean of a member's own probabilities over the epochs and its
neighbours' votes, over the same held-out rows for every bank.

    python benchmarks/bench_neighbor_step.py            # on one core (1 hour on a loaded machine)
    python benchmarks/bench_neighbor_step.py --quick    # small, writes only with --name
"""

import time

import numpy as np
from problems import CONV, MLP_784, TIMED, images, net, with_noise
from report import argument_parser, parse, write_results
from sklearn.metrics import average_precision_score
from summaries import show

from sklearn_difficulty.inference.probing import VotesReadout
from sklearn_difficulty.measures import estimate_label_noise
from sklearn_difficulty.rows.rows import as_rows
from sklearn_difficulty.training import ResampledEnsemble

ALL = "all rows"
# By network: epochs, members, held-out rows of each that are asked (None: all), and banks.
WORKS = {
    MLP_784: (20, 5, None, [(None, 2_000), (None, 5_000), (None, 10_000), (None, None)]),
    CONV: (
        10,
        1,
        3_000,
        [
            (None, 2_000),
            (None, 5_000),
            (None, 10_000),
            (7, 5_000),
            (7, 10_000),
            (7, None),
            (None, None),
        ],
    ),
}


def measure(name, n, args):
    """Return seconds of training and of every bank, for one member, and average precision."""
    module, shape = TIMED[name]
    n_epochs, n_members, n_asked, banks = WORKS[name]
    X, y = images("train", n, np.random.RandomState(0))
    X = X.reshape(-1, *shape)
    y_given, is_wrong = with_noise(y, "symmetric 20 %", 0)
    ensemble = ResampledEnsemble(
        net(module, max_epochs=n_epochs, batch_size=128, device=args.device),
        n_members=n_members,
        train_size=0.8,
        stratify=True,
        keep_members=True,
        random_state=0,
    )
    start = time.perf_counter()
    ensemble.fit(X, y_given)
    found = {"training": (time.perf_counter() - start) / n_members, "epochs": n_epochs}
    asked = [np.flatnonzero(~mask)[:n_asked] for mask in ensemble.masks_]
    rows = np.concatenate(asked)
    own = np.concatenate(
        [p[: len(a)] for p, a in zip(ensemble.mean_held_out_probability_, asked, strict=True)]
    )
    found |= {
        "asked": len(asked[0]),
        "AP without neighbours": precision(own, y_given, is_wrong, rows),
    }
    for pool, max_bank in banks:
        readout = VotesReadout(30, pool=pool, max_bank=max_bank)
        start, votes = time.perf_counter(), []
        for k, of_member in enumerate(asked):
            bank = readout.bank(ensemble.record(k), as_rows(X), y_given, ensemble.masks_[k])
            votes.append(readout.votes(bank, as_rows(X[of_member])))
        seconds = (time.perf_counter() - start) / n_members
        share = len(asked[0]) / (~ensemble.masks_[0]).sum()
        found[f"bank {max_bank or ALL}{f', pool {pool}' if pool else ''}"] = of_bank = {
            "seconds": seconds / share,
            "of the training": seconds / share / found["training"],
            "average precision": precision(
                (own + np.concatenate(votes)) / 2, y_given, is_wrong, rows
            ),
        }
        show(f"bank {max_bank or ALL}", of_bank)
    return found


def precision(probabilities, y_given, is_wrong, rows):
    """Return the average precision of the difficulty of some rows."""
    noise = estimate_label_noise(probabilities, y_given[rows])
    return float(average_precision_score(is_wrong[rows], noise.difficulty))


if __name__ == "__main__":
    args = parse(argument_parser(__doc__, name="neighbor_step_{device}", quick=True, n=60_000))
    n = 3_000 if args.quick else args.n
    results = {}
    for name in WORKS:
        results[name] = measure(name, n, args)
        show(name, results[name])
        write_results(args, results, settings={"n": n, "noise": "symmetric 20 %"})
