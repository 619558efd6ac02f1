# SPDX-License-Identifier: BSD-3-Clause
"""What callbacks that train in generations have in common: counting, checks and restarts.

Every generation but the first begins with a new optimizer, so without momentum, and with
learning-rate schedules at their beginning. Epochs are counted by the net's history, so that a
training that is taken up again goes on where it was.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import torch
from sklearn.utils._param_validation import Interval
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping, LRScheduler
from torch.optim.lr_scheduler import ReduceLROnPlateau

from ..._parameters import check_parameters
from ..._warnings import warn_caller
from ...networks.forward import plain_module
from .layer_groups import early_and_later

_LENGTHS = ("T_max", "total_iters", "total_steps", "epochs")
_AT_LEAST_1 = Interval(Integral, 1, None, closed="left")


class Generations(Callback):
    """Base of callbacks that do something to the layers at the start of every generation."""

    split: str | Sequence[str]
    n_generations: int
    epochs_per_generation: int

    def _check_parameters(self) -> None:
        """Raise for parameters that mean nothing."""
        check_parameters(
            type(self).__name__,
            split=(self.split, [str, list, tuple]),
            n_generations=(self.n_generations, [_AT_LEAST_1]),
            epochs_per_generation=(self.epochs_per_generation, [_AT_LEAST_1]),
        )

    def _prepare(self, net: NeuralNet) -> None:
        """Look at a net whose module and optimizer are ready."""
        self.early_, self.later_ = early_and_later(plain_module(net.module_), self.split)

    def _start_generation(self, net: NeuralNet) -> None:
        """Do what is done to the layers when a generation begins, before its new optimizer."""

    def _start_epoch(self, net: NeuralNet, generation: int, epoch: int) -> None:
        """Do what is done when an epoch of a generation begins; both are counted from 0."""

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Refuse what cannot be trained in generations, before the first epoch."""
        self._check_parameters()
        self._refuse_others(net)
        self._check_length(net, len(net.history))
        self._warn_of_long_schedules(net)
        self._prepare(net)
        self.is_prepared_ = False  # callbacks that are listed later may change the module yet

    def _refuse_others(self, net: NeuralNet) -> None:
        """Raise for callbacks and optimizers that this one does not go with."""
        name = type(self).__name__
        for other in (callback for _, callback in net.callbacks_):
            if isinstance(other, EarlyStopping):
                raise ValueError(
                    f"EarlyStopping ends a training whose score gets worse, and {name} makes it "
                    "worse on purpose when a generation begins. Leave EarlyStopping out."
                )
            if isinstance(other, Generations) and other is not self:
                raise ValueError(
                    f"{name} and {type(other).__name__} both make generations: keep one of them. "
                    "SimulatedAnnealingEarlyLayers(reset_later=True) climbs and forgets."
                )
        if len(net._optimizers) > 1:
            raise ValueError(
                f"{name} makes the optimizer anew in every generation, and the net has several: "
                f"{net._optimizers}."
            )

    def _check_length(self, net: NeuralNet, n_past: int) -> None:
        """Raise if the epochs that are to run are not those of the generations."""
        n_epochs = self.n_generations * self.epochs_per_generation
        if not n_past and net.max_epochs != n_epochs:
            raise ValueError(
                f"{self.n_generations} generations of {self.epochs_per_generation} epochs are "
                f"{n_epochs} epochs, and the net has max_epochs={net.max_epochs}: set max_epochs="
                f"{n_epochs}. To train step by step: net.partial_fit(X, y, epochs=...)."
            )
        if n_past >= n_epochs:
            raise ValueError(
                f"All {n_epochs} epochs of {type(self).__name__} have run, and the net goes on "
                "from there (partial_fit, or warm_start=True). Fit it anew, or leave the callback "
                "out to go on."
            )

    def _warn_of_long_schedules(self, net: NeuralNet) -> None:
        """Warn of a learning-rate schedule that would never come to its end."""
        n_epochs = self.n_generations * self.epochs_per_generation
        for name, callback in net.callbacks_:
            for key in _LENGTHS if isinstance(callback, LRScheduler) else ():
                if self.n_generations > 1 and callback.kwargs.get(key) == n_epochs:
                    warn_caller(
                        f"{name!r} has {key}={n_epochs}, the epochs of all generations, and begins "
                        f"anew with each: set {key}={self.epochs_per_generation}."
                    )

    def on_epoch_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Begin a generation, or go on with one."""
        n_past = len(net.history) - 1
        is_first, self.is_prepared_ = not self.is_prepared_, True
        if is_first:  # of this training; a callback may have loaded another's epochs
            self._check_length(net, n_past)
            self._prepare(net)
        generation, epoch = divmod(n_past, self.epochs_per_generation)
        if generation == self.n_generations:  # a training that was taken up again, and is complete
            del net.history[-1]
            raise KeyboardInterrupt
        if epoch == 0 and generation > 0:
            self._start_generation(net)
            net.initialize_optimizer()
            self._prepare(net)
        if epoch == 0 or is_first:
            restart_schedulers(net, epoch)
        net.history.record("generation", generation)
        self._start_epoch(net, generation, epoch)


def restart_schedulers(net: NeuralNet, n_epochs: int) -> None:
    """Begin the net's learning-rate schedules anew, and let them pass some epochs.

    skorch's own way to take up a training again counts all epochs, and a schedule that goes by the
    rate before, as torch's do, would make the last step twice.
    """
    schedulers = [c for _, c in net.callbacks_ if isinstance(c, LRScheduler)]
    for group in net.optimizer_.param_groups if schedulers else ():
        group["lr"] = group.get("initial_lr", group["lr"])
    for callback in schedulers:
        try:
            callback.lr_scheduler_ = callback.policy_(net.optimizer_, **callback.kwargs)
        except ValueError as error:
            error.add_note(
                "Early and later layers have parameter groups of their own, "
                f"{len(net.optimizer_.param_groups)} in all: give the scheduler one value for all, "
                "or one for each."
            )
            raise
        if isinstance(callback.lr_scheduler_, ReduceLROnPlateau):
            continue  # goes by scores, and these begin anew
        n_steps = n_epochs
        if callback.step_every == "batch" and n_epochs:
            passed = net.history[-1 - n_epochs : -1]
            n_steps = sum(len(row.get("batches", ())) for row in passed)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
            for _ in range(n_steps):
                callback.lr_scheduler_.step()


def split_groups(
    optimizer: torch.optim.Optimizer, groups: dict[str, set[torch.nn.Parameter]]
) -> None:
    """Give the layers parameter groups of their own, by name, with the settings that they had."""
    found = []
    for group in optimizer.param_groups:
        rest = list(group["params"])
        for name, members in groups.items():
            params = [p for p in rest if p in members]
            rest = [p for p in rest if p not in members]
            found.append({**group, "params": params, "layers": name})
        found.append({**group, "params": rest, "layers": "other"})  # of a loss that learns
    optimizer.param_groups[:] = [group for group in found if group["params"]]
