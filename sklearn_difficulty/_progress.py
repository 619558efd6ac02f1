# SPDX-License-Identifier: BSD-3-Clause
"""The one bridge to scikit-learn's callbacks, which are experimental and may be absent.

A `Task` is a node of the tree that a progress bar draws. Everything below the scorers receives a
`Task` and knows nothing of callbacks; `SILENT` is the task that nobody watches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

__all__ = ["SILENT", "Task", "root_task"]

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # the module may move or change without deprecation
    F = TypeVar("F", bound=Callable[..., Any])

    class CallbackSupportMixin:  # type: ignore[no-redef]  # stands in for the missing one
        """Stand-in without `set_callbacks`."""

    def with_callbacks(method: F) -> F:
        """Return the method as it is."""
        return method


class Task:
    """A task that may have subtasks, reported to the estimator's callbacks if it has any."""

    def __init__(self, estimator: Any = None, context: Any = None) -> None:
        self._estimator = estimator
        self._context = context
        self.stop_requested = False

    @contextmanager
    def subtask(self, name: str, n_subtasks: int | None = 0) -> Iterator[Task]:
        """Open a subtask that has at most `n_subtasks` of its own, None if that is unknown."""
        if self._context is None:
            yield self
            return
        try:
            context = self._context.subcontext(task_name=name, max_subtasks=n_subtasks)
        except ValueError:  # more than were announced
            yield SILENT
            return
        context.call_on_fit_task_begin(estimator=self._estimator)
        task = Task(self._estimator, context)
        yield task
        task.stop_requested = bool(context.call_on_fit_task_end(estimator=self._estimator))

    @contextmanager
    def fit_of(self, estimator: Any, name: str) -> Iterator[None]:
        """Open a subtask in which another estimator is fitted, seen by the callbacks if it can."""
        if self._context is None or not hasattr(estimator, "set_callbacks"):
            with self.subtask(name):
                yield
            return
        context = self._context.subcontext(task_name=name)
        with context.propagate_callback_context(estimator):
            context.call_on_fit_task_begin(estimator=self._estimator)
            yield
            context.call_on_fit_task_end(estimator=self._estimator)


SILENT = Task()


@contextmanager
def root_task(estimator: Any, n_subtasks: int) -> Iterator[Task]:
    """Open the task of a whole `fit`, a method `with_callbacks`; silent for other estimators."""
    if not hasattr(estimator, "_init_callback_context"):
        yield SILENT
        return
    context = estimator._init_callback_context(max_subtasks=n_subtasks)
    context.call_on_fit_task_begin(estimator=estimator)
    yield Task(estimator, context)
    context.call_on_fit_task_end(estimator=estimator)
