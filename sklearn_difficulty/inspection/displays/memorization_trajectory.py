# SPDX-License-Identifier: BSD-3-Clause
"""MemorizationTrajectoryDisplay: what networks memorize, from the smallest to the largest."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from . import _checks as checks
from ._base import BaseDisplay, add_legend, label_probes, plain, series_style, styled
from ._fitted import require

__all__ = ["MemorizationTrajectoryDisplay"]

_SIDES = {  # style and label
    "p_in": (0, "trained on it: right (p_in)"),
    "p_out": (1, "not trained on it: right (p_out)"),
    "memorization": (2, "memorization, their difference"),
}
_COLUMNS = [column for name in _SIDES for column in (name, f"{name}_se")]
_KINDS = ("sides", "categories")


class _Curve(NamedTuple):
    """One quantity over the sizes, and where the summary has it."""

    lines: NDArray[np.bool_]
    quantity: str
    style: int
    label: str


class MemorizationTrajectoryDisplay(BaseDisplay):
    """Draw what networks memorize in the mean, from the smallest to the largest.

    "sides" draws three curves: how often a row is predicted right by networks that were trained on
    it and by others, and memorization, the difference. Always all three, since memorization can
    rise because larger networks fit more of their rows, or fall because they know more of others.
    "categories" draws mean memorization of the rows whose memorization stays, rises, falls, or
    turns, and says how many they are.

    Parameters
    ----------
    summary : DataFrame or dict of arrays
        A table as `model_selection.MemorizationTrajectory` has it in `summary_`.
    kind : {"sides", "categories"}, default="sides"
        What is drawn.
    category : str, default="all"
        Of which rows, for "sides": "all", or those of a category.
    n_undefined : int, default=0
        Rows without a category, which are in no mean.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        The axes.
    figure_ : matplotlib.figure.Figure
        Their figure.
    lines_ : list of matplotlib.lines.Line2D
        The curves: p_in, p_out and memorization, or one of every category that has rows.
    errorbars_ : list of matplotlib.container.ErrorbarContainer
        One standard error to both sides of each.

    See Also
    --------
    sklearn_difficulty.model_selection.MemorizationTrajectory : Trains the networks.

    Notes
    -----
    Curves of categories look clearer than they are: rows are in a category because their numbers,
    chance included, have its shape.

    Examples
    --------
    >>> from sklearn_difficulty.inspection import MemorizationTrajectoryDisplay
    >>> summary = {"category": ["all"] * 2, "size": ["small", "large"]}
    >>> summary |= {"n_rows": [100] * 2, "share": [1.0] * 2}
    >>> summary |= {"p_in": [0.8, 1.0], "p_out": [0.6, 0.7]}
    >>> summary |= {"memorization": [0.2, 0.3]}
    >>> summary |= {
    ...     f"{n}_se": [0.01] * 2 for n in ("p_in", "p_out", "memorization")
    ... }
    >>> display = MemorizationTrajectoryDisplay(summary=summary).plot()
    >>> display.lines_[2].get_ydata()
    array([0.2, 0.3])
    """

    def __init__(
        self,
        *,
        summary: Any,
        kind: str = "sides",
        category: str = "all",
        n_undefined: int = 0,
    ) -> None:
        self.summary = summary
        self.kind = kind
        self.category = category
        self.n_undefined = n_undefined

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on; None makes new ones.
        **kwargs : dict
            Passed on to ``Axes.plot``.

        Returns
        -------
        display : MemorizationTrajectoryDisplay
            The display itself.
        """
        self._check_matplotlib()
        checks.option(self.kind, "kind", _KINDS)
        fields = ("category", "size", "n_rows", "share", *_COLUMNS)
        table = checks.columns(self.summary, "summary", fields, "MemorizationTrajectory")
        curves = self._curves(table)
        sizes = table["size"][curves[0].lines].astype(str).tolist()
        shape = (len(sizes),)
        values = [
            [
                checks.numbers(table[name][curve.lines], name, shape=shape)
                for name in (curve.quantity, f"{curve.quantity}_se")
            ]
            for curve in curves
        ]

        ax = self._open_axes(ax)
        at = np.arange(len(sizes))
        self.lines_, self.errorbars_ = [], []
        for curve, (mean, error) in zip(curves, values, strict=True):
            style = {**series_style(curve.style), "label": plain(curve.label)}
            self.lines_ += ax.plot(at, mean, **styled(style, kwargs))
            color = self.lines_[-1].get_color()
            bar = ax.errorbar(at, mean, error, fmt="none", ecolor=color)
            self.errorbars_.append(bar)
        label_probes(ax, sizes)
        ax.set(xlabel="network")
        if self.kind == "sides":
            rows = int(table["n_rows"][curves[0].lines][0])
            of_all = self.category == "all"
            whose = f"all {rows:,} rows" if of_all else f"{rows:,} rows, {plain(self.category)}"
            ax.set(ylabel=f"mean of {whose}")
        else:
            ax.set(ylabel="mean memorization")
        # Above the axes: curves may be anywhere in them.
        add_legend(ax, self.n_undefined, loc="lower left", bbox_to_anchor=(0, 1))
        return self

    def _curves(self, table: dict[str, NDArray[Any]]) -> list[_Curve]:
        """Return which curves are to be drawn, at least one."""
        of_category = checks.labels(table["category"], "category").astype(str)
        n_rows = checks.numbers(table["n_rows"], "n_rows", shape=of_category.shape)
        present = list(dict.fromkeys(of_category.tolist()))
        if self.kind == "sides":
            lines = of_category == checks.option(self.category, "category", present)
            if not n_rows[lines].all():
                raise ValueError(f"There is no row of the category {self.category!r}.")
            return [_Curve(lines, name, *of) for name, of in _SIDES.items()]
        curves = []
        for style, name in enumerate(n for n in present if n != "all"):
            lines = of_category == name
            n, share = int(n_rows[lines][0]), float(table["share"][lines][0])
            if n:
                label = f"{name} ({n:,} row{'s' * (n > 1)}, {share:.0%})"
                curves.append(_Curve(lines, "memorization", style, label))
        if not curves:
            raise ValueError("summary has no row of a category: there is nothing to draw.")
        return curves

    @classmethod
    def from_estimator(
        cls,
        trajectory: Any,
        *,
        kind: str = "sides",
        category: str = "all",
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw what a fitted trajectory has found; it knows the rows.

        Parameters
        ----------
        trajectory : MemorizationTrajectory
            Fitted.
        kind : {"sides", "categories"}, default="sides"
            What is drawn.
        category : str, default="all"
            Of which rows, for "sides".
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on; None makes new ones.
        **kwargs : dict
            Passed on to `plot`.

        Returns
        -------
        display : MemorizationTrajectoryDisplay
            With what it has drawn.
        """
        require(trajectory, cls.__name__, "correct_", such_as="MemorizationTrajectory")
        return cls(
            summary=trajectory.summary_,
            kind=kind,
            category=category,
            n_undefined=trajectory.n_undefined_,
        ).plot(ax, **kwargs)
