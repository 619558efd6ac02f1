# SPDX-License-Identifier: BSD-3-Clause
"""Fit a scorer, decide which of its rows are to go, and take the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing, column_or_1d, indexable
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import _num_samples, check_memory

from ..measures.quadrants import QUADRANT_NAMES
from ..scorers.label_error import LabelErrorScorer
from ..training.caller import warn_caller
from ..training.fingerprint import fingerprint
from ..training.rows import check_rows, is_dataset, to_numpy
from ..training.trained import TRAINED_TYPES
from .quadrants import DifficultyQuadrantClassifier

_MORE_LIKELY_WRONG = 0.5
_SINGLE_TRAININGS = ("one_fit", "neighbors")  # of these networks every row was a training row
# Which scorers of this package have an attribute, so that others are refused before they train.
_HAVE: dict[str, tuple[type, ...]] = {
    "error_probability_": (LabelErrorScorer,),
    "suggested_label_": (LabelErrorScorer, DifficultyQuadrantClassifier),
}

# Of the parameters that all who select rows have in common.
CONSTRAINTS: dict[str, list[Any]] = {
    "scorer": [HasMethods(["fit", "get_params", "set_params"])],
    "drop": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="left")],
    "threshold": [Interval(Real, None, None, closed="neither"), None],
}


# ------------------------------------------------------------------------------- before the fit


def check_scorer(scorer: Any, needed: Mapping[str, str], quadrants: Sequence[str] | None) -> None:
    """Raise before anything is trained, where it is known that the scorer will not do.

    Parameters
    ----------
    scorer : estimator
        Not fitted.
    needed : mapping of str to str
        Attributes that will be read, and the setting that reads them.
    quadrants : sequence of str or None
        As for `rows_to_drop`.
    """
    if isinstance(scorer, Pipeline):
        raise ValueError(
            "The scorer is a Pipeline, which has no difficulty_. Put its other steps before the "
            "filter: make_pipeline(scaler, FilteredClassifier(estimator, scorer=scorer))."
        )
    estimator = getattr(scorer, "estimator", None)
    if isinstance(estimator, str) and estimator == "precomputed":
        raise ValueError(
            f"{type(scorer).__name__}('precomputed') reads class probabilities in place of the "
            "rows, and a filter passes one X to the scorer and on. Fit the scorer alone, and "
            "choose rows by its difficulty_ or error_probability_."
        )
    if quadrants is not None:
        _check_quadrants(scorer, quadrants)
    is_ours = type(scorer).__module__.startswith(f"{__name__.partition('.')[0]}.")
    for attribute, setting in needed.items():
        if is_ours and not isinstance(scorer, _HAVE[attribute]):
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
    has = [cls.__name__ for cls in _HAVE[attribute]]
    otherwise = ", or set drop to a share of the rows, or threshold" if "drop" in setting else ""
    raise ValueError(
        f"{setting} needs a scorer with {attribute}, which {type(scorer).__name__} does not have. "
        f"Use {' or '.join(has)}{otherwise}."
    )


def _check_quadrants(scorer: Any, quadrants: Sequence[str]) -> None:
    if not isinstance(scorer, DifficultyQuadrantClassifier):
        raise ValueError(
            f"quadrants={quadrants!r} needs a DifficultyQuadrantClassifier as scorer; "
            f"{type(scorer).__name__} knows no quadrants."
        )
    if len(quadrants) == 0 or not set(quadrants) <= set(QUADRANT_NAMES):
        raise ValueError(
            f"quadrants must name some of {list(QUADRANT_NAMES)}; got {list(quadrants)}."
        )


# -------------------------------------------------------------------------------------- the fit


def fitted_scorer(scorer: Any, X: Any, y: Any, params: Mapping[str, Any], memory: Any) -> Any:
    """Return a fitted clone of a scorer, from the cache if it is there.

    Parameters
    ----------
    scorer : estimator
        Left as it is.
    X, y : array-like
        The rows; no Dataset.
    params : mapping of str to object
        Passed to `fit`.
    memory : None, str or object with the interface of joblib.Memory
        Where it is cached. Nothing is cached that was trained before: it is quick to read, and
        two fitted estimators can have the same parameters.

    Returns
    -------
    scorer : estimator
        Its `difficulty_` has one number per row.
    """
    if is_dataset(X):
        raise TypeError(
            "X is a Dataset, whose labels lie inside it. Fit the scorer on it, and choose rows by "
            "its difficulty_: torch.utils.data.Subset(dataset, indices)."
        )
    if memory is None or isinstance(getattr(scorer, "estimator", None), TRAINED_TYPES):
        fitted = _fit(clone(scorer), X, y, dict(params), None)
    else:
        try:
            key = fingerprint(scorer)
        except TypeError as error:
            error.add_note("With memory=None nothing is cached, and any function will do.")
            raise
        # joblib would hash tensors by where they lie, and overlook the user's code.
        cached = check_memory(memory).cache(_fit, ignore=["scorer"])
        fitted = cached(clone(scorer), _as_arrays(X), _as_arrays(y), _as_arrays(params), key)
    _refuse_other_rows(fitted, X, y)
    difficulty: Any = getattr(fitted, "difficulty_", None)
    n = _num_samples(y)
    if np.shape(difficulty) != (n,):
        raise ValueError(
            f"{type(scorer).__name__} must have a difficulty_ of shape ({n},) after fit, one "
            f"number per row; its shape is {np.shape(difficulty)}."
        )
    return fitted


def _fit(scorer: Any, X: Any, y: Any, params: dict[str, Any], key: str | None) -> Any:
    """Fit a scorer; `key` is what the cache knows it by."""
    return scorer.fit(X, y, **params)


def _as_arrays(values: Any) -> Any:
    """Return tensors as ndarrays, also those in mappings; leave anything else as it is."""
    if isinstance(values, Mapping) and not issparse(values):
        return {name: _as_arrays(value) for name, value in values.items()}
    return to_numpy(values)


def warn_of_single_training(scorer: Any, needed: Mapping[str, str]) -> None:
    """Warn if a setting trusts error probabilities of networks that were trained on the rows.

    Parameters
    ----------
    scorer : estimator
        Fitted.
    needed : mapping of str to str
        As for `check_scorer`.
    """
    if not needed or not isinstance(scorer, LabelErrorScorer):
        return
    if scorer.method_ in _SINGLE_TRAININGS:
        settings = list(needed.values())
        acts = any(setting.startswith("action") for setting in settings)
        warn_caller(
            f"The error probabilities of method={scorer.method_!r} are too low, by far if the "
            "network has memorised the labels: it was trained on these rows. With "
            f"{' and '.join(settings)} many wrong labels go unnoticed. Set drop to a share of "
            f"the rows{', and action to drop' if acts else ''}; or give the scorer a net and "
            "method='out_of_sample'."
        )


def _refuse_other_rows(scorer: Any, X: Any, y: Any) -> None:
    """Raise if a scorer has read a record of other rows: these must not decide about training.

    Scores that are read from checkpoints alone are computed for any rows, with a warning.
    """
    record = getattr(scorer, "record_", None)
    if record is None or not isinstance(scorer.estimator, TRAINED_TYPES):
        return
    rows = check_rows(X)
    difference = record.difference(rows, record.targets(rows, y))
    if difference is not None:
        raise ValueError(
            f"The scorer's network was trained on other rows ({difference}), so that their "
            "difficulty as training rows is not known. Pass the net as the scorer's estimator."
        )


# --------------------------------------------------------------------------------- the decision


def rows_to_drop(
    scorer: Any,
    labels: NDArray[Any] | None,
    *,
    drop: float | str,
    threshold: float | None,
    quadrants: Sequence[str] | None,
) -> NDArray[np.bool_]:
    """Return which training rows of a fitted scorer are to be dropped.

    Parameters
    ----------
    scorer : estimator
        With `difficulty_`. Rows of which the score is undefined are kept.
    labels : ndarray of shape (n_samples,) or None
        One row of every label is kept, that which is the least suspect; with None one of all.
    drop : float or "auto"
        Share of the rows, hardest first; "auto" takes those whose `error_probability_` is above
        0.5 or, with `quadrants`, all that lie in these.
    threshold : float or None
        Drop what is harder, in place of `drop`.
    quadrants : sequence of str or None
        Drop only rows that lie in these quadrants, those nearest to their corner first.

    Returns
    -------
    dropped : ndarray of shape (n_samples,), bool
        In the order of the rows.
    """
    difficulty = np.asarray(scorer.difficulty_)
    suspicion, may_go = difficulty, ~np.isnan(difficulty)
    if quadrants is not None:
        suspicion, may_go = _in_quadrants(scorer, quadrants)
    if threshold is not None:
        dropped = may_go & (difficulty > threshold)
    elif drop != "auto":
        n_dropped = min(round(float(drop) * len(difficulty)), np.count_nonzero(may_go))
        dropped = np.zeros(len(difficulty), dtype=bool)
        order = np.argsort(np.where(may_go, -suspicion, np.inf), kind="stable")
        dropped[order[:n_dropped]] = True
    elif quadrants is not None:
        dropped = may_go
    else:
        suspicion = attribute_of(scorer, "error_probability_", "drop='auto'")
        dropped = may_go & (suspicion > _MORE_LIKELY_WRONG)
    fate = "would be dropped; the least suspect one (of each) is kept."
    dropped[_least_suspect(dropped, suspicion, labels, fate)] = False
    return dropped


def trust_in_labels(
    scorer: Any, labels: NDArray[Any], counts: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return what the rows of a fitted scorer are worth: one minus the error probability.

    Parameters
    ----------
    scorer : estimator
        With `error_probability_`; rows of which it is undefined are worth 1.
    labels : ndarray of shape (n_samples,)
        Where all rows of a label are more likely wrong than right, the least suspect is worth 1.
    counts : ndarray of shape (n_samples,), bool
        The rows that stand for their label; others have no weight anyway.

    Returns
    -------
    trust : ndarray of shape (n_samples,)
        In [0, 1].
    """
    probability = attribute_of(scorer, "error_probability_", "action='weight'")
    probability = np.nan_to_num(probability, nan=0.0)
    rows = np.flatnonzero(counts)
    suspicion = probability[rows]
    fate = "are more likely wrong than right; the least suspect one (of each) keeps its weight."
    spared = _least_suspect(suspicion > _MORE_LIKELY_WRONG, suspicion, labels[rows], fate)
    probability[rows[spared]] = 0.0
    return 1 - probability


