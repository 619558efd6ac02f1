# SPDX-License-Identifier: BSD-3-Clause
"""Arrays of numbers that torch takes, or an error that names the rows and columns that are none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils import check_array

from .._arrays import LISTED_ROWS, as_array, is_missing, kind_of_values, native

_BLOCK_BYTES = 2**24  # of rows that are looked at at once: arrays may be memory maps
_OF_FRAMES = "; a scorer with estimator=None takes missing values of DataFrames"
_SIGNED = {2: np.int32, 4: np.int64, 8: np.int64}  # for unsigned integers, which torch hardly knows


def checked_array(values: Any, name: str, estimator: Any, *, ensure_2d: bool) -> NDArray[Any]:
    """Return an array of finite numbers; plain ones are not copied."""
    if is_frame(values):
        _refuse_columns(values, name)
    elif not issparse(values) and not isinstance(values, np.matrix):  # check_array refuses these
        values = as_array(values, name)
        _refuse_texts(values, name)
    if getattr(getattr(values, "dtype", None), "names", None):
        raise ValueError(
            f"{name} is a structured array; pass "
            "numpy.lib.recfunctions.structured_to_unstructured(X)."
        )
    try:
        array = check_array(
            values,
            dtype="numeric",
            allow_nd=True,
            ensure_2d=ensure_2d,
            ensure_all_finite=False,
            estimator=estimator,
            input_name=name,
        )
        if array.dtype.kind == "O":  # scikit-learn leaves some columns of frames as they are
            array = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        place = _first_that_is_no_number(values)
        if place is None:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            what = type(values).__name__
            raise kind(f"{name}, of type {what}, is no array of numbers: {error}") from error
        raise type(error)(f"{name} holds what is no number, {place}: {error}") from error
    if array.dtype.kind not in "biufc":
        way_out = ", for example by (X - X.min()) / np.timedelta64(1, 'D')"
        raise ValueError(
            f"{name} holds {kind_of_values(array)}; turn them into numbers"
            f"{way_out if array.dtype.kind in 'mM' else ''}."
        )
    array = _for_torch(array, name)
    bad = nonfinite_rows(array)
    if len(bad):
        raise ValueError(
            f"{name} contains NaN or inf in {len(bad)} row(s), first "
            f"{bad[:LISTED_ROWS].tolist()}{_columns_of(values, ~np.isfinite(array[bad]))}. Impute "
            f"or drop these rows{_OF_FRAMES if is_frame(values) else ''}."
        )
    return array


def _refuse_texts(array: NDArray[Any], name: str) -> None:
    """Raise if rows are texts."""
    if array.ndim == 1 and kind_of_values(array) == "strings":
        raise ValueError(
            f"{name} holds texts, and networks read numbers. Pass the sentence embeddings of a "
            "language model, or the sparse matrix of TfidfVectorizer().fit_transform(texts) of "
            "sklearn.feature_extraction.text. Any text classifier finds wrong labels without a "
            "network: LabelErrorScorer(make_pipeline(TfidfVectorizer(), LogisticRegression()))."
        )


def is_frame(values: Any) -> bool:
    """Tell whether values are a DataFrame, of pandas or of another library."""
    return hasattr(values, "columns") and hasattr(values, "dtypes")


def nonfinite_rows(array: NDArray[Any]) -> NDArray[np.intp]:
    """Return the indices of rows that hold NaN or inf, reading memory maps block by block."""
    if array.dtype.kind not in "fc":
        return np.empty(0, dtype=np.intp)

    def may_be_bad(rows: NDArray[Any]) -> bool:
        # A sum is finite if all terms are, save for overflow; only then look closer.
        with np.errstate(over="ignore", invalid="ignore"):
            return not np.isfinite(rows.sum(dtype=np.float64))

    return _rows_where(array, may_be_bad, lambda rows: ~np.isfinite(rows))


def refuse_beyond(array: NDArray[Any], name: str, limit: float, dtype: str) -> None:
    """Raise if finite values would become infinite in the network's dtype, which has a limit."""
    if array.dtype.kind != "f" or float(np.finfo(array.dtype).max) <= limit:
        return
    bad = _rows_where(
        array, lambda rows: np.abs(rows).max() > limit, lambda rows: np.abs(rows) > limit
    )
    if len(bad):
        raise ValueError(
            f"{name} holds values that are too large for the network's {dtype} (beyond "
            f"{limit:.3g}) in {len(bad)} row(s), first {bad[:LISTED_ROWS].tolist()}. Scale {name}, "
            "for example by sklearn.preprocessing.StandardScaler."
        )


