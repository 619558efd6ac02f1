# SPDX-License-Identifier: BSD-3-Clause
"""The table of suspects: its order, its columns, and the names of the rows."""

import pickle
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_array_equal
from sklearn.exceptions import NotFittedError
from small_nets import make_net

from sklearn_difficulty import DifficultyScorer, LabelErrorScorer
from sklearn_difficulty.inspection import ReviewPage

pytestmark = pytest.mark.usefixtures("one_thread", "seeded")
COLUMNS = ["row", "given", "suggested", "probability", "difficulty", "kind", "expected_precision"]


def few(**params):
    settings = {"n_members": 2, "train_size": 0.5, "n_neighbors": 5, "random_state": 0}
    return LabelErrorScorer(make_net(), **{**settings, **params})


@pytest.mark.parametrize("method", ["out_of_sample", "one_fit", "neighbors"])
def test_rows_in_order(flowers, method):
    X, y = flowers
    scorer = few(method=method).fit(X, y)
    table = scorer.suspects()
    rows = table["row"].to_numpy()
    assert_array_equal(np.sort(rows), np.arange(150))
    assert_array_equal(table.index, rows)
    assert (np.diff(scorer.difficulty_[rows]) <= 0).all()
    assert_array_equal(table["given"], y[rows])
    assert_array_equal(table["difficulty"], scorer.difficulty_[rows])
    assert_array_equal(table["suggested"], scorer.suggested_label_[rows])
    if hasattr(scorer, "error_probability_"):
        assert table.columns.tolist() == COLUMNS
        assert_array_equal(table["probability"], scorer.error_probability_[rows])
        of_ten = table["expected_precision"].iloc[9]
        assert of_ten == pytest.approx(table["probability"].iloc[:10].mean())
    for n in (0, 7, 1000):
        pd.testing.assert_frame_equal(scorer.suspects(n), table[:n])
    pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(scorer)).suspects(), table)


def test_columns_that_there_are_not(flowers):
    scorer = few(method="one_fit").fit(*flowers)
    for name in ("suggested_label_", "error_probability_"):
        vars(scorer).pop(name, None)
    assert scorer.suspects(3).columns.tolist() == ["row", "given", "difficulty"]


def test_undefined_rows_come_last(flowers):
    X, y = flowers
    y = np.where(np.arange(150) == 60, "rose", y)  # a class of one row
    scorer = few(stratify=False, n_members=4).set_params(estimator__module__n_outputs=4)
    with pytest.warns(UserWarning, match="no defined difficulty"):
        scorer.fit(X, y)
    assert np.isnan(scorer.difficulty_[60])
    table = scorer.suspects()
    assert not table["difficulty"][: -scorer.n_undefined_].isna().any()
    assert table["difficulty"][-scorer.n_undefined_ :].isna().all()
    assert table.loc[60, "given"] == "rose"


def test_index_of_the_frame(flowers):
    X, y = flowers
    frame = pd.DataFrame(X, index=[f"row {i}" for i in range(150)])
    scorer = few().fit(frame, y)
    table = scorer.suspects(5)
    assert table.index.tolist() == [f"row {i}" for i in table["row"]]
    assert frame.loc[table.index].shape == (5, 4)
    assert scorer.fit(X, y).suspects(5).index.tolist() == table["row"].tolist()
    of_many = DifficultyScorer(make_net(), scores=[few(method="neighbors")], random_state=0)
    of_many.fit(frame, y)
    [inner] = of_many.scorers_.values()
    assert_array_equal(inner.suspects()["difficulty"], -np.sort(-of_many.difficulty_))


@pytest.mark.filterwarnings("ignore:The most likely class is the given label")
def test_kinds_of_suspects():
    p = np.tile([[0.9, 0.1, 0.0], [0.1, 0.9, 0.0], [0.4, 0.3, 0.3], [0.3, 0.4, 0.3]], (20, 1))
    scorer = LabelErrorScorer("precomputed").fit(p, np.arange(80) % 3)
    table = scorer.suspects()
    kinds = table.groupby("kind", observed=False)
    assert kinds.groups.keys() == {"label error", "ambiguous", "right"}
    ambiguous = np.sort(kinds.get_group("ambiguous")["row"])
    assert_array_equal(ambiguous, np.flatnonzero(p.max(axis=1) < 0.5))
    assert kinds.get_group("label error")["probability"].min() > 0.5
    assert kinds.get_group("right")["probability"].max() <= 0.5


NAMES = ["setosa", "versicolor", "virginica", "never"]
AS_PANDAS = {
    "category": pd.CategoricalDtype(NAMES[::-1], ordered=True),
    "string": pd.StringDtype("python"),
    "Enum": pd.CategoricalDtype(NAMES, ordered=True),
}


@pytest.mark.parametrize("dtype", AS_PANDAS)
def test_labels_come_back_as_given(flowers, dtype):
    X, y = flowers
    expected = AS_PANDAS[dtype]
    given = pl.Series(y, dtype=pl.Enum(NAMES)) if dtype == "Enum" else pd.Series(y, dtype=expected)
    table = few(n_neighbors=None).fit(X, given).suspects()
    for name in ("given", "suggested"):
        assert table[name].dtype == expected
    assert_array_equal(table["given"], y[table["row"]])


def test_reviews_know_the_names_of_rows(flowers):
    X, y = flowers
    frame = pd.DataFrame(X, index=[f"row {i}" for i in range(150)])
    scorer = few(n_neighbors=None).fit(frame, y)
    plan = scorer.review_plan(20, random_state=0)
    assert plan.ids.tolist() == [f"row {i}" for i in plan.rows]
    by_name, by_row = (scorer.calibrate(rows, np.arange(20) % 2) for rows in (plan.ids, plan.rows))
    assert by_name.noise_rate == by_row.noise_rate
    with pytest.raises(ValueError, match=r"not in the index are \['row 999'\]"):
        scorer.calibrate(["row 999"], [1])
    assert ReviewPage(scorer, frame, y, plan=plan)._writer.ids[:2] == ["row 0", "row 1"]
    assert few(n_neighbors=None).fit(X, y).review_plan(5).ids is None


def test_precomputed(flowers):
    _, y = flowers
    probabilities = np.full((150, 3), 1 / 3)
    scorer = LabelErrorScorer("precomputed").fit(probabilities, y)
    assert scorer.suspects(4).columns.tolist() == COLUMNS


def test_what_is_refused(flowers, monkeypatch):
    with pytest.raises(NotFittedError):
        few().suspects()
    scorer = few(n_neighbors=None).fit(*flowers)
    for n in (-1, 2.5):
        with pytest.raises(ValueError, match="'n' parameter of suspects"):
            scorer.suspects(n)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pandas must be installed"):
        scorer.suspects()
