# SPDX-License-Identifier: BSD-3-Clause
"""Find wrong labels, choose the cut, filter and retrain: LabelErrorScorer, cleanlab and aum.

A cell is a data set, a kind of noise, a regime and a seed. In each of them five networks are
trained, each on four fifths of the rows, and everyone reads these same networks:

- ours: `LabelErrorScorer` as it is by default; without asking neighbours; and what it does with
  ``noise="class"`` and "instance";
- cleanlab: the class probabilities of the networks as they were in the end, which is 5-fold
  cross-validation, the cut of ``find_label_issues`` as it is by default, and three orders: by
  self-confidence (all rows), the list that ``find_label_issues`` returns (rows that it does not
  flag are tied), and this list with the other rows behind it by self-confidence; and the same fed
  with **our** probabilities, so that ranking and cut are credited apart.

One more network is trained on all rows, with the same epochs, for what one training can do: ours
("one_fit", "neighbors") and the package aum. For the last columns the same network is trained on
what is left, with the same seeds: on all rows as they are, with true labels, without the rows that
we drop, with the labels that we suggest, with these where they are sure and without the others, and
without the rows that cleanlab flags, which is what ``CleanLearning`` does. Accuracy is that on
held-out rows with right labels.

Regimes: "stopped early" and "memorised", whose accuracy on the given labels is reported. Data:
digits (1,400 rows), 6,000 rows of Fashion-MNIST, breast cancer (400 rows) and, where ``--letter``
names a CSV with the label in the first column, 10,000 of the letter recognition data.

``--sets DIR`` measures instead what the same scorers make of published held-out probabilities, in
the ``*.npz`` files of a folder (see `given_probabilities.sets_in`; they are read, not kept), and
``--price`` what they cost; results/label_errors_sets_cpu.json and label_errors_price_cpu.json.

Run: ``python benchmarks/bench_label_errors.py`` (about an hour and a half on one core). What is
trained is kept in results/label_errors_cells, whatever the model of the noise makes of it: after a
change of the model another run judges all cells anew, and trains only on other rows and labels.
"""

from itertools import product
from typing import Any

import numpy as np
from given_probabilities import ROUNDS, price, sets_in
from problems import REGIMES
from report import argument_parser, parse, seconds_so_far, write_results
from summaries import Array, Found, calibration_error, detection, gather, reliability, share, show
from trained_cells import DROPPED, FITS, MEMBERS, ROWS, Cell, kept_file

from sklearn_difficulty import LabelErrorScorer
from sklearn_difficulty.measures import _noise_channel, estimate_label_noise, label_noise

NOISE = (
    *("symmetric 20 %", "pair 20 %", "instance 10 %", "none"),
    *("symmetric 5 %", "instance 30 %", "symmetric 40 %"),
)
CONSTANTS = {
    "doubt beside slips, 0.35": (label_noise, "_DOUBT_BESIDE_SLIPS"),
    "slips show, 0.25": (label_noise, "_SLIPS_SHOW"),
    "sharper, 5": (label_noise, "_SHARPER"),
    "near, 0.05": (label_noise, "_NEAR"),
    "prior rows, 20": (_noise_channel, "_PRIOR_ROWS"),
}
REVIEWS = 5
SURE = 0.8  # of a suggested label, to relabel


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
        "width": high - low,
        "inside": float(low <= wrong.mean() <= high),
        "calibration error": calibration_error(wrong, scorer.error_probability_),
        "class dependence": scorer.class_dependence_,
        "suggested is true": (
            float("nan")
            if true is None
            else share(scorer.suggested_label_ == true, suspect & wrong)
        ),
    }


def of_single_training(scorer: LabelErrorScorer, wrong: Array) -> Found:
    """Return what is found from one training; NaN where it tells nothing of the noise."""
    found = {**detection(wrong, scorer.difficulty_), "told": float(hasattr(scorer, "cuts_"))}
    told = of_scorer(scorer, wrong) if found["told"] else {}
    numbers = ("flagged", "f1", "rate", "inside", "width", "calibration error")
    return found | {key: told.get(key, float("nan")) for key in numbers}


def of_cleanlab(probabilities: Array, given: Array, wrong: Array) -> tuple[Found, Array]:
    """Return the orders and the default cut of cleanlab, and which rows it flags."""
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    flagged = find_label_issues(given, probabilities, n_jobs=1)
    doubt = 1 - get_label_quality_scores(given, probabilities)
    listed = {"its list": flagged * (1 + doubt), "its list first": flagged + doubt}
    found = {
        **detection(wrong, doubt),
        **{f"ap, {name}": detection(wrong, order)["ap"] for name, order in listed.items()},
        **cut(flagged, wrong),
        "rate": share(flagged),
    }
    return found, flagged


