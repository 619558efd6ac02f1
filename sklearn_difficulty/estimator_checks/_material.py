# SPDX-License-Identifier: BSD-3-Clause
"""What the checks are made of: a small problem, and what a fit must leave as it was."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.datasets import make_classification

from ..training import TrainingRecord


def seeded(scorer: Any) -> Any:
    """Return an unfitted scorer with a seed."""
    if not hasattr(scorer, "set_params"):
        raise TypeError(f"check_difficulty_scorer needs a scorer, not {scorer!r}.")
    return clone(scorer).set_params(random_state=0)


def training_rows() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return 60 rows of 5 features in 3 classes."""
    X, y = make_classification(
        n_samples=60, n_features=5, n_informative=4, n_redundant=0, n_classes=3, random_state=0
    )
    return X.astype(np.float32), y


def reads_unseen_rows(scorer: Any) -> bool:
    """Tell whether rows that were not trained on can be scored."""
    return hasattr(scorer, "score_samples")


def record_of(fitted: Any) -> TrainingRecord | None:
    """Return the record that a scorer read, if it read one."""
    record = getattr(fitted, "record_", None)
    return record if isinstance(record, TrainingRecord) else None


def surroundings() -> dict[str, Any]:
    """Return what a fit must leave as it was: the global random generators and torch's flags."""
    return {
        "the generator of torch": torch.random.get_rng_state().tolist(),
        "the generator of numpy": str(np.random.get_state()),  # noqa: NPY002 (only looked at)
        "the generator of random": random.getstate(),
        "cudnn.benchmark": torch.backends.cudnn.benchmark,
        "cudnn.deterministic": torch.backends.cudnn.deterministic,
        "torch.use_deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "torch.set_default_dtype": torch.get_default_dtype(),
        "torch.set_num_threads": torch.get_num_threads(),
        "torch.set_grad_enabled": torch.is_grad_enabled(),
        "the float32 precision of matmul": [
            backend.matmul.fp32_precision
            for backend in (torch.backends.cuda, torch.backends.mkldnn)
        ],
    }


@contextlib.contextmanager
def forward_passes(fail_at: int | None = None) -> Iterator[list[bool]]:
    """Note of every forward pass of a network if it trains, and fail at one of them."""
    passes: list[bool] = []

    def note(module: torch.nn.Module, inputs: Any, outputs: Any) -> None:
        # A loss has no weights, and is in train mode from the start.
        passes.append(module.training and any(True for _ in module.parameters()))
        if len(passes) == fail_at:
            raise RuntimeError("This forward pass was made to fail.")

    hook = torch.nn.modules.module.register_module_forward_hook(note)
    try:
        yield passes
    finally:
        hook.remove()


def error_of(action: Callable[[], Any]) -> str:
    """Return what an action that must be refused says, or nothing."""
    try:
        action()
    except (ValueError, TypeError) as error:
        return str(error)
    return ""
