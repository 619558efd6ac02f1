# SPDX-License-Identifier: BSD-3-Clause
"""Networks: the small ones that ``estimator=None`` stands for.

Each standardises its input inside the module, so that raw features can be passed, and keeps its
constructor arguments in `config`, so that a saved record can be read without its code.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from torch import nn

_BLOCK_ROWS = 4096  # of the pass over X, which may be a memory map

__all__ = ["MLP", "ConvNet", "default_network"]


class Standardize(nn.Module):
    """Subtract a mean and divide by a scale, per feature or channel.

    Parameters
    ----------
    shape : tuple of int
        Shape of both, broadcast against a batch.
    mean, scale : array-like, default=None
        None for 0 and 1.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, shape: tuple[int, ...], mean: Any = None, scale: Any = None) -> None:
        super().__init__()
        for name, value, neutral in (("mean", mean, 0.0), ("scale", scale, 1.0)):
            filled = np.full(shape, neutral) if value is None else np.reshape(value, shape)
            self.register_buffer(name, torch.tensor(filled, dtype=torch.float32))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the standardised input, in floating point also for integers."""
        return (x.to(self.mean.dtype) - self.mean) / self.scale


class StandardizedNetwork(nn.Module):
    """A network whose submodule `standardize` sees the input first.

    Gradients are taken behind it unless told otherwise, so that the units of features do not
    matter; and `config` holds the constructor arguments of a saved network.
    """

    standardize: Standardize
    config: dict[str, Any]


class MLP(StandardizedNetwork):
    """A multilayer perceptron with ReLU activations and standardised input.

    Parameters
    ----------
    n_inputs : int
        Features a row.
    n_outputs : int
        Columns of the output, one logit per class.
    hidden_units : sequence of int, default=(256, 128)
        Width of every hidden layer.
    mean, scale : array-like of shape (n_inputs,), default=None
        What the input is standardised by; None leaves it as it is.

    See Also
    --------
    default_network : The skorch net that is used when none is given.

    Examples
    --------
    >>> import torch
    >>> from sklearn_difficulty.training import MLP
    >>> MLP(64, 10)(torch.zeros(5, 64)).shape
    torch.Size([5, 10])
    """

    def __init__(
        self,
        n_inputs: int,
        n_outputs: int,
        hidden_units: Sequence[int] = (256, 128),
        mean: Any = None,
        scale: Any = None,
    ) -> None:
        super().__init__()
        self.config = {
            "n_inputs": n_inputs,
            "n_outputs": n_outputs,
            "hidden_units": list(hidden_units),
        }
        self.standardize = Standardize((n_inputs,), mean, scale)
        widths = [n_inputs, *hidden_units]
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise(widths):
            layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], n_outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits of shape (n, n_outputs) for rows of shape (n, n_inputs)."""
        return self.layers(self.standardize(x))


class ConvNet(StandardizedNetwork):
    """Two convolutions, each followed by ReLU and pooling, and a linear layer.

    Parameters
    ----------
    n_channels : int
        Channels of the images.
    n_outputs : int
        Columns of the output, one logit per class.
    channels : sequence of two int, default=(32, 64)
        Channels after each convolution.
    mean, scale : array-like of shape (n_channels,), default=None
        What the input is standardised by; None leaves it as it is.

    See Also
    --------
    default_network : The skorch net that is used when none is given.

    Examples
    --------
    >>> import torch
    >>> from sklearn_difficulty.training import ConvNet
    >>> ConvNet(1, 10)(torch.zeros(5, 1, 28, 28)).shape
    torch.Size([5, 10])
    """

    def __init__(
        self,
        n_channels: int,
        n_outputs: int,
        channels: Sequence[int] = (32, 64),
        mean: Any = None,
        scale: Any = None,
    ) -> None:
        super().__init__()
        self.config = {
            "n_channels": n_channels,
            "n_outputs": n_outputs,
            "channels": list(channels),
        }
        first, second = channels
        self.standardize = Standardize((n_channels, 1, 1), mean, scale)
        self.layers = nn.Sequential(
            nn.Conv2d(n_channels, first, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2, ceil_mode=True),
            nn.Conv2d(first, second, 3, padding=1),
            nn.ReLU(),
            # A fixed grid, so that images of any size fit the linear layer.
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(16 * second, n_outputs),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (n, n_outputs) for images of shape (n, n_channels, height, width)."""
        return self.layers(self.standardize(x))


ARCHITECTURES: dict[str, type[nn.Module]] = {"MLP": MLP, "ConvNet": ConvNet}


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
    >>> net = default_network(X, y).set_params(max_epochs=5, module__hidden_units=(32,))
    >>> VoGScorer(net, random_state=0).fit(X, y).difficulty_.shape
    (178,)
    """
    X = np.asanyarray(X)
    rank = X.ndim
    if rank not in (2, 4):
        raise ValueError(
            "There is a default network for X of shape (n_samples, n_features) or (n_samples, "
            f"n_channels, height, width); this X has {rank} dimension(s). Pass estimator, a skorch "
            "net that fits your data, or reshape X."
        )
    if rank == 4 and X.shape[3] in (1, 3, 4) and X.shape[1] not in (1, 3, 4):
        warnings.warn(
            f"X of shape {X.shape} is taken as {X.shape[1]} channels; if the last axis holds the "
            "channels, pass np.moveaxis(X, 3, 1).",
            stacklevel=2,
        )
    module, size = (MLP, "n_inputs") if rank == 2 else (ConvNet, "n_channels")
    scaler = StandardScaler()  # leaves (nearly) constant features alone
    for start in range(0, len(X), _BLOCK_ROWS):
        rows = np.asarray(X[start : start + _BLOCK_ROWS], dtype=np.float64)
        scaler.partial_fit(rows if rank == 2 else np.moveaxis(rows, 1, 3).reshape(-1, X.shape[1]))
    return NeuralNetClassifier(
        module,
        module__n_outputs=len(np.unique(np.asarray(y))),
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
        **{f"module__{size}": X.shape[1]},
    )
