# SPDX-License-Identifier: BSD-3-Clause
"""ScorerComparisonDisplay: how well scorers find wrong labels, by what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from . import _checks as checks
from ._base import MAX_SERIES, BaseDisplay, add_legend, plain, scale, series_style, styled

__all__ = ["ScorerComparisonDisplay"]

_MEASURES = {
    "average_precision": "average precision",
    "recall": "recall among as many rows as are wrong",
    "auroc": "AUROC",
}


class ScorerComparisonDisplay(BaseDisplay):
    """Draw the quality of scorers by the seconds that they take.

    Top left is best: much is found in little time.

    Parameters
    ----------
    names : list of str
        What the scorers are called; at most 12.
    quality : array-like of shape (n_scorers,)
        How well each finds wrong labels; NaN is left out, and counted in the legend.
    seconds : array-like of shape (n_scorers,)
        What a fit takes, above 0.
    quality_error : array-like of shape (n_scorers,), default=None
        Standard error of the quality; no bar is drawn where it is NaN.
    quality_name : str, default="average precision"
        What is on the axis.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        The axes.
    figure_ : matplotlib.figure.Figure
        Their figure.
    points_ : list of matplotlib.lines.Line2D
        A point for every scorer.
    errorbars_ : list of matplotlib.container.ErrorbarContainer
        Their standard errors.

    See Also
    --------
    sklearn_difficulty.model_selection.benchmark_scorers : Makes the table.
    DetectionCurveDisplay : What scores find row by row.

    Examples
    --------
    >>> from sklearn_difficulty.inspection import ScorerComparisonDisplay
    >>> display = ScorerComparisonDisplay(
    ...     names=["VoG", "loss"], quality=[0.4, 0.9], seconds=[2.0, 1.0]
    ... ).plot()
    >>> [point.get_label() for point in display.points_]
    ['VoG', 'loss']
    """

    def __init__(
        self,
        *,
        names: Sequence[str],
        quality: ArrayLike,
        seconds: ArrayLike,
        quality_error: ArrayLike | None = None,
        quality_name: str = "average precision",
    ) -> None:
        self.names = names
        self.quality = quality
        self.seconds = seconds
        self.quality_error = quality_error
        self.quality_name = quality_name

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the points.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on; None makes new ones.
        **kwargs : dict
            Passed on to ``Axes.plot``.

        Returns
        -------
        display : ScorerComparisonDisplay
            The display itself.
        """
        self._check_matplotlib()
        from matplotlib.ticker import LogLocator, NullFormatter

        quality = checks.numbers(self.quality, "quality")
        n = len(quality)
        names = checks.labels(self.names, "names", n)
        checks.at_most(n, MAX_SERIES, "names", "Draw some of the scorers.")
        seconds = checks.numbers(self.seconds, "seconds", shape=(n,))
        if not (seconds > 0).all():
            raise ValueError("seconds must be above 0 for every scorer: the axis is logarithmic.")
        error = None
        if self.quality_error is not None:
            error = checks.numbers(self.quality_error, "quality_error", shape=(n,))
        defined = ~np.isnan(quality)
        checks.one_defined(defined, "quality")

        ax = self._open_axes(ax)
        self.points_, self.errorbars_ = [], []
        for i in range(n):
            style = {**series_style(i), "linestyle": "none", "label": plain(names[i])}
            style |= {"markersize": 7 * scale()}
            self.points_ += ax.plot(seconds[i], quality[i], **styled(style, kwargs))
            if error is not None and not np.isnan(error[i]):
                color = self.points_[-1].get_color()
                bar = ax.errorbar(seconds[i], quality[i], error[i], fmt="none", ecolor=color)
                self.errorbars_.append(bar)
        ax.set_xscale("log")
        # At least a decade wide, with few labels: of times that are alike, ticks would overlap.
        low, high = seconds.min(), seconds.max()
        reach = max(1.3, np.sqrt(10 * low / high))
        ax.set_xlim(low / reach, high * reach)
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 30 * low else (1,)))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.set(xlabel="seconds to fit", ylabel=plain(self.quality_name))
        ax.margins(y=0.15)
        # Above the axes: there is a name for every point, and the points may be anywhere.
        place = {"loc": "lower left", "bbox_to_anchor": (0, 1), "ncols": 2, "columnspacing": 1}
        add_legend(ax, int((~defined).sum()), "scorer", **place)
        return self

    @classmethod
    def from_benchmark(
        cls, table: Any, *, measure: str = "average_precision", ax: Any = None, **kwargs: Any
    ) -> Self:
        """Draw what `benchmark_scorers` has returned.

        Parameters
        ----------
        table : structured array of shape (n_scorers,) or DataFrame
            With the fields of `model_selection.benchmark_scorers`.
        measure : {"average_precision", "recall", "auroc"}, default="average_precision"
            Which quality is drawn.
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on; None makes new ones.
        **kwargs : dict
            Passed on to `plot`.

        Returns
        -------
        display : ScorerComparisonDisplay
            With what it has drawn.
        """
        checks.option(measure, "measure", list(_MEASURES))
        fields = ("name", measure, f"{measure}_se", "seconds")
        columns = checks.columns(table, "table", fields, "benchmark_scorers")
        return cls(
            names=columns["name"].tolist(),
            quality=columns[measure],
            seconds=columns["seconds"],
            quality_error=columns[f"{measure}_se"],
            quality_name=_MEASURES[measure],
        ).plot(ax, **kwargs)
