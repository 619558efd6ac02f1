# SPDX-License-Identifier: BSD-3-Clause
"""
Four kinds of hard
==================

A row can be hard because its label is wrong, because the image is unclear, or because only the
label tells what it is. The depth at which networks decide about it, once when they were trained on
it and once when they were not, tells these apart. Here 30 networks learn digits by heart, a tenth
of whose labels are wrong.
"""

# %%
# Thirty networks, one fit
# ------------------------
#
# Every network is trained on three quarters of the rows, so that each row is held out about seven
# times. They are trained together, as one stacked computation.

import warnings

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits

from sklearn_difficulty import (
    ConsistencyScorer,
    DifficultyQuadrantClassifier,
    MemorizationScorer,
    PredictionDepthScorer,
)
from sklearn_difficulty.datasets import make_label_noise
from sklearn_difficulty.inspection import (
    DifficultyQuadrantDisplay,
    HardestRowsDisplay,
)
from sklearn_difficulty.training import default_network

torch.set_num_threads(1)
X, y_true = load_digits(return_X_y=True)
X, y_true = X[:1200], y_true[:1200]
y, is_flipped = make_label_noise(y_true, rate=0.1, random_state=0)
net = default_network(X, y).set_params(
    module__hidden_units=(128,) * 4, max_epochs=40, batch_size=64, lr=0.05
)
quadrants = DifficultyQuadrantClassifier(
    net, n_members=30, validation_size=0.25, random_state=0
).fit(X, y)
print(f"backend: {quadrants.ensemble_.backend_}")
for code, name in enumerate(quadrants.quadrant_names_):
    rows = quadrants.difficulty_quadrant_ == code
    print(
        f"{name:29s} {rows.sum():4d} rows, {is_flipped[rows].mean():4.0%} "
        "with a wrong label"
    )

# %%
# The map
# -------
#
# To the right: held-out rows that need late layers. Up: rows that need late layers although the
# network was trained on them. Where the members' consensus is the given label, the two depths go
# together; where it is another class, a row that looks clear when it is held out, and needs the
# late layers to be learned, looks like a different class.

agrees = quadrants.consensus_class_ == y
figure, axes = plt.subplots(
    1, 3, figsize=(11, 4.2), layout="constrained", sharey=True
)
for axis, (title, rows) in zip(
    axes,
    {
        "all rows": np.ones(len(y), dtype=bool),
        "consensus is the given label": agrees,
        "consensus is another class": ~agrees,
    }.items(),
    strict=True,
):
    DifficultyQuadrantDisplay.from_predictions(
        quadrants.validation_depth_[rows],
        quadrants.train_depth_[rows],
        thresholds=quadrants.thresholds_,
        marked=is_flipped[rows],
        marked_name="label wrong",
        ax=axis,
    )
    axis.set_title(f"{title} ({rows.sum()})", pad=30)
    axis.label_outer()
plt.show()

# %%
# The corners
# -----------
#
# The rows nearest to each corner, with their given label and, after the arrow, what most of the
# networks say that did not see them. In the second line these are the true digits.

figure, axes = plt.subplots(4, 1, figsize=(8, 6.4), layout="constrained")
for axis, name in zip(axes, quadrants.quadrant_names_, strict=True):
    rows = quadrants.extremes(name, n=9)
    consensus = quadrants.consensus_class_
    titles = [f"{y[row]} → {consensus[row]}" for row in rows]
    display = HardestRowsDisplay(
        items=X[rows].reshape(-1, 8, 8), titles=titles
    )
    display.plot(axis, n_columns=9, cmap="gray_r")
    axis.set_title(name.replace("_", " "), loc="left")
figure.suptitle(
    "Given label → consensus of the networks that did not see the row"
)
plt.show()

suspects = quadrants.extremes("looks_like_a_different_class", n=100)
print(
    f"nearest 100 rows: {is_flipped[suspects].mean():.0%} have a wrong "
    "label, and for"
)
print(
    f"{(quadrants.suggested_label_ == y_true)[suspects].mean():.0%} the "
    "suggestion is right"
)

