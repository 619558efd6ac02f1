# SPDX-License-Identifier: BSD-3-Clause
"""Fitted scorers, and whether rows are those of their fit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples, check_is_fitted

from ..._arrays import to_numpy
from ...rows.checked import is_frame
from ...rows.identity import RowsFingerprint
from ...rows.rows import Rows, as_rows
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
    rows = X if source is None else rows_for(scorer, X)
    n_given = _num_samples(rows)
    if n_given != n:
        return f"{n_given} rows instead of {n}"
    fingerprint = _fingerprint(source)
    if fingerprint is None:
        return None
    return fingerprint.difference(rows.identity(source.targets(rows, y)))


def are_of_the_fit(scorer: Any, X: Any, y: Any) -> bool:
    """Whether rows are those that a scorer was fitted on, where that decides what is drawn."""
    differs = difference(scorer, X, y)
    if differs is None and _fingerprint(_source(scorer)) is None:
        raise ValueError(
            "The record of this scorer was made of checkpoints and does not know its rows, so it "
            "cannot be told whether these are the ones. Pass what is to be drawn to the display "
            "itself: probe_predictions_ of the rows of the fit, probe_predict of others."
        )
    if differs == "other labels":
        raise ValueError(
            "X holds the rows that the scorer was fitted on, with other labels. Pass the labels of "
            "the fit as y."
        )
    return differs is None


def labels_of_fit(scorer: Any, X: Any, y: Any, display: str) -> NDArray[Any]:
    """Return the labels of the rows that a scorer was fitted on, or raise if these are others."""
    differs = difference(scorer, X, y)
    if differs is not None:
        raise ValueError(
            f"{display}.from_estimator draws the rows that the scorer was fitted on, with the "
            f"labels of that fit, and these are not ({differs}). Pass those, or pass what is to be "
            "drawn to the display itself."
        )
    return given_labels(scorer, X, y)


def given_labels(scorer: Any, X: Any, y: Any) -> NDArray[Any]:
    """Return the labels that were passed, or those that the rows bring along."""
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
    rows: Rows = _source(scorer)._rows(X)
    return rows


def one_row(scorer: Any, X: Any, row: int) -> Any:
    """Return one row of X, as X of the same kind."""
    return _safe_indexing(X, [row]) if is_frame(X) else rows_for(scorer, X).take([row]).data


def _source(scorer: Any) -> Any:
    """Return the record or the ensemble of a scorer, None of those that have neither."""
    return getattr(scorer, "record_", getattr(scorer, "ensemble_", None))


def _fingerprint(source: Any) -> RowsFingerprint | None:
    """Return by what a record or an ensemble recognises its rows."""
    return getattr(source, "rows", None) or getattr(source, "rows_", None)
