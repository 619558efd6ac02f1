# SPDX-License-Identifier: BSD-3-Clause
"""Many members: stacked as one by one, in any process, after any interruption; and what is read."""

import logging
import math
import os
import pickle
import random
import re
import signal
import subprocess
import sys
import time
import warnings
from types import SimpleNamespace

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from skorch import NeuralNet, NeuralNetBinaryClassifier, NeuralNetClassifier
from skorch.callbacks import EarlyStopping, GradientNormClipping, LRScheduler
from skorch.helper import predefined_split
from small_nets import NeverTrain, Watch
from torch import nn
from torch.utils.data import TensorDataset

from sklearn_difficulty._progress import SILENT
from sklearn_difficulty.measures import memorization
from sklearn_difficulty.rows.rows import as_rows
from sklearn_difficulty.training import MLP, RecordTraining, TrainingRecord
from sklearn_difficulty.training.ensemble import runs
from sklearn_difficulty.training.ensemble.member import Pool, train_member
from sklearn_difficulty.training.ensemble.resampled import ResampledEnsemble

# Wide enough that torch multiplies a stack of matrices as it multiplies one: products of less than
# 400 numbers, and those with a vector, are summed in another order.
N_FEATURES, N_HIDDEN = 16, 32


class Small(nn.Module):
    """One hidden layer, no dropout layer."""

    def __init__(self, n_hidden=N_HIDDEN, n_outputs=3, n_inputs=N_FEATURES):
        super().__init__()
        self.hidden = nn.Linear(n_inputs, n_hidden)
        self.out = nn.Linear(n_hidden, n_outputs)

    def forward(self, x):
        return self.out(torch.tanh(self.hidden(x)))


class OneLogit(Small):
    def __init__(self):
        super().__init__(n_outputs=1)


class OneLogitFlat(OneLogit):
    def forward(self, x):
        return super().forward(x)[:, 0]


class EndsInSoftmax(Small):
    def forward(self, x):
        return super().forward(x).softmax(dim=1)


class EndsInLogSoftmax(Small):
    def forward(self, x):
        return super().forward(x).log_softmax(dim=1)


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(N_FEATURES, N_HIDDEN), nn.Linear(8, N_HIDDEN)
        self.out = nn.Linear(N_HIDDEN, 3)

    def forward(self, left, right):
        return self.out(torch.relu(self.left(left) + self.right(right)))


class Words(nn.Module):
    """A bag of embedded tokens, and a linear layer."""

    def __init__(self):
        super().__init__()
        self.embedding, self.out = nn.Embedding(11, N_HIDDEN), nn.Linear(N_HIDDEN, 3)

    def forward(self, tokens):
        return self.out(self.embedding(tokens).mean(dim=1))


class Frozen(Small):
    """The hidden layer stays as it was initialised; one parameter is never used."""

    def __init__(self):
        super().__init__()
        self.hidden.requires_grad_(False)
        self.unused = nn.Parameter(torch.ones(2))


class Double(Small):
    def __init__(self):
        super().__init__()
        self.double()


