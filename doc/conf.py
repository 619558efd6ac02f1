# SPDX-License-Identifier: BSD-3-Clause
"""Configuration of the documentation."""

import inspect
from importlib.metadata import version as installed_version
from typing import Any

project = "sklearn_difficulty"
author = "the sklearn_difficulty developers"
copyright = f"2026, {author}"
release = installed_version("sklearn-difficulty")
version = release

# No intersphinx: it downloads inventories, and a build must not depend on a network.
extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.extlinks",
    "sphinx.ext.mathjax",
    "sphinx_gallery.gen_gallery",
]
# Markdown is only included into pages, never a page of its own.
source_suffix = {".rst": "restructuredtext"}
templates_path = ["_templates"]
exclude_patterns = ["_build", "_templates"]
default_role = "code"

# ------------------------------------------------------------------ reference

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings name the types, with their shapes
numpydoc_show_class_members = False  # the class template lists the members
numpydoc_use_plots = False

# :doi:`...` and :arxiv:`...` in References
extlinks = {
    "arxiv": ("https://arxiv.org/abs/%s", "arXiv:%s"),
    "doi": ("https://doi.org/%s", "doi:%s"),
}

# ------------------------------------------------------------------- examples

sphinx_gallery_conf = {
    "examples_dirs": "../examples/gallery",
    "gallery_dirs": "auto_examples",
    "filename_pattern": "plot_",
    "abort_on_example_error": True,
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("sklearn_difficulty",),
    "download_all_examples": False,
    "plot_gallery": "True",
    "run_stale_examples": True,  # an unchanged example still depends on the package
    "show_memory": False,
    "show_signature": False,
}

# ----------------------------------------------------------------------- html

html_theme = "pydata_sphinx_theme"
html_title = "sklearn_difficulty"
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": False, "show_prev_next": False}


def skip_inherited_from_others(
    app: Any, what: str, name: str, obj: Any, skip: bool, options: Any
) -> bool | None:
    """Leave out members that come from other libraries.

    Their docstrings refer to labels of their own documentation, which do not resolve here.
    """
    if what != "class":
        return None
    if isinstance(obj, property):
        obj = obj.fget
    module = getattr(inspect.unwrap(obj) if callable(obj) else obj, "__module__", None)
    if module is not None and not module.startswith("sklearn_difficulty"):
        return True
    return None


def setup(app: Any) -> None:
    """Connect the hook above."""
    app.connect("autodoc-skip-member", skip_inherited_from_others)
