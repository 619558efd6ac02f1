# SPDX-License-Identifier: BSD-3-Clause
"""LabelErrorScorer: its formulas by hand from every source, wrong labels found, reviews."""

import pickle
import warnings
from copy import deepcopy

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import softmax
from sklearn.base import clone
from sklearn.datasets import load_digits, load_wine
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from small_nets import codes_of, make_net
from torch import nn

from sklearn_difficulty import (
    DifficultyScorer,
    LabelErrorScorer,
    NeighborConfidenceScorer,
    TrainingRecord,
)
from sklearn_difficulty.datasets import make_label_noise
from sklearn_difficulty.inference.embeddings import EmbeddingReader
from sklearn_difficulty.inference.probes import find_probes
from sklearn_difficulty.inference.probing import VotesReadout
from sklearn_difficulty.inspection.review import Review, report_fingerprint
from sklearn_difficulty.measures import (
    calibrate_with_review,
    estimate_label_noise,
    noise_cuts,
    review_plan,
)
from sklearn_difficulty.measures.label_noise import fit_noise_model
from sklearn_difficulty.measures.review import ReviewPlan
from sklearn_difficulty.rows.rows import as_rows
from sklearn_difficulty.training import RecordTraining, ResampledEnsemble, default_network

pytestmark = pytest.mark.usefixtures("one_thread", "seeded")

N, K = 150, 5
ESTIMATES = (
    "difficulty_",
    "error_probability_",
    "suggested_label_",
    "suggested_label_confidence_",
    "noise_rate_",
    "noise_rate_interval_",
    "noise_matrix_",
    "class_dependence_",
    "cuts_",
    "probabilities_",
)


def few(estimator=None, **params):
    """Return a scorer of four members that fits small data."""
    settings = {"n_members": 4, "train_size": 0.5, "n_neighbors": K, "random_state": 0}
    return LabelErrorScorer(estimator, **{**settings, **params})


