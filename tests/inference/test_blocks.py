# SPDX-License-Identifier: BSD-3-Clause
"""Rows through a network block by block: sizes, padding, seeds, and the caller's rows."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from skorch import NeuralNetClassifier
from torch import nn
from torch.nn import functional as F
from torch.utils.data import Dataset, StackDataset

from sklearn_difficulty import TrainingRecord, VoGScorer
from sklearn_difficulty._randomness import isolated_rng
from sklearn_difficulty.inference.blocks import read_blocks, rows_per_block
from sklearn_difficulty.rows.rows import ArrayRows, DictRows, as_rows

CPU = torch.device("cpu")
N, C = 48, 3  # a multiple of 16 rows, so that no padding copies them


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    y = np.arange(N) % C
    return (rng.normal(size=(N, 4)) + 2 * np.eye(C, 4)[y]).astype(np.float32), y


def record_of(module, n_states=3):
    states = []
    for seed in range(n_states):
        generator = torch.Generator().manual_seed(seed)
        state = module.state_dict()
        states.append({k: torch.randn(v.shape, generator=generator) for k, v in state.items()})
    return TrainingRecord.from_checkpoints(module, states, classes=range(C))


def mlp():
    with isolated_rng(0):
        return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, C))


# --------------------------------------------------------------------------------- block sizes


@pytest.mark.parametrize(
    ("X", "batch_size", "device", "expected"),
    [
        (np.zeros((9, 4), "f4"), 512, "cpu", 512),
        (np.zeros((9, 4), "f4"), 1, "cpu", 1),
        (np.zeros((9, 1, 128, 128), "f4"), 512, "cpu", 16),  # 8 images fill the budget
        (np.zeros((9, 1, 128, 128), "f4"), 4, "cpu", 4),
        (np.zeros((9, 1, 128, 128), "f4"), 512, "cuda", 512),
        (np.zeros((9, 1, 128, 128), "f4"), 4096, "cuda", 1024),
        ({"a": np.zeros((9, 1, 64, 64), "f4"), "b": np.zeros((9, 4096), "f4")}, 99, "cpu", 16),
        (np.zeros((9, 0), "f4"), 512, "cpu", 512),
    ],
)
def test_rows_per_block(X, batch_size, device, expected):
    if isinstance(X, dict):
        kinds = [DictRows(X)]
    else:
        kinds = [ArrayRows(X), as_rows(StackDataset(X, np.zeros(len(X))))]
    for rows in kinds:
        assert rows_per_block(rows, batch_size, torch.device(device)) == expected


def test_rows_per_block_where_collate_fn_makes_rows_of_several_sizes():
    images = as_rows(StackDataset(np.zeros((9, 1, 128, 128))), collate_fn=torch.stack)
    assert rows_per_block(images, 512, torch.device("cpu")) == 512


class Watching(nn.Sequential):
    """Notes how many rows every forward pass has."""

    def __init__(self, limit=None):
        super().__init__(*mlp())
        self.sizes, self.limit = [], limit

    def forward(self, x):
        self.sizes.append(len(x))
        if self.limit is not None and len(x) > self.limit:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return super().forward(x)


@pytest.mark.parametrize(("batch_size", "sizes"), [(1, {1}), (5, {2, 5}), (20, {2, 32})])
def test_no_forward_has_more_rows_than_asked_for(data, batch_size, sizes):
    # Beyond 16 rows a block is padded to a multiple of 16; two rows are looked at first.
    record = record_of(Watching())
    scorer = VoGScorer(record, batch_size=batch_size, normalize=None).fit(*data)
    expected = VoGScorer(record_of(mlp()), normalize=None).fit(*data)
    assert set(record.module.sizes) - {16} == sizes
    assert_allclose(scorer.difficulty_, expected.difficulty_, rtol=1e-5)


@pytest.mark.parametrize("labelled", [True, False])
def test_memory_for_four_rows_is_enough(data, labelled):
    X, y = data
    small = VoGScorer(record_of(Watching(limit=4))).fit(X, y)
    large = VoGScorer(record_of(mlp())).fit(X, y)
    assert_allclose(small.difficulty_, large.difficulty_, rtol=1e-4, atol=1e-5)
    for n in (1, 17, 48):
        labels = y[:n] if labelled else None
        found, expected = (s.score_samples(X[:n], labels) for s in (small, large))
        assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def as_it_is(block):
    return block


def test_memory_for_no_row_is_not_enough(data):
    sizes = []

    def out_of_memory(inputs, labels):
        sizes.append(len(inputs))
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.cuda.OutOfMemoryError):
        read_blocks(
            record_of(mlp()), as_rows(data[0]), None, out_of_memory, as_it_is, batch_size=16
        )
    assert sizes == [16, 8, 4, 2, 1]


@pytest.mark.parametrize("kind", ["array", "dict"])
@pytest.mark.parametrize("batch_size", [1, 7, 16, 100])
def test_every_row_is_read_once_in_order_with_its_label(data, kind, batch_size):
    class Named(nn.Module):
        def forward(self, x):
            return x[:, :C]

    X, y = data
    X = X[:37]
    rows = {"x": X} if kind == "dict" else X
    record = TrainingRecord.from_checkpoints(Named(), [{}], classes=range(C))

    def first_column(inputs, labels):
        assert len(labels) == len(inputs["x"] if kind == "dict" else inputs)
        return (inputs["x"] if kind == "dict" else inputs)[:, 0]

    given, predicted = (
        read_blocks(record, as_rows(rows), labels, first_column, as_it_is, batch_size=batch_size)
        for labels in (y[:37], None)
    )
    assert_array_equal(np.concatenate([b.result[: b.n] for b in given]), X[:, 0])
    assert_array_equal(np.concatenate([b.labels[: b.n] for b in given]), y[:37])
    assert_array_equal(
        np.concatenate([b.labels[: b.n] for b in predicted]), X[:, :C].argmax(axis=1)
    )


# ------------------------------------------------------- modules that write to what they are given


class Shifted(nn.Module):
    """Subtracts 0.5 from its input, in place or not."""

    def __init__(self, in_place):
        super().__init__()
        self.in_place = in_place
        self.layers = mlp()

    def forward(self, x):
        return self.layers(x.sub_(0.5) if self.in_place else x - 0.5)


def rectified(in_place):
    return nn.Sequential(nn.ReLU(inplace=in_place), *mlp())


@pytest.mark.parametrize(
    ("make", "site"), [(Shifted, "layers.0"), (rectified, "1")], ids=["sub_", "relu"]
)
@pytest.mark.parametrize("kind", ["array", "tensor", "dict", "dataset"])
def test_rows_are_never_written_to(data, make, site, kind):
    X, y = data
    scores = {}
    for in_place in (False, True):
        own = X.copy()
        rows = {
            "array": own,
            "tensor": torch.from_numpy(own),
            "dict": {"x" if make is Shifted else "input": own},
            "dataset": torch.utils.data.TensorDataset(torch.from_numpy(own)),
        }[kind]
        net = NeuralNetClassifier(
            make(in_place), criterion=nn.CrossEntropyLoss, max_epochs=3, lr=0.1, verbose=0
        )
        record = TrainingRecord.from_fit(net, rows, y, random_state=0)
        assert_array_equal(own, X, err_msg="from_fit wrote to X")
        for wrt in (None, site):
            scorer = VoGScorer(record, wrt=wrt).fit(rows, y)
            assert_array_equal(own, X, err_msg=f"fit with wrt={wrt} wrote to X")
            unseen = scorer.score_samples(rows)
            assert_array_equal(own, X, err_msg=f"score_samples with wrt={wrt} wrote to X")
            maps = scorer.gradient_maps(rows)
            assert_array_equal(own, X, err_msg=f"gradient_maps with wrt={wrt} wrote to X")
            scores[in_place, wrt] = np.column_stack([scorer.difficulty_, unseen, maps])
        scores[in_place, "fit"] = VoGScorer(net, random_state=0).fit(rows, y).difficulty_
        assert_array_equal(own, X, err_msg="fit of a net wrote to X")
    for what in (None, site, "fit"):
        assert_allclose(scores[True, what], scores[False, what], rtol=1e-5, atol=1e-6)


def test_integers_beside_the_floats_are_not_written_to_either(data):
    class Masked(nn.Module):
        def __init__(self, in_place):
            super().__init__()
            self.in_place, self.layers = in_place, mlp()

        def forward(self, x, mask):
            mask = mask.neg_() if self.in_place else -mask
            return self.layers(torch.where(mask > 0, x, 0.0))

    X, y = data
    rows = {"x": X, "mask": np.where(X > 0, -1, 1)}
    before = rows["mask"].copy()
    ours, theirs = (
        VoGScorer(record_of(Masked(in_place))).fit(rows, y).difficulty_
        for in_place in (True, False)
    )
    assert_array_equal(rows["mask"], before)
    assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


# ---------------------------------------------------------------------------------------- seeds


class Noisy(Dataset):
    """Adds noise of both global generators to every row whenever it is read."""

    def __init__(self, X, y):
        self.X, self.y = X, y

    def __len__(self):
        return len(self.X)

    def __getitem__(self, index):
        noise = 0.1 * torch.randn(4).numpy() + 0.1 * np.random.randn(4)
        return (self.X[index] + noise).astype(np.float32), self.y[index]


class AlwaysDropping(nn.Module):
    """Uses functional dropout, which no eval mode switches off."""

    def __init__(self):
        super().__init__()
        self.layers = mlp()

    def forward(self, x):
        return self.layers(F.dropout(x, 0.5))


@pytest.mark.parametrize("source", ["rows", "module"])
@pytest.mark.parametrize("given", ["record", "net"])
def test_scores_do_not_depend_on_the_global_generators(data, source, given):
    X, y = data
    rows = Noisy(X, y) if source == "rows" else X
    module = AlwaysDropping() if source == "module" else mlp()
    if given == "record":
        estimator = record_of(module)
    else:
        estimator = NeuralNetClassifier(
            module, criterion=nn.CrossEntropyLoss, max_epochs=2, verbose=0
        )
    fits = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)
        before = torch.get_rng_state(), np.random.get_state()[1].copy()
        scorer = VoGScorer(estimator, random_state=0).fit(rows, y)
        fits.append((scorer.difficulty_, scorer.score_samples(rows), scorer.score_samples(rows, y)))
        assert torch.equal(torch.get_rng_state(), before[0])
        assert_array_equal(np.random.get_state()[1], before[1])
    assert_array_equal(fits[0], fits[1])


def test_an_index_error_of_floats_is_not_about_tokens(data):
    class Failing(nn.Linear):
        def forward(self, x):
            return super().forward(x) if len(x) == 2 else [][0]

    scorer = VoGScorer(record_of(Failing(4, C)))
    with pytest.raises(IndexError, match="list index out of range"):
        scorer.fit(*data)


def test_generators_are_restored_after_a_failed_reading(data):
    before = torch.get_rng_state()

    def fails(inputs, labels):
        torch.rand(1)
        raise KeyError

    with pytest.raises(KeyError):
        read_blocks(record_of(mlp()), as_rows(data[0]), None, fails, as_it_is, batch_size=8)
    assert torch.equal(torch.get_rng_state(), before)


# ------------------------------------------------------------------------ what cannot be read


@pytest.mark.parametrize(
    ("module", "settings", "message"),
    [
        (mlp(), {"classes": "ab"}, r"shape \(2, 3\).*2 classes: it must return one column per"),
        (mlp(), {"classes": "abcd"}, "4 classes: it must return one column per class"),
        (mlp(), {"outputs": "binary_logit", "classes": "ab"}, r"one logit a row.*\(3,\) a row"),
        (mlp(), {"outputs": "probabilities", "classes": "abc"}, "return probabilities"),
        (mlp(), {"outputs": "log_probabilities", "classes": "abc"}, "return log-probabilities"),
    ],
)
def test_outputs_that_belie_the_record_are_refused_at_the_first_block(
    data, module, settings, message
):
    settings["classes"] = list(settings["classes"])
    record = TrainingRecord.from_checkpoints(module, [module.state_dict()] * 2, **settings)
    y = np.array(settings["classes"])[np.arange(N) % 2]
    scorer = VoGScorer(record, target="loss")
    with pytest.raises(ValueError, match=message):
        scorer.fit(data[0], y)
    started = []
    with pytest.raises(ValueError, match=message):
        read_blocks(
            record,
            as_rows(data[0]),
            None,
            lambda *block: started.append(1),
            as_it_is,
            batch_size=4,
        )
    assert not started
