# SPDX-License-Identifier: BSD-3-Clause
"""Rows for which a network computes NaN or inf, once trained, have no score in any scorer."""

import warnings

import numpy as np
import pytest
import torch
from instances import OF_NETWORKS
from numpy.testing import assert_array_equal
from sklearn.base import clone
from small_nets import TwoLayers, make_net
from torch.utils.data import TensorDataset, default_collate

from sklearn_difficulty import DifficultyScorer, LabelErrorScorer, MemorizationScorer, VoGScorer
from sklearn_difficulty.training import ResampledEnsemble

pytestmark = pytest.mark.usefixtures("one_thread", "seeded")


class Spoiled(TwoLayers):
    """Says nothing finite, in eval mode, of rows whose first feature is above 1."""

    def forward(self, x):
        logits = super().forward(x)
        return logits if self.training else self.spoil(logits, x[:, :1] > 1)


class ConstantNaN(Spoiled):
    """Has a gradient of 0 there."""

    def spoil(self, logits, bad):
        return logits.masked_fill(bad, torch.nan)


class Infinite(Spoiled):
    def spoil(self, logits, bad):
        return logits.masked_fill(bad, torch.inf)


@pytest.fixture(scope="module")
def spoiled_rows():
    """Return rows, labels, and which rows a spoiled network says nothing of."""
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    X = (rng.normal(size=(60, 4)) + 2 * np.eye(3, 4)[y]).astype(np.float32)
    bad = np.arange(60) % 5 == 4
    X[:, 0] = np.where(bad, 2, np.minimum(X[:, 0], 0.9))
    return X, y, bad


def on(module, scorer):
    scorer = clone(scorer).set_params(
        estimator=make_net(module=module, max_epochs=4), random_state=0, undefined="nan"
    )
    if "probes" in scorer.get_params():
        scorer.set_params(probes="auto")
    if "layers" in scorer.get_params():
        scorer.set_params(layers="auto")
    if isinstance(scorer.get_params().get("checkpoints"), list):
        scorer.set_params(checkpoints=[0, 4])
    return scorer


def reads_the_training_pass(scorer):
    """Tell whether the training rows are read from what the training itself has seen."""
    if isinstance(scorer, LabelErrorScorer):
        return scorer.method == "one_fit"
    mode = "training" if isinstance(scorer, DifficultyScorer) else getattr(scorer, "mode", None)
    is_read_later = getattr(scorer, "measure", None) == "grand" or "depth" in repr(scorer)
    return mode == "training" and not is_read_later


def counted(call):
    """Return the result, and how many warnings tell of rows without a score."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = call()
    return result, sum("row(s) have no defined difficulty" in str(w.message) for w in caught)


@pytest.mark.parametrize("module", [ConstantNaN, Infinite])
@pytest.mark.parametrize("scorer", OF_NETWORKS, ids=str)
def test_rows_without_finite_outputs_are_undefined_and_counted(scorer, module, spoiled_rows):
    X, y, bad = spoiled_rows
    scorer = on(module, scorer)
    _, n_warnings = counted(lambda: scorer.fit(X, y))
    undefined = np.isnan(scorer.difficulty_)
    assert scorer.n_undefined_ == undefined.sum()
    if reads_the_training_pass(scorer):
        assert not undefined.any()
    else:
        assert undefined[bad].all()
        assert not undefined.all()
        if not isinstance(scorer, DifficultyScorer):  # which warns for each of its scores
            assert n_warnings == 1
    if not hasattr(scorer, "score_samples"):
        return
    for labels in (None, y):
        scores, n_warnings = counted(lambda labels=labels: scorer.score_samples(X, labels))
        assert np.isnan(scores[bad]).all()
        assert not np.isnan(scores).all()
        assert n_warnings == 1


def test_influence_on_rows_without_finite_outputs(spoiled_rows):
    X, y, bad = spoiled_rows
    net = make_net(module=ConstantNaN, max_epochs=4)
    members = ResampledEnsemble(net, n_members=4, train_size=0.5, keep_members=True, random_state=0)
    scorer, _ = counted(lambda: MemorizationScorer(members.fit(X, y)).fit(X, y))
    for values in (scorer.p_in_, scorer.p_out_, scorer.standard_error_):
        assert np.isnan(values[bad]).all()
    found = scorer.influence(X, y)
    assert np.isnan(found[bad]).all()
    assert np.isfinite(found[~bad]).all()
    assert not bad[scorer.high_influence_pairs(X, y).test_index].any()


def smallest_sum_first(items):
    return default_collate(sorted(items, key=lambda item: float(item[0].sum())))


@pytest.mark.parametrize("n", [48, 60], ids=["whole blocks", "padded"])
def test_rows_that_a_collate_fn_has_sorted(spoiled_rows, n):
    X, y, bad = (values[:n] for values in spoiled_rows)
    rows = TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    scorer = on(ConstantNaN, VoGScorer())
    scorer.estimator.set_params(iterator_train__collate_fn=smallest_sum_first)
    with pytest.warns(UserWarning, match=r"row\(s\) have no defined difficulty"):
        difficulty = scorer.fit(rows, y).difficulty_
    assert_array_equal(np.isnan(difficulty), bad)
