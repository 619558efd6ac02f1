# SPDX-License-Identifier: BSD-3-Clause
"""A person's answers to the question whether a label is wrong, in whatever form they come."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arrays import LISTED_ROWS, as_array, is_missing

_WRONG = ("1", "1.0", "true", "yes", "y", "wrong")
_RIGHT = ("0", "0.0", "false", "no", "n", "right")
_UNSURE = ("", "nan", "none", "unsure", "?")
_MEANING = {
    **dict.fromkeys(_WRONG, 1.0),
    **dict.fromkeys(_RIGHT, 0.0),
    **dict.fromkeys(_UNSURE, np.nan),
}
_UNKNOWN = -1.0


def as_verdicts(verdicts: ArrayLike) -> NDArray[np.float64]:
    """Return 1 for wrong labels, 0 for right ones, and NaN where the person could not tell."""
    array = as_array(verdicts, "verdicts")
    if array.dtype.kind not in "biufUSTO":
        raise ValueError(f"verdicts must hold booleans, numbers or texts, got dtype {array.dtype}.")
    if array.dtype.kind in "biuf":
        values = array.astype(np.float64)
    else:
        meanings = [_meaning(value) for value in array.ravel()]
        values = np.array(meanings, dtype=np.float64).reshape(array.shape)
        values[is_missing(array)] = np.nan
    unknown = np.argwhere(~(np.isnan(values) | (values == 0) | (values == 1)))
    if len(unknown):
        places = [tuple(place) for place in unknown[:LISTED_ROWS].tolist()]
        raise ValueError(
            "verdicts say whether a label is wrong: True, 1, 'yes' or 'wrong'; False, 0, 'no' or "
            "'right'; None, NaN, '' or 'unsure' where nobody could tell. Others are at "
            f"{[place[0] if len(place) == 1 else place for place in places]}, the first is "
            f"{array[places[0]]!r}."
        )
    return values


def _meaning(value: Any) -> float:
    """Return what one answer means."""
    if isinstance(value, (np.timedelta64, np.complexfloating)):  # numbers to NumPy
        return _UNKNOWN
    if isinstance(value, (bool, int, float, np.bool_, np.number)):
        return float(value)
    if isinstance(value, str):
        return _MEANING.get(value.strip().lower(), _UNKNOWN)
    return _UNKNOWN
