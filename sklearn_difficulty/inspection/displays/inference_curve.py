# SPDX-License-Identifier: BSD-3-Clause
"""InferenceCurveDisplay: how often the probe at every layer is right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _checks as checks
from ._base import BaseDisplay, add_legend, label_probes, n_series, plain, series_style, styled
from ._fitted import are_of_the_fit, require, rows_for

__all__ = ["InferenceCurveDisplay"]


class InferenceCurveDisplay(BaseDisplay):
    r"""Draw the accuracy of the probe at every layer, input first, of groups of rows.

    Networks that learn wrong labels by heart are wrong about these rows up to a late layer: the
    probes say the original label, and only the last ones the given one.

    Parameters
    ----------
    accuracy : array-like of shape (n_curves, n_probes)
        Shares of rows in [0, 1].
    names : list of str
        What the curves are called.
    probe_names : list of str, default=None
        What the probes are called; None numbers them.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        The axes.
    figure_ : matplotlib.figure.Figure
        Their figure.
    lines_ : list of matplotlib.lines.Line2D
        The curves.

    See Also
    --------
    ProbePathDisplay : What the probes say of a single row.
    sklearn_difficulty.PredictionDepthScorer : Has the probes.

    Notes
    -----
    With :math:`\hat{y}_l(x)` the class that probe :math:`l` predicts, a curve is the share of the
    rows with :math:`\hat{y}_l(x) = y(x)`; "original label" compares rows with a wrong label with
    their true one.

    References
    ----------
    R. Baldock, H. Maennel, B. Neyshabur, "Deep Learning Through the Lens of Example Difficulty",
    NeurIPS 2021, :arxiv:`2106.09647`.

    Examples
    --------
    Two probes, three rows; the second row has a wrong label, which the last probe knows.

    >>> from sklearn_difficulty.inspection import InferenceCurveDisplay
    >>> display = InferenceCurveDisplay.from_predictions(
    ...     [["a", "a"], ["b", "a"], ["a", "b"]],
    ...     y=["a", "a", "b"],
    ...     y_true=["a", "b", "b"],
    ... )
    >>> for name, accuracy in zip(display.names, display.accuracy):
    ...     print(f"{name}: {accuracy}")
    label right (2): [0.5 1. ]
    label wrong (1): [0. 1.]
    original label (1): [1. 0.]
    """

    def __init__(
        self,
        *,
        accuracy: Any,
        names: Sequence[str],
        probe_names: Sequence[str] | None = None,
    ) -> None:
        self.accuracy = accuracy
        self.names = names
        self.probe_names = probe_names

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on, which may hold other curves; None makes new ones.
        **kwargs : dict
            Passed on to ``Axes.plot``.

        Returns
        -------
        display : InferenceCurveDisplay
            The display itself.
        """
        self._check_matplotlib()
        accuracy = checks.numbers(self.accuracy, "accuracy", shape=(len(self.names), None))
        n_probes = accuracy.shape[1]
        probe_names: Any = range(n_probes) if self.probe_names is None else self.probe_names
        names = checks.labels(probe_names, "probe_names", n_probes).tolist()

        ax = self._open_axes(ax)
        first = n_series(ax)
        self.lines_ = []
        for i, (name, curve) in enumerate(zip(self.names, accuracy, strict=True)):
            style = {**series_style(first + i), "label": plain(name)}
            self.lines_ += ax.plot(range(n_probes), curve, **styled(style, kwargs))
        label_probes(ax, names)
        ax.set(xlabel="probe", ylabel="accuracy of the probe")
        add_legend(ax)
        return self

    @classmethod
    def from_estimator(
        cls,
        scorer: Any,
        X: Any,
        y: Any = None,
        *,
        y_true: ArrayLike | None = None,
        name: str = "all rows",
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the accuracy of a scorer's probes.

        Parameters
        ----------
        scorer : PredictionDepthScorer
            Fitted.
        X : array-like of shape (n_samples, ...)
            The rows that it was fitted on, none of which is its own neighbour, or any others.
        y : array-like of shape (n_samples,), default=None
            Their given labels, those of the fit if the rows are.
        y_true : array-like of shape (n_samples,), default=None
            Their true labels: rows with another label than the given one have curves of their own.
        name : str, default="all rows"
            What the curve is called if there is only one.
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on; None makes new ones.
        **kwargs : dict
            Passed on to `plot`.

        Returns
        -------
        display : InferenceCurveDisplay
            With what it has drawn.
        """
        needed = ("probe_predictions_", "probe_names_")
        require(scorer, cls.__name__, *needed, such_as="PredictionDepthScorer")
        rows = rows_for(scorer, X)
        given = checks.labels(rows.given_labels(y), "y", len(rows))
        predictions = scorer.probe_predictions_
        if not are_of_the_fit(scorer, X, given):
            probes = scorer.probe_names_
            predictions = np.stack([scorer.probe_predict(X, p) for p in range(len(probes))], axis=1)
        return cls.from_predictions(
            predictions,
            given,
            y_true=y_true,
            probe_names=scorer.probe_names_,
            name=name,
            ax=ax,
            **kwargs,
        )

    @classmethod
    def from_predictions(
        cls,
        probe_predictions: ArrayLike,
        y: ArrayLike,
        *,
        y_true: ArrayLike | None = None,
        probe_names: Sequence[str] | None = None,
        name: str = "all rows",
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the accuracy of predictions.

        Parameters
        ----------
        probe_predictions : array-like of shape (n_samples, n_probes)
            The class that every probe predicts.
        y : array-like of shape (n_samples,)
            The given labels.
        y_true : array-like of shape (n_samples,), default=None
            Their true labels: rows with another label than the given one have curves of their own.
        probe_names : list of str, default=None
            What the probes are called; None numbers them.
        name : str, default="all rows"
            What the curve is called if there is only one.
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on; None makes new ones.
        **kwargs : dict
            Passed on to `plot`.

        Returns
        -------
        display : InferenceCurveDisplay
            With what it has drawn.
        """
        given = checks.labels(y, "y")
        predictions = checks.as_array(probe_predictions)
        if predictions.ndim != 2 or len(predictions) != len(given) or predictions.shape[1] == 0:
            raise ValueError(
                f"probe_predictions must have the shape ({len(given)}, n_probes), got "
                f"{predictions.shape}."
            )
        right = predictions == given[:, None]
        curves: dict[str, NDArray[Any]] = {name: right}
        if y_true is not None:
            true = checks.labels(y_true, "y_true", len(given))
            wrong = true != given
            if not wrong.any():
                raise ValueError("y_true is y: there is no row with a wrong label to draw.")
            original = predictions[wrong] == true[wrong][:, None]
            curves = {"label right": right[~wrong], "label wrong": right[wrong]}
            curves["original label"] = original
        curves = {k: rows for k, rows in curves.items() if len(rows)}
        return cls(
            accuracy=np.stack([rows.mean(axis=0) for rows in curves.values()]),
            names=[f"{k} ({len(rows):,})" for k, rows in curves.items()],
            probe_names=probe_names,
        ).plot(ax, **kwargs)
