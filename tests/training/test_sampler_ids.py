# SPDX-License-Identifier: BSD-3-Clause
"""Every recorded number is that of its row, whatever chooses and joins the rows of a batch."""

import copy
import itertools
import pickle
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from skorch import NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import Callback, Checkpoint, EarlyStopping
from skorch.dataset import Dataset as SkorchDataset
from skorch.dataset import ValidSplit
from skorch.helper import predefined_split
from torch import nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
)

from sklearn_difficulty import TrainingDynamicsScorer
from sklearn_difficulty.training import RecordTraining, TrainingRecord

N = 40
multi_threaded = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")


class Echo(nn.Module):
    """Returns its inputs as logits, and has a parameter that learns nothing."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return x + 0 * self.weight


@pytest.fixture(scope="module")
def marked():
    """Return rows of which the first logit is the number of the row, and labels."""
    X = np.random.default_rng(0).normal(size=(N, 3)).astype(np.float32)
    X[:, 0] = np.arange(N)
    return X, np.random.default_rng(1).integers(3, size=N)


@pytest.fixture
def echo(make_net):
    """Return a function that makes a net whose logits are its inputs, with a recorder."""

    def make(**settings):
        recorder = settings.pop("recorder", None) or RecordTraining(keep_logits=True)
        callbacks = [*settings.pop("callbacks", []), recorder]
        defaults = {"max_epochs": 3, "batch_size": 8, "train_split": None}
        return make_net(Echo, callbacks=callbacks, **{**defaults, **settings})

    return make


def recorder_of(net):
    return next(c for _, c in net.callbacks_ if isinstance(c, RecordTraining))


def trajectory_of(net):
    recorder = recorder_of(net)
    assert recorder.trajectory_problem_ is None
    return recorder.trajectory_


def assert_own(trajectory, X, y):
    """Assert that all that was shown is the row's own, and the rest is missing."""
    shown = trajectory.count > 0
    assert shown.any()
    z = torch.tensor(X)[None].expand(len(shown), -1, -1)
    labels = torch.tensor(y)[None, :, None].expand(len(shown), -1, 1)
    p = z.softmax(2)
    others = z.scatter(2, labels, -torch.inf).amax(2)
    expected = {
        "probability": p.gather(2, labels)[..., 0],
        "margin": z.gather(2, labels)[..., 0] - others,
        "loss": -z.log_softmax(2).gather(2, labels)[..., 0],
        "el2n": (p - nn.functional.one_hot(labels[..., 0], 3)).norm(dim=2),
    }
    for name, values in expected.items():
        found = getattr(trajectory, name)
        assert np.isnan(found[~shown]).all()
        assert_allclose(found[shown], values.numpy()[shown], rtol=1e-5, atol=1e-6)
    assert_array_equal(trajectory.predicted, np.where(shown, X.argmax(1), -1))
    assert_array_equal(trajectory.targets, np.where(shown.any(axis=0), y, -1))
    if trajectory.logits is not None:
        assert np.isnan(trajectory.logits[~shown]).all()
        assert_array_equal(trajectory.logits[shown], np.broadcast_to(X, z.shape)[shown])


class Chunks:
    """A batch sampler of unequal batches, in another order in every epoch."""

    def __init__(self):
        self.epoch = 0

    def __iter__(self):
        order = np.random.default_rng(self.epoch).permutation(N)
        self.epoch += 1
        yield from (part.tolist() for part in np.split(order, [3, 17, 18]))

    def __len__(self):
        return 4


def weighted(n=N):
    return WeightedRandomSampler(torch.linspace(0.1, 5, N), n, replacement=True)


LOADERS = {
    "ordered": dict,
    "shuffled": lambda: {"shuffle": True},
    "two workers": lambda: {"shuffle": True, "num_workers": 2},
    "persistent workers": lambda: {
        "shuffle": True,
        "num_workers": 2,
        "persistent_workers": True,
        "prefetch_factor": 4,
    },
    "drop_last": lambda: {"shuffle": True, "drop_last": True, "batch_size": 7},
    "drop_last with a worker": lambda: {
        "shuffle": True,
        "drop_last": True,
        "batch_size": 7,
        "num_workers": 1,
    },
    "with replacement": lambda: {"sampler": weighted()},
    "more than all rows": lambda: {"sampler": weighted(3 * N), "num_workers": 1},
    "batch_sampler": lambda: {"batch_sampler": Chunks(), "batch_size": 1},
    "batch_sampler with a worker": lambda: {
        "batch_sampler": Chunks(),
        "batch_size": 1,
        "num_workers": 1,
    },
    "lists of indices": lambda: {
        "sampler": BatchSampler(RandomSampler(range(N)), 9, drop_last=False),
        "batch_size": None,
    },
    "one batch": lambda: {"shuffle": True, "batch_size": -1},
}


