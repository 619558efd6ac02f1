# SPDX-License-Identifier: BSD-3-Clause
"""Label noise with an exact ground truth."""

from numbers import Real
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.multiclass import check_classification_targets

from .._arrays import as_floats, as_labels
from .._parameters import check_parameters

Kind = Literal["symmetric", "pair", "matrix", "instance"]

_N_FOLDS = 5


def make_label_noise(
    y: ArrayLike,
    rate: float | None,
    *,
    kind: Kind = "symmetric",
    X: Any = None,
    noise_matrix: ArrayLike | None = None,
    estimator: BaseEstimator | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    r"""Give a known share of the rows a wrong label.

    The number of wrong labels is exact and a flipped row never keeps its label, so the
    returned mask is the truth: ``mask == (y_noisy != y)``, always.

    Parameters
    ----------
    y : array-like of shape (n_rows,)
        Labels: ints, strings or bools of at least two classes.
    rate : float or None
        Share of rows to flip, in [0, 1): ``round(rate * n_rows)`` rows. None is allowed
        with ``kind="matrix"`` only, whose diagonal then sets the rate of every class.
    kind : {"symmetric", "pair", "matrix", "instance"}, default="symmetric"
        Which rows flip, and to which class.

        - ``"symmetric"``: rows at random; to any other class with equal probability.
        - ``"pair"``: rows at random; to the next class in sorted order, the last to the
          first.
        - ``"matrix"``: as `noise_matrix` says.
        - ``"instance"``: the rows that a classifier, trained without them, finds easiest
          to confuse; to the class it confuses them with. The hardest kind to detect.
    X : array-like of shape (n_rows, ...), default=None
        The inputs, for ``kind="instance"``.
    noise_matrix : array-like of shape (n_classes, n_classes), default=None
        For ``kind="matrix"``: entry (k, j) is the relative odds that a row of class k is
        given the label j, classes in sorted order. Rows need not sum to 1.
    estimator : classifier with ``predict_proba``, default=None
        For ``kind="instance"``; gets `X` as it is. Set its own ``random_state`` if it has
        one. None: logistic regression on standardised inputs, with `X` reshaped to two
        axes.
    random_state : int, RandomState instance or None, default=None
        Determines the rows and their new labels. Pass an int for repeatable noise.

    Returns
    -------
    y_noisy : ndarray of shape (n_rows,)
        A copy of the labels, with the dtype of `y`, in which the marked rows are wrong.
    mask : ndarray of shape (n_rows,), bool
        True for the flipped rows.

    Raises
    ------
    ValueError
        If a parameter is out of range, missing for this kind or given for another, if
        there are fewer than two classes, if the noise matrix allows fewer flips than the
        rate asks for, or if a class has fewer than five rows with ``kind="instance"``.

    See Also
    --------
    sklearn_difficulty.metrics.detection_report : How well a score finds the marked rows.
    sklearn_difficulty.model_selection.benchmark_scorers : Which scorer finds them in your data.

    Notes
    -----
    Drawing the new label from all classes, as many simulators do, leaves :math:`1/C` of the
    rows marked wrong with their right label for :math:`C` classes, half of them for two.

    ``"matrix"``: with :math:`T` the noise matrix, rows scaled to sum 1, a row of true class
    :math:`k` flips with odds :math:`1 - T_{kk}` and then gets label :math:`j \ne k` with
    probability :math:`T_{kj} / (1 - T_{kk})`. Without a rate exactly
    ``round(n_k * (1 - T[k, k]))`` of the :math:`n_k` rows of class :math:`k` flip.

    ``"instance"``: class probabilities of every row come from stratified five-fold
    cross-validation. The rows with the smallest margin, own class minus best other class,
    flip to that best other class [3]_. Ties are broken at random.

    References
    ----------
    .. [1] G. Patrini et al., "Making deep neural networks robust to label noise: a loss
       correction approach", CVPR 2017. :arxiv:`1609.03683`, :doi:`10.1109/CVPR.2017.240`
    .. [2] B. Han et al., "Co-teaching: robust training of deep neural networks with
       extremely noisy labels", NeurIPS 2018 (pair noise). :arxiv:`1804.06872`
    .. [3] Y. Zhang et al., "Learning with feature-dependent label noise: a progressive
       approach", ICLR 2021. :arxiv:`2103.07756`

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_difficulty.datasets import make_label_noise
    >>> y = np.repeat(["cat", "dog", "fox"], 10)
    >>> y_noisy, mask = make_label_noise(y, 0.2, random_state=0)
    >>> int(mask.sum()), bool(np.all(mask == (y_noisy != y)))
    (6, True)
    >>> odds = [[9, 1, 0], [0, 1, 0], [0, 1, 1]]
    >>> y_noisy, mask = make_label_noise(y, None, kind="matrix", noise_matrix=odds)
    >>> [int(mask[y == label].sum()) for label in ("cat", "dog", "fox")]
    [1, 0, 5]
    """
    check_parameters("make_label_noise", random_state=(random_state, ["random_state"]))
    _check_parameters(rate, kind, X=X, noise_matrix=noise_matrix, estimator=estimator)
    y = as_labels(y)
    check_classification_targets(y)
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"y must hold at least two classes, got only {classes.tolist()}: there is no wrong "
            "label to give."
        )
    rng = check_random_state(random_state)
    noisy = codes.copy()
    if kind == "matrix":
        rows, labels = _matrix_flips(codes, rate, _check_matrix(noise_matrix, len(classes)), rng)
    elif kind == "instance":
        rows, labels = _instance_flips(codes, _n_flips(rate, codes), X, estimator, rng)
    else:
        rows = rng.choice(len(codes), _n_flips(rate, codes), replace=False)
        # A step of 1 to C - 1 along the circle of classes never comes back to the start.
        step = rng.randint(1, len(classes), size=len(rows)) if kind == "symmetric" else 1
        labels = (codes[rows] + step) % len(classes)
    noisy[rows] = labels
    return classes[noisy], noisy != codes


