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
    source = getattr(scorer, "record_", getattr(scorer, "ensemble_", None))
    if source is None:  # "precomputed", or a scorer of someone else
        n, n_given = len(scorer.difficulty_), _num_samples(X)
        return None if n_given == n else f"{n_given} rows instead of {n}"
    rows = rows_for(scorer, X)
    if len(rows) != len(scorer.difficulty_):
        return f"{len(rows)} rows instead of {len(scorer.difficulty_)}"
    known = getattr(source, "rows", None) or getattr(source, "rows_", None)
    return known and known.difference(rows.identity(source.targets(rows, y)))


def labels_of_fit(scorer: Any, X: Any, y: Any, display: str) -> NDArray[Any]:
    """Return the labels of the rows that a scorer was fitted on, or raise if these are others."""
    differs = difference(scorer, X, y)
    if differs is not None:
        raise ValueError(
            f"{display}.from_estimator draws the rows that the scorer was fitted on, with the "
            f"labels of that fit, and these are not ({differs}). Pass those, or pass what is to be "
            "drawn to the display itself."
        )
    y = rows_for(scorer, X).labels() if y is None else y
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
    if hasattr(scorer, "record_"):
        return as_rows(X, collate_fn=scorer.record_.collate_fn)
    return as_rows(X, collate_fn=collate_fn(scorer.ensemble_.estimator_))


def one_row(scorer: Any, X: Any, row: int) -> Any:
    """Return one row of X, as X of the same kind."""
    return X.iloc[[row]] if hasattr(X, "iloc") else rows_for(scorer, X).take([row]).data
