# SPDX-License-Identifier: BSD-3-Clause
"""What is found out before members are stacked, and the stack itself."""

import random

import numpy as np
import pytest
import skorch.dataset
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from skorch import NeuralNetClassifier
from skorch.callbacks import LRScheduler
from torch import nn

from sklearn_difficulty.rows.rows import as_rows
from sklearn_difficulty.training import MLP, ConvNet
from sklearn_difficulty.training.ensemble import runs as member_runs
from sklearn_difficulty.training.ensemble.member import Pool, train_member
from sklearn_difficulty.training.ensemble.resampled import ResampledEnsemble
from sklearn_difficulty.training.ensemble.stack import Stack, initialized
from sklearn_difficulty.training.ensemble.stack_checks import (
    drawback,
    members_that_fit,
    obstacle,
    stack_size,
)
from sklearn_difficulty.training.ensemble.stack_training import train_stack

WIDE = {"module__n_inputs": 784, "module__n_outputs": 3, "module__hidden_units": (256, 64)}
MASKS = np.arange(40) % 4 != np.arange(4)[:, None]


class Layers(nn.Module):
    """Standardises 16 inputs by buffers; one hidden layer."""

    def __init__(self, n_hidden=32):
        super().__init__()
        self.register_buffer("scale", torch.full((16,), 2.0))
        self.register_buffer("n_seen", torch.tensor(7))
        self.hidden, self.out = nn.Linear(16, n_hidden), nn.Linear(n_hidden, 3)

    def forward(self, x):
        return self.out(torch.relu(self.hidden(x / self.scale)))


class Counting(Layers):
    def forward(self, x):
        if self.training:
            self.n_seen += 1
        return super().forward(x)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.recurrent, self.out = nn.GRU(16, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, x):
        return self.out(self.recurrent(x[:, None])[0][:, -1])


class DropsLayers(Layers):
    """Draws from Python's generator."""

    def forward(self, x):
        return super().forward(x / 2 if self.training and random.random() < 0.5 else x)


class KeepsFeatures(Layers):
    def forward(self, x):
        self.features = torch.relu(self.hidden(x))
        return self.out(self.features)


class KeepsFirstMean(Layers):
    mean = None

    def forward(self, x):
        if self.mean is None:
            self.mean = x.detach().mean(dim=0)
        return super().forward(x - self.mean)


class Clamped(Layers):
    def __init__(self):
        super().__init__()
        self.hidden.weight.register_hook(lambda gradient: gradient.clamp(-0.5, 0.5))


class ClampedInTheEnd(Layers):
    def __init__(self):
        super().__init__()
        self.out.weight.register_post_accumulate_grad_hook(lambda weight: weight.grad.clamp_(-1, 1))


class OwnDataset(skorch.dataset.Dataset):
    def transform(self, X, y):
        return super().transform(2 * X, y)


class OwnData(NeuralNetClassifier):
    def get_dataset(self, X, y=None):
        return super().get_dataset(2 * X, y)


class OwnSplit(NeuralNetClassifier):
    def get_split_datasets(self, X, y=None, **fit_params):
        return super().get_split_datasets(X[:20], y[:20], **fit_params)


class ClipsWhenItSteps(NeuralNetClassifier):
    def _step_optimizer(self, step_fn):
        nn.utils.clip_grad_norm_(self.module_.parameters(), 0.1)
        return super()._step_optimizer(step_fn)


class TwoOptimizers(NeuralNetClassifier):
    def initialize_optimizer(self, *args, **kwargs):
        self.optimizer_ = torch.optim.SGD(self.module_.hidden.parameters(), lr=self.lr)
        self.second_ = torch.optim.SGD(self.module_.out.parameters(), lr=self.lr)
        return self


def plateau(optimizer):
    return torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)


def net_of(module=Layers, cls=NeuralNetClassifier, **settings):
    defaults = {
        "criterion": nn.CrossEntropyLoss,
        "max_epochs": 2,
        "lr": 0.1,
        "batch_size": 15,
        "iterator_train__shuffle": True,
        "verbose": 0,
    }
    return cls(module, **{**defaults, **settings})


