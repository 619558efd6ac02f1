# SPDX-License-Identifier: BSD-3-Clause
"""Does the error rate rise with VoG, and does VoG say more than simpler numbers do?

Claim tested (slides and abstract of the VoG paper): misclassification rises with the VoG
percentile, also when the label is unknown and the predicted class takes its place. Measured on
Fashion-MNIST, a network of two convolutions: error rate by decile of the score, AUROC and average
precision of the score for "misclassified by the final network", for early, late and all epochs and
for the gradient of the logit, the probability and the loss. Beside it, on the same rows, the mean
absolute gradient at the same epochs (the baseline that VoG must beat; raw and normalised by class
like VoG) and 1 - max softmax of the final network, which needs no gradient at all.

Readings: held-out rows with the predicted class (what `VoGScorer.transform` does without labels),
held-out rows with the given label, and training rows with the given label (`difficulty_`). Class
statistics come from the training rows that are read, a sample of those trained on.

Regimes: "stopped early" (the default; two convolutions, SGD, 12,000 rows, 15 epochs) and, since the
paper trains far longer, "memorised" (four hidden layers of 256 units, Adam with a tenth of the
learning rate in the last quarter, 4,000 rows, 80 epochs; train accuracy above 99 %, asserted). That
these differ in more than length is what the third is for, "mlp stopped early": as "memorised", but
ended after 6 epochs.

Run: ``python benchmarks/bench_vog_error_rate.py`` (about 25 minutes on one core) and
``python benchmarks/bench_vog_error_rate.py --regime memorised`` (about 3; "mlp stopped early" 1);
``--device cuda`` takes all 60,000 training rows and all 10,000 held-out rows unless told otherwise.
"""

import time
from typing import Any

import numpy as np
import torch
from _common import argument_parser, detection, gather, machine, prepare, shown, write_results
from numpy.typing import NDArray
from scipy.stats import spearmanr
from skorch import NeuralNetClassifier
from skorch.callbacks import LRScheduler
from torch import nn

from sklearn_difficulty import TrainingRecord, VoGScorer
from sklearn_difficulty.datasets import load_fashion_mnist
from sklearn_difficulty.inference.input_gradients import gradient_variance
from sklearn_difficulty.measures import group_statistics, standardize
from sklearn_difficulty.metrics import error_rate_by_percentile
from sklearn_difficulty.training import MLP, ConvNet

WINDOWS = ("early", "late", "all")
TARGETS = ("logit", "probability", "loss")
Scores = dict[str, NDArray[Any]]


def assess(scores: Scores, wrong: NDArray[np.bool_]) -> dict[str, Any]:
    """Return how every score relates to the errors, and VoG minus its baseline."""
    found = {name: detection(wrong, score) for name, score in scores.items()}
    result: dict[str, Any] = {
        name: found[name] | {"error_rate": error_rate_by_percentile(score, wrong).error_rate}
        for name, score in scores.items()
    }
    if "vog_raw" in scores:
        for kind in ("class", "raw"):
            vog, magnitude = f"vog_{kind}", f"magnitude_{kind}"
            result[f"{vog} minus {magnitude}"] = {
                m: found[vog][m] - found[magnitude][m] for m in ("auroc", "ap")
            }
            result[f"spearman of {vog} and {magnitude}"] = float(
                spearmanr(scores[vog], scores[magnitude]).statistic
            )
    return result


