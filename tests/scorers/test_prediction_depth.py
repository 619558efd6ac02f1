# SPDX-License-Identifier: BSD-3-Clause
"""PredictionDepthScorer as its users meet it: hand-made networks, real data, bad input."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetBinaryClassifier
from small_nets import NeverTrain, TwoLayers, Watch, codes_of, make_net
from torch import nn
from torch.utils.data import TensorDataset

from sklearn_difficulty import NeighborConfidenceScorer, PredictionDepthScorer
from sklearn_difficulty.inference.neighbors import NeighborBank
from sklearn_difficulty.measures import prediction_depth
from sklearn_difficulty.scorers import _base_probing

pytestmark = [
    pytest.mark.usefixtures("one_thread", "seeded"),
    pytest.mark.filterwarnings("ignore:.*have no defined difficulty:UserWarning"),
]

SCORERS = pytest.mark.parametrize("scorer_class", [PredictionDepthScorer, NeighborConfidenceScorer])


@pytest.fixture(scope="module")
def scorer(flowers, flower_record):
    """A scorer that is not to be changed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return PredictionDepthScorer(flower_record, n_neighbors=5).fit(*flowers)


def predicted(record, X):
    with torch.no_grad():
        outputs = record.module(torch.from_numpy(X))
    return record.classes_[outputs.argmax(dim=1).numpy()]


def linear(weight):
    """Return a network of one linear layer."""
    weight = torch.as_tensor(weight, dtype=torch.float32)
    module = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    module.weight.data = weight
    return module


@pytest.fixture
def clusters():
    """Three clusters far apart, 20 rows each."""
    y = np.arange(60) % 3
    noise = np.random.default_rng(0).normal(scale=0.1, size=(60, 3))
    return (10 * np.eye(3)[y] + noise).astype(np.float32), y


# ------------------------------------------------------------------------------- what it computes