def of_sets(folder: str) -> Found:
    """Return what is found in published probabilities: by us, by cleanlab, by its cut alone."""
    found: Found = {}
    for name, q, given, wrong in sets_in(folder):
        theirs, _ = of_cleanlab(q, given, wrong)
        found[name] = {"rows": len(given), "wrong": share(wrong), "cleanlab": theirs}
        for noise in ("auto", "class", "instance"):
            scorer = LabelErrorScorer("precomputed", noise=noise).fit(q, given)
            found[name][f"ours, {noise}"] = of_scorer(scorer, wrong)
            if noise == "auto":
                found[name]["reliability"] = reliability(wrong, scorer.error_probability_)
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


def judged(cell: Cell) -> Found:
    """Return every number of one cell."""
    X, y, given, wrong = cell.X, cell.y, cell.given, cell.wrong
    ours = LabelErrorScorer("precomputed").fit(cell.q, given)
    found: Found = {"ours": of_scorer(ours, wrong, y)}
    for name, scorer in (
        ("ours, one_fit", LabelErrorScorer(cell.record, method="one_fit")),
        ("ours, neighbors", LabelErrorScorer(cell.record, method="neighbors")),
    ):
        found[name] = of_single_training(scorer.fit(X, given), wrong)
    for name, scorer, read in (
        ("ours, noise class", LabelErrorScorer("precomputed", noise="class"), cell.q),
        ("ours, noise instance", LabelErrorScorer("precomputed", noise="instance"), cell.q),
        ("ours, no neighbours", LabelErrorScorer("precomputed"), cell.q_alone),
    ):
        found[name] = of_scorer(scorer.fit(read, given), wrong, y)
    found["cleanlab"], flagged = of_cleanlab(cell.q_last, given, wrong)
    found["cleanlab, our probabilities"], _ = of_cleanlab(cell.q, given, wrong)
    found["aum, one training"] = detection(wrong, cell.aum)

    suspect, suggested = ours.error_probability_ > 0.5, ours.suggested_label_
    sure = ours.suggested_label_confidence_ > SURE
    trained_on = {
        "all rows": given,
        "ours, dropped": np.where(suspect, DROPPED, given),
        "ours, relabelled": np.where(suspect, suggested, given),
        "ours, relabelled if sure": np.where(suspect, np.where(sure, suggested, DROPPED), given),
        "cleanlab, dropped": np.where(flagged, DROPPED, given),
        "true labels": y,
    }
    accuracies = {name: cell.accuracy(labels) for name, labels in trained_on.items()}
    return {
        **cell.facts,
        "found": found,
        "reliability": reliability(wrong, ours.error_probability_),
        "review": after_review(ours, wrong, cell.seed),
        "accuracy": accuracies,
        "gain": {name: value - accuracies["all rows"] for name, value in accuracies.items()},
    }


def main() -> None:
    parser = argument_parser(__doc__, name="label_errors", seeds=3)
    parser.add_argument("--data", nargs="+", choices=ROWS, default=None)
    parser.add_argument("--letter", default=None, help="CSV of the letter recognition data")
    parser.add_argument("--train", action="store_true", help="only train what is not there yet")
    parser.add_argument("--kept", action="store_true", help="only judge what is there already")
    parser.add_argument("--sets", default=None, help="folder of published probabilities, *.npz")
    parser.add_argument("--price", action="store_true", help="only measure time and memory")
    args = parse(parser)
    if args.price or args.sets:
        args.name = f"{args.name}_{'price' if args.price else 'sets'}_cpu"
        settings = {"rounds": ROUNDS} if args.price else {}
        write_results(args, price() if args.price else of_sets(args.sets), settings=settings)
        return
    data = args.data or [name for name in ROWS if args.letter or name != "letter"]
    results: Found = {}
    for name, noise, regime in product(data, NOISE, REGIMES):
        which = [(name, noise, regime, seed) for seed in range(args.seeds)]
        cells = (Cell(*cell, args) for cell in which if not args.kept or kept_file(*cell).exists())
        if args.train:
            print(*(cell.facts for cell in cells), f"{seconds_so_far()} s", sep="\n", flush=True)
            continue
        results[f"{name}, {noise}, {regime}"] = found = gather([judged(cell) for cell in cells])
        show(f"{name}, {noise}, {regime}: {seconds_so_far()} s", found)
    if results:
        fits = {", ".join(key): fit for key, fit in FITS.items() if key[0] in data}
        write_results(args, results, settings={"fits": fits, "members": MEMBERS})


if __name__ == "__main__":
    main()
