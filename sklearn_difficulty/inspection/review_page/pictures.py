# SPDX-License-Identifier: BSD-3-Clause
"""Rows as small pictures."""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO
from os import PathLike, fspath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..displays._pictures import as_picture, item_of

_QUALITY = 80  # of WebP


class Pictures:
    """Pictures of rows, made when they are asked for, each once."""

    kind = "pictures"

    def __init__(self, show: Any, size: int) -> None:
        self._image = _image_module()
        self._show = show
        self._size = size
        self._made: dict[int, str] = {}
        self._encoded(0)  # so that what is no picture is refused at once

    def of(self, rows: NDArray[np.int64]) -> dict[str, Any]:
        """Return what the page holds of some rows."""
        return {"pictures": [self._encoded(row) for row in rows.tolist()]}

    def _encoded(self, row: int) -> str:
        """Return a picture as the text of a WebP file."""
        if row not in self._made:
            picture = self._opened(item_of(self._show, row), row)
            picture.thumbnail((self._size, self._size))
            file = BytesIO()
            picture.save(file, "WEBP", quality=_QUALITY)
            self._made[row] = b64encode(file.getvalue()).decode("ascii")
        return self._made[row]

    def _opened(self, item: Any, row: int) -> Any:
        """Return a file, an array or a picture of PIL as one in grey or colours."""
        if isinstance(item, PathLike):
            with self._image.open(fspath(item)) as file:
                file.draft("RGB", (self._size, self._size))  # of a JPEG, less is decoded
                file.load()
                item = file.copy()
        if isinstance(item, self._image.Image) and item.mode in ("L", "RGB", "RGBA", "P", "1"):
            return item.convert("RGBA" if "transparency" in item.info else "RGB")
        picture = as_picture(item, row)
        if isinstance(picture, str):
            raise ValueError(f"show holds pictures and, at row {row}, a text.")
        return self._image.fromarray(_as_bytes(picture))


def _as_bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Return brightness from 0 to 255; values beyond [0, 1] are stretched over that range."""
    if array.dtype == np.uint8:
        return array
    values = np.nan_to_num(array.astype(np.float64), posinf=0.0, neginf=0.0)
    low, high = min(0.0, values.min()), max(1.0, values.max())
    if (low, high) != (0.0, 1.0):
        low, high = values.min(), values.max()
    return np.rint((values - low) / max(high - low, np.finfo(float).tiny) * 255).astype(np.uint8)


def _image_module() -> Any:
    """Return PIL's module of images, or say how to get it."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            "ReviewPage needs Pillow to show pictures: pip install sklearn-difficulty[plot]"
        ) from error
    return Image
