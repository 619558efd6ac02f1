# SPDX-License-Identifier: BSD-3-Clause
"""What each location adds to the weight gradient of a layer, reduced to one number.

The formulas of the imaginary layers stand in NumPy in `measures.saliency`, which is the reference;
a test holds the two together. The contributions are products of an activation in the window of the
layer's kernel and a gradient at its output, within each group of channels; only sums and extremes
of the factors are computed, never the products.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.conv import _ConvNd

from ..networks.heads import at_least_single

VARIANTS = ("bias", "scaling", "conv1x1", "conv3x3", "depthwise3x3", "layer")
AGGREGATIONS = ("norm", "sum", "max", "filtered_norm")
_SMALL = 1e-12  # a gradient; its square is far from the smallest number in single precision


class _Window(NamedTuple):
    """Where the kernel of a layer looks from each location."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: list[int]  # as in torch.nn.functional.pad
    padding_mode: str

    def pad(self, x: torch.Tensor) -> torch.Tensor:
        """Return x with its margins."""
        return F.pad(x, self.padding, mode=self.padding_mode)

    def sum(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum (n, groups, ...) over the window, of x with its margins."""
        convolve = (F.conv1d, F.conv2d, F.conv3d)[len(self.kernel) - 1]
        single = x.reshape(-1, 1, *x.shape[2:])
        ones = x.new_ones(1, 1, *self.kernel)
        total = convolve(single, ones, stride=self.stride, dilation=self.dilation)
        return total.reshape(*x.shape[:2], *total.shape[2:])

    def max(self, x: torch.Tensor) -> torch.Tensor:
        """Return the largest value (n, groups, ...) in the window, of x with its margins."""
        pool: Any = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[len(self.kernel) - 1]
        return pool(x, self.kernel, stride=self.stride, dilation=self.dilation)


def contribution_map(
    x: torch.Tensor,
    g: torch.Tensor,
    *,
    variant: str,
    aggregation: str,
    layer: nn.Module | None = None,
) -> torch.Tensor:
    """Return the saliency (n, ...) of locations, in single precision at least.

    Parameters
    ----------
    x : torch.Tensor of shape (n, n_channels, ...)
        Activations: the output of a site, for the variant "layer" the input of `layer`.
    g : torch.Tensor of shape (n, n_outputs, ...)
        The gradient at the site.
    """
    x, g = at_least_single(x), at_least_single(g)
    if variant == "bias":
        x = torch.ones_like(g[:, :1])
    groups, window = _groups(variant, x, layer), _window(variant, x, layer)
    saliency = _aggregated(x, g, groups, window, aggregation)
    flat = g.flatten(1)
    size = torch.maximum(flat.amax(dim=1), -flat.amin(dim=1))
    small = ((size > 0) & (size < _SMALL)).nonzero()[:, 0]
    if len(small):  # squares of the small gradients of a confident network would vanish
        size = size[small].reshape(-1, *[1] * (g.ndim - 1))
        scaled = _aggregated(x[small], g[small] / size, groups, window, aggregation)
        saliency[small] = scaled * size[:, 0]
    return saliency


def _groups(variant: str, x: torch.Tensor, layer: nn.Module | None) -> int:
    """Return in how many groups the channels are, between which there are no weights."""
    if variant in ("scaling", "depthwise3x3"):
        return x.shape[1]
    return layer.groups if variant == "layer" and isinstance(layer, _ConvNd) else 1


def _window(variant: str, x: torch.Tensor, layer: nn.Module | None) -> _Window | None:
    """Return the window of a layer's kernel, None if it is a single location."""
    n_axes = x.ndim - 2
    if variant == "layer" and isinstance(layer, _ConvNd):
        mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
        padding = list(layer._reversed_padding_repeated_twice)
        return _Window(layer.kernel_size, layer.stride, layer.dilation, padding, mode)
    if variant not in ("conv3x3", "depthwise3x3") or not n_axes:
        return None
    one = (1,) * n_axes
    return _Window((3,) * n_axes, one, one, [1] * 2 * n_axes, "constant")


def _aggregated(
    x: torch.Tensor, g: torch.Tensor, groups: int, window: _Window | None, aggregation: str
) -> torch.Tensor:
    """Return the aggregate (n, ...) of all products within groups and windows."""
    if window is not None:
        x = window.pad(x)
    x, g = (values.reshape(len(values), groups, -1, *values.shape[2:]) for values in (x, g))

    def in_window(values: torch.Tensor) -> torch.Tensor:
        return values if window is None else window.sum(values)

    def squares(values: torch.Tensor) -> torch.Tensor:
        return values.square().sum(dim=2)  # on a CPU five times as fast as a norm over channels

    if aggregation == "sum":
        return (in_window(x.sum(dim=2)) * g.sum(dim=2)).sum(dim=1)
    if aggregation == "norm":
        return (in_window(squares(x)) * squares(g)).sum(dim=1).sqrt()
    if aggregation == "filtered_norm":  # a product is positive if both factors are, or neither
        both = in_window(squares(x.clamp(min=0))) * squares(g.clamp(min=0))
        neither = in_window(squares(x.clamp(max=0))) * squares(g.clamp(max=0))
        return (both + neither).sum(dim=1).sqrt()
    high, low = x.amax(dim=2), x.amin(dim=2)
    if window is not None:
        high, low = window.max(high), -window.max(-low)
    ends = [a * b for a in (high, low) for b in (g.amax(dim=2), g.amin(dim=2))]
    return torch.stack(ends).amax(dim=(0, 2))
