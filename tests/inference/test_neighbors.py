# SPDX-License-Identifier: BSD-3-Clause
"""Neighbours against scikit-learn's, whatever the memory; ties; votes."""

import pickle
from itertools import count

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from sklearn_difficulty.inference import nearest as nearest_rows
from sklearn_difficulty.inference import neighbors, sketches
from sklearn_difficulty.inference.embeddings import EmbeddingReader
from sklearn_difficulty.inference.nearest import count_votes, full_precision, k_smallest, majority
from sklearn_difficulty.inference.neighbors import NeighborBank
from sklearn_difficulty.inference.probes import find_probes
from sklearn_difficulty.inference.trace import Probe
from sklearn_difficulty.rows.rows import as_rows

pytestmark = pytest.mark.usefixtures("one_thread", "seeded")

N, K, C = 120, 7, 3
INPUT = Probe("input", "input")


def images(n, seed):
    return np.random.default_rng(seed).normal(size=(n, 2, 5, 5)).astype(np.float32)


BANK, QUERIES = images(N, 0), images(45, 1)
CODES = np.arange(N) % C


@pytest.fixture
def sketched(monkeypatch):
    """Let bank rows be left out by their sketches, however few rows and numbers there are."""
    for name, value in {"_LEAST_WIDTH": 1, "_LEAST_BANK": 1, "_ALONE": 0, "_N_AXES": 3}.items():
        monkeypatch.setattr(sketches, name, value)


@pytest.fixture(params=["products", "sketches"])
def search(request):
    """Search in both ways."""
    if request.param == "sketches":
        request.getfixturevalue("sketched")


