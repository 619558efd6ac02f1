# SPDX-License-Identifier: BSD-3-Clause
"""A user's collate_fn followed: which item of a batch each of its rows was made of.

A collate_fn may sort its items (by length, for packed sequences) and says nothing of it. It is
given the items' positions in place of their labels: in what order these come back is the order of
the rows. Where labels cannot be replaced, one-hot encoding say, it is shown the items backwards: if
everything comes out backwards, the order is kept. What cannot be told is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import default_collate, default_convert

from .._randomness import generator_states, restore_generators
from .._warnings import located
from .inputs import input_of, label_key, with_label_inside

CollateFn = Callable[[list[Any]], Any]

_UNKNOWN = (
    "collate_fn reorders, joins, drops or repeats rows in a way that cannot be followed; let it "
    "return one row for every item and leave the labels as they are"
)


def is_own(collate_fn: Any) -> bool:
    """Tell whether a collate_fn is the user's, not one of torch's, which keep the order."""
    return collate_fn is not None and collate_fn not in (default_collate, default_convert)


class FollowedBatch(list[Any]):
    """A batch (inputs, labels); row i is of the item at `order[i]`, or `problem` says why not."""

    order: NDArray[np.int64] | None = None
    problem: str | None = None


class FollowedCollate:
    """Calls a collate_fn twice: for the batch, and for the order of its rows.

    The generators are left as one call leaves them.
    """

    def __init__(self, collate_fn: CollateFn) -> None:
        self.collate_fn = collate_fn

    @located("in collate_fn")
    def __call__(self, items: list[Any]) -> Any:
        """Return the batch as a `FollowedBatch`, or as it is if it is no pair."""
        before = generator_states()
        batch = self.collate_fn(items)
        if type(batch) not in (tuple, list) or len(batch) != 2:
            return batch
        followed = FollowedBatch(batch)
        after = generator_states()
        try:
            followed.order, followed.problem = self._order(items, batch, before)
        finally:
            restore_generators(after)
        return followed

    def _order(
        self, items: list[Any], batch: Sequence[Any], before: Any
    ) -> tuple[NDArray[np.int64] | None, str | None]:
        """Return the order of a batch's rows, or what the problem is."""
        restore_generators(before)
        has_labels = all(_is_pair(item) or label_key(item) is not None for item in items)
        marked = _marked(self.collate_fn, items) if has_labels else None
        if marked is None:
            restore_generators(before)
            order = _kept_order(self.collate_fn, items, batch)
            return order, None if order is not None else _UNKNOWN
        inputs, order = marked
        # Sorting by label is seen here: positions come out in another order than labels do.
        if not _are_labels(batch[1], [_label_of(items[i]) for i in order]):
            return None, (
                "the labels of a batch are not those of its rows: collate_fn changes them, or "
                "orders the rows by them"
            )
        is_sorted = bool((np.diff(order) == 1).all())
        if not is_sorted and not _equal(inputs, batch[0]):
            return None, "collate_fn puts the rows into another order every time it is called"
        return order, None


class InputsInOrder:
    """Calls a collate_fn for inputs alone, and returns them with the order of their rows."""

    def __init__(self, collate_fn: CollateFn) -> None:
        self.collate_fn = collate_fn

    @located("in collate_fn")
    def __call__(self, items: list[Any]) -> tuple[Any, NDArray[np.int64]]:
        """Return inputs, and which item each of their rows is of; raise if that is unknown."""
        before = generator_states()
        marked = _marked(self.collate_fn, items)
        if marked is not None:
            return marked
        restore_generators(before)
        batch = self.collate_fn(items)
        after = generator_states()
        restore_generators(before)
        order = _kept_order(self.collate_fn, items, batch)
        restore_generators(after)
        if order is None:
            raise ValueError(f"The rows of a Dataset cannot be told apart: {_UNKNOWN}.")
        return input_of(batch), order


