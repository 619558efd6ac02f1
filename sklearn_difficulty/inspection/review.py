# SPDX-License-Identifier: BSD-3-Clause
"""What a person decided about rows: read from the review page's file, applied, merged."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arrays import as_labels, is_tensor, label_kind
from ..measures.review import ReviewPlan
from ..scorers._report import report_fingerprint
from ._review_file import load_review, refusal
from ._score_frame import as_scorer

__all__ = ["Review", "read_review", "report_fingerprint"]

CONFLICT_FIELDS = np.dtype(
    [
        ("row", np.int64),
        ("decision", "U10"),
        ("label", np.int64),
        ("other_decision", "U10"),
        ("other_label", np.int64),
    ]
)
_VERDICTS = {"right": 0.0, "suggestion": 1.0, "other": 1.0, "drop": 1.0, "unsure": np.nan}
_NO_LABEL = -1


@dataclass(frozen=True, repr=False, eq=False)
class Review:
    """What a person decided about rows; `read_review` reads it from the page's file.

    Parameters
    ----------
    rows : ndarray of shape (n_decided,), int64
        Positions of the decided rows, in ascending order.
    decisions : ndarray of shape (n_decided,), str
        "right": the given label is right. "suggestion" and "other": it is wrong, and `labels` has
        the true one, which the scorer had suggested or not. "drop": it is wrong or the row cannot
        be used, and there is no label. "unsure": the person could not tell.
    labels : ndarray of shape (n_decided,), int64
        The true label, as a position in `classes`; -1 where the decision names none.
    classes : ndarray of shape (n_classes,)
        The classes, those of the scorer if there was one.
    n_rows : int
        The number of rows, decided or not.
    fingerprint : str
        By which the report that was looked at is recognised.
    plans : tuple of ReviewPlan, default=()
        The plans whose rows were to be decided, in the order in which they were shown; several if
        reviews with different plans were merged.
    conflicts : structured ndarray of shape (n_conflicts,)
        After `merge`: rows about which the two persons disagree, with the fields ``row``,
        ``decision``, ``label``, ``other_decision`` and ``other_label``.
    kappa : float, default=nan
        After `merge`: Cohen's kappa of the two persons.

    Attributes
    ----------
    plan : ReviewPlan
        The first of `plans`; without rows if there is none.
    verdicts : ndarray of shape (n_decided,), float64
        1 where the given label is wrong, 0 where it is right, NaN where the person could not tell.

    See Also
    --------
    LabelErrorScorer.calibrate : The rate of wrong labels by such a review.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_difficulty.inspection import Review
    >>> review = Review(
    ...     rows=np.array([1, 2, 4]),
    ...     decisions=np.array(["other", "drop", "right"]),
    ...     labels=np.array([0, -1, -1]),
    ...     classes=np.array(["cat", "dog"]),
    ...     n_rows=5,
    ...     fingerprint="",
    ... )
    >>> review
    Review(3 of 5 rows decided: 1 right, 1 wrong with the true label, 1 to drop)
    >>> y_new, keep = review.apply(np.array(["cat", "dog", "dog", "cat", "dog"]))
    >>> y_new[keep]
    array(['cat', 'cat', 'cat', 'dog'], dtype='<U3')
    """

    rows: NDArray[np.int64]
    decisions: NDArray[np.str_]
    labels: NDArray[np.int64]
    classes: NDArray[Any]
    n_rows: int
    fingerprint: str
    plans: tuple[ReviewPlan, ...] = ()
    conflicts: NDArray[Any] = field(default_factory=lambda: np.empty(0, dtype=CONFLICT_FIELDS))
    kappa: float = np.nan

    @property
    def verdicts(self) -> NDArray[np.float64]:
        """1 where the label is wrong, 0 where it is right, NaN where nobody could tell."""
        return np.array([_VERDICTS[decision] for decision in self.decisions.tolist()], dtype=float)

    @property
    def plan(self) -> ReviewPlan:
        """The first plan; without rows if there is none."""
        return self.plans[0] if self.plans else ReviewPlan(np.empty(0, np.int64), np.empty(0))

    def apply(self, y: Any) -> tuple[Any, NDArray[np.bool_]]:
        """Return labels with the decisions put into them, and which rows to keep.

        Parameters
        ----------
        y : array-like of shape (n_rows,)
            The labels that were reviewed, in the order of that report.

        Returns
        -------
        y_new : array-like of shape (n_rows,)
            As y, with true labels where wrong ones were found; of the same type (array, list,
            tensor, pandas or polars Series) and dtype. Strings may be longer.
        keep : ndarray of shape (n_rows,), bool
            False for rows that are to be dropped, or whose label is wrong and the true one is not
            known. Rows that were not decided, or of which the person could not tell, are kept as
            they are.

        Raises
        ------
        ValueError
            If y has another number of rows, or labels of another kind than the classes.
        """
        given = as_labels(y)
        if len(given) != self.n_rows:
            raise ValueError(
                f"y has {len(given)} rows, and the review is of {self.n_rows}. Pass the labels "
                "that were reviewed, all of them and in their order."
            )
        keep = np.ones(self.n_rows, dtype=bool)
        is_wrong, is_known = self.verdicts == 1, self.labels != _NO_LABEL
        keep[self.rows[is_wrong & ~is_known]] = False
        changed = is_wrong & is_known
        values = self._classes_like(given)[self.labels[changed]]
        return _with_values(y, given, self.rows[changed], values), keep

    def merge(self, other: Review) -> Review:
        r"""Return the decisions of two persons who looked at the same report.

        Where only one could tell, that one's decision holds. Where they disagree, nobody's does:
        the row is "unsure" if one says that the label is right and the other that it is wrong, and
        wrong without a known label ("other", -1) if both say wrong and not the same label.

        Parameters
        ----------
        other : Review
            What the other person decided, about the same report.

        Returns
        -------
        merged : Review
            All decided rows of both, with `conflicts` and `kappa`.

        Raises
        ------
        ValueError
            If the reviews are of different reports.

        Notes
        -----
        Cohen's kappa is :math:`(p_o - p_e) / (1 - p_e)`, of the rows that both found right or
        wrong: :math:`p_o` is the share on which they agree, :math:`p_e` that on which they would
        by chance, :math:`a b + (1 - a)(1 - b)` with the shares :math:`a` and :math:`b` of wrong
        labels. NaN if there is no such row, or if both found all of them right, or all wrong.
        """
        if not isinstance(other, Review):
            raise TypeError(f"other must be a Review, got a {type(other).__name__}.")
        if (self.fingerprint, self.n_rows) != (other.fingerprint, other.n_rows):
            raise ValueError(
                "These are reviews of different reports, whose rows or scores are not the same. "
                "Only decisions about one report can be merged."
            )
        first, second = _table_of(self), _table_of(other)
        merged = {**second, **first}
        conflicts = []
        for row in sorted(first.keys() & second.keys()):
            (a, label_a), (b, label_b) = first[row], second[row]
            if a == "unsure":
                merged[row] = second[row]
            elif b != "unsure" and (_VERDICTS[a] != _VERDICTS[b] or label_a != label_b):
                conflicts.append((row, a, label_a, b, label_b))
                agreed = "other" if _VERDICTS[a] == _VERDICTS[b] else "unsure"
                merged[row] = (agreed, _NO_LABEL)
        rows = sorted(merged)
        plans = [*self.plans]
        for plan in other.plans:
            if not any(np.array_equal(plan.rows, known.rows) for known in plans):
                plans.append(plan)
        return replace(
            self,
            rows=np.array(rows, dtype=np.int64),
            decisions=np.array([merged[row][0] for row in rows], dtype=str),
            labels=np.array([merged[row][1] for row in rows], dtype=np.int64),
            plans=tuple(plans),
            conflicts=np.array(conflicts, dtype=CONFLICT_FIELDS),
            kappa=_kappa(self, other),
        )

    def __repr__(self) -> str:
        n = Counter(self.decisions.tolist())
        is_wrong, is_known = self.verdicts == 1, self.labels != _NO_LABEL
        counts = {
            "right": n["right"],
            "wrong with the true label": int((is_wrong & is_known).sum()),
            "wrong without": int((is_wrong & ~is_known).sum()) - n["drop"],
            "to drop": n["drop"],
            "unsure": n["unsure"],
        }
        said = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        text = f"{len(self.rows)} of {self.n_rows} rows decided" + (f": {said}" if said else "")
        for plan in self.plans:
            n_done = int(np.isin(plan.rows, self.rows).sum())
            text += f"; {n_done} of the {len(plan.rows)} rows of the plan"
        if len(self.conflicts) or not np.isnan(self.kappa):
            text += f"; {len(self.conflicts)} conflicts, kappa {self.kappa:.2f}"
        return f"Review({text})"

    def _classes_like(self, given: NDArray[Any]) -> NDArray[Any]:
        """Return the classes as labels of the kind of those given; the file has their names."""
        kinds = label_kind(self.classes), label_kind(given)
        if not len(self.classes) or not len(given) or kinds[0] == kinds[1]:
            return self.classes
        if kinds[0] == "text":
            known = {str(label): label for label in np.unique(given).tolist()}
            if set(self.classes.tolist()) <= set(known):
                return np.array([known[name] for name in self.classes.tolist()])
        raise ValueError(
            f"y holds {given[:1].tolist()[0]!r}, and the classes of the review are "
            f"{self.classes[:5].tolist()}. Pass labels of the same kind, and the scorer to "
            "read_review."
        )


def read_review(path: str | PathLike[str], scorer: Any = None) -> Review:
    """Read the decisions that were saved from a review page.

    Parameters
    ----------
    path : str or path-like
        The JSON file that the page saved.
    scorer : object, default=None
        The fitted scorer that the page was made of. Decisions about another report are refused.
        None takes them unchecked, with the names of the classes in the file.

    Returns
    -------
    review : Review
        What was decided: for ``scorer.calibrate(review)`` and ``review.apply(y)``.

    Raises
    ------
    ValueError
        If the file is not one of a review page, is damaged, or of another report.

    See Also
    --------
    LabelErrorScorer.calibrate : The rate of wrong labels by such a review.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_difficulty.inspection import read_review
    >>> text = '''{"format": "sklearn_difficulty.review", "version": 1,
    ...   "fingerprint": "d1ff", "n_rows": 3, "classes": ["cat", "dog"],
    ...   "plan": {"rows": [], "weight": []},
    ...   "decisions": [{"row": 2, "decision": "suggestion", "label": 1}]}'''
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "review-decisions.json")
    ...     _ = path.write_text(text)
    ...     review = read_review(path)
    >>> review.apply(["cat", "dog", "cat"])
    (['cat', 'dog', 'dog'], array([ True,  True,  True]))
    """
    content = load_review(path)
    classes = np.array(content["classes"], dtype=object)
    if scorer is not None:
        if report_fingerprint(as_scorer(scorer)) != content["fingerprint"]:
            raise refusal(
                path,
                "it holds decisions about another report: other rows, labels, or a scorer that was "
                "fitted again and says something else. Pass the very scorer that the page was made "
                "of (pickle keeps it); read_review(path) without one reads the decisions unchecked",
            )
        classes = getattr(scorer, "classes_", classes)
        if len(classes) != len(content["classes"]):
            raise refusal(path, f"it names {len(content['classes'])} classes, not {len(classes)}")
    decided = sorted(content["decisions"], key=lambda entry: entry["row"])
    labels = [
        _NO_LABEL if entry["label"] is None or entry["decision"] == "right" else entry["label"]
        for entry in decided
    ]
    rows, weight = content["plan"]["rows"], content["plan"]["weight"]
    plan = ReviewPlan(np.array(rows, dtype=np.int64), np.array(weight, dtype=np.float64))
    return Review(
        rows=np.array([entry["row"] for entry in decided], dtype=np.int64),
        decisions=np.array([entry["decision"] for entry in decided], dtype=str),
        labels=np.array(labels, dtype=np.int64),
        classes=classes,
        n_rows=content["n_rows"],
        fingerprint=content["fingerprint"],
        plans=(plan,) if rows else (),
    )


def _table_of(review: Review) -> dict[int, tuple[str, int]]:
    """Return the decision and the label by row."""
    pairs = zip(review.decisions.tolist(), review.labels.tolist(), strict=True)
    return dict(zip(review.rows.tolist(), pairs, strict=True))


def _kappa(first: Review, second: Review) -> float:
    """Return Cohen's kappa on the rows that both persons found right or wrong."""
    _, at_first, at_second = np.intersect1d(first.rows, second.rows, return_indices=True)
    a, b = first.verdicts[at_first], second.verdicts[at_second]
    both = ~np.isnan(a) & ~np.isnan(b)
    if not both.any():
        return float("nan")
    a, b = a[both], b[both]
    by_chance = a.mean() * b.mean() + (1 - a.mean()) * (1 - b.mean())
    return float((np.mean(a == b) - by_chance) / (1 - by_chance)) if by_chance < 1 else np.nan


def _with_values(y: Any, given: NDArray[Any], rows: NDArray[Any], values: NDArray[Any]) -> Any:
    """Return y, which is `given` as an array, with some rows changed; of the type of y."""
    if hasattr(y, "iloc") and y.ndim == 1:
        new = y.copy()
        new.iloc[rows] = values.astype(object) if new.dtype == object else values
        return new
    if is_tensor(y):
        new = y.detach().clone()
        new[rows] = new.new_tensor(values).reshape(new[rows].shape)
        return new
    labels = (y if type(y) is np.ndarray and y.ndim == 1 else given).copy()
    if labels.dtype.kind == "U" and len(rows):
        labels = labels.astype(np.promote_types(labels.dtype, np.array(values.tolist()).dtype))
    labels[rows] = values
    if isinstance(y, list):
        listed = list(y)
        new = labels[rows] if labels.dtype.kind == "M" else labels[rows].tolist()
        for row, value in zip(rows.tolist(), new, strict=True):
            listed[row] = value
        return listed
    if type(y).__module__.partition(".")[0] == "polars":
        return type(y)(y.name, labels.tolist(), dtype=y.dtype)
    return labels
