# SPDX-License-Identifier: BSD-3-Clause
"""Columns of DataFrames of pandas and polars: what they hold, and the numbers made of them."""

import datetime
import decimal
import json
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_difficulty.rows.columns import Columns, needs_encoding
from sklearn_difficulty.rows.rows import ArrayRows, FrameRows, as_rows

DAY = datetime.date(2024, 2, 29)
NOON = datetime.datetime(2024, 2, 29, 12)
IN_ZONE = NOON.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=2)))
WORDS = ["b", "a", "b", "a"]
NUMBERS = [1.5, 2.0, 2.5, 1.5]

# Of every kind of column the kind that it is read as; 4 values, of which the second may be missing.
OF_PANDAS = {
    "float": (pd.Series(NUMBERS), "number"),
    "int": (pd.Series([1, 2, 3, 1]), "number"),
    "bool": (pd.Series([True, False, True, True]), "number"),
    "float with NaN": (pd.Series([1.5, np.nan, 2.5, 1.5]), "number"),
    "nullable": (pd.Series([1, None, 3, 1], dtype="Int64"), "number"),
    "nullable bool": (pd.Series([True, None, False, True], dtype="boolean"), "number"),
    "objects that are numbers": (pd.Series([1, None, 2.5, True], dtype=object), "number"),
    "texts that are numbers": (pd.Series(["1", None, "2.5", "1"]), "number"),
    "decimals": (pd.Series([decimal.Decimal("1.5"), None] * 2, dtype=object), "number"),
    "time differences": (pd.Series(pd.to_timedelta([1, None, 2, 1], unit="h")), "number"),
    "nothing": (pd.Series([None] * 4, dtype=object), "number"),
    "category": (pd.Series(WORDS, dtype="category"), "category"),
    "category of numbers": (pd.Series([3, 1, 3, 1], dtype="category"), "category"),
    "strings": (pd.Series(["b", None, "b", "a"]), "category"),
    "objects": (pd.Series(["b", pd.NA, "b", 1], dtype=object), "category"),
    "texts": (pd.Series(["Ann", "Bob", "Cy", "Di"]), "text"),
    "dates": (pd.Series(pd.to_datetime([NOON, None, NOON, NOON])), "date"),
    "dates in a zone": (pd.Series(pd.to_datetime([IN_ZONE, None, IN_ZONE, IN_ZONE])), "date"),
    "days": (pd.Series([DAY, None, DAY, DAY], dtype=object), "date"),
    "texts of dates": (pd.Series(["2024-02-29", None, "2024-03-01", "2024-02-29 12:30"]), "date"),
    "texts of no dates": (pd.Series(["2024-02-30", None] * 2), "category"),
    "periods": (pd.Series(pd.PeriodIndex(["2024-02"] * 4, freq="M")), "date"),
}
OF_POLARS = {
    "float": (pl.Series(NUMBERS), "number"),
    "float with null": (pl.Series([1.5, None, 2.5, 1.5]), "number"),
    "int with null": (pl.Series([1, None, 2, 1]), "number"),
    "bool with null": (pl.Series([True, None, False, True]), "number"),
    "duration": (pl.Series([datetime.timedelta(hours=1), None] * 2), "number"),
    "time": (pl.Series([datetime.time(6), None] * 2), "number"),
    "nothing": (pl.Series([None] * 4), "number"),
    "category": (pl.Series(WORDS, dtype=pl.Categorical), "category"),
    "enum": (pl.Series(WORDS, dtype=pl.Enum(["b", "a"])), "category"),
    "strings": (pl.Series(["b", None, "b", "a"]), "category"),
    "texts": (pl.Series(["Ann", "Bob", "Cy", "Di"]), "text"),
    "dates": (pl.Series([DAY, None, DAY, DAY]), "date"),
    "times": (pl.Series([NOON, None, NOON, NOON]), "date"),
    "times in a zone": (pl.Series([IN_ZONE, None] * 2, dtype=pl.Datetime("us", "CET")), "date"),
}
CASES = [
    pytest.param(frame({"x": column, "other": WORDS}), kind, id=f"{name} of {frame.__module__[:6]}")
    for frame, columns in ((pd.DataFrame, OF_PANDAS), (pl.DataFrame, OF_POLARS))
    for name, (column, kind) in columns.items()
]


