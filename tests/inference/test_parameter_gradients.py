# SPDX-License-Identifier: BSD-3-Clause
"""GraNd against autograd, row by row."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn import config_context
from torch import nn

from sklearn_difficulty.inference.parameter_gradients import gradient_norms
from sklearn_difficulty.rows.rows import as_rows

pytestmark = pytest.mark.usefixtures("one_thread", "seeded")


class Twice(nn.Module):
    """A layer and an in-place activation that are called twice, and one called by keyword."""

    def __init__(self):
        super().__init__()
        self.shared, self.relu, self.out = nn.Linear(6, 6), nn.ReLU(inplace=True), nn.Linear(6, 3)

    def forward(self, x):
        return self.out(input=self.relu(self.shared(self.relu(self.shared(x)))))


class OverSequence(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.out = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x):
        return self.out(torch.tanh(self.inner(x))).mean(dim=1)


class WritesToItsHidden(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.out = nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, x):
        hidden = torch.tanh(self.inner(x))
        logits = self.out(hidden)
        hidden.detach().zero_()
        return logits


class AuxiliaryHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.main, self.aux = nn.Linear(6, 3), nn.Linear(6, 2)

    def forward(self, x):
        return self.main(x), self.aux(x)


def conv():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(64, 3, bias=False),
    )


NETWORKS = [
    (lambda: nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)), (6,), "logits"),
    (lambda: nn.Sequential(nn.Linear(6, 3), nn.LogSoftmax(1)), (6,), "log_probabilities"),
    (lambda: nn.Sequential(nn.Linear(6, 3), nn.Softmax(1)), (6,), "probabilities"),
    (Twice, (6,), "logits"),
    (conv, (1, 6, 6), "logits"),
    (OverSequence, (7, 4), "logits"),
]


def rows(shape, n=20):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, *shape)).astype(np.float32), rng.integers(0, 3, n)


def by_autograd(record, X, y, layers):
    module = record.module
    last = [layer for layer in module.modules() if isinstance(layer, nn.Linear)][-1]
    parameters = list((last if layers == "last" else module).parameters())
    norms = []
    for x, label in zip(torch.from_numpy(X), torch.from_numpy(y), strict=True):
        outputs = module(x[None])
        if record.outputs == "probabilities":
            outputs = torch.log(outputs + torch.finfo(outputs.dtype).eps)
        loss = nn.CrossEntropyLoss() if record.outputs == "logits" else nn.NLLLoss()
        gradients = torch.autograd.grad(loss(outputs, label[None]), parameters)
        norms.append(float(torch.cat([g.flatten() for g in gradients]).double().norm()))
    return norms


@pytest.mark.parametrize("layers", ["last", "all"])
@pytest.mark.parametrize(("network", "shape", "outputs"), NETWORKS)
def test_equals_autograd_row_by_row(record_of, network, shape, outputs, layers):
    record = record_of(network(), outputs=outputs)
    X, y = rows(shape)
    found = gradient_norms(record, record.checkpoints, as_rows(X), y, layers=layers, batch_size=7)
    assert_allclose(found, by_autograd(record, X, y, layers), rtol=1e-5)


def test_small_memory_makes_small_chunks_and_the_same_norms(record_of):
    record = record_of(NETWORKS[0][0]())
    X, y = rows((6,))
    settings = {"layers": "all", "batch_size": 20}
    whole = gradient_norms(record, record.checkpoints, as_rows(X), y, **settings)
    with config_context(working_memory=1e-3):
        assert_allclose(
            gradient_norms(record, record.checkpoints, as_rows(X), y, **settings), whole
        )


def test_mean_over_checkpoints(record_of):
    first, second = (record_of(NETWORKS[0][0]()) for _ in range(2))
    X, y = rows((6,))
    norms = [
        gradient_norms(r, r.checkpoints, as_rows(X), y, layers="last", batch_size=20)
        for r in (first, second)
    ]
    both = gradient_norms(
        first, first.checkpoints + second.checkpoints, as_rows(X), y, layers="last", batch_size=20
    )
    assert_allclose(both, np.mean(norms, axis=0))


def test_input_of_the_layer_is_read_before_it_is_overwritten(record_of):
    record = record_of(WritesToItsHidden())
    X, y = rows((6,))
    found = gradient_norms(record, record.checkpoints, as_rows(X), y, layers="last", batch_size=20)
    module = record.module
    with torch.no_grad():
        hidden = torch.tanh(module.inner(torch.from_numpy(X)))
        errors = module.out(hidden).softmax(1) - nn.functional.one_hot(torch.from_numpy(y), 3)
    expected = errors.norm(dim=1) * (hidden.square().sum(1) + 1).sqrt()
    assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
    "network", [AuxiliaryHead, lambda: nn.Sequential(nn.Conv2d(1, 3, 1), nn.Flatten())]
)
def test_no_last_layer_is_refused(record_of, network):
    record = record_of(network())
    X, y = rows((6,) if network is AuxiliaryHead else (1, 1, 1))
    with pytest.raises(ValueError, match=r"no last linear layer .*measure='grand_all'"):
        gradient_norms(record, record.checkpoints, as_rows(X), y, layers="last", batch_size=20)
