# SPDX-License-Identifier: BSD-3-Clause
"""LabelErrorMatrixDisplay: which labels are suspected, and what is suggested for them."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from . import _checks as checks
from ._base import BaseDisplay, plain
from ._fitted import labels_of_fit, require

__all__ = ["LabelErrorMatrixDisplay"]

_MOST_NUMBERS = 16  # classes, beyond which numbers in the cells cannot be read


class LabelErrorMatrixDisplay(BaseDisplay):
    """Draw how many suspects have which given label, and which label is suggested for them.

    A full cell beside the diagonal is a pair of classes that annotators take for each other. On the
    diagonal are suspects for which no other label is better than the given one.

    Parameters
    ----------
    matrix : array-like of shape (n_classes, n_classes)
        Numbers of suspects: a line for every given label, a column for every suggested one.
    class_names : array-like of shape (n_classes,), default=None
        What the classes are called; None numbers them.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        The axes.
    figure_ : matplotlib.figure.Figure
        Their figure.
    im_ : matplotlib.image.AxesImage
        The cells.
    text_ : ndarray of shape (n_classes, n_classes), object, or None
        The numbers in the cells, None for cells that are empty; None beyond 16 classes.
    colorbar_ : matplotlib.colorbar.Colorbar or None
        Beyond 16 classes, in place of the numbers.

    See Also
    --------
    HardestRowsDisplay : The suspects themselves.
    sklearn_difficulty.LabelErrorScorer : Suspects and suggests.

    Examples
    --------
    >>> from sklearn_difficulty.inspection import LabelErrorMatrixDisplay
    >>> display = LabelErrorMatrixDisplay.from_predictions(
    ...     ["cat", "cat", "dog", "dog"],
    ...     ["dog", "cat", "cat", "cat"],
    ...     suspect=[1, 0, 1, 1],
    ... )
    >>> display.matrix
    array([[0, 1],
           [2, 0]])
    """

    def __init__(self, *, matrix: Any, class_names: ArrayLike | None = None) -> None:
        self.matrix = matrix
        self.class_names = class_names

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the matrix.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on; None makes new ones.
        **kwargs : dict
            Passed on to ``Axes.imshow``.

        Returns
        -------
        display : LabelErrorMatrixDisplay
            The display itself.
        """
        self._check_matplotlib()
        matrix = checks.numbers(self.matrix, "matrix", ndim=2)
        n = len(matrix)
        if matrix.shape != (n, n) or np.isnan(matrix).any():
            raise ValueError(f"matrix must be square, without NaN; got the shape {matrix.shape}.")
        names: Any = range(n) if self.class_names is None else self.class_names
        names = [plain(name) for name in checks.labels(names, "class_names", n)]

        ax = self._open_axes(ax, (4.8, 4.4))
        self.text_ = self.colorbar_ = None
        # White where there is nothing, so that pairs stand out of many empty cells.
        cells = np.ma.masked_equal(matrix, 0)
        style = {"cmap": "cividis", "vmin": 0, "vmax": max(1, matrix.max())}
        self.im_ = ax.imshow(cells, **{**style, **kwargs})
        if n <= _MOST_NUMBERS:
            ax.set_xticks(np.arange(n + 1) - 0.5, minor=True)
            ax.set_yticks(np.arange(n + 1) - 0.5, minor=True)
            ax.grid(which="minor", color="0.85", linewidth=0.5)
            ax.tick_params(which="minor", length=0)
            self.text_ = np.full((n, n), None, dtype=object)
            size = "small" if n > 8 else "medium"
            for (i, j), value in np.ndenumerate(matrix):
                if value:
                    red, green, blue, _ = self.im_.cmap(self.im_.norm(value))
                    is_dark = 0.3 * red + 0.6 * green + 0.1 * blue < 0.5
                    self.text_[i, j] = ax.text(
                        j,
                        i,
                        f"{value:,.0f}",
                        color="white" if is_dark else "black",
                        ha="center",
                        va="center",
                        fontsize=size,
                    )
        else:
            self.colorbar_ = ax.figure.colorbar(self.im_, ax=ax, label="suspects")
        step = 1 if n <= _MOST_NUMBERS else -(-n // 10)  # more names would overlap
        at, shown = range(0, n, step), names[::step]
        ax.set_xticks(at, shown, rotation=90 if max(map(len, shown)) > 2 else 0)
        ax.set_yticks(at, shown)
        ax.set(xlabel="suggested label", ylabel="given label")
        ax.set_title(f"{int(matrix.sum()):,} suspects", loc="left", fontsize="medium")
        return self

    @classmethod
    def from_estimator(
        cls,
        scorer: Any,
        X: Any,
        y: Any = None,
        *,
        cut: float = 0.5,
        class_names: ArrayLike | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the suspects of a scorer.

        Parameters
        ----------
        scorer : LabelErrorScorer
            Fitted.
        X : array-like of shape (n_samples, ...)
            The rows that it was fitted on.
        y : array-like of shape (n_samples,), default=None
            Their labels, as they were in that fit.
        cut : float, default=0.5
            Rows with a larger error probability are suspects.
        class_names : array-like of shape (n_classes,), default=None
            What the classes are called, in the order of ``scorer.classes_``; None takes these.
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on; None makes new ones.
        **kwargs : dict
            Passed on to `plot`.

        Returns
        -------
        display : LabelErrorMatrixDisplay
            With what it has drawn.
        """
        needed = ("error_probability_", "suggested_label_")
        require(scorer, cls.__name__, *needed, such_as="LabelErrorScorer")
        given = labels_of_fit(scorer, X, y, cls.__name__)
        return cls.from_predictions(
            given,
            scorer.suggested_label_,
            suspect=scorer.error_probability_ > cut,
            classes=scorer.classes_,
            class_names=class_names,
            ax=ax,
            **kwargs,
        )

    @classmethod
    def from_predictions(
        cls,
        y: ArrayLike,
        suggested: ArrayLike,
        *,
        suspect: ArrayLike | None = None,
        classes: ArrayLike | None = None,
        class_names: ArrayLike | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw given and suggested labels.

        Parameters
        ----------
        y : array-like of shape (n_samples,)
            The given labels.
        suggested : array-like of shape (n_samples,)
            The suggested ones.
        suspect : array-like of shape (n_samples,), bool, default=None
            Which rows count; None counts those whose labels differ.
        classes : array-like of shape (n_classes,), default=None
            The classes, in the order in which they are drawn; None takes the sorted labels.
        class_names : array-like of shape (n_classes,), default=None
            What they are called; None takes the classes.
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on; None makes new ones.
        **kwargs : dict
            Passed on to `plot`.

        Returns
        -------
        display : LabelErrorMatrixDisplay
            With what it has drawn.
        """
        given = checks.labels(y, "y")
        other = checks.labels(suggested, "suggested", len(given))
        counts = given != other
        if suspect is not None:
            counts = checks.mask(suspect, "suspect", len(given))
        both = checks.labels([*given.tolist(), *other.tolist()], "y and suggested")
        known = np.unique(both) if classes is None else checks.labels(classes, "classes")
        unknown = np.unique(both[~np.isin(both, known)])
        if len(unknown):
            raise ValueError(f"classes does not hold {unknown[:5].tolist()}, which are labels.")
        order = np.argsort(known, kind="stable")
        lines, columns = (
            order[np.searchsorted(known, labels[counts], sorter=order)] for labels in (given, other)
        )
        matrix = np.zeros((len(known), len(known)), dtype=np.int64)
        np.add.at(matrix, (lines, columns), 1)
        names = known if class_names is None else class_names
        return cls(matrix=matrix, class_names=names).plot(ax, **kwargs)
