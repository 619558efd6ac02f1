# SPDX-License-Identifier: BSD-3-Clause
"""Callbacks that wait for scores on a validation set, found before an epoch is trained for them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from types import CodeType
from typing import Any

from skorch import NeuralNet
from skorch.callbacks import BatchScoring, Callback, EpochScoring, LRScheduler, PassthroughScoring
from torch.optim.lr_scheduler import ReduceLROnPlateau

_SCORINGS = (BatchScoring, EpochScoring, PassthroughScoring)


def refuse_unwatched_monitors(net: NeuralNet) -> None:
    """Raise if a callback of an initialized net waits for validation scores that never come."""
    if net.train_split is not None:
        return
    scorings = [c for _, c in net.callbacks_ if isinstance(c, _SCORINGS)]
    seen = {_name_of(c) for c in scorings if c.on_train}
    unseen = {_name_of(c) for c in scorings} - seen
    for name, callback in net.callbacks_:
        for monitor in _monitored(callback):
            quantity = monitor.removesuffix("_best")
            if quantity in unseen or (quantity.startswith("valid") and quantity not in seen):
                raise ValueError(
                    f"The callback {name!r} ({type(callback).__name__}) monitors {monitor!r}, but "
                    "the network trains on every row it is given and has no validation set. Pass "
                    "one with train_split=skorch.helper.predefined_split(valid_dataset), or "
                    "monitor 'train_loss' or a scoring with on_train=True."
                )


def _name_of(scoring: Any) -> str:
    """Return under what name a callback writes its score."""
    return getattr(scoring, "name_", None) or scoring.name


def _monitored(callback: Callback) -> Iterator[str]:
    """Yield the names of what a callback looks up in the history, as far as they show."""
    if isinstance(callback, LRScheduler):
        policy = getattr(callback, "policy_", None)
        if not (isinstance(policy, type) and issubclass(policy, ReduceLROnPlateau)):
            return  # other schedules count steps
    monitor = getattr(callback, "monitor", None)
    if isinstance(monitor, str):
        yield monitor
    elif callable(monitor):
        function = monitor.func if isinstance(monitor, partial) else monitor
        code = getattr(function, "__code__", None)
        if code is None:  # an object that is called
            code = getattr(type(function).__call__, "__code__", None)
        yield from () if code is None else _strings(code.co_consts)


def _strings(constants: Any) -> Iterator[str]:
    """Yield the names among the constants of a function."""
    for constant in constants:
        if isinstance(constant, str) and constant.isidentifier():  # not what a function says
            yield constant
        elif isinstance(constant, tuple):
            yield from _strings(constant)
        elif isinstance(constant, CodeType):
            yield from _strings(constant.co_consts)
