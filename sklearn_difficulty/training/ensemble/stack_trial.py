# SPDX-License-Identifier: BSD-3-Clause
"""A trial on a few rows: whether a stack gets the gradients that its members get alone."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from ..._randomness import isolated_rng
from ...networks.forward import module_device
from .member import Pool
from .stack import Stack, initialized, quiet_vmap

_TRIAL_ROWS = 8
_TRIAL_TOLERANCE = 1e-3  # far above rounding, far below another computation


def trial(pool: Pool, net: NeuralNet) -> str | None:
    """Hold the gradients of a stack of two to those of its first member, on a few rows."""
    first = np.arange(_TRIAL_ROWS) % len(pool.targets)
    rows = torch.from_numpy(np.stack([first, first[::-1]]))
    with isolated_rng(0, module_device(net.module_)), quiet_vmap():
        try:
            kept = _attribute_tensors(net.module_)
            stack = Stack(pool, [net, initialized(pool, seed=1)])
            if any(isinstance(s, ReduceLROnPlateau) for _, s in stack.schedules(stack.optimizer())):
                return "ReduceLROnPlateau follows a single training"
            buffers = [buffer.clone() for buffer in stack.module.buffers()]
            generators = _generator_states(stack.device)
            stack.answers(rows)
            stack.module.train()
            losses = stack.losses(rows)
            gradients = _gradients(losses.sum(), stack.parameters.values())
            own_loss = stack.loss_of_first(rows[0])
            own_gradients = _gradients(own_loss, stack.module.parameters())
            if _attribute_tensors(net.module_) != kept:
                return "the network keeps what it has computed"
        except Exception as error:  # trained one by one it raises again, if that is its own fault
            message = str(error).partition("\n")[0].rstrip(" .")
            is_random = "randomness" in message
            why = message or f"a trial ended with a {type(error).__name__}"
            return "the network draws random numbers" if is_random else why
        if _generator_states(stack.device) != generators:
            return "the network draws random numbers"
    if any(not torch.equal(a, b) for a, b in zip(buffers, stack.module.buffers(), strict=True)):
        return "the network keeps running statistics of the batches"
    stacked = [losses[0].detach(), *(gradient[0] for gradient in gradients)]
    for a, b in zip(stacked, [own_loss.detach(), *own_gradients], strict=True):
        if not torch.isfinite(b).all():
            return "the first rows give no finite gradients"
        if not torch.allclose(a, b, rtol=_TRIAL_TOLERANCE, atol=_TRIAL_TOLERANCE * float(b.norm())):
            return "stacked, the network does not get the gradients that it gets by itself"
    return None


def _gradients(loss: torch.Tensor, parameters: Iterable[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """Return the gradients of the parameters that learn."""
    learning = [p for p in parameters if p.requires_grad]
    return torch.autograd.grad(loss, learning, materialize_grads=True)


def _attribute_tensors(module: nn.Module) -> set[tuple[str, str, int]]:
    """Return the tensors that are plain attributes of a module, in lists and dicts too."""
    tensors = set()
    for name, part in module.named_modules():
        for attribute, value in vars(part).items():
            if attribute in ("_parameters", "_buffers", "_modules"):
                continue
            items = value.values() if isinstance(value, dict) else value
            values = items if isinstance(value, (dict, list, tuple)) else [value]
            tensors |= {(name, attribute, id(v)) for v in values if isinstance(v, torch.Tensor)}
    return tensors


def _generator_states(device: torch.device) -> list[Any]:
    """Return the states of all generators that a module may draw from."""
    on_device = torch.cuda.get_rng_state(device).tolist() if device.type == "cuda" else None
    numpy_state = str(np.random.get_state())  # noqa: NPY002 (only looked at)
    return [random.getstate(), numpy_state, torch.get_rng_state().tolist(), on_device]
