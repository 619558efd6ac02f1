# SPDX-License-Identifier: BSD-3-Clause
"""What the tests of several rooms share."""

import os
import shutil

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from skorch import NeuralNetClassifier
from small_nets import Tiny
from torch import nn
from torch.utils.data import Dataset

from sklearn_difficulty import TrainingRecord
from sklearn_difficulty._randomness import isolated_rng

os.environ.setdefault("KERAS_BACKEND", "torch")  # read when a test imports Keras


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


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """Return a driver of Chromium without a window, the same for all tests of a process."""
    selenium = pytest.importorskip("selenium.webdriver")
    paths = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in paths:
        pytest.skip("chromium and chromedriver are not installed")
    options = selenium.ChromeOptions()
    options.binary_location = paths[0]
    for switch in (
        "headless=new",
        "no-sandbox",
        "disable-gpu",
        "disable-quic",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        f"user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):
        options.add_argument(f"--{switch}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = selenium.Chrome(options=options, service=selenium.ChromeService(paths[1]))
    driver.set_page_load_timeout(60)
    driver.set_script_timeout(60)
    yield driver
    driver.quit()
