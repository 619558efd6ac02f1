# SPDX-License-Identifier: BSD-3-Clause
"""LaterLayerForgetting: what is drawn anew, and what stays."""

import copy
import math

import pytest
import torch
from skorch.callbacks import Callback
from torch import nn

from sklearn_difficulty.training import LaterLayerForgetting


class Convolutional(nn.Sequential):
    """Two layers with norms and a head; rows have four features."""

    def __init__(self):
        super().__init__(
            nn.Unflatten(1, (1, 2, 2)),
            nn.Conv2d(1, 6, 3, padding=1),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Conv2d(6, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(16, 3),
        )


class Draws(Callback):
    """Notes the state before and after every draw."""

    def initialize(self):
        self.pairs_, self.before_ = [], None
        return self

    def on_epoch_begin(self, net, **kwargs):
        if self.before_ is not None and net.history[-1, "generation"] > self.generation_:
            self.pairs_.append((self.before_, copy.deepcopy(net.module_.state_dict())))

    def on_epoch_end(self, net, **kwargs):
        self.before_ = copy.deepcopy(net.module_.state_dict())
        self.generation_ = net.history[-1, "generation"]


@pytest.fixture
def draws(make_net, data):
    """Return a function that trains and returns the states around both draws."""

    def make(seed=0, **settings):
        torch.manual_seed(seed)
        llf = LaterLayerForgetting(**{"n_generations": 3, "epochs_per_generation": 2, **settings})
        callbacks = [llf, Draws()]
        net = make_net(Convolutional(), callbacks=callbacks, train_split=None, max_epochs=6)
        net.fit(*data)
        assert len(net.callbacks[1].pairs_) == 2
        return net.callbacks[1].pairs_

    return make


def changed(pair):
    before, after = pair
    return [name for name in before if not torch.equal(before[name], after[name])]


def test_later_weights_are_drawn_and_the_rest_stays(draws):
    for pair in draws(split="4"):
        # Biases, norms and their statistics stay.
        assert changed(pair) == ["4.weight", "8.weight"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ["4.weight", "8.weight"]),  # of two blocks the second, and the head
        ({"split": ["1"]}, ["1.weight"]),
        ({"layers": "early"}, ["1.weight"]),
        ({"layers": "all"}, ["1.weight", "4.weight", "8.weight"]),
    ],
)
def test_whose_weights(draws, settings, expected):
    assert changed(draws(**settings)[0]) == expected


def test_every_generation_draws_other_weights(draws):
    (_, first), (_, second) = draws()
    assert not torch.equal(first["8.weight"], second["8.weight"])


def test_a_fixed_draw_is_the_same_in_all(draws):
    (_, first), (before, second) = draws(draw="fixed")
    assert torch.equal(first["8.weight"], second["8.weight"])
    assert torch.equal(first["4.weight"], second["4.weight"])
    assert not torch.equal(before["8.weight"], second["8.weight"])


def test_draws_follow_the_seed(draws):
    one, same, other = (draws(seed=seed)[1][1]["8.weight"] for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_the_draw_is_that_of_the_layer(draws):
    after = draws(split="4")[0][1]
    for name, n_inputs in (("4.weight", 6 * 9), ("8.weight", 16)):
        bound = 1 / math.sqrt(n_inputs)
        assert 0.8 * bound < after[name].abs().max() <= bound


class Wide(nn.Sequential):
    """Draws one layer in a way of its own; the other holds what might come from a file."""

    def __init__(self):
        super().__init__(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8), nn.Linear(8, 3))
        nn.init.uniform_(self[2].weight, 5, 6)
        nn.init.constant_(self[3].weight, 7)


def test_a_module_draws_in_its_own_way_if_it_can_be_made(make_net, data):
    for module, is_own in ((Wide, True), (Wide(), False)):
        llf = LaterLayerForgetting("2", n_generations=2, epochs_per_generation=1)
        net = make_net(module, callbacks=[llf, Draws()], max_epochs=2).fit(*data)
        after = net.callbacks[1].pairs_[0][1]
        assert (after["2.weight"].min() >= 5) == is_own
        assert after["3.weight"].abs().max() < 1  # by the layer: no constant, no file again


