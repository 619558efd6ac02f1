# SPDX-License-Identifier: BSD-3-Clause
"""What is known of skorch: what a net is, what its module returns, how it is prepared to train.

This file and `fit` are the only ones that know skorch's habits. What skorch does by default,
and what is done instead:

- it hides 20 % of the rows for validation: the clone trains on all, a `predefined_split` stays;
- it swallows Ctrl-C: here Ctrl-C ends the fit with KeyboardInterrupt, and only a callback that
  stops training (EarlyStopping) ends it well;
- it has no seed: initialisation, row order and dropout get streams of their own, and the global
  generators are left as they were;
- it passes float64 to float32 modules: floats are cast to the module's dtype;
- `predict` and `NLLLoss` mean different things for different modules: `head_of` says which.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from contextlib import suppress
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import is_regressor
from sklearn.frozen import FrozenEstimator
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNet, NeuralNetBinaryClassifier, NeuralNetClassifier, helper
from skorch.helper import predefined_split
from torch import nn
from torch.utils.data import DataLoader, Dataset

from .._warnings import located, warn_caller
from ..networks.derived import CoTeachingLoss
from ..networks.forward import (
    check_predictions,
    evaluation_mode,
    is_token_error,
    module_device,
    module_dtype,
    plain_module,
)
from ..networks.heads import HEADS, Head, first_output
from ..networks.tables import encoding_of
from ..rows.columns import Columns
from ..rows.inputs import Inputs, as_arguments, cast_floats, n_rows
from ..rows.labels import among_columns, codes_of, float_targets
from ..rows.rows import DatasetRows, LabelledDataset, Rows, as_rows
from .bare_modules import refuse_bare_modules
from .monitors import refuse_unwatched_monitors
from .sampler_ids import StandIn

_LIBRARIES = ("skorch.net", "skorch.classifier", "skorch.regressor", "sklearn.")
_LOSS_STEPS = ("get_loss", "train_step", "train_step_single", "validation_step", "evaluation_step")
_REGRESSION_LOSSES = (nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss, CoTeachingLoss)


# ------------------------------------------------------------------ what a net and a module are


class StandsForNet(ABC):
    """An estimator that may be given in place of a net: it makes the one that is trained."""

    student: NeuralNet | None  # whose rows are joined and recorded as it says
    teacher: Any  # a net, a fitted one, or None
    student_: NeuralNet
    record_: Any  # of its training

    @abstractmethod
    def _net_for(self, X: Rows, y: Any) -> NeuralNet:
        """Return an untrained net for rows."""


UNTRAINED_TYPES = (NeuralNet, StandsForNet)
NET_TYPES = (*UNTRAINED_TYPES, FrozenEstimator)  # a scorer's `estimator`, besides a record


def settings_of(estimator: Any) -> Any:
    """Return the net by whose settings rows are read: the one that stands for it holds it."""
    return estimator.student if isinstance(estimator, StandsForNet) else estimator


def refuse_other_estimators(owner: Any) -> None:
    """Raise if the `estimator` of something learns, and is not what it reads."""
    refuse_bare_modules(owner, "estimator")
    estimator = owner.estimator
    read = tuple(c for c in owner._parameter_constraints["estimator"] if isinstance(c, type))
    # A frozen network is no stranger: scikit-learn's message says what else is taken.
    if isinstance(estimator, (FrozenEstimator, *read)) or not all(
        hasattr(estimator, m) for m in ("fit", "predict")
    ):
        return
    name = (estimator if isinstance(estimator, type) else type(estimator)).__name__
    raise InvalidParameterError(
        f"The 'estimator' parameter of {type(owner).__name__} must be a torch network: a skorch "
        f"net, or None for a default one. {name} is none. Wrong labels are found with any "
        "classifier of scikit-learn that has predict_proba: LabelErrorScorer(classifier)."
    )


def frozen_net(estimator: Any) -> NeuralNet | None:
    """Return the net inside a FrozenEstimator, None if `estimator` is something else."""
    if not isinstance(estimator, FrozenEstimator):
        return None
    held = estimator.estimator
    if isinstance(held, StandsForNet):
        check_is_fitted(held)
        return held.student_
    if not isinstance(held, NeuralNet):
        raise TypeError(
            "FrozenEstimator must hold a skorch net that was fitted with RecordTraining; it holds "
            f"{type(held).__name__}. Any other classifier judges labels as it is, by clones that "
            "did not see the rows: LabelErrorScorer(classifier)."
        )
    return held


def predefined_validation_set(net: NeuralNet) -> Dataset[Any] | None:
    """Return the Dataset that a net was given by `skorch.helper.predefined_split`, if any."""
    split = net.train_split
    if isinstance(split, partial) and split.func is helper._make_split:
        return split.keywords["valid_ds"]
    return None


def warn_of_seen_rows(net: NeuralNet) -> None:
    """Warn if a net's module is an instance that the net has trained before: clones go on there."""
    if has_trained_its_module(net):
        warn_caller(
            "The network was fitted before and its module is an instance, so training starts from "
            "weights that have seen rows, and rows that are held out are none: scores come out too "
            "easy. Pass the module's class, or a fresh copy of the instance, to train anew; or "
            "FrozenEstimator(net) or a TrainingRecord to read the training that was."
        )