class Convolutional(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution, self.out = nn.Conv2d(1, 8, 3), nn.Linear(8, 3)

    def forward(self, x):
        return self.out(torch.relu(self.convolution(x)).mean(dim=(2, 3)))


class Normalised(Small):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(N_FEATURES)

    def forward(self, x):
        return super().forward(self.norm(x))


class DropsOut(Small):
    def __init__(self, share=0.5):
        super().__init__()
        self.dropout = nn.Dropout(share)

    def forward(self, x):
        return super().forward(self.dropout(x))


class DropsOutInPassing(Small):
    def forward(self, x):
        return super().forward(nn.functional.dropout(x, 0.5, self.training))


class Jitters(Small):
    """Draws from a generator that torch does not know of."""

    def forward(self, x):
        return super().forward(x + np.random.rand() if self.training else x)


class JittersWhenAsked(Small):
    def forward(self, x):
        return super().forward(x if self.training else x + torch.rand(()))


class ClipsByHook(Small):
    def __init__(self):
        super().__init__()
        self.out.weight.register_hook(lambda gradient: gradient.clamp(-1e-3, 1e-3))


class FindsItsInputs(Small):
    def __init__(self):
        super().__init__()
        self.hidden = nn.LazyLinear(N_HIDDEN)


class Branches(Small):
    def forward(self, x):
        return super().forward(x if x.sum() > 0 else -x)


class HasTwoOutputs(Small):
    def forward(self, x):
        hidden = torch.tanh(self.hidden(x))
        return self.out(hidden), hidden


class ReadsBothOutputs(nn.CrossEntropyLoss):
    """Punishes large hidden units where it is given them."""

    def forward(self, outputs, targets):
        if isinstance(outputs, tuple):
            return super().forward(outputs[0], targets) + outputs[1].square().mean()
        return super().forward(outputs, targets)


class SharesALayer(Small):
    """A weight that two layers have in common."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(N_HIDDEN, N_HIDDEN), nn.Linear(N_HIDDEN, N_HIDDEN)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.out(self.second(torch.relu(self.first(torch.relu(self.hidden(x))))))


class LearnsItsLoss(nn.CrossEntropyLoss):
    def __init__(self):
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(()))

    def forward(self, outputs, targets):
        return super().forward(outputs / self.temperature, targets)


class OwnStep(NeuralNetClassifier):
    def train_step_single(self, batch, **fit_params):
        return super().train_step_single(batch, **fit_params)


class OwnNotification(NeuralNetClassifier):
    """Clips gradients."""

    def on_grad_computed(self, net, named_parameters, **kwargs):
        nn.utils.clip_grad_norm_(self.module_.parameters(), 0.01)


class OwnEpochs(NeuralNetClassifier):
    """Lowers its learning rate."""

    def on_epoch_begin(self, net, **kwargs):
        super().on_epoch_begin(net, **kwargs)
        for group in self.optimizer_.param_groups:
            group["lr"] *= 0.1


class OwnLoss(NeuralNetClassifier):
    def get_loss(self, y_pred, y_true, *args, **kwargs):
        return 2 * super().get_loss(y_pred, y_true, *args, **kwargs)


def net_of(module=Small, cls=NeuralNetClassifier, **settings):
    defaults = {
        "criterion": nn.CrossEntropyLoss,
        "max_epochs": 3,
        "lr": 0.1,
        "batch_size": 16,
        "iterator_train__shuffle": True,
        "verbose": 0,
    }
    return cls(module, **{**defaults, **settings})


def ensemble_of(net=None, **settings):
    defaults = {"n_members": 5, "train_size": 0.75, "random_state": 0}
    return ResampledEnsemble(net_of() if net is None else net, **{**defaults, **settings})


def kept(ensemble):
    """Return all that is kept of every member, as a list of arrays."""
    arrays = [
        ensemble.masks_,
        ensemble.seeds_,
        ensemble.classes_,
        ensemble.predictions_,
        ensemble.given_probability_,
        *ensemble.held_out_probability_,
        *ensemble.mean_held_out_probability_,
    ]
    for name in sorted(ensemble.readout_):
        arrays.extend(ensemble.readout_[name])
    if ensemble.has_members:
        for k in range(len(ensemble.masks_)):
            arrays.extend(ensemble.record(k).module.state_dict().values())
    return [np.asarray(array) for array in arrays]


def assert_same(first, second):
    """Compare all that is kept, bit for bit."""
    ours, theirs = kept(first), kept(second)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == b.dtype
        assert_array_equal(a, b)


def differ(first, second):
    return not np.array_equal(first.given_probability_, second.given_probability_)


@pytest.fixture(scope="module")
def rows():
    """Return 61 rows of 3 noisy classes: folds of 16 and 15, and a last batch of 13 in training."""
    rng = np.random.default_rng(0)
    y = np.arange(61) % 3
    X = (rng.normal(size=(61, N_FEATURES)) + np.eye(3, N_FEATURES)[y]).astype(np.float32)
    X.flags.writeable = y.flags.writeable = False
    return X, y


@pytest.fixture(scope="module")
def fitted(rows):
    """Return a fitted ensemble that is only read."""
    return ensemble_of(keep_members=True, n_members=6).fit(*rows)


# --------------------------------------------------------------------- stacked as one by one

STACKABLE = {
    "sgd": {},
    "nesterov": {
        "optimizer__momentum": 0.9,
        "optimizer__nesterov": True,
        "optimizer__weight_decay": 1e-2,
    },
    "adam": {"optimizer": torch.optim.Adam, "lr": 0.01, "optimizer__weight_decay": 1e-2},
    "amsgrad": {"optimizer": torch.optim.Adam, "lr": 0.01, "optimizer__amsgrad": True},
    "adamw": {"optimizer": torch.optim.AdamW, "lr": 0.01, "optimizer__weight_decay": 0.1},
    "param groups": {
        "optimizer__param_groups": [("*bias", {"lr": 0.01}), ("hidden*", {"weight_decay": 0.1})]
    },
    "schedule by epoch": {
        "callbacks": [LRScheduler(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.3)]
    },
    "one cycle by batch": {
        "optimizer__momentum": 0.9,
        "callbacks": [
            LRScheduler(
                torch.optim.lr_scheduler.OneCycleLR, max_lr=0.3, total_steps=12, step_every="batch"
            )
        ],
    },
    "cosine by batch": {
        "callbacks": [
            LRScheduler(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=9, step_every="batch")
        ]
    },
    "two schedules": {
        "callbacks": [
            ("slow", LRScheduler("ExponentialLR", gamma=0.5)),
            ("fast", LRScheduler("StepLR", step_size=2, step_every="batch")),
        ]
    },
    "drop last": {"iterator_train__drop_last": True},
    "unshuffled": {"iterator_train__shuffle": False},
    "all rows in a batch": {"batch_size": -1},
    "class weights": {"criterion__weight": torch.tensor([1.0, 2.0, 3.0])},
    "label smoothing": {"criterion__label_smoothing": 0.1},
    "softmax": {"module": EndsInSoftmax, "criterion": nn.NLLLoss},
    "log softmax": {"module": EndsInLogSoftmax, "criterion": nn.NLLLoss, "cls": NeuralNet},
    "module arguments": {"module__n_hidden": 48},
    "frozen layer": {"module": Frozen, "optimizer": torch.optim.Adam, "lr": 0.01},
    "double precision": {"module": Double},
    "no dropout": {"module": DropsOut, "module__share": 0.0},
    "callbacks disabled": {"callbacks": "disable"},
    "shared weight": {"module": SharesALayer},
    "two outputs": {"module": HasTwoOutputs, "criterion": ReadsBothOutputs},
}


@pytest.mark.parametrize("name", STACKABLE)
def test_stacked_as_one_by_one(rows, name):
    net = net_of(**STACKABLE[name])
    one_by_one = ensemble_of(net, backend="joblib", keep_members=True).fit(*rows)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stacked = ensemble_of(net, backend="stacked", keep_members=True).fit(*rows)
    assert (one_by_one.backend_, stacked.backend_) == ("joblib", "stacked")
    assert stacked.why_not_stacked_ is one_by_one.why_not_stacked_ is None
    assert_same(stacked, one_by_one)
    assert differ(stacked, ensemble_of(net.set_params(max_epochs=1)).fit(*rows))


@pytest.mark.parametrize("kind", ["float64", "dict", "tokens", "tensor", "wide", "more blocks"])
def test_stacked_as_one_by_one_for_other_rows(rows, kind):
    X, y = rows
    rng = np.random.default_rng(1)
    net, X = {
        "float64": (net_of(), X.astype(np.float64) + rng.normal(size=X.shape) * 1e-9),
        "dict": (net_of(TwoInputs), {"left": X, "right": X[:, :8]}),
        "tokens": (net_of(Words), rng.integers(0, 11, size=(len(X), 7))),
        "tensor": (net_of(), torch.tensor(X)),
        "wide": (net_of(module__n_inputs=256), rng.normal(size=(len(X), 256))),
        # More rows than are asked about at a time.
        "more blocks": (net_of(max_epochs=2), np.repeat(X, 21, axis=0)),
    }[kind]
    y = np.repeat(y, 21) if kind == "more blocks" else y
    one_by_one = ensemble_of(net, backend="joblib", keep_members=True).fit(X, y)
    stacked = ensemble_of(net, backend="stacked", keep_members=True).fit(X, y)
    assert stacked.backend_ == "stacked"
    assert_same(stacked, one_by_one)


@pytest.mark.parametrize("module", [OneLogit, OneLogitFlat])
def test_stacked_as_one_by_one_for_one_logit(rows, module):
    # Up to rounding: one logit is a product with a vector.
    X, y = rows
    net = net_of(module, NeuralNetBinaryClassifier, criterion=nn.BCEWithLogitsLoss)
    one_by_one = ensemble_of(net, backend="joblib").fit(X, y > 0)
    stacked = ensemble_of(net, backend="stacked").fit(X, y > 0)
    assert stacked.backend_ == "stacked"
    assert_allclose(stacked.given_probability_, one_by_one.given_probability_, atol=2e-6)


def test_stacked_as_one_by_one_for_tiny_products(rows):
    X, y = rows
    net = net_of(module__n_hidden=2, module__n_inputs=3, batch_size=1)
    one_by_one = ensemble_of(net, backend="joblib").fit(X[:, :3], y)
    stacked = ensemble_of(net, backend="stacked").fit(X[:, :3], y)
    assert_allclose(stacked.given_probability_, one_by_one.given_probability_, atol=1e-5)


def test_stacked_convolutions_are_near(rows):
    _, y = rows
    X = np.random.default_rng(0).normal(size=(61, 1, 8, 8)) + y[:, None, None, None] / 2
    net = net_of(Convolutional)
    one_by_one = ensemble_of(net, backend="joblib").fit(X, y)
    stacked = ensemble_of(net, backend="stacked").fit(X, y)
    assert stacked.backend_ == "stacked"
    assert_allclose(stacked.given_probability_, one_by_one.given_probability_, atol=1e-4)


@pytest.mark.parametrize("stack_size", [1, 2, 3])
def test_size_of_stacks_changes_nothing(rows, fitted, stack_size):
    other = ensemble_of(n_members=6, keep_members=True, stack_size=stack_size).fit(*rows)
    assert other.backend_ == "stacked"
    assert_same(other, fitted)


def test_members_are_what_a_record_of_their_rows_is(rows, fitted):
    X, y = rows
    for k in (0, 5):
        mask = fitted.masks_[k]
        record = TrainingRecord.from_fit(
            net_of(), X[mask], y[mask], random_state=int(fitted.seeds_[k])
        )
        for ours, theirs in zip(
            record.module.parameters(), fitted.record(k).module.parameters(), strict=True
        ):
            assert torch.equal(ours, theirs)


@pytest.mark.parametrize("backend", ["stacked", "joblib"])
def test_members_differ_in_start_and_rows(rows, backend):
    untrained = ensemble_of(net_of(lr=0.0), backend=backend).fit(*rows)
    assert len({p.tobytes() for p in untrained.given_probability_}) == 5
    assert len(set(untrained.seeds_.tolist())) == 5
    assert len({mask.tobytes() for mask in untrained.masks_}) == 5


# ------------------------------------------------------------------------------- where it runs


def portable_net(**settings):
    """Return a net that a worker of a cluster can import."""
    sizes = {"n_inputs": N_FEATURES, "n_outputs": 3, "hidden_units": (N_HIDDEN,)}
    return net_of(MLP, **{f"module__{name}": value for name, value in sizes.items()}, **settings)


def ask_depth(record, X, codes, trained_on):
    return {"n_epochs": record.n_epochs, "trained_on": trained_on}


def test_processes_change_nothing(rows):
    settings = {"backend": "joblib", "keep_members": True, "n_members": 3}
    alone = ensemble_of(portable_net(), **settings).fit(*rows)
    assert_same(ensemble_of(portable_net(), n_jobs=2, **settings).fit(*rows), alone)


def test_threads_change_nothing(rows):
    # Dropout draws from the generator that threads share.
    net = net_of(DropsOut)
    alone = ensemble_of(net, backend="joblib", keep_members=True).fit(*rows)
    with joblib.parallel_config(backend="threading", n_jobs=2):
        in_threads = ensemble_of(net, backend="joblib", keep_members=True).fit(*rows)
        n_jobs_given = ensemble_of(net, backend="joblib", keep_members=True, n_jobs=2).fit(*rows)
        assert ensemble_of().fit(*rows).backend_ == "stacked"
    assert_same(in_threads, alone)
    assert_same(n_jobs_given, alone)


@pytest.mark.filterwarnings("ignore:The network's module is an instance")
@pytest.mark.parametrize("processes", [True, False])
def test_dask_changes_nothing(rows, tmp_path, processes):
    distributed = pytest.importorskip("distributed")
    # A net that a worker can import, and whose dropout draws from a process's one generator.
    layers = nn.Linear(N_FEATURES, N_HIDDEN), nn.Dropout(), nn.Linear(N_HIDDEN, 3)
    net = net_of(nn.Sequential(*layers), max_epochs=10)
    alone = ensemble_of(net, backend="joblib").fit(*rows)
    cluster = distributed.LocalCluster(
        n_workers=1,
        threads_per_worker=2 if processes else 3,
        processes=processes,
        dashboard_address=None,
        local_directory=tmp_path,
    )
    with cluster, distributed.Client(cluster), joblib.parallel_config(backend="dask"):
        on_cluster = ensemble_of(net, backend="joblib").fit(*rows)
        automatic = ensemble_of(portable_net(max_epochs=1), n_members=2).fit(*rows)
    assert_same(on_cluster, alone)
    assert automatic.why_not_stacked_ == "joblib's active backend is DaskDistributedBackend"


# ------------------------------------------------------------------- what cannot be stacked


class Items(torch.utils.data.Dataset):
    def __init__(self, X, y):
        self.X, self.y = X, y

    def __len__(self):
        return len(self.X)

    def __getitem__(self, index):
        return self.X[index], int(self.y[index])


def validation_set():
    generator = torch.Generator().manual_seed(0)
    X = torch.randn((9, N_FEATURES), generator=generator)
    return TensorDataset(X, torch.arange(9) % 3)


OBSTACLES = {
    "optimiser": ({"optimizer": torch.optim.RMSprop}, "optimizer RMSprop is not"),
    "plateau": (
        {"callbacks": [LRScheduler("ReduceLROnPlateau", monitor="train_loss")]},
        "ReduceLROnPlateau",
    ),
    "clipping": ({"callbacks": [GradientNormClipping(1.0)]}, "GradientNormClipping"),
    "early stopping": (
        {"callbacks": [EarlyStopping(monitor="train_loss", patience=2)]},
        "EarlyStopping",
    ),
    "batch normalisation": ({"module": Normalised}, "running statistics"),
    "dropout": ({"module": DropsOut}, "random numbers"),
    "functional dropout": ({"module": DropsOutInPassing}, "random numbers"),
    "jitter": ({"module": Jitters}, "random numbers"),
    "jitter when asked": ({"module": JittersWhenAsked}, "random numbers"),
    "hook": ({"module": ClipsByHook}, "gradients"),
    "lazy layer": ({"module": FindsItsInputs}, ""),
    "own notification": ({"cls": OwnNotification}, "its own on_grad_computed"),
    "own epochs": ({"cls": OwnEpochs}, "its own on_epoch_begin"),
    "control flow": ({"module": Branches}, "control flow"),
    "own step": ({"cls": OwnStep}, "OwnStep has its own train_step_single"),
    "own loss": ({"cls": OwnLoss}, "OwnLoss has its own get_loss"),
    "recorder": ({"callbacks": [("ours", RecordTraining())]}, "RecordTraining"),
    "validation set": ({"train_split": predefined_split(validation_set())}, "validation set"),
    "criterion": ({"criterion": LearnsItsLoss}, "criterion has parameters"),
    "sampler": (
        {
            "iterator_train__shuffle": False,
            "iterator_train__sampler": torch.utils.data.SequentialSampler(range(45)),
        },
        "sampler",
    ),
    "generator": ({"iterator_train__generator": torch.Generator()}, "generator"),
}


@pytest.mark.parametrize("name", OBSTACLES)
def test_obstacle(rows, name):
    settings, reason = OBSTACLES[name]
    net = net_of(**settings)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        automatic = ensemble_of(net, n_members=2).fit(*rows)
    with pytest.warns(UserWarning, match="one by one, because ") as caught:
        asked = ensemble_of(net, n_members=2, backend="stacked").fit(*rows)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    message = str(caught[0].message)
    assert message.startswith("The members are trained one by one, because ")
    assert reason in message
    assert ".." not in message
    assert automatic.backend_ == asked.backend_ == "joblib"
    assert reason in automatic.why_not_stacked_
    assert automatic.why_not_stacked_ == asked.why_not_stacked_
    if name != "generator":  # which goes on where it was
        assert_same(automatic, asked)


def test_dataset_is_not_stacked(rows):
    X, y = rows
    with pytest.warns(UserWarning, match="X is a Dataset"):
        of_items = ensemble_of(backend="stacked").fit(Items(X, y))
    assert_same(of_items, ensemble_of(backend="joblib").fit(X, y))


def test_unequal_groups_are_not_stacked(rows):
    groups = np.minimum(np.arange(61) // 7, 5)
    ensemble = ensemble_of(train_size=0.5).fit(*rows, groups=groups)
    assert len(set(ensemble.masks_.sum(axis=1).tolist())) > 1
    assert ensemble.why_not_stacked_ == "they have different numbers of training rows"


def test_convolutions_on_a_cpu_are_not_stacked_unless_asked(rows):
    X = np.random.default_rng(0).normal(size=(61, 1, 8, 8))
    automatic = ensemble_of(net_of(Convolutional, max_epochs=1)).fit(X, rows[1])
    assert automatic.backend_ == "joblib"
    assert "convolutions" in automatic.why_not_stacked_


# --------------------------------------------------------------------------------- the splits


@pytest.mark.parametrize("settings", [{"backend": "joblib"}, {"stack_size": 1}])
def test_first_members_do_not_depend_on_how_many_follow(rows, settings):
    few = ensemble_of(n_members=3, keep_members=True, **settings).fit(*rows)
    more = ensemble_of(n_members=5, keep_members=True, **settings).fit(*rows)
    more.n_members = 3
    for name in ("masks_", "seeds_", "predictions_", "given_probability_"):
        setattr(more, name, getattr(more, name)[:3])
    more.held_out_probability_ = more.held_out_probability_[:3]
    more.mean_held_out_probability_ = more.mean_held_out_probability_[:3]
    assert_same(few, more)


# ---------------------------------------------------------------------------------- the cache

CALLS = logging.getLogger("calls")  # a list would be taken for a setting
CALLS.sizes = []


def noting(record, X, codes, trained_on):
    CALLS.sizes.append(int(trained_on.sum()))
    return {"size": trained_on.sum()}


def noting_otherwise(record, X, codes, trained_on):
    CALLS.sizes.append(int(trained_on.sum()))
    return {"size": trained_on.sum() + 0}


@pytest.fixture
def n_trained():
    """Return a function that tells how many members were trained since it was last called."""
    CALLS.sizes.clear()

    def count():
        n = len(CALLS.sizes)
        CALLS.sizes.clear()
        return n

    return count


@pytest.mark.parametrize("backend", ["stacked", "joblib"])
def test_second_fit_trains_nothing(rows, tmp_path, backend, n_trained):
    settings = {"backend": backend, "readout": noting, "keep_members": True}
    uncached = ensemble_of(**settings).fit(*rows)
    assert n_trained() == 5
    first = ensemble_of(cache_dir=tmp_path / "deep" / "er", **settings).fit(*rows)
    assert n_trained() == 5
    again = ensemble_of(cache_dir=str(tmp_path / "deep" / "er"), **settings).fit(*rows)
    assert n_trained() == 0
    assert_same(first, uncached)
    assert_same(again, uncached)
    assert again.backend_ == backend
    assert_array_equal(again.out_of_sample_probability(), uncached.out_of_sample_probability())


def change_one_value(X):
    X = X.copy()
    X[60, 3] += 1e-3
    return X


CHANGES = {
    "lr": lambda e, X, y: (e.set_params(estimator__lr=0.11), X, y),
    "epochs": lambda e, X, y: (e.set_params(estimator__max_epochs=2), X, y),
    "module": lambda e, X, y: (e.set_params(estimator__module__n_hidden=33), X, y),
    "value": lambda e, X, y: (e, change_one_value(X), y),
    "label": lambda e, X, y: (e, X, np.r_[y[:-1], (y[-1] + 1) % 3]),
    "names of classes": lambda e, X, y: (e, X, y + 5),
    "seed": lambda e, X, y: (e.set_params(random_state=1), X, y),
    "readout": lambda e, X, y: (e.set_params(readout=noting_otherwise), X, y),
    "train_size": lambda e, X, y: (e.set_params(train_size=0.7), X, y),
    "stratify": lambda e, X, y: (e.set_params(stratify=True), X, y),
    "keep_members": lambda e, X, y: (e.set_params(keep_members=True), X, y),
    "backend": lambda e, X, y: (e.set_params(backend="joblib"), X, y),
}


@pytest.mark.parametrize("name", CHANGES)
def test_change_is_noticed(rows, tmp_path, name, n_trained):
    def ensemble():
        return ensemble_of(net_of(max_epochs=1), cache_dir=tmp_path, readout=noting, n_members=2)

    ensemble().fit(*rows)
    assert n_trained() == 2
    changed, X, y = CHANGES[name](ensemble(), *rows)
    fresh = clone(changed).set_params(cache_dir=None).fit(X, y)
    n_trained()
    changed.fit(X, y)
    assert n_trained() == 2
    assert_same(changed, fresh)


def test_scoring_view_is_part_of_the_key(rows, tmp_path, n_trained):
    X, y = rows
    for view, n in [(None, 2), (-X, 2), (change_one_value(-X), 2), (-X, 0)]:
        ensemble = ensemble_of(cache_dir=tmp_path, readout=noting, n_members=2)
        ensemble.fit(X, y, scoring_view=view)
        assert n_trained() == n


def test_what_changes_no_result_does_not_count(rows, tmp_path, n_trained):
    settings = {"cache_dir": tmp_path, "readout": noting, "backend": "joblib", "n_members": 2}
    first = ensemble_of(**settings).fit(*rows)
    n_trained()
    X, y = rows
    others = [
        (ensemble_of(n_jobs=1, **settings), X.copy(), y),
        (ensemble_of(net_of(verbose=1), **settings), X, y.tolist()),
        (ensemble_of(**settings), torch.tensor(X), y),
    ]
    for other, X_, y_ in others:
        assert_same(other.fit(X_, y_), first)
        assert n_trained() == 0


@pytest.mark.parametrize(
    ("settings", "n_more"), [({"backend": "joblib"}, 2), ({"stack_size": 2}, 2)]
)
def test_enlarged_ensemble_trains_only_the_new_members(rows, tmp_path, settings, n_more, n_trained):
    settings = {"cache_dir": tmp_path, "readout": noting, **settings}
    ensemble_of(n_members=4, **settings).fit(*rows)
    assert n_trained() == 4
    larger = ensemble_of(n_members=6, **settings).fit(*rows)
    assert n_trained() == n_more
    assert_same(larger, ensemble_of(n_members=6, **{**settings, "cache_dir": None}).fit(*rows))


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_damaged_file_is_made_anew(rows, tmp_path, damage, n_trained):
    settings = {"backend": "joblib", "readout": noting, "cache_dir": tmp_path}
    first = ensemble_of(**settings).fit(*rows)
    n_trained()
    path = sorted(tmp_path.glob("*.safetensors"))[2]
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[-3] ^= 255
    path.write_bytes({"cut": content[:-20], "flipped": content, "empty": b""}[damage])
    with pytest.warns(UserWarning, match="made anew"):
        again = ensemble_of(**settings).fit(*rows)
    assert n_trained() == 1
    assert_same(again, first)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ensemble_of(**settings).fit(*rows)
    assert n_trained() == 0


# Reads an ensemble and its rows from a file, so that no line of this file is needed there.
FIT = """
import pickle, sys, torch
torch.set_num_threads(1)
with open(sys.argv[1], "rb") as file:
    ensemble, X, y = pickle.load(file)
ensemble.fit(X, y)
"""


def members_on_disk(folder):
    """Return when each whole file was written, by its name."""
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.safetensors")}


@pytest.mark.parametrize(
    ("settings", "group"), [({"backend": "joblib"}, 1), ({"stack_size": 2}, 2)], ids=str
)
def test_killed_process_is_taken_up(rows, tmp_path, settings, group):
    n_members = 12
    cache = tmp_path / "cache"
    net = portable_net(max_epochs=20)
    settings = {"n_members": n_members, "keep_members": True, **settings}
    with (tmp_path / "task.pickle").open("wb") as file:
        pickle.dump((ensemble_of(net, cache_dir=cache, **settings), *rows), file)
    process = subprocess.Popen([sys.executable, "-c", FIT, tmp_path / "task.pickle"])
    try:
        deadline = time.monotonic() + 60
        while len(members_on_disk(cache)) < 3 and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)
    finally:
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    before = members_on_disk(cache)
    assert 3 <= len(before) < n_members
    resumed = ensemble_of(net, cache_dir=cache, **settings).fit(*rows)
    after = members_on_disk(cache)
    assert len(after) == n_members
    untouched = [name for name in before if after[name] == before[name]]
    assert len(untouched) == len(before) // group * group
    assert_same(resumed, ensemble_of(net, **settings).fit(*rows))


def interrupting(record, X, codes, trained_on):
    CALLS.sizes.append(int(trained_on.sum()))
    if len(CALLS.sizes) == 4:
        raise KeyboardInterrupt
    return {}


@pytest.mark.parametrize("backend", ["stacked", "joblib"])
def test_ctrl_c_ends_the_fit_and_keeps_what_is_finished(rows, tmp_path, backend, n_trained):
    settings = {"readout": interrupting, "cache_dir": tmp_path, "stack_size": 2}
    ensemble = ensemble_of(backend=backend, **settings)
    with pytest.raises(KeyboardInterrupt):
        ensemble.fit(*rows)
    with pytest.raises(NotFittedError):
        ensemble.out_of_sample_probability()
    before = members_on_disk(tmp_path)
    assert len(before) == 3
    ensemble.fit(*rows)  # past the fourth call
    # A stack that is not complete is trained as a whole.
    assert n_trained() - 4 == {"stacked": 3, "joblib": 2}[backend]
    after = members_on_disk(tmp_path)
    assert (
        sum(after[name] == before[name] for name in before) == {"stacked": 2, "joblib": 3}[backend]
    )
    assert len(members_on_disk(tmp_path)) == 5


class PressesCtrlC(Small):
    """Interrupts the training of the third member; one more network is made beforehand."""

    n_made = 0

    def __init__(self):
        super().__init__()
        type(self).n_made += 1

    def forward(self, x):
        if self.training and self.n_made == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return super().forward(x)


def test_ctrl_c_while_a_member_is_trained(rows, tmp_path):
    PressesCtrlC.n_made = 0
    with pytest.raises(KeyboardInterrupt):
        ensemble_of(net_of(PressesCtrlC), backend="joblib", cache_dir=tmp_path).fit(*rows)
    assert len(members_on_disk(tmp_path)) == 2


def test_cache_refuses_what_no_other_process_could_recognise(rows, tmp_path):
    with open(__file__) as file:

        def local(record, X, codes, trained_on):
            return {"n": len(file.name)}

        with pytest.raises(TypeError, match=r"local encloses a TextIOWrapper.*cache_key"):
            ensemble_of(readout=local, cache_dir=tmp_path).fit(*rows)
        assert not members_on_disk(tmp_path)
        ensemble_of(readout=local).fit(*rows)
        for cache_key, n in [("first", 5), ("first", 5), ("second", 10)]:
            ensemble_of(readout=local, cache_dir=tmp_path, cache_key=cache_key).fit(*rows)
            assert len(members_on_disk(tmp_path)) == n


# --------------------------------------------------------------------------------- the readout


@pytest.mark.parametrize("backend", ["stacked", "joblib"])
def test_readout_gets_the_member_and_all_rows(rows, backend):
    X, y = rows
    seen = []

    def read(record, X, codes, trained_on):
        with torch.no_grad():
            logits = record.module(torch.tensor(X))
        seen.append((X, codes, trained_on))
        assert isinstance(record, TrainingRecord)
        assert not record.module.training
        assert record.n_epochs == 3
        assert record.classes_.tolist() == ["a", "b", "c"]
        return {
            "winner": logits.argmax(1).numpy(),
            "n": 7,
            "held out": np.flatnonzero(~trained_on),
            "epochs": [float(record.n_epochs)],
        }

    labels = np.array(["a", "b", "c"])[y]
    ensemble = ensemble_of(readout=read, backend=backend).fit(X, labels)
    assert len(seen) == 5
    for (X_, codes, trained_on), mask in zip(seen, ensemble.masks_, strict=True):
        assert_array_equal(X_, X)
        assert_array_equal(codes, y)
        assert_array_equal(trained_on, mask)
    found = ensemble.readout_
    assert set(found) == {"winner", "n", "held out", "epochs"}
    assert_array_equal(found["winner"], ensemble.predictions_)
    assert found["n"].tolist() == [7] * 5
    assert found["epochs"].shape == (5, 1)
    assert_array_equal(found["held out"], [np.flatnonzero(~mask) for mask in ensemble.masks_])


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("backend", ["stacked", "joblib"])
def test_ragged_readouts_are_lists(rows, tmp_path, backend, cached):
    ensemble = ensemble_of(
        readout=ragged, backend=backend, cache_dir=tmp_path if cached else None, n_members=3
    )
    for _ in range(2):
        found = ensemble.fit(*rows).readout_["ragged"]
        assert isinstance(found, list)
        for part, mask in zip(found, ensemble.masks_, strict=True):
            assert_array_equal(part, np.flatnonzero(mask[:20]))


def ragged(record, X, codes, trained_on):
    return {"ragged": np.flatnonzero(trained_on[:20])}


def nothing(record, X, codes, trained_on):
    return None


@pytest.mark.parametrize("backend", ["stacked", "joblib"])
def test_readout_that_returns_no_dict(rows, backend):
    with pytest.raises(TypeError, match=r"must return a dict of arrays; .*nothing.* NoneType"):
        ensemble_of(readout=nothing, backend=backend).fit(*rows)


# ----------------------------------------------------------------------------------- the members


@pytest.mark.parametrize("backend", ["stacked", "joblib"])
def test_members_reproduce_what_was_kept(rows, backend):
    X, y = rows
    ensemble = ensemble_of(keep_members=True, backend=backend).fit(X, y)
    assert ensemble.has_members
    probability = ensemble.member_probability(X)
    assert probability.shape == (5, 61, 3)
    assert probability.dtype == np.float32
    assert_array_equal(probability.argmax(axis=2), ensemble.predictions_)
    assert_array_equal(probability[:, np.arange(61), y], ensemble.given_probability_)
    for k, mask in enumerate(ensemble.masks_):
        record = ensemble.record(k)
        with torch.no_grad():
            logits = record.module(torch.tensor(X))
        assert_array_equal(logits.argmax(1), ensemble.predictions_[k])
        assert_allclose(logits.softmax(1)[~mask], ensemble.held_out_probability_[k], rtol=1e-5)
    assert_allclose(ensemble.member_probability(X[5:7]), probability[:, 5:7], rtol=1e-5)


def test_records_are_copies(rows, fitted):
    record = fitted.record(1)
    with torch.no_grad():
        record.module.out.weight.zero_()
    assert fitted.record(1).module.out.weight.abs().sum() > 0


def test_members_that_were_not_kept(rows):
    ensemble = ensemble_of().fit(*rows)
    assert not ensemble.has_members
    for ask in (lambda: ensemble.record(0), lambda: ensemble.member_probability(rows[0])):
        with pytest.raises(ValueError, match="keep_members=True"):
            ask()


def test_other_rows_must_fit(fitted, rows):
    with pytest.raises(ValueError, match=r"15 features.*16"):
        fitted.member_probability(rows[0][:, :15])


@pytest.mark.parametrize("keep_members", [False, True])
def test_pickle_holds_no_rows(rows, keep_members):
    X, y = rows
    sizes = []
    for repeats in (1, 50):
        ensemble = ensemble_of(net_of(max_epochs=1), keep_members=keep_members, n_members=2)
        ensemble.fit(np.repeat(X, repeats, axis=0), np.repeat(y, repeats))
        content = pickle.dumps(ensemble)
        copied = pickle.loads(content)
        assert_same(copied, ensemble)
        assert_array_equal(copied.out_of_sample_probability(), ensemble.out_of_sample_probability())
        sizes.append(len(content))
    # 4 KB of X; of each row a mask, two numbers, and 2 x 3 probabilities where it is held out.
    n_more = 49 * 61
    assert sizes[1] - sizes[0] < n_more * (2 * (1 + 4 + 4) + 2 * 24 * 0.26 + 1)
    assert X[0].nbytes > 2 * (1 + 4 + 4) + 2 * 24 * 0.26 + 1


def test_clone_is_not_fitted(fitted):
    copied = clone(fitted)
    assert copied.get_params(deep=False).keys() == fitted.get_params(deep=False).keys()
    assert not copied.has_members
    for ask in (
        copied.out_of_sample_probability,
        lambda: copied.record(0),
        lambda: copied.member_probability(np.zeros((2, N_FEATURES))),
    ):
        with pytest.raises(NotFittedError):
            ask()


def test_second_fit_forgets_the_first(rows):
    X, y = rows
    ensemble = ensemble_of(keep_members=True, readout=ask_depth).fit(X, y)
    ensemble.set_params(keep_members=False, readout=None, n_members=2)
    ensemble.fit(X[:40], y[:40])
    assert ensemble.masks_.shape == (2, 40)
    assert not ensemble.has_members
    assert ensemble.readout_ == {}


# ---------------------------------------------------------------------------- held-out answers


@pytest.mark.parametrize("backend", ["stacked", "joblib"])
def test_mean_over_epochs(rows, backend):
    # With the same seeds, shorter trainings are the beginnings of longer ones.
    last = [
        ensemble_of(net_of(max_epochs=n), backend=backend).fit(*rows).held_out_probability_
        for n in (1, 2, 3)
    ]
    ensemble = ensemble_of(backend=backend).fit(*rows)
    for k in range(5):
        expected = np.mean([of_epoch[k].astype(np.float64) for of_epoch in last], axis=0)
        assert_array_equal(ensemble.mean_held_out_probability_[k], expected.astype(np.float32))
        assert_array_equal(ensemble.held_out_probability_[k], last[2][k])
        assert not np.array_equal(last[0][k], last[2][k])


def test_mean_over_the_epochs_that_ran(rows):
    stop = EarlyStopping(monitor="train_loss", patience=2, threshold=10)
    stopped = ensemble_of(net_of(max_epochs=20, callbacks=[stop]), readout=ask_depth).fit(*rows)
    n_epochs = stopped.readout_["n_epochs"]
    assert set(n_epochs.tolist()) == {n_epochs[0]} != {20}
    plain = ensemble_of(net_of(max_epochs=int(n_epochs[0])), backend="joblib").fit(*rows)
    for ours, theirs in zip(
        stopped.mean_held_out_probability_, plain.mean_held_out_probability_, strict=True
    ):
        assert_array_equal(ours, theirs)


@pytest.mark.parametrize("average", ["epochs", "last"])
def test_out_of_sample_probability(fitted, average):
    parts = {
        "epochs": fitted.mean_held_out_probability_,
        "last": fitted.held_out_probability_,
    }[average]
    votes = [[] for _ in range(61)]
    for mask, part in zip(fitted.masks_, parts, strict=True):
        for row, probability in zip(np.flatnonzero(~mask), part, strict=True):
            votes[row].append(probability)
    found = fitted.out_of_sample_probability(average)
    assert found.shape == (61, 3)
    assert found.dtype == np.float32
    assert_allclose(found, [np.mean(v, axis=0) for v in votes], rtol=1e-5)
    assert_allclose(found.sum(axis=1), 1, rtol=1e-5)


def test_out_of_sample_probability_by_hand(fitted):
    ensemble = pickle.loads(pickle.dumps(fitted))
    ensemble.masks_ = np.array([[True, False, False, True], [False, True, False, True]])
    ensemble.classes_ = np.array([0, 1])
    one, two = np.array([[0.2, 0.8], [0.5, 0.5]]), np.array([[0.1, 0.9], [0.9, 0.1]])
    ensemble.held_out_probability_ = [one, two]
    ensemble.mean_held_out_probability_ = [two, one]
    nan = [np.nan, np.nan]
    assert_allclose(
        ensemble.out_of_sample_probability("last"), [[0.1, 0.9], [0.2, 0.8], [0.7, 0.3], nan]
    )
    assert_allclose(ensemble.out_of_sample_probability(), [[0.2, 0.8], [0.1, 0.9], [0.7, 0.3], nan])


def test_row_that_was_never_held_out(rows):
    ensemble = ensemble_of(n_members=1).fit(*rows)
    found = ensemble.out_of_sample_probability()
    assert_array_equal(np.isnan(found).all(axis=1), ensemble.masks_[0])
    assert_array_equal(found[~ensemble.masks_[0]], ensemble.mean_held_out_probability_[0])


def test_unknown_average(fitted):
    with pytest.raises(ValueError, match="average must be 'epochs' or 'last'; got 'best'"):
        fitted.out_of_sample_probability("best")


# ------------------------------------------------------------------------- closed forms


class Nearest(nn.Module):
    """Gives a row the label of the nearest row that it has stored."""

    def __init__(self, n_stored, n_features, n_classes):
        super().__init__()
        self.register_buffer("rows", torch.zeros(n_stored, n_features))
        self.register_buffer("votes", torch.eye(n_classes)[torch.zeros(n_stored, dtype=int)])
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        nearest = torch.cdist(x, self.rows, compute_mode="donot_use_mm_for_euclid_dist").argmin(1)
        return self.votes[nearest]


class NearestNet(NeuralNetClassifier):
    def train_step_single(self, batch, **fit_params):
        rows, codes = batch
        module = self.module_
        module.rows.copy_(rows)
        module.votes.copy_(torch.eye(module.votes.shape[1])[codes])
        outputs = self.infer(rows)
        return {"loss": self.get_loss(outputs, codes), "y_pred": outputs}


def test_nearest_neighbour_has_the_exact_memorization():
    n, m, n_members = 60, 42, 250
    rng = np.random.default_rng(0)
    y = np.arange(n) % 3
    X = (rng.normal(size=(n, 2)) + 1.2 * np.array([[0, 0], [1, 0], [0, 1]])[y]).astype(np.float32)
    net = NearestNet(
        Nearest,
        module__n_stored=m,
        module__n_features=2,
        module__n_classes=3,
        batch_size=-1,
        max_epochs=1,
        callbacks="disable",
        verbose=0,
    )
    ensemble = ResampledEnsemble(net, n_members=n_members, train_size=0.7, random_state=0)
    ensemble.fit(X, y)
    assert ensemble.backend_ == "joblib"
    assert (ensemble.masks_.sum(axis=1) == m).all()
    found = memorization(ensemble.predictions_ == y, ensemble.masks_)
    assert_array_equal(found.p_in, 1)
    # Row i is held out, so that the m rows are drawn from the n - 1 others: its r-th nearest one
    # decides if it is drawn and the r - 1 nearer ones are not.
    P = np.array([math.comb(n - 1 - r, m - 1) / math.comb(n - 1, m) for r in range(1, n)])
    assert P.sum() == pytest.approx(1)
    distance = np.linalg.norm(X[:, None].astype(float) - X, axis=2)
    np.fill_diagonal(distance, -1)
    others = distance.argsort(axis=1)[:, 1:]
    p_out = (y[others] == y[:, None]) @ P
    assert 0.3 < p_out.mean() < 0.9
    standard_error = np.sqrt(p_out * (1 - p_out) / found.n_out)
    # Half a member is what a share of n_out members can be off by discreteness.
    assert (np.abs(found.p_out - p_out) <= 4 * standard_error + 0.5 / found.n_out + 1e-12).all()
    assert np.sqrt(np.mean((found.p_out - p_out) ** 2)) < 1.3 * np.sqrt(np.mean(standard_error**2))
    assert_array_equal(found.memorization, 1 - found.p_out)


@pytest.mark.filterwarnings("ignore:The network's module is an instance")
@pytest.mark.parametrize("backend", ["stacked", "joblib"])
def test_constant_classifier_memorises_nothing(rows, backend):
    X, y = rows
    module = nn.Linear(N_FEATURES, 3)
    with torch.no_grad():
        module.weight.zero_()
        module.bias.copy_(torch.tensor([1.0, 3.0, 2.0]))
    ensemble = ensemble_of(net_of(module, lr=0.0), backend=backend, n_members=8).fit(X, y)
    assert (ensemble.predictions_ == 1).all()
    found = memorization(ensemble.predictions_ == y, ensemble.masks_)
    assert_array_equal(found.memorization, 0)
    expected = torch.tensor([1.0, 3.0, 2.0]).softmax(0).numpy()
    assert_allclose(ensemble.given_probability_, np.tile(expected[y], (8, 1)), rtol=1e-6)
    assert_allclose(ensemble.out_of_sample_probability(), np.tile(expected, (61, 1)), rtol=1e-6)


def test_permuted_rows_and_masks_permute_the_results(rows):
    X, y = rows
    net = net_of(batch_size=-1, iterator_train__shuffle=False)
    order = np.random.default_rng(0).permutation(61)
    mask = np.arange(61) % 4 > 0

    def train(X, y, mask):
        X = as_rows(X)
        pool = Pool(net, X, X, y, np.arange(3), readout=None, keep_members=False, verbose=0)
        return train_member(pool, mask, seed=5)

    plain, permuted = train(X, y, mask), train(X[order], y[order], mask[order])
    assert_array_equal(permuted["predictions"], plain["predictions"][order])
    assert_allclose(permuted["given_probability"], plain["given_probability"][order], rtol=1e-4)
    back = np.cumsum(~mask)[order][~mask[order]] - 1
    for name in ("held_out_probability", "held_out_mean"):
        assert_allclose(permuted[name], plain[name][back], rtol=1e-4, atol=1e-6)


# ---------------------------------------------------------------------------- reproducibility


@pytest.mark.parametrize("backend", ["stacked", "joblib"])
def test_random_state(rows, backend):
    def fit(random_state):
        return ensemble_of(net_of(max_epochs=1), backend=backend, random_state=random_state).fit(
            *rows
        )

    first = fit(1)
    assert_same(fit(1), first)
    assert differ(fit(2), first)
    assert_same(fit(np.random.RandomState(3)), fit(np.random.RandomState(3)))
    fresh, fresher = fit(None), fit(None)
    assert differ(fresh, fresher)
    assert not np.array_equal(fresh.masks_, fresher.masks_)


def test_refitting_with_an_int_gives_the_same(rows):
    ensemble = ensemble_of(net_of(DropsOut)).fit(*rows)
    first = pickle.loads(pickle.dumps(ensemble))
    assert_same(ensemble.fit(*rows), first)


def global_state():
    return (
        torch.get_rng_state().tolist(),
        np.random.get_state()[1].tolist(),
        np.random.get_state()[2:],
        random.getstate(),
        torch.get_num_threads(),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        signal.getsignal(signal.SIGINT),
    )


class FailsLate(Small):
    """Fails in eval mode once it was trained."""

    def forward(self, x):
        np.random.rand(), random.random()
        if self.training:
            self.was_trained = True
        elif getattr(self, "was_trained", False):
            raise ZeroDivisionError
        return super().forward(x)


@pytest.mark.parametrize("backend", ["stacked", "joblib"])
@pytest.mark.parametrize(
    ("module", "readout", "error"),
    [
        (Small, None, None),
        (FailsLate, None, ZeroDivisionError),
        (Small, nothing, TypeError),
        (Small, interrupting, KeyboardInterrupt),
    ],
)
def test_global_state_is_left_alone(rows, backend, module, readout, error):
    CALLS.sizes.clear()
    torch.set_num_threads(2)
    random.seed(4)
    np.random.seed(4)
    torch.manual_seed(4)
    before = global_state()
    ensemble = ensemble_of(
        net_of(module), backend=backend, readout=readout, keep_members=True, n_members=4
    )
    if error is None:
        ensemble.fit(*rows).member_probability(rows[0])
    else:
        with pytest.raises(error):
            ensemble.fit(*rows)
    assert global_state() == before


# ------------------------------------------------------------------------------- what goes wrong


class Unbounded(Small):
    """Turns 1e30 into infinity."""

    def forward(self, x):
        return self.out(torch.relu(self.hidden(x.square())))


def said(error):
    return "\n".join([str(error), *getattr(error, "__notes__", [])])


@pytest.mark.parametrize("backend", ["stacked", "joblib"])
def test_member_that_diverges_is_named(rows, backend):
    X, y = rows
    settings = {"backend": backend, "n_members": 6, "train_size": 0.3, "stack_size": 2}
    masks = ensemble_of(net_of(Unbounded), **settings).fit(X, y).masks_
    # Only the second member of the second stack, and perhaps later ones, are trained on the row.
    row = np.flatnonzero(~masks[:3].any(axis=0) & masks[3])[-1]
    X = X.copy()
    X[row] = 1e30
    with pytest.raises(ValueError, match="The training loss") as raised:
        ensemble_of(net_of(Unbounded), **settings).fit(X, y)
    assert re.search(r"members? 3\b", said(raised.value))


@pytest.mark.filterwarnings("ignore:The members are trained one by one")
@pytest.mark.parametrize("backend", ["auto", "stacked", "joblib"])
def test_row_among_the_first_without_a_gradient(rows, backend):
    X, y = rows
    X = X.copy()
    X[1] = 1e30
    with pytest.raises(ValueError, match=r"loss became nan in epoch 1\b"):
        ensemble_of(net_of(Unbounded), backend=backend).fit(X, y)


@pytest.mark.parametrize("backend", ["stacked", "joblib"])
def test_all_members_diverge(rows, backend):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=r"in epoch 1\b") as raised:
            ensemble_of(net_of(Unbounded, lr=1e25), backend=backend).fit(*rows)
    assert re.search(r"members? 0\b", said(raised.value))


def test_lengths_must_agree(rows):
    X, y = rows
    with pytest.raises(ValueError, match="scoring_view has 60 rows and X has 61"):
        ensemble_of().fit(X, y, scoring_view=X[:60])
    with pytest.raises(ValueError, match="groups"):
        ensemble_of().fit(X, y, groups=y[:60])


@pytest.mark.parametrize("backend", ["auto", "joblib"])
def test_columns_must_fit_the_classes(rows, backend):
    with pytest.raises(ValueError, match="one column per class"):
        ensemble_of(net_of(module__n_outputs=2), backend=backend).fit(*rows)


def test_module_instance_is_a_starting_point(rows):
    X, y = rows
    module = Small()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ensemble = ensemble_of(net_of(module, lr=0.0)).fit(X, y)
    assert [str(w.message).partition(",")[0] for w in caught if "module" in str(w.message)] == [
        "The network's module is an instance"
    ]
    assert caught[0].filename == __file__
    with torch.no_grad():
        expected = module(torch.tensor(X)).softmax(1)[np.arange(61), y]
    assert_allclose(ensemble.given_probability_, np.tile(expected, (5, 1)), rtol=1e-5)


# -------------------------------------------------------------------------- what is said and seen


@pytest.mark.parametrize("backend", ["stacked", "joblib"])
def test_verbose(rows, tmp_path, backend, capsys):
    settings = {"backend": backend, "cache_dir": tmp_path, "stack_size": 3}
    ensemble_of(net_of(verbose=1), **settings).fit(*rows)
    assert capsys.readouterr() == ("", "")
    ensemble_of(net_of(verbose=1, lr=0.2), verbose=1, **settings).fit(*rows)
    lines = capsys.readouterr().out.splitlines()
    assert all("of 5 members are trained after" in line for line in lines)
    assert len(lines) == {"stacked": 2, "joblib": 5}[backend]  # one when something is finished
    assert lines[-1].startswith("5 of 5 members are trained after ")
    assert all("s left" in line for line in lines[:-1])
    assert lines[-1].endswith(" s")
    ensemble_of(net_of(verbose=1, lr=0.2), verbose=1, n_members=6, **settings).fit(*rows)
    lines = capsys.readouterr().out.splitlines()
    n_found = {"stacked": 3, "joblib": 5}[backend]  # the second stack was one of two
    assert lines[0] == f"{n_found} of 6 members found in the cache"
    assert lines[-1].startswith("6 of 6 members are trained after ")


def lines_of(calls, monkeypatch, capsys, **counts):
    """Return what is said when a report is called at these times."""
    times = iter([0.0, *(now for now, *_ in calls)])
    monkeypatch.setattr(runs, "time", SimpleNamespace(monotonic=lambda: next(times)))
    report = runs._Report(**counts, n_epochs=100, verbose=1, progress=SILENT)
    for _, *call in calls:
        report(*call)
    return capsys.readouterr().out.splitlines()


def test_time_that_is_left(monkeypatch, capsys):
    # Ten seconds before the first epoch is over, then a second for each.
    calls = [(10 + 1.0 * e, 0 if e < 100 else 10, e / 10) for e in range(1, 101)]
    lines = lines_of(calls, monkeypatch, capsys, n_members=10, n_todo=10)
    assert lines[0] == "0 of 10 members are trained after 11 s"
    assert lines[1] == "0 of 10 members are trained after 16 s, about 94 s left"
    assert lines[-1] == "10 of 10 members are trained after 110 s"
    # Two jobs at a time, of ten seconds each.
    calls = [(10.0, 1, 2), (10.1, 2, 2), (20.0, 3, 4), (20.1, 4, 4)]
    lines = lines_of(calls, monkeypatch, capsys, n_members=4, n_todo=4)
    assert lines[0] == "1 of 4 members are trained after 10 s, about 10 s left"
    assert lines[-1] == "4 of 4 members are trained after 20 s"


def test_networks_print_if_asked(rows, capsys):
    ensemble = ensemble_of(net_of(verbose=1), verbose=2, backend="joblib", n_members=2)
    ensemble.fit(*rows)
    assert "train_loss" in capsys.readouterr().out


@pytest.mark.parametrize("backend", ["stacked", "joblib"])
def test_members_are_asked_about_the_scoring_view(rows, backend):
    X, y = rows
    view = np.roll(X, 1, axis=1)
    settings = {"backend": backend, "keep_members": True}
    plain = ensemble_of(**settings).fit(X, y)
    seen = []

    def read(record, X, codes, trained_on):
        seen.append(X)
        return {}

    viewed = ensemble_of(readout=read, **settings).fit(X, y, scoring_view=view)
    for k in range(5):
        for ours, theirs in zip(
            viewed.record(k).module.parameters(), plain.record(k).module.parameters(), strict=True
        ):
            assert torch.equal(ours, theirs)
    assert differ(plain, viewed)
    probability = viewed.member_probability(view)
    assert_array_equal(viewed.predictions_, probability.argmax(axis=2))
    assert_array_equal(viewed.given_probability_, probability[:, np.arange(61), y])
    for k, mask in enumerate(viewed.masks_):
        assert_array_equal(viewed.held_out_probability_[k], probability[k, ~mask])
        assert_array_equal(seen[k], view)
    last = ensemble_of(net_of(max_epochs=1), backend=backend).fit(X, y, scoring_view=view)
    for ours, theirs in zip(
        last.mean_held_out_probability_, last.held_out_probability_, strict=True
    ):
        assert_array_equal(ours, theirs)


def test_dataset_with_augmentation_and_its_view(rows):
    X, y = rows
    view = ensemble_of(keep_members=True, n_members=2).fit(
        Items(X + 1, y), scoring_view=Items(X, y)
    )
    assert view.why_not_stacked_.startswith("X is a Dataset")
    assert_array_equal(view.predictions_, view.member_probability(X).argmax(axis=2))
    trained = ensemble_of(keep_members=True, n_members=2, backend="joblib").fit(X + 1, y)
    assert torch.equal(view.record(1).module.out.weight, trained.record(1).module.out.weight)


def test_default_network_is_taken(rows):
    ensemble = ResampledEnsemble(n_members=2, train_size=0.5, random_state=0).fit(*rows)
    assert ensemble.backend_ == "stacked"
    assert ensemble.estimator_.module is MLP
    assert ensemble.n_features_in_ == N_FEATURES


@pytest.mark.parametrize("backend", ["stacked", "joblib"])
def test_members_are_tasks_of_the_fit(rows, backend):
    pytest.importorskip("sklearn.callback")
    watch = Watch()
    ensemble_of(backend=backend, n_members=3).set_callbacks(watch).fit(*rows)
    # The epochs of a stack are seen while it is trained, those of a member when it is.
    assert watch.begun == ["fit", "train", *["epoch"] * 3 * net_of().max_epochs]
    assert sorted(watch.ended) == sorted(watch.begun)


@pytest.mark.parametrize("backend", ["stacked", "joblib"])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_epochs": 0}, "max_epochs=0: no epoch would run"),
        ({"batch_size": 46, "iterator_train__drop_last": True}, "the 45 rows that a member is"),
    ],
)
def test_no_step_is_known_before_the_first_member(rows, backend, settings, message):
    net = net_of(**settings, callbacks=[NeverTrain()] if backend == "joblib" else [])
    with pytest.raises(ValueError, match=message):
        ensemble_of(net, backend=backend).fit(*rows)


@pytest.mark.parametrize("backend", ["stacked", "joblib"])
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"lr": 0.0}, "5 of 5 .* first [0, 1, 2, 3, 4]: not a single weight has changed"),
        ({"lr": 1e-7}, "5 of 5 .* never fell below that of a constant prediction"),
        ({}, None),
    ],
)
def test_members_that_have_learned_nothing(rows, backend, settings, said):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        X, y = rows
        if settings:  # an untrained network gets these more wrong than a constant
            X, y = 5 * X, np.random.default_rng(0).permutation(y)
        ensemble_of(net_of(**settings), backend=backend).fit(X, y)
    found = [str(w.message) for w in caught if "learned nothing" in str(w.message)]
    assert len(found) == (said is not None)
    assert said is None or re.search(said.replace("[", r"\["), found[0])


@pytest.mark.parametrize("backend", ["stacked", "joblib"])
def test_few_rows(rows, backend):
    X, y = rows
    ensemble = ensemble_of(train_size=0.5, n_members=4, backend=backend).fit(X[:5], y[:5])
    assert ensemble.masks_.sum(axis=1).tolist() == [2] * 4
    assert np.isfinite(ensemble.given_probability_).all()


def test_train_accuracy(rows):
    ensemble = ensemble_of(backend="joblib").fit(*rows)
    right = ensemble.classes_[ensemble.predictions_] == rows[1]
    assert ensemble.train_accuracy_ == pytest.approx(right[ensemble.masks_].mean())


def fails(record, X, codes, trained_on):
    raise LookupError("nothing there")


def names_as_it_likes(record, X, codes, trained_on):
    return {f"n{codes[trained_on][0]}{trained_on[0]}": np.zeros(1)}


@pytest.mark.parametrize("backend", ["stacked", "joblib"])
def test_readouts_that_fail_say_that_it_was_them(rows, backend):
    with pytest.raises(LookupError) as caught:
        ensemble_of(backend=backend, readout=fails).fit(*rows)
    assert caught.value.__notes__ == ["This happened in the readout, in member 0 of the ensemble."]
    with pytest.raises(ValueError, match="other names for some members"):
        ensemble_of(backend=backend, readout=names_as_it_likes).fit(*rows)


@pytest.mark.parametrize("backend", ["sequential", "multiprocessing", "loky"])
def test_finished_members_are_written_at_once(rows, tmp_path, backend):
    CALLS.sizes.clear()
    with joblib.parallel_config(backend=backend, n_jobs=1), pytest.raises(KeyboardInterrupt):
        ensemble_of(backend="joblib", readout=interrupting, cache_dir=tmp_path).fit(*rows)
    assert len(members_on_disk(tmp_path)) == 3
