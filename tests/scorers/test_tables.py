# SPDX-License-Identifier: BSD-3-Clause
"""DataFrames with categories, dates and holes, which scorers take by their default network."""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from instances import SMALLEST_SCORERS
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier

from sklearn_difficulty import (
    DifficultyFilter,
    DistilledClassifier,
    FilteredClassifier,
    LabelErrorScorer,
    PredictionDepthScorer,
    TargetErrorScorer,
    TrainingDynamicsScorer,
    TrainingRecord,
    VoGScorer,
)
from sklearn_difficulty.inspection import ProbePathDisplay, ReviewPage
from sklearn_difficulty.model_selection import (
    MemorizationTrajectory,
    benchmark_scorers,
    cross_val_difficulty,
)
from sklearn_difficulty.training import MLP, ResampledEnsemble, TableMLP, default_network

pytestmark = pytest.mark.filterwarnings("ignore:The network knows no more|.*say no more|.*learned")

N = 40
_RNG = np.random.default_rng(0)
y = np.array(["no", "yes"])[np.arange(N) % 2]
FRAME = pd.DataFrame(
    {
        "size": np.where(np.arange(N) % 7, _RNG.normal(size=N) + 2 * (y == "yes"), np.nan),
        "rooms": pd.array([None if i % 9 == 0 else i % 4 for i in range(N)], dtype="Int64"),
        "city": [None if i % 11 == 0 else "Rome" if i % 3 else "Bonn" for i in range(N)],
        "when": pd.date_range("2024", periods=N).where(np.arange(N) % 13 > 0),
        "level": pd.Categorical(np.array(["low", "high"])[_RNG.integers(0, 2, N)]),
        "sold": y == "yes",
    },
    index=[f"row {i}" for i in range(N)],
)
POLARS = pl.from_pandas(FRAME.reset_index(drop=True))
UNSEEN = FRAME.iloc[:4].assign(city=["Lyon", None, "Rome", "Bonn"], size=[np.nan, 1, 2, 3])
WITHOUT_NET = [scorer for scorer in SMALLEST_SCORERS if scorer.estimator is None]
of_scorers = pytest.mark.parametrize("scorer", WITHOUT_NET, ids=lambda e: type(e).__name__)


def fitted(estimator, X=FRAME, **params):
    return clone(estimator).set_params(random_state=0, **params).fit(X, y)


@of_scorers
def test_every_scorer_takes_columns_of_any_kind(scorer):
    on_pandas = fitted(scorer)
    assert np.isfinite(on_pandas.difficulty_).any()
    assert on_pandas.n_features_in_ == 6
    assert on_pandas.feature_names_in_.tolist() == FRAME.columns.tolist()
    assert_array_equal(fitted(scorer, POLARS).difficulty_, on_pandas.difficulty_)
    if not hasattr(on_pandas, "score_samples"):
        return
    scores = pickle.loads(pickle.dumps(on_pandas)).score_samples(UNSEEN, y[:4])
    assert_array_equal(scores, on_pandas.score_samples(UNSEEN, y[:4]))
    alone = [float(on_pandas.score_samples(UNSEEN.iloc[[i]], y[[i]])[0]) for i in range(4)]
    np.testing.assert_allclose(alone, scores, rtol=1e-4)


@of_scorers
def test_other_columns_than_those_of_the_fit_are_named(scorer):
    on_frame = fitted(scorer)
    if not hasattr(on_frame, "score_samples"):
        return
    with pytest.raises(ValueError, match="feature names should match"):
        on_frame.score_samples(FRAME.rename(columns={"city": "town"}))
    with pytest.raises(ValueError, match=r"Column 'size' of X held numbers in the fit .* 'large'"):
        on_frame.score_samples(FRAME.assign(size="large"))


@of_scorers
def test_numbers_alone_are_scored_as_an_array(scorer):
    X = np.stack([np.arange(N) % 5, np.arange(N) % 2 + _RNG.normal(size=N)], axis=1)
    on_array, on_frame = fitted(scorer, X), fitted(scorer, pd.DataFrame(X, columns=["a", "b"]))
    assert_array_equal(on_frame.difficulty_, on_array.difficulty_)
    assert on_frame.estimator_.module is MLP


