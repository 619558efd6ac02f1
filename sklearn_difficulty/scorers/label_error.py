# SPDX-License-Identifier: BSD-3-Clause
"""LabelErrorScorer: the probability that a label is wrong, and what to put in its place."""

from __future__ import annotations

from copy import copy
from numbers import Integral
from os import PathLike
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from .._progress import Task
from .._warnings import warn_caller
from ..inference.probes import ProbeChoice
from ..inference.probing import VotesReadout
from ..measures.label_noise import fit_noise_model, log_probabilities
from ..measures.review import (
    NoiseReview,
    ReviewPlan,
    calibrate_with_review,
    noise_cuts,
    review_plan,
)
from ..rows.labels import classes_of_columns, codes_of, encode_labels
from ..rows.rows import Rows, given_labels
from ..training.ensemble.resampled import ResampledEnsemble
from ..training.ensemble.splits import smallest_training_set
from ..training.record import TrainingRecord
from ..training.requirements import RecordNeeds
from ..training.skorch_net import NET_TYPES
from ._base import BaseDifficultyScorer
from ._base_ensemble import BaseEnsembleScorer
from ._label_probabilities import (
    EpochsOfOneFit,
    HeldOutMembers,
    LabelSource,
    NeighborsOfOneFit,
    Precomputed,
    choose_method,
    recording_mode,
)
from ._trained_source import RECORD_TYPES

__all__ = ["LabelErrorScorer"]

Noise = Literal["auto", "class", "instance"]


