# SPDX-License-Identifier: BSD-3-Clause
"""A few numbers of a long embedding, by which most bank rows are seen to be too far away.

A sketch is what a row has along some orthonormal axes. Two sketches are never farther from each
other than the two rows, so that a row whose sketch is farther than the k nearest rows so far need
not be looked at; those that remain are compared in full. Neighbours are as exact as without.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

_N_AXES = 256
_LEAST_WIDTH = 2048  # of shorter embeddings, or fewer rows, products are as fast
_LEAST_BANK = 8192
_ROWS_OF_AXES = 1024  # of the bank, along which the axes lie
# float32 takes a sketch for this share of the squared lengths too long, at most: the error of a
# product of two vectors of length one is below 1e-5.
_SLACK = 1e-4
# A bank row that is read for one row alone takes as long as so many in a product of matrices.
_ALONE = 24
_LEFT = 50  # bank rows that are left for a row, as a rule


class Sketch(NamedTuple):
    """Some rows of the bank on the axes of a probe."""

    axes: torch.Tensor  # (width, n_axes)
    matrix: torch.Tensor  # (n_piece, n_axes)
    squares: torch.Tensor  # (n_piece,), squared lengths, less than which no rounding makes them

    @classmethod
    def of(cls, centred: torch.Tensor, squares: torch.Tensor, axes: torch.Tensor) -> Sketch:
        """Return the sketch of centred rows."""
        matrix = centred @ axes
        return cls(axes, matrix, matrix.square().sum(dim=1) - _SLACK * squares)

    def part(self, rows: slice) -> Sketch:
        """Return the sketch of some of the rows, without a copy."""
        return Sketch(self.axes, self.matrix[rows], self.squares[rows])

    def bounds(self, along: torch.Tensor, squares: torch.Tensor, far: torch.Tensor) -> torch.Tensor:
        """Return what a product of sketches is at most if two rows are no farther than `far`."""
        return far - along.square().sum(dim=1) + _SLACK * squares


def has_sketches(width: int, n_bank: int, device: torch.device) -> bool:
    """Tell whether embeddings are long enough, and the bank large enough, for sketches to pay."""
    return device.type == "cpu" and width >= _LEAST_WIDTH and n_bank >= _LEAST_BANK


def products_of_pair(width: int, n_bank: int, device: torch.device) -> float:
    """Return how many products of two numbers a pair of rows takes, or about as much time."""
    if not has_sketches(width, n_bank, device):
        return width
    return _N_AXES + width * min(1.0, _LEFT * _ALONE / n_bank)


def rows_of_axes(n: int, n_most: int) -> NDArray[np.int64] | None:
    """Return positions of bank rows that the axes are made of; None if memory is for too few."""
    if n_most < _N_AXES:
        return None
    return np.linspace(0, n - 1, min(_ROWS_OF_AXES, n_most)).astype(np.int64)


def principal_axes(matrix: torch.Tensor) -> torch.Tensor:
    """Return orthonormal axes (width, n_axes), along which some rows differ most."""
    matrix = matrix[torch.isfinite(matrix).all(dim=1)]
    centred = matrix - matrix.mean(dim=0)
    products = (centred @ centred.T).double()
    weights = torch.linalg.eigh(products).eigenvectors[:, -_N_AXES:].to(centred.dtype)
    return torch.linalg.qr(centred.T @ weights).Q


def is_worth(n_chosen: int, n_pairs: int) -> bool:
    """Tell whether so few pairs are left that each is faster by itself than all in a product."""
    return _ALONE * n_chosen < n_pairs
