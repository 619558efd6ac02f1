# SPDX-License-Identifier: BSD-3-Clause
"""DifficultyFilter: a sampler that leaves hard rows out."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    _routing_enabled,
    process_routing,
)

from .._progress import CallbackSupportMixin, root_task, with_callbacks
from .._reprs import ShowsFindings
from ..scorers._pipelines import scorer_in
from ..training.bare_modules import refuse_bare_modules
from ._scoring_step import (
    CONSTRAINTS,
    check_scorer,
    describe_rows,
    fitted_scorer,
    forget,
    needed_attributes,
)
from ._selection import column, rows_to_drop, take

__all__ = ["DifficultyFilter"]


class DifficultyFilter(ShowsFindings, CallbackSupportMixin, MetaEstimatorMixin, BaseEstimator):
    """Leave out the rows that a scorer finds hard: a sampler for imbalanced-learn's Pipeline.

    Such a pipeline resamples rows while it is fitted, and passes rows through when it predicts, so
    that only training rows are filtered. To train a single estimator on what is left,
    `FilteredClassifier` needs no other library.

    Parameters
    ----------
    scorer : difficulty scorer, or Pipeline with one at its end
        Cloned and fitted on the rows; its `difficulty_` is read. The steps of a Pipeline are the
        scorer's own, and must leave every row where it is.
    drop : float or "auto", default="auto"
        Share of the rows, in [0, 1), that is left out, hardest first; of equally hard rows those
        that come first. "auto" leaves out the rows of which the label is more likely wrong than
        right (`error_probability_` above 0.5), and needs a scorer that says so, such as
        `LabelErrorScorer`; with `quadrants`, all rows that lie in these. A `LabelErrorScorer`
        that reads a single training ("one_fit" or "neighbors") may be unable to say so: "auto"
        raises then, and a share does not.
    threshold : float, default=None
        Leave out the rows of which the difficulty is larger, in place of `drop`.
    quadrants : sequence of str, default=None
        Leave out only rows that the scorer, a `DifficultyQuadrantClassifier`, puts into one of
        these quadrants, those nearest to its corner first. ``("looks_like_a_different_class",)``
        keeps rows that are merely ambiguous or rare.

    Attributes
    ----------
    sample_indices_ : ndarray of shape (n_kept,)
        Positions of the rows that were kept, in their order.
    dropped_indices_ : ndarray of shape (n_dropped,)
        Positions of the others.
    difficulty_ : ndarray of shape (n_samples,), float32
        That of all rows.
    scorer_ : difficulty scorer, or Pipeline
        The fitted clone.
    n_features_in_ : int
        Size of axis 1 of X, for arrays.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, for DataFrames whose names are all strings.

    See Also
    --------
    FilteredClassifier : Filters the rows and trains a classifier on the others.
    DifficultyQuadrantClassifier : Tells kinds of hard rows apart.

    Notes
    -----
    Rows of which the score is undefined are kept. Of a class that would be left without rows the
    least suspect one is kept, with a warning; a scorer without classes, of a regressor, counts as
    having one.

    A pipeline does not resample sample weights; in a `FilteredClassifier` they follow the rows that
    are kept.

    The `groups` of ``cross_val_score(..., groups=groups)`` make the folds and go no further. For a
    scorer inside a cross-validation or a pipeline, enable metadata routing
    (``sklearn.set_config(enable_metadata_routing=True)``), call ``set_fit_request(groups=True)`` of
    the scorer, and pass ``params={"groups": groups}``, or ``groups=groups`` to the ``fit`` of the
    pipeline. The same goes for `scoring_view`.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn_difficulty import DifficultyFilter, TrainingDynamicsScorer
    >>> X, y = load_wine(return_X_y=True)
    >>> difficulty_filter = DifficultyFilter(
    ...     TrainingDynamicsScorer(random_state=0), drop=0.1
    ... )
    >>> X_kept, y_kept = difficulty_filter.fit_resample(X, y)
    >>> X_kept.shape, difficulty_filter.dropped_indices_.shape
    ((160, 13), (18,))
    """

    _provides: tuple[str, ...] = ()
    _parameter_constraints: dict[str, list[Any]] = {
        **CONSTRAINTS,
        "quadrants": ["array-like", None],
    }

    def __init__(
        self,
        scorer: Any,
        *,
        drop: float | str = "auto",
        threshold: float | None = None,
        quadrants: Sequence[str] | None = None,
    ) -> None:
        self.scorer = scorer
        self.drop = drop
        self.threshold = threshold
        self.quadrants = quadrants

    @with_callbacks
    def fit(self, X: Any, y: Any, **params: Any) -> DifficultyFilter:
        """Score the rows and decide which to keep.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), DataFrame, or dict of arrays
            The rows; of a Dataset they cannot be taken.
        y : array-like of shape (n_samples,)
            Their labels, or targets.
        **params : dict
            Passed to the scorer's ``fit``: `groups`, or a `scoring_view`. With metadata routing
            enabled, those that the scorer requests.

        Returns
        -------
        self : object
            Fitted.
        """
        refuse_bare_modules(self, "scorer")
        self._validate_params()
        drop, threshold, quadrants = self.drop, self.threshold, self.quadrants
        forget(self)
        needed = needed_attributes(drop, threshold, quadrants)
        check_scorer(self.scorer, needed, quadrants)
        if _routing_enabled():
            params = process_routing(self, "fit", **params)["scorer"]["fit"]
        with root_task(self, 1) as progress:
            self.scorer_ = fitted_scorer(self.scorer, X, y, params, progress=progress)
        scored = scorer_in(self.scorer_)
        self.difficulty_ = scored.difficulty_
        has_classes = getattr(scored, "classes_", None) is not None
        dropped = rows_to_drop(
            scored,
            column(y) if has_classes else None,
            drop=drop,
            threshold=threshold,
            quadrants=quadrants,
        )
        self.sample_indices_ = np.flatnonzero(~dropped)
        self.dropped_indices_ = np.flatnonzero(dropped)
        describe_rows(self, self.scorer_)
        return self

    def fit_resample(self, X: Any, y: Any, **params: Any) -> tuple[Any, Any]:
        """Score the rows, and return those that are kept.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), DataFrame, or dict of arrays
            The rows; of a Dataset they cannot be taken.
        y : array-like of shape (n_samples,)
            Their labels, or targets.
        **params : dict
            As for ``fit``.

        Returns
        -------
        X : same kind as X
            The rows that are kept, in their order.
        y : same kind as y
            Their labels.
        """
        self.fit(X, y, **params)
        return take(X, self.sample_indices_), take(y, self.sample_indices_)

    def get_metadata_routing(self) -> MetadataRouter:
        """Return what metadata the scorer is given.

        Returns
        -------
        routing : MetadataRouter
            What ``fit`` and ``fit_resample`` are passed goes to the scorer's ``fit``.
        """
        mapping = MethodMapping().add(caller="fit", callee="fit")
        with suppress(ValueError):  # known to scikit-learn once imbalanced-learn is imported
            mapping.add(caller="fit_resample", callee="fit")
        return MetadataRouter(owner=self).add(scorer=self.scorer, method_mapping=mapping)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "sample_indices_")

    def _found(self) -> str:
        return f"{len(self.dropped_indices_)} of {len(self.difficulty_)} rows left out"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        of_scorer = get_tags(self.scorer)
        tags.input_tags, tags.target_tags = of_scorer.input_tags, of_scorer.target_tags
        return tags
