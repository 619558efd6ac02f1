# SPDX-License-Identifier: BSD-3-Clause
"""Training dynamics of predictions of your own, with a line per epoch and a column per row.

Signs are the quantities' own; `TrainingDynamicsScorer` turns them. NaN (or -1 predicted) marks an
epoch that did not show the row. The reference for `networks.heads`; a test holds the two together.
"""

from __future__ import annotations

from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import entr, log_softmax

from .._arrays import as_array, as_floats, as_numbers
from .._parameters import check_parameters

__all__ = [
    "aleatoric_uncertainty",
    "epoch_statistics",
    "forgetting_events",
    "iteration_learned",
    "mean_correctness",
    "mean_over_epochs",
    "variability",
]

_ROUNDING = 1e-5  # of probabilities in single precision


class EpochStatistics(NamedTuple):
    """What `epoch_statistics` returns, each of shape (n_epochs, n_rows)."""

    probability: NDArray[np.float64]
    margin: NDArray[np.float64]
    loss: NDArray[np.float64]
    el2n: NDArray[np.float64]
    entropy: NDArray[np.float64]
    predicted: NDArray[np.int64]


def epoch_statistics(logits: ArrayLike, labels: ArrayLike) -> EpochStatistics:
    r"""Return what training dynamics are made of, from logits and labels of your own.

    `TrajectoryRecorder` takes the same from a network in torch; this function is the reference.

    Parameters
    ----------
    logits : array-like of shape (n_epochs, n_rows, n_classes)
        Of one training run; or (n_rows, n_classes) for a single epoch. NaN where an epoch did not
        show a row.
    labels : array-like of shape (n_rows,)
        Positions of the given labels.

    Returns
    -------
    statistics : EpochStatistics
        ``probability`` of the given label, in [0, 1]; ``margin``, the logit of the given label
        less the largest other one; ``loss``, the cross-entropy in nats; ``el2n``, the length of the
        error vector, in :math:`[0, \sqrt{2}]`; ``entropy`` of the probabilities in nats;
        ``predicted`` class, -1 where logits are NaN. Each of shape (n_epochs, n_rows).

    Raises
    ------
    ValueError
        If shapes do not fit, there are fewer than two classes, or a label is no position.

    See Also
    --------
    TrainingRecord.from_logits : A record of such logits, for the scorers.

    Notes
    -----
    With probabilities :math:`p = \mathrm{softmax}(z)` and one-hot label :math:`e_y`: the margin is
    :math:`z_y - \max_{j \ne y} z_j`, the loss :math:`-\log p_y`, EL2N :math:`\lVert p - e_y
    \rVert_2`, the entropy :math:`-\sum_j p_j \log p_j`.

    References
    ----------
    M. Paul, S. Ganguli, G. Dziugaite, "Deep Learning on a Data Diet", NeurIPS 2021,
    :arxiv:`2107.07075` (EL2N); G. Pleiss et al., "Identifying Mislabeled Data using the Area Under
    the Margin Ranking", NeurIPS 2020, :arxiv:`2001.10528` (margin).

    Examples
    --------
    >>> from sklearn_difficulty.measures import epoch_statistics
    >>> found = epoch_statistics([[[2.0, 0.0], [1.0, 1.0]]], labels=[0, 1])
    >>> found.probability.round(3)
    array([[0.881, 0.5  ]])
    >>> found.margin
    array([[2., 0.]])
    """
    z = as_floats(logits, "logits")
    z = z[None] if z.ndim == 2 else z
    y = as_array(labels, "labels")
    if z.ndim != 3 or z.shape[2] < 2 or y.shape != z.shape[1:2]:
        raise ValueError(
            "logits must have the shape (n_epochs, n_rows, n_classes) with at least two classes, "
            f"and labels (n_rows,); got {z.shape} and {y.shape}."
        )
    if y.dtype.kind not in "iu" or y.min(initial=0) < 0 or y.max(initial=0) >= z.shape[2]:
        raise ValueError(
            f"labels must be positions of classes, integers from 0 to {z.shape[2] - 1}."
        )
    not_shown: NDArray[np.bool_] = np.asarray(np.isnan(z).any(axis=2))
    z = np.where(not_shown[:, :, None], 0.0, z)
    given = np.broadcast_to(y[None, :, None], (*z.shape[:2], 1))
    with np.errstate(invalid="ignore"):  # of infinite logits
        log_p = log_softmax(z, axis=2)
    p = np.exp(log_p)
    p_given = np.take_along_axis(p, given, axis=2)[:, :, 0]
    others = z.copy()
    np.put_along_axis(others, given, -np.inf, axis=2)
    error = p.copy()
    np.put_along_axis(error, given, p_given[:, :, None] - 1, axis=2)
    with np.errstate(invalid="ignore"):
        margin = np.take_along_axis(z, given, axis=2)[:, :, 0] - others.max(axis=2)
    statistics = EpochStatistics(
        probability=p_given,
        margin=margin,
        loss=-np.take_along_axis(log_p, given, axis=2)[:, :, 0],
        el2n=np.linalg.norm(error, axis=2),
        entropy=entr(p).sum(axis=2),
        predicted=np.where(not_shown, -1, z.argmax(axis=2)),
    )
    for values in statistics[:-1]:
        values[not_shown] = np.nan
    return statistics


