# SPDX-License-Identifier: BSD-3-Clause
"""A digest of values, of the attributes of objects and of the items of Datasets."""

from __future__ import annotations

import copyreg
import hashlib
import pickle
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
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

from ..._randomness import isolated_rng
from ...networks.forward import plain_module
from .code_reading import is_own

_ATOMS = (type(None), bool, int, float, complex, str, bytes, type(...), type(NotImplemented))
_CODE = (ModuleType, type, FunctionType, MethodType, BuiltinFunctionType, CodeType)
_MOST_VALUES = 10_000_000  # objects that refer to each other in circles have endless paths
# What they yield is all in their attributes.
_TRANSPARENT = (SkorchDataset, TensorDataset, Subset, ConcatDataset)


class UnreadableError(TypeError):
    """Something of a configuration cannot be recognised by another process."""


def refusal(problem: str) -> str:
    """Return the message about something that cannot be recognised."""
    return (
        f"{problem}; a cache could not tell it from another one in another run. Pass "
        "cache_key='...', a text of yours that you change whenever this changes, or set cache_dir "
        "(or memory) to None."
    )


class ValueDigest(ABC):
    """A digest that is fed with one value after another, depth first; subclasses read code."""

    def __init__(self, *, vouched: bool) -> None:
        self.digest = hashlib.blake2b(digest_size=16)
        self.vouched = vouched
        self._ancestors: list[int] = []
        self._tensors: dict[int, tuple[int, torch.Tensor]] = {}
        self._n_values = 0
        self._is_cloned = True  # what has get_params: only these survive
        self.may_read_files = False

    def feed(self, value: Any, where: str) -> None:
        """Feed any value; `where` names its place in errors."""
        self._n_values += 1
        if self._n_values > _MOST_VALUES:
            raise UnreadableError(refusal(f"{where} too much to be read"))
        if isinstance(value, np.generic) and type(value.item()) in _ATOMS:
            value = value.item()  # as from a grid of numpy numbers
        if type(value) in _ATOMS:
            self.token(type(value).__name__, value)
        elif isinstance(value, torch.Tensor):
            self._feed_tensor(value, where)
        elif type(value) in (np.ndarray, np.memmap) and not value.dtype.hasobject:
            self._feed_array(value)
        elif id(value) in self._ancestors:
            self.token("ancestor", self._ancestors.index(id(value)))
        else:
            self._ancestors.append(id(value))
            self.token("(")
            self._feed_object(value, where)
            self.token(")")
            self._ancestors.pop()

    @abstractmethod
    def feed_code(self, value: Any, where: str) -> None:
        """Feed a module, a class, a function or what these consist of."""

    def digest_of(self, value: Any, where: str) -> str:
        """Return the digest of a value by itself."""
        walk = type(self)(vouched=self.vouched)
        walk._is_cloned, walk.may_read_files = self._is_cloned, self.may_read_files
        walk.feed(value, where)
        return walk.digest.hexdigest()

    def token(self, *parts: Any) -> None:
        """Feed something whose repr says all."""
        self.digest.update(repr(parts).encode())

    def refuse(self, problem: str) -> None:
        """Raise for what cannot be recognised, unless the user vouches for it."""
        if not self.vouched:
            raise UnreadableError(refusal(problem))
        self.token("vouched for")

    @contextmanager
    def uncloned(self, *, may_read_files: bool = False) -> Iterator[None]:
        """Feed parts of what is used as it is, not cloned by its parameters."""
        before = self._is_cloned, self.may_read_files
        self._is_cloned, self.may_read_files = False, before[1] or may_read_files
        yield
        self._is_cloned, self.may_read_files = before

    # -------------------------------------------------------------------------------- values

    def _feed_array(self, array: np.ndarray) -> None:
        """Feed dtype, shape and values."""
        self.token("array", array.dtype.str, array.shape)
        self.digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)

    def _feed_tensor(self, tensor: torch.Tensor, where: str) -> None:
        """Feed which tensor of all it is, dtype, shape and values."""
        # Tied weights are one tensor. It is held here, or another could take its id.
        number, _ = self._tensors.setdefault(id(tensor), (len(self._tensors), tensor))
        self.token("tensor", number, str(tensor.dtype), tensor.requires_grad)
        if is_lazy(tensor):
            return
        try:
            values = tensor.detach().cpu().contiguous()
            self.token(tuple(values.shape))
            self.digest.update(values.reshape(-1).view(torch.uint8).numpy().data)
        except RuntimeError as error:  # meta and sparse tensors, say
            self.refuse(f"{where} a tensor that cannot be read ({error})")
            return
        if type(tensor) not in (torch.Tensor, nn.Parameter):
            self.feed(type(tensor), where)
        hooks = list((tensor._backward_hooks or {}).values())
        if vars(tensor) or hooks:
            with self.uncloned():
                self.feed([vars(tensor), hooks], where)

    def _feed_object(self, value: Any, where: str) -> None:
        """Feed a container, code, or an instance of a class."""
        kind = type(value)
        if isinstance(value, _CODE):
            self.feed_code(value, where)
        elif kind in (list, tuple):
            self.token(kind.__name__)
            for item in value:
                self.feed(item, where)
        elif kind is dict:  # in its order, which decides about the layers of a module
            self.feed(list(value.items()), where)
        elif kind in (set, frozenset):
            self.token(kind.__name__, *sorted(self.digest_of(item, where) for item in value))
        elif hasattr(kind, "get_params") and self._is_cloned:
            self._feed_parameters(value, where)
        else:
            with self.uncloned(may_read_files=isinstance(value, Dataset)):
                self._feed_instance(value, where)
            if isinstance(value, Dataset) and kind not in _TRANSPARENT:
                self._feed_items(value, where)

    def _feed_parameters(self, value: Any, where: str) -> None:
        """Feed what clones of an estimator, network or callback have in common with it."""
        self.feed(type(value), where)
        for name, parameter in sorted(value.get_params(deep=False).items()):
            if name != "verbose" and not name.startswith("_"):
                self.token(name)
                self.feed(parameter, f"{where.removesuffix(' holds')}'s {name} holds")
        # scikit-learn's clone copies these, too.
        for name in ("_metadata_request", "_sklearn_output_config"):
            if name in vars(value):
                self.feed([name, vars(value)[name]], where)

    def _feed_items(self, dataset: Any, where: str) -> None:
        """Feed what a Dataset yields: of files that it reads there is no other trace."""
        if isinstance(dataset, IterableDataset) or not hasattr(type(dataset), "__len__"):
            self.refuse(f"{where} a {type(dataset).__name__}, whose items have no index")
            return
        with isolated_rng(0):  # the items may be random
            for i in range(len(dataset)):
                self.token(self.digest_of(dataset[i], where))

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
                self.refuse(f"{where} a {type(value).__name__}, which cannot be read ({error})")
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
        self.token(getattr(found, "__name__", None), name)
        if hasattr(type(value), "cache_info"):  # of lru_cache
            self.feed(value.__wrapped__, where)
            return
        is_installed = found is not None and not is_own(vars(found))
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is not value or not is_installed:
            self.refuse(f"{where} {name}, of which no more than its name can be read")

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
            self.token(name)
            self.feed(content, where)


def _has_own_pickling(kind: type) -> bool:
    """Tell whether the user's own code decides what pickle keeps of an instance."""
    for name in ("__reduce_ex__", "__reduce__", "__getstate__"):
        function = getattr(kind, name, None)
        if isinstance(function, FunctionType) and is_own(function.__globals__):
            return True
    return False
