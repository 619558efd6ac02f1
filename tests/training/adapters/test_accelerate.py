# SPDX-License-Identifier: BSD-3-Clause
"""Nets that accelerate trains, by skorch's mixin."""

import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_iris
from skorch import NeuralNetClassifier
from skorch.hf import AccelerateMixin
from torch import nn

from sklearn_difficulty import TrainingDynamicsScorer, TrainingRecord, VoGScorer
from sklearn_difficulty.training import MLP, RecordTraining

accelerate = pytest.importorskip("accelerate")

X, Y = load_iris(return_X_y=True)
X = X.astype("float32")
SETTINGS = {
    "module__n_inputs": 4,
    "module__n_outputs": 3,
    "module__hidden_units": (8,),
    "criterion": nn.CrossEntropyLoss,
    "max_epochs": 3,
    "batch_size": 32,
    "iterator_train__shuffle": True,
    "train_split": None,
    "verbose": 0,
}


class AcceleratedNet(AccelerateMixin, NeuralNetClassifier):
    """What a user writes."""


@pytest.fixture
def net():
    return AcceleratedNet(MLP, accelerator=accelerate.Accelerator(cpu=True), **SETTINGS)


@pytest.mark.parametrize("mode", ["training", "evaluation"])
def test_all_is_as_without_it(mode, net, capsys):
    found, expected = (
        TrainingRecord.from_fit(net, X, Y, mode=mode, random_state=0)
        for net in (net, NeuralNetClassifier(MLP, **SETTINGS))
    )
    assert_array_equal(found.trajectory.loss, expected.trajectory.loss)
    assert type(found.module) is MLP
    scores = [VoGScorer(record).fit(X, Y).difficulty_ for record in (found, expected)]
    assert_array_equal(*scores)
    assert not capsys.readouterr().out  # skorch prints with accelerate, whatever verbose says


def test_a_fit_of_the_user_is_recorded(net):
    recorder = RecordTraining()
    net.set_params(callbacks=[recorder], callbacks__print_log__sink=print).fit(X, Y)
    assert recorder.trajectory_problem_ is None
    assert (recorder.trajectory_.count == 1).all()
    record = TrainingRecord.from_net(net)
    scorer = TrainingDynamicsScorer(record, measure="aum").fit(X, Y)
    assert_allclose(scorer.raw_, recorder.trajectory_.margin.mean(axis=0), rtol=1e-5)
