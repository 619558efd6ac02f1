# SPDX-License-Identifier: BSD-3-Clause
"""Which score of one training finds what: wrong labels, ambiguous rows, misclassified rows.

Every score is read from the same `TrainingRecord`, one a data set, problem, regime and seed.
Problems:

- "symmetric", "pair": 20 % wrong labels, to any other or to the next class; "instance": 10 %, of
  the rows that a logistic regression finds easiest to confuse (`make_label_noise`). Marked: wrong.
- "ambiguous": 10 % of the rows are replaced by the mean of themselves and a row of another class,
  with the label of one of the two, by lot. Marked: these. Other labels are right.
- "held-out": clean training labels; marked are held-out rows (2,000; digits 597) that the final
  network misclassifies, scored without labels. Only scores that unseen rows can have.

Regimes: "stopped early" (10 epochs at a small learning rate) and "memorised" (40 or 50 epochs;
train accuracy on the given labels above 99 %, asserted), both the MLP 784-256-128-10 (digits
64-256-128-10), pixels standardised, Adam, the latter with a cosine schedule. Data: 4,000 training
rows of Fashion-MNIST, 12,000 for symmetric noise when stopped early (as many memorised, with
cross-validation, take ten minutes more: --rows-memorised 12000), and digits (all 1,797 rows; 1,200
for "held-out"). Seeds differ in the rows (digits: held-out split only), noise, initialisation and
row order.

With symmetric noise also what confident learning ranks by: 1 - the probability of the given label
out of fold, from 5-fold cross-validation with the same network and the same epochs (5 fits instead
of 1), and the paired differences of all scores to it. All scores as they are by default, except
that a row without a score counts as the hardest, and that "grand_all", the slowest by far, is read
at 3 instead of 10 checkpoints and on digits only.

Run: ``python benchmarks/bench_dynamics_label_noise.py`` (about 20 minutes on one core).
"""

from functools import partial
from itertools import product
from typing import Any

import numpy as np
from problems import REGIMES, Batches, check_regime, in_regime, mlp_net, split, with_noise
from report import argument_parser, parse, run_cells
from sklearn.model_selection import StratifiedKFold
from skorch import NeuralNetClassifier
from summaries import Array, Found, detection, minus, share
from timing import Stopwatch

from sklearn_difficulty import DifficultyScorer, TrainingDynamicsScorer, TrainingRecord, VoGScorer

MEASURES = (
    *("confidence", "aum", "loss", "el2n", "entropy", "grand"),
    *("variability", "aleatoric", "correctness", "forgetting"),
    *("iteration_learned", "iteration_settled", "final_loss"),
)
GRAND_ALL = TrainingDynamicsScorer(measure="grand_all", checkpoints=3, undefined="max")
SCORES: tuple[Any, ...] = (
    *MEASURES,
    ("vog", VoGScorer(undefined="max")),
    ("vog, loss", VoGScorer(target="loss", undefined="max")),
    *("prediction_depth", "neighbor_confidence", "output_margin", "input_margin"),
)
NOISE = {"symmetric": "symmetric 20 %", "pair": "pair 20 %", "instance": "instance 10 %"}
PROBLEMS = (*NOISE, "ambiguous", "held-out")
DATA = ("digits", "fashion_mnist")
FITS = {
    ("digits", "stopped early"): {"max_epochs": 10, "lr": 3e-4, "batch_size": 64},
    ("digits", "memorised"): {"max_epochs": 40, "lr": 5e-3, "batch_size": 64},
    ("fashion_mnist", "stopped early"): {"max_epochs": 10, "lr": 3e-4, "batch_size": 64},
    ("fashion_mnist", "memorised"): {"max_epochs": 50, "lr": 2e-3, "batch_size": 128},
}
FOLDS = 5
SOFTMAX = "1 - max softmax"
OUT_OF_FOLD = "cross-validation"


def load(data: str, problem: str, regime: str, seed: int, args: Any) -> tuple[Array, ...]:
    """Return training rows (pixels standardised) and labels, held-out rows and labels."""
    if data == "digits":
        n, n_out = (1_200, 597) if problem == "held-out" else (None, 0)
        return split(data, n, n_out, seed)
    n = args.rows
    if problem == "symmetric":
        n = args.rows_memorised if regime == "memorised" else args.rows_symmetric
    return split(data, n, 2_000 if problem == "held-out" else 0, seed)


def mark(X: Array, y: Array, problem: str, seed: int) -> tuple[Array, Array, Array]:
    """Return rows and labels to train on, and which of them are to be found."""
    if problem in NOISE:
        return X, *with_noise(y, NOISE[problem], seed, X)
    marked = np.zeros(len(y), dtype=bool)
    if problem == "held-out":
        return X, y, marked
    rng = np.random.RandomState(seed)
    mixed, given = X.copy(), y.copy()
    for row in rng.permutation(len(y))[: round(0.1 * len(y))]:
        other = rng.choice(np.flatnonzero(y != y[row]))
        mixed[row] = (X[row] + X[other]) / 2
        given[row] = y[rng.choice([row, other])]
        marked[row] = True
    return mixed, given, marked


