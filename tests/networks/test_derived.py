# SPDX-License-Identifier: BSD-3-Clause
"""Networks made of a regressor: another head, and two that teach each other."""

import pytest
import torch
from small_nets import FlatLogit, Named, Tiny
from torch import nn

from sklearn_difficulty.networks.derived import CoTeachingLoss, TwoClassBody, TwoNetworks

X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("module", "layer"), [(Tiny, "layers.3"), (Named, "output")])
def test_only_the_head_is_another(module, layer):
    torch.manual_seed(0)
    regressor = module(n_outputs=1)
    torch.manual_seed(0)
    expert = TwoClassBody(module, {"n_outputs": 1}, layer, 8)
    assert expert(X).shape == (6, 2)
    ours, theirs = expert.body.state_dict(), regressor.state_dict()
    assert ours.keys() == theirs.keys()
    for name in ours:
        if not name.startswith(layer):
            assert torch.equal(ours[name], theirs[name])


def test_an_instance_is_copied_with_its_weights():
    regressor = Named(n_outputs=1)
    before = {name: value.clone() for name, value in regressor.state_dict().items()}
    expert = TwoClassBody(regressor, {}, "output", 8)
    assert torch.equal(expert.body.hidden.weight, regressor.hidden.weight)
    assert expert.body.hidden is not regressor.hidden
    assert all(torch.equal(value, before[k]) for k, value in regressor.state_dict().items())


@pytest.mark.parametrize("module", [Tiny, FlatLogit])
def test_two_networks_answer_apart_in_training_and_together_after(module):
    both = TwoNetworks(module, {"n_outputs": 1})
    first, second = (network(X) for network in both.networks)
    assert not torch.equal(first, second)
    assert torch.equal(both(X), torch.stack([first, second], dim=1))
    assert torch.allclose(both.eval()(X), (first + second) / 2)


def test_each_learns_from_rows_on_which_the_other_is_right():
    targets = torch.zeros(4, 1)
    first = torch.tensor([[0.0], [1.0], [2.0], [3.0]], requires_grad=True)
    second = torch.tensor([[3.0], [2.0], [1.0], [0.0]], requires_grad=True)
    loss = CoTeachingLoss(nn.MSELoss, {})
    loss.forget_rate = 0.5
    value = loss(torch.stack([first, second], dim=1), targets)
    # The first errs least in rows 0 and 1, from which the second learns, and the other way round.
    assert float(value.detach()) == pytest.approx((9 + 4) / 2 + (4 + 9) / 2)
    value.backward()
    assert (second.grad[:, 0] != 0).tolist() == [True, True, False, False]
    assert (first.grad[:, 0] != 0).tolist() == [False, False, True, True]


def test_without_a_rate_it_is_the_sum_of_both_losses():
    targets, outputs = torch.zeros(5), torch.randn(5, 2)
    loss = CoTeachingLoss(nn.L1Loss, {"reduction": "sum"})
    expected = outputs.abs().sum()
    assert float(loss(outputs, targets)) == pytest.approx(float(expected))
    same = outputs[:, 0]
    assert float(loss(same, targets)) == pytest.approx(2 * float(same.abs().sum()))