@multi_threaded
@pytest.mark.parametrize("loader", LOADERS)
def test_every_number_is_that_of_its_row(echo, marked, loader):
    settings = LOADERS[loader]()
    net = echo(**{f"iterator_train__{name}": value for name, value in settings.items()})
    found = trajectory_of(net.fit(*marked))
    assert found.n_epochs == 3
    assert found.n_rows == N
    assert_own(found, *marked)
    per_epoch = {"drop_last": 35, "drop_last with a worker": 35, "more than all rows": 3 * N}
    assert found.count.sum(axis=1).tolist() == [per_epoch.get(loader, N)] * 3
    if "replacement" in loader or "more" in loader:
        assert found.count.max() > 1
    elif "drop_last" not in loader:
        assert (found.count == 1).all()
    assert "get_iterator" not in vars(net)


@pytest.mark.parametrize("loader", ["shuffled", "with replacement", "batch_sampler"])
def test_numbers_of_a_net_that_stands_still_are_recomputed(make_net, data, loader):
    X, y = data
    settings = {
        "shuffled": {"shuffle": True, "drop_last": True},
        "with replacement": {"sampler": WeightedRandomSampler(torch.linspace(1, 5, 48), 60)},
        "batch_sampler": {"batch_sampler": [[5, 2], [7, 7, 40], list(range(20))], "batch_size": 1},
    }[loader]
    net = make_net(lr=0.0, callbacks=[RecordTraining(keep_logits=True)], train_split=None)
    net.set_params(**{f"iterator_train__{name}": value for name, value in settings.items()})
    found = trajectory_of(net.fit(X, y))
    with torch.no_grad():
        logits = net.module_(torch.tensor(X)).numpy()
    shown = found.count > 0
    assert_allclose(found.logits[shown], np.broadcast_to(logits, (4, 48, 3))[shown], atol=1e-6)


# ------------------------------------------------------------------------------ kinds of data


class Pairs(Dataset):
    """Yields (x, y)."""

    def __init__(self, X, y):
        self.X, self.y = X, y

    def __len__(self):
        return len(self.X)

    def __getitem__(self, index):
        return self.X[index], self.y[index]


@pytest.mark.parametrize("kind", ["numpy", "tensor", "pairs", "tensors", "skorch", "subset"])
@pytest.mark.parametrize("give_y", [False, True])
def test_kinds_of_rows(echo, marked, kind, give_y):
    X, y = marked
    order = np.random.default_rng(2).permutation(N)
    everything = Pairs(X[np.argsort(order)], y[np.argsort(order)])
    rows = {
        "numpy": X,
        "tensor": torch.tensor(X),
        "pairs": Pairs(X, y),
        "tensors": TensorDataset(torch.tensor(X), torch.tensor(y)),
        "skorch": SkorchDataset(X, y),
        "subset": Subset(everything, order),
    }[kind]
    net = echo(iterator_train__shuffle=True)
    net.fit(rows, y if give_y or kind in ("numpy", "tensor") else None)
    assert_own(trajectory_of(net), X, y)
    record = TrainingRecord.from_fit(
        echo(iterator_train__shuffle=True),
        rows,
        y if give_y or kind in ("numpy", "tensor") else None,
    )
    assert_own(record.trajectory, X, y)
    assert record.trajectory.difference(rows, y) is None


def test_dict_of_arrays(make_net, marked):
    class Sum(Echo):
        def forward(self, one, other):
            return super().forward(one + other)

    X, y = marked
    net = make_net(Sum, iterator_train__shuffle=True)
    rows = {"one": X - 1, "other": np.ones_like(X)}
    assert_own(TrainingRecord.from_fit(net, rows, y).trajectory, (X - 1) + 1, y)


