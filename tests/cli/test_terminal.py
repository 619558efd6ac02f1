# SPDX-License-Identifier: BSD-3-Clause
"""The command as people call it: in a process of its own, killed, piped and interrupted."""

import os
import signal
import subprocess
import sys
import time
import tomllib
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from sklearn_difficulty.datasets import make_label_noise

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "sklearn_difficulty"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def run(*argv, **options):
    return subprocess.run(
        [*COMMAND, *map(str, argv)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def start(*argv):
    return subprocess.Popen(
        [*COMMAND, *map(str, argv)],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Return a table of 10,000 rows in a file, and which labels are wrong."""
    rng = np.random.RandomState(0)
    true = np.arange(10_000) % 4
    X = rng.normal(size=(10_000, 10)) + 3 * np.eye(4)[true] @ rng.normal(size=(4, 10))
    y, is_wrong = make_label_noise(np.array(["east", "north", "south", "west"])[true], 0.05)
    path = tmp_path_factory.mktemp("table") / "winds.csv"
    pd.DataFrame(X.round(3)).add_prefix("x").assign(wind=y).to_csv(path, index=False)
    return path, is_wrong


def test_the_script_is_this_function():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, _, name = project["scripts"]["sklearn-difficulty"].partition(":")
    assert callable(getattr(import_module(module), name))


LIGHT = """
import sys
from sklearn_difficulty.cli.main import main

try:
    status = main(sys.argv[1:])
except SystemExit as ended:
    status = ended.code
print(*(name for name in ("torch", "skorch", "matplotlib") if name in sys.modules))
sys.exit(status)
"""


@pytest.mark.parametrize(
    "argv",
    [["--help"], ["find", "--help"], ["info"], ["find", "none.csv"], ["apply", "a.csv", "b.json"]],
)
def test_torch_is_imported_only_to_train(argv):
    done = subprocess.run(
        [sys.executable, "-c", LIGHT, *argv],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 2), done.stderr
    assert done.stdout.splitlines()[-1] == ""


def test_help_teaches(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = command("--help").out
    assert text.count("    sklearn-difficulty ") >= 3
    assert "exit status" in text
    for name in ("find", "review", "apply", "score", "compare", "info"):
        text += command(name, "--help").out
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.slow
def test_table_of_ten_thousand_rows(table, tmp_path):
    path, is_wrong = table
    done = run(
        *["find", path, "--label", "wind", "--members", 2, "--epochs", 1],
        *["--fail-above", 0.01, "-o", tmp_path / "suspects.csv"],
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("10,000 rows, 4 classes: about ")
    assert "2 of 2 members are trained" in done.stderr
    suspects = pd.read_csv(tmp_path / "suspects.csv")["row"].to_numpy()
    assert is_wrong[suspects].mean() > 0.7
    assert is_wrong[suspects].sum() > 0.7 * is_wrong.sum()


@pytest.mark.slow
def test_folder_of_five_hundred_images(tmp_path):
    X, y = load_digits(return_X_y=True)
    y, is_wrong = make_label_noise(y[:500], 0.06, random_state=0)
    for i, (values, label) in enumerate(zip(X, y, strict=False)):
        (tmp_path / "digits" / f"digit {label}").mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray((values.reshape(8, 8) * 15.9).astype(np.uint8))
        picture.save(tmp_path / "digits" / f"digit {label}" / f"{i:03}.png")
    page = tmp_path / "digits.html"
    done = run("review", tmp_path / "digits", "--members", 2, "--epochs", 8, "-o", page)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("500 rows, 10 classes: about ")
    text = page.read_text(encoding="utf-8")
    assert "digit 7" in text
    assert f"{np.flatnonzero(is_wrong)[0]:03}.png" in text


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_run_is_taken_up_again(command, fruit, tmp_path, ending):
    argv = ["find", fruit.path, "--label", "kind", "--members", 4, "--json"]
    cache = ["--cache", tmp_path / "cache", "--epochs"]
    process = start(*argv, *cache, 20)
    while process.poll() is None and not list(tmp_path.glob("cache/*.safetensors")):
        time.sleep(0.002)
    process.send_signal(ending)
    out, err = process.communicate()
    assert not out
    assert "Traceback" not in err
    if ending == signal.SIGINT:
        assert process.returncode == 130
        last = err.splitlines()[-1]
        assert last.startswith("sklearn-difficulty: error: interrupted. Finished networks are kept")
    n_kept = len(list(tmp_path.glob("cache/*.safetensors")))
    assert 0 < n_kept < 4, "it was not ended midway"
    again = command(*argv, *cache, 20)
    assert again.status == 0, again.err
    assert f"{n_kept} of 4 members found in the cache" in again.err
    if ending == signal.SIGKILL:
        fresh = command(*argv, "--cache", tmp_path / "other", "--epochs", 20, "-q")
        assert again.out == fresh.out


def test_folds_of_text_models_are_kept_too(command, fruit, tmp_path, monkeypatch):
    fruit.frame["notes"] = "a fruit"
    fruit.frame.to_csv(fruit.path, index=False)
    argv = ["find", fruit.path, "--label", "kind", "--text", "notes", "--json", "--members", 3]
    argv += ["--cache", tmp_path / "cache"]
    first = command(*argv)
    monkeypatch.setattr("sklearn.linear_model.LogisticRegression.fit", None)
    assert command(*argv).out == first.out
    assert command(*argv, "--seed", 1).status == 2


def test_closed_pipe():
    """Whoever reads has enough, as ``head`` has."""
    process = start("info")
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait() == 0
    assert not err
