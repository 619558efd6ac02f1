# SPDX-License-Identifier: BSD-3-Clause
"""What is said of the noise, and reviews by a person in place of assumptions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from ..._arrays import LISTED_ROWS, as_array
from ..._progress import Task
from ..._warnings import warn_caller
from ...measures._plan_parts import PlanParts, parts_of_plans
from ...measures._review_estimates import NoiseReview, estimate
from ...measures._verdicts import as_verdicts
from ...measures.cuts import CUTS, check_cuts, noise_cuts
from ...measures.label_noise import LabelNoise
from ...measures.review import ReviewPlan, review_plan
from ...rows.rows import Rows
from ...training.record import TrainingRecord
from .._report import report_fingerprint
from .single_training import NoiseNotTold, noise_of_single_training

_OF_NOISE = (
    "class_dependence_",
    "cuts_",
    "error_probability_",
    "noise_matrix_",
    "noise_rate_",
    "noise_rate_interval_",
    "suggested_label_",
    "suggested_label_confidence_",
)


class ReviewsRows:
    """The part of a scorer that tells how many rows are wrong, and learns from a review of some."""

    difficulty_: NDArray[Any]
    error_probability_: NDArray[Any]
    noise_rate_: float
    noise_rate_interval_: tuple[float, float]
    _plans: list[ReviewPlan]
    _of_what = "labels"  # are wrong

    @property
    def _suspicion(self) -> NDArray[Any]:
        """What a review calibrates: the error probability, or the difficulty where it is absent."""
        return getattr(self, "error_probability_", self.difficulty_)

    def review_plan(
        self, n: int = 100, *, cut: float = 0.5, random_state: Any = None
    ) -> ReviewPlan:
        """Choose the training rows whose review tells most about the rate and about a cut.

        Parameters
        ----------
        n : int, default=100
            How many rows.
        cut : float, default=0.5
            The cut on `error_probability_` whose precision is wanted.
        random_state : int, RandomState or None, default=None
            Draws the rows.

        Returns
        -------
        plan : ReviewPlan
            Named tuple of ``rows``, their positions in X, in random order, and ``weight``, how many
            rows each stands for; and ``ids``, what the index of the DataFrame calls them that `fit`
            was given, None if it was given none. `calibrate` takes the verdicts on them, or on the
            first of them; the scorer remembers all plans of a fit.
        """
        check_is_fitted(self)
        known = np.flatnonzero(~np.isnan(self._suspicion))
        plan = review_plan(self._suspicion[known], n, cut=cut, random_state=random_state)
        rows, index = known[plan.rows], getattr(self, "_index", None)
        plan = ReviewPlan(rows, plan.weight)
        plan.ids = None if index is None else index[rows].to_numpy()
        self._plans = [*getattr(self, "_plans", ()), plan]
        return plan

    def calibrate(self, reviewed_rows: Any, verdicts: ArrayLike | None = None) -> NoiseReview:
        """Return how many rows are wrong, and what cuts drop, from reviewed rows.

        No assumption about the noise is needed. The fitted attributes stay as they are. A plan may
        be reviewed in part, from its first row on; of several plans, all verdicts count.

        Parameters
        ----------
        reviewed_rows : Review, or array-like of shape (n_reviewed,)
            What `read_review` returns, or rows of any `review_plan` of this fit, in any order, by
            their positions or, where the index of X holds no numbers, by their names there. The
            rate needs the first rows of a plan: verdicts after many rows without one do not count
            for it, a few rows that were passed over count as those that nobody could tell. Both
            are warned of.
        verdicts : array-like of shape (n_reviewed,), bool, number or str, default=None
            Whether the label, or target, turned out to be wrong: True, 1, "yes" or "wrong" say so,
            and False, 0, "no" or "right" that it is right, in upper or lower case. None, NaN, ""
            and "unsure": the person could not tell, and the intervals hold whatever these are. To
            be left out with a Review, which has them.

        Returns
        -------
        review : NoiseReview
            Named tuple of ``noise_rate``, ``noise_rate_interval`` (95 %), ``error_probability`` of
            all rows, and ``cuts``, a table like `cuts_`.

        See Also
        --------
        sklearn_difficulty.measures.calibrate_with_review : The formulas.
        sklearn_difficulty.inspection.read_review : Decisions that were saved from a review page.
        """
        check_is_fitted(self)
        plans = list(getattr(self, "_plans", ()))
        if verdicts is None:
            rows, wrong = self._decided(reviewed_rows)
            of_review = {tuple(sorted(plan.rows.tolist())) for plan in reviewed_rows.plans}
            plans = [p for p in plans if tuple(sorted(p.rows.tolist())) not in of_review]
            plans += reviewed_rows.plans  # in the order in which the person saw the rows
        else:
            rows, wrong = _checked(_positions(reviewed_rows, self), verdicts)
            _check_planned(rows, plans)
        parts = parts_of_plans(plans, rows, wrong)
        _check_parts(parts)
        known = ~np.isnan(self._suspicion)
        if not known[parts.rows].all():
            raise ValueError("The plan has rows without a score.")
        position = np.cumsum(known) - 1
        review = estimate(
            self._suspicion[known],
            position[parts.rows],
            parts.weight,
            parts.wrong,
            check_cuts(CUTS),
        )
        error_probability = np.full(len(known), np.nan)
        error_probability[known] = review.error_probability
        is_sure = ~np.isnan(wrong)
        error_probability[rows[is_sure]] = wrong[is_sure]
        return review._replace(error_probability=error_probability)

    def _decided(self, review: Any) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the rows and the verdicts of a Review of this report."""
        if not hasattr(review, "verdicts"):
            raise TypeError("verdicts are missing: pass rows and verdicts, or a Review.")
        if review.fingerprint != report_fingerprint(self):
            raise ValueError(
                "This is a review of another report: other rows, labels, or a scorer that was "
                "fitted again and says something else. Pass it to the scorer that it is of."
            )
        return review.rows, review.verdicts

    def _found(self) -> str:
        if not hasattr(self, "error_probability_"):
            order: str = super()._found()  # type: ignore[misc]  # the scorer's
            return f"{order}; how many {self._of_what} are wrong cannot be told"
        n, low, high = len(self.error_probability_), *self.noise_rate_interval_
        n_wrong = int((self.error_probability_ > 0.5).sum())
        return (
            f"{n} rows, {self.noise_rate_:.1%} of the {self._of_what} are wrong ({low:.1%} to "
            f"{high:.1%}), {n_wrong} rows more likely than not"
        )


