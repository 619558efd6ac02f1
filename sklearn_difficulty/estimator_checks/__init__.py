# SPDX-License-Identifier: BSD-3-Clause
"""Checks that any difficulty scorer must pass, ours or a third party's.

They complement ``sklearn.utils.estimator_checks.check_estimator``, which knows nothing of
difficulty. Each check is a function of an unfitted scorer; its message says what to mend.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from . import _fits, _reuse, _unseen
from ._material import seeded

__all__ = ["check_difficulty_scorer"]

_CHECKS: tuple[Callable[[Any], None], ...] = tuple(
    check
    for room in (_fits, _unseen, _reuse)
    for name, check in vars(room).items()
    if name.startswith("check_") and check.__module__ == room.__name__
)


def check_difficulty_scorer(scorer: Any) -> list[str]:
    """Check that a scorer keeps the contract of difficulty scorers.

    The contract: larger = harder; `difficulty_` holds the training rows in their order; every
    number depends on its row and the fit alone, whatever container and thread it comes in; a seed
    determines the scores; the global random generators, torch's flags, the data and the user's
    network are left as they were, and what is left in `estimator_` can be used again; labels may be
    of any type, and pipelines pass them on; undefined scores are NaN and counted; bad input is
    answered by an error that says what to do.

    Parameters
    ----------
    scorer : estimator
        Unfitted. It is cloned for every check and fitted about sixty times, mostly on 60 rows of 5
        features in 3 classes, so give it a small network.

    Returns
    -------
    passed : list of str
        Names of the checks that were made.

    Raises
    ------
    AssertionError
        From the first check that fails; the message says what to mend.

    See Also
    --------
    sklearn.utils.estimator_checks.check_estimator : The checks that every estimator must pass.

    Examples
    --------
    >>> from sklearn_difficulty import VoGScorer
    >>> from sklearn_difficulty.estimator_checks import check_difficulty_scorer
    >>> "check_labels_of_any_type" in check_difficulty_scorer(
    ...     VoGScorer(checkpoints=2)
    ... )
    True
    """
    for check in _CHECKS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            check(seeded(scorer))
    return [check.__name__ for check in _CHECKS]
