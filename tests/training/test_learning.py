# SPDX-License-Identifier: BSD-3-Clause
"""A training that has taught nothing is an error, or a warning; one that learns is neither."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from skorch import NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import Callback, Checkpoint, LoadInitState
from small_nets import NeverTrain, Tiny
from torch import nn

from sklearn_difficulty import TrainingDynamicsScorer, TrainingRecord
from sklearn_difficulty.training import RecordTraining, ResampledEnsemble
from sklearn_difficulty.training.learning import weight_sums

pytestmark = pytest.mark.usefixtures("one_thread", "seeded")


class StopAtOnce(Callback):
    def on_batch_begin(self, net, **kwargs):
        raise KeyboardInterrupt


class StopAfterABatch(Callback):
    def on_batch_end(self, net, **kwargs):
        raise KeyboardInterrupt


class Accumulating(NeuralNetClassifier):
    """Takes a step every hundred batches."""

    def train_step(self, batch, **fit_params):
        return self.train_step_single(batch, **fit_params)


class Frozen(Tiny):
    def __init__(self, **settings):
        super().__init__(**settings)
        self.requires_grad_(False)


class Detached(Tiny):
    def forward(self, x):
        return super().forward(x).detach()


class TwoLayersWithoutBounds(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(4, 8), nn.Linear(8, 3))


NO_STEP = {
    "no epoch": ({"max_epochs": 0}, "max_epochs=0: no epoch would run"),
    "fewer than none": ({"max_epochs": -1}, "max_epochs=-1: no epoch would run"),
    "dropped": (
        {"batch_size": 64, "iterator_train__drop_last": True},
        "With drop_last=True and batch_size=64 the 48 rows make no batch",
    ),
    "stopped": ({"callbacks": [StopAtOnce()]}, "a callback stopped the training in the first"),
    "empty sampler": (
        {"iterator_train__sampler": []},
        "iterator_train yields no batch. Lower its batch_size, or look at its sampler",
    ),
    "accumulating": ({"cls": Accumulating}, "SGD was not asked for one in 12 batches"),
    "frozen": ({"module": Frozen}, "No weight of Frozen can learn: requires_grad is False"),
    "detached": ({"module": Detached}, "does not depend on the weights of Detached"),
    "a loss per row": ({"criterion__reduction": "none"}, "CrossEntropyLoss is not one number"),
}


@pytest.mark.parametrize("why", NO_STEP)
def test_without_a_step_there_is_no_record(make_net, data, why):
    settings, message = NO_STEP[why]
    with pytest.raises(ValueError, match=message):
        TrainingRecord.from_fit(make_net(**settings), *data)


def test_what_is_known_is_said_before_training(make_net, data):
    for why in ("no epoch", "dropped"):
        settings, message = NO_STEP[why]
        with pytest.raises(ValueError, match=message):
            TrainingRecord.from_fit(make_net(callbacks=[NeverTrain()], **settings), *data)


def test_one_step_is_enough(make_net, data):
    record = TrainingRecord.from_fit(make_net(callbacks=[StopAfterABatch()]), *data)
    assert record.n_epochs == 0
    TrainingRecord.from_fit(make_net(batch_size=-1, iterator_train__drop_last=True), *data)
    # A net of the user's own may do as it likes.
    net = make_net(max_epochs=0, callbacks=[RecordTraining()]).fit(*data)
    assert TrainingRecord.from_net(net, classes=[0, 1, 2]).n_epochs == 0


def fit(net, X, y):
    """Return what is said of a training."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        TrainingRecord.from_fit(net, X, y, random_state=0)
    return [str(w.message) for w in caught if "learned nothing" in str(w.message)]


@pytest.mark.parametrize(
    "settings",
    [
        {"lr": 0.0},
        {"optimizer": torch.optim.Adam, "lr": 0.0, "optimizer__weight_decay": 0.1},
    ],
)
def test_weights_that_have_not_changed(make_net, data, settings):
    [said] = fit(make_net(**settings), *data)
    assert "not a single weight has changed" in said


HEADS = {
    "logits": {},
    "probabilities": {"module__last": nn.Softmax(dim=1), "criterion": nn.NLLLoss},
    "smooth": {"criterion__label_smoothing": 0.2},
}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("max_epochs", [2, 8])
def test_loss_of_a_constant(make_net, data, head, max_epochs):
    X, y = data
    net = make_net(max_epochs=max_epochs, **HEADS[head])
    assert fit(net, X, y) == []
    # An untrained network gets these more wrong than a constant.
    [said] = fit(net.set_params(lr=1e-7), 5 * X, np.random.default_rng(0).permutation(y))
    assert "never fell below that of a constant prediction" in said


