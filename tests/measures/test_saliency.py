# SPDX-License-Identifier: BSD-3-Clause
"""Saliency against contributions that are formed one by one, and against closed forms."""

from itertools import product

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import ortho_group

from sklearn_difficulty.measures import combine_saliency_maps, saliency_map

VARIANTS = ("bias", "scaling", "conv1x1", "conv3x3", "depthwise3x3")
AGGREGATIONS = ("norm", "sum", "max", "filtered_norm")
RNG = np.random.default_rng(0)
X, G = RNG.normal(size=(2, 3, 4, 5, 6))
AGGREGATE = {
    "norm": np.linalg.norm,
    "sum": np.sum,
    "max": np.max,
    "filtered_norm": lambda c: np.linalg.norm(np.maximum(c, 0)),
}


def contributions(x, g, variant, u):
    """Return what location u of one row (channels first) adds to the imaginary weights."""
    if variant == "bias":
        return g[(slice(None), *u)]
    windows = [
        tuple(a + b for a, b in zip(u, step, strict=True))
        for step in product((-1, 0, 1), repeat=len(u))
    ]
    if variant in ("scaling", "conv1x1"):
        windows = [u]
    inside = [all(0 <= a < n for a, n in zip(v, x.shape[1:], strict=True)) for v in windows]
    values = np.stack(
        [
            x[(slice(None), *v)] if i else np.zeros(len(x))
            for v, i in zip(windows, inside, strict=True)
        ]
    )
    of_u = g[(slice(None), *u)]
    if variant in ("scaling", "depthwise3x3"):
        return values * of_u
    return values[:, :, None] * of_u


def one_by_one(X, G, variant, aggregation):
    maps = np.empty((len(X), *X.shape[2:]))
    for i, *u in np.ndindex(maps.shape):
        found = contributions(X[i], G[i], variant, tuple(u))
        maps[(i, *u)] = AGGREGATE[aggregation](found)
    return maps


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    "part", [np.s_[:], np.s_[..., 0], np.s_[..., 0, 0], np.s_[:, :1]], ids=["2d", "1d", "0d", "1"]
)
def test_equals_contributions_formed_one_by_one(variant, aggregation, part):
    x, g = X[part], G[part]
    found = saliency_map(x, g, variant=variant, aggregation=aggregation)
    assert_allclose(found, one_by_one(x, g, variant, aggregation), atol=1e-14)
    last = (np.moveaxis(values, 1, -1) for values in (x, g))
    assert_array_equal(
        saliency_map(*last, variant=variant, aggregation=aggregation, channel_axis=-1), found
    )


def test_norm_of_an_outer_product_is_the_product_of_norms():
    found = saliency_map(X, G)
    lengths = np.linalg.norm(X, axis=1) * np.linalg.norm(G, axis=1)
    assert_allclose(found, lengths, rtol=1e-15)
    nothing = saliency_map(X * [[[1]], [[0]], [[0]], [[0]]], G * [[[0]], [[1]], [[1]], [[1]]])
    assert (nothing > 0).all()  # a length, and no inner product
    assert (saliency_map(0 * X, G) == 0).all()
    assert (saliency_map(X, 0 * G) == 0).all()
    assert (found > 0).all()


def test_bounds_between_variants():
    norm = saliency_map(X, G)
    scaling = saliency_map(X, G, variant="scaling")
    linear = saliency_map(X, G, variant="scaling", aggregation="sum")
    assert (norm >= scaling).all()
    assert (norm >= abs(linear)).all()
    assert (saliency_map(X, G, variant="conv3x3") >= norm).all()
    # The sum of the diagonals is the trace of the weight gradient; norms add up to no less.
    gradient = np.einsum("ncij,ndij->ncd", G, X)
    assert_allclose(np.trace(gradient, axis1=1, axis2=2), linear.sum(axis=(1, 2)))
    assert (np.linalg.norm(gradient, axis=(1, 2)) <= norm.sum(axis=(1, 2))).all()
    whole = saliency_map(X, G, aggregation="sum")
    assert_allclose(whole, X.sum(axis=1) * G.sum(axis=1))
    positive = saliency_map(abs(X), G, aggregation="filtered_norm")
    lengths = np.linalg.norm(X, axis=1) * np.linalg.norm(np.maximum(G, 0), axis=1)
    assert_allclose(positive, lengths)


