# SPDX-License-Identifier: BSD-3-Clause
"""Whether a training has taught the network anything: steps, weights, and the loss of a constant.

A fit without a single step would score an untrained network and is an error. Weights that have not
changed, and a loss that never fell below that of a constant prediction, are said in a warning.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skorch import NeuralNet
from skorch.callbacks import LoadInitState
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from .._randomness import isolated_rng
from .._warnings import warn_caller
from ..networks.forward import evaluation_mode, module_device, module_dtype, plain_module
from ..networks.heads import first_output
from ..rows.labels import LISTED_ROWS
from ..rows.rows import Rows
from .batches import rows_per_batch
from .skorch_net import has_trained_its_module, head_of, like_outputs

LEARNED, UNCHANGED, CONSTANT = range(3)  # verdicts

_TOO_LARGE = 1e8  # for a loss before the first step
_FEW_EPOCHS = 5  # fewer say little
_STILL_FALLING = 0.01  # of the loss, in the second half of the epochs: it learns, if slowly
_NOT_EVEN_FALLING = 0.001  # the same where epochs are few
_FAR_BELOW = 0.5  # of the loss of a constant: fresh weights are not there
_ROWS_OF_START = 512  # whose loss before the first step is computed, at most
_ROWS_OF_CONSTANT = 4096  # whose loss as a constant prediction is computed, at most

_SAID = {
    UNCHANGED: "not a single weight has changed: the learning rate is 0, or what has gradients "
    "takes no part in the output. Raise lr, or unfreeze a layer",
    CONSTANT: "the training loss never fell below that of a constant prediction: train for longer, "
    "or with another learning rate",
}


def warn_of_network(verdict: int) -> None:
    """Warn if a network has learned nothing."""
    if verdict != LEARNED:
        warn_caller(f"The network has learned nothing from its rows: {_SAID[verdict]}.")


def warn_of_members(verdicts: NDArray[Any]) -> None:
    """Warn once of the members of an ensemble that have learned nothing."""
    for verdict in np.unique(verdicts[verdicts != LEARNED]):
        which = np.flatnonzero(verdicts == verdict)
        warn_caller(
            f"{len(which)} of {len(verdicts)} members have learned nothing from their rows, first "
            f"{which[:LISTED_ROWS].tolist()}: {_SAID[verdict]}."
        )


def divergence(loss: float, first: float, epoch: int, net: NeuralNet) -> ValueError:
    """Return what to say of a loss that is not finite; `first` is that of the epoch's first batch.

    That of the very first batch has nothing to do with steps.
    """
    if epoch == 1 and not first < _TOO_LARGE:
        return ValueError(
            f"The training loss was {first:.3g} in the first batch, before any step: values of X "
            "or y are so large that it overflows, or the network returns NaN. Scale them, for "
            "example by sklearn.preprocessing.StandardScaler."
        )
    return ValueError(
        f"The training loss became {loss} in epoch {epoch}: training diverged. Lower the learning "
        f"rate (lr={net.lr}) or clip the gradients."
    )


def warn_of_knowing(net: NeuralNet) -> None:
    """Warn of weights that fit the rows before the first step, unless the net says so itself."""
    if not has_trained_its_module(net):
        warn_caller(
            "Before its first step the network fits the rows far better than a constant does: its "
            "weights come from these rows, or from others like them. If from these, rows that are "
            "held out are none, and scores come out too easy: start from weights that have not "
            "seen them, or pass a TrainingRecord to read the training that was."
        )


def knows_already(net: NeuralNet, X: Rows, targets: NDArray[Any], n_classes: int | None) -> bool:
    """Tell whether an initialized net that was given weights fits rows before its first step."""
    loads = [callback for _, callback in net.callbacks_ if isinstance(callback, LoadInitState)]
    for callback in loads:
        callback.on_train_begin(net)  # does it once
    if not loads and not isinstance(net.module, nn.Module):
        return False
    constant = _loss_of_constant(net, targets, n_classes)
    if constant is None:
        return False
    some = np.linspace(0, len(targets) - 1, min(len(targets), _ROWS_OF_START)).astype(int)
    module, device, losses = net.module_, module_device(net.module_), []
    blocks = X.take(some).blocks(_ROWS_OF_START, dtype=module_dtype(module), device=device)
    with suppress(Exception):  # of a module or a loss of the user's, which training will raise
        with isolated_rng(0, device), evaluation_mode(module), torch.no_grad():
            for rows, inputs in blocks:
                outputs = first_output(net.infer(inputs))
                y = torch.as_tensor(like_outputs(targets[some][rows], net, outputs)).to(device)
                losses.append(float(net.get_loss(outputs, y)))
        return float(np.mean(losses)) < _FAR_BELOW * constant
    return False


class Learning:
    """Follows one training of a net: its steps, its losses, and whether its weights change."""

    def __init__(
        self,
        losses: Sequence[float] = (),
        weights_changed: bool = True,
        *,
        looks_first: bool = False,
    ) -> None:
        self.n_steps = 0
        self.losses = list(losses)  # the mean of every epoch
        self.weights_changed = weights_changed
        self.looks_first = looks_first
        self.knew = False  # the labels before the first step; only found out if it looks first
        self._hook: Any = None

    def begin(self, net: NeuralNet) -> None:
        """Note the weights, and count steps from here on."""
        self._before = weight_sums(net.module_)

        def count(optimizer: Any, args: Any, kwargs: Any) -> None:
            # That of accelerate holds the one that takes the steps.
            held = (getattr(value, "optimizer", value) for value in vars(net).values())
            self.n_steps += any(optimizer is value for value in held)

        # Of all optimisers: a callback may replace that of the net.
        self._hook = register_optimizer_step_post_hook(count)

    @staticmethod
    def explain(error: Exception, net: NeuralNet) -> None:
        """Raise what torch means if it finds nothing to learn."""
        module = plain_module(net.module_)
        if "only for scalar outputs" in str(error):
            raise ValueError(
                f"The loss of {type(net.criterion_).__name__} is not one number for a batch: pass "
                "criterion__reduction='mean', or average over the rows."
            ) from error
        if "does not require grad" not in str(error):
            return
        if not any(parameter.requires_grad for parameter in module.parameters()):
            raise ValueError(
                f"No weight of {type(module).__name__} can learn: requires_grad is False for all. "
                "Unfreeze a layer, or pass a record of the network as it is "
                "(TrainingRecord.from_checkpoints)."
            ) from error
        raise ValueError(
            f"The loss does not depend on the weights of {type(module).__name__}. Is there a "
            "no_grad or a detach in its forward, or in the criterion?"
        ) from error

    def end(self) -> None:
        """Count no more steps."""
        if self._hook is not None:
            self._hook.remove()

    def check(self, net: NeuralNet) -> None:
        """Raise if no step has run, and keep what the verdict is made of."""
        self.weights_changed = self._before != weight_sums(net.module_)
        batches = [epoch.get("batches", []) for epoch in net.history]
        if not self.n_steps and not self.weights_changed:
            raise ValueError(f"No optimiser step has run: {_why_no_step(net, batches)}.")
        for epoch in batches:
            rows = [(b["train_loss"], b["train_batch_size"]) for b in epoch if "train_loss" in b]
            if rows:
                losses, sizes = zip(*rows, strict=True)
                self.losses.append(float(np.average(losses, weights=sizes)))

    def verdict(self, net: NeuralNet, targets: NDArray[Any], n_classes: int | None) -> int:
        """Say what came of it: `LEARNED` unless all speaks against it; few epochs teach little."""
        if not self.weights_changed:
            return UNCHANGED
        n_epochs = len(self.losses)
        is_short = n_epochs < _FEW_EPOCHS
        first, *later = self.losses[0 if is_short else n_epochs // 2 :] or [0.0]
        least_fall = (_NOT_EVEN_FALLING if is_short else _STILL_FALLING) * abs(first)
        if not later or first - min(later) > least_fall:
            return LEARNED
        constant = _loss_of_constant(net, targets, n_classes)
        return CONSTANT if constant is not None and min(self.losses) >= constant else LEARNED


def _loss_of_constant(net: NeuralNet, targets: NDArray[Any], n_classes: int | None) -> float | None:
    """Return the net's loss if it returned the shares of the classes, or the mean, for every row.

    None where that is not comparable with a mean over batches, or the loss asks for more.
    """
    # A sampler of the user's may draw other shares of the classes than the targets have.
    draws_otherwise = rows_per_batch(net, len(targets)) is None
    if draws_otherwise or getattr(net.criterion_, "reduction", "mean") != "mean":
        return None
    head, device = head_of(net), module_device(net.module_)
    some = targets[
        np.linspace(0, len(targets) - 1, min(len(targets), _ROWS_OF_CONSTANT)).astype(int)
    ]
    if n_classes is None:
        outputs = torch.as_tensor(np.broadcast_to(targets.mean(axis=0), some.shape).copy())
    else:
        shares = torch.from_numpy(np.bincount(targets, minlength=n_classes) / len(targets))
        outputs = shares.clamp(min=1e-12).float().log()
        if head.name == "binary_logit":
            outputs = outputs[1:] - outputs[:1]
        if head.name == "probabilities":
            outputs = outputs.exp()
        outputs = outputs.expand(len(some), -1)
    outputs = outputs.to(device)
    with suppress(Exception), torch.no_grad():  # a loss of the user's that asks for more
        y = torch.as_tensor(like_outputs(some, net, outputs)).to(device)
        return float(net.get_loss(outputs, y))
    return None


def weight_sums(module: nn.Module) -> list[tuple[Any, ...]]:
    """Return a few numbers of every weight, by which a change is seen without a copy."""
    sums: list[tuple[Any, ...]] = []
    for name, parameter in plain_module(module).named_parameters():
        values = parameter.detach()
        values = torch.view_as_real(values) if values.is_complex() else values
        sums.append((name, values.shape, *(float(s) for s in _sums(values[None])[:, 0])))
    return sums


def _sums(values: torch.Tensor) -> torch.Tensor:
    """Return two sums (2, n) over all but the first axis."""
    flat = values.unsqueeze(-1).flatten(1)  # of a single number, too
    return torch.stack([flat.sum(1, dtype=torch.float64), flat.abs().sum(1, dtype=torch.float64)])


def member_sums(parameters: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the same of stacked parameters, (n_numbers, n_members)."""
    return torch.cat([_sums(values.detach()) for values in parameters.values()])


def _why_no_step(net: NeuralNet, batches: Sequence[Sequence[Any]]) -> str:
    """Return why a training had no step."""
    optimizers = [v for v in vars(net).values() if isinstance(v, torch.optim.Optimizer)]
    names = " or ".join(type(optimizer).__name__ for optimizer in optimizers)
    trained = [b for epoch in batches for b in epoch if "train_loss" in b]
    if trained:
        return (
            f"{names or 'the optimizer'} was not asked for one in {len(trained)} batches. Does the "
            "net's train_step wait for more batches than there are, or skip every one?"
        )
    if len(batches) < net.max_epochs:
        return (
            "a callback stopped the training in the first batch. Let it train, or leave the "
            "callback out"
        )
    return "the net's iterator_train yields no batch. Lower its batch_size, or look at its sampler"
