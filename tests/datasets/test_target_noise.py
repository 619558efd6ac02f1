# SPDX-License-Identifier: BSD-3-Clause
"""Target noise: exact counts, errors as promised, and targets of every type."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_difficulty.datasets import make_target_noise

Y = np.round(np.exp(np.random.default_rng(0).normal(5, 1, size=400)), 2)
LEVELS = {"symmetric": 0.2, "gaussian": 30, "shift": 12.5, "unit": 2.54}


@pytest.mark.parametrize("rate", [0.0, 0.003, 0.1, 0.6, 1.0])
@pytest.mark.parametrize("kind", LEVELS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int64, np.uint32])
def test_the_count_is_exact_and_no_marked_row_keeps_its_target(kind, rate, dtype):
    y = Y.astype(dtype)
    level = rate if kind == "symmetric" else LEVELS[kind]
    given_rate = None if kind == "symmetric" else rate
    y_noisy, mask, error = make_target_noise(y, kind, level=level, rate=given_rate, random_state=0)
    assert mask.sum() == round(rate * 400)
    assert mask.dtype == bool
    assert y_noisy.dtype == y.dtype
    assert_array_equal(mask, y_noisy != y)
    assert_array_equal(error, y_noisy.astype(float) - y.astype(float))
    assert_array_equal(y, Y.astype(dtype))
    if kind in ("symmetric", "gaussian"):
        assert y_noisy.min() >= y.min()
        assert y_noisy.max() <= y.max()


@given(
    st.lists(st.integers(-3, 3), min_size=2, max_size=30).filter(lambda y: len(set(y)) > 1),
    st.sampled_from(["symmetric", "gaussian"]),
    st.floats(0, 1),
    st.sampled_from([int, float]),
    st.integers(0, 1000),
)
@settings(max_examples=200, deadline=None)
def test_the_mask_is_the_truth_among_few_values(y, kind, rate, dtype, seed):
    y = np.array(y, dtype=dtype)
    level = rate if kind == "symmetric" else 40
    y_noisy, mask, _ = make_target_noise(
        y, kind, level=level, rate=None if kind == "symmetric" else rate, random_state=seed
    )
    assert mask.sum() == round(rate * len(y))
    assert_array_equal(mask, y_noisy != y)
    if kind == "symmetric" or dtype is int:
        assert set(y_noisy) <= set(y)


@pytest.mark.parametrize("rate", [0.2, 0.4, 0.6, 0.8])
def test_symmetric_errors_of_balanced_ages_are_those_of_the_closed_form(rate):
    ages = np.repeat(np.arange(15, 67), 200)
    _, _, error = make_target_noise(ages, level=rate, random_state=0)
    assert_allclose(np.abs(error).mean(), rate * 53 / 3, rtol=0.03)


def test_symmetric_draws_every_other_row_equally_often():
    y = np.array([1, 1, 1, 2, 5, 5])
    drawn = np.array([make_target_noise(y, level=1, random_state=s)[0] for s in range(1200)])
    # A row of 1 may become 2 in one of three cases, a row of 2 becomes 1 in three of five.
    assert_allclose((drawn[:, 0] == 2).mean(), 1 / 3, atol=0.05)
    assert_allclose((drawn[:, 3] == 1).mean(), 3 / 5, atol=0.05)


def test_gaussian_spreads_are_uniform_up_to_the_level():
    y = np.r_[0.0, 1000.0, np.full(20_000, 500.0) + np.linspace(-1, 1, 20_000)]
    _, mask, error = make_target_noise(y, "gaussian", level=10, random_state=0)
    assert mask.all()
    # The variance of a uniform mixture of standard deviations of 10 to 100 is their mean square.
    assert_allclose(error[2:].std(), np.sqrt((100**3 - 10**3) / (3 * 90)), rtol=0.03)


def test_shift_and_unit_do_what_they_say():
    y_noisy, mask, error = make_target_noise(Y, "shift", level=-3, rate=0.1, random_state=0)
    assert_allclose(error[mask], -3)
    y_noisy, mask, _ = make_target_noise(Y, "unit", level=10, random_state=0)
    assert mask.sum() == 20
    assert_array_equal(y_noisy[mask], Y[mask] * 10)
    y_noisy, mask, _ = make_target_noise(np.arange(10), "unit", level=2.54, rate=0.9)
    assert_array_equal(y_noisy[1:], np.rint(np.arange(1, 10) * 2.54))
    assert not mask[0]


def test_columns_get_their_own_rows():
    y = np.c_[Y, -2 * Y + 7]
    y_noisy, mask, error = make_target_noise(y, "unit", level=10, rate=0.25, random_state=3)
    assert y_noisy.shape == mask.shape == error.shape == (400, 2)
    assert_array_equal(mask.sum(axis=0), [100, 100])
    assert not np.array_equal(mask[:, 0], mask[:, 1])
    assert_array_equal(mask, y_noisy != y)
    assert make_target_noise(Y[:, None], level=0.2)[0].shape == (400, 1)


def test_seeds_repeat():
    first, again, other = (make_target_noise(Y, level=0.3, random_state=s)[0] for s in (1, 1, 2))
    assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "pair", "level": 0.1}, "'kind' parameter of make_target_noise"),
        ({"level": 1.2}, "'level' parameter of make_target_noise"),
        ({"level": np.nan}, "'level' parameter of make_target_noise"),
        ({"level": 0.2, "rate": 0.2}, "rate has no use with kind='symmetric'"),
        ({"kind": "gaussian", "level": 0.3}, "'level' parameter of make_target_noise"),
        ({"kind": "shift", "level": 0}, "level=0 changes no target with kind='shift'"),
        ({"kind": "unit", "level": 1.0}, "level=1.0 changes no target"),
        ({"kind": "unit", "level": -10}, "'level' parameter of make_target_noise"),
        ({"kind": "unit", "level": 10, "rate": 1.5}, "'rate' parameter of make_target_noise"),
        ({"y": [1.0, np.nan, np.inf], "level": 0.2}, r"NaN or inf in 2 row\(s\), first \[1, 2\]"),
        ({"y": [True, False], "level": 0.2}, "make_label_noise"),
        ({"y": np.ones((2, 2, 2)), "level": 0.2}, r"got \(2, 2, 2\)"),
        ({"y": np.ones(10), "level": 0.2}, "only 0 would change"),
        ({"y": np.ones(10), "kind": "gaussian", "level": 9}, "only 0 would change"),
        ({"y": [0, 0, 0, 4], "kind": "unit", "level": 10, "rate": 0.5}, "only 1 would change"),
        ({"y": np.int8([5, 100]), "kind": "unit", "level": 10}, "row 1 would become 1000, .* int8"),
        ({"y": np.uint8([5, 100]), "kind": "shift", "level": -6}, "row 0 would become -1"),
        ({"y": np.float16([5, 9e3]), "kind": "unit", "level": 10}, "row 1 .* float16"),
    ],
)
def test_what_cannot_be_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_target_noise(**({"y": Y, "kind": "symmetric"} | arguments))


def test_no_rows():
    assert make_target_noise(np.empty(0), level=0.5)[0].shape == (0,)
    assert make_target_noise(np.empty(0), "gaussian", level=5)[0].shape == (0,)
