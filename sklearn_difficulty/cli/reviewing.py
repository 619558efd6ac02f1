# SPDX-License-Identifier: BSD-3-Clause
"""The command ``review``: a page to look at labels in."""

from __future__ import annotations

import webbrowser
from argparse import Namespace
from pathlib import Path
from typing import Any

from .finding import is_above, sentences, summary_of, suspects_of
from .messages import note
from .output import check_output
from .reading.data import Data
from .reading.files import read
from .reading.tables import to_show
from .reports import report_beside, write_report


def run(args: Namespace) -> bool:
    """Write the page and its report; return whether more labels are wrong than may be."""
    args.output = args.output or Path("review.html")
    check_output(args, [".html", ".htm"])
    data = read(args)
    from .judging import fit_label_errors  # takes seconds, and DATA may be wrong

    scorer = fit_label_errors(data, args)
    page = _page(data, scorer, args)
    page.write(args.output)
    write_report(args.output, data, scorer, args.encoding)
    print(sentences(summary_of(scorer, args.cut, suspects_of(scorer, args.cut))))
    print(f"The page is written to {args.output}, and {report_beside(args.output)} beside it.")
    note(
        f"next, with what you save from the page: sklearn-difficulty apply {args.data} "
        "review-decisions.json"
    )
    if args.open:
        webbrowser.open(args.output.resolve().as_uri())
    return is_above(scorer, args)


def _page(data: Data, scorer: Any, args: Namespace) -> Any:
    """Return the page of DATA."""
    from ..inspection import ReviewPage
    from .held_out import rows_of

    is_precomputed = scorer.estimator == "precomputed"
    rows = scorer.probabilities_ if is_precomputed else rows_of(data, args.seed)
    show: Any = data.texts or data.pictures
    if show is None and data.table is not None:
        show = to_show(data.table.drop(columns=[data.label, args.id or data.label]))
    elif show is None:
        show = data.array
    return ReviewPage(
        scorer,
        rows,
        data.y,
        show=show,
        ids=data.ids,
        plan=args.plan,
        max_rows=args.max_rows or 2000,
        title=data.path.name,
        random_state=args.seed,
    )
