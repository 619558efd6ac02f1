# SPDX-License-Identifier: BSD-3-Clause
"""DifficultyQuadrantClassifier: depths, corners, labels that it suggests, rows that are unseen.

What it has in common with other scorers is in test_contract, the pool in test_consistency.
"""

import copy
import warnings

import numpy as np
import pytest
import small_nets
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import NearestNeighbors
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier
from small_nets import FlatLogit, memorising
from torch import nn

from sklearn_difficulty import (
    ConsistencyScorer,
    DifficultyQuadrantClassifier,
    MemorizationScorer,
    PredictionDepthScorer,
)
from sklearn_difficulty.measures import corner_distances, difficulty_quadrants, otsu_threshold
from sklearn_difficulty.training import ResampledEnsemble

pytestmark = [
    pytest.mark.usefixtures("one_thread", "seeded"),
    pytest.mark.filterwarnings("ignore:.*have no defined difficulty:UserWarning"),
]

NAMES = ["easy", "looks_like_a_different_class", "ambiguous_without_label", "ambiguous"]
K, N = 4, 90


def make_net(cls=NeuralNetClassifier, **settings):
    return small_nets.make_net(cls, **{"max_epochs": 10, "batch_size": 16, **settings})


def quadrants_of(estimator=None, **params):
    defaults = {"n_members": K, "validation_size": 0.5, "n_neighbors": 5, "random_state": 0}
    return DifficultyQuadrantClassifier(estimator, **{**defaults, **params})


def ensemble_of(net=None, **params):
    defaults = {"n_members": K, "train_size": 0.5, "keep_members": True, "random_state": 0}
    return ResampledEnsemble(make_net() if net is None else net, **{**defaults, **params})


@pytest.fixture(scope="module")
def rows():
    """Return 90 rows of three overlapping clusters, and their labels, strings."""
    rng = np.random.default_rng(0)
    codes = np.arange(N) % 3
    X = rng.normal(size=(N, 4)) + 1.5 * np.eye(3, 4)[codes]
    return X.astype(np.float32), np.array(["ant", "bee", "cat"])[codes]


@pytest.fixture(scope="module")
def pool(rows):
    """Return a fitted ensemble that read the depths; it is not to be changed."""
    return ensemble_of(readout=quadrants_of().readout()).fit(*rows)


