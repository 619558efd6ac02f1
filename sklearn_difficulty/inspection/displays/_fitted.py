# SPDX-License-Identifier: BSD-3-Clause
"""Fitted scorers, and whether rows are those of their fit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import _num_samples, check_is_fitted

from ...rows.labels import to_numpy
from ...rows.rows import Rows, as_rows
from ...training.skorch_net import collate_fn
from ...training.trajectory import Trajectory


def require(scorer: Any, display: str, *attributes: str, such_as: str) -> None:
    """Raise unless a scorer is fitted and has what a display draws."""
    check_is_fitted(scorer)
    missing = [name for name in attributes if getattr(scorer, name, None) is None]
    if missing:
        raise ValueError(
            f"{display}.from_estimator needs a fitted scorer with {missing[0]}, such as {such_as}; "
            f"{type(scorer).__name__} has none."
        )


def difference(scorer: Any, X: Any, y: Any) -> str | None:
    """Say in what rows differ from those of the fit, or None if they do not as far as is known."""
    source, n = _source(scorer), len(scorer.difficulty_)
    n_given = _num_samples(X) if source is None else len(rows_for(scorer, X))
    if n_given != n:
        return f"{n_given} rows instead of {n}"
    known = getattr(source, "rows", None) or getattr(source, "rows_", None)
    if source is None or known is None:
        return None
    rows = rows_for(scorer, X)
    return known.difference(rows.identity(source.targets(rows, y)))


def labels_of_fit(scorer: Any, X: Any, y: Any, display: str) -> NDArray[Any]:
    """Return the labels of the rows that a scorer was fitted on, or raise if these are others."""
    differs = difference(scorer, X, y)
    if differs is not None:
        raise ValueError(
            f"{display}.from_estimator draws the rows that the scorer was fitted on, with the "
            f"labels of that fit, and these are not ({differs}). Pass those, or pass what is to be "
            "drawn to the display itself."
        )
    if y is None:
        y = as_rows(X).labels() if _source(scorer) is None else rows_for(scorer, X).labels()
    return np.asarray(to_numpy(y))


def trajectory_of(scorer: Any, display: str) -> Trajectory:
    """Return what the training of a scorer said in every epoch."""
    require(scorer, display, "record_", such_as="TrainingDynamicsScorer")
    trajectory: Trajectory | None = scorer.record_.trajectory
    if trajectory is None:
        raise ValueError(
            f"{display}.from_estimator reads what training said in every epoch, and this record "
            "holds nothing of it. Fit a TrainingDynamicsScorer on the net, or train with "
            "TrainingRecord.from_fit."
        )
    return trajectory


def rows_for(scorer: Any, X: Any) -> Rows:
    """Return X as the rows that a scorer's network reads."""
    source = _source(scorer)
    joins = source.collate_fn if hasattr(source, "collate_fn") else collate_fn(source.estimator_)
    return as_rows(X, collate_fn=joins)


def one_row(scorer: Any, X: Any, row: int) -> Any:
    """Return one row of X, as X of the same kind."""
    return X.iloc[[row]] if hasattr(X, "iloc") else rows_for(scorer, X).take([row]).data


def _source(scorer: Any) -> Any:
    """Return the record or the ensemble of a scorer, None of those that have neither."""
    return getattr(scorer, "record_", getattr(scorer, "ensemble_", None))
