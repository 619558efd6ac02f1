# SPDX-License-Identifier: BSD-3-Clause
"""States that other training loops have written: where in a file the network's tensors are.

Lightning, timm, DDP and most loops put the weights into a dict, beside an optimizer, and often
behind a prefix. What is taken is the one part of the file whose names and shapes are those of the
network. No object in a file is ever made: only tensors and plain containers are read.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from ..._randomness import alone
from .tensors import unpacked

State = dict[str, torch.Tensor]
_LISTED = 3
_DEPTH = 3  # of dicts in dicts
_WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")  # in a folder of Hugging Face
_WRAPPERS = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
_MAIN_KEYS = {"state_dict", "model_state_dict", "model_state", "model", "module", "net", "network"}
_OF_TRAINING = ("loss", "criterion", "metric")  # submodules that Lightning keeps beside the network


@dataclass(frozen=True)
class StateLayout:
    """The names, shapes and types of a module's tensors."""

    module: str
    shapes: Mapping[str, torch.Size]
    dtypes: Mapping[str, torch.dtype]
    ties: Mapping[str, str]  # a name, and the first one of the same tensor

    @classmethod
    def of(cls, module: nn.Module) -> StateLayout:
        """Return the layout of a module."""
        state = module.state_dict(keep_vars=True)
        others = [name for name, value in state.items() if not isinstance(value, torch.Tensor)]
        if others:
            raise ValueError(
                f"{type(module).__name__} keeps a state that is no tensor, {_listed(others)}, "
                "which cannot be kept; register it as a buffer."
            )
        first: dict[int, str] = {}
        for name, value in state.items():
            first.setdefault(id(value), name)
        return cls(
            type(module).__name__,
            {name: value.shape for name, value in state.items()},
            {name: value.dtype for name, value in state.items()},
            {name: first[id(value)] for name, value in state.items()},
        )

    def misfit(self, state: Mapping[str, torch.Tensor]) -> str:
        """Say in what a state differs from this layout, an empty string if it does not."""
        problems = []
        if missing := [name for name in self.shapes if name not in state]:
            problems.append(f"it lacks {_listed(missing)}")
        if others := [name for name in state if name not in self.shapes]:
            problems.append(f"it has {_listed(others)} besides")
        for name in self.shapes.keys() & state.keys():
            expected, shape = tuple(self.shapes[name]), tuple(state[name].shape)
            if shape != expected:
                problems.append(f"{name!r} has shape {shape} and not {expected}")
            elif self.dtypes[name].is_floating_point != state[name].is_floating_point():
                problems.append(f"{name!r} holds {state[name].dtype}, not {self.dtypes[name]}")
            elif (first := self.ties[name]) in state and not _equal(state[name], state[first]):
                problems.append(f"{name!r} and {first!r}, which the network ties, differ")
        more = f", and {len(problems) - _LISTED} more" if len(problems) > _LISTED else ""
        return "; ".join(problems[:_LISTED]) + more


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Tell whether tensors have equal values, NaN included."""
    return one is other or torch.equal(one.nan_to_num(), other.nan_to_num())


class FittedState(NamedTuple):
    """The part of a source that is the network's, and the names of tensors that are not."""

    state: State
    left_out: list[str]


class _Candidate(NamedTuple):
    """A part of a source: names behind a prefix, in a dict under some keys."""

    keys: tuple[str, ...]
    prefix: str
    state: State  # names as in the layout
    left_out: list[str]

    @property
    def place(self) -> str:
        """Return where it lies, for people."""
        return "".join(f"[{key!r}]" for key in self.keys) + (self.prefix and f" {self.prefix}...")

    @property
    def rank(self) -> int:
        """Return 0 for what is called the model, 2 for averages of its weights, else 1."""
        words = [*self.keys, *self.prefix.split(".")]
        if any("ema" in word.lower().split("_") for word in words):
            return 2
        return 0 if all(word in _MAIN_KEYS for word in words if word) else 1


# ----------------------------------------------------------------------------------------- files


def weights_file(source: Any) -> Path:
    """Return the file of weights that a path leads to, directly or through its folder."""
    if not isinstance(source, (str, PathLike)):
        raise TypeError(
            "states must hold state dicts, or paths of files with state dicts; got "
            f"{type(source).__name__}."
        )
    path = Path(source).expanduser().resolve()
    if not path.exists():
        raise FileNotFoundError(f"states name {path}, which does not exist.")
    if not path.is_dir():
        return path
    for name in _WEIGHT_FILES:
        if (path / name).is_file():
            return path / name
    raise FileNotFoundError(
        f"{path} is a folder without {' or '.join(_WEIGHT_FILES)}; pass the path of the file that "
        "holds the weights, or, of a model in several files, its state_dict()."
    )


def held_in(content: bytes, path: Path) -> Mapping[str, Any]:
    """Return what a file of weights holds, given its content."""
    if content[8:9] == b"{":  # behind the length of its header, a safetensors file has JSON
        return unpacked(content, path)
    try:
        held = _read_torch(content)
    except (pickle.UnpicklingError, RuntimeError, ValueError, TypeError, EOFError) as error:
        raise ValueError(
            f"{path} cannot be read without running what is in it: {_reason(error)}. Load it "
            "where you trust it, with torch.load(path, weights_only=False), and write it again "
            "with torch.save(module.state_dict(), path)."
        ) from error
    if not isinstance(held, Mapping):
        raise ValueError(
            f"{path} holds {type(held).__name__} and not a state dict; write it again with "
            "torch.save(module.state_dict(), path)."
        )
    return held


def _reason(error: BaseException) -> str:
    """Return the reason in an error of torch, which has advice to trust the file around it."""
    text = str(error)
    lines = (text.partition("WeightsUnpickler error: ")[2] or text).splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


