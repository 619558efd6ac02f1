# SPDX-License-Identifier: BSD-3-Clause
"""The source of a scorer that is given class probabilities in place of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._progress import Task
from .._warnings import warn_caller
from ..rows.labels import classes_of_columns, codes_of, encode_labels
from ..rows.rows import ArrayRows, Rows
from ._trained_source import Trained


class GivenProbabilities:
    """Probabilities that others have computed, of classes that the scorer keeps of its fit."""

    scores_unseen_rows = True
    collate_fn = None

    def __init__(self, classes: NDArray[Any] | None, names: NDArray[Any] | None) -> None:
        self.classes = classes
        self.names = names  # of the columns, if they have names

    def obtain(self, X: Rows, y: Any, view: Rows, groups: Any, progress: Task) -> Trained:
        """Return what the columns of the probabilities stand for, and the codes of the labels."""
        classes = self._classes_of_columns(X, y)
        return Trained({"classes_": classes}, codes_of(y, classes))

    def targets(self, X: Rows, y: Any) -> NDArray[np.int64]:
        """Return label codes of rows."""
        assert self.classes is not None
        return codes_of(X.given_labels(y), self.classes)

    def _classes_of_columns(self, X: Rows, y: Any) -> NDArray[Any]:
        """Return the classes, after checking that the columns are theirs."""
        if not isinstance(X, ArrayRows) or len(X.row_shape) != 1:
            raise ValueError(
                "With estimator='precomputed' X must hold class probabilities of shape "
                "(n_samples, n_classes)."
            )
        [n_columns] = X.row_shape
        given, _ = encode_labels(X.given_labels(y))
        classes = classes_of_columns(y, n_columns)
        if len(classes) != n_columns:
            raise ValueError(
                f"X has {n_columns} columns and y has {len(classes)} classes, "
                f"{classes[:5].tolist()} ...; there must be one column per class, in sorted order. "
                "Where a class does not occur, code the labels as positions of columns."
            )
        expected = [str(label) for label in classes]
        names = expected if self.names is None else list(self.names)
        if names != expected and sorted(names) == sorted(expected):
            raise ValueError(
                f"The columns of X are named {names[:5]} ..., but must stand in the order of the "
                f"sorted classes, {expected[:5]} .... Reorder them."
            )
        if len(given) < len(classes) and given[0] != classes[0]:
            warn_caller(
                f"The labels {given[:5].tolist()} ... are taken as positions of columns, so that "
                "column 0 does not occur. If they are numbered from 1, subtract 1."
            )
        return classes
