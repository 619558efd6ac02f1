# SPDX-License-Identifier: BSD-3-Clause
"""FilteredClassifier and FilteredRegressor: what the estimator is given, and what it is asked.

Which rows are suspect is tested with DifficultyFilter.
"""

import warnings
from collections import UserDict

import numpy as np
import pandas as pd
import pytest
import torch
from joblib import Memory
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scripted import CountFits, Recorder, Scripted, fits
from sklearn import config_context
from sklearn.base import (
    BaseEstimator,
    RegressorMixin,
    clone,
    is_classifier,
    is_regressor,
)
from sklearn.cluster import KMeans
from sklearn.datasets import load_diabetes, load_digits, load_wine
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_validate, train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR
from sklearn.utils import get_tags
from skorch import NeuralNetRegressor
from small_nets import TwoLayers, make_net

from sklearn_difficulty import (
    ConsistencyScorer,
    DifficultyQuadrantClassifier,
    LabelErrorScorer,
    NeighborConfidenceScorer,
    TrainingDynamicsScorer,
    TrainingRecord,
    VoGScorer,
)
from sklearn_difficulty.curation import FilteredClassifier, FilteredRegressor
from sklearn_difficulty.datasets import make_label_noise
from sklearn_difficulty.training import MLP, ResampledEnsemble, default_network

pytestmark = pytest.mark.usefixtures("one_thread", "seeded")

nan = np.nan


class Weightless(Recorder):
    def fit(self, X, y):
        return super().fit(X, y)


# Six rows: the difficulty, the probability of a wrong label, the code of the suggested one.
X6 = np.array(
    [[3, 0.9, 1], [1, 0.1, 0], [5, 0.6, 0], [2, 0.5, 2], [4, 0.2, 1], [0, 0.0, 2]], dtype=float
)
Y6 = np.array(["a", "a", "b", "b", "c", "c"])
W6 = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])


def fit6(estimator=None, scorer=None, X=X6, y=Y6, metadata=None, **params):
    estimator = Recorder() if estimator is None else estimator
    scorer = Scripted() if scorer is None else scorer
    return FilteredClassifier(estimator, scorer=scorer, **params).fit(X, y, **(metadata or {}))


@pytest.fixture(autouse=True)
def no_fits_yet():
    fits.n = 0


@pytest.fixture(scope="module")
def wine():
    X, y = load_wine(return_X_y=True)
    X = StandardScaler().fit_transform(X).astype(np.float32)
    return X, np.array(["barolo", "grignolino", "barbera"])[y]


def small_net(**settings):
    return make_net(**{"module__n_inputs": 13, "max_epochs": 8, "batch_size": 16, **settings})


def label_errors(net=None, **params):
    defaults = {"n_members": 2, "train_size": 0.5, "n_neighbors": 5, "random_state": 0}
    return LabelErrorScorer(net, **{**defaults, **params})


# ------------------------------------------------------------------------------------ what is done


@pytest.mark.parametrize(
    ("params", "dropped"),
    [({}, [0, 2]), ({"drop": 1 / 6}, [2]), ({"drop": 0.0}, []), ({"threshold": 3.5}, [2, 4])],
)
def test_drop(params, dropped):
    found = fit6(metadata={"sample_weight": W6}, **params)
    kept = np.setdiff1d(np.arange(6), dropped)
    assert_array_equal(found.estimator_.X_, X6[kept])
    assert_array_equal(found.estimator_.y_, Y6[kept])
    assert_array_equal(found.estimator_.sample_weight_, W6[kept])
    assert_array_equal(found.dropped_indices_, dropped)
    assert_array_equal(found.sample_indices_, kept)
    assert len(found.relabelled_indices_) == 0
    assert_array_equal(found.difficulty_, X6[:, 0])
    assert found.classes_.tolist() == ["a", "b", "c"]


def test_a_class_of_suspects_keeps_a_row():
    X = X6.copy()
    X[:2, 1] = [0.9, 0.8]
    with pytest.warns(UserWarning, match=r"class\(es\) \['a'\] would be dropped"):
        found = fit6(X=X)
    assert_array_equal(found.dropped_indices_, [0, 2])
    assert found.estimator_.classes_.tolist() == ["a", "b", "c"]
    X[:, 1] = [0.9, 0.8, 0.7, 0.99, 0.8, 0.9]
    with pytest.warns(UserWarning, match="would be dropped"):
        found = fit6(X=X)
    assert_array_equal(found.sample_indices_, [1, 2, 4])


