# SPDX-License-Identifier: BSD-3-Clause
"""Scores out of fold, and scorers compared, against scorers whose answers are known."""

import time
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    RepeatedKFold,
    ShuffleSplit,
    StratifiedKFold,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier, NeuralNetRegressor
from torch import nn
from torch.utils.data import TensorDataset

from sklearn_difficulty import (
    ConsistencyScorer,
    MemorizationScorer,
    TrainingDynamicsScorer,
    TrainingRecord,
)
from sklearn_difficulty.datasets import make_label_noise
from sklearn_difficulty.model_selection import benchmark_scorers, cross_val_difficulty
from sklearn_difficulty.training import MLP, ResampledEnsemble

N = 60
IDS = np.arange(N, dtype=np.float64)
ROWS = np.column_stack([IDS, np.cos(IDS)])
NAMES = np.array(["ash", "beech", "cedar"])[np.arange(N) % 3]


class Fold(BaseEstimator):
    """Scores a row by its number, its label and the rows that the fold was trained on."""

    def __init__(self, say="number"):
        self.say = say

    def fit(self, X, y):
        self.ids_, self.y_ = X[:, 0].astype(int), y
        return self

    def score_samples(self, X, y=None):
        ids = X[:, 0].astype(int)
        if self.say == "number":
            return ids
        if self.say == "seen":
            return np.isin(ids, self.ids_)
        if self.say == "label":
            return np.searchsorted(np.unique(NAMES), y)
        if self.say == "class size":
            return (self.y_ == np.asarray(y)[:, None]).sum(axis=1)
        return ids - np.array([self.ids_[self.y_ == label].mean() for label in y])


class Grouped(Fold):
    """Scores a row by the number of groups that the fold was trained on."""

    def fit(self, X, y, groups=None):
        self.n_groups_ = 0 if groups is None else len(np.unique(groups))
        assert groups is None or len(groups) == len(y)
        return super().fit(X, y)

    def score_samples(self, X, y=None):
        return np.full(len(X), self.n_groups_)


def net(cls=NeuralNetClassifier, n_outputs=3, **settings):
    return cls(
        MLP,
        module__n_inputs=2,
        module__n_outputs=n_outputs,
        module__hidden_units=(4,),
        criterion=nn.CrossEntropyLoss if cls is NeuralNetClassifier else nn.MSELoss,
        max_epochs=2,
        verbose=0,
        **settings,
    )


# ----------------------------------------------------------------------------- the rows' own scores


@pytest.mark.parametrize("cv", [None, 2, 5, KFold(4, shuffle=True, random_state=3), N])
def test_scores_are_in_the_order_of_the_rows(cv):
    # A fold per row tests every class on its own, which no stratified folds can do.
    cv = KFold(N) if cv == N else cv
    order = np.random.default_rng(0).permutation(N)
    found = cross_val_difficulty(Fold(), ROWS[order], NAMES[order], cv=cv, random_state=0)
    assert found.dtype == np.float32
    assert_array_equal(found, order)


def test_no_row_is_scored_by_a_fold_that_saw_it():
    found = cross_val_difficulty(Fold("seen"), ROWS, NAMES, random_state=0)
    assert_array_equal(found, 0)


def test_rows_are_scored_with_their_given_labels():
    found = cross_val_difficulty(Fold("label"), ROWS, NAMES, random_state=1)
    assert_array_equal(found, np.arange(N) % 3)


def test_equals_the_loop_by_hand():
    expected = np.empty(N)
    for train, test in StratifiedKFold(3, shuffle=True, random_state=7).split(ROWS, NAMES):
        for i in test:
            of_class = [t for t in train if NAMES[t] == NAMES[i]]
            expected[i] = i - np.mean(of_class)
    found = cross_val_difficulty(Fold("distance"), ROWS, NAMES, cv=3, random_state=7)
    assert_allclose(found, expected, rtol=1e-6)
    given = StratifiedKFold(3, shuffle=True, random_state=7)
    assert_array_equal(found, cross_val_difficulty(Fold("distance"), ROWS, NAMES, cv=given))
    splits = given.split(ROWS, NAMES)
    assert_array_equal(found, cross_val_difficulty(Fold("distance"), ROWS, NAMES, cv=splits))


