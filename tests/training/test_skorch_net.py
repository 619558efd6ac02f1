# SPDX-License-Identifier: BSD-3-Clause
"""What a net's module returns, and the clone that is to be trained."""

import contextlib
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from skorch import NeuralNet, NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import Checkpoint, EarlyStopping, EpochScoring, LRScheduler
from skorch.dataset import Dataset, ValidSplit
from skorch.helper import predefined_split
from torch import nn
from torch.utils.data import DataLoader

from sklearn_difficulty.networks.forward import call_module, evaluation_mode, module_dtype
from sklearn_difficulty.training import RecordTraining, TrainingRecord
from sklearn_difficulty.training.fit import training_clone
from sklearn_difficulty.training.recorder import find_recorder
from sklearn_difficulty.training.skorch_net import (
    collate_fn,
    frozen_net,
    head_of,
    is_regression,
)

LOGITS = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0]])


@pytest.mark.parametrize(
    ("cls", "criterion", "outputs", "n_classes", "kind"),
    [
        (NeuralNetClassifier, nn.CrossEntropyLoss, LOGITS, 3, "logits"),
        (NeuralNetClassifier, nn.MultiMarginLoss, LOGITS, 3, "logits"),
        (NeuralNetClassifier, nn.NLLLoss, LOGITS.softmax(1), 3, "probabilities"),
        (NeuralNet, nn.NLLLoss, LOGITS.log_softmax(1), 3, "log_probabilities"),
        (NeuralNetBinaryClassifier, nn.BCEWithLogitsLoss, LOGITS[:, 0], 2, "binary_logit"),
        (NeuralNetClassifier, nn.BCEWithLogitsLoss, LOGITS[:, :1], 2, "binary_logit"),
        (NeuralNetRegressor, nn.MSELoss, LOGITS[:, :1], None, "values"),
        (NeuralNetRegressor, nn.MSELoss, LOGITS, None, "values"),
    ],
)
def test_kind_of_output(make_net, cls, criterion, outputs, n_classes, kind):
    net = make_net(cls=cls, criterion=criterion).initialize()
    assert head_of(net).name == kind
    head_of(net).check(outputs, n_classes, "Tiny")


@pytest.mark.parametrize(
    ("criterion", "outputs", "n_classes", "message"),
    [
        (nn.NLLLoss, LOGITS, 3, "NLLLoss.*return probabilities.*criterion=nn.CrossEntropyLoss"),
        (nn.NLLLoss, LOGITS.log_softmax(1), 3, "Tiny must return probabilities"),
        (nn.NLLLoss, nn.functional.softplus(LOGITS), 3, "Tiny must return probabilities"),
        (nn.CrossEntropyLoss, LOGITS, 4, r"shape \(2, 3\).*4 classes.*one column per class"),
        (nn.CrossEntropyLoss, LOGITS[:, :1], 2, "one column per class"),
        (nn.CrossEntropyLoss, LOGITS[:, 0], 2, "one column per class"),
        (nn.BCEWithLogitsLoss, LOGITS[:, 0], 3, "needs two classes and one logit.*3 classes"),
        (nn.BCEWithLogitsLoss, LOGITS[:, :2], 2, r"one logit a row.*returns \(2,\)"),
    ],
)
def test_unsuitable_output(make_net, criterion, outputs, n_classes, message):
    net = make_net(criterion=criterion).initialize()
    with pytest.raises(ValueError, match=message):
        head_of(net).check(outputs, n_classes, "Tiny")


@pytest.mark.parametrize("outputs", [LOGITS, LOGITS.softmax(1)])
def test_plain_net_under_nllloss_must_return_log_probabilities(make_net, outputs):
    head = head_of(make_net(cls=NeuralNet, criterion=nn.NLLLoss).initialize())
    with pytest.raises(ValueError, match="must return log-probabilities"):
        head.check(outputs, 3, "Tiny")


@pytest.mark.parametrize(
    ("cls", "criterion", "expected"),
    [
        (NeuralNetRegressor, nn.MSELoss, True),
        (NeuralNet, nn.L1Loss, True),
        (NeuralNet, nn.HuberLoss(), True),
        (NeuralNet, nn.CrossEntropyLoss, False),
        (NeuralNetClassifier, nn.NLLLoss, False),
    ],
)
def test_is_regression(make_net, cls, criterion, expected):
    assert is_regression(make_net(cls=cls, criterion=criterion)) is expected


def test_frozen_net_is_unwrapped(make_net):
    net = make_net()
    assert frozen_net(FrozenEstimator(net)) is net
    assert frozen_net(net) is None
    with pytest.raises(TypeError, match="holds LogisticRegression"):
        frozen_net(FrozenEstimator(LogisticRegression()))


def test_evaluation_mode_restores_each_submodule(tiny_module):
    module = tiny_module()
    module.layers[2].eval()  # frozen dropout inside a module that trains
    with contextlib.suppress(KeyError), evaluation_mode(module):
        assert not any(m.training for m in module.modules())
        raise KeyError
    assert [m.training for m in module.layers] == [True, True, False, True]


def test_call_module_spreads_dicts_and_takes_the_first_output():
    class Two(nn.Module):
        def forward(self, a, b=1):
            return a + b, "more"

    one = torch.ones(1)
    assert call_module(Two(), {"a": one, "b": one}).item() == 2
    assert call_module(Two(), one).item() == 2


