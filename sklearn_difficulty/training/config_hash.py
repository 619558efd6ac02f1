# SPDX-License-Identifier: BSD-3-Clause
"""A digest of a configuration that another Python process computes alike.

Not joblib.hash: it differs between processes for tensors, it overlooks the order of a module's
layers, and it tells apart equal values by whether they are the same object.

What is seen: values, arrays, tensors (and which of them are the same tensor), the content of
picklable objects, and code. Of installed code the name and the package's version; of the user's
own functions and classes the source, where there is one, and with them the functions, classes and
constants that they name, also through the name of a module (``blocks.Block``). Not seen: globals
that are other objects, and what code finds by other ways than names.
"""

from __future__ import annotations

import copyreg
import hashlib
import inspect
import sys
from contextlib import suppress
from importlib import metadata
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, NoReturn

import numpy as np
import torch
from skorch import NeuralNet
from torch import nn
from torch.nn.parameter import is_lazy

from ..networks.forward import plain_module

_ATOMS = (type(None), bool, int, float, complex, str, bytes)
_CONSTANTS = (*_ATOMS, tuple, list, dict, set, frozenset, np.ndarray, np.generic, torch.Tensor)
_OURS = __name__.partition(".")[0]


def fingerprint(*parts: Any) -> str:
    """Return a digest of values, 32 hex digits that are the same in every process.

    Of what has `get_params` only class and parameters count, without `verbose`; of modules also the
    weights. A TypeError refuses lambdas, what is defined inside functions, and what cannot be read.
    """
    walk = _Walk()
    walk.feed(parts, "The configuration")
    return walk.digest.hexdigest()


def net_fingerprint(net: NeuralNet) -> str:
    """Return the digest of all that decides what training makes of given rows and a given seed.

    Device and versions of torch, skorch and this package count, as results differ with them.
    """
    walk = _Walk()
    walk.feed([_version(package) for package in ("torch", "skorch", _OURS)], "The versions")
    walk.feed(net, "The network")
    return walk.digest.hexdigest()


class _Walk:
    """Feeds a digest with one value after another, depth first."""

    def __init__(self) -> None:
        self.digest = hashlib.blake2b(digest_size=16)
        self._ancestors: list[int] = []
        self._tensors: dict[int, tuple[int, torch.Tensor]] = {}
        self._definitions: set[int] = set()

    def feed(self, value: Any, where: str) -> None:
        """Feed any value; `where` names its place in errors."""
        if isinstance(value, np.generic) and type(value.item()) in _ATOMS:
            value = value.item()  # as from a grid of numpy numbers
        if type(value) in _ATOMS:
            self._token(type(value).__name__, value)
        elif isinstance(value, torch.Tensor):
            self._feed_tensor(value, where)
        elif type(value) in (np.ndarray, np.memmap) and not value.dtype.hasobject:
            self._feed_array(value)
        elif isinstance(value, ModuleType):
            self._token("module", value.__name__)
        elif isinstance(value, (type, FunctionType)):
            if "<" in value.__qualname__:  # <lambda> or <locals>
                self._refuse(where, f"{value.__qualname__}, which has no name outside its function")
            self._feed_definition(value, where)
        elif id(value) in self._ancestors:
            self._token("ancestor", self._ancestors.index(id(value)))
        else:
            self._ancestors.append(id(value))
            self._token("(")
            self._feed_content(value, where)
            self._token(")")
            self._ancestors.pop()

    def _token(self, *parts: Any) -> None:
        """Feed something whose repr says all."""
        self.digest.update(repr(parts).encode())

    def _refuse(self, where: str, what: str) -> NoReturn:
        """Raise for what cannot be recognised."""
        raise TypeError(
            f"{where} holds {what}: another Python process could not tell whether it has the same. "
            "Use functions and classes that are defined at the top level of a module, or leave "
            "cache_dir out."
        )

    def _feed_array(self, array: np.ndarray) -> None:
        """Feed dtype, shape and values."""
        self._token("array", array.dtype.str, array.shape)
        self.digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)

    def _feed_tensor(self, tensor: torch.Tensor, where: str) -> None:
        """Feed which tensor of all it is, dtype, shape and values."""
        # Tied weights are one tensor. It is held here, or another could take its id.
        number, _ = self._tensors.setdefault(id(tensor), (len(self._tensors), tensor))
        self._token("tensor", number, str(tensor.dtype), tensor.requires_grad)
        if is_lazy(tensor):
            return
        try:
            values = tensor.detach().cpu().contiguous()
            self._token(tuple(values.shape))
            self.digest.update(values.reshape(-1).view(torch.uint8).numpy().data)
        except RuntimeError as error:  # meta and sparse tensors, say
            self._refuse(where, f"a tensor that cannot be read ({error})")

    def _feed_content(self, value: Any, where: str) -> None:
        """Feed a container or an instance of a class."""
        kind = type(value)
        if kind in (list, tuple):
            self._token(kind.__name__)
            for item in value:
                self.feed(item, where)
        elif kind is dict:  # in its order, which decides about the layers of a module
            self.feed(list(value.items()), where)
        elif kind in (set, frozenset):
            self._token(kind.__name__, *sorted(fingerprint(item) for item in value))
        elif hasattr(value, "get_params"):
            self.feed(kind, where)
            for name, parameter in sorted(value.get_params(deep=False).items()):
                if name != "verbose" and not name.startswith("_"):
                    self._token(name)
                    self.feed(parameter, f"{where}'s {name}")
        else:
            self._feed_instance(value, where)

    def _feed_instance(self, value: Any, where: str) -> None:
        """Feed what pickle would write: how the object is made, and its state."""
        if isinstance(value, nn.Module):
            value = plain_module(value)
        try:
            reduce = copyreg.dispatch_table.get(type(value))
            reduced = value.__reduce_ex__(4) if reduce is None else reduce(value)
        except Exception as error:
            self._refuse(where, f"a {type(value).__name__}, which cannot be read ({error})")
        if isinstance(reduced, str):
            self._token(getattr(value, "__module__", None), reduced)
            return
        make, args, state, items, pairs = (*reduced, None, None, None)[:5]
        if isinstance(state, dict):
            # Training sets the mode of a module itself.
            hidden = {"training"} if isinstance(value, nn.Module) else set()
            state = {name: state[name] for name in sorted(state, key=str) if name not in hidden}
        for part in (make, args, state, list(items or ()), list(pairs or ())):
            self.feed(part, where)

    def _feed_definition(self, value: Any, where: str) -> None:
        """Feed a class or a function: its name and, unless it is installed code, its source."""
        name = f"{value.__module__}.{value.__qualname__}"
        package = str(value.__module__).partition(".")[0]
        self._token("definition", name)
        if _is_installed(package):
            self._token(_version(package))
            return
        if id(value) in self._definitions:
            return
        self._definitions.add(id(value))
        try:
            self._token(inspect.getsource(value))
        except (OSError, TypeError):  # typed at a plain prompt
            self._token("no source")
        if isinstance(value, type):
            for parent in value.__bases__:
                self._feed_definition(parent, where)
        for name, mentioned in _mentions(value):
            self._token(name)
            if not isinstance(mentioned, (type, FunctionType)):
                mentioned = getattr(mentioned, "__wrapped__", mentioned)  # as by lru_cache
            if isinstance(mentioned, (type, FunctionType)):
                self._feed_definition(mentioned, where)
            elif isinstance(mentioned, _CONSTANTS):
                try:
                    self.feed(mentioned, where)
                except TypeError:  # it may be of no use to the training
                    self._token("unread")


