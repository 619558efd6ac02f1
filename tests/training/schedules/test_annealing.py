# SPDX-License-Identifier: BSD-3-Clause
"""SimulatedAnnealingEarlyLayers against the procedure written out, and what goes with it."""

import copy
import pickle

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback, LRScheduler
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR

from sklearn_difficulty.training import SimulatedAnnealingEarlyLayers

EARLY, LATER = slice(0, 2), slice(4, 6)  # the parameters of the two layers below


class Normed(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3))


def seal(**settings):
    defaults = {"split": "3", "n_generations": 2, "epochs_per_generation": 4, "ascent_epochs": 2}
    return SimulatedAnnealingEarlyLayers(**{**defaults, **settings})


def parameters(net):
    return [p.detach().clone() for p in net.module_.parameters()]


def assert_equal(a, b):
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


class Noting(torch.optim.SGD):
    """Notes rate and decay of every group in every step."""

    steps = []

    def step(self, closure=None):
        self.steps.append({g["layers"]: (g["lr"], g["weight_decay"]) for g in self.param_groups})
        return super().step(closure)


class Between(Callback):
    """Notes what the optimizer holds between steps."""

    def initialize(self):
        self.n_buffers_, self.rates_ = [], set()
        return self

    def on_epoch_begin(self, net, **kwargs):
        self.n_buffers_.append(len(net.optimizer_.state))

    def on_batch_begin(self, net, **kwargs):
        self.rates_ |= {group["lr"] for group in net.optimizer_.param_groups}


@pytest.fixture
def steps():
    Noting.steps.clear()
    return Noting.steps


@pytest.fixture
def net(make_net, data):
    """Return a function that makes a net of eight epochs, of three batches each, from one start."""
    torch.manual_seed(0)
    module = Normed()

    def make(*callbacks, **settings):
        defaults = {
            "callbacks": list(callbacks),
            "train_split": None,
            "max_epochs": 8,
            "optimizer__momentum": 0.9,
            "optimizer__weight_decay": 0.1,
        }
        return make_net(copy.deepcopy(module), **{**defaults, **settings})

    return make


# ------------------------------------------------------------------------------- the procedure


def by_hand(module, data, *, scale, rate=lambda epoch: 0.1):
    """Train two generations of four epochs in a plain loop, as the paper has it."""
    X, y = map(torch.tensor, data)
    early = [*module[0].parameters(), *module[1].parameters()]
    groups = [list(module[3].parameters()), early]
    optimizer = None
    for epoch in range(8):
        generation, e = divmod(epoch, 4)
        if optimizer is None or (generation and e in (0, 2)):
            settings = {"lr": 1.0, "momentum": 0.9, "weight_decay": 0.1}
            optimizer = torch.optim.SGD([{"params": g} for g in groups], **settings)
        climbs = generation > 0 and e < 2
        for group in optimizer.param_groups:
            group["lr"], group["weight_decay"] = rate(e), 0.1
        if climbs:
            climbing = optimizer.param_groups[1]
            climbing["lr"], climbing["weight_decay"] = -scale * rate(e), 0.0
        for start in range(0, 48, 16):
            optimizer.zero_grad()
            rows = slice(start, start + 16)
            nn.functional.cross_entropy(module(X[rows]), y[rows]).backward()
            optimizer.step()
    return module


@pytest.mark.parametrize("scale", [0.01, 1.0, -1.0])
def test_it_is_the_procedure_of_the_paper(net, data, scale):
    made = net(seal(ascent_scale=scale))
    reference = by_hand(copy.deepcopy(made.module), data, scale=scale)
    made.fit(*data)
    assert_equal(parameters(made), [p.detach() for p in reference.parameters()])
    assert_equal(made.module_.buffers(), reference.buffers())


def test_fused_steps_climb_too(net, data):
    made = net(seal(), optimizer__fused=True)
    reference = by_hand(copy.deepcopy(made.module), data, scale=0.01)
    made.fit(*data)
    for ours, theirs in zip(parameters(made), reference.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs.detach())


def test_ascent_by_a_descending_step_is_training_with_restarts(net, data):
    settings = {"optimizer__momentum": 0.0}  # else it would be emptied once more
    restarts = net(seal(ascent_epochs=0), **settings).fit(*data)
    down = net(seal(ascent_scale=-1.0, ascent_weight_decay=1.0), **settings).fit(*data)
    up = net(seal(), **settings).fit(*data)
    assert_equal(parameters(down), parameters(restarts))
    assert not torch.equal(parameters(up)[0], parameters(restarts)[0])


def test_one_step_of_ascent(net, data):
    made = net(seal(epochs_per_generation=2, ascent_epochs=1), max_epochs=4, batch_size=-1)
    made.partial_fit(*data, epochs=2)
    before = parameters(made)
    loss = nn.functional.cross_entropy(
        made.module_.train()(torch.tensor(data[0])), torch.tensor(data[1])
    )
    gradients = torch.autograd.grad(loss, list(made.module_.parameters()))
    made.partial_fit(*data, epochs=1)
    steps = [new - old for new, old in zip(parameters(made), before, strict=True)]
    for step, g in zip(steps[EARLY], gradients[EARLY], strict=True):
        torch.testing.assert_close(step, 0.01 * 0.1 * g, atol=1e-7, rtol=1e-3)
    for step, g, w in zip(steps[LATER], gradients[LATER], before[LATER], strict=True):
        torch.testing.assert_close(step, -0.1 * (g + 0.1 * w), atol=1e-7, rtol=1e-4)


