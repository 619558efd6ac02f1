# SPDX-License-Identifier: BSD-3-Clause
"""Scaled residuals as a mixture of two parts: honest spread, and errors of any kind.

Honest spread is a distribution of Student's with a width of its own on either side. Errors are a
sum of many shapes: targets of other rows, wide normals, and clusters away from zero. Shapes that
would explain hardly a row are left out, so that honest data have no errors.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

Floats = NDArray[np.float64]

_FIRST_WIDTH = 4.0  # of the normals, each twice as wide as the one before
_FIRST_CLUSTER = 4.0  # from zero
_CLUSTER_STEP = 1.6
_CLUSTER_WIDTH = 0.25  # of the logarithm
_MOST_SKEWED = 6.0  # width on one side by that on the other
_LEAST_SHARE = 0.002  # of the rows that a shape must explain, ...
_LEAST_ROWS = 4.0  # ... and so many
_MOST_ERRORS = 0.95
_N_ITERATIONS = 100
_RISING = 20  # iterations, until shapes must explain that much
_SETTLED = 1e-5  # by which shares change in an iteration
_START = 0.3  # the share of errors
_UNSEEN = 1.0  # row, for errors of shapes that were left out
_LARGEST_REACH = 500.0  # further out all is as wrong
_GRID = 400  # places at which errors are made to be likelier further out
_TINY = 1e-300


class TwoParts(NamedTuple):
    """A fitted mixture of scaled residuals."""

    tail: float  # degrees of freedom
    location: float
    left: float  # width
    right: float
    shares: Floats  # of the shapes: other rows, normals, pairs of clusters
    reach: float  # the largest distance that was seen
    log_likelihood: float

    def log_odds(self, z: Floats, density_of_others: Floats) -> Floats:
        """Return the log odds (n,) of an error, which never fall as residuals grow.

        `density_of_others` is that of the target of another row, in units of the scaled residual.
        """
        grid = np.expm1(np.linspace(0, np.log1p(max(self.reach, 1.0) * 1.2), _GRID))
        shapes = self.shares[1:]
        others = self.shares[0] * density_of_others
        log_honest = self._log_honest(z)
        log_ratio = np.empty_like(z)
        for side in (-1.0, 1.0):
            here = np.where(z < 0, -1.0, 1.0) == side
            places = side * grid
            at_places = (shapes[:, None] * _shapes(places, self.reach)).sum(axis=0) + _TINY
            # Further out than where honest rows are likeliest, a residual is no less suspect.
            ratio = np.maximum.accumulate(np.log(at_places) - self._log_honest(places))
            distance = np.abs(z[here])
            beyond = np.log(np.maximum(distance / grid[-1], 1))
            log_ratio[here] = np.interp(distance, grid, ratio) + beyond
        return np.logaddexp(log_ratio, np.log(others + _TINY) - log_honest)

    def _log_honest(self, z: Floats) -> Floats:
        """Return the logarithm of honest rows' density times their share."""
        share = max(1 - float(self.shares.sum()), 1 - _MOST_ERRORS)
        log_density = _log_student(z, self.tail, self.location, self.left, self.right)
        return np.log(share) + log_density


def fit_two_parts(
    z: Floats, density_of_others: Floats, tail: float, n_iterations: int = _N_ITERATIONS
) -> TwoParts:
    """Fit the mixture by EM, with given degrees of freedom of the honest part."""
    z = z.clip(-_LARGEST_REACH, _LARGEST_REACH)
    n, reach = len(z), float(np.abs(z).max())
    shapes = np.concatenate([density_of_others[None], _shapes(z, reach)])
    shares = np.full(len(shapes), _START / len(shapes))
    location, left, right = 0.0, 1.0, 1.0
    least = max(_LEAST_ROWS, _LEAST_SHARE * n)
    for iteration in range(n_iterations):
        honest = (1 - shares.sum()) * np.exp(_log_student(z, tail, location, left, right))
        parts = shares[:, None] * shapes
        total = honest + parts.sum(axis=0) + _TINY
        weight = honest / total
        explained = (parts / total).sum(axis=1)
        explained = np.maximum(explained - least * min(1.0, iteration / _RISING), 0)
        before, shares = shares, explained / (explained.sum() + weight.sum() + _TINY)
        shares *= min(1.0, _MOST_ERRORS / max(float(shares.sum()), _TINY))
        location, left, right = _maximised(z, weight, tail, location, left, right)
        if iteration > _RISING and np.abs(shares - before).max() < _SETTLED:
            break
    honest = (1 - shares.sum()) * np.exp(_log_student(z, tail, location, left, right))
    likelihood = np.log(honest + (shares[:, None] * shapes).sum(axis=0) + _TINY).sum()
    n_plain = 1 + _n_normals(reach)
    shares[:n_plain] += _UNSEEN / n / n_plain
    return TwoParts(tail, location, left, right, shares, reach, float(likelihood))


def _maximised(
    z: Floats, weight: Floats, tail: float, location: float, left: float, right: float
) -> tuple[float, float, float]:
    """Return location and widths of the honest part, given the weights of rows in it."""
    width = np.where(z < location, left, right)
    robust = weight * (tail + 1) / (tail + np.square((z - location) / width))
    pull = robust / np.square(width)
    location = float((pull * z).sum() / max(float(pull.sum()), _TINY))
    squares = robust * np.square(z - location)
    is_left = z < location
    # Widths of two halves with one maximum; that they share it ties them by their cube roots.
    roots = np.cbrt([squares[is_left].sum() + 1e-12, squares[~is_left].sum() + 1e-12])
    widths = np.sqrt(np.square(roots) * roots.sum() / max(float(weight.sum()), _TINY))
    widths = np.maximum(widths, max(widths.max() / _MOST_SKEWED, 1e-6))
    return location, float(widths[0]), float(widths[1])


def _log_student(z: Floats, tail: float, location: float, left: float, right: float) -> Floats:
    """Return the log density of Student's distribution with a width for either side."""
    constant = gammaln((tail + 1) / 2) - gammaln(tail / 2) - 0.5 * np.log(tail * np.pi)
    constant += np.log(2 / (left + right))
    scaled = (z - location) / np.where(z < location, left, right)
    return constant - (tail + 1) / 2 * np.log1p(np.square(scaled) / tail)


def _n_normals(reach: float) -> int:
    """Return how many wide normals there are."""
    return 1 + max(0, int(np.ceil(np.log2(max(reach, 2 * _FIRST_WIDTH) / _FIRST_WIDTH))) - 1)


def _shapes(z: Floats, reach: float) -> Floats:
    """Return the densities (n_shapes, n) of errors: wide normals, then clusters on either side."""
    widths = _FIRST_WIDTH * 2.0 ** np.arange(_n_normals(reach))
    scaled = z / widths[:, None]
    normals = np.exp(-np.square(scaled) / 2) / (np.sqrt(2 * np.pi) * widths[:, None])
    distance = np.abs(z) + 1e-9
    steps = np.log(max(1.2 * reach / _FIRST_CLUSTER, 1)) / np.log(_CLUSTER_STEP)
    n_clusters = int(np.ceil(steps))
    clusters = []
    for place in _FIRST_CLUSTER * _CLUSTER_STEP ** np.arange(n_clusters):
        scaled = (np.log(distance) - np.log(place)) / _CLUSTER_WIDTH
        density = np.exp(-np.square(scaled) / 2)
        density /= _CLUSTER_WIDTH * np.sqrt(2 * np.pi) * distance
        clusters += [np.where(z > 0, density, 0), np.where(z < 0, density, 0)]
    return np.concatenate([normals, np.array(clusters).reshape(-1, len(z))])
