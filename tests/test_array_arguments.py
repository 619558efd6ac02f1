# SPDX-License-Identifier: BSD-3-Clause
"""Every array argument of the public functions may come in any form that stands for an array."""

import re
import warnings
from dataclasses import asdict, is_dataclass

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sklearn_difficulty import LabelErrorScorer, TrainingRecord, datasets, measures, metrics
from sklearn_difficulty.training import TrajectoryRecorder

RNG = np.random.default_rng(0)
N, C, K = 12, 3, 4  # rows, classes, members or epochs
Y = np.arange(N) % C
P = RNG.dirichlet(np.ones(C), size=N)
Z = RNG.normal(size=(K, N, C))
PREDICTED = RNG.integers(C, size=(K, N))
INSIDE = RNG.random((K, N)) < 0.5
UNIT = RNG.random(N)
MARKED = np.arange(N) % 3 == 0


class ScoresAnything:
    def score_samples(self, X, y):
        return X[:, 0]


def scored(**arguments):
    return metrics.label_error_scoring()(ScoresAnything(), UNIT[:, None], Y, **arguments)


def recorded(ids, outputs, labels):
    recorder = TrajectoryRecorder(N)
    recorder.update(ids, outputs, labels)
    recorder.end_epoch()
    return recorder.trajectory()


def from_logits(**arguments):
    return TrainingRecord.from_logits(**arguments).trajectory


PLAN = {"rows": np.array([1, 4, 6]), "weight": np.array([1.0, 4, 2]), "verdicts": MARKED[:3]}
CALLS = [
    (measures.aleatoric_uncertainty, {"probability": P.T}),
    (measures.calibrate_with_review, {"error_probability": UNIT, **PLAN, "cuts": UNIT[:2]}),
    (measures.combine_saliency_maps, {"maps": [P, P[:, :2]], "weights": UNIT[:2]}),
    (measures.consensus_class, {"predictions": PREDICTED, "held_out": INSIDE, "given": Y}),
    (measures.consensus_consistency, {"predictions": PREDICTED, "held_out": INSIDE}),
    (measures.consistency_score, {"correct": INSIDE, "held_out": ~INSIDE}),
    (measures.corner_distances, {"validation_depth": UNIT, "train_depth": UNIT[::-1].copy()}),
    (
        measures.difficulty_quadrants,
        {"validation_depth": UNIT, "train_depth": UNIT**2, "thresholds": np.array([0.3, 0.4])},
    ),
    (measures.epoch_statistics, {"logits": Z, "labels": Y}),
    (measures.estimate_label_noise, {"probabilities": P, "y": Y}),
    (measures.estimate_target_noise, {"y": UNIT, "predictions": UNIT[::-1].copy()}),
    (measures.forgetting_events, {"predicted": PREDICTED, "labels": Y}),
    (measures.forgetting_under_perturbation, {"correct": INSIDE}),
    (measures.fragment_edges, {"y": UNIT}),
    (measures.fragment_prior, {"y": UNIT, "centers": UNIT[:4]}),
    (measures.group_statistics, {"scores": UNIT, "groups": Y, "n_groups": C}),
    (
        measures.high_influence_pairs,
        {
            "test_correct": INSIDE,
            "trained_on": INSIDE,
            "memorization": UNIT,
            "train_labels": Y,
            "test_labels": Y,
            "min_influence": 0.0,
        },
    ),
    (measures.influence, {"test_correct": INSIDE, "trained_on": INSIDE}),
    (
        measures.input_margin,
        {"logits": Z[0], "gradients": RNG.normal(size=(N, C, 2)), "labels": Y},
    ),
    (measures.iteration_learned, {"predicted": PREDICTED, "labels": Y}),
    (measures.mean_correctness, {"predicted": PREDICTED, "labels": Y}),
    (measures.mean_over_epochs, {"values": P.T, "counts": PREDICTED[:3] + 1}),
    (measures.memorization, {"correct": INSIDE, "trained_on": INSIDE}),
    (
        measures.memorization_categories,
        {"memorization": P.T, "standard_error": 0.01 + P.T[::-1].copy() / 10},
    ),
    (measures.neighborhood_agreement, {"self_agreement": INSIDE}),
    (measures.noise_cuts, {"error_probability": UNIT, "bounds": P.T, "cuts": UNIT[:2]}),
    (measures.otsu_threshold, {"values": UNIT}),
    (measures.output_margin, {"logits": Z[0], "labels": Y}),
    (measures.prediction_depth, {"probe_predictions": PREDICTED, "target": Y}),
    (
        measures.error_residual_ratio,
        {"y": UNIT, "y_true": UNIT**2, "selected": MARKED, "corrected": UNIT**3},
    ),
    (measures.local_scale, {"residual": UNIT, "position": P, "n_neighbors": 3}),
    (
        measures.mean_relative_absolute_error,
        {"y_true": P, "y_pred": P**2, "y_pred_clean": P**3},
    ),
    (
        measures.residual_statistics,
        {"predictions": P.T, "y": UNIT, "counts": PREDICTED[:3] + 1},
    ),
    (measures.selection_rate, {"selected": MARKED}),
    (measures.review_plan, {"error_probability": UNIT, "n": 4, "random_state": 0}),
    (measures.saliency_map, {"activations": Z[0], "gradients": Z[1]}),
    (measures.selection_probability, {"prior": UNIT.reshape(3, 4), "agreement": INSIDE[:3, :4]}),
    (measures.standardize, {"scores": UNIT, "groups": Y, "mean": P[0], "std": P[1]}),
    (
        measures.targeted_forgetting,
        {"correct_before": INSIDE[0], "correct_after": INSIDE, "groups": Y},
    ),
    (measures.variability, {"probability": P.T}),
    (measures.variance_of_gradients, {"gradients": Z}),
    (metrics.detection_report, {"marked": MARKED, "score": UNIT}),
    (metrics.error_rate_by_percentile, {"score": UNIT, "error": MARKED, "bins": 3}),
    (metrics.lift_at_k, {"marked": MARKED, "score": UNIT, "k": 3}),
    (metrics.precision_at_k, {"marked": MARKED, "score": UNIT, "k": 3}),
    (metrics.recall_at_precision, {"marked": MARKED, "score": UNIT, "precision": 0.3}),
    (scored, {"verdicts": MARKED.astype(int)}),
    (
        datasets.make_label_noise,
        {
            "y": Y,
            "rate": 0.25,
            "kind": "matrix",
            "noise_matrix": np.ones((C, C)),
            "random_state": 0,
        },
    ),
    (
        datasets.make_label_noise,
        {"y": np.repeat(Y, 2), "rate": 0.25, "kind": "instance", "X": np.tile(Z[0], (2, 1))},
    ),
    (datasets.make_target_noise, {"y": UNIT, "level": 0.25, "random_state": 0}),
    (from_logits, {"history": Z, "y": Y}),
    (recorded, {"ids": np.arange(N), "outputs": Z[0], "labels": Y}),
]
WITHOUT_ARRAYS = {"load_diamonds", "load_fashion_mnist", "make_gaussian_toy"}
WITHOUT_ARRAYS |= {"label_error_scoring"}


