# SPDX-License-Identifier: BSD-3-Clause
"""ProbePathDisplay: what the probes say of one row, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from ..._randomness import alone
from ...inference.predictions import predicted_classes
from ...measures import prediction_depth
from . import _checks as checks
from ._base import COLORS, BaseDisplay, add_legend, label_probes, plain, styled
from ._fitted import are_of_the_fit, one_row, require, rows_for

__all__ = ["ProbePathDisplay"]


class ProbePathDisplay(BaseDisplay):
    r"""Draw the votes of the nearest training rows on one row, layer by layer.

    Every bar is a probe: the class with the most votes, and its share of them. From the dashed line
    on, all say what the network says: that is the row's prediction depth.

    Parameters
    ----------
    predicted : array-like of shape (n_probes,)
        The class with the most votes at every probe, input first.
    share : array-like of shape (n_probes,)
        Its share of the votes, in [0, 1].
    network : object, default=None
        The class that the network predicts; None takes what the last probe says.
    probe_names : list of str, default=None
        What the probes are called; None numbers them.
    title : str, default=None
        What is above the axes, such as the row and its label.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        The axes.
    figure_ : matplotlib.figure.Figure
        Their figure.
    agreeing_ : matplotlib.container.BarContainer
        The probes that say what the network says.
    disagreeing_ : matplotlib.container.BarContainer
        The others.
    depth_line_ : matplotlib.lines.Line2D or None
        Where the depth is; None where it is not defined.

    See Also
    --------
    InferenceCurveDisplay : All rows together.
    sklearn_difficulty.PredictionDepthScorer : Has the probes.

    Notes
    -----
    The depth is the number of the first probe from which on all predict the class of the network,
    not defined where the last one does not, see `measures.prediction_depth`.

    Examples
    --------
    >>> from sklearn_difficulty.inspection import ProbePathDisplay
    >>> display = ProbePathDisplay(
    ...     predicted=["cat", "dog", "dog"], share=[0.5, 0.7, 1.0]
    ... ).plot()
    >>> display.ax_.get_title(loc="left")
    'depth 1 of 2'
    """

    def __init__(
        self,
        *,
        predicted: ArrayLike,
        share: ArrayLike,
        network: Any = None,
        probe_names: Sequence[str] | None = None,
        title: str | None = None,
    ) -> None:
        self.predicted = predicted
        self.share = share
        self.network = network
        self.probe_names = probe_names
        self.title = title

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the bars.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on; None makes new ones.
        **kwargs : dict
            Passed on to ``Axes.bar``.

        Returns
        -------
        display : ProbePathDisplay
            The display itself.
        """
        self._check_matplotlib()
        from matplotlib.patches import Patch

        predicted = checks.labels(self.predicted, "predicted")
        n = len(predicted)
        share = checks.numbers(self.share, "share", shape=(n,))
        probe_names: Any = range(n) if self.probe_names is None else self.probe_names
        names = checks.labels(probe_names, "probe_names", n).tolist()
        network = predicted[-1] if self.network is None else self.network
        agrees = predicted == network
        [depth] = prediction_depth(agrees[:, None], np.array([True]))

        ax = self._open_axes(ax, (4.8, 2.8))
        at = np.arange(n)
        style: dict[str, Any] = {"edgecolor": "black", "linewidth": 0.6, "alpha": 0.85}
        agreeing = styled({**style, "color": COLORS[4]}, kwargs)
        other = styled({**style, "color": COLORS[1], "hatch": "///"}, kwargs)
        self.agreeing_ = ax.bar(at[agrees], share[agrees], **agreeing)
        self.disagreeing_ = ax.bar(at[~agrees], share[~agrees], **other)
        # Handles of their own: bars of one kind may be missing.
        handles = [
            Patch(label=label, facecolor=bar.pop("color"), **bar)
            for label, bar in {
                f"network says {plain(network)}": agreeing,
                "another class": other,
            }.items()
        ]
        is_long = max(len(str(c)) for c in predicted) * n > 24
        for i, (said, height) in enumerate(zip(predicted, share, strict=True)):
            box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}
            ax.text(
                i,
                0.04 if is_long else np.nan_to_num(height) / 2,
                str(said),
                ha="center",
                va="bottom" if is_long else "center",
                rotation=90 if is_long else 0,
                bbox=box,
                parse_math=False,
            )
        self.depth_line_ = None
        says = "depth not defined"
        if not np.isnan(depth):
            self.depth_line_ = ax.axvline(depth - 0.5, color="black", linestyle="--")
            says = f"depth {depth:.0f} of {n - 1}"
        ax.set(xlabel="probe", ylabel="share of the votes", ylim=(0, 1.25), xlim=(-0.6, n - 0.4))
        title = says if self.title is None else f"{plain(self.title)}: {says}"
        ax.set_title(title, loc="left", fontsize="medium")
        ax.set_yticks([0, 0.5, 1])
        label_probes(ax, names)
        # Above the bars, which end at 1.
        add_legend(ax, handles=handles, loc="upper center", ncols=2, columnspacing=1)
        return self

    @classmethod
    def from_estimator(
        cls,
        scorer: Any,
        X: Any,
        y: Any = None,
        *,
        row: int = 0,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the votes on one row.

        Parameters
        ----------
        scorer : PredictionDepthScorer
            Fitted.
        X : array-like of shape (n_samples, ...)
            The rows that it was fitted on, none of which is its own neighbour, or any others.
        y : array-like of shape (n_samples,), default=None
            Their labels, those of the fit if the rows are.
        row : int, default=0
            Position of the row.
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on; None makes new ones.
        **kwargs : dict
            Passed on to `plot`.

        Returns
        -------
        display : ProbePathDisplay
            With what it has drawn.
        """
        needed = ("probe_predictions_", "probe_names_")
        require(scorer, cls.__name__, *needed, such_as="PredictionDepthScorer")
        rows = rows_for(scorer, X)
        given = checks.labels(rows.given_labels(y), "y", len(rows))
        [position] = checks.positions(row, "row", len(rows))
        if are_of_the_fit(scorer, X, given):
            predicted = scorer.probe_predictions_[position]
            share = scorer.probe_confidence_[position]
        else:
            one, probes = one_row(scorer, X, position), range(len(scorer.probe_names_))
            predicted = np.array([scorer.probe_predict(one, p)[0] for p in probes])
            share = [scorer.probe_predict_proba(one, p).max() for p in probes]
        with alone():
            [code] = predicted_classes(scorer.record_, rows.take([position]), batch_size=1)
        return cls(
            predicted=predicted,
            share=share,
            network=scorer.classes_[code],
            probe_names=scorer.probe_names_,
            title=f"row {position}, label {given[position]}",
        ).plot(ax, **kwargs)
