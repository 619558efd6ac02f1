# SPDX-License-Identifier: BSD-3-Clause
"""Where a network is probed: the sites of a forward pass, and which of them to read.

A trace of a few rows lists what a forward pass calls, in order: the outputs of modules, a module
that is called twice being listed twice, and the sums of two tensors, which is where a residual
block ends although no module's output may show it. The automatic rule chooses among these.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from torch import nn
from torch.nn.modules.conv import _ConvNd

from ..networks.small import StandardizedNetwork
from ..rows.rows import Rows, SparseRows
from ..training.record import TrainingRecord
from .trace import _NORMS, INPUT, OUTPUT, Probe, Trace, _Call, _Event, trace_forward

ProbeChoice = str | Sequence[str] | Callable[[str, nn.Module], bool]


def find_probes(
    record: TrainingRecord,
    X: Rows,
    choice: ProbeChoice = "auto",
    *,
    include_input: bool = True,
    of_regressor: bool = False,
) -> list[Probe]:
    """Return the probes of a classifier, the input first and the class probabilities last.

    Those of a regressor are before what it returns: there, neighbours are rows of one prediction.
    """
    if record.head.is_regression and not of_regressor:
        raise ValueError(
            "Probes predict classes, and this network is a regressor. Pass a classifier."
        )
    # A matrix is sparse since it would not fit the memory otherwise, nor would its embedding.
    include_input = include_input and not isinstance(X, SparseRows)
    trace = trace_forward(record, X)
    is_auto = isinstance(choice, str) and choice == "auto"
    events = automatic_sites(trace) if is_auto else chosen_sites(trace, record, choice)
    if of_regressor and is_auto:
        events = events[:-1]
    probes = [event.probe for event in events]
    if include_input:
        first = _input_probe(record, trace)
        probes = [first, *(p for p in probes if replace(p, name=INPUT) != first)]
    return probes if of_regressor else [*probes, Probe(OUTPUT, "output")]


def untrained_input(record: TrainingRecord, X: Rows) -> Probe | None:
    """Return what stands for the input, None of embedded tokens, which the training has moved.

    None of sparse rows, too, which are not embedded.
    """
    if isinstance(X, SparseRows):
        return None
    trace = trace_forward(record, X)
    return None if trace.embeds_tokens else _input_probe(record, trace)


def last_linear_layer(record: TrainingRecord, X: Rows) -> tuple[str, int] | None:
    """Return the name of the last linear layer of a forward pass and its inputs, None if none."""
    linear = trace_forward(record, X).outputs_of(nn.Linear)
    if not linear:
        return None
    layer: Any = linear[-1].module
    return linear[-1].probe.module, layer.in_features


def penultimate_probe(record: TrainingRecord, X: Rows) -> Probe:
    """Return what is computed just before the last linear layer: the features that it reads.

    Before the last module, if there is no linear layer; the input, if there is nothing before it.
    """
    trace = trace_forward(record, X)
    readable_events = [e for e in trace.events if e.rank]
    last = trace.outputs_of(nn.Linear)[-1:] or readable_events[-1:]
    before = readable_events[: readable_events.index(last[0])] if last else []
    return before[-1].probe if before else _input_probe(record, trace)


def _input_probe(record: TrainingRecord, trace: Trace) -> Probe:
    """Return what stands for the input: as it is, standardised, or embedded tokens."""
    if isinstance(record.module, StandardizedNetwork):
        return Probe(INPUT, "module", "standardize")
    if not trace.embeds_tokens:
        return Probe(INPUT, "input")
    # Token ids are names: no distance between them means anything.
    embedded = trace.outputs_of(nn.Embedding, nn.EmbeddingBag)
    if not embedded:
        raise ValueError(
            "The rows hold integers. If they are measurements, pass X.astype('float32'); if they "
            "are ids, there is no distance between them, and no nn.Embedding or nn.EmbeddingBag to "
            "read in their place. Neighbours can do without the input: include_input=False where a "
            "scorer has it, n_neighbors=None for LabelErrorScorer."
        )
    return Probe(INPUT, "module", embedded[0].probe.module, embedded[0].probe.call)


def automatic_sites(trace: Trace) -> list[_Event]:
    """Choose the sites that the paper's appendix A.5 names, by what the forward pass does.

    Attention and residual sums: the outputs of the blocks. Convolutions and residual sums: the
    first norm before the first block, and the sum that ends every block. Convolutions: their
    outputs. Else: the outputs of the linear layers. Values before the activation, always.
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
            f"network. Pass the names of the modules to read; there are {readable(trace)}."
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


def chosen_sites(
    trace: Trace, record: TrainingRecord, choice: ProbeChoice, *, parameter: str = "probes"
) -> list[_Event]:
    """Return the outputs of the modules that the user chose, in the order of the forward pass."""
    called = [e for e in trace.events if e.probe.kind == "module" and e.probe.module]
    if callable(choice):
        chosen = [e for e in called if e.module is not None and choice(e.probe.module, e.module)]
    elif isinstance(choice, str):
        try:
            chosen = [e for e in called if re.fullmatch(choice, e.probe.module)]
        except re.error as error:
            raise ValueError(
                f"{parameter}={choice!r} is no regular expression ({error}); to name one module, "
                "pass a list."
            ) from error
    else:
        known = {e.probe.module for e in called}
        unknown = [name for name in choice if name not in known]
        if unknown:
            raise ValueError(
                f"{parameter} names {unknown}, which the forward pass of "
                f"{type(record.module).__name__} does not call; it calls {readable(trace)}."
            )
        chosen = [e for e in called if e.probe.module in set(choice)]
    unreadable = [e.probe.name for e in chosen if not e.rank]
    if unreadable:
        raise ValueError(
            f"{parameter} chooses {unreadable}, whose output is no floating tensor with one entry "
            "per row along axis 0."
        )
    if not chosen:
        raise ValueError(
            f"{parameter}={choice!r} chooses no module of the forward pass; it calls "
            f"{readable(trace)}."
        )
    return chosen


def readable(trace: Trace) -> list[str]:
    """Return the names of the modules whose outputs can be read."""
    events = (e for e in trace.events if e.probe.kind == "module" and e.rank and e.probe.module)
    return list(dict.fromkeys(e.probe.module for e in events))
