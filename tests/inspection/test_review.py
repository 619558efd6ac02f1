# SPDX-License-Identifier: BSD-3-Clause
"""Decisions from a file: checked, applied to labels of any type, and merged."""

import json
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.metrics import cohen_kappa_score

from sklearn_difficulty import LabelErrorScorer, VoGScorer
from sklearn_difficulty.inspection import Review, read_review
from sklearn_difficulty.inspection.review import report_fingerprint

NAMES = np.array(["cat", "dog", "elephant"])
N = 60


@pytest.fixture(scope="module")
def labelled():
    rng = np.random.default_rng(0)
    y = np.arange(N) % 3
    probabilities = rng.dirichlet(np.full(3, 0.3), size=N) + 3 * np.eye(3)[y]
    return probabilities / probabilities.sum(axis=1, keepdims=True), y


@pytest.fixture(scope="module")
def scorer(labelled):
    probabilities, y = labelled
    return LabelErrorScorer("precomputed").fit(probabilities, NAMES[y])


def content_for(scorer, decided=(), plan=None, **changes):
    content = {
        "format": "sklearn_difficulty.review",
        "version": 1,
        "fingerprint": report_fingerprint(scorer),
        "n_rows": N,
        "classes": NAMES.tolist(),
        "plan": {"rows": [], "weight": []} if plan is None else plan,
        "decisions": [{"row": r, "decision": d, "label": k} for r, d, k in decided],
    }
    return content | changes


@pytest.fixture
def read(tmp_path, scorer):
    def reader(decided=(), plan=None, scorer=scorer, **changes):
        path = tmp_path / "review-decisions.json"
        path.write_text(json.dumps(content_for(scorer, decided, plan, **changes)))
        return read_review(path, scorer)

    return reader


DECISIONS = [
    (7, "right", None),
    (3, "suggestion", 2),
    (50, "other", 0),
    (1, "drop", None),
    (9, "unsure", None),
    (0, "other", None),
]


def test_what_was_decided(read):
    review = read(DECISIONS, {"rows": [7, 9, 4], "weight": [1, 20.5, 3.0]})
    assert_array_equal(review.rows, [0, 1, 3, 7, 9, 50])
    assert_array_equal(review.verdicts, [1, 1, 1, 0, np.nan, 1])
    assert_array_equal(review.labels, [-1, -1, 2, -1, -1, 0])
    assert_array_equal(review.decisions[:3], ["other", "drop", "suggestion"])
    assert_array_equal(review.plan.rows, [7, 9, 4])
    assert_array_equal(review.plan.weight, [1, 20.5, 3])
    assert_array_equal(review.classes, NAMES)
    assert repr(review) == (
        "Review(6 of 60 rows decided: 1 right, 2 wrong with the true label, 1 wrong without, "
        "1 to drop, 1 unsure; 2 of the 3 rows of the plan)"
    )
    nothing = read()
    assert repr(nothing) == "Review(0 of 60 rows decided)"
    assert len(nothing.plan.rows) == len(nothing.verdicts) == 0
    assert nothing.apply(NAMES[np.zeros(N, int)])[1].all()


CONTAINERS = {
    "array": (np.asarray, np.asarray),
    "objects": (lambda y: np.asarray(y, dtype=object), np.asarray),
    "list": (lambda y: y.tolist(), np.asarray),
    "series": (lambda y: pd.Series(y, index=np.arange(N) + 100, name="y"), np.asarray),
    "categorical": (lambda y: pd.Series(y, dtype="category"), np.asarray),
    "polars": (lambda y: pl.Series("y", y), np.asarray),
}
LABELS = {
    "text": NAMES,
    "integers": np.array([3, 5, 9], dtype=np.int16),
    "floats": np.array([0.0, 1.0, 2.0], dtype=np.float32),
    "dates": np.array(["2020-01-01", "2020-01-02", "2021-01-01"], dtype="M8[D]"),
}


# Dates of Python's own are no labels anywhere in this package.
KINDS = [(c, v) for c in CONTAINERS for v in LABELS if v != "dates" or c in ("array", "series")]


