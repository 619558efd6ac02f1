# SPDX-License-Identifier: BSD-3-Clause
"""Find wrong labels, choose the cut, filter and retrain: LabelErrorScorer, cleanlab and aum.

A cell is a data set, a kind of noise, a regime and a seed. In each of them five networks are
trained, each on four fifths of the rows, and everyone reads these same networks:

- ours: `LabelErrorScorer` as it is by default; without asking neighbours; and what it does with
  ``noise="class"`` and "instance";
- cleanlab: the class probabilities of the networks as they were in the end, which is 5-fold
  cross-validation, its rank (self-confidence) and its cut (``find_label_issues`` as it is by
  default, which is also what ``CleanLearning`` drops), and the same fed with **our** probabilities,
  so that ranking and cut are credited apart.

One more network is trained on all rows, with the same epochs, for what one training can do: ours
("one_fit", "neighbors") and the package aum. For the last columns the same network is trained on
what is left, with the same seed: on all rows as they are, with true labels, without the rows that
we drop, with the labels that we suggest, and by ``CleanLearning``. Accuracy is that on held-out
rows with right labels.

Regimes: "stopped early" and "memorised", whose accuracy on the given labels is reported. Data:
digits (1,400 rows), 6,000 rows of Fashion-MNIST, breast cancer (400 rows) and 10,000 of the letter
recognition data (a CSV with the label in the first column, ``--letter``; from OpenML otherwise).

``--sets DIR`` measures instead what the same scorers make of published held-out probabilities, in
the ``*.npz`` files of a folder (see `given_probabilities.sets_in`; they are read, not kept), and
``--price`` what they cost; results/label_errors_sets_cpu.json and label_errors_price_cpu.json.

Run: ``python benchmarks/bench_label_errors.py`` (about four hours on one core). Every cell is
written when it ends, to results/label_errors_cells, and is not computed again.
"""

import json
import os
import tempfile
import warnings
from itertools import product
from typing import Any

import numpy as np
import torch
from given_probabilities import ROUNDS, price, sets_in
from problems import REGIMES, in_regime, mlp_net, split, with_noise
from report import RESULTS, argument_parser, parse, plain, seconds_so_far, write_results
from sklearn.base import clone
from summaries import Array, Found, calibration_error, detection, gather, share, show
from timing import Stopwatch

from sklearn_difficulty import LabelErrorScorer, TrainingRecord
from sklearn_difficulty.measures import _noise_channel, estimate_label_noise, label_noise
from sklearn_difficulty.training import ResampledEnsemble

NOISE = (
    *("symmetric 20 %", "pair 20 %", "instance 10 %", "none"),
    *("symmetric 5 %", "instance 30 %", "symmetric 40 %"),
)
ROWS = {"digits": 1_400, "fashion_mnist": 6_000, "breast_cancer": 400, "letter": 10_000}
FITS: dict[tuple[str, str], Found] = {
    ("digits", "stopped early"): {"max_epochs": 10, "lr": 1e-3, "batch_size": 64},
    ("digits", "memorised"): {"max_epochs": 40, "lr": 5e-3, "batch_size": 64},
    ("fashion_mnist", "stopped early"): {"max_epochs": 6, "lr": 3e-4, "batch_size": 64},
    ("fashion_mnist", "memorised"): {"max_epochs": 40, "lr": 2e-3, "batch_size": 128},
    ("breast_cancer", "stopped early"): {"max_epochs": 10, "lr": 1e-3, "batch_size": 32},
    ("breast_cancer", "memorised"): {"max_epochs": 60, "lr": 5e-3, "batch_size": 32},
    ("letter", "stopped early"): {"max_epochs": 10, "lr": 2e-3, "batch_size": 128},
    ("letter", "memorised"): {"max_epochs": 40, "lr": 5e-3, "batch_size": 128},
}
CONSTANTS = {
    "doubt beside slips, 0.35": (label_noise, "_DOUBT_BESIDE_SLIPS"),
    "slips show, 0.25": (label_noise, "_SLIPS_SHOW"),
    "sharper, 5": (label_noise, "_SHARPER"),
    "near, 0.05": (label_noise, "_NEAR"),
    "prior rows, 20": (_noise_channel, "_PRIOR_ROWS"),
}
MEMBERS = 5
REVIEWS = 5


def cut(flagged: Array, wrong: Array) -> dict[str, float]:
    """Return precision, recall and F1 of a cut, undefined where there is nothing to find."""
    hits, n_flagged, n_wrong = (flagged & wrong).sum(), flagged.sum(), wrong.sum()
    return {
        "flagged": share(flagged),
        "precision": share(wrong, flagged),
        "recall": share(flagged, wrong),
        "f1": float(2 * hits / (n_flagged + n_wrong)) if n_wrong else float("nan"),
    }


