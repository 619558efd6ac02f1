# SPDX-License-Identifier: BSD-3-Clause
"""A training in which every epoch has rows of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skorch import NeuralNet
from skorch.callbacks import Callback
from torch.utils.data import DataLoader, Sampler

from .._progress import SILENT, Task
from .._randomness import draw_seed
from ..rows.rows import Rows
from .batches import rows_per_batch
from .checkpoints import CheckpointPlan
from .fit import unfitted_clone
from .record import TrainingRecord, train_record
from .record_parts import current_parts
from .recorder import RecordTraining

BeforeEpoch = Callable[[NeuralNet, int], object]  # a net, and the epoch, from 0 on
AfterEpoch = Callable[[TrainingRecord, int], object]  # the network as it is now, and the epoch


class EpochSampler(Sampler[int]):
    """Yields the rows of an epoch in random order; `selected` is (n_epochs, n_rows)."""

    def __init__(self, selected: NDArray[np.bool_], batch_size: int, seed: int) -> None:
        self.selected = selected
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def __iter__(self) -> Iterator[int]:
        rows = np.flatnonzero(self.selected[self.epoch])
        rows = np.random.default_rng([self.seed, self.epoch]).permutation(rows)
        return iter(rows[: len(self)].tolist())

    def __len__(self) -> int:
        n = int(self.selected[self.epoch].sum())
        # Batch normalisation is not defined for a last batch of a single row.
        return n - 1 if n > 1 and self.batch_size > 1 and n % self.batch_size == 1 else n


class _FollowEpochs(Callback):
    """Tells the sampler which epoch it is, and the caller when it begins and has ended."""

    def __init__(self, before: BeforeEpoch | None, after: AfterEpoch | None, classes: Any) -> None:
        self.before_ = before
        self.after_ = after
        self.classes_ = classes

    def __reduce__(self) -> Any:
        return Callback, ()  # what is called belongs to this fit

    def on_epoch_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Turn to the rows of this epoch."""
        epoch = len(net.history) - 1
        net.get_params_for("iterator_train")["sampler"].epoch = epoch
        if self.before_ is not None:
            self.before_(net, epoch)

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Hand over the network, unless it has diverged, which the recorder is about to say."""
        losses = [b["train_loss"] for b in net.history[-1, "batches"] if "train_loss" in b]
        if self.after_ is not None and all(math.isfinite(loss) for loss in losses[-1:]):
            record = TrainingRecord._of(current_parts(net, self.classes_))
            self.after_(record, len(net.history) - 1)


def refuse_own_order(net: NeuralNet, owner: str) -> None:
    """Raise if a net says itself which rows make its batches."""
    if net.iterator_train is not DataLoader or rows_per_batch(net, 1) is None:
        raise ValueError(
            f"{owner} chooses the rows of every epoch, and the network has an iterator_train or a "
            "sampler of its own. Leave it out; rows are shuffled."
        )


def train_on_epochs(
    net: NeuralNet,
    X: Rows,
    targets: NDArray[Any],
    classes: NDArray[Any] | None,
    selected: NDArray[np.bool_],
    *,
    random_state: Any,
    verbose: int,
    before_epoch: BeforeEpoch | None = None,
    after_epoch: AfterEpoch | None = None,
    progress: Task = SILENT,
) -> TrainingRecord:
    """Return the record of a training of a clone, epoch e on the rows ``selected[e]`` of X.

    `selected` (n_epochs, n_rows) has a line for each of the net's `max_epochs`. After every epoch
    `after_epoch` gets a record of the network as it is then, in eval mode.
    """
    seed = draw_seed(random_state)
    net = unfitted_clone(net)
    size = rows_per_batch(net, len(X))
    assert size is not None
    net.set_params(
        iterator_train__sampler=EpochSampler(selected, size, seed),
        iterator_train__shuffle=False,
    )
    return train_record(
        net,
        X,
        targets,
        classes,
        recorder=RecordTraining(CheckpointPlan()),
        random_state=seed,
        verbose=verbose,
        callbacks=[("follow_epochs", _FollowEpochs(before_epoch, after_epoch, classes))],
        progress=progress,
    )
