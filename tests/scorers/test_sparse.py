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
from small_nets import make_net

from sklearn_difficulty import (
    FilteredClassifier,
    LabelErrorScorer,
    NeighborConfidenceScorer,
    TrainingDynamicsScorer,
    TrainingRecord,
    VoGScorer,
)
from sklearn_difficulty.model_selection import benchmark_scorers, cross_val_difficulty
from sklearn_difficulty.training import ResampledEnsemble, default_network

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
        if name in scorer.get_params(deep=False) and (value or isinstance(scorer, LabelErrorScorer)):
            scorer.set_params(**{name: value})
    found, expected = clone(scorer).fit(X, y), clone(scorer).fit(dense, y)
    what = "predictions_" if isinstance(scorer, ResampledEnsemble) else "difficulty_"
    assert_array_equal(getattr(found, what), getattr(expected, what))
    assert found.n_features_in_ == 4
    if hasattr(found, "score_samples"):
        assert_array_equal(found.score_samples(X, y), expected.score_samples(dense, y))
        assert_array_equal(pickle.loads(pickle.dumps(found)).score_samples(X), found.score_samples(X))
        with pytest.raises(ValueError, match="4 features|shape"):
            found.score_samples(X[:, :3])
