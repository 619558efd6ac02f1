# SPDX-License-Identifier: BSD-3-Clause
"""Held-out predictions of scikit-learn's estimators: what they are of, whatever X is."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_wine
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.pipeline import make_pipeline

from sklearn_difficulty.scorers._cross_validated import cross_validate
from sklearn_difficulty.training.ensemble.splits import draw_masks

NAMES = np.array(["red", "rose", "white"])


@pytest.fixture
def wine():
    X, y = load_wine(return_X_y=True)
    return X, NAMES[y], draw_masks(len(y), 5, 0.8, strata=y, seed=0)


def held_out(estimator, X, y, masks, **settings):
    settings = {"method": "predict_proba", "seed": 0, **settings}
    return cross_validate(estimator, X, y, masks, **settings)


def test_they_are_those_of_cross_val_predict(wine):
    X, y, masks = wine
    # Folds of equal size: draw_masks holds a row out twice otherwise.
    X, y = X[:175], y[:175]
    masks = draw_masks(175, 5, 0.8, seed=0)
    folds = PredefinedSplit(masks.argmin(axis=0))
    expected = cross_val_predict(GaussianNB(), X, y, cv=folds, method="predict_proba")
    found = held_out(GaussianNB(), X, y, masks)
    assert_allclose(found.held_out, expected)
    assert_array_equal(found.classes, NAMES)
    assert_allclose(
        found.predict(X[:3]), np.mean([m.predict_proba(X[:3]) for m in found.models], 0)
    )
    targets = X[:, :2]
    expected = cross_val_predict(LinearRegression(), X[:, 2:], targets, cv=folds)
    found = held_out(LinearRegression(), X[:, 2:], targets, masks, method="predict")
    assert_allclose(found.held_out, expected)
    assert found.predict(X[:3, 2:]).shape == (3, 2)


KINDS = {
    "DataFrame": pd.DataFrame,
    "polars": lambda X: pl.DataFrame(X, schema=[f"x{j}" for j in range(X.shape[1])]),
    "lists": lambda X: X.tolist(),
    "CSR": sparse.csr_matrix,
    "COO": sparse.coo_array,
    "CSC": sparse.csc_array,
}


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_any_kind_are_taken_as_they_are(kind, wine):
    X, y, masks = wine
    expected = held_out(MultinomialNB(), X, y, masks)
    found = held_out(MultinomialNB(), KINDS[kind](X), y, masks)
    assert_allclose(found.held_out, expected.held_out)
    assert_allclose(found.predict(KINDS[kind](X)), expected.predict(X))


def test_missing_values_categories_and_texts_reach_the_estimator(wine):
    X, y, masks = wine
    frame = pd.DataFrame(X[:, :2], columns=["alcohol", "acid"])
    frame["colour"] = pd.Categorical(y)
    frame.loc[::3, "alcohol"] = np.nan
    trees = HistGradientBoostingClassifier(max_iter=5, categorical_features="from_dtype")
    found = held_out(trees, frame, y, masks)
    assert np.mean(found.classes[found.held_out.argmax(axis=1)] == y) == 1
    texts = [f"a wine that is {colour}" for colour in y]
    found = held_out(make_pipeline(TfidfVectorizer(), LogisticRegression(C=100)), texts, y, masks)
    assert np.mean(found.classes[found.held_out.argmax(axis=1)] == y) == 1


def test_a_class_that_a_fold_has_not_seen_is_not_asked_for(wine):
    X, y, masks = wine
    y = y.astype(object)
    y[7] = "sparkling"
    found = held_out(GaussianNB(), X, y, masks)
    undefined = np.isnan(found.held_out).any(axis=1)
    assert_array_equal(np.flatnonzero(undefined), [7])
    assert np.isnan(found.held_out[7]).all()
    column = found.classes.tolist().index("sparkling")
    assert_array_equal(found.held_out[~masks[masks[:, 7].argmin()] & ~undefined, column], 0)


def test_jobs_and_seeds(wine):
    X, y, masks = wine
    trees = ExtraTreesClassifier(3)
    twice = np.concatenate([masks, draw_masks(len(y), 5, 0.8, seed=1)])
    alone = held_out(trees, X, y, twice)
    assert_array_equal(alone.held_out, held_out(trees, X, y, twice, n_jobs=2).held_out)
    assert not np.array_equal(alone.held_out, held_out(trees, X, y, twice, seed=1).held_out)
    seeds = [model.random_state for model in alone.models]
    assert len(set(seeds)) == len(twice)
    own = held_out(make_pipeline(ExtraTreesClassifier(3, random_state=5)), X, y, masks)
    assert [model[0].random_state for model in own.models] == [5] * 5
    assert trees.random_state is None
    assert held_out(trees, X, y, masks, keep_models=False).models is None


def test_metadata_are_divided_with_the_rows(wine):
    X, y, masks = wine
    weight = np.where(y == "rose", 1.0, 0.0)
    found = held_out(DummyClassifier(), X, y, masks, params={"sample_weight": weight})
    assert_allclose(found.held_out, np.tile([0.0, 1.0, 0.0], (len(y), 1)))
    view = X * 0
    found = held_out(GaussianNB(), X, y, masks, view=view)
    once = found.held_out[(~masks).sum(axis=0) == 1]
    assert len(np.unique(once, axis=0)) == len(masks)  # one answer per model


class Fixed(ClassifierMixin, BaseEstimator):
    """Says what it was told to say."""

    def __init__(self, probabilities):
        self.probabilities = probabilities

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        return np.tile(self.probabilities, (len(X), 1))


@pytest.mark.parametrize(
    ("probabilities", "message"),
    [
        ([0.5, 0.5], r"one column per class, shape \(\d+, 3\)"),
        ([0.9, 0.9, 0.9], r"no probabilities.*\[0.9, 0.9, 0.9\].*Calibrate"),
        ([-1.0, 1.0, 1.0], "no probabilities"),
    ],
)
def test_what_are_no_probabilities_is_refused(probabilities, message, wine):
    X, y, masks = wine
    with pytest.raises(ValueError, match=r"Fixed.predict_proba.*" + message) as caught:
        held_out(Fixed(probabilities), X, y, masks)
    assert "in fold 0 of the cross-validation" in caught.value.__notes__[0]


def test_what_is_not_finite_is_undefined(wine):
    X, y, masks = wine
    assert np.isnan(held_out(Fixed([np.nan] * 3), X, y, masks).held_out).all()


def test_rows_and_metadata_of_other_lengths_are_refused(wine):
    X, y, masks = wine
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        held_out(GaussianNB(), X, y, masks, view=X[:5])
    with pytest.raises(TypeError, match="classes_"):
        held_out(GaussianMixture(3), X, y, masks)