class EstimatesNoise(ReviewsRows):
    """The part of a scorer that tells which labels are wrong."""

    classes_: NDArray[Any]
    probabilities_: NDArray[Any]
    record_: TrainingRecord
    method_: str
    noise: Any
    readout: Any
    _no_noise_because: str  # where the noise is not told

    def __getattr__(self, name: str) -> Any:
        because = vars(self).get("_no_noise_because") if name in _OF_NOISE else None
        if because is not None:
            raise AttributeError(f"There is no {name}: {because}")
        return super().__getattribute__(name)  # raises what brought us here, with its cause

    def _tell_noise_in_order(
        self, difficulty: NDArray[Any], X: Rows, targets: NDArray[Any], progress: Task
    ) -> None:
        """Set the attributes that tell of the noise by the order of a training, or say why not."""
        try:
            noise, known = noise_of_single_training(
                self.record_,
                X,
                targets,
                self.probabilities_,
                difficulty,
                readout=self.readout(),
                asks_layers=self.method_ == "neighbors",
                noise=self.noise,
                progress=progress,
            )
        except NoiseNotTold as reason:
            self._no_noise_because = (
                f"with method={self.method_!r} the network has seen all labels, so that neighbours "
                f"in the input must say how many are wrong, and {reason}. The order of difficulty_ "
                "holds, and review_plan and calibrate tell what a cut of it drops; "
                "method='out_of_sample' has probabilities."
            )
        else:
            self._keep_noise(noise, known, targets)

    def _keep_noise(self, noise: LabelNoise, known: Any, targets: NDArray[Any]) -> None:
        """Set the attributes that tell of the noise, which was estimated from the known rows."""
        self.noise_rate_ = noise.noise_rate
        self.noise_rate_interval_ = noise.noise_rate_interval
        self.noise_matrix_ = noise.noise_matrix
        self.class_dependence_ = noise.class_dependence
        self.cuts_ = noise_cuts(noise.error_probability, noise.error_probability_bounds)
        self.error_probability_ = np.full(len(targets), np.nan)
        self.error_probability_[known] = noise.error_probability
        self.suggested_label_confidence_ = np.full(len(targets), np.nan)
        self.suggested_label_confidence_[known] = noise.suggested_probability
        suggested = targets.copy()
        suggested[known] = noise.suggested
        self.suggested_label_ = self.classes_[suggested]


