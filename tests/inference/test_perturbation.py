# SPDX-License-Identifier: BSD-3-Clause
"""Perturbed weights: which change, from what they are drawn, and what the copies predict."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from small_nets import Named, TwoLayers
from torch import nn

from sklearn_difficulty import TrainingRecord
from sklearn_difficulty.inference.perturbation import (
    passes_after_perturbation,
    pruned,
    redrawn,
)
from sklearn_difficulty.rows.rows import as_rows

pytestmark = pytest.mark.usefixtures("one_thread", "seeded")


class Normed(nn.Module):
    """A convolution, a norm, and a large head."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 40, 3, padding=1), nn.BatchNorm2d(40)
        self.head = nn.Linear(40 * 9, 30)

    def forward(self, x):
        return self.head(torch.relu(self.norm(self.conv(x))).flatten(1))


def state_of(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def lost_share(old, new):
    return float((old != new).double().mean())


def test_a_share_is_drawn_anew_and_half_of_it_in_the_last_layer():
    module = Normed()
    state = state_of(module)
    for share in (0.2, 0.5):
        found = redrawn(module, state, share, (1, 2))
        assert lost_share(state["head.weight"], found["head.weight"]) == pytest.approx(
            share / 2, abs=0.01
        )
        assert lost_share(state["conv.weight"], found["conv.weight"]) == pytest.approx(
            share, abs=0.06
        )
        for bias in ("conv.bias", "head.bias"):
            assert (state[bias] != found[bias]).all()
        for name in ("norm.weight", "norm.bias", "norm.running_var"):
            assert torch.equal(state[name], found[name])


def test_what_is_drawn_comes_from_the_initialisation_of_the_layer():
    module = nn.Sequential(nn.Linear(400, 100), nn.Linear(100, 400))
    state = {name: torch.zeros_like(tensor) for name, tensor in module.state_dict().items()}
    found = redrawn(module, state, 0.5, (1, 2))
    for layer, share, n_inputs in (("0", 0.5, 400), ("1", 0.25, 100)):
        drawn = found[f"{layer}.weight"]
        drawn = drawn[drawn != 0]
        limit = n_inputs**-0.5  # Kaiming uniform with a = sqrt(5)
        assert len(drawn) == pytest.approx(40_000 * share, rel=0.03)
        assert drawn.abs().max() == pytest.approx(limit, rel=0.01)
        # Neither what is drawn nor its sign goes by which weights are chosen.
        assert drawn.mean() == pytest.approx(0, abs=0.02 * limit)
        assert drawn.std() == pytest.approx(limit / 3**0.5, rel=0.03)


def test_the_smallest_weights_are_pruned():
    module = nn.Sequential(nn.Linear(5, 2), nn.Linear(2, 3))
    state = state_of(module)
    state["0.weight"] = torch.tensor([[1.0, -2, 3, -4, 5], [-6, 7, -8, 9, -10]])
    state["1.weight"] = torch.tensor([[1.0, -1.0], [1.0, 1.0], [2.0, 3.0]])
    found = pruned(module, state, 0.7)
    assert_array_equal(found["0.weight"], [[0, 0, 0, 0, 0], [0, 0, -8, 9, -10]])
    # floor(0.35 * 6) = 2, of equal ones the first.
    assert_array_equal(found["1.weight"], [[0, 0], [1, 1], [2, 3]])
    assert torch.equal(found["0.bias"], state["0.bias"])
    first = {name: torch.full_like(tensor, 0.5) for name, tensor in state.items()}
    rewound = pruned(module, state, 0.7, first)
    assert_array_equal(rewound["0.weight"], [[0, 0, 0, 0, 0], [0, 0, 0.5, 0.5, 0.5]])


def test_draws_follow_their_seeds_alone():
    module = Named()
    state = state_of(module)
    one = redrawn(module, state, 0.5, (1, 2))
    torch.rand(3)
    again = redrawn(module, state, 0.5, (1, 2))
    assert all(torch.equal(one[name], again[name]) for name in state)
    for seeds in ((1, 3), (3, 2)):
        other = redrawn(module, state, 0.5, seeds)
        assert not torch.equal(one["hidden.weight"], other["hidden.weight"])


def read(record, X, y, **settings):
    settings = {"kind": "redraw", "share": 0.5, "n_repeats": 3, "batch_size": 16, **settings}
    return passes_after_perturbation(record, record.checkpoints, as_rows(X), y, **settings)


def test_passes_are_those_of_networks_with_such_weights(data, record_of):
    X, y = data
    record = record_of(TwoLayers())
    before = state_of(record.module)
    found = read(record, X, y)
    assert found.before.shape == (1, 48)
    assert found.after.shape == (1, 3, 48)
    with torch.no_grad():
        expected = record.module(torch.tensor(X)).argmax(dim=1).numpy() == y
    assert_array_equal(found.before[0], expected)
    copies = TwoLayers()
    for number in range(3):
        seeds = np.random.SeedSequence([record.checkpoints[0].epoch, number]).generate_state(2)
        copies.load_state_dict(redrawn(copies, before, 0.5, (int(seeds[0]), int(seeds[1]))))
        with torch.no_grad():
            expected = copies(torch.tensor(X)).argmax(dim=1).numpy() == y
        assert_array_equal(found.after[0, number], expected)
    assert len({row.tobytes() for row in found.after[0]}) > 1
    after = state_of(record.module)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_memory_block_size_and_repetition_change_nothing(data, record_of):
    X, y = data
    record = record_of(TwoLayers())
    expected = read(record, X, y).after
    assert_array_equal(read(record, X, y, batch_size=5).after, expected)
    assert_array_equal(read(record, X, y, n_repeats=5).after[:, :3], expected)
    with config_context(working_memory=0):
        assert_array_equal(read(record, X, y).after, expected)


def test_without_labels_the_final_prediction_is_to_be_kept(data, record_of):
    X, _ = data
    found = read(record_of(TwoLayers()), X, None)
    assert (found.before == 1).all()
    assert_allclose(found.after.mean(), 0.5, atol=0.49)


def test_outputs_that_are_not_finite(data, record_of):
    X, y = data
    X = X.copy()
    X[3] = 3e38

    class Overflows(TwoLayers):
        def forward(self, x):
            return super().forward(x) * x.amax(dim=1, keepdim=True) ** 2

    found = read(record_of(Overflows()), X, y)
    assert (found.after[..., 3] == -1).all()
    assert (np.delete(found.after, 3, axis=-1) >= 0).all()


def test_networks_that_cannot_be_perturbed(data, record_of):
    X, y = data

    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))

        def forward(self, x):
            return x[:, :3] * self.scale

    with pytest.raises(ValueError, match="no weight to draw anew"):
        read(record_of(Scale()), X, y)
    states = [TwoLayers().state_dict()]
    regressor = TrainingRecord.from_checkpoints(TwoLayers(), states, outputs="values")
    with pytest.raises(ValueError, match="regressor"):
        read(regressor, X, y)
