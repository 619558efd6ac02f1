# SPDX-License-Identifier: BSD-3-Clause
"""The statistics of training dynamics for any rows, read from the checkpoints of a training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..progress import SILENT, Task
from ..training.checkpoints import Checkpoint
from ..training.outputs import class_probabilities
from ..training.record import TrainingRecord
from ..training.rows import Inputs, Rows, n_rows
from ..training.trajectory import row_statistics
from .blocks import read_blocks
from .states import DeviceStates, call_with_state

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
    """Return the mean over checkpoints of what training dynamics are made of, in eval mode.

    Parameters
    ----------
    record : TrainingRecord
        The network.
    checkpoints : sequence of Checkpoint
        Over which the means are taken.
    X : ndarray, dict of ndarrays or Dataset
        Checked rows.
    labels : ndarray or None
        Label codes (n,), or regression targets; None takes the final network's prediction.
    batch_size : int
        Rows a block, at most.
    progress : Task
        Gets one subtask per block.

    Returns
    -------
    means : dict of str to ndarray of shape (n,)
        One for each of `STATISTICS`; for a regressor all but the loss are NaN.
    """
    states = DeviceStates(record.module, checkpoints)

    def reading(inputs: Inputs, of_block: torch.Tensor | None) -> torch.Tensor:
        if of_block is None:
            raise ValueError("The loss of a regressor needs y.")
        total = torch.zeros(())
        for state in states:
            with torch.no_grad():
                outputs = call_with_state(record.module, state, inputs)
                found, logits = row_statistics(outputs, of_block, record.outputs)
            total = total.to(found.device) + torch.cat([found, _entropy(logits, record)]).double()
        return total / len(checkpoints)

    blocks = read_blocks(record, X, labels, reading, batch_size=batch_size, progress=progress)
    means = torch.cat([found[:, :n].cpu() for n, _, found in blocks], dim=1).numpy()
    return dict(zip(STATISTICS, means, strict=True))


def mean_probabilities(
    record: TrainingRecord, checkpoints: Sequence[Checkpoint], X: Rows, *, batch_size: int
) -> NDArray[np.float32]:
    """Return the class probabilities of rows, averaged over checkpoints in eval mode.

    Parameters
    ----------
    record : TrainingRecord
        The network, a classifier.
    checkpoints : sequence of Checkpoint
        Over which the mean is taken.
    X : ndarray, dict of ndarrays or Dataset
        Checked rows.
    batch_size : int
        Rows a block, at most.

    Returns
    -------
    probabilities : ndarray of shape (n, n_classes), float32
        Rows sum to 1.
    """
    states = DeviceStates(record.module, checkpoints)

    def reading(inputs: Inputs, _labels: torch.Tensor | None) -> torch.Tensor:
        total = torch.zeros(())
        for state in states:
            with torch.no_grad():
                outputs = call_with_state(record.module, state, inputs)
                said = class_probabilities(outputs, record.outputs)
            total = total.to(said.device) + said.double()
        return total / len(checkpoints)

    codes = np.zeros(n_rows(X), dtype=np.int64)  # given any, none are predicted
    blocks = read_blocks(record, X, codes, reading, batch_size=batch_size)
    return np.concatenate([b.result[: b.n].float().cpu().numpy() for b in blocks])


def _entropy(logits: torch.Tensor, record: TrainingRecord) -> torch.Tensor:
    """Return the entropy of the class probabilities in nats, as one line."""
    if record.outputs == "values":
        return torch.full_like(logits[None, :, 0], torch.nan)
    return torch.special.entr(logits.softmax(dim=1)).sum(dim=1)[None]