def noisy_world(rate=0.2, n=1500, n_classes=3, seed=0):
    """Return the probabilities of a network that learned from wrong labels, given and true ones."""
    rng = np.random.default_rng(seed)
    centre = rng.integers(n_classes, size=n)
    r = softmax(rng.gumbel(size=(n, n_classes)) + 7 * np.eye(n_classes)[centre], axis=1)
    true = (r.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    channel = np.full((n_classes, n_classes), rate / (n_classes - 1))
    np.fill_diagonal(channel, 1 - rate)
    y = (channel[true].cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return r @ channel, y, true


@pytest.fixture(scope="session")
def world():
    return noisy_world()


@pytest.fixture(scope="module")
def digits():
    """Return 700 digits to train on and 200 others, their labels, and the given wrong ones."""
    X, y = load_digits(return_X_y=True)
    X, y = X[:900].astype(np.float32), y[:900]
    given, is_wrong = make_label_noise(y[:700], rate=0.15, random_state=0)
    return X, y, given, is_wrong


@pytest.fixture(scope="module")
def digits_scorer(digits):
    X, _, given, _ = digits
    net = default_network(X[:700], given).set_params(module__hidden_units=(64,))
    scorer = LabelErrorScorer(net, n_neighbors=15, random_state=0)
    return scorer.fit(X[:700], given)


@pytest.fixture(scope="module")
def pool(flowers):
    """Return a fitted ensemble that asked neighbours and kept its members; it is only read."""
    return few(make_net()).fit(*flowers).ensemble_


@pytest.fixture(scope="module")
def made(flowers):
    """Return a function that makes an ensemble of the same members as `pool`."""

    def make(**settings):
        same = {"n_members": 4, "train_size": 0.5, "stratify": True, "random_state": 0}
        return ResampledEnsemble(make_net(), **same, **settings).fit(*flowers)

    return make


def slow_votes(record, bank, codes, X, *, is_bank=False):
    """Return the shares of the classes among the nearest of a bank, by a loop over rows."""
    bank, X = as_rows(bank), as_rows(X)
    probes = find_probes(record, bank)
    matrices = [
        [m.double().numpy() for m in EmbeddingReader(record).embed(rows, probes, batch_size=64)]
        for rows in (bank, X)
    ]
    counts = np.full((len(X), 3), 1 / 3)
    for of_bank, of_rows in zip(*matrices, strict=True):
        for i, row in enumerate(of_rows):
            distances = np.linalg.norm(of_bank - row, axis=1)
            if is_bank:
                distances[i] = np.inf
            counts[i] += np.bincount(codes[np.argsort(distances)[:K]], minlength=3)
    return counts / (1 + K * len(probes))


def mean_over_held_out(ensemble, parts):
    total, n = np.zeros((N, 3)), np.zeros((N, 1))
    for mask, part in zip(~ensemble.masks_, parts, strict=True):
        total[mask] += part
        n[mask] += 1
    return total / n


def by_hand(ensemble, X, codes, said):
    """Return the docstring's mean of what members said of held-out rows and of their votes."""
    parts = []
    for k, mask in enumerate(ensemble.masks_):
        votes = slow_votes(ensemble.record(k), X[mask], codes[mask], X[~mask])
        parts.append((said[k] + votes) / 2)
    return mean_over_held_out(ensemble, parts)


def difficulty_by_formula(model, probabilities, codes=None):
    """Return how suspect the labels are, or without them how far from certain the prediction."""
    if codes is None:
        order = 1 - probabilities.max(axis=1)
    else:
        others = (probabilities * model.order_matrix.T[codes]).sum(axis=1)
        order = 1 - probabilities[np.arange(len(codes)), codes] / others
    return np.interp(order, [0, model.cut, 1], [0, 0.5, 1])


# ----------------------------------------------------------------------------- networks held out


def test_out_of_sample_by_hand(flowers):
    X, y = flowers
    codes = codes_of(y)
    scorer = few(make_net()).fit(X, y)
    ensemble = scorer.ensemble_
    assert (~ensemble.masks_).sum(axis=0).tolist() == [2] * N
    expected = by_hand(ensemble, X, codes, ensemble.mean_held_out_probability_)
    assert_allclose(scorer.probabilities_, expected, rtol=1e-5)
    found = estimate_label_noise(scorer.probabilities_, codes)
    assert_array_equal(scorer.error_probability_, found.error_probability)
    assert_array_equal(scorer.difficulty_, found.difficulty)
    assert_array_equal(scorer.suggested_label_, scorer.classes_[found.suggested])
    assert_array_equal(scorer.suggested_label_confidence_, found.suggested_probability)
    assert_array_equal(scorer.noise_matrix_, found.noise_matrix)
    assert scorer.noise_rate_ == found.noise_rate
    assert scorer.noise_rate_interval_ == found.noise_rate_interval
    assert scorer.class_dependence_ == found.class_dependence
    table = noise_cuts(found.error_probability, found.error_probability_bounds)
    assert_array_equal(scorer.cuts_, table)
    assert scorer.method_ == "out_of_sample"
    assert scorer.n_undefined_ == 0
    assert scorer.suggested_label_.dtype == y.dtype
    assert not hasattr(scorer, "record_")


def test_without_neighbors_only_the_networks_are_asked(flowers, passes):
    X, y = flowers
    scorer = few(make_net(), n_neighbors=None).fit(X, y)
    ensemble = scorer.ensemble_
    assert ensemble.readout_ == {}
    expected = mean_over_held_out(ensemble, ensemble.mean_held_out_probability_)
    assert_allclose(scorer.probabilities_, expected, rtol=1e-6)
    said = mean_over_held_out(ensemble, ensemble.held_out_probability_)
    assert not np.allclose(said, expected, atol=0.01)  # of the last epoch, that is
    model = fit_noise_model(said, codes_of(y))[1]
    new = ensemble.member_probability(X[::-1]).mean(axis=0)
    for given, codes in ((y, codes_of(y)), (None, None)):
        expected = difficulty_by_formula(model, new, codes)
        assert_allclose(scorer.score_samples(X[::-1], given), expected, rtol=1e-3, atol=1e-6)


def test_unseen_rows_by_hand(pool, flowers):
    X, y = flowers
    codes = codes_of(y)
    scorer = few(pool).fit(X, y)
    new = X + np.random.default_rng(1).normal(scale=0.3, size=X.shape).astype(np.float32)
    said, votes = [], []
    for k, mask in enumerate(pool.masks_):
        record = pool.record(k)
        with torch.no_grad():
            said.append(record.module(torch.from_numpy(new)).softmax(dim=1).numpy())
        votes.append(slow_votes(record, X[mask], codes[mask], new))
    probabilities = (np.mean(said, axis=0) + np.mean(votes, axis=0)) / 2
    # The scale is that of members as they were in the end, of rows that they held out.
    in_the_end = by_hand(pool, X, codes, pool.held_out_probability_)
    _, model = fit_noise_model(in_the_end, codes)
    for given, labels in ((y, codes), (None, None)):
        expected = difficulty_by_formula(model, probabilities, labels)
        assert_allclose(scorer.score_samples(new, given), expected, rtol=1e-3, atol=1e-6)
    assert_array_equal(scorer.transform(new)[:, 0], scorer.score_samples(new))
    assert_array_equal(scorer.transform(new, y)[:, 0], scorer.score_samples(new, y))
    assert scorer.get_feature_names_out().tolist() == ["label_error"]


def test_rows_that_no_member_held_out(flowers):
    X, y = flowers
    scorer = few(make_net(), n_members=2, train_size=0.8)
    with pytest.warns(UserWarning, match=r"held them out \(train more members\)"):
        scorer.fit(X, y)
    never = scorer.ensemble_.masks_.all(axis=0)
    assert never.sum() == 90 == scorer.n_undefined_
    assert_array_equal(np.isnan(scorer.error_probability_), never)
    assert_array_equal(np.isnan(scorer.suggested_label_confidence_), never)
    assert_array_equal(np.isnan(scorer.probabilities_), np.tile(never[:, None], 3))
    assert_array_equal(scorer.suggested_label_[never], y[never])
    found = estimate_label_noise(scorer.probabilities_[~never], codes_of(y)[~never])
    assert_array_equal(scorer.error_probability_[~never], found.error_probability)
    assert_array_equal(scorer.suggested_label_[~never], scorer.classes_[found.suggested])
    assert scorer.noise_rate_ == found.noise_rate
    assert scorer.cuts_["n_dropped"].max() <= 60
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # all members can be asked about unseen rows
        assert np.isfinite(scorer.score_samples(X, y)).all()


# ------------------------------------------------------------------------------ what is found


def test_wrong_labels_of_digits_are_found(digits, digits_scorer):
    _, y, _, is_wrong = digits
    scorer = digits_scorer
    suspect = scorer.error_probability_ > 0.5
    assert is_wrong[suspect].mean() > 0.85
    assert suspect[is_wrong].mean() > 0.85
    low, high = scorer.noise_rate_interval_
    assert 0 < low < is_wrong.mean() < high < 0.5
    assert abs(scorer.noise_rate_ - is_wrong.mean()) < 0.05
    assert (scorer.suggested_label_ == y[:700])[is_wrong].mean() > 0.85
    assert (scorer.suggested_label_ == y[:700]).mean() > 0.95
    sure = scorer.suggested_label_confidence_ > 0.9
    assert sure.mean() > 0.7
    assert (scorer.suggested_label_ == y[:700])[sure].mean() > 0.98
    assert abs(scorer.noise_matrix_.diagonal().mean() - 0.85) < 0.05


def test_cuts_say_what_dropping_finds(digits, digits_scorer):
    is_wrong, scorer = digits[3], digits_scorer
    frame = pd.DataFrame(scorer.cuts_)
    assert frame.columns.tolist() == list(noise_cuts([0.5]).dtype.names)
    for cut in frame.itertuples():
        dropped = scorer.error_probability_ > cut.cut
        assert cut.n_dropped == dropped.sum()
        # A share of few rows differs by chance from what it is expected to be.
        slack = 3 / np.sqrt(dropped.sum())
        assert cut.precision_low - slack < is_wrong[dropped].mean() < cut.precision_high + slack
        assert cut.recall_low - slack < dropped[is_wrong].mean() < cut.recall_high + slack
        assert cut.precision_low <= cut.precision <= cut.precision_high
    assert frame.n_dropped.is_monotonic_decreasing


def test_wrong_labels_of_unseen_digits_are_found(digits, digits_scorer):
    X, y, _, _ = digits
    X, y, scorer = X[700:], y[700:], digits_scorer
    given, is_wrong = make_label_noise(y, rate=0.15, random_state=1)
    scores = scorer.score_samples(X, given)
    assert is_wrong[scores > 0.5].mean() > 0.8
    assert (scores > 0.5)[is_wrong].mean() > 0.85
    right, wrong = scorer.score_samples(X, y), scorer.score_samples(X, (y + 1) % 10)
    assert (wrong > right).mean() > 0.95
    # Without labels there are no errors to be found, only doubt.
    without = scorer.score_samples(X)
    assert (without > 0.5).mean() < 0.1
    assert abs(roc_auc_score(is_wrong, without) - 0.5) < 0.2


# --------------------------------------------------------------------------- given probabilities


def test_probabilities_of_any_classifier():
    X, y = load_wine(return_X_y=True)
    given, is_wrong = make_label_noise(y, rate=0.15, random_state=0)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.1))
    probabilities = cross_val_predict(classifier, X, given, cv=5, method="predict_proba")
    scorer = LabelErrorScorer("precomputed").fit(probabilities, given)
    found = estimate_label_noise(probabilities, given)
    assert_array_equal(scorer.error_probability_, found.error_probability)
    assert_array_equal(scorer.suggested_label_, found.suggested)
    assert_array_equal(scorer.probabilities_, probabilities)
    assert scorer.noise_rate_interval_ == found.noise_rate_interval
    assert scorer.method_ == "precomputed"
    suspect = scorer.difficulty_ > 0.5
    assert is_wrong[suspect].mean() > 0.8
    assert suspect[is_wrong].mean() > 0.8


