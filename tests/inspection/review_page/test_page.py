# SPDX-License-Identifier: BSD-3-Clause
"""What the review page holds, without a browser."""

import gzip
import inspect
import json
import re
import tomllib
from base64 import b64decode
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from skorch import NeuralNetRegressor
from small_nets import make_net
from torch import nn
from torch.utils.data import TensorDataset

from sklearn_difficulty import (
    DifficultyQuadrantClassifier,
    DifficultyScorer,
    LabelErrorScorer,
    TrainingDynamicsScorer,
    TrainingRecord,
    VoGScorer,
)
from sklearn_difficulty.inspection import ReviewPage, read_review
from sklearn_difficulty.inspection.review import report_fingerprint
from sklearn_difficulty.inspection.review_page import document, writer
from sklearn_difficulty.inspection.review_page.packing import json_in_html
from sklearn_difficulty.measures.review import ReviewPlan

pytestmark = pytest.mark.filterwarnings("ignore:.*no defined difficulty:UserWarning")

ROOT = Path(__file__).parents[3]


def report_of(page, folder):
    """Return the report that the file of a page holds."""
    text = page.write(folder / "page.html").read_text(encoding="utf-8")
    return json.loads(re.search(r'type="application/json">(.*?)</script>', text)[1])


def unpacked(column):
    return np.frombuffer(gzip.decompress(b64decode(column["data"])), dtype=column["type"])


def pictures(report):
    return [Image.open(BytesIO(b64decode(p))) for p in report["content"]["pictures"]]


def test_numbers_of_all_rows_stand_hardest_first(precomputed, texts, tmp_path):
    scorer, P, y = precomputed
    report = report_of(ReviewPage(scorer, P, y, show=texts, random_state=0), tmp_path)
    columns = {name: unpacked(column) for name, column in report["columns"].items()}
    order = np.argsort(-scorer.difficulty_, kind="stable")
    assert_array_equal(columns["row"], order)
    assert_array_equal(scorer.classes_[columns["given"]], y[order])
    assert_array_equal(scorer.classes_[columns["suggested"]], scorer.suggested_label_[order])
    assert_array_equal(columns["error"], scorer.error_probability_[order].astype(np.float32))
    top = columns["top_class"].reshape(200, 3)
    assert_array_equal(top[:, 0], P[order].argmax(axis=1))
    assert_allclose(
        columns["top_probability"].reshape(200, 3)[:, 0] / 254, P[order].max(axis=1), atol=0.002
    )
    assert report["classes"] == ["cat", "dog", "owl"]
    assert report["fingerprint"] == report_fingerprint(scorer)
    assert report["cuts"][4]["n_dropped"] == scorer.cuts_["n_dropped"][4]


def test_the_plan_is_the_scorers(precomputed, texts, tmp_path):
    scorer, P, y = precomputed
    page = ReviewPage(scorer, P, y, show=texts, plan=20, random_state=3)
    drawn = scorer.review_plan(20, random_state=3)
    assert_array_equal(page.plan_.rows, drawn.rows)
    assert_array_equal(page.plan_.weight, drawn.weight)
    report = report_of(page, tmp_path)
    assert report["plan"]["rows"] == page.plan_.rows.tolist()
    rows = unpacked(report["columns"]["row"])
    assert_array_equal(rows[report["plan"]["positions"]], page.plan_.rows)
    assert ReviewPage(scorer, P, y, show=texts, plan=drawn).plan_ is drawn
    assert ReviewPage(scorer, P, y, show=texts, plan=0).plan_ is None