@pytest.mark.parametrize(("container", "values"), KINDS)
def test_decisions_are_applied_to_labels_of_any_type(labelled, read, container, values):
    probabilities, codes = labelled
    to, back = CONTAINERS[container]
    of_classes = LABELS[values]
    y = to(of_classes[codes])
    scorer = LabelErrorScorer("precomputed").fit(probabilities, of_classes[codes])
    before = pickle.dumps(y)
    y_new, keep = read(DECISIONS, scorer=scorer).apply(y)
    expected = codes.copy()
    expected[[3, 50]] = [2, 0]
    assert_array_equal(back(y_new), back(to(of_classes[expected])))
    assert_array_equal(np.flatnonzero(~keep), [0, 1])
    assert type(y_new) is type(y)
    if container != "list":
        assert y_new.dtype == y.dtype
    else:
        assert {type(label) for label in y_new} == {type(label) for label in y}
    if isinstance(y, pd.Series):
        assert_array_equal(y_new.index, y.index)
        assert y_new.name == y.name
    assert pickle.dumps(y) == before


def test_decisions_are_applied_to_tensors_and_columns(labelled, read):
    probabilities, y = labelled
    scorer = LabelErrorScorer("precomputed").fit(probabilities, y)
    review = read(DECISIONS, scorer=scorer)
    expected = review.apply(y)[0]
    assert expected.dtype == y.dtype
    y_new = review.apply(torch.as_tensor(y, dtype=torch.int32))[0]
    assert y_new.dtype == torch.int32
    assert_array_equal(y_new, expected)
    with pytest.warns(match="column-vector"):
        assert_array_equal(review.apply(y[:, None])[0], expected)


def test_a_longer_label_is_not_cut_off(read):
    y = np.array(["cat"] * N)
    assert read([(4, "other", 2)]).apply(y)[0][4] == "elephant"


def test_labels_that_were_not_reviewed_are_refused(labelled, read):
    review = read(DECISIONS)
    with pytest.raises(ValueError, match="y has 59 rows, and the review is of 60"):
        review.apply(NAMES[labelled[1]][:-1])
    with pytest.raises(ValueError, match="Pass labels of the same kind"):
        review.apply(labelled[1])


def test_without_the_scorer_classes_have_their_names(labelled, tmp_path, scorer):
    path = tmp_path / "decisions.json"
    content = content_for(scorer, [(4, "other", 2)])
    path.write_text(json.dumps(content), encoding="utf-8-sig")
    assert read_review(path).apply(NAMES[labelled[1]])[0][4] == "elephant"
    path.write_text(json.dumps(content | {"classes": ["0", "1", "2"]}))
    y_new, _ = read_review(str(path)).apply(labelled[1])
    assert (y_new[4], y_new.dtype) == (2, labelled[1].dtype)


# ------------------------------------------------------------------------------- the same report?


def test_a_report_is_recognised(labelled, scorer):
    probabilities, y = labelled
    fingerprint = report_fingerprint(scorer)
    assert int(fingerprint, 16) >= 0
    assert report_fingerprint(pickle.loads(pickle.dumps(scorer))) == fingerprint
    again = LabelErrorScorer("precomputed").fit(probabilities, NAMES[y])
    assert report_fingerprint(again) == fingerprint
    others = [
        LabelErrorScorer("precomputed").fit(probabilities[:-1], NAMES[y][:-1]),
        LabelErrorScorer("precomputed").fit(probabilities, y),
        LabelErrorScorer("precomputed").fit(probabilities, NAMES[np.roll(y, 1)]),
        LabelErrorScorer("precomputed").fit(probabilities[::-1], NAMES[y]),
    ]
    assert len({fingerprint, *map(report_fingerprint, others)}) == 5


def test_decisions_about_another_report_are_refused(labelled, read, tmp_path, scorer):
    probabilities, y = labelled
    other = LabelErrorScorer("precomputed").fit(probabilities[::-1], NAMES[y])
    read(DECISIONS)
    with pytest.raises(ValueError, match="decisions about another report"):
        read_review(tmp_path / "review-decisions.json", other)


@pytest.mark.usefixtures("one_thread")
def test_scorers_without_suggestions_have_a_report_too(labelled):
    X, y = labelled
    settings = {"random_state": 0, "checkpoints": 2}
    first, again = (VoGScorer(**settings).fit(X, y) for _ in range(2))
    assert report_fingerprint(first) == report_fingerprint(again)
    assert report_fingerprint(VoGScorer(**settings).fit(X, 2 - y)) != report_fingerprint(first)


