# SPDX-License-Identifier: BSD-3-Clause
"""DifficultyFilter: which rows go, in what form the others come back, and inside a pipeline."""

import copy
import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from imblearn.pipeline import Pipeline as ImbalancedPipeline
from imblearn.pipeline import make_pipeline as make_imbalanced_pipeline
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import load_wine
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetRegressor

import sklearn_difficulty
from sklearn_difficulty import (
    ConsistencyScorer,
    DifficultyQuadrantClassifier,
    FilteredClassifier,
    FilteredRegressor,
    LabelErrorScorer,
    NeighborConfidenceScorer,
    TrainingDynamicsScorer,
    TrainingRecord,
    VoGScorer,
)
from sklearn_difficulty.curation import DifficultyFilter
from sklearn_difficulty.curation._selection import rows_to_drop
from sklearn_difficulty.measures import corner_distances, difficulty_quadrants
from sklearn_difficulty.training import MLP, RecordTraining, ResampledEnsemble, default_network

pytestmark = pytest.mark.usefixtures("one_thread", "seeded")

SCORERS = sklearn_difficulty.scorers.__all__
MISLABELLED = "looks_like_a_different_class"
nan = np.nan


class Scripted(BaseEstimator):
    """A scorer that reads difficulty, error probability and group sums from the columns of X."""

    def __init__(self, with_probability=True, with_classes=True, log=None):
        self.with_probability = with_probability
        self.with_classes = with_classes
        self.log = log

    def fit(self, X, y, *, groups=None):
        X = np.asarray(X.todense() if sparse.issparse(X) else X)
        self.difficulty_ = X[:, 0].astype(np.float32)
        if self.with_probability:
            self.error_probability_ = X[:, 1].astype(float)
        if self.with_classes:
            self.classes_ = np.unique(y)
        self.groups_ = groups
        return self


class Recorder(ClassifierMixin, BaseEstimator):
    """A classifier that remembers what it was given."""

    def fit(self, X, y):
        self.X_, self.y_, self.classes_ = X, y, np.unique(y)
        return self

    def predict(self, X):
        self.n_asked_ = len(X)
        return np.full(len(X), self.classes_[0])


def scripted_rows(difficulty, probability=None):
    """Return an X of which `Scripted` reads these."""
    probability = np.zeros(len(difficulty)) if probability is None else probability
    return np.column_stack([difficulty, probability])


def dropped_of(difficulty, y=None, probability=None, **params):
    """Return what is dropped of rows that score like this; two labels in turn by default."""
    y = np.arange(len(difficulty)) % 2 if y is None else np.asarray(y)
    found = DifficultyFilter(Scripted(), **params).fit(scripted_rows(difficulty, probability), y)
    both = np.concatenate([found.sample_indices_, found.dropped_indices_])
    assert_array_equal(np.sort(both), np.arange(len(difficulty)))
    return found.dropped_indices_.tolist()


@pytest.fixture(scope="module")
def wine():
    return load_wine(return_X_y=True)


@pytest.fixture(scope="module")
def named_quadrants():
    """Return a fitted classifier of six rows: the corner is nearest for the 2nd, then the 1st."""
    validation = np.array([0.2, 0.0, 0.9, 0.8, 0.1, nan])
    train = np.array([0.8, 0.9, 0.9, 0.1, 0.1, 0.5])
    quadrants = DifficultyQuadrantClassifier()
    quadrants.difficulty_quadrant_ = difficulty_quadrants(validation, train, (0.5, 0.5))
    quadrants.corner_distance_ = corner_distances(validation, train)
    quadrants.difficulty_ = quadrants.corner_distance_[:, 0].astype(np.float32)
    return quadrants


# ------------------------------------------------------------------------------- which rows go


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"drop": 0.0}, []),
        ({"drop": 0.2}, [3]),
        ({"drop": 0.4}, [0, 3]),
        ({"drop": 0.39}, [0, 3]),  # 1.95 rows are two
        ({"drop": 0.5}, [0, 3]),  # 2.5 rows are two
        ({"threshold": 2.0}, [0, 3]),  # larger, not equal
        ({"threshold": 1.999}, [0, 2, 3]),
        ({"threshold": 100}, []),
        ({"threshold": 2.0, "drop": 0.2}, [0, 3]),  # in place of drop
        ({"drop": "auto"}, [1, 4]),  # above one half, whatever the difficulty
        ({}, [1, 4]),
    ],
)
def test_hand_cases(params, expected):
    difficulty, probability = [3, 1, 2, 4, 0], [0.1, 0.51, 0.5, nan, 1.0]
    labels = ["a", "b", "a", "b", "a"]
    assert dropped_of(difficulty, labels, probability, **params) == expected


