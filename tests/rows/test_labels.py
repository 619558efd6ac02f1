# SPDX-License-Identifier: BSD-3-Clause
"""The same label is recognised whatever its type; labels that cannot be compared are refused."""

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from numpy.testing import assert_array_equal
from scipy import sparse

from sklearn_difficulty._arrays import as_labels
from sklearn_difficulty.rows.labels import (
    classes_of_columns,
    codes_of,
    encode_labels,
    float_targets,
)

INTEGERS, STRINGS = np.array([1, 3, 5]), np.array(["1", "3", "5"])
DAYS = np.array(["2020-01-01", "2020-02-01"], dtype="M8[D]")

# 3 and 1 in every form.
NUMBERS = {
    "list": [3, 1],
    "floats": [3.0, 1.0],
    "half": np.array([3, 1], "f2"),
    "longdouble": np.array([3, 1], np.longdouble),
    "unsigned": np.array([3, 1], "u8"),
    "big-endian": np.array([3, 1], ">i4"),
    "objects": np.array([3, 1], dtype=object),
    "scalars": [np.int8(3), np.float64(1)],
    "mixed numbers": [3.0, True],
    "Series": pd.Series([3, 1], index=[9, 0]),
    "Int64": pd.Series([3, 1], dtype="Int64"),
    "category": pd.Series(pd.Categorical([3, 1], categories=[9, 3, 1])),
    "Index": pd.Index([3, 1]),
    "column": pd.DataFrame({"y": [3, 1]})["y"],
    "polars": pl.Series([3, 1]),
    "range": range(3, 0, -2),
    "generator": lambda: (label for label in [3, 1]),
    "tensor": torch.tensor([3, 1]),
    "gradient": torch.tensor([3.0, 1.0], requires_grad=True),
    "bfloat16": torch.tensor([3.0, 1.0]).bfloat16(),
    "list of tensors": [torch.tensor(3), torch.tensor(1)],
    "nothing masked": np.ma.array([3, 1], mask=False),
}
TEXTS = {
    "list": ["3", "1"],
    "objects": np.array(["3", "1"], dtype=object),
    "numpy": [np.str_("3"), np.str_("1")],
    "variable": np.array(["3", "1"], np.dtypes.StringDType()),
    "str": pd.Series(["3", "1"], index=[4, 4]),
    "string": pd.Series(["3", "1"], dtype="string"),
    "category": pd.Series(["3", "1"], dtype="category"),
    "polars": pl.Series(["3", "1"]),
    "polars category": pl.Series(["3", "1"], dtype=pl.Categorical),
    "polars enum": pl.Series(["3", "1"], dtype=pl.Enum(["3", "1"])),
}


def given(y):
    return y() if callable(y) else y


@pytest.mark.parametrize("y", NUMBERS.values(), ids=NUMBERS)
def test_numbers_of_any_type_are_the_same_label(y):
    for dtype in ("i8", "f4", ">i2", "u1", object):
        assert codes_of(given(y), INTEGERS.astype(dtype)).tolist() == [1, 0]
    classes, codes = encode_labels(given(y))
    assert classes.tolist() == [1, 3]
    assert codes.tolist() == [1, 0]
    assert classes_of_columns(given(y), 2).tolist() == [1, 3]
    with pytest.raises(ValueError, match=r"y holds \w+s, such as 3.*, .* on strings: \['1'"):
        codes_of(given(y), STRINGS)


@pytest.mark.parametrize("y", TEXTS.values(), ids=TEXTS)
def test_strings_of_any_type_are_the_same_label(y):
    for dtype in (STRINGS.dtype, object, "U40"):
        assert codes_of(y, STRINGS.astype(dtype)).tolist() == [1, 0]
    assert encode_labels(y)[1].tolist() == [1, 0]
    for classes in (INTEGERS, INTEGERS * 1.0, np.array([False, True])):
        with pytest.raises(ValueError, match=r"y holds strings, such as '3', .* trained on"):
            codes_of(y, classes)


def test_booleans_are_the_numbers_0_and_1():
    assert codes_of([True, True], INTEGERS).tolist() == [0, 0]
    assert codes_of([0, 1.0, True], np.array([False, True])).tolist() == [0, 1, 1]
    assert codes_of(pd.Series([True, False], dtype="boolean"), [False, True]).tolist() == [1, 0]


def test_numbers_are_never_rounded_to_another_label():
    large = np.array([2**53, 2**53 + 2])
    assert codes_of(large.astype(float), large).tolist() == [0, 1]
    for y in ([2**53 + 1], np.array([2**63 + 1], "u8"), [0.5]):
        with pytest.raises(ValueError, match="not trained on"):
            codes_of(y, large)


def test_days_in_other_units_are_the_same_label():
    assert codes_of(DAYS.astype("M8[ns]")[::-1], DAYS).tolist() == [1, 0]
    assert codes_of(pd.Series(DAYS), DAYS).tolist() == [0, 1]
    with pytest.raises(ValueError, match=r"not trained on: \['2020-01-01T05'\]"):
        codes_of(DAYS[:1] + np.timedelta64(5, "h"), DAYS)
    with pytest.raises(ValueError, match=r"holds integers, .* trained on dates: \['2020-01-01', "):
        codes_of([3], DAYS)


