# SPDX-License-Identifier: BSD-3-Clause
"""Rows of every kind: checked, and cut into blocks."""

import re
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from numpy.testing import assert_array_equal
from scipy import sparse
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset

from sklearn_difficulty._arrays import to_numpy
from sklearn_difficulty.rows.checked import nonfinite_rows
from sklearn_difficulty.rows.inputs import cast_floats, take_rows
from sklearn_difficulty.rows.labels import (
    codes_of,
    encode_labels,
    float_targets,
)
from sklearn_difficulty.rows.rows import LabelledDataset, as_rows

X = np.arange(12, dtype=np.float64).reshape(4, 3) / 8  # exact in float32
Y = np.array([0, 1, 1, 0])
CPU = {"dtype": torch.float32, "device": torch.device("cpu")}


class Stream(IterableDataset):
    def __iter__(self):
        return iter([(torch.zeros(2), 0)])


@pytest.mark.parametrize(
    "rows",
    [X, X.astype("float32"), torch.tensor(X), pd.DataFrame(X), X.tolist(), {"a": X, "b": Y}],
    ids=["float64", "float32", "tensor", "frame", "list", "dict"],
)
def test_every_kind_becomes_arrays(rows):
    checked = as_rows(rows)
    assert len(checked) == 4
    assert as_rows(checked) is checked
    assert_array_equal(checked.data["a"] if isinstance(rows, dict) else checked.data, X)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.int8])
def test_tensors_of_any_dtype_become_arrays(dtype):
    tensor = torch.tensor(8 * X).to(dtype)
    for rows in (tensor, tensor.to(torch.float32).requires_grad_()):
        assert_array_equal(as_rows(rows).data, 8 * X)
    assert_array_equal(as_rows({"x": tensor}).data["x"], 8 * X)


@pytest.mark.parametrize("array", [X, X.astype(int), np.zeros((4, 1, 2, 2), "u1")])
def test_arrays_are_not_copied(array):
    assert np.shares_memory(as_rows(array).data, array)


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        (Stream(), TypeError, "IterableDataset.*no index"),
        (TensorDataset(torch.zeros(0, 2)), ValueError, "without rows"),
        ({}, ValueError, "empty mapping"),
        ({"a": X, "b": X[:2]}, ValueError, "inconsistent numbers of samples"),
        (X[0], ValueError, "Expected 2D array"),
        ({"a": sparse.csr_array(X)}, TypeError, "[Ss]parse"),
        (np.array([["a"]]), ValueError, "could not convert|not compatible|numeric"),
    ],
)
def test_bad_rows(rows, error, message):
    with pytest.raises(error, match=message):
        as_rows(rows)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["X", "X['a']"])
def test_nonfinite_rows_are_listed(name, value):
    rows = np.ones((9, 2, 2))
    rows[[1, 2, 3, 4, 6, 8], 1, 0] = value
    message = re.escape(f"{name} contains NaN or inf in 6 row(s), first [1, 2, 3, 4, 6].")
    with pytest.raises(ValueError, match=message), warnings.catch_warnings(action="error"):
        as_rows(rows if name == "X" else {"a": rows})


def test_opposite_infinities_and_huge_numbers_are_told_apart():
    rows = np.full((3, 2), 1e308)
    with warnings.catch_warnings(action="error"):
        assert len(nonfinite_rows(rows)) == 0
        rows[1] = [np.inf, -np.inf]
        assert nonfinite_rows(rows).tolist() == [1]


def test_nonfinite_rows_beyond_the_first_block():
    rows = np.ones((3, 2**22), dtype=np.float32)  # one row fills a block
    rows[2, 7] = np.nan
    assert nonfinite_rows(rows).tolist() == [2]