def test_equally_hard_rows_go_in_their_order():
    assert dropped_of([1, 2, 2, 2, 2, 1], drop=0.5) == [1, 2, 3]


def test_undefined_scores_are_kept():
    difficulty = [nan, 5, nan, 4, 1, 1]
    assert dropped_of(difficulty, drop=0.3) == [1, 3]
    assert dropped_of(difficulty, threshold=3.0) == [1, 3]
    assert dropped_of(difficulty, probability=[1, 0, 0, 0.9, 0, nan]) == [3]
    assert dropped_of([nan] * 4, drop=0.9) == []


def test_a_share_that_exceeds_what_is_defined():
    assert dropped_of([nan, 5, nan, 4, nan, 1], y=[0, 0, 1, 1, 0, 1], drop=0.9) == [1, 3, 5]


@pytest.mark.parametrize("params", [{"drop": 0.999}, {"threshold": -1.0}])
def test_of_every_class_the_easiest_row_is_kept(params):
    with pytest.warns(UserWarning, match=r"All rows of the class\(es\) \['a', 'b'\] would be"):
        dropped = dropped_of([3, 1, 2, 4, 0], y=["a", "b", "a", "b", "a"], **params)
    assert dropped == [0, 2, 3]


def test_only_a_lost_class_is_warned_of():
    with pytest.warns(UserWarning, match=r"class\(es\) \['b'\] would be"):
        assert dropped_of([3, 9, 2, 8, 0], y=["a", "b", "a", "b", "a"], drop=0.4) == [1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dropped_of([3, 9, 2, 1, 0], y=["a", "b", "a", "b", "a"], drop=0.4) == [0, 1]


def test_auto_keeps_the_row_that_is_least_likely_wrong():
    with pytest.warns(UserWarning, match="would be dropped"):
        dropped = dropped_of([1, 2, 3, 4], y=[0, 0, 0, 1], probability=[0.9, 0.8, 0.7, 0.0])
    assert dropped == [0, 1]


def test_without_classes_one_row_of_all_is_kept():
    X = scripted_rows([3.0, 1.0, 2.0])
    found = DifficultyFilter(Scripted(with_classes=False), threshold=0.0)
    with pytest.warns(UserWarning, match="All rows would be dropped"):
        found.fit(X, [0.5, 1.5, 2.5])
    assert_array_equal(found.sample_indices_, [1])


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"drop": "auto", "quadrants": [MISLABELLED]}, [0, 1]),
        ({"drop": 1 / 6, "quadrants": [MISLABELLED]}, [1]),  # the nearest to the corner
        ({"drop": 0.9, "quadrants": [MISLABELLED]}, [0, 1]),
        ({"drop": "auto", "quadrants": [MISLABELLED, "ambiguous"]}, [0, 1, 2]),
        # Distances from the own corners are 0.283, 0.1 and 0.141.
        ({"drop": 2 / 6, "quadrants": [MISLABELLED, "ambiguous"]}, [1, 2]),
        ({"threshold": 0.85, "quadrants": [MISLABELLED]}, [1]),  # difficulties 0.825 and 0.9
        ({"drop": "auto", "quadrants": ["easy"]}, [4]),
    ],
)
def test_quadrants(named_quadrants, params, expected):
    settings = {"threshold": None, **params}
    settings.setdefault("drop", "auto")
    found = rows_to_drop(named_quadrants, np.array(list("aabbab")), **settings)
    assert_array_equal(np.flatnonzero(found), expected)


def test_quadrants_keep_the_row_that_is_farthest_from_the_corner(named_quadrants):
    settings = {"drop": "auto", "threshold": None, "quadrants": (MISLABELLED,)}
    with pytest.warns(UserWarning, match="would be dropped"):
        found = rows_to_drop(named_quadrants, np.array(list("aabbbb")), **settings)
    assert_array_equal(np.flatnonzero(found), [1])


