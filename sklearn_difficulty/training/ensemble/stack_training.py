# SPDX-License-Identifier: BSD-3-Clause
"""The training of a stack: all members' batches, losses and steps at once, epoch by epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skorch import NeuralNet

from ..._randomness import isolated_rng
from ..._warnings import locate, located
from ..learning import Learning, divergence, member_sums
from ..record import TrainingRecord
from .member import Arrays, Pool, read_member
from .stack import Positions, Stack, initialized, quiet_vmap


def train_stack(
    pool: Pool,
    masks: NDArray[np.bool_],
    seeds: Sequence[int],
    *,
    numbers: Sequence[int] | None = None,
    tell: Callable[[float], None] = lambda share: None,
) -> Iterator[Arrays]:
    """Train members together, on equally many rows each, and yield what is kept of each."""
    nets = [initialized(pool, seed, mask) for seed, mask in zip(seeds, masks, strict=True)]
    numbers = numbers or range(len(seeds))
    members = f"in member{'s' * (len(numbers) > 1)} {_listed(numbers)} of the ensemble"
    total: Any = 0.0
    n_epochs = 0
    epoch_losses = []
    # What draws is not stacked; still, a module may draw what it does not use.
    with isolated_rng(seeds[0], nets[0].device or "cpu"), quiet_vmap():
        with located(members):
            stack = Stack(pool, nets)
        rows, held_out = (
            torch.from_numpy(np.stack([np.flatnonzero(mask) for mask in part]))
            for part in (masks, ~masks)
        )
        loaders = [net.get_iterator(Positions(rows.shape[1]), training=True) for net in nets]
        del nets  # all but the first go; the stack has copied their weights
        optimizer = stack.optimizer()
        schedules = stack.schedules(optimizer)
        before = member_sums(stack.parameters)
        for n_epochs in range(1, stack.net.max_epochs + 1):
            with located(f"in epoch {n_epochs}, {members}"):
                losses = _train_epoch(stack, rows, loaders, optimizer, schedules)
            _refuse_divergence(losses[-1][0], losses[0][0], n_epochs, stack.net, numbers)
            epoch_losses.append(_mean(losses))
            _step(schedules, "epoch")
            total = total + stack.answers(held_out).astype(np.float64)
            tell(n_epochs / stack.net.max_epochs)
        changed = (before != member_sums(stack.parameters)).any(dim=0).tolist()
    means = np.asarray(total / n_epochs, dtype=np.float32)
    for k, mask in enumerate(masks):
        record = TrainingRecord(
            stack.member(k),
            [],
            classes=pool.classes,
            outputs=stack.head.name,
            criterion=stack.net.criterion_,
            n_epochs=n_epochs,
            trajectory_problem="members that are trained as a stack record none",
        )
        learning = Learning([float(epoch[k]) for epoch in epoch_losses], changed[k])
        with located(f"in member {numbers[k]} of the ensemble"):
            arrays = read_member(pool, record, mask, means[k], stack.net, learning)
        yield arrays


def _train_epoch(
    stack: Stack,
    rows: torch.Tensor,
    loaders: Sequence[Any],
    optimizer: torch.optim.Optimizer,
    schedules: Sequence[tuple[str, Any]],
) -> list[tuple[torch.Tensor, int]]:
    """Train for an epoch, and return for every batch the members' losses and its size."""
    stack.module.train()
    seen = []
    for positions in zip(*loaders, strict=True):
        optimizer.zero_grad()
        losses = stack.losses(rows.gather(1, torch.stack(positions)))
        losses.sum().backward()
        optimizer.step()
        _step(schedules, "batch")
        seen.append((losses.detach(), len(positions[0])))
    return seen


def _mean(losses: Sequence[tuple[torch.Tensor, int]]) -> torch.Tensor:
    """Return the members' mean losses over the rows of some batches."""
    values, sizes = zip(*losses, strict=True)
    weights = torch.tensor(sizes, dtype=torch.float64, device=values[0].device)
    return (torch.stack(values).double() * weights[:, None]).sum(dim=0) / weights.sum()


def _listed(numbers: Sequence[int]) -> str:
    """Return the numbers of members for a message."""
    return ", ".join(map(str, numbers))


def _step(schedules: Sequence[tuple[str, Any]], moment: str) -> None:
    """Step the schedules that wait for a batch, or an epoch."""
    for step_every, schedule in schedules:
        if step_every == moment:
            schedule.step()


def _refuse_divergence(
    losses: torch.Tensor, first: torch.Tensor, epoch: int, net: NeuralNet, numbers: Sequence[int]
) -> None:
    """Raise if a loss is not finite, and name the members."""
    bad = torch.nonzero(~torch.isfinite(losses))[:, 0].tolist()
    if bad:
        error = divergence(float(losses[bad[0]]), float(first[bad[0]]), epoch, net)
        which = f"member{'s' * (len(bad) > 1)} {_listed([numbers[k] for k in bad])}"
        locate(error, f"in epoch {epoch}, in {which} of the ensemble")
        raise error
