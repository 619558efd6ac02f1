# SPDX-License-Identifier: BSD-3-Clause
"""The command ``score``: difficulty of all rows, by several scores."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .held_out import rows_of
from .judging import fit_label_errors, network
from .messages import UserError, note, progress_on_stderr
from .output import check_output, json_text, terminal_text, write
from .reading.data import Data
from .reading.files import read

LABEL_ERROR = "label_error"
_PRINTED = 20


def run(args: Namespace) -> bool:
    """Print or write the scores."""
    check_output(args, [".csv", ".json"])
    data = read(args)
    check_names(args.scores)
    scores = _scores(data, args)
    first = next(iter(scores.values()))
    hardest = np.argsort(-np.nan_to_num(first, nan=-np.inf), kind="stable")
    summary = {"n_rows": len(data.y), "n_classes": len(np.unique(data.y)), "scores": list(scores)}
    if args.output is not None:
        write(args.output, _columns(data, scores, np.arange(len(first))), summary)
        note(f"the scores of {len(first)} rows are written to {args.output}.")
    if args.json:
        sys.stdout.write(json_text(_columns(data, scores, np.arange(len(first))), summary))
    elif args.output is None or args.max_rows:
        shown = hardest[: args.max_rows or _PRINTED]
        print(terminal_text(_columns(data, scores, shown)))
        if args.output is None and len(shown) < len(first):
            note(f"the {len(shown)} hardest of {len(first)} rows by {args.scores[0]!r} are shown; "
                 "-o FILE.csv takes all.")  # fmt: skip
    return False


def check_names(names: list[str]) -> None:
    """Raise if a name is no score, before anything is trained."""
    from ..scorers.difficulty import NAMED

    known = [LABEL_ERROR, *sorted(NAMED)]
    for i, name in enumerate(names):
        if name not in known:
            raise UserError(f"--scores: there is no {name!r}, but {', '.join(known)}.")
        if name in names[:i]:
            raise UserError(f"--scores names {name!r} twice.")
    if not names:
        raise UserError("--scores names no score.")


def _scores(data: Data, args: Namespace) -> dict[str, NDArray[Any]]:
    """Return the scores of all rows by their names, in the order asked for."""
    from ..scorers import DifficultyScorer
    from ..scorers.cost.estimating import told_beforehand

    found = {}
    read_from_one = [name for name in args.scores if name != LABEL_ERROR]
    if LABEL_ERROR in args.scores:
        found[LABEL_ERROR] = fit_label_errors(data, args).difficulty_
    if read_from_one:
        X = rows_of(data, args.seed)
        scorer = DifficultyScorer(
            network(X, data.y, args), scores=read_from_one, random_state=args.seed
        )
        if not args.quiet and (cost := told_beforehand(scorer, X, data.y)):
            note(cost)
        with progress_on_stderr():
            scorer.fit(X, data.y)
        found |= dict(zip(read_from_one, scorer.difficulties_.T, strict=True))
    return {name: found[name] for name in args.scores}


def _columns(data: Data, scores: dict[str, NDArray[Any]], rows: Any) -> dict[str, list[Any]]:
    """Return scores of rows beside their names and labels."""
    columns: dict[str, list[Any]] = {"row": rows.tolist()}
    if data.ids is not None:
        columns["id"] = [data.ids[i] for i in rows]
    columns["label"] = data.y[rows].tolist()
    for name, values in scores.items():
        # As few digits as tell a float32 from its neighbours.
        columns[name] = [float(str(np.float32(value))) for value in values[rows]]
    return columns
