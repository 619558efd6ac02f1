# SPDX-License-Identifier: BSD-3-Clause
"""A digest of a configuration that another Python process computes alike.

Not joblib.hash: it differs between processes for tensors, it overlooks the order of a module's
layers, it tells apart equal values by whether they are the same object, and it does not see code.

What is seen: values, arrays, tensors (and which of them are the same tensor), the content of
objects, and code. Of installed code name and version; of the user's own the bytecode, with it
closures, defaults, and all globals, environment variables and attributes of modules that it names,
and in turn what those name. What cannot be seen, files that code reads for one, is refused, unless
the user vouches for it with a `cache_key`.
"""

from __future__ import annotations

import copyreg
import hashlib
import pickle
import random
import sys
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any

import numpy as np
import torch
from skorch.dataset import Dataset as SkorchDataset
from torch import nn
from torch.nn.parameter import is_lazy
from torch.utils.data import ConcatDataset, Dataset, IterableDataset, Subset, TensorDataset
from torch.utils.hooks import RemovableHandle

from .._randomness import isolated_rng
from ..networks.forward import plain_module
from .code_reading import Mention, is_own, is_part_of_installed, mentions, version
from .torch_settings import patched_functions, torch_settings

_ATOMS = (type(None), bool, int, float, complex, str, bytes, type(...), type(NotImplemented))
_OURS = __name__.partition(".")[0]
_MOST_VALUES = 10_000_000  # objects that refer to each other in circles have endless paths
# These are seeded anew for every training, so that their state does not matter.
_SEEDED = (np.random.random.__self__, random.random.__self__)  # type: ignore[attr-defined]
# What they yield is all in their attributes.
_TRANSPARENT = (SkorchDataset, TensorDataset, Subset, ConcatDataset)
# Python's own notes, such as the number of the line where a class begins.
_NOTES = frozenset(
    "__abstractmethods__ __annotate__ __annotate_func__ __annotations__ __annotations_cache__ "
    "__conditional_annotations__ __dataclass_fields__ __dataclass_params__ __dict__ __doc__ "
    "__firstlineno__ __match_args__ __module__ __orig_bases__ __parameters__ __qualname__ "
    "__slotnames__ __slots__ __static_attributes__ __type_params__ __weakref__ _abc_impl".split()
)


class UnreadableError(TypeError):
    """Something of a configuration cannot be recognised by another process."""


def fingerprint(*parts: Any, name: str = "The configuration", cache_key: str | None = None) -> str:
    """Return a digest of values, 32 hex digits that are the same in every process.

    Of what has `get_params` only class and parameters count, without `verbose`; of modules also the
    weights. What cannot be read is refused, or with a `cache_key`, which then counts, left out.
    Errors begin by a name for the parts.
    """
    walk = _Walk(vouched=cache_key is not None)
    try:
        walk.feed([*parts] if cache_key is None else [*parts, cache_key], f"{name} holds")
    except RecursionError:
        raise UnreadableError(_refusal(f"{name} holds values that are nested too deeply")) from None
    return walk.digest.hexdigest()


def training_fingerprint(
    *parts: Any, name: str = "The configuration", cache_key: str | None = None
) -> str:
    """Return the digest of all that decides what training makes of given rows and a given seed.

    Beside the parts these are torch's global settings and the versions of torch, skorch and this
    package.
    """
    return fingerprint(
        [version(package) for package in ("torch", "skorch", _OURS)],
        torch_settings(),
        fingerprint(patched_functions(), name="torch", cache_key=cache_key),
        fingerprint(*parts, name=name, cache_key=cache_key),
    )


def _refusal(problem: str) -> str:
    """Return the message about something that cannot be recognised."""
    return (
        f"{problem}; a cache could not tell it from another one in another run. Pass "
        "cache_key='...', a text of yours that you change whenever this changes, or set cache_dir "
        "(or memory) to None."
    )


