# SPDX-License-Identifier: BSD-3-Clause
"""DifficultyQuadrantClassifier: easy, mislabelled-looking, ambiguous without label, ambiguous."""

from __future__ import annotations

from numbers import Integral, Real
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from .._progress import Task
from .._randomness import alone
from ..inference.predictions import predicted_classes
from ..inference.probes import ProbeChoice
from ..inference.probing import DepthReadout
from ..measures import (
    consensus_class,
    consensus_consistency,
    consistency_score,
    corner_distances,
    difficulty_quadrants,
    memorization,
    otsu_threshold,
)
from ..measures.quadrants import QUADRANT_NAMES
from ..rows.rows import Rows
from ..training.ensemble.resampled import ResampledEnsemble
from ..training.ensemble.splits import smallest_training_set
from ..training.record import TrainingRecord
from ._base_ensemble import BaseEnsembleScorer, readings_of_members
from ._base_probing import KeepsBank
from ._unseen_rows import by_parts

__all__ = ["DifficultyQuadrantClassifier"]

_WITHOUT_SPREAD = 0.5  # the cut of an axis on which all rows are equal
_NEAREST = 3  # with more, correctly labelled rows outvote the few wrong labels nearby

_LOOKS_DIFFERENT = QUADRANT_NAMES.index("looks_like_a_different_class")

_MEMBERS_ARE_GONE = (
    "This ensemble has not read prediction depths with these settings, and its members are gone. "
    "Fit it with readout=DifficultyQuadrantClassifier(...).readout(), with keep_members=True, or "
    "pass the net."
)


