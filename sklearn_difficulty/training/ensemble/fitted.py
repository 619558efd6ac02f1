# SPDX-License-Identifier: BSD-3-Clause
"""FittedMembers: what a fitted ensemble keeps of its members, and what it says from that."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from ..._randomness import alone
from ...networks.answers import answers
from ...networks.copying import copied_module
from ...rows.labels import codes_of, float_targets
from ...rows.rows import Rows, as_rows
from ...rows.width import check_width
from ..record import TrainingRecord
from ..skorch_net import collate_fn, columns_of
from .member import READOUT, STATE, Arrays


class FittedMembers:
    """The part of an ensemble that is read; attributes are those of `ResampledEnsemble`."""

    masks_: NDArray[np.bool_]
    classes_: Any  # ndarray (n_classes,); None of regressors
    estimator_: Any
    keep_members: bool
    _template: TrainingRecord | None  # of an untrained member, whose weights are exchanged

    def _keep(self, members: Sequence[Arrays]) -> None:
        """Set the attributes that hold what is kept of the members."""
        self.predictions_ = np.stack([m["predictions"] for m in members])
        means = [m["held_out_mean"] for m in members]
        if self.classes_ is None:
            self.mean_held_out_prediction_ = means
        else:
            self.given_probability_ = np.stack([m["given_probability"] for m in members])
            self.held_out_probability_ = [m["held_out_probability"] for m in members]
            self.mean_held_out_probability_ = means
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
        _check_average(self, average)
        if self.classes_ is None:
            raise TypeError("The members are regressors: take out_of_sample_prediction.")
        return self._out_of_sample(
            self.mean_held_out_probability_ if average == "epochs" else self.held_out_probability_
        )

    def out_of_sample_prediction(
        self, average: Literal["epochs", "last"] = "epochs"
    ) -> NDArray[np.float32]:
        """Return what regressors predict for every row, of those that were not trained on it.

        Parameters
        ----------
        average : {"epochs", "last"}, default="epochs"
            Over the members and all epochs of their training, or over the members as they were in
            the end.

        Returns
        -------
        prediction : ndarray of shape (n_samples, n_outputs), float32
            In the units of the targets; NaN for rows that were never held out.
        """
        _check_average(self, average)
        if self.classes_ is not None:
            raise TypeError("The members are classifiers: take out_of_sample_probability.")
        if average == "epochs":
            return self._out_of_sample(self.mean_held_out_prediction_)
        pairs = zip(self.predictions_, self.masks_, strict=True)
        return self._out_of_sample([said[~mask] for said, mask in pairs])

    def _out_of_sample(self, parts: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return the mean of what members say of the rows that they held out, NaN where none is."""
        total = np.zeros((self.masks_.shape[1], parts[0].shape[1]))
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
        """Return what every member says about other rows: probabilities, or a regressor's values.

        Parameters
        ----------
        X : array-like of shape (m, ...), tensor, dict of arrays, or Dataset
            Rows of the kind that `fit` was given.

        Returns
        -------
        probability : ndarray of shape (n_members, m, n_classes) or (n_members, m, n_outputs)
            In eval mode, float32.
        """
        check_is_fitted(self)
        rows = self._rows(X)
        if hasattr(self, "_row_shape"):
            check_width(self, X, rows, reset=False)
        with alone():
            return self._member_probability(rows)

    def _member_probability(self, rows: Rows) -> NDArray[np.float32]:
        """Return what every member says about checked rows."""
        return np.stack(
            [
                answers(record.module, rows, record.head)
                for record in map(self.record, range(len(self.masks_)))
            ]
        )

    def targets(self, X: Rows, y: Any) -> NDArray[Any]:
        """Return label codes of rows, read with the ensemble's classes; of regressors, targets.

        Parameters
        ----------
        X : array-like, dict of arrays, or Dataset
            Rows of the kind that `fit` was given.
        y : array-like or None
            Labels that the ensemble knows; None reads those of a Dataset.

        Returns
        -------
        codes : ndarray of shape (n,), int64
            Positions in `classes_`; or targets, (n,) or (n, n_outputs), float32.
        """
        given = self._rows(X).given_labels(y)
        return float_targets(given) if self.classes_ is None else codes_of(given, self.classes_)

    def _rows(self, X: Any) -> Rows:
        """Return rows as the members read them."""
        net = self.estimator_
        return as_rows(X, collate_fn=collate_fn(net), estimator=self, columns=columns_of(net))


def _check_average(ensemble: FittedMembers, average: Any) -> None:
    """Raise if there is nothing to average, or no such average."""
    check_is_fitted(ensemble)
    if not isinstance(average, str) or average not in ("epochs", "last"):
        raise ValueError(f"average must be 'epochs' or 'last'; got {average!r}.")


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
