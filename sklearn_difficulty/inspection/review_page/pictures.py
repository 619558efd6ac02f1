# SPDX-License-Identifier: BSD-3-Clause
"""Rows as small pictures."""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO
from os import PathLike, fspath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._arrays import to_numpy
from ..displays._pictures import as_picture, item_of

_QUALITY, _EFFORT = 80, 2  # of WebP; more effort saves little and takes long
_LARGER = 4  # times the size of a thumbnail
_NUMBERS = "IF"  # modes of PIL whose values are not brightness from 0 to 255


class Pictures:
    """Pictures of rows, made when they are asked for, each once."""

    kind = "pictures"

    def __init__(self, show: Any, size: int) -> None:
        self._image, self._upright = _pillow()
        self._show = show
        self._size = size
        self._made: dict[tuple[int, int], str] = {}
        self._reduced: set[int] = set()  # rows whose pictures have been made smaller
        self._encoded(0, size)  # so that what is no picture is refused at once

    def of(self, rows: NDArray[np.int64]) -> dict[str, Any]:
        """Return what the page holds of some rows."""
        return {"pictures": [self._encoded(row, self._size) for row in rows.tolist()]}

    def details(self, rows: NDArray[np.int64], n_bytes: int) -> dict[str, Any]:
        """Return larger pictures of the first of some rows, as many as fit into so many bytes."""
        larger = []
        for row in rows.tolist():
            picture = self._encoded(row, _LARGER * self._size) if row in self._reduced else ""
            n_bytes -= len(picture) + len('"",')
            if n_bytes < 0:
                break
            larger.append(picture)
        return {"larger": larger} if any(larger) else {}

    def space(self) -> NDArray[np.float32] | None:
        """Return the pixels as vectors, if the pictures are an array."""
        return flat_rows(self._show)

    def _encoded(self, row: int, size: int) -> str:
        """Return a picture as the text of a WebP file."""
        if (row, size) not in self._made:
            picture = self._opened(item_of(self._show, row), row, size)
            if max(picture.size) > size:
                self._reduced.add(row)
                picture.thumbnail((size, size))
            file = BytesIO()
            picture.save(file, "WEBP", quality=_QUALITY, method=_EFFORT)
            self._made[row, size] = b64encode(file.getvalue()).decode("ascii")
        return self._made[row, size]

    def _opened(self, item: Any, row: int, size: int) -> Any:
        """Return a file, an array or a picture of PIL as one in grey or colours."""
        if isinstance(item, PathLike):
            with self._image.open(fspath(item)) as file:
                file.draft("RGB", (2 * size, 2 * size))  # of a JPEG, less is decoded
                item = self._upright(file)
        if isinstance(item, self._image.Image) and item.mode[0] not in _NUMBERS:
            has_alpha = "A" in item.mode or "transparency" in item.info
            return item.convert("RGBA" if has_alpha else "RGB")
        picture = as_picture(item, row)
        if isinstance(picture, str):
            raise ValueError(f"show holds pictures and, at row {row}, a text.")
        return self._image.fromarray(_as_bytes(picture))


def flat_rows(values: Any) -> NDArray[np.float32] | None:
    """Return the rows of an array of numbers as vectors, None for anything else."""
    array = to_numpy(values)
    if not isinstance(array, np.ndarray) or array.ndim < 2 or array.dtype.kind not in "fiub":
        return None
    return np.nan_to_num(array.reshape(len(array), -1).astype(np.float32, copy=False))


def _as_bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Return brightness from 0 to 255; values beyond [0, 1] are stretched over that range."""
    if array.dtype == np.uint8:
        return array
    values = np.nan_to_num(array.astype(np.float64), posinf=0.0, neginf=0.0)
    low, high = min(0.0, values.min()), max(1.0, values.max())
    if (low, high) != (0.0, 1.0):
        low, high = values.min(), values.max()
    return np.rint((values - low) / max(high - low, np.finfo(float).tiny) * 255).astype(np.uint8)


def _pillow() -> tuple[Any, Any]:
    """Return Pillow's module of images, and what turns photographs upright; or how to get it."""
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise ImportError("ReviewPage needs Pillow to show pictures: pip install pillow") from error
    return Image, ImageOps.exif_transpose
