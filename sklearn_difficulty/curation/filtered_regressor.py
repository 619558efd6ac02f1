# SPDX-License-Identifier: BSD-3-Clause
"""FilteredRegressor: train any regressor without the suspect rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.utils import RegressorTags

from ..scorers._base import BaseDifficultyScorer
from ..scorers._pipelines import scorer_in
from ..scorers.target_error import TargetErrorScorer
from ._filtered import BaseFiltered

__all__ = ["FilteredRegressor"]

_DEFAULT_SEED = 0  # of the scorer that None stands for, which has no random_state to set


class FilteredRegressor(BaseFiltered):
    """Train a regressor without the rows whose targets look wrong, or with others for them.

    A clone of the scorer is fitted on the training rows, the suspect ones are dropped, given other
    targets or given less weight, and a clone of the estimator, which need not be a network, is
    trained on the result. Rows to be predicted are never filtered: in a cross-validation only
    training folds are.

    Parameters
    ----------
    estimator : regressor, default=None
        Any regressor of scikit-learn's kind. None takes ``Ridge()``.
    scorer : difficulty scorer, default=None
        Says which rows are suspect; it must be one for regression, such as `TargetErrorScorer`,
        `ConFragSelector`, or ``TrainingDynamicsScorer(measure="residual")``. None takes
        ``TargetErrorScorer(random_state=0)``.
    drop : float or "auto", default="auto"
        Share of the rows, in [0, 1), that is suspect, hardest first. "auto" suspects the rows of
        which the target is more likely wrong than right (`error_probability_` above 0.5), none if
        there are none, and needs a scorer that says so, such as `TargetErrorScorer`; of
        `ConFragSelector` the rows that are more likely left out than selected.
    threshold : float, default=None
        Suspect the rows of which the difficulty is larger, in place of `drop`.
    action : {"drop", "relabel", "weight"}, default="drop"
        What is done. "drop" leaves the suspect rows out. "relabel" gives them the
        `suggested_target_` of the scorer. "weight" weighs every row by one minus its
        `error_probability_`, times the `sample_weight` that is given, and ignores `drop` and
        `threshold`; the estimator must take a `sample_weight`.
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
    estimator_ : regressor
        The fitted clone.
    scorer_ : difficulty scorer
        The fitted clone.
    difficulty_ : ndarray of shape (n_samples,), float32
        That of all training rows.
    sample_indices_ : ndarray of shape (n_kept,)
        Positions of the rows that the estimator was trained on; all of them unless the action is
        "drop".
    dropped_indices_ : ndarray of shape (n_dropped,)
        Positions of the others.
    relabelled_indices_ : ndarray of shape (n_relabelled,)
        Positions of the rows of which the target was changed.
    n_features_in_ : int
        Size of axis 1 of X, for arrays.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, for DataFrames whose names are all strings.

    See Also
    --------
    TargetErrorScorer : Estimates which targets are wrong, and what they should be.
    ConFragRegressor : Selects rows anew in every epoch.
    FilteredClassifier : For labels; says more about tuning, caching and metadata.
    TrainingDynamicsScorer : Ranks rows by the residuals of one training.

    Notes
    -----
    Rows of which the score or the error probability is undefined are not suspect, and the easiest
    row is kept. A large residual can mean a wrong target as well as one that is right and rare: a
    share of the rows is dropped whether or not anything is wrong with them, and where nothing is,
    that makes a regressor worse. "auto" drops what is likely wrong. The user guide has
    :ref:`figures of both <wrong_targets>`.

    Targets are numbers, whether or not they are whole: no row is kept for the sake of its target.
    With several outputs a row is dropped as a whole.

    `fit` passes `groups` and `scoring_view` to the scorer and all else, as `sample_weight`, to the
    estimator. The scorer does not see sample weights.

    Examples
    --------
    >>> from sklearn.datasets import make_friedman1
    >>> from sklearn.ensemble import HistGradientBoostingRegressor
    >>> from sklearn_difficulty import FilteredRegressor, TargetErrorScorer
    >>> from sklearn_difficulty.datasets import make_target_noise
    >>> X, y = make_friedman1(600, noise=0.5, random_state=0)
    >>> y_noisy, is_wrong, _ = make_target_noise(
    ...     y, "unit", level=2.54, rate=0.1, random_state=0
    ... )
    >>> judge = HistGradientBoostingRegressor(
    ...     loss="absolute_error", random_state=0
    ... )
    >>> scorer = TargetErrorScorer(judge, random_state=0)
    >>> filtered = FilteredRegressor(judge, scorer=scorer).fit(X, y_noisy)
    >>> dropped = filtered.dropped_indices_
    >>> f"{len(dropped)} dropped, {is_wrong[dropped].sum()} of {is_wrong.sum()} wrong ones"
    '66 dropped, 58 of 60 wrong ones'
    """

    _kind = "regressor"
    _instead_of_none = {
        "estimator": "Ridge(...)",
        "scorer": "TargetErrorScorer(...)",
    }
    _suggestion = "suggested_target_"
    _provides: tuple[str, ...] = ()

    def __init__(
        self,
        estimator: Any = None,
        *,
        scorer: Any = None,
        drop: float | str = "auto",
        threshold: float | None = None,
        action: str = "drop",
        memory: Any = None,
        cache_key: str | None = None,
    ) -> None:
        self.estimator = estimator
        self.scorer = scorer
        self.drop = drop
        self.threshold = threshold
        self.action = action
        self.memory = memory
        self.cache_key = cache_key

    def _estimator(self) -> Any:
        return Ridge() if self.estimator is None else self.estimator

    def _scorer(self) -> Any:
        return TargetErrorScorer(random_state=_DEFAULT_SEED) if self.scorer is None else self.scorer

    def _suspect(self, y: Any) -> NDArray[np.bool_]:
        scored = scorer_in(self.scorer_)
        is_ours = isinstance(scored, BaseDifficultyScorer)
        if is_ours and getattr(scored, "classes_", None) is not None:
            raise ValueError(
                f"{type(scored).__name__} has taken the targets for classes. Give it a "
                "network that is a regressor, such as NeuralNetRegressor(...), or take a scorer "
                "for regression, such as TargetErrorScorer."
            )
        return super()._suspect(y)

    def _labels(self, y: Any) -> None:
        return None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.regressor_tags = tags.regressor_tags or RegressorTags()
        return tags
