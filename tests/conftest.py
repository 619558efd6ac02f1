# SPDX-License-Identifier: BSD-3-Clause
"""What the tests of several rooms share."""

import pytest
import torch

from sklearn_difficulty import TrainingRecord
from sklearn_difficulty.training.randomness import isolated_rng


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
