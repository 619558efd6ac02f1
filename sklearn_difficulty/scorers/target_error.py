# SPDX-License-Identifier: BSD-3-Clause
"""TargetErrorScorer: the probability that a target is wrong, and what to put in its place."""

from __future__ import annotations

from numbers import Integral, Real
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.utils import get_tags
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from .._arrays import as_array
from .._progress import Task
from ..inference.probes import ProbeChoice
from ..inference.probing import NeighborProbes
from ..measures.target_noise import SPREAD_OUT, Scale
from ..rows.given import GivenRows
from ..rows.rows import Rows
from ..training.bare_modules import refuse_bare_modules
from ..training.default import Task as NetworkTask
from ..training.ensemble.member import answers
from ..training.ensemble.resampled import ResampledEnsemble
from ..training.record import TrainingRecord
from ..training.requirements import RecordNeeds
from ..training.skorch_net import NET_TYPES
from ._base import BaseDifficultyScorer
from ._base_ensemble import (
    CONSTRAINTS,
    MEMBERS_ARE_GONE,
    TRAIN_SIZE,
    no_regressor,
    not_one_of_several,
)
from ._judges import check_kind, is_judge, refuse_methods_of_networks
from ._trained_source import TrainedSource, given_record, is_trained
from .label_noise.review import ReviewsRows
from .label_noise.sources import needs_of, refuse_too_many_neighbors
from .label_noise.suspects import ListsSuspects
from .target_noise.findings import Errors, TellsTargetNoise, warn_of_doubt
from .target_noise.predictions import Predictions, open_predictions
from .target_noise.training import (
    GivenPredictions,
    RegressorTraining,
    training_of,
)

__all__ = ["TargetErrorScorer"]

Floats = NDArray[np.float64]

_CHANGED = 0.25  # of the suspects, by which another round must change what is trained on
_FEW_ROWS = 50
_LEAST_KEPT = 0.25  # of the rows, however many are suspect


