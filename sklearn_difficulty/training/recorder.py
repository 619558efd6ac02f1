# SPDX-License-Identifier: BSD-3-Clause
"""RecordTraining: the skorch callback that keeps what a fit would otherwise forget."""

from __future__ import annotations

import math
import secrets
import shutil
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import is_regressor
from skorch import NeuralNet
from skorch.callbacks import Callback
from torch import nn
from torch.utils.data import DataLoader

from .._arrays import to_numpy
from .._parameters import check_parameters
from .._randomness import isolated_rng
from ..networks.copying import check_copy
from ..networks.forward import plain_module
from ..networks.heads import first_output
from ..rows.collation import is_own
from ..rows.identity import RowsFingerprint
from ..rows.rows import DatasetRows, as_rows
from .checkpoint_store import CheckpointStore
from .checkpoints import Checkpoint, CheckpointPlan, CheckpointSpec
from .files.folders import folder_of
from .learning import divergence, weight_sums
from .sampler_ids import RowIds
from .skorch_net import collate_fn, head_of
from .trajectory import Trajectory
from .trajectory_recorder import TrajectoryRecorder, has_labels

__all__ = ["RecordTraining"]


class RecordTraining(Callback):
    """Keep checkpoints of a skorch net, and what it said about every row, while it trains.

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
        subfolder for every fit. None keeps them in memory. A fit that ends with an error removes
        its subfolder; that of a process that was killed stays, with whole checkpoints and perhaps
        a hidden ``*.part`` file, which is never read.
    mode : {"training", "evaluation"}, default="training"
        Where the trajectories come from: "training" keeps what the network returns for every batch
        while it learns, at almost no cost (values in train mode, of weights that change from batch
        to batch); "evaluation" reads all training rows in order and in eval mode after every epoch,
        at the cost of a forward pass.
    keep_logits : bool, default=False
        Whether the trajectories hold all logits too: 4 bytes per epoch, row and class.

    Attributes
    ----------
    trajectory_ : Trajectory or None
        Probability, margin, loss and EL2N of the given label and the predicted class, per epoch and
        row of what `fit` was given. None if the rows of a batch are not known.
    trajectory_problem_ : str or None
        Why they are not: an iterator that is no DataLoader, say.
    checkpoints_ : list of Checkpoint
        In order of epoch, once training has ended.
    n_epochs_ : int
        Epochs that ran in the latest fit.
    classes_ : ndarray of shape (n_classes,) or None
        The distinct labels seen, None for regression.

    Raises
    ------
    ValueError
        From the fit: if the training loss becomes NaN or infinite (the epoch is named), a listed
        epoch lies beyond `max_epochs`, or the module holds what cannot be copied.

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
        mode: Literal["training", "evaluation"] = "training",
        keep_logits: bool = False,
    ) -> None:
        self.checkpoints = checkpoints
        self.checkpoint_dir = checkpoint_dir
        self.mode = mode
        self.keep_logits = keep_logits

    def initialize(self) -> RecordTraining:
        """Forget the last fit: skorch calls this when the net starts from fresh weights."""
        self.is_finished_, self.n_epochs_ = False, 0
        return super().initialize()

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Forget the last fit, and follow the rows from here on."""
        self.is_finished_ = False
        check_parameters(
            "RecordTraining",
            checkpoint_dir=(self.checkpoint_dir, [str, PathLike, None]),
            mode=(self.mode, [str]),
            keep_logits=(self.keep_logits, ["boolean"]),
        )
        if self.mode not in ("training", "evaluation"):
            raise ValueError(f"mode must be 'training' or 'evaluation'; got {self.mode!r}.")
        check_copy(plain_module(net.module_))  # else it would be found after the last epoch
        plan = CheckpointPlan.of(self.checkpoints)
        plan.check_within(net.max_epochs)
        self._make_folder()
        self.store_ = CheckpointStore(plan, net.max_epochs, self.folder_)
        self.n_epochs_ = 0
        self.past_epochs_ = len(net.history)  # not 0 after warm_start or partial_fit
        self.checkpoints_: list[Checkpoint] = []
        self.n_outputs_: int | None = None
        self.classes_: NDArray[Any] | None = None
        self.rows_: RowsFingerprint | None = None  # those that are trained on
        self.given_rows_: RowsFingerprint | None = None  # those that `fit` was given
        self.targets_: NDArray[Any] | None = None
        self.given_: Any = (X, y)  # until it is known which rows are trained on
        self.trajectory_: Trajectory | None = None
        self.trajectory_problem_: str | None = None
        self.collector_: TrajectoryRecorder | None = None
        self.view_: Any = None  # a Dataset that is evaluated in place of the one trained on
        self.row_ids_ = RowIds()
        self.row_ids_.attach(net, X, follow=self.mode == "training")

    def on_epoch_begin(self, net: NeuralNet, dataset_train: Any = None, **kwargs: Any) -> None:
        """Keep epoch 0, if it is wanted; other callbacks have set up the module by now."""
        self.row_ids_.start_epoch()
        self.dataset_ = dataset_train
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
        self.targets_ = targets
        try:
            rows = as_rows(X)
        except (TypeError, ValueError):  # a kind of X that skorch takes and the scorers do not
            return
        self.given_rows_ = rows.identity(targets)
        if dataset_train is None or len(dataset_train) == len(rows):
            self.rows_ = self.given_rows_
        elif (indices := getattr(dataset_train, "indices", None)) is not None:
            # skorch has put some rows aside for validation.
            if not isinstance(rows, DatasetRows):
                self.rows_ = rows.take(indices).identity(targets[indices])

    def on_batch_end(
        self,
        net: NeuralNet,
        batch: Any = None,
        training: bool = False,
        y_pred: Any = None,
        **kwargs: Any,
    ) -> None:
        """Put the outputs of a training batch aside, and learn how many columns they have."""
        try:
            outputs = first_output(y_pred)
        except ValueError as error:  # of a training of the user's own, which goes on
            self.row_ids_.problem = str(error).rstrip(".")
            return
        if not isinstance(outputs, torch.Tensor) or outputs.ndim == 0:
            self.row_ids_.problem = "the module does not return a tensor with one entry per row"
            return
        if self.n_outputs_ is None:
            self.n_outputs_ = outputs.shape[1] if outputs.ndim == 2 else 1
        if training and self.mode == "training":
            self._collect(net, self.row_ids_.take(len(outputs), batch), outputs, batch)

    def _collect(self, net: NeuralNet, ids: Any, outputs: torch.Tensor, batch: Any) -> None:
        """Hand a batch to the collector, or note why that is not possible."""
        head = head_of(net)
        labels = batch[1] if isinstance(batch, (tuple, list)) and len(batch) == 2 else None
        if isinstance(labels, np.ndarray) and labels.dtype.kind in "biuf":  # skorch takes it, too
            labels = torch.as_tensor(labels)
        if self.row_ids_.problem is None and not has_labels(head, outputs, labels):
            self.row_ids_.problem = "the labels of a batch are not one per row"
        if self.row_ids_.problem is not None:
            return
        if self.collector_ is None:
            self.collector_ = TrajectoryRecorder(
                self.row_ids_.n_rows,
                outputs=head.name,
                keep_logits=self.keep_logits,
                mode=self.mode,
            )
            if self.targets_ is not None and len(self.targets_) == self.row_ids_.n_rows:
                self.collector_.expect(self.targets_)
        with self._problems_noted():
            self.collector_.update(ids, outputs, labels)

    @contextmanager
    def _problems_noted(self) -> Iterator[None]:
        """Give up the trajectories, and not the training, where they cannot be recorded."""
        try:
            yield
        except ValueError as error:
            self.row_ids_.problem = str(error)

    def _evaluate(self, net: NeuralNet) -> None:
        """Read the training rows in eval mode."""
        dataset = self.dataset_ if self.view_ is None else self.view_
        loader = net.get_iterator(dataset, training=False)
        if isinstance(loader, DataLoader) and not is_own(loader.collate_fn):
            # What joins the rows in training joins them here, too.
            loader.collate_fn = collate_fn(net) or loader.collate_fn
        self.row_ids_.start_epoch()
        self.row_ids_.follow(loader)
        with isolated_rng(0, net.device or "cpu"):  # a DataLoader draws a number when it starts
            for batch in loader:
                outputs = first_output(net.evaluation_step(batch))
                self._collect(net, self.row_ids_.take(len(outputs), batch), outputs, batch)

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Check that training has not diverged, and keep the weights if they are wanted."""
        self._finish_epoch(net)

    def _finish_epoch(self, net: NeuralNet) -> None:
        """Offer weights to the store, and close the epoch of the trajectories."""
        epoch = self.n_epochs_ + 1
        losses = [b["train_loss"] for b in net.history[-1, "batches"] if "train_loss" in b]
        loss = losses[-1] if losses else 0.0
        if not math.isfinite(loss):
            raise divergence(loss, 0.0 if self.past_epochs_ else losses[0], epoch, net)
        self.store_.offer(epoch, net.module_)
        if self.mode == "evaluation":
            self._evaluate(net)
        if self.collector_ is not None and self.row_ids_.problem is None:
            with self._problems_noted():
                self.row_ids_.problem = "training was interrupted while an epoch was being closed"
                self.collector_.end_epoch()
                self.row_ids_.problem = None
        self.n_epochs_ = epoch  # at last: what is interrupted is done again in on_train_end

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
        self.trajectory_problem_ = self.row_ids_.problem
        if self.collector_ is not None and self.trajectory_problem_ is None and self.n_epochs_:
            self.trajectory_ = replace(self.collector_.trajectory(), rows=self.given_rows_)
        self._release(net)
        self.module_ = weakref.ref(net.module_)
        self.weights_ = weight_sums(net.module_)
        self.is_finished_ = True

    def _unfinished(self, net: NeuralNet) -> str | None:
        """Say in what a net is not as a fit that came to its end has left it, None if it is."""
        if not self.is_finished_:  # training that ends with an error never gets to on_train_end
            return f"its latest fit did not come to its end, {self.n_epochs_} epoch(s) of it ran"
        # Unknown in a copy. Setting parameters of the module makes a new one, with fresh weights.
        is_other = self.module_ is not None and self.module_() is not net.module_
        if is_other and weight_sums(net.module_) != self.weights_:
            return "its module has been made anew since it was fitted"
        return None

    def _release(self, net: NeuralNet) -> None:
        """Let go of the net and the rows."""
        self.row_ids_.detach(net)
        self.dataset_ = self.view_ = self.collector_ = self.targets_ = None

    def __getstate__(self) -> dict[str, Any]:
        # A net that is pickled in the middle of a fit does not take the rows along.
        state = dict(super().__getstate__())
        if "module_" in state:
            state["module_"] = None  # a weak reference
        if "dataset_" in state:
            state |= {"dataset_": None, "view_": None, "given_": (None, None)}
        return state

    def _discard(self, net: NeuralNet) -> None:
        """Remove what an unfinished fit has written, and let go of the net."""
        if hasattr(self, "store_"):
            self.given_ = (None, None)
            self._release(net)
            self.store_.discard()
            if self.folder_ is not None:
                shutil.rmtree(self.folder_, ignore_errors=True)

    def _make_folder(self) -> None:
        """Make a folder for the checkpoints of this fit."""
        self.folder_: Path | None = None
        if self.checkpoint_dir is not None:
            parent = folder_of(self.checkpoint_dir).resolve()
            parent.mkdir(parents=True, exist_ok=True)
            # One folder a fit: clones of one net, in a grid search say, must not mix.
            self.folder_ = parent / f"fit-{secrets.token_hex(4)}"
            self.folder_.mkdir()


# ------------------------------------------------------------------------- a net that is to train


def find_recorder(callbacks: Any) -> RecordTraining | None:
    """Return the RecordTraining among a net's callbacks, if there is one."""
    if not isinstance(callbacks, (list, tuple)):
        return None
    for item in callbacks:
        callback = item[1] if isinstance(item, (tuple, list)) else item
        if isinstance(callback, RecordTraining):
            return callback
    return None


def classes_seen(recorder: RecordTraining) -> NDArray[Any] | None:
    """Return the labels that the output columns stand for, as skorch understands them."""
    seen, n_columns = recorder.classes_, recorder.n_outputs_
    if n_columns is None or n_columns == 1 or (seen is not None and seen.dtype.kind not in "iu"):
        return seen
    # To skorch a label is the position of a column, also where y lacks some of them.
    return np.arange(n_columns)
