# SPDX-License-Identifier: BSD-3-Clause
"""NeighborConfidenceScorer: how few of a row's neighbours, layer by layer, carry its label."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._progress import Task
from ..inference.probes import ProbeChoice
from ..rows.rows import Rows
from ._base_probing import BaseProbeScorer

__all__ = ["NeighborConfidenceScorer"]


class NeighborConfidenceScorer(BaseProbeScorer):
    r"""One minus the neighbours' confidence in the label; larger = harder.

    The share of the nearest training rows that carry another label than the row, averaged over
    the layers of the network. A number in [0, 1]: 0 if every neighbour at every layer agrees.

    **What it finds.** Wrong labels, whether the network has memorised them or not, from a single
    training: average precision 0.88 to 0.97 for 20 % flipped labels in networks that know them by
    heart, 0.88 to 0.99 in networks that were stopped early (digits and Fashion-MNIST, MLP and
    VGG16; chance: 0.20), where one minus the final probability of the label gives 0.57 to 0.65 and
    0.82 to 0.98.

    Parameters
    ----------
    estimator : skorch.NeuralNet, TrainingRecord, FrozenEstimator or None, default=None
        The network, a classifier. A net is cloned and trained on every row of `fit`; a
        `TrainingRecord`, or a ``FrozenEstimator`` around a net that was fitted with
        ``RecordTraining``, is read without training; None takes ``training.default_network(X, y)``.
    n_neighbors : int, default=30
        Training rows that are asked at a probe; fewer than there are in the bank.
    probes : "auto", str, list of str, or callable, default="auto"
        Which layers are probed, besides the input and the class probabilities: as for
        `PredictionDepthScorer`.
    include_input : bool, default=True
        Whether the input is probed.
    metric : {"euclidean", "cosine"}, default="euclidean"
        Distance between flattened embeddings; "cosine" scales them to length one first.
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
        What stands for the score of a row whose embeddings are not finite: NaN, or the largest
        score of the training rows.
    random_state : int, RandomState or None, default=None
        Seeds initialisation, row order and dropout of the training, and the draw of `max_bank`.
    verbose : int, default=0
        0 trains silently; otherwise the net prints what it is set to print, the default network
        a line per epoch.

    Attributes
    ----------
    difficulty_ : ndarray of shape (n_samples,), float32
        The training rows with their given labels, none of which is its own neighbour.
    probe_names_ : ndarray of shape (n_probes,), object
        The modules that are probed, "input" first and "softmax" last.
    probe_confidence_ : ndarray of shape (n_samples, n_probes), float32
        The share of the neighbours that carry the given label, at every probe.
    n_undefined_ : int
        Training rows whose embeddings are not finite; 0, since such a training is refused.
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
    PredictionDepthScorer : The same neighbours, asked when they agree with the network.

    Notes
    -----
    Let :math:`N_l(x)` be the :math:`k` training rows that are nearest to row :math:`x` at probe
    :math:`l` (of :math:`L`), the row itself left out, and :math:`y` its label. The score is

    .. math:: 1 - \frac{1}{L k} \sum_{l} \sum_{j \in N_l(x)} [y_j = y].

    `score_samples` and `transform` take the class that the network predicts where no label is
    given. Distances, probes, memory and cost are those of `PredictionDepthScorer`.

    References
    ----------
    D. Bahri, H. Jiang, M. Gupta, "Deep k-NN for Noisy Labels", ICML 2020, :arxiv:`2004.12289`, use
    the logits alone; R. Baldock, H. Maennel, B. Neyshabur, "Deep Learning Through the Lens of
    Example Difficulty", NeurIPS 2021, :arxiv:`2106.09647`, is where the probes come from.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_difficulty import NeighborConfidenceScorer
    >>> from sklearn_difficulty.datasets import make_label_noise
    >>> X, y = load_digits(return_X_y=True)
    >>> y_noisy, is_flipped = make_label_noise(y, rate=0.1, random_state=0)
    >>> scorer = NeighborConfidenceScorer(random_state=0).fit(X, y_noisy)
    >>> suspects = np.argsort(-scorer.difficulty_)[:100]
    >>> bool(is_flipped[suspects].mean() > 0.9)
    True
    """

    _provides: tuple[str, ...] = ()

    def __init__(
        self,
        estimator: Any = None,
        *,
        n_neighbors: int = 30,
        probes: ProbeChoice = "auto",
        include_input: bool = True,
        metric: str = "euclidean",
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

    def _score_training_rows(self, X: Rows, targets: NDArray[Any], progress: Task) -> NDArray[Any]:
        self._open_bank(X, targets)
        rows, own = self._training_rows(X)
        self.probe_confidence_ = self._probing.agreement(self._bank, rows, targets, own, progress)
        return 1 - self.probe_confidence_.mean(axis=1, dtype=np.float64)

    def _score_rows(self, X: Rows, targets: NDArray[Any] | None) -> NDArray[Any]:
        bank, probing = self._known_bank(), self._probing
        labels = probing.predicted(self.record_, X) if targets is None else targets
        return 1 - probing.agreement(bank, X, labels).mean(axis=1, dtype=np.float64)

    @property
    def _column_names(self) -> list[str]:
        return ["neighbor_confidence"]
