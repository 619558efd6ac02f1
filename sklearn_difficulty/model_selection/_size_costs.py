# SPDX-License-Identifier: BSD-3-Clause
"""What the trainings of all sizes will cost: the sum of what each costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..scorers import CostEstimate, MemorizationScorer


class EstimatesCostOfSizes:
    """The part of `MemorizationTrajectory` that says what its fit will cost."""

    random_state: Any
    _validate_params: Callable[[], None]
    _rows_and_sizes: Callable[[Any, Any], Any]
    _of_ensembles: Callable[[], dict[str, Any]]

    def estimate_cost(
        self, X: Any, y: Any = None, *, scoring_view: Any = None, groups: Any = None
    ) -> CostEstimate:
        """Estimate what `fit` will cost with these arguments, from fits of a few batches.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), tensor, DataFrame, dict of arrays, or Dataset
            The rows that `fit` would be given.
        y : array-like of shape (n_samples,), default=None
            Their labels. May be None for a Dataset that yields (x, y).
        scoring_view : same kind as X, default=None
            The same rows without random augmentation, as for `fit`.
        groups : array-like of shape (n_samples,), default=None
            The group of every row, as for `fit`.

        Returns
        -------
        cost : CostEstimate
            Of all sizes: trainings, seconds and bytes on disk are added up, memory is that of the
            size that takes most.

        Raises
        ------
        TypeError, ValueError
            What `fit` raises of parameters, rows and labels.

        See Also
        --------
        sklearn_difficulty.MemorizationScorer.estimate_cost : Tells it of a single size, and how.

        Examples
        --------
        >>> from sklearn.datasets import load_digits
        >>> from sklearn_difficulty.model_selection import MemorizationTrajectory
        >>> X, y = load_digits(return_X_y=True)
        >>> MemorizationTrajectory(n_members=2).estimate_cost(
        ...     X[:200], y[:200]
        ... ).trainings
        8
        """
        self._validate_params()
        _, sizes = self._rows_and_sizes(X, y)
        settings = self._of_ensembles() | {"random_state": self.random_state}
        scorers = [MemorizationScorer(net, **settings) for _, net in sizes]
        return _added(
            scorer.estimate_cost(X, y, scoring_view=scoring_view, groups=groups)
            for scorer in scorers
        )


def _added(costs: Iterable[CostEstimate]) -> CostEstimate:
    """Return what fits cost one after the other."""
    found = list(costs)
    seconds = sum(cost.seconds for cost in found)
    return CostEstimate(
        trainings=sum(cost.trainings for cost in found),
        seconds=seconds,
        memory=max(cost.memory for cost in found),
        disk=sum(cost.disk for cost in found),
        slowdown=sum(cost.slowdown * cost.seconds for cost in found) / seconds,
    )
