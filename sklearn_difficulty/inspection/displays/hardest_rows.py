# SPDX-License-Identifier: BSD-3-Clause
"""HardestRowsDisplay: the rows themselves, hardest first."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import shorten
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import _num_samples

from . import _checks as checks
from ._base import COLORS, MARKED, BaseDisplay, scale, styled
from ._fitted import labels_of_fit, require
from ._pictures import as_picture, item_of

__all__ = ["HardestRowsDisplay"]


class HardestRowsDisplay(BaseDisplay):
    """Draw rows as a grid of pictures, or a list of texts, with their labels.

    Parameters
    ----------
    items : list of array, Path or str
        Pictures of shape (height, width), (height, width, colours) or (colours, height, width),
        tensors and PIL images too, or ``pathlib.Path`` of files; or texts.
    titles : list of str
        What stands above every picture, or before every text.
    is_right : array-like of shape (n_items,), bool, default=None
        Whether what the title says is right, as a sign behind it.
    rows : array-like of shape (n_items,), default=None
        Positions of the rows, for those who want to look further.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        The axes, which hold all pictures.
    figure_ : matplotlib.figure.Figure
        Their figure.
    images_ : list of matplotlib.image.AxesImage
        The pictures; empty for texts.
    titles_ : list of matplotlib.text.Text
        The titles.
    texts_ : list of matplotlib.text.Text
        The texts; empty for pictures.

    See Also
    --------
    LabelErrorMatrixDisplay : Which labels are suspected.
    DifficultyDisplay : How hard all rows are.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_difficulty.inspection import HardestRowsDisplay
    >>> images = np.random.default_rng(0).random((3, 8, 8))
    >>> display = HardestRowsDisplay.from_predictions(
    ...     images, [0.1, 0.9, 0.5], y=[3, 5, 8], suggested=[3, 6, 3], n=2
    ... )
    >>> [title.get_text() for title in display.titles_]
    ['5 → 6', '8 → 3']
    """

    def __init__(
        self,
        *,
        items: Sequence[Any],
        titles: Sequence[str],
        is_right: ArrayLike | None = None,
        rows: Any = None,
    ) -> None:
        self.items = items
        self.titles = titles
        self.is_right = is_right
        self.rows = rows

    def plot(self, ax: Any = None, *, n_columns: int = 6, **kwargs: Any) -> Self:
        """Draw the rows.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on; None makes new ones.
        n_columns : int, default=6
            Pictures in a line; texts have a line each.
        **kwargs : dict
            Passed on to ``Axes.imshow`` or, for texts, ``Axes.text``. Grey pictures are drawn with
            ``cmap="gray"``: "gray_r" has ink on paper.

        Returns
        -------
        display : HardestRowsDisplay
            The display itself.
        """
        self._check_matplotlib()
        checks.whole_number(n_columns, "n_columns")
        n = len(self.items)
        if n == 0 or len(self.titles) != n:
            raise ValueError(
                f"There must be a title for every item and at least one; got {n} items and "
                f"{len(self.titles)} titles."
            )
        signs, colors = [""] * n, ["black"] * n
        if self.is_right is not None:
            right = checks.mask(self.is_right, "is_right", n)
            signs = [" ✓" if r else " ✗" for r in right]
            colors = [COLORS[0] if r else MARKED for r in right]
        items = [as_picture(item, i) for i, item in enumerate(self.items)]
        are_texts = [isinstance(item, str) for item in items]
        if any(are_texts) and not all(are_texts):
            raise ValueError("items holds texts and pictures; it must be one or the other.")
        titles = [title + sign for title, sign in zip(self.titles, signs, strict=True)]
        if any(are_texts):
            titles = [title.replace("\n", " ") for title in titles]

        n_columns = 1 if any(are_texts) else min(n_columns, n)
        n_lines = -(-n // n_columns)
        size = (6.4, 0.3 * n + 0.2) if any(are_texts) else (4.8, 4.8 / n_columns * 1.3 * n_lines)
        ax = self._open_axes(ax, size)
        ax.set_axis_off()
        self.images_: list[Any] = []
        self.texts_: list[Any] = []
        self.titles_: list[Any] = []
        draw = self._draw_texts if any(are_texts) else self._draw_pictures
        draw(ax, items, titles, n_columns, **kwargs)
        for text, color in zip(self.titles_, colors, strict=True):
            text.set_color(color)
        return self

    def _draw_pictures(
        self, ax: Any, items: list[Any], titles: list[str], n_columns: int, **kwargs: Any
    ) -> None:
        """Draw pictures one unit wide, each with a title above."""
        longest = max(len(line) for title in titles for line in title.split("\n"))
        width = _width(ax) / n_columns
        size = min(10 * scale(), 1.5 * width / max(4, longest))
        n_title = max(title.count("\n") + 1 for title in titles)
        shapes = [np.array(item.shape[:2]) / max(item.shape[:2]) * 0.94 for item in items]
        above = 1.35 * size * n_title / width + 0.06
        step = max(height for height, _ in shapes) + above
        center = {"ha": "center", "va": "bottom", "fontsize": size, "parse_math": False}
        for i, (item, title, (height, breadth)) in enumerate(
            zip(items, titles, shapes, strict=True)
        ):
            x, bottom = i % n_columns + 0.5, step * (i // n_columns + 1)
            extent = (x - breadth / 2, x + breadth / 2, bottom, bottom - height)
            self.images_.append(ax.imshow(item, extent=extent, **{"cmap": "gray", **kwargs}))
            self.titles_.append(ax.text(x, bottom - height, title, **center))
        n_lines = -(-len(items) // n_columns)
        ax.set(xlim=(0, n_columns), ylim=(step * n_lines + 0.03, 0), aspect="equal")

    def _draw_texts(
        self, ax: Any, items: list[Any], titles: list[str], n_columns: int, **kwargs: Any
    ) -> None:
        """Draw a line for every text, as much of it as has room."""
        size, width = 8 * scale(), _width(ax)
        n_title = max(map(len, titles))
        # A letter is about 0.55, a bold one 0.65 of its size wide.
        start = (n_title + 1) * 0.65 * size
        n_letters = max(10, int((width - start) / (0.55 * size)))
        style = {"va": "center", "fontsize": size, "parse_math": False}
        for i, (item, title) in enumerate(zip(items, titles, strict=True)):
            text = shorten(item, n_letters, placeholder=" …")
            self.titles_.append(ax.text(0, i, title, weight="bold", **style))
            self.texts_.append(ax.text(start / width, i, text, **styled(style, kwargs)))
        ax.set(xlim=(0, 1), ylim=(len(items) - 0.5, -0.5))

    @classmethod
    def from_estimator(
        cls,
        scorer: Any,
        X: Any,
        y: Any = None,
        *,
        n: int = 12,
        rows: Any = None,
        y_true: ArrayLike | None = None,
        show: Any = None,
        image_shape: Sequence[int] | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the hardest rows of those that a scorer was fitted on.

        Parameters
        ----------
        scorer : estimator
            A fitted scorer. If it has `suggested_label_`, the title of a row is "given →
            suggested", otherwise it is the given label.
        X : array-like of shape (n_samples, ...)
            The rows that it was fitted on.
        y : array-like of shape (n_samples,), default=None
            Their labels, as they were in that fit.
        n : int, default=12
            How many rows, the hardest first.
        rows : array-like of int, default=None
            Positions of other rows to draw in their place, in this order.
        y_true : array-like of shape (n_samples,), default=None
            The true labels, if they are known: what is suggested, or given, gets a sign for right
            (✓) or not (✗).
        show : sequence of length n_samples, default=None
            What is drawn of every row in place of X: pictures, their ``pathlib.Path``, or texts.
        image_shape : tuple of int, default=None
            Shape of a picture whose values are a flat row of X.
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on; None makes new ones.
        **kwargs : dict
            Passed on to `plot`.

        Returns
        -------
        display : HardestRowsDisplay
            With what it has drawn.
        """
        require(scorer, cls.__name__, "difficulty_", such_as="LabelErrorScorer")
        return cls.from_predictions(
            X if show is None else show,
            scorer.difficulty_,
            labels_of_fit(scorer, X, y, cls.__name__),
            suggested=getattr(scorer, "suggested_label_", None),
            n=n,
            rows=rows,
            y_true=y_true,
            image_shape=image_shape,
            ax=ax,
            **kwargs,
        )

    @classmethod
    def from_predictions(
        cls,
        show: Any,
        difficulty: ArrayLike,
        y: ArrayLike,
        *,
        suggested: ArrayLike | None = None,
        n: int = 12,
        rows: Any = None,
        y_true: ArrayLike | None = None,
        image_shape: Sequence[int] | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the hardest of any rows.

        Parameters
        ----------
        show : sequence of length n_samples
            Pictures, their ``pathlib.Path``, or texts.
        difficulty : array-like of shape (n_samples,)
            Larger = harder. Rows with NaN come last.
        y : array-like of shape (n_samples,)
            The given labels.
        suggested : array-like of shape (n_samples,), default=None
            The suggested labels.
        n : int, default=12
            How many rows, the hardest first.
        rows : array-like of int, default=None
            Positions of other rows to draw in their place, in this order.
        y_true : array-like of shape (n_samples,), default=None
            The true labels, if they are known: what is suggested, or given, gets a sign for right
            (✓) or not (✗).
        image_shape : tuple of int, default=None
            Shape of a picture whose values are a flat row.
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on; None makes new ones.
        **kwargs : dict
            Passed on to `plot`.

        Returns
        -------
        display : HardestRowsDisplay
            With what it has drawn.
        """
        scores = checks.numbers(difficulty, "difficulty")
        n_rows = len(scores)
        given = checks.labels(y, "y", n_rows)
        if (len(show) if not hasattr(show, "shape") else _num_samples(show)) != n_rows:
            raise ValueError(f"show must hold a picture or a text for each of the {n_rows} rows.")
        chosen = np.argsort(-scores, kind="stable")[: checks.whole_number(n, "n")]  # NaN last
        if rows is not None:
            chosen = checks.positions(rows, "rows", n_rows)
        says = given
        titles = [f"label {label}" for label in given[chosen]]
        if suggested is not None:
            says = checks.labels(suggested, "suggested", n_rows)
            pairs = zip(given[chosen], says[chosen], strict=True)
            titles = [_title(a, b) for a, b in pairs]
        is_right = None
        if y_true is not None:
            is_right = (says == checks.labels(y_true, "y_true", n_rows))[chosen]
        items = [as_picture(item_of(show, int(i)), int(i), image_shape) for i in chosen]
        return cls(items=items, titles=titles, is_right=is_right, rows=chosen).plot(ax, **kwargs)


def _title(given: Any, suggested: Any) -> str:
    """Return what stands above a row; long labels have a line each."""
    if given == suggested:
        return f"{given}: no better"
    arrow = "\n→ " if len(f"{given}{suggested}") > 4 else " → "
    return f"{given}{arrow}{suggested}"


def _width(ax: Any) -> float:
    """Return the width of axes in points, once their layout is settled."""
    figure = ax.figure.canvas.figure  # not a subfigure
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    return float(ax.get_window_extent().width / figure.dpi * 72)