def test_texts_are_those_of_the_plan_the_hardest_and_their_neighbours(precomputed, texts, tmp_path):
    scorer, P, y = precomputed
    page = ReviewPage(scorer, P, y, show=texts, plan=5, max_rows=7, neighbors=2, random_state=0)
    report = report_of(page, tmp_path)
    rows = unpacked(report["columns"]["row"])[unpacked(report["content"]["rows"])]
    assert_array_equal(rows[:5], page.plan_.rows)
    assert report["content"]["texts"] == [texts[row] for row in rows]
    hardest = [row for row in np.argsort(-scorer.difficulty_) if row not in page.plan_.rows]
    assert_array_equal(rows[5:12], hardest[:7])
    near = unpacked(report["columns"]["row"])[unpacked(report["content"]["neighbors"])]
    distances = np.linalg.norm(P[rows[:12], None] - P[None], axis=2)
    distances[np.arange(12), rows[:12]] = np.inf
    expected = np.sort(distances, axis=1)[:, :2]
    found = np.take_along_axis(distances, near.reshape(12, 2), axis=1)
    assert_allclose(np.sort(found, axis=1), expected, atol=1e-6)
    assert set(near) <= set(rows)


def test_copies_of_a_row_are_neighbours_and_the_row_itself_is_not(texts, tmp_path):
    y = np.arange(200) % 2
    P = np.tile([[0.7, 0.3]], (200, 1))
    scorer = LabelErrorScorer("precomputed").fit(P, y)
    page = ReviewPage(scorer, P, y, show=texts, neighbors=3, plan=0, max_rows=200)
    report = report_of(page, tmp_path)
    rows = unpacked(report["columns"]["row"])
    near = rows[unpacked(report["content"]["neighbors"])].reshape(200, 3)
    assert not (near == rows[unpacked(report["content"]["rows"]), None]).any()


# A colour each, darker from the left to the right.
IMAGES = np.random.default_rng(0).integers(100, 200, size=(200, 1, 1, 3)).repeat(6, axis=1)
IMAGES = (IMAGES * np.linspace(1, 0.5, 9)[:, None]).astype(np.uint8)


def as_files(folder):
    for i, image in enumerate(IMAGES):
        Image.fromarray(image).save(folder / f"{i}.png")
    return [folder / f"{i}.png" for i in range(len(IMAGES))]


@pytest.mark.parametrize(
    "kind",
    {
        "bytes": lambda folder: IMAGES,
        "floats": lambda folder: IMAGES / 255,
        "channels first": lambda folder: torch.from_numpy(IMAGES / 255).permute(0, 3, 1, 2),
        "PIL": lambda folder: [Image.fromarray(image) for image in IMAGES],
        "files": as_files,
        "list": lambda folder: list(IMAGES),
    }.items(),
    ids=lambda kind: kind[0],
)
def test_pictures_of_every_kind(kind, precomputed, tmp_path):
    settings = {"plan": 0, "max_rows": 3, "neighbors": 0}
    show = kind[1](tmp_path)
    report = report_of(ReviewPage(*precomputed, show=show, **settings), tmp_path)
    rows = unpacked(report["columns"]["row"])[:3]
    for row, picture in zip(rows, pictures(report), strict=True):
        assert picture.size == (9, 6)
        difference = np.asarray(picture.convert("RGB"), dtype=float) - IMAGES[row]
        assert abs(difference).max() < 20  # the format is lossy


def test_pictures_are_made_smaller_and_stretched_to_all_greys(precomputed, tmp_path):
    show = np.linspace(-3, 8, 200 * 100 * 50).reshape(200, 100, 50)
    page = ReviewPage(*precomputed, show=show, plan=0, max_rows=2, neighbors=0, thumbnail_size=20)
    for picture in pictures(report_of(page, tmp_path)):
        assert picture.size == (10, 20)
        grey = np.asarray(picture.convert("L"))
        assert grey.min() < 15
        assert grey.max() > 240


def test_larger_pictures_take_the_room_that_is_left(precomputed, tmp_path):
    rng = np.random.default_rng(0)
    show = [rng.integers(256, size=(50 + i, 60), dtype=np.uint8) for i in range(200)]
    settings = {"show": show, "plan": 3, "max_rows": 7, "thumbnail_size": 20, "neighbors": 1}
    page = ReviewPage(*precomputed, **settings, random_state=0)
    report = report_of(page, tmp_path)
    rows = unpacked(report["columns"]["row"])[unpacked(report["content"]["rows"])]
    larger = [Image.open(BytesIO(b64decode(p))) for p in report["content"]["larger"]]
    for row, picture in zip(rows.tolist(), larger, strict=False):
        assert max(picture.size) == min(80, max(60, 50 + row))
    assert len(larger) == 10
    n_bytes = (tmp_path / "page.html").stat().st_size - 5_000
    page = ReviewPage(*precomputed, **settings, random_state=0, max_bytes=n_bytes)
    some = report_of(page, tmp_path)["content"]["larger"]
    assert some == report["content"]["larger"][: len(some)]
    assert 0 < len(some) < 10
    assert (tmp_path / "page.html").stat().st_size <= n_bytes
    assert "&quot;larger&quot;" not in page._repr_html_()
    small = ReviewPage(*precomputed, show=rng.random((200, 8, 8)))
    assert "larger" not in report_of(small, tmp_path)["content"]