def test_precomputed_rows_taken_as_unseen_have_the_same_errors(world):
    probabilities, y, _ = world
    scorer = LabelErrorScorer("precomputed").fit(probabilities, y)
    unseen = scorer.score_samples(probabilities[::-1], y[::-1])[::-1]
    assert_allclose(unseen, scorer.difficulty_, rtol=1e-4, atol=1e-6)
    _, model = fit_noise_model(probabilities, y)
    without = scorer.score_samples(probabilities)
    assert_allclose(without, difficulty_by_formula(model, probabilities), rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="3 features"):
        scorer.score_samples(probabilities[:, :2], y)
    with pytest.raises(ValueError, match=r"sum to 1; see row 4\."):
        scorer.score_samples(probabilities[:9] * (np.arange(9) != 4)[:, None], y[:9])
    with pytest.raises(ValueError, match=r"labels .* not trained on: \[3\]"):
        scorer.score_samples(probabilities[:2], [0, 3])


def test_what_is_assumed_of_the_noise_holds_for_all_rows():
    # Where only doubtful rows are contradicted, they may be wrong or merely hard.
    rng = np.random.default_rng(0)
    probabilities = softmax(1.5 * rng.normal(size=(600, 3)), axis=1)
    y = (probabilities.cumsum(axis=1) > rng.random((600, 1))).argmax(axis=1)
    rates = []
    for noise in ("auto", "class", "instance"):
        scorer = LabelErrorScorer("precomputed", noise=noise).fit(probabilities, y)
        found = estimate_label_noise(probabilities, y, noise=noise)
        assert_array_equal(scorer.error_probability_, found.error_probability)
        assert_allclose(scorer.score_samples(probabilities, y), scorer.difficulty_, atol=1e-4)
        _, model = fit_noise_model(probabilities, y, noise=noise)
        for given in (y, None):
            expected = difficulty_by_formula(model, probabilities, given)
            assert_allclose(scorer.score_samples(probabilities, given), expected, rtol=1e-4)
        rates.append(scorer.noise_rate_)
    auto, by_class, by_instance = rates
    assert by_class + 0.1 < auto <= by_instance


@pytest.mark.parametrize(
    "names",
    [["cat", "ant", "bee"], [1, 2, 3], [-7, 0, 12], [0.0, 1.0, 2.0], [0, 1, 2]],
    ids=["strings", "ints from 1", "ints", "floats", "positions"],
)
def test_precomputed_labels_of_any_type(world, names):
    probabilities, y, _ = world
    names = np.sort(names)
    expected = LabelErrorScorer("precomputed").fit(probabilities, y)
    for labels in (names[y], names[y].tolist(), pd.Series(names[y], index=range(9, 1509))):
        scorer = LabelErrorScorer("precomputed").fit(probabilities, labels)
        assert_array_equal(scorer.classes_, names)
        assert_array_equal(scorer.difficulty_, expected.difficulty_)
        assert_array_equal(scorer.suggested_label_, names[expected.suggested_label_])
        assert_array_equal(
            scorer.score_samples(probabilities, labels), expected.score_samples(probabilities, y)
        )
    scorer = LabelErrorScorer("precomputed").fit(probabilities, names[y])
    assert scorer.suggested_label_.dtype == scorer.classes_.dtype == names.dtype


def test_precomputed_booleans():
    probabilities, y, _ = noisy_world(n=400, n_classes=2)
    expected = LabelErrorScorer("precomputed").fit(probabilities, y)
    scorer = LabelErrorScorer("precomputed").fit(probabilities, y == 1)
    assert_array_equal(scorer.difficulty_, expected.difficulty_)
    assert_array_equal(scorer.suggested_label_, expected.suggested_label_ == 1)
    assert scorer.suggested_label_.dtype == bool


@pytest.mark.filterwarnings("ignore:The labels")  # those of absent=0 may be numbered from 1
@pytest.mark.parametrize("absent", [0, 1, 3])
def test_precomputed_with_a_class_that_does_not_occur(world, absent):
    probabilities, y, _ = world
    wide = np.insert(0.99 * probabilities, absent, 0.01, axis=1)
    codes = np.delete(np.arange(4), absent)[y]
    scorer = LabelErrorScorer("precomputed").fit(wide, codes)
    assert_array_equal(scorer.classes_, np.arange(4))
    assert scorer.noise_matrix_.shape == (4, 4)
    assert_array_equal(
        scorer.error_probability_, estimate_label_noise(wide, codes).error_probability
    )
    assert np.isfinite(scorer.score_samples(wide, np.full(len(y), absent))).all()