def test_relabel():
    found = fit6(action="relabel", metadata={"sample_weight": W6})
    # Rows 0 and 2 are suspect; others keep their label, whatever is suggested.
    assert_array_equal(found.estimator_.X_, X6)
    assert_array_equal(found.estimator_.y_, ["b", "a", "a", "b", "c", "c"])
    assert_array_equal(found.estimator_.sample_weight_, W6)
    assert_array_equal(found.relabelled_indices_, [0, 2])
    assert_array_equal(found.sample_indices_, np.arange(6))
    assert len(found.dropped_indices_) == 0


def test_relabel_by_the_given_label_changes_nothing():
    found = fit6(action="relabel", threshold=3.5)  # rows 2 and 4, of which 2 is to be an "a"
    assert_array_equal(found.estimator_.y_, ["a", "a", "a", "b", "b", "c"])
    X = X6.copy()
    X[2, 2] = 1
    assert_array_equal(fit6(X=X, action="relabel", threshold=3.5).relabelled_indices_, [4])


def test_relabel_leaves_no_class_without_rows():
    X = X6.copy()
    X[:, 1], X[:, 2] = [0.9, 0.8, 0.7, 0.6, 0.55, 0.95], 0
    with pytest.warns(UserWarning, match="would be dropped"):
        found = fit6(X=X, action="relabel")
    assert_array_equal(found.estimator_.y_, ["a", "a", "a", "b", "c", "a"])
    assert_array_equal(found.relabelled_indices_, [2, 5])


def test_relabel_with_longer_names():
    y = np.array(["no", "no", "maybe", "maybe", "c", "c"])
    found = fit6(y=y, action="relabel")  # codes of c, maybe, no
    assert_array_equal(found.estimator_.y_, ["maybe", "no", "c", "maybe", "c", "c"])


def test_weight():
    found = fit6(action="weight", drop=0.9, threshold=-1.0)
    expected = [0.1, 0.9, 0.4, 0.5, 0.8, 1.0]
    assert_allclose(found.estimator_.sample_weight_, expected)
    assert_array_equal(found.estimator_.X_, X6)
    assert_array_equal(found.estimator_.y_, Y6)
    assert_array_equal(found.sample_indices_, np.arange(6))
    assert len(found.dropped_indices_) == len(found.relabelled_indices_) == 0
    given = W6.copy()
    found = fit6(action="weight", metadata={"sample_weight": given})
    assert_allclose(found.estimator_.sample_weight_, W6 * expected)
    assert_array_equal(given, W6)
    X = X6.copy()
    X[0, 1] = nan
    assert fit6(X=X, action="weight").estimator_.sample_weight_[0] == 1


def test_weight_leaves_no_class_without_weight():
    X = X6.copy()
    X[:, 1] = [1.0, 0.999, 0.5, 1.0, 1.0, nan]
    with pytest.warns(UserWarning, match=r"class\(es\) \['a'\] are more likely wrong than right"):
        found = fit6(X=X, action="weight", metadata={"sample_weight": W6})
    assert_allclose(found.estimator_.sample_weight_, [0, 2, 1.5, 0, 0, 6])
    X[:, 1] = 1.0
    with pytest.warns(UserWarning, match=r"\['a', 'b', 'c'\]"):
        found = fit6(X=X, action="weight")
    assert_array_equal(found.estimator_.sample_weight_, [1, 0, 1, 0, 1, 0])


def test_rows_without_a_given_weight_do_not_stand_for_their_class():
    X = X6.copy()
    X[:, 1] = [0.9, 0.8, 0.9, 0.1, 0.9, 0.8]
    weight = np.array([3.0, 0.0, 2.0, 0.0, 0.0, 0.0])
    with pytest.warns(UserWarning, match=r"class\(es\) \['a', 'b'\] are"):
        found = fit6(X=X, action="weight", metadata={"sample_weight": weight})
    assert_array_equal(found.estimator_.sample_weight_, weight)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = fit6(action="weight", metadata={"sample_weight": W6})
    assert_allclose(found.estimator_.sample_weight_, W6 * (1 - X6[:, 1]))


def test_quadrants(wine):
    X, y = wine
    scorer = DifficultyQuadrantClassifier(
        small_net(), n_members=4, validation_size=0.5, n_neighbors=5, random_state=0
    )
    kind = "looks_like_a_different_class"
    found = FilteredClassifier(scorer=scorer, quadrants=(kind,)).fit(X, y)
    rows = np.flatnonzero(found.scorer_.difficulty_quadrant_ == 1)
    assert 0 < len(rows) < 60
    assert_array_equal(found.dropped_indices_, rows)
    nearest = FilteredClassifier(scorer=scorer, quadrants=(kind,), drop=1 / 178).fit(X, y)
    assert_array_equal(
        nearest.dropped_indices_, rows[[found.scorer_.corner_distance_[rows, 1].argmin()]]
    )
    changed = FilteredClassifier(Recorder(), scorer=scorer, quadrants=(kind,), action="relabel")
    changed.fit(X, y)
    assert_array_equal(changed.estimator_.y_, changed.scorer_.suggested_label_)


