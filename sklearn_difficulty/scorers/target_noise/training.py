# SPDX-License-Identifier: BSD-3-Clause
"""How TargetErrorScorer trains: on standardised targets, and again without the worst rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._arrays import LISTED_ROWS, as_floats
from ..._progress import Task
from ...rows.labels import float_targets
from ...rows.rows import Rows
from ...training.default import center_and_scale, untrained_net
from ...training.ensemble.resampled import ResampledEnsemble
from ...training.skorch_net import NET_TYPES, is_regression
from .._base_ensemble import EnsembleTraining, no_regressor
from .._judges import JudgeTraining
from .._trained_source import SingleTraining, Trained, TrainedSource

Floats = NDArray[np.float64]
# From predictions and targets (n, n_outputs), and the rows that were trained on, None for all, to
# those that are to be trained on next; None if another round would change little.
NextRows = Callable[[Floats, Floats, NDArray[np.bool_] | None], NDArray[np.bool_] | None]


@dataclass(frozen=True)
class NetworkTraining:
    """Trains networks on standardised targets, by a source that is made for a net."""

    scorer: Any
    source: TrainedSource  # for what is known before the fit, or was given
    is_trained: bool
    source_for: Callable[[Any], TrainedSource]
    next_rows: NextRows

    def obtain(self, X: Rows, y: Any, view: Rows, groups: Any, progress: Task) -> Trained:
        """Return what was trained, now or before, and the targets in their own units."""
        if self.is_trained:
            trained = self.source.obtain(X, y, view, groups, progress)
            raw = {"target_center_": np.zeros(1), "target_scale_": np.ones(1), "n_rounds_": 0}
            return replace_attributes(trained, raw)
        targets = float_targets(X.given_labels(y))
        net = self.scorer.estimator
        center, scale = center_and_scale(targets)
        if net is None:
            net = untrained_net(None, X, targets, self.scorer, task="regression")
            net.set_params(verbose=self.scorer.verbose)
        elif isinstance(net, NET_TYPES[0]) and not is_regression(net):
            raise ValueError(no_regressor("The network"))
        if self.scorer.estimator is None or not self.scorer.standardize:
            center, scale = np.zeros_like(center), np.ones_like(scale)  # the default network does
        columns = targets.reshape(len(targets), -1)
        standard = ((columns - center) / scale).astype(np.float32).reshape(targets.shape)
        source = self.source_for(net)
        trained = source.obtain(X, standard, view, groups, progress)
        unit: dict[str, Any] = {"target_center_": center, "target_scale_": scale, "n_rounds_": 1}
        if isinstance(source, EnsembleTraining):
            ensemble, rows = trained.attributes["ensemble_"], None
            for n_rounds in range(2, self.scorer.n_rounds + 1):
                said = ensemble.out_of_sample_prediction() * scale + center
                rows = self.next_rows(said, columns.astype(np.float64), rows)
                if rows is None:
                    break
                ensemble = source.untrained()
                ensemble._train(X, standard, view, groups, progress, among=rows)
                unit |= {"ensemble_": ensemble, "n_rounds_": n_rounds}
        return replace_attributes(Trained(trained.attributes, targets), unit)

    def targets(self, X: Rows, y: Any) -> NDArray[Any]:
        """Return the targets of rows."""
        return float_targets(X.given_labels(y))

    @property
    def scores_unseen_rows(self) -> bool:
        """Whether other rows can be scored, as far as that is known before the fit."""
        return self.source.scores_unseen_rows

    @property
    def reads_rows(self) -> bool:
        """Whether rows are read in evaluation to score those of the training."""
        return self.source.reads_rows

    @property
    def collate_fn(self) -> Any:
        """How the items of a Dataset are joined, None for torch's default."""
        return self.source.collate_fn

    @property
    def columns(self) -> Any:
        """What may stand in a DataFrame, None for numbers alone."""
        return self.source.columns


def replace_attributes(trained: Trained, attributes: dict[str, Any]) -> Trained:
    """Return what was trained with other attributes beside or in place of its own."""
    return trained._replace(attributes={**trained.attributes, **attributes})


