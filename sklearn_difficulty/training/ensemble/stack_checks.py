# SPDX-License-Identifier: BSD-3-Clause
"""Which networks can be trained as a stack, whether that pays, and how many at a time.

A network is stacked only if nothing in it could change the result. What is known of skorch and
torch is looked up; what a module does is found by a trial on a few rows.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import skorch.dataset
import torch
from joblib import effective_n_jobs
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
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.utils.data import DataLoader

from ..._randomness import isolated_rng
from ...networks.forward import module_device
from ..recorder import RecordTraining, find_recorder
from ..skorch_net import predefined_validation_set
from .member import BLOCK_ROWS, Pool
from .stack import Stack, initialized, quiet_vmap

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

_OWN_METHODS = ("skorch.net", "skorch.classifier", "skorch.regressor", "sklearn.")

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
_TRIAL_ROWS = 8
_TRIAL_TOLERANCE = 1e-3  # far above rounding, far below another computation
_CUDA_SHARE = 0.5
_CPU_STACK = 8  # members
_MAX_CPU_WEIGHTS = 1_000_000  # beyond, the products take all the time
_COPIES_OF_ACTIVATIONS = 3  # the activation, its gradient, and what the next operation makes


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
    return _obstacle_in_parts(first) or _trial(pool, first)


def _obstacle_in_settings(net: NeuralNet) -> str | None:
    """Look at what is known before the net is initialized."""
    if find_recorder(net.callbacks) is not None:
        return "the network carries a RecordTraining, which follows a single training"
    for name in dir(NeuralNet):
        method = getattr(type(net), name)
        is_free = name.startswith("__") or name in _FREE or not callable(method)
        if not is_free and not method.__module__.startswith(_OWN_METHODS):
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
    if any(p._backward_hooks or p._post_accumulate_grad_hooks for p in module.parameters()) or any(
        m._backward_hooks or m._backward_pre_hooks for m in module.modules()
    ):
        return "gradients pass through hooks"
    return None


def _trial(pool: Pool, net: NeuralNet) -> str | None:
    """Hold the gradients of a stack of two to those of its first member, on a few rows."""
    first = np.arange(_TRIAL_ROWS) % len(pool.targets)
    rows = torch.from_numpy(np.stack([first, first[::-1]]))
    with isolated_rng(0, module_device(net.module_)), quiet_vmap():
        try:
            kept = _tensors_kept(net.module_)
            stack = Stack(pool, [net, initialized(pool, seed=1)])
            if any(isinstance(s, ReduceLROnPlateau) for _, s in stack.schedules(stack.optimizer())):
                return "ReduceLROnPlateau follows a single training"
            buffers = [buffer.clone() for buffer in stack.module.buffers()]
            drawn = _states_of_generators(stack.device)
            stack.probabilities(rows)
            stack.module.train()
            losses = stack.losses(rows)
            of_stack = stack.gradients(losses.sum())
            loss, of_member = stack.first_by_itself(rows[0])
            if _tensors_kept(net.module_) != kept:
                return "the network keeps what it has computed"
        except Exception as error:  # trained one by one it raises again, if that is its own fault
            message = str(error).partition("\n")[0]
            is_random = "randomness" in message
            return "the network draws random numbers" if is_random else message.rstrip(" .")
        if _states_of_generators(stack.device) != drawn:
            return "the network draws random numbers"
    if any(not torch.equal(a, b) for a, b in zip(buffers, stack.module.buffers(), strict=True)):
        return "the network keeps running statistics of the batches"
    found = [losses[0].detach(), *(gradient[0] for gradient in of_stack)]
    for a, b in zip(found, [loss, *of_member], strict=True):
        if not torch.isfinite(b).all():
            return "the first rows give no finite gradients"
        if not torch.allclose(a, b, rtol=_TRIAL_TOLERANCE, atol=_TRIAL_TOLERANCE * float(b.norm())):
            return "stacked, the network does not get the gradients that it gets by itself"
    return None


def _tensors_kept(module: nn.Module) -> set[tuple[str, str, int]]:
    """Return the tensors that are plain attributes of a module, in lists and dicts too."""
    found = set()
    for name, part in module.named_modules():
        for attribute, value in vars(part).items():
            if attribute in ("_parameters", "_buffers", "_modules"):
                continue
            items = value.values() if isinstance(value, dict) else value
            values = items if isinstance(value, (dict, list, tuple)) else [value]
            found |= {(name, attribute, id(v)) for v in values if isinstance(v, torch.Tensor)}
    return found


def _states_of_generators(device: torch.device) -> list[Any]:
    """Return the states of all generators that a module may draw from."""
    on_device = torch.cuda.get_rng_state(device).tolist() if device.type == "cuda" else None
    numpy_state = str(np.random.get_state())  # noqa: NPY002 (only looked at)
    return [random.getstate(), numpy_state, torch.get_rng_state().tolist(), on_device]


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
        of_row = stack.bytes_per_row()
    n = len(pool.targets)
    n_batch = net.get_params_for("iterator_train").get("batch_size", net.batch_size)
    n_batch = min(n_batch, n) if n_batch > 0 else n
    n_states = 2 if type(net.optimizer_) is not torch.optim.SGD else 1
    # Weights, gradients, the optimiser's states, what its step makes on the way, and the weights
    # that the members begin with.
    of_weights = (4 + n_states) * sum(p.nbytes for p in stack.parameters.values())
    of_batch = of_row * max(_COPIES_OF_ACTIVATIONS * n_batch, min(BLOCK_ROWS, n))
    budget = int(get_config()["working_memory"] * 2**20)
    if stack.device.type == "cuda":
        total = torch.cuda.get_device_properties(stack.device).total_memory
        budget = int(_CUDA_SHARE * total) - stack.bytes_of_rows()
    return budget // (of_weights + of_batch)
