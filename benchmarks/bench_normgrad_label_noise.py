# SPDX-License-Identifier: BSD-3-Clause
"""Does the total training signal of NormGrad find wrong labels, beside the scores of the same fit?

20 % of the labels are flipped to any other class. A convolutional network (32 and 64 channels,
pooling, 128 units) is trained on all rows in the two regimes of `problems`: "stopped early" and
"memorised" (train accuracy on the given labels above 99 %, asserted). Every score is read from the
same `TrainingRecord`. Data: digits (all 1,797 rows of 8 x 8 pixels) and 1,500 rows of
Fashion-MNIST, averaged to 14 x 14 pixels. Seeds differ in the rows (Fashion-MNIST), noise,
initialisation and row order. Average precision and AUROC, and the paired difference of each to the
loss averaged over training. What takes a gradient or weights for every row is read at 3 epochs, on
digits only.

    python benchmarks/bench_normgrad_label_noise.py            # half an hour or more on one core
"""

from functools import partial
from itertools import product

import numpy as np
import torch
from problems import REGIMES, check_regime, in_regime, net, split, with_noise
from report import argument_parser, parse, run_cells
from summaries import Found, detection, minus, share
from timing import Stopwatch
from torch import nn

from sklearn_difficulty import (
    DifficultyScorer,
    NormGradScorer,
    TrainingDynamicsScorer,
    TrainingRecord,
    VoGScorer,
)

DATA = {"digits": (None, 8), "fashion_mnist": (1_500, 14)}
FITS = {
    ("digits", "stopped early"): {"max_epochs": 10, "lr": 1e-3, "batch_size": 64},
    ("digits", "memorised"): {"max_epochs": 60, "lr": 3e-3, "batch_size": 64},
    ("fashion_mnist", "stopped early"): {"max_epochs": 10, "lr": 1e-3, "batch_size": 64},
    ("fashion_mnist", "memorised"): {"max_epochs": 60, "lr": 3e-3, "batch_size": 64},
}
NORMGRAD = {
    "normgrad": {},
    "normgrad, selective": {"selective": True},
    "normgrad, own weights": {"variant": "layer"},
    "normgrad, logit": {"target": "logit"},
    "normgrad, last epoch": {"checkpoints": 1},
    "normgrad, 3 epochs": {"checkpoints": 3},
}
OTHERS = ("loss", "confidence", "aum", "el2n", "grand", "final_loss", "neighbor_confidence")
SCORES = (
    *((name, NormGradScorer(undefined="max", **s)) for name, s in NORMGRAD.items()),
    *OTHERS,
    ("vog, loss", VoGScorer(target="loss", undefined="max")),
)
SLOW = (
    ("normgrad, order 1", NormGradScorer(order=1, step=2.5e-3, checkpoints=3, undefined="max")),
    ("grand_all", TrainingDynamicsScorer(measure="grand_all", checkpoints=3, undefined="max")),
)
BASE = "loss"


class Convolutional(nn.Sequential):
    """Two convolutions and two linear layers, for square images."""

    def __init__(self, side: int) -> None:
        super().__init__(
            *(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(64 * (side // 4) ** 2, 128), nn.ReLU(), nn.Linear(128, 10)),
        )


def one_run(data: str, regime: str, seed: int) -> Found:
    """Train once and return every number of this seed."""
    n, side = DATA[data]
    X, y, _, _ = split(data, n, 0, seed)
    size = round(X.shape[1] ** 0.5)
    X = X.reshape(-1, 1, side, size // side, side, size // side).mean(axis=(3, 5))
    given, wrong = with_noise(y, "symmetric 20 %", seed)
    settings = in_regime(regime, FITS[data, regime])
    watch = Stopwatch()
    record = TrainingRecord.from_fit(
        net(Convolutional, module__side=side, **settings), X, given, random_state=seed
    )
    seconds = {"fit": watch.lap()}
    scores = (*SCORES, *SLOW) if data == "digits" else SCORES
    scorer = DifficultyScorer(record, scores=scores, undefined="max").fit(X, given)
    seconds["scores"] = watch.lap()
    accuracy = share(record.net.predict(X) == given)
    check_regime(regime, accuracy, data)
    columns = dict(zip(scorer.score_names_, scorer.difficulties_.T, strict=True))
    of_layers = scorer.scorers_["normgrad"]
    for name, column in zip(of_layers.layer_names_, of_layers.layer_difficulty_.T, strict=True):
        columns[f"normgrad, layer {name}"] = column
    found = {name: detection(wrong, np.nan_to_num(c, nan=np.inf)) for name, c in columns.items()}
    return {
        "rows": len(X),
        "wrong": share(wrong),
        "train accuracy, given labels": accuracy,
        "seconds": seconds,
        "found": found,
        f"minus {BASE}": {
            name: minus(value, found[BASE]) for name, value in found.items() if name != BASE
        },
    }


def main() -> None:
    parser = argument_parser(__doc__, name="normgrad_label_noise", seeds=5)
    args = parse(parser)
    torch.manual_seed(0)
    cells = {
        f"{data}, {regime}": [partial(one_run, data, regime, seed) for seed in range(args.seeds)]
        for data, regime in product(DATA, REGIMES)
    }
    fits = {", ".join(key): fit for key, fit in FITS.items()}
    run_cells(args, cells, {**vars(args), "fits": fits})


if __name__ == "__main__":
    main()
