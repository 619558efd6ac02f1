# SPDX-License-Identifier: BSD-3-Clause
"""MemorizationScorer: what a row's presence in training changes, for itself and for others."""

from __future__ import annotations

from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._progress import Task
from .._randomness import alone
from ..measures import high_influence_pairs, influence, memorization
from ..measures.memorization import InfluencePairs
from ..rows.rows import Rows
from ._base_ensemble import BaseEnsembleScorer

__all__ = ["MemorizationScorer"]


class MemorizationScorer(BaseEnsembleScorer):
    r"""Score rows by how much their label must be memorized to be predicted; larger = harder.

    The difficulty is the memorization: the share of the networks that predict the given label among
    those trained on the row, less that among those that were not. From -1 to 1; near 0 for rows
    that the others explain, near 1 for rows that are learned by heart or not at all.

    **What it finds.** The same rows as a low consistency score if the networks fit their training
    data: wrong labels, rare cases, ambiguous ones. With 20 % of the labels flipped and memorised,
    its average precision for these was 0.50 (Fashion-MNIST) and 0.68 (digits). If networks stop
    before that, a wrong label has a low memorization, since it is not learned either (0.20, which
    is chance); look at `p_in_` and `p_out_`, not at the difference alone.

    Parameters
    ----------
    estimator : skorch.NeuralNet, ResampledEnsemble or None, default=None
        The network, a classifier, of which clones are trained on parts of the rows. A fitted
        `ResampledEnsemble` is read without training, and its own settings hold. None takes
        ``training.default_network(X, y)``.
    n_members : int, default=30
        How many networks are trained. The standard error falls with its square root.
    train_size : float, default=0.7
        Share of the rows that each is trained on.
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
        Whether weights are kept. Without them `influence` cannot be computed.
    undefined : {"nan", "max"}, default="nan"
        What stands for rows that all members, or none, were trained on: NaN, or the largest score
        of the others.
    random_state : int, RandomState or None, default=None
        Seeds the splits, and initialisation, row order and dropout of every member.
        An int gives the same scores bit for bit for the same backend, torch thread count and stack
        grouping.
    verbose : int, default=0
        1 prints how many members are finished and about how long the rest takes.

    Attributes
    ----------
    difficulty_ : ndarray of shape (n_samples,), float32
        Memorization.
    standard_error_ : ndarray of shape (n_samples,)
        Of the memorization, over the choice of members.
    p_in_, p_out_ : ndarray of shape (n_samples,)
        Share of the members that predict the given label, among those trained on the row and among
        the others.
    n_in_, n_out_ : ndarray of shape (n_samples,)
        How many these are.
    n_undefined_ : int
        Rows for which one of the two is zero.
    ensemble_ : ResampledEnsemble
        The members; other scorers can read it.
    estimator_ : skorch.NeuralNet
        The untrained network that they are clones of.
    classes_ : ndarray of shape (n_classes,)
        The classes.
    n_features_in_ : int
        Size of axis 1 of X, for arrays.

    See Also
    --------
    ConsistencyScorer : One minus `p_out_`, also for unseen rows.
    sklearn_difficulty.model_selection.MemorizationTrajectory : With networks of several sizes.
    sklearn_difficulty.measures.memorization : The numbers, for predictions that you have.
    sklearn_difficulty.measures.influence : What `influence` computes.

    Notes
    -----
    With the members :math:`h_k` and their training rows :math:`I_k`, the memorization of row
    :math:`i` with given label :math:`y_i` is estimated as

    .. math:: \operatorname{mean}_{k : i \in I_k} [h_k(x_i) = y_i]
        - \operatorname{mean}_{k : i \notin I_k} [h_k(x_i) = y_i],

    and its influence on a test row :math:`(x', y')` by the same with :math:`h_k(x') = y'`.
    Memorization has no meaning for unseen rows: there is no `transform`.

    References
    ----------
    V. Feldman, C. Zhang, "What Neural Networks Memorize and Why: Discovering the Long Tail via
    Influence Estimation", NeurIPS 2020, :arxiv:`2008.03703`.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn_difficulty import MemorizationScorer
    >>> X, y = load_wine(return_X_y=True)
    >>> scorer = MemorizationScorer(n_members=20, random_state=0).fit(
    ...     X[:150], y[:150]
    ... )
    >>> scorer.influence(X[150:], y[150:]).shape
    (28, 150)
    """

    _provides: tuple[str, ...] = ()
    _undefined_because = "all members were trained on them, or none; train more members"
    _no_unseen_because = "Memorization has no meaning for rows that were not trained on."

    def __init__(
        self,
        estimator: Any = None,
        *,
        n_members: int = 30,
        train_size: float = 0.7,
        stratify: bool = False,
        backend: str = "auto",
        n_jobs: int | None = None,
        cache_dir: str | PathLike[str] | None = None,
        cache_key: str | None = None,
        keep_members: bool = True,
        undefined: str = "nan",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            estimator,
            n_members=n_members,
            train_size=train_size,
            stratify=stratify,
            backend=backend,
            n_jobs=n_jobs,
            cache_dir=cache_dir,
            cache_key=cache_key,
            keep_members=keep_members,
            undefined=undefined,
            random_state=random_state,
            verbose=verbose,
        )

    def influence(self, X_test: Any, y_test: Any) -> NDArray[np.float32]:
        """Return how much every training row helps every test row to be predicted right.

        Parameters
        ----------
        X_test : array-like of shape (n_test, ...)
            Rows of the kind that `fit` was given.
        y_test : array-like of shape (n_test,)
            Their labels; may be None for a Dataset that yields (x, y).

        Returns
        -------
        influence : ndarray of shape (n_test, n_samples), float32
            From -1 to 1; NaN for training rows without a defined memorization. It takes
            ``4 * n_test * n_samples`` bytes.
        """
        correct, predicts, _ = self._correct_on(X_test, y_test)
        result = influence(correct, self.ensemble_.masks_)
        result[~predicts.all(axis=0)] = np.nan
        return result

    def high_influence_pairs(
        self,
        X_test: Any,
        y_test: Any,
        *,
        min_memorization: float = 0.25,
        min_influence: float = 0.15,
    ) -> InfluencePairs:
        """Return the pairs of a memorized training row and a test row that depends on it.

        The published rule: memorization of at least 0.25, influence of at least 0.15, and the same
        label. With fewer than some hundreds of members most pairs that pass do so by chance: look
        at `standard_error_`, which bounds what can be told of an influence, too.

        Parameters
        ----------
        X_test : array-like of shape (n_test, ...)
            Rows of the kind that `fit` was given.
        y_test : array-like of shape (n_test,)
            Their labels; may be None for a Dataset that yields (x, y).
        min_memorization : float, default=0.25
            Of the training row.
        min_influence : float, default=0.15
            Of the training row on the test row.

        Returns
        -------
        pairs : InfluencePairs
            Named tuple of four arrays, `test_index`, `train_index`, `influence` and `memorization`,
            the largest influence first.
        """
        correct, _, targets = self._correct_on(X_test, y_test)
        return high_influence_pairs(
            correct,
            self.ensemble_.masks_,
            self._memorization,
            train_labels=self._targets,
            test_labels=targets,
            min_memorization=min_memorization,
            min_influence=min_influence,
        )

    def _correct_on(
        self, X: Any, y: Any
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[Any]]:
        """Return which members predict the labels of unseen rows, which any, and the labels."""
        with alone():
            rows, _ = self._check_unseen(X, None)
            targets = self._targets_of(rows, y)
            probability = self.ensemble_._member_probability(rows)
        predicts = np.logical_not(np.isnan(probability).any(axis=2))
        return (probability.argmax(axis=2) == targets) & predicts, predicts, targets

    def _score_training_rows(self, X: Rows, targets: NDArray[Any], progress: Task) -> NDArray[Any]:
        result = memorization(self._correct(targets), self.ensemble_.masks_)
        undefined = ~self._predicts().all(axis=0)
        for values in (result.memorization, result.standard_error, result.p_in, result.p_out):
            values[undefined] = np.nan
        self.standard_error_ = result.standard_error
        self.p_in_, self.p_out_ = result.p_in, result.p_out
        self.n_in_, self.n_out_ = result.n_in, result.n_out
        self._targets, self._memorization = targets, result.memorization
        return result.memorization

    def _score_rows(self, X: Rows, targets: NDArray[Any] | None) -> NDArray[Any]:
        raise NotImplementedError(self._no_unseen_because)

    @property
    def _scores_unseen_rows(self) -> bool:
        return False

    @property
    def _column_names(self) -> list[str]:
        return ["memorization"]
