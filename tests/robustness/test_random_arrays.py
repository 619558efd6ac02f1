# SPDX-License-Identifier: BSD-3-Clause
"""Arrays of any shape, type and content in the pure functions: values in range, or named errors."""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from robustness.entries import ENTRIES, PLAIN_FUNCTIONS
from robustness.outcomes import arrays_of, outcome_of

# Between which numbers a result lies, or a part of it; NaN is let pass. Where nothing is said here,
# it must only be finite.
RANGES = {
    "aleatoric_uncertainty": (0, 0.25),
    "calibrate_with_review.error_probability": (0, 1),
    "calibrate_with_review.noise_rate": (0, 1),
    "calibrate_with_review.cuts.precision": (0, 1),
    "calibrate_with_review.cuts.recall": (0, 1),
    "consensus_class": (-1, math.inf),
    "consensus_consistency": (0, 1),
    "consistency_score": (0, 1),
    "corner_distances": (0, math.sqrt(2)),
    "detection_report": (0, math.inf),
    "difficulty_quadrants": (-1, 3),
    "epoch_statistics.probability": (0, 1),
    "epoch_statistics.el2n": (0, math.sqrt(2)),
    "epoch_statistics.loss": (0, math.inf),
    "epoch_statistics.entropy": (0, math.inf),
    "error_rate_by_percentile.error_rate": (0, 1),
    "estimate_label_noise.error_probability": (0, 1),
    "estimate_label_noise.error_probability_bounds": (0, 1),
    "estimate_label_noise.suggested_probability": (0, 1),
    "estimate_label_noise.noise_rate": (0, 1),
    "estimate_label_noise.noise_matrix": (0, 1),
    "estimate_label_noise.class_dependence": (0, 1),
    "group_statistics.1": (0, math.inf),
    "high_influence_pairs.influence": (0.15, 1),
    "influence": (-1, 1),
    "iteration_learned": (0, math.inf),
    "lift_at_k": (0, math.inf),
    "mean_correctness": (0, 1),
    "memorization.memorization": (-1, 1),
    "memorization.p_in": (0, 1),
    "memorization.p_out": (0, 1),
    "noise_cuts.precision": (0, 1),
    "noise_cuts.recall": (0, 1),
    "precision_at_k": (0, 1),
    "recall_at_precision": (0, 1),
    "review_plan.weight": (1, math.inf),
    "variability": (0, 0.5),
    "variance_of_gradients": (0, math.inf),
}
OF_MODELS = {"make_label_noise", "default_network", "cross_val_difficulty", "benchmark_scorers"}
FUNCTIONS = {
    name: [n for n, value in plain.items() if isinstance(value, np.ndarray)]
    for name, plain in PLAIN_FUNCTIONS.items()
    if name not in OF_MODELS and any(isinstance(v, np.ndarray) for v in plain.values())
}
SIZES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
ANY_TYPE = st.one_of(
    hnp.scalar_dtypes(),
    hnp.unicode_string_dtypes(max_len=3),
    hnp.byte_string_dtypes(max_len=3),
    st.sampled_from([np.dtype(">f8"), np.dtype(">i4"), np.dtype("f16"), np.dtype("u8")]),
)
OBJECTS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.binary(max_size=2)
)


@st.composite
def any_array(draw, plain):
    """Draw an array of any shape and type, or of those of the plain one."""
    shape = draw(st.one_of(st.just(plain.shape), SIZES))
    dtype = draw(st.one_of(st.just(plain.dtype), ANY_TYPE, st.just(np.dtype(object))))
    if dtype.kind == "O":
        return draw(hnp.arrays(dtype, shape, elements=OBJECTS))
    if dtype == plain.dtype and dtype.kind in "fi" and draw(st.booleans()):
        low, high = (0, 1) if dtype.kind == "f" else (-1, 4)
        numbers = st.floats(low, high) if dtype.kind == "f" else st.integers(low, high)
        return draw(hnp.arrays(dtype, shape, elements=numbers))
    return draw(hnp.arrays(dtype, shape))


def check(name, changes):
    """Call a function with some arguments changed."""
    entry = ENTRIES[name]
    words = "|".join(changes)
    infinite = entry.may_be_infinite or any(
        a.dtype.kind in "fO" and not np.isfinite(a.astype(float)).all()
        for a in changes.values()
        if a.dtype.kind == "f"
    )
    outcome = outcome_of(
        lambda: entry(**changes), words, named=entry.named, may_be_infinite=infinite
    )
    assert not outcome.problem, f"{name}({changes}): {outcome.problem}"
    if outcome.error is not None:
        return
    for part, array in arrays_of(outcome.value, name):
        low, high = RANGES.get(part, (-math.inf, math.inf))
        if array.dtype.kind in "fiu" and array.size:
            known = array[~np.isnan(array)]
            assert (known >= low - 1e-9).all(), f"{part} of {changes} is {array}"
            assert (known <= high + 1e-9).all(), f"{part} of {changes} is {array}"


def one_changed(data, name):
    argument = data.draw(st.sampled_from(FUNCTIONS[name]))
    plain = PLAIN_FUNCTIONS[name][argument]
    check(name, {argument: data.draw(any_array(plain), label=argument)})


SETTINGS = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
}


@pytest.mark.parametrize("name", FUNCTIONS)
@settings(max_examples=20, derandomize=True, **SETTINGS)
@given(data=st.data())
def test_any_array(name, data):
    one_changed(data, name)


@pytest.mark.fuzz
@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
@settings(max_examples=2000, **SETTINGS)
@given(data=st.data())
def test_very_many_arrays(name, data):
    one_changed(data, name)


@pytest.mark.parametrize("name", FUNCTIONS)
@settings(max_examples=20, derandomize=True, **SETTINGS)
@given(data=st.data())
def test_any_number_of_rows(name, data):
    """All arrays of a call lose the same rows, down to none."""
    plain = PLAIN_FUNCTIONS[name]
    n_rows = data.draw(st.integers(0, 24))
    check(
        name,
        {
            argument: np.take(plain[argument], range(n_rows), axis=plain[argument].shape.index(24))
            for argument in FUNCTIONS[name]
            if 24 in plain[argument].shape
        },
    )
