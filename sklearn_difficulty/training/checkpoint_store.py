# SPDX-License-Identifier: BSD-3-Clause
"""The rolling selection of checkpoints of a running fit, in memory or on disk."""

from __future__ import annotations

from pathlib import Path

import torch

from .checkpoints import WINDOW, Checkpoint, CheckpointPlan, _evenly_spaced, copy_state
from .files.folders import write_atomically
from .files.tensors import content_digest, packed


class CheckpointStore:
    """The rolling selection of checkpoints of a running fit, in memory or in a directory.

    Holds the planned epochs, plus spare ones so that a run which stops early still leaves an evenly
    spread selection: never more than twice the largest number that was asked for, plus the epochs
    that were asked for by name.
    """

    def __init__(self, plan: CheckpointPlan, n_epochs: int, directory: Path | None) -> None:
        self.plan = plan
        self.directory = directory
        self._planned = plan.planned(n_epochs)
        self._spread = set(_evenly_spaced(plan.n_rolling, n_epochs) if plan.n_rolling else ())
        self._kept: dict[int, Checkpoint] = {}

    def offer(self, epoch: int, module: torch.nn.Module) -> None:
        """Keep the module's state if the plan, or an early stop now, would want it."""
        if epoch not in self._required_epochs(epoch):
            return
        state = copy_state(module)
        if self.directory is None:
            self._kept[epoch] = Checkpoint(epoch, tensors=state)
        else:
            path = self.directory / f"epoch-{epoch:05d}.safetensors"
            content = packed(state)
            write_atomically(path, lambda part: part.write_bytes(content))
            self._kept[epoch] = Checkpoint(epoch, path=path, digest=content_digest(content))
        self._thin_out(epoch)

    def _required_epochs(self, epoch: int) -> set[int]:
        """Return the epochs that must be there if training ends, or is stopped, after `epoch`."""
        epochs = {e for e in self._planned if e <= epoch}
        if "late" in self.plan.specs:
            epochs.update(range(max(1, epoch - WINDOW + 1), epoch + 1))
        if self.plan.n_rolling != 0 and epoch > 0:
            epochs.add(epoch)
        return epochs

    def _thin_out(self, epoch: int) -> None:
        """Drop spare epochs until the store is within its bounds."""
        if self.plan.n_rolling is None:
            return
        required = self._required_epochs(epoch)
        # What other readers ask for takes no room from the evenly spread selection.
        others = required - self._spread - {epoch}
        max_kept = max(len(required), 2 * self.plan.n_rolling + len(others))
        while len(self._kept) > max_kept:
            epochs = sorted(self._kept)
            # The spare epoch whose loss leaves the smallest hole; the earliest of equals.
            gaps = [
                (later - earlier, middle)
                for earlier, middle, later in zip([0, *epochs], epochs, epochs[1:], strict=False)
                if middle not in required
            ]
            self._drop(min(gaps)[1])

    def finish(self, last_epoch: int) -> list[Checkpoint]:
        """Drop what is no longer wanted and return the rest in order of epoch."""
        wanted = set(self.plan.select(self._kept, last_epoch, strict=False))
        for epoch in sorted(set(self._kept) - wanted):
            self._drop(epoch)
        return [self._kept[epoch] for epoch in sorted(self._kept)]

    def discard(self) -> None:
        """Forget everything, files included."""
        for epoch in list(self._kept):
            self._drop(epoch)

    def _drop(self, epoch: int) -> None:
        """Forget a checkpoint, its file included."""
        path = self._kept.pop(epoch).path
        if path is not None:
            path.unlink(missing_ok=True)
