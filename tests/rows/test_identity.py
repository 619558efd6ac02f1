# SPDX-License-Identifier: BSD-3-Clause
"""Rows are recognised, and differences are named."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import TensorDataset

from sklearn_difficulty.rows import identity as fingerprint_module
from sklearn_difficulty.rows.rows import as_rows

X = np.arange(12, dtype=np.float64).reshape(4, 3) / 8  # exact in float32
Y = np.array([0, 1, 1, 0])


@pytest.mark.parametrize(
    "rows",
    [X.astype("float32"), np.asfortranarray(X), pd.DataFrame(X), torch.tensor(X), X.tolist()],
    ids=["float32", "fortran", "frame", "tensor", "list"],
)
def test_same_rows_have_the_same_fingerprint(rows):
    assert as_rows(rows).identity(Y) == as_rows(X).identity(Y.astype("int32"))


@pytest.mark.parametrize(
    ("rows", "targets", "difference"),
    [
        (X[:3], Y[:3], "3 rows instead of 4"),
        (X + 1e-3, Y, "another X"),
        (X[::-1], Y[::-1], "another X"),
        (X.reshape(4, 3, 1), Y, "another X"),
        ({"x": X}, Y, "another X"),
        (X, 1 - Y, "other labels"),
        (X, Y.astype(float) + 0.5, "other labels"),
        (X.astype("float32"), Y, None),
    ],
)
def test_difference_is_named(rows, targets, difference):
    assert as_rows(X).identity(Y).difference(as_rows(rows).identity(targets)) == difference


def test_dict_order_does_not_matter_but_names_do():
    rows = {"a": X, "b": 2 * X}
    first = as_rows(rows).identity(Y)
    assert first == as_rows(dict(reversed(rows.items()))).identity(Y)
    assert first != as_rows({"b": X, "a": 2 * X}).identity(Y)


class Counting(TensorDataset):
    """Counts the items that are read."""

    n_read = 0

    def __getitem__(self, index):
        self.n_read += 1
        return super().__getitem__(index)


def test_a_few_items_of_a_dataset_are_read():
    long = torch.arange(1000.0)[:, None]
    dataset = Counting(long)
    ours = as_rows(dataset).identity(np.zeros(1000, int))
    assert dataset.n_read <= 16
    for other, difference in ((long.double(), None), (long + 1, "another X"), (-long, "another X")):
        theirs = as_rows(TensorDataset(other)).identity(np.zeros(1000, int))
        assert ours.difference(theirs) == difference
    # One is seen through its items, the other as a whole: nothing can be said about X.
    as_array = as_rows(long.numpy() + 1).identity(np.zeros(1000, int))
    assert ours.difference(as_array) is None


@pytest.mark.parametrize("draw", [torch.rand, lambda n: np.random.rand(n)])
def test_random_items_have_no_fingerprint(draw):
    class Augmented(TensorDataset):
        def __getitem__(self, index):
            return super().__getitem__(index)[0] + torch.as_tensor(draw(3))

    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    ours = as_rows(Augmented(torch.tensor(X))).identity(Y)
    assert ours.X == ""
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]
    assert ours.difference(as_rows(TensorDataset(torch.tensor(X))).identity(Y)) is None
    assert ours.difference(as_rows(X).identity(1 - Y)) == "other labels"


def test_items_that_are_no_numbers_have_no_fingerprint():
    class Words(TensorDataset):
        def __getitem__(self, index):
            return "a word", 0

    assert as_rows(Words(torch.zeros(4, 2))).identity(Y).X == ""


def test_large_arrays_are_sampled_evenly(monkeypatch):

    monkeypatch.setattr(fingerprint_module, "_HASHED_BYTES", 2 * X[0].size * 4)  # every second row
    changed = X.copy()
    changed[1] += 1
    assert as_rows(X).identity(Y).X == as_rows(changed).identity(Y).X
    changed[2] += 1
    assert as_rows(X).identity(Y).X != as_rows(changed).identity(Y).X
