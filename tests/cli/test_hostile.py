# SPDX-License-Identifier: BSD-3-Clause
"""Usage and data that are wrong: one line that says what to do, exit status 2, no traceback."""

import os

import numpy as np
import pandas as pd
import pytest
from PIL import Image

CSV = "id,x,kind\na,1,cat\nb,2,dog\nc,4,cat\nd,3,dog\n"
LABEL = ["--label", "kind"]


def written(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("content", "options", "told"),
    [
        ("", LABEL, "is empty"),
        ("\n\n", LABEL, "is empty"),
        ("id,x,kind\n", LABEL, "there are no rows in it"),
        (CSV, [], "--label is missing: name one of the columns id, x, kind"),
        (CSV, ["--label", "Kind"], "there is no such column; do you mean 'kind'?"),
        (CSV, ["--label", "species"], "there is no such column; there are id, x, kind"),
        (CSV.replace("dog", "cat"), LABEL, "all labels in 'kind' are 'cat'"),
        (CSV.replace("dog", ""), LABEL, "2 row(s) have no label in 'kind' (rows 1, 3)"),
        (CSV.replace("dog", "NaN"), LABEL, "2 row(s) have no label in 'kind' (rows 1, 3)"),
        (CSV.replace("b,", "a,"), [*LABEL, "--id", "id"], "rows 0 and 1 are both called 'a'"),
        (CSV.replace("id,x", "x,x"), LABEL, "several columns are called 'x'"),
        (CSV + "e,1,cat,9,9\n", LABEL, "cannot be read as CSV"),
        (CSV.encode() + b"\xe9,1,cat\n", LABEL, "is not utf-8 text (byte 0xe9 in line 6)"),
        (CSV.encode() + b"\0", LABEL, "it holds zero bytes"),
        (np.random.RandomState(0).bytes(5000), LABEL, "is not utf-8 text"),
        (CSV, [*LABEL, "--encoding", "latin-99"], "--encoding latin-99 is not known"),
        (CSV, [*LABEL, "--ignore", "id,x"], "no column is left to judge rows by"),
        (CSV, [*LABEL, "--ignore", "y"], "--ignore y: there is no such column"),
        (CSV + CSV[10:] * 3, [*LABEL, "--groups", "id", "--members", "5"], "4 groups are too few"),
        (CSV.replace("4", "4" * 40), LABEL, "column 'x' holds numbers up to 4e+39"),
        (CSV, LABEL, "4 rows are too few for --members 5"),
    ],
)
def test_csv(command, tmp_path, content, options, told):
    path = written(tmp_path / "data.csv", content)
    result = command("find", path, *options)
    assert result.status == 2
    assert told in result.err
    assert result.err.splitlines()[-1].startswith("sklearn-difficulty: error: ")
    assert "Traceback" not in result.err
    assert not result.out


def test_too_many_classes(command, tmp_path):
    frame = pd.DataFrame({"x": np.arange(300) % 7, "price": np.arange(300) / 7})
    frame.to_csv(tmp_path / "prices.csv", index=False)
    result = command("find", tmp_path / "prices.csv", "--label", "price")
    assert result.status == 2
    assert "'price' has 300 different values in 300 rows" in result.err


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.npz", "folder"])
def test_missing_data(command, tmp_path, name):
    result = command("find", tmp_path / name, *LABEL)
    assert (result.status, "does not exist" in result.err) == (2, True)


@pytest.mark.parametrize("name", ["a.parquet", "a.npz", "a.xlsx"])
def test_junk(command, tmp_path, name):
    result = command("find", written(tmp_path / name, b"\x89junk" * 99), *LABEL)
    assert result.status == 2
    assert "cannot be read as" in result.err or "DATA must be" in result.err


def test_pickles_are_not_loaded(command, tmp_path):
    np.savez(tmp_path / "a.npz", X=np.zeros((4, 2)), y=np.array(["a", 1, "b", None], dtype=object))
    result = command("find", tmp_path / "a.npz")
    assert result.status == 2
    assert "cannot be read as .npz" in result.err


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"X": np.zeros((4, 2))}, "has no array 'y'; it holds X"),
        ({"X": np.zeros((4, 2)), "y": np.arange(3)}, "not one line per row"),
        ({"X": np.zeros(4), "y": np.arange(4) % 2}, "it holds float64 of shape (4,)"),
        ({"X": np.array([["a"]] * 4), "y": np.arange(4) % 2}, "X must hold numbers"),
    ],
)
def test_arrays(command, tmp_path, arrays, told):
    np.savez(tmp_path / "a.npz", **arrays)
    result = command("find", tmp_path / "a.npz")
    assert (result.status, told in result.err) == (2, True), result.err


