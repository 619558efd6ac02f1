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

from typing import Any

import numpy as np
import torch
from _common import argument_parser, detection, gather, machine, prepare, shown, write_results
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from skorch import NeuralNetClassifier
from skorch.callbacks import LRScheduler
from torch import nn
from torch.func import functional_call

from sklearn_difficulty import TrainingRecord, VoGScorer
from sklearn_difficulty.datasets import load_fashion_mnist, make_label_noise
from sklearn_difficulty.measures import group_statistics, standardize
from sklearn_difficulty.training import MLP

WINDOWS: tuple[Any, ...] = ("early", "late", "all", 10)  # 10 is the default of VoGScorer
TARGETS = ("logit", "probability", "loss")
RATE = 0.2


def load(name: str, seed: int, args: Any) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return rows as vectors, centred and scaled by one number each, and their true labels."""
    if name == "digits":
        X, y = load_digits(return_X_y=True)
    else:
        train = load_fashion_mnist("train")
        rows = np.random.RandomState(seed).permutation(len(train.target))[: args.fashion_rows]
        X, y = train.data[rows].reshape(len(rows), -1), train.target[rows]
    return ((X - X.mean()) / X.std()).astype(np.float32), y.astype(np.int64)


def corrupt(
    y: NDArray[np.int64], noise: str, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the given labels, which rows were touched, and which are wrong."""
    if noise == "symmetric":
        given, wrong = make_label_noise(y, RATE, random_state=seed)
        return given, wrong, wrong
    rng = np.random.RandomState(seed)
    rows = rng.permutation(len(y))[: round(RATE * len(y))]
    given, touched = y.copy(), np.zeros(len(y), dtype=bool)
    given[rows] = y[rng.permutation(rows)]
    touched[rows] = True
    return given, touched, given != y


def mean_doubt(record: TrainingRecord, X: NDArray[np.float32], given: Any) -> NDArray[np.float64]:
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


def one_run(data: str, noise: str, regime: str, seed: int, args: Any) -> dict[str, Any]:
    """Train once and return every number of this seed."""
    X, y = load(data, seed, args)
    given, touched, wrong = corrupt(y, noise, seed)
    epochs = args.epochs if regime == "memorised" else args.stop_after[data]
    net = NeuralNetClassifier(
        MLP,
        module__n_inputs=X.shape[1],
        module__n_outputs=10,
        module__hidden_units=(256,) * 4,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=args.lr,
        batch_size=args.batch_size[data],
        max_epochs=epochs,
        iterator_train__shuffle=True,
        train_split=None,
        device=args.device,
        # At a constant rate Adam keeps jumping, and what the last epoch fits is luck.
        callbacks=[LRScheduler(torch.optim.lr_scheduler.StepLR, step_size=args.epochs * 3 // 4)],
        verbose=0,
    )
    record = TrainingRecord.from_fit(net, X, given, checkpoints="all", random_state=seed)
    predicted = record.net.predict(X)
    accuracy = float((predicted == given).mean())
    if regime == "memorised":
        assert accuracy > 0.99, f"{data}, {noise}, seed {seed}: only {accuracy:.3f} memorised"
    else:
        assert accuracy < 0.90, f"{data}, {noise}, seed {seed}: {accuracy:.3f}, not stopped early"
    run: dict[str, Any] = {
        "epochs": epochs,
        "train accuracy, given labels": accuracy,
        "train accuracy, true labels": float((predicted == y).mean()),
        "wrong labels": float(wrong.mean()),
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
                "vog_class minus magnitude_class": {m: found[m] - baseline[m] for m in found},
            }
    return run


def claims(cell: dict[str, Any]) -> dict[str, int]:
    """Count the seeds in which the touched rows have the higher mean and the larger spread."""
    touched, clean = cell["raw_touched"], cell["raw_clean"]
    return {
        f"seeds_with_higher_{what}": int(
            np.sum(touched[f"{what}_score"]["per_seed"] > clean[f"{what}_score"]["per_seed"])
        )
        for what in ("mean", "sd")
    }


def print_setting(name: str, result: dict[str, Any], n_seeds: int) -> None:
    reference = result["mean over epochs of 1 - p(given)"]
    print(
        f"\n{name}: {n_seeds} seeds, accuracy on given labels "
        f"{shown(result['train accuracy, given labels'])}, on true labels "
        f"{shown(result['train accuracy, true labels'])}; mean over epochs of 1 - p(given): "
        f"AUROC {shown(reference['auroc'])}, AP {shown(reference['ap'])}"
    )
    print(
        f"{'':18} {'AUROC':15} {'AP':15} {'magnitude AP':15} {'raw: noisy mean, sd':20} "
        f"{'clean mean, sd':20} seeds with higher mean, sd"
    )
    for cell, values in result.items():
        if not cell.startswith(TARGETS):
            continue
        groups = [
            f"{values[g]['mean_score']['mean']:.4g}, {values[g]['sd_score']['mean']:.4g}"
            for g in ("raw_touched", "raw_clean")
        ]
        print(
            f"{cell:18} {shown(values['vog_class']['auroc'])}   {shown(values['vog_class']['ap'])}"
            f"   {shown(values['magnitude_class']['ap'])}   {groups[0]:20} {groups[1]:20} "
            f"{values['seeds_with_higher_mean']}, {values['seeds_with_higher_sd']}"
        )


def main() -> None:
    parser = argument_parser(__doc__, n_seeds=5)
    parser.set_defaults(name="vog_label_noise")
    parser.add_argument("--fashion-seeds", type=int, default=3)
    parser.add_argument("--fashion-rows", type=int, default=4_000)
    parser.add_argument("--epochs", type=int, default=80, help="of the memorising network")
    parser.add_argument("--stop-digits", type=int, default=6, help="epochs when stopped early")
    parser.add_argument("--stop-fashion", type=int, default=6, help="epochs when stopped early")
    parser.add_argument("--batch-digits", type=int, default=64)
    parser.add_argument("--batch-fashion", type=int, default=128)
    parser.add_argument("--lr", type=float, default=1e-3)
    args = parser.parse_args()
    prepare(args)
    settings = dict(vars(args))
    args.stop_after = {"digits": args.stop_digits, "fashion_mnist": args.stop_fashion}
    args.batch_size = {"digits": args.batch_digits, "fashion_mnist": args.batch_fashion}

    results: dict[str, Any] = {}
    for data, n_seeds in (("digits", args.seeds), ("fashion_mnist", args.fashion_seeds)):
        for noise in ("shuffled", "symmetric"):
            for regime in ("memorised", "stopped early"):
                name = f"{data}, {noise}, {regime}"
                runs = [one_run(data, noise, regime, seed, args) for seed in range(n_seeds)]
                results[name] = gather(runs)
                for cell, values in results[name].items():
                    if cell.startswith(TARGETS):
                        values |= claims(values)
                print_setting(name, results[name], n_seeds)
                print(f"({machine(args.device)['seconds']} s so far)", flush=True)
    write_results(args.name, {"settings": settings, "results": results}, device=args.device)


if __name__ == "__main__":
    main()
