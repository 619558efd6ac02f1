# SPDX-License-Identifier: BSD-3-Clause
"""Networks with perturbed weights: copies that have lost a part of them, and what they predict.

The copies exist as weights alone, which are put into the network for a pass; its own stay.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn import get_config
from torch import nn

from .._progress import SILENT, Task
from .._randomness import isolated_rng
from ..networks.forward import State, call_with_state
from ..rows.inputs import Inputs
from ..rows.rows import Rows
from ..training.checkpoints import Checkpoint
from ..training.record import TrainingRecord
from ..training.schedules.drawing import drawn_by_layers, names_to_draw
from ..training.schedules.layer_groups import weight_names
from .blocks import Block, DeviceStates, read_blocks

Kind = Literal["redraw", "prune"]
_UNKNOWN = -1


class Passes(NamedTuple):
    """Whether the class of a row is predicted: 1, 0, or -1 where the output is not finite."""

    before: NDArray[np.int8]  # (n_checkpoints, n)
    after: NDArray[np.int8]  # (n_checkpoints, n_repeats, n)


def redrawn(module: nn.Module, state: State, share: float, seeds: tuple[int, int]) -> State:
    """Return a state in which a share of the weights, and all biases beside them, are drawn anew.

    As the layers draw them when they are made; half of the share in the last layer.
    """
    weights = names_to_draw(module, weight_names(module))
    biases = {f"{name.rpartition('.')[0]}.bias".lstrip(".") for name in weights}
    names = [*weights, *(n for n, p in module.named_parameters() if n in biases and p.ndim == 1)]
    with isolated_rng(seeds[0]), torch.no_grad():
        drawn = drawn_by_layers(module, names)
    generator = torch.Generator().manual_seed(seeds[1])
    changed = dict(state)
    for name, fresh in drawn.items():
        old = state[name]
        fresh = fresh.to(old.device, old.dtype)
        if name in biases:
            changed[name] = fresh
            continue
        is_lost = torch.rand(old.shape, generator=generator) < _share_of(name, weights, share)
        changed[name] = torch.where(is_lost.to(old.device), fresh, old)
    return changed


def pruned(module: nn.Module, state: State, share: float, rewound_to: State | None = None) -> State:
    """Return a state without the smallest weights of every layer, half of the share in the last.

    The others keep their values, or get those of another state.
    """
    weights = names_to_draw(module, weight_names(module))
    changed = dict(state)
    for name in weights:
        sizes = state[name].abs().flatten()
        n_lost = math.floor(_share_of(name, weights, share) * sizes.numel())
        kept = torch.ones_like(sizes, dtype=torch.bool)
        # Sorted stably, so that which of equal ones are lost does not depend on the device.
        kept[sizes.sort(stable=True).indices[:n_lost]] = False
        values = state[name] if rewound_to is None else rewound_to[name]
        changed[name] = values * kept.reshape(values.shape)
    return changed


def _share_of(name: str, weights: Sequence[str], share: float) -> float:
    """Return which share of a layer's weights is lost."""
    return share / 2 if name == weights[-1] else share


class PerturbedStates:
    """Checkpoints, each with its copies; all at once if they fit, else made anew for every block.

    The draws depend on the epoch and on the number of the copy alone, so that a network is read
    alike each time.
    """

    def __init__(
        self,
        module: nn.Module,
        checkpoints: Sequence[Checkpoint],
        perturb: Callable[[State, tuple[int, int]], State],
        n_repeats: int,
    ) -> None:
        self._states = DeviceStates(module, checkpoints)
        self._seeds = [
            [_two_seeds(checkpoint.epoch, number) for number in range(n_repeats)]
            for checkpoint in checkpoints
        ]
        self._perturb = perturb
        n_bytes = sum(t.nbytes for t in (*module.parameters(), *module.buffers()))
        n_copies = len(checkpoints) * (n_repeats + 1)
        fits = n_bytes * n_copies <= get_config()["working_memory"] * 2**20
        self._resident = list(self._made()) if fits else None

    def __iter__(self) -> Iterator[State]:
        return self._made() if self._resident is None else iter(self._resident)

    def _made(self) -> Iterator[State]:
        """Yield every checkpoint, and after it its copies."""
        for state, seeds in zip(self._states, self._seeds, strict=True):
            yield state
            for of_copy in seeds:
                yield self._perturb(state, of_copy)


def _two_seeds(epoch: int, number: int) -> tuple[int, int]:
    """Return seeds of independent streams for the weights of a copy, and for which of them go."""
    weights, which = np.random.SeedSequence([epoch, number]).generate_state(2)
    return int(weights), int(which)


def passes_after_perturbation(
    record: TrainingRecord,
    checkpoints: Sequence[Checkpoint],
    X: Rows,
    labels: NDArray[np.int64] | None,
    *,
    kind: Kind,
    share: float,
    n_repeats: int,
    batch_size: int,
    progress: Task = SILENT,
) -> Passes:
    """Return which rows are predicted right at checkpoints, and by perturbed copies of these.

    The class of a row is its label; without labels, what the final network predicts.
    """
    if record.head.is_regression:
        raise ValueError(
            "Forgetting under perturbation counts right predictions of classes, and this network "
            "is a regressor. Train a classifier, or take a score that regressors have, such as "
            "VoGScorer."
        )
    module = record.module

    def perturb(state: State, seeds: tuple[int, int]) -> State:
        if kind == "prune":
            return pruned(module, state, share)
        return redrawn(module, state, share, seeds)

    states = PerturbedStates(module, checkpoints, perturb, n_repeats)

    def reading(inputs: Inputs, classes: torch.Tensor | None) -> torch.Tensor:
        columns = []
        for state in states:
            with torch.no_grad():
                outputs = call_with_state(module, state, inputs)
            predicted = record.head.predicted(outputs)
            assert predicted is not None
            assert classes is not None
            right = predicted.eq(classes).to(torch.int8)
            finite = outputs.isfinite().reshape(len(outputs), -1).all(dim=1)
            columns.append(torch.where(finite, right, _UNKNOWN))
        return torch.stack(columns, dim=1)

    def keep(block: Block) -> torch.Tensor:
        right: torch.Tensor = block.result[: block.n].cpu()
        return right

    read = read_blocks(record, X, labels, reading, keep, batch_size=batch_size, progress=progress)
    right = torch.cat(read).numpy().T.reshape(len(checkpoints), n_repeats + 1, -1)
    return Passes(right[:, 0], right[:, 1:])
