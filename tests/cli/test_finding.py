# SPDX-License-Identifier: BSD-3-Clause
"""What `find` prints and writes, by the kind of DATA."""

import csv
import json
from argparse import Namespace

import numpy as np
import pandas as pd
import pytest

from sklearn_difficulty.cli.reading.tables import read_table

QUICK = ["--members", "2", "--epochs", "4", "-q"]


def found_rows(result):
    assert result.status == 0, result.err
    return {row["row"] for row in json.loads(result.out)["rows"]}


def is_about(rows, is_wrong):
    """Tell whether most wrong rows are found, and most found rows are wrong."""
    truly = len(rows & set(np.flatnonzero(is_wrong).tolist()))
    return truly >= 0.8 * is_wrong.sum() and truly >= 0.6 * len(rows)


def test_table_of_numbers(command, fruit):
    result = command("find", fruit.path, "--label", "kind", "--id", "name", "--json", *QUICK)
    assert is_about(found_rows(result), fruit.is_wrong)
    first = json.loads(result.out)["rows"][0]
    assert first["id"] == f"f{first['row']:03}"
    assert first["given"] == fruit.frame["kind"][first["row"]]
    assert first["suggested"] == fruit.true[first["row"]]
    assert not result.err


def test_suspects_are_printed_hardest_first(command, fruit, probabilities):
    result = command("find", fruit.path, "--label", "kind", "--probabilities", probabilities)
    lines = result.out.splitlines()
    assert lines[0].startswith("180 rows, 3 classes: about 8.")
    start = next(i for i, line in enumerate(lines) if line.startswith("row")) + 1
    assert lines[start - 1].split() == ["row", "given", "suggested", "probability"]
    chances = [float(line.split()[-1]) for line in lines[start:]]
    assert chances == sorted(chances, reverse=True)
    assert len(chances) == fruit.is_wrong.sum()


def test_labels_that_look_alike_are_told(command, fruit, probabilities):
    kinds = fruit.frame["kind"].to_numpy(dtype=object)
    kinds[:60] = np.where(kinds[:60] == "pear", "Pear ", kinds[:60])
    fruit.frame.assign(kind=kinds).to_csv(fruit.path, index=False)
    result = command("find", fruit.path, "--label", "kind", "--ignore", "name", "--members", 2,
                     "--epochs", 1)  # fmt: skip
    assert "the labels ['apple'" not in result.err
    assert "the labels ['Pear ', 'pear'] are taken as different classes" in result.err


def test_max_rows_limits_what_is_printed(command, fruit, probabilities):
    result = command(
        "find", fruit.path, "--label", "kind", "--probabilities", probabilities, "--max-rows", 2
    )
    assert len(result.out.splitlines()) == 6
    assert "2 of 15 suspects are shown" in result.err


@pytest.mark.parametrize(("n", "said"), [(2, "2 of 15 suspects"), (15, "note: 15 suspects")])
def test_max_rows_limits_what_is_written(command, fruit, probabilities, tmp_path, n, said):
    told = ("--probabilities", probabilities, "--max-rows", n, "-o", tmp_path / "some.csv")
    result = command("find", fruit.path, "--label", "kind", *told)
    assert f"{said} are written to" in result.err
    assert len(pd.read_csv(tmp_path / "some.csv")) == n


def test_nothing_is_trained_with_probabilities_of_any_kind(command, fruit, probabilities, tmp_path):
    values = np.load(probabilities)
    names = ["plum", "apple", "pear"]
    frame = pd.DataFrame(values[:, [2, 0, 1]], columns=names)
    frame.to_csv(tmp_path / "p.csv", index=False)
    frame.to_parquet(tmp_path / "p.parquet")
    found = [
        found_rows(
            command("find", fruit.path, "--label", "kind", "--probabilities", path, "--json")
        )
        for path in (probabilities, tmp_path / "p.csv", tmp_path / "p.parquet")
    ]
    assert found[0] == found[1] == found[2] == set(np.flatnonzero(fruit.is_wrong).tolist())


