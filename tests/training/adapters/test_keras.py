# SPDX-License-Identifier: BSD-3-Clause
"""KerasRecorder, inside a real fit with the torch backend."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_iris

from sklearn_difficulty import TrainingDynamicsScorer
from sklearn_difficulty.training.adapters import KerasRecorder

keras = pytest.importorskip("keras")
# Of Keras itself, with NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
X, Y = load_iris(return_X_y=True)
X = ((X - X.mean(axis=0)) / X.std(axis=0)).astype(np.float32)
NAMES = np.array(["setosa", "versicolor", "virginica"])


def model(units, activation, loss):
    keras.utils.set_random_seed(0)
    network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units, activation)])
    network.compile(keras.optimizers.SGD(0.1), loss)
    return network


def test_probabilities():
    network = model(3, "softmax", "sparse_categorical_crossentropy")
    recorder = KerasRecorder(X, NAMES[Y])
    network.fit(X, Y, epochs=3, verbose=0, callbacks=[recorder])
    trajectory = recorder.record_.trajectory
    assert (trajectory.n_epochs, trajectory.mode) == (3, "evaluation")
    given = network.predict(X, verbose=0)[np.arange(150), Y]
    assert_allclose(trajectory.probability[-1], given, rtol=1e-4)
    scorer = TrainingDynamicsScorer(recorder.record_, mode="evaluation").fit(X, NAMES[Y])
    assert_array_equal(scorer.classes_, NAMES)


def test_one_sigmoid():
    network = model(1, "sigmoid", "binary_crossentropy")
    recorder = KerasRecorder(X[:100], Y[:100])
    network.fit(X[:100], Y[:100], epochs=1, verbose=0, callbacks=[recorder])
    second = network.predict(X[:100], verbose=0)[:, 0]
    expected = np.where(Y[:100] == 1, second, 1 - second)
    assert_allclose(recorder.record_.trajectory.probability[0], expected, rtol=1e-4)


def test_logits_and_numbers():
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network, recorder = model(3, None, loss), KerasRecorder(X, Y, outputs="logits")
    network.fit(X, Y, epochs=1, verbose=0, callbacks=[recorder])
    assert_array_equal(
        recorder.record_.trajectory.predicted[0], network.predict(X, verbose=0).argmax(axis=1)
    )
    network, recorder = model(1, None, "mse"), KerasRecorder(X, X[:, 0] * 2, outputs="values")
    network.fit(X, X[:, 0] * 2, epochs=2, verbose=0, callbacks=[recorder])
    squared = (network.predict(X, verbose=0)[:, 0] - X[:, 0] * 2) ** 2
    assert_allclose(recorder.record_.trajectory.loss[-1], squared, rtol=1e-3, atol=1e-5)


def test_what_is_no_probability_is_refused():
    network = model(3, None, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(ValueError, match=r"must return probabilities.* outputs='logits'"):
        network.fit(X, Y, epochs=1, verbose=0, callbacks=[KerasRecorder(X, Y)])
    with pytest.raises(ValueError, match=r"continuous numbers.* outputs='values'"):
        KerasRecorder(X, X[:, 0])
