# SPDX-License-Identifier: BSD-3-Clause
"""LabelErrorScorer from one training: neighbours in the input say how many, or why none do."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from small_nets import codes_of, make_net
from torch import nn

from sklearn_difficulty import FilteredClassifier, LabelErrorScorer, TrainingRecord
from sklearn_difficulty.datasets import make_label_noise
from sklearn_difficulty.measures import estimate_label_noise
from sklearn_difficulty.training import MLP, default_network

pytestmark = pytest.mark.usefixtures("one_thread", "seeded")

METHODS = ("one_fit", "neighbors")
OF_NOISE = (
    "error_probability_",
    "suggested_label_",
    "suggested_label_confidence_",
    "noise_rate_",
    "noise_rate_interval_",
    "noise_matrix_",
    "class_dependence_",
    "cuts_",
)


def input_votes(X, codes, k):
    """Return the shares of the classes among the k nearest other rows, one vote being shared."""
    index = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(X)
    n_classes = codes.max() + 1
    votes = np.eye(n_classes)[codes[index.kneighbors(return_distance=False)]].sum(axis=1)
    return ((votes + 1 / n_classes) / (k + 1)).astype(np.float32)


@pytest.fixture(scope="module")
def memorised():
    """Return digits with one label in five flipped, which are those, and a net that knows them."""
    X, y = load_digits(return_X_y=True)
    X, y = X[:500].astype(np.float32) / 4 - 1, y[:500]
    given, is_wrong = make_label_noise(y, rate=0.2, random_state=0)
    net = make_net(
        module=MLP,
        module__n_inputs=64,
        module__hidden_units=(128, 64),
        module__n_outputs=10,
        optimizer=torch.optim.Adam,
        lr=1e-2,
        max_epochs=30,
        batch_size=64,
        train_split=None,
    )
    record = TrainingRecord.from_fit(net, X, given, checkpoints=1, keep_logits=True, random_state=0)
    assert (record.net.predict(X) == given).mean() > 0.95
    return record, X, given, y, is_wrong


@pytest.mark.parametrize("method", METHODS)
def test_error_probabilities_are_those_of_neighbours_in_the_input(memorised, method):
    record, X, given, _, is_wrong = memorised
    scorer = LabelErrorScorer(record, method=method, n_neighbors=15).fit(X, given)
    found = estimate_label_noise(input_votes(X, given, 15), given)
    fit = IsotonicRegression().fit(scorer.difficulty_, found.error_probability)
    expected = fit.predict(scorer.difficulty_)
    assert_allclose(scorer.error_probability_, expected, atol=1e-4)
    assert scorer.noise_rate_ == pytest.approx(found.noise_rate, abs=1e-4)
    assert_allclose(scorer.noise_rate_interval_, found.noise_rate_interval, atol=1e-4)
    assert scorer.error_probability_.mean() == pytest.approx(scorer.noise_rate_)
    low, high = scorer.noise_rate_interval_
    assert low < is_wrong.mean() < high


@pytest.mark.parametrize("method", METHODS)
def test_a_training_that_has_learned_wrong_labels_has_a_cut(memorised, method):
    record, X, given, y, is_wrong = memorised
    scorer = LabelErrorScorer(record, method=method, n_neighbors=15).fit(X, given)
    assert roc_auc_score(is_wrong, scorer.difficulty_) > 0.98
    suspect = scorer.error_probability_ > 0.5
    assert is_wrong[suspect].mean() > 0.85
    assert suspect[is_wrong].mean() > 0.85
    assert (scorer.suggested_label_ == y)[suspect & is_wrong].mean() > 0.8
    assert_array_equal(scorer.suggested_label_[~suspect], given[~suspect])
    # What the training says of its own rows finds less than every other one.
    own = estimate_label_noise(scorer.probabilities_, given)
    assert (own.error_probability > 0.5)[is_wrong].mean() < 0.5
    kept = FilteredClassifier(scorer=clone(scorer)).fit(X, given)
    assert_array_equal(kept.dropped_indices_, np.flatnonzero(suspect))


@pytest.mark.parametrize("method", METHODS)
def test_dropping_the_hardest_rows_is_dropping_above_a_cut(memorised, method):
    record, X, given, _, _ = memorised
    scorer = LabelErrorScorer(record, method=method, n_neighbors=15).fit(X, given)
    order = np.argsort(scorer.difficulty_, kind="stable")
    assert (np.diff(scorer.error_probability_[order]) >= 0).all()
    for cut, n_dropped in zip(scorer.cuts_["cut"], scorer.cuts_["n_dropped"], strict=True):
        above = np.flatnonzero(scorer.error_probability_ > cut)
        assert_array_equal(np.sort(order[len(order) - n_dropped :]), above)


@pytest.mark.parametrize("method", METHODS)
def test_equally_difficult_rows_are_equally_likely_wrong(memorised, method):
    record, X, given, _, _ = memorised
    scorer = LabelErrorScorer(record, method=method, n_neighbors=5).fit(X, given)
    for value in np.unique(scorer.difficulty_):
        assert len(np.unique(scorer.error_probability_[scorer.difficulty_ == value])) == 1


def without_noise(scorer):
    """Return what is said of the attributes that are not there."""
    said = set()
    for name in OF_NOISE:
        assert not hasattr(scorer, name)
        with pytest.raises(AttributeError, match=f"There is no {name}: with method=") as raised:
            getattr(scorer, name)
        said.add(str(raised.value).partition(": ")[2])
    [message] = said
    assert repr(scorer).endswith("; how many labels are wrong cannot be told")
    assert "Fitted attributes" in scorer._repr_html_()
    return message


def test_without_neighbours_a_single_training_says_nothing_of_the_noise(flowers):
    scorer = LabelErrorScorer(make_net(), method="one_fit", n_neighbors=None, random_state=0)
    scorer.fit(*flowers)
    assert "and n_neighbors is None. The order" in without_noise(scorer)
    assert np.isfinite(scorer.difficulty_).all()
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = scorer.nothing
    assert "n_neighbors is None" in without_noise(pickle.loads(pickle.dumps(scorer)))
    assert hasattr(scorer.set_params(n_neighbors=5).fit(*flowers), "cuts_")


def test_a_record_without_a_network_says_nothing_of_the_noise(flowers):
    X, y = flowers
    record = TrainingRecord.from_logits(np.stack([3 * np.eye(3)[codes_of(y)]] * 3), y)
    scorer = LabelErrorScorer(record, n_neighbors=5).fit(X, y)
    assert "no network that shows what its input is" in without_noise(scorer)


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.head = nn.Embedding(9, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.embedding(x).mean(dim=1))


@pytest.mark.parametrize("method", METHODS)
def test_token_ids_have_no_neighbours_in_the_input(flowers, method):
    y = codes_of(flowers[1])
    X = np.random.default_rng(0).integers(9, size=(len(y), 6))
    scorer = LabelErrorScorer(
        make_net(module=Tokens), method=method, n_neighbors=5, random_state=0
    ).fit(X, y)
    assert "token ids, between which there is no distance" in without_noise(scorer)


@pytest.fixture(scope="module")
def meaningless():
    """Return rows of which the input says nothing, and a net that knows their labels by heart."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 30)).astype(np.float32), np.arange(200) % 2
    net = default_network(X, y).set_params(max_epochs=60, lr=5e-3)
    return TrainingRecord.from_fit(net, X, y, checkpoints=1, keep_logits=True, random_state=0), X, y


