# SPDX-License-Identifier: BSD-3-Clause
"""Losses that torch does not have."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from .._arrays import as_floats

__all__ = ["ScaledL1Loss", "ZeroMarginHingeLoss"]


class ZeroMarginHingeLoss(nn.Module):
    r"""Hinge loss with margin 0: it stops pulling at a row once the prediction is right.

    The paper trains with it to get small margins. With full-batch gradient descent and a tiny
    learning rate, classes then come apart in the last layers only, so that prediction depths are
    large; with stochastic gradient descent they do not wait that long (appendix A.7).

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default="mean"
        Whether the losses of the rows are averaged, summed or returned one by one.

    See Also
    --------
    torch.nn.MultiMarginLoss : With ``margin=0``, this loss divided by the number of classes.

    Notes
    -----
    For a row with logits :math:`z` and label :math:`i` the loss is

    .. math:: \ell = \sum_{j \neq i} \max(0, z_j - z_i),

    which is 0, and whose gradient is 0, where no logit exceeds that of the label. The paper prints
    :math:`\max(0, z_i - z_j)` in its section 3.3, with the sign turned round: that expression is 0
    only where all other logits exceed that of the label, and would teach the network to be wrong.
    The property which the paper states (appendix A.7: the gradient is zero if the prediction is
    correct) is the one of the formula above.

    As skorch knows the softmax only of ``nn.CrossEntropyLoss``, ``predict_proba`` of a
    ``NeuralNetClassifier`` with this criterion returns logits; ``predict`` is right all the same.
    Pass ``predict_nonlinearity`` as in the example to have rows that sum to 1. They rank the
    classes, but the loss does not teach them to be probabilities. A saved `TrainingRecord` holds no
    code of its loss: give ``criterion=ZeroMarginHingeLoss()`` to ``TrainingRecord.load``.

    References
    ----------
    R. Baldock, H. Maennel, B. Neyshabur, "Deep Learning Through the Lens of Example Difficulty",
    NeurIPS 2021, :arxiv:`2106.09647`.

    Examples
    --------
    >>> from functools import partial
    >>> import torch
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_difficulty.training import (
    ...     ZeroMarginHingeLoss,
    ...     default_network,
    ... )
    >>> logits = torch.tensor([[1.0, 3.0, 2.0], [1.0, 3.0, 2.0]])
    >>> ZeroMarginHingeLoss(reduction="none")(logits, torch.tensor([1, 2]))
    tensor([0., 1.])

    In a net, which has to be told how to make probabilities:

    >>> X, y = load_digits(return_X_y=True)
    >>> net = default_network(X, y).set_params(
    ...     criterion=ZeroMarginHingeLoss,
    ...     predict_nonlinearity=partial(torch.softmax, dim=-1),
    ...     max_epochs=5,
    ... )
    >>> net.fit(X.astype("float32"), y).predict_proba(
    ...     X[:4].astype("float32")
    ... ).shape
    (4, 10)
    """

    def __init__(self, reduction: Literal["mean", "sum", "none"] = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss of logits (n, n_classes) with the codes (n,) of their labels.

        Parameters
        ----------
        input : Tensor of shape (n, n_classes)
            The logits.
        target : Tensor of shape (n,)
            Codes of the labels, from 0 to ``n_classes - 1``, as integers.

        Returns
        -------
        loss : Tensor of shape () or, for ``reduction="none"``, (n,)
            Not negative.
        """
        if not isinstance(self.reduction, str) or self.reduction not in ("mean", "sum", "none"):
            raise ValueError(f"reduction must be 'mean', 'sum' or 'none'; got {self.reduction!r}.")
        if input.ndim != 2 or target.shape != input.shape[:1]:
            raise ValueError(
                "Expected logits of shape (n, n_classes) and labels of shape (n,); got "
                f"{tuple(input.shape)} and {tuple(target.shape)}."
            )
        excess = input - input.gather(1, target.unsqueeze(1))
        # Not clamp, whose gradient at 0 is 1: the label's own column and ties would get one.
        losses = torch.relu(excess).sum(1)
        if self.reduction == "none":
            return losses
        return losses.mean() if self.reduction == "mean" else losses.sum()


class ScaledL1Loss(nn.L1Loss):
    r"""Absolute error in units of a scale of its own for every column of the targets.

    The default network for regression is trained with it: neither the units of a target nor a few
    targets that are far off decide about the size of the steps.

    Parameters
    ----------
    scale : float or array-like of shape (n_outputs,), default=1.0
        By what errors are divided; positive.
    reduction : {"mean", "sum", "none"}, default="mean"
        Whether the errors are averaged, summed or returned one by one.

    See Also
    --------
    default_network : With ``task="regression"``, trains with this loss.

    Notes
    -----
    For outputs :math:`f` and targets :math:`y` with scale :math:`s` it is :math:`|f - y| / s`. What
    makes its mean smallest is the median. A saved `TrainingRecord` holds no code of its loss: give
    ``criterion=ScaledL1Loss(scale)`` to ``TrainingRecord.load``.

    Examples
    --------
    >>> import torch
    >>> from sklearn_difficulty.training import ScaledL1Loss
    >>> loss = ScaledL1Loss(scale=[1.0, 1000.0])
    >>> float(loss(torch.tensor([[1.0, 3000.0]]), torch.tensor([[2.0, 2000.0]])))
    1.0
    """

    scale: torch.Tensor

    def __init__(
        self, scale: Any = 1.0, reduction: Literal["mean", "sum", "none"] = "mean"
    ) -> None:
        if not isinstance(reduction, str) or reduction not in ("mean", "sum", "none"):
            raise ValueError(f"reduction must be 'mean', 'sum' or 'none'; got {reduction!r}.")
        super().__init__(reduction=reduction)
        with np.errstate(over="ignore", under="ignore"):
            numbers = as_floats(scale, "scale").astype(np.float32)
        if numbers.ndim > 1 or not numbers.size or not (np.isfinite(numbers) & (numbers > 0)).all():
            raise ValueError(
                "scale must be positive and finite, one number or one for each column of the "
                f"targets; got {scale!r}."
            )
        self.register_buffer("scale", torch.from_numpy(numbers))

    def forward(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss of outputs and targets of one shape, (n,) or (n, n_outputs).

        Parameters
        ----------
        input : Tensor of shape (n,) or (n, n_outputs)
            The outputs.
        target : Tensor of the same shape
            The targets.

        Returns
        -------
        loss : Tensor of shape () or, for ``reduction="none"``, of that of `input`
            Not negative.
        """
        n_scales = self.scale.numel()
        if n_scales > 1 and (input.ndim < 2 or input.shape[-1] != n_scales):
            raise ValueError(
                f"scale holds {n_scales} numbers, one per column, and the outputs have the shape "
                f"{tuple(input.shape)}."
            )
        return super().forward(input / self.scale, target / self.scale)
