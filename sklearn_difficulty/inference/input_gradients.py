# SPDX-License-Identifier: BSD-3-Clause
"""Gradients at a network's input, and their running variance over checkpoints.

The order of the work: blocks of rows outside, checkpoints inside, so that the state of a block is
one running mean (and, where the formula needs it, one running sum of squares) whatever the number
of checkpoints. A block costs one forward and one backward pass per checkpoint. The formulas stand
in NumPy in `measures.gradients`, which is the reference; a test holds the two together.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.func import functional_call

from .._progress import SILENT, Task
from ..networks.forward import State, predictions_of, refuse_scripted
from ..networks.heads import at_least_single
from ..networks.small import StandardizedNetwork
from ..rows.inputs import Inputs, as_arguments, copied, map_inputs
from ..rows.rows import Rows
from ..training.checkpoints import Checkpoint
from ..training.record import TrainingRecord
from .blocks import Block, DeviceStates, read_blocks
from .objectives import target_function, undefined_rows


class RunningVariance:
    """Welford's mean and variance of gradients, checkpoint by checkpoint, on the device."""

    def __init__(self, *, per_element: bool) -> None:
        self.per_element = per_element  # a second moment per input, else their sum per row
        self.count = 0
        self._mean: torch.Tensor
        self._squares: torch.Tensor  # summed squared deviations from the mean
        self._magnitude: torch.Tensor  # summed absolute values, one number a row
        self._undefined: Any = False  # rows (n,) of which some output has no gradient to speak of

    def update(self, gradient: torch.Tensor, undefined: torch.Tensor | bool = False) -> None:
        """Take in the gradients (n, ...) at the next checkpoint; the tensor is overwritten."""
        self.count += 1
        self._undefined = self._undefined | undefined
        flat = gradient.reshape(len(gradient), -1)
        magnitude = flat.abs().sum(dim=1)  # half the time of the norm of order 1
        if self.count == 1:
            self._mean, self._magnitude = gradient, magnitude
            self._squares = torch.zeros_like(gradient if self.per_element else magnitude)
            return
        self._magnitude += magnitude
        delta = gradient.sub_(self._mean)
        self._mean.add_(delta, alpha=1 / self.count)
        weight = 1 - 1 / self.count
        if self.per_element:
            self._squares.addcmul_(delta, delta, value=weight)
        else:
            self._squares.add_(torch.linalg.vector_norm(flat, dim=1).square_(), alpha=weight)

    def in_order(self, order: torch.Tensor) -> RunningVariance:
        """Return the same of rows in another order."""
        ordered = copy.copy(self)
        for name, values in vars(self).items():
            if isinstance(values, torch.Tensor):
                setattr(ordered, name, values[order.to(values.device)])
        return ordered

    @property
    def _n_inputs(self) -> int:
        """Number of inputs of a row, after channels are averaged."""
        return max(1, self._mean[0].numel())

    def variance_of_gradients(self, formula: str) -> torch.Tensor:
        """Return the score (n,); the formulas are those of `measures.variance_of_gradients`."""
        k = self.count
        squares = self._squares.reshape(len(self._squares), -1)
        if formula == "rms":
            scores = (squares.sum(dim=1) / (k * self._n_inputs)).sqrt()
        elif formula == "mean_std":
            scores = (squares / k).sqrt().mean(dim=1)
        else:
            scores = (squares / k**0.5).mean(dim=1)
        if self._undefined is False:
            return scores
        # Rows whose outputs are NaN may have a gradient of 0: that of a constant put there.
        return scores.masked_fill(self._undefined, torch.nan)

    def magnitude(self) -> torch.Tensor:
        """Return the mean absolute gradient (n,)."""
        return self._magnitude / (self.count * self._n_inputs)

    def standard_deviation(self) -> torch.Tensor:
        """Return the standard deviation over checkpoints of every input, (n, ...)."""
        return (self._squares / self.count).sqrt()


