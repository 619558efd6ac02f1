# SPDX-License-Identifier: BSD-3-Clause
"""Hostile values: for any argument, and for arrays, with and without an equal plain form."""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import torch
from scipy import sparse
from torch.utils.data import Dataset, IterableDataset


class Thing:
    """An object that nobody expects."""

    def __repr__(self) -> str:
        return "Thing()"


def no_function(*args: Any, **kwargs: Any) -> None:
    """Return nothing, whatever it is given."""


# For any argument; functions, so that no call gets what another one has used up or changed.
ANYTHING: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "word": lambda: "no such word",
    "no word": lambda: "",
    "bytes": lambda: b"bytes",
    "object": Thing,
    "class": lambda: Thing,
    "function": lambda: no_function,
    "-1": lambda: -1,
    "0": lambda: 0,
    "1.5": lambda: 1.5,
    "count as float": lambda: 2.0,
    "NaN": lambda: float("nan"),
    "inf": lambda: float("inf"),
    "10**12": lambda: 10**12,
    "10**30": lambda: 10**30,
    "True": lambda: True,
    "complex": lambda: 1j,
    "NA": lambda: pd.NA,
    "date": lambda: datetime.date(2020, 1, 1),
    "empty list": list,
    "empty dict": dict,
    "set": lambda: {1, 2},
    "generator": lambda: (i for i in range(3)),
    "list of None": lambda: [None, None],
    "list of words": lambda: ["a", "b"],
    "dict of words": lambda: {"a": "b"},
    "array without axes": lambda: np.array(3),
    "empty array": lambda: np.array([]),
    "tensor": lambda: torch.tensor(2.5),
    "module": lambda: torch.nn.Linear(1, 1),
    "range": lambda: range(3),
}


# ------------------------------------------------------------------------------ forms of an array


def _strided(a: np.ndarray) -> np.ndarray:
    return np.repeat(a, 2, axis=0)[::2]


def _read_only(a: np.ndarray) -> np.ndarray:
    a = a.copy()
    a.flags.writeable = False
    return a


def _frame(a: np.ndarray) -> Any:
    rows = np.arange(len(a))[::-1]  # an index that must not matter
    return pd.Series(a, index=rows) if a.ndim == 1 else pd.DataFrame(a, index=rows)


def _smaller(a: np.ndarray) -> np.ndarray:
    if a.dtype.kind == "f":
        return a.astype(np.float32)
    return a.astype(np.int16 if a.dtype.kind == "i" else a.dtype)


def _is(kinds: str, *n_axes: int) -> Callable[[np.ndarray], bool]:
    return lambda a: a.dtype.kind in kinds and (not n_axes or a.ndim in n_axes)


_any = _is("fiubUO")

# What is equal to the plain array: which arrays it is for, and how it is made.
EQUAL: dict[str, tuple[Callable[[np.ndarray], bool], Callable[[np.ndarray], Any]]] = {
    "list": (_any, lambda a: a.tolist()),
    "tuple": (_any, lambda a: tuple(a.tolist())),
    "columns first": (_is("fiub", 2, 3), np.asfortranarray),
    "strided": (_any, _strided),
    "read-only": (_any, _read_only),
    "big-endian": (_is("fiu"), lambda a: a.astype(a.dtype.newbyteorder(">"))),
    "long double": (_is("f"), lambda a: a.astype(np.longdouble)),
    "float64": (_is("f"), lambda a: a.astype(np.float64)),
    "smaller type": (_is("i"), _smaller),
    "unsigned": (_is("i"), lambda a: a.astype(np.uint64)),
    "objects": (_any, lambda a: a.astype(object)),
    "masked, no mask": (_any, np.ma.masked_array),
    "tensor": (_is("fib"), lambda a: torch.tensor(a)),
    "tensor with gradient": (_is("f"), lambda a: torch.tensor(a, requires_grad=True)),
    "pandas": (_is("fiubUO", 1, 2), _frame),
    "pandas Index": (_is("fiubUO", 1), pd.Index),
    "pandas category": (_is("iUO", 1), pd.Categorical),
    "pandas nullable": (_is("i", 1), lambda a: pd.Series(a, dtype="Int64")),
    "polars": (_is("fiubU", 1), pl.Series),
    "polars frame": (
        _is("f", 2),
        lambda a: pl.DataFrame({f"c{i}": a[:, i] for i in range(a.shape[1])}),
    ),
    "matrix": (_is("fiub", 2), lambda a: _matrix(a)),
}


