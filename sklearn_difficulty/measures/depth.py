# SPDX-License-Identifier: BSD-3-Clause
"""Prediction depth: the layer from which on every probe says what the network says."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arrays import as_array, refuse_other_kind

__all__ = ["prediction_depth"]


def prediction_depth(probe_predictions: ArrayLike, target: ArrayLike) -> NDArray[np.float64]:
    r"""Return the number of the first probe from which on all probes predict the target.

    Parameters
    ----------
    probe_predictions : array-like of shape (n_probes, n_samples)
        The class that each probe predicts, in the order of the network: the input first, the
        output last. Labels of any type.
    target : array-like of shape (n_samples,)
        The class that the network predicts in the end.

    Returns
    -------
    depth : ndarray of shape (n_samples,), float64
        From 0 (all probes agree with the network, the input included) to ``n_probes - 1``; NaN
        where the last probe disagrees, because the depth is not defined there.

    Raises
    ------
    ValueError
        If the shapes do not fit, or there is no probe.

    See Also
    --------
    sklearn_difficulty.PredictionDepthScorer : Makes the probes of a network, and applies this rule.

    Notes
    -----
    With :math:`\hat{y}_l` the prediction of probe :math:`l = 0, \dots, L - 1` and :math:`\hat{y}`
    that of the network, the depth is :math:`\min \{ d : \hat{y}_l = \hat{y} \text{ for all } l
    \ge d \}`, that is :math:`L` minus the length of the run of agreement at the end.

    References
    ----------
    R. Baldock, H. Maennel, B. Neyshabur, "Deep Learning Through the Lens of Example Difficulty",
    NeurIPS 2021, section 2.1 and appendix A.6.1, :arxiv:`2106.09647`.

    Examples
    --------
    >>> from sklearn_difficulty.measures import prediction_depth
    >>> probe_predictions = [
    ...     [1, 0, 1, 0, 1],
    ...     [1, 1, 0, 0, 1],
    ...     [1, 1, 1, 0, 1],
    ...     [1, 1, 1, 1, 0],
    ... ]
    >>> prediction_depth(probe_predictions, target=[1, 1, 1, 1, 1])
    array([ 0.,  1.,  2.,  3., nan])
    """
    predictions = as_array(probe_predictions, "probe_predictions")
    target = as_array(target, "target")
    if predictions.ndim != 2 or len(predictions) == 0 or predictions.shape[1:] != target.shape:
        raise ValueError(
            "probe_predictions must have the shape (n_probes, n_samples) with at least one probe, "
            f"and target (n_samples,); got {predictions.shape} and {target.shape}."
        )
    refuse_other_kind(predictions, target, "probe_predictions and target")
    agrees = predictions == target
    # Reversed, the first disagreement ends the run of agreement.
    n_agreeing = np.logical_and.accumulate(agrees[::-1], axis=0).sum(axis=0)
    return np.where(n_agreeing > 0, len(predictions) - n_agreeing, np.nan)
