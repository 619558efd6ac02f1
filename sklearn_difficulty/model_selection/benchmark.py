# SPDX-License-Identifier: BSD-3-Clause
"""Which scorer finds labels, or targets, that were made wrong on purpose."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state

from .._jobs import as_they_come
from .._parameters import check_parameters
from .._randomness import one_thread
from .._warnings import Caught, caught_warnings, located
from ..datasets import make_label_noise, make_target_noise
from ..metrics import detection_report
from ..metrics.detection import undefined_as_easiest
from ..networks.tables import features_of
from ..rows.checked import is_frame
from ..rows.given import GivenRows
from ..rows.rows import ArrayRows
from ..scorers._pipelines import scorer_in
from ._checks import (
    check_groups,
    check_untrained,
    fit_clone,
    is_for_regression,
    labels_of,
    missing_classes,
    rows_of,
)

__all__ = ["benchmark_scorers"]


def benchmark_scorers(
    X: Any,
    y: Any,
    scorers: Mapping[str, Any] | Sequence[tuple[str, Any]],
    *,
    rate: float | None = 0.05,
    kind: str = "symmetric",
    noise_matrix: ArrayLike | None = None,
    level: float | None = None,
    groups: ArrayLike | None = None,
    scoring_view: Any = None,
    n_repeats: int = 3,
    n_jobs: int | None = None,
    random_state: int | np.random.RandomState | None = None,
    verbose: int = 0,
) -> NDArray[np.void]:
    r"""Which scorer finds wrong labels in your data: flip some on purpose, and look for them.

    With scorers for regression: make some targets wrong on purpose, and look for these.

    Parameters
    ----------
    X : array-like of shape (n_samples, ...), tensor, DataFrame, dict of arrays, or Dataset
        The rows.
    y : array-like of shape (n_samples,)
        Their labels: ints, strings or bools; numbers, of shape (n_samples,) or (n_samples,
        n_outputs), for regression. May be None for a Dataset that yields (x, y).
    scorers : dict of str to scorer, or list of (str, scorer)
        What is compared, all for classification or all for regression; clones are trained on all
        rows with the flipped labels.
    rate : float or None, default=0.05
        Share of the rows to flip, as in ``make_label_noise``; of several outputs, of each.
    kind : str, default="symmetric"
        How labels are flipped, as in ``make_label_noise``: "symmetric", "pair", "matrix", or, for
        arrays, "instance". How targets go wrong, as in ``make_target_noise``: "symmetric",
        "gaussian", "shift" or "unit".
    noise_matrix : array-like of shape (n_classes, n_classes), default=None
        For ``kind="matrix"``.
    level : float, default=None
        For "gaussian", "shift" and "unit", as in ``make_target_noise``.
    groups : array-like of shape (n_samples,), default=None
        Passed to `fit` of the scorers that take `groups`.
    scoring_view : same kind as X, default=None
        The same rows in the same order without random augmentation, passed to `fit` of the scorers
        that take it: networks are trained on X, and these are scored.
    n_repeats : int, default=3
        How often labels are flipped anew. Within a repeat all scorers get the same flips.
    n_jobs : int, default=None
        Fits at a time, by joblib. With more than one each takes one torch thread, and scorers that
        train several networks train them one after the other: so few fits of large ensembles are
        better left to ``n_jobs=1`` here and more of the scorers' own.
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
        If a scorer holds a network that is already trained, two have one name, some are for
        regression and some are not, no row is flipped, a class loses its last row, or a parameter
        is out of range.

    See Also
    --------
    sklearn_difficulty.datasets.make_label_noise : How labels are flipped.
    sklearn_difficulty.datasets.make_target_noise : How targets go wrong.
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
    >>> scorers = {
    ...     m: TrainingDynamicsScorer(measure=m, random_state=0) for m in measures
    ... }
    >>> table = benchmark_scorers(
    ...     X[:600], y[:600], scorers, n_repeats=2, random_state=0
    ... )
    >>> table["name"][table["average_precision"] > 0.8].tolist()
    ['loss', 'confidence']
    """
    check_parameters(
        "benchmark_scorers",
        n_jobs=(n_jobs, [Integral, None]),
        random_state=(random_state, ["random_state"]),
        verbose=(verbose, ["verbose"]),
    )
    named = _named(scorers)
    for scorer in named.values():
        check_untrained(scorer, "benchmark_scorers")
    if isinstance(n_repeats, bool) or not isinstance(n_repeats, Integral) or n_repeats < 1:
        raise ValueError(f"n_repeats must be a whole number of at least 1. Got {n_repeats!r}.")
    read = [rows_of(scorer, X) for scorer in named.values()]
    rows = next((rows for rows in read if isinstance(rows, ArrayRows)), read[0])
    y = labels_of(rows, y)
    groups = check_groups(groups, len(y))
    if isinstance(kind, str) and kind == "instance" and not rows.has_columns:
        raise ValueError("kind='instance' needs X as one array; take another kind.")
    rng = check_random_state(random_state)
    as_given = [rows.data for rows in read if isinstance(rows, GivenRows)]
    data = as_given[0] if as_given else X if is_frame(X) else rows.data
    features = features_of(rows) if isinstance(rows, ArrayRows) else rows.data
    noise: dict[str, Any] = {"kind": kind, "noise_matrix": noise_matrix, "level": level}
    noise |= {"X": features, "of_targets": _are_for_regression(named, y)}
    # All flips before the first training, so that what is wrong with them comes up at once.
    flips = [
        _flip(y, rate, **noise, random_state=seed)
        for seed in rng.randint(np.iinfo(np.int32).max, size=n_repeats)
    ]
    # As many rows as are flipped: precision and recall are the same.
    measures = {
        "recall": "precision_at_k",
        "average_precision": "average_precision",
        "auroc": "auroc",
    }
    values = np.empty((n_repeats, len(named), len(measures)))
    seconds = np.empty((n_repeats, len(named)))
    # Repeat by repeat, so that a scorer that fails does so in the first one.
    fits = [(r, i) for r in range(n_repeats) for i in range(len(named))]
    names = [f"{name}, repeat {r + 1} of {n_repeats}" for r in range(n_repeats) for name in named]
    # Alone, a scorer may use all threads, and hand jobs of its own to workers.
    limit = one_thread if effective_n_jobs(n_jobs) > 1 else nullcontext
    work = partial(_found, limit, list(named.values()), data, groups, scoring_view)
    done = as_they_come(
        work, lambda f: (fits[f][1], *flips[fits[f][0]], names[f]), len(fits), n_jobs
    )
    caught: dict[tuple[type[Warning], str], list[int]] = {}
    with warnings.catch_warnings():  # threads side by side leave filters of their own behind
        for f, (report, took, warned) in done:
            values[fits[f]] = [report[measure] for measure in measures.values()]
            seconds[fits[f]] = took
            for warning in warned:
                caught.setdefault(warning, []).append(f)
            if verbose:
                average_precision = report["average_precision"]
                print(f"{names[f]}: average precision {average_precision:.3f}, {took:.1f} s")
    for (category, message), where in caught.items():
        warned_of = "; ".join(names[f] for f in sorted(where))
        warnings.warn(f"{warned_of}: {message}", category, stacklevel=2)
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


def _found(
    limit: Callable[[], AbstractContextManager[None]],
    scorers: Sequence[Any],
    X: Any,
    groups: NDArray[Any] | None,
    scoring_view: Any,
    number: int,
    y_noisy: NDArray[Any],
    is_flipped: NDArray[np.bool_],
    name: str,
) -> tuple[dict[str, Any], float, Caught]:
    """Return how a scorer finds the flips, seconds of its fit, and what was warned of."""
    with limit(), caught_warnings() as caught, located(f"in {name}"):
        start = time.perf_counter()
        scorer = scorers[number]
        fitted = fit_clone(scorer, X, y_noisy, groups=groups, scoring_view=scoring_view)
        seconds = time.perf_counter() - start
        difficulty = undefined_as_easiest(scorer_in(fitted).difficulty_)
    return detection_report(is_flipped, difficulty), seconds, caught


def _named(scorers: Any) -> dict[str, Any]:
    """Return the scorers by name, after checking both."""
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


def _are_for_regression(scorers: Mapping[str, Any], y: NDArray[Any]) -> bool:
    """Tell whether y holds targets, of which the scorers must be of one mind."""
    found = {name: is_for_regression(scorer_in(scorer), y) for name, scorer in scorers.items()}
    if len(set(found.values())) > 1:
        raise ValueError(
            f"Of the scorers {[name for name in found if found[name]]} are for regression and "
            f"{[name for name in found if not found[name]]} are for classification; compare those "
            "of one kind."
        )
    return next(iter(found.values()))


def _flip(
    y: NDArray[Any],
    rate: float | None,
    *,
    kind: Any,
    X: Any,
    noise_matrix: Any,
    level: float | None,
    of_targets: bool,
    random_state: int,
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return labels, or targets, of which some are wrong, and which rows these are."""
    if of_targets:
        if noise_matrix is not None:
            raise ValueError("noise_matrix is for classes, and the scorers are for regression.")
        if kind == "symmetric" and level is not None:
            raise ValueError("level has no use with kind='symmetric', of which rate is the share.")
        strength: Any = {"level": rate} if kind == "symmetric" else {"level": level, "rate": rate}
        y_noisy, is_wrong, _ = make_target_noise(y, kind, **strength, random_state=random_state)
        is_flipped = np.logical_or.reduce(is_wrong.reshape(len(y), -1), axis=1)
    else:
        if level is not None:
            raise ValueError("level is for targets, and the scorers are for classification.")
        y_noisy, is_flipped = make_label_noise(
            y, rate, kind=kind, X=X, noise_matrix=noise_matrix, random_state=random_state
        )
    if not is_flipped.any():
        raise ValueError(f"rate={rate} of {len(y)} rows is not a single one; raise the rate.")
    missing = [] if of_targets else missing_classes(y, y_noisy)
    if missing:
        raise ValueError(
            f"The flips leave no row of the class(es) {missing}; lower the rate, or leave out, or "
            "merge, classes of few rows."
        )
    return y_noisy, is_flipped
