# SPDX-License-Identifier: BSD-3-Clause
"""NeighborConfidenceScorer against a slow loop; what it shares with prediction depth is there."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from small_nets import make_net
from torch import nn

from sklearn_difficulty import NeighborConfidenceScorer
from sklearn_difficulty.datasets import make_label_noise
from sklearn_difficulty.training import default_network

pytestmark = pytest.mark.usefixtures("one_thread", "seeded")

K = 7


@pytest.fixture(scope="module")
def scorer(flowers, flower_record):
    """A scorer that is not to be changed."""
    return NeighborConfidenceScorer(flower_record, n_neighbors=K).fit(*flowers)


def slow_confidence(embeddings, bank_labels, labels, *, is_bank):
    """Return the share of the nearest rows with a row's label, (n, n_probes)."""
    shares = np.empty((len(labels), len(embeddings)))
    for probe, matrix in enumerate(embeddings):
        for i, label in enumerate(labels):
            distances = np.linalg.norm(matrix - matrix[i], axis=1)
            if is_bank:
                distances[i] = np.inf
            shares[i, probe] = np.mean(bank_labels[np.argsort(distances)[:K]] == label)
    return shares


def test_training_rows_equal_a_slow_loop(flowers, scorer, flower_embeddings):
    _, y = flowers
    expected = slow_confidence(flower_embeddings, y, y, is_bank=True)
    assert_allclose(scorer.probe_confidence_, expected, rtol=1e-6)
    assert_allclose(scorer.difficulty_, 1 - expected.mean(axis=1), atol=1e-6)
    assert scorer.probe_confidence_.dtype == scorer.difficulty_.dtype == np.float32
    assert scorer.n_undefined_ == 0
    assert len(np.unique(scorer.difficulty_)) > 20


def test_unseen_rows_equal_a_slow_loop(flowers, scorer, flower_embeddings):
    X, y = flowers
    other = np.roll(y, 1)
    for labels in (y, other):
        expected = slow_confidence(flower_embeddings, y, labels, is_bank=False)
        assert_allclose(scorer.score_samples(X, labels), 1 - expected.mean(axis=1), atol=1e-6)
    assert not np.allclose(scorer.score_samples(X, y), scorer.score_samples(X, other))


@pytest.mark.parametrize(("label", "expected"), [("ant", 0), ("bee", 1), ("cat", 1)])
def test_bounds(record_of, label, expected):
    module = nn.Linear(3, 3, bias=False)
    module.weight.data = torch.eye(3)
    y = np.repeat(["ant", "bee", "cat"], 10)
    X = 10 * np.repeat(np.eye(3), 10, axis=0) + np.random.default_rng(0).normal(size=(30, 3))
    scorer = NeighborConfidenceScorer(record_of(module, np.unique(y)), n_neighbors=5).fit(X, y)
    assert (scorer.difficulty_ == 0).all()
    assert_array_equal(scorer.score_samples(X[:4], [label] * 4), [expected] * 4)


def test_a_row_with_another_label_than_all_its_neighbors_is_hardest(flowers):
    X, y = flowers
    y = np.where(X[:, 2] < 2.5, "setosa", "virginica")
    wrong = int(np.argmin(X[:, 2]))
    y[wrong] = "virginica"
    scorer = NeighborConfidenceScorer(make_net(module__n_outputs=2), n_neighbors=5, random_state=0)
    scorer.fit(X, y)
    assert scorer.difficulty_.argmax() == wrong
    assert scorer.probe_confidence_[wrong, 0] == 0


def test_wrong_labels_are_found():
    X, y = load_digits(return_X_y=True)
    noisy, is_wrong = make_label_noise(y, 0.2, random_state=0)
    net = default_network(X, noisy).set_params(max_epochs=5)
    scorer = NeighborConfidenceScorer(net, n_neighbors=10, random_state=0).fit(X, noisy)
    assert roc_auc_score(is_wrong, scorer.difficulty_) > 0.97


@pytest.mark.parametrize("undefined", ["nan", "max"])
def test_undefined_rows(overflowing, undefined):
    record, X, y = overflowing
    scorer = NeighborConfidenceScorer(record, n_neighbors=5, undefined=undefined).fit(X, y)
    with pytest.warns(UserWarning, match=r"1 row\(s\) have no defined difficulty, first \[1\]"):
        scores = scorer.score_samples(np.vstack([X[0], 1e9 * np.ones(4)]), y[:2])
    expected = scorer.difficulty_.max() if undefined == "max" else np.nan
    assert_array_equal(scores[1], expected)
    assert np.isfinite(scores[0])
