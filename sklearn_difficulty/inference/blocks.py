# SPDX-License-Identifier: BSD-3-Clause
"""Rows read block by block by a module in eval mode, and checkpoints as states on its device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn import get_config
from torch import nn

from .._progress import SILENT, Task
from .._randomness import isolated_rng
from .._warnings import located
from ..networks.forward import (
    State,
    call_module,
    check_predictions,
    copied,
    evaluation_mode,
    module_device,
    module_dtype,
    refuse_scripted,
    token_errors_named,
)
from ..rows.collation import rows_in_order
from ..rows.inputs import Inputs, map_inputs, n_rows, take_rows
from ..rows.rows import Rows
from ..training.checkpoints import Checkpoint
from ..training.record import TrainingRecord

Result = TypeVar("Result")
Kept = TypeVar("Kept")
Reading = Callable[[Inputs, torch.Tensor | None], Result]

_ROWS_AT_ONCE = 2**16  # of more, what is computed on the way to a score could fill the memory
_ROW_MULTIPLE = 16  # blocks are padded to a multiple of so many rows, see `_read`
_CUDA_BLOCK_BYTES = 2**26  # of inputs in a block, at most; also on a CPU but for images

# Activations of a convolutional net are some tens of times its input; past the caches, and past
# the size that malloc hands out again without asking the system, a CPU takes twice as long.
_CPU_IMAGE_BLOCK_BYTES = 2**19


def parts_of(n: int) -> Iterator[slice]:
    """Yield slices of n rows, each of as many as are read at once, in order."""
    return (slice(i, min(i + _ROWS_AT_ONCE, n)) for i in range(0, n, _ROWS_AT_ONCE))


class Block(NamedTuple):
    """The reading of one block; tensors may have further, padded rows."""

    n: int
    labels: torch.Tensor | None
    result: Any


def read_blocks(
    record: TrainingRecord,
    X: Rows,
    labels: NDArray[Any] | None,
    reading: Reading[Result],
    keep: Callable[[Block], Kept],
    *,
    batch_size: int,
    progress: Task = SILENT,
) -> list[Kept]:
    """Return what `keep` makes of the reading of every block of rows, in order.

    `reading` maps inputs and labels, both on the device, to anything that holds one entry per row.
    Labels are codes (n,) or targets; None takes the final network's prediction, or None for a
    regressor. No module can write to X: rows are copied block by block.
    """
    module, device = record.module, module_device(record.module)
    block_size = rows_per_block(X, batch_size, device)
    kept: list[Kept] = []
    all_labels = None if labels is None else torch.from_numpy(np.ascontiguousarray(labels))
    blocks = X.blocks(block_size, dtype=module_dtype(module), device=device)
    # The same seed for every reading: also a network that draws, or a Dataset of random items,
    # gives a row the same score twice.
    with isolated_rng(0, device), _reading_mode(module, device):
        with progress.subtask("score", -(-len(X) // block_size)) as scoring:
            start = 0
            for rows, inputs in blocks:
                if start == 0:
                    _check_first_rows(record, inputs)
                block_labels = None if all_labels is None else all_labels[rows].to(device)
                end = start + n_rows(inputs)
                with scoring.subtask("block"), located(f"in rows {start} to {end - 1}"):
                    multiple = min(_ROW_MULTIPLE, block_size)
                    halves = _read(record, rows, inputs, block_labels, reading, multiple)
                    kept.extend(keep(block) for block in halves)
                start = end
    return kept


@contextmanager
def _reading_mode(module: nn.Module, device: torch.device) -> Iterator[None]:
    """Put a module in eval mode, without cuDNN where that has no backward pass.

    A tensor that the module keeps of a pass is given up afterwards: it may be no more than a part
    of a gradient's computation, and the next reader would find another module.
    """
    kept = {part: dict(vars(part)) for part in module.modules()}
    with ExitStack() as stack:
        stack.callback(_put_back, kept)
        stack.enter_context(evaluation_mode(module))
        if device.type == "cuda" and any(isinstance(m, nn.RNNBase) for m in module.modules()):
            # cuDNN has no backward pass for recurrent layers in eval mode.
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        if any(_is_compiled(part) for part in module.modules()):
            # torch.compile cannot follow hooks; what it wraps is called as it is.
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        yield


def _is_compiled(module: nn.Module) -> bool:
    """Tell whether a module is wrapped by torch.compile, or compiled in place."""
    return hasattr(module, "_orig_mod") or module._compiled_call_impl is not None


def _put_back(attributes: dict[nn.Module, dict[str, Any]]) -> None:
    """Give modules back what they had before in place of tensors that they keep now."""
    for part, before in attributes.items():
        kept = [name for name, value in vars(part).items() if isinstance(value, torch.Tensor)]
        for name in kept:
            if name in before:
                vars(part)[name] = before[name]
            else:
                del vars(part)[name]


def _check_first_rows(record: TrainingRecord, inputs: Inputs) -> None:
    """Compare what the module returns with what the record says, before anything is computed."""
    _refuse_batch_statistics(record.module)
    name, few = type(record.module).__name__, take_rows(copied(inputs), slice(0, 2))
    with torch.no_grad():
        outputs = call_module(record.module, few)
    check_predictions(outputs, n_rows(few), name)
    if record.classes_ is not None:
        record.head.check(outputs, len(record.classes_), name)


def _refuse_batch_statistics(module: nn.Module) -> None:
    """Raise for a norm by which a row's score would depend on the other rows."""
    for name, submodule in module.named_modules():
        is_batch_norm = isinstance(submodule, nn.modules.batchnorm._BatchNorm)
        if is_batch_norm and not submodule.track_running_stats:
            raise ValueError(
                f"The layer {name!r} normalises by the statistics of the batch in eval mode too "
                "(track_running_stats=False), so a row's score would depend on the other rows."
            )