def of_scorer(scorer: LabelErrorScorer, wrong: Array, true: Any = None) -> Found:
    """Return everything that is asked of a fitted LabelErrorScorer."""
    low, high = scorer.noise_rate_interval_
    suspect = scorer.error_probability_ > 0.5
    return {
        **detection(wrong, scorer.difficulty_),
        **cut(suspect, wrong),
        "rate": scorer.noise_rate_,
        "low": low,
        "high": high,
        "inside": float(low <= wrong.mean() <= high),
        "calibration error": calibration_error(wrong, scorer.error_probability_),
        "class dependence": scorer.class_dependence_,
        "suggested is true": (
            float("nan")
            if true is None
            else share(scorer.suggested_label_ == true, suspect & wrong)
        ),
    }


def of_cleanlab(probabilities: Array, given: Array, wrong: Array) -> Found:
    """Return the rank and the default cut of cleanlab."""
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    flagged = find_label_issues(given, probabilities, n_jobs=1)
    quality = get_label_quality_scores(given, probabilities)
    return {**detection(wrong, -quality), **cut(flagged, wrong), "rate": share(flagged)}


def of_sets(folder: str) -> Found:
    """Return what is found in published probabilities: by us, by cleanlab, by its cut alone."""
    found: Found = {}
    for name, q, given, wrong in sets_in(folder):
        theirs = of_cleanlab(q, given, wrong)
        found[name] = {"rows": len(given), "wrong": share(wrong), "cleanlab": theirs}
        for noise in ("auto", "class", "instance"):
            scorer = LabelErrorScorer("precomputed", noise=noise).fit(q, given)
            found[name][f"ours, {noise}"] = of_scorer(scorer, wrong)
        found[name]["constants"] = of_constants(q, given, wrong)
        print(name, found[name], flush=True)
    return found


def of_constants(q: Array, given: Array, wrong: Array) -> Found:
    """Return the F1 of the cut where each constant of the model is halved, and doubled."""
    found: Found = {}
    for shown, (module, name) in CONSTANTS.items():
        value = getattr(module, name)
        for change, factor in (("halved", 0.5), ("doubled", 2.0)):
            setattr(module, name, factor * value)
            error = estimate_label_noise(q, given).error_probability
            found.setdefault(shown, {})[change] = cut(error > 0.5, wrong)["f1"]
        setattr(module, name, value)
    return found


def of_aum(record: TrainingRecord, given: Array) -> Array:
    """Return minus the area under the margin, by the package."""
    from aum import AUMCalculator

    calculator = AUMCalculator(tempfile.gettempdir())  # writes in finalize only
    ids = list(range(len(given)))
    for logits in record.trajectory.logits:
        calculator.update(torch.from_numpy(logits), torch.from_numpy(given), ids)
    return -np.array([calculator.sums[i] / calculator.counts[i] for i in ids])


def after_review(scorer: LabelErrorScorer, wrong: Array, seed: int) -> dict[str, float]:
    """Return how well 100 reviewed rows tell the rate, and the precision of the default cut."""
    suspect = scorer.error_probability_ > 0.5
    precision = share(wrong, suspect)
    found = []
    for draw in range(REVIEWS):
        plan = scorer.review_plan(100, random_state=100 * seed + draw)
        review = scorer.calibrate(plan.rows, wrong[plan.rows])
        row = review.cuts[np.flatnonzero(review.cuts["cut"] == 0.5)[0]]
        low, high = review.noise_rate_interval
        found.append(
            {
                "within .05": float(abs(row["precision"] - precision) <= 0.05),
                "precision, error": float(abs(row["precision"] - precision)),
                "precision inside": float(
                    row["precision_low"] <= precision <= row["precision_high"]
                ),
                "rate, error": abs(review.noise_rate - wrong.mean()),
                "rate inside": float(low <= wrong.mean() <= high),
            }
        )
    return {key: float(np.mean([f[key] for f in found])) for key in found[0]}


def accuracy(net: Any, X: Any, y: Any, X_out: Any, y_out: Any, seed: int) -> float:
    record = TrainingRecord.from_fit(net, X, y, checkpoints=1, random_state=1_000 + seed)
    return share(record.net.predict(X_out) == y_out)


def of_clean_learning(
    net: Any, X: Any, given: Any, probabilities: Any, X_out: Any, y_out: Any, seed: int
) -> float:
    """Return the accuracy of CleanLearning, which drops rows by the given probabilities."""
    from cleanlab.classification import CleanLearning

    torch.manual_seed(1_000 + seed)
    issues = {"n_jobs": 1}
    learner = CleanLearning(clone(net), find_label_issues_kwargs=issues, seed=seed)
    learner.fit(X, given, pred_probs=probabilities)
    return share(learner.predict(X_out) == y_out)


