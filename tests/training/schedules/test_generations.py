# SPDX-License-Identifier: BSD-3-Clause
"""What both callbacks of training in generations have in common, and what they go with."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Checkpoint, EarlyStopping, LoadInitState, LRScheduler
from torch import nn
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    ExponentialLR,
    OneCycleLR,
    ReduceLROnPlateau,
    StepLR,
)

from sklearn_difficulty import LabelErrorScorer, TrainingRecord, VoGScorer
from sklearn_difficulty.training import (
    LaterLayerForgetting,
    RecordTraining,
    ResampledEnsemble,
    SimulatedAnnealingEarlyLayers,
)

BOTH = [SimulatedAnnealingEarlyLayers, LaterLayerForgetting]


@pytest.fixture(params=BOTH)
def schedule(request):
    """Return a function that makes one of the callbacks, of two generations of three epochs."""

    def make(**settings):
        return request.param(**{"n_generations": 2, "epochs_per_generation": 3, **settings})

    return make


@pytest.fixture
def net(make_net):
    """Return a function that makes a net of six epochs, with momentum."""

    def make(*callbacks, **settings):
        defaults = {
            "callbacks": list(callbacks),
            "train_split": None,
            "max_epochs": 6,
            "optimizer__momentum": 0.9,
        }
        return make_net(**{**defaults, **settings})

    return make


def weights(net):
    return {name: p.detach().clone() for name, p in net.module_.named_parameters()}


def assert_equal(a, b):
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_records_count_epochs_through(net, schedule, data):
    record = TrainingRecord.from_fit(net(schedule()), *data, checkpoints=[0, 3, 6], random_state=0)
    assert [c.epoch for c in record.checkpoints] == [0, 3, 6]
    assert record.trajectory.probability.shape[0] == 6
    assert record.net.history[:, "generation"] == [0, 0, 0, 1, 1, 1]
    # The first generation is ordinary training, from the same draws.
    plain = TrainingRecord.from_fit(net(max_epochs=3), *data, checkpoints=[3], random_state=0)
    assert_equal(record.checkpoints[1].state_dict(), plain.checkpoints[0].state_dict())


def test_a_recorder_of_the_user(net, schedule, data):
    for callbacks in ([schedule(), RecordTraining("all")], [RecordTraining("all"), schedule()]):
        trained = net(*callbacks).fit(*data)
        recorder = dict(trained.callbacks_)["RecordTraining"]
        assert [c.epoch for c in recorder.checkpoints_] == [1, 2, 3, 4, 5, 6]


def test_the_same_seed_gives_the_same_weights(net, schedule, data):
    state = torch.get_rng_state(), np.random.get_state()[1].copy()
    made = net(schedule(), module__dropout=0.2, iterator_train__shuffle=True)
    one, same, other = (
        TrainingRecord.from_fit(made, *data, random_state=seed).net for seed in (0, 0, 1)
    )
    assert_equal(weights(one), weights(same))
    assert not torch.equal(*(weights(n)["layers.0.weight"] for n in (one, other)))
    assert torch.equal(state[0], torch.get_rng_state())
    assert (state[1] == np.random.get_state()[1]).all()


def test_scorers_and_grids_take_it(net, schedule, data):
    made = net(("schedule", schedule()))
    assert np.isfinite(VoGScorer(made, random_state=0).fit(*data).difficulty_).all()
    grid = {"callbacks__schedule__split": ["auto", "layers.3"]}
    search = GridSearchCV(made, grid, cv=2, error_score="raise").fit(*data)
    assert search.best_estimator_.history[-1, "generation"] == 1
    copied = clone(made)
    assert copied.callbacks[0][1].get_params() == made.callbacks[0][1].get_params()


def test_members_are_trained_one_by_one_and_kept(net, schedule, data, tmp_path):
    def fit(callback, **settings):
        settings = {"n_members": 2, "train_size": 0.5, "random_state": 0, **settings}
        return ResampledEnsemble(net(callback), cache_dir=tmp_path, **settings).fit(*data)

    name = type(schedule()).__name__
    with pytest.warns(UserWarning, match=f"one by one, because the callback '{name}'"):
        first = fit(schedule(), backend="stacked")
    assert first.backend_ == "joblib"
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    again = fit(schedule(), backend="joblib")
    assert files == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}
    np.testing.assert_array_equal(first.predictions_, again.predictions_)
    fit(schedule(split="layers.3"), n_members=1)
    fit(schedule(split=["layers.0"]), n_members=1)
    assert len([p for p in tmp_path.rglob("*") if p.is_file()]) > len(files)


@pytest.mark.parametrize(
    "policy",
    [
        (StepLR, {"step_size": 2}),
        (ExponentialLR, {"gamma": 0.5}),
        (CosineAnnealingLR, {"T_max": 3}),
        ("WarmRestartLR", {}),
    ],
    ids=str,
)
def test_schedules_of_the_rate_begin_anew(net, schedule, data, policy):
    of_one = net(LRScheduler(policy[0], **policy[1]), max_epochs=3).fit(*data)
    for order in (1, -1):
        callbacks = [LRScheduler(policy[0], **policy[1]), schedule()][::order]
        found = net(*callbacks).fit(*data).history[:, "event_lr"]
        assert found == pytest.approx(of_one.history[:, "event_lr"] * 2)


def test_other_schedules_of_the_rate(net, schedule, data):
    cycle = LRScheduler(OneCycleLR, max_lr=0.2, total_steps=9, step_every="batch")
    rates = [
        [batch["event_lr"] for epoch in trained.history for batch in epoch["batches"]]
        for trained in (
            net(cycle, max_epochs=2).fit(*data),
            net(schedule(epochs_per_generation=2), cycle, max_epochs=4).fit(*data),
        )
    ]
    assert rates[1] == pytest.approx(rates[0] * 2)
    plateau = LRScheduler(ReduceLROnPlateau, monitor="train_loss", patience=0, threshold=10.0)
    rates = net(schedule(), plateau).fit(*data).history[:, "event_lr"]
    assert rates[:3] == rates[3:]
    assert rates[2] < rates[0]


def test_training_is_taken_up_from_files(net, schedule, data, tmp_path):
    def make(**settings):
        keep = Checkpoint(dirname=tmp_path, monitor=None, load_best=False, **settings)
        return net(
            schedule(), keep, LoadInitState(keep), ("rate", LRScheduler(StepLR, step_size=2))
        )

    torch.manual_seed(0)
    whole = net(schedule(), ("rate", LRScheduler(StepLR, step_size=2)))
    whole.partial_fit(*data, epochs=4)
    start = weights(whole)
    torch.manual_seed(0)
    make().initialize().partial_fit(*data, epochs=4)
    taken_up = make().fit(*data)  # six epochs more, as skorch counts, and two as we do
    assert taken_up.history[:, "generation"] == [0, 0, 0, 1, 1, 1]
    whole.partial_fit(*data, epochs=2)
    assert not torch.equal(start["layers.0.weight"], weights(whole)["layers.0.weight"])
    assert_equal(weights(taken_up), weights(whole))


def test_a_record_of_training_that_is_taken_up(net, schedule, data, tmp_path):
    def make():
        keep = Checkpoint(dirname=tmp_path, monitor=None, load_best=False)
        return net(schedule(), keep, LoadInitState(keep))

    make().initialize().partial_fit(*data, epochs=4)
    record = TrainingRecord.from_fit(make(), *data, checkpoints="all", random_state=0)
    assert record.net.history[:, "generation"] == [0, 0, 0, 1, 1, 1]
    assert len(record.checkpoints) == 2
    with pytest.raises(ValueError, match="All 6 epochs"):
        make().fit(*data)


def test_a_schedule_as_long_as_the_training_is_warned_of(net, schedule, data):
    for length, expected in ((6, "set T_max=3"), (3, None)):
        rate = LRScheduler(CosineAnnealingLR, T_max=length)
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always", UserWarning)
            net(schedule(), rate).fit(*data)
        said = [str(w.message) for w in found if "begins anew with each" in str(w.message)]
        assert len(said) == (expected is not None)
        assert not said or expected in said[0]


def test_a_warm_start_goes_on_and_then_ends(net, schedule, data):
    made = net(schedule(), warm_start=True)
    made.partial_fit(*data, epochs=2)
    made.fit(*data)
    assert len(made.history) == 6
    with pytest.raises(ValueError, match=r"All 6 epochs of \w+ have run.*warm_start"):
        made.fit(*data)
    assert len(made.set_params(warm_start=False).fit(*data).history) == 6


def test_the_number_of_epochs_is_that_of_the_generations(net, schedule, data):
    message = r"2 generations of 3 epochs are 6 epochs, and the net has max_epochs=5: set max_ep"
    with pytest.raises(ValueError, match=message):
        net(schedule(), max_epochs=5).fit(*data)
    with pytest.raises(ValueError, match=message):
        LabelErrorScorer(net(schedule(), max_epochs=5), n_members=2).fit(*data)


def test_early_stopping_is_refused(net, schedule, data):
    with pytest.raises(ValueError, match="EarlyStopping ends a training whose score gets worse"):
        net(schedule(), EarlyStopping(monitor="train_loss")).fit(*data)


def test_two_of_a_kind_are_refused(net, data):
    callbacks = [cls(n_generations=2, epochs_per_generation=3) for cls in BOTH]
    with pytest.raises(ValueError, match=r"both make generations.*reset_later=True"):
        net(*callbacks).fit(*data)


def test_several_optimizers_are_refused(net, schedule, data):
    from skorch import NeuralNetClassifier

    class Two(NeuralNetClassifier):
        def initialize_optimizer(self):
            super().initialize_optimizer()
            self.second_ = torch.optim.SGD(self.module_.parameters(), lr=0.1)
            return self

    with pytest.raises(ValueError, match=r"the net has several: \['optimizer', 'second'\]"):
        net(schedule(), cls=Two).fit(*data)


def test_a_module_that_a_callback_shapes(net, schedule, data):
    from skorch.callbacks import InputShapeSetter

    class Shaped(nn.Sequential):
        def __init__(self, input_dim=2):
            super().__init__(nn.Linear(input_dim, 8), nn.Tanh(), nn.Linear(8, 3))

    made = net(schedule(), InputShapeSetter(), module=Shaped).fit(*data)
    assert made.module_[0].in_features == 4
    assert made.history[-1, "generation"] == 1