def keep_trace(net: Any, copy: Any) -> None:
    """Let an unfitted clone of a net know of the weights that it starts from."""
    if isinstance(net, NeuralNet) and has_trained_its_module(net):
        copy._has_trained_its_module = True


def has_trained_its_module(net: NeuralNet) -> bool:
    """Tell whether the module instance that a net was given holds what the net has learned."""
    if getattr(net, "_has_trained_its_module", False):
        return True
    if not isinstance(net.module, nn.Module) or not getattr(net, "history_", None):
        return False
    # A pickle tears the instance and the module that was trained apart; arguments make another.
    given, trained = (dict(m.named_parameters()) for m in (net.module, net.module_))
    return given.keys() == trained.keys() and all(
        torch.equal(given[name].cpu(), trained[name].cpu()) for name in given
    )


def outputs_of_first_rows(net: NeuralNet, X: Any) -> tuple[Inputs, Any]:
    """Return two rows and all that an initialized net's module returns for them, in eval mode."""
    module = net.module_
    rows = as_rows(X, collate_fn=collate_fn(net))
    _, inputs = next(rows.blocks(2, dtype=module_dtype(module), device=module_device(module)))
    with evaluation_mode(module), torch.no_grad():
        try:
            outputs = net.infer(inputs)
        except AttributeError as error:
            if isinstance(net, NeuralNetBinaryClassifier) and error.name == "dim":
                raise ValueError(
                    f"skorch's NeuralNetBinaryClassifier takes a tensor, or a tuple that begins "
                    f"with one, and the module returns {type(error.obj).__name__}. Let it return "
                    "a tuple, or use NeuralNetClassifier with criterion=nn.BCEWithLogitsLoss."
                ) from error
            raise
        except RuntimeError as error:
            if isinstance(inputs, torch.Tensor) and not inputs.is_floating_point():
                raise ValueError(
                    f"The network does not take X: {error}. X holds {inputs.dtype} and was passed "
                    "on as such, since integers may be token ids. If they are measurements, pass "
                    "X.astype('float32')."
                ) from error
            raise
    name = type(plain_module(module)).__name__
    check_predictions(first_output(outputs), n_rows(inputs), name)
    return inputs, outputs