@pytest.mark.parametrize("suffix", ["npy", "csv"])
def test_columns_of_probabilities_stand_in_the_order_of_numbers(command, tmp_path, suffix):
    true = np.arange(360) % 12
    y = np.where(np.arange(360) % 7 == 0, (true + 3) % 12, true)
    pd.DataFrame({"a": true, "y": y.astype(float)}).to_csv(tmp_path / "d.csv", index=False)
    values = np.where(np.arange(12) == true[:, None], 0.89, 0.01)
    if suffix == "npy":
        np.save(tmp_path / "p.npy", values)
    else:
        columns = [f"p{k}" for k in range(12)]
        pd.DataFrame(values, columns=columns).to_csv(tmp_path / "p.csv", index=False)
    options = ["--label", "y", "--probabilities", tmp_path / f"p.{suffix}", "--json"]
    suspects = json.loads(command("find", tmp_path / "d.csv", *options).out)["rows"]
    assert {suspect["row"] for suspect in suspects} == set(np.flatnonzero(y != true).tolist())
    assert all(s["suggested"] == str(float(true[s["row"]])) for s in suspects)


@pytest.mark.parametrize("share", [0.02, 0.5])
def test_fail_above(command, fruit, probabilities, share):
    result = command(
        *["find", fruit.path, "--label", "kind", "--probabilities", probabilities],
        *["--fail-above", share],
    )
    assert result.status == (share < 0.08)
    assert ("is more than --fail-above" in result.err) == (share < 0.08)


def test_mixed_columns_and_missing_values(command, fruit, tmp_path):
    mixed = fruit.frame.copy()
    mixed["height"] = np.where(mixed["height"] > 1, "tall", "low")
    mixed["weight"] = mixed["weight"].round(2).astype(str)
    mixed.loc[::9, "weight"] = "NA"
    mixed.loc[4, "weight"] = "heavy"
    mixed.loc[::11, "height"] = ""
    mixed["number"] = np.arange(180)
    mixed["code"] = mixed["kind"].str[:2]
    mixed.to_csv(tmp_path / "mixed.csv", index=False)
    result = command("find", tmp_path / "mixed.csv", "--label", "kind", "--json")
    assert is_about(found_rows(result), fruit.is_wrong)
    assert "'name': its texts hardly repeat" in result.err
    assert "'number': it numbers the rows" in result.err
    assert "'code': it says the same as the label" in result.err
    assert "'weight': 1 value(s) are no numbers, taken as missing: heavy" in result.err
    assert "5 of 5 members are trained" in result.out + result.err


@pytest.mark.parametrize("separator", [";", ","])
def test_decimal_commas_and_dates(separator, tmp_path):
    frame = pd.DataFrame({"size": [f"{i / 4:.2f}" for i in range(40)], "y": ["a", "b"] * 20})
    frame["when"] = [f"2024-{1 + i % 12:02}-{1 + i % 28:02}" for i in range(40)]
    frame.loc[3, "when"] = ""
    expected = frame["size"].astype(float)
    if separator == ";":
        frame["size"] = frame["size"].str.replace(".", ",")
    frame.to_csv(tmp_path / "d.csv", index=False, sep=separator)
    options = {"id": None, "groups": None, "text": None, "ignore": [], "labels_only": False}
    args = Namespace(label="y", encoding="utf-8", **options)
    columns = read_table(tmp_path / "d.csv", args).columns
    assert columns["size"].tolist() == expected.tolist()
    assert columns["when"].dtype.kind == "M"
    assert columns["when"].isna().tolist() == [i == 3 for i in range(40)]
    columns.assign(y=frame["y"]).to_parquet(tmp_path / "d.parquet")
    pd.testing.assert_frame_equal(read_table(tmp_path / "d.parquet", args).columns, columns)


def test_a_table_is_judged_by_its_dates(command, tmp_path):
    days = pd.date_range("2023-01-01", periods=300, tz="UTC")
    y = np.where(days.month.isin([6, 7, 8]), "summer", "other")
    y[[10, 200]] = "summer", "other"
    frame = pd.DataFrame({"day": days.strftime("%Y-%m-%d"), "y": y}).sample(300, random_state=0)
    frame.to_csv(tmp_path / "d.csv", index=False)
    result = command("find", tmp_path / "d.csv", "--label", "y", "--json", "--max-rows", "4", "-q")
    assert "hardly repeat" not in result.err
    wrong = np.flatnonzero(frame.index.isin([10, 200]))
    assert found_rows(result) >= set(wrong.tolist())


