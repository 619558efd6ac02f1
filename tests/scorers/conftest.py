# SPDX-License-Identifier: BSD-3-Clause
"""A small problem and small nets for the scorers that probe layers."""

import numpy as np
import pytest
import torch
from small_nets import make_net
from torch import nn

from sklearn_difficulty import TrainingRecord
from sklearn_difficulty.estimator_checks._material import forward_passes
from sklearn_difficulty.inference.embeddings import EmbeddingReader
from sklearn_difficulty.inference.probes import find_probes
from sklearn_difficulty.rows.rows import as_rows


@pytest.fixture(scope="session")
def flower_record(flowers):
    return TrainingRecord.from_fit(make_net(max_epochs=20), *flowers, random_state=0)


@pytest.fixture(scope="session")
def flower_embeddings(flowers, flower_record):
    """Return the embeddings of all rows, probe by probe, in float64."""
    X, _ = flowers
    probes = find_probes(flower_record, as_rows(X))
    found = EmbeddingReader(flower_record).embed(as_rows(X), probes, batch_size=64)
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


@pytest.fixture
def passes():
    """Note of every forward pass of a network whether it is being trained."""
    with forward_passes() as seen:
        yield seen
