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

import time
import warnings
from typing import Any

import numpy as np
import torch
from _common import argument_parser, detection, gather, machine, prepare, shown, write_results
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold
from skorch import NeuralNetClassifier
from skorch.callbacks import LRScheduler
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler

from sklearn_difficulty import (
    DifficultyScorer,
    TrainingDynamicsScorer,
    TrainingRecord,
    VoGScorer,
)
from sklearn_difficulty.datasets import load_fashion_mnist, make_label_noise
from sklearn_difficulty.training import MLP

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
NOISE: dict[str, dict[str, Any]] = {
    "symmetric": {"rate": 0.2},
    "pair": {"rate": 0.2, "kind": "pair"},
    "instance": {"rate": 0.1, "kind": "instance"},
}
PROBLEMS = ("symmetric", "pair", "instance", "ambiguous", "held-out")
REGIMES = ("stopped early", "memorised")
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


def load(data: str, problem: str, regime: str, seed: int, args: Any) -> tuple[NDArray[Any], ...]:
    """Return training rows (pixels standardised) and labels, held-out rows and labels."""
    if data == "digits":
        X, y = load_digits(return_X_y=True)
        n, n_out = (1_200, 597) if problem == "held-out" else (len(y), 0)
    else:
        train = load_fashion_mnist("train")
        X, y = train.data.reshape(len(train.target), -1), train.target
        n = args.rows
        if problem == "symmetric":
            n = args.rows_memorised if regime == "memorised" else args.rows_symmetric
        n_out = 2_000 if problem == "held-out" else 0
    rows = np.random.RandomState(seed).permutation(len(y))[: n + n_out]
    X, y = X[rows].astype(np.float32), y[rows].astype(np.int64)
    # Pixels that are nearly always the same are not blown up.
    spread = np.maximum(X[:n].std(axis=0), 0.02 * X[:n].std())
    X = (X - X[:n].mean(axis=0)) / spread
    return X[:n], y[:n], X[n:], y[n:]


def mark(
    X: NDArray[Any], y: NDArray[Any], problem: str, seed: int
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]]:
    """Return rows and labels to train on, and which of them are to be found."""
    if problem in NOISE:
        rows = {"X": X} if problem == "instance" else {}
        given, wrong = make_label_noise(y, random_state=seed, **NOISE[problem], **rows)
        return X, given, wrong
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


class Batches(DataLoader):
    """Rows by the batch instead of one by one: half the time of a fit."""

    def __init__(self, dataset, batch_size, shuffle=False, generator=None):
        rows = (
            RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        )
        batches = BatchSampler(rows, batch_size, drop_last=False)
        super().__init__(dataset, sampler=batches, batch_size=None, generator=generator)


def network(data: str, regime: str, n_inputs: int, args: Any) -> NeuralNetClassifier:
    settings = dict(FITS[data, regime])
    if regime == "memorised":
        cosine = {"T_max": settings["max_epochs"], "eta_min": settings["lr"] / 100}
        settings["callbacks"] = [LRScheduler(CosineAnnealingLR, **cosine)]
    return NeuralNetClassifier(
        MLP,
        module__n_inputs=n_inputs,
        module__n_outputs=10,
        module__hidden_units=(256, 128),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        optimizer__fused=True,
        iterator_train=Batches,
        iterator_train__shuffle=True,
        iterator_valid=Batches,
        train_split=None,
        device=args.device,
        verbose=0,
        **settings,
    )


def log_probability(record: TrainingRecord, X: NDArray[Any]) -> NDArray[np.float64]:
    """Return what the final network says, exact also where a probability rounds to 1."""
    logits = record.net.forward(X, training=False)
    return logits.double().log_softmax(dim=1).cpu().numpy()


def out_of_fold(
    net: NeuralNetClassifier, X: NDArray[Any], given: NDArray[Any], seed: int
) -> NDArray[np.float64]:
    """Return minus the log-probability of the given label, of networks that did not see the row."""
    score = np.empty(len(X))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    for fold, (train, test) in enumerate(folds.split(X, given)):
        record = TrainingRecord.from_fit(
            net, X[train], given[train], checkpoints=1, random_state=1_000 + FOLDS * seed + fold
        )
        score[test] = -log_probability(record, X[test])[np.arange(len(test)), given[test]]
    return score


