# SPDX-License-Identifier: BSD-3-Clause
"""Rows that NumPy, pandas or polars call numbers: torch takes them, or they are refused by name."""

import re
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import sparse

from sklearn_difficulty.rows.rows import as_rows

N = 6
A = np.arange(3.0 * N).reshape(N, 3)
I = A.astype("i8")  # noqa: E741 (the integers beside the array A)
CPU = {"dtype": torch.float32, "device": torch.device("cpu")}


def objects(value):
    array = A.astype(object)
    array[3, 1] = value
    return array


def frame(column, library=pd):
    return library.DataFrame({"a": A[:, 0], "b": column})


TAKEN = {
    "big-endian floats": A.astype(">f4"),
    "big-endian integers": A.astype(">i4"),
    "big-endian unsigned": A.astype(">u2"),
    "longdouble": A.astype(np.longdouble),
    "half": A.astype("f2"),
    "uint8": A.astype("u1"),
    "uint16": A.astype("u2"),
    "uint32": A.astype("u4"),
    "uint64": A.astype("u8"),
    "objects": A.astype(object),
    "decimals": np.array([[Decimal(int(v)) for v in row] for row in A], dtype=object),
    "nothing masked": np.ma.array(A),
    "reversed": A[::-1][::-1],
    "broadcast": np.broadcast_to(A[:1], (N, 3)),
    "tuple": tuple(map(tuple, A.tolist())),
    "arrays": list(A),
    "tensors": list(torch.tensor(A)),
    "generator": (row for row in A.tolist()),
    "gradient": torch.tensor(A, requires_grad=True),
    "parameter": torch.nn.Parameter(torch.tensor(A)),
    "bfloat16": torch.tensor(A).bfloat16(),
    "quantized": torch.quantize_per_tensor(torch.tensor(A).float(), 1.0, 0, torch.quint8),
    "negative view": torch.tensor(A * -1j).conj().imag,
    "uint16 tensor": torch.tensor(A.astype("u2")),
    "nullable": pd.DataFrame(A).astype("Float64"),
    "nullable integers": pd.DataFrame(I).astype("Int64"),
    "numbers as categories": pd.DataFrame(I).astype("category"),
    "polars": pl.DataFrame(A),
    "polars decimals": pl.DataFrame(I).cast(pl.Decimal(10, 2)),
}


@pytest.mark.parametrize("X", TAKEN.values(), ids=TAKEN)
def test_numbers_of_any_kind_are_taken(X):
    if X is TAKEN["broadcast"]:
        expected = np.broadcast_to(A[:1], (N, 3))
    else:
        expected = A
    rows = as_rows(X)
    [(_, block)] = rows.blocks(N, **CPU)
    assert_allclose(block, expected)
    if block.dtype != torch.float32:  # integers that torch computes with
        assert block.dtype in (torch.uint8, torch.int32, torch.int64)


