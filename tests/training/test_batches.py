# SPDX-License-Identifier: BSD-3-Clause
"""What does not fit the number of rows is found before training: samplers, lone rows, memories."""

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from small_nets import NeverTrain, Tiny, TwoTables
from torch import nn
from torch.utils.data import (
    BatchSampler,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from sklearn_difficulty import ConsistencyScorer, MarginScorer, TrainingDynamicsScorer
from sklearn_difficulty.training import ResampledEnsemble
from sklearn_difficulty.training.batches import for_member

pytestmark = [
    pytest.mark.usefixtures("one_thread", "seeded"),
    pytest.mark.filterwarnings("ignore:.*have no defined difficulty:UserWarning"),
    pytest.mark.filterwarnings("ignore:The members are trained one by one:UserWarning"),
]
BACKENDS = pytest.mark.parametrize("backend", ["stacked", "joblib"])


SEEN = []


class Seen(Callback):
    """Keeps which rows the members are trained on, told by their first column."""

    batches: list = []  # of all copies

    def on_batch_end(self, net, batch, training=False, **kwargs):
        if training:
            SEEN.append(batch[0][:, 0].tolist())


# --------------------------------------------------------------------------------------- samplers


@BACKENDS
def test_weights_of_rows_follow_the_members(make_net, data, backend):
    X, y = data
    X = np.column_stack([np.arange(48), X[:, 1:]]).astype(np.float32)
    weights = (np.arange(48) % 2).astype(float)  # even rows are never drawn
    net = make_net(
        callbacks=[Seen()], iterator_train__sampler=WeightedRandomSampler(weights, 96), max_epochs=1
    )
    SEEN.clear()
    ensemble = ResampledEnsemble(
        net, n_members=3, train_size=0.5, backend=backend, random_state=0
    ).fit(X, y)
    assert len(SEEN) == 9  # 48 draws of 24 rows, 16 at a time
    for mask, batches in zip(ensemble.masks_, np.reshape(SEEN, (3, -1)), strict=True):
        drawn = set(batches.astype(int).tolist())
        assert drawn <= set(np.flatnonzero(mask & (weights > 0)))
        assert len(drawn) > 6
    assert len(net.iterator_train__sampler.weights) == 48


@pytest.mark.parametrize(
    "settings",
    [
        {"iterator_train__sampler": RandomSampler(range(48), replacement=True)},
        {"iterator_train__sampler": SequentialSampler(range(48))},
        {
            "iterator_train__batch_sampler": BatchSampler(RandomSampler(range(48)), 8, True),
            "iterator_train__batch_size": 1,
        },
    ],
    ids=["random", "sequential", "batches"],
)
def test_samplers_that_members_can_follow(make_net, data, settings):
    TrainingDynamicsScorer(make_net(**settings)).fit(*data)
    net = make_net(**settings)
    ensemble = ResampledEnsemble(net, n_members=2, train_size=0.5, random_state=0).fit(*data)
    assert "batches are made in a way of their own" in ensemble.why_not_stacked_
    name = next(iter(settings))
    cut = vars(for_member(net, np.arange(24), 48))[name]
    assert len(list(cut)) == (3 if "batch" in name else 24)
    assert vars(net)[name] is settings[name]


def test_sampler_for_the_rows_of_a_member(make_net, data):
    net = make_net(iterator_train__sampler=RandomSampler(range(24)))
    settings = {"n_members": 2, "train_size": 0.5, "random_state": 0}
    ResampledEnsemble(net, **settings).fit(*data)
    assert for_member(net, np.arange(24), 48) is net


class Curriculum(torch.utils.data.Sampler):
    def __iter__(self):
        return iter(range(48))

    def __len__(self):
        return 48


@BACKENDS
@pytest.mark.parametrize(
    "sampler", [Curriculum(), SubsetRandomSampler(range(48)), list(range(48))], ids=type
)
def test_samplers_that_members_cannot_follow(make_net, data, sampler, backend):
    net = make_net(iterator_train__sampler=sampler)
    TrainingDynamicsScorer(net).fit(*data)
    net.set_params(callbacks=[NeverTrain()])
    scorer = ConsistencyScorer(net, n_members=2, backend=backend)
    with pytest.raises(ValueError, match=r"iterator_train__sampler holds a .*shuffle=True"):
        scorer.fit(*data)


@pytest.mark.parametrize(
    "sampler",
    [
        WeightedRandomSampler([1.0] * 40, 40),
        RandomSampler(range(60)),
        BatchSampler(SequentialSampler(range(40)), 8, False),
    ],
    ids=type,
)
def test_samplers_for_other_rows(make_net, data, sampler):
    net = make_net(callbacks=[NeverTrain()], iterator_train__sampler=sampler)
    message = r"iterator_train__sampler is a .* for [46]0 rows, and there are 48 to train on"
    for scorer in (TrainingDynamicsScorer(net), ConsistencyScorer(net, n_members=2)):
        with pytest.raises(ValueError, match=message):
            scorer.fit(*data)


# -------------------------------------------------------------------------------------- lone rows


class Normed(Tiny):
    def __init__(self, n_outputs=3):
        super().__init__(n_outputs=n_outputs, last=nn.BatchNorm1d(n_outputs))


@pytest.mark.parametrize(
    ("n", "batch_size", "which"), [(48, 47, "last"), (33, 16, "last"), (48, 1, "every")]
)
def test_lone_row_that_cannot_be_normed(make_net, data, n, batch_size, which):
    X, y = data[0][:n], data[1][:n]
    net = make_net(Normed, batch_size=batch_size, callbacks=[NeverTrain()])
    message = rf"(?i){which} batch of the {n} rows .*Expected more than 1 value.*drop_last=True"
    with pytest.raises(ValueError, match=message):
        MarginScorer(net).fit(X, y)
    if which == "last":
        net.set_params(iterator_train__drop_last=True, callbacks=None)
        MarginScorer(net).fit(X, y)
    MarginScorer(make_net(batch_size=batch_size)).fit(X, y)  # without norm it is a row like others


class Squeezed(Tiny):
    def forward(self, x):
        return super().forward(x).squeeze()


def test_lone_row_that_loses_its_axis(make_net, data):
    net = make_net(Squeezed, batch_size=47, callbacks=[NeverTrain()])
    message = r"last batch of the 48 rows .* Squeezed does not take .* shape \(3,\) for 1 row"
    with pytest.raises(ValueError, match=message):
        MarginScorer(net).fit(*data)


@BACKENDS
def test_lone_row_of_members(make_net, data, backend):
    net = make_net(Normed, batch_size=23, callbacks=[NeverTrain()])
    scorer = ConsistencyScorer(net, n_members=2, train_size=0.5, backend=backend)
    with pytest.raises(ValueError, match="last batch of the 24 rows that a member is trained on"):
        scorer.fit(*data)


def test_trial_of_a_lone_row_changes_nothing(make_net, data):
    class Pooled(Normed):
        def forward(self, x):  # takes a single row
            return super().forward(torch.cat([x, x.flip(0), -x]))[: len(x)]

    X, y = data
    scores = [
        TrainingDynamicsScorer(
            make_net(Pooled, batch_size=47, iterator_train__drop_last=drop_last), random_state=0
        )
        .fit(X, y)
        .record_.checkpoints[0]
        .state_dict()
        for drop_last in (True, False)
    ]
    assert scores[0]["layers.4.num_batches_tracked"] == 1
    assert scores[1]["layers.4.num_batches_tracked"] == 2


# ------------------------------------------------------------------------- losses with a memory


class Remembering(nn.CrossEntropyLoss):
    """Keeps a target for every row."""

    def __init__(self, n_rows):
        super().__init__()
        self.register_buffer("target", torch.zeros(n_rows, 3))


class TellsRows(TwoTables):
    def forward(self, left, right, row):
        return super().forward(left, right)


@BACKENDS
def test_loss_that_keeps_a_value_for_every_row(make_net, data, backend):
    X, y = data
    settings = {"criterion": Remembering, "criterion__n_rows": 48}
    TrainingDynamicsScorer(make_net(**settings)).fit(X, y)
    net = make_net(**settings, callbacks=[NeverTrain()])
    with pytest.raises(
        ValueError, match=r"Remembering keeps a value for each of the 48 rows \('ta"
    ):
        ConsistencyScorer(net, n_members=2, backend=backend).fit(X, y)
    rows = {"left": X[:, :1], "right": X[:, 1:], "row": np.arange(48)}
    net = make_net(TellsRows, **settings)
    ConsistencyScorer(net, n_members=2, train_size=0.5, backend=backend).fit(rows, y)
