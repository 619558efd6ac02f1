# SPDX-License-Identifier: BSD-3-Clause
"""RowsFingerprint: by which a record tells whether it is given the rows that it was trained on.

Quick, and deaf to the floating type of a copy; `training.fingerprints` read every byte.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arrays import to_numpy
from .._randomness import isolated_rng
from .inputs import input_of, named_leaves

_HASHED_BYTES = 256 * 2**20
_HASHED_ITEMS = 8


@dataclass(frozen=True)
class RowsFingerprint:
    """What a record remembers of its training rows: their number and hashes of X and y.

    X is hashed as float32 or int64, so that a float64 copy is the same data. Beyond 256 MiB only
    evenly spaced rows are read, of a Dataset a few items; the hash is empty where these are random.
    """

    n: int
    X: str
    y: str

    @classmethod
    def of(cls, n: int, digest: str, targets: NDArray[Any]) -> RowsFingerprint:
        """Return the fingerprint of so many rows with a digest and label codes or targets."""
        label_digest = hashlib.blake2b(digest_size=16)
        # (n,) and (n, 1) are the same targets.
        _hash_array(label_digest, np.reshape(targets, (len(targets), -1)))
        return cls(n, digest, label_digest.hexdigest())

    def difference(self, other: RowsFingerprint) -> str | None:
        """Say in what the other rows differ, or None if they are the same."""
        if self.n != other.n:
            return f"{other.n} rows instead of {self.n}"
        is_same_kind = self.X.partition(":")[0] == other.X.partition(":")[0]
        if self.X != other.X and is_same_kind and self.X and other.X:
            return "another X"
        if self.y != other.y:
            return "other labels"
        return None

    def to_json(self) -> dict[str, Any]:
        """Return the fields for a JSON file."""
        return asdict(self)


def hash_arrays(arrays: Mapping[str, NDArray[Any]], kind: str = "array") -> str:
    """Return a digest of named arrays, in whatever order they come; kinds are not compared."""
    digest = hashlib.blake2b(digest_size=16)
    for name, array in sorted(arrays.items()):
        digest.update(name.encode())
        _hash_array(digest, np.asarray(array))
    return f"{kind}:{digest.hexdigest()}"


def hash_items(dataset: Any) -> str:
    """Return a digest of a few items of a Dataset, an empty string if they are random."""
    hashes = []
    for seed in range(2):
        digest = hashlib.blake2b(digest_size=16)
        with isolated_rng(seed):
            positions = np.linspace(0, len(dataset) - 1, num=_HASHED_ITEMS, dtype=int)
            for index in positions.tolist():
                parts = named_leaves(input_of(dataset[index]))
                for name, value in sorted(parts, key=itemgetter(0)):
                    digest.update(name.encode())
                    try:
                        _hash_array(digest, np.atleast_1d(np.asarray(to_numpy(value))))
                    except (TypeError, ValueError):  # text, say, that collate_fn turns to numbers
                        return ""
        hashes.append(f"items:{digest.hexdigest()}")
    return hashes[0] if hashes[0] == hashes[1] else ""


def _hash_array(digest: Any, array: NDArray[Any]) -> None:
    """Feed a digest with an array's shape and values."""
    digest.update(str(array.shape).encode())
    canonical: type[np.generic] = np.float32 if array.dtype.kind == "f" else np.int64
    row_bytes = max(1, array[:1].size * np.dtype(canonical).itemsize)
    stride = max(1, -(-len(array) * row_bytes // _HASHED_BYTES))
    block = stride * max(1, 2**22 // row_bytes)
    for start in range(0, len(array), block):
        rows = array[start : start + block : stride]
        with np.errstate(over="ignore"):  # what becomes inf is refused elsewhere
            digest.update(np.ascontiguousarray(rows, dtype=canonical).data)
