# SPDX-License-Identifier: BSD-3-Clause
"""What can be done with a scorer and with what it leaves: pickle, read again, search."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from ..training import TrainingRecord, default_network
from ._material import (
    error_of,
    forward_passes,
    reads_unseen_rows,
    record_of,
    seeded,
    training_rows,
)


def check_survives_pickle(scorer: Any) -> None:
    """Check that a pickled scorer keeps its scores, and that its pickle holds no copy of X.

    A score that looks for neighbours among the training rows may keep them, as nearest-neighbour
    estimators do, if a parameter ``pickle_bank=False`` leaves them out.
    """
    X, y = training_rows()
    wide = np.random.default_rng(0).normal(size=(60, 2000)).astype(np.float32)
    scorer.fit(X, y)
    copy = pickle.loads(pickle.dumps(scorer))
    assert np.array_equal(copy.difficulty_, scorer.difficulty_, equal_nan=True), (
        "difficulty_ does not survive pickling."
    )
    if reads_unseen_rows(scorer):
        before, after = (fitted.score_samples(X, y) for fitted in (scorer, copy))
        assert np.array_equal(before, after, equal_nan=True), (
            "score_samples does not survive pickling."
        )
    if scorer.estimator is None:
        if "pickle_bank" in scorer.get_params(deep=False):
            scorer.set_params(pickle_bank=False)
        # The network does not grow with the number of rows, and half a byte holds no number of X.
        small, large = (len(pickle.dumps(seeded(scorer).fit(wide[:n], y[:n]))) for n in (30, 60))
        assert large - small < wide[30:].size / 2, (
            f"The pickle of a fitted scorer grows by {(large - small) // 30} bytes a row of "
            f"{wide.shape[1]} features: it seems to hold X. Keep what describes a row, or a hash; "
            "if unseen rows cannot be scored without X, offer pickle_bank=False."
        )


# --------------------------------------------------------------------------------- records in place


def check_scores_stand_in_the_order_of_rows(scorer: Any) -> None:
    """Check that rows in another order get the same scores from a record, in that order."""
    X, y = training_rows()
    record = record_of(scorer.fit(X, y))
    if record is None:
        return
    reader = clone(scorer).set_params(estimator=record)
    order = np.random.default_rng(0).permutation(60)
    straight = clone(reader).fit(X, y).difficulty_
    try:
        shuffled = clone(reader).fit(X[order], y[order]).difficulty_
    except ValueError as error:
        if "other rows" in str(error):  # it needs the very rows of the training
            return
        raise
    np.testing.assert_allclose(
        shuffled,
        straight[order],
        rtol=1e-4,
        atol=1e-5,
        err_msg=(
            "The rows in another order do not get the same scores in that order. difficulty_[i] "
            "must be the score of row i of X."
        ),
    )


def check_reads_a_record(scorer: Any) -> None:
    """Check that a record in place of the network is not trained again, copied or tuned."""
    X, y = training_rows()
    record = record_of(scorer.fit(X, y))
    if record is None:
        return
    reader = clone(scorer).set_params(estimator=record)
    assert clone(reader).estimator is record, "clone copied the record; it must pass it on."
    before = [p.detach().clone() for p in record.module.parameters()]
    with forward_passes() as trained:
        reader.fit(X, y)
    assert not any(trained), "fit on a record trained again; it must only read it."
    same = all(torch.equal(a, b) for a, b in zip(before, record.module.parameters(), strict=True))
    assert same, "fit on a record changed its weights; it must only read them."
    assert reader.record_ is record, "fit on a record must keep that record as record_."
    np.testing.assert_allclose(
        reader.difficulty_,
        scorer.difficulty_,
        rtol=1e-5,
        err_msg="The scores read from a record differ from those of the fit that made it.",
    )
    message = error_of(lambda: reader.set_params(estimator__lr=0.1))
    assert "already trained" in message, (
        "set_params(estimator__...) on a record must say that it is already trained; it said "
        f"{message!r}."
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        message = error_of(lambda: clone(reader).fit(X[::-1].copy(), y))
    assert "other rows" in "".join([message, *(str(w.message) for w in caught)]), (
        "A record of other rows must be refused, or warned of if it can be read nevertheless."
    )


def check_reads_an_ensemble(scorer: Any) -> None:
    """Check that a fitted ensemble in place of the network is read as it is."""
    X, y = training_rows()
    ensemble = getattr(scorer.fit(X, y), "ensemble_", None)
    if ensemble is None:
        return
    reader = clone(scorer).set_params(estimator=ensemble)
    assert clone(reader).estimator is ensemble, (
        "clone copied the ensemble, and a copy is not fitted; it must pass it on."
    )
    with forward_passes() as trained:
        reader.fit(X, y)
    assert reader.ensemble_ is ensemble, "fit on an ensemble must keep that one as ensemble_."
    assert not any(trained), "fit on an ensemble trained again; it must only read it."
    np.testing.assert_array_equal(
        reader.difficulty_,
        scorer.difficulty_,
        err_msg="The scores read from an ensemble differ from those of the fit that trained it.",
    )
    message = error_of(lambda: reader.set_params(estimator__lr=0.1))
    assert "already trained" in message, (
        "set_params(estimator__...) on a fitted ensemble must say that it is already trained; it "
        f"said {message!r}."
    )
    message = error_of(lambda: clone(reader).fit(X[::-1].copy(), y))
    assert "other rows" in message, (
        "An ensemble that was trained on other rows must be refused; fit on rows in another order "
        f"said {message!r}."
    )


# --------------------------------------------------------------------------------- tuned, used anew


def check_works_in_a_search(scorer: Any) -> None:
    """Check that a search over a pipeline tunes the network of the scorer."""
    X, y = training_rows()
    if scorer.estimator is None:
        scorer.set_params(estimator=default_network(X, y))
    steps = [("scale", StandardScaler()), ("score", scorer.set_params(undefined="max"))]
    if reads_unseen_rows(scorer):
        steps.append(("classify", DummyClassifier()))
    search = GridSearchCV(
        Pipeline(steps),
        {"score__estimator__lr": [0.0123]},
        cv=2,
        scoring=lambda fitted, X, y: float(np.isfinite(fitted["score"].difficulty_).all()),
        error_score="raise",
    ).fit(X, y)
    best = search.best_estimator_["score"]
    assert best.estimator_.lr == 0.0123, (
        "estimator__lr does not reach the network that is trained; fit must clone `estimator`."
    )
    assert search.best_score_ == 1, 'undefined="max" leaves scores that are not finite.'
    twin = clone(scorer).set_params(estimator__lr=0.0123)
    twin.fit(StandardScaler().fit_transform(X).astype(np.float32), y)
    np.testing.assert_allclose(
        best.difficulty_,
        twin.difficulty_,
        rtol=1e-4,
        atol=1e-5,
        err_msg="The scores in a pipeline differ from those of the rows that it passes on.",
    )


def check_estimator_is_left_reusable(scorer: Any) -> None:
    """Check that what is left in `estimator_` clones, fits, pickles, is tuned, and scored again."""
    X, y = training_rows()
    left = scorer.fit(X, y).estimator_
    if isinstance(left, TrainingRecord):
        return
    again = clone(scorer)
    search = GridSearchCV(left, {"lr": [0.01]}, cv=2, scoring="accuracy", error_score="raise")
    for use, action in {
        "clone(estimator_).fit": lambda: clone(left).fit(X, y),
        "pickle": lambda: pickle.loads(pickle.dumps(left)),
        "a grid search": lambda: search.fit(X, y),
        "another scorer": lambda: clone(again.set_params(estimator=left)).fit(X, y),
    }.items():
        try:
            action()
        except Exception as error:
            raise AssertionError(
                f"{use} cannot use what fit left in estimator_: {error!r}."
            ) from error
    assert np.array_equal(again.fit(X, y).difficulty_, scorer.difficulty_, equal_nan=True), (
        "A scorer that is given the estimator_ of another must give the same scores."
    )
