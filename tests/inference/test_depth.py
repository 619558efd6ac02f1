# SPDX-License-Identifier: BSD-3-Clause
"""Depth of all rows in one member: that of PredictionDepthScorer, for rows in and out of it."""

import pickle
import warnings
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.datasets import load_iris
from sklearn.neighbors import NearestNeighbors
from skorch import NeuralNetClassifier
from torch import nn
from torch.utils.data import TensorDataset

from sklearn_difficulty import PredictionDepthScorer, TrainingRecord
from sklearn_difficulty.inference.embeddings import EmbeddingReader
from sklearn_difficulty.inference.probing import DepthReadout, last_hidden_probe
from sklearn_difficulty.rows.rows import as_rows
from sklearn_difficulty.training import MLP, ConvNet, ResampledEnsemble, ResNet18

pytestmark = [
    pytest.mark.usefixtures("one_thread", "seeded"),
    pytest.mark.filterwarnings("ignore:.*have no defined difficulty:UserWarning"),
]


class OneLogit(nn.Module):
    """One number per row, as a column or flat."""

    def __init__(self, flat):
        super().__init__()
        self.hidden, self.out, self.flat = nn.Linear(4, 6), nn.Linear(6, 1), flat

    def forward(self, x):
        logit = self.out(self.hidden(x).tanh())
        return logit[:, 0] if self.flat else logit


class Convolutional(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(1, 4, 1), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))


class TokenNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.output = nn.Embedding(20, 6), nn.Linear(6, 2)

    def forward(self, tokens):
        return self.output(self.embedding(tokens).mean(dim=1))


def two_layers(*last):
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3), *last)


def trained(module, X, y):
    """Return the module after some steps of training, so that its probes agree with it at times."""
    inputs, targets = torch.from_numpy(X), torch.from_numpy(y)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.05)
    for _ in range(30):
        optimizer.zero_grad()
        outputs = module(inputs)
        if outputs.numel() == len(y):
            outputs = torch.stack([torch.zeros(len(y)), outputs.flatten()], dim=1)
        nn.functional.cross_entropy(outputs, targets).backward()
        optimizer.step()
    return module


@pytest.fixture(scope="module")
def flowers():
    """Return iris without ties, a tenth of the labels wrong, and two thirds to train on."""
    X, y = load_iris(return_X_y=True)
    rng = np.random.default_rng(0)
    X = X - X.mean(axis=0) + rng.normal(scale=0.02, size=X.shape)
    y[::10] = (y[::10] + 1) % 3
    trained_on = np.zeros(150, dtype=bool)
    trained_on[rng.permutation(150)[:100]] = True
    return X.astype(np.float32), y, trained_on


@pytest.fixture
def record(record_of, flowers):
    X, y, trained_on = flowers
    return record_of(trained(two_layers(), X[trained_on], y[trained_on]))


@pytest.fixture
def make_members():
    """Return a function that makes an ensemble of three small networks."""

    def make(**settings):
        net = NeuralNetClassifier(
            MLP,
            module__n_inputs=4,
            module__n_outputs=3,
            module__hidden_units=(8, 6),
            criterion=nn.CrossEntropyLoss,
            lr=0.1,
            max_epochs=10,
            batch_size=32,
            iterator_train__shuffle=True,
            verbose=0,
        )
        defaults = {"n_members": 3, "train_size": 0.6, "keep_members": True, "random_state": 0}
        return ResampledEnsemble(net, **{**defaults, **settings})

    return make


def depths_of_the_scorer(record, X, y, trained_on, **params):
    """Return what PredictionDepthScorer says, given the member's rows alone."""
    scorer = PredictionDepthScorer(record, normalize=True, **params)
    scorer.fit(X[trained_on], y[trained_on])
    depths = np.empty(len(X), dtype=np.float32)
    depths[trained_on] = scorer.difficulty_
    depths[~trained_on] = scorer.score_samples(X[~trained_on])
    return depths


# ----------------------------------------------------------------------------------- the readout


@pytest.mark.parametrize(
    "params",
    [
        {"n_neighbors": 5},
        {},
        {"n_neighbors": 1, "include_input": False},
        {"n_neighbors": 6, "metric": "cosine"},
        {"n_neighbors": 3, "probes": ["2"]},
        {"n_neighbors": 5, "probes": "[01]", "batch_size": 7},
        {"n_neighbors": 5, "probes": lambda name, module: isinstance(module, nn.Tanh)},
    ],
    ids=["five", "default", "no input", "cosine", "list", "expression", "callable"],
)
def test_depth_is_that_of_the_scorer(record, flowers, params):
    X, y, trained_on = flowers
    found = DepthReadout(**params)(record, X, y, trained_on)
    assert list(found) == ["depth"]
    depth = found["depth"]
    assert depth.shape == (150,)
    assert depth.dtype == np.float32
    assert_array_equal(depth, depths_of_the_scorer(record, X, y, trained_on, **params))
    assert len(np.unique(depth[~np.isnan(depth)])) > 1
    assert np.nanmin(depth) >= 0
    assert np.nanmax(depth) <= 1