def refuse_values_out_of_range(module: nn.Module, rows: Rows) -> None:
    """Raise for numbers that the module's dtype cannot hold, and token ids beyond its embedding."""
    dtype = module_dtype(module)
    rows.refuse_beyond(dtype)
    if not any(isinstance(m, (nn.Embedding, nn.EmbeddingBag)) for m in module.modules()):
        return
    extremes = rows.extreme_rows()
    if not len(extremes):
        return
    blocks = rows.take(extremes).blocks(len(extremes), dtype=dtype, device=module_device(module))
    _, inputs = next(blocks)
    with evaluation_mode(module), torch.no_grad():
        try:
            args, kwargs = as_arguments(inputs)
            module(*args, **kwargs)
        except (IndexError, RuntimeError) as error:
            if not is_token_error(error):
                raise
            raise ValueError(
                f"The network does not take rows {extremes.tolist()} of X, which hold its smallest "
                f"and largest integers: {error}. Token ids must lie from 0 to the size of the "
                "embedding, less 1."
            ) from error


def collate_fn(estimator: NeuralNet | StandsForNet | None) -> Any:
    """Return how a net joins the items of a Dataset, None for torch's default."""
    net = settings_of(estimator)
    if net is None:
        return None
    for name in ("iterator_valid", "iterator_train"):
        iterator = getattr(net, name)
        given = iterator.keywords if isinstance(iterator, partial) else {}
        joined_by = {**given, **net.get_params_for(name)}.get("collate_fn")
        if joined_by is not None:
            return joined_by
    return None


def columns_of(estimator: NeuralNet | StandsForNet | None) -> Columns | Literal["any"] | None:
    """Return what a net reads of DataFrames: the columns that its module encodes, None if none.

    Without a net there is going to be a default one, for any columns.
    """
    net = settings_of(estimator)
    if net is None:
        return "any"
    columns = net.get_params_for("module").get("columns")
    return columns if isinstance(columns, Columns) else None


def learn_encoding(net: NeuralNet, X: Rows, rows: Any = slice(None)) -> None:
    """Tell a net that encodes columns, before it is initialized, what it is to know of its rows."""
    columns = columns_of(net)
    if isinstance(columns, Columns):
        found = encoding_of(columns, X.data[rows])
        net.set_params(module__mean=found["mean"], module__scale=found["scale"])


def seeds_row_order(net: NeuralNet) -> bool:
    """Tell whether the order of rows is ours to seed: no generator was given for it."""
    is_loader = isinstance(net.iterator_train, type) and issubclass(net.iterator_train, DataLoader)
    return is_loader and net.get_params_for("iterator_train").get("generator") is None


def matched_to_module(
    net: NeuralNet, X: Any, y: Any, classes: NDArray[Any] | None
) -> tuple[Any, Any, NDArray[Any] | None]:
    """Refuse what cannot be trained, and give all targets the form that the loss needs.

    Returns X, y and the classes of the module's columns.
    """
    refuse_unwatched_monitors(net)
    inputs, returned = outputs_of_first_rows(net, X)
    outputs = first_output(returned)
    name = type(plain_module(net.module_)).__name__
    if classes is not None:
        if y is not None and may_lack_classes(net, outputs):
            classes, y = among_columns(classes, y, outputs.shape[1])
        head_of(net).check(outputs, len(classes), name)
    if y is not None:
        y = like_outputs(y, net, outputs)
        _give_predictions_to_loss(net)
        if not isinstance(returned, torch.Tensor):  # settle it now
            with suppress(Exception):
                net.get_loss(returned, y[: len(outputs)], X=inputs, training=False)
    if isinstance(X, LabelledDataset) and y is not None:
        X = X.with_labels(y)
    valid = predefined_validation_set(net)
    if valid is not None:
        labels = like_outputs(_validation_targets(net, valid, classes), net, outputs)
        rows = DatasetRows(valid, collate_fn(net))
        net.train_split = predefined_split(rows.with_targets(labels))
    return X, y, classes


def may_lack_classes(net: NeuralNet, outputs: torch.Tensor) -> bool:
    """Tell whether the columns of a module may be more than the classes that y happens to hold."""
    has_columns = outputs.ndim == 2 and not head_of(net).compares_shapes
    return has_columns and named_classes(net) is None


