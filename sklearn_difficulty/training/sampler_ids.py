# SPDX-License-Identifier: BSD-3-Clause
"""Which rows a training batch holds: the sampler that chose them is made to remember.

A DataLoader yields batches in the order in which its sampler named them, with worker processes too,
so the oldest batch that is remembered is the one that has arrived. The Dataset is not touched; a
collate_fn of the user's own, which may sort a batch, is followed (`rows.collation`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sized
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from skorch import NeuralNet
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset

from ..rows.collation import FollowedBatch, FollowedCollate, is_own


class RowIds:
    """Tells, batch by batch, which rows a skorch net is training on, or what the problem is.

    Ids count the `n_rows` rows that `fit` was given, also where skorch trains on a part of them.
    """

    def __init__(self) -> None:
        self.n_rows = 0
        self.problem: str | None = None
        self._remembered: deque[NDArray[Any] | None] = deque()
        self._subset: NDArray[np.int64] | None = None
        self._follows_collation = False

    def attach(self, net: NeuralNet, X: Any, *, follow: bool = True) -> None:
        """Note which rows of X the net is about to train on, and follow their iterator."""
        get_iterator = net.get_iterator

        def followed(dataset: Any, training: bool = False) -> Any:
            iterator = get_iterator(dataset, training=training)
            if training:  # the first is that of the fit; callbacks may ask for more
                self.detach(net)
                self._subset, self.n_rows = _positions(dataset, X)
                if follow:
                    self.follow(iterator)
            return iterator

        net.get_iterator = StandIn(net, "get_iterator", followed)

    @staticmethod
    def detach(net: NeuralNet) -> None:
        """Leave the net as it was, also after a fit that died."""
        vars(net).pop("get_iterator", None)

    def follow(self, loader: Any, *, collation: bool = True) -> None:
        """Remember what the sampler of a loader chooses from here on, and what collate_fn does."""
        loader = _plain_loader(loader)
        if not isinstance(loader, DataLoader):
            self.problem = f"the iterator is a {type(loader).__name__}, not a DataLoader"
        elif isinstance(loader.dataset, IterableDataset):
            self.problem = "the rows of an IterableDataset have no index"
        elif loader.num_workers and not getattr(loader, "in_order", True):
            self.problem = (
                "with in_order=False, batches arrive in another order than they are named"
            )
        else:
            name = "sampler" if loader.batch_sampler is None else "batch_sampler"
            self.unfollow(loader)  # which may be used again
            sampler = _Remembering(getattr(loader, name), self._remembered)
            # DataLoader forbids to set it; that is meant for what workers were told already.
            object.__setattr__(loader, name, sampler)
            if collation and loader.batch_sampler is not None and is_own(loader.collate_fn):
                loader.collate_fn = FollowedCollate(loader.collate_fn)
                self._follows_collation = True

    def unfollow(self, loader: Any) -> None:
        """Take off a loader's sampler what this object has put around it, and nobody else has."""
        loader = _plain_loader(loader)
        for name in ("sampler", "batch_sampler"):
            if isinstance(sampler := getattr(loader, name, None), _Remembering):
                object.__setattr__(loader, name, sampler.without(self._remembered))

    def start_epoch(self) -> None:
        """Forget batches that an epoch has asked for and not used."""
        self._remembered.clear()

    def take(self, n: int, batch: Any) -> NDArray[np.int64] | None:
        """Return the rows of the batch that has arrived, with n outputs, None if not known."""
        if self.problem is None and not self._remembered:
            self.problem = "batches arrive that no sampler has named"
        if self.problem is not None:
            return None
        ids, n_rows = self._remembered.popleft(), self._n_trained
        if ids is None or ids.min(initial=0) < 0 or ids.max(initial=0) >= n_rows:
            self.problem = (
                f"the sampler yields something else than positions from 0 to {n_rows - 1}"
            )
        elif len(ids) != n:
            self.problem = (
                f"a batch of {len(ids)} rows gave {n} outputs: collate_fn, or the module, joins or "
                "multiplies rows"
            )
        elif not self._follows_collation:
            return self._given(ids)
        elif not isinstance(batch, FollowedBatch):
            self.problem = f"collate_fn returns a {type(batch).__name__}, not a pair of (X, y)"
        elif batch.order is None:
            self.problem = batch.problem
        else:
            return self._given(ids[batch.order])
        return None

    def _given(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return positions among the rows that `fit` was given."""
        return ids if self._subset is None else self._subset[ids]

    @property
    def _n_trained(self) -> int:
        """Return how many rows are trained on."""
        return self.n_rows if self._subset is None else len(self._subset)


class _Remembering:
    """A sampler that also notes what it yields."""

    def __init__(self, sampler: Any, remembered: deque[NDArray[Any] | None]) -> None:
        self._sampler = sampler
        self._remembered = remembered

    def __iter__(self) -> Iterator[Any]:
        self._remembered.clear()  # of an iteration that was given up
        for index in self._sampler:
            self._remembered.append(_as_positions(index))
            yield index

    def without(self, remembered: deque[NDArray[Any] | None]) -> Any:
        """Return the sampler as it is for those who do not remember there."""
        inner = self._sampler
        if isinstance(inner, _Remembering):
            inner = inner.without(remembered)
        return inner if self._remembered is remembered else _Remembering(inner, self._remembered)

    def __len__(self) -> int:
        return len(self._sampler)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # a copy asks before it has a sampler
            raise AttributeError(name)
        return getattr(self._sampler, name)


def _plain_loader(loader: Any) -> Any:
    """Return the loader whose batches a loader of accelerate passes on, another one as it is."""
    return getattr(loader, "base_dataloader", loader)


def _as_positions(index: Any) -> NDArray[Any] | None:
    """Return what a sampler yields as an array, None if it is something else than integers."""
    try:
        ids = np.atleast_1d(np.asarray(index))
    except ValueError:  # of unequal length
        return None
    return ids if ids.ndim == 1 and ids.dtype.kind in "iu" else None


def _positions(dataset: Dataset[Any], X: Any) -> tuple[NDArray[np.int64] | None, int]:
    """Return the positions in X of a training set's rows (None: all in order), and X's length."""
    positions: NDArray[np.int64] | None = None
    while isinstance(dataset, Subset) and dataset is not X:
        indices = np.asarray(dataset.indices, dtype=np.int64)
        positions = indices if positions is None else indices[positions]
        dataset = dataset.dataset
    if isinstance(dataset, IterableDataset):
        return positions, 0
    return positions, len(cast(Sized, dataset))


class StandIn:
    """Takes the place of a net's method during a fit, and is pickled as that method."""

    def __init__(self, net: NeuralNet, name: str, function: Callable[..., Any]) -> None:
        self.net, self.name, self.function = net, name, function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self.function(*args, **kwargs)

    def __reduce__(self) -> Any:
        return getattr, (self.net, self.name)
