# SPDX-License-Identifier: BSD-3-Clause
"""
What larger networks memorize
=============================

Would a larger network memorize this row less? Networks of four sizes are trained on the same parts
of the digits, a tenth of whose labels are wrong, and asked about the rows that they were, and were
not, trained on.
"""

# %%
# Four sizes, thirty networks each
# --------------------------------
#
# Every size is trained on the same random parts of the rows, so that nothing but the size differs.
# Small networks are trained together, as stacks.

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits

from sklearn_difficulty.datasets import make_label_noise
from sklearn_difficulty.inspection import (
    HardestRowsDisplay,
    MemorizationTrajectoryDisplay,
)
from sklearn_difficulty.model_selection import MemorizationTrajectory
from sklearn_difficulty.training import default_network

torch.set_num_threads(1)
X, y_true = load_digits(return_X_y=True)
X, y_true = X[:800], y_true[:800]
y, is_flipped = make_label_noise(y_true, rate=0.1, random_state=0)
sizes = [
    (
        f"{width} units",
        default_network(X, y).set_params(
            module__hidden_units=(width,), max_epochs=30
        ),
    )
    for width in (4, 16, 64, 256)
]
trajectory = MemorizationTrajectory(sizes, n_members=30, random_state=0)
trajectory.fit(X, y)
print(f"backends: {trajectory.backends_}")

# %%
# Memorization has two sides
# --------------------------
#
# It is the difference of two shares: how often the label of a row is predicted by networks that
# were trained on it, and by the others. Look at both: the larger networks fit nearly every label
# that they are shown, and of rows that they are not shown they know a little more, too. On the
# right are rows whose memorization rises: what larger networks learn about these helps no other.

figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
MemorizationTrajectoryDisplay.from_estimator(trajectory, ax=axes[0])
MemorizationTrajectoryDisplay.from_estimator(
    trajectory, category="increasing", ax=axes[1]
)
plt.show()

# %%
# Row by row
# ----------
#
# Most rows are explained by the others at any size. Where memorization rises, larger networks
# learn by heart what nothing else explains; where it falls, they no longer need to.

MemorizationTrajectoryDisplay.from_estimator(trajectory, kind="categories")
plt.show()

summary = trajectory.summary_
sizes_of_kinds = summary[summary["size"] == "4 units"]
for _, line in sizes_of_kinds.iterrows():
    kind = line["category"]
    rows = (
        np.ones(len(y), bool)
        if kind == "all"
        else trajectory.category_ == kind
    )
    if rows.any():
        print(
            f"{kind:10s} {rows.sum():4d} rows, {is_flipped[rows].mean():4.0%} "
            "with a wrong label"
        )

# %%
# Which rows are these?
# ---------------------
#
# The digits whose memorization changes most from the smallest network to the largest, with their
# given label; after the arrow the true one, where it is another.

change = trajectory.memorization_[-1] - trajectory.memorization_[0]
figure, axes = plt.subplots(2, 1, figsize=(8, 3.6), layout="constrained")
for axis, sign, name in zip(
    axes, (-1, 1), ("increasing", "decreasing"), strict=True
):
    of_kind = np.flatnonzero(trajectory.category_ == name)
    rows = of_kind[np.argsort(sign * change[of_kind])][:9]
    titles = [
        f"{y[row]}" + (f" → {y_true[row]}" if is_flipped[row] else "")
        for row in rows
    ]
    display = HardestRowsDisplay(
        items=X[rows].reshape(-1, 8, 8), titles=titles
    )
    display.plot(axis, n_columns=9, cmap="gray_r")
    axis.set_title(name, loc="left")
plt.show()
