# SPDX-License-Identifier: BSD-3-Clause
"""TrajectoryDisplay: what training said about rows, epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _checks as checks
from ._base import MAX_SERIES, BaseDisplay, add_legend, n_series, plain, scale, series_style, styled
from ._fitted import labels_of_fit, trajectory_of

__all__ = ["TrajectoryDisplay"]

_QUANTITIES = {
    "probability": "probability of the given label",
    "margin": "margin of the given label",
    "loss": "loss (larger = harder)",
    "el2n": "EL2N (larger = harder)",
}


class TrajectoryDisplay(BaseDisplay):
    """Draw what training said about rows, epoch by epoch: bands of groups, lines of single rows.

    Parameters
    ----------
    values : array-like of shape (n_epochs, n_samples)
        One number per epoch and row; NaN where an epoch did not show a row. Rows that no epoch
        showed are left out, and counted in the legend.
    groups : array-like of shape (n_samples,), default=None
        Which rows have a band together, such as their labels or "right" and "wrong"; at most 12.
        None puts all rows into one.
    rows : int or array-like of int, default=None
        Positions of rows that have a line of their own, at most 12.
    name : str, default="probability of the given label"
        What is on the axis.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        The axes.
    figure_ : matplotlib.figure.Figure
        Their figure.
    lines_ : list of matplotlib.lines.Line2D
        The median of every group.
    bands_ : list of matplotlib.collections.FillBetweenPolyCollection
        Where the middle four fifths of every group are.
    row_lines_ : list of matplotlib.lines.Line2D
        The single rows.

    See Also
    --------
    DataMapDisplay : All epochs of every row in one point.

    Examples
    --------
    >>> from sklearn_difficulty.inspection import TrajectoryDisplay
    >>> probability = [[0.5, 0.4, 0.1], [0.8, 0.7, 0.1], [0.9, 0.9, 0.2]]
    >>> display = TrajectoryDisplay.from_predictions(
    ...     probability, groups=["right", "right", "wrong"], rows=1
    ... )
    >>> display.lines_[0].get_ydata()
    array([0.45, 0.75, 0.9 ])
    """

    def __init__(
        self,
        *,
        values: ArrayLike,
        groups: ArrayLike | None = None,
        rows: int | Sequence[int] | None = None,
        name: str = "probability of the given label",
    ) -> None:
        self.values = values
        self.groups = groups
        self.rows = rows
        self.name = name

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw bands and lines.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on; None makes new ones.
        **kwargs : dict
            Passed on to ``Axes.plot`` for the medians.

        Returns
        -------
        display : TrajectoryDisplay
            The display itself.
        """
        self._check_matplotlib()
        values = checks.numbers(self.values, "values", ndim=2)
        n_epochs, n = values.shape
        shown: NDArray[np.bool_] = ~np.all(np.isnan(values), axis=0)
        checks.one_defined(shown, "values")
        groups: dict[str, NDArray[np.bool_]] = {"median": shown}
        if self.groups is not None:
            of_rows = checks.labels(self.groups, "groups", n)
            names = np.unique(of_rows)
            checks.at_most(len(names), MAX_SERIES, "groups", "Pass rows to look at single ones.")
            groups = {plain(name): (of_rows == name) & shown for name in names}
        chosen = np.empty(0, dtype=np.int64)
        if self.rows is not None:
            chosen = checks.positions(self.rows, "rows", n)
            checks.at_most(len(chosen), MAX_SERIES, "rows", "Put them into groups.")

        ax = self._open_axes(ax)
        epochs = np.arange(1, n_epochs + 1)
        self.lines_, self.bands_, self.row_lines_ = [], [], []
        first, every = n_series(ax), max(1, n_epochs // 10)
        for i, (name, rows) in enumerate(groups.items()):
            low, middle, high = _quantiles(values[:, rows])
            style = {**series_style(first + i), "markevery": every}
            label = f"{name} ({np.count_nonzero(rows):,})"
            self.lines_ += ax.plot(epochs, middle, **styled({**style, "label": label}, kwargs))
            color = self.lines_[-1].get_color()
            self.bands_.append(ax.fill_between(epochs, low, high, color=color, alpha=0.2, lw=0))
        for i, row in enumerate(chosen):
            style = {**series_style(i), "color": "black", "linewidth": scale(), "markevery": every}
            self.row_lines_ += ax.plot(epochs, values[:, row], label=f"row {row}", **style)
        ax.set(xlabel="epoch", ylabel=plain(self.name))
        ax.xaxis.get_major_locator().set_params(integer=True)
        add_legend(ax, int((~shown).sum()))
        return self

    @classmethod
    def from_estimator(
        cls,
        scorer: Any,
        X: Any,
        y: Any = None,
        *,
        quantity: str = "probability",
        groups: ArrayLike | None = None,
        rows: int | Sequence[int] | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw what the training of a scorer said about its rows.

        Parameters
        ----------
        scorer : estimator
            A fitted scorer whose `record_` holds what training said in every epoch, such as
            `TrainingDynamicsScorer`.
        X : array-like of shape (n_samples, ...)
            The rows that it was fitted on.
        y : array-like of shape (n_samples,), default=None
            Their labels, as they were in that fit.
        quantity : {"probability", "margin", "loss", "el2n"}, default="probability"
            What is drawn, see `training.Trajectory`.
        groups : array-like of shape (n_samples,), default=None
            Which rows have a band together; None puts all rows into one.
        rows : int or array-like of int, default=None
            Positions of rows that have a line of their own.
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on; None makes new ones.
        **kwargs : dict
            Passed on to `plot`.

        Returns
        -------
        display : TrajectoryDisplay
            With what it has drawn.
        """
        checks.option(quantity, "quantity", list(_QUANTITIES))
        trajectory = trajectory_of(scorer, cls.__name__)
        labels_of_fit(scorer, X, y, cls.__name__)
        return cls(
            values=getattr(trajectory, quantity),
            groups=groups,
            rows=rows,
            name=_QUANTITIES[quantity],
        ).plot(ax, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        values: ArrayLike,
        *,
        groups: ArrayLike | None = None,
        rows: int | Sequence[int] | None = None,
        name: str = "probability of the given label",
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw numbers that you have recorded.

        Parameters
        ----------
        values : array-like of shape (n_epochs, n_samples)
            One number per epoch and row; NaN where an epoch did not show a row.
        groups : array-like of shape (n_samples,), default=None
            Which rows have a band together; None puts all rows into one.
        rows : int or array-like of int, default=None
            Positions of rows that have a line of their own.
        name : str, default="probability of the given label"
            What is on the axis.
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on; None makes new ones.
        **kwargs : dict
            Passed on to `plot`.

        Returns
        -------
        display : TrajectoryDisplay
            With what it has drawn.
        """
        return cls(values=values, groups=groups, rows=rows, name=name).plot(ax, **kwargs)


def _quantiles(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the 10, 50 and 90 % quantiles (3, n_epochs) of what an epoch has shown."""
    shown = [epoch[~np.isnan(epoch)] for epoch in values]
    nothing = np.full(3, np.nan)
    return np.array([np.quantile(e, (0.1, 0.5, 0.9)) if len(e) else nothing for e in shown]).T
