# SPDX-License-Identifier: BSD-3-Clause
"""DifficultyQuadrantDisplay: the square of the two prediction depths, with its four corners."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from ...measures import difficulty_quadrants
from ...measures.quadrants import QUADRANT_NAMES
from . import _checks as checks
from ._base import (
    COLORS,
    MARKED,
    MAX_POINTS,
    BaseDisplay,
    add_legend,
    draw_density,
    plain,
    scale,
    styled,
)
from ._fitted import labels_of_fit, require

__all__ = ["DifficultyQuadrantDisplay"]


class DifficultyQuadrantDisplay(BaseDisplay):
    """Draw the depth of rows when trained on, by that when held out, and what its corners mean.

    The names of the corners and the numbers of their rows stand above and below the square.

    Parameters
    ----------
    validation_depth : array-like of shape (n_samples,)
        Mean prediction depth over the networks that held the row out, in [0, 1]. Rows with NaN
        here or in `train_depth` are left out, and counted in the legend.
    train_depth : array-like of shape (n_samples,)
        The same over the networks that were trained on the row.
    thresholds : pair of float
        Where the two axes are cut into early and late.
    marked : array-like of shape (n_samples,), bool, default=None
        Rows that are crossed, such as those with a wrong label.
    marked_name : str, default="marked"
        What they are called in the legend.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        The axes.
    figure_ : matplotlib.figure.Figure
        Their figure.
    rows_ : matplotlib.collections.PathCollection or PolyCollection
        The points, or beyond 5,000 rows the cells that say how many rows are where.
    marked_ : matplotlib.lines.Line2D or None
        The crosses.
    corners_ : list of matplotlib.text.Text
        The names of the corners with their counts, in the order of the codes.
    counts_ : ndarray of shape (4,)
        Rows in every quadrant, in the order of the codes.
    colorbar_ : matplotlib.colorbar.Colorbar or None
        Of the number of rows.

    See Also
    --------
    sklearn_difficulty.DifficultyQuadrantClassifier : Measures the depths.

    References
    ----------
    R. Baldock, H. Maennel, B. Neyshabur, "Deep Learning Through the Lens of Example Difficulty",
    NeurIPS 2021, section 4, :arxiv:`2106.09647`.

    Examples
    --------
    >>> from sklearn_difficulty.inspection import DifficultyQuadrantDisplay
    >>> display = DifficultyQuadrantDisplay.from_predictions(
    ...     [0.1, 0.1, 0.9, 0.8], [0.1, 0.9, 0.2, 0.9], thresholds=(0.5, 0.5)
    ... )
    >>> display.counts_
    array([1, 1, 1, 1])
    """

    def __init__(
        self,
        *,
        validation_depth: ArrayLike,
        train_depth: ArrayLike,
        thresholds: Sequence[float],
        marked: ArrayLike | None = None,
        marked_name: str = "marked",
    ) -> None:
        self.validation_depth = validation_depth
        self.train_depth = train_depth
        self.thresholds = thresholds
        self.marked = marked
        self.marked_name = marked_name

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the square.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on; None makes new ones.
        **kwargs : dict
            Passed on to ``Axes.scatter``, beyond 5,000 rows to ``Axes.hexbin``.

        Returns
        -------
        display : DifficultyQuadrantDisplay
            The display itself.
        """
        self._check_matplotlib()
        x = checks.numbers(self.validation_depth, "validation_depth")
        n = len(x)
        y = checks.numbers(self.train_depth, "train_depth", shape=(n,))
        cut_x, cut_y = checks.numbers(self.thresholds, "thresholds", shape=(2,))
        defined = ~np.isnan(x) & ~np.isnan(y)
        checks.one_defined(defined, "validation_depth or train_depth")
        codes = difficulty_quadrants(x, y, (cut_x, cut_y))
        crossed = np.zeros(n, dtype=bool)
        if self.marked is not None:
            crossed = checks.mask(self.marked, "marked", n) & defined

        ax = self._open_axes(ax, (4.8, 4.4))
        self.colorbar_ = self.marked_ = None
        if np.count_nonzero(defined) > MAX_POINTS:
            kwargs = {"extent": (0, 1, 0, 1), **kwargs}
            self.rows_, self.colorbar_ = draw_density(ax, x[defined], y[defined], **kwargs)
        else:
            style: dict[str, Any] = {
                "s": 12 * scale() ** 2,
                "alpha": 0.4,
                "linewidth": 0,
                "color": COLORS[0],
            }
            self.rows_ = ax.scatter(x[defined], y[defined], **styled(style, kwargs))
        if self.marked is not None:
            label = f"{plain(self.marked_name)} ({np.count_nonzero(crossed):,})"
            style = {"color": MARKED, "markersize": 4 * scale(), "alpha": 0.8, "label": label}
            [self.marked_] = ax.plot(x[crossed], y[crossed], "x", **style)
        ax.axvline(cut_x, color="black", linestyle=":", linewidth=1)
        ax.axhline(cut_y, color="black", linestyle=":", linewidth=1)
        self.counts_ = np.bincount(codes[codes >= 0], minlength=4)
        self.corners_ = []
        for code, (name, count) in enumerate(zip(QUADRANT_NAMES, self.counts_, strict=True)):
            is_right, is_top = divmod(code, 2)
            words = name.replace("_", " ").replace(" a ", " a\n").replace(" without", "\nwithout")
            self.corners_.append(
                ax.annotate(
                    f"{words}\n({count:,})" if code == 3 else f"{words} ({count:,})",
                    (is_right, is_top),
                    (0, 0.4 if is_top else -1.8),
                    xycoords="axes fraction",
                    textcoords="offset fontsize",
                    ha="right" if is_right else "left",
                    va="bottom" if is_top else "top",
                    fontsize="small",
                )
            )
        ax.set(
            xlabel="held-out depth (larger = harder)",
            ylabel="trained-on depth",
            xlim=(-0.03, 1.03),
            ylim=(-0.03, 1.03),
            xticks=(0, 0.5, 1),
            yticks=(0, 0.5, 1),
        )
        ax.xaxis.labelpad = 22 * scale()  # below the names of the corners
        add_legend(ax, int((~defined).sum()), loc="upper right")
        return self

    @classmethod
    def from_estimator(
        cls,
        scorer: Any,
        X: Any,
        y: Any = None,
        *,
        marked: ArrayLike | None = None,
        marked_name: str = "marked",
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the square of the rows that a scorer was fitted on.

        Parameters
        ----------
        scorer : DifficultyQuadrantClassifier
            Fitted.
        X : array-like of shape (n_samples, ...)
            The rows that it was fitted on.
        y : array-like of shape (n_samples,), default=None
            Their labels, as they were in that fit.
        marked : array-like of shape (n_samples,), bool, default=None
            Rows that are crossed.
        marked_name : str, default="marked"
            What they are called in the legend.
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on; None makes new ones.
        **kwargs : dict
            Passed on to `plot`.

        Returns
        -------
        display : DifficultyQuadrantDisplay
            With what it has drawn.
        """
        needed = ("validation_depth_", "train_depth_", "thresholds_")
        require(scorer, cls.__name__, *needed, such_as="DifficultyQuadrantClassifier")
        labels_of_fit(scorer, X, y, cls.__name__)
        return cls(
            validation_depth=scorer.validation_depth_,
            train_depth=scorer.train_depth_,
            thresholds=scorer.thresholds_,
            marked=marked,
            marked_name=marked_name,
        ).plot(ax, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        validation_depth: ArrayLike,
        train_depth: ArrayLike,
        *,
        thresholds: Sequence[float],
        marked: ArrayLike | None = None,
        marked_name: str = "marked",
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the square of depths that you have measured.

        Parameters
        ----------
        validation_depth : array-like of shape (n_samples,)
            Mean depth over the networks that held the row out, in [0, 1].
        train_depth : array-like of shape (n_samples,)
            Mean depth over the networks that were trained on it.
        thresholds : pair of float
            Where the two axes are cut into early and late.
        marked : array-like of shape (n_samples,), bool, default=None
            Rows that are crossed.
        marked_name : str, default="marked"
            What they are called in the legend.
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on; None makes new ones.
        **kwargs : dict
            Passed on to `plot`.

        Returns
        -------
        display : DifficultyQuadrantDisplay
            With what it has drawn.
        """
        return cls(
            validation_depth=validation_depth,
            train_depth=train_depth,
            thresholds=thresholds,
            marked=marked,
            marked_name=marked_name,
        ).plot(ax, **kwargs)
