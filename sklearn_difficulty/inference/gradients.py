# SPDX-License-Identifier: BSD-3-Clause
"""Gradients at a network's input, and their running variance over checkpoints.

The order of the work: blocks of rows outside, checkpoints inside, so that the state of a block is
one running mean (and, where the formula needs it, one running sum of squares) whatever the number
of checkpoints. A block costs one forward and one backward pass per checkpoint; parameters are
passed in by `functional_call` without requiring gradients, so that no weight gradient is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn import get_config
from torch import nn
from torch.func import functional_call

from ..progress import SILENT, Task
from ..training.checkpoints import Checkpoint
from ..training.fitting import isolated_rng
from ..training.network import (
    call_module,
    collate_fn,
    evaluation_mode,
    first_output,
    module_device,
    module_dtype,
)
from ..training.record import TrainingRecord
from ..training.rows import Inputs, Rows, is_dataset, iter_blocks, n_rows
from .targets import predicted_codes, target_function

State = dict[str, torch.Tensor]
_ROW_MULTIPLE = 16
_BLOCK_BYTES = 2**26  # of input; activations of a convolutional net are some ten times that


# ------------------------------------------------------------------------------ running variance


class RunningVariance:
    """Welford's mean and variance of a sequence of gradients, one per checkpoint, on the device.

    Parameters
    ----------
    per_element : bool
        Keep a second moment for every input. False keeps one number a row, exactly the sum of
        the others.
    """

    def __init__(self, *, per_element: bool) -> None:
        self.per_element = per_element
        self.count = 0
        self._mean: torch.Tensor
        self._squares: torch.Tensor
        self._magnitude: torch.Tensor

    def update(self, gradient: torch.Tensor) -> None:
        """Take in the gradients (n, ...) at the next checkpoint; the tensor is overwritten."""
        self.count += 1
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

    def variance_of_gradients(self, formula: str) -> torch.Tensor:
        """Return the score (n,); the formulas are those of `measures.variance_of_gradients`."""
        k = self.count
        n_inputs = max(1, self._mean[0].numel())
        if formula == "rms":
            squares = self._squares.reshape(len(self._squares), -1).sum(dim=1)
            return (squares / (k * n_inputs)).sqrt()
        squares = self._squares.reshape(len(self._squares), -1)
        if formula == "mean_std":
            return (squares / k).sqrt().mean(dim=1)
        return (squares / k**0.5).mean(dim=1)

    def magnitude(self) -> torch.Tensor:
        """Return the mean absolute gradient (n,)."""
        return self._magnitude / (self.count * max(1, self._mean[0].numel()))

    def standard_deviation(self) -> torch.Tensor:
        """Return the standard deviation over checkpoints of every input, (n, ...)."""
        return (self._squares / self.count).sqrt()


# -------------------------------------------------------------------- one backward pass per state


class GradientReader:
    """Reads the gradient of a target at a site of a record's module, at given checkpoints.

    Parameters
    ----------
    record : TrainingRecord
        The network. Its module is put in eval mode by `open` and is otherwise left alone.
    checkpoints : sequence of Checkpoint
        Read in this order.
    target : {"logit", "probability", "loss"}
        What is differentiated.
    channel_mean : bool
        Average gradients of rank 4 or more over axis 1, the channels.
    wrt : str or None
        Name of the submodule at whose output the gradient is taken; None for the input.
    """

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
        self.module = record.module
        self.device = module_device(self.module)
        self.channel_mean = channel_mean
        self._function = target_function(record, target)
        self._site = None if wrt is None else _submodule(self.module, wrt)
        self._wrt = wrt
        self._shields_leaves = False
        self._states = _DeviceStates(self.module, checkpoints, self.device)
        _refuse_batch_statistics(self.module)

    @contextmanager
    def open(self) -> Iterator[GradientReader]:
        """Hold the module in eval mode, and whatever else scoring needs, for a ``with`` block."""
        with ExitStack() as stack:
            stack.enter_context(evaluation_mode(self.module))
            stack.enter_context(isolated_rng())  # a forward pass may draw, a Dataset's items too
            has_rnn = any(isinstance(m, nn.RNNBase) for m in self.module.modules())
            if has_rnn and self.device.type == "cuda":
                # cuDNN has no backward pass for recurrent layers in eval mode.
                stack.enter_context(torch.backends.cudnn.flags(enabled=False))
            yield self

    def moments(
        self, inputs: Inputs, labels: torch.Tensor | None, *, per_element: bool
    ) -> RunningVariance:
        """Return the running variance over all checkpoints for one block of rows."""
        variance = RunningVariance(per_element=per_element)
        for state in self._states:
            variance.update(self._gradient(state, inputs, labels))
        return variance

    def _gradient(self, state: State, inputs: Inputs, labels: torch.Tensor | None) -> torch.Tensor:
        try:
            return self._backward(state, inputs, labels)
        except RuntimeError as error:
            if self._shields_leaves or "in-place" not in str(error):
                raise
        # The module writes to what it is given, which torch forbids for leaves: pass copies on.
        self._shields_leaves = True
        return self._backward(state, inputs, labels)

    def _backward(self, state: State, inputs: Inputs, labels: torch.Tensor | None) -> torch.Tensor:
        leaves: list[torch.Tensor] = []

        def as_leaf(tensor: torch.Tensor) -> torch.Tensor:
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
            if self._site is None:
                inputs = _map_floats(inputs, as_leaf)
            else:
                stack.callback(self._site.register_forward_hook(at_site).remove)
            args, kwargs = ((), inputs) if isinstance(inputs, dict) else ((inputs,), None)
            outputs = first_output(functional_call(self.module, state, args, kwargs))
            if self._site is not None and len(leaves) != 1:
                raise ValueError(
                    f"wrt={self._wrt!r} is called {len(leaves)} times in a forward pass; the "
                    "gradient is defined for a module that is called once."
                )
            if not leaves:
                raise ValueError(
                    "The rows hold integers, which have no gradient. Name the module that embeds "
                    "them, e.g. wrt='embedding', or pass floats if they are measurements."
                )
            gradients = torch.autograd.grad(
                self._function(outputs, labels).sum(), leaves, materialize_grads=True
            )
        return self._reduce(gradients)

    def _reduce(self, gradients: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return one tensor (n, ...) that nothing else refers to."""
        parts = [g.float() if g.dtype in (torch.float16, torch.bfloat16) else g for g in gradients]
        if self.channel_mean:
            parts = [g.mean(dim=1) if g.ndim >= 4 else g for g in parts]
        if len(parts) > 1:
            return torch.cat([g.reshape(len(g), -1) for g in parts], dim=1)
        return parts[0].contiguous()


