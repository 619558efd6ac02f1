# SPDX-License-Identifier: BSD-3-Clause
"""NormGradScorer: where in a row its training signal comes from, and how much there is of it."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval, StrOptions

from .._progress import SILENT, Task
from .._randomness import alone
from ..inference.contributions import AGGREGATIONS, VARIANTS
from ..inference.locations import Sites, find_sites
from ..inference.saliency import Grid, SaliencyReader, location_maps, training_signals
from ..measures.saliency import Combination, checked_weights, combine_saliency_maps
from ..rows.rows import Rows
from ..training.checkpoints import CheckpointSpec
from ..training.record import TrainingRecord
from ..training.requirements import RecordNeeds
from ._base import BaseDifficultyScorer
from ._unseen_rows import by_parts

__all__ = ["NormGradScorer"]


class NormGradScorer(BaseDifficultyScorer):
    r"""NormGrad: the training signal of a row, and where in it that comes from; larger = harder.

    How long the gradient is that a row sends to the weights of a layer, location by location:
    pixels, time steps, tokens. `maps` returns it as a map per row. The raw score is the length of
    the map, averaged over the checkpoints of the training and over layers; it is at least 0, in
    units of the loss.

    **What it finds.** Where the object is: on scenes with two objects the largest value of the map
    lay near the object in 66 % of the cases, with ``selective=True`` in 84 %, the centre of the
    image in 13 %. As a score it finds wrong labels, but not best: average precision for 20 %
    flipped labels 0.78 to 0.96 in networks that were stopped early, 0.60 to 0.86 in ones that know
    them by heart, where the loss averaged over training reaches 0.92 to 0.99 and 0.91 to 0.99. With
    ``target="logit"`` it does not find them.

    Parameters
    ----------
    estimator : skorch.NeuralNet, TrainingRecord, FrozenEstimator or None, default=None
        The network. A net is cloned and trained on every row of `fit`; a `TrainingRecord`, or a
        ``FrozenEstimator`` around a net that was fitted with ``RecordTraining``, is read without
        training; None takes ``training.default_network(X, y)``.
    layers : "auto", list of str, str or callable, default="auto"
        The modules whose outputs are read: their names, a regular expression that matches whole
        names, or a function of name and module. "auto" takes the last output of every size, of a
        transformer on sequences the outputs of its blocks, of one on images the convolution that
        makes the patches; of a network without locations the outputs of all linear layers but the
        last.
    variant : {"conv1x1", "conv3x3", "depthwise3x3", "scaling", "bias", "layer"}, default="conv1x1"
        The imaginary layer behind each output, which changes nothing and whose weight gradient is
        read: see `measures.saliency_map`. "layer" takes the weights of the chosen convolutions and
        linear layers themselves.
    aggregation : {"norm", "sum", "max", "filtered_norm"}, default="norm"
        What becomes of the contributions of a location: their Euclidean norm, their sum, the
        largest, or the norm of those that speak for the label.
    combine : {"product", "geometric", "sum"}, default="product"
        How `maps` combines the layers: see `measures.combine_saliency_maps`. It does not touch the
        score.
    layer_weights : {"uniform", "linear"} or array-like of shape (n_layers,), default="uniform"
        Weights of the layers, in the map and in the score; only their ratios matter. "linear" grows
        with depth, from 1 to the number of layers.
    target : {"loss", "logit", "predicted"}, default="loss"
        What is differentiated: the loss that the network was trained with, the logit of the row's
        class (of a regressor, the prediction), or the logit of the class that the network predicts,
        whatever the label.
    selective : bool, default=False
        NormGrad selective: short for ``variant="scaling", aggregation="filtered_norm"``.
    order : {0, 1}, default=0
        1 reads the network after one step of gradient descent on the loss of the row itself, each
        row starting from the same weights.
    step : float, default=1e-4
        Size of that step, at least 0.
    direction : {"training", "adversarial"}, default="training"
        Whether the step goes down or up the loss, as a training that learns or unlearns the row.
    checkpoints : int, {"early", "late", "all"} or list of int, default=10
        Which epochs to read. An int takes up to that many, evenly spaced, the last one included; 1
        reads the trained network alone. "early" and "late" take the first and last three; a list
        these epochs, 0 being the network before training.
    batch_size : int, default=512
        Rows scored at once, at most. It changes the speed, not the scores, of a network that
        treats every row by itself in eval mode.
    undefined : {"nan", "max"}, default="nan"
        What stands for the score of a row whose gradient is not finite: NaN, or the largest score
        of the training rows.
    random_state : int, RandomState or None, default=None
        Seeds initialisation, row order and dropout of the training. None takes fresh entropy.
    verbose : int, default=0
        0 trains silently; otherwise the net prints what it is set to print, the default network
        a line per epoch.

    Attributes
    ----------
    difficulty_ : ndarray of shape (n_samples,), float32
        The training rows with their given labels.
    layer_difficulty_ : ndarray of shape (n_samples, n_layers), float32
        The same for each layer.
    layer_names_ : ndarray of shape (n_layers,)
        The layers, in the order of the forward pass; a later call of a module has a number.
    n_undefined_ : int
        Training rows whose gradient is not finite.
    classes_ : ndarray of shape (n_classes,) or None
        The classes; None for a regressor.
    estimator_ : skorch.NeuralNet or TrainingRecord
        The fitted net, the record if there is no net. The net knows classes as positions: its
        ``predict`` returns indices into `classes_`.
    record_ : TrainingRecord
        What the training left behind; other scorers can read it.
    n_features_in_ : int
        Size of axis 1 of X, for arrays.

    Raises
    ------
    ValueError
        From `fit`: if `layers` chooses nothing that can be read, or layers whose locations lie
        along different numbers of axes.

    See Also
    --------
    VoGScorer : Where the gradient of the input changes over training.
    TrainingDynamicsScorer : With ``measure="grand_all"``, the length of the whole weight gradient.
    sklearn_difficulty.measures.saliency_map : The formulas, for stored activations and gradients.
    sklearn_difficulty.measures.combine_saliency_maps : The maps of several layers as one.
    sklearn_difficulty.inspection.NormGradDisplay : Draws a map over its image.

    Notes
    -----
    Let :math:`x_u` be what layer :math:`l` returns at location :math:`u` of a row, a vector of one
    number per channel, and :math:`g_u` the gradient of the target there. A :math:`1 \times 1`
    convolution behind the layer, with the identity as its weight :math:`W`, would change nothing
    and have the gradient :math:`\partial \ell / \partial W = \sum_u g_u x_u^T`. NormGrad is the
    length of a location's share,

    .. math:: m_l(u) = \lVert g_u x_u^T \rVert_F = \lVert g_u \rVert_2 \, \lVert x_u \rVert_2,

    and the score is :math:`\frac{1}{K} \sum_t \sum_l \bar w_l \sqrt{\sum_u m_{lt}(u)^2}` over the
    :math:`K` checkpoints :math:`t`, with weights :math:`\bar w_l` that sum to 1. Maps are means of
    :math:`m_{lt}` over checkpoints. With the variant "layer", :math:`x_u` is the patch of the
    layer's input that its kernel sees from :math:`u`, and with groups of channels the squares of
    :math:`m` add up over groups.

    For "sum", "max" and "filtered_norm" the sign matters: the target is minus the loss, or the
    logit, so that positive contributions speak for the label.

    With ``order=1`` the weights are :math:`\theta - \varepsilon \nabla_\theta \ell` for the row's
    own loss (:math:`\theta + \varepsilon \nabla_\theta \ell` for "adversarial"): all trained
    parameters, plain gradient descent, no second derivatives. With a linear layer on the average of
    the last maps, the logit of every class has the same map of order 0 there; only a step tells the
    classes apart.

    The network is read in eval mode. Order 0 costs one forward and one backward pass per row and
    checkpoint for all layers together, and no gradient of a weight is computed; order 1 two of
    each, with weights of its own for every row.

    References
    ----------
    S.-A. Rebuffi, R. Fong, X. Ji, H. Bilen, A. Vedaldi, "NormGrad: Finding the Pixels that Matter
    for Training", 2019, :arxiv:`1910.08823`.

    S.-A. Rebuffi, R. Fong, X. Ji, A. Vedaldi, "There and Back Again: Revisiting Backpropagation
    Saliency Methods", CVPR 2020, :arxiv:`2004.02866`.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_difficulty import NormGradScorer
    >>> X, y = load_digits(return_X_y=True)
    >>> images = X.reshape(-1, 1, 8, 8)[:600]
    >>> scorer = NormGradScorer(checkpoints=3, random_state=0).fit(images, y[:600])
    >>> scorer.difficulty_.shape
    (600,)
    >>> scorer.layer_names_.tolist()
    ['layers.1', 'layers.5']
    >>> scorer.maps(images[:5], y[:5]).shape
    (5, 8, 8)
    """

    _provides: tuple[str, ...] = ()
    _parameter_constraints: dict[str, list[Any]] = {
        **BaseDifficultyScorer._parameter_constraints,
        "layers": [str, "array-like", callable],
        "variant": [StrOptions(set(VARIANTS))],
        "aggregation": [StrOptions(set(AGGREGATIONS))],
        "combine": [StrOptions({"product", "geometric", "sum"})],
        "layer_weights": [StrOptions({"uniform", "linear"}), "array-like"],
        "target": [StrOptions({"loss", "logit", "predicted"})],
        "selective": ["boolean"],
        "order": [Interval(Integral, 0, 1, closed="both")],
        "step": [Interval(Real, 0, None, closed="left")],
        "direction": [StrOptions({"training", "adversarial"})],
        "checkpoints": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"early", "late", "all"}),
            "array-like",
        ],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        estimator: Any = None,
        *,
        layers: Any = "auto",
        variant: str = "conv1x1",
        aggregation: str = "norm",
        combine: Combination = "product",
        layer_weights: Any = "uniform",
        target: str = "loss",
        selective: bool = False,
        order: int = 0,
        step: float = 1e-4,
        direction: str = "training",
        checkpoints: CheckpointSpec = 10,
        batch_size: int = 512,
        undefined: str = "nan",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.layers = layers
        self.variant = variant
        self.aggregation = aggregation
        self.combine = combine
        self.layer_weights = layer_weights
        self.target = target
        self.selective = selective
        self.order = order
        self.step = step
        self.direction = direction
        self.checkpoints = checkpoints
        self.batch_size = batch_size
        self.undefined = undefined
        self.random_state = random_state
        self.verbose = verbose

    def maps(self, X: Any, y: Any = None) -> NDArray[np.float32]:
        """Return for every row where its training signal comes from, all layers in one map.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Rows of the kind that `fit` was given.
        y : array-like of shape (n_samples,), default=None
            Their labels; without them, the predicted class takes their place.

        Returns
        -------
        maps : ndarray of shape (n_samples, ...), float32
            Between 0 and 1, of the size of the input where that has the same axes of locations
            (height and width of an image, length of a sequence), else of the largest layer. NaN for
            rows that are undefined.

        Raises
        ------
        ValueError
            If the layers have no locations, or the rows differ in shape.
        """

        def combined(maps: list[NDArray[Any]], grid: Grid | None) -> list[NDArray[Any]]:
            weights = self._weights(len(maps))
            return [combine_saliency_maps(maps, shape=grid, combine=self.combine, weights=weights)]

        [maps] = self._location_maps(X, y, combined)
        return maps

    def layer_maps(self, X: Any, y: Any = None) -> dict[str, NDArray[np.float32]]:
        """Return the map of every layer, as it is.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Rows of the kind that `fit` was given.
        y : array-like of shape (n_samples,), default=None
            Their labels; without them, the predicted class takes their place.

        Returns
        -------
        maps : dict of str to ndarray of shape (n_samples, ...), float32
            By the names in `layer_names_`: the mean over checkpoints at every location of the
            layer, not scaled. NaN for rows that are undefined.

        Raises
        ------
        ValueError
            If the layers have no locations, or the rows differ in shape.
        """
        maps = self._location_maps(X, y, lambda maps, _grid: maps)
        return dict(zip(self._sites.names, maps, strict=True))

    def _location_maps(
        self,
        X: Any,
        y: Any,
        finish: Callable[[list[NDArray[Any]], Grid | None], list[NDArray[Any]]],
    ) -> list[NDArray[np.float32]]:
        """Return what `finish` makes of the maps of the layers, block by block."""
        rows, targets = self._check_unseen(X, y)
        if not self._sites.n_axes:
            raise ValueError(
                f"The layers {self._sites.names} return one vector a row, so there is no map of "
                "locations. Maps are of convolutions, sequences and tokens."
            )
        with alone():
            reader = self._reader(self.record_, self._sites)
            labels = self._labels(self.record_, targets)
            return location_maps(reader, rows, labels, finish, batch_size=self.batch_size)

    def _needs(self) -> RecordNeeds:
        return RecordNeeds.of_checkpoints(self.checkpoints, at_least=1)

    @property
    def _ignores_labels_of_unseen_rows(self) -> bool:
        return self.target == "predicted"

    def _labels(self, record: TrainingRecord, targets: NDArray[Any] | None) -> NDArray[Any] | None:
        """Return the labels that are explained, None for those that are predicted."""
        is_predicted = self.target == "predicted" and not record.head.is_regression
        return None if is_predicted else targets

    def _formula(self) -> tuple[str, str]:
        """Return variant and aggregation."""
        if not self.selective:
            return self.variant, self.aggregation
        if (self.variant, self.aggregation) != ("conv1x1", "norm"):
            raise ValueError(
                "selective=True stands for variant='scaling' and aggregation='filtered_norm', and "
                f"variant={self.variant!r}, aggregation={self.aggregation!r} are given as well. "
                "Leave one of the two out."
            )
        return "scaling", "filtered_norm"

    def _find(self, record: TrainingRecord, X: Rows) -> Sites:
        """Return the sites of the chosen layers."""
        return find_sites(record, X, self.layers, variant=self._formula()[0])

    def _reader(
        self, record: TrainingRecord, sites: Sites, checkpoints: Any = None
    ) -> SaliencyReader:
        """Return the reader of maps at the chosen checkpoints, or at given ones."""
        variant, aggregation = self._formula()
        sign = 1 if self.direction == "training" else -1
        return SaliencyReader(
            record,
            record.select(self.checkpoints) if checkpoints is None else checkpoints,
            sites,
            target=self.target,
            variant=variant,
            aggregation=aggregation,
            step=sign * self.step if self.order else None,
        )

    def _rehearse(self, record: TrainingRecord, X: Rows, targets: NDArray[Any]) -> None:
        sites = self._find(record, X)
        self._weights(len(sites.sites))
        reader = self._reader(record, sites, record.checkpoints[:1])
        training_signals(reader, X, self._labels(record, targets), batch_size=self.batch_size)

    def _signals(
        self, X: Rows, targets: NDArray[Any] | None, progress: Task = SILENT
    ) -> NDArray[np.float64]:
        """Return the training signal (n, n_layers) of rows at every layer."""
        return training_signals(
            self._reader(self.record_, self._sites),
            X,
            self._labels(self.record_, targets),
            batch_size=self.batch_size,
            progress=progress,
        )

    def _weights(self, n_layers: int) -> NDArray[np.float64]:
        """Return the weights of the layers, which sum to 1."""
        weights = self.layer_weights
        if isinstance(weights, str):
            weights = None if weights == "uniform" else np.arange(1, n_layers + 1)
        return checked_weights(weights, n_layers, "layer_weights")

    def _total(self, signals: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the score (n,): the weighted mean over layers; what has no weight is not asked."""
        weights = self._weights(signals.shape[1])
        return signals[:, weights > 0] @ weights[weights > 0]

    def _score_training_rows(self, X: Rows, targets: NDArray[Any], progress: Task) -> NDArray[Any]:
        self._sites = self._find(self.record_, X)
        self.layer_names_ = np.array(self._sites.names, dtype=object)
        signals = self._signals(X, targets, progress)
        self.layer_difficulty_ = signals.astype(np.float32)
        return self._total(signals)

    def _score_rows(self, X: Rows, targets: NDArray[Any] | None) -> NDArray[Any]:
        return self._total(self._signals(X, targets))

    def _columns(self, X: Any, y: Any) -> NDArray[np.float32]:
        signals = by_parts(self._signals, *self._check_unseen(X, y))
        scores = self._fill_undefined(self._total(signals), self.difficulty_)
        if self.undefined == "max":
            largest = [self._largest_score(column) for column in self.layer_difficulty_.T]
            signals = np.where(np.isnan(signals), largest, signals)
        return np.column_stack([scores, signals.astype(np.float32)])

    @property
    def _column_names(self) -> list[str]:
        return ["normgrad", *(f"normgrad_{name}" for name in getattr(self, "layer_names_", ()))]
