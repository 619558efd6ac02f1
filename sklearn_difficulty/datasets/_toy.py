# SPDX-License-Identifier: BSD-3-Clause
"""Toy data for which the difficulty of every row is known."""

from numbers import Integral, Real

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval

from .._parameters import check_parameters


def make_gaussian_toy(
    n_samples: int = 500,
    *,
    separation: float = 3.0,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float64]]:
    r"""Two round Gaussian classes in the plane, with every row's distance to the boundary.

    A difficulty score that reads nearness to the decision boundary must fall with the
    distance, which makes this the smallest test of such a score.

    Parameters
    ----------
    n_samples : int, default=500
        Number of rows, at least 2; half of each class, class 0 one more if it is odd.
    separation : float, default=3.0
        Distance between the two centres, in standard deviations of a class; positive.
    random_state : int, RandomState instance or None, default=None
        Determines the rows and their order. Pass an int for repeatable data.

    Returns
    -------
    X : ndarray of shape (n_samples, 2), float32
        The rows, in random order.
    y : ndarray of shape (n_samples,), int64
        The class that drew the row, 0 or 1.
    distance : ndarray of shape (n_samples,), float64
        Perpendicular distance to the Bayes boundary, not negative, in the unit of `X`.

    Raises
    ------
    ValueError
        If `n_samples` is below 2 or `separation` is not a positive number.

    See Also
    --------
    make_label_noise : Wrong labels with a known ground truth.

    Notes
    -----
    The centres are :math:`(\mp s / 2, 0)` for a separation :math:`s`, and both covariances
    are the identity. With equal class sizes the Bayes boundary is the line
    :math:`x_0 = 0`, so the distance of a row is :math:`|x_0|`; it does not depend on the
    row's class, and the Bayes error is :math:`\Phi(-s / 2)`, with :math:`\Phi` the standard
    normal distribution function (6.7 % for the default). The set-up follows the toy
    experiment of [1]_.

    References
    ----------
    .. [1] C. Agarwal, D. D'souza and S. Hooker, "Estimating example difficulty using
       variance of gradients", CVPR 2022.
       :arxiv:`2008.11600`, :doi:`10.1109/CVPR52688.2022.01012`

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_difficulty.datasets import make_gaussian_toy
    >>> X, y, distance = make_gaussian_toy(200, random_state=0)
    >>> X.shape, np.bincount(y)
    ((200, 2), array([100, 100]))
    >>> print(abs(X[:3, 0]).round(2), distance[:3].round(2))
    [1.99 1.24 0.58] [1.99 1.24 0.58]
    """
    if not isinstance(n_samples, Integral) or n_samples < 2:
        raise ValueError(
            "The 'n_samples' parameter of make_gaussian_toy must be an int of at least 2. Got "
            f"{n_samples!r} instead."
        )
    check_parameters(
        "make_gaussian_toy",
        separation=(separation, [Interval(Real, 0, None, closed="neither")]),
        random_state=(random_state, ["random_state"]),
    )
    rng = check_random_state(random_state)
    y = rng.permutation(np.arange(n_samples, dtype=np.int64) % 2)
    X = rng.standard_normal((n_samples, 2))
    X[:, 0] += separation * (y - 0.5)
    X = X.astype(np.float32)
    # From the rounded rows, so that the distance is that of the rows handed out.
    distance = np.abs(X[:, 0].astype(np.float64))
    return X, y, distance