class _DeviceStates:
    """The checkpoints as states on the device: all at once if they fit, else one at a time."""

    def __init__(
        self, module: nn.Module, checkpoints: Sequence[Checkpoint], device: torch.device
    ) -> None:
        self._checkpoints = checkpoints
        self._device = device
        # Tied tensors have one name here; functional_call refuses two values for one tensor.
        self._names = {name for name, _ in module.named_parameters()}
        self._names |= {name for name, _ in module.named_buffers()}
        self._resident: list[State] | None = None
        n_bytes = sum(t.nbytes for t in (*module.parameters(), *module.buffers()))
        if n_bytes * len(checkpoints) <= get_config()["working_memory"] * 2**20:
            self._resident = [self._load(checkpoint) for checkpoint in checkpoints]

    def _load(self, checkpoint: Checkpoint) -> State:
        return {
            name: tensor.to(self._device)
            for name, tensor in checkpoint.state_dict().items()
            if name in self._names
        }

    def __iter__(self) -> Iterator[State]:
        if self._resident is not None:
            return iter(self._resident)
        return (self._load(checkpoint) for checkpoint in self._checkpoints)


def _map_floats(inputs: Inputs, function: Callable[[torch.Tensor], torch.Tensor]) -> Inputs:
    if isinstance(inputs, dict):
        return {k: function(v) if v.is_floating_point() else v for k, v in inputs.items()}
    return function(inputs) if inputs.is_floating_point() else inputs


def _submodule(module: nn.Module, name: str) -> nn.Module:
    found = dict(module.named_modules()).get(name) if name else None
    if found is None:
        names = [n for n, _ in module.named_modules() if n]
        raise ValueError(f"wrt={name!r} names no submodule; there are {names}.")
    return found


def _refuse_batch_statistics(module: nn.Module) -> None:
    for name, submodule in module.named_modules():
        is_batch_norm = isinstance(submodule, nn.modules.batchnorm._BatchNorm)
        if is_batch_norm and not submodule.track_running_stats:
            raise ValueError(
                f"The layer {name!r} normalises by the statistics of the batch in eval mode too "
                "(track_running_stats=False), so a row's score would depend on the other rows."
            )


