# SPDX-License-Identifier: BSD-3-Clause
"""Numbers and texts in the form in which the page holds them."""

from __future__ import annotations

import gzip
import json
import re
from base64 import b64encode
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_MISSING_SHARE = 255  # of a byte; shares take 0 to 254
_MARKUP = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&"}
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")  # has no UTF-8


def packed(values: ArrayLike, dtype: Any) -> dict[str, Any]:
    """Return numbers as the page unpacks them: compressed, then as text."""
    array = np.ascontiguousarray(values, dtype=np.dtype(dtype).newbyteorder("<"))
    compressed = gzip.compress(array.tobytes(), compresslevel=6, mtime=0)
    return {"type": np.dtype(dtype).name, "data": b64encode(compressed).decode("ascii")}


def packed_shares(values: ArrayLike) -> dict[str, Any]:
    """Return numbers in [0, 1], or NaN, in a byte each."""
    array = np.asarray(values, dtype=np.float64)
    steps = np.rint(np.clip(array, 0, 1) * (_MISSING_SHARE - 1))
    return packed(np.where(np.isnan(array), _MISSING_SHARE, steps), np.uint8)


def packed_codes(codes: NDArray[Any], n_classes: int) -> dict[str, Any]:
    """Return positions of classes in as few bytes as they need."""
    return packed(codes, np.min_scalar_type(max(1, n_classes - 1)))


def json_in_html(content: Any) -> str:
    """Return JSON that no HTML parser takes for markup, whatever the texts in it are."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    text = text.translate(_MARKUP)
    return _LONE_SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
