# SPDX-License-Identifier: BSD-3-Clause
"""What a network says about rows: classes, output margins, statistics and probabilities.

The formula of `output_margins` is that of `measures.margins`, which is the reference; a test holds
the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from .blocks import Block, DeviceStates, Reading, read_blocks

STATISTICS = ("probability", "margin", "loss", "el2n", "residual", "entropy")


def mean_statistics(
    record: TrainingRecord,
    checkpoints: Sequence[Checkpoint],
    X: Rows,
    labels: NDArray[Any] | None,
    *,
    batch_size: int,
    progress: Task = SILENT,
) -> dict[str, NDArray[np.float64]]:
    """Return the mean (n,) of `STATISTICS` over checkpoints, of a regressor loss and residual."""
    mean = _mean_over(record, checkpoints)

    def reading(inputs: Inputs, block_labels: torch.Tensor | None) -> torch.Tensor:
        if block_labels is None:
            raise ValueError("The loss of a regressor needs y.")

        def statistics(outputs: torch.Tensor) -> torch.Tensor:
            recorded, logits = record.head.row_statistics(outputs, block_labels)
            loss = recorded[STATISTICS.index("loss")]
            # The loss of a regressor is the squared distance from the target.
            residual = loss.sqrt() if record.head.is_regression else loss * torch.nan
            return torch.stack([*recorded, residual, record.head.entropy(logits)])

        return mean(inputs, statistics).T

    means = read_blocks(
        record, X, labels, reading, counted_results, batch_size=batch_size, progress=progress
    )
    return dict(zip(STATISTICS, torch.cat(means).T.contiguous().numpy(), strict=True))


def mean_probabilities(
    record: TrainingRecord, checkpoints: Sequence[Checkpoint], X: Rows, *, batch_size: int
) -> NDArray[np.float32]:
    """Return class probabilities (n, n_classes), averaged over checkpoints in eval mode."""
    mean = _mean_over(record, checkpoints)

    def reading(inputs: Inputs, _labels: torch.Tensor | None) -> torch.Tensor:
        return mean(inputs, record.head.probabilities)

    codes = np.zeros(len(X), dtype=np.int64)  # given any, none are predicted
    return torch.cat(
        read_blocks(record, X, codes, reading, counted_results, batch_size=batch_size)
    ).numpy()


def _mean_over(
    record: TrainingRecord, checkpoints: Sequence[Checkpoint]
) -> Callable[[Inputs, Callable[[torch.Tensor], torch.Tensor]], torch.Tensor]:
    """Return a function of (inputs, statistic of outputs): the float64 mean over checkpoints."""
    states = DeviceStates(record.module, checkpoints)

    def mean(inputs: Inputs, statistic: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        total: Any = 0.0
        for state in states:
            with torch.no_grad():
                value = statistic(call_with_state(record.module, state, inputs))
            total = total + value.double()
        return total / len(checkpoints)

    return mean


def predicted_classes(
    record: TrainingRecord, X: Rows, *, batch_size: int, progress: Task = SILENT
) -> NDArray[np.int64]:
    """Return the position of the class that the network predicts for every row."""

    def keep(block: Block) -> torch.Tensor:
        assert block.labels is not None
        return block.labels[: block.n].cpu()

    def no_reading(_inputs: Inputs, _labels: torch.Tensor | None) -> None:
        """Read nothing but the classes."""

    return torch.cat(
        read_blocks(record, X, None, no_reading, keep, batch_size=batch_size, progress=progress)
    ).numpy()


def predicted_values(record: TrainingRecord, X: Rows, *, batch_size: int) -> NDArray[np.float32]:
    """Return what a regressor predicts, (n,) or (n, n_outputs)."""

    def values(inputs: Inputs, _labels: torch.Tensor | None) -> torch.Tensor:
        with torch.no_grad():
            return call_module(record.module, copied(inputs))

    targets = np.zeros(len(X), dtype=np.float32)  # given any, none are predicted
    blocks = read_blocks(record, X, targets, values, counted_results, batch_size=batch_size)
    return torch.cat(blocks).numpy()


def output_margins(
    record: TrainingRecord,
    X: Rows,
    labels: NDArray[Any] | None,
    *,
    batch_size: int,
    progress: Task = SILENT,
) -> NDArray[np.float32]:
    """Return how far (n,) the logit of a row's class is above all others; NaN if not finite."""
    refuse_regressor(record)

    def margins(inputs: Inputs, classes: torch.Tensor | None) -> torch.Tensor:
        with torch.no_grad():
            outputs = call_module(record.module, copied(inputs))
        return logit_leads(outputs, record.head, classes).amin(dim=1)

    return values_in_order(record, X, labels, margins, batch_size, progress)


def refuse_regressor(record: TrainingRecord) -> None:
    """Raise for a regressor."""
    if record.head.is_regression:
        raise ValueError(
            "A margin lies between classes, and this network is a regressor. Train a classifier, "
            "or take a score that regressors have, such as VoGScorer."
        )


def logit_leads(outputs: torch.Tensor, head: Head, classes: torch.Tensor | None) -> torch.Tensor:
    """Return by how much the logit of a row's class exceeds each of the others, (n, C - 1)."""
    assert classes is not None
    logits = head.logits(outputs)
    own = classes[:, None]
    columns = torch.arange(logits.shape[1] - 1, device=logits.device)
    others = columns + (columns >= own)
    return logits.gather(1, own) - logits.gather(1, others)


def counted_results(block: Block) -> torch.Tensor:
    """Return what was read of the rows that count, in single precision and on the CPU."""
    return block.result[: block.n].float().cpu()


def values_in_order(
    record: TrainingRecord,
    X: Rows,
    labels: NDArray[Any] | None,
    reading: Reading[torch.Tensor],
    batch_size: int,
    progress: Task,
) -> NDArray[np.float32]:
    """Return one number per row, NaN where it is not finite."""
    values = torch.cat(
        read_blocks(
            record, X, labels, reading, counted_results, batch_size=batch_size, progress=progress
        )
    ).numpy()
    values[~np.isfinite(values)] = np.nan
    return values
