# SPDX-License-Identifier: BSD-3-Clause
"""What a skorch net is and what its module returns; the clone that is to be trained.

This file and `fitting` are the only ones that know skorch's habits. What skorch does by default,
and what is done instead:

- it hides 20 % of the rows for validation: the clone trains on all, a `predefined_split` stays;
- it swallows Ctrl-C: here Ctrl-C ends the fit with KeyboardInterrupt, and only a callback that
  stops training (EarlyStopping) ends it well;
- it has no seed: initialisation, row order and dropout get streams of their own, and the global
  generators are left as they were;
- it passes float64 to float32 modules: floats are cast to the module's dtype;
- `predict` and `NLLLoss` mean different things for different modules: `outputs.output_kind` says
  which.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNet, helper
from skorch.dataset import ValidSplit
from torch import nn
from torch.utils.data import Dataset

from .outputs import first_output
from .recorder import RecordTraining
from .rows import Rows, iter_blocks

NET_TYPES = (NeuralNet, FrozenEstimator)  # what a scorer's `estimator` may be, besides a record


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


def plain_module(module: nn.Module) -> nn.Module:
    """Return the module itself if `module` is the wrapper that torch.compile makes."""
    return getattr(module, "_orig_mod", module)


def module_device(module: nn.Module) -> torch.device:
    """Return the device of the module's tensors, the CPU if it has none."""
    for tensor in (*module.parameters(), *module.buffers()):
        return tensor.device
    return torch.device("cpu")


def module_dtype(module: nn.Module) -> torch.dtype:
    """Return the floating dtype of the module's tensors, float32 if it has none."""
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            return tensor.dtype
    return torch.float32


def call_module(module: nn.Module, inputs: Any) -> torch.Tensor:
    """Run a forward pass on a block of inputs; a dict is spread over keyword arguments."""
    if isinstance(inputs, dict):
        return first_output(module(**inputs))
    return first_output(module(inputs))


@contextmanager
def evaluation_mode(module: nn.Module) -> Iterator[None]:
    """Put every submodule in eval mode, and each back in its own mode afterwards."""
    modes = {submodule: submodule.training for submodule in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for submodule, mode in modes.items():
            submodule.training = mode


# ------------------------------------------------------------------------- a net that is to train


def find_recorder(callbacks: Any) -> RecordTraining | None:
    """Return the RecordTraining among a net's callbacks, if there is one."""
    if not isinstance(callbacks, (list, tuple)):
        return None
    for item in callbacks:
        callback = item[1] if isinstance(item, (tuple, list)) else item
        if isinstance(callback, RecordTraining):
            return callback
    return None


def classes_seen(recorder: RecordTraining) -> NDArray[Any] | None:
    """Return the labels that the output columns stand for, as skorch understands them."""
    seen, n_columns = recorder.classes_, recorder.n_outputs_
    if n_columns is None or n_columns == 1 or (seen is not None and seen.dtype.kind not in "iu"):
        return seen
    # To skorch a label is the position of a column, also where y lacks some of them.
    return np.arange(n_columns)


def predefined_validation_set(net: NeuralNet) -> Dataset[Any] | None:
    """Return the Dataset that a net was given by `skorch.helper.predefined_split`, if any."""
    split = net.train_split
    if isinstance(split, partial) and split.func is helper._make_split:
        return split.keywords["valid_ds"]
    return None


def training_clone(net: NeuralNet, recorder: RecordTraining, *, verbose: int) -> NeuralNet:
    """Return an unfitted clone that trains on every row and carries a recorder.

    Parameters
    ----------
    net : NeuralNet
        The user's net; it is not changed.
    recorder : RecordTraining
        Attached unless the net has one of its own.
    verbose : int
        0 silences the clone; otherwise the net's own setting holds.

    Returns
    -------
    clone : NeuralNet
        Not initialized.
    """
    copy = clone(net)
    if predefined_validation_set(copy) is None:
        split = copy.train_split
        is_default = isinstance(split, ValidSplit) and split.cv == 5
        if split is not None and not is_default:
            warnings.warn(
                f"train_split={split!r} is left out: every row is trained on and "
                "scored. To watch a validation set, pass "
                "train_split=skorch.helper.predefined_split(valid_dataset).",
                stacklevel=2,
            )
        copy.set_params(train_split=None)
    if getattr(copy, "classes", None) is not None:
        copy.set_params(classes=None)  # labels reach the clone as codes
    if verbose == 0:
        copy.set_params(verbose=0)
    if find_recorder(copy.callbacks) is None:
        # By hand: set_params fails if there is no callback yet.
        if copy.callbacks == "disable":
            copy.callbacks = []
            for name, _ in copy.get_default_callbacks():
                copy.set_params(**{f"callbacks__{name}": None})
        # First, so that a callback that stops training does not do so before the epoch is kept.
        copy.callbacks = [("record_training", recorder), *(copy.callbacks or [])]
    return copy


def refuse_unwatched_monitors(net: NeuralNet) -> None:
    """Raise if a callback waits for validation scores that will never come."""
    if net.train_split is not None:
        return
    for name, callback in net.callbacks_:
        monitor = getattr(callback, "monitor", None)
        if isinstance(monitor, str) and monitor.startswith("valid"):
            raise ValueError(
                f"The callback {name!r} ({type(callback).__name__}) monitors {monitor!r}, but the "
                "network trains on every row it is given and has no validation set. Pass one with "
                "train_split=skorch.helper.predefined_split(valid_dataset), or monitor "
                "'train_loss'."
            )


def outputs_of_first_rows(net: NeuralNet, X: Rows) -> torch.Tensor:
    """Return what the module of an initialized net says about two rows, in eval mode."""
    module = net.module_
    blocks = iter_blocks(
        X,
        2,
        dtype=module_dtype(module),
        device=module_device(module),
        collate_fn=collate_fn(net),
    )
    _, inputs = next(blocks)
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
    iterators = (net.get_params_for(name) for name in ("iterator_valid", "iterator_train"))
    return next((it["collate_fn"] for it in iterators if it.get("collate_fn")), None)
