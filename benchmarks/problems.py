# SPDX-License-Identifier: BSD-3-Clause
"""What the benchmarks train: data sets, noise, networks, and the two regimes.

A network that "stopped early" has seen its rows a few times at a small learning rate; one that
"memorised" knows nearly all given labels by heart. What finds what depends on that.
"""

from typing import Any

import numpy as np
import torch
from sklearn.datasets import fetch_openml, load_breast_cancer, load_digits
from skorch import NeuralNetClassifier
from skorch.callbacks import LRScheduler
from summaries import Array
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, StepLR
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler

from sklearn_difficulty.datasets import load_fashion_mnist, make_label_noise
from sklearn_difficulty.training import MLP

REGIMES = STOPPED, MEMORISED = ("stopped early", "memorised")


# --------------------------------------------------------------------------------------- data sets


def load(data: str, letter: str | None = None) -> tuple[Array, Array]:
    """Return all rows of a data set as vectors, and their class codes."""
    if data == "digits":
        X, y = load_digits(return_X_y=True)
    elif data == "breast_cancer":
        X, y = load_breast_cancer(return_X_y=True)
    elif data == "fashion_mnist":
        train = load_fashion_mnist("train")
        X, y = train.data.reshape(len(train.target), -1), train.target
    elif letter is not None:
        table = np.genfromtxt(letter, delimiter=",", dtype=str, skip_header=1)
        X, y = table[:, 1:], np.char.strip(table[:, 0], '"')
    else:
        X, y = fetch_openml("letter", version=1, return_X_y=True, as_frame=False)
    return X, np.unique(y, return_inverse=True)[1]


def split(
    data: str, n: int | None, n_out: int, seed: int, letter: str | None = None
) -> tuple[Array, Array, Array, Array]:
    """Return training rows and labels, and others; columns standardised, None for all rows."""
    X, y = load(data, letter)
    n = len(y) if n is None else n
    rows = np.random.RandomState(seed).permutation(len(y))[: n + n_out]
    X, y = X[rows].astype(np.float32), y[rows]
    X = standardized(X, n, of_pixels=data in ("digits", "fashion_mnist"))
    return X[:n], y[:n], X[n:], y[n:]


def standardized(X: Array, n: int, *, of_pixels: bool = True) -> Array:
    """Return columns of mean 0 and deviation 1 in the first n rows."""
    spread = X[:n].std(axis=0)
    if of_pixels:  # those that are nearly always the same are not blown up
        spread = np.maximum(spread, 0.02 * X[:n].std())
    return (X - X[:n].mean(axis=0)) / spread


def images(part: str, n: int, rng: np.random.RandomState) -> tuple[Array, Array]:
    """Return some images of Fashion-MNIST, 1 x 28 x 28 pixels in [0, 1], and their labels."""
    found = load_fashion_mnist(part)
    rows = rng.permutation(len(found.target))[:n]
    return found.data[rows], found.target[rows]


def random_rows(n: int, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Return rows and labels that mean nothing, for what only takes time."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, *shape), dtype=np.float32), rng.integers(10, size=n)


def with_noise(y: Array, noise: str, seed: int, X: Array | None = None) -> tuple[Array, Array]:
    """Return given labels and which are wrong; the noise is kind and share, "pair 20 %", or "none".

    Wrong labels of the kind "instance" depend on X.
    """
    kind, percent = ("symmetric", 0) if noise == "none" else noise.split()[:2]
    return make_label_noise(y, int(percent) / 100, kind=kind, X=X, random_state=seed)


# ---------------------------------------------------------------------------------------- networks


class Batches(DataLoader):
    """Rows by the batch instead of one by one: half the time of a fit."""

    def __init__(self, dataset, batch_size, shuffle=False, generator=None):
        rows = (
            RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        )
        batches = BatchSampler(rows, batch_size, drop_last=False)
        super().__init__(dataset, sampler=batches, batch_size=None, generator=generator)


def net(module: Any, **settings: Any) -> NeuralNetClassifier:
    """Return an untrained net that takes all rows, in another order every epoch, and says nothing.

    Trained with Adam, where the settings do not say otherwise.
    """
    defaults = {
        "criterion": nn.CrossEntropyLoss,
        "optimizer": torch.optim.Adam,
        "iterator_train__shuffle": True,
        "train_split": None,
        "verbose": 0,
    }
    return NeuralNetClassifier(module, **(defaults | settings))


def mlp_net(
    n_inputs: int, hidden_units: tuple[int, ...], n_outputs: int = 10, **settings: Any
) -> NeuralNetClassifier:
    """Return `net` with the library's MLP."""
    sizes = {"n_inputs": n_inputs, "hidden_units": hidden_units, "n_outputs": n_outputs}
    return net(MLP, **{f"module__{key}": size for key, size in sizes.items()}, **settings)


def mlp() -> nn.Module:
    """Return a network 784-256-10."""
    return nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))


def conv() -> nn.Module:
    """Return a network of two convolutions, of 32 and 64 channels, for images of 28 x 28."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 49, 10),
    )


# The networks of speed benchmarks, and the shape of a row.
MLP_784, CONV = "mlp 784-256-10", "conv 32-64"
TIMED = {MLP_784: (mlp, (784,)), CONV: (conv, (1, 28, 28))}


# ----------------------------------------------------------------------------------------- regimes


def in_regime(regime: str, fit: dict[str, Any], slowdown: float = 100) -> dict[str, Any]:
    """Return the settings of a fit; one that memorises slows down, by a cosine, to its end."""
    if regime != MEMORISED:
        return fit
    last = {"T_max": fit["max_epochs"], "eta_min": fit["lr"] / slowdown}
    return fit | {"callbacks": [LRScheduler(CosineAnnealingLR, **last)]}


def last_quarter_slow(n_epochs: int) -> list[LRScheduler]:
    """Return callbacks for a tenth of the rate in the last quarter.

    At a constant rate Adam keeps jumping, and what the last epoch fits is luck.
    """
    return [LRScheduler(StepLR, step_size=n_epochs * 3 // 4)]


def check_regime(regime: str, accuracy: float, where: str, *, stopped_below: float = 0.99) -> None:
    """Refuse a run whose accuracy on the given labels is not that of its regime."""
    is_right = accuracy > 0.99 if regime == MEMORISED else accuracy <= stopped_below
    assert is_right, f"{where}: accuracy {accuracy:.3f} on the given labels is not {regime}"
