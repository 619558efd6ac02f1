# SPDX-License-Identifier: BSD-3-Clause
"""What the tests of several rooms share."""

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from torch import nn
from torch.utils.data import Dataset

from sklearn_difficulty import TrainingRecord
from sklearn_difficulty._randomness import isolated_rng


class Tiny(nn.Module):
    """Four inputs, eight hidden units; logits unless another last layer is given."""

    def __init__(self, n_inputs=4, n_outputs=3, dropout=0.0, last=None):
        super().__init__()
        layers = [nn.Linear(n_inputs, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, n_outputs)]
        self.layers = nn.Sequential(*layers, *([] if last is None else [last]))

    def forward(self, x):
        return self.layers(x)


class Ragged(Dataset):
    """Sequences of unequal length, which only `pad` can join."""

    def __len__(self):
        return 24

    def __getitem__(self, index):
        return torch.full((1 + index % 4,), 1.0 + index % 2), index % 2


def pad(items):
    rows = nn.utils.rnn.pad_sequence([torch.as_tensor(x) for x, _ in items], batch_first=True)
    rows = nn.functional.pad(rows, (0, 4 - rows.shape[1]))
    return rows, torch.tensor([y for _, y in items])


@pytest.fixture
def ragged():
    """Return a Dataset of sequences of unequal length, and what joins them."""
    return Ragged(), pad


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def seeded():
    """Give networks that are made by hand the same weights in every run."""
    with isolated_rng(0):
        yield


@pytest.fixture(scope="session")
def record_of():
    """Return a function that makes a record of a network as it is, by default of three classes."""

    def make(module, classes=(0, 1, 2), **settings):
        return TrainingRecord.from_checkpoints(
            module, [module.state_dict()], classes=list(classes), **settings
        )

    return make


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
