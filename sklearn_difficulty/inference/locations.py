# SPDX-License-Identifier: BSD-3-Clause
"""Which outputs of a network have locations, and which of their axes are these.

Images have their channels first, and so have the signals of 1-d convolutions; tokens have them
last. A tensor does not tell, so it is read from the modules that made it: of the same shape, the
last one that treats its channels as such decides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.pooling import (
    _AdaptiveAvgPoolNd,
    _AdaptiveMaxPoolNd,
    _AvgPoolNd,
    _MaxPoolNd,
)

from ..rows.rows import Rows
from ..training.record import TrainingRecord
from .probes import ProbeChoice, automatic_sites, chosen_sites, readable
from .trace import Trace, _Event, trace_forward

_POOLS = (_AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd, _AvgPoolNd, _MaxPoolNd)
_CHANNELS_FIRST = (_ConvNd, _NormBase, nn.GroupNorm, *_POOLS)
_CHANNELS_LAST = (nn.Linear, nn.Embedding, nn.MultiheadAttention, nn.RNNBase, nn.RMSNorm)
# How many channels a layer takes, by torch's names.
_CHANNELS_TAKEN = ("in_channels", "in_features", "num_features", "input_size", "embed_dim")


class Site(NamedTuple):
    """A call of a module whose output is read, and the axis of its channels."""

    name: str  # unique in the network
    module: str
    call: int
    channel_axis: int


class Sites(NamedTuple):
    """The sites of a network, in the order of the forward pass."""

    sites: tuple[Site, ...]
    n_axes: int  # of locations, the same for all; 0 where a row is one location
    input_axis: int  # that of the channels of the input, if it has any

    @property
    def names(self) -> list[str]:
        """Names of the sites."""
        return [site.name for site in self.sites]

    def grid_of(self, shape: Sequence[int]) -> tuple[int, ...] | None:
        """Return how many locations rows (n, ...) of a shape have along each axis, if they do."""
        row = list(shape[1:])
        if len(row) == self.n_axes + 1:
            del row[self.input_axis - 1 if self.input_axis > 0 else self.input_axis]
        return tuple(row) if len(row) == self.n_axes else None


def find_sites(record: TrainingRecord, X: Rows, choice: ProbeChoice, *, variant: str) -> Sites:
    """Return the sites that are asked for: "auto", names, a regular expression, or a function."""
    trace = trace_forward(record, X)
    axes = _channel_axes(trace)
    is_auto = isinstance(choice, str) and choice == "auto"
    if is_auto:
        events = _automatic(trace, axes, variant)
    elif getattr(choice, "ndim", 1) != 1:
        raise ValueError(f"layers must be a list of names of modules; got {choice!r}.")
    else:
        events = chosen_sites(trace, record, choice, parameter="layers")
    if variant == "layer":
        _refuse_other_layers(events)
    n_axes = {e.rank - 2 for e in events}
    if len(n_axes) > 1:
        shapes = {e.probe.name: e.shape[1:] for e in events}
        raise ValueError(
            f"The chosen layers have locations along different numbers of axes, {shapes}, so "
            "their maps cannot be combined. Choose layers of one kind: layers=[...]."
        )
    sites = [Site(e.probe.name, e.probe.module, e.probe.call, axes[e]) for e in events]
    return Sites(tuple(sites), n_axes.pop(), _input_axis(trace, axes))


def _input_axis(trace: Trace, axes: dict[_Event, int]) -> int:
    """Return the axis of the channels of the input."""
    shape = trace.input_shapes[0]
    alike = [event for event in axes if event.rank == len(shape)]
    if not alike:
        return _usual_axis(len(shape))
    axis = axes[alike[0]]
    taken = [getattr(e.module, name, None) for e in alike for name in _CHANNELS_TAKEN]
    n_channels = next((n for n in taken if n is not None), shape[axis])
    # The network may turn its input before the first layer.
    return -axis if shape[axis] != n_channels == shape[-axis] else axis


def _usual_axis(rank: int) -> int:
    """Return the axis of the channels where nothing tells it."""
    return -1 if rank == 3 else 1


def _channel_axes(trace: Trace) -> dict[_Event, int]:
    """Return the axis of the channels of every output of a module."""
    told: dict[tuple[int, ...], int] = {}
    axes = {}
    for event in trace.events:
        if event.probe.kind != "module" or not event.rank:
            continue
        module = event.module
        if isinstance(module, _CHANNELS_FIRST):
            told[event.shape] = 1
        elif isinstance(module, _CHANNELS_LAST) or (
            isinstance(module, nn.LayerNorm) and len(module.normalized_shape) == 1
        ):
            told[event.shape] = -1
        of_rank = [axis for shape, axis in told.items() if len(shape) == event.rank]
        usual = of_rank[-1] if of_rank else _usual_axis(event.rank)
        axes[event] = 1 if event.rank == 2 else told.get(event.shape, usual)
    return axes


def _grid(event: _Event, axis: int) -> tuple[int, ...]:
    """Return how many locations an output has along each axis."""
    locations = list(event.shape)
    del locations[axis]
    return tuple(locations[1:])


def _automatic(trace: Trace, axes: dict[_Event, int], variant: str) -> list[_Event]:
    """Choose the last output of every size, the outputs of the blocks of transformers.

    A network without locations is read behind its linear layers, but for the last.
    """
    # A Sequential returns what its last part does, which is the better name.
    named = [e for e in axes if e.probe.module and not isinstance(e.module, nn.Sequential)]
    if variant == "layer":
        named = [e for e in axes if _is_explained(e.module)]
    located = [e for e in named if e.rank > 2 and math.prod(_grid(e, axes[e])) > 1]
    if located:
        located = [e for e in located if e.rank == located[0].rank]
        if (
            trace.attends
            and variant != "layer"
            and any(e.probe.kind == "sum" for e in trace.events)
        ):
            blocks = [e for e in automatic_sites(trace) if e in located]
            if blocks:
                return blocks
        last = {_grid(e, axes[e]): e for e in located}
        return [e for e in located if e in last.values()]
    linear = trace.outputs_of(nn.Linear)
    if not linear:
        raise ValueError(
            "layers='auto' finds no layer with locations, and no linear one, in the forward pass "
            f"of this network. Pass the names of the modules to read; there are {readable(trace)}."
        )
    return linear[:-1] or linear


def _is_explained(module: Any) -> bool:
    """Tell whether it is known what a location adds to the weight gradient of a module."""
    return isinstance(module, (_ConvNd, nn.Linear)) and not isinstance(module, _ConvTransposeNd)


def _refuse_other_layers(events: list[_Event]) -> None:
    """Raise if the gradient of a chosen layer's own weight is not known by location."""
    others = [e.probe.name for e in events if not _is_explained(e.module)]
    if others:
        raise ValueError(
            f"variant='layer' reads the weights of convolutions and linear layers, and {others} "
            "are none. Choose other layers, or a variant that imagines its layer."
        )


def channels_first(values: torch.Tensor, channel_axis: int) -> torch.Tensor:
    """Return values (n, n_channels, ...)."""
    return values if channel_axis == 1 else values.movedim(channel_axis, 1)
