# SPDX-License-Identifier: BSD-3-Clause
"""The public API as a table of calls that work, of which every argument can be made hostile.

A call of an estimator is made here from the one table of instances; what takes other arguments is
listed by hand. `test_hostile_inputs` holds the table against what is public.
"""

from __future__ import annotations

import copy
import functools
import inspect
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from instances import OF_TARGETS, SMALLEST
from robustness.outcomes import NAMED
from sklearn.base import clone, is_regressor
from skorch import NeuralNetClassifier, NeuralNetRegressor
from small_nets import Tiny, make_net

from sklearn_difficulty import (
    ConFragRegressor,
    ConFragSelector,
    DistilledClassifier,
    FilteredClassifier,
    FilteredRegressor,
    TrainingDynamicsScorer,
    TrainingRecord,
    datasets,
    estimator_checks,
    measures,
    metrics,
    model_selection,
    training,
)
from sklearn_difficulty._arrays import to_numpy
from sklearn_difficulty._randomness import isolated_rng
from sklearn_difficulty.model_selection import MemorizationTrajectory
from sklearn_difficulty.rows.rows import as_rows
from sklearn_difficulty.scorers._base import BaseDifficultyScorer
from sklearn_difficulty.training import RecordTraining, ResampledEnsemble, TrajectoryRecorder

RNG = np.random.default_rng(0)
Y = np.arange(24) % 3
X = (RNG.normal(size=(24, 4)) + 2 * np.eye(3, 4)[Y]).astype(np.float32)

# Arguments that any size suits, as long as there is time and memory.
INFINITE = {"epoch_statistics", "forgetting_events", "mean_over_epochs", "standardize"}
UNBOUNDED = {
    *("n_members", "n_repeats", "n_samples", "n_rows", "n_inputs", "n_outputs", "n_channels"),
    *("hidden_units", "channels", "n_jobs", "n_groups"),
}
NOT_ATTACKED = {
    "memory",  # joblib makes a Memory of any word; entries of it are attacked elsewhere
    "params",
}


@dataclass
class Entry:
    """A call by its name: what is called, and with which arguments it works."""

    call: Callable[..., Any]
    plain: dict[str, Any]
    named: tuple[type[BaseException], ...] = NAMED  # the errors that are documented
    may_be_infinite: bool = False  # where infinite input has an infinite result

    def __call__(self, **changes: Any) -> Any:
        """Call it with some arguments changed; the others are copies."""
        given = {n: v for n, v in self.plain.items() if n not in changes}
        return self.call(**{**copied(given), **changes})


