# SPDX-License-Identifier: BSD-3-Clause
"""The command ``compare``: which scorer finds labels that are flipped on purpose."""

from __future__ import annotations

import sys
from argparse import Namespace
from functools import partial
from typing import Any

from sklearn.base import BaseEstimator

from .held_out import rows_of
from .judging import check_parts, fit_text_models, network, unfitted
from .messages import note, progress_on_stderr
from .output import check_output, json_text, terminal_text, write
from .reading.data import Data
from .reading.files import read
from .scoring import LABEL_ERROR, check_names

_HEADINGS = ["scorer", "average precision", "± error", "recall", "auroc", "seconds"]


class LikeFind(BaseEstimator):
    """Judges labels as `find` does rows that are not numbers; not by the rows it is given.

    Parameters
    ----------
    fit_labels : callable
        Returns a fitted scorer, given labels of the rows of DATA.
    """

    def __init__(self, fit_labels: Any) -> None:
        self.fit_labels = fit_labels

    def fit(self, X: Any, y: Any) -> LikeFind:
        """Judge the labels.

        Parameters
        ----------
        X : array-like
            Ignored.
        y : array-like of shape (n_samples,)
            Labels of the rows of DATA.

        Returns
        -------
        self : object
            With `difficulty_`.
        """
        self.difficulty_ = self.fit_labels(y).difficulty_
        return self


def run(args: Namespace) -> bool:
    """Print how well each scorer finds flipped labels."""
    check_output(args, [".csv", ".json"])
    data = read(args)
    check_names(args.scores)
    check_parts(data, args.members)
    from ..model_selection import benchmark_scorers
    from ..scorers.cost.estimating import told_beforehand

    X = rows_of(data, args.seed)
    scorers = {name: _scorer(name, data, X, args) for name in args.scores}
    for name, scorer in scorers.items():
        if not args.quiet and (cost := told_beforehand(scorer, X, data.y, groups=data.groups)):
            note(f"{name}, each of {args.repeats} repeats: {cost}")
    with progress_on_stderr():
        table = benchmark_scorers(
            X,
            data.y,
            scorers,
            rate=args.rate,
            kind=args.kind,
            groups=data.groups,
            n_repeats=args.repeats,
            random_state=args.seed,
            verbose=0 if args.quiet else 1,
        )
    table = table[(-table["average_precision"]).argsort(kind="stable")]
    names = ["name", "average_precision", "average_precision_se", "recall", "auroc", "seconds"]
    columns = {name: table[name].tolist() for name in names}
    summary = {
        "n_rows": len(data.y),
        "rate": args.rate,
        "kind": args.kind,
        "n_repeats": args.repeats,
    }
    if args.output is not None:
        write(args.output, columns, summary)
    if args.json:
        sys.stdout.write(json_text(columns, summary))
    else:
        n_flipped = round(args.rate * len(data.y))
        print(
            f"{n_flipped} of {len(data.y)} labels flipped ({args.kind}), {args.repeats} time(s).\n"
            f"By chance, average precision and recall are {args.rate:.2f}.\n"
        )
        print(terminal_text(dict(zip(_HEADINGS, columns.values(), strict=True))))
    return False


def _scorer(name: str, data: Data, X: Any, args: Namespace) -> Any:
    """Return the unfitted scorer of a name."""
    from ..scorers import DifficultyScorer

    if name != LABEL_ERROR:
        return DifficultyScorer(network(X, data.y, args), scores=[name], random_state=args.seed)
    if data.texts is not None:
        silent = Namespace(**{**vars(args), "quiet": True})
        return LikeFind(partial(fit_text_models, data, silent, "auto"))
    return unfitted(X, data.y, args).set_params(verbose=0)
