# SPDX-License-Identifier: BSD-3-Clause
"""What does distillation change, and in which rows?

M. Lukasik et al. (arXiv:2310.05337) report that a student that learns from a larger teacher
memorizes less, above all the rows that larger networks memorize more, and predicts better. Here:
the rows, noise and kinds of rows of bench_memorization_sizes.py; students of 64 hidden units whose
teachers, of 256 units, are trained on the student's rows and no others (weight of the teacher 0.9,
temperature 4), less students without a teacher (weight 0) with the same rows and seeds; 60 of each.
Held-out accuracy is `p_out` of rows with right labels.

Run: ``python benchmarks/bench_memorization_distillation.py``, after bench_memorization_sizes.py,
whose members it takes (about a quarter of an hour on one core). Members are kept in
results/memorization_sizes_cells as they are finished, and another run goes on with them.
"""

from typing import Any

import numpy as np
from bench_memorization_sizes import CELLS, FIT, of_rows, options, rows_of, run_seeds, trajectory_of
from problems import Batches, mlp_net
from summaries import Found

from sklearn_difficulty import DistilledClassifier
from sklearn_difficulty.measures.memorization_sizes import CATEGORIES
from sklearn_difficulty.model_selection import MemorizationTrajectory

STUDENT, TEACHER = 64, 256  # hidden units
DISTILLATION = {"alpha": 0.9, "temperature": 4}


def one_run(seed: int, args: Any) -> Found:
    """Return what teachers change, by the kind of row that the widths have found."""
    X, given, wrong = rows_of(seed, args)
    sizes = trajectory_of(X, given, seed, args)
    fast = {"iterator_train": Batches, "iterator_valid": Batches}  # members are trained one by one
    student, teacher = (mlp_net(X.shape[1], (w,), **fast, **FIT) for w in (STUDENT, TEACHER))
    pair = [
        ("labels", DistilledClassifier(student, teacher, **(DISTILLATION | {"alpha": 0}))),
        ("distilled", DistilledClassifier(student, teacher, **DISTILLATION)),
    ]
    found = MemorizationTrajectory(
        pair, n_members=args.members, random_state=seed, cache_dir=CELLS, verbose=1
    ).fit(X, given)
    assert (found.masks_ == sizes.masks_).all()
    kinds = {"all": np.ones(len(wrong), dtype=bool), "right": ~wrong, "flipped": wrong}
    kinds |= {name: sizes.category_ == name for name in CATEGORIES}
    return {
        name: {
            quantity: {
                "labels": (before := of_rows(found, 0, rows)[quantity]),
                "distilled": (after := of_rows(found, 1, rows)[quantity]),
                "change": after - before,
            }
            for quantity in ("memorization", "p_in", "p_out")
        }
        for name, rows in kinds.items()
    }


if __name__ == "__main__":
    run_seeds(
        options(__doc__, "memorization_distillation"),
        one_run,
        student=STUDENT,
        teacher=TEACHER,
        distillation=DISTILLATION,
    )