def test_precomputed_containers(world):
    probabilities, y, _ = world
    expected = LabelErrorScorer("precomputed").fit(probabilities, y)
    frame = pd.DataFrame(probabilities, columns=["p_a", "p_b", "p_c"], index=range(3, 1503))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scorer = LabelErrorScorer("precomputed").set_output(transform="pandas").fit(frame, y)
        table = scorer.transform(frame, y)
    assert scorer.feature_names_in_.tolist() == ["p_a", "p_b", "p_c"]
    assert_array_equal(scorer.difficulty_, expected.difficulty_)
    assert table.columns.tolist() == ["label_error"]
    assert_array_equal(table.index, frame.index)
    tensors = LabelErrorScorer("precomputed").fit(torch.tensor(probabilities), torch.tensor(y))
    assert_array_equal(tensors.difficulty_, expected.difficulty_)
    for dtype, tolerance in ((np.float32, 1e-3), (np.float16, 0.1)):
        rounded = LabelErrorScorer("precomputed").fit(probabilities.astype(dtype), y)
        assert_allclose(rounded.difficulty_, expected.difficulty_, atol=tolerance)
        assert rounded.probabilities_.dtype == dtype
    assert np.shares_memory(expected.probabilities_, probabilities)


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda p, y: (p[:, :2] / p[:, :2].sum(axis=1)[:, None], y), "2 columns and y has 3 cl"),
        (lambda p, y: (p, np.array(list("abcd"))[np.arange(len(y)) % 4]), "3 columns and y has 4"),
        (lambda p, y: (p / 2, y), r"sum to 1; see rows 0, 1, .* Logits need a softmax"),
        (lambda p, y: (np.log(p), y), r"must lie in \[0, 1\]"),
        (
            lambda p, y: (np.where(p == p[7], np.nan, p), y),
            r"NaN or inf in 1 row\(s\), first \[7\]",
        ),
        (lambda p, y: (p, 0 * y), "at least two classes"),
        (lambda p, y: (p[:, 0], y), "Expected 2D array"),
        (lambda p, y: (p[:, :, None], y), r"probabilities of shape \(n_samples, n_classes\)"),
        (lambda p, y: ({"p": p}, y), r"probabilities of shape \(n_samples, n_classes\)"),
        (lambda p, y: (p, y[:9]), "1500 rows and 9 labels"),
        (lambda p, y: (p, None), "requires y"),
        (lambda p, y: (p, y + 0.5), "continuous"),
    ],
)
def test_precomputed_input_that_cannot_be_read(world, prepare, message):
    probabilities, y, _ = world
    scorer = LabelErrorScorer("precomputed").fit(probabilities, y)
    X, labels = prepare(probabilities, y)
    with pytest.raises(ValueError, match=message):
        scorer.fit(X, labels)
    assert not hasattr(scorer, "difficulty_")


# ---------------------------------------------------------------------------- a single training


def test_one_fit_by_hand(flowers):
    X, y = flowers
    codes = codes_of(y)
    scorer = LabelErrorScorer(make_net(), method="one_fit", random_state=0).fit(X, y)
    record = scorer.record_
    expected = softmax(record.trajectory.logits.astype(np.float64), axis=2).mean(axis=0)
    assert record.trajectory.logits.shape == (5, N, 3)
    assert_allclose(scorer.probabilities_, expected, rtol=1e-6)
    assert_allclose(scorer.difficulty_, 1 - expected[np.arange(N), codes], rtol=1e-5)
    said = []
    for checkpoint in record.checkpoints:
        outputs = torch.func.functional_call(
            record.module, checkpoint.state_dict(), torch.from_numpy(X)
        )
        said.append(outputs.detach().softmax(dim=1).numpy())
    mean = np.mean(said, axis=0)
    assert_allclose(scorer.score_samples(X, y), 1 - mean[np.arange(N), codes], rtol=1e-4)
    assert_allclose(scorer.score_samples(X), 1 - mean.max(axis=1), rtol=1e-4)


def test_one_fit_of_recorded_logits():
    y = np.arange(30) % 3
    history = np.random.default_rng(0).normal(size=(4, 30, 3)).astype(np.float32)
    history[1:, 5], history[:, 8] = np.nan, np.nan  # shown once, and never
    X = np.arange(60.0).reshape(30, 2)
    scorer = LabelErrorScorer(TrainingRecord.from_logits(history, y))
    with pytest.warns(UserWarning, match=r"1 row\(s\) have no defined difficulty, first \[8\]"):
        scorer.fit(X, y)
    assert scorer.method_ == "one_fit"
    expected = softmax(history.astype(np.float64), axis=2).mean(axis=0)
    expected[5] = softmax(history[0, 5].astype(np.float64))
    assert_allclose(scorer.probabilities_, expected, rtol=1e-6)
    assert_array_equal(np.isnan(scorer.difficulty_), np.arange(30) == 8)
    with pytest.raises(ValueError, match="Record some"):
        scorer.score_samples(X)


def test_neighbors_by_hand(flowers, flower_record):
    X, y = flowers
    codes = codes_of(y)
    scorer = few(flower_record, method="neighbors").fit(X, y)
    expected = slow_votes(flower_record, X, codes, X, is_bank=True)
    assert_allclose(scorer.probabilities_, expected, rtol=1e-6)
    assert_allclose(scorer.difficulty_, 1 - expected[np.arange(N), codes], rtol=1e-6)
    unseen = slow_votes(flower_record, X, codes, X)
    assert_allclose(scorer.score_samples(X, y), 1 - unseen[np.arange(N), codes], rtol=1e-6)
    assert_allclose(scorer.score_samples(X), 1 - unseen.max(axis=1), rtol=1e-6)
    # But for the shared vote this is the confidence of neighbours in the given label.
    confidence = NeighborConfidenceScorer(flower_record, n_neighbors=K).fit(X, y)
    n_votes = K * confidence.probe_confidence_.shape[1]
    shares = (n_votes * confidence.probe_confidence_.mean(axis=1) + 1 / 3) / (n_votes + 1)
    assert_allclose(scorer.difficulty_, 1 - shares, rtol=1e-5)


