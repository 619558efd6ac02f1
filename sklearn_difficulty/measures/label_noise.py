# SPDX-License-Identifier: BSD-3-Clause
"""How many labels are wrong, which, and what the right ones are: from class probabilities alone.

A network that learned from wrong labels gives, at best, the probability of the *given* label. How
much of its doubt is noise, and how much is honest, cannot be read from it without an assumption.
Here the assumption is one number, how sharp its belief about the true class is: the exponent tau.

The way of `fit_noise_model`; symbols and EM stand in `_noise_channel`:

1. Probabilities at the temperature that makes the given labels likeliest: q.
2. The share s of contradicted labels among the surest rows, by that among all, gives the weight w
   (`class_dependence`): 1 if errors do not mind how sure a row is, 0 if they follow doubt.
3. Two exponents, for noise by class and by row, from w, s and the likelihood (`_exponents`);
   `noise` takes one of them, or a mean by w.
4. The channel at that exponent gives the error probabilities. In "auto", a label of few rows is
   judged by the channel of noise by class too.
5. Channels at a duller and at the sharpest exponent give the ends of the interval.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arrays import as_array, as_floats
from ._noise_channel import (
    NoiseModel,
    SortedRows,
    at_temperature,
    exponent_for_rate,
    fit_channel,
    likeliest_exponent,
    likeliest_temperature,
    rows_for_search,
)

__all__ = ["LabelNoise", "estimate_label_noise"]

_SMALLEST_PROBABILITY = 1e-6
_SUM_TOLERANCE = 0.01  # float16 rounds every term

# Chosen on digits and Fashion-MNIST; benchmarks/bench_label_errors.py measures what comes of them.
# A smaller exponent is a sharper belief: it finds more errors, and takes more honest doubt for one.
_INSTANCE = 0.3  # exponent of noise by row
_SHARPEST = 0.2  # exponent of the upper end of the interval
_SLACK = 1.5  # by which the exponent of the lower end is duller
_FEW_ROWS = 20  # of a label, with which both channels of "auto" count alike
_SUREST = 0.2  # share of the rows of a predicted class that count as surest
# Contradictions among the surest rows, by those among all: from no noise by class to nothing else.
_BY_CLASS = (0.25, 0.35)

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
        floating type. Rows must sum to 1, to 0.01.
    y : array-like of shape (n_rows,)
        The given labels: positions of the columns, as integers.
    noise : {"auto", "class", "instance"}, default="auto"
        Which labels are wrong. "class": in every class a share that does not depend on the row, as
        after a slip of the hand; doubtful rows are taken as honestly doubtful. "instance": above
        all rows that look like another class, as people err; every sure contradiction of the
        label is an error, also where the network is merely weak. "auto" decides by whether the
        network is contradicted where it is surest, see Notes.

    Returns
    -------
    result : LabelNoise
        A named tuple of

        - ``error_probability`` (n_rows,): the probability that the given label is wrong;
        - ``suggested`` (n_rows,), int64: the likeliest true class, which may be the given one;
        - ``suggested_probability`` (n_rows,): its probability;
        - ``noise_matrix`` (n_classes, n_classes): entry (k, j) is the probability that a row of
          true class k is given the label j;
        - ``noise_rate``: the share of wrong labels, the mean of ``error_probability``;
        - ``noise_rate_interval``: from noise by class to noise by row, with the sampling error;
        - ``error_probability_bounds`` (2, n_rows): what ``error_probability`` is at both ends;
        - ``class_dependence``: in [0, 1]; 1 if sure rows are contradicted too, 0 if only doubtful
          ones are: then they are wrong or merely hard, and these two cannot be told apart.

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
    With :math:`q_{ik}` the probability of class :math:`k` for row :math:`i` at the temperature that
    makes the given labels :math:`y_i` likeliest [1]_, the belief about the true class is
    :math:`r_{ik} \propto e^{b_k} q_{ik}^{1/\tau}`, with an offset :math:`b_k` of the class and an
    exponent :math:`\tau`: the smaller, the sharper. Labels come through a channel :math:`T_{kj}`,
    the probability of the given label :math:`j` in the true class :math:`k`, so that

    .. math:: P(k \mid i) = \frac{r_{ik} T_{k y_i}}{\sum_l r_{il} T_{l y_i}}

    is the posterior, and :math:`1 - P(y_i \mid i)` the error probability. :math:`T` and :math:`b`
    are found by EM [2]_. A prior of five rows in every class, with the share of errors of all
    classes, keeps classes with few rows in place. In every round :math:`b` is multiplied by the
    `class_dependence`: where errors follow the row, the shares of the classes among them are none
    of the classes.

    Noise by class shows where the network is surest: a share :math:`s` of the surest fifth of every
    predicted class contradicts the given label, against :math:`c` of all rows. As :math:`s / c`
    rises from 0.25 to 0.35, the `class_dependence` :math:`w` rises from 0 to 1. The exponent of
    "class", :math:`\tau_c`, goes with :math:`w` from the one under which the given labels are
    likeliest, which takes errors on doubtful rows for honest doubt, to the one under which
    :math:`s` of all labels are wrong, but at least 0.3, if that is smaller. "instance" takes the
    smaller of :math:`\tau_c` and 0.3, and "auto" goes with :math:`w` from "instance" to "class".
    Between exponents, :math:`\ln \tau` is weighted. In "auto", the posterior of a row is averaged
    with that of "class", by the weights :math:`n` and 20, if :math:`n` rows are given its label:
    a network contradicts what it has seen a few times out of ignorance.

    The lower end of the interval is :math:`w` times the rate at :math:`1.5\, \tau_c`. The upper end
    is :math:`w` times the rate at :math:`\tau = 0.2`, plus :math:`1 - w` times the mean of :math:`1
    - q_{i y_i}`, as if labels said nothing about the true class that the row does not say. Both are
    moved outwards by 1.96 standard errors of a share. The numbers were chosen by measurement, not
    derived.

    Exponents are searched on at most 20,000 rows. Confident learning [3]_ is the alternative: it
    counts confident contradictions of the label, and needs no belief.

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
    >>> probabilities = np.array([[0.8, 0.2, 0.0], [0.0, 0.8, 0.2], [0.2, 0.0, 0.8]])[true]
    >>> found = estimate_label_noise(probabilities, y)
    >>> bool(np.all((found.error_probability > 0.5) == (y != true)))
    True
    >>> bool(np.all(found.suggested == true))
    True
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
    log_q = log_probabilities(probabilities)
    codes = _check_codes(y, log_q.shape)
    if not isinstance(noise, str) or noise not in ("auto", "class", "instance"):
        raise ValueError(f"noise must be 'auto', 'class' or 'instance'; got {noise!r}.")
    order = np.argsort(codes, kind="stable")
    as_given = SortedRows(log_q[order], codes[order])
    temperature = likeliest_temperature(as_given)
    rows = SortedRows(at_temperature(as_given.log_q, temperature), as_given.y)
    sure_share, share = _contradictions(rows)
    low_share, high_share = _BY_CLASS
    weight = float(np.clip((sure_share / share - low_share) / (high_share - low_share), 0, 1))
    by_class, by_instance = _exponents(rows, sure_share, weight)
    exponent = {
        "class": by_class,
        "instance": by_instance,
        "auto": by_class**weight * by_instance ** (1 - weight),
    }[noise]
    channel, class_channel = fit_channel(rows, float(exponent), weight), None
    posterior = channel.posterior
    n_of_label = np.bincount(rows.y, minlength=log_q.shape[1])
    trust = n_of_label / (n_of_label + _FEW_ROWS)
    if noise == "auto" and weight < 1:
        # A network that has seen a class a few times contradicts it out of ignorance.
        class_channel = fit_channel(rows, by_class)
        row_trust = trust[rows.y][:, None]
        posterior = row_trust * posterior + (1 - row_trust) * class_channel.posterior
    own = np.arange(len(rows.y)), rows.y
    error = 1 - posterior[own]
    low = weight * fit_channel(rows, _SLACK * by_class, weight).error_probability(rows.y)
    high = weight * fit_channel(rows, _SHARPEST, weight).error_probability(rows.y)
    high += (1 - weight) * (1 - np.exp(rows.log_q[own]))
    bounds = np.stack([np.minimum(low, error), np.maximum(high, error)])
    back = np.argsort(order)
    result = LabelNoise(
        error[back],
        posterior.argmax(axis=1)[back],
        posterior.max(axis=1)[back],
        channel.noise_matrix,
        float(error.mean()),
        _with_sampling_error(bounds),
        bounds[:, back],
        weight,
    )
    return result, NoiseModel(temperature, channel, class_channel, trust)


def log_probabilities(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Return the logarithm of checked probabilities, none of which is zero."""
    return np.log(np.maximum(_check_probabilities(probabilities), _SMALLEST_PROBABILITY))


