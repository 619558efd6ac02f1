# SPDX-License-Identifier: BSD-3-Clause
"""Which epochs of a training run are kept, and where their weights lie.

One rule, `CheckpointPlan.select`, turns what is asked for ("10 evenly spaced", "late", [0, 5]) into
epochs: while training, and again when the record is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any, Literal

import torch

from ..networks.forward import plain_module
from .files.states import StateLayout, fitted_state, held_in
from .files.tensors import read_content, unpacked

CheckpointSpec = int | Literal["early", "late", "all"] | Sequence[int]
WINDOW = 3  # checkpoints in the "early" and "late" windows, as in the VoG experiments


def _check_spec(spec: Any) -> int | str | tuple[int, ...]:
    """Return a specification in its canonical form, or raise."""
    if isinstance(spec, str):
        if spec in ("early", "late", "all"):
            return spec
    elif isinstance(spec, Integral) and not isinstance(spec, bool):
        if int(spec) >= 1:
            return int(spec)
    elif isinstance(spec, Iterable) and getattr(spec, "ndim", 1) == 1:
        epochs = tuple(spec)
        if epochs and all(is_epoch(e) for e in epochs):
            return tuple(sorted({int(e) for e in epochs}))
    raise ValueError(
        "checkpoints must be a positive int (that many epochs, evenly spaced), 'early', 'late', "
        f"'all', or a list of epochs in which 0 means initialisation; got {spec!r}."
    )


def is_epoch(value: Any) -> bool:
    """Tell whether a value is an integer from 0 on."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 0


def _evenly_spaced(n_checkpoints: int, n_epochs: int) -> list[int]:
    """Return distinct epochs up to and with the last one."""
    n = min(n_checkpoints, n_epochs)
    # ceil(i * E / n) in integers: distinct for n <= E, and the last one is E.
    return [-(-i * n_epochs // n) for i in range(1, n + 1)]


@dataclass(frozen=True)
class CheckpointPlan:
    """The epochs that the readers of a run ask for: an int, a word or a tuple of epochs each."""

    specs: tuple[int | str | tuple[int, ...], ...] = ()

    @classmethod
    def of(cls, checkpoints: CheckpointSpec | CheckpointPlan) -> CheckpointPlan:
        """Return a specification as a plan, or raise what is wrong with it."""
        if isinstance(checkpoints, CheckpointPlan):
            return checkpoints
        return cls((_check_spec(checkpoints),))

    def __or__(self, other: CheckpointPlan) -> CheckpointPlan:
        return CheckpointPlan(tuple(dict.fromkeys(self.specs + other.specs)))

    def check_within(self, n_epochs: int) -> None:
        """Raise if an epoch is asked for that a run never reaches."""
        beyond = [e for s in self.specs if isinstance(s, tuple) for e in s if e > n_epochs]
        if beyond:
            raise ValueError(
                f"checkpoints asks for epoch {beyond[0]}, but the network trains for {n_epochs} "
                "epochs. Ask for earlier epochs or raise max_epochs."
            )

    @property
    def n_rolling(self) -> int | None:
        """Return how many unplanned epochs are kept in case training stops early; None: all."""
        if "all" in self.specs:
            return None
        return max((s for s in self.specs if isinstance(s, int)), default=0)

    def planned(self, n_epochs: int) -> set[int]:
        """Return the epochs to keep from a run that reaches its planned end."""
        return set(self.select(range(n_epochs + 1), n_epochs, strict=False))

    def select(
        self, available: Iterable[int], last_epoch: int, *, strict: bool = True
    ) -> list[int]:
        """Return the available epochs that are asked for; `strict` refuses to lack a named one."""
        held = sorted(set(available))
        trained = [e for e in held if e > 0]
        chosen: set[int] = set()
        for spec in self.specs:
            wanted: Iterable[int]
            if spec == "all":
                wanted = trained
            elif spec == "early":
                wanted = range(1, min(WINDOW, last_epoch) + 1)
            elif spec == "late":
                wanted = range(max(1, last_epoch - WINDOW + 1), last_epoch + 1)
            elif isinstance(spec, int):
                wanted = _nearest(_evenly_spaced(spec, last_epoch), trained)
            else:
                assert isinstance(spec, tuple)
                wanted = spec
            missing = sorted(set(wanted) - set(held))
            if missing and strict:
                raise ValueError(
                    f"checkpoints={_spelled(spec)} needs epochs {missing}, which this training "
                    f"record does not hold (it holds {held}). Record with "
                    f"RecordTraining(checkpoints={_spelled(spec)}) or checkpoints='all', or pass "
                    "the network instead of the record."
                )
            chosen.update(set(wanted) & set(held))
        return sorted(chosen)


def _spelled(spec: int | str | tuple[int, ...]) -> str:
    """Return how a user writes a specification."""
    return repr(list(spec)) if isinstance(spec, tuple) else repr(spec)


def _nearest(targets: Sequence[int], available: Sequence[int]) -> list[int]:
    """Return one distinct available epoch per target, the nearest still free, last target first."""
    free = list(available)
    chosen = []
    for target in reversed(targets):
        if not free:
            break
        nearest = min(free, key=lambda epoch: (abs(epoch - target), -epoch))
        free.remove(nearest)
        chosen.append(nearest)
    return sorted(chosen)


@dataclass(frozen=True)
class Checkpoint:
    """The weights and buffers of a network after one epoch, in memory or in a file."""

    epoch: int  # 0: as initialised
    tensors: Mapping[str, torch.Tensor] | None = None
    path: Path | None = None
    digest: str | None = None  # of the file, which is refused if it has changed
    layout: StateLayout | None = None  # of the network, to be found in a file of other loops

    @torch.inference_mode(False)  # with weights made in it, nothing could be differentiated
    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the state on the CPU, read from disk if it lies there."""
        if self.tensors is not None:
            return dict(self.tensors)
        assert self.path is not None
        if self.layout is not None:
            held = held_in(read_content(self.path, self.digest), self.path)
            return fitted_state(held, self.layout).state
        return unpacked(read_content(self.path, self.digest), self.path)


@torch.inference_mode(False)  # with weights made in it, nothing could be differentiated
def copy_state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return a copy of the module's tensors on the CPU, untouched by later training."""
    # A wrapper puts "_orig_mod." or "module." before every name; the plain module does not.
    state = plain_module(module).state_dict()
    return {
        name: value.detach().to("cpu", copy=True).contiguous()
        for name, value in state.items()
        if isinstance(value, torch.Tensor)
    }
