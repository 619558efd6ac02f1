# SPDX-License-Identifier: BSD-3-Clause
"""The rows whose label is suspect, as a table in the order in which to look at them."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from ..._parameters import check_parameters
from ...rows.rows import Rows


class ListsSuspects:
    """The part of a scorer that lists its training rows, by the names that a frame gave them."""

    classes_: NDArray[Any]
    difficulty_: NDArray[np.float32]
    suggested_label_: NDArray[Any]
    _given: NDArray[Any]  # codes of the labels, or targets
    _index: Any  # of the DataFrame that `fit` was given

    def suspects(self, n: int | None = None) -> Any:
        """Return the training rows as a table, the most suspect ones first.

        Parameters
        ----------
        n : int, default=None
            How many rows, at most. None lists all; rows without a defined difficulty come last.

        Returns
        -------
        suspects : pandas.DataFrame of shape (n, 5)
            In descending order of `difficulty_`, equal ones in that of the rows. It has the index
            of the DataFrame that `fit` was given, otherwise the positions of the rows, and the
            columns

            - ``row``, the position of the row;
            - ``given``, its label, and ``suggested``, the likeliest true one (`suggested_label_`);
            - ``probability``, that the label is wrong (`error_probability_`);
            - ``difficulty``.

            Without the columns of which the scorer does not have the attribute.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        check_is_fitted(self)
        check_parameters("suspects", n=(n, [Interval(Integral, 0, None, closed="left"), None]))
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError(
                "suspects makes a DataFrame, for which pandas must be installed. Without it, "
                "np.argsort(-scorer.difficulty_, kind='stable') are the rows in the same order."
            ) from error
        rows = np.argsort(-self.difficulty_, kind="stable")[:n]  # NaN last
        columns = {"row": rows, **self._beside_each_other(rows)}
        for name, attribute in (
            ("probability", "error_probability_"),
            ("difficulty", "difficulty_"),
        ):
            if hasattr(self, attribute):
                columns[name] = getattr(self, attribute)[rows]
        index = getattr(self, "_index", None)
        return pd.DataFrame(columns, index=rows if index is None else index[rows])

    def _beside_each_other(self, rows: NDArray[np.intp]) -> dict[str, NDArray[Any]]:
        """Return what some rows were given, and what is suggested in its place."""
        columns = {"given": self.classes_[self._given[rows]]}
        if hasattr(self, "suggested_label_"):
            columns["suggested"] = self.suggested_label_[rows]
        return columns

    def _check_width(self, X: Any, rows: Rows, *, reset: bool) -> None:
        super()._check_width(X, rows, reset=reset)  # type: ignore[misc]  # of a scorer
        if reset:
            self._index = X.index if hasattr(X, "iloc") else None

    def _forget(self) -> None:
        super()._forget()  # type: ignore[misc]  # of a scorer
        for name in ("_given", "_index"):
            self.__dict__.pop(name, None)
