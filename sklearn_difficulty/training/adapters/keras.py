# SPDX-License-Identifier: BSD-3-Clause
"""KerasRecorder: the callback that records a training by Keras, with any backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ..._arrays import to_numpy
from ...networks.heads import OutputKind, first_output, head_named
from ..record import TrainingRecord
from ..trajectory_recorder import TrajectoryRecorder
from ._following import classes_and_targets

try:
    from keras.callbacks import Callback
except ImportError:  # the class can be looked at without it, and not made
    Callback = object

__all__ = ["KerasRecorder"]


class KerasRecorder(Callback):
    """Record what a model trained by Keras says about every row after every epoch.

    Keras does not tell a callback which rows a batch holds. After every epoch the model predicts
    all rows in order, as ``model.predict`` does: a forward pass per epoch, of any backend. The
    record is read with ``mode="evaluation"``.

    Parameters
    ----------
    X : array-like, or whatever ``model.predict`` takes
        The training rows.
    y : array-like of shape (n_samples,)
        Their labels, of any type; targets for a regressor.
    classes : array-like of shape (n_classes,), default=None
        What the columns of the outputs stand for. None takes the sorted labels of y.
    outputs : {"logits", "binary_logit", "probabilities", "log_probabilities", "values"}, \
            default="probabilities"
        What the model returns: "probabilities" for a softmax in the end, and for one sigmoid, whose
        value is the probability of the second class.
    batch_size : int, default=None
        Rows predicted at once; None leaves it to Keras.
    keep_logits : bool, default=False
        Keep all logits of every epoch too: 4 bytes per epoch, row and class.

    Attributes
    ----------
    record_ : TrainingRecord
        Of the epochs that ended, once training has, without a network.

    Raises
    ------
    ImportError
        If ``keras`` is not installed.
    ValueError
        From the training, after its first epoch, if the model returns something else.

    See Also
    --------
    sklearn_difficulty.training.TrajectoryRecorder : For a training loop of your own.

    Examples
    --------
    >>> recorder = KerasRecorder(X, y)  # doctest: +SKIP
    >>> model.fit(X, y, epochs=20, callbacks=[recorder])  # doctest: +SKIP
    >>> scorer = TrainingDynamicsScorer(
    ...     recorder.record_, mode="evaluation"
    ... )  # doctest: +SKIP
    """

    def __init__(
        self,
        X: Any,
        y: Any,
        *,
        classes: Any = None,
        outputs: OutputKind = "probabilities",
        batch_size: int | None = None,
        keep_logits: bool = False,
    ) -> None:
        if Callback is object:
            raise ImportError(
                "KerasRecorder needs Keras 3 (pip install keras) and the backend that it is "
                "told to use: KERAS_BACKEND=torch in the environment takes the one that is here."
            )
        super().__init__()
        self.X = X
        self.head = head_named(outputs)
        self.batch_size = batch_size
        self.keep_logits = keep_logits
        self.classes, self.targets = classes_and_targets(y, classes, self.head)

    def on_train_begin(self, logs: Any = None) -> None:
        """Begin a record."""
        self._collector = TrajectoryRecorder(
            len(self.targets),
            outputs=self.head.name,
            keep_logits=self.keep_logits,
            mode="evaluation",
        )
        self._n_epochs = 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Predict all rows."""
        said = self.model.predict(self.X, batch_size=self.batch_size, verbose=0)
        outputs = torch.from_numpy(np.asarray(to_numpy(first_output(said))))
        if self.head.name == "probabilities" and outputs[0].numel() == 1:
            second = outputs.reshape(-1, 1)
            outputs = torch.cat([1 - second, second], dim=1)
        if self.classes is not None:
            self.head.check(outputs, len(self.classes), f"The model {self.model.name!r}")
        self._collector.update(np.arange(len(outputs)), outputs, self.targets)
        self._collector.end_epoch()
        self._n_epochs += 1

    def on_train_end(self, logs: Any = None) -> None:
        """Make the record."""
        if self._n_epochs:
            self.record_ = TrainingRecord.from_trajectory(
                self._collector.trajectory(), classes=self.classes, outputs=self.head.name
            )
