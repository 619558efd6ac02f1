# SPDX-License-Identifier: BSD-3-Clause
"""Training a clone of a net: seeded, interruptible, on every row, with a record at the end."""

from __future__ import annotations

import dis
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from sklearn.base import clone
from skorch import NeuralNet
from skorch.callbacks import Callback
from skorch.dataset import ValidSplit

from .._progress import SILENT, Task
from .._randomness import isolated_rng, seed_generators, spawn_seeds
from ..networks.forward import module_dtype
from ..rows.rows import LabelledDataset, Rows, cast_floats, is_dataset
from .recorder import RecordTraining, find_recorder
from .sampler_ids import StandIn
from .skorch_net import matched_to_module, predefined_validation_set, seeds_row_order


def train(
    net: NeuralNet,
    X: Rows,
    targets: NDArray[Any],
    *,
    classes: NDArray[Any] | None,
    seed: int,
    before_training: Callable[[NeuralNet], None] = lambda net: None,
    callbacks: Sequence[tuple[str, Callback]] = (),
    progress: Task = SILENT,
) -> NeuralNet:
    """Train a clone made by `training_clone`, in place.

    Parameters
    ----------
    net : NeuralNet
        Not initialized; it is fitted here.
    X : ndarray, dict of ndarrays or Dataset
        All of its rows are trained on; the labels that a Dataset yields are replaced by `targets`.
    targets : ndarray of shape (n,) or (n, n_outputs)
        Codes 0 ... n_classes - 1, or floats for regression.
    classes : ndarray or None
        What the codes stand for; None for regression.
    seed : int
        Seeds initialisation, row order and dropout.
    before_training : callable
        Called with the net when it is ready for its first epoch.
    callbacks : sequence of (str, Callback)
        Join the net's own for the length of this fit, and are called before them.
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
    init_seed, order_seed, dropout_seed = spawn_seeds(seed)
    recorder = find_recorder(net.callbacks)
    assert recorder is not None
    own_order = seeds_row_order(net)
    if own_order:
        net.set_params(iterator_train__generator=torch.Generator().manual_seed(order_seed))
    reporter = ("report_epochs", _ReportEpochs(progress))
    interruptions: list[KeyboardInterrupt] = []
    skorch_fit_loop, skorch_infer, split = net.fit_loop, net.infer, net.train_split

    # Stands between skorch's `fit` and its loop: the module and all callbacks are ready by then,
    # and `fit` itself would swallow the interrupt.
    def fit_loop(X: Rows, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        dtype = module_dtype(net.module_)
        # A batch from a Dataset comes in the Dataset's dtype.
        net.infer = StandIn(
            net, "infer", lambda x, **params: skorch_infer(cast_floats(x, dtype), **params)
        )
        try:
            X, y = matched_to_module(net, X, y, classes)
            before_training(net)
            net.callbacks_ = [*callbacks, *net.callbacks_, reporter]
            seed_generators(dropout_seed, cuda=torch.cuda.is_initialized())
            return skorch_fit_loop(cast_floats(X, dtype), y, *args, **kwargs)
        except KeyboardInterrupt as interrupt:
            if not _raised_by_callback(interrupt):
                interruptions.append(interrupt)
            raise

    net.fit_loop = StandIn(net, "fit_loop", fit_loop)
    try:
        with isolated_rng(init_seed, net.device or "cpu"), warnings.catch_warnings():
            # Read-only arrays, such as memory maps, are only read here.
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            net.fit(LabelledDataset(X, targets) if is_dataset(X) else X, targets)
        if interruptions:
            raise interruptions[0]
    except BaseException:
        recorder._discard(net)
        raise
    finally:
        for stand_in in ("fit_loop", "infer"):
            vars(net).pop(stand_in, None)
        net.train_split = split
        if hasattr(net, "callbacks_"):
            ours = [callback for _, callback in (*callbacks, reporter)]
            net.callbacks_ = [item for item in net.callbacks_ if item[1] not in ours]
        if own_order:
            # Not by set_params, which skorch refuses for iterators of an initialized net.
            vars(net).pop("iterator_train__generator", None)
    return net


def _raised_by_callback(interrupt: KeyboardInterrupt) -> bool:
    """Tell a callback that stops training from a person at the keyboard.

    A callback, or a function it calls, executes `raise`; Ctrl-C strikes at any other instruction.
    """
    in_callback, traceback = False, interrupt.__traceback__
    while traceback is not None:
        frame, position = traceback.tb_frame, traceback.tb_lasti
        in_callback |= isinstance(frame.f_locals.get("self"), Callback)
        traceback = traceback.tb_next
    return in_callback and frame.f_code.co_code[position] == dis.opmap["RAISE_VARARGS"]


class _ReportEpochs(Callback):
    """Show every epoch as a subtask, and stop training when a scikit-learn callback asks to."""

    def __init__(self, progress: Task) -> None:
        self.progress_ = progress
        self.open_: Any = None

    def __reduce__(self) -> Any:
        return Callback, ()  # progress belongs to this fit, and cannot be pickled

    def on_epoch_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        self.open_ = self.progress_.subtask("epoch")
        self.task_ = self.open_.__enter__()

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        open_, self.open_ = self.open_, None
        open_.__exit__(None, None, None)
        if self.task_.stop_requested:
            raise KeyboardInterrupt

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        # A callback listed before this one stopped training at the end of the epoch.
        if self.open_ is not None:
            self.open_.__exit__(None, None, None)
            self.open_ = None


def training_clone(net: NeuralNet, recorder: RecordTraining, *, verbose: int) -> NeuralNet:
    """Return an unfitted clone that trains on every row and carries a recorder.

    Parameters
    ----------
    net : NeuralNet
        The user's net; it is not changed.
    recorder : RecordTraining
        Attached unless the net has one of its own.
    verbose : int
        0 silences the clone; otherwise the net's own setting holds.

    Returns
    -------
    clone : NeuralNet
        Not initialized.
    """
    copy = clone(net)
    if predefined_validation_set(copy) is None:
        split = copy.train_split
        is_default = isinstance(split, ValidSplit) and split.cv == 5
        if split is not None and not is_default:
            warnings.warn(
                f"train_split={split!r} is left out: every row is trained on and "
                "scored. To watch a validation set, pass "
                "train_split=skorch.helper.predefined_split(valid_dataset).",
                stacklevel=2,
            )
        copy.set_params(train_split=None)
    if getattr(copy, "classes", None) is not None:
        copy.set_params(classes=None)  # labels reach the clone as codes
    if verbose == 0:
        copy.set_params(verbose=0)
    if find_recorder(copy.callbacks) is None:
        # By hand: set_params fails if there is no callback yet.
        if copy.callbacks == "disable":
            copy.callbacks = []
            for name, _ in copy.get_default_callbacks():
                copy.set_params(**{f"callbacks__{name}": None})
        # First, so that a callback that stops training does not do so before the epoch is kept.
        copy.callbacks = [("record_training", recorder), *(copy.callbacks or [])]
    return copy
