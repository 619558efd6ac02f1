# SPDX-License-Identifier: BSD-3-Clause
"""The review page's JSON file: read, and held to its format, since anybody may have written it."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path
from typing import Any

FORMAT, VERSION = "sklearn_difficulty.review", 1
DECISIONS = ("right", "suggestion", "other", "drop", "unsure")
_WITHOUT_LABEL = ("drop", "unsure")
_MOST_BYTES = 200 * 10**6  # of some million decisions
_MOST_ROWS = 2**53  # JavaScript counts no further
_LARGEST_WEIGHT = 1e18


def refusal(path: str | PathLike[str], why: str) -> ValueError:
    """Return the error about a file."""
    return ValueError(f"{path} cannot be taken as a review: {why}.")


def load_review(path: str | PathLike[str]) -> dict[str, Any]:
    """Return what the file holds, all of it checked."""
    try:
        content = _parsed(path)
        _check_head(content)
        _check_plan(content["plan"], content["n_rows"])
        _check_decisions(content["decisions"], content["n_rows"], len(content["classes"]))
    except (_Problem, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise refusal(path, why) from None
    return content


class _Problem(Exception):
    """What is wrong with a file."""


def _parsed(path: str | PathLike[str]) -> dict[str, Any]:
    """Return the object that the file holds."""
    n_bytes = Path(path).stat().st_size
    if n_bytes > _MOST_BYTES:
        raise _Problem(f"it has {n_bytes} bytes, more than {_MOST_BYTES}")
    try:
        content = json.loads(
            Path(path).read_bytes().decode("utf-8-sig"),
            object_pairs_hook=_without_duplicates,
            parse_constant=_refuse_constant,
        )
    except UnicodeDecodeError as error:
        raise _Problem(f"it is not UTF-8 ({error})") from None
    except ValueError as error:  # of JSON, and of integers with thousands of digits
        raise _Problem(f"it is no JSON ({error})") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise _Problem(f'it is not what a review page saves, which has "format": "{FORMAT}"')
    version: Any = content.get("version")
    if not _is_integer(version, 1):
        raise _Problem(f'"version" must be a number from 1 on, got {_short(version)}')
    if version > VERSION:
        raise _Problem(
            f"its version is {version}, and this release reads up to {VERSION}; install a later one"
        )
    return content


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON whose keys are all different."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _Problem(f"it has the key {_short(twice)} twice in one object")
    return found


def _refuse_constant(name: str) -> Any:
    """Raise for what JSON does not know."""
    raise _Problem(f"it holds {name}, which is no number of JSON")


def _check_head(content: dict[str, Any]) -> None:
    """Raise unless the file says of what report and how many rows it is."""
    kinds = {"fingerprint": str, "n_rows": int, "classes": list, "plan": dict, "decisions": list}
    for name, kind in kinds.items():
        if name not in content:
            raise _Problem(f'"{name}" is missing')
        if not isinstance(content[name], kind) or isinstance(content[name], bool):
            what = {str: "text", int: "an integer", list: "a list", dict: "an object"}[kind]
            raise _Problem(f'"{name}" must be {what}, got {_short(content[name])}')
    if not _is_integer(content["n_rows"], 1, _MOST_ROWS):
        raise _Problem(f'"n_rows" must be at least 1, got {_short(content["n_rows"])}')
    for name in content["classes"]:
        if not isinstance(name, str):
            raise _Problem(f'"classes" must hold texts, got {_short(name)}')


def _check_plan(plan: dict[str, Any], n_rows: int) -> None:
    """Raise unless the plan has a weight for every row."""
    rows, weights = plan.get("rows"), plan.get("weight")
    if not isinstance(rows, list) or not isinstance(weights, list) or len(rows) != len(weights):
        raise _Problem('"plan" must have the lists "rows" and "weight", of one length')
    for row, weight in zip(rows, weights, strict=True):
        _check_row(row, n_rows, '"plan"')
        is_number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
        # Rounding may leave the weight of a certain row just below 1.
        if not is_number or not 1 - 1e-6 <= weight <= _LARGEST_WEIGHT:
            raise _Problem(f'"plan" has the weight {_short(weight)}, not a number from 1 on')
    _check_once(rows, '"plan"')


def _check_decisions(decisions: list[Any], n_rows: int, n_classes: int) -> None:
    """Raise unless every row is decided once, in words that are known, for a class that is."""
    for entry in decisions:
        if not isinstance(entry, dict) or not {"row", "decision", "label"} <= set(entry):
            raise _Problem(f'a decision needs "row", "decision" and "label", got {_short(entry)}')
        row, decision, label = entry["row"], entry["decision"], entry["label"]
        _check_row(row, n_rows, '"decisions"')
        if decision not in DECISIONS:
            known = ", ".join(DECISIONS)
            raise _Problem(f"row {row} has the decision {_short(decision)}, none of {known}")
        if label is not None and not _is_integer(label, 0, n_classes - 1):
            raise _Problem(
                f"row {row} has the label {_short(label)}, not a position among the {n_classes} "
                "classes or null"
            )
        if label is not None and decision in _WITHOUT_LABEL:
            raise _Problem(f'row {row} has the decision "{decision}" and a label')
    _check_once([entry["row"] for entry in decisions], '"decisions"')


def _check_row(row: Any, n_rows: int, where: str) -> None:
    """Raise unless this is a row of the report."""
    if not _is_integer(row, 0, n_rows - 1):
        raise _Problem(f"{where} has the row {_short(row)}, not an integer from 0 to {n_rows - 1}")


def _check_once(rows: list[int], where: str) -> None:
    """Raise if a row is there twice."""
    seen: set[int] = set()
    for row in rows:
        if row in seen:
            raise _Problem(f"{where} has the row {row} twice")
        seen.add(row)


def _is_integer(value: Any, least: int, most: int | None = None) -> bool:
    """Tell whether a value is an integer, and no bool, in a range."""
    if not isinstance(value, int) or isinstance(value, bool):
        return False
    return least <= value and (most is None or value <= most)


def _short(value: Any) -> str:
    """Return a value for a message."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
