# SPDX-License-Identifier: BSD-3-Clause
"""Which rows a training batch holds: the sampler that chose them is made to remember.

Neither the Dataset nor what joins its items is touched. A DataLoader yields batches in the order in
which its sampler named them, with worker processes too, so the oldest batch that is remembered is
the one that has arrived.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skorch import NeuralNet
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset

from .standin import StandIn


class RowIds:
    """Tells, batch by batch, which rows a skorch net is training on.

    Attributes
    ----------
    n_rows : int
        Rows of the data that `fit` was given; ids count these, also where skorch trains on a part.
    problem : str or None
        Why the rows of a batch are not known.
    """

    def __init__(self) -> None:
        self.n_rows = 0
        self.problem: str | None = None
        self._remembered: deque[NDArray[np.int64]] = deque()
        self._subset: NDArray[np.int64] | None = None

    def attach(self, net: NeuralNet, X: Any) -> None:
        """Follow the iterator that the net is about to make for the rows of X."""
        self.detach(net)
        get_iterator = net.get_iterator

        def followed(dataset: Any, training: bool = False) -> Any:
            iterator = get_iterator(dataset, training=training)
            if training:
                self._subset, self.n_rows = _positions(dataset, X)
                self._follow(iterator)
            return iterator

        net.get_iterator = StandIn(net, "get_iterator", followed)

    @staticmethod
    def detach(net: NeuralNet) -> None:
        """Leave the net as it was, also after a fit that died."""
        vars(net).pop("get_iterator", None)

    def _follow(self, loader: Any) -> None:
        self.problem = None
        if not isinstance(loader, DataLoader):
            self.problem = f"iterator_train is a {type(loader).__name__}, not a DataLoader"
        elif isinstance(loader.dataset, IterableDataset):
            self.problem = "the rows of an IterableDataset have no index"
        else:
            name = "sampler" if loader.batch_sampler is None else "batch_sampler"
            sampler = _Remembering(getattr(loader, name), self._remembered)
            # DataLoader forbids to set it; that is meant for what workers were told already.
            object.__setattr__(loader, name, sampler)

    def start_epoch(self) -> None:
        """Forget batches that an epoch has asked for and not used."""
        self._remembered.clear()

    def take(self, n: int) -> NDArray[np.int64] | None:
        """Return the rows of the batch that has arrived, None if they are not known.

        Parameters
        ----------
        n : int
            Outputs that the network returned for it.
        """
        if self.problem is None and not self._remembered:
            self.problem = "batches arrive that no sampler has named"
        if self.problem is not None:
            return None
        ids = self._remembered.popleft()
        if len(ids) != n:
            self.problem = (
                f"a batch of {len(ids)} rows gave {n} outputs: collate_fn, or the module, joins or "
                "multiplies rows"
            )
            return None
        return ids if self._subset is None else self._subset[ids]

    def in_order(self, rows: slice) -> NDArray[np.int64]:
        """Return the rows at some positions of the training set."""
        if self._subset is None:
            return np.arange(rows.start, rows.stop)
        return self._subset[rows]


class _Remembering:
    """A sampler that also notes what it yields."""

    def __init__(self, sampler: Any, remembered: deque[NDArray[np.int64]]) -> None:
        self._sampler = sampler
        self._remembered = remembered

    def __iter__(self) -> Iterator[Any]:
        for index in self._sampler:
            self._remembered.append(np.atleast_1d(np.asarray(index, dtype=np.int64)))
            yield index

    def __len__(self) -> int:
        return len(self._sampler)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sampler, name)


def _positions(dataset: Dataset[Any], X: Any) -> tuple[NDArray[np.int64] | None, int]:
    """Return the positions in X of a training set's rows (None: all in order), and X's length."""
    positions: NDArray[np.int64] | None = None
    while isinstance(dataset, Subset) and dataset is not X:
        indices = np.asarray(dataset.indices, dtype=np.int64)
        positions = indices if positions is None else indices[positions]
        dataset = dataset.dataset
    return positions, 0 if isinstance(dataset, IterableDataset) else len(dataset)  # type: ignore[arg-type]
