# SPDX-License-Identifier: BSD-3-Clause
"""What both functions need: scorers and data that can be trained on anew, and the training."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils.validation import has_fit_parameter

from .._arrays import as_array, as_labels, as_numbers
from ..rows.rows import Rows
from ..scorers._trained_source import is_trained
from ..training.skorch_net import UNTRAINED_TYPES, collate_fn
from ..training.teachers import refuse_fitted_teacher

N_LISTED = 5  # rows, groups or classes that a message names


def check_untrained(scorer: Any, verb: str) -> None:
    """Raise unless clones of the scorer can be trained on other rows or labels."""
    clone(scorer)  # says what is wrong with things that are no estimator
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
    refuse_fitted_teacher(held)


def collate_fn_of(scorer: Any) -> Any:
    """Return how the scorer's network joins the items of a Dataset."""
    net = getattr(scorer, "estimator", None)
    return collate_fn(net) if isinstance(net, UNTRAINED_TYPES) else None


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


def missing_classes(y: NDArray[Any], left: NDArray[Any]) -> list[Any]:
    """Return classes of y of which no row is left."""
    return np.setdiff1d(y, left)[:N_LISTED].tolist()


def fit_clone(scorer: Any, X: Any, y: NDArray[Any], **params: Any) -> Any:
    """Return a fitted clone, given those of `groups` and `scoring_view` that its `fit` takes."""
    taken = {
        name: value
        for name, value in params.items()
        if value is not None and has_fit_parameter(scorer, name)
    }
    return clone(scorer).fit(X, y, **taken)
