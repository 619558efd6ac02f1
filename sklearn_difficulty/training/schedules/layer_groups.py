# SPDX-License-Identifier: BSD-3-Clause
"""Early and later layers: which parameters of a network are which."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn
from torch.nn.parameter import is_lazy

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def early_and_later(module: nn.Module, split: str | Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the names of all parameters before a split and from it on, in definition order."""
    names = [name for name, _ in module.named_parameters(remove_duplicate=False)]
    if isinstance(split, str):
        first = _first_of_later_half(module) if split == "auto" else split
        start = names.index(_named(names, first, module)[0])
        later = names[start:]
    else:
        chosen = [name for part in split for name in _named(names, part, module)]
        twice = sorted({name for name in chosen if chosen.count(name) > 1})
        if twice:
            raise ValueError(f"split={list(split)!r} names parameters twice: {twice[:3]}.")
        later = [name for name in names if name in chosen]
    early = [name for name in names if name not in set(later)]
    _refuse_shared(module, set(later))
    _refuse_empty(module, early, later, split)
    return early, later


def _named(names: list[str], part: str, module: nn.Module) -> list[str]:
    """Return the parameters of a module, or the one parameter, that has a name."""
    found = [name for name in names if name == part or name.startswith(f"{part}.")]
    if not found:
        layers = list(dict.fromkeys(name.rpartition(".")[0] or name for name in names))
        raise ValueError(
            f"split names {part!r}, which has no parameters in {type(module).__name__}; these "
            f"modules have: {layers}."
        )
    return found


def _refuse_shared(module: nn.Module, later: set[str]) -> None:
    """Raise if one parameter is used in both groups, as tied weights are."""
    names: dict[int, str] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        first = names.setdefault(id(parameter), name)
        if (first in later) != (name in later):
            raise ValueError(
                f"{first!r} and {name!r} are one parameter, and split puts it among the early "
                "layers and the later ones. Untie them, or split elsewhere."
            )


def _refuse_empty(
    module: nn.Module, early: list[str], later: list[str], split: str | Sequence[str]
) -> None:
    """Raise if nothing that learns is in one of the groups."""
    learns = {n for n, p in module.named_parameters(remove_duplicate=False) if p.requires_grad}
    for group, names in (("early", early), ("later", later)):
        if not learns.intersection(names):
            raise ValueError(
                f"split={split!r} leaves no {group} layer of {type(module).__name__} that learns "
                f"(early: {early[:3]}..., later: {later[:3]}...). Name a module further "
                f"{'back' if group == 'early' else 'ahead'}, or unfreeze some."
            )


def weight_names(module: nn.Module) -> list[str]:
    """Return the names of the weights of two or more dimensions: those of layers, not of norms."""
    return [n for n, p in module.named_parameters() if is_lazy(p) or p.ndim > 1]


def _first_of_later_half(module: nn.Module) -> str:
    """Return the block at which the later half of the blocks begins; the head is no block."""
    weights = weight_names(module)
    blocks = _blocks(module, "")
    *blocks, head = [b for b in blocks if any(_is_in(name, b) for name in weights)] or [""]
    while len(blocks) < 2:  # a network in a wrapper, or one that ends in a block with the head
        inside = _blocks(module.get_submodule(head), head)
        inside = [b for b in inside if any(_is_in(name, b) for name in weights)]
        if not inside:
            break
        *more, head = inside
        blocks += more
    later = [*blocks, head][(len(blocks) + 1) // 2 :]
    if not blocks:
        raise ValueError(
            f"split='auto' finds a single layer in {type(module).__name__}, which is its head, and "
            "no early layers before it."
        )
    return later[0]


def _is_in(name: str, block: str) -> bool:
    """Tell whether a parameter belongs to a block."""
    return not block or name == block or name.startswith(f"{block}.")


def _blocks(module: nn.Module, prefix: str) -> list[str]:
    """Return the names of the parts of a module, those of containers in place of containers."""
    found: list[str] = []
    for name, child in module.named_children():
        path = f"{prefix}.{name}" if prefix else name
        holds_list = any(isinstance(part, nn.ModuleList) for part in child.children())
        if isinstance(child, _CONTAINERS) or holds_list:
            found += _blocks(child, path)
        else:
            found.append(path)
    return found
