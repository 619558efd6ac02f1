# SPDX-License-Identifier: BSD-3-Clause
"""What people try first and cannot work, with every estimator of the table: the error says how."""

import numpy as np
import pandas as pd
import pytest
from instances import SMALLEST, SMALLEST_SCORERS
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC
from sklearn.utils._param_validation import InvalidParameterError
from small_nets import NeverTrain
from torch import nn

from sklearn_difficulty import (
    DifficultyQuadrantClassifier,
    FilteredClassifier,
    FilteredRegressor,
    LabelErrorScorer,
    TrainingRecord,
)
from sklearn_difficulty.estimator_checks._material import training_rows
from sklearn_difficulty.model_selection import MemorizationTrajectory
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


@pytest.mark.parametrize("estimator", READ_NETS, ids=lambda e: type(e).__name__)
def test_columns_that_a_net_of_ones_own_cannot_read_are_named(estimator, make_net):
    frame = pd.DataFrame(X, columns=list("abcde")).assign(city="Rome", day=pd.Timestamp("2024"))
    message = r"2 column\(s\) that hold no numbers: 'city' .*, 'day' .*estimator=None encodes"
    with pytest.raises(ValueError, match=message) as caught:
        clone(estimator).set_params(estimator=make_net()).fit(frame, y)
    assert "make_column_transformer((OneHotEncoder(" in str(caught.value)
    assert "['city']), remainder=SimpleImputer()), ...)" in str(caught.value)
    assert "(X['day'] - X['day'].min()) / numpy.timedelta64(1, 'D')" in str(caught.value)


@pytest.mark.parametrize("module", [nn.Linear(5, 3), nn.Linear], ids=["module", "class"])
@pytest.mark.parametrize("estimator", SMALLEST, ids=lambda e: type(e).__name__)
def test_a_torch_module_in_place_of_a_net(estimator, module):
    taken = set(estimator.get_params(deep=False)) & {"estimator", "scorer", "student", "teacher"}
    for parameter in taken:
        with pytest.raises(
            InvalidParameterError, match=r"is a torch module, Linear, .* NeuralNetClassifier\("
        ) as caught:
            clone(estimator).set_params(**{parameter: module}).fit(X, y)
        where = f"The '{parameter}' parameter of {type(estimator).__name__} "
        assert str(caught.value).startswith(where)
    assert taken or isinstance(estimator, MemorizationTrajectory)  # which takes a list


def test_a_torch_module_that_is_an_estimator_may_judge():
    class Judge(GaussianNB, nn.Module):
        """Trains itself."""

        def __init__(self):
            nn.Module.__init__(self)
            GaussianNB.__init__(self)

    judged = [
        LabelErrorScorer(judge, n_members=2, random_state=0).fit(X, y).difficulty_
        for judge in (Judge(), GaussianNB())
    ]
    np.testing.assert_array_equal(*judged)


def test_a_torch_module_in_place_of_the_net_of_a_record():
    with pytest.raises(InvalidParameterError, match="'net' parameter of from_fit is a torch mod"):
        TrainingRecord.from_fit(nn.Linear(5, 3), X, y)


@pytest.mark.parametrize(
    ("filtered", "judge", "remedy"),
    [
        (FilteredClassifier, GaussianNB(), r"scorer=LabelErrorScorer\(GaussianNB\("),
        (FilteredRegressor, Ridge(), r"scorer=TargetErrorScorer\(Ridge\("),
    ],
)
def test_a_judge_in_place_of_a_scorer(filtered, judge, remedy):
    with pytest.raises(ValueError, match=r"must have a difficulty_ .* " + remedy):
        filtered(judge, scorer=judge, drop=0.1).fit(X, y)


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


@pytest.mark.parametrize("estimator", SMALLEST, ids=lambda e: type(e).__name__)
def test_token_ids_of_unequal_length(estimator):
    ragged = [[1] * (1 + i % 3) for i in range(len(y))]
    with pytest.raises(ValueError, match=r"X is ragged: .*torch.nn.utils.rnn.pad_sequence"):
        clone(estimator).fit(ragged, y)