def test_custom_collate_fn_that_keeps_the_rows(echo, marked):
    X, y = marked
    net = echo(iterator_train__shuffle=True, iterator_train__collate_fn=default_collate)
    assert_own(trajectory_of(net.fit(Pairs(X, y), None)), X, y)


def test_rows_of_unequal_length(make_net, ragged, tiny_module):
    rows, pad = ragged
    net = make_net(tiny_module, lr=0.0, module__n_outputs=2, iterator_train__collate_fn=pad)
    net.set_params(iterator_train__shuffle=True)
    record = TrainingRecord.from_fit(net, rows, keep_logits=True)
    inputs, _ = pad([rows[i] for i in range(len(rows))])
    with torch.no_grad():
        logits = record.module(inputs)
    assert_allclose(record.trajectory.logits[-1], logits, atol=1e-6)


@pytest.mark.parametrize("mode", ["training", "evaluation"])
@pytest.mark.parametrize("rows", ["array", "dataset", "subset"])
def test_rows_that_skorch_puts_aside_are_missing(echo, marked, mode, rows):
    X, y = marked
    rows = {
        "array": X,
        "dataset": Pairs(X, y),
        "subset": Subset(Pairs(X[::-1].copy(), y[::-1].copy()), range(N - 1, -1, -1)),
    }[rows]
    recorder = RecordTraining(mode=mode, keep_logits=True)
    split = ValidSplit(4)
    net = echo(recorder=recorder, train_split=split, iterator_train__shuffle=True).fit(rows, y)
    found = trajectory_of(net)
    train, _ = split(SkorchDataset(X, y), y)
    expected = np.zeros(N, int)
    expected[train.indices] = 1
    assert 0 < expected.sum() < N
    assert_array_equal(found.count, np.tile(expected, (3, 1)))
    assert_own(found, X, y)


def test_predefined_validation_set(echo, marked):
    X, y = marked
    valid = predefined_split(SkorchDataset(X[:5] + 1, y[:5]))
    assert_own(trajectory_of(echo(train_split=valid).fit(X, y)), X, y)


def test_repeated_rows_of_a_subset_are_rows_of_their_own(echo, marked):
    X, y = marked
    index = [7, 7, 3, 20]
    net = echo(batch_size=3, iterator_train__shuffle=True)
    assert_own(trajectory_of(net.fit(Subset(Pairs(X, y), index), None)), X[index], y[index])


def test_a_row_seen_several_times_has_the_mean_and_the_last_prediction(make_net):
    class Counts(nn.Module):
        """Says 0, 1, 2, ... from batch to batch, with more and more certainty."""

        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(()))
            self.calls = -2  # two rows are tried before training

        def forward(self, x):
            self.calls += 1 if self.training else 0
            logits = torch.zeros(len(x), 3)
            logits[:, self.calls % 3] = float(self.calls + 2)
            return logits + 0 * self.weight

    sampler = [[0, 1], [0, 0], [1, 2]]
    net = make_net(
        Counts,
        max_epochs=2,
        iterator_train__batch_sampler=sampler,
        iterator_train__batch_size=1,
        train_split=None,
        callbacks=[RecordTraining(keep_logits=True)],
    )
    found = trajectory_of(net.fit(np.zeros((4, 1), np.float32), np.array([0, 1, 0, 1])))
    logits = [[1.0 * k if j == (k - 2) % 3 else 0.0 for j in range(3)] for k in range(1, 7)]
    own = [nn.functional.log_softmax(torch.tensor(z), dim=0).exp().numpy() for z in logits]
    for epoch, (a, b, c) in enumerate([(0, 1, 2), (3, 4, 5)]):
        assert found.count[epoch].tolist() == [3, 2, 1, 0]
        p = [
            (own[a][0] + 2 * own[b][0]) / 3,
            (own[a][1] + own[c][1]) / 2,
            own[c][0],
            np.nan,
        ]
        assert_allclose(found.probability[epoch], p, rtol=1e-5)
        last = [int(np.argmax(logits[k])) for k in (b, c, c)]
        assert found.predicted[epoch].tolist() == [*last, -1]
        assert_array_equal(found.logits[epoch, :3], [logits[k] for k in (b, c, c)])


# ------------------------------------------------------------------- when the rows are not known


