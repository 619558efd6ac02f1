# SPDX-License-Identifier: BSD-3-Clause
"""ForgettingUnderPerturbationScorer: how often a network with perturbed weights loses a row."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from .._arrays import as_labels
from .._progress import SILENT, Task
from ..inference.perturbation import Kind, Passes, passes_after_perturbation
from ..measures.perturbation import (
    TargetedForgetting,
    forgetting_under_perturbation,
    targeted_forgetting,
)
from ..rows.rows import Rows
from ..training.checkpoints import Checkpoint, CheckpointSpec
from ..training.record import TrainingRecord
from ..training.requirements import RecordNeeds
from ._base import BaseDifficultyScorer

__all__ = ["ForgettingUnderPerturbationScorer"]

_SHARES = {"redraw": 0.2, "prune": 0.7}


class ForgettingUnderPerturbationScorer(BaseDifficultyScorer):
    r"""How often the network loses a row when its weights are perturbed; larger = harder.

    Copies of the network, at several times of its training, lose a part of their weights, which are
    drawn anew or set to 0. The score is the share of the copies that do not predict the row's
    label, from 0 to 1. The experiment of "targeted forgetting" asks the same of groups of rows
    (`targeted_forgetting`): a perturbation costs rows that are hard, or known by heart, before
    others.

    **What it finds.** Wrong labels, but fewer than the mean loss over epochs finds, which costs
    nothing beside the training: average precision for 20 % flipped labels (chance: 0.20) 0.87 to
    0.96 in networks that were stopped early and 0.76 to 0.93 in ones that know their labels by
    heart, where the loss reaches 0.94 to 0.98 and 0.88 to 0.99 (`TrainingDynamicsScorer`). It tells
    what a network holds on to; it is not the best detector.

    Parameters
    ----------
    estimator : skorch.NeuralNet, TrainingRecord, FrozenEstimator or None, default=None
        The network. A net is cloned and trained on every row of `fit`; a `TrainingRecord`, or a
        ``FrozenEstimator`` around a net that was fitted with ``RecordTraining``, is read without
        training; None takes ``training.default_network(X, y)``.
    perturbation : {"redraw", "prune"}, default="redraw"
        "redraw": weights chosen by chance are drawn anew, as the layer draws them when it is made,
        and so are all biases beside them. "prune": the smallest weights of every layer are set to
        0, which leaves nothing to chance.
    share : float, default=None
        Which share of the weights of a layer is perturbed, between 0 and 1; of the last layer it is
        half of that. None: 0.2 for "redraw", 0.7 for "prune".
    n_repeats : int, default=3
        Copies of each checkpoint. "prune" makes one, whatever is set.
    checkpoints : int, {"early", "late", "all"} or list of int, default=10
        At which epochs the network is perturbed; an int: as many, evenly spaced. ``[n]`` for the
        last of n epochs alone tells what the trained network holds on to.
    batch_size : int, default=512
        Rows read at once, at most. It changes the speed, not the scores, of a network that treats
        every row by itself in eval mode.
    undefined : {"nan", "max"}, default="nan"
        What stands for the score of a row for which an output is not finite: NaN, or the largest
        score of the training rows.
    random_state : int, RandomState or None, default=None
        Seeds initialisation, row order and dropout of the training; the perturbations are the same
        each time. None takes fresh entropy.
    verbose : int, default=0
        0 trains silently; otherwise the net prints what it is set to print, the default network
        a line per epoch.

    Attributes
    ----------
    difficulty_ : ndarray of shape (n_samples,), float32
        The training rows with their given labels.
    n_undefined_ : int
        Training rows for which an output is not finite.
    classes_ : ndarray of shape (n_classes,)
        The classes.
    estimator_ : skorch.NeuralNet or TrainingRecord
        The fitted net, the record if there is no net. The net knows classes as positions: its
        ``predict`` returns indices into `classes_`. Its weights are those of the training.
    record_ : TrainingRecord
        What the training left behind; other scorers can read it.
    n_features_in_ : int
        Size of axis 1 of X, for arrays.

    Raises
    ------
    ValueError
        From `fit`: if the network is a regressor, or has no weights that can be drawn anew.

    See Also
    --------
    TrainingDynamicsScorer : What the training itself forgets, and the mean loss over it.
    sklearn_difficulty.training.LaterLayerForgetting : Trains on after such a perturbation.
    sklearn_difficulty.measures.forgetting_under_perturbation : The formula, for given predictions.

    Notes
    -----
    With :math:`h_{em}` copy :math:`m` of :math:`M` of the network after epoch :math:`e` of the
    :math:`E` chosen ones, and :math:`(x, y)` a row with its label, the score is

    .. math:: 1 - \frac{1}{E M} \sum_e \sum_m 1[h_{em}(x) = y].

    Rows that the network is wrong about before it is perturbed count as lost. Perturbed are the
    weights of two or more dimensions, those of layers and not of norms; frozen ones stay. The
    paper draws half of the weights anew (and a quarter in the last layer), or keeps the largest 30
    % (65 %) at their initial values, of which it says that hard and mislabelled rows are forgotten
    first. A smaller share tells more: most copies that lose half of their weights predict next to
    nothing right.

    The network is read in eval mode; the cost is :math:`E (M + 1)` forward passes a row.

    References
    ----------
    H. Zhou, A. Vani, H. Larochelle, A. Courville, "Fortuitous Forgetting in Connectionist
    Networks", ICLR 2022, :arxiv:`2202.00155`.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_difficulty import ForgettingUnderPerturbationScorer
    >>> from sklearn_difficulty.datasets import make_label_noise
    >>> X, y = load_digits(return_X_y=True)
    >>> y_noisy, is_flipped = make_label_noise(y, rate=0.1, random_state=0)
    >>> scorer = ForgettingUnderPerturbationScorer(random_state=0).fit(X, y_noisy)
    >>> found = scorer.targeted_forgetting(is_flipped)
    >>> print(found.group, found.before.round(2), found.after.round(2))
    [False  True] [0.99 0.26] [0.94 0.15]
    """

    _provides: tuple[str, ...] = ()
    _parameter_constraints: dict[str, list[Any]] = {
        **BaseDifficultyScorer._parameter_constraints,
        "perturbation": [StrOptions({"redraw", "prune"})],
        "share": [Interval(Real, 0, 1, closed="neither"), None],
        "n_repeats": [Interval(Integral, 1, None, closed="left")],
        "checkpoints": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"early", "late", "all"}),
            "array-like",
        ],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
    }
    _undefined_because = "what the network, or a perturbed copy, makes of them is not finite"

    def __init__(
        self,
        estimator: Any = None,
        *,
        perturbation: Kind = "redraw",
        share: float | None = None,
        n_repeats: int = 3,
        checkpoints: CheckpointSpec = 10,
        batch_size: int = 512,
        undefined: str = "nan",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.perturbation = perturbation
        self.share = share
        self.n_repeats = n_repeats
        self.checkpoints = checkpoints
        self.batch_size = batch_size
        self.undefined = undefined
        self.random_state = random_state
        self.verbose = verbose

    def targeted_forgetting(self, groups: Any) -> TargetedForgetting:
        """Return the accuracy on groups of the training rows before and after the perturbations.

        Parameters
        ----------
        groups : array-like of shape (n_samples,)
            The group of every training row, such as whether its label is known to be wrong.

        Returns
        -------
        found : TargetedForgetting
            As from `sklearn_difficulty.measures.targeted_forgetting`, of rows whose outputs are
            finite.
        """
        check_is_fitted(self)
        before, after = self._passes
        n_repeats, n = after.shape[1:]
        before, after = before.repeat(n_repeats, axis=0), after.reshape(-1, n)
        known = (before >= 0).all(axis=0) & (after >= 0).all(axis=0)
        groups = as_labels(groups, "groups")
        if len(groups) != n:
            raise ValueError(f"groups must hold one value for each of the {n} rows.")
        return targeted_forgetting(before[:, known], after[:, known], groups[known])

    def _needs(self) -> RecordNeeds:
        return RecordNeeds.of_checkpoints(self.checkpoints, at_least=1)

    def _rehearse(self, record: TrainingRecord, X: Rows, targets: NDArray[Any]) -> None:
        self._read(record, record.checkpoints[:1], X, targets)

    def _read(
        self,
        record: TrainingRecord,
        checkpoints: list[Checkpoint],
        X: Rows,
        targets: NDArray[Any] | None,
        progress: Task = SILENT,
    ) -> Passes:
        """Return which rows are predicted right before and after the perturbations."""
        return passes_after_perturbation(
            record,
            checkpoints,
            X,
            targets,
            kind=self.perturbation,
            share=_SHARES[self.perturbation] if self.share is None else self.share,
            n_repeats=1 if self.perturbation == "prune" else self.n_repeats,
            batch_size=self.batch_size,
            progress=progress,
        )

    def _score_training_rows(self, X: Rows, targets: NDArray[Any], progress: Task) -> NDArray[Any]:
        checkpoints = self.record_.select(self.checkpoints)
        self._passes = self._read(self.record_, checkpoints, X, targets, progress)
        return _shares_lost(self._passes)

    def _score_rows(self, X: Rows, targets: NDArray[Any] | None) -> NDArray[Any]:
        checkpoints = self.record_.select(self.checkpoints)
        return _shares_lost(self._read(self.record_, checkpoints, X, targets))

    @property
    def _column_names(self) -> list[str]:
        return ["forgetting_under_perturbation"]


def _shares_lost(passes: Passes) -> NDArray[np.float64]:
    """Return the share of copies that are wrong about each row, NaN where one says nothing."""
    after = passes.after.reshape(-1, passes.after.shape[-1])
    known = (after >= 0).all(axis=0)
    return np.where(known, forgetting_under_perturbation(after == 1), np.nan)