# --------------------------------------------------------------------------------- hostile files

ROW = {"row": 1, "decision": "right", "label": None}
PLAN = {"rows": [1, 2], "weight": [1.0, 2.0]}
BAD = {
    "another format": ({"format": "csv"}, "not what a review page saves"),
    "version of text": ({"version": "1"}, '"version" must be a number'),
    "a bool for a version": ({"version": True}, '"version" must be a number'),
    "a later version": ({"version": 2}, "install a later one"),
    "no text for a fingerprint": ({"fingerprint": 5}, '"fingerprint" must be text'),
    "other rows": ({"n_rows": 0}, '"n_rows" must be at least 1'),
    "a float for a number": ({"n_rows": 60.0}, '"n_rows" must be an integer'),
    "classes of numbers": ({"classes": [1, 2, 3]}, '"classes" must hold texts'),
    "too few classes": ({"classes": ["cat"]}, "it names 1 classes, not 3"),
    "a plan of a list": ({"plan": []}, '"plan" must be an object'),
    "a plan without weights": ({"plan": {"rows": [1]}}, '"plan" must have the lists'),
    "a short plan": ({"plan": PLAN | {"weight": [1.0]}}, "of one length"),
    "a row of a plan twice": ({"plan": PLAN | {"rows": [1, 1]}}, '"plan" has the row 1 twice'),
    "a row beyond a plan": ({"plan": PLAN | {"rows": [1, 60]}}, "the row 60, not an integer"),
    "a tiny weight": ({"plan": PLAN | {"weight": [0.5, 1]}}, "has the weight 0.5"),
    "a huge weight": ({"plan": PLAN | {"weight": [1e400, 1]}}, "which is no number of JSON"),
    "a bool for a weight": ({"plan": PLAN | {"weight": [True, 1]}}, "has the weight True"),
    "decisions of an object": ({"decisions": {}}, '"decisions" must be a list'),
    "a decision of a list": ({"decisions": [[1, "right", None]]}, "a decision needs"),
    "no label": ({"decisions": [{"row": 1, "decision": "right"}]}, "a decision needs"),
    "a negative row": ({"decisions": [ROW | {"row": -1}]}, "the row -1, not an integer from 0"),
    "a row beyond": ({"decisions": [ROW | {"row": 60}]}, "from 0 to 59"),
    "a row of text": ({"decisions": [ROW | {"row": "1"}]}, "the row '1'"),
    "a row of a float": ({"decisions": [ROW | {"row": 1.0}]}, r"the row 1\.0"),
    "a row twice": ({"decisions": [ROW, ROW]}, '"decisions" has the row 1 twice'),
    "another decision": ({"decisions": [ROW | {"decision": "maybe"}]}, "'maybe', none of right"),
    "a list of decisions": ({"decisions": [ROW | {"decision": []}]}, "none of right"),
    "a label beyond": ({"decisions": [ROW | {"label": 3}]}, "the label 3, not a position"),
    "a label of text": ({"decisions": [ROW | {"label": "cat"}]}, "the label 'cat'"),
    "a label to drop": ({"decisions": [ROW | {"decision": "drop", "label": 1}]}, "and a label"),
    "NaN": ({"n_rows": float("nan")}, "NaN, which is no number of JSON"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_content_is_named(read, case):
    change, message = BAD[case]
    with pytest.raises(ValueError, match=message) as caught:
        read(**change)
    assert "review-decisions.json cannot be taken as a review" in str(caught.value)


@pytest.mark.parametrize("name", ["fingerprint", "n_rows", "classes", "plan", "decisions"])
def test_missing_content_is_named(tmp_path, scorer, name):
    path = tmp_path / "decisions.json"
    content = content_for(scorer)
    del content[name]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f'"{name}" is missing'):
        read_review(path, scorer)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "it is no JSON"),
        (b"row,decision\n1,right", "it is no JSON"),
        (b"[]", "not what a review page saves"),
        (b'{"version": 1, "version": 1}', "the key 'version' twice"),
        (b'{"version": ' + b"9" * 5000 + b"}", "it is no JSON"),
        (b"[" * 100_000, "nested too deeply"),
        ('{"format": "ü"}'.encode("latin-1"), "it is not UTF-8"),
        (b"\x00\xff\xfe", "it is not UTF-8"),
    ],
)
def test_files_of_something_else_are_named(tmp_path, text, message):
    path = tmp_path / "decisions.json"
    path.write_bytes(text)
    with pytest.raises(ValueError, match=message):
        read_review(path)


