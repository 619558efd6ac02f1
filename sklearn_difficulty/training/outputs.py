# SPDX-License-Identifier: BSD-3-Clause
"""What a module returns, as its criterion tells: logits, probabilities, or numbers."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import torch
from sklearn.base import is_regressor
from skorch import NeuralNet, NeuralNetClassifier
from torch import nn

OutputKind = Literal["logits", "binary_logit", "probabilities", "log_probabilities", "values"]
_REGRESSION_LOSSES = (nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss)


def is_regression(net: NeuralNet) -> bool:
    """Tell whether a net, fitted or not, predicts numbers rather than classes."""
    criterion = net.criterion if isinstance(net.criterion, type) else type(net.criterion)
    return is_regressor(net) or issubclass(criterion, _REGRESSION_LOSSES)


def output_kind(net: NeuralNet) -> OutputKind:
    """Tell what an initialized net's module is meant to return, from its criterion.

    Parameters
    ----------
    net : NeuralNet
        Initialized.

    Returns
    -------
    kind : str
        "logits", "binary_logit", "probabilities", "log_probabilities" or "values".
    """
    if is_regression(net):
        return "values"
    if isinstance(net.criterion_, nn.BCEWithLogitsLoss):
        return "binary_logit"
    if isinstance(net.criterion_, nn.NLLLoss):
        # NeuralNetClassifier takes the logarithm itself; a plain NeuralNet leaves it to the module.
        is_classifier = isinstance(net, NeuralNetClassifier)
        return "probabilities" if is_classifier else "log_probabilities"
    return "logits"


def check_outputs(
    outputs: torch.Tensor, kind: OutputKind, n_classes: int | None, module_name: str
) -> None:
    """Raise if a module does not return what its criterion and the classes ask for.

    Parameters
    ----------
    outputs : Tensor of shape (n, ...)
        For a few rows, in eval mode.
    kind : str
        What they are meant to be.
    n_classes : int or None
        None for regression, whose outputs may have any shape.
    module_name : str
        For the message.
    """
    if n_classes is None:
        return
    if kind == "binary_logit":
        if outputs[0].numel() != 1 or n_classes != 2:
            raise ValueError(
                f"BCEWithLogitsLoss needs two classes and one logit a row; there are {n_classes} "
                f"classes and {module_name} returns {tuple(outputs.shape[1:])} a row."
            )
        return
    if outputs.ndim != 2 or outputs.shape[1] != n_classes:
        raise ValueError(
            f"{module_name} returns outputs of shape {tuple(outputs.shape)} for {len(outputs)} "
            f"rows, but there are {n_classes} classes: it must return one column per class (or, "
            "for two classes, one logit, trained with nn.BCEWithLogitsLoss)."
        )
    if kind == "logits" and bool((outputs >= 0).all()) and _sums_to_one(outputs):
        warnings.warn(
            f"{module_name} returns rows that sum to 1, as if it ended in softmax, where logits "
            "are expected. Return logits; nn.CrossEntropyLoss takes the softmax itself.",
            stacklevel=2,
        )
    of_rows = outputs.exp() if kind == "log_probabilities" else outputs
    if kind != "logits" and not (bool((of_rows >= 0).all()) and _sums_to_one(of_rows)):
        raise ValueError(
            f"The criterion is NLLLoss (skorch's default), for which {module_name} must return "
            f"{kind.replace('_', '-')}, and what it returns is something else. If these are "
            "logits, pass criterion=nn.CrossEntropyLoss."
        )


def _sums_to_one(outputs: torch.Tensor) -> bool:
    return bool(torch.allclose(outputs.sum(1), torch.ones_like(outputs[:, 0]), atol=1e-3))


def first_output(outputs: Any) -> torch.Tensor:
    """Return the predictions of a module that may return more than these."""
    return outputs[0] if isinstance(outputs, (tuple, list)) else outputs


def class_logits(outputs: torch.Tensor, kind: OutputKind) -> torch.Tensor:
    """Return values (n, n_classes) whose differences are those of the logits, of a classifier."""
    if outputs.dtype in (torch.float16, torch.bfloat16):
        outputs = outputs.float()
    if kind == "binary_logit":
        logit = outputs.reshape(len(outputs))
        return torch.stack([torch.zeros_like(logit), logit], dim=1)
    if kind == "probabilities":
        return outputs.clamp(min=torch.finfo(outputs.dtype).tiny).log()
    return outputs


def class_probabilities(outputs: torch.Tensor, kind: OutputKind) -> torch.Tensor:
    """Return the probability (n, n_classes) of every class, of a classifier."""
    if kind == "probabilities":
        return outputs
    if kind == "log_probabilities":
        return outputs.exp()
    return class_logits(outputs, kind).softmax(dim=1)
