# SPDX-License-Identifier: BSD-3-Clause
"""TrainingRecord: what a fit left behind, from which many scores are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from skorch import NeuralNet
from torch import nn

from ..networks.forward import plain_module
from ..networks.heads import Head, OutputKind, head_named
from ..rows.identity import RowsFingerprint
from ..rows.labels import codes_of, float_targets
from ..rows.rows import Rows, as_rows
from .checkpoints import (
    Checkpoint,
    CheckpointPlan,
    CheckpointSpec,
)
from .fit import fit_network, targets_for
from .record_files import read_parts, write_parts
from .record_parts import (
    RecordParts,
    module_and_checkpoints,
    parts_of_net,
    trajectory_of_logits,
    usual_loss,
)
from .recorder import RecordTraining
from .requirements import RecordNeeds
from .skorch_net import collate_fn as net_collate_fn
from .trajectory import Trajectory

__all__ = ["TrainingRecord"]


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
        self.outputs = head_named(outputs).name
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

    @classmethod
    def _of(cls, parts: RecordParts) -> TrainingRecord:
        """Return a record of what a fit, or a file, holds."""
        return cls(**vars(parts))

    def _parts(self) -> RecordParts:
        """Return what is written to disk."""
        return RecordParts(
            self._module,
            self.checkpoints,
            classes=self.classes_,
            outputs=self.outputs,
            criterion=self.criterion,
            n_epochs=self.n_epochs,
            rows=self.rows,
            trajectory=self.trajectory,
            trajectory_problem=self.trajectory_problem,
        )

    @property
    def head(self) -> Head:
        """Return what follows from the kind of outputs."""
        return head_named(self.outputs)

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
        X = as_rows(X, collate_fn=net_collate_fn(net))
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
        return cls._of(parts_of_net(net, classes))

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
        if head_named(outputs).is_regression:
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
        trajectory, classes = trajectory_of_logits(history, y, classes)
        return cls.from_trajectory(trajectory, classes=classes)

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
        criterion = usual_loss(outputs, classes, criterion)
        return cls(
            *module_and_checkpoints(module, states, epochs),
            classes=classes,
            outputs=outputs,
            criterion=criterion,
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

    def require(self, needs: RecordNeeds) -> None:
        """Raise a ValueError that says which setting was missing when the record was made.

        Parameters
        ----------
        needs : RecordNeeds
            What is to be read.
        """
        needs.check_checkpoints(
            [checkpoint.epoch for checkpoint in self.checkpoints],
            self.n_epochs,
            f"the record offers {{}} of the {self.n_epochs} epochs that ran",
            strict=False,
        )
        if needs.mode is None:
            return
        if self.trajectory is None:
            why = f": {self.trajectory_problem}" if self.trajectory_problem else ""
            raise ValueError(
                f"This score is read from trajectories, and the record holds none{why}. Train with "
                "TrainingRecord.from_fit or RecordTraining, on a DataLoader."
            )
        needs.check_recording(self.trajectory.mode, self.trajectory.logits is not None)

    def targets(self, X: Rows, y: Any) -> NDArray[Any]:
        """Return label codes or regression targets for rows, read with the record's classes.

        Parameters
        ----------
        X : Rows
            To be read.
        y : array-like or None
            Labels that the record knows, or targets; None reads those of a Dataset.

        Returns
        -------
        targets : ndarray
            Codes (n,) as int64, or float32 values (n,) or (n, n_outputs).
        """
        y = as_rows(X, collate_fn=self.collate_fn).given_labels(y)
        return float_targets(y) if self.classes_ is None else codes_of(y, self.classes_)

    def difference(self, X: Rows, targets: NDArray[Any]) -> str | None:
        """Say in what rows differ from those that the record was trained on.

        Parameters
        ----------
        X : Rows
            To be read.
        targets : ndarray
            Label codes or regression targets.

        Returns
        -------
        difference : str or None
            None if they are the same, or if the record does not know its rows.
        """
        if self.rows is None:
            return None
        rows = as_rows(X, collate_fn=self.collate_fn)
        return self.rows.difference(rows.identity(targets))

    # ---------------------------------------------------------------------------------- on disk

    def save(self, directory: str | PathLike[str]) -> None:
        """Write the record: weights as safetensors, the rest as JSON, no pickle.

        Parameters
        ----------
        directory : path-like
            Made by this call, in one step; it must not exist, or be empty.
        """
        write_parts(self._parts(), Path(directory))

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
        parts = read_parts(Path(directory), module, criterion)
        return cls._of(replace(parts, collate_fn=collate_fn))


def train_record(
    *args: Any,
    rehearse: Callable[[TrainingRecord, Rows, NDArray[Any]], object] | None = None,
    **settings: Any,
) -> TrainingRecord:
    """Return the record of a fit; arguments as for `fit_network`.

    `rehearse` gets a record of the untrained network, to refuse early what cannot be read from it.
    """

    def rehearsal(parts: RecordParts, X: Rows, targets: NDArray[Any]) -> None:
        if rehearse is not None:
            rehearse(TrainingRecord._of(parts), X, targets)

    return TrainingRecord._of(fit_network(*args, rehearse=rehearsal, **settings))
