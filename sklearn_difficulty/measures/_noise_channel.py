# SPDX-License-Identifier: BSD-3-Clause
"""Beliefs about the true class, and the channel of slips from true classes to given labels.

Symbols, as in the Notes of `estimate_label_noise`, for rows i and C classes:

- q: class probabilities q_ik; y: the given labels y_i;
- r: r_ik ~ q_ik^beta, the belief about the true class before the label is seen, with a sharpness
  beta (``sharpness``: below 1 the network was too sure, above 1 too doubtful);
- T (``noise_matrix``): T_kj, the probability that a row of true class k is given the label j, as
  T_kk = 1 - e_k, and T_kj = e_k A_kj for other classes j;
- P: P_ik ~ r_ik T_k(y_i), the probability of the true class, given the label too.

What wrong labels leave behind: a network that learned from labels of which a share slipped gives no
class less than about that share, so the surest of its rows are contradicted more often than any
beta explains. `fit_channel` finds beta and T together, by the likelihood of the given labels:

1. P from r and T (the E step), and e, the share of slips, from P, kept within `_RATES`.
2. e_k = (slips from k + 20 e) / (rows of k + 20): under a prior of 20 rows in every class.
   A_kj = (slips from k to j + a / (C - 1)) / (slips from k + a): of a slips that go anywhere. How
   often two slips of a class go to the same one, h, tells a: it is (1 - h) / (h - 1 / (C - 1)),
   without end if slips go anywhere, and none if they all go one way.
3. A Newton step towards the beta that makes P likeliest, of half of beta at most.

It begins with the best of `_SHARPNESS` in a model of one share of slips to any class, or with three
times the beta of no slips, if that is sharper, and stops when neither T nor beta moves. EM finds a
local maximum; the start is sharp, because from a dull one slips are taken for doubt.

Only a part of the rows is read, and of every row the label and the most likely other classes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

SMALLEST_PROBABILITY = 1e-6

_PRIOR_ROWS = 20.0  # the more, the more a class of few rows has the slips of all
_RATES = (1e-4, 0.9)
_SHARPNESS = np.geomspace(0.1, 12, 14)
_SHARPEST = 50.0  # at which a belief is its argmax
_MOST_SLIPS = 1e6  # of the prior: as good as without end
_START = 3.0, 0.2  # times the sharpness of no slips, and share of slips

# Technical: limits of time and memory.
_OTHER_CLASSES = 15
_ROUNDS = 100
_SETTLED = 3e-4


class CompactRows(NamedTuple):
    """Rows as logarithms of q for the given label, in column 0, and other likely classes."""

    log_q: NDArray[np.float64]  # (n, at most 16), 0 for the predicted class
    classes: NDArray[np.int64]  # what the columns stand for
    n_classes: int

    @classmethod
    def of(cls, q: Floats, classes: NDArray[np.int64], n_classes: int) -> CompactRows:
        """Return rows of probabilities."""
        log_q = np.log(np.maximum(q.astype(np.float64), SMALLEST_PROBABILITY))
        return cls(log_q - log_q.max(axis=1, keepdims=True), classes, n_classes)

    def belief(self, sharpness: float) -> NDArray[np.float64]:
        """Return r, (n, at most 16)."""
        belief = np.exp(sharpness * self.log_q)
        belief /= _sums(belief)[:, None]
        return belief

    @property
    def contradicted(self) -> float:
        """The share of labels that are not the predicted class, at least one row's."""
        wrong = (self.log_q[:, 1:].max(axis=1) > self.log_q[:, 0]).mean()
        return max(float(wrong), 1 / len(self.log_q))


class Channel(NamedTuple):
    """A fitted channel."""

    sharpness: float  # beta
    noise_matrix: NDArray[np.float64]  # T, (C, C)
    rate: float  # the share of slips among the rows of the fit
    log_likelihood: float  # of the given labels, summed over the rows of the fit


class Slips(NamedTuple):
    """What one share of slips to any class explains, at the sharpnesses that were tried."""

    sharpness: float  # the likeliest
    rate: float  # the share of slips there
    lowest_rate: float  # of those that the data cannot tell from it, at 95 %


def compact_rows(q: Floats, y: NDArray[np.int64]) -> tuple[Floats, NDArray[np.int64]]:
    """Return q of the label and the likeliest other classes, all if there are 16, and these."""
    own = np.arange(len(y)), y
    of_label = q[own]
    others = q.copy()
    others[own] = -1
    n_others = min(_OTHER_CLASSES, q.shape[1] - 1)
    likeliest = np.argpartition(others, -n_others, axis=1)[:, -n_others:]
    # In the order of q: by that of the classes the last digits of sums would depend on it.
    by_q = np.argsort(-np.take_along_axis(q, likeliest, axis=1), axis=1)
    likeliest = np.take_along_axis(likeliest, by_q, axis=1)
    kept = np.take_along_axis(q, likeliest, axis=1)
    return (
        np.concatenate([of_label[:, None], kept], axis=1),
        np.concatenate([y[:, None], likeliest], axis=1),
    )


def calibrated(rows: CompactRows) -> tuple[float, float]:
    """Return the sharpness that makes the labels likeliest if none slips, and the likelihood."""
    sharpness = 1.0
    for _ in range(50):
        belief = rows.belief(sharpness)
        step = _newton_step(rows.log_q, belief, rows.log_q[:, 0], sharpness)
        sharpness = min(sharpness + step, _SHARPEST)
        if abs(step) < 1e-3 * sharpness:
            break
    belief = rows.belief(sharpness)
    return sharpness, float(np.log(np.maximum(belief[:, 0], 1e-300)).sum())


