# SPDX-License-Identifier: BSD-3-Clause
"""Difficulty out of fold, and scorers compared on your own data."""

from __future__ import annotations

import inspect
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
    check_cv,
)
from sklearn.utils import check_array, check_random_state, column_or_1d
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import has_fit_parameter

from .datasets import make_label_noise
from .metrics import detection_report
from .metrics.detection import undefined_as_easiest
from .training import ResampledEnsemble, TrainingRecord
from .training.members import one_thread
from .training.network import NET_TYPES, collate_fn
from .training.outputs import is_regression
from .training.rows import Rows, check_rows, given_labels, is_dataset, take_rows, to_numpy

__all__ = ["benchmark_scorers", "cross_val_difficulty"]

Split = tuple[NDArray[np.intp], NDArray[np.intp]]  # training rows, tested rows

_LISTED = 5
# Threads share the random generators of torch and the list of caught warnings.
_TRAINING = threading.RLock()


# --------------------------------------------------------------------------- difficulty out of fold


def cross_val_difficulty(
    scorer: Any,
    X: Any,
    y: Any,
    *,
    cv: Any = 5,
    groups: ArrayLike | None = None,
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
        An int is a number of folds: shuffled, stratified by `y` unless the scorer has a regressor,
        and with the rows of one group kept together if there are `groups`. Anything else is taken
        as it is, and must test every row exactly once.
    groups : array-like of shape (n_samples,), default=None
        Rows of one group are tested together, by networks that saw none of them, such as pictures
        of one patient. Also passed to the scorer's `fit` if that takes `groups`.
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
    >>> suspects = np.argsort(difficulty)[::-1][:100]
    >>> bool(is_flipped[suspects].mean() > 0.9)
    True
    """
    _check_untrained(scorer, "cross_val_difficulty")
    _check_scores_unseen(scorer)
    rows = check_rows(X)
    y = _labels(rows, y, scorer)
    groups = _check_groups(groups, len(y))
    splits = _splits(rows, y, groups, cv, _is_regression(scorer, y), random_state)
    found = Parallel(n_jobs=n_jobs)(
        delayed(_score_fold)(scorer, rows, y, groups, *split, f"fold {k} of {len(splits)}")
        for k, split in enumerate(splits, start=1)
    )
    difficulty = np.empty(len(y), dtype=np.float32)
    caught: dict[tuple[type[Warning], str], list[int]] = {}
    for k, ((_, test), (scores, warned)) in enumerate(zip(splits, found, strict=True), start=1):
        difficulty[test] = scores
        for warning in warned:
            caught.setdefault(warning, []).append(k)
    for (category, message), folds in caught.items():
        where = f"Fold {', '.join(map(str, folds))} of {len(splits)}, rows numbered within the fold"
        warnings.warn(f"{where}: {message}", category, stacklevel=2)
    return difficulty


def _score_fold(
    scorer: Any,
    X: Rows,
    y: NDArray[Any],
    groups: NDArray[Any] | None,
    train: NDArray[np.intp],
    test: NDArray[np.intp],
    name: str,
) -> tuple[NDArray[Any], list[tuple[type[Warning], str]]]:
    """Return the scores of the tested rows, and what was warned of, which workers would lose."""
    with _TRAINING, one_thread(), warnings.catch_warnings(record=True) as caught:
        try:
            given = None if groups is None else groups[train]
            fitted = _fit(scorer, take_rows(X, train), y[train], given)
            scores = fitted.score_samples(take_rows(X, test), y[test])
        except Exception as error:
            error.add_note(f"This happened in {name}.")
            raise
    return scores, list(dict.fromkeys((w.category, str(w.message)) for w in caught))


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
        splitter = check_cv(cv)
    everyone = np.arange(len(y))
    shown = X if isinstance(X, np.ndarray) else everyone
    splits = [(everyone[train], everyone[test]) for train, test in splitter.split(shown, y, groups)]
    n_tests = np.bincount(np.concatenate([test for _, test in splits]), minlength=len(y))
    if (n_tests != 1).any():
        never, often = np.flatnonzero(n_tests == 0), np.flatnonzero(n_tests > 1)
        raise ValueError(
            f"cv must test every row exactly once; it leaves out {len(never)} row(s), first "
            f"{never[:_LISTED].tolist()}, and tests {len(often)} more than once, first "
            f"{often[:_LISTED].tolist()}. Take a partition, such as KFold or GroupKFold, and "
            "average over several of them if you want repeats."
        )
    for k, (train, test) in enumerate(splits, start=1):
        where = f"fold {k} of {len(splits)}"
        both = np.intersect1d(train, test)
        if len(both):
            raise ValueError(
                f"The training part of {where} holds {len(both)} of the rows that it tests, first "
                f"{both[:_LISTED].tolist()}."
            )
        if groups is not None:
            torn = np.intersect1d(groups[train], groups[test])
            if len(torn):
                raise ValueError(
                    f"In {where}, rows of the group(s) {torn[:_LISTED].tolist()} are both trained "
                    "on and tested: this cv takes no notice of groups. Pass a number of folds, or "
                    "a splitter such as GroupKFold."
                )
        missing = [] if for_regression else _missing_classes(y, y[train])
        if missing:
            raise ValueError(
                f"The class(es) {missing} have no row in the training part of {where}, so that "
                "their rows cannot be scored. Leave these rows out, merge the class with another "
                "one, or choose other folds."
            )
    return splits


# ------------------------------------------------------------------------------ scorers compared


def benchmark_scorers(
    X: Any,
    y: Any,
    scorers: Mapping[str, Any] | Sequence[tuple[str, Any]],
    *,
    rate: float | None = 0.05,
    kind: str = "symmetric",
    noise_matrix: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    n_repeats: int = 3,
    random_state: int | np.random.RandomState | None = None,
    verbose: int = 0,
) -> NDArray[np.void]:
    r"""Which scorer finds wrong labels in your data: flip some on purpose, and look for them.

    Parameters
    ----------
    X : array-like of shape (n_samples, ...), tensor, DataFrame, dict of arrays, or Dataset
        The rows.
    y : array-like of shape (n_samples,)
        Their labels: ints, strings or bools. May be None for a Dataset that yields (x, y).
    scorers : dict of str to scorer, or list of (str, scorer)
        What is compared; clones are trained on all rows with the flipped labels.
    rate : float or None, default=0.05
        Share of the rows to flip, as in ``make_label_noise``.
    kind : {"symmetric", "pair", "matrix", "instance"}, default="symmetric"
        How labels are flipped, as in ``make_label_noise``; "instance" for arrays only.
    noise_matrix : array-like of shape (n_classes, n_classes), default=None
        For ``kind="matrix"``.
    groups : array-like of shape (n_samples,), default=None
        Passed to `fit` of the scorers that take `groups`.
    n_repeats : int, default=3
        How often labels are flipped anew. Within a repeat all scorers get the same flips.
    random_state : int, RandomState or None, default=None
        Draws the flips. The training is seeded by the scorers' own `random_state`.
    verbose : int, default=0
        Above 0 prints a line per fit.

    Returns
    -------
    table : ndarray of shape (n_scorers,), structured
        One row per scorer, in the given order; ``pandas.DataFrame(table)`` makes a frame of it.
        Means over repeats, and, as ``..._se``, their standard errors, NaN for a single repeat:

        - ``name``;
        - ``recall``, ``recall_se``: share of the flipped rows among as many hardest rows as were
          flipped, in [0, 1], by chance the share of flipped rows;
        - ``average_precision``, ``average_precision_se``: in [0, 1], by chance about the same;
        - ``auroc``, ``auroc_se``: in [0, 1], 0.5 by chance;
        - ``seconds``: of wall-clock time that `fit` takes.

    Raises
    ------
    ValueError
        If a scorer holds a network that is already trained, two have one name, no row is flipped,
        a class loses its last row, or a parameter is out of range.

    See Also
    --------
    sklearn_difficulty.datasets.make_label_noise : How labels are flipped.
    sklearn_difficulty.metrics.label_error_scoring : The choice by labels that somebody verified.
    sklearn_difficulty.metrics.detection_report : The measures, and more of them.

    Notes
    -----
    Read the table as a ranking of scorers, not as a promise of what they will find:

    - Labels that are wrong already count as right here, and a scorer that puts them on top of its
      list loses by it. On that account the figures are lower bounds.
    - Real errors are harder than flips. Symmetric flips are the easiest ones, since a wrong label
      drawn at random is seldom a plausible one; ``kind="instance"`` flips the rows that are the
      easiest to confuse. A scorer that is better for one kind need not be so for another: run the
      benchmark for the kind that you expect, or for several.
    - A standard error of three repeats is itself uncertain. Differences between scorers are more
      certain than it says, because all of them look for the same flips.

    Rows without a defined difficulty (NaN) count as the easiest ones: nobody who reads down the
    list would come to them. The first fit of a process may have to wake up the GPU, or the workers
    of joblib, and takes longer for it.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_difficulty import TrainingDynamicsScorer
    >>> from sklearn_difficulty.model_selection import benchmark_scorers
    >>> X, y = load_digits(return_X_y=True)
    >>> measures = ["loss", "confidence", "entropy"]
    >>> scorers = {m: TrainingDynamicsScorer(measure=m, random_state=0) for m in measures}
    >>> table = benchmark_scorers(X[:600], y[:600], scorers, n_repeats=2, random_state=0)
    >>> table["name"][table["average_precision"] > 0.8].tolist()
    ['loss', 'confidence']
    """
    named = _named(scorers)
    for scorer in named.values():
        _check_untrained(scorer, "benchmark_scorers")
    if isinstance(n_repeats, bool) or not isinstance(n_repeats, Integral) or n_repeats < 1:
        raise ValueError(f"n_repeats must be a whole number of at least 1. Got {n_repeats!r}.")
    rows = check_rows(X)
    y = _labels(rows, y, next(iter(named.values())))
    groups = _check_groups(groups, len(y))
    if kind == "instance" and (is_dataset(rows) or isinstance(rows, Mapping)):
        raise ValueError("kind='instance' needs X as one array; take another kind.")
    rng = check_random_state(random_state)
    # All flips before the first training, so that what is wrong with them comes up at once.
    flips = [
        _flip(y, rate, kind=kind, X=rows, noise_matrix=noise_matrix, random_state=seed)
        for seed in rng.randint(np.iinfo(np.int32).max, size=n_repeats)
    ]
    measures = ("recall", "average_precision", "auroc")
    values = np.empty((n_repeats, len(named), len(measures)))
    seconds = np.empty((n_repeats, len(named)))
    # Repeat by repeat, so that a scorer that fails does so in the first one.
    for r, (y_noisy, is_flipped) in enumerate(flips):
        for i, (name, scorer) in enumerate(named.items()):
            start = time.perf_counter()
            fitted = _fit(scorer, rows, y_noisy, groups)
            seconds[r, i] = time.perf_counter() - start
            # As many rows as are flipped: precision and recall are the same.
            report = detection_report(is_flipped, undefined_as_easiest(fitted.difficulty_))
            values[r, i] = report["precision_at_k"], report["average_precision"], report["auroc"]
            if verbose:
                print(
                    f"{name}, repeat {r + 1} of {n_repeats}: average precision "
                    f"{values[r, i, 1]:.3f}, {seconds[r, i]:.1f} s"
                )
    errors = np.full(values.shape[1:], np.nan)
    if n_repeats > 1:
        errors = values.std(axis=0, ddof=1) / np.sqrt(n_repeats)
    columns: dict[str, NDArray[Any]] = {"name": np.array(list(named))}
    for m, measure in enumerate(measures):
        columns |= {measure: values.mean(axis=0)[:, m], f"{measure}_se": errors[:, m]}
    columns["seconds"] = seconds.mean(axis=0)
    table = np.empty(len(named), dtype=[(name, c.dtype) for name, c in columns.items()])
    for name, column in columns.items():
        table[name] = column
    return table


def _named(scorers: Any) -> dict[str, Any]:
    pairs = list(scorers.items()) if isinstance(scorers, Mapping) else scorers
    is_list = isinstance(pairs, (list, tuple)) and all(
        isinstance(p, (list, tuple)) and len(p) == 2 and isinstance(p[0], str) for p in pairs
    )
    if not is_list or not pairs:
        raise ValueError(
            "scorers must be a dict of names to scorers, or a list of (name, scorer) pairs, and "
            f"hold at least one. Got {scorers!r}."
        )
    names = [name for name, _ in pairs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"Several scorers are called {twice}; give each a name of its own.")
    return dict(pairs)


def _flip(y: NDArray[Any], rate: float | None, **noise: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    y_noisy, is_flipped = make_label_noise(y, rate, **noise)
    if not is_flipped.any():
        raise ValueError(f"rate={rate} of {len(y)} rows is not a single one; raise the rate.")
    missing = _missing_classes(y, y_noisy)
    if missing:
        raise ValueError(
            f"The flips leave no row of the class(es) {missing}; lower the rate, or leave out, or "
            "merge, classes of few rows."
        )
    return y_noisy, is_flipped


# --------------------------------------------------------------------------------- what both need


def _check_untrained(scorer: Any, verb: str) -> None:
    """Raise unless clones of the scorer can be trained on other rows or labels."""
    clone(scorer)  # says what is wrong with things that are no estimator
    held = getattr(scorer, "estimator", None)
    if isinstance(held, str) and held == "precomputed":
        raise ValueError(
            f"{type(scorer).__name__} reads precomputed probabilities, whose networks are already "
            f"trained; {verb} trains anew: pass the net."
        )
    if isinstance(held, (TrainingRecord, FrozenEstimator, ResampledEnsemble)):
        raise ValueError(
            f"{type(scorer).__name__} holds a {type(held).__name__}, which is already trained; "
            f"{verb} trains anew: pass the net."
        )


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


def _is_regression(scorer: Any, y: NDArray[Any]) -> bool:
    """Tell whether y holds numbers to be met rather than classes."""
    net = getattr(scorer, "estimator", None)
    if isinstance(net, NET_TYPES[0]):
        return is_regression(net)
    return type_of_target(y).startswith("continuous")


def _labels(X: Rows, y: Any, scorer: Any) -> NDArray[Any]:
    net = getattr(scorer, "estimator", None)
    joins = collate_fn(net) if isinstance(net, NET_TYPES[0]) else None
    y = to_numpy(given_labels(X, y, joins))
    return check_array(y, ensure_2d=False, dtype=None, ensure_all_finite=False, input_name="y")


def _check_groups(groups: Any, n: int) -> NDArray[Any] | None:
    if groups is None:
        return None
    groups = column_or_1d(to_numpy(groups))
    if len(groups) != n:
        raise ValueError(f"groups must hold one value for every row: {len(groups)} for {n} rows.")
    return groups


def _missing_classes(y: NDArray[Any], left: NDArray[Any]) -> list[Any]:
    """Return classes of y of which no row is left."""
    return np.setdiff1d(y, left)[:_LISTED].tolist()


def _fit(scorer: Any, X: Rows, y: NDArray[Any], groups: NDArray[Any] | None) -> Any:
    takes_groups = groups is not None and has_fit_parameter(scorer, "groups")
    return clone(scorer).fit(X, y, **({"groups": groups} if takes_groups else {}))