def copied(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return arguments that a call may write to."""
    return {
        name: value.copy() if isinstance(value, np.ndarray) else copy.copy(value)
        for name, value in arguments.items()
    }


def tiny_net(**settings: Any) -> NeuralNetClassifier:
    return make_net(**{"module": Tiny, "max_epochs": 2, "batch_size": 8, **settings})


# -------------------------------------------------------------------------------- pure functions

_PREDICTED = RNG.integers(3, size=(4, 24))
_PROBABILITY = RNG.uniform(size=(4, 24))
_LOGITS = RNG.normal(size=(24, 3))
_SHARES = np.exp(_LOGITS) / np.exp(_LOGITS).sum(axis=1, keepdims=True)
_GRADIENTS = RNG.normal(size=(24, 3, 4))
_CORRECT = RNG.integers(2, size=(6, 24)) > 0
_MASK = np.arange(6 * 24).reshape(6, 24) % 5 > 1
_ERROR = RNG.uniform(size=24)
_MARKED = np.arange(24) % 4 == 0

PLAIN_FUNCTIONS: dict[str, dict[str, Any]] = {
    "aleatoric_uncertainty": {"probability": _PROBABILITY},
    "calibrate_with_review": {
        "error_probability": _ERROR,
        "rows": np.array([1, 5, 7]),
        "weight": np.array([1.0, 2.0, 4.0]),
        "verdicts": np.array([True, False, True]),
        "cuts": np.array([0.3, 0.5]),
    },
    "combine_saliency_maps": {
        "maps": [_GRADIENTS, _GRADIENTS[..., :2]],
        "shape": (3, 4),
        "combine": "geometric",
        "weights": np.array([1.0, 2.0]),
    },
    "consensus_class": {"predictions": _PREDICTED, "held_out": _MASK[:4], "given": Y},
    "consensus_consistency": {"predictions": _PREDICTED, "held_out": _MASK[:4]},
    "consistency_score": {"correct": _CORRECT, "held_out": _MASK},
    "corner_distances": {"validation_depth": _ERROR, "train_depth": _ERROR[::-1].copy()},
    "difficulty_quadrants": {
        "validation_depth": _ERROR,
        "train_depth": _ERROR[::-1].copy(),
        "thresholds": (0.5, 0.5),
    },
    "epoch_statistics": {"logits": RNG.normal(size=(2, 24, 3)), "labels": Y},
    "error_residual_ratio": {
        "y": _ERROR,
        "y_true": _ERROR**2,
        "selected": _MARKED,
        "corrected": _ERROR**3,
    },
    "estimate_label_noise": {"probabilities": _SHARES, "y": Y, "noise": "auto"},
    "estimate_target_noise": {
        "y": _ERROR,
        "predictions": _ERROR**2,
        "scale": "local",
        "coverage": 0.9,
    },
    "forgetting_events": {"predicted": _PREDICTED, "labels": Y, "never_learned": 9.0},
    "forgetting_under_perturbation": {"correct": _CORRECT},
    "fragment_edges": {
        "y": _ERROR,
        "n_fragments": 4,
        "fragmentation": "count",
        "jitter": 0.1,
        "shift": 0.5,
    },
    "fragment_prior": {"y": _ERROR, "centers": _ERROR[:4], "value_range": 1.0},
    "group_statistics": {"scores": _ERROR, "groups": Y, "n_groups": 3},
    "high_influence_pairs": {
        "test_correct": _CORRECT[:, :7],
        "trained_on": _MASK,
        "memorization": _ERROR,
        "train_labels": Y,
        "test_labels": Y[:7],
        "min_memorization": 0.25,
        "min_influence": 0.15,
    },
    "influence": {"test_correct": _CORRECT[:, :7], "trained_on": _MASK},
    "input_margin": {"logits": _LOGITS, "gradients": _GRADIENTS, "labels": Y},
    "iteration_learned": {"predicted": _PREDICTED, "labels": Y, "rescale": True},
    "local_scale": {
        "residual": _ERROR,
        "position": X,
        "n_neighbors": 3,
        "quantile": 0.5,
        "floor": 0.1,
    },
    "mean_correctness": {"predicted": _PREDICTED, "labels": Y},
    "mean_over_epochs": {"values": _PROBABILITY, "counts": np.ones((4, 24), dtype=int)},
    "mean_relative_absolute_error": {
        "y_true": _ERROR,
        "y_pred": _ERROR**2,
        "y_pred_clean": _ERROR**3,
    },
    "memorization": {"correct": _CORRECT, "trained_on": _MASK},
    "memorization_categories": {
        "memorization": _PROBABILITY,
        "standard_error": np.full((4, 24), 0.05),
        "min_change": 0.2,
    },
    "neighborhood_agreement": {"self_agreement": _CORRECT},
    "noise_cuts": {
        "error_probability": _ERROR,
        "bounds": np.stack([_ERROR, _ERROR**2]),
        "cuts": np.array([0.3, 0.5]),
    },
    "otsu_threshold": {"values": _ERROR},
    "output_margin": {"logits": _LOGITS, "labels": Y},
    "prediction_depth": {"probe_predictions": _PREDICTED, "target": Y},
    "residual_statistics": {
        "predictions": _PROBABILITY,
        "y": _ERROR,
        "counts": np.ones((4, 24), dtype=int),
    },
    "review_plan": {"error_probability": _ERROR, "n": 5, "cut": 0.5, "random_state": 0},
    "saliency_map": {
        "activations": _GRADIENTS,
        "gradients": _GRADIENTS[::-1].copy(),
        "variant": "conv3x3",
        "aggregation": "norm",
        "channel_axis": 1,
    },
    "selection_rate": {"selected": _MARKED},
    "selection_probability": {"prior": _SHARES, "agreement": _MASK[:3].T},
    "standardize": {
        "scores": _ERROR,
        "groups": Y,
        "mean": np.array([0.5, 0.4, 0.3]),
        "std": np.array([1.0, 2.0, 3.0]),
    },
    "targeted_forgetting": {
        "correct_before": _CORRECT[0],
        "correct_after": _CORRECT,
        "groups": Y,
    },
    "variability": {"probability": _PROBABILITY},
    "variance_of_gradients": {"gradients": _GRADIENTS, "formula": "rms", "channel_axis": 2},
    "detection_report": {"marked": _MARKED, "score": _ERROR, "k": 5},
    "error_rate_by_percentile": {"score": _ERROR, "error": _MARKED, "bins": 4},
    "label_error_scoring": {"metric": "roc_auc"},
    "lift_at_k": {"marked": _MARKED, "score": _ERROR, "k": 5},
    "precision_at_k": {"marked": _MARKED, "score": _ERROR, "k": 5},
    "recall_at_precision": {"marked": _MARKED, "score": _ERROR, "precision": 0.4},
    "make_gaussian_toy": {"n_samples": 20, "separation": 3.0, "random_state": 0},
    "make_label_noise": {
        "y": Y,
        "rate": 0.25,
        "kind": "instance",
        "X": X,
        "noise_matrix": None,
        "estimator": None,
        "random_state": 0,
    },
    "make_target_noise": {
        "y": _ERROR,
        "kind": "unit",
        "level": 2.54,
        "rate": 0.25,
        "random_state": 0,
    },
    "default_network": {"X": X, "y": Y, "task": "classification"},
    "cross_val_difficulty": {
        "scorer": TrainingDynamicsScorer(tiny_net(), random_state=0),
        "X": X,
        "y": Y,
        "cv": 2,
        "scoring_view": X,
        "groups": None,
        "n_jobs": None,
        "random_state": 0,
    },
    "benchmark_scorers": {
        "X": X,
        "y": Y,
        "scorers": {"dynamics": TrainingDynamicsScorer(tiny_net(), random_state=0)},
        "rate": 0.1,
        "kind": "symmetric",
        "noise_matrix": None,
        "level": None,
        "scoring_view": X,
        "groups": np.arange(24) % 8,
        "n_repeats": 1,
        "n_jobs": None,
        "random_state": 0,
        "verbose": 0,
    },
}


def without_seconds(table: np.ndarray) -> dict[str, Any]:
    return {n: table[n] for n in table.dtype.names if n != "seconds"}


def function_entries() -> Iterator[tuple[str, Entry]]:
    for room in (measures, metrics, datasets, training, model_selection):
        for name in room.__all__:
            if name in PLAIN_FUNCTIONS:
                function = getattr(room, name)
                if name == "benchmark_scorers":
                    call = functools.partial(_then, without_seconds, function)
                elif name in ("default_network", "label_error_scoring"):
                    call = functools.partial(_then, repr, function)
                else:
                    call = function
                yield name, Entry(call, PLAIN_FUNCTIONS[name], may_be_infinite=name in INFINITE)
    yield (
        "label_error_scoring.scoring",
        Entry(
            metrics.label_error_scoring(),
            {
                "estimator": fitted(TrainingDynamicsScorer(tiny_net(), random_state=0)),
                "X": X,
                "y": Y,
                "verdicts": np.arange(24) % 3 - 1,
            },
        ),
    )
    check = estimator_checks.check_difficulty_scorer
    yield "check_difficulty_scorer", Entry(check, {"scorer": None}, named=(*NAMED, AssertionError))
    yield (
        "load_fashion_mnist",
        Entry(datasets.load_fashion_mnist, {"split": "train", "path": "no such folder"}),
    )
    yield "load_diamonds", Entry(_load_diamonds, {"path": DIAMONDS})


DIAMONDS = "a file that is written when it is needed"


def _load_diamonds(path: Any) -> Any:
    if path is None:
        return {}  # asks the network
    if isinstance(path, str) and path == DIAMONDS:
        with tempfile.TemporaryDirectory() as folder:
            lines = (
                "carat,cut,color,clarity,depth,table,x,y,z,price\n.3,Ideal,E,SI2,61,55,4,4,2,326\n"
            )
            Path(folder, "diamonds.csv").write_text(lines)
            return dict(datasets.load_diamonds(folder))
    return dict(datasets.load_diamonds(path))


def _then(read: Callable[..., Any], function: Callable[..., Any], **arguments: Any) -> Any:
    return read(function(**arguments))


# ------------------------------------------------------------------------------------- estimators

METHOD_ARGUMENTS: dict[str, Any] = {
    "X": X[:6],
    "y": Y[:6],
    "X_test": X[:6],
    "y_test": Y[:6],
    "quadrant": "easy",
    "n": 3,
    "cut": 0.5,
    "random_state": 0,
    "reviewed_rows": np.arange(24),
    "verdicts": _ERROR > 0.7,
    "probe": 0,
    "min_memorization": 0.25,
    "min_influence": 0.15,
    "average": "epochs",
    "k": 0,
    "input_features": None,
    "groups": np.arange(24) % 3,
}
FITS = ("fit", "fit_resample", "fit_transform")
# What is asked of the user's own estimator, and answered by it.
DELEGATED = {
    f"{name}.{method}"
    for name in ("FilteredClassifier", "FilteredRegressor")
    for method in ("predict", "predict_proba", "predict_log_proba", "decision_function", "score")
}
PLUMBING = ("get_metadata_routing", "get_params", "set_params", "readout", "targets", "require")


def labels_for(estimator: Any) -> np.ndarray:
    return X[:, 0] if is_regressor(estimator) or isinstance(estimator, OF_TARGETS) else Y


def small(estimator: Any, of_targets: bool = False) -> Any:
    """Return an instance with a seed and a tiny net."""
    estimator = clone(estimator)
    if isinstance(estimator, (ConFragRegressor, ConFragSelector)):
        return estimator.set_params(random_state=0)  # their networks are tiny
    net = tiny_net(cls=NeuralNetRegressor, module__n_outputs=1, criterion=torch.nn.MSELoss)
    if isinstance(estimator, OF_TARGETS):
        return estimator.set_params(estimator=net, random_state=0)
    if isinstance(estimator, FilteredRegressor):
        scorer = TrainingDynamicsScorer(net, measure="loss", random_state=0)
        return estimator.set_params(scorer=scorer, drop=0.1)
    if isinstance(estimator, ResampledEnsemble) and of_targets:
        return estimator.set_params(estimator=net, random_state=0)
    if isinstance(estimator, MemorizationTrajectory):
        sizes = [("small", tiny_net()), ("large", tiny_net())]
        return estimator.set_params(estimators=sizes, random_state=0)
    scorer = estimator
    if isinstance(estimator, FilteredClassifier):
        estimator.set_params(scorer=TrainingDynamicsScorer(), drop=0.1)
    if hasattr(estimator, "scorer"):
        scorer = estimator.scorer
    net = "student" if isinstance(scorer, DistilledClassifier) else "estimator"
    scorer.set_params(**{net: tiny_net()}, random_state=0)
    return estimator


def fit_results(estimator: Any) -> dict[str, Any]:
    """Return what a fit has found, of a scorer, a filter or an ensemble."""
    names = ("difficulty_", "n_undefined_", "sample_indices_", "predictions_", "classes_")
    names += ("memorization_se_", "category_")
    return {name: getattr(estimator, name) for name in names if hasattr(estimator, name)}


def fitted(estimator: Any) -> Any:
    return estimator.fit(X, labels_for(estimator))


@functools.cache
def fitted_instance(index: int) -> Any:
    """Return an instance of the table, fitted once; readings must not change it."""
    estimator = small(SMALLEST[index])
    if hasattr(estimator, "keep_members"):
        estimator.set_params(keep_members=True)
    return fitted(estimator)


def public_methods(cls: type) -> Iterator[tuple[str, Any]]:
    """Yield the public methods that are the package's own code, of one class."""
    for name in dir(cls):
        own = inspect.getattr_static(cls, name)
        function = getattr(own, "fn", own)  # of what scikit-learn's available_if hides
        is_ours = getattr(function, "__module__", "") or ""
        if name[0] == "_" or name in PLUMBING or not inspect.isfunction(function):
            continue
        if is_ours.startswith("sklearn_difficulty"):
            yield name, function


def estimator_entries() -> Iterator[tuple[str, Entry]]:
    for index, instance in enumerate(SMALLEST):
        name = type(instance).__name__
        given = small(instance)
        params = given.get_params(deep=False)
        y = labels_for(given)

        def fit(
            X: Any, y: Any, _given: Any = given, _params: Any = tuple(params), **rest: Any
        ) -> Any:
            estimator = clone(_given)
            for param in _params:  # as they are given, without a look at those of a net
                setattr(estimator, param, rest.pop(param))
            return fit_results(estimator.fit(X, y, **rest))

        plain = {"X": X, "y": y, **params}
        if isinstance(given, (BaseDifficultyScorer, MemorizationTrajectory, ResampledEnsemble)):
            plain |= {"scoring_view": X, "groups": np.arange(24) % 8}
        yield f"{name}.fit", Entry(fit, plain)
        for method, function in public_methods(type(instance)):
            arguments = inspect.signature(function).parameters
            if method == "fit":
                continue
            plain = {n: METHOD_ARGUMENTS[n] for n in arguments if n in METHOD_ARGUMENTS}
            if method == "fit_resample" or (method == "score" and is_regressor(given)):
                plain = {"X": X, "y": y}
            if method == "estimate_cost":  # a few rows are enough; its groups are those of fit
                del plain["groups"]
            if method in FITS:
                call = functools.partial(_fit_anew, index, method)
            else:
                call = functools.partial(_call_fitted, index, method)
            if f"{name}.{method}" not in DELEGATED:
                yield f"{name}.{method}", Entry(call, plain)


@functools.cache
def fitted_regressors() -> ResampledEnsemble:
    """Return an ensemble of regressors."""
    index = [type(instance) for instance in SMALLEST].index(ResampledEnsemble)
    return small(SMALLEST[index], of_targets=True).fit(X, X[:, 0])


def _call_fitted(index: int, method: str, **arguments: Any) -> Any:
    if method == "out_of_sample_prediction":
        return fitted_regressors().out_of_sample_prediction(**arguments)
    if method == "calibrate":  # asks for a plan
        fitted_instance(index).review_plan(24, random_state=0)
    found = getattr(fitted_instance(index), method)(**arguments)
    # Seconds are never the same twice.
    return found.trainings if method == "estimate_cost" else found


def _fit_anew(index: int, method: str, X: Any, y: Any) -> Any:
    return fit_results_of(getattr(clone(fitted_instance(index)), method)(X, y))


def fit_results_of(pair: Any) -> Any:
    if len(pair) != 2:
        return pair
    return {name: np.asarray(to_numpy(part)) for name, part in zip("Xy", pair, strict=True)}


# ------------------------------------------------------------------------- networks and records


def _of_images(network: type, **params: Any) -> torch.Tensor:
    with isolated_rng(0):
        return network(**params).eval()(torch.ones(2, 1, 32, 32))


def _of_rows(network: type, **params: Any) -> torch.Tensor:
    with isolated_rng(0):
        return network(**params).eval()(torch.from_numpy(X))


def _hinge(reduction: Any) -> torch.Tensor:
    loss = training.ZeroMarginHingeLoss(reduction)
    return loss(torch.from_numpy(_LOGITS), torch.from_numpy(Y))


def _scaled(**params: Any) -> torch.Tensor:
    loss = training.ScaledL1Loss(**params)
    return loss(torch.from_numpy(_LOGITS), torch.from_numpy(_LOGITS[::-1].copy()))


def _in_generations(callback: type, **params: Any) -> Any:
    with isolated_rng(0):
        net = tiny_net(callbacks=[callback(**params)], max_epochs=4, train_split=None).fit(X, Y)
    return {n: p.detach().numpy() for n, p in net.module_.named_parameters()}


def _of_frame(**params: Any) -> torch.Tensor:
    rows = as_rows(FRAME, columns="any")
    with isolated_rng(0):
        return training.TableMLP(**params).eval()(torch.from_numpy(rows.data))


def _merge(parts: Any) -> Any:
    return _read(TrainingRecord.from_trajectory(training.merge_trajectories(parts)))


FRAME = pd.DataFrame({"size": [1.5, None, 2.0, 4.0], "colour": ["red", "blue", "red", "red"]})


def _record_training(**params: Any) -> Any:
    record = TrainingRecord.from_fit(
        tiny_net(callbacks=[RecordTraining(**params)]), X, Y, random_state=0
    )
    return {"epochs": np.array([c.epoch for c in record.checkpoints]), **_read(record)}


def _read(record: TrainingRecord) -> dict[str, Any]:
    """Return what is in a record that can be compared."""
    trajectory, read = record.trajectory, {}
    if trajectory is not None:
        names = ("probability", "margin", "loss", "el2n", "predicted", "targets")
        read = {name: getattr(trajectory, name) for name in names}
    if record.has_module:
        read |= {n: p.detach().numpy() for n, p in record.module.named_parameters()}
    return {**read, "classes": record.classes_, "n_epochs": record.n_epochs}


def _from_fit(**arguments: Any) -> Any:
    return _read(TrainingRecord.from_fit(**arguments))


def _from_net(**arguments: Any) -> Any:
    return _read(TrainingRecord.from_net(**arguments))


def _from_logits(**arguments: Any) -> Any:
    return _read(TrainingRecord.from_logits(**arguments))


def _from_trajectory(**arguments: Any) -> Any:
    return _read(TrainingRecord.from_trajectory(**arguments))


def _from_checkpoints(**arguments: Any) -> Any:
    return _read(TrainingRecord.from_checkpoints(**arguments))


def _record(**arguments: Any) -> Any:
    return _read(TrainingRecord(**arguments))


def _update(n_rows: Any, ids: Any, batch_outputs: Any, labels: Any, **settings: Any) -> Any:
    recorder = TrajectoryRecorder(n_rows, **settings)
    recorder.update(ids, batch_outputs, labels)
    recorder.end_epoch()
    trajectory = recorder.trajectory()
    return _read(TrainingRecord.from_trajectory(trajectory, outputs=settings["outputs"]))


def _expect(targets: Any) -> Any:
    recorder = TrajectoryRecorder(24)
    recorder.expect(targets)
    recorder.update(np.arange(24), torch.from_numpy(_LOGITS), Y)
    recorder.end_epoch()
    return recorder.trajectory()


@functools.cache
def kept_record() -> TrainingRecord:
    return TrainingRecord.from_fit(tiny_net(), X, Y, random_state=0)


SAVED = Path("a record that is saved when it is needed")


@functools.cache
def saved_record() -> tempfile.TemporaryDirectory:
    folder = tempfile.TemporaryDirectory()
    kept_record().save(folder.name)
    return folder


@functools.cache
def recorded_net() -> NeuralNetClassifier:
    with isolated_rng(0):
        return tiny_net(callbacks=[RecordTraining()], train_split=None).fit(X, Y)


def _load(directory: Any, **arguments: Any) -> Any:
    if isinstance(directory, Path) and directory == SAVED:
        directory = saved_record().name
    return _read(TrainingRecord.load(directory, **arguments))


def _save(directory: Any) -> Any:
    return kept_record().save(directory)


def _select(checkpoints: Any) -> Any:
    return np.array([c.epoch for c in kept_record().select(checkpoints)])


def _difference(X: Any, targets: Any) -> Any:
    return kept_record().difference(X, targets)


def _targets(X: Any, y: Any) -> Any:
    return kept_record().targets(X, y)


def _trajectory(**arguments: Any) -> Any:
    return _read(TrainingRecord.from_trajectory(training.Trajectory(**arguments)))


def record_entries() -> Iterator[tuple[str, Entry]]:
    of_images = {"n_channels": 1, "n_outputs": 3, "channels": (4, 8), "mean": 0.0, "scale": 1.0}
    for network, more in (
        (training.ConvNet, {"target_center": np.zeros(3), "target_scale": np.ones(3)}),
        (training.VGG16, {"channels": (4, 4, 4, 4, 4)}),
        (training.ResNet18, {"channels": (4, 4, 4, 4), "n_groups": 2}),
    ):
        call = functools.partial(_of_images, network)
        yield network.__name__, Entry(call, {**of_images, **more})
    yield (
        "MLP",
        Entry(
            functools.partial(_of_rows, training.MLP),
            {
                "n_inputs": 4,
                "n_outputs": 3,
                "hidden_units": (4,),
                "mean": np.zeros(4),
                "scale": np.ones(4),
                "target_center": np.zeros(3),
                "target_scale": np.ones(3),
            },
        ),
    )
    net = training.default_network(FRAME, Y[:4])
    yield (
        "TableMLP",
        Entry(
            _of_frame,
            {
                "columns": net.module__columns,
                "n_outputs": 3,
                "hidden_units": (4,),
                "mean": np.asarray(net.module__mean),
                "scale": np.where(np.isinf(net.module__scale), 1, net.module__scale),
                "target_center": np.zeros(3),
                "target_scale": np.ones(3),
            },
        ),
    )
    yield "ScaledL1Loss", Entry(_scaled, {"scale": np.ones(3), "reduction": "mean"})
    generations = {"split": "auto", "n_generations": 2, "epochs_per_generation": 2}
    yield (
        "SimulatedAnnealingEarlyLayers",
        Entry(
            functools.partial(_in_generations, training.SimulatedAnnealingEarlyLayers),
            {
                **generations,
                "ascent_epochs": 1,
                "ascent_scale": 0.01,
                "ascent_weight_decay": 0.0,
                "reverse": False,
                "freeze_descenders": False,
                "reset_later": False,
            },
        ),
    )
    yield (
        "LaterLayerForgetting",
        Entry(
            functools.partial(_in_generations, training.LaterLayerForgetting),
            {
                **generations,
                "layers": "later",
                "draw": "fresh",
                "keep": "weights",
                "keep_share": 0.5,
            },
        ),
    )
    yield "merge_trajectories", Entry(_merge, {"parts": [kept_record().trajectory] * 2})
    yield (
        "ZeroMarginHingeLoss",
        Entry(
            _hinge,
            {
                "reduction": "mean",
            },
        ),
    )
    recording = {"checkpoints": 2, "checkpoint_dir": None, "mode": "training", "keep_logits": True}
    yield "RecordTraining", Entry(_record_training, recording)
    yield (
        "TrainingRecord.from_fit",
        Entry(
            _from_fit,
            {"net": tiny_net(), "X": X, "y": Y, "random_state": 0, "verbose": 0, **recording},
        ),
    )
    classes = np.array(["a", "b", "c"])
    yield "TrainingRecord.from_net", Entry(_from_net, {"net": recorded_net(), "classes": classes})
    yield (
        "TrainingRecord.from_logits",
        Entry(
            _from_logits,
            {"history": RNG.normal(size=(2, 24, 3)), "y": Y, "classes": np.arange(3)},
            may_be_infinite=True,
        ),
    )
    trajectory = kept_record().trajectory
    yield (
        "TrainingRecord.from_trajectory",
        Entry(
            _from_trajectory, {"trajectory": trajectory, "classes": classes, "outputs": "logits"}
        ),
    )
    with isolated_rng(0):
        module = Tiny()
    yield (
        "TrainingRecord.from_checkpoints",
        Entry(
            _from_checkpoints,
            {
                "module": module,
                "states": [module.state_dict()] * 2,
                "classes": classes,
                "outputs": "logits",
                "criterion": torch.nn.CrossEntropyLoss(),
                "epochs": [1, 2],
                "collate_fn": None,
                "trajectory": None,
            },
        ),
    )
    yield (
        "TrainingRecord",
        Entry(
            _record,
            {
                "module": module,
                "checkpoints": kept_record().checkpoints,
                "classes": classes,
                "outputs": "logits",
                "criterion": torch.nn.CrossEntropyLoss(),
                "n_epochs": 2,
                "rows": kept_record().rows,
                "net": None,
                "collate_fn": None,
                "trajectory": trajectory,
                "trajectory_problem": None,
            },
        ),
    )
    yield (
        "TrainingRecord.load",
        Entry(
            _load,
            {"directory": SAVED, "module": module, "criterion": None, "collate_fn": None},
        ),
    )
    yield "TrainingRecord.save", Entry(_save, {"directory": "another record"})
    yield "TrainingRecord.select", Entry(_select, {"checkpoints": 1})
    yield "TrainingRecord.difference", Entry(_difference, {"X": X, "targets": Y})
    yield "TrainingRecord.targets", Entry(_targets, {"X": X, "y": Y})
    yield (
        "TrajectoryRecorder",
        Entry(
            _update,
            {
                "n_rows": 24,
                "outputs": "logits",
                "keep_logits": True,
                "mode": "training",
                "ids": np.arange(24),
                "batch_outputs": torch.from_numpy(_LOGITS),
                "labels": Y,
            },
        ),
    )
    yield "TrajectoryRecorder.expect", Entry(_expect, {"targets": Y})
    yield "Trajectory", Entry(_trajectory, vars(trajectory), may_be_infinite=True)


ENTRIES: dict[str, Entry] = {
    **dict(function_entries()),
    **dict(estimator_entries()),
    **dict(record_entries()),
}
