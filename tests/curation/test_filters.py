# SPDX-License-Identifier: BSD-3-Clause
"""What all that filters has in common: kinds of rows, metadata, what is refused and forgotten."""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from imblearn.pipeline import make_pipeline as make_imbalanced_pipeline
from numpy.testing import assert_array_equal
from scipy import sparse
from scripted import Recorder, Scripted
from sklearn import config_context
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_validate
from sklearn.preprocessing import StandardScaler
from small_nets import codes_of, make_net

from sklearn_difficulty import (
    ConsistencyScorer,
    DifficultyFilter,
    DifficultyQuadrantClassifier,
    FilteredClassifier,
    LabelErrorScorer,
    NeighborConfidenceScorer,
    TrainingDynamicsScorer,
    TrainingRecord,
    VoGScorer,
)
from sklearn_difficulty.training import RecordTraining, ResampledEnsemble

pytestmark = pytest.mark.usefixtures("one_thread", "seeded")

filters = pytest.mark.parametrize("cls", [DifficultyFilter, FilteredClassifier])
KEPT = [0, 2, 3]  # of the difficulties 0, 9, 1, 2
TABLE = np.array([[0.0, 0.1], [9.0, 0.2], [1.0, 0.3], [2.0, 0.4]])
LABELS = np.array(["a", "b", "b", "a"])
GROUPS = np.array([0, 0, 1, 1])


def filter_of(cls, scorer=None, **params):
    scorer = Scripted() if scorer is None else scorer
    if cls is DifficultyFilter:
        return cls(scorer, **params)
    return cls(Recorder(), scorer=scorer, **params)


def left(cls, X, y):
    """Return the rows and labels that are left when the hardest of four is dropped."""
    found = filter_of(cls, drop=0.25)
    if cls is DifficultyFilter:
        return found.fit_resample(X, y)
    estimator = found.fit(X, y).estimator_
    return estimator.X_, estimator.y_


# ---------------------------------------------------------------------------- kinds of rows


@filters
def test_rows_come_back_as_they_were(cls):
    X, y = left(cls, TABLE, LABELS)
    assert_array_equal(X, TABLE[KEPT])
    assert_array_equal(y, LABELS[KEPT])
    assert left(cls, TABLE.tolist(), LABELS.tolist()) == (TABLE[KEPT].tolist(), ["a", "b", "a"])
    frame = pd.DataFrame(TABLE, columns=["u", "v"], index=[7, 8, 9, 3])
    series = pd.Series(LABELS, index=frame.index, name="kind")
    X, y = left(cls, frame, series)
    pd.testing.assert_frame_equal(X, frame.iloc[KEPT])
    pd.testing.assert_series_equal(y, series.iloc[KEPT])
    frame = pl.DataFrame(TABLE, schema=["u", "v"])
    X, y = left(cls, frame, pl.Series("kind", LABELS))
    assert X.equals(frame[KEPT])
    assert y.to_list() == LABELS[KEPT].tolist()
    X, _ = left(cls, torch.tensor(TABLE), LABELS)
    assert isinstance(X, torch.Tensor)
    assert_array_equal(X, TABLE[KEPT])
    X, _ = left(cls, sparse.coo_array(TABLE), LABELS)
    assert_array_equal(X.toarray(), TABLE[KEPT])
    X, y = left(cls, {"u": TABLE, "v": np.arange(4)}, LABELS)
    assert_array_equal(X["u"], TABLE[KEPT])
    assert_array_equal(X["v"], KEPT)
    assert_array_equal(y, LABELS[KEPT])


@filters
def test_names_copies_and_a_second_fit(cls, flowers):
    X, y = flowers
    frame = pd.DataFrame(X, columns=list("abcd"))
    scorer = NeighborConfidenceScorer(make_net(), n_neighbors=3, random_state=0)
    found = filter_of(cls, scorer, drop=0.1).fit(frame, y)
    assert not hasattr(scorer, "difficulty_")
    assert_array_equal(found.difficulty_, clone(scorer).fit(frame, y).difficulty_)
    assert found.feature_names_in_.tolist() == list("abcd")
    assert found.n_features_in_ == 4
    assert_array_equal(pickle.loads(pickle.dumps(found)).sample_indices_, found.sample_indices_)
    again = clone(found).set_params(scorer__estimator__lr=0.5)
    assert scorer.estimator.lr == 0.1
    assert not hasattr(again, "sample_indices_")
    assert again.fit(X, y).scorer_.estimator_.lr == 0.5
    if cls is FilteredClassifier:
        found.set_params(estimator=LogisticRegression()).fit(frame, y)
        with pytest.raises(ValueError, match="feature names"):
            found.predict(frame[list("dcba")])
    assert not hasattr(found.fit(X, y), "feature_names_in_")


# ---------------------------------------------------------------------------------- metadata


@filters
def test_groups_reach_the_scorer(cls):
    found = filter_of(cls, drop=0.25).fit(TABLE, LABELS, groups=GROUPS)
    assert_array_equal(found.scorer_.groups_, GROUPS)
    with config_context(enable_metadata_routing=True):
        scorer = Scripted().set_fit_request(groups=True)
        found = filter_of(cls, scorer, drop=0.25).fit(TABLE, LABELS, groups=GROUPS)
        assert_array_equal(found.scorer_.groups_, GROUPS)
        with pytest.raises((ValueError, TypeError), match="groups"):
            filter_of(cls, drop=0.25).fit(TABLE, LABELS, groups=GROUPS)


