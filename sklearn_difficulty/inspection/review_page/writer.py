# SPDX-License-Identifier: BSD-3-Clause
"""PageWriter: puts a report together, with as many rows to look at as fit into the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._warnings import warn_caller
from ...measures.review import ReviewPlan
from .content import Content
from .document import document
from .findings import Findings
from .report import columns_report, content_report, plan_report

LARGEST_FILE = 100_000_000  # bytes, beyond which browsers become slow


@dataclass(frozen=True)
class PageWriter:
    """All that a page says, of which some rows, or all, are written."""

    title: str
    fingerprint: str
    findings: Findings
    class_names: Sequence[str]
    ids: Sequence[str] | None
    plan: ReviewPlan | None
    blind: bool
    content: Content
    base: NDArray[np.int64]  # rows worth a look: those of the plan, then the hardest
    neighbors: NDArray[np.int64] | None  # (n_base, n_neighbors), the rows that are most like them
    max_bytes: int

    def document(self, listed: NDArray[np.int64], *, with_details: bool = True) -> bytes:
        """Return a page of some rows, in this order; details take what room is left."""
        n = len(self.findings.given)
        positions = np.full(n, -1)
        positions[listed] = np.arange(len(listed))
        report = {
            "title": self.title,
            "fingerprint": self.fingerprint,
            "n_rows": n,
            "sentences": self.findings.sentences(),
            "blind": self.blind,
            "ids": None if self.ids is None else [self.ids[row] for row in listed.tolist()],
            "plan": plan_report(self.plan, positions),
            **columns_report(self.findings, listed, self.class_names),
        }
        is_listed = positions[self.base] >= 0
        base = self.base[is_listed]
        near = None if self.neighbors is None else self.neighbors[is_listed]
        rows = base
        if near is not None:
            others = np.unique(near)
            others = others[(positions[others] >= 0) & ~np.isin(others, base)]
            rows = np.concatenate([base, others])

        def with_content_of(n_rows: int, n_left: int = 0) -> bytes:
            """Return the page with something to look at for the first rows."""
            n_base = min(n_rows, len(base))
            shown = content_report(self.content, rows[:n_rows], n_base, near, positions)
            shown.update(self.content.details(base[:n_base], n_left))
            missing = len(rows) - n_rows
            return document({**report, "content": shown, "n_without_content": missing})

        page, n_kept = self._fitting(with_content_of, len(rows))
        n_left = self.max_bytes - len(page)
        return with_content_of(n_kept, n_left) if with_details and n_left > 0 else page

    def _fitting(self, page_of: Any, n_rows: int) -> tuple[bytes, int]:
        """Return the page with as many of the rows as fit, and how many these are."""
        page: bytes = page_of(n_rows)
        if len(page) <= self.max_bytes:
            return page, n_rows
        bare = len(page_of(0))
        if bare > LARGEST_FILE:
            raise ValueError(
                f"The numbers of the rows alone take {bare / 1e6:.0f} MB, and a page of more than "
                f"{LARGEST_FILE / 1e6:.0f} MB is too slow. Make pages of parts of the rows."
            )
        n_kept = n_rows
        while n_kept and len(page) > self.max_bytes:
            share = (self.max_bytes - bare) / max(1, len(page) - bare)
            n_kept = int(n_kept * min(0.97, max(0.0, share)))
            page = page_of(n_kept)
        warn_caller(
            f"The page would be larger than max_bytes={self.max_bytes:,}: of {n_rows:,} rows worth "
            f"a look, {n_kept:,} have their {self.content.kind} in it. Set a larger max_bytes, or "
            "a smaller max_rows, neighbors or thumbnail_size."
        )
        return page, n_kept
