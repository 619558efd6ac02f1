# SPDX-License-Identifier: BSD-3-Clause
"""Any classifier as judge of labels: the same report as from its held-out probabilities."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from joblib import parallel_config
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_wine, make_blobs
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, PredefinedSplit, cross_val_predict
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.utils.validation import _num_samples
from torch.utils.data import TensorDataset

from sklearn_difficulty import DifficultyFilter, FilteredClassifier, LabelErrorScorer, VoGScorer
from sklearn_difficulty.datasets import make_label_noise
from sklearn_difficulty.inspection import ReviewPage
from sklearn_difficulty.model_selection import benchmark_scorers, cross_val_difficulty
from sklearn_difficulty.training import default_network

X, Y_TRUE = load_wine(return_X_y=True)
X, Y_TRUE = X[:175], np.array(["red", "rose", "white"])[Y_TRUE[:175]]
Y, IS_FLIPPED = make_label_noise(Y_TRUE, 0.1, random_state=0)
BAYES = LabelErrorScorer(GaussianNB(), random_state=0)
FRAME = pd.DataFrame(X, columns=[f"x{j}" for j in range(13)], index=np.arange(1000, 1175))
FRAME["region"] = pd.Categorical(np.where(Y_TRUE == "red", "north", "south"))
FRAME.loc[::7, "x0"] = np.nan
TREES = HistGradientBoostingClassifier(max_iter=20, categorical_features="from_dtype")
TEXTS = [f"bottle {i} is {colour} wine" for i, colour in enumerate(Y_TRUE)]
WORDS = make_pipeline(TfidfVectorizer(), LogisticRegression(C=10))


def test_the_report_is_that_of_held_out_probabilities():
    found = clone(BAYES).fit(X, Y)
    folds = PredefinedSplit(found._judged.masks.argmin(axis=0))
    probabilities = cross_val_predict(GaussianNB(), X, Y, cv=folds, method="predict_proba")
    expected = LabelErrorScorer("precomputed").fit(probabilities, Y)
    assert_allclose(found.probabilities_, probabilities)
    for name in ("difficulty_", "error_probability_", "noise_rate_", "noise_matrix_"):
        assert_allclose(getattr(found, name), getattr(expected, name), err_msg=name)
    assert found.method_ == "out_of_sample"
    assert len(found.estimators_) == 5
    assert not hasattr(found.estimator_, "classes_")
    assert_array_equal(found.classes_, ["red", "rose", "white"])
    precision = IS_FLIPPED[found.error_probability_ > 0.5].mean()
    assert precision > 0.8


def test_unseen_rows_are_asked_of_all_clones():
    found = clone(BAYES).fit(X, Y)
    mean = np.mean([model.predict_proba(X[:5]) for model in found.estimators_], axis=0)
    expected = LabelErrorScorer("precomputed").fit(found.probabilities_, Y)
    scores = found.score_samples(X[:5], Y[:5])
    assert_allclose(scores, expected.score_samples(mean, Y[:5]), rtol=1e-6)
    assert found.transform(X[:5]).shape == (5, 1)
    assert_array_equal(pickle.loads(pickle.dumps(found)).score_samples(X[:5], Y[:5]), scores)
    gone = clone(BAYES).set_params(keep_members=False).fit(X, Y)
    assert_array_equal(gone.difficulty_, found.difficulty_)
    assert not hasattr(gone, "score_samples")
    assert not hasattr(gone, "estimators_")


AS_GIVEN = {
    "missing values and categories": (TREES, FRAME),
    "texts": (WORDS, TEXTS),
    "array of texts": (WORDS, np.array(TEXTS)),
    "series of texts": (WORDS, pd.Series(TEXTS, index=FRAME.index)),
    "CSR": (MultinomialNB(), sparse.csr_array(X)),
    "CSC matrix": (MultinomialNB(), sparse.csc_matrix(X)),
}


@pytest.mark.parametrize("kind", AS_GIVEN)
def test_rows_of_every_kind_through_every_door(kind):
    judge, rows = AS_GIVEN[kind]
    scorer = LabelErrorScorer(judge, random_state=0)
    found = clone(scorer).fit(rows, Y)
    assert IS_FLIPPED[found.suspects(8)["row"]].mean() > 0.7
    assert found.score_samples(rows, Y).shape == (175,)
    filtered = FilteredClassifier(judge, scorer=scorer).fit(rows, Y)
    assert_array_equal(filtered.difficulty_, found.difficulty_)
    assert filtered.score(rows, Y_TRUE) > 0.8
    kept, _ = DifficultyFilter(scorer, drop=0.1).fit_resample(rows, Y)
    assert (kept.shape[0] if hasattr(kept, "shape") else len(kept)) == 157


def test_helpers_take_rows_that_only_the_judge_can_read():
    scorer = LabelErrorScorer(TREES, random_state=0)
    folds = {"cv": 3, "random_state": 0}
    difficulty = cross_val_difficulty(scorer, FRAME, Y, **folds)
    assert IS_FLIPPED[np.argsort(-difficulty)[:8]].mean() > 0.7
    table = benchmark_scorers(
        FRAME, Y_TRUE, {"trees": scorer}, rate=0.1, n_repeats=1, random_state=0
    )
    assert table["average_precision"][0] > 0.8
    members = {"n_members": 2, "train_size": 0.5, "n_neighbors": None, "random_state": 0}
    net = default_network(X, Y).set_params(max_epochs=1)
    both = {"bayes": BAYES, "network": LabelErrorScorer(net, **members)}
    assert len(benchmark_scorers(X, Y_TRUE, both, n_repeats=1, random_state=0)) == 2


def test_a_page_of_them(tmp_path):
    found = LabelErrorScorer(TREES, random_state=0).fit(FRAME, Y)
    assert "region" in ReviewPage(found, FRAME, Y).write(tmp_path / "page.html").read_text()


@pytest.mark.filterwarnings("ignore::UserWarning")  # a bad judge is among those that are tried
def test_parameters_of_the_judge_can_be_tuned():
    search = GridSearchCV(
        FilteredClassifier(GaussianNB(), scorer=LabelErrorScorer(WORDS[-1], random_state=0)),
        {"scorer__estimator__C": [1e-6, 10.0]},
        cv=2,
    ).fit(StandardScaler().fit_transform(X), Y)
    assert search.best_params_ == {"scorer__estimator__C": 10.0}
    tuned = clone(BAYES).set_params(estimator__var_smoothing=1e-3)
    assert tuned.estimator.var_smoothing == 1e-3


def test_groups_views_jobs_and_seeds():
    twice, labels = np.repeat(X, 2, axis=0), np.repeat(Y, 2)
    near = LabelErrorScorer(KNeighborsClassifier(1), random_state=0)
    found = clone(near).fit(twice, labels, groups=np.repeat(np.arange(175), 2))
    for mask in found._judged.masks:
        assert_array_equal(mask[::2], mask[1::2])
    trees = LabelErrorScorer(ExtraTreesClassifier(3), random_state=0)
    expected = clone(trees).fit(X, Y).difficulty_
    with parallel_config("threading", n_jobs=2):
        assert_array_equal(clone(trees).fit(X, Y).difficulty_, expected)
    assert not np.array_equal(
        clone(trees).set_params(random_state=1).fit(X, Y).difficulty_, expected
    )
    assert_array_equal(clone(trees).fit(X, Y, scoring_view=X).difficulty_, expected)
    with pytest.warns(UserWarning, match="the model knows no more"):
        blank = clone(BAYES).fit(X, Y, scoring_view=X * 0)
    assert len(np.unique(blank.probabilities_.round(6), axis=0)) <= 15


class Constant(ClassifierMixin, BaseEstimator):
    """Knows how frequent classes are, and nothing of the rows."""

    def fit(self, X, y):
        self.classes_, counts = np.unique(y, return_counts=True)
        self.shares_ = counts / counts.sum()
        return self

    def predict_proba(self, X):
        return np.tile(self.shares_, (_num_samples(X), 1))

    def predict(self, X):
        return np.repeat(self.classes_[self.shares_.argmax()], _num_samples(X))


def test_copies_that_are_held_out_are_warned_of():
    twice, labels = np.repeat(X, 2, axis=0), np.repeat(Y, 2)
    frame = pd.DataFrame(twice).add_prefix("x")
    words = [str(row) for row in twice]
    kinds = sparse.csr_array(twice), twice, frame, frame.assign(text="a"), words, np.array(words)
    for rows in (*kinds, pl.DataFrame(twice), pd.Series(words)):
        with (
            pytest.warns(UserWarning, match="rows are equal, byte by byte.*pass groups"),
            pytest.warns(UserWarning, match="the model knows no more of these rows"),
        ):
            LabelErrorScorer(Constant(), random_state=0).fit(rows, labels)


def test_labels_that_are_given_away_are_warned_of():
    rows, labels = make_blobs(600, centers=[[0, 0], [9, 9]], random_state=0)
    with pytest.warns(UserWarning, match="contradict 0 of 600 given labels. Does a column of X"):
        LabelErrorScorer(GaussianNB(), random_state=0).fit(rows, labels)


def test_a_class_of_one_row_is_undefined():
    labels = Y.astype(object)
    labels[3] = "sparkling"
    with pytest.warns(UserWarning, match=r"1 row\(s\) have no defined difficulty, first \[3\]"):
        found = clone(BAYES).fit(X, labels)
    assert found.n_undefined_ == 1
    assert np.isnan(found.error_probability_[3])


REFUSED = {
    "a transformer": (StandardScaler(), "StandardScaler has no predict_proba.*Pass a classifier"),
    "no probabilities": (LinearSVC(), "LinearSVC has no predict_proba, only a decision_function.*"),
    "a pipeline of it": (make_pipeline(SVC()), "Pipeline with SVC has no predict_proba.*Calibr"),
    "regressor": (LinearRegression(), "must be a classifier; LinearRegression is a regressor"),
    "density": (GaussianMixture(), "GaussianMixture is a density_estimator"),
    "class": (GaussianNB, r"is the class GaussianNB; pass an instance, such as GaussianNB\(\)"),
    "number": (3, "must be an instance of .* or an object|implementing"),
    "frozen": (FrozenEstimator(GaussianNB()), r"holds GaussianNB.*LabelErrorScorer\(classifier\)"),
}


@pytest.mark.parametrize(("judge", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_judge_is_refused(judge, message):
    with pytest.raises((TypeError, ValueError), match=message):
        LabelErrorScorer(judge).fit(X, Y)


@pytest.mark.parametrize("method", ["one_fit", "neighbors"])
def test_methods_of_networks_are_refused_with_the_reason(method):
    with pytest.raises(ValueError, match=f"method='{method}' reads .* GaussianNB has none"):
        LabelErrorScorer(GaussianNB(), method=method).fit(X, Y)
    with pytest.raises(ValueError, match="cache_dir is of networks"):
        LabelErrorScorer(GaussianNB(), cache_dir="here").fit(X, Y)
    with pytest.raises(ValueError, match=r"LabelErrorScorer\(classifier\)"):
        VoGScorer(GaussianNB()).fit(X, Y)


def test_rows_of_networks_are_refused():
    items = TensorDataset(torch.tensor(X), torch.zeros(175))
    for rows, kind in ((items, "a Dataset"), ({"a": X}, "a mapping")):
        with pytest.raises(TypeError, match=f"X is {kind}"):
            clone(BAYES).fit(rows, Y)
    with pytest.raises(ValueError, match="Complex data"):
        clone(BAYES).fit(X + 0j, Y)


def test_a_calibrated_judge_and_tensors():
    found = LabelErrorScorer(CalibratedClassifierCV(LinearSVC(dual=False)), random_state=0)
    found.fit(torch.tensor(StandardScaler().fit_transform(X)), Y)
    assert IS_FLIPPED[found.error_probability_ > 0.5].mean() > 0.7
