# SPDX-License-Identifier: BSD-3-Clause
"""The HTML file: the page's own text, style and script, and a report as JSON between them."""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from hashlib import sha256
from html import escape
from importlib.resources import files
from typing import Any

from .packing import json_in_html

# In the order in which they are joined; each uses what stands in those before it.
SCRIPTS = (
    "words.js",
    "report.js",
    "decisions.js",
    "queues.js",
    "list.js",
    "card.js",
    "drawings.js",
    "filters.js",
    "files.js",
    "main.js",
)


def document(report: dict[str, Any]) -> bytes:
    """Return the page of a report, as UTF-8."""
    style, script = _asset("page.css"), _script()
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src '{_hash(script)}'",
            f"style-src '{_hash(style)}'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    parts = {
        "POLICY": f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}" />',
        "TITLE": f"<title>{escape(_printable(report['title']))}</title>",
        "STYLE": f"<style>{style}</style>",
        "REPORT": f'<script id="report" type="application/json">{json_in_html(report)}</script>',
        "SCRIPT": f"<script>{script}</script>",
    }
    page = _asset("page.html")
    for name, part in parts.items():
        before, mark, after = page.partition(f"<!-- {name} -->")
        if not mark:
            raise RuntimeError(f"page.html has no place for {name}.")
        page = before + part + after
    return page.encode("utf-8")


def _script() -> str:
    """Return all scripts as one."""
    return "\n" + "\n".join(_asset(name) for name in SCRIPTS)


@cache
def _asset(name: str) -> str:
    """Return a file that is part of this package."""
    return files(__package__).joinpath("assets", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """Return by what a content security policy recognises an inline script or style."""
    return "sha256-" + b64encode(sha256(text.encode("utf-8")).digest()).decode("ascii")


def _printable(text: str) -> str:
    """Return a text without what has no shape, such as signs that turn the direction of writing."""
    return "".join(sign if sign.isprintable() else " " for sign in text)
