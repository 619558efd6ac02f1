# SPDX-License-Identifier: BSD-3-Clause
"""What functions name, read from their bytecode, and which code is installed.

Bytecode is what runs: a source file may have been edited since, and there is none behind
``python -c`` or a prompt.
"""

from __future__ import annotations

import builtins
import dis
import hashlib
import os
import site
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module, metadata, util
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

_OURS = __name__.partition(".")[0]
_OUR_FOLDER = str(Path(__file__).resolve().parents[2])
# Whoever calls these can depend on files, or on code, that no name shows: as methods ...
_METHODS_THAT_READ = frozenset(
    "open fdopen load_file load_from_checkpoint load_state_dict_from_url loadmat loadtxt "
    "genfromtxt fromfile memmap safe_open imread read_text read_bytes read_csv read_excel "
    "read_feather read_hdf read_image read_json read_parquet read_pickle read_sql read_table "
    "from_pretrained urlopen urlretrieve listdir scandir iterdir rglob check_output parse_args "
    "parse_known_args import_module".split()
)
# ... and as functions and classes of installed packages; a user's own may bear these names.
_READS = _METHODS_THAT_READ | frozenset(
    "load safe_load glob iglob connect exists isfile isdir getmtime getsize stat system popen run "
    "getoutput getline File HDFStore ZipFile TarFile Popen ConfigParser ArgumentParser".split()
)
_DYNAMIC = (eval, exec, compile, __import__, globals, input)
_NO_STEPS = ("CACHE", "EXTENDED_ARG", "PRECALL", "PUSH_NULL")
_ENVIRONMENT = [
    getattr(os, name)
    for name in ("environ", "environb", "getenv", "getenvb")
    if hasattr(os, name)  # those of bytes are not on Windows
]


# ------------------------------------------------------------------------------- installed code


@cache
def _is_installed_file(file: str) -> bool:
    """Tell whether a file lies where Python, its packages or this package are installed."""
    path = os.path.realpath(file)
    if path.startswith(_OUR_FOLDER + os.sep):
        return True
    if not {"site-packages", "dist-packages"}.isdisjoint(Path(path).parts):
        return True
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = [sysconfig.get_path(name) for name in names]
    folders += [*site.getsitepackages(), site.getusersitepackages()]
    return any(path.startswith(os.path.realpath(folder) + os.sep) for folder in folders)


def is_own(namespace: Mapping[str, Any]) -> bool:
    """Tell whether a module's names are the user's own code, which no version describes.

    Where its file lies decides: a user's file may be called like a module of Python's.
    """
    name = str(namespace.get("__name__"))
    if name == "__main__":
        return True  # also where the running program, a notebook's kernel say, is installed
    package = sys.modules.get(name.partition(".")[0])
    file = namespace.get("__file__") or ""
    if not os.path.isabs(file):  # of builtin modules, and of those that extensions make
        file = getattr(package, "__file__", None) or ""
    if not file:
        spec = getattr(package, "__spec__", None)
        return getattr(spec, "origin", None) not in ("built-in", "frozen")
    return not _is_installed_file(file) or version(name) is None


def version(module: str) -> str | None:
    """Return what says which release of an installed package a module is of, None if nothing."""
    package = module.partition(".")[0]
    if package in sys.stdlib_module_names:
        return sys.version
    declared = getattr(sys.modules.get(package), "__version__", None)
    recorded = _recorded(package, search=declared is None)
    return None if declared is recorded is None else f"{declared} {recorded}"


@cache
def _recorded(package: str, search: bool) -> str | None:
    """Return version and digests of the files of an installed package, as its installer noted."""
    distribution = None
    with suppress(PackageNotFoundError):
        distribution = metadata.distribution(package)
    if distribution is None and search:  # slow: it is installed by another name
        names = metadata.packages_distributions().get(package, [])
        distribution = metadata.distribution(names[0]) if names else None
    if distribution is None:
        return None
    # The same release of a user's package may be installed again with other content.
    files = (distribution.read_text("RECORD") or "").splitlines()
    content = sorted(line for line in files if ".py," in line or ".so," in line)
    return f"{distribution.version} {hashlib.sha256(repr(content).encode()).hexdigest()}"


def is_part_of_installed(function: FunctionType) -> bool:
    """Tell whether a function of installed code is found there by its name."""
    found: Any = sys.modules.get(function.__module__ or "")
    if found is None or is_own(vars(found)):
        return False
    for name in function.__qualname__.split("."):
        found = getattr(found, name, None)
    return getattr(found, "__func__", found) is function


# ------------------------------------------------------------------------------- what is named


@dataclass(frozen=True)
class Mention:
    """Something that code names; `unread` says what it does that shows only when it runs."""

    path: str
    value: Any = None
    is_installed: bool = False  # an attribute of an installed module
    unread: str = ""


def mentions(function: FunctionType) -> Iterator[Mention]:
    """Yield the globals that a function names, inner functions too, and what modules hold."""
    codes = list(inner_codes(function.__code__))
    namespace = {**vars(builtins), **function.__globals__}
    imported: dict[str, Any] = {}
    for code in codes:
        imported |= _imports(code, namespace)
    for code in codes:
        for name in sorted(_METHODS_THAT_READ & set(code.co_names) - set(namespace)):
            yield Mention(name, unread=_reads(name))
        for chain, key in _chains(code, set(imported)):
            yield from _resolved(chain, key, imported if chain[0] in imported else namespace)


def inner_codes(code: CodeType) -> Iterator[CodeType]:
    """Yield code and the code of the functions inside it."""
    yield code
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from inner_codes(part)


