# SPDX-License-Identifier: BSD-3-Clause
"""Held-out predictions of any scikit-learn estimator: clones that each leave some rows out.

X stays what the user gave, a DataFrame with missing values, a sparse matrix, a list of texts: rows
are taken of it, and the estimator makes of them what it can.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing, indexable
from sklearn.utils.validation import _check_method_params, _num_samples

from .._arrays import LISTED_ROWS
from .._jobs import as_they_come
from .._progress import SILENT, Task
from .._warnings import located
from ..rows.labels import codes_of

Method = Literal["predict_proba", "predict"]
Predictions = NDArray[np.float64]

_OFF_ONE = 0.01  # by which a row of probabilities may miss 1, as in measures


@dataclass(frozen=True)
class CrossValidated:
    """Clones of an estimator, what each was trained on, and what those said that were not."""

    method: Method
    masks: NDArray[np.bool_]  # (n_folds, n), True: trained on
    classes: NDArray[Any] | None  # of the columns, if these are probabilities
    held_out: Predictions  # (n, n_classes), or as a regressor predicts; NaN where nobody can tell
    models: list[Any] | None  # one per fold, None if they were not kept

    def predict(self, X: Any) -> Predictions:
        """Return the mean over all models, of rows that none of them has seen."""
        assert self.models is not None
        n = _num_samples(X)
        total = _predictions(self.models[0], X, n, self.method, self.classes)
        for model in self.models[1:]:
            total = total + _predictions(model, X, n, self.method, self.classes)
        return total / len(self.models)


def cross_validate(
    estimator: Any,
    X: Any,
    y: NDArray[Any],
    masks: NDArray[np.bool_],
    *,
    method: Method,
    seed: int,
    view: Any = None,
    params: Mapping[str, Any] | None = None,
    n_jobs: int | None = None,
    keep_models: bool = True,
    verbose: int = 0,
    progress: Task = SILENT,
) -> CrossValidated:
    """Fit a clone for every mask, and ask it about the rows that it was not trained on.

    Of rows that several leave out the mean is kept. A classifier is not asked about rows of a class
    that it has not seen: it would say that the class does not occur.

    Parameters
    ----------
    estimator : estimator
        Of scikit-learn's kind. Its parameters called random_state that are None get seeds, others
        in every fold; those that are set stay, as in scikit-learn's own cross-validation.
    X : array-like, sparse matrix, DataFrame or list
        Rows, of whatever kind the estimator takes.
    y : ndarray of shape (n,) or (n, n_outputs)
        Labels or targets as the user gave them.
    masks : ndarray of shape (n_folds, n)
        The rows that each clone is trained on, as of `draw_masks`, which knows groups and strata.
    method : {"predict_proba", "predict"}
        What classifiers, and what regressors are asked by.
    seed : int
        Of what the user has not seeded.
    view : same kind as X, default=None
        The same rows as they are to be asked about, None for X.
    params : dict, default=None
        Metadata for `fit`, such as sample_weight; what has an entry for every row is divided.
    n_jobs : int, default=None
        Folds that are fitted side by side.
    keep_models : bool, default=True
        Whether the clones are kept, to be asked about other rows.
    verbose : int, default=0
        1 prints how many folds are fitted.
    progress : Task, default=SILENT
        What is told of every fold.
    """
    X, view = indexable(X, X if view is None else view)
    seeds = np.random.SeedSequence(seed).generate_state(len(masks))
    classes = np.unique(y) if method == "predict_proba" else None
    fold = _Fold(estimator, X, y, view, method, classes, dict(params or {}), keep_models)
    answers: dict[int, _Answers] = {}
    with progress.subtask("train", len(masks)) as training:
        for k, answered in as_they_come(
            fold, lambda k: (k, masks[k], int(seeds[k])), len(masks), n_jobs
        ):
            answers[k] = answered
            with training.subtask("fold"):
                pass
            if verbose:
                print(f"{len(answers)} of {len(masks)} folds are fitted")
    in_order = [answers[k] for k in range(len(masks))]  # sums must not depend on who came first
    held_out = _mean_of_held_out(in_order, len(y))
    models = [answered.model for answered in in_order] if keep_models else None
    return CrossValidated(method, masks, classes, held_out, models)


class _Answers(NamedTuple):
    """What the clone of a fold said."""

    rows: NDArray[np.intp]  # that it was asked about
    predictions: Predictions
    model: Any


@dataclass(frozen=True)
class _Fold:
    """The work on a fold, which may be done in another process."""

    estimator: Any
    X: Any
    y: NDArray[Any]
    view: Any
    method: Method
    classes: NDArray[Any] | None
    params: dict[str, Any]
    keep_model: bool

    def __call__(self, k: int, mask: NDArray[np.bool_], seed: int) -> _Answers:
        """Fit a clone on the rows of a mask, and ask it about the others."""
        trained_on, asked = np.flatnonzero(mask), np.flatnonzero(~mask)
        y = self.y[trained_on]
        if self.classes is not None:
            asked = asked[np.isin(self.y[asked], y)]
        model = clone(self.estimator)
        model.set_params(**_missing_seeds(model, seed))
        with located(f"in fold {k} of the cross-validation"):
            params = _check_method_params(self.X, self.params, indices=trained_on)
            model.fit(_safe_indexing(self.X, trained_on), y, **params)
            rows = _safe_indexing(self.view, asked)
            predictions = _predictions(model, rows, len(asked), self.method, self.classes)
        return _Answers(asked, predictions, model if self.keep_model else None)


def _missing_seeds(estimator: Any, seed: int) -> dict[str, int]:
    """Return seeds for the parameters called random_state that an estimator leaves open."""
    rng = np.random.default_rng(seed)
    return {
        name: int(rng.integers(2**31))
        for name, value in sorted(estimator.get_params(deep=True).items())
        if value is None and (name == "random_state" or name.endswith("__random_state"))
    }


def _mean_of_held_out(answers: Sequence[_Answers], n: int) -> Predictions:
    """Return the mean of what was said of each row, NaN where nothing was."""
    shape = (n, *answers[0].predictions.shape[1:])
    total, count = np.zeros(shape), np.zeros((n,) + (1,) * (len(shape) - 1))
    for rows, predictions, _ in answers:
        total[rows] += predictions
        count[rows] += 1
    return np.divide(total, count, out=np.full(shape, np.nan), where=count > 0)


# ------------------------------------------------------------------------------ what a model says


def _predictions(
    model: Any, X: Any, n: int, method: Method, classes: NDArray[Any] | None
) -> Predictions:
    """Return what a fitted model says of n rows, probabilities in the order of all classes."""
    if classes is not None:
        return _probabilities(model, X, n, classes)
    values = np.asarray(model.predict(X), dtype=np.float64)
    if len(values) != n:
        raise ValueError(f"{name_of(model)}.predict returned {len(values)} values for {n} rows.")
    return values


def _probabilities(model: Any, X: Any, n: int, classes: NDArray[Any]) -> Predictions:
    """Return the class probabilities (n, n_classes), 0 for classes that the model has not seen."""
    probabilities = np.zeros((n, len(classes)))
    if not n:
        return probabilities
    name = name_of(model)
    if not hasattr(model, "classes_"):
        raise TypeError(f"{name} has no classes_ after fit: it is no classifier.")
    columns = codes_of(model.classes_, classes)
    values = model.predict_proba(X)
    if np.shape(values) != (n, len(columns)):
        raise ValueError(
            f"{name}.predict_proba must return one column per class, shape {(n, len(columns))}; "
            f"it returned {type(values).__name__} of shape {np.shape(values)}."
        )
    probabilities[:, columns] = values
    with np.errstate(invalid="ignore"):  # what is NaN is undefined, and counted later
        is_off = np.abs(probabilities.sum(axis=1) - 1) > _OFF_ONE
        bad = np.flatnonzero(is_off | (probabilities < 0).any(axis=1))
    if len(bad):
        raise ValueError(
            f"{name}.predict_proba returned what are no probabilities, from 0 to 1 and 1 in sum, "
            f"for {len(bad)} row(s), as {probabilities[bad[0]][:LISTED_ROWS].tolist()}. Calibrate "
            "it: sklearn.calibration.CalibratedClassifierCV(estimator)."
        )
    return probabilities


def name_of(estimator: Any) -> str:
    """Return the name of an estimator, of a Pipeline that of its last step, too."""
    name = type(estimator).__name__
    if isinstance(estimator, Pipeline) and estimator.steps:
        return f"{name} with {name_of(estimator.steps[-1][1])}"
    return name