def _positions(reviewed_rows: Any, scorer: Any) -> Any:
    """Return rows that are named as in the index of X by their positions."""
    index = getattr(scorer, "_index", None)
    if index is None or index.dtype.kind in "iuf":
        return reviewed_rows
    names = as_array(reviewed_rows, "reviewed_rows")
    if names.dtype.kind in "iuf":
        return names
    positions = index.get_indexer_for(names)
    if (positions < 0).any() or len(positions) != len(names):
        unknown = names[~np.isin(names, index)][:LISTED_ROWS].tolist()
        raise ValueError(
            "reviewed_rows must name rows as the index of X does, every one with a name of its "
            f"own; not in the index are {unknown}."
        )
    return positions


def _checked(
    reviewed_rows: ArrayLike, verdicts: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return rows and verdicts as arrays, after checking them."""
    rows, wrong = as_array(reviewed_rows, "reviewed_rows"), as_verdicts(verdicts)
    is_whole = rows.dtype.kind == "f" and bool(np.all(rows == np.round(rows)))  # as of pandas
    if rows.ndim != 1 or len(rows) == 0 or not (rows.dtype.kind in "iu" or is_whole):
        raise ValueError(
            f"reviewed_rows must be integers of shape (n_reviewed,), got {rows.dtype} {rows.shape}."
        )
    if wrong.shape != rows.shape:
        raise ValueError(f"verdicts must have the shape {rows.shape}, got {wrong.shape}.")
    values, counts = np.unique(rows, return_counts=True)
    if counts.max() > 1:
        raise ValueError(
            "reviewed_rows must name every row once; more than once are "
            f"{values[counts > 1][:LISTED_ROWS].tolist()}."
        )
    return rows.astype(np.int64), wrong


def _check_planned(rows: NDArray[np.int64], plans: list[ReviewPlan]) -> None:
    """Raise if rows are in no plan."""
    if not plans:
        raise ValueError("Call review_plan first: it says which rows to review.")
    others = np.setdiff1d(rows, np.concatenate([plan.rows for plan in plans]))
    if len(others):
        raise ValueError(
            f"{len(others)} of the reviewed rows are in no review_plan of this fit, first "
            f"{others[:LISTED_ROWS].tolist()}. Only rows that were drawn for it tell how many "
            "labels are wrong; leave the others out."
        )


def _check_parts(parts: PlanParts) -> None:
    """Raise if no plan was reviewed, and warn of rows that were not taken in order."""
    if not len(parts.rows):
        raise ValueError(
            "No plan was reviewed from its first row on. Verdicts on all rows of a review_plan, or "
            "on the first of them, tell how many labels are wrong."
        )
    if parts.n_passed_over or parts.n_too_late:
        warn_caller(
            f"Of the first {len(parts.rows)} rows of the plan, {parts.n_passed_over} have no "
            f"verdict and count as those that nobody could tell; {parts.n_too_late} later verdicts "
            "do not count for the rate. Review plans in the order of their rows."
        )
