# SPDX-License-Identifier: BSD-3-Clause
"""Which rows does a network lose when its weights are perturbed: wrong ones, deep ones?

"groups" is the experiment of H. Zhou et al., "Fortuitous Forgetting in Connectionist Networks",
ICLR 2022 (arXiv 2202.00155): an MLP 784-300-100-10, 6,000 rows, of which 10 % get a label drawn
uniformly (so that about 9 % are wrong), SGD at rate 0.1 without momentum, batches of 128. Theirs is
MNIST, 50,000 steps and a perturbed copy every 100 steps that is scored on the current batch; here
it is Fashion-MNIST, 200 epochs (9,400 steps) and a copy every fourth epoch (188 steps) that is
scored on all rows. Perturbations:

- "redraw 0.5" (as published: half of the weights drawn anew, in the last layer a quarter, biases
  always) and "redraw 0.2", the default of `ForgettingUnderPerturbationScorer`;
- "prune 0.7, rewound" (as published: the smallest 70 %, in the last layer 35 %, set to 0, the
  others to their initial values) and "prune 0.7", which keeps the others.

Groups: true and wrong labels; of the rows with true labels, terciles of prediction depth (k = 30)
of the trained network. Accuracies are those on the given labels, averaged over all copies.

"found" asks which rows the score finds: 20 % flipped labels among 1,500 rows of digits and of
Fashion-MNIST, MLP 784-256-128-10, in networks that stop early and that memorise, beside the mean
loss over epochs (cumulative sample loss) and the output margin, read from the same training.

Run: ``python benchmarks/bench_targeted_forgetting.py`` (about five minutes on one core). Finished
cells are kept in results/targeted_forgetting_cells.
"""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from problems import REGIMES, Batches, check_regime, in_regime, mlp_net, split, with_noise
from report import RESULTS, argument_parser, parse, plain, write_results
from summaries import Array, Found, detection, gather, minus, share, show
from trained_cells import write_at_once

from sklearn_difficulty import (
    ForgettingUnderPerturbationScorer,
    MarginScorer,
    PredictionDepthScorer,
    TrainingDynamicsScorer,
    TrainingRecord,
)
from sklearn_difficulty.inference.perturbation import pruned, redrawn
from sklearn_difficulty.measures import targeted_forgetting

EPOCHS, EVERY = 200, 4
FITS = {
    ("digits", "stopped early"): {"max_epochs": 10, "lr": 3e-4, "batch_size": 64},
    ("digits", "memorised"): {"max_epochs": 40, "lr": 5e-3, "batch_size": 64},
    ("fashion_mnist", "stopped early"): {"max_epochs": 10, "lr": 3e-4, "batch_size": 64},
    ("fashion_mnist", "memorised"): {"max_epochs": 40, "lr": 2e-3, "batch_size": 128},
}
SCORERS: dict[str, Callable[[TrainingRecord], Any]] = {
    "redraw 0.2": ForgettingUnderPerturbationScorer,
    "redraw 0.5": partial(ForgettingUnderPerturbationScorer, share=0.5),
    "prune 0.7": partial(ForgettingUnderPerturbationScorer, perturbation="prune"),
    "cumulative loss": partial(TrainingDynamicsScorer, measure="loss"),
    "output margin": MarginScorer,
}
TERCILES = ("shallow", "middle", "deep")