def test_the_seed_draws_the_folds():
    one, same, other = (
        cross_val_difficulty(Fold("distance"), ROWS, NAMES, random_state=seed) for seed in (0, 0, 1)
    )
    assert_array_equal(one, same)
    assert (one != other).any()


def test_folds_are_stratified():
    # 40 rows of one class, 20 of the other, in sorted order: four fifths of each are trained on.
    y = np.repeat([0, 1], [40, 20])
    found = cross_val_difficulty(Fold("class size"), ROWS, y)
    assert_array_equal(found, np.where(y == 0, 32, 16))


def test_folds_of_a_regressor_are_not_stratified():
    # Whole numbers, each of them once, would be sixty classes of one row.
    scorer = TrainingDynamicsScorer(
        net(NeuralNetRegressor, 1), measure="loss", checkpoints=1, random_state=0
    )
    y = IDS.astype(np.float32)[:, None]
    found = cross_val_difficulty(scorer, ROWS.astype(np.float32), y, cv=2, random_state=0)
    assert np.isfinite(found).all()
    continuous = cross_val_difficulty(Fold(), ROWS, IDS + 0.5)
    assert_array_equal(continuous, IDS)


@pytest.mark.parametrize("measure", ["residual", "loss"])
def test_whole_numbers_are_no_classes_for_a_scorer_of_residuals(measure, one_thread):
    # Sixty classes of one row each: no fold could hold all of them.
    ages = IDS.astype(np.int64) + 20
    estimator = None if measure == "residual" else net(NeuralNetRegressor, 1)
    scorer = TrainingDynamicsScorer(estimator, measure=measure, checkpoints=1, random_state=0)
    found = cross_val_difficulty(scorer, ROWS.astype(np.float32), ages, cv=2, random_state=0)
    assert np.isfinite(found).all()


def test_splits_may_be_masks():
    even = np.arange(N) % 2 == 0
    found = cross_val_difficulty(Fold("seen"), ROWS, NAMES, cv=[(even, ~even), (~even, even)])
    assert_array_equal(found, 0)


# ------------------------------------------------------------------------------------ kinds of data


@pytest.mark.parametrize(
    "X",
    [
        ROWS.tolist(),
        torch.tensor(ROWS),
        pd.DataFrame(ROWS, columns=["a", "b"], index=IDS[::-1]),
        np.stack([ROWS, ROWS], axis=2),
    ],
    ids=["list", "tensor", "frame", "rank 3"],
)
def test_kinds_of_rows(X):
    class Flat(Fold):
        def fit(self, X, y):
            return super().fit(X.reshape(len(X), -1), y)

        def score_samples(self, X, y=None):
            return super().score_samples(X.reshape(len(X), -1), y)

    found = cross_val_difficulty(Flat("distance"), X, NAMES, random_state=0)
    assert_array_equal(found, cross_val_difficulty(Fold("distance"), ROWS, NAMES, random_state=0))


def test_rows_in_a_dict():
    class OfDict(Fold):
        def fit(self, X, y):
            return super().fit(X["tree"], y)

        def score_samples(self, X, y=None):
            assert X["height"].shape == (len(y),)
            return super().score_samples(X["tree"], y)

    X = {"tree": pd.DataFrame(ROWS), "height": IDS.tolist()}
    assert_array_equal(cross_val_difficulty(OfDict(), X, NAMES), IDS)


def test_rows_in_a_dataset():
    X, y = torch.tensor(ROWS, dtype=torch.float32), torch.arange(N) % 3
    scorer = TrainingDynamicsScorer(net(), random_state=0)
    found = cross_val_difficulty(scorer, TensorDataset(X, y), None, cv=2, random_state=0)
    of_arrays = cross_val_difficulty(scorer, X, y, cv=2, random_state=0)
    assert_allclose(found, of_arrays, rtol=1e-5)


