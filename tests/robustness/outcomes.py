# SPDX-License-Identifier: BSD-3-Clause
"""What came of a call with hostile input: a right value, a named error, or an error of the user's.

Anything else is a problem: an error from inside torch, NumPy, skorch or pandas, told by the frame
that raised it; a call that hangs; a warning of NumPy; a number that is silently not one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import dis
import re
import signal
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import sklearn
import torch

import sklearn_difficulty

PACKAGE = str(Path(sklearn_difficulty.__file__).parent)
SKLEARN = tuple(
    str(Path(sklearn.__file__).parent / part)
    for part in ("utils", "base.py", "model_selection/_split.py")
)
VALIDATION = str(Path(SKLEARN[0], "validation.py"))
TESTS = str(Path(__file__).parents[1])

# What an error may be of which the message is meant for the user.
NAMED = (ValueError, TypeError, AttributeError, OSError)
# What a message has to speak of, if not of the argument by its name.
SUBJECTS = re.compile(
    r"rows?\b|columns?\b|class(es)?\b|labels?\b|epochs?\b|members?\b|parameter|features?\b"
    r"|\bX\b|\by\b|tensor|outputs|groups|samples?\b|network|module|estimator|record\b|shape|dtype|ids?\b",
    re.IGNORECASE,
)
SECONDS = 20


class Hangs(BaseException):
    """The call has taken too long."""


@contextlib.contextmanager
def time_limit(seconds: float = SECONDS) -> Iterator[None]:
    """Raise `Hangs` in a block that takes longer."""

    def stop(*_: Any) -> None:
        raise Hangs(f"not finished after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@dataclasses.dataclass
class Outcome:
    """A value or an error, and what is wrong with it, if anything."""

    value: Any = None
    error: BaseException | None = None
    problem: str = ""
    warnings: list[Any] = dataclasses.field(default_factory=list)


def outcome_of(
    call: Callable[[], Any],
    argument: str = "",
    *,
    named: tuple[type[BaseException], ...] = NAMED,
    notes_suffice: bool = False,
    may_be_infinite: bool = False,
) -> Outcome:
    """Return what came of a call in which this argument is the hostile one.

    `notes_suffice` for settings of the user's net, which torch and skorch judge: there an error
    needs a note that says where it came up.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            with time_limit():
                value = call()
        except BaseException as error:
            problem = problem_of_error(error, argument, named)
            if notes_suffice and getattr(error, "__notes__", None):
                problem = ""
            return Outcome(error=error, problem=problem)
    raw = [w for w in caught if issubclass(w.category, RuntimeWarning)]
    if raw:
        where = short(raw[0].filename)
        text = f"{raw[0].category.__name__} in {where}: {raw[0].message}"
        return Outcome(value, problem=text, warnings=caught)
    return Outcome(value, problem=problem_of_value(value, caught, may_be_infinite), warnings=caught)


# ------------------------------------------------------------------------------------------ errors


def steps_of(error: BaseException) -> list[TracebackType]:
    """Return the steps of a traceback, the outermost first."""
    steps, step = [], error.__traceback__
    while step is not None:
        steps.append(step)
        step = step.tb_next
    return steps


def is_raised(step: TracebackType) -> bool:
    """Tell whether a `raise` is executed there, not a call or an operation that failed."""
    return step.tb_frame.f_code.co_code[step.tb_lasti] == dis.opmap["RAISE_VARARGS"]


def file_of(step: TracebackType) -> str:
    return step.tb_frame.f_code.co_filename


def is_of_the_user(error: BaseException) -> bool:
    """Tell whether it came up in something of the user's, that is of these tests."""
    files = [file_of(step) for step in steps_of(error)]
    inside = [i for i, file in enumerate(files) if file.startswith(PACKAGE)]
    return bool(inside) and any(file.startswith(TESTS) for file in files[inside[-1] :])


