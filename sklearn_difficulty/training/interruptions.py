# SPDX-License-Identifier: BSD-3-Clause
"""Ctrl-C and other signals told apart from a callback that stops training.

skorch's callbacks stop a training by raising KeyboardInterrupt, which is also what many signal
handlers raise, and `NeuralNet.fit` swallows both. A handler is called in the main thread wherever
that is, inside a callback too, so that the traceback cannot tell. Handlers are therefore watched:
what they raise is no early stop.
"""

from __future__ import annotations

import dis
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from skorch.callbacks import Callback

_LIBRARIES = (__name__.partition(".")[0], "skorch")


@contextmanager
def watched_signals() -> Iterator[list[BaseException]]:
    """List what Python's signal handlers raise, and put the handlers back."""
    raised: list[BaseException] = []
    if threading.current_thread() is not threading.main_thread():
        yield raised  # handlers run in the main thread, and only there they can be set
        return

    def watched(handler: Any) -> Any:
        def call(number: int, frame: FrameType | None) -> Any:
            try:
                return handler(number, frame)
            except BaseException as error:
                raised.append(error)
                raise

        return call

    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    watchers = {number: watched(handler) for number, handler in before.items() if callable(handler)}
    for number, handler in watchers.items():
        signal.signal(number, handler)
    try:
        yield raised
    finally:
        for number, handler in watchers.items():
            if signal.getsignal(number) is handler:  # not one that was set meanwhile
                signal.signal(number, before[number])


def is_early_stop(interrupt: KeyboardInterrupt, raised: list[BaseException]) -> bool:
    """Tell whether a callback stopped training, not one of the errors that signals raised.

    A callback, or a function that a callback of the user's calls, executes `raise`; what is thrown
    into a thread from outside strikes at any other instruction.
    """
    error: BaseException | None = interrupt
    while error is not None:
        if any(error is other for other in raised):
            return False
        error = error.__cause__ or error.__context__
    callback, traceback = None, interrupt.__traceback__
    while traceback is not None:
        frame, position = traceback.tb_frame, traceback.tb_lasti
        owner = frame.f_locals.get("self")
        callback = owner if isinstance(owner, Callback) else callback
        traceback = traceback.tb_next
    if callback is None or frame.f_code.co_code[position] != dis.opmap["RAISE_VARARGS"]:
        return False
    # Those of a library call modules and scorings of the user's, and stop by themselves alone.
    is_of_library = type(callback).__module__.partition(".")[0] in _LIBRARIES
    return callback is owner or not is_of_library