def conv_net():
    return nn.Sequential(
        nn.Conv2d(2, 4, 3),
        nn.ReLU(inplace=True),
        nn.Conv2d(4, 4, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(36, C),
    )


def bank_of(record, X, probes=None, *, batch_size=64, **options):
    probes = find_probes(record, as_rows(X)) if probes is None else probes
    codes = np.arange(len(X)) % C
    return NeighborBank(
        EmbeddingReader(record, **options), as_rows(X), codes, probes, batch_size=batch_size
    )


def nearest(bank, X=None, k=K, **options):
    return list(bank.nearest(None if X is None else as_rows(X), k, **options))


def oracle(bank, found, X=None, k=K, metric="euclidean"):
    """Return scikit-learn's distances and positions, in float64, at the probe of `found`."""
    reader = EmbeddingReader(bank.reader.record, pool=bank.reader.pool)

    def embedded(rows):
        [matrix] = reader.embed(as_rows(rows), [found.probe], batch_size=64)
        return matrix.double().numpy()

    index = NearestNeighbors(n_neighbors=k, algorithm="brute", metric=metric)
    index.fit(embedded(bank.X.data))
    distances, positions = index.kneighbors(None if X is None else embedded(X))
    order = np.argsort(positions, axis=1)
    return np.take_along_axis(distances, order, 1), np.take_along_axis(positions, order, 1)


def assert_same_neighbors(found, expected):
    assert [f.probe for f in found] == [e.probe for e in expected]
    for f, e in zip(found, expected, strict=True):
        assert_array_equal(f.positions, e.positions, err_msg=f.probe.name)
        assert_allclose(f.distances, e.distances, rtol=1e-4, atol=1e-5, err_msg=f.probe.name)


# ------------------------------------------------------------------------------------- exactness


@pytest.mark.parametrize("X", [None, QUERIES], ids=["bank", "queries"])
def test_equals_scikit_learn_at_every_probe(record_of, search, X):
    bank = bank_of(record_of(conv_net()), BANK)
    found = nearest(bank, X)
    assert [f.probe.name for f in found] == ["input", "0", "2", "softmax"]
    for f in found:
        distances, positions = oracle(bank, f, X)
        assert_array_equal(f.positions, positions, err_msg=f.probe.name)
        assert_allclose(f.distances, distances, rtol=1e-4, atol=1e-6)
        assert f.distances.dtype == np.float32


def test_equals_scikit_learn_for_cosine(record_of, search):
    bank = bank_of(record_of(conv_net()), BANK, unit_length=True)
    for f in nearest(bank, QUERIES):
        distances, positions = oracle(bank, f, QUERIES, metric="cosine")
        assert_array_equal(f.positions, positions, err_msg=f.probe.name)
        assert_allclose(f.distances**2 / 2, distances, rtol=1e-3, atol=1e-6)


def long_embeddings(n):
    """Return rows of 2,048 numbers that differ along twenty axes above all."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 20)) @ rng.normal(size=(20, 2048)) + rng.normal(size=(n, 2048))
    return X.astype(np.float32)


def test_sketches_spare_nearly_all_pairs_of_a_large_bank(record_of, monkeypatch):
    X = long_embeddings(8192)
    bank, compared = bank_of(record_of(nn.Linear(2048, C)), X, [INPUT], batch_size=512), []

    def one_by_one(queries, piece, columns):
        compared.extend(map(len, columns))
        return in_full(queries, piece, columns)

    in_full = nearest_rows._one_by_one
    with monkeypatch.context() as patched:
        patched.setattr(nearest_rows._Nearest, "_scores", None)  # of all pairs
        patched.setattr(nearest_rows, "_one_by_one", one_by_one)
        found = nearest(bank, X[:300] + 0.1)
    assert K * 300 <= sum(compared) < 0.01 * 300 * len(X)
    monkeypatch.setattr(sketches, "_LEAST_BANK", len(X) + 1)
    of_products = bank_of(record_of(nn.Linear(2048, C)), X, [INPUT], batch_size=512)
    [[_, distances, positions]], [[_, *of_all]] = found, nearest(of_products, X[:300] + 0.1)
    assert_array_equal(positions, of_all[1])
    assert_allclose(distances, of_all[0], atol=0.02)  # of rows that are 300 long


def test_all_pairs_are_compared_where_sketches_tell_nothing(record_of, monkeypatch):
    monkeypatch.setattr(sketches, "_LEAST_BANK", 1)
    X = np.random.default_rng(0).normal(size=(900, 2048)).astype(np.float32)
    [found] = nearest(bank_of(record_of(nn.Linear(2048, C)), X, [INPUT]), X[:20] + 0.5)
    monkeypatch.setattr(nearest_rows._Nearest, "_sketched", None)
    monkeypatch.setattr(sketches, "_LEAST_BANK", len(X) + 1)
    [expected] = nearest(bank_of(record_of(nn.Linear(2048, C)), X, [INPUT]), X[:20] + 0.5)
    assert_array_equal(found.positions, expected.positions)
    assert_array_equal(found.distances, expected.distances)


def test_some_probes_only(record_of):
    bank = bank_of(record_of(conv_net()), BANK)
    some = [bank.probes[3], bank.probes[1]]
    found = nearest(bank, QUERIES, probes=some)
    everything = nearest(bank, QUERIES)
    assert_same_neighbors(found, [everything[3], everything[1]])


@pytest.mark.parametrize("working_memory", [1024, 0.1])
@pytest.mark.parametrize("offset", [100.0, 1000.0])
def test_common_offset_changes_no_neighbor(record_of, search, offset, working_memory):
    module = nn.Sequential(nn.Linear(50, 60), nn.Tanh(), nn.Linear(60, C))
    X = np.random.default_rng(0).normal(size=(400, 50)).astype(np.float32)
    plain = nearest(bank_of(record_of(module), X))
    with torch.no_grad():
        # The layer sees what it saw before, and adds the offset to what it says.
        module[0].bias += offset - offset * module[0].weight.sum(dim=1)
    shifted = bank_of(record_of(module), (X + offset).astype(np.float32))
    with config_context(working_memory=working_memory):
        found = nearest(shifted)
    for before, after in zip(plain[:2], found[:2], strict=True):
        # What float32 itself loses of a row that lies so far out, is no concern of the search.
        assert_array_equal(after.positions, oracle(shifted, after)[1])
        assert (after.positions == before.positions).mean() > 0.98


def test_own_row_is_left_out_by_position_and_its_duplicates_are_not(record_of, search):
    X = BANK.copy()
    X[50] = X[7]
    for f in nearest(bank_of(record_of(conv_net()), X)):
        assert not (f.positions == np.arange(N)[:, None]).any()
        assert 50 in f.positions[7]
        assert 7 in f.positions[50]


def test_own_positions_may_be_given(record_of, search):
    bank = bank_of(record_of(conv_net()), BANK)
    own = np.array([3, -1, 119])
    X = BANK[[3, 3, 119]]
    among_the_bank = nearest(bank)
    for f, e in zip(nearest(bank, X, own=own), among_the_bank, strict=True):
        assert_array_equal(f.positions[[0, 2]], e.positions[[3, 119]])
        assert 3 in f.positions[1]


def test_all_other_rows(record_of, search):
    bank = bank_of(record_of(nn.Linear(2, C)), BANK[:9, :, 0, 0])
    for f in nearest(bank, k=8):
        assert_array_equal(f.positions, [[j for j in range(9) if j != i] for i in range(9)])


def test_order_of_the_bank_does_not_matter(record_of):
    order = np.random.default_rng(0).permutation(N)
    record = record_of(conv_net())
    expected = nearest(bank_of(record, BANK), QUERIES)
    found = nearest(bank_of(record, BANK[order]), QUERIES)
    for f, e in zip(found, expected, strict=True):
        assert_array_equal(np.sort(order[f.positions], axis=1), e.positions)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_modules_of_any_dtype(record_of, dtype):
    bank = bank_of(record_of(conv_net().to(dtype)), BANK)
    for f in nearest(bank, QUERIES):
        # Coarse numbers tie, so distances are compared and not positions.
        distances, _ = oracle(bank, f, QUERIES)
        assert_allclose(
            np.sort(f.distances, axis=1), np.sort(distances, axis=1), rtol=1e-4, atol=1e-3
        )


# ------------------------------------------------------------------------------------------- ties


CORNERS = np.array(np.meshgrid(*[[-1.0, 1.0]] * 3)).reshape(3, 8).T.astype(np.float32)


@pytest.mark.parametrize("working_memory", [1024, 0.05])
def test_of_equally_distant_rows_the_first_are_taken(record_of, search, working_memory):
    # Twenty times the corners of a cube around 0: all distances are whole numbers, squared.
    X = np.tile(CORNERS, (20, 1))
    bank = bank_of(record_of(nn.Linear(3, C)), X, [INPUT], batch_size=16)
    with config_context(working_memory=working_memory):
        [few], [many] = nearest(bank, k=5), nearest(bank, X[:8], k=24)
    squared = np.square(X[:, None] - X[None]).sum(axis=2)
    columns = np.arange(160)
    for i in range(160):
        order = [j for j in np.lexsort((columns, squared[i])) if j != i]
        assert_array_equal(few.positions[i], np.sort(order[:5]))
    for i in range(8):
        order = np.lexsort((columns, squared[i]))
        assert_array_equal(many.positions[i], np.sort(order[:24]))


LEVELS = st.sampled_from([0.0, 1.0, 2.0, np.inf])


@settings(deadline=None)
@given(
    values=st.one_of(
        hnp.arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 40)), elements=LEVELS),
        # So wide that minima of groups are looked at first.
        hnp.arrays(
            np.float32,
            st.tuples(st.integers(1, 4), st.sampled_from([64, 67, 96, 103, 130])),
            elements=st.one_of(LEVELS, st.integers(0, 40).map(float)),
        ),
    ),
    k=st.sampled_from([1, 2, 3, 8, 50]),
)
def test_k_smallest_equals_a_stable_sort(values, k):
    smallest, columns = k_smallest(torch.from_numpy(values), k)
    k = min(k, values.shape[1])
    positions = np.broadcast_to(np.arange(values.shape[1]), values.shape)
    expected = np.sort(np.lexsort((positions, values))[:, :k], axis=1)
    assert_array_equal(columns, expected)
    assert_array_equal(smallest, np.take_along_axis(values, expected, axis=1))


@pytest.mark.parametrize(("m", "k"), [(1024, 30), (1030, 30), (9001, 3), (300, 1)])
@pytest.mark.parametrize("n_levels", [3, 100, 10**6])
def test_k_smallest_of_many(m, k, n_levels):
    values = np.random.default_rng(0).integers(n_levels, size=(50, m)).astype(np.float32)
    values[:, -5:] = np.inf
    values[0] = np.inf
    values[1, 3:] = np.inf
    _, columns = k_smallest(torch.from_numpy(values), k)
    expected = np.argsort(values, axis=1, kind="stable")[:, :k]
    assert_array_equal(columns, np.sort(expected, axis=1))


# ----------------------------------------------------------------------------------------- memory


@pytest.mark.parametrize("batch_size", [1, 7, 512])
@pytest.mark.parametrize("working_memory", [1024, 1, 0.05, 0])
def test_memory_and_block_size_change_no_neighbor(record_of, working_memory, batch_size):
    record = record_of(conv_net())
    expected = [nearest(bank_of(record, BANK), X) for X in (None, QUERIES)]
    bank = bank_of(record, BANK, batch_size=batch_size)
    probes = bank.probes[1:3] if working_memory < 1 else bank.probes  # the rest is narrow
    with config_context(working_memory=working_memory):
        found = [nearest(bank, X, probes=probes) for X in (None, QUERIES)]
    for f, e in zip(found, expected, strict=True):
        assert_same_neighbors(f, [item for item in e if item.probe in probes])


def test_memory_and_block_size_change_no_neighbor_of_sketches(record_of, sketched):
    test_memory_and_block_size_change_no_neighbor(record_of, 0.05, 7)


@pytest.mark.parametrize(("working_memory", "n_searches"), [(1024, 1), (0.1, 2), (0.05, 3), (0, 4)])
def test_probes_are_searched_in_groups_that_fit(record_of, monkeypatch, working_memory, n_searches):
    groups = []
    search = NeighborBank._search

    def noting(self, X, k, own, group, budget):
        groups.append([probe.name for probe in group])
        return search(self, X, k, own, group, budget)

    monkeypatch.setattr(NeighborBank, "_search", noting)
    with config_context(working_memory=working_memory):
        nearest(bank_of(record_of(conv_net()), BANK), QUERIES)
    assert [name for group in groups for name in group] == ["input", "0", "2", "softmax"]
    assert len(groups) == n_searches


class LiveTensors(TorchDispatchMode):
    """Measures the most memory that tensors made inside the block take at one time."""

    def __init__(self):
        super().__init__()
        self.peak, self._storages = 0, {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self._storages = {k: v for k, v in self._storages.items() if not v[0].expired()}
        for tensor in tree_iter(out):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                reference = StorageWeakRef(storage)
                self._storages[reference.cdata] = reference, storage.nbytes()
        self.peak = max(self.peak, sum(size for _, size in self._storages.values()))
        return out


@pytest.mark.parametrize("X", [None, 120], ids=["bank", "queries"])
def test_memory_stays_within_the_budget_for_a_layer_of_any_width(record_of, X):
    rows = np.random.default_rng(0).normal(size=(600, 4)).astype(np.float32)
    record = record_of(nn.Sequential(nn.Linear(4, 8192), nn.ReLU(), nn.Linear(8192, C)))
    wide = find_probes(record, as_rows(rows))[1:2]
    row_bytes = 8192 * 4
    with LiveTensors() as unlimited:
        nearest(bank_of(record, rows, wide))
    assert unlimited.peak > 600 * row_bytes
    with config_context(working_memory=6), LiveTensors() as limited:
        nearest(bank_of(record, rows, wide), X if X is None else rows[:X])
    block_of_the_network = 32 * row_bytes
    assert limited.peak < 6 * 2**20 + block_of_the_network < 600 * row_bytes / 2


def test_embeddings_of_the_bank_are_kept_only_if_they_fit(record_of):
    record = record_of(conv_net())
    bank = bank_of(record, BANK)
    nearest(bank, QUERIES)
    assert set(bank._kept) == set(bank.probes)
    assert pickle.loads(pickle.dumps(bank))._kept == {}
    # From now on no row of the bank is embedded again.
    bank.X = np.full_like(BANK, np.nan)
    again = nearest(bank, QUERIES, k=3)
    assert np.isfinite(again[0].distances).all()
    with config_context(working_memory=0.1):
        small = bank_of(record, BANK)
        nearest(small, QUERIES)
        assert small._kept == {}


@pytest.mark.parametrize("place", ["embed", "update"])
@pytest.mark.parametrize("fails_at", [1, 3, 6])
@pytest.mark.parametrize("working_memory", [1024, 8])
def test_out_of_memory_is_tried_again_with_less(
    record_of, monkeypatch, place, fails_at, working_memory
):
    record = record_of(nn.Sequential(conv_net()[0], nn.Flatten(), nn.Linear(36, C)))
    expected = nearest(bank_of(record, BANK), QUERIES)
    bank = bank_of(record, BANK)
    owner = EmbeddingReader if place == "embed" else neighbors._Nearest
    method, calls, budgets = getattr(owner, place), count(1), []
    search = bank._search

    def short_of_memory(*args, **kwargs):
        if next(calls) == fails_at:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return method(*args, **kwargs)

    def noting(X, k, own, group, budget):
        assert not budgets or budget == budgets[-1] or not bank._kept
        budgets.append(budget)
        return search(X, k, own, group, budget)

    monkeypatch.setattr(owner, place, short_of_memory)
    monkeypatch.setattr(bank, "_search", noting)
    # So little that there are several groups, and an error after some of them are done.
    with config_context(working_memory=working_memory):
        assert_same_neighbors(nearest(bank, QUERIES), expected)
    n_calls = next(calls) - 1
    assert (len(budgets) > 1) == (n_calls >= fails_at)
    assert budgets == sorted(budgets, reverse=True)


def test_memory_that_is_never_enough(record_of, monkeypatch):
    bank = bank_of(record_of(conv_net()), BANK)

    def out_of_memory(*args, **kwargs):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(EmbeddingReader, "embed", out_of_memory)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        nearest(bank)


# ------------------------------------------------------------------------------- flags and numbers


def matmul_precisions():
    backends = (torch.backends.cuda, torch.backends.mkldnn)
    return [backend.matmul.fp32_precision for backend in backends]


class NotesPrecision(nn.Linear):
    fails = False

    def forward(self, x):
        self.seen = (matmul_precisions(), torch.is_autocast_enabled("cpu"))
        if self.seen[0] == ["ieee", "ieee"] and self.fails:
            raise RuntimeError("no forward today")
        return super().forward(x)


def by_the_old_name(precision):
    torch.set_float32_matmul_precision({"tf32": "high", "none": "highest"}[precision])


def by_the_new_name(precision):
    for backend in (torch.backends.cuda, torch.backends.mkldnn):
        backend.matmul.fp32_precision = precision


@pytest.mark.parametrize("set_precision", [by_the_old_name, by_the_new_name])
@pytest.mark.parametrize("fails", [False, True])
def test_precision_is_restored(record_of, set_precision, fails):
    record = record_of(NotesPrecision(6, C))
    X = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    bank = bank_of(record, X)
    record.module.fails = fails
    set_precision("tf32")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            if fails:
                with pytest.raises(RuntimeError, match="today"):
                    nearest(bank)
            else:
                nearest(bank)
            assert torch.is_autocast_enabled("cpu")
        assert matmul_precisions() == ["tf32", "tf32"]
        if set_precision is by_the_old_name:
            assert torch.get_float32_matmul_precision() == "high"
    finally:
        by_the_old_name("none")
        by_the_new_name("none")
    assert record.module.seen == (["ieee", "ieee"], False)


def test_autocast_around_changes_nothing(record_of):
    record = record_of(conv_net())
    expected = nearest(bank_of(record, BANK), QUERIES)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = nearest(bank_of(record, BANK), QUERIES)
    for f, e in zip(found, expected, strict=True):
        assert_array_equal(f.positions, e.positions)
        assert_array_equal(f.distances, e.distances)


def test_full_precision_can_be_nested():
    with full_precision(), full_precision():
        assert torch.get_float32_matmul_precision() == "highest"


class Exponential(nn.Module):
    """Overflows for large inputs, and then forgets it."""

    def __init__(self):
        super().__init__()
        self.grow, self.head = nn.Linear(2, 2, bias=False), nn.Linear(2, C)
        nn.init.constant_(self.grow.weight, 1e30)

    def forward(self, x):
        return self.head(self.grow(x).tanh())


@pytest.mark.parametrize("working_memory", [1024, 0.0005])
@pytest.mark.parametrize(
    ("value", "is_undefined"),
    [(1e9, True), (-1e9, True), (1e-10, True), (1e-30, False)],
    ids=["inf", "-inf", "square is inf", "finite"],
)
def test_embedding_of_a_query_that_is_not_finite(
    record_of, search, value, is_undefined, working_memory
):
    X = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32) * 1e-30
    queries = X[:5].copy()
    queries[2] = value
    with config_context(working_memory=working_memory):
        found = nearest(bank_of(record_of(Exponential()), X), queries)
    for f in found:
        undefined = np.isnan(f.distances).all(axis=1)
        is_bad = is_undefined and f.probe.name == "grow"
        assert_array_equal(undefined, [False, False, is_bad, False, False])
        assert np.isfinite(np.delete(f.distances, 2, axis=0)).all()


@pytest.mark.parametrize("working_memory", [1024, 0.0005])
@pytest.mark.parametrize("value", [1e9, -1e9, 1e-10], ids=["inf", "-inf", "square is inf"])
def test_bank_that_is_not_finite(record_of, search, value, working_memory):
    X = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32) * 1e-30
    X[[21, 30]] = value
    record, others = record_of(Exponential()), np.delete(np.arange(40), [21, 30])
    with config_context(working_memory=working_memory):
        found, expected = nearest(bank_of(record, X)), nearest(bank_of(record, X[others]))
    for f, e in zip(found, expected, strict=True):
        if f.probe.name != "grow":
            continue
        assert np.isnan(f.distances[[21, 30]]).all()
        assert_array_equal(f.positions[others], others[e.positions])
        assert_allclose(f.distances[others], e.distances, rtol=1e-5)


def test_bank_with_too_few_finite_rows(record_of):
    X = np.full((40, 2), 1e9, dtype=np.float32)
    X[:3] = 1e-30
    message = r"NaN or inf.*at 'grow' for training rows, first \[3, 4.*fewer than n_neighbors"
    with pytest.raises(ValueError, match=message):
        nearest(bank_of(record_of(Exponential()), X))


# ------------------------------------------------------------------------------------------- votes


def test_votes_equal_scikit_learn(record_of):
    bank = bank_of(record_of(conv_net()), BANK)
    for f in nearest(bank, QUERIES):
        [bank_matrix], [query_matrix] = (
            bank.reader.embed(as_rows(X), [f.probe], batch_size=64) for X in (BANK, QUERIES)
        )
        judge = KNeighborsClassifier(K, algorithm="brute").fit(bank_matrix.double(), CODES)
        labels = bank.codes[f.positions]
        winners, shares = majority(labels, f.distances, C, "lowest")
        assert_array_equal(winners, judge.predict(query_matrix.double()))
        expected = judge.predict_proba(query_matrix.double())
        assert_allclose(count_votes(labels, C) / K, expected)
        assert_allclose(shares, expected.max(axis=1))
        assert shares.dtype == np.float32


def test_sketches_are_in_the_seconds_that_a_search_is_told_to_take():
    kind = nearest_rows.SearchKind(4096, torch.device("cpu"))
    few, many = (
        nearest_rows.seconds_of_pair(kind, n_bank, count().__next__) for n_bank in (4_096, 60_000)
    )  # of which as many are timed
    assert many / few == pytest.approx(sketches.products_of_pair(4096, 60_000, kind.device) / 4096)
    assert many < few / 5