class DifficultyQuadrantClassifier(KeepsBank, BaseEnsembleScorer):
    r"""Tell four kinds of hard rows apart by prediction depth; larger = harder.

    Every network of an ensemble decides about a row in some layer (`PredictionDepthScorer`). The
    mean depth over the networks that held the row out, and over those that were trained on it, span
    a square; its corners are four kinds of difficulty:

    ====  ============================  ====================  ==================
    code  name                          held out: decided in  trained on: in
    ====  ============================  ====================  ==================
    0     easy                          early layers          early layers
    1     looks_like_a_different_class  early layers          late layers
    2     ambiguous_without_label       late layers           early layers
    3     ambiguous                     late layers           late layers
    ====  ============================  ====================  ==================

    The difficulty is the distance from the easy corner, from 0 to the square root of 2.

    **What it finds.** Wrong labels gather in the corner "looks_like_a_different_class", *if the
    networks memorise their training data*. With 20 % of the labels flipped, 0.99 (Fashion-MNIST)
    and 1.00 (digits) of the 100 rows nearest to it were wrong, and the quadrant held 0.66 and 0.76
    of all wrong labels; most others are in "ambiguous". So were 0.06 and 0.01 of the correctly
    labelled rows, because they look like another class: look at them before they are dropped. Of
    networks that stopped before they had learned the wrong labels the corner is no better than
    chance. `train_depth_` alone ranks wrong labels better than the distance to the corner, and the
    difficulty itself, the distance from easy, ranks no kind of row in particular.

    Parameters
    ----------
    estimator : skorch.NeuralNet, ResampledEnsemble or None, default=None
        The network, a classifier, of which clones are trained on parts of the rows. A fitted
        `ResampledEnsemble` that was given `readout()` of this class, or kept its members, is read
        without training, and its own settings hold. None takes
        ``training.default_network(X, y)``.
    n_members : int, default=30
        How many networks are trained.
    validation_size : float, default=0.1
        Share of the rows that each holds out. With 0.1, 30 members hold every row out three times.
    threshold : "auto", float or pair of float, default="auto"
        Where an axis is cut into early and late, in [0, 1]: one number for both axes, or one for
        the held-out and one for the trained-on depth. "auto" takes Otsu's cut of each axis, which
        separates the rows into two groups with the least variance inside.
    n_neighbors : int, default=30
        Training rows that vote at a probe.
    probes : "auto", str, list of str, or callable, default="auto"
        Which layers are probed, as for `PredictionDepthScorer`.
    include_input : bool, default=True
        Whether the input is the first probe.
    metric : {"euclidean", "cosine"}, default="euclidean"
        Distance between embeddings.
    stratify : bool, default=False
        Whether every part keeps the shares of the classes.
    backend : {"auto", "stacked", "joblib"}, default="auto"
        How members are trained, see `ResampledEnsemble`.
    n_jobs : int, default=None
        Stacks of members, or members one by one, that are trained side by side, each with one torch
        thread. What it may change is said in `ResampledEnsemble`.
    cache_dir : path-like, default=None
        Where finished members are kept, so that an interrupted fit can go on.
    cache_key : str, default=None
        Stands for what `cache_dir` cannot recognise, see `ResampledEnsemble`.
    keep_members : bool, default=True
        Whether weights are kept. Without them there is nothing to say about unseen rows.
    pickle_bank : bool, default=True
        Whether a pickle holds the training rows, without which there is nothing to say about
        unseen rows.
    batch_size : int, default=512
        Rows a forward pass when depths are read, at most.
    undefined : {"nan", "max"}, default="nan"
        What stands for the difficulty of a row that was never held out or never trained on, or
        whose depth no member defines: NaN, or the square root of 2 (and 1 for the depths that
        `transform` returns).
    random_state : int, RandomState or None, default=None
        Seeds the splits, and initialisation, row order and dropout of every member.
        An int gives the same scores bit for bit for the same backend, torch thread count and stack
        grouping.
    verbose : int, default=0
        1 prints how many members are finished and about how long the rest takes.

    Attributes
    ----------
    difficulty_quadrant_ : ndarray of shape (n_samples,), int64
        Codes 0 to 3 as above; -1 for rows without a defined depth on both axes.
    quadrant_names_ : ndarray of shape (4,), object
        Their names.
    validation_depth_ : ndarray of shape (n_samples,)
        Mean depth in [0, 1] over the members that held the row out: 0 decided at the input, 1 at
        the last probe.
    train_depth_ : ndarray of shape (n_samples,)
        The same over the members that were trained on the row.
    thresholds_ : tuple of two float
        Where the two axes are cut.
    corner_distance_ : ndarray of shape (n_samples, 4)
        Distance from the corners of the square, in the order of `quadrant_names_`.
    difficulty_ : ndarray of shape (n_samples,), float32
        Distance from the easy corner.
    suggested_label_ : ndarray of shape (n_samples,)
        The consensus class for rows that look like a different class, the given label for others.
    consensus_class_ : ndarray of shape (n_samples,)
        The class that most of the members predict that held the row out; None (in an object array)
        for rows that were never held out.
    consensus_consistency_ : ndarray of shape (n_samples,)
        Share of these members that predict it.
    consistency_ : ndarray of shape (n_samples,)
        Share of these members that predict the given label.
    memorization_ : ndarray of shape (n_samples,)
        Share of the members trained on the row that predict the given label, less `consistency_`.
    n_undefined_ : int
        Rows with code -1.
    ensemble_ : ResampledEnsemble
        The members; `ConsistencyScorer` and `MemorizationScorer` can read it.
    estimator_ : skorch.NeuralNet
        The untrained network that they are clones of.
    classes_ : ndarray of shape (n_classes,)
        The classes of y.
    n_features_in_ : int
        Size of axis 1 of X, for arrays.

    See Also
    --------
    PredictionDepthScorer : Depth in a single network.
    MemorizationScorer, ConsistencyScorer : Other readings of the same members.

    Notes
    -----
    With :math:`d_k(x)` the prediction depth of a row in member :math:`k`, divided by the number of
    probes less one, and :math:`I_k` its training rows, the axes are

    .. math:: \operatorname{mean}_{k : x \notin I_k} d_k(x), \qquad
        \operatorname{mean}_{k : x \in I_k} d_k(x).

    Undefined depths (the last probe disagrees with the network) are left out of the means.

    **Unseen rows** have a held-out depth, measured in every member. The trained-on depth that they
    would have depends on the label that they would be trained with. It is estimated, in every
    member, by the mean `train_depth_` of the three training rows with that label that are nearest
    in the last hidden layer; without a label, that of the class which the member predicts takes its
    place, so that no row can look mislabelled. This is our extension, not the paper's. With given
    labels the estimate correlates with depths that were measured by 0.76 and 0.80, on those two
    data sets; with the predicted class by 0.07 and 0.02, so that it says next to nothing if
    training labels are wrong (0.45 if they are right). Reading unseen rows costs as much as one
    prediction depth per member. Training rows are not unseen: read the attributes, in a pipeline
    those of ``pipeline[-1]``.

    References
    ----------
    R. Baldock, H. Maennel, B. Neyshabur, "Deep Learning Through the Lens of Example Difficulty",
    NeurIPS 2021, section 4, :arxiv:`2106.09647`.

    N. Otsu, "A Threshold Selection Method from Gray-Level Histograms", IEEE Transactions on
    Systems, Man, and Cybernetics 9(1), 1979, :doi:`10.1109/TSMC.1979.4310076`.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_difficulty import DifficultyQuadrantClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> quadrants = DifficultyQuadrantClassifier(n_members=10, random_state=0).fit(
    ...     X[:600], y[:600]
    ... )
    >>> quadrants.quadrant_names_[quadrants.difficulty_quadrant_[:2]].tolist()
    ['easy', 'easy']
    >>> quadrants.extremes("ambiguous", n=5).shape
    (5,)
    >>> quadrants.predict(X[600:603]).shape
    (3,)
    """

    _provides = ("difficulty_quadrant_", "corner_distance_", "suggested_label_")
    _bank_trained_as = "ensemble_"
    _undefined_because = (
        "they were never held out or never trained on, or no member defines their depth"
    )

    _parameter_constraints: dict[str, list[Any]] = {
        **BaseEnsembleScorer._parameter_constraints,
        "validation_size": [Interval(Real, 0, 1, closed="neither")],
        "threshold": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="both"), "array-like"],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "probes": [str, callable, "array-like"],
        "include_input": ["boolean"],
        "metric": [StrOptions({"euclidean", "cosine"})],
        "pickle_bank": ["boolean"],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
    }
    _parameter_constraints.pop("train_size")

    def __init__(
        self,
        estimator: Any = None,
        *,
        n_members: int = 30,
        validation_size: float = 0.1,
        threshold: Any = "auto",
        n_neighbors: int = 30,
        probes: ProbeChoice = "auto",
        include_input: bool = True,
        metric: str = "euclidean",
        stratify: bool = False,
        backend: str = "auto",
        n_jobs: int | None = None,
        cache_dir: str | PathLike[str] | None = None,
        cache_key: str | None = None,
        keep_members: bool = True,
        pickle_bank: bool = True,
        batch_size: int = 512,
        undefined: str = "nan",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.n_members = n_members
        self.validation_size = validation_size
        self.threshold = threshold
        self.n_neighbors = n_neighbors
        self.probes = probes
        self.include_input = include_input
        self.metric = metric
        self.stratify = stratify
        self.backend = backend
        self.n_jobs = n_jobs
        self.cache_dir = cache_dir
        self.cache_key = cache_key
        self.keep_members = keep_members
        self.pickle_bank = pickle_bank
        self.batch_size = batch_size
        self.undefined = undefined
        self.random_state = random_state
        self.verbose = verbose

    def readout(self) -> DepthReadout:
        """Return what an ensemble must read from its members, to be read by this estimator.

        Returns
        -------
        readout : callable
            For ``ResampledEnsemble(net, readout=...)``.
        """
        return DepthReadout(
            n_neighbors=self.n_neighbors,
            probes=self.probes,
            include_input=self.include_input,
            metric=self.metric,
            batch_size=self.batch_size,
        )

    def extremes(self, quadrant: str | int, n: int = 100) -> NDArray[np.int64]:
        """Return the training rows that are nearest to a corner.

        Parameters
        ----------
        quadrant : str or int
            One of `quadrant_names_`, or its code.
        n : int, default=100
            How many; fewer if fewer have a defined depth on both axes.

        Returns
        -------
        rows : ndarray of shape (n,)
            Positions in X, the nearest first; of equally near rows those that come first.
        """
        check_is_fitted(self)
        names = list(QUADRANT_NAMES)
        is_name = isinstance(quadrant, str) and quadrant in names
        if not is_name and not (isinstance(quadrant, Integral) and 0 <= quadrant < len(names)):
            raise ValueError(f"There is no quadrant {quadrant!r}; there are {names}.")
        if not isinstance(n, Integral) or n < 0:
            raise ValueError(f"n must be an integer of at least 0; got {n!r}.")
        code = names.index(quadrant) if isinstance(quadrant, str) else int(quadrant)
        distance = self.corner_distance_[:, code]
        order = np.argsort(distance, kind="stable")  # NaN last
        return order[: min(n, np.count_nonzero(~np.isnan(distance)))]

    def predict(self, X: Any, y: Any = None) -> NDArray[np.int64]:
        """Return the quadrant of rows taken as unseen.

        For the training rows read `difficulty_quadrant_`: as unseen rows they would be their own
        neighbours in most members.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Rows of the kind that `fit` was given.
        y : array-like of shape (n_samples,), default=None
            Their labels; without them, the predicted class takes their place.

        Returns
        -------
        quadrant : ndarray of shape (n_samples,), int64
            Codes 0 to 3, -1 where a depth is undefined.
        """
        validation, train = self.depths(X, y).T
        return difficulty_quadrants(validation, train, self.thresholds_)

    def depths(self, X: Any, y: Any = None) -> NDArray[np.float64]:
        """Return the held-out depth of rows taken as unseen, and the estimated trained-on depth.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Rows of the kind that `fit` was given.
        y : array-like of shape (n_samples,), default=None
            Their labels; without them, the predicted class takes their place.

        Returns
        -------
        depths : ndarray of shape (n_samples, 2)
            In [0, 1]; NaN where undefined.
        """
        with alone():
            return by_parts(self._depths, *self._check_unseen(X, y))

    def _train_size(self) -> float:
        return 1 - self.validation_size

    def _train(self, X: Rows, y: Any, view: Rows, groups: Any, progress: Task) -> NDArray[Any]:
        try:
            return super()._train(X, y, view, groups, progress)
        except ValueError as error:
            if "train_size" in str(error):
                error.add_note("train_size is 1 - validation_size: change validation_size.")
            raise

    def _readout(self) -> DepthReadout:
        return self.readout()

    def _check_size(self, n: int) -> None:
        n_bank = smallest_training_set(n, self._train_size())
        if self.n_neighbors >= n_bank and not isinstance(self.estimator, ResampledEnsemble):
            raise ValueError(
                f"n_neighbors={self.n_neighbors} must be smaller than the bank, since no row is "
                f"its own neighbour, and a member is trained on {n_bank} of n_samples={n} rows."
            )
        if not isinstance(self.threshold, str):
            self._thresholds()

    def _thresholds(self) -> tuple[float, float]:
        """Return the cuts that were set by the user."""
        pair = np.ravel(self.threshold)
        are_numbers = len(pair) in (1, 2) and pair.dtype.kind in "fiu"
        if not are_numbers or not ((pair >= 0) & (pair <= 1)).all():
            raise ValueError(
                f"threshold must be 'auto', a number in [0, 1], or two; got {self.threshold!r}."
            )
        return float(pair[0]), float(pair[-1])

    def _score_training_rows(self, X: Rows, targets: NDArray[Any], progress: Task) -> NDArray[Any]:
        ensemble = self.ensemble_
        trained_on, held_out = ensemble.masks_, ~ensemble.masks_
        of_members = readings_of_members(
            ensemble, self.readout(), "depth", X, targets, progress, if_gone=_MEMBERS_ARE_GONE
        )
        depth = np.asarray(of_members)
        validation = _nan_mean(np.where(held_out, depth, np.nan))
        train = _nan_mean(np.where(trained_on, depth, np.nan))
        self.validation_depth_, self.train_depth_ = validation, train
        is_auto = isinstance(self.threshold, str)
        self.thresholds_ = (_cut(validation), _cut(train)) if is_auto else self._thresholds()
        self.quadrant_names_ = np.array(QUADRANT_NAMES, dtype=object)
        self.difficulty_quadrant_ = difficulty_quadrants(validation, train, self.thresholds_)
        self.corner_distance_ = corner_distances(validation, train)

        correct = self._correct(targets)
        consensus = consensus_class(ensemble.predictions_, held_out, targets)
        self.consensus_class_ = self._labels(consensus)
        self.consensus_consistency_ = consensus_consistency(ensemble.predictions_, held_out)
        self.consistency_ = consistency_score(correct, held_out)
        self.memorization_ = memorization(correct, trained_on).memorization
        looks_different = self.difficulty_quadrant_ == _LOOKS_DIFFERENT
        self.suggested_label_ = self.classes_[np.where(looks_different, consensus, targets)]
        self._bank = X, targets
        return self.corner_distance_[:, 0]

    def _found(self) -> str:
        n_in = [int((self.difficulty_quadrant_ == k).sum()) for k in range(len(QUADRANT_NAMES))]
        named = (f"{n} {name}" for n, name in zip(n_in, QUADRANT_NAMES, strict=True))
        return f"{len(self.difficulty_)} rows: {', '.join(named)}"

    def _depths(self, X: Rows, targets: NDArray[Any] | None) -> NDArray[np.float64]:
        """Return the held-out depth of unseen rows, and the estimated trained-on one, (n, 2)."""
        readout, (bank_rows, codes) = self.readout(), self._known_bank()
        held_out, trained = [], []
        for k, trained_on in enumerate(self.ensemble_.masks_):
            record = self.ensemble_.record(k)
            held_out.append(readout.depth(readout.bank(record, bank_rows, codes, trained_on), X))
            labels = targets
            if labels is None:
                labels = predicted_classes(record, X, batch_size=self.batch_size)
            trained.append(self._train_depths(record, np.flatnonzero(trained_on), X, labels))
        return np.stack([_nan_mean(np.stack(held_out)), _nan_mean(np.stack(trained))], axis=1)

    def _train_depths(
        self, record: TrainingRecord, trained_on: NDArray[np.int64], X: Rows, labels: NDArray[Any]
    ) -> NDArray[np.float64]:
        """Return the mean depth of the nearest training rows that have the rows' labels."""
        readout, (bank_rows, codes) = self.readout(), self._known_bank()
        hidden = readout.last_hidden(record, bank_rows)
        estimate = np.full(len(X), np.nan)
        for code in np.unique(labels):
            candidates = trained_on[codes[trained_on] == code]
            rows = np.flatnonzero(labels == code)
            k = min(_NEAREST, len(candidates))
            if k == 0:  # a member that has not seen the class has nothing to say
                continue
            bank = readout.bank(record, bank_rows, codes, candidates, [hidden])
            [neighbors] = bank.nearest(X.take(rows), k)
            estimate[rows] = _nan_mean(self.train_depth_[candidates[neighbors.positions]].T)
        return estimate

    def _score_rows(self, X: Rows, targets: NDArray[Any] | None) -> NDArray[Any]:
        return corner_distances(*self._depths(X, targets).T)[:, 0]

    def _columns(self, X: Any, y: Any) -> NDArray[np.float32]:
        depths = by_parts(self._depths, *self._check_unseen(X, y))
        distance = self._fill_undefined(corner_distances(*depths.T)[:, 0], self.difficulty_)
        if self.undefined == "max":
            depths = np.nan_to_num(depths, nan=1.0)
        return np.column_stack([distance, depths]).astype(np.float32)

    def _largest_score(self, reference: NDArray[Any]) -> float:
        return float(np.sqrt(2))

    @property
    def _column_names(self) -> list[str]:
        return ["distance_from_easy", "validation_depth", "train_depth"]


def _nan_mean(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return the mean over axis 0 of what is defined; NaN where nothing is."""
    n = np.count_nonzero(~np.isnan(values), axis=0)
    total = np.nansum(values, axis=0, dtype=np.float64)
    return np.divide(total, n, out=np.full(total.shape, np.nan), where=n > 0)


def _cut(depths: NDArray[np.float64]) -> float:
    """Return Otsu's cut of an axis, or the middle where there is nothing to separate."""
    has_spread = len(np.unique(depths[~np.isnan(depths)])) > 1
    return otsu_threshold(depths) if has_spread else _WITHOUT_SPREAD