# ------------------------------------------------------------------------- what the rows may be


def test_weights_go_with_their_rows():
    kept, index = [1, 3, 4, 5], [9, 7, 5, 3, 1, 0]
    frame, series = pd.DataFrame(X6, index=index), pd.Series(Y6, index=index)
    weight = pd.Series(W6, index=index)
    found = fit6(X=frame, y=series, metadata={"sample_weight": weight})
    pd.testing.assert_series_equal(found.estimator_.sample_weight_, weight.iloc[kept])
    found = fit6(X=X6.tolist(), y=Y6.tolist(), metadata={"sample_weight": W6.tolist()})
    assert found.estimator_.sample_weight_ == W6[kept].tolist()
    # Two arrays and two rows to drop: counting keys for rows would misalign the weights.
    found = fit6(X={"x": X6, "z": W6}, metadata={"sample_weight": W6})
    assert_array_equal(found.estimator_.X_["z"], W6[kept])
    assert_array_equal(found.estimator_.sample_weight_, W6[kept])


def test_images_and_a_network_as_estimator():
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    X = (rng.normal(size=(60, 1, 6, 6)) + y[:, None, None, None]).astype(np.float32)
    net = default_network(X, y)
    found = FilteredClassifier(net, scorer=TrainingDynamicsScorer(net, random_state=0), drop=0.1)
    assert found.fit(X, y).score(X, y) > 0.8
    assert found.predict_proba(X).shape == (60, 2)
    assert len(found.dropped_indices_) == 6


def test_binary_strings_and_auc(wine):
    X, y = wine
    y = np.where(y == "barolo", "yes", "no")
    found = FilteredClassifier(scorer=label_errors())
    scores = cross_validate(found, X, y, cv=2, scoring=["roc_auc", "neg_log_loss"])
    assert scores["test_roc_auc"].min() > 0.95


# ----------------------------------------------------------------------------- what it is asked


def test_no_row_is_filtered_in_predictions(wine):
    X, y = wine
    found = fit6()
    found.predict(X6)
    assert found.estimator_.n_asked_ == 6
    assert found.score(X6, Y6) == 0.25  # the estimator's own
    scorer = TrainingDynamicsScorer(small_net(), random_state=0)
    found = FilteredClassifier(LogisticRegression(C=0.1), scorer=scorer, drop=0.2).fit(X, y)
    kept = found.sample_indices_
    expected = LogisticRegression(C=0.1).fit(X[kept], y[kept])
    for method in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        assert_array_equal(getattr(found, method)(X), getattr(expected, method)(X))
    assert found.score(X, y) == expected.score(X, y)


@pytest.mark.parametrize(
    ("estimator", "lacking"),
    [
        (None, []),
        (KNeighborsClassifier(), ["predict_log_proba", "decision_function"]),
        (SVC(), ["predict_proba", "predict_log_proba"]),
        (LinearDiscriminantAnalysis(), []),
    ],
)
def test_methods_are_those_of_the_estimator(estimator, lacking, wine):
    methods = ["predict_proba", "predict_log_proba", "decision_function"]
    found = FilteredClassifier(estimator, scorer=NeighborConfidenceScorer(n_neighbors=3), drop=0.1)
    assert [name for name in methods if not hasattr(found, name)] == lacking
    found.fit(*wine)
    assert [name for name in methods if not hasattr(found, name)] == lacking
    # What transforms too is no transformer here, which would have names and an output to set.
    assert not hasattr(found, "transform")
    assert not hasattr(found, "fit_transform")
    assert get_tags(found).transformer_tags is None


def test_before_fit():
    found = FilteredClassifier()
    for method in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        with pytest.raises(NotFittedError):
            getattr(found, method)(X6)
    with pytest.raises(NotFittedError):
        found.score(X6, Y6)
    assert not hasattr(found, "classes_")