class _Walk:
    """Feeds a digest with one value after another, depth first."""

    def __init__(self, *, vouched: bool) -> None:
        self.digest = hashlib.blake2b(digest_size=16)
        self._vouched = vouched
        self._ancestors: list[int] = []
        self._tensors: dict[int, tuple[int, torch.Tensor]] = {}
        self._definitions: dict[tuple[int, bool], tuple[int, Any]] = {}
        self._n_values = 0
        self._is_cloned = True  # what has get_params: only these survive
        self._may_read_files = False

    def feed(self, value: Any, where: str) -> None:
        """Feed any value; `where` names its place in errors."""
        self._n_values += 1
        if self._n_values > _MOST_VALUES:
            raise UnreadableError(_refusal(f"{where} too much to be read"))
        if isinstance(value, np.generic) and type(value.item()) in _ATOMS:
            value = value.item()  # as from a grid of numpy numbers
        if type(value) in _ATOMS:
            self._token(type(value).__name__, value)
        elif isinstance(value, torch.Tensor):
            self._feed_tensor(value, where)
        elif type(value) in (np.ndarray, np.memmap) and not value.dtype.hasobject:
            self._feed_array(value)
        elif isinstance(value, CodeType):
            self._feed_code(value, where)
        elif id(value) in self._ancestors:
            self._token("ancestor", self._ancestors.index(id(value)))
        else:
            self._ancestors.append(id(value))
            self._token("(")
            self._feed_object(value, where)
            self._token(")")
            self._ancestors.pop()

    def _token(self, *parts: Any) -> None:
        """Feed something whose repr says all."""
        self.digest.update(repr(parts).encode())

    def _refuse(self, problem: str) -> None:
        """Raise for what cannot be recognised, unless the user vouches for it."""
        if not self._vouched:
            raise UnreadableError(_refusal(problem))
        self._token("vouched for")

    @contextmanager
    def _uncloned(self, *, may_read_files: bool = False) -> Any:
        """Feed parts of what is used as it is, not cloned by its parameters."""
        before = self._is_cloned, self._may_read_files
        self._is_cloned, self._may_read_files = False, before[1] or may_read_files
        yield
        self._is_cloned, self._may_read_files = before

    # -------------------------------------------------------------------------------- values

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
            self._refuse(f"{where} a tensor that cannot be read ({error})")
            return
        if type(tensor) not in (torch.Tensor, nn.Parameter):
            self.feed(type(tensor), where)
        hooks = list((tensor._backward_hooks or {}).values())
        if vars(tensor) or hooks:
            with self._uncloned():
                self.feed([vars(tensor), hooks], where)

    def _feed_object(self, value: Any, where: str) -> None:
        """Feed a container, code, or an instance of a class."""
        kind = type(value)
        if isinstance(value, ModuleType):
            self._feed_module(value)
        elif isinstance(value, type):
            self._feed_class(value, where)
        elif isinstance(value, FunctionType):
            self._feed_function(value)
        elif kind in (MethodType, BuiltinFunctionType):
            self._feed_method(value, where)
        elif kind in (list, tuple):
            self._token(kind.__name__)
            for item in value:
                self.feed(item, where)
        elif kind is dict:  # in its order, which decides about the layers of a module
            self.feed(list(value.items()), where)
        elif kind in (set, frozenset):
            vouch = "" if self._vouched else None
            self._token(kind.__name__, *sorted(fingerprint(v, cache_key=vouch) for v in value))
        elif hasattr(kind, "get_params") and self._is_cloned:
            self._feed_parameters(value, where)
        else:
            with self._uncloned(may_read_files=isinstance(value, Dataset)):
                self._feed_instance(value, where)
            if isinstance(value, Dataset) and kind not in _TRANSPARENT:
                self._feed_items(value, where)

    def _feed_parameters(self, value: Any, where: str) -> None:
        """Feed what clones of an estimator, network or callback have in common with it."""
        self.feed(type(value), where)
        for name, parameter in sorted(value.get_params(deep=False).items()):
            if name != "verbose" and not name.startswith("_"):
                self._token(name)
                self.feed(parameter, f"{where.removesuffix(' holds')}'s {name} holds")
        # scikit-learn's clone copies these, too.
        for name in ("_metadata_request", "_sklearn_output_config"):
            if name in vars(value):
                self.feed([name, vars(value)[name]], where)

    def _feed_items(self, dataset: Any, where: str) -> None:
        """Feed what a Dataset yields: of files that it reads there is no other trace."""
        if isinstance(dataset, IterableDataset) or not hasattr(type(dataset), "__len__"):
            self._refuse(f"{where} a {type(dataset).__name__}, whose items have no index")
            return
        vouch = "" if self._vouched else None
        with isolated_rng(0):  # the items may be random
            for i in range(len(dataset)):
                self._token(fingerprint(dataset[i], cache_key=vouch))

    def _feed_instance(self, value: Any, where: str) -> None:
        """Feed what pickle would write, how the object is made and its state, or attributes."""
        if isinstance(value, nn.Module):
            value = plain_module(value)
            self.feed(type(value), where)
            # Training sets the mode of a module itself; what it compiles to follows.
            self._feed_attributes(value, where, without={"training", "_compiled_call_impl"})
            return
        if isinstance(value, RemovableHandle):
            return  # the hook is seen where it hangs
        try:
            reduce = copyreg.dispatch_table.get(type(value))
            reduced = value.__reduce_ex__(4) if reduce is None else reduce(value)
        except Exception as error:
            if isinstance(value, dict):  # attributes that are items confuse pickle
                reduced = type(value), (), getattr(value, "__dict__", {}), None, dict.items(value)
            else:
                self._refuse(f"{where} a {type(value).__name__}, which cannot be read ({error})")
                return
        if isinstance(reduced, str):
            self._feed_named(value, reduced, where)
            return
        if _has_own_pickling(type(value)):  # it may leave out what counts
            self._feed_attributes(value, where)
        make, args, state, items, pairs = (*reduced, None, None, None)[:5]
        if isinstance(state, dict):
            state = {name: state[name] for name in sorted(state, key=str)}
        inside = where
        if not where.endswith(" that holds"):
            inside = f"{where} a {type(value).__name__} that holds"
        for part in (make, args, state, list(items or ()), list(pairs or ())):
            self.feed(part, inside)

    def _feed_named(self, value: Any, name: str, where: str) -> None:
        """Feed what pickle would find by its name."""
        found: Any = sys.modules.get(pickle.whichmodule(value, name))  # type: ignore[attr-defined]  # not in typeshed
        self._token(getattr(found, "__name__", None), name)
        if hasattr(type(value), "cache_info"):  # of lru_cache
            self.feed(value.__wrapped__, where)
            return
        is_installed = found is not None and not is_own(vars(found))
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is not value or not is_installed:
            self._refuse(f"{where} {name}, of which no more than its name can be read")

    def _feed_attributes(self, value: Any, where: str, without: Any = ()) -> None:
        """Feed all attributes of an instance, in the order of their names."""
        slots = [
            name
            for parent in type(value).__mro__
            for name, member in vars(parent).items()
            if isinstance(member, MemberDescriptorType) and hasattr(value, name)
        ]
        held = getattr(value, "__dict__", {}) | {name: getattr(value, name) for name in slots}
        for name in sorted(set(held) - set(without), key=str):
            content = held[name]
            if isinstance(value, nn.Module) and "_hooks" in name and isinstance(content, dict):
                content = list(content.values())  # the keys count all hooks of a process
            self._token(name)
            self.feed(content, where)

    # ---------------------------------------------------------------------------------- code

    def _is_new(self, value: Any) -> bool:
        """Feed the number of a definition, and tell whether it comes for the first time."""
        key = id(value), self._may_read_files
        n_before = len(self._definitions)
        number, _ = self._definitions.setdefault(key, (n_before, value))
        self._token("definition", number)
        return number == n_before

    def _feed_module(self, module: ModuleType) -> None:
        """Feed a module: all that it holds if it is the user's own."""
        self._token("module", module.__name__)
        if not is_own(vars(module)):
            self._token(version(module.__name__))
        elif self._is_new(module):
            with self._uncloned():
                for name, member in sorted(vars(module).items()):
                    if not name.startswith("__") or name == "__getattr__":
                        self._token(name)
                        self.feed(member, f"The module {module.__name__} has the global {name},")

    def _feed_class(self, kind: type, where: str) -> None:
        """Feed a class: name and version, and its members unless it is installed."""
        self._token("class", kind.__module__, kind.__qualname__)
        module = sys.modules.get(kind.__module__)
        is_installed = module is not None and not is_own(vars(module))
        if is_installed:
            self._token(version(kind.__module__))
        if not self._is_new(kind):
            return
        with self._uncloned():
            if type(kind) is not type:
                self.feed(type(kind), where)
            for parent in kind.__bases__:
                self.feed(parent, where)
            for name, member in sorted(vars(kind).items()):
                if name in _NOTES or isinstance(
                    member, (GetSetDescriptorType, MemberDescriptorType)
                ):
                    continue
                for part in _unwrapped(member):
                    if not is_installed or _is_patch(part):
                        self._token(name)
                        self.feed(part, f"{kind.__qualname__}.{name} is")

    def _feed_function(self, function: FunctionType) -> None:
        """Feed a function: name and version, and its code unless it is installed."""
        self._token("function", function.__module__, function.__qualname__)
        is_installed = not is_own(function.__globals__)
        if is_installed:
            self._token(version(str(function.__globals__.get("__name__"))))
        if (is_installed and is_part_of_installed(function)) or not self._is_new(function):
            return
        # Installed code may have made a function of the user's, as torch.no_grad() does.
        where = function.__qualname__
        with self._uncloned():
            for cell in function.__closure__ or ():
                with suppress(ValueError):  # an empty cell
                    self.feed(cell.cell_contents, f"{where} encloses")
            self.feed([function.__defaults__, function.__kwdefaults__], f"{where} has as a default")
            self.feed(vars(function), f"{where} has as an attribute")
            if not is_installed:
                self._feed_code(function.__code__, where)
                for mention in mentions(function):
                    self._feed_mention(mention, where)

    def _feed_code(self, code: CodeType, where: str) -> None:
        """Feed what code does, not the lines where it is written."""
        self._token(
            sys.version_info[:2],
            code.co_code,
            code.co_exceptiontable,
            code.co_names,
            code.co_varnames,
            code.co_freevars,
            code.co_cellvars,
            code.co_flags,
            (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount),
        )
        for constant in code.co_consts:
            self.feed(constant, where)

    def _feed_mention(self, mention: Mention, where: str) -> None:
        """Feed what a function names."""
        self._token(mention.path)
        if mention.unread:
            if not self._may_read_files:
                self._refuse(f"{where} {mention.unread}")
        elif mention.is_installed:
            with suppress(UnreadableError):  # what belongs to a package is as it is installed
                vouch = "" if self._vouched else None
                self._token(fingerprint([mention.value], cache_key=vouch))
        else:
            self.feed(mention.value, f"{where} reads the global {mention.path},")

    def _feed_method(self, method: Any, where: str) -> None:
        """Feed a bound method or a function of compiled code."""
        owner = method.__self__
        self._token("method", method.__name__)
        if isinstance(owner, ModuleType) or owner is None:
            module = sys.modules.get(method.__module__ or "", owner)
            self._token(method.__module__)
            if module is not None and is_own(vars(module)):
                self._refuse(f"{where} {method.__qualname__}, compiled code of your own")
        elif not any(owner is generator for generator in _SEEDED):
            with self._uncloned():
                if isinstance(method, MethodType):
                    self.feed(method.__func__, where)
                self.feed(owner, where)


def _unwrapped(member: Any) -> list[Any]:
    """Return the functions behind a property or a class method, any other member as it is."""
    if isinstance(member, cached_property):
        return [member.func]
    if isinstance(member, property):
        return [part for part in (member.fget, member.fset, member.fdel) if part is not None]
    return [getattr(member, "__func__", member)]


def _is_patch(member: Any) -> bool:
    """Tell whether a member of an installed class is a function that the user put there."""
    if not isinstance(member, FunctionType):
        return False
    namespace: Mapping[str, Any] = member.__globals__
    return namespace.get("__name__") in sys.modules and is_own(namespace)


def _has_own_pickling(kind: type) -> bool:
    """Tell whether the user's own code decides what pickle keeps of an instance."""
    for name in ("__reduce_ex__", "__reduce__", "__getstate__"):
        function = getattr(kind, name, None)
        if isinstance(function, FunctionType) and is_own(function.__globals__):
            return True
    return False
