# SPDX-License-Identifier: BSD-3-Clause
"""The order of rows within a batch, as a collate_fn of the user's own leaves it."""

import pickle
import random
import re
from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from torch import nn
from torch.utils.data import DataLoader, Dataset, default_collate

from sklearn_difficulty.rows.collation import (
    FollowedBatch,
    FollowedCollate,
    InputsInOrder,
    rows_in_order,
)
from sklearn_difficulty.rows.rows import DatasetRows

LENGTHS = [3, 1, 4, 1, 5, 2]
LABELS = [0, 1, 0, 1, 1, 0]
ITEMS = [(torch.full((n,), 10.0 * i), LABELS[i]) for i, n in enumerate(LENGTHS)]
LONGEST_FIRST = [4, 2, 0, 5, 1, 3]
pytestmark = pytest.mark.usefixtures("seeded")

CPU = {"dtype": torch.float32, "device": torch.device("cpu")}


class Items(Dataset):
    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


def pad(items):
    xs, ys = zip(*items, strict=True)
    return nn.utils.rnn.pad_sequence(list(xs), batch_first=True), torch.tensor(ys)


def longest_first(items, encode=lambda labels: labels):
    inputs, labels = pad(sorted(items, key=lambda item: -len(item[0])))
    return {"x": inputs}, encode(labels)


def one_hot(items, join=pad):
    inputs, labels = join(items)
    return inputs, nn.functional.one_hot(labels, 2)


def by_label(items):
    return pad(sorted(items, key=lambda item: (item[1], len(item[0]))))


def shuffled(items):
    return pad(random.sample(items, len(items)))


def of_dicts(items):
    """Join dicts of token ids and a label, as tokenised data sets yield them, longest first."""
    items = sorted(items, key=lambda item: -len(item["ids"]))
    return pad([(item["ids"], item["label"]) for item in items])


def first(x):
    return -float(x[0])


UNSEEDED = np.random.default_rng(0)


def shuffled_by_itself(items):
    return pad([items[i] for i in UNSEEDED.permutation(len(items))])


def mixed(items):
    inputs, labels = pad(items)
    share, other = torch.rand(()), torch.randperm(len(items))
    return torch.lerp(inputs, inputs[other], share), torch.lerp(
        labels.float(), labels[other].float(), share
    )


def named(items):
    inputs, _ = pad([(x, 0) for x, _ in items])
    return inputs, torch.tensor([["no", "yes"].index(y) for _, y in items])


def firsts(inputs, order):
    """Return what begins every row, in the order of the items."""
    x = inputs["x"] if isinstance(inputs, dict) else inputs
    return rows_in_order(x, order)[:, 0].tolist()


IN_ORDER = [10.0 * i for i in range(6)]


@pytest.mark.parametrize(
    ("collate_fn", "order"),
    [
        (pad, range(6)),
        (longest_first, LONGEST_FIRST),
        (partial(longest_first, encode=lambda labels: labels.float()[:, None]), LONGEST_FIRST),
        (one_hot, range(6)),  # labels that positions cannot replace: shown backwards
        (shuffled, None),  # by a generator that is put back for the second call
    ],
    ids=["kept", "sorted", "sorted floats", "one-hot", "random"],
)
def test_order_is_followed(collate_fn, order):
    batch = FollowedCollate(collate_fn)(ITEMS)
    assert batch.problem is None
    assert order is None or batch.order.tolist() == list(order)
    assert firsts(batch[0], batch.order) == IN_ORDER
    assert firsts(*InputsInOrder(collate_fn)(ITEMS)) == IN_ORDER
    again = pickle.loads(pickle.dumps(batch))  # as a worker sends it
    assert isinstance(again, FollowedBatch)
    assert_array_equal(again.order, batch.order)


@pytest.mark.parametrize(
    ("collate_fn", "problem"),
    [
        (by_label, "labels of a batch are not those of its rows"),
        (shuffled_by_itself, "not those of its rows|another order every time"),
        (mixed, "labels of a batch are not|cannot be followed"),
        (partial(one_hot, join=by_label), "cannot be followed"),
        (lambda items: pad(items[1:]), "cannot be followed"),
        (lambda items: pad([*items, items[0]]), "cannot be followed"),
    ],
    ids=["by label", "random", "mixup", "one-hot", "dropped", "repeated"],
)
def test_order_that_cannot_be_known_is_a_problem(collate_fn, problem):
    batch = FollowedCollate(collate_fn)(ITEMS)
    assert batch.order is None
    assert re.search(problem, batch.problem)