def test_photographs_are_turned_upright(precomputed, tmp_path):
    files = []
    for i in range(200):
        picture = Image.new("RGB", (40, 20), "red")
        exif = picture.getexif()
        exif[0x0112] = 6  # taken with the camera on its side
        files.append(tmp_path / f"{i}.jpg")
        picture.save(files[-1], exif=exif)
    page = ReviewPage(*precomputed, show=files, plan=0, max_rows=1, neighbors=0)
    assert pictures(report_of(page, tmp_path))[0].size == (20, 40)


def test_columns_without_numbers_are_a_table_too(precomputed, tmp_path):
    names = pd.DataFrame({"name": [f"animal {i}" for i in range(200)]})
    report = report_of(ReviewPage(*precomputed, show=names), tmp_path)
    assert report["content"]["table"]["numbers"]["names"] == []
    assert report["content"]["n_neighbors"] == 5  # in the probabilities
    names["kind"], names["nothing"] = precomputed[2], np.nan
    report = report_of(ReviewPage(*precomputed, show=names), tmp_path)
    rows = unpacked(report["columns"]["row"])
    near = rows[unpacked(report["content"]["neighbors"])].reshape(200, 5)
    at = unpacked(report["content"]["rows"])
    assert (precomputed[2][near] == precomputed[2][rows[at], None]).all()


def test_tables_stand_beside_what_is_usual_in_the_class(precomputed, tmp_path):
    scorer, P, y = precomputed
    rng = np.random.default_rng(0)
    codes = np.searchsorted(scorer.classes_, y)
    frame = pd.DataFrame(
        {
            "size": 10 * codes + rng.normal(size=200),
            "colour": np.array(["red", "blue", "blue"])[codes],
            "count": pd.array([None, *range(199)], dtype="Int64"),
            "name": [f"animal {i}" for i in range(200)],
            "is big": codes > 1,
        },
        index=np.arange(200) + 1000,
    )
    frame.loc[1003, ["size", "colour"]] = None
    settings = {"plan": 0, "max_rows": 200, "neighbors": 0}
    for show in (frame, pl.from_pandas(frame)):
        report = report_of(ReviewPage(scorer, P, y, show=show, **settings), tmp_path)
        rows = unpacked(report["columns"]["row"])
        numbers = report["content"]["table"]["numbers"]
        assert numbers["names"] == ["size", "count"]
        values = unpacked(numbers["values"]).reshape(200, 2)
        assert_allclose(values[:, 0], frame["size"].to_numpy()[rows], rtol=1e-6)
        assert np.isnan(values[rows == 0, 1])
        medians = unpacked(numbers["medians"]).reshape(3, 2)
        assert_allclose(medians[:, 0], frame.groupby(y)["size"].median(), rtol=1e-6)
        colour, name, is_big = report["content"]["table"]["categories"]
        assert [colour["levels"][code] for code in unpacked(colour["codes"])] == [
            "(missing)" if row == 3 else frame["colour"].iloc[row] for row in rows
        ]
        assert [colour["levels"][code] for code in colour["common"]] == ["red", "blue", "blue"]
        share = unpacked(colour["shares"])
        assert_allclose(share[rows == 3], 1 / (codes == codes[3]).sum(), rtol=1e-6)
        assert name["levels"][name["common"][0]] == "–"
        assert (unpacked(name["shares"]) == 1).all()
        assert is_big["name"] == "is big"


