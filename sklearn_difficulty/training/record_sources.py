# SPDX-License-Identifier: BSD-3-Clause
"""Where a TrainingRecord comes from: a fit, a fitted net, a training loop of the user's, a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from skorch import NeuralNet
from torch import nn

from .._parameters import check_parameters
from ..networks.heads import OutputKind, head_named
from ..rows.rows import as_rows
from .bare_modules import refuse_bare_module
from .checkpoints import CheckpointPlan, CheckpointSpec
from .default import untrained_net
from .fit import fit_network, targets_for
from .record_files import read_parts
from .record_parts import (
    RecordParts,
    module_and_checkpoints,
    parts_of_net,
    trajectory_of_logits,
    usual_loss,
)
from .recorder import RecordTraining
from .skorch_net import UNTRAINED_TYPES, StandsForNet, columns_of, warn_of_seen_rows
from .skorch_net import collate_fn as net_collate_fn
from .trainings_elsewhere import TrainingsElsewhere
from .trajectory import Trajectory
from .trajectory_recorder import TrajectoryRecorder


class RecordSources(TrainingsElsewhere):
    """The constructors of `TrainingRecord`, whose own takes the parts one by one."""

    @classmethod
    def _of(cls, parts: RecordParts) -> Self:
        """Return a record of what a fit, or a file, holds."""
        return cls(**vars(parts))

    @classmethod
    def from_fit(
        cls,
        net: NeuralNet | StandsForNet,
        X: Any,
        y: Any = None,
        *,
        checkpoints: CheckpointSpec | CheckpointPlan = 10,
        checkpoint_dir: str | PathLike[str] | None = None,
        mode: Literal["training", "evaluation"] = "training",
        keep_logits: bool = False,
        random_state: Any = None,
        verbose: int = 0,
    ) -> Self:
        """Train a clone of a net on every row, and keep the record.

        Parameters
        ----------
        net : skorch.NeuralNet or DistilledClassifier
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
        refuse_bare_module(net, "net", "from_fit")
        check_parameters(
            "from_fit",
            net=(net, [*UNTRAINED_TYPES]),
            checkpoint_dir=(checkpoint_dir, [str, PathLike, None]),
            keep_logits=(keep_logits, ["boolean"]),
            random_state=(random_state, ["random_state"]),
            verbose=(verbose, ["verbose"]),
        )
        X = as_rows(X, collate_fn=net_collate_fn(net), columns=columns_of(net))
        net = untrained_net(net, X, y, cls)
        warn_of_seen_rows(net)
        classes, targets = targets_for(net, X, y)
        parts = fit_network(
            net,
            X,
            targets,
            classes,
            recorder=RecordTraining(checkpoints, checkpoint_dir, mode, keep_logits),
            random_state=random_state,
            verbose=verbose,
        )
        return cls._of(parts)

    @classmethod
    def from_net(cls, net: NeuralNet, *, classes: Any = None) -> Self:
        """Read the record of a net that you fitted with `RecordTraining` yourself.

        Parameters
        ----------
        net : skorch.NeuralNet
            Fitted, with a `RecordTraining` among its callbacks. Its module is copied. A callback
            may have stopped the fit early; one that ended with an error is refused.
        classes : array-like of shape (n_classes,), default=None
            What the output columns stand for; None takes the labels that the net was fitted on,
            which skorch understands as positions of columns.

        Returns
        -------
        record : TrainingRecord
            Of the net's latest fit.
        """
        check_parameters("from_net", net=(net, [NeuralNet]))
        return cls._of(parts_of_net(net, classes))

    @classmethod
    def from_trajectory(
        cls,
        trajectory: Trajectory | TrajectoryRecorder,
        *,
        classes: Any = None,
        outputs: OutputKind = "logits",
    ) -> Self:
        """Make a record, without a network, from what a training loop of your own recorded.

        Parameters
        ----------
        trajectory : Trajectory or TrajectoryRecorder
            What the recorder collected, or the recorder itself, of the epochs that are closed.
        classes : array-like of shape (n_classes,), default=None
            What the positions stand for; None takes the positions up to the largest that occurs, as
            a label or as a prediction. Ignored for a regressor.
        outputs : {"logits", "binary_logit", "probabilities", "log_probabilities", "values"}, \
                default="logits"
            What the network returned; "values" for regression. A recorder knows it.

        Returns
        -------
        record : TrainingRecord
            For the scores that are read from trajectories. Nothing else of the rows is read, so
            that ``fit(None, y)`` of the scorers will do.

        See Also
        --------
        sklearn_difficulty.training.TrajectoryRecorder : Collects a trajectory, with an example.
        """
        kinds = [Trajectory, TrajectoryRecorder]
        check_parameters("from_trajectory", trajectory=(trajectory, kinds))
        if isinstance(trajectory, TrajectoryRecorder):
            outputs, trajectory = trajectory.outputs, trajectory.trajectory()
        if head_named(outputs).is_regression:
            classes = None
        elif classes is None:
            largest = max(
                trajectory.targets.max(initial=0), int(trajectory.predicted.max(initial=0))
            )
            if trajectory.targets.dtype.kind not in "iu" or largest > np.iinfo(np.int32).max:
                raise ValueError("targets of the trajectory are no positions of classes.")
            classes = np.arange(int(largest) + 1)
        return cls(None, [], classes=classes, outputs=outputs, trajectory=trajectory)

    @classmethod
    def from_logits(cls, history: Any, y: Any, *, classes: Any = None) -> Self:
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
    @torch.inference_mode(False)  # with weights made in it, nothing could be differentiated
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
    ) -> Self:
        """Make a record from the checkpoints of a training loop of your own.

        Parameters
        ----------
        module : torch.nn.Module
            The network; it is copied, not changed.
        states : iterable of state dict or path
            In the order of training, the final one last. Paths lead to safetensors files, to files
            of ``torch.save``, or to folders of Hugging Face models. A file may hold more than the
            network: of the checkpoints of Lightning, timm, DDP and most loops, the part with the
            names and shapes of `module` is taken, a prefix left out; the weights themselves rather
            than their moving average ("ema"). Nothing but tensors is read, so that no code of a
            file runs. The file is read again when it is needed, and refused if it has changed.
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
        check_parameters(
            "from_checkpoints",
            module=(module, [nn.Module]),
            states=(states, [Iterable]),
            epochs=(epochs, [Iterable, None]),
            collate_fn=(collate_fn, [callable, None]),
        )
        criterion = usual_loss(outputs, classes, criterion)
        return cls(
            *module_and_checkpoints(module, states, epochs),
            classes=classes,
            outputs=outputs,
            criterion=criterion,
            collate_fn=collate_fn,
            trajectory=trajectory,
        )

    @classmethod
    def load(
        cls,
        directory: str | PathLike[str],
        module: nn.Module | None = None,
        *,
        criterion: nn.Module | None = None,
        collate_fn: Callable[..., Any] | None = None,
    ) -> Self:
        """Read a record that `save` wrote.

        Parameters
        ----------
        directory : path-like
            Where it lies. Every file is compared with its digest, now, and the checkpoints again
            when they are needed.
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
        check_parameters(
            "load",
            directory=(directory, [str, PathLike]),
            criterion=(criterion, [nn.Module, None]),
            collate_fn=(collate_fn, [callable, None]),
        )
        parts = read_parts(Path(directory), module, criterion)
        return cls._of(replace(parts, collate_fn=collate_fn))
