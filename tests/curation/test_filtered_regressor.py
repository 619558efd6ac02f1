# SPDX-License-Identifier: BSD-3-Clause
"""FilteredRegressor: what is done with suspect targets, of scorers whose answers are known."""

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import KNeighborsRegressor

from sklearn_difficulty import DifficultyFilter, FilteredRegressor, TrainingDynamicsScorer
from sklearn_difficulty.datasets import make_target_noise
from sklearn_difficulty.metrics import label_error_scoring

pytestmark = pytest.mark.usefixtures("one_thread", "seeded")

nan = np.nan
# Six rows: the difficulty, the probability of a wrong target, what is to be added to the target.
X6 = np.array(
    [[3, 0.9, 1], [1, 0.1, 2], [5, 0.6, -3], [2, 0.5, 4], [4, 0.2, 5], [0, 0.0, 6]], dtype=float
)
Y6 = np.array([1.0, 2, 3, 4, 5, 6])
W6 = np.array([1.0, 2, 3, 4, 5, 6])


class Says(BaseEstimator):
    """A scorer for regression that reads what it says from the columns of X."""

    _provides = ("error_probability_", "suggested_target_")

    def fit(self, X, y, *, groups=None, scoring_view=None):
        X, y = np.asarray(X), np.asarray(y)
        self.classes_ = None
        self.difficulty_ = X[:, 0].astype(np.float32)
        self.error_probability_ = X[:, 1]
        self.suggested_target_ = y + X[:, 2].reshape(-1, *[1] * (y.ndim - 1))
        return self


class Selects(BaseEstimator):
    """One that says how likely it is to select a row."""

    _provides = ("selection_probability_",)

    def fit(self, X, y):
        self.difficulty_ = X[:, 0].astype(np.float32)
        self.selection_probability_ = 1 - X[:, 1]
        return self


class Remembers(RegressorMixin, BaseEstimator):
    def fit(self, X, y, sample_weight=None):
        self.X_, self.y_, self.sample_weight_ = X, y, sample_weight
        return self

    def predict(self, X):
        return np.zeros(len(X))


def fit6(scorer=None, X=X6, y=Y6, metadata=None, **params):
    scorer = Says() if scorer is None else scorer
    filtered = FilteredRegressor(Remembers(), scorer=scorer, **params)
    return filtered.fit(X, y, **(metadata or {}))


@pytest.mark.parametrize("scorer", [Says(), Selects()])
@pytest.mark.parametrize("y", [Y6, Y6.astype(int), np.c_[Y6, -Y6], np.r_[0, 0, 0, 0, 1, 2]])
def test_auto_drops_what_is_more_likely_wrong(scorer, y):
    found = fit6(scorer, y=y, drop="auto", metadata={"sample_weight": W6})
    assert_array_equal(found.dropped_indices_, [0, 2])
    assert_array_equal(found.estimator_.y_, y[[1, 3, 4, 5]])
    assert_array_equal(found.estimator_.sample_weight_, W6[[1, 3, 4, 5]])
    kept = DifficultyFilter(scorer).fit(X6, y).sample_indices_
    assert_array_equal(kept, found.sample_indices_)


def test_auto_drops_nothing_where_nothing_is_likely_wrong():
    X = np.c_[X6[:, 0], X6[:, 1] / 2, X6[:, 2]]
    assert len(fit6(X=X, drop="auto").dropped_indices_) == 0
    X[0, 1] = nan
    assert len(fit6(X=X, drop="auto").dropped_indices_) == 0


@pytest.mark.parametrize("columns", [0, 1, 2])
@pytest.mark.parametrize("dtype", [int, np.float32])
def test_relabel(columns, dtype):
    y = (np.tile(Y6[:, None], max(columns, 1)) if columns else Y6).astype(dtype)
    found = fit6(y=y, action="relabel", drop="auto", metadata={"sample_weight": W6})
    expected = y + np.array([1, 0, -3, 0, 0, 0]).reshape(-1, *[1] * (y.ndim - 1))
    assert_array_equal(found.estimator_.y_, expected)
    assert_array_equal(found.relabelled_indices_, [0, 2])
    assert_array_equal(found.estimator_.sample_weight_, W6)
    assert_array_equal(found.estimator_.X_, X6)
    assert len(found.dropped_indices_) == 0
    assert len(found.sample_indices_) == 6


