# SPDX-License-Identifier: BSD-3-Clause
"""A small problem and small nets for the scorers that probe layers."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from skorch import NeuralNetClassifier
from torch import nn

from sklearn_difficulty import TrainingRecord
from sklearn_difficulty.inference.embeddings import EmbeddingReader
from sklearn_difficulty.inference.probes import find_probes


class TwoLayers(nn.Sequential):
    """Logits, or what another last layer makes of them."""

    def __init__(self, n_inputs=4, n_outputs=3, last=None):
        layers = [nn.Linear(n_inputs, 8), nn.Tanh(), nn.Linear(8, n_outputs)]
        super().__init__(*layers, *([] if last is None else [last]))


@pytest.fixture(scope="session")
def two_layers():
    return TwoLayers


@pytest.fixture(scope="session")
def make_net():
    """Return a function that makes a silent net around `TwoLayers`; keywords go to the net."""

    def make(cls=NeuralNetClassifier, **settings):
        defaults = {
            "module": TwoLayers,
            "criterion": nn.CrossEntropyLoss,
            "lr": 0.1,
            "max_epochs": 5,
            "batch_size": 32,
            "iterator_train__shuffle": True,
            "verbose": 0,
        }
        return cls(**{**defaults, **settings})

    return make


@pytest.fixture(scope="session")
def flowers():
    """Return iris in mixed order and without ties, its labels as strings, a tenth of them wrong."""
    X, y = load_iris(return_X_y=True)
    rng = np.random.default_rng(0)
    order = rng.permutation(150)
    X = X + rng.normal(scale=0.02, size=X.shape)
    codes = y[order]
    codes[::10] = (codes[::10] + 1) % 3
    return X[order].astype(np.float32), np.array(["setosa", "versicolor", "virginica"])[codes]


@pytest.fixture(scope="session")
def flower_record(flowers, make_net):
    return TrainingRecord.from_fit(make_net(max_epochs=20), *flowers, random_state=0)


@pytest.fixture(scope="session")
def flower_embeddings(flowers, flower_record):
    """Return the embeddings of all rows, probe by probe, in float64."""
    X, _ = flowers
    probes = find_probes(flower_record, X)
    found = EmbeddingReader(flower_record).embed(X, probes, batch_size=64)
    return [matrix.double().numpy() for matrix in found]


class Exponential(nn.Module):
    """Overflows for large inputs, and then forgets it."""

    def __init__(self):
        super().__init__()
        self.grow, self.head = nn.Linear(4, 4, bias=False), nn.Linear(4, 3)
        self.grow.weight.data = 1e30 * torch.eye(4)

    def forward(self, x):
        return self.head(self.grow(x).tanh())


@pytest.fixture
def overflowing(record_of, flowers):
    """Return a record of a network of which rows above 1e8 become infinite inside, and rows."""
    X, y = flowers
    return record_of(Exponential(), np.unique(y)), (X - X.mean(axis=0)) * np.float32(1e-30), y