class NoLoader:
    """Yields batches, and says nothing about where they come from."""

    def __init__(self, dataset, batch_size):
        self.dataset, self.batch_size = dataset, batch_size

    def __iter__(self):
        return iter(DataLoader(self.dataset, self.batch_size))


class OwnOrder(DataLoader):
    """Pays no attention to its sampler."""

    def __iter__(self):
        return iter(DataLoader(self.dataset, self.batch_size))


class Stream(IterableDataset):
    def __init__(self, X, y):
        self.X, self.y = X, y

    def __iter__(self):
        return iter(zip(self.X, self.y, strict=True))


class Views(Dataset):
    """Is indexed by pairs of a position and a view."""

    def __init__(self, X, y):
        self.X, self.y = X, y

    def __len__(self):
        return len(self.X)

    def __getitem__(self, key):
        position, view = key
        return self.X[position] + view, self.y[position]


class Strings(Views):
    """Is indexed by names."""

    def __getitem__(self, key):
        return self.X[int(key)], self.y[int(key)]


class Weighted(NeuralNetClassifier):
    """Learns from batches of three parts."""

    def train_step_single(self, batch, **fit_params):
        return super().train_step_single(batch[:2], **fit_params)

    def evaluation_step(self, batch, training=False):
        return super().evaluation_step(batch[:2], training)


class Triples(Pairs):
    def __getitem__(self, index):
        return *super().__getitem__(index), 1.0


def twice(items):
    return default_collate(items * 2)


def without_the_first(items):
    return default_collate(items[1:])


UNKNOWN = {
    "no loader": ({"iterator_train": NoLoader}, None, "NoLoader, not a DataLoader"),
    "own order": ({"iterator_train": OwnOrder}, None, "no sampler has named"),
    "stream": ({}, Stream, "IterableDataset have no index"),
    "more rows": ({"iterator_train__collate_fn": twice}, Pairs, "8 rows gave 16 outputs"),
    "fewer rows": (
        {"iterator_train__collate_fn": without_the_first},
        Pairs,
        "8 rows gave 7 outputs",
    ),
    "views": (
        {"iterator_train__sampler": [(i, 0) for i in range(N)]},
        Views,
        "sampler yields",
    ),
    "strings": (
        {"iterator_train__sampler": [str(i) for i in range(N)]},
        Strings,
        "sampler yields",
    ),
    "negative": (
        {"iterator_train__sampler": [-1 - i for i in range(N)]},
        Pairs,
        "sampler yields",
    ),
    "slices": (
        {
            "iterator_train__sampler": [slice(0, 8), slice(8, 40)],
            "iterator_train__batch_size": None,
        },
        Pairs,
        "sampler yields",
    ),
    "three parts": ({"cls": Weighted}, Triples, "labels of a batch"),
    "out of order": (
        {"iterator_train__num_workers": 2, "iterator_train__in_order": False},
        None,
        "in_order",
    ),
}


@multi_threaded
@pytest.mark.parametrize("why", UNKNOWN)
def test_unknown_rows_are_no_trajectory_and_training_goes_on(echo, marked, why):
    settings, rows, message = UNKNOWN[why]
    net = echo(**settings)
    net.fit(*(marked if rows is None else (rows(*marked), None)))
    recorder = recorder_of(net)
    assert recorder.trajectory_ is None
    assert message in recorder.trajectory_problem_
    assert recorder.n_epochs_ == len(net.history) == 3
    assert "get_iterator" not in vars(net)


def test_labels_that_are_not_one_per_row(make_net, marked):
    X, y = marked
    shares = np.eye(3, dtype=np.float32)[y]
    net = make_net(Echo, callbacks=[RecordTraining()], train_split=None).fit(X, shares)
    assert "labels of a batch" in recorder_of(net).trajectory_problem_
    assert recorder_of(net).trajectory_ is None


def test_record_without_trajectories_says_why(make_net, marked):
    record = TrainingRecord.from_fit(make_net(Echo, iterator_train=NoLoader), *marked)
    assert record.trajectory is None
    with pytest.raises(ValueError, match="holds none: the iterator is a NoLoader"):
        TrainingDynamicsScorer(record).fit(*marked)
    assert record.checkpoints


def by_label(items):
    return default_collate(sorted(items, key=lambda item: item[1]))


