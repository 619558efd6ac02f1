# SPDX-License-Identifier: BSD-3-Clause
"""What a recorder inside another library's training loop does, whatever calls it.

The rows of a batch are known from the sampler of the DataLoader, what the network said of them from
a hook on its forward pass, and their labels from the start. Everything that may be wrong is an
error in the first batch: a training of hours must not end without its record.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..._arrays import as_labels
from ...networks.copying import check_copy, copied_module
from ...networks.forward import plain_module
from ...networks.heads import Head, OutputKind, first_output, head_named
from ...rows.labels import encode_among, encode_labels, float_targets
from ..checkpoint_store import CheckpointStore
from ..checkpoints import CheckpointPlan, CheckpointSpec
from ..record import TrainingRecord
from ..sampler_ids import RowIds
from ..trajectory_recorder import TrajectoryRecorder

_NO_END = 10**6  # epochs of a training that does not say how many it takes


def classes_and_targets(
    y: Any, classes: Any, head: Head
) -> tuple[NDArray[Any] | None, NDArray[Any]]:
    """Return the classes of the columns and the labels as positions; None and floats as targets."""
    if head.is_regression:
        return None, float_targets(y)
    if classes is None:
        return encode_labels(y)
    _, targets = encode_among(y, classes)
    return as_labels(classes, "classes"), targets


class FollowedTraining:
    """Collects a record from one training of a network by a loop of another library."""

    def __init__(
        self,
        y: Any,
        *,
        classes: Any,
        outputs: OutputKind,
        checkpoints: CheckpointSpec | None,
        keep_logits: bool,
    ) -> None:
        self.head = head_named(outputs)
        self.classes, self.targets = classes_and_targets(y, classes, self.head)
        self.collector = TrajectoryRecorder(
            len(self.targets), outputs=outputs, keep_logits=keep_logits
        )
        self.plan = CheckpointPlan() if checkpoints is None else CheckpointPlan.of(checkpoints)
        self.row_ids = RowIds()
        self.row_ids.n_rows = len(self.targets)
        self._outputs: torch.Tensor | None = None
        self._labels: Any = None  # that the network was given with a batch, by name
        self._hook: Any = None
        self._loaders: list[Any] = []
        self.n_epochs = 0

    def start(self, network: nn.Module, n_epochs: int | None) -> None:
        """Listen to a network that is to be trained for so many epochs."""
        self.network = plain_module(network)
        if self.plan.specs:
            check_copy(self.network)
        self.store = CheckpointStore(self.plan, n_epochs or _NO_END, None)
        self.store.offer(0, self.network)
        self._hook = self.network.register_forward_hook(self._listen, with_kwargs=True)

    def _listen(self, module: nn.Module, inputs: Any, named: Any, outputs: Any) -> None:
        """Put aside what the network says first in a training batch."""
        if module.training and torch.is_grad_enabled() and self._outputs is None:
            self._outputs = first_output(outputs).detach()
            self._labels = named.get("labels")

    def follow(self, loader: Any) -> None:
        """Note which rows the batches of a DataLoader hold."""
        # Other libraries take batches apart, and what is said of their order gets lost.
        self.row_ids.follow(loader, collation=False)
        self._loaders.append(loader)
        n = len(getattr(loader, "dataset", self.targets))
        if n != len(self.targets):
            raise ValueError(
                f"y holds {len(self.targets)} labels, and the training set {n} rows: give the "
                "recorder the labels of the training set, in its order."
            )

    def end_batch(self, batch: Any) -> None:
        """Take in the batch that the network was trained on."""
        outputs, self._outputs = self._outputs, None
        if outputs is None:
            raise ValueError(
                f"The training step did not call {type(self.network).__name__} itself. Name the "
                "part that it calls and that returns the logits, such as network='model'."
            )
        ids = self.row_ids.take(len(outputs), batch)
        if ids is None:
            raise ValueError(f"The rows of a batch are not known: {self.row_ids.problem}.")
        labels = self.targets[ids]
        _refuse_other_labels(labels, {"labels": self._labels} if batch is None else batch)
        self.collector.update(ids, outputs, torch.as_tensor(labels))

    def end_epoch(self) -> None:
        """Close an epoch, and keep the weights if they are wanted."""
        self.n_epochs += 1
        self.row_ids.start_epoch()  # of what was named and not used
        self.collector.end_epoch()
        self.store.offer(self.n_epochs, self.network)

    def stop_listening(self) -> None:
        """Leave the network and the DataLoader as they were."""
        for loader in self._loaders:
            self.row_ids.unfollow(loader)
        if self._hook is not None:
            self._hook.remove()
            self._hook = None

    def record(self) -> TrainingRecord:
        """Return what the epochs that ended have left behind."""
        checkpoints = self.store.finish(self.n_epochs)
        return TrainingRecord(
            copied_module(self.network) if self.plan.specs else None,
            checkpoints,
            classes=self.classes,
            outputs=self.head.name,
            criterion=self.head.usual_loss(),
            n_epochs=self.n_epochs,
            trajectory=self.collector.trajectory(),
        )


def _refuse_other_labels(labels: NDArray[Any], batch: Any) -> None:
    """Raise if a batch of rows and labels holds others than those of the rows that it should."""
    given = batch.get("labels") if isinstance(batch, dict) else None
    if isinstance(batch, (tuple, list)) and len(batch) == 2:
        given = batch[1]
    if not isinstance(given, torch.Tensor) or given.shape != labels.shape:
        return
    if given.dtype in (torch.float16, torch.bfloat16):  # targets that have been rounded
        return
    if not np.array_equal(given.detach().cpu().numpy(), labels):
        raise ValueError(
            "A batch holds other labels than y has for its rows: y must be the labels of the "
            "training set in its order, and collate_fn must not change that of a batch."
        )