def test_every_public_function_is_here():
    public = {name for room in (measures, metrics, datasets) for name in room.__all__}
    assert {call.__name__ for call, _ in CALLS} >= public - WITHOUT_ARRAYS


def forms(array):
    """Yield names and forms of an array that must be taken for it, all of them of its values."""
    yield "list", array.tolist()
    yield "tuple", tuple(array.tolist())
    yield "generator", (row for row in array.tolist())
    yield "tensor", torch.tensor(array)
    yield "list of tensors", [torch.tensor(row) for row in array]
    yield "object", array.astype(object)
    yield "nothing masked", np.ma.array(array, mask=False)
    yield "fortran", np.asfortranarray(array)
    read_only = array.copy()
    read_only.flags.writeable = False
    yield "read-only", read_only
    if array.dtype.kind != "b":
        yield "big-endian", array.astype(array.dtype.newbyteorder(">"))
    if array.dtype.kind == "f":
        yield "requires grad", torch.tensor(array, requires_grad=True)
        yield "longdouble", array.astype(np.longdouble)
    if array.ndim == 1:
        # An index by which nobody may look up a row, and another order of positions.
        yield "Series", pd.Series(array, index=np.arange(len(array))[::-1] * 7)
        yield "Index", pd.Index(array)
        nullable = {"b": "boolean", "i": "Int64", "f": "Float64"}[array.dtype.kind]
        yield nullable, pd.Series(array, dtype=nullable)
        yield "polars", pl.Series(array)
    if array.ndim == 2:
        yield "DataFrame", pd.DataFrame(array, index=np.arange(len(array))[::-1])
        yield "polars frame", pl.DataFrame(array)
        yield "matrix", np.asmatrix(array)


