# SPDX-License-Identifier: BSD-3-Clause
"""One member of an ensemble: a network trained on some of the rows, and what is kept of it.

A member is a seed and a row mask and nothing else, so that it can be trained anywhere, in any
order. What is kept is a flat dict of arrays, which travels between processes and to disk.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skorch import NeuralNet
from skorch.callbacks import Callback
from torch import nn

from ..._arrays import to_numpy
from ..._randomness import isolated_rng, one_thread, others_may_work
from ..._warnings import located
from ...networks.copying import check_copy
from ...networks.forward import (
    call_module,
    evaluation_mode,
    module_device,
    module_dtype,
    plain_module,
)
from ...networks.heads import Head, first_output
from ...rows.collation import rows_in_order
from ...rows.labels import among_columns
from ...rows.rows import Rows
from ..batches import (
    for_member,
    refuse_lone_row,
    refuse_memory_of_rows,
    refuse_no_steps,
    refuse_sampler_in_ensembles,
)
from ..checkpoints import CheckpointPlan, copy_state
from ..fit import training_clone
from ..learning import Learning
from ..monitors import refuse_unwatched_monitors
from ..record import TrainingRecord, train_record
from ..recorder import RecordTraining
from ..skorch_net import head_of, may_lack_classes, outputs_of_first_rows

# From a member's record, all rows, their codes, and which of them were trained on, to arrays.
Readout = Callable[[TrainingRecord, Rows, NDArray[Any], NDArray[np.bool_]], Mapping[str, Any]]
Arrays = dict[str, NDArray[Any]]
READOUT, STATE = "readout.", "state."  # how the names of such arrays begin
BLOCK_ROWS = 256  # of a pass in eval mode


@dataclass(frozen=True, eq=False)
class Pool:
    """What the members of an ensemble have in common."""

    net: NeuralNet
    X: Rows
    view: Rows  # the same rows without random augmentation, which members are asked about
    targets: NDArray[Any]  # positions in `classes`, or what regressors are to meet
    classes: NDArray[Any] | None  # None for regressors
    readout: Readout | None
    keep_members: bool
    verbose: int

    @property
    def n_classes(self) -> int | None:
        """How many classes there are, None for regressors."""
        return None if self.classes is None else len(self.classes)

    @property
    def n_answers(self) -> int:
        """How many numbers a member says of a row: one per class, or per target."""
        return math.prod(self.targets.shape[1:]) if self.classes is None else len(self.classes)

    def __sizeof__(self) -> int:
        # dask sends what looks large to its workers once, and the rest with every task.
        return self.X.nbytes + self.view.nbytes


def train_member(pool: Pool, mask: NDArray[np.bool_], seed: int) -> Arrays:
    """Train one member with one torch thread, and return what is kept of it."""
    rows = np.flatnonzero(mask)
    learning = Learning()
    watcher = _HeldOut(pool.view.take(np.flatnonzero(~mask)))
    with one_thread():
        record = train_record(
            for_member(pool.net, rows, len(mask)),
            pool.X.take(rows),
            pool.targets[rows],
            pool.classes,
            recorder=RecordTraining(CheckpointPlan()),
            random_state=seed,
            verbose=pool.verbose,
            callbacks=[("held_out", watcher)],
            learning=learning,
        )
        if (None if record.classes_ is None else len(record.classes_)) != pool.n_classes:
            raise ValueError(
                f"The network has more columns than y has classes, {pool.n_classes}, and gets "
                "them only when training begins. Name all classes: classes=[...] of the net."
            )
        return read_member(pool, record, mask, watcher.mean(), record.net, learning)


class _HeldOut(Callback):
    """Averages over the epochs what the network says about rows that it is not trained on."""

    def __init__(self, rows: Rows) -> None:
        self.rows_ = rows
        self.sum_: Any = 0.0
        self.n_epochs_ = 0

    def __reduce__(self) -> Any:
        return Callback, ()  # the rows belong to this fit

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Add what is said after this epoch."""
        self.n_epochs_ += 1
        module = plain_module(net.module_)
        self.sum_ = self.sum_ + answers(module, self.rows_, head_of(net)).astype(np.float64)

    def mean(self) -> NDArray[np.float32] | None:
        """Return the mean (n_held_out, n_answers) over the epochs that ran, if any."""
        return np.asarray(self.sum_ / self.n_epochs_, dtype=np.float32) if self.n_epochs_ else None


