# SPDX-License-Identifier: BSD-3-Clause
"""Networks with more columns than y has classes: a class missing in a fold, a pretrained head."""

import numpy as np
import pytest
from instances import SMALLEST_SCORERS
from numpy.testing import assert_allclose, assert_array_equal
from readings import READERS, fitted_with, numbers_of
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, cross_val_score
from skorch.dataset import Dataset
from skorch.helper import predefined_split
from small_nets import NeverTrain, TwoLayers, make_net
from torch import nn

from sklearn_difficulty import (
    DifficultyFilter,
    FilteredClassifier,
    LabelErrorScorer,
    TrainingDynamicsScorer,
    TrainingRecord,
    VoGScorer,
)
from sklearn_difficulty.rows.labels import among_columns, encode_among
from sklearn_difficulty.training import RecordTraining, ResampledEnsemble

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

NAMES = np.array(["ant", "cat", "dog"])


def wide(n_outputs, **settings):
    return make_net(module=TwoLayers, module__n_outputs=n_outputs, max_epochs=3, **settings)


# What y holds for the codes 0, 1 and 2, the net, the classes expected, and the codes' columns.
WIDER = {
    "last missing": ([0, 1, 2], wide(5), range(5), [0, 1, 2]),
    "gaps": ([0, 2, 4], wide(6), range(6), [0, 2, 4]),
    "first missing": ([1, 2, 3], wide(4), range(4), [1, 2, 3]),
    "named": (NAMES, wide(4, classes=["ant", "bee", "cat", "dog"]), None, [0, 2, 3]),
    "named in any order": (NAMES, wide(4, classes=("dog", "cat", "bee", "ant")), None, [3, 1, 0]),
    "named with gaps": ([0, 20, 30], wide(4, classes=[0, 10, 20, 30]), None, [0, 2, 3]),
    "positions of names": ([0, 1, 3], wide(4, classes=list("abcd")), range(4), [0, 1, 3]),
    "array of classes": ([0, 1, 2], wide(4, classes=np.arange(4)), range(4), [0, 1, 2]),
    "no classes": ([0, 1, 2], wide(4, classes=[]), range(4), [0, 1, 2]),
}
# Labels that are no positions, or too many, where nothing says which columns they are.
REFUSED = {
    "names": (NAMES, wide(4), r"name all of them, in the order of the columns: classes=\[\.\.\.\]"),
    "negative": ([-1, 0, 1], wide(5), "there are 3 classes: it must return one column per class"),
    "floats": ([0.0, 1.0, 2.0], wide(5), "there are 3 classes"),
    "narrower": ([0, 1, 2], wide(2), "there are 3 classes: it must return one column per class"),
    "too large": ([0, 1, 7], wide(5), "there are 3 classes: it must return one column per class"),
    "few named": ([0, 1, 2], wide(5, classes=[0, 1, 2]), "there are 3 classes"),
    "not named": (
        NAMES,
        wide(3, classes=["ant", "bee", "dog"]),
        r"not among classes=\['ant', 'bee', 'dog'\] of the network: \['cat'\]",
    ),
    "others named": ([3, 4, 5], wide(3, classes=list("abc")), r"of the network: \[3, 4, 5\]"),
}


@pytest.fixture
def labels(data):
    """Return a function from what y holds for the codes to the labels of the rows."""
    return lambda values: np.asarray(values)[data[1]]


@pytest.mark.parametrize("case", WIDER)
def test_columns_without_rows_are_classes_too(case, data, labels):
    values, net, classes, columns = WIDER[case]
    X, y = data[0], labels(values)
    classes = np.asarray(net.classes if classes is None else classes)
    # The same net that is told of every column by the labels themselves: no code changes.
    twin = wide(len(classes), classes=list(range(len(classes))))
    n_readers = len(READERS) if case == "gaps" else 3
    for scorer in READERS[-n_readers:]:
        fitted = fitted_with(scorer, net, X, y)
        assert_array_equal(fitted.classes_, classes)
        expected = fitted_with(scorer, twin, X, np.asarray(columns)[data[1]])
        assert_array_equal(
            numbers_of(fitted, X, y), numbers_of(expected, X, np.asarray(columns)[data[1]])
        )


@pytest.mark.parametrize("case", REFUSED)
def test_other_columns_are_refused_before_training(case, data, labels):
    values, net, message = REFUSED[case]
    net = net.set_params(callbacks=[NeverTrain()])
    for scorer in SMALLEST_SCORERS:
        with pytest.raises(ValueError, match=message):
            fitted_with(scorer, net, data[0], labels(values))


def test_labels_of_columns_without_rows_are_known_afterwards(data, labels):
    X, y = data[0], labels([0, 2, 4])
    for scorer in (VoGScorer(normalize=None), LabelErrorScorer(n_members=2, n_neighbors=2)):
        fitted = fitted_with(scorer, wide(6), X, y)
        assert np.isfinite(fitted.score_samples(X[:4], [1, 3, 5, 0])).all()


def test_scores_are_those_of_the_probabilities_of_all_columns(data, labels):
    X, y = data[0], labels([0, 2, 4])
    record = TrainingRecord.from_fit(wide(6, callbacks=[RecordTraining(mode="evaluation")]), X, y)
    scorer = TrainingDynamicsScorer(record, mode="evaluation").fit(X, y)
    probability = record.net.predict_proba(X)
    assert probability.shape == (len(X), 6)
    last = record.trajectory.probability[-1]
    assert_allclose(last, probability[np.arange(len(X)), y], rtol=1e-5)
    assert_allclose(scorer.difficulty_, -record.trajectory.probability.mean(axis=0), rtol=1e-5)