def bad_forms(array):
    """Yield names, forms that hold no such array, and what the error says of them."""
    yield "masked", np.ma.array(array, mask=np.arange(array.size).reshape(array.shape) == 1), "mask"
    yield "strings", array.astype(str), "strings|integers|numbers|bool"
    yield "dict", {"a": array}, "dict"
    yield "set", {1, 2}, "set"
    yield "complex", array * 1j, "complex|integers|numbers|bool"
    yield "days", array.astype("i8").astype("M8[D]"), "dates|integers|numbers|bool"
    yield "objects", np.full(array.shape, object()), "object|integers|bool"
    if array.ndim == 2:
        yield "sparse", sparse.csr_array(array), "sparse"
        yield "ragged", [array[0].tolist(), [0]], "ragged"


def flat(result):
    """Return the arrays that a result is made of."""
    if isinstance(result, dict):
        return [a for value in result.values() for a in flat(value)]
    if is_dataclass(result):
        arrays = {k: v for k, v in asdict(result).items() if isinstance(v, np.ndarray)}
        return flat(arrays)
    if isinstance(result, tuple):
        return [a for value in result for a in flat(value)]
    array = np.asarray(result)
    return [array[name] for name in array.dtype.names] if array.dtype.names else [array]


# Labels of any type, and what goes on to an estimator as it is.
OF_ANY_TYPE = {"train_labels", "test_labels", "y", "X", "target", "probe_predictions"}
OF_TEXT = {"verdicts"}  # as well
ARGUMENTS = [
    pytest.param(call, arguments, name, id=f"{call.__name__}-{name}")
    for call, arguments in CALLS
    for name, value in arguments.items()
    if isinstance(value, np.ndarray)
]


@pytest.mark.parametrize(("call", "arguments", "name"), ARGUMENTS)
def test_any_form_of_an_array_gives_the_same(call, arguments, name):
    with warnings.catch_warnings(action="ignore"):
        expected = flat(call(**(arguments | seeds(call))))
        for form, values in forms(arguments[name]):
            if (name, form) == ("outputs", "list of tensors"):
                continue  # several outputs of a module, of which the first counts
            found = flat(call(**(arguments | {name: values} | seeds(call))))
            for a, b in zip(expected, found, strict=True):
                if a.dtype.kind == "U":
                    assert_array_equal(a, b, form)
                else:
                    assert_allclose(a, b, rtol=1e-6, err_msg=form)


@pytest.mark.parametrize(("call", "arguments", "name"), ARGUMENTS)
def test_what_is_no_such_array_is_refused_by_name(call, arguments, name):
    for form, values, message in bad_forms(arguments[name]):
        if name in OF_ANY_TYPE and form in ("strings", "days", "complex", "objects"):
            continue
        if call is measures.targeted_forgetting and form in ("strings", "days"):
            continue  # groups may have any name
        if name in OF_TEXT and form == "strings":
            continue
        with pytest.raises((TypeError, ValueError), match=message) as caught:
            call(**(arguments | {name: values} | seeds(call)))
        assert re.search(rf"\b{name}\b|history|ids|labels|outputs", str(caught.value)), form


def seeds(call):
    return {"random_state": 0} if call is datasets.make_label_noise else {}


@pytest.mark.parametrize(
    "form",
    [list, tuple, pd.Index, torch.tensor, pl.Series, np.ma.array, lambda a: pd.Series(a, a * 3)],
    ids=["list", "tuple", "Index", "tensor", "polars", "masked array", "Series"],
)
def test_verdicts_on_a_plan_in_any_form(form):
    q = np.repeat(P, 4, axis=0)
    scorer = LabelErrorScorer("precomputed").fit(q, np.tile(np.arange(C), 16))
    rows = scorer.review_plan(20, random_state=0).rows[::-1].copy()
    verdicts = rows % 2 == 0
    expected = scorer.calibrate(rows, verdicts)
    found = scorer.calibrate(form(rows), verdicts.tolist() if form is tuple else form(verdicts))
    for a, b in zip(flat(tuple(expected)), flat(tuple(found)), strict=True):
        assert_allclose(a, b)