def test_identity_network_on_separable_clusters(record_of, clusters):
    X, y = clusters
    scorer = PredictionDepthScorer(record_of(linear(np.eye(3))), n_neighbors=5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scorer.fit(X, y)
    assert scorer.probe_names_.tolist() == ["input", "Linear", "softmax"]
    assert scorer.max_depth_ == 2
    assert scorer.n_undefined_ == 0
    assert (scorer.difficulty_ == 0).all()
    assert (scorer.probe_confidence_ == 1).all()
    assert_array_equal(scorer.probe_predictions_, np.tile(y[:, None], (1, 3)))
    assert_array_equal(scorer.inference_curve(X, y), [1, 1, 1])
    assert_array_equal(scorer.inference_curve(X, (y + 1) % 3), [0, 0, 0])


def test_rows_that_the_first_layer_sets_apart(record_of):
    # Five rows of class 1 lie among those of class 0, save for a small second feature.
    rng = np.random.default_rng(0)
    centre = np.repeat([0.0, 100.0, 0.0], [60, 30, 5])
    y = np.repeat([0, 1, 1], [60, 30, 5])
    X = np.column_stack([centre + rng.normal(size=95), 0.01 * y]).astype(np.float32)
    module = nn.Sequential(linear([[1e-3, 0], [0, 1e3]]), nn.Tanh(), linear([[0, -1], [0, 1]]))
    module[2].bias = nn.Parameter(torch.tensor([0.5, -0.5]))
    scorer = PredictionDepthScorer(record_of(module, (0, 1)), n_neighbors=5).fit(X, y)
    assert_array_equal(scorer.difficulty_, np.repeat([0, 0, 1], [60, 30, 5]))
    assert_array_equal(scorer.score_samples(X), scorer.difficulty_)
    assert_array_equal(scorer.transform(X), scorer.difficulty_[:, None])


@pytest.fixture
def contradicting(record_of):
    """A network that takes the third cluster for the first, whatever its layers show."""
    return record_of(linear([[1, 0, 0.1], [0, 1, 0], [0, 0, 0]]))


@pytest.mark.parametrize(
    ("params", "stand_in", "text"),
    [
        ({}, np.nan, "NaN is returned"),
        ({"undefined": "max"}, 2, "the largest score is returned"),
        ({"undefined": "max", "normalize": True}, 1, "the largest score is returned"),
    ],
)
def test_network_that_contradicts_its_last_probe(contradicting, clusters, params, stand_in, text):
    X, y = clusters
    scorer = PredictionDepthScorer(contradicting, n_neighbors=5, **params)
    message = rf"20 row\(s\) have no defined difficulty, first \[2, 5, 8, 11, 14\]: {text}"
    with pytest.warns(UserWarning, match=message) as caught:
        scorer.fit(X, y)
    assert len(caught) == 1
    assert scorer.n_undefined_ == 20
    assert_array_equal(scorer.difficulty_, np.where(y == 2, stand_in, 0))
    with pytest.warns(UserWarning, match=rf"1 row\(s\).*first \[1\]: {text}"):
        assert_array_equal(scorer.score_samples(X[1:3]), [0, stand_in])


def test_equals_votes_of_scikit_learn(flowers, flower_record, flower_embeddings):
    X, y = flowers
    classes, codes = np.unique(y, return_inverse=True)
    scorer = PredictionDepthScorer(flower_record, n_neighbors=6, ties="lowest").fit(X, y)
    votes = []
    for matrix in flower_embeddings:
        index = NearestNeighbors(n_neighbors=6, algorithm="brute").fit(matrix)
        labels = codes[index.kneighbors(return_distance=False)]  # none is its own neighbour
        votes.append([np.bincount(row, minlength=3) for row in labels])
    winners = np.argmax(votes, axis=2)
    assert_array_equal(scorer.probe_predictions_, classes[winners].T)
    assert_allclose(scorer.probe_confidence_, np.max(votes, axis=2).T / 6)
    expected = prediction_depth(classes[winners], predicted(flower_record, X))
    assert_array_equal(scorer.difficulty_, expected)
    assert len(np.unique(expected)) > 3
    assert scorer.n_undefined_ == np.isnan(expected).sum()


def test_ties_may_go_to_the_nearest(flowers, flower_record, flower_embeddings):
    X, y = flowers
    nearest, lowest = (
        PredictionDepthScorer(flower_record, n_neighbors=2, ties=ties).fit(X, y)
        for ties in ("nearest", "lowest")
    )
    differs = nearest.probe_predictions_ != lowest.probe_predictions_
    assert differs.any()
    assert (nearest.probe_confidence_[differs] == 0.5).all()
    index = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(flower_embeddings[0])
    first = y[index.kneighbors(return_distance=False)[:, 0]]
    assert_array_equal(nearest.probe_predictions_[:, 0], first)


def test_normalized_depth_is_a_share(flowers, flower_record, scorer):
    X, y = flowers
    normalized = PredictionDepthScorer(flower_record, n_neighbors=5, normalize=True).fit(X, y)
    assert scorer.max_depth_ == normalized.max_depth_ == 3
    assert_array_equal(normalized.difficulty_, scorer.difficulty_ / np.float32(3))
    assert_array_equal(normalized.score_samples(X), scorer.score_samples(X) / np.float32(3))


def test_unseen_rows_are_their_own_neighbors_and_training_rows_are_not(flowers, flower_record):
    X, y = flowers
    scorer = PredictionDepthScorer(flower_record, n_neighbors=1).fit(X, y)
    assert_array_equal(scorer.probe_predict(X, "input"), y)
    assert (scorer.probe_predictions_[:, 0] != y).mean() > 0.05
    seen, unseen = scorer.difficulty_, scorer.score_samples(X)
    assert not np.array_equal(seen, unseen, equal_nan=True)


def test_labels_of_unseen_rows_are_ignored(flowers, scorer):
    X, y = flowers
    assert_array_equal(scorer.score_samples(X, np.roll(y, 1)), scorer.score_samples(X))
    with pytest.raises(ValueError, match="rose"):
        scorer.score_samples(X[:1], ["rose"])


@pytest.mark.parametrize(
    "names",
    [["ant", "bee", "cat"], [-7, 0, 12], np.array([2, 3, 5], dtype=np.uint8), [False, True]],
    ids=["strings", "integers", "bytes", "booleans"],
)
def test_labels_of_any_type(record_of, flowers, names):
    X, y = flowers
    names = np.array(names)
    codes = codes_of(y) % len(names)
    module = TwoLayers(n_outputs=len(names))
    known = record_of(module, range(len(names)))
    expected = PredictionDepthScorer(known, n_neighbors=5).fit(X, codes)
    found = PredictionDepthScorer(record_of(module, names), n_neighbors=5).fit(X, names[codes])
    assert_array_equal(found.difficulty_, expected.difficulty_)
    assert_array_equal(found.probe_predictions_, names[expected.probe_predictions_])
    assert found.probe_predictions_.dtype == names.dtype
    assert_array_equal(found.probe_predict(X, 1), names[expected.probe_predict(X, 1)])
    assert_array_equal(found.inference_curve(X, names[codes]), expected.inference_curve(X, codes))


# ----------------------------------------------------------------------------------- one probe


def test_probes_answer_to_names_and_positions(flowers, scorer):
    X, _ = flowers
    names = scorer.probe_names_.tolist()
    assert names == ["input", "0", "2", "softmax"]
    by_name = [scorer.probe_predict(X, name) for name in names]
    for i, expected in enumerate(by_name):
        for position in (i, i - 4, np.int64(i)):
            assert_array_equal(scorer.probe_predict(X, position), expected)
    assert not np.array_equal(by_name[0], by_name[3])


@pytest.mark.parametrize("probe", ["conv", "", 4, -5, None, 1.0])
@pytest.mark.parametrize("method", ["probe_predict", "probe_predict_proba"])
def test_unknown_probes(flowers, scorer, method, probe):
    with pytest.raises(ValueError, match=r"There is no probe .*\['input', '0', '2', 'softmax'\]"):
        getattr(scorer, method)(flowers[0], probe)


@pytest.mark.parametrize("position", range(4))
def test_shares_of_votes_equal_scikit_learn(flowers, scorer, flower_embeddings, position):
    X, y = flowers
    judge = KNeighborsClassifier(5, algorithm="brute").fit(flower_embeddings[position], y)
    found = scorer.probe_predict_proba(X, position)
    assert_allclose(found.sum(axis=1), 1)
    assert_allclose(found, judge.predict_proba(flower_embeddings[position]))
    clear = np.sort(found, axis=1)[:, -1] > 0.5
    assert_array_equal(
        scorer.probe_predict(X, position)[clear], judge.predict(flower_embeddings[position])[clear]
    )


def test_inference_curve_is_the_accuracy_of_every_probe(flowers, scorer):
    X, y = flowers
    X, y = X[:37], y[:37]
    expected = [(scorer.probe_predict(X, name) == y).mean() for name in scorer.probe_names_]
    assert_allclose(scorer.inference_curve(X, y), expected)
    assert len(set(expected)) > 1
    with pytest.raises(ValueError, match="requires y"):
        scorer.inference_curve(X)


# ------------------------------------------------------------------------------ what is probed


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({"probes": ["2"]}, ["input", "2", "softmax"]),
        ({"probes": "[01]", "include_input": False}, ["0", "1", "softmax"]),
        ({"probes": lambda name, module: isinstance(module, nn.Tanh)}, ["input", "1", "softmax"]),
    ],
)
@SCORERS
def test_chosen_probes(flowers, flower_record, scorer_class, params, names):
    scorer = scorer_class(flower_record, n_neighbors=5, **params).fit(*flowers)
    assert scorer.probe_names_.tolist() == names
    assert scorer.probe_confidence_.shape == (150, len(names))


