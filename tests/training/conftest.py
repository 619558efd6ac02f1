# SPDX-License-Identifier: BSD-3-Clause
"""A tiny problem and tiny nets, shared by the tests of training."""

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from torch import nn


class Tiny(nn.Module):
    """Four inputs, eight hidden units; logits unless another last layer is given."""

    def __init__(self, n_inputs=4, n_outputs=3, dropout=0.0, last=None):
        super().__init__()
        layers = [nn.Linear(n_inputs, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, n_outputs)]
        self.layers = nn.Sequential(*layers, *([] if last is None else [last]))

    def forward(self, x):
        return self.layers(x)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def data():
    """Return 48 rows of 4 features and codes of 3 classes that a small net can learn."""
    rng = np.random.default_rng(0)
    y = np.arange(48) % 3
    X = (rng.normal(size=(48, 4)) + 2 * np.eye(3, 4)[y]).astype(np.float32)
    X.flags.writeable = y.flags.writeable = False
    return X, y


@pytest.fixture(scope="session")
def tiny_module():
    return Tiny


@pytest.fixture
def make_net():
    """Return a function that makes a silent net around `Tiny`; keywords go to the net."""

    def make(module=Tiny, cls=NeuralNetClassifier, **settings):
        defaults = {
            "criterion": nn.CrossEntropyLoss,
            "max_epochs": 4,
            "lr": 0.1,
            "batch_size": 16,
            "verbose": 0,
        }
        return cls(module, **{**defaults, **settings})

    return make