def read_cell(
    record: TrainingRecord, checkpoints: str, target: str, data: dict[str, Any], batch_size: int
) -> dict[str, Scores]:
    """Return the scores of every reading for one choice of epochs and target."""
    X, y, X_new, y_new, wrong_new = (data[k] for k in ("X", "y", "X_new", "y_new", "wrong_new"))
    scorer = VoGScorer(record, checkpoints=checkpoints, target=target, batch_size=batch_size)
    scorer.fit(X, y)
    vog_norm = (scorer.raw_mean_, scorer.raw_std_)
    magnitude_norm = group_statistics(scorer.gradient_magnitude_, y, len(scorer.classes_))

    def read(rows: Any, labels: Any) -> Any:
        reader = scorer._reader()
        return gradient_variance(reader, rows, labels, formula="rms", batch_size=batch_size)

    def four(vog: Any, magnitude: Any, groups: Any) -> Scores:
        return {
            "vog_class": standardize(vog, groups, *vog_norm),
            "vog_raw": vog,
            "magnitude_class": standardize(magnitude, groups, *magnitude_norm),
            "magnitude_raw": magnitude,
        }

    # One pass gives score and baseline; the scorer's own answer must be the same.
    new = read(X_new, None)
    predicted = four(new.variance, new.magnitude, new.labels)
    np.testing.assert_allclose(
        scorer.score_samples(X_new[:64]), predicted["vog_class"][:64], rtol=1e-3, atol=1e-4
    )
    # With the given label only the misclassified rows read otherwise.
    vog, magnitude = new.variance.copy(), new.magnitude.copy()
    again = read(X_new[wrong_new], y_new[wrong_new])
    vog[wrong_new], magnitude[wrong_new] = again.variance, again.magnitude
    return {
        "held-out, predicted class": predicted,
        "held-out, given label": four(vog, magnitude, y_new),
        "training, given label": four(scorer.raw_difficulty_, scorer.gradient_magnitude_, y),
    }


def network(X: NDArray[np.float32], args: Any) -> NeuralNetClassifier:
    """Return the untrained net of the regime."""
    shared = {
        "module__n_outputs": 10,
        "module__mean": X.mean(dtype=np.float64),
        "module__scale": X.std(dtype=np.float64),
        "criterion": nn.CrossEntropyLoss,
        "lr": args.lr,
        "batch_size": args.batch_size,
        "max_epochs": args.epochs,
        "iterator_train__shuffle": True,
        "train_split": None,
        "device": args.device,
        "verbose": 0,
    }
    if args.regime == "stopped early":
        sgd = {"optimizer": torch.optim.SGD, "optimizer__momentum": 0.9}
        return NeuralNetClassifier(ConvNet, module__n_channels=1, **sgd, **shared)
    callbacks = []
    if args.regime == "memorised":
        step_size = args.epochs * 3 // 4
        callbacks = [LRScheduler(torch.optim.lr_scheduler.StepLR, step_size=step_size)]
    for name in ("module__mean", "module__scale"):
        shared[name] = np.full(X.shape[1], shared[name])
    return NeuralNetClassifier(
        MLP,
        module__n_inputs=X.shape[1],
        module__hidden_units=(256,) * 4,
        optimizer=torch.optim.Adam,
        callbacks=callbacks,
        **shared,
    )


def one_run(seed: int, args: Any) -> dict[str, Any]:
    """Train once and return every number of this seed."""
    train, test = load_fashion_mnist("train"), load_fashion_mnist("test")
    rng = np.random.RandomState(seed)
    rows = rng.permutation(len(train.target))[: args.rows]
    X, y = train.data[rows], train.target[rows]
    held_out = rng.permutation(len(test.target))[: args.held_out]
    X_new, y_new = test.data[held_out], test.target[held_out]
    if args.regime != "stopped early":
        X, X_new = X.reshape(len(X), -1), X_new.reshape(len(X_new), -1)
    net = network(X, args)
    start = time.perf_counter()
    record = TrainingRecord.from_fit(net, X, y, checkpoints="all", random_state=seed)
    trained = time.perf_counter()
    read = slice(args.read_training)
    probability, probability_new = (record.net.predict_proba(a) for a in (X, X_new))
    wrong, wrong_new = probability.argmax(1) != y, probability_new.argmax(1) != y_new
    if args.regime == "memorised":
        assert wrong.mean() < 0.01, f"seed {seed}: {wrong.mean():.3f} not memorised"
    data = {"X": X[read], "y": y[read], "X_new": X_new, "y_new": y_new, "wrong_new": wrong_new}
    unsure, unsure_new = 1 - probability[read].max(1), 1 - probability_new.max(1)
    run: dict[str, Any] = {
        "train accuracy": float(1 - wrong.mean()),
        "held-out accuracy": float(1 - wrong_new.mean()),
        "1 - max softmax": {"held-out": assess({"score": unsure_new}, wrong_new)["score"]},
    }
    if args.regime != "memorised":
        run["1 - max softmax"]["training"] = assess({"score": unsure}, wrong[read])["score"]
    for target in TARGETS:
        for window in WINDOWS:
            readings = read_cell(record, window, target, data, args.read_batch_size)
            for reading, scores in readings.items():
                if reading.startswith("training") and args.regime == "memorised":
                    continue  # no errors left to find
                marked = wrong[read] if reading.startswith("training") else wrong_new
                run.setdefault(reading, {})[f"{target}, {window}"] = assess(scores, marked)
    run["seconds training"] = trained - start
    run["seconds reading"] = time.perf_counter() - trained
    return run


