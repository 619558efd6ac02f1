# SPDX-License-Identifier: BSD-3-Clause
"""How far a network is from deciding otherwise: output margins and input margins of rows.

The formulas are those of `measures.margins`. An input margin costs a block one forward pass and
one backward pass for every class but the row's own; the gradients of one pass are reduced to norms
before the next, so that memory does not grow with the number of classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..progress import SILENT, Task
from ..training.network import call_module
from ..training.outputs import OutputKind, class_logits
from ..training.record import TrainingRecord
from ..training.rows import Inputs, Rows
from .blocks import Reading, copied, read_blocks
from .sites import GradientSite


def output_margins(
    record: TrainingRecord,
    X: Rows,
    labels: NDArray[Any] | None,
    *,
    batch_size: int,
    progress: Task = SILENT,
) -> NDArray[np.float32]:
    """Return how far the logit of every row's class is above the largest other one.

    Parameters
    ----------
    record : TrainingRecord
        Whose module is read with the weights that training left.
    X : ndarray, dict of ndarrays or Dataset
        The rows, in order.
    labels : ndarray or None
        Label codes (n,); None takes the predicted class.
    batch_size : int
        Rows a block, at most.
    progress : Task
        Gets one subtask per block.

    Returns
    -------
    margins : ndarray of shape (n,), float32
        Signed; NaN where not finite.

    Raises
    ------
    ValueError
        If the network is a regressor.
    """
    _check_classes(record)

    def margins(inputs: Inputs, classes: torch.Tensor | None) -> torch.Tensor:
        with torch.no_grad():
            outputs = call_module(record.module, copied(inputs))
        return _leads(outputs, record.outputs, classes).amin(dim=1)

    return _read_in_order(record, X, labels, margins, batch_size, progress)


def input_margins(
    record: TrainingRecord,
    X: Rows,
    labels: NDArray[Any] | None,
    *,
    wrt: str | None,
    batch_size: int,
    progress: Task = SILENT,
) -> NDArray[np.float32]:
    """Return the linearised distance of every row from where its class ceases to be predicted.

    Parameters
    ----------
    record : TrainingRecord
        Whose module is read with the weights that training left.
    X : ndarray, dict of ndarrays or Dataset
        The rows, in order.
    labels : ndarray or None
        Label codes (n,); None takes the predicted class.
    wrt : str or None
        Where the distance is measured; as for `GradientSite`.
    batch_size : int
        Rows a block, at most.
    progress : Task
        Gets one subtask per block.

    Returns
    -------
    margins : ndarray of shape (n,), float32
        Signed; NaN where not finite.

    Raises
    ------
    ValueError
        If the network is a regressor, or cannot be differentiated there.
    """
    _check_classes(record)
    site = GradientSite(record, wrt)
    tensors = (*record.module.named_parameters(), *record.module.named_buffers())
    state = {name: tensor.detach() for name, tensor in tensors}

    def margins(inputs: Inputs, classes: torch.Tensor | None) -> torch.Tensor:
        outputs, leaves = site.forward(state, inputs)
        with torch.enable_grad():
            leads = _leads(outputs, record.outputs, classes)
            totals = leads.sum(dim=0).unbind()
        # Filled in place: small tensors kept among large ones would fragment the memory.
        norms = torch.empty_like(leads, dtype=torch.float64)
        for k, total in enumerate(totals):
            norms[:, k] = _norms(
                torch.autograd.grad(total, leaves, retain_graph=True, materialize_grads=True)
            )
        norms[norms.isinf()] = torch.nan  # else the row would seem to lie on the boundary
        return (leads.detach() / norms).amin(dim=1)

    return _read_in_order(record, X, labels, margins, batch_size, progress)


def _check_classes(record: TrainingRecord) -> None:
    if record.outputs == "values":
        raise ValueError(
            "A margin lies between classes, and this network is a regressor. Train a classifier, "
            "or take a score that regressors have, such as VoGScorer."
        )


def _leads(outputs: torch.Tensor, kind: OutputKind, classes: torch.Tensor | None) -> torch.Tensor:
    """Return by how much the logit of a row's class exceeds each of the others, (n, C - 1)."""
    assert classes is not None
    logits = class_logits(outputs, kind)
    own = classes[:, None]
    columns = torch.arange(logits.shape[1] - 1, device=logits.device)
    others = columns + (columns >= own)
    return logits.gather(1, own) - logits.gather(1, others)


def _norms(gradients: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the Euclidean norm (n,) over all inputs of a row."""
    # In float32 the squares of the small gradients of a confident network would vanish.
    norms = [
        torch.linalg.vector_norm(g.reshape(len(g), -1), dim=1, dtype=torch.float64)
        for g in gradients
    ]
    return torch.linalg.vector_norm(torch.stack(norms), dim=0)


def _read_in_order(
    record: TrainingRecord,
    X: Rows,
    labels: NDArray[Any] | None,
    reading: Reading[torch.Tensor],
    batch_size: int,
    progress: Task,
) -> NDArray[np.float32]:
    blocks = read_blocks(record, X, labels, reading, batch_size=batch_size, progress=progress)
    margins = torch.cat([found[:n].float().cpu() for n, _, found in blocks]).numpy()
    margins[~np.isfinite(margins)] = np.nan
    return margins
