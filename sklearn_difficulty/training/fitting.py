# SPDX-License-Identifier: BSD-3-Clause
"""Training a clone of a net: seeded, interruptible, on every row, with a record at the end."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skorch import NeuralNet
from skorch.callbacks import Callback
from torch import nn
from torch.utils.data import DataLoader

from ..progress import SILENT, Task
from .network import (
    find_recorder,
    module_dtype,
    output_kind,
    outputs_of_first_rows,
    refuse_unwatched_monitors,
)
from .rows import Rows, cast_floats


def draw_seed(random_state: Any) -> int:
    """Return an integer seed: the given one, one drawn from a RandomState, or a fresh one."""
    if random_state is None:
        # Fresh entropy, not NumPy's global generator, which stays as it was found.
        return int(np.random.SeedSequence().generate_state(1)[0])
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(np.iinfo(np.int32).max))
    return int(random_state)


@contextmanager
def isolated_rng() -> Iterator[None]:
    """Restore the global generators of torch, NumPy and Python when the block ends."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    numpy_state, python_state = np.random.get_state(), random.getstate()
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            np.random.set_state(numpy_state)
            random.setstate(python_state)


def _seed_global_generators(seed: int) -> None:
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


def _spawn_seeds(seed: int) -> tuple[int, int, int]:
    """Seeds of independent streams for initialisation, row order and dropout."""
    initialisation, order, dropout = np.random.SeedSequence(seed).spawn(3)
    return tuple(int(s.generate_state(1)[0]) for s in (initialisation, order, dropout))  # type: ignore[return-value]


def train(
    net: NeuralNet,
    X: Rows,
    targets: NDArray[Any],
    *,
    n_classes: int | None,
    seed: int,
    progress: Task = SILENT,
) -> NeuralNet:
    """Train a clone made by `training_clone`, in place.

    Parameters
    ----------
    net : NeuralNet
        Not initialized; it is fitted here.
    X : ndarray, dict of ndarrays or Dataset
        All of its rows are trained on; a Dataset yields them with `targets` as labels.
    targets : ndarray of shape (n,) or (n, n_outputs)
        Codes 0 ... n_classes - 1, or floats for regression.
    n_classes : int or None
        None for regression.
    seed : int
        Seeds initialisation, row order and dropout.
    progress : Task
        Gets one subtask per epoch.

    Returns
    -------
    net : NeuralNet
        Fitted.

    Raises
    ------
    KeyboardInterrupt
        If the user interrupted; a callback that stops training ends it well instead.
    """
    init_seed, order_seed, dropout_seed = _spawn_seeds(seed)
    recorder = find_recorder(net.callbacks)
    assert recorder is not None
    own_order = _seeds_row_order(net)
    if own_order:
        net.set_params(iterator_train__generator=torch.Generator().manual_seed(order_seed))
    interruptions: list[KeyboardInterrupt] = []
    skorch_fit_loop = net.fit_loop

    # Stands between skorch's `fit` and its loop: the module and all callbacks are ready by then,
    # and `fit` itself would swallow the interrupt.
    def fit_loop(X: Rows, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        refuse_unwatched_monitors(net)
        net.callbacks_.append(("report_epochs", _ReportEpochs(progress)))
        outputs = outputs_of_first_rows(net, X)
        output_kind(net, outputs, n_classes)
        if n_classes is None and outputs.ndim != y.ndim:
            y = y.reshape(len(y), *outputs.shape[1:])  # (n,) against (n, 1) would broadcast
        _seed_global_generators(dropout_seed)
        try:
            rows = cast_floats(X, module_dtype(net.module_))
            return skorch_fit_loop(rows, y, *args, **kwargs)
        except KeyboardInterrupt as interrupt:
            if not _raised_by_callback(interrupt):
                interruptions.append(interrupt)
            raise

    if isinstance(net.criterion, type) and issubclass(net.criterion, nn.BCEWithLogitsLoss):
        targets = targets.astype(np.float32)
    net.fit_loop = fit_loop
    try:
        with isolated_rng(), warnings.catch_warnings():
            # Read-only arrays, such as memory maps, are only read here.
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            _seed_global_generators(init_seed)
            net.fit(X, targets)
        if interruptions:
            raise interruptions[0]
    except BaseException:
        recorder.discard()
        raise
    finally:
        del net.__dict__["fit_loop"]
        if hasattr(net, "callbacks_"):
            net.callbacks_ = [item for item in net.callbacks_ if item[0] != "report_epochs"]
        if own_order:
            # Not by set_params, which skorch refuses for iterators of an initialized net.
            vars(net).pop("iterator_train__generator", None)
    return net


def _seeds_row_order(net: NeuralNet) -> bool:
    is_loader = isinstance(net.iterator_train, type) and issubclass(net.iterator_train, DataLoader)
    return is_loader and net.get_params_for("iterator_train").get("generator") is None


def _raised_by_callback(interrupt: KeyboardInterrupt) -> bool:
    """Tell a callback that stops training from a person at the keyboard.

    A callback raises in its own code; Ctrl-C strikes wherever the interpreter is, which is
    practically never on a callback's own line.
    """
    traceback = interrupt.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return False
    return isinstance(traceback.tb_frame.f_locals.get("self"), Callback)


class _ReportEpochs(Callback):
    """Show every epoch as a subtask, and stop training when a scikit-learn callback asks to."""

    def __init__(self, progress: Task) -> None:
        self.progress_ = progress

    def on_epoch_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        self.open_ = self.progress_.subtask("epoch")
        self.task_ = self.open_.__enter__()

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        self.open_.__exit__(None, None, None)
        if self.task_.stop_requested:
            raise KeyboardInterrupt
