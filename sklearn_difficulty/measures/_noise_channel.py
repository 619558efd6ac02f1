# SPDX-License-Identifier: BSD-3-Clause
"""Beliefs about the true class, and the channel that turns true classes into given labels.

The map. Of row i, q_i(c) is the given class probability, y_i the label, t_i the true class:

- belief: b_i(t) is proportional to q_i(t) ** (1 / a) * exp(o_t), with an exponent a for all rows
  (below 1 it sharpens, since q also holds the doubt that the noise has taught) and an offset o_t
  for every class;
- channel: M[t, y] = P(y | t), the same for all rows; P(y_i | i) = sum over t of b_i(t) M[t, y_i];
- posterior: r_i(t) is proportional to b_i(t) M[t, y_i]; a label is wrong with 1 - r_i(y_i).

`fit_channel` finds M and o for a given a by EM. E: the posterior. M: M[t, y] is the expected number
of rows of t with label y, with `_PRIOR_ROWS` rows of the common noise added to every class, so that
a rare class does not get a channel of its own by chance; o moves by the log-ratio of the classes'
posterior to their believed numbers. It stops when no entry of M moves by `_SETTLED`, or after
`_ROUNDS`: the likelihood is flat where classes blend, and is only compared between exponents.

a cannot be learned from the labels where noise follows the row. Of class noise it is the one of the
largest likelihood (`likeliest_exponent`), else the one under which a given share is wrong
(`exponent_for_rate`); `label_noise` chooses between the two worlds. Beyond `_ROWS_FOR_SEARCH` rows
the temperature is searched on evenly spaced ones: its error is far below that of the assumption.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize_scalar

# Exponents that are searched; below the first a belief is as good as its argmax.
_EXPONENTS = (0.08, 1.2)
_LEAST_LIKELY = 0.15
_ROWS_FOR_SEARCH = 20_000

_ROUNDS = 30  # of EM, which settles before that unless the classes blend
_SETTLED = 1e-4
_PRIOR_ROWS = 5.0
_RATES = (1e-3, 0.5)


class SortedRows(NamedTuple):
    """Rows in the order of their given class: log-probabilities (n, C) and codes (n,)."""

    log_q: NDArray[np.float64]
    y: NDArray[np.int64]


class Channel(NamedTuple):
    """A fitted channel: posterior (n, C), P(given | true) (C, C), mean log-likelihood."""

    posterior: NDArray[np.float64]
    noise_matrix: NDArray[np.float64]
    log_likelihood: float
    exponent: float
    offset: NDArray[np.float64]

    def error_probability(self, y: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the posterior probability that another class is the true one, (n,)."""
        return np.asarray(1 - self.posterior[np.arange(len(y)), y])

    def belief_of(
        self, log_q: NDArray[np.float64], y: NDArray[np.int64] | None
    ) -> NDArray[np.float64]:
        """Return the belief in the true class of other rows, (m, C), given their labels or not."""
        belief = np.exp(_log_softmax(log_q / self.exponent + self.offset))
        if y is None:
            return belief
        joint = belief * self.noise_matrix.T[y]
        return np.asarray(joint / joint.sum(axis=1, keepdims=True))


class NoiseModel(NamedTuple):
    """What was learned of the labels: applies to rows that were not part of the estimate."""

    temperature: float
    channel: Channel
    gentle: Channel | None
    weight: NDArray[np.float64]  # of `channel` against `gentle`, by given class

    def error_probability(
        self, log_q: NDArray[np.float64], y: NDArray[np.int64] | None
    ) -> NDArray[np.float64]:
        """Return the probability that labels are wrong, (m,); for None, that the likeliest is."""
        log_q = at_temperature(log_q, self.temperature)
        labels = log_q.argmax(axis=1) if y is None else y
        own = np.arange(len(labels)), labels
        error = 1 - self.channel.belief_of(log_q, y)[own]
        if self.gentle is None:
            return np.asarray(error)
        weight = self.weight[labels]
        return np.asarray(
            weight * error + (1 - weight) * (1 - self.gentle.belief_of(log_q, y)[own])
        )


