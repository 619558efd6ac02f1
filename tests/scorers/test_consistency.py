# SPDX-License-Identifier: BSD-3-Clause
"""ConsistencyScorer, and the one pool that all scorers of ensembles can read."""

import warnings
from collections import Counter

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits
from sklearn.metrics import average_precision_score
from small_nets import codebook, make_net

from sklearn_difficulty import (
    ConsistencyScorer,
    DifficultyQuadrantClassifier,
    MemorizationScorer,
)
from sklearn_difficulty.training import ResampledEnsemble

pytestmark = [
    pytest.mark.usefixtures("one_thread", "seeded"),
    pytest.mark.filterwarnings("ignore:.*have no defined difficulty:UserWarning"),
]

SCORERS = pytest.mark.parametrize(
    "scorer_class", [ConsistencyScorer, MemorizationScorer, DifficultyQuadrantClassifier]
)
K, N = 6, 150


def few(scorer_class, estimator=None, **params):
    """Return a scorer of four members that fits small data."""
    if scorer_class is DifficultyQuadrantClassifier:
        params = {"n_neighbors": 5, **params}
    return scorer_class(estimator, **{"n_members": 4, "random_state": 0, **params})


@pytest.fixture(scope="session")
def pool(flowers):
    """Return a fitted ensemble that held every row out twice; it is only read."""
    settings = {"n_members": K, "train_size": 2 / 3, "keep_members": True, "random_state": 0}
    net = make_net(lr=0.05)
    return ResampledEnsemble(net, **settings).fit(*flowers)


# ------------------------------------------------------------------------------- what it computes


def test_every_number_by_hand(pool, flowers):
    X, y = flowers
    scorer = ConsistencyScorer(pool).fit(X, y)
    predicted = pool.classes_[pool.predictions_]
    for i in range(N):
        votes = [predicted[k, i] for k in range(K) if not pool.masks_[k, i]]
        counts = Counter(votes)
        tied = [label for label in pool.classes_ if counts[label] == max(counts.values())]
        consensus = y[i] if y[i] in tied else tied[0]
        assert scorer.n_held_out_[i] == len(votes) == 2
        assert scorer.consistency_[i] == counts[y[i]] / len(votes)
        assert scorer.consensus_class_[i] == consensus
        assert scorer.consensus_consistency_[i] == counts[consensus] / len(votes)
    assert_array_equal(scorer.difficulty_, (1 - scorer.consistency_).astype(np.float32))
    assert scorer.difficulty_.dtype == np.float32
    assert set(scorer.difficulty_) == {0, 0.5, 1}
    assert scorer.consensus_class_.dtype == y.dtype
    assert scorer.n_undefined_ == 0


def test_ties_go_to_the_given_label_and_then_to_the_first(pool, flowers):
    X, y = flowers
    scorer = ConsistencyScorer(pool).fit(X, y)
    is_tied = scorer.consensus_consistency_ == 0.5
    votes = [set(pool.classes_[pool.predictions_[~pool.masks_[:, i], i]]) for i in range(N)]
    with_given = [i for i in np.flatnonzero(is_tied) if y[i] in votes[i]]
    without = [i for i in np.flatnonzero(is_tied) if y[i] not in votes[i]]
    assert with_given
    assert without
    assert_array_equal(scorer.consensus_class_[with_given], y[with_given])
    assert_array_equal(scorer.consensus_class_[without], [min(votes[i]) for i in without])


def test_closed_form():
    # A member knows the rows that it was trained on, and takes all others for the first class.
    y = np.arange(30) % 3
    scorer = ConsistencyScorer(codebook(30), n_members=4, train_size=0.5, random_state=0)
    scorer.fit(np.eye(30, dtype=np.float32), y)
    assert_array_equal(scorer.ensemble_.predictions_, np.where(scorer.ensemble_.masks_, y, 0))
    assert_array_equal(scorer.difficulty_, y != 0)
    assert_array_equal(scorer.consensus_class_, np.zeros(30))
    assert_array_equal(scorer.consensus_consistency_, np.ones(30))
    n_in = scorer.ensemble_.masks_.sum(axis=0)
    assert_array_equal(n_in, 4 - scorer.n_held_out_)
    expected = np.where(y == 0, 0, 1 - n_in / 4)
    assert_allclose(scorer.score_samples(np.eye(30), y), expected)
    assert_allclose(scorer.score_samples(np.eye(30)), np.minimum(expected, 1 - expected))
    assert 0 < expected.max() < 1


def test_unseen_rows_by_hand(pool, flowers):
    X, y = flowers
    scorer = ConsistencyScorer(pool).fit(X, y)
    new = X + np.random.default_rng(1).normal(scale=0.3, size=X.shape).astype(np.float32)
    with torch.no_grad():
        outputs = [pool.record(k).module(torch.from_numpy(new)) for k in range(K)]
    votes = np.stack([pool.classes_[o.argmax(dim=1).numpy()] for o in outputs])
    agreement = [max(Counter(column).values()) / K for column in votes.T]
    assert_allclose(scorer.score_samples(new), 1 - np.array(agreement), atol=1e-7)
    assert_allclose(scorer.score_samples(new, y), (votes != y).mean(axis=0), atol=1e-7)
    assert len(set(agreement)) > 2
    assert_array_equal(scorer.transform(new), scorer.score_samples(new)[:, None])
    assert_array_equal(scorer.transform(new, y), scorer.score_samples(new, y)[:, None])
    assert scorer.get_feature_names_out().tolist() == ["inconsistency"]
    assert_array_equal(scorer.score_samples(new[7:9]), scorer.score_samples(new)[7:9])


