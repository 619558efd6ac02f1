# SPDX-License-Identifier: BSD-3-Clause
"""Training a clone of a net: seeded, interruptible, on every row; it leaves RecordParts."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any

import torch
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.utils._param_validation import Interval, Options
from skorch import NeuralNet
from skorch.callbacks import Callback
from skorch.dataset import Dataset as SkorchDataset
from skorch.dataset import ValidSplit
from torch import nn

from .._parameters import check_parameters
from .._progress import SILENT, Task
from .._randomness import draw_seed, isolated_rng, seed_generators, spawn_seeds
from .._warnings import locate, warn_caller
from ..networks.copying import copied_module
from ..networks.forward import module_dtype
from ..rows.inputs import cast_floats
from ..rows.labels import among_columns, encode_among, encode_labels, float_targets
from ..rows.rows import Rows
from ..rows.sparse import SparseItems
from .batches import refuse_lone_row, refuse_no_steps, refuse_other_sampler
from .interruptions import is_early_stop, watched_signals
from .learning import Learning, knows_already, warn_of_knowing, warn_of_network
from .record_parts import RecordParts, recorded_parts, untrained_parts
from .recorder import RecordTraining, find_recorder
from .requirements import RecordNeeds
from .sampler_ids import StandIn
from .skorch_net import (
    is_regression,
    learn_encoding,
    matched_to_module,
    named_classes,
    predefined_validation_set,
    refuse_values_out_of_range,
    seeds_row_order,
)

Rehearsal = Callable[[RecordParts, Rows, NDArray[Any]], object]
_NO_NEEDS = RecordNeeds()


def targets_for(net: NeuralNet, X: Rows, y: Any) -> tuple[NDArray[Any] | None, NDArray[Any]]:
    """Return the classes, None for regression, and y as int64 codes or float32 values."""
    y = X.given_labels(y)
    if is_regression(net):
        return None, float_targets(y)
    classes = named_classes(net)
    return encode_labels(y) if classes is None else encode_among(y, classes)


def fit_network(
    net: NeuralNet,
    X: Rows,
    targets: NDArray[Any],
    classes: NDArray[Any] | None,
    *,
    recorder: RecordTraining,
    random_state: Any,
    verbose: int,
    needs: RecordNeeds = _NO_NEEDS,
    rehearse: Rehearsal = lambda *args: None,
    view: Rows | None = None,
    callbacks: Sequence[tuple[str, Callback]] = (),
    progress: Task = SILENT,
    learning: Learning | None = None,
) -> RecordParts:
    """Train a clone of a net on rows, and return what it leaves behind.

    The recorder is used unless the net carries one of its own. `rehearse` gets the untrained
    network's parts, two rows and their targets before the first epoch: what cannot be read should
    be refused before hours of training. `view` holds the rows that a recorder with
    ``mode="evaluation"`` reads in place of X. KeyboardInterrupt is raised if the user interrupted;
    a callback that stops training ends it well. A training that taught nothing is warned of, unless
    `learning` is given, which tells the caller.
    """
    given, net = net, training_clone(net, verbose=verbose)
    learn_encoding(net, X)
    refuse_no_steps(net, len(X))
    refuse_other_sampler(net, len(X))
    recorder = find_recorder(net.callbacks) or recorder
    needs.check_plan(recorder, net.max_epochs)
    if needs.mode is not None:
        callbacks = [*callbacks, ("needs_trajectory", _NeedsTrajectory(recorder))]
    seed = draw_seed(random_state)
    follower = Learning(looks_first=True) if learning is None else learning
    view = None if view is X else view
    classes = _train(
        net, X, targets, classes, recorder, seed, rehearse, view, callbacks, progress, follower
    )
    if learning is None:
        n_classes = None if classes is None else len(classes)
        warn_of_network(follower.verdict(net, targets, n_classes))
        if follower.knew:
            warn_of_knowing(given)
    return recorded_parts(net, recorder, classes)


def _train(
    net: NeuralNet,
    X: Rows,
    targets: NDArray[Any],
    classes: NDArray[Any] | None,
    recorder: RecordTraining,
    seed: int,
    rehearse: Rehearsal,
    view: Rows | None,
    callbacks: Sequence[tuple[str, Callback]],
    progress: Task,
    learning: Learning,
) -> NDArray[Any] | None:
    """Fit a net made by `training_clone`, in place, and return the classes of its columns.

    Its `callbacks` stay those of the user.
    """
    init_seed, order_seed, dropout_seed = spawn_seeds(seed)
    own_order = seeds_row_order(net)
    if own_order:
        net.set_params(iterator_train__generator=torch.Generator().manual_seed(order_seed))
    reporter = ("report_epochs", _ReportEpochs(progress))
    # First, so that a callback that stops training does not do so before the epoch is kept.
    attached = [] if find_recorder(net.callbacks) else [("record_training", recorder)]
    interruptions: list[KeyboardInterrupt] = []
    all_rows, first_rows = X, X.take(slice(2))
    skorch_fit_loop, skorch_infer, split = net.fit_loop, net.infer, net.train_split
    columns = classes

    # By then the module and all callbacks are ready; skorch's `fit` would swallow the interrupt.
    def fit_loop(X: Any, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        nonlocal columns
        dtype = module_dtype(net.module_)
        # A batch from a Dataset comes in the Dataset's dtype.
        net.infer = StandIn(
            net, "infer", lambda x, **params: skorch_infer(cast_floats(x, dtype), **params)
        )
        try:
            if attached:  # skorch has told the other callbacks that training begins
                recorder.on_train_begin(net, X=X, y=y)
            refuse_values_out_of_range(net.module_, all_rows)
            X, y, columns = matched_to_module(net, X, y, classes)
            refuse_lone_row(net, first_rows, len(targets))
            first_targets = targets[:2]
            if columns is not classes:  # the codes are others, too
                recorder.given_ = (recorder.given_[0], y)
                first_targets = y[:2]
            if view is not None:
                view.refuse_beyond(dtype, "scoring_view")
                recorder.view_ = net.get_dataset(cast_floats(view.with_targets(y), dtype), y)
            rehearse(untrained_parts(net, columns), first_rows, first_targets)
            if learning.looks_first:
                codes = targets
                if classes is not None and columns is not None:
                    _, codes = among_columns(classes, targets, len(columns))
                n_classes = None if columns is None else len(columns)
                learning.knew = knows_already(net, all_rows, codes, n_classes)
            for _, callback in net.callbacks_:
                if isinstance(callback, PreparedCallback):
                    callback.prepare(net, all_rows, targets, classes, columns, seed)
            net.callbacks_ = [*callbacks, *attached, *net.callbacks_, reporter]
            learning.begin(net)
            seed_generators(dropout_seed, cuda=torch.cuda.is_initialized())
            X = _batched(X, y, dtype, net) if issparse(X) else cast_floats(X, dtype)
            return skorch_fit_loop(X, y, *args, **kwargs)
        except RuntimeError as error:
            learning.explain(error, net)
            raise
        except KeyboardInterrupt as interrupt:
            if not is_early_stop(interrupt, raised_by_signals):
                interruptions.append(interrupt)
            raise

    net.fit_loop = StandIn(net, "fit_loop", fit_loop)
    try:
        with (
            isolated_rng(init_seed, net.device or "cpu"),
            warnings.catch_warnings(),
            watched_signals() as raised_by_signals,
        ):
            # Read-only arrays, such as memory maps, are only read here.
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            net.fit(X.with_targets(targets), targets)
        if interruptions:
            raise interruptions[0]
        learning.check(net)
    except BaseException as error:
        recorder._discard(net)
        if isinstance(error, Exception):
            n_epochs = len(getattr(net, "history_", None) or ())
            locate(error, f"in epoch {n_epochs}" if n_epochs else "before the first epoch")
        raise
    finally:
        learning.end()
        for stand_in in ("fit_loop", "infer", "get_loss"):
            vars(net).pop(stand_in, None)
        net.train_split = split
        if hasattr(net, "callbacks_"):
            temporary = [callback for _, callback in (*callbacks, reporter)]
            net.callbacks_ = [item for item in net.callbacks_ if item[1] not in temporary]
        if own_order:
            # Not by set_params, which skorch refuses for iterators of an initialized net.
            vars(net).pop("iterator_train__generator", None)
    return columns


def _batched(X: Any, y: Any, dtype: torch.dtype, net: NeuralNet) -> Any:
    """Return a sparse X as a Dataset that makes a batch dense at once; skorch's does so by row."""
    is_own = net.dataset is not SkorchDataset or net.get_params_for("dataset")
    return X if is_own else SparseItems(X, y, dtype)


