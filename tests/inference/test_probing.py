# SPDX-License-Identifier: BSD-3-Clause
"""The votes of a member's nearest training rows, counted by hand and by a slow loop."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn
from torch.utils.data import Dataset, Subset

from sklearn_difficulty.inference.embeddings import EmbeddingReader
from sklearn_difficulty.inference.neighbors import positions_in
from sklearn_difficulty.inference.probes import find_probes
from sklearn_difficulty.inference.probing import DepthReadout, NeighborProbes, VotesReadout
from sklearn_difficulty.inference.trace import OUTPUT
from sklearn_difficulty.rows.rows import as_rows

pytestmark = pytest.mark.usefixtures("one_thread", "seeded")

# Two heaps of three rows, so far apart that they are two heaps after a softmax, too.
HEAPS = np.zeros((6, 3), dtype=np.float32)
HEAPS[:3, 0], HEAPS[3:, 1] = [0, 0.1, 0.21], [3, 3.1, 3.21]
CODES = np.array([0, 0, 1, 2, 2, 1])
EVERY = np.ones(6, dtype=bool)


@pytest.fixture
def identity(record_of):
    """Return a record of a network that says its input; it has three probes."""
    module = nn.Linear(3, 3, bias=False)
    module.weight.data = torch.eye(3)
    return record_of(module)


def shares(counts, n_probes):
    """Return the votes from what is counted at every probe, with the vote that all share."""
    counts = n_probes * np.asarray(counts, dtype=float) + 1 / 3
    return counts / counts.sum(axis=1, keepdims=True)


def test_votes_among_the_bank_by_hand(identity):
    readout = VotesReadout(n_neighbors=2)
    bank = readout.bank(identity, as_rows(HEAPS), CODES, EVERY)
    assert [probe.kind for probe in bank.probes] == ["input", "module", "output"]
    found = readout.votes(bank, None)
    # A row is asked of the two others of its heap, and not of itself.
    by_hand = [[1, 1, 0], [1, 1, 0], [2, 0, 0], [0, 1, 1], [0, 1, 1], [0, 0, 2]]
    assert_allclose(found, shares(by_hand, 3), rtol=1e-6)
    assert_allclose(found[2], [(6 + 1 / 3) / 7, 1 / 21, 1 / 21], rtol=1e-6)
    assert found.dtype == np.float32


def test_votes_on_other_rows_by_hand(identity):
    readout = VotesReadout(n_neighbors=2)
    bank = readout.bank(identity, as_rows(HEAPS), CODES, EVERY)
    # Rows that are not of the bank may have an equal one in it, which counts.
    found = readout.votes(bank, as_rows(HEAPS))
    by_hand = [[2, 0, 0], [2, 0, 0], [1, 1, 0], [0, 0, 2], [0, 0, 2], [0, 1, 1]]
    assert_allclose(found, shares(by_hand, 3), rtol=1e-6)
    one = readout.votes(bank, as_rows(HEAPS[3:4]))
    assert_array_equal(one, found[3:4])


def test_held_out_rows_ask_the_others_by_hand(identity):
    trained_on = np.array([True, True, False, True, False, True])
    found = VotesReadout(n_neighbors=2)(identity, HEAPS, CODES, trained_on)
    assert set(found) == {"votes"}
    assert_allclose(found["votes"], shares([[2, 0, 0], [0, 1, 1]], 3), rtol=1e-6)


def test_a_class_that_the_bank_lacks_has_a_third_of_a_vote(identity):
    readout = VotesReadout(n_neighbors=2)
    bank = readout.bank(identity, as_rows(HEAPS), CODES, CODES != 1)
    assert_array_equal(bank.codes, [0, 0, 2, 2])
    found = readout.votes(bank, as_rows(HEAPS))
    assert_allclose(found[:, 1], (1 / 3) / 7, rtol=1e-6)
    assert_allclose(found.sum(axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "n_probes"),
    [({"include_input": False}, 3), ({"probes": lambda name, module: name == "2"}, 3), ({}, 4)],
    ids=["no input", "one layer", "all"],
)
def test_votes_equal_a_slow_loop(record_of, settings, n_probes):
    record = record_of(nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)))
    rng = np.random.default_rng(0)
    X, codes = rng.normal(size=(60, 4)).astype(np.float32), rng.integers(3, size=60)
    trained_on = rng.random(60) < 0.7
    choice = {"choice": settings["probes"]} if "probes" in settings else {}
    probes = find_probes(
        record, as_rows(X), **choice, include_input=settings.get("include_input", True)
    )
    assert len(probes) == n_probes
    counts = np.full((60, 3), 1 / 3)
    for matrix in EmbeddingReader(record).embed(as_rows(X), probes, batch_size=64):
        values = matrix.double().numpy()
        for i in np.flatnonzero(~trained_on):
            distances = np.linalg.norm(values[trained_on] - values[i], axis=1)
            nearest = codes[trained_on][np.argsort(distances)[:5]]
            counts[i] += np.bincount(nearest, minlength=3)
    expected = counts[~trained_on] / (1 + 5 * n_probes)
    for batch_size in (7, 512):
        readout = VotesReadout(n_neighbors=5, batch_size=batch_size, **settings)
        found = readout(record, X, codes, trained_on)["votes"]
        assert_allclose(found, expected, rtol=1e-6)
    assert len(np.unique(expected.round(6))) > 5


class Exponential(nn.Module):
    """Overflows for large inputs, and then forgets it."""

    def __init__(self):
        super().__init__()
        self.grow, self.head = nn.Linear(3, 3, bias=False), nn.Linear(3, 3)
        self.grow.weight.data = 1e30 * torch.eye(3)

    def forward(self, x):
        return self.head(self.grow(x).tanh())


def test_rows_of_which_an_embedding_is_not_finite(record_of):
    readout = VotesReadout(n_neighbors=2)
    rows = HEAPS * np.float32(1e-30)
    bank = readout.bank(record_of(Exponential()), as_rows(rows), CODES, EVERY)
    queries = rows.copy()
    expected = readout.votes(bank, as_rows(queries))
    assert np.isfinite(expected).all()
    queries[2] = 1e9
    found = readout.votes(bank, as_rows(queries))
    assert_array_equal(found[2], [np.nan] * 3)  # the input alone would have voted
    assert_array_equal(np.delete(found, 2, axis=0), np.delete(expected, 2, axis=0))


def test_what_cannot_be_read_is_refused_before_training(record_of, identity):
    VotesReadout(n_neighbors=2).rehearse(identity, as_rows(HEAPS[:2]))
    with pytest.raises(ValueError, match=r"probes names \['body'\]"):
        VotesReadout(probes=["body"]).rehearse(identity, as_rows(HEAPS[:2]))
    regressor = record_of(nn.Linear(3, 3), classes=(0, 1, 2))
    regressor.outputs = "values"
    with pytest.raises(ValueError, match="regressor"):
        VotesReadout().rehearse(regressor, as_rows(HEAPS[:2]))


def test_agreement_and_majority_by_hand(identity):
    probing = NeighborProbes(n_neighbors=2)
    bank = probing.bank(identity, as_rows(HEAPS), CODES, EVERY)
    found = probing.agreement(bank, None, CODES)
    assert_array_equal(found, np.repeat([[0.5], [0.5], [0], [0.5], [0.5], [0]], 3, axis=1))
    assert found.dtype == np.float32
    winners, shares = probing.majority(bank, None, ties="lowest")
    assert_array_equal(winners, np.repeat([[0, 0, 0, 1, 1, 2]], 3, axis=0))
    assert_array_equal(shares, np.repeat([[0.5, 0.5, 1, 0.5, 0.5, 1]], 3, axis=0))
    # Of two classes with a vote each, that of the nearer row.
    winners, _ = probing.majority(bank, None)
    assert_array_equal(winners[0], [0, 0, 0, 2, 2, 2])
    by_hand = [[1, 0, 0], [1, 0, 0], [0.5, 0.5, 0], [0, 0, 1], [0, 0, 1], [0, 0.5, 0.5]]
    assert_array_equal(probing.votes_at(bank.probes[1], bank, as_rows(HEAPS)), by_hand)


def test_rows_of_a_bank_as_a_mask_and_as_positions(identity):
    probing = NeighborProbes(n_neighbors=2)
    whole = probing.bank(identity, as_rows(HEAPS), CODES, EVERY)
    assert whole.X.data is HEAPS
    by_mask = probing.bank(identity, as_rows(HEAPS), CODES, CODES == 2)
    by_position = probing.bank(
        identity, as_rows(HEAPS), CODES, np.array([3, 4]), by_mask.probes[1:2]
    )
    for bank in (by_mask, by_position):
        assert_array_equal(bank.X.data, HEAPS[3:5])
        assert_array_equal(bank.codes, [2, 2])
    assert [len(bank.probes) for bank in (by_mask, by_position)] == [3, 1]
    turned = probing.bank(identity, as_rows(HEAPS), CODES, np.arange(6)[::-1])
    assert_array_equal(turned.X.data, HEAPS[::-1])
    assert_array_equal(positions_in(np.array([3, 1]), 5), [-1, 1, -1, 0, -1])


def test_equal_settings_are_equal_readouts():
    # An ensemble is read without asking again if it was fitted with an equal readout.
    assert VotesReadout(n_neighbors=5, probes=["0"]) == VotesReadout(n_neighbors=5, probes=["0"])
    assert VotesReadout(probes=np.array(["0"])) == VotesReadout(probes=("0",))
    assert VotesReadout(n_neighbors=5) != VotesReadout(n_neighbors=6)
    assert VotesReadout() != DepthReadout()
    assert VotesReadout(probes=["0"]) != VotesReadout(probes=["1"])


class Tokens(Dataset):
    """Rows of token ids, of two to six tokens."""

    def __len__(self):
        return 24

    def __getitem__(self, index):
        return torch.full((2 + index // 5,), 1 + index % 3), index % 3


def to_the_longest(items):
    ids, labels = zip(*items, strict=True)
    return nn.utils.rnn.pad_sequence(list(ids), batch_first=True), torch.tensor(labels)


class Mean(nn.Module):
    """Embeds tokens, and averages what lies behind a layer over them, without the padding."""

    def __init__(self):
        super().__init__()
        self.tokens, self.each, self.output = nn.Embedding(4, 5), nn.Linear(5, 5), nn.Linear(5, 3)

    def forward(self, ids):
        is_token = (ids > 0)[:, :, None]
        hidden = self.each(self.tokens(ids)).tanh() * is_token
        return self.output(hidden.sum(1) / is_token.sum(1))


class Attending(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens, self.output = nn.Embedding(4, 4), nn.Linear(4, 3)
        layer = nn.TransformerEncoderLayer(4, 1, 4, batch_first=True)
        self.blocks = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, ids):
        hidden = self.blocks(self.tokens(ids), src_key_padding_mask=ids == 0)
        return {"logits": self.output(hidden[:, 0])}


def test_layers_that_grow_with_a_row_are_left_out_unless_named(record_of):
    record = record_of(Mean())
    rows, codes = as_rows(Tokens(), collate_fn=to_the_longest), np.arange(24) % 3
    readout = VotesReadout(n_neighbors=3, batch_size=4)
    bank = readout.bank(record, rows, codes, np.arange(24) < 12)
    assert [probe.name for probe in bank.probes] == ["output", OUTPUT]
    votes = readout.votes(bank, rows.take(slice(12, None)))
    assert_array_equal(votes.argmax(axis=1), codes[12:])
    # Of blocks that attend nothing has one width but what is behind them.
    found = NeighborProbes().find(record_of(Attending()), rows)
    assert [probe.name for probe in found] == ["output", OUTPUT]
    assert len(NeighborProbes(probes=["output"]).find(record, rows)) == 2
    with pytest.raises(ValueError, match=r"at \['input', 'each'\] have more values for some rows"):
        NeighborProbes(probes=["each"]).rehearse(record, rows)
    same_length = as_rows(Subset(Tokens(), range(5)), collate_fn=to_the_longest)
    bank = readout.bank(record, same_length, codes[:5], np.ones(5, dtype=bool))
    with pytest.raises(ValueError, match="have 30 values for some rows and 25 for others"):
        readout.votes(bank, rows.take(slice(12, None)))