def test_filters_are_kept(draws):
    for before, after in draws(layers="all", keep="filters", keep_share=0.5):
        same = {name: before[name] == after[name] for name in before}
        assert same["1.weight"][:3].all()  # all inputs of the first layer
        assert not same["1.weight"][3:].any()
        assert same["4.weight"][:2, :3].all()
        assert not same["4.weight"][2:].any()
        assert not same["4.weight"][:, 3:].any()
        assert same["8.weight"][:, :8].all()  # all outputs of the last one
        assert not same["8.weight"][:, 8:].any()


def test_weights_are_kept_by_chance_and_the_same_ones(draws):
    kept = [
        before["4.weight"] == after["4.weight"]
        for before, after in draws(layers="all", keep="weights", keep_share=0.7)
    ]
    assert torch.equal(*kept)
    assert 0.55 < kept[0].float().mean() < 0.85


def test_any_optimizer_will_do_and_is_made_anew(make_net, data):
    class Sizes(Callback):
        def on_epoch_begin(self, net, **kwargs):
            net.history.record("n_states", len(net.optimizer_.state))

    llf = LaterLayerForgetting(n_generations=2, epochs_per_generation=2)
    net = make_net(callbacks=[llf, Sizes()], optimizer=torch.optim.Adam, lr=0.01).fit(*data)
    assert net.history[:, "n_states"] == [0, 4, 0, 4]


def test_layers_of_other_kinds_draw_in_their_way(make_net, data):
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(4, 8)
            self.custom = nn.ParameterList([nn.Parameter(torch.ones(8, 8))])
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
            self.head = nn.Linear(8, 3)

        def forward(self, x):
            x = torch.tanh(self.first(x) @ self.custom[0])[:, None]
            return self.head(x + self.attention(x, x, x)[0]).mean(dim=1)

    llf = LaterLayerForgetting("custom", n_generations=2, epochs_per_generation=1)
    net = make_net(Own, callbacks=[llf, Draws()], max_epochs=2).fit(*data)
    expected = ["custom.0", "attention.in_proj_weight", "attention.out_proj.weight", "head.weight"]
    assert changed(net.callbacks_[-2][1].pairs_[0]) == expected


def test_frozen_layers_are_not_drawn(make_net, data):
    llf = LaterLayerForgetting("4", n_generations=2, epochs_per_generation=1)
    net = make_net(Convolutional(), callbacks=[llf, Draws()], max_epochs=2)
    net.module[4].requires_grad_(False)
    net.fit(*data)
    assert changed(net.callbacks[1].pairs_[0]) == ["8.weight"]


def test_what_cannot_be_drawn_is_refused(make_net, data):
    parametrizations = nn.utils.parametrizations
    for wrap in (parametrizations.weight_norm, parametrizations.orthogonal, nn.utils.spectral_norm):
        module = nn.Sequential(nn.Linear(4, 8), wrap(nn.Linear(8, 3)))
        llf = LaterLayerForgetting(n_generations=2, epochs_per_generation=1)
        with pytest.raises(ValueError, match="one part of a parametrized weight"):
            make_net(module, callbacks=[llf], max_epochs=2).fit(*data)
    llf = LaterLayerForgetting(["1.bias"], n_generations=2, epochs_per_generation=1)
    module = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 3))
    with pytest.raises(ValueError, match=r"no weight to draw anew among \['1.bias'\]"):
        make_net(module, callbacks=[llf], max_epochs=2).fit(*data)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": "last"}, "'layers' parameter"),
        ({"draw": "new"}, "'draw' parameter"),
        ({"keep": "all"}, "'keep' parameter"),
        ({"keep_share": 1.0}, "'keep_share' parameter"),
        ({"epochs_per_generation": 0}, "'epochs_per_generation' parameter"),
    ],
)
def test_parameters_that_mean_nothing(draws, settings, message):
    with pytest.raises(ValueError, match=message):
        draws(**settings)
