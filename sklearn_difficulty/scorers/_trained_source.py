# SPDX-License-Identifier: BSD-3-Clause
"""Where a scorer takes trained networks from: it has a source, which trains or takes what is given.

Here are the sources' interface and the one of a single training; others lie beside the scorers
that have them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray
from sklearn.frozen import FrozenEstimator

from .._progress import Task
from .._randomness import alone
from .._warnings import warn_caller
from ..rows.labels import among_columns
from ..rows.rows import ReadColumns, Rows
from ..training.checkpoints import Checkpoint, CheckpointSpec
from ..training.default import Task as NetworkTask
from ..training.default import default_network_for
from ..training.fit import targets_for
from ..training.record import TrainingRecord, train_record
from ..training.requirements import RecordNeeds
from ..training.skorch_net import collate_fn as net_collate_fn
from ..training.skorch_net import columns_of, frozen_net, warn_of_seen_rows

RECORD_TYPES = (TrainingRecord, FrozenEstimator)  # of a single training


class Trained(NamedTuple):
    """What a source has trained or taken."""

    attributes: dict[str, Any]  # of the scorer: record_ or ensemble_, estimator_, classes_
    targets: NDArray[Any]  # of the rows: label codes, or what a regressor is to meet


class TrainedSource(Protocol):
    """Trained networks, and how labels are read with their classes."""

    def obtain(self, X: Rows, y: Any, view: Rows, groups: Any, progress: Task) -> Trained:
        """Train on checked rows, or take what is given if it goes with them."""

    def targets(self, X: Rows, y: Any) -> NDArray[Any]:
        """Return label codes of rows, or regression targets, as the training had them."""

    @property
    def scores_unseen_rows(self) -> bool:
        """Whether other rows can be scored, as far as that is known before the fit."""

    @property
    def reads_rows(self) -> bool:
        """Whether rows are read in evaluation to score those of the training."""

    @property
    def collate_fn(self) -> Any:
        """How the items of a Dataset are joined, None for torch's default."""

    @property
    def columns(self) -> ReadColumns:
        """What may stand in a DataFrame, None for numbers alone."""