@pytest.mark.parametrize(("frame", "kind"), CASES)
def test_what_a_column_holds(frame, kind):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="1 column.* texts that hardly repeat")
        columns = Columns.of(frame)
    assert columns.columns[0].kind == kind
    rows = columns.matrix(frame)
    assert rows.dtype == np.float32
    assert rows.shape == (4, columns.width)
    assert np.isfinite(rows).all()
    assert Columns.from_json(json.loads(json.dumps(columns.to_json()))) == columns


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_the_numbers_of_rows(make):
    frame = make(
        {
            "when": [NOON, NOON - datetime.timedelta(days=0.25)],
            "size": [2.5, None],
            "colour": ["red", None],
            "flag": [True, False],
        }
    )
    columns = Columns.of(frame)
    # The size, which tells what is missing, comes first.
    size, days, *angles, flag = columns.matrix(frame)[:, : columns.n_values].T
    assert_allclose(size, [2.5, 0])
    assert_allclose(days, [19782.5, 19782.25])
    assert_allclose(flag, [1, 0])
    year, week = (2 * np.pi * 19782.5 / period for period in (365.2425, 7))
    at_noon = [np.sin(year), np.cos(year), np.sin(week), np.cos(week), 0, -1]
    assert_allclose([angle[0] for angle in angles], at_noon, atol=1e-5)
    assert_allclose([angle[1] for angle in angles[4:]], [1, 0], atol=1e-5)
    missing = columns.matrix(frame)[:, columns.n_values : 2 * columns.n_values]
    assert_array_equal(missing[:, 0], [0, 1])
    assert not missing[:, 1:].any()
    assert_array_equal(columns.matrix(frame)[:, -1], [0, 1])  # "red", and missing


def test_categories_that_were_not_there():
    columns = Columns.of(pd.DataFrame({"x": ["a", "b", "a", "b"], "y": ["c", None, "c", "c"]}))
    codes = columns.matrix(pd.DataFrame({"x": ["z", "b", None], "y": [None, "z", "c"]}))
    assert_array_equal(codes, [[-1, 1], [1, -1], [-1, 0]])


def test_a_whole_number_is_one_category_with_and_without_missing_ones():
    columns = Columns.of(pd.DataFrame({"x": pd.Categorical([1, 2, 1, 2])}))
    codes = columns.matrix(pd.DataFrame({"x": pd.Categorical([2, None, 1])}))
    assert_array_equal(codes, [[1], [-1], [0]])


def test_the_most_frequent_categories_are_told_apart():
    values = [f"c{k:03}" for k in range(120) for _ in range(121 - k)]
    [column] = Columns.of(pd.DataFrame({"x": values})).columns
    assert column.categories == tuple(f"c{k:03}" for k in range(100))


def test_times_of_different_zones_are_the_same():
    columns = Columns.of(pd.DataFrame({"x": pd.to_datetime([NOON, None])}))
    there = columns.matrix(pd.DataFrame({"x": pd.to_datetime([IN_ZONE])}))
    utc = columns.matrix(pd.DataFrame({"x": [NOON - datetime.timedelta(hours=2)]}))
    assert_array_equal(there, utc)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"a": NUMBERS, "b": [True, False] * 2}),
        pd.DataFrame({"a": pd.array([1, 2], dtype="Int64"), "b": ["1.5", "2"]}),
        pl.DataFrame({"a": NUMBERS}),
    ],
    ids=["numbers", "nullable", "polars"],
)
def test_numbers_stay_an_array(frame):
    assert not needs_encoding(frame)
    rows = as_rows(frame, columns="any")
    assert type(rows) is ArrayRows
    assert_array_equal(rows.data, as_rows(frame).data)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1], [2]], "'x' of X holds a list in row 0"),
        ([1j, 2j], "'x' of X holds complex numbers"),
        ([np.inf, None], r"X contains inf, .* in 1 row\(s\), first \[0\], in the column 'x'"),
        ([1e39, None], "in the column 'x'"),
        (["Ann", "Bob", "Cy"], "X has no column to learn from.*'x'.*TfidfVectorizer"),
    ],
    ids=["lists", "complex", "infinite", "large", "texts alone"],
)
def test_what_no_column_may_hold(values, message):
    with pytest.raises(ValueError, match=message):
        as_rows(pd.DataFrame({"x": values}), columns="any")