def _exponents(rows: SortedRows, sure_share: float, weight: float) -> tuple[float, float]:
    """Return the exponents of noise by class and of noise by row."""
    sample = rows_for_search(rows)
    likeliest = likeliest_exponent(sample)
    contradicted = max(_INSTANCE, exponent_for_rate(sample, sure_share))
    by_class = likeliest ** (1 - weight) * min(likeliest, contradicted) ** weight
    return by_class, min(_INSTANCE, by_class)


def _contradictions(rows: SortedRows) -> tuple[float, float]:
    """Return which share of labels is not the predicted class: of the surest rows, and of all."""
    predicted, sureness = rows.log_q.argmax(axis=1), rows.log_q.max(axis=1)
    order = np.lexsort((-sureness, predicted))
    counts = np.bincount(predicted)
    rank = np.arange(len(order)) - np.repeat(counts.cumsum() - counts, counts)
    # A fifth of the rows of every predicted class, at least one.
    surest = order[rank < np.maximum(1, _SUREST * np.repeat(counts, counts))]
    contradicted = predicted != rows.y
    share = float(contradicted.mean())
    return min(float(contradicted[surest].mean()), share), max(share, 1 / len(rows.y))


def _with_sampling_error(bounds: NDArray[np.float64]) -> tuple[float, float]:
    """Return the mean of both bounds, moved outwards by the sampling error of a share."""
    low, high = bounds.mean(axis=1)
    below, above = (_Z * np.sqrt(p * (1 - p) / bounds.shape[1]) for p in (low, high))
    return max(0.0, float(low - below)), min(1.0, float(high + above))


