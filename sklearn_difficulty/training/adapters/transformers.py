# SPDX-License-Identifier: BSD-3-Clause
"""TransformersRecorder: the callback that records a training by Hugging Face's Trainer."""

from __future__ import annotations

from typing import Any

from ...networks.heads import OutputKind
from ..checkpoints import CheckpointSpec
from ._following import FollowedTraining

try:
    from transformers import TrainerCallback
except ImportError:  # the class can be looked at without it, and not made
    TrainerCallback = object

__all__ = ["TransformersRecorder"]


class TransformersRecorder(TrainerCallback):
    """Record what a model trained by Hugging Face's Trainer says about every row.

    What a batch holds is taken from the sampler of the DataLoader, and what the model says from its
    own forward pass, so that neither the Dataset nor the collator is changed. In distributed
    training every process records its own batches: see `merge_trajectories`.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        The labels of the training set in its order, of any type; targets for a regressor.
    classes : array-like of shape (n_classes,), default=None
        What the columns of the logits stand for, such as the values of ``config.id2label``. None
        takes the sorted labels of y.
    outputs : {"logits", "binary_logit", "probabilities", "log_probabilities", "values"}, \
            default="logits"
        What the model returns as its logits; "values" for regression.
    checkpoints : int, {"early", "late", "all"}, list of int or None, default=None
        Which epochs' weights are kept in memory, as for `RecordTraining`. None keeps none, and the
        record has no network: a large model is better read from the checkpoints that the Trainer
        writes, by ``TrainingRecord.from_checkpoints``.
    keep_logits : bool, default=False
        Keep all logits of every epoch too: 4 bytes per epoch, row and class.

    Attributes
    ----------
    record_ : TrainingRecord
        Of the epochs that ended, once training has; scorers take it in place of a network.

    Raises
    ------
    ImportError
        If ``transformers`` is not installed.
    ValueError
        From the training, in its first batch: if rows or outputs are not known, or labels differ.

    See Also
    --------
    sklearn_difficulty.training.TrajectoryRecorder : For a training loop of your own.

    Examples
    --------
    >>> recorder = TransformersRecorder(y)  # doctest: +SKIP
    >>> trainer = Trainer(
    ...     model, arguments, train_dataset=texts, callbacks=[recorder]
    ... )  # doctest: +SKIP
    >>> trainer.train()  # doctest: +SKIP
    >>> scorer = TrainingDynamicsScorer(recorder.record_)  # doctest: +SKIP
    """

    def __init__(
        self,
        y: Any,
        *,
        classes: Any = None,
        outputs: OutputKind = "logits",
        checkpoints: CheckpointSpec | None = None,
        keep_logits: bool = False,
    ) -> None:
        if TrainerCallback is object:
            raise ImportError("TransformersRecorder needs transformers: pip install transformers.")
        self.y = y
        self.settings = {
            "classes": classes,
            "outputs": outputs,
            "checkpoints": checkpoints,
            "keep_logits": keep_logits,
        }
        self._training = FollowedTraining(y, **self.settings)

    def on_train_begin(
        self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any
    ) -> None:
        """Listen to the model, and follow the DataLoader."""
        self._training.stop_listening()  # of a training that died
        self._training = FollowedTraining(self.y, **self.settings)
        self._training.follow(kwargs["train_dataloader"])
        self._training.start(model, int(state.num_train_epochs) or None)

    def on_substep_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take in a batch whose gradient is accumulated."""
        self._training.end_batch(None)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take in a batch."""
        self._training.end_batch(None)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Close an epoch."""
        self._training.end_epoch()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Make the record, and let go of the model."""
        self._training.stop_listening()
        if self._training.n_epochs:
            self.record_ = self._training.record()
