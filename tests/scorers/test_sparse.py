# SPDX-License-Identifier: BSD-3-Clause
"""Sparse rows with every scorer: the same numbers as dense ones, in the memory of sparse ones."""

import pickle
import tracemalloc

import numpy as np
import pytest
from instances import SMALLEST, SMALLEST_SCORERS
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.utils import get_tags
from small_nets import make_net

from sklearn_difficulty import (
    FilteredClassifier,
    LabelErrorScorer,
    NeighborConfidenceScorer,
    TrainingDynamicsScorer,
    TrainingRecord,
    VoGScorer,
)
from sklearn_difficulty.datasets import make_label_noise
from sklearn_difficulty.model_selection import benchmark_scorers, cross_val_difficulty
from sklearn_difficulty.training import ResampledEnsemble, default_network
from sklearn_difficulty.training.default import scale_of_sparse

pytestmark = [
    pytest.mark.usefixtures("one_thread", "seeded"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
READ_NETS = [e for e in SMALLEST if e in SMALLEST_SCORERS or isinstance(e, ResampledEnsemble)]


@pytest.fixture
def rows(data):
    X, y = data
    X = np.where(np.abs(X) < 0.5, 0, X)
    return sparse.csr_array(X), X, y


def without_input(scorer):
    """Return a scorer that looks for no neighbours in the input, which sparse rows leave out."""
    has_it = "include_input" in scorer.get_params(deep=False)
    return clone(scorer).set_params(**({"include_input": False} if has_it else {}))


@pytest.mark.parametrize("scorer", READ_NETS, ids=lambda s: type(s).__name__)
def test_the_numbers_of_dense_rows(scorer, rows):
    X, dense, y = rows
    scorer = without_input(scorer).set_params(estimator=make_net(max_epochs=2), random_state=0)
    for name, value in (("backend", "joblib"), ("n_neighbors", None)):
        if name in scorer.get_params(deep=False) and (
            value or isinstance(scorer, LabelErrorScorer)
        ):
            scorer.set_params(**{name: value})
    found, expected = clone(scorer).fit(X, y), clone(scorer).fit(dense, y)
    what = "predictions_" if isinstance(scorer, ResampledEnsemble) else "difficulty_"
    assert_array_equal(getattr(found, what), getattr(expected, what))
    assert found.n_features_in_ == 4
    if hasattr(found, "score_samples"):
        assert_array_equal(found.score_samples(X, y), expected.score_samples(dense, y))
        assert_array_equal(
            pickle.loads(pickle.dumps(found)).score_samples(X), found.score_samples(X)
        )
        with pytest.raises(ValueError, match=r"4 features|shape"):
            found.score_samples(X[:, :3])


@pytest.fixture(scope="module")
def texts():
    """Return counts of 300 words in 240 texts of two kinds, and labels of which 24 are flipped."""
    rng = np.random.default_rng(0)
    y = np.arange(240) % 2
    words = np.concatenate([rng.integers(0, 270, (240, 20)), rng.integers(270, 285, (240, 6))], 1)
    words[:, 20:] += 15 * y[:, None]
    counts = np.zeros((240, 300))
    np.add.at(counts, (np.arange(240)[:, None], words), 1)
    y_noisy, is_flipped = make_label_noise(y, 0.1, random_state=0)
    return sparse.csr_matrix(counts), np.array(["ham", "spam"])[y_noisy], is_flipped


def test_the_default_network_finds_flipped_labels(texts):
    X, y, is_flipped = texts
    scorer = LabelErrorScorer(n_members=2, train_size=0.5, random_state=0)
    found = clone(scorer).fit(X, y)
    assert average_precision_score(is_flipped, found.difficulty_) > 0.8
    assert found.estimator_.module__hidden_units == (64,)
    assert "sparse" in found.ensemble_.why_not_stacked_
    filtered = FilteredClassifier(LogisticRegression(), scorer=scorer, drop=0.1).fit(X, y)
    assert_array_equal(filtered.difficulty_, found.difficulty_)
    assert is_flipped[filtered.dropped_indices_].mean() > 0.7
    assert get_tags(filtered).input_tags.sparse


def test_helpers_and_records(texts, tmp_path):
    X, y, is_flipped = texts
    record = TrainingRecord.from_fit(default_network(X, y), X, y, checkpoints=2, random_state=0)
    record.save(tmp_path / "record")
    loaded = TrainingRecord.load(tmp_path / "record")
    confidence = TrainingDynamicsScorer(loaded).fit(X, y).difficulty_
    assert average_precision_score(is_flipped, confidence) > 0.8
    with pytest.raises(ValueError, match="other rows"):
        TrainingDynamicsScorer(loaded).fit(X * 2, y)
    gradients = VoGScorer(loaded).fit(X, y)
    assert np.isfinite(gradients.difficulty_).all()
    neighbors = NeighborConfidenceScorer(loaded, n_neighbors=5).fit(X, y)
    assert list(neighbors.probe_names_) == ["layers.0", "layers.2", "softmax"]
    scorer = TrainingDynamicsScorer(random_state=0)
    difficulty = cross_val_difficulty(scorer, X, y, cv=2, random_state=0)
    assert average_precision_score(is_flipped, difficulty) > 0.7
    table = benchmark_scorers(X, y, {"loss": scorer}, n_repeats=1, random_state=0)
    assert table["average_precision"][0] > 0.3  # a tenth is flipped before


def test_a_single_training_says_why_it_knows_no_rate(texts):
    X, y, _ = texts
    scorer = LabelErrorScorer(method="neighbors", n_neighbors=5, random_state=0).fit(X, y)
    with pytest.raises(AttributeError, match="the rows are sparse"):
        _ = scorer.error_probability_


def test_members_are_found_again(texts, tmp_path):
    X, y, _ = texts
    ensemble = ResampledEnsemble(n_members=2, train_size=0.5, cache_dir=tmp_path, random_state=0)
    expected = ensemble.fit(X, y).predictions_
    files = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert_array_equal(clone(ensemble).fit(X.tocsc(), y).predictions_, expected)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == files


def test_the_scale_of_the_default_network_keeps_zeros_and_weights():
    wide = sparse.csr_array(sparse.random(200, 500, density=0.1, random_state=0))
    scale = scale_of_sparse(wide)
    assert len(np.unique(scale)) == 1
    assert_allclose(np.mean(np.sum(np.square(wide.toarray() / scale), axis=1)), 25)
    wide = wide @ sparse.diags_array(np.where(np.arange(500) == 3, 1e6, 1.0))
    scale = scale_of_sparse(wide)
    scaled = wide.toarray() / scale  # the column of another unit is one among many
    assert_allclose(np.mean(scaled[:, 3] ** 2), 1)
    assert_allclose(np.mean(np.sum(np.square(scaled), axis=1)), 25)
    few = sparse.csr_array([[1.0, 0, 0], [1, 4, 0]])
    assert_allclose(scale_of_sparse(few), [1, np.sqrt(8), 1])  # a column of zeros stays as it is


def test_memory_is_that_of_the_matrix_and_some_batches():
    n, n_features = 400, 20_000
    X = sparse.coo_array(sparse.random(n, n_features, density=0.002, random_state=0))
    y = np.arange(n) % 2
    dense_bytes = n * n_features * 4
    net = default_network(X, y).set_params(
        module__hidden_units=(4,), batch_size=16, max_epochs=2, optimizer__momentum=0
    )
    tracemalloc.start()
    try:
        scorer = VoGScorer(net, checkpoints=2, batch_size=16, random_state=0).fit(X, y)
        scorer.score_samples(X)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 0.5 * dense_bytes
