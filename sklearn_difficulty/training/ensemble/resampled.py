# SPDX-License-Identifier: BSD-3-Clause
"""ResampledEnsemble: many networks, each trained on a random part of the rows."""

from __future__ import annotations

from contextlib import suppress
from numbers import Integral, Real
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn

from ..._progress import CallbackSupportMixin, Task, root_task, with_callbacks
from ..._randomness import draw_seed, one_thread
from ..._reprs import ShowsFindings
from ..._warnings import located, warn_caller
from ...rows.copies import warn_of_divided_copies
from ...rows.labels import among_columns
from ...rows.rows import Rows, as_rows
from ...rows.views import as_view
from ...rows.width import check_width
from ..default import untrained_net
from ..files.folders import folder_of
from ..fit import targets_for, unfitted_clone
from ..learning import knows_already, warn_of_knowing, warn_of_members
from ..skorch_net import (
    UNTRAINED_TYPES,
    collate_fn,
    columns_of,
    keep_trace,
    refuse_other_estimators,
    refuse_values_out_of_range,
    warn_of_seen_rows,
)
from ..teachers import refuse_fitted_teacher
from .cache import MemberStore
from .fitted import FittedMembers
from .member import (
    Pool,
    Readout,
    initialized_clone,
    record_that_fits,
    refuse_untrainable,
    untrained_record,
)
from .runs import Plan, train_members
from .splits import draw_masks
from .stack_checks import choose_backend, stack_size, stacks_at_a_time

__all__ = ["ResampledEnsemble"]

_STACK_TO_LOSE = 10  # members, if the process is killed


