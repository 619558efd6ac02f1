# SPDX-License-Identifier: BSD-3-Clause
"""Target noise for regression: targets that are wrong by a known error."""

from numbers import Real
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import truncnorm
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions

from .._arrays import LISTED_ROWS, as_numbers
from .._parameters import check_parameters

Kind = Literal["symmetric", "gaussian", "shift", "unit"]

_DEFAULT_RATE = {"gaussian": 1.0, "shift": 0.05, "unit": 0.05}
# Outside of which a level is an oversight; of "shift" and "unit" also what would change nothing.
_LEVELS = {
    "symmetric": Interval(Real, 0, 1, closed="both"),
    "gaussian": Interval(Real, 1, None, closed="left"),
    "shift": Interval(Real, None, None, closed="neither"),
    "unit": Interval(Real, 0, None, closed="neither"),
}
_WITHOUT_EFFECT = {"shift": 0, "unit": 1}


def make_target_noise(
    y: ArrayLike,
    kind: Kind = "symmetric",
    *,
    level: float,
    rate: float | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[NDArray[Any], NDArray[np.bool_], NDArray[np.float64]]:
    r"""Give a known share of the rows a wrong target, for regression.

    The number of wrong targets is exact and no marked row keeps its target, so the returned
    mask is the truth: ``mask == (y_noisy != y)``, always.

    Parameters
    ----------
    y : array-like of shape (n_rows,) or (n_rows, n_outputs)
        Targets: finite numbers. Of several outputs each column gets its own rows and errors, as
        if this function were called once per column.
    kind : {"symmetric", "gaussian", "shift", "unit"}, default="symmetric"
        How a marked row goes wrong.

        - ``"symmetric"``: it gets the target of a random other row, as in a shuffled column.
        - ``"gaussian"``: a normal error is added; the result stays in the range of `y`.
        - ``"shift"``: a constant is added, as by a scale that was not set to zero.
        - ``"unit"``: it is multiplied by a factor, as by a slipped decimal point (10) or by
          centimetres for inches (2.54).
    level : float
        Of ``"symmetric"``, the share of rows to mark, in [0, 1]. Of ``"gaussian"``, the largest
        standard deviation in per cent of the range of `y`, at least 1. Of ``"shift"``, the
        constant, in the unit of `y`, not 0. Of ``"unit"``, the factor, positive and not 1.
    rate : float, default=None
        Share of rows to mark, in [0, 1], for the other three kinds: exactly
        ``round(rate * n_rows)`` rows. None marks every row for ``"gaussian"``, as its paper does,
        and 0.05 of them for ``"shift"`` and ``"unit"``.
    random_state : int, RandomState instance or None, default=None
        Determines the rows and their errors. Pass an int for repeatable noise.

    Returns
    -------
    y_noisy : ndarray of the shape of `y`
        A copy of the targets, with the dtype of `y`, in which the marked ones are wrong.
    mask : ndarray of the shape of `y`, bool
        True for the marked targets. Of several outputs, ``mask.any(axis=1)`` are the rows.
    error : ndarray of the shape of `y`, float64
        ``y_noisy - y``; 0 where nothing was marked.

    Raises
    ------
    ValueError
        If a parameter is out of range, missing for this kind or given for another, if `y` holds
        NaN or inf, if fewer rows can change than the rate asks for (a column of one value under
        ``"symmetric"``, zeros under ``"unit"``), or if the dtype of `y` cannot hold a result.

    See Also
    --------
    make_label_noise : Wrong labels for classification.
    load_diamonds : 53,940 rows with a price.

    Notes
    -----
    ``"symmetric"`` draws the new target from the rows whose target differs, each with equal
    probability; :math:`n` equally frequent whole numbers under a rate :math:`r` are then wrong by
    :math:`r (n + 1) / 3` in the mean.

    ``"gaussian"`` follows ConFrag [1]_: every distinct target :math:`t` has its own standard
    deviation :math:`\sigma_t`, uniform in :math:`[1, \mathit{level}]` per cent of the range
    :math:`\max y - \min y`; the noisy target is a normal around :math:`t`, cut to
    :math:`[\min y, \max y]`. Whole numbers become the nearest other one that occurs in `y`.

    ``"shift"`` and ``"unit"`` round to whole numbers if `y` holds such, and choose among the rows
    that this changes.

    References
    ----------
    .. [1] C. D. Kim et al., "Sample selection via contrastive fragmentation for noisy label
       regression", NeurIPS 2024. :arxiv:`2502.17771`

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_difficulty.datasets import make_target_noise
    >>> y = np.linspace(150, 190, 50)
    >>> y_noisy, mask, error = make_target_noise(y, level=0.2, random_state=0)
    >>> int(mask.sum()), bool(np.all(mask == (y_noisy != y)))
    (10, True)
    >>> y_noisy, mask, error = make_target_noise(
    ...     y, "unit", level=1 / 2.54, rate=0.04, random_state=0
    ... )
    >>> print(y[mask].round(1), y_noisy[mask].round(1))
    [159. 173.] [62.6 68.1]
    """
    check_parameters(
        "make_target_noise",
        kind=(kind, [StrOptions(set(get_args(Kind)))]),
        rate=(rate, [Interval(Real, 0, 1, closed="both"), None]),
        random_state=(random_state, ["random_state"]),
    )
    check_parameters("make_target_noise", level=(level, [_LEVELS[kind]]))
    if kind == "symmetric":
        if rate is not None:
            raise ValueError(
                f"rate has no use with kind='symmetric', whose level is the share; got {rate!r}."
            )
        rate = level
    elif level == _WITHOUT_EFFECT.get(kind):
        raise ValueError(f"level={level!r} changes no target with kind={kind!r}.")
    targets = _check_targets(y)
    share = _DEFAULT_RATE[kind] if rate is None else rate
    rng = check_random_state(random_state)
    noisy = targets.copy()
    for column, noisy_column in zip(_columns(targets), _columns(noisy), strict=True):
        n_wrong = round(share * len(column))
        if kind in _WITHOUT_EFFECT:
            moved = _moved(column, kind, level)
            rows = _choose(np.flatnonzero(moved != column), n_wrong, rng)
            noisy_column[rows] = moved[rows]
        else:
            is_constant = len(column) == 0 or column.min() == column.max()
            rows = _choose(np.arange(0 if is_constant else len(column)), n_wrong, rng)
            draw = _of_other_rows if kind == "symmetric" else _with_normal_error
            if len(rows):
                noisy_column[rows] = draw(column, rows, level, rng)
    return noisy, noisy != targets, noisy.astype(np.float64) - targets.astype(np.float64)


def _check_targets(y: ArrayLike) -> NDArray[Any]:
    """Return finite numbers (n_rows,) or (n_rows, n_outputs)."""
    targets = as_numbers(y, "y")
    if targets.dtype.kind == "b":
        raise ValueError("y holds booleans; of labels, make_label_noise makes some wrong.")
    if targets.ndim not in (1, 2):
        raise ValueError(
            f"y must have the shape (n_rows,) or (n_rows, n_outputs), got {targets.shape}."
        )
    bad = np.flatnonzero(~np.isfinite(targets).all(axis=tuple(range(1, targets.ndim))))
    if len(bad):
        raise ValueError(
            f"Input y contains NaN or inf in {len(bad)} row(s), first {bad[:LISTED_ROWS].tolist()}."
        )
    return targets


def _columns(targets: NDArray[Any]) -> NDArray[Any]:
    """Return a view with one line per output."""
    return targets[None] if targets.ndim == 1 else targets.T


def _choose(
    can_change: NDArray[np.intp], n_wrong: int, rng: np.random.RandomState
) -> NDArray[np.intp]:
    """Return the rows to mark, of those whose target would change."""
    if n_wrong > len(can_change):
        raise ValueError(
            f"{n_wrong} target(s) of a column are to become wrong, but only {len(can_change)} "
            "would change; lower the rate, or choose another kind or level of noise."
        )
    return rng.choice(can_change, n_wrong, replace=False) if n_wrong else can_change[:0]


def _moved(column: NDArray[Any], kind: str, level: float) -> NDArray[Any]:
    """Return every target after a shift or in another unit, in the dtype of the column."""
    with np.errstate(over="ignore"):
        values = column.astype(np.float64)
        values = values + level if kind == "shift" else values * level
        if column.dtype.kind == "f":
            moved = values.astype(column.dtype)
            fits = np.isfinite(moved)
        else:
            values, limits = np.rint(values), np.iinfo(column.dtype)
            fits = (values >= float(limits.min)) & (values < float(limits.max) + 1)
            moved = np.where(fits, values, 0).astype(column.dtype)
    if not fits.all():
        row = int(np.flatnonzero(~fits)[0])
        raise ValueError(
            f"The target of row {row} would become {values[row]:g}, which {column.dtype} cannot "
            "hold; pass y.astype(float)."
        )
    return moved


def _of_other_rows(
    column: NDArray[Any], rows: NDArray[np.intp], level: float, rng: np.random.RandomState
) -> NDArray[Any]:
    """Return targets of random rows, each with another target than the row's own."""
    ordered = np.sort(column)
    first = np.searchsorted(ordered, column[rows], side="left")
    n_same = np.searchsorted(ordered, column[rows], side="right") - first
    drawn = rng.randint(0, len(column) - n_same)
    # Positions from the first row of the same target on stand for those behind the last.
    return np.asarray(ordered[drawn + np.where(drawn >= first, n_same, 0)])


def _with_normal_error(
    column: NDArray[Any], rows: NDArray[np.intp], level: float, rng: np.random.RandomState
) -> NDArray[Any]:
    """Return targets with a normal error, cut to the range of the column, never the row's own."""
    existing, codes = np.unique(column, return_inverse=True)
    low, high = float(existing[0]), float(existing[-1])
    scale = (rng.uniform(1, level, size=len(existing)) / 100 * (high - low))[codes[rows]]
    own = column[rows].astype(np.float64)
    values = truncnorm.rvs(
        (low - own) / scale, (high - own) / scale, loc=own, scale=scale, random_state=rng
    )
    if column.dtype.kind == "f":
        noisy = np.clip(values, low, high).astype(column.dtype)
        # Of few digits, some come back to where they were: to the next number on the longer side.
        bound = np.where(own - low > high - own, existing[0], existing[-1])
        return np.where(noisy == column[rows], np.nextafter(noisy, bound), noisy)
    middles = (existing[:-1].astype(np.float64) + existing[1:]) / 2
    nearest = np.searchsorted(middles, values)
    step = np.where(values > own, 1, -1)
    step = np.where(codes[rows] == 0, 1, np.where(codes[rows] == len(existing) - 1, -1, step))
    return np.asarray(existing[np.where(nearest == codes[rows], nearest + step, nearest)])
