# SPDX-License-Identifier: BSD-3-Clause
"""Do rows with wrong labels have a higher and wider spread VoG, and does VoG find them?

Claim tested (slides of the VoG paper): replace 20 % of the labels by shuffled ones, train to zero
training error, and the shuffled rows have a higher mean and a larger spread of VoG. Noise, drawn
once per seed and fixed during training:

- "shuffled": the labels of 20 % of the rows are permuted among these rows, as in the slides; about
  a tenth of them keep the right label. "Shuffled" rows are compared with the others; detection is
  of the rows whose label is wrong.
- "symmetric": exactly 20 % of the rows get another label (`make_label_noise`).

Regimes: "memorised" (train accuracy on the given labels above 99 %, asserted) and "stopped early"
(the same network after few epochs, below 90 %, asserted). Data: digits and Fashion-MNIST; network:
four hidden layers of 256 units, Adam with a tenth of the learning rate in the last quarter of the
80 epochs. Measured: mean and standard deviation of the raw score in
both groups, AUROC and average precision of the score normalised by class (larger = suspect), the
same for the mean absolute gradient, and, for scale, 1 - the probability of the given label averaged
over all epochs.

Run: ``python benchmarks/bench_vog_label_noise.py`` (about 8 minutes on one core).
"""

from functools import partial
from itertools import product
from typing import Any

import numpy as np
import torch
from problems import MEMORISED, STOPPED, check_regime, last_quarter_slow, load, mlp_net, with_noise
from report import argument_parser, parse, run_cells
from summaries import Array, Found, detection, minus, share
from torch.func import functional_call

from sklearn_difficulty import TrainingRecord, VoGScorer
from sklearn_difficulty.measures import group_statistics, standardize

WINDOWS: tuple[Any, ...] = ("early", "late", "all", 10)  # 10 is the default of VoGScorer
TARGETS = ("logit", "probability", "loss")
RATE = 0.2
BATCH_SIZE = {"digits": 64, "fashion_mnist": 128}


def rows(data: str, seed: int, args: Any) -> tuple[Array, Array]:
    """Return rows as vectors, centred and scaled by one number each, and their true labels."""
    X, y = load(data)
    if data != "digits":
        chosen = np.random.RandomState(seed).permutation(len(y))[: args.fashion_rows]
        X, y = X[chosen], y[chosen]
    return ((X - X.mean()) / X.std()).astype(np.float32), y


def corrupt(y: Array, noise: str, seed: int) -> tuple[Array, Array, Array]:
    """Return the given labels, which rows were touched, and which are wrong."""
    if noise == "symmetric":
        given, wrong = with_noise(y, "symmetric 20 %", seed)
        return given, wrong, wrong
    rng = np.random.RandomState(seed)
    chosen = rng.permutation(len(y))[: round(RATE * len(y))]
    given, touched = y.copy(), np.zeros(len(y), dtype=bool)
    given[chosen] = y[rng.permutation(chosen)]
    touched[chosen] = True
    return given, touched, given != y


def mean_doubt(record: TrainingRecord, X: Array, given: Any) -> Array:
    """Return 1 - the probability of the given label, averaged over the recorded epochs."""
    device = next(record.module.parameters()).device
    rows, labels = torch.from_numpy(X).to(device), torch.from_numpy(given).to(device)[:, None]
    total = torch.zeros(len(X), dtype=torch.float64, device=device)
    with torch.no_grad():
        for checkpoint in record.checkpoints:
            state = {k: v.to(device) for k, v in checkpoint.state_dict().items()}
            logits = functional_call(record.module, state, (rows,))
            total += 1 - logits.double().softmax(1).gather(1, labels)[:, 0]
    return (total / len(record.checkpoints)).cpu().numpy()


def one_run(data: str, noise: str, regime: str, seed: int, args: Any) -> Found:
    """Train once and return every number of this seed."""
    X, y = rows(data, seed, args)
    given, touched, wrong = corrupt(y, noise, seed)
    epochs = args.epochs if regime == MEMORISED else args.stop
    net = mlp_net(
        X.shape[1],
        (256,) * 4,
        lr=args.lr,
        batch_size=BATCH_SIZE[data],
        max_epochs=epochs,
        device=args.device,
        callbacks=last_quarter_slow(args.epochs),
    )
    record = TrainingRecord.from_fit(net, X, given, checkpoints="all", random_state=seed)
    predicted = record.net.predict(X)
    accuracy = share(predicted == given)
    check_regime(regime, accuracy, f"{data}, {noise}, seed {seed}", stopped_below=0.9)
    run: Found = {
        "epochs": epochs,
        "train accuracy, given labels": accuracy,
        "train accuracy, true labels": share(predicted == y),
        "wrong labels": share(wrong),
        "mean over epochs of 1 - p(given)": detection(wrong, mean_doubt(record, X, given)),
    }
    for target in TARGETS:
        for window in WINDOWS:
            scorer = VoGScorer(record, checkpoints=window, target=target).fit(X, given)
            raw, magnitude = scorer.raw_difficulty_, scorer.gradient_magnitude_
            statistics = group_statistics(magnitude, given, 10)
            magnitude_class = standardize(magnitude, given, *statistics)
            found = detection(wrong, scorer.difficulty_)
            baseline = detection(wrong, magnitude_class)
            run[f"{target}, {window}"] = {
                "raw_touched": {"mean_score": raw[touched].mean(), "sd_score": raw[touched].std()},
                "raw_clean": {"mean_score": raw[~touched].mean(), "sd_score": raw[~touched].std()},
                "vog_class": found,
                "vog_raw": detection(wrong, raw),
                "magnitude_class": baseline,
                "vog_class minus magnitude_class": minus(found, baseline),
            }
    return run


def count_claims(found: Found) -> None:
    """Add in how many seeds the touched rows have the higher mean and the larger spread."""
    for cell in (found[key] for key in found if key.startswith(TARGETS)):
        for what in ("mean", "sd"):
            touched, clean = (
                cell[f"raw_{rows}"][f"{what}_score"]["per_seed"] for rows in ("touched", "clean")
            )
            cell[f"seeds_with_higher_{what}"] = int(np.sum(touched > clean))


def main() -> None:
    parser = argument_parser(
        __doc__,
        name="vog_label_noise",
        seeds=5,
        fashion_seeds=3,
        fashion_rows=4_000,
        epochs=(80, "of the memorising network"),
        stop=(6, "epochs when stopped early"),
        lr=1e-3,
    )
    args = parse(parser)
    seeds = {"digits": args.seeds, "fashion_mnist": args.fashion_seeds}
    cells = {
        f"{data}, {noise}, {regime}": [
            partial(one_run, data, noise, regime, seed, args) for seed in range(seeds[data])
        ]
        for data, noise, regime in product(seeds, ("shuffled", "symmetric"), (MEMORISED, STOPPED))
    }
    run_cells(args, cells, vars(args) | {"batch_size": BATCH_SIZE}, count_claims)


if __name__ == "__main__":
    main()
