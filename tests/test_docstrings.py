# SPDX-License-Identifier: BSD-3-Clause
"""Public docstrings follow numpydoc and match the live signatures."""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest
from numpydoc.hooks.validate_docstrings import parse_config
from numpydoc.validate import ERROR_MSGS, validate

import sklearn_difficulty

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "sklearn_difficulty"

# What `make lint` checks, plus what needs the live object: every parameter is
# documented (PR01), no parameter is invented (PR02), returned values are
# documented (RT01), and there is a docstring (GL08).
METHOD_CHECKS = parse_config(ROOT)["checks"] | {"GL08", "PR01", "PR02", "RT01"}
# Classes and functions also show an example.
OBJECT_CHECKS = METHOD_CHECKS | {"EX01"}


def package_modules():
    yield sklearn_difficulty
    for module in pkgutil.walk_packages(sklearn_difficulty.__path__, f"{PACKAGE}."):
        yield importlib.import_module(module.name)


def is_ours(obj):
    return (getattr(obj, "__module__", None) or "").startswith(PACKAGE)


def public_objects():
    """Map the path of every public class and function to the object, each object once."""
    # tests/test_public_api.py holds this page to the modules that are public.
    page = (ROOT / "doc" / "api.rst").read_text(encoding="utf-8")
    paths = {}
    for module_name in re.findall(r"^\.\. currentmodule:: (\S+)", page, flags=re.MULTILINE):
        module = importlib.import_module(module_name)
        for name in module.__all__:
            obj = getattr(module, name)
            if (inspect.isclass(obj) or inspect.isfunction(obj)) and is_ours(obj):
                paths.setdefault(obj, f"{module_name}.{name}")
    return {path: obj for obj, path in paths.items()}


PUBLIC = public_objects()


def is_hook(cls, name):
    """Whether another library calls this method, and documents what it is given."""
    if cls.__module__.startswith("sklearn_difficulty.training.adapters."):
        return True  # the library may not be here to ask
    return any(
        name in vars(base) and base.__module__.split(".")[0] in ("skorch", "torch")
        for base in cls.__mro__
    )


def own_members(cls):
    """Return the public methods and properties that this package wrote for its users."""
    names = []
    for name in dir(cls):
        if name.startswith("_") or is_hook(cls, name):
            continue
        member = inspect.getattr_static(cls, name)
        function = member.fget if isinstance(member, property) else getattr(cls, name)
        if callable(function) and is_ours(inspect.unwrap(function)):
            names.append(name)
    return names


PUBLIC_MEMBERS = [
    f"{path}.{name}"
    for path, obj in PUBLIC.items()
    if inspect.isclass(obj)
    for name in own_members(obj)
]


def problems(path, checks):
    errors = validate(path)["errors"]
    return [f"{code}: {message}" for code, message in errors if code in checks]


def test_the_lists_are_not_empty():
    assert f"{PACKAGE}.VoGScorer" in PUBLIC
    assert f"{PACKAGE}.VoGScorer.fit" in PUBLIC_MEMBERS
    assert set(ERROR_MSGS) >= OBJECT_CHECKS


@pytest.mark.parametrize("path", sorted(PUBLIC))
def test_public_objects(path):
    assert not problems(path, OBJECT_CHECKS)


@pytest.mark.parametrize("path", sorted(PUBLIC_MEMBERS))
def test_public_methods(path):
    assert not problems(path, METHOD_CHECKS)


def placeholders(text):
    """Return the words that stand where something has still to be written."""
    return re.findall(
        r"\b(?:PLACEHOLDER|FINDINGS|TODO)\b|^[^\w\n]*DEMO[^\w\n]*$", text, flags=re.MULTILINE
    )


def test_placeholders_are_found():
    text = "A\n\nDEMO\n**What it finds.** FINDINGS\n(TODO)\n.. PLACEHOLDER\n"
    assert placeholders(text) == ["DEMO", "FINDINGS", "TODO", "PLACEHOLDER"]
    assert not placeholders("make demo; DEMO DAY; findings\nTODOS")


@pytest.mark.parametrize("path", sorted([PACKAGE, *PUBLIC, *PUBLIC_MEMBERS]))
def test_public_docstrings_have_no_placeholder(path):
    module_name, _, names = path.partition(".")
    obj = importlib.import_module(module_name)
    for name in names.split(".") if names else []:
        obj = getattr(obj, name)
    assert not placeholders(obj.__doc__ or "")


@pytest.mark.parametrize("name", ["README.md", "CHANGES.md"])
def test_pages_have_no_placeholder(name):
    assert not placeholders((ROOT / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("module_name", sorted(module.__name__ for module in package_modules()))
def test_internal_docstrings_invent_no_parameter(module_name):
    """Internal functions may leave parameters out, but not name ones that they do not have."""
    module = importlib.import_module(module_name)
    found = {
        name: wrong
        for name, obj in vars(module).items()
        if (inspect.isclass(obj) or inspect.isfunction(obj))
        and obj.__module__ == module_name
        and obj.__doc__
        and (wrong := problems(f"{module_name}.{name}", {"PR02"}))
    }
    assert not found
