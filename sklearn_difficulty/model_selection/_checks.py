# SPDX-License-Identifier: BSD-3-Clause
"""What both functions need: scorers and data that can be trained on anew, and the training."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone, is_regressor
from sklearn.pipeline import Pipeline
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import has_fit_parameter

from .._arrays import as_array, as_labels, as_numbers
from ..rows.given import GivenRows
from ..rows.rows import FrameRows, Rows, as_rows
from ..scorers._pipelines import check_steps, fit_scorer, scorer_in
from ..scorers._trained_source import is_trained
from ..training.skorch_net import NET_TYPES, collate_fn, columns_of, is_regression

N_LISTED = 5  # rows, groups or classes that a message names


def check_untrained(scorer: Any, verb: str) -> None:
    """Raise unless clones of the scorer can be trained on other rows or labels."""
    clone(scorer)  # says what is wrong with things that are no estimator
    scorer = scorer_in(scorer)
    held = getattr(scorer, "estimator", None)
    if isinstance(held, str) and held == "precomputed":
        raise ValueError(
            f"{type(scorer).__name__} reads precomputed probabilities, whose networks are already "
            f"trained; {verb} trains anew: pass the net."
        )
    if is_trained(held):
        raise ValueError(
            f"{type(scorer).__name__} holds a {type(held).__name__}, which is already trained; "
            f"{verb} trains anew: pass the net."
        )


def collate_fn_of(scorer: Any) -> Any:
    """Return how the scorer's network joins the items of a Dataset."""
    net = getattr(scorer, "estimator", None)
    return collate_fn(net) if isinstance(net, NET_TYPES[0]) else None


def rows_of(scorer: Any, X: Any) -> Rows:
    """Return X as the rows that a scorer reads, checked; as it was given for a Pipeline."""
    if isinstance(scorer, Pipeline):
        check_steps(scorer)
        return GivenRows(X)
    read = getattr(scorer, "_rows", None)  # of our own scorers
    if read is not None:
        return read(X)
    net = getattr(scorer, "estimator", None)
    columns = columns_of(net) if isinstance(net, NET_TYPES[0]) else None
    return as_rows(X, collate_fn=collate_fn_of(scorer), columns=columns)


def given(rows: Rows) -> Any:
    """Return what is passed to a scorer's `fit` for some rows."""
    # Encoded by the same columns everywhere, a part may have holes that another one has not.
    return rows if isinstance(rows, FrameRows) else rows.data


def labels_of(rows: Rows, y: Any) -> NDArray[Any]:
    """Return the labels as an array, from the Dataset if y is None."""
    y = rows.given_labels(y)
    array = as_array(y, "y")
    # Targets of a regressor may have several columns.
    may_be_targets = array.ndim == 2 and array.dtype.kind in "biuf"
    y = as_numbers(y, "y") if may_be_targets else as_labels(y)
    if y.shape[:1] != (len(rows),):
        raise ValueError(f"y must hold a label for each of the {len(rows)} rows; got {len(y)}.")
    return y


def check_groups(groups: Any, n: int) -> NDArray[Any] | None:
    """Return the groups as an array, one value for each of n rows."""
    if groups is None:
        return None
    groups = as_labels(groups, "groups")
    if len(groups) != n:
        raise ValueError(f"groups must hold one value for every row: {len(groups)} for {n} rows.")
    return groups


def is_for_regression(scorer: Any, y: NDArray[Any]) -> bool:
    """Tell whether y holds numbers to be met rather than classes, such as ages in whole years."""
    estimator = getattr(scorer, "estimator", None)
    if isinstance(estimator, NET_TYPES[0]):
        return is_regression(estimator)
    is_estimator = hasattr(estimator, "__sklearn_tags__")
    if getattr(scorer, "_task", None) == "regression" or (is_estimator and is_regressor(estimator)):
        return True
    return type_of_target(y).startswith("continuous")


def missing_classes(y: NDArray[Any], left: NDArray[Any]) -> list[Any]:
    """Return classes of y of which no row is left."""
    return np.setdiff1d(y, left)[:N_LISTED].tolist()


def fit_clone(scorer: Any, X: Any, y: NDArray[Any], **params: Any) -> Any:
    """Return a fitted clone, given those of `groups` and `scoring_view` that its `fit` takes."""
    taken = {
        name: value
        for name, value in params.items()
        if value is not None and has_fit_parameter(scorer_in(scorer), name)
    }
    fitted = clone(scorer)
    fit_scorer(fitted, X, y, taken)
    return fitted
