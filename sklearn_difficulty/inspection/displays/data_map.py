# SPDX-License-Identifier: BSD-3-Clause
"""DataMapDisplay: confidence by variability over the epochs of a training."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from ...measures import mean_correctness, mean_over_epochs, variability
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
from ._fitted import labels_of_fit, trajectory_of

__all__ = ["DataMapDisplay"]


class DataMapDisplay(BaseDisplay):
    r"""Draw a data map: how sure training was of every row, by how much that changed.

    Top left are the easy rows; to the right the ambiguous ones, about which the network changes its
    mind; bottom left those that it does not learn, where wrong labels gather.

    Parameters
    ----------
    confidence : array-like of shape (n_samples,)
        Mean probability of the given label over the epochs. Rows with NaN here or in `variability`
        are left out, and counted in the legend.
    variability : array-like of shape (n_samples,)
        Standard deviation of that probability over the epochs.
    correctness : array-like of shape (n_samples,), default=None
        Share of the epochs that predict the given label, as the colour of the points.
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
    colorbar_ : matplotlib.colorbar.Colorbar or None
        Of the correctness, or of the number of rows.

    See Also
    --------
    TrajectoryDisplay : The epochs that are summarised here.
    sklearn_difficulty.TrainingDynamicsScorer : Ranks rows by either axis.

    Notes
    -----
    With :math:`p_e` the probability of the given label in epoch :math:`e` of :math:`E`, the axes
    are :math:`\mu = \frac{1}{E} \sum_e p_e` and :math:`\sqrt{\frac{1}{E} \sum_e (p_e - \mu)^2}`.

    References
    ----------
    S. Swayamdipta et al., "Dataset Cartography", EMNLP 2020, :arxiv:`2009.10795`.

    Examples
    --------
    Three epochs of three rows: easy, ambiguous, not learned.

    >>> from sklearn_difficulty.inspection import DataMapDisplay
    >>> probability = [[0.9, 0.1, 0.1], [0.9, 0.9, 0.1], [0.9, 0.5, 0.1]]
    >>> display = DataMapDisplay.from_predictions(probability)
    >>> display.confidence.round(2), display.variability.round(2)
    (array([0.9, 0.5, 0.1]), array([0.  , 0.33, 0.  ]))
    """

    def __init__(
        self,
        *,
        confidence: Any,
        variability: Any,
        correctness: ArrayLike | None = None,
        marked: ArrayLike | None = None,
        marked_name: str = "marked",
    ) -> None:
        self.confidence = confidence
        self.variability = variability
        self.correctness = correctness
        self.marked = marked
        self.marked_name = marked_name

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the map.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on; None makes new ones.
        **kwargs : dict
            Passed on to ``Axes.scatter``, beyond 5,000 rows to ``Axes.hexbin``.

        Returns
        -------
        display : DataMapDisplay
            The display itself.
        """
        self._check_matplotlib()
        y = checks.numbers(self.confidence, "confidence")
        n = len(y)
        x = checks.numbers(self.variability, "variability", shape=(n,))
        color = None
        if self.correctness is not None:
            color = checks.numbers(self.correctness, "correctness", shape=(n,))
        defined = ~np.isnan(x) & ~np.isnan(y)
        checks.one_defined(defined, "confidence or variability")
        crossed = np.zeros(n, dtype=bool)
        if self.marked is not None:
            crossed = checks.mask(self.marked, "marked", n) & defined

        ax = self._open_axes(ax)
        self.colorbar_ = self.marked_ = None
        if np.count_nonzero(defined) > MAX_POINTS:
            self.rows_, self.colorbar_ = draw_density(ax, x[defined], y[defined], **kwargs)
        else:
            style: dict[str, Any] = {"s": 12 * scale() ** 2, "alpha": 0.8}
            style |= {"edgecolor": "0.3", "linewidth": 0.2}  # or yellow would be lost on white
            if color is None:
                style["color"] = COLORS[0]
            else:
                style |= {"c": color[defined], "cmap": "cividis", "vmin": 0, "vmax": 1}
            self.rows_ = ax.scatter(x[defined], y[defined], **styled(style, kwargs))
            if color is not None:
                label = "correctness (share of epochs)"
                self.colorbar_ = ax.figure.colorbar(self.rows_, ax=ax, label=label)
        if self.marked is not None:
            [self.marked_] = ax.plot(
                x[crossed],
                y[crossed],
                "x",
                color=MARKED,
                markersize=4 * scale(),
                label=f"{plain(self.marked_name)} ({np.count_nonzero(crossed):,})",
            )
        ax.set(
            xlabel="variability (larger = more ambiguous)",
            ylabel="confidence (smaller = harder)",
            ylim=(-0.03, 1.03),
        )
        add_legend(ax, int((~defined).sum()), loc="lower right")
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
        """Draw the map of the rows that a scorer was fitted on.

        Parameters
        ----------
        scorer : estimator
            A fitted scorer whose `record_` holds what training said in every epoch, such as
            `TrainingDynamicsScorer`.
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
        display : DataMapDisplay
            With what it has drawn.
        """
        trajectory = trajectory_of(scorer, cls.__name__)
        labels_of_fit(scorer, X, y, cls.__name__)
        if scorer.record_.classes_ is None:
            raise ValueError("A data map is one of probabilities, and this network is a regressor.")
        return cls(
            confidence=mean_over_epochs(trajectory.probability, trajectory.count),
            variability=variability(trajectory.probability),
            correctness=mean_correctness(trajectory.predicted, trajectory.targets),
            marked=marked,
            marked_name=marked_name,
        ).plot(ax, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        probability: ArrayLike,
        *,
        marked: ArrayLike | None = None,
        marked_name: str = "marked",
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the map of probabilities that you have recorded.

        Parameters
        ----------
        probability : array-like of shape (n_epochs, n_samples)
            Of the given label; NaN where an epoch did not show the row.
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
        display : DataMapDisplay
            With what it has drawn.
        """
        values = checks.numbers(probability, "probability", ndim=2)
        return cls(
            confidence=mean_over_epochs(values),
            variability=variability(values),
            marked=marked,
            marked_name=marked_name,
        ).plot(ax, **kwargs)