def one_run(data: str, problem: str, regime: str, seed: int, args: Any) -> dict[str, Any]:
    """Train once and return every number of this seed."""
    X, y, X_out, y_out = load(data, problem, regime, seed, args)
    X, given, marked = mark(X, y, problem, seed)
    net = network(data, regime, X.shape[1], args)
    start = time.perf_counter()
    record = TrainingRecord.from_fit(net, X, given, keep_logits=True, random_state=seed)
    fitted = time.perf_counter()
    scores = (*SCORES, GRAND_ALL) if data == "digits" else SCORES
    scorer = DifficultyScorer(record, scores=scores, undefined="max").fit(X, given)
    read = time.perf_counter()

    trajectory = record.trajectory
    accuracy = float((record.net.predict(X) == given).mean())
    assert (accuracy > 0.99) == (regime == "memorised"), f"{data}, {problem}, {regime}: {accuracy}"
    right = trajectory.predicted == trajectory.targets
    true = y if problem in NOISE else given
    run: dict[str, Any] = {
        "rows": len(X),
        "epochs": trajectory.n_epochs,
        "train accuracy, given labels": accuracy,
        "train accuracy, true labels": float((record.net.predict(X) == true).mean()),
        "mean confidence, last epoch": float(trajectory.probability[-1].mean()),
        "share of rows never learned": float((~right).all(axis=0).mean()),
        "seconds": {"fit": fitted - start, "scores": read - fitted},
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
        start = time.perf_counter()
        columns[OUT_OF_FOLD] = out_of_fold(net, X, given, seed)
        run["seconds"][OUT_OF_FOLD] = time.perf_counter() - start
    run["marked"] = float(marked.mean())
    run["found"] = {name: detection(marked, column) for name, column in columns.items()}
    if problem == "symmetric":
        base = run["found"][OUT_OF_FOLD]
        run[f"minus {OUT_OF_FOLD}"] = {
            name: {m: found[m] - base[m] for m in found}
            for name, found in run["found"].items()
            if name != OUT_OF_FOLD
        }
    return run


def show(name: str, result: dict[str, Any]) -> None:
    print(
        f"\n{name}: {result['rows']['mean']:.0f} rows, {result['epochs']['mean']:.0f} epochs, "
        f"marked {result['marked']['mean']:.3f}; train accuracy, given labels "
        f"{shown(result['train accuracy, given labels'])}, true "
        f"{shown(result['train accuracy, true labels'])}; mean confidence "
        f"{shown(result['mean confidence, last epoch'])}, never learned "
        f"{shown(result['share of rows never learned'])}; seconds "
        + ", ".join(f"{key} {value['mean']:.1f}" for key, value in result["seconds"].items())
    )
    differences = result.get(f"minus {OUT_OF_FOLD}", {})
    for score, found in result["found"].items():
        line = f"{score:22} AP {shown(found['ap'])}   AUROC {shown(found['auroc'])}"
        if score in differences:
            line += f"   AP - cross-validation {shown(differences[score]['ap'])}"
        print(line)
    print(f"({machine('cpu')['seconds']} s so far)", flush=True)


def main() -> None:
    parser = argument_parser(__doc__, n_seeds=5)
    parser.set_defaults(name="dynamics_label_noise")
    parser.add_argument("--rows", type=int, default=4_000, help="of Fashion-MNIST")
    parser.add_argument(
        "--rows-symmetric", type=int, default=12_000, help="the same, symmetric, stopped early"
    )
    parser.add_argument(
        "--rows-memorised", type=int, default=4_000, help="the same, symmetric, memorised"
    )
    parser.add_argument("--data", nargs="+", choices=DATA, default=DATA)
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, default=PROBLEMS)
    args = parser.parse_args()
    prepare(args)
    settings = {**vars(args), "fits": {", ".join(key): fit for key, fit in FITS.items()}}

    warnings.filterwarnings("ignore", message=".* have no defined difficulty")
    results: dict[str, Any] = {}
    for problem in args.problems:
        for data in args.data:
            for regime in REGIMES:
                name = f"{data}, {problem}, {regime}"
                seeds = range(args.seeds)
                results[name] = gather([one_run(data, problem, regime, s, args) for s in seeds])
                show(name, results[name])
                # After every cell: a run that is cut short keeps what it has measured.
                written = {"settings": settings, "results": results}
                write_results(args.name, written, device=args.device)


if __name__ == "__main__":
    main()
