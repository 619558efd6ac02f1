# SPDX-License-Identifier: BSD-3-Clause
"""Heads: what a module returns, as its criterion tells, and what follows from it.

One class per kind of output, `HEADS` by name. The formulas of `row_statistics` stand in NumPy in
`measures.dynamics` too, which is the reference; a test holds the two together.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal

import torch
from torch import nn

OutputKind = Literal["logits", "binary_logit", "probabilities", "log_probabilities", "values"]


def first_output(outputs: Any) -> Any:
    """Return the predictions of a module that may return more: its `logits`, or the first array."""
    if hasattr(outputs, "ndim"):
        return outputs
    is_dict = isinstance(outputs, Mapping)
    logits = outputs.get("logits") if is_dict else getattr(outputs, "logits", None)
    parts = outputs if isinstance(outputs, (tuple, list)) else ()
    for part in (logits, *parts):
        if getattr(part, "ndim", 0):  # a loss may come first
            return part
        if isinstance(part, (tuple, list)):  # ((logits, attention), hidden)
            with suppress(ValueError):
                return first_output(part)
    held = f" with {[str(name) for name in outputs]}" if is_dict else ""
    raise ValueError(
        f"The network returns {type(outputs).__name__}{held}, in which predictions cannot be "
        "found. Let its forward return a tensor, a tuple that begins with one, or an object or a "
        "dict whose logits are one."
    )


class Head(ABC):
    """What a module returns for every row."""

    name: OutputKind
    usual_loss: type[nn.Module]
    is_regression = False
    has_logits = False  # the values before the softmax are what is returned
    compares_shapes = False  # the loss wants targets of the outputs' shape and type

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    @abstractmethod
    def check(self, outputs: torch.Tensor, n_classes: int, module_name: str) -> None:
        """Raise if outputs of a few rows are not what criterion and classes ask for."""

    @abstractmethod
    def fits(self, outputs: torch.Tensor, labels: torch.Tensor) -> bool:
        """Tell whether outputs have the shape of their kind, and there is a label for each."""

    def n_classes(self, outputs: torch.Tensor) -> int:
        """Return how many classes the outputs tell apart."""
        return outputs.shape[1]

    @abstractmethod
    def logits(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return values (n, n_classes) whose differences are those of the logits."""

    def probabilities(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the probability (n, n_classes) of every class."""
        return self.logits(outputs).softmax(dim=1)

    def answers(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return what is kept of outputs: probabilities, or the values (n, n_outputs)."""
        return self.probabilities(outputs)

    @abstractmethod
    def predicted(self, outputs: torch.Tensor) -> torch.Tensor | None:
        """Return the position of the predicted class of every row; None for regression."""

    @abstractmethod
    def logit(self, outputs: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        """Return the logit (n,) of the labels; of a regressor, its value."""

    @abstractmethod
    def probability(self, outputs: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        """Return the probability (n,) of the labels."""

    def for_loss(self, outputs: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, Any]:
        """Return outputs and labels as the loss compares them."""
        if self.compares_shapes:
            labels = labels.to(outputs.dtype).reshape(outputs.shape)
        return outputs, labels

    def labels(self, labels: torch.Tensor, outputs: torch.Tensor) -> torch.Tensor:
        """Return labels as positions of classes, or raise if they are none."""
        labels = labels.reshape(len(labels))
        positions, n_classes = labels.long(), self.n_classes(outputs)
        bad = (positions < 0) | (positions >= n_classes) | (positions != labels)
        if bool(bad.any()):
            raise ValueError(
                f"labels hold {labels[bad].unique()[:5].tolist()} and must be positions of the "
                f"{n_classes} classes"
            )
        return positions

    def row_statistics(
        self, outputs: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return p of the given label, margin, loss and EL2N (4, n), and logits (n, n_classes)."""
        logits = self.logits(outputs).float()
        given = labels[:, None]
        log_probability = logits.log_softmax(dim=1)
        loss = -log_probability.gather(1, given)[:, 0]
        probability = log_probability.exp()
        p_given = probability.gather(1, given)[:, 0]
        # The squared length of p - e_y: that of p without p_y, and 1 - p_y.
        others = probability.scatter(1, given, 0.0).square().sum(dim=1)
        el2n = (others + (1 - p_given).square()).sqrt()
        runner_up = logits.scatter(1, given, -torch.inf).amax(dim=1)
        margin = logits.gather(1, given)[:, 0] - runner_up
        return torch.stack([p_given, margin, loss, el2n]), logits

    def entropy(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the entropy (n,) of the class probabilities in nats."""
        return torch.special.entr(logits.softmax(dim=1)).sum(dim=1)


class Logits(Head):
    """One value per class, before the softmax."""

    name: OutputKind = "logits"
    usual_loss: type[nn.Module] = nn.CrossEntropyLoss
    has_logits = True

    def check(self, outputs: torch.Tensor, n_classes: int, module_name: str) -> None:
        """Raise if there is not one column per class; warn if there is a softmax."""
        _check_columns(outputs, n_classes, module_name)
        if _are_probabilities(outputs):
            warnings.warn(
                f"{module_name} returns rows that sum to 1, as if it ended in softmax, where "
                "logits are expected. Return logits; nn.CrossEntropyLoss takes the softmax itself.",
                stacklevel=2,
            )

    def fits(self, outputs: torch.Tensor, labels: torch.Tensor) -> bool:
        """Tell whether there is a column per class and a label per row."""
        return outputs.ndim == 2 and outputs.shape[1] > 1 and labels.numel() == len(labels)

    def logits(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the outputs, in single precision at least."""
        return at_least_single(outputs)

    def predicted(self, outputs: torch.Tensor) -> torch.Tensor | None:
        """Return the column of the largest value."""
        return outputs.argmax(dim=1)

    def logit(self, outputs: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        """Return the value in the labels' columns."""
        assert labels is not None
        return outputs.gather(1, labels[:, None])[:, 0]

    def probability(self, outputs: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        """Return the softmax in the labels' columns."""
        return self.logit(outputs.softmax(dim=1), labels)


class Probabilities(Logits):
    """One probability per class, as skorch's NeuralNetClassifier wants it for NLLLoss."""

    name: OutputKind = "probabilities"
    usual_loss: type[nn.Module] = nn.NLLLoss
    has_logits = False

    def check(self, outputs: torch.Tensor, n_classes: int, module_name: str) -> None:
        """Raise if the rows are no probabilities."""
        _check_columns(outputs, n_classes, module_name)
        if not _are_probabilities(self.probabilities(outputs)):
            raise ValueError(
                f"With NLLLoss, skorch's default criterion, or with outputs={self.name!r}, "
                f"{module_name} must return {self.name.replace('_', '-')}, and what it returns is "
                "something else. If these are logits, pass criterion=nn.CrossEntropyLoss to a net, "
                "outputs='logits' to a recorder."
            )

    def logits(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the logarithms."""
        outputs = at_least_single(outputs)
        return outputs.clamp(min=torch.finfo(outputs.dtype).tiny).log()

    def probabilities(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the outputs."""
        return outputs

    def probability(self, outputs: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        """Return the probability in the labels' columns."""
        return self.logit(self.probabilities(outputs), labels)

    def for_loss(self, outputs: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, Any]:
        """Return the logarithms, as skorch takes them, and the labels."""
        return torch.log(outputs + torch.finfo(outputs.dtype).eps), labels


class LogProbabilities(Probabilities):
    """One logarithm of a probability per class, as torch's NLLLoss wants it."""

    name: OutputKind = "log_probabilities"

    def logits(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the outputs, in single precision at least."""
        return at_least_single(outputs)

    def probabilities(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the exponentials."""
        return outputs.exp()

    def for_loss(self, outputs: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, Any]:
        """Return both as they are."""
        return outputs, labels


class BinaryLogit(Head):
    """The logit of the second of two classes."""

    name: OutputKind = "binary_logit"
    usual_loss: type[nn.Module] = nn.BCEWithLogitsLoss
    has_logits = True
    compares_shapes = True

    def check(self, outputs: torch.Tensor, n_classes: int, module_name: str) -> None:
        """Raise unless there are two classes and one value a row."""
        if outputs.numel() != len(outputs) or n_classes != 2:
            raise ValueError(
                f"BCEWithLogitsLoss needs two classes and one logit a row; there are {n_classes} "
                f"classes and {module_name} returns {tuple(outputs.shape[1:])} a row."
            )

    def fits(self, outputs: torch.Tensor, labels: torch.Tensor) -> bool:
        """Tell whether there are one value and one label per row."""
        return outputs.numel() == len(outputs) and labels.numel() == len(labels)

    def n_classes(self, outputs: torch.Tensor) -> int:
        """Return 2."""
        return 2

    def logits(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return 0 for the first class and the logit for the second."""
        logit = at_least_single(outputs).reshape(len(outputs))
        return torch.stack([torch.zeros_like(logit), logit], dim=1)

    def predicted(self, outputs: torch.Tensor) -> torch.Tensor | None:
        """Return 1 where the logit is positive."""
        return (outputs.reshape(len(outputs)) > 0).long()

    def logit(self, outputs: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        """Return the logit, its sign turned round for the first class."""
        assert labels is not None
        return outputs.reshape(len(outputs)) * (2 * labels - 1)

    def probability(self, outputs: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        """Return the sigmoid of that."""
        return self.logit(outputs, labels).sigmoid()


class Values(Head):
    """Numbers: a regressor."""

    name: OutputKind = "values"
    usual_loss: type[nn.Module] = nn.MSELoss
    is_regression = True
    compares_shapes = True

    def check(self, outputs: torch.Tensor, n_classes: int, module_name: str) -> None:
        """Accept any shape."""

    def fits(self, outputs: torch.Tensor, labels: torch.Tensor) -> bool:
        """Tell whether there is a target for every value."""
        return labels.numel() == outputs.numel()

    def answers(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the values, with an axis for them also if there is one."""
        return outputs.reshape(len(outputs), -1)

    def logits(self, outputs: torch.Tensor) -> torch.Tensor:
        """Raise: there are no classes."""
        raise ValueError("A regressor has neither logits nor probabilities.")

    def predicted(self, outputs: torch.Tensor) -> torch.Tensor | None:
        """Return None."""
        return None

    def logit(self, outputs: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        """Return the value, if there is one a row."""
        if outputs[0].numel() != 1:
            raise ValueError(
                f"The regressor predicts {outputs[0].numel()} values a row, and the logit target "
                "needs one: use target='loss'."
            )
        return outputs.reshape(len(outputs))

    def probability(self, outputs: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        """Raise: there are no classes."""
        return self.logits(outputs)

    def labels(self, labels: torch.Tensor, outputs: torch.Tensor) -> torch.Tensor:
        """Return targets in single precision."""
        return labels.float()

    def row_statistics(
        self, outputs: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the squared error, summed over the outputs of a row; the rest is NaN."""
        values = outputs.reshape(len(outputs), -1)
        loss = (values - labels.reshape(values.shape)).square().sum(dim=1)
        missing = torch.full_like(loss, torch.nan)
        return torch.stack([missing, missing, loss, missing]), values

    def entropy(self, logits: torch.Tensor) -> torch.Tensor:
        """Return NaN."""
        return torch.full_like(logits[:, 0], torch.nan)


HEADS: dict[str, Head] = {
    head.name: head
    for head in (Logits(), BinaryLogit(), Probabilities(), LogProbabilities(), Values())
}


def head_named(outputs: Any) -> Head:
    """Return the head of a kind of outputs, or say which there are."""
    if not isinstance(outputs, str) or outputs not in HEADS:
        raise ValueError(f"outputs must be one of {sorted(HEADS)}; got {outputs!r}.")
    return HEADS[outputs]


def _check_columns(outputs: torch.Tensor, n_classes: int, module_name: str) -> None:
    """Raise unless there is one column per class."""
    if outputs.ndim != 2 or outputs.shape[1] != n_classes:
        raise ValueError(
            f"{module_name} returns outputs of shape {tuple(outputs.shape)} for {len(outputs)} "
            f"rows, but there are {n_classes} classes: it must return one column per class (or, "
            "for two classes, one logit, trained with nn.BCEWithLogitsLoss). If y lacks some of "
            "its classes, name all of them, in the order of the columns: classes=[...] of the net."
        )


def _are_probabilities(outputs: torch.Tensor) -> bool:
    """Tell whether rows are not negative and sum to 1."""
    sums = outputs.sum(1)
    return bool((outputs >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-3)


def at_least_single(values: torch.Tensor) -> torch.Tensor:
    """Return values in single precision if they are in half precision, else as they are."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
