# SPDX-License-Identifier: BSD-3-Clause
"""Where a row's training signal comes from: saliency of activations and gradients of your own.

The reference for `inference.contributions`, which does the same in torch; a test holds the two
together.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils._param_validation import StrOptions

from .._arrays import as_floats
from .._parameters import check_parameters

Variant = Literal["bias", "scaling", "conv1x1", "conv3x3", "depthwise3x3"]
Aggregation = Literal["norm", "sum", "max", "filtered_norm"]
Combination = Literal["product", "geometric", "sum"]
_PER_CHANNEL = ("scaling", "depthwise3x3")  # of which every channel is a group of its own
_OF_WINDOWS = ("conv3x3", "depthwise3x3")
_ROUNDING = 1e-5  # of a map's size: differences that a network in single precision may make


def saliency_map(
    activations: ArrayLike,
    gradients: ArrayLike,
    *,
    variant: Variant = "conv1x1",
    aggregation: Aggregation = "norm",
    channel_axis: int = 1,
) -> NDArray[np.float64]:
    r"""Saliency of every location of every row, from what a layer returns and its gradient.

    What each location adds to the weight gradient of an imaginary layer that would follow and
    change nothing, such as a 1 × 1 convolution whose weight is the identity. With the defaults,
    NormGrad: the length of the activation times the length of its gradient. `NormGradScorer` takes
    the same from a network in torch; this function is the reference.

    Parameters
    ----------
    activations : array-like of shape (n_rows, n_channels, ...)
        What the layer returns for every row; further axes are locations. All arithmetic is done in
        float64.
    gradients : array-like of the same shape
        Of what is explained with respect to the activations. The sign matters for all aggregations
        but the norm: take minus the loss, or the logit of a class, so that positive contributions
        speak for the label.
    variant : {"conv1x1", "conv3x3", "depthwise3x3", "scaling", "bias"}, default="conv1x1"
        The imaginary layer, see Notes.
    aggregation : {"norm", "sum", "max", "filtered_norm"}, default="norm"
        What becomes of a location's contributions: their Euclidean norm, their sum, the largest of
        them, or the norm of the positive ones.
    channel_axis : int, default=1
        Axis of the channels; -1 for sequences of tokens, (n_rows, n_tokens, n_channels).

    Returns
    -------
    saliency : ndarray of shape (n_rows, ...), float64
        One number per location; at least 0 for both norms. NaN where it is not finite.

    Raises
    ------
    ValueError
        If the arrays differ in shape, have fewer than two axes or no channels, or a parameter is
        none of its values.

    See Also
    --------
    combine_saliency_maps : Maps of several layers as one.
    sklearn_difficulty.NormGradScorer : Reads them from a network.

    Notes
    -----
    Let :math:`x_u` be the activation at location :math:`u`, a vector of one number per channel,
    and :math:`g_u` its gradient. Writing :math:`N(u)` for the :math:`3 \times 3` window around
    :math:`u` (three positions for sequences), in which activations outside of the map are 0, the
    contributions of location :math:`u` are

    - "bias": :math:`g_u`, those to a bias of 0;
    - "scaling": :math:`x_{uc} \, g_{uc}` for every channel :math:`c`, to a factor of 1;
    - "conv1x1": :math:`g_u x_u^T`, to an identity matrix;
    - "conv3x3": :math:`g_u x_v^T` for all :math:`v \in N(u)`;
    - "depthwise3x3": :math:`g_{uc} \, x_{vc}` for all channels :math:`c` and :math:`v \in N(u)`.

    The norm of an outer product is the product of the norms, so with the defaults the saliency is
    :math:`\lVert g_u \rVert_2 \, \lVert x_u \rVert_2`, and no matrix is ever formed. It does not
    change if activations are multiplied by a factor and gradients divided by it, nor if the
    channels are rotated. It is at least the norm of the scaling variant, and at least the absolute
    value of its sum, :math:`\lvert x_u^T g_u \rvert`.

    "bias" with the norm, "scaling" with the sum ("linear approximation") and "scaling" with the
    filtered norm ("NormGrad selective") are other saliency methods of the literature.

    References
    ----------
    .. [1] S.-A. Rebuffi, R. Fong, X. Ji, H. Bilen and A. Vedaldi, "NormGrad: finding the pixels
       that matter for training", 2019. :arxiv:`1910.08823`
    .. [2] S.-A. Rebuffi, R. Fong, X. Ji and A. Vedaldi, "There and back again: revisiting
       backpropagation saliency methods", CVPR 2020, pp. 8839-8848. :arxiv:`2004.02866`

    Examples
    --------
    One row, two channels, three locations.

    >>> import numpy as np
    >>> from sklearn_difficulty.measures import saliency_map
    >>> x = np.array([[[3.0, 0.0, 1.0], [4.0, 0.0, 0.0]]])
    >>> g = np.array([[[1.0, 2.0, -2.0], [0.0, 0.0, 0.0]]])
    >>> saliency_map(x, g)
    array([[5., 0., 2.]])
    >>> saliency_map(x, g, variant="scaling", aggregation="sum")
    array([[ 3.,  0., -2.]])
    """
    check_parameters(
        "saliency_map",
        variant=(variant, [StrOptions(set(get_args(Variant)))]),
        aggregation=(aggregation, [StrOptions(set(get_args(Aggregation)))]),
        channel_axis=(channel_axis, [int]),
    )
    x, g = as_floats(activations, "activations"), as_floats(gradients, "gradients")
    if x.shape != g.shape or x.ndim < 2:
        raise ValueError(
            "activations and gradients must have the same shape, (n_rows, n_channels, ...); got "
            f"{x.shape} and {g.shape}."
        )
    if not -x.ndim < channel_axis < x.ndim or channel_axis == 0:
        raise ValueError(
            "The 'channel_axis' parameter of saliency_map must be an axis of the rows, so not 0. "
            f"Got {channel_axis} for activations of shape {x.shape}."
        )
    x, g = (np.moveaxis(values, channel_axis, 1) for values in (x, g))
    if x.shape[1] == 0:
        raise ValueError(f"activations must have at least one channel; got the shape {x.shape}.")
    if variant == "bias":
        x = np.ones_like(x[:, :1])
    # (n, groups, channels of a group, ...): contributions are products within a group.
    x, g = (np.expand_dims(values, 2 if variant in _PER_CHANNEL else 1) for values in (x, g))
    if variant in _OF_WINDOWS:
        x = _windows(x)
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        saliency = _aggregated(x, g, aggregation)
    return np.where(np.isfinite(saliency), saliency, np.nan)


def _windows(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for every location all values of its group in the window around it, on axis 2."""
    axes = tuple(range(3, x.ndim))
    padded = np.pad(x, [(0, 0)] * 3 + [(1, 1)] * len(axes))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3,) * len(axes), axis=axes)
    windows = np.moveaxis(windows, range(x.ndim, windows.ndim), range(3, 3 + len(axes)))
    n_values = x.shape[2] * 3 ** len(axes)
    return windows.reshape(*x.shape[:2], n_values, *x.shape[3:])


