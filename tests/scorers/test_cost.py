# SPDX-License-Identifier: BSD-3-Clause
"""What a fit will cost: of every scorer, without training on all rows or changing anything."""

import pickle
import random

import numpy as np
import pytest
import torch
from instances import SMALLEST
from sklearn.base import clone
from sklearn.datasets import make_blobs
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback

from sklearn_difficulty import (
    ConsistencyScorer,
    LabelErrorScorer,
    PredictionDepthScorer,
    TargetErrorScorer,
    TrainingDynamicsScorer,
    TrainingRecord,
    VoGScorer,
)
from sklearn_difficulty.scorers import _cost
from sklearn_difficulty.scorers._base import BaseDifficultyScorer
from sklearn_difficulty.training import MLP, RecordTraining, ResampledEnsemble

pytestmark = pytest.mark.filterwarnings("ignore")
X, Y = make_blobs(400, centers=2, n_features=4, random_state=0)
X = X.astype(np.float32)
SCORERS = [instance for instance in SMALLEST if isinstance(instance, BaseDifficultyScorer)]


def net(**settings):
    return NeuralNetClassifier(
        MLP,
        criterion=torch.nn.CrossEntropyLoss,
        **{
            "module__n_inputs": 4,
            "module__n_outputs": 2,
            "module__hidden_units": (8,),
            "max_epochs": 2,
            "batch_size": 16,
            "verbose": 0,
            **settings,
        },
    )


@pytest.mark.parametrize("scorer", SCORERS, ids=str)
def test_every_scorer_tells_its_cost_and_changes_nothing(scorer):
    y = X[:, :1] if isinstance(scorer, TargetErrorScorer) else Y
    y = y.ravel()
    scorer = clone(scorer)
    before = pickle.dumps(scorer), np.random.get_state()[1].tolist(), torch.get_rng_state()
    python = random.getstate()
    cost = scorer.estimate_cost(X[:64], y[:64])
    assert pickle.dumps(scorer) == before[0]
    assert np.random.get_state()[1].tolist() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])
    assert random.getstate() == python
    assert cost.seconds > 0
    assert cost.memory > 1e6
    assert cost.disk == 0
    method = getattr(scorer, "method", None)
    n_members = 1 if method in ("one_fit", "neighbors") else getattr(scorer, "n_members", 1)
    rounds = range(1, getattr(scorer, "n_rounds", 1) + 1)
    assert cost.trainings in [n_members * n for n in rounds]


def test_the_line_through_two_fits():
    class Fits:
        max_bank = 200

    runs = [_cost._Run(n, 2 + n / 50, 1 + n / 100, 0, 10 * n, n, {}, 0, 1) for n in (100, 200)]
    cost = _cost._extrapolated(runs, 1000, Fits())
    assert cost.seconds == pytest.approx(22)
    assert cost.disk == 1000
    assert cost.memory == pytest.approx(_cost._resident() + 8000, rel=0.1)


def test_neighbours_grow_with_the_square_up_to_the_bank(monkeypatch):
    monkeypatch.setattr(_cost, "seconds_of_pair", lambda *args: 1.0)
    runs = [_cost._Run(n, n * n, n * n, 0, 0, 0, {4: n * n}, n * n, 1) for n in (100, 200)]
    unbounded = _cost._extrapolated(runs, 1000, PredictionDepthScorer())
    bounded = _cost._extrapolated(runs, 1000, PredictionDepthScorer(max_bank=400))
    assert unbounded.seconds == pytest.approx(1000**2)
    assert bounded.seconds == pytest.approx(1000 * 400)


def test_what_is_trained_is_only_read(tmp_path):
    record = TrainingRecord.from_fit(net(), X, Y, checkpoints=2, random_state=0)
    ensemble = ResampledEnsemble(net(), n_members=2, train_size=0.5, random_state=0).fit(X, Y)
    probabilities = np.stack([X[:, 0] > 0, X[:, 0] <= 0], axis=1) * 0.8 + 0.1
    for scorer, rows in [
        (VoGScorer(record), X),
        (TrainingDynamicsScorer(record), X),
        (ConsistencyScorer(ensemble), X),
        (LabelErrorScorer("precomputed"), probabilities),
    ]:
        assert scorer.estimate_cost(rows, Y).trainings == 0


def test_what_is_written_is_told_and_gone(tmp_path):
    scorer = ConsistencyScorer(net(), n_members=2, backend="joblib", cache_dir=tmp_path / "cache")
    assert scorer.estimate_cost(X, Y).disk > 1000
    recorder = RecordTraining(checkpoints=2, checkpoint_dir=tmp_path / "checkpoints")
    assert VoGScorer(net(callbacks=[recorder]), checkpoints=2).estimate_cost(X, Y).disk > 1000
    assert not list(tmp_path.iterdir())


def test_callbacks_of_the_user_are_left_alone():
    class Writes(Callback):
        def on_train_begin(self, net, **kwargs):
            raise AssertionError

    VoGScorer(net(callbacks=[("writes", Writes())]), checkpoints=2).estimate_cost(X, Y)


@pytest.mark.parametrize("verbose", [0, 1])
def test_told_before_a_long_fit_starts(capsys, verbose):
    many = np.tile(X, (10, 1)), np.tile(Y, 10)
    VoGScorer(net(), checkpoints=2, verbose=verbose).fit(*many)
    lines = capsys.readouterr().out.splitlines()
    if verbose:
        assert lines[0].startswith("VoGScorer: 1 training, about ")
    else:
        assert not lines


def test_rare_classes_are_among_the_rows():
    y = np.array(["common"] * 395 + ["rare"] * 5)
    index = _cost._spread(y, 64)
    assert (y[index] == "rare").sum() == 5
    assert len(index) == len(np.unique(index)) <= 64 + 5 + 8