def pool_of(net=None, X=None, **settings):
    rng = np.random.default_rng(0)
    X = as_rows(rng.normal(size=(40, 16)).astype(np.float32) if X is None else X)
    defaults = {
        "targets": np.arange(40) % 3,
        "classes": np.arange(3),
        "readout": None,
        "keep_members": True,
        "verbose": 0,
    }
    return Pool(net=net_of() if net is None else net, X=X, view=X, **{**defaults, **settings})


# -------------------------------------------------------------------------------- what is found


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"optimizer": torch.optim.AdamW},
        {"optimizer": lambda params, lr: torch.optim.SGD(params, lr)},
        {"iterator_train__drop_last": True},
        {"iterator_train__num_workers": 2, "iterator_train__pin_memory": True},
        {"iterator_valid__batch_size": 3},
        {"predict_nonlinearity": None, "warm_start": True, "verbose": 1},
    ],
)
def test_no_obstacle(settings):
    assert obstacle(pool_of(net_of(**settings)), MASKS) is None


def test_finding_out_leaves_net_and_generators_alone():
    net = net_of()
    before = torch.get_rng_state()
    pool = pool_of(net)
    obstacle(pool, MASKS), drawback(pool), stack_size(pool, 4)
    assert torch.equal(torch.get_rng_state(), before)
    assert not net.initialized_


def test_lengths_must_agree():
    masks = MASKS.copy()
    masks[2, :2] = False
    assert "different numbers of training rows" in obstacle(pool_of(), masks)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"module": Recurrent}, "gru"),
        ({"module": Counting}, "running statistics"),
        ({"optimizer": torch.optim.LBFGS}, "LBFGS"),
        ({"compile": True}, "compiled"),
        ({"dataset": OwnDataset}, "dataset of its own"),
        ({"cls": OwnData}, "has its own get_dataset"),
        ({"cls": OwnSplit}, "has its own get_split_datasets"),
        ({"cls": ClipsWhenItSteps}, "has its own _step_optimizer"),
        ({"cls": TwoOptimizers}, "has its own initialize_optimizer"),
        ({"module": DropsLayers}, "random numbers"),
        ({"module": KeepsFeatures}, "keeps what it has computed"),
        ({"module": KeepsFirstMean}, "keeps what it has computed"),
        ({"module": Clamped}, "gradients pass through hooks"),
        ({"module": ClampedInTheEnd}, "gradients pass through hooks"),
        ({"callbacks": [LRScheduler(plateau)]}, "ReduceLROnPlateau"),
        ({"iterator_train__collate_fn": torch.utils.data.default_collate}, "collate_fn"),
        ({"iterator_train": type("Loader", (torch.utils.data.DataLoader,), {})}, "iterator_train"),
    ],
)
def test_obstacle(settings, reason):
    found = obstacle(pool_of(net_of(**settings)), MASKS)
    assert reason in found
    assert not found.endswith(".")  # it completes a sentence


def test_drawback():
    assert drawback(pool_of()) is None
    images = np.zeros((40, 1, 8, 8), dtype=np.float32)
    net = net_of(ConvNet, module__n_channels=1, module__n_outputs=3)
    assert "convolutions" in drawback(pool_of(net, images))
    assert drawback(pool_of(net_of(module__n_hidden=40_000))) is None
    assert "1,000,000 weights" in drawback(pool_of(net_of(module__n_hidden=60_000)))


# ------------------------------------------------------------------------------- size of stacks


def fitting(megabytes, **settings):
    with config_context(working_memory=megabytes):
        return members_that_fit(pool_of(net_of(**settings)))


def size(megabytes, n_members, n_at_a_time=1, **settings):
    with config_context(working_memory=megabytes):
        return stack_size(pool_of(net_of(**settings)), n_members, n_at_a_time)


