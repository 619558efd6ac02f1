# SPDX-License-Identifier: BSD-3-Clause
"""A scorer at the end of a Pipeline: its own preprocessing, fitted on the rows that it scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import _routing_enabled, process_routing
from sklearn.utils.validation import _num_samples

_IDLE = (None, "passthrough")


def scorer_in(scorer: Any) -> Any:
    """Return the scorer at the end of a Pipeline, or what was given if it is none."""
    return scorer_in(scorer.steps[-1][1]) if isinstance(scorer, Pipeline) else scorer


def check_steps(scorer: Any) -> None:
    """Raise if a Pipeline does not end with a scorer, or has steps that drop or add rows.

    Of steps that do so without a method for it, only the fit shows it.
    """
    if not isinstance(scorer, Pipeline):
        return
    last_name, last = scorer.steps[-1]
    if last in _IDLE or not hasattr(last, "fit"):
        raise ValueError(f"The last step of the scorer's Pipeline, {last_name!r}, is no scorer.")
    for name, step in scorer.steps[:-1]:
        if hasattr(step, "fit_resample"):
            raise ValueError(
                f"The step {name!r} of the scorer's Pipeline, {type(step).__name__}, drops or adds "
                "rows, so that scores would not be those of the given rows. Leave it out of the "
                "scorer; before the filter it has its place."
            )
    check_steps(last)


def fit_scorer(scorer: Any, X: Any, y: Any, params: Mapping[str, Any]) -> Any:
    """Fit a scorer, or a Pipeline with one at its end, and return X as the scorer was given it.

    A scoring_view goes through the steps, too.
    """
    if not isinstance(scorer, Pipeline):
        scorer.fit(X, y, **params)
        return X
    name, last = scorer.steps[-1]
    head = scorer[:-1] if len(scorer) > 1 else None
    of_head, of_last = _routed(scorer, head, params)
    if head is not None:
        n = _num_samples(X)
        X = head.fit_transform(X, y, **of_head)
        _refuse_other_number(head, _num_samples(X), n)
        if of_last.get("scoring_view") is not None:
            of_last["scoring_view"] = head.transform(of_last["scoring_view"])
        scorer.steps = [*head.steps, (name, last)]  # with memory these are others
    return fit_scorer(last, X, y, of_last)


def score_unseen(scorer: Any, X: Any, y: Any) -> Any:
    """Return the difficulty of rows with their labels, by a fitted scorer or Pipeline."""
    if not isinstance(scorer, Pipeline):
        return scorer.score_samples(X, y)
    rows = scorer[:-1].transform(X) if len(scorer) > 1 else X
    return score_unseen(scorer.steps[-1][1], rows, y)


def _routed(
    scorer: Pipeline, head: Pipeline | None, params: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what of the metadata of `fit` goes to the first steps, and what to the scorer."""
    if not _routing_enabled() or not params:
        return {}, dict(params)
    of_last = dict(process_routing(scorer, "fit", **params)[scorer.steps[-1][0]]["fit"])
    if head is None:
        return {}, of_last
    names = head.get_metadata_routing().consumes("fit_transform", params.keys())
    return {name: params[name] for name in names}, of_last


def _refuse_other_number(head: Pipeline, n: int, n_given: int) -> None:
    """Raise if steps have dropped or added rows."""
    if n != n_given:
        raise ValueError(
            f"The steps {[name for name, _ in head.steps]} of the scorer's Pipeline make {n} rows "
            f"of {n_given}, so that scores would not be those of the given rows. Take what drops "
            "or adds rows out of them."
        )
