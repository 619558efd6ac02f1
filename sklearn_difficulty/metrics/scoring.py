# SPDX-License-Identifier: BSD-3-Clause
"""The scoring object by which scikit-learn's searches choose among difficulty scorers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils import _safe_indexing, indexable
from sklearn.utils.metadata_routing import MetadataRequest
from sklearn.utils.validation import _num_samples

from sklearn_difficulty.metrics.detection import detection_report, undefined_as_easiest

from .._arrays import as_floats, is_tensor, refuse_not_dense

__all__ = ["label_error_scoring"]

Metric = str | Callable[[NDArray[np.bool_], NDArray[np.float64]], float]

# scikit-learn's names, and those in `detection_report`.
_METRICS = {"average_precision": "average_precision", "roc_auc": "auroc"}
_MEANING = "1 = known wrong label, 0 = known right, -1 or NaN = not verified"


def label_error_scoring(metric: Metric = "average_precision") -> LabelErrorScoring:
    """Make a `scoring` that tells how well held-out difficulty finds known wrong labels.

    For ``GridSearchCV``, ``cross_validate`` and the like, where somebody has looked at a small
    part of the labels: these verdicts decide which difficulty scorer, or which of its settings,
    is the best one.

    Parameters
    ----------
    metric : {"average_precision", "roc_auc"} or callable, default="average_precision"
        What is made of the verdicts and the difficulty of the verified rows; greater is better. A
        callable is called as ``metric(is_wrong, score)`` with two arrays of shape (n_verified,),
        bool and float64, the second one without NaN, and returns a float.

    Returns
    -------
    scoring : callable
        ``scoring(estimator, X, y, *, verdicts)`` returns a float. `y`, of shape (n_rows,), are the
        labels as given, right or wrong; `verdicts`, of shape (n_rows,), holds 1 or True for a label
        known to be wrong, 0 or False for one known to be right, and -1 or NaN where nobody has
        looked. Only verified rows are scored, by ``estimator.score_samples`` with their given
        labels. In scikit-learn's metadata routing it requests `verdicts`;
        ``scoring.set_score_request(verdicts="review")`` requests them by another name.

    Raises
    ------
    ValueError
        If `metric` is none of these; when called, if there are no verdicts or labels, not one per
        row, or other values.

    Warns
    -----
    UndefinedMetricWarning
        When called with verified rows that are not of both kinds, or none; the result is NaN.

    See Also
    --------
    detection_report : All detection measures, for marks and scores that you have.
    sklearn_difficulty.model_selection.benchmark_scorers : The choice without verdicts, by flipped
        labels.

    Notes
    -----
    Verdicts travel by metadata routing, which has to be on:
    ``sklearn.set_config(enable_metadata_routing=True)``. Pass them as ``search.fit(X, y,
    verdicts=verdicts)``, or ``cross_validate(..., params={"verdicts": verdicts})``.

    A fold has a result only if it tests rows of both kinds. Folds of a whole number, ``cv=5``, are
    neither shuffled nor stratified for scorers, which are not classifiers: stratify them by the
    verdicts, as in the example. Where a fold lacks a kind, NaN is returned, as by scikit-learn's
    ROC AUC. This goes for every metric: average precision would be 0 without a wrong label and 1
    without a right one, whatever the scorer, and such folds would be averaged in as if they were
    findings.

    Rows without a defined difficulty (NaN) count as the easiest ones: nobody who reads down the
    list would come to them.

    What is judged is the difficulty of rows that were *not* trained on. Measures that only training
    rows have, such as forgetting events, have no `score_samples` and get an error, which a search
    turns into NaN; and a network that learns its labels by heart may rank its own training rows
    otherwise. To judge these, fit on all rows and pass ``difficulty_`` of the verified ones to
    `detection_report`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn import config_context
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import GridSearchCV, StratifiedKFold
    >>> from sklearn_difficulty import TrainingDynamicsScorer
    >>> from sklearn_difficulty.datasets import make_label_noise
    >>> from sklearn_difficulty.metrics import label_error_scoring
    >>> X, y = load_digits(return_X_y=True)
    >>> X, y = X[:600], y[:600]
    >>> y_given, is_wrong = make_label_noise(y, rate=0.1, random_state=0)
    >>> verdicts = np.full(len(y), -1)
    >>> verdicts[:200] = is_wrong[:200]  # the rows that somebody has looked at
    >>> folds = StratifiedKFold(3, shuffle=True, random_state=0).split(X, verdicts)
    >>> search = GridSearchCV(
    ...     TrainingDynamicsScorer(random_state=0),
    ...     {"measure": ["confidence", "entropy"]},
    ...     scoring=label_error_scoring(),
    ...     cv=list(folds),
    ... )
    >>> with config_context(enable_metadata_routing=True):
    ...     search = search.fit(X, y_given, verdicts=verdicts)
    >>> search.best_params_
    {'measure': 'confidence'}
    """
    if not callable(metric) and not (isinstance(metric, str) and metric in _METRICS):
        raise ValueError(
            "The 'metric' parameter of label_error_scoring must be one of "
            f"{', '.join(map(repr, _METRICS))}, or a callable(is_wrong, score). Got {metric!r} "
            "instead."
        )
    return LabelErrorScoring(metric)


class LabelErrorScoring:
    """What `label_error_scoring` returns, with a metric that it has checked."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self._request: bool | str | None = True

    def __repr__(self) -> str:
        metric = self.metric
        return f"label_error_scoring({getattr(metric, '__name__', None) or repr(metric)})"

    def __sklearn_clone__(self) -> LabelErrorScoring:
        return type(self)(self.metric).set_score_request(verdicts=self._request)

    def get_metadata_routing(self) -> MetadataRequest:
        """Return what scikit-learn's routing is asked for: the verdicts."""
        request = MetadataRequest(owner=self)
        request.score.add_request(param="verdicts", alias=self._request)
        return request

    def set_score_request(self, *, verdicts: bool | str | None) -> LabelErrorScoring:
        """Set by which name, or whether at all, verdicts are requested, and return self."""
        self._request = verdicts
        return self

    def __call__(
        self, estimator: Any, X: Any, y: ArrayLike | None = None, *, verdicts: Any = None
    ) -> float:
        """Return the metric of the verified rows, larger = better, NaN where it has no meaning."""
        if verdicts is None:
            raise ValueError(
                f"{self!r} needs verdicts, one per row ({_MEANING}). With "
                "sklearn.set_config(enable_metadata_routing=True) pass them to the search, "
                "search.fit(X, y, verdicts=verdicts), or to cross_validate(..., "
                "params={'verdicts': verdicts})."
            )
        if y is None:
            raise ValueError(f"{self!r} needs y, the labels as given, but y is None.")
        if not callable(getattr(estimator, "score_samples", None)):
            raise TypeError(
                f"{self!r} needs an estimator with score_samples, which {estimator!r} has not."
            )
        n_rows = _num_samples(y)
        for part in X.values() if isinstance(X, Mapping) else [X]:
            if _num_samples(part) != n_rows:
                raise ValueError(f"X has {_num_samples(part)} rows and y {n_rows} labels.")
        verdicts = _check_verdicts(verdicts, n_rows)
        verified = np.flatnonzero(verdicts >= 0)
        is_wrong = verdicts[verified] == 1
        if is_wrong.all() or not is_wrong.any():
            kind = "right" if is_wrong.any() else "wrong" if len(is_wrong) else "right or wrong"
            warnings.warn(
                f"None of {len(verdicts)} rows has a label that is known to be {kind}, so that "
                f"{self!r} is not defined and NaN is returned. Stratify the folds by the verdicts, "
                "cv=list(StratifiedKFold(shuffle=True).split(X, verdicts)), or take fewer folds.",
                UndefinedMetricWarning,
                stacklevel=2,
            )
            return float("nan")
        score = undefined_as_easiest(
            estimator.score_samples(_take(X, verified), _safe_indexing(y, verified))
        )
        if callable(self.metric):
            return float(self.metric(is_wrong, score))
        return detection_report(is_wrong, score)[_METRICS[self.metric]]


