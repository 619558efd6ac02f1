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

from typing import Any

import numpy as np
import torch
from problems import MEMORISED, STOPPED, check_regime, images, last_quarter_slow, mlp_net, net
from report import argument_parser, parse, write_results
from scipy.stats import spearmanr
from skorch import NeuralNetClassifier
from summaries import Array, Found, detection, gather, minus, share, show
from timing import Stopwatch

from sklearn_difficulty import TrainingRecord, VoGScorer
from sklearn_difficulty.inference.input_gradients import gradient_variance
from sklearn_difficulty.measures import group_statistics, standardize
from sklearn_difficulty.metrics import error_rate_by_percentile
from sklearn_difficulty.rows.rows import ArrayRows
from sklearn_difficulty.training import ConvNet

WINDOWS = ("early", "late", "all")
TARGETS = ("logit", "probability", "loss")
Scores = dict[str, Array]


def assess(scores: Scores, wrong: Array) -> Found:
    """Return how every score relates to the errors, and VoG minus its baseline."""
    found = {name: detection(wrong, score) for name, score in scores.items()}
    result: Found = {
        name: found[name] | {"error_rate": error_rate_by_percentile(score, wrong).error_rate}
        for name, score in scores.items()
    }
    if "vog_raw" in scores:
        for kind in ("class", "raw"):
            vog, magnitude = f"vog_{kind}", f"magnitude_{kind}"
            result[f"{vog} minus {magnitude}"] = minus(found[vog], found[magnitude])
            result[f"spearman of {vog} and {magnitude}"] = float(
                spearmanr(scores[vog], scores[magnitude]).statistic
            )
    return result


def read_cell(
    record: TrainingRecord, checkpoints: str, target: str, data: Found, batch_size: int
) -> dict[str, Scores]:
    """Return the scores of every reading for one choice of epochs and target."""
    X, y, X_new, y_new, wrong_new = (data[k] for k in ("X", "y", "X_new", "y_new", "wrong_new"))
    scorer = VoGScorer(record, checkpoints=checkpoints, target=target, batch_size=batch_size)
    scorer.fit(X, y)
    vog_norm = (scorer.raw_mean_, scorer.raw_std_)
    magnitude_norm = group_statistics(scorer.gradient_magnitude_, y, len(scorer.classes_))

    def read(rows: Any, labels: Any) -> Any:
        reader = scorer._reader(record)
        return gradient_variance(
            reader, ArrayRows(rows), labels, formula="rms", batch_size=batch_size
        )

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


def network(X: Array, args: Any) -> NeuralNetClassifier:
    """Return the untrained net of the regime."""
    mean, scale = X.mean(dtype=np.float64), X.std(dtype=np.float64)
    settings = {
        "lr": args.lr,
        "batch_size": args.batch_size,
        "max_epochs": args.epochs,
        "device": args.device,
    }
    if args.regime == STOPPED:
        settings |= {"optimizer": torch.optim.SGD, "optimizer__momentum": 0.9}
        module = {"n_channels": 1, "n_outputs": 10, "mean": mean, "scale": scale}
        return net(
            ConvNet, **{f"module__{key}": value for key, value in module.items()}, **settings
        )
    if args.regime == MEMORISED:
        settings["callbacks"] = last_quarter_slow(args.epochs)
    for name, value in (("module__mean", mean), ("module__scale", scale)):
        settings[name] = np.full(X.shape[1], value)
    return mlp_net(X.shape[1], (256,) * 4, **settings)


def one_run(seed: int, args: Any) -> Found:
    """Train once and return every number of this seed."""
    rng = np.random.RandomState(seed)
    (X, y), (X_new, y_new) = (
        images(part, n, rng) for part, n in (("train", args.rows), ("test", args.held_out))
    )
    if args.regime != STOPPED:
        X, X_new = X.reshape(len(X), -1), X_new.reshape(len(X_new), -1)
    untrained, watch = network(X, args), Stopwatch()
    record = TrainingRecord.from_fit(untrained, X, y, checkpoints="all", random_state=seed)
    seconds_training = watch.lap()
    read = slice(args.read_training)
    probability, probability_new = (record.net.predict_proba(a) for a in (X, X_new))
    wrong, wrong_new = probability.argmax(1) != y, probability_new.argmax(1) != y_new
    data = {"X": X[read], "y": y[read], "X_new": X_new, "y_new": y_new, "wrong_new": wrong_new}
    marked = {"held-out": wrong_new, "training": wrong[read]}
    unsure = {"held-out": 1 - probability_new.max(1), "training": 1 - probability[read].max(1)}
    if args.regime == MEMORISED:
        check_regime(MEMORISED, share(~wrong), f"seed {seed}")
        del unsure["training"]  # no errors left to find
    run: Found = {
        "train accuracy": share(~wrong),
        "held-out accuracy": share(~wrong_new),
        "1 - max softmax": {
            part: assess({"score": score}, marked[part])["score"] for part, score in unsure.items()
        },
    }
    for target in TARGETS:
        for window in WINDOWS:
            readings = read_cell(record, window, target, data, args.read_batch_size)
            for reading, scores in readings.items():
                part = reading.split(",")[0]
                if part in unsure:
                    cell = run.setdefault(reading, {})
                    cell[f"{target}, {window}"] = assess(scores, marked[part])
    return run | {"seconds training": seconds_training, "seconds reading": watch.lap()}


def main() -> None:
    regimes = [STOPPED, MEMORISED, "mlp stopped early"]
    parser = argument_parser(__doc__, name=None, seeds=5)
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
    args = parse(parser)
    early, cuda = args.regime == STOPPED, args.device == "cuda"
    defaults = {
        "name": "vog_error_rate" if early else f"vog_error_rate_{args.regime.replace(' ', '_')}",
        "rows": 60_000 if cuda else 12_000 if early else 4_000,
        "held_out": 10_000 if cuda else 2_000,
        "read_training": 60_000 if cuda else 1_200,
        "read_batch_size": 4_096 if cuda else 64 if early else 512,
        "epochs": 15 if early else 80 if args.regime == MEMORISED else 6,
        "lr": 0.02 if early else 0.001,
    }
    for name, value in defaults.items():
        if getattr(args, name) is None:
            setattr(args, name, value)

    runs: list[Found] = []
    for seed in range(args.seeds):
        runs.append(one_run(seed, args))
        write_results(args, gather(runs), settings=vars(args) | {"seeds_done": len(runs)})
    show(args.name, gather(runs))


if __name__ == "__main__":
    main()