def _check_probabilities(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Return probabilities of which every row sums to 1 exactly, after checking them."""
    q = as_floats(probabilities, "probabilities")
    if q.ndim != 2 or q.shape[0] == 0 or q.shape[1] < 2:
        raise ValueError(
            "probabilities must have the shape (n_rows, n_classes) with at least one row and two "
            f"classes, got {q.shape}."
        )
    outside = ~np.all((q >= 0) & (q <= 1 + _SUM_TOLERANCE), axis=1)
    if outside.any():
        raise ValueError(
            f"probabilities must lie in [0, 1], without NaN; see {_rows(outside)}. Logits need a "
            "softmax."
        )
    sums = q.sum(axis=1)
    off = np.abs(sums - 1) > _SUM_TOLERANCE
    if off.any():
        raise ValueError(
            f"Every row of probabilities must sum to 1; see {_rows(off)}. Logits need a softmax."
        )
    return q / sums[:, None]


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
            f"{_rows(outside)}."
        )
    return codes.astype(np.int64)


def _rows(mask: NDArray[np.bool_]) -> str:
    """Return the marked rows for a message, the first five by number."""
    numbers = np.flatnonzero(mask)
    first = ", ".join(map(str, numbers[:5]))
    if len(numbers) == 1:
        return f"row {first}"
    return f"rows {first}{', ...' if len(numbers) > 5 else ''} ({len(numbers)} in all)"
