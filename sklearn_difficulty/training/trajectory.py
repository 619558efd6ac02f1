# SPDX-License-Identifier: BSD-3-Clause
"""What a training run said about every row in every epoch, and what collects it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..rows.identity import RowsFingerprint
from ..rows.rows import Rows, as_rows

__all__ = ["Trajectory"]


@dataclass(frozen=True, eq=False, repr=False)
class Trajectory:
    """Per row and epoch: how sure, by how much, at what loss, and of which class.

    Row i is row i of what was trained on, whatever the order of the batches. Epochs are counted
    from 1 at position 0. Rows that an epoch did not show are NaN, and -1 in `predicted`.

    Parameters
    ----------
    probability : ndarray of shape (n_epochs, n_rows), float32
        Of the given label, in [0, 1].
    margin : ndarray of shape (n_epochs, n_rows), float32
        Logit of the given label less the largest other logit.
    loss : ndarray of shape (n_epochs, n_rows), float32
        Cross-entropy in nats, whatever the network was trained with; for a regressor the squared
        error, summed over its outputs.
    el2n : ndarray of shape (n_epochs, n_rows), float32
        Euclidean length of the vector of probabilities less the one-hot label, at most the square
        root of 2.
    predicted : ndarray of shape (n_epochs, n_rows), int32
        Position of the largest logit.
    count : ndarray of shape (n_epochs, n_rows), int32
        How often the epoch showed the row. The floats are means over these times; `predicted` and
        `logits` are from the last time.
    targets : ndarray of shape (n_rows,)
        The given labels as positions, -1 for a row that was never shown; floats for a regressor.
    mode : {"training", "evaluation"}, default="training"
        Whether the values are those of the training pass itself (in train mode, from weights that
        changed from batch to batch), or of an ordered pass in eval mode after every epoch.
    logits : ndarray of shape (n_epochs, n_rows, n_classes), default=None
        All logits, if they were kept.
    rows : RowsFingerprint, default=None
        Of the rows and labels; None if unknown.

    See Also
    --------
    TrajectoryRecorder : Collects one.
    sklearn_difficulty.TrainingDynamicsScorer : Reads one.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn_difficulty import TrainingRecord
    >>> from sklearn_difficulty.training import default_network
    >>> X, y = load_wine(return_X_y=True)
    >>> record = TrainingRecord.from_fit(
    ...     default_network(X, y), X, y, random_state=0
    ... )
    >>> record.trajectory.probability.shape  # 20 epochs, 178 rows
    (20, 178)
    """

    probability: NDArray[np.float32]
    margin: NDArray[np.float32]
    loss: NDArray[np.float32]
    el2n: NDArray[np.float32]
    predicted: NDArray[np.int32]
    count: NDArray[np.int32]
    targets: NDArray[Any]
    mode: Literal["training", "evaluation"] = "training"
    logits: NDArray[np.float32] | None = None
    rows: RowsFingerprint | None = None

    def __post_init__(self) -> None:
        shape = getattr(self.count, "shape", ())
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in ("mode", "rows") or (field.name == "logits" and value is None):
                continue
            kinds = "iu" if field.name == "predicted" else "iuf"
            # Masks, and the shapes of matrices, would get lost.
            is_array = type(value) in (np.ndarray, np.memmap) and value.dtype.kind in kinds
            of_epochs = field.name != "targets"
            expected = shape if of_epochs else shape[1:]
            n_axes = {"targets": value.ndim, "logits": 3}.get(field.name, 2) if is_array else 0
            is_shaped = len(shape) == 2 and is_array and value.ndim == n_axes
            if not is_shaped or value.shape[: len(expected)] != expected:
                raise ValueError(
                    f"{field.name} of a Trajectory must be an array of "
                    f"{'integers' if kinds == 'iu' else 'numbers'}, of shape "
                    f"{'(n_epochs, n_rows)' if of_epochs else '(n_rows,)'} = {expected}; got "
                    f"{type(value).__name__} of {getattr(value, 'dtype', 'no dtype')} and shape "
                    f"{getattr(value, 'shape', ())}."
                )

    def __repr__(self) -> str:
        logits = "" if self.logits is None else f", logits of {self.logits.shape[2]} columns"
        return f"Trajectory({self.n_epochs} epochs of {self.n_rows} rows, {self.mode}{logits})"

    @property
    def n_epochs(self) -> int:
        """Return the number of epochs."""
        return len(self.count)

    @property
    def n_rows(self) -> int:
        """Return the number of rows."""
        return len(self.targets)

    def difference(self, X: Rows, targets: NDArray[Any]) -> str | None:
        """Say in what rows differ from the recorded ones, or None if they do not.

        Parameters
        ----------
        X : array-like, tensor, dict of arrays, or Dataset
            Rows of the kind that were recorded.
        targets : ndarray
            Label codes or regression targets.

        Returns
        -------
        difference : str or None
            Judged by number and labels alone if the rows themselves are unknown.
        """
        if self.rows is not None:
            return self.rows.difference(as_rows(X).identity(targets))
        if len(targets) != self.n_rows:
            return f"{len(targets)} rows instead of {self.n_rows}"
        shown = (self.count > 0).any(axis=0)
        recorded, given = (np.reshape(y, (self.n_rows, -1))[shown] for y in (self.targets, targets))
        return None if np.array_equal(recorded, given) else "other labels"
