# SPDX-License-Identifier: BSD-3-Clause
"""What scorers must find in a training record; the needs of many merge into one fit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from .checkpoints import CheckpointPlan, CheckpointSpec
from .recorder import RecordTraining

Mode = Literal["training", "evaluation"]


@dataclass(frozen=True)
class RecordNeeds:
    """What one or several scorers read from a record."""

    checkpoints: tuple[tuple[CheckpointPlan, int], ...] = ()  # with how many are needed at least
    same_rows: bool = False  # scores of checkpoints alone can be had for other rows, and warn
    mode: Mode | None = None  # of trajectories; None if none are read
    logits: bool = False  # of every epoch
    final_network: bool = False

    @classmethod
    def of_trajectories(cls, mode: Mode, *, logits: bool = False) -> RecordNeeds:
        """Return the needs of a scorer that reads trajectories and nothing else."""
        return cls(same_rows=True, mode=mode, logits=logits)

    @classmethod
    def of_checkpoints(cls, checkpoints: CheckpointSpec, *, at_least: int) -> RecordNeeds:
        """Return the needs of a scorer that reads `checkpoints` and nothing else."""
        return cls(((CheckpointPlan.of(checkpoints), at_least),))

    def __or__(self, other: RecordNeeds) -> RecordNeeds:
        modes = {self.mode, other.mode} - {None}
        if len(modes) > 1:
            raise ValueError(
                "One training run records either in mode='training' or in mode='evaluation'; both "
                "are asked for. Use one mode for all scores, or two runs."
            )
        return RecordNeeds(
            self.checkpoints + other.checkpoints,
            self.same_rows or other.same_rows,
            next(iter(modes), None),
            self.logits or other.logits,
            self.final_network or other.final_network,
        )

    @property
    def reads_rows(self) -> bool:
        """Whether training rows are read in evaluation; checkpoints may be kept for unseen ones."""
        of_checkpoints = any(at_least > 0 for _, at_least in self.checkpoints)
        return of_checkpoints or self.final_network or self.mode == "evaluation"

    def recorder(self) -> RecordTraining:
        """Return a recorder that keeps what is needed."""
        union = CheckpointPlan()
        for plan, _ in self.checkpoints:
            union |= plan
        return RecordTraining(union, mode=self.mode or "training", keep_logits=self.logits)

    def check_plan(self, recorder: RecordTraining, n_epochs: int) -> None:
        """Raise before training if the recorder that a net carries keeps too little."""
        for plan, _ in self.checkpoints:
            plan.check_within(n_epochs)
        self.check_checkpoints(
            CheckpointPlan.of(recorder.checkpoints).planned(n_epochs),
            n_epochs,
            f"with max_epochs={n_epochs} its recorder keeps only epochs {{}}",
        )
        if self.mode is not None:
            self.check_recording(recorder.mode, recorder.keep_logits)

    def check_recording(self, mode: Mode, keeps_logits: bool) -> None:
        """Raise if trajectories come, or are to come, from elsewhere or without logits."""
        if mode != self.mode:
            raise ValueError(
                f"This score asks for trajectories of mode={self.mode!r}, and these are recorded "
                f"with mode={mode!r}. Set the scorer's mode to that, or record in the other."
            )
        if self.logits and not keeps_logits:
            raise ValueError(
                "This score needs all logits of every epoch; record them with keep_logits=True."
            )

    def check_checkpoints(
        self, epochs: Iterable[int], last_epoch: int, message: str, *, strict: bool = True
    ) -> None:
        """Raise if too few epochs are there; `message` is completed with those."""
        epochs = list(epochs)
        for plan, at_least in self.checkpoints:
            chosen = plan.select(epochs, last_epoch, strict=strict or at_least > 0)
            if len(chosen) < at_least:
                raise ValueError(
                    f"This score needs at least {at_least} checkpoints of the training run, but "
                    f"{message.format(chosen)}. Train for more epochs, or record more of them: "
                    "RecordTraining(checkpoints='all')."
                )
