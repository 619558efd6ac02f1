# SPDX-License-Identifier: BSD-3-Clause
"""What only a CUDA device can show; skipped where there is none."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from sklearn_difficulty import TrainingRecord, VoGScorer
from sklearn_difficulty.training import ConvNet, default_network

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.fixture(scope="module")
def images():
    X, y = load_digits(return_X_y=True)
    return X.reshape(-1, 1, 8, 8).astype(np.float32), y


def test_devices_agree_on_the_same_weights(images):
    X, y = images
    torch.manual_seed(0)
    states = [ConvNet(1, 10).state_dict() for _ in range(3)]
    scores = {
        device: VoGScorer(
            TrainingRecord.from_checkpoints(ConvNet(1, 10).to(device), states, classes=range(10)),
            normalize=None,
        )
        .fit(X, y)
        .difficulty_
        for device in ("cpu", "cuda")
    }
    # TF32, where torch allows it, keeps some three digits of a convolution.
    np.testing.assert_allclose(scores["cuda"], scores["cpu"], rtol=2e-3)


def test_same_seed_same_scores_and_generators_untouched(images):
    X, y = images
    net = default_network(X, y).set_params(device="cuda", max_epochs=2)
    state = torch.cuda.get_rng_state()
    first, second = (VoGScorer(net, random_state=0).fit(X, y) for _ in range(2))
    np.testing.assert_allclose(first.difficulty_, second.difficulty_, atol=1e-3)
    assert torch.equal(torch.cuda.get_rng_state(), state)
    assert next(first.record_.module.parameters()).is_cuda


def test_recurrent_networks_are_read_in_eval_mode():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(4, 8, batch_first=True)
            self.output = nn.Linear(8, 2)

        def forward(self, x):
            return self.output(self.lstm(x)[0][:, -1])

    states = [Recurrent().state_dict() for _ in range(3)]
    record = TrainingRecord.from_checkpoints(Recurrent().cuda(), states, classes=[0, 1])
    X = np.random.default_rng(0).normal(size=(40, 6, 4)).astype(np.float32)
    scorer = VoGScorer(record).fit(X, np.arange(40) % 2)
    assert np.isfinite(scorer.difficulty_).all()
    assert torch.backends.cudnn.enabled


def test_blocks_that_exceed_the_memory_are_halved(images):
    X, y = images
    torch.manual_seed(0)
    states = [ConvNet(1, 10).state_dict() for _ in range(2)]
    record = TrainingRecord.from_checkpoints(ConvNet(1, 10).cuda(), states, classes=range(10))
    expected = VoGScorer(record, normalize=None).fit(X, y).difficulty_
    torch.cuda.empty_cache()
    limit = torch.cuda.memory_allocated() + 24 * 2**20
    torch.cuda.set_per_process_memory_fraction(limit / torch.cuda.mem_get_info()[1])
    try:
        found = VoGScorer(record, normalize=None, batch_size=1797).fit(X, y).difficulty_
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    np.testing.assert_allclose(found, expected, rtol=2e-3)