@pytest.mark.parametrize("batch_size", [1, 3, 4, 100])
@pytest.mark.parametrize("kind", ["array", "dict", "dataset", "pairs"])
def test_blocks_hold_every_row_once_and_in_order(kind, batch_size):
    tensor = torch.tensor(X)
    rows = {
        "array": X,
        "dict": {"x": X},
        "dataset": TensorDataset(tensor),
        "pairs": TensorDataset(tensor, torch.tensor(Y)),
    }[kind]
    seen = np.full_like(X, np.nan, dtype=np.float32)
    for part, inputs in as_rows(rows).blocks(batch_size, **CPU):
        values = inputs["x"] if kind == "dict" else inputs
        assert values.dtype == torch.float32
        seen[part] = values.numpy()
    assert_array_equal(seen, X.astype(np.float32))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_floats_and_bools_are_cast_and_integers_are_not(dtype):
    rows = {"x": X, "flag": Y == 1, "token": Y}
    _, inputs = next(as_rows(rows).blocks(4, dtype=dtype, device=torch.device("cpu")))
    assert [inputs[name].dtype for name in rows] == [dtype, dtype, torch.int64]
    tensors = {name: torch.tensor(value) for name, value in rows.items()}
    cast = cast_floats(tensors, dtype)
    assert [cast[name].dtype for name in rows] == [dtype, dtype, torch.int64]


def test_read_only_memory_is_read_without_a_warning(tmp_path):
    np.save(tmp_path / "x.npy", X.astype(np.float32))
    rows = as_rows(np.load(tmp_path / "x.npy", mmap_mode="r"))
    with warnings.catch_warnings(action="error"):
        (_, inputs), *_ = rows.blocks(4, **CPU)
    assert_array_equal(inputs, X.astype(np.float32))


def test_reading_a_dataset_leaves_the_global_generator():
    dataset = TensorDataset(torch.tensor(X), torch.tensor(Y))
    before = torch.get_rng_state()
    assert_array_equal(as_rows(dataset).labels(), Y)
    list(as_rows(dataset).blocks(2, **CPU))
    assert torch.equal(torch.get_rng_state(), before)


def test_labels_of_datasets():
    dataset = TensorDataset(torch.tensor(X), torch.tensor(Y))
    assert_array_equal(as_rows(Subset(dataset, [3, 1])).labels(), [0, 1])
    named = LabelledDataset(dataset, np.array(["a", "b", "b", "a"]))
    assert as_rows(named).labels().tolist() == ["a", "b", "b", "a"]
    with pytest.raises(ValueError, match=r"does not yield \(X, y\) pairs.*pass y"):
        as_rows(TensorDataset(torch.tensor(X))).labels()


def test_labels_are_those_given_or_those_of_the_dataset():
    dataset = TensorDataset(torch.tensor(X), torch.tensor(Y))
    assert as_rows(X).given_labels("abba") == "abba"
    assert as_rows(dataset).given_labels("abba") == "abba"
    assert_array_equal(as_rows(dataset).given_labels(None), Y)
    for rows in (X, {"x": X}):
        with pytest.raises(ValueError, match="requires y to be passed"):
            as_rows(rows).given_labels(None)
    with pytest.raises(ValueError, match="4 rows and 3 labels"):
        as_rows(dataset).given_labels("abb")


def test_rows_are_taken_of_every_kind():
    dataset = TensorDataset(torch.tensor(X), torch.tensor(Y))
    for index in (slice(1, 3), [1, 2], np.array([False, True, True, False])):
        assert_array_equal(as_rows(X).take(index).data, X[1:3])
        assert_array_equal(as_rows({"x": X}).take(index).data["x"], X[1:3])
        assert_array_equal(take_rows({"x": torch.tensor(X)}, index)["x"], X[1:3])
        assert_array_equal(as_rows(dataset).take(index).labels(), Y[1:3])
    assert to_numpy([1]) == [1]


def test_what_rows_say_of_themselves():
    array, named = as_rows(X), as_rows({"x": X, "y": Y})
    dataset = as_rows(TensorDataset(torch.tensor(X), torch.tensor(Y)))
    assert [rows.row_shape for rows in (array, named, dataset)] == [
        (3,),
        {"x": (3,), "y": ()},
        None,
    ]
    assert [rows.nbytes for rows in (array, named, dataset)] == [X.nbytes, X.nbytes + Y.nbytes, 0]
    assert array.with_targets(Y) is X
    assert dataset.with_targets(Y + 5)[1][1] == 6