def test_epochs_and_groups_that_ascend(net, data, steps):
    between = Between()
    made = net(seal(n_generations=3), between, max_epochs=12, optimizer=Noting).fit(*data)
    assert len(steps) == 36
    rising = [step["early"] == (pytest.approx(-0.001), 0.0) for step in steps[::3]]
    assert rising == [False] * 4 + [True, True, False, False] * 2
    assert rising == made.history[:, "event_ascent"]
    assert all(step["later"] == (0.1, 0.1) for step in steps)
    # Between steps, schedules and the history see the rate of descent.
    assert between.rates_ == {0.1}
    # No momentum where a generation begins, and where ascent ends.
    empty = [n == 0 for n in between.n_buffers_]
    assert empty == [True, *[False] * 3, *[True, False, True, False] * 2]


def test_quarter():
    for n_epochs, expected in ((2, 1), (4, 1), (7, 1), (12, 3), (160, 40)):
        assert (
            seal(ascent_epochs="quarter", epochs_per_generation=n_epochs)._n_ascents() == expected
        )


def test_running_statistics_follow_the_ascent(net, data):
    made = net(seal(epochs_per_generation=4)).partial_fit(*data, epochs=4)
    before = made.module_[1].running_mean.clone()
    made.partial_fit(*data, epochs=1)
    assert not torch.equal(made.module_[1].running_mean, before)


def test_reverse(net, data, steps):
    net(seal(reverse=True), optimizer=Noting).fit(*data)
    assert steps[12] == {"early": (0.1, 0.1), "later": (pytest.approx(-0.001), 0.0)}


def test_freeze_descenders(net, data):
    made = net(seal(freeze_descenders=True)).partial_fit(*data, epochs=4)
    before = parameters(made)
    made.partial_fit(*data, epochs=2)
    assert_equal(parameters(made)[LATER], before[LATER])
    assert not torch.equal(parameters(made)[0], before[0])
    made.partial_fit(*data, epochs=1)
    assert not torch.equal(parameters(made)[4], before[4])


def test_reset_later(net, data):
    plain = net(seal()).fit(*data)
    torch.manual_seed(0)
    made = net(seal(reset_later=True), NothingMoves()).fit(*data)
    torch.manual_seed(0)
    again = net(seal(reset_later=True)).fit(*data)
    moved = made.callbacks[1].moved_
    assert moved[4] == ["3.weight"]
    assert not any(moved[i] for i in range(8) if i != 4)
    assert_equal(parameters(made), parameters(again))
    assert not torch.equal(parameters(made)[4], parameters(plain)[4])


class NothingMoves(Callback):
    """Notes which parameters change between epochs."""

    def initialize(self):
        self.moved_, self.before_ = {}, None
        return self

    def on_epoch_begin(self, net, **kwargs):
        now = {k: v.clone() for k, v in net.module_.named_parameters()}
        before = self.before_ or now
        self.moved_[len(net.history) - 1] = [k for k in now if not torch.equal(now[k], before[k])]

    def on_epoch_end(self, net, **kwargs):
        self.before_ = {k: v.clone() for k, v in net.module_.named_parameters()}


# ------------------------------------------------------------------------------ schedules, groups


@pytest.mark.parametrize("is_first", [True, False])
def test_schedules_begin_anew(net, data, is_first):
    schedule = LRScheduler(CosineAnnealingLR, T_max=4, eta_min=0.01)
    order = [seal(), schedule] if is_first else [schedule, seal()]
    made = net(*order)

    def rate(epoch):
        return 0.01 + 0.09 * (1 + np.cos(np.pi * epoch / 4)) / 2

    reference = by_hand(copy.deepcopy(made.module), data, scale=0.01, rate=rate)
    made.fit(*data)
    assert made.history[:, "event_lr"] == pytest.approx([rate(e) for e in (0, 1, 2, 3)] * 2)
    for ours, theirs in zip(parameters(made), reference.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs.detach())