def named_classes(net: NeuralNet) -> Any:
    """Return the classes that a net was told its columns stand for, None if it was not."""
    classes = getattr(net, "classes", None)
    return None if classes is None or len(classes) == 0 else classes


def _give_predictions_to_loss(net: NeuralNet) -> None:
    """Let the loss see the predictions alone, where it does not take all that is returned."""
    skorch_infer, skorch_loss = net.infer, net.get_loss
    takes_all: bool | None = None  # not known before it is given a structure

    def get_loss(y_pred: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal takes_all
        if isinstance(y_pred, torch.Tensor) or takes_all:
            return skorch_loss(y_pred, *args, **kwargs)
        if takes_all is None:
            try:
                loss = skorch_loss(y_pred, *args, **kwargs)
            except Exception:  # whatever a loss makes of what it does not know
                loss = skorch_loss(first_output(y_pred), *args, **kwargs)
                takes_all = False
            else:
                takes_all = True
            return loss
        return skorch_loss(first_output(y_pred), *args, **kwargs)

    net.get_loss = StandIn(net, "get_loss", get_loss)
    if not any(has_own(net, name) for name in _LOSS_STEPS):

        def infer(*args: Any, **kwargs: Any) -> Any:
            returned = skorch_infer(*args, **kwargs)
            # skorch fails on a structure, so no callback is used to it; nor can its scores be.
            return first_output(returned) if takes_all is False else returned

        net.infer = StandIn(net, "infer", infer)


def has_own(net: NeuralNet, name: str) -> bool:
    """Tell whether the class of a net has a method of its own in place of skorch's."""
    return not getattr(type(net), name).__module__.startswith(_LIBRARIES)


def _validation_targets(
    net: NeuralNet, valid: Dataset[Any], classes: NDArray[Any] | None
) -> NDArray[Any]:
    """Return the targets of a validation set, coded like those of the training rows."""
    with located("in the validation set given by predefined_split"):
        y = DatasetRows(valid, collate_fn(net)).labels()
        return float_targets(y) if classes is None else codes_of(y, classes)


def like_outputs(targets: NDArray[Any], net: NeuralNet, outputs: torch.Tensor) -> NDArray[Any]:
    """Give targets the shape and dtype that the criterion compares with the module's outputs."""
    if not head_of(net).compares_shapes:
        return targets
    # (n,) against (n, 1) would broadcast to (n, n), without an error.
    row, given = tuple(outputs.shape[1:]), targets.shape[1:]
    if math.prod(row) != math.prod(given):
        raise ValueError(
            f"{type(plain_module(net.module_)).__name__} returns {math.prod(row)} number(s) a row, "
            f"but y holds {math.prod(given)}."
        )
    return np.asarray(cast_floats(targets.astype(np.float32), outputs.dtype)).reshape(-1, *row)


def is_regression(estimator: NeuralNet | StandsForNet) -> bool:
    """Tell whether a net, fitted or not, predicts numbers rather than classes."""
    net = settings_of(estimator)
    if net is None:  # there is going to be a default one
        return False
    criterion = net.criterion if isinstance(net.criterion, type) else type(net.criterion)
    return is_regressor(net) or issubclass(criterion, _REGRESSION_LOSSES)


def head_of(net: NeuralNet) -> Head:
    """Return what an initialized net's module is meant to return, from its criterion."""
    if is_regression(net):
        return HEADS["values"]
    if isinstance(net.criterion_, nn.BCEWithLogitsLoss):
        return HEADS["binary_logit"]
    if isinstance(net.criterion_, nn.NLLLoss):
        # NeuralNetClassifier takes the logarithm itself; a plain NeuralNet leaves it to the module.
        is_classifier = isinstance(net, NeuralNetClassifier)
        return HEADS["probabilities" if is_classifier else "log_probabilities"]
    return HEADS["logits"]
