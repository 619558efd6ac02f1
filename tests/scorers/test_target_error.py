# SPDX-License-Identifier: BSD-3-Clause
"""TargetErrorScorer: does it find wrong targets, from whatever predicts; and what it promises."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_friedman1
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import average_precision_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from skorch import NeuralNet, NeuralNetClassifier, NeuralNetRegressor
from small_nets import NeverTrain
from torch import nn

from sklearn_difficulty import FilteredRegressor, LabelErrorScorer, TargetErrorScorer
from sklearn_difficulty.datasets import make_target_noise
from sklearn_difficulty.measures import estimate_target_noise
from sklearn_difficulty.training import MLP, RecordTraining, ResampledEnsemble, TrainingRecord

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 4)).astype(np.float32)
SLOPES = np.array([3.0, -2, 1, 0])
RIGHT = 100 * (X @ SLOPES + 0.3 * RNG.normal(size=300)) + 1000
Y, WRONG, _ = make_target_noise(RIGHT, level=0.2, random_state=0)
JUDGE = LinearRegression()
THREE = {"n_members": 3, "train_size": 2 / 3}  # fewer than by default, for the sake of time


def net(cls=NeuralNetRegressor, n_outputs=1, **settings):
    """Return a net that learns the slopes."""
    defaults = {
        "module__n_inputs": 4,
        "module__n_outputs": n_outputs,
        "module__hidden_units": (16,),
        "criterion": nn.L1Loss,
        "optimizer": torch.optim.Adam,
        "lr": 0.03,
        "max_epochs": 8,
        "batch_size": 32,
        "verbose": 0,
    }
    return cls(MLP, **{**defaults, **settings})


@pytest.fixture(scope="module")
def fitted():
    return TargetErrorScorer(net(), n_rounds=2, **THREE, random_state=0).fit(X, Y)


def found(scorer, wrong=WRONG):
    """Return average precision, and F1 of the cut at one half."""
    suspect = scorer.error_probability_ > 0.5
    right = (suspect & wrong).sum()
    f1 = 2 * right / (suspect.sum() + wrong.sum())
    return average_precision_score(wrong, scorer.difficulty_), f1


# ------------------------------------------------------------------------------------ what it finds


@pytest.mark.parametrize(
    ("scorer", "least"),
    [
        (TargetErrorScorer(JUDGE), (0.9, 0.85)),
        (TargetErrorScorer(net(), n_rounds=2, **THREE), (0.9, 0.8)),
        (TargetErrorScorer(net(), method="one_fit"), (0.85, 0.75)),
        (TargetErrorScorer(net(), method="neighbors", n_neighbors=10), (0.7, 0.5)),
        (TargetErrorScorer(net(), method="neighbors", n_neighbors=10, max_bank=150), (0.65, 0.4)),
    ],
    ids=["regressor", "members", "one fit", "neighbors", "bank"],
)
def test_wrong_targets_are_found(scorer, least):
    scorer = clone(scorer).set_params(random_state=0).fit(X, Y)
    assert (np.array(found(scorer)) > least).all()
    low, high = scorer.noise_rate_interval_
    assert low < 0.2 < high
    assert scorer.suggested_target_.shape == Y.shape
    suspect = scorer.error_probability_ > 0.5
    assert_allclose(scorer.suggested_target_[~suspect], Y[~suspect], rtol=1e-6)
    gain = np.abs(scorer.suggested_target_ - RIGHT)[suspect & WRONG]
    assert gain.mean() < 0.4 * np.abs(Y - RIGHT)[suspect & WRONG].mean()


def test_second_round_is_better_where_many_are_wrong(capsys):
    X, y = make_friedman1(600, random_state=0)
    given, wrong, _ = make_target_noise(y, level=0.4, random_state=0)
    judge = HistGradientBoostingRegressor(max_iter=40, random_state=0)
    scorers = [
        TargetErrorScorer(judge, n_rounds=n_rounds, random_state=0, verbose=1).fit(X, given)
        for n_rounds in (1, 3)
    ]
    assert [scorer.n_rounds_ for scorer in scorers] == [1, 3]
    said = capsys.readouterr().out
    assert said.count("Another round is trained, without") == 2
    once, again = (found(scorer, wrong)[0] for scorer in scorers)
    assert again > once + 0.03


def test_rounds_end_where_nothing_is_suspect():
    scorer = TargetErrorScorer(JUDGE, random_state=0).fit(X, RIGHT)
    assert scorer.n_rounds_ == 1
    assert scorer.noise_rate_ < 0.02
    assert not (scorer.error_probability_ > 0.5).any()


def test_rows_that_are_left_out_stay_held_out(fitted):
    ensemble = fitted.ensemble_
    assert fitted.n_rounds_ == 2
    trained_on = ensemble.masks_.any(axis=0)
    assert 0.02 < 1 - trained_on.mean() < 0.4
    assert WRONG[~trained_on].mean() > 0.7
    expected = ensemble.out_of_sample_prediction() * fitted.target_scale_ + fitted.target_center_
    assert_allclose(fitted.predictions_, expected[:, 0])


def test_interval_holds_the_right_target():
    scorer = TargetErrorScorer(JUDGE, coverage=0.8, random_state=0).fit(X, Y)
    low, high = scorer.suggested_target_interval_.T
    assert abs(np.mean((low <= RIGHT) & (RIGHT <= high)) - 0.8) < 0.06


def test_several_targets_a_row():
    two = np.c_[RIGHT, X @ [1, 1, -1, 2] + 0.1 * RNG.normal(size=300)]
    given, wrong, _ = make_target_noise(two, level=0.15, random_state=0)
    for judge in (JUDGE, net(n_outputs=2)):
        scorer = TargetErrorScorer(judge, n_rounds=2, **THREE, random_state=0).fit(X, given)
        assert scorer.suggested_target_interval_.shape == (300, 2, 2)
        for name in ("suggested_target_", "predictions_", "scaled_residual_", "residual_scale_"):
            assert getattr(scorer, name).shape == (300, 2)
        by_column = scorer.column_error_probability_
        for j in range(2):
            assert average_precision_score(wrong[:, j], by_column[:, j]) > 0.85
        expected = 1 - np.prod(1 - by_column, axis=1)
        assert_allclose(scorer.error_probability_, expected, atol=1e-9)
        assert found(scorer, wrong.any(axis=1))[1] > 0.75
        assert_allclose(scorer.column_noise_rate_, 0.15, atol=0.06)
        low, high = scorer.noise_rate_interval_
        assert low <= wrong.any(axis=1).mean() <= high
        assert {"given_0", "suggested_1"} <= set(scorer.suspects(3))
        assert scorer.score_samples(X[:5], given[:5]).shape == (5,)
        with pytest.raises(ValueError, match=r"y has 1 target\(s\) a row, and had 2 in the fit"):
            scorer.score_samples(X[:5], given[:5, 0])


# ---------------------------------------------------------------------- where predictions come from


def test_given_predictions_are_read_as_they_are():
    predictions = cross_val_predict(JUDGE, X, Y)
    scorer = TargetErrorScorer("precomputed").fit(predictions, Y)
    expected = estimate_target_noise(Y, predictions)
    for name in ("error_probability", "suggested", "suggested_interval"):
        attribute = name.replace("suggested", "suggested_target") + "_"
        assert_allclose(getattr(scorer, attribute), getattr(expected, name))
    assert_array_equal(scorer.difficulty_, expected.difficulty)
    assert scorer.noise_rate_interval_ == expected.noise_rate_interval
    assert scorer.n_rounds_ == 0
    assert_allclose(scorer.score_samples(predictions, Y), scorer.difficulty_, rtol=1e-6)


def test_given_predictions_of_several_members():
    members = np.stack([cross_val_predict(JUDGE, X, Y, cv=cv) for cv in (3, 5)], axis=1)
    once = TargetErrorScorer("precomputed").fit(members.mean(axis=1), Y)
    of_all = TargetErrorScorer("precomputed").fit(members, Y)
    assert_allclose(of_all.difficulty_, once.difficulty_, rtol=1e-5)
    members[7, 0], members[8] = np.nan, np.nan
    with pytest.warns(UserWarning, match=r"1 row\(s\) have no defined difficulty, first \[8\]"):
        scorer = TargetErrorScorer("precomputed").fit(members, Y)
    assert scorer.n_undefined_ == 1
    assert np.isnan(scorer.error_probability_[8])
    assert scorer.suggested_target_[8] == Y[8]
    assert scorer.predictions_[7] == members[7, 1]
    two = np.c_[Y, Y]
    of_two = np.stack([members, members], axis=1)
    with pytest.warns(UserWarning, match=r"first \[8\]"):
        assert TargetErrorScorer("precomputed").fit(of_two, two).predictions_.shape == (300, 2)


@pytest.mark.parametrize(
    ("given", "y", "message"),
    [
        (np.zeros((300, 2, 2)), Y, r"shape \(n_samples,\) or \(n_samples, n_members\), got"),
        (np.zeros((300, 3)), np.c_[Y, Y], r"2 target\(s\) a row.*\(n_samples, 2, n_members\), got"),
        (np.zeros(299), Y, "inconsistent numbers of samples: 299 rows and 300"),
        (np.zeros(300), np.where(WRONG, np.nan, Y), "y contains NaN or inf in 60 row"),
        (np.full(300, np.nan), Y, "No row was held out by any model"),
    ],
)
def test_predictions_that_do_not_fit(given, y, message):
    with pytest.raises(ValueError, match=message):
        TargetErrorScorer("precomputed").fit(given, y)


def test_doubtful_rates_are_warned_of():
    y = np.random.default_rng(0).uniform(size=300)
    with pytest.warns(UserWarning, match="% of the targets look wrong.*a better judge"):
        TargetErrorScorer("precomputed").fit(np.full(300, 0.5), y)
    many_zeros = np.where(y < 0.5, 0, 1 + y)
    with pytest.warns(UserWarning, match=r"\d\d% of the targets of column 1 are 0"):
        TargetErrorScorer("precomputed").fit(np.c_[y, many_zeros], np.c_[y, many_zeros])


@pytest.mark.parametrize("rows", ["frame", "sparse", "list"])
def test_regressors_get_rows_as_they_are(rows):
    kinds = {
        "frame": pd.DataFrame(X, columns=list("abcd"), index=np.arange(300) + 7),
        "sparse": sparse.csr_matrix(X),
        "list": X.tolist(),
    }
    judge = make_pipeline(StandardScaler(with_mean=False), Ridge(1e-6))
    scorer = TargetErrorScorer(judge, random_state=0).fit(kinds[rows], Y)
    expected = TargetErrorScorer(judge, random_state=0).fit(X, Y)
    assert_allclose(scorer.difficulty_, expected.difficulty_, atol=1e-3)
    assert len(scorer.estimators_) == 5
    assert_allclose(scorer.score_samples(kinds[rows], Y), expected.score_samples(X, Y), atol=1e-3)
    if rows == "frame":
        assert scorer.suspects(2).index.tolist() == (scorer.suspects(2)["row"] + 7).tolist()


def test_regressors_see_no_row_that_they_predict():
    memory = make_pipeline(PolynomialFeatures(1), HistGradientBoostingRegressor(random_state=0))
    scorer = TargetErrorScorer(memory, n_rounds=1, random_state=0).fit(X, RNG.permutation(Y))
    correlation = np.corrcoef(scorer.predictions_, scorer._given)[0, 1]
    assert abs(correlation) < 0.3


def test_groups_are_held_out_together():
    groups = np.arange(300) // 2
    twins = X[groups * 2]
    judge = HistGradientBoostingRegressor(min_samples_leaf=1, max_iter=30, random_state=0)
    y = RNG.normal(size=300)[groups]  # nothing but the twin tells
    with pytest.warns(UserWarning, match="copies"):
        apart = TargetErrorScorer(judge, n_rounds=1, random_state=0).fit(twins, y)
    together = TargetErrorScorer(judge, n_rounds=1, random_state=0).fit(twins, y, groups=groups)
    near = [np.corrcoef(scorer.predictions_, y)[0, 1] for scorer in (apart, together)]
    assert near[0] > 0.3 > near[1]


def test_what_was_trained_before_is_read_in_its_units():
    y = ((Y - 1000) / 300).astype(np.float32)
    ensemble = ResampledEnsemble(net(), **THREE, keep_members=True, random_state=0).fit(X, y)
    scorer = TargetErrorScorer(ensemble).fit(X, y)
    assert_allclose(scorer.predictions_, ensemble.out_of_sample_prediction()[:, 0])
    assert scorer.n_rounds_ == 0
    assert found(scorer)[0] > 0.85
    assert scorer.score_samples(X[:3], y[:3]).shape == (3,)
    epochs = TrainingRecord.from_fit(net(), X, y, keep_logits=True, random_state=0)
    assert TargetErrorScorer(epochs).fit(X, y).method_ == "one_fit"
    record = TrainingRecord.from_fit(net(), X, y, random_state=0)
    scorer = TargetErrorScorer(record, n_neighbors=10).fit(X, y)
    assert scorer.method_ == "neighbors"
    recorded = net(callbacks=[RecordTraining()], train_split=None).fit(X, y[:, None])
    assert TargetErrorScorer(FrozenEstimator(recorded)).fit(X, y).method_ == "neighbors"
    with pytest.raises(ValueError, match="trained on other rows"):
        TargetErrorScorer(epochs).fit(X[::-1].copy(), y)


# -------------------------------------------------------------------------------- units and targets


def test_networks_learn_standardised_targets(fitted):
    raw = TargetErrorScorer(net(), standardize=False, n_rounds=1, **THREE, random_state=0).fit(X, Y)
    assert found(fitted)[0] > found(raw)[0] + 0.1
    assert_allclose(fitted.target_center_, np.median(Y), rtol=1e-5)
    assert fitted.target_scale_ > 50
    assert_array_equal([raw.target_center_, raw.target_scale_], [[0], [1]])


def test_units_of_the_targets_do_not_matter(fitted):
    other = clone(fitted).fit(X, 1e-3 * Y - 7)
    assert_allclose(other.difficulty_, fitted.difficulty_, atol=2e-3)
    assert_allclose(1000 * (other.predictions_ + 7), fitted.predictions_, rtol=1e-3)


def test_column_of_targets_is_one_target():
    flat, column = (
        TargetErrorScorer(judge, n_rounds=1, random_state=0)
        for judge in (JUDGE, make_pipeline(JUDGE))
    )
    flat.fit(X, Y)
    column.fit(X, Y[:, None])
    assert_allclose(column.difficulty_, flat.difficulty_, rtol=1e-5)


# --------------------------------------------------------------------------------- what it promises


def test_unseen_rows(fitted):
    new = RNG.normal(size=(200, 4)).astype(np.float32)
    right = 100 * (new @ SLOPES) + 1000
    given, wrong, _ = make_target_noise(right, level=0.2, random_state=1)
    scores = fitted.score_samples(new, given)
    assert average_precision_score(wrong, scores) > 0.85
    without = fitted.score_samples(new)
    assert ((without > 0) & (without < 1)).all()
    assert_array_equal(fitted.get_feature_names_out(), ["target_error"])
    again = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(again.score_samples(new, given), scores)


def test_wide_where_the_spread_is():
    X = RNG.uniform(1, 10, size=(1000, 1))
    y = 10 * X[:, 0] + X[:, 0] * RNG.normal(size=1000)
    scorer = TargetErrorScorer(JUDGE, random_state=0).fit(X, y)
    narrow, wide = scorer.score_samples([[1.5], [9.5]])
    assert narrow < 0.4 < 0.55 < wide


@pytest.mark.parametrize("estimator", [JUDGE, None], ids=["regressor", "net"])
def test_members_that_are_not_kept(estimator):
    if estimator is None:
        estimator = net(max_epochs=2)
    scorer = TargetErrorScorer(estimator, n_rounds=1, keep_members=False).fit(X, Y)
    assert not hasattr(scorer, "score_samples")
    assert not hasattr(scorer, "estimators_")


def test_seed(fitted):
    assert_array_equal(clone(fitted).fit(X, Y).difficulty_, fitted.difficulty_)
    other = clone(fitted).set_params(random_state=1).fit(X, Y)
    assert not np.array_equal(other.difficulty_, fitted.difficulty_)


def test_review_and_suspects(fitted):
    plan = fitted.review_plan(40, random_state=0)
    review = fitted.calibrate(plan.rows, WRONG[plan.rows])
    assert review.noise_rate_interval[0] <= WRONG.mean() <= review.noise_rate_interval[1]
    table = fitted.suspects(5)
    names = ["row", "given", "suggested", "probability", "difficulty", "expected_precision"]
    assert list(table) == names
    assert WRONG[table["row"]].all()
    assert_allclose(table["given"], Y[table["row"]], rtol=1e-6)
    assert "of the targets are wrong" in repr(fitted)
    assert fitted.cuts_["n_dropped"][4] == (fitted.error_probability_ > 0.5).sum()


def test_filters_drop_what_it_finds():
    filtered = FilteredRegressor(
        LinearRegression(), scorer=TargetErrorScorer(JUDGE, random_state=0), drop=0.15
    ).fit(X, Y)
    assert WRONG[filtered.dropped_indices_].mean() > 0.9
    plain = LinearRegression().fit(X, Y)
    error = [np.abs(model.predict(X) - RIGHT).mean() for model in (filtered, plain)]
    assert error[0] < 0.7 * error[1]


# ---------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (net(NeuralNetClassifier, criterion=nn.CrossEntropyLoss), "classifier, and targets"),
        (net(NeuralNet, criterion=nn.CrossEntropyLoss), "LabelErrorScorer finds wrong labels"),
        (RandomForestClassifier(), "must be a regressor; RandomForestClassifier is a classifier"),
        (Ridge, r"is the class Ridge; pass an instance, such as Ridge\(\)"),
    ],
    ids=["net", "plain net", "forest", "class"],
)
def test_classifiers_are_refused_before_training(estimator, message):
    if isinstance(estimator, NeuralNet):
        estimator.set_params(callbacks=[NeverTrain()])
    for method in ("auto", "one_fit"):
        with pytest.raises(ValueError, match=message):
            TargetErrorScorer(estimator, method=method).fit(X, Y)


def test_trainings_of_classifiers_are_refused():
    settings = {"n_outputs": 3, "criterion": nn.CrossEntropyLoss, "max_epochs": 1}
    labels = np.arange(300) % 3
    classifier = net(NeuralNetClassifier, **settings)
    record = TrainingRecord.from_fit(classifier, X, labels, keep_logits=True)
    ensemble = ResampledEnsemble(classifier, n_members=2, train_size=0.5).fit(X, labels)
    for trained in (record, ensemble):
        with pytest.raises(ValueError, match="is a classifier, and targets are numbers"):
            TargetErrorScorer(trained).fit(X, labels)
    of_regressors = ResampledEnsemble(net(max_epochs=1), n_members=2, train_size=0.5)
    with pytest.raises(ValueError, match="agreement between members is defined for classes"):
        LabelErrorScorer(of_regressors.fit(X, Y)).fit(X, Y)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"estimator": "precomputed", "method": "one_fit"}, "predictions are read"),
        ({"estimator": JUDGE, "method": "one_fit"}, "epochs of a network's training"),
        ({"estimator": JUDGE, "method": "neighbors"}, "layers of a network"),
        ({"estimator": JUDGE, "cache_dir": "members"}, "cache_dir is of networks"),
        ({"estimator": JUDGE, "estimator__fit_intercept": False}, None),
        ({"estimator": None, "method": "neighbors", "n_neighbors": 300}, "n_neighbors=300 is more"),
    ],
)
def test_settings_that_do_not_go_together(settings, message):
    if message is None:
        TargetErrorScorer(JUDGE).set_params(**settings)
        return
    with pytest.raises(ValueError, match=message):
        TargetErrorScorer(**settings).fit(X, Y)


@pytest.mark.parametrize("estimator", [JUDGE, net()], ids=["regressor", "net"])
@pytest.mark.parametrize(
    ("rows", "y", "message"),
    [
        (X, Y[:7], "inconsistent numbers"),
        (X, None, "requires y"),
        (X, np.where(WRONG, np.nan, Y), r"NaN.* first \["),
        (X, np.array(["a", "b"] * 150), "y holds|convert|numbers"),
        (X[:1], Y[:1], "at least two rows; got n_samples=1"),
    ],
)
def test_rows_that_cannot_be_judged(estimator, rows, y, message):
    with pytest.raises(ValueError, match=message):
        TargetErrorScorer(clone(estimator)).fit(rows, y)