def read_member(
    pool: Pool,
    record: TrainingRecord,
    mask: NDArray[np.bool_],
    held_out_mean: NDArray[np.float32] | None,
    net: NeuralNet,
    learning: Learning,
) -> Arrays:
    """Return what is kept of a member; `held_out_mean` None, for want of epochs, becomes NaN."""
    said = answers(record.module, pool.view, record.head)
    verdict = learning.verdict(net, pool.targets[mask], pool.n_classes)
    arrays: Arrays = {
        "predictions": said,
        "held_out_mean": said[~mask] * np.nan if held_out_mean is None else held_out_mean,
        "verdict": np.array([verdict], dtype=np.int64),
    }
    if pool.classes is not None:
        arrays |= {
            "predictions": said.argmax(axis=1).astype(np.int32),
            "given_probability": said[np.arange(len(said)), pool.targets],
            "held_out_probability": said[~mask],
        }
    if pool.readout is not None:
        with located("in the readout"), others_may_work():
            read = pool.readout(record, pool.view.data, pool.targets, mask)
        if not isinstance(read, Mapping):
            raise TypeError(
                f"A readout must return a dict of arrays; {pool.readout!r} returned "
                f"{type(read).__name__}."
            )
        for name, value in read.items():
            array = arrays[f"{READOUT}{name}"] = np.asarray(value)
            if array.dtype.kind not in "biuf":
                raise TypeError(
                    "A readout must return arrays of numbers or booleans; what "
                    f"{pool.readout!r} returned as {name!r} is of type {array.dtype}."
                )
    if pool.keep_members:
        state = copy_state(record.module)
        arrays |= {STATE + name: to_numpy(tensor) for name, tensor in state.items()}
    return arrays


def answers(module: nn.Module, X: Rows, head: Head) -> NDArray[np.float32]:
    """Return class probabilities (n, n_classes), or values (n, n_outputs), in eval mode."""
    device = module_device(module)
    blocks = X.blocks(BLOCK_ROWS, dtype=module_dtype(module), device=device)
    # Seeded, since the items of a Dataset may be random, and generators stay as they were.
    with isolated_rng(0, device), evaluation_mode(module), torch.no_grad():
        outputs = [
            rows_in_order(head.answers(call_module(module, inputs)), rows)
            for rows, inputs in blocks
        ]
    return torch.cat(outputs).float().cpu().numpy()


def initialized_clone(net: NeuralNet) -> NeuralNet:
    """Return an untrained clone of a net whose module, criterion and callbacks are ready."""
    net = training_clone(net, verbose=0)
    with located("before the first epoch"), isolated_rng(0, net.device or "cpu"):
        return net.initialize()


def refuse_untrainable(net: NeuralNet, pool: Pool, sizes: Sequence[int]) -> None:
    """Raise for an initialized net that cannot be trained on as many rows as members have."""
    n, of_member = len(pool.targets), " that a member is trained on"
    refuse_sampler_in_ensembles(pool.net, n, sizes)
    refuse_unwatched_monitors(net)
    refuse_memory_of_rows(net.criterion_, pool.X, n, pool.n_answers)
    for size in sizes:
        refuse_no_steps(net, size, of_member)
        refuse_lone_row(net, pool.X.take(slice(2)), size, of_member)


@located("before the first epoch")
def untrained_record(net: NeuralNet, classes: NDArray[Any] | None, X: Rows) -> TrainingRecord:
    """Return a record of an initialized net, with the classes of its columns, or None."""
    check_copy(plain_module(net.module_))
    with isolated_rng(0, net.device or "cpu"):
        try:
            outputs = first_output(outputs_of_first_rows(net, X)[1])
            if classes is not None and may_lack_classes(net, outputs):
                classes, _ = among_columns(classes, np.arange(len(classes)), outputs.shape[1])
        except ValueError:
            raise
        except Exception:  # a callback may shape it when training begins; else it raises again
            pass
    return _record_of(net, classes)


def record_that_fits(untrained: TrainingRecord, pool: Pool, member: Arrays) -> TrainingRecord:
    """Return an untrained record with a module for a member's weights: callbacks may shape it."""
    shapes = {STATE + name: tuple(t.shape) for name, t in untrained.module.state_dict().items()}
    if all(member[name].shape == shape for name, shape in shapes.items() if name in member):
        return untrained
    net = initialized_clone(pool.net)
    with isolated_rng(0, net.device or "cpu"):
        net.notify("on_train_begin", X=pool.X.with_targets(pool.targets), y=pool.targets)
    return _record_of(net, pool.classes)


def _record_of(net: NeuralNet, classes: NDArray[Any] | None) -> TrainingRecord:
    """Return a record of an initialized net."""
    return TrainingRecord(
        plain_module(net.module_),
        [],
        classes=classes,
        outputs=head_of(net).name,
        criterion=net.criterion_,
        trajectory_problem="members of an ensemble keep none",
    )
