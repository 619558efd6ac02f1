# SPDX-License-Identifier: BSD-3-Clause
"""Trajectories of boosted trees: what the sum of the first trees says about every row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from .._arrays import as_labels
from ..networks.heads import OutputKind
from ..rows.labels import codes_of, float_targets
from .trajectory import Trajectory
from .trajectory_recorder import TrajectoryRecorder

_SMALLEST = np.finfo(np.float64).tiny  # the logarithm of nothing is not finite


def staged_trajectory(
    estimator: Any, X: Any, y: Any, stages: int, keep_logits: bool
) -> tuple[Trajectory, NDArray[Any] | None, OutputKind]:
    """Return what a fitted boosting model says stage by stage, its classes and kind of outputs."""
    check_is_fitted(estimator)
    model = estimator
    while isinstance(model, Pipeline):
        for step in _steps_before(model):
            X = step.transform(X)
        model = model[-1]
    outputs: OutputKind = "logits" if is_classifier(model) else "values"
    classes = as_labels(model.classes_, "classes_") if outputs == "logits" else None
    targets = float_targets(np.asarray(y)) if classes is None else codes_of(as_labels(y), classes)
    # mode="training": to these very values the next tree was fitted.
    recorder = TrajectoryRecorder(len(targets), outputs=outputs, keep_logits=keep_logits)
    rows = np.arange(len(targets))
    for said in _staged(model, X, stages, "predict" if classes is None else "predict_proba"):
        if classes is not None:
            said = np.log(np.maximum(np.asarray(said, dtype=np.float64), _SMALLEST))
        recorder.update(rows, said, targets)
        recorder.end_epoch()
    return recorder.trajectory(), classes, outputs


def _steps_before(pipeline: Pipeline) -> list[Any]:
    """Return the preprocessing of a pipeline."""
    return [step for _, step in pipeline.steps[:-1] if step not in (None, "passthrough")]


def _staged(model: Any, X: Any, stages: int, method: str) -> Iterator[NDArray[Any]]:
    """Yield predictions of at most so many stages, evenly spaced, the last one included."""
    staged = getattr(model, f"staged_{method}", None)
    if staged is None:
        argument, n_trees = _tree_range(model)
        for stage in _evenly(n_trees, stages):
            limit = (0, stage) if argument == "iteration_range" else stage
            yield getattr(model, method)(X, **{argument: limit})
        return
    if hasattr(model, "tree_count_"):  # CatBoost sums up no more stages than are asked for
        period = max(1, -(-model.tree_count_ // stages))
        yield from staged(X, eval_period=period)
        return
    wanted = set(_evenly(_n_stages(model), stages))
    for stage, said in enumerate(staged(X), start=1):
        if stage in wanted:
            yield said


def _n_stages(model: Any) -> int:
    """Return how many stages a model of scikit-learn has."""
    for name in ("n_iter_", "n_estimators_", "estimators_"):
        if (value := getattr(model, name, None)) is not None:
            return len(value) if name == "estimators_" else int(value)
    raise _no_stages(model)


def _tree_range(model: Any) -> tuple[str, int]:
    """Return the argument that limits the trees of XGBoost or LightGBM, and how many it uses."""
    if hasattr(model, "get_booster"):
        booster = model.get_booster()
        best = getattr(model, "best_iteration", None) if booster.attr("best_iteration") else None
        return "iteration_range", booster.num_boosted_rounds() if best is None else best + 1
    if hasattr(model, "booster_"):
        return "num_iteration", model.best_iteration_ or model.booster_.current_iteration()
    raise _no_stages(model)


def _no_stages(model: Any) -> TypeError:
    """Return the error for a model that is not trained in stages."""
    return TypeError(
        f"{type(model).__name__} does not say what it predicted stage by stage. from_staged takes "
        "boosting models: those of scikit-learn with staged_predict_proba or staged_predict, "
        "XGBClassifier, LGBMClassifier, CatBoostClassifier and their regressors, or a Pipeline "
        "that ends in one."
    )


def _evenly(n: int, n_chosen: int) -> list[int]:
    """Return at most so many numbers from 1 to n, evenly spaced, n included."""
    return sorted({-(-n * i // n_chosen) for i in range(1, n_chosen + 1)})
