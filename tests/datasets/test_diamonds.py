# SPDX-License-Identifier: BSD-3-Clause
"""Diamonds: files made here, the package that brings the file, and the fallback."""

from importlib.machinery import ModuleSpec
from urllib.error import URLError

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.utils import Bunch

from sklearn_difficulty.datasets import _diamonds, load_diamonds

HEADER = '"carat","cut","color","clarity","depth","table","price","x","y","z"'
LINES = [
    '0.23,"Ideal","E","SI2",61.5,55,326,3.95,3.98,2.43',
    '0.29,"Very Good","J","IF",62.4,58,334,4.2,4.23,2.63',
]
DATA = [[0.23, 4, 5, 1, 61.5, 55, 3.95, 3.98, 2.43], [0.29, 2, 0, 7, 62.4, 58, 4.2, 4.23, 2.63]]


def write(folder, *lines):
    file = folder / "diamonds.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


def check(dataset):
    assert_array_equal(dataset.data, DATA)
    assert_array_equal(dataset.target, [326, 334])
    assert dataset.target.dtype == dataset.data.dtype == np.float64
    assert dataset.feature_names == HEADER.replace('"', "").replace("price,", "").split(",")
    assert dataset.grade_names["clarity"][7] == "IF"


@pytest.fixture
def no_package(monkeypatch):
    monkeypatch.setattr(_diamonds, "find_spec", lambda name: None)


def test_a_file_or_its_folder(tmp_path):
    file = write(tmp_path, HEADER, *LINES)
    check(load_diamonds(file))
    check(load_diamonds(str(tmp_path)))


def test_order_and_number_of_columns_do_not_matter(tmp_path):
    columns = pd.read_csv(write(tmp_path, HEADER, *LINES))
    columns[columns.columns[::-1]].to_csv(tmp_path / "diamonds.csv")
    check(load_diamonds(tmp_path))


def test_the_package_comes_before_openml(monkeypatch, tmp_path):
    (tmp_path / "data").mkdir()
    write(tmp_path / "data", HEADER, *LINES)
    spec = ModuleSpec("plotnine", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(_diamonds, "find_spec", {"plotnine": spec}.get)
    monkeypatch.setattr(_diamonds, "fetch_openml", None)
    check(load_diamonds())


@pytest.mark.usefixtures("no_package")
def test_openml_fallback(monkeypatch, tmp_path):
    frame = pd.read_csv(write(tmp_path, HEADER, *LINES)).astype({"cut": "category"})
    calls = []

    def fetch(*args, **kwargs):
        calls.append((args, kwargs))
        return Bunch(frame=frame)

    monkeypatch.setattr(_diamonds, "fetch_openml", fetch)
    check(load_diamonds())
    assert calls == [(("diamonds",), {"version": 1, "as_frame": True})]


@pytest.mark.usefixtures("no_package")
@pytest.mark.parametrize("error", [URLError("no route"), ImportError("pandas"), ValueError("404")])
def test_without_file_and_network_all_three_ways_are_named(monkeypatch, error):
    def fetch(*args, **kwargs):
        raise error

    monkeypatch.setattr(_diamonds, "fetch_openml", fetch)
    with pytest.raises(OSError, match="diamonds data were not found") as caught:
        load_diamonds()
    for part in ("path=", "diamonds.csv", "plotnine", "OpenML", str(error)):
        assert part in str(caught.value)
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "is empty"),
        ([HEADER.replace("cut", "cutting"), *LINES], "has no column cut"),
        (
            [HEADER, LINES[0].replace("Ideal", "Perfect")],
            "holds a cut that cannot be read.*Perfect",
        ),
        ([HEADER, LINES[0].replace("326", "cheap")], "holds a price that cannot be read.*cheap"),
        ([HEADER, LINES[0], "0.3,Ideal"], "line 3 has 2 fields, the header has 10"),
    ],
)
def test_files_that_are_not_the_data(tmp_path, lines, message):
    file = write(tmp_path, *lines)
    with pytest.raises(ValueError, match=message):
        load_diamonds(file)


def test_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_diamonds(tmp_path)
