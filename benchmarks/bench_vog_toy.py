# SPDX-License-Identifier: BSD-3-Clause
"""Does VoG fall with the distance to the decision boundary, as in the toy of the VoG paper?

Claim tested: on two Gaussian clusters (500 rows, one hidden layer, 15 epochs) the rows near the
boundary have the largest VoG. Measured: Spearman correlation of VoG with the distance to the Bayes
boundary, so negative supports the claim, for two networks, two separations of the clusters, the
logit and the probability as targets, all epochs and the last five, raw and class-normalised; beside
it the same for the mean absolute gradient, the baseline that VoG must beat.

Run: ``python benchmarks/bench_vog_toy.py`` (about ten seconds on one core).
"""

from functools import partial
from itertools import product
from typing import Any

import numpy as np
import torch
from problems import net
from report import argument_parser, parse, run_cells
from scipy.stats import spearmanr
from summaries import Found, share
from torch import nn

from sklearn_difficulty import TrainingRecord, VoGScorer
from sklearn_difficulty.datasets import make_gaussian_toy

NETWORKS = {"tanh 10": (nn.Tanh, 10), "relu 32": (nn.ReLU, 32)}
SEPARATIONS = (3.0, 6.0)  # between the centres, in standard deviations of a class
TARGETS = ("logit", "probability")


class OneHiddenLayer(nn.Module):
    def __init__(self, activation: type[nn.Module], hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, hidden), activation(), nn.Linear(hidden, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def one_run(network: str, separation: float, seed: int, args: Any) -> Found:
    """Train once and return every correlation of this seed."""
    X, y, distance = make_gaussian_toy(args.rows, separation=separation, random_state=seed)
    activation, hidden = NETWORKS[network]
    untrained = net(
        OneHiddenLayer,
        module__activation=activation,
        module__hidden=hidden,
        optimizer=torch.optim.SGD,
        lr=args.lr,
        batch_size=args.batch_size,
        max_epochs=args.epochs,
        device=args.device,
    )
    record = TrainingRecord.from_fit(untrained, X, y, checkpoints="all", random_state=seed)
    windows = {"all": "all", "last 5": list(range(args.epochs - 4, args.epochs + 1))}
    run: Found = {"train_accuracy": share(record.net.predict(X) == y)}
    for target in TARGETS:
        for window, checkpoints in windows.items():
            scorer = VoGScorer(record, checkpoints=checkpoints, target=target).fit(X, y)
            run[f"{target}, {window}"] = {
                "vog_raw": spearmanr(scorer.raw_difficulty_, distance).statistic,
                "vog_class": spearmanr(scorer.difficulty_, distance).statistic,
                "magnitude": spearmanr(scorer.gradient_magnitude_, distance).statistic,
            }
    return run


def count_negative(found: Found) -> None:
    """Add the number of seeds in which a correlation is negative."""
    for correlations in (found[key] for key in found if key != "train_accuracy"):
        for summary in correlations.values():
            summary["n_negative"] = int(np.sum(summary["per_seed"] < 0))


def main() -> None:
    numbers = {"rows": 500, "epochs": 15, "batch_size": 32, "lr": 0.05}
    args = parse(argument_parser(__doc__, name="vog_toy", seeds=8, **numbers))
    cells = {
        f"{network}, separation {separation:g}": [
            partial(one_run, network, separation, seed, args) for seed in range(args.seeds)
        ]
        for network, separation in product(NETWORKS, SEPARATIONS)
    }
    print("Spearman with the distance to the boundary, and in how many seeds it is negative")
    run_cells(args, cells, vars(args), count_negative)


if __name__ == "__main__":
    main()
