# SPDX-License-Identifier: BSD-3-Clause
"""Networks: the small ones that ``estimator=None`` stands for, and those of prediction depth.

Each standardises its input inside the module, so that raw features can be passed, and keeps its
constructor arguments in `config`, so that a saved record can be read without its code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval
from torch import nn

from .._arrays import as_floats
from .._parameters import check_parameters

__all__ = ["MLP", "ConvNet"]

SIZE: list[Any] = [Interval(Integral, 1, None, closed="left")]


class Standardize(nn.Module):
    """Subtract a mean and divide by a scale, per feature or channel; None stands for 0 and 1."""

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, shape: tuple[int, ...], mean: Any = None, scale: Any = None) -> None:
        super().__init__()
        for name, value, neutral in (("mean", mean, 0.0), ("scale", scale, 1.0)):
            filled = np.full(shape, neutral) if value is None else _filled(value, name, shape)
            self.register_buffer(name, torch.tensor(filled, dtype=torch.float32))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the standardised input, in floating point also for integers."""
        return (x.to(self.mean.dtype) - self.mean) / self.scale


class Restore(nn.Module):
    """Multiply by a scale and add a center, per output: the units of the targets."""

    center: torch.Tensor
    scale: torch.Tensor

    def __init__(self, n_outputs: int, center: Any = None, scale: Any = None) -> None:
        super().__init__()
        for name, value, neutral in (("center", center, 0.0), ("scale", scale, 1.0)):
            numbers = as_floats(neutral if value is None else value, f"target_{name}")
            numbers = np.full(n_outputs, numbers) if numbers.ndim == 0 else numbers
            filled = _filled(numbers, f"target_{name}", (n_outputs,))
            self.register_buffer(name, torch.tensor(filled, dtype=torch.float32))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Return standardised outputs in the units of the targets."""
        return z * self.scale + self.center


def restoration(n_outputs: int, center: Any, scale: Any) -> list[Restore]:
    """Return what follows the last layer: nothing, unless the outputs are to be in other units."""
    return [] if center is None and scale is None else [Restore(n_outputs, center, scale)]


def _filled(value: Any, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return a mean or scale as an array of a shape, or raise if it cannot be one."""
    with np.errstate(over="ignore", under="ignore"):
        numbers = as_floats(value, name).astype(np.float32)
    is_usable = np.isfinite(numbers).all() and not ("scale" in name and (numbers == 0).any())
    if numbers.size != math.prod(shape) or not is_usable:
        of_what = "column of the outputs" if name.startswith("target") else "feature or channel"
        raise ValueError(
            f"{name} must hold {math.prod(shape)} finite number(s), one per {of_what}, and no 0 in "
            f"a scale; got {value!r}."
        )
    return numbers.reshape(shape)


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
        Columns of the output, one logit per class, or one value per target.
    hidden_units : sequence of int, default=(2048,) * 7
        Width of every hidden layer.
    mean, scale : array-like of shape (n_inputs,), default=None
        What the input is standardised by; None leaves it as it is.
    target_center, target_scale : float or array-like of shape (n_outputs,), default=None
        For a regressor: the last layer is multiplied by the scale and the center is added, so that
        what it has to learn is standardised, and outputs are in the units of the targets.

    See Also
    --------
    default_network : The skorch net that is used when none is given.
    VGG16, ResNet18 : The convolutional networks of the same paper.

    Notes
    -----
    The default widths are those of Baldock et al. (appendix A.2.3): 31,492,106 parameters for 3,072
    inputs and 10 outputs. ``default_network`` takes two layers, of 256 and 128 units.

    References
    ----------
    R. Baldock, H. Maennel, B. Neyshabur, "Deep Learning Through the Lens of Example Difficulty",
    NeurIPS 2021, :arxiv:`2106.09647`.

    Examples
    --------
    >>> import torch
    >>> from sklearn_difficulty.training import MLP
    >>> MLP(64, 10, hidden_units=(32, 16))(torch.zeros(5, 64)).shape
    torch.Size([5, 10])
    """

    def __init__(
        self,
        n_inputs: int,
        n_outputs: int,
        hidden_units: Sequence[int] = (2048,) * 7,
        mean: Any = None,
        scale: Any = None,
        target_center: Any = None,
        target_scale: Any = None,
    ) -> None:
        super().__init__()
        check_parameters("MLP", n_inputs=(n_inputs, SIZE), n_outputs=(n_outputs, SIZE))
        n_inputs, n_outputs = int(n_inputs), int(n_outputs)
        hidden_units = checked_widths("hidden_units", hidden_units)
        self.config = {
            "n_inputs": n_inputs,
            "n_outputs": n_outputs,
            "hidden_units": hidden_units,
        }
        self.standardize = Standardize((n_inputs,), mean, scale)
        restored = restoration(n_outputs, target_center, target_scale)
        if restored:
            self.config["target_scale"] = 1  # its values lie with the weights
        widths = [n_inputs, *hidden_units]
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise(widths):
            layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], n_outputs), *restored)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return outputs of shape (n, n_outputs) for rows of shape (n, n_inputs)."""
        return self.layers(self.standardize(x))


def checked_widths(name: str, widths: Any, n_stages: int | None = None) -> list[int]:
    """Return the widths of the stages, or raise if they are no such, or not so many."""
    is_list = isinstance(widths, (Sequence, np.ndarray)) and not isinstance(widths, (str, bytes))
    listed = list(widths) if is_list and np.ndim(widths) == 1 else [None]
    if not all(isinstance(width, Integral) and int(width) >= 1 for width in listed):
        raise ValueError(f"{name} must be a sequence of integers of at least 1; got {widths!r}.")
    if n_stages is not None and len(listed) != n_stages:
        raise ValueError(f"{name} must have {n_stages} widths, one per stage; got {widths}.")
    return [int(width) for width in listed if width is not None]


class ConvNet(StandardizedNetwork):
    """Two convolutions, each followed by ReLU and pooling, and a linear layer.

    Parameters
    ----------
    n_channels : int
        Channels of the images.
    n_outputs : int
        Columns of the output, one logit per class, or one value per target.
    channels : sequence of two int, default=(32, 64)
        Channels after each convolution.
    mean, scale : array-like of shape (n_channels,), default=None
        What the input is standardised by; None leaves it as it is.
    target_center, target_scale : float or array-like of shape (n_outputs,), default=None
        For a regressor: the last layer is multiplied by the scale and the center is added, so that
        what it has to learn is standardised, and outputs are in the units of the targets.

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
        target_center: Any = None,
        target_scale: Any = None,
    ) -> None:
        super().__init__()
        check_parameters("ConvNet", n_channels=(n_channels, SIZE), n_outputs=(n_outputs, SIZE))
        n_channels, n_outputs = int(n_channels), int(n_outputs)
        first, second = channels = checked_widths("channels", channels, 2)
        self.config = {"n_channels": n_channels, "n_outputs": n_outputs, "channels": channels}
        self.standardize = Standardize((n_channels, 1, 1), mean, scale)
        restored = restoration(n_outputs, target_center, target_scale)
        if restored:
            self.config["target_scale"] = 1  # its values lie with the weights
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
            *restored,
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return outputs (n, n_outputs) for images of shape (n, n_channels, height, width)."""
        return self.layers(self.standardize(x))