@SCORERS
def test_cosine(flowers, flower_record, flower_embeddings, scorer_class):
    X, y = flowers
    scorer = scorer_class(flower_record, n_neighbors=5, metric="cosine").fit(X, y)
    plain = scorer_class(flower_record, n_neighbors=5).fit(X, y)
    index = NearestNeighbors(n_neighbors=5, algorithm="brute", metric="cosine").fit(
        flower_embeddings[1]
    )
    labels = y[index.kneighbors(return_distance=False)]
    reference = scorer.probe_predictions_ if scorer_class is PredictionDepthScorer else y[:, None]
    column = reference[:, [min(1, reference.shape[1] - 1)]]
    assert_allclose(scorer.probe_confidence_[:, 1], (labels == column).mean(axis=1))
    assert not np.array_equal(scorer.probe_confidence_, plain.probe_confidence_)


def test_default_networks():
    X, y = load_digits(return_X_y=True)
    X, y = X[:200], y[:200]
    scorer = PredictionDepthScorer(n_neighbors=5, random_state=0).fit(X, y)
    assert scorer.probe_names_.tolist() == ["input", "layers.0", "layers.2", "layers.4", "softmax"]
    assert scorer.inference_curve(X, y)[-1] > 0.9
    images = PredictionDepthScorer(n_neighbors=5, random_state=0)
    images.fit(X.reshape(-1, 1, 8, 8), y)
    assert images.probe_names_.tolist() == ["input", "layers.0", "layers.3", "softmax"]
    # Standardised before distances are measured: the units of the features do not matter.
    scale = np.logspace(-3, 3, 64)
    scaled = PredictionDepthScorer(n_neighbors=5, random_state=0).fit(X * scale, y)
    assert (scaled.probe_predictions_[:, 0] == scorer.probe_predictions_[:, 0]).mean() > 0.99