def slips_to_any_class(rows: CompactRows) -> Slips:
    """Return the likeliest share of slips that go to all classes alike, and how small it may be."""
    rates, likelihoods = [], []
    for sharpness in _SHARPNESS:
        own = np.maximum(rows.belief(sharpness)[:, 0], 1e-300)
        slipped = (1 - own) / (rows.n_classes - 1)
        rate = 0.1
        for _ in range(30):
            by_slip = rate * slipped
            rate = float(np.mean(by_slip / ((1 - rate) * own + by_slip)).clip(*_RATES))
        rates.append(rate)
        likelihoods.append(np.log((1 - rate) * own + rate * slipped).sum())
    best = int(np.argmax(likelihoods))
    # Twice the difference of two likelihoods that a parameter makes by chance, in 95 %: 3.84.
    tied = np.asarray(likelihoods) > likelihoods[best] - 1.92
    return Slips(float(_SHARPNESS[best]), rates[best], float(np.min(np.asarray(rates)[tied])))


def fit_channel(
    rows: CompactRows, sharpness: float, rate: float, *, fixed: bool = False
) -> Channel:
    """Fit T, and unless it is fixed the sharpness, from this one and this share of slips on."""
    n_classes, log_q = rows.n_classes, rows.log_q
    # Only pairs of a likely class and a given label matter: not all C x C of them.
    pairs, pair = np.unique(rows.classes * n_classes + rows.classes[:, :1], return_inverse=True)
    pair = pair.reshape(rows.classes.shape)
    true_of_pair, given_of_pair = np.divmod(pairs, n_classes)
    slipped = true_of_pair != given_of_pair
    of_pair = np.where(slipped, rate / (n_classes - 1), 1 - rate)
    belief = rows.belief(sharpness)
    for _ in range(_ROUNDS):
        posterior = belief * of_pair[pair]
        posterior /= _sums(posterior)[:, None]
        rate = float(np.clip(1 - posterior[:, 0].mean(), *_RATES))
        counts = np.bincount(pair.ravel(), posterior.ravel(), len(pairs))
        n_true = np.bincount(true_of_pair, counts, n_classes)
        n_slips = np.bincount(true_of_pair[slipped], counts[slipped], n_classes)
        rate_of_true = (n_slips + _PRIOR_ROWS * rate) / (n_true + _PRIOR_ROWS)
        prior = _slips_that_go_anywhere(counts[slipped], n_slips)
        per_slip = rate_of_true / (n_slips + prior)
        before, of_pair = of_pair, (1 - rate_of_true)[true_of_pair]
        of_pair[slipped] = per_slip[true_of_pair[slipped]] * (
            counts[slipped] + prior / (n_classes - 1)
        )
        step = 0.0
        if not fixed:
            step = _newton_step(log_q, belief, _sums(posterior, log_q), sharpness)
            sharpness = min(sharpness + step, _SHARPEST)
            belief = rows.belief(sharpness)
        if np.abs(of_pair - before).max() < _SETTLED and abs(step) < 1e-3 * sharpness:
            break
    matrix = np.tile((per_slip * prior / (n_classes - 1))[:, None], n_classes)
    np.fill_diagonal(matrix, 1 - rate_of_true)
    matrix[true_of_pair, given_of_pair] = of_pair
    joint = belief * of_pair[pair]
    likelihood = _sums(joint)
    rate = float(1 - (joint[:, 0] / likelihood).mean())
    return Channel(sharpness, matrix, rate, float(np.log(likelihood).sum()))


def _slips_that_go_anywhere(counts: NDArray[Any], n_slips: NDArray[Any]) -> float:
    """Return a, from the slips of every pair of classes that has some, and of every true class."""
    n_classes = len(n_slips)
    by_chance = 1 / (n_classes - 1)
    # One pair of slips for every pair of classes keeps a handful of slips from saying much.
    at_first = n_classes * (n_classes - 1)
    same = max(0.0, float((counts**2 - counts).sum())) + at_first * by_chance
    together = same / (max(0.0, float((n_slips**2 - n_slips).sum())) + at_first)
    together = min(together, 1.0)
    some = max(1 - together, 1 / _MOST_SLIPS)
    return min(_MOST_SLIPS, some / max(together - by_chance, 1 / _MOST_SLIPS))


def start_of_fit(slips: Slips, calibrated_sharpness: float) -> tuple[float, float]:
    """Return where the fit of a channel begins: a sharpness and a share of slips."""
    factor, rate = _START
    start = max(slips.sharpness, factor * calibrated_sharpness)
    return min(start, _SHARPEST), max(slips.rate, rate)


def softmax(z: Floats) -> Any:
    """Return the softmax over classes, in the memory of its argument."""
    z -= z.max(axis=1, keepdims=True)
    np.exp(z, out=z)
    z /= _sums(z)[:, None]
    return z


def _sums(x: Floats, weights: Floats | None = None) -> Any:
    """Return the sums over classes, several times faster than ``sum(axis=1)`` for few of them."""
    return (
        x @ np.ones(x.shape[1], x.dtype) if weights is None else np.einsum("ij,ij->i", x, weights)
    )


def _newton_step(log_q: Floats, belief: Floats, of_truth: Floats, sharpness: float) -> float:
    """Return the step of the sharpness towards a mean log q that is that of the truth."""
    weighted = belief * log_q
    mean = _sums(weighted)
    variance = np.maximum(_sums(weighted, log_q) - mean**2, 0).sum()
    step = (of_truth - mean).sum() / max(float(variance), 1e-9)
    return float(np.clip(step, -sharpness / 2, sharpness / 2))
