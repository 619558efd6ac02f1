# SPDX-License-Identifier: BSD-3-Clause
"""How many labels are wrong, which, and what the right ones are: from class probabilities alone.

A network that learned from wrong labels gives, at best, the probability of the *given* label. How
much of its doubt is noise, and how much is honest, cannot be read from it without an assumption.
Here the error rate of a row rises with its doubt: from the slips that hit every row alike, which
can be estimated, to a share of the doubt, which cannot.

The way of `fit_noise_model`; symbols stand in `_noise_channel`, and blocks of rows in
`_noise_blocks`:

1. From a part of the rows: the channel of slips, and that of doubt, where beliefs are sharper.
2. From both, how much of the contradictions slips explain (`class_dependence`), and from that, how
   much of the doubt counts as error.
3. All rows in blocks: what is likely wrong in both worlds, and the order.
4. The error probability is what is likely wrong, made monotone in the order.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.isotonic import isotonic_regression

from .._arrays import as_array, as_numbers
from ._noise_blocks import NoiseModel, above_one_half, read_all, read_compact, rows_message
from ._noise_channel import (
    Channel,
    CompactRows,
    Floats,
    calibrated,
    fit_channel,
    slips_to_any_class,
    start_of_fit,
)

__all__ = ["LabelNoise", "estimate_label_noise"]

# The guide has a table of what comes of half and of twice each of these.
_DOUBT_BESIDE_SLIPS = 0.35  # is error: below one half, so that doubt alone condemns no label
_SLIPS_SHOW = 0.25  # share of the contradictions that slips explain, from which they count in full
_NEAR = 0.05  # rows whose order differs by no more share their probability
_SHARPER = 5.0  # than calibrated are beliefs in the world of doubt: near the predicted class

_ROWS_OF_FIT = 5_000
_SEED = 271_828_182_845  # that of flipped labels would draw the very rows that were flipped
_LEAST_BESIDE = 80  # one in so many rows, on either side, is averaged at least
_Z = 1.96  # of a 95 % interval


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
    difficulty: NDArray[np.float32]


def estimate_label_noise(
    probabilities: ArrayLike,
    y: ArrayLike,
    *,
    noise: Literal["auto", "class", "instance"] = "auto",
) -> LabelNoise:
    r"""Return for every row the probability that its label is wrong, and how many are.

    Parameters
    ----------
    probabilities : array-like of shape (n_rows, n_classes)
        Class probabilities of every row from networks that were trained without it, of any
        floating type; a memory map is read in blocks. Rows must sum to 1, to 0.01.
    y : array-like of shape (n_rows,)
        The given labels: positions of the columns, as integers.
    noise : {"auto", "class", "instance"}, default="auto"
        Which labels are wrong. "class": in every class a share that does not depend on the row, as
        after a slip of the hand; doubtful rows are taken as honestly doubtful. "instance": above
        all rows that look like another class, as people err; every sure contradiction of the
        label is an error, also where the network is merely weak. "auto" lies between the two, by
        how much of the contradictions slips explain, see Notes.

    Returns
    -------
    result : LabelNoise
        A named tuple of

        - ``error_probability`` (n_rows,): the probability that the given label is wrong;
        - ``suggested`` (n_rows,), int64: the likeliest true class, which may be the given one;
        - ``suggested_probability`` (n_rows,): its probability;
        - ``noise_matrix`` (n_classes, n_classes): entry (k, j) is the probability that a row of
          true class k is given the label j by a slip;
        - ``noise_rate``: the share of wrong labels, the mean of ``error_probability``;
        - ``noise_rate_interval``: from slips alone to all doubt, with the sampling error;
        - ``error_probability_bounds`` (2, n_rows): what ``error_probability`` is at both ends;
        - ``class_dependence``: in [0, 1]: the share of the contradicted labels that slips explain.
          Near 0 only doubtful rows are contradicted: they are wrong or merely hard, and these two
          cannot be told apart;
        - ``difficulty`` (n_rows,), float32: larger = more suspect. A finer order than that of
          ``error_probability``, which never falls where it rises; both are above 0.5 for the same
          rows.

    Raises
    ------
    ValueError
        If the shapes do not fit, there are fewer than two classes, a probability is not in
        [0, 1], a row does not sum to 1, or a label is not the position of a column.

    See Also
    --------
    noise_cuts : Precision and recall of dropping the rows above a cut.
    review_plan : Which rows to look at to know the rate without an assumption.

    Notes
    -----
    **Slips.** With :math:`q_{ik}` the given probability of class :math:`k` for row :math:`i`, the
    belief in the true class is :math:`r_{ik} \propto q_{ik}^\beta`: networks that learned from
    wrong labels doubt too much [1]_. Given labels :math:`y_i` come through a channel
    :math:`T_{kj}`, the probability of label :math:`j` in the true class :math:`k`, so that

    .. math::

        P_\beta(k \mid i) = \frac{r_{ik} T_{k y_i}}{\sum_l r_{il} T_{l y_i}}, \qquad
        c_i = 1 - P_\beta(y_i \mid i)

    are the posterior and the probability of a slip. :math:`\beta` and :math:`T` are those under
    which the given labels are likeliest, found by EM [2]_ together: slips contradict rows of which
    the network is sure, which no :math:`\beta` explains. A prior of 20 rows in every class has the
    share of slips of all classes. Where slips go is believed as far as slips of one class go to the
    same class more often than by chance.

    **Doubt.** In doubtful rows a contradicted label may be wrong, or right and the network wrong;
    both look the same. If every one of them is wrong, beliefs are certain: :math:`a_i` is
    :math:`1 - P(y_i \mid i)` with a sharpness of five times the calibrated one (but at least
    :math:`\beta`), and a channel that is fitted to it.

    **Between.** The probability that the label is wrong is

    .. math:: c_i + \rho\, (1 - c_i)\, a_i

    with :math:`\rho = 0` for "class", 1 for "instance", and for "auto"

    .. math:: \rho = 1 - 0.65\, \min(1, w / 0.25)\, (1 - 4 w (1 - w) d)

    with the share :math:`d` of labels that are not the predicted class. Here :math:`w`, the
    `class_dependence`, is the mean of :math:`c_i` by :math:`d`, times :math:`1 - e^{-\ell}`, where
    :math:`\ell` is the log-likelihood that slips gain. If no slips show, errors can only be in the
    doubt, and all of it is taken. If some show, it is less than one half: doubt alone does not
    condemn a label, but speaks against one that may be a slip. Where many labels are contradicted,
    by slips and by doubt alike, a label tells little, and more of the doubt is taken again.

    Of a label that is the predicted class it is at most one half.

    **Order.** Rows are ordered by

    .. math:: 1 - \frac{q_{i y_i}}{q_{i y_i} + \sum_{k \ne y_i} g_{k y_i} q_{ik}}, \qquad
        g_{kj} = 1 - w^2 + w^2\, \frac{T_{kj} / T_{jj}}{\text{its mean}}

    which is :math:`1 - q_{i y_i}` where no slips show, and looks at the classes to which they go
    where they do. ("class" has :math:`w = 1` here, "instance" 0.) The error probability is the
    formula above as a function of the order: the mean over rows that differ by at most 0.05, a
    fortieth of all rows at least, made monotone by isotonic regression, so that the rows above a
    cut are the first ones of the order. The difficulty is the order, stretched so that 0.5 is where
    the error probability passes 0.5.

    **Interval.** Its lower end is the smallest share of slips, to any class alike, that the labels
    do not rule out, times a weight that rises from 0 to 1 as :math:`w` rises from 0.25 to 1: slips
    that explain little may be the network's own mistakes. The upper end takes every
    label that is not the predicted class for an error, and the calibrated :math:`1 - q_{i y_i}`
    of the other rows as far as no slips show. Both are moved outwards by 1.96 standard errors of
    a share. 0.65, 0.25, 5, 0.05 and the prior were chosen by measurement, not derived.

    Channels are fitted to 5,000 rows at most, and to the label and the 15 likeliest other classes
    of each. Confident learning [3]_ is the alternative: it counts confident contradictions of the
    label, and needs no belief.

    References
    ----------
    .. [1] C. Guo et al., "On calibration of modern neural networks", ICML 2017.
       :arxiv:`1706.04599`
    .. [2] A. P. Dawid and A. M. Skene, "Maximum likelihood estimation of observer error-rates
       using the EM algorithm", Journal of the Royal Statistical Society C 28(1), 1979.
       :doi:`10.2307/2346806`
    .. [3] C. Northcutt, L. Jiang and I. Chuang, "Confident learning: estimating uncertainty in
       dataset labels", JAIR 70, 2021. :arxiv:`1911.00068`, :doi:`10.1613/jair.1.12125`

    Examples
    --------
    A network that is right, but unsure because one label in five is wrong.

    >>> import numpy as np
    >>> from sklearn_difficulty.measures import estimate_label_noise
    >>> true = np.arange(300) % 3
    >>> y = np.where(np.arange(300) % 5 == 0, (true + 1) % 3, true)
    >>> probabilities = np.array(
    ...     [[0.8, 0.2, 0.0], [0.0, 0.8, 0.2], [0.2, 0.0, 0.8]]
    ... )[true]
    >>> found = estimate_label_noise(probabilities, y)
    >>> np.flatnonzero(found.error_probability > 0.5)[:4]
    array([ 0,  5, 10, 15])
    >>> y[[0, 5, 10]], found.suggested[[0, 5, 10]], true[[0, 5, 10]]
    (array([1, 0, 2]), array([0, 2, 1]), array([0, 2, 1]))
    >>> round(found.noise_rate, 2)
    0.2
    """
    return fit_noise_model(probabilities, y, noise=noise)[0]


def fit_noise_model(
    probabilities: ArrayLike,
    y: ArrayLike,
    *,
    noise: Literal["auto", "class", "instance"] = "auto",
) -> tuple[LabelNoise, NoiseModel]:
    """Return what `estimate_label_noise` does, and what is needed to read other rows."""
    q = _check_shape(probabilities)
    codes = _check_codes(y, q.shape)
    if not isinstance(noise, str) or noise not in ("auto", "class", "instance"):
        raise ValueError(f"noise must be 'auto', 'class' or 'instance'; got {noise!r}.")
    taken = _rows_of_fit(len(codes))
    rows = read_compact(q, codes, taken)
    sharpness, without_slips = calibrated(rows)
    slips = slips_to_any_class(rows)
    by_slip = fit_channel(rows, *start_of_fit(slips, sharpness))
    sharp = max(by_slip.sharpness, _SHARPER * sharpness)
    by_doubt = fit_channel(rows, sharp, min(rows.contradicted, 0.5), fixed=True)
    weight = _class_dependence(rows, by_slip, without_slips)
    of_order = {"class": 1.0, "instance": 0.0, "auto": weight**2}[noise]
    matrix = _order_matrix(by_slip, codes, of_order)
    model = NoiseModel(sharpness, by_slip, by_doubt, matrix, cut=1.0)
    seen = min(1.0, weight / _SLIPS_SHOW)
    # What labels still tell: least where slips and doubt contradict as many of them.
    told = 1 - 4 * weight * (1 - weight) * rows.contradicted
    doubt_is_error = {
        "class": 0.0,
        "instance": 1.0,
        "auto": 1 - (1 - _DOUBT_BESIDE_SLIPS) * seen * told,
    }[noise]
    read = read_all(model, q, codes)
    slipped = read.slip_probability
    error = slipped + doubt_is_error * (1 - slipped) * read.contradiction
    # Where labels tell nothing, it is not theirs that agree with the network that are wrong.
    np.minimum(error, 0.5, out=error, where=read.is_predicted)
    least = slips.lowest_rate * max(0.0, (weight - _SLIPS_SHOW) / (1 - _SLIPS_SHOW))
    low = np.minimum(slipped * min(1.0, least / max(float(slipped.mean()), 1e-12)), error)
    high = np.maximum(error, np.where(read.is_predicted, (1 - seen) * read.doubt, 1.0))
    error, low, high = _monotone(read.order, np.stack([error, low, high]))
    bounds = np.stack([low, high])
    model = model._replace(cut=float(read.order[error <= 0.5].max(initial=0)))
    is_other = error * read.share_of_other > 1 - error
    result = LabelNoise(
        error,
        np.where(is_other, read.other, codes),
        np.where(is_other, error * read.share_of_other, 1 - error),
        by_slip.noise_matrix,
        float(error.mean()),
        _with_sampling_error(bounds, len(taken)),
        bounds,
        weight,
        above_one_half(read.order, model.cut),
    )
    return result, model


def _rows_of_fit(n_rows: int) -> NDArray[np.int64]:
    """Return the rows to which channels are fitted: all, or a part that is always the same."""
    if n_rows <= _ROWS_OF_FIT:
        return np.arange(n_rows)
    return np.sort(np.random.default_rng(_SEED).choice(n_rows, _ROWS_OF_FIT, replace=False))


def _class_dependence(rows: CompactRows, by_slip: Channel, without_slips: float) -> float:
    """Return the share of the contradicted labels that slips explain, if they explain any."""
    gained = max(0.0, by_slip.log_likelihood - without_slips)
    return float(min(1.0, by_slip.rate / rows.contradicted) * -np.expm1(-gained))


def _order_matrix(by_slip: Channel, y: NDArray[np.int64], weight: float) -> NDArray[np.float64]:
    """Return g: how much more often slips go from a class to another one than to any, by weight."""
    matrix, n_classes = by_slip.noise_matrix, len(by_slip.noise_matrix)
    right = matrix.diagonal()
    rate = float(1 - right[y].mean())
    to_any = rate / (1 - rate) / (n_classes - 1)
    ratio = 1 - weight + weight * matrix / (right * to_any)
    np.fill_diagonal(ratio, 1)
    return np.asarray(ratio)


def _monotone(order: NDArray[np.float32], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each line as a function of the order that does not fall: local means, made so."""
    position = np.argsort(order, kind="stable")
    place = order[position].astype(np.float64)
    # At least so many on both sides: in a gap of the order one label would decide about another.
    few = len(place) // _LEAST_BESIDE
    first = np.searchsorted(place, place - _NEAR, side="left")
    first = np.minimum(first, np.maximum(np.searchsorted(place, place, side="left") - few, 0))
    last = np.searchsorted(place, place + _NEAR, side="right")
    last = np.maximum(
        last, np.minimum(np.searchsorted(place, place, side="right") + few, len(place))
    )
    out = np.empty_like(values)
    for line, of_line in zip(out, values, strict=True):
        cumulated = np.concatenate([[0], np.cumsum(of_line[position])])
        line[position] = isotonic_regression((cumulated[last] - cumulated[first]) / (last - first))
    return out.clip(0, 1)


