# SPDX-License-Identifier: BSD-3-Clause
"""The arguments of all commands, and the help that teaches them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .. import __version__

_DESCRIPTION = """\
Find wrong labels, look at them, and write a file with what you decided.

DATA is one of
  a .csv, .tsv or .parquet file   --label names the column of the labels
  a folder                        with one subfolder of images per class
  an .npz file                    with the arrays X and y
"""

_EPILOG = """\
examples:
  Which labels of a table are probably wrong? Write all suspects:
    sklearn-difficulty find reviews.csv --label stars --text review -o wrong.csv

  Look at them in the browser, save what you decide, and write the mended data:
    sklearn-difficulty review animals/ -o review.html --open
    sklearn-difficulty apply animals/ review-decisions.json

  Fail a check if more than 5 % of the labels are probably wrong:
    sklearn-difficulty find train.parquet --label y --fail-above 0.05 -q

exit status: 0 done, 1 above the share of --fail-above, 2 wrong usage or data,
130 interrupted
"""

_FIND = """\
Print the rows whose label is probably wrong, the most suspect first, and how
many there are. Rows are numbered from 0.

Every row is judged by models that were not trained on it:
  tables, images    small networks, each trained on a part of the rows, and the
                    nearest rows; categories and missing values are encoded
  --text COLUMN     words and pairs of words (TF-IDF), and logistic regression,
                    in --members folds
  --probabilities   your own model: held-out probabilities, a column per class

Columns of texts that hardly repeat, columns that say the same as the label,
and row numbers are left out, and named. Images are scaled to a common size; for
photographs, --probabilities of a pretrained network find more.
"""

_REVIEW = """\
Write one HTML file to review labels in: it works offline, in any browser, and
can be mailed. Rows are judged as by `find`.

Save the decisions from the page, and hand the file to `apply`. Beside the page
lies a small .report.npz, by which `apply` knows that the data are the same.
"""

_APPLY = """\
Write a new file in the format of DATA with the decisions of a review: labels
changed, rows dropped.