def mean_over_epochs(values: ArrayLike, counts: ArrayLike | None = None) -> NDArray[np.float64]:
    r"""Return the mean of every row over the epochs that showed it.

    Of the probability of the given label this is the *confidence* of data maps, of the margin the
    *area under the margin*, of the loss the *cumulative sample loss* divided by the number of
    epochs, of EL2N its average over the run.

    Parameters
    ----------
    values : array-like of shape (n_epochs, n_rows)
        One number per epoch and row; NaN where an epoch did not show the row.
    counts : array-like of shape (n_epochs, n_rows), default=None
        How often an epoch showed the row, if `values` are means over these times. None counts
        every epoch once.

    Returns
    -------
    mean : ndarray of shape (n_rows,)
        NaN for rows that were never shown.

    See Also
    --------
    variability : The spread over epochs.

    References
    ----------
    S. Swayamdipta et al., "Dataset Cartography", EMNLP 2020, :arxiv:`2009.10795`; G. Pleiss et al.,
    "Identifying Mislabeled Data using the Area Under the Margin Ranking", NeurIPS 2020,
    :arxiv:`2001.10528`; D. Ravikumar et al., "Towards Memorization
    Estimation: Fast, Formal and Free", ICML 2025, https://openreview.net/forum?id=KZlQEoEtiu.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_difficulty.measures import mean_over_epochs
    >>> mean_over_epochs([[0.2, np.nan], [0.6, np.nan]])
    array([0.4, nan])
    """
    x = _epochs_by_rows(values, "values")
    weights = np.ones_like(x) if counts is None else as_floats(counts, "counts")
    if weights.shape != x.shape:
        raise ValueError(f"values and counts differ in shape: {x.shape} and {weights.shape}.")
    if (weights < 0).any():
        raise ValueError(f"counts must not be negative; the smallest is {np.nanmin(weights):g}.")
    seen = ~np.isnan(x)
    weights = np.where(seen, weights, 0.0)
    total = weights.sum(axis=0)
    with np.errstate(invalid="ignore"):
        return (weights * np.where(seen, x, 0.0)).sum(axis=0) / total


def variability(probability: ArrayLike) -> NDArray[np.float64]:
    r"""Return the standard deviation over epochs of the probability of the given label.

    Parameters
    ----------
    probability : array-like of shape (n_epochs, n_rows)
        Of the given label; NaN where an epoch did not show the row.

    Returns
    -------
    variability : ndarray of shape (n_rows,)
        From 0 to 0.5; NaN for rows that were never shown.

    See Also
    --------
    mean_over_epochs : The confidence, the other axis of a data map.

    Notes
    -----
    :math:`\sqrt{\frac{1}{E} \sum_e (p_e - \bar{p})^2}` over :math:`E` epochs with mean
    :math:`\bar{p}`.

    References
    ----------
    S. Swayamdipta et al., "Dataset Cartography", EMNLP 2020, :arxiv:`2009.10795`.

    Examples
    --------
    >>> from sklearn_difficulty.measures import variability
    >>> variability([[0.2, 0.5], [0.6, 0.5]])
    array([0.2, 0. ])
    """
    p = _probabilities(probability)
    return np.sqrt(mean_over_epochs((p - mean_over_epochs(p)) ** 2))


