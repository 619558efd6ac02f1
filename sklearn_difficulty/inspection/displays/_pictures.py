# SPDX-License-Identifier: BSD-3-Clause
"""Rows as something to look at: pictures of arrays, tensors and PIL images, or texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._checks import as_array


def item_of(X: Any, row: int) -> Any:
    """Return one row of an array, a frame, a list, or a Dataset that yields (x, y)."""
    if isinstance(X, Mapping):
        raise ValueError("X is a dict of arrays; pass as show what is to be drawn of every row.")
    item = X.iloc[row] if hasattr(X, "iloc") else X[row]
    if hasattr(X, "columns"):  # a frame
        return np.ravel(item)
    return item[0] if isinstance(item, (tuple, list)) and len(item) == 2 else item


def as_picture(item: Any, row: int, shape: Sequence[int] | None = None) -> NDArray[Any] | str:
    """Return a picture as (height, width), or with three or four colours last; a text as it is."""
    if isinstance(item, str):
        return item
    if isinstance(item, PathLike):
        from matplotlib.image import imread

        item = imread(fspath(item))
    if getattr(item, "mode", None) in ("P", "CMYK"):  # PIL's, whose numbers are no brightness
        item = item.convert("RGB")
    array = as_array(item)
    is_image = array.dtype.kind in "fiub" and array.size > 0
    if is_image and shape is not None:
        if array.size != np.prod(shape):
            raise ValueError(
                f"image_shape={tuple(shape)} does not fit row {row}, which has {array.size} values."
            )
        array = array.reshape(shape)
    if is_image and array.ndim == 3:
        if array.shape[2] not in (1, 3, 4) and array.shape[0] in (1, 3, 4):
            array = np.moveaxis(array, 0, 2)  # torch has the channels first
        array = array[..., 0] if array.shape[2] == 1 else array
    if not is_image or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
        raise ValueError(
            f"Row {row} is no picture: it has the shape {array.shape} and the dtype {array.dtype}. "
            "Pass image_shape=(height, width) if its values are pixels, or as show what is to be "
            "drawn in its place, a picture or a text for every row."
        )
    return _displayable(array)


def _displayable(array: NDArray[Any]) -> NDArray[Any]:
    """Return colours in the range that matplotlib takes; it scales grey values itself."""
    if array.ndim == 2 or array.dtype == np.uint8:
        return array.astype(np.float64) if array.dtype.kind == "b" else array
    array = array.astype(np.float64)
    low, high = np.nanmin(array), np.nanmax(array)
    if low >= 0 and high <= 1:
        return array
    # Standardised colours, or integers of another range.
    return (array - low) / max(high - low, np.finfo(float).tiny)