@pytest.fixture(scope="module")
def fitted(pool, rows):
    """Return a fitted estimator that is not to be changed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return quadrants_of(pool).fit(*rows)


@pytest.fixture
def staged(pool, rows):
    """Return a function that fits on members that are said to have given depths.

    Every row is held out by the first two of the four members. Rows that are not mentioned have
    depth 0.
    """

    def fit(validation, train, predictions=None, **params):
        ensemble = copy.copy(pool)
        ensemble.masks_ = np.repeat([[False], [False], [True], [True]], N, axis=1)
        depth = np.zeros((K, N), dtype=np.float32)
        depth[:2, : np.shape(validation)[-1]] = validation
        depth[2:, : np.shape(train)[-1]] = train
        ensemble.readout_ = {"depth": depth}
        if predictions is not None:
            ensemble.predictions_ = predictions
        return quadrants_of(ensemble, **params).fit(*rows)

    return fit


def mean_of(values):
    values = values[~np.isnan(values)]
    return values.mean(dtype=np.float64) if len(values) else np.nan


# ------------------------------------------------------------------------------- what it computes


def test_depths_are_those_of_prediction_depth(pool, fitted, rows):
    X, y = rows
    depth = np.empty((K, N), dtype=np.float32)
    for k, trained_on in enumerate(pool.masks_):
        scorer = PredictionDepthScorer(pool.record(k), n_neighbors=5, normalize=True)
        scorer.fit(X[trained_on], y[trained_on])
        depth[k, trained_on] = scorer.difficulty_
        depth[k, ~trained_on] = scorer.score_samples(X[~trained_on])
    expected = [
        [mean_of(depth[~pool.masks_[:, i], i]), mean_of(depth[pool.masks_[:, i], i])]
        for i in range(N)
    ]
    assert_allclose(fitted.validation_depth_, np.array(expected)[:, 0])
    assert_allclose(fitted.train_depth_, np.array(expected)[:, 1])
    assert len(np.unique(depth[~np.isnan(depth)])) == 4
    assert 0 < np.isnan(depth).sum() < depth.size / 4  # left out of the means


def test_quadrants_are_those_of_the_measures(fitted):
    validation, train = fitted.validation_depth_, fitted.train_depth_
    assert fitted.thresholds_ == (otsu_threshold(validation), otsu_threshold(train))
    expected = difficulty_quadrants(validation, train, fitted.thresholds_)
    assert_array_equal(fitted.difficulty_quadrant_, expected)
    assert fitted.difficulty_quadrant_.dtype == np.int64
    assert set(expected) >= {0, 1, 2, 3}
    assert_array_equal(fitted.corner_distance_, corner_distances(validation, train))
    assert fitted.corner_distance_.shape == (N, 4)
    assert_array_equal(fitted.difficulty_, np.hypot(validation, train).astype(np.float32))
    assert fitted.quadrant_names_.tolist() == NAMES
    assert fitted.quadrant_names_.dtype == object
    assert_array_equal(fitted.classes_, ["ant", "bee", "cat"])


def test_other_numbers_are_those_of_the_other_scorers(pool, fitted, rows):
    consistency = ConsistencyScorer(pool).fit(*rows)
    for name in ("consistency_", "consensus_class_", "consensus_consistency_"):
        assert_array_equal(getattr(fitted, name), getattr(consistency, name))
    memorization = MemorizationScorer(pool).fit(*rows)
    assert_array_equal(fitted.memorization_.astype(np.float32), memorization.difficulty_)


def test_corners_by_hand(staged):
    validation, train = [0, 0, 1, 1, 0.25, 0.75], [0, 1, 0, 1, 0.75, 0.25]
    found = staged(validation, train, threshold=0.5)
    assert found.difficulty_quadrant_[:6].tolist() == [0, 1, 2, 3, 1, 2]
    assert (found.difficulty_quadrant_[6:] == 0).all()
    root = np.sqrt(2)
    assert_allclose(
        found.corner_distance_[:4],
        [[0, 1, 1, root], [1, 0, root, 1], [1, root, 0, 1], [root, 1, 1, 0]],
    )
    assert_allclose(found.difficulty_[:6], [0, 1, 1, root, *[np.hypot(0.25, 0.75)] * 2])
    assert_array_equal(found.validation_depth_[:6], validation)
    assert_array_equal(found.train_depth_[:6], train)


def test_means_leave_out_undefined_depths(staged):
    nan = np.nan
    validation = np.array([[0.5, 0.25, nan, nan], [nan, 0.75, nan, 1]])  # one line per member
    train = np.array([[1, nan, 0, 0], [0.5, nan, 0, 0]])
    with pytest.warns(UserWarning, match=r"2 row\(s\) have no defined difficulty, first \[1, 2\]"):
        found = staged(validation, train, threshold=0.6)
    assert_array_equal(found.validation_depth_[:4], [0.5, 0.5, nan, 1])
    assert_array_equal(found.train_depth_[:4], [0.75, nan, 0, 0])
    assert found.difficulty_quadrant_[:4].tolist() == [1, -1, -1, 2]


@pytest.mark.parametrize(("undefined", "stand_in"), [("nan", np.nan), ("max", np.sqrt(2))])
def test_rows_without_a_depth(staged, undefined, stand_in):
    message = r"2 row\(s\) have no defined difficulty, first \[0, 1\]"
    with pytest.warns(UserWarning, match=message) as caught:
        found = staged([np.nan, 0.2, 1.0], [0.3, np.nan, 1.0], undefined=undefined)
    assert len(caught) == 1
    assert found.n_undefined_ == 2
    assert found.difficulty_quadrant_[:3].tolist() == [-1, -1, 3]
    assert_allclose(found.difficulty_[:3], [stand_in, stand_in, np.sqrt(2)])
    assert np.isnan(found.corner_distance_[:2]).all()
    for name in NAMES:
        order = found.extremes(name, N)
        assert len(order) == N - 2
        assert not {0, 1} & set(order)


def test_rows_that_no_member_held_out(rows):
    found = quadrants_of(make_net(), n_members=2, validation_size=0.3)
    with pytest.warns(UserWarning, match="NaN is returned") as caught:
        found.fit(*rows)
    assert [w.filename for w in caught] == [__file__] * 2
    n_in = found.ensemble_.masks_.sum(axis=0)
    assert set(n_in) == {0, 1, 2}
    assert np.isnan(found.validation_depth_[n_in == 2]).all()
    assert np.isnan(found.train_depth_[n_in == 0]).all()
    assert (found.difficulty_quadrant_[n_in != 1] == -1).all()
    assert found.n_undefined_ == (found.difficulty_quadrant_ == -1).sum() >= (n_in != 1).sum()
    assert (found.difficulty_quadrant_[n_in == 1] >= 0).any()
    assert found.consensus_class_.dtype == object
    assert_array_equal([label is None for label in found.consensus_class_], n_in == 2)
    assert_array_equal(found.suggested_label_[n_in != 1], rows[1][n_in != 1])
    assert_array_equal(np.isnan(found.memorization_), n_in != 1)
    assert found.suggested_label_.dtype == rows[1].dtype


# -------------------------------------------------------------------------------------- thresholds


def test_threshold_is_one_number_or_two(staged):
    depths = [0, 0.2, 0.4, 0.6], [0.5, 0.5, 0.1, 0.1]
    for threshold, expected, codes in (
        (0.3, (0.3, 0.3), [1, 1, 2, 2]),
        ((0.5, 0.2), (0.5, 0.2), [1, 1, 0, 2]),
        (np.array([0.1, 0.9]), (0.1, 0.9), [0, 2, 2, 2]),
        (0, (0, 0), [1, 3, 3, 3]),
        (1.0, (1, 1), [0, 0, 0, 0]),
    ):
        found = staged(*depths, threshold=threshold)
        assert found.thresholds_ == expected
        assert found.difficulty_quadrant_[:4].tolist() == codes
    # What is at the cut is early; float32 depths are compared as they are.
    assert staged([0.5], [0.25], threshold=(0.5, 0.25)).difficulty_quadrant_[0] == 0


def test_automatic_threshold_separates_two_groups(staged):
    validation = np.where(np.arange(N) < 30, 0.75, 0.25)
    train = np.where(np.arange(N) % 2, 1.0, 0.5)
    found = staged(validation, train)
    assert found.thresholds_ == (0.5, 0.75)
    expected = 2 * (np.arange(N) < 30) + np.arange(N) % 2
    assert_array_equal(found.difficulty_quadrant_, expected)


@pytest.mark.parametrize("depth", [0.0, 0.5, 1.0])
def test_automatic_threshold_of_an_axis_without_spread(staged, depth):
    found = staged(np.full(N, depth), np.arange(N) / N)
    assert found.thresholds_ == (0.5, otsu_threshold(found.train_depth_))
    assert (found.difficulty_quadrant_ >= 2).all() == (depth == 1)
    nothing = staged(np.full(N, np.nan), np.arange(N) / N)
    assert nothing.thresholds_[0] == 0.5
    assert (nothing.difficulty_quadrant_ == -1).all()
    assert nothing.n_undefined_ == N


@pytest.mark.parametrize(
    "threshold",
    [-0.1, 1.1, "otsu", None, [], [0.1, 0.2, 0.3], [0.5, 1.5], [np.nan, 0.5], ["a", "b"]],
    ids=str,
)
def test_bad_thresholds(pool, rows, threshold):
    for estimator in (pool, make_net()):
        with pytest.raises(ValueError, match="threshold"):
            quadrants_of(estimator, threshold=threshold).fit(*rows)


# ---------------------------------------------------------------------------------------- extremes


def test_extremes_are_the_rows_nearest_to_a_corner(fitted):
    for code, name in enumerate(NAMES):
        distance = fitted.corner_distance_[:, code]
        defined = [(d, i) for i, d in enumerate(distance) if not np.isnan(d)]
        order = [i for _, i in sorted(defined)]
        assert fitted.extremes(name).tolist() == order  # 100 by default, if there are so many
        assert fitted.extremes(name, 7).tolist() == order[:7]
        assert fitted.extremes(code, n=7).tolist() == order[:7]
        assert fitted.extremes(np.int64(code), np.int64(7)).tolist() == order[:7]
        assert fitted.extremes(name, 0).shape == (0,)
        assert fitted.extremes(name).dtype == np.int64


def test_extremes_by_hand(staged):
    found = staged([0, 0.5, 1, 1], [1, 1, 1, 0], threshold=0.5)
    assert found.extremes("looks_like_a_different_class", 2).tolist() == [0, 1]
    assert found.extremes("ambiguous", 3).tolist() == [2, 1, 0]  # 0 as far as 3, which comes later
    assert found.extremes("ambiguous_without_label", 1).tolist() == [3]
    assert found.extremes("easy", 5).tolist() == [4, 5, 6, 7, 8]


@pytest.mark.parametrize("quadrant", ["hard", "Easy", "", 4, -1, None, 1.5])
def test_unknown_quadrants(fitted, quadrant):
    with pytest.raises(ValueError, match=r"There is no quadrant .*'ambiguous_without_label'"):
        fitted.extremes(quadrant)
    with pytest.raises(NotFittedError):
        clone(fitted).extremes("easy")


@pytest.mark.parametrize("n", [-1, 2.5, "all", None])
def test_bad_numbers_of_extremes(fitted, n):
    with pytest.raises((ValueError, TypeError), match=r"\bn must be"):
        fitted.extremes("easy", n)


# --------------------------------------------------------------------------------- suggested labels


def test_suggested_label(staged, rows):
    _, y = rows
    # Ten rows in every corner; the members that held them out say the class after the given one.
    codes = np.unique(y, return_inverse=True)[1]
    others = (codes + 1) % 3
    corner = np.arange(40) // 10
    predictions = np.stack([others, others, codes, codes]).astype(np.int32)
    found = staged(corner // 2, corner % 2, predictions, threshold=0.5)
    looks_different = np.arange(N) // 10 == 1
    expected = np.where(looks_different, found.classes_[others], y)
    assert_array_equal(found.suggested_label_, expected)
    assert_array_equal(found.consensus_class_, found.classes_[others])
    assert_array_equal(found.consistency_, np.zeros(N))
    assert_array_equal(found.memorization_, np.ones(N))
    # A tie is no reason to doubt the given label.
    predictions[0] = codes
    tied = staged(corner // 2, corner % 2, predictions, threshold=0.5)
    assert_array_equal(tied.suggested_label_, y)


# ----------------------------------------------------------------------------- what was read before


def test_depths_that_were_read_are_not_read_again(pool, fitted, rows, monkeypatch):
    passes = []
    hook = nn.modules.module.register_module_forward_hook(lambda *_: passes.append(1))
    again = quadrants_of(pool, batch_size=512).fit(*rows)
    assert not passes
    other = quadrants_of(pool, n_neighbors=3).fit(*rows)
    assert passes  # the counter works
    hook.remove()
    assert_array_equal(again.difficulty_, fitted.difficulty_)
    assert not np.array_equal(other.difficulty_, fitted.difficulty_, equal_nan=True)


@pytest.mark.parametrize(
    "params",
    [
        {"n_neighbors": 3},
        {"metric": "cosine"},
        {"include_input": False},
        {"probes": ["2"]},
        {"probes": np.array(["0", "2"])},
        {"probes": lambda name, module: isinstance(module, nn.Tanh)},
    ],
    ids=["neighbors", "metric", "input", "list", "array", "callable"],
)
def test_depths_with_other_settings_are_read_from_the_members(pool, rows, params):
    X, y = rows
    found = quadrants_of(pool, **params).fit(X, y)
    assert found.ensemble_ is pool
    own = quadrants_of(pool.estimator_, **params).fit(X, y)
    assert_array_equal(own.ensemble_.predictions_, pool.predictions_)
    assert_array_equal(found.validation_depth_, own.validation_depth_)
    assert_array_equal(found.train_depth_, own.train_depth_)
    assert_array_equal(found.score_samples(X), own.score_samples(X))
    # Its own ensemble holds the depths, whatever the settings were given as.
    again = quadrants_of(own.ensemble_, **params).fit(X, y)
    assert_array_equal(again.train_depth_, own.train_depth_)


def test_depths_that_cannot_be_read(rows, pool):
    X, y = rows
    bare = ensemble_of(keep_members=False).fit(X, y)
    read = ensemble_of(keep_members=False, readout=quadrants_of().readout()).fit(X, y)
    message = r"has not read prediction depths with these settings, and its members are gone"
    for estimator in (quadrants_of(bare), quadrants_of(read, n_neighbors=4)):
        with pytest.raises(ValueError, match=message):
            estimator.fit(X, y)
        assert not hasattr(estimator, "difficulty_")
    found = quadrants_of(read).fit(X, y)
    assert_array_equal(found.difficulty_, quadrants_of(pool).fit(X, y).difficulty_)
    for name in ("transform", "score_samples", "fit_transform"):
        assert not hasattr(found, name)
    for reading in (found.predict, found.depths):
        with pytest.raises(ValueError, match=r"not kept.*keep_members=True"):
            reading(X)


def test_readout_that_was_set_after_the_fit(rows, pool):
    # What was read belongs to the settings of the fit.
    later = ensemble_of().fit(*rows).set_params(readout=quadrants_of().readout())
    expected = quadrants_of(pool).fit(*rows)
    assert_array_equal(quadrants_of(later).fit(*rows).train_depth_, expected.train_depth_)


@pytest.mark.parametrize("given", ["net", "ensemble"])
def test_too_few_rows_to_vote(rows, given):
    X, y = rows
    # 45 rows are trained on, or 44 where folds differ, and none is its own neighbour.
    estimator = make_net() if given == "net" else ensemble_of().fit(X, y)
    with pytest.raises(ValueError, match=r"n_neighbors=45 (must be smaller|is more) than the"):
        quadrants_of(estimator, n_neighbors=45).fit(X, y)
    quadrants_of(estimator, n_neighbors=43).fit(X, y)


def test_probes_that_choose_nothing(rows):
    with pytest.raises(ValueError, match="chooses no module"):
        quadrants_of(make_net(), probes="nothing").fit(*rows)


# ------------------------------------------------------------------------------------- unseen rows


def new_rows(seed=1, n=30):
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % 3
    X = rng.normal(size=(n, 4)) + 1.5 * np.eye(3, 4)[codes]
    return X.astype(np.float32), np.array(["ant", "bee", "cat"])[codes]


def depths_by_hand(fitted, X, y, X_new, labels):
    """Return held-out depths, and the mean depth of the three nearest rows of a label."""
    validation, train = [], []
    for k, trained_on in enumerate(fitted.ensemble_.masks_):
        record = fitted.ensemble_.record(k)
        probed = PredictionDepthScorer(record, n_neighbors=5, normalize=True)
        validation.append(probed.fit(X[trained_on], y[trained_on]).score_samples(X_new))
        with torch.no_grad():
            hidden, new = (record.module[0](torch.from_numpy(a)).numpy() for a in (X, X_new))
            said = record.module(torch.from_numpy(X_new)).argmax(dim=1).numpy()
        of_rows = record.classes_[said] if labels is None else labels
        of_member = []
        for i, label in enumerate(of_rows):
            known = np.flatnonzero(trained_on & (y == label))
            index = NearestNeighbors(n_neighbors=3, algorithm="brute").fit(hidden[known])
            nearest = known[index.kneighbors(new[i : i + 1], return_distance=False)[0]]
            of_member.append(mean_of(fitted.train_depth_[nearest]))
        train.append(of_member)
    return np.stack([[mean_of(c) for c in np.transpose(d)] for d in (validation, train)], axis=1)


@pytest.mark.parametrize("with_labels", [True, False])
def test_unseen_rows_by_hand(fitted, rows, with_labels):
    X_new, y_new = new_rows()
    y_new[:10] = "bee"
    labels = y_new if with_labels else None
    expected = depths_by_hand(fitted, *rows, X_new, labels)
    found = fitted.depths(X_new, labels)
    assert found.shape == (30, 2)
    assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
    assert len(np.unique(found[:, 1])) > 5
    codes = difficulty_quadrants(*expected.T, fitted.thresholds_)
    assert_array_equal(fitted.predict(X_new, labels), codes)
    assert len(set(codes)) > 1
    distance = corner_distances(*expected.T)[:, 0]
    assert_allclose(fitted.score_samples(X_new, labels), distance, rtol=1e-5)
    columns = fitted.transform(X_new, labels)
    assert columns.dtype == np.float32
    assert_allclose(columns, np.column_stack([distance, expected]), rtol=1e-5, atol=1e-7)
    names = ["distance_from_easy", "validation_depth", "train_depth"]
    assert fitted.get_feature_names_out().tolist() == names


def test_labels_decide_about_the_trained_depth_alone(fitted):
    X_new, y_new = new_rows()
    given, rolled = fitted.depths(X_new, y_new), fitted.depths(X_new, np.roll(y_new, 1))
    assert_array_equal(given[:, 0], rolled[:, 0])
    assert not np.allclose(given[:, 1], rolled[:, 1], equal_nan=True)


def test_undefined_unseen_rows(fitted):
    # So far out that no network and no probe agree on it in one of the members.
    X_new = np.vstack([new_rows()[0][:2], np.full((1, 4), 1e30, dtype=np.float32)])
    with pytest.warns(UserWarning, match=r"1 row\(s\) have no defined difficulty, first \[2\]"):
        scores = fitted.score_samples(X_new)
    assert_array_equal(np.isnan(scores), [False, False, True])
    assert fitted.predict(X_new)[2] == -1
    assert np.isnan(fitted.depths(X_new)[2, 0])
    with pytest.warns(UserWarning, match="the largest score"):
        stand_in = copy.copy(fitted).set_params(undefined="max").score_samples(X_new)
    assert_allclose(stand_in[2], np.sqrt(2))


def test_class_that_some_members_have_not_seen(rows):
    X, y = rows
    X, y = X[:62].copy(), y[:62].copy()
    y[[0, 1]] = "dog"
    found = quadrants_of(make_net(module__n_outputs=4), random_state=1).fit(X, y)
    masks = found.ensemble_.masks_
    n_seen = masks[:, [0, 1]].sum(axis=1)
    assert n_seen.min() == 0 < n_seen.max()
    depths = found.depths(X[:1], ["dog"])
    expected = [
        mean_of(found.train_depth_[[i for i in (0, 1) if masks[k, i]]])
        for k in range(K)
        if n_seen[k]
    ]
    assert_allclose(depths[0, 1], mean_of(np.array(expected)), atol=1e-7)


# -------------------------------------------------------------------------- networks of other kinds


class Convolutional(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(1, 4, 1), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))


@pytest.mark.parametrize("kind", ["linear", "convolutional", "one logit", "flat logit", "default"])
def test_networks_of_every_kind(rows, kind):
    X, y = rows
    net, n_probes = None, 5
    if kind == "linear":
        net, n_probes = make_net(module=nn.Linear, module__in_features=4), 3
        net.set_params(module__out_features=3)
    elif kind == "convolutional":
        X, net, n_probes = X.reshape(-1, 1, 2, 2), make_net(module=Convolutional), 3
    elif kind.endswith("logit"):
        module = {"module": FlatLogit} if kind == "flat logit" else {"module__n_outputs": 1}
        net = make_net(NeuralNetBinaryClassifier, criterion=nn.BCEWithLogitsLoss, **module)
        y, n_probes = np.where(y == "ant", "ant", "bee"), 4
    found = quadrants_of(net).fit(X, y)
    depths = np.concatenate([np.ravel(d) for d in found.ensemble_.readout_["depth"]])
    steps = depths[~np.isnan(depths)] * (n_probes - 1)
    assert_allclose(steps, steps.round(), atol=1e-6)
    assert len(np.unique(steps.round())) > 1
    for labels in (None, y[:9]):
        assert set(found.predict(X[:9], labels)) <= {-1, 0, 1, 2, 3}
        assert found.depths(X[:9], labels).shape == (9, 2)


def test_scoring_view(rows):
    X, y = rows
    view = X + np.random.default_rng(2).normal(scale=0.5, size=X.shape).astype(np.float32)
    found = quadrants_of(make_net()).fit(X, y, scoring_view=view)
    # An ensemble that has read nothing is read on the view too.
    ensemble = ensemble_of().fit(X, y, scoring_view=view)
    again = quadrants_of(ensemble).fit(X, y, scoring_view=view)
    assert_array_equal(again.train_depth_, found.train_depth_)
    plain = quadrants_of(ensemble).fit(X, y)
    assert not np.array_equal(plain.train_depth_, found.train_depth_, equal_nan=True)
    assert_array_equal(again.score_samples(view), found.score_samples(view))


# ----------------------------------------------------------------------------------- what it finds


def test_flipped_labels_of_separate_blobs():
    rng = np.random.default_rng(0)
    y = np.arange(300) % 3
    X = (rng.normal(size=(300, 10)) + 5 * np.eye(3, 10)[y]).astype(np.float32)
    flipped = np.zeros(300, dtype=bool)
    flipped[rng.permutation(300)[:30]] = True
    given = np.where(flipped, (y + 1) % 3, y)
    found = quadrants_of(
        memorising(10, 3, max_epochs=60), n_members=10, validation_size=0.1, n_neighbors=10
    ).fit(X, given)
    assert found.memorization_[flipped].mean() > 0.8
    looks_different = found.difficulty_quadrant_ == 1
    assert looks_different[flipped].mean() > 0.8
    assert looks_different[~flipped].mean() < 0.05
    assert (found.difficulty_quadrant_[~flipped] == 0).mean() > 0.8
    assert flipped[found.extremes("looks_like_a_different_class", 20)].mean() > 0.9
    assert not flipped[found.extremes("easy", 100)].any()
    assert (found.suggested_label_ == y)[flipped].mean() > 0.8
    assert (found.suggested_label_ == y)[~flipped].mean() > 0.98


def test_flipped_labels_of_digits():
    X, y = load_digits(return_X_y=True)
    X = X.astype(np.float32)
    rng = np.random.default_rng(0)
    flipped = rng.random(len(y)) < 0.2
    given = np.where(flipped, (y + rng.integers(1, 10, size=len(y))) % 10, y)
    net = memorising(64, 10, module__mean=X.mean(axis=0), module__scale=X.std(axis=0) + 1)
    found = quadrants_of(net, n_members=10, validation_size=0.1, n_neighbors=30)
    found.fit(X[:800], given[:800])
    looks_different = found.extremes("looks_like_a_different_class", 100)
    assert flipped[looks_different].mean() > 0.9
    assert not flipped[found.extremes("easy", 100)].any()
    suggested = found.suggested_label_[looks_different]
    assert (suggested == y[looks_different]).mean() > 0.9

    # Unseen rows: with their labels, flips are found; without, no row can look mislabelled.
    X_new, given_new, flipped_new = X[1000:1250], given[1000:1250], flipped[1000:1250]
    with_labels, without = found.predict(X_new, given_new), found.predict(X_new)
    assert (with_labels[flipped_new] == 1).mean() > 0.3
    assert (with_labels[~flipped_new] == 1).mean() < 0.1
    assert (without == 1).mean() < 0.05