@pytest.mark.parametrize("method", ["out_of_sample", "neighbors"])
def test_neighbors_among_some_of_the_rows(flowers, method):
    X, y = flowers
    n_bank = 75 if method == "out_of_sample" else N
    exact = few(make_net(), method=method, max_bank=None).fit(X, y)
    for max_bank in (n_bank, 20_000):  # changes nothing where there are no more rows
        same = few(make_net(), method=method, max_bank=max_bank).fit(X, y)
        assert_array_equal(same.probabilities_, exact.probabilities_)
    scorer = few(make_net(), method=method, max_bank=30).fit(X, y)
    again = few(make_net(), method=method, max_bank=30, random_state=0).fit(X, y)
    assert_array_equal(scorer.probabilities_, again.probabilities_)
    assert not np.array_equal(scorer.probabilities_, exact.probabilities_)
    assert roc_auc_score(np.arange(N) % 10 == 0, scorer.difficulty_) > 0.9
    # Unseen rows are asked about among the same rows.
    readout, codes = scorer.readout(), codes_of(y)
    trained = getattr(scorer, "ensemble_", None)
    masks = np.ones((1, N), dtype=bool) if trained is None else trained.masks_
    records = [scorer.record_] if trained is None else map(trained.record, range(len(masks)))
    votes = []
    for record, mask in zip(records, masks, strict=True):
        rows = readout.bank_rows(codes, mask)
        assert len(rows) == 30
        assert mask[rows].all()
        assert (np.bincount(codes[rows]) >= np.bincount(codes[mask]) * 30 // mask.sum()).all()
        votes.append(slow_votes(record, X[rows], codes[rows], X))
    votes = np.mean(votes, axis=0)
    unseen = scorer._source.of_unseen_rows(as_rows(X))
    if trained is not None:
        votes = (votes + trained.member_probability(X).mean(axis=0)) / 2
    assert_allclose(unseen, votes, rtol=1e-5)


def test_no_row_is_its_own_neighbour_in_a_part_of_the_rows(flowers, flower_record):
    X, y = flowers
    codes = codes_of(y)
    scorer = few(flower_record, method="neighbors", max_bank=30).fit(X, y)
    rows = scorer.readout().bank_rows(codes, np.ones(N, dtype=bool))
    inside = slow_votes(flower_record, X[rows], codes[rows], X[rows], is_bank=True)
    assert_allclose(scorer.probabilities_[rows], inside, rtol=1e-6)
    others = np.setdiff1d(np.arange(N), rows)
    outside = slow_votes(flower_record, X[rows], codes[rows], X[others])
    assert_allclose(scorer.probabilities_[others], outside, rtol=1e-6)


# ------------------------------------------------------------------------------- the choice of it


def record_with(flower_record, y, right, *, logits=True):
    """Return a record of the flowers of which the last epoch predicts a number of labels."""
    codes = codes_of(y)
    perfect, last = 5 * np.eye(3)[codes], 5 * np.eye(3)[codes]
    last[right:] = np.roll(last[right:], 1, axis=1)
    trajectory = TrainingRecord.from_logits(np.stack([perfect, last]), codes).trajectory
    if not logits:
        object.__setattr__(trajectory, "logits", None)
    module = flower_record.module
    return TrainingRecord.from_checkpoints(
        module, [module.state_dict()], classes=np.unique(y), trajectory=trajectory
    )


@pytest.mark.parametrize(
    ("n_right", "logits", "expected"),
    [
        (N, True, "neighbors"),
        (146, True, "neighbors"),
        (145, True, "one_fit"),  # 96.7 %
        (90, True, "one_fit"),
        (90, False, "neighbors"),
    ],
)
def test_auto_reads_a_record_by_how_much_it_learned(
    flowers, flower_record, n_right, logits, expected
):
    record = record_with(flower_record, flowers[1], n_right, logits=logits)
    scorer = few(record).fit(*flowers)
    assert scorer.method_ == expected
    assert scorer.record_ is record
    assert scorer.estimator_ is record
    other = few(record, method=expected).fit(*flowers)
    assert_array_equal(other.difficulty_, scorer.difficulty_)


def test_auto_takes_what_a_record_without_a_network_can_give(flowers):
    X, y = flowers
    record = TrainingRecord.from_logits(np.stack([9 * np.eye(3)[codes_of(y)]] * 3), y)
    assert few(record).fit(X, y).method_ == "one_fit"


@pytest.mark.parametrize("method", ["auto", "one_fit"])
def test_one_fit_reads_epochs_of_either_mode(flowers, method):
    X, y = flowers
    net = make_net(max_epochs=2)
    record = TrainingRecord.from_fit(net, X, y, mode="evaluation", keep_logits=True, random_state=0)
    scorer = few(record, method=method).fit(X, y)
    assert scorer.method_ == "one_fit"
    expected = softmax(record.trajectory.logits.astype(np.float64), axis=2).mean(axis=0)
    assert_allclose(scorer.probabilities_, expected, atol=1e-6)


def test_an_unseen_row_that_is_not_finite_inside_is_undefined(overflowing):
    record, X, y = overflowing
    net = make_net(module=type(record.module))
    scorer = few(net, n_members=2).fit(X, y)
    rows = np.vstack([X[0], 1e9 * np.ones(4, dtype=np.float32)])
    for labels in (y[:2], None):
        with pytest.warns(UserWarning, match="not finite"):
            scores = scorer.score_samples(rows, labels)
        assert np.isfinite(scores[0])
        assert np.isnan(scores[1])


def test_a_member_does_not_judge_a_class_that_it_has_not_seen(flowers):
    X, y = flowers
    groups = np.where(y == y[-1], 1000, np.arange(len(y)))  # all rows of a class in one fold
    scorer = few(make_net(max_epochs=15), n_members=2, undefined="nan")
    with pytest.warns(UserWarning, match="that has seen their class"):
        scorer.fit(X, y, groups=groups)
    assert_array_equal(np.isnan(scorer.error_probability_), y == y[-1])
    assert_array_equal(scorer.suggested_label_[y == y[-1]], y[y == y[-1]])
    assert scorer.n_undefined_ == (y == y[-1]).sum()
    assert scorer.noise_rate_ < 0.3


def test_columns_of_a_frame_stand_in_the_order_of_the_classes(flowers):
    y = np.array(["ant", "bee", "cat"])[codes_of(flowers[1])]
    probabilities = 0.7 * np.eye(3)[codes_of(y)] + 0.1
    frame = pd.DataFrame(probabilities, columns=["ant", "bee", "cat"])
    assert LabelErrorScorer("precomputed").fit(frame, y).noise_rate_ < 0.1
    with pytest.raises(ValueError, match="order of the sorted classes"):
        LabelErrorScorer("precomputed").fit(frame[["cat", "bee", "ant"]], y)
    other_names = frame.set_axis(["p1", "p2", "p3"], axis=1)
    assert LabelErrorScorer("precomputed").fit(other_names, y).noise_rate_ < 0.1


def test_labels_that_may_be_numbered_from_one_are_pointed_out():
    codes = np.arange(60) % 2
    probabilities = 0.8 * np.eye(3)[codes] + 0.2 / 3
    with pytest.warns(UserWarning, match="numbered from 1"):
        LabelErrorScorer("precomputed").fit(probabilities, codes + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LabelErrorScorer("precomputed").fit(probabilities, codes)  # 2 does not occur


def test_a_net_that_records_in_evaluation_mode_is_read_so(flowers):
    recorder = RecordTraining(mode="evaluation", keep_logits=True)
    net = make_net(max_epochs=2, callbacks=[recorder])
    scorer = few(net, method="one_fit").fit(*flowers)
    assert scorer.record_.trajectory.mode == "evaluation"


def test_auto_trains_an_ensemble(pool, flowers):
    for estimator, given in ((make_net(), False), (pool, True)):
        scorer = few(estimator).fit(*flowers)
        assert scorer.method_ == "out_of_sample"
        assert (scorer.ensemble_ is pool) is given
        assert scorer.estimator_ is scorer.ensemble_.estimator_
    assert few().fit(*flowers).method_ == "out_of_sample"


@pytest.mark.parametrize(("keep_logits", "expected"), [(True, "one_fit"), (False, "neighbors")])
def test_a_frozen_net_is_read_without_training(flowers, passes, keep_logits, expected):
    X, y = flowers
    codes = codes_of(y)
    recorder = RecordTraining(keep_logits=keep_logits)
    net = make_net(callbacks=[recorder], train_split=None).fit(X, codes)
    passes.clear()
    scorer = few(FrozenEstimator(net)).fit(X, codes)
    assert not any(passes)
    assert scorer.method_ == expected
    record = TrainingRecord.from_net(net)
    assert_array_equal(few(record).fit(X, codes).difficulty_, scorer.difficulty_)
    with pytest.raises(ValueError, match=r"a single training\. Pass the net"):
        few(FrozenEstimator(net), method="out_of_sample").fit(X, codes)


def test_methods_that_do_not_fit_the_estimator(world, pool, flowers, flower_record):
    probabilities, labels, _ = world
    for method in ("out_of_sample", "one_fit", "neighbors"):
        with pytest.raises(ValueError, match=rf"method='{method}' trains; precomputed"):
            few("precomputed", method=method).fit(probabilities, labels)
    for method in ("one_fit", "neighbors"):
        with pytest.raises(ValueError, match=rf"method='{method}' reads a single training, not"):
            few(pool, method=method).fit(*flowers)
    with pytest.raises(ValueError, match="Pass the net, or a ResampledEnsemble"):
        few(flower_record, method="out_of_sample").fit(*flowers)
    with pytest.raises(ValueError, match=r"record them with keep_logits=True"):
        few(flower_record, method="one_fit").fit(*flowers)
    for estimator in (make_net(), flower_record):
        with pytest.raises(ValueError, match="needs a number of n_neighbors"):
            few(estimator, method="neighbors", n_neighbors=None).fit(*flowers)
    with pytest.raises(ValueError, match="'estimator' parameter"):
        few("distances").fit(*flowers)


@pytest.mark.parametrize(
    ("params", "n_bank"),
    [
        ({"n_neighbors": 76}, 75),
        ({"n_neighbors": 121, "train_size": 0.8, "n_members": 5}, 120),
        ({"n_neighbors": 150, "method": "neighbors"}, 149),
        ({"n_neighbors": 51, "max_bank": 50}, 50),
        ({"n_neighbors": 50, "max_bank": 50, "method": "neighbors"}, 49),
    ],
)
def test_more_neighbors_than_rows_are_refused_before_training(flowers, passes, params, n_bank):
    message = rf"n_neighbors={n_bank + 1} is more than the {n_bank} rows .* n_samples=150"
    with pytest.raises(ValueError, match=message):
        few(make_net(), **params).fit(*flowers)
    assert not passes
    few(make_net(max_epochs=1), **{**params, "n_neighbors": n_bank}).fit(*flowers)


def test_probes_that_are_not_there_are_refused_before_training(flowers, passes):
    for method in ("out_of_sample", "neighbors"):
        with pytest.raises(ValueError, match=r"probes names \['body'\]"):
            few(make_net(), method=method, probes=["body"], backend="joblib").fit(*flowers)
    assert not any(passes)


# ------------------------------------------------------------------------------ given ensembles


def test_ensembles_of_every_kind_say_the_same(pool, made, flowers, passes):
    expected = few(make_net()).fit(*flowers)
    passes.clear()
    scorer = few(pool).fit(*flowers)
    assert not passes  # nothing is asked again
    assert scorer.ensemble_ is pool
    by_hand = made(readout=few().readout())
    with_members = made(keep_members=True)
    other_readout = made(keep_members=True, readout=few(n_neighbors=9).readout())
    passes.clear()
    found = [few(by_hand).fit(*flowers)]
    assert not passes
    found += [few(ensemble).fit(*flowers) for ensemble in (with_members, other_readout)]
    assert passes
    assert not any(passes)  # asked, and not trained
    for other in (scorer, *found):
        for name in ESTIMATES:
            assert_array_equal(getattr(other, name), getattr(expected, name), err_msg=name)
    assert not np.array_equal(
        few(other_readout, n_neighbors=9).fit(*flowers).difficulty_, expected.difficulty_
    )


def test_an_ensemble_that_can_not_be_asked_anything_more(made, flowers):
    bare, other = made(), made(readout=few(n_neighbors=9).readout())
    for ensemble in (bare, other):
        with pytest.raises(ValueError, match=r"readout=LabelErrorScorer\(...\).readout\(\)"):
            few(ensemble).fit(*flowers)
        scorer = few(ensemble, n_neighbors=None).fit(*flowers)  # as the message advises
        assert_array_equal(scorer.probabilities_, ensemble.out_of_sample_probability())


def test_readout(flowers):
    assert few().readout() == VotesReadout(n_neighbors=K, max_bank=20_000)
    assert few(pool=3, max_bank=None).readout() == VotesReadout(n_neighbors=K, pool=3)
    assert LabelErrorScorer(n_neighbors=None).readout() is None
    arrays = few(probes=np.array(["0", "2"]), batch_size=9).readout()
    of_names = VotesReadout(n_neighbors=K, probes=["0", "2"], batch_size=9, max_bank=20_000)
    assert arrays == of_names
    assert arrays != few(probes=["0"], batch_size=9).readout()


def test_one_of_several_scores(flowers):
    X, y = flowers
    reading = few(method="neighbors")
    scorer = DifficultyScorer(make_net(), scores=[reading, "confidence"], random_state=0)
    scorer.fit(X, y)
    assert scorer.score_names_.tolist() == ["label_error", "confidence"]
    expected = few(scorer.record_, method="neighbors").fit(X, y)
    assert_array_equal(scorer.difficulties_[:, 0], expected.difficulty_)
    found = scorer.scorers_["label_error"]
    assert_array_equal(found.error_probability_, expected.error_probability_)
    assert_array_equal(found.suggested_label_, expected.suggested_label_)
    assert_array_equal(scorer.transform(X, y)[:, 0], expected.score_samples(X, y))
    one_fit = DifficultyScorer(make_net(), scores=[few(method="one_fit"), "aum"], random_state=0)
    expected = few(make_net(), method="one_fit").fit(X, y)
    assert_array_equal(one_fit.fit(X, y).difficulty_, expected.difficulty_)
    for method in ("auto", "out_of_sample"):
        several = DifficultyScorer(make_net(), scores=["confidence", few(method=method)])
        with pytest.raises(TypeError, match="LabelErrorScorer reads many trainings"):
            several.fit(X, y)


# ----------------------------------------------------------------------------------------- reviews


@pytest.fixture
def synthetic(world):
    """Return a scorer of synthetic probabilities, and which labels are wrong."""
    probabilities, y, true = world
    return LabelErrorScorer("precomputed").fit(probabilities, y), y != true


def assert_same_numbers(a, b, rtol=0.0):
    # Tables have fields, which NumPy does not compare with a tolerance or as equal NaN.
    a, b = (np.array(np.asarray(values).tolist()) for values in (a, b))
    assert_allclose(a, b, rtol=rtol)


def assert_same_review(a, b):
    for of_a, of_b in zip(a, b, strict=True):
        assert_same_numbers(of_a, of_b, rtol=1e-5)


def test_a_review_is_that_of_the_measures(synthetic):
    scorer, is_wrong = synthetic
    before = deepcopy({name: getattr(scorer, name) for name in ESTIMATES})
    plan = scorer.review_plan(80, cut=0.3, random_state=1)
    expected = review_plan(scorer.error_probability_, 80, cut=0.3, random_state=1)
    assert_array_equal(plan.rows, expected.rows)
    assert_array_equal(plan.weight, expected.weight)
    assert len(np.unique(plan.rows)) == 80
    found = scorer.calibrate(plan.rows, is_wrong[plan.rows])
    by_hand = calibrate_with_review(
        scorer.error_probability_, plan.rows, plan.weight, is_wrong[plan.rows]
    )
    assert_same_review(found, by_hand)
    assert found.cuts.dtype == scorer.cuts_.dtype
    assert_array_equal(found.error_probability[plan.rows], is_wrong[plan.rows])
    for name, value in before.items():
        assert_same_numbers(getattr(scorer, name), value)


def test_the_order_of_verdicts_does_not_matter(synthetic):
    scorer, is_wrong = synthetic
    rows = scorer.review_plan(60, random_state=0).rows
    expected = scorer.calibrate(rows, is_wrong[rows])
    order = np.random.default_rng(0).permutation(60)
    for shuffled in (rows[order], rows[order].tolist(), pd.Series(rows[order], index=order)):
        assert_same_review(scorer.calibrate(shuffled, is_wrong[rows[order]]), expected)
    opposite = scorer.calibrate(rows, ~is_wrong[rows])
    assert opposite.noise_rate > expected.noise_rate + 0.2


@pytest.mark.parametrize("rate", [0.05, 0.3])
def test_reviews_know_the_rate_without_an_assumption(rate):
    probabilities, y, true = noisy_world(rate, seed=1)
    is_wrong = y != true
    # Of the wrong kind of noise on purpose: the estimate alone is off.
    scorer = LabelErrorScorer("precomputed", noise="instance").fit(probabilities, y)
    dropped = scorer.error_probability_ > 0.5
    rates, n_inside, precisions = [], 0, []
    for seed in range(10):
        rows = scorer.review_plan(150, random_state=seed).rows
        review = scorer.calibrate(rows, is_wrong[rows])
        low, high = review.noise_rate_interval
        rates.append(review.noise_rate)
        n_inside += low <= is_wrong.mean() <= high
        precisions.append(review.cuts[review.cuts["cut"] == 0.5]["precision"][0])
    assert abs(np.mean(rates) - is_wrong.mean()) < 0.02
    assert n_inside >= 8
    assert abs(np.mean(precisions) - is_wrong[dropped].mean()) < 0.05


def test_rows_that_are_in_no_plan(synthetic):
    scorer, is_wrong = synthetic
    with pytest.raises(ValueError, match="Call review_plan first"):
        scorer.calibrate([0, 1], [True, False])
    plan = scorer.review_plan(40, random_state=1)
    other = np.setdiff1d(np.arange(1500), plan.rows)[0]
    for rows, message in (
        (np.append(plan.rows, other), rf"1 of .* in no review_plan of this fit, first \[{other}\]"),
        (np.append(plan.rows, -1), "in no review_plan"),
        (np.append(plan.rows, plan.rows[0]), rf"every row once; .* \[{plan.rows[0]}\]"),
        (plan.rows[:, None], r"integers of shape \(n_reviewed,\), got int64 \(40, 1\)"),
        (plan.rows + 0.5, r"integers of shape \(n_reviewed,\), got float64"),
        (plan.rows[39:], "No plan was reviewed from its first row on"),
        ([], "integers of shape"),
    ):
        with pytest.raises(ValueError, match=message):
            scorer.calibrate(rows, is_wrong[np.ravel(rows).astype(int)])
    for verdicts, message in ((is_wrong[:3], "verdicts"), (np.full(40, 7), "Others are at")):
        with pytest.raises(ValueError, match=message):
            scorer.calibrate(plan.rows, verdicts)
    with pytest.raises(TypeError, match="verdicts are missing"):
        scorer.calibrate(plan.rows)
    with pytest.raises(ValueError, match="n must be an integer of at least 1"):
        scorer.review_plan(0)
    scorer.calibrate(plan.rows.astype(float), is_wrong[plan.rows])


def test_a_plan_in_part(synthetic):
    scorer, is_wrong = synthetic
    plan = scorer.review_plan(40, random_state=1)
    half = plan.rows[:20]
    found = scorer.calibrate(half, is_wrong[half])
    by_hand = calibrate_with_review(
        scorer.error_probability_, half, plan.weight[:20] * 2, is_wrong[half]
    )
    assert_same_review(found, by_hand)
    # One row is passed over, and one beyond has a verdict that only its own row can use.
    passed_over, late = plan.rows[4], plan.rows[38]
    rows = np.append(np.delete(half, 4), late)
    with pytest.warns(
        UserWarning, match="20 rows of the plan, 1 have no verdict .* 1 later verdict"
    ):
        gap = scorer.calibrate(rows, is_wrong[rows])
    verdicts = np.where(half == passed_over, np.nan, is_wrong[half])
    unsure = scorer.calibrate(half, verdicts)
    assert gap.noise_rate_interval == unsure.noise_rate_interval
    assert gap.error_probability[late] == is_wrong[late]
    low, high = found.noise_rate_interval
    assert gap.noise_rate_interval[0] <= low
    assert gap.noise_rate_interval[1] >= high - 1e-3  # the calibration has a verdict less


def test_a_later_plan_does_not_void_verdicts(synthetic):
    scorer, is_wrong = synthetic
    first = scorer.review_plan(30, random_state=0).rows
    before = scorer.calibrate(first, is_wrong[first])
    second = scorer.review_plan(300, random_state=1).rows
    assert_same_review(scorer.calibrate(first, is_wrong[first]), before)
    both = np.union1d(first, second)
    after = scorer.calibrate(both, is_wrong[both])
    widths = [np.diff(review.noise_rate_interval)[0] for review in (before, after)]
    assert widths[1] < widths[0]
    assert_array_equal(after.error_probability[both], is_wrong[both])


def decisions_on(scorer, rows, is_wrong, plans=()):
    return Review(
        rows=np.sort(rows),
        decisions=np.where(is_wrong[np.sort(rows)], "drop", "right"),
        labels=np.full(len(rows), -1),
        classes=scorer.classes_,
        n_rows=len(scorer.difficulty_),
        fingerprint=report_fingerprint(scorer),
        plans=plans,
    )


def test_a_review_of_the_page_is_that_of_its_rows(synthetic, world):
    scorer, is_wrong = synthetic
    plan = scorer.review_plan(60, random_state=2)
    expected = scorer.calibrate(plan.rows, is_wrong[plan.rows])
    # The page shows another order, of which the person saw the first half, and one row more.
    order = np.random.default_rng(0).permutation(60)
    shown = ReviewPlan(plan.rows[order], plan.weight[order])
    review = decisions_on(scorer, plan.rows, is_wrong, (shown,))
    assert_same_review(scorer.calibrate(review), expected)
    other = np.setdiff1d(np.arange(len(is_wrong)), plan.rows)[0]
    half = decisions_on(scorer, np.append(shown.rows[:30], other), is_wrong, (shown,))
    found = scorer.calibrate(half)
    by_hand = calibrate_with_review(
        scorer.error_probability_,
        shown.rows[:30],
        shown.weight[:30] * 2,
        is_wrong[shown.rows[:30]],
    )
    assert found.noise_rate_interval == pytest.approx(by_hand.noise_rate_interval)
    assert found.error_probability[other] == is_wrong[other]
    probabilities, y, _ = world
    again = LabelErrorScorer("precomputed").fit(probabilities[::-1], y)
    with pytest.raises(ValueError, match="review of another report"):
        again.calibrate(review)
    with pytest.raises(ValueError, match="No plan was reviewed"):
        scorer.calibrate(decisions_on(scorer, np.array([other]), is_wrong, (shown,)))


def test_a_plan_belongs_to_a_fit(world, synthetic):
    probabilities, y, _ = world
    scorer, is_wrong = synthetic
    rows = scorer.review_plan(30, random_state=0).rows
    loaded = pickle.loads(pickle.dumps(scorer))
    verdicts = is_wrong[rows]
    assert_same_review(loaded.calibrate(rows, verdicts), scorer.calibrate(rows, verdicts))
    with pytest.raises(NotFittedError):
        clone(scorer).review_plan()
    with pytest.raises(NotFittedError):
        clone(scorer).calibrate(rows, verdicts)
    scorer.fit(probabilities, y)
    with pytest.raises(ValueError, match="Call review_plan first"):
        scorer.calibrate(rows, verdicts)


@pytest.mark.filterwarnings("ignore:.*have no defined difficulty:UserWarning")
def test_rows_without_an_estimate_are_never_reviewed(flowers):
    X, y = flowers
    scorer = few(make_net(), n_members=2, train_size=0.8).fit(X, y)
    known = ~np.isnan(scorer.error_probability_)
    assert known.sum() == 60
    for seed in range(3):
        assert known[scorer.review_plan(40, random_state=seed).rows].all()
    everything = scorer.review_plan(1000)
    assert_array_equal(np.sort(everything.rows), np.flatnonzero(known))
    assert_allclose(everything.weight, 1)
    is_wrong = np.arange(N) % 10 == 0
    review = scorer.calibrate(everything.rows[::-1], is_wrong[everything.rows[::-1]])
    assert_array_equal(review.error_probability[known], is_wrong[known])
    assert np.isnan(review.error_probability[~known]).all()
    assert review.noise_rate == pytest.approx(is_wrong[known].mean())
    plan = scorer.review_plan(40, random_state=0)
    by_hand = calibrate_with_review(
        scorer.error_probability_[known],
        np.searchsorted(np.flatnonzero(known), plan.rows),
        plan.weight,
        is_wrong[plan.rows],
    )
    found = scorer.calibrate(plan.rows, is_wrong[plan.rows])
    assert_same_review(found._replace(error_probability=found.error_probability[known]), by_hand)


# ----------------------------------------------------------------------- without the members


def test_a_single_training_has_no_members_to_keep(world, flowers, flower_record):
    probabilities, labels, _ = world
    for estimator, method in (
        (make_net(), "neighbors"),
        (make_net(), "one_fit"),
        (flower_record, "auto"),
    ):
        scorer = few(estimator, method=method, keep_members=False).fit(*flowers)
        assert np.isfinite(scorer.score_samples(flowers[0])).all()
    scorer = LabelErrorScorer("precomputed", keep_members=False).fit(probabilities, labels)
    assert scorer.transform(probabilities).shape == (1500, 1)


def test_pickle_without_neighbors_needs_no_bank(flowers):
    X, y = flowers
    for params in ({"n_neighbors": None}, {"method": "one_fit"}):
        scorer = few(make_net(), pickle_bank=False, **params).fit(X, y)
        loaded = pickle.loads(pickle.dumps(scorer))
        assert_array_equal(loaded.score_samples(X, y), scorer.score_samples(X, y))


# ------------------------------------------------------------------------------- rows of any kind


def test_scoring_view_is_what_members_and_neighbors_see(flowers):
    X, y = flowers
    view = X * np.float32(0.9) + np.float32(0.5)
    scorer = few(make_net()).fit(X, y, scoring_view=view)
    ensemble = scorer.ensemble_
    expected = by_hand(ensemble, view, codes_of(y), ensemble.mean_held_out_probability_)
    assert_allclose(scorer.probabilities_, expected, rtol=1e-5)
    plain = few(make_net()).fit(X, y)
    assert not np.allclose(scorer.probabilities_, plain.probabilities_, atol=0.01)
    again = few(ensemble).fit(X, y, scoring_view=view)
    assert_array_equal(again.score_samples(view, y), scorer.score_samples(view, y))


class Pixels(nn.Sequential):
    """A convolution and a linear layer."""

    def __init__(self):
        layers = [nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)]
        super().__init__(*layers)


def test_images():
    rng = np.random.default_rng(0)
    true = np.arange(120) % 3
    X = rng.normal(scale=0.7, size=(120, 1, 6, 6)).astype(np.float32)
    for i, row in enumerate(2 * true):
        X[i, 0, row : row + 2] += 1.5  # a bar at one of three heights
    given, is_wrong = make_label_noise(true, rate=0.1, random_state=0)
    scorer = few(make_net(module=Pixels, max_epochs=15), n_members=5, train_size=0.8)
    scorer.fit(X, given)
    assert ((scorer.error_probability_ > 0.5) == is_wrong).mean() > 0.9
    assert (
        scorer.score_samples(X, true).mean() + 0.5 < scorer.score_samples(X, (true + 1) % 3).mean()
    )
    with pytest.raises(ValueError, match="shape"):
        scorer.score_samples(X[:, :, :5], given)