def test_quadrants_of_a_fitted_scorer(wine):
    scorer = DifficultyQuadrantClassifier(n_members=4, validation_size=0.5, random_state=0)
    found = DifficultyFilter(scorer, quadrants=("ambiguous", MISLABELLED)).fit(*wine)
    expected = np.flatnonzero(np.isin(found.scorer_.difficulty_quadrant_, [1, 3]))
    assert len(expected) > 0
    assert_array_equal(found.dropped_indices_, expected)


# ----------------------------------------------------------------------------- what comes back


KEPT = [0, 2, 3]  # of the difficulties 0, 9, 1, 2
TABLE = np.array([[0.0, 0.1], [9.0, 0.2], [1.0, 0.3], [2.0, 0.4]])
LABELS = np.array(["a", "b", "b", "a"])


def test_arrays_and_lists():
    X, y = DifficultyFilter(Scripted(), drop=0.25).fit_resample(TABLE, LABELS)
    assert_array_equal(X, TABLE[KEPT])
    assert_array_equal(y, LABELS[KEPT])
    X, y = DifficultyFilter(Scripted(), drop=0.25).fit_resample(TABLE.tolist(), LABELS.tolist())
    assert X == TABLE[KEPT].tolist()
    assert y == ["a", "b", "a"]


def test_pandas_keeps_index_and_names():
    frame = pd.DataFrame(TABLE, columns=["u", "v"], index=[7, 8, 9, 3])
    series = pd.Series(LABELS, index=frame.index, name="kind")
    X, y = DifficultyFilter(Scripted(), drop=0.25).fit_resample(frame, series)
    pd.testing.assert_frame_equal(X, frame.iloc[KEPT])
    pd.testing.assert_series_equal(y, series.iloc[KEPT])


def test_polars():
    frame, series = pl.DataFrame(TABLE, schema=["u", "v"]), pl.Series("kind", LABELS)
    X, y = DifficultyFilter(Scripted(), drop=0.25).fit_resample(frame, series)
    assert X.equals(frame[KEPT])
    assert y.to_list() == LABELS[KEPT].tolist()


def test_tensors_and_sparse_matrices():
    X, _ = DifficultyFilter(Scripted(), drop=0.25).fit_resample(torch.tensor(TABLE), LABELS)
    assert isinstance(X, torch.Tensor)
    assert_array_equal(X, TABLE[KEPT])
    X, _ = DifficultyFilter(Scripted(), drop=0.25).fit_resample(sparse.coo_array(TABLE), LABELS)
    assert_array_equal(X.toarray(), TABLE[KEPT])


class OfDicts(Scripted):
    def fit(self, X, y):
        return super().fit(X["u"], y)


def test_dicts_and_images():
    rows = {"u": TABLE, "v": np.arange(4)}
    X, y = DifficultyFilter(OfDicts(), drop=0.25).fit_resample(rows, LABELS)
    assert_array_equal(X["u"], TABLE[KEPT])
    assert_array_equal(X["v"], KEPT)
    assert_array_equal(y, LABELS[KEPT])
    images = np.random.default_rng(0).normal(size=(20, 1, 6, 6)).astype(np.float32)
    scorer = TrainingDynamicsScorer(random_state=0)
    found = DifficultyFilter(scorer, drop=0.1)
    X, y = found.fit_resample(images, np.arange(20) % 2)
    assert X.shape == (18, 1, 6, 6)
    assert_array_equal(X, images[found.sample_indices_])


def test_the_scorer_is_cloned_and_its_numbers_are_kept(wine):
    X, y = wine
    frame = pd.DataFrame(X, columns=[f"x{i}" for i in range(13)])
    scorer = TrainingDynamicsScorer(random_state=0)
    found = DifficultyFilter(scorer, drop=0.1).fit(frame, y)
    assert not hasattr(scorer, "difficulty_")
    expected = clone(scorer).fit(frame, y).difficulty_
    assert_array_equal(found.difficulty_, expected)
    assert_array_equal(np.sort(found.difficulty_)[-18:], np.sort(expected[found.dropped_indices_]))
    assert found.n_features_in_ == 13
    assert_array_equal(found.feature_names_in_, frame.columns)
    assert not hasattr(found.fit(X, y), "feature_names_in_")


