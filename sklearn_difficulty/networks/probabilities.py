# SPDX-License-Identifier: BSD-3-Clause
"""What a classifier says about rows, block by block, in eval mode."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from .._randomness import isolated_rng
from ..rows.collation import rows_in_order
from ..rows.rows import Rows
from .forward import call_module, evaluation_mode, module_device, module_dtype
from .heads import Head

BLOCK_ROWS = 256


def probabilities(module: nn.Module, X: Rows, head: Head) -> NDArray[np.float32]:
    """Return the class probabilities (n, n_classes) of rows in eval mode."""
    device = module_device(module)
    blocks = X.blocks(BLOCK_ROWS, dtype=module_dtype(module), device=device)
    # Seeded, since the items of a Dataset may be random, and generators stay as they were.
    with isolated_rng(0, device), evaluation_mode(module), torch.no_grad():
        outputs = [
            rows_in_order(head.probabilities(call_module(module, inputs)), rows)
            for rows, inputs in blocks
        ]
    return torch.cat(outputs).float().cpu().numpy()
