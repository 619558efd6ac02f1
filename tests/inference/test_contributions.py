# SPDX-License-Identifier: BSD-3-Clause
"""Contributions of locations in torch, against the reference and against autograd one by one."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn

from sklearn_difficulty.inference.contributions import AGGREGATIONS, VARIANTS, contribution_map
from sklearn_difficulty.measures import saliency_map

pytestmark = pytest.mark.usefixtures("one_thread", "seeded")
AGGREGATE = {
    "norm": np.linalg.norm,
    "sum": np.sum,
    "max": np.max,
    "filtered_norm": lambda c: np.linalg.norm(np.maximum(c, 0)),
}


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("variant", [v for v in VARIANTS if v != "layer"])
@pytest.mark.parametrize("shape", [(3, 4, 5, 6), (3, 4, 7), (3, 4), (2, 3, 3, 4, 2)])
def test_equals_the_reference(variant, aggregation, shape):
    x, g = np.random.default_rng(0).normal(size=(2, *shape))
    found = contribution_map(
        torch.from_numpy(x), torch.from_numpy(g), variant=variant, aggregation=aggregation
    )
    expected = saliency_map(x, g, variant=variant, aggregation=aggregation)
    assert_allclose(found.numpy(), expected, atol=1e-12)


LAYERS = {
    "3x3": (nn.Conv2d(4, 6, 3, padding=1), (4, 5, 6)),
    "no padding, stride, dilation": (nn.Conv2d(4, 6, 2, stride=2, dilation=2), (4, 7, 6)),
    "oblong": (nn.Conv2d(4, 6, (3, 1), padding=(2, 1), stride=(1, 2)), (4, 4, 5)),
    "same": (nn.Conv2d(2, 3, 4, padding="same"), (2, 4, 5)),
    "reflected": (nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"), (4, 5, 6)),
    "circular": (nn.Conv1d(4, 6, 3, padding=1, padding_mode="circular"), (4, 7)),
    "grouped": (nn.Conv2d(4, 6, 3, padding=1, groups=2), (4, 4, 5)),
    "depthwise": (nn.Conv2d(4, 8, 3, padding=1, groups=4), (4, 4, 5)),
    "1-d": (nn.Conv1d(4, 6, 3, stride=2), (4, 9)),
    "3-d": (nn.Conv3d(2, 3, 2, padding=1), (2, 3, 2, 3)),
    "1x1": (nn.Conv2d(4, 6, 1), (4, 5, 6)),
    "linear on tokens": (nn.Linear(4, 6), (7, 4)),
    "linear": (nn.Linear(4, 6), (4,)),
}


def by_autograd(layer, x, g, aggregation):
    """Return the aggregate of the gradient of the weight that one output location has alone."""
    is_linear = isinstance(layer, nn.Linear)
    maps = torch.empty(g.shape[:-1] if is_linear else (len(g), *g.shape[2:]))
    for i, *u in np.ndindex(*maps.shape):
        at = (0, *u) if is_linear else (0, slice(None), *u)
        of_row = (i, *at[1:])
        share = (layer(x[i : i + 1])[at] * g[of_row]).sum()
        [weight] = torch.autograd.grad(share, [layer.weight])
        maps[(i, *u)] = float(AGGREGATE[aggregation](weight.numpy()))
    return maps.double().numpy()


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("name", LAYERS)
def test_own_weights_of_layers(name, aggregation):
    layer, shape = LAYERS[name]
    layer = layer.double()
    x = torch.randn(2, *shape, dtype=torch.float64)
    g = torch.randn_like(layer(x))
    expected = by_autograd(layer, x, g, aggregation)
    if isinstance(layer, nn.Linear):
        x, g = x.movedim(-1, 1), g.movedim(-1, 1)
    found = contribution_map(x, g, variant="layer", aggregation=aggregation, layer=layer)
    assert_allclose(found.detach().numpy(), expected, rtol=1e-5, atol=1e-6)


def test_of_a_1x1_convolution_the_patch_is_the_location():
    layer, (_, *shape) = LAYERS["1x1"]
    x, g = torch.randn(2, 4, *shape), torch.randn(2, 6, *shape)
    found = contribution_map(x, g, variant="layer", aggregation="norm", layer=layer)
    assert_allclose(found, x.norm(dim=1) * g.norm(dim=1), rtol=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients_of_confident_networks_do_not_vanish(variant):
    layer = nn.Conv2d(4, 4, 1)
    x, g = torch.rand(2, 4, 3, 3), torch.rand(2, 4, 3, 3)
    large = contribution_map(x, g, variant=variant, aggregation="norm", layer=layer)
    small = contribution_map(x, g * 1e-30, variant=variant, aggregation="norm", layer=layer)
    assert_allclose(small * 1e30, large, rtol=1e-5)
    nothing = contribution_map(x, g * 0, variant=variant, aggregation="norm", layer=layer)
    assert (nothing == 0).all()


def test_half_precision_is_read_in_single():
    x, g = torch.rand(2, 4, 3, 3) * 300, torch.rand(2, 4, 3, 3)
    found = contribution_map(x.half(), g.half(), variant="conv1x1", aggregation="norm")
    assert found.dtype == torch.float32
    assert_allclose(found, x.norm(dim=1) * g.norm(dim=1), rtol=1e-2)
