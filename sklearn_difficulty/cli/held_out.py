# SPDX-License-Identifier: BSD-3-Clause
"""What a network is given of DATA, and held-out class probabilities of texts."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Memory, parallel_config
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.pipeline import make_pipeline

from .messages import UserError, listed, note
from .reading.data import Data

_TEXT_FEATURES = 100


def rows_of(data: Data, seed: int) -> Any:
    """Return rows as a network takes them; what is learned for that, is learned without labels."""
    if data.array is not None:
        return data.array
    if data.texts is None:
        has_gaps = data.columns.isna().any(axis=None)
        are_numbers = all(kind == np.float64 for kind in data.columns.dtypes)
        is_plain = are_numbers and not has_gaps
        return data.columns.to_numpy(dtype=np.float32) if is_plain else data.columns
    words = _tfidf().fit_transform(data.texts)
    n_features = min(_TEXT_FEATURES, words.shape[1] - 1)
    if n_features < 2:
        raise UserError("the texts have too few different words to judge rows by.")
    return TruncatedSVD(n_features, random_state=seed).fit_transform(words).astype(np.float32)


def held_out_probabilities(
    data: Data,
    codes: NDArray[np.int64],
    *,
    n_folds: int,
    seed: int,
    n_jobs: int | None,
    cache: Path | None,
    tell: Callable[[str], object],
) -> NDArray[np.float64]:
    """Return (n, n_classes) from models that did not see the row; a finished fold is kept.

    Of rows whose class no such model knows, the given label is believed, and a note tells so.
    """
    rows = np.array(data.texts, dtype=object)
    model = make_pipeline(_tfidf(), LogisticRegression(C=10, max_iter=1000))
    fold_of = _folds(codes, data.groups, n_folds, seed)
    predict = Memory(cache, verbose=0).cache(_predict)
    n_classes, start = int(codes.max()) + 1, time.monotonic()
    probabilities = np.zeros((len(codes), n_classes))
    is_new = np.zeros(len(codes), dtype=bool)
    for k in range(n_folds):
        held_out = fold_of == k
        with parallel_config(n_jobs=n_jobs):
            predicted, known = predict(model, rows, codes, held_out)
        probabilities[np.ix_(held_out, known)] = predicted
        is_new |= held_out & ~np.isin(codes, known)
        elapsed = time.monotonic() - start
        left = elapsed / (k + 1) * (n_folds - k - 1)
        done = f"{k + 1} of {n_folds} text models are trained"
        tell(f"{done} after {elapsed:.0f} s, about {left:.0f} s left")
    if is_new.any():
        rows_of_new = np.flatnonzero(is_new)
        probabilities[rows_of_new] = np.eye(n_classes)[codes[rows_of_new]]
        note(
            f"nothing can be said of {len(rows_of_new)} row(s), since there is none, or hardly "
            f"any, of the same label beside them: {listed(rows_of_new.tolist())}."
        )
    return probabilities


def _predict(
    model: Any, rows: Any, codes: NDArray[np.int64], held_out: NDArray[np.bool_]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Train on the other rows; return probabilities of the held-out ones, and whose they are."""
    trained = clone(model).fit(rows[~held_out], codes[~held_out])
    return trained.predict_proba(rows[held_out]), trained.classes_


def _folds(
    codes: NDArray[np.int64], groups: NDArray[Any] | None, n_folds: int, seed: int
) -> NDArray[np.int64]:
    """Return for every row the fold that holds it out; classes are spread over all folds."""
    fold_of = np.empty(len(codes), dtype=np.int64)
    if groups is None and np.bincount(codes).max() < n_folds:
        order = np.lexsort((np.random.RandomState(seed).rand(len(codes)), codes))
        fold_of[order] = np.arange(len(codes)) % n_folds
        return fold_of
    splitter = StratifiedKFold if groups is None else StratifiedGroupKFold
    splits = splitter(n_folds, shuffle=True, random_state=seed).split(codes, codes, groups)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")  # told of its rows above
        for k, (_, held_out) in enumerate(splits):
            fold_of[held_out] = k
    return fold_of


def _tfidf() -> TfidfVectorizer:
    """Return words and pairs of words, weighted; without rare words where there are many texts."""
    return TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), max_features=200_000)