def test_vectors_are_a_table_with_the_names_of_the_fit(flowers, tmp_path):
    X, y = flowers
    frame = pd.DataFrame(X, columns=list("abcd"))
    scorer = TrainingDynamicsScorer(make_net(max_epochs=3), random_state=0).fit(frame, y)
    report = report_of(ReviewPage(scorer, frame, y), tmp_path)
    assert report["content"]["table"]["numbers"]["names"] == list("abcd")
    scorer = TrainingDynamicsScorer(make_net(max_epochs=3), random_state=0).fit(X, y)
    report = report_of(ReviewPage(scorer, X, y), tmp_path)
    assert report["content"]["table"]["numbers"]["names"] == ["x0", "x1", "x2", "x3"]


def test_other_scorers_show_what_they_have(flowers, tmp_path):
    X, y = flowers
    record = TrainingRecord.from_fit(make_net(max_epochs=6), X, y, random_state=0)
    several = DifficultyScorer(record, scores=["confidence", "aum"]).fit(X, y)
    page = ReviewPage(several, X, y)
    assert page.plan_ is None
    report = report_of(page, tmp_path)
    assert {"error", "suggested", "confidence", "quadrant"} & set(report["columns"]) == set()
    assert report["score_names"] == ["confidence", "aum"]
    order = unpacked(report["columns"]["row"])
    scores = unpacked(report["columns"]["scores"]).reshape(150, 2)
    assert_array_equal(scores, several.difficulties_[order])
    epochs = unpacked(report["columns"]["epochs"]).reshape(150, 6)
    assert_allclose(epochs / 254, record.trajectory.probability.T[order], atol=0.003)
    assert report["epochs"] == [1, 2, 3, 4, 5, 6]
    assert "unknown" in " ".join(report["sentences"])

    quadrants = DifficultyQuadrantClassifier(
        make_net(), n_members=4, validation_size=0.25, n_neighbors=5, random_state=0
    ).fit(X, y)
    report = report_of(ReviewPage(quadrants, X, y), tmp_path)
    order = unpacked(report["columns"]["row"])
    assert_array_equal(
        unpacked(report["columns"]["quadrant"]), quadrants.difficulty_quadrant_[order]
    )
    assert "validation depth" in report["score_names"]


