# SPDX-License-Identifier: BSD-3-Clause
"""Nets made of a regressor: an expert with its body and two classes, and two that teach each other.

They are trained as the regressor is: its optimiser, learning rate, batches, epochs and device.
"""

from __future__ import annotations

from typing import Any

from skorch import NeuralNet, NeuralNetClassifier
from skorch.callbacks import GradientNormClipping, LRScheduler
from torch import nn

from ..networks.derived import CoTeachingLoss, TwoClassBody, TwoNetworks

_OF_TRAINING = ("optimizer", "iterator_train", "iterator_valid", "dataset")
_OF_STEPS = (LRScheduler, GradientNormClipping)  # callbacks that any network can be trained with


def two_class_net(net: NeuralNet, layer: str, width: int) -> NeuralNetClassifier:
    """Return a classifier of two classes with a regressor's body; `layer` is its last, linear one.

    Of the callbacks it has those that belong to the steps of training.
    """
    settings = net.get_params(deep=False)
    shared = {
        name: value
        for name, value in settings.items()
        if name.partition("__")[0] in _OF_TRAINING
        or name in ("lr", "batch_size", "max_epochs", "device")
    }
    callbacks = net.callbacks if isinstance(net.callbacks, (list, tuple)) else []
    return NeuralNetClassifier(
        TwoClassBody,
        module__module=net.module,
        module__settings=_of(settings, "module"),
        module__layer=layer,
        module__width=width,
        criterion=nn.CrossEntropyLoss,
        train_split=None,
        callbacks=[item for item in callbacks if isinstance(_callback(item), _OF_STEPS)],
        verbose=net.verbose,
        **shared,
    )


def teaching_net(net: NeuralNet) -> NeuralNet:
    """Return a net that trains two of a regressor's module, each on rows that the other chooses."""
    if isinstance(net.module, nn.Module):
        raise ValueError(
            "With co_teaching two networks are trained that must start from other weights, and the "
            f"network's module is an instance. Pass the class, {type(net.module).__name__}."
        )
    settings = net.get_params(deep=False)
    others = {
        name: value
        for name, value in settings.items()
        if name.partition("__")[0] not in ("module", "criterion")
    }
    return type(net)(
        module=TwoNetworks,
        module__module=net.module,
        module__settings=_of(settings, "module"),
        criterion=CoTeachingLoss,
        criterion__criterion=net.criterion,
        criterion__settings=_of(settings, "criterion"),
        **others,
    )


def _of(settings: dict[str, Any], part: str) -> dict[str, Any]:
    """Return the settings of a part of a net, by the names that the part knows."""
    prefix = f"{part}__"
    return {
        name.removeprefix(prefix): value
        for name, value in settings.items()
        if name.startswith(prefix)
    }


def _callback(item: Any) -> Any:
    """Return the callback of an item of a net's list, which may have a name."""
    return item[1] if isinstance(item, (tuple, list)) else item
