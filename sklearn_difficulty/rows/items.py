# SPDX-License-Identifier: BSD-3-Clause
"""The items of a user's Dataset: which one it was if it cannot be had, and with other labels."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray
from torch.utils.data import Dataset, Subset

from .._warnings import locate, located
from .inputs import input_of, with_label_inside


def item_of(dataset: Any, index: int) -> Any:
    """Return an item; an error on the way names it, in a Subset by its number in the whole."""
    while type(dataset) is Subset:
        dataset, index = dataset.dataset, dataset.indices[index]
    try:  # which costs nothing, unlike a context, and is done for every item
        return dataset[index]
    except StopIteration as error:  # it would end the epoch, as if there were no more batches
        name = type(dataset).__name__
        raise RuntimeError(f"Item {index} of the {name} raised a StopIteration.") from error
    except Exception as error:
        locate(error, f"in item {index} of the {type(dataset).__name__}")
        raise


class LocatedItems(Dataset[Any]):
    """A Dataset whose items name themselves if they cannot be had."""

    def __init__(self, dataset: Dataset[Any]) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.dataset)  # type: ignore[arg-type]  # map-style Datasets have a length

    def __getitem__(self, index: int) -> Any:
        """Return row `index`."""
        return item_of(self.dataset, index)

    def __getitems__(self, indices: list[int]) -> list[Any]:
        """Return rows at once if the Dataset can do that."""
        dataset: Any = self.dataset
        numbers = indices
        while type(dataset) is Subset:
            dataset, numbers = dataset.dataset, [dataset.indices[i] for i in numbers]
        at_once = getattr(dataset, "__getitems__", None)
        if at_once is None:
            return [item_of(dataset, i) for i in numbers]
        with located(f"in one of {len(numbers)} items of the {type(dataset).__name__}"):
            return at_once(numbers)


class LabelledDataset(Dataset[Any]):
    """A Dataset of (x, y) pairs whose labels are replaced by given ones.

    `inside`: its items are dicts that hold their labels, and reach collate_fn as such.
    """

    def __init__(
        self, dataset: Dataset[Any], labels: NDArray[Any], *, inside: bool = False
    ) -> None:
        self.dataset = dataset
        self.labels = labels
        self.inside = inside

    def with_labels(self, labels: NDArray[Any]) -> LabelledDataset:
        """Return the same with other labels."""
        return LabelledDataset(self.dataset, labels, inside=self.inside)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.labels)

    def __getitem__(self, index: int) -> Any:
        """Return row `index` with its given label."""
        item = item_of(self.dataset, index)
        if self.inside:
            return with_label_inside(item, self.labels[index])
        return input_of(item), self.labels[index]
