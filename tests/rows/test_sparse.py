# SPDX-License-Identifier: BSD-3-Clause
"""Sparse rows: read as the dense ones are, without ever being dense as a whole."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sklearn_difficulty.rows.copies import warn_of_divided_copies
from sklearn_difficulty.rows.rows import SparseRows, as_rows
from sklearn_difficulty.rows.sparse import SparseItems

DENSE = np.array([[0, 1.5, 0, 0], [2, 0, 0, 0], [0, 0, 0, 0], [0, 1.5, 0, 0], [3, 0, 0.25, 0]])
FORMATS = [
    *(getattr(sparse, f"{name}_array") for name in ("csr", "csc", "coo", "lil", "dok", "bsr")),
    sparse.csr_matrix,
    sparse.dia_matrix,
]


def blocks(rows, batch_size, dtype=torch.float32):
    return list(rows.blocks(batch_size, dtype=dtype, device=torch.device("cpu")))


@pytest.mark.parametrize("make", FORMATS)
def test_every_format_is_read_block_by_block(make):
    rows = as_rows(make(DENSE))
    assert isinstance(rows, SparseRows)
    assert (len(rows), rows.row_shape, rows.row_nbytes) == (5, (4,), 32)
    found = blocks(rows, 2)
    assert [block for block, _ in found] == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert_array_equal(torch.cat([x for _, x in found]).numpy(), DENSE.astype(np.float32))
    for index in (slice(1, 3), [4, 0], DENSE[:, 0] > 0, np.array([2])):
        assert_array_equal(rows.take(index).data.toarray(), DENSE[index])
    assert rows.identity(np.arange(5)) == as_rows(sparse.csr_array(DENSE)).identity(np.arange(5))


def test_plain_ones_are_not_copied_and_others_become_so():
    matrix = sparse.csr_matrix(DENSE)
    assert np.shares_memory(as_rows(matrix).data.data, matrix.data)
    counts = as_rows(sparse.csr_array(DENSE.astype(int)))
    assert blocks(counts, 5)[0][1].dtype == torch.float32
    assert_array_equal(counts.data.toarray(), DENSE.astype(int))
    twice = sparse.coo_array(([1.0, 2.0, 4.0], ([0, 0, 1], [1, 1, 0])), shape=(2, 2))
    assert_array_equal(as_rows(twice).data.toarray(), [[0, 3], [4, 0]])
    unsorted = sparse.csr_array(([1.0, 2.0], [1, 0], [0, 2]), shape=(1, 2))
    assert as_rows(unsorted).data.has_canonical_format
    assert_array_equal(unsorted.indices, [1, 0])


def test_other_values_are_other_rows():
    targets = np.arange(5)
    one = as_rows(sparse.csr_array(DENSE)).identity(targets)
    assert one.difference(as_rows(sparse.csr_array(DENSE * 2)).identity(targets)) == "another X"
    moved = as_rows(sparse.csr_array(DENSE[:, ::-1])).identity(targets)
    assert one.difference(moved) == "another X"
    assert one.difference(as_rows(DENSE).identity(targets)) is None  # it cannot be told


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (
            sparse.csr_array([[0, np.nan], [1, 0], [0, np.inf]]),
            r"NaN or inf in 2 row\(s\).*\[0, 2\]",
        ),
        (sparse.csr_array([[0, 1j]]), "Complex data"),
        (sparse.csr_array((0, 3)), "0 sample"),
        (sparse.coo_array(np.ones(3)), "2D"),
    ],
)
def test_what_no_network_reads_is_refused(matrix, message):
    with pytest.raises(ValueError, match=message):
        as_rows(matrix)


def test_values_beyond_the_networks_dtype_are_named_with_their_rows():
    rows = as_rows(sparse.csr_array(np.diag([1.0, 1e300, 1.0, -1e300])))
    with pytest.raises(ValueError, match=r"float32 .* in 2 row\(s\), first \[1, 3\]"):
        blocks(rows, 4)
    assert blocks(rows, 4, torch.float64)[0][1].dtype == torch.float64


def test_copies_that_are_held_out_are_warned_of():
    rows = as_rows(sparse.csr_array(np.repeat(DENSE, 4, axis=0)))
    with pytest.warns(UserWarning, match="20 of 20 rows are equal"):
        warn_of_divided_copies(rows, [np.arange(20) % 2 == 0, np.arange(20) % 2 == 1])


def test_items_are_dense_in_the_networks_dtype():
    items = SparseItems(sparse.csr_array(DENSE), np.arange(5), torch.float32)
    [(first, target), (second, _)] = items.__getitems__([4, 1])
    assert_allclose(first, DENSE[4])
    assert_allclose(second, DENSE[1])
    assert (target, first.dtype, len(items)) == (4, torch.float32, 5)
    assert_allclose(items[3][0], DENSE[3])
