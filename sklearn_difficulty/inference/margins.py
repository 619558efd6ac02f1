# SPDX-License-Identifier: BSD-3-Clause
"""How far a network is from deciding otherwise: input margins of rows.

The formulas are those of `measures.margins`, which is the reference; a test holds the two together.
An input margin costs a block one forward pass and one backward pass for every class but the row's
own; the gradients of one pass are reduced to norms before the next, so that memory does not grow
with the number of classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .._progress import SILENT, Task
from ..rows.inputs import Inputs
from ..rows.rows import Rows
from ..training.record import TrainingRecord
from .input_gradients import GradientSite
from .objectives import row_norms
from .predictions import logit_leads, refuse_regressor, values_in_order


def input_margins(
    record: TrainingRecord,
    X: Rows,
    labels: NDArray[Any] | None,
    *,
    wrt: str | None,
    batch_size: int,
    progress: Task = SILENT,
) -> NDArray[np.float32]:
    """Return how far (n,) rows are from losing their class, to first order; NaN if not finite."""
    refuse_regressor(record)
    site = GradientSite(record, wrt)
    tensors = (*record.module.named_parameters(), *record.module.named_buffers())
    state = {name: tensor.detach() for name, tensor in tensors}

    def margins(inputs: Inputs, classes: torch.Tensor | None) -> torch.Tensor:
        outputs, leaves = site.forward(state, inputs)
        with torch.enable_grad():
            leads = logit_leads(outputs, record.head, classes)
            totals = leads.sum(dim=0).unbind()
        # Filled in place: small tensors kept among large ones would fragment the memory.
        norms = torch.empty_like(leads, dtype=torch.float64)
        for k, total in enumerate(totals):
            norms[:, k] = row_norms(
                torch.autograd.grad(total, leaves, retain_graph=True, materialize_grads=True)
            )
        norms[norms.isinf()] = torch.nan  # else the row would seem to lie on the boundary
        return (leads.detach() / norms).amin(dim=1)

    return values_in_order(record, X, labels, margins, batch_size, progress)