Nothing is overwritten. For a folder of images a CSV file says which image
belongs where, and none is moved. Data that have changed since the page was
written are refused.
"""

_SCORE = """\
Write scores of difficulty for all rows; larger = harder. One network is trained
for all of them, and label_error is what `find` goes by. For the network,
categories become a column per value, missing numbers the median, and texts 100
columns (TF-IDF and SVD).
"""

_COMPARE = """\
Flip some labels on purpose and tell which scorer finds them. Real errors are
harder to find; take the table for a ranking. label_error is what `find` goes
by, the other scores are those of `score`.
"""


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the checked arguments; print help, or what is wrong with them, and exit."""
    parser = argparse.ArgumentParser(
        prog="sklearn-difficulty",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, summary: str, description: str) -> argparse.ArgumentParser:
        added = commands.add_parser(
            name,
            help=summary,
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name != "info":
            added.add_argument("data", metavar="DATA", type=Path, help="a file or a folder")
        return added

    find = command("find", "list the labels that are probably wrong", _FIND)
    review = command("review", "write a page to review them in the browser", _REVIEW)
    apply = command("apply", "write a new file with what was decided", _APPLY)
    score = command("score", "write difficulty scores of all rows", _SCORE)
    compare = command("compare", "which scorer finds flipped labels here?", _COMPARE)
    info = command("info", "versions, for a bug report", "Print versions, for a bug report.")

    for each in (find, review, score, compare):
        _add_reading(each)
    for each in (find, review):
        _add_judging(each)
    for each in (find, review, score, compare):
        _add_training(each, with_probabilities=each in (find, review))
    _add_review(review)
    _add_apply(apply)
    _add_scores(score, compare)
    _add_output(find, review, score, compare)
    for each in (find, review, apply, score, compare, info):
        each.add_argument("-q", "--quiet", action="store_true", help="no progress, no notes")
        each.add_argument("--debug", action="store_true", help="show the traceback of an error")
    for each in (find, apply, score, compare, info):
        each.add_argument("--json", action="store_true", help="print JSON instead of text")
    args = parser.parse_args(argv)
    if "scores" in args:
        args.scores = _split(args.scores)
    args.labels_only = getattr(args, "probabilities", None) is not None  # nothing is trained
    return args


def _add_reading(parser: argparse.ArgumentParser) -> None:
    """Add what says how DATA is read."""
    group = parser.add_argument_group("how DATA is read")
    names = group.add_argument
    names("--label", metavar="COLUMN", help="the labels; of an .npz file: the array, default y")
    names("--id", metavar="COLUMN", help="what rows are called in the results")
    names("--text", metavar="COLUMN", help="judge by the words in this column, and nothing else")
    names("--groups", metavar="COLUMN", help="rows of a group are held out together")
    names("--ignore", metavar="COLUMNS", type=_split, default=[], help="leave out: a,b,c")
    names("--encoding", metavar="NAME", default="utf-8", help="of a .csv file (default: utf-8)")
    names(
        "--image-size",
        metavar="PIXELS",
        type=_whole(8, 512),
        help="width and height of scaled images (default: theirs if all have one, up to 64; or 32)",
    )


def _add_judging(parser: argparse.ArgumentParser) -> None:
    """Add what says when a label counts as wrong."""
    group = parser.add_argument_group("what is wrong")
    group.add_argument(
        "--noise",
        choices=["auto", "class", "instance"],
        default="auto",
        help="how errors came about: class, slips of the hand; instance, doubtful rows confused",
    )
    group.add_argument(
        "--cut",
        metavar="P",
        type=_share,
        default=0.5,
        help="rows that are wrong with a higher probability are suspects (default: 0.5)",
    )
    group.add_argument(
        "--fail-above",
        metavar="SHARE",
        type=_share,
        help="exit with 1 if a larger share of the labels is estimated to be wrong",
    )


def _add_training(parser: argparse.ArgumentParser, *, with_probabilities: bool) -> None:
    """Add what says how models are trained."""
    group = parser.add_argument_group("training")
    if with_probabilities:
        group.add_argument(
            "--probabilities",
            metavar="FILE",
            type=Path,
            help=".npy, .csv or .parquet: train nothing, take these (rows as in DATA, columns in "
            "the order of the sorted classes, numbers by value, or named like them)",
        )
    number = group.add_argument
    number("--members", metavar="N", type=_whole(2), default=5, help="networks, or folds (5)")
    number("--epochs", metavar="N", type=_whole(1), help="of every network (default: 20)")
    number("--jobs", metavar="N", type=int, help="networks trained side by side (-1: all cores)")
    number(
        "--cache",
        metavar="DIR",
        type=Path,
        help="a killed run is taken up again from here (networks are trained one by one then)",
    )
    number("--seed", metavar="N", type=_whole(0, 2**32 - 1), default=0, help="default: 0")


def _add_review(parser: argparse.ArgumentParser) -> None:
    """Add what says what the page holds."""
    parser.add_argument(
        "--plan",
        metavar="N",
        type=_whole(0),
        default=100,
        help="rows drawn at random, whose review tells how many labels are wrong (100)",
    )
    parser.add_argument("--open", action="store_true", help="open the page in the browser")


def _add_apply(parser: argparse.ArgumentParser) -> None:
    """Add what says which decisions are written where."""
    parser.add_argument("review", metavar="REVIEW", type=Path, help="decisions saved from the page")
    parser.add_argument(
        "--report",
        metavar="FILE",
        type=Path,
        help="the .report.npz that was written with the page (default: looked for beside REVIEW "
        "and DATA, and here)",
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", type=Path, help="default: DATA's name + -reviewed"
    )


def _add_scores(score: argparse.ArgumentParser, compare: argparse.ArgumentParser) -> None:
    """Add which scores are meant, and how labels are flipped."""
    known = "vog, prediction_depth, neighbor_confidence, output_margin, input_margin, confidence, "
    known += "variability, aum, forgetting, loss, ..., label_error"
    for parser, default in (
        (score, "label_error,confidence,aum,prediction_depth,vog"),
        (compare, "label_error,confidence,aum,neighbor_confidence,prediction_depth,vog"),
    ):
        parser.add_argument(
            "--scores", metavar="A,B", default=default, help=f"{known} (default: {default})"
        )
    number = compare.add_argument
    number("--rate", metavar="SHARE", type=_share, default=0.1, help="of flipped labels (0.1)")
    number("--kind", choices=["symmetric", "pair", "instance"], default="symmetric", help="of flip")
    number("--repeats", metavar="N", type=_whole(1), default=3, help="flips drawn anew (3)")


def _add_output(
    find: argparse.ArgumentParser,
    review: argparse.ArgumentParser,
    score: argparse.ArgumentParser,
    compare: argparse.ArgumentParser,
) -> None:
    """Add where results go, and how many rows."""
    for parser, words in (
        (find, "all suspects, as .csv or .json"),
        (review, "the page (default: review.html)"),
        (score, "all rows, as .csv or .json"),
        (compare, "the table, as .csv or .json"),
    ):
        parser.add_argument("-o", "--output", metavar="FILE", type=Path, help=words)
    for parser, words in (
        (find, "printed (default: 20), or written (default: all)"),
        (review, "shown with picture or text besides the plan (default: 2000)"),
        (score, "printed, hardest first (default: 20)"),
    ):
        parser.add_argument("--max-rows", metavar="N", type=_whole(1), help=words)


def _split(text: str) -> list[str]:
    """Return what stands between commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def _share(text: str) -> float:
    """Return a number in [0, 1)."""
    return _number(text, float, lambda x: 0 <= x < 1, "a number from 0 to below 1")


def _whole(low: int, high: int | None = None) -> Callable[[str], int]:
    """Return a type for argparse: whole numbers in a range."""
    words = f"a whole number of at least {low}" + (f" and at most {high}" if high else "")
    return lambda text: _number(text, int, lambda n: low <= n and (not high or n <= high), words)


def _number(text: str, kind: Callable[[str], Any], fits: Callable[[Any], bool], words: str) -> Any:
    """Return a number that fits, or say in words what fits."""
    try:
        value = kind(text)
        if fits(value):
            return value
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is not {words}")
