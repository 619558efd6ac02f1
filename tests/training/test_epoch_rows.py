# SPDX-License-Identifier: BSD-3-Clause
"""A training in which every epoch has rows of its own: these and no others, in another order."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from skorch import NeuralNetRegressor
from small_nets import Tiny
from torch import nn

from sklearn_difficulty.rows.rows import as_rows
from sklearn_difficulty.training.epoch_rows import EpochSampler, refuse_own_order, train_on_epochs

N, EPOCHS = 20, 4
X = as_rows(np.column_stack([np.arange(N), np.zeros((N, 3))]).astype(np.float32) / N)
Y = np.arange(N, dtype=np.float32)
SELECTED = np.random.default_rng(0).random((EPOCHS, N)) < 0.5


class Watched(NeuralNetRegressor):
    """Notes the rows of every batch."""

    batches = []

    def on_epoch_begin(self, *args, **kwargs):
        super().on_epoch_begin(*args, **kwargs)
        Watched.batches.append([])

    def train_step(self, batch, **params):
        Watched.batches[-1].append((N * batch[0][:, 0]).round().long().tolist())
        return super().train_step(batch, **params)


def make_net(**settings):
    given = {"module__n_outputs": 1, "max_epochs": EPOCHS, "batch_size": 4, "lr": 1e-3}
    return Watched(Tiny, **(given | {"train_split": None, "verbose": 0} | settings))


def train(selected=SELECTED, seed=0, **settings):
    Watched.batches = []
    net = make_net(**settings)
    return train_on_epochs(net, X, Y, None, selected, random_state=seed, verbose=0)


def test_every_epoch_has_its_own_rows_in_random_order():
    train()
    orders = [[row for batch in epoch for row in batch] for epoch in Watched.batches]
    for epoch, order in enumerate(orders):
        rows = np.flatnonzero(SELECTED[epoch])
        assert set(order) <= set(rows.tolist())
        assert len(order) == len(set(order)) == len(rows) - (len(rows) % 4 == 1)
    assert any(order != sorted(order) for order in orders)
    assert all(len(batch) > 1 for epoch in Watched.batches for batch in epoch)
    first = Watched.batches
    train()
    assert Watched.batches == first
    train(seed=1)
    assert Watched.batches != first


def test_an_epoch_may_have_no_rows():
    selected = SELECTED.copy()
    selected[1] = False
    record = train(selected)
    assert Watched.batches[1] == []
    assert record.n_epochs == EPOCHS


def test_the_network_is_handed_over_before_and_after_every_epoch():
    calls = []

    def before(net, epoch):
        calls.append(("before", epoch, net.module_.training))

    def after(record, epoch):
        calls.append(("after", epoch, record.module.training))
        with torch.no_grad():
            record.module(torch.zeros(2, 4))

    net = make_net(module__dropout=0.5)
    record = train_on_epochs(
        net,
        X,
        Y,
        None,
        SELECTED,
        random_state=0,
        verbose=0,
        before_epoch=before,
        after_epoch=after,
    )
    assert [call[:2] for call in calls] == [
        (when, epoch) for epoch in range(EPOCHS) for when in ("before", "after")
    ]
    assert not any(is_training for when, _, is_training in calls if when == "after")
    # Reading changes nothing of the training, and the net that was given is as it was.
    unread = train(module__dropout=0.5)
    for name, weight in record.module.state_dict().items():
        assert_array_equal(weight, unread.module.state_dict()[name])
    assert not net.initialized_
    assert "iterator_train__sampler" not in net.get_params()


@pytest.mark.parametrize(
    "settings", [{"iterator_train": lambda *args, **kwargs: None}, {"iterator_train__sampler": [0]}]
)
def test_an_order_of_the_nets_own_is_refused(settings):
    with pytest.raises(ValueError, match="Selector chooses the rows of every epoch"):
        refuse_own_order(make_net(**settings), "Selector")
    refuse_own_order(make_net(batch_size=-1, iterator_train__shuffle=True), "Selector")


@pytest.mark.parametrize(
    ("n", "batch_size", "expected"), [(9, 4, 8), (8, 4, 8), (1, 4, 1), (3, 1, 3), (0, 4, 0)]
)
def test_a_last_batch_of_one_row_is_left_out(n, batch_size, expected):
    sampler = EpochSampler(np.ones((1, n), dtype=bool), batch_size, 0)
    assert len(sampler) == len(list(sampler)) == expected


def test_batch_normalisation_gets_no_single_row():
    class Normed(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))

    selected = np.zeros((EPOCHS, N), dtype=bool)
    selected[:, :9] = True
    net = NeuralNetRegressor(
        Normed, max_epochs=EPOCHS, batch_size=4, train_split=None, verbose=0, lr=1e-3
    )
    record = train_on_epochs(net, X, Y, None, selected, random_state=0, verbose=0)
    assert record.n_epochs == EPOCHS