def test_neighbours_are_near_in_the_last_hidden_layer(flowers, tmp_path):
    X, y = flowers
    scorer = TrainingDynamicsScorer(make_net(max_epochs=6), random_state=0).fit(X, y)
    page = ReviewPage(scorer, X, y, neighbors=3)
    report = report_of(page, tmp_path)
    order = unpacked(report["columns"]["row"])
    with torch.no_grad():
        hidden = scorer.record_.module[0](torch.from_numpy(X)).numpy()
    distances = np.linalg.norm(hidden[:, None] - hidden[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    near = order[unpacked(report["content"]["neighbors"]).reshape(150, 3)]
    found = np.take_along_axis(distances[order], near, axis=1)
    assert_allclose(np.sort(found), np.sort(distances[order], axis=1)[:, :3], atol=1e-4)


def test_neighbours_of_pictures_look_alike(precomputed, tmp_path):
    show = np.random.default_rng(0).random((200, 4, 5))
    show[100:] = show[:100] + 0.001
    for kind in (show, torch.from_numpy(show)):
        page = ReviewPage(*precomputed, show=kind, plan=0, max_rows=200, neighbors=1)
        report = report_of(page, tmp_path)
        rows = unpacked(report["columns"]["row"])
        near = rows[unpacked(report["content"]["neighbors"])]
        assert_array_equal(near, (rows[unpacked(report["content"]["rows"])] + 100) % 200)


def test_labels_come_from_a_dataset(flowers, tmp_path):
    X, y = flowers
    codes = np.unique(y, return_inverse=True)[1]
    data = TensorDataset(torch.from_numpy(X), torch.from_numpy(codes))
    scorer = TrainingDynamicsScorer(make_net(), random_state=0).fit(data)
    page = ReviewPage(scorer, data, None, show=X)
    report = report_of(page, tmp_path)
    assert_array_equal(
        unpacked(report["columns"]["given"]), codes[unpacked(report["columns"]["row"])]
    )
    with pytest.raises(ValueError, match="Row 0 is no picture"):
        ReviewPage(scorer, data, None)


class Stranger(BaseEstimator):
    """A scorer of someone else, with a difficulty and nothing more."""

    def fit(self, X, y):
        self.difficulty_ = np.arange(len(X), dtype=float)
        self.difficulty_[0] = np.nan
        return self


def test_scorers_of_others_give_the_order(flowers, tmp_path):
    scorer = Stranger().fit(*flowers)
    report = report_of(ReviewPage(scorer, *flowers), tmp_path)
    assert_array_equal(unpacked(report["columns"]["row"]), [*range(149, 0, -1), 0])
    assert report["classes"] == ["setosa", "versicolor", "virginica"]
    decisions = {
        "format": "sklearn_difficulty.review",
        "version": 1,
        "decisions": [{"row": 3, "decision": "other", "label": 1}],
        **{name: report[name] for name in ("fingerprint", "n_rows", "classes", "plan")},
    }
    (tmp_path / "decisions.json").write_text(json.dumps(decisions))
    review = read_review(tmp_path / "decisions.json", scorer)
    assert review.apply(flowers[1])[0][3] == "versicolor"


def test_a_frame_of_scores_takes_the_place_of_a_scorer(flowers, tmp_path):
    scores = np.random.default_rng(0).random((150, 2))
    for frame in (
        pd.DataFrame(scores, columns=["vog", "aum"], index=np.arange(150) + 7),
        pl.DataFrame(scores, schema=["vog", "aum"]),
    ):
        report = report_of(ReviewPage(frame, *flowers), tmp_path)
        order = unpacked(report["columns"]["row"])
        assert_array_equal(order, np.argsort(-scores[:, 0]))
        assert report["score_names"] == ["vog", "aum"]
        assert_allclose(
            unpacked(report["columns"]["scores"]).reshape(150, 2), scores[order], rtol=1e-6
        )
        decisions = {
            "format": "sklearn_difficulty.review",
            "version": 1,
            "decisions": [],
            **{name: report[name] for name in ("fingerprint", "n_rows", "classes", "plan")},
        }
        (tmp_path / "decisions.json").write_text(json.dumps(decisions))
        assert len(read_review(tmp_path / "decisions.json", frame).rows) == 0
        with pytest.raises(ValueError, match="about another report"):
            read_review(tmp_path / "decisions.json", frame[["aum", "vog"]])
    with pytest.raises(ValueError, match="needs a column"):
        ReviewPage(pd.DataFrame(index=range(150)), *flowers)


def test_fewer_rows_have_content_where_the_file_would_be_too_large(precomputed, texts, tmp_path):
    show = [text + " long" * 500 for text in texts]
    full = ReviewPage(*precomputed, show=show, random_state=0).write(tmp_path / "full.html")
    n_bytes = full.stat().st_size * 2 // 3
    page = ReviewPage(*precomputed, show=show, random_state=0, max_bytes=n_bytes)
    with pytest.warns(UserWarning, match="rows worth a look, .* have their texts in it") as caught:
        report = report_of(page, tmp_path)
    assert caught[0].filename == __file__
    assert (tmp_path / "page.html").stat().st_size <= n_bytes
    assert 0 < len(report["content"]["texts"]) < 200
    assert report["n_without_content"] == 200 - len(report["content"]["texts"])
    tiny = ReviewPage(*precomputed, show=show, max_bytes=1)
    with pytest.warns(UserWarning, match="of 200 rows worth a look, 0 have"):
        tiny.write(tmp_path / "tiny.html")


def test_numbers_that_are_too_many_are_refused(precomputed, texts, tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "LARGEST_FILE", 1000)
    page = ReviewPage(*precomputed, show=texts, max_bytes=1000)
    with pytest.raises(ValueError, match=r"alone take .* Make pages of parts"):
        page.write(tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"show": ["a"]}, "show holds 1 rows, and there are 200"),
        ({"ids": [1, 2]}, "ids holds 2 names, and there are 200 rows"),
        ({"class_names": ["a"]}, "class_names holds 1 names, and there are 3"),
        ({"class_names": {"cat": "Katze"}}, "no name for 'dog'"),
        ({"plan": ReviewPlan(np.array([200]), np.ones(1))}, r"plan.rows holds \[200\]"),
        ({"plan": -1}, "'plan' parameter of ReviewPage"),
        ({"max_bytes": 10**9}, "'max_bytes' parameter of ReviewPage"),
        ({"thumbnail_size": 4}, "'thumbnail_size' parameter of ReviewPage"),
        ({"neighbors": 1.5}, "'neighbors' parameter of ReviewPage"),
        ({"blind": "yes"}, "'blind' parameter of ReviewPage"),
    ],
)
def test_parameters_that_do_not_fit_are_named(settings, message, precomputed):
    with pytest.raises(ValueError, match=message):
        ReviewPage(*precomputed, **settings)


