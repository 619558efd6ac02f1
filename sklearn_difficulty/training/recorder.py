# SPDX-License-Identifier: BSD-3-Clause
"""RecordTraining: the skorch callback that keeps what a fit would otherwise forget."""

from __future__ import annotations

import math
import secrets
import shutil
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_regressor
from skorch import NeuralNet
from skorch.callbacks import Callback
from torch import nn

from .checkpoints import Checkpoint, CheckpointPlan, CheckpointSpec, CheckpointStore
from .rows import RowsFingerprint, check_rows, is_dataset, n_rows, take_rows, to_numpy

__all__ = ["RecordTraining"]


class RecordTraining(Callback):
    """Keep checkpoints of a skorch net while it trains.

    Every scorer attaches one to its clone of the network. Attach one yourself to train your net
    your own way and read it later: ``VoGScorer(FrozenEstimator(net))`` or
    ``TrainingRecord.from_net(net)``. A net that already carries a recorder keeps it.

    Parameters
    ----------
    checkpoints : int, {"early", "late", "all"} or list of int, default=10
        Which epochs to keep. An int K keeps K epochs evenly spaced over `max_epochs`, the last
        one included (all of them if there are fewer); "early" and "late" the first and the last
        three; "all" every epoch; a list these epochs, where 0 is the network before its first
        step. If training stops early, an int keeps an evenly spread selection of the epochs that
        ran, "late" the last three of them, and a list those that were reached.
    checkpoint_dir : path-like, default=None
        Where to write the checkpoints as safetensors, each in one atomic step, in a new
        subfolder for every fit. None keeps them in memory.

    Attributes
    ----------
    checkpoints_ : list of Checkpoint
        In order of epoch, once training has ended.
    n_epochs_ : int
        Epochs that ran in the latest fit.
    classes_ : ndarray of shape (n_classes,) or None
        The distinct labels seen, None for regression.

    Raises
    ------
    ValueError
        From the fit: if the training loss becomes NaN or infinite (the epoch is named), or a
        listed epoch lies beyond `max_epochs`.

    See Also
    --------
    TrainingRecord : What the recorder leaves behind.

    Examples
    --------
    >>> from skorch import NeuralNetClassifier
    >>> from sklearn.datasets import load_digits
    >>> from torch import nn
    >>> from sklearn_difficulty import TrainingRecord
    >>> from sklearn_difficulty.training import RecordTraining
    >>> X, y = load_digits(return_X_y=True)
    >>> net = NeuralNetClassifier(
    ...     nn.Linear(64, 10),
    ...     criterion=nn.CrossEntropyLoss,
    ...     max_epochs=6,
    ...     callbacks=[RecordTraining(checkpoints=3)],
    ...     verbose=0,
    ... )
    >>> record = TrainingRecord.from_net(net.fit(X.astype("float32"), y))
    >>> [checkpoint.epoch for checkpoint in record.checkpoints]
    [2, 4, 6]
    """

    def __init__(
        self,
        checkpoints: CheckpointSpec | CheckpointPlan = 10,
        checkpoint_dir: str | PathLike[str] | None = None,
    ) -> None:
        self.checkpoints = checkpoints
        self.checkpoint_dir = checkpoint_dir

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Forget the last fit."""
        plan = CheckpointPlan.of(self.checkpoints)
        plan.check_within(net.max_epochs)
        self._make_folder()
        self.store_ = CheckpointStore(plan, net.max_epochs, self.folder_)
        self.n_epochs_ = 0
        self.past_epochs_ = len(net.history)  # not 0 after warm_start or partial_fit
        self.checkpoints_: list[Checkpoint] = []
        self.n_outputs_: int | None = None
        self.classes_: NDArray[Any] | None = None
        self.rows_: RowsFingerprint | None = None
        self.given_: Any = (X, y)  # until it is known which rows are trained on

    def on_epoch_begin(self, net: NeuralNet, dataset_train: Any = None, **kwargs: Any) -> None:
        """Keep epoch 0, if it is wanted; other callbacks have set up the module by now."""
        if self.n_epochs_ == 0:
            self.store_.offer(0, net.module_)
            self._describe_rows(net, dataset_train)

    def _describe_rows(self, net: NeuralNet, dataset_train: Any) -> None:
        """Note the classes and the fingerprint of the rows that are trained on, if they show."""
        (X, y), self.given_ = self.given_, (None, None)
        if y is None:
            return
        targets = np.asarray(to_numpy(y))
        is_binary = isinstance(net.criterion_, nn.BCEWithLogitsLoss)
        if is_binary or (targets.dtype.kind != "f" and not is_regressor(net)):
            self.classes_, codes = np.unique(targets, return_inverse=True)
            if is_binary or targets.dtype.kind not in "iu":  # skorch takes integers as columns
                targets = codes
        try:
            rows = check_rows(X)
        except (TypeError, ValueError):  # a kind of X that skorch takes and the scorers do not
            return
        if dataset_train is not None and len(dataset_train) < n_rows(rows):
            # skorch has put some rows aside for validation.
            indices = getattr(dataset_train, "indices", None)
            if indices is None or is_dataset(rows):
                return
            rows, targets = take_rows(rows, indices), targets[indices]
        self.rows_ = RowsFingerprint.of(rows, targets)

    def on_batch_end(self, net: NeuralNet, y_pred: Any = None, **kwargs: Any) -> None:
        """Learn how many columns the module returns."""
        if self.n_outputs_ is None:
            outputs = y_pred[0] if isinstance(y_pred, (tuple, list)) else y_pred
            self.n_outputs_ = outputs.shape[1] if outputs.ndim == 2 else 1

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Check that training has not diverged, and keep the weights if they are wanted."""
        self._finish_epoch(net)

    def _finish_epoch(self, net: NeuralNet) -> None:
        self.n_epochs_ += 1
        losses = [b["train_loss"] for b in net.history[-1, "batches"] if "train_loss" in b]
        loss = losses[-1] if losses else 0.0
        if not math.isfinite(loss):
            raise ValueError(
                f"The training loss became {loss} in epoch {self.n_epochs_}: training diverged. "
                f"Lower the learning rate (lr={net.lr}) or clip the gradients."
            )
        self.store_.offer(self.n_epochs_, net.module_)

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Settle on the checkpoints of the epochs that ran."""
        epochs = net.history[self.past_epochs_ :]
        if sum("train_batch_count" in epoch for epoch in epochs) > self.n_epochs_:
            # A callback listed before this one stopped training at the end of the epoch.
            self._finish_epoch(net)
        if not epochs:  # max_epochs=0
            self.store_.offer(0, net.module_)
            self._describe_rows(net, None)
        self.checkpoints_ = self.store_.finish(self.n_epochs_)

    def discard(self) -> None:
        """Remove what an unfinished fit has written."""
        if hasattr(self, "store_"):
            self.given_ = (None, None)
            self.store_.discard()
            if self.folder_ is not None:
                shutil.rmtree(self.folder_, ignore_errors=True)

    def _make_folder(self) -> None:
        self.folder_: Path | None = None
        if self.checkpoint_dir is not None:
            parent = Path(self.checkpoint_dir).resolve()
            parent.mkdir(parents=True, exist_ok=True)
            # One folder a fit: clones of one net, in a grid search say, must not mix.
            self.folder_ = parent / f"fit-{secrets.token_hex(4)}"
            self.folder_.mkdir()