def _chains(code: CodeType, imported: Set[str]) -> Iterator[tuple[list[str], Any]]:
    """Yield names with the attributes asked of them, ``os.environ.get`` say, and their argument.

    The argument is a constant, a global in a list, or None where it does not show.
    """
    steps = [s for s in dis.get_instructions(code) if s.opname not in _NO_STEPS]
    chain: list[str] = []
    before: Any = None
    for i, step in enumerate(steps):
        if chain and step.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            chain.append(step.argval)
            continue
        if chain:
            yield chain, before if step.opname == "CONTAINS_OP" else _argument(steps[i : i + 3])
        loaded = _loaded(step, imported)
        for name in loaded[:-1]:
            yield [name], None
        chain = loaded[-1:]
        if not chain:
            before = step.argval if step.opname == "LOAD_CONST" else None


def _loaded(step: dis.Instruction, imported: Set[str]) -> list[str]:
    """Return the globals, or names of modules imported on the spot, that a step loads."""
    if step.opname.startswith(("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")):
        return [step.argval]
    if step.opname.startswith(("LOAD_FAST", "LOAD_DEREF", "STORE_FAST_LOAD_FAST")):
        both = step.argval if isinstance(step.argval, tuple) else (step.argval,)
        return [name for name in both if name in imported]
    return []


def _argument(steps: Sequence[dis.Instruction]) -> Any:
    """Return the first argument of a call or the key of a subscript, if it is that alone."""
    first, *others = steps
    if len(others) == 2 and others[0].opname.startswith("LOAD"):  # a default follows
        others = others[1:]
    is_used = others and others[0].opname.startswith(("BINARY_SUBSCR", "CALL"))
    if not is_used and not (others and others[0].argrepr == "[]"):
        return None
    return first.argval if first.opname == "LOAD_CONST" else _loaded(first, frozenset())


def _resolved(chain: list[str], key: Any, namespace: Mapping[str, Any]) -> Iterator[Mention]:
    """Yield what a chain of names leads to, as far as it leads through modules."""
    if chain[0] not in namespace:
        return
    value, is_installed, n = namespace[chain[0]], False, 1
    if value is sys.modules.get("torch") and _is_custom_operation(chain):
        yield Mention(chain[0], unread=f"uses {'.'.join(chain)}, behind which any code may be")
        return
    for name in chain[1:]:
        if not isinstance(value, ModuleType):
            break
        is_installed = not is_own(vars(value))
        try:
            value = getattr(value, name)
        except Exception:  # a lazy import, say, that fails when the code runs
            return
        n += 1
    path = ".".join(chain[:n])
    if any(value is part for part in _ENVIRONMENT):
        yield _of_environment(path, key, namespace)
    elif any(value is part for part in _DYNAMIC):
        yield Mention(path, unread=f"calls {path}, and what that finds does not show")
    elif _is_reader(value):
        yield Mention(path, unread=_reads(path))
    elif value is sys.modules:
        yield Mention(path, unread=f"uses {path}, behind which any code may be")
    else:
        yield Mention(path, value, is_installed)


def _is_custom_operation(chain: Sequence[str]) -> bool:
    """Tell whether names that begin by torch lead to operations that are not torch's own."""
    return chain[1:2] == ["ops"] and chain[2:3] != ["aten"]


def _reads(path: str) -> str:
    """Say of a function that it reads files or finds code."""
    return f"calls {path}, and what that reads or finds does not show"


def _is_reader(value: Any) -> bool:
    """Tell whether a value is an installed function or class that reads files."""
    if isinstance(value, FunctionType):
        return value.__name__ in _READS and not is_own(value.__globals__)
    if isinstance(value, type):
        module = sys.modules.get(value.__module__)
        return value.__name__ in _READS and module is not None and not is_own(vars(module))
    is_method = isinstance(value, (BuiltinFunctionType, MethodType))
    return is_method and value.__name__ in _READS


def _of_environment(path: str, key: Any, namespace: Mapping[str, Any]) -> Mention:
    """Return the mention of the environment variable that is asked for, if its name shows."""
    if isinstance(key, list):
        key = namespace.get(key[-1]) if key else None
    if isinstance(key, (str, bytes)):
        return Mention(f"{path} {key!r}", os.environ.get(os.fsdecode(key)))
    return Mention(path, unread=f"reads {path}, and of which variable does not show")


def _imports(code: CodeType, namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Return what code imports when it runs, by its local names."""
    found: dict[str, Any] = {}
    constants: list[Any] = [0, None]  # the level of a relative import, and the names after "import"
    module = value = None
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_CONST", "LOAD_SMALL_INT"):
            constants = [constants[1], step.argval]
        elif step.opname == "IMPORT_NAME":
            module = value = _imported(step.argval, constants[0], namespace)
            if constants[1] is None and module is not None:  # "import a.b" gives a
                value = sys.modules[module.__name__.partition(".")[0]]
        elif step.opname == "IMPORT_FROM":
            value = getattr(module, step.argval, None)
        elif step.opname.startswith("STORE") and value is not None:
            found[step.argval] = value
            value = None
    return found


def _imported(name: str, level: int, namespace: Mapping[str, Any]) -> ModuleType | None:
    """Return a module that code imports, imported now if it is the user's own; None if absent."""
    try:
        if level:
            name = util.resolve_name("." * level + name, namespace["__package__"])
        if name not in sys.modules:
            spec = util.find_spec(name)
            if spec is None or spec.origin is None or _is_installed_file(spec.origin):
                return None
            import_module(name)
        return sys.modules[name]
    except Exception:  # the import will fail in training, too
        return None
