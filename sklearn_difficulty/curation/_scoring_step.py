# SPDX-License-Identifier: BSD-3-Clause
"""A scorer checked and fitted on behalf of a filter."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import _num_samples, check_memory
from torch.utils.data import Dataset

from .._arrays import to_numpy
from .._progress import SILENT, Task
from .._warnings import warn_caller
from ..measures.quadrants import QUADRANT_NAMES
from ..rows.rows import as_rows
from ..scorers._pipelines import check_steps, fit_scorer, scorer_in
from ..scorers._trained_source import is_trained
from ..training.files.folders import check_writable, folder_of
from ..training.files.tensors import content_digest
from ..training.fingerprints.config_hash import training_fingerprint

# Whom messages name as having an attribute; what a scorer has, it declares in `_provides`.
_FOR_EXAMPLE = {
    "error_probability_": "LabelErrorScorer (TargetErrorScorer for regression)",
    "suggested_label_": "LabelErrorScorer or DifficultyQuadrantClassifier",
    "suggested_target_": "TargetErrorScorer",
}
# What will do as well; a selector of rows says how likely it is to select each.
_INSTEAD = {"drop='auto'": "selection_probability_"}

# Of the parameters that all who select rows have in common.
CONSTRAINTS: dict[str, list[Any]] = {
    "scorer": [HasMethods(["fit", "get_params", "set_params"])],
    "drop": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="left")],
    "threshold": [Interval(Real, None, None, closed="neither"), None],
}


def check_scorer(scorer: Any, needed: Mapping[str, str], quadrants: Sequence[str] | None) -> None:
    """Raise before anything is trained, where it is known that the scorer will not do."""
    check_steps(scorer)
    scorer = scorer_in(scorer)
    estimator = getattr(scorer, "estimator", None)
    if isinstance(estimator, str) and estimator == "precomputed":
        raise ValueError(
            f"{type(scorer).__name__}('precomputed') reads class probabilities in place of the "
            "rows, and a filter passes one X to the scorer and on. Fit the scorer alone, and "
            "choose rows by its difficulty_ or error_probability_."
        )
    if quadrants is not None:
        _check_quadrants(scorer, quadrants)
    # Of a class that declares nothing itself, as others' do, only the fit shows what it has.
    provided = vars(type(scorer)).get("_provides")
    for attribute, setting in needed.items():
        if provided is not None and not {attribute, _INSTEAD.get(setting)} & set(provided):
            _refuse_without(attribute, scorer, setting)


def needed_attributes(
    drop: float | str, threshold: float | None, quadrants: Sequence[str] | None
) -> dict[str, str]:
    """Return what `rows_to_drop` reads besides the difficulty, and the setting that asks for it."""
    by_probability = drop == "auto" and threshold is None and quadrants is None
    return {"error_probability_": "drop='auto'"} if by_probability else {}


def forget(estimator: Any) -> None:
    """Drop the fitted attributes, so that a fit that fails leaves nothing of the one before it."""
    for name in [n for n in vars(estimator) if n.endswith("_") and not n.startswith("_")]:
        delattr(estimator, name)


def attribute_of(scorer: Any, attribute: str, setting: str) -> NDArray[Any]:
    """Return an attribute of a fitted scorer that some setting needs, or raise."""
    if getattr(scorer, attribute, None) is None:
        _refuse_without(attribute, scorer, setting)
    return np.asarray(getattr(scorer, attribute))


def _refuse_without(attribute: str, scorer: Any, setting: str) -> None:
    """Raise, and say which scorer has the attribute."""
    otherwise = ", or set drop to a share of the rows, or threshold" if "drop" in setting else ""
    because = getattr(scorer, "_no_noise_because", None)
    if because is not None:
        raise ValueError(
            f"{setting} needs {attribute}, which the scorer does not have: {because}"
            + (" Or set drop to a share of the rows." if otherwise else "")
        )
    raise ValueError(
        f"{setting} needs a scorer with {attribute}, which {type(scorer).__name__} does not have. "
        f"Use {_FOR_EXAMPLE[attribute]}{otherwise}."
    )


def _check_quadrants(scorer: Any, quadrants: Sequence[str]) -> None:
    """Raise unless the scorer knows these quadrants."""
    if "difficulty_quadrant_" not in getattr(scorer, "_provides", ()):
        raise ValueError(
            f"quadrants={quadrants!r} needs a DifficultyQuadrantClassifier as scorer; "
            f"{type(scorer).__name__} knows no quadrants."
        )
    if len(quadrants) == 0 or not set(quadrants) <= set(QUADRANT_NAMES):
        raise ValueError(
            f"quadrants must name some of {list(QUADRANT_NAMES)}; got {list(quadrants)}."
        )


def fitted_scorer(
    scorer: Any,
    X: Any,
    y: Any,
    params: Mapping[str, Any],
    memory: Any = None,
    cache_key: str | None = None,
    progress: Task = SILENT,
) -> Any:
    """Return a fitted clone of a scorer that scores every row, from the cache if it is there.

    Of a Pipeline, `scorer_in` is what has the scores.
    """
    if isinstance(X, Dataset):
        raise TypeError(
            "X is a Dataset, whose labels lie inside it. Fit the scorer on it, and choose rows by "
            "its difficulty_: torch.utils.data.Subset(dataset, indices)."
        )
    # What was trained before is quick to read, and two fitted estimators can have equal parameters.
    if memory is None or is_trained(getattr(scorer_in(scorer), "estimator", None)):
        fitted = _fit(clone(scorer), X, y, dict(params), progress)
    else:
        fitted = _remembered(scorer, X, y, params, memory, cache_key, progress)
    last = scorer_in(fitted)
    difficulty: Any = getattr(last, "difficulty_", None)
    n = _num_samples(y)
    if np.shape(difficulty) != (n,):
        raise ValueError(
            f"{type(last).__name__} must have a difficulty_ of shape ({n},) after fit, one "
            f"number per row; its shape is {np.shape(difficulty)}.{_as_judge(last)}"
        )
    return fitted


def _as_judge(scorer: Any) -> str:
    """Return how what only predicts can say which rows are suspect, for a message."""
    if hasattr(scorer, "difficulty_") or not (is_classifier(scorer) or is_regressor(scorer)):
        return ""
    wrapper = "LabelErrorScorer" if is_classifier(scorer) else "TargetErrorScorer"
    return f" To let it judge the rows, pass scorer={wrapper}({type(scorer).__name__}(...))."


def _remembered(
    scorer: Any,
    X: Any,
    y: Any,
    params: Mapping[str, Any],
    memory: Any,
    cache_key: str | None,
    progress: Task,
) -> Any:
    """Return a fitted clone of a scorer, from the cache if it is there."""
    key = training_fingerprint(
        scorer, torch.get_num_threads(), name="The scorer", cache_key=cache_key
    )
    scorer = clone(scorer)
    try:
        pickle.dumps(scorer)
    except Exception as error:
        raise TypeError(
            f"memory keeps fitted scorers as pickles, which this one cannot become ({error}). Use "
            "functions and classes that are defined at the top level of a module, or set "
            "memory=None."
        ) from error
    if isinstance(memory, str):
        memory = str(folder_of(memory))
        check_writable(Path(memory), "memory")
    # joblib would hash tensors by where they lie, and overlook the user's code.
    cached = check_memory(memory).cache(_fit_and_seal, ignore=["scorer", "progress"])
    given = scorer, _as_arrays(X), _as_arrays(y), _as_arrays(params), key, progress
    sealed = cached(*given)
    if not _is_whole(sealed):
        warn_caller("A scorer in memory has changed since it was written; it is fitted anew.")
        cached.call_and_shelve(*given).clear()
        sealed = cached(*given)
    content, seal = sealed
    return content if seal is None else pickle.loads(content)


def _fit_and_seal(
    scorer: Any, X: Any, y: Any, params: dict[str, Any], key: str | None, progress: Task
) -> tuple[Any, str | None]:
    """Fit a scorer and return its pickle with a digest; without one itself, if it has no pickle."""
    fitted = _fit(scorer, X, y, params, progress)
    try:
        content = pickle.dumps(fitted)
    except Exception:  # joblib warns that it cannot be kept
        return fitted, None
    return content, content_digest(content)


def _is_whole(sealed: Any) -> bool:
    """Tell whether what comes from the cache is what was written."""
    if not isinstance(sealed, tuple) or len(sealed) != 2:
        return False
    content, seal = sealed
    return seal is None or (isinstance(content, bytes) and content_digest(content) == seal)


def _fit(scorer: Any, X: Any, y: Any, params: dict[str, Any], progress: Task) -> Any:
    """Fit a scorer, and return it."""
    with progress.fit_of(scorer_in(scorer), "score"):
        rows = fit_scorer(scorer, X, y, params)
    _refuse_other_rows(scorer_in(scorer), rows, y)
    return scorer


def _as_arrays(values: Any) -> Any:
    """Return tensors as ndarrays, also those in mappings; leave anything else as it is."""
    if isinstance(values, Mapping) and not issparse(values):
        return {name: _as_arrays(value) for name, value in values.items()}
    return to_numpy(values)


def _refuse_other_rows(scorer: Any, X: Any, y: Any) -> None:
    """Raise if a scorer has read a record of other rows: these must not decide about training."""
    record = getattr(scorer, "record_", None)
    if record is None or not is_trained(scorer.estimator):
        return
    rows = as_rows(X, collate_fn=record.collate_fn, columns=record.columns)
    difference = record.difference(rows, record.targets(rows, y))
    if difference is not None:
        raise ValueError(
            f"The scorer's network was trained on other rows ({difference}), so that their "
            "difficulty as training rows is not known. Pass the net as the scorer's estimator."
        )


def describe_rows(estimator: Any, *fitted: Any) -> None:
    """Set what an estimator has seen of its rows, from the first fitted part that knows."""
    for name in ("n_features_in_", "feature_names_in_"):
        known = [getattr(part, name) for part in fitted if hasattr(part, name)]
        if known:
            setattr(estimator, name, known[0])
