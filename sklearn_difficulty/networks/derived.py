# SPDX-License-Identifier: BSD-3-Clause
"""Networks made of a regressor: its body under another head, and two of it that teach each other.

A skorch net builds them from the regressor's class and settings, so that every training
initialises its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from .copying import copied_module
from .heads import first_output


class TwoClassBody(nn.Module):
    """A network in which a linear layer, its last, has been replaced by a fresh one of two outputs.

    `module` is a class, made with `settings`, or an instance, of which a copy is taken; `layer` is
    the dotted name of the layer and `width` the number of its inputs.
    """

    def __init__(
        self,
        module: Callable[..., nn.Module] | nn.Module,
        settings: Mapping[str, Any],
        layer: str,
        width: int,
    ) -> None:
        super().__init__()
        self.body: nn.Module = (
            copied_module(module) if isinstance(module, nn.Module) else module(**settings)
        )
        parent, _, name = layer.rpartition(".")
        setattr(self.body.get_submodule(parent) if name else self, name, nn.Linear(width, 2))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the body returns."""
        return self.body(*args, **kwargs)


class TwoNetworks(nn.Module):
    """Two networks of a class, apart in their weights: both in training, their mean otherwise."""

    def __init__(self, module: Callable[..., nn.Module], settings: Mapping[str, Any]) -> None:
        super().__init__()
        self.networks = nn.ModuleList([module(**settings), module(**settings)])

    def forward(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return outputs of both (n, 2, ...) in train mode, their mean (n, ...) in eval mode."""
        outputs = [first_output(network(*args, **kwargs)) for network in self.networks]
        stacked = torch.stack(outputs, dim=1)
        return stacked if self.training else stacked.mean(dim=1)


class CoTeachingLoss(nn.Module):
    """The loss of `TwoNetworks`: each learns from the rows of which the other's error is small.

    `forget_rate` is the share of a batch that is left out. Outputs of the shape of the targets are
    those of both networks: the loss is the sum of the two.
    """

    def __init__(self, criterion: Callable[..., nn.Module], settings: Mapping[str, Any]) -> None:
        super().__init__()
        self.criterion = criterion(**settings)
        self.forget_rate = 0.0

    def forward(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the sum of the losses of both networks on the rows that the other has chosen."""
        if outputs.shape == targets.shape:
            return 2 * self.criterion(outputs, targets)
        first, second = outputs.unbind(dim=1)
        n_kept = max(1, round((1 - self.forget_rate) * len(targets)))
        total = torch.zeros((), dtype=outputs.dtype, device=outputs.device)
        for teacher, learner in ((first, second), (second, first)):
            error = (teacher.detach() - targets).abs().reshape(len(targets), -1).sum(dim=1)
            rows = error.argsort()[:n_kept]
            total = total + self.criterion(learner[rows], targets[rows])
        return total
