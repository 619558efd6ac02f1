# SPDX-License-Identifier: BSD-3-Clause
"""Teachers: trained on a student's rows, heard in its loss, refused where they would leak."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNet
from torch import nn

from .._randomness import further_seed
from .._warnings import located
from ..networks.forward import call_module, evaluation_mode, module_device, module_dtype
from ..networks.heads import first_output
from ..rows.inputs import to_device
from ..rows.labels import listed
from ..rows.rows import Rows
from .checkpoints import CheckpointPlan
from .fit import PreparedCallback, unfitted_clone
from .record import TrainingRecord, frozen_record, train_record
from .recorder import RecordTraining
from .sampler_ids import StandIn
from .skorch_net import (
    StandsForNet,
    has_trained_its_module,
    head_of,
    keep_trace,
    warn_of_seen_rows,
)


def distillation_loss(
    student: torch.Tensor, teacher: torch.Tensor, temperature: float
) -> torch.Tensor:
    """Return T^2 KL(teacher || student), averaged over rows, of logits (n, n_classes)."""
    log_p, log_q = ((logits / temperature).log_softmax(dim=1) for logits in (teacher, student))
    divergence = nn.functional.kl_div(log_q, log_p, reduction="batchmean", log_target=True)
    return temperature**2 * divergence


class Distillation(PreparedCallback):
    """Trains a teacher before a net is trained, or takes a fitted one, and mixes it into the loss.

    It is what makes the net of a `DistilledClassifier` learn from a teacher.
    """

    def __init__(self, teacher: Any, alpha: float, temperature: float) -> None:
        self.teacher = teacher  # a net, or what `given_teacher` reads
        self.alpha = alpha
        self.temperature = temperature

    def __sklearn_clone__(self) -> Distillation:
        teacher = self.teacher
        if isinstance(teacher, NeuralNet):
            teacher = unfitted_clone(self.teacher)
            keep_trace(self.teacher, teacher)
        return type(self)(teacher, self.alpha, self.temperature)

    def initialize(self) -> Distillation:
        """Forget the training before."""
        self.teacher_: TrainingRecord | None = None
        self.is_ready_ = self.is_heard_ = False
        return self

    def prepare(
        self,
        net: NeuralNet,
        X: Rows,
        targets: NDArray[Any],
        classes: NDArray[Any] | None,
        columns: NDArray[Any] | None,
        seed: int,
    ) -> None:
        """Train the teacher on the rows that the net is about to be trained on."""
        assert classes is not None
        assert columns is not None
        record = given_teacher(self.teacher)
        if record is None:
            warn_of_seen_rows(self.teacher)
            with located("in the training of the teacher"):
                record = train_record(
                    self.teacher,
                    X,
                    targets,
                    classes,
                    recorder=RecordTraining(CheckpointPlan()),
                    random_state=further_seed(seed),
                    verbose=net.verbose,
                )
        if record.classes_ is None or not np.array_equal(record.classes_, columns):
            raise ValueError(
                "The columns of the teacher and of the student must stand for the same classes in "
                f"the same order; those of the teacher are "
                f"{None if record.classes_ is None else listed(record.classes_)}, those of the "
                f"student {listed(columns)}."
            )
        self.teacher_ = record
        self.is_ready_ = True
        own_loss, head = net.get_loss, head_of(net)

        def get_loss(y_pred: Any, y_true: Any, X: Any = None, training: bool = False) -> Any:
            loss = own_loss(y_pred, y_true, X=X, training=training)
            if not training:
                return loss
            self.is_heard_ = True
            student = head.logits(first_output(y_pred))
            teacher = _logits(record, X).to(student)
            soft = distillation_loss(student, teacher, self.temperature)
            return (1 - self.alpha) * loss + self.alpha * soft

        net.get_loss = StandIn(net, "get_loss", get_loss)

    def on_epoch_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Raise where no teacher can have been trained."""
        if not self.is_ready_:
            raise ValueError(
                "The net of a DistilledClassifier has no teacher in a fit of its own: fit a "
                "DistilledClassifier, or pass the net to a scorer."
            )

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Raise if a training step of the net's own never asked for the loss."""
        if not self.is_heard_:
            raise ValueError(
                f"The train_step of {type(net).__name__} makes its loss without "
                "get_loss(y_pred, y, X=X, training=True), so it does not learn from the teacher."
            )

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Let a fit of the net's own begin without a teacher."""
        self.is_ready_ = False


def given_teacher(teacher: Any) -> TrainingRecord | None:
    """Return a record of a fitted teacher, None of a net that is to be trained."""
    if isinstance(teacher, TrainingRecord):
        with located("in the record of the teacher"):
            teacher.module  # noqa: B018 (raises if there is none)
        return teacher
    return frozen_record(teacher)


def _logits(record: TrainingRecord, batch: Any) -> torch.Tensor:
    """Return what a teacher says about a batch, as the values before the softmax."""
    module = record.module
    inputs = to_device(batch, module_dtype(module), module_device(module))
    with evaluation_mode(module), torch.no_grad():
        return record.head.logits(call_module(module, inputs))


def refuse_fitted_teacher(estimator: Any) -> None:
    """Raise where rows are held out from training if they have been shown to a fitted teacher."""
    if isinstance(estimator, StandsForNet):
        teachers = [estimator.teacher]
    else:
        callbacks = getattr(estimator, "callbacks", None)
        items = callbacks if isinstance(callbacks, (list, tuple)) else ()
        found = [item[1] if isinstance(item, (tuple, list)) else item for item in items]
        teachers = [item.teacher for item in found if isinstance(item, Distillation)]
    for teacher in teachers:
        is_fitted = isinstance(teacher, (TrainingRecord, FrozenEstimator))
        if is_fitted or (isinstance(teacher, NeuralNet) and has_trained_its_module(teacher)):
            raise ValueError(
                "The teacher of the DistilledClassifier was fitted before, and rows are held out "
                "here: what the teacher has seen of them would leak into the students. Pass an "
                "unfitted net as teacher, which is then trained anew on the rows of each student."
            )
