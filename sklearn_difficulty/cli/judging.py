# SPDX-License-Identifier: BSD-3-Clause
"""The scorer that judges labels, fitted to DATA: what `find`, `review` and `compare` share."""

from __future__ import annotations

import sys
from argparse import Namespace
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .held_out import held_out_probabilities, rows_of
from .messages import UserError, progress_on_stderr
from .reading.data import Data
from .reading.files import read_probabilities

_NEIGHBORS = 30
Noise = Literal["auto", "class", "instance"]


def fit_label_errors(data: Data, args: Namespace) -> Any:
    """Return a fitted LabelErrorScorer."""
    from ..scorers import LabelErrorScorer

    noise: Noise = getattr(args, "noise", "auto")
    probabilities = getattr(args, "probabilities", None)
    if probabilities is not None:
        given = read_probabilities(probabilities.expanduser(), data.y)
        return LabelErrorScorer("precomputed", noise=noise).fit(given, data.y)
    check_parts(data, args.members)
    if data.texts is not None:
        return fit_text_models(data, args, noise, data.y)
    X = rows_of(data, args.seed)
    scorer = unfitted(X, data.y, args).set_params(noise=noise)
    with progress_on_stderr():
        return scorer.fit(X, data.y, groups=data.groups)


def check_parts(data: Data, n_members: int) -> None:
    """Raise if there are too few rows, or groups, for every one to be held out."""
    if len(data.y) < 2 * n_members:
        raise UserError(f"{len(data.y)} rows are too few for --members {n_members}.")
    n_groups = n_members if data.groups is None else len(np.unique(data.groups))
    if n_groups < n_members:
        raise UserError(f"{n_groups} groups are too few for --members {n_members}.")


def unfitted(X: Any, y: NDArray[Any], args: Namespace) -> Any:
    """Return the LabelErrorScorer that trains networks as the arguments say."""
    from ..scorers import LabelErrorScorer

    n, n_members = len(y), args.members
    train_size = min(0.8, 1 - 1 / n_members)  # every row is held out once
    return LabelErrorScorer(
        network(X, y, args),
        n_members=n_members,
        train_size=train_size,
        n_neighbors=min(_NEIGHBORS, max(1, int(n * train_size) // 2)),
        # Members of a stack are finished, and kept, all at once: too late for who is interrupted.
        backend="auto" if args.cache is None else "joblib",
        n_jobs=args.jobs,
        cache_dir=None if args.cache is None else args.cache.expanduser(),
        random_state=args.seed,
        verbose=0 if args.quiet else 1,
    )


def network(X: Any, y: NDArray[Any], args: Namespace) -> Any:
    """Return the default network with as many epochs as the arguments say."""
    from ..training import default_network

    net = default_network(X, y)
    return net if args.epochs is None else net.set_params(max_epochs=args.epochs)


def fit_text_models(data: Data, args: Namespace, noise: Noise, y: NDArray[Any]) -> Any:
    """Return a LabelErrorScorer fitted to held-out probabilities of text models."""
    from ..scorers import LabelErrorScorer

    codes = np.unique(y, return_inverse=True)[1]

    probabilities = held_out_probabilities(
        data,
        codes,
        n_folds=args.members,
        seed=args.seed,
        n_jobs=args.jobs,
        cache=None if args.cache is None else args.cache.expanduser(),
        tell=(lambda message: None) if args.quiet else partial(print, file=sys.stderr),
    )
    return LabelErrorScorer("precomputed", noise=noise).fit(probabilities, y)