def test_tags_follow_the_estimator():
    assert is_classifier(FilteredClassifier())
    assert is_classifier(FilteredClassifier(small_net()))
    assert is_regressor(FilteredRegressor())
    assert get_tags(FilteredClassifier(RandomForestClassifier())).input_tags.sparse
    assert not get_tags(FilteredClassifier(LinearDiscriminantAnalysis())).input_tags.sparse
    assert not get_tags(FilteredClassifier(SVC())).classifier_tags.poor_score
    assert get_tags(FilteredRegressor()).target_tags.multi_output
    assert get_tags(FilteredClassifier()).target_tags.required
    assert get_tags(SVC(kernel="precomputed")).input_tags.pairwise
    assert not get_tags(FilteredClassifier(SVC(kernel="precomputed"))).input_tags.pairwise


def test_fitting_again_forgets():
    found = FilteredClassifier(Recorder(), scorer=Scripted()).fit(X6, Y6)
    found.set_params(action="relabel").fit(X6, Y6)
    assert len(found.dropped_indices_) == 0
    found.set_params(action="weight").fit(X6, Y6)
    assert len(found.relabelled_indices_) == 0


def test_an_estimator_that_fails_leaves_none_of_an_earlier_fit():
    found = fit6()
    with pytest.raises(TypeError, match="unexpected"):
        found.fit(X6[::-1], Y6[::-1], nonsense=1)  # of which the estimator knows nothing
    assert_array_equal(found.difficulty_, X6[::-1, 0])
    assert not hasattr(found, "estimator_")
    with pytest.raises(NotFittedError):
        found.predict(X6)


# ------------------------------------------------------------------------------------- metadata


def test_metadata_without_routing():
    groups, view = np.array([0, 0, 1, 1, 2, 2]), X6 + 1
    given = {"sample_weight": W6, "groups": groups, "scoring_view": view, "extra": "as it is"}
    found = fit6(metadata=given)
    assert_array_equal(found.scorer_.groups_, groups)
    assert_array_equal(found.scorer_.view_, view)
    assert_array_equal(found.estimator_.sample_weight_, W6[[1, 3, 4, 5]])
    assert found.estimator_.extra_ == "as it is"
    found.score(X6, Y6, sample_weight=W6)
    assert_array_equal(found.estimator_.score_weight_, W6)
    assert fit6(Weightless(), metadata={"sample_weight": None}).estimator_.sample_weight_ is None


def test_metadata_with_routing():
    groups = np.array([0, 0, 1, 1, 2, 2])
    with config_context(enable_metadata_routing=True):
        estimator = Recorder().set_fit_request(sample_weight="w", extra=False)
        estimator.set_score_request(sample_weight=True)
        scorer = Scripted().set_fit_request(groups=True, scoring_view=False)
        found = fit6(estimator, scorer, metadata={"w": W6, "groups": groups})
        assert_array_equal(found.scorer_.groups_, groups)
        assert_array_equal(found.estimator_.sample_weight_, W6[[1, 3, 4, 5]])
        found.score(X6, Y6, sample_weight=W6)
        assert_array_equal(found.estimator_.score_weight_, W6)
        with pytest.raises(ValueError, match="sample_weight"):
            fit6(metadata={"sample_weight": W6})  # not requested
        with pytest.raises(TypeError, match="nonsense"):
            fit6(metadata={"nonsense": W6})
        assert fit6().estimator_.sample_weight_ is None


def test_metadata_of_training_folds():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.permutation(24), np.zeros(24), np.zeros(24)]).astype(float)
    y, groups = np.arange(24) % 2, np.arange(24) // 4
    weight = X[:, 0] + 100
    with config_context(enable_metadata_routing=True):
        found = FilteredClassifier(
            Recorder().set_fit_request(sample_weight=True).set_score_request(sample_weight=True),
            scorer=Scripted().set_fit_request(groups=True),
            drop=0.25,
        )
        metadata = {"groups": groups, "sample_weight": weight}
        scores = cross_validate(
            found, X, y, cv=GroupKFold(3), params=metadata, return_estimator=True
        )
    for fold in scores["estimator"]:
        assert fold.scorer_.n_fitted_on_ == 16  # training rows alone
        assert len(np.unique(fold.scorer_.groups_)) == 4
        assert len(fold.estimator_.X_) == 12
        assert_array_equal(fold.estimator_.sample_weight_, fold.estimator_.X_[:, 0] + 100)
        assert len(fold.estimator_.score_weight_) == 8


def test_weights_of_a_pipeline(wine):
    X, y = wine
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    found = FilteredClassifier(pipeline, scorer=label_errors(), action="weight")
    with pytest.raises(ValueError, match=r"Pipeline does not.*metadata routing"):
        found.fit(X, y)
    with config_context(enable_metadata_routing=True):
        pipeline[1].set_fit_request(sample_weight=True)
        pipeline[0].set_fit_request(sample_weight=False)
        found.fit(X, y)
        expected = clone(pipeline).fit(X, y, sample_weight=1 - found.scorer_.error_probability_)
        assert_allclose(found.predict_proba(X), expected.predict_proba(X))


