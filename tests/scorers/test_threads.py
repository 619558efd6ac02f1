# SPDX-License-Identifier: BSD-3-Clause
"""Threads share the global generators, and get the numbers that each gets alone."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import joblib
import numpy as np
import pytest
import torch
from instances import SMALLEST_SCORERS
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
from sklearn_difficulty._randomness import is_alone
from sklearn_difficulty.inference.blocks import read_blocks
from sklearn_difficulty.model_selection import cross_val_difficulty
from sklearn_difficulty.rows.rows import as_rows
from sklearn_difficulty.training import ResampledEnsemble

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


def asked(scorer, X, y):
    """Return all that a fitted scorer says about rows, by the names of its methods."""
    few = slice(0, 15)
    methods = {
        **dict.fromkeys(["score_samples", "transform", "predict", "depths"], (X, y)),
        **dict.fromkeys(["gradient_maps", "inference_curve"], (X[few], y[few])),
        **dict.fromkeys(["influence", "high_influence_pairs"], (X, y)),
        **dict.fromkeys(["probe_predict", "probe_predict_proba"], (X[few], 1)),
    }
    return {
        name: np.concatenate([np.ravel(part) for part in getattr(scorer, name)(*given)])
        for name, given in methods.items()
        if hasattr(scorer, name)
    }


@pytest.mark.usefixtures("one_thread")
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("scorer", SMALLEST_SCORERS, ids=lambda scorer: type(scorer).__name__)
def test_a_fitted_scorer_tells_eight_threads_what_it_tells_one(scorer):
    scorer = clone(scorer).set_params(estimator=NET, random_state=0).fit(X, y)
    parts = [slice(k, k + 40) for k in range(0, 112, 14)]
    expected = [asked(scorer, X[part], y[part]) for part in parts]
    barrier = Barrier(len(parts))

    def ask(part):
        barrier.wait()
        return asked(scorer, X[part], y[part])

    with ThreadPoolExecutor(len(parts)) as pool:
        for told, found in zip(expected, pool.map(ask, parts), strict=True):
            assert found.keys() == told.keys()
            for name, values in found.items():
                np.testing.assert_array_equal(values, told[name], err_msg=name)


@pytest.mark.usefixtures("one_thread")
def test_members_are_asked_in_threads_as_alone():
    ensemble = ResampledEnsemble(
        NET, n_members=2, train_size=0.5, keep_members=True, random_state=0
    ).fit(X, y)
    expected = ensemble.member_probability(X)
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(ensemble.member_probability, [X] * 8):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("backend", ["joblib", "stacked"])
def test_a_readout_may_wait_for_threads_that_read(backend):
    net = NeuralNetClassifier(
        nn.Linear, module__in_features=4, module__out_features=3, criterion=nn.CrossEntropyLoss
    ).set_params(max_epochs=2, verbose=0)
    scorer = MarginScorer(net, random_state=0).fit(X, y)
    expected = scorer.score_samples(X, y)

    def readout(record, rows, codes, trained_on):
        assert torch.get_num_threads() == 1
        with ThreadPoolExecutor(1) as pool:
            margins = pool.submit(scorer.score_samples, X, y).result(timeout=20)
        return {"margin": margins}

    ensemble = ResampledEnsemble(
        net, n_members=2, train_size=0.5, backend=backend, readout=readout, random_state=0
    ).fit(X, y)
    np.testing.assert_array_equal(ensemble.readout_["margin"], [expected, expected])
    assert not is_alone()


class Half(Exception):
    """Ends a reading half-way."""


def test_a_reading_that_fails_leaves_the_lock():
    record = TrainingRecord.from_fit(NET, X, y, random_state=0)
    errors = []

    def fails(block):
        raise Half

    for keep in (fails, lambda block: block):
        try:
            read_blocks(record, as_rows(X), None, lambda *_: None, keep, batch_size=32)
        except Half as error:
            errors.append(error)  # its traceback lives on
    assert len(errors) == 1
    assert not is_alone()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: MarginScorer(record).fit(X, y)).result(timeout=20)
