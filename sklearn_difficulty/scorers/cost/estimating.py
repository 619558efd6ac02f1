# SPDX-License-Identifier: BSD-3-Clause
"""EstimatesCost: the method of scorers that tells what their fit will cost."""

from __future__ import annotations

from typing import Any

from joblib import effective_n_jobs
from sklearn.base import clone

from .._trained_source import given_record, is_trained
from .estimate import CostEstimate
from .extrapolation import cost_of_all
from .given_rows import GivenToFit
from .rehearsal import Rehearsal
from .watching import quiet

_WORTH_TELLING = 10  # times as many rows as are rehearsed with


class EstimatesCost:
    """The part of a scorer that says what its fit will cost."""

    def estimate_cost(
        self, X: Any, y: Any = None, *, scoring_view: Any = None, groups: Any = None
    ) -> CostEstimate:
        r"""Estimate what `fit` will cost with these arguments, from fits of a few batches.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), tensor, DataFrame, dict of arrays, or Dataset
            The rows that `fit` would be given.
        y : array-like of shape (n_samples,), default=None
            Their labels or targets. May be None for a Dataset that yields (x, y).
        scoring_view : same kind as X, default=None
            The same rows without random augmentation, as for `fit`.
        groups : array-like of shape (n_samples,), default=None
            The group of every row, as for `fit`.

        Returns
        -------
        cost : CostEstimate
            With `trainings`, `seconds`, `memory` and `disk` (bytes), the factor `error` that the
            estimate is stated within, and `slowdown`, how busy the machine is; ``str(cost)`` is a
            sentence.

        Raises
        ------
        TypeError, ValueError
            What `fit` raises of parameters, rows and labels.

        See Also
        --------
        sklearn_difficulty.CostEstimate : What is returned.

        Notes
        -----
        A clone with all its epochs, members and parameters is fitted to two and to six batches of
        the rows, and before that once to two, which is not timed. With :math:`n_1` and
        :math:`n_2` rows and :math:`t_1` and :math:`t_2` seconds, :math:`n` rows take

        .. math:: t_2 + (n - n_2) \frac{t_2 - t_1}{n_2 - n_1} + p\,s,

        where :math:`p` pairs of rows have their distance computed in a search of nearest
        neighbours, at :math:`s` seconds each, timed separately (:math:`t_1` and :math:`t_2` are
        without those); :math:`p` grows with :math:`n^2` up to `max_bank` rows. The rehearsal
        costs what ten batches of rows do.

        Seconds are those on the wall less those in which the thread was ready to work and another
        program had the processor, as Linux tells: they come out the same on a machine that others
        use. Elsewhere, and for what workers of `n_jobs` wait, they are those of the wall.

        Callbacks of the network other than RecordTraining are left out: training that they stop
        early takes less. Where a record or an ensemble that is given can be asked about its own
        rows alone, all of them are read, and nothing is extrapolated. The scorer, its network and
        the global random generators are left as they are.

        Examples
        --------
        >>> from sklearn.datasets import load_digits
        >>> from sklearn_difficulty import VoGScorer
        >>> X, y = load_digits(return_X_y=True)
        >>> cost = VoGScorer().estimate_cost(X, y)
        >>> cost.trainings
        1
        >>> cost.seconds < 1000
        True
        """
        self._check_estimator()  # type: ignore[attr-defined]  # of the scorer, as below
        self._validate_params()  # type: ignore[attr-defined]
        with quiet():
            return _cost(self, GivenToFit(self, X, y, scoring_view, groups))

    def _parts(self) -> list[Any]:
        """Return the scorers that read what was trained: several if one holds others."""
        return [self]


def told_beforehand(
    scorer: Any, X: Any, y: Any, scoring_view: Any = None, groups: Any = None
) -> str | None:
    """Return the estimate as a sentence; None where the rehearsal would take longer than it saves.

    A scorer that cannot be rehearsed says nothing here: what is wrong is told by its fit.
    """
    try:
        with quiet():
            given = GivenToFit(scorer, X, y, scoring_view, groups)
            is_small = given.n < _WORTH_TELLING * sum(given.sizes())
            if is_small or is_trained(scorer.estimator):
                return None
            return f"{type(scorer).__name__}: {_cost(scorer, given)}"
    except Exception:
        return None


def _cost(scorer: Any, given: GivenToFit) -> CostEstimate:
    """Rehearse, and tell what all rows cost."""
    sizes = [given.n] if _reads_its_rows(scorer) else given.sizes()
    if len(sizes) > 1:  # what is made once, such as threads, is not timed
        _rehearsed(scorer, given, sizes[0])
    rehearsals = [_rehearsed(scorer, given, size) for size in sizes]
    at_once = min(effective_n_jobs(getattr(scorer, "n_jobs", None)), rehearsals[-1].trainings)
    if len(sizes) > 1 and at_once > 1:
        alone = clone(scorer).set_params(n_jobs=1)  # workers do not tell what they count
        counted = _rehearsed(alone, given, sizes[0]).pairs
        rehearsals = [rehearsal.with_pairs(counted, sizes[0], at_once) for rehearsal in rehearsals]
    return cost_of_all(rehearsals, given.n, scorer, given.cast_bytes)


def _rehearsed(scorer: Any, given: GivenToFit, n: int) -> Rehearsal:
    """Fit to n of the rows."""
    X, y, others = given.some(n)
    return Rehearsal.of(scorer, n, X, y, others)


def _reads_its_rows(scorer: Any) -> bool:
    """Tell whether what was trained knows about its own rows alone."""
    if not is_trained(scorer.estimator):
        return False
    is_ensemble = given_record(scorer.estimator) is None
    return is_ensemble or bool(scorer._needs().same_rows)