class _Nothing:
    """Stands where a file has an object of NumPy: nothing is made of it."""

    def __init__(self, *args: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


class _Plain:
    """Stands where a file has some other object: an empty dict, which takes what follows."""

    def __new__(cls, *args: Any) -> Any:
        """Return the only kind of object that torch fills both like a dict and like an object."""
        return OrderedDict()


def _read_torch(content: bytes) -> Any:
    """Read what torch.save wrote: tensors and containers, and nothing for any other object."""
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(content))
    except Exception:  # a format from before 2020, or no file of torch: the next line says so
        names = []
    stand_ins: list[Any] = [
        (_Nothing if name.startswith("numpy") else _Plain, name) for name in names
    ]
    with alone(), torch.serialization.safe_globals(stand_ins):  # a setting of the whole process
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


# --------------------------------------------------------------------------------------- layouts


@torch.inference_mode(False)  # with weights made in it, nothing could be differentiated
def fitted_state(source: Mapping[str, Any], layout: StateLayout) -> FittedState:
    """Return copies of the network's tensors in a source, in the network's floating types.

    Half precision becomes the network's own precision, in which it is read.
    """
    if not layout.shapes:
        return FittedState({}, [])
    candidates = [c for keys, part in _parts(source) for c in _candidates(keys, part, layout)]
    fitting = [c for c in candidates if _fits(c, layout)]
    if not fitting:
        raise ValueError(_problem(source, candidates, layout))
    best = min(c.rank for c in fitting)
    first, *others = (c for c in fitting if c.rank == best)
    for other in others:
        if any(not _equal(first.state[name], other.state[name]) for name in layout.shapes):
            raise ValueError(
                f"The weights of {layout.module} are in several places of the state, "
                f"{first.place!r} and {other.place!r}, which differ; pass one of them."
            )
    state = {
        name: first.state[name].detach().to("cpu", dtype, copy=True).contiguous()
        for name, dtype in layout.dtypes.items()
    }
    return FittedState(state, first.left_out)


def _parts(source: Mapping[Any, Any]) -> list[tuple[tuple[str, ...], State]]:
    """Return the dicts of tensors in a source, with the keys that lead there."""
    parts: list[tuple[tuple[str, ...], State]] = []
    level: list[tuple[tuple[str, ...], Mapping[Any, Any]]] = [((), source)]
    seen = {id(source)}  # dicts may hold one another many times over
    while level:
        keys, held = level.pop(0)
        items = [(key, value) for key, value in held.items() if isinstance(key, str)]
        if tensors := {key: value for key, value in items if _is_tensor(value)}:
            parts.append((keys, tensors))
        for key, value in items if len(keys) < _DEPTH else ():
            if isinstance(value, Mapping) and id(value) not in seen:
                seen.add(id(value))
                level.append(((*keys, key), value))
    return parts


def _is_tensor(value: Any) -> bool:
    """Tell whether a value is an ordinary tensor."""
    return isinstance(value, torch.Tensor) and value.layout == torch.strided


def _plain_name(name: str) -> str:
    """Return a name without what torch.compile, FSDP and checkpointing wrap around modules."""
    for wrapper in _WRAPPERS:
        name = name.replace(wrapper, "")
    return name


def _candidates(keys: tuple[str, ...], tensors: State, layout: StateLayout) -> Iterator[_Candidate]:
    """Yield what lies behind every prefix that is followed by a name of the network."""
    tensors = {_plain_name(name): value for name, value in tensors.items()}
    names = {_plain_name(name): name for name in layout.shapes}
    prefixes = {""} | {
        name[: i + 1]
        for name in tensors
        for i, character in enumerate(name)
        if character == "." and name[i + 1 :] in names
    }
    for prefix in sorted(prefixes):
        inside = {n.removeprefix(prefix): n for n in tensors if n.startswith(prefix)}
        own = {names.get(n, n): tensors[whole] for n, whole in inside.items()}
        tied = {layout.ties[n]: value for n, value in own.items() if n in layout.ties}
        for name, first in layout.ties.items():
            if first in tied:  # Hugging Face writes tied weights once
                own.setdefault(name, tied[first])
        left_out = [n for n in tensors if not n.startswith(prefix)]
        for name in own.keys() - layout.shapes.keys():
            if name.lower().startswith(_OF_TRAINING):
                del own[name]
                left_out.append(prefix + name)
        yield _Candidate(keys, prefix, own, left_out)


def _fits(candidate: _Candidate, layout: StateLayout) -> bool:
    """Tell whether a part is the network's state, and not a layer of a longer Sequential."""
    is_layer = candidate.prefix.split(".")[-2:-1] and candidate.prefix.split(".")[-2].isdigit()
    return not layout.misfit(candidate.state) and not (is_layer and candidate.left_out)


def _problem(source: Mapping[str, Any], candidates: list[_Candidate], layout: StateLayout) -> str:
    """Say why no part of a source is the network's state, by the part that comes nearest."""
    if not candidates:
        return (
            f"The state holds no tensors, under the keys {_listed(list(source))}; pass "
            "module.state_dict(), or a file that torch.save(module.state_dict(), path) wrote."
        )
    nearest = max(candidates, key=lambda c: len(c.state.keys() & layout.shapes.keys()))
    place = f" at {nearest.place}" if nearest.place else ""
    problem = layout.misfit(nearest.state) or "it is one layer among others"
    return (
        f"The state{place} does not fit {layout.module}: {problem}. Pass the network that these "
        "weights belong to, or a dict with the names of module.state_dict() alone."
    )


def _listed(names: list[Any]) -> str:
    """Return the first of some names, and how many there are."""
    more = f", ... ({len(names)} in all)" if len(names) > _LISTED else ""
    return ", ".join(map(repr, names[:_LISTED])) + more