# --------------------------------------------------------------------------------- what is kept


def test_memory_trains_the_scorer_once(tmp_path):
    found = FilteredClassifier(Recorder(), scorer=Scripted(), memory=str(tmp_path))
    for params in ({"drop": 0.0}, {"drop": 1 / 6}, {"action": "relabel"}, {"estimator": SVC()}):
        clone(found).set_params(**params).fit(X6, Y6)
    assert fits.n == 1
    once_more = clone(found).fit(X6, Y6)
    assert_array_equal(once_more.dropped_indices_, [0, 2])
    assert_array_equal(once_more.scorer_.difficulty_, X6[:, 0])
    assert fits.n == 1
    clone(found).set_params(scorer__lacks=["suggested_label_"]).fit(X6, Y6)  # other settings
    assert fits.n == 2
    clone(found).fit(np.add(X6, [0.01, 0, 0]), Y6)  # other rows
    assert fits.n == 3
    clone(found).fit(X6, Y6[::-1])  # other labels
    assert fits.n == 4
    clone(found).fit(X6, Y6, groups=np.arange(6))  # other metadata
    assert fits.n == 5
    clone(found).set_params(memory=None).fit(X6, Y6)
    assert fits.n == 6


@pytest.mark.parametrize("kind", [dict, UserDict, lambda x: x["x"]])
def test_memory_knows_equal_tensors(tmp_path, kind):
    found = FilteredClassifier(Weightless(), scorer=Scripted(), memory=str(tmp_path))

    def fit(**changes):
        given = {"x": X6, "y": np.arange(6) // 2, "view": X6 + 1, **changes}
        x, y, view = (torch.tensor(given[name]) for name in ("x", "y", "view"))
        return found.fit(kind({"x": x}), y, scoring_view=kind({"x": view}))

    assert_array_equal(fit().dropped_indices_, [0, 2])
    assert_array_equal(fit().dropped_indices_, [0, 2])
    assert fits.n == 1
    fit(x=np.add(X6, [1, 0, 0]))
    assert fits.n == 2
    fit(y=np.array([0, 0, 1, 1, 2, 1]))
    assert fits.n == 3
    fit(view=X6)
    assert fits.n == 4


def test_memory_does_not_take_a_matrix_for_a_mapping(tmp_path):
    found = FilteredClassifier(
        scorer=TrainingDynamicsScorer(random_state=0), drop=0.1, memory=str(tmp_path)
    )
    found.fit(sparse.dok_array(X6), Y6)
    assert_array_equal(found.difficulty_, clone(found).fit(sparse.csr_array(X6), Y6).difficulty_)


def test_memory_in_a_search_over_a_network(wine, tmp_path):
    X, y = wine
    scorer = TrainingDynamicsScorer(small_net(callbacks=[CountFits()]), random_state=0)
    found = FilteredClassifier(scorer=scorer, memory=Memory(tmp_path, verbose=0))
    grid = {"drop": [0.0, 0.1, 0.2], "estimator__C": [0.1, 1.0]}
    search = GridSearchCV(found.set_params(estimator=LogisticRegression()), grid, cv=2)
    search.fit(X, y)
    assert fits.n == 3  # two folds and all rows
    GridSearchCV(found, {**grid, "drop": [0.05], "scorer__estimator__lr": [0.1, 0.2]}, cv=2).fit(
        X, y
    )
    assert fits.n in (5, 6)  # two folds with the other rate, and all rows if that one is better
    without = clone(found).set_params(memory=None, drop=0.2).fit(X, y)
    cached = clone(found).set_params(drop=0.2).fit(X, y)
    assert_array_equal(cached.dropped_indices_, without.dropped_indices_)


def test_memory_knows_a_network_by_its_weights(wine, tmp_path):
    X, y = wine
    module = TwoLayers(13)
    callbacks = [CountFits()]

    def fit(module):
        net = make_net(module=module, max_epochs=8, callbacks=callbacks)
        scorer = TrainingDynamicsScorer(net, random_state=0)
        FilteredClassifier(scorer=scorer, drop=0.1, memory=str(tmp_path)).fit(X, y)
        return fits.n

    assert fit(module) == fit(module) == 1
    with torch.no_grad():
        module[0].weight[0, 0] += 1
    assert fit(module) == 2


def test_memory_that_was_changed_is_made_anew(tmp_path):
    found = FilteredClassifier(Recorder(), scorer=Scripted(), memory=str(tmp_path))
    expected = found.fit(X6, Y6).difficulty_
    (path,) = tmp_path.rglob("output.pkl")
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    n_warned = 0
    for i in rng.choice(len(whole), 60, replace=False):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 4]) + whole[i + 1 :])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert_array_equal(found.fit(X6, Y6).difficulty_, expected)
        n_warned += any("it is fitted anew" in str(warning.message) for warning in caught)
        path.write_bytes(whole)
    # What cannot be unpickled at all is only logged by joblib; harmless are notes of the pickle.
    assert 10 < n_warned < fits.n < 61