def problem_of_error(error: BaseException, argument: str, named: tuple[Any, ...]) -> str:
    """Say what is wrong with an error; nothing if the user can tell by it what to do."""
    step = steps_of(error)[-1]
    said = f"{type(error).__name__} at {place(step)}: {str(error)[:150]!r}"
    if isinstance(error, Hangs):
        return f"hangs: {said}"
    if is_of_the_user(error):
        notes = getattr(error, "__notes__", [])
        return "" if notes else f"the user's own error has no note: {said}"
    if isinstance(error, OSError) and error.filename is not None:
        return ""  # the operating system has named the file
    if not isinstance(error, named):
        return f"raw error: {said}"
    is_named = file_of(step).startswith((PACKAGE, *SKLEARN)) and is_raised(step)
    if not is_named and file_of(step) != VALIDATION:
        return f"raw error: {said}"
    if (
        file_of(step).startswith(PACKAGE)
        and argument not in str(error)
        and not SUBJECTS.search(str(error))
    ):
        return f"names nothing: {said}"
    return ""


def place(step: TracebackType) -> str:
    return f"{short(file_of(step))}:{step.tb_lineno}"


def short(file: str) -> str:
    return re.sub(r".*/(site-packages|python3\.\d+)/", "", file).removeprefix(
        str(Path(PACKAGE).parent) + "/"
    )


def story(error: BaseException) -> str:
    """Return the whole traceback, for a message."""
    return "".join(traceback.format_exception(error))


# ------------------------------------------------------------------------------------------ values


def arrays_of(value: Any, name: str = "result") -> Iterator[tuple[str, np.ndarray]]:
    """Yield all arrays of numbers or labels in a result, with their names."""
    if isinstance(value, torch.Tensor):
        value = value.detach().float().numpy() if value.layout is torch.strided else repr(value)
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from arrays_of(item, f"{name}.{key}")
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from arrays_of(vars(value), name)
    elif hasattr(value, "_asdict"):
        yield from arrays_of(value._asdict(), name)
    elif isinstance(value, (list, tuple)) and any(hasattr(v, "dtype") for v in value):
        for i, item in enumerate(value):
            yield from arrays_of(item, f"{name}.{i}")
    elif isinstance(value, np.ndarray) and value.dtype.names:
        for field in value.dtype.names:
            yield from arrays_of(value[field], f"{name}.{field}")
    elif isinstance(value, (np.ndarray, np.generic, float, int, list, tuple, str)):
        array = np.asarray(value, dtype=object if isinstance(value, (list, tuple)) else None)
        yield name, array


def problem_of_value(value: Any, caught: list[Any], may_be_infinite: bool) -> str:
    """Say what is wrong with a result: inf, or NaN where nothing has been said of it."""
    try:
        arrays = list(arrays_of(value))
    except Exception as error:
        return f"a result that is no array: {error}"
    for name, array in arrays:
        if array.dtype.kind == "c":
            return f"complex numbers in {name}"
        if array.dtype.kind != "f":
            continue
        if np.isinf(array).any() and not may_be_infinite:
            return f"silent: inf in {name}"
        n_undefined = int(np.isnan(array).sum())
        if n_undefined and name.endswith("difficulty_") and not caught:
            return f"silent: {n_undefined} NaN in {name} and no warning"
    return ""


def _is_numeric(array: np.ndarray) -> bool:
    return all(isinstance(value, (bool, int, float)) for value in array.ravel().tolist())


def difference(found: Any, expected: Any) -> str:
    """Say in what two results differ."""
    theirs = dict(arrays_of(expected))
    ours = dict(arrays_of(found))
    if ours.keys() != theirs.keys():
        return f"has {sorted(ours)} instead of {sorted(theirs)}"
    for name, array in ours.items():
        other = theirs[name]
        if array.shape != other.shape:
            return f"{name} has the shape {array.shape} instead of {other.shape}"
        if other.dtype.kind in "fiub" and (array.dtype.kind in "fiub" or _is_numeric(array)):
            array = array.astype(np.float64)
            same = np.allclose(array, other, rtol=1e-4, atol=1e-5, equal_nan=True)
        else:
            same = [str(v) for v in array.ravel()] == [str(v) for v in other.ravel()]
        if not same:
            return f"wrong value: {name} is {array.ravel()[:4]} instead of {other.ravel()[:4]}"
    return ""
