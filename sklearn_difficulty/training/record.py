# SPDX-License-Identifier: BSD-3-Clause
"""TrainingRecord: what a fit left behind, from which many scores are read."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import NotFittedError
from skorch import NeuralNet
from skorch.callbacks import Callback
from torch import nn

from .._progress import SILENT, Task
from .._randomness import draw_seed
from ..networks.forward import plain_module
from ..networks.heads import DEFAULT_LOSS, OutputKind
from ..rows.identity import RowsFingerprint
from ..rows.labels import classes_of_columns, codes_of, encode_labels, float_targets, to_numpy
from ..rows.rows import Rows, check_rows, given_labels, is_dataset, take_rows
from .checkpoints import (
    Checkpoint,
    CheckpointPlan,
    CheckpointSpec,
    copy_state,
    load_state,
    refuse_prefix,
)
from .fit import train, training_clone
from .record_files import read_record, write_record
from .recorder import RecordTraining, classes_seen, find_recorder
from .requirements import RecordNeeds
from .skorch_net import collate_fn as net_collate_fn
from .skorch_net import is_regression, output_kind
from .trajectory import Trajectory
from .trajectory_recorder import TrajectoryRecorder

__all__ = ["TrainingRecord"]

_NO_NEEDS = RecordNeeds()


class TrainingRecord:
    """What one training run left behind: the network, its checkpoints, and its trajectories.

    Train once, read many scores: every scorer takes a record in place of a network and then does
    not train. Make one with `from_fit`, from a net that was fitted with `RecordTraining`
    (`from_net`), from a training loop of your own (`from_checkpoints`, `from_trajectory`,
    `from_logits`), or from disk (`load`).

    A record clones to itself: scikit-learn's ``clone`` neither copies nor forgets it.

    Parameters
    ----------
    module : torch.nn.Module or None
        The trained network, if there is one.
    checkpoints : sequence of Checkpoint
        In order of epoch.
    classes : array-like of shape (n_classes,), default=None
        The labels that the output columns stand for; None for regression.
    outputs : {"logits", "binary_logit", "probabilities", "log_probabilities", "values"}, \
            default="logits"
        What the module returns.
    criterion : torch.nn.Module, default=None
        The loss it was trained with; None if unknown.
    n_epochs : int, default=None
        The last epoch that ran; None takes that of the last checkpoint.
    rows : RowsFingerprint, default=None
        Of the training rows; None if unknown.
    net : skorch.NeuralNet, default=None
        The fitted net, if there is one.
    collate_fn : callable, default=None
        Joins the items of a Dataset when rows are read, as in a DataLoader; None takes that of
        the net, else torch's default.
    trajectory : Trajectory, default=None
        What the training said about every row in every epoch; None if that was not recorded.
    trajectory_problem : str, default=None
        Why it was not.

    Attributes
    ----------
    module : torch.nn.Module
        The network as training left it, in eval mode: after the last epoch, unless a callback put
        the best weights back. It decides about predicted classes.
    checkpoints : list of Checkpoint
        Each with an `epoch` and a ``state_dict()``.
    classes_ : ndarray of shape (n_classes,) or None
        The classes, in the order of the output columns.
    n_epochs : int
        Epochs that ran.
    trajectory : Trajectory or None
        Per epoch and training row: probability, margin, loss and EL2N of the given label, and the
        predicted class.

    See Also
    --------
    sklearn_difficulty.training.RecordTraining : The callback that fills a record.
    VoGScorer : A score that is read from a record.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_difficulty import TrainingRecord, VoGScorer
    >>> from sklearn_difficulty.training import default_network
    >>> X, y = load_digits(return_X_y=True)
    >>> record = TrainingRecord.from_fit(default_network(X, y), X, y, random_state=0)
    >>> logit, loss = (VoGScorer(record, target=t).fit(X, y) for t in ("logit", "loss"))
    >>> logit.record_ is loss.record_
    True
    """

    _is_trained_source = True  # scorers read it without training

    def __init__(
        self,
        module: nn.Module | None,
        checkpoints: Sequence[Checkpoint],
        *,
        classes: Any = None,
        outputs: OutputKind = "logits",
        criterion: nn.Module | None = None,
        n_epochs: int | None = None,
        rows: RowsFingerprint | None = None,
        net: NeuralNet | None = None,
        collate_fn: Callable[..., Any] | None = None,
        trajectory: Trajectory | None = None,
        trajectory_problem: str | None = None,
    ) -> None:
        if classes is not None and len(np.unique(classes)) < len(classes):
            raise ValueError(f"classes must be distinct; got {list(classes)}.")
        self._module = None if module is None else plain_module(module).eval()
        self.checkpoints = sorted(checkpoints, key=lambda checkpoint: checkpoint.epoch)
        self.classes_ = None if classes is None else np.asarray(classes)
        self.outputs = outputs
        self.criterion = criterion
        last = self.checkpoints[-1].epoch if self.checkpoints else 0
        if trajectory is not None:
            last = max(last, trajectory.n_epochs)
        self.n_epochs = last if n_epochs is None else n_epochs
        self.trajectory = trajectory
        self.trajectory_problem = trajectory_problem
        self.rows = rows
        self.net = net
        self.collate_fn = net_collate_fn(net) if collate_fn is None else collate_fn

    @property
    def has_module(self) -> bool:
        """Tell whether there is a network."""
        return self._module is not None

    @property
    def module(self) -> nn.Module:
        """Return the trained network, or raise if the record was made without one."""
        if self._module is None:
            raise ValueError(
                "This record holds trajectories and no network, so nothing that reads a network "
                "can be computed from it. Make it from a net, or from checkpoints."
            )
        return self._module

    def __sklearn_clone__(self) -> TrainingRecord:
        return self

    def __repr__(self) -> str:
        if self._module is None:
            return f"TrainingRecord(trajectories of {self.n_epochs} epochs)"
        epochs = [checkpoint.epoch for checkpoint in self.checkpoints]
        return f"TrainingRecord({type(self._module).__name__}, checkpoints at epochs {epochs})"

    # ------------------------------------------------------------------------------- making one

    @classmethod
    def from_fit(
        cls,
        net: NeuralNet,
        X: Any,
        y: Any = None,
        *,
        checkpoints: CheckpointSpec | CheckpointPlan = 10,
        checkpoint_dir: str | PathLike[str] | None = None,
        mode: Literal["training", "evaluation"] = "training",
        keep_logits: bool = False,
        random_state: Any = None,
        verbose: int = 0,
    ) -> TrainingRecord:
        """Train a clone of a net on every row, and keep the record.

        Parameters
        ----------
        net : skorch.NeuralNet
            A clone of it is trained; the net itself is not touched. If it carries a
            `RecordTraining`, that one decides what is recorded.
        X : array-like, tensor, DataFrame, dict of arrays, or map-style Dataset
            The training rows.
        y : array-like of shape (n_samples,), default=None
            Class labels of any type, or targets for a regressor. May be None for a Dataset that
            yields (x, y).
        checkpoints : int, {"early", "late", "all"} or list of int, default=10
            As for `RecordTraining`.
        checkpoint_dir : path-like, default=None
            As for `RecordTraining`.
        mode : {"training", "evaluation"}, default="training"
            As for `RecordTraining`.
        keep_logits : bool, default=False
            As for `RecordTraining`.
        random_state : int, RandomState or None, default=None
            Seeds initialisation, row order and dropout.
        verbose : int, default=0
            0 trains silently; otherwise the net prints what it is set to print.

        Returns
        -------
        record : TrainingRecord
            Of the finished fit.
        """
        X = check_rows(X)
        classes, targets = targets_for(net, X, y)
        return train_record(
            net,
            X,
            targets,
            classes,
            recorder=RecordTraining(checkpoints, checkpoint_dir, mode, keep_logits),
            random_state=random_state,
            verbose=verbose,
        )

    @classmethod
    def from_net(cls, net: NeuralNet, *, classes: Any = None) -> TrainingRecord:
        """Read the record of a net that you fitted with `RecordTraining` yourself.

        Parameters
        ----------
        net : skorch.NeuralNet
            Fitted, with a `RecordTraining` among its callbacks. Its module is copied.
        classes : array-like of shape (n_classes,), default=None
            What the output columns stand for; None takes the labels that the net was fitted on,
            which skorch understands as positions of columns.

        Returns
        -------
        record : TrainingRecord
            Of the net's latest fit.
        """
        if not getattr(net, "initialized_", False):
            raise NotFittedError(
                f"This {type(net).__name__} is not fitted. Fit it first, with "
                "callbacks=[RecordTraining()]."
            )
        recorder = find_recorder([callback for _, callback in net.callbacks_])
        if recorder is None or not hasattr(recorder, "checkpoints_"):
            raise ValueError(
                f"This {type(net).__name__} was fitted without a recorder, so its checkpoints are "
                "gone. Fit it with callbacks=[RecordTraining()], or pass the unfitted net."
            )
        if not is_regression(net):
            classes = classes_seen(recorder) if classes is None else np.asarray(classes)
            if classes is None:
                raise ValueError(
                    "The net does not tell which classes it was fitted on; pass classes=[...]."
                )
        return cls(
            copy.deepcopy(plain_module(net.module_)),
            recorder.checkpoints_,
            classes=classes,
            outputs=output_kind(net),
            criterion=net.criterion_,
            n_epochs=recorder.n_epochs_,
            rows=recorder.rows_,
            net=net,
            trajectory=recorder.trajectory_,
            trajectory_problem=recorder.trajectory_problem_,
        )

    @classmethod
    def from_trajectory(
        cls, trajectory: Trajectory, *, classes: Any = None, outputs: OutputKind = "logits"
    ) -> TrainingRecord:
        """Make a record, without a network, from what a training loop of your own recorded.

        Parameters
        ----------
        trajectory : Trajectory
            From a `TrajectoryRecorder`.
        classes : array-like of shape (n_classes,), default=None
            What the positions stand for; None takes the positions that occur as labels. Ignored for
            a regressor.
        outputs : {"logits", "binary_logit", "probabilities", "log_probabilities", "values"}, \
                default="logits"
            What the network returned; "values" for regression.

        Returns
        -------
        record : TrainingRecord
            For the scores that are read from trajectories.

        See Also
        --------
        sklearn_difficulty.training.TrajectoryRecorder : Collects a trajectory, with an example.
        """
        if outputs == "values":
            classes = None
        elif classes is None:
            classes = np.arange(int(trajectory.targets.max()) + 1)
        return cls(None, [], classes=classes, outputs=outputs, trajectory=trajectory)

    @classmethod
    def from_logits(cls, history: Any, y: Any, *, classes: Any = None) -> TrainingRecord:
        """Make a record, without a network, from the logits of every epoch.

        Parameters
        ----------
        history : array-like of shape (n_epochs, n_rows, n_classes)
            NaN where an epoch did not show a row.
        y : array-like of shape (n_rows,)
            The given labels, of any type.
        classes : array-like of shape (n_classes,), default=None
            What the columns stand for. None takes the positions 0, 1, ... if `y` holds these, else
            the sorted labels of `y`, which then must be as many as there are columns.

        Returns
        -------
        record : TrainingRecord
            For the scores that are read from trajectories.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_difficulty import TrainingRecord
        >>> history = np.random.default_rng(0).normal(size=(5, 100, 3))
        >>> TrainingRecord.from_logits(history, y=np.arange(100) % 3)
        TrainingRecord(trajectories of 5 epochs)
        """
        logits = np.asarray(to_numpy(history), dtype=np.float32)
        y = np.asarray(to_numpy(y))
        is_history = logits.ndim == 3 and logits.shape[2] > 1 and 0 not in logits.shape
        if not is_history or y.shape != logits.shape[1:2]:
            raise ValueError(
                "history must have the shape (n_epochs, n_rows, n_classes) with at least two "
                f"classes, and y (n_rows,); got {logits.shape} and {y.shape}."
            )
        n_classes = logits.shape[2]
        if classes is None:
            classes = classes_of_columns(y, n_classes)
        if len(classes) != n_classes:
            raise ValueError(
                f"history has {n_classes} columns, and there are {len(classes)} classes, "
                f"{list(classes[:5])} ...; pass classes=[...], one per column."
            )
        codes = codes_of(y, np.asarray(classes))
        recorder = TrajectoryRecorder(len(y), keep_logits=True)
        for epoch in logits:
            shown = np.flatnonzero(~np.isnan(epoch).any(axis=1))
            recorder.update(shown, torch.from_numpy(epoch[shown]), codes[shown])
            recorder.end_epoch()
        return cls.from_trajectory(recorder.trajectory(), classes=classes)

    @classmethod
    def from_checkpoints(
        cls,
        module: nn.Module,
        states: Iterable[Mapping[str, Any] | str | PathLike[str]],
        *,
        classes: Any = None,
        outputs: OutputKind = "logits",
        criterion: nn.Module | None = None,
        epochs: Iterable[int] | None = None,
        collate_fn: Callable[..., Any] | None = None,
        trajectory: Trajectory | None = None,
    ) -> TrainingRecord:
        """Make a record from the checkpoints of a training loop of your own.

        Parameters
        ----------
        module : torch.nn.Module
            The network; it is copied, not changed.
        states : iterable of state dict or path
            In the order of training, the final one last. Paths lead to safetensors files, or to
            files that ``torch.load(..., weights_only=True)`` can read.
        classes : array-like of shape (n_classes,), default=None
            What the output columns stand for; None for regression.
        outputs : {"logits", "binary_logit", "probabilities", "log_probabilities", "values"}, \
                default="logits"
            What the module returns; "values" for regression.
        criterion : torch.nn.Module, default=None
            The loss; None takes the usual one for such outputs.
        epochs : iterable of int, default=None
            The epoch of every state; None numbers them from 1.
        collate_fn : callable, default=None
            Joins the items of a Dataset when rows are read, as in a DataLoader.
        trajectory : Trajectory, default=None
            Of the same run, from a `TrajectoryRecorder`.

        Returns
        -------
        record : TrainingRecord
            Its module has the weights of the last state. It does not know its training rows.

        Examples
        --------
        >>> import torch
        >>> from sklearn_difficulty import TrainingRecord
        >>> module, states = torch.nn.Linear(4, 3), []
        >>> optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
        >>> for epoch in range(3):
        ...     loss = module(torch.ones(8, 4)).square().mean()
        ...     loss.backward()
        ...     optimizer.step()
        ...     states.append({k: v.clone() for k, v in module.state_dict().items()})
        >>> TrainingRecord.from_checkpoints(module, states, classes=["a", "b", "c"])
        TrainingRecord(Linear, checkpoints at epochs [1, 2, 3])
        """
        if outputs not in DEFAULT_LOSS:
            raise ValueError(f"outputs must be one of {sorted(DEFAULT_LOSS)}; got {outputs!r}.")
        if classes is None and outputs != "values":
            raise ValueError(
                "classes is None, which means regression, but outputs are "
                f"{outputs!r}. Pass classes=[...], or outputs='values' for a regressor."
            )
        if isinstance(states, Mapping):
            raise TypeError(
                "states is a single state dict; pass a list of them, one per checkpoint."
            )
        module = copy.deepcopy(plain_module(module))
        tensors = [load_state(state) for state in states]
        if not tensors:
            raise ValueError("states is empty; pass at least one state dict or file.")
        numbers = list(range(1, len(tensors) + 1)) if epochs is None else [int(e) for e in epochs]
        if len(numbers) != len(tensors) or sorted(set(numbers)) != numbers:
            raise ValueError(
                "epochs must be strictly increasing, one per state; got "
                f"{numbers} for {len(tensors)} states."
            )
        for tensor in tensors:
            refuse_prefix(tensor, module)
            module.load_state_dict(tensor)  # raises, naming the keys, if they do not fit
        first, *others = tensors
        if others and all(torch.equal(s[k], v) for s in others for k, v in first.items()):
            warnings.warn(
                f"All {len(tensors)} checkpoints are identical, so nothing that changes over "
                "training can be read from them. Did you collect state_dict() without cloning its "
                "tensors?",
                stacklevel=2,
            )
        return cls(
            module,
            [Checkpoint(e, t) for e, t in zip(numbers, tensors, strict=True)],
            classes=classes,
            outputs=outputs,
            criterion=DEFAULT_LOSS[outputs]() if criterion is None else criterion,
            collate_fn=collate_fn,
            trajectory=trajectory,
        )

    # ------------------------------------------------------------------------------ reading one

    def select(self, checkpoints: CheckpointSpec | CheckpointPlan) -> list[Checkpoint]:
        """Return the checkpoints that a specification asks for.

        Parameters
        ----------
        checkpoints : int, {"early", "late", "all"} or list of int
            As for `RecordTraining`; an int takes at most that many.

        Returns
        -------
        checkpoints : list of Checkpoint
            In order of epoch.

        Raises
        ------
        ValueError
            If the record lacks an epoch that is asked for by name.
        """
        by_epoch = {checkpoint.epoch: checkpoint for checkpoint in self.checkpoints}
        chosen = CheckpointPlan.of(checkpoints).select(by_epoch, self.n_epochs)
        return [by_epoch[epoch] for epoch in chosen]

    def targets(self, X: Rows, y: Any) -> NDArray[Any]:
        """Return label codes or regression targets for rows, read with the record's classes.

        Parameters
        ----------
        X : ndarray, dict of ndarrays or Dataset
            Checked rows.
        y : array-like or None
            Labels that the record knows, or targets; None reads those of a Dataset.

        Returns
        -------
        targets : ndarray
            Codes (n,) as int64, or float32 values (n,) or (n, n_outputs).
        """
        y = given_labels(X, y, self.collate_fn)
        return float_targets(y) if self.classes_ is None else codes_of(y, self.classes_)

    def difference(self, X: Rows, targets: NDArray[Any]) -> str | None:
        """Say in what rows differ from those that the record was trained on.

        Parameters
        ----------
        X : ndarray, dict of ndarrays or Dataset
            Checked rows.
        targets : ndarray
            Label codes or regression targets.

        Returns
        -------
        difference : str or None
            None if they are the same, or if the record does not know its rows.
        """
        if self.rows is None:
            return None
        return self.rows.difference(RowsFingerprint.of(X, targets))

    # ---------------------------------------------------------------------------------- on disk

    def save(self, directory: str | PathLike[str]) -> None:
        """Write the record: weights as safetensors, the rest as JSON, no pickle.

        Parameters
        ----------
        directory : path-like
            Made by this call, in one step; it must not exist, or be empty.
        """
        write_record(self, Path(directory))

    @classmethod
    def load(
        cls,
        directory: str | PathLike[str],
        module: nn.Module | None = None,
        *,
        criterion: nn.Module | None = None,
        collate_fn: Callable[..., Any] | None = None,
    ) -> TrainingRecord:
        """Read a record that `save` wrote.

        Parameters
        ----------
        directory : path-like
            Where it lies. Checkpoints are read from there when they are needed.
        module : torch.nn.Module, default=None
            A network of the recorded architecture; it is copied and given the recorded weights.
            Not needed for the networks of this library.
        criterion : torch.nn.Module, default=None
            The loss. Needed only to read scores of the loss from a record whose loss was not the
            usual one for such outputs with its default arguments.
        collate_fn : callable, default=None
            Joins the items of a Dataset when rows are read, as in a DataLoader.

        Returns
        -------
        record : TrainingRecord
            Without the skorch net.
        """
        return cls(**read_record(Path(directory), module, criterion), collate_fn=collate_fn)


def targets_for(net: NeuralNet, X: Rows, y: Any) -> tuple[NDArray[Any] | None, NDArray[Any]]:
    """Return the classes that a net is to learn, and what stands for y in its training.

    Parameters
    ----------
    net : NeuralNet
        Not yet trained.
    X : ndarray, dict of ndarrays or Dataset
        Checked rows.
    y : array-like or None
        None reads the labels of a Dataset.

    Returns
    -------
    classes : ndarray or None
        None for regression.
    targets : ndarray
        Codes (n,) as int64, or float32 values (n,) or (n, n_outputs).
    """
    y = given_labels(X, y, net_collate_fn(net))
    return (None, float_targets(y)) if is_regression(net) else encode_labels(y)


def train_record(
    net: NeuralNet,
    X: Rows,
    targets: NDArray[Any],
    classes: NDArray[Any] | None,
    *,
    recorder: RecordTraining,
    random_state: Any,
    verbose: int,
    needs: RecordNeeds = _NO_NEEDS,
    rehearse: Callable[[TrainingRecord, Rows, NDArray[Any]], object] | None = None,
    callbacks: Sequence[tuple[str, Callback]] = (),
    progress: Task = SILENT,
) -> TrainingRecord:
    """Train a clone of a net on checked rows and return its record.

    Parameters
    ----------
    net : NeuralNet
        Left as it is.
    X, targets, classes : ndarrays
        From `check_rows` and `targets_for`.
    recorder : RecordTraining
        Used unless the net carries one of its own.
    random_state, verbose : object
        As in `TrainingRecord.from_fit`.
    needs : RecordNeeds
        Checked before training against the recorder that the net carries.
    rehearse : callable, default=None
        Called before the first epoch with a record of the untrained network, two rows and their
        targets: what cannot be read should be refused before hours of training.
    callbacks : sequence of (str, Callback)
        Join the net's own for the length of this fit.
    progress : Task
        Gets one subtask per epoch.

    Returns
    -------
    record : TrainingRecord
        Of the finished fit.
    """

    def rehearsal(net: NeuralNet) -> None:
        if rehearse is not None:
            untrained = TrainingRecord(
                net.module_,
                [Checkpoint(0, copy_state(net.module_))],
                classes=classes,
                outputs=output_kind(net),
                criterion=net.criterion_,
                net=net,
            )
            rehearse(untrained, take_rows(X, slice(2)), targets[:2])

    net = training_clone(net, recorder, verbose=verbose)
    recorder = find_recorder(net.callbacks) or recorder
    needs.check_plan(recorder, net.max_epochs)
    train(
        net,
        X,
        targets,
        classes=classes,
        seed=draw_seed(random_state),
        before_training=rehearsal,
        callbacks=callbacks,
        progress=progress,
    )
    rows, trajectory = recorder.rows_, recorder.trajectory_
    if is_dataset(X):
        # The recorder sees a Dataset through the wrapper that holds its labels.
        rows = RowsFingerprint.of(X, targets)
        trajectory = None if trajectory is None else replace(trajectory, rows=rows)
    return TrainingRecord(
        copy.deepcopy(plain_module(net.module_)),
        recorder.checkpoints_,
        classes=classes,
        outputs=output_kind(net),
        criterion=net.criterion_,
        n_epochs=recorder.n_epochs_,
        rows=rows,
        net=net,
        trajectory=trajectory,
        trajectory_problem=recorder.trajectory_problem_,
    )
