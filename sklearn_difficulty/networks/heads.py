# SPDX-License-Identifier: BSD-3-Clause
"""What a module returns, as its criterion tells: logits, probabilities, or numbers."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import torch
from torch import nn

OutputKind = Literal["logits", "binary_logit", "probabilities", "log_probabilities", "values"]


DEFAULT_LOSS: dict[str, type[nn.Module]] = {
    "logits": nn.CrossEntropyLoss,
    "binary_logit": nn.BCEWithLogitsLoss,
    "probabilities": nn.NLLLoss,
    "log_probabilities": nn.NLLLoss,
    "values": nn.MSELoss,
}


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


def predicted_codes(outputs: torch.Tensor, kind: OutputKind) -> torch.Tensor | None:
    """Return the position of the predicted class of every row; None for regression."""
    if kind == "values":
        return None
    if kind == "binary_logit":
        return (outputs.reshape(len(outputs)) > 0).long()
    return outputs.argmax(dim=1)


def _logit(outputs: torch.Tensor, kind: OutputKind, labels: torch.Tensor | None) -> torch.Tensor:
    if kind == "values":
        return outputs.reshape(len(outputs))
    assert labels is not None
    if kind == "binary_logit":
        return outputs.reshape(len(outputs)) * (2 * labels - 1)
    return outputs.gather(1, labels[:, None])[:, 0]


def _probability(
    outputs: torch.Tensor, kind: OutputKind, labels: torch.Tensor | None
) -> torch.Tensor:
    if kind == "logits":
        outputs = outputs.softmax(dim=1)
    elif kind == "log_probabilities":
        outputs = outputs.exp()
    selected = _logit(outputs, kind, labels)
    return selected.sigmoid() if kind == "binary_logit" else selected


def row_statistics(
    outputs: torch.Tensor, labels: torch.Tensor, kind: OutputKind
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what is recorded of every row, and its logits.

    Parameters
    ----------
    outputs : Tensor of shape (n, ...)
        What a network returned.
    labels : Tensor of shape (n,)
        Positions of the given labels; targets for a regressor.
    kind : str
        What the outputs are.

    Returns
    -------
    statistics : Tensor of shape (4, n)
        Probability of the given label, margin, loss, EL2N; for a regressor NaN but for the loss.
    logits : Tensor of shape (n, n_classes)
        For a regressor its outputs, flattened.
    """
    if kind == "values":
        values = outputs.reshape(len(outputs), -1)
        loss = (values - labels.reshape(values.shape)).square().sum(dim=1)
        missing = torch.full_like(loss, torch.nan)
        return torch.stack([missing, missing, loss, missing]), values
    logits = class_logits(outputs, kind).float()
    given = labels[:, None]
    log_probability = logits.log_softmax(dim=1)
    loss = -log_probability.gather(1, given)[:, 0]
    probability = log_probability.exp()
    of_given = probability.gather(1, given)[:, 0]
    # The squared length of p - e_y: that of p without p_y, and 1 - p_y.
    others = probability.scatter(1, given, 0.0).square().sum(dim=1)
    el2n = (others + (1 - of_given).square()).sqrt()
    runner_up = logits.scatter(1, given, -torch.inf).amax(dim=1)
    margin = logits.gather(1, given)[:, 0] - runner_up
    return torch.stack([of_given, margin, loss, el2n]), logits
