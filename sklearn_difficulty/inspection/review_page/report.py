# SPDX-License-Identifier: BSD-3-Clause
"""What the page holds: columns of all rows, hardest first, and content of those worth a look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...measures.review import ReviewPlan
from .content import Content
from .findings import Findings
from .packing import packed, packed_codes, packed_shares

_TOP_CLASSES = 5
_MOST_EPOCHS = 40
_MOST_SCORES = 40


def columns_report(
    findings: Findings, listed: NDArray[np.int64], class_names: Sequence[str]
) -> dict[str, Any]:
    """Return the part of the report that holds the numbers of the listed rows."""
    n_classes = len(class_names)
    columns: dict[str, Any] = {
        "row": packed(listed, np.uint32),
        "given": packed_codes(findings.given[listed], n_classes),
        "difficulty": packed(findings.difficulty[listed], np.float32),
    }
    if findings.error is not None:
        columns["error"] = packed(findings.error[listed], np.float32)
    if findings.suggested is not None:
        columns["suggested"] = packed_codes(findings.suggested[listed], n_classes)
    if findings.confidence is not None:
        columns["confidence"] = packed_shares(findings.confidence[listed])
    if findings.quadrant is not None:
        columns["quadrant"] = packed(findings.quadrant[listed], np.int8)
    report: dict[str, Any] = {
        "columns": columns,
        "classes": list(class_names),
        "quadrant_names": findings.quadrant_names,
        "cuts": _cuts(findings.cuts) if findings.error is not None else [],
    }
    if findings.probabilities is not None:
        n_top = min(_TOP_CLASSES, n_classes)
        values = np.nan_to_num(findings.probabilities[listed], nan=-1.0)
        top = np.argsort(-values, axis=1, kind="stable")[:, :n_top]
        shares = np.take_along_axis(values, top, axis=1)
        columns["top_class"] = packed_codes(top, n_classes)
        columns["top_probability"] = packed_shares(np.where(shares < 0, np.nan, shares))
        report["n_top"] = n_top
    if findings.label_probability is not None:
        n_epochs = len(findings.label_probability)
        some = np.unique(np.linspace(0, n_epochs - 1, min(n_epochs, _MOST_EPOCHS)).astype(int))
        columns["epochs"] = packed_shares(findings.label_probability[some][:, listed].T)
        report["epochs"] = (some + 1).tolist()
    names = list(findings.scores)[:_MOST_SCORES]
    if names:
        columns["scores"] = packed(
            np.stack([findings.scores[name][listed] for name in names], axis=1), np.float32
        )
    report["score_names"] = names
    return report


def content_report(
    content: Content, rows: NDArray[np.int64], n_base: int, neighbors: Any, positions: NDArray[Any]
) -> dict[str, Any]:
    """Return the part of the report that shows rows; `positions` are those of rows in the page."""
    report = {
        "kind": content.kind,
        "rows": packed(positions[rows], np.int32),
        **(content.of(rows) if len(rows) else {}),
    }
    if neighbors is not None and n_base:
        report["n_neighbors"] = neighbors.shape[1]
        report["neighbors"] = packed(positions[neighbors[:n_base]], np.int32)
    return report


def plan_report(plan: ReviewPlan | None, positions: NDArray[Any]) -> dict[str, Any]:
    """Return the plan in the order in which its rows are shown."""
    if plan is None:
        return {"rows": [], "weight": [], "positions": []}
    return {
        "rows": plan.rows.tolist(),
        "weight": plan.weight.tolist(),
        "positions": positions[plan.rows].tolist(),
    }


def _cuts(cuts: NDArray[Any] | None) -> list[dict[str, Any]]:
    """Return the table of cuts, undefined values as None."""
    if cuts is None:
        return []
    return [
        {
            name: None if np.isnan(line[name]) else float(line[name])
            for name in np.dtype(cuts.dtype).names or ()
        }
        for line in cuts
    ]
