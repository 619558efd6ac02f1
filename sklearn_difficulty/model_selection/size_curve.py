# SPDX-License-Identifier: BSD-3-Clause
"""MemorizationTrajectory: what networks of growing size memorize, row by row."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval
from sklearn.utils.metaestimators import _BaseComposition
from sklearn.utils.validation import check_is_fitted, validate_data

from .._progress import CallbackSupportMixin, Task, root_task, with_callbacks
from .._randomness import draw_seed
from .._reprs import ShowsFindings
from .._warnings import locate, located, warn_caller
from ..measures import memorization_categories
from ..measures.memorization_sizes import CATEGORIES, UNDEFINED
from ..rows.rows import Rows, as_rows
from ..training.ensemble.resampled import ResampledEnsemble
from ..training.skorch_net import collate_fn, columns_of, keep_trace
from ._size_costs import EstimatesCostOfSizes
from ._size_tables import means_of_size, summary_frame, trajectory_frame, values_of_size
from ._sizes import checked_sizes, default_sizes

__all__ = ["MemorizationTrajectory"]

_PASSED_ON = (
    *("n_members", "train_size", "stratify", "backend", "n_jobs", "cache_dir", "cache_key"),
    "verbose",
)


class MemorizationTrajectory(
    ShowsFindings, EstimatesCostOfSizes, CallbackSupportMixin, _BaseComposition
):
    r"""Compare what networks of growing size memorize, row by row.

    Memorization is the share of the networks that predict the given label of a row among those
    that were trained on it, `p_in_`, less the share among those that were not, `p_out_`. Networks
    of every size are trained on the same parts of the rows, so that sizes differ in nothing else,
    and every row is told by the shape of its memorization from the smallest size to the largest.

    Look at the two shares, not at their difference alone: memorization rises with the size where
    larger networks fit rows that smaller ones could not (`p_in_` rises), and falls where larger
    networks know more about rows that they have not seen (`p_out_` rises).

    **What it finds.** From 8 to 256 hidden units the memorization of 0.28 rose, and fell for 0.08,
    of the rows of Fashion-MNIST with 10 % flipped labels. Of those where it rose 0.35 had a flipped
    label, which were 0.96 of all flipped labels: wrong labels gather there.

    Parameters
    ----------
    estimators : list of (str, skorch.NeuralNet) or None, default=None
        Names and networks, classifiers, the smallest first; at least two, and three to tell a cap
        or a U. Parameters of one are ``<name>__<parameter>``. None takes four
        ``training.default_network(X, y)`` of one hidden layer with 8, 32, 128 and 512 units, for
        rows of features.
    n_members : int, default=60
        How many networks of every size are trained. The standard error of a row's memorization
        falls with its square root, and a change that is smaller than two of them is none.
    train_size : float, default=0.7
        Share of the rows that each is trained on.
    stratify : bool, default=False
        Whether every part keeps the shares of the classes.
    backend : {"auto", "stacked", "joblib"}, default="auto"
        How members are trained, see `ResampledEnsemble`; "auto" is decided for every size.
    n_jobs : int, default=None
        Stacks of members, or members one by one, that are trained side by side, each with one torch
        thread. What it may change is said in `ResampledEnsemble`. Sizes are trained one after the
        other.
    cache_dir : path-like, default=None
        Where finished members of all sizes are kept, so that an interrupted fit can go on, and
        another size can be added without training the others again.
    cache_key : str, default=None
        Stands for what `cache_dir` cannot recognise, see `ResampledEnsemble`.
    random_state : int, RandomState or None, default=None
        Seeds the parts, and initialisation, row order and dropout of every member; the k-th members
        of all sizes have the same parts and seeds. An int gives the same numbers bit for bit for
        the same backend, torch thread count and stack grouping.
    verbose : int, default=0
        1 prints the size that is trained, how many of its members are finished and about how long
        the rest of them takes.

    Attributes
    ----------
    size_names_ : list of str
        Names of the sizes, the smallest first.
    memorization_ : ndarray of shape (n_sizes, n_samples)
        Memorization of every row, from -1 to 1.
    p_in_, p_out_ : ndarray of shape (n_sizes, n_samples)
        Share of the members that predict the given label, among those trained on the row and among
        the others.
    memorization_se_, p_in_se_, p_out_se_ : ndarray of shape (n_sizes, n_samples)
        Their standard errors, over the choice of members.
    category_ : ndarray of shape (n_samples,), str
        "constant", "increasing", "decreasing", "cap", "U" or "mixed", as
        `measures.memorization_categories` tells them apart; "undefined" for rows that all members,
        or none, were trained on.
    n_undefined_ : int
        How many rows are undefined.
    trajectory_frame_ : pandas.DataFrame of shape (n_samples * n_sizes, 8)
        One line per row and size, indexed like X: the size, what is above, and the category.
        Exists where pandas is installed.
    summary_ : pandas.DataFrame
        One line per category and size, the category "all" first: ``n_rows`` and ``share`` of the
        category, and the means of memorization, ``p_in`` and ``p_out`` over its rows, each with
        its standard error over the choice of members. Exists where pandas is installed.
    masks_ : ndarray of shape (n_members, n_samples), bool
        Which rows each member was trained on, the same for all sizes.
    correct_ : ndarray of shape (n_sizes, n_members, n_samples), bool
        Which members predict the given label.
    backends_ : list of {"stacked", "joblib"}
        How the members of every size were trained.
    classes_ : ndarray of shape (n_classes,)
        The classes.
    n_features_in_ : int
        Size of axis 1 of X, for arrays.

    See Also
    --------
    MemorizationScorer : Memorization with networks of one size, and influence on other rows.
    sklearn_difficulty.measures.memorization_categories : The rule of the categories.
    sklearn_difficulty.inspection.MemorizationTrajectoryDisplay : Draws what is found.

    Notes
    -----
    With :math:`h_{sk}` member :math:`k` of size :math:`s`, :math:`I_k` the rows that the
    :math:`k`-th members of all sizes are trained on, and row :math:`i` with given label
    :math:`y_i`,

    .. math:: p_{si}^\text{in} = \operatorname{mean}_{k : i \in I_k} [h_{sk}(x_i) = y_i],

    .. math:: p_{si}^\text{out} = \operatorname{mean}_{k : i \notin I_k} [h_{sk}(x_i) = y_i],

    and memorization is :math:`p_{si}^\text{in} - p_{si}^\text{out}`. The standard errors of a row
    are those of `measures.memorization`. Those of a mean :math:`\bar p` of shares over rows
    :math:`G` count that its rows were judged by the same members: with :math:`n_i` the members of
    row :math:`i`'s share, :math:`K` all members and :math:`d_k = \frac{1}{|G|} \sum_{i \in G : k}
    ([h_{sk}(x_i) = y_i] - p_{si}) / n_i`, the sum being over the rows whose share member :math:`k`
    is part of, the variance is :math:`\frac{K}{K - 1} \sum_k d_k^2`. Rows and their labels are
    taken as given.

    A category is chosen by the same numbers that its means are made of: the curve of "cap", say, is
    higher in its middle than another set of members would find it. Mean curves say more about the
    shares of the categories than about how strong their shapes are.

    Where a size fails, its loss diverging for example, the other sizes are trained before the error
    is raised, which names the size. They are kept: the attributes are those of the sizes that were
    trained, if there are two.

    Of the members only `correct_` and `masks_` are kept in memory, and with `cache_dir`, on disk,
    what a `ResampledEnsemble` keeps.

    References
    ----------
    V. Feldman, C. Zhang, "What Neural Networks Memorize and Why: Discovering the Long Tail via
    Influence Estimation", NeurIPS 2020, :arxiv:`2008.03703`.

    M. Lukasik, V. Nagarajan, A. S. Rawat, A. K. Menon, S. Kumar, "What do larger image classifiers
    memorise?", TMLR 2024, :arxiv:`2310.05337`.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn_difficulty.datasets import make_label_noise
    >>> from sklearn_difficulty.model_selection import MemorizationTrajectory
    >>> from sklearn_difficulty.training import default_network
    >>> X, y = load_wine(return_X_y=True)
    >>> y_noisy, is_flipped = make_label_noise(y, rate=0.1, random_state=0)
    >>> sizes = [
    ...     (
    ...         f"{n} units",
    ...         default_network(X, y).set_params(module__hidden_units=(n,)),
    ...     )
    ...     for n in (4, 16, 64)
    ... ]
    >>> trajectory = MemorizationTrajectory(sizes, n_members=20, random_state=0)
    >>> trajectory = trajectory.fit(X, y_noisy)
    >>> trajectory.memorization_.shape
    (3, 178)
    """

    _parameter_constraints: dict[str, list[Any]] = {
        "estimators": [list, None],
        **{name: ResampledEnsemble._parameter_constraints[name] for name in _PASSED_ON},
        "n_members": [Interval(Integral, 2, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimators: Any = None,
        *,
        n_members: int = 60,
        train_size: float = 0.7,
        stratify: bool = False,
        backend: str = "auto",
        n_jobs: int | None = None,
        cache_dir: str | PathLike[str] | None = None,
        cache_key: str | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.estimators = estimators
        self.n_members = n_members
        self.train_size = train_size
        self.stratify = stratify
        self.backend = backend
        self.n_jobs = n_jobs
        self.cache_dir = cache_dir
        self.cache_key = cache_key
        self.random_state = random_state
        self.verbose = verbose

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters, with those of the networks by ``<name>__<parameter>``.

        Parameters
        ----------
        deep : bool, default=True
            Whether the networks and their parameters are in it.

        Returns
        -------
        params : dict of str to object
            Names and values.
        """
        if self.estimators is None:  # no list to look into
            return super().get_params(deep=False)
        return self._get_params("estimators", deep=deep)

    def set_params(self, **params: Any) -> MemorizationTrajectory:
        """Set parameters, those of a network by ``<name>__<parameter>``, or a network by its name.

        Parameters
        ----------
        **params : dict of str to object
            Names and values.

        Returns
        -------
        self : object
            The estimator.
        """
        self._set_params("estimators", **params)
        return self

    @with_callbacks
    def fit(
        self, X: Any, y: Any = None, *, scoring_view: Any = None, groups: Any = None
    ) -> MemorizationTrajectory:
        """Train the networks of all sizes, or take those that lie in `cache_dir`.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), tensor, DataFrame, dict of arrays, or Dataset
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

        Raises
        ------
        ValueError
            If names are not unique, there are fewer than two, a network cannot be trained, or one
            of the sizes diverges; the others are trained nevertheless, see Notes.
        """
        self._validate_params()
        for name in [n for n in vars(self) if n.endswith("_") and not n.startswith("_")]:
            delattr(self, name)
        rows, sizes = self._rows_and_sizes(X, y)
        if rows.has_columns:
            validate_data(self, X, skip_check_array=True, reset=True)
        if self.cache_dir is not None and not isinstance(self.random_state, Integral):
            warn_caller(
                "random_state is not an integer, so the next fit draws other members and finds "
                "nothing in cache_dir."
            )
        seed = draw_seed(self.random_state)
        correct, undefined, errors = [], [], {}
        self.size_names_, self.backends_ = [], []
        with root_task(self, len(sizes)) as progress:
            for name, net in sizes:
                try:
                    ensemble = self._trained(name, net, seed, X, y, scoring_view, groups, progress)
                except Exception as error:  # whatever it is, it is raised when the others are there
                    errors[name] = error
                    continue
                self.size_names_.append(name)
                self.backends_.append(ensemble.backend_)
                self.masks_, self.classes_ = ensemble.masks_, ensemble.classes_
                correct.append(ensemble.predictions_ == ensemble.targets(rows, y))
                undefined.append(np.isnan(ensemble.given_probability_).any(axis=0))
        if len(correct) > 1:
            self._index = X.index if hasattr(X, "iloc") else None
            self._evaluate(np.stack(correct), np.stack(undefined))
        self._raise(errors)
        return self

    def _rows_and_sizes(self, X: Any, y: Any) -> tuple[Rows, Sequence[tuple[str, Any]]]:
        """Return the rows, checked, and the names and networks of all sizes."""
        given = checked_sizes(self.estimators)
        self._validate_names([name for name, _ in given])
        first = given[0][1] if given else None
        rows = as_rows(X, collate_fn=collate_fn(first), estimator=self, columns=columns_of(first))
        return rows, given or default_sizes(rows, y, self)

    def _of_ensembles(self) -> dict[str, Any]:
        """Return the parameters of the ensembles of all sizes."""
        return {setting: getattr(self, setting) for setting in _PASSED_ON}

    def _trained(
        self,
        name: str,
        net: Any,
        seed: int,
        X: Any,
        y: Any,
        scoring_view: Any,
        groups: Any,
        progress: Task,
    ) -> ResampledEnsemble:
        """Return the trained members of one size."""
        if self.verbose:
            print(f"size {name!r}")
        ensemble = ResampledEnsemble(net, random_state=seed, **self._of_ensembles())
        with located(f"at the size {name!r}"), progress.fit_of(ensemble, f"size {name}"):
            ensemble.fit(X, y, scoring_view=scoring_view, groups=groups)
        return ensemble

    def _evaluate(self, correct: NDArray[np.bool_], undefined: NDArray[np.bool_]) -> None:
        """Set the attributes that are made of the members' predictions."""
        self.correct_ = correct & ~undefined[:, None]
        found = [values_of_size(*of, self.masks_) for of in zip(correct, undefined, strict=True)]
        self._values = {name: np.stack([of[name] for of in found]) for name in found[0]}
        for name, values in self._values.items():
            setattr(self, f"{name}_", values)
        self.category_ = memorization_categories(self.memorization_, self.memorization_se_)
        self.n_undefined_ = int((self.category_ == UNDEFINED).sum())
        self._means = [
            means_of_size(of, self.masks_, values, self.category_)
            for of, values in zip(self.correct_, found, strict=True)
        ]
        if self.n_undefined_:
            warn_caller(
                f"{self.n_undefined_} of {len(self.category_)} rows have no category: all members "
                "were trained on them, or none; train more members."
            )

    def _raise(self, errors: dict[str, Exception]) -> None:
        """Raise the error of the first size that failed, if any, and name what is there."""
        if not errors:
            return
        first, *others = errors.values()
        if others:
            locate(first, f"and other errors at the sizes {list(errors)[1:]}")
        if hasattr(self, "category_"):
            first.add_note(
                f"The other sizes are trained and kept, in the attributes: {self.size_names_}."
            )
        raise first

    @property
    def trajectory_frame_(self) -> Any:
        """Return what is known of every row at every size as a data frame."""
        check_is_fitted(self)
        return trajectory_frame(self.size_names_, self._values, self.category_, self._index)

    @property
    def summary_(self) -> Any:
        """Return the means of every category at every size as a data frame."""
        check_is_fitted(self)
        return summary_frame(self.size_names_, self._means)

    def __sklearn_clone__(self) -> MemorizationTrajectory:
        copy = super().__sklearn_clone__()
        pairs = (self.estimators or [], copy.estimators or [])
        for (_, net), (_, cloned) in zip(*pairs, strict=True):
            keep_trace(net, cloned)
        return copy

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "category_")

    def _found(self) -> str:
        shares = [
            f"{share:.0%} {name}"
            for name in CATEGORIES
            if (share := float((self.category_ == name).mean()))
        ]
        n_sizes, n_members, n = self.correct_.shape
        return f"{n_members} members at {n_sizes} sizes on parts of {n} rows; {', '.join(shares)}"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.three_d_array = True
        tags.input_tags.sparse = True
        return tags
