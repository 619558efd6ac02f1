# SPDX-License-Identifier: BSD-3-Clause
"""What LabelErrorScorer's neighbours cost beside its trainings, and what they find in a small bank.

Fashion-MNIST, 20 % of the labels flipped at random. Members are trained on 80 % of the rows, and
the neighbours of the rows that they hold out are looked for among all the others, among some of
them (`max_bank`), and in maps averaged to some positions along a side (`pool`). Seconds are those
of one member; where only some held-out rows are asked, they are multiplied up. With a bank of all
rows the step grows with the square of the rows, beside a training that grows with the rows; with
one of some rows their ratio stays as it is. Average precision is that of the scorer's difficulty,
from the mean of a member's own probabilities over the epochs and its neighbours' votes, over the
same held-out rows for every bank.

The fully connected network is trained on all 60,000 rows. The convolutional one is trained on
10,000, as briefly as goes: it is there for the ratio of the times.

    python benchmarks/bench_neighbor_step.py --network mlp     # 3 minutes on a free core
    python benchmarks/bench_neighbor_step.py --network mlp_large    # larger banks, one member
    python benchmarks/bench_neighbor_step.py --network conv    # 2 minutes
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
BANKS = [(None, 2_000), (None, 5_000), (None, 10_000), (None, None)]
LARGE_BANKS = [(None, 10_000), (None, 20_000), (None, 30_000), (None, None)]
# By name: the network, rows, epochs, members, held-out rows of each that are asked, and banks.
WORKS = {
    "mlp": (MLP_784, 60_000, 20, 5, None, BANKS),
    "mlp_large": (MLP_784, 60_000, 20, 1, None, LARGE_BANKS),
    "conv": (CONV, 10_000, 4, 1, 500, [(None, 2_000), (None, 5_000), (7, None), (None, None)]),
}


def measure(name, args):
    """Return seconds of training and of every bank, for one member, and average precision."""
    network, n, n_epochs, n_members, n_asked, banks = WORKS[name]
    module, shape = TIMED[network]
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
    parser = argument_parser(__doc__, name="neighbor_step_{device}")
    parser.add_argument("--network", choices=list(WORKS), default="mlp")
    args = parse(parser)
    args.name = args.name and f"{args.name}_{args.network}"
    results = {WORKS[args.network][0]: measure(args.network, args)}
    show(args.network, results)
    write_results(args, results, settings={"n": WORKS[args.network][1], "noise": "symmetric 20 %"})