class LabelErrorScorer(BaseEnsembleScorer):
    r"""Score rows by how likely their label is wrong; larger = harder. Without y it finds none.

    The difficulty is the probability that the given label is wrong, in [0, 1], with the likeliest
    true label beside it, the share of wrong labels in the whole, and what a cut would drop. With
    ``method="one_fit"`` or "neighbors" it is one minus the confidence in the given label.

    **What it finds.** Wrong labels. Over four data sets, six kinds of noise and networks that were
    stopped early and that memorise, average precision is 0.89 and 0.84; the held-out probabilities
    of the same networks in the end, which cleanlab ranks by, give 0.84 and 0.76; the F1 of the cut
    at 0.5 is 0.76 and 0.72, that of cleanlab's 0.70 and 0.65. From a single training, "neighbors"
    0.87 and 0.88, "one_fit" 0.87 and 0.82; the F1 of the cut there 0.67 and 0.23. The user guide
    has the figures by kind of noise: errors on doubtful rows are found far worse than random ones.

    Parameters
    ----------
    estimator : net, ensemble, record, "precomputed" or None, default=None
        The skorch net, a classifier, of which clones are trained. What was trained already is read
        without training: a fitted `ResampledEnsemble`, a `TrainingRecord`, or a ``FrozenEstimator``
        around a net that was fitted with ``RecordTraining``. "precomputed" takes class
        probabilities of shape (n_samples, n_classes) in place of X, from networks or any other
        classifier that did not see the row, as of ``cross_val_predict(...,
        method="predict_proba")``. Columns are the sorted classes; if the labels are integers from 0
        on, their positions, and some may be missing. None takes ``training.default_network(X, y)``.
    method : {"auto", "out_of_sample", "one_fit", "neighbors"}, default="auto"
        Where the class probabilities of a row come from. "out_of_sample": from networks of an
        ensemble that did not see the row, averaged over all epochs of their training, and from its
        nearest neighbours in these. "one_fit": from a single training on all rows, averaged over
        its epochs; `record_` then keeps all logits, four bytes per epoch, row and class.
        "neighbors": from the nearest neighbours of the row in the layers of a single network.
        "auto" takes "out_of_sample", unless `estimator` is a single training: then "one_fit" if the
        logits of its epochs were kept and it ends with less than 97 % of the given labels right, or
        there is no network to read, "neighbors" otherwise.
    noise : {"auto", "class", "instance"}, default="auto"
        Which labels are wrong, see `estimate_label_noise`: as many among rows that are easy to tell
        as among doubtful ones ("class"), as after a slip of the hand, or the doubtful ones above
        all ("instance"), as people err. "auto" looks at whether sure rows are contradicted.
    n_members : int, default=5
        How many networks are trained, with "out_of_sample".
    train_size : float, default=0.8
        Share of the rows that each is trained on. With 0.8, five networks hold every row out once.
    n_neighbors : int or None, default=30
        Training rows that are asked at a probe, at most as many as a network is trained on. None
        asks none, with "out_of_sample".
    probes : "auto", str, list of str, or callable, default="auto"
        Layers in which neighbours are looked for, as for `NeighborConfidenceScorer`.
    stratify : bool, default=True
        Whether every part keeps the shares of the classes.
    backend : {"auto", "stacked", "joblib"}, default="auto"
        How members are trained, see `ResampledEnsemble`.
    n_jobs : int, default=None
        Stacks of members, or members one by one, that are trained side by side, each with one torch
        thread. What it may change is said in `ResampledEnsemble`.
    cache_dir : path-like, default=None
        Where finished members are kept, so that an interrupted fit can go on.
    keep_members : bool, default=True
        Whether their weights are kept. Without them unseen rows cannot be scored.
    pickle_bank : bool, default=True
        Whether a pickle holds the training rows, without which unseen rows cannot be scored where
        neighbours are asked.
    batch_size : int, default=512
        Rows a forward pass, at most, when neighbours are looked for.
    undefined : {"nan", "max"}, default="nan"
        What stands for the score of rows that were held out by no member that has seen their class,
        such as the only row of a class: NaN, or the largest score.
    random_state : int, RandomState or None, default=None
        Seeds the splits, and initialisation, row order and dropout of every network.
        An int gives the same scores bit for bit for the same backend, torch thread count and stack
        grouping.
    verbose : int, default=0
        1 prints how many members are finished and about how long the rest takes.

    Attributes
    ----------
    difficulty_ : ndarray of shape (n_samples,), float32
        The training rows with their given labels.
    error_probability_ : ndarray of shape (n_samples,)
        The probability that the given label is wrong.
    suggested_label_ : ndarray of shape (n_samples,)
        The likeliest true label; the given one where that is more likely than any other.
    suggested_label_confidence_ : ndarray of shape (n_samples,)
        Its probability.
    noise_rate_ : float
        The estimated share of wrong labels.
    noise_rate_interval_ : tuple of float
        What it may be, from one end of what `noise` may mean to the other.
    noise_matrix_ : ndarray of shape (n_classes, n_classes)
        Entry (k, j) is the probability that a row of true class k is given the label j.
    class_dependence_ : float
        1 if rows that are easy to tell are mislabelled too, 0 if only doubtful ones are.
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
    estimator_ : skorch.NeuralNet or TrainingRecord
        The network that members are clones of, or that was trained.
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
    `estimate_label_noise` computes the probability :math:`1 - P(y \mid x)` that the label :math:`y`
    is wrong. It cannot be known without an assumption how many labels are wrong; the interval shows
    by how much assumptions differ, and `review_plan` and `calibrate` replace them by a look at some
    rows.

    Networks that were trained on a row do not doubt its label as they should: with "one_fit" and
    "neighbors" the ranking is good and the error probabilities are too low, by far if the network
    has memorised the labels. Drop a share of the rows then, or review some.

    `score_samples` asks all members as they were in the end, and the rows that they were trained
    on. Its scale is learned from what the members said in the end of rows that they held out.
    Without labels it returns the probability that the predicted class is wrong.

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
    >>> low < 0.1 < high
    True
    >>> suspect = scorer.error_probability_ > 0.5
    >>> bool(is_flipped[suspect].mean() > 0.8), bool(suspect[is_flipped].mean() > 0.9)
    (True, True)
    >>> bool((scorer.suggested_label_ == y)[is_flipped].mean() > 0.9)
    True
    """

    _parameter_constraints: dict[str, list[Any]] = {
        **BaseEnsembleScorer._parameter_constraints,
        "estimator": [
            *NET_TYPES,
            TrainingRecord,
            ResampledEnsemble,
            StrOptions({"precomputed"}),
            None,
        ],
        "method": [StrOptions({"auto", "out_of_sample", "one_fit", "neighbors"})],
        "noise": [StrOptions({"auto", "class", "instance"})],
        "n_neighbors": [Interval(Integral, 1, None, closed="left"), None],
        "probes": [str, callable, "array-like"],
        "pickle_bank": ["boolean"],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
    }
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
        stratify: bool = True,
        backend: str = "auto",
        n_jobs: int | None = None,
        cache_dir: str | PathLike[str] | None = None,
        keep_members: bool = True,
        pickle_bank: bool = True,
        batch_size: int = 512,
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
            keep_members=keep_members,
            undefined=undefined,
            random_state=random_state,
            verbose=verbose,
        )
        self.method = method
        self.noise = noise
        self.n_neighbors = n_neighbors
        self.probes = probes
        self.pickle_bank = pickle_bank
        self.batch_size = batch_size

    # -------------------------------------------------------------------------------- public verbs

    def readout(self) -> VotesReadout | None:
        """Return what an ensemble must read from its members, to be read by this scorer.

        Returns
        -------
        readout : callable or None
            For ``ResampledEnsemble(net, readout=...)``; None if no neighbours are asked.
        """
        if self.n_neighbors is None:
            return None
        probes = self.probes
        return VotesReadout(
            n_neighbors=self.n_neighbors,
            # Arrays cannot be compared with one another by ==.
            probes=probes if isinstance(probes, str) or callable(probes) else list(probes),
            batch_size=self.batch_size,
        )

    def review_plan(
        self, n: int = 100, *, cut: float = 0.5, random_state: Any = None
    ) -> ReviewPlan:
        """Choose the training rows whose review tells most about the rate and about a cut.

        Parameters
        ----------
        n : int, default=100
            How many rows.
        cut : float, default=0.5
            The cut on `error_probability_` whose precision is wanted.
        random_state : int, RandomState or None, default=None
            Draws the rows.

        Returns
        -------
        plan : ReviewPlan
            Named tuple of ``rows``, their positions in X, and ``weight``, how many rows each stands
            for. `calibrate` takes the verdicts on them; the scorer remembers the weights.
        """
        check_is_fitted(self)
        known = np.flatnonzero(~np.isnan(self.error_probability_))
        plan = review_plan(self.error_probability_[known], n, cut=cut, random_state=random_state)
        self._plan = ReviewPlan(known[plan.rows], plan.weight)
        return self._plan

    def calibrate(self, reviewed_rows: ArrayLike, verdicts: ArrayLike) -> NoiseReview:
        """Return how many labels are wrong, and what cuts drop, from reviewed rows.

        No assumption about the noise is needed. The fitted attributes stay as they are.

        Parameters
        ----------
        reviewed_rows : array-like of shape (n_reviewed,)
            The rows of the latest `review_plan`, all of them, in any order.
        verdicts : array-like of shape (n_reviewed,), bool
            Whether the label turned out to be wrong.

        Returns
        -------
        review : NoiseReview
            Named tuple of ``noise_rate``, ``noise_rate_interval`` (95 %), ``error_probability`` of
            all rows, and ``cuts``, a table like `cuts_`.

        See Also
        --------
        sklearn_difficulty.measures.calibrate_with_review : The formulas.
        """
        check_is_fitted(self)
        if not hasattr(self, "_plan"):
            raise ValueError("Call review_plan first: it says which rows to review.")
        rows = np.asarray(reviewed_rows)
        is_plan = np.array_equal(np.sort(rows), np.sort(self._plan.rows))
        if rows.dtype.kind not in "iu" or not is_plan:
            raise ValueError(
                f"reviewed_rows must be the {len(self._plan.rows)} rows of the latest "
                "review_plan, each once: their weights hold for all of them together."
            )
        known = ~np.isnan(self.error_probability_)
        place = np.cumsum(known) - 1
        weight = dict(zip(self._plan.rows.tolist(), self._plan.weight.tolist(), strict=True))
        review = calibrate_with_review(
            self.error_probability_[known],
            place[rows],
            [weight[row] for row in rows.tolist()],
            verdicts,
        )
        of_all = np.full(len(known), np.nan)
        of_all[known] = review.error_probability
        return review._replace(error_probability=of_all)

    # ---------------------------------------------------------------------------- the scorer's work

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())  # it may be the scorer's own
        source = state.get("_source")
        if not self.pickle_bank and hasattr(source, "bank"):
            state["_source"] = copy(source)
            state["_source"].bank = None
        return state

    def _forget(self) -> None:
        super()._forget()
        for name in ("_source", "_plan", "_model"):
            self.__dict__.pop(name, None)

    def _method(self) -> str:
        """Return the method of this fit; "auto" is settled once."""
        if hasattr(self, "method_"):
            return self.method_
        record = self._given_record()
        return choose_method(self.method, self.estimator, record, self.n_neighbors)

    def _needs(self) -> RecordNeeds:
        method = self._method()
        if method == "one_fit":
            mode = recording_mode(self.estimator, self._given_record())
            return RecordNeeds.of_trajectories(mode, logits=True) | (
                RecordNeeds.of_checkpoints(10, at_least=0)
            )
        return RecordNeeds(final_network=True) if method == "neighbors" else super()._needs()

    def _check_size(self, n: int) -> None:
        method = self._method()
        if method == "neighbors":
            n_bank = n - 1
        elif method == "out_of_sample" and not isinstance(self.estimator, ResampledEnsemble):
            n_bank = smallest_training_set(n, self.train_size)
        else:
            return
        if self.n_neighbors is not None and self.n_neighbors > n_bank:
            raise ValueError(
                f"n_neighbors={self.n_neighbors} is more than the {n_bank} rows among which "
                f"neighbours are looked for, with n_samples={n}. Set a smaller number."
            )

    def _rehearse(self, record: TrainingRecord, X: Rows, targets: NDArray[Any]) -> None:
        if record.outputs == "values":
            raise ValueError("The network is a regressor, and label errors are those of classes.")
        readout = self.readout()
        if readout is not None and self._method() == "neighbors":
            readout.rehearse(record, X)

    def _readout(self) -> VotesReadout | None:
        return self.readout()

    def _train(self, X: Rows, y: Any, view: Rows, groups: Any, progress: Task) -> NDArray[Any]:
        self.method_ = method = self._method()
        if method == "out_of_sample":
            return super()._train(X, y, view, groups, progress)
        if method != "precomputed":
            return BaseDifficultyScorer._train(self, X, y, view, groups, progress)
        self.classes_ = self._classes_of_columns(X, y)
        return codes_of(y, self.classes_)

    def _classes_of_columns(self, X: Rows, y: Any) -> NDArray[Any]:
        """Return what the columns of precomputed probabilities stand for, after checking them."""
        if not isinstance(X, np.ndarray) or X.ndim != 2:
            raise ValueError(
                "With estimator='precomputed' X must hold class probabilities of shape "
                "(n_samples, n_classes)."
            )
        given, _ = encode_labels(given_labels(X, y, None))
        classes = classes_of_columns(y, X.shape[1])
        if len(classes) != X.shape[1]:
            raise ValueError(
                f"X has {X.shape[1]} columns and y has {len(classes)} classes, "
                f"{classes[:5].tolist()} ...; there must be one column per class, in sorted order. "
                "Where a class does not occur, code the labels as positions of columns."
            )
        expected = [str(label) for label in classes]
        names = list(getattr(self, "feature_names_in_", expected))
        if names != expected and sorted(names) == sorted(expected):
            raise ValueError(
                f"The columns of X are named {names[:5]} ..., but must stand in the order of the "
                f"sorted classes, {expected[:5]} .... Reorder them."
            )
        if len(given) < len(classes) and given[0] != classes[0]:
            warn_caller(
                f"The labels {given[:5].tolist()} ... are taken as positions of columns, so that "
                "column 0 does not occur. If they are numbered from 1, subtract 1."
            )
        return classes

    def _open_source(self) -> LabelSource:
        readout = self.readout()
        if self.method_ == "out_of_sample":
            return HeldOutMembers(self.ensemble_, readout)
        if self.method_ == "one_fit":
            return EpochsOfOneFit(self.record_, self.batch_size)
        if self.method_ == "precomputed":
            return Precomputed()
        assert readout is not None
        return NeighborsOfOneFit(self.record_, readout)

    def _score_training_rows(self, X: Rows, targets: NDArray[Any], progress: Task) -> NDArray[Any]:
        self.method_ = self._method()
        if hasattr(self, "record_"):  # a given one has not been rehearsed
            self._rehearse(self.record_, X, targets)
        self._source = self._open_source()
        self.probabilities_, as_unseen = self._source.of_training_rows(X, targets, progress)
        known = ~np.isnan(self.probabilities_).any(axis=1)
        if not known.any():
            raise ValueError("No row was held out by any member; train more members.")
        found, self._model = fit_noise_model(
            self.probabilities_[known], targets[known], noise=self.noise
        )
        if as_unseen is not self.probabilities_ and self._scores_unseen_rows:
            self._model = fit_noise_model(as_unseen[known], targets[known], noise=self.noise)[1]
        self.noise_rate_ = found.noise_rate
        self.noise_rate_interval_ = found.noise_rate_interval
        self.noise_matrix_ = found.noise_matrix
        self.class_dependence_ = found.class_dependence
        self.cuts_ = noise_cuts(found.error_probability, found.error_probability_bounds)
        self.error_probability_ = np.full(len(targets), np.nan)
        self.error_probability_[known] = found.error_probability
        self.suggested_label_confidence_ = np.full(len(targets), np.nan)
        self.suggested_label_confidence_[known] = found.suggested_probability
        suggested = targets.copy()
        suggested[known] = found.suggested
        self.suggested_label_ = self.classes_[suggested]
        if self._is_calibrated:
            return self.error_probability_
        return 1 - self.probabilities_[np.arange(len(targets)), targets]

    @property
    def _is_calibrated(self) -> bool:
        """Whether the difficulty is an error probability: not where rows were trained on."""
        return self.method_ in ("out_of_sample", "precomputed")

    def _score_rows(self, X: Rows, targets: NDArray[Any] | None) -> NDArray[Any]:
        probabilities = self._source.of_unseen_rows(X)
        known = ~np.isnan(probabilities).any(axis=1)
        labels = probabilities.argmax(axis=1) if targets is None else targets
        scores = 1 - probabilities[np.arange(len(labels)), labels]
        if self._is_calibrated and known.any():
            given = None if targets is None else targets[known]
            log_q = log_probabilities(probabilities[known])
            scores[known] = self._model.error_probability(log_q, given)
        return scores

    def _targets_of(self, X: Rows, y: Any) -> NDArray[Any]:
        if self.method_ == "precomputed":
            return codes_of(given_labels(X, y, None), self.classes_)
        if self.method_ == "out_of_sample":
            return super()._targets_of(X, y)
        return BaseDifficultyScorer._targets_of(self, X, y)

    @property
    def _scores_unseen_rows(self) -> bool:
        reads_members = self.method in ("auto", "out_of_sample") and not isinstance(
            self.estimator, (str, *RECORD_TYPES)
        )
        return not reads_members or self._has_members()

    @property
    def _column_names(self) -> list[str]:
        return ["label_error"]