def _check_verdicts(verdicts: Any, n_rows: int) -> NDArray[np.float64]:
    """Return verdicts as 1, 0 and -1, or say what is wrong with them."""
    try:
        numbers = as_floats(verdicts, "verdicts")
    except (TypeError, ValueError) as error:
        raise ValueError(f"verdicts must be numbers or bools ({_MEANING}): {error}") from error
    if numbers.shape != (n_rows,):
        raise ValueError(
            f"verdicts must hold one value for every row ({_MEANING}), got an array of shape "
            f"{numbers.shape} for {n_rows} rows."
        )
    numbers = np.where(np.isnan(numbers), -1, numbers)
    others = np.setdiff1d(numbers, [-1, 0, 1])
    if len(others):
        raise ValueError(f"verdicts hold {others[:5].tolist()}; they can be {_MEANING}.")
    return numbers


def _take(X: Any, rows: NDArray[np.intp]) -> Any:
    """Return some rows of an array, a DataFrame, or a dict of arrays."""
    if isinstance(X, Mapping):
        return {name: _take(array, rows) for name, array in X.items()}
    if is_tensor(X):
        refuse_not_dense(X)
    try:
        return _safe_indexing(indexable(X)[0], rows)  # sparse matrices as CSR
    except Exception as error:  # of a Dataset of the user's, say
        error.add_note("This came up when the verified rows of X were taken.")
        raise