def test_a_share_is_relabelled_hardest_first():
    found = fit6(y=pd.Series(Y6, index=Y6 * 3), action="relabel", drop=1 / 3)
    assert_array_equal(found.relabelled_indices_, [2, 4])
    assert_array_equal(found.estimator_.y_, [1, 2, 0, 4, 10, 6])


def test_weight():
    found = fit6(action="weight", metadata={"sample_weight": W6}, drop=0.9)
    assert_allclose(found.estimator_.sample_weight_, W6 * (1 - X6[:, 1]))
    assert_array_equal(found.estimator_.y_, Y6)
    X = np.c_[X6[:, :1], np.r_[0.9, nan, 0.6, 0.99, 0.8, 0.7], X6[:, 2:]]
    assert_allclose(fit6(X=X, action="weight").estimator_.sample_weight_[:2], [0.1, 1])
    X[1, 1] = 0.95
    with pytest.warns(UserWarning, match="All rows are more likely wrong than right"):
        found = fit6(X=X, action="weight")
    assert_allclose(found.estimator_.sample_weight_, [0.1, 0.05, 1, 0.01, 0.2, 0.3])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"scorer": Selects(), "action": "weight"}, "action='weight' needs a scorer with error_pr"),
        ({"scorer": Selects(), "action": "relabel"}, "with suggested_target_.*TargetErrorScorer"),
        (
            {"scorer": TrainingDynamicsScorer(measure="residual"), "drop": "auto"},
            "drop='auto' needs a scorer with error_probability_.*TargetErrorScorer",
        ),
        (
            {"scorer": Says(), "estimator": KNeighborsRegressor(), "action": "weight"},
            "sample_weight in fit, which KNeighborsRegressor does not",
        ),
    ],
)
def test_what_a_scorer_does_not_have(params, message):
    with pytest.raises(ValueError, match=message):
        FilteredRegressor(**params).fit(X6, Y6)


def test_whole_numbers_are_no_classes():
    X = np.random.default_rng(0).normal(size=(120, 3)).astype(np.float32)
    years = np.rint(1990 + 5 * X[:, 0]).astype(int)
    given, is_wrong, _ = make_target_noise(years, "shift", level=60, rate=0.1, random_state=0)
    scorer = TrainingDynamicsScorer(measure="residual", random_state=0)
    for y in (given, given.tolist(), torch.tensor(given), pd.Series(given)):
        filtered = FilteredRegressor(scorer=scorer, drop=0.1).fit(X, y)
        assert is_wrong[filtered.dropped_indices_].all()
        assert len(filtered.dropped_indices_) == 12
    assert abs(filtered.predict(X) - years).mean() < 1


def test_a_search_over_drop_and_the_network():
    X = np.random.default_rng(0).normal(size=(120, 3)).astype(np.float32)
    filtered = FilteredRegressor(Ridge(), scorer=Says())
    X[:, 1] = (X[:, 1] > 1) * 0.9
    grid = {"drop": ["auto", 0.1], "action": ["drop", "relabel", "weight"], "estimator__alpha": [1]}
    search = GridSearchCV(filtered, grid, cv=3, error_score="raise").fit(X, X[:, 0])
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_a_search_over_scorers_by_verified_targets():
    X = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    years = np.rint(1990 + 5 * X[:, 0]).astype(int)
    given, is_wrong, _ = make_target_noise(years, "shift", level=30, rate=0.2, random_state=0)
    folds = StratifiedKFold(2, shuffle=True, random_state=0).split(X, is_wrong)
    scorer = TrainingDynamicsScorer(measure="residual", random_state=0)
    search = GridSearchCV(
        scorer, {"checkpoints": [1, 5]}, scoring=label_error_scoring(), cv=list(folds)
    )
    with config_context(enable_metadata_routing=True):
        search.fit(X, given, verdicts=is_wrong)
    assert search.best_score_ > 0.9


def test_several_outputs_are_dropped_as_a_row():
    X = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    y = X[:, :2] + 5
    given, is_wrong, _ = make_target_noise(y, "unit", level=10, rate=0.05, random_state=0)
    scorer = TrainingDynamicsScorer(measure="residual", random_state=0)
    filtered = FilteredRegressor(scorer=scorer, drop=is_wrong.any(axis=1).mean()).fit(X, given)
    assert is_wrong.any(axis=1)[filtered.dropped_indices_].all()
    assert filtered.predict(X).shape == (200, 2)
