# SPDX-License-Identifier: BSD-3-Clause
"""Configuration of the documentation."""

import inspect
import sys
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

from numpydoc.xref import DEFAULT_LINKS

import sklearn_difficulty

project = "sklearn_difficulty"
author = "the sklearn_difficulty developers"
copyright = f"2026, {author}"
release = installed_version("sklearn-difficulty")
version = release

sys.path.insert(0, str(Path(__file__).resolve().parent / "_extensions"))
extensions = [
    "mathml",
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.extlinks",
    "sphinx.ext.intersphinx",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
# Markdown is only included into pages, never a page of its own.
source_suffix = {".rst": "restructuredtext"}
templates_path = ["_templates"]
exclude_patterns = ["_build", "_extensions", "_inventories", "_static", "_templates"]
default_role = "code"

# ------------------------------------------------------------------ reference

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings name the types, with their shapes
numpydoc_show_class_members = False  # the class template lists the members
numpydoc_use_plots = False
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"  # but for the names below
numpydoc_xref_aliases = {
    **{name: name for name in DEFAULT_LINKS},  # Python's and NumPy's, which everyone knows
    **{name: f":class:`~sklearn_difficulty.{name}`" for name in sklearn_difficulty.__all__},
    "FrozenEstimator": ":class:`~sklearn.frozen.FrozenEstimator`",
    "skorch.NeuralNet": ":class:`skorch.NeuralNet`",
    "torch.Tensor": ":class:`torch.Tensor`",
    "torch.nn.Module": ":class:`torch.nn.Module`",
}
toc_object_entries_show_parents = "hide"

# :doi:`...` and :arxiv:`...` in References
extlinks = {
    "arxiv": ("https://arxiv.org/abs/%s", "arXiv:%s"),
    "doi": ("https://doi.org/%s", "doi:%s"),
}

# The inventories are a few lines of our own: a build needs no network, and links alike everywhere.
intersphinx_mapping = {
    name: (url, f"_inventories/{file}.txt")
    for name, file, url in (
        ("sklearn", "scikit-learn", "https://scikit-learn.org/stable"),
        ("skorch", "skorch", "https://skorch.readthedocs.io/en/stable"),
        ("torch", "torch", "https://docs.pytorch.org/docs/stable"),
    )
}

# Code is copied without its prompts, and without what it prints.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# ------------------------------------------------------------------- examples

sphinx_gallery_conf = {
    "examples_dirs": "../examples/gallery",
    "gallery_dirs": "auto_examples",
    "filename_pattern": "plot_",
    "within_subsection_order": "gallery_order.key",
    "thumbnail_size": (640, 448),
    "abort_on_example_error": True,
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("sklearn_difficulty",),
    "download_all_examples": False,
    "plot_gallery": "True",
    "run_stale_examples": True,  # an unchanged example still depends on the package
    "show_memory": False,
    "write_computation_times": False,  # a page that loads its tables from elsewhere
    "show_signature": False,
}

# ----------------------------------------------------------------------- html

html_theme = "pydata_sphinx_theme"
html_title = "sklearn_difficulty"
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_js_files = [("tables.js", {"defer": "defer"})]
html_logo = html_favicon = "_static/logo.svg"
html_math_renderer = "mathml"
# Pages without others below them have nothing to list; the first one has cards in its place.
html_sidebars = {
    page: [] for page in ("index", "quick_start", "install", "changes", "contributing")
}
html_theme_options = {
    "header_links_before_dropdown": 6,
    "logo": {"text": "sklearn_difficulty"},
    "navigation_with_keys": False,
    "show_prev_next": False,
}


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
