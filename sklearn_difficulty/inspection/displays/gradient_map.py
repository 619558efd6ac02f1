# SPDX-License-Identifier: BSD-3-Clause
"""GradientMapDisplay: where in an image the gradients of training kept changing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from ._base import BaseDisplay
from ._fitted import require
from ._maps import checked_map, draw_map, map_of_row

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
    NormGradDisplay : Where the training signal comes from.

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
        values = checked_map(self.gradient_map, "gradient_map")
        if (values < 0).any():
            raise ValueError("gradient_map must be at least 0: it holds standard deviations.")
        label = "deviation of the gradient"
        drawn = draw_map(self, values, self.image, ax, label=label, title=self.title, **kwargs)
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
        values, image, title = map_of_row(
            scorer,
            X,
            y,
            row,
            image_shape,
            scorer.gradient_maps,
            why_other="gradients were not taken with respect to its pixels",
        )
        return cls(gradient_map=values, image=image, title=title).plot(ax, **kwargs)
