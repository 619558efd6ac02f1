# SPDX-License-Identifier: BSD-3-Clause
"""What wrong labels a single training tells of, although it has seen all labels.

It ranks them, but does not doubt them as it should. The neighbours of a row in the input do: no
training has moved them, and the row itself is not asked. So they say how many labels are wrong, and
the training says which: error probabilities are those that the neighbours give, as a function of
the difficulty that does not fall.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._progress import Task
from ...inference.probes import untrained_input
from ...inference.probing import VotesReadout
from ...measures._noise_order import noise_in_order
from ...measures.label_noise import LabelNoise, fit_noise_model
from ...rows.rows import Rows, SparseRows
from ...training.record import TrainingRecord

# The share of the errors that neighbours see which may lie in the easier half of the rows; it would
# be half if the two knew nothing of each other. Measured: less where the F1 of the cut is that of
# five networks, 0.3 and more where neighbours in the input tell little.
_IN_EASIER_HALF = 0.25


class NoiseNotTold(Exception):
    """Says why no error probabilities can be had; the message ends a sentence."""


def noise_of_single_training(
    record: TrainingRecord,
    X: Rows,
    targets: NDArray[np.int64],
    probabilities: NDArray[np.floating[Any]],
    difficulty: NDArray[np.float32],
    *,
    readout: VotesReadout | None,
    asks_layers: bool,
    noise: Any,
    progress: Task,
) -> tuple[LabelNoise, NDArray[np.bool_]]:
    """Return what neighbours in the input say of the noise, in the order of the training.

    And the rows of which it is known. `asks_layers` says whether the probabilities (n, n_classes)
    of the training are the votes at all probes of the readout.
    """
    by_input, n_votes = _votes_by_input(record, X, targets, readout, asks_layers, progress)
    own = np.arange(len(targets)), targets
    trust = probabilities[own].astype(np.float64)
    if asks_layers:  # but for the input, which would only agree with itself
        k = n_votes[1]
        trust = (n_votes[0] + 1) * trust - (k + 1) * by_input[own]
    known = ~np.isnan(by_input[:, 0]) & ~np.isnan(difficulty)
    if not known.any():
        raise NoiseNotTold("no row is finite")
    found, _ = fit_noise_model(by_input[known], targets[known], noise=noise)
    _check_agreement(found.error_probability, trust[known])
    return noise_in_order(found, difficulty[known], probabilities[known], targets[known]), known


def _votes_by_input(
    record: TrainingRecord,
    X: Rows,
    targets: NDArray[np.int64],
    readout: VotesReadout | None,
    asks_layers: bool,
    progress: Task,
) -> tuple[NDArray[np.float32], tuple[int, int]]:
    """Return votes (n, n_classes) by the input alone, and how many there are at all probes, there.

    The row itself is not asked.
    """
    if readout is None:
        raise NoiseNotTold("n_neighbors is None")
    if not record.has_module:
        raise NoiseNotTold("there is no network that shows what its input is")
    n_bank = len(readout.bank_rows(targets, np.ones(len(targets), dtype=bool)))
    k = min(readout.n_neighbors, n_bank - 1)
    readout = replace(readout, n_neighbors=k)
    try:
        probe = untrained_input(record, X)
        if probe is None:
            raise NoiseNotTold(
                "the rows are sparse, and there are no dense ones to look for neighbours"
                if isinstance(X, SparseRows)
                else "the rows are token ids, between which there is no distance"
            )
        n_probes = len(readout.find(record, X)) if asks_layers else 1
        votes = readout.votes_on_each_other(record, X, targets, progress, [probe])
    except ValueError as error:  # rows of several lengths, or hardly any that is finite
        raise NoiseNotTold(f"they cannot be asked: {error}") from error
    return votes, (k * n_probes, k)


def _check_agreement(error: NDArray[np.float64], trust: NDArray[np.float64]) -> None:
    """Raise unless the rows that a training trusts most have hardly any of the errors."""
    in_easier_half = trust >= np.median(trust)
    share = error[in_easier_half].mean() / max(2 * error.mean(), np.finfo(float).tiny)
    if share > _IN_EASIER_HALF and error[in_easier_half].sum() > 1:
        raise NoiseNotTold(
            f"they know little of these rows, or the training does: {100 * share:.0f} % of the "
            "errors that they see lie in the half of the rows of which the training is surest"
        )
