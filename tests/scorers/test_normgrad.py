# SPDX-License-Identifier: BSD-3-Clause
"""NormGradScorer: settings, maps of images, signals and tokens, and what it finds."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from skorch import NeuralNetClassifier, NeuralNetRegressor
from small_nets import make_net
from torch import nn
from torch.utils.data import Dataset

from sklearn_difficulty import DifficultyScorer, NormGradScorer, TrainingRecord
from sklearn_difficulty.measures import combine_saliency_maps
from sklearn_difficulty.training import ConvNet

pytestmark = pytest.mark.usefixtures("one_thread", "seeded")
N = 60
Y = np.arange(N) % 2


def make_images():
    """Return noise with a bright bar of three pixels: across in class 0, upright in class 1."""
    rng = np.random.default_rng(0)
    X = rng.normal(scale=0.3, size=(N, 1, 12, 12)).astype(np.float32)
    masks = np.zeros((N, 12, 12), dtype=bool)
    for i in range(N):
        a, b = rng.integers(1, 11), rng.integers(1, 9)
        masks[i][(a, slice(b, b + 3)) if Y[i] == 0 else (slice(b, b + 3), a)] = True
    X[:, 0] += 3 * masks
    return X, masks


IMAGES, MASKS = make_images()


@pytest.fixture(scope="module")
def record():
    net = make_net(
        module=ConvNet,
        module__n_channels=1,
        module__n_outputs=2,
        module__channels=(8, 8),
        optimizer=torch.optim.Adam,
        lr=0.01,
        max_epochs=25,
    )
    return TrainingRecord.from_fit(net, IMAGES, Y, checkpoints=3, random_state=0)


def fitted(record, **settings):
    return NormGradScorer(record, **{"checkpoints": 3, **settings}).fit(IMAGES, Y)


def test_maps_show_where_the_class_lies(record):
    for settings in ({}, {"selective": True, "target": "logit"}, {"order": 1, "step": 0.01}):
        maps = fitted(record, **settings).maps(IMAGES, Y)
        assert maps.shape == (N, 12, 12)
        assert maps.dtype == np.float32
        assert maps.min() >= 0
        assert maps.max() <= 1
        assert maps[MASKS].mean() > 2.5 * maps[~MASKS].mean()


def test_maps_are_those_of_the_layers_combined(record):
    for combine, weights in (("product", "uniform"), ("sum", "linear"), ("geometric", [3, 0, 1])):
        scorer = fitted(record, combine=combine, layer_weights=weights)
        layers = scorer.layer_maps(IMAGES, Y)
        assert list(layers) == scorer.layer_names_.tolist() == ["layers.1", "layers.4", "layers.5"]
        assert [m.shape[1:] for m in layers.values()] == [(12, 12), (6, 6), (4, 4)]
        given = {"uniform": None, "linear": [1, 2, 3]}.get(str(weights), weights)
        expected = combine_saliency_maps(
            list(layers.values()), shape=(12, 12), combine=combine, weights=given
        )
        assert_allclose(scorer.maps(IMAGES, Y), expected, atol=1e-5)


def test_score_is_the_length_of_the_maps(record):
    scorer = fitted(record, layer_weights=[1, 0, 3])
    per_checkpoint = [
        NormGradScorer(record, checkpoints=[c.epoch]).fit(IMAGES, Y) for c in record.checkpoints
    ]
    lengths = [
        np.stack([np.linalg.norm(m, axis=(1, 2)) for m in s.layer_maps(IMAGES, Y).values()], axis=1)
        for s in per_checkpoint
    ]
    mean = np.mean(lengths, axis=0)
    assert_allclose(scorer.layer_difficulty_, mean, rtol=1e-5)
    assert_allclose(scorer.difficulty_, mean @ [0.25, 0, 0.75], rtol=1e-5)
    columns = scorer.transform(IMAGES, Y)
    assert_allclose(columns, np.column_stack([scorer.difficulty_, mean]), rtol=1e-5)
    names = scorer.get_feature_names_out().tolist()
    assert names == ["normgrad", "normgrad_layers.1", "normgrad_layers.4", "normgrad_layers.5"]
    # The mean of maps is not the map of means, but one checkpoint has both.
    several = DifficultyScorer(record, scores=["normgrad", ("last", per_checkpoint[-1])])
    found = several.fit(IMAGES, Y).difficulties_
    assert_allclose(found[:, 1], per_checkpoint[-1].difficulty_, rtol=1e-6)


def test_wrong_labels_have_a_larger_signal(record):
    scorer = fitted(record)
    right, wrong = scorer.score_samples(IMAGES, Y), scorer.score_samples(IMAGES, 1 - Y)
    assert (right < wrong).mean() > 0.95


def test_predicted_class_whatever_the_label(record):
    scorer = fitted(record, target="predicted")
    assert_array_equal(scorer.maps(IMAGES, Y), scorer.maps(IMAGES, 1 - Y))
    assert_array_equal(scorer.score_samples(IMAGES), scorer.difficulty_)
    logit = fitted(record, target="logit")
    assert_array_equal(logit.maps(IMAGES), scorer.maps(IMAGES))


def test_directions(record):
    def score(**settings):
        return fitted(record, **settings).difficulty_

    plain, still = score(), score(order=1, step=0)
    assert_allclose(still, plain, rtol=1e-5)
    down = score(order=1, step=0.01)
    up = score(order=1, step=0.01, direction="adversarial")
    assert down.mean() < plain.mean() < up.mean()
    assert_allclose(score(direction="adversarial", step=5), plain)  # no step, no direction


def test_settings_that_contradict_each_other(record):
    for settings, message in (
        ({"selective": True, "variant": "bias"}, "selective=True stands for"),
        ({"layer_weights": [1, 2]}, "layer_weights must hold 3"),
        ({"layer_weights": [0, 0, 0]}, "layer_weights must hold 3"),
        ({"layer_weights": "activation_in"}, "'layer_weights' parameter"),
        ({"layers": ["layers.9"]}, "layers names"),
    ):
        with pytest.raises(ValueError, match=message):
            fitted(record, **settings)


def test_rows_do_not_see_each_other(record):
    for settings in ({}, {"order": 1, "step": 0.1}):
        scorer = fitted(record, **settings)
        maps = scorer.maps(IMAGES, Y)
        for part in (np.arange(N)[::-1], [7], [3, 50, 4]):
            assert_allclose(scorer.maps(IMAGES[part], Y[part]), maps[part], atol=1e-4)
        small = fitted(record, batch_size=7, **settings)
        assert_allclose(small.maps(IMAGES, Y), maps, atol=1e-4)
        loaded = pickle.loads(pickle.dumps(scorer))
        assert_array_equal(loaded.maps(IMAGES, Y), maps)


class SpoilsSome(ConvNet):
    def forward(self, x):
        logits = super().forward(x)
        return logits if self.training else logits.masked_fill(x[:, 0, :1, 0] > 5, torch.nan)


@pytest.mark.filterwarnings("ignore:.*no defined difficulty")
def test_undefined_rows_have_no_map():
    X = IMAGES.copy()
    X[::10, 0, 0, 0] = 9
    net = make_net(module=SpoilsSome, module__n_channels=1, module__n_outputs=2, max_epochs=1)
    for order in (0, 1):
        scorer = NormGradScorer(net, order=order, random_state=0, undefined="max").fit(X, Y)
        maps = scorer.maps(X, Y)
        assert np.isnan(maps[::10]).all()
        assert np.isfinite(np.delete(maps, np.s_[::10], axis=0)).all()
        columns = scorer.transform(X, Y)
        assert np.isfinite(columns).all()
        assert_array_equal(columns[0, 1:], np.nanmax(scorer.layer_difficulty_, axis=0))
        assert scorer.n_undefined_ == 6


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        block = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1, batch_first=True)
        self.embedding, self.out = nn.Embedding(30, 16), nn.Linear(16, 2)
        self.encoder = nn.TransformerEncoder(block, 1)

    def forward(self, tokens):
        return self.out(self.encoder(self.embedding(tokens)).mean(dim=1))


def test_tokens():
    rng = np.random.default_rng(0)
    tokens = rng.integers(2, 30, size=(N, 9))
    where = rng.integers(9, size=N)
    tokens[np.arange(N), where] = Y  # one word tells the class
    net = NeuralNetClassifier(
        Words,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=0.01,
        max_epochs=30,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    )
    scorer = NormGradScorer(net, layers=["embedding"], selective=True, random_state=0)
    maps = scorer.fit(tokens, Y).maps(tokens, Y)
    assert maps.shape == (N, 9)
    assert (maps.argmax(axis=1) == where).mean() > 0.8
    blocks = NormGradScorer(scorer.record_, order=1).fit(tokens, Y)
    assert blocks.layer_names_.tolist() == ["encoder.layers.0"]
    assert blocks.maps(tokens[:5]).shape == (5, 9)


def test_signals_of_one_dimension():
    rng = np.random.default_rng(0)
    X = rng.normal(scale=0.2, size=(N, 2, 40)).astype(np.float32)
    start = rng.integers(34, size=N)
    for i in range(N):  # a bump in one of two channels
        X[i, Y[i], start[i] : start[i] + 6] += 2
    layers = [nn.Conv1d(2, 8, 5, padding=2), nn.ReLU(), nn.AdaptiveMaxPool1d(1), nn.Flatten()]
    net = make_net(module=nn.Sequential(*layers, nn.Linear(8, 2)), max_epochs=20)
    scorer = NormGradScorer(net, random_state=0).fit(X, Y)
    maps = scorer.maps(X, Y)
    assert maps.shape == (N, 40)
    largest = maps.argmax(axis=1)
    assert ((largest >= start - 2) & (largest < start + 8)).mean() > 0.9


def test_rows_without_locations_have_a_score_and_no_map(flowers):
    scorer = NormGradScorer(make_net(max_epochs=2), random_state=0).fit(*flowers)
    assert scorer.difficulty_.shape == (150,)
    for reading in (scorer.maps, scorer.layer_maps):
        with pytest.raises(ValueError, match=r"\['0'\] return one vector a row"):
            reading(*flowers)


@pytest.mark.parametrize("target", ["loss", "logit", "predicted"])
def test_regressors(flowers, target):
    X, y = flowers[0][:, :3], flowers[0][:, 3:]
    net = make_net(
        NeuralNetRegressor, criterion=nn.MSELoss, module__n_inputs=3, module__n_outputs=1, lr=0.01
    )
    scorer = NormGradScorer(net, target=target, random_state=0).fit(X, y)
    assert np.isfinite(scorer.difficulty_).all()
    assert scorer.classes_ is None
    if target == "loss":
        with pytest.raises(ValueError, match="of a regressor needs y"):
            scorer.score_samples(X)
    else:
        assert_allclose(scorer.score_samples(X), scorer.difficulty_, rtol=1e-6)
    step = NormGradScorer(scorer.record_, target=target, order=1).fit(X, y)
    with pytest.raises(ValueError, match="of a regressor needs y"):
        step.score_samples(X)


class Steps(nn.Module):
    """Sums over sequences, padded by zeros where there is nothing to see."""

    def __init__(self):
        super().__init__()
        self.line, self.out = nn.Conv1d(1, 4, 3, padding=1, bias=False), nn.Linear(4, 2)

    def forward(self, x):
        return self.out(torch.tanh(self.line(x[:, None])).sum(dim=2))


def pad(items):
    rows = nn.utils.rnn.pad_sequence([x for x, _ in items], batch_first=True)
    return rows, torch.tensor([y for _, y in items])


def test_rows_of_unequal_length(ragged):
    dataset, _ = ragged
    net = make_net(module=Steps, iterator_train__collate_fn=pad, batch_size=8)
    scorer = NormGradScorer(net, layers=["line"], random_state=0).fit(dataset)
    assert_allclose(scorer.score_samples(dataset, np.arange(24) % 2), scorer.difficulty_, rtol=1e-5)
    with pytest.raises(ValueError, match="differ in shape"):
        scorer.maps(dataset)


class TwoViews(Dataset):
    """Images with a number beside each."""

    def __len__(self):
        return N

    def __getitem__(self, i):
        return {"image": IMAGES[i], "offset": np.float32([i % 3])}, int(Y[i])


class Offset(ConvNet):
    def forward(self, image, offset):
        return super().forward(image) + offset


def test_dicts_of_inputs_have_the_size_of_the_largest_layer():
    net = make_net(module=Offset, module__n_channels=1, module__n_outputs=2, max_epochs=1)
    scorer = NormGradScorer(net, layers=["layers.2", "layers.5"], random_state=0).fit(TwoViews())
    assert scorer.maps(TwoViews(), Y).shape == (N, 6, 6)