def test_an_unusable_memory_is_found_before_training(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"memory='.*file' cannot hold results"):
        FilteredClassifier(scorer=Scripted(), memory=str(tmp_path / "file")).fit(X6, Y6)
    assert fits.n == 0
    monkeypatch.setenv("HOME", str(tmp_path))
    FilteredClassifier(Recorder(), scorer=Scripted(), memory="~/scorers").fit(X6, Y6)
    assert (tmp_path / "scorers").is_dir()


def test_memory_of_what_cannot_be_kept(wine, tmp_path):
    net = small_net(callbacks=[("count", CountFits())], module=lambda n_inputs: TwoLayers(n_inputs))
    scorer = TrainingDynamicsScorer(net, random_state=0)
    found = FilteredClassifier(scorer=scorer, drop=0.1, memory=str(tmp_path))
    with pytest.raises(TypeError, match=r"lambda.*memory=None"):
        found.fit(*wine)
    assert fits.n == 0
    found.set_params(memory=None).fit(*wine)


def test_trained_scorers_are_not_cached(wine, tmp_path):
    X, y = wine
    for seed in (0, 1):  # equal parameters, other members
        ensemble = ResampledEnsemble(small_net(), n_members=4, train_size=0.5)
        ensemble.set_params(random_state=np.random.RandomState(seed)).fit(X, y)
        ensemble.set_params(random_state=None)
        scorer = ConsistencyScorer(ensemble)
        found = FilteredClassifier(scorer=scorer, drop=0.1, memory=str(tmp_path)).fit(X, y)
        assert found.scorer_.ensemble_ is ensemble
        assert_array_equal(found.difficulty_, scorer.fit(X, y).difficulty_)


# ------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"estimator": StandardScaler()}, "'estimator' parameter"),
        (
            {"scorer": Scripted(lacks=["error_probability_"]), "action": "weight"},
            "action='weight' needs a scorer with error_probability_, which Scripted does not",
        ),
        (
            {"scorer": Scripted(lacks=["suggested_label_"]), "action": "relabel"},
            "action='relabel' needs a scorer with suggested_label_.*LabelErrorScorer or Difficulty",
        ),
        ({"scorer": TrainingDynamicsScorer()}, "drop='auto' needs"),
        ({"scorer": VoGScorer(), "drop": 0.1, "action": "relabel"}, "action='relabel' needs"),
        ({"scorer": DifficultyQuadrantClassifier(), "action": "weight"}, "action='weight' needs"),
        ({"estimator": Weightless(), "action": "weight"}, "Weightless does not"),
        ({"estimator": Ridge()}, "a classifier; the kind of Ridge is 'regressor'. Use FilteredReg"),
        ({"estimator": make_pipeline(StandardScaler(), SVR())}, "kind of Pipeline is 'regressor'"),
        ({"estimator": KMeans()}, "the kind of KMeans is 'clusterer'.$"),
        ({"estimator": SVC(kernel="precomputed")}, "SVC takes distances or a kernel between rows"),
        ({"estimator": KNeighborsClassifier(metric="precomputed")}, "Pass the rows, and have"),
    ],
)
def test_bad_settings(params, message):
    defaults = {"estimator": Recorder(), "scorer": Scripted()}
    with pytest.raises(ValueError, match=message):
        FilteredClassifier(**{**defaults, **params}).fit(X6, Y6)


class Plain:
    """A classifier that inherits nothing and has no tags."""

    def get_params(self, deep=False):
        return {}

    def fit(self, X, y):
        self.n_rows_ = len(X)
        return self

    def predict(self, X):
        return ["a"] * len(X)


def test_an_estimator_without_tags_is_believed():
    assert fit6(Plain()).estimator_.n_rows_ == 4


