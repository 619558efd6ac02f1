# SPDX-License-Identifier: BSD-3-Clause
"""Beliefs about the true class, and the channel that turns true classes into given labels.

Symbols, as in the Notes of `estimate_label_noise`, for n rows i and C classes:

- q (``log_q``, logarithms): class probabilities q_ik, at the temperature that makes the labels
  likeliest; y: the given labels y_i, of which n_j are j;
- r (``belief``): r_ik ~ exp(b_k) q_ik^(1/tau), the belief about the true class before the label is
  seen, with an exponent tau (``exponent``: the smaller, the sharper) and an offset b_k per class;
- T (``noise_matrix``): T_kj, the probability that a row of true class k is given the label j;
- P (``posterior``): P_ik ~ r_ik T_k(y_i), the probability of the true class, given the label too;
- e (``noise_rate``): the share of wrong labels, 1 less the mean of P_i(y_i);
- A (``elsewhere``): A_kj ~ n_j + 1 for j != k, 0 for j = k, where errors of class k go a priori.

`fit_channel` estimates T and b for a given tau, by EM. A round, from 0.9 on the diagonal of T and
b = 0:

1. P from r and T (the E step), and e from P, kept within `_RATES`.
2. T_kj ~ 5 ((1 - e) [k = j] + e A_kj) + the sum of P_ik over the rows with y_i = j: the M step,
   under a prior of 5 (`_PRIOR_ROWS`) rows in every class with the noise that all classes share.
3. b_k grows by ln(sum_i P_ik + 5) - ln(sum_i r_ik + 5), and is multiplied by ``offset_weight``;
   then r anew.

It stops when no T_kj moves by `_SETTLED`, or after `_ROUNDS`. What is approximate: step 3 is one
step of iterative scaling, towards sums of r that equal those of P, and not the maximum, which has
no closed form; e in the prior is estimated from the same rows; b is shrunk by its weight. So the
likelihood need not rise in every round.

What tau is cannot be known from q and y without an assumption: `likeliest_exponent` and
`exponent_for_rate` find two that `label_noise` chooses between, from at most 20,000 rows, to 0.03
and 0.02 in ln tau. The constants were chosen on digits and Fashion-MNIST;
benchmarks/bench_label_errors.py measures what comes of them there and on other data.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize_scalar

# Exponents that are searched; below the first a belief is as good as its argmax.
_EXPONENTS = (0.08, 1.2)
_SMALLEST_LIKELIEST = 0.15  # where the search of the likeliest exponent begins
_ROWS_FOR_SEARCH = 20_000  # of temperature and exponents, which take many fits

_ROUNDS = 30  # of EM, which settles before that unless the classes blend
_SETTLED = 1e-4
_PRIOR_ROWS = 5.0  # the more, the more a class of few rows has the noise of all
_RATES = (1e-3, 0.5)  # of wrong labels in the prior: neither none, nor most


class SortedRows(NamedTuple):
    """Rows in the order of their given label, so that those of one label are a slice."""

    log_q: NDArray[np.float64]  # (n, C)
    y: NDArray[np.int64]  # (n,)


class Channel(NamedTuple):
    """A fitted channel, and the beliefs that it was fitted to."""

    posterior: NDArray[np.float64]  # P, (n, C)
    noise_matrix: NDArray[np.float64]  # T, (C, C)
    log_likelihood: float  # of the given labels, the mean over rows
    exponent: float  # tau
    offset: NDArray[np.float64]  # b, (C,)

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
    by_class: Channel | None  # that of noise="class", for labels of few rows
    weight: NDArray[np.float64]  # of `channel` against `by_class`, by given label

    def error_probability(
        self, log_q: NDArray[np.float64], y: NDArray[np.int64] | None
    ) -> NDArray[np.float64]:
        """Return the probability that labels are wrong, (m,); for None, that the likeliest is."""
        log_q = at_temperature(log_q, self.temperature)
        labels = log_q.argmax(axis=1) if y is None else y
        own = np.arange(len(labels)), labels
        error = 1 - self.channel.belief_of(log_q, y)[own]
        if self.by_class is None:
            return np.asarray(error)
        weight = self.weight[labels]
        return np.asarray(
            weight * error + (1 - weight) * (1 - self.by_class.belief_of(log_q, y)[own])
        )


def at_temperature(log_q: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Return log-probabilities at another temperature: the higher, the more doubtful."""
    return _log_softmax(log_q / temperature)


def likeliest_temperature(rows: SortedRows) -> float:
    """Return the temperature that makes the given labels likeliest."""
    sample = rows_for_search(rows)
    own = np.arange(len(sample.y)), sample.y

    def loss(log_temperature: float) -> float:
        return -float(at_temperature(sample.log_q, np.exp(log_temperature))[own].mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x))


def rows_for_search(rows: SortedRows) -> SortedRows:
    """Return at most 20,000 rows at even steps, which keeps the shares of the classes."""
    n_rows = len(rows.y)
    if n_rows <= _ROWS_FOR_SEARCH:
        return rows
    taken = np.linspace(0, n_rows - 1, _ROWS_FOR_SEARCH).astype(np.int64)
    return SortedRows(rows.log_q[taken], rows.y[taken])


def fit_channel(rows: SortedRows, exponent: float, offset_weight: float = 1.0) -> Channel:
    """Fit T and b to the labels and beliefs of rows by EM, see the top; weight 0: no offsets."""
    n_rows, n_classes = rows.log_q.shape
    counts = np.bincount(rows.y, minlength=n_classes)
    present = np.flatnonzero(counts)
    starts = (counts.cumsum() - counts)[present]  # where the rows of a label begin
    identity = np.eye(n_classes)
    elsewhere = np.tile(counts + 1.0, (n_classes, 1)) * (1 - identity)
    elsewhere /= elsewhere.sum(axis=1, keepdims=True)
    own = np.arange(n_rows), rows.y
    matrix, offset = 0.9 * identity + 0.1 * elsewhere, np.zeros(n_classes)
    sharpened = rows.log_q / exponent
    belief = np.exp(_log_softmax(sharpened))
    for _ in range(_ROUNDS):
        posterior = belief * np.repeat(matrix.T, counts, axis=0)
        posterior /= posterior.sum(axis=1, keepdims=True)
        noise_rate = float(np.clip(1 - posterior[own].mean(), *_RATES))
        expected = _PRIOR_ROWS * ((1 - noise_rate) * identity + noise_rate * elsewhere)
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
    posterior = joint / likelihood
    return Channel(posterior, matrix, float(np.log(likelihood).mean()), exponent, offset)


def likeliest_exponent(rows: SortedRows) -> float:
    """Return the exponent under which the given labels are likeliest."""
    best = minimize_scalar(
        lambda log_exponent: -fit_channel(rows, float(np.exp(log_exponent))).log_likelihood,
        bounds=(np.log(_SMALLEST_LIKELIEST), np.log(_EXPONENTS[1])),
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
    """Return the logarithm of the softmax over classes."""
    z = z - z.max(axis=1, keepdims=True)
    return np.asarray(z - np.log(np.exp(z).sum(axis=1, keepdims=True)))
