# SPDX-License-Identifier: BSD-3-Clause
"""The encoding of columns inside a network."""

import numpy as np
import pandas as pd
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import make_column_transformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sklearn_difficulty.networks.tables import TableEncoding, TableMLP, encoding_of, features_of
from sklearn_difficulty.rows.rows import as_rows

RNG = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "size": np.where(RNG.random(40) < 0.2, np.nan, RNG.normal(5, 3, 40)),
        "age": RNG.integers(0, 99, 40),
        "colour": RNG.choice(["red", "blue", None], 40),
    }
)


def test_it_is_that_of_scikit_learn():
    numbers = ["size", "age"]
    of_sklearn = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), numbers),
        (MissingIndicator(), ["size"]),
        (OneHotEncoder(sparse_output=False), ["colour"]),
    )
    expected = of_sklearn.fit_transform(FRAME)
    assert_allclose(features_of(as_rows(FRAME, columns="any")), expected, atol=1e-5)


def test_what_does_not_vary_says_nothing():
    rows = as_rows(FRAME.assign(age=5, constant="a"), columns="any")
    seen = rows.take(np.flatnonzero(FRAME["colour"] == "red"))
    encoding = TableEncoding(rows.columns, **encoding_of(rows.columns, seen.data))
    unseen = rows.data.copy()
    unseen[:, 1] = 99.0  # the age, and the blue ones below
    features = encoding(torch.from_numpy(unseen)).numpy()
    assert np.isfinite(features).all()
    assert_array_equal(features[:, [1, 3, 4, 5, 6]], 0)  # age, colours, and the constant


def test_stacked_encodings_are_those_of_each():
    rows = as_rows(FRAME, columns="any")
    parts = rows.data[:20], rows.data[20:]
    alone = [TableEncoding(rows.columns, **encoding_of(rows.columns, part)) for part in parts]
    stacked = {
        name: torch.stack([getattr(encoding, name) for encoding in alone])[:, None]
        for name in ("mean", "scale")
    }
    batches = torch.from_numpy(np.stack(parts))
    both = torch.func.functional_call(alone[0], stacked, (batches,))
    for encoding, features, batch in zip(alone, both, batches, strict=True):
        assert torch.equal(encoding(batch), features)


def test_no_row_at_all_is_missing_everywhere():
    frame = FRAME.assign(nothing=np.nan)
    rows = as_rows(frame, columns="any")
    assert np.isfinite(features_of(rows)).all()
    assert TableMLP(rows.columns, 3)(torch.from_numpy(rows.data)).shape == (40, 3)
