# SPDX-License-Identifier: BSD-3-Clause
"""What the verdicts on parts of some plans stand for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .review import ReviewPlan


class PlanParts(NamedTuple):
    """The rows of plans that count, each once."""

    rows: NDArray[np.int64]
    weight: NDArray[np.float64]
    wrong: NDArray[np.float64]  # NaN where nobody could tell
    n_passed_over: int  # rows without a verdict among them
    n_too_late: int  # rows of a plan with a verdict that are not among them


def parts_of_plans(
    plans: Sequence[ReviewPlan], rows: NDArray[np.int64], wrong: NDArray[np.float64]
) -> PlanParts:
    """Return the random parts of plans on which there are verdicts, and what they stand for.

    The first m of the n rows of a plan are a random part of it, with weights times n / m. m is
    chosen by which rows have a verdict, not by what it says: so that the rows with one outnumber
    those without by most. Passed-over ones may be as hard to tell as the unsure ones, and count as
    these. Estimates from several plans are averaged in proportion to m, which is the estimate from
    the rows of all with the averages of their weights (0 where a plan lacks a row), however much
    the plans have in common.
    """
    verdict = dict(zip(rows.tolist(), wrong.tolist(), strict=True))
    parts: list[ReviewPlan] = []
    unexplained = set(verdict)
    candidates = [_part(plan, rows) for plan in plans]
    while candidates:
        explained = [unexplained.intersection(part.rows.tolist()) for part in candidates]
        best = max(range(len(candidates)), key=lambda i: len(explained[i]))
        if not explained[best]:  # plans that only share rows with those that were reviewed
            break
        unexplained -= explained[best]
        parts.append(candidates.pop(best))
    n_all = sum(len(part.rows) for part in parts)
    weight: dict[int, float] = {}
    for part in parts:
        share = len(part.rows) / n_all
        for row, stands_for in zip(part.rows.tolist(), part.weight.tolist(), strict=True):
            weight[row] = weight.get(row, 0.0) + share * stands_for
    in_plans = {row for plan in plans for row in plan.rows.tolist()}
    return PlanParts(
        np.array(list(weight), dtype=np.int64),
        np.array(list(weight.values())),
        np.array([verdict.get(row, np.nan) for row in weight]),
        len(weight.keys() - verdict.keys()),
        len((verdict.keys() & in_plans) - weight.keys()),
    )


def _part(plan: ReviewPlan, rows: NDArray[np.int64]) -> ReviewPlan:
    """Return the first rows of a plan that count, with the weights that they have then."""
    lead = np.where(np.isin(plan.rows, rows), 1, -1).cumsum()
    m = int(len(lead) - np.argmax(lead[::-1])) if lead.max() > 0 else 0
    return ReviewPlan(plan.rows[:m], plan.weight[:m] * (len(plan.rows) / max(m, 1)))
