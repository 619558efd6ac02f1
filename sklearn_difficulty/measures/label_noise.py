# SPDX-License-Identifier: BSD-3-Clause
"""How many labels are wrong, which, and what the right ones are: from class probabilities alone.

A network trained on wrong labels gives, at best, the probability of the *given* label. How much of
its doubt is noise and how much is honest cannot be read from it without an assumption; here the
assumption is one number, the sharpness of the belief, and its range gives the intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq, minimize_scalar

__all__ = ["LabelNoise", "estimate_label_noise", "noise_cuts"]

_SMALLEST = 1e-6  # probability: smaller ones say no more than that
_SUM_TOLERANCE = 0.01  # float16 rounds the terms of the sum

# Exponents 1 / sharpness: the smaller, the surer is the belief.
_INSTANCE = 0.3
_SHARPEST = 0.2
_RANGE = (0.08, 1.2)
_SLACK = 1.5  # of the exponent that the likelihood finds, for the lower end
# Between these optimal exponents the evidence for class-dependent noise fades.
_FADE = (0.8, 0.9)

_ROUNDS = 30  # of EM
_SETTLED = 1e-4
_PRIOR_ROWS = 5.0
_ROWS_FOR_SEARCH = 20_000
_Z = 1.96

_CUTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)

_CUT_FIELDS = np.dtype(
    [("cut", np.float64), ("n_dropped", np.int64)]
    + [
        (name + end, np.float64)
        for name in ("precision", "recall")
        for end in ("", "_low", "_high")
    ]
)


class LabelNoise(NamedTuple):
    """What `estimate_label_noise` returns."""

    error_probability: NDArray[np.float64]
    suggested: NDArray[np.int64]
    suggested_probability: NDArray[np.float64]
    noise_matrix: NDArray[np.float64]
    noise_rate: float
    noise_rate_interval: tuple[float, float]
    error_probability_bounds: NDArray[np.float64]
    class_dependence: float


class _Rows(NamedTuple):
    """Rows sorted by their given class."""

    log_q: NDArray[np.float64]
    y: NDArray[np.int64]


class _Channel(NamedTuple):
    """A fitted channel: the posterior over the true class, P(given | true), and how well it fits."""

    posterior: NDArray[np.float64]
    noise_matrix: NDArray[np.float64]
    log_likelihood: float

    def error(self, y: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.asarray(1 - self.posterior[np.arange(len(y)), y])


def estimate_label_noise(
    probabilities: ArrayLike,
    y: ArrayLike,
    *,
    noise: Literal["auto", "class", "instance"] = "auto",
    member_probabilities: Sequence[ArrayLike] | None = None,
    held_out: ArrayLike | None = None,
) -> LabelNoise:
    q, codes = _check_probabilities(probabilities), np.asarray(y)
    n_rows, n_classes = q.shape
    codes = _check_codes(codes, n_rows, n_classes)
    if noise not in ("auto", "class", "instance"):
        raise ValueError(f"noise must be 'auto', 'class' or 'instance'; got {noise!r}.")
    believed = (
        None
        if member_probabilities is None
        else _rate_by_agreement(q, codes, _votes(member_probabilities, held_out, q.shape))
    )
    order = np.argsort(codes, kind="stable")
    rows = _calibrated(_Rows(np.log(np.maximum(q[order], _SMALLEST)), codes[order]))
    some = _some_of(rows)
    by_class = _likeliest(some)
    fading = float(np.clip((by_class - _FADE[0]) / (_FADE[1] - _FADE[0]), 0, 1))
    middle, upper = np.sqrt(by_class * _INSTANCE), _SHARPEST
    if believed is not None:
        agreed = _exponent_of(some, believed)
        middle, upper = np.sqrt(middle * agreed), np.sqrt(agreed * _SHARPEST)
    instance = min(_INSTANCE, by_class)
    exponent = {
        "class": by_class,
        "instance": instance,
        "auto": middle ** (1 - fading) * min(middle, instance) ** fading,
    }[noise]
    channel = _fit(rows, exponent)
    error = channel.error(rows.y)
    low = (1 - fading) * _fit(rows, _SLACK * by_class).error(rows.y)
    high = (1 - fading) * _fit(rows, min(upper, exponent)).error(rows.y)
    high += fading * (1 - np.exp(rows.log_q[np.arange(n_rows), rows.y]))
    bounds = np.stack([np.minimum(low, error), np.maximum(high, error)])
    back = np.empty_like(order)
    back[order] = np.arange(n_rows)
    return LabelNoise(
        error[back],
        channel.posterior.argmax(axis=1)[back],
        channel.posterior.max(axis=1)[back],
        channel.noise_matrix,
        float(error.mean()),
        _with_sampling_error(*bounds.mean(axis=1), n_rows),
        bounds[:, back],
        1 - fading,
    )


def noise_cuts(
    error_probability: ArrayLike,
    bounds: ArrayLike | None = None,
    *,
    cuts: ArrayLike = _CUTS,
) -> NDArray[Any]:
    error = np.asarray(error_probability, dtype=np.float64)
    worlds = [error] if bounds is None else [error, *np.asarray(bounds, dtype=np.float64)]
    table = np.zeros(len(np.asarray(cuts)), dtype=_CUT_FIELDS)
    for line, cut in zip(table, np.asarray(cuts), strict=True):
        dropped = error > cut
        line["cut"], line["n_dropped"] = cut, dropped.sum()
        found = np.array([world.sum(where=dropped) for world in worlds])
        for name, total in (
            ("precision", np.full(len(worlds), float(dropped.sum()))),
            ("recall", np.array([world.sum() for world in worlds])),
        ):
            shares = np.divide(found, total, out=np.full_like(found, np.nan), where=total > 0)
            line[name] = shares[0]
            line[name + "_low"], line[name + "_high"] = np.fmin.reduce(shares), np.fmax.reduce(shares)
    return table


# ------------------------------------------------------------------------------------- the channel


def _log_softmax(z: NDArray[np.float64]) -> NDArray[np.float64]:
    z = z - z.max(axis=1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


def _calibrated(rows: _Rows) -> _Rows:
    """Return the rows with log-probabilities divided by the temperature that suits the labels."""
    some = _some_of(rows)
    index = np.arange(len(some.y))

    def loss(log_temperature: float) -> float:
        scaled = _log_softmax(some.log_q / np.exp(log_temperature))
        return -float(scaled[index, some.y].mean())

    best = minimize_scalar(loss, bounds=(-3, 3), method="bounded")
    return _Rows(_log_softmax(rows.log_q / np.exp(best.x)), rows.y)


def _some_of(rows: _Rows) -> _Rows:
    """Return rows at even steps, which keeps the shares of the given classes."""
    n_rows = len(rows.y)
    if n_rows <= _ROWS_FOR_SEARCH:
        return rows
    taken = np.linspace(0, n_rows - 1, _ROWS_FOR_SEARCH).astype(np.int64)
    return _Rows(rows.log_q[taken], rows.y[taken])


def _fit(rows: _Rows, exponent: float) -> _Channel:
    """Return the channel that explains the given labels by beliefs of this sharpness."""
    n_rows, n_classes = rows.log_q.shape
    counts = np.bincount(rows.y, minlength=n_classes)
    present = np.flatnonzero(counts)
    starts = (counts.cumsum() - counts)[present]
    elsewhere = np.tile((counts + 1.0) / (n_rows + n_classes), (n_classes, 1))
    np.fill_diagonal(elsewhere, 0)
    elsewhere /= elsewhere.sum(axis=1, keepdims=True)
    own = np.arange(n_rows), rows.y
    rate, offset = 0.1, np.zeros(n_classes)
    matrix = (1 - rate) * np.eye(n_classes) + rate * elsewhere
    sharpened = rows.log_q / exponent
    belief = np.exp(_log_softmax(sharpened))
    for _ in range(_ROUNDS):
        posterior = belief * np.repeat(matrix.T, counts, axis=0)
        posterior /= posterior.sum(axis=1, keepdims=True)
        rate = float(np.clip(1 - posterior[own].mean(), 1e-3, 0.5))
        weights = _PRIOR_ROWS * ((1 - rate) * np.eye(n_classes) + rate * elsewhere)
        weights[:, present] += np.add.reduceat(posterior, starts, axis=0).T
        before, matrix = matrix, weights / weights.sum(axis=1, keepdims=True)
        offset += np.log(posterior.sum(axis=0) + _PRIOR_ROWS)
        offset -= np.log(belief.sum(axis=0) + _PRIOR_ROWS)
        belief = np.exp(_log_softmax(sharpened + offset))
        if np.abs(matrix - before).max() < _SETTLED:
            break
    posterior = belief * np.repeat(matrix.T, counts, axis=0)
    likelihood = posterior.sum(axis=1, keepdims=True)
    return _Channel(posterior / likelihood, matrix, float(np.log(likelihood).mean()))


def _likeliest(rows: _Rows) -> float:
    """Return the exponent under which the given labels are likeliest."""
    best = minimize_scalar(
        lambda log_exponent: -_fit(rows, float(np.exp(log_exponent))).log_likelihood,
        bounds=(np.log(0.15), np.log(_RANGE[1])),
        method="bounded",
        options={"xatol": 0.03},
    )
    return float(np.exp(best.x))


def _exponent_of(rows: _Rows, rate: float) -> float:
    """Return the exponent under which this share of the labels is wrong."""

    def excess(log_exponent: float) -> float:
        return float(_fit(rows, float(np.exp(log_exponent))).error(rows.y).mean()) - rate

    low, high = np.log(_RANGE)
    if excess(low) <= 0:
        return _RANGE[0]
    if excess(high) >= 0:
        return _RANGE[1]
    return float(np.exp(brentq(excess, low, high, xtol=0.02)))


def _with_sampling_error(low: float, high: float, n_rows: int) -> tuple[float, float]:
    below, above = (_Z * np.sqrt(rate * (1 - rate) / n_rows) for rate in (low, high))
    return max(0.0, float(low - below)), min(1.0, float(high + above))


# ----------------------------------------------------------------------------------- the agreement


def _votes(
    member_probabilities: Sequence[ArrayLike], held_out: ArrayLike | None, shape: tuple[int, int]
) -> NDArray[np.int64]:
    """Return how many members that held a row out predict each class."""
    masks = (
        np.ones((len(member_probabilities), shape[0]), dtype=bool)
        if held_out is None
        else np.asarray(held_out)
    )
    votes = np.zeros(shape, dtype=np.int64)
    for mask, member in zip(masks, member_probabilities, strict=True):
        here = np.flatnonzero(mask)
        votes[here, np.asarray(member).argmax(axis=1)] += 1
    return votes


def _rate_by_agreement(
    q: NDArray[np.float64], y: NDArray[np.int64], votes: NDArray[np.int64]
) -> float:
    """Return the share of wrong labels, given that members err as often as they disagree."""
    n_votes = votes.sum(axis=1)
    voted, paired = n_votes > 0, n_votes > 1
    n_pairs = (n_votes * (n_votes - 1))[paired]
    disagreement = 1 - float(((votes * (votes - 1)).sum(axis=1)[paired] / n_pairs).mean())
    right = votes[np.arange(len(y)), y][voted] / n_votes[voted]
    contradiction, of_members = float((q.argmax(axis=1) != y).mean()), 1 - float(right.mean())
    odds = q.shape[1] / (q.shape[1] - 1)
    rate = 0.0
    for _ in range(_ROUNDS):
        gain = (of_members - contradiction) / max(0.1, 1 - rate * odds)
        error = max(0.0, disagreement - gain)
        rate = max(0.0, (contradiction - error) / max(0.1, 1 - error * odds))
    return min(rate, contradiction)


# --------------------------------------------------------------------------------------- the input


def _check_probabilities(probabilities: ArrayLike) -> NDArray[np.float64]:
    q = np.asarray(probabilities, dtype=np.float64)
    return q / q.sum(axis=1, keepdims=True)


def _check_codes(codes: NDArray[Any], n_rows: int, n_classes: int) -> NDArray[np.int64]:
    return cast(NDArray[np.int64], codes.astype(np.int64))