# ------------------------------------------------------------------------------ the public verbs


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
    """Return the variance of gradients and the mean absolute gradient of every row.

    Parameters
    ----------
    reader : GradientReader
        What is differentiated, where, and at which checkpoints.
    X : ndarray, dict of ndarrays or Dataset
        The rows, in order.
    labels : ndarray or None
        Label codes (n,), or regression targets; None takes the final network's prediction.
    formula : {"rms", "mean_std", "cvpr"}
        As in `measures.variance_of_gradients`.
    batch_size : int
        Rows a block, at most.
    progress : Task
        Gets one subtask per block.

    Returns
    -------
    statistics : GradientStatistics
        NaN where a gradient is not finite; `labels` are the codes that were used.
    """
    variances, magnitudes, used = [], [], []
    per_element = formula != "rms"
    for n, block_labels, moments in _blocks(
        reader, X, labels, batch_size, per_element=per_element, progress=progress
    ):
        variances.append(moments.variance_of_gradients(formula)[:n].double().cpu())
        magnitudes.append(moments.magnitude()[:n].double().cpu())
        if block_labels is not None:
            used.append(block_labels[:n].cpu())
    variance = torch.cat(variances).numpy()
    variance[~np.isfinite(variance)] = np.nan
    codes = torch.cat(used).numpy() if used else None
    return GradientStatistics(variance, torch.cat(magnitudes).numpy(), codes)


def gradient_maps(
    reader: GradientReader, X: Rows, labels: NDArray[Any] | None, *, batch_size: int
) -> NDArray[np.float32]:
    """Return the standard deviation over checkpoints of every input's gradient, (n, ...)."""
    maps = [
        moments.standard_deviation()[:n].float().cpu()
        for n, _, moments in _blocks(reader, X, labels, batch_size, per_element=True)
    ]
    return torch.cat(maps).numpy()


Block = tuple[int, torch.Tensor | None, RunningVariance]  # rows that count, labels, moments


def _blocks(
    reader: GradientReader,
    X: Rows,
    labels: NDArray[Any] | None,
    batch_size: int,
    *,
    per_element: bool,
    progress: Task = SILENT,
) -> Iterator[Block]:
    """Run the reader over the rows, in order, block by block."""
    block_size = _block_size(X, batch_size)
    all_labels = None if labels is None else torch.from_numpy(np.ascontiguousarray(labels))
    blocks = iter_blocks(
        X,
        block_size,
        dtype=module_dtype(reader.module),
        device=reader.device,
        collate_fn=collate_fn(reader.record.net),
    )
    with reader.open(), progress.subtask("score", -(-n_rows(X) // block_size)) as scoring:
        for rows, inputs in blocks:
            block_labels = None if all_labels is None else all_labels[rows].to(reader.device)
            with scoring.subtask("block"):
                yield from _halving(reader, inputs, block_labels, per_element)


def _halving(
    reader: GradientReader, inputs: Inputs, labels: torch.Tensor | None, per_element: bool
) -> Iterator[Block]:
    """Read a block, in halves if it exceeds CUDA's memory."""
    n = n_rows(inputs)
    try:
        # The matrix products of a few rows round otherwise than those of many; padded to a
        # multiple, a row's score does not depend on how many rows came with it.
        padded = torch.arange(-(-n // _ROW_MULTIPLE) * _ROW_MULTIPLE, device=reader.device) % n
        block, block_labels = inputs, labels
        if len(padded) > n:
            block = _take(inputs, padded)
            block_labels = None if labels is None else labels[padded]
        if block_labels is None:
            with torch.no_grad():
                outputs = call_module(reader.module, block)
                block_labels = predicted_codes(outputs, reader.record.outputs)
        result = n, block_labels, reader.moments(block, block_labels, per_element=per_element)
    except torch.cuda.OutOfMemoryError:
        if n == 1:
            raise
        result = None
    if result is not None:
        yield result
        return
    torch.cuda.empty_cache()  # outside the handler, whose traceback holds the tensors
    for half in (slice(0, n // 2), slice(n // 2, n)):
        part_labels = None if labels is None else labels[half]
        yield from _halving(reader, _take(inputs, half), part_labels, per_element)


def _take(inputs: Inputs, rows: Any) -> Inputs:
    if isinstance(inputs, dict):
        return {name: value[rows] for name, value in inputs.items()}
    return inputs[rows]


def _block_size(X: Rows, batch_size: int) -> int:
    if is_dataset(X):
        return batch_size
    arrays = list(X.values()) if isinstance(X, dict) else [X]
    row_bytes = sum(array[:1].nbytes for array in arrays)
    return max(1, min(batch_size, _BLOCK_BYTES // max(1, row_bytes)))
