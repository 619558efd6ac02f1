# SPDX-License-Identifier: BSD-3-Clause
"""GradientMapDisplay: where in an image the gradients of training kept changing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from . import _checks as checks
from ._base import BaseDisplay, plain
from ._fitted import one_row, require, rows_for
from ._pictures import as_picture, item_of

__all__ = ["GradientMapDisplay"]


class GradientMapDisplay(BaseDisplay):
    r"""Draw where in an image the input gradients of training varied, over the image in grey.

    The brighter and the less transparent a pixel, the more its influence on the network's output
    changed from checkpoint to checkpoint.

    Parameters
    ----------
    gradient_map : array-like of shape (height, width)
        Standard deviation of the gradient over checkpoints, at least 0; NaN is left blank.
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
    sklearn_difficulty.VoGScorer : Computes the map.

    Notes
    -----
    With :math:`S_{tp}` the gradient of the row's output with respect to pixel :math:`p` at
    checkpoint :math:`t` of :math:`K` and :math:`\mu_p` its mean, the map is
    :math:`\sqrt{\frac{1}{K} \sum_t (S_{tp} - \mu_p)^2}`.

    References
    ----------
    C. Agarwal, D. D'souza, S. Hooker, "Estimating Example Difficulty using Variance of Gradients",
    CVPR 2022, :arxiv:`2008.11600`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_difficulty.inspection import GradientMapDisplay
    >>> display = GradientMapDisplay(
    ...     gradient_map=np.eye(4), image=np.ones((4, 4))
    ... ).plot()
    >>> float(display.map_.get_array().max())
    1.0
    """

    def __init__(self, *, gradient_map: Any, image: Any = None, title: str | None = None) -> None:
        self.gradient_map = gradient_map
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
        display : GradientMapDisplay
            The display itself.
        """
        self._check_matplotlib()
        from matplotlib.cm import ScalarMappable

        values = checks.numbers(self.gradient_map, "gradient_map", ndim=2)
        checks.one_defined(~np.isnan(values).ravel(), "gradient_map")
        if (values < 0).any():
            raise ValueError("gradient_map must be at least 0: it holds standard deviations.")
        image = None
        if self.image is not None:
            image = as_picture(self.image, 0)
            if isinstance(image, str) or image.shape[:2] != values.shape:
                raise ValueError(
                    f"image must have the height and width of the map, {values.shape}; got "
                    f"{np.shape(image)}."
                )
            image = image[..., :3].mean(axis=2) if image.ndim == 3 else image

        ax = self._open_axes(ax, (4.8, 4.0))
        self.image_ = None
        style: dict[str, Any] = {"cmap": "cividis", "vmin": 0}
        if image is not None:
            self.image_ = ax.imshow(image, cmap="gray")
            strength = np.nan_to_num(values / max(np.nanmax(values), np.finfo(float).tiny))
            style["alpha"] = 0.15 + 0.75 * strength
        self.map_ = ax.imshow(values, **{**style, **kwargs})
        # Of the colours without the transparency, which differs from pixel to pixel.
        opaque = ScalarMappable(self.map_.norm, self.map_.cmap)
        self.colorbar_ = ax.figure.colorbar(opaque, ax=ax, label="deviation of the gradient")
        ax.set(xticks=[], yticks=[])
        if self.title is not None:
            ax.set_title(plain(self.title), fontsize="medium")
        return self

    @classmethod
    def from_estimator(
        cls,
        scorer: Any,
        X: Any,
        y: Any = None,
        *,
        row: int = 0,
        image_shape: Sequence[int] | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the map of one row.

        Parameters
        ----------
        scorer : VoGScorer
            Fitted.
        X : array-like of shape (n_samples, ...)
            Images, those that it was fitted on or others.
        y : array-like of shape (n_samples,), default=None
            Their labels; without them, the gradient is that of the predicted class.
        row : int, default=0
            Position of the row.
        image_shape : tuple of int, default=None
            Shape of an image whose values are a flat row of X, (height, width).
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on; None makes new ones.
        **kwargs : dict
            Passed on to `plot`.

        Returns
        -------
        display : GradientMapDisplay
            With what it has drawn.
        """
        require(scorer, cls.__name__, "gradient_maps", such_as="VoGScorer")
        n = len(rows_for(scorer, X))
        [position] = checks.positions(row, "row", n)
        label = None if y is None else checks.as_array(y)[[position]]
        [values] = scorer.gradient_maps(one_row(scorer, X, position), label)
        item = item_of(X, position)
        image = as_picture(item, position, image_shape)
        title = f"row {position}" + ("" if label is None else f", label {label[0]}")
        shape = np.shape(image)[:2]
        if values.size != np.prod(shape):
            raise ValueError(
                f"The map of a row has the shape {values.shape}, which is not that of the image, "
                f"{shape}: gradients were not taken with respect to its pixels."
            )
        return cls(gradient_map=values.reshape(shape), image=image, title=title).plot(ax, **kwargs)
