# SPDX-License-Identifier: BSD-3-Clause
"""A net that was fitted before, around an instance: whoever trains it on is told, by all ways."""

import warnings

import numpy as np
import pytest
from instances import INSTANCES, SMALLEST_SCORERS
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from small_nets import TwoLayers, make_net

from sklearn_difficulty import (
    DifficultyFilter,
    FilteredClassifier,
    LabelErrorScorer,
    VoGScorer,
)
from sklearn_difficulty.metrics import label_error_scoring
from sklearn_difficulty.model_selection import benchmark_scorers, cross_val_difficulty
from sklearn_difficulty.training import ResampledEnsemble

pytestmark = [
    pytest.mark.usefixtures("one_thread", "seeded"),
    pytest.mark.filterwarnings("ignore:.*have no defined difficulty:UserWarning"),
]
SEEN = "fitted before and its module is an instance"
SCORERS = [*SMALLEST_SCORERS, *INSTANCES[LabelErrorScorer][1:], *INSTANCES[ResampledEnsemble]]
SCORERS = [scorer for scorer in SCORERS if scorer.estimator is None]


def n_told(work, *args, **params):
    """Return how often a call warns of weights that have seen rows."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        work(*args, **params)
    return sum(SEEN in str(w.message) for w in caught)


@pytest.fixture
def nets(data):
    """Return a net that was fitted before, and a fresh one; of both the module is an instance."""
    X, y = data
    fresh = make_net(module=TwoLayers(), max_epochs=2)
    return make_net(module=TwoLayers(), max_epochs=2).fit(X, y), fresh


def holders(scorer):
    """Return a scorer, and what holds it and trains it."""
    if isinstance(scorer, ResampledEnsemble):
        return [scorer]
    filters = DifficultyFilter(scorer, drop=0.1), FilteredClassifier(scorer=scorer, drop=0.1)
    return [scorer, *filters]


@pytest.mark.parametrize("scorer", SCORERS, ids=str)
def test_scorers_and_filters(scorer, data, nets):
    for net, n_times in zip(nets, (1, 0), strict=True):
        scorer = clone(scorer).set_params(estimator=net, random_state=0)
        for holder in holders(scorer):
            assert n_told(clone(holder).fit, *data) == n_times


@pytest.mark.parametrize("is_told", [True, False])
def test_folds_searches_and_benchmarks(data, nets, is_told):
    X, y = data
    verdicts = (np.arange(len(y)) % 4 == 0).astype(int)
    scorer = VoGScorer(nets[not is_told], checkpoints=2, random_state=0)
    assert n_told(cross_val_difficulty, scorer, X, y, cv=2) == is_told
    assert n_told(benchmark_scorers, X, y, {"one": scorer}, n_repeats=1) == is_told
    folds = list(StratifiedKFold(2).split(X, verdicts))
    grid = {"estimator__lr": [0.1, 0.2]}
    search = GridSearchCV(scorer, grid, scoring=label_error_scoring(), cv=folds)
    with config_context(enable_metadata_routing=True):
        assert bool(n_told(search.fit, X, y, verdicts=verdicts)) == is_told
    pipe = make_pipeline(StandardScaler(), FilteredClassifier(scorer=scorer, drop=0.1))
    search = GridSearchCV(pipe, {"filteredclassifier__drop": [0.1, 0.2]}, cv=2)
    assert bool(n_told(search.fit, X, y)) == is_told
