# SPDX-License-Identifier: BSD-3-Clause
"""Scorers with preprocessing of their own: the estimator gets the rows as they are."""

import numpy as np
import pandas as pd
import pytest
from imblearn.pipeline import make_pipeline as make_imbalanced_pipeline
from imblearn.under_sampling import RandomUnderSampler
from numpy.testing import assert_allclose, assert_array_equal
from scripted import Recorder, Scripted, fits
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.datasets import load_wine
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from small_nets import make_net

from sklearn_difficulty import (
    DifficultyFilter,
    FilteredClassifier,
    LabelErrorScorer,
    TrainingDynamicsScorer,
    TrainingRecord,
)
from sklearn_difficulty.datasets import make_label_noise
from sklearn_difficulty.model_selection import benchmark_scorers, cross_val_difficulty

pytestmark = pytest.mark.usefixtures("one_thread", "seeded")
filters = pytest.mark.parametrize("cls", [DifficultyFilter, FilteredClassifier])

# Ten times too large: the step in front of the scorer divides by ten.
TABLE = np.array([[0.0, 0.1], [9.0, 0.2], [1.0, 0.3], [2.0, 0.9]])
LABELS = np.array(["a", "b", "b", "a"])


class Tenth(TransformerMixin, BaseEstimator):
    """Divides by ten, and remembers what it has seen."""

    def __init__(self, by=10):
        self.by = by

    def fit(self, X, y=None, *, groups=None):
        self.seen_, self.groups_ = np.array(X), groups
        return self

    def transform(self, X):
        return np.asarray(X) / self.by


def filter_of(cls, scorer, **params):
    if cls is DifficultyFilter:
        return cls(scorer, **params)
    return cls(Recorder(), scorer=scorer, **params)


@filters
def test_steps_are_the_scorers_own(cls):
    steps = make_pipeline(Tenth(), Scripted())
    found = filter_of(cls, steps, drop=0.25).fit(TABLE, LABELS)
    assert_array_equal(found.dropped_indices_, [1])
    assert_allclose(found.difficulty_, TABLE[:, 0] / 10)
    assert_array_equal(found.scorer_[0].seen_, TABLE)
    assert not hasattr(steps[0], "seen_")
    if cls is FilteredClassifier:
        assert_array_equal(found.estimator_.X_, TABLE[[0, 2, 3]])
    nested = make_pipeline(Tenth(), Pipeline([("only", steps)]))
    found = filter_of(cls, nested, threshold=0.05).fit(TABLE, LABELS)
    assert_array_equal(found.dropped_indices_, [1])
    assert_allclose(found.difficulty_, TABLE[:, 0] / 100)
    tuned = clone(found).set_params(scorer__tenth__by=20)
    assert_allclose(tuned.fit(TABLE, LABELS).difficulty_, TABLE[:, 0] / 200)
    idle = Pipeline([("none", "passthrough"), ("scorer", Scripted())])
    assert_allclose(filter_of(cls, idle, drop=0.25).fit(TABLE, LABELS).difficulty_, TABLE[:, 0])


@filters
def test_metadata_reach_the_scorer_and_the_view_goes_through_the_steps(cls):
    groups = np.array([0, 0, 1, 1])
    found = filter_of(cls, make_pipeline(Tenth(), Scripted()), drop=0.25)
    found.fit(TABLE, LABELS, groups=groups, scoring_view=TABLE + 10)
    assert_array_equal(found.scorer_[-1].groups_, groups)
    assert_allclose(found.scorer_[-1].view_, (TABLE + 10) / 10)
    with config_context(enable_metadata_routing=True):
        for step, expected in (
            (Tenth(), None),
            (Tenth().set_fit_request(groups=True), groups),
        ):
            steps = make_pipeline(
                step if expected is not None else step.set_fit_request(groups=False),
                Scripted().set_fit_request(groups=True),
            )
            found = filter_of(cls, steps, drop=0.25).fit(TABLE, LABELS, groups=groups)
            assert_array_equal(found.scorer_[-1].groups_, groups)
            assert_array_equal(found.scorer_[0].groups_, expected)


def test_everything_of_the_scorer_can_be_read():
    table = np.column_stack([TABLE * 10, [0, 10, 10, 10]])
    steps = make_pipeline(Tenth(), Scripted())
    found = FilteredClassifier(Recorder(), scorer=steps, action="relabel", drop=0.25)
    assert_array_equal(found.fit(table, LABELS).estimator_.y_, LABELS)
    assert_array_equal(found.set_params(drop="auto").fit(table, LABELS).relabelled_indices_, [3])
    found.set_params(action="weight").fit(table, LABELS)
    assert_allclose(found.estimator_.sample_weight_, [0.9, 0.8, 0.7, 0.1])