@dataclass(frozen=True)
class SingleTraining:
    """One network that is trained on every row, or the record of such a training."""

    estimator: Any  # as the user gave it
    record: TrainingRecord | None  # what the scorer keeps of its fit
    scorer: Any  # whose name messages give
    needs: Callable[[], RecordNeeds]  # what the record must hold
    rehearse: Callable[[TrainingRecord, Rows, NDArray[Any]], object]  # raises for unreadable rows
    random_state: Any
    verbose: int
    task: NetworkTask = "classification"  # of the network that stands for None

    scores_unseen_rows = True

    def obtain(self, X: Rows, y: Any, view: Rows, groups: Any, progress: Task) -> Trained:
        """Return the record, trained now or given, and the rows' targets."""
        needs = self.needs()
        record = given_record(self.estimator)
        if record is None:
            record, targets = self._train(needs, X, y, view, progress)
        else:
            record.require(needs)
            targets = record.targets(X, y)
            self._compare_rows(record, X, targets, needs)
            with alone():
                self.rehearse(record, view.take(slice(2)), targets[:2])
        estimator = record if record.net is None else record.net
        kept = {"record_": record, "estimator_": estimator, "classes_": record.classes_}
        return Trained(kept, targets)

    @property
    def reads_rows(self) -> bool:
        """Whether rows are read in evaluation to score those of the training."""
        return self.needs().reads_rows

    def targets(self, X: Rows, y: Any) -> NDArray[Any]:
        """Return label codes of rows, or regression targets, as the training had them."""
        assert self.record is not None
        return self.record.targets(X, y)

    @property
    def collate_fn(self) -> Any:
        """How the items of a Dataset are joined, None for torch's default."""
        record = self.estimator if self.record is None else self.record
        if isinstance(record, TrainingRecord):
            return record.collate_fn
        return net_collate_fn(frozen_net(self.estimator) or self.estimator)

    @property
    def columns(self) -> ReadColumns:
        """What may stand in a DataFrame, None for numbers alone."""
        record = self.estimator if self.record is None else self.record
        if isinstance(record, TrainingRecord):
            return record.columns if record.has_module else "any"
        return columns_of(frozen_net(self.estimator) or self.estimator)

    @property
    def n_recorded(self) -> int | None:
        """How many rows a record is of that has no network to read them, None if it has one."""
        record = self.estimator
        if not isinstance(record, TrainingRecord) or record.has_module or not record.trajectory:
            return None
        return record.trajectory.n_rows

    def _train(
        self, needs: RecordNeeds, X: Rows, y: Any, view: Rows, progress: Task
    ) -> tuple[TrainingRecord, NDArray[Any]]:
        """Return the record of a training, and the rows' targets."""
        net = self.estimator
        if net is None:
            net = default_network_for(X, y, self.scorer, task=self.task)
            net.set_params(verbose=self.verbose)
        warn_of_seen_rows(net)
        classes, targets = targets_for(net, X, y)
        with progress.subtask("train", net.max_epochs) as training:
            record = train_record(
                net,
                X,
                targets,
                classes,
                recorder=needs.recorder(),
                random_state=self.random_state,
                verbose=self.verbose,
                needs=needs,
                rehearse=self.rehearse,
                view=view,
                progress=training,
            )
        record.require(needs)
        if classes is not None and record.classes_ is not None:
            _, targets = among_columns(classes, targets, len(record.classes_))
        return record, targets

    def _compare_rows(
        self, record: TrainingRecord, X: Rows, targets: NDArray[Any], needs: RecordNeeds
    ) -> None:
        """Raise or warn if a given record is of other rows."""
        if needs.same_rows:
            trajectory = record.trajectory
            difference = (record if trajectory is None else trajectory).difference(X, targets)
            if difference is not None:
                raise ValueError(
                    f"This record was trained on other rows ({difference}); pass the net."
                )
            if not needs.checkpoints and not needs.final_network:
                return
        difference = record.difference(X, targets)
        if difference is None:
            return
        warn_caller(
            f"This record was trained on other rows ({difference}). {type(self.scorer).__name__} "
            "reads them as given, but difficulty_ is not that of training rows; pass the net to "
            "train on them."
        )


def given_record(estimator: Any) -> TrainingRecord | None:
    """Return the record of a single training that an estimator is or holds, if any."""
    if isinstance(estimator, TrainingRecord):
        return estimator
    net = frozen_net(estimator)
    return None if net is None else TrainingRecord.from_net(net)


def checkpoints_to_read(record: TrainingRecord, which: CheckpointSpec) -> list[Checkpoint]:
    """Return the checkpoints at which unseen rows are read, or say how to get some."""
    checkpoints = record.select(which)
    if not checkpoints:
        raise ValueError(
            "Unseen rows are read at checkpoints, and the record holds none. Record some "
            "(checkpoints=10), or make it from checkpoints."
        )
    return checkpoints


def is_trained(estimator: Any) -> bool:
    """Tell whether what a scorer was given is read without training: it says so of itself."""
    declared = getattr(type(estimator), "_is_trained_source", False)
    return declared or isinstance(estimator, FrozenEstimator)


def refuse_tuning(estimator: Any, params: Mapping[str, Any]) -> None:
    """Raise if parameters are those of a network that there is not, or no more."""
    nested = [name for name in params if name.startswith("estimator__")]
    if nested and (is_trained(estimator) or isinstance(estimator, str)):
        raise ValueError(
            f"{nested[0]} cannot be set: the network is already trained; pass a net to tune it."
        )
    if nested and estimator is None:
        raise ValueError(
            f"{nested[0]} cannot be set, because estimator is None; pass a net, for example "
            "training.default_network(X, y)."
        )
