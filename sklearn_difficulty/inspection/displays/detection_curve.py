# SPDX-License-Identifier: BSD-3-Clause
"""DetectionCurveDisplay: how many errors are found by looking at so many rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import average_precision_score

from ...metrics.detection import undefined_as_easiest
from . import _checks as checks
from ._base import (
    MAX_SERIES,
    REFERENCE,
    BaseDisplay,
    add_legend,
    n_series,
    plain,
    series_style,
    styled,
)
from ._fitted import labels_of_fit, require

__all__ = ["DetectionCurveDisplay"]


class DetectionCurveDisplay(BaseDisplay):
    r"""Draw how many errors a person finds who looks at so many rows, the hardest first.

    The ideal list holds the errors first, all of them; a list in random order finds them at the
    same pace throughout.

    Parameters
    ----------
    reviewed : list of array-like of shape (n_steps,)
        For every score, numbers of rows, from 0 to all of them.
    found : list of array-like of shape (n_steps,)
        For every score, how many errors are among so many rows.
    names : list of str
        What the scores are called.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        The axes.
    figure_ : matplotlib.figure.Figure
        Their figure.
    lines_ : list of matplotlib.lines.Line2D
        A curve for every score.
    reference_ : list of matplotlib.lines.Line2D
        The ideal and the random order; empty if the axes had them already.

    See Also
    --------
    sklearn_difficulty.metrics.detection_report : The same in numbers.
    ScorerComparisonDisplay : Scorers by quality and time.

    Notes
    -----
    Among rows of equal difficulty the curve is straight, which is what it is on average over all
    their orders. Rows whose difficulty is not defined count as the easiest: nobody who reads down
    the list would come to them. The legend has the average precision (AP) of every score.

    Examples
    --------
    >>> from sklearn_difficulty.inspection import DetectionCurveDisplay
    >>> display = DetectionCurveDisplay.from_predictions(
    ...     [True, False, True, False],
    ...     {"loss": [4.0, 3.0, 2.0, 1.0], "depth": [1, 1, 1, 0]},
    ... )
    >>> display.found[0], display.found[1]
    (array([0., 1., 1., 2., 2.]), array([0., 2., 2.]))
    """

    def __init__(
        self,
        *,
        reviewed: Sequence[ArrayLike],
        found: Sequence[Any],
        names: Sequence[str],
    ) -> None:
        self.reviewed = reviewed
        self.found = found
        self.names = names

    def plot(self, ax: Any = None, *, max_rows: int | None = None, **kwargs: Any) -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on, which may hold other curves; None makes new ones.
        max_rows : int, default=None
            Up to how many rows; None goes to the end of the list.
        **kwargs : dict
            Passed on to ``Axes.plot`` for the scores.

        Returns
        -------
        display : DetectionCurveDisplay
            The display itself.
        """
        self._check_matplotlib()
        if max_rows is not None:
            checks.whole_number(max_rows, "max_rows")
        if not len(self.names) == len(self.reviewed) == len(self.found) > 0:
            raise ValueError("reviewed, found and names must hold one entry for every score.")
        checks.at_most(len(self.names), MAX_SERIES, "names", "Draw some of the scores.")
        curves = []
        for r, f in zip(self.reviewed, self.found, strict=True):
            rows = checks.numbers(r, "reviewed")
            curves.append((rows, checks.numbers(f, "found", shape=rows.shape)))
        n_rows, n_errors = curves[0][0][-1], curves[0][1][-1]

        ax = self._open_axes(ax)
        self.lines_, self.reference_ = [], []
        first = n_series(ax)
        for i, (name, (rows, found)) in enumerate(zip(self.names, curves, strict=True)):
            style = {**series_style(first + i), "markevery": 0.2, "label": plain(name)}
            self.lines_ += ax.plot(rows, found, **styled(style, kwargs))
        if first == 0:
            style = {"color": REFERENCE, "linewidth": 1, "zorder": 1}
            ideal = ([0, n_errors, n_rows], [0, n_errors, n_errors])
            self.reference_ += ax.plot(*ideal, linestyle=":", label="ideal", **style)
            chance = ([0, n_rows], [0, n_errors])
            self.reference_ += ax.plot(*chance, linestyle="--", label="random order", **style)
        end = n_rows if max_rows is None else min(max_rows, n_rows)
        ax.set(xlabel="rows reviewed, hardest first", ylabel="errors found")
        ax.set(xlim=(0, end), ylim=(0, n_errors * 1.04))
        add_legend(ax, loc="lower right")
        return self

    @classmethod
    def from_estimator(
        cls,
        scorer: Any,
        X: Any,
        y: Any = None,
        *,
        is_wrong: ArrayLike,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw what a scorer finds among the rows that it was fitted on.

        Parameters
        ----------
        scorer : estimator
            A fitted scorer; of a `DifficultyScorer` all scores are drawn.
        X : array-like of shape (n_samples, ...)
            The rows that it was fitted on.
        y : array-like of shape (n_samples,), default=None
            Their labels, as they were in that fit.
        is_wrong : array-like of shape (n_samples,), bool
            Which rows are to be found.
        name : str, default=None
            What the score is called; None takes the name of the scorer's class.
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on; None makes new ones.
        **kwargs : dict
            Passed on to `plot`.

        Returns
        -------
        display : DetectionCurveDisplay
            With what it has drawn.
        """
        require(scorer, cls.__name__, "difficulty_", such_as="LabelErrorScorer")
        labels_of_fit(scorer, X, y, cls.__name__)
        scores: dict[str, Any] = {name or type(scorer).__name__: scorer.difficulty_}
        if hasattr(scorer, "difficulties_"):
            scores = dict(zip(scorer.score_names_, scorer.difficulties_.T, strict=True))
        return cls.from_predictions(is_wrong, scores, ax=ax, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        is_wrong: ArrayLike,
        difficulty: Any,
        *,
        name: str = "difficulty",
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw what difficulties find.

        Parameters
        ----------
        is_wrong : array-like of shape (n_samples,), bool
            Which rows are to be found.
        difficulty : array-like of shape (n_samples,), dict of these, or DataFrame
            Larger = harder; several scores by name.
        name : str, default="difficulty"
            What a single score is called.
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on, which may hold other curves; None makes new ones.
        **kwargs : dict
            Passed on to `plot`.

        Returns
        -------
        display : DetectionCurveDisplay
            With what it has drawn.
        """
        has_names = isinstance(difficulty, Mapping) or hasattr(difficulty, "columns")
        named = {k: difficulty[k] for k in difficulty} if has_names else {name: difficulty}
        reviewed, found, names = [], [], []
        for key, values in named.items():
            score = checks.numbers(values, f"difficulty[{key!r}]" if has_names else "difficulty")
            wrong = checks.mask(is_wrong, "is_wrong", len(score))
            if not wrong.any():
                raise ValueError("is_wrong marks no row: there is nothing to find.")
            ranked = undefined_as_easiest(score)
            rows, hits = _steps(ranked, wrong)
            reviewed.append(rows)
            found.append(hits)
            n_undefined = np.count_nonzero(np.isnan(score))
            last = f", {n_undefined:,} undefined last" if n_undefined else ""
            names.append(f"{key} (AP {average_precision_score(wrong, ranked):.2f}{last})")
        return cls(reviewed=reviewed, found=found, names=names).plot(ax, **kwargs)


def _steps(
    score: NDArray[np.float64], wrong: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how many rows and how many errors are as hard as each distinct score, or harder."""
    _, place = np.unique(-score, return_inverse=True)
    rows, hits = np.bincount(place), np.bincount(place, weights=wrong)
    return np.r_[0.0, rows.cumsum()], np.r_[0.0, hits.cumsum()]