def network(data: str, regime: str, n_inputs: int, args: Any) -> NeuralNetClassifier:
    return mlp_net(
        n_inputs,
        (256, 128),
        optimizer__fused=True,
        iterator_train=Batches,
        iterator_valid=Batches,
        device=args.device,
        **in_regime(regime, FITS[data, regime]),
    )


def log_probability(record: TrainingRecord, X: Array) -> Array:
    """Return what the final network says, exact also where a probability rounds to 1."""
    logits = record.net.forward(X, training=False)
    return logits.double().log_softmax(dim=1).cpu().numpy()


def out_of_fold(net: NeuralNetClassifier, X: Array, given: Array, seed: int) -> Array:
    """Return minus the log-probability of the given label, of networks that did not see the row."""
    score = np.empty(len(X))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    for fold, (train, test) in enumerate(folds.split(X, given)):
        record = TrainingRecord.from_fit(
            net, X[train], given[train], checkpoints=1, random_state=1_000 + FOLDS * seed + fold
        )
        score[test] = -log_probability(record, X[test])[np.arange(len(test)), given[test]]
    return score


def one_run(data: str, problem: str, regime: str, seed: int, args: Any) -> Found:
    """Train once and return every number of this seed."""
    X, y, X_out, y_out = load(data, problem, regime, seed, args)
    X, given, marked = mark(X, y, problem, seed)
    net = network(data, regime, X.shape[1], args)
    watch = Stopwatch()
    record = TrainingRecord.from_fit(net, X, given, keep_logits=True, random_state=seed)
    seconds = {"fit": watch.lap()}
    scores = (*SCORES, GRAND_ALL) if data == "digits" else SCORES
    scorer = DifficultyScorer(record, scores=scores, undefined="max").fit(X, given)
    seconds["scores"] = watch.lap()

    trajectory, predicted = record.trajectory, record.net.predict(X)
    accuracy = share(predicted == given)
    check_regime(regime, accuracy, f"{data}, {problem}")
    right = trajectory.predicted == trajectory.targets
    run: Found = {
        "rows": len(X),
        "epochs": trajectory.n_epochs,
        "train accuracy, given labels": accuracy,
        "train accuracy, true labels": share(predicted == (y if problem in NOISE else given)),
        "mean confidence, last epoch": float(trajectory.probability[-1].mean()),
        "share of rows never learned": share(~right.any(axis=0)),
        "seconds": seconds,
    }
    if problem == "held-out":
        names = scorer.get_feature_names_out()
        columns = dict(zip(names, scorer.transform(X_out).T, strict=True))
        says = log_probability(record, X_out)
        # The logarithm of what the other classes have: no tie where the largest rounds to 1.
        columns[SOFTMAX] = np.log(-np.expm1(np.minimum(says.max(axis=1), -1e-300)))
        marked = says.argmax(axis=1) != y_out
    else:
        columns = dict(zip(scorer.score_names_, scorer.difficulties_.T, strict=True))
    if problem == "symmetric":
        watch.lap()
        columns[OUT_OF_FOLD] = out_of_fold(net, X, given, seed)
        seconds[OUT_OF_FOLD] = watch.lap()
    run["marked"] = share(marked)
    run["found"] = {name: detection(marked, column) for name, column in columns.items()}
    if problem == "symmetric":
        base = run["found"][OUT_OF_FOLD]
        run[f"minus {OUT_OF_FOLD}"] = {
            name: minus(found, base) for name, found in run["found"].items() if name != OUT_OF_FOLD
        }
    return run


def main() -> None:
    parser = argument_parser(
        __doc__,
        name="dynamics_label_noise",
        seeds=5,
        rows=(4_000, "of Fashion-MNIST"),
        rows_symmetric=(12_000, "the same, symmetric, stopped early"),
        rows_memorised=(4_000, "the same, symmetric, memorised"),
    )
    parser.add_argument("--data", nargs="+", choices=DATA, default=DATA)
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, default=PROBLEMS)
    args = parse(parser)
    settings = {**vars(args), "fits": {", ".join(key): fit for key, fit in FITS.items()}}

    cells = {
        f"{data}, {problem}, {regime}": [
            partial(one_run, data, problem, regime, seed, args) for seed in range(args.seeds)
        ]
        for problem, data, regime in product(args.problems, args.data, REGIMES)
    }
    run_cells(args, cells, settings)


if __name__ == "__main__":
    main()