@pytest.mark.parametrize("dtype", [pl.Array(pl.Int64, 2), pl.Struct({"a": pl.Int64})], ids=str)
def test_columns_of_several_numbers_a_row_are_named(dtype):
    values = [[1, 2]] * 4 if dtype == pl.Array else [{"a": 1}] * 4
    frame = pl.DataFrame({"word": WORDS, "x": pl.Series(values, dtype=dtype)})
    with pytest.raises(ValueError, match="'x' of X holds several values a row"):
        as_rows(frame, columns="any")


def test_texts_that_hardly_repeat_are_left_out_with_a_warning():
    frame = pd.DataFrame({"name": ["Ann", "Bob", "Cy", "Di"], "x": NUMBERS})
    with pytest.warns(UserWarning, match=r"1 column\(s\) of X.*\['name'\].*TfidfVectorizer"):
        columns = Columns.of(frame)
    assert columns.width == 2


@pytest.mark.parametrize(
    ("frame", "error", "message"),
    [
        (pd.DataFrame({"x": [1.0], "z": ["a"]}), ValueError, "'z' in place of 'y'"),
        (pd.DataFrame({"x": [1.0]}), ValueError, "'1 columns' in place of '2 columns'"),
        (pd.DataFrame({"x": ["u"], "y": ["a"]}), ValueError, "'x' of X held numbers .* 'u' in row"),
        (np.zeros((1, 2)), TypeError, r"the columns \['x', 'y'\], and X is a ndarray"),
    ],
    ids=["other name", "too few", "texts for numbers", "array"],
)
def test_rows_of_another_kind_than_those_of_the_fit(frame, error, message):
    columns = Columns.of(pd.DataFrame({"x": NUMBERS, "y": WORDS}))
    with pytest.raises(error, match=message):
        as_rows(frame, columns=columns)


def test_a_part_of_the_rows_keeps_its_columns():
    rows = as_rows(pd.DataFrame({"x": NUMBERS, "y": WORDS}), columns="any")
    part = rows.take(slice(2))
    assert isinstance(part, FrameRows)
    assert part.columns is rows.columns
    assert_array_equal(part.data, rows.data[:2])


@pytest.mark.parametrize(
    "fields", [{}, [1], [{"name": "x"}], [{"name": "x", "kind": "?", "categories": []}]]
)
def test_fields_that_describe_no_columns(fields):
    with pytest.raises(ValueError, match="describes no column"):
        Columns.from_json(fields)


def test_dates_and_numbers_in_other_writing_are_read_once_converted():
    frame = pd.DataFrame(
        {
            "when": [f"{1 + i}/30/1990 0:00:00" for i in range(2, 8)],
            "price": [f"{1000 + i:,}" for i in range(6)],
        }
    )
    with pytest.raises(
        ValueError, match=r"\['when', 'price'\].* pandas.to_datetime, pandas.to_num"
    ):
        Columns.of(frame)
    frame["when"] = pd.to_datetime(frame["when"])
    frame["price"] = pd.to_numeric(frame["price"].str.replace(",", ""))
    assert [column.kind for column in Columns.of(frame).columns] == ["date", "number"]
