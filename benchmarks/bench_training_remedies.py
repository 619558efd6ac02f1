# SPDX-License-Identifier: BSD-3-Clause
"""Does any of it help on noisy labels: schedules, distillation, filtering, and these together?

20 % of the training labels are wrong, symmetric or depending on the row (`make_label_noise`);
accuracy is that on held-out rows with right labels. Data: Fashion-MNIST (2,000 rows, 6,000 held
out) and digits (1,200 rows, 597 held out), pixels standardised. Network: the MLP 784-256-128-10
(digits 64-256-128-10), SGD with momentum 0.9, weight decay 5e-4, rate 0.05 that falls by a cosine
(schedules: in every generation), batches of 128.

Equal cost: every arm may read as many training rows as 48 epochs of plain training do. A forward
pass counts for a third of a step. So

- plain: 48 epochs; restarts: the same in 4 generations, without anything else;
- SEAL and LLF: 4 generations of 12 epochs, split "auto", all else as it is by default;
- distilled: a teacher of 20 epochs and a student of the same kind of 20, which asks it about every
  batch (20 + 20 + 20 / 3 = 47);
- filtered: `FilteredClassifier` with `LabelErrorScorer`, whose 5 networks on four fifths of the
  rows train for 6 epochs (24 in all), and 24 epochs on the rows that it leaves; filtered + SEAL and
  + LLF: 4 generations of 6 there, + distilled: 10 epochs each (10 + 10 + 10 / 3 = 23). They have
  fewer rows to read, which is not made up for.

Beside them, at a quarter of the cost: plain, 12 epochs, as stopping early would have it, and at an
eighth, 6 epochs; and, without a limit, 48 epochs on the rows whose labels are right. Seeds differ
in rows, noise, initialisation and row order; arms of one seed share rows and noise, and differences
are paired.

Run: ``python benchmarks/bench_training_remedies.py`` (about 15 minutes on one core). Finished cells
are kept in results/training_remedies_cells.
"""

import json
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import torch
from problems import Batches, mlp_net, split, with_noise
from report import RESULTS, argument_parser, parse, plain, write_results
from skorch.callbacks import LRScheduler
from summaries import Array, Found, gather, share, show
from timing import Stopwatch
from torch.optim.lr_scheduler import CosineAnnealingLR
from trained_cells import write_at_once

from sklearn_difficulty import DistilledClassifier, FilteredClassifier, LabelErrorScorer
from sklearn_difficulty.training import LaterLayerForgetting, SimulatedAnnealingEarlyLayers

DATA = {"fashion_mnist": (2_000, 6_000), "digits": (1_200, 597)}
NOISE = {"symmetric": "symmetric 20 %", "instance": "instance 20 %"}
GENERATIONS = 4
# Epochs, and for both networks of a distilled one.
WHOLE, HALF = {"epochs": 48, "taught": 20}, {"epochs": 24, "taught": 10}
MEMBER_EPOCHS = 6
SCHEDULES: dict[str, Any] = {
    "restarts": partial(SimulatedAnnealingEarlyLayers, ascent_epochs=0),
    "SEAL": SimulatedAnnealingEarlyLayers,
    "LLF": LaterLayerForgetting,
}
CHEAPER = {"plain, 12 epochs": 12, "plain, 6 epochs": 6}
REMEDIES = ("plain", *SCHEDULES, "distilled")
ARMS = (
    *REMEDIES,
    *(
        "filtered" if arm == "plain" else f"filtered + {arm}"
        for arm in REMEDIES
        if arm != "restarts"
    ),
    *CHEAPER,
    "right labels only",
)


def network(n_inputs: int, n_epochs: int, schedule: Any = None) -> Any:
    """Return an untrained network, with a schedule of generations if there is one."""
    length = n_epochs if schedule is None else n_epochs // GENERATIONS
    callbacks: list[Any] = [LRScheduler(CosineAnnealingLR, T_max=length)]
    if schedule is not None:
        callbacks.append(schedule(n_generations=GENERATIONS, epochs_per_generation=length))
    return mlp_net(
        n_inputs,
        (256, 128),
        max_epochs=n_epochs,
        lr=0.05,
        batch_size=128,
        optimizer=torch.optim.SGD,
        optimizer__momentum=0.9,
        optimizer__weight_decay=5e-4,
        iterator_train=Batches,
        iterator_valid=Batches,
        callbacks=callbacks,
    )


