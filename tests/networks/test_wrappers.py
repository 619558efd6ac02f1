# SPDX-License-Identifier: BSD-3-Clause
"""Wrapped modules are trained as they are, and read as what is inside."""

import numpy as np
import pytest
import torch
from readings import READERS, fitted_with, numbers_of, table_of
from sklearn.frozen import FrozenEstimator
from small_nets import TwoLayers, make_net
from torch import nn

from sklearn_difficulty import MarginScorer, TrainingDynamicsScorer, TrainingRecord, VoGScorer
from sklearn_difficulty.networks.forward import plain_module
from sklearn_difficulty.training import RecordTraining, ResampledEnsemble

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")


class DistributedDataParallel(nn.Module):
    """Wraps a module as the class of this name in torch does, without processes."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, *args, **kwargs):
        return self.module(*args, **kwargs)


class FullyShardedDataParallel(nn.Module):
    """The same for shards of weights."""

    def __init__(self, module):
        super().__init__()
        self._fsdp_wrapped_module = module

    def forward(self, *args, **kwargs):
        return self._fsdp_wrapped_module(*args, **kwargs)


WRAPPERS = {
    "DataParallel": lambda: nn.DataParallel(TwoLayers()),
    "distributed": lambda: DistributedDataParallel(TwoLayers()),
    "sharded": lambda: FullyShardedDataParallel(TwoLayers()),
    "nested": lambda: DistributedDataParallel(nn.DataParallel(TwoLayers())),
    "compiled": lambda: torch.compile(TwoLayers(), backend="eager"),
}
JITTED = {
    "scripted": lambda: torch.jit.script(TwoLayers()),
    "traced": lambda: torch.jit.trace(TwoLayers(), torch.zeros(2, 4)),
    "in part": lambda: nn.Sequential(torch.jit.script(nn.Linear(4, 8)), nn.Linear(8, 3)),
}


@pytest.fixture(scope="module")
def plain(data):
    return table_of(make_net(module=TwoLayers, max_epochs=2), *data)


@pytest.mark.parametrize("name", WRAPPERS)
def test_wrapped_modules_are_read_as_what_is_inside(name, data, plain):
    net = make_net(module=WRAPPERS[name], max_epochs=2)
    n_readers = len(READERS) if name == "DataParallel" else 2
    found = table_of(net, *data, READERS[-n_readers:])
    for expected, numbers in zip(plain[-n_readers:], found, strict=True):
        np.testing.assert_array_equal(numbers, expected)


@pytest.mark.parametrize("name", WRAPPERS)
def test_records_of_wrapped_modules_hold_plain_names(name, data, tmp_path):
    net = make_net(module=WRAPPERS[name], max_epochs=2, callbacks=[RecordTraining()]).fit(*data)
    assert type(net.module_) is not TwoLayers
    record = TrainingRecord.from_net(net)
    assert type(record.module) is TwoLayers
    for state in (c.state_dict() for c in record.checkpoints):
        assert list(state) == list(TwoLayers().state_dict())
    record.save(tmp_path / "record")
    loaded = TrainingRecord.load(tmp_path / "record", WRAPPERS[name]())
    expected = VoGScorer(FrozenEstimator(net)).fit(*data).difficulty_
    np.testing.assert_array_equal(VoGScorer(loaded).fit(*data).difficulty_, expected)


def test_parallel_training_keeps_its_wrapper(data):
    net = make_net(module=WRAPPERS["DataParallel"], max_epochs=2)
    fitted = VoGScorer(net).fit(*data)
    assert type(fitted.estimator_.module_) is nn.DataParallel


def test_wrappers_of_the_users_own_are_left_alone():
    class Doubled(nn.Module):
        def __init__(self):
            super().__init__()
            self.module = TwoLayers()

        def forward(self, x):
            return 2 * self.module(x)

    doubled = Doubled()
    assert plain_module(doubled) is doubled


@pytest.mark.parametrize("as_instance", [False, True])
@pytest.mark.parametrize("make", JITTED.values(), ids=JITTED)
def test_scripts_are_trained_and_named_where_they_cannot_be_read(make, as_instance, data):
    net = make_net(module=make() if as_instance else make, max_epochs=2)
    X, y = data
    dynamics = fitted_with(TrainingDynamicsScorer(), net, X, y)
    assert np.isfinite(dynamics.difficulty_).all()
    with pytest.raises(ValueError, match=r"compiled by torch\.jit, and its checkpoints"):
        dynamics.score_samples(X, y)
    assert np.isfinite(numbers_of(fitted_with(MarginScorer(), net, X, y), X, y)).all()
    for scorer in (s for s in READERS if type(s) is VoGScorer or hasattr(s, "n_neighbors")):
        with pytest.raises(ValueError, match=r"compiled by torch\.jit, and its"):
            fitted_with(scorer, net, X, y)


def test_members_with_scripts_are_trained_one_by_one(data):
    net = make_net(module=JITTED["in part"], max_epochs=2)
    ensemble = ResampledEnsemble(net, n_members=2, train_size=0.5, random_state=0).fit(*data)
    assert ensemble.why_not_stacked_ == "a part of the network is compiled by torch.jit"
