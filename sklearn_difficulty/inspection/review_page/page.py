# SPDX-License-Identifier: BSD-3-Clause
"""ReviewPage: rows and what was found, in one file that a browser opens."""

from __future__ import annotations

import tempfile
import webbrowser
from collections.abc import Mapping, Sequence
from html import escape
from numbers import Integral
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import _num_samples

from ..._arrays import to_numpy
from ..._parameters import check_parameters
from ...measures.review import ReviewPlan
from .._score_frame import as_scorer
from ..displays import _checks as checks
from ..review import report_fingerprint
from .content import Content, content_of, nearest_rows
from .findings import findings_of
from .writer import LARGEST_FILE, PageWriter

__all__ = ["ReviewPage"]

_NOTEBOOK_ROWS = 300
_NOTEBOOK_HEIGHT = 720  # pixels


class ReviewPage:
    """Make one offline HTML file in which a person reviews labels, hardest rows first.

    The file holds the numbers of all rows, and pictures, texts or values of those worth a look. It
    needs no server, no network and no Python: mail it to whoever knows the data. The decisions are
    saved as a JSON file, which `read_review` takes back.

    Parameters
    ----------
    scorer : estimator or DataFrame
        A fitted scorer with `difficulty_`. Of a `LabelErrorScorer` the page shows suggestions,
        error probabilities and what cuts find, and offers a plan of rows whose review tells how
        many labels are wrong. Of others it shows what they have; with `difficulty_` alone, the
        order. Or a frame with a column per score, of which the first, larger = harder, gives the
        order.
    X : array-like of shape (n_samples, ...), DataFrame, dict of arrays, or Dataset
        The rows that it was fitted on.
    y : array-like of shape (n_samples,)
        Their labels, as they were in that fit. None for a Dataset that yields (x, y).
    show : array-like or sequence of length n_samples, default=None
        What is to be seen of every row in place of X: pictures (arrays of shape (height, width),
        with colours last or first, tensors, PIL images, or ``pathlib.Path`` of files), texts, or a
        DataFrame. Pictures need Pillow.
    ids : array-like of shape (n_samples,), default=None
        What rows are called; None takes the index of the DataFrame that the scorer was fitted on,
        if it says more than their positions.
    plan : int or ReviewPlan, default=100
        How many rows `LabelErrorScorer.review_plan` draws, or what it has returned; 0 for none.
        There is no plan without error probabilities.
    max_rows : int, default=2000
        Of how many of the hardest rows the file holds more than numbers, besides the plan and the
        neighbours of both.
    thumbnail_size : int, default=64
        Longest side of pictures, in pixels. The selected row is shown up to four times as large,
        as long as `max_bytes` has room.
    class_names : sequence of str, or dict, default=None
        What classes are called: in the order of `classes_`, or by class.
    blind : bool, default=True
        Whether suggestion, scores and nearest rows of a row of the plan are hidden until it is
        decided, so that verdicts are of the reviewer and not of the network.
    neighbors : int, default=5
        How many of the nearest rows a row is shown beside: near in the last hidden layer of the
        network where there is a single one, otherwise in the array or table that is shown, or in X.
    max_bytes : int, default=25_000_000
        Size of the file, at most 100 MB. If more is needed, fewer rows have pictures, texts or
        values; a warning and the page say of how many. The numbers of all rows stay.
    title : str, default=None
        What stands at the top.
    random_state : int, RandomState instance or None, default=None
        Draws the plan.

    Attributes
    ----------
    plan_ : ReviewPlan or None
        The rows of the plan and their weights, in the order in which the page shows them. None
        without error probabilities.

    See Also
    --------
    read_review : Reads the decisions that the page has saved.
    sklearn_difficulty.LabelErrorScorer.calibrate : What the decisions on the plan say of the rate.
    HardestRowsDisplay : The hardest rows as a figure.

    Notes
    -----
    The file loads nothing and sends nothing: its content security policy allows its own script and
    style only. Names and texts are shown as they are, never as markup, with control characters
    spelled out. What the reviewer decides is kept by the browser, where it allows that, and in the
    file that is saved with "e".

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import cross_val_predict
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from sklearn_difficulty import LabelErrorScorer
    >>> from sklearn_difficulty.datasets import make_label_noise
    >>> from sklearn_difficulty.inspection import ReviewPage
    >>> X, y = load_digits(return_X_y=True)
    >>> y_noisy, _ = make_label_noise(y, rate=0.1, random_state=0)
    >>> P = cross_val_predict(
    ...     KNeighborsClassifier(), X, y_noisy, method="predict_proba"
    ... )
    >>> scorer = LabelErrorScorer("precomputed").fit(P, y_noisy)
    >>> page = ReviewPage(
    ...     scorer, P, y_noisy, show=X.reshape(-1, 8, 8), random_state=0
    ... )
    >>> len(page.plan_.rows)
    100

    ``page.write("review.html")`` writes the file, ``page.open()`` opens it in a browser, and as
    the last line of a notebook's cell ``page`` shows the summary and the first rows.
    """

    def __init__(
        self,
        scorer: Any,
        X: Any,
        y: Any,
        *,
        show: Any = None,
        ids: ArrayLike | None = None,
        plan: int | ReviewPlan = 100,
        max_rows: int = 2000,
        thumbnail_size: int = 64,
        class_names: Sequence[str] | Mapping[Any, str] | None = None,
        blind: bool = True,
        neighbors: int = 5,
        max_bytes: int = 25_000_000,
        title: str | None = None,
        random_state: Any = None,
    ) -> None:
        check_parameters(
            "ReviewPage",
            plan=(plan, [Interval(Integral, 0, None, closed="left"), ReviewPlan]),
            max_rows=(max_rows, [Interval(Integral, 0, None, closed="left")]),
            thumbnail_size=(thumbnail_size, [Interval(Integral, 8, 1024, closed="both")]),
            blind=(blind, ["boolean"]),
            neighbors=(neighbors, [Interval(Integral, 0, 50, closed="both")]),
            max_bytes=(max_bytes, [Interval(Integral, 1, LARGEST_FILE, closed="both")]),
            title=(title, [str, None]),
            random_state=(random_state, ["random_state"]),
        )
        scorer = as_scorer(scorer)
        self._findings = findings_of(scorer, X, y)
        self.plan_ = self._drawn_plan(scorer, plan, random_state)
        names = _names_of(self._findings.classes, class_names)
        content = self._content_of(
            X if show is None else show,
            len(names),
            size=thumbnail_size,
            names=getattr(scorer, "feature_names_in_", None),
        )
        base = self._worth_a_look(max_rows)
        has_error = self._findings.error is not None
        self._title = title or ("Which labels are wrong?" if has_error else "Which rows are hard?")
        self._writer = PageWriter(
            title=self._title,
            fingerprint=report_fingerprint(scorer),
            findings=self._findings,
            class_names=names,
            ids=_ids(ids, scorer, len(self._findings.given)),
            plan=self.plan_,
            blind=blind,
            content=content,
            base=base,
            neighbors=nearest_rows(scorer, X, content, base, neighbors),
            max_bytes=max_bytes,
        )

    def write(self, path: str | PathLike[str]) -> Path:
        """Write the page.

        Parameters
        ----------
        path : path-like
            The file, which is overwritten if it exists.

        Returns
        -------
        path : Path
            Where it is.
        """
        file = Path(path).expanduser()
        file.write_bytes(self._writer.document(self._findings.order))
        return file

    def open(self) -> Path:
        """Write the page to a temporary file and open it in the browser.

        Returns
        -------
        path : Path
            Where the file is.
        """
        with tempfile.NamedTemporaryFile(
            prefix="review-", suffix=".html", delete=False
        ) as temporary:
            path = self.write(temporary.name)
        webbrowser.open(path.as_uri())
        return path

    def _repr_html_(self) -> str:
        """Return a summary and the first rows, in a frame that can do nothing to the notebook."""
        order = self._findings.order
        in_plan = self._planned[:_NOTEBOOK_ROWS]
        rest = order[~np.isin(order, in_plan)][: _NOTEBOOK_ROWS - len(in_plan)]
        listed = order[np.isin(order, np.concatenate([in_plan, rest]))]
        page = escape(self._writer.document(listed, with_details=False).decode("utf-8"))
        said = " ".join(self._findings.sentences())
        if len(listed) < len(order):
            said += f" Here are {len(listed)} of them; page.write(path) has all."
        return (
            f"<p>{escape(said)}</p>"
            f'<iframe sandbox="allow-scripts allow-downloads" title="{escape(self._title)}" '
            f'style="width: 100%; height: {_NOTEBOOK_HEIGHT}px; border: 1px solid" '
            f'srcdoc="{page}"></iframe>'
        )

    def __repr__(self) -> str:
        return (
            f"<ReviewPage of {len(self._findings.given):,} rows, {len(self._planned)} in the plan>"
        )

    # ----------------------------------------------------------------------------- what is shown

    def _content_of(self, show: Any, n_classes: int, **settings: Any) -> Content:
        """Return what is to be seen of the rows, after counting them."""
        n = len(self._findings.given)
        n_shown = len(show) if not hasattr(show, "shape") else _num_samples(show)
        if n_shown != n and not isinstance(show, Mapping):
            raise ValueError(f"show holds {n_shown} rows, and there are {n}.")
        return content_of(show, self._findings.given, n_classes, **settings)

    def _drawn_plan(self, scorer: Any, plan: Any, random_state: Any) -> ReviewPlan | None:
        """Return the plan, if there can be one, in the order in which its rows are shown."""
        if isinstance(plan, ReviewPlan):
            checks.positions(plan.rows, "plan.rows", len(self._findings.given))
            return plan
        if plan == 0 or self._findings.error is None or not hasattr(scorer, "review_plan"):
            return None
        drawn: ReviewPlan = scorer.review_plan(int(plan), random_state=random_state)
        return drawn

    def _worth_a_look(self, max_rows: int) -> NDArray[np.int64]:
        """Return the rows that are shown with more than numbers: the plan, then the hardest."""
        hardest = self._findings.order
        rest = hardest[~np.isin(hardest, self._planned)]
        return np.concatenate([self._planned, rest[:max_rows]])

    @property
    def _planned(self) -> NDArray[np.int64]:
        """Return the rows of the plan, none without one."""
        return np.empty(0, dtype=np.int64) if self.plan_ is None else self.plan_.rows


def _names_of(classes: NDArray[Any], names: Any) -> list[str]:
    """Return the names of classes as texts."""
    labels = classes.tolist()
    if names is None:
        return [str(label) for label in labels]
    if isinstance(names, Mapping):
        missing = [label for label in labels if label not in names]
        if missing:
            raise ValueError(f"class_names has no name for {missing[0]!r}, one of the classes.")
        return [str(names[label]) for label in labels]
    given = [str(name) for name in names]
    if len(given) != len(labels):
        raise ValueError(f"class_names holds {len(given)} names, and there are {len(labels)}.")
    return given


def _ids(ids: Any, scorer: Any, n: int) -> list[str] | None:
    """Return what rows are called as texts, None if nobody has named them."""
    index = getattr(scorer, "_index", None)
    if ids is None and (index is None or np.array_equal(index, np.arange(n))):
        return None
    ids = index if ids is None else ids
    called = [str(name) for name in np.asarray(to_numpy(ids)).tolist()]
    if len(called) != n:
        raise ValueError(f"ids holds {len(called)} names, and there are {n} rows.")
    return called