@pytest.mark.parametrize("step_every", ["epoch", "batch"])
def test_training_goes_on_where_it_was(net, data, step_every):
    def make():
        length = 4 if step_every == "epoch" else 12
        schedule = LRScheduler(CosineAnnealingLR, T_max=length, step_every=step_every)
        return net(seal(ascent_epochs=2), schedule, lr=0.05)

    whole = make().fit(*data)
    parts = make()
    for n_epochs in (3, 2, 1, 2):
        parts.partial_fit(*data, epochs=n_epochs)
        parts = pickle.loads(pickle.dumps(parts))
    assert parts.history[:, "generation"] == [0] * 4 + [1] * 4
    for ours, theirs in zip(parameters(parts), parameters(whole), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_groups_of_the_user_are_divided(net, data):
    groups = [("*.bias", {"weight_decay": 0.0, "lr": 0.2})]
    made = net(seal(), optimizer__param_groups=groups).fit(*data)
    shown = [(g["layers"], g["lr"], g["weight_decay"]) for g in made.optimizer_.param_groups]
    both = [("early", 0.2, 0.0), ("later", 0.2, 0.0), ("early", 0.1, 0.1), ("later", 0.1, 0.1)]
    assert shown == both
    n_params = [len(g["params"]) for g in made.optimizer_.param_groups]
    assert n_params == [2, 1, 2, 1]


def test_one_value_for_each_group_is_not_enough(net, data):
    schedule = LRScheduler(LambdaLR, lr_lambda=[lambda epoch: 1.0])
    with pytest.raises(ValueError, match="lr_lambdas") as caught:
        net(seal(), schedule).fit(*data)
    made = net(schedule, seal())
    with pytest.raises(ValueError, match="lr_lambdas") as caught:
        made.fit(*data)
    assert any("2 in all" in note for note in caught.value.__notes__)


def test_a_loss_that_learns_never_climbs(net, data, steps):
    class Tempered(nn.CrossEntropyLoss):
        def __init__(self):
            super().__init__()
            self.temperature = nn.Parameter(torch.ones(()))

        def forward(self, logits, y):
            return super().forward(logits / self.temperature, y)

    net(seal(reverse=True), criterion=Tempered, optimizer=Noting).fit(*data)
    assert steps[12]["other"] == (0.1, 0.1)


def test_frozen_layers_stay(net, data):
    made = net(seal())
    made.module[0].requires_grad_(False)
    start = [p.clone() for p in made.module[0].parameters()]
    made.fit(*data)
    assert_equal(made.module_[0].parameters(), start)


# --------------------------------------------------------------------------------- what ends badly


class Breaks(Callback):
    def __init__(self, error=None):
        self.error = error

    def on_grad_computed(self, net, **kwargs):
        if self.error is not None and len(net.history) == 5:
            raise self.error


def test_an_error_in_a_step_leaves_no_ascent(net, data):
    made = net(seal(), Breaks(RuntimeError("stop")))
    with pytest.raises(RuntimeError, match="stop"):
        made.fit(*data)
    made.set_params(callbacks__Breaks__error=None)
    made.partial_fit(*data, epochs=2)  # skorch says nothing to callbacks when an error is raised
    assert [group["lr"] for group in made.optimizer_.param_groups] == [0.1, 0.1]
    assert not made.optimizer_._optimizer_step_pre_hooks


def test_ctrl_c_in_a_step_leaves_no_ascent(net, data):
    made = net(seal(), Breaks(KeyboardInterrupt())).fit(*data)
    assert made.history[-1, "event_ascent"]
    assert [group["lr"] for group in made.optimizer_.param_groups] == [0.1, 0.1]
    assert not made.optimizer_._optimizer_step_pre_hooks


def test_ascent_that_diverges_is_named(net, data):
    message = "in epoch [12] of generation 1, an epoch of ascent.*Lower ascent_scale"
    with pytest.raises(ValueError, match=message):
        net(seal(ascent_scale=1e30)).fit(*data)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ascent_epochs": 4}, "leaves no epoch of descent in a generation of 4"),
        ({"ascent_epochs": "quarter", "epochs_per_generation": 1}, "no epoch of descent"),
        ({"ascent_epochs": "half"}, "'ascent_epochs' parameter"),
        ({"ascent_scale": float("nan")}, "'ascent_scale' parameter"),
        ({"ascent_scale": float("inf")}, "'ascent_scale' parameter"),
        ({"ascent_weight_decay": -1.0}, "'ascent_weight_decay' parameter"),
        ({"n_generations": 0}, "'n_generations' parameter"),
        ({"split": 3}, "'split' parameter"),
    ],
)
def test_parameters_that_mean_nothing(net, data, settings, message):
    with pytest.raises(ValueError, match=message):
        net(seal(**settings)).fit(*data)


def test_optimizers_that_normalise_are_refused(make_net, data):
    settings = {"optimizer": torch.optim.Adam, "max_epochs": 8, "train_split": None}
    with pytest.raises(ValueError, match=r"Adam does not step in proportion.*torch.optim.SGD"):
        make_net(callbacks=[seal(split="auto")], **settings).fit(*data)
    made = make_net(callbacks=[seal(split="auto", ascent_epochs=0)], **settings).fit(*data)
    assert made.history[-1, "generation"] == 1


class Pickles(Callback):
    def on_grad_computed(self, net, **kwargs):
        self.texts_ = [pickle.dumps(net)]

    def __getstate__(self):
        return {}


def test_a_net_can_be_pickled_in_the_middle_of_ascent(net, data):
    made = net(seal(), Pickles()).partial_fit(*data, epochs=5)
    (text,) = made.callbacks[1].texts_
    found = pickle.loads(text)
    assert found.history[-1, "event_ascent"]
    found.partial_fit(*data, epochs=1)
    assert [group["lr"] for group in found.optimizer_.param_groups] == [0.1, 0.1]