def test_finds_wrong_labels_of_digits():
    X, y = load_digits(return_X_y=True)
    X, y = X[:1000], y[:1000]
    rng = np.random.default_rng(0)
    wrong = rng.random(1000) < 0.2
    given = np.where(wrong, (y + rng.integers(1, 10, size=1000)) % 10, y)
    scorer = ConsistencyScorer(n_members=10, train_size=0.8, random_state=0)
    scorer.fit(X[:700], given[:700])
    assert average_precision_score(wrong[:700], scorer.difficulty_) > 0.7  # chance: 0.2
    assert (scorer.consensus_class_ == y[:700]).mean() > 0.9
    without, with_labels = (
        average_precision_score(wrong[700:], scorer.score_samples(X[700:], labels))
        for labels in (None, given[700:])
    )
    assert without < 0.3 < 0.8 < with_labels


# --------------------------------------------------------------- rows that were never held out


def test_rows_that_no_member_held_out(flowers):
    X, y = flowers
    scorer = ConsistencyScorer(make_net(), n_members=2, train_size=0.7, random_state=0)
    scorer.fit(X, y)
    never = scorer.ensemble_.masks_.all(axis=0)
    assert 40 < never.sum() < 110
    assert_array_equal(scorer.n_held_out_ == 0, never)
    assert_array_equal(np.isnan(scorer.difficulty_), never)
    assert_array_equal(np.isnan(scorer.consistency_), never)
    assert_array_equal(np.isnan(scorer.consensus_consistency_), never)
    assert scorer.consensus_class_.dtype == object
    assert_array_equal([label is None for label in scorer.consensus_class_], never)
    assert set(scorer.consensus_class_[~never]) <= set(y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # all members can be asked about unseen rows
        assert np.isfinite(scorer.score_samples(X)).all()


# ------------------------------------------------------------------------------ one pool for all


@SCORERS
def test_its_own_ensemble_is_that_of_the_same_settings(flowers, passes, tmp_path, scorer_class):
    X, y = flowers
    is_quadrants = scorer_class is DifficultyQuadrantClassifier
    size = {"validation_size": 0.5} if is_quadrants else {"train_size": 0.5}
    shared = {"stratify": True, "backend": "joblib", "n_jobs": 1, "cache_dir": tmp_path}
    scorer = few(scorer_class, make_net(), **size, **shared).fit(X, y)
    assert scorer.ensemble_.backend_ == "joblib"
    readout = scorer.readout() if is_quadrants else None
    by_hand = ResampledEnsemble(
        make_net(), n_members=4, train_size=0.5, random_state=0, readout=readout, **shared
    )
    assert scorer.ensemble_.get_params(deep=False).keys() == by_hand.get_params(deep=False).keys()
    by_hand.set_params(keep_members=True)
    passes.clear()
    by_hand.fit(X, y)
    assert not any(passes)  # all members lie in the cache, so nothing differs
    assert_array_equal(scorer.ensemble_.masks_, by_hand.masks_)
    assert_array_equal(scorer.ensemble_.predictions_, by_hand.predictions_)
    assert_array_equal(few(scorer_class, by_hand).fit(X, y).difficulty_, scorer.difficulty_)
    assert len(list(tmp_path.iterdir())) >= 4


@SCORERS
def test_scorers_read_the_pool_of_another(flowers, passes, scorer_class):
    X, y = flowers
    first = few(DifficultyQuadrantClassifier, make_net(), validation_size=0.5).fit(X, y)
    passes.clear()
    second = few(scorer_class, first.ensemble_).fit(X, y)
    assert not any(passes)
    consistency = few(ConsistencyScorer, first.ensemble_).fit(X, y)
    if scorer_class is MemorizationScorer:
        assert_array_equal(second.difficulty_, first.memorization_.astype(np.float32))
        assert_array_equal(second.p_out_, first.consistency_)
        assert_array_equal(second.p_out_, consistency.consistency_)
    for name in ("consistency_", "consensus_class_", "consensus_consistency_"):
        assert_array_equal(getattr(first, name), getattr(consistency, name))


# ------------------------------------------------------------------------- without the members


def test_an_ensemble_without_members_has_consistency(flowers):
    bare = ResampledEnsemble(make_net(), n_members=4, train_size=0.5, random_state=0)
    bare.fit(*flowers)
    scorer = ConsistencyScorer(bare).fit(*flowers)
    correct = bare.classes_[bare.predictions_] == flowers[1]
    expected = 1 - (correct * ~bare.masks_).sum(axis=0) / (~bare.masks_).sum(axis=0)
    assert_allclose(scorer.difficulty_, expected)


# ------------------------------------------------------------------------- a scikit-learn citizen


@SCORERS
def test_stacked_members_give_the_scores_of_single_ones(flowers, scorer_class):
    stacked, single = (
        few(scorer_class, make_net(), backend=backend).fit(*flowers)
        for backend in ("stacked", "joblib")
    )
    assert (stacked.ensemble_.backend_, single.ensemble_.backend_) == ("stacked", "joblib")
    same = stacked.ensemble_.predictions_ == single.ensemble_.predictions_
    assert same.mean() > 0.99
    assert np.isclose(stacked.difficulty_, single.difficulty_, equal_nan=True).mean() > 0.9


def test_a_share_that_leaves_nothing_to_hold_out(flowers):
    with pytest.raises(ValueError, match=r"train_size=0\.999"):
        ConsistencyScorer(make_net(), train_size=0.999).fit(*flowers)
