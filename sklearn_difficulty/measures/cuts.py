# SPDX-License-Identifier: BSD-3-Clause
"""What a cut on the error probability is expected to drop."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arrays import as_floats
from ._table import Table

__all__ = ["noise_cuts"]

CUTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
Z = 1.96  # of a 95 % interval
CUT_FIELDS = np.dtype(
    [("cut", np.float64), ("n_dropped", np.int64)]
    + [(x + end, np.float64) for x in ("precision", "recall") for end in ("", "_low", "_high")]
)


def noise_cuts(
    error_probability: ArrayLike,
    bounds: ArrayLike | None = None,
    *,
    cuts: ArrayLike = CUTS,
) -> Table:
    r"""Return what dropping the rows above a cut finds, by the error probabilities themselves.

    Parameters
    ----------
    error_probability : array-like of shape (n_rows,)
        The probability that a label is wrong, in [0, 1].
    bounds : array-like of shape (n_worlds, n_rows), default=None
        What it would be under other assumptions: ``error_probability_bounds`` of
        `estimate_label_noise`. Without them the intervals hold the chance of a share alone.
    cuts : array-like of shape (n_cuts,)
        Rows with an error probability above the cut are dropped.

    Returns
    -------
    table : structured ndarray of shape (n_cuts,)
        It prints as a table, with the fields ``cut``, ``n_dropped``, ``precision`` (the expected
        share of wrong labels among the dropped), ``recall`` (the expected share of the wrong labels
        that is dropped), and the ends of their intervals, ``precision_low``, ``precision_high``,
        ``recall_low`` and ``recall_high``. NaN for shares of nothing. ``pandas.DataFrame(table)``
        takes it.

    Raises
    ------
    ValueError
        If the shapes do not fit, or a probability or a cut is not in [0, 1].

    See Also
    --------
    estimate_label_noise : Where error probabilities and bounds come from.
    calibrate_with_review : The same table, from reviewed rows instead of assumptions.

    Notes
    -----
    With :math:`e_i` the error probability and :math:`D = \{i : e_i > c\}` the rows above cut
    :math:`c`, the precision is :math:`\sum_{i \in D} e_i / |D|` and the recall :math:`\sum_{i \in
    D} e_i / \sum_i e_i`. The interval holds, for the same :math:`D` and with `error_probability` or
    any line of `bounds` as :math:`e`, this share :math:`p \pm 1.96 \sqrt{p (1 - p) / m}`, of
    :math:`m` dropped or wrong rows.

    Examples
    --------
    >>> from sklearn_difficulty.measures import noise_cuts
    >>> table = noise_cuts([0.9, 0.7, 0.3, 0.1], cuts=[0.5])
    >>> table["n_dropped"], table["precision"], table["recall"]
    (array([2]), array([0.8]), array([0.8]))
    >>> table[["cut", "n_dropped", "precision", "recall"]]
      cut  n_dropped  precision  recall
    0.500          2      0.800   0.800
    """
    error = check_error(error_probability)
    worlds = error[None]
    if bounds is not None:
        others = as_floats(bounds, "bounds")
        if others.ndim != 2 or others.shape[1] != len(error):
            raise ValueError(
                f"bounds must have the shape (n_worlds, {len(error)}), got {others.shape}."
            )
        worlds = np.concatenate([worlds, others])
        if not np.all((worlds >= 0) & (worlds <= 1)):
            raise ValueError("bounds must lie in [0, 1], without NaN.")
    cut_values = check_cuts(cuts)
    table = np.empty(len(cut_values), dtype=CUT_FIELDS)
    wrong = worlds.sum(axis=1)
    for i, cut in enumerate(cut_values):
        dropped = error > cut
        n_found = worlds[:, dropped].sum(axis=1)
        n_dropped = np.full_like(n_found, dropped.sum())
        values = [cut, dropped.sum()]
        for total in (n_dropped, wrong):
            shares = np.divide(n_found, total, out=np.full_like(n_found, np.nan), where=total > 0)
            # A rounded sum may be larger than its number of terms.
            with np.errstate(over="ignore"):  # of totals next to nothing
                half = Z * np.sqrt(np.maximum(0, shares * (1 - shares)) / total)
            low, high = np.fmin.reduce(shares - half), np.fmax.reduce(shares + half)
            values += [shares[0], np.maximum(0, low), np.minimum(1, high)]
        table[i] = tuple(values)
    return Table.of(table)


def check_error(error_probability: ArrayLike) -> NDArray[np.float64]:
    """Return error probabilities as an array, after checking them."""
    error = as_floats(error_probability, "error_probability")
    if error.ndim != 1 or len(error) == 0:
        raise ValueError(f"error_probability must have the shape (n_rows,), got {error.shape}.")
    if not np.all((error >= 0) & (error <= 1)):
        raise ValueError("error_probability must lie in [0, 1], without NaN.")
    return error


def check_cuts(cuts: ArrayLike) -> NDArray[np.float64]:
    """Return cuts as an array, after checking them."""
    places = np.ravel(as_floats(cuts, "cuts"))
    if not np.all((places >= 0) & (places <= 1)):
        raise ValueError("cuts must lie in [0, 1], without NaN.")
    return places
