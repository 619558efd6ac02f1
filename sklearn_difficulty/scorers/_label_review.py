# SPDX-License-Identifier: BSD-3-Clause
"""What LabelErrorScorer says of the noise, and reviews by a person in place of assumptions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from .._arrays import as_array
from ..measures.cuts import noise_cuts
from ..measures.label_noise import LabelNoise
from ..measures.review import NoiseReview, ReviewPlan, calibrate_with_review, review_plan

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


class EstimatesNoise:
    """The part of a scorer that tells which labels are wrong, and learns from a review of some."""

    classes_: NDArray[Any]
    difficulty_: NDArray[Any]
    error_probability_: NDArray[Any]
    _plan: ReviewPlan
    _no_noise_because: str  # where the noise is not told

    def __getattr__(self, name: str) -> Any:
        because = vars(self).get("_no_noise_because") if name in _OF_NOISE else None
        if because is not None:
            raise AttributeError(f"There is no {name}: {because}")
        return super().__getattribute__(name)  # raises what brought us here, with its cause

    def _noise_is_not_told(self, setting: str, reason: Exception) -> None:
        """Keep why none of the attributes that tell of the noise is set."""
        self._no_noise_because = (
            f"with {setting} the network has seen all labels, so that neighbours in the input must "
            f"say how many are wrong, and {reason}. The order of difficulty_ holds, and "
            "review_plan and calibrate tell what a cut of it drops; method='out_of_sample' has "
            "probabilities."
        )

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
            Named tuple of ``rows``, their positions in X, and ``weight``, how many rows each stands
            for. `calibrate` takes the verdicts on them; the scorer remembers the weights.
        """
        check_is_fitted(self)
        known = np.flatnonzero(~np.isnan(self._suspicion))
        plan = review_plan(self._suspicion[known], n, cut=cut, random_state=random_state)
        self._plan = ReviewPlan(known[plan.rows], plan.weight)
        return self._plan

    def calibrate(self, reviewed_rows: ArrayLike, verdicts: ArrayLike) -> NoiseReview:
        """Return how many labels are wrong, and what cuts drop, from reviewed rows.

        No assumption about the noise is needed. The fitted attributes stay as they are.

        Parameters
        ----------
        reviewed_rows : array-like of shape (n_reviewed,)
            The rows of the latest `review_plan`, all of them, in any order.
        verdicts : array-like of shape (n_reviewed,), bool
            Whether the label turned out to be wrong.

        Returns
        -------
        review : NoiseReview
            Named tuple of ``noise_rate``, ``noise_rate_interval`` (95 %), ``error_probability`` of
            all rows, and ``cuts``, a table like `cuts_`.

        See Also
        --------
        sklearn_difficulty.measures.calibrate_with_review : The formulas.
        """
        check_is_fitted(self)
        if not hasattr(self, "_plan"):
            raise ValueError("Call review_plan first: it says which rows to review.")
        rows = as_array(reviewed_rows, "reviewed_rows")
        are_rows = rows.ndim == 1 and rows.dtype.kind in "iu"
        if not are_rows or not np.array_equal(np.sort(rows), np.sort(self._plan.rows)):
            raise ValueError(
                f"reviewed_rows must be the {len(self._plan.rows)} rows of the latest "
                "review_plan, each once: their weights hold for all of them together."
            )
        known = ~np.isnan(self._suspicion)
        position = np.cumsum(known) - 1
        weight = dict(zip(self._plan.rows.tolist(), self._plan.weight.tolist(), strict=True))
        review = calibrate_with_review(
            self._suspicion[known],
            position[rows],
            [weight[row] for row in rows.tolist()],
            verdicts,
        )
        error_probability = np.full(len(known), np.nan)
        error_probability[known] = review.error_probability
        return review._replace(error_probability=error_probability)

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
