# SPDX-License-Identifier: BSD-3-Clause
"""Rows that were not trained on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from sklearn import config_context
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ._material import error_of, reads_unseen_rows, seeded, training_rows


def check_both_or_neither_for_unseen_rows(scorer: Any) -> None:
    """Check that `transform` and `score_samples` are offered, or hidden, together."""
    X, y = training_rows()
    scorer.fit(X, y)
    offered = [hasattr(scorer, name) for name in ("transform", "score_samples")]
    assert len(set(offered)) == 1, (
        "Either unseen rows can be scored, then offer transform and score_samples, or they cannot, "
        "then hide both (sklearn.utils.metaestimators.available_if)."
    )


def check_transform_and_names(scorer: Any) -> None:
    """Check the shape, type, first column and column names of `transform`."""
    X, y = training_rows()
    scorer.fit(X, y)
    if not reads_unseen_rows(scorer):
        return
    columns = scorer.transform(X[:7])
    names = scorer.get_feature_names_out()
    assert columns.shape == (7, len(names)), (
        f"transform must return one row per row of X and one column per name; it returns "
        f"{columns.shape} for 7 rows and names {list(names)}."
    )
    assert columns.dtype == np.float32, f"transform must return float32; got {columns.dtype}."
    assert np.array_equal(columns[:, 0], scorer.score_samples(X[:7]), equal_nan=True), (
        "The first column of transform must be score_samples."
    )
    twin = seeded(scorer).fit_transform(X, y)
    assert np.array_equal(twin, scorer.transform(X), equal_nan=True), (
        "fit_transform(X, y) must equal fit(X, y).transform(X)."
    )


def check_labels_are_routed(scorer: Any) -> None:
    """Check that a pipeline passes labels on to `transform`, which scores the rows with them."""
    X, y = training_rows()
    others = (y + 1) % 3
    with config_context(enable_metadata_routing=True):
        pipeline = make_pipeline(StandardScaler(), scorer).fit(X, y)
        if not reads_unseen_rows(scorer):
            return
        message = error_of(lambda: pipeline.transform(X, y=others))
        assert not message, f"Request y for transform; a pipeline says {message!r}."
        columns = pipeline.transform(X, y=others)
    expected = scorer.score_samples(pipeline[0].transform(X), others)
    assert np.array_equal(columns[:, 0], expected, equal_nan=True), (
        "The first column of transform(X, y) must be score_samples(X, y), in a pipeline too."
    )


def check_rows_do_not_see_each_other(scorer: Any) -> None:
    """Check that a row's score is the same alone, in a subset and in another order."""
    X, y = training_rows()
    scorer.fit(X, y)
    if not reads_unseen_rows(scorer):
        return
    for labels in (None, y):
        whole = scorer.score_samples(X, labels)
        order = np.random.default_rng(0).permutation(60)
        for rows in (order, order[:11], order[:1]):
            part = scorer.score_samples(X[rows], None if labels is None else labels[rows])
            np.testing.assert_allclose(
                part,
                whole[rows],
                rtol=1e-4,
                atol=1e-5,
                err_msg=(
                    "A row's score depends on the other rows of the call. Normalise by statistics "
                    "stored at fit, and score in eval mode."
                ),
            )


def check_given_labels_matter(scorer: Any) -> None:
    """Check that unseen rows are scored with the labels given for them.

    A score that does not depend on the label, such as the entropy of the prediction, says so by
    the attribute ``_ignores_labels_of_unseen_rows = True``.
    """
    X, y = training_rows()
    scorer.fit(X, y)
    ignores = getattr(scorer, "_ignores_labels_of_unseen_rows", False)
    if ignores or not reads_unseen_rows(scorer):
        return
    given, others = (scorer.score_samples(X, labels) for labels in (y, (y + 1) % 3))
    assert not np.allclose(given, others, equal_nan=True), (
        "score_samples(X, y) is the same for every y. Score rows with the labels given for them, "
        "or set the attribute _ignores_labels_of_unseen_rows = True if they do not matter."
    )


def check_unknown_labels_are_refused(scorer: Any) -> None:
    """Check that labels unknown to the fit are refused by name."""
    X, y = training_rows()
    scorer.fit(X, y)
    if not reads_unseen_rows(scorer):
        return
    message = error_of(lambda: scorer.score_samples(X[:3], [0, 1, 99]))
    assert "99" in message, (
        "score_samples must refuse labels that the fit has not seen, and name them; the label 99 "
        f"gave {message!r}."
    )


def check_threads_get_the_same(scorer: Any) -> None:
    """Check that threads which ask a fitted scorer at once get what a single one gets."""
    X, y = training_rows()
    scorer.fit(X, y)
    if not reads_unseen_rows(scorer):
        return
    parts = [np.arange(start, 60, 8) for start in range(8)]
    expected = [scorer.score_samples(X[rows], y[rows]) for rows in parts]
    with ThreadPoolExecutor(len(parts)) as pool:
        for _ in range(3):
            scores = pool.map(lambda rows: scorer.score_samples(X[rows], y[rows]), parts)
            assert all(map(np.array_equal, scores, expected, [True] * len(parts))), (
                "Threads that call score_samples at once get other scores than a single one. Keep "
                "nothing of a call on the scorer or its network, or let one thread read at a time."
            )
    again = [scorer.score_samples(X[rows], y[rows]) for rows in parts]
    assert all(map(np.array_equal, again, expected, [True] * len(parts))), (
        "Reading in several threads left the scorer, or its network, changed."
    )