# %%
# Depth and consistency
# ---------------------
#
# The same networks serve other scores, without training. A row that is decided early when it is
# held out gets the same answer from all networks, whether that is the given label or not. A late
# decision depends on the split and the seed: depth bounds the agreement from below.

consistency = ConsistencyScorer(quadrants.ensemble_).fit(X, y)
memorization = MemorizationScorer(quadrants.ensemble_).fit(X, y)
depth = quadrants.validation_depth_
figure, (left, right) = plt.subplots(
    1, 2, figsize=(10, 3.8), layout="constrained"
)
for name, rows, color in (
    ("given label", agrees, "#0072B2"),
    ("another class", ~agrees, "#E69F00"),
):
    left.scatter(
        depth[rows],
        consistency.consistency_[rows],
        s=9,
        alpha=0.4,
        color=color,
        label=name,
    )
left.legend(title="consensus is")
left.set(
    xlabel="depth when held out", ylabel="consistency with the given label"
)
right.scatter(
    depth, consistency.consensus_consistency_, s=9, alpha=0.4, color="tab:gray"
)
bins = np.linspace(0, depth.max(), 9)
place = np.digitize(depth, bins[1:-1])
low = [
    np.quantile(consistency.consensus_consistency_[place == b], 0.05)
    for b in np.unique(place)
]
right.plot(
    (bins[:-1] + bins[1:])[np.unique(place)] / 2,
    low,
    "k.-",
    label="5 % of rows are below",
)
right.legend()
right.set(xlabel="depth when held out", ylabel="consensus-consistency")
figure.suptitle("Depth against agreement among the networks")
plt.show()

order = np.argsort(-memorization.difficulty_)[: is_flipped.sum()]
print(
    f"the {len(order)} most memorized rows: {is_flipped[order].mean():.0%} "
    "have a wrong label"
)

# %%
# On their way through the network
# --------------------------------
#
# What the neighbours say, layer by layer, about held-out rows of the four corners: the share of
# their votes for the given label (solid) and for the consensus class (dashed). Rows that look like
# a different class are processed like easy ones, as members of that class.

ensemble = quadrants.ensemble_
given = np.searchsorted(quadrants.classes_, y)
consensus = np.searchsorted(quadrants.classes_, quadrants.consensus_class_)
corners = {
    name: quadrants.extremes(name, n=60) for name in quadrants.quadrant_names_
}
shares = {name: [] for name in corners}
for k, trained_on in enumerate(ensemble.masks_[:8]):
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", UserWarning
        )  # some rows have no depth in a single network
        probes = PredictionDepthScorer(ensemble.record(k)).fit(
            X[trained_on], y[trained_on]
        )
    for name, rows in corners.items():
        rows = rows[~trained_on[rows]]
        votes = np.stack(
            [
                probes.probe_predict_proba(X[rows], p)
                for p in probes.probe_names_
            ]
        )
        at = np.arange(len(rows))
        shares[name].append(
            [votes[:, at, given[rows]], votes[:, at, consensus[rows]]]
        )
figure, axis = plt.subplots(figsize=(10, 4), layout="constrained")
for color, (name, of_members) in zip(
    ("#009E73", "#D55E00", "#0072B2", "#E69F00"), shares.items(), strict=True
):
    of_given, of_consensus = np.concatenate(of_members, axis=2).mean(axis=2)
    axis.plot(of_given, color=color, marker="o", label=name.replace("_", " "))
    axis.plot(of_consensus, color=color, ls="--", marker=".")
axis.set(
    ylim=(0, 1.02),
    ylabel="share of the votes",
    xticks=range(len(probes.probe_names_)),
    xticklabels=probes.probe_names_,
    title="Votes for the given label (solid) and the consensus class (dashed)",
)
figure.legend(loc="outside right upper")
plt.show()
