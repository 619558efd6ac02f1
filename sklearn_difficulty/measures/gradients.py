# SPDX-License-Identifier: BSD-3-Clause
"""How much the input gradients of a row move during training: for gradients of your own.

The reference for `inference.input_gradients`, which does the same on a network's device without
storing gradients; a test holds the two together.
"""

import math
from numbers import Integral
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arrays import as_array
from .._parameters import check_parameters

Formula = Literal["rms", "mean_std", "cvpr"]


def variance_of_gradients(
    gradients: ArrayLike,
    *,
    formula: Formula = "rms",
    channel_axis: int | None = None,
) -> NDArray[np.float64]:
    r"""Variance of gradients (VoG) of every row, from stored gradients; larger means harder.

    The spread, over checkpoints of one training run, of the gradient of a scalar output
    (usually the logit of the row's label) with respect to the row's input. For gradients of
    your own: `VoGScorer` takes the same from a network in torch, without storing them. This
    function is the reference.

    Parameters
    ----------
    gradients : array-like of shape (n_checkpoints, n_rows, ...)
        ``gradients[t, i]`` has the shape of one input row: the signed gradient for row
        ``i`` at checkpoint ``t``. Of shape ``(n_checkpoints, n_rows)``, it is read as one
        input per row. All arithmetic is done in float64.
    formula : {"rms", "mean_std", "cvpr"}, default="rms"
        How the squared deviations become one number per row, see Notes.

        - ``"rms"``: the root of the mean squared deviation; for a given number of
          checkpoints it ranks rows exactly as the paper's formula does.
        - ``"mean_std"``: the standard deviation of each input, averaged over the inputs;
          what the authors' released code computes.
        - ``"cvpr"``: the formula as printed in the paper.
    channel_axis : int, default=None
        Axis of the whole ``gradients`` array that holds the channels; at least 2, or
        negative to count from the end. The gradients are averaged over it, with their
        signs, before any variance is taken, as the paper does for colour images. None
        treats every channel as inputs of its own.

    Returns
    -------
    vog : ndarray of shape (n_rows,), float64
        A number in :math:`[0, \infty)`; 0 for a gradient that never moves, so always with
        one checkpoint. NaN for rows with a NaN or infinite gradient at any checkpoint,
        or one so large that its square is infinite.

    Raises
    ------
    ValueError
        If `gradients` has fewer than two axes, no checkpoint, no inputs or no real
        numbers, if `formula` is unknown, or if `channel_axis` is not an axis of the input.

    See Also
    --------
    group_statistics : Mean and standard deviation of the scores of every class.
    standardize : The class-normalised score that the paper recommends.

    Notes
    -----
    Let :math:`S_{tj}` be the gradient of one row at checkpoint :math:`t = 1, \dots, K`
    for its input :math:`j = 1, \dots, N` (pixels, after the channels were averaged), and
    :math:`\mu_j = \frac{1}{K} \sum_t S_{tj}` its mean over the checkpoints. Then

    .. math::
        \text{rms} &= \sqrt{\frac{1}{K N} \sum_{t, j} (S_{tj} - \mu_j)^2} \\
        \text{mean\_std} &= \frac{1}{N} \sum_j \sqrt{\frac{1}{K} \sum_t (S_{tj} - \mu_j)^2} \\
        \text{cvpr} &= \frac{1}{N} \sum_j \sqrt{\frac{1}{K}} \sum_t (S_{tj} - \mu_j)^2

    so :math:`\text{cvpr} = \sqrt{K}\,\text{rms}^2` and
    :math:`\text{mean\_std} \le \text{rms}`, with equality if all inputs have the same
    spread. "rms" and "mean_std" have the unit of a gradient (output per input) and do not
    change if the list of checkpoints is repeated; "cvpr" has that unit squared and grows
    with :math:`\sqrt{K}`. "mean_std" ranks rows slightly differently from the other two.

    References
    ----------
    .. [1] C. Agarwal, D. D'souza and S. Hooker, "Estimating example difficulty using
       variance of gradients", CVPR 2022, pp. 10368-10378.
       :arxiv:`2008.11600`, :doi:`10.1109/CVPR52688.2022.01012`

    Examples
    --------
    Three checkpoints, two rows of two pixels; the gradient of the second row never moves.

    >>> import numpy as np
    >>> from sklearn_difficulty.measures import variance_of_gradients
    >>> gradients = np.array([[[1., 0.], [2., 2.]],
    ...                       [[3., 0.], [2., 2.]],
    ...                       [[5., 4.], [2., 2.]]])
    >>> variance_of_gradients(gradients).round(4)
    array([1.7638, 0.    ])
    >>> variance_of_gradients(gradients, formula="mean_std").round(4)
    array([1.7593, 0.    ])
    >>> variance_of_gradients(gradients, formula="cvpr").round(4)
    array([5.3886, 0.    ])
    """
    check_parameters("variance_of_gradients", channel_axis=(channel_axis, [Integral, None]))
    if not isinstance(formula, str) or formula not in get_args(Formula):
        raise ValueError(
            "The 'formula' parameter of variance_of_gradients must be one of "
            f"{', '.join(map(repr, get_args(Formula)))}. Got {formula!r} instead."
        )
    stack = _check_stack(gradients)
    channels = None if channel_axis is None else _check_channel_axis(channel_axis, stack.shape)

    n_checkpoints = stack.shape[0]
    # One checkpoint at a time: the float64 working memory does not grow with their number.
    # inf - inf is what turns a row with an infinite gradient into NaN.
    with np.errstate(invalid="ignore", over="ignore"):
        # Measured from the first checkpoint, gradients that never move give exactly 0;
        # measured from zero, the rounding of their mean would be left over.
        origin = _inputs_of(stack[0], channels)
        mean = np.zeros_like(origin)
        for checkpoint in stack:
            mean += _inputs_of(checkpoint, channels) - origin
        mean /= n_checkpoints
        squares = np.zeros_like(origin)
        for checkpoint in stack:
            squares += (_inputs_of(checkpoint, channels) - origin - mean) ** 2

    if formula == "cvpr":
        vog = (squares / math.sqrt(n_checkpoints)).mean(axis=1)
    elif formula == "mean_std":
        vog = np.sqrt(squares / n_checkpoints).mean(axis=1)
    else:
        vog = np.sqrt((squares / n_checkpoints).mean(axis=1))
    return np.where(np.isfinite(vog), vog, np.nan)