def test_depth_of_members_of_an_ensemble(flowers, make_members):
    X, y, _ = flowers
    ensemble = make_members(readout=DepthReadout(n_neighbors=5)).fit(X, y)
    assert ensemble.readout_["depth"].shape == (3, 150)
    for k, trained_on in enumerate(ensemble.masks_):
        expected = depths_of_the_scorer(ensemble.record(k), X, y, trained_on, n_neighbors=5)
        assert_array_equal(ensemble.readout_["depth"][k], expected)
    assert not np.array_equal(*ensemble.readout_["depth"][:2], equal_nan=True)


def test_trained_rows_are_not_their_own_neighbors_and_others_may_be(record_of, flowers):
    # Every row stands twice in X, once in the bank: with one neighbour, only the twin that is held
    # out finds itself.
    X, y, _ = flowers
    record = record_of(nn.Sequential(nn.Linear(4, 3)))
    both = np.concatenate([X, X]), np.concatenate([y, y])
    trained_on = np.arange(300) < 150
    readout = DepthReadout(n_neighbors=1)
    bank = readout.bank(record, as_rows(both[0]), both[1], trained_on)
    [first, *_] = bank.nearest(as_rows(both[0][150:]), 1)
    assert_array_equal(first.positions[:, 0], np.arange(150))
    depth = readout(record, *both, trained_on)["depth"]
    assert not np.array_equal(depth[:150], depth[150:], equal_nan=True)
    assert_array_equal(depth[150:], readout.depth(bank, as_rows(both[0][150:])))


def test_neighbors_vote_with_given_labels_of_trained_rows_alone(record, flowers):
    X, y, trained_on = flowers
    expected = DepthReadout(n_neighbors=5)(record, X, y, trained_on)["depth"]
    others = np.where(trained_on, y, (y + 1) % 3)
    assert_array_equal(
        DepthReadout(n_neighbors=5)(record, X, others, trained_on)["depth"], expected
    )
    flipped = np.where(trained_on, (y + 1) % 3, y)
    found = DepthReadout(n_neighbors=5)(record, X, flipped, trained_on)["depth"]
    assert not np.array_equal(found, expected, equal_nan=True)


def test_closed_form(record_of):
    # Class 1 has five rows among those of class 0; only the first layer sets them apart.
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 1], [60, 30, 5])
    centre = np.repeat([0.0, 100.0, 0.0], [60, 30, 5])
    X = np.column_stack([centre + rng.normal(size=95), 0.01 * y]).astype(np.float32)
    module = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Tanh(), nn.Linear(2, 2))
    module[0].weight.data = torch.tensor([[1e-3, 0], [0, 1e3]])
    module[2].weight.data = torch.tensor([[0, -1.0], [0, 1.0]])
    module[2].bias.data = torch.tensor([0.5, -0.5])
    trained_on = np.arange(95) % 6 > 0
    depth = DepthReadout(n_neighbors=5)(record_of(module, (0, 1)), X, y, trained_on)["depth"]
    assert_allclose(depth, np.repeat([0, 0, 1 / 3], [60, 30, 5]))  # input, two layers, softmax


def test_undefined_where_the_last_probe_contradicts_the_network(record_of):
    y = np.arange(60) % 3
    X = (10 * np.eye(3)[y] + np.random.default_rng(0).normal(scale=0.1, size=(60, 3))).astype("f4")
    module = nn.Linear(3, 3, bias=False)
    module.weight.data = torch.tensor([[1, 0, 0.1], [0, 1, 0], [0, 0, 0]])
    trained_on = np.arange(60) < 40
    depth = DepthReadout(n_neighbors=5)(record_of(module), X, y, trained_on)["depth"]
    assert_array_equal(np.isnan(depth), y == 2)
    assert (depth[y < 2] == 0).all()