@pytest.mark.parametrize("n_columns", [1, 2])
def test_labelled_dataset_replaces_labels(n_columns):
    dataset = TensorDataset(*[torch.tensor(X), torch.tensor(Y)][:n_columns])
    labelled = LabelledDataset(dataset, Y + 5)
    assert len(labelled) == 4
    assert_array_equal(labelled[1][0], X[1])
    assert labelled[1][1] == 6


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        ([3, 7, 3], [3, 7]),
        (["b", "a", "b"], ["a", "b"]),
        ([True, False, True], [False, True]),
        ([2.0, 1.0, 2.0], [1.0, 2.0]),
        (torch.tensor([1, 0, 1]), [0, 1]),
        (pd.Series(["x", "w", "x"]), ["w", "x"]),
        (np.array(["x", "w", "x"], dtype=object), ["w", "x"]),
    ],
)
def test_labels_of_any_type_become_codes(y, classes):
    found, codes = encode_labels(y)
    assert found.tolist() == classes
    assert_array_equal(found[codes], np.asarray(y))
    assert codes.dtype == np.int64
    assert_array_equal(codes_of(y, found), codes)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([1, 1], "at least two classes.*one class, .*1"),
        ([0.5, 1.5, 2.5], "Unknown label type"),
        ([0.0, np.nan, 1.0], r"y contains NaN or inf in 1 row\(s\), first \[1\]"),
        ([[0, 1], [1, 0]], "y should be a 1d array"),
    ],
)
def test_bad_labels(y, message):
    with pytest.raises(ValueError, match=message):
        encode_labels(y)


@pytest.mark.parametrize("names", [["coat", "bag", "shirt"], [7, 3, 5], [0.5, 2.0, -1.0]])
def test_classes_in_any_order_give_their_own_positions(names):
    positions = np.array([2, 0, 1, 1, 2])
    assert_array_equal(codes_of(np.array(names)[positions], np.array(names)), positions)


def test_unknown_labels_are_named():
    with pytest.raises(ValueError, match=r"not trained on: \['c'\]. It knows \['a', 'b'\]"):
        codes_of(["a", "c"], np.array(["a", "b"]))


def test_regression_targets():
    assert float_targets([1, 2]).dtype == np.float32
    assert float_targets(torch.ones(2, 3)).shape == (2, 3)
    assert float_targets(torch.ones(2, requires_grad=True)).dtype == np.float32
    assert_array_equal(float_targets(torch.ones(2, dtype=torch.bfloat16)), [1, 1])
    with pytest.raises(ValueError, match="y contains NaN"):
        float_targets([1.0, np.nan])


def test_a_data_loader_is_not_a_dataset():
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(3, 2)))
    with pytest.raises(TypeError, match="pass its dataset"):
        as_rows(loader)


class Labelled(Dataset):
    def __init__(self, labels):
        self.labels = labels

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return torch.zeros(2), self.labels[index]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, None, 0], r"Input y of the Dataset contains no label .* first \[2\]"),
        (["a", "b", None, "a"], r"contains no label .* first \[2\]"),
        ([0, 1, "b", 0], "y of the Dataset mixes strings and other labels"),
    ],
)
def test_labels_of_a_dataset_that_cannot_be_joined(labels, message):
    with pytest.raises(ValueError, match=message):
        as_rows(Labelled(labels)).labels()


def test_frames_that_are_not_there_yet():
    with pytest.raises(TypeError, match=r"X is a LazyFrame.*pass X\.collect\(\)"):
        as_rows(pl.DataFrame(X).lazy())


class Exhausted(Labelled):
    def __getitem__(self, index):
        return next(iter([])) if index == 3 else super().__getitem__(index)


def test_item_that_ends_an_iterator_does_not_end_the_epoch():
    rows = as_rows(Exhausted([0, 1, 1, 0]))
    with pytest.raises(RuntimeError, match="Item 3 of the Exhausted raised a StopIteration"):
        rows.labels()
    relabelled = rows.with_targets(np.arange(4))
    with pytest.raises(RuntimeError, match="Item 3 of the Exhausted"):
        relabelled[3]