def print_table(results: dict[str, Any]) -> None:
    for key in ("train accuracy", "held-out accuracy"):
        print(f"{key} {shown(results[key])}")
    for part, baseline in results["1 - max softmax"].items():
        curve = baseline["error_rate"]["mean"]
        print(
            f"1 - max softmax, {part}: AUROC {shown(baseline['auroc'])}, AP "
            f"{shown(baseline['ap'])}, error by decile {np.round(curve, 3)}"
        )
    for reading in results:
        if not reading.startswith(("held-out,", "training,")):
            continue
        print(
            f"\n{reading}\n{'':18} {'score':10} {'AUROC':15} {'AP':15} "
            f"{'AUROC - magnitude':17} {'rho':6} lowest, middle, highest decile's error"
        )
        for cell, values in results[reading].items():
            for kind in ("class", "raw"):
                vog = values[f"vog_{kind}"]
                difference = values[f"vog_{kind} minus magnitude_{kind}"]["auroc"]
                rho = values[f"spearman of vog_{kind} and magnitude_{kind}"]["mean"]
                low, *_, high = (curve := vog["error_rate"]["mean"])
                print(
                    f"{cell:18} vog_{kind:6} {shown(vog['auroc'])}   {shown(vog['ap'])}   "
                    f"{shown(difference):17} {rho:6.3f} {low:.3f} {np.mean(curve[4:6]):.3f} "
                    f"{high:.3f}"
                )


def main() -> None:
    parser = argument_parser(__doc__, n_seeds=5)
    regimes = ["stopped early", "memorised", "mlp stopped early"]
    parser.add_argument("--regime", choices=regimes, default=regimes[0])
    for option, meaning in (
        ("--rows", "training rows; 12,000 (other regimes: 4,000), on cuda all"),
        ("--held-out", "held-out rows; 2,000, on cuda all"),
        ("--read-training", "training rows that are scored; 1,200, on cuda all"),
        ("--read-batch-size", "rows scored at once; 64 (other regimes: 512), on cuda 4,096"),
        ("--epochs", "15 (memorised: 80, mlp stopped early: 6)"),
    ):
        parser.add_argument(option, type=int, help=meaning)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--lr", type=float, help="0.02 (other regimes: 0.001)")
    args = parser.parse_args()
    prepare(args)
    early, cuda = args.regime == "stopped early", args.device == "cuda"
    defaults = {
        "name": "vog_error_rate" if early else f"vog_error_rate_{args.regime.replace(' ', '_')}",
        "rows": 60_000 if cuda else 12_000 if early else 4_000,
        "held_out": 10_000 if cuda else 2_000,
        "read_training": 60_000 if cuda else 1_200,
        "read_batch_size": 4_096 if cuda else 64 if early else 512,
        "epochs": 15 if early else 80 if args.regime == "memorised" else 6,
        "lr": 0.02 if early else 0.001,
    }
    for name, value in defaults.items():
        if getattr(args, name) is None:
            setattr(args, name, value)

    runs: list[dict[str, Any]] = []
    for seed in range(args.seeds):
        runs.append(one_run(seed, args))
        print(f"seed {seed}: {machine(args.device)['seconds']} s so far", flush=True)
        # After every seed, so that a run that is cut short leaves what it has.
        results = {"settings": vars(args) | {"seeds_done": len(runs)}, "results": gather(runs)}
        write_results(args.name, results, device=args.device)
    print_table(gather(runs))


if __name__ == "__main__":
    main()