def test_stack_fits_the_memory():
    # 8,192 hidden units: 164 k weights, of which there are gradients and steps, too.
    wide = {"module__n_hidden": 8192}
    n_bytes = 4 * (8192 * (16 + 1) + 3 * (8192 + 1))
    assert 1 < fitting(100, **wide) * 2 * n_bytes < 100 * 2**20
    assert fitting(100, **wide) >= 100 * 2**20 // (20 * n_bytes)
    # Twice the memory, twice the members.
    assert abs(fitting(200, **wide) - 2 * fitting(100, **wide)) <= 1


def test_stack_has_a_member_at_least_and_eight_at_most():
    assert size(1, 1000, module__n_hidden=100_000) == 1
    assert size(1024, 1000) == 8
    assert size(1024, 3) == 3


def test_jobs_leave_stacks_alone_unless_some_would_have_none():
    assert [size(1024, 30, jobs) for jobs in (1, 2, 4, 5, 30, 100)] == [8, 8, 8, 6, 1, 1]


def test_stacks_fit_the_memory_side_by_side():
    wide = {"module__n_hidden": 8192}
    n = fitting(50, **wide)
    assert 4 < n < 16
    assert [size(50, 1000, jobs, **wide) for jobs in (2, 3, 100)] == [n // 2, n // 3, 1]


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ({}, {"optimizer": torch.optim.Adam}),
        ({"batch_size": 8}, {"batch_size": 32}),
        ({"batch_size": 8}, {"batch_size": -1}),
        ({}, {"module__n_hidden": 64}),
    ],
    ids=str,
)
def test_what_takes_memory(less, more):
    assert fitting(1, **less) > fitting(1, **more)


def test_batches_larger_than_the_data_take_no_more():
    assert fitting(1, batch_size=40) == fitting(1, batch_size=10_000)


@pytest.mark.parametrize("megabytes", [2, 1024])
def test_memory_decides_how_many_are_trained_at_a_time(megabytes, capsys):
    pool = pool_of()
    net = net_of(module__n_hidden=1024)
    ensemble = ResampledEnsemble(net, n_members=4, train_size=0.75, random_state=0, verbose=1)
    plain = ResampledEnsemble(net, n_members=4, train_size=0.75, random_state=0, backend="joblib")
    with config_context(working_memory=megabytes):
        ensemble.fit(pool.X.data, pool.targets)
        n_stacks = -(-4 // stack_size(pool_of(net), 4))
    assert n_stacks == {2: 2, 1024: 1}[megabytes]
    # A line is printed for every stack.
    assert len(capsys.readouterr().out.splitlines()) == n_stacks
    plain.fit(pool.X.data, pool.targets)
    assert_array_equal(ensemble.given_probability_, plain.given_probability_)


# ------------------------------------------------------------------------------------ the stack


def test_members_come_one_at_a_time_with_all_that_is_kept():
    pool = pool_of(readout=lambda record, X, codes, trained_on: {"sum": trained_on.sum()})
    told = []
    stack = train_stack(pool, MASKS, [3, 1, 4, 1], tell=told.append)
    assert told == []
    first = next(stack)
    assert told == [0.5, 1.0]
    others = list(stack)
    assert len(others) == 3
    alone = train_member(pool, MASKS[0], 3)
    assert set(first) == set(alone)
    for name, array in alone.items():
        assert first[name].dtype == array.dtype
        assert_array_equal(first[name], array)
    assert first["state.n_seen"] == 7
    assert not np.array_equal(others[0]["state.out.weight"], first["state.out.weight"])


def test_members_do_not_share_memory():
    first, second = train_stack(pool_of(), MASKS[:2], [0, 1])
    before = second["state.out.weight"].copy()
    first["state.out.weight"][:] = 0
    assert_array_equal(second["state.out.weight"], before)


def test_rows_of_a_memory_map(tmp_path):
    pool = pool_of()
    np.save(tmp_path / "X.npy", pool.X.data)
    mapped = pool_of(X=np.load(tmp_path / "X.npy", mmap_mode="r"))
    assert obstacle(mapped, MASKS) is None
    for ours, theirs in zip(
        train_stack(mapped, MASKS, range(4)), train_stack(pool, MASKS, range(4)), strict=True
    ):
        assert_array_equal(ours["predictions"], theirs["predictions"])


def test_rows_are_not_changed_by_a_module_that_writes_on_them():
    class Writes(Layers):
        def forward(self, x):
            x[:, 0] = 0
            return super().forward(x)

    pool = pool_of(net_of(Writes))
    before = pool.X.data.copy()
    assert obstacle(pool, MASKS) is None
    list(train_stack(pool, MASKS, range(4)))
    assert_array_equal(pool.X.data, before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu():
    pool = pool_of(net_of(device="cuda"))
    assert obstacle(pool, MASKS) is None
    assert drawback(pool) is None
    assert stack_size(pool, 4) == 4
    for k, stacked in enumerate(train_stack(pool, MASKS, range(4))):
        alone = train_member(pool, MASKS[k], k)
        assert_allclose(stacked["given_probability"], alone["given_probability"], atol=1e-4)


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_wide_layers_learn_what_they_would_by_themselves(optimizer):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 784)).astype(np.float32)
    pool = pool_of(
        net_of(MLP, optimizer=optimizer, lr=1e-2, batch_size=64, **WIDE),
        X,
        targets=rng.integers(0, 3, size=400),
    )
    masks = np.arange(400) % 5 != np.arange(3)[:, None]
    assert obstacle(pool, masks) is None
    for k, arrays in enumerate(train_stack(pool, masks, [1, 2, 3])):
        for name, expected in train_member(pool, masks[k], k + 1).items():
            assert_array_equal(arrays[name], expected, err_msg=name)


