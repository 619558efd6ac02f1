# SPDX-License-Identifier: BSD-3-Clause
"""PredictionDepthScorer: the layer from which on the network has made up its mind."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import StrOptions

from .._progress import Task
from .._randomness import alone
from ..inference.probes import ProbeChoice
from ..inference.trace import Probe
from ..rows.rows import Rows
from ._base_probing import BaseProbeScorer

__all__ = ["PredictionDepthScorer"]


class PredictionDepthScorer(BaseProbeScorer):
    r"""Prediction depth; larger = harder.

    The number of the first probe of the network from which on every probe predicts what the
    network predicts in the end. A probe is a vote of the 30 training rows that are nearest at some
    layer; probe 0 is the input, the last one the class probabilities. The score is a whole number
    from 0 to `max_depth_`, counted in probes.

    **What it finds.** Rows that the network will get wrong: misclassified held-out rows of digits
    and Fashion-MNIST with AUROC 0.75 to 0.89, where one minus the largest softmax reaches 0.82 to
    0.92. Rows near the decision boundary. Wrong labels **only** if the network knows them by heart:
    average precision 0.83 to 0.95 for 20 % flipped labels, and 0.28 to 0.30 if the training was
    stopped early (chance: 0.20). `NeighborConfidenceScorer` finds them either way.

    Parameters
    ----------
    estimator : skorch.NeuralNet, TrainingRecord, FrozenEstimator or None, default=None
        The network, a classifier. A net is cloned and trained on every row of `fit`; a
        `TrainingRecord`, or a ``FrozenEstimator`` around a net that was fitted with
        ``RecordTraining``, is read without training; None takes ``training.default_network(X, y)``.
    n_neighbors : int, default=30
        Training rows that vote at a probe; fewer than there are in the bank.
    probes : "auto", str, list of str, or callable, default="auto"
        Which layers are probed, besides the input and the class probabilities. "auto" chooses by
        the rule in Notes. A list names modules; another string is a regular expression that must
        match the whole name of a module; a callable gets the name and the module. What a chosen
        module returns is read, every call of it by itself if it is called several times, in the
        order of the forward pass. Where a collate_fn pads rows to the longest of a batch, "auto"
        and the input leave out layers that have more values for some rows than for others.
    include_input : bool, default=True
        Whether the input is the first probe. For the networks of this library that is the input
        after standardisation; where rows are token ids, the output of the first embedding.
    metric : {"euclidean", "cosine"}, default="euclidean"
        Distance between flattened embeddings; "cosine" scales them to length one first.
    ties : {"nearest", "lowest"}, default="nearest"
        Of the classes with the most votes take the one whose neighbours are nearer in sum, then
        the one that comes first in `classes_`; or simply the first, as scikit-learn does.
    normalize : bool, default=False
        Divide the depth by `max_depth_`.
    max_bank : int, default=None
        Approximation: look for neighbours among so many training rows, drawn by class. None takes
        all of them.
    pool : int, default=None
        Approximation: average maps of rank four or more to at most so many positions along every
        spatial axis before distances are measured. None takes them as they are.
    pickle_bank : bool, default=True
        Whether a pickle holds the training rows, without which unseen rows cannot be scored.
    batch_size : int, default=512
        Rows a forward pass, at most. It changes the speed, not the scores, of a network that
        treats every row by itself in eval mode.
    undefined : {"nan", "max"}, default="nan"
        What stands for the depth of a row whose last probe disagrees with the network: NaN, or the
        largest depth there can be.
    random_state : int, RandomState or None, default=None
        Seeds initialisation, row order and dropout of the training, and the draw of `max_bank`.
    verbose : int, default=0
        0 trains silently; otherwise the net prints what it is set to print, the default network
        a line per epoch.

    Attributes
    ----------
    difficulty_ : ndarray of shape (n_samples,), float32
        Depth of the training rows, none of which is its own neighbour.
    max_depth_ : int
        Number of probes less one.
    probe_names_ : ndarray of shape (n_probes,), object
        The modules that are probed, "input" first and "softmax" last. A name that ends in "#2" is
        the second call of that module, one that ends in ".sum" a residual sum inside it.
    probe_predictions_ : ndarray of shape (n_samples, n_probes)
        The class that each probe predicts for the training rows; None, in an object array, where
        the network computes NaN or inf.
    probe_confidence_ : ndarray of shape (n_samples, n_probes), float32
        The share of the votes that this class got, from ``1 / n_neighbors`` to 1.
    n_undefined_ : int
        Training rows whose last probe disagrees with the network.
    bank_indices_ : ndarray of shape (n_bank,)
        Training rows among which neighbours are looked for.
    classes_ : ndarray of shape (n_classes,)
        The classes.
    estimator_ : skorch.NeuralNet or TrainingRecord
        The fitted net, the record if there is no net. The net knows classes as positions: its
        ``predict`` returns indices into `classes_`.
    record_ : TrainingRecord
        What the training left behind; other scorers can read it.
    n_features_in_ : int
        Size of axis 1 of X, for arrays.

    See Also
    --------
    NeighborConfidenceScorer : The same votes, asked for the given label: finds wrong labels.
    MarginScorer : Distance to the decision boundary, with which depth goes together.
    sklearn_difficulty.measures.prediction_depth : The rule, for predictions that you have.

    Notes
    -----
    Let :math:`\hat{y}` be the class that the network predicts, and :math:`\hat{y}_l` the class with
    the most votes among the :math:`k` training rows (with their given labels) that are nearest to
    the row at probe :math:`l = 0, \dots, L - 1`. The depth is

    .. math:: \min \{ d : \hat{y}_l = \hat{y} \text{ for all } l \ge d \},

    which is not defined where :math:`\hat{y}_{L-1} \ne \hat{y}`. Labels enter through the bank
    alone: `score_samples` and `transform` ignore `y`. That a training row is not its own neighbour
    is our choice; the paper does not say. Distances are exact, in float32 around the mean of the
    bank.

    ``probes="auto"`` reads, always before the activation:

    - a transformer (attention and residual sums): what every block returns;
    - convolutions and residual sums: the first norm before the blocks, then the sum of every block;
    - convolutions: what every convolution returns;
    - otherwise: what every linear layer returns, the logits included.

    With input and class probabilities that makes 5 probes for an MLP of three linear layers, 10 for
    the paper's MLP, 15 for VGG16, 11 for ResNet18.

    The cost is that of a matrix product of rows x bank x values at every probe; on a CPU, of 2,048
    values or more and among 8,192 rows or more, that of 256 values and of the few rows that these
    leave in question, and neighbours are as exact. A warning says so before a search that takes
    minutes. Memory stays within scikit-learn's ``working_memory`` besides the data, the network's
    own activations, 24 bytes per row and probe, and 12 per neighbour and probe of 65,536 rows, of
    which as many are asked about at once. A layer whose embeddings do not fit is embedded piece by
    piece, several times. Set more of it (``sklearn.set_config(working_memory=4096)``) if there is.

    References
    ----------
    R. Baldock, H. Maennel, B. Neyshabur, "Deep Learning Through the Lens of Example Difficulty",
    NeurIPS 2021, :arxiv:`2106.09647`.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_difficulty import PredictionDepthScorer
    >>> X, y = load_digits(return_X_y=True)
    >>> scorer = PredictionDepthScorer(random_state=0).fit(X[:1200], y[:1200])
    >>> scorer.probe_names_.tolist()
    ['input', 'layers.0', 'layers.2', 'layers.4', 'softmax']
    >>> scorer.difficulty_.shape
    (1200,)
    >>> scorer.inference_curve(X[1200:], y[1200:]).shape
    (5,)
    """

    _provides: tuple[str, ...] = ()
    _ignores_labels_of_unseen_rows = True
    _undefined_because = "the last probe disagrees with the network"

    _parameter_constraints: dict[str, list[Any]] = {
        **BaseProbeScorer._parameter_constraints,
        "ties": [StrOptions({"nearest", "lowest"})],
        "normalize": ["boolean"],
    }

    def __init__(
        self,
        estimator: Any = None,
        *,
        n_neighbors: int = 30,
        probes: ProbeChoice = "auto",
        include_input: bool = True,
        metric: str = "euclidean",
        ties: str = "nearest",
        normalize: bool = False,
        max_bank: int | None = None,
        pool: int | None = None,
        pickle_bank: bool = True,
        batch_size: int = 512,
        undefined: str = "nan",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            estimator,
            n_neighbors=n_neighbors,
            probes=probes,
            include_input=include_input,
            metric=metric,
            max_bank=max_bank,
            pool=pool,
            pickle_bank=pickle_bank,
            batch_size=batch_size,
            undefined=undefined,
            random_state=random_state,
            verbose=verbose,
        )
        self.ties = ties
        self.normalize = normalize

    def inference_curve(self, X: Any, y: Any = None) -> NDArray[np.float64]:
        """Return the accuracy of every probe on unseen rows.

        For the training rows, compare `probe_predictions_` with their labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Rows of the kind that `fit` was given.
        y : array-like of shape (n_samples,), default=None
            Their labels; may be None for a Dataset that yields (x, y).

        Returns
        -------
        accuracy : ndarray of shape (n_probes,)
            Share of rows for which the probe predicts the label, in the order of `probe_names_`.
        """
        rows, _ = self._check_unseen(X, None)
        targets = self.record_.targets(rows, y)
        with alone():
            return (self._vote(rows) == targets).mean(axis=1)

    def probe_predict(self, X: Any, probe: str | int) -> NDArray[Any]:
        """Return the class that one probe predicts.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Rows of the kind that `fit` was given, taken as unseen.
        probe : str or int
            One of `probe_names_`, or its position.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Elements of `classes_`.
        """
        rows, _ = self._check_unseen(X, None)
        with alone():
            return self._labels(self._vote(rows, self._named(probe))[0])

    def probe_predict_proba(self, X: Any, probe: str | int) -> NDArray[np.float64]:
        """Return the share of the votes of every class at one probe.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Rows of the kind that `fit` was given, taken as unseen.
        probe : str or int
            One of `probe_names_`, or its position.

        Returns
        -------
        shares : ndarray of shape (n_samples, n_classes)
            Multiples of ``1 / n_neighbors``; every row sums to 1.
        """
        rows, _ = self._check_unseen(X, None)
        with alone():
            return self._probing.votes_at(self._named(probe), self._known_bank(), rows)

    def _score_training_rows(self, X: Rows, targets: NDArray[Any], progress: Task) -> NDArray[Any]:
        self._open_bank(X, targets)
        codes, shares = self._probing.majority(
            self._bank, *self._training_rows(X), ties=self.ties, progress=progress
        )
        self.max_depth_ = len(codes) - 1
        predictions = self.classes_[codes.T]
        if (codes < 0).any():  # of embeddings that are not finite
            predictions = predictions.astype(object)
            predictions[codes.T < 0] = None
        self.probe_predictions_ = predictions
        self.probe_confidence_ = shares.T
        return self._depth(codes, X)

    def _score_rows(self, X: Rows, targets: NDArray[Any] | None) -> NDArray[Any]:
        return self._depth(self._vote(X), X)

    def _vote(self, X: Rows, *chosen: Probe) -> NDArray[np.int64]:
        """Return class codes (n_probes, n) of unseen rows, at the chosen probes or at all."""
        bank, probes = self._known_bank(), chosen or None
        return self._probing.majority(bank, X, ties=self.ties, probes=probes)[0]

    def _depth(self, codes: NDArray[np.int64], X: Rows) -> NDArray[np.float64]:
        """Return the depth (n,) from the votes at all probes, as a share if normalised."""
        depth = self._probing.depth_of(codes, self.record_, X)
        return depth / self.max_depth_ if self.normalize else depth

    def _labels(self, codes: NDArray[np.int64]) -> NDArray[Any]:
        """Return the classes that codes stand for, or raise for rows without a vote."""
        bad = np.flatnonzero((codes < 0).reshape(len(codes), -1).any(axis=1))
        if len(bad):
            raise ValueError(
                f"The network computes NaN or inf for {len(bad)} row(s), first {bad[:5].tolist()}: "
                "no probe can predict their class."
            )
        return self.classes_[codes]

    def _largest_score(self, reference: NDArray[Any]) -> float:
        return 1.0 if self.normalize else float(self.max_depth_)

    @property
    def _column_names(self) -> list[str]:
        return ["prediction_depth"]