def _in_quadrants(
    scorer: DifficultyQuadrantClassifier, quadrants: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return how near rows are to their corner, and which of them lie in some quadrants."""
    code = scorer.difficulty_quadrant_
    distance = scorer.corner_distance_[np.arange(len(code)), np.maximum(code, 0)]
    return -distance, np.isin(code, [QUADRANT_NAMES.index(name) for name in quadrants])


def _least_suspect(
    suspect: NDArray[np.bool_], suspicion: NDArray[Any], labels: NDArray[Any] | None, fate: str
) -> NDArray[np.intp]:
    """Return the least suspect row of every label of which all rows are suspect, with a warning."""
    if labels is None:
        lost: list[Any] = [None] if suspect.all() else []
    else:
        lost = sorted(set(labels.tolist()) - set(labels[~suspect].tolist()))
    if lost:
        what = "All rows" if labels is None else f"All rows of the class(es) {lost[:5]}"
        warn_caller(f"{what} {fate}")
    of_each = (np.flatnonzero(suspect if label is None else labels == label) for label in lost)
    return np.array([rows[np.argmin(suspicion[rows])] for rows in of_each], dtype=np.intp)


def column(y: Any) -> NDArray[Any]:
    """Return y as a one-dimensional ndarray."""
    return column_or_1d(to_numpy(y))


def take(X: Any, rows: NDArray[np.intp]) -> Any:
    """Return some rows of arrays, DataFrames, sparse matrices, lists or dicts of these."""
    if isinstance(X, Mapping):
        return {name: take(values, rows) for name, values in X.items()}
    return _safe_indexing(indexable(X)[0], rows)


def describe_rows(estimator: Any, *fitted: Any) -> None:
    """Set what an estimator has seen of its rows, from the first fitted part that knows."""
    for name in ("n_features_in_", "feature_names_in_"):
        known = [getattr(part, name) for part in fitted if hasattr(part, name)]
        if known:
            setattr(estimator, name, known[0])