def test_a_regressor(wine):
    X, _ = wine
    net = NeuralNetRegressor(
        MLP, module__n_inputs=12, module__n_outputs=1, module__hidden_units=(4,), verbose=0
    )
    target = X[:, 12] / 1000
    scorer = TrainingDynamicsScorer(net.set_params(max_epochs=3), measure="loss", random_state=0)
    found = DifficultyFilter(scorer, drop=0.5).fit(X[:, :12] / X.std(axis=0)[:12], target)
    assert len(found.dropped_indices_) == 89
    assert found.difficulty_[found.dropped_indices_].min() >= np.median(found.difficulty_)


def test_pickle_and_clone(wine):
    found = DifficultyFilter(NeighborConfidenceScorer(n_neighbors=3, random_state=0), drop=0.2)
    found.fit(*wine)
    again = pickle.loads(pickle.dumps(found))
    assert_array_equal(again.sample_indices_, found.sample_indices_)
    assert not hasattr(clone(found), "sample_indices_")
    assert clone(found).fit(*wine).dropped_indices_.tolist() == found.dropped_indices_.tolist()


# ------------------------------------------------------------------------------ in a pipeline


def test_only_training_rows_are_filtered():
    pipeline = make_imbalanced_pipeline(DifficultyFilter(Scripted(), drop=0.25), Recorder())
    pipeline.fit(TABLE, LABELS)
    assert_array_equal(pipeline[-1].X_, TABLE[KEPT])
    assert_array_equal(pipeline[-1].y_, LABELS[KEPT])
    assert len(pipeline.predict(TABLE)) == pipeline[-1].n_asked_ == 4


def test_behind_a_transformer_and_in_a_search(wine):
    X, y = wine
    names = np.array(["barolo", "grignolino", "barbera"])[y]
    scorer = TrainingDynamicsScorer(default_network(X, y), random_state=0)
    pipeline = ImbalancedPipeline(
        [
            ("scale", StandardScaler()),
            ("filter", DifficultyFilter(scorer)),
            ("clf", LogisticRegression()),
        ]
    )
    grid = {"filter__drop": [0.0, 0.2], "filter__scorer__estimator__lr": [0.02]}
    search = GridSearchCV(pipeline, grid, cv=2, scoring="roc_auc_ovr").fit(X, names)
    assert search.best_score_ > 0.97
    assert search.predict(X).shape == (178,)
    assert len(search.best_estimator_["filter"].difficulty_) == 178


def test_groups_reach_the_scorer():
    groups = np.array([0, 0, 1, 1])
    given = DifficultyFilter(Scripted(), drop=0.25).fit(TABLE, LABELS, groups=groups)
    assert_array_equal(given.scorer_.groups_, groups)


def test_groups_are_routed():
    groups = np.array([0, 0, 1, 1])
    with config_context(enable_metadata_routing=True):
        scorer = Scripted().set_fit_request(groups=True)
        found = DifficultyFilter(scorer, drop=0.25).fit(TABLE, LABELS, groups=groups)
        assert_array_equal(found.scorer_.groups_, groups)
        pipeline = make_imbalanced_pipeline(DifficultyFilter(scorer, drop=0.25), Recorder())
        pipeline.fit(TABLE, LABELS, groups=groups)
        assert_array_equal(pipeline[0].scorer_.groups_, groups)
        with pytest.raises(ValueError, match="groups"):
            DifficultyFilter(Scripted(), drop=0.25).fit(TABLE, LABELS, groups=groups)


def test_groups_inside_a_cross_validation():
    X, y, groups = scripted_rows(np.arange(12.0)), np.arange(12) % 2, np.arange(12) // 2
    scorer = Scripted()
    pipeline = make_imbalanced_pipeline(DifficultyFilter(scorer, drop=0.25), Recorder())
    cv = GroupKFold(2)
    scores = cross_validate(pipeline, X, y, cv=cv, groups=groups, return_estimator=True)
    assert [fold[0].scorer_.groups_ for fold in scores["estimator"]] == [None, None]
    with config_context(enable_metadata_routing=True):
        scorer.set_fit_request(groups=True)
        params = {"groups": groups}
        scores = cross_validate(pipeline, X, y, cv=cv, params=params, return_estimator=True)
    assert [len(fold[0].scorer_.groups_) for fold in scores["estimator"]] == [6, 6]


