# SPDX-License-Identifier: BSD-3-Clause
"""Rows that do not fit into memory: what is held of them at once, and that parts add up."""

import tracemalloc
import weakref

import numpy as np
import pytest
import torch
from instances import INSTANCES, SMALLEST
from numpy.testing import assert_allclose
from sklearn.base import clone
from small_nets import make_net
from torch.utils.data import Dataset

from sklearn_difficulty import (
    LabelErrorScorer,
    NeighborConfidenceScorer,
    PredictionDepthScorer,
    TargetErrorScorer,
    TrainingDynamicsScorer,
    TrainingRecord,
    VoGScorer,
)
from sklearn_difficulty.inference import blocks
from sklearn_difficulty.inference.nearest import _Nearest
from sklearn_difficulty.rows.rows import as_rows

pytestmark = [
    pytest.mark.usefixtures("one_thread", "seeded"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
PART = 16
READ_UNSEEN = [s for s in SMALLEST if hasattr(s, "score_samples")]
ASK_NEIGHBORS = [
    *INSTANCES[NeighborConfidenceScorer][:1],
    *INSTANCES[PredictionDepthScorer][:1],
    PredictionDepthScorer(n_neighbors=2, max_bank=20),
    LabelErrorScorer(method="neighbors", n_neighbors=2),
    TargetErrorScorer(method="neighbors", n_neighbors=2),
]
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture
def in_parts(monkeypatch):
    """Let rows be read sixteen at a time."""

    def begin():
        monkeypatch.setattr(blocks, "_ROWS_AT_ONCE", PART)

    return begin


def fitted(scorer, X, y):
    """Return a fitted scorer, around a small net where it takes classes."""
    scorer = clone(scorer).set_params(random_state=0)
    if not isinstance(scorer, TargetErrorScorer):
        scorer.set_params(estimator=make_net(max_epochs=2))
    return scorer.fit(X, y)


class Opened(Dataset):
    """Rows that are opened as they are asked for; counts how many there are at once."""

    def __init__(self, X):
        self.X, self.n_open, self.most = X, 0, 0

    def __len__(self):
        return len(self.X)

    def __getitem__(self, index):
        row = torch.tensor(self.X[index])
        self.n_open += 1
        self.most = max(self.most, self.n_open)
        weakref.finalize(row, self.close)
        return row

    def close(self):
        self.n_open -= 1


@pytest.mark.parametrize("scorer", READ_UNSEEN, ids=lambda s: type(s).__name__)
def test_parts_add_up_and_few_items_are_open(scorer, data, in_parts):
    X, y = data
    scorer = fitted(scorer, X, y)
    names = {"score_samples", "transform", "depths"} & set(dir(scorer))
    expected = {name: getattr(scorer, name)(X) for name in names}
    labelled = scorer.score_samples(X, y)
    in_parts()
    for name in names:
        rows = Opened(X)
        assert_allclose(getattr(scorer, name)(rows), expected[name], **CLOSE)
        assert rows.most <= PART
    assert_allclose(scorer.score_samples(X, y), labelled, **CLOSE)


def test_a_batch_of_items_is_open_while_a_training_is_read(data):
    X, y = data
    scorer = VoGScorer(make_net(max_epochs=2), batch_size=8, random_state=0)
    rows = Opened(X)
    expected = clone(scorer).fit(X, y).difficulty_
    assert_allclose(clone(scorer).fit(rows, y).difficulty_, expected, **CLOSE)
    assert rows.most <= 32  # a batch of the training


@pytest.mark.parametrize("scorer", ASK_NEIGHBORS, ids=str)
def test_neighbours_are_held_of_a_part_of_the_rows(scorer, data, in_parts, monkeypatch):
    X, y = data
    expected = fitted(scorer, X, y).difficulty_
    held, made = [], _Nearest.__init__

    def counted(self, n, *args):
        held.append(n)
        made(self, n, *args)

    monkeypatch.setattr(_Nearest, "__init__", counted)
    in_parts()
    assert_allclose(fitted(scorer, X, y).difficulty_, expected, **CLOSE)
    assert set(held) == {PART}


def test_an_error_says_in_which_part_it_happened(data, in_parts):
    X, y = data
    scorer = fitted(VoGScorer(checkpoints=2), X, y)
    in_parts()

    class Broken(Opened):
        def __getitem__(self, index):
            if index == 20:
                raise KeyError("a fault of the user's")
            return super().__getitem__(index)

    with pytest.raises(KeyError) as caught:
        scorer.score_samples(Broken(X))
    assert "begins with row 16" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    "scorer",
    [TrainingDynamicsScorer(measure="loss"), VoGScorer(), PredictionDepthScorer(n_neighbors=3)],
    ids=lambda s: type(s).__name__,
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_memory_map_is_not_copied(scorer, dtype, tmp_path, monkeypatch):
    n, n_features = 3_000, 512
    path = tmp_path / "rows.npy"
    written = np.lib.format.open_memmap(path, "w+", np.dtype(dtype), (n, n_features))
    written[:] = np.arange(n)[:, None] % 7
    few = np.asarray(written[:60], dtype=np.float32)
    net = make_net(module__n_inputs=n_features, max_epochs=2)
    record = TrainingRecord.from_fit(net, few, np.arange(60) % 3, random_state=0)
    scorer = clone(scorer).set_params(estimator=record, undefined="max")
    scorer.fit(few, np.arange(60) % 3)
    mapped = np.load(path, mmap_mode="r")
    monkeypatch.setattr(blocks, "_ROWS_AT_ONCE", 512)
    tracemalloc.start()
    try:
        scores = scorer.score_samples(mapped)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert np.isfinite(scores).all()
    assert peak < mapped.nbytes / 2


def test_keys_and_parts_of_many_rows_take_no_memory_of_lists(data):
    rows = as_rows(np.zeros((50_000, 1), dtype=np.float32))
    tracemalloc.start()
    try:
        rows.keys()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 * len(rows)
    some = as_rows(Opened(data[0])).take(slice(5, 9))
    assert isinstance(some.data.indices, range)
    assert len(some) == 4


def test_what_is_held_of_every_row(data):
    X, y = data
    scorer = fitted(TrainingDynamicsScorer(), X, y)
    scorer._score_rows = lambda rows, _: np.zeros(len(rows))
    n = 300_000
    rows = np.broadcast_to(X[0], (n, 4))
    for labels, n_bytes in ((None, 16), (np.zeros(n, dtype=int), 41)):
        tracemalloc.start()
        try:
            scorer.score_samples(rows, labels)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < (n_bytes + 0.5) * n  # as the page on scaling says
