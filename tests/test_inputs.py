# SPDX-License-Identifier: BSD-3-Clause
"""Labels and inputs of every kind are taken, or refused before training."""

from collections import UserDict, namedtuple

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from small_nets import BagOfTokens, NeverTrain, Tokens, TwoLayers, make_net
from torch.utils.data import Dataset

from sklearn_difficulty import (
    DifficultyFilter,
    FilteredClassifier,
    LabelErrorScorer,
    PredictionDepthScorer,
    TrainingDynamicsScorer,
    TrainingRecord,
    VoGScorer,
)
from sklearn_difficulty.model_selection import benchmark_scorers, cross_val_difficulty
from sklearn_difficulty.training import ResampledEnsemble, default_network

pytestmark = [
    pytest.mark.usefixtures("one_thread", "seeded"),
    pytest.mark.filterwarnings("ignore:.*have no defined difficulty:UserWarning"),
]
FEW = {"n_members": 2, "train_size": 0.5, "random_state": 0}
DYNAMICS = TrainingDynamicsScorer(random_state=0)
MEMBERS = LabelErrorScorer(n_neighbors=2, **FEW)
SCORERS = [
    DYNAMICS,
    VoGScorer(checkpoints=2, random_state=0),
    PredictionDepthScorer(n_neighbors=3, random_state=0),
    MEMBERS,
]


def on(net, scorer):
    return clone(scorer).set_params(estimator=net)


# -------------------------------------------------------------------- inputs of several parts

Parts = namedtuple("Parts", "x y")


class Items(Dataset):
    """The items that a function of the row number makes."""

    def __init__(self, make, n=48):
        self.make, self.n = make, n

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        if index >= self.n:
            raise IndexError
        return self.make(index)


class Pair(TwoLayers):
    """Takes a pair of halves of a row."""

    def forward(self, halves):
        return super().forward(torch.cat([halves[0], halves[1]], dim=1))


class Keywords(TwoLayers):
    def forward(self, left, right):
        return super().forward(torch.cat([left, right], dim=1))


class Nested(TwoLayers):
    def forward(self, left, more):
        return super().forward(torch.cat([left, more["right"][0]], dim=1))


SEVERAL = {
    "tuple": (Pair, lambda a, b, y: ((a, b), y)),
    "list": (Pair, lambda a, b, y: ([a, b], y)),
    "dict": (Keywords, lambda a, b, y: ({"left": a, "right": b}, y)),
    "mapping": (Keywords, lambda a, b, y: (UserDict(left=a, right=b), y)),
    "nested": (Nested, lambda a, b, y: ({"left": a, "more": {"right": (b,)}}, y)),
    "named": (Pair, lambda a, b, y: Parts((a, b), y)),
    "label of shape (1,)": (Pair, lambda a, b, y: ((a, b), torch.tensor([y]))),
    "strings": (Pair, lambda a, b, y: ((a, b), "abc"[y])),
}


@pytest.mark.parametrize("kind", SEVERAL)
@pytest.mark.parametrize("scorer", SCORERS, ids=lambda s: type(s).__name__)
def test_items_with_inputs_of_several_parts(kind, scorer, data):
    X, y = data
    X = torch.tensor(X)
    module, make = SEVERAL[kind]
    items = Items(lambda i: make(X[i, :2], X[i, 2:], int(y[i])))
    scorer = on(make_net(module=module, max_epochs=2), scorer)
    if hasattr(scorer, "backend"):
        scorer.set_params(backend="joblib")
    found = clone(scorer).fit(items)
    expected = clone(scorer).set_params(estimator__module=TwoLayers)
    expected.fit(X.numpy(), y)
    if scorer.estimator.module is Pair:  # probes find the same layers
        assert_allclose(found.difficulty_, expected.difficulty_, rtol=1e-4, atol=1e-5)
    assert found.score_samples(Items(items.make, 5)).shape == (5,)


BAD_ITEMS = {
    "three": (lambda x, y: (x, y, 1.0), "does not yield"),
    "text": (lambda x, y: ("words", y), "holds a str.*collate_fn"),
    "one-hot": (lambda x, y: (x, torch.eye(3)[y]), "argmax"),
    "mixed labels": (lambda x, y: (x, ["a", 1, 2][y]), "mixes strings"),
    "no label": (lambda x, y: (x, float("nan")), r"NaN or inf in 48 row\(s\)"),
    "dict label": (lambda x, y: (x, {"a": y}), "labels of the type dict, first in row 0"),
}