def _version(package: str) -> str | None:
    """Return the version of an installed package, if it has one."""
    version = getattr(sys.modules.get(package), "__version__", None)
    if version is None:
        with suppress(PackageNotFoundError):
            version = metadata.version(package)
    return version


def _is_installed(package: str) -> bool:
    """Tell whether a package's version says what is in it: it is not the user's own code."""
    if package == "__main__":
        return False  # also where the running program, a notebook's kernel say, is installed
    if package in sys.stdlib_module_names or package == _OURS:
        return True
    file = getattr(sys.modules.get(package), "__file__", None) or ""
    return not {"site-packages", "dist-packages"}.isdisjoint(Path(file).parts)


def _is_own_module(value: Any) -> bool:
    """Tell whether a value is a module of the user's."""
    is_module = isinstance(value, ModuleType)
    return is_module and not _is_installed(value.__name__.partition(".")[0])


def _mentions(value: type | FunctionType) -> list[tuple[str, Any]]:
    """Return the members of a class; of a function the globals that it names and its defaults."""
    if isinstance(value, type):
        members = {
            name: getattr(member, "__func__", getattr(member, "fget", member))
            for name, member in vars(value).items()
        }
        # Not Python's own notes, such as the number of the line where the class begins.
        return sorted(
            (name, member)
            for name, member in members.items()
            if isinstance(member, FunctionType) or not name.startswith("__")
        )
    names = _names(value.__code__)
    named = {name: value.__globals__[name] for name in sorted(names & set(value.__globals__))}
    modules = [module for module in named.values() if _is_own_module(module)]
    for module in modules:  # it grows
        for name in sorted(names & set(vars(module))):
            member = named[f"{module.__name__}.{name}"] = vars(module)[name]
            if _is_own_module(member) and member not in modules:
                modules.append(member)
    defaults = (*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values())
    return [
        *named.items(),
        *(("default", default) for default in defaults),
        ("wrapped", getattr(value, "__wrapped__", None)),
    ]


def _names(code: CodeType) -> set[str]:
    """Return the globals and attributes that code names, that of inner functions included."""
    inner = (_names(part) for part in code.co_consts if isinstance(part, CodeType))
    return set(code.co_names).union(*inner)
