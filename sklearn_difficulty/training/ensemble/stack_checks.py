# SPDX-License-Identifier: BSD-3-Clause
"""Which networks can be trained as a stack, whether that pays, and how many at a time.

A network is stacked only if nothing in it could change the result. What is known of skorch and
torch is looked up; what a module does is found by a trial.
"""

from __future__ import annotations

import numpy as np
import skorch.dataset
import torch
from joblib import effective_n_jobs
from joblib.parallel import get_active_backend
from numpy.typing import NDArray
from sklearn import get_config
from skorch import NeuralNet
from skorch.callbacks import (
    BatchScoring,
    EpochScoring,
    EpochTimer,
    LRScheduler,
    PassthroughScoring,
    PrintLog,
    ProgressBar,
)
from torch import nn
from torch.utils.data import DataLoader

from ..._randomness import isolated_rng
from ..._warnings import warn_caller
from ...networks.forward import module_device
from ...networks.probabilities import BLOCK_ROWS
from ..recorder import RecordTraining, find_recorder
from ..skorch_net import has_own, predefined_validation_set
from .member import Pool
from .stack import Stack, initialized
from .stack_trial import trial

_ELEMENTWISE = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)

# They report on a training and leave it alone.
_REPORTS = (
    BatchScoring,
    EpochScoring,
    EpochTimer,
    PassthroughScoring,
    PrintLog,
    ProgressBar,
    RecordTraining,
)

# What a subclass may do in its own way: make the module, and predict.
_FREE = {
    "classes_",
    "forward",
    "forward_iter",
    "initialize_criterion",
    "initialize_module",
    "predict",
    "predict_proba",
    "score",
}

_LOADER_OPTIONS = {"batch_size", "drop_last", "num_workers", "pin_memory", "shuffle"}
_LOCAL_BACKENDS = ("LokyBackend", "MultiprocessingBackend", "SequentialBackend", "ThreadingBackend")
_CUDA_SHARE = 0.5
_CPU_STACK = 8  # members
_MAX_CPU_WEIGHTS = 1_000_000  # beyond, the products take all the time
_COPIES_OF_ACTIVATIONS = 3  # the activation, its gradient, and what the next operation makes


def choose_backend(pool: Pool, masks: NDArray[np.bool_], wanted: str) -> tuple[str, str | None]:
    """Return how members are trained, and what keeps them from being stacked."""
    if wanted == "joblib":
        return "joblib", None
    reason = obstacle(pool, masks)
    if reason is not None and wanted == "stacked":
        warn_caller(
            f"The members are trained one by one, because {reason}. Set backend='joblib', and "
            "n_jobs, to choose that yourself."
        )
    if reason is None and wanted == "auto":
        active, _ = get_active_backend()
        if type(active).__name__ not in _LOCAL_BACKENDS:
            reason = f"joblib's active backend is {type(active).__name__}"
        else:
            reason = drawback(pool)
    return ("stacked", None) if reason is None else ("joblib", reason)


def obstacle(pool: Pool, masks: NDArray[np.bool_]) -> str | None:
    """Say why members are trained one by one rather than as a stack, None if they need not be."""
    if len(np.unique(masks.sum(axis=1))) > 1:
        return "they have different numbers of training rows"
    if not (pool.X.arrays and pool.view.arrays):
        return "X is a Dataset, whose items are made one at a time"
    reason = _obstacle_in_settings(pool.net)
    if reason is not None:
        return reason
    first = initialized(pool, seed=0)
    return _obstacle_in_parts(first) or trial(pool, first)


def _obstacle_in_settings(net: NeuralNet) -> str | None:
    """Look at what is known before the net is initialized."""
    if find_recorder(net.callbacks) is not None:
        return "the network carries a RecordTraining, which follows a single training"
    for name in dir(NeuralNet):
        is_free = name.startswith("__") or name in _FREE
        if not is_free and callable(getattr(type(net), name)) and has_own(net, name):
            return f"{type(net).__name__} has its own {name}"
    if net.compile:
        return "the module is compiled"
    if net.dataset is not skorch.dataset.Dataset or net.get_params_for("dataset"):
        return "the network makes a dataset of its own"
    if predefined_validation_set(net) is not None:
        return "a validation set is read after every epoch"
    options = set(net.get_params_for("iterator_train")) - _LOADER_OPTIONS
    if net.iterator_train is not DataLoader or options:
        return f"batches are made in a way of their own ({', '.join(options) or 'iterator_train'})"
    return None


