# SPDX-License-Identifier: BSD-3-Clause
"""User code of every kind that a fit or a reading calls, made to fail at a chosen step."""

from __future__ import annotations

import collections
from typing import Any

import numpy as np
import torch
from robustness.entries import X, Y
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from small_nets import TwoLayers, make_net
from torch import nn
from torch.utils.data import Dataset, RandomSampler, default_collate

from sklearn_difficulty._randomness import isolated_rng

HOOKS = [name for name in dir(Callback) if name.startswith("on_")]


class Trap:
    """Counts the calls of every place, and raises an error at one of them."""

    def __init__(self) -> None:
        self.disarm()
        self.given: Any = None  # the module that a net was made of, and its state

    def disarm(self) -> None:
        self.calls: collections.Counter[str] = collections.Counter()
        self.place, self.step, self.error = "", 0, None

    def arm(self, place: str, step: int, error: BaseException) -> None:
        self.disarm()
        self.place, self.step, self.error = place, step, error

    def __call__(self, place: str) -> None:
        self.calls[place] += 1
        if self.error is not None and place == self.place and self.calls[place] == self.step:
            raise self.error


TRAP = Trap()


class Module(TwoLayers):
    def forward(self, x):
        TRAP("forward in training" if self.training else "forward in evaluation")
        return super().forward(x)


class Loss(nn.CrossEntropyLoss):
    def forward(self, input, target):
        TRAP("loss")
        return super().forward(input, target)


class Optimizer(torch.optim.SGD):
    def step(self, closure=None):
        TRAP("optimizer")
        return super().step(closure)


class Watcher(Callback):
    """Has every hook that skorch knows."""


def _hook(name: str) -> Any:
    def hook(self, net, *args, **kwargs):
        TRAP(name)

    return hook


for _name in HOOKS:
    setattr(Watcher, _name, _hook(_name))


class Data(Dataset):
    """The rows one by one, with noise if it is a view that augments."""

    def __init__(self, place: str = "item", noise: float = 0.0) -> None:
        self.place, self.noise = place, noise

    def __len__(self) -> int:
        TRAP(f"length of {self.place}")
        return len(X)

    def __getitem__(self, index: int) -> Any:
        TRAP(self.place)
        return torch.from_numpy(X[index]) + self.noise * torch.randn(4), int(Y[index])


def collate(items: Any) -> Any:
    TRAP("collate_fn")
    return default_collate(items)


class Sampler(RandomSampler):
    def __iter__(self):
        TRAP("sampler")
        yield from super().__iter__()


def trapped_net(**settings: Any) -> NeuralNetClassifier:
    """Return a net of such code, around an instance that must stay as it is."""
    with isolated_rng(0):
        module = Module()
    defaults = {
        "module": module,
        "criterion": Loss,
        "optimizer": Optimizer,
        "callbacks": [Watcher()],
        "max_epochs": 2,
        "batch_size": 8,
    }
    net = make_net(**{**defaults, **settings})
    TRAP.given = module, state_of(module)
    return net


def state_of(module: nn.Module) -> list[Any]:
    """Return what of a user's module must stay as it is."""
    parts = [
        (name, part.training, [len(h) for n, h in vars(part).items() if n.endswith("_hooks")])
        for name, part in module.named_modules()
    ]
    values = [(n, p.requires_grad, p.grad, p.tolist()) for n, p in module.named_parameters()]
    return [parts, values, sorted(vars(module))]


def net_of_datasets() -> NeuralNetClassifier:
    return trapped_net(
        iterator_train__collate_fn=collate,
        iterator_valid__collate_fn=collate,
        iterator_train__sampler=Sampler(np.arange(len(X)), generator=torch.Generator()),
        iterator_train__shuffle=False,
    )
