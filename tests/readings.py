# SPDX-License-Identifier: BSD-3-Clause
"""What every scorer says with a network: of these tables, tests compare two networks."""

import numpy as np
from instances import SMALLEST_SCORERS
from sklearn.base import clone

from sklearn_difficulty import (
    LabelErrorScorer,
    MarginScorer,
    NormGradScorer,
    TrainingDynamicsScorer,
)

# Each way of reading a network: by probes, votes and depths, input and parameter gradients, steps.
READERS = [
    *SMALLEST_SCORERS,
    NormGradScorer(order=1, checkpoints=1),
    LabelErrorScorer(n_members=2, train_size=0.5, n_neighbors=2, backend="joblib"),
    MarginScorer(kind="input"),
    TrainingDynamicsScorer(measure="grand"),
    TrainingDynamicsScorer(measure="grand_all", mode="evaluation"),
]
READER_IDS = [f"{type(s).__name__}-{i}" for i, s in enumerate(READERS)]


def fitted_with(scorer, net, X, y):
    """Return a scorer that is fitted with a net, or with a record, always by the same seed."""
    return clone(scorer).set_params(estimator=net, random_state=0).fit(X, y)


def numbers_of(fitted, X, y):
    """Return the scores of the training rows, and of some of them as unseen ones if it has any."""
    unseen = fitted.score_samples(X[:5], y[:5]) if hasattr(fitted, "score_samples") else []
    return np.concatenate([fitted.difficulty_, unseen])


def table_of(net, X, y, readers=READERS):
    """Return the numbers of all readers, fitted with a net."""
    return [numbers_of(fitted_with(scorer, net, X, y), X, y) for scorer in readers]
