# SPDX-License-Identifier: BSD-3-Clause
"""ConFragSelector: the rows of which contrasting fragments of the target agree with the target."""

from __future__ import annotations

from typing import Any

from .._progress import root_task, with_callbacks
from ._base_confrag import BaseConFrag
from ._selection import take

__all__ = ["ConFragSelector"]


class ConFragSelector(BaseConFrag):
    r"""Select rows whose target is to be believed, by contrasting fragments of the target.

    Larger `difficulty_` = less to be believed. It is 1 less the probability, in [0, 1], with which
    a row is selected, on average over the epochs.

    The range of the target is cut into fragments, and those that lie far apart are paired. A small
    network per pair, an expert, learns to tell its two fragments apart: an easy task, in which most
    wrong targets belong to neither. A row is selected if experts find it in the fragment of its
    target, and in one next to it. No share of wrong targets has to be known.

    Parameters
    ----------
    estimator : skorch.NeuralNet or None, default=None
        A network for regression, of which experts are made: they have its layers, but for two
        outputs in the last one, and are trained as it is, with the same optimiser, epochs and
        learning-rate schedule. None takes
        ``training.default_network(X, y, task="regression")``. Targets are standardised inside.
    expert : skorch.NeuralNet or None, default=None
        A classifier with two outputs, in place of those. Every pair trains a clone.
    n_fragments : int, default=4
        Number of fragments :math:`F`, even and at least 4; one expert for every two.
    fragmentation : {"length", "count"}, default="length"
        Whether fragments are equally long, as in the paper, which balances its data, or hold
        equally many rows. A fragment with five times as many rows as another is warned of.
    jitter : float, default=0.05
        Share of the range, or of the rows, that the fragments leave out, in another place in every
        epoch, so that experts do not memorise targets near the edges; from 0 to
        :math:`1 / (2 (F - 1))`. Every row keeps its own target. All rows are judged. Targets of
        fewer than 1 / `jitter` different values are not jittered.
    n_neighbors : int, default=3
        Number of nearest rows :math:`K` in the representation view, at least 3. All but one of them
        must lie in the row's fragment.
    view : {"both", "prediction", "representation"}, default="both"
        Whether a row is found in a fragment by the expert's output, by its nearest rows in the
        features that the expert's last layer reads, or drawn in each, and selected if drawn in
        either.
    random_state : int, RandomState or None, default=None
        Seeds the experts, the places of the fragments, and the draws.
    verbose : int, default=0
        0 trains silently; otherwise the networks print what they are set to print.

    Attributes
    ----------
    difficulty_ : ndarray of shape (n_samples,), float32
        1 - `selection_probability_`.
    selection_probability_ : ndarray of shape (n_samples,)
        Probability that a row is selected, in [0, 1], on average over the epochs of the experts.
    sample_indices_ : ndarray of shape (n_selected,)
        Positions of the rows that were drawn in the last epoch, in their order.
    dropped_indices_ : ndarray of shape (n_dropped,)
        Positions of the others.
    selected_ : ndarray of shape (n_epochs, n_samples), bool
        The rows that were drawn in every epoch of the experts.
    fragment_ : ndarray of shape (n_samples,)
        The fragment of every row's target, from 0 on.
    fragment_edges_ : ndarray of shape (n_fragments + 1,)
        Their edges, without jitter.
    target_center_, target_scale_ : float
        By what targets are standardised.
    n_features_in_ : int
        Size of axis 1 of X, for arrays.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, for DataFrames whose names are all strings.

    Raises
    ------
    ValueError
        From ``fit``: for targets of several columns or that are all the same, for no more rows than
        fragments or neighbours, if an expert diverges, and if no row is selected.

    See Also
    --------
    ConFragRegressor : Trains a regressor on the rows that are selected.
    FilteredRegressor : Takes this as `scorer`, for a regressor of any kind.
    sklearn_difficulty.measures.selection_probability : The formula, of plain arrays.

    Notes
    -----
    With the prior :math:`\rho_f(y)` of fragment :math:`f`, larger the nearer its centre is to the
    target (`measures.fragment_prior`), and the agreement :math:`\alpha_f(x) \in \{0, 1\}` of its
    expert and of one next to it (`measures.neighborhood_agreement`), a row is drawn in a view with
    probability :math:`p = \sum_f \rho_f(y) \, \alpha_f(x)`, in both with
    :math:`1 - (1 - p)(1 - p')`. Fragments :math:`f` and :math:`f + F / 2` are paired: of all
    pairings it is the one whose nearest pair is farthest apart. The query is no neighbour of
    itself, by its position, so that copies of a row can be.

    Where a fragment has no rows, the expert of its pair takes every row for one of the other, and
    the fragments on both sides of the gap are next to each other. A selected row is not thereby
    right: the probability is none of an error, and `drop` of a filter must be a share.

    The released code of the paper pairs rows with the fragments of others where it jitters; this
    is the aligned version. The user guide has :ref:`what it finds, measured <confrag>`.

    References
    ----------
    C. D. Kim, S. Moon, J. Moon, D. Woo, G. Kim, "Sample Selection via Contrastive Fragmentation for
    Noisy Label Regression", NeurIPS 2024, :arxiv:`2502.17771`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_difficulty import ConFragSelector
    >>> from sklearn_difficulty.datasets import make_target_noise
    >>> X = np.random.default_rng(0).normal(size=(400, 5))
    >>> y = X[:, 0] + np.abs(X[:, 1])
    >>> y_noisy, is_wrong, _ = make_target_noise(y, level=0.3, random_state=0)
    >>> selector = ConFragSelector(fragmentation="count", random_state=0)
    >>> X_selected, y_selected = selector.fit_resample(X, y_noisy)
    >>> hardest = np.argsort(-selector.difficulty_)[:40]
    >>> bool(is_wrong[hardest].mean() > 0.8)
    True
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        expert: Any = None,
        n_fragments: int = 4,
        fragmentation: str = "length",
        jitter: float = 0.05,
        n_neighbors: int = 3,
        view: str = "both",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.expert = expert
        self.n_fragments = n_fragments
        self.fragmentation = fragmentation
        self.jitter = jitter
        self.n_neighbors = n_neighbors
        self.view = view
        self.random_state = random_state
        self.verbose = verbose

    @with_callbacks
    def fit(self, X: Any, y: Any = None, *, scoring_view: Any = None) -> ConFragSelector:
        """Train the experts, and select rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), tensor, DataFrame, dict of arrays, or Dataset
            The training rows.
        y : array-like of shape (n_samples,), default=None
            Their targets. May be None for a Dataset that yields (x, y).
        scoring_view : same kind as X, default=None
            The same rows in the same order without random augmentation; experts are trained on X
            and asked about these.

        Returns
        -------
        self : object
            Fitted.
        """
        with root_task(self, 1) as progress:
            self._select(X, y, scoring_view, progress)
        if self.verbose:
            print(f"{type(self).__name__}: {self._found()}")
        return self

    def fit_resample(self, X: Any, y: Any, *, scoring_view: Any = None) -> tuple[Any, Any]:
        """Select rows, and return those that were drawn in the last epoch.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), DataFrame, or dict of arrays
            The training rows; of a Dataset they cannot be taken.
        y : array-like of shape (n_samples,)
            Their targets.
        scoring_view : same kind as X, default=None
            As for ``fit``.

        Returns
        -------
        X : same kind as X
            The rows that are selected, in their order.
        y : same kind as y
            Their targets.
        """
        self.fit(X, y, scoring_view=scoring_view)
        return take(X, self.sample_indices_), take(y, self.sample_indices_)
