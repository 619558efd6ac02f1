# SPDX-License-Identifier: BSD-3-Clause
"""What a scorer says about rows that it was not fitted on, and where it has nothing to say."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import TransformerMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted, validate_data

from .._randomness import alone
from .._warnings import located
from ..inference.blocks import parts_of
from ..rows.checked import is_frame, refuse_same_names
from ..rows.rows import NumberOfRows, Rows, as_rows
from ..rows.width import check_width
from ._trained_source import TrainedSource

C = TypeVar("C", bound=type)


def hides_unseen_rows(cls: C) -> C:
    """Hide the methods for unseen rows where a scorer does not offer them.

    It decorates the class and not the methods: TransformerMixin wraps `transform` when the class is
    made, and would take what hides it for a plain method.
    """
    for name in ("transform", "fit_transform", "score_samples"):
        hidden = available_if(lambda self: self._offer_unseen())(getattr(cls, name))
        setattr(cls, name, hidden)
    return cls


@hides_unseen_rows
class ScoresUnseenRows(TransformerMixin, ABC):
    """The part of a scorer that is asked about rows other than those of its fit."""

    difficulty_: NDArray[np.float32]
    _row_shape: Any

    # Lets a pipeline route y to `transform`; the name is scikit-learn's.
    __metadata_request__transform = {"y": True}

    # Why unseen rows have no score; subclasses know better.
    _no_unseen_because = "The score has no meaning for rows that were not trained on."

    @abstractmethod
    def _trained_source(self) -> TrainedSource:
        """Return where the networks come from."""

    @abstractmethod
    def _score_rows(self, X: Rows, targets: NDArray[Any] | None) -> NDArray[Any]:
        """Return the difficulty (m,) of rows taken as unseen; targets None: label-free."""

    @abstractmethod
    def _fill_undefined(self, scores: NDArray[Any], reference: NDArray[Any]) -> NDArray[np.float32]:
        """Return float32 scores, undefined ones warned of and treated as `undefined` says."""

    @property
    @abstractmethod
    def _column_names(self) -> list[str]:
        """Names of the columns of `transform`."""

    @property
    def _scores_unseen_rows(self) -> bool:
        """Whether rows that were not trained on can be scored."""
        return self._trained_source().scores_unseen_rows

    def _offer_unseen(self) -> bool:
        """Tell the reason where rows that were not trained on cannot be scored."""
        if not self._scores_unseen_rows:
            raise AttributeError(self._no_unseen_because)
        return True

    def score_samples(self, X: Any, y: Any = None) -> NDArray[np.float32]:
        """Return the difficulty of rows taken as unseen.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Rows of the kind that `fit` was given.
        y : array-like of shape (n_samples,), default=None
            Their labels; without them, the predicted class takes their place.

        Returns
        -------
        difficulty : ndarray of shape (n_samples,)
            Larger = harder.
        """
        with alone():
            scores = by_parts(self._score_rows, *self._check_unseen(X, y))
        return self._fill_undefined(scores, self.difficulty_)

    def transform(self, X: Any, y: Any = None) -> NDArray[np.float32]:
        """Return the difficulty of rows taken as unseen, and what else there is of them.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Rows of the kind that `fit` was given.
        y : array-like of shape (n_samples,), default=None
            Their labels; without them, the predicted class takes their place.

        Returns
        -------
        columns : ndarray of shape (n_samples, n_columns)
            The first one is `score_samples`; `get_feature_names_out` names all of them.
        """
        with alone():
            return self._columns(X, y)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Return the names of the columns of `transform`.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Only checked against the names seen in `fit`.

        Returns
        -------
        names : ndarray of str objects
            One per column.
        """
        check_is_fitted(self)
        _check_feature_names_in(self, input_features, generate_names=False)
        return np.asarray(self._column_names, dtype=object)

    def _columns(self, X: Any, y: Any) -> NDArray[np.float32]:
        """Return what `transform` returns."""
        return self.score_samples(X, y)[:, None]

    def _rows(self, X: Any) -> Rows:
        """Return the rows of X, checked."""
        source = self._trained_source()
        n_recorded = getattr(source, "n_recorded", None)
        if X is None and n_recorded is not None:
            return NumberOfRows(n_recorded)
        return as_rows(X, collate_fn=source.collate_fn, estimator=self, columns=source.columns)

    def _check_unseen(self, X: Any, y: Any) -> tuple[Rows, NDArray[Any] | None]:
        """Return checked rows, and their targets if there are labels."""
        check_is_fitted(self)
        if is_frame(X):  # other names come before what is wrong with values
            refuse_same_names(X, "X")
            validate_data(self, X, skip_check_array=True, reset=False)
        rows = self._rows(X)
        self._check_width(X, rows, reset=False)
        return rows, None if y is None else self._targets_of(rows, y)

    def _targets_of(self, X: Rows, y: Any) -> NDArray[Any]:
        """Return label codes of rows, or regression targets, as the training had them."""
        return self._trained_source().targets(X, y)

    def _check_width(self, X: Any, rows: Rows, *, reset: bool) -> None:
        """Remember, or compare with what was remembered, how wide a row is."""
        check_width(self, X, rows, reset=reset)


def by_parts(
    read: Callable[[Rows, NDArray[Any] | None], NDArray[Any]],
    X: Rows,
    targets: NDArray[Any] | None,
) -> NDArray[Any]:
    """Return what `read` says of rows, asked about one part of them after the other."""
    parts = list(parts_of(len(X)))
    if len(parts) == 1:
        return read(X, targets)
    values = []
    for part in parts:
        with located(f"in the part of X that begins with row {part.start}"):
            values.append(read(X.take(part), None if targets is None else targets[part]))
    return np.concatenate(values)
