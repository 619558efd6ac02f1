# SPDX-License-Identifier: BSD-3-Clause
"""How far a network is from deciding otherwise: for logits and gradients of your own.

The reference for `inference.margins` and `inference.predictions`, which reduce the gradients of one
class before they take those of the next; a test holds them together.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arrays import as_array


def output_margin(logits: ArrayLike, labels: ArrayLike | None = None) -> NDArray[np.float64]:
    r"""Output margin of every row, from logits of your own; smaller means harder.

    How far the logit of the row's class lies above the largest of the others. `MarginScorer`
    takes the same from a network in torch; this function is the reference.

    Parameters
    ----------
    logits : array-like of shape (n_rows, n_classes)
        What the network returns before the softmax. Log-probabilities do as well, because they
        have the same differences. All arithmetic is done in float64.
    labels : array-like of shape (n_rows,), default=None
        The class of every row, an integer in ``0, ..., n_classes - 1``. None takes the predicted
        class: the one with the largest logit, the first of equals.

    Returns
    -------
    margin : ndarray of shape (n_rows,), float64
        In logits. Positive where the class is predicted, negative where another one is, 0 at the
        decision boundary; never negative without labels. NaN where it is not finite, as for rows
        with a NaN logit.

    Raises
    ------
    ValueError
        If `logits` is not of shape (n_rows, n_classes) with at least two classes and real
        numbers, or `labels` does not hold one class for every row.

    See Also
    --------
    input_margin : The same in units of the input.
    sklearn_difficulty.MarginScorer : Reads the margins of a network.

    Notes
    -----
    With :math:`z_{ij}` the logit of row :math:`i` for class :math:`j`, and :math:`c_i` the class
    of the row, the margin is :math:`m_i = \min_{j \ne c_i} (z_{i c_i} - z_{ij})`. For the
    predicted class it is the largest logit minus the second largest. It is the natural logarithm
    of the ratio of the two softmax probabilities, so it scales with a factor that all logits are
    multiplied by, and does not change if a constant is added to the logits of a row.

    References
    ----------
    .. [1] R. Baldock, H. Maennel and B. Neyshabur, "Deep learning through the lens of example
       difficulty", NeurIPS 2021, section 3.3. :arxiv:`2106.09647`

    Examples
    --------
    >>> from sklearn_difficulty.measures import output_margin
    >>> logits = [[2.0, 5.0, 1.0], [0.5, 0.0, 0.25]]
    >>> output_margin(logits)
    array([3.  , 0.25])
    >>> output_margin(logits, labels=[1, 2])
    array([ 3.  , -0.25])
    """
    z = _check_logits(logits)
    own, others = _own_and_others(z, labels)
    with np.errstate(invalid="ignore"):
        margin = (_take(z, own) - _take(z, others)).min(axis=1)
    return _finite_or_nan(margin)


def input_margin(
    logits: ArrayLike, gradients: ArrayLike, labels: ArrayLike | None = None
) -> NDArray[np.float64]:
    r"""Input margin of every row, from stored gradients, to first order; smaller means harder.

    How far the row would have to be moved for its class to cease to be the predicted one, if the
    logits were linear in the input. `MarginScorer` takes the same from a network in torch; this
    function is the reference.

    Parameters
    ----------
    logits : array-like of shape (n_rows, n_classes)
        What the network returns before the softmax. Log-probabilities do as well, because they
        have the same differences. All arithmetic is done in float64.
    gradients : array-like of shape (n_rows, n_classes, ...)
        ``gradients[i, j]`` has the shape of one input row: the gradient of the logit of row ``i``
        for class ``j``. Of shape ``(n_rows, n_classes)``, it is read as one input per row.
    labels : array-like of shape (n_rows,), default=None
        The class of every row, an integer in ``0, ..., n_classes - 1``. None takes the predicted
        class: the one with the largest logit, the first of equals.

    Returns
    -------
    margin : ndarray of shape (n_rows,), float64
        In units of the input. Positive where the class is predicted, negative where another one
        is, 0 at the decision boundary; never negative without labels. NaN where it is not finite,
        see Notes.

    Raises
    ------
    ValueError
        If `logits` is not of shape (n_rows, n_classes) with at least two classes and real
        numbers, `gradients` does not fit it, or `labels` does not hold one class for every row.

    See Also
    --------
    output_margin : The same in logits, without gradients.
    sklearn_difficulty.MarginScorer : Reads the margins of a network.

    Notes
    -----
    With :math:`z_{ij}` the logit of row :math:`i` for class :math:`j`, :math:`x_i` its input,
    :math:`c_i` its class and :math:`\| \cdot \|_2` the Euclidean norm over all inputs,

    .. math::
        m_i = \min_{j \ne c_i} \frac{z_{i c_i} - z_{ij}}
                                    {\| \nabla_{x_i} (z_{i c_i} - z_{ij}) \|_2}.

    For the predicted class this is the approximation of [1]_; its sign tells in addition whether
    the class is predicted. It is exact for a linear network: with two classes and
    :math:`z_{i1} - z_{i0} = w \cdot x_i + b` it is :math:`|w \cdot x_i + b| / \|w\|_2`. It does
    not change if all logits are multiplied by a positive factor.

    A gradient of 0 leaves a fraction of :math:`+\infty` where the row's class is ahead of class
    :math:`j`: a class that no change of the input can bring closer does not bound the margin. The
    margin is NaN if no class bounds it, if a class is ahead of the row's own, or equal to it, and
    no change of the input can alter that, and for a gradient that is not finite.

    References
    ----------
    .. [1] Y. Jiang, D. Krishnan, H. Mobahi and S. Bengio, "Predicting the generalization gap in
       deep networks with margin distributions", ICLR 2019. :arxiv:`1810.00113`
    .. [2] R. Baldock, H. Maennel and B. Neyshabur, "Deep learning through the lens of example
       difficulty", NeurIPS 2021, section 3.3. :arxiv:`2106.09647`

    Examples
    --------
    A linear network of two inputs, whose gradients are its weights, and two rows.

    >>> import numpy as np
    >>> from sklearn_difficulty.measures import input_margin
    >>> weights = np.array([[3.0, 4.0], [0.0, 0.0]])
    >>> X = np.array([[1.0, 3.0], [-2.0, 1.0]])
    >>> gradients = np.stack([weights, weights])
    >>> input_margin(X @ weights.T, gradients)
    array([3. , 0.4])
    >>> input_margin(X @ weights.T, gradients, labels=[0, 0])
    array([ 3. , -0.4])
    """
    z = _check_logits(logits)
    stack = _check_gradients(gradients, z.shape)
    own, others = _own_and_others(z, labels)
    # One class at a time: the float64 working memory does not grow with their number.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        of_own = _take(stack, own).astype(np.float64)
        norms = np.hstack(
            [
                np.linalg.norm(of_own - _take(stack, others[:, [k]]), axis=2)
                for k in range(others.shape[1])
            ]
        )
        norms[np.isinf(norms)] = np.nan  # else the row would seem to lie on the boundary
        margin = ((_take(z, own) - _take(z, others)) / norms).min(axis=1)
    return _finite_or_nan(margin)


def _check_logits(logits: ArrayLike) -> NDArray[np.float64]:
    """Return logits as float64, after checking their shape."""
    z = as_array(logits, "logits")
    if z.dtype.kind not in "fiub":
        raise ValueError(f"logits must hold real numbers, got an array of dtype {z.dtype}.")
    if z.ndim != 2 or z.shape[1] < 2:
        raise ValueError(
            "logits must have shape (n_rows, n_classes) with at least two classes, got an array "
            f"of shape {z.shape}. A single logit z stands for the logits (0, z)."
        )
    return z.astype(np.float64)


def _check_gradients(gradients: ArrayLike, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return the gradients as (n_rows, n_classes, n_inputs)."""
    stack = as_array(gradients, "gradients")
    if stack.dtype.kind not in "fiub":
        raise ValueError(f"gradients must hold real numbers, got an array of dtype {stack.dtype}.")
    if stack.shape[:2] != shape or 0 in stack.shape[2:]:
        raise ValueError(
            "gradients must hold at least one input for every row and class of logits, "
            f"({shape[0]}, {shape[1]}, ...), got an array of shape {stack.shape}."
        )
    return stack.reshape(*shape, math.prod(stack.shape[2:]))


