# SPDX-License-Identifier: BSD-3-Clause
"""What `score` and `compare` print and write."""

import json

import numpy as np
import pandas as pd
import pytest

LABEL = ["--label", "kind"]


@pytest.fixture
def mixed(fruit):
    """Return the fruits with a category, missing values, and texts."""
    rng = np.random.RandomState(0)
    frame = fruit.frame.copy()
    frame["height"] = np.where(frame["height"] > 1, "tall", "low")
    frame.loc[::9, "weight"] = np.nan
    words = {"apple": "crisp red round", "pear": "green soft long", "plum": "blue small stone"}
    frame["text"] = [" ".join(rng.permutation(words[kind].split())) for kind in fruit.true]
    frame.to_csv(fruit.path, index=False)
    return fruit


def test_scores_are_those_of_the_scorers(command, fruit, tmp_path):
    from sklearn_difficulty import DifficultyScorer
    from sklearn_difficulty.training import default_network

    output = tmp_path / "scores.csv"
    result = command(
        *["score", fruit.path, *LABEL, "--id", "name", "--scores", "aum,confidence"],
        *["--epochs", 3, "-o", output],
    )
    assert result.status == 0, result.err
    table = pd.read_csv(output)
    assert table.columns.tolist() == ["row", "id", "label", "aum", "confidence"]
    X = fruit.frame[["width", "height", "weight"]].to_numpy(dtype=np.float32)
    y = fruit.frame["kind"].to_numpy(dtype=str)
    net = default_network(X, y).set_params(max_epochs=3)
    scorer = DifficultyScorer(net, scores=["aum", "confidence"], random_state=0).fit(X, y)
    np.testing.assert_array_equal(
        table[["aum", "confidence"]].to_numpy(dtype=np.float32), scorer.difficulties_
    )


@pytest.mark.parametrize("quiet", [[], ["-q"]])
@pytest.mark.parametrize(
    "what",
    [
        ["score", "--scores", "aum"],
        ["find", "--members", 2],
        ["compare", "--scores", "aum", "--repeats", 1],
    ],
)
def test_the_cost_is_told_before_it_starts(command, fruit, monkeypatch, what, quiet):
    from sklearn_difficulty.scorers.cost import estimating

    monkeypatch.setattr(estimating, "_WORTH_TELLING", 0)
    name, *options = what
    result = command(name, fruit.path, *LABEL, "--ignore", "name", *options, "--epochs", 1, *quiet)
    assert result.status == 0, result.err
    assert (" training" in result.err and ", about " in result.err) == (not quiet)


@pytest.mark.parametrize("options", [["--ignore", "name,text"], ["--text", "text"]])
def test_scores_of_rows_that_are_not_numbers(command, mixed, options):
    result = command(
        *["score", mixed.path, *LABEL, *options, "--epochs", 10, "--max-rows", 15],
        *["--scores", "loss,label_error", "-q"],
    )
    assert result.status == 0, result.err
    lines = [line.split() for line in result.out.splitlines()]
    assert lines[0] == ["row", "label", "loss", "label_error"]
    assert len(lines) == 16
    assert mixed.is_wrong[[int(line[0]) for line in lines[1:]]].mean() > 0.5
    losses = [float(line[2]) for line in lines[1:]]
    assert losses == sorted(losses, reverse=True)


@pytest.mark.parametrize("options", [["--ignore", "name,text"], ["--text", "text"]])
def test_compare(command, mixed, options):
    result = command(
        *["compare", mixed.path, *LABEL, *options, "--scores", "variability,label_error"],
        *["--repeats", 1, "--epochs", 8, "--json"],
    )
    assert result.status == 0, result.err
    table = {row["name"]: row for row in json.loads(result.out)["rows"]}
    assert list(table) == ["label_error", "variability"]  # the better one first
    assert table["label_error"]["average_precision"] > 0.5
    assert table["label_error"]["average_precision_se"] is None
    assert "label_error, repeat 1 of 1" in result.err


def test_compare_numbers_trains_as_find_does(command, fruit):
    argv = ["compare", fruit.path, *LABEL, "--ignore", "name", "--scores", "label_error,aum"]
    argv += ["--repeats", 2, "--epochs", 4, "--members", 2]
    result = command(*argv)
    assert result.status == 0, result.err
    lines = result.out.splitlines()
    assert lines[0].startswith("18 of 180 labels flipped (symmetric), 2 time(s).")
    assert {line.split()[0] for line in lines[4:]} == {"label_error", "aum"}
    assert command(*argv, "--rate", 0.001).status == 2
