# SPDX-License-Identifier: BSD-3-Clause
"""Threads share the global generators, and get the numbers that each gets alone."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from skorch import NeuralNetClassifier
from torch import nn

from sklearn_difficulty import (
    ConsistencyScorer,
    FilteredClassifier,
    LabelErrorScorer,
    MarginScorer,
    PredictionDepthScorer,
    TrainingDynamicsScorer,
    TrainingRecord,
    VoGScorer,
)
from sklearn_difficulty.model_selection import cross_val_difficulty

X, y = load_iris(return_X_y=True)
X = X.astype(np.float32)


class Dropping(nn.Sequential):
    """Draws while it trains."""

    def __init__(self):
        super().__init__(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.4), nn.Linear(16, 3))


NET = NeuralNetClassifier(
    Dropping, criterion=nn.CrossEntropyLoss, max_epochs=8, iterator_train__shuffle=True, verbose=0
)
SCORERS = [
    TrainingDynamicsScorer(NET, random_state=1),
    PredictionDepthScorer(NET, n_neighbors=5, random_state=2),
    ConsistencyScorer(NET, n_members=2, train_size=0.5, random_state=3),  # one by one
    ConsistencyScorer(n_members=2, train_size=0.5, random_state=4),  # as a stack
]


@pytest.mark.usefixtures("one_thread")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_scorers_that_are_fitted_at_once_get_the_numbers_of_each_alone():
    alone = [clone(scorer).fit(X, y).difficulty_ for scorer in SCORERS]
    state = torch.get_rng_state().tolist()
    barrier = Barrier(len(SCORERS))

    def fit(scorer):
        barrier.wait()
        return clone(scorer).fit(X, y).difficulty_

    for _ in range(3):
        with ThreadPoolExecutor(len(SCORERS)) as pool:
            for expected, found in zip(alone, pool.map(fit, SCORERS), strict=True):
                np.testing.assert_array_equal(found, expected)
    assert torch.get_rng_state().tolist() == state


@pytest.mark.usefixtures("one_thread")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_grid_search_on_threads_finds_what_it_finds_alone():
    scorer = TrainingDynamicsScorer(NET, random_state=0)
    filtered = FilteredClassifier(KNeighborsClassifier(), scorer=scorer, drop=0.1)
    grid = {"scorer__estimator__lr": [0.01, 0.1], "drop": [0.0, 0.2]}

    def search(n_jobs):
        with joblib.parallel_config("threading"):
            found = GridSearchCV(filtered, grid, cv=3, n_jobs=n_jobs).fit(X, y)
        return found.cv_results_["mean_test_score"]

    np.testing.assert_array_equal(search(2), search(1))


@pytest.mark.usefixtures("one_thread")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_threads_inside_a_fold_do_not_wait_for_it():
    scorer = LabelErrorScorer(
        NET, n_members=2, train_size=0.5, n_neighbors=2, n_jobs=2, random_state=0
    )
    with joblib.parallel_config("threading"):
        difficulty = cross_val_difficulty(scorer, X, y, cv=2, random_state=0, n_jobs=1)
    expected = cross_val_difficulty(scorer.set_params(n_jobs=1), X, y, cv=2, random_state=0)
    np.testing.assert_array_equal(difficulty, expected)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_scores_of_one_record_are_read_in_threads_as_alone():
    record = TrainingRecord.from_fit(NET, X, y, random_state=0)
    scorers = [
        VoGScorer(record, target="loss"),
        PredictionDepthScorer(record, n_neighbors=5),
        MarginScorer(record, kind="input"),
        TrainingDynamicsScorer(record, measure="grand"),
        LabelErrorScorer(record, method="neighbors", n_neighbors=5),
    ]

    def fit(scorer):
        return clone(scorer).fit(X, y).difficulty_

    alone = [fit(scorer) for scorer in scorers]
    for _ in range(5):
        with ThreadPoolExecutor(len(scorers)) as pool:
            for expected, found in zip(alone, pool.map(fit, scorers), strict=True):
                np.testing.assert_array_equal(found, expected)
    for scorer, expected in zip(scorers, alone, strict=True):
        np.testing.assert_array_equal(fit(scorer), expected)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_a_fold_does_not_wait_for_threads_of_a_cluster_that_wait_for_it():
    distributed = pytest.importorskip("distributed")
    scorer = LabelErrorScorer(
        NET, n_members=2, train_size=0.5, n_neighbors=2, n_jobs=2, random_state=0
    )
    expected = cross_val_difficulty(clone(scorer), X, y, cv=2, random_state=0)
    with (
        distributed.Client(
            processes=False, n_workers=1, threads_per_worker=2, dashboard_address=None
        ),
        joblib.parallel_config("dask"),
    ):
        found = cross_val_difficulty(scorer, X, y, cv=2, random_state=0, n_jobs=1)
    np.testing.assert_array_equal(found, expected)