class ResampledEnsemble(ShowsFindings, CallbackSupportMixin, FittedMembers, BaseEstimator):
    r"""Train many networks, each on a random part of the rows, and ask each about all rows.

    What every network says about rows that it was, and was not, trained on is the material of
    consistency, memorization, the four quadrants of difficulty and out-of-sample label errors. One
    fitted ensemble serves them all.

    Parameters
    ----------
    estimator : skorch.NeuralNet or None, default=None
        The network; every member is a clone of it. None takes ``training.default_network(X, y)``,
        a classifier.
    n_members : int, default=30
        How many are trained.
    train_size : float, default=0.9
        Share of the rows that each is trained on, in (0, 1). If ``1 / (1 - train_size)`` is a whole
        number K (2 for 0.5, 10 for 0.9), the rows are dealt into K folds at random, again and
        again, and each member leaves one fold out: every row is held out equally often. Otherwise
        each member gets its own random draw.
    stratify : bool, default=False
        Whether every part keeps the shares of the classes.
    backend : {"auto", "stacked", "joblib"}, default="auto"
        "stacked" trains members together, their parameters stacked; "joblib" trains them one by
        one. "auto" takes "stacked" where it is possible and faster, see Notes.
    stack_size : int, default=None
        Members in a stack. None takes eight on a CPU, see Notes for when it takes fewer, and on a
        GPU as many as fit half of its memory, with `cache_dir` ten at most, since a stack is
        written when it is finished.
    n_jobs : int, default=None
        How many stacks, or members one by one, are trained side by side, each with one torch
        thread; None means 1 unless in a ``joblib.parallel_config`` context. It changes no result
        as long as it leaves the stacks as they are, see Notes. Threads of one process share torch's
        random generators and train one after the other: use processes. On a GPU one stack is
        trained at a time, in this process.
    cache_dir : path-like, default=None
        Where every member is written as soon as it is finished. Another fit with the same network,
        data, split, seed and readout takes it from there, also if the process was killed meanwhile.
        The user guide says :ref:`what is recognised <members_on_disk>`.
    cache_key : str, default=None
        Stands, in `cache_dir`, for what of network, data and readout cannot be recognised, such as
        files that your code reads: change it whenever that changes. None refuses to cache where
        there is such a thing, by an error that names it.
    readout : callable, default=None
        ``readout(record, X, codes, trained_on)`` is called once for every member with its
        `TrainingRecord`, all rows, the positions of their labels in `classes_`, and which of them
        it was trained on, a boolean (n_samples,). It returns a dict of arrays of numbers. With
        `n_jobs` it must be picklable. Records hold the final network; for checkpoints and
        trajectories put a `RecordTraining` into the callbacks of the net, whose members are then
        trained one by one.
    keep_members : bool, default=False
        Whether the weights of the members are kept, so that they can be asked about other rows.
    random_state : int, RandomState or None, default=None
        Seeds the splits, and every member's initialisation, row order and dropout. An int gives the
        same results bit for bit for the same backend, torch thread count and stack grouping. The
        first members do not depend on `n_members`.
    verbose : int, default=0
        1 prints how many members are finished and about how long the rest takes; 2 lets the
        networks print what they are set to print, too.

    Attributes
    ----------
    masks_ : ndarray of shape (n_members, n_samples), bool
        Which rows each member was trained on.
    predictions_ : ndarray of shape (n_members, n_samples), int32
        Position in `classes_` of the class that each member predicts in the end, for all rows. Of
        regressors the values, (n_members, n_samples, n_outputs), float32.
    given_probability_ : ndarray of shape (n_members, n_samples), float32
        Probability that each member gives to the given label in the end.
    held_out_probability_ : list of ndarray of shape (n_held_out, n_classes), float32
        For each member the class probabilities, in the end, of the rows that it was not trained on,
        ``np.flatnonzero(~masks_[k])``.
    mean_held_out_probability_ : list of ndarray of shape (n_held_out, n_classes), float32
        The same, averaged over all epochs of the training.
    mean_held_out_prediction_ : list of ndarray of shape (n_held_out, n_outputs), float32
        Of regressors, in place of the three before: for each member the mean, over all epochs, of
        what it predicts for the rows that it was not trained on.
    readout_ : dict of str to ndarray
        What the readout returned, with the members along axis 0; a list of arrays where the members
        returned different shapes.
    train_accuracy_ : float
        Share of the rows that were trained on, over all members, whose given label is predicted in
        the end. Near 1, the networks have memorised their labels, wrong ones included.
    classes_ : ndarray of shape (n_classes,) or None
        The classes; None of regressors, which have no `train_accuracy_` either.
    seeds_ : ndarray of shape (n_members,)
        The members' seeds.
    backend_ : {"stacked", "joblib"}
        How they were trained.
    why_not_stacked_ : str or None
        What kept them from being stacked.
    rows_ : object
        A fingerprint of the rows, by which scorers tell whether they are given the same.
    estimator_ : skorch.NeuralNet
        The untrained network that they are clones of.
    n_features_in_ : int
        Size of axis 1 of X, for arrays.

    See Also
    --------
    ConsistencyScorer : How often held-out rows are predicted right.
    MemorizationScorer : What a row's own presence in training changes.
    DifficultyQuadrantClassifier : Prediction depth, held out against trained on.

    Notes
    -----
    A member is a seed and a set of rows and nothing else: it can be trained anywhere, in any order.
    Where folds differ by a row, the larger training sets leave out one more random row, so that all
    members are trained equally long; that row is held out once more than the others.

    After every epoch a member is asked about the rows that it holds out, and in the end about all.

    As everywhere in this library a net's own ``train_split`` is left out, unless it is a
    ``predefined_split``. Copies of a row should be one of the `groups`, or a member is asked about
    rows whose twins it has been trained on.

    Stacked members start from the weights, see the batches and take the steps that they would by
    themselves. Their results are equal to those of "joblib" bit for bit for networks of linear
    layers with biases and activations, apart from layers with a single output and products of fewer
    than 400 multiplications (a last batch of one row, say). There, and in convolutions, rounding
    differs, and training enlarges such differences over time.
    They can be stacked if the optimiser is SGD, Adam or AdamW, learning-rate schedules are those of
    torch (but not ReduceLROnPlateau), and the network has no dropout, no batch normalisation, no
    recurrent layers, no callbacks and no training step of its own; otherwise they are trained one
    by one, and `why_not_stacked_` says why. "auto" also trains one by one where a stack is not
    faster, on a CPU with convolutions or more than a million weights, and in the context of a
    distributed joblib backend.

    On a CPU a stack has eight members whatever `n_jobs` is, so that `n_jobs` changes nothing and
    finds what lies in `cache_dir`, with two exceptions: ``ceil(n_members / n_jobs)`` if that is
    less, or jobs would have nothing to do, and fewer where the stacks that are trained side by side
    would not all fit scikit-learn's ``working_memory``. Set `stack_size` to rule these out.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn_difficulty.training import ResampledEnsemble
    >>> X, y = load_wine(return_X_y=True)
    >>> ensemble = ResampledEnsemble(n_members=10, random_state=0).fit(X, y)
    >>> int((~ensemble.masks_).sum(axis=0).min())
    1
    >>> ensemble.out_of_sample_probability().shape
    (178, 3)
    """

    _is_trained_source = True  # scorers read it without training
    _provides: tuple[str, ...] = ()  # of what filters read

    _parameter_constraints: dict[str, list[Any]] = {
        "estimator": [*UNTRAINED_TYPES, None],
        "n_members": [Interval(Integral, 1, None, closed="left")],
        "train_size": [Interval(Real, 0, 1, closed="neither")],
        "stratify": ["boolean"],
        "backend": [StrOptions({"auto", "stacked", "joblib"})],
        "stack_size": [Interval(Integral, 1, None, closed="left"), None],
        "n_jobs": [Integral, None],
        "cache_dir": [str, PathLike, None],
        "cache_key": [str, None],
        "readout": [callable, None],
        "keep_members": ["boolean"],
        "random_state": ["random_state"],
        "verbose": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self,
        estimator: Any = None,
        *,
        n_members: int = 30,
        train_size: float = 0.9,
        stratify: bool = False,
        backend: str = "auto",
        stack_size: int | None = None,
        n_jobs: int | None = None,
        cache_dir: str | PathLike[str] | None = None,
        cache_key: str | None = None,
        readout: Readout | None = None,
        keep_members: bool = False,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.n_members = n_members
        self.train_size = train_size
        self.stratify = stratify
        self.backend = backend
        self.stack_size = stack_size
        self.n_jobs = n_jobs
        self.cache_dir = cache_dir
        self.cache_key = cache_key
        self.readout = readout
        self.keep_members = keep_members
        self.random_state = random_state
        self.verbose = verbose

    # ------------------------------------------------------------------------------------- training

    @with_callbacks
    def fit(
        self, X: Any, y: Any = None, *, scoring_view: Any = None, groups: Any = None
    ) -> ResampledEnsemble:
        """Train the members, or take those that lie in `cache_dir`.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), tensor, dict of arrays, or Dataset
            The rows.
        y : array-like of shape (n_samples,), default=None
            Their labels, of any type. May be None for a Dataset that yields (x, y).
        scoring_view : same kind as X, default=None
            The same rows in the same order without random augmentation: members are trained on X
            and asked about these.
        groups : array-like of shape (n_samples,), default=None
            Rows of one group are trained on, or held out, together.

        Returns
        -------
        self : object
            Fitted.
        """
        refuse_other_estimators(self)
        self._validate_params()
        # A fit that fails half-way leaves nothing of the one before it.
        fitted = [n for n in vars(self) if n.endswith("_") and not n.startswith("_")]
        for name in [*fitted, "_row_shape"]:
            self.__dict__.pop(name, None)
        with root_task(self, 1) as progress:
            joined_by = collate_fn(self.estimator)
            columns = columns_of(self.estimator)
            rows = as_rows(X, collate_fn=joined_by, estimator=self, columns=columns)
            check_width(self, X, rows, reset=True)
            view = as_view(scoring_view, rows, collate_fn=joined_by, estimator=self)
            self._train(rows, y, view, groups, progress)
        return self

    def _train(
        self,
        rows: Rows,
        y: Any,
        view: Rows,
        groups: Any,
        progress: Task,
        among: NDArray[np.bool_] | None = None,
    ) -> NDArray[Any]:
        """Fit on checked rows, and return their label codes, or targets.

        Rows that are not `among` those to be trained on are held out by every member.
        """
        net = untrained_net(self.estimator, rows, y, self)
        refuse_fitted_teacher(net)
        warn_of_seen_rows(net)
        classes, targets = targets_for(net, rows, y)
        if classes is None and self.stratify:
            raise ValueError(
                "stratify=True keeps the shares of classes, and the network is a regressor."
            )
        initialized = initialized_clone(net)
        # In a process that is forked when OpenMP has threads, asking for several would hang.
        with one_thread():
            untrained = untrained_record(initialized, classes, view)
            if classes is not None and untrained.classes_ is not None:
                classes, targets = among_columns(classes, targets, len(untrained.classes_))
            n_classes = None if classes is None else len(classes)
            if knows_already(initialized, rows, targets, n_classes):
                warn_of_knowing(net)
        if isinstance(net.module, nn.Module):
            warn_caller(
                "The network's module is an instance, so every member starts from its weights: "
                "members differ only in their rows and the order of these. Pass the class to "
                "initialise each anew."
            )
        if self.cache_dir is not None and not isinstance(self.random_state, Integral):
            warn_caller(
                "random_state is not an integer, so the next fit draws other members and finds "
                "nothing in cache_dir."
            )
        split_stream, member_stream = np.random.SeedSequence(draw_seed(self.random_state)).spawn(2)
        masks = draw_masks(
            len(targets),
            self.n_members,
            self.train_size,
            strata=targets if self.stratify else None,
            groups=groups,
            seed=int(split_stream.generate_state(1)[0]),
        )
        if groups is None:
            warn_of_divided_copies(rows, masks)
        if among is not None:
            masks &= among
        seeds = [int(s.generate_state(1)[0]) for s in member_stream.spawn(self.n_members)]
        pool = Pool(
            net=net,
            X=rows,
            view=view,
            targets=targets,
            classes=classes,
            readout=self.readout,
            keep_members=self.keep_members,
            verbose=max(0, self.verbose - 1),
        )
        with one_thread():
            refuse_untrainable(initialized, pool, np.unique(masks.sum(axis=1)).tolist())
            refuse_values_out_of_range(untrained.module, rows)
            self.backend_, self.why_not_stacked_ = choose_backend(pool, masks, self.backend)
            size, n_jobs = 1, self.n_jobs
            if self.backend_ == "stacked":
                n_jobs = stacks_at_a_time(pool, self.n_jobs)
                size = self.stack_size or stack_size(pool, self.n_members, n_jobs)
                if self.stack_size is None and self.cache_dir is not None:
                    size = min(size, _STACK_TO_LOSE)
            rehearse = getattr(self.readout, "rehearse", None)
            if rehearse is not None:
                # A module that a callback shapes when training begins cannot be asked yet.
                with suppress(RuntimeError), located("before the first epoch"):
                    rehearse(untrained, view.take(slice(2)))
        numbers = list(range(self.n_members))
        stacks = [numbers[k : k + size] for k in numbers[::size]]
        members = train_members(
            pool,
            Plan(masks, seeds, self.backend_, stacks, self.cache_key),
            n_jobs=n_jobs,
            store=None if self.cache_dir is None else MemberStore(folder_of(self.cache_dir)),
            verbose=self.verbose,
            progress=progress,
        )
        self.estimator_, self.classes_ = unfitted_clone(net), classes
        self._read_with = self.readout
        self.masks_, self.seeds_ = masks, np.array(seeds)
        self.rows_ = rows.identity(targets)
        self._template = None
        if self.keep_members:
            self._template = record_that_fits(untrained, pool, members[0])
        self._keep(members)
        warn_of_members(np.concatenate([member["verdict"] for member in members]))
        if classes is not None:
            self.train_accuracy_ = float((self.predictions_ == targets)[masks].mean())
        return targets

    def __sklearn_clone__(self) -> ResampledEnsemble:
        copy = super().__sklearn_clone__()
        keep_trace(self.estimator, copy.estimator)
        return copy

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "predictions_")

    def _found(self) -> str:
        n_members, n = self.masks_.shape
        members = f"{n_members} members on parts of {n} rows"
        if self.classes_ is None:
            return members
        return (
            f"{members}, right about {self.train_accuracy_:.1%} of those that they were trained on"
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.three_d_array = True
        tags.input_tags.sparse = True
        return tags
