# SPDX-License-Identifier: BSD-3-Clause
"""The networks of the papers: VGG16 and ResNet18."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from .._parameters import check_parameters
from .small import SIZE, Standardize, StandardizedNetwork, checked_widths

__all__ = ["VGG16", "ResNet18"]


class VGG16(StandardizedNetwork):
    """VGG16 for small images: 13 convolutions and one linear layer, without normalisation.

    Parameters
    ----------
    n_channels : int
        Channels of the images.
    n_outputs : int
        Columns of the output, one logit per class.
    channels : sequence of five int, default=(64, 128, 256, 512, 512)
        Channels of the convolutions of each stage.
    mean, scale : array-like of shape (n_channels,), default=None
        What the input is standardised by; None leaves it as it is.

    See Also
    --------
    ResNet18 : Residual blocks with normalisation.
    ConvNet : Two convolutions only.

    Notes
    -----
    As in Baldock et al. (appendix A.2.2) there is neither batch normalisation nor dropout, and the
    three dense layers are left out: the last maps are averaged over the image. Stages of 2, 2, 3, 3
    and 3 padded 3x3 convolutions, each followed by ReLU, end in max pooling by 2, of the odd row at
    the border too, so that images of any size pass. At the default size, with 3 channels and 10
    outputs, there are 14,719,818 parameters.

    The initialisation is He's, with half of the variance moved to the centres of the kernels:
    images of 8x8 shrink to maps of one pixel, where the rest of a kernel sees only padding. Without
    normalisation the loss jumps at learning rates that `ResNet18` bears.

    References
    ----------
    R. Baldock, H. Maennel, B. Neyshabur, "Deep Learning Through the Lens of Example Difficulty",
    NeurIPS 2021, :arxiv:`2106.09647`.

    K. Simonyan, A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
    Recognition", ICLR 2015, :arxiv:`1409.1556`.

    Examples
    --------
    >>> import torch
    >>> from sklearn_difficulty.training import VGG16
    >>> VGG16(1, 10, channels=(8, 8, 16, 16, 16))(torch.zeros(5, 1, 28, 28)).shape
    torch.Size([5, 10])
    """

    def __init__(
        self,
        n_channels: int,
        n_outputs: int,
        channels: Sequence[int] = (64, 128, 256, 512, 512),
        mean: Any = None,
        scale: Any = None,
    ) -> None:
        super().__init__()
        check_parameters("VGG16", n_channels=(n_channels, SIZE), n_outputs=(n_outputs, SIZE))
        n_channels, n_outputs = int(n_channels), int(n_outputs)
        channels = checked_widths("channels", channels, 5)
        self.config = {"n_channels": n_channels, "n_outputs": n_outputs, "channels": channels}
        self.standardize = Standardize((n_channels, 1, 1), mean, scale)
        layers: list[nn.Module] = []
        fan_in = n_channels
        for fan_out, n_convolutions in zip(channels, (2, 2, 3, 3, 3), strict=True):
            for _ in range(n_convolutions):
                layers += [nn.Conv2d(fan_in, fan_out, 3, padding=1), nn.ReLU()]
                fan_in = fan_out
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
        self.layers = nn.Sequential(
            *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(fan_in, n_outputs)
        )
        for layer in layers:
            if isinstance(layer, nn.Conv2d):
                _initialize_for_relu(layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (n, n_outputs) for images of shape (n, n_channels, height, width)."""
        return self.layers(self.standardize(x))


@torch.no_grad()
def _initialize_for_relu(convolution: nn.Conv2d) -> None:
    """Initialise a convolution so that rows stay apart behind many layers."""
    # Torch's default divides the variance by 6 a layer: rows then differ by 1e-7, and SGD stalls.
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    # On maps of one pixel only the centres see anything but padding.
    share = torch.full((3, 3), 0.75)
    share[1, 1] = math.sqrt(4.5)
    convolution.weight *= share
    assert convolution.bias is not None
    nn.init.zeros_(convolution.bias)


