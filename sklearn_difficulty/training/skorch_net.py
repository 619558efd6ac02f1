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
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import is_regressor
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNet, NeuralNetClassifier, helper
from skorch.helper import predefined_split
from torch import nn
from torch.utils.data import DataLoader, Dataset

from .._warnings import located, warn_caller
from ..networks.forward import evaluation_mode, module_device, module_dtype, plain_module
from ..networks.heads import HEADS, Head, first_output
from ..rows.inputs import cast_floats
from ..rows.labels import codes_of, float_targets
from ..rows.rows import DatasetRows, LabelledDataset, as_rows
from .monitors import refuse_unwatched_monitors

NET_TYPES = (NeuralNet, FrozenEstimator)  # what a scorer's `estimator` may be, besides a record
_REGRESSION_LOSSES = (nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss)


# ------------------------------------------------------------------ what a net and a module are


def frozen_net(estimator: Any) -> NeuralNet | None:
    """Return the net inside a FrozenEstimator, None if `estimator` is something else."""
    if not isinstance(estimator, FrozenEstimator):
        return None
    if not isinstance(estimator.estimator, NeuralNet):
        raise TypeError(
            "FrozenEstimator must hold a skorch net that was fitted with RecordTraining; it holds "
            f"{type(estimator.estimator).__name__}."
        )
    return estimator.estimator


def predefined_validation_set(net: NeuralNet) -> Dataset[Any] | None:
    """Return the Dataset that a net was given by `skorch.helper.predefined_split`, if any."""
    split = net.train_split
    if isinstance(split, partial) and split.func is helper._make_split:
        return split.keywords["valid_ds"]
    return None


def warn_of_seen_rows(net: NeuralNet) -> None:
    """Warn if a net's module is an instance that the net has trained before: clones go on there."""
    if _has_trained_its_module(net):
        warn_caller(
            "The network was fitted before and its module is an instance, so training starts from "
            "weights that have seen rows, and rows that are held out are none: scores come out too "
            "easy. Pass the module's class, or a fresh copy of the instance, to train anew; or "
            "FrozenEstimator(net) or a TrainingRecord to read the training that was."
        )


def keep_trace(net: Any, copy: Any) -> None:
    """Let an unfitted clone of a net know of the weights that it starts from."""
    if isinstance(net, NeuralNet) and _has_trained_its_module(net):
        copy._has_trained_its_module = True


def _has_trained_its_module(net: NeuralNet) -> bool:
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


def outputs_of_first_rows(net: NeuralNet, X: Any) -> torch.Tensor:
    """Return what the module of an initialized net says about two rows, in eval mode."""
    module = net.module_
    rows = as_rows(X, collate_fn=collate_fn(net))
    _, inputs = next(rows.blocks(2, dtype=module_dtype(module), device=module_device(module)))
    with evaluation_mode(module), torch.no_grad():
        try:
            return first_output(net.infer(inputs))
        except RuntimeError as error:
            if isinstance(inputs, torch.Tensor) and not inputs.is_floating_point():
                raise ValueError(
                    f"The network does not take X: {error}. X holds {inputs.dtype} and was passed "
                    "on as such, since integers may be token ids. If they are measurements, pass "
                    "X.astype('float32')."
                ) from error
            raise


def collate_fn(net: NeuralNet | None) -> Any:
    """Return how a net joins the items of a Dataset, None for torch's default."""
    if net is None:
        return None
    for name in ("iterator_valid", "iterator_train"):
        iterator = getattr(net, name)
        given = iterator.keywords if isinstance(iterator, partial) else {}
        joined_by = {**given, **net.get_params_for(name)}.get("collate_fn")
        if joined_by is not None:
            return joined_by
    return None


def seeds_row_order(net: NeuralNet) -> bool:
    """Tell whether the order of rows is ours to seed: no generator was given for it."""
    is_loader = isinstance(net.iterator_train, type) and issubclass(net.iterator_train, DataLoader)
    return is_loader and net.get_params_for("iterator_train").get("generator") is None


def matched_to_module(
    net: NeuralNet, X: Any, y: Any, classes: NDArray[Any] | None
) -> tuple[Any, Any]:
    """Refuse what cannot be trained, and give all targets the form that the loss needs."""
    refuse_unwatched_monitors(net)
    outputs = outputs_of_first_rows(net, X)
    name = type(plain_module(net.module_)).__name__
    if classes is not None:
        head_of(net).check(outputs, len(classes), name)
    if y is not None:
        y = like_outputs(y, net, outputs)
    if isinstance(X, LabelledDataset) and y is not None:
        X = LabelledDataset(X.dataset, y)
    valid = predefined_validation_set(net)
    if valid is not None:
        labels = like_outputs(_validation_targets(net, valid, classes), net, outputs)
        net.train_split = predefined_split(LabelledDataset(valid, labels))
    return X, y


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


def is_regression(net: NeuralNet) -> bool:
    """Tell whether a net, fitted or not, predicts numbers rather than classes."""
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