@pytest.mark.parametrize("max_epochs", [2, 8])
def test_loss_of_a_constant_regressor(make_net, data, max_epochs):
    X, y = data
    targets = np.stack([y, -y], axis=1).astype(np.float32)
    net = make_net(
        cls=NeuralNetRegressor, criterion=nn.MSELoss, module__n_outputs=2, max_epochs=max_epochs
    )
    assert fit(net, X, targets) == []
    [said] = fit(net.set_params(lr=1e-9), X, targets)
    assert "never fell below that of a constant prediction" in said


@pytest.mark.parametrize("max_epochs", [1, 2, 4, 8])
@pytest.mark.parametrize("lr", [0.003, 0.03, 0.3])
def test_short_trainings_that_learn_raise_no_alarm(make_net, flowers, max_epochs, lr):
    assert fit(make_net(max_epochs=max_epochs, lr=lr), *flowers) == []


def test_a_balanced_sampler_raises_no_alarm(make_net):
    # Where classes are drawn alike, no loss comes near that of a constant on all rows.
    y = (np.arange(2000) >= 1960).astype(np.int64)
    X = np.zeros((2000, 4), dtype=np.float32)
    X[:10], X[1970:] = 1, 1  # of these 40 rows 10 are of class 0
    drawn = [*range(40), *range(1960, 2000)]
    settings = {"max_epochs": 100, "lr": 0.5, "batch_size": 80}
    assert fit(make_net(iterator_train__sampler=drawn, **settings), X, y) == []


@pytest.mark.parametrize("backend", ["joblib", "stacked"])
@pytest.mark.parametrize(
    ("scale", "lr", "message"),
    [
        (1, 1e12, r"became .* in epoch \d+: training diverged"),
        (1e37, 0.01, "in the first batch, before any step: values of X"),
    ],
)
def test_values_that_overflow_are_no_divergence(make_net, data, backend, scale, lr, message):
    net = make_net(module=TwoLayersWithoutBounds, lr=lr, max_epochs=8)
    ensemble = ResampledEnsemble(net, n_members=2, train_size=0.5, backend=backend)
    for estimator in (TrainingDynamicsScorer(net), ensemble):
        with pytest.raises(ValueError, match=message):
            estimator.fit(scale * data[0], data[1])


def warned_of_knowing(estimator, X, y):
    """Return how often a fit warns of weights that come from its rows."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator.fit(X, y)
    return sum("weights come from these rows" in str(w.message) for w in caught)


def test_weights_that_fit_before_the_first_step(make_net, flowers, tmp_path):
    X, y = flowers[0] - flowers[0].mean(axis=0), np.unique(flowers[1], return_inverse=True)[1]
    fitted = make_net(module=Tiny(), max_epochs=60, lr=0.3).fit(X, y)
    saved = Checkpoint(dirname=tmp_path, monitor=None)
    make_net(max_epochs=60, lr=0.3, callbacks=[saved]).fit(X, y)
    nets = {
        "clone": clone(fitted),
        "handed on": make_net(module=fitted.module_),
        "loaded": make_net(callbacks=[LoadInitState(saved)]),
    }
    for net in nets.values():
        net.set_params(max_epochs=1)
        assert warned_of_knowing(TrainingDynamicsScorer(net), X, y) == 1
        assert warned_of_knowing(ResampledEnsemble(net, n_members=2, train_size=0.5), X, y) == 1
    for net in (fitted, make_net(module=Tiny()), make_net()):  # said in other words; fresh weights
        assert warned_of_knowing(TrainingDynamicsScorer(net), X, y) == 0
    other_labels = np.random.default_rng(0).permutation(y)
    assert warned_of_knowing(TrainingDynamicsScorer(nets["clone"]), X, other_labels) == 0


def test_regressor_that_fits_before_the_first_step(make_net, data):
    X = data[0]
    settings = {"cls": NeuralNetRegressor, "criterion": nn.MSELoss}
    targets = X[:, :3] @ np.eye(3, dtype=np.float32)
    fitted = make_net(module=Tiny(), max_epochs=300, lr=0.3, **settings).fit(X, targets)
    net = make_net(module=fitted.module_, **settings)
    assert warned_of_knowing(TrainingDynamicsScorer(net, measure="loss"), X, targets) == 1
    net = make_net(module=Tiny(), **settings)
    assert warned_of_knowing(TrainingDynamicsScorer(net, measure="loss"), X, targets) == 0


def test_sums_see_any_change():
    module = nn.Linear(3, 2)
    module.phase = nn.Parameter(torch.tensor([1j, 2 - 1j]))
    module.scale = nn.Parameter(torch.tensor(2.0))
    module.nothing = nn.Parameter(torch.zeros(0, 3))
    before = weight_sums(module)
    assert weight_sums(module) == before
    for name in ("weight", "bias", "phase", "scale"):
        with torch.no_grad():
            getattr(module, name).view(-1)[0] += 1e-6
        after = weight_sums(module)
        assert after != before
        before = after
