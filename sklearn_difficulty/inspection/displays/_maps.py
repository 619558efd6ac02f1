# SPDX-License-Identifier: BSD-3-Clause
"""Maps of one number per pixel over the image that they belong to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _checks as checks
from ._base import BaseDisplay, plain
from ._fitted import one_row, rows_for
from ._pictures import as_picture, item_of


def checked_map(values: Any, name: str) -> NDArray[np.float64]:
    """Return a map (height, width) with something to draw."""
    array = checks.numbers(values, name, ndim=2)
    checks.one_defined(~np.isnan(array).ravel(), name)
    return array


def draw_map(
    display: BaseDisplay,
    values: NDArray[np.float64],
    image: Any,
    ax: Any,
    *,
    label: str,
    title: str | None,
    **kwargs: Any,
) -> dict[str, Any]:
    """Draw a map over its image in grey; return what is drawn by the names of its attributes."""
    from matplotlib.cm import ScalarMappable

    if image is not None:
        image = as_picture(image, 0)
        if isinstance(image, str) or image.shape[:2] != values.shape:
            raise ValueError(
                f"image must have the height and width of the map, {values.shape}; got "
                f"{np.shape(image)}."
            )
        image = image[..., :3].mean(axis=2) if image.ndim == 3 else image

    ax = display._open_axes(ax, (4.8, 4.0))
    drawn: dict[str, Any] = {"image_": None}
    style: dict[str, Any] = {"cmap": "cividis", "vmin": 0}
    if image is not None:
        drawn["image_"] = ax.imshow(image, cmap="gray")
        strength = np.nan_to_num(values / max(np.nanmax(values), np.finfo(float).tiny))
        style["alpha"] = 0.15 + 0.75 * strength
    drawn["map_"] = ax.imshow(values, **{**style, **kwargs})
    # Of the colours without the transparency, which differs from pixel to pixel.
    opaque = ScalarMappable(drawn["map_"].norm, drawn["map_"].cmap)
    drawn["colorbar_"] = ax.figure.colorbar(opaque, ax=ax, label=label)
    ax.set(xticks=[], yticks=[])
    if title is not None:
        ax.set_title(plain(title), fontsize="medium")
    return drawn


def map_of_row(
    scorer: Any,
    X: Any,
    y: Any,
    row: int,
    image_shape: Sequence[int] | None,
    maps: Callable[[Any, Any], Any],
    *,
    why_other: str,
) -> tuple[NDArray[Any], NDArray[Any] | str, str]:
    """Return the map of one row, its image, and what is above them."""
    [position] = checks.positions(row, "row", len(rows_for(scorer, X)))
    label = None if y is None else checks.as_array(y)[[position]]
    [values] = maps(one_row(scorer, X, position), label)
    image = as_picture(item_of(X, position), position, image_shape)
    title = f"row {position}" + ("" if label is None else f", label {label[0]}")
    shape = np.shape(image)[:2]
    if values.size != np.prod(shape):
        raise ValueError(
            f"The map of a row has the shape {values.shape}, which is not that of the image, "
            f"{shape}: {why_other}."
        )
    return values.reshape(shape), image, title
