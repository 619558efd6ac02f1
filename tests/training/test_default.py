# SPDX-License-Identifier: BSD-3-Clause
"""The default networks: good enough, insensitive to units, suited to the shape of X."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.datasets import load_digits, make_friedman1
from sklearn.model_selection import train_test_split
from skorch import NeuralNetRegressor

from sklearn_difficulty import VoGScorer
from sklearn_difficulty.training import MLP, ConvNet, TrainingRecord, default_network
from sklearn_difficulty.training.default import center_and_scale


@pytest.mark.parametrize(
    "shape", [(-1, 64), pytest.param((-1, 1, 8, 8), marks=pytest.mark.slow)], ids=["2d", "4d"]
)
def test_learns_digits(shape):
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0, stratify=y)
    X_train, X_test = X_train.reshape(shape), X_test.reshape(shape)
    record = TrainingRecord.from_fit(
        default_network(X_train, y_train), X_train, y_train, random_state=0
    )
    with torch.no_grad():
        predicted = record.module(torch.tensor(X_test)).argmax(1).numpy()
    assert np.mean(predicted == y_test) > 0.95


@pytest.mark.parametrize("rank", [2, 4])
def test_units_of_a_feature_do_not_matter(data, rank):
    X, y = data
    if rank == 4:
        X = (
            np.random.default_rng(0).normal(size=(48, 2, 4, 4)).astype("f4")
            + y[:, None, None, None]
        )
    scaled = X.copy()
    scaled[:, 1] = scaled[:, 1] * 1000 + 5
    first, second = (
        VoGScorer(default_network(x, y).set_params(max_epochs=3), random_state=0).fit(x, y)
        for x in (X, scaled)
    )
    assert_allclose(second.raw_difficulty_, first.raw_difficulty_, rtol=2e-2)
    assert np.ptp(first.raw_difficulty_) > 0


@pytest.mark.parametrize(
    ("X", "cls"),
    [
        (np.random.default_rng(0).normal(size=(6, 5)), MLP),
        (np.random.default_rng(0).normal(size=(6, 3, 7, 9)), ConvNet),
        (torch.rand(6, 5), MLP),
        (pd.DataFrame(np.eye(6)[:, :5]), MLP),
        (np.arange(30).reshape(6, 5), MLP),
        (np.zeros((6, 1, 1, 1)), ConvNet),
    ],
)
def test_default_suits_the_shape(X, cls):
    net = default_network(X, list("aabbcc")).initialize()
    assert type(net.module_) is cls
    X = torch.tensor(np.asarray(X))
    inside = net.module_.standardize(X)
    axes = (0,) if X.ndim == 2 else (0, 2, 3)
    assert_allclose(inside.mean(dim=axes), 0, atol=1e-6)
    constant = np.asarray(X).std(axis=axes) == 0
    assert_allclose(inside.std(dim=axes, correction=0), np.where(constant, 0.0, 1.0), atol=1e-5)
    assert net.module_(X).shape == (6, 3)
    assert net.train_split is None
    assert net.verbose == 0
    if cls is MLP:
        assert net.module_.config["hidden_units"] == [256, 128]


@pytest.mark.parametrize("shape", [(6, 5, 4), (6, 1, 2, 3, 4)])
def test_other_ranks_are_refused(shape):
    message = rf"n_samples, n_features.* this X has {len(shape)} dimension\(s\). Pass estimator"
    with pytest.raises(ValueError, match=message):
        default_network(np.zeros(shape), [0, 1] * 3)


@pytest.mark.parametrize("value", [0.1, 1e6 + 0.1])
def test_features_that_differ_by_rounding_alone_are_left_alone(value):
    X = np.full((5000, 2), value)  # more rows than one block
    X[:, 1] = np.random.default_rng(0).normal(size=5000)
    assert np.ptp(X[:, 0]) == 0
    X[::3, 0] = np.nextafter(value, np.inf)
    net = default_network(X, np.arange(5000) % 2)
    assert net.module__scale[0] == 1
    assert_allclose(net.module__scale[1], X[:, 1].std())


def test_memory_map_is_read_in_blocks(tmp_path):
    X = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", np.float32, (100_000, 50))
    X[:] = np.random.default_rng(0).normal(3, 2, size=X.shape)
    X.flush()
    X = np.load(tmp_path / "X.npy", mmap_mode="r")
    tracemalloc.start()
    try:
        net = default_network(X, np.arange(len(X)) % 2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < X.nbytes / 2  # a float64 copy is twice as large as X
    assert_allclose(net.module__mean, np.mean(X, axis=0, dtype=np.float64), rtol=1e-6)
    assert_allclose(net.module__scale, np.std(X, axis=0, dtype=np.float64), rtol=1e-6)


@pytest.mark.parametrize("shape", [(-1, 10), (-1, 1, 2, 5)], ids=["2d", "4d"])
@pytest.mark.parametrize("n_outputs", [None, 2])
def test_regressors_learn_in_the_units_of_the_targets(shape, n_outputs):
    X, y = make_friedman1(400, noise=0.5, random_state=0)
    X = X.reshape(shape).astype("f4")
    wrong = np.arange(400) % 10 == 0
    y = 1000 + 50 * y
    given = np.where(wrong, 10 * y, y)
    unit = np.ones(1)
    if n_outputs is not None:  # in units that are far apart
        unit = np.array([1.0, 1e-6])
        y, given = y[:, None] * unit, given[:, None] * unit
    net = default_network(X, given, task="regression")
    assert isinstance(net, NeuralNetRegressor)
    record = TrainingRecord.from_fit(net, X, given, random_state=0)
    with torch.no_grad():
        predicted = record.module(torch.tensor(X)).numpy()
    assert predicted.shape == (400, len(unit))
    error = np.abs(predicted - y.reshape(400, -1))[~wrong].mean(axis=0)
    spread = np.abs(y - np.median(y, axis=0)).reshape(400, -1).mean(axis=0)
    assert (error < 0.7 * spread).all()


def test_scale_of_targets_does_not_matter_to_what_is_learned():
    X, y = make_friedman1(100, random_state=0)
    predicted = []
    for a, b in ((1, 0), (1000, -5), (1e-6, 0)):
        net = default_network(X, a * y + b, task="regression").set_params(max_epochs=3)
        record = TrainingRecord.from_fit(net, X, a * y + b, random_state=0)
        with torch.no_grad():
            outputs = record.module(torch.tensor(X.astype("f4"))).numpy()[:, 0]
        predicted.append((outputs - b) / a)
    assert_allclose(predicted[1], predicted[0], rtol=1e-3)
    assert_allclose(predicted[2], predicted[0], rtol=1e-3)


def test_center_and_scale_are_those_of_most_targets():
    rng = np.random.default_rng(0)
    y = rng.normal(5, 2, size=10_000)
    y[:500] *= 1e6
    [center], [scale] = center_and_scale(y.astype("f4"))
    assert_allclose([center, scale], [5, 2], rtol=0.1)
    for column, expected in (([3, 3, 3, 5], (3, 0.5)), ([3, 3, 3, 3], (3, 1))):
        assert_allclose(np.ravel(center_and_scale(np.array(column, dtype="f4"))), expected)


def test_what_the_targets_are_is_not_guessed():
    with pytest.raises(ValueError, match="'task' parameter of default_network must be"):
        default_network(np.zeros((6, 2)), [1, 2] * 3, task="regressor")
    with pytest.raises(ValueError, match=r"NaN, inf .* first \[2\]"):
        default_network(np.zeros((6, 2)), [1, 2, np.nan, 4, 5, 6], task="regression")
    y = np.array([21, 35, 47, 21, 35, 47])
    outputs = {
        task: default_network(np.zeros((6, 2)), y, task=task).module__n_outputs
        for task in ("classification", "regression")
    }
    assert outputs == {"classification": 3, "regression": 1}