def test_what_changes_no_saliency():
    norm = saliency_map(X, G)
    assert_allclose(saliency_map(-3 * X, G / 3), norm)
    rotation = ortho_group.rvs(4, random_state=0)
    turned = [np.einsum("cd,ndij->ncij", rotation, values) for values in (X, G)]
    assert_allclose(saliency_map(*turned), norm)
    scale = np.array([1.0, 2, 4, 8])[:, None, None]
    scaling = saliency_map(X, G, variant="scaling")
    assert_allclose(saliency_map(X * scale, G / scale, variant="scaling"), scaling)
    assert not np.allclose(saliency_map(X * scale, G / scale), norm)
    bias = saliency_map(X, G, variant="bias")
    assert not np.allclose(saliency_map(-3 * X, G / 3, variant="bias"), bias)


def test_sign_of_the_gradient():
    for variant, aggregation in product(VARIANTS, AGGREGATIONS):
        settings = {"variant": variant, "aggregation": aggregation}
        found, turned = (saliency_map(X, g, **settings) for g in (G, -G))
        assert np.allclose(found, turned) is (aggregation == "norm")


def test_rows_that_are_not_finite_are_nan():
    x = X.copy()
    x[0, 1, 2, 3], x[1] = np.nan, 1e200
    for aggregation in AGGREGATIONS:
        found = saliency_map(x, G * 1e200, aggregation=aggregation)
        assert np.isnan(found[0, 2, 3])
        assert np.isnan(found[1]).all()
        assert np.isnan(found).sum() == (31 if aggregation in ("sum", "max") else 90)


MAPS = [RNG.uniform(size=(5, 8, 6)), RNG.uniform(size=(5, 4, 3)), RNG.uniform(size=(5, 2, 3))]


@pytest.mark.parametrize("size", [(8, 6), (11, 3), (2, 2), (1, 1)])
@pytest.mark.parametrize("n_axes", [1, 2, 3])
def test_interpolation_is_that_of_torch(n_axes, size):
    size = (*size, 5)[:n_axes]
    maps = RNG.uniform(size=(3, *(7, 4, 2)[:n_axes]))
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[n_axes]
    resized = torch.nn.functional.interpolate(
        torch.from_numpy(maps)[:, None], size, mode=mode, align_corners=False
    )[:, 0].numpy()
    low, high = (end(resized.reshape(3, -1), axis=1) for end in (np.min, np.max))
    found = combine_saliency_maps([maps], shape=size)
    if low[0] == high[0]:
        assert (found == 0).all()
        return
    low, high = (end.reshape(3, *[1] * n_axes) for end in (low, high))
    assert_allclose(found, (resized - low) / (high - low), atol=1e-12)


def test_scaled_after_interpolation():
    found = combine_saliency_maps(MAPS[1:2], shape=(8, 6))
    assert_array_equal(found.min(axis=(1, 2)), 0)
    assert_array_equal(found.max(axis=(1, 2)), 1)
    # Both ends of a coarse map may fall between the locations of an odd multiple; here the centre.
    assert_array_equal(combine_saliency_maps([[[0.0, 1.0, 4.0]]], shape=(2,)), [[0, 1]])


@pytest.mark.parametrize("combine", ["product", "geometric", "sum"])
def test_combinations(combine):
    settings = {"shape": (8, 6), "combine": combine}
    alone = [combine_saliency_maps([m], **settings) for m in MAPS]
    found = combine_saliency_maps(MAPS, **settings)
    expected = {
        "product": np.prod(alone, axis=0),
        "geometric": np.prod(alone, axis=0) ** (1 / 3),
        "sum": np.mean(alone, axis=0),
    }[combine]
    assert_allclose(found, expected, atol=1e-12)
    assert found.shape == (5, 8, 6)
    assert (found >= 0).all()
    assert (found <= 1).all()
    for i, one in enumerate(np.eye(3)):
        assert_allclose(combine_saliency_maps(MAPS, weights=one, **settings), alone[i])
    weights = np.array([1.0, 2, 5])
    some = combine_saliency_maps(MAPS, weights=weights, **settings)
    assert not np.allclose(some, found)
    for factor in (1e-3, 7, 1e307):
        assert_allclose(combine_saliency_maps(MAPS, weights=weights * factor, **settings), some)
    if combine != "sum":
        assert (found == 0).any(axis=(1, 2)).all()
    if combine != "product":
        assert_allclose(combine_saliency_maps([MAPS[0]] * 4, **settings), alone[0], atol=1e-12)


