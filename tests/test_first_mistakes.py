# SPDX-License-Identifier: BSD-3-Clause
"""What people try first and cannot work, with every estimator of the table: the error says how."""

import numpy as np
import pandas as pd
import pytest
from instances import SMALLEST, SMALLEST_SCORERS
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC
from small_nets import NeverTrain

from sklearn_difficulty import DifficultyQuadrantClassifier, LabelErrorScorer
from sklearn_difficulty.estimator_checks._material import training_rows
from sklearn_difficulty.scorers._base_ensemble import BaseEnsembleScorer
from sklearn_difficulty.training import ResampledEnsemble, default_network

X, y = training_rows()
TEXTS = [f"some text {i}" for i in range(len(y))]
KINDS = {
    "list": TEXTS,
    "array": np.array(TEXTS),
    "series": pd.Series(TEXTS, index=range(5, 65)),
    "dict": {"text": np.array(TEXTS, dtype=object)},
}
READ_NETS = [e for e in SMALLEST if e in SMALLEST_SCORERS or isinstance(e, ResampledEnsemble)]
NETS_ONLY = [e for e in READ_NETS if not isinstance(e, LabelErrorScorer)]  # it takes any classifier


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("estimator", SMALLEST, ids=lambda e: type(e).__name__)
def test_texts(estimator, kind):
    with pytest.raises(
        ValueError, match=r"holds texts, and .* sparse .*TfidfVectorizer.*LabelErrorScorer\("
    ):
        clone(estimator).fit(KINDS[kind], y)


@pytest.mark.parametrize("estimator", SMALLEST, ids=lambda e: type(e).__name__)
def test_columns_of_strings_are_named(estimator):
    frame = pd.DataFrame(X, columns=list("abcde")).assign(city="Rome", day="Monday")
    with pytest.raises(ValueError, match=r"2 column\(s\) that hold no numbers: 'city' .*'day'"):
        clone(estimator).fit(frame, y)


@pytest.mark.parametrize("other", [SVC(), SVC, make_pipeline(SVC())], ids=["SVC", "class", "steps"])
@pytest.mark.parametrize("estimator", NETS_ONLY, ids=lambda e: type(e).__name__)
def test_estimators_that_are_no_networks(estimator, other):
    estimator = clone(estimator).set_params(estimator=other)
    name = "Pipeline" if "Pipeline" in repr(other) else "SVC"
    with pytest.raises(ValueError, match="must be a torch network") as caught:
        estimator.fit(X, y)
    assert f"'estimator' parameter of {type(estimator).__name__}" in str(caught.value)
    assert f"{name} is none" in str(caught.value)
    assert "LabelErrorScorer(classifier)" in str(caught.value)


@pytest.mark.parametrize("estimator", READ_NETS, ids=lambda e: type(e).__name__)
def test_labels_that_are_missing(estimator):
    with pytest.raises(ValueError, match=f"^{type(estimator).__name__} requires y to be passed"):
        clone(estimator).fit(X)


OF_MEMBERS = [e for e in SMALLEST_SCORERS if isinstance(e, (BaseEnsembleScorer, LabelErrorScorer))]


@pytest.mark.filterwarnings("ignore:The members are trained one by one")
@pytest.mark.parametrize("scorer", OF_MEMBERS, ids=lambda e: type(e).__name__)
def test_members_that_cannot_hold_out_all_rows(scorer):
    is_quadrants = isinstance(scorer, DifficultyQuadrantClassifier)
    size = {"validation_size": 0.1} if is_quadrants else {"train_size": 0.9}
    net = default_network(X, y).set_params(callbacks=[NeverTrain()])
    scorer = clone(scorer).set_params(estimator=net, n_members=4, **size)
    with (
        pytest.warns(
            UserWarning, match="least 60% of the rows will have no defined .* n_members=10"
        ),
        pytest.raises(AssertionError, match="training has begun"),
    ):
        scorer.fit(X, y)
