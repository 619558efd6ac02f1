# SPDX-License-Identifier: BSD-3-Clause
"""ConsistencyScorer, and what all scorers that read an ensemble have in common: one pool."""

import pickle
import warnings
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import average_precision_score
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier, NeuralNetRegressor
from torch import nn
from torch.utils.data import TensorDataset

from sklearn_difficulty import (
    ConsistencyScorer,
    DifficultyQuadrantClassifier,
    DifficultyScorer,
    MemorizationScorer,
    TrainingRecord,
    VoGScorer,
)
from sklearn_difficulty.training import ResampledEnsemble, default_network

pytestmark = [
    pytest.mark.usefixtures("one_thread", "seeded"),
    pytest.mark.filterwarnings("ignore:.*have no defined difficulty:UserWarning"),
]

SCORERS = pytest.mark.parametrize(
    "scorer_class", [ConsistencyScorer, MemorizationScorer, DifficultyQuadrantClassifier]
)
K, N = 6, 150


def few(scorer_class, estimator=None, **params):
    """Return a scorer of four members that fits small data."""
    if scorer_class is DifficultyQuadrantClassifier:
        params = {"n_neighbors": 5, **params}
    return scorer_class(estimator, **{"n_members": 4, "random_state": 0, **params})


@pytest.fixture(scope="session")
def pool(make_net, flowers):
    """Return a fitted ensemble that held every row out twice; it is only read."""
    settings = {"n_members": K, "train_size": 2 / 3, "keep_members": True, "random_state": 0}
    net = make_net(lr=0.05)
    return ResampledEnsemble(net, **settings).fit(*flowers)


@pytest.fixture
def passes():
    """Count the forward passes of networks that are being trained."""
    seen = []

    def note(module, inputs, outputs):
        if module.training:
            seen.append(module)

    hook = torch.nn.modules.module.register_module_forward_hook(note)
    yield seen
    hook.remove()


@pytest.fixture
def bare(make_net, flowers):
    """Return a fitted ensemble that kept no members."""
    return ResampledEnsemble(make_net(), n_members=4, train_size=0.5, random_state=0).fit(*flowers)


class Codebook(nn.Linear):
    """A linear layer that knows nothing: trained on one-hot rows, it knows just these."""

    def __init__(self, n_inputs):
        super().__init__(n_inputs, 3, bias=False)
        nn.init.zeros_(self.weight)


@pytest.fixture
def codebook(make_net):
    """Return a function that makes a net which learns one-hot rows by heart, and only them.

    Rows that it was not trained on get the first class.
    """

    def make(n_inputs):
        return make_net(module=Codebook, module__n_inputs=n_inputs, lr=1, batch_size=-1)

    return make


# ------------------------------------------------------------------------------- what it computes


def test_every_number_by_hand(pool, flowers):
    X, y = flowers
    scorer = ConsistencyScorer(pool).fit(X, y)
    predicted = pool.classes_[pool.predictions_]
    for i in range(N):
        votes = [predicted[k, i] for k in range(K) if not pool.masks_[k, i]]
        counts = Counter(votes)
        tied = [label for label in pool.classes_ if counts[label] == max(counts.values())]
        consensus = y[i] if y[i] in tied else tied[0]
        assert scorer.n_held_out_[i] == len(votes) == 2
        assert scorer.consistency_[i] == counts[y[i]] / len(votes)
        assert scorer.consensus_class_[i] == consensus
        assert scorer.consensus_consistency_[i] == counts[consensus] / len(votes)
    assert_array_equal(scorer.difficulty_, (1 - scorer.consistency_).astype(np.float32))
    assert scorer.difficulty_.dtype == np.float32
    assert set(scorer.difficulty_) == {0, 0.5, 1}
    assert scorer.consensus_class_.dtype == y.dtype
    assert scorer.n_undefined_ == 0


def test_ties_go_to_the_given_label_and_then_to_the_first(pool, flowers):
    X, y = flowers
    scorer = ConsistencyScorer(pool).fit(X, y)
    is_tied = scorer.consensus_consistency_ == 0.5
    votes = [set(pool.classes_[pool.predictions_[~pool.masks_[:, i], i]]) for i in range(N)]
    with_given = [i for i in np.flatnonzero(is_tied) if y[i] in votes[i]]
    without = [i for i in np.flatnonzero(is_tied) if y[i] not in votes[i]]
    assert with_given
    assert without
    assert_array_equal(scorer.consensus_class_[with_given], y[with_given])
    assert_array_equal(scorer.consensus_class_[without], [min(votes[i]) for i in without])


