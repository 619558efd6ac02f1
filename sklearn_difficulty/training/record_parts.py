# SPDX-License-Identifier: BSD-3-Clause
"""RecordParts: what a fit leaves behind, and where else such parts come from.

A fit returns parts, files hold parts, and `TrainingRecord` is parts with methods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import NotFittedError
from skorch import NeuralNet
from torch import nn

from .._arrays import as_labels, as_numbers
from .._warnings import located, warn_caller
from ..networks.copying import copied_module
from ..networks.forward import plain_module
from ..networks.heads import OutputKind, head_named
from ..rows.identity import RowsFingerprint
from ..rows.labels import classes_of_columns, codes_of
from .checkpoints import Checkpoint, copy_state, is_epoch
from .files.states import StateLayout, fitted_state, held_in, weights_file
from .files.tensors import content_digest, read_content
from .recorder import RecordTraining, classes_seen, find_recorder
from .skorch_net import head_of, is_regression
from .trajectory import Trajectory
from .trajectory_recorder import TrajectoryRecorder


@dataclass(frozen=True, eq=False)
class RecordParts:
    """The network, its checkpoints and its trajectories, as `TrainingRecord` describes them."""

    module: nn.Module | None
    checkpoints: Sequence[Checkpoint]
    classes: NDArray[Any] | None = None
    outputs: OutputKind = "logits"
    criterion: nn.Module | None = None
    n_epochs: int | None = None
    rows: RowsFingerprint | None = None
    net: NeuralNet | None = None
    collate_fn: Callable[..., Any] | None = None
    trajectory: Trajectory | None = None
    trajectory_problem: str | None = None


def untrained_parts(net: NeuralNet, classes: NDArray[Any] | None) -> RecordParts:
    """Return the parts of an initialized net as it is before its first epoch."""
    return RecordParts(
        net.module_,
        [Checkpoint(0, copy_state(net.module_))],
        classes=classes,
        outputs=head_of(net).name,
        criterion=net.criterion_,
        net=net,
    )


def current_parts(net: NeuralNet, classes: NDArray[Any] | None) -> RecordParts:
    """Return the parts of a net in the middle of its training, without checkpoints or a copy."""
    return RecordParts(
        net.module_,
        [],
        classes=classes,
        outputs=head_of(net).name,
        criterion=net.criterion_,
        net=net,
    )


def recorded_parts(
    net: NeuralNet, recorder: RecordTraining, classes: NDArray[Any] | None
) -> RecordParts:
    """Return what a recorder kept of a net's latest fit; the module is copied."""
    return RecordParts(
        copied_module(plain_module(net.module_)),
        recorder.checkpoints_,
        classes=classes,
        outputs=head_of(net).name,
        criterion=net.criterion_,
        n_epochs=recorder.n_epochs_,
        rows=recorder.rows_,
        net=net,
        trajectory=recorder.trajectory_,
        trajectory_problem=recorder.trajectory_problem_,
    )


def parts_of_net(net: NeuralNet, classes: Any) -> RecordParts:
    """Return the parts of a net that the user has fitted; see `TrainingRecord.from_net`."""
    if not getattr(net, "initialized_", False):
        raise NotFittedError(
            f"This {type(net).__name__} is not fitted. Fit it first, with "
            "callbacks=[RecordTraining()]."
        )
    recorder = find_recorder(net.callbacks_)
    if recorder is None:
        raise ValueError(
            f"This {type(net).__name__} was fitted without a recorder, so its checkpoints are "
            "gone. Fit it with callbacks=[RecordTraining()], or pass the unfitted net."
        )
    if (problem := recorder._unfinished(net)) is not None:
        raise ValueError(
            f"This {type(net).__name__} is not the result of a finished fit: {problem}. Fit it "
            "again, or pass the unfitted net."
        )
    if not is_regression(net):
        classes = classes_seen(recorder) if classes is None else as_labels(classes, "classes")
        if classes is None:
            raise ValueError(
                "The net does not tell which classes it was fitted on; pass classes=[...]."
            )
    return recorded_parts(net, recorder, classes)


