# SPDX-License-Identifier: BSD-3-Clause
"""Sources of trained networks: what is given is checked and rehearsed before it is read."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from sklearn_difficulty import MemorizationScorer, TrainingRecord, VoGScorer
from sklearn_difficulty.scorers._trained_source import is_trained
from sklearn_difficulty.training import ResampledEnsemble


class Rehearsed(VoGScorer):
    """Notes which records it rehearses, and with how many rows."""

    def _rehearse(self, record, X, targets):
        self.rehearsed = (record, len(X), targets.tolist())
        super()._rehearse(record, X, targets)

    def _score_training_rows(self, X, targets, progress):
        assert self.rehearsed is not None
        return super()._score_training_rows(X, targets, progress)


def test_networks_and_records_are_rehearsed_with_two_rows(make_net, flowers, flower_record):
    X, y = flowers
    codes = np.unique(y, return_inverse=True)[1]
    scorer = Rehearsed(flower_record).fit(X, y)
    assert scorer.rehearsed == (flower_record, 2, codes[:2].tolist())
    scorer = Rehearsed(make_net(), random_state=0).fit(X, y)
    record, *others = scorer.rehearsed
    assert record is not scorer.record_
    assert others == [2, codes[:2].tolist()]


def test_a_rehearsal_is_of_the_rows_that_are_scored(flowers, flower_record):
    class Refusing(VoGScorer):
        def _rehearse(self, record, X, targets):
            assert np.array_equal(X.data, view[:2])

    X, y = flowers
    view = X + 1
    Refusing(flower_record).fit(X, y, scoring_view=view)


def test_a_rehearsal_changes_no_number(flowers, flower_record):
    class Unrehearsed(VoGScorer):
        def _rehearse(self, record, X, targets):
            pass

    expected = Unrehearsed(flower_record).fit(*flowers)
    found = VoGScorer(flower_record).fit(*flowers)
    assert np.array_equal(found.raw_difficulty_, expected.raw_difficulty_)


def test_what_is_trained_says_so(make_net, flower_record):
    net = make_net()
    ensemble = ResampledEnsemble(net)
    for given in (flower_record, FrozenEstimator(net), ensemble):
        assert is_trained(given)
        assert clone(MemorizationScorer(given)).estimator is given
    for given in (net, None, "precomputed", TrainingRecord, ResampledEnsemble):
        assert not is_trained(given)
    with pytest.raises(ValueError, match="already trained"):
        VoGScorer(flower_record).set_params(estimator__lr=1)
