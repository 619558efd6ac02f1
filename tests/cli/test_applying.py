# SPDX-License-Identifier: BSD-3-Clause
"""The way from a page to mended data: `review`, decisions, `apply`."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sklearn_difficulty import LabelErrorScorer
from sklearn_difficulty.cli import reports
from sklearn_difficulty.inspection.review import report_fingerprint

LABEL = ["--label", "kind"]


@pytest.fixture
def reviewed(command, fruit, probabilities, tmp_path):
    """Return a file of decisions about the fruits, whose page was written by `review`."""
    page = tmp_path / "fruit.html"
    result = command(
        *["review", fruit.path, *LABEL, "--id", "name", "--probabilities", probabilities],
        *["-o", page, "--plan", 20],
    )
    assert result.status == 0, result.err
    assert page.read_bytes().startswith(b"<!")
    return decisions(tmp_path, fruit.frame["kind"].to_numpy(dtype=str), np.load(probabilities))


def decisions(folder, y, probabilities):
    """Write what a person decided: row 5 relabelled, 17 dropped, 29 unsure, 4 right."""
    scorer = LabelErrorScorer("precomputed").fit(probabilities, y)
    classes = scorer.classes_.tolist()
    content = {
        "format": "sklearn_difficulty.review",
        "version": 1,
        "fingerprint": report_fingerprint(scorer),
        "n_rows": len(y),
        "classes": list(map(str, classes)),
        "plan": {"rows": [], "weight": []},
        "decisions": [
            {"row": 5, "decision": "suggestion", "label": 2},
            {"row": 17, "decision": "drop", "label": None},
            {"row": 29, "decision": "unsure", "label": None},
            {"row": 4, "decision": "right", "label": None},
        ],
    }
    path = folder / "review-decisions.json"
    path.write_text(json.dumps(content))
    return path


def test_table(command, fruit, reviewed, tmp_path):
    before = fruit.path.read_text().splitlines()
    result = command("apply", fruit.path, reviewed)
    assert result.status == 0, result.err
    assert "4 of 180 rows decided: 1 labels changed, 1 rows dropped, 1 unsure." in result.out
    after = (tmp_path / "fruit-reviewed.csv").read_text().splitlines()
    expected = [*before]
    assert expected[6].endswith(",apple")
    expected[6] = expected[6].removesuffix("apple") + "plum"
    del expected[18]
    assert after == expected  # every cell as it was, to the last digit
    assert fruit.path.read_text().splitlines() == before
    again = command("apply", fruit.path, reviewed)
    assert again.status == 2
    assert "exists, and nothing is overwritten" in again.err


def test_json_says_what_was_done(command, fruit, reviewed, tmp_path):
    result = command("apply", fruit.path, reviewed, "--json", "-o", tmp_path / "new.csv")
    said = json.loads(result.out)
    assert (said["n_decided"], said["n_changed"], said["n_dropped"]) == (4, 1, 1)


def test_the_plan_tells_how_many_labels_are_wrong(command, fruit, reviewed):
    """All rows are planned, and all are decided as they are."""
    content = json.loads(reviewed.read_text())
    content["plan"] = {"rows": list(range(180)), "weight": [1.0] * 180}
    content["decisions"] = [
        {"row": row, "decision": "drop" if is_wrong else "right", "label": None}
        for row, is_wrong in enumerate(fruit.is_wrong.tolist())
    ]
    reviewed.write_text(json.dumps(content))
    result = command("apply", fruit.path, reviewed)
    assert (
        "By 180 rows of the plan, 8.3% of all labels are wrong (95 %: 8.3% to 8.3%)" in result.out
    )


def test_other_data_are_refused(command, fruit, reviewed, tmp_path):
    fruit.path.write_text(fruit.path.read_text() + "f999,1,1,1,plum\n")
    result = command("apply", fruit.path, reviewed)
    assert result.status == 2
    assert "is not what the page was made of" in result.err
    assert not (tmp_path / "fruit-reviewed.csv").exists()


def test_decisions_about_another_page_are_refused(command, fruit, reviewed, tmp_path):
    text = reviewed.read_text()
    content = json.loads(text)
    content["fingerprint"] = content["fingerprint"][::-1]
    reviewed.write_text(json.dumps(content))
    result = command("apply", fruit.path, reviewed)
    assert result.status == 2
    assert "no report of the page" in result.err
    report = tmp_path / "fruit.report.npz"
    result = command("apply", fruit.path, reviewed, "--report", report)
    assert "are not of the same page" in result.err
    report.write_bytes(b"junk")
    assert "is no report" in command("apply", fruit.path, reviewed, "--report", report).err
    reviewed.write_text(text)
    assert "no report of the page" in command("apply", fruit.path, reviewed).err


def test_report_is_found_beside_data_and_by_name(command, fruit, reviewed, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    moved = reviewed.rename(tmp_path / "elsewhere" / "d.json")
    assert command("apply", fruit.path, moved).status == 0
    report = (tmp_path / "fruit.report.npz").rename(tmp_path / "elsewhere" / "other.npz")
    argv = ["apply", fruit.path, moved, "-o", tmp_path / "second.csv"]
    assert command(*argv).status == 2
    assert command(*argv, "--report", report).status == 0


@pytest.mark.parametrize("kind", ["text", "category", "number"])
def test_parquet_keeps_types(command, fruit, probabilities, tmp_path, kind):
    frame = fruit.frame.set_index("name", drop=False)
    if kind == "category":
        frame["kind"] = frame["kind"].astype("category")
    elif kind == "number":
        frame["kind"] = pd.Series(np.unique(frame["kind"], return_inverse=True)[1] + 10).to_numpy()
    path = tmp_path / "fruit.parquet"
    frame.to_parquet(path)
    page = tmp_path / "page.html"
    command("review", path, *LABEL, "--probabilities", probabilities, "-o", page, "-q")
    made = decisions(tmp_path, frame["kind"].to_numpy(), np.load(probabilities))
    result = command("apply", path, made)
    assert result.status == 0, result.err
    expected = frame.drop(index="f017")
    expected.loc["f005", "kind"] = 12 if kind == "number" else "plum"
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "fruit-reviewed.parquet"), expected)


def test_arrays(command, fruit, probabilities, tmp_path):
    path = tmp_path / "fruit.npz"
    X = fruit.frame[["width", "height"]].to_numpy()
    y = np.unique(fruit.frame["kind"], return_inverse=True)[1].astype(np.int16)
    np.savez(path, X=X, y=y, name=fruit.frame["name"].to_numpy(dtype=str), scale=np.ones(3))
    page = tmp_path / "page.html"
    command("review", path, "--probabilities", probabilities, "-o", page, "-q")
    result = command("apply", path, decisions(tmp_path, y, np.load(probabilities)))
    assert result.status == 0, result.err
    with np.load(tmp_path / "fruit-reviewed.npz") as new:
        y[5] = 2
        np.testing.assert_array_equal(new["y"], np.delete(y, 17))
        np.testing.assert_array_equal(new["X"], np.delete(X, 17, axis=0))
        assert new["y"].dtype == np.int16
        assert len(new["name"]) == 179
        assert len(new["scale"]) == 3


def test_images_are_listed_and_stay(command, fruit, probabilities, tmp_path):
    folder = tmp_path / "images"
    order = np.argsort(fruit.frame["kind"].to_numpy(dtype=str), kind="stable")
    y = fruit.frame["kind"].to_numpy(dtype=str)[order]
    for i, kind in enumerate(y):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9), (i, i, i)).save(folder / kind / f"{i:03}.png")
    values = np.load(probabilities)[order]
    np.save(tmp_path / "p.npy", values)
    page = tmp_path / "page.html"
    argv = ["review", folder, "--probabilities", tmp_path / "p.npy", "-o", page, "-q"]
    assert command(*argv).status == 0
    result = command("apply", folder, decisions(tmp_path, y, values))
    assert result.status == 0, result.err
    moves = pd.read_csv(tmp_path / "images-reviewed.csv", na_filter=False)
    assert moves.to_dict("records") == [
        {
            "file": "apple/005.png",
            "label": "apple",
            "action": "move",
            "new_label": "plum",
            "new_file": "plum/005.png",
        },
        {
            "file": "apple/017.png",
            "label": "apple",
            "action": "drop",
            "new_label": "",
            "new_file": "",
        },
    ]
    assert len(list(folder.rglob("*.png"))) == 180
    (folder / "plum" / "new.png").write_bytes((folder / "apple" / "005.png").read_bytes())
    argv = ["apply", folder, tmp_path / "review-decisions.json", "-o", tmp_path / "again.csv"]
    assert "is not what the page was made of" in command(*argv).err


def test_a_failed_write_leaves_nothing(command, fruit, reviewed, tmp_path, monkeypatch):
    def fail(self, *args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", fail)
    result = command("apply", fruit.path, reviewed)
    assert result.status == 2
    assert "No space left on device" in result.err
    assert not (tmp_path / "fruit-reviewed.csv").exists()


def test_the_same_options_make_the_same_report(command, fruit, probabilities, tmp_path):
    page = tmp_path / "fruit.html"
    argv = ["review", fruit.path, *LABEL, "--probabilities", probabilities, "-o", page]
    first = command(*argv, "--fail-above", 0.01)
    assert first.status == 1
    report = reports.report_beside(page).read_bytes()
    assert command(*argv, "-q").status == 0
    assert reports.report_beside(page).read_bytes() == report


def test_the_page_is_opened_and_told_of(command, fruit, probabilities, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    page = tmp_path / "a page.html"
    argv = ["review", fruit.path, *LABEL, "--probabilities", probabilities, "-o", page, "--open"]
    result = command(*argv, "--id", "name")
    assert result.status == 0
    assert opened == [page.resolve().as_uri()]
    assert "apply" in result.err
    text = page.read_text(encoding="utf-8")
    assert "f017" in text
    assert "weight" in text  # what is not needed to judge is needed to look