def test_memory_knows_the_steps(tmp_path):
    found = FilteredClassifier(
        Recorder(), scorer=make_pipeline(Tenth(), Scripted()), drop=0.25, memory=str(tmp_path)
    )
    fits.n = 0
    for by, n_fits in ((10, 1), (10, 1), (5, 2)):
        found.set_params(scorer__tenth__by=by).fit(TABLE, LABELS)
        assert fits.n == n_fits
        assert_allclose(found.difficulty_, TABLE[:, 0] / by)
    kept = make_pipeline(Tenth(), Scripted(), memory=str(tmp_path / "steps"))
    filtered = DifficultyFilter(kept, drop=0.25).fit(TABLE, LABELS)
    assert_array_equal(filtered.scorer_[0].seen_, TABLE)


def drop_one(X):
    return X[1:]


REFUSED = {
    "sampler": (
        make_imbalanced_pipeline(RandomUnderSampler(), Scripted()),
        "step 'randomundersampler' .* RandomUnderSampler, drops or adds rows",
    ),
    "function": (
        make_pipeline(FunctionTransformer(drop_one), Scripted()),
        r"steps \['functiontransformer'\] .* make 3 rows of 4",
    ),
    "no scorer": (make_pipeline(Tenth(), "passthrough"), "'passthrough', is no scorer"),
    "transformer": (make_pipeline(Tenth(), StandardScaler()), "StandardScaler must have a diffic"),
    "precomputed": (make_pipeline(Tenth(), LabelErrorScorer("precomputed")), "reads class prob"),
}


@pytest.mark.parametrize(("scorer", "message"), REFUSED.values(), ids=REFUSED)
@filters
def test_what_cannot_score_the_given_rows_is_refused(cls, scorer, message):
    with pytest.raises(ValueError, match=message):
        filter_of(cls, scorer, drop=0.25).fit(TABLE, LABELS)


def test_what_a_setting_needs_is_said_of_the_scorer_at_the_end():
    steps = make_pipeline(StandardScaler(), TrainingDynamicsScorer())
    with pytest.raises(ValueError, match=r"needs a scorer with error_prob.*TrainingDynamics"):
        FilteredClassifier(scorer=steps).fit(TABLE, LABELS)


def test_records_are_compared_with_the_rows_behind_the_steps(data):
    X, y = data
    record = TrainingRecord.from_fit(make_net(max_epochs=1), X / 10, y, random_state=0)
    steps = make_pipeline(Tenth(), TrainingDynamicsScorer(record))
    found = DifficultyFilter(steps, drop=0.25).fit(X, y)
    assert_array_equal(found.difficulty_, TrainingDynamicsScorer(record).fit(X / 10, y).difficulty_)
    with pytest.raises(ValueError, match="other rows"):
        DifficultyFilter(steps, drop=0.25).fit(X + 1, y)


# ---------------------------------------------------------------------------- tables as they come

X_WINE, Y_WINE = load_wine(return_X_y=True)
Y_NOISY, IS_FLIPPED = make_label_noise(Y_WINE, 0.1, random_state=0)
FRAME = pd.DataFrame(X_WINE, columns=[f"x{j}" for j in range(13)])
FRAME.loc[::7, "x0"] = np.nan
FRAME["region"] = pd.Categorical(np.where(Y_WINE == 0, "north", "south"))
ENCODER = ColumnTransformer(
    [
        ("numbers", SimpleImputer(), make_column_selector(dtype_include="number")),
        (
            "names",
            OneHotEncoder(sparse_output=False),
            make_column_selector(dtype_include="category"),
        ),
    ]
)
STEPS = make_pipeline(ENCODER, StandardScaler(), LabelErrorScorer(GaussianNB(), random_state=0))


def test_trees_keep_missing_values_and_categories():
    trees = HistGradientBoostingClassifier(max_iter=5, categorical_features="from_dtype")
    filtered = FilteredClassifier(trees, scorer=STEPS).fit(FRAME, Y_NOISY)
    assert filtered.estimator_.is_categorical_.sum() == 1
    assert IS_FLIPPED[filtered.dropped_indices_].mean() > 0.7
    assert filtered.feature_names_in_.tolist() == FRAME.columns.tolist()
    assert filtered.score(FRAME, Y_WINE) > 0.9
    assert filtered.scorer_.score_samples(FRAME.iloc[:3]).shape == (3,)
    search = GridSearchCV(filtered, {"scorer__standardscaler": ["passthrough"]}, cv=2)
    assert search.fit(FRAME, Y_NOISY).best_estimator_.scorer_[1] == "passthrough"


def test_helpers_take_them():
    difficulty = cross_val_difficulty(STEPS, FRAME, Y_NOISY, cv=3, random_state=0)
    assert IS_FLIPPED[np.argsort(-difficulty)[:8]].mean() > 0.7
    table = benchmark_scorers(FRAME, Y_WINE, {"bayes": STEPS}, n_repeats=1, random_state=0)
    assert table["average_precision"][0] > 0.7
    with pytest.raises(ValueError, match="drops or adds rows"):
        cross_val_difficulty(make_imbalanced_pipeline(RandomUnderSampler(), STEPS), FRAME, Y_NOISY)
