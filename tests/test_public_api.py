# SPDX-License-Identifier: BSD-3-Clause
"""What is public, and what importing it does.

``doc/api.rst`` is the one list of public names. The tests hold the code to it.
"""

import importlib
import importlib.metadata
import inspect
import pkgutil
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import sklearn_difficulty

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "sklearn_difficulty"
SPDX = "# SPDX-License-Identifier: BSD-3-Clause"

# Rooms that users may import from. Those that do not exist yet are passed over.
PUBLIC_ROOMS = (
    "datasets",
    "estimator_checks",
    "inspection",
    "measures",
    "metrics",
    "model_selection",
    "training",
    "training.adapters",
)


def names_in_api_page(text):
    """Return ``{module: set of names}`` from the autosummary tables of a page."""
    listed = {}
    module = None
    in_table = False
    for line in text.splitlines():
        if match := re.match(r"\.\. currentmodule:: (\S+)", line):
            module = match[1]
            in_table = False
        elif line.startswith(".. autosummary::"):
            listed.setdefault(module, set())
            in_table = True
        elif line and not line[0].isspace():
            in_table = False
        elif in_table and (match := re.fullmatch(r"\s+(\w+)", line)):
            assert match[1] not in listed[module], f"{module}.{match[1]} is listed twice"
            listed[module].add(match[1])
    return listed


API = names_in_api_page((ROOT / "doc" / "api.rst").read_text(encoding="utf-8"))
EXISTING_ROOMS = {module.name for module in pkgutil.iter_modules(sklearn_difficulty.__path__)}
PUBLIC_MODULES = [PACKAGE] + [
    f"{PACKAGE}.{r}" for r in PUBLIC_ROOMS if r.partition(".")[0] in EXISTING_ROOMS
]


def python_files():
    folders = (PACKAGE, "tests", "benchmarks", "examples")
    found = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return [*found, ROOT / "doc" / "conf.py"]


def test_api_page_parser():
    page = textwrap.dedent(
        """
        Title
        =====

        .. currentmodule:: a.b

        .. autosummary::
           :toctree: generated/

           One
           two

        Some words

        .. autosummary::

           three
        """
    )
    assert names_in_api_page(page) == {"a.b": {"One", "two", "three"}}


def test_api_page_lists_the_public_modules():
    assert set(API) == set(PUBLIC_MODULES)


@pytest.mark.parametrize("module_name", PUBLIC_MODULES)
def test_all_equals_the_api_page(module_name):
    module = importlib.import_module(module_name)
    assert len(module.__all__) == len(set(module.__all__)), "a name is twice in __all__"
    for name in module.__all__:
        assert hasattr(module, name), f"__all__ of {module_name} names {name}, which is missing"
    names = {
        name
        for name in module.__all__
        if name != "__version__" and not inspect.ismodule(getattr(module, name))
    }
    assert names == API[module_name]


def test_version_is_the_one_of_the_distribution():
    assert sklearn_difficulty.__version__ == importlib.metadata.version("sklearn-difficulty")


def test_public_classes_are_in_the_changelog():
    changes = (ROOT / "CHANGES.md").read_text(encoding="utf-8")
    missing = [
        f"{module_name}.{name}"
        for module_name, names in API.items()
        for name in sorted(names)
        if inspect.isclass(getattr(importlib.import_module(module_name), name))
        and not re.search(rf"\b{name}\b", changes)
    ]
    assert not missing


def test_python_files_start_with_the_licence_line():
    missing = []
    for path in python_files():
        with path.open(encoding="utf-8") as file:
            if file.readline().rstrip("\n") != SPDX:
                missing.append(str(path.relative_to(ROOT)))
    assert not missing


def test_no_drawer_for_everything():
    """A file called utils has no subject; what it would hold belongs to a room."""
    found = [
        str(path.relative_to(ROOT))
        for path in (ROOT / PACKAGE).rglob("*")
        if re.fullmatch(r"_?(utils?|helpers?|misc)(\.py)?", path.name)
    ]
    assert not found


IMPORT_PROBE = """
import importlib, pkgutil, random, sys

# Extras are optional: the package must import where they are not installed.
for extra in ("imblearn", "matplotlib", "polars", "rich"):
    sys.modules[extra] = None

import numpy as np
import sklearn
import skorch
import torch


def state():
    return {
        "random": random.getstate(),
        "numpy": str(np.random.get_state()),
        "numpy errors": np.geterr(),
        "torch generator": torch.get_rng_state().tolist(),
        "torch threads": torch.get_num_threads(),
        "default dtype": torch.get_default_dtype(),
        "grad mode": torch.is_grad_enabled(),
        "anomaly mode": torch.is_anomaly_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "matmul precision": torch.get_float32_matmul_precision(),
        "cudnn": (
            torch.backends.cudnn.enabled,
            torch.backends.cudnn.benchmark,
            torch.backends.cudnn.deterministic,
        ),
        "cuda started": torch.cuda.is_initialized(),
        "sklearn config": sklearn.get_config(),
    }


before = state()
import sklearn_difficulty

for module in pkgutil.walk_packages(sklearn_difficulty.__path__, "sklearn_difficulty."):
    importlib.import_module(module.name)
after = state()
changed = [key for key in before if before[key] != after[key]]
assert not changed, f"importing the package changed: {changed}"
"""


def test_import_changes_nothing_global_and_needs_no_extra():
    run = subprocess.run(
        [sys.executable, "-c", IMPORT_PROBE], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr


LAZY_PROBE = """
import sys

import sklearn_difficulty


def loaded(part):
    return [m for m in sys.modules if m.startswith("sklearn_difficulty.") and part in m]


assert not loaded("scorers")
assert "VoGScorer" in dir(sklearn_difficulty)
assert not hasattr(sklearn_difficulty, "VogScorer")
from sklearn_difficulty import VoGScorer

assert not loaded("ensemble"), loaded("ensemble")
assert not loaded("curation")
assert vars(sklearn_difficulty)["VoGScorer"] is VoGScorer
sklearn_difficulty.training.ResampledEnsemble
assert loaded("ensemble")
sklearn_difficulty.model_selection.cross_val_difficulty
from sklearn_difficulty.scorers import *

assert MarginScorer is sklearn_difficulty.MarginScorer
"""


def test_what_is_not_asked_for_is_not_imported():
    run = subprocess.run(
        [sys.executable, "-c", LAZY_PROBE], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("module_name", [PACKAGE, f"{PACKAGE}.scorers", f"{PACKAGE}.training"])
def test_lazy_packages_know_their_names(module_name):
    module = importlib.import_module(module_name)
    assert set(module.__all__) <= set(dir(module))
    assert "lazy_names" not in dir(module)
    for name in module.__all__:
        assert getattr(module, name) is vars(module)[name]
    for name in ("scorer", "_scorer", "__wrapped__"):
        with pytest.raises(AttributeError, match=f"module '{module_name}' has no attribute"):
            getattr(module, name)
