# SPDX-License-Identifier: BSD-3-Clause
"""LightningRecorder: the Callback that records a training by Lightning's Trainer."""

from __future__ import annotations

from typing import Any

from torch import nn

from ...networks.heads import OutputKind
from ..checkpoints import CheckpointSpec
from ..sampler_ids import StandIn
from ._following import FollowedTraining

try:
    from lightning.pytorch import Callback
except ImportError:
    try:
        from pytorch_lightning import Callback
    except ImportError:  # the class can be looked at without it, and not made
        Callback = object

__all__ = ["LightningRecorder"]


class LightningRecorder(Callback):
    """Record what a network trained by Lightning says about every row, and its checkpoints.

    What a batch holds is taken from the sampler of the DataLoader, and what the network says from
    its own forward pass, so that neither `training_step` nor the Dataset is changed. In distributed
    training every process records its own batches: see `merge_trajectories`.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        The labels of the training set in its order, of any type; targets for a regressor.
    network : str, default=None
        Name of the part of the LightningModule that returns logits, such as "model". None takes the
        LightningModule itself, for a `training_step` that calls ``self(x)``.
    classes : array-like of shape (n_classes,), default=None
        What the columns of the logits stand for. None takes the sorted labels of y.
    outputs : {"logits", "binary_logit", "probabilities", "log_probabilities", "values"}, \
            default="logits"
        What the network returns; "values" for regression.
    checkpoints : int, {"early", "late", "all"}, list of int or None, default=10
        Which epochs' weights are kept, as for `RecordTraining`. None keeps none, and the record
        has no network.
    keep_logits : bool, default=False
        Keep all logits of every epoch too: 4 bytes per epoch, row and class.

    Attributes
    ----------
    record_ : TrainingRecord
        Of the epochs that ended, once training has; every scorer takes it in place of a network.

    Raises
    ------
    ImportError
        If neither ``lightning`` nor ``pytorch_lightning`` is installed.
    ValueError
        From the training, in its first batch: if rows or outputs are not known, or labels differ.

    See Also
    --------
    sklearn_difficulty.training.TrajectoryRecorder : For a training loop of your own.

    Examples
    --------
    >>> recorder = LightningRecorder(y)  # doctest: +SKIP
    >>> trainer = Trainer(callbacks=[recorder], max_epochs=20)  # doctest: +SKIP
    >>> trainer.fit(model, DataLoader(dataset, shuffle=True))  # doctest: +SKIP
    >>> VoGScorer(recorder.record_).fit(X, y).difficulty_  # doctest: +SKIP
    """

    def __init__(
        self,
        y: Any,
        *,
        network: str | None = None,
        classes: Any = None,
        outputs: OutputKind = "logits",
        checkpoints: CheckpointSpec | None = 10,
        keep_logits: bool = False,
    ) -> None:
        if Callback is object:
            raise ImportError("LightningRecorder needs Lightning: pip install lightning.")
        super().__init__()
        self.network = network
        self.settings = {
            "classes": classes,
            "outputs": outputs,
            "checkpoints": checkpoints,
            "keep_logits": keep_logits,
        }
        self.y = y
        self._training = FollowedTraining(y, **self.settings)

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Follow the DataLoader of the training set, once the strategy has made it its own."""
        if stage != "fit":
            return
        self._training = FollowedTraining(self.y, **self.settings)
        prepare = trainer.strategy.process_dataloader

        def prepared(loader: Any) -> Any:
            loader = prepare(loader)
            if trainer.training:
                self._training.follow(loader)
            return loader

        trainer.strategy.process_dataloader = StandIn(
            trainer.strategy, "process_dataloader", prepared
        )

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Listen to the network."""
        self._training.start(self._network_of(pl_module), _planned_epochs(trainer))

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take in a batch."""
        self._training.end_batch(batch)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Close an epoch."""
        self._training.end_epoch()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Make the record."""
        if self._training.n_epochs:
            self.record_ = self._training.record()

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Let go of the trainer and the network."""
        self._release(trainer)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Let go of the trainer and the network after a training that died."""
        self._release(trainer)

    def _release(self, trainer: Any) -> None:
        """Leave the trainer and the network as they were."""
        self._training.stop_listening()
        vars(trainer.strategy).pop("process_dataloader", None)

    def _network_of(self, pl_module: Any) -> nn.Module:
        """Return the part of a LightningModule that is listened to."""
        return pl_module if self.network is None else pl_module.get_submodule(self.network)


def _planned_epochs(trainer: Any) -> int | None:
    """Return how many epochs a training takes, None if it does not say."""
    return trainer.max_epochs if (trainer.max_epochs or -1) > 0 else None
