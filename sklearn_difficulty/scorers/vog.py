# SPDX-License-Identifier: BSD-3-Clause
"""VoGScorer: how much a row's input gradient changes over training."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval, StrOptions

from .._progress import SILENT, Task
from .._randomness import alone
from .._warnings import warn_caller
from ..inference.input_gradients import (
    GradientReader,
    GradientStatistics,
    gradient_maps,
    gradient_variance,
)
from ..measures import group_statistics, standardize
from ..rows.rows import Rows
from ..training.checkpoints import Checkpoint, CheckpointSpec
from ..training.record import TrainingRecord
from ..training.requirements import RecordNeeds
from ._base import BaseDifficultyScorer

__all__ = ["VoGScorer"]


class VoGScorer(BaseDifficultyScorer):
    r"""Variance of Gradients (VoG); larger = harder.

    How much the gradient of a row's logit with respect to its input changes from one checkpoint of
    the training to the next. The raw score is at least 0, in logits per unit of input (for the
    default networks: per standard deviation of a feature); by default it is then expressed in
    standard deviations from the mean of the row's class.

    **What it finds.** Rows near the decision boundary, where that is known: on two Gaussian
    clusters it rises towards the boundary in 8 of 8 seeds. Misclassified held-out rows of
    Fashion-MNIST, read without labels: AUROC 0.52 to 0.67 with the logit, 0.74 to 0.81 with the
    probability and with the loss (three networks, all epochs), where one minus the largest softmax
    reaches 0.85 to 0.88. Wrong labels: **not** with the logit, which ranks them as easy (AUROC 0.20
    to 0.41 on digits and Fashion-MNIST); with ``target="loss"`` 0.75 to 0.93, and the mere size of
    that gradient (`gradient_magnitude_`) 0.84 to 0.97. The user guide says when and why.

    Parameters
    ----------
    estimator : skorch.NeuralNet, TrainingRecord, FrozenEstimator or None, default=None
        The network. A net is cloned and trained on every row of `fit`; a `TrainingRecord`, or a
        ``FrozenEstimator`` around a net that was fitted with ``RecordTraining``, is read without
        training; None takes ``training.default_network(X, y)``.
    checkpoints : int, {"early", "late", "all"} or list of int, default=10
        Which epochs to read. An int takes up to that many, evenly spaced, the last one included;
        "early" and "late" the first and last three; a list these epochs, 0 being the network
        before training. At least two are needed.
    target : {"logit", "probability", "loss"}, default="logit"
        What is differentiated: the logit of the row's class (the definition), its probability, or
        the loss (the one that the network was trained with, summed and not averaged over rows).
        A single logit counts for class 1 and, negated, for class 0. For a regressor, "logit" is
        the prediction itself.
    formula : {"rms", "mean_std", "cvpr"}, default="rms"
        How the changes are summarised, see Notes. "rms" and "cvpr" rank alike before
        normalisation.
    normalize : {"class", "dataset"} or None, default="class"
        Subtract the mean and divide by the standard deviation of the raw scores of the training
        rows of the same class, or of all of them. New rows are normalised by the same numbers, in
        the group of their given or predicted class. A regressor has one group.
    channel_mean : bool, default=True
        Average gradients of rank four or more over axis 1, the channels, before anything else.
    wrt : str, default=None
        Name of the submodule at whose output the gradient is taken, such as the embedding of token
        ids; it must be called once in a forward pass and return one tensor. None is the input,
        all floating arrays of it; for the default networks the input after standardisation.
    batch_size : int, default=512
        Rows scored at once, at most. It changes the speed, not the scores, of a network that
        treats every row by itself in eval mode.
    undefined : {"nan", "max"}, default="nan"
        What stands for the score of a row whose gradient is not finite: NaN, or the largest score
        of the training rows.
    random_state : int, RandomState or None, default=None
        Seeds initialisation, row order and dropout of the training. None takes fresh entropy.
    verbose : int, default=0
        0 trains silently; otherwise the net prints what it is set to print, the default network
        a line per epoch.

    Attributes
    ----------
    difficulty_ : ndarray of shape (n_samples,), float32
        The training rows with their given labels.
    raw_difficulty_ : ndarray of shape (n_samples,), float32
        The same before normalisation.
    gradient_magnitude_ : ndarray of shape (n_samples,), float32
        Mean absolute gradient over checkpoints and inputs: the baseline that VoG must beat.
    raw_mean_, raw_std_ : ndarray of shape (n_classes,) or (1,)
        What scores are normalised by. Absent if `normalize` is None.
    n_without_spread_ : int
        Groups whose raw scores do not differ, so that all their rows get 0. Absent if `normalize`
        is None.
    n_undefined_ : int
        Training rows whose gradient is not finite.
    classes_ : ndarray of shape (n_classes,) or None
        The classes; None for a regressor.
    estimator_ : skorch.NeuralNet or TrainingRecord
        The fitted net, the record if there is no net. The net knows classes as positions: its
        ``predict`` returns indices into `classes_`.
    record_ : TrainingRecord
        What the training left behind; other scorers can read it.
    n_features_in_ : int
        Size of axis 1 of X, for arrays.

    See Also
    --------
    TrainingRecord : Train once, then read it with several scorers.
    sklearn_difficulty.measures.variance_of_gradients : The formulas, for stored gradients.

    Notes
    -----
    Let :math:`S_{tp}` be the derivative of the target of a row with respect to its input :math:`p`
    (of :math:`N`; after averaging over channels) at checkpoint :math:`t` (of :math:`K`), and
    :math:`\mu_p = \frac{1}{K} \sum_t S_{tp}`. Then

    - "rms": :math:`\sqrt{\frac{1}{KN} \sum_t \sum_p (S_{tp} - \mu_p)^2}`, the authors' slides;
    - "mean_std": :math:`\frac{1}{N} \sum_p \sqrt{\frac{1}{K} \sum_t (S_{tp} - \mu_p)^2}`, the
      authors' code;
    - "cvpr": :math:`\frac{1}{N} \sum_p \frac{1}{\sqrt{K}} \sum_t (S_{tp} - \mu_p)^2`, as printed
      in the paper; it equals :math:`\sqrt{K}` times the square of "rms".

    The network is read in eval mode. The cost is :math:`K` forward and backward passes a row, the
    latter with respect to the input only; memory does not grow with :math:`K`. A linear network has
    the same gradient everywhere, so its logit-VoG says nothing: it is 0 after normalisation.

    References
    ----------
    C. Agarwal, D. D'souza, S. Hooker, "Estimating Example Difficulty using Variance of Gradients",
    CVPR 2022, :doi:`10.1109/CVPR52688.2022.01012`, :arxiv:`2008.11600`.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_difficulty import VoGScorer
    >>> X, y = load_digits(return_X_y=True)
    >>> scorer = VoGScorer(random_state=0).fit(X[:1200], y[:1200])
    >>> print(scorer.difficulty_[:3].round(2), scorer.difficulty_.shape)
    [ 3.15 -1.21  0.24] (1200,)
    >>> scorer.score_samples(X[1200:]).shape
    (597,)
    """

    _provides: tuple[str, ...] = ()
    _parameter_constraints: dict[str, list[Any]] = {
        **BaseDifficultyScorer._parameter_constraints,
        "checkpoints": [
            Interval(Integral, 2, None, closed="left"),
            StrOptions({"early", "late", "all"}),
            "array-like",
        ],
        "target": [StrOptions({"logit", "probability", "loss"})],
        "formula": [StrOptions({"rms", "mean_std", "cvpr"})],
        "normalize": [StrOptions({"class", "dataset"}), None],
        "channel_mean": ["boolean"],
        "wrt": [str, None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        estimator: Any = None,
        *,
        checkpoints: CheckpointSpec = 10,
        target: str = "logit",
        formula: str = "rms",
        normalize: str | None = "class",
        channel_mean: bool = True,
        wrt: str | None = None,
        batch_size: int = 512,
        undefined: str = "nan",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.checkpoints = checkpoints
        self.target = target
        self.formula = formula
        self.normalize = normalize
        self.channel_mean = channel_mean
        self.wrt = wrt
        self.batch_size = batch_size
        self.undefined = undefined
        self.random_state = random_state
        self.verbose = verbose

    def gradient_maps(self, X: Any, y: Any = None) -> NDArray[np.float32]:
        """Return, for every input of every row, how much its gradient varies over training.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Rows of the kind that `fit` was given.
        y : array-like of shape (n_samples,), default=None
            Their labels; without them, the predicted class takes their place.

        Returns
        -------
        maps : ndarray of shape (n_samples, ...), float32
            Standard deviation over checkpoints, shaped like a row without its channels: bright
            where the training kept changing its mind. The root of the mean square of a map is the
            row's raw score with ``formula="rms"``.
        """
        rows, targets = self._check_unseen(X, y)
        with alone():
            reader = self._reader(self.record_)
            return gradient_maps(reader, rows, targets, batch_size=self.batch_size)

    def _needs(self) -> RecordNeeds:
        return RecordNeeds.of_checkpoints(self.checkpoints, at_least=2)

    def _reader(
        self, record: TrainingRecord, checkpoints: Sequence[Checkpoint] | None = None
    ) -> GradientReader:
        """Return the reader of gradients at the chosen checkpoints, or at given ones."""
        return GradientReader(
            record,
            record.select(self.checkpoints) if checkpoints is None else checkpoints,
            target=self.target,
            channel_mean=self.channel_mean,
            wrt=self.wrt,
        )

    def _rehearse(self, record: TrainingRecord, X: Rows, targets: NDArray[Any]) -> None:
        reader = self._reader(record, record.checkpoints[:1])
        gradient_variance(reader, X, targets, formula=self.formula, batch_size=self.batch_size)

    def _statistics(
        self, X: Rows, targets: NDArray[Any] | None, progress: Task = SILENT
    ) -> GradientStatistics:
        """Return raw scores and gradient magnitudes of rows at the recorded checkpoints."""
        return gradient_variance(
            self._reader(self.record_),
            X,
            targets,
            formula=self.formula,
            batch_size=self.batch_size,
            progress=progress,
        )

    def _score_training_rows(self, X: Rows, targets: NDArray[Any], progress: Task) -> NDArray[Any]:
        statistics = self._statistics(X, targets, progress)
        self.raw_difficulty_ = statistics.variance.astype(np.float32)
        self.gradient_magnitude_ = statistics.magnitude.astype(np.float32)
        if self.normalize is None:
            return statistics.variance
        groups, names = self._groups(statistics)
        self.raw_mean_, self.raw_std_ = group_statistics(statistics.variance, groups, len(names))
        flat = np.flatnonzero(self.raw_std_ == 0)
        self.n_without_spread_ = len(flat)
        if len(flat):
            warn_caller(
                f"The raw scores have no spread in {len(flat)} of {len(names)} groups, "
                f"{names[flat][:5].tolist()}; the normalised score is 0 there. That happens to a "
                "class with a single row, to a linear network, whose gradient is the same "
                "everywhere, and to one that did not learn (lr too small) or is saturated (lr too "
                "large)."
            )
        return standardize(statistics.variance, groups, self.raw_mean_, self.raw_std_)

    def _score_rows(self, X: Rows, targets: NDArray[Any] | None) -> NDArray[Any]:
        statistics = self._statistics(X, targets)
        if self.normalize is None:
            return statistics.variance
        groups, _ = self._groups(statistics)
        return standardize(statistics.variance, groups, self.raw_mean_, self.raw_std_)

    def _groups(self, statistics: GradientStatistics) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Return the group of every row, within which scores are normalised, and their names."""
        if self.normalize == "class" and self.classes_ is not None:
            assert statistics.labels is not None
            return statistics.labels, self.classes_
        return np.zeros(len(statistics.variance), dtype=np.int64), np.array(["all rows"])

    @property
    def _column_names(self) -> list[str]:
        return ["vog"]