def test_huge_and_missing_files(tmp_path):
    path = tmp_path / "decisions.json"
    with path.open("wb") as file:
        file.truncate(10**9)  # sparse: no byte of it is stored or read
    with pytest.raises(ValueError, match="1000000000 bytes"):
        read_review(path)
    with pytest.raises(FileNotFoundError):
        read_review(tmp_path / "other.json")


# ----------------------------------------------------------------------------------- two persons


def test_two_persons(read):
    plan = {"rows": [1, 2], "weight": [1.0, 30.0]}
    first = read(
        [
            (1, "right", None),
            (2, "suggestion", 2),
            (3, "drop", None),
            (4, "unsure", None),
            (5, "right", None),
            (6, "other", 1),
            (7, "right", 0),
        ],
        plan,
    )
    second = read(
        [
            (1, "right", 1),  # the given label, or none: both say that it is right
            (2, "other", 2),  # the same label
            (3, "other", 2),
            (4, "right", None),
            (5, "suggestion", 0),
            (6, "unsure", None),
            (8, "drop", None),
        ],
        plan,
    )
    merged = first.merge(second)
    assert_array_equal(merged.rows, [1, 2, 3, 4, 5, 6, 7, 8])
    assert merged.decisions.tolist() == [
        *("right", "suggestion", "other", "right", "unsure", "other", "right", "drop")
    ]
    assert_array_equal(merged.labels, [-1, 2, -1, -1, -1, 1, -1, -1])
    assert_array_equal(merged.conflicts["row"], [3, 5])
    assert merged.conflicts[1].tolist() == (5, "right", -1, "suggestion", 0)
    # Rows 1, 2, 3 and 5 by the first person, then by the second.
    assert merged.kappa == pytest.approx(cohen_kappa_score([0, 1, 1, 0], [0, 1, 1, 1]))
    assert len(merged.plans) == 1
    assert repr(merged).endswith("2 of the 2 rows of the plan; 2 conflicts, kappa 0.50)")
    assert second.merge(first).kappa == merged.kappa
    assert_array_equal(second.merge(first).verdicts, merged.verdicts)
    other_plan = read([(9, "right", None)], {"rows": [9], "weight": [1.0]})
    assert [plan.rows.tolist() for plan in merged.merge(other_plan).plans] == [[1, 2], [9]]


def test_kappa_without_a_meaning_is_nan(read):
    right, also = read([(1, "right", None)]), read([(1, "right", None), (2, "drop", None)])
    assert np.isnan(right.merge(also).kappa)
    assert np.isnan(right.merge(read([(2, "right", None)])).kappa)
    assert np.isnan(right.merge(read([(1, "unsure", None)])).kappa)


def test_reviews_of_different_reports_are_not_merged(labelled, read):
    probabilities, y = labelled
    other = LabelErrorScorer("precomputed").fit(probabilities[::-1], NAMES[y])
    with pytest.raises(ValueError, match="reviews of different reports"):
        read(DECISIONS).merge(read(DECISIONS, scorer=other))
    with pytest.raises(TypeError, match="other must be a Review, got a dict"):
        read(DECISIONS).merge({})
    assert isinstance(read(DECISIONS).merge(read(DECISIONS)), Review)


def test_fingerprint_of_other_labels_with_the_same_scores():
    y = np.arange(60) % 2
    scorers = [LabelErrorScorer("precomputed").fit(np.full((60, 2), 0.5), y) for y in (y, 1 - y)]
    assert_array_equal(scorers[0].difficulty_, scorers[1].difficulty_)
    for scorer in scorers:
        scorer.suggested_label_ = y
    assert report_fingerprint(scorers[0]) != report_fingerprint(scorers[1])
