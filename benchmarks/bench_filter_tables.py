# SPDX-License-Identifier: BSD-3-Clause
"""Drop, relabel or weigh what is suspect: tables, with scikit-learn's classifiers.

A classifier judges the rows by 5-fold cross-validation, `LabelErrorScorer` ("precomputed", as it is
by default) says which labels are suspect, and the same classifier is trained on what each action
leaves: all rows as they are, without the suspect ones, with the suggested label for them, with it
where its probability is above a bound and without the others, with weights of one minus the error
probability, and with true labels. Accuracy is that on held-out rows with right labels; gains are
paired with that of all rows as they are.

Data: digits (1,200 rows), breast cancer (400) and wine (118) of scikit-learn and, where a CSV is
given, 6,000 of the diamonds: their cut, of five kinds, from what else is known of them (the table
comes with ggplot2, plotnine and seaborn). Columns that are words become their rank in the alphabet.

Run: ``python benchmarks/bench_filter_tables.py --diamonds diamonds.csv``.
"""

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from problems import with_noise
from report import argument_parser, parse, seconds_so_far, write_results
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from summaries import Array, Found, gather, share, show

from sklearn_difficulty import LabelErrorScorer

NOISE = (
    *("none", "symmetric 5 %", "symmetric 20 %", "symmetric 40 %"),
    *("pair 20 %", "instance 10 %", "instance 30 %"),
)
BOUNDS = (0.6, 0.7, 0.8, 0.9)
LOADERS = {"digits": load_digits, "breast cancer": load_breast_cancer, "wine": load_wine}
ROWS = {"digits": 1_200, "breast cancer": 400, "wine": 118, "diamonds": 6_000}
LR, BOOSTING = "logistic regression", "gradient boosting"
MODELS = {
    LR: make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300)),
    BOOSTING: HistGradientBoostingClassifier(max_iter=40, max_leaf_nodes=15, random_state=0),
}


def load(data: str, args: Any) -> tuple[Array, Array]:
    """Return the rows of a table, and codes of their labels."""
    if data != "diamonds":
        return LOADERS[data](return_X_y=True)
    table = pd.read_csv(args.diamonds)
    y = np.unique(table.pop("cut").to_numpy(str), return_inverse=True)[1]
    is_number = [pd.api.types.is_numeric_dtype(table[name]) for name in table]
    columns = [
        table[name].to_numpy()
        if number
        else np.unique(table[name].to_numpy(str), return_inverse=True)[1]
        for name, number in zip(table, is_number, strict=True)
    ]
    return np.column_stack(columns).astype(float), y


def one_run(data: str, model: str, noise: str, seed: int, args: Any) -> Found:
    """Return the accuracies of one seed."""
    X, y = load(data, args)
    n = ROWS[data]
    X, X_out, y, y_out = train_test_split(
        X, y, train_size=n, test_size=min(n, len(y) - n), random_state=seed, stratify=y
    )
    given, _ = with_noise(y, noise, seed, X)
    clf = MODELS[model]
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    q = cross_val_predict(clf, X, given, cv=folds, method="predict_proba")
    scorer = LabelErrorScorer("precomputed").fit(q, given)
    suspect, suggested = scorer.error_probability_ > 0.5, scorer.suggested_label_
    confidence = scorer.suggested_label_confidence_

    def accuracy(labels: Array, rows: Array, weight: Array | None = None) -> float:
        last = clf.steps[-1][0] if hasattr(clf, "steps") else None
        name = f"{last}__sample_weight" if last else "sample_weight"
        params = {} if weight is None else {name: weight}
        fitted = clone(clf).fit(X[rows], labels[rows], **params)
        return share(fitted.predict(X_out) == y_out)

    every = np.ones(len(y), dtype=bool)
    relabelled = np.where(suspect, suggested, given)
    accuracies = {
        "all rows": accuracy(given, every),
        "dropped": accuracy(given, ~suspect),
        "relabelled": accuracy(relabelled, every),
        "weighed": accuracy(given, every, 1 - scorer.error_probability_),
        "true labels": accuracy(y, every),
    } | {
        f"relabelled above {bound}": accuracy(relabelled, ~suspect | (confidence > bound))
        for bound in BOUNDS
    }
    return {
        "flagged": share(suspect),
        "suggested is true": share((suggested == y)[suspect]),
        "accuracy": accuracies,
        "gain": {name: value - accuracies["all rows"] for name, value in accuracies.items()},
    }


def main() -> None:
    parser = argument_parser(__doc__, name="filter_tables", seeds=3)
    parser.add_argument("--diamonds", default=None, help="CSV of the diamonds")
    args = parse(parser)
    results: Found = {}
    data = [name for name in ROWS if args.diamonds or name != "diamonds"]
    for name, model, noise in product(data, MODELS, NOISE):
        if (name, model) == ("digits", BOOSTING):  # ten classes: too slow
            continue
        runs = [one_run(name, model, noise, seed, args) for seed in range(args.seeds)]
        results[f"{name}, {model}, {noise}"] = found = gather(runs)
        show(f"{name}, {model}, {noise}: {seconds_so_far()} s", found["gain"])
    settings = {"rows": {name: ROWS[name] for name in data}, "bounds": BOUNDS}
    write_results(args, results, settings=settings)


if __name__ == "__main__":
    main()
