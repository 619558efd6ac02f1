# SPDX-License-Identifier: BSD-3-Clause
"""What FilteredClassifier and FilteredRegressor share: score, select, train again, predict."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.utils import get_tags
from sklearn.utils._param_validation import HasMethods, StrOptions
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    _routing_enabled,
    get_routing_for_object,
    process_routing,
)
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import (
    _check_method_params,
    _check_sample_weight,
    check_is_fitted,
    has_fit_parameter,
)

from .._progress import CallbackSupportMixin, root_task, with_callbacks
from .._reprs import ShowsFindings
from ..rows.checked import checked_array, is_frame
from ..scorers._pipelines import scorer_in
from ..training.bare_modules import refuse_bare_modules
from ._scoring_step import (
    CONSTRAINTS,
    attribute_of,
    check_scorer,
    describe_rows,
    fitted_scorer,
    forget,
    needed_attributes,
)
from ._selection import as_given, for_estimators, rows_to_drop, take, trust_in_labels

_FOR_SCORER = ("groups", "scoring_view")  # where metadata are not routed by request
_FOR_KIND = {"classifier": "FilteredClassifier", "regressor": "FilteredRegressor"}


def _estimator_has(method: str) -> Callable[[Any], bool]:
    """Return a check for `available_if`; it raises as the estimator does that lacks a method."""

    def check(self: Any) -> bool:
        getattr(self.estimator_ if hasattr(self, "estimator_") else self._estimator(), method)
        return True

    return check


class BaseFiltered(ShowsFindings, CallbackSupportMixin, MetaEstimatorMixin, BaseEstimator, ABC):
    """Base of the estimators that train another one on the rows that a scorer leaves.

    Subclasses say what None stands for, which rows are suspect, and how they are acted upon.
    """

    _kind: str  # of the estimators, as in scikit-learn's tags
    _instead_of_none: dict[str, str]  # what to pass for a part whose parameters are to be set
    _suggestion: str  # the attribute of a scorer that has what to put in place of y

    estimator: Any
    scorer: Any
    drop: float | str
    threshold: float | None
    action: str
    memory: Any
    cache_key: str | None

    _parameter_constraints: dict[str, list[Any]] = {
        **CONSTRAINTS,
        "estimator": [HasMethods(["fit", "predict"]), None],
        "scorer": [*CONSTRAINTS["scorer"], None],
        "action": [StrOptions({"drop", "relabel", "weight"})],
        "memory": [str, HasMethods(["cache"]), None],
        "cache_key": [str, None],
    }

    @abstractmethod
    def _estimator(self) -> Any:
        """Return `estimator`, or what None stands for."""

    @abstractmethod
    def _scorer(self) -> Any:
        """Return `scorer`, or what None stands for."""

    def _scorer_for(self, y: Any) -> Any:
        """Return the scorer that is to be fitted on the rows with these labels."""
        return self._scorer()

    def _quadrants(self) -> Any:
        """Return the quadrants in which rows are suspect, None for all."""
        return None

    def _needed(self) -> dict[str, str]:
        """Return the attributes that the scorer must have, and the setting that needs them."""
        if self.action == "weight":
            return {"error_probability_": "action='weight'"}
        needed = needed_attributes(self.drop, self.threshold, self._quadrants())
        is_relabelled = self.action == "relabel"
        return needed | ({self._suggestion: "action='relabel'"} if is_relabelled else {})

    @abstractmethod
    def _labels(self, y: Any) -> NDArray[Any] | None:
        """Return the labels of which each keeps a row, None if there are none."""

    def _act(self, X: Any, y: Any, params: dict[str, Any], suspect: NDArray[np.bool_]) -> Any:
        """Return X, y and fit parameters for the estimator, the suspect rows acted upon."""
        self.relabelled_indices_ = np.empty(0, dtype=np.intp)
        if self.action == "weight":
            given = _check_sample_weight(params.get("sample_weight"), self.difficulty_)
            trust = trust_in_labels(scorer_in(self.scorer_), self._labels(y), given != 0)
            params = {**params, "sample_weight": given * trust}
        if self.action == "relabel":
            given = as_given(y, self._labels(y))
            scored = scorer_in(self.scorer_)
            suggested = attribute_of(scored, self._suggestion, "action='relabel'")
            of_rows = suspect.reshape(-1, *[1] * (given.ndim - 1))
            y = np.where(of_rows, suggested.reshape(given.shape), given)
            changed = (y != given).reshape(len(given), -1)
            self.relabelled_indices_ = np.flatnonzero(changed.any(axis=1))
            suspect = np.zeros_like(suspect)
        if suspect.any():
            kept = np.flatnonzero(~suspect)
            params = _check_method_params(y, params, indices=kept)
            X, y = take(X, kept), take(y, kept)
        self.sample_indices_ = np.flatnonzero(~suspect)
        self.dropped_indices_ = np.flatnonzero(suspect)
        return X, y, params

    def _check_parts(self, estimator: Any, scorer: Any) -> None:
        """Raise before anything is trained, where it is known that the parts will not do."""
        name = type(estimator).__name__
        if hasattr(estimator, "__sklearn_tags__"):  # what says nothing about itself is believed
            tags = get_tags(estimator)
            if tags.estimator_type not in (self._kind, None):
                use = _FOR_KIND.get(tags.estimator_type)
                raise ValueError(
                    f"{type(self).__name__} needs a {self._kind}; the kind of {name} is "
                    f"{tags.estimator_type!r}.{f' Use {use}.' if use else ''}"
                )
            if tags.input_tags.pairwise:
                raise ValueError(
                    f"{name} takes distances or a kernel between rows (as with 'precomputed'), "
                    "whose columns are rows too: they can be neither scored nor left out. Pass the "
                    "rows, and have the estimator compute the distances or the kernel."
                )
        check_scorer(scorer, self._needed(), self._quadrants())
        if self.action != "weight" or has_fit_parameter(estimator, "sample_weight"):
            return
        routing = get_routing_for_object(estimator)
        if not _routing_enabled() or not routing.consumes("fit", ["sample_weight"]):
            raise ValueError(
                f"action='weight' needs an estimator that takes a sample_weight in fit, which "
                f"{name} does not. Use another estimator or action; a Pipeline takes one if "
                "metadata routing is enabled and a step requests it."
            )

    def _suspect(self, y: Any) -> NDArray[np.bool_]:
        """Return the rows that are dropped, or relabelled."""
        if self.action == "weight":
            return np.zeros(len(self.difficulty_), dtype=bool)
        return rows_to_drop(
            scorer_in(self.scorer_),
            self._labels(y),
            drop=self.drop,
            threshold=self.threshold,
            quadrants=self._quadrants(),
        )

    @with_callbacks
    def fit(self, X: Any, y: Any, **params: Any) -> Any:
        """Score the rows, act upon the suspect ones, and train the estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), DataFrame, or dict of arrays
            The rows, of a kind that scorer and estimator accept. No Dataset.
        y : array-like of shape (n_samples,)
            Their labels, or targets.
        **params : dict
            `groups` and `scoring_view` go to the scorer's ``fit``, all others, `sample_weight`
            say, to the estimator's; what has one entry per row follows the rows that are kept.
            With metadata routing enabled, each goes to where it is requested.

        Returns
        -------
        self : object
            Fitted.
        """
        refuse_bare_modules(self, "estimator", "scorer")
        self._validate_params()
        forget(self)
        X, y = for_estimators(X, "X"), for_estimators(y, "y")
        if self.estimator is None and is_frame(X):
            # What None stands for takes numbers alone, and would say so after the scorer's fit.
            checked_array(X, "X", self, ensure_2d=True)
        estimator, scorer = clone(self._estimator()), self._scorer_for(y)
        self._check_parts(estimator, scorer)
        of_scorer, of_estimator = self._routed(params)
        with root_task(self, 2) as progress:
            self.scorer_ = fitted_scorer(
                scorer, X, y, of_scorer, self.memory, self.cache_key, progress
            )
            self.difficulty_ = scorer_in(self.scorer_).difficulty_
            X, y, of_estimator = self._act(X, y, of_estimator, self._suspect(y))
            with progress.fit_of(estimator, "train on what is kept"):
                self.estimator_ = estimator.fit(X, y, **of_estimator)
        describe_rows(self, self.estimator_, self.scorer_)
        return self

    @available_if(_estimator_has("predict"))
    def predict(self, X: Any) -> Any:
        """Predict with the estimator; no row is filtered.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Rows of the kind that ``fit`` was given.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            What the estimator predicts.
        """
        check_is_fitted(self)
        return self.estimator_.predict(X)

    @available_if(_estimator_has("score"))
    def score(self, X: Any, y: Any, **params: Any) -> float:
        """Return the estimator's own score; no row is filtered.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Rows of the kind that ``fit`` was given.
        y : array-like of shape (n_samples,)
            Their labels, or targets.
        **params : dict
            Passed to the estimator's ``score``, as `sample_weight`; with metadata routing
            enabled, those that it requests.

        Returns
        -------
        score : float
            Accuracy or R², unless the estimator has another one.
        """
        check_is_fitted(self)
        if _routing_enabled():
            params = process_routing(self, "score", **params)["estimator"]["score"]
        return self.estimator_.score(X, y, **params)

    def set_params(self, **params: Any) -> Any:
        """Set parameters, those of the parts as ``estimator__<name>`` and ``scorer__<name>``.

        Parameters
        ----------
        **params : dict
            Parameters of this estimator or of a part that is not None.

        Returns
        -------
        self : object
            The same.
        """
        for part, instead in self._instead_of_none.items():
            nested = [name for name in params if name.startswith(f"{part}__")]
            if nested and params.get(part, getattr(self, part)) is None:
                raise ValueError(
                    f"{nested[0]} cannot be set, because {part} is None; pass {instead}."
                )
        return super().set_params(**params)

    def get_metadata_routing(self) -> MetadataRouter:
        """Return what metadata scorer and estimator are given.

        Returns
        -------
        routing : MetadataRouter
            From ``fit`` to the ``fit`` of both, from ``score`` to that of the estimator.
        """
        fit = MethodMapping().add(caller="fit", callee="fit")
        both = MethodMapping().add(caller="fit", callee="fit").add(caller="score", callee="score")
        router = MetadataRouter(owner=self).add(estimator=self._estimator(), method_mapping=both)
        return router.add(scorer=self._scorer(), method_mapping=fit)

    def _routed(self, params: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what of the metadata of `fit` goes to the scorer, and what to the estimator."""
        if _routing_enabled():
            routed = process_routing(self, "fit", **params)
            return routed["scorer"]["fit"], routed["estimator"]["fit"]
        given = {name: value for name, value in params.items() if value is not None}
        of_scorer = {name: given.pop(name) for name in _FOR_SCORER if name in given}
        return of_scorer, given

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "estimator_")

    def _found(self) -> str:
        n_relabelled, n = len(self.relabelled_indices_), len(self.difficulty_)
        if self.action == "weight":
            return f"{n} rows weighted"
        if n_relabelled:
            return f"{n_relabelled} of {n} rows relabelled"
        return f"{len(self.dropped_indices_)} of {n} rows dropped"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        of_estimator = get_tags(self._estimator())
        for name in ("classifier_tags", "regressor_tags", "target_tags", "input_tags"):
            setattr(tags, name, getattr(of_estimator, name))
        tags.estimator_type = self._kind
        tags.input_tags.pairwise = False
        tags.target_tags.required = True
        scorer = self._scorer()
        if scorer is None:
            return tags
        of_scorer = get_tags(scorer)
        kinds = ("two_d_array", "three_d_array", "sparse", "categorical", "string", "allow_nan")
        for name in kinds:
            both = getattr(tags.input_tags, name) and getattr(of_scorer.input_tags, name)
            setattr(tags.input_tags, name, both)
        return tags