def _matrix(a: np.ndarray) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        return np.asmatrix(a)


def _with(value: Any, everywhere: bool = False) -> Callable[[np.ndarray], np.ndarray]:
    def change(a: np.ndarray) -> np.ndarray:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        a = a.astype(np.float64 if a.dtype.kind in "fiub" and is_number else object)
        a[... if everywhere else (-1,) * a.ndim] = value
        return a

    return change


def _quantized(a: np.ndarray) -> torch.Tensor:
    return torch.quantize_per_tensor(torch.tensor(a).float(), 0.1, 0, torch.qint8)


def _is_numeric_table(a: np.ndarray) -> bool:
    return a.ndim == 2 and a.dtype.kind in "fiub"


# What is not equal to it: another size, other values, other things.
BROKEN: dict[str, tuple[Callable[[np.ndarray], bool], Callable[[np.ndarray], Any]]] = {
    "a row less": (_any, lambda a: a[:-1]),
    "a row more": (_any, lambda a: np.concatenate([a, a[:1]])),
    "no rows": (_any, lambda a: a[:0]),
    "one row": (_any, lambda a: a[:1]),
    "one axis more": (_any, lambda a: a[..., None]),
    "one axis less": (_any, lambda a: a[0]),
    "flat": (_is("fiubUO", 2, 3), np.ravel),
    "turned": (_is("fiubUO", 2, 3), np.transpose),
    "a column less": (_is("fiubUO", 2, 3), lambda a: a[:, :-1]),
    "no columns": (_is("fiubUO", 2, 3), lambda a: a[:, :0]),
    "a NaN": (_any, _with(np.nan)),
    "all NaN": (_any, _with(np.nan, everywhere=True)),
    "an inf": (_any, _with(np.inf)),
    "a -inf": (_any, _with(-np.inf)),
    "a None": (_any, _with(None)),
    "an NA": (_any, _with(pd.NA)),
    "a NaT": (_any, _with(pd.NaT)),
    "a word": (_any, _with("word")),
    "a bool among others": (_any, _with(True)),
    "a bytes": (_any, _with(b"bytes")),
    "a list": (lambda a: a.ndim == 1, lambda a: [*a[:-1].tolist(), [1, 2]]),
    "a dict": (_any, lambda a: [*a[:-1].tolist(), {}]),
    "a 1e300": (_is("fiub"), _with(1e300)),
    "a 1e-320": (_is("fiub"), _with(1e-320)),
    "a -1": (_is("fiub"), _with(-1.0)),
    "a 1.5": (_is("fiub"), _with(1.5)),
    "10**18": (_is("i"), lambda a: np.where(a == a.max(), 10**18, a)),
    "all 0": (_is("fiub"), np.zeros_like),
    "all 1": (_is("fiub"), np.ones_like),
    "all different": (_is("i", 1), lambda a: np.arange(len(a))),
    "words": (_any, lambda a: a.astype(str)),
    "bytes strings": (_any, lambda a: a.astype("S")),
    "bools": (_is("fi"), lambda a: a > a.min()),
    "floats": (_is("iub"), lambda a: a.astype(float)),
    "half precision": (_is("f"), lambda a: a.astype(np.float16)),
    "complex": (_is("fiub"), lambda a: a + 1j),
    "dates": (_is("fiub"), lambda a: np.abs(a).astype("datetime64[D]")),
    "times": (_is("fiub"), lambda a: a.astype("timedelta64[s]")),
    "periods": (_is("i", 1), lambda a: pd.period_range("2020", periods=len(a), freq="D")),
    "records": (_is("fiub"), lambda a: a.astype([("a", a.dtype)])),
    "masked": (
        _is("fiub"),
        lambda a: np.ma.masked_array(a, np.arange(a.size).reshape(a.shape) < 1),
    ),
    "sparse": (_is_numeric_table, sparse.csr_matrix),
    "sparse array": (_is_numeric_table, sparse.coo_array),
    "sparse tensor": (_is("f", 2), lambda a: torch.tensor(a).to_sparse()),
    "tensor without content": (_is("fi"), lambda a: torch.tensor(a).to("meta")),
    "bfloat16": (_is("f"), lambda a: torch.tensor(a).bfloat16()),
    "quantized": (_is("f"), _quantized),
    "nested tensor": (
        _is("f", 2),
        lambda a: torch.nested.nested_tensor([torch.tensor(r) for r in a], layout=torch.jagged),
    ),
    "ragged": (_any, lambda a: [[1.0] * (1 + i % 3) for i in range(len(a))]),
    "generator": (_any, iter),
    "dict of a column": (_any, lambda a: {"a": a}),
    "dict of unequal columns": (_any, lambda a: {"a": a, "b": a[1:]}),
    "dict of a number": (_any, lambda a: {1: a}),
    "empty dict": (_any, lambda a: {}),
    "list of tensors": (_any, lambda a: [torch.tensor(1.0)] * len(a)),
    "frame of words": (_any, lambda a: pd.DataFrame({"a": ["x"] * len(a), "b": 1.0})),
    "frame of categories": (_any, lambda a: pd.DataFrame({"a": pd.Categorical(["x"] * len(a))})),
    "frame of dates": (
        _any,
        lambda a: pd.DataFrame({"a": pd.date_range("2020", periods=len(a)), "b": 1.0}),
    ),
    "frame with NA": (
        _any,
        lambda a: pd.DataFrame({"a": pd.array([1, None] * len(a), dtype="Int64")[: len(a)]}),
    ),
    "frame with one name twice": (
        _any,
        lambda a: pd.DataFrame(np.ones((len(a), 2)), columns=["a", "a"]),
    ),
    "frame of complex": (_any, lambda a: pd.DataFrame({"a": np.ones(len(a)) * 1j})),
}

