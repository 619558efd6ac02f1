# SPDX-License-Identifier: BSD-3-Clause
"""TrainingDynamicsScorer: what the predictions for a row did while the network learned."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval, StrOptions

from .._progress import SILENT, Task
from ..inference.parameter_gradients import gradient_norms
from ..inference.predictions import mean_statistics
from ..measures import (
    aleatoric_uncertainty,
    epoch_statistics,
    forgetting_events,
    iteration_learned,
    mean_correctness,
    mean_over_epochs,
    residual_statistics,
    variability,
)
from ..rows.rows import Rows
from ..training.checkpoints import Checkpoint, CheckpointSpec
from ..training.default import Task as NetworkTask
from ..training.record import TrainingRecord
from ..training.requirements import Mode, RecordNeeds
from ..training.trajectory import Trajectory
from ._base import BaseDifficultyScorer
from ._trained_source import checkpoints_to_read

__all__ = ["TrainingDynamicsScorer"]


class _Measure(NamedTuple):
    """How a measure is read from a trajectory, and which way it points."""

    of_trajectory: Callable[[Trajectory], NDArray[np.float64]] | None  # None: of checkpoints
    sign: int  # 1: larger = harder, -1: larger = easier
    statistic: str | None = None  # of which it is the mean, for unseen rows too


def _mean_of(statistic: str) -> Callable[[Trajectory], NDArray[np.float64]]:
    """Return the reader of the mean of a statistic over epochs."""
    return lambda t: mean_over_epochs(getattr(t, statistic), t.count)


def _mean_entropy(trajectory: Trajectory) -> NDArray[np.float64]:
    """Return the mean entropy of the recorded probabilities over epochs."""
    assert trajectory.logits is not None
    shown = np.maximum(trajectory.targets, 0)  # rows that were never shown have no logits either
    # One epoch at a time: the statistics of all would take many times the memory of the logits.
    of_epochs = [epoch_statistics(epoch, shown).entropy[0] for epoch in trajectory.logits]
    return mean_over_epochs(of_epochs, trajectory.count)


def _residual_deviation(trajectory: Trajectory) -> NDArray[np.float64]:
    """Return the deviation over epochs of what a regressor missed its targets by."""
    assert trajectory.logits is not None
    targets = trajectory.targets.reshape(trajectory.logits.shape[1:])
    shown = np.nan_to_num(targets)  # rows that were never shown have no predictions either
    return residual_statistics(trajectory.logits, shown, trajectory.count).deviation


MEASURES: dict[str, _Measure] = {
    "confidence": _Measure(_mean_of("probability"), -1, "probability"),
    "aum": _Measure(_mean_of("margin"), -1, "margin"),
    "loss": _Measure(_mean_of("loss"), 1, "loss"),
    "el2n": _Measure(_mean_of("el2n"), 1, "el2n"),
    "entropy": _Measure(_mean_entropy, 1, "entropy"),
    "variability": _Measure(lambda t: variability(t.probability), 1),
    "aleatoric": _Measure(lambda t: aleatoric_uncertainty(t.probability), 1),
    "correctness": _Measure(lambda t: mean_correctness(t.predicted, t.targets), -1),
    "forgetting": _Measure(lambda t: forgetting_events(t.predicted, t.targets), 1),
    "iteration_learned": _Measure(lambda t: iteration_learned(t.predicted, t.targets), 1),
    "iteration_settled": _Measure(lambda t: iteration_learned(t.predicted), 1),
    "grand": _Measure(None, 1, "last"),
    "grand_all": _Measure(None, 1, "all"),
    "final_loss": _Measure(lambda t: t.loss[-1].astype(np.float64), 1),
    "residual": _Measure(lambda t: mean_over_epochs(np.sqrt(t.loss), t.count), 1, "residual"),
    "residual_deviation": _Measure(_residual_deviation, 1),
}
_OF_REGRESSORS_ONLY = ("residual", "residual_deviation")
_OF_REGRESSORS = ("loss", *_OF_REGRESSORS_ONLY, "grand", "grand_all", "final_loss")
_WITH_OUTPUTS = ("entropy", "residual_deviation")  # of every epoch


class TrainingDynamicsScorer(BaseDifficultyScorer):
    r"""A measure of training dynamics; larger = harder.

    How the predictions for a row went while the network was trained, recorded in the training pass
    itself, at almost no cost. The score is the measure, or minus the measure where a larger value
    means easier (confidence, margin, correctness); `raw_` has it in its own direction.

    **What it finds.** Wrong labels, from one training: average precision for 20 % symmetric errors
    (digits and Fashion-MNIST, MLP) with "loss" 0.96 to 0.99 in networks that were stopped early and
    0.90 to 0.99 in networks that know their labels by heart, with "confidence" 0.96 to 0.99 and
    0.81 to 0.96, where 5-fold cross-validation gives 0.92 to 0.99 and 0.79 to 0.91. Ambiguous rows,
    with "entropy". Wrong targets of a regression, with "residual". The user guide says which
    measure finds what.

    Parameters
    ----------
    estimator : skorch.NeuralNet, TrainingRecord, FrozenEstimator or None, default=None
        The network. A net is cloned and trained on every row of `fit`; a `TrainingRecord`, or a
        ``FrozenEstimator`` around a net that was fitted with ``RecordTraining``, is read without
        training; None takes ``training.default_network(X, y)``, for the two measures that only
        regressors have with ``task="regression"``.
    measure : str, default="confidence"
        What is computed from the epochs, see Notes: "confidence", "aum", "loss", "el2n", "entropy",
        "grand", "grand_all", "variability", "aleatoric", "correctness", "forgetting",
        "iteration_learned", "iteration_settled", "final_loss", "residual" or "residual_deviation".
        The first seven and "residual" are means, which unseen rows can have too; for the others,
        `transform` and `score_samples` do not exist. A regressor has "loss", "residual",
        "residual_deviation", "grand", "grand_all" and "final_loss".
    mode : {"training", "evaluation"}, default="training"
        Whether the values of the training pass are read (train mode, weights that change from batch
        to batch), or those of an ordered pass in eval mode after every epoch, which takes longer.
    checkpoints : int, {"early", "late", "all"} or list of int, default=10
        Which epochs are read at for unseen rows and, for "grand" and "grand_all", for the training
        rows too. All else is taken over every epoch.
    batch_size : int, default=512
        Rows read at once, at most.
    undefined : {"nan", "max"}, default="nan"
        What stands for the score of a row that the training never showed: NaN, or the largest score
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
    raw_ : ndarray of shape (n_samples,), float32
        The measure in its own direction.
    n_undefined_ : int
        Training rows that no batch held, or whose values are not finite.
    classes_ : ndarray of shape (n_classes,) or None
        The classes; None for a regressor.
    estimator_ : skorch.NeuralNet or TrainingRecord
        The fitted net, the record if there is no net. The net knows classes as positions: its
        ``predict`` returns indices into `classes_`.
    record_ : TrainingRecord
        What the training left behind; ``record_.trajectory`` has the values of every epoch.
    n_features_in_ : int
        Size of axis 1 of X, for arrays.

    See Also
    --------
    DifficultyScorer : Several scores from one training.
    sklearn_difficulty.measures.epoch_statistics : The same from logits of your own.

    Notes
    -----
    Let :math:`p_e` be the probability of the given label :math:`y` in epoch :math:`e` of :math:`E`,
    :math:`z_e` the logits and :math:`\hat{y}_e` the predicted class.

    - "confidence": :math:`\frac{1}{E} \sum_e p_e` [1]_;
    - "aum", the area under the margin: the mean of :math:`z_{ey} - \max_{j \ne y} z_{ej}` [2]_;
    - "loss": the mean of :math:`-\log p_e`, in nats, whatever loss the network is trained with; for
      a regressor of the squared error. Times :math:`E`, which changes no order, it is the
      cumulative sample loss [7]_;
    - "el2n": the mean length of the vector of probabilities less the one-hot label [3]_;
    - "entropy": the mean entropy of the probabilities, in nats; takes no notice of the label;
    - "grand": the mean over checkpoints of :math:`\lVert \nabla_w \ell \rVert_2`, the length of the
      gradient of the row's own loss with respect to the parameters :math:`w` of the last linear
      layer, in closed form :math:`\lVert \nabla_z \ell \rVert \sqrt{\lVert h \rVert^2 + 1}` with
      the layer's input :math:`h` and output :math:`z`: a forward pass. "grand_all": of all
      parameters, which takes as long per checkpoint as two (a convolutional net) to sixty epochs
      (an MLP) of training [3]_;
    - "variability": the standard deviation of :math:`p_e` over epochs [1]_;
    - "aleatoric": the mean of :math:`p_e (1 - p_e)` [4]_;
    - "correctness": the share of epochs with :math:`\hat{y}_e = y` [1]_;
    - "forgetting": how often an epoch with :math:`\hat{y}_e = y` was followed by one without;
      :math:`E` for rows that no epoch predicted right [5]_;
    - "iteration_learned": the epoch from which on :math:`\hat{y}_e = y`, :math:`E + 1` if that does
      not hold in the end; "iteration_settled": the epoch from which on :math:`\hat{y}_e =
      \hat{y}_E` [6]_;
    - "final_loss": the loss in the last epoch;
    - "residual": of a regressor, the mean of :math:`\lVert y - f_e \rVert_2`, how far the predicted
      values :math:`f_e` are from the targets :math:`y`, in their unit. Unlike the loss it is not
      ruled by the few epochs in which they are farthest apart;
    - "residual_deviation": of a regressor, the standard deviation of :math:`y - f_e` over epochs.
      Rows that the network changes its mind about have a large one, wrong targets that it never
      comes to meet a small one.

    Unseen rows are read in eval mode at the recorded checkpoints, and the mean is taken over these,
    so their scores are not on the same scale as those of training rows.

    References
    ----------
    .. [1] S. Swayamdipta et al., "Dataset Cartography", EMNLP 2020, :arxiv:`2009.10795`.
    .. [2] G. Pleiss et al., "Identifying Mislabeled Data using the Area Under the Margin Ranking",
       NeurIPS 2020, :arxiv:`2001.10528`.
    .. [3] M. Paul, S. Ganguli, G. Dziugaite, "Deep Learning on a Data Diet", NeurIPS 2021,
       :arxiv:`2107.07075`.
    .. [4] N. Seedat, J. Crabbé, I. Bica, M. van der Schaar, "Data-IQ", NeurIPS 2022,
       :arxiv:`2210.13043`.
    .. [5] M. Toneva et al., "An Empirical Study of Example Forgetting during Deep Neural Network
       Learning", ICLR 2019, :arxiv:`1812.05159`.
    .. [6] R. Baldock, H. Maennel, B. Neyshabur, "Deep Learning Through the Lens of Example
       Difficulty", NeurIPS 2021, :arxiv:`2106.09647`.
    .. [7] D. Ravikumar et al., "Towards Memorization Estimation: Fast,
       Formal and Free", ICML 2025, https://openreview.net/forum?id=KZlQEoEtiu.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_difficulty import TrainingDynamicsScorer
    >>> from sklearn_difficulty.datasets import make_label_noise
    >>> X, y = load_digits(return_X_y=True)
    >>> y_noisy, is_flipped = make_label_noise(y, rate=0.1, random_state=0)
    >>> scorer = TrainingDynamicsScorer(measure="aum", random_state=0).fit(
    ...     X, y_noisy
    ... )
    >>> hardest = np.argsort(-scorer.difficulty_)[:100]
    >>> print(f"{is_flipped[hardest].mean():.2f} of the hardest 100 are wrong")
    1.00 of the hardest 100 are wrong
    """

    _provides: tuple[str, ...] = ()
    _parameter_constraints: dict[str, list[Any]] = {
        **BaseDifficultyScorer._parameter_constraints,
        "measure": [StrOptions(set(MEASURES))],
        "mode": [StrOptions({"training", "evaluation"})],
        "checkpoints": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"early", "late", "all"}),
            "array-like",
        ],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        estimator: Any = None,
        *,
        measure: str = "confidence",
        mode: Mode = "training",
        checkpoints: CheckpointSpec = 10,
        batch_size: int = 512,
        undefined: str = "nan",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.measure = measure
        self.mode = mode
        self.checkpoints = checkpoints
        self.batch_size = batch_size
        self.undefined = undefined
        self.random_state = random_state
        self.verbose = verbose

    @property
    def _scores_unseen_rows(self) -> bool:
        return self.measure in MEASURES and MEASURES[self.measure].statistic is not None

    @property
    def _task(self) -> NetworkTask:
        return "regression" if self.measure in _OF_REGRESSORS_ONLY else "classification"

    @property
    def _ignores_labels_of_unseen_rows(self) -> bool:
        return self.measure == "entropy"

    def _needs(self) -> RecordNeeds:
        measure = MEASURES[self.measure]
        if measure.of_trajectory is None:
            return RecordNeeds.of_checkpoints(self.checkpoints, at_least=1)
        needs = RecordNeeds.of_trajectories(self.mode, logits=self.measure in _WITH_OUTPUTS)
        if measure.statistic is None:
            return needs
        return needs | RecordNeeds.of_checkpoints(self.checkpoints, at_least=0)

    def _rehearse(self, record: TrainingRecord, X: Rows, targets: NDArray[Any]) -> None:
        if record.head.is_regression and self.measure not in _OF_REGRESSORS:
            raise ValueError(
                f"A regressor has no measure {self.measure!r}; it has {list(_OF_REGRESSORS)}."
            )
        if not record.head.is_regression and self.measure in _OF_REGRESSORS_ONLY:
            raise ValueError(
                f"The measure {self.measure!r} is one of regressors, and this network is a "
                "classifier. Pass a net such as NeuralNetRegressor, or take the measure 'loss'."
            )
        if MEASURES[self.measure].of_trajectory is None:
            self._read(record, record.checkpoints[:1], X, targets)

    def _score_training_rows(self, X: Rows, targets: NDArray[Any], progress: Task) -> NDArray[Any]:
        measure = MEASURES[self.measure]
        if measure.of_trajectory is None:
            values = self._read(self.record_, self._checkpoints, X, targets, progress)
        else:
            assert self.record_.trajectory is not None
            values = measure.of_trajectory(self.record_.trajectory)
        self.raw_ = values.astype(np.float32)
        return measure.sign * values

    def _score_rows(self, X: Rows, targets: NDArray[Any] | None) -> NDArray[Any]:
        values = self._read(self.record_, self._checkpoints, X, targets)
        return MEASURES[self.measure].sign * values

    @property
    def _checkpoints(self) -> list[Checkpoint]:
        """The checkpoints at which rows are read."""
        return checkpoints_to_read(self.record_, self.checkpoints)

    def _read(
        self,
        record: TrainingRecord,
        checkpoints: list[Checkpoint],
        X: Rows,
        targets: NDArray[Any] | None,
        progress: Task = SILENT,
    ) -> NDArray[np.float64]:
        """Return the mean of the measure's statistic over checkpoints, for any rows."""
        statistic = MEASURES[self.measure].statistic
        assert statistic is not None
        settings: dict[str, Any] = {"batch_size": self.batch_size, "progress": progress}
        if statistic in ("last", "all"):
            return gradient_norms(record, checkpoints, X, targets, layers=statistic, **settings)
        return mean_statistics(record, checkpoints, X, targets, **settings)[statistic]

    @property
    def _column_names(self) -> list[str]:
        return [self.measure]
