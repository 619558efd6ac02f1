# SPDX-License-Identifier: BSD-3-Clause
"""Saliency maps of rows, and how much training signal they give, at any layers of a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .._progress import SILENT, Task
from ..networks.forward import State
from ..rows.inputs import Inputs, leaves
from ..rows.rows import Rows
from ..training.checkpoints import Checkpoint
from ..training.record import TrainingRecord
from .blocks import Block, DeviceStates, read_blocks
from .contributions import contribution_map
from .locations import Sites, channels_first
from .objectives import row_norms, target_function, undefined_rows
from .site_passes import Evidence, SitePasses, SitePassesAfterStep

Grid = tuple[int, ...]
_CPU_ROWS = 32  # what is computed on the way of so many stays in the caches, which halves the time


class SaliencyReader:
    """Reads the saliency of locations at sites of a record's network, checkpoint by checkpoint."""

    def __init__(
        self,
        record: TrainingRecord,
        checkpoints: Sequence[Checkpoint],
        sites: Sites,
        *,
        target: str = "loss",
        variant: str = "conv1x1",
        aggregation: str = "norm",
        step: float | None = None,
    ) -> None:
        self.record = record
        self.sites = sites
        self._variant = variant
        self._aggregation = aggregation
        self._states = DeviceStates(record.module, checkpoints)
        self._n_states = len(checkpoints)
        evidence = _evidence(record, target)
        of_inputs = variant == "layer"
        self._passes: SitePasses | SitePassesAfterStep
        if step is None:
            self._passes = SitePasses(record.module, sites.sites, evidence, of_inputs=of_inputs)
        else:
            self._passes = SitePassesAfterStep(
                record, sites.sites, evidence, of_inputs=of_inputs, step=step
            )

    def signals(self, inputs: Inputs, labels: torch.Tensor | None) -> torch.Tensor:
        """Return the length (n, n_sites) of the maps, a mean over checkpoints."""
        total: Any = 0.0
        for state in self._states:
            chunks = [
                torch.stack([row_norms([m]) for m in maps], dim=1)
                for maps in self._maps(state, inputs, labels)
            ]
            total = total + torch.cat(chunks)
        return total / self._n_states

    def maps(self, inputs: Inputs, labels: torch.Tensor | None) -> list[torch.Tensor]:
        """Return the map (n, ...) of every site, a mean over checkpoints."""
        totals: list[torch.Tensor] = []
        for state in self._states:
            chunks = zip(*self._maps(state, inputs, labels), strict=True)
            for i, parts in enumerate(chunks):
                of_state = torch.cat(parts)
                if i < len(totals):
                    totals[i] += of_state
                else:
                    totals.append(of_state)
        return [total.div_(self._n_states) for total in totals]

    def _maps(
        self, state: State, inputs: Inputs, labels: torch.Tensor | None
    ) -> Iterator[list[torch.Tensor]]:
        """Yield the maps of the sites in one state, chunk by chunk; NaN for undefined rows."""
        for reading in self._passes(state, inputs, labels):
            undefined = undefined_rows(reading.outputs)
            maps = []
            for site, x, g in zip(
                self.sites.sites, reading.activations, reading.gradients, strict=True
            ):
                few = _CPU_ROWS if x.device.type == "cpu" else len(x)
                parts = [
                    contribution_map(
                        channels_first(of_x, site.channel_axis),
                        channels_first(of_g, site.channel_axis),
                        variant=self._variant,
                        aggregation=self._aggregation,
                        layer=self.record.module.get_submodule(site.module),
                    )
                    for of_x, of_g in zip(x.split(few), g.split(few), strict=True)
                ]
                saliency = torch.cat(parts)
                saliency[undefined] = torch.nan
                maps.append(saliency)
            yield maps


def _evidence(record: TrainingRecord, target: str) -> Evidence:
    """Return the function of (outputs, labels) that is explained, larger where the label fits."""
    value = target_function(record, "logit" if target == "predicted" else target)
    if target != "loss":
        return value
    return lambda outputs, labels: -value(outputs, labels)


def training_signals(
    reader: SaliencyReader,
    X: Rows,
    labels: NDArray[Any] | None,
    *,
    batch_size: int,
    progress: Task = SILENT,
) -> NDArray[np.float64]:
    """Return the length (n, n_sites) of every row's maps; NaN where not finite."""
    if X.differing() is not None:
        batch_size = 1  # the longest row of a batch would decide how many locations the others have

    def keep(block: Block) -> torch.Tensor:
        return block.result[: block.n].cpu()

    signals = torch.cat(
        read_blocks(
            reader.record, X, labels, reader.signals, keep, batch_size=batch_size, progress=progress
        )
    ).numpy()
    signals[~np.isfinite(signals)] = np.nan
    return signals


def location_maps(
    reader: SaliencyReader,
    X: Rows,
    labels: NDArray[Any] | None,
    finish: Callable[[list[NDArray[Any]], Grid | None], list[NDArray[Any]]],
    *,
    batch_size: int,
) -> list[NDArray[np.float32]]:
    """Return what `finish` makes of every block's maps, given the grid of the input as well."""
    if X.differing() is not None:
        raise ValueError(
            "The rows of X differ in shape, so their maps have no common one. Ask for the maps of "
            "one row at a time, or pad the rows."
        )
    grids: list[Grid | None] = []

    def reading(inputs: Inputs, block_labels: torch.Tensor | None) -> list[torch.Tensor]:
        shapes = [tuple(leaf.shape) for leaf in leaves(inputs)]
        grids.append(reader.sites.grid_of(shapes[0]) if len(shapes) == 1 else None)
        return reader.maps(inputs, block_labels)

    def keep(block: Block) -> list[NDArray[Any]]:
        maps = [m[: block.n].cpu().numpy() for m in block.result]
        return [m.astype(np.float32) for m in finish(maps, grids[-1])]

    blocks = read_blocks(reader.record, X, labels, reading, keep, batch_size=batch_size)
    return [np.concatenate(parts) for parts in zip(*blocks, strict=True)]
