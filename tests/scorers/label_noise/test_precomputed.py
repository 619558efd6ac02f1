# SPDX-License-Identifier: BSD-3-Clause
"""What is said of precomputed probabilities that were made in sample, or lie in another order."""

import warnings

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits, make_blobs
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from sklearn_difficulty import LabelErrorScorer
from sklearn_difficulty.datasets import make_label_noise
from sklearn_difficulty.scorers.label_noise import precomputed as checks

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SEEN, ORDER = "were these trained on the rows", "in the order of y"
CHANCE = "Its suspects are chance"
DOUBT = "mistakes look as sure as wrong labels"
MODELS = {
    "LR": LogisticRegression(),
    "RF": RandomForestClassifier(30, random_state=0),
    "MLP": MLPClassifier((32,), max_iter=40, random_state=0),
}


def problem(name, rate):
    if name == "digits":
        X, y = (a[:1200] for a in load_digits(return_X_y=True))
    else:  # heaps that touch: a few rows in a thousand lie on the other side
        X, y = make_blobs(2000, centers=10 * np.eye(3, 10), cluster_std=2.0, random_state=0)
    return X, make_label_noise(y, rate, random_state=0)[0] if rate else y


def held_out(model, X, y):
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    model = make_pipeline(StandardScaler(), model)
    return cross_val_predict(model, X, y, cv=folds, method="predict_proba")


def told(probabilities, y):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        LabelErrorScorer("precomputed").fit(probabilities, y)
    said = [str(w.message) for w in caught]
    return [
        text for text in (SEEN, ORDER, CHANCE, DOUBT) if any(text in message for message in said)
    ]


@pytest.mark.parametrize("rate", [0.0, 0.1])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", ["digits", "blobs"])
def test_honest_probabilities_raise_no_alarm(name, model, rate):
    X, y = problem(name, rate)
    probabilities = held_out(MODELS[model], X, y)
    if name == "blobs" and not rate:
        assert 0.996 <= np.mean(probabilities.argmax(axis=1) == y) < 1
    assert told(probabilities, y) == []
    order = np.random.default_rng(0).permutation(len(y))
    assert told(probabilities[order], y) == [ORDER]
    assert told(probabilities[:, np.roll(np.arange(probabilities.shape[1]), 1)], y) == [ORDER]


@pytest.mark.parametrize("rate", [0.0, 0.1])
@pytest.mark.parametrize(
    "model",
    [
        RandomForestClassifier(random_state=0),
        MLPClassifier((64,), solver="lbfgs", alpha=0, max_iter=200, random_state=0),
    ],
    ids=["RF", "MLP"],
)
def test_probabilities_made_in_sample(model, rate):
    X, y = problem("digits", rate)
    probabilities = make_pipeline(StandardScaler(), model).fit(X, y).predict_proba(X)
    assert told(probabilities, y) == [SEEN]
    assert told(probabilities[:400], y[:400]) == []  # so few can be right by chance


def test_models_that_know_only_what_is_frequent():
    rng = np.random.default_rng(0)
    X, rare = rng.normal(size=(2000, 3)), (rng.random(2000) < 0.01).astype(int)
    three = rng.integers(3, size=2000)
    for y in (rare, three):
        for model in (LogisticRegression(), DummyClassifier()):
            assert told(held_out(model, X, y), y) == [CHANCE]
    assert told(np.full((40, 3), 1 / 3), three[:40]) == []  # too few rows to tell


def test_networks_that_know_only_what_is_frequent():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(120, 3)).astype(np.float32), rng.integers(3, size=120)
    scorer = LabelErrorScorer(n_members=5, n_neighbors=None, random_state=0)
    with pytest.warns(UserWarning, match=CHANCE):
        scorer.fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scorer.fit(X + 3 * y[:, np.newaxis].astype(np.float32), y)


def test_a_little_knowledge_of_a_lopsided_problem_is_some():
    rng = np.random.default_rng(0)
    y = (rng.random(2000) < 0.01).astype(int)
    X = rng.normal(size=(2000, 3)) + 2 * y[:, np.newaxis]
    assert told(held_out(LogisticRegression(), X, y), y) == []


def test_probabilities_of_zero_and_one():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 4))
    y, is_wrong = make_label_noise((X[:, 0] + X[:, 1] > 0).astype(int), 0.1, random_state=0)
    judge = DecisionTreeClassifier(random_state=0)
    assert told(held_out(judge, X, y), y) == [DOUBT]
    assert told(np.eye(2)[held_out(LogisticRegression(), X, y).argmax(axis=1)], y) == [DOUBT]
    assert told(np.eye(2)[y][:400], y[:400]) == []  # no mistake, and no finding
    with pytest.warns(UserWarning, match=rf"{DOUBT}.*\.CalibratedClassifierCV\(model\)"):
        hard = LabelErrorScorer(judge, random_state=0).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        remedied = LabelErrorScorer(CalibratedClassifierCV(judge), random_state=0).fit(X, y)
    precision = [average_precision_score(is_wrong, s.difficulty_) for s in (hard, remedied)]
    assert precision[1] > precision[0] + 0.1


def test_of_many_rows_some_are_read(monkeypatch):
    X, y = problem("digits", 0.0)
    probabilities = MODELS["RF"].fit(X, y).predict_proba(X)
    monkeypatch.setattr(checks, "_READ_NUMBERS", 0)  # a thousand rows, that is
    with pytest.warns(UserWarning, match="contradict 0 of 600 given labels"):
        checks.warn_of_odd_probabilities(probabilities, y)
