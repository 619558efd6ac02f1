# SPDX-License-Identifier: BSD-3-Clause
"""MemorizationScorer: what it counts, influence, and what nets that memorise show.

What it has in common with other scorers is in test_contract, the pool in test_consistency.
"""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import comb
from sklearn.datasets import load_digits
from sklearn.metrics import average_precision_score
from small_nets import codebook, make_net, memorising

from sklearn_difficulty import ConsistencyScorer, MemorizationScorer
from sklearn_difficulty.measures import memorization
from sklearn_difficulty.training import ResampledEnsemble

pytestmark = [
    pytest.mark.usefixtures("one_thread", "seeded"),
    pytest.mark.filterwarnings("ignore:.*have no defined difficulty:UserWarning"),
]

K, N = 8, 150


@pytest.fixture(scope="module")
def pool(flowers):
    """Return a fitted ensemble that is only read; some rows are in all members or in none."""
    settings = {"n_members": K, "train_size": 0.6, "keep_members": True, "random_state": 0}
    return ResampledEnsemble(make_net(lr=0.05), **settings).fit(*flowers)


@pytest.fixture(scope="module")
def scorer(pool, flowers):
    """A scorer that is not to be changed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MemorizationScorer(pool).fit(*flowers)


@pytest.fixture
def unseen(flowers):
    """Return rows near those of the training, and their labels in another order."""
    X, y = flowers
    rng = np.random.default_rng(1)
    return X[:40] + rng.normal(scale=0.3, size=(40, 4)).astype(np.float32), y[5:45]


def influence_by_hand(masks, correct):
    """Return the influence (n_test, n_train), one number after the other."""
    n_test, n_train = correct.shape[1], masks.shape[1]
    found = np.full((n_test, n_train), np.nan)
    for j in range(n_test):
        for i in range(n_train):
            inside, outside = correct[masks[:, i], j], correct[~masks[:, i], j]
            if len(inside) and len(outside):
                found[j, i] = inside.mean() - outside.mean()
    return found


# ------------------------------------------------------------------------------- what it computes


def test_every_number_by_hand(pool, scorer, flowers):
    _, y = flowers
    correct = pool.classes_[pool.predictions_] == y
    undefined = 0
    for i in range(N):
        inside, outside = correct[pool.masks_[:, i], i], correct[~pool.masks_[:, i], i]
        assert (scorer.n_in_[i], scorer.n_out_[i]) == (len(inside), len(outside))
        for share, votes in ((scorer.p_in_[i], inside), (scorer.p_out_[i], outside)):
            assert_allclose(share, votes.mean() if len(votes) else np.nan)
        if not len(inside) or not len(outside):
            undefined += 1
            assert np.isnan([scorer.difficulty_[i], scorer.standard_error_[i]]).all()
            continue
        assert_allclose(scorer.difficulty_[i], inside.mean() - outside.mean(), atol=1e-7)
        variance = 0
        for votes in (inside, outside):
            p = (votes.sum() + 1) / (len(votes) + 2)
            variance += p * (1 - p) / len(votes)
        assert_allclose(scorer.standard_error_[i], np.sqrt(variance))
    assert undefined == scorer.n_undefined_ == np.isnan(scorer.difficulty_).sum() > 0
    assert scorer.difficulty_.dtype == np.float32
    assert np.nanmin(scorer.difficulty_) < 0 < np.nanmax(scorer.difficulty_)


def test_closed_form():
    # A member knows the rows that it was trained on, and takes all others for the first class.
    y = np.arange(30) % 3
    X = np.eye(30, dtype=np.float32)
    scorer = MemorizationScorer(codebook(30), n_members=40, train_size=0.5, random_state=0)
    scorer.fit(X, y)
    masks = scorer.ensemble_.masks_
    assert_array_equal(scorer.p_in_, np.ones(30))
    assert_array_equal(scorer.p_out_, y == 0)
    assert_array_equal(scorer.difficulty_, y != 0)
    assert_array_equal(scorer.n_in_, masks.sum(axis=0))
    # A row of another class is known if it was there: its presence may go with that of others.
    found = scorer.influence(X, y)
    assert_array_equal(found[y == 0], np.zeros((10, 30)))
    assert_allclose(found, influence_by_hand(masks, masks | (y == 0)), atol=1e-6)
    pairs = scorer.high_influence_pairs(X, y, min_influence=0.99)
    assert_array_equal(pairs.test_index, np.flatnonzero(y != 0))
    assert_array_equal(pairs.train_index, np.flatnonzero(y != 0))
    assert_array_equal(pairs.memorization, np.ones(20))


def test_closed_form_of_twins():
    # Rows come in pairs with one label: one is known if it or its twin was trained on.
    n, n_members = 40, 400
    y = np.repeat(np.arange(n // 2) % 2 + 1, 2)
    y[:4] = 0
    X = np.repeat(np.eye(n // 2, dtype=np.float32), 2, axis=0)
    settings = {"n_members": n_members, "train_size": 0.7, "random_state": 0}
    scorer = MemorizationScorer(codebook(n // 2), **settings).fit(X, y)
    masks = scorer.ensemble_.masks_
    twin = np.arange(n) ^ 1
    assert_array_equal(scorer.p_in_, np.ones(n))
    for i in range(4, n):
        assert_allclose(scorer.p_out_[i], masks[~masks[:, i], twin[i]].mean())
    assert_array_equal(scorer.p_out_[:4], np.ones(4))
    # Of the other 39 rows, 28 are trained on.
    expected = 1 - comb(38, 27) / comb(39, 28)
    assert_allclose(scorer.difficulty_[4:].mean(), expected, atol=3 * 0.5 / np.sqrt(120 * 18))
    assert (abs(scorer.difficulty_[4:] - expected) < 5 * scorer.standard_error_[4:]).all()


def test_network_that_always_says_the_same_memorises_nothing(flowers):
    net = codebook(4).set_params(lr=0.0)
    scorer = MemorizationScorer(net, n_members=6, train_size=0.5, random_state=0).fit(*flowers)
    assert_array_equal(scorer.difficulty_, np.zeros(N))
    assert_array_equal(scorer.influence(*flowers), np.zeros((N, N)))
    assert_array_equal(scorer.p_in_, flowers[1] == "setosa")
    assert all(len(part) == 0 for part in scorer.high_influence_pairs(*flowers))
    assert (scorer.standard_error_ > 0).all()


def test_complements_consistency(pool, scorer, flowers):
    consistency = ConsistencyScorer(pool).fit(*flowers)
    assert_array_equal(scorer.p_out_, consistency.consistency_)
    assert_array_equal(scorer.n_out_, consistency.n_held_out_)


@pytest.mark.parametrize("undefined", ["nan", "max"])
def test_rows_that_are_on_one_side_only(flowers, undefined):
    scorer = MemorizationScorer(
        make_net(), n_members=2, train_size=0.7, undefined=undefined, random_state=0
    )
    scorer.fit(*flowers)
    n_in = scorer.ensemble_.masks_.sum(axis=0)
    one_sided = n_in != 1
    assert set(n_in) == {0, 1, 2}
    assert scorer.n_undefined_ == one_sided.sum()
    assert_array_equal(np.isnan(scorer.standard_error_), one_sided)
    assert_array_equal(np.isnan(scorer.p_in_), n_in == 0)
    assert_array_equal(np.isnan(scorer.p_out_), n_in == 2)
    found = scorer.influence(flowers[0][:9], flowers[1][:9])
    assert_array_equal(np.isnan(found), np.tile(one_sided, (9, 1)))
    pairs = scorer.high_influence_pairs(*flowers, min_memorization=-1, min_influence=-1)
    assert set(pairs.train_index) == set(np.flatnonzero(~one_sided))  # not the stand-ins


# ---------------------------------------------------------------------------------- other rows


def test_influence_by_brute_force(pool, scorer, unseen):
    X, y = unseen
    votes = pool.classes_[pool.member_probability(X).argmax(axis=2)]
    found = scorer.influence(X, y)
    assert found.shape == (40, N)
    assert found.dtype == np.float32
    assert_allclose(found, influence_by_hand(pool.masks_, votes == y), atol=1e-6)
    assert np.isnan(found[:, np.isnan(scorer.difficulty_)]).all()
    assert len(np.unique(found[~np.isnan(found)])) > 10


def test_influence_on_oneself_is_memorization(pool, scorer, flowers):
    X, y = flowers
    assert_array_equal(pool.member_probability(X).argmax(axis=2), pool.predictions_)
    found = scorer.influence(X, y)
    assert_allclose(np.diag(found), scorer.difficulty_, atol=1e-6)
    expected = memorization(pool.classes_[pool.predictions_] == y, pool.masks_)
    assert_allclose(np.diag(found), expected.memorization, atol=1e-6)


@pytest.mark.parametrize(
    "minima",
    [{}, {"min_memorization": 0.5}, {"min_influence": 0.4}, {"min_memorization": -1.0}],
    ids=str,
)
def test_high_influence_pairs_by_brute_force(scorer, flowers, unseen, minima):
    X, y = unseen
    pairs = scorer.high_influence_pairs(X, y, **minima)
    least = {"min_memorization": 0.25, "min_influence": 0.15, **minima}
    influence, memorized = scorer.influence(X, y), scorer.difficulty_
    expected = {
        (j, i): influence[j, i]
        for j in range(40)
        for i in range(N)
        if y[j] == flowers[1][i]
        and memorized[i] >= least["min_memorization"] - 1e-6
        and influence[j, i] >= least["min_influence"] - 1e-6
    }
    found = dict(
        zip(zip(pairs.test_index, pairs.train_index, strict=True), pairs.influence, strict=True)
    )
    assert found == pytest.approx(expected)
    assert len(found) == len(pairs.influence) > 0
    assert (np.diff(pairs.influence) <= 0).all()
    assert_allclose(pairs.memorization, memorized[pairs.train_index], atol=1e-7)
    assert (y[pairs.test_index] == flowers[1][pairs.train_index]).all()


def test_no_pair_in_memorised_rows_of_the_other_labels(scorer, flowers):
    X, y = flowers
    loose = {"min_memorization": -1.0, "min_influence": -1.0}
    pairs = scorer.high_influence_pairs(X[:5], y[:5], **loose)
    defined = ~np.isnan(scorer.difficulty_)
    assert len(pairs.influence) == sum((y[defined] == label).sum() for label in y[:5])
    nothing = scorer.high_influence_pairs(X[:5], y[:5], min_influence=1.1)
    assert [len(part) for part in nothing] == [0] * 4


def test_influence_needs_the_members(flowers):
    X, y = flowers
    scorer = MemorizationScorer(make_net(), n_members=4, keep_members=False, random_state=0)
    scorer.fit(X, y)
    for reading in (scorer.influence, scorer.high_influence_pairs):
        with pytest.raises(ValueError, match="not kept; fit the ensemble with keep_members=True"):
            reading(X, y)


# ----------------------------------------------------------------------------------- what it finds


def test_wrong_labels_and_duplicates_in_networks_that_memorise():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 100)
    X = rng.normal(size=(200, 10)).astype(np.float32) + 3 * np.eye(2, 10, dtype=np.float32)[y]
    unique, copied = [5, 17, 120, 133, 171], np.arange(60, 66)
    X[copied] = X[60]
    y[unique], y[copied] = 1 - y[unique], 1 - y[copied]
    scorer = MemorizationScorer(memorising(10, 2), n_members=20, random_state=0).fit(X, y)
    assert scorer.p_in_.mean() > 0.99
    found = scorer.difficulty_
    assert (found[unique] > 0.7).all()
    assert (found[copied] < 0.3).all()  # wrong as well, but each has the others to learn from
    others = np.setdiff1d(np.arange(200), [*unique, *copied])
    assert np.nanmean(found[others]) < 0.1


def test_wrong_labels_of_digits():
    X, y = load_digits(return_X_y=True)
    X, y = X[:400], y[:400]
    rng = np.random.default_rng(0)
    wrong = rng.random(400) < 0.2
    y = np.where(wrong, (y + rng.integers(1, 10, size=400)) % 10, y)
    net = memorising(64, 10, module__mean=X.mean(axis=0), module__scale=X.std(axis=0) + 1)
    scorer = MemorizationScorer(net, n_members=10, random_state=0).fit(X, y)
    assert np.nanmean(scorer.p_in_[wrong]) > 0.95
    defined = ~np.isnan(scorer.difficulty_)
    found = average_precision_score(wrong[defined], scorer.difficulty_[defined])
    assert found > 0.6  # chance: 0.2
    # Networks that hardly learn have learned nothing by heart.
    lazy = MemorizationScorer(net.set_params(max_epochs=1, lr=1e-4), n_members=10, random_state=0)
    assert abs(np.nanmean(lazy.fit(X, y).difficulty_)) < 0.1