def classifier(arm: str, n_inputs: int, seed: int, budget: dict[str, int]) -> Any:
    """Return what an arm trains on the rows that it is given; alpha=0 is plain training."""
    if arm == "distilled":
        net, alpha = network(n_inputs, budget["taught"]), 0.9
    else:
        n_epochs = CHEAPER.get(arm, budget["epochs"])
        net, alpha = network(n_inputs, n_epochs, SCHEDULES.get(arm)), 0.0
    return DistilledClassifier(net, alpha=alpha, random_state=seed)


def one_cell(data: str, noise: str, arm: str, seed: int) -> Found:
    """Train one arm, and return its accuracies."""
    X, y, X_out, y_out = split(data, *DATA[data], seed)
    given, wrong = with_noise(y, NOISE[noise], seed, X)
    n_inputs = X.shape[1]
    watch = Stopwatch()
    found: Found = {}
    if arm.startswith("filtered"):
        inner = classifier(arm.removeprefix("filtered + "), n_inputs, seed, HALF)
        scorer = LabelErrorScorer(network(n_inputs, MEMBER_EPOCHS), random_state=seed)
        fitted = FilteredClassifier(inner, scorer=scorer).fit(X, given)
        dropped = fitted.dropped_indices_
        found["dropped"] = {
            "share of the rows": len(dropped) / len(y),
            "of these wrong": share(wrong[dropped]),
            "wrong ones left": float((~np.isin(np.flatnonzero(wrong), dropped)).mean()),
        }
    else:
        kept = ~wrong if arm == "right labels only" else np.ones(len(y), dtype=bool)
        fitted = classifier(arm, n_inputs, seed, WHOLE).fit(X[kept], given[kept])
    found["seconds"] = watch.lap()
    says: Array = fitted.predict(X)
    return found | {
        "held-out accuracy": share(fitted.predict(X_out) == y_out),
        "train accuracy, given labels": share(says == given),
        "wrong labels predicted": share((says == given)[wrong]),
    }


def main() -> None:
    parser = argument_parser(__doc__, name="training_remedies", seeds=3)
    parser.add_argument("--data", nargs="+", choices=DATA, default=[*DATA], help="to train on")
    parser.add_argument("--summary", action="store_true", help="only gather the finished cells")
    args = parse(parser)
    folder = RESULTS / f"{args.name}_cells"
    folder.mkdir(exist_ok=True)
    problems, seeds = list(product(DATA, NOISE)), range(args.seeds)
    cells: dict[tuple[str, ...], dict[int, Found]] = {}
    for seed, (data, noise), arm in product(seeds, problems, ARMS):
        file = folder / f"{data}, {noise}, {arm}, {seed}.json".replace(" ", "_")
        if not file.exists() and data in args.data and not args.summary:
            write_at_once(file, json.dumps(plain(one_cell(data, noise, arm, seed))).encode())
        if file.exists():
            cells.setdefault((data, noise, arm), {})[seed] = json.loads(file.read_text())
    results: Found = {}
    for data, noise in problems:
        of = {arm: cells.get((data, noise, arm), {}) for arm in ARMS}
        whole = [seed for seed in seeds if all(seed in runs for runs in of.values())]
        accuracy = {
            arm: [runs[seed]["held-out accuracy"] for seed in whole] for arm, runs in of.items()
        }
        results[f"{data}, {noise}"] = found = {
            **{arm: gather([runs[seed] for seed in whole]) for arm, runs in of.items()},
            **{
                f"minus {base}": gather(
                    [
                        {arm: accuracy[arm][i] - accuracy[base][i] for arm in ARMS if arm != base}
                        for i in range(len(whole))
                    ]
                )
                for base in ("plain", "filtered")
            },
        }
        show(f"{data}, {noise}", found)
    settings = {"data": DATA, "noise": NOISE, "whole": WHOLE, "half": HALF, "seeds": args.seeds}
    write_results(args, results, settings=settings)


if __name__ == "__main__":
    main()