def test_other_rows_scorers_and_things_are_refused(flowers, precomputed):
    X, y = flowers
    scorer = TrainingDynamicsScorer(make_net(), random_state=0).fit(X, y)
    for rows, labels in ((X[::-1], y), (X, y[::-1]), (X[:100], y[:100])):
        with pytest.raises(ValueError, match="ReviewPage shows the rows that the scorer was"):
            ReviewPage(scorer, rows, labels)
    regressor = VoGScorer(make_net(NeuralNetRegressor, criterion=nn.MSELoss), target="loss")
    targets = X[:, [0, 1, 2]]
    with pytest.raises(ValueError, match="was fitted with a regressor"):
        ReviewPage(regressor.fit(X, targets), X, targets)
    with pytest.raises(NotFittedError):
        ReviewPage(TrainingDynamicsScorer(), X, y)
    with pytest.raises(TypeError, match=r"pass show=texts"):
        ReviewPage(*precomputed, show=csr_array(precomputed[1]))
    with pytest.raises(ValueError, match="pass as show what is to be drawn"):
        ReviewPage(*precomputed, show={"a": precomputed[1]})


def test_names_of_classes_by_label(precomputed, texts, tmp_path):
    names = {"cat": "Katze", "dog": "Hund", "owl": "Eule"}
    report = report_of(ReviewPage(*precomputed, show=texts, class_names=names), tmp_path)
    assert report["classes"] == ["Katze", "Hund", "Eule"]


def test_json_survives_html_and_whatever_texts_hold():
    content = ["</script><!--", "&amp;", "\ud800 \u202e\x00", "é✓"]
    text = json_in_html(content)
    assert not set(text) & set("<>&")
    assert json.loads(text) == content
    text.encode("utf-8")


def test_a_notebook_has_few_rows_in_a_sandbox(precomputed, texts, monkeypatch):
    page = ReviewPage(*precomputed, show=texts, plan=8, title='a "title"', random_state=0)
    html = page._repr_html_()
    assert 'sandbox="allow-scripts allow-downloads"' in html
    assert 'title="a &quot;title&quot;"' in html
    assert html.count("<") == 4  # of the paragraph and the frame; the page is escaped
    assert "of the labels are wrong" in html
    assert repr(page) == "<ReviewPage of 200 rows, 8 in the plan>"


def test_open_writes_a_file_for_the_browser(precomputed, texts, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    path = ReviewPage(*precomputed, show=texts).open()
    try:
        assert opened == [path.as_uri()]
        assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    finally:
        path.unlink()


def test_the_package_holds_the_files_of_the_page():
    folder = Path(document.__file__).parent / "assets"
    assert {path.name for path in folder.glob("*.js")} == set(document.SCRIPTS)
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = config["tool"]["setuptools"]["package-data"]["sklearn_difficulty"]
    assert f"{folder.relative_to(ROOT / 'sklearn_difficulty').as_posix()}/*" in patterns


def test_the_signature_is_keyword_only_after_the_rows():
    kinds = [p.kind.name for p in inspect.signature(ReviewPage).parameters.values()]
    assert kinds == ["POSITIONAL_OR_KEYWORD"] * 3 + ["KEYWORD_ONLY"] * 11
