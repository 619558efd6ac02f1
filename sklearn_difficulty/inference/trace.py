# SPDX-License-Identifier: BSD-3-Clause
"""What a network computes in one forward pass: calls of modules, and sums of tensors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.overrides import TorchFunctionMode

from ..networks.forward import call_module, first_tensor, refuse_scripted
from ..rows.inputs import Inputs, copied, leaves, n_rows, take_rows
from ..rows.rows import Rows
from ..training.record import TrainingRecord
from .blocks import read_blocks

INPUT, OUTPUT = "input", "softmax"


_TRACED_ROWS = 3
_NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)


_ADDITIONS = {
    torch.add,
    torch.Tensor.add,
    torch.Tensor.add_,
    torch.Tensor.__add__,
    torch.Tensor.__radd__,
    torch.Tensor.__iadd__,
}
_SOFTMAX = {torch.softmax, torch.Tensor.softmax, nn.functional.softmax}


_ATTENTION = {
    nn.functional.multi_head_attention_forward,
    nn.functional.scaled_dot_product_attention,
}


@dataclass(frozen=True)
class Probe:
    """A site of the forward pass."""

    name: str  # what the user sees; unique in a network
    kind: Literal["input", "module", "sum", "output"]
    module: str = ""  # its dotted name
    call: int = 0  # of the module, which of its calls; of a sum, which of all sums


class SumCounter(TorchFunctionMode):
    """Reports every sum of two tensors that is computed inside the ``with`` block."""

    def __init__(
        self,
        on_sum: Callable[[int, Any, Any, torch.Tensor], None],
        on_call: Callable[[Any, list[Any]], None] | None = None,
    ) -> None:
        super().__init__()
        self._on_sum = on_sum  # number from 0, terms, and value, which may be written to later
        self._on_call = on_call  # any function of tensors, and its first two arguments
        self._count = 0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        operands = [*args, *kwargs.values()][:2]  # torch.add(x, other=y)
        if self._on_call is not None:
            self._on_call(func, operands)
        are_tensors = [isinstance(operand, torch.Tensor) for operand in operands]
        is_sum = func in _ADDITIONS and are_tensors == [True, True]
        result = func(*args, **kwargs)
        if is_sum:
            self._count += 1
            self._on_sum(self._count - 1, operands[0], operands[1], result)
        return result


class _Call(NamedTuple):
    """A call of a module in a forward pass."""

    name: str
    number: int


@dataclass(frozen=True)
class _Event:
    """One output of a module, or one sum, in the order of the forward pass."""

    probe: Probe
    module: nn.Module | None  # the one that returned; None for a sum
    inside: tuple[_Call, ...]  # the calls that were running, that of the network first
    shape: tuple[int, ...]  # of the value; () if it is no floating tensor with one entry per row

    @property
    def rank(self) -> int:
        """Number of axes of the value, 0 if it cannot be read."""
        return len(self.shape)


@dataclass
class Trace:
    """What a forward pass of a few rows did."""

    events: list[_Event] = field(default_factory=list)
    attends: bool = False
    embeds_tokens: bool = False
    input_shapes: tuple[tuple[int, ...], ...] = ()  # of every tensor that the network is given

    def outputs_of(self, *types: type[nn.Module]) -> list[_Event]:
        """Return the readable outputs of modules of some types, in order."""
        return [
            e
            for e in self.events
            if e.probe.kind == "module" and e.rank and isinstance(e.module, types)
        ]


def _shape(value: Any, n: int) -> tuple[int, ...]:
    """Return the shape of a floating tensor with one entry per row, () for anything else."""
    value = first_tensor(value)
    if value is None or not value.is_floating_point() or value.ndim < 2 or len(value) != n:
        return ()
    return tuple(value.shape)


def _numbered(name: str, number: int) -> str:
    """Return a name that is unique in the network, with the number of the call if needed."""
    # A module may have the name of the input or the output probe.
    return f"{name}#{number + 1}" if number or name in (INPUT, OUTPUT) else name


@contextmanager
def _tracing(module: nn.Module, n: int) -> Iterator[Trace]:
    """Record the calls and sums of the forward pass that is made inside the ``with`` block."""
    trace = Trace()
    names = {submodule: name for name, submodule in module.named_modules()}
    running: list[_Call] = []
    calls: Counter[str] = Counter()
    sums: Counter[str] = Counter()

    def enter(submodule: nn.Module, _args: Any) -> None:
        name = names[submodule]
        running.append(_Call(name, calls[name]))
        calls[name] += 1
        trace.attends |= isinstance(submodule, nn.MultiheadAttention)

    def leave(submodule: nn.Module, _args: Any, output: Any) -> None:
        name, number = running.pop()
        # The network itself has no name: it may be a single layer.
        probe = Probe(_numbered(name or type(submodule).__name__, number), "module", name, number)
        trace.events.append(_Event(probe, submodule, tuple(running), _shape(output, n)))

    def on_sum(number: int, left: Any, right: Any, value: torch.Tensor) -> None:
        terms = (left, right)
        is_parameter = any(isinstance(term, nn.Parameter) for term in terms)
        if is_parameter or left.shape != right.shape or not all(_shape(t, n) for t in terms):
            return
        owner = running[-1].name
        probe = Probe(_numbered(f"{owner}.sum".lstrip("."), sums[owner]), "sum", call=number)
        sums[owner] += 1
        trace.events.append(_Event(probe, None, tuple(running), _shape(value, n)))

    def on_call(func: Any, operands: list[Any]) -> None:
        normalizes_scores = func in _SOFTMAX and getattr(operands[0], "ndim", 0) > 2
        trace.attends |= normalizes_scores or func in _ATTENTION

    with ExitStack() as stack:
        for submodule in names:
            stack.callback(submodule.register_forward_pre_hook(enter).remove)
            stack.callback(submodule.register_forward_hook(leave).remove)
        stack.enter_context(SumCounter(on_sum, on_call))
        yield trace


def trace_forward(record: TrainingRecord, X: Rows) -> Trace:
    """Return what a forward pass of the first rows does, in eval mode."""
    refuse_scripted(record.module, "its layers are read by hooks")

    def reading(inputs: Inputs, _labels: Any) -> Trace:
        few = copied(take_rows(inputs, slice(0, _TRACED_ROWS)))
        with torch.no_grad(), _tracing(record.module, n_rows(few)) as trace:
            call_module(record.module, few)
        trace.embeds_tokens = not any(t.is_floating_point() for t in leaves(few))
        trace.input_shapes = tuple(tuple(t.shape) for t in leaves(few))
        return trace

    rows = X.take(slice(_TRACED_ROWS))
    codes = np.zeros(len(rows), dtype=np.int64)
    [trace] = read_blocks(record, rows, codes, reading, lambda block: block.result, batch_size=16)
    return trace
