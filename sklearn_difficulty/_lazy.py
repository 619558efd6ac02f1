# SPDX-License-Identifier: BSD-3-Clause
"""Names of a package that are imported when they are first asked for (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any


def lazy_names(
    package: str, names: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` of a package, given its names by relative module.

    Type checkers must not see the assignment, or they would take every name for known.
    """
    module_of = {name: module for module, of_module in names.items() for name in of_module}

    def getter(name: str) -> Any:
        if name in module_of:
            value = getattr(import_module(module_of[name], package), name)
        elif not name.startswith("_") and find_spec(f"{package}.{name}"):
            value = import_module(f"{package}.{name}")
        else:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        setattr(sys.modules[package], name, value)  # so that it is not asked for again
        return value

    def lister() -> list[str]:
        known = {*vars(sys.modules[package]), *module_of}
        return sorted(known - {"TYPE_CHECKING", lazy_names.__name__})

    return getter, lister