class TargetErrorScorer(TellsTargetNoise, ListsSuspects, ReviewsRows, BaseDifficultyScorer):
    r"""Score rows by how likely their target is wrong; larger = harder. Without y it finds none.

    For regression, as `LabelErrorScorer` is for classes. Beside the difficulty stand the
    probability that the target is wrong, the target that is suggested in its place and an interval
    for the right one, the share of wrong targets in the whole, and what a cut would drop.

    **What it finds.** Wrong targets: those of other rows, wrong units, shifts, large random errors.
    With boosting as judge and 5, 20, 40 and 60 % of the prices of 8,593 diamonds swapped, average
    precision is 0.81, 0.91, 0.94 and 0.96, and the F1 of the cut at 0.5 0.81, 0.83, 0.86 and 0.89;
    of cleanlab's regression it is 0.79, 0.89, 0.90 and 0.88, and 0.33, 0.10, 0.05 and 0.03. Errors
    that are smaller than the spread of right targets around what features tell are hardly seen, and
    not counted: if all targets are a little off, the rate comes out too low.

    Parameters
    ----------
    estimator : net, regressor, ensemble, record, "precomputed" or None, default=None
        Clones of it predict rows that they were not trained on. A skorch net that is a regressor,
        or any regressor of scikit-learn's kind, a Pipeline too; the latter gets X as it is, a
        DataFrame with missing values or a sparse matrix. What was trained already is read without
        training: a fitted `ResampledEnsemble` of regressors, a `TrainingRecord`, or a
        ``FrozenEstimator`` around a net that was fitted with ``RecordTraining``. "precomputed"
        takes predictions in place of X, from models that did not see the row, as of
        ``cross_val_predict``: of shape (n_samples,) or (n_samples, n_members), for several targets
        a row (n_samples, n_outputs) or (n_samples, n_outputs, n_members), with NaN where a member
        has seen the row. None takes ``training.default_network(X, y, task="regression")``.
    method : {"auto", "out_of_sample", "one_fit", "neighbors"}, default="auto"
        Where the prediction of a row comes from. "out_of_sample": from networks of an ensemble
        that did not see the row, averaged over all epochs of their training, or from clones of a
        regressor. "one_fit": from a single training on all rows, averaged over its epochs;
        `record_` then keeps all outputs. "neighbors": the median target of the nearest rows in the
        layers of a single network. "auto" takes "out_of_sample", unless `estimator` is a single
        training: then "one_fit" if the outputs of its epochs were kept, or there is no network to
        read, "neighbors" otherwise.
    scale : {"local", "global"}, default="local"
        Whether the honest spread is that of rows with about the same prediction, or the same for
        all rows, see `estimate_target_noise`.
    n_rounds : int, default=3
        How often the models are trained, at most, with "out_of_sample": in every round but the
        first one without the rows that are more likely wrong than right, a quarter of all at
        least. It ends early when a round would change little. 1 trains once.
    coverage : float, default=0.9
        Share of the right targets that lie in `suggested_target_interval_`.
    standardize : bool, default=True
        Whether a network is trained on targets less their median, by their median distance from
        it: small networks do not learn targets in their thousands. What is returned is in the units
        of y. Set it to False for a network whose last layer, exponential or sigmoid say, or whose
        loss is made for the targets as they are. The default network does so itself; other
        regressors get targets as they are.
    n_members : int, default=5
        How many models are trained in a round, with "out_of_sample".
    train_size : float, default=0.8
        Share of the rows that each is trained on. With 0.8, five models hold every row out once.
    n_neighbors : int, default=30
        Rows that are asked at a layer, with "neighbors".
    probes : "auto", str, list of str, or callable, default="auto"
        The layers, as for `NeighborConfidenceScorer`; what the network returns is left out.
    max_bank : int or None, default=20000
        Among at most so many rows neighbours are looked for; None takes all.
    backend : {"auto", "stacked", "joblib"}, default="auto"
        How networks are trained, see `ResampledEnsemble`.
    n_jobs : int, default=None
        Models that are trained side by side.
    cache_dir : path-like, default=None
        Where finished members are kept, so that an interrupted fit can go on; of networks only.
    cache_key : str, default=None
        Stands for what `cache_dir` cannot recognise, see `ResampledEnsemble`.
    keep_members : bool, default=True
        Whether the models are kept. Without them unseen rows cannot be scored.
    batch_size : int, default=512
        Rows a forward pass, at most, when neighbours are looked for.
    undefined : {"nan", "max"}, default="nan"
        What stands for the score of rows that were held out by no model: NaN, or the largest score.
    random_state : int, RandomState or None, default=None
        Seeds the splits, initialisation, row order and dropout of every network, and parameters of
        another regressor that are called random_state and are None. An int gives the same scores
        bit for bit for the same backend, torch thread count and stack grouping.
    verbose : int, default=0
        1 prints how many models of a round are trained, and when another round begins.

    Attributes
    ----------
    difficulty_ : ndarray of shape (n_samples,), float32
        The training rows with their given targets, in [0, 1]: in the order of the error
        probability, 0.5 where it is 0.5, and it tells apart what rounds to 1 there.
    error_probability_ : ndarray of shape (n_samples,)
        The probability that the target is wrong; of several, that any is, if errors of columns
        have nothing to do with each other.
    suggested_target_ : ndarray of the shape of y
        The prediction, without what it misses on average, where the target is more likely wrong
        than right; the given one elsewhere.
    suggested_target_interval_ : ndarray of shape (n_samples, 2) or (n_samples, n_outputs, 2)
        Where the right target lies with a probability of `coverage`.
    noise_rate_ : float
        The estimated share of rows with a wrong target.
    noise_rate_interval_ : tuple of float
        What it may be, see `estimate_target_noise`.
    cuts_ : structured ndarray
        What dropping the rows above a cut on `error_probability_` finds: the fields of
        `noise_cuts`, with intervals. ``pandas.DataFrame(scorer.cuts_)`` is a table.
    column_error_probability_ : ndarray of shape (n_samples, n_outputs)
        The same for every target of a row by itself.
    column_noise_rate_ : ndarray of shape (n_outputs,)
        The estimated share of wrong targets in every column.
    predictions_ : ndarray of the shape of y
        What all this is computed from, in the units of y.
    scaled_residual_, residual_scale_ : ndarray of the shape of y
        Target less prediction, in units of the honest spread, and that spread.
    method_ : {"out_of_sample", "one_fit", "neighbors", "precomputed"}
        The method that was used.
    n_rounds_ : int
        How many rounds were trained; 0 if nothing was.
    n_undefined_ : int
        Rows that were held out by no model.
    target_center_, target_scale_ : ndarray of shape (n_outputs,)
        By which the targets of the networks were standardised; those in `ensemble_` and `record_`
        are. 0 and 1 where they were not.
    ensemble_ : ResampledEnsemble
        The networks of the last round, with "out_of_sample".
    estimators_ : list of estimators
        The clones of a regressor that is no network, fitted, of the last round.
    record_ : TrainingRecord
        What the training left behind, with "one_fit" and "neighbors".
    estimator_ : estimator or TrainingRecord
        The network, or regressor, that models are clones of; or the network that was trained.
    n_features_in_ : int
        Size of axis 1 of X, for arrays.

    See Also
    --------
    LabelErrorScorer : The same for classes.
    FilteredRegressor : Drops what this finds, and trains a regressor on the rest.
    sklearn_difficulty.measures.estimate_target_noise : The formulas, and what they assume.

    Notes
    -----
    The prediction :math:`f_i` of row :math:`i` is a mean over models that did not see it, of
    networks also over the epochs of their training. From :math:`y_i - f_i`
    `estimate_target_noise` computes all else, column by column. With :math:`e_{ij}` the error
    probability of column :math:`j`, that of the row is :math:`1 - \prod_j (1 - e_{ij})`. The
    interval of the rate of rows begins where all errors are in the same rows, and ends where none
    share one.

    **Rounds.** A model that learns from wrong targets predicts too near to the middle of all and is
    unsteady, so that right targets look wrong. The next round learns from the rows of which the
    error probability is at most 0.5. Another follows if those change by more than a quarter of the
    suspects. Every row stays held out by the models that speak about it, whatever it was in the
    round before.

    With "one_fit" and "neighbors" the models were trained on the rows that they predict. Large
    errors still stand out; how many targets are wrong is estimated too low the more a network has
    learned them by heart.

    `score_samples` asks all models as they were in the end, "one_fit" the network. Its scale is
    learned from what they said in the end of rows that they held out. Without targets it returns
    how wide the honest spread is at the prediction, by itself and the median of the training rows:
    near 0 where little is expected, 0.5 where it is usual.

    Examples
    --------
    >>> from sklearn.datasets import make_friedman1
    >>> from sklearn.ensemble import HistGradientBoostingRegressor
    >>> from sklearn_difficulty import TargetErrorScorer
    >>> from sklearn_difficulty.datasets import make_target_noise
    >>> X, y = make_friedman1(1000, random_state=0)
    >>> y_noisy, is_wrong, _ = make_target_noise(y, level=0.2, random_state=0)
    >>> judge = HistGradientBoostingRegressor(random_state=0)
    >>> scorer = TargetErrorScorer(judge, random_state=0).fit(X, y_noisy)
    >>> low, high = scorer.noise_rate_interval_
    >>> print(f"wrong targets: {low:.0%} to {high:.0%}")
    wrong targets: 15% to 25%
    >>> suspect = scorer.error_probability_ > 0.5
    >>> print(f"{suspect.sum()} suspects, {is_wrong[suspect].sum()} are wrong")
    171 suspects, 146 are wrong
    >>> suspects = scorer.suspects(3)  # to look at first
    >>> suspects[["row", "given", "suggested"]].round(1)
         row  given  suggested
    372  372   24.1        5.4
    60    60   21.5        5.7
    497  497    6.9       23.1
    >>> y[suspects["row"]].round(1)  # what they are in truth
    array([ 5.9,  6.1, 22.8])
    """

    _parameter_constraints: dict[str, list[Any]] = {
        **BaseDifficultyScorer._parameter_constraints,
        **TRAIN_SIZE,
        **{name: values for name, values in CONSTRAINTS.items() if name != "stratify"},
        "estimator": [
            *NET_TYPES,
            TrainingRecord,
            ResampledEnsemble,
            HasMethods(["fit", "predict", "get_params", "set_params"]),
            StrOptions({"precomputed"}),
            None,
        ],
        "method": [StrOptions({"auto", "out_of_sample", "one_fit", "neighbors"})],
        "scale": [StrOptions({"local", "global"})],
        "n_rounds": [Interval(Integral, 1, None, closed="left")],
        "coverage": [Interval(Real, 0, 1, closed="neither")],
        "standardize": ["boolean"],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "probes": [str, callable, "array-like"],
        "max_bank": [Interval(Integral, 2, None, closed="left"), None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
    }
    ensemble_: ResampledEnsemble
    record_: TrainingRecord
    _provides = ("error_probability_", "suggested_target_")
    _no_unseen_because = MEMBERS_ARE_GONE
    _of_what = "targets"
    _undefined_because = (
        "no model held them out (train more members), or what it predicts is not finite"
    )

    def __init__(
        self,
        estimator: Any = None,
        *,
        method: str = "auto",
        scale: Scale = "local",
        n_rounds: int = 3,
        coverage: float = 0.9,
        standardize: bool = True,
        n_members: int = 5,
        train_size: float = 0.8,
        n_neighbors: int = 30,
        probes: ProbeChoice = "auto",
        max_bank: int | None = 20_000,
        backend: str = "auto",
        n_jobs: int | None = None,
        cache_dir: str | PathLike[str] | None = None,
        cache_key: str | None = None,
        keep_members: bool = True,
        batch_size: int = 512,
        undefined: str = "nan",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.method = method
        self.scale = scale
        self.n_rounds = n_rounds
        self.coverage = coverage
        self.standardize = standardize
        self.n_members = n_members
        self.train_size = train_size
        self.n_neighbors = n_neighbors
        self.probes = probes
        self.max_bank = max_bank
        self.backend = backend
        self.n_jobs = n_jobs
        self.cache_dir = cache_dir
        self.cache_key = cache_key
        self.keep_members = keep_members
        self.batch_size = batch_size
        self.undefined = undefined
        self.random_state = random_state
        self.verbose = verbose

    @property
    def _task(self) -> NetworkTask:
        return "regression"

    # -------------------------------------------------------------------------- what is trained

    def _method(self) -> str:
        """Return the method of this fit; "auto" is settled once."""
        if hasattr(self, "method_"):
            return self.method_
        if isinstance(self.estimator, str):
            if self.method != "auto":
                raise ValueError(f"method={self.method!r} trains; predictions are read.")
            return "precomputed"
        record = given_record(self.estimator)
        if record is None:
            if isinstance(self.estimator, ResampledEnsemble) and self.method != "auto":
                if self.method != "out_of_sample":
                    raise ValueError(f"method={self.method!r} reads a single training.")
            if self._asks_regressor:
                refuse_methods_of_networks(self.method, self.estimator)
            return "out_of_sample" if self.method == "auto" else self.method
        if self.method == "out_of_sample":
            raise ValueError(
                "method='out_of_sample' needs networks that did not see every row, and the "
                "estimator is a single training. Pass the net, or a ResampledEnsemble."
            )
        if self.method != "auto":
            return self.method
        has_outputs = record.trajectory is not None and record.trajectory.logits is not None
        return "one_fit" if has_outputs or not record.has_module else "neighbors"

    @property
    def _asks_regressor(self) -> bool:
        """Whether any other regressor than a network is asked."""
        return is_judge(self.estimator)

    def _check_estimator(self) -> None:
        refuse_bare_modules(self, "estimator")
        if self._asks_regressor:
            check_kind(self, "regressor")

    def _needs(self) -> RecordNeeds:
        method = self._method()
        if method in ("out_of_sample", "precomputed"):
            raise not_one_of_several(self)
        return needs_of(method, self.estimator) | RecordNeeds(final_network=True)

    def _check_size(self, n: int) -> None:
        if n < 2:
            raise ValueError(f"{type(self).__name__} needs at least two rows; got n_samples={n}.")
        if self._method() == "neighbors":
            n_bank = min(n, self.max_bank or n) - 1
            refuse_too_many_neighbors(self.n_neighbors, n_bank, n, self.max_bank)

    def _rows(self, X: Any) -> Rows:
        if self._asks_regressor or isinstance(self.estimator, str):
            return GivenRows(self._as_columns(X))
        return super()._rows(X)

    def _check_width(self, X: Any, rows: Rows, *, reset: bool) -> None:
        super()._check_width(self._as_columns(X), rows, reset=reset)

    def _as_columns(self, X: Any) -> Any:
        """Return predictions with an axis for members if they have none."""
        is_vector = isinstance(self.estimator, str) and np.ndim(X) == 1
        return as_array(X, "X")[:, None] if is_vector else X

    def _rehearse(self, record: TrainingRecord, X: Rows, targets: NDArray[Any]) -> None:
        if not record.head.is_regression:
            raise ValueError(no_regressor("The network"))
        if self._method() == "neighbors":
            self._neighbor_probes().rehearse(record, X)
        if record.has_module:  # of a training elsewhere what the epochs said may be all there is
            answers(record.module, X, record.head)

    def _neighbor_probes(self) -> NeighborProbes:
        """Return how neighbours are looked for."""
        return NeighborProbes(
            self.n_neighbors, self.probes, batch_size=self.batch_size, reads_targets=True
        )

    def _trained_source(self) -> TrainedSource:
        method = self._method()
        if method == "precomputed":
            return GivenPredictions()
        if self._asks_regressor:
            return RegressorTraining(self, self._next_rows)
        return training_of(self, self._next_rows, method, is_trained(self.estimator))

    def _train(self, X: Rows, y: Any, view: Rows, groups: Any, progress: Task) -> NDArray[Any]:
        self.method_ = self._method()
        targets = super()._train(X, y, view, groups, progress)
        self.__dict__.pop("classes_", None)  # of which there are none
        return targets

    def _next_rows(
        self, predictions: Floats, targets: Floats, rows: NDArray[np.bool_] | None
    ) -> NDArray[np.bool_] | None:
        """Return the rows to be trained on in the next round, None if that would change little."""
        known = _are_known(predictions)
        if np.count_nonzero(known) < _FEW_ROWS:  # of which parts are soon empty
            return None
        errors = Errors.of(targets[known], predictions[known], self.scale, self.coverage)
        probability = np.zeros(len(targets))
        probability[known] = expit(errors.log_odds(targets[known], predictions[known]))
        cut = np.quantile(probability, _LEAST_KEPT)  # at least a part is kept
        kept: NDArray[np.bool_] = probability <= max(0.5, float(cut))
        before = np.ones_like(kept) if rows is None else rows
        n_changed, n_suspects = int((kept != before).sum()), int((~kept).sum())
        if n_changed <= _CHANGED * n_suspects:
            return None
        if self.verbose:
            print(f"Another round is trained, without {n_suspects} rows that look wrong.")
        return kept

    # --------------------------------------------------------------------------- what is found

    def _score_training_rows(self, X: Rows, targets: NDArray[Any], progress: Task) -> NDArray[Any]:
        self._given = targets = targets.astype(np.float64)
        columns = targets.reshape(len(targets), -1)
        self._source: Predictions = open_predictions(self, self.method_, targets)
        predictions, as_unseen = self._source.of_training_rows(X, targets, progress)
        known = _are_known(predictions)
        if not known.any():
            raise ValueError("No row was held out by any model; train more members.")
        errors = Errors.of(columns[known], predictions[known], self.scale, self.coverage)
        warn_of_doubt(columns[known], errors.columns)
        self._errors = errors
        if as_unseen is not predictions and self._scores_unseen_rows:
            known_last = _are_known(as_unseen)
            self._errors = Errors.of(
                columns[known_last], as_unseen[known_last], self.scale, self.coverage
            )
        return expit(self._keep_errors(errors, known, targets, predictions) / SPREAD_OUT)

    def _score_rows(self, X: Rows, targets: NDArray[Any] | None) -> NDArray[Any]:
        predictions = self._source.of_unseen_rows(X)
        known = _are_known(predictions)
        scores = np.full(len(predictions), np.nan)
        if targets is None:
            scores[known] = self._errors.relative_width(predictions[known])
        else:
            columns = targets.reshape(len(targets), -1).astype(np.float64)
            if columns.shape[1] != predictions.shape[1]:
                raise ValueError(
                    f"y has {columns.shape[1]} target(s) a row, and had {predictions.shape[1]} in "
                    "the fit."
                )
            log_odds = self._errors.log_odds(columns[known], predictions[known])
            scores[known] = expit(log_odds / SPREAD_OUT)
        return scores

    def _forget(self) -> None:
        super()._forget()
        for name in ("_source", "_judged", "_plans", "_errors"):
            self.__dict__.pop(name, None)

    @property
    def _column_names(self) -> list[str]:
        return ["target_error"]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        if self._asks_regressor and hasattr(self.estimator, "__sklearn_tags__"):
            tags.input_tags = get_tags(self.estimator).input_tags
        return tags


def _are_known(predictions: Floats) -> NDArray[np.bool_]:
    """Return the rows of which there are predictions."""
    return np.asarray(np.isfinite(predictions).all(axis=1))