def test_held_out_row_with_an_embedding_that_is_not_finite(record_of):
    class Saturating(nn.Module):
        def __init__(self):
            super().__init__()
            self.grow = nn.Linear(3, 3, bias=False)
            self.grow.weight.data = 1e30 * torch.eye(3)

        def forward(self, x):
            return 9 * self.grow(x).clamp(-1, 1)

    y = np.arange(60) % 3
    X = (1e-30 * np.eye(3)[y]).astype(np.float32)
    X[59] = [0, 0, 1e9]
    depth = DepthReadout(n_neighbors=5)(record_of(Saturating()), X, y, np.arange(60) < 50)["depth"]
    assert_array_equal(np.flatnonzero(np.isnan(depth)), [59])


@pytest.mark.parametrize("surroundings", ["memory", "blocks", "autocast", "grad"])
def test_depth_does_not_depend_on_the_surroundings(record, flowers, surroundings):
    X, y, trained_on = flowers
    readout = DepthReadout(n_neighbors=5)
    expected = readout(record, X, y, trained_on)["depth"]
    if surroundings == "blocks":
        readout = replace(readout, batch_size=3)
    with (
        config_context(working_memory=0.005 if surroundings == "memory" else 1024),
        torch.autocast("cpu", torch.bfloat16, enabled=surroundings == "autocast"),
        torch.set_grad_enabled(surroundings == "grad"),
    ):
        assert_array_equal(readout(record, X, y, trained_on)["depth"], expected)


def test_rows_do_not_see_each_other(record, flowers):
    X, y, trained_on = flowers
    readout = DepthReadout(n_neighbors=5)
    bank = readout.bank(record, as_rows(X), y, trained_on)
    whole = readout.depth(bank, as_rows(X[~trained_on]))
    assert len(np.unique(whole)) > 2
    order = np.random.default_rng(0).permutation(50)
    assert_array_equal(readout.depth(bank, as_rows(X[~trained_on][order])), whole[order])
    assert_array_equal(readout.depth(bank, as_rows(X[~trained_on][:1])), whole[:1])


class Named(nn.Module):
    """A network of two named inputs."""

    def __init__(self, module):
        super().__init__()
        self.net = module

    def forward(self, left, right):
        return self.net(torch.cat([left, right], dim=1))


@pytest.mark.parametrize("kind", ["dict", "dataset", "tokens", "images", "one logit", "flat logit"])
def test_rows_and_networks_of_every_kind(record_of, flowers, kind):
    X, y, trained_on = flowers
    settings = {}
    if kind.endswith("logit"):
        y = (y > 0).astype(int)
        module, settings = OneLogit(flat=kind == "flat logit"), {"outputs": "binary_logit"}
    elif kind == "tokens":
        X = np.random.default_rng(0).integers(20, size=(150, 7))
        module, y = TokenNet(), (X[:, 0] > 9).astype(int)
    elif kind == "images":
        X, module = X.reshape(-1, 1, 2, 2), Convolutional()
    else:
        module = two_layers()
    trained(module, X, y)
    plain = given = record_of(module, np.unique(y), **settings)
    rows = X
    if kind == "dict":
        rows, given = {"left": X[:, :1], "right": X[:, 1:]}, record_of(Named(module))
    elif kind == "dataset":
        rows = TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    depth = DepthReadout(n_neighbors=5)(given, rows, y, trained_on)["depth"]
    expected = depths_of_the_scorer(plain, X, y, trained_on, n_neighbors=5)
    assert_array_equal(depth, expected)
    assert len(np.unique(depth[~np.isnan(depth)])) > 1


def test_networks_and_modes_are_left_as_they_were(record_of, flowers):
    X, y, trained_on = flowers
    record = record_of(trained(nn.Sequential(nn.Dropout(0.5), *two_layers()), X, y))
    record.module.train()
    before = [p.clone() for p in record.module.parameters()]
    state = torch.get_rng_state()
    first = DepthReadout(n_neighbors=5)(record, X, y, trained_on)["depth"]
    assert record.module.training
    assert all(torch.equal(a, b) for a, b in zip(before, record.module.parameters(), strict=True))
    assert torch.equal(torch.get_rng_state(), state)
    assert_array_equal(DepthReadout(n_neighbors=5)(record, X, y, trained_on)["depth"], first)
    assert not any(module._forward_hooks for module in record.module)


def test_too_few_rows_to_vote(record_of, flowers):
    X, y, trained_on = flowers
    for n_neighbors in (100, 101):  # a row is not its own neighbour
        with pytest.raises(ValueError, match="more than the 100 rows of the bank can offer"):
            DepthReadout(n_neighbors=n_neighbors)(record_of(two_layers()), X, y, trained_on)
    DepthReadout(n_neighbors=99)(record_of(two_layers()), X, y, trained_on)