def at_temperature(log_q: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Return log-probabilities at another temperature: the higher, the more doubtful."""
    return _log_softmax(log_q / temperature)


def likeliest_temperature(rows: SortedRows) -> float:
    """Return the temperature that makes the given labels likeliest."""
    some = rows_for_search(rows)
    own = np.arange(len(some.y)), some.y

    def loss(log_temperature: float) -> float:
        return -float(at_temperature(some.log_q, np.exp(log_temperature))[own].mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x))


def rows_for_search(rows: SortedRows) -> SortedRows:
    """Return at most 20,000 rows at even steps, which keeps the shares of the classes."""
    n_rows = len(rows.y)
    if n_rows <= _ROWS_FOR_SEARCH:
        return rows
    taken = np.linspace(0, n_rows - 1, _ROWS_FOR_SEARCH).astype(np.int64)
    return SortedRows(rows.log_q[taken], rows.y[taken])


def fit_channel(rows: SortedRows, exponent: float, offset_weight: float = 1.0) -> Channel:
    """Fit the channel, and an offset for every class, to beliefs q ** (1 / exponent), by EM.

    The offsets are multiplied by their weight in every round: with 0 there are none.
    """
    n_rows, n_classes = rows.log_q.shape
    counts = np.bincount(rows.y, minlength=n_classes)
    present = np.flatnonzero(counts)
    starts = (counts.cumsum() - counts)[present]
    identity = np.eye(n_classes)
    # Where a wrong label goes if nothing is known of its class: to the others, by their shares.
    elsewhere = np.tile(counts + 1.0, (n_classes, 1)) * (1 - identity)
    elsewhere /= elsewhere.sum(axis=1, keepdims=True)
    own = np.arange(n_rows), rows.y
    matrix, offset = 0.9 * identity + 0.1 * elsewhere, np.zeros(n_classes)
    sharpened = rows.log_q / exponent
    belief = np.exp(_log_softmax(sharpened))
    for _ in range(_ROUNDS):
        posterior = belief * np.repeat(matrix.T, counts, axis=0)
        posterior /= posterior.sum(axis=1, keepdims=True)
        rate = float(np.clip(1 - posterior[own].mean(), *_RATES))
        # The prior: five rows in every class with the common noise.
        expected = _PRIOR_ROWS * ((1 - rate) * identity + rate * elsewhere)
        expected[:, present] += np.add.reduceat(posterior, starts, axis=0).T
        before, matrix = matrix, expected / expected.sum(axis=1, keepdims=True)
        offset += np.log(posterior.sum(axis=0) + _PRIOR_ROWS)
        offset -= np.log(belief.sum(axis=0) + _PRIOR_ROWS)
        offset *= offset_weight
        belief = np.exp(_log_softmax(sharpened + offset))
        if np.abs(matrix - before).max() < _SETTLED:
            break
    joint = belief * np.repeat(matrix.T, counts, axis=0)
    likelihood = joint.sum(axis=1, keepdims=True)
    log_likelihood = float(np.log(likelihood).mean())
    return Channel(joint / likelihood, matrix, log_likelihood, exponent, offset)


def likeliest_exponent(rows: SortedRows) -> float:
    """Return the exponent under which the given labels are likeliest."""
    best = minimize_scalar(
        lambda log_exponent: -fit_channel(rows, float(np.exp(log_exponent))).log_likelihood,
        bounds=(np.log(_LEAST_LIKELY), np.log(_EXPONENTS[1])),
        method="bounded",
        options={"xatol": 0.03},
    )
    return float(np.exp(best.x))


def exponent_for_rate(rows: SortedRows, rate: float) -> float:
    """Return the exponent under which this share of the labels is wrong, or the nearest."""

    def excess(log_exponent: float) -> float:
        channel = fit_channel(rows, float(np.exp(log_exponent)))
        return float(channel.error_probability(rows.y).mean()) - rate

    sharpest, dullest = np.log(_EXPONENTS)
    if excess(sharpest) <= 0:
        return _EXPONENTS[0]
    if excess(dullest) >= 0:
        return _EXPONENTS[1]
    return float(np.exp(brentq(excess, sharpest, dullest, xtol=0.02)))


def _log_softmax(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return z (n, C) less the logarithm of its summed exponentials."""
    z = z - z.max(axis=1, keepdims=True)
    return np.asarray(z - np.log(np.exp(z).sum(axis=1, keepdims=True)))
