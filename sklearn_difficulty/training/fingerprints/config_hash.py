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

import random
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from types import (
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any

import numpy as np

from .code_reading import Mention, is_own, is_part_of_installed, mentions, version
from .torch_settings import patched_functions, torch_settings
from .value_digest import UnreadableError, ValueDigest, refusal

_OURS = __name__.partition(".")[0]
# These are seeded anew for every training, so that their state does not matter.
# Bound methods, which their stubs call functions.
_SEEDED = (np.random.random.__self__, random.random.__self__)  # type: ignore[attr-defined]
# Python's own notes, such as the number of the line where a class begins.
_NOTES = frozenset(
    "__abstractmethods__ __annotate__ __annotate_func__ __annotations__ __annotations_cache__ "
    "__conditional_annotations__ __dataclass_fields__ __dataclass_params__ __dict__ __doc__ "
    "__firstlineno__ __match_args__ __module__ __orig_bases__ __parameters__ __qualname__ "
    "__slotnames__ __slots__ __static_attributes__ __type_params__ __weakref__ _abc_impl".split()
)


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
        raise UnreadableError(refusal(f"{name} holds values that are nested too deeply")) from None
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


class _Walk(ValueDigest):
    """A digest of values and of code."""

    def __init__(self, *, vouched: bool) -> None:
        super().__init__(vouched=vouched)
        self._definitions: dict[tuple[int, bool], tuple[int, Any]] = {}

    def feed_code(self, value: Any, where: str) -> None:
        """Feed a module, a class, a function or what these consist of."""
        if isinstance(value, ModuleType):
            self._feed_module(value)
        elif isinstance(value, type):
            self._feed_class(value, where)
        elif isinstance(value, FunctionType):
            self._feed_function(value)
        elif isinstance(value, CodeType):
            self._feed_bytecode(value, where)
        else:
            self._feed_method(value, where)

    def _is_new(self, value: Any) -> bool:
        """Feed the number of a definition, and tell whether it comes for the first time."""
        key = id(value), self.may_read_files
        n_before = len(self._definitions)
        number, _ = self._definitions.setdefault(key, (n_before, value))
        self.token("definition", number)
        return number == n_before

    def _feed_module(self, module: ModuleType) -> None:
        """Feed a module: all that it holds if it is the user's own."""
        self.token("module", module.__name__)
        if not is_own(vars(module)):
            self.token(version(module.__name__))
        elif self._is_new(module):
            with self.uncloned():
                for name, member in sorted(vars(module).items()):
                    if not name.startswith("__") or name == "__getattr__":
                        self.token(name)
                        self.feed(member, f"The module {module.__name__} has the global {name},")

    def _feed_class(self, kind: type, where: str) -> None:
        """Feed a class: name and version, and its members unless it is installed."""
        self.token("class", kind.__module__, kind.__qualname__)
        module = sys.modules.get(kind.__module__)
        is_installed = module is not None and not is_own(vars(module))
        if is_installed:
            self.token(version(kind.__module__))
        if not self._is_new(kind):
            return
        with self.uncloned():
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
                        self.token(name)
                        self.feed(part, f"{kind.__qualname__}.{name} is")

    def _feed_function(self, function: FunctionType) -> None:
        """Feed a function: name and version, and its code unless it is installed."""
        self.token("function", function.__module__, function.__qualname__)
        is_installed = not is_own(function.__globals__)
        if is_installed:
            self.token(version(str(function.__globals__.get("__name__"))))
        if (is_installed and is_part_of_installed(function)) or not self._is_new(function):
            return
        # Installed code may have made a function of the user's, as torch.no_grad() does.
        where = function.__qualname__
        with self.uncloned():
            for cell in function.__closure__ or ():
                with suppress(ValueError):  # an empty cell
                    self.feed(cell.cell_contents, f"{where} encloses")
            self.feed([function.__defaults__, function.__kwdefaults__], f"{where} has as a default")
            self.feed(vars(function), f"{where} has as an attribute")
            if not is_installed:
                self._feed_bytecode(function.__code__, where)
                for mention in mentions(function):
                    self._feed_mention(mention, where)

    def _feed_bytecode(self, code: CodeType, where: str) -> None:
        """Feed what code does, not the lines where it is written."""
        self.token(
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
        self.token(mention.path)
        if mention.unread:
            if not self.may_read_files:
                self.refuse(f"{where} {mention.unread}")
        elif mention.is_installed:
            with suppress(UnreadableError):  # what belongs to a package is as it is installed
                self.token(self.digest_of([mention.value], where))
        else:
            self.feed(mention.value, f"{where} reads the global {mention.path},")

    def _feed_method(self, method: Any, where: str) -> None:
        """Feed a bound method or a function of compiled code."""
        owner = method.__self__
        self.token("method", method.__name__)
        if isinstance(owner, ModuleType) or owner is None:
            module = sys.modules.get(method.__module__ or "", owner)
            self.token(method.__module__)
            if module is not None and is_own(vars(module)):
                self.refuse(f"{where} {method.__qualname__}, compiled code of your own")
        elif not any(owner is generator for generator in _SEEDED):
            with self.uncloned():
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