@pytest.mark.parametrize("method", METHODS)
def test_where_neighbours_and_training_disagree_there_is_no_cut(meaningless, method):
    record, X, y = meaningless
    assert (record.net.predict(X) == y).mean() > 0.97
    scorer = LabelErrorScorer(record, method=method, n_neighbors=15).fit(X, y)
    message = without_noise(scorer)
    assert "% of the errors that they see lie in the half of the rows" in message
    for action, setting in (("drop", "drop='auto'"), ("weight", "action='weight'")):
        with pytest.raises(ValueError, match=f"{setting} needs .* with method=") as raised:
            FilteredClassifier(scorer=clone(scorer), action=action).fit(X, y)
        assert ("Or set drop to a share" in str(raised.value)) is (action == "drop")
    assert len(FilteredClassifier(scorer=clone(scorer), drop=0.1).fit(X, y).dropped_indices_) == 20


@pytest.mark.parametrize("method", METHODS)
def test_a_review_calibrates_the_order_where_there_is_no_cut(memorised, method):
    record, X, given, _, is_wrong = memorised
    scorer = LabelErrorScorer(record, method=method, n_neighbors=15).fit(X, given)
    scorer._no_noise_because = "forced"
    for name in OF_NOISE:
        delattr(scorer, name)
    inside = []
    for draw in range(10):
        plan = scorer.review_plan(100, random_state=draw)
        review = scorer.calibrate(plan.rows, is_wrong[plan.rows])
        low, high = review.noise_rate_interval
        inside.append(low <= is_wrong.mean() <= high)
        assert roc_auc_score(is_wrong, review.error_probability) > 0.93
    assert np.mean(inside) >= 0.8


def test_few_rows_are_asked_for_all_others():
    rng = np.random.default_rng(0)
    y = np.arange(16) % 2
    X = (rng.normal(size=(16, 4)) + 4 * y[:, None]).astype(np.float32)
    scorer = LabelErrorScorer(make_net(), method="one_fit", random_state=0).fit(X, y)
    assert np.isfinite(scorer.difficulty_).all()
    assert not hasattr(scorer, "cuts_") or scorer.noise_rate_ < 0.6