def _read(
    record: TrainingRecord,
    rows: slice | NDArray[np.int64],
    inputs: Inputs,
    labels: torch.Tensor | None,
    reading: Reading[Result],
    multiple: int,
) -> Iterator[Block]:
    """Read a block, in halves if it exceeds CUDA's memory."""
    n = n_rows(inputs)
    try:
        # The matrix products of a few rows round otherwise than those of many; padded to a
        # multiple, a row's score does not depend on how many rows came with it.
        # By the last row, since collate_fn may have sorted them.
        padded = torch.arange(-(-n // multiple) * multiple, device="cpu").clamp(max=n - 1)
        block, block_labels = inputs, labels
        if len(padded) > n:
            block = take_rows(inputs, padded)
            block_labels = None if labels is None else labels[padded]
        if block_labels is None:
            with torch.no_grad():
                block_labels = record.head.predicted(call_module(record.module, copied(block)))
        with token_errors_named(block):
            read = reading(block, block_labels)
        result = Block(n, rows_in_order(block_labels, rows), rows_in_order(read, rows))
    except torch.cuda.OutOfMemoryError:
        if n == multiple == 1:
            raise
        result = None
    if result is not None:
        yield result
        return
    torch.cuda.empty_cache()  # outside the handler, whose traceback holds the tensors
    if not isinstance(rows, slice):  # halves follow each other in order
        inputs = map_inputs(lambda values: rows_in_order(values, rows), inputs)
        labels = rows_in_order(labels, rows)
    # A single row is read again without its padding.
    for half in (slice(0, n // 2), slice(n // 2, n)) if n > 1 else (slice(0, 1),):
        part, part_labels = take_rows(inputs, half), None if labels is None else labels[half]
        multiple_of_half = min(multiple, max(1, n // 2))
        yield from _read(record, half, part, part_labels, reading, multiple_of_half)


def rows_per_block(X: Rows, batch_size: int, device: torch.device) -> int:
    """Return how many rows a block has: `batch_size`, or what fits the device's budget."""
    row_bytes = X.row_nbytes
    if row_bytes is None:
        return batch_size
    on_cpu = device.type == "cpu" and X.are_images
    budget = (_CPU_IMAGE_BLOCK_BYTES if on_cpu else _CUDA_BLOCK_BYTES) // max(1, row_bytes)
    return max(min(batch_size, _ROW_MULTIPLE), min(batch_size, budget))


class DeviceStates:
    """Checkpoints as states on a module's device: all at once if they fit, else one at a time."""

    def __init__(self, module: nn.Module, checkpoints: Sequence[Checkpoint]) -> None:
        refuse_scripted(module, "its checkpoints are read by putting their weights into it")
        self._checkpoints = checkpoints
        self._device = module_device(module)
        # Tied tensors have one name here; functional_call refuses two values for one tensor.
        self._names = {name for name, _ in module.named_parameters()}
        self._names |= {name for name, _ in module.named_buffers()}
        self._resident: list[State] | None = None
        n_bytes = sum(t.nbytes for t in (*module.parameters(), *module.buffers()))
        if n_bytes * len(checkpoints) <= get_config()["working_memory"] * 2**20:
            self._resident = [self._load(checkpoint) for checkpoint in checkpoints]

    def _load(self, checkpoint: Checkpoint) -> State:
        """Return the parameters and buffers of a checkpoint, on the device."""
        return {
            name: tensor.to(self._device)
            for name, tensor in checkpoint.state_dict().items()
            if name in self._names
        }

    def __iter__(self) -> Iterator[State]:
        if self._resident is not None:
            return iter(self._resident)
        return (self._load(checkpoint) for checkpoint in self._checkpoints)
