# SPDX-License-Identifier: BSD-3-Clause
"""What collects a trajectory from the batches of a training loop."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from .._parameters import check_parameters
from .._warnings import warn_caller
from ..networks.heads import Head, OutputKind, head_named
from .row_names import RowNames, numbers_of, outputs_of, positions, refuse_unknown_positions
from .trajectory import Trajectory

__all__ = ["TrajectoryRecorder"]
_PENDING_BYTES = 2**26
_MEANS = ("probability", "margin", "loss", "el2n")


class TrajectoryRecorder:
    """Collects a `Trajectory` from the batches of a training loop.

    Call `update` with what the loop has at hand anyway, and `end_epoch` after every epoch. Nothing
    is computed per batch: outputs are put aside, and reduced together once per epoch (or when 64 MB
    are waiting), on the device where they are.

    Parameters
    ----------
    n_rows : int
        Rows of the training set.
    ids : array-like of shape (n_rows,), default=None
        What `update` calls the rows, where that is not 0 to ``n_rows - 1``: file names, keys of a
        database, any hashable values, each once. Row i of the trajectory is ``ids[i]``, so name
        them in the order that the rows of X and y have when a scorer is fitted on the record.
    outputs : {"logits", "binary_logit", "probabilities", "log_probabilities", "values"}, \
            default="logits"
        What the network returns.
    keep_logits : bool, default=False
        Keep all logits of every epoch too: 4 bytes per epoch, row and class.
    mode : {"training", "evaluation"}, default="training"
        Noted in the trajectory: whether the outputs come from the training pass itself.

    See Also
    --------
    RecordTraining : Does this for skorch nets.
    TrainingRecord.from_trajectory : What scorers read.

    Examples
    --------
    >>> import torch
    >>> from sklearn_difficulty.training import TrajectoryRecorder
    >>> X, y = torch.randn(100, 4), torch.randint(3, (100,))
    >>> module = torch.nn.Linear(4, 3)
    >>> optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    >>> recorder = TrajectoryRecorder(n_rows=100)
    >>> for epoch in range(5):
    ...     for ids in torch.randperm(100).split(20):
    ...         logits = module(X[ids])
    ...         optimizer.zero_grad()
    ...         torch.nn.functional.cross_entropy(logits, y[ids]).backward()
    ...         _ = optimizer.step()
    ...         recorder.update(ids, logits, y[ids])
    ...     recorder.end_epoch()
    >>> recorder.trajectory().probability.shape
    (5, 100)
    """

    def __init__(
        self,
        n_rows: int,
        *,
        ids: Any = None,
        outputs: OutputKind = "logits",
        keep_logits: bool = False,
        mode: Literal["training", "evaluation"] = "training",
    ) -> None:
        if isinstance(n_rows, bool) or not isinstance(n_rows, (int, np.integer)) or n_rows < 1:
            raise ValueError(f"n_rows must be an integer of at least 1; got {n_rows!r}.")
        check_parameters("TrajectoryRecorder", keep_logits=(keep_logits, ["boolean"]))
        self.n_rows = int(n_rows)
        self.ids = ids
        self._row_names = None if ids is None else RowNames(ids, self.n_rows)
        self.outputs = outputs
        self._head = head_named(outputs)
        self.keep_logits = keep_logits
        self.mode = mode
        self._epochs: list[dict[str, NDArray[Any]]] = []
        self._targets: torch.Tensor | None = None
        self._expected: torch.Tensor | None = None
        self._start_epoch()

    def update(self, ids: Any, outputs: Any, labels: Any) -> None:
        """Take in a batch.

        Parameters
        ----------
        ids : array-like of shape (n,)
            Which rows of the training set the batch holds, counted from 0; values of `ids`, if
            these were given.
        outputs : Tensor or array-like of shape (n, ...)
            What the network returned for them; a copy is put aside.
        labels : Tensor or array-like of shape (n,)
            Their labels as positions of output columns; targets for a regressor.

        Raises
        ------
        ValueError
            If shapes do not fit, or ids are not known. Labels that are no position, or that differ
            from those that the same row came with before, are refused too, but, after the first
            batch, only when the epoch ends.
        """
        outputs, labels = numbers_of(outputs_of(outputs), "outputs"), numbers_of(labels, "labels")
        ids = positions(ids, self.n_rows) if self._row_names is None else self._row_names.find(ids)
        if not outputs.is_floating_point():
            outputs = outputs.float()
        if outputs.ndim == 0 or labels.ndim == 0:
            raise ValueError("outputs and labels must have one entry per row, not be one number.")
        if len(ids) != len(outputs) or not has_labels(self._head, outputs, labels):
            is_soft = (
                labels.shape == outputs.shape and labels.ndim > 1 and not self._head.is_regression
            )
            if self._head.name == "logits" and outputs.shape[1:].numel() == 1 and len(outputs):
                raise ValueError(
                    f"outputs of shape {tuple(outputs.shape)} are one number a row, and logits are "
                    "one per class. If it is the logit of the second of two classes, pass "
                    "outputs='binary_logit' to TrajectoryRecorder; outputs='values' if it is what "
                    "a regressor predicts."
                )
            raise ValueError(
                f"A batch has {len(ids)} ids, outputs of shape {tuple(outputs.shape)} and labels "
                f"of shape {tuple(labels.shape)}; it needs one id and one label per output"
                f"{', such as labels.argmax(dim=1) of one-hot labels' if is_soft else ''}."
            )
        # Later, and where that would wait for a GPU, all batches are looked at together.
        if not self._epochs and not ids.is_cuda:
            refuse_unknown_positions(ids, self.n_rows)
        if self._targets is None and not self._pending:
            self._head.labels(labels, outputs)  # raises for what is no label
        # Copies: a slice would keep the whole output alive, and a loop may reuse its buffers.
        self._pending.append((ids.clone(), outputs.clone(), labels.clone()))
        self._pending_bytes += outputs.nbytes
        if self._pending_bytes > _PENDING_BYTES:
            self._flush()

    def end_epoch(self) -> None:
        """Close the epoch.

        Raises
        ------
        ValueError
            If labels are no positions of output columns, or a row changed its label.
        """
        self._flush()
        seen = self._count > 0
        means = (self._sums / self._count).float()
        epoch = {name: means[i].cpu().numpy() for i, name in enumerate(_MEANS)}
        epoch["predicted"] = self._predicted.int().cpu().numpy()
        epoch["count"] = self._count.int().cpu().numpy()
        if self._logits is not None:
            self._logits[~seen.cpu()] = torch.nan
            epoch["logits"] = self._logits.numpy()
        self._epochs.append(epoch)
        self._start_epoch()

    def trajectory(self) -> Trajectory:
        """Return what was collected in the epochs that are closed.

        Returns
        -------
        trajectory : Trajectory
            Rows that were never shown are NaN throughout, with target -1 (NaN for a regressor).

        Raises
        ------
        ValueError
            If no epoch is closed.

        Warns
        -----
        UserWarning
            If no batch was recorded.
        """
        if not self._epochs:
            raise ValueError("No epoch has been closed; call end_epoch() after each.")
        history: dict[str, Any] = {
            name: np.stack([epoch[name] for epoch in self._epochs])
            for name in (*_MEANS, "predicted", "count")
        }
        if self._targets is None:
            warn_caller(
                "No batch was recorded, so that nothing is known of any row. Only the part of one "
                "of several processes may be so; merge_trajectories takes it with the others."
            )
            filling = np.nan if self._head.is_regression else -1
            return Trajectory(**history, targets=np.full(self.n_rows, filling), mode=self.mode)
        if self.keep_logits:
            logits = [epoch.get("logits") for epoch in self._epochs]
            missing = np.full_like(next(z for z in logits if z is not None), np.nan)
            # An epoch without a batch has none.
            history["logits"] = np.stack([missing if z is None else z for z in logits])
        targets = self._targets.numpy().copy()  # the next epochs write to their own
        return Trajectory(**history, targets=targets, mode=self.mode)

    @torch.inference_mode(False)  # so that a later flush, elsewhere, may write to the sums
    def _start_epoch(self, device: Any = "cpu") -> None:
        """Begin with empty sums."""
        n = self.n_rows
        self._pending: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        self._pending_bytes = 0
        self._sums = torch.zeros(len(_MEANS), n, dtype=torch.float64, device=device)
        self._count = torch.zeros(n, dtype=torch.float32, device=device)
        self._predicted = torch.full((n,), -1, device=device)
        self._logits: torch.Tensor | None = None

    @torch.inference_mode(False)
    def _flush(self) -> None:
        """Reduce the outputs that wait, all in one go."""
        if not self._pending:
            return
        ids, outputs, labels = (torch.cat(parts) for parts in zip(*self._pending, strict=True))
        self._pending, self._pending_bytes = [], 0
        refuse_unknown_positions(ids, self.n_rows)
        ids, labels = ids.to(outputs.device), labels.to(outputs.device)
        if self._sums.device != outputs.device:
            self._start_epoch(outputs.device)
        labels = self._head.labels(labels, outputs)
        means, logits = self._head.row_statistics(outputs, labels)
        self._sums.index_add_(1, ids, means.double())
        self._count.index_add_(0, ids, torch.ones_like(ids, dtype=torch.float32))
        # Of rows that come several times, the last: scattering would take any of them.
        order = torch.arange(len(ids), device=ids.device)
        last = torch.full((self.n_rows,), -1, device=ids.device)
        last.scatter_reduce_(0, ids, order, "amax")
        shown = torch.nonzero(last >= 0)[:, 0]
        at = last[shown]
        if not self._head.is_regression:
            predicted = logits[at].argmax(dim=1)
            # Of logits that are NaN there is no largest one.
            self._predicted[shown] = predicted.where(~means[0, at].isnan(), -1)
        if self.keep_logits:
            if self._logits is None:
                self._logits = torch.empty(
                    self.n_rows, logits.shape[1], dtype=torch.float32, device="cpu"
                )
            self._logits[shown.cpu()] = logits[at].to(self._logits)
        self._note_targets(shown.cpu(), labels[at].cpu())

    def expect(self, targets: Any) -> None:
        """Name the labels of all rows, so that `end_epoch` refuses others.

        Parameters
        ----------
        targets : array-like of shape (n_rows,)
            Positions of output columns; numbers for a regressor.
        """
        labels = numbers_of(targets, "targets")
        is_one_each = self._head.is_regression or labels.numel() == self.n_rows
        if labels.shape[:1] != (self.n_rows,) or not is_one_each:
            raise ValueError(
                f"targets must hold {self.n_rows} labels, one per row; their shape is "
                f"{tuple(labels.shape)}."
            )
        self._expected = labels.float() if self._head.is_regression else labels.flatten().long()

    def _note_targets(self, rows: torch.Tensor, labels: torch.Tensor) -> None:
        """Keep the labels of rows, and refuse others than those that they came with before."""
        if self._targets is None:
            filling = torch.nan if labels.is_floating_point() else -1
            self._targets = labels.new_full((self.n_rows, *labels.shape[1:]), filling)
        before = self._targets[rows]
        if self._expected is not None:
            if self._expected.numel() != self._targets.numel():
                raise ValueError(
                    f"targets of shape {tuple(self._expected.shape)} were named for all rows, and "
                    f"a row comes with labels of shape {tuple(labels.shape[1:])}."
                )
            before = self._expected.reshape(self._targets.shape)[rows]
        unknown = before.isnan() if labels.is_floating_point() else before < 0
        changed = torch.nonzero(~unknown & (before != labels))
        if len(changed):
            raise ValueError(
                f"row {int(rows[changed[0, 0]])} comes with another label than before or in y: "
                "labels are random, or collate_fn changes the order of the rows"
            )
        self._targets[rows] = labels


def has_labels(head: Head, outputs: torch.Tensor, labels: Any) -> bool:
    """Tell whether outputs have the shape of their kind, and there is a label for each."""
    return (
        isinstance(labels, torch.Tensor)
        and len(labels) == len(outputs)
        and head.fits(outputs, labels)
    )
