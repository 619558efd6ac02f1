# SPDX-License-Identifier: BSD-3-Clause
"""estimate_label_noise on data sets: more flips, more flags; one label changes little."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_breast_cancer, load_digits, make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_difficulty.measures import estimate_label_noise


def rows_of(name, n):
    """Return rows and labels, n or as many as there are."""
    if name == "digits":
        X, y = load_digits(return_X_y=True)
        return X[:n], y[:n]
    if name == "breast cancer":
        return load_breast_cancer(return_X_y=True)
    return make_classification(
        n,
        20,
        n_informative=15,
        n_redundant=0,
        n_classes=3 if name == "three clusters" else 6,
        n_clusters_per_class=1,
        class_sep=2.0,
        flip_y=0,
        random_state=1,
    )


def flipped(y, rate):
    """Return labels of which a share is wrong; what is flipped at a rate is so at higher ones."""
    rng, n_classes = np.random.RandomState(0), y.max() + 1
    rows, step = rng.permutation(len(y)), rng.randint(1, n_classes, size=len(y))
    given, rows = y.copy(), rows[: round(rate * len(y))]
    given[rows] = (y[rows] + step[rows]) % n_classes
    return given


def held_out(X, given):
    """Return what a logistic regression says of rows that it has not seen."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=60))
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    return cross_val_predict(model, X, given, cv=folds, method="predict_proba")


@pytest.mark.parametrize("name", ["digits", "breast cancer", "six clusters"])
def test_more_flips_more_flags_and_a_higher_rate(name):
    X, y = rows_of(name, 1000)
    rates = np.arange(0, 0.41, 0.02)
    flagged, found = [], []
    for rate in rates:
        given = flipped(y, rate)
        noise = estimate_label_noise(held_out(X, given), given)
        flagged.append((noise.error_probability > 0.5).mean())
        found.append(noise.noise_rate)
    assert np.diff(flagged).min() >= 0
    assert np.diff(found).min() >= 0
    assert_allclose(found, rates, atol=0.08)


@pytest.mark.parametrize(
    # Of labels that are nearly all right, one more that is surely wrong says that slips occur.
    ("rate", "most"),
    [(0.05, 0.08), (0.2, 0.05), (0.0, 0.15)],
)
@pytest.mark.parametrize("name", ["digits", "six clusters", "three clusters"])
def test_one_label_moves_no_other_probability_by_much(name, rate, most):
    X, y = rows_of(name, 2000)
    given = flipped(y, rate)
    q = held_out(X, given)
    before = estimate_label_noise(q, given).error_probability
    for row in np.random.default_rng(1).permutation(len(y))[:15]:
        other = given.copy()
        other[row] = (given[row] + 1) % (y.max() + 1)
        moved = np.abs(estimate_label_noise(q, other).error_probability - before)
        assert np.delete(moved, row).max() <= most
