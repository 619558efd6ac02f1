# SPDX-License-Identifier: BSD-3-Clause
"""What fitted channels say of all rows, read in blocks: memory does not grow with the classes.

Symbols as in `_noise_channel` and the Notes of `estimate_label_noise`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._noise_channel import (
    SMALLEST_PROBABILITY,
    Channel,
    CompactRows,
    Floats,
    compact_rows,
    softmax,
)

_SUM_TOLERANCE = 0.01  # float16 rounds every term
_NUMBERS_OF_BLOCK = 2**18  # which fit the cache of a processor


class NoiseModel(NamedTuple):
    """What was learned of the labels: applies to rows that were not part of the estimate."""

    sharpness: float  # of calibrated probabilities, if no label slips
    by_slip: Channel
    by_doubt: Channel
    order_matrix: NDArray[np.float64]  # g, (C, C)
    cut: float  # the order up to which labels are more likely right than wrong

    def difficulty(self, q: Floats, y: NDArray[np.int64] | None) -> NDArray[np.float32]:
        """Return the difficulty of rows, (m,); without labels how far they are from certain."""
        order = np.empty(len(q), dtype=np.float32)
        by_order = np.ascontiguousarray(self.order_matrix.T, dtype=_working_dtype(q))
        for rows in _blocks(*q.shape):
            block = checked_probabilities(q[rows], np.arange(rows.start, rows.stop))
            if y is None:
                order[rows] = 1 - block.max(axis=1)
            else:
                own = np.arange(len(block)), y[rows]
                order[rows] = _posterior(block, by_order, own)[1]
        return above_one_half(order, self.cut)


class ReadRows(NamedTuple):
    """What is known of every row, each of shape (n,)."""

    order: NDArray[np.float32]
    slip_probability: NDArray[np.float64]  # c
    contradiction: NDArray[np.float64]  # a
    doubt: NDArray[np.float64]  # the calibrated 1 - q of the label
    is_predicted: NDArray[np.bool_]  # whether the label is the predicted class
    other: NDArray[np.int64]  # the likeliest class if the label slipped
    share_of_other: NDArray[np.float64]  # its probability then


def above_one_half(order: NDArray[np.float32], cut: float) -> NDArray[np.float32]:
    """Return an order of which exactly what is above the cut is above 0.5."""
    below = 0.5 * order / max(cut, 1e-30)
    above = 0.5 + 0.5 * (order - cut) / max(1 - cut, 1e-30)
    above = np.maximum(above, np.nextafter(np.float32(0.5), np.float32(1)))
    return np.where(order > cut, above, below).astype(np.float32)


def read_all(model: NoiseModel, q: Floats, y: NDArray[np.int64]) -> ReadRows:
    """Return what the model says of all rows."""
    n_rows = len(y)
    found = ReadRows(
        order=np.empty(n_rows, np.float32),
        slip_probability=np.empty(n_rows),
        contradiction=np.empty(n_rows),
        doubt=np.empty(n_rows),
        is_predicted=np.empty(n_rows, bool),
        other=np.empty(n_rows, np.int64),
        share_of_other=np.empty(n_rows),
    )
    by_slip, by_doubt, by_order = (
        np.ascontiguousarray(matrix.T, dtype=_working_dtype(q))
        for matrix in (model.by_slip.noise_matrix, model.by_doubt.noise_matrix, model.order_matrix)
    )
    for rows in _blocks(*q.shape):
        block = checked_probabilities(q[rows], np.arange(rows.start, rows.stop))
        every = np.arange(len(block))
        own = every, y[rows]
        found.is_predicted[rows] = block[own] >= block.max(axis=1)
        log_q = np.log(np.maximum(block, SMALLEST_PROBABILITY))
        found.doubt[rows] = 1 - softmax(model.sharpness * log_q)[own]
        found.order[rows] = _posterior(block, by_order, own)[1]
        sharp = softmax(model.by_doubt.sharpness * log_q)
        found.contradiction[rows] = _posterior(sharp, by_doubt, own)[1]
        log_q *= model.by_slip.sharpness
        joint, found.slip_probability[rows] = _posterior(softmax(log_q), by_slip, own)
        joint[own] = 0
        other = joint.argmax(axis=1)
        found.other[rows] = other
        found.share_of_other[rows] = joint[every, other] / np.maximum(
            joint.sum(axis=1), np.finfo(joint.dtype).tiny
        )
    return found


def checked_probabilities(q: Floats, numbers: NDArray[np.int64]) -> Floats:
    """Return rows of which every one sums to 1 exactly, after checking them; numbers name them."""
    q = np.asarray(q, dtype=_working_dtype(q))
    outside = ~((q.min(axis=1) >= 0) & (q.max(axis=1) <= 1 + _SUM_TOLERANCE))
    if outside.any():
        raise ValueError(
            f"probabilities must lie in [0, 1], without NaN; see {rows_message(outside, numbers)}. "
            "Logits need a softmax."
        )
    sums = q.sum(axis=1, keepdims=True)
    off = np.abs(sums[:, 0] - 1) > _SUM_TOLERANCE
    if off.any():
        raise ValueError(
            f"Every row of probabilities must sum to 1; see {rows_message(off, numbers)}. Logits "
            "need a softmax."
        )
    return np.asarray(q / sums)


def read_compact(q: Floats, y: NDArray[np.int64], taken: NDArray[np.int64]) -> CompactRows:
    """Return some of the rows, by the label and the likeliest other classes."""
    parts = [
        compact_rows(checked_probabilities(q[numbers], numbers), y[numbers])
        for rows in _blocks(len(taken), q.shape[1])
        for numbers in [taken[rows]]
    ]
    of_q, classes = (np.concatenate(part) for part in zip(*parts, strict=True))
    return CompactRows.of(of_q, classes, q.shape[1])


def rows_message(mask: NDArray[np.bool_], numbers: NDArray[np.int64] | None = None) -> str:
    """Return the marked rows for a message, the first five by number."""
    marked = np.flatnonzero(mask)
    if numbers is not None:
        marked = numbers[marked]
    first = ", ".join(map(str, marked[:5]))
    if len(marked) == 1:
        return f"row {first}"
    return f"rows {first}{', ...' if len(marked) > 5 else ''} ({len(marked)} in all)"


def _working_dtype(q: Floats) -> np.dtype[Any]:
    """Return a type as precise as probabilities are given; float16 is too small for products."""
    return np.result_type(q.dtype, np.float32)


def _posterior(belief: Floats, by_label: Floats, own: Any) -> tuple[Floats, Floats]:
    """Return belief times channel, whose lines are labels, and the probability of other classes."""
    joint = by_label[own[1]]
    joint *= belief
    of_label = joint[own]
    joint[own] = 0
    of_others = joint.sum(axis=1)
    joint[own] = of_label
    # Not 1 - P: where that is small, digits would be lost, and with them the order.
    return joint, of_others / np.maximum(of_label + of_others, np.finfo(belief.dtype).tiny)


def _blocks(n_rows: int, n_classes: int) -> list[slice]:
    """Return the rows as slices of limited size."""
    step = max(1, _NUMBERS_OF_BLOCK // n_classes)
    return [slice(i, min(i + step, n_rows)) for i in range(0, n_rows, step)]