class PreparedCallback(Callback):
    """A callback that is given the rows as they are, once the net is ready and before it trains."""

    def prepare(
        self,
        net: NeuralNet,
        X: Rows,
        targets: NDArray[Any],
        classes: NDArray[Any] | None,
        columns: NDArray[Any] | None,
        seed: int,
    ) -> None:
        """Prepare the training of `net`, whose columns stand for `columns`, by the seed of it."""


class _ReportEpochs(Callback):
    """Show every epoch as a subtask, and stop training when a scikit-learn callback asks to."""

    def __init__(self, progress: Task) -> None:
        self.progress_ = progress
        self.open_: Any = None

    def __reduce__(self) -> Any:
        return Callback, ()  # progress belongs to this fit, and cannot be pickled

    def on_epoch_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Open the epoch's subtask."""
        self.open_ = self.progress_.subtask("epoch")
        self.task_ = self.open_.__enter__()

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Close it, and stop if that is asked for."""
        open_, self.open_ = self.open_, None
        open_.__exit__(None, None, None)
        if self.task_.stop_requested:
            raise KeyboardInterrupt

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Close it where another callback stopped training."""
        # A callback listed before this one stopped training at the end of the epoch.
        if self.open_ is not None:
            self.open_.__exit__(None, None, None)
            self.open_ = None