def _own_and_others(
    z: NDArray[np.float64], labels: ArrayLike | None
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the class of every row, (n_rows, 1), and the others, (n_rows, n_classes - 1)."""
    n_rows, n_classes = z.shape
    own = z.argmax(axis=1) if labels is None else as_array(labels, "labels")
    if own.shape != (n_rows,):
        raise ValueError(
            f"labels must hold one class for each of the {n_rows} rows of logits, got an array of "
            f"shape {own.shape}."
        )
    if n_rows and own.dtype.kind not in "iu":
        raise ValueError(
            f"labels must hold integers, the columns of logits, got an array of dtype {own.dtype}."
        )
    if n_rows and (own.min() < 0 or own.max() >= n_classes):
        raise ValueError(
            f"labels must lie in 0, ..., {n_classes - 1}, got values from {own.min()} to "
            f"{own.max()}."
        )
    own = own.astype(np.intp)[:, None]
    columns = np.arange(n_classes - 1)
    return own, columns + (columns >= own)


def _take(per_class: NDArray[Any], classes: NDArray[np.intp]) -> NDArray[Any]:
    """Return the entries of (n_rows, n_classes, ...) that belong to the classes of every row."""
    return per_class[np.arange(len(classes))[:, None], classes]


def _finite_or_nan(margin: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return margins with NaN for what is not finite."""
    return np.where(np.isfinite(margin), margin, np.nan)
