# SPDX-License-Identifier: BSD-3-Clause
"""The net that ``estimator=None`` stands for: one that suits the shape and scale of X."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNet, NeuralNetClassifier
from torch import nn

from .._warnings import warn_caller
from ..networks.small import MLP, ConvNet
from ..rows.labels import encode_labels
from ..rows.rows import ArrayRows, Rows, as_rows
from .skorch_net import StandsForNet

_BLOCK_ROWS = 4096  # of the pass over X, which may be a memory map
__all__ = ["default_network"]


def default_network(X: Any, y: Any) -> NeuralNetClassifier:
    """Return the untrained net that ``estimator=None`` stands for.

    Rows of features get a multilayer perceptron with 256 and 128 hidden units, images of shape
    (channels, height, width) a network of two convolutions. Both standardise their input by the
    mean and standard deviation of `X` (per feature or channel) and train for 20 epochs by SGD
    with momentum 0.9 on shuffled batches.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features) or (n_samples, n_channels, height, width)
        The training rows, for their shape and scale.
    y : array-like of shape (n_samples,)
        Their labels, for the number of classes.

    Returns
    -------
    net : skorch.NeuralNetClassifier
        Silent, on the CPU; change it with ``set_params``.

    Raises
    ------
    ValueError
        If X has another rank.

    See Also
    --------
    MLP, ConvNet : The modules.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn_difficulty import VoGScorer
    >>> from sklearn_difficulty.training import default_network
    >>> X, y = load_wine(return_X_y=True)
    >>> net = default_network(X, y).set_params(
    ...     max_epochs=5, module__hidden_units=(32,)
    ... )
    >>> VoGScorer(net, random_state=0).fit(X, y).difficulty_.shape
    (178,)
    """
    return _network_for(as_rows(X), y)


def _network_for(rows: Rows, y: Any) -> NeuralNetClassifier:
    """Return the default network for checked rows."""
    if not isinstance(rows, ArrayRows):
        raise ValueError(
            f"There is no default network for a {type(rows.data).__name__}. Pass estimator, a "
            "skorch net that fits your data."
        )
    X = rows.data
    classes, _ = encode_labels(rows.given_labels(y))
    rank = X.ndim
    if rank not in (2, 4):
        raise ValueError(
            "There is a default network for X of shape (n_samples, n_features) or (n_samples, "
            f"n_channels, height, width); this X has {rank} dimension(s). Pass estimator, a skorch "
            "net that fits your data, or reshape X."
        )
    if rank == 4 and X.shape[3] in (1, 3, 4) and X.shape[1] not in (1, 3, 4):
        warn_caller(
            f"X of shape {X.shape} is taken as {X.shape[1]} channels; if the last axis holds the "
            "channels, pass np.moveaxis(X, 3, 1)."
        )
    module, settings = (
        (MLP, {"n_inputs": X.shape[1], "hidden_units": (256, 128)})
        if rank == 2
        else (ConvNet, {"n_channels": X.shape[1]})
    )
    scaler = StandardScaler()  # leaves (nearly) constant features alone
    # The network refuses a scale that is not finite.
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(X), _BLOCK_ROWS):
            block = np.asarray(X[start : start + _BLOCK_ROWS], dtype=np.float64)
            flat = block if rank == 2 else np.moveaxis(block, 1, 3).reshape(-1, X.shape[1])
            scaler.partial_fit(flat)
    return NeuralNetClassifier(
        module,
        module__n_outputs=len(classes),
        module__mean=scaler.mean_,
        module__scale=scaler.scale_,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.SGD,
        optimizer__momentum=0.9,
        lr=0.02,
        batch_size=32,
        max_epochs=20,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
        **{f"module__{name}": value for name, value in settings.items()},
    )


def untrained_net(estimator: Any, X: Rows, y: Any, owner: Any) -> NeuralNet:
    """Return the net that `estimator` is, or makes for checked rows; None makes a default one.

    The `owner` is what it was given to, of which an error speaks.
    """
    if estimator is None:
        if y is None and isinstance(X, ArrayRows):
            raise ValueError(
                f"{type(owner).__name__} requires y to be passed, but the target y is None."
            )
        return _network_for(X, y)
    return estimator._net_for(X, y) if isinstance(estimator, StandsForNet) else estimator