class _NeedsTrajectory(Callback):
    """Refuse to train where the rows of a batch will not be known, though a score needs them."""

    def __init__(self, recorder: RecordTraining) -> None:
        self.recorder_ = recorder

    def on_epoch_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Raise if the rows are not known by now."""
        self._raise_if_unknown()

    def on_batch_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Raise if the rows of the batch before were not known."""
        self._raise_if_unknown()

    def _raise_if_unknown(self) -> None:
        """Say why rows are not known, if so."""
        problem = self.recorder_.row_ids_.problem
        if problem is not None:
            raise ValueError(f"The training cannot be recorded row by row: {problem}.")


def unfitted_clone(net: NeuralNet) -> NeuralNet:
    """Return scikit-learn's clone, also of modules that it cannot copy."""
    settings = net.get_params(deep=False)
    modules = {name: value for name, value in settings.items() if isinstance(value, nn.Module)}
    if not modules:
        return clone(net)
    others = clone(type(net)(**{**settings, **dict.fromkeys(modules)})).get_params(deep=False)
    return type(net)(**{**others, **{name: copied_module(m) for name, m in modules.items()}})


def training_clone(net: NeuralNet, *, verbose: int) -> NeuralNet:
    """Return an unfitted clone that trains on every row."""
    at_least_1 = Interval(Integral, 1, None, closed="left")
    check_parameters(
        type(net).__name__,
        max_epochs=(net.max_epochs, [Integral]),
        batch_size=(net.batch_size, [at_least_1, Options(int, {-1})]),
    )
    copy = unfitted_clone(net)
    if predefined_validation_set(copy) is None:
        split = copy.train_split
        is_default = isinstance(split, ValidSplit) and split.cv == 5
        if split is not None and not is_default:
            warn_caller(
                f"train_split={split!r} is left out: every row is trained on and "
                "scored. To watch a validation set, pass "
                "train_split=skorch.helper.predefined_split(valid_dataset)."
            )
        copy.set_params(train_split=None)
    classes = named_classes(copy)
    if classes is not None:
        copy.set_params(classes=list(range(len(classes))))  # labels reach the clone as codes
    if verbose == 0:
        copy.set_params(verbose=0)
        if hasattr(copy, "accelerator"):  # in whose own way skorch prints, whatever verbose says
            copy.callbacks__print_log__sink = print
    return copy