@filters
def test_groups_inside_a_cross_validation(cls):
    X, y, groups = np.column_stack([np.arange(24.0)] * 2), np.arange(24) % 2, np.arange(24) // 4
    scorer = Scripted()
    found = make_imbalanced_pipeline(filter_of(cls, scorer, drop=0.25), Recorder())
    found = found[:1] if cls is FilteredClassifier else found
    cv = GroupKFold(2)
    scores = cross_validate(found, X, y, cv=cv, groups=groups, return_estimator=True)
    assert [fold[0].scorer_.groups_ for fold in scores["estimator"]] == [None, None]
    with config_context(enable_metadata_routing=True):
        scorer.set_fit_request(groups=True)
        params = {"groups": groups}
        scores = cross_validate(found, X, y, cv=cv, params=params, return_estimator=True)
        search = GridSearchCV(found, {}, cv=2).fit(X, y, groups=groups)
    assert [len(fold[0].scorer_.groups_) for fold in scores["estimator"]] == [12, 12]
    assert_array_equal(search.best_estimator_[0].scorer_.groups_, groups)


# ------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"threshold": np.nan}, "'threshold' parameter"),
        ({"scorer": Scripted(lacks=["error_probability_"])}, "drop='auto' needs a scorer with"),
        ({"scorer": Scripted(lacks=["difficulty_"]), "drop": 0.1}, r"difficulty_ of shape \(4,\)"),
        ({"quadrants": ("ambiguous",)}, "needs a DifficultyQuadrantClassifier as scorer; Scripted"),
        ({"scorer": DifficultyQuadrantClassifier(), "quadrants": ("wrong",)}, "must name some of"),
        ({"scorer": DifficultyQuadrantClassifier(), "quadrants": ()}, "must name some of"),
        ({"scorer": StandardScaler(), "drop": 0.1}, "must have a difficulty_ of shape"),
        ({"scorer": LabelErrorScorer("precomputed")}, "a filter passes one X to the scorer and on"),
    ],
)
@filters
def test_bad_settings(cls, params, message):
    with pytest.raises(ValueError, match=message):
        filter_of(cls, **params).fit(TABLE, LABELS)


@filters
def test_datasets_are_refused(cls):
    dataset = torch.utils.data.TensorDataset(torch.zeros(6, 2), torch.arange(6) % 2)
    with pytest.raises(TypeError, match=r"Subset\(dataset, indices\)|whose labels lie inside it"):
        filter_of(cls, TrainingDynamicsScorer(), drop=0.1).fit(dataset, np.arange(6) % 2)


@filters
def test_trainings_on_other_rows_are_refused(cls, flowers):
    X, y = flowers[0], codes_of(flowers[1])
    record = TrainingRecord.from_fit(make_net(), X, y, random_state=0)
    net = make_net(callbacks=[RecordTraining()], train_split=None).fit(X, y)
    ensemble = ResampledEnsemble(make_net(), n_members=2, train_size=0.5, random_state=0)
    trained = [VoGScorer(record), VoGScorer(FrozenEstimator(net)), TrainingDynamicsScorer(record)]
    for scorer in (*trained, ConsistencyScorer(ensemble.fit(X, y))):
        found = filter_of(cls, scorer, drop=0.1)
        assert len(found.fit(X, y).dropped_indices_) == 15
        # VoG is read from checkpoints alone, and would only warn.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(ValueError, match=r"other rows \(100 rows instead of 150\)"):
                found.fit(X[:100], y[:100])
            with pytest.raises(ValueError, match=r"other rows \(other labels\).*ass the net"):
                found.fit(X, 2 - y)


@filters
def test_a_scorer_that_cannot_tell_of_the_noise_is_refused_with_its_reason(cls, flowers):
    settings = {"method": "one_fit", "n_neighbors": None, "random_state": 0}
    scorer = LabelErrorScorer(make_net(max_epochs=2), **settings)
    filter_of(cls, scorer, drop=0.1).fit(*flowers)
    filter_of(cls, scorer, threshold=0.9).fit(*flowers)
    because = r"with method='one_fit' .*n_neighbors is None\..*"
    with pytest.raises(ValueError, match=rf"drop='auto' needs .*{because} Or set drop to a share"):
        filter_of(cls, scorer).fit(*flowers)
    if cls is FilteredClassifier:
        for params, setting in (
            ({"action": "weight"}, "action='weight'"),
            ({"action": "relabel", "drop": 0.1}, "action='relabel'"),
        ):
            with pytest.raises(ValueError, match=rf"{setting} needs .*{because}"):
                filter_of(cls, scorer, **params).fit(*flowers)


@filters
def test_a_fit_that_fails_leaves_nothing_of_the_one_before(cls):
    found = filter_of(cls, drop=0.25).fit(TABLE, LABELS)
    for scorer in (TrainingDynamicsScorer(), StandardScaler()):
        found.set_params(scorer=scorer, drop="auto" if scorer is not StandardScaler else 0.1)
        with pytest.raises(ValueError, match=r"needs a scorer with|difficulty_ of shape"):
            found.fit(TABLE, LABELS)
        assert not [name for name in vars(found) if name.endswith("_")]
    found.set_params(scorer=Scripted(lacks=["error_probability_"]), drop=0.25).fit(TABLE, LABELS)
    with pytest.raises(ValueError, match="needs a scorer with"):
        found.set_params(drop="auto").fit(TABLE[:3], LABELS[:3])
    assert len(found.difficulty_) == 3  # which is of these rows
    assert not hasattr(found, "sample_indices_")
    scorer = TrainingDynamicsScorer(random_state=0)
    before = dict(scorer.get_params())
    with pytest.raises(ValueError, match="NaN"):
        filter_of(cls, scorer, drop=0.1).fit(np.full((6, 2), np.nan), np.arange(6) % 2)
    assert scorer.get_params() == before
