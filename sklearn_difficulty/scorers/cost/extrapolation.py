# SPDX-License-Identifier: BSD-3-Clause
"""From rehearsals with a few rows to what a fit of all of them costs."""

from __future__ import annotations

from typing import Any

from sklearn import get_config

from ...inference.nearest import seconds_of_pair
from .estimate import CostEstimate
from .rehearsal import Rehearsal
from .watching import own_seconds, resident_bytes

_BOUNDS = ("max_bank", "pool")  # parameters that make a search for neighbours shorter


def cost_of_all(
    rehearsals: list[Rehearsal], n: int, scorer: Any, cast_bytes: int = 0
) -> CostEstimate:
    """Return what n rows cost, after two rehearsals, or a single one with all of them.

    Of rows that the network takes in another dtype, `cast_bytes` are copied at once.
    """
    first, last = rehearsals[0], rehearsals[-1]
    slowdown = sum(r.wall for r in rehearsals) / sum(r.seconds for r in rehearsals)
    now = resident_bytes()
    if last.n == n:
        return CostEstimate(
            last.trainings, last.seconds, now + last.grown, last.disk, slowdown=slowdown
        )
    max_bank = _largest_bank(scorer) or n
    bank = min(n, max_bank)
    growth = (n / last.n) * bank / min(last.n, max_bank)
    searches = [_search_seconds(r, r.n) for r in rehearsals]
    neighbors = growth * _search_seconds(last, bank)
    times = [max(r.seconds - s, 0.0) for r, s in zip(rehearsals, searches, strict=True)]
    rows = last.n - first.n
    # Where the larger fit came out shorter, by chance, time grows as the rows do at most.
    per_row = (times[-1] - times[0]) / rows if times[-1] > times[0] else times[-1] / last.n
    seconds = times[-1] + per_row * (n - last.n) + neighbors
    held_per_row = max(0.0, (last.held - first.held) / rows)
    embedded = 4 * bank * sum(kind.width for kind in last.pairs)
    memory = now + last.grown + held_per_row * (n - last.n) + cast_bytes
    memory += min(embedded, 2**20 * get_config()["working_memory"])
    is_mostly_search = neighbors > seconds / 2
    return CostEstimate(
        last.trainings,
        seconds,
        memory,
        last.disk + (last.disk - first.disk) / rows * (n - last.n),
        slowdown=slowdown,
        neighbor_seconds=neighbors,
        shortened_by=_bounds(scorer) if is_mostly_search else (),
    )


def _search_seconds(rehearsal: Rehearsal, n_bank: int) -> float:
    """Return how long it takes to compute the distances of a rehearsal, in a bank of some rows."""
    return sum(
        count * seconds_of_pair(kind, n_bank, own_seconds)
        for kind, count in rehearsal.pairs.items()
    )


def _largest_bank(scorer: Any) -> int | None:
    """Return the largest bound on the rows of a search, if every search has one."""
    bounds = [part.max_bank for part in scorer._parts() if hasattr(part, "max_bank")]
    return None if None in bounds else max(bounds, default=None)


def _bounds(scorer: Any) -> tuple[str, ...]:
    """Return the parameters that bound a search."""
    return tuple(name for name in _BOUNDS if any(hasattr(p, name) for p in scorer._parts()))