class Count(Callback):
    n = 0  # of all copies

    def on_batch_end(self, net, training=False, **kwargs):
        Count.n += training


def longest_first(items):
    return default_collate(sorted(items, key=lambda item: -item[0][1]))


@multi_threaded
@pytest.mark.parametrize("settings", [{}, {"num_workers": 2}], ids=["here", "workers"])
@pytest.mark.parametrize("mode", ["training", "evaluation"])
def test_collate_fn_that_sorts_its_rows_is_followed(echo, marked, mode, settings):
    net = echo(recorder=RecordTraining(mode=mode, keep_logits=True), iterator_train__shuffle=True)
    for iterator in ("train", "valid"):
        net.set_params(**{f"iterator_{iterator}__collate_fn": longest_first})
    net.set_params(**{f"iterator_train__{name}": value for name, value in settings.items()})
    assert_own(trajectory_of(net.fit(Pairs(*marked), None)), *marked)


def with_array(items):
    inputs, labels = default_collate(items)
    return inputs, labels.numpy()


def test_labels_may_come_as_an_array(echo, marked):
    net = echo(recorder=RecordTraining(keep_logits=True), iterator_train__collate_fn=with_array)
    assert_own(trajectory_of(net.fit(Pairs(*marked), None)), *marked)


class Named(NamedTuple):
    inputs: torch.Tensor
    labels: torch.Tensor


@pytest.mark.parametrize(
    ("collate_fn", "problem"),
    [
        (by_label, "labels of a batch are not those of its rows"),
        (lambda items: Named(*default_collate(items)), "returns a Named, not a pair"),
    ],
)
def test_collate_fn_that_cannot_be_followed(make_net, marked, collate_fn, problem):
    net = make_net(Echo, iterator_train__collate_fn=collate_fn)
    rows = Pairs(*marked)
    assert problem in TrainingRecord.from_fit(net, rows, marked[1]).trajectory_problem
    Count.n = 0
    net.set_params(callbacks=[Count()])
    with pytest.raises(ValueError, match=f"cannot be recorded row by row: .*{problem}"):
        TrainingDynamicsScorer(net).fit(rows, marked[1])
    assert Count.n == 1  # it is known by the second


def test_next_fit_has_no_problem_of_the_last(echo, marked):
    net = echo(iterator_train=NoLoader, iterator_train__batch_size=8).fit(*marked)
    assert recorder_of(net).trajectory_problem_ is not None
    net.iterator_train = DataLoader
    assert_own(trajectory_of(net.fit(*marked)), *marked)


class LosesARow(DataLoader):
    """Reads in order, but leaves one row out."""

    def __init__(self, dataset, **settings):
        super().__init__(dataset, collate_fn=without_the_first, **settings)


def test_evaluation_that_loses_rows_is_no_trajectory(echo, marked):
    net = echo(recorder=RecordTraining(mode="evaluation"), iterator_valid=LosesARow)
    net.fit(*marked)
    assert recorder_of(net).trajectory_ is None
    assert "8 rows gave 7 outputs" in recorder_of(net).trajectory_problem_


def test_evaluation_that_multiplies_rows_is_no_trajectory(echo, marked):
    net = echo(recorder=RecordTraining(mode="evaluation"), iterator_valid__collate_fn=twice)
    net.fit(*marked)
    assert recorder_of(net).trajectory_ is None
    assert "8 rows gave 16 outputs" in recorder_of(net).trajectory_problem_


@pytest.mark.parametrize("settings", [{"shuffle": True}, {"drop_last": True, "batch_size": 7}])
def test_evaluation_in_any_order_is_aligned(echo, marked, settings):
    net = echo(recorder=RecordTraining(mode="evaluation", keep_logits=True))
    net.set_params(**{f"iterator_valid__{name}": value for name, value in settings.items()})
    assert_own(trajectory_of(net.fit(*marked)), *marked)


# --------------------------------------------------------------- callbacks that use the net too


class Reads(Callback):
    """Asks for predictions in train mode, as for Monte-Carlo dropout."""

    def __init__(self, X, event):
        self.X = X
        self.event = event

    def notify(self, method_name, net, **kwargs):
        if method_name == self.event:
            net.forward(self.X, training=True)