def members(frame, backend):
    return ResampledEnsemble(
        n_members=2, train_size=0.5, backend=backend, keep_members=True, random_state=0
    ).fit(frame, y)


@pytest.mark.parametrize("backend", ["stacked", "joblib"])
def test_a_member_learns_nothing_of_rows_that_it_holds_out(backend):
    before = members(FRAME, backend)
    assert before.backend_ == backend
    row = int(np.flatnonzero(~before.masks_[0])[0])
    changed = FRAME.copy()
    changed.iloc[row, [0, 2, 3]] = [1e6, "Rome", pd.Timestamp("1999-12-31")]
    after = members(changed, backend)
    others = np.arange(N) != row
    assert_array_equal(after.given_probability_[0, others], before.given_probability_[0, others])
    trained_on_it = np.flatnonzero(after.masks_[:, row])[0]
    is_same = after.given_probability_[trained_on_it] == before.given_probability_[trained_on_it]
    assert not is_same.all()


def test_members_alone_are_those_of_a_stack():
    stacked, alone = members(FRAME, "stacked"), members(FRAME, "joblib")
    assert stacked.why_not_stacked_ is None
    assert_array_equal(stacked.given_probability_, alone.given_probability_)
    asked = [ensemble.member_probability(UNSEEN) for ensemble in (stacked, alone)]
    assert_array_equal(*asked)


def test_a_category_that_a_member_never_saw_is_no_other_than_a_new_one():
    frame = FRAME.copy()
    ensemble = members(frame, "stacked")
    row = int(np.flatnonzero(~ensemble.masks_[0])[0])
    frame.iloc[row, 2] = "Oslo"
    ensemble = members(frame, "stacked")
    of_row = frame.iloc[[row]]
    asked = ensemble.member_probability(pd.concat([of_row, of_row.assign(city="Lyon")]))
    np.testing.assert_allclose(asked[0, 0], asked[0, 1], rtol=1e-5)


def test_a_fold_learns_nothing_of_rows_that_it_tests():
    parts = np.array_split(np.arange(N), 3)
    folds = [(np.setdiff1d(np.arange(N), part), part) for part in parts]
    scorer = TrainingDynamicsScorer(random_state=0)
    before = cross_val_difficulty(scorer, FRAME, y, cv=folds)
    changed = FRAME.copy()
    changed.iloc[0, [0, 2]] = [1e6, "Bonn"]
    after = cross_val_difficulty(scorer, changed, y, cv=folds)
    tested = folds[0][1][1:]
    assert_array_equal(after[tested], before[tested])
    assert np.isfinite(before).all()


def test_a_fold_may_have_no_holes():
    frame = pd.DataFrame({"a": np.arange(N) / 9, "b": np.arange(N) % 2 + 0.0})
    frame.iloc[3, 0] = np.nan
    difficulty = cross_val_difficulty(TrainingDynamicsScorer(random_state=0), frame, y, cv=3)
    assert np.isfinite(difficulty).all()


@pytest.mark.parametrize("kind", ["symmetric", "instance"])
def test_benchmarks(kind):
    scorers = {"loss": TrainingDynamicsScorer(measure="loss", random_state=0)}
    table = benchmark_scorers(FRAME, y, scorers, rate=0.1, kind=kind, n_repeats=1, random_state=0)
    assert np.isfinite(table["auroc"]).all()


def test_records_know_their_columns(tmp_path):
    net = default_network(FRAME, y).set_params(max_epochs=3)
    record = TrainingRecord.from_fit(net, FRAME, y, random_state=0)
    record.save(tmp_path / "record")
    loaded = TrainingRecord.load(tmp_path / "record")
    assert type(loaded.module) is TableMLP
    assert loaded.columns == net.module__columns
    scores = [VoGScorer(r).fit(FRAME, y).difficulty_ for r in (record, loaded)]
    assert_array_equal(*scores)
    assert record.difference(FRAME, record.targets(FRAME, y)) is None
    assert record.difference(FRAME.assign(sold=False), record.targets(FRAME, y)) == "another X"
    with pytest.raises(ValueError, match="'town' in place of 'city'"):
        record.difference(FRAME.rename(columns={"city": "town"}), np.zeros(N))


