# SPDX-License-Identifier: BSD-3-Clause
"""The difficulty of every row by networks that did not see it."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterable
from functools import partial
from numbers import Integral
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
    check_cv,
)

from .._arrays import as_labels
from .._jobs import as_they_come
from .._parameters import check_parameters
from .._randomness import one_thread
from .._warnings import Caught, caught_warnings, located
from ..rows.copies import warn_of_divided_copies
from ..rows.rows import Rows
from ..rows.views import VARYING, as_view
from ..scorers._pipelines import score_unseen, scorer_in
from ._checks import (
    N_LISTED,
    check_groups,
    check_untrained,
    collate_fn_of,
    fit_clone,
    given,
    is_for_regression,
    labels_of,
    missing_classes,
    rows_of,
)

__all__ = ["cross_val_difficulty"]

Split = tuple[NDArray[np.intp], NDArray[np.intp]]  # training rows, tested rows


def cross_val_difficulty(
    scorer: Any,
    X: Any,
    y: Any,
    *,
    cv: Any = 5,
    groups: ArrayLike | None = None,
    scoring_view: Any = None,
    n_jobs: int | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> NDArray[np.float32]:
    """Difficulty of every row with its given label, by networks that were not trained on it.

    Parameters
    ----------
    scorer : estimator
        A difficulty scorer around a network that is still to be trained; every fold trains a
        clone. Scorers whose score has no meaning for unseen rows cannot be taken.
    X : array-like of shape (n_samples, ...), tensor, DataFrame, dict of arrays, or Dataset
        The rows.
    y : array-like of shape (n_samples,)
        Their labels, of any type, right or wrong; targets for a regressor. May be None for a
        Dataset that yields (x, y).
    cv : int, splitter or iterable of (train, test), default=5
        An int is a number of folds: shuffled, stratified by `y` unless the scorer is for
        regression, and with the rows of one group kept together if there are `groups`. Anything
        else is taken as it is, and must test every row exactly once.
    groups : array-like of shape (n_samples,), default=None
        Rows of one group are tested together, by networks that saw none of them, such as pictures
        of one patient. Also passed to the scorer's `fit` if that takes `groups`.
    scoring_view : same kind as X, default=None
        The same rows in the same order without random augmentation: networks are trained on X, and
        these are scored. Also passed to the scorer's `fit` if that takes it.
    n_jobs : int, default=None
        Folds trained at a time, by joblib. Each is trained with one torch thread, so that the
        number changes no result.
    random_state : int, RandomState or None, default=None
        Shuffles the rows if `cv` is an int. It does not seed the training: that is for the
        scorer's own `random_state`, which every fold starts from.

    Returns
    -------
    difficulty : ndarray of shape (n_samples,), float32
        Larger = harder, in the order of the rows. NaN where the scorer has no score, with a
        warning.

    Raises
    ------
    ValueError
        If the scorer holds a network that is already trained, or has no `score_samples`; if a row
        is not tested exactly once, or by a network that saw it or a row of its group; or if a class
        has no row in the training part of a fold.
    TypeError
        If the scorer's `score_samples` does not take labels.

    See Also
    --------
    benchmark_scorers : Which scorer finds flipped labels in these data.
    sklearn.model_selection.cross_val_predict : The same for predictions.

    Notes
    -----
    Why not `difficulty_`, which `fit` has for every row? It describes rows that the network may
    have learned by heart, and then a score of the finished network, such as a margin, says little
    about their labels. Out of fold there is nothing to remember, and the scores are of the kind
    that `score_samples` has for new rows. Measures of training dynamics watch a row being learned
    and can do without folds: see the figures at `TrainingDynamicsScorer`.

    With :math:`k` folds every network sees :math:`1 - 1/k` of the rows, and all together take about
    :math:`k - 1` times as long as one training on all rows. They differ by chance, and so do the
    levels of their scores.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_difficulty import TrainingDynamicsScorer
    >>> from sklearn_difficulty.datasets import make_label_noise
    >>> from sklearn_difficulty.model_selection import cross_val_difficulty
    >>> X, y = load_digits(return_X_y=True)
    >>> y_noisy, is_flipped = make_label_noise(y, rate=0.1, random_state=0)
    >>> scorer = TrainingDynamicsScorer(random_state=0)
    >>> difficulty = cross_val_difficulty(scorer, X, y_noisy, cv=3, random_state=0)
    >>> hardest = np.argsort(-difficulty)[:100]
    >>> print(f"{is_flipped[hardest].mean():.2f} of the hardest 100 are wrong")
    0.95 of the hardest 100 are wrong
    """
    check_parameters(
        "cross_val_difficulty",
        n_jobs=(n_jobs, [Integral, None]),
        random_state=(random_state, ["random_state"]),
    )
    check_untrained(scorer, "cross_val_difficulty")
    _check_scores_unseen(scorer_in(scorer))
    rows = rows_of(scorer, X)
    view = as_view(scoring_view, rows, collate_fn=collate_fn_of(scorer))
    y = labels_of(rows, y)
    for_regression = is_for_regression(scorer_in(scorer), y)
    y = y if for_regression else as_labels(y)
    groups = check_groups(groups, len(y))
    splits = _splits(rows, y, groups, cv, for_regression, random_state)
    if groups is None:
        warn_of_divided_copies(rows, (np.isin(np.arange(len(y)), train) for train, _ in splits))
    n = len(splits)
    done = as_they_come(
        partial(_score_fold, scorer, rows, y, groups, view),
        lambda k: (*splits[k], f"fold {k + 1} of {n}"),
        n,
        n_jobs,
    )
    with warnings.catch_warnings():  # threads side by side leave filters of their own behind
        results = [result for _, result in sorted(done, key=itemgetter(0))]
    difficulty = np.empty(len(y), dtype=np.float32)
    caught: dict[tuple[type[Warning], str], list[int]] = {}
    for k, ((_, test), (scores, warned)) in enumerate(zip(splits, results, strict=True), start=1):
        difficulty[test] = scores
        for warning in warned:
            caught.setdefault(warning, []).append(k)
    for (category, message), folds in caught.items():
        where = f"Fold {', '.join(map(str, folds))} of {n}, rows numbered within the fold"
        warnings.warn(f"{where}: {message}", category, stacklevel=2)
    return difficulty


def _score_fold(
    scorer: Any,
    X: Rows,
    y: NDArray[Any],
    groups: NDArray[Any] | None,
    view: Rows,
    train: NDArray[np.intp],
    test: NDArray[np.intp],
    name: str,
) -> tuple[NDArray[Any], Caught]:
    """Return the scores of the tested rows, and what was warned of, which workers would lose."""
    # Threads share the list of caught warnings, too.
    with one_thread(), caught_warnings() as caught:
        warnings.filterwarnings("ignore", message=VARYING)  # said once, of all rows
        with located(f"in {name}"):
            fitted = fit_clone(
                scorer,
                given(X.take(train)),
                y[train],
                groups=None if groups is None else groups[train],
                scoring_view=None if view is X else given(view.take(train)),
            )
            scores = score_unseen(fitted, given(view.take(test)), y[test])
    return scores, caught


def _splits(
    X: Rows,
    y: NDArray[Any],
    groups: NDArray[Any] | None,
    cv: Any,
    for_regression: bool,
    random_state: Any,
) -> list[Split]:
    """Return the splits as positions, after checking that they give every row one honest score."""
    if cv is None or isinstance(cv, Integral):
        kinds = (KFold, StratifiedKFold) if groups is None else (GroupKFold, StratifiedGroupKFold)
        kind = kinds[not for_regression]
        splitter = kind(5 if cv is None else cv, shuffle=True, random_state=random_state)
    else:
        splitter = _given_splitter(cv)
    all_rows = np.arange(len(y))
    data = X.data if X.has_columns else all_rows
    splits = [(all_rows[train], all_rows[test]) for train, test in splitter.split(data, y, groups)]
    if not splits:
        raise ValueError("cv has no split.")
    n_tests = np.bincount(np.concatenate([test for _, test in splits]), minlength=len(y))
    if (n_tests != 1).any():
        never, often = np.flatnonzero(n_tests == 0), np.flatnonzero(n_tests > 1)
        raise ValueError(
            f"cv must test every row exactly once; it leaves out {len(never)} row(s), first "
            f"{never[:N_LISTED].tolist()}, and tests {len(often)} more than once, first "
            f"{often[:N_LISTED].tolist()}. Take a partition, such as KFold or GroupKFold, and "
            "average over several of them if you want repeats."
        )
    for k, (train, test) in enumerate(splits, start=1):
        where = f"fold {k} of {len(splits)}"
        both = np.intersect1d(train, test)
        if len(both):
            raise ValueError(
                f"The training part of {where} holds {len(both)} of the rows that it tests, first "
                f"{both[:N_LISTED].tolist()}."
            )
        if groups is not None:
            divided = np.intersect1d(groups[train], groups[test])
            if len(divided):
                raise ValueError(
                    f"In {where}, rows of the group(s) {divided[:N_LISTED].tolist()} are both "
                    "trained on and tested: this cv takes no notice of groups. Pass a number of "
                    "folds, or a splitter such as GroupKFold."
                )
        missing = [] if for_regression else missing_classes(y, y[train])
        if missing:
            raise ValueError(
                f"The class(es) {missing} have no row in the training part of {where}, so that "
                "their rows cannot be scored. Leave these rows out, merge the class with another "
                "one, or choose other folds."
            )
    return splits


def _given_splitter(cv: Any) -> Any:
    """Return a splitter, or pairs of training and test rows as one."""
    if not hasattr(cv, "get_n_splits"):
        pairs = list(cv) if isinstance(cv, Iterable) and getattr(cv, "ndim", True) else [None]
        if not all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in pairs):
            raise ValueError(
                "cv must be a number of folds, a splitter, or an iterable of pairs (train, test); "
                f"got {cv!r}."
            )
        cv = pairs
    return check_cv(cv)


def _check_scores_unseen(scorer: Any) -> None:
    """Raise, before any training, unless the scorer can score unseen rows with their labels."""
    name = type(scorer).__name__
    try:
        score_samples = scorer.score_samples
    except AttributeError as error:
        raise ValueError(
            f"{name} has no score_samples, so it has no difficulty out of fold. "
            f"{error.__cause__ or error}"
        ) from None
    if "y" not in inspect.signature(score_samples).parameters:
        raise TypeError(
            f"score_samples of {name} takes no y, and so cannot judge the given labels. If a "
            "difficulty scorer is inside, pass that one."
        )
