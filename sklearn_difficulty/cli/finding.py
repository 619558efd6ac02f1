# SPDX-License-Identifier: BSD-3-Clause
"""The command ``find``: the rows whose label is probably wrong."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import Any

import numpy as np

from .messages import note
from .output import check_output, json_text, terminal_text, write
from .reading.data import Data
from .reading.files import read

_PRINTED = 20


def run(args: Namespace) -> bool:
    """Print or write the suspects; return whether more labels are wrong than may be."""
    check_output(args, [".csv", ".json"])
    data = read(args)
    from .judging import fit_label_errors  # takes seconds, and DATA may be wrong

    scorer = fit_label_errors(data, args)
    suspects = suspects_of(scorer, args.cut)
    summary = summary_of(scorer, args.cut, suspects)
    wanted = suspects[: args.max_rows] if args.max_rows else suspects
    if args.output is not None:
        write(args.output, columns_of(data, scorer, wanted), summary)
    if args.json:
        sys.stdout.write(json_text(columns_of(data, scorer, wanted), summary))
    else:
        print(sentences(summary))
        shown = wanted if args.max_rows else suspects[:_PRINTED]
        if len(shown) and (args.output is None or args.max_rows):
            print(f"\n{terminal_text(columns_of(data, scorer, shown))}")
        if args.output is not None:
            n = f"{len(wanted)} of {len(suspects)}" if len(wanted) < len(suspects) else len(wanted)
            note(f"{n} suspects are written to {args.output}.")
        elif len(shown) < len(suspects):
            note(f"{len(shown)} of {len(suspects)} suspects are shown; -o FILE.csv takes all.")
    return is_above(scorer, args)


def suspects_of(scorer: Any, cut: float) -> Any:
    """Return the rows above the cut, the most suspect first."""
    rows = np.flatnonzero(scorer.error_probability_ > cut)
    return rows[np.argsort(-scorer.difficulty_[rows], kind="stable")]


def summary_of(scorer: Any, cut: float, suspects: Any) -> dict[str, Any]:
    """Return what is known of the whole."""
    expected = scorer.error_probability_[suspects].mean() if len(suspects) else np.nan
    of_cut = scorer.cuts_[scorer.cuts_["cut"] == cut]
    low, high = of_cut[["precision_low", "precision_high"]][0] if len(of_cut) else (np.nan, np.nan)
    return {
        "n_rows": len(scorer.difficulty_),
        "n_classes": len(scorer.classes_),
        "noise_rate": scorer.noise_rate_,
        "noise_rate_interval": list(scorer.noise_rate_interval_),
        "cut": cut,
        "n_suspects": len(suspects),
        "expected_precision": expected,
        "expected_precision_interval": [low, high],
    }


def sentences(summary: dict[str, Any]) -> str:
    """Return the summary in words."""
    low, high = summary["noise_rate_interval"]
    text = (
        f"{summary['n_rows']:,} rows, {summary['n_classes']} classes: about "
        f"{summary['noise_rate']:.1%} of the labels are wrong ({low:.1%} to {high:.1%}).\n"
    )
    if not summary["n_suspects"]:
        return f"{text}No label is wrong with a probability above {summary['cut']:g}."
    low, high = summary["expected_precision_interval"]
    interval = "" if np.isnan(low) else f" ({low:.0%} to {high:.0%})"
    return (
        f"{text}{summary['n_suspects']:,} suspects, with a probability above {summary['cut']:g}: "
        f"about {summary['expected_precision']:.0%} wrong{interval}."
    )


def columns_of(data: Data, scorer: Any, rows: Any) -> dict[str, list[Any]]:
    """Return what is told of rows: their name, both labels, and probabilities."""
    columns: dict[str, list[Any]] = {"row": rows.tolist()}
    if data.ids is not None:
        columns["id"] = [data.ids[i] for i in rows]
    given, suggested = data.y[rows].tolist(), scorer.suggested_label_[rows].tolist()
    columns["given"] = given
    # Doubt may be spread over so many classes that none is likelier than the given one.
    columns["suggested"] = [s if s != g else None for g, s in zip(given, suggested, strict=True)]
    columns["probability"] = np.round(scorer.error_probability_[rows], 4).tolist()
    if data.texts is not None:
        columns["text"] = [data.texts[i] for i in rows]
    return columns


def is_above(scorer: Any, args: Namespace) -> bool:
    """Tell whether more labels are wrong than --fail-above allows, and say so."""
    if args.fail_above is None or scorer.noise_rate_ <= args.fail_above:
        return False
    note(f"{scorer.noise_rate_:.1%} is more than --fail-above {args.fail_above:.1%}.")
    return True
