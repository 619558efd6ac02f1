# SPDX-License-Identifier: BSD-3-Clause
"""DifficultyDisplay: how hard the rows are, by class, and where some rows are among them."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _checks as checks
from ._base import MARKED, MAX_SERIES, BaseDisplay, add_legend, plain, scale, series_style, styled
from ._fitted import labels_of_fit, require

__all__ = ["DifficultyDisplay"]


class DifficultyDisplay(BaseDisplay):
    r"""Draw how a difficulty is distributed: a histogram or the cumulated shares, by class.

    Parameters
    ----------
    difficulty : array-like of shape (n_samples,)
        Larger = harder. Rows with NaN are left out, and counted in the legend.
    y : array-like of shape (n_samples,), default=None
        A line for each of these labels, at most 12. None draws all rows as one.
    marked : array-like of shape (n_samples,), bool, default=None
        Rows that are drawn by themselves as well, such as those with a wrong label.
    marked_name : str, default="marked"
        What they are called in the legend.
    name : str, default="difficulty"
        What is on the axis.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        The axes.
    figure_ : matplotlib.figure.Figure
        Their figure.
    artists_ : list of matplotlib artists
        One for all rows or for every class, then one for the marked rows.

    See Also
    --------
    HardestRowsDisplay : The rows at the hard end.
    DetectionCurveDisplay : How many of the marked rows are at that end.

    Notes
    -----
    The cumulated share ("ecdf") at a difficulty :math:`t` is that of the rows with
    :math:`d_i \le t`, of the rows of the class. It shows where classes of unequal size differ,
    which counts do not.

    Examples
    --------
    >>> from sklearn_difficulty.inspection import DifficultyDisplay
    >>> display = DifficultyDisplay.from_predictions(
    ...     [0.1, 0.4, 0.2, 2.5], y=["cat", "cat", "dog", "dog"], kind="ecdf"
    ... )
    >>> [text.get_text() for text in display.ax_.get_legend().get_texts()]
    ['label cat (2)', 'label dog (2)']
    """

    def __init__(
        self,
        *,
        difficulty: ArrayLike,
        y: ArrayLike | None = None,
        marked: ArrayLike | None = None,
        marked_name: str = "marked",
        name: str = "difficulty",
    ) -> None:
        self.difficulty = difficulty
        self.y = y
        self.marked = marked
        self.marked_name = marked_name
        self.name = name

    def plot(self, ax: Any = None, *, kind: str = "hist", bins: int = 30, **kwargs: Any) -> Self:
        """Draw the distribution.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on; None makes new ones.
        kind : {"hist", "ecdf"}, default="hist"
            Numbers of rows by difficulty, or cumulated shares.
        bins : int, default=30
            How many bins of equal width a histogram has.
        **kwargs : dict
            Passed on to ``Axes.stairs`` or ``Axes.plot``.

        Returns
        -------
        display : DifficultyDisplay
            The display itself.
        """
        self._check_matplotlib()
        checks.option(kind, "kind", ["hist", "ecdf"])
        checks.whole_number(bins, "bins")
        values = checks.numbers(self.difficulty, "difficulty")
        defined = ~np.isnan(values)
        checks.one_defined(defined, "difficulty")
        groups = self._groups(len(values))
        edges = np.histogram_bin_edges(values[defined], bins=bins)

        ax = self._open_axes(ax)
        self.artists_ = []
        for label, rows, style in groups:
            drawn = np.sort(values[rows & defined])
            style = {**style, "label": f"{label} ({len(drawn):,})"}
            if kind == "hist":
                style = styled({"linewidth": 1.5 * scale(), **style}, kwargs)
                self.artists_.append(ax.stairs(np.histogram(drawn, edges)[0], edges, **style))
            else:
                style = {k: v for k, v in style.items() if k not in ("fill", "hatch")}
                at = np.concatenate([drawn[:1], drawn])
                share = np.arange(len(at)) / max(1, len(drawn))
                self.artists_ += ax.plot(
                    at, share, **styled({"drawstyle": "steps-post", **style}, kwargs)
                )
        ax.set(
            xlabel=f"{plain(self.name)} (larger = harder)",
            ylabel="rows" if kind == "hist" else "share of rows",
        )
        place = {"loc": "lower right"} if kind == "ecdf" else {}
        add_legend(ax, int((~defined).sum()), **place)
        return self

    def _groups(self, n: int) -> list[tuple[str, NDArray[np.bool_], dict[str, Any]]]:
        """Return name, rows and style of everything that is drawn."""
        groups: list[tuple[str, NDArray[np.bool_], dict[str, Any]]] = []
        if self.y is None:
            style = {"color": series_style(0)["color"], "alpha": 0.7, "fill": True}
            groups.append(("all rows", np.ones(n, dtype=bool), style))
        else:
            y = checks.labels(self.y, "y", n)
            classes = np.unique(y)
            instead = "Join some: np.where(np.isin(y, [...]), y, 'other')."
            checks.at_most(len(classes), MAX_SERIES, "y", instead)
            for i, label in enumerate(classes):
                style = {k: v for k, v in series_style(i).items() if "marker" not in k}
                groups.append((f"label {plain(label)}", y == label, style))
        if self.marked is not None:
            style = {"color": MARKED, "fill": self.y is None, "hatch": "///"}
            rows = checks.mask(self.marked, "marked", n)
            groups.append((plain(self.marked_name), rows, style))
        return groups

    @classmethod
    def from_estimator(
        cls,
        scorer: Any,
        X: Any,
        y: Any = None,
        *,
        by_class: bool = False,
        marked: ArrayLike | None = None,
        marked_name: str = "marked",
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the difficulty of the rows that a scorer was fitted on.

        Parameters
        ----------
        scorer : estimator
            A fitted scorer; `difficulty_` is drawn.
        X : array-like of shape (n_samples, ...)
            The rows that it was fitted on.
        y : array-like of shape (n_samples,), default=None
            Their labels, as they were in that fit.
        by_class : bool, default=False
            Whether every label has a line.
        marked : array-like of shape (n_samples,), bool, default=None
            Rows that are drawn by themselves as well.
        marked_name : str, default="marked"
            What they are called in the legend.
        name : str, default=None
            What is on the axis; None takes the name of the scorer's class.
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on; None makes new ones.
        **kwargs : dict
            Passed on to `plot`.

        Returns
        -------
        display : DifficultyDisplay
            With what it has drawn.
        """
        require(scorer, cls.__name__, "difficulty_", such_as="VoGScorer")
        given = labels_of_fit(scorer, X, y, cls.__name__)
        return cls(
            difficulty=scorer.difficulty_,
            y=given if by_class else None,
            marked=marked,
            marked_name=marked_name,
            name=f"difficulty by {type(scorer).__name__}" if name is None else name,
        ).plot(ax, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        difficulty: ArrayLike,
        y: ArrayLike | None = None,
        *,
        marked: ArrayLike | None = None,
        marked_name: str = "marked",
        name: str = "difficulty",
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw a difficulty, of training rows or others.

        Parameters
        ----------
        difficulty : array-like of shape (n_samples,)
            Larger = harder.
        y : array-like of shape (n_samples,), default=None
            A line for each of these labels.
        marked : array-like of shape (n_samples,), bool, default=None
            Rows that are drawn by themselves as well.
        marked_name : str, default="marked"
            What they are called in the legend.
        name : str, default="difficulty"
            What is on the axis.
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on; None makes new ones.
        **kwargs : dict
            Passed on to `plot`.

        Returns
        -------
        display : DifficultyDisplay
            With what it has drawn.
        """
        display = cls(difficulty=difficulty, y=y, marked=marked, marked_name=marked_name, name=name)
        return display.plot(ax, **kwargs)