def test_closed_form(codebook):
    # A member knows the rows that it was trained on, and takes all others for the first class.
    y = np.arange(30) % 3
    scorer = ConsistencyScorer(codebook(30), n_members=4, train_size=0.5, random_state=0)
    scorer.fit(np.eye(30, dtype=np.float32), y)
    assert_array_equal(scorer.ensemble_.predictions_, np.where(scorer.ensemble_.masks_, y, 0))
    assert_array_equal(scorer.difficulty_, y != 0)
    assert_array_equal(scorer.consensus_class_, np.zeros(30))
    assert_array_equal(scorer.consensus_consistency_, np.ones(30))
    n_in = scorer.ensemble_.masks_.sum(axis=0)
    assert_array_equal(n_in, 4 - scorer.n_held_out_)
    expected = np.where(y == 0, 0, 1 - n_in / 4)
    assert_allclose(scorer.score_samples(np.eye(30), y), expected)
    assert_allclose(scorer.score_samples(np.eye(30)), np.minimum(expected, 1 - expected))
    assert 0 < expected.max() < 1


def test_unseen_rows_by_hand(pool, flowers):
    X, y = flowers
    scorer = ConsistencyScorer(pool).fit(X, y)
    new = X + np.random.default_rng(1).normal(scale=0.3, size=X.shape).astype(np.float32)
    with torch.no_grad():
        outputs = [pool.record(k).module(torch.from_numpy(new)) for k in range(K)]
    votes = np.stack([pool.classes_[o.argmax(dim=1).numpy()] for o in outputs])
    agreement = [max(Counter(column).values()) / K for column in votes.T]
    assert_allclose(scorer.score_samples(new), 1 - np.array(agreement), atol=1e-7)
    assert_allclose(scorer.score_samples(new, y), (votes != y).mean(axis=0), atol=1e-7)
    assert len(set(agreement)) > 2
    assert_array_equal(scorer.transform(new), scorer.score_samples(new)[:, None])
    assert_array_equal(scorer.transform(new, y), scorer.score_samples(new, y)[:, None])
    assert scorer.get_feature_names_out().tolist() == ["inconsistency"]
    assert_array_equal(scorer.score_samples(new[7:9]), scorer.score_samples(new)[7:9])


@pytest.mark.parametrize(
    "names", [["ant", "bee", "cat"], [-7, 0, 12], [False, True]], ids=["strings", "ints", "bools"]
)
def test_labels_of_any_type(make_net, flowers, names):
    X, y = flowers
    names = np.array(names)
    codes = np.unique(y, return_inverse=True)[1] % len(names)
    settings = {"n_members": 4, "train_size": 0.5, "random_state": 0}
    net = make_net(module__n_outputs=len(names))
    expected = ConsistencyScorer(net, **settings).fit(X, codes)
    scorer = ConsistencyScorer(net, **settings).fit(X, names[codes])
    assert_array_equal(scorer.difficulty_, expected.difficulty_)
    assert_array_equal(scorer.consensus_class_, names[expected.consensus_class_])
    assert scorer.consensus_class_.dtype == names.dtype
    assert_array_equal(scorer.classes_, names)
    assert_array_equal(scorer.score_samples(X, names[codes]), expected.score_samples(X, codes))
    with pytest.raises(ValueError, match=r"labels that the network was not trained on"):
        scorer.score_samples(X[:2], [names[0], 99])


def test_finds_wrong_labels_of_digits():
    X, y = load_digits(return_X_y=True)
    X, y = X[:1000], y[:1000]
    rng = np.random.default_rng(0)
    wrong = rng.random(1000) < 0.2
    given = np.where(wrong, (y + rng.integers(1, 10, size=1000)) % 10, y)
    scorer = ConsistencyScorer(n_members=10, train_size=0.8, random_state=0)
    scorer.fit(X[:700], given[:700])
    assert average_precision_score(wrong[:700], scorer.difficulty_) > 0.7  # chance: 0.2
    assert (scorer.consensus_class_ == y[:700]).mean() > 0.9
    without, with_labels = (
        average_precision_score(wrong[700:], scorer.score_samples(X[700:], labels))
        for labels in (None, given[700:])
    )
    assert without < 0.3 < 0.8 < with_labels


