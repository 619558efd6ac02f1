# SPDX-License-Identifier: BSD-3-Clause
"""LabelErrorScorer: the probability that a label is wrong, and what to put in its place."""

from __future__ import annotations

from copy import copy
from numbers import Integral
from os import PathLike
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import get_tags
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from .._progress import Task
from ..inference.probes import ProbeChoice
from ..inference.probing import VotesReadout
from ..measures.label_noise import fit_noise_model
from ..rows.given import GivenRows
from ..rows.rows import Rows
from ..training.bare_modules import refuse_bare_modules
from ..training.ensemble.resampled import ResampledEnsemble
from ..training.ensemble.splits import smallest_training_set
from ..training.record import TrainingRecord
from ..training.requirements import RecordNeeds
from ..training.skorch_net import NET_TYPES
from ._base import BaseDifficultyScorer
from ._base_ensemble import (
    CONSTRAINTS,
    MEMBERS_ARE_GONE,
    TRAIN_SIZE,
    EnsembleTraining,
    not_one_of_several,
)
from ._judges import is_judge
from ._trained_source import RECORD_TYPES, TrainedSource, given_record
from .label_noise.judges import ClassifierTraining, check_classifier
from .label_noise.precomputed import GivenProbabilities, warn_of_ignorance, warn_of_missing_doubt
from .label_noise.review import EstimatesNoise
from .label_noise.sources import (
    choose_method,
    known_rows,
    needs_of,
    open_source,
    refuse_too_many_neighbors,
)
from .label_noise.suspects import ListsSuspects

__all__ = ["LabelErrorScorer"]

Noise = Literal["auto", "class", "instance"]


