# SPDX-License-Identifier: BSD-3-Clause
"""From what a module returns to the one number of a row that is differentiated."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import torch

from ..networks.forward import module_device
from ..training.record import TrainingRecord


def target_function(
    record: TrainingRecord, target: str
) -> Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor]:
    """Return the function of (outputs, labels) whose sum over rows is differentiated."""
    head = record.head
    if target == "loss":
        return _loss_function(record)
    if head.is_regression:
        if target == "probability":
            raise ValueError("A regressor has no probabilities: use target='logit' or 'loss'.")
    elif target == "logit" and not head.has_logits:
        raise ValueError(
            "target='logit' needs the values before the softmax, but this network returns "
            f"{head.name.replace('_', '-')}. Return logits and train with nn.CrossEntropyLoss, or "
            "use target='probability' or 'loss'."
        )
    return head.logit if target == "logit" else head.probability


def _loss_function(
    record: TrainingRecord,
) -> Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor]:
    """Return the loss by which the network was trained, summed over rows."""
    if record.criterion is None or not hasattr(record.criterion, "reduction"):
        raise ValueError(
            "target='loss' needs a criterion whose `reduction` can be set to 'sum', as torch's "
            f"losses have; this record's is {record.criterion!r}. Pass one to the record "
            "(criterion=...), or use target='logit'."
        )
    criterion: Any = copy.deepcopy(record.criterion).to(module_device(record.module))
    criterion.reduction = "sum"  # so that one row's loss has no share in another's gradient

    def loss(outputs: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        if labels is None:
            raise ValueError("target='loss' of a regressor needs y.")
        return criterion(*record.head.for_loss(outputs, labels))

    return loss


def undefined_rows(outputs: torch.Tensor) -> torch.Tensor:
    """Return the rows (n,) whose outputs are NaN or infinite, but for logits of minus infinity."""
    outputs = outputs.detach().flatten(1) if outputs.ndim > 1 else outputs.detach()[:, None]
    return (outputs.isnan() | outputs.isposinf()).any(dim=1)


def row_norms(gradients: Iterable[torch.Tensor]) -> torch.Tensor:
    """Return the Euclidean norm (n,) of a row's gradients, all of them together."""
    # In float32 the squares of the small gradients of a confident network would vanish.
    flat = [g.reshape(len(g), -1) for g in gradients]
    norms = [torch.linalg.vector_norm(g, dim=1, dtype=torch.float64) for g in flat]
    return torch.linalg.vector_norm(torch.stack(norms), dim=0)