OF_TORCH = {
    *("tensor with gradient", "sparse tensor", "tensor without content"),
    *("bfloat16", "quantized", "nested tensor"),
}

# For rows only, which may come from a Dataset.
DATASETS: dict[str, tuple[Callable[[np.ndarray], bool], Callable[[np.ndarray], Any]]] = {
    "dataset": (_any, lambda a: Lying(a, len(a))),
    "dataset of too many": (_any, lambda a: Lying(a, len(a) + 3)),
    "dataset of none": (_any, lambda a: Lying(a, 0)),
    "dataset of words": (_any, lambda a: Lying(["word"] * len(a), len(a))),
    "dataset of None": (_any, lambda a: Lying([None] * len(a), len(a))),
    "dataset of pairs": (_any, lambda a: Lying([(row, 0) for row in a], len(a))),
    "dataset of triples": (_any, lambda a: Lying([(row, 0, 1) for row in a], len(a))),
    "dataset of unequal rows": (
        _any,
        lambda a: Lying([np.ones(1 + i % 2, np.float32) for i in range(len(a))], len(a)),
    ),
    "endless dataset": (_any, lambda a: Endless()),
    "dataset without length": (_any, lambda a: Unmeasured()),
    "dataset that fails": (_any, lambda a: Failing(len(a))),
}


class Lying(Dataset):
    """Says that it has a number of rows."""

    def __init__(self, rows: Any, n_rows: int) -> None:
        self.rows, self.n_rows = rows, n_rows

    def __len__(self) -> int:
        return self.n_rows

    def __getitem__(self, index: int) -> Any:
        return self.rows[index]


class Endless(IterableDataset):
    def __iter__(self) -> Any:
        return iter(lambda: torch.ones(4), None)


class Unmeasured(Dataset):
    def __getitem__(self, index: int) -> Any:
        return torch.ones(4), 0


class Failing(Dataset):
    def __init__(self, n_rows: int) -> None:
        self.n_rows = n_rows

    def __len__(self) -> int:
        return self.n_rows

    def __getitem__(self, index: int) -> Any:
        if index == 7:
            raise KeyError("row seven is not on the disk")
        return torch.full((4,), float(index)), index % 3
