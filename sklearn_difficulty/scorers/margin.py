# SPDX-License-Identifier: BSD-3-Clause
"""MarginScorer: how far the trained network is from deciding otherwise."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval, StrOptions

from .._progress import SILENT, Task
from ..inference.margins import input_margins
from ..inference.predictions import output_margins
from ..rows.rows import Rows
from ..training.record import TrainingRecord
from ..training.requirements import RecordNeeds
from ._base import BaseDifficultyScorer

__all__ = ["MarginScorer"]


class MarginScorer(BaseDifficultyScorer):
    r"""Minus the margin by which the trained network decides for a row's class; larger = harder.

    The output margin is how far the logit of the row's class lies above the largest other one,
    in logits. The input margin is about how far the row would have to be moved for that to change,
    in units of the input (for the default networks: standard deviations of a feature). Both are
    positive where the class is predicted, negative where another one is, and take any value.

    **What it finds.** Rows near the decision boundary of the trained network: it takes little to
    make the network decide otherwise. Wrong labels while the network has not memorised them, since
    their margin for the given label is negative then: average precision for 20 % flipped labels
    (chance: 0.20) with the output margin 0.81 to 0.98, input margin 0.80 to 0.98, but 0.57 to 0.63
    and 0.37 to 0.49 once they are known by heart.

    Parameters
    ----------
    estimator : skorch.NeuralNet, TrainingRecord, FrozenEstimator or None, default=None
        The network. A net is cloned and trained on every row of `fit`; a `TrainingRecord`, or a
        ``FrozenEstimator`` around a net that was fitted with ``RecordTraining``, is read without
        training; None takes ``training.default_network(X, y)``. No checkpoint is needed: the
        network is read as training left it.
    kind : {"output", "input"}, default="output"
        The margin in logits, or to first order in the input. The class is the given label; for
        rows without one, the predicted class.
    log : bool, default=False
        Take minus the natural logarithm of the margin, which spreads out the rows near the
        boundary. A row whose margin is not positive is then undefined; ``undefined="max"`` ranks
        it with the hardest.
    wrt : str, default=None
        For ``kind="input"``: name of the submodule in whose output the distance is measured, such
        as the embedding of token ids; it must be called once in a forward pass and return one
        tensor. None is the input, all floating arrays of it; for the default networks the input
        after standardisation.
    batch_size : int, default=512
        Rows scored at once, at most. It changes the speed, not the scores, of a network that
        treats every row by itself in eval mode.
    undefined : {"nan", "max"}, default="nan"
        What stands for the score of a row without a defined one: NaN, or the largest score of the
        training rows.
    random_state : int, RandomState or None, default=None
        Seeds initialisation, row order and dropout of the training. None takes fresh entropy.
    verbose : int, default=0
        0 trains silently; otherwise the net prints what it is set to print, the default network
        a line per epoch.

    Attributes
    ----------
    difficulty_ : ndarray of shape (n_samples,), float32
        The training rows with their given labels: minus the margin, or minus its logarithm.
    margin_ : ndarray of shape (n_samples,), float32
        The margin itself, with its sign. NaN where it is not finite.
    n_undefined_ : int
        Training rows whose margin is not finite or, with ``log=True``, not positive.
    classes_ : ndarray of shape (n_classes,)
        The classes.
    estimator_ : skorch.NeuralNet or TrainingRecord
        The fitted net, the record if there is no net. The net knows classes as positions: its
        ``predict`` returns indices into `classes_`.
    record_ : TrainingRecord
        What the training left behind; scores that need no checkpoint can be read from it too.
    n_features_in_ : int
        Size of axis 1 of X, for arrays.

    Raises
    ------
    ValueError
        From `fit`: if the network is a regressor, which has no classes to lie between.

    See Also
    --------
    VoGScorer : How much the gradient changes over training.
    sklearn_difficulty.measures.output_margin : The formula, for given logits.
    sklearn_difficulty.measures.input_margin : The formula, for given logits and gradients.

    Notes
    -----
    Let :math:`z_j` be the logit of a row for class :math:`j`, :math:`c` the row's class, :math:`x`
    its input and :math:`\| \cdot \|_2` the Euclidean norm over all inputs. Then

    - "output": :math:`\min_{j \ne c} (z_c - z_j)`, for the predicted class the largest logit minus
      the second largest;
    - "input": :math:`\min_{j \ne c} (z_c - z_j) / \| \nabla_x (z_c - z_j) \|_2`, for the predicted
      class the distance to the decision boundary if the logits were linear in the input.

    A single logit :math:`z` stands for the logits :math:`(0, z)`; the logarithm of probabilities
    has the same differences as the logits. The output margin scales with the logits, so those of
    two networks cannot be compared; the input margin does not change if all logits are multiplied
    by a positive factor, and of a linear network it is exact.

    A class that no change of the input can bring closer (a gradient of 0) does not bound the input
    margin. The row is undefined if no class bounds it, if a class is ahead of the row's own, or
    equal to it, and no change of the input can alter that, and if a gradient is not finite.

    The network is read in eval mode. The output margin costs a forward pass a row, the input
    margin a forward pass and, for every class but one, a backward pass with respect to the input
    only; memory does not grow with the number of classes.

    References
    ----------
    Y. Jiang, D. Krishnan, H. Mobahi, S. Bengio, "Predicting the Generalization Gap in Deep
    Networks with Margin Distributions", ICLR 2019, :arxiv:`1810.00113`.

    R. Baldock, H. Maennel, B. Neyshabur, "Deep Learning Through the Lens of Example Difficulty",
    NeurIPS 2021, section 3.3, :arxiv:`2106.09647`.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_difficulty import MarginScorer
    >>> X, y = load_digits(return_X_y=True)
    >>> scorer = MarginScorer(random_state=0).fit(X[:1200], y[:1200])
    >>> scorer.difficulty_.shape
    (1200,)
    >>> distance = MarginScorer(scorer.record_, kind="input").fit(
    ...     X[:1200], y[:1200]
    ... )
    >>> distance.score_samples(X[1200:]).shape
    (597,)
    """

    _provides: tuple[str, ...] = ()
    _parameter_constraints: dict[str, list[Any]] = {
        **BaseDifficultyScorer._parameter_constraints,
        "kind": [StrOptions({"output", "input"})],
        "log": ["boolean"],
        "wrt": [str, None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        estimator: Any = None,
        *,
        kind: str = "output",
        log: bool = False,
        wrt: str | None = None,
        batch_size: int = 512,
        undefined: str = "nan",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.kind = kind
        self.log = log
        self.wrt = wrt
        self.batch_size = batch_size
        self.undefined = undefined
        self.random_state = random_state
        self.verbose = verbose

    def _needs(self) -> RecordNeeds:
        return RecordNeeds(final_network=True)

    def _rehearse(self, record: TrainingRecord, X: Rows, targets: NDArray[Any]) -> None:
        self._margins(record, X, targets)

    def _margins(
        self,
        record: TrainingRecord,
        X: Rows,
        targets: NDArray[Any] | None,
        progress: Task = SILENT,
    ) -> NDArray[np.float32]:
        """Return the margins (n,) of the chosen kind."""
        if self.kind == "output":
            return output_margins(record, X, targets, batch_size=self.batch_size, progress=progress)
        return input_margins(
            record, X, targets, wrt=self.wrt, batch_size=self.batch_size, progress=progress
        )

    def _score_training_rows(self, X: Rows, targets: NDArray[Any], progress: Task) -> NDArray[Any]:
        self.margin_ = self._margins(self.record_, X, targets, progress)
        return self._difficulty(self.margin_)

    def _score_rows(self, X: Rows, targets: NDArray[Any] | None) -> NDArray[Any]:
        return self._difficulty(self._margins(self.record_, X, targets))

    def _difficulty(self, margins: NDArray[np.float32]) -> NDArray[Any]:
        """Return minus the margins, or minus their logarithms."""
        return -np.log(np.where(margins > 0, margins, np.nan)) if self.log else -margins

    @property
    def _column_names(self) -> list[str]:
        return [f"{self.kind}_margin"]