@pytest.mark.parametrize(
    ("module", "dtype"),
    [
        (nn.Linear(1, 1).double(), torch.float64),
        (nn.ReLU(), torch.float32),
        (nn.BatchNorm1d(1, affine=False).double(), torch.float64),
    ],
)
def test_module_dtype(module, dtype):
    assert module_dtype(module) == dtype


# -------------------------------------------------------------------------------- the clone


def test_default_split_is_switched_off_on_the_clone_only(make_net):
    net = make_net(verbose=1)
    split = net.train_split
    clone = training_clone(net, verbose=0)
    assert isinstance(split, ValidSplit)
    assert net.train_split is split
    assert (net.verbose, net.callbacks, net.initialized_) == (1, None, False)
    assert (clone.train_split, clone.verbose) == (None, 0)


@pytest.mark.parametrize("split", [ValidSplit(3), ValidSplit(0.5), None])
def test_every_row_is_trained_on(make_net, data, split):
    record = TrainingRecord.from_fit(make_net(train_split=split), *data)
    batches = record.net.history[-1, "batches", :, "train_batch_size"]
    assert sum(batches) == len(data[0])
    assert "valid_loss" not in record.net.history[-1]


@pytest.mark.parametrize("names", [[0, 1, 2], [3, 7, 9], ["a", "b", "c"]])
def test_predefined_split_is_used_and_its_labels_are_translated(make_net, data, names):
    X, codes = data
    y = np.asarray(names)[codes]
    net = make_net(train_split=predefined_split(Dataset(X[:12].astype(np.float64), y[:12])))
    split = net.train_split
    record = TrainingRecord.from_fit(net, X, y, random_state=0)
    assert net.train_split is split
    assert record.net.train_split.keywords["valid_ds"][0][1] == y[0]  # the user's labels again
    with torch.no_grad():
        logits = record.module(torch.tensor(X[:12]))
        expected = nn.functional.cross_entropy(logits, torch.tensor(codes[:12]))
    assert record.net.history[-1, "valid_loss"] == pytest.approx(expected.item(), rel=1e-5)
    assert len(record.net.history) == 4


def test_strange_validation_labels_are_named(make_net, data):
    X, y = data
    net = make_net(train_split=predefined_split(Dataset(X, y)))
    with pytest.raises(ValueError, match=r"not trained on: \[0, 1, 2\]") as error:
        TrainingRecord.from_fit(net, X, y + 5)
    assert "predefined_split" in error.value.__notes__[0]


@pytest.mark.parametrize(
    ("callback", "monitor"),
    [
        (EarlyStopping(), "valid_loss"),
        (EarlyStopping(monitor="valid_acc"), "valid_acc"),
        (LRScheduler("ReduceLROnPlateau", monitor="valid_loss"), "valid_loss"),
        (Checkpoint(), "valid_loss_best"),
    ],
)
def test_monitor_without_validation_set(make_net, data, callback, monitor):
    net = make_net(callbacks=[callback])
    with pytest.raises(ValueError, match=f"monitors '{monitor}'.*predefined_split"):
        TrainingRecord.from_fit(net, *data)
    net.set_params(train_split=predefined_split(Dataset(*data)))
    if not isinstance(callback, Checkpoint):  # which writes into the working directory
        TrainingRecord.from_fit(net, *data)


def test_callbacks_disable_stays_disabled_but_for_the_recorder(make_net, data):
    net = make_net(callbacks="disable")
    record = TrainingRecord.from_fit(net, *data)
    assert net.callbacks == "disable"
    assert [name for name, _ in record.net.callbacks_] == ["record_training"]
    assert len(record.checkpoints) == 4


def test_net_without_default_callbacks(make_net, data):
    class Bare(NeuralNetClassifier):
        @property
        def _default_callbacks(self):
            return []

    assert len(TrainingRecord.from_fit(make_net(cls=Bare), *data).checkpoints) == 4


@pytest.mark.parametrize("named", [True, False])
def test_own_recorder_is_kept_and_the_users_one_is_not_touched(make_net, data, named):
    recorder = RecordTraining([1, 3])
    scoring = EpochScoring("accuracy", on_train=True, name="accuracy")
    net = make_net(callbacks=[scoring, ("mine", recorder) if named else recorder])
    record = TrainingRecord.from_fit(net, *data, checkpoints="all")
    assert [c.epoch for c in record.checkpoints] == [1, 3]
    assert sum(isinstance(c, RecordTraining) for _, c in record.net.callbacks_) == 1
    assert not hasattr(recorder, "checkpoints_")
    assert find_recorder(net.callbacks) is recorder


def test_collate_fn_is_found(make_net):
    def collate(items):
        return items

    assert collate_fn(None) is collate_fn(make_net()) is None
    for iterator in ("valid", "train"):
        net = make_net(**{f"iterator_{iterator}__collate_fn": collate})
        assert collate_fn(net) is collate
        loader = partial(DataLoader, collate_fn=collate)
        assert collate_fn(make_net(**{f"iterator_{iterator}": loader})) is collate


def test_a_split_of_the_users_own_is_left_out_with_a_warning():
    net = NeuralNetClassifier(nn.Linear(3, 2), train_split=ValidSplit(0.3))
    with pytest.warns(UserWarning, match=r"is left out.*predefined_split"):
        training_clone(net, verbose=0)