def _with_sampling_error(bounds: NDArray[np.float64], n_rows: int) -> tuple[float, float]:
    """Return the mean of both bounds, moved outwards by the sampling error of a share."""
    low, high = bounds.mean(axis=1)
    below, above = (_Z * np.sqrt(p * (1 - p) / n_rows) for p in (low, high))
    return max(0.0, float(low - below)), min(1.0, float(high + above))


def _check_shape(probabilities: ArrayLike) -> Floats:
    """Return probabilities as a floating array, which is not read yet."""
    q = as_numbers(probabilities, "probabilities")
    if q.dtype.kind != "f":
        q = q.astype(np.float64)
    if q.ndim != 2 or q.shape[0] == 0 or q.shape[1] < 2:
        raise ValueError(
            "probabilities must have the shape (n_rows, n_classes) with at least one row and two "
            f"classes, got {q.shape}."
        )
    return q


def _check_codes(y: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Return labels as codes, after checking them."""
    codes = as_array(y, "y")
    n_rows, n_classes = shape
    if codes.shape != (n_rows,):
        raise ValueError(f"y must have the shape ({n_rows},), got {codes.shape}.")
    if codes.dtype.kind not in "iu":
        raise ValueError(
            f"y must hold integers, the positions of the columns, got dtype {codes.dtype}. Labels "
            "of another kind: np.unique(y, return_inverse=True)[1]."
        )
    outside = (codes < 0) | (codes >= n_classes)
    if outside.any():
        raise ValueError(
            f"y must hold the positions of {n_classes} columns, from 0 to {n_classes - 1}; see "
            f"{rows_message(outside)}."
        )
    return codes.astype(np.int64)
