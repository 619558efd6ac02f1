# SPDX-License-Identifier: BSD-3-Clause
"""Numbers of one run, and what is left of them over seeds."""

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

Array = NDArray[Any]
Found = dict[str, Any]  # numbers by what they say: of one run, or over seeds
DETECTION = ("auroc", "ap")


def detection(marked: Array, score: Array) -> dict[str, float]:
    """Return AUROC and average precision of a score for marked rows; NaN where none is marked."""
    if not marked.any():
        return dict.fromkeys(DETECTION, math.nan)
    return {
        "auroc": float(roc_auc_score(marked, score)),
        "ap": float(average_precision_score(marked, score)),
    }


def reliability(marked: Array, probability: Array) -> dict[str, dict[str, float]]:
    """Return how many are marked in ten bins of a probability, and how many it promises.

    All three are shares of all rows, so that they can be added up.
    """
    found = {}
    for i in range(10):
        inside = np.minimum((10 * probability).astype(int), 9) == i
        found[f"from {i / 10}"] = {
            "rows": share(inside),
            "promised": float(np.where(inside, probability, 0).mean()),
            "marked": share(inside & marked),
        }
    return found


def calibration_error(marked: Array, probability: Array) -> float:
    """Return the expected calibration error of probabilities, in ten bins of equal width."""
    bins = reliability(marked, probability).values()
    return float(sum(abs(one["promised"] - one["marked"]) for one in bins))


def minus(one: Found, other: Found) -> dict[str, float]:
    """Return by how much one detection is better than another."""
    return {measure: one[measure] - other[measure] for measure in DETECTION}


def share(part: Any, among: Any = None) -> float:
    """Return the share of True, among some rows; NaN where there are none."""
    part = part if among is None else part[among]
    return float(part.mean()) if np.size(part) else math.nan


def pearson(a: Any, b: Any) -> float:
    """Return the correlation where both are defined; NaN where one is constant there."""
    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() < 3 or np.ptp(a[both]) == 0 or np.ptp(b[both]) == 0:
        return math.nan
    return float(np.corrcoef(a[both], b[both])[0, 1])


def nan_mean(arrays: Any) -> Array:
    """Return the mean over the first axis of what is not NaN; NaN where nothing is defined."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Mean of empty slice")
        return np.nanmean(arrays, axis=0)


def over_seeds(values: Sequence[Any]) -> Found:
    """Return mean and standard error of the mean; of single numbers also that of every seed."""
    array = np.asarray(values, dtype=np.float64)
    error = np.full(array.shape[1:], math.nan)
    if len(array) > 1:
        error = array.std(axis=0, ddof=1) / math.sqrt(len(array))
    summary = {"mean": array.mean(axis=0), "se": error}
    return summary | {"per_seed": array} if array.ndim == 1 else summary


def gather(runs: Sequence[Found]) -> Found:
    """Turn one (nested) dict of numbers per seed into one dict of `over_seeds`."""
    return {
        key: gather([run[key] for run in runs])
        if isinstance(value, dict)
        else over_seeds([run[key] for run in runs])
        for key, value in runs[0].items()
    }


def show(name: str, found: Any, indent: str = "") -> None:
    """Print everything in a (nested) dict of `over_seeds`, what belongs together on a line."""
    if not isinstance(found, dict) or "mean" in found:
        print(f"{indent}{name}  {_text(found)}", flush=True)
    elif all(not isinstance(item, dict) or "mean" in item for item in found.values()):
        cells = ", ".join(f"{key} {_text(item)}" for key, item in found.items())
        print(f"{indent}{name}  {cells}", flush=True)
    else:
        print(f"{indent}{name}", flush=True)
        width = max(map(len, found))
        for key, item in found.items():
            show(key.ljust(width), item, indent + "  ")


def _text(summary: Any) -> str:
    """Return 'mean ± standard error', or the means of a curve, and what else is known."""
    if not isinstance(summary, dict):
        return _number(summary)
    if np.ndim(summary["mean"]):
        return _number(summary["mean"])
    text = f"{_number(summary['mean'])} ± {_number(summary['se'])}"
    others = (f"{k} {v}" for k, v in summary.items() if k not in ("mean", "se", "per_seed"))
    return " ".join([text, *(f"({other})" for other in others)])


def _number(value: Any) -> str:
    """Return a number with three digits, an array of them, or what is none as it is."""
    if isinstance(value, np.ndarray | list):
        return " ".join(map(_number, np.ravel(value)))
    if isinstance(value, float | np.floating):
        return f"{value:.3f}" if value == 0 or abs(value) >= 0.1 else f"{value:.3g}"
    return str(value)