def test_rows_swapped_within_a_class_and_targets_of_regressors():
    same_class = [(x, 1) for x, _ in ITEMS]
    assert FollowedCollate(longest_first)(same_class).order.tolist() == LONGEST_FIRST
    targets = [(x, np.float32(y / 3)) for x, y in ITEMS]
    assert FollowedCollate(longest_first)(targets).order.tolist() == LONGEST_FIRST
    columns = [(x, np.full(2, y, dtype="f4")) for x, y in ITEMS]
    assert FollowedCollate(longest_first)(columns).order.tolist() == LONGEST_FIRST


def test_generators_are_left_as_by_one_call():
    for collate_fn in (shuffled, mixed):
        drawn = []
        for function in (collate_fn, FollowedCollate(collate_fn)):
            torch.manual_seed(0)
            random.seed(0)
            batch = function(ITEMS)
            drawn.append((batch[0].tolist(), batch[1].tolist(), float(torch.rand(()))))
            drawn[-1] += (random.random(),)
        assert drawn[0] == drawn[1]


@pytest.mark.parametrize("n_workers", [0, 2])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_blocks_name_their_rows(n_workers):
    rows = DatasetRows(Items(ITEMS), longest_first)
    read = np.full(6, np.nan)
    for positions, inputs in rows.blocks(4, **CPU):
        read[positions] = inputs["x"][:, 0].numpy()
    assert read.tolist() == IN_ORDER
    assert rows.labels().tolist() == LABELS
    loader = DataLoader(
        Items(ITEMS), 4, collate_fn=FollowedCollate(longest_first), num_workers=n_workers
    )
    assert [batch.order.tolist() for batch in loader] == [[2, 0, 1, 3], [0, 1]]


def test_labels_that_collate_fn_encodes():
    items = [(x, "no" if y == 0 else "yes") for x, y in ITEMS]
    assert DatasetRows(Items(items), named).labels().tolist() == LABELS
    with pytest.raises(ValueError, match=r"orders the rows by them\. Pass y"):
        DatasetRows(Items(ITEMS), by_label).labels()


def test_items_without_labels_in_blocks():
    bare = [torch.full((2,), 10.0 * i) for i in range(6)]
    for collate_fn in (torch.stack, default_collate, lambda items: default_collate(items)):
        [(rows, inputs)] = DatasetRows(Items(bare), collate_fn).blocks(6, **CPU)
        assert inputs[rows, 0].tolist() == IN_ORDER
    largest_first = DatasetRows(Items(bare), lambda items: torch.stack(sorted(items, key=first)))
    with pytest.raises(ValueError, match="collate_fn reorders, joins, drops or repeats rows"):
        list(largest_first.blocks(6, **CPU))


def test_collate_fn_that_fails_raises_its_own_error():
    def fails(items):
        raise LookupError("no such file")

    for wrapper in (FollowedCollate, InputsInOrder):
        with pytest.raises(LookupError, match="no such file"):
            wrapper(fails)(ITEMS)


def test_dicts_that_hold_their_labels():
    items = [{"ids": x, "label": y} for x, y in ITEMS]
    rows = DatasetRows(Items(items), of_dicts)
    assert rows.labels().tolist() == LABELS
    relabelled = rows.with_targets(np.arange(6))
    batch = FollowedCollate(of_dicts)([relabelled[i] for i in range(6)])
    assert batch.order.tolist() == batch[1].tolist() == LONGEST_FIRST
    read = np.full(6, np.nan)
    for positions, inputs in rows.blocks(4, **CPU):
        read[positions] = inputs[:, 0].numpy()
    assert read.tolist() == IN_ORDER
    assert DatasetRows(Items(items)).with_targets(np.arange(6))[0] == (items[0], 0)
    of_pairs = DatasetRows(Items(items), lambda pairs: pad([(x["ids"], y) for x, y in pairs]))
    assert of_pairs.with_targets(np.arange(6))[1] == (items[1], 1)  # as skorch makes them of y