@pytest.mark.parametrize(
    "y",
    [
        NAMES.tolist(),
        NAMES.astype(object),
        pd.Series(NAMES, index=IDS[::-1]),
        pd.Series(NAMES, dtype="category"),
        np.arange(N) % 3,
        torch.arange(N) % 3,
        pd.Series(np.arange(N) % 3, dtype="Int64"),
        np.arange(N) % 3 / 1.0,
    ],
    ids=["list", "object", "series", "category", "int", "tensor", "Int64", "float"],
)
def test_kinds_of_labels(y):
    found = cross_val_difficulty(Fold("distance"), ROWS, y, random_state=0)
    assert_array_equal(found, cross_val_difficulty(Fold("distance"), ROWS, NAMES, random_state=0))


def test_labels_may_be_bools():
    assert_array_equal(cross_val_difficulty(Fold("class size"), ROWS, IDS < 30), 24)


# ---------------------------------------------------------------------------------- real networks


def test_number_of_jobs_changes_nothing(flips):
    X, y, _, _ = flips
    scorer = TrainingDynamicsScorer(random_state=0)
    scorer.set_params(estimator=net().set_params(module__n_inputs=X.shape[1], module__n_outputs=10))
    before = torch.get_num_threads()
    one = cross_val_difficulty(scorer, X, y, cv=3, random_state=0)
    two = cross_val_difficulty(scorer, X, y, cv=3, random_state=0, n_jobs=2)
    assert_array_equal(one, two)
    with joblib.parallel_config(backend="threading", n_jobs=3):
        assert_array_equal(one, cross_val_difficulty(scorer, X, y, cv=3, random_state=0))
    assert torch.get_num_threads() == before
    assert not hasattr(scorer, "difficulty_")


@pytest.fixture(scope="module")
def flips():
    X, y = load_digits(return_X_y=True)
    X, y = (X[:500] / 16).astype(np.float32), y[:500]
    return X, *make_label_noise(y, 0.1, random_state=0), y


def test_finds_flipped_labels(flips, one_thread):
    X, y, is_flipped, _ = flips
    found = cross_val_difficulty(TrainingDynamicsScorer(random_state=0), X, y, cv=2, random_state=0)
    assert is_flipped[np.argsort(found)[-50:]].mean() > 0.7


def test_an_ensemble_can_be_the_scorer(one_thread):
    scorer = ConsistencyScorer(net(), n_members=2, train_size=0.5, random_state=0)
    found = cross_val_difficulty(
        scorer, ROWS.astype(np.float32), NAMES, cv=2, groups=np.arange(N) // 5, random_state=0
    )
    assert np.isfinite(found).all()


# ------------------------------------------------------------------------------------------- groups


