# SPDX-License-Identifier: BSD-3-Clause
"""Where a network is probed: the sites of a forward pass, and which of them to read.

A trace of a few rows lists what a forward pass calls, in order: the outputs of modules, a module
that is called twice being listed twice, and the sums of two tensors, which is where a residual
block ends although no module's output may show it. The automatic rule chooses among these.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.overrides import TorchFunctionMode

from ..training.architectures import StandardizedNetwork
from ..training.network import call_module
from ..training.record import TrainingRecord
from ..training.rows import Inputs, Rows, n_rows, take_rows
from .blocks import copied, read_blocks

ProbeChoice = str | Sequence[str] | Callable[[str, nn.Module], bool]

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
    """A site of the forward pass.

    Parameters
    ----------
    name : str
        What the user sees; unique in a network.
    kind : {"input", "module", "sum", "output"}
        What is read: the input, what a module returns, a sum of two tensors, or the class
        probabilities.
    module : str, default=""
        For a module: its dotted name.
    call : int, default=0
        For a module: which of its calls in a forward pass; for a sum: which of all sums.
    """

    name: str
    kind: Literal["input", "module", "sum", "output"]
    module: str = ""
    call: int = 0


class SumCounter(TorchFunctionMode):
    """Reports every sum of two tensors that is computed inside the ``with`` block.

    Parameters
    ----------
    on_sum : callable
        Gets the number of the sum, counted from 0, its two terms and its value. The value may be
        written to later: whoever needs it must copy it at once.
    on_call : callable, default=None
        Gets every function that is called on tensors, and its first two arguments.
    """

    def __init__(
        self,
        on_sum: Callable[[int, Any, Any, torch.Tensor], None],
        on_call: Callable[[Any, list[Any]], None] | None = None,
    ) -> None:
        super().__init__()
        self._on_sum = on_sum
        self._on_call = on_call
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


# --------------------------------------------------------------------------------------- the trace


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
    rank: int  # of the value; 0 if it is no floating tensor with one entry per row


@dataclass
class Trace:
    """What a forward pass of a few rows did."""

    events: list[_Event] = field(default_factory=list)
    attends: bool = False
    embeds_tokens: bool = False

    def outputs_of(self, *types: type[nn.Module]) -> list[_Event]:
        """Return the readable outputs of modules of some types, in order."""
        return [
            e
            for e in self.events
            if e.probe.kind == "module" and e.rank and isinstance(e.module, types)
        ]


def _rank(value: Any, n: int) -> int:
    """Return the rank of a floating tensor with one entry per row, 0 for anything else."""
    value = value[0] if isinstance(value, (tuple, list)) and value else value
    is_floats = isinstance(value, torch.Tensor) and value.is_floating_point()
    return value.ndim if is_floats and value.ndim > 1 and len(value) == n else 0


def _numbered(name: str, number: int) -> str:
    # A module may be called as the input and the output probe are.
    return f"{name}#{number + 1}" if number or name in (INPUT, OUTPUT) else name


@contextmanager
def _tracing(module: nn.Module, n: int) -> Iterator[Trace]:
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
        trace.events.append(_Event(probe, submodule, tuple(running), _rank(output, n)))

    def on_sum(number: int, left: Any, right: Any, value: torch.Tensor) -> None:
        terms = (left, right)
        is_parameter = any(isinstance(term, nn.Parameter) for term in terms)
        if is_parameter or left.shape != right.shape or not all(_rank(t, n) for t in terms):
            return
        owner = running[-1].name
        probe = Probe(_numbered(f"{owner}.sum".lstrip("."), sums[owner]), "sum", call=number)
        sums[owner] += 1
        trace.events.append(_Event(probe, None, tuple(running), _rank(value, n)))

    def on_call(func: Any, operands: list[Any]) -> None:
        of_scores = func in _SOFTMAX and getattr(operands[0], "ndim", 0) > 2
        trace.attends |= of_scores or func in _ATTENTION

    with ExitStack() as stack:
        for submodule in names:
            stack.callback(submodule.register_forward_pre_hook(enter).remove)
            stack.callback(submodule.register_forward_hook(leave).remove)
        stack.enter_context(SumCounter(on_sum, on_call))
        yield trace


def trace_forward(record: TrainingRecord, X: Rows) -> Trace:
    """Return what a forward pass of the first rows does, in eval mode."""

    def reading(inputs: Inputs, _labels: Any) -> Trace:
        few = copied(take_rows(inputs, slice(0, _TRACED_ROWS)))
        tensors = few.values() if isinstance(few, dict) else [few]
        with torch.no_grad(), _tracing(record.module, n_rows(few)) as trace:
            call_module(record.module, few)
        trace.embeds_tokens = not any(t.is_floating_point() for t in tensors)
        return trace

    rows = take_rows(X, slice(0, _TRACED_ROWS))
    codes = np.zeros(n_rows(rows), dtype=np.int64)
    [block] = read_blocks(record, rows, codes, reading, batch_size=16)
    return block.result


# ---------------------------------------------------------------------------------------- the rule


def find_probes(
    record: TrainingRecord, X: Rows, choice: ProbeChoice = "auto", *, include_input: bool = True
) -> list[Probe]:
    """Return the probes of a record's network, the input first and the class probabilities last.

    Parameters
    ----------
    record : TrainingRecord
        The network, a classifier.
    X : ndarray, dict of ndarrays or Dataset
        Checked rows, of which the first few are passed through.
    choice : "auto", str, sequence of str, or callable
        The rule of `automatic_sites`; a regular expression that must match a module's whole name;
        the names of modules; or a function of the name and the module.
    include_input : bool, default=True
        Whether the input is probed.

    Returns
    -------
    probes : list of Probe
        In the order of the forward pass.

    Raises
    ------
    ValueError
        If nothing, or something that cannot be read, was chosen.
    """
    if record.outputs == "values":
        raise ValueError(
            "Probes predict classes, and this network is a regressor. Pass a classifier."
        )
    trace = trace_forward(record, X)
    is_auto = isinstance(choice, str) and choice == "auto"
    events = automatic_sites(trace) if is_auto else _chosen_sites(trace, record, choice)
    probes = [event.probe for event in events]
    if include_input:
        first = _input_probe(record, trace)
        probes = [first, *(p for p in probes if replace(p, name=INPUT) != first)]
    return [*probes, Probe(OUTPUT, "output")]


def _input_probe(record: TrainingRecord, trace: Trace) -> Probe:
    if isinstance(record.module, StandardizedNetwork):
        return Probe(INPUT, "module", "standardize")
    if not trace.embeds_tokens:
        return Probe(INPUT, "input")
    # Token ids are names: no distance between them means anything.
    embedded = trace.outputs_of(nn.Embedding)
    if not embedded:
        raise ValueError(
            "The rows hold integers. If they are measurements, pass X.astype('float32'); if they "
            "are ids, there is no distance between them, and no nn.Embedding to read in their "
            "place: pass include_input=False."
        )
    return Probe(INPUT, "module", embedded[0].probe.module, embedded[0].probe.call)


def automatic_sites(trace: Trace) -> list[_Event]:
    """Choose the sites that the paper's appendix A.5 names, by what the forward pass does.

    Parameters
    ----------
    trace : Trace
        Of a forward pass.

    Returns
    -------
    sites : list of _Event
        Attention and residual sums: the outputs of the blocks. Convolutions and residual sums: the
        first norm before the first block, and the sum that ends every block. Convolutions: their
        outputs. Else: the outputs of the linear layers. Values before the activation, always.

    Raises
    ------
    ValueError
        If there is nothing of the kind.
    """
    sums = [e for e in trace.events if e.probe.kind == "sum"]
    convolutions = trace.outputs_of(_ConvNd)
    # A convolutional network may attend too, to pool its last maps, say.
    is_convolutional = bool(convolutions) and any(e.rank > 3 for e in sums)
    if trace.attends and sums and not is_convolutional:
        return _block_outputs(trace, sums)
    sums_of_maps = [e for e in sums if e.rank > 2]
    if convolutions and sums_of_maps:
        return [*_stem(trace, sums_of_maps), *_block_sums(sums_of_maps)]
    sites = convolutions or trace.outputs_of(nn.Linear)
    if not sites:
        raise ValueError(
            "probes='auto' finds no linear layer and no convolution in the forward pass of this "
            f"network. Pass the names of the modules to read; there are {_readable(trace)}."
        )
    return sites


def _block_sums(sums: list[_Event]) -> list[_Event]:
    """Return the last sum in every call of a block.

    A module inside which other modules make sums, as the network itself, is not one block: each
    sum that it computes ends a block.
    """
    makers = {e.inside[-1] for e in sums}
    around = {call for e in sums for call in e.inside[:-1]} | {sums[0].inside[0]}
    last = {e.inside[-1]: e for e in sums if e.inside[-1] in makers - around}
    return [e for e in sums if last.get(e.inside[-1], e) is e]


def _stem(trace: Trace, sums: list[_Event]) -> list[_Event]:
    """Return the first norm before the first block, else the last convolution there."""
    network = sums[0].inside[0]
    blocks = {e.inside[-1] for e in sums} - {network}
    before = [
        e
        for e in trace.events[: trace.events.index(sums[0])]
        if e.rank > 2 and blocks.isdisjoint(e.inside)
    ]
    norms = [e for e in before if isinstance(e.module, _NORMS)]
    convolutions = [e for e in before if isinstance(e.module, _ConvNd)]
    return norms[:1] or convolutions[-1:]


def _block_outputs(trace: Trace, sums: list[_Event]) -> list[_Event]:
    """Return the outputs of the innermost items of module lists around the sums, else the sums."""
    sequentials = {e.probe.module for e in trace.events if isinstance(e.module, nn.Sequential)}

    def is_item(call: _Call) -> bool:
        parent, _, last = call.name.rpartition(".")
        return last.isdigit() or parent in sequentials - {""}

    around = [[call for call in e.inside if is_item(call)] for e in sums]
    blocks = {calls[-1] for calls in around if calls}
    outputs = [e for e in trace.events if e.rank and _Call(e.probe.module, e.probe.call) in blocks]
    return outputs or sums


def _chosen_sites(trace: Trace, record: TrainingRecord, choice: ProbeChoice) -> list[_Event]:
    """Return the outputs of the modules that the user chose, in the order of the forward pass."""
    called = [e for e in trace.events if e.probe.kind == "module" and e.probe.module]
    if callable(choice):
        chosen = [e for e in called if e.module and choice(e.probe.module, e.module)]
    elif isinstance(choice, str):
        try:
            chosen = [e for e in called if re.fullmatch(choice, e.probe.module)]
        except re.error as error:
            raise ValueError(
                f"probes={choice!r} is no regular expression ({error}); to name one module, pass "
                "a list."
            ) from error
    else:
        known = {e.probe.module for e in called}
        strangers = [name for name in choice if name not in known]
        if strangers:
            raise ValueError(
                f"probes names {strangers}, which the forward pass of "
                f"{type(record.module).__name__} does not call; it calls {_readable(trace)}."
            )
        chosen = [e for e in called if e.probe.module in set(choice)]
    unreadable = [e.probe.name for e in chosen if not e.rank]
    if unreadable:
        raise ValueError(
            f"probes chooses {unreadable}, whose output is no floating tensor with one entry per "
            "row along axis 0."
        )
    if not chosen:
        raise ValueError(
            f"probes={choice!r} chooses no module of the forward pass; it calls {_readable(trace)}."
        )
    return chosen


def _readable(trace: Trace) -> list[str]:
    events = (e for e in trace.events if e.probe.kind == "module" and e.rank and e.probe.module)
    return list(dict.fromkeys(e.probe.module for e in events))
