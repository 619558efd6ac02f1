# SPDX-License-Identifier: BSD-3-Clause
"""The embeddings of rows: what a network computes at its probes, one flat vector per row.

One forward pass reads any number of probes, and ends as soon as the last of them is reached. Values
are copied at the moment they are computed, since a module behind the probe may write to them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from torch import nn

from .._progress import SILENT, Task
from ..networks.forward import call_module, first_tensor, module_device
from ..networks.heads import at_least_single
from ..rows.inputs import Inputs, copied, leaves, n_rows
from ..rows.rows import Rows
from ..training.record import TrainingRecord
from .blocks import Block, read_blocks
from .trace import Probe, SumCounter


class _AllRead(BaseException):
    """Ends a forward pass whose rest is not needed; no module may catch it."""


class EmbeddingReader:
    """Reads the embeddings of rows at the probes of a record's network."""

    def __init__(
        self, record: TrainingRecord, *, pool: int | None = None, unit_length: bool = False
    ) -> None:
        self.record = record
        self.pool = pool  # positions along a spatial axis that maps are averaged to, at most
        self.unit_length = unit_length  # of every embedding; zero stays zero

    def widths(self, X: Rows, probes: Sequence[Probe]) -> list[int]:
        """Return the number of values per row at every probe."""
        return [e.shape[1] for e in self.embed(X.take(slice(2)), probes, batch_size=2)]

    def even(self, X: Rows, probes: Sequence[Probe]) -> list[Probe]:
        """Return the probes that have as many values for one of the rows as for every other."""
        rows = [X.take(slice(i, i + 1)) for i in range(len(X))]
        widths = zip(*(self.widths(row, probes) for row in rows), strict=True)
        return [p for p, found in zip(probes, widths, strict=True) if len(set(found)) == 1]

    def embed(
        self, X: Rows, probes: Sequence[Probe], *, batch_size: int, progress: Task = SILENT
    ) -> list[torch.Tensor]:
        """Return one float32 matrix (n_rows, width) per probe, on the network's device."""

        def reading(inputs: Inputs, _labels: Any) -> list[torch.Tensor]:
            return self._read(inputs, probes)

        embeddings: list[torch.Tensor] = []
        start = 0
        # Any codes will do: given some, no pass is made for the predicted ones.
        codes = np.zeros(len(X), dtype=np.int64)

        def keep(block: Block) -> None:
            nonlocal start
            if not embeddings:
                device = module_device(self.record.module)
                for value in block.result:
                    size = len(codes), value.shape[1]
                    embeddings.append(torch.empty(size, dtype=torch.float32, device=device))
            for probe, embedding, value in zip(probes, embeddings, block.result, strict=True):
                refuse_other_width(probe, value, embedding.shape[1])
                embedding[start : start + block.n] = value[: block.n]
            start += block.n

        read_blocks(self.record, X, codes, reading, keep, batch_size=batch_size, progress=progress)
        return embeddings

    def _read(self, inputs: Inputs, probes: Sequence[Probe]) -> list[torch.Tensor]:
        """Return the embeddings of one block, by hooks that end the pass at the last probe."""
        module, n = self.record.module, n_rows(inputs)
        embeddings: dict[Probe, torch.Tensor] = {}
        module_probes = {(p.module, p.call): p for p in probes if p.kind == "module"}
        sum_probes = {p.call: p for p in probes if p.kind == "sum"}
        calls: Counter[str] = Counter()

        def keep(probe: Probe, value: Any) -> None:
            embeddings[probe] = self._flat(probe, value, n)
            if len(embeddings) == len(probes):
                raise _AllRead

        def hook(name: str) -> Any:
            def on_output(_module: nn.Module, _args: Any, output: Any) -> None:
                calls[name] += 1
                if probe := module_probes.get((name, calls[name] - 1)):
                    keep(probe, output)

            return on_output

        def on_sum(number: int, _left: Any, _right: Any, value: torch.Tensor) -> None:
            if probe := sum_probes.get(number):
                keep(probe, value)

        with torch.no_grad(), ExitStack() as stack:
            for name in dict.fromkeys(name for name, _ in module_probes):
                site = module.get_submodule(name)
                stack.callback(site.register_forward_hook(hook(name)).remove)
            # Also without sums to read: seeing it, nn.TransformerEncoder keeps to plain tensors.
            stack.enter_context(SumCounter(on_sum))
            try:
                for probe in probes:
                    if probe.kind == "input":
                        keep(probe, _joined_floats(inputs))
                outputs = call_module(module, copied(inputs))
                for probe in probes:
                    if probe.kind == "output":
                        keep(probe, self.record.head.probabilities(outputs))
            except _AllRead:
                return [embeddings[probe] for probe in probes]
        missing = [probe.name for probe in probes if probe not in embeddings]
        raise ValueError(
            f"The forward pass did not come by {missing} for some rows, although it did for the "
            "first ones. A network that takes another way for other rows has no depth: probe the "
            "modules that every row passes."
        )

    def _flat(self, probe: Probe, value: Any, n: int) -> torch.Tensor:
        """Return a copy of the values as a matrix of floats, pooled and scaled as asked for."""
        value = first_tensor(value)
        if value is None or not value.is_floating_point() or value.shape[:1] != (n,):
            raise ValueError(
                f"What is computed at {probe.name!r} is no floating tensor with one entry per row "
                "along axis 0."
            )
        value = at_least_single(value.detach().clone())
        if self.pool is not None and value.ndim >= 4:
            value = _pooled(value, self.pool)
        value = value.flatten(1) if value.ndim > 1 else value[:, None]
        return nn.functional.normalize(value, dim=1) if self.unit_length else value


def refuse_other_width(probe: Probe, values: torch.Tensor, width: int) -> None:
    """Raise if embeddings at a probe have another width than those of other rows."""
    if values.shape[1] != width:
        raise ValueError(
            f"The embeddings at {probe.name!r} have {values.shape[1]} values for some rows and "
            f"{width} for others, so there is no distance between them. Pad the rows to one "
            "length, or name other modules as probes."
        )


def _joined_floats(inputs: Inputs) -> torch.Tensor:
    """Return the floating inputs side by side, a single one as it is."""
    floats = [tensor for tensor in leaves(inputs) if tensor.is_floating_point()]
    if inputs is floats[0]:
        return inputs
    return torch.cat([tensor.reshape(len(tensor), -1) for tensor in floats], dim=1)


def _pooled(maps: torch.Tensor, size: int) -> torch.Tensor:
    """Return maps averaged to at most `size` positions along every spatial axis."""
    sizes: Any = [min(size, length) for length in maps.shape[2:]]
    is_flat = len(sizes) == 2
    pool = nn.functional.adaptive_avg_pool2d if is_flat else nn.functional.adaptive_avg_pool3d
    return pool(maps, sizes)