@dataclass(frozen=True)
class RegressorTraining(JudgeTraining):
    """Clones of any regressor, each trained on a part of the rows, and again on fewer of them."""

    next_rows: NextRows

    def obtain(self, X: Rows, y: Any, view: Rows, groups: Any, progress: Task) -> Trained:
        """Return clones that were trained on parts of the rows, and the targets."""
        targets = checked_targets(X.given_labels(y))
        masks, seed = self._divide(X, len(targets), None, groups)
        columns = targets.reshape(len(targets), -1)
        rows, n_rounds = None, 0
        while True:
            trained_on = masks if rows is None else masks & rows
            judged = self._ask(X, targets, view, trained_on, seed, "predict", progress)
            n_rounds += 1
            if n_rounds == self.scorer.n_rounds:
                break
            rows = self.next_rows(judged.held_out.reshape(columns.shape), columns, rows)
            if rows is None:
                break
        return Trained(self._attributes(judged) | {"n_rounds_": n_rounds}, targets)

    def targets(self, X: Rows, y: Any) -> Floats:
        """Return the targets of rows."""
        return checked_targets(X.given_labels(y))


class GivenPredictions:
    """Predictions that others have made, of rows that they held out."""

    scores_unseen_rows = True
    reads_rows = False
    collate_fn = None
    columns = None

    def obtain(self, X: Rows, y: Any, view: Rows, groups: Any, progress: Task) -> Trained:
        """Return the targets, after checking that the predictions are of them."""
        targets = self.targets(X, y)
        read_predictions(X, targets.ndim == 1, targets[0].size)
        return Trained({"n_rounds_": 0}, targets)

    def targets(self, X: Rows, y: Any) -> Floats:
        """Return the targets of rows."""
        return checked_targets(X.given_labels(y))


def read_predictions(X: Rows, is_single: bool, n_outputs: int) -> Floats:
    """Return the mean (n, n_outputs) over members that have said something of a row, else NaN."""
    wanted = "(n_samples,) or (n_samples, n_members)"
    if not is_single:
        wanted = f"(n_samples, {n_outputs}) or (n_samples, {n_outputs}, n_members)"
    values = as_floats(X.data, "X")
    is_right = values.ndim == 2 or (values.ndim == 3 and not is_single)
    if not is_right or (not is_single and values.shape[1] != n_outputs):
        raise ValueError(
            f"With estimator='precomputed' and {n_outputs} target(s) a row X must have the shape "
            f"{wanted}, got {values.shape}."
        )
    values = values.reshape(len(values), n_outputs, -1)
    there = np.isfinite(values)
    total = np.where(there, values, 0).sum(axis=2)
    count = there.sum(axis=2)
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def checked_targets(y: Any) -> Floats:
    """Return finite targets, (n,) or (n, n_outputs)."""
    targets = as_floats(y, "y")
    if targets.ndim not in (1, 2) or 0 in targets.shape:
        raise ValueError(
            f"y must have the shape (n_samples,) or (n_samples, n_outputs), got {targets.shape}."
        )
    if targets.ndim == 2 and targets.shape[1] == 1:
        targets = targets[:, 0]
    bad = np.flatnonzero(~np.isfinite(targets.reshape(len(targets), -1)).all(axis=1))
    if len(bad):
        raise ValueError(
            f"Input y contains NaN or inf in {len(bad)} row(s), first {bad[:LISTED_ROWS].tolist()}."
        )
    return targets


def training_of(scorer: Any, next_rows: NextRows, method: str, is_trained: bool) -> NetworkTraining:
    """Return the source of a scorer that trains networks, or reads trained ones."""

    def source_for(net: Any) -> TrainedSource:
        if method == "out_of_sample":
            return EnsembleTraining.of(
                scorer,
                train_size=lambda: scorer.train_size,
                readout=lambda: None,
                net=net,
                task="regression",
            )
        return replace(single, estimator=net)

    single = SingleTraining(
        scorer.estimator,
        getattr(scorer, "record_", None),
        scorer=scorer,
        needs=scorer._needs,
        rehearse=scorer._rehearse,
        random_state=scorer.random_state,
        verbose=scorer.verbose,
    )
    given = scorer.estimator
    given = None if isinstance(given, ResampledEnsemble) else given
    return NetworkTraining(scorer, source_for(given), is_trained, source_for, next_rows)
