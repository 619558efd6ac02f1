# SPDX-License-Identifier: BSD-3-Clause
"""Copies of modules, those included that keep what torch does not copy."""

from __future__ import annotations

import copy
import threading
from collections import deque
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import torch
from torch import nn

_LOCKS = {type(make()): make for make in (threading.Lock, threading.RLock)}
_ATOMS = (type, FunctionType, BuiltinFunctionType, ModuleType, str, bytes, int, float)


@torch.inference_mode(False)  # of whose tensors nothing could be differentiated
def copied_module(module: nn.Module) -> nn.Module:
    """Return a copy of a module; of what it has computed and keeps, the values are copied."""
    return _deep_copy(module, {})


def check_copy(module: nn.Module) -> None:
    """Raise if a module cannot be copied; its weights are not."""
    _deep_copy(module, {id(t): t for t in (*module.parameters(), *module.buffers())})


def _deep_copy(module: nn.Module, memo: dict[int, Any]) -> nn.Module:
    """Return a deep copy, or say which attribute cannot be copied."""
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor.is_meta:
            raise ValueError(
                f"{name!r} of {type(module).__name__} lies on the meta device, which holds no "
                "values. Make the module on a device that does, and load its weights there."
            )
    if any(isinstance(part, torch.jit.ScriptModule) for part in module.modules()):
        return _copied_script(module)
    replaced = _replacements(module) | memo
    try:
        return copy.deepcopy(module, dict(replaced))
    except Exception as error:  # of any object that a module may hold
        where, value = _culprit(module, replaced)
        raise ValueError(
            f"{type(module).__name__} cannot be copied because of {where!r}, which holds "
            f"{type(value).__name__} ({error}). Make it where it is used, or keep it outside of "
            "the module."
        ) from error


def _copied_script(module: nn.Module) -> nn.Module:
    """Return a deep copy of a module with parts that torch.jit has compiled."""
    with torch.no_grad():  # otherwise the parameters would not be leaves
        script = copy.deepcopy(module)
    for parameter, original in zip(script.parameters(), module.parameters(), strict=True):
        parameter.requires_grad_(original.requires_grad)
    return script


def _replacements(module: nn.Module) -> dict[int, Any]:
    """Return, by id, what stands in a copy for computed tensors and for locks."""
    replaced: dict[int, Any] = {}
    seen: set[int] = set()
    todo: list[Any] = [module]
    while todo:
        value = todo.pop()
        if id(value) in seen or isinstance(value, _ATOMS):
            continue
        seen.add(id(value))
        if isinstance(value, torch.Tensor):
            if not value.is_leaf:  # torch copies only what no operation has made
                replaced[id(value)] = _values_of(value)
        elif type(value) in _LOCKS:
            replaced[id(value)] = _LOCKS[type(value)]()
        elif isinstance(value, dict):
            todo += value.values()
        elif isinstance(value, (list, tuple, set, frozenset, deque)):
            todo += value
        elif hasattr(value, "__dict__"):
            todo += vars(value).values()
    return replaced


def _values_of(tensor: torch.Tensor) -> torch.Tensor | None:
    """Return a copy of what an operation has made, None for what is no more than a husk."""
    try:
        return tensor.detach().clone()
    except RuntimeError:  # it was kept inside of vmap, whose tensors end with it
        return None


def _culprit(module: nn.Module, replaced: dict[int, Any]) -> tuple[str, Any]:
    """Return the name and the value of the first attribute that cannot be copied by itself."""
    for name, part in module.named_modules():
        for attribute, value in vars(part).items():
            try:
                if attribute != "_modules":
                    copy.deepcopy(value, dict(replaced))
            except Exception:
                return f"{name}.{attribute}".lstrip("."), value
    return type(module).__name__, module
