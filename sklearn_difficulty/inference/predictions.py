# SPDX-License-Identifier: BSD-3-Clause
"""What a network says about rows: classes, output margins, statistics and probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .._progress import SILENT, Task
from ..networks.forward import call_module, call_with_state
from ..networks.heads import Head
from ..rows.inputs import Inputs, copied
from ..rows.rows import Rows
from ..training.checkpoints import Checkpoint
from ..training.record import TrainingRecord
from .blocks import DeviceStates, Reading, read_blocks

STATISTICS = ("probability", "margin", "loss", "el2n", "entropy")


def mean_statistics(
    record: TrainingRecord,
    checkpoints: Sequence[Checkpoint],
    X: Rows,
    labels: NDArray[Any] | None,
    *,
    batch_size: int,
    progress: Task = SILENT,
) -> dict[str, NDArray[np.float64]]:
    """Return the mean over checkpoints, (n,), of every one of `STATISTICS`, in eval mode."""
    states = DeviceStates(record.module, checkpoints)

    def reading(inputs: Inputs, of_block: torch.Tensor | None) -> torch.Tensor:
        if of_block is None:
            raise ValueError("The loss of a regressor needs y.")
        total = torch.zeros(())
        for state in states:
            with torch.no_grad():
                outputs = call_with_state(record.module, state, inputs)
                found, logits = record.head.row_statistics(outputs, of_block)
            found = torch.cat([found, record.head.entropy(logits)[None]])
            total = total.to(found.device) + found.double()
        return total / len(checkpoints)

    blocks = read_blocks(record, X, labels, reading, batch_size=batch_size, progress=progress)
    means = torch.cat([found[:, :n].cpu() for n, _, found in blocks], dim=1).numpy()
    return dict(zip(STATISTICS, means, strict=True))


def mean_probabilities(
    record: TrainingRecord, checkpoints: Sequence[Checkpoint], X: Rows, *, batch_size: int
) -> NDArray[np.float32]:
    """Return class probabilities (n, n_classes), averaged over checkpoints in eval mode."""
    states = DeviceStates(record.module, checkpoints)

    def reading(inputs: Inputs, _labels: torch.Tensor | None) -> torch.Tensor:
        total = torch.zeros(())
        for state in states:
            with torch.no_grad():
                outputs = call_with_state(record.module, state, inputs)
                said = record.head.probabilities(outputs)
            total = total.to(said.device) + said.double()
        return total / len(checkpoints)

    codes = np.zeros(len(X), dtype=np.int64)  # given any, none are predicted
    blocks = read_blocks(record, X, codes, reading, batch_size=batch_size)
    return np.concatenate([b.result[: b.n].float().cpu().numpy() for b in blocks])


def predicted_classes(
    record: TrainingRecord, X: Rows, *, batch_size: int, progress: Task = SILENT
) -> NDArray[np.int64]:
    """Return the position of the class that the network predicts for every row."""
    blocks = read_blocks(
        record, X, None, lambda _inputs, _labels: None, batch_size=batch_size, progress=progress
    )
    return np.concatenate([b.labels[: b.n].cpu().numpy() for b in blocks if b.labels is not None])


def output_margins(
    record: TrainingRecord,
    X: Rows,
    labels: NDArray[Any] | None,
    *,
    batch_size: int,
    progress: Task = SILENT,
) -> NDArray[np.float32]:
    """Return how far the logit of every row's class is above the largest other one, (n,)."""
    check_classes(record)

    def margins(inputs: Inputs, classes: torch.Tensor | None) -> torch.Tensor:
        with torch.no_grad():
            outputs = call_module(record.module, copied(inputs))
        return leads(outputs, record.head, classes).amin(dim=1)

    return read_in_order(record, X, labels, margins, batch_size, progress)


def check_classes(record: TrainingRecord) -> None:
    """Raise for a regressor."""
    if record.head.is_regression:
        raise ValueError(
            "A margin lies between classes, and this network is a regressor. Train a classifier, "
            "or take a score that regressors have, such as VoGScorer."
        )


def leads(outputs: torch.Tensor, head: Head, classes: torch.Tensor | None) -> torch.Tensor:
    """Return by how much the logit of a row's class exceeds each of the others, (n, C - 1)."""
    assert classes is not None
    logits = head.logits(outputs)
    own = classes[:, None]
    columns = torch.arange(logits.shape[1] - 1, device=logits.device)
    others = columns + (columns >= own)
    return logits.gather(1, own) - logits.gather(1, others)


def read_in_order(
    record: TrainingRecord,
    X: Rows,
    labels: NDArray[Any] | None,
    reading: Reading[torch.Tensor],
    batch_size: int,
    progress: Task,
) -> NDArray[np.float32]:
    """Return one number per row, NaN where it is not finite."""
    blocks = read_blocks(record, X, labels, reading, batch_size=batch_size, progress=progress)
    margins = torch.cat([found[:n].float().cpu() for n, _, found in blocks]).numpy()
    margins[~np.isfinite(margins)] = np.nan
    return margins
