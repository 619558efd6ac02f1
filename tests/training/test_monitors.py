# SPDX-License-Identifier: BSD-3-Clause
"""Callbacks that wait for a validation set are refused before training, whatever they wait for."""

from functools import partial

import pytest
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    LRScheduler,
    PassthroughScoring,
)
from skorch.helper import predefined_split
from small_nets import NeverTrain
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.utils.data import TensorDataset, default_convert

from sklearn_difficulty import ConsistencyScorer, TrainingDynamicsScorer


def f1(*, on_train):
    return EpochScoring("f1_macro", lower_is_better=False, name="f1", on_train=on_train)


class ByName:
    def __call__(self, net):
        return bool(net.history[-1, "f1_best"])


def passed(net, name):
    return bool(net.history[-1, name or "valid_loss"])


WAITING = {
    "EarlyStopping": lambda: EarlyStopping(),
    "own name": lambda: EarlyStopping("f1", lower_is_better=False),
    "Checkpoint": lambda: Checkpoint(monitor="f1_best", f_params="/nowhere/{}.pt"),
    "by function": lambda: Checkpoint(monitor=lambda net: net.history[-1, "f1_best"]),
    "by partial": lambda: Checkpoint(monitor=partial(passed, name=None)),
    "by object": lambda: Checkpoint(monitor=ByName()),
    "plateau": lambda: LRScheduler(ReduceLROnPlateau, monitor="f1"),
    "plateau by name": lambda: LRScheduler("ReduceLROnPlateau", monitor="valid_acc"),
}


@pytest.mark.parametrize("why", WAITING)
def test_monitors_that_need_a_validation_set(make_net, data, why):
    callback = WAITING[why]()
    net = make_net(callbacks=[f1(on_train=False), callback, NeverTrain()])
    for scorer in (TrainingDynamicsScorer(net), ConsistencyScorer(net, n_members=2)):
        with pytest.raises(ValueError, match=r"monitors '.*predefined_split\(valid_dataset\)"):
            scorer.fit(*data)


class Records(Callback):
    def on_epoch_end(self, net, **kwargs):
        net.history.record("mine", len(net.history))


def test_monitors_that_need_none(make_net, data, tmp_path):
    watching = [
        EarlyStopping("train_loss"),
        EarlyStopping("f1", lower_is_better=False),
        EarlyStopping("mine", lower_is_better=False),
        Checkpoint(monitor="f1_best", dirname=tmp_path),
        Checkpoint(monitor=lambda net: net.history[-1, "train_loss_best"], dirname=tmp_path),
        LRScheduler("StepLR", monitor="valid_loss", step_size=2),  # which it does not look at
        LRScheduler(ReduceLROnPlateau, monitor="train_loss"),
        EpochScoring("accuracy", name="unwatched"),
    ]
    for callback in watching:
        net = make_net(callbacks=[Records(), f1(on_train=True), callback])
        TrainingDynamicsScorer(net).fit(*data)


def test_with_a_validation_set_anything_can_be_watched(make_net, data):
    X, y = (default_convert(part.copy()) for part in data)
    split = predefined_split(TensorDataset(X, y))
    callbacks = [f1(on_train=False), EarlyStopping("f1", lower_is_better=False), EarlyStopping()]
    TrainingDynamicsScorer(make_net(callbacks=callbacks, train_split=split)).fit(*data)


def test_scores_of_batches(make_net, data):
    for scoring in (BatchScoring("accuracy", name="acc"), PassthroughScoring("acc")):
        net = make_net(callbacks=[scoring, EarlyStopping("acc")])
        with pytest.raises(ValueError, match="monitors 'acc', but the network trains on every row"):
            TrainingDynamicsScorer(net).fit(*data)