@pytest.mark.parametrize("own_recorder", [False, True])
def test_records_of_wider_heads_know_their_rows(own_recorder, data, labels):
    X, y = data[0], labels([0, 2, 4])
    callbacks = [RecordTraining()] if own_recorder else None
    record = TrainingRecord.from_fit(wide(6, callbacks=callbacks), X, y, random_state=0)
    assert_array_equal(record.classes_, range(6))
    assert_array_equal(record.trajectory.targets, y)
    again = TrainingDynamicsScorer(record).fit(X, y)
    assert np.isfinite(again.difficulty_).all()
    with pytest.raises(ValueError, match="other rows"):
        TrainingDynamicsScorer(record).fit(X, np.roll(y, 1))


def test_nets_of_the_users_own_and_ours_have_the_same_classes(data, labels):
    X, y = data[0], labels([0, 2, 4])
    net = wide(6, callbacks=[RecordTraining()], train_split=None).fit(X, y)
    fitted = TrainingDynamicsScorer(FrozenEstimator(net)).fit(X, y)
    assert_array_equal(fitted.classes_, TrainingDynamicsScorer(wide(6)).fit(X, y).classes_)


def test_validation_sets_may_hold_what_the_training_rows_lack(data, labels):
    X, y = data[0], labels([0, 2, 4])
    valid = predefined_split(Dataset(X[:6], np.array([0, 1, 2, 3, 4, 5])))
    record = TrainingRecord.from_fit(wide(6, train_split=valid), X, y)
    assert "valid_loss" in record.net.history[-1]


@pytest.mark.parametrize("backend", ["stacked", "joblib"])
def test_ensembles_have_the_classes_of_all_columns(backend, data, labels):
    X, y = data[0], labels([0, 2, 4])
    ensemble = ResampledEnsemble(
        wide(6), n_members=3, train_size=0.5, backend=backend, keep_members=True, random_state=0
    ).fit(X, y)
    assert ensemble.backend_ == backend
    assert_array_equal(ensemble.classes_, range(6))
    assert ensemble.out_of_sample_probability().shape == (len(X), 6)
    assert ensemble.member_probability(X).shape == (3, len(X), 6)
    assert_array_equal(ensemble.record(0).classes_, range(6))
    assert_array_equal(LabelErrorScorer(ensemble, n_neighbors=None).fit(X, y).classes_, range(6))


def test_folds_that_lack_a_class_have_a_score(data):
    X, y = data[0], np.array(data[1])
    y[0] = 3  # a single row, so that one fold is trained without its class
    net = wide(4)
    for scorer in (TrainingDynamicsScorer(net), LabelErrorScorer(net, n_members=2, n_neighbors=2)):
        filtered = FilteredClassifier(LogisticRegression(), scorer=scorer, drop=0.1)
        scores = cross_val_score(filtered, X, y, cv=KFold(3), error_score="raise")
        assert np.isfinite(scores).all()


def test_filters_drop_rows_of_wider_heads(data, labels):
    X, y = data[0], labels([0, 2, 4])
    kept, labels_kept = DifficultyFilter(TrainingDynamicsScorer(wide(6)), drop=0.25).fit_resample(
        X, y
    )
    assert len(kept) == 36
    assert set(labels_kept) == {0, 2, 4}


def test_a_net_keeps_being_told_its_classes(data, labels):
    net = wide(4, classes=["ant", "bee", "cat", "dog"])
    fitted = VoGScorer(net).fit(data[0], labels(NAMES))
    assert net.classes == ["ant", "bee", "cat", "dog"]
    assert fitted.estimator_.classes == [0, 1, 2, 3]  # it is trained on codes
    assert fitted.estimator_.predict_proba(data[0]).shape == (48, 4)


def test_two_classes_and_one_logit_are_no_wider_head(data):
    X, y = data[0], data[1] % 2
    net = wide(1, criterion=nn.BCEWithLogitsLoss)
    for values in ([0, 1], [3, 7]):
        assert_array_equal(VoGScorer(net).fit(X, np.asarray(values)[y]).classes_, values)


@pytest.mark.parametrize(
    ("y", "n_columns", "classes", "codes"),
    [
        ([5, 3, 5], 6, range(6), [5, 3, 5]),
        ([5, 3, 5], 5, [3, 5], [1, 0, 1]),
        ([5, 3, 5], 2, [3, 5], [1, 0, 1]),
        ([-1, 1, 1], 3, [-1, 1], [0, 1, 1]),
    ],
)
def test_integers_that_fit_are_columns(y, n_columns, classes, codes):
    found = among_columns(*np.unique(y, return_inverse=True), n_columns)
    assert_array_equal(found[0], classes)
    assert_array_equal(found[1], codes)


@pytest.mark.parametrize(
    ("y", "given", "classes", "codes"),
    [
        (["1", "0"], [0, 1], None, "'1'"),  # a text is no number
        ([1, 0], ["0", "1"], [0, 1], [1, 0]),
        ([True, False], [0, 1, 2], [0, 1, 2], [1, 0]),
        ([1.0, 2.0], [1, 2], [1, 2], [0, 1]),
        ([2, 1], ["a", "b"], None, r"\[1, 2\]"),
    ],
)
def test_labels_are_some_of_the_classes_or_their_positions(y, given, classes, codes):
    if classes is None:
        with pytest.raises(ValueError, match=codes):
            encode_among(y, given)
        return
    found = encode_among(y, given)
    assert_array_equal(found[0], classes)
    assert_array_equal(found[1], codes)