class GradientReader:
    """Reads the gradient of a target at a site of a record's module, checkpoint by checkpoint."""

    def __init__(
        self,
        record: TrainingRecord,
        checkpoints: Sequence[Checkpoint],
        *,
        target: str,
        channel_mean: bool,
        wrt: str | None,
    ) -> None:
        self.record = record
        self.channel_mean = channel_mean
        self._function = target_function(record, target)
        self._site = GradientSite(record, wrt)
        self._states = DeviceStates(record.module, checkpoints)

    def moments(
        self, inputs: Inputs, labels: torch.Tensor | None, *, per_element: bool
    ) -> RunningVariance:
        """Return the running variance over all checkpoints for one block of rows."""
        variance = RunningVariance(per_element=per_element)
        for state in self._states:
            variance.update(*self._backward(state, inputs, labels))
        return variance

    def _backward(
        self, state: State, inputs: Inputs, labels: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the gradient (n, ...) of the target in one state, and the undefined rows (n,)."""
        outputs, leaves = self._site.forward(state, inputs)
        with torch.enable_grad():
            total = self._function(outputs, labels).sum()
        gradients = torch.autograd.grad(total, leaves, materialize_grads=True)
        return self._reduce(gradients), undefined_rows(outputs)

    def _reduce(self, gradients: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return one tensor (n, ...) that nothing else refers to."""
        parts = [at_least_single(g) for g in gradients]
        if self.channel_mean:
            parts = [g.mean(dim=1) if g.ndim >= 4 else g for g in parts]
        if len(parts) > 1:
            return torch.cat([g.reshape(len(g), -1) for g in parts], dim=1)
        return parts[0].contiguous()


class GradientStatistics(NamedTuple):
    """What `gradient_variance` returns, one number per row, float64."""

    variance: NDArray[np.float64]
    magnitude: NDArray[np.float64]
    labels: NDArray[np.int64] | None


def gradient_variance(
    reader: GradientReader,
    X: Rows,
    labels: NDArray[Any] | None,
    *,
    formula: str,
    batch_size: int,
    progress: Task = SILENT,
) -> GradientStatistics:
    """Return variance and mean absolute value of gradients, (n,) each; NaN where not finite."""

    def moments(inputs: Inputs, block_labels: torch.Tensor | None) -> RunningVariance:
        return reader.moments(inputs, block_labels, per_element=formula != "rms")

    variances, magnitudes, used = [], [], []
    if X.differing() is not None:
        batch_size = 1  # the longest row of a batch would decide how many inputs the others have

    def keep(block: Block) -> None:
        n, block_labels, running = block
        variances.append(running.variance_of_gradients(formula)[:n].double().cpu())
        magnitudes.append(running.magnitude()[:n].double().cpu())
        if block_labels is not None:
            used.append(block_labels[:n].cpu())

    read_blocks(reader.record, X, labels, moments, keep, batch_size=batch_size, progress=progress)
    variance = torch.cat(variances).numpy()
    variance[~np.isfinite(variance)] = np.nan
    codes = torch.cat(used).numpy() if used else None
    return GradientStatistics(variance, torch.cat(magnitudes).numpy(), codes)


def gradient_maps(
    reader: GradientReader, X: Rows, labels: NDArray[Any] | None, *, batch_size: int
) -> NDArray[np.float32]:
    """Return the standard deviation over checkpoints of every input's gradient, (n, ...)."""

    def moments(inputs: Inputs, block_labels: torch.Tensor | None) -> RunningVariance:
        return reader.moments(inputs, block_labels, per_element=True)

    def keep(block: Block) -> torch.Tensor:
        return block.result.standard_deviation()[: block.n].float().cpu()

    maps = read_blocks(reader.record, X, labels, moments, keep, batch_size=batch_size)
    return torch.cat(maps).numpy()


class GradientSite:
    """Where a module is differentiated: at its input (standardised) or a submodule's output."""

    def __init__(self, record: TrainingRecord, wrt: str | None) -> None:
        if wrt is None and isinstance(record.module, StandardizedNetwork):
            wrt = "standardize"
        refuse_scripted(record.module, "its gradients are read with weights put into it")
        self._module = record.module
        self._wrt = wrt
        self._submodule = None if wrt is None else _submodule(self._module, wrt)
        self._shields_leaves = False

    def forward(self, state: State, inputs: Inputs) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return the outputs for a block, and the leaves (n, ...) at the site they depend on."""
        try:
            return self._forward(state, inputs)
        except RuntimeError as error:
            if self._shields_leaves or "in-place" not in str(error):
                raise
        # The module writes to what it is given, which torch forbids for leaves: pass copies on.
        self._shields_leaves = True
        return self._forward(state, inputs)

    def _forward(self, state: State, inputs: Inputs) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Run the module with leaves put in at the site, by a hook if it is a submodule."""
        leaves: list[torch.Tensor] = []

        def as_leaf(tensor: torch.Tensor) -> torch.Tensor:
            if not tensor.is_floating_point():
                return tensor.clone()  # the next pass reads it again
            leaf = tensor.detach().requires_grad_()
            leaves.append(leaf)
            return leaf.clone() if self._shields_leaves else leaf

        def at_site(_module: nn.Module, _args: Any, output: Any) -> torch.Tensor:
            if not isinstance(output, torch.Tensor) or not output.is_floating_point():
                raise ValueError(
                    f"wrt={self._wrt!r} returns {type(output).__name__}, not one floating tensor; "
                    "name a module that does."
                )
            return as_leaf(output)

        with torch.enable_grad(), ExitStack() as stack:
            if self._submodule is not None:
                stack.callback(self._submodule.register_forward_hook(at_site).remove)
                # No leaf, so nothing would stop the module from writing to it.
                inputs = copied(inputs)
            else:
                inputs = map_inputs(as_leaf, inputs)
            outputs = predictions_of(functional_call(self._module, state, *as_arguments(inputs)))
        if self._submodule is not None and len(leaves) != 1:
            raise ValueError(
                f"wrt={self._wrt!r} is called {len(leaves)} times in a forward pass; the "
                "gradient is defined for a module that is called once."
            )
        if not leaves:
            raise ValueError(
                "The rows hold integers, which have no gradient. Name the module that embeds "
                "them, e.g. wrt='embedding', or pass floats if they are measurements."
            )
        if not outputs.requires_grad:
            raise ValueError(
                f"The output does not depend on {self._wrt or 'the input'} in a way that can "
                "be differentiated. Is there a no_grad or a detach in forward? Name a module "
                "behind it with wrt."
            )
        return outputs, leaves


def _submodule(module: nn.Module, name: str) -> nn.Module:
    """Return the submodule of a name, or say which there are."""
    submodules = {n: submodule for n, submodule in module.named_modules() if n}
    if name not in submodules:
        raise ValueError(f"wrt={name!r} names no submodule; there are {list(submodules)}.")
    return submodules[name]