def test_a_filter_passes_the_frame_on():
    model = HistGradientBoostingClassifier(categorical_features="from_dtype", max_iter=5)
    frame = FRAME[["size", "level", "sold"]].assign(size=np.arange(N) / 9)
    scorer = LabelErrorScorer(n_members=2, train_size=0.5, n_neighbors=2, random_state=0)
    filtered = FilteredClassifier(model, scorer=scorer, drop=0.1).fit(frame, y)
    assert len(filtered.dropped_indices_) == 4
    assert filtered.predict(frame).shape == (N,)
    assert filtered.feature_names_in_.tolist() == list(frame)
    kept = DifficultyFilter(scorer, drop=0.1).fit_resample(frame, y)[0]
    assert kept.shape == (36, 3)


def test_a_default_estimator_that_reads_numbers_is_refused_before_the_scorer_trains():
    with pytest.raises(ValueError, match=r"'city' .*make_column_transformer"):
        FilteredClassifier().fit(FRAME, y)


def test_texts_are_told_of_once():
    frame = FRAME.assign(name=[f"text {i}" for i in range(N)])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fitted(LabelErrorScorer(n_members=2, train_size=0.5, n_neighbors=2), frame)
    assert sum("texts that hardly repeat" in str(w.message) for w in caught) == 1


@pytest.mark.parametrize("frame", [FRAME, POLARS], ids=["pandas", "polars"])
def test_pages_and_displays_of_a_table(frame):
    scorer = fitted(LabelErrorScorer(n_members=2, train_size=0.5, n_neighbors=2), frame)
    page = ReviewPage(scorer, frame, y, plan=5, random_state=0)
    assert "Bonn" in page._repr_html_()
    depth = fitted(PredictionDepthScorer(n_neighbors=2), frame)
    assert ProbePathDisplay.from_estimator(depth, frame, y, row=3).predicted.shape == (5,)


def test_members_on_disk_are_those_of_the_same_table(tmp_path, capsys):
    settings = {"n_members": 2, "train_size": 0.5, "n_neighbors": 2, "cache_dir": tmp_path}
    scorer = LabelErrorScorer(**settings, random_state=0, verbose=1)
    for frame, n_found in ((FRAME, 0), (FRAME.copy(), 2), (FRAME.assign(sold=False), 0)):
        clone(scorer).fit(frame, y)
        said = capsys.readouterr().out
        assert ("2 of 2 members found in the cache" in said) == (n_found == 2)


def test_regressors_take_columns_of_any_kind():
    targets = np.arange(N) * 2.5 + 30 * (y == "yes")
    scorer = TargetErrorScorer(n_members=2, train_size=0.5, random_state=0).fit(FRAME, targets)
    assert scorer.estimator_.module is TableMLP
    assert scorer.suspects(3).index.tolist()[0].startswith("row ")
    assert np.isfinite(scorer.score_samples(UNSEEN, targets[:4])).all()
    net = default_network(FRAME, targets, task="regression").set_params(max_epochs=2)
    of_one = TrainingDynamicsScorer(net, measure="loss", random_state=0).fit(POLARS, targets)
    assert np.isfinite(of_one.difficulty_).all()


def test_students_take_columns_of_any_kind():
    small, large = (
        default_network(FRAME, y).set_params(max_epochs=1, module__hidden_units=(units,))
        for units in (2, 4)
    )
    students = DistilledClassifier(small, large, random_state=0).fit(FRAME, y)
    assert students.student_.module is students.teacher_.net.module is TableMLP
    expected = students.predict_proba(UNSEEN)
    on_polars = clone(students).fit(POLARS, y).predict_proba(pl.from_pandas(UNSEEN))
    np.testing.assert_allclose(on_polars, expected, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:.*have no category")
def test_networks_of_several_sizes_take_columns_of_any_kind():
    sizes = [
        (f"{n}", default_network(FRAME, y).set_params(max_epochs=1, module__hidden_units=(n,)))
        for n in (2, 4)
    ]
    given = MemorizationTrajectory(sizes, n_members=2, random_state=0).fit(FRAME, y)
    assert given.trajectory_frame_.index[0] == "row 0"
    default = MemorizationTrajectory(n_members=2, random_state=0).fit(POLARS, y)
    assert default.memorization_.shape == (4, N)
