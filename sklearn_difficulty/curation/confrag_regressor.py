# SPDX-License-Identifier: BSD-3-Clause
"""ConFragRegressor: train a regressor on rows that contrasting fragments select, anew per epoch."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted, validate_data

from .._progress import Task, root_task, with_callbacks
from .._randomness import alone
from ..inference.predictions import predicted_values
from ..rows.rows import Rows, as_rows
from ..training.derived import teaching_net
from ..training.epoch_rows import BeforeEpoch, train_on_epochs
from ._base_confrag import BaseConFrag

__all__ = ["ConFragRegressor"]

_REMAINING = 0.25  # of the wrong targets are among those selected, as the paper assumes
_RAMP = 10  # epochs over which rows begin to be left out, or half of all if that is less
_BLOCK_ROWS = 512


class ConFragRegressor(RegressorMixin, BaseConFrag):
    r"""Train a regressor on rows whose target is to be believed, selected anew in every epoch.

    The rows are selected as by `ConFragSelector`, by experts that tell contrasting fragments of the
    target apart; a clone of the network is then trained, each epoch on the rows that the experts of
    that epoch select. No share of wrong targets has to be known. Rows to be predicted are not
    selected: all are.

    Parameters
    ----------
    estimator : skorch.NeuralNet or None, default=None
        The network for regression. None takes
        ``training.default_network(X, y, task="regression")``. It sees standardised targets.
    expert : skorch.NeuralNet or None, default=None
        A classifier with two outputs, of which every pair of fragments trains a clone. None takes
        the network's own layers, with two outputs in the last one, trained as the network is.
    n_fragments : int, default=4
        Number of fragments :math:`F`, even and at least 4.
    fragmentation : {"length", "count"}, default="length"
        Whether fragments are equally long or hold equally many rows.
    jitter : float, default=0.05
        Share of the range, or of the rows, that the fragments leave out, in another place in every
        epoch; from 0 to :math:`1 / (2 (F - 1))`.
    n_neighbors : int, default=3
        Number of nearest rows in the representation view, at least 3; all but one must agree.
    view : {"both", "prediction", "representation"}, default="both"
        Where a row is drawn: by the experts' outputs, by their features, or by either.
    co_teaching : float, default=None
        Share of wrong targets among all rows, in [0, 1), for Co-ConFrag: two networks are trained,
        each on rows that the other has a small error on; the mean of both predicts. A quarter of
        the share is taken to be left among the selected rows. None trains one network.
    random_state : int, RandomState or None, default=None
        Seeds the selection and the training.
    verbose : int, default=0
        0 trains silently; otherwise the networks print what they are set to print.

    Attributes
    ----------
    estimator_ : skorch.NeuralNet
        The fitted clone, whose outputs are standardised; with `co_teaching`, both networks in one.
    record_ : TrainingRecord
        Of its training.
    difficulty_ : ndarray of shape (n_samples,), float32
        1 - `selection_probability_`, of the training rows.
    selection_probability_ : ndarray of shape (n_samples,)
        Probability that a row is selected, in [0, 1], on average over the epochs of the experts.
    sample_indices_ : ndarray of shape (n_selected,)
        Positions of the rows that were drawn in the last epoch.
    dropped_indices_ : ndarray of shape (n_dropped,)
        Positions of the others.
    selected_ : ndarray of shape (n_epochs, n_samples), bool
        The rows that were drawn in every epoch of the experts.
    fragment_ : ndarray of shape (n_samples,)
        The fragment of every row's target, from 0 on.
    fragment_edges_ : ndarray of shape (n_fragments + 1,)
        Their edges, without jitter.
    target_center_, target_scale_ : float
        By what targets are standardised.
    n_features_in_ : int
        Size of axis 1 of X, for arrays.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, for DataFrames whose names are all strings.

    Raises
    ------
    ValueError
        From ``fit``: as for `ConFragSelector`; and if `co_teaching` is given with a network whose
        module is an instance.

    See Also
    --------
    ConFragSelector : Selects the rows and trains nothing on them; says more about the selection.
    FilteredRegressor : Drops rows for a regressor of any kind.

    Notes
    -----
    The experts are trained first. Epoch :math:`e` of the regressor has the rows that were selected
    by the experts after their epoch :math:`e`; where these were trained for another number of
    epochs, in proportion; where none were selected, those of the epoch before.

    With `co_teaching` :math:`\tau`, each network leaves out the share :math:`\tau / 4` of every
    batch on which the other's error is largest, beginning with none and more in every one of the
    first ten epochs (or of the first half).

    References
    ----------
    C. D. Kim, S. Moon, J. Moon, D. Woo, G. Kim, "Sample Selection via Contrastive Fragmentation for
    Noisy Label Regression", NeurIPS 2024, :arxiv:`2502.17771`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_difficulty import ConFragRegressor
    >>> from sklearn_difficulty.datasets import make_target_noise
    >>> X = np.random.default_rng(0).normal(size=(400, 5))
    >>> y = X[:, 0] + np.abs(X[:, 1])
    >>> y_noisy, is_wrong, _ = make_target_noise(y, level=0.3, random_state=0)
    >>> regressor = ConFragRegressor(fragmentation="count", random_state=0)
    >>> regressor.fit(X, y_noisy).predict(X[:2]).shape
    (2,)
    """

    _parameter_constraints: dict[str, list[Any]] = {
        **BaseConFrag._parameter_constraints,
        "co_teaching": [Interval(Real, 0, 1, closed="left"), None],
    }

    def __init__(
        self,
        estimator: Any = None,
        *,
        expert: Any = None,
        n_fragments: int = 4,
        fragmentation: str = "length",
        jitter: float = 0.05,
        n_neighbors: int = 3,
        view: str = "both",
        co_teaching: float | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.expert = expert
        self.n_fragments = n_fragments
        self.fragmentation = fragmentation
        self.jitter = jitter
        self.n_neighbors = n_neighbors
        self.view = view
        self.co_teaching = co_teaching
        self.random_state = random_state
        self.verbose = verbose

    @with_callbacks
    def fit(self, X: Any, y: Any = None, *, scoring_view: Any = None) -> ConFragRegressor:
        """Select rows for every epoch, and train the network on them.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), tensor, DataFrame, dict of arrays, or Dataset
            The training rows.
        y : array-like of shape (n_samples,), default=None
            Their targets. May be None for a Dataset that yields (x, y).
        scoring_view : same kind as X, default=None
            The same rows in the same order without random augmentation; networks are trained on X
            and experts asked about these.

        Returns
        -------
        self : object
            Fitted.
        """
        with root_task(self, 2) as progress:
            net, rows, targets, seed = self._select(X, y, scoring_view, progress)
            with progress.subtask("regressor", net.max_epochs) as training:
                self._train(net, rows, targets, seed, training)
        if self.verbose:
            print(f"{type(self).__name__}: {self._found()}")
        return self

    def _train(
        self, net: Any, rows: Rows, targets: NDArray[np.float32], seed: int, progress: Task
    ) -> None:
        """Train the regressor, each epoch on the rows selected for it."""
        before_epoch = None
        if self.co_teaching is not None:
            net = teaching_net(net)
            before_epoch = co_teaching_schedule(self.co_teaching, net.max_epochs)
        self.record_ = train_on_epochs(
            net,
            rows,
            targets,
            None,
            rows_of_epochs(self.selected_, net.max_epochs),
            random_state=seed,
            verbose=self.verbose,
            before_epoch=before_epoch,
            progress=progress,
        )
        self.estimator_ = self.record_.net

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Predict the targets of rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Rows of the kind that ``fit`` was given.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            The predicted targets, in the units of those of ``fit``.
        """
        check_is_fitted(self)
        columns = self.record_.columns
        rows = as_rows(X, collate_fn=self.record_.collate_fn, estimator=self, columns=columns)
        if rows.has_columns:
            validate_data(self, X, skip_check_array=True, reset=False)
        with alone():
            values = predicted_values(self.record_, rows, batch_size=_BLOCK_ROWS)
        standardized = values.reshape(len(values)).astype(np.float64)
        return standardized * self.target_scale_ + self.target_center_

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "record_")


def co_teaching_schedule(share: float, n_epochs: int) -> BeforeEpoch:
    """Return what sets, before every epoch, which share of a batch two networks leave out."""
    ramp = max(1, min(_RAMP, n_epochs // 2))

    def before_epoch(net: Any, epoch: int) -> None:
        net.criterion_.forget_rate = _REMAINING * share * min(1, epoch / ramp)

    return before_epoch


def rows_of_epochs(selected: NDArray[np.bool_], n_epochs: int) -> NDArray[np.bool_]:
    """Return the rows (n_epochs, n_rows) of a regressor's epochs, from those of the experts'."""
    epochs = np.arange(n_epochs) * len(selected) // n_epochs
    chosen = np.flatnonzero(selected.any(axis=1))
    # Of an epoch without rows the one before, of the first ones the first that has some.
    last = np.searchsorted(chosen, epochs, side="right") - 1
    return selected[chosen[np.maximum(last, 0)]]
