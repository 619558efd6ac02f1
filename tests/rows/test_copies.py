# SPDX-License-Identifier: BSD-3-Clause
"""Rows that are held out beside equal rows that are trained on."""

import warnings

import numpy as np
import pytest
import torch
from instances import SMALLEST_SCORERS
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from small_nets import make_net
from torch.utils.data import TensorDataset

from sklearn_difficulty import FilteredClassifier, LabelErrorScorer, VoGScorer
from sklearn_difficulty.model_selection import cross_val_difficulty
from sklearn_difficulty.rows.copies import warn_of_divided_copies
from sklearn_difficulty.rows.rows import as_rows
from sklearn_difficulty.scorers._base_ensemble import BaseEnsembleScorer

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*have no defined difficulty:UserWarning"),
]
COPIES = "equal, byte by byte"
OF_ENSEMBLES = [
    s for s in SMALLEST_SCORERS if isinstance(s, (BaseEnsembleScorer, LabelErrorScorer))
]


def said(work, *args, **params):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        work(*args, **params)
    return [str(w.message) for w in caught if COPIES in str(w.message)]


@pytest.fixture
def twins(data):
    """Return rows of which the last twelve are those in front, their labels, and who is who."""
    X, y = data
    rows = np.r_[np.arange(48), np.arange(12)]
    return X[rows], y[rows], rows


@pytest.mark.parametrize("scorer", OF_ENSEMBLES, ids=str)
def test_scorers_that_hold_rows_out(scorer, data, twins):
    X, y, groups = twins
    scorer = clone(scorer).set_params(estimator=make_net(max_epochs=2), random_state=0)
    [text] = said(scorer.fit, X, y)
    masks = scorer.ensemble_.masks_
    divided = (masks[:, :12] != masks[:, 48:]).sum(axis=0)
    assert (divided > 0).any()
    assert text.startswith(f"{2 * (divided == 2).sum() + (divided == 1).sum()} of 60 rows")
    assert not said(scorer.fit, X, y, groups=groups)
    assert not said(scorer.fit, *data)
    [_] = said(FilteredClassifier(scorer=scorer, drop=0.1).fit, X, y)


def test_folds(twins):
    X, y, groups = twins
    scorer = VoGScorer(make_net(max_epochs=2), checkpoints=2, random_state=0)
    [text] = said(cross_val_difficulty, scorer, X, y, cv=3, random_state=0)
    assert "pass groups" in text
    assert not said(cross_val_difficulty, scorer, X, y, cv=3, groups=groups, random_state=0)
    # A training on all rows holds none out.
    assert not said(scorer.fit, X, y)


def test_which_rows_are_named():
    X = np.repeat(np.arange(40.0), 2)[:, None]
    trained_on = np.ones((1, 80), dtype=bool)
    trained_on[0, :20:2] = False
    [text] = said(warn_of_divided_copies, as_rows(X), trained_on)
    assert text.startswith("10 of 80 rows are equal")
    assert "first [0, 2, 4, 6, 8]" in text
    together = np.repeat(trained_on[:, ::2], 2, axis=1)
    assert not said(warn_of_divided_copies, as_rows(X), together)
    for kind in ({"a": X, "b": X.astype(int)}, X.reshape(80, 1, 1), X.astype(int)):
        assert said(warn_of_divided_copies, as_rows(kind), trained_on)
    assert not said(warn_of_divided_copies, as_rows({"a": X, "b": np.arange(80)}), trained_on)
    dataset = TensorDataset(torch.from_numpy(X))
    assert not said(warn_of_divided_copies, as_rows(dataset), trained_on)


@pytest.mark.parametrize("load", [load_iris, load_digits])
def test_two_equal_flowers_raise_no_alarm(load):
    X = load().data
    mask = np.random.default_rng(0).random((3, len(X))) < 0.5
    assert not said(warn_of_divided_copies, as_rows(X), mask)
