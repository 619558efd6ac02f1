# SPDX-License-Identifier: BSD-3-Clause
"""NormGradDisplay: where in an image the training signal comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from ...measures import combine_saliency_maps
from ._base import BaseDisplay
from ._fitted import require
from ._maps import checked_map, draw_map, map_of_row

__all__ = ["NormGradDisplay"]


class NormGradDisplay(BaseDisplay):
    r"""Draw where in an image its training signal comes from, over the image in grey.

    The brighter and the less transparent a pixel, the longer the gradient that it sends to the
    weights of the network.

    Parameters
    ----------
    saliency_map : array-like of shape (height, width)
        Between 0 and 1, as of `NormGradScorer.maps`; NaN is left blank.
    image : array-like of shape (height, width) or (height, width, colours), default=None
        What is drawn below the map, of the same height and width; colours may come first. None
        draws the map alone.
    title : str, default=None
        What is above the axes, such as the row and its label.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        The axes.
    figure_ : matplotlib.figure.Figure
        Their figure.
    image_ : matplotlib.image.AxesImage or None
        The image.
    map_ : matplotlib.image.AxesImage
        The map.
    colorbar_ : matplotlib.colorbar.Colorbar
        Of the map.

    See Also
    --------
    sklearn_difficulty.NormGradScorer : Computes the map.
    GradientMapDisplay : Where the gradient of the input changed over training.

    Notes
    -----
    With :math:`x_u` what a layer returns at location :math:`u` and :math:`g_u` the gradient there,
    the map of the layer is :math:`\lVert g_u \rVert_2 \, \lVert x_u \rVert_2`, interpolated to the
    size of the image and scaled from 0 to 1; by default the map is the product over layers.

    References
    ----------
    S.-A. Rebuffi, R. Fong, X. Ji, H. Bilen, A. Vedaldi, "NormGrad: Finding the Pixels that Matter
    for Training", 2019, :arxiv:`1910.08823`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_difficulty.inspection import NormGradDisplay
    >>> display = NormGradDisplay(
    ...     saliency_map=np.eye(4), image=np.ones((4, 4))
    ... ).plot()
    >>> float(display.map_.get_array().max())
    1.0
    """

    def __init__(self, *, saliency_map: Any, image: Any = None, title: str | None = None) -> None:
        self.saliency_map = saliency_map
        self.image = image
        self.title = title

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the map over the image.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on; None makes new ones.
        **kwargs : dict
            Passed on to ``Axes.imshow`` for the map.

        Returns
        -------
        display : NormGradDisplay
            The display itself.
        """
        self._check_matplotlib()
        values = checked_map(self.saliency_map, "saliency_map")
        if np.nanmin(values) < 0 or np.nanmax(values) > 1:
            raise ValueError(
                "saliency_map must lie between 0 and 1. Scale the map of a single layer: "
                "measures.combine_saliency_maps([layer_map])."
            )
        style = {"vmax": 1, **kwargs}
        drawn = draw_map(
            self, values, self.image, ax, label="training signal", title=self.title, **style
        )
        vars(self).update(drawn)
        return self

    @classmethod
    def from_estimator(
        cls,
        scorer: Any,
        X: Any,
        y: Any = None,
        *,
        row: int = 0,
        layer: str | None = None,
        image_shape: Sequence[int] | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the map of one row.

        Parameters
        ----------
        scorer : NormGradScorer
            Fitted.
        X : array-like of shape (n_samples, ...)
            Images, those that it was fitted on or others.
        y : array-like of shape (n_samples,), default=None
            Their labels; without them, the predicted class takes their place.
        row : int, default=0
            Position of the row.
        layer : str, default=None
            One of the scorer's `layer_names_`, whose map alone is drawn; None draws all layers as
            the scorer combines them.
        image_shape : tuple of int, default=None
            Shape of an image whose values are a flat row of X, (height, width).
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on; None makes new ones.
        **kwargs : dict
            Passed on to `plot`.

        Returns
        -------
        display : NormGradDisplay
            With what it has drawn.
        """
        require(scorer, cls.__name__, "layer_maps", such_as="NormGradScorer")
        names = list(scorer.layer_names_)
        if layer is not None and layer not in names:
            raise ValueError(f"layer must be one of {names}, or None for all; got {layer!r}.")

        def maps(X: Any, y: Any) -> Any:
            combined = scorer.maps(X, y)
            if layer is None:
                return combined
            alone = scorer.layer_maps(X, y)[layer]
            return combine_saliency_maps([alone], shape=combined.shape[1:])

        values, image, title = map_of_row(
            scorer,
            X,
            y,
            row,
            image_shape,
            maps,
            why_other="the layers have no locations of the image's size",
        )
        title = title if layer is None else f"{title}, {layer}"
        return cls(saliency_map=values, image=image, title=title).plot(ax, **kwargs)
