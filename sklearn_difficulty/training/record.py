# SPDX-License-Identifier: BSD-3-Clause
"""TrainingRecord: what a fit left behind, from which many scores are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skorch import NeuralNet
from torch import nn

from .._arrays import as_labels, as_numbers
from .._parameters import check_parameters
from ..networks.forward import plain_module
from ..networks.heads import Head, OutputKind, head_named
from ..rows.identity import RowsFingerprint
from ..rows.labels import codes_of, float_targets
from ..rows.rows import Rows, as_rows
from .checkpoints import Checkpoint, CheckpointPlan, CheckpointSpec
from .fit import fit_network
from .record_files import write_parts
from .record_parts import RecordParts
from .record_sources import RecordSources
from .requirements import RecordNeeds
from .skorch_net import StandsForNet, frozen_net
from .skorch_net import collate_fn as net_collate_fn
from .trajectory import Trajectory

__all__ = ["TrainingRecord"]


class TrainingRecord(RecordSources):
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
    >>> logit.record_ is loss.record_  # nothing was trained again
    True
    >>> record.trajectory.probability[[0, 9, 19], 0].round(2)  # of the first label
    array([0.27, 1.  , 1.  ], dtype=float32)
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
        check_parameters(
            "TrainingRecord",
            module=(module, [nn.Module, None]),
            checkpoints=(checkpoints, [list, tuple]),
            n_epochs=(n_epochs, [Integral, None]),
            net=(net, [NeuralNet, None]),
            trajectory=(trajectory, [Trajectory, None]),
        )
        for checkpoint in checkpoints:
            check_parameters("TrainingRecord", checkpoints=(checkpoint, [Checkpoint]))
        classes = None if classes is None else as_labels(classes, "classes")
        if classes is not None and len(np.unique(classes)) < len(classes):
            raise ValueError(f"classes must be distinct; got {list(classes)}.")
        self._module = None if module is None else plain_module(module).eval()
        self.checkpoints = sorted(checkpoints, key=lambda checkpoint: checkpoint.epoch)
        self.classes_ = classes
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
        X : array-like, tensor, dict of arrays, or Dataset
            Rows of the kind that the record was trained on.
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
        X : array-like, tensor, dict of arrays, or Dataset
            Rows of the kind that the record was trained on.
        targets : ndarray
            Label codes or regression targets.

        Returns
        -------
        difference : str or None
            None if they are the same, or if the record does not know its rows.
        """
        targets = as_numbers(targets, "targets")
        if targets.ndim == 0 or len(targets) == 0:
            raise ValueError("targets must hold a label for every row.")
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
            Made by this call, in one step; it must not exist, or be empty. A process that is
            killed meanwhile leaves a hidden folder ``.NAME-xxxxxxxx.part`` beside it, which is
            never read, and which the next call with the same `directory` removes.

        Raises
        ------
        ValueError
            If the trajectory contradicts itself, the classes or the number of epochs.
        """
        check_parameters("save", directory=(directory, [str, PathLike]))
        write_parts(self._parts(), Path(directory))


def frozen_record(estimator: Any) -> TrainingRecord | None:
    """Return the record of the training inside a FrozenEstimator, None of something else."""
    net = frozen_net(estimator)
    if net is None:
        return None
    held = estimator.estimator
    return held.record_ if isinstance(held, StandsForNet) else TrainingRecord.from_net(net)


def train_record(
    *args: Any,
    rehearse: Callable[[TrainingRecord, Rows, NDArray[Any]], object] | None = None,
    **settings: Any,
) -> TrainingRecord:
    """Return the record of `fit_network`; `rehearse` gets a record of the untrained net."""

    def rehearsal(parts: RecordParts, X: Rows, targets: NDArray[Any]) -> None:
        if rehearse is not None:
            rehearse(TrainingRecord._of(parts), X, targets)

    return TrainingRecord._of(fit_network(*args, rehearse=rehearsal, **settings))
