# SPDX-License-Identifier: BSD-3-Clause
"""Networks whose forward autocasts when they are read: scores are single, and close in rank."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from readings import READER_IDS, READERS, fitted_with
from scipy.stats import spearmanr
from small_nets import TwoLayers, make_net
from torch import nn

from sklearn_difficulty import TrainingRecord, VoGScorer

pytestmark = [
    pytest.mark.usefixtures("one_thread", "seeded"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


class Autocasting(TwoLayers):
    """Computes in half precision, but not while it is trained."""

    dtype = torch.bfloat16

    def forward(self, x):
        with torch.autocast(x.device.type, self.dtype, enabled=not self.training):
            return super().forward(x)


class AutocastingHalf(Autocasting):
    dtype = torch.float16


def weights(fitted):
    record = fitted.record_ if hasattr(fitted, "record_") else fitted.ensemble_.record(0)
    return [p.detach().numpy() for p in record.module.parameters()]


@pytest.mark.parametrize("module", [Autocasting, AutocastingHalf])
@pytest.mark.parametrize("scorer", READERS, ids=READER_IDS)
def test_scores_are_single_and_close_in_rank(scorer, module, data):
    X, y = data
    expected = fitted_with(scorer, make_net(module=TwoLayers), X, y)
    found = fitted_with(scorer, make_net(module=module), X, y)
    assert not torch.is_autocast_enabled("cpu")
    if getattr(found, "keep_members", True) and getattr(found, "backend", "") != "auto":
        for ours, theirs in zip(weights(found), weights(expected), strict=True):
            assert_array_equal(ours, theirs)  # trained in single precision
    pairs = [(found.difficulty_, expected.difficulty_)]
    if hasattr(found, "score_samples"):
        pairs.append((found.score_samples(X, y), expected.score_samples(X, y)))
    for ours, theirs in pairs:
        assert ours.dtype == np.float32
        defined = np.isfinite(theirs) & np.isfinite(ours)
        assert (np.isfinite(theirs) != defined).sum() <= 2  # votes are close where k is small
        assert spearmanr(ours[defined], theirs[defined]).statistic > 0.9


def test_losses_and_their_targets_are_not_rounded(data):
    X, y = data
    weighted = {"criterion": nn.CrossEntropyLoss, "criterion__weight": torch.tensor([1.0, 2, 3])}
    scorer = VoGScorer(make_net(module=Autocasting, **weighted), target="loss", random_state=0)
    assert np.isfinite(scorer.fit(X, y).difficulty_).all()
    module, targets = Autocasting(n_outputs=1), np.float32([1000.25, 1000.75])
    with torch.no_grad():
        module[-1].bias.fill_(1000)
    states = [module.state_dict()] * 2
    record = TrainingRecord.from_checkpoints(
        module, states, outputs="values", criterion=nn.MSELoss()
    )
    scorer = VoGScorer(record, checkpoints="all", target="loss", normalize=None)
    read = scorer.fit(X[:2], targets).gradient_magnitude_
    rows = torch.tensor(X[:2], requires_grad=True)
    loss = (module.eval()(rows).float()[:, 0] - torch.from_numpy(targets)).square().sum()
    [gradient] = torch.autograd.grad(loss, rows)
    assert_allclose(read, gradient.abs().mean(dim=1).numpy(), rtol=1e-5)
