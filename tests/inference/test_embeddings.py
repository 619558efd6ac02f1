# SPDX-License-Identifier: BSD-3-Clause
"""Embeddings against values that are computed by hand, and forward passes of every habit."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from sklearn_difficulty.inference.embeddings import EmbeddingReader
from sklearn_difficulty.inference.predictions import predicted_classes
from sklearn_difficulty.inference.probes import find_probes
from sklearn_difficulty.inference.trace import Probe
from sklearn_difficulty.rows.rows import as_rows

pytestmark = pytest.mark.usefixtures("one_thread", "seeded")

N, C = 21, 3  # no multiple of a block's 16 rows
FLAT = np.random.default_rng(0).normal(size=(N, 6)).astype(np.float32)
IMAGES = np.random.default_rng(0).normal(size=(N, 2, 5, 5)).astype(np.float32)


def embed(record, X, choice="auto", *, batch_size=16, pool=None, unit_length=False, **options):
    """Return the embeddings by the names of the probes."""
    probes = find_probes(record, as_rows(X), choice, **options)
    reader = EmbeddingReader(record, pool=pool, unit_length=unit_length)
    found = reader.embed(as_rows(X), probes, batch_size=batch_size)
    assert all(matrix.dtype == torch.float32 for matrix in found)
    return {probe.name: matrix.numpy() for probe, matrix in zip(probes, found, strict=True)}


def assert_same(found, expected, **tolerance):
    assert list(found) == list(expected)
    for name, value in expected.items():
        value = value.detach().flatten(1).numpy() if isinstance(value, torch.Tensor) else value
        assert_allclose(
            found[name], value, err_msg=name, **{"rtol": 1e-5, "atol": 1e-6, **tolerance}
        )


# --------------------------------------------------------------------------- before the activation


def conv_net(in_place):
    return nn.Sequential(
        nn.Conv2d(2, 4, 3),
        nn.ReLU(inplace=in_place),
        nn.Conv2d(4, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=in_place),
        nn.Flatten(),
        nn.Linear(4, C),
    )


@pytest.mark.parametrize("in_place", [False, True])
def test_convolutions_are_read_before_the_activation(record_of, in_place):
    record = record_of(conv_net(in_place))
    first, _, second, *rest = record.module
    x = torch.from_numpy(IMAGES)
    a = first(x)
    b = second(a.relu())
    with torch.no_grad():
        probabilities = nn.Sequential(*rest)(b.clone()).softmax(dim=1)
    found = embed(record, IMAGES)
    assert_same(found, {"input": x, "0": a, "2": b, "softmax": probabilities})
    assert (found["0"] < 0).any()
    assert (found["2"] < 0).any()


class Residual(nn.Module):
    def __init__(self, in_place):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(2, 4, 3), nn.GroupNorm(2, 4)
        self.block, self.head = Block(in_place), nn.Linear(4 * 9, C)

    def forward(self, x):
        return self.head(self.block(self.norm(self.stem(x)).relu_()).flatten(1))


class Block(nn.Module):
    def __init__(self, in_place):
        super().__init__()
        self.conv, self.in_place = nn.Conv2d(4, 4, 3, padding=1), in_place

    def forward(self, x):
        out = self.conv(x)
        if not self.in_place:
            return (out + x).relu()
        identity = x
        out += identity
        return F.relu_(out)


@pytest.mark.parametrize("in_place", [False, True])
def test_sums_are_read_before_the_activation(record_of, in_place):
    record = record_of(Residual(in_place))
    module, x = record.module, torch.from_numpy(IMAGES)
    stem = module.norm(module.stem(x))
    total = module.block.conv(stem.relu()) + stem.relu()
    expected = {
        "input": x,
        "norm": stem,
        "block.sum": total,
        "softmax": module.head(total.relu().flatten(1)).softmax(dim=1),
    }
    found = embed(record, IMAGES)
    assert_same(found, expected)
    assert (found["block.sum"] < 0).any()
    # A module's own output is what it returns.
    assert (embed(record, IMAGES, ["block"])["block"] >= 0).all()


class CalledTwice(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.shared, self.tied = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6)
        self.tied.weight = self.shared.weight
        self.head = nn.Linear(6, C)

    def forward(self, x):
        x = self.shared(self.shared(self.first(x)).tanh()).tanh()
        return self.head(self.tied(x).tanh())


def test_every_call_of_a_module_is_read_by_itself(record_of):
    record = record_of(CalledTwice())
    module, x = record.module, torch.from_numpy(FLAT)
    first = module.first(x)
    once = module.shared(first)
    twice = module.shared(once.tanh())
    tied = module.tied(twice.tanh())
    logits = module.head(tied.tanh())
    assert_same(
        embed(record, FLAT),
        {
            "input": x,
            "first": first,
            "shared": once,
            "shared#2": twice,
            "tied": tied,
            "head": logits,
            "softmax": logits.softmax(dim=1),
        },
    )
    again = Probe("again", "module", "shared", 1)
    [alone] = EmbeddingReader(record).embed(as_rows(FLAT), [again], batch_size=16)
    assert_allclose(alone, twice.detach(), rtol=1e-5, atol=1e-6)


def test_one_module_under_two_names(record_of):
    layer = nn.Linear(6, 6)
    record = record_of(nn.Sequential(layer, nn.Tanh(), layer, nn.Linear(6, C)))
    x = torch.from_numpy(FLAT)
    once = record.module[0](x)
    found = embed(record, FLAT)
    assert list(found) == ["input", "0", "0#2", "3", "softmax"]
    assert_allclose(found["0"], once.detach(), rtol=1e-5, atol=1e-6)
    assert_allclose(found["0#2"], record.module[0](once.tanh()).detach(), rtol=1e-5, atol=1e-6)


def test_module_that_writes_to_its_input(record_of):
    record = record_of(nn.Sequential(nn.ReLU(inplace=True), nn.Linear(6, C)))
    X = FLAT.copy()
    found = embed(record, X)
    assert_array_equal(found["input"], FLAT)
    assert_array_equal(X, FLAT)
    with torch.no_grad():
        expected = record.module[1](torch.from_numpy(FLAT).relu())
    assert_allclose(found["1"], expected, rtol=1e-5, atol=1e-6)


# ------------------------------------------------------------------ outputs and inputs of any kind


@pytest.mark.parametrize("outputs", ["logits", "probabilities", "log_probabilities"])
def test_last_probe_holds_the_class_probabilities(record_of, outputs):
    last = {
        "logits": nn.Identity(),
        "probabilities": nn.Softmax(dim=1),
        "log_probabilities": nn.LogSoftmax(dim=1),
    }[outputs]
    record = record_of(nn.Sequential(nn.Linear(6, C), last), outputs=outputs)
    with torch.no_grad():
        expected = record.module[0](torch.from_numpy(FLAT)).softmax(dim=1)
    assert_allclose(embed(record, FLAT)["softmax"], expected, rtol=1e-5)


@pytest.mark.parametrize("last", [nn.Identity(), nn.Flatten(0)])
def test_single_logit_has_two_probabilities(record_of, last):
    record = record_of(nn.Sequential(nn.Linear(6, 1), last), classes=(0, 1), outputs="binary_logit")
    with torch.no_grad():
        logits = record.module[0](torch.from_numpy(FLAT))
    expected = torch.cat([1 - logits.sigmoid(), logits.sigmoid()], dim=1)
    assert_same(embed(record, FLAT), {"input": FLAT, "0": logits, "softmax": expected})
    predicted = predicted_classes(record, as_rows(FLAT), batch_size=16)
    assert_array_equal(predicted, expected.argmax(dim=1))
    assert 0 < predicted.sum() < N


def test_predicted_classes_are_those_of_the_largest_output(record_of):
    record = record_of(nn.Linear(6, C))
    with torch.no_grad():
        expected = record.module(torch.from_numpy(FLAT)).argmax(dim=1)
    for batch_size in (1, 7, 512):
        assert_array_equal(
            predicted_classes(record, as_rows(FLAT), batch_size=batch_size), expected
        )


class Tables(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.head = nn.Embedding(9, 2), nn.Linear(9, C)

    def forward(self, image, number, token):
        return self.head(torch.cat([image.flatten(1), number[:, None], self.embedding(token)], 1))


def test_input_of_a_dict_is_all_its_floats(record_of):
    X = {
        "token": np.arange(N) % 9,
        "image": FLAT.reshape(N, 1, 2, 3),
        "number": np.arange(N, dtype=np.float64),
    }
    found = embed(record_of(Tables()), X)
    assert_allclose(found["input"], np.column_stack([FLAT, np.arange(N)]))
    assert found["head"].shape == (N, C)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru, self.head = nn.GRU(2, 4, batch_first=True), nn.Linear(4, C)

    def forward(self, x):
        return self.head(self.gru(x)[0][:, -1])


def test_first_output_of_a_tuple(record_of):
    X = FLAT.reshape(N, 3, 2)
    record = record_of(Recurrent())
    with torch.no_grad():
        states, _ = record.module.gru(torch.from_numpy(X))
    assert_allclose(embed(record, X, ["gru"])["gru"], states.flatten(1), rtol=1e-5, atol=1e-6)


class TokenNet(nn.Module):
    """A transformer that is told which tokens are padding."""

    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.embedding, self.encoder = nn.Embedding(9, 8), nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(8, C)

    def forward(self, tokens):
        hidden = self.encoder(self.embedding(tokens), src_key_padding_mask=tokens == 0)
        return self.head(hidden[:, 0])


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_padded_sequences(record_of):
    tokens = np.random.default_rng(0).integers(1, 9, size=(N, 5))
    tokens[::2, 3:] = 0
    record = record_of(TokenNet())
    found = embed(record, tokens)
    assert list(found) == ["input", "encoder.layers.0", "encoder.layers.1", "softmax"]
    with torch.no_grad():
        embedded = record.module.embedding(torch.from_numpy(tokens))
        expected = record.module(torch.from_numpy(tokens)).softmax(dim=1)
    assert_same({"input": found["input"]}, {"input": embedded})
    assert_allclose(found["softmax"], expected, rtol=1e-4)
    assert found["encoder.layers.1"].shape == (N, 40)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float16, 1e-2), (torch.bfloat16, 5e-2), (torch.float64, 1e-6)]
)
def test_modules_of_any_dtype(record_of, dtype, tolerance):
    module = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, C))
    expected = embed(record_of(module), FLAT)
    found = embed(record_of(module.to(dtype)), FLAT)
    assert_same(found, expected, rtol=tolerance, atol=tolerance)
    as_read = torch.from_numpy(FLAT).to(dtype).float()
    assert_array_equal(found["input"], as_read)


# ------------------------------------------------------------------------------- pooled and scaled


@pytest.mark.parametrize(("pool", "is_whole"), [(1, False), (2, False), (5, True), (99, True)])
def test_pooled_maps(record_of, pool, is_whole):
    record = record_of(conv_net(in_place=True))
    whole, pooled = embed(record, IMAGES), embed(record, IMAGES, pool=pool)
    for name, shape in (("input", (2, 5, 5)), ("0", (4, 3, 3)), ("2", (4, 1, 1))):
        maps = torch.from_numpy(whole[name]).view(N, *shape)
        expected = F.adaptive_avg_pool2d(maps, min(pool, shape[1]))
        assert_allclose(pooled[name], expected.flatten(1), rtol=1e-5, atol=1e-6)
    assert (pooled["input"].shape == whole["input"].shape) is is_whole
    assert_array_equal(pooled["softmax"], whole["softmax"])


def test_pooled_volumes_and_strips(record_of):
    record = record_of(nn.Sequential(nn.Conv3d(1, 2, 1), nn.Flatten(), nn.Linear(2 * 24, C)))
    X = np.random.default_rng(0).normal(size=(N, 1, 2, 3, 4)).astype(np.float32)
    pooled = embed(record, X, pool=2)
    expected = F.adaptive_avg_pool3d(torch.from_numpy(X), 2)
    assert_allclose(pooled["input"], expected.flatten(1), rtol=1e-5)
    strips = record_of(nn.Sequential(nn.Conv1d(2, 2, 1), nn.Flatten(), nn.Linear(2 * 25, C)))
    X = IMAGES.reshape(N, 2, 25)
    assert_same(embed(strips, X, pool=1), embed(strips, X))


def test_unit_length(record_of):
    record = record_of(nn.Linear(6, C, bias=False))
    X = FLAT.copy()
    X[4] = 0
    plain, scaled = embed(record, X), embed(record, X, unit_length=True)
    for name in ("input", "Linear"):
        lengths = np.linalg.norm(plain[name], axis=1, keepdims=True)
        assert_allclose(scaled[name], plain[name] / np.where(lengths, lengths, 1), rtol=1e-5)
        assert (scaled[name][4] == 0).all()


# ------------------------------------------------------------------------------------------ blocks


@pytest.mark.parametrize("batch_size", [1, 7, 512])
@pytest.mark.parametrize("X", [FLAT, {"input": FLAT}], ids=["array", "dict"])
def test_block_size_changes_nothing(record_of, X, batch_size):
    record = record_of(nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, C)))
    if isinstance(X, dict):
        record = record_of(Keyword(record.module))
    expected = embed(record, X, batch_size=16)
    assert_same(embed(record, X, batch_size=batch_size), expected)


class Keyword(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, input):
        return self.inner(input)


class Noting(nn.Linear):
    """Notes how many rows each of its calls has, and may run out of memory."""

    def __init__(self, *sizes, limit=None):
        super().__init__(*sizes)
        self.limit, self.seen = limit, []

    def forward(self, x):
        self.seen.append(len(x))
        if self.limit is not None and len(x) > self.limit:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return super().forward(x)


def test_forward_pass_ends_at_the_last_probe(record_of):
    record = record_of(nn.Sequential(nn.Linear(6, 8), nn.Tanh(), Noting(8, C)))
    probes = find_probes(record, as_rows(FLAT))
    reader = EmbeddingReader(record)
    for last, n_calls in ((1, 0), (2, 0), (3, 2), (4, 2)):
        record.module[2].seen.clear()
        reader.embed(as_rows(FLAT), probes[:last], batch_size=16)
        # Two rows are looked at before the first block, to see what the network returns.
        assert len(record.module[2].seen) == 1 + n_calls, last


def test_order_of_the_probes_is_that_of_the_answer(record_of):
    record = record_of(nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, C)))
    probes = find_probes(record, as_rows(FLAT))
    reader = EmbeddingReader(record)
    forwards, backwards = (
        reader.embed(as_rows(FLAT), p, batch_size=16) for p in (probes, probes[::-1])
    )
    for a, b in zip(forwards, reversed(backwards), strict=True):
        assert torch.equal(a, b)
    assert reader.widths(as_rows(FLAT), probes) == [6, 8, C, C]


def test_blocks_that_exceed_the_memory_are_halved(record_of):
    # What a failed pass wrote to its input must not be read by the next.
    record = record_of(nn.Sequential(nn.ReLU(inplace=True), nn.Linear(6, 8), Noting(8, C)))
    expected = embed(record, FLAT)
    probes = find_probes(record, as_rows(FLAT))
    record.module[2].limit = 4
    found = EmbeddingReader(record).embed(as_rows(FLAT), probes, batch_size=16)
    assert max(record.module[2].seen[-8:]) > 4
    for name, matrix in zip(expected, found, strict=True):
        assert_allclose(matrix, expected[name], rtol=1e-5, atol=1e-6)


# -------------------------------------------------------------------------- what cannot be read


class Ragged(Dataset):
    """Sequences that grow longer from the 16th on."""

    def __len__(self):
        return 20

    def __getitem__(self, index):
        return torch.ones(2 if index < 16 else 3), index % C


class Mean(nn.Linear):
    def forward(self, x):
        return super().forward(x.mean(dim=1, keepdim=True))


def test_rows_of_unequal_width_are_refused(record_of):
    record = record_of(Mean(1, C))
    with pytest.raises(ValueError, match=r"'input' have 3 values for some rows and 2 for others"):
        embed(record, Ragged())
    assert embed(record, Ragged(), include_input=False)["softmax"].shape == (20, C)


class TakesAnotherWay(nn.Module):
    """Skips a layer if any row of the block is large."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, C)

    def forward(self, x):
        x = self.first(x) if x.max() > 50 else self.first(self.second(x))
        return self.head(x)


