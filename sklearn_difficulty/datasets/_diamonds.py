# SPDX-License-Identifier: BSD-3-Clause
"""Prices of diamonds, from a file where there is one."""

import csv
import os
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import fetch_openml
from sklearn.utils import Bunch

from .._parameters import check_parameters

FEATURE_NAMES = ["carat", "cut", "color", "clarity", "depth", "table", "x", "y", "z"]
# From worst to best, so that codes are in order of price for equal stones.
_GRADES = {
    "cut": ["Fair", "Good", "Very Good", "Premium", "Ideal"],
    "color": list("JIHGFED"),
    "clarity": ["I1", "SI2", "SI1", "VS2", "VS1", "VVS2", "VVS1", "IF"],
}
_TARGET = "price"
_FILE_NAME = "diamonds.csv"
_DESCRIPTION = """\
Diamonds: prices of 53,940 round cut diamonds in US dollars, with nine features each.

carat (weight), cut, color and clarity (grades from worst, 0, to best), depth (total depth in
per cent), table (width of the top in per cent of the widest point), x, y, z (length, width and
depth in mm). 146 rows repeat an earlier row in all columns; 20 rows have an impossible x, y or z
of 0. The spread of the price grows with the price. Collected for ggplot2, H. Wickham, "ggplot2:
elegant graphics for data analysis", Springer, 2016.
"""


def load_diamonds(path: str | os.PathLike[str] | None = None) -> Bunch:
    """Load the diamonds data: nine features and the price of 53,940 stones.

    Looks in `path` if it is given; otherwise in the package plotnine, which brings the file with
    it, if that is installed; otherwise downloads from OpenML with
    :func:`sklearn.datasets.fetch_openml`, which keeps the files for the next time.

    Parameters
    ----------
    path : str or path-like, default=None
        A CSV file with a header line, such as ``plotnine/data/diamonds.csv``, or a folder with
        a ``diamonds.csv``.

    Returns
    -------
    dataset : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        data : ndarray of shape (n_rows, 9), float64
            Features in the order of ``feature_names``; grades are codes from worst, 0, to best.
        target : ndarray of shape (n_rows,), float64
            Price in US dollars.
        feature_names : list of str
            Names of the nine features.
        grade_names : dict of str to list of str
            Names of the codes of ``cut``, ``color`` and ``clarity``.
        DESCR : str
            What the data is and where it comes from.

    Raises
    ------
    ValueError
        If the file lacks a column, or holds a grade or a number that cannot be read.
    FileNotFoundError
        If `path` is given and there is no such file.
    OSError
        If there is no file and OpenML cannot be reached.

    See Also
    --------
    make_target_noise : Wrong targets with a known ground truth.

    References
    ----------
    .. [1] H. Wickham, "ggplot2: elegant graphics for data analysis", Springer, 2016.
       :doi:`10.1007/978-3-319-24277-4`

    Examples
    --------
    >>> from sklearn_difficulty.datasets import load_diamonds
    >>> dataset = load_diamonds()  # doctest: +SKIP
    >>> dataset.data.shape, dataset.target[0]  # doctest: +SKIP
    ((53940, 9), 326.0)
    """
    check_parameters("load_diamonds", path=(path, [str, os.PathLike, None]))
    file = _installed_file() if path is None else Path(path)
    if file is None:
        columns, source = _fetch(), "OpenML"
    else:
        file = file / _FILE_NAME if file.is_dir() else file
        columns, source = _read_csv(file), str(file)
    missing = [name for name in (*FEATURE_NAMES, _TARGET) if name not in columns]
    if missing:
        raise ValueError(f"{source} has no column {' and no '.join(missing)}.")
    features = [_numbers(columns[name], name, source) for name in FEATURE_NAMES]
    return Bunch(
        data=np.column_stack(features),
        target=_numbers(columns[_TARGET], _TARGET, source),
        feature_names=list(FEATURE_NAMES),
        grade_names={name: list(grades) for name, grades in _GRADES.items()},
        DESCR=_DESCRIPTION,
    )


def _installed_file() -> Path | None:
    """Return the file that the package plotnine brings; the package is not imported."""
    package = find_spec("plotnine")
    folders = package.submodule_search_locations if package is not None else None
    files = (Path(folder) / "data" / _FILE_NAME for folder in folders or ())
    return next((file for file in files if file.is_file()), None)


def _read_csv(file: Path) -> dict[str, Sequence[str]]:
    """Return the columns of a CSV file by name."""
    with file.open(newline="", encoding="utf-8") as lines:
        # An empty line is read as no fields, and holds no row.
        names, *rows = [line for line in csv.reader(lines) if line] or [[]]
    if not names:
        raise ValueError(f"{file} is empty.")
    for number, row in enumerate(rows, start=2):
        if len(row) != len(names):
            raise ValueError(
                f"{file} is damaged: line {number} has {len(row)} fields, the header has "
                f"{len(names)}."
            )
    return {name: [row[i] for row in rows] for i, name in enumerate(names)}


def _numbers(values: Sequence[Any], name: str, source: str) -> NDArray[np.float64]:
    """Return a column as numbers, grades as their codes."""
    try:
        if name in _GRADES:
            codes = {grade: float(code) for code, grade in enumerate(_GRADES[name])}
            return np.array([codes[str(value)] for value in values])
        return np.array([float(value) for value in values])
    except (KeyError, ValueError) as error:
        raise ValueError(f"{source} holds a {name} that cannot be read: {error}") from error


def _fetch() -> Mapping[str, Sequence[Any]]:
    """Return the columns of the data from OpenML."""
    try:
        frame = fetch_openml("diamonds", version=1, as_frame=True).frame
    # No network, a server's refusal (ValueError), or no pandas to parse the answer.
    except (OSError, HTTPException, ValueError, ImportError) as error:
        raise OSError(
            "The diamonds data were not found. Do one of these: (1) pass path=, a CSV file or a "
            f"folder with {_FILE_NAME}; (2) install the package plotnine, which brings the file; "
            "(3) go online and have pandas installed, so that scikit-learn can fetch the data "
            f"from OpenML. OpenML failed with: {error}"
        ) from error
    return {name: frame[name].tolist() for name in frame}