# --------------------------------------------------------------- rows that were never held out


@pytest.mark.parametrize(
    ("undefined", "text"), [("nan", "NaN is returned"), ("max", "the largest score is returned")]
)
def test_rows_that_no_member_held_out(make_net, flowers, undefined, text):
    X, y = flowers
    scorer = ConsistencyScorer(
        make_net(), n_members=2, train_size=0.7, undefined=undefined, random_state=0
    )
    with pytest.warns(UserWarning, match=text) as caught:
        scorer.fit(X, y)
    assert [w.filename for w in caught] == [__file__]
    never = scorer.ensemble_.masks_.all(axis=0)
    assert 40 < never.sum() < 110
    assert f"{never.sum()} row(s) have no defined difficulty" in str(caught[0].message)
    assert scorer.n_undefined_ == never.sum()
    assert_array_equal(scorer.n_held_out_ == 0, never)
    stand_in = np.nan if undefined == "nan" else scorer.difficulty_[~never].max()
    assert_array_equal(scorer.difficulty_[never], np.full(never.sum(), stand_in))
    assert np.isfinite(scorer.difficulty_[~never]).all()
    assert_array_equal(np.isnan(scorer.consistency_), never)
    assert_array_equal(np.isnan(scorer.consensus_consistency_), never)
    assert scorer.consensus_class_.dtype == object
    assert_array_equal([label is None for label in scorer.consensus_class_], never)
    assert set(scorer.consensus_class_[~never]) <= set(y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # all members can be asked about unseen rows
        assert np.isfinite(scorer.score_samples(X)).all()


# ------------------------------------------------------------------------------ one pool for all


@SCORERS
def test_a_fitted_ensemble_is_read_without_training(pool, flowers, passes, scorer_class):
    X, y = flowers
    scorer = few(scorer_class, pool)
    assert scorer.fit(X, y) is scorer
    assert scorer.ensemble_ is pool
    assert scorer.estimator_ is pool.estimator_
    assert scorer.difficulty_.shape == (N,)
    assert scorer.n_features_in_ == 4
    assert_array_equal(scorer.classes_, pool.classes_)
    if hasattr(scorer, "score_samples"):
        scorer.score_samples(X, y)
    assert not passes
    few(scorer_class, pool.estimator_).fit(X, y)
    assert passes  # the counter works


@SCORERS
def test_an_ensemble_of_its_own_is_that_of_the_same_settings(
    make_net, flowers, passes, tmp_path, scorer_class
):
    X, y = flowers
    is_quadrants = scorer_class is DifficultyQuadrantClassifier
    size = {"validation_size": 0.5} if is_quadrants else {"train_size": 0.5}
    shared = {"stratify": True, "backend": "joblib", "n_jobs": 1, "cache_dir": tmp_path}
    scorer = few(scorer_class, make_net(), **size, **shared).fit(X, y)
    assert scorer.ensemble_.backend_ == "joblib"
    readout = scorer.readout() if is_quadrants else None
    by_hand = ResampledEnsemble(
        make_net(), n_members=4, train_size=0.5, random_state=0, readout=readout, **shared
    )
    assert scorer.ensemble_.get_params(deep=False).keys() == by_hand.get_params(deep=False).keys()
    by_hand.set_params(keep_members=True)
    passes.clear()
    by_hand.fit(X, y)
    assert not passes  # all members lie in the cache, so nothing differs
    assert_array_equal(scorer.ensemble_.masks_, by_hand.masks_)
    assert_array_equal(scorer.ensemble_.predictions_, by_hand.predictions_)
    assert_array_equal(few(scorer_class, by_hand).fit(X, y).difficulty_, scorer.difficulty_)
    assert len(list(tmp_path.iterdir())) >= 4


@SCORERS
def test_scorers_read_the_pool_of_another(make_net, flowers, passes, scorer_class):
    X, y = flowers
    first = few(DifficultyQuadrantClassifier, make_net(), validation_size=0.5).fit(X, y)
    passes.clear()
    second = few(scorer_class, first.ensemble_).fit(X, y)
    assert not passes
    consistency = few(ConsistencyScorer, first.ensemble_).fit(X, y)
    if scorer_class is MemorizationScorer:
        assert_array_equal(second.difficulty_, first.memorization_.astype(np.float32))
        assert_array_equal(second.p_out_, first.consistency_)
        assert_array_equal(second.p_out_, consistency.consistency_)
    for name in ("consistency_", "consensus_class_", "consensus_consistency_"):
        assert_array_equal(getattr(first, name), getattr(consistency, name))


@SCORERS
def test_other_rows_than_those_of_the_ensemble(pool, flowers, scorer_class):
    X, y = flowers
    for other_X, other_y, difference in (
        (X[:99], y[:99], "99 rows instead of 150"),
        (X[::-1], y, "another X"),
        (X, np.roll(y, 1), "other labels"),
    ):
        with pytest.raises(ValueError, match=rf"trained on other rows \({difference}\); pass the"):
            few(scorer_class, pool).fit(other_X, other_y)
    with pytest.raises(ValueError, match="rose"):
        few(scorer_class, pool).fit(X, np.where(y == "setosa", "rose", y))
    with pytest.raises(ValueError, match="requires y"):
        few(scorer_class, pool).fit(X)
    few(scorer_class, pool).fit(X.astype(np.float64), y.tolist())


@SCORERS
def test_an_ensemble_that_is_not_fitted(make_net, flowers, scorer_class):
    scorer = few(scorer_class, ResampledEnsemble(make_net()))
    with pytest.raises(NotFittedError, match="Fit it first, on the same rows"):
        scorer.fit(*flowers)
    with pytest.raises(NotFittedError):
        clone(few(scorer_class, clone(ResampledEnsemble(make_net())))).fit(*flowers)


@SCORERS
def test_clone_keeps_the_fitted_ensemble(pool, flowers, scorer_class):
    X, y = flowers
    scorer = few(scorer_class, pool, undefined="max").fit(X, y)
    again = clone(scorer)
    assert again.estimator is pool
    assert not hasattr(again, "ensemble_")
    assert again.undefined == "max"
    assert clone(make_pipeline(StandardScaler(), scorer))[1].estimator is pool
    assert_array_equal(again.fit(X, y).difficulty_, scorer.difficulty_)
    assert type(scorer).__name__ in scorer._repr_html_()


@SCORERS
def test_networks_of_an_ensemble_cannot_be_tuned(pool, make_net, scorer_class):
    scorer = few(scorer_class, pool)
    for name in ("estimator__lr", "estimator__n_members", "estimator__estimator__lr"):
        with pytest.raises(ValueError, match=rf"{name} cannot be set: .* already trained"):
            scorer.set_params(**{name: 1})
    with pytest.raises(ValueError, match=r"estimator is None; pass a net"):
        few(scorer_class).set_params(estimator__lr=0.1)
    scorer.set_params(estimator=make_net(), estimator__lr=0.7, undefined="max")
    assert scorer.estimator.lr == 0.7


@SCORERS
def test_settings_of_the_network(make_net, flowers, scorer_class):
    slow, fast = (
        few(scorer_class, make_net()).set_params(estimator__lr=lr).fit(*flowers)
        for lr in (0.0, 0.1)
    )
    assert not np.array_equal(slow.ensemble_.predictions_, fast.ensemble_.predictions_)
    cloned = clone(few(scorer_class, make_net())).set_params(estimator__lr=0.1)
    assert_array_equal(cloned.fit(*flowers).difficulty_, fast.difficulty_)
    assert fast.estimator is not cloned.estimator
    assert not fast.estimator.initialized_


@SCORERS
def test_estimators_that_no_ensemble_can_be_made_of(make_net, flowers, scorer_class):
    X, y = flowers
    with pytest.raises(ValueError, match="regressor; agreement"):
        few(scorer_class, make_net(NeuralNetRegressor, criterion=nn.MSELoss)).fit(X, X[:, 0])
    record = TrainingRecord.from_fit(make_net(), X, y)
    for estimator in (record, FrozenEstimator(record.net), nn.Linear(4, 3), "net"):
        with pytest.raises(ValueError, match=r"'estimator' parameter .*ResampledEnsemble"):
            few(scorer_class, estimator).fit(X, y)


@SCORERS
def test_cannot_be_one_of_several_scores(make_net, flowers, scorer_class):
    scorer = DifficultyScorer(make_net(), scores=[VoGScorer(checkpoints=2), few(scorer_class)])
    with pytest.raises(TypeError, match=rf"{scorer_class.__name__} reads many trainings"):
        scorer.fit(*flowers)


@SCORERS
def test_groups_and_shares_of_classes(make_net, flowers, scorer_class):
    X, y = flowers
    teams = np.arange(N) // 5
    is_quadrants = scorer_class is DifficultyQuadrantClassifier
    size = {"validation_size": 0.5} if is_quadrants else {"train_size": 0.5}
    grouped = few(scorer_class, make_net(), **size).fit(X, y, groups=teams).ensemble_.masks_
    for team in range(30):
        assert (np.ptp(grouped[:, teams == team].astype(int), axis=1) == 0).all()
    plain = few(scorer_class, make_net(), **size).fit(X, y).ensemble_.masks_
    fair = few(scorer_class, make_net(), stratify=True, **size).fit(X, y).ensemble_.masks_
    off = [
        max(abs(masks[:, y == name].sum(axis=1) - (y == name).sum() / 2).max() for name in set(y))
        for masks in (plain, fair)
    ]
    assert off[0] > 1 >= off[1]


@SCORERS
def test_scoring_view(make_net, flowers, scorer_class):
    X, y = flowers
    view = X * 0.9 + 0.5
    scorer = few(scorer_class, make_net()).fit(X, y, scoring_view=view)
    ensemble = scorer.ensemble_
    for k in range(4):
        with torch.no_grad():
            found = ensemble.record(k).module(torch.from_numpy(view)).argmax(dim=1).numpy()
        assert_array_equal(ensemble.predictions_[k], found)
    plain = few(scorer_class, make_net()).fit(X, y)
    assert_array_equal(plain.ensemble_.masks_, ensemble.masks_)
    assert not np.array_equal(plain.ensemble_.predictions_, ensemble.predictions_)
    for a, b in zip(
        ensemble.record(0).module.parameters(),
        plain.ensemble_.record(0).module.parameters(),
        strict=True,
    ):
        assert torch.equal(a, b)  # trained on X all the same
    with pytest.raises(ValueError, match="scoring_view has 9 rows and X has 150"):
        few(scorer_class, make_net()).fit(X, y, scoring_view=view[:9])
    # The ensemble knows its rows by X, also if it was asked about the view.
    again = few(scorer_class, ensemble).fit(X, y, scoring_view=view)
    assert_array_equal(again.difficulty_, scorer.difficulty_)


# ------------------------------------------------------------------------- without the members


@pytest.mark.parametrize("scorer_class", [ConsistencyScorer, DifficultyQuadrantClassifier])
def test_unseen_rows_need_the_members(make_net, flowers, bare, scorer_class):
    hidden = ("transform", "score_samples", "fit_transform")
    kept = few(scorer_class, make_net())
    lost = few(scorer_class, make_net(), keep_members=False)
    for scorer, offered in ((kept, True), (lost, False)):
        assert [hasattr(scorer, name) for name in hidden] == [offered] * 3
        scorer.fit(*flowers)
        assert [hasattr(scorer, name) for name in hidden] == [offered] * 3
        assert scorer.ensemble_.has_members is offered
    assert_array_equal(kept.difficulty_, lost.difficulty_)
    assert [hasattr(few(scorer_class, bare), name) for name in hidden] == [False] * 3
    # The ensemble decides, not the scorer's own setting.
    assert not hasattr(few(scorer_class, bare, keep_members=True), "transform")


def test_an_ensemble_without_members_has_consistency(bare, flowers):
    scorer = ConsistencyScorer(bare).fit(*flowers)
    correct = bare.classes_[bare.predictions_] == flowers[1]
    expected = 1 - (correct * ~bare.masks_).sum(axis=0) / (~bare.masks_).sum(axis=0)
    assert_allclose(scorer.difficulty_, expected)


# ------------------------------------------------------------------------- a scikit-learn citizen


@pytest.mark.parametrize("given", ["net", "ensemble"])
@SCORERS
def test_frames(make_net, flowers, scorer_class, given):
    X, y = flowers
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"], index=np.arange(500, 650))
    labels = pd.Series(y, index=frame.index)
    estimator = make_net()
    if given == "ensemble":
        estimator = ResampledEnsemble(
            estimator, n_members=4, train_size=0.5, keep_members=True, random_state=0
        ).fit(frame, labels)
    scorer = few(scorer_class, estimator)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*feature names")
        scorer.set_output(transform="pandas").fit(frame, labels)
        assert scorer.feature_names_in_.tolist() == ["a", "b", "c", "d"]
        if scorer_class is MemorizationScorer:
            assert scorer.influence(frame[:3], labels[:3]).shape == (3, N)
            return
        table = scorer.transform(frame)
        scores = scorer.score_samples(frame, labels)
    assert isinstance(table, pd.DataFrame)
    assert_array_equal(table.index, frame.index)
    assert table.columns.tolist() == scorer.get_feature_names_out().tolist()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = few(scorer_class, estimator if given == "ensemble" else make_net()).fit(X, y)
    assert_array_equal(scores, plain.score_samples(X, y))


@SCORERS
def test_pickle(pool, make_net, flowers, scorer_class):
    X, y = flowers
    for estimator in (pool, make_net()):
        scorer = few(scorer_class, estimator).fit(X, y)
        loaded = pickle.loads(pickle.dumps(scorer))
        assert_array_equal(loaded.difficulty_, scorer.difficulty_)
        assert_array_equal(loaded.ensemble_.predictions_, scorer.ensemble_.predictions_)
        if scorer_class is MemorizationScorer:
            assert_array_equal(loaded.influence(X, y), scorer.influence(X, y))
        else:
            assert_array_equal(loaded.score_samples(X, y), scorer.score_samples(X, y))


@SCORERS
def test_datasets_and_dicts(make_net, flowers, scorer_class):
    X, y = flowers
    codes = np.unique(y, return_inverse=True)[1]
    expected = few(scorer_class, make_net(), backend="joblib").fit(X, codes)
    dataset = TensorDataset(torch.from_numpy(X), torch.from_numpy(codes))
    found = few(scorer_class, make_net(), backend="joblib").fit(dataset)
    assert_array_equal(found.difficulty_, expected.difficulty_)
    again = few(scorer_class, found.ensemble_).fit(dataset)
    assert_array_equal(again.difficulty_, expected.difficulty_)
    if scorer_class is MemorizationScorer:
        assert_array_equal(found.influence(dataset, None), expected.influence(X, codes))
    else:
        assert_array_equal(found.score_samples(dataset), expected.score_samples(X))
        given = found.score_samples(dataset, codes)
        assert_array_equal(given, expected.score_samples(X, codes))
    with pytest.raises(ValueError, match="no default network for a TensorDataset"):
        few(scorer_class).fit(dataset)


@SCORERS
def test_default_network(flowers, scorer_class):
    X, y = flowers
    scorer = few(scorer_class).fit(X, y)
    expected = few(scorer_class, default_network(X, y)).fit(X, y)
    assert_array_equal(scorer.difficulty_, expected.difficulty_)
    assert scorer.estimator is None
    assert isinstance(scorer.estimator_, NeuralNetClassifier)


@SCORERS
def test_stacked_members_give_the_scores_of_single_ones(make_net, flowers, scorer_class):
    stacked, single = (
        few(scorer_class, make_net(), backend=backend).fit(*flowers)
        for backend in ("stacked", "joblib")
    )
    assert (stacked.ensemble_.backend_, single.ensemble_.backend_) == ("stacked", "joblib")
    same = stacked.ensemble_.predictions_ == single.ensemble_.predictions_
    assert same.mean() > 0.99
    assert np.isclose(stacked.difficulty_, single.difficulty_, equal_nan=True).mean() > 0.9


def test_pipeline_and_grid_search(make_net, flowers):
    X, y = flowers
    pipeline = make_pipeline(
        StandardScaler(),
        ConsistencyScorer(make_net(), n_members=3, random_state=0),
        KNeighborsClassifier(),
    )
    grid = {"consistencyscorer__train_size": [0.5, 0.75], "consistencyscorer__estimator__lr": [0.1]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(X, y)
    assert len(search.cv_results_["params"]) == 2
    assert search.predict(X).shape == (N,)
    transformed = search.best_estimator_[:2].transform(X)
    assert transformed.shape == (N, 1)
    assert search.best_estimator_[1].ensemble_.estimator_.lr == 0.1


@SCORERS
def test_an_ensemble_in_a_grid_search_says_why_it_cannot(pool, flowers, scorer_class):
    search = GridSearchCV(
        few(scorer_class, pool),
        {"undefined": ["nan"]},
        cv=2,
        scoring=lambda scorer, X, y=None: 0.0,
        error_score="raise",
    )
    with pytest.raises(ValueError, match="trained on other rows"):
        search.fit(*flowers)


class Watch:
    """Notes the tasks of a fit."""

    def __init__(self):
        self.begun, self.ended = [], []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        self.begun.append(context.task_name)

    def on_fit_task_end(self, estimator, context):
        self.ended.append(context.task_name)


@SCORERS
def test_callbacks_see_every_member(make_net, flowers, scorer_class):
    pytest.importorskip("sklearn.callback")
    watch = Watch()
    few(scorer_class, make_net()).set_callbacks(watch).fit(*flowers)
    assert watch.begun == ["fit", "train", *["member"] * 4]
    assert sorted(watch.ended) == sorted(watch.begun)


@SCORERS
def test_verbose(make_net, flowers, capsys, scorer_class):
    few(scorer_class, make_net()).fit(*flowers)
    few(scorer_class).fit(*flowers)
    assert capsys.readouterr().out == ""
    few(scorer_class, make_net(), verbose=1).fit(*flowers)
    assert "of 4 members are trained after" in capsys.readouterr().out


@SCORERS
def test_failed_refit_leaves_nothing_behind(make_net, flowers, scorer_class):
    X, y = flowers
    scorer = few(scorer_class, make_net()).fit(X, y)
    with pytest.raises(ValueError, match="NaN"):
        scorer.fit(np.where(X == X[3], np.nan, X), y)
    for name in ("difficulty_", "ensemble_", "_bank"):
        assert not hasattr(scorer, name)
    reading = scorer.influence if scorer_class is MemorizationScorer else scorer.score_samples
    with pytest.raises(NotFittedError):
        reading(X, y)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_members": 1}, "'n_members' parameter"),
        ({"n_members": 2.5}, "'n_members' parameter"),
        ({"train_size": 1}, "'train_size' parameter"),
        ({"train_size": 0.0}, "'train_size' parameter"),
        ({"train_size": 0.999}, "train_size=0.999"),
        ({"backend": "threads"}, "'backend' parameter"),
        ({"n_jobs": 0.5}, "'n_jobs' parameter"),
        ({"stratify": "y"}, "'stratify' parameter"),
        ({"keep_members": None}, "'keep_members' parameter"),
        ({"cache_dir": 3}, "'cache_dir' parameter"),
        ({"undefined": "mean"}, "'undefined' parameter"),
    ],
)
@pytest.mark.parametrize("scorer_class", [ConsistencyScorer, MemorizationScorer])
def test_bad_parameters(make_net, flowers, scorer_class, params, message):
    with pytest.raises(ValueError, match=message):
        few(scorer_class, make_net(), **params).fit(*flowers)


def test_unseen_rows_of_another_shape(pool, flowers):
    X, y = flowers
    scorer = ConsistencyScorer(pool).fit(X, y)
    with pytest.raises(ValueError, match="4 features"):
        scorer.score_samples(np.ones((2, 5)))
    with pytest.raises(ValueError, match="NaN"):
        scorer.transform(np.full((2, 4), np.nan))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        scorer.score_samples(X[:3], y[:2])
    with pytest.raises(NotFittedError):
        ConsistencyScorer(pool).score_samples(X)


@pytest.mark.parametrize(
    ("scorer", "reason"),
    [
        (ConsistencyScorer(keep_members=False), "keep_members=True"),
        (DifficultyQuadrantClassifier(keep_members=False), "keep_members=True"),
        (MemorizationScorer(), "Memorization has no meaning"),
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["transform", "fit_transform", "score_samples"])
def test_missing_methods_say_why(scorer, reason, method):
    with pytest.raises(AttributeError) as caught:
        getattr(scorer, method)
    assert reason in str(caught.value.__cause__)
