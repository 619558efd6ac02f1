# SPDX-License-Identifier: BSD-3-Clause
"""The command ``sklearn-difficulty``: which code it runs, and how it ends."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from argparse import Namespace
from collections.abc import Sequence
from importlib import import_module

from .arguments import parse
from .messages import UserError, say

DONE, ABOVE, WRONG, INTERRUPTED = 0, 1, 2, 130

# Modules are imported when their command is called: most of them import much.
_COMMANDS = {
    "find": "finding",
    "review": "reviewing",
    "apply": "applying",
    "score": "scoring",
    "compare": "comparing",
    "info": "versions",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status; argparse raises SystemExit for wrong usage."""
    args = parse(argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that lacks a character gets its number
            stream.reconfigure(errors="backslashreplace")
    try:
        with warnings.catch_warnings():
            _tell_warnings(args)
            status = _run(args)
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads has enough (| head). What Python flushes in the end must go somewhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        cache = getattr(args, "cache", None)
        kept = f" Finished networks are kept in {cache}: the same command goes on from there."
        say(f"interrupted.{kept if cache else ''}")
        return INTERRUPTED
    except Exception as error:
        if args.debug:
            traceback.print_exc()
        else:
            say(_in_words(error))
        return WRONG
    return status


def _run(args: Namespace) -> int:
    """Run the command, and return the exit status."""
    above = import_module(f".{_COMMANDS[args.command]}", __package__).run(args)
    return ABOVE if above else DONE


def _tell_warnings(args: Namespace) -> None:
    """Print warnings as notes, without the lines of code they come from."""

    def tell(message: Warning | str, category: type[Warning], *_: object) -> None:
        if not args.quiet and issubclass(category, UserWarning):
            say(str(message), kind="note")

    warnings.simplefilter("default")
    warnings.showwarning = tell  # type: ignore[assignment]  # what a context of warnings puts back


def _in_words(error: Exception) -> str:
    """Return what a person is told of an error."""
    if isinstance(error, MemoryError):
        return "the memory is full. Give fewer rows, or columns of fewer different values."
    message = " ".join(str(error).split()) or type(error).__name__
    message = " ".join([message, *getattr(error, "__notes__", [])])
    if isinstance(error, (UserError, ValueError, OSError)):
        return message
    return f"{type(error).__name__}: {message} (--debug shows where; please report it)"
