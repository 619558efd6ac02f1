# SPDX-License-Identifier: BSD-3-Clause
"""What an estimate says of itself."""

import pytest

from sklearn_difficulty import CostEstimate


@pytest.mark.parametrize(
    ("cost", "sentence"),
    [
        (
            CostEstimate(1, 3.25, 2.5e8, 0),
            "1 training, about 3.2 seconds, memory up to 250.0 MB (within a factor of 1.5)",
        ),
        (
            CostEstimate(5, 7200, float("nan"), 3e9, slowdown=1.5),
            "5 trainings, about 2.0 hours (3.0 hours on a machine as busy as now), "
            "3.0 GB on disk (within a factor of 1.5)",
        ),
        (
            CostEstimate(
                0, 600, 2e9, 0, slowdown=1.1, neighbor_seconds=500, shortened_by=("max_bank",)
            ),
            "0 trainings, about 10.0 minutes, memory up to 2.0 GB (within a factor of 1.5); "
            "most of it searches for neighbours: a smaller max_bank makes that shorter",
        ),
    ],
)
def test_sentences(cost, sentence):
    assert str(cost) == sentence
    assert eval(repr(cost), {"CostEstimate": CostEstimate, "nan": None}).trainings == cost.trainings