def aleatoric_uncertainty(probability: ArrayLike) -> NDArray[np.float64]:
    r"""Return the mean over epochs of p (1 - p): doubt that training does not remove.

    Parameters
    ----------
    probability : array-like of shape (n_epochs, n_rows)
        Of the given label; NaN where an epoch did not show the row.

    Returns
    -------
    uncertainty : ndarray of shape (n_rows,)
        From 0 to 0.25; NaN for rows that were never shown.

    See Also
    --------
    variability : Doubt that changes during training.

    Notes
    -----
    :math:`\frac{1}{E} \sum_e p_e (1 - p_e)` over :math:`E` epochs.

    References
    ----------
    N. Seedat, J. Crabbé, I. Bica, M. van der Schaar, "Data-IQ: Characterizing subgroups with
    heterogeneous outcomes in tabular data", NeurIPS 2022, :arxiv:`2210.13043`.

    Examples
    --------
    >>> from sklearn_difficulty.measures import aleatoric_uncertainty
    >>> aleatoric_uncertainty([[0.0, 0.5], [1.0, 0.5]])
    array([0.  , 0.25])
    """
    p = _probabilities(probability)
    return mean_over_epochs(p * (1 - p))


def mean_correctness(predicted: ArrayLike, labels: ArrayLike) -> NDArray[np.float64]:
    """Return the share of the epochs in which a row's label was predicted.

    Parameters
    ----------
    predicted : array-like of shape (n_epochs, n_rows)
        Predicted class of every epoch; -1 where an epoch did not show the row.
    labels : array-like of shape (n_rows,)
        Positions of the given labels.

    Returns
    -------
    correctness : ndarray of shape (n_rows,)
        From 0 to 1; NaN for rows that were never shown.

    See Also
    --------
    forgetting_events : How often a row was lost again.

    References
    ----------
    S. Swayamdipta et al., "Dataset Cartography", EMNLP 2020, :arxiv:`2009.10795`.

    Examples
    --------
    >>> from sklearn_difficulty.measures import mean_correctness
    >>> mean_correctness([[0, 1], [0, 0]], labels=[0, 0])
    array([1. , 0.5])
    """
    predictions, y = _predictions(predicted, labels)
    return mean_over_epochs(np.where(predictions < 0, np.nan, predictions == y))


def forgetting_events(
    predicted: ArrayLike, labels: ArrayLike, *, never_learned: float | None = None
) -> NDArray[np.float64]:
    """Return how often a row was predicted right and then, in the next epoch seen, wrong.

    Parameters
    ----------
    predicted : array-like of shape (n_epochs, n_rows)
        Predicted class of every epoch; -1 where an epoch did not show the row.
    labels : array-like of shape (n_rows,)
        Positions of the given labels.
    never_learned : float, default=None
        What is returned for rows that no epoch predicted right, which have nothing to forget. None
        takes ``n_epochs``, more than any row can reach.

    Returns
    -------
    events : ndarray of shape (n_rows,)
        Whole numbers from 0 to half the number of epochs, or `never_learned`; NaN for rows that
        were never shown.

    See Also
    --------
    iteration_learned : When a row was predicted right for good.

    References
    ----------
    M. Toneva et al., "An Empirical Study of Example Forgetting during Deep Neural Network
    Learning", ICLR 2019, :arxiv:`1812.05159`.

    Examples
    --------
    >>> from sklearn_difficulty.measures import forgetting_events
    >>> forgetting_events([[1, 0, 1], [0, 0, 1], [1, 0, 1]], labels=[1, 1, 1])
    array([1., 3., 0.])
    """
    check_parameters("forgetting_events", never_learned=(never_learned, [Real, None]))
    predictions, y = _predictions(predicted, labels)
    seen = predictions >= 0
    right = seen & (predictions == y)
    was_right = np.zeros(predictions.shape[1], dtype=bool)
    events = np.zeros(predictions.shape[1])
    for now_seen, now_right in zip(seen, right, strict=True):
        events += was_right & now_seen & ~now_right
        was_right = np.where(now_seen, now_right, was_right)
    worst = len(predictions) if never_learned is None else never_learned
    events[~right.any(axis=0)] = worst
    events[~seen.any(axis=0)] = np.nan
    return events