# --------------------------------------------------------------------- networks of every kind


def test_single_logit():
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    y = np.array(["malignant", "benign"])[y]
    net = make_net(
        NeuralNetBinaryClassifier,
        criterion=nn.BCEWithLogitsLoss,
        module__n_inputs=30,
        module__n_outputs=1,
    )
    scorer = PredictionDepthScorer(net, n_neighbors=5, random_state=0).fit(X, y)
    assert scorer.classes_.tolist() == ["benign", "malignant"]
    assert (scorer.difficulty_ == 0).mean() > 0.8
    assert scorer.inference_curve(X, y).min() > 0.9


class Untrainable(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        raise AssertionError("the network was called")


@pytest.mark.parametrize(
    ("params", "n_bank"), [({"n_neighbors": 150}, 150), ({"n_neighbors": 20, "max_bank": 20}, 20)]
)
@SCORERS
def test_more_neighbors_than_rows_are_refused_before_training(
    record_of, flowers, scorer_class, params, n_bank
):
    message = rf"n_neighbors={params['n_neighbors']} must be smaller than the bank.* {n_bank} row"
    for estimator in (None, make_net(module=Untrainable), record_of(Untrainable(), "abc")):
        with pytest.raises(ValueError, match=message):
            scorer_class(estimator, **params).fit(*flowers)
    with pytest.raises(ValueError, match=r"bank has 12 row\(s\) \(n_samples=12, max_bank=99\)"):
        scorer_class(n_neighbors=12, max_bank=99).fit(flowers[0][:12], flowers[1][:12])


def test_as_many_neighbors_as_other_rows(flowers, flower_record):
    X, y = flowers
    scorer = PredictionDepthScorer(flower_record, n_neighbors=149).fit(X, y)
    classes, counts = np.unique(y, return_counts=True)
    counts = dict(zip(classes, counts / 149, strict=True))
    shares = scorer.probe_predict_proba(X[:3], 0) * 149
    assert_allclose(shares.sum(axis=1), 149)
    expected = max(counts, key=counts.get)
    assert (scorer.probe_predictions_ == expected).mean() > 0.9


# ------------------------------------------------------------------------------- rows of every kind


@pytest.mark.filterwarnings("ignore:max_bank")
@SCORERS
def test_part_of_a_dataset(flowers, scorer_class):
    X, y = flowers[0], codes_of(flowers[1])
    data = TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    params = {"n_neighbors": 5, "random_state": 0, "max_bank": 120}
    expected, found = (scorer_class(make_net(), **params).fit(*rows) for rows in ((X, y), (data,)))
    assert_array_equal(found.difficulty_, expected.difficulty_)
    assert_array_equal(found.score_samples(data), expected.score_samples(X))


@SCORERS
@pytest.mark.parametrize(
    ("probes", "message"), [(["decoder"], r"\['decoder'\]"), ([], "chooses no module")]
)
def test_what_cannot_be_probed_is_refused_before_training(flowers, scorer_class, probes, message):
    with pytest.raises(ValueError, match=message):
        scorer_class(make_net(callbacks=[NeverTrain()]), probes=probes).fit(*flowers)


# -------------------------------------------------------------------------------- approximations


@SCORERS
def test_part_of_the_bank(flowers, flower_record, scorer_class):
    X, y = flowers
    fits = []
    for seed in (3, 3, 4):
        scorer = scorer_class(flower_record, n_neighbors=5, max_bank=60, random_state=seed)
        with pytest.warns(UserWarning, match="max_bank=60.*150 training rows.*an approximation"):
            fits.append(scorer.fit(X, y))
    scorer, same, other = fits
    indices = scorer.bank_indices_
    assert indices.shape == (60,)
    assert (np.diff(indices) > 0).all()
    shares = [np.unique(labels, return_counts=True)[1] / len(labels) for labels in (y, y[indices])]
    assert_allclose(*shares, atol=1 / 60)
    assert_array_equal(same.bank_indices_, indices)
    assert_array_equal(same.difficulty_, scorer.difficulty_)
    assert not np.array_equal(other.bank_indices_, indices)


@SCORERS
def test_many_pairs_of_rows_are_told_of_with_what_to_set(
    flowers, flower_record, scorer, scorer_class, monkeypatch
):
    enough = scorer._bank.products(150) * 60 / 150
    monkeypatch.setattr(_base_probing, "_MANY_PRODUCTS", enough)
    with pytest.warns(UserWarning, match=r"150 rows are compared with 150 at .* max_bank=10_000"):
        scorer_class(flower_record, n_neighbors=5).fit(*flowers)
    with pytest.warns(UserWarning, match="approximation") as caught:
        scorer_class(flower_record, n_neighbors=5, max_bank=60).fit(*flowers)
    assert not any("are compared with" in str(warning.message) for warning in caught)


@pytest.mark.parametrize("max_bank", [60, 149, 150, 1000])
def test_rows_of_a_partial_bank_are_not_their_own_neighbors(
    flowers, flower_record, flower_embeddings, max_bank
):
    X, y = flowers
    scorer = PredictionDepthScorer(flower_record, n_neighbors=1, max_bank=max_bank, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error" if max_bank >= 150 else "ignore")
        warnings.filterwarnings("ignore", message=".*no defined")
        scorer.fit(X, y)
    bank = scorer.bank_indices_
    assert len(bank) == min(max_bank, 150)
    for position, matrix in enumerate(flower_embeddings):
        distances = np.linalg.norm(matrix[:, None] - matrix[bank], axis=2)
        distances[bank, np.arange(len(bank))] = np.inf
        found = scorer.probe_predictions_[:, position]
        assert (found == y[bank][distances.argmin(axis=1)]).mean() > 0.98
    unseen = scorer.probe_predict(X, "input")
    assert_array_equal(unseen[bank], y[bank])


def test_part_of_a_bank_with_a_rare_class(flowers, record_of):
    X, y = flowers
    y = np.where(np.arange(150) == 17, "rose", y)
    record = record_of(TwoLayers(n_outputs=4), np.unique(y))
    with pytest.warns(UserWarning, match="max_bank"):
        scorer = PredictionDepthScorer(record, n_neighbors=5, max_bank=50).fit(X, y)
    assert len(scorer.bank_indices_) == 50


@SCORERS
def test_pooled_maps_are_warned_of(record_of, flowers, scorer_class):
    X, y = flowers
    X = X.reshape(-1, 1, 2, 2)
    record = record_of(nn.Sequential(nn.Conv2d(1, 4, 1), nn.Flatten(), nn.Linear(16, 3)), set(y))
    whole = scorer_class(record, n_neighbors=5).fit(X, y)
    with pytest.warns(UserWarning, match="pool=1 averages.*an approximation"):
        pooled = scorer_class(record, n_neighbors=5, pool=1).fit(X, y)
    assert not np.array_equal(pooled.probe_confidence_[:, :2], whole.probe_confidence_[:, :2])
    assert_array_equal(pooled.probe_confidence_[:, 2:].shape, (150, 1))


# ------------------------------------------------------------------- rows that are not finite


@SCORERS
def test_unseen_row_with_an_embedding_that_is_not_finite(overflowing, scorer_class):
    record, X, y = overflowing
    scorer = scorer_class(record, n_neighbors=5).fit(X, y)
    probed = np.vstack([X[:2], 1e9 * np.sign(X[:1])])
    with pytest.warns(UserWarning, match="have no defined"):
        scores = scorer.score_samples(probed, y[[0, 1, 0]])
    assert np.isnan(scores[2])
    if scorer_class is NeighborConfidenceScorer:
        assert np.isfinite(scores[:2]).all()
        return
    with pytest.raises(ValueError, match=r"NaN or inf for 1 row\(s\), first \[2\]"):
        scorer.probe_predict(probed, "grow")
    assert_array_equal(
        np.isnan(scorer.probe_predict_proba(probed, "grow")), [[False] * 3] * 2 + [[True] * 3]
    )
    assert scorer.probe_predict(probed, "input").shape == (3,)


def test_depth_is_undefined_where_any_probe_is(record_of, clusters):
    # At the last probe the row is like the others, but on its way there it was infinite.
    class Saturating(nn.Module):
        def __init__(self):
            super().__init__()
            self.grow = linear(1e30 * np.eye(3))

        def forward(self, x):
            return 9 * self.grow(x).clamp(-1, 1)

    X, y = clusters
    X = X * np.float32(1e-30)
    scorer = PredictionDepthScorer(record_of(Saturating()), n_neighbors=5).fit(X, y)
    row = np.array([[1e9, 0, 0]], dtype=np.float32)
    assert scorer.probe_predict(row, "softmax").tolist() == [0]
    with pytest.warns(UserWarning, match="no defined"):
        assert np.isnan(scorer.score_samples(row)).all()


@SCORERS
def test_training_row_with_an_embedding_that_is_not_finite(overflowing, scorer_class):
    record, X, y = overflowing
    X[77] = 1e9
    scorer = scorer_class(record, n_neighbors=5)
    with pytest.warns(UserWarning, match="have no defined difficulty"):
        scorer.fit(X, y)
    assert np.isnan(scorer.difficulty_[77])
    if scorer_class is NeighborConfidenceScorer:
        assert scorer.n_undefined_ == 1
    else:
        assert scorer.probe_predictions_[77].tolist()[1:] == [
            None,
            *scorer.probe_predictions_[77, 2:],
        ]
    X[5:] = 1e9
    with pytest.raises(ValueError, match=r"at 'grow' for training rows, first \[5, 6, .*fewer"):
        scorer.fit(X, y)
    with pytest.raises(NotFittedError):
        scorer.score_samples(X)


# ---------------------------------------------------------------------------- nothing else matters


@SCORERS
@pytest.mark.parametrize("surroundings", ["memory", "blocks", "autocast", "precision"])
def test_scores_do_not_depend_on_the_surroundings(
    flowers, flower_record, scorer_class, surroundings
):
    X, y = flowers
    expected = scorer_class(flower_record, n_neighbors=5).fit(X, y)
    scorer = scorer_class(flower_record, n_neighbors=5)
    if surroundings == "blocks":
        scorer.set_params(batch_size=7)
    memory = 0.02 if surroundings == "memory" else 1024
    if surroundings == "precision":
        torch.set_float32_matmul_precision("medium")
    try:
        with (
            config_context(working_memory=memory),
            torch.autocast("cpu", torch.bfloat16, enabled=surroundings == "autocast"),
        ):
            scorer.fit(X, y)
            unseen = scorer.score_samples(X)
    finally:
        torch.set_float32_matmul_precision("highest")
    assert_array_equal(scorer.probe_confidence_, expected.probe_confidence_)
    assert_array_equal(scorer.difficulty_, expected.difficulty_)
    assert_array_equal(unseen, expected.score_samples(X))


def test_autocast_around_changes_no_close_prediction(flower_record, record_of, flowers):
    X, y = flowers
    record = record_of(flower_record.module, np.unique(y))
    record.module[2].bias.data += 1000  # of which half precision keeps no fraction
    expected = PredictionDepthScorer(record, n_neighbors=5).fit(X, y)
    with torch.autocast("cpu", torch.bfloat16):
        found = PredictionDepthScorer(record, n_neighbors=5).fit(X, y)
        assert_array_equal(found.score_samples(X), expected.score_samples(X))
    assert_array_equal(found.difficulty_, expected.difficulty_)
    assert expected.n_undefined_ < 75


# -------------------------------------------------------------------------- a scikit-learn citizen


@SCORERS
@pytest.mark.parametrize("trains", [True, False])
@pytest.mark.parametrize("working_memory", [1024, 0.01])
def test_callbacks_see_every_probe(flowers, flower_record, scorer_class, trains, working_memory):
    pytest.importorskip("sklearn.callback")
    watch = Watch()
    scorer = scorer_class(make_net() if trains else flower_record, n_neighbors=5)
    with config_context(working_memory=working_memory):
        scorer.set_callbacks(watch).fit(*flowers)
    training = ["train", *["epoch"] * 5] if trains else []
    assert watch.begun == ["fit", *training, "score", "input", "0", "2", "softmax"]
    assert sorted(watch.ended) == sorted(watch.begun)


@SCORERS
def test_approximations_are_warned_of_on_the_line_of_fit(flowers, flower_record, scorer_class):
    with pytest.warns(UserWarning, match="an approximation") as caught:
        scorer_class(flower_record, n_neighbors=5, max_bank=60).fit(*flowers)
    assert [w.filename for w in caught if "approximation" in str(w.message)] == [__file__]


@pytest.mark.parametrize(
    "method",
    [
        "fit",
        "score_samples",
        "transform",
    ],
)
def test_undefined_rows_are_warned_of_on_the_line_of_the_call(contradicting, clusters, method):
    X, y = clusters
    scorer = PredictionDepthScorer(contradicting, n_neighbors=5)
    if method != "fit":
        scorer.fit(X, y)
    with pytest.warns(UserWarning, match="no defined") as caught:
        getattr(scorer, method)(X, y)
    assert [w.filename for w in caught] == [__file__]


# --------------------------------------------------------------------------------------- bad input


def test_one_probe_of_rows_that_do_not_fit(scorer):
    with pytest.raises(ValueError, match="4 features"):
        scorer.probe_predict(np.ones((2, 5)), "input")
    for call in (scorer.probe_predict_proba, clone(scorer).probe_predict):
        with pytest.raises(ValueError, match=r"NaN|not fitted"):  # NotFittedError is one of these
            call(np.full((2, 4), np.nan), "input")


def test_bank_is_the_rows_themselves(flowers, flower_record):
    X, y = flowers
    scorer = PredictionDepthScorer(flower_record, n_neighbors=5).fit(X, y)
    assert isinstance(scorer._bank, NeighborBank)
    assert np.shares_memory(scorer._bank.X.data, X)
    assert scorer._bank._kept  # embeddings, which no pickle holds
    assert pickle.loads(pickle.dumps(scorer))._bank._kept == {}


def test_more_neighbors_than_the_bank_has_are_refused_after_the_fit_too(flowers, flower_record):
    with pytest.warns(UserWarning, match="approximation"):
        scorer = PredictionDepthScorer(flower_record, n_neighbors=5, max_bank=50).fit(*flowers)
    with pytest.raises(ValueError, match="more than the 50 rows"):
        scorer.set_params(n_neighbors=80).score_samples(flowers[0])


def test_pool_is_no_approximation_where_there_is_no_map(flowers, flower_record, recwarn):
    PredictionDepthScorer(flower_record, n_neighbors=5, pool=2).fit(*flowers)
    assert not [w for w in recwarn if "approximation" in str(w.message)]
