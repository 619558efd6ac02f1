# SPDX-License-Identifier: BSD-3-Clause
"""The methods for unseen rows: hidden where a scorer has nothing to say, and left to subclasses."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone

from sklearn_difficulty import MemorizationScorer, TrainingDynamicsScorer, VoGScorer

HIDDEN = ("transform", "fit_transform", "score_samples")


class Doubled(TrainingDynamicsScorer):
    """Has a `transform` of its own, whether others are hidden or not."""

    def transform(self, X, y=None):
        return np.full((len(X), 1), 2.0)


def test_hidden_with_the_reason():
    for scorer in (MemorizationScorer(), TrainingDynamicsScorer(measure="forgetting")):
        for name in HIDDEN:
            with pytest.raises(AttributeError, match=f"has no attribute '{name}'") as caught:
                getattr(scorer, name)
            assert "no meaning for rows that were not trained on" in str(caught.value.__cause__)
    for name in HIDDEN:
        assert hasattr(VoGScorer(), name)
        assert getattr(MemorizationScorer, name).__doc__  # the class has them, for its page


def test_hiding_follows_the_parameters(flowers, flower_record):
    scorer = TrainingDynamicsScorer(flower_record, measure="forgetting").fit(*flowers)
    assert not hasattr(scorer, "transform")
    assert hasattr(clone(scorer).set_params(measure="confidence"), "transform")


def test_a_subclass_with_a_transform_of_its_own(flowers, flower_record):
    X, y = flowers
    for measure, hidden in (("forgetting", True), ("confidence", False)):
        scorer = Doubled(flower_record, measure=measure).fit(X, y)
        assert hasattr(scorer, "score_samples") is not hidden
        assert hasattr(scorer, "fit_transform") is not hidden
        assert_array_equal(scorer.transform(X), np.full((150, 1), 2.0))
        frame = scorer.set_output(transform="pandas").transform(X)
        assert list(frame.columns) == [measure]
        if not hidden:
            assert list(scorer.fit_transform(X, y).columns) == [measure]