@pytest.mark.parametrize("split", [None, ValidSplit(4)])
@pytest.mark.parametrize("position", ["first", "last"])
@pytest.mark.parametrize(
    "event", ["on_train_begin", "on_epoch_begin", "on_batch_begin", "on_batch_end", "on_epoch_end"]
)
def test_callback_that_reads_other_rows_in_training(echo, marked, event, position, split):
    X, y = marked
    reads = Reads(X[:5], event)
    net = echo(callbacks=[reads], train_split=split, iterator_train__shuffle=True)
    if position == "last":
        net.callbacks.reverse()
    net.fit(X, y)
    recorder = recorder_of(net)
    if recorder.trajectory_ is None:
        assert event == "on_train_begin"
        assert recorder.trajectory_problem_ is not None
    else:
        assert_own(recorder.trajectory_, X, y)
        assert recorder.trajectory_.count.sum() == 3 * (N if split is None else 30)


class LeavesEarly(NeuralNetClassifier):
    """Asks for a third batch in every epoch, and does not train on it."""

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        if training:
            numbered = itertools.takewhile(lambda item: item[0] < 2, enumerate(iterator))
            iterator = (batch for _, batch in numbered)
        return super().run_single_epoch(iterator, training, prefix, step_fn, **fit_params)


def test_batches_that_an_epoch_did_not_use_are_forgotten(echo, marked):
    net = echo(cls=LeavesEarly, iterator_train__shuffle=True).fit(*marked)
    trajectory = trajectory_of(net)
    assert_array_equal(trajectory.count.sum(axis=1), [16, 16, 16])
    assert_own(trajectory, *marked)


def test_two_recorders(echo, marked):
    both = [RecordTraining(keep_logits=True), RecordTraining(mode="evaluation", keep_logits=True)]
    net = echo(callbacks=[both[1]], recorder=both[0], iterator_train__shuffle=True).fit(*marked)
    for recorder in both:
        assert recorder.trajectory_problem_ is None
        assert_own(recorder.trajectory_, *marked)
    assert "get_iterator" not in vars(net)


def test_two_recorders_of_the_training_pass(echo, marked):
    both = [RecordTraining(keep_logits=True), RecordTraining(keep_logits=True)]
    net = echo(callbacks=[both[1]], recorder=both[0], iterator_train__shuffle=True).fit(*marked)
    for recorder in both:
        assert_own(recorder.trajectory_, *marked)
    assert "get_iterator" not in vars(net)


def test_recorder_given_as_a_class(make_net, marked):
    net = make_net(Echo, callbacks=[RecordTraining], iterator_train__shuffle=True)
    record = TrainingRecord.from_fit(net, *marked, keep_logits=True)
    assert_own(record.trajectory, *marked)


# -------------------------------------------------------------------------- the net is left alone


def weights(net):
    return torch.cat([p.detach().reshape(-1) for p in net.module_.parameters()])


def attributes(net):
    return set(vars(net))


@pytest.mark.parametrize("mode", ["training", "evaluation"])
@pytest.mark.parametrize("split", [None, ValidSplit(4)])
@pytest.mark.parametrize("workers", [0, 1])
@multi_threaded
def test_weights_are_those_without_a_recorder(make_net, data, mode, split, workers):
    def fit(callbacks):
        torch.manual_seed(3)
        np.random.seed(3)
        settings = {"module__dropout": 0.4, "iterator_train__shuffle": True, "train_split": split}
        settings |= {"iterator_train__num_workers": workers, "optimizer": torch.optim.Adam}
        net = make_net(callbacks=callbacks, **settings).fit(*data)
        return net, torch.rand(1), np.random.rand()

    plain, *drawn = fit([])
    recorded, *drawn_too = fit([RecordTraining("all", mode=mode, keep_logits=True)])
    assert torch.equal(weights(plain), weights(recorded))
    assert drawn == drawn_too
    assert trajectory_of(recorded).n_epochs == 4
    assert attributes(plain) == attributes(recorded)
    assert plain.history[:, "train_loss"] == recorded.history[:, "train_loss"]


class Dies(nn.Linear):
    """Raises at some batch of the training, once."""

    error, at = ZeroDivisionError, None

    def forward(self, x):
        if self.training and Dies.at is not None:
            Dies.at -= 1
            if Dies.at == 0:
                Dies.at = None
                raise self.error
        return super().forward(x)


