# SPDX-License-Identifier: BSD-3-Clause
"""What a fit will cost: of every scorer, without training on all rows or changing anything."""

import inspect
import pickle
import random

import numpy as np
import pandas as pd
import pytest
import torch
from instances import SMALLEST
from joblib import parallel_config
from sklearn.base import clone
from sklearn.datasets import make_blobs
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback

from sklearn_difficulty import (
    ConsistencyScorer,
    CostEstimate,
    LabelErrorScorer,
    TargetErrorScorer,
    TrainingDynamicsScorer,
    TrainingRecord,
    VoGScorer,
)
from sklearn_difficulty.scorers._base import BaseDifficultyScorer
from sklearn_difficulty.scorers.cost import extrapolation, rehearsal
from sklearn_difficulty.training import MLP, RecordTraining, ResampledEnsemble

pytestmark = pytest.mark.filterwarnings("ignore")
X, Y = make_blobs(400, centers=2, n_features=4, random_state=0)
X = X.astype(np.float32)
SCORERS = [instance for instance in SMALLEST if isinstance(instance, BaseDifficultyScorer)]


class Items(torch.utils.data.Dataset):
    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


class Counting(MLP):
    """Counts how often it was asked."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.n_calls = 0

    def forward(self, X):
        self.n_calls += 1
        return super().forward(X)


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
    y = X[:, 0] if isinstance(scorer, TargetErrorScorer) else Y
    scorer = clone(scorer)
    before = pickle.dumps(scorer), np.random.get_state()[1].tolist(), torch.get_rng_state()
    python, threads = random.getstate(), torch.get_num_threads()
    cost = scorer.estimate_cost(X[:64], y[:64])
    assert pickle.dumps(scorer) == before[0]
    assert np.random.get_state()[1].tolist() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])
    assert random.getstate() == python
    assert torch.get_num_threads() == threads
    assert not torch.cuda.is_initialized()
    assert isinstance(cost, CostEstimate)
    assert cost.seconds > 0
    assert cost.slowdown >= 1
    assert cost.memory > 1e6
    assert cost.disk == 0
    method = getattr(scorer, "method", None)
    n_members = 1 if method in ("one_fit", "neighbors") else getattr(scorer, "n_members", 1)
    rounds = range(1, getattr(scorer, "n_rounds", 1) + 1)
    assert cost.trainings in [n_members * n for n in rounds]


@pytest.mark.parametrize("scorer", SCORERS, ids=str)
def test_every_scorer_rehearses_with_all_that_its_fit_takes(scorer, monkeypatch):
    y = X[:, 0] if isinstance(scorer, TargetErrorScorer) else Y
    given = inspect.signature(type(scorer).fit).parameters
    assert given.keys() == inspect.signature(type(scorer).estimate_cost).parameters.keys()
    seen = []
    monkeypatch.setattr(type(scorer), "fit", lambda self, *args, **kw: seen.append((args, kw)))
    monkeypatch.setattr(rehearsal, "_count_trainings", lambda fitted: 1)
    rows = np.concatenate([X] * 4), np.concatenate([y] * 4)
    numbers = np.arange(len(rows[0]))
    view = rows[0] + 1
    clone(scorer).estimate_cost(*rows, scoring_view=view, groups=numbers.astype(str))
    assert len(seen) == 3
    for (part, labels), others in seen:
        index = np.array(others["groups"]).astype(int)
        assert len(index) < len(numbers) / 2
        np.testing.assert_array_equal(part, rows[0][index])
        np.testing.assert_array_equal(labels, rows[1][index])
        np.testing.assert_array_equal(others["scoring_view"], view[index])


def test_frames_and_data_sets_are_rehearsed_with_their_views():
    frame = pd.DataFrame({"number": X[:, 0], "word": np.where(X[:, 1] > 0, "a", "b")})
    items = [(torch.from_numpy(row), int(label)) for row, label in zip(X, Y, strict=True)]
    view = torch.utils.data.StackDataset(torch.from_numpy(X))
    frame, labels = frame[:100], Y[:100]
    assert VoGScorer(checkpoints=2).estimate_cost(frame, labels, scoring_view=frame).trainings == 1
    labelled = VoGScorer(net(), checkpoints=2).estimate_cost(Items(items), scoring_view=view)
    assert labelled.trainings == 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"y": Y[:-1]}, "inconsistent numbers of samples"),
        ({"y": None}, "requires y to be passed"),
        ({"y": 1.0}, "y"),
        ({"groups": 0}, "groups"),
        ({"scoring_view": X[:-1]}, "scoring_view has 399 rows"),
        ({"groups": Y[:-1]}, "groups must hold one label per row"),
        ({"groups": np.zeros(400)}, "different groups"),
    ],
)
def test_errors_are_those_of_the_fit(wrong, message):
    scorer = ConsistencyScorer(net(), n_members=2, train_size=0.5)
    for method in (scorer.fit, scorer.estimate_cost):
        with pytest.raises(ValueError, match=message):
            method(**({"X": X, "y": Y} | wrong))
    with pytest.raises(ValueError, match="n_members"):
        ConsistencyScorer(net(), n_members=0).estimate_cost(X, Y)


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


def test_workers_share_the_search_for_neighbours(monkeypatch):
    monkeypatch.setattr(extrapolation, "seconds_of_pair", lambda *args: 1.0)
    settings = {"n_members": 2, "train_size": 0.5, "n_neighbors": 2, "backend": "joblib"}
    scorer = LabelErrorScorer(net(), random_state=0, **settings)
    alone = scorer.estimate_cost(X, Y).neighbor_seconds
    with parallel_config("threading"):
        shared = clone(scorer).set_params(n_jobs=2).estimate_cost(X, Y).neighbor_seconds
    assert alone > 0
    assert shared == pytest.approx(alone / 2, rel=0.01)


def test_what_is_written_is_told_and_gone(tmp_path):
    scorer = ConsistencyScorer(net(), n_members=2, backend="joblib", cache_dir=tmp_path / "cache")
    assert scorer.estimate_cost(X, Y).disk > 1000
    recorder = RecordTraining(checkpoints=2, checkpoint_dir=tmp_path / "checkpoints")
    assert VoGScorer(net(callbacks=[recorder]), checkpoints=2).estimate_cost(X, Y).disk > 1000
    assert not list(tmp_path.iterdir())


def test_module_and_callbacks_of_the_user_are_left_alone():
    class Writes(Callback):
        def on_train_begin(self, net, **kwargs):
            raise AssertionError

    module = Counting(4, 2, (8,))
    weights = [parameter.clone() for parameter in module.parameters()]
    callbacks = [("writes", Writes())]
    criterion = torch.nn.CrossEntropyLoss
    untrained = NeuralNetClassifier(module, criterion=criterion, callbacks=callbacks, max_epochs=2)
    VoGScorer(untrained, checkpoints=2).estimate_cost(X, Y)
    assert module.n_calls == 0
    assert module.training
    assert all(map(torch.equal, weights, module.parameters()))
    assert not untrained.initialized_


@pytest.mark.parametrize("verbose", [0, 1])
def test_told_before_a_long_fit_starts(capsys, verbose):
    many = np.tile(X, (10, 1)), np.tile(Y, 10)
    VoGScorer(net(), checkpoints=2, verbose=verbose).fit(*many)
    lines = capsys.readouterr().out.splitlines()
    if verbose:
        assert lines[0].startswith("VoGScorer: 1 training, about ")
    else:
        assert not lines
