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

KINDS = ["label error", "ambiguous", "right"]
_MAJORITY = 0.5  # of the probability, above which one is likelier than all others together


class ListsSuspects:
    """The part of a scorer that lists its training rows, by the names that a frame gave them."""

    classes_: NDArray[Any]
    difficulty_: NDArray[np.float32]
    error_probability_: NDArray[np.float64]
    probabilities_: NDArray[np.floating[Any]]
    suggested_label_: NDArray[Any]
    _given: NDArray[Any]  # codes of the labels, or targets
    _index: Any  # of the DataFrame that `fit` was given
    _label_dtype: Any  # of y, if it is none of NumPy's: of pandas, or the categories of polars

    def suspects(self, n: int | None = None) -> Any:
        """Return the training rows as a table, the most suspect ones first.

        Parameters
        ----------
        n : int, default=None
            How many rows, at most. None lists all; rows without a defined difficulty come last.

        Returns
        -------
        suspects : pandas.DataFrame of shape (n, 7)
            In descending order of `difficulty_`, equal ones in that of the rows. It has the index
            of the DataFrame that `fit` was given, otherwise the positions of the rows, and the
            columns

            - ``row``, the position of the row;
            - ``given``, its label, and ``suggested``, the likeliest true one (`suggested_label_`),
              of the dtype of `y` if that is one of pandas or polars, such as its categories;
            - ``probability``, that the label is wrong (`error_probability_`);
            - ``difficulty``;
            - ``kind``: "ambiguous" if no class has more than half of `probabilities_`, so that
              ``suggested`` is a guess; otherwise "label error" if ``probability`` is above 0.5, and
              "right" if not. Missing where the difficulty is undefined;
            - ``expected_precision``, the share of wrong labels that is to be expected in the table
              down to this row, the mean of ``probability``.

            Without the columns for which the scorer does not have the attribute.

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
        columns: dict[str, Any] = {"row": rows, **self._beside_each_other(rows)}
        for name, attribute in (
            ("probability", "error_probability_"),
            ("difficulty", "difficulty_"),
        ):
            if hasattr(self, attribute):
                columns[name] = getattr(self, attribute)[rows]
        if "probability" in columns:
            if hasattr(self, "probabilities_"):
                columns["kind"] = pd.Categorical.from_codes(self._kinds(rows), KINDS)
            n_so_far = np.arange(1, len(rows) + 1)
            columns["expected_precision"] = np.cumsum(columns["probability"]) / n_so_far
        dtype = getattr(self, "_label_dtype", None)
        if dtype is not None:
            of_categories = isinstance(dtype, list)
            dtype = pd.CategoricalDtype(dtype, ordered=True) if of_categories else dtype
            for name in {"given", "suggested"} & columns.keys():
                columns[name] = pd.Series(columns[name], dtype=dtype).array
        index = getattr(self, "_index", None)
        return pd.DataFrame(columns, index=rows if index is None else index[rows])

    def _kinds(self, rows: NDArray[np.intp]) -> NDArray[np.int8]:
        """Return positions in `KINDS`, -1 where nothing is known."""
        error = self.error_probability_[rows]
        is_ambiguous = self.probabilities_[rows].max(axis=1) <= _MAJORITY
        kinds = np.where(is_ambiguous, 1, np.where(error > _MAJORITY, 0, 2))
        return np.where(np.isnan(error), -1, kinds).astype(np.int8)

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

    def _keep_dtype(self, y: Any) -> None:
        """Remember of what dtype labels are, where it says more than an array of them."""
        dtype = getattr(y, "dtype", None)
        library = type(dtype).__module__.partition(".")[0]
        categories = getattr(dtype, "categories", None) if library == "polars" else None
        self._label_dtype = dtype if library == "pandas" else None
        if categories is not None and hasattr(categories, "to_list"):  # an Enum
            self._label_dtype = categories.to_list()

    def _forget(self) -> None:
        super()._forget()  # type: ignore[misc]  # of a scorer
        for name in ("_given", "_index", "_label_dtype"):
            self.__dict__.pop(name, None)
