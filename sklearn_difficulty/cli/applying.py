# SPDX-License-Identifier: BSD-3-Clause
"""The command ``apply``: a new file with the decisions of a review."""

from __future__ import annotations

import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..inspection.review import read_review
from .messages import UserError
from .output import check_output, json_text
from .reading.files import read
from .reports import find_report


def run(args: Namespace) -> bool:
    """Write the decisions into a copy of DATA."""
    args.data, args.review = args.data.expanduser(), args.review.expanduser()
    for path in (args.data, args.review):
        if not path.exists():
            raise UserError(f"{path} does not exist.")
    suffix = ".csv" if args.data.is_dir() else args.data.suffix
    if args.output is None:
        given = args.data if args.data.name.strip(".") else args.data.resolve()  # "." has no name
        stem = given.name if args.data.is_dir() else given.stem
        args.output = given.with_name(f"{stem}-reviewed{suffix}")
    check_output(args, [suffix.lower()])
    if args.output.exists():
        raise UserError(f"{args.output} exists, and nothing is overwritten; -o names another file.")
    review = read_review(args.review)
    report = find_report(review.fingerprint, args)
    data = read(_as_it_was_read(args, report.label, report.encoding))
    if data.digest != report.digest:
        raise UserError(
            f"{args.data} is not what the page was made of, or has changed since. Decisions are "
            "about rows by their position; apply them to the data as they were then."
        )
    review = replace(review, classes=report.classes)
    y_new, keep = review.apply(data.y)
    _write(data, args.output, y_new, keep)
    summary: dict[str, Any] = {
        "output": str(args.output),
        "n_rows": len(keep),
        "n_decided": len(review.rows),
        "n_changed": int(((y_new != data.y) & keep).sum()),
        "n_dropped": int((~keep).sum()),
        "n_unsure": int(np.isnan(review.verdicts).sum()),
    }
    rate = report.reviewed_rate(review)
    if rate is not None:
        summary["noise_rate"], summary["noise_rate_interval"] = rate[1][:2]
    if args.json:
        sys.stdout.write(json_text({}, summary))
        return False
    if rate is not None:
        low, high = rate[1].noise_rate_interval
        print(
            f"By {rate[0]} rows of the plan, {rate[1].noise_rate:.1%} of all labels are wrong "
            f"(95 %: {low:.1%} to {high:.1%})."
        )
    print(
        f"{summary['n_decided']} of {len(keep)} rows decided: {summary['n_changed']} labels "
        f"changed, {summary['n_dropped']} rows dropped, {summary['n_unsure']} unsure.\n"
        f"Written to {args.output}"
    )
    return False


def _as_it_was_read(args: Namespace, label: str, encoding: str) -> Namespace:
    """Return the arguments that DATA was read with, as far as labels depend on them."""
    of_folder = args.data.is_dir()
    options: dict[str, Any] = {
        "label": None if of_folder else label,
        "encoding": encoding,
        "ignore": [],
        "labels_only": True,
    }
    return Namespace(data=args.data, id=None, text=None, groups=None, image_size=None, **options)


def _write(data: Any, target: Path, y_new: Any, keep: Any) -> None:
    """Write the new file, as a whole or not at all."""
    try:
        data.rewrite(target, y_new, keep)
    except FileExistsError:
        raise
    except BaseException:
        target.unlink(missing_ok=True)
        raise
