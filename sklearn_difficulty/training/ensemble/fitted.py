# SPDX-License-Identifier: BSD-3-Clause
"""FittedMembers: what a fitted ensemble keeps of its members, and what it says from that."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted, validate_data

from ..._randomness import alone
from ...networks.copying import copied_module
from ...networks.probabilities import probabilities
from ...rows.labels import codes_of
from ...rows.rows import Rows, as_rows
from ..record import TrainingRecord
from ..skorch_net import collate_fn
from .member import READOUT, STATE, Arrays


class FittedMembers:
    """The part of an ensemble that is read; attributes are those of `ResampledEnsemble`."""

    masks_: NDArray[np.bool_]
    classes_: NDArray[Any]
    estimator_: Any
    keep_members: bool
    _template: TrainingRecord | None  # of an untrained member, whose weights are exchanged

    def _keep(self, members: Sequence[Arrays]) -> None:
        """Set the attributes that hold what is kept of the members."""
        self.predictions_ = np.stack([m["predictions"] for m in members])
        self.given_probability_ = np.stack([m["given_probability"] for m in members])
        self.held_out_probability_ = [m["held_out_probability"] for m in members]
        self.mean_held_out_probability_ = [m["held_out_mean"] for m in members]
        self.readout_ = _joined_readouts(members)
        self._states = [
            {name: torch.from_numpy(array) for name, array in _unprefixed(m, STATE).items()}
            for m in members
        ]
        if self.keep_members:
            self.record(0)  # now rather than when it is needed

    def out_of_sample_probability(
        self, average: Literal["epochs", "last"] = "epochs"
    ) -> NDArray[np.float32]:
        """Return class probabilities of every row from the members that were not trained on it.

        Parameters
        ----------
        average : {"epochs", "last"}, default="epochs"
            Over the members and all epochs of their training, or over the members as they were in
            the end. Averaged over epochs, wrong labels show even if the networks memorise.

        Returns
        -------
        probability : ndarray of shape (n_samples, n_classes), float32
            Rows sum to 1; NaN for rows that were never held out.
        """
        check_is_fitted(self)
        if not isinstance(average, str) or average not in ("epochs", "last"):
            raise ValueError(f"average must be 'epochs' or 'last'; got {average!r}.")
        parts = (
            self.mean_held_out_probability_ if average == "epochs" else self.held_out_probability_
        )
        total = np.zeros((self.masks_.shape[1], len(self.classes_)))
        for mask, part in zip(self.masks_, parts, strict=True):
            total[~mask] += part
        n_votes = (~self.masks_).sum(axis=0)[:, None]
        return np.divide(total, n_votes, out=np.full_like(total, np.nan), where=n_votes > 0).astype(
            np.float32
        )

    @property
    def has_members(self) -> bool:
        """Tell whether the members' weights are there."""
        return getattr(self, "_template", None) is not None

    def record(self, k: int) -> TrainingRecord:
        """Return the record of one member.

        Parameters
        ----------
        k : int
            Its number.

        Returns
        -------
        record : TrainingRecord
            With the final network, without checkpoints and trajectory.
        """
        check_is_fitted(self)
        if self._template is None:
            raise ValueError(
                "The members' weights were not kept; fit the ensemble with keep_members=True."
            )
        n_members = len(self._states)
        if not isinstance(k, Integral) or not -n_members <= k < n_members:
            raise ValueError(f"k must be the number of a member, 0 to {n_members - 1}; got {k!r}.")
        module = copied_module(self._template.module)
        module.load_state_dict(self._states[int(k)])
        return TrainingRecord(
            module,
            [],
            classes=self.classes_,
            outputs=self._template.outputs,
            criterion=self._template.criterion,
            collate_fn=collate_fn(self.estimator_),
            trajectory_problem=self._template.trajectory_problem,
        )

    def member_probability(self, X: Any) -> NDArray[np.float32]:
        """Return what every member says about other rows.

        Parameters
        ----------
        X : array-like of shape (m, ...), tensor, dict of arrays, or Dataset
            Rows of the kind that `fit` was given.

        Returns
        -------
        probability : ndarray of shape (n_members, m, n_classes), float32
            In eval mode.
        """
        check_is_fitted(self)
        rows = as_rows(X, collate_fn=collate_fn(self.estimator_), estimator=self)
        if rows.has_columns and hasattr(self, "n_features_in_"):
            validate_data(self, X, skip_check_array=True, reset=False)
        with alone():
            return self._member_probability(rows)

    def _member_probability(self, rows: Rows) -> NDArray[np.float32]:
        """Return what every member says about checked rows."""
        return np.stack(
            [
                probabilities(record.module, rows, record.head)
                for record in map(self.record, range(len(self.masks_)))
            ]
        )

    def targets(self, X: Rows, y: Any) -> NDArray[np.int64]:
        """Return label codes of rows, read with the ensemble's classes.

        Parameters
        ----------
        X : array-like, dict of arrays, or Dataset
            Rows of the kind that `fit` was given.
        y : array-like or None
            Labels that the ensemble knows; None reads those of a Dataset.

        Returns
        -------
        codes : ndarray of shape (n,), int64
            Positions in `classes_`.
        """
        rows = as_rows(X, collate_fn=collate_fn(self.estimator_))
        return codes_of(rows.given_labels(y), self.classes_)


def _unprefixed(arrays: Arrays, prefix: str) -> Arrays:
    """Return the arrays whose names begin with a prefix, by their names without it."""
    return {k.removeprefix(prefix): a for k, a in arrays.items() if k.startswith(prefix)}


def _joined_readouts(members: Sequence[Arrays]) -> dict[str, Any]:
    """Return what the readouts returned, stacked along axis 0, in lists where shapes differ."""
    readouts = [_unprefixed(arrays, READOUT) for arrays in members]
    names = {tuple(sorted(readout)) for readout in readouts}
    if len(names) > 1:
        raise ValueError(
            f"The readout returned other names for some members than for others: {names}."
        )
    joined: dict[str, Any] = {name: [readout[name] for readout in readouts] for name in readouts[0]}
    return {
        name: np.stack(arrays) if len({a.shape for a in arrays}) == 1 else arrays
        for name, arrays in joined.items()
    }
