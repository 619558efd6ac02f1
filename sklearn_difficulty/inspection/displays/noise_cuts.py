# SPDX-License-Identifier: BSD-3-Clause
"""NoiseCutsDisplay: what dropping the rows above a cut finds, by the cut."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...measures import noise_cuts
from ...measures.cuts import CUT_FIELDS, CUTS
from . import _checks as checks
from ._base import BaseDisplay, add_legend, scale, series_style, styled
from ._fitted import labels_of_fit, require

__all__ = ["NoiseCutsDisplay"]


class NoiseCutsDisplay(BaseDisplay):
    r"""Draw precision and recall of dropping the rows above a cut, with intervals, by the cut.

    What is expected from the error probabilities alone and, if rows were reviewed, what the review
    says; beside them the truth, where it is known.

    Parameters
    ----------
    cuts : structured array of shape (n_cuts,) or DataFrame
        A table with the fields of `measures.noise_cuts`, such as ``LabelErrorScorer.cuts_``.
    review_cuts : structured array of shape (n_cuts,) or DataFrame, default=None
        The same after a review, such as ``LabelErrorScorer.calibrate(...).cuts``.
    true_precision : array-like of shape (n_cuts,), default=None
        Share of wrong labels among the rows above every cut.
    true_recall : array-like of shape (n_cuts,), default=None
        Share of the wrong labels that is above every cut.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        The axes.
    figure_ : matplotlib.figure.Figure
        Their figure.
    lines_ : list of matplotlib.lines.Line2D
        Precision and recall, of `cuts` and then of `review_cuts`.
    bands_ : list of matplotlib.collections.FillBetweenPolyCollection
        Their intervals, in the same order.
    truth_ : list of matplotlib.lines.Line2D
        The true values, if they are given.

    See Also
    --------
    DetectionCurveDisplay : What is found by reading down the list.
    sklearn_difficulty.LabelErrorScorer : Has the table.

    Notes
    -----
    The formulas of precision, recall and their intervals are those of `measures.noise_cuts` and,
    after a review, `measures.calibrate_with_review`.

    Examples
    --------
    >>> from sklearn_difficulty.inspection import NoiseCutsDisplay
    >>> display = NoiseCutsDisplay.from_predictions(
    ...     [0.9, 0.7, 0.3, 0.1],
    ...     is_wrong=[True, False, False, False],
    ...     cuts=[0.2, 0.5, 0.8],
    ... )
    >>> display.cuts["precision"].round(2), display.true_precision.round(2)
    (array([0.63, 0.8 , 0.9 ]), array([0.33, 0.5 , 1.  ]))
    """

    def __init__(
        self,
        *,
        cuts: Any,
        review_cuts: Any = None,
        true_precision: Any = None,
        true_recall: Any = None,
    ) -> None:
        self.cuts = cuts
        self.review_cuts = review_cuts
        self.true_precision = true_precision
        self.true_recall = true_recall

    def plot(self, ax: Any = None, *, measure: str = "both", **kwargs: Any) -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on; None makes new ones.
        measure : {"both", "precision", "recall"}, default="both"
            What is drawn: where there was a review, one at a time is easier to read.
        **kwargs : dict
            Passed on to ``Axes.plot``.

        Returns
        -------
        display : NoiseCutsDisplay
            The display itself.
        """
        self._check_matplotlib()
        checks.option(measure, "measure", ["both", "precision", "recall"])
        measures = ["precision", "recall"] if measure == "both" else [measure]
        tables = {"expected": _table(self.cuts, "cuts")}
        if self.review_cuts is not None:
            tables["after review"] = _table(self.review_cuts, "review_cuts")
        cuts = tables["expected"]["cut"]
        truth = {}
        for name in measures:
            if getattr(self, f"true_{name}") is not None:
                value = getattr(self, f"true_{name}")
                truth[name] = checks.numbers(value, f"true_{name}", shape=cuts.shape)

        ax = self._open_axes(ax)
        self.lines_, self.bands_, self.truth_ = [], [], []
        for when, table in tables.items():
            for name in measures:
                is_recall, is_review = name == "recall", when == "after review"
                style = series_style(int(is_recall if measure == "both" else is_review))
                style |= {"linestyle": "-" if is_review or len(tables) == 1 else "--"}
                label = f"{name}, {when}" if measure == "both" else when
                at = table["cut"]
                self.lines_ += ax.plot(at, table[name], **styled({**style, "label": label}, kwargs))
                low, high = table[f"{name}_low"], table[f"{name}_high"]
                color = self.lines_[-1].get_color()
                self.bands_.append(ax.fill_between(at, low, high, color=color, alpha=0.15, lw=0))
        for name, value in truth.items():
            marker = {"precision": "*", "recall": "+"}[name]
            label = f"{name}, truth" if measure == "both" else "truth"
            style = {"color": "black", "markersize": 6 * scale(), "label": label, "zorder": 3}
            self.truth_ += ax.plot(cuts, value, marker, **style)
        ylabel = "share" if measure == "both" else measure
        ax.set(xlabel="rows dropped above error probability", ylabel=ylabel)
        ax.set_ylim(top=1.02)
        add_legend(ax)
        return self

    @classmethod
    def from_estimator(
        cls,
        scorer: Any,
        X: Any,
        y: Any = None,
        *,
        review: Any = None,
        is_wrong: ArrayLike | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw what a scorer says about cuts.

        Parameters
        ----------
        scorer : LabelErrorScorer
            Fitted.
        X : array-like of shape (n_samples, ...)
            The rows that it was fitted on.
        y : array-like of shape (n_samples,), default=None
            Their labels, as they were in that fit.
        review : NoiseReview, default=None
            What ``scorer.calibrate`` has returned.
        is_wrong : array-like of shape (n_samples,), bool, default=None
            Which labels are wrong in truth, if that is known.
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on; None makes new ones.
        **kwargs : dict
            Passed on to `plot`.

        Returns
        -------
        display : NoiseCutsDisplay
            With what it has drawn.
        """
        needed = ("cuts_", "error_probability_")
        require(scorer, cls.__name__, *needed, such_as="LabelErrorScorer")
        labels_of_fit(scorer, X, y, cls.__name__)
        if review is not None and not hasattr(review, "cuts"):
            raise ValueError(
                f"review must be what scorer.calibrate returns; got a {type(review).__name__}."
            )
        truth = _truth(scorer.error_probability_, is_wrong, scorer.cuts_["cut"])
        review_cuts = None if review is None else review.cuts
        return cls(cuts=scorer.cuts_, review_cuts=review_cuts, **truth).plot(ax, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        error_probability: ArrayLike,
        *,
        bounds: ArrayLike | None = None,
        is_wrong: ArrayLike | None = None,
        cuts: ArrayLike = CUTS,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw what error probabilities say about cuts.

        Parameters
        ----------
        error_probability : array-like of shape (n_samples,)
            The probability that a label is wrong, in [0, 1].
        bounds : array-like of shape (n_worlds, n_samples), default=None
            What it would be under other assumptions, see `measures.noise_cuts`.
        is_wrong : array-like of shape (n_samples,), bool, default=None
            Which labels are wrong in truth, if that is known.
        cuts : array-like of shape (n_cuts,)
            Where to cut, in [0, 1].
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on; None makes new ones.
        **kwargs : dict
            Passed on to `plot`.

        Returns
        -------
        display : NoiseCutsDisplay
            With what it has drawn.
        """
        error = checks.as_array(error_probability)
        table = noise_cuts(error, bounds, cuts=cuts)
        return cls(cuts=table, **_truth(error, is_wrong, table["cut"])).plot(ax, **kwargs)


def _table(table: Any, name: str) -> dict[str, NDArray[np.float64]]:
    """Return the columns of a table of cuts, in ascending order of the cuts."""
    raw = checks.columns(table, name, CUT_FIELDS.names or (), "noise_cuts")
    columns = {field: checks.numbers(raw[field], f"{name}[{field!r}]") for field in raw}
    order = np.argsort(columns["cut"], kind="stable")
    return {field: column[order] for field, column in columns.items()}


def _truth(
    error: NDArray[Any], is_wrong: ArrayLike | None, cuts: NDArray[Any]
) -> dict[str, NDArray[np.float64]]:
    """Return true precision and recall of every cut, if the truth is known."""
    if is_wrong is None:
        return {}
    wrong = checks.mask(is_wrong, "is_wrong", len(error))
    dropped = error > np.sort(cuts)[:, None]
    found = (dropped & wrong).sum(axis=1).astype(np.float64)
    shares = {"true_precision": dropped.sum(axis=1), "true_recall": np.full(len(cuts), wrong.sum())}
    return {
        name: np.divide(found, total, out=np.full(len(cuts), np.nan), where=total > 0)
        for name, total in shares.items()
    }
