# SPDX-License-Identifier: BSD-3-Clause
"""Means over checkpoints, against a loop over states and the measures' own implementation."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from torch import nn

from sklearn_difficulty.inference.predictions import STATISTICS, mean_probabilities, mean_statistics
from sklearn_difficulty.measures import epoch_statistics
from sklearn_difficulty.rows.rows import as_rows
from sklearn_difficulty.training import TrainingRecord

pytestmark = pytest.mark.usefixtures("one_thread", "seeded")


class Noisy(nn.Module):
    """Dropout and batch norm, which eval mode must silence."""

    def __init__(self, n_outputs=3, last=None):
        super().__init__()
        layers = [nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, n_outputs)]
        self.layers = nn.Sequential(*layers, *([] if last is None else [last]))

    def forward(self, x):
        return self.layers(x)


@pytest.fixture
def make_record():
    """Return a function that makes a record of three random states of a network."""

    def make(n_outputs=3, last=None, **settings):
        module = Noisy(n_outputs, last).train()
        states = []
        for _ in range(3):
            for parameter in module.parameters():
                parameter.data += 0.3 * torch.randn_like(parameter)
            module(torch.randn(20, 4))  # moves the running statistics
            states.append(copy.deepcopy(module.state_dict()))
        return TrainingRecord.from_checkpoints(module, states, **settings)

    return make


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    return rng.normal(size=(25, 4)).astype(np.float32), np.arange(25) % 3


def outputs_of(record, X):
    """Return what every checkpoint's network says, one after the other."""
    module, outputs = copy.deepcopy(record.module), []
    for checkpoint in record.checkpoints:
        module.load_state_dict(checkpoint.state_dict())
        with torch.no_grad():
            outputs.append(module.eval()(torch.tensor(X)))
    return torch.stack(outputs)


def assert_means(found, logits, y):
    expected = epoch_statistics(np.asarray(logits, dtype=np.float64), y)
    assert tuple(found) == STATISTICS
    assert np.isnan(found["residual"]).all()
    for name in set(STATISTICS) - {"residual"}:
        mean = getattr(expected, name).mean(axis=0)
        assert_allclose(found[name], mean, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("batch_size", [1, 7, 25, 512])
def test_means_are_those_of_a_loop(make_record, rows, batch_size):
    record = make_record(classes=range(3))
    found = mean_statistics(
        record, record.checkpoints, as_rows(rows[0]), rows[1], batch_size=batch_size
    )
    assert_means(found, outputs_of(record, rows[0]), rows[1])


def test_labels_may_be_those_of_the_final_network(make_record, rows):
    X, _ = rows
    record = make_record(classes=range(3))
    guesses = outputs_of(record, X)[-1].argmax(1).numpy()
    found = mean_statistics(record, record.checkpoints[:2], as_rows(X), None, batch_size=8)
    assert_means(found, outputs_of(record, X)[:2], guesses)


def test_kinds_of_outputs(make_record, rows):
    X, y = rows
    kinds = {
        "log_probabilities": (3, nn.LogSoftmax(1), lambda out: out),
        "probabilities": (3, nn.Softmax(1), torch.log),
        "binary_logit": (1, None, lambda out: torch.cat([0 * out, out], dim=2)),
    }
    for kind, (n_outputs, last, to_logits) in kinds.items():
        labels = y if n_outputs == 3 else y % 2
        record = make_record(n_outputs, last, classes=range(max(n_outputs, 2)), outputs=kind)
        found = mean_statistics(record, record.checkpoints, as_rows(X), labels, batch_size=8)
        assert_means(found, to_logits(outputs_of(record, X)), labels)


def test_regressor_has_loss_and_residual_only(make_record, rows):
    X, _ = rows
    y = X[:, :2]
    record = make_record(2, outputs="values")
    found = mean_statistics(record, record.checkpoints, as_rows(X), y, batch_size=8)
    expected = (outputs_of(record, X).numpy() - y) ** 2
    assert_allclose(found["loss"], expected.sum(axis=2).mean(axis=0), rtol=1e-5)
    assert_allclose(found["residual"], np.sqrt(expected.sum(axis=2)).mean(axis=0), rtol=1e-5)
    assert all(np.isnan(found[name]).all() for name in set(STATISTICS) - {"loss", "residual"})
    with pytest.raises(ValueError, match="needs y"):
        mean_statistics(record, record.checkpoints, as_rows(X), None, batch_size=8)


@pytest.mark.parametrize("batch_size", [1, 7, 512])
def test_mean_probabilities_are_those_of_a_loop(make_record, rows, batch_size):
    X, _ = rows
    kinds = {
        "logits": (3, None, lambda out: out.softmax(dim=2)),
        "log_probabilities": (3, nn.LogSoftmax(1), torch.exp),
        "probabilities": (3, nn.Softmax(1), lambda out: out),
        "binary_logit": (1, None, lambda out: torch.cat([(-out).sigmoid(), out.sigmoid()], dim=2)),
    }
    for kind, (n_outputs, last, to_probabilities) in kinds.items():
        record = make_record(n_outputs, last, classes=range(max(n_outputs, 2)), outputs=kind)
        of_states = to_probabilities(outputs_of(record, X)).double()
        assert of_states.std(dim=0).max() > 0.01
        found = mean_probabilities(record, record.checkpoints, as_rows(X), batch_size=batch_size)
        assert_allclose(found, of_states.mean(dim=0), rtol=1e-5, atol=1e-6, err_msg=kind)
        assert found.dtype == np.float32
        assert_allclose(found.sum(axis=1), 1, rtol=1e-6)
        some = mean_probabilities(record, record.checkpoints[1:], as_rows(X), batch_size=batch_size)
        assert_allclose(some, of_states[1:].mean(dim=0), rtol=1e-5, atol=1e-6, err_msg=kind)


def test_states_that_do_not_fit_are_loaded_one_by_one(make_record, rows):
    record = make_record(classes=range(3))
    resident = mean_statistics(record, record.checkpoints, as_rows(rows[0]), rows[1], batch_size=25)
    with config_context(working_memory=1e-9):
        one_by_one = mean_statistics(
            record, record.checkpoints, as_rows(rows[0]), rows[1], batch_size=25
        )
    for name in STATISTICS:
        assert_allclose(resident[name], one_by_one[name], rtol=1e-5)
    read = partial(mean_probabilities, record, record.checkpoints, as_rows(rows[0]), batch_size=25)
    resident = read()
    with config_context(working_memory=1e-9):
        assert_allclose(resident, read(), rtol=1e-5)


def test_network_is_left_as_it_was(make_record, rows):
    record = make_record(classes=range(3))
    before = copy.deepcopy(record.module.state_dict())
    state = torch.get_rng_state()
    mean_statistics(record, record.checkpoints, as_rows(rows[0]), rows[1], batch_size=8)
    assert torch.equal(torch.get_rng_state(), state)
    assert not record.module.training
    for name, tensor in record.module.state_dict().items():
        assert_array_equal(tensor, before[name])
    assert all(p.grad is None for p in record.module.parameters())