# ------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"drop": 1.0}, "'drop' parameter"),
        ({"drop": -0.1}, "'drop' parameter"),
        ({"drop": "most"}, "'drop' parameter"),
        ({"threshold": "high"}, "'threshold' parameter"),
        ({"threshold": nan}, "'threshold' parameter"),
        ({"quadrants": MISLABELLED}, "'quadrants' parameter"),
        ({"scorer": "vog"}, "'scorer' parameter"),
        ({"quadrants": (MISLABELLED,)}, "needs a DifficultyQuadrantClassifier as scorer; Scripted"),
        ({"scorer": DifficultyQuadrantClassifier(), "quadrants": ("wrong",)}, "must name some of"),
        ({"scorer": DifficultyQuadrantClassifier(), "quadrants": ()}, "must name some of"),
        ({"scorer": make_pipeline(StandardScaler(), Scripted())}, "a Pipeline, which has no"),
        ({"scorer": StandardScaler(), "drop": 0.1}, "must have a difficulty_ of shape"),
        ({"scorer": LabelErrorScorer("precomputed")}, "a filter passes one X to the scorer and on"),
    ],
)
def test_bad_settings(params, message):
    with pytest.raises(ValueError, match=message):
        DifficultyFilter(**{"scorer": Scripted(), **params}).fit(TABLE, LABELS)


def test_auto_without_probabilities_is_refused_before_training():
    with pytest.raises(ValueError, match="error_probability_, which Scripted does not have"):
        DifficultyFilter(Scripted(with_probability=False)).fit(TABLE, LABELS)
    with pytest.raises(ValueError, match=r"LabelErrorScorer, or set drop to a share"):
        # Three rows and X of another length: nothing of it is looked at.
        DifficultyFilter(TrainingDynamicsScorer()).fit(np.zeros((3, 2)), [0])


@pytest.mark.parametrize(
    "scorer",
    [
        *(getattr(sklearn_difficulty, name)() for name in SCORERS if name != "LabelErrorScorer"),
        DifficultyFilter(LabelErrorScorer()),
        FilteredClassifier(),
        FilteredRegressor(),
        ResampledEnsemble(),
    ],
    ids=lambda scorer: type(scorer).__name__,
)
def test_classes_that_declare_no_probabilities_are_refused_before_training(scorer):
    name = type(scorer).__name__
    with pytest.raises(ValueError, match=f"error_probability_, which {name} does not have"):
        DifficultyFilter(scorer).fit(np.zeros((3, 2)), [0])


@pytest.mark.parametrize("name", SCORERS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_scorers_declare_what_they_have(wine, name):
    scorer = getattr(sklearn_difficulty, name)(default_network(*wine).set_params(max_epochs=2))
    given = {"n_neighbors": 5, "n_members": 2, "train_size": 0.5, "validation_size": 0.5}
    scorer.set_params(**{k: v for k, v in given.items() if k in scorer.get_params(deep=False)})
    scorer.fit(*wine)
    names = ("error_probability_", "suggested_label_", "difficulty_quadrant_", "corner_distance_")
    assert {n for n in names if hasattr(scorer, n)} == set(scorer._provides)


class Doubting(VoGScorer):
    """Has more than the scorer that it is derived from, and declares nothing."""

    def _score_training_rows(self, X, targets, progress):
        self.error_probability_ = (np.arange(len(targets)) < 9) * 0.9
        return super()._score_training_rows(X, targets, progress)


class OfQuadrants(Scripted):
    """A scorer of others that declares quadrants."""

    _provides = ("difficulty_quadrant_", "corner_distance_")

    def fit(self, X, y):
        self.difficulty_quadrant_ = np.arange(len(X)) % 4
        self.corner_distance_ = np.ones((len(X), 4))
        return super().fit(X, y)


def test_scorers_of_others_are_believed(wine):
    scorer = Doubting(default_network(*wine).set_params(max_epochs=2), random_state=0)
    assert DifficultyFilter(scorer).fit(*wine).dropped_indices_.tolist() == list(range(9))
    found = DifficultyFilter(OfQuadrants(), quadrants=(MISLABELLED,)).fit(TABLE, LABELS)
    assert set(found.dropped_indices_) <= set(range(1, len(LABELS), 4))
    with pytest.raises(ValueError, match="error_probability_, which OfQuadrants does not have"):
        DifficultyFilter(OfQuadrants()).fit(TABLE, LABELS)


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (np.ones((6, 2)), np.zeros(6, int), "at least two classes"),
        (np.ones((6, 2)), np.arange(5) % 2, "inconsistent numbers of samples"),
        (np.full((6, 2), nan), np.arange(6) % 2, "NaN or inf"),
        (np.ones(6), np.arange(6) % 2, "2D array"),
        (np.ones((6, 2)), None, "requires y to be passed"),
    ],
)
def test_bad_rows(X, y, message):
    with pytest.raises(ValueError, match=message):
        DifficultyFilter(TrainingDynamicsScorer(), drop=0.1).fit(X, y)


