# SPDX-License-Identifier: BSD-3-Clause
"""Data in files, and the command called as a function."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from sklearn_difficulty.cli.main import main

FRUIT = np.array(["apple", "pear", "plum"])


@pytest.fixture
def command(capsys):
    """Return a function that calls the command: its exit status and what it printed."""

    def call(*argv):
        try:
            status = main([str(arg) for arg in argv])
        except SystemExit as ended:  # of argparse
            status = ended.code
        printed = capsys.readouterr()
        return SimpleNamespace(status=status, out=printed.out, err=printed.err)

    return call


@pytest.fixture
def fruit(tmp_path):
    """Return a table of numbers in a file, of whose labels every twelfth is wrong, and that."""
    rng = np.random.RandomState(0)
    true = np.arange(180) % 3
    is_wrong = np.arange(180) % 12 == 5
    frame = pd.DataFrame(rng.normal(scale=0.3, size=(180, 3)) + np.eye(3)[true] * 2)
    frame.columns = ["width", "height", "weight"]
    frame.insert(0, "name", [f"f{i:03}" for i in range(180)])
    frame["kind"] = FRUIT[np.where(is_wrong, (true + 1) % 3, true)]
    path = tmp_path / "fruit.csv"
    frame.to_csv(path, index=False)
    return SimpleNamespace(path=path, frame=frame, is_wrong=is_wrong, true=FRUIT[true])


@pytest.fixture
def probabilities(fruit, tmp_path):
    """Return a file of held-out probabilities of the fruits, so that nothing is trained."""
    path = tmp_path / "probabilities.npy"
    sure = np.random.RandomState(1).uniform(0.8, 0.95, size=(180, 1))
    is_true = FRUIT == fruit.true[:, None]
    np.save(path, np.where(is_true, sure, (1 - sure) / 2))
    return path