def _check_parameters(rate: float | None, kind: str, **only_for: Any) -> None:
    """Raise for a rate or kind out of range, and for parameters of another kind."""
    if not isinstance(kind, str) or kind not in get_args(Kind):
        raise ValueError(
            "The 'kind' parameter of make_label_noise must be one of "
            f"{', '.join(map(repr, get_args(Kind)))}. Got {kind!r} instead."
        )
    if rate is None and kind != "matrix":
        raise ValueError(f"rate=None needs kind='matrix', whose diagonal sets it; got {kind!r}.")
    if rate is not None and not (isinstance(rate, Real) and 0 <= rate < 1):
        raise ValueError(
            "The 'rate' parameter of make_label_noise must be a float in [0, 1). Got "
            f"{rate!r} instead."
        )
    kind_of = {"X": "instance", "noise_matrix": "matrix", "estimator": "instance"}
    for name, value in only_for.items():
        # X may come along with every kind: callers loop over kinds with the same data.
        if name != "X" and value is not None and kind != kind_of[name]:
            raise ValueError(f"{name} has no use with kind={kind!r}; pass kind={kind_of[name]!r}.")
        if name != "estimator" and value is None and kind == kind_of[name]:
            raise ValueError(f"kind={kind!r} needs the parameter {name}, which is None.")


def _check_matrix(noise_matrix: ArrayLike | None, n_classes: int) -> NDArray[np.float64]:
    """Return the noise matrix with rows that sum to 1."""
    odds = as_floats(noise_matrix, "noise_matrix")
    if odds.shape != (n_classes, n_classes):
        raise ValueError(
            f"noise_matrix must have shape ({n_classes}, {n_classes}) for the {n_classes} "
            f"classes of y, got {odds.shape}."
        )
    # Written so that NaN fails it too.
    if not np.all((odds >= 0) & (odds < np.inf)) or not np.all(odds.sum(axis=1) > 0):
        raise ValueError(
            "noise_matrix must hold finite odds that are not negative, with a positive one in "
            f"every row, got {odds.tolist()}."
        )
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def _n_flips(rate: float | None, codes: NDArray[np.intp]) -> int:
    """Return the exact number of rows to flip."""
    return round((rate or 0.0) * len(codes))


def _matrix_flips(
    codes: NDArray[np.intp],
    rate: float | None,
    matrix: NDArray[np.float64],
    rng: np.random.RandomState,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows that flip by a noise matrix and their new classes."""
    others = matrix.copy()
    np.fill_diagonal(others, 0.0)
    # The sum of the others, not 1 - T_kk: exactly 0 for a class that never flips.
    flip_odds = others.sum(axis=1)
    rows_of = [np.flatnonzero(codes == k) for k in range(len(matrix))]
    if rate is None:
        rows = np.concatenate(
            [
                rng.choice(class_rows, round(len(class_rows) * odds), replace=False)
                for class_rows, odds in zip(rows_of, flip_odds, strict=True)
            ]
        )
    else:
        n_flips, weights = _n_flips(rate, codes), flip_odds[codes]
        if n_flips > np.count_nonzero(weights):
            raise ValueError(
                f"rate={rate} asks for {n_flips} flips, but noise_matrix lets only "
                f"{np.count_nonzero(weights)} of {len(codes)} rows flip; lower the rate."
            )
        if n_flips == 0:
            return np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp)
        rows = rng.choice(len(codes), n_flips, replace=False, p=weights / weights.sum())
    labels = codes[rows]
    for k in np.unique(labels):
        of_k = codes[rows] == k
        labels[of_k] = rng.choice(len(matrix), of_k.sum(), p=others[k] / flip_odds[k])
    return rows, labels


def _instance_flips(
    codes: NDArray[np.intp],
    n_flips: int,
    X: Any,
    estimator: BaseEstimator | None,
    rng: np.random.RandomState,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows easiest to confuse and the classes they are confused with."""
    X = as_floats(X, "X") if estimator is None else X
    check_consistent_length(X, codes)
    smallest = int(np.bincount(codes).min())
    if smallest < _N_FOLDS:
        raise ValueError(
            f"kind='instance' cross-validates in {_N_FOLDS} folds and needs as many rows in "
            f"every class, got a class with {smallest}."
        )
    if estimator is None:
        X = X.reshape(len(codes), -1)
        estimator = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    folds = StratifiedKFold(_N_FOLDS, shuffle=True, random_state=rng.randint(2**31 - 1))
    with np.errstate(over="ignore", invalid="ignore"):  # of inputs too large to be squared
        other = cross_val_predict(estimator, X, codes, cv=folds, method="predict_proba")
    all_rows = np.arange(len(codes))
    own = other[all_rows, codes]
    other[all_rows, codes] = -np.inf
    margin = own - other.max(axis=1)
    rows = np.lexsort((rng.permutation(len(codes)), margin))[:n_flips]
    return rows, other[rows].argmax(axis=1)