@pytest.mark.parametrize("cv", [5, GroupKFold(4), LeaveOneGroupOut()])
@pytest.mark.parametrize("y", [NAMES, IDS + 0.5], ids=["classes", "numbers"])
def test_groups_are_kept_together(cv, y):
    groups = np.array([f"g{g}" for g in np.arange(N) // 6])

    class SeenGroup(Fold):
        def score_samples(self, X, y=None):
            return np.isin(X[:, 0].astype(int) // 6, self.ids_ // 6)

    found = cross_val_difficulty(SeenGroup(), ROWS, y, cv=cv, groups=groups, random_state=0)
    assert_array_equal(found, 0)


def test_groups_reach_a_fit_that_takes_them():
    found = cross_val_difficulty(Grouped(), ROWS, NAMES, groups=IDS // 6, cv=LeaveOneGroupOut())
    assert_array_equal(found, 9)
    assert_array_equal(cross_val_difficulty(Grouped(), ROWS, NAMES), 0)


@pytest.mark.filterwarnings("ignore:The groups parameter is ignored")
@pytest.mark.parametrize("cv", [KFold(4), [(IDS < 33, IDS >= 33), (IDS >= 33, IDS < 33)]])
def test_a_cv_that_tears_groups_is_refused(cv):
    with pytest.raises(ValueError, match=r"group\(s\) \[.*takes no notice of groups.*GroupKFold"):
        cross_val_difficulty(Fold(), ROWS, NAMES, cv=cv, groups=IDS.astype(int) // 6)


def test_groups_of_another_length():
    with pytest.raises(ValueError, match="groups must hold one value for every row: 3 for 60"):
        cross_val_difficulty(Fold(), ROWS, NAMES, groups=[1, 2, 3])


# ---------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("cv", "message"),
    [
        (ShuffleSplit(2, test_size=0.5, random_state=0), r"leaves out \d+ row.*more than once"),
        (RepeatedKFold(n_splits=2, n_repeats=2), r"leaves out 0 .* tests 60 more than once"),
        ([(IDS >= 5, IDS < 5)], r"leaves out 55 row\(s\), first \[5, 6, 7, 8, 9\]"),
        ([(IDS >= 0, IDS >= 0)], r"fold 1 of 1 holds 60 of the rows that it tests"),
        ("five", "cv"),
        (1, "n_splits"),
    ],
)
def test_rows_are_tested_once_by_networks_that_did_not_see_them(cv, message):
    with pytest.raises(ValueError, match=message):
        cross_val_difficulty(Fold(), ROWS, NAMES, cv=cv)


@pytest.mark.filterwarnings("ignore:The least populated class")
def test_a_class_without_training_rows_is_named():
    y = np.where(IDS == 17, "yew", NAMES)
    with pytest.raises(ValueError, match=r"class\(es\) \['yew'\] .* fold \d of 5"):
        cross_val_difficulty(Fold(), ROWS, y)


def trained_scorers():
    X, y = ROWS.astype(np.float32), np.arange(N) % 3
    fitted = net().fit(X, y)
    return [
        TrainingDynamicsScorer(TrainingRecord.from_fit(net(), X, y)),
        TrainingDynamicsScorer(FrozenEstimator(fitted)),
        ConsistencyScorer(ResampledEnsemble(net(), n_members=2).fit(X, y)),
        TrainingDynamicsScorer("precomputed"),
    ]


@pytest.mark.parametrize("i", range(4))
def test_trained_networks_are_refused(i):
    scorer = trained_scorers()[i]
    with pytest.raises(ValueError, match=r"already trained; cross_val_difficulty .* pass the net"):
        cross_val_difficulty(scorer, None, None)
    with pytest.raises(ValueError, match=r"already trained; benchmark_scorers .* pass the net"):
        benchmark_scorers(None, None, {"a": scorer})


@pytest.mark.parametrize(
    ("scorer", "error", "message"),
    [
        (TrainingDynamicsScorer(measure="forgetting"), ValueError, "no score_samples.*no meaning"),
        (MemorizationScorer(), ValueError, "Memorization has no meaning for rows"),
        (ConsistencyScorer(keep_members=False), ValueError, "Fit with keep_members=True"),
        (StandardScaler(), ValueError, "StandardScaler has no score_samples"),
        (make_pipeline(StandardScaler()), ValueError, "StandardScaler has no score_samples"),
        ("confidence", TypeError, "Cannot clone"),
        (TrainingDynamicsScorer, TypeError, "Cannot clone"),
    ],
)
def test_scorers_without_scores_of_unseen_rows_are_refused_before_data_are_read(
    scorer, error, message
):
    with pytest.raises(error, match=message):
        cross_val_difficulty(scorer, None, None)


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (ROWS, None, "y is None"),
        (ROWS, NAMES[:50], "60 rows and 50 labels"),
        (np.where(ROWS == 4, np.nan, ROWS), NAMES, r"NaN or inf in 1 row\(s\), first \[4\]"),
    ],
)
def test_bad_data(X, y, message):
    for call in (
        lambda: cross_val_difficulty(Fold(), X, y),
        lambda: benchmark_scorers(X, y, {"a": Knows(NAMES)}),
    ):
        with pytest.raises(ValueError, match=message):
            call()


# ------------------------------------------------------------------------- what a fold has to say


class Warns(Fold):
    def score_samples(self, X, y=None):
        undefined = X[:, 0] == 3
        if undefined.any():
            warnings.warn("one row has no score", RuntimeWarning, stacklevel=2)
        warnings.warn("always", UserWarning, stacklevel=2)
        return np.where(undefined, np.nan, X[:, 0])


@pytest.mark.parametrize("cv", [KFold(3)])
def test_warnings_name_their_folds(cv):
    with pytest.warns() as caught:
        found = cross_val_difficulty(Warns(), ROWS, NAMES, cv=cv)
    assert_array_equal(np.flatnonzero(np.isnan(found)), [3])
    told = {(w.category, str(w.message)) for w in caught}
    assert told == {
        (RuntimeWarning, "Fold 1 of 3, rows numbered within the fold: one row has no score"),
        (UserWarning, "Fold 1, 2, 3 of 3, rows numbered within the fold: always"),
    }
    assert {w.filename for w in caught} == {__file__}


def test_errors_name_their_fold():
    class Fails(Fold):
        def fit(self, X, y):
            if 0 not in X[:, 0]:
                raise RuntimeError("no")
            return super().fit(X, y)

    with pytest.raises(RuntimeError, match="no") as caught:
        cross_val_difficulty(Fails(), ROWS, NAMES, cv=KFold(3))
    assert caught.value.__notes__ == ["This happened in fold 1 of 3."]


# -------------------------------------------------------------------------------- benchmark_scorers


class Knows(BaseEstimator):
    """Knows the right labels, and says so of all, none, the first half or none of the flips."""

    seen = []

    def __init__(self, truth, what="all", seconds=0):
        self.truth = truth
        self.what = what
        self.seconds = seconds

    def fit(self, X, y):
        time.sleep(self.seconds)
        Knows.seen.append((self.what, y))
        is_flipped = y != self.truth
        if self.what == "all":
            self.difficulty_ = is_flipped.astype(np.float32)
        elif self.what == "none":
            self.difficulty_ = -is_flipped.astype(np.float32)
        elif self.what == "half":
            first = np.cumsum(is_flipped) <= is_flipped.sum() // 2
            self.difficulty_ = (is_flipped & first).astype(np.float32)
        elif self.what == "undefined":
            self.difficulty_ = np.where(is_flipped, np.nan, IDS).astype(np.float32)
        elif self.what == "position":
            self.difficulty_ = np.arange(len(y), dtype=np.float32)
        return self


@pytest.fixture(autouse=True)
def _forget():
    Knows.seen.clear()


def test_table_by_hand():
    scorers = {what: Knows(NAMES, what) for what in ("all", "half", "none", "undefined")}
    table = benchmark_scorers(ROWS, NAMES, scorers, rate=0.2, n_repeats=2, random_state=0)
    assert table["name"].tolist() == ["all", "half", "none", "undefined"]
    # Of 12 flips in 60 rows half are on top. All other rows are tied, 6 flips among 54 of them: a
    # list of 12 gets 6 of them and 6/9 of a flip more, and no cut comes before all 60.
    assert_allclose(table["recall"], [1, (6 + 6 / 9) / 12, 0, 0], rtol=1e-12)
    assert_allclose(table["average_precision"][:2], [1, 1 / 2 + 12 / 60 / 2], rtol=1e-12)
    # Flips without a score are tied with the easiest one of the 48 other rows.
    assert_allclose(table["auroc"], [1, 1 / 2 + 1 / 4, 0, 1 / 48 / 2], atol=1e-12)
    for measure in ("recall", "average_precision", "auroc"):
        assert_allclose(table[f"{measure}_se"][:3], 0, atol=1e-12)


def test_means_and_standard_errors_by_hand():
    table = benchmark_scorers(
        ROWS, NAMES, {"p": Knows(NAMES, "position")}, rate=0.1, n_repeats=4, random_state=1
    )
    recalls = [(y != NAMES)[-6:].sum() / 6 for _, y in Knows.seen]
    assert len(set(recalls)) > 1
    assert_allclose(table["recall"], np.mean(recalls))
    deviations = sum((r - np.mean(recalls)) ** 2 for r in recalls)
    assert_allclose(table["recall_se"], (deviations / 3 / 4) ** 0.5)
    aurocs = []
    for _, y in Knows.seen:
        flipped, right = np.flatnonzero(y != NAMES), np.flatnonzero(y == NAMES)
        aurocs.append((flipped[:, None] > right).mean())
    assert_allclose(table["auroc"], np.mean(aurocs))
    assert_allclose(table["auroc_se"], np.std(aurocs, ddof=1) / 2)


def test_all_scorers_get_the_same_flips_in_a_repeat_and_others_in_the_next():
    scorers = [("a", Knows(NAMES, "all")), ("b", Knows(NAMES, "none"))]
    before = NAMES.copy()
    benchmark_scorers(ROWS, NAMES, scorers, rate=0.1, n_repeats=3, random_state=0)
    assert [what for what, _ in Knows.seen] == ["all", "none"] * 3
    labels = [y for _, y in Knows.seen]
    for repeat in range(3):
        assert_array_equal(labels[2 * repeat], labels[2 * repeat + 1])
        assert (labels[2 * repeat] != NAMES).sum() == 6
    assert (labels[0] != labels[2]).any()
    assert_array_equal(NAMES, before)


def test_the_seed_draws_the_flips():
    for seed in (0, 0, 1):
        benchmark_scorers(ROWS, NAMES, {"a": Knows(NAMES)}, n_repeats=1, random_state=seed)
    one, same, other = (y for _, y in Knows.seen)
    assert_array_equal(one, same)
    assert (one != other).any()


def test_kinds_of_flips():
    y = np.arange(N) % 3
    settings = {"n_repeats": 1, "random_state": 0}
    benchmark_scorers(ROWS, y, {"a": Knows(y)}, kind="pair", **settings)
    matrix = [[4, 0, 1], [0, 1, 0], [0, 0, 1]]
    benchmark_scorers(
        ROWS, y, {"a": Knows(y)}, kind="matrix", rate=None, noise_matrix=matrix, **settings
    )
    # Three rows that look like those of the next class.
    X = ((y + (IDS < 3)) % 3 == np.arange(3)[:, None]).T.astype(float)
    benchmark_scorers(X, y, {"a": Knows(y)}, kind="instance", **settings)
    (_, pair), (_, of_matrix), (_, instance) = Knows.seen
    assert_array_equal(pair[pair != y], (y[pair != y] + 1) % 3)
    assert (y[of_matrix != y] == 0).all()
    assert (of_matrix != y).sum() == 4
    assert_array_equal(instance, np.where(IDS < 3, (y + 1) % 3, y))


PRICES = np.round(np.exp(IDS / 20), 2)


class KnowsTargets(Knows):
    """The same of targets, which it knows to be such."""

    _task = "regression"

    def fit(self, X, y):
        Knows.seen.append((self.what, y))
        self.difficulty_ = (y != self.truth).reshape(N, -1).any(axis=1).astype(np.float32)
        return self


@pytest.mark.parametrize(
    ("y", "settings", "n_wrong"),
    [
        (PRICES, {"rate": 0.1}, 6),
        (PRICES, {"rate": 0.1, "kind": "unit", "level": 10}, 6),
        (IDS.astype(int), {"rate": 0.2, "kind": "shift", "level": -3}, 12),
        (PRICES, {"rate": 0.5, "kind": "gaussian", "level": 20}, 30),
        (np.c_[PRICES, -PRICES], {"rate": 0.05}, None),
    ],
)
def test_targets_that_are_made_wrong(y, settings, n_wrong):
    scorers = {"a": KnowsTargets(y), "b": KnowsTargets(y)}
    table = benchmark_scorers(ROWS, y, scorers, n_repeats=2, random_state=0, **settings)
    assert_allclose(table["average_precision"], 1)
    given = [targets for _, targets in Knows.seen]
    assert_array_equal(given[0], given[1])
    assert (given[0] != given[2]).any()
    wrong = given[0] != y
    if n_wrong is None:
        assert_array_equal(wrong.sum(axis=0), [3, 3])
    else:
        assert wrong.sum() == n_wrong
    if settings.get("kind") == "unit":
        assert_allclose(given[0][wrong], 10 * y[wrong])


def test_scorers_of_a_regression_are_compared(one_thread):
    X = np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32)
    measures = ("residual", "residual_deviation")
    scorers = {m: TrainingDynamicsScorer(measure=m, random_state=0) for m in measures}
    table = benchmark_scorers(X, X[:, 0] + 2, scorers, rate=0.1, n_repeats=1, random_state=0)
    assert table["average_precision"][0] > 0.9


@pytest.mark.parametrize(
    ("scorers", "settings", "message"),
    [
        ({"a": KnowsTargets(IDS)}, {"kind": "pair"}, "'kind' parameter of make_target_noise"),
        ({"a": KnowsTargets(IDS)}, {"kind": "unit"}, "'level' parameter of make_target_noise"),
        ({"a": KnowsTargets(IDS)}, {"level": 3}, "level has no use with kind='symmetric'"),
        ({"a": KnowsTargets(IDS)}, {"noise_matrix": [[1]]}, "noise_matrix is for classes"),
        ({"a": KnowsTargets(IDS)}, {"rate": 0.001}, "is not a single one"),
        ({"a": Knows(IDS)}, {"level": 3}, "level is for targets"),
        (
            {"a": KnowsTargets(IDS), "b": Knows(IDS)},
            {},
            r"\['a'\] are for regression and \['b'\] are for classification",
        ),
    ],
)
def test_what_does_not_go_with_targets(scorers, settings, message):
    with pytest.raises(ValueError, match=message):
        benchmark_scorers(ROWS, IDS.astype(int), scorers, **settings)


def test_a_single_repeat_has_no_standard_error():
    table = benchmark_scorers(ROWS, NAMES, {"a": Knows(NAMES)}, n_repeats=1)
    assert np.isnan(table["recall_se"]).all()
    assert table["recall"] == 1


def test_seconds_are_those_of_fit():
    scorers = {"slow": Knows(NAMES, seconds=0.05), "fast": Knows(NAMES)}
    slow, fast = benchmark_scorers(ROWS, NAMES, scorers, n_repeats=2)["seconds"]
    assert 0.05 <= slow < 1
    assert fast < slow


def test_the_table_makes_a_frame():
    scorers = {"a": Knows(NAMES), "longer name": Knows(NAMES, "none")}
    frame = pd.DataFrame(benchmark_scorers(ROWS, NAMES, scorers))
    assert frame.shape == (2, 8)
    assert frame["name"].tolist() == ["a", "longer name"]
    assert frame["recall"].tolist() == [1, 0]


def test_groups_and_rows_reach_fit():
    class Asks(Knows):
        def fit(self, X, y, groups=None):
            assert_array_equal(groups, IDS // 6)
            assert_array_equal(X["tree"], ROWS)
            return super().fit(X, y)

    X = {"tree": pd.DataFrame(ROWS)}
    table = benchmark_scorers(
        X, NAMES, {"a": Asks(NAMES), "b": Knows(NAMES)}, groups=IDS // 6, n_repeats=1
    )
    assert_array_equal(table["recall"], 1)


def test_verbose_prints_a_line_per_fit(capsys):
    benchmark_scorers(ROWS, NAMES, {"a": Knows(NAMES)}, n_repeats=2)
    assert capsys.readouterr().out == ""
    benchmark_scorers(ROWS, NAMES, {"a": Knows(NAMES)}, n_repeats=2, verbose=1)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("a, repeat 2 of 2: average precision 1.000, ")


class Complains(Knows):
    def fit(self, X, y):
        warnings.warn("of this scorer", RuntimeWarning, stacklevel=2)
        return super().fit(X, y)


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_warnings_name_their_fits(n_jobs):
    scorers = {"a": Knows(NAMES), "b": Complains(NAMES)}
    with joblib.parallel_config(backend="threading"), pytest.warns() as caught:
        benchmark_scorers(ROWS, NAMES, scorers, n_repeats=2, n_jobs=n_jobs)
    [told] = [w for w in caught if w.category is RuntimeWarning]
    assert str(told.message) == "b, repeat 1 of 2; b, repeat 2 of 2: of this scorer"
    assert told.filename == __file__


def test_errors_name_their_fit():
    class Fails(BaseEstimator):
        def fit(self, X, y):
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no") as caught:
        benchmark_scorers(ROWS, NAMES, {"a": Knows(NAMES), "b": Fails()}, n_repeats=2)
    assert caught.value.__notes__ == ["This happened in b, repeat 1 of 2."]


def test_jobs_of_a_benchmark_change_nothing(flips, one_thread):
    X, _, _, y = flips
    scorers = {m: TrainingDynamicsScorer(measure=m, random_state=0) for m in ("loss", "entropy")}
    settings = {"rate": 0.1, "n_repeats": 2, "random_state": 0}
    X, y = X[:100], y[:100]
    one = benchmark_scorers(X, y, scorers, **settings)
    with joblib.parallel_config(backend="threading"):
        two = benchmark_scorers(X, y, scorers, n_jobs=2, **settings)
    names = [name for name in one.dtype.names if name != "seconds"]
    assert_array_equal(one[names], two[names])


def test_real_scorers_are_cloned(flips, one_thread):
    X, _, _, y = flips
    loss = TrainingDynamicsScorer(measure="loss", random_state=0)
    scorers = {"loss": loss, "entropy": TrainingDynamicsScorer(measure="entropy", random_state=0)}
    table = benchmark_scorers(X, y, scorers, rate=0.1, n_repeats=1, random_state=0)
    assert table["average_precision"][0] > 0.8 > table["average_precision"][1]
    assert not hasattr(loss, "difficulty_")


@pytest.mark.parametrize(
    ("scorers", "message"),
    [
        ({}, "hold at least one"),
        ([], "hold at least one"),
        (Knows(NAMES), "dict of names to scorers"),
        ([Knows(NAMES)], "dict of names to scorers"),
        ({1: Knows(NAMES)}, "dict of names to scorers"),
        ([("a", Knows(NAMES)), ("a", Knows(NAMES))], r"called \['a'\]"),
    ],
)
def test_bad_scorers(scorers, message):
    with pytest.raises(ValueError, match=message):
        benchmark_scorers(ROWS, NAMES, scorers)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_repeats": 0}, "n_repeats"),
        ({"n_repeats": 1.5}, "n_repeats"),
        ({"n_repeats": True}, "n_repeats"),
        ({"rate": 0.001}, "not a single one; raise the rate"),
        ({"rate": 1}, "'rate' parameter"),
        ({"kind": "sometimes"}, "'kind' parameter"),
        ({"kind": "matrix"}, "noise_matrix"),
        ({"groups": [1]}, "groups must hold one value"),
        ({"X": {"a": ROWS}, "kind": "instance"}, "kind='instance' needs X as one array"),
        (
            {
                "y": np.where(IDS == 0, "yew", "ash"),
                "kind": "matrix",
                "rate": None,
                "noise_matrix": [[1, 0], [1, 0]],
            },
            r"no row of the class\(es\) \['yew'\]",
        ),
    ],
)
def test_bad_settings(settings, message):
    arguments = {"X": ROWS, "y": NAMES, "scorers": {"a": Knows(NAMES)}, "random_state": 0}
    with pytest.raises(ValueError, match=message):
        benchmark_scorers(**(arguments | settings))
    assert not Knows.seen