def _obstacle_in_parts(net: NeuralNet) -> str | None:
    """Look at the module, the criterion, the optimizer and the callbacks of an initialized net."""
    optimizer = net.optimizer_
    if type(optimizer) not in _ELEMENTWISE:
        return f"the optimizer {type(optimizer).__name__} is not SGD, Adam or AdamW"
    if optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks:
        return "the optimizer's step has hooks"
    for name, callback in net.callbacks_:
        if type(callback) is not LRScheduler and type(callback) not in _REPORTS:
            return f"the callback {name!r} ({type(callback).__name__}) follows a single training"
    if any(True for _ in net.criterion_.parameters()):
        return "the criterion has parameters of its own"
    module = net.module_
    if any(isinstance(m, torch.jit.ScriptModule) for m in module.modules()):
        return "a part of the network is compiled by torch.jit"
    if any(p._backward_hooks or p._post_accumulate_grad_hooks for p in module.parameters()) or any(
        m._backward_hooks or m._backward_pre_hooks for m in module.modules()
    ):
        return "gradients pass through hooks"
    return None


def drawback(pool: Pool) -> str | None:
    """Say why a stack would take longer than a plain loop, None if it does not."""
    net = initialized(pool, seed=0)
    if module_device(net.module_).type != "cpu":
        return None
    if any(isinstance(m, nn.modules.conv._ConvNd) for m in net.module_.modules()):
        return "on a CPU, convolutions take longer in a stack than in a plain loop"
    if sum(p.numel() for p in net.module_.parameters()) > _MAX_CPU_WEIGHTS:
        return (
            f"on a CPU, a network of more than {_MAX_CPU_WEIGHTS:,} weights gains nothing from a "
            "stack"
        )
    return None


def stacks_at_a_time(pool: Pool, n_jobs: int | None) -> int:
    """Return how many stacks are trained side by side: on a GPU one, which keeps it busy."""
    device = module_device(initialized(pool, seed=0).module_)
    return effective_n_jobs(n_jobs) if device.type == "cpu" else 1


def stack_size(pool: Pool, n_members: int, n_at_a_time: int = 1) -> int:
    """Return how many members are trained together.

    On a CPU larger stacks save next to nothing, and small ones leave work for many jobs. How many
    stacks are trained at a time counts only where there are too few members to keep jobs busy, or
    where these stacks would not all fit the memory.
    """
    net = initialized(pool, seed=0)
    fitting = members_that_fit(pool)
    if module_device(net.module_).type == "cpu":
        fitting = min(_CPU_STACK, fitting // n_at_a_time)
    return max(1, min(fitting, -(-n_members // n_at_a_time)))


def members_that_fit(pool: Pool) -> int:
    """Return how many members can be trained at a time within the memory budget.

    The budget is scikit-learn's ``working_memory``, on a GPU half of what it has: not of what is
    free, so that a fit that is taken up again makes the same stacks.
    """
    net = initialized(pool, seed=0)
    with isolated_rng(0, net.device or "cpu"):
        stack = Stack(pool, [net])
        row_bytes = stack.bytes_per_row()
    n = len(pool.targets)
    n_batch = net.get_params_for("iterator_train").get("batch_size", net.batch_size)
    n_batch = min(n_batch, n) if n_batch > 0 else n
    n_states = 2 if type(net.optimizer_) is not torch.optim.SGD else 1
    # Weights, their gradients, the optimiser's states, copies in its step, and initial weights.
    weight_bytes = (4 + n_states) * sum(p.nbytes for p in stack.parameters.values())
    batch_bytes = row_bytes * max(_COPIES_OF_ACTIVATIONS * n_batch, min(BLOCK_ROWS, n))
    budget = int(get_config()["working_memory"] * 2**20)
    if stack.device.type == "cuda":
        total = torch.cuda.get_device_properties(stack.device).total_memory
        budget = int(_CUDA_SHARE * total) - stack.bytes_of_rows()
    return budget // (weight_bytes + batch_bytes)
