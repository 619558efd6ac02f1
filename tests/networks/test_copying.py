# SPDX-License-Identifier: BSD-3-Clause
"""Modules that torch does not copy as they are."""

import copy
import pickle
import threading

import joblib
import numpy as np
import pytest
import torch
from readings import READERS, fitted_with, table_of
from small_nets import Named, NeverTrain, make_net
from torch import nn
from torch.nn.utils import parametrizations

from sklearn_difficulty import LabelErrorScorer, TrainingDynamicsScorer, TrainingRecord
from sklearn_difficulty.networks.copying import copied_module
from sklearn_difficulty.training import RecordTraining

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


class Keeping(Named):
    """Keeps what it has computed, as attention maps and Grad-CAM are made of."""

    def __init__(self):
        super().__init__()
        self.kept = {"hidden": []}

    def forward(self, x):
        hidden = torch.tanh(self.hidden(x))
        self.features, self.kept["hidden"] = hidden, [(hidden, 2 * hidden)]
        return self.output(hidden)


class KeepingGradients(Named):
    def forward(self, x):
        hidden = torch.tanh(self.hidden(x))
        if hidden.requires_grad:
            hidden.register_hook(lambda gradient: setattr(self, "gradient", gradient))
        return self.output(hidden)


class Locked(Named):
    def __init__(self):
        super().__init__()
        self.lock, self.condition = threading.Lock(), threading.Condition()


class Lazy(Named):
    def __init__(self):
        super().__init__()
        self.hidden = nn.LazyLinear(8)


class ReWritten(Named):
    """Its hidden weight is computed from others before each pass."""

    rewrite = None

    def __init__(self):
        super().__init__()
        self.hidden = self.rewrite(self.hidden)


def rewritten(rewrite):
    return type("ReWritten", (ReWritten,), {"rewrite": staticmethod(rewrite)})


COPIED = {
    "keeps activations": Keeping,
    "keeps gradients": KeepingGradients,
    "locks": Locked,
    "lazy": Lazy,
    "weight_norm": rewritten(nn.utils.weight_norm),
    "spectral_norm": rewritten(nn.utils.spectral_norm),
    "parametrized weight_norm": rewritten(parametrizations.weight_norm),
    "parametrized spectral_norm": rewritten(parametrizations.spectral_norm),
}


class Counting(Named):
    def __init__(self):
        super().__init__()
        self.hidden.numbers = (k for k in range(9))


class Logging(Named):
    def __init__(self):
        super().__init__()
        self.log = open("/dev/null", "w")

    def __del__(self):
        self.log.close()


class Private(Named):
    def __init__(self):
        super().__init__()
        self.state = threading.local()


REFUSED = {
    "generator": (Counting, "because of 'hidden.numbers', which holds generator"),
    "file": (Logging, "because of 'log', which holds TextIOWrapper"),
    "thread's own": (Private, "because of 'state', which holds _local"),
}


@pytest.mark.parametrize("as_instance", [False, True])
@pytest.mark.parametrize("name", COPIED)
def test_what_torch_does_not_copy_is_trained_and_read(name, as_instance, data):
    module = COPIED[name]
    if as_instance:
        module = module()
        module(torch.from_numpy(data[0].copy())).sum().backward()
    net = make_net(module=module, max_epochs=2)
    all_readers = name == "keeps activations"
    for numbers in table_of(net, *data, READERS if all_readers else READERS[-4:]):
        assert np.isfinite(numbers).any()


def test_keeping_changes_no_number(data):
    plain = table_of(make_net(module=Named, max_epochs=2), *data)
    keeping = table_of(make_net(module=Keeping, max_epochs=2), *data)
    for expected, found in zip(plain, keeping, strict=True):
        # Those that keep are trained one by one, the others as a stack.
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["keeps activations", "weight_norm", "spectral_norm"])
def test_reading_leaves_the_module_as_it_was(name, data, record_of):
    record = record_of(COPIED[name]())

    def attributes():
        return [{k: id(v) for k, v in vars(part).items()} for part in record.module.modules()]

    before = attributes()
    for scorer in (READERS[-3], READERS[-2], TrainingDynamicsScorer(measure="grand_all")):
        try:
            fitted_with(scorer, record, *data)
        finally:
            assert attributes() == before


def test_scorers_of_what_keeps_are_pickled(data, record_of):
    X, y = data
    for measure in ("grand", "grand_all"):
        fitted = TrainingDynamicsScorer(record_of(Keeping()), measure=measure).fit(X, y)
        again = pickle.loads(pickle.dumps(fitted))
        np.testing.assert_array_equal(again.score_samples(X, y), fitted.score_samples(X, y))


@pytest.mark.parametrize("as_instance", [False, True])
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_copied_is_named_before_training(name, as_instance, data):
    module, message = REFUSED[name]
    net = make_net(module=module() if as_instance else module, callbacks=[NeverTrain()])
    for scorer in (READERS[0], TrainingDynamicsScorer(), LabelErrorScorer(n_neighbors=2)):
        with pytest.raises(ValueError, match=message):
            fitted_with(scorer, net, *data)


def test_recorders_refuse_before_training_what_no_record_can_hold(data):
    net = make_net(module=Counting, callbacks=[RecordTraining(), NeverTrain()])
    with pytest.raises(ValueError, match=r"hidden\.numbers"):
        net.fit(*data)


def test_locks_of_a_copy_are_its_own():
    module = Locked()
    with module.lock:
        copied = copied_module(module)
        assert copied.lock.acquire(blocking=False)
    assert type(copied.condition) is threading.Condition


def test_copies_keep_tied_weights_and_values():
    module = Keeping()
    module.output.weight = nn.Parameter(torch.ones(3, 8))
    module.tied = module.output.weight
    module(torch.ones(2, 4)).sum().backward()
    copied = copied_module(module)
    assert copied.tied is copied.output.weight is not module.tied
    assert copied.features.is_leaf
    assert torch.equal(copied.features, module.features)
    assert copied.kept["hidden"][0][0] is copied.features
    with pytest.raises(RuntimeError):
        copy.deepcopy(module)


def test_what_cannot_be_sent_to_processes_is_named_before_training(data):
    net = make_net(module=Locked(), callbacks=[NeverTrain()])
    scorer = LabelErrorScorer(net, n_members=2, n_neighbors=2, backend="joblib", n_jobs=2)
    with pytest.raises(ValueError, match="module of the network cannot be sent to other processes"):
        scorer.fit(*data)
    net.set_params(callbacks=None)
    with joblib.parallel_config("threading"):
        assert np.isfinite(scorer.fit(*data).difficulty_).any()


def test_records_of_what_keeps_are_saved_and_loaded(data, tmp_path):
    record = TrainingRecord.from_fit(make_net(module=Keeping), *data, random_state=0)
    record.save(tmp_path / "record")
    module = Keeping()
    module(torch.from_numpy(data[0].copy()))
    loaded = TrainingRecord.load(tmp_path / "record", module)
    scorers = [TrainingDynamicsScorer(r, measure="grand").fit(*data) for r in (record, loaded)]
    np.testing.assert_array_equal(scorers[0].difficulty_, scorers[1].difficulty_)