def test_geometric_is_at_most_the_sum():
    for weights in (None, [1, 2, 5], [0, 1, 1]):
        geometric, total = (
            combine_saliency_maps(MAPS, combine=c, weights=weights) for c in ("geometric", "sum")
        )
        assert (geometric <= total + 1e-12).all()


@pytest.mark.parametrize("combine", ["product", "geometric", "sum"])
def test_constant_and_undefined_maps(combine):
    maps = [m.copy() for m in MAPS]
    maps[0][1] = 3.0
    for m in maps:
        m[2] = 0.0
    maps[1][3, 0, 0] = np.nan
    maps[2][4, 0, 0] = np.inf
    found = combine_saliency_maps(maps, combine=combine)
    without = combine_saliency_maps([*maps[1:]], combine=combine, shape=(8, 6))
    assert_allclose(found[1], without[1])
    assert_array_equal(found[2], 0)
    assert np.isnan(found[3:]).all()
    assert np.isfinite(found[:3]).all()
    # What has no weight cannot spoil a row.
    spared = combine_saliency_maps(maps, combine=combine, weights=[1, 0, 0])
    assert np.isfinite(spared).all()
    assert_array_equal(spared[1], 0)


def test_rounding_of_a_constant_map_is_no_map():
    noise = np.random.default_rng(0).normal(size=MAPS[0].shape)
    for size in (1.0, 1e-30, -1e30):
        flat = size * (1 + 1e-7 * noise)
        assert_array_equal(combine_saliency_maps([flat]), 0)
        assert_allclose(
            combine_saliency_maps([flat, MAPS[1]]),
            combine_saliency_maps([MAPS[1]], shape=flat.shape[1:]),
        )
    assert combine_saliency_maps([1 + 1e-4 * noise]).max() == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: saliency_map(X, G[:2]), "must have the same shape"),
        (lambda: saliency_map(X[:, 0, 0, 0], X[:, 0, 0, 0]), "must have the same shape"),
        (lambda: saliency_map(X[:, :0], G[:, :0]), "at least one channel"),
        (lambda: saliency_map(X, G, channel_axis=0), "'channel_axis' parameter"),
        (lambda: saliency_map(X, G, channel_axis=4), "'channel_axis' parameter"),
        (lambda: saliency_map(X, G, variant="conv5x5"), "'variant' parameter"),
        (lambda: saliency_map(X, G, aggregation="mean"), "'aggregation' parameter"),
        (lambda: combine_saliency_maps([]), "at least one array"),
        (lambda: combine_saliency_maps([MAPS[0], MAPS[1][:2]]), "same number of rows"),
        (lambda: combine_saliency_maps([MAPS[0], MAPS[1][..., 0]]), "of axes"),
        (lambda: combine_saliency_maps([MAPS[0][:, :0]]), "with locations"),
        (lambda: combine_saliency_maps(MAPS, shape=(8,)), "'shape' parameter"),
        (lambda: combine_saliency_maps(MAPS, shape=(8, 0)), "'shape' parameter"),
        (lambda: combine_saliency_maps(MAPS, combine="mean"), "'combine' parameter"),
        (lambda: combine_saliency_maps(MAPS, weights=[1, 2]), "weights must hold 3"),
        (lambda: combine_saliency_maps(MAPS, weights=[1, 2, -1]), "weights must hold 3"),
        (lambda: combine_saliency_maps(MAPS, weights=[0, 0, 0]), "one is positive"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