def _aggregated(
    x: NDArray[np.float64], g: NDArray[np.float64], aggregation: Aggregation
) -> NDArray[np.float64]:
    """Return the aggregate of all products of x and g within groups, which are never formed."""
    if aggregation == "sum":
        return (x.sum(axis=2) * g.sum(axis=2)).sum(axis=1)
    if aggregation == "max":
        ends = [(a.max(axis=2), a.min(axis=2)) for a in (x, g)]
        return np.max([a * b for a in ends[0] for b in ends[1]], axis=0).max(axis=1)

    def squares(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return (values**2).sum(axis=2)

    if aggregation == "norm":
        return np.sqrt((squares(x) * squares(g)).sum(axis=1))
    # A product is positive if both factors are, or neither.
    both = squares(np.maximum(x, 0)) * squares(np.maximum(g, 0))
    neither = squares(np.minimum(x, 0)) * squares(np.minimum(g, 0))
    return np.sqrt((both + neither).sum(axis=1))


def combine_saliency_maps(
    maps: Sequence[ArrayLike],
    *,
    shape: Sequence[int] | None = None,
    combine: Combination = "product",
    weights: ArrayLike | None = None,
) -> NDArray[np.float64]:
    r"""Combine saliency maps of several layers into one map per row, between 0 and 1.

    Every map is brought to one size by linear interpolation, then scaled so that its smallest value
    is 0 and its largest 1; only then are the layers combined.

    Parameters
    ----------
    maps : sequence of array-like of shape (n_rows, ...)
        One array per layer, with the same number of axes and of rows, and any number of locations.
    shape : sequence of int, default=None
        Size of the map that is returned, such as the height and width of the image. None takes the
        largest size among the layers, axis by axis.
    combine : {"product", "geometric", "sum"}, default="product"
        How the scaled maps become one, see Notes.
    weights : array-like of shape (n_layers,), default=None
        At least 0, and one of them positive; only their ratios matter. None weighs all layers
        alike.

    Returns
    -------
    combined : ndarray of shape (n_rows, \*shape), float64
        Between 0 and 1. NaN for rows of which a map with a positive weight holds a NaN.

    Raises
    ------
    ValueError
        If the maps do not fit together, `shape` is none for them, `weights` are not one finite
        number of at least 0 for every layer, or all are 0.

    See Also
    --------
    saliency_map : Makes the map of a layer.
    sklearn_difficulty.NormGradScorer : Does both, for a network.

    Notes
    -----
    Let :math:`m_l` be the scaled map of layer :math:`l` of :math:`L`, and :math:`w_l` its weight.

    - "sum": :math:`\sum_l \frac{w_l}{\sum_k w_k} m_l`;
    - "geometric": :math:`\prod_l m_l^{w_l / \sum_k w_k}`, at most "sum";
    - "product": :math:`\prod_l m_l^{w_l / \bar w}` with :math:`\bar w` the mean of the positive
      weights, so for equal weights the plain product. It orders locations as "geometric" does, with
      more contrast.

    A map that is constant says nothing about locations and cannot be scaled; that layer is left out
    for the row. So is one whose values differ by no more than :math:`10^{-5}` of the largest
    absolute value, which may be rounding in single precision. Where all are constant, the result is
    0. Interpolation is that of ``torch.nn.functional.interpolate`` with ``align_corners=False``.

    References
    ----------
    .. [1] S.-A. Rebuffi, R. Fong, X. Ji and A. Vedaldi, "There and back again: revisiting
       backpropagation saliency methods", CVPR 2020, pp. 8839-8848. :arxiv:`2004.02866`

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_difficulty.measures import combine_saliency_maps
    >>> fine, coarse = np.array([[0.0, 4.0, 2.0, 4.0]]), np.array([[1.0, 3.0]])
    >>> combine_saliency_maps([fine, coarse])
    array([[0.   , 0.25 , 0.375, 1.   ]])
    >>> combine_saliency_maps([fine, coarse], combine="sum", weights=[1, 0])
    array([[0. , 1. , 0.5, 1. ]])
    """
    check_parameters(
        "combine_saliency_maps",
        combine=(combine, [StrOptions(set(get_args(Combination)))]),
    )
    if not isinstance(maps, Iterable) or getattr(maps, "ndim", 1) == 0:
        raise ValueError(f"maps must be a list of arrays, one per layer; got {maps!r}.")
    layers = [as_floats(values, f"maps[{i}]") for i, values in enumerate(maps)]
    _check_layers(layers)
    size = _checked_shape(shape, layers)
    weight = checked_weights(weights, len(layers))
    kept = [_scaled(_resized(m, size)) for m, w in zip(layers, weight, strict=True) if w]
    with np.errstate(under="ignore"):
        return _combined(np.stack(kept), weight[weight > 0], combine)


def _check_layers(layers: list[NDArray[np.float64]]) -> None:
    """Raise unless there are maps, of the same rows and with as many axes of locations."""
    fitting = {(m.ndim, len(m) if m.ndim else 0) for m in layers}
    if len(fitting) != 1 or layers[0].ndim < 2 or any(0 in m.shape[1:] for m in layers):
        raise ValueError(
            "maps must hold at least one array of shape (n_rows, ...), all with the same number of "
            f"rows and of axes, and with locations; got the shapes {[m.shape for m in layers]}."
        )


def _checked_shape(shape: Any, layers: list[NDArray[np.float64]]) -> tuple[int, ...]:
    """Return the size of the combined map."""
    if shape is None:
        return tuple(np.max([m.shape[1:] for m in layers], axis=0).tolist())
    size = np.asarray(shape)
    n_axes = layers[0].ndim - 1
    if size.shape != (n_axes,) or size.dtype.kind not in "iu" or (size < 1).any():
        raise ValueError(
            f"The 'shape' parameter of combine_saliency_maps must hold {n_axes} positive "
            f"integer(s), one per axis of locations. Got {shape!r} instead."
        )
    return tuple(size.tolist())


def checked_weights(weights: Any, n_layers: int, name: str = "weights") -> NDArray[np.float64]:
    """Return one weight per layer; they sum to 1."""
    weight = np.ones(n_layers) if weights is None else as_floats(weights, name)
    is_usable = weight.shape == (n_layers,) and np.isfinite(weight).all() and (weight >= 0).all()
    if not is_usable or not weight.any():
        raise ValueError(
            f"{name} must hold {n_layers} finite number(s) of at least 0, one per layer, of which "
            f"one is positive; got {weights!r}."
        )
    weight = weight / weight.max()  # the sum of very large ones would overflow
    return weight / weight.sum()


def _resized(maps: NDArray[np.float64], size: tuple[int, ...]) -> NDArray[np.float64]:
    """Return maps (n, ...) at another size, by linear interpolation between centres of cells."""
    for axis, length in enumerate(size, start=1):
        n = maps.shape[axis]
        if n == length:
            continue
        position = np.clip((np.arange(length) + 0.5) * n / length - 0.5, 0, n - 1)
        below = position.astype(np.int64)
        share = (position - below).reshape(-1, *[1] * (maps.ndim - axis - 1))
        above = np.take(maps, np.minimum(below + 1, n - 1), axis=axis)
        below_values = np.take(maps, below, axis=axis)
        with np.errstate(invalid="ignore"):
            maps = below_values + share * (above - below_values)
    return maps


def _scaled(maps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return maps (n, ...) from 0 to 1; a constant one is infinite, until it is left out."""
    axes = tuple(range(1, maps.ndim))
    low, high = (end(axis=axes, keepdims=True) for end in (maps.min, maps.max))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        # Halved first, since the range of finite numbers may be infinite.
        span = high / 2 - low / 2
        scaled = (maps / 2 - low / 2) / span
        is_constant = span <= _ROUNDING / 2 * np.maximum(abs(low), abs(high))
    is_finite = np.isfinite(low) & np.isfinite(high)
    return np.where(is_finite, np.where(is_constant, np.inf, scaled), np.nan)


def _combined(
    maps: NDArray[np.float64], weights: NDArray[np.float64], combine: Combination
) -> NDArray[np.float64]:
    """Return the combination (n, ...) of scaled maps (n_layers, n, ...)."""
    weight = np.broadcast_to(weights.reshape(-1, *[1] * (maps.ndim - 1)), maps.shape)
    weight = np.where(np.isinf(maps), 0, weight)
    total = weight.sum(axis=0)
    if combine == "product":
        total = total / np.maximum(1, (weight > 0).sum(axis=0))
    says_something = total > 0
    share = weight / np.where(says_something, total, 1)
    values = np.where(np.isinf(maps), 1, maps)
    combined = (values * share).sum(axis=0) if combine == "sum" else (values**share).prod(axis=0)
    return np.where(says_something, combined, 0.0)