@pytest.fixture
def dying(make_net, data):
    """Return a function that makes a net which dies in its second epoch of three batches."""

    def make(error=ZeroDivisionError, **settings):
        Dies.error, Dies.at = error, 5
        return make_net(
            Dies,
            module__in_features=4,
            module__out_features=3,
            lr=0.0,
            train_split=None,
            iterator_train__shuffle=True,
            **settings,
        )

    yield make
    Dies.at = None


class Keeps(Callback):
    """Keeps the net, which a scorer or a record that fails would not give away."""

    nets = []

    def on_train_begin(self, net, **kwargs):
        Keeps.nets.append(net)


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
@pytest.mark.parametrize(
    "fit", [TrainingRecord.from_fit, lambda net, X, y: TrainingDynamicsScorer(net).fit(X, y)]
)
def test_death_in_training_leaves_the_net_clean(dying, data, error, fit):
    Keeps.nets.clear()
    net = dying(error, callbacks=[Keeps()])
    before = attributes(clone(net).initialize())
    with pytest.raises(error):
        fit(net, *data)
    (dead,) = Keeps.nets
    assert Dies.at is None
    assert attributes(dead) - before == {"classes_inferred_"}  # skorch's
    recorder = recorder_of(dead)
    assert recorder.dataset_ is recorder.collector_ is None
    assert recorder.given_ == (None, None)


@pytest.mark.parametrize("how", ["fit", "partial_fit", "clone", "predict"])
def test_life_after_death_in_the_users_own_fit(dying, data, how):
    X, y = data
    net = dying(callbacks=[RecordTraining(keep_logits=True)])
    with pytest.raises(ZeroDivisionError):
        net.fit(X, y)
    if how == "predict":
        assert net.predict(X).shape == (48,)
        pickle.loads(pickle.dumps(net)).predict(X)
    net = clone(net) if how == "clone" else net
    net = net.partial_fit(X, y) if how == "partial_fit" else net.fit(X, y)
    found = trajectory_of(net)
    with torch.no_grad():
        logits = net.module_(torch.tensor(X)).numpy()
    assert_allclose(found.logits, np.broadcast_to(logits, (4, 48, 3)), atol=1e-6)
    assert (found.count == 1).all()
    assert "get_iterator" not in vars(net)


class RaisesAtStart(Callback):
    def __init__(self):
        self.times = 1

    def on_train_begin(self, net, **kwargs):
        self.times -= 1
        if self.times == 0:
            raise RuntimeError("not yet")


def test_death_before_the_first_epoch(echo, marked):
    net = echo(iterator_train__shuffle=True)
    net.callbacks.append(RaisesAtStart())
    with pytest.raises(RuntimeError, match="not yet"):
        net.fit(*marked)
    net.partial_fit(*marked)
    assert_own(trajectory_of(net), *marked)
    assert (trajectory_of(net).count == 1).all()
    assert "get_iterator" not in vars(net)


def test_swallowed_interrupt_leaves_the_whole_epochs(dying, data):
    net = dying(KeyboardInterrupt, callbacks=[RecordTraining()]).fit(*data)
    found = trajectory_of(net)
    assert found.n_epochs == recorder_of(net).n_epochs_ == 1
    assert (found.count == 1).all()
    assert "get_iterator" not in vars(net)


