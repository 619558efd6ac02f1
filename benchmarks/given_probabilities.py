# SPDX-License-Identifier: BSD-3-Clause
"""Label errors from given probabilities: published sets that a user has, and what they cost."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from summaries import Array, Found
from timing import added_mib, exponent, interleaved

from sklearn_difficulty import LabelErrorScorer

SIZES = ((50_000, 10), (5_000, 1_000), (10_000, 2_000))
GROWING_ROWS = (50_000, 100_000, 200_000, 400_000)  # of 10 classes
GROWING_CLASSES = (250, 500, 1_000, 2_000)  # of 5,000 rows
MAPPED = (1_000_000, 100)
ROUNDS = 5


def sets_in(folder: str) -> Iterator[tuple[str, Array, Array, Array]]:
    """Yield name, probabilities, codes of the given labels, and which are wrong, of every set.

    A set is what ``*.npz`` files hold under `NAME_probabilities`, `NAME_given`, and `NAME_true` or
    `NAME_is_error`.
    """
    for file in sorted(Path(folder).glob("*.npz")):
        with np.load(file) as held:
            for key in held.files:
                if not key.endswith("_probabilities"):
                    continue
                name = key.removesuffix("_probabilities")
                q = held[key].astype(np.float32)
                labels = held[f"{name}_given"]
                has_true = f"{name}_true" in held.files
                wrong = labels != held[f"{name}_true"] if has_true else held[f"{name}_is_error"]
                codes = np.unique(labels, return_inverse=True)[1]
                yield name, q / q.sum(axis=1, keepdims=True), codes, np.asarray(wrong, dtype=bool)


def made(n_rows: int, n_classes: int) -> tuple[Array, Array]:
    """Return float32 probabilities of a good network, and labels of which one in ten is wrong."""
    rng = np.random.default_rng(0)
    true = rng.integers(n_classes, size=n_rows)
    given = np.where(rng.random(n_rows) < 0.1, rng.integers(n_classes, size=n_rows), true)
    z = rng.standard_normal((n_rows, n_classes), dtype=np.float32)
    z[np.arange(n_rows), true] += 3 + np.log(n_classes)
    z -= z.max(axis=1, keepdims=True)
    np.exp(z, out=z)
    z /= z.sum(axis=1, keepdims=True)
    return z, given


def price() -> Found:
    """Return seconds beside cleanlab's cut and scores, how they grow, and the peak memory."""
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    def ours(q: Array, y: Array) -> object:
        return LabelErrorScorer("precomputed").fit(q, y)

    def theirs(q: Array, y: Array) -> object:
        return find_label_issues(y, q, n_jobs=1), get_label_quality_scores(y, q)

    found: Found = {}
    for size in SIZES:
        q, y = made(*size)
        works = {"ours": lambda q=q, y=y: ours(q, y), "cleanlab": lambda q=q, y=y: theirs(q, y)}
        _, seconds = interleaved(works, ROUNDS)
        found["{:,} x {:,}".format(*size)] = {
            **seconds.medians(),
            "ratio": seconds.ratio("ours", "cleanlab"),
        }
    for name, sizes in {
        "rows": [(n, 10) for n in GROWING_ROWS],
        "classes": [(5_000, n) for n in GROWING_CLASSES],
    }.items():
        data = {size: made(*size) for size in sizes}
        works = {size: lambda held=held: ours(*held) for size, held in data.items()}
        _, seconds = interleaved(works, 3)
        grown = [max(size) if name == "rows" else size[1] for size in sizes]
        medians = [seconds.median(size) for size in sizes]
        found[f"growth with {name}"] = {
            "sizes": grown,
            "seconds": medians,
            "exponent": exponent(grown, medians),
        }
    with tempfile.NamedTemporaryFile() as file:
        n_rows, n_classes = MAPPED
        mapped = np.memmap(file.name, dtype=np.float32, mode="w+", shape=MAPPED)
        y = np.empty(n_rows, dtype=np.int64)
        for start in range(0, n_rows, 100_000):
            mapped[start : start + 100_000], y[start : start + 100_000] = made(100_000, n_classes)
        mapped.flush()
        del mapped
        mapped = np.memmap(file.name, dtype=np.float32, mode="r", shape=MAPPED)
        input_mib = mapped.nbytes / 2**20
        added = added_mib(lambda: ours(mapped, y), "cpu")
        found["{:,} x {:,}, memory map".format(*MAPPED)] = {
            "input, MiB": input_mib,
            "peak, MiB": added,
            "ratio": added / input_mib,
        }
    return found