@pytest.mark.parametrize(
    ("found", "params", "message"),
    [
        (
            FilteredClassifier(),
            {"scorer__n_members": 3},
            r"scorer__n_members cannot be set, because scorer is None; pass LabelErrorScorer\(",
        ),
        (FilteredClassifier(), {"estimator__C": 3}, r"estimator is None; pass LogisticRegression"),
        (
            FilteredClassifier(SVC()),
            {"estimator": None, "estimator__C": 3},
            "estimator is None",
        ),
        (FilteredRegressor(), {"scorer__measure": "loss"}, "pass TrainingDynamicsScorer"),
        (FilteredRegressor(), {"estimator__alpha": 3}, r"estimator is None; pass Ridge\("),
    ],
)
def test_parameters_of_a_part_that_is_none(found, params, message):
    with pytest.raises(ValueError, match=message):
        found.set_params(**params)
    found.set_params(estimator=SVC(), estimator__C=3.0, scorer=Scripted(), scorer__lacks=["x"])
    assert found.estimator.C == 3
    assert found.scorer.lacks == ["x"]


def test_a_training_on_other_rows_is_refused_in_a_cross_validation(wine):
    record = TrainingRecord.from_fit(small_net(), *wine, random_state=0)
    found = FilteredClassifier(scorer=VoGScorer(record), drop=0.1)
    with (
        pytest.warns(UserWarning, match="other rows"),
        pytest.raises(ValueError, match="Pass the net as the scorer's estimator"),
    ):
        cross_validate(found, *wine, cv=2, error_score="raise")


def test_a_frozen_estimator_is_only_asked(wine):
    X, y = wine
    frozen = FrozenEstimator(LogisticRegression().fit(X, y))
    found = FilteredClassifier(frozen, scorer=TrainingDynamicsScorer(small_net()), drop=0.1)
    assert_array_equal(found.fit(X, y).predict(X), frozen.predict(X))


# -------------------------------------------------------------------------------- the regressor


class RegressionRecorder(RegressorMixin, BaseEstimator):
    def fit(self, X, y, sample_weight=None):
        self.X_, self.y_, self.sample_weight_ = X, y, sample_weight
        return self

    def predict(self, X):
        return np.zeros(len(X))


def test_regressor_drops_the_hardest():
    y = np.linspace(-1, 1, 6)
    found = FilteredRegressor(RegressionRecorder(), scorer=Scripted(), drop=0.34)
    found.fit(X6, y, sample_weight=W6, groups=np.arange(6))
    assert_array_equal(found.dropped_indices_, [2, 4])
    kept = [0, 1, 3, 5]
    assert_array_equal(found.estimator_.X_, X6[kept])
    assert_array_equal(found.estimator_.y_, y[kept])
    assert_array_equal(found.estimator_.sample_weight_, W6[kept])
    assert_array_equal(found.scorer_.groups_, np.arange(6))
    assert len(FilteredRegressor(scorer=Scripted()).fit(X6, y).dropped_indices_) == 1
    high = FilteredRegressor(scorer=Scripted(), threshold=3.5).fit(X6, y)
    assert_array_equal(high.dropped_indices_, [2, 4])


def test_regressor_has_no_classes_to_spare():
    y = np.array([0, 0, 0, 0, 1, 2])  # counts
    found = FilteredRegressor(scorer=Scripted(), drop=0.5).fit(X6, y)
    assert_array_equal(found.dropped_indices_, [0, 2, 4])
    with pytest.warns(UserWarning, match="All rows would be dropped"):
        found.set_params(threshold=-1.0).fit(X6, y)
    assert_array_equal(found.sample_indices_, [5])
    assert not hasattr(found, "predict_proba")
    assert not hasattr(found, "classes_")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, r"needs a scorer for regression; .*TrainingDynamicsScorer\(NeuralNetRegressor"),
        ({"scorer": Scripted(), "drop": "auto"}, "'drop' parameter"),
        (
            {"estimator": LogisticRegression(), "scorer": Scripted()},
            "a regressor; the kind of LogisticRegression is 'classifier'. Use FilteredClassifier",
        ),
        ({"estimator": SVR(kernel="precomputed"), "scorer": Scripted()}, "SVR takes distances"),
    ],
)
def test_regressor_settings(params, message):
    with pytest.raises(ValueError, match=message):
        FilteredRegressor(**params).fit(X6, np.arange(6.0))


