# SPDX-License-Identifier: BSD-3-Clause
"""Torch modules where an estimator is asked for: what many try first."""

from __future__ import annotations

from typing import Any

from sklearn.utils._param_validation import InvalidParameterError
from torch import nn


def refuse_bare_module(value: Any, parameter: str, owner: str) -> None:
    """Raise if a parameter is a torch module without fit, or its class, and say what trains it."""
    is_class = isinstance(value, type)
    kind = value if is_class else type(value)
    if issubclass(kind, nn.Module) and not hasattr(kind, "fit"):
        name = kind.__name__ if is_class else "module"
        raise InvalidParameterError(
            f"The '{parameter}' parameter of {owner} is a torch module, {kind.__name__}, which "
            f"cannot train itself. Pass a net of skorch: NeuralNetClassifier({name}, "
            f"criterion=torch.nn.CrossEntropyLoss), or NeuralNetRegressor({name}) for numbers. If "
            "it is trained already, TrainingRecord.from_checkpoints reads its weights."
        )


def refuse_bare_modules(owner: Any, *parameters: str) -> None:
    """Raise if some of the parameters of an estimator are torch modules."""
    for parameter in parameters:
        refuse_bare_module(getattr(owner, parameter), parameter, type(owner).__name__)