def rows_in_order(values: Any, rows: slice | NDArray[np.int64]) -> Any:
    """Return what was read of a block, of which `Rows.blocks` says which rows it holds, sorted.

    Tensors have a row along axis 0; whatever else has rows has a method `in_order`.
    """
    if isinstance(rows, slice) or values is None:
        return values
    order = torch.from_numpy(np.argsort(rows))
    if isinstance(values, torch.Tensor):
        return values[order.to(values.device)]
    if isinstance(values, list):
        return [rows_in_order(value, rows) for value in values]
    return values.in_order(order) if hasattr(values, "in_order") else values


def _is_pair(item: Any) -> bool:
    """Tell whether an item is (x, y)."""
    return isinstance(item, (tuple, list)) and len(item) == 2


def _marked(collate_fn: CollateFn, items: list[Any]) -> tuple[Any, NDArray[np.int64]] | None:
    """Return the inputs, and the order of their rows, None if labels cannot be positions."""
    marked = [[(input_of(item), _mark(item, i)) for i, item in enumerate(items)]]
    if all(label_key(item) is not None for item in items):
        inside = [with_label_inside(item, _mark(item, i)) for i, item in enumerate(items)]
        marked.insert(0, inside)
    for given in marked:
        try:
            inputs, marks = collate_fn(given)
            order = torch.as_tensor(marks).double().reshape(len(items), -1).numpy()[:, 0]
        except Exception:  # labels of its own kind only; with these it raises again if it has to
            continue
        if np.array_equal(np.sort(order), np.arange(len(items))):
            return inputs, order.astype(np.int64)
    return None


def takes_labels_inside(collate_fn: Any, item: Any) -> bool:
    """Tell whether a collate_fn makes (X, y) of items that are dicts and hold their labels."""
    if not is_own(collate_fn) or label_key(item) is None:
        return False
    try:
        batch = collate_fn([item, item])
    except Exception:  # it expects the pairs that skorch makes of an item and y
        return False
    return type(batch) in (tuple, list) and len(batch) == 2


def _label_of(item: Any) -> Any:
    """Return the label of an item, a pair or a dict that holds it."""
    return item[1] if _is_pair(item) else item[label_key(item)]


def _mark(item: Any, position: int) -> Any:
    """Return a position in the form of the item's label."""
    label = _label_of(item) if _is_pair(item) or label_key(item) is not None else None
    if isinstance(label, torch.Tensor) and label.dtype != torch.bool:
        return torch.full_like(label, position)
    if isinstance(label, (np.ndarray, np.generic)) and label.dtype.kind in "iuf":
        marks = np.full_like(label, position)
        return marks if isinstance(label, np.ndarray) else marks[()]
    return float(position) if isinstance(label, float) else position


def _kept_order(collate_fn: CollateFn, items: list[Any], batch: Any) -> NDArray[np.int64] | None:
    """Return 0 ... n - 1 if items that come backwards are returned backwards, else None."""
    backwards = collate_fn(items[::-1])
    return np.arange(len(items)) if _equal(batch, backwards, flipped=len(items)) else None


def _equal(a: Any, b: Any, *, flipped: int | None = None) -> bool:
    """Compare batches bit for bit; `flipped` is how many rows they have, if b is backwards."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_equal(a[k], b[k], flipped=flipped) for k in a)
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        return len(a) == len(b) and all(
            _equal(x, y, flipped=flipped) for x, y in zip(a, b, strict=True)
        )
    if not isinstance(a, (torch.Tensor, np.ndarray)) or type(a) is not type(b):
        return False
    a, b = torch.as_tensor(a), torch.as_tensor(b)
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if flipped is not None:
        if len(a.shape) == 0 or len(a) != flipped:
            return False
        b = b.flip(0)
    return bool(((a == b) | ((a != a) & (b != b))).all())


def _are_labels(found: Any, expected: Sequence[Any]) -> bool:
    """Tell whether the labels of a batch are those of its items, but for their dtype."""
    try:
        found = torch.as_tensor(found)
        labels = torch.as_tensor(np.asarray(expected)).to(found.dtype)
    except (TypeError, ValueError):  # labels that are no numbers
        return list(found) == list(expected)
    return found.numel() == labels.numel() and torch.equal(found.reshape(labels.shape), labels)