REFUSED = {
    "categories": (frame(pd.Categorical(list("xyz") * 2)), r"1 column\(s\).*: 'b' \(category\)"),
    "periods": (frame(pd.period_range("2020", periods=N, freq="D")), r"'b' \(period\[D\]\)"),
    "dates": (frame(pd.date_range("2020", periods=N)), r"'b' \(datetime64"),
    "zone": (frame(pd.date_range("2020", periods=N, tz="UTC")), r"'b' \(datetime64.*UTC"),
    "differences": (frame(pd.to_timedelta(range(N))), r"'b' \(timedelta64"),
    "intervals": (frame(pd.interval_range(0, N)), r"'b' \(interval"),
    "strings": (frame(["x"] * N), r"'b' \(str"),
    "lists": (frame([[1]] * N), r"'b' \(object"),
    "polars category": (frame(pl.Series(["x"] * N, dtype=pl.Categorical), pl), r"'b' \(Categ"),
    "polars enum": (frame(pl.Series(["x"] * N, dtype=pl.Enum(["x"])), pl), r"'b' \(Enum"),
    "polars date": (frame([pd.Timestamp(2020, 1, 1).date()] * N, pl), r"'b' \(Date"),
    "two columns": (
        pd.DataFrame({"a": ["x"] * N, "b": pd.period_range("2020", periods=N)}),
        r"2 column\(s\).*'a' .*'b'",
    ),
    "one name": (pd.DataFrame(A, columns=list("aab")), "several columns that are called 'a'"),
    "nullable": (frame(pd.array([1, None] * 3, dtype="Int64")), r"\[1, 3, 5\], in the .* 'b'"),
    "boolean": (frame(pd.array([True, None] * 3, dtype="boolean")), r"\[1, 3, 5\], in the .* 'b'"),
    "polars null": (frame([1, None] * 3, pl), r"\[1, 3, 5\], in the column\(s\) 'b'"),
    "frame": (frame([np.inf] + [1] * 5), r"1 row\(s\), first \[0\], in the column\(s\) 'b'"),
    "in a dict": ({"x": frame(["x"] * N)}, r"X\['x'\] has 1 column"),
    "days": (I.astype("M8[D]"), "X holds dates"),
    "seconds": (I.astype("m8[s]"), "X holds time differences"),
    "text": (I.astype(np.dtypes.StringDType()), "X holds strings"),
    "complex": (A * 1j, "Complex data not supported"),
    "complex tensor": (torch.tensor(A * 1j).conj(), "Complex data not supported"),
    "uint64": (I.astype("u8") + 2**63, r"beyond int64.*astype\('float64'\)"),
    "records": (np.zeros((N, 1), [("a", "f4")]), "structured array"),
    "word": (objects("x"), "no number, 'x' in row 3"),
    "dict": (objects({"a": 1}), "in row 3.*argument must be a string or a real number"),
    "Timestamp": (objects(pd.Timestamp("2020")), "Timestamp.* in row 3"),
    "None": (objects(None), r"NaN or inf in 1 row\(s\), first \[3\]"),
    "pairs": (pd.MultiIndex.from_arrays([A[:, 0], A[:, 1]]), "in row 0"),
    "masked": (np.ma.array(A, mask=I == 4), r"masked entries in 1 row\(s\), first \[1\]"),
    "masked NaN": (np.ma.masked_invalid(objects(np.nan).astype(float)), r"first \[3\]"),
    "ragged": ([[1.0], *A.tolist()[1:]], "ragged"),
    "matrix": (np.asmatrix(A), "np.matrix is not supported"),
    "sparse": ({"a": sparse.csr_array(A)}, "[Ss]parse"),
    "sparse tensor": (torch.tensor(A).to_sparse(), "sparse"),
    "meta tensor": (torch.empty(N, 3, device="meta"), "meta device"),
    "nested tensor": (torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), "nested"),
    "set": ({1, 2}, "not a set"),
    "no columns": (A[:, :0], "0 feature"),
    "same keys": ({1: A, "1": A}, "keys that are the same"),
    "lengths": ({"a": A, "b": A[:2]}, "inconsistent numbers of samples: {'a': 6, 'b': 2}"),
    "nested": ({"a": {"b": A}}, r"X\['a'\] must be an array, not a dict"),
}


@pytest.mark.parametrize(("X", "message"), REFUSED.values(), ids=REFUSED)
def test_what_torch_does_not_take_is_refused(X, message):
    with pytest.raises((TypeError, ValueError), match=message):
        as_rows(X)


def test_values_beyond_the_dtype_of_the_network_are_listed():
    X = A.copy()
    X[[2, 4], 1] = [-1e39, 1e300]
    rows = as_rows(X)
    rows.refuse_beyond(torch.float64)
    message = re.escape("too large for the network's float32 (beyond 3.4e+38) in 2 row(s), first ")
    with pytest.raises(ValueError, match=message + r"\[2, 4\]. Scale X"):
        rows.refuse_beyond(torch.float32)
    with pytest.raises(ValueError, match=message):
        next(rows.blocks(N, **CPU))
    with pytest.raises(ValueError, match="float16"):
        as_rows({"x": A * 1e5}).refuse_beyond(torch.float16)


def test_plain_arrays_are_not_read_for_their_range(monkeypatch):
    monkeypatch.setattr(np, "abs", None)
    as_rows(A.astype(np.float32)).refuse_beyond(torch.float32)
    as_rows(I).refuse_beyond(torch.float32)


def test_memory_maps_in_the_other_byte_order(tmp_path):
    np.save(tmp_path / "x.npy", A.astype(">f8"))
    rows = as_rows(np.load(tmp_path / "x.npy", mmap_mode="r"))
    [(_, block)] = rows.blocks(N, **CPU)
    assert_allclose(block, A)
