# SPDX-License-Identifier: BSD-3-Clause
"""The net that ``estimator=None`` stands for: one that suits the shape and scale of X."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler
from sklearn.utils._param_validation import StrOptions
from skorch import NeuralNet, NeuralNetClassifier, NeuralNetRegressor
from torch import nn

from .._parameters import check_parameters
from .._warnings import warn_caller
from ..networks.losses import ScaledL1Loss
from ..networks.small import MLP, ConvNet
from ..networks.tables import TableMLP, encoding_of
from ..rows.labels import encode_labels, float_targets
from ..rows.rows import ArrayRows, FrameRows, Rows, SparseRows, as_rows
from .skorch_net import StandsForNet

_BLOCK_ROWS = 4096  # of the pass over X, which may be a memory map
_SPARSE_NORM = 5.0  # of rows, for the network
_SPARSE_UNITS = (64,)  # of 50,000 features 256 would take four times as long, and find no more
_SPARSE_BATCH = 128  # rows, since every step moves the weights of all features
_SPARSE_RATE = 0.05  # of classifiers, for so many rows
_MAD_TO_STD = 1.4826  # of a normal distribution
__all__ = ["default_network"]

Task = Literal["classification", "regression"]


def default_network(X: Any, y: Any, *, task: Task = "classification") -> NeuralNet:
    r"""Return the untrained net that ``estimator=None`` stands for.

    Rows of features get a multilayer perceptron with 256 and 128 hidden units, images of shape
    (channels, height, width) a network of two convolutions. Both standardise their input by the
    mean and standard deviation of `X` (per feature or channel) and train for 20 epochs on
    shuffled batches, a classifier by SGD with momentum 0.9, a regressor by Adam.

    Of a DataFrame whose columns are not all numbers, or where some are missing, the first layer
    makes numbers (see Notes). What it knows of them it learns from the rows that a clone of the net
    is trained on, by scorers and ``TrainingRecord.from_fit``; nothing but numbers and finite ones
    are taken as before.

    Of a sparse matrix, rows are made dense a batch at a time. There are 64 hidden units and, for a
    classifier, batches of 128 rows; features are divided by a scale and no mean is taken off, so
    that zeros stay zeros (see Notes).

    What a regressor learns is standardised, too: by the median of the targets and their median
    distance from it, per column, which few wrong targets can move, however far off. Its outputs are
    in the units of `y`. The loss is `ScaledL1Loss`, to which a target that is wrong by a factor
    of ten counts as much as any other, and what it predicts is a median.

    Parameters
    ----------
    X : array-like, sparse matrix or DataFrame
        The training rows, of shape (n_samples, n_features) or (n_samples, n_channels, height,
        width), for their shape and scale. A DataFrame, of pandas or polars, may hold
        numbers, categories, strings, dates, booleans and missing values.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Their labels, for the number of classes; or their targets, for scale and columns.
    task : {"classification", "regression"}, default="classification"
        What `y` holds. It is never guessed: ages and grades are both.

    Returns
    -------
    net : skorch.NeuralNetClassifier or skorch.NeuralNetRegressor
        Silent, on the CPU; change it with ``set_params``.

    Raises
    ------
    ValueError
        If X has another rank, or `task` another value; or if a column holds lists, complex or
        infinite numbers.

    Warns
    -----
    UserWarning
        If columns of texts that hardly repeat are left out.

    See Also
    --------
    MLP, TableMLP, ConvNet : The modules.

    Notes
    -----
    Columns of a DataFrame are encoded so:

    - a number :math:`x` as :math:`(x - m) / s` with mean :math:`m` of the values that are there and
      standard deviation :math:`s` of all, missing ones taken as :math:`m`; booleans are 0 and 1,
      and time differences are in days;
    - a date, or texts that all are dates in ISO format, as seven numbers: days since 1970, and sine
      and cosine of :math:`2 \pi d / p` with :math:`d` the days and :math:`p` a year, a week and a
      day;
    - of either, where some are missing, an indicator of these;
    - a category, or strings of which at most half are different, as an indicator for each of the
      100 most frequent ones, and one of missing values if there are some. All others, and those
      that come up later, have none of them. Which there are is read from all rows that `fit` is
      given, held-out ones too, but not from their labels.

    What does not vary in the rows that a network is trained on is 0 for it, a category that it
    never saw, say. Indicators are not standardised, which would give rare categories more weight
    than numbers: average precision of flipped labels would fall by 0.05 to 0.10 on three of four
    tables. Behind skrub's ``TableVectorizer`` it is 0.86 in the mean of these, and 0.87 as it is.

    Features of a sparse matrix are all divided by the same number, so that rows have a root mean
    square norm of 5: how much a word counts was decided by whoever weighted it, as by TF-IDF. Only
    a feature whose own root mean square would be above 1 then is divided by that, so that a column
    of another unit does not drown the others.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn_difficulty import VoGScorer
    >>> from sklearn_difficulty.training import default_network
    >>> X, y = load_wine(return_X_y=True)
    >>> net = default_network(X, y).set_params(
    ...     max_epochs=5, module__hidden_units=(32,)
    ... )
    >>> VoGScorer(net, random_state=0).fit(X, y).difficulty_.shape
    (178,)
    """
    check_parameters("default_network", task=(task, [StrOptions({"classification", "regression"})]))
    return _network_for(as_rows(X, columns="any"), y, task)


def _network_for(rows: Rows, y: Any, task: Task) -> NeuralNet:
    """Return the default network for checked rows."""
    if not isinstance(rows, (ArrayRows, SparseRows)):
        raise ValueError(
            f"There is no default network for a {type(rows.data).__name__}. Pass estimator, a "
            "skorch net that fits your data."
        )
    given = rows.given_labels(y)
    of_targets = _settings_of_targets(given) if task == "regression" else None
    n_classes = len(encode_labels(given)[0]) if of_targets is None else 0
    module, settings = _settings_of_rows(rows)
    batch_size = _SPARSE_BATCH if isinstance(rows, SparseRows) else 32
    common: dict[str, Any] = {
        "batch_size": batch_size,
        "max_epochs": 20,
        "iterator_train__shuffle": True,
    }
    common |= {"train_split": None, "verbose": 0}
    if of_targets is not None:
        return NeuralNetRegressor(
            module,
            criterion=ScaledL1Loss,
            criterion__scale=of_targets["target_scale"],
            optimizer=torch.optim.Adam,
            lr=0.001,
            **common,
            **{f"module__{name}": value for name, value in (settings | of_targets).items()},
        )
    return NeuralNetClassifier(
        module,
        module__n_outputs=n_classes,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.SGD,
        optimizer__momentum=0.9,
        lr=_SPARSE_RATE if isinstance(rows, SparseRows) else 0.02,
        **common,
        **{f"module__{name}": value for name, value in settings.items()},
    )


def _settings_of_rows(rows: ArrayRows | SparseRows) -> tuple[type[nn.Module], dict[str, Any]]:
    """Return a module, and its settings that depend on rows."""
    X = rows.data
    if isinstance(rows, SparseRows):
        sizes = {"n_inputs": X.shape[1], "hidden_units": _SPARSE_UNITS}
        return MLP, sizes | {"scale": scale_of_sparse(X)}
    if isinstance(rows, FrameRows):
        found = encoding_of(rows.columns, X)  # every training replaces it by that of its rows
        return TableMLP, {"columns": rows.columns, "hidden_units": (256, 128), **found}
    rank = X.ndim
    if rank not in (2, 4):
        raise ValueError(
            "There is a default network for X of shape (n_samples, n_features) or (n_samples, "
            f"n_channels, height, width); this X has {rank} dimension(s). Pass estimator, a skorch "
            "net that fits your data, or reshape X."
        )
    if rank == 4 and X.shape[3] in (1, 3, 4) and X.shape[1] not in (1, 3, 4):
        warn_caller(
            f"X of shape {X.shape} is taken as {X.shape[1]} channels; if the last axis holds the "
            "channels, pass np.moveaxis(X, 3, 1)."
        )
    settings: dict[str, Any] = {"n_channels": X.shape[1]}
    if rank == 2:
        settings = {"n_inputs": X.shape[1], "hidden_units": (256, 128)}
    module = MLP if rank == 2 else ConvNet
    scaler = StandardScaler()  # leaves (nearly) constant features alone
    # The network refuses a scale that is not finite.
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(X), _BLOCK_ROWS):
            block = np.asarray(X[start : start + _BLOCK_ROWS], dtype=np.float64)
            flat = block if rank == 2 else np.moveaxis(block, 1, 3).reshape(-1, X.shape[1])
            scaler.partial_fit(flat)
    return module, settings | {"mean": scaler.mean_, "scale": scaler.scale_}


def scale_of_sparse(csr: Any) -> NDArray[np.float64]:
    """Return what features (n_features,) are divided by, so that zeros stay zeros.

    All by one number, so that rows have a root mean square norm of `_SPARSE_NORM`: what a feature
    weighs is known to who made it, as by TF-IDF. But those that would be beyond 1, by root mean
    square, are divided by their own: a column of another unit drowns the others else.
    """
    own = np.sqrt(np.asarray(csr.multiply(csr).mean(axis=0), dtype=np.float64).ravel())
    largest_first = np.sort(own)[::-1]
    # Of the squares that are left if the k largest features count 1 each.
    left = np.append(np.cumsum(np.square(largest_first[::-1]))[::-1], 0.0)
    n_own = np.arange(min(len(own), int(_SPARSE_NORM**2) - 1) + 1)
    common = np.sqrt(left[n_own] / (_SPARSE_NORM**2 - n_own))
    is_enough = np.append(largest_first, 0.0)[n_own] <= common
    scale = np.maximum(own, common[is_enough.argmax()])  # the last one is
    return np.where(scale > 0, scale, 1.0)


def _settings_of_targets(y: Any) -> dict[str, Any]:
    """Return the settings of a module that depend on regression targets."""
    center, scale = center_and_scale(float_targets(y))
    return {"n_outputs": center.size, "target_center": center, "target_scale": scale}


def center_and_scale(targets: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the median of targets and their median distance from it, (n_outputs,) each.

    The distance is scaled to be the standard deviation of normal targets. Where more than half of
    the targets are equal, the mean distance takes its place, and 1 where all are.
    """
    columns = targets.reshape(len(targets), -1).astype(np.float64)
    center = np.median(columns, axis=0)
    distance = np.abs(columns - center)
    scale = _MAD_TO_STD * np.median(distance, axis=0)
    scale = np.where(scale > 0, scale, distance.mean(axis=0))
    return center, np.where(scale > 0, scale, 1.0)


def untrained_net(
    estimator: Any, X: Rows, y: Any, owner: Any, *, task: Task = "classification"
) -> NeuralNet:
    """Return the net that `estimator` is, or makes for checked rows; None makes a default one.

    The `owner` is what it was given to, of which an error speaks.
    """
    if estimator is None:
        if y is None and isinstance(X, (ArrayRows, SparseRows)):
            raise ValueError(
                f"{type(owner).__name__} requires y to be passed, but the target y is None."
            )
        return _network_for(X, y, task)
    return estimator._net_for(X, y) if isinstance(estimator, StandsForNet) else estimator