def iteration_learned(
    predicted: ArrayLike, labels: ArrayLike | None = None, *, rescale: bool = False
) -> NDArray[np.float64]:
    """Return the epoch from which on a row was predicted as in the end, or as its label.

    Parameters
    ----------
    predicted : array-like of shape (n_epochs, n_rows)
        Predicted class of every epoch; -1 where an epoch did not show the row.
    labels : array-like of shape (n_rows,), default=None
        Positions of the given labels: the row is learned when they are predicted for good. None
        compares with the final prediction of the row, as the paper does.
    rescale : bool, default=False
        Divide by the 95th percentile of the rows that are learned in the end.

    Returns
    -------
    epoch : ndarray of shape (n_rows,)
        Counted from 1, the end of the first epoch. ``n_epochs + 1`` for rows whose last prediction
        is not their label; NaN for rows that were never shown.

    See Also
    --------
    forgetting_events : How often a row was lost on the way.

    References
    ----------
    R. Baldock, H. Maennel, B. Neyshabur, "Deep Learning Through the Lens of Example Difficulty",
    NeurIPS 2021, section 3.2, :arxiv:`2106.09647`.

    Examples
    --------
    >>> from sklearn_difficulty.measures import iteration_learned
    >>> predicted = [[1, 0, 1], [0, 0, 1], [1, 0, 1]]
    >>> iteration_learned(predicted)
    array([3., 1., 1.])
    >>> iteration_learned(predicted, labels=[1, 1, 1])
    array([3., 4., 1.])
    """
    check_parameters("iteration_learned", rescale=(rescale, ["boolean"]))
    predictions = _epochs_by_rows(predicted, "predicted")
    seen = predictions >= 0
    numbers = np.arange(1, len(predictions) + 1)[:, None]
    if labels is None:
        last = np.where(seen, numbers, 0).argmax(axis=0)
        y: NDArray[Any] = np.take_along_axis(predictions, last[None], axis=0)[0]
    else:
        predictions, y = _predictions(predictions, labels)
    # The last disagreement: the next epoch that shows the row is the one.
    disagrees = seen & (predictions != y)
    last_wrong = np.where(disagrees, numbers, 0).max(axis=0)
    behind = np.where(seen & (numbers > last_wrong), numbers, len(predictions) + 1)
    epoch = behind.min(axis=0).astype(np.float64)
    epoch[~seen.any(axis=0)] = np.nan
    if rescale:
        learned = epoch <= len(predictions)
        if learned.any():
            epoch /= np.percentile(epoch[learned], 95)
    return epoch


def _epochs_by_rows(values: ArrayLike, name: str) -> NDArray[Any]:
    """Return values as an array, after checking that there is a line per epoch."""
    array = as_numbers(values, name)
    if array.ndim != 2 or len(array) == 0:
        raise ValueError(
            "Expected one line per epoch and one column per row, (n_epochs, n_rows), with at least "
            f"one epoch; got the shape {array.shape}."
        )
    return array if array.dtype.kind in "iu" else array.astype(np.float64)


def _probabilities(values: ArrayLike) -> NDArray[Any]:
    """Return probabilities of every epoch and row, after checking that they are such or NaN."""
    p = _epochs_by_rows(values, "probability")
    outside = (p < -_ROUNDING) | (p > 1 + _ROUNDING)
    if outside.any():
        rows = np.flatnonzero(outside.any(axis=0))
        raise ValueError(
            f"probability must lie in [0, 1], or be NaN; it does not in {len(rows)} row(s), first "
            f"{rows[:5].tolist()}."
        )
    return p


def _predictions(predicted: ArrayLike, labels: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return predictions and labels as arrays, after checking that they fit."""
    predictions, y = _epochs_by_rows(predicted, "predicted"), as_numbers(labels, "labels")
    if y.shape != predictions.shape[1:]:
        raise ValueError(
            f"There are {predictions.shape[1]} rows in predicted, and labels of shape {y.shape}."
        )
    return predictions, y