def test_folders(command, tmp_path):
    def told():
        result = command("find", tmp_path / "images")
        assert result.status == 2
        return result.err

    (tmp_path / "images").mkdir()
    assert "has no subfolders" in told()
    (tmp_path / "images" / "train").mkdir()
    assert "which look like parts of a data set" in told()
    (tmp_path / "images" / "cat").mkdir()
    assert "there are no images" in told()
    for kind in ("cat", "train"):
        for i in range(3):
            Image.new("L", (9, 9)).save(tmp_path / "images" / kind / f"{i}.png")
    written(tmp_path / "images" / "cat" / "3.png", b"\x89PNG\r\n\x1a\n" + b"junk" * 9)
    written(tmp_path / "images" / "cat" / "notes.txt", "?")
    err = told()
    assert "1 file(s) are no images and are passed over: .txt" in err
    assert "1 file(s) cannot be read as images" in err
    assert "cat/3.png" in err


def test_names_in_no_encoding(command, tmp_path):
    for kind in (b"caf\xe9", b"tea"):
        for i in range(6):
            path = os.fsencode(tmp_path / "drinks") + b"/" + kind
            os.makedirs(path, exist_ok=True)
            Image.new("L", (9, 9)).save(os.fsdecode(path + b"/%d.png" % i))
    values = np.tile([0.9, 0.1], (12, 1))
    np.save(tmp_path / "p.npy", values)
    argv = ["find", tmp_path / "drinks", "--probabilities", tmp_path / "p.npy"]
    assert "caf\\udce9/0.png" in command(*argv, "--cut", 0).out
    result = command(*argv, "--cut", 0, "-o", tmp_path / "s.csv")
    assert result.status == 0, result.err
    assert b"caf\xe9/0.png" in (tmp_path / "s.csv").read_bytes()


def test_outputs(command, fruit, probabilities, tmp_path):
    argv = ["find", fruit.path, *LABEL, "--probabilities", probabilities, "-o"]
    before = fruit.path.read_bytes()
    os.link(fruit.path, tmp_path / "same.csv")
    for name, told in (
        ("fruit.csv", "would overwrite what is read"),
        ("same.csv", "would overwrite what is read"),
        ("none/suspects.csv", "lies in a folder that does not exist"),
        ("suspects.xlsx", "the name must end with .csv or .json"),
        ("", "the name must end with"),
    ):
        result = command(*argv, tmp_path / name)
        assert (result.status, told in result.err) == (2, True), result.err
    assert fruit.path.read_bytes() == before


def test_unwritable_output(command, fruit, probabilities, tmp_path):
    """A device of no size takes no file; permissions would not stop the superuser."""
    if not os.path.isdir("/proc"):
        pytest.skip("needs a folder that nobody can write to")
    result = command(
        *["find", fruit.path, *LABEL, "--probabilities", probabilities, "-o", "/proc/suspects.csv"]
    )
    assert result.status == 2
    assert "suspects.csv cannot be written" in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--cut", "1.5", "'1.5' is not a number from 0 to below 1"),
        ("--fail-above", "5%", "'5%' is not a number from 0 to below 1"),
        ("--members", "1", "'1' is not a whole number of at least 2"),
        ("--image-size", "4000", "at least 8 and at most 512"),
        ("--noise", "white", "invalid choice"),
    ],
)
def test_options(command, fruit, option, value, told):
    result = command("find", fruit.path, *LABEL, option, value)
    assert (result.status, told in result.err) == (2, True)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (np.ones((180, 2)) / 2, "columns"),
        (np.ones((3, 3)) / 3, "there must be a line for each of the 180 rows"),
        (np.ones((180, 3)), "1"),
        (np.full((180, 3), np.nan), "NaN"),
    ],
)
def test_probabilities_that_are_none(command, fruit, tmp_path, values, told):
    np.save(tmp_path / "p.npy", values)
    result = command("find", fruit.path, *LABEL, "--probabilities", tmp_path / "p.npy")
    assert (result.status, told in result.err) == (2, True), result.err


def test_scores_that_are_none(command, fruit):
    result = command("score", fruit.path, *LABEL, "--scores", "aum,difficulty")
    assert result.status == 2
    assert "--scores: there is no 'difficulty', but label_error, aleatoric, aum" in result.err


def test_debug_shows_the_traceback(command, tmp_path):
    result = command("find", tmp_path / "none.csv", *LABEL, "--debug")
    assert result.status == 2
    assert "Traceback" in result.err


def test_ignored_errors_of_other_kinds_ask_for_a_report(command, fruit, monkeypatch):
    def fail(args):
        raise KeyError("x")

    monkeypatch.setattr("sklearn_difficulty.cli.finding.read", fail)
    result = command("find", fruit.path, *LABEL)
    assert result.status == 2
    assert "KeyError: 'x' (--debug shows where; please report it)" in result.err


def test_interrupted(command, fruit, monkeypatch):
    def interrupt(args):
        raise KeyboardInterrupt

    monkeypatch.setattr("sklearn_difficulty.cli.finding.read", interrupt)
    result = command("find", fruit.path, *LABEL, "--cache", "kept")
    assert result.status == 130
    assert len(result.err.splitlines()) == 1
    assert "Finished networks are kept in kept" in result.err
