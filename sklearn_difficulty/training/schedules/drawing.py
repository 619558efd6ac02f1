# SPDX-License-Identifier: BSD-3-Clause
"""Weights drawn anew in a network that is being trained."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Literal

import torch
from skorch import NeuralNet
from torch import nn
from torch.nn.parameter import is_lazy

from ..._randomness import isolated_rng
from ...networks.forward import plain_module
from ..skorch_net import has_own
from .layer_groups import weight_names

Keep = Literal["filters", "weights"]


def next_seed() -> int:
    """Return a seed drawn from torch's generator, so that it follows the seed of the training."""
    return int(torch.randint(2**31, ()))


def names_to_draw(module: nn.Module, among: Sequence[str]) -> list[str]:
    """Return the weights among some parameters that can be drawn anew, frozen ones left out."""
    weights = set(weight_names(module)).intersection(among)
    names = [n for n, p in module.named_parameters() if n in weights and p.requires_grad]
    for name in names:
        owner = module.get_submodule(name.rpartition(".")[0])
        of_old_kind = any(hasattr(owner, part) for part in ("weight_g", "weight_orig"))
        if "parametrizations." in name or of_old_kind:
            raise ValueError(
                f"{name!r} is one part of a parametrized weight, and it is not known how to draw "
                "it anew. Remove the parametrization, or choose layers without one."
            )
    if not names:
        raise ValueError(f"There is no weight to draw anew among {list(among)[:5]}.")
    return names


def draw_anew(net: NeuralNet, names: Sequence[str], seed: int) -> dict[str, torch.Tensor]:
    """Return new weights as the net's module draws them when it is made, or else their layers.

    The weights of the module stay, and so do the global generators.
    """
    module = plain_module(net.module_)
    drawn: dict[str, torch.Tensor] = {}
    with isolated_rng(seed), torch.no_grad():
        one, other = (_new_parameters(net) for _ in range(2))
        for name in names:
            # What is the same in both is a constant, or was loaded from a file.
            if name in one and not torch.equal(one[name], other[name]):
                drawn[name] = one[name].detach()
        drawn |= drawn_by_layers(module, [name for name in names if name not in drawn])
    return drawn


def drawn_by_layers(module: nn.Module, names: Sequence[str]) -> dict[str, torch.Tensor]:
    """Return new weights as their layers draw them, from the global generator; no_grad is set."""
    drawn: dict[str, torch.Tensor] = {}
    for owner in dict.fromkeys(name.rpartition(".")[0] for name in names):
        layer = copy.deepcopy(module.get_submodule(owner)).cpu()  # the same on every device
        reset = getattr(layer, "reset_parameters", getattr(layer, "_reset_parameters", None))
        if reset is not None:
            reset()
        for leaf, parameter in layer.named_parameters(recurse=False):
            name = f"{owner}.{leaf}" if owner else leaf
            if name not in names:
                continue
            if reset is None:
                nn.init.kaiming_uniform_(parameter, a=math.sqrt(5))
            drawn[name] = parameter.detach()
    return drawn


def _new_parameters(net: NeuralNet) -> dict[str, torch.Tensor]:
    """Return the parameters of a new module of a net, none if it was given an instance."""
    if isinstance(net.module, nn.Module) or has_own(net, "initialize_module"):
        return {}
    module = net.initialized_instance(net.module, net.get_params_for("module"))
    known = {
        name: parameter.shape for name, parameter in plain_module(net.module_).named_parameters()
    }
    parameters = module.cpu().named_parameters()
    return {n: p for n, p in parameters if not is_lazy(p) and known.get(n) == p.shape}


def kept_entries(
    module: nn.Module, names: Sequence[str], keep: Keep, share: float, seed: int
) -> dict[str, torch.Tensor]:
    """Return which entries of weights are kept when the others are drawn anew.

    "weights": each by chance. "filters": those between the first units of two layers; all inputs of
    the network's first layer and all outputs of its last one.
    """
    generator = torch.Generator().manual_seed(seed)
    parameters, all_names = dict(module.named_parameters()), weight_names(module)
    kept: dict[str, torch.Tensor] = {}
    for name in names:
        shape = parameters[name].shape
        if keep == "weights":
            kept[name] = torch.rand(shape, generator=generator) < share
            continue
        n_out, n_in = (math.ceil(share * size) for size in shape[:2])
        mask = torch.zeros(shape, dtype=torch.bool)
        mask[
            : None if name == all_names[-1] else n_out, : None if name == all_names[0] else n_in
        ] = True
        kept[name] = mask
    return kept


def write_drawn(
    module: nn.Module, drawn: dict[str, torch.Tensor], kept: dict[str, torch.Tensor]
) -> None:
    """Put new weights into a module, except for the entries that are kept."""
    parameters = dict(module.named_parameters())
    with torch.no_grad():
        for name, values in drawn.items():
            old = parameters[name]
            values = values.to(old.device, old.dtype)
            if name in kept:
                values = torch.where(kept[name].to(old.device), old, values)
            old.copy_(values)