def test_rows_of_unknown_labels_are_listed():
    with pytest.raises(ValueError, match=r"on: \[4, 6\]. It knows \[1, 3, 5\].*rows are \[1, 3\]"):
        codes_of([1, 4, 3, 6], INTEGERS)
    many = np.arange(1000)
    with pytest.raises(ValueError, match=r"not trained on: \[2000\]. It knows \[0, 1, 2, 3, 4\]\."):
        codes_of([2000], many)


MISSING = {
    "None": [None, 3],
    "NaN": [float("nan"), "a"],
    "NA": [pd.NA, 1],
    "NaT": np.array(["NaT", "2020-01-01"], dtype="M8[D]"),
    "object NaT": [pd.NaT, 1],
    "string": pd.Series([None, "a"], dtype="string"),
    "str": pd.Series([None, "a"], dtype="str"),
    "category": pd.Series([None, "a"], dtype="category"),
    "boolean": pd.Series([None, True], dtype="boolean"),
    "object": np.array([np.nan, "a"], dtype=object),
    "polars": pl.Series([None, "a"]),
    "polars category": pl.Series([None, "a"], dtype=pl.Categorical),
    "masked": np.ma.array([1, 2], mask=[True, False]),
    "masked strings": np.ma.array(["a", "b"], mask=[True, False]),
    "float NaN": [np.nan, 1.0],
    "Int64": pd.Series([None, 1], dtype="Int64"),
    "inf": [np.inf, 1.0],
    "tensor": torch.tensor([torch.nan, 1.0]),
}


@pytest.mark.parametrize("y", MISSING.values(), ids=MISSING)
def test_rows_without_a_label_are_listed(y):
    message = r"Input y contains (no label|NaN or inf).* in 1 row\(s\), first \[0\]"
    for function in (encode_labels, lambda y: codes_of(y, STRINGS), as_labels):
        with pytest.raises(ValueError, match=message):
            function(y)


REFUSED = {
    "mixed list": (["a", 1], "mixes strings and other labels.*row 0 holds 'a', row 1 holds 1"),
    "mixed objects": (np.array([1, "a"], dtype=object), "mixes strings .*row 1 holds 'a'"),
    "string and bool": (["a", True], "mixes strings"),
    "bytes": ([b"a", b"b"], r"holds bytes.*y.astype\(str\)"),
    "S": (np.array([b"a", b"b"]), "holds bytes"),
    "complex": ([1j, 2], "holds complex numbers"),
    "timedelta": (np.array([1, 2], "m8[s]"), "time differences"),
    "record": (np.zeros(2, "i4,i4"), "records"),
    "date": ([datetime.date(2020, 1, 1)], r"type date.*y.astype\(str\)"),
    "Timestamp": ([pd.Timestamp("2020"), pd.Timestamp("2021")], "type Timestamp"),
    "zone": (pd.Series(pd.to_datetime(["2020"], utc=True)), "type Timestamp"),
    "period": (pd.Series(pd.period_range("2020", periods=2)), "type Period"),
    "objects": ([object(), object()], "type object"),
    "huge": ([2**70, 1], "type int"),
    "one-hot": (np.eye(3), r"1d array, got an array of shape \(3, 3\).*y.argmax\(axis=1\)"),
    "tuples": ([(1, 2), (3, 4)], "1d array"),
    "ragged": ([[1], [1, 2]], "ragged"),
    "number": (3, "1d array"),
    "text": ("abc", "1d array"),
    "sparse": (sparse.csr_array([[1]]), "sparse"),
    "set": ({1, 2}, "not a set"),
    "dict": ({"a": 1}, "not a dict"),
}


@pytest.mark.parametrize(("y", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_a_label_is_refused(y, message):
    for function in (encode_labels, lambda y: codes_of(y, INTEGERS)):
        with pytest.raises((TypeError, ValueError), match=message):
            function(y)


def test_regression_targets_that_are_no_numbers_are_refused():
    for y, message in (
        (DAYS, "holds dates"),
        (np.array([1e300, 1]), r"beyond float32 in 1 row\(s\), first \[0\]"),
        (np.ma.array([1.0, 2], mask=[0, 1]), r"masked entries in 1 row\(s\), first \[1\]"),
    ):
        with pytest.raises(ValueError, match=message):
            float_targets(y)
    assert_array_equal(float_targets(pd.Series([1, 2], index=[5, 5])), [1, 2])


@pytest.mark.parametrize(
    "y",
    [np.arange(2700, 6300, 40), np.arange(90) * 7.0, np.linspace(0, 1, 30)],
    ids=["whole numbers", "whole floats", "floats"],
)
def test_measurements_are_no_labels(y):
    message = "numbers.*NeuralNetRegressor, such as default_network.*TargetErrorScorer"
    with pytest.raises(ValueError, match=message):
        encode_labels(y)
    assert len(encode_labels(y.astype(str))[0]) == len(y)


@pytest.mark.parametrize(
    "y",
    [
        np.arange(90),
        np.arange(1, 91).astype(float),
        np.arange(10) * 7,
        np.tile(np.arange(30) * 7, 5),
    ],
    ids=["positions", "counted from 1", "few", "repeating"],
)
def test_numbers_that_may_be_names_of_classes(y):
    assert len(encode_labels(y)[0]) == len(np.unique(y))
