# SPDX-License-Identifier: BSD-3-Clause
"""What ConFragSelector and ConFragRegressor share: parameters, checks, and the selection."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import validate_data

from .._arrays import as_floats
from .._progress import CallbackSupportMixin, Task
from .._randomness import draw_seed
from .._reprs import ShowsFindings
from .._warnings import warn_caller
from ..measures.fragments import (
    FRAGMENTATIONS,
    MOST_FRAGMENTS,
    contrastive_pairs,
    draw_rows,
    in_either_draw,
)
from ..rows.checked import nonfinite_rows
from ..rows.rows import DatasetRows, Rows, as_rows
from ..rows.views import as_view
from ..scorers._trained_source import refuse_tuning
from ..training.default import center_and_scale, untrained_net
from ..training.epoch_rows import refuse_own_order
from ..training.skorch_net import (
    NET_TYPES,
    collate_fn,
    columns_of,
    is_regression,
    keep_trace,
    refuse_other_estimators,
    warn_of_seen_rows,
)
from ._experts import VIEWS, Fragments, default_expert, train_experts
from ._scoring_step import forget

_UNBALANCED = 5  # times as many rows in the largest fragment as in the smallest
_N_SEEDS = 4  # for windows, experts, draws and the regressor


class BaseConFrag(ShowsFindings, CallbackSupportMixin, BaseEstimator):
    """Base of the estimators that select rows by contrasting fragments of the target."""

    estimator: Any
    expert: Any
    n_fragments: int
    fragmentation: str
    jitter: float
    n_neighbors: int
    view: str
    random_state: Any
    verbose: int

    _parameter_constraints: dict[str, list[Any]] = {
        "estimator": [NET_TYPES[0], None],
        "expert": [NET_TYPES[0], None],
        "n_fragments": [Interval(Integral, 4, MOST_FRAGMENTS, closed="both")],
        "fragmentation": [StrOptions(set(FRAGMENTATIONS))],
        "jitter": [Interval(Real, 0, 0.5, closed="left")],
        "n_neighbors": [Interval(Integral, 3, None, closed="left")],
        "view": [StrOptions({"both", *VIEWS})],
        "random_state": ["random_state"],
        "verbose": [Interval(Integral, 0, None, closed="left")],
    }
    _provides: tuple[str, ...] = (
        "selection_probability_",
    )  # what filters read besides `difficulty_`

    def _select(
        self, X: Any, y: Any, scoring_view: Any, progress: Task
    ) -> tuple[Any, Rows, NDArray[np.float32], int]:
        """Select rows for every epoch, and set what is known of them.

        Returns the regressor's net, the rows, their standardised targets, and a seed.
        """
        name = type(self).__name__
        refuse_other_estimators(self)
        self._validate_params()
        forget(self)
        pairs = self._pairs()
        net, joined_by = self.estimator, collate_fn(self.estimator)
        rows = as_rows(X, collate_fn=joined_by, estimator=self, columns=columns_of(net))
        if rows.has_columns:
            validate_data(self, X, skip_check_array=True, reset=True)
        self._row_shape = rows.row_shape
        view = as_view(scoring_view, rows, collate_fn=joined_by, estimator=self)
        if y is None and not isinstance(rows, DatasetRows):
            raise ValueError(
                f"{name} requires y to be passed, but the target y is None. Only a Dataset that "
                "yields (x, y) can do without."
            )
        targets = self._targets(rows, y)
        center, scale = center_and_scale(targets)
        self.target_center_, self.target_scale_ = float(center[0]), float(scale[0])
        standardized = ((targets - center) / scale).astype(np.float32)
        if net is None:
            net = untrained_net(None, rows, standardized, self, task="regression")
            net.set_params(verbose=self.verbose)
        if not is_regression(net):
            raise ValueError(
                f"{name} needs a network for regression, and the {type(net).__name__} is a "
                "classifier. Wrong labels are found by LabelErrorScorer."
            )
        warn_of_seen_rows(net)
        expert = default_expert(net, rows) if self.expert is None else self.expert
        if is_regression(expert):
            raise ValueError(
                f"An expert tells two fragments apart, and the {type(expert).__name__} is a "
                "regressor. Pass a classifier with two outputs, or None."
            )
        for part in (net, expert):
            refuse_own_order(part, name)
        seeds = np.random.SeedSequence(draw_seed(self.random_state)).generate_state(_N_SEEDS)
        of_windows, of_experts, of_draws, of_regressor = seeds.tolist()
        fragments = Fragments.of(
            targets,
            self.n_fragments,
            self.fragmentation,
            self.jitter,
            expert.max_epochs,
            of_windows,
        )
        self._warn_of_counts(fragments.counts)
        with progress.subtask("experts", len(pairs)) as training:
            votes = train_experts(
                expert,
                rows,
                view,
                fragments,
                pairs,
                views=VIEWS if self.view == "both" else (self.view,),
                n_neighbors=self.n_neighbors,
                seed=of_experts,
                verbose=self.verbose,
                progress=training,
            )
        self.fragment_edges_, self.fragment_ = fragments.edges, fragments.fragment
        self._draw(votes.probabilities(fragments.prior()), of_draws)
        return net, rows, standardized, of_regressor

    def _pairs(self) -> NDArray[np.int64]:
        """Return the pairs of fragments, after checking what belongs together."""
        pairs = contrastive_pairs(self.n_fragments)
        largest = 1 / (2 * (self.n_fragments - 1))
        if self.jitter > largest:
            raise ValueError(
                f"jitter={self.jitter} moves fragments too far: with {self.n_fragments} fragments "
                f"it must be at most 1 / (2 (n_fragments - 1)) = {largest:.3f}."
            )
        return pairs

    def _targets(self, rows: Rows, y: Any) -> NDArray[np.float64]:
        """Return one finite number per row, not all the same."""
        targets = as_floats(rows.given_labels(y), "y")
        if targets.ndim == 2 and targets.shape[1] == 1:
            targets = column_or_1d(targets, warn=True)
        if targets.ndim != 1:
            raise ValueError(
                f"{type(self).__name__} cuts the range of one target into fragments, and y has the "
                f"shape {targets.shape}. Fit one for every column, and keep the rows that all of "
                "them select."
            )
        if len(targets) <= max(self.n_fragments, self.n_neighbors):
            raise ValueError(
                f"n_samples = {len(targets)} is too few for n_fragments={self.n_fragments} and "
                f"n_neighbors={self.n_neighbors}; there must be more rows than either."
            )
        bad = nonfinite_rows(targets)
        if len(bad):
            raise ValueError(
                f"Input y contains NaN or inf in {len(bad)} row(s), first {bad[:5].tolist()}."
            )
        if targets.min() == targets.max():
            raise ValueError("All targets in y are the same; there is nothing to cut or to learn.")
        return targets

    def _warn_of_counts(self, counts: NDArray[np.int64]) -> None:
        """Warn of fragments of which some are much larger than others."""
        if counts.max() > _UNBALANCED * counts.min():
            by_length = self.fragmentation == "length"
            advice = (
                "Take fragmentation='count', transform y (by its logarithm, say), or balance the "
                "rows"
                if by_length
                else "Many targets are the same; take fewer fragments"
            )
            warn_caller(
                f"The fragments of the target have {counts.tolist()} rows: experts of so few rows "
                f"know little, and hardly a row there is selected. {advice}."
            )

    def _draw(self, probabilities: NDArray[np.float64], seed: int) -> None:
        """Draw the rows of every epoch, from probabilities (n_epochs, n_views, n_rows)."""
        generator = np.random.default_rng(seed)
        self.selected_ = np.array([draw_rows(views, generator) for views in probabilities])
        self.selection_probability_ = np.mean([in_either_draw(v) for v in probabilities], axis=0)
        self.difficulty_ = (1 - self.selection_probability_).astype(np.float32)
        if not self.selected_.any():
            raise ValueError(
                "No row was selected in any epoch: the experts agree with no target. Train them "
                "for longer or with another learning rate, lower n_neighbors, or take "
                "view='prediction'; with few rows, fragmentation='count'."
            )
        last = np.flatnonzero(self.selected_.any(axis=1))[-1]
        self.sample_indices_ = np.flatnonzero(self.selected_[last])
        self.dropped_indices_ = np.flatnonzero(~self.selected_[last])

    def set_params(self, **params: Any) -> Any:
        """Set parameters, those of the network as ``estimator__<name>``.

        Parameters
        ----------
        **params : dict
            Parameters of this estimator or of a net that it was given.

        Returns
        -------
        self : object
            The same.
        """
        refuse_tuning(params.get("estimator", self.estimator), params)
        return super().set_params(**params)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "sample_indices_")

    def __sklearn_clone__(self) -> Any:
        copy = super().__sklearn_clone__()
        keep_trace(self.estimator, copy.estimator)
        return copy

    def _found(self) -> str:
        return f"{len(self.sample_indices_)} of {len(self.difficulty_)} rows selected"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.three_d_array = True
        tags.input_tags.sparse = True
        return tags