def test_datasets_are_refused():
    dataset = torch.utils.data.TensorDataset(torch.zeros(6, 2), torch.arange(6) % 2)
    with pytest.raises(TypeError, match=r"Subset\(dataset, indices\)"):
        DifficultyFilter(TrainingDynamicsScorer(), drop=0.1).fit(dataset, np.arange(6) % 2)


def test_other_rows_are_refused(wine):
    X, y = wine
    record = TrainingRecord.from_fit(default_network(X, y), X, y, random_state=0)
    same = DifficultyFilter(VoGScorer(record), drop=0.1).fit(X, y)
    assert len(same.dropped_indices_) == 18
    # Read from checkpoints alone, which the scorer itself allows.
    with (
        pytest.warns(UserWarning, match="other rows"),
        pytest.raises(ValueError, match=r"other rows \(100 rows instead of 178\).*Pass the net"),
    ):
        DifficultyFilter(VoGScorer(record), drop=0.1).fit(X[:100], y[:100])
    with pytest.raises(ValueError, match="other rows"):
        DifficultyFilter(TrainingDynamicsScorer(record), drop=0.1).fit(X[::-1], y[::-1])
    net = clone(default_network(X, y)).set_params(callbacks=[RecordTraining()])
    frozen = FrozenEstimator(net.fit(X.astype(np.float32), y))
    assert len(DifficultyFilter(VoGScorer(frozen), drop=0.1).fit(X, y).dropped_indices_) == 18
    with (
        pytest.warns(UserWarning, match="other rows"),
        pytest.raises(ValueError, match=r"other rows \(other labels\)"),
    ):
        DifficultyFilter(VoGScorer(frozen), drop=0.1).fit(X, 2 - y)
    ensemble = ResampledEnsemble(n_members=2, train_size=0.5, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="other rows"):
        DifficultyFilter(ConsistencyScorer(ensemble), drop=0.1).fit(X[:100], y[:100])


@pytest.mark.parametrize("method", ["one_fit", "neighbors"])
def test_probabilities_of_a_single_training_are_warned_of(wine, method):
    net = default_network(*wine).set_params(max_epochs=2)
    scorer = LabelErrorScorer(net, method=method, n_neighbors=5, random_state=0)
    with pytest.warns(UserWarning, match="too low.*drop='auto' many.*share of the rows; or"):
        DifficultyFilter(scorer).fit(*wine)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        DifficultyFilter(scorer, drop=0.1).fit(*wine)


def test_a_fit_that_fails_leaves_nothing_of_the_one_before():
    found = DifficultyFilter(Scripted(), drop=0.25).fit(TABLE, LABELS)
    found.set_params(scorer=TrainingDynamicsScorer(), drop="auto")
    with pytest.raises(ValueError, match="needs a scorer with"):
        found.fit(TABLE, LABELS)
    assert not [name for name in vars(found) if name.endswith("_")]
    found.set_params(scorer=Scripted(with_probability=False), drop=0.25).fit(TABLE, LABELS)
    with pytest.raises(ValueError, match="needs a scorer with"):
        found.set_params(drop="auto").fit(TABLE[:3], LABELS[:3])
    assert len(found.difficulty_) == 3
    assert not hasattr(found, "sample_indices_")


def test_a_failed_fit_leaves_the_scorer_alone(wine):
    scorer = TrainingDynamicsScorer(random_state=0)
    before = copy.copy(scorer.get_params())
    with pytest.raises(ValueError, match="NaN"):
        DifficultyFilter(scorer, drop=0.1).fit(np.full((6, 2), nan), np.arange(6) % 2)
    assert scorer.get_params() == before