class WeightStandardizedConv2d(nn.Conv2d):
    """A convolution that sees its kernels with mean 0 and variance 1, per output channel."""

    def standardized_weight(self) -> torch.Tensor:
        """Return the kernels that are applied, of shape (out_channels, ...)."""
        shape = [self.in_channels // self.groups, *self.kernel_size]
        return nn.functional.layer_norm(self.weight, shape, eps=1e-10)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return the maps of a batch of images."""
        return self._conv_forward(input, self.standardized_weight(), self.bias)


class ResidualBlock(nn.Module):
    """Two normalised convolutions beside a shortcut; ReLU after their sum."""

    def __init__(self, fan_in: int, fan_out: int, stride: int, n_groups: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            *_normalized_convolution(fan_in, fan_out, 3, stride, n_groups),
            nn.ReLU(),
            *_normalized_convolution(fan_out, fan_out, 3, 1, n_groups),
        )
        self.shortcut = (
            nn.Identity()
            if fan_in == fan_out and stride == 1
            else nn.Sequential(*_normalized_convolution(fan_in, fan_out, 1, stride, n_groups))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return maps of shape (n, fan_out, ...)."""
        total = self.residual(x) + self.shortcut(x)
        return nn.functional.relu(total)


def _normalized_convolution(
    fan_in: int, fan_out: int, size: int, stride: int, n_groups: int
) -> tuple[nn.Module, nn.Module]:
    """Return a convolution and its group normalisation."""
    convolution = WeightStandardizedConv2d(
        fan_in, fan_out, size, stride=stride, padding=size // 2, bias=False
    )
    return convolution, nn.GroupNorm(n_groups, fan_out)


class ResNet18(StandardizedNetwork):
    """ResNet18 for small images, with group normalisation and standardised weights.

    Parameters
    ----------
    n_channels : int
        Channels of the images.
    n_outputs : int
        Columns of the output, one logit per class.
    channels : sequence of four int, default=(64, 128, 256, 512)
        Channels of the two blocks of each stage.
    n_groups : int, default=None
        Groups of channels of every normalisation, a divisor of all `channels`. None takes 32 at the
        default size and fewer in narrower networks, so that at least 16 channels a group remain in
        the last stage, whose maps may be single pixels.
    mean, scale : array-like of shape (n_channels,), default=None
        What the input is standardised by; None leaves it as it is.

    See Also
    --------
    VGG16 : Convolutions without normalisation.
    ConvNet : Two convolutions only.

    Notes
    -----
    As in Baldock et al. (appendix A.2.1): the ResNet18 for CIFAR10, whose first convolution is 3x3
    with stride 1 and without pooling, with group in place of batch normalisation and with
    standardised weights, following Kolesnikov et al., whose 32 groups are taken over. A row's
    output therefore does not depend on the other rows of its batch, in training mode neither. The
    eight blocks take the ReLU after the sum; stages 2 to 4 begin with stride 2 and a 1x1
    convolution in the shortcut. At the default size, with 3 channels and 10 outputs, there are
    11,173,962 parameters.

    References
    ----------
    R. Baldock, H. Maennel, B. Neyshabur, "Deep Learning Through the Lens of Example Difficulty",
    NeurIPS 2021, :arxiv:`2106.09647`.

    A. Kolesnikov, L. Beyer, X. Zhai, J. Puigcerver, J. Yung, S. Gelly, N. Houlsby, "Big Transfer
    (BiT): General Visual Representation Learning", ECCV 2020, :arxiv:`1912.11370`.

    Examples
    --------
    >>> import torch
    >>> from sklearn_difficulty.training import ResNet18
    >>> ResNet18(1, 10, channels=(8, 8, 16, 16))(torch.zeros(5, 1, 28, 28)).shape
    torch.Size([5, 10])
    """

    def __init__(
        self,
        n_channels: int,
        n_outputs: int,
        channels: Sequence[int] = (64, 128, 256, 512),
        n_groups: int | None = None,
        mean: Any = None,
        scale: Any = None,
    ) -> None:
        super().__init__()
        check_parameters(
            "ResNet18",
            n_channels=(n_channels, SIZE),
            n_outputs=(n_outputs, SIZE),
            n_groups=(n_groups, [*SIZE, None]),
        )
        n_channels, n_outputs = int(n_channels), int(n_outputs)
        first, *_, last = channels = checked_widths("channels", channels, 4)
        if n_groups is None:
            n_groups = math.gcd(32, max(1, last // 16), *channels)
        n_groups = int(n_groups)
        if any(width % n_groups for width in channels):
            raise ValueError(f"n_groups must divide all of channels, {channels}; got {n_groups}.")
        self.config = {
            "n_channels": n_channels,
            "n_outputs": n_outputs,
            "channels": channels,
            "n_groups": n_groups,
        }
        self.standardize = Standardize((n_channels, 1, 1), mean, scale)
        self.stem = nn.Sequential(
            *_normalized_convolution(n_channels, first, 3, 1, n_groups), nn.ReLU()
        )
        blocks: list[nn.Module] = []
        fan_in = first
        for fan_out, stride in zip(channels, (1, 2, 2, 2), strict=True):
            blocks += [
                ResidualBlock(fan_in, fan_out, stride, n_groups),
                ResidualBlock(fan_out, fan_out, 1, n_groups),
            ]
            fan_in = fan_out
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(last, n_outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (n, n_outputs) for images of shape (n, n_channels, height, width)."""
        return self.head(self.blocks(self.stem(self.standardize(x))))