def test_long_trainings_are_reported_meanwhile(monkeypatch, capsys):
    monkeypatch.setattr(member_runs, "_SECONDS_BETWEEN_LINES", 0)
    pool = pool_of()
    ResampledEnsemble(net_of(), n_members=4, train_size=0.75, verbose=1).fit(
        pool.X.data, pool.targets
    )
    lines = capsys.readouterr().out.splitlines()
    told = [line.split(" are trained")[0] for line in lines]
    assert told == ["0 of 4 members"] * (len(told) - 1) + ["4 of 4 members"]
    assert "left" in lines[0]
    assert "left" not in lines[-1]


class FlattensRows(Layers):
    def forward(self, x):
        return super().forward(x.flatten(1))


class CentresBatches(Layers):
    """Looks at all rows of a batch; of one member's, not of all."""

    def forward(self, x):
        return super().forward(x - x.mean(dim=0))


class ScalesBySize(Layers):
    def forward(self, x):
        return super().forward(x / len(x))


class CentresBatchesInTraining(Layers):
    def forward(self, x):
        return super().forward(x - x.mean(dim=0) if self.training else x)


class CentresColumnsInTheEnd(Layers):
    def forward(self, x):
        return super().forward(x if self.training else x - x.mean(dim=1, keepdim=True))


@pytest.mark.parametrize(
    ("module", "takes_batches"),
    [
        (Layers, True),
        (FlattensRows, False),
        (CentresBatches, False),
        (ScalesBySize, False),
        (CentresBatchesInTraining, False),
        (CentresColumnsInTheEnd, False),
    ],
)
@pytest.mark.parametrize("n_members", [2, 3])
def test_layers_that_take_all_batches_at_once(module, takes_batches, n_members):
    # Batches of as many rows as there are members.
    pool = pool_of(net_of(module, batch_size=n_members, lr=0.01))
    stack = Stack(pool, [initialized(pool, seed) for seed in range(n_members)])
    assert stack._takes_batches is takes_batches
    for k, arrays in enumerate(train_stack(pool, MASKS[:n_members], range(n_members))):
        for name, expected in train_member(pool, MASKS[k], k).items():
            assert_allclose(arrays[name], expected, rtol=1e-4, atol=1e-6, err_msg=name)
