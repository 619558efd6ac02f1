# SPDX-License-Identifier: BSD-3-Clause
"""The toy data has the geometry that its docstring promises."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm

from sklearn_difficulty.datasets import make_gaussian_toy


def test_shapes_and_dtypes():
    X, y, distance = make_gaussian_toy(random_state=0)
    assert X.shape == (500, 2)
    assert y.shape == distance.shape == (500,)
    assert (X.dtype, y.dtype, distance.dtype) == (np.float32, np.int64, np.float64)


@pytest.mark.parametrize(("n_samples", "counts"), [(2, [1, 1]), (10, [5, 5]), (11, [6, 5])])
def test_balanced_and_shuffled(n_samples, counts):
    _, y, _ = make_gaussian_toy(n_samples, random_state=0)
    assert_array_equal(np.bincount(y), counts)
    _, y, _ = make_gaussian_toy(200, random_state=0)
    assert 20 < (np.diff(y) != 0).sum() < 180


def test_distance_is_perpendicular_to_the_line_between_the_classes():
    X, _, distance = make_gaussian_toy(random_state=0)
    # The mirror image in the boundary is twice the distance away.
    mirrored = X.astype(np.float64) * [-1, 1]
    assert_allclose(np.linalg.norm(X - mirrored, axis=1), 2 * distance, rtol=1e-12)
    assert (distance >= 0).all()


@pytest.mark.parametrize("separation", [1.0, 3.0, 6.0])
def test_unit_gaussians_so_far_apart(separation):
    X, y, _ = make_gaussian_toy(40_000, separation=separation, random_state=0)
    for label, centre in ((0, -separation / 2), (1, separation / 2)):
        members = X[y == label]
        assert_allclose(members.mean(axis=0), [centre, 0], atol=0.03)
        assert_allclose(np.cov(members.T), np.eye(2), atol=0.04)
    # The boundary makes as many errors as Bayes allows.
    error = np.mean((X[:, 0] > 0) != y)
    assert_allclose(error, norm.cdf(-separation / 2), atol=0.008)


def test_repeatable():
    first, again = make_gaussian_toy(random_state=3), make_gaussian_toy(random_state=3)
    for a, b in zip(first, again, strict=True):
        assert_array_equal(a, b)
    assert (make_gaussian_toy(random_state=4)[0] != first[0]).any()
    state = np.random.RandomState(3)
    assert_array_equal(make_gaussian_toy(random_state=state)[0], first[0])
    assert (make_gaussian_toy(random_state=state)[0] != first[0]).any()


@pytest.mark.parametrize("n_samples", [1, 0, -5, 10.5])
def test_n_samples_out_of_range(n_samples):
    with pytest.raises(ValueError, match="'n_samples' parameter"):
        make_gaussian_toy(n_samples)


@pytest.mark.parametrize("separation", [0, -1.0, np.inf, np.nan])
def test_separation_out_of_range(separation):
    with pytest.raises(ValueError, match="'separation' parameter"):
        make_gaussian_toy(separation=separation)