def one_cell(data: str, noise: str, regime: str, seed: int, args: Any) -> Found:
    """Return every number of one cell."""
    n = ROWS[data]
    X, y, X_out, y_out = split(data, n, min(n, 4_000), seed, args.letter)
    given, wrong = with_noise(y, noise, seed, X)
    fit = in_regime(regime, FITS[data, regime])
    net = mlp_net(X.shape[1], (256, 128), len(np.unique(y)), **fit)

    n_kept = 0 if args.cache is None else len(os.listdir(args.cache))
    watch = Stopwatch()
    ensemble = ResampledEnsemble(
        net,
        n_members=MEMBERS,
        train_size=1 - 1 / MEMBERS,
        stratify=True,
        keep_members=True,
        cache_dir=args.cache,
        random_state=seed,
    ).fit(X, given)
    seconds = {"five trainings": watch.lap()}
    was_trained = args.cache is None or len(os.listdir(args.cache)) > n_kept
    if not was_trained:
        seconds["five trainings"] = float("nan")
    ours = LabelErrorScorer(ensemble).fit(X, given)
    seconds["ours"] = watch.lap()
    last = ensemble.out_of_sample_probability("last")
    single = TrainingRecord.from_fit(
        net, X, given, checkpoints=1, keep_logits=True, random_state=seed
    )
    seconds["one training"] = watch.lap()

    found: Found = {"ours": of_scorer(ours, wrong, y)}
    for name, scorer in {
        "ours, noise class": LabelErrorScorer(ensemble, noise="class"),
        "ours, noise instance": LabelErrorScorer(ensemble, noise="instance"),
        "ours, no neighbours": LabelErrorScorer(ensemble, n_neighbors=None),
        "ours, one_fit": LabelErrorScorer(single, method="one_fit"),
        "ours, neighbors": LabelErrorScorer(single, method="neighbors"),
    }.items():
        if "noise" in name:  # the same probabilities, without asking again
            scorer.set_params(estimator="precomputed")
            found[name] = of_scorer(scorer.fit(ours.probabilities_, given), wrong, y)
        else:
            found[name] = of_scorer(scorer.fit(X, given), wrong, y)
    found["cleanlab"] = of_cleanlab(last, given, wrong)
    found["cleanlab, our probabilities"] = of_cleanlab(ours.probabilities_, given, wrong)
    found["aum, one training"] = detection(wrong, of_aum(single, given))

    suspect = ours.error_probability_ > 0.5
    relabelled = np.where(suspect, ours.suggested_label_, given)
    learn = (X_out, y_out, seed)
    accuracies = {
        "all rows": accuracy(net, X, given, *learn),
        "ours, dropped": accuracy(net, X[~suspect], given[~suspect], *learn),
        "ours, relabelled": accuracy(net, X, relabelled, *learn),
        "CleanLearning": of_clean_learning(net, X, given, last, *learn),
    }
    known = accuracy(net, X, y, *learn) if wrong.any() else accuracies["all rows"]
    accuracies["true labels"] = known
    return {
        "rows": len(X),
        "wrong": share(wrong),
        "train accuracy": ensemble.train_accuracy_,
        "train accuracy, one training": share(single.net.predict(X) == given),
        "held-out accuracy of a member": share(ensemble.predictions_ == y, ~ensemble.masks_),
        "found": found,
        "review": after_review(ours, wrong, seed),
        "accuracy": accuracies,
        "seconds": seconds,
    }


def main() -> None:
    parser = argument_parser(__doc__, name="label_errors", seeds=5)
    parser.add_argument("--data", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--letter", default=None, help="CSV of the letter recognition data")
    parser.add_argument("--cache", default=None, help="where members are kept for another run")
    parser.add_argument("--summary", action="store_true", help="only gather the finished cells")
    parser.add_argument("--sets", default=None, help="folder of published probabilities, *.npz")
    parser.add_argument("--price", action="store_true", help="only measure time and memory")
    args = parse(parser)
    if args.price or args.sets:
        args.name = f"{args.name}_{'price' if args.price else 'sets'}_cpu"
        settings = {"rounds": ROUNDS} if args.price else {}
        write_results(args, price() if args.price else of_sets(args.sets), settings=settings)
        return
    warnings.filterwarnings("ignore", message="When X and pred_probs are both provided")
    cells = RESULTS / f"{args.name}_cells"
    cells.mkdir(parents=True, exist_ok=True)
    seeds = [] if args.summary else range(args.seeds)
    for seed, noise, data, regime in product(seeds, NOISE, args.data, REGIMES):
        file = cells / f"{data}, {noise}, {regime}, {seed}.json".replace(" ", "_")
        if file.exists():
            continue
        cell = one_cell(data, noise, regime, seed, args)
        unfinished = file.with_suffix(".part")
        unfinished.write_text(json.dumps(plain(cell)))
        os.replace(unfinished, file)
        show(f"{data}, {noise}, {regime}, seed {seed}: {seconds_so_far()} s", cell)
    results: Found = {}
    for name in map(", ".join, product(ROWS, NOISE, REGIMES)):
        files = sorted(cells.glob(f"{name}, ".replace(" ", "_") + "*.json"))
        if files:
            results[name] = gather([json.loads(file.read_text()) for file in files])
    settings = {"fits": {", ".join(key): fit for key, fit in FITS.items()}, "members": MEMBERS}
    write_results(args, results, settings=settings)


if __name__ == "__main__":
    main()