def trajectory_of_logits(history: Any, y: Any, classes: Any) -> tuple[Trajectory, Any]:
    """Return the trajectory of logits (n_epochs, n_rows, n_classes), and the columns' classes."""
    with np.errstate(over="ignore"):  # what becomes infinite is undefined
        logits = as_numbers(history, "history").astype(np.float32, copy=False)
    y = as_labels(y)
    is_history = logits.ndim == 3 and logits.shape[2] > 1 and 0 not in logits.shape
    if not is_history or y.shape != logits.shape[1:2]:
        raise ValueError(
            "history must have the shape (n_epochs, n_rows, n_classes) with at least two "
            f"classes, and y (n_rows,); got {logits.shape} and {y.shape}."
        )
    n_classes = logits.shape[2]
    if classes is None:
        classes = classes_of_columns(y, n_classes)
    classes = as_labels(classes, "classes")
    if len(classes) != n_classes:
        raise ValueError(
            f"history has {n_classes} columns, and there are {len(classes)} classes, "
            f"{list(classes[:5])} ...; pass classes=[...], one per column."
        )
    codes = codes_of(y, classes)
    recorder = TrajectoryRecorder(len(y), keep_logits=True)
    for epoch in logits:
        shown = np.flatnonzero(~np.isnan(epoch).any(axis=1))
        recorder.update(shown, torch.from_numpy(epoch[shown]), codes[shown])
        recorder.end_epoch()
    return recorder.trajectory(), classes


def _listed(values: Any, name: str) -> list[Any]:
    """Return what can be iterated over as a list, or raise."""
    is_single = isinstance(values, (str, bytes, Mapping, PathLike))
    if is_single or not isinstance(values, Iterable) or not getattr(values, "ndim", 1):
        raise TypeError(
            f"{name} must be a list, one item per checkpoint; got a single {type(values).__name__}."
        )
    return list(values)


def module_and_checkpoints(
    module: nn.Module,
    states: Iterable[Mapping[str, Any] | str | PathLike[str]],
    epochs: Iterable[int] | None,
) -> tuple[nn.Module, list[Checkpoint]]:
    """Return a copy of a module with the last of some states, and all states as checkpoints."""
    module = copied_module(plain_module(module))
    layout = StateLayout.of(module)
    sources = _listed(states, "states")
    if not sources:
        raise ValueError("states is empty; pass at least one state dict or file.")
    given = list(range(1, len(sources) + 1)) if epochs is None else _listed(epochs, "epochs")
    numbers = [int(epoch) for epoch in given if is_epoch(epoch)]
    if not len(numbers) == len(given) == len(sources) or sorted(set(numbers)) != numbers:
        raise ValueError(
            "epochs must be integers from 0 on, strictly increasing, one per state; got "
            f"{given} for {len(sources)} states."
        )
    checkpoints: list[Checkpoint] = []
    first: dict[str, torch.Tensor] = {}
    all_alike = len(sources) > 1
    for epoch, source in zip(numbers, sources, strict=True):
        if isinstance(source, Mapping):
            state, left_out = fitted_state(source, layout)
            checkpoints.append(Checkpoint(epoch, state))
        else:
            # Files are read again when they are needed, so that memory does not grow with them.
            path = weights_file(source)
            content = read_content(path)
            held, digest = held_in(content, path), content_digest(content)
            del content  # files may be large
            with located(f"in {path}"):
                state, left_out = fitted_state(held, layout)
            checkpoints.append(Checkpoint(epoch, path=path, digest=digest, layout=layout))
        first = first or state
        all_alike = all_alike and all(torch.equal(state[name], first[name]) for name in first)
    module.load_state_dict(state)
    if left_out:
        warn_caller(
            f"The states hold more than {layout.module}: {len(left_out)} other tensor(s), such as "
            f"{left_out[0]!r}, are left out."
        )
    if all_alike:
        warn_caller(
            f"All {len(sources)} checkpoints are identical, so nothing that changes over "
            "training can be read from them. Did you collect state_dict() without cloning its "
            "tensors?"
        )
    return module, checkpoints


def usual_loss(outputs: OutputKind, classes: Any, criterion: nn.Module | None) -> nn.Module:
    """Return the given loss, or the usual one for such outputs; refuse outputs without classes."""
    head = head_named(outputs)
    if classes is None and not head.is_regression:
        raise ValueError(
            "classes is None, which means regression, but outputs are "
            f"{outputs!r}. Pass classes=[...], or outputs='values' for a regressor."
        )
    return head.usual_loss() if criterion is None else criterion
