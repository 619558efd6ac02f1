# SPDX-License-Identifier: BSD-3-Clause
"""FilteredClassifier: train any classifier without the suspect rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.utils import ClassifierTags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _num_samples, check_is_fitted

from ..scorers.label_error import LabelErrorScorer
from ._filtered import BaseFiltered, _estimator_has
from ._selection import column

__all__ = ["FilteredClassifier"]

_DEFAULT_SEED = 0  # of the scorer that None stands for, which has no random_state to set


class FilteredClassifier(BaseFiltered):
    """Train a classifier without the rows that look mislabelled, or with other labels for them.

    A clone of the scorer is fitted on the training rows, the suspect ones are dropped, relabelled
    or given less weight, and a clone of the estimator, which need not be a network, is trained on
    the result. Rows to be predicted are never filtered: in a cross-validation only training folds
    are.

    Parameters
    ----------
    estimator : classifier, default=None
        Any classifier of scikit-learn's kind. None takes ``LogisticRegression()``.
    scorer : difficulty scorer, or Pipeline with one at its end, default=None
        Says which rows are suspect. The steps of a Pipeline are the scorer's own, fitted on the
        rows that it scores; the estimator gets the rows as they are. A step that drops or adds rows
        is refused. None takes ``LabelErrorScorer(random_state=0)``, with fewer `n_neighbors` for
        less than 60 rows.
    drop : float or "auto", default="auto"
        Share of the rows, in [0, 1), that is suspect, hardest first. "auto" suspects the rows of
        which the label is more likely wrong than right (`error_probability_` above 0.5), and needs
        a scorer that says so, such as `LabelErrorScorer`; with `quadrants`, all rows in these. A
        `LabelErrorScorer` that reads a single training ("one_fit" or "neighbors") may be unable to
        say so: "auto" raises then, and a share does not.
    threshold : float, default=None
        Suspect the rows of which the difficulty is larger, in place of `drop`.
    quadrants : sequence of str, default=None
        Suspect only rows that the scorer, a `DifficultyQuadrantClassifier`, puts into one of these
        quadrants, those nearest to its corner first.
    action : {"drop", "relabel", "weight"}, default="drop"
        What is done. "drop" leaves the suspect rows out. "relabel" gives them the
        `suggested_label_` of the scorer. "weight" weighs every row by one minus its
        `error_probability_`, times the `sample_weight` that is given, and ignores `drop`,
        `threshold` and `quadrants`; the estimator must take a `sample_weight`. Both raise
        where `drop="auto"` does.
    memory : str or joblib.Memory, default=None
        Where fitted scorers are cached, so that in a search over `drop`, `action` or the estimator
        each training fold is scored once. A cached scorer may hold a copy of the rows. Not used
        for a scorer that was given a trained network.
    cache_key : str, default=None
        Stands, in `memory`, for what of the scorer and its network cannot be recognised, such as
        files that your code reads: change it whenever that changes. None refuses to cache where
        there is such a thing, by an error that names it.

    Attributes
    ----------
    estimator_ : classifier
        The fitted clone.
    scorer_ : difficulty scorer, or Pipeline
        The fitted clone.
    difficulty_ : ndarray of shape (n_samples,), float32
        That of all training rows.
    sample_indices_ : ndarray of shape (n_kept,)
        Positions of the rows that the estimator was trained on; all of them unless the action is
        "drop".
    dropped_indices_ : ndarray of shape (n_dropped,)
        Positions of the others.
    relabelled_indices_ : ndarray of shape (n_relabelled,)
        Positions of the rows of which the label was changed; of a suspect row the suggested label
        may be the given one.
    classes_ : ndarray of shape (n_classes,)
        The classes.
    n_features_in_ : int
        Size of axis 1 of X, for arrays.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, for DataFrames whose names are all strings.

    See Also
    --------
    LabelErrorScorer : Estimates which labels are wrong, and what they should be.
    DifficultyFilter : The same rows left out, as a step of imbalanced-learn's Pipeline.
    FilteredRegressor : For targets that are numbers.

    Notes
    -----
    Rows of which the score or the error probability is undefined are not suspect, and weigh 1. Of
    a class of which all rows are suspect the least suspect one is kept as it is, with a warning:
    with its label, and with all its weight. With "weight" these are the classes of which all rows
    are more likely wrong than right; rows whose given weight is 0 do not count.

    All parameters can be tuned, those of the parts as ``estimator__C`` or
    ``scorer__estimator__lr``; set `memory` to score each fold once. The scores of a search are
    those of validation rows *as labelled*. If a share of these labels is wrong, a better
    classifier can score worse, and accuracy stays below one minus that share.

    A scorer that reads a finished training, of a `TrainingRecord`, a ``FrozenEstimator`` or a
    fitted ``ResampledEnsemble``, can be used on the rows of that training alone, and therefore not
    in a cross-validation. The scorer gets the rows as they came; preprocessing for it alone goes
    into a Pipeline that ends with it, as in ``scorer=make_pipeline(preprocessor, scorer)``.

    `fit` passes `groups` and `scoring_view` to the scorer and all else, as `sample_weight`, to the
    estimator. The scorer does not see sample weights: a row of weight 0 is not as good as absent,
    and `sample_weight` is not among the named parameters of `fit`.

    The `groups` of ``cross_val_score(..., groups=groups)`` make the folds and go no further. For a
    scorer inside a cross-validation or a pipeline, enable metadata routing
    (``sklearn.set_config(enable_metadata_routing=True)``), call ``set_fit_request(groups=True)`` of
    the scorer, and pass ``params={"groups": groups}``, or ``groups=groups`` to the ``fit`` of a
    search. The same goes for `scoring_view`, and for `sample_weight` and the estimator.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_difficulty import FilteredClassifier, LabelErrorScorer
    >>> from sklearn_difficulty.datasets import make_label_noise
    >>> X, y = load_wine(return_X_y=True)
    >>> y_noisy, is_wrong = make_label_noise(y, rate=0.2, random_state=0)
    >>> clf = make_pipeline(StandardScaler(), LogisticRegression())
    >>> filtered = FilteredClassifier(clf, scorer=LabelErrorScorer(random_state=0))
    >>> filtered.fit(X, y_noisy).predict(X[:2])
    array([0, 0])
    >>> print(f"{is_wrong[filtered.dropped_indices_].mean():.1f}")
    0.9
    """

    _kind = "classifier"
    _instead_of_none = {"estimator": "LogisticRegression(...)", "scorer": "LabelErrorScorer(...)"}
    _suggestion = "suggested_label_"
    _provides: tuple[str, ...] = ()
    _parameter_constraints: dict[str, list[Any]] = {
        **BaseFiltered._parameter_constraints,
        "quadrants": ["array-like", None],
    }

    def __init__(
        self,
        estimator: Any = None,
        *,
        scorer: Any = None,
        drop: float | str = "auto",
        threshold: float | None = None,
        quadrants: Sequence[str] | None = None,
        action: str = "drop",
        memory: Any = None,
        cache_key: str | None = None,
    ) -> None:
        self.estimator = estimator
        self.scorer = scorer
        self.drop = drop
        self.threshold = threshold
        self.quadrants = quadrants
        self.action = action
        self.memory = memory
        self.cache_key = cache_key

    @available_if(_estimator_has("predict_proba"))
    def predict_proba(self, X: Any) -> Any:
        """Return the estimator's class probabilities; no row is filtered.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Rows of the kind that ``fit`` was given.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        check_is_fitted(self)
        return self.estimator_.predict_proba(X)

    @available_if(_estimator_has("predict_log_proba"))
    def predict_log_proba(self, X: Any) -> Any:
        """Return the logarithms of the estimator's class probabilities.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Rows of the kind that ``fit`` was given.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        check_is_fitted(self)
        return self.estimator_.predict_log_proba(X)

    @available_if(_estimator_has("decision_function"))
    def decision_function(self, X: Any) -> Any:
        """Return the estimator's decision function; no row is filtered.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Rows of the kind that ``fit`` was given.

        Returns
        -------
        decision : ndarray of shape (n_samples,) or (n_samples, n_classes)
            What the estimator returns.
        """
        check_is_fitted(self)
        return self.estimator_.decision_function(X)

    @property
    def classes_(self) -> NDArray[Any]:
        """Return the classes, in the order of the estimator's columns."""
        return self.estimator_.classes_

    def _estimator(self) -> Any:
        return LogisticRegression() if self.estimator is None else self.estimator

    def _scorer(self) -> Any:
        return LabelErrorScorer(random_state=_DEFAULT_SEED) if self.scorer is None else self.scorer

    def _scorer_for(self, y: Any) -> Any:
        scorer = self._scorer()
        # It would refuse to look for more neighbours than there are rows, and does so without y.
        if self.scorer is None and y is not None:
            scorer.n_neighbors = max(1, min(scorer.n_neighbors, _num_samples(y) // 2))
        return scorer

    def _quadrants(self) -> Sequence[str] | None:
        return None if self.action == "weight" else self.quadrants

    def _labels(self, y: Any) -> NDArray[Any]:
        return column(y)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags = tags.classifier_tags or ClassifierTags()
        return tags
