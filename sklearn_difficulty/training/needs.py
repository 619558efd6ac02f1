# SPDX-License-Identifier: BSD-3-Clause
"""What a scorer must find in a training record; the needs of many merge into one fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .checkpoints import CheckpointPlan
from .recorder import RecordTraining

if TYPE_CHECKING:
    from .record import TrainingRecord


@dataclass(frozen=True)
class RecordNeeds:
    """What a scorer must find in a record.

    Parameters
    ----------
    checkpoints : CheckpointPlan
        The epochs it reads.
    min_checkpoints : int, default=0
        How many of them it needs at least.
    same_rows : bool, default=False
        Whether `fit` must get the very rows that the record was trained on. Scores that are read
        from checkpoints alone can be computed for other rows too, and warn.
    """

    checkpoints: CheckpointPlan
    min_checkpoints: int = 0
    same_rows: bool = False

    def __or__(self, other: RecordNeeds) -> RecordNeeds:
        return RecordNeeds(
            self.checkpoints | other.checkpoints,
            max(self.min_checkpoints, other.min_checkpoints),
            self.same_rows or other.same_rows,
        )

    def check(self, record: TrainingRecord) -> None:
        """Raise a ValueError that says which setting was missing when the record was made."""
        found = record.select(self.checkpoints)
        if len(found) < self.min_checkpoints:
            raise ValueError(
                f"This score needs at least {self.min_checkpoints} checkpoints of the training "
                f"run, and the record offers {len(found)} "
                f"(epochs {[c.epoch for c in found]} of {record.n_epochs}). Train for more "
                "epochs, or record more of them: RecordTraining(checkpoints='all')."
            )

    def check_plan(self, recorder: RecordTraining, n_epochs: int) -> None:
        """Raise before training if the recorder that a net carries keeps too little."""
        self.checkpoints.check_within(n_epochs)
        kept = CheckpointPlan.of(recorder.checkpoints).planned(n_epochs)
        chosen = self.checkpoints.select(kept, n_epochs)
        if len(chosen) < self.min_checkpoints:
            raise ValueError(
                f"This score needs at least {self.min_checkpoints} checkpoints of the training "
                f"run, but with max_epochs={n_epochs} its recorder keeps only epochs {chosen}. "
                "Raise max_epochs, or record more of them: RecordTraining(checkpoints='all')."
            )