@pytest.mark.parametrize(("make", "message"), BAD_ITEMS.values(), ids=BAD_ITEMS)
def test_items_that_cannot_be_read_are_refused_before_training(make, message, data):
    X, y = data
    net = make_net(callbacks=[NeverTrain()])
    with pytest.raises((TypeError, ValueError), match=message):
        on(net, DYNAMICS).fit(Items(lambda i: make(torch.tensor(X[i]), int(y[i]))))
    with pytest.raises(ValueError, match=r"yields 3 values a row.*\(\(a, b\), y\)"):
        on(net, DYNAMICS).fit(Items(lambda i: (X[i], 0, 1)), y)


def test_errors_of_items_keep_their_own_message_and_get_a_note(data):
    X, _ = data
    for make, error, item in (
        (lambda i: (X[i, : 2 + i % 2], 0), RuntimeError, ""),
        (lambda i: (X[i], 1 // (i != 20)), ZeroDivisionError, "in item 20 of the Items, "),
    ):
        with pytest.raises(error) as caught:
            on(make_net(), DYNAMICS).fit(Items(make))
        assert caught.value.__notes__ == [f"This happened {item}in rows 0 to 47."]


def test_a_dataset_must_be_countable():
    class Endless(Dataset):
        def __getitem__(self, index):
            return torch.zeros(4), 0

    with pytest.raises(TypeError, match="without __len__"):
        on(make_net(), DYNAMICS).fit(Endless())


# ----------------------------------------------------------------------------- numbers out of range


@pytest.mark.parametrize("scorer", [DYNAMICS, MEMBERS], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize(("token", "module"), [(-1, Tokens), (20, Tokens), (20, BagOfTokens)])
def test_tokens_without_an_embedding_are_named_before_training(scorer, token, module):
    X, y = np.arange(48).reshape(16, 3) % 20, np.arange(16) % 2
    net = make_net(module=module, callbacks=[NeverTrain()])
    wrong = X.copy()
    wrong[11, 2] = token
    for rows in (wrong, {"tokens": wrong}):
        with pytest.raises(ValueError, match=r"does not take rows .*\b11\b.*integers: .*Token ids"):
            on(net, scorer).fit(rows, y)
    fitted = on(make_net(module=module, max_epochs=1), scorer).fit(X, y)
    with pytest.raises(ValueError, match="Token ids must lie from 0"):
        fitted.score_samples(wrong, y)


@pytest.mark.parametrize("scorer", [DYNAMICS, MEMBERS], ids=lambda s: type(s).__name__)
def test_values_beyond_float32_are_named_before_training(scorer, data):
    X, y = data
    X = X.astype(np.float64)
    fitted = on(make_net(max_epochs=1), scorer).fit(X, y)
    X[[7, 9], 1] = 1e300
    net = make_net(callbacks=[NeverTrain()])
    for call in (lambda: on(net, scorer).fit(X, y), lambda: fitted.score_samples(X, y)):
        with pytest.raises(ValueError, match=r"float32 .* in 2 row\(s\), first \[7, 9\]"):
            call()


def test_a_network_in_float64_takes_them(data):
    class Double(TwoLayers):
        def __init__(self):
            super().__init__()
            self.double()

        def forward(self, x):
            return super().forward(x / x.abs().amax(dim=1, keepdim=True))

    X, y = data
    scores = (
        on(make_net(module=Double, max_epochs=1), DYNAMICS)
        .fit(X.astype(float) * 1e300, y)
        .difficulty_
    )
    assert np.isfinite(scores).all()


def test_other_column_names_come_before_values(data):
    X, y = data
    frame = pd.DataFrame(X, columns=list("abcd"))
    fitted = on(make_net(max_epochs=1), DYNAMICS).fit(frame, y)
    wrong = frame.rename(columns={"a": "z"})
    wrong.iloc[0, 0] = np.nan
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.score_samples(wrong, y)
    with pytest.raises(ValueError, match="feature"):
        fitted.score_samples(wrong.iloc[:, :2], y)


# --------------------------------------------------------------------------- labels at every door


def doors(X, net):
    """Yield all that takes labels to train with or to read probabilities by."""
    dynamics, members = on(net, DYNAMICS), on(net, MEMBERS)
    logits = np.random.default_rng(0).normal(size=(2, len(X), 3))
    classifier = LogisticRegression()
    yield dynamics.fit
    yield members.fit
    yield TrainingDynamicsScorer().fit
    yield lambda X, y: LabelErrorScorer("precomputed").fit(np.full((len(X), 3), 1 / 3), y)
    yield ResampledEnsemble(net, **FEW).fit
    yield FilteredClassifier(classifier, scorer=dynamics, drop=0.1).fit
    yield DifficultyFilter(dynamics, drop=0.1).fit_resample
    yield lambda X, y: TrainingRecord.from_fit(net, X, y)
    yield lambda X, y: TrainingRecord.from_logits(logits, y)
    yield lambda X, y: cross_val_difficulty(dynamics, X, y, cv=2)
    yield lambda X, y: benchmark_scorers(X, y, {"a": dynamics}, n_repeats=1)
    yield default_network


BAD_LABELS = {
    "None": (None, r"no label .* in 1 row\(s\), first \[5\]"),
    "NaN": (np.nan, r"no label .* in 1 row\(s\), first \[5\]"),
    "NA": (pd.NA, r"no label .* in 1 row\(s\), first \[5\]"),
    "NaT": (pd.NaT, r"no label .* in 1 row\(s\), first \[5\]"),
    "integer": (1, "mixes strings and other labels.*row 5 holds 1"),
    "bytes": (b"a", "mixes strings"),
}


@pytest.mark.parametrize(("label", "message"), BAD_LABELS.values(), ids=BAD_LABELS)
def test_bad_labels_are_refused_before_training(label, message, data):
    X, codes = data
    y = np.array(list("abc"), dtype=object)[codes]
    y[5] = label
    for fit in doors(X, make_net(callbacks=[NeverTrain()])):
        for labels in (y, y.tolist(), pd.Series(y, index=np.arange(48) * 2)):
            with pytest.raises(ValueError, match=message):
                fit(X, labels)


KINDS_OF_LABELS = {
    "strings": np.array(list("abc")),
    "objects": np.array(list("abc"), dtype=object),
    "days": np.array(["2020-01-01", "2020-01-02", "2020-02-01"], dtype="M8[D]"),
    "floats": np.array([0.0, 1.0, 7.0]),
    "big-endian": np.array([3, 5, 9], dtype=">i4"),
}


@pytest.mark.parametrize("classes", KINDS_OF_LABELS.values(), ids=KINDS_OF_LABELS)
def test_labels_of_any_kind_give_the_same_scores(classes, data):
    X, codes = data
    net = make_net(max_epochs=2)
    y = classes[codes]
    series = pd.Series(y.astype(y.dtype.newbyteorder("=")), index=np.arange(48)[::-1])
    for scorer in (on(net, DYNAMICS), on(net, MEMBERS)):
        expected = clone(scorer).fit(X, codes)
        for labels in (y, list(y), series, series.astype("category")):
            found = clone(scorer).fit(X, labels)
            assert_array_equal(found.difficulty_, expected.difficulty_)
            assert_array_equal(found.classes_, classes)
            assert_array_equal(found.score_samples(X, labels), expected.score_samples(X, codes))


def test_labels_of_another_type_than_in_fit(data):
    X, y = data
    fitted = on(make_net(max_epochs=1), DYNAMICS).fit(X, y)
    expected = fitted.score_samples(X, y)
    for same in (y.astype(float), y.astype(object), pd.Series(y, dtype="Int64"), torch.tensor(y)):
        assert_array_equal(fitted.score_samples(X, same), expected)
    with pytest.raises(ValueError, match=r"y holds strings, such as '0', .*trained on integers"):
        fitted.score_samples(X, y.astype(str))
    with pytest.raises(ValueError, match=r"not trained on: \[0.5\]"):
        fitted.score_samples(X, y / 2)
    with pytest.raises(TypeError, match="generator, which can be read once"):
        fitted.score_samples(X, (label for label in y))
    with pytest.raises(ValueError, match="single value"):
        fitted.score_samples(X, torch.tensor(1))


def test_groups_are_any_labels_and_checked_like_them(data):
    X, y = data
    ensemble = ResampledEnsemble(make_net(max_epochs=1), **FEW)
    groups = np.arange(48) // 4
    expected = clone(ensemble).fit(X, y, groups=groups).masks_
    names = [f"g{g:02}" for g in groups]
    for same in (names, pd.Series(groups, index=groups), pd.Series(names).astype("category")):
        assert_array_equal(clone(ensemble).fit(X, y, groups=same).masks_, expected)
    with pytest.raises(ValueError, match=r"groups contains no label .* first \[0\]"):
        ensemble.fit(X, y, groups=[None, *names[1:]])
