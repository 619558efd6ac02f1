# SPDX-License-Identifier: BSD-3-Clause
"""From two rehearsals to a cost."""

from dataclasses import replace

import pytest
import torch

from sklearn_difficulty import (
    DifficultyScorer,
    LabelErrorScorer,
    PredictionDepthScorer,
    VoGScorer,
)
from sklearn_difficulty.inference.nearest import SearchKind
from sklearn_difficulty.scorers.cost import extrapolation
from sklearn_difficulty.scorers.cost.extrapolation import cost_of_all
from sklearn_difficulty.scorers.cost.rehearsal import Rehearsal
from sklearn_difficulty.scorers.cost.watching import resident_bytes

NARROW = SearchKind(4, torch.device("cpu"))


def rehearsals(seconds, wall=None, pairs=lambda n: {}):
    return [
        Rehearsal(n, (wall or seconds)(n), seconds(n), 0, 10 * n, n, pairs(n), 1)
        for n in (100, 200)
    ]


def test_the_line_through_two_fits():
    runs = rehearsals(lambda n: 1 + n / 100, lambda n: 2 + n / 50)
    cost = cost_of_all(runs, 1000, VoGScorer())
    assert cost.seconds == pytest.approx(11)
    assert cost.slowdown == pytest.approx(2)
    assert cost.disk == 1000
    assert cost.memory == pytest.approx(resident_bytes() + 8000, rel=0.1)
    assert cost_of_all(runs, 1000, VoGScorer(), 10**12).memory == pytest.approx(10**12, rel=0.01)
    assert cost.neighbor_seconds == 0
    assert cost.shortened_by == ()


def test_a_larger_fit_that_comes_out_shorter():
    first, last = rehearsals(lambda n: 2.0)
    cost = cost_of_all([first, replace(last, seconds=1.0)], 1000, VoGScorer())
    assert cost.seconds == pytest.approx(5)


def test_fits_of_all_rows_are_told_as_they_were():
    last = rehearsals(lambda n: 3.0, lambda n: 6.0)[1]
    cost = cost_of_all([last], 200, VoGScorer())
    assert (cost.seconds, cost.slowdown, cost.disk) == (3, 2, 200)


def test_neighbours_grow_with_the_square_up_to_the_bank(monkeypatch):
    monkeypatch.setattr(extrapolation, "seconds_of_pair", lambda *args: 1.0)
    runs = rehearsals(lambda n: n * n, pairs=lambda n: {NARROW: n * n})
    unbounded = cost_of_all(runs, 1000, PredictionDepthScorer())
    bounded = cost_of_all(runs, 1000, PredictionDepthScorer(max_bank=400))
    assert unbounded.seconds == unbounded.neighbor_seconds == pytest.approx(1000**2)
    assert bounded.seconds == pytest.approx(1000 * 400)
    inside = DifficultyScorer(scores=[("depth", PredictionDepthScorer(max_bank=400))])
    assert cost_of_all(runs, 1000, inside).seconds == bounded.seconds
    both = [("depth", PredictionDepthScorer(max_bank=400)), ("all", PredictionDepthScorer())]
    assert cost_of_all(runs, 1000, DifficultyScorer(scores=both)).seconds == unbounded.seconds


@pytest.mark.parametrize(
    ("scorer", "names"),
    [
        (PredictionDepthScorer(), ("max_bank", "pool")),
        (LabelErrorScorer(), ("max_bank", "pool")),
        (
            DifficultyScorer(scores=[("depth", PredictionDepthScorer()), "confidence"]),
            ("max_bank", "pool"),
        ),
    ],
)
def test_what_bounds_a_long_search_is_named(scorer, names, monkeypatch):
    for seconds, told in [(1e-3, names), (1e-9, ())]:
        monkeypatch.setattr(extrapolation, "seconds_of_pair", lambda *args, s=seconds: s)
        runs = rehearsals(lambda n: n, pairs=lambda n: {NARROW: n * n})
        assert cost_of_all(runs, 10_000, scorer).shortened_by == told