def _rows_where(
    array: NDArray[Any],
    may_be_bad: Callable[[NDArray[Any]], Any],
    is_bad: Callable[[NDArray[Any]], NDArray[np.bool_]],
) -> NDArray[np.intp]:
    """Return the rows of which some value is bad, asking quickly about a block of rows first."""
    bad = [
        start + np.flatnonzero(is_bad(rows).reshape(len(rows), -1).any(axis=1))
        for start, rows in _blocks(array)
        if may_be_bad(rows)
    ]
    return np.concatenate(bad) if bad else np.empty(0, dtype=np.intp)


def _blocks(array: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield the rows in order, with the number of the first."""
    block = max(1, _BLOCK_BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(array), block):
        yield start, array[start : start + block]


def _for_torch(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Return numbers with a dtype and strides that torch takes."""
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:
        if array.dtype.itemsize == 8 and array.max() > np.iinfo(np.int64).max:
            raise ValueError(f"{name} holds integers beyond int64; pass {name}.astype('float64').")
        return array.astype(_SIGNED[array.dtype.itemsize])
    with np.errstate(over="ignore"):  # what overflows is found with the other infinite values
        array = native(array)
    # torch takes no view that runs backwards.
    runs_backwards = any(stride < 0 for stride in array.strides)
    return np.ascontiguousarray(array) if runs_backwards else array


def _refuse_columns(frame: Any, name: str) -> None:
    """Raise if columns of a DataFrame hold no numbers."""
    refuse_same_names(frame, name)
    names, bad, dates = list(frame.columns), [], []
    for i, dtype in enumerate(list(frame.dtypes)):
        if isinstance(dtype, np.dtype) and dtype.kind in "biufc":
            continue
        values = np.asarray(frame.iloc[:, i] if hasattr(frame, "iloc") else frame[:, i])
        if values.dtype.kind in "mM" or not _becomes_floats(values):
            (dates if values.dtype.kind in "mM" else bad).append((names[i], dtype))
    if bad or dates:
        raise ValueError(_advice(name, bad, dates))


def _advice(name: str, categories: list[tuple[Any, Any]], dates: list[tuple[Any, Any]]) -> str:
    """Return what to say of columns that hold no numbers, and the pipeline that makes numbers."""
    columns = [f"{column!r} ({dtype})" for column, dtype in [*categories, *dates]]
    text = f"{name} has {len(columns)} column(s) that hold no numbers: "
    text += (
        f"{', '.join(columns[:LISTED_ROWS])}. A scorer with estimator=None encodes them; a network "
        "or an estimator of your own needs numbers"
    )
    if categories:
        listed = [column for column, _ in categories[:LISTED_ROWS]]
        encoder = f"(OneHotEncoder(handle_unknown='ignore', sparse_output=False), {listed})"
        transformer = f"make_column_transformer({encoder}, remainder=SimpleImputer())"
        text += f": make_pipeline({transformer}, ...) puts them in front of it"
    if dates:
        column = dates[0][0]
        days = f"{name}[{column!r}]"
        if str(dates[0][1]).lower().startswith(("date", "period")):
            days = f"({days} - {days}.min())"
        text += f"; of {column!r} make days, {days} / numpy.timedelta64(1, 'D')"
    return f"{text}."


def refuse_same_names(frame: Any, name: str) -> None:
    """Raise if columns of a DataFrame have the same name."""
    names = list(frame.columns)
    if len(set(names)) < len(names):
        twice = next(column_name for column_name in names if names.count(column_name) > 1)
        raise ValueError(f"{name} has several columns that are called {twice!r}; rename them.")


def _becomes_floats(values: NDArray[Any]) -> bool:
    """Tell whether values, where they are not missing, are numbers or can be read as such."""
    try:
        values[~is_missing(values)].astype(np.float64)
    except (TypeError, ValueError):
        return False
    return True


def _first_that_is_no_number(values: Any) -> str | None:
    """Return where an array of objects holds something else than a number, and what."""
    if not isinstance(values, np.ndarray) or values.dtype.kind != "O" or not values.ndim:
        return None
    for index, value in np.ndenumerate(values):
        if not _becomes_floats(np.array([value, None], dtype=object)[:1]):
            return f"{value!r} in row {index[0]}"
    return None


def _columns_of(frame: Any, bad: NDArray[np.bool_]) -> str:
    """Return which columns of a DataFrame are bad, for a message."""
    if not is_frame(frame):
        return ""
    names = [repr(list(frame.columns)[i]) for i in np.flatnonzero(bad.any(axis=0))]
    return f", in the column(s) {', '.join(names[:LISTED_ROWS])}"
