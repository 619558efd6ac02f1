# SPDX-License-Identifier: BSD-3-Clause
"""ConsistencyScorer: how often networks that did not see a row predict its label."""

from __future__ import annotations

from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._progress import Task
from ..measures import consensus_class, consensus_consistency, consistency_score
from ..rows.rows import Rows
from ._base_ensemble import BaseEnsembleScorer

__all__ = ["ConsistencyScorer"]


class ConsistencyScorer(BaseEnsembleScorer):
    r"""Score rows by how often networks that did not see them get them wrong; larger = harder.

    The difficulty is one minus the consistency score (C-score): the share of the networks that held
    the row out and predict its given label. From 0 (all do) to 1 (none does), in steps of one over
    the number of times that the row was held out.

    **What it finds.** Rows that the rest of the data does not explain: wrong labels, rare cases and
    ambiguous ones alike, without telling them apart; `DifficultyQuadrantClassifier` does. It takes
    few values, so that among the hardest rows it cannot rank: with 20 % of the labels flipped and
    networks that memorise them, its average precision was 0.51 (Fashion-MNIST) and 0.71 (digits),
    that of the held-out probability averaged over training 0.91 and 0.98 (`ResampledEnsemble`).

    Parameters
    ----------
    estimator : skorch.NeuralNet, ResampledEnsemble or None, default=None
        The network, a classifier, of which clones are trained on parts of the rows. A fitted
        `ResampledEnsemble` is read without training, and its own settings hold. None takes
        ``training.default_network(X, y)``.
    n_members : int, default=30
        How many networks are trained.
    train_size : float, default=0.9
        Share of the rows that each is trained on. With 0.9, 30 members hold every row out three
        times.
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
        Whether weights are kept. Without them unseen rows cannot be scored.
    undefined : {"nan", "max"}, default="nan"
        What stands for rows that were never held out: NaN, or the largest score of the others.
    random_state : int, RandomState or None, default=None
        Seeds the splits, and initialisation, row order and dropout of every member.
        An int gives the same scores bit for bit for the same backend, torch thread count and stack
        grouping.
    verbose : int, default=0
        1 prints how many members are finished and about how long the rest takes.

    Attributes
    ----------
    difficulty_ : ndarray of shape (n_samples,), float32
        One minus `consistency_`.
    consistency_ : ndarray of shape (n_samples,)
        Share of the members that held the row out and predict its given label.
    consensus_class_ : ndarray of shape (n_samples,)
        The class that most of these members predict; None (in an object array) for rows that were
        never held out.
    consensus_consistency_ : ndarray of shape (n_samples,)
        Share of these members that predict it.
    n_held_out_ : ndarray of shape (n_samples,)
        How many members held the row out.
    n_undefined_ : int
        Rows that none held out.
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
    MemorizationScorer : What changes if the row is trained on.
    DifficultyQuadrantClassifier : Four kinds of difficulty from the same members.
    sklearn_difficulty.measures.consistency_score : The share, for predictions that you have.

    Notes
    -----
    For a row :math:`x` with given label :math:`y`, and the members :math:`h_k` whose training rows
    :math:`I_k` leave it out,

    .. math:: \hat{C}(x, y) = \frac{|\{k : x \notin I_k,\ h_k(x) = y\}|}{|\{k : x \notin I_k\}|}.

    The consensus class is the class that most of them predict (ties: the given label if it is among
    the tied, else the first class), the consensus-consistency the share that does. Both come from
    the same members, which flatters the share when there are few.

    `score_samples` asks all members: without labels it returns one minus their
    consensus-consistency, with labels the share that does not predict them. On rows without labels
    it cannot find wrong ones.

    References
    ----------
    Z. Jiang, C. Zhang, K. Talwar, M. C. Mozer, "Characterizing Structural Regularities of Labeled
    Data in Overparameterized Models", ICML 2021, :arxiv:`2002.03206`.

    R. Baldock, H. Maennel, B. Neyshabur, "Deep Learning Through the Lens of Example Difficulty",
    NeurIPS 2021, section 3.1 and appendix A.6, :arxiv:`2106.09647`.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn_difficulty import ConsistencyScorer
    >>> X, y = load_wine(return_X_y=True)
    >>> scorer = ConsistencyScorer(
    ...     n_members=10, train_size=0.8, random_state=0
    ... ).fit(X, y)
    >>> int(scorer.n_held_out_.min())
    2
    >>> scorer.score_samples(X[:3]).shape
    (3,)
    """

    _provides: tuple[str, ...] = ()
    _undefined_because = "no member held them out, or gave them finite outputs; train more members"

    def __init__(
        self,
        estimator: Any = None,
        *,
        n_members: int = 30,
        train_size: float = 0.9,
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

    def _score_training_rows(self, X: Rows, targets: NDArray[Any], progress: Task) -> NDArray[Any]:
        held_out = ~self.ensemble_.masks_ & self._predicts()
        predictions = self.ensemble_.predictions_
        self.n_held_out_ = held_out.sum(axis=0)
        self.consistency_ = consistency_score(self._correct(targets), held_out)
        self.consensus_class_ = self._labels(consensus_class(predictions, held_out, targets))
        self.consensus_consistency_ = consensus_consistency(predictions, held_out)
        return 1 - self.consistency_

    def _score_rows(self, X: Rows, targets: NDArray[Any] | None) -> NDArray[Any]:
        probability = self.ensemble_._member_probability(X)
        predictions, votes = probability.argmax(axis=2), ~np.isnan(probability).any(axis=2)
        if targets is None:
            return 1 - consensus_consistency(predictions, votes)
        return consistency_score(predictions != targets, votes)

    @property
    def _column_names(self) -> list[str]:
        return ["inconsistency"]
