# SPDX-License-Identifier: BSD-3-Clause
"""ErrorRateDisplay: how often a network errs, by the difficulty of the rows."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from ..._randomness import alone
from ...inference.predictions import predicted_classes
from ...metrics import error_rate_by_percentile
from . import _checks as checks
from ._base import BaseDisplay, add_legend, n_series, plain, series_style, styled
from ._fitted import require, rows_for

__all__ = ["ErrorRateDisplay"]


class ErrorRateDisplay(BaseDisplay):
    r"""Draw how often rows are misclassified, in equal groups by their difficulty.

    For a score that knows which rows a network will get wrong, the curve rises.

    Parameters
    ----------
    percentile : array-like of shape (n_bins,)
        Upper edges of the groups, in per cent of the rows, the easiest first.
    error_rate : array-like of shape (n_bins,)
        Share of misclassified rows, in [0, 1].
    standard_error : array-like of shape (n_bins,), default=None
        Of the share.
    name : str, default=None
        What the curve is called.
    n_undefined : int, default=0
        Rows without a difficulty, which were left out.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        The axes.
    figure_ : matplotlib.figure.Figure
        Their figure.
    line_ : matplotlib.lines.Line2D
        The curve, at the middle of every group.
    errorbar_ : matplotlib.container.ErrorbarContainer or None
        One standard error to both sides.

    See Also
    --------
    sklearn_difficulty.metrics.error_rate_by_percentile : The numbers.

    Notes
    -----
    The standard error of the rate :math:`p` of :math:`c` rows is :math:`\sqrt{p (1 - p) / c}`.

    References
    ----------
    C. Agarwal, D. D'souza, S. Hooker, "Estimating Example Difficulty using Variance of Gradients",
    CVPR 2022, :arxiv:`2008.11600`.

    Examples
    --------
    >>> from sklearn_difficulty.inspection import ErrorRateDisplay
    >>> display = ErrorRateDisplay.from_predictions(
    ...     [0.1, 0.2, 0.3, 0.4], [0, 0, 0, 1], bins=2
    ... )
    >>> display.line_.get_xydata()  # per cent
    array([[25.,  0.],
           [75., 50.]])
    """

    def __init__(
        self,
        *,
        percentile: Any,
        error_rate: ArrayLike,
        standard_error: ArrayLike | None = None,
        name: str | None = None,
        n_undefined: int = 0,
    ) -> None:
        self.percentile = percentile
        self.error_rate = error_rate
        self.standard_error = standard_error
        self.name = name
        self.n_undefined = n_undefined

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on, which may hold other curves; None makes new ones.
        **kwargs : dict
            Passed on to ``Axes.plot``.

        Returns
        -------
        display : ErrorRateDisplay
            The display itself.
        """
        self._check_matplotlib()
        upper = checks.numbers(self.percentile, "percentile")
        rate = 100 * checks.numbers(self.error_rate, "error_rate", shape=upper.shape)
        spread = None
        if self.standard_error is not None:
            values = checks.numbers(self.standard_error, "standard_error", shape=upper.shape)
            spread = 100 * values
        middle = (np.concatenate([[0], upper[:-1]]) + upper) / 2

        ax = self._open_axes(ax)
        style = series_style(n_series(ax))
        style |= {} if self.name is None else {"label": plain(self.name)}
        [self.line_] = ax.plot(middle, rate, **styled(style, kwargs))
        self.errorbar_ = None
        if spread is not None:
            color = self.line_.get_color()
            self.errorbar_ = ax.errorbar(middle, rate, spread, fmt="none", ecolor=color)
        ax.set(xlabel="difficulty percentile (larger = harder)", ylabel="misclassified (%)")
        ax.set(xlim=(0, 100))
        # The axis begins at 0, and goes on growing with the curves that are added.
        self.line_.sticky_edges.y.append(0)
        ax.update_datalim([(0, 0)])
        ax.autoscale_view()
        add_legend(ax, self.n_undefined, loc="upper left")
        return self

    @classmethod
    def from_estimator(
        cls,
        scorer: Any,
        X: Any,
        y: Any = None,
        *,
        bins: int = 10,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw how often the network of a scorer errs on rows that it has not seen.

        Their difficulty is read without labels, so that it can be known in advance.

        Parameters
        ----------
        scorer : estimator
            A fitted scorer of unseen rows that has one network (`record_`), a classifier.
        X : array-like of shape (n_samples, ...)
            Rows that it was not fitted on: of those it knows the labels.
        y : array-like of shape (n_samples,), default=None
            Their labels.
        bins : int, default=10
            Into how many groups rows are put.
        name : str, default=None
            What the curve is called; None takes the name of the scorer's class.
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on; None makes new ones.
        **kwargs : dict
            Passed on to `plot`.

        Returns
        -------
        display : ErrorRateDisplay
            With what it has drawn.
        """
        require(scorer, cls.__name__, "record_", "classes_", such_as="VoGScorer")
        rows = rows_for(scorer, X)
        targets = scorer.record_.targets(rows, y)
        score = scorer.score_samples(X)
        with alone():
            predicted = predicted_classes(scorer.record_, rows, batch_size=512)
        name = type(scorer).__name__ if name is None else name
        error = predicted != targets
        return cls.from_predictions(score, error, bins=bins, name=name, ax=ax, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        difficulty: ArrayLike,
        error: ArrayLike,
        *,
        bins: int = 10,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw how often a classifier errs.

        Parameters
        ----------
        difficulty : array-like of shape (n_samples,)
            Larger = harder. Rows with NaN are left out, and counted in the legend.
        error : array-like of shape (n_samples,), bool
            Where the classifier is wrong.
        bins : int, default=10
            Into how many groups rows are put.
        name : str, default=None
            What the curve is called.
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on, which may hold other curves; None makes new ones.
        **kwargs : dict
            Passed on to `plot`.

        Returns
        -------
        display : ErrorRateDisplay
            With what it has drawn.
        """
        score = checks.numbers(difficulty, "difficulty")
        wrong = checks.mask(error, "error", len(score))
        defined = ~np.isnan(score)
        checks.one_defined(defined, "difficulty")
        curve = error_rate_by_percentile(score[defined], wrong[defined], bins=bins)
        return cls(
            percentile=curve.percentile,
            error_rate=curve.error_rate,
            standard_error=curve.standard_error,
            name=name,
            n_undefined=int((~defined).sum()),
        ).plot(ax, **kwargs)