def test_settings_are_a_value():
    readout = DepthReadout(n_neighbors=5, probes=["0", "2"])
    assert readout == DepthReadout(n_neighbors=5, probes=["0", "2"])
    assert pickle.loads(pickle.dumps(readout)) == readout
    for other in (
        {"n_neighbors": 6},
        {"probes": ["0"]},
        {"include_input": False},
        {"metric": "cosine"},
    ):
        assert readout != replace(readout, **other)
    with pytest.raises(FrozenInstanceError):
        readout.n_neighbors = 7


# -------------------------------------------------------------------------- the last hidden layer


@pytest.mark.parametrize(
    ("module", "shape", "name"),
    [
        (two_layers, (4,), "0"),
        (lambda: two_layers(nn.Softmax(dim=1)), (4,), "0"),
        (lambda: two_layers(nn.LogSoftmax(dim=1)), (4,), "0"),
        (lambda: nn.Sequential(nn.Linear(4, 3)), (4,), "input"),
        (lambda: nn.Linear(4, 3), (4,), "input"),
        (lambda: MLP(4, 3, hidden_units=(8, 6)), (4,), "layers.2"),
        (Convolutional, (1, 2, 2), "0"),
        (lambda: ConvNet(1, 3), (1, 8, 8), "layers.3"),
        (lambda: ResNet18(3, 3), (3, 8, 8), "blocks.7.sum"),
        (lambda: OneLogit(flat=False), (4,), "hidden"),
        (lambda: OneLogit(flat=True), (4,), "hidden"),
    ],
    ids=[
        "two layers",
        "softmax",
        "log-softmax",
        "linear",
        "bare linear",
        "MLP",
        "convolution",
        "ConvNet",
        "ResNet18",
        "one logit",
        "flat logit",
    ],
)
def test_last_hidden_layer(record_of, module, shape, name):
    module, classes = module(), (0, 1, 2)
    outputs = "logits"
    if isinstance(module, OneLogit):
        outputs, classes = "binary_logit", (0, 1)
    elif isinstance(module, nn.Sequential) and len(module) > 3:
        kinds = {nn.Softmax: "probabilities", nn.LogSoftmax: "log_probabilities"}
        outputs = kinds.get(type(module[-1]), outputs)
    record = record_of(module, classes, outputs=outputs)
    X = np.random.default_rng(0).normal(size=(5, *shape)).astype(np.float32)
    probe = last_hidden_probe(record, as_rows(X))
    assert probe.name == name
    assert last_hidden_probe(record, as_rows(X[:1])) == probe


def test_last_hidden_layer_without_the_input(record_of):
    X = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    record = record_of(nn.Sequential(nn.Linear(4, 3)))
    assert last_hidden_probe(record, as_rows(X), include_input=False).name == "0"
    assert last_hidden_probe(record_of(two_layers()), as_rows(X), include_input=False).name == "0"


def test_last_hidden_layer_of_rows_that_are_no_array(record_of, flowers):
    X, y, _ = flowers
    dataset = TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    assert last_hidden_probe(record_of(two_layers()), as_rows(dataset)).name == "0"
    tokens = np.random.default_rng(0).integers(20, size=(5, 7))
    record = record_of(TokenNet(), (0, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert last_hidden_probe(record, as_rows(tokens)).name == "input"


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_hidden_bank(record_of, flowers, metric):
    X, y, _ = flowers
    record = record_of(two_layers())
    rows = np.array([140, 3, 77, 20, 55])
    readout = DepthReadout(metric=metric)
    bank = readout.bank(record, as_rows(X), y, rows, [readout.last_hidden(record, as_rows(X))])
    assert_array_equal(bank.codes, y[rows])
    [found] = bank.nearest(as_rows(X[:20]), 2)
    assert found.probe.name == "0"
    probe = last_hidden_probe(record, as_rows(X))
    [hidden] = EmbeddingReader(record).embed(as_rows(X), [probe], batch_size=64)
    index = NearestNeighbors(n_neighbors=2, algorithm="brute", metric=metric).fit(hidden[rows])
    expected = index.kneighbors(hidden[:20], return_distance=False)
    assert_array_equal(found.positions, np.sort(expected, axis=1))


def test_record_of_a_fit_is_read_like_that_of_a_member(flowers, make_members):
    X, y, trained_on = flowers
    net = make_members().estimator
    record = TrainingRecord.from_fit(net, X[trained_on], y[trained_on], random_state=0)
    depth = DepthReadout(n_neighbors=5)(record, X, y, trained_on)["depth"]
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*other rows")  # they are the record's own
        expected = depths_of_the_scorer(record, X, y, trained_on, n_neighbors=5)
    assert_array_equal(depth, expected)
