# SPDX-License-Identifier: BSD-3-Clause
"""What lies beside a review page, so that decisions are applied without training anew.

A decision names a row by its position. The report says of which file the page was made, as a
digest of its content, and holds what a review needs to know of the scorer.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..inspection.review import Review, report_fingerprint
from ..measures import calibrate_with_review
from ..measures._plan_parts import parts_of_plans
from ..measures._review_estimates import NoiseReview
from ..training.files.folders import write_atomically
from .messages import UserError
from .reading.data import Data

_FEWEST = 20  # reviewed rows of a plan from which a rate means something
_ENDING = ".report.npz"
_FORMAT = "sklearn_difficulty.report 1"


@dataclass(frozen=True, eq=False)
class Report:
    """What was said of DATA when the page was written."""

    fingerprint: str
    digest: str
    label: str
    encoding: str
    classes: NDArray[Any]
    error_probability: NDArray[Any]

    def reviewed_rate(self, review: Review) -> tuple[int, NoiseReview] | None:
        """Return how many rows of the plan count, and what they say; None if they are too few."""
        parts = parts_of_plans(review.plans, review.rows, review.verdicts)
        if len(parts.rows) < _FEWEST:
            return None
        known = ~np.isnan(self.error_probability)
        rows = (np.cumsum(known) - 1)[parts.rows]
        error = self.error_probability[known]
        return len(rows), calibrate_with_review(error, rows, parts.weight, parts.wrong)


def report_beside(page: Path) -> Path:
    """Return where the report of a page lies."""
    return page.with_name(page.stem + _ENDING)


def write_report(page: Path, data: Data, scorer: Any, encoding: str) -> None:
    """Write the report of a page."""
    content = {
        "format": _FORMAT,
        "fingerprint": report_fingerprint(scorer),
        "digest": data.digest,
        "label": data.label,
        "encoding": encoding,
        "classes": scorer.classes_,
        "error_probability": scorer.error_probability_,
    }

    def save(part: Path) -> None:
        with part.open("wb") as file:  # a path would get another ending
            np.savez_compressed(file, **content)

    write_atomically(report_beside(page), save)


def find_report(fingerprint: str, args: Namespace) -> Report:
    """Return the report of a review: the given one, or one that lies near."""
    if args.report is not None:
        report = _read(args.report.expanduser())
        if report.fingerprint != fingerprint:
            raise UserError(f"{args.report} and {args.review} are not of the same page.")
        return report
    folders = dict.fromkeys([args.review.parent, args.data.parent, Path()])
    for path in _reports_in(folders):
        try:
            report = _read(path)
        except UserError:
            continue  # another one may be whole
        if report.fingerprint == fingerprint:
            return report
    raise UserError(
        f"no report of the page that {args.review} is from lies beside it, beside DATA, or here. "
        f"Name the {_ENDING} file that was written with the page: --report FILE. If it is gone, "
        "`review` with the same data and options writes it again."
    )


def _reports_in(folders: Iterable[Path]) -> list[Path]:
    """Return the files that are called like reports."""
    return [path for folder in folders for path in sorted(folder.glob(f"*{_ENDING}"))]


def _read(path: Path) -> Report:
    """Read a report."""
    try:
        with np.load(path, allow_pickle=False) as file:
            content: dict[str, Any] = {name: file[name] for name in file.files}
        if str(content.pop("format")) != _FORMAT:
            raise ValueError("it has another format")
        for name in ("fingerprint", "digest", "label", "encoding"):
            content[name] = str(content[name])
        return Report(**content)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist.") from None
    except Exception as error:  # of many types, as files are damaged in many ways
        raise UserError(f"{path} is no report of a review page: {error}") from error