def _check_stack(gradients: ArrayLike) -> NDArray[Any]:
    """Return the gradients as an array of at least two axes that is safe to average."""
    stack = as_array(gradients, "gradients")
    if stack.dtype.kind not in "fiub":
        raise ValueError(f"gradients must hold real numbers, got an array of dtype {stack.dtype}.")
    if stack.ndim < 2:
        raise ValueError(
            "gradients must have shape (n_checkpoints, n_rows, ...), got an array of shape "
            f"{stack.shape}. For one row, pass gradients[:, None]."
        )
    if stack.shape[0] == 0 or 0 in stack.shape[2:]:
        raise ValueError(
            "gradients must hold at least one checkpoint and one input per row, got an array "
            f"of shape {stack.shape} for (n_checkpoints, n_rows, ...)."
        )
    return stack


def _check_channel_axis(channel_axis: int, shape: tuple[int, ...]) -> int:
    """Return the channel axis as counted within one checkpoint, (n_rows, ...)."""
    axis = channel_axis + len(shape) if channel_axis < 0 else channel_axis
    if not 2 <= axis < len(shape):
        raise ValueError(
            "The 'channel_axis' parameter of variance_of_gradients must be an axis of the input "
            f"within (n_checkpoints, n_rows, ...), so not 0 or 1. Got {channel_axis} for "
            f"gradients of shape {shape}."
        )
    return axis - 1


def _inputs_of(checkpoint: NDArray[Any], channels: int | None) -> NDArray[np.float64]:
    """Return the gradients of one checkpoint, (n_rows, ...), as float64 (n_rows, n_inputs)."""
    if channels is not None:
        checkpoint = checkpoint.mean(axis=channels, dtype=np.float64)
    n_inputs = math.prod(checkpoint.shape[1:])
    return checkpoint.reshape(len(checkpoint), n_inputs).astype(np.float64, copy=False)