def groups(seed: int, args: Any) -> Found:
    """Follow one training, and return what perturbed copies lose of each group."""
    X, y, _, _ = split("fashion_mnist", args.rows, 0, seed)
    rng = np.random.RandomState(seed)
    given = np.where(rng.random(len(y)) < 0.1, rng.randint(10, size=len(y)), y)
    net = mlp_net(
        784,
        (300, 100),
        optimizer=torch.optim.SGD,
        lr=0.1,
        batch_size=128,
        max_epochs=EPOCHS,
        iterator_train=Batches,
        iterator_valid=Batches,
    )
    epochs = [0, *range(EVERY, EPOCHS + 1, EVERY)]
    record = TrainingRecord.from_fit(net, X, given, checkpoints=epochs, random_state=seed)
    first, *checkpoints = record.checkpoints
    module, inputs, labels = record.module, torch.from_numpy(X), torch.from_numpy(given)

    def right(state: Any) -> Array:
        with torch.no_grad():
            outputs = torch.func.functional_call(module, state, inputs)
        return (outputs.argmax(dim=1) == labels).numpy()

    perturbations = {
        "redraw 0.5": lambda state, epoch: redrawn(module, state, 0.5, (2 * epoch, 2 * epoch + 1)),
        "redraw 0.2": lambda state, epoch: redrawn(module, state, 0.2, (2 * epoch, 2 * epoch + 1)),
        "prune 0.7, rewound": lambda state, _: pruned(module, state, 0.7, first.state_dict()),
        "prune 0.7": lambda state, _: pruned(module, state, 0.7),
    }
    before: list[Array] = []
    after: dict[str, list[Array]] = {name: [] for name in perturbations}
    for checkpoint in checkpoints:
        state = checkpoint.state_dict()
        before.append(right(state))
        for name, perturb in perturbations.items():
            after[name].append(right(perturb(state, checkpoint.epoch)))
    depth = PredictionDepthScorer(record, n_neighbors=30, undefined="max").fit(X, given)
    wrong = given != y
    order = np.argsort(depth.difficulty_[~wrong], kind="stable")
    tercile = np.empty(len(order), dtype=int)
    tercile[order] = np.arange(len(order)) * 3 // len(order)
    label = np.where(wrong, "wrong", "true")
    found: Found = {
        "steps": EPOCHS * -(-len(y) // 128),
        "wrong": share(wrong),
        "accuracy on the given labels": share(before[-1]),
        "of the wrong ones": share(before[-1][wrong]),
    }
    for name, copies in after.items():
        by_label = targeted_forgetting(before, copies, label)
        by_depth = targeted_forgetting(
            [rows[~wrong] for rows in before], [rows[~wrong] for rows in copies], tercile
        )
        named = [*zip(by_label.group, _lines(by_label), strict=True)]
        named += [*zip(TERCILES, _lines(by_depth), strict=True)]
        found[name] = dict(named)
        found[name]["wrong - true"] = {"lost": float(np.diff(by_label.lost)[0])}
        found[name]["deep - shallow"] = {"lost": float(by_depth.lost[2] - by_depth.lost[0])}
    return found


def _lines(found: Any) -> list[Found]:
    """Return what is found of every group."""
    parts = zip(found.before, found.after, found.lost, strict=True)
    return [{"before": float(b), "after": float(a), "lost": float(d)} for b, a, d in parts]


def found(data: str, regime: str, seed: int) -> Found:
    """Return how well each score finds flipped labels."""
    X, y, _, _ = split(data, 1_500, 0, seed)
    given, wrong = with_noise(y, "symmetric 20 %", seed)
    net = mlp_net(
        X.shape[1],
        (256, 128),
        optimizer__fused=True,
        iterator_train=Batches,
        iterator_valid=Batches,
        **in_regime(regime, FITS[data, regime]),
    )
    record = TrainingRecord.from_fit(net, X, given, random_state=seed)
    accuracy = share(record.net.predict(X) == given)
    check_regime(regime, accuracy, f"{data}, seed {seed}")
    scores = {name: make(record).fit(X, given).difficulty_ for name, make in SCORERS.items()}
    of = {name: detection(wrong, score) for name, score in scores.items()}
    base = of["cumulative loss"]
    return {
        "train accuracy": accuracy,
        "found": of,
        "minus cumulative loss": {name: minus(one, base) for name, one in of.items()},
    }


def main() -> None:
    parser = argument_parser(
        __doc__, name="targeted_forgetting", seeds=3, rows=6_000, seeds_found=5
    )
    args = parse(parser)
    folder = RESULTS / f"{args.name}_cells"
    folder.mkdir(exist_ok=True)
    cells: dict[str, list[Callable[[], Found]]] = {
        f"found, {data}, {regime}": [
            partial(found, data, regime, seed) for seed in range(args.seeds_found)
        ]
        for data in ("digits", "fashion_mnist")
        for regime in REGIMES
    }
    cells["groups"] = [partial(groups, seed, args) for seed in range(args.seeds)]
    results: Found = {}
    for name, runs in cells.items():
        read = []
        for seed, run in enumerate(runs):
            file = folder / f"{name}, {seed}.json".replace(" ", "_")
            if not file.exists():
                write_at_once(file, json.dumps(plain(run())).encode())
            read.append(json.loads(file.read_text()))
        results[name] = gather(read)
        show(name, results[name])
    fits = {", ".join(key): fit for key, fit in FITS.items()}
    settings = {"rows": args.rows, "epochs": EPOCHS, "every": EVERY, "fits": fits}
    write_results(args, results, settings=settings)


if __name__ == "__main__":
    main()