class LabelErrorScorer(ListsSuspects, EstimatesNoise, BaseDifficultyScorer):
    r"""Score rows by how likely their label is wrong; larger = harder. Without y it finds none.

    The difficulty is a score in [0, 1] that orders rows by suspicion. Beside it stand the
    probability that the label is wrong, which never falls in that order, the likeliest true label,
    the share of wrong labels in the whole, and what a cut would drop. With ``method="one_fit"`` or
    "neighbors" the difficulty is one minus the confidence in the given label.

    **What it finds.** Wrong labels. On published held-out probabilities of CIFAR-10 with random
    errors, with those of its annotators (9 and 40 % wrong), and of roman numerals, average
    precision is 0.99, 0.88, 0.96 and 0.51; the F1 of the cut at 0.5 is 0.95, 0.78, 0.87 and 0.51,
    that of cleanlab's 0.94, 0.67, 0.85 and 0.29. From a single training, over three data sets and
    networks that were stopped early and that memorise, average precision is 0.90 and 0.91 with
    "neighbors", 0.91 and 0.83 with "one_fit"; Notes say when there is a cut then. Errors on
    doubtful rows are found far worse than random ones: the user guide has the figures by kind of
    noise.

    Parameters
    ----------
    estimator : net, classifier, ensemble, record, "precomputed" or None, default=None
        The skorch net, a classifier, of which clones are trained. Or any other classifier, of
        scikit-learn's kind and with `predict_proba`, a Pipeline say, as the judge: X is passed on
        as it is, and clones are asked about the rows that they were not trained on, see Notes.
        What was trained already is read without training: a fitted `ResampledEnsemble`, a
        `TrainingRecord`, or a ``FrozenEstimator`` around a net that was fitted with
        ``RecordTraining``. "precomputed" takes class probabilities of shape (n_samples, n_classes)
        in place of X, from models that did not see the row. Columns are the sorted classes; if the
        labels are integers from 0 on, their positions, and some may be missing. None takes
        ``training.default_network(X, y)``.
    method : {"auto", "out_of_sample", "one_fit", "neighbors"}, default="auto"
        Where the class probabilities of a row come from. "out_of_sample": from networks of an
        ensemble that did not see the row, averaged over all epochs of their training, and from its
        nearest neighbours in these; or from such clones of another classifier. "one_fit": from a
        single training on all rows, averaged over its epochs; `record_` then keeps all logits, four
        bytes per epoch, row and class. "neighbors": from the nearest neighbours of the row in the
        layers of a single network. "auto" takes "out_of_sample", unless `estimator` is a single
        training: then "one_fit" if the logits of its epochs were kept and it ends with less than
        97 % of the given labels right, or there is no network to read, "neighbors" otherwise.
    noise : {"auto", "class", "instance"}, default="auto"
        Which labels are wrong, see `estimate_label_noise`: as many among rows that are easy to tell
        as among doubtful ones ("class"), as after a slip of the hand, or the doubtful ones above
        all ("instance"), as people err. "auto" lies between the two, by how many of the
        contradicted labels slips explain.
    n_members : int, default=5
        How many networks, or clones of another classifier, are trained, with "out_of_sample".
    train_size : float, default=0.8
        Share of the rows that each is trained on. With 0.8, five networks hold every row out once.
    n_neighbors : int or None, default=30
        Training rows that are asked at a probe, at most as many as a network is trained on. None
        asks none, with "out_of_sample" and "one_fit"; the latter has no error probabilities then.
        This and what else is of networks (down to `max_bank`, `backend`, `pickle_bank`,
        `batch_size`) does not matter for another classifier.
    probes : "auto", str, list of str, or callable, default="auto"
        Layers in which neighbours are looked for, as for `NeighborConfidenceScorer`.
    pool : int or None, default=None
        Maps of more than this many positions along a side are averaged down to that many before
        distances are measured, as for `NeighborConfidenceScorer`. Of 10,000 images of clothing and
        a network of two convolutions, 7 takes a third of the time and raises average precision from
        0.973 to 0.976.
    max_bank : int or None, default=20000
        Among at most so many of the rows that a network is trained on neighbours are looked for,
        drawn with the shares of the classes; None takes all. Beyond that size the time of this step
        grows with the number of rows, and not with its square. Of 60,000 images of clothing and a
        network of two layers it takes half as long as with all rows, which is as long as the
        trainings, and average precision is 0.972 in place of 0.974 (0.963 without neighbours).
    stratify : bool, default=True
        Whether every part keeps the shares of the classes.
    backend : {"auto", "stacked", "joblib"}, default="auto"
        How members are trained, see `ResampledEnsemble`.
    n_jobs : int, default=None
        Stacks of members, or members one by one, that are trained side by side, each with one torch
        thread; or clones of another classifier. What it may change for networks is said in
        `ResampledEnsemble`.
    cache_dir : path-like, default=None
        Where finished members are kept, so that an interrupted fit can go on; of networks only.
    cache_key : str, default=None
        Stands for what `cache_dir` cannot recognise, see `ResampledEnsemble`.
    keep_members : bool, default=True
        Whether their weights, or the clones, are kept. Without them unseen rows cannot be scored.
    pickle_bank : bool, default=True
        Whether a pickle holds the training rows, without which unseen rows cannot be scored where
        neighbours are asked.
    batch_size : int, default=512
        Rows a forward pass, at most, when neighbours are looked for.
    undefined : {"nan", "max"}, default="nan"
        What stands for the score of rows that were held out by no member that has seen their class,
        such as the only row of a class: NaN, or the largest score.
    random_state : int, RandomState or None, default=None
        Seeds the splits, initialisation, row order and dropout of every network, and parameters of
        another classifier that are called random_state and are None. An int gives the same scores
        bit for bit for the same backend, torch thread count and stack grouping.
    verbose : int, default=0
        1 prints how many members are finished and about how long the rest takes.

    Attributes
    ----------
    difficulty_ : ndarray of shape (n_samples,), float32
        The training rows with their given labels.
    error_probability_ : ndarray of shape (n_samples,)
        The probability that the given label is wrong. From a single training it and the next seven
        are there if neighbours in the input can tell, see Notes.
    suggested_label_ : ndarray of shape (n_samples,)
        The likeliest true label; the given one where that is more likely than any other.
    suggested_label_confidence_ : ndarray of shape (n_samples,)
        Its probability.
    noise_rate_ : float
        The estimated share of wrong labels.
    noise_rate_interval_ : tuple of float
        What it may be, from slips alone to all doubt.
    noise_matrix_ : ndarray of shape (n_classes, n_classes)
        Entry (k, j) is the probability that a row of true class k is given the label j by a slip.
    class_dependence_ : float
        In [0, 1]: the share of the labels that are not the predicted class which slips explain,
        errors that hit easy rows too. Near 0 only doubtful rows are contradicted.
    cuts_ : structured ndarray
        What dropping the rows above a cut on `error_probability_` finds: the fields of
        `noise_cuts`, with intervals. ``pandas.DataFrame(scorer.cuts_)`` is a table.
    probabilities_ : ndarray of shape (n_samples, n_classes)
        The class probabilities that all this is computed from.
    method_ : {"out_of_sample", "one_fit", "neighbors", "precomputed"}
        The method that was used.
    n_undefined_ : int
        Rows that were held out by no member that knows their class.
    ensemble_ : ResampledEnsemble
        The members, with "out_of_sample"; other scorers can read it.
    record_ : TrainingRecord
        What the training left behind, with "one_fit" and "neighbors".
    estimators_ : list of estimators
        The clones of a classifier that is no network, fitted: one for every part of the rows.
    estimator_ : estimator or TrainingRecord
        The network, or classifier, that members are clones of; or the network that was trained.
    classes_ : ndarray of shape (n_classes,)
        The classes, in the order of the columns of `probabilities_`.
    n_features_in_ : int
        Size of axis 1 of X, for arrays.

    See Also
    --------
    FilteredClassifier : Drops or relabels what this finds, and trains a classifier on the rest.
    DifficultyQuadrantClassifier : Tells wrong labels from ambiguous rows.
    NeighborConfidenceScorer : Ranks wrong labels from a single training.
    sklearn_difficulty.measures.estimate_label_noise : The formulas, and what they assume.

    Notes
    -----
    With :math:`p_k^e(x)` the class probabilities that network :math:`k` gives row :math:`x` in
    epoch :math:`e` of :math:`E`, and :math:`v_k(x)` the shares of the classes among the nearest
    rows that it was trained on (`n_neighbors` at every probe, and one vote that is shared by all
    classes), the probabilities of "out_of_sample" are the mean of

    .. math:: \frac{1}{2} \left( \frac{1}{E} \sum_e p_k^e(x) + v_k(x) \right)

    over the networks that were not trained on :math:`x`, but on other rows of its class. From them
    `estimate_label_noise` computes the order of the rows and the probability that a label is wrong.
    It cannot be known without an assumption how many are; the interval shows by how much
    assumptions differ, and `review_plan` and `calibrate` replace them by a look at some rows.

    Of another classifier they are the mean of `predict_proba` over its clones that were not trained
    on :math:`x`, but on other rows of its class. The rows that a clone is given were taken from X,
    so that a DataFrame with missing values and categories, a sparse matrix or a list of texts
    reaches it as it is. What it was fitted on before does not count; a part of it that stays
    fitted, behind a ``FrozenEstimator``, may have seen the labels, which is warned of where it
    shows.

    A network that was trained on a row does not doubt its label as it should: with "one_fit" and
    "neighbors" it ranks, but cannot tell how many labels are wrong. That say the nearest other rows
    in the input, which no training has moved: from their votes `estimate_label_noise` computes
    error probabilities, which isotonic regression averages along the order of the difficulty. If
    the two knew nothing of each other, half of the errors that neighbours see would lie in the
    easier half of the rows. If more than a quarter does, one of them tells too little, and nothing
    is estimated: `error_probability_` and what is computed from it, down to `cuts_`, are absent,
    with an AttributeError that says why, and filters with ``drop="auto"`` raise. So it is for token
    ids, between which there is no distance, without a network, and with ``n_neighbors=None``. Drop
    a share of the rows then, take "out_of_sample", or review some: `review_plan` and `calibrate`
    read the difficulty in place of the error probability.

    `score_samples` asks all members as they were in the end, and the rows that they were trained
    on. Its scale, that of the difficulty, is learned from what the members said in the end of rows
    that they held out. Without labels it returns how far the predicted class is from certain.

    References
    ----------
    C. Northcutt, L. Jiang, I. Chuang, "Confident learning: estimating uncertainty in dataset
    labels", JAIR 70, 2021, :arxiv:`1911.00068`, is what most people use for this.

    G. Pleiss et al., "Identifying Mislabeled Data using the Area Under the Margin Ranking",
    NeurIPS 2020, :arxiv:`2001.10528`, average over epochs; D. Bahri, H. Jiang, M. Gupta, "Deep k-NN
    for Noisy Labels", ICML 2020, :arxiv:`2004.12289`, ask neighbours.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_difficulty import LabelErrorScorer
    >>> from sklearn_difficulty.datasets import make_label_noise
    >>> X, y = load_digits(return_X_y=True)
    >>> y_noisy, is_flipped = make_label_noise(y, rate=0.1, random_state=0)
    >>> scorer = LabelErrorScorer(random_state=0).fit(X, y_noisy)
    >>> low, high = scorer.noise_rate_interval_
    >>> print(f"wrong labels: {low:.0%} to {high:.0%}")
    wrong labels: 7% to 14%
    >>> suspect = scorer.error_probability_ > 0.5
    >>> print(f"{suspect.sum()} suspects, {is_flipped[suspect].sum()} are wrong")
    191 suspects, 177 are wrong
    >>> print(f"all wrong labels: {is_flipped.sum()}")
    all wrong labels: 180
    >>> scorer.suspects(3)[["row", "given", "suggested"]]  # to look at first
           row  given  suggested
    1375  1375      3          6
    1467  1467      6          7
    1719  1719      0          7
    >>> y[[1375, 1467, 1719]]  # what they are in truth
    array([6, 7, 7])

    Any classifier may judge in place of a network:

    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> judge = KNeighborsClassifier(10)
    >>> scorer = LabelErrorScorer(judge, random_state=0).fit(X, y_noisy)
    >>> suspect = scorer.error_probability_ > 0.5
    >>> print(f"{suspect.sum()} suspects, {is_flipped[suspect].sum()} are wrong")
    187 suspects, 176 are wrong
    """

    _parameter_constraints: dict[str, list[Any]] = {
        **BaseDifficultyScorer._parameter_constraints,
        **TRAIN_SIZE,
        **CONSTRAINTS,
        "estimator": [
            *NET_TYPES,
            TrainingRecord,
            ResampledEnsemble,
            HasMethods(["fit", "predict", "get_params", "set_params"]),
            StrOptions({"precomputed"}),
            None,
        ],
        "method": [StrOptions({"auto", "out_of_sample", "one_fit", "neighbors"})],
        "noise": [StrOptions({"auto", "class", "instance"})],
        "n_neighbors": [Interval(Integral, 1, None, closed="left"), None],
        "probes": [str, callable, "array-like"],
        "pool": [Interval(Integral, 1, None, closed="left"), None],
        "max_bank": [Interval(Integral, 2, None, closed="left"), None],
        "pickle_bank": ["boolean"],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
    }
    classes_: NDArray[Any]
    ensemble_: ResampledEnsemble
    record_: TrainingRecord
    _provides = ("error_probability_", "suggested_label_")
    _no_unseen_because = MEMBERS_ARE_GONE
    _undefined_because = (
        "no network that has seen their class held them out (train more members), or what it makes "
        "of them is not finite"
    )

    def __init__(
        self,
        estimator: Any = None,
        *,
        method: str = "auto",
        noise: Noise = "auto",
        n_members: int = 5,
        train_size: float = 0.8,
        n_neighbors: int | None = 30,
        probes: ProbeChoice = "auto",
        pool: int | None = None,
        max_bank: int | None = 20_000,
        stratify: bool = True,
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
        self.method = method
        self.noise = noise
        self.n_members = n_members
        self.train_size = train_size
        self.n_neighbors = n_neighbors
        self.probes = probes
        self.pool = pool
        self.max_bank = max_bank
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

    def readout(self) -> VotesReadout | None:
        """Return what an ensemble must read from its members, to be read by this scorer.

        Returns
        -------
        readout : callable or None
            For ``ResampledEnsemble(net, readout=...)``; None if no neighbours are asked.
        """
        if self.n_neighbors is None:
            return None
        return VotesReadout(
            self.n_neighbors,
            self.probes,
            pool=self.pool,
            batch_size=self.batch_size,
            max_bank=self.max_bank,
        )

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())  # it may be the scorer's own
        source = state.get("_source")
        if not self.pickle_bank and hasattr(source, "bank"):
            state["_source"] = copy(source)
            state["_source"].bank = None
        return state

    def _forget(self) -> None:
        super()._forget()
        for name in ("_source", "_judged", "_plans", "_model", "_no_noise_because"):
            self.__dict__.pop(name, None)

    def _method(self) -> str:
        """Return the method of this fit; "auto" is settled once."""
        if hasattr(self, "method_"):
            return self.method_
        record = given_record(self.estimator)
        return choose_method(self.method, self.estimator, record, self.n_neighbors)

    def _needs(self) -> RecordNeeds:
        method = self._method()
        if method in ("out_of_sample", "precomputed"):
            raise not_one_of_several(self)
        return needs_of(method, self.estimator)

    def _check_estimator(self) -> None:
        refuse_bare_modules(self, "estimator")
        if self._asks_judge:
            check_classifier(self)

    def _check_size(self, n: int) -> None:
        method = self._method()
        largest = n if self.max_bank is None else self.max_bank
        if method == "neighbors":
            n_bank = min(n, largest) - 1
        elif method == "out_of_sample" and not self._asks_judge and not self._reads_ensemble:
            n_bank = min(smallest_training_set(n, self.train_size), largest)
        else:
            return
        refuse_too_many_neighbors(self.n_neighbors, n_bank, n, self.max_bank)

    @property
    def _asks_judge(self) -> bool:
        """Whether any other classifier than a network is asked."""
        return is_judge(self.estimator)

    @property
    def _reads_ensemble(self) -> bool:
        """Whether an ensemble is read that was fitted before."""
        return isinstance(self.estimator, ResampledEnsemble)

    def _rows(self, X: Any) -> Rows:
        return GivenRows(X) if self._asks_judge else super()._rows(X)

    def _rehearse(self, record: TrainingRecord, X: Rows, targets: NDArray[Any]) -> None:
        if record.head.is_regression:
            raise ValueError("The network is a regressor, and label errors are those of classes.")
        readout = self.readout()
        if readout is not None and self._method() == "neighbors":
            readout.rehearse(record, X)

    def _trained_source(self) -> TrainedSource:
        method = self._method()
        if method == "precomputed":
            classes, names = (getattr(self, n, None) for n in ("classes_", "feature_names_in_"))
            return GivenProbabilities(classes, names)
        return self._held_out_source() if method == "out_of_sample" else super()._trained_source()

    def _held_out_source(self) -> TrainedSource:
        """Return the source of members or of clones, trained now or given."""
        if self._asks_judge:
            return ClassifierTraining(self, getattr(self, "classes_", None))
        return EnsembleTraining.of(self, train_size=lambda: self.train_size, readout=self.readout)

    def _reads_rows(self, source: TrainedSource) -> bool:
        # Neighbours in the input are asked after a single training, too.
        return source.reads_rows or (self._method() == "one_fit" and self.n_neighbors is not None)

    def _train(self, X: Rows, y: Any, view: Rows, groups: Any, progress: Task) -> NDArray[Any]:
        self.method_ = self._method()
        self._keep_dtype(y)
        return super()._train(X, y, view, groups, progress)

    def _score_training_rows(self, X: Rows, targets: NDArray[Any], progress: Task) -> NDArray[Any]:
        self.method_, self._given = self._method(), targets
        ensemble = getattr(self, "ensemble_", getattr(self, "_judged", None))
        trained = getattr(self, "record_", ensemble)
        self._source = open_source(self.method_, trained, self.readout(), self.batch_size)
        self.probabilities_, as_unseen = self._source.of_training_rows(X, targets, progress)
        # All or none of a row's probabilities are NaN, and a sum needs no memory of their size.
        known = ~np.isnan(self.probabilities_.sum(axis=1))
        if not known.any():
            raise ValueError("No row was held out by any member; train more members.")
        if not self._is_calibrated:
            difficulty = 1 - self.probabilities_[np.arange(len(targets)), targets]
            self._tell_noise_in_order(difficulty, X, targets, progress)
            return difficulty
        if self.method_ == "out_of_sample":
            held_out = known_rows(self.probabilities_, known), targets[known]
            warn_of_ignorance(*held_out)
            warn_of_missing_doubt(*held_out)
        noise, self._model = fit_noise_model(
            known_rows(self.probabilities_, known), targets[known], noise=self.noise
        )
        if as_unseen is not self.probabilities_ and self._scores_unseen_rows:
            seen = known_rows(as_unseen, known), targets[known]
            self._model = fit_noise_model(*seen, noise=self.noise)[1]
        self._keep_noise(noise, known, targets)
        difficulty = np.full(len(targets), np.nan, dtype=np.float32)
        difficulty[known] = noise.difficulty
        return difficulty

    @property
    def _is_calibrated(self) -> bool:
        """Whether the difficulty is an error probability: not where rows were trained on."""
        return self.method_ in ("out_of_sample", "precomputed")

    def _score_rows(self, X: Rows, targets: NDArray[Any] | None) -> NDArray[Any]:
        probabilities = self._source.of_unseen_rows(X)
        known = ~np.isnan(probabilities.sum(axis=1))
        labels = probabilities.argmax(axis=1) if targets is None else targets
        scores = 1 - probabilities[np.arange(len(labels)), labels]
        if self._is_calibrated and known.any():
            given = None if targets is None else targets[known]
            scores[known] = self._model.difficulty(known_rows(probabilities, known), given)
        return scores

    @property
    def _scores_unseen_rows(self) -> bool:
        reads_members = self.method in ("auto", "out_of_sample") and not isinstance(
            self.estimator, (str, *RECORD_TYPES)
        )
        return not reads_members or self._held_out_source().scores_unseen_rows

    @property
    def _column_names(self) -> list[str]:
        return ["label_error"]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        if self._asks_judge and hasattr(self.estimator, "__sklearn_tags__"):
            tags.input_tags = get_tags(self.estimator).input_tags
        return tags