@pytest.mark.parametrize("do", [clone, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_of_a_fitted_net(echo, marked, do):
    net = echo(iterator_train__shuffle=True).fit(*marked)
    again = do(net)
    if do is not clone:
        assert_array_equal(trajectory_of(again).loss, trajectory_of(net).loss)
    assert_own(trajectory_of(again.fit(*marked)), *marked)
    assert_own(trajectory_of(net), *marked)
    assert "get_iterator" not in vars(again)


class CopiesInTraining(Callback):
    """Copies the net in the middle of the second epoch."""

    copies = []

    def __init__(self, do):
        self.do = do

    def on_batch_begin(self, net, training=False, **kwargs):
        if training and len(net.history) == 2 and len(net.history[-1, "batches"]) == 3:
            CopiesInTraining.copies.append(self.do(net))


def through_pickle(net):
    return pickle.loads(pickle.dumps(net))


@pytest.mark.parametrize("do", [copy.deepcopy, through_pickle])
def test_copies_of_a_net_in_training(echo, marked, do):
    CopiesInTraining.copies.clear()
    net = echo(callbacks=[CopiesInTraining(do)], iterator_train__shuffle=True).fit(*marked)
    (copied,) = CopiesInTraining.copies
    assert_own(trajectory_of(net), *marked)
    copied.partial_fit(*marked)
    assert_own(trajectory_of(copied), *marked)
    assert trajectory_of(copied).n_epochs == 3
    assert "get_iterator" not in vars(copied)
    assert_own(trajectory_of(net), *marked)


class Unpicklable(Pairs):
    def __reduce__(self):
        raise TypeError("an open file cannot be pickled")


def test_net_pickled_in_training_holds_no_rows(echo, marked, tmp_path):
    checkpoint = Checkpoint(
        monitor=None,
        dirname=tmp_path,
        f_pickle="net.pkl",
        **dict.fromkeys(("f_params", "f_optimizer", "f_criterion", "f_history")),
    )
    echo(callbacks=[checkpoint]).fit(Unpicklable(*marked), None)
    assert (tmp_path / "net.pkl").exists()


# --------------------------------------------------------------------- which epochs are recorded


@pytest.mark.parametrize("position", ["first", "last"])
@pytest.mark.parametrize("mode", ["training", "evaluation"])
def test_early_stopping_leaves_the_epochs_that_ran(make_net, data, position, mode):
    stop = EarlyStopping(monitor="train_loss", patience=2, threshold=10)
    callbacks = [stop, RecordTraining(mode=mode)]
    net = make_net(callbacks=callbacks if position == "first" else callbacks[::-1], max_epochs=20)
    record = TrainingRecord.from_fit(net, *data)
    assert 1 < record.n_epochs < 20
    assert record.trajectory.n_epochs == record.n_epochs
    assert (record.trajectory.count == 1).all()


def test_warm_start_records_the_latest_fit(make_net, data):
    X, y = data
    recorder = RecordTraining("all", mode="evaluation")
    net = make_net(callbacks=[recorder], train_split=None, max_epochs=3).fit(X, y)
    first = trajectory_of(net)
    net.set_params(max_epochs=2)
    net.partial_fit(X[:30], y[:30])
    second = trajectory_of(net)
    assert (first.n_epochs, first.n_rows) == (3, 48)
    assert (second.n_epochs, second.n_rows) == (2, 30)
    assert second.difference(X[:30], y[:30]) is None
    assert second.loss[0].mean() < first.loss[0].mean()


def test_no_epochs_no_trajectory(make_net, data):
    net = make_net(callbacks=[RecordTraining()], max_epochs=0, train_split=None).fit(*data)
    assert recorder_of(net).trajectory_ is None


# ---------------------------------------------------------------------------------- regressors


@pytest.mark.parametrize("n_targets", [1, 2])
def test_regressor(make_net, data, n_targets):
    X, _ = data
    y = X[:, :n_targets] * 2
    settings = {"cls": NeuralNetRegressor, "criterion": nn.MSELoss, "lr": 0.0}
    net = make_net(module=nn.Linear(4, n_targets), iterator_train__shuffle=True, **settings)
    record = TrainingRecord.from_fit(net, X, y if n_targets == 2 else y[:, 0], keep_logits=True)
    found = record.trajectory
    with torch.no_grad():
        outputs = record.module(torch.tensor(X)).numpy()
    expected = np.square(outputs - y).sum(axis=1)
    assert_allclose(found.loss, np.tile(expected, (4, 1)), rtol=1e-5)
    assert_allclose(found.logits[-1], outputs, rtol=1e-5)
    assert_allclose(found.targets.reshape(48, -1), y)
    assert np.isnan([found.probability, found.margin, found.el2n]).all()
    assert (found.predicted == -1).all()


@pytest.mark.parametrize("sampler", [SequentialSampler, RandomSampler])
def test_sampler_given_as_an_object_keeps_its_state(echo, marked, sampler):
    own = sampler(range(N))
    net = echo(iterator_train__sampler=own)
    assert_own(trajectory_of(net.fit(*marked)), *marked)
    with suppress(KeyError):
        assert net.get_params()["iterator_train__sampler"] is own