def test_texts(command, fruit, tmp_path):
    rng = np.random.RandomState(0)
    words = {"apple": "crisp red round", "pear": "green soft long", "plum": "blue small stone"}
    texts = [" ".join(rng.permutation([*words[kind].split(), "fruit"])) for kind in fruit.true]
    fruit.frame.assign(text=texts).to_csv(tmp_path / "texts.csv", index=False)
    argv = ["find", tmp_path / "texts.csv", "--label", "kind", "--text", "text", "--json", "-q"]
    result = command(*argv)
    assert is_about(found_rows(result), fruit.is_wrong)
    assert all(row["text"] == texts[row["row"]] for row in json.loads(result.out)["rows"])


def test_arrays(command, fruit, tmp_path):
    X = fruit.frame[["width", "height", "weight"]].to_numpy(copy=True)
    codes = np.unique(fruit.frame["kind"], return_inverse=True)[1]
    path = tmp_path / "fruit.npz"
    np.savez(path, X=X, y=codes, name=fruit.frame["name"].to_numpy(dtype=str))
    result = command("find", path, "--json", "--id", "name", *QUICK)
    assert is_about(found_rows(result), fruit.is_wrong)
    assert json.loads(result.out)["rows"][0]["given"] in (0, 1, 2)
    X[3, 1] = np.nan  # other models take over
    np.savez(path, X=X, y=codes)
    result = command("find", path, "--json")
    assert is_about(found_rows(result), fruit.is_wrong)


def test_groups_are_held_out_together(command, fruit, tmp_path):
    """Every row is there twice, so that only its twin tells its label; groups take that away."""
    rng = np.random.RandomState(0)
    half = pd.DataFrame({"x": rng.choice(list("abcdefgh"), 60), "z": rng.normal(size=60)})
    half = half.assign(pair=np.arange(60), kind=np.arange(60) % 2)
    half["x"] = np.where(half["kind"] == 1, "one", "zero")
    half.loc[::6, "kind"] = 1 - half["kind"][::6]
    twins = pd.concat([half] * 20)
    twins.to_csv(tmp_path / "twins.csv", index=False)
    argv = ["find", tmp_path / "twins.csv", "--label", "kind", "--json", "-q"]
    apart = found_rows(command(*argv, "--ignore", "pair"))
    together = found_rows(command(*argv, "--groups", "pair"))
    assert len(together) > len(apart)


def test_rows_of_a_class_that_no_model_knows_are_no_suspects(command, fruit, tmp_path):
    fruit.frame.loc[7, "kind"] = "quince"
    fruit.frame["size"] = "small"
    fruit.frame.to_csv(tmp_path / "rare.csv", index=False)
    result = command("find", tmp_path / "rare.csv", "--label", "kind", "--json")
    assert 7 not in found_rows(result)
    assert "1 row(s) have no defined difficulty" in result.err


def test_no_formula_gets_into_csv(command, fruit, probabilities, tmp_path):
    fruit.frame["name"] = [f"=cmd|'{i}'!A0" for i in range(180)]
    fruit.frame["kind"] = fruit.frame["kind"].map({"apple": "+a", "pear": "-p", "plum": "@m"})
    fruit.frame.to_csv(fruit.path, index=False)
    output = tmp_path / "suspects.csv"
    # The classes are sorted otherwise, and the columns with them: +a, -p, @m.
    result = command(
        *["find", fruit.path, "--label", "kind", "--id", "name", "-o", output],
        *["--probabilities", probabilities],
    )
    assert result.status == 0
    with output.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == fruit.is_wrong.sum()
    for row in rows:
        assert row["id"].startswith("'=cmd")
        assert row["given"][:2] in ("'+", "'-", "'@")
        assert float(row["probability"]) > 0.5


def test_control_characters_are_shown_not_obeyed(command, fruit, probabilities):
    fruit.frame["name"] = [f"\x1b[2J\u202e{i}" for i in range(180)]
    fruit.frame.to_csv(fruit.path, index=False)
    result = command(
        *["find", fruit.path, "--label", "kind", "--id", "name", "--max-rows", "2"],
        *["--probabilities", probabilities],
    )
    assert "\\x1b[2J\\u202e" in result.out
    assert "\x1b" not in result.out


def test_json_file_holds_what_csv_does(command, fruit, probabilities, tmp_path):
    argv = ["find", fruit.path, "--label", "kind", "--probabilities", probabilities, "-o"]
    command(*argv, tmp_path / "s.json")
    command(*argv, tmp_path / "s.csv")
    with (tmp_path / "s.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    content = json.loads((tmp_path / "s.json").read_text())
    assert [str(row["row"]) for row in content["rows"]] == [row["row"] for row in table]
    assert content["n_suspects"] == len(table)
