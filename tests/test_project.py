# SPDX-License-Identifier: BSD-3-Clause
"""The files around the package say the same as ``pyproject.toml``."""

import json
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]


def bounds(requirements, operator):
    """Return ``{name: version}`` of what the requirements say after an operator."""
    return {
        requirement.name: Version(specifier.version)
        for requirement in map(Requirement, requirements)
        for specifier in requirement.specifier
        if specifier.operator == operator
    }


def test_bounds_are_those_of_one_operator():
    requirements = ["numpy>=2.0,<3", "pandas", "torch==2.13.0", "dask[distributed]>=2024.1"]
    assert bounds(requirements, ">=") == {"numpy": Version("2.0"), "dask": Version("2024.1")}
    assert bounds(requirements, "==") == {"torch": Version("2.13")}


def test_oldest_releases_are_those_of_pyproject():
    """``make test-min`` tests what ``constraints-min.txt`` holds."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    allowed = project["dependencies"] + project["optional-dependencies"]["test"]
    lines = (ROOT / "constraints-min.txt").read_text(encoding="utf-8").splitlines()
    tested = [line for line in lines if line and not line.startswith("#")]
    assert len(bounds(tested, "==")) == len(tested), "every line holds one release"
    assert bounds(tested, "==") == bounds(allowed, ">=")


def test_every_dependency_has_an_oldest_release():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {Requirement(text).name for text in project["dependencies"]}
    assert set(bounds(project["dependencies"], ">=")) == names


def test_locked_tools_are_fetched_from_whatever_registry_is_configured():
    text = (ROOT / "package-lock.json").read_text(encoding="utf-8")
    assert '"resolved"' not in text
    wanted = json.loads((ROOT / "package.json").read_text(encoding="utf-8"))["devDependencies"]
    packages = json.loads(text)["packages"]
    locked = {name: packages[f"node_modules/{name}"]["version"] for name in wanted}
    assert locked == wanted