def test_rows_that_do_not_pass_a_probe_are_refused(record_of):
    record = record_of(TakesAnotherWay())
    X = FLAT.copy()
    X[18] = 99
    with pytest.raises(ValueError, match=r"did not come by \['second'\] for some rows"):
        embed(record, X)
    assert list(embed(record, X, ["first"])) == ["input", "first", "softmax"]


class TimeFirst(nn.Module):
    """Holds positions before rows: as many as rows are traced."""

    def __init__(self):
        super().__init__()
        self.hidden, self.head = nn.Linear(2, 4), nn.Linear(4, C)

    def forward(self, x):
        return self.head(self.hidden(x.transpose(0, 1)).mean(dim=0))


def test_positions_before_rows_are_refused(record_of):
    with pytest.raises(ValueError, match="'hidden' is no floating tensor with one entry per row"):
        embed(record_of(TimeFirst()), FLAT.reshape(N, 3, 2))


class FailsOnDemand(nn.Module):
    fails = False

    def forward(self, x):
        if self.fails and len(x) > 2:  # two rows are looked at first
            raise RuntimeError("no forward today")
        return x + x


@pytest.mark.parametrize("kind", ["reads all", "ends early", "fails", "is refused"])
def test_hooks_modes_and_generators_are_restored(record_of, kind):
    record = record_of(nn.Sequential(nn.Linear(6, 8), FailsOnDemand(), nn.Linear(8, C)))
    module = record.module.train()
    module[0].eval()
    probes = [Probe("a", "module", "0"), Probe("b", "sum"), Probe("c", "output")]
    probes = probes[:2] if kind == "ends early" else probes
    probes = [Probe("d", "module", "0", 7)] if kind == "is refused" else probes
    module[1].fails = kind == "fails"
    state = torch.get_rng_state()
    if kind in ("fails", "is refused"):
        with pytest.raises((RuntimeError, ValueError), match=r"today|did not come by"):
            EmbeddingReader(record).embed(as_rows(FLAT), probes, batch_size=16)
    else:
        EmbeddingReader(record).embed(as_rows(FLAT), probes, batch_size=16)
    assert [m.training for m in module] == [False, True, True]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())
    assert torch.overrides._get_current_function_mode() is None
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled()


def test_embeddings_need_no_gradient(record_of):
    record = record_of(nn.Linear(6, C))
    [found] = EmbeddingReader(record).embed(
        as_rows(FLAT), [Probe("a", "module", "")], batch_size=16
    )
    assert not found.requires_grad
