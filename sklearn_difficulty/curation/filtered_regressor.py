# SPDX-License-Identifier: BSD-3-Clause
"""FilteredRegressor: train any regressor without the rows that are hard."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.utils import RegressorTags

from ..scorers._base import BaseDifficultyScorer
from ..scorers._pipelines import scorer_in
from ._filtered import BaseFiltered
from ._scoring_step import CONSTRAINTS

__all__ = ["FilteredRegressor"]


class FilteredRegressor(BaseFiltered):
    """Train a regressor without the rows that a scorer finds hard.

    A clone of the scorer is fitted on the training rows, the hardest ones are dropped, and a clone
    of the estimator, which need not be a network, is trained on the others. Rows to be predicted
    are never filtered: in a cross-validation only training folds are.

    Parameters
    ----------
    estimator : regressor, default=None
        Any regressor of scikit-learn's kind. None takes ``Ridge()``.
    scorer : difficulty scorer, or Pipeline with one at its end
        Says how hard a row is; it must be one for regression, around a network that is a
        regressor, for example
        ``TrainingDynamicsScorer(NeuralNetRegressor(...), measure="loss")``.
    drop : float, default=0.1
        Share of the rows, in [0, 1), that is dropped, hardest first.
    threshold : float, default=None
        Drop the rows of which the difficulty is larger, in place of `drop`.
    memory : str or joblib.Memory, default=None
        Where fitted scorers are cached, so that in a search over `drop` or the estimator each
        training fold is scored once. A cached scorer may hold a copy of the rows. Not used for a
        scorer that was given a trained network.
    cache_key : str, default=None
        Stands, in `memory`, for what of the scorer and its network cannot be recognised, such as
        files that your code reads: change it whenever that changes. None refuses to cache where
        there is such a thing, by an error that names it.

    Attributes
    ----------
    estimator_ : regressor
        The fitted clone.
    scorer_ : difficulty scorer
        The fitted clone.
    difficulty_ : ndarray of shape (n_samples,), float32
        That of all training rows.
    sample_indices_ : ndarray of shape (n_kept,)
        Positions of the rows that the estimator was trained on.
    dropped_indices_ : ndarray of shape (n_dropped,)
        Positions of the others.
    n_features_in_ : int
        Size of axis 1 of X, for arrays.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, for DataFrames whose names are all strings.

    See Also
    --------
    FilteredClassifier : For labels; says more about tuning, caching and metadata.
    TrainingDynamicsScorer : Has measures that are defined for regression.

    Notes
    -----
    Rows of which the score is undefined are kept, and the easiest row always is. A large loss can
    mean a wrong target as well as one that is right and rare: what is dropped is not thereby wrong.

    `fit` passes `groups` and `scoring_view` to the scorer and all else, as `sample_weight`, to the
    estimator. The scorer does not see sample weights.

    Examples
    --------
    >>> from skorch import NeuralNetRegressor
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn_difficulty import FilteredRegressor, TrainingDynamicsScorer
    >>> from sklearn_difficulty.training import MLP
    >>> X, y = load_diabetes(return_X_y=True)
    >>> y = (y - y.mean()) / y.std()
    >>> net = NeuralNetRegressor(
    ...     MLP,
    ...     module__n_inputs=10,
    ...     module__n_outputs=1,
    ...     module__hidden_units=(32,),
    ...     lr=0.1,
    ...     verbose=0,
    ... )
    >>> scorer = TrainingDynamicsScorer(net, measure="loss", random_state=0)
    >>> filtered = FilteredRegressor(scorer=scorer, drop=0.1).fit(X, y)
    >>> filtered.dropped_indices_.shape, filtered.predict(X[:3]).shape
    ((44,), (3,))
    """

    _kind = "regressor"
    _instead_of_none = {
        "estimator": "Ridge(...)",
        "scorer": 'TrainingDynamicsScorer(NeuralNetRegressor(...), measure="loss")',
    }
    _provides: tuple[str, ...] = ()
    _parameter_constraints: dict[str, list[Any]] = {
        **BaseFiltered._parameter_constraints,
        "drop": CONSTRAINTS["drop"][1:],
    }

    def __init__(
        self,
        estimator: Any = None,
        *,
        scorer: Any = None,
        drop: float = 0.1,
        threshold: float | None = None,
        memory: Any = None,
        cache_key: str | None = None,
    ) -> None:
        self.estimator = estimator
        self.scorer = scorer
        self.drop = drop
        self.threshold = threshold
        self.memory = memory
        self.cache_key = cache_key

    def _estimator(self) -> Any:
        return Ridge() if self.estimator is None else self.estimator

    def _scorer(self) -> Any:
        return self.scorer

    def _check_parts(self, estimator: Any, scorer: Any) -> None:
        if scorer is None:
            raise ValueError(
                "FilteredRegressor needs a scorer for regression; pass for example scorer="
                f"{self._instead_of_none['scorer']}."
            )
        super()._check_parts(estimator, scorer)

    def _needed(self) -> dict[str, str]:
        return {}

    def _suspect(self, y: Any) -> NDArray[np.bool_]:
        scored = scorer_in(self.scorer_)
        is_ours = isinstance(scored, BaseDifficultyScorer)
        if is_ours and getattr(scored, "classes_", None) is not None:
            raise ValueError(
                f"{type(scored).__name__} has taken the targets for classes. Give it a "
                "network that is a regressor, such as TrainingDynamicsScorer("
                'NeuralNetRegressor(...), measure="loss").'
            )
        return super()._suspect(y)

    def _labels(self, y: Any) -> None:
        return None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.regressor_tags = tags.regressor_tags or RegressorTags()
        return tags