def test_regressor_of_a_network(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 5)).astype(np.float32)
    y = X @ np.array([1.0, -1, 0.5, 0, 0])
    wrong = rng.choice(200, 20, replace=False)
    noisy = y.copy()
    noisy[wrong] += 8
    net = NeuralNetRegressor(
        MLP,
        module__n_inputs=5,
        module__n_outputs=1,
        module__hidden_units=(16,),
        max_epochs=15,
        lr=0.05,
        batch_size=16,
        callbacks=[CountFits()],
        verbose=0,
    )
    scorer = TrainingDynamicsScorer(net, measure="loss", random_state=0)
    found = FilteredRegressor(scorer=scorer, memory=str(tmp_path))
    search = GridSearchCV(found, {"drop": [0.0, 0.1], "estimator": [Ridge(), None]}, cv=2)
    search.fit(X, noisy)
    assert fits.n == 3
    best = clone(found).fit(X, noisy)
    assert fits.n == 3
    assert np.isin(best.dropped_indices_, wrong).mean() > 0.9
    assert best.score(X, y) > 0.99 > Ridge().fit(X, noisy).score(X, y)
    columns = clone(found).set_params(memory=None).fit(X, noisy[:, None])
    assert_array_equal(columns.dropped_indices_, best.dropped_indices_)


# ------------------------------------------------------------------------------------- evidence


@pytest.fixture(scope="module")
def noisy_digits():
    """Return digits with names for labels, a fifth of the training labels wrong."""
    X, y = load_digits(return_X_y=True)
    names = np.array("zero one two three four five six seven eight nine".split())[y]
    X, X_test, y, y_test = train_test_split(X / 16, names, test_size=0.4, random_state=0)
    noisy, is_wrong = make_label_noise(y, rate=0.2, random_state=0)
    return X, noisy, is_wrong, X_test, y_test


def test_the_defaults_find_wrong_labels(noisy_digits):
    X, noisy, is_wrong, X_test, y_test = noisy_digits
    found = FilteredClassifier().fit(X, noisy)
    dropped = found.dropped_indices_
    assert is_wrong[dropped].mean() > 0.85
    assert np.isin(np.flatnonzero(is_wrong), dropped).mean() > 0.85
    plain = LogisticRegression().fit(X, noisy)
    assert found.score(X_test, y_test) > plain.score(X_test, y_test) + 0.02
    again = FilteredClassifier().fit(X, noisy)  # the default scorer is seeded
    assert_array_equal(again.dropped_indices_, dropped)


def test_a_nested_search(noisy_digits, tmp_path):
    X, noisy, _, X_test, y_test = noisy_digits
    net = default_network(X, noisy).set_params(
        module__hidden_units=(32,), max_epochs=10, callbacks=[CountFits()]
    )
    found = FilteredClassifier(
        GaussianNB(), scorer=TrainingDynamicsScorer(net, random_state=0), memory=str(tmp_path)
    )
    grid = {"drop": [0.0, 0.2], "estimator__var_smoothing": [1e-2, 1e-1]}
    search = GridSearchCV(found, grid, cv=2, scoring="roc_auc_ovr")
    scores = cross_validate(search, X, noisy, cv=2, return_estimator=True, error_score="raise")
    assert fits.n == 6  # twice two inner folds, and their union
    assert all(inner.best_params_["drop"] == 0.2 for inner in scores["estimator"])
    predicted = scores["estimator"][0].predict(X_test)
    assert set(predicted) <= set(y_test)
    assert accuracy_score(y_test, predicted) > 0.8


def test_all_actions_can_be_tuned(wine, tmp_path):
    X, y = wine
    noisy, _ = make_label_noise(y, rate=0.2, random_state=0)
    found = FilteredClassifier(
        LogisticRegression(),
        scorer=label_errors(small_net(callbacks=[CountFits()])),
        memory=str(tmp_path),
    )
    grid = {"action": ["drop", "relabel", "weight"], "drop": ["auto", 0.0], "estimator__C": [1, 9]}
    search = GridSearchCV(found, grid, cv=2, error_score="raise").fit(X, noisy)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.predict(X).dtype == y.dtype


def test_a_regressor_refuses_a_scorer_that_took_its_targets_for_classes():
    X, y = load_diabetes(return_X_y=True)
    filtered = FilteredRegressor(scorer=TrainingDynamicsScorer(measure="loss", random_state=0))
    with pytest.raises(ValueError, match="has taken the targets for classes"):
        filtered.fit(X[:80], y[:80])


def test_tensors_that_require_a_gradient_and_objects():
    X = np.random.default_rng(0).normal(size=(20, 3))
    X[:, 1:] = 0
    y = np.arange(20) % 2
    tensors = [torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in (X, y)]
    for arrays in ((X, y), tensors, (X.astype(object), pd.Series(y, dtype=object))):
        fitted = FilteredClassifier(LogisticRegression(), scorer=Scripted(), drop=0.1).fit(*arrays)
        assert fitted.predict(X).shape == (20,)
