# SPDX-License-Identifier: BSD-3-Clause
"""
At which layer does the network make up its mind?
=================================================

Prediction depth asks the 30 nearest training rows at every layer of a trained network which class a
row belongs to. The depth is the first layer from which on they all say what the network says in the
end. Here a network with seven hidden layers learns digits by heart.
"""

# %%
# Training and probing
# --------------------
#
# The network is trained once. The scorer then reads its layers: the input, what every linear layer
# returns, and the class probabilities.

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklearn_difficulty import PredictionDepthScorer
from sklearn_difficulty.inspection import (
    HardestRowsDisplay,
    InferenceCurveDisplay,
    ProbePathDisplay,
)
from sklearn_difficulty.training import default_network

torch.set_num_threads(1)
X, X_new, y, y_new = train_test_split(
    *load_digits(return_X_y=True),
    test_size=500,
    stratify=load_digits().target,
    random_state=0,
)
net = default_network(X, y).set_params(
    module__hidden_units=(128,) * 7, max_epochs=40
)
scorer = PredictionDepthScorer(net, random_state=0).fit(X, y)
print(f"{len(scorer.probe_names_)} probes:")
print(*scorer.probe_names_, sep="\n")

# %%
# Two rows on their way through the network
# -----------------------------------------
#
# Every bar is what the neighbours say at one layer, and how many of them. The first row's
# neighbours agree with the network from the input on: depth 0. The second one's change their mind
# on the way; its depth is the first layer behind the last disagreement.

easy = np.flatnonzero(scorer.difficulty_ == 0)[0]
hard = int(np.nanargmax(scorer.difficulty_))
_, axes = plt.subplots(
    2, 2, figsize=(9, 6), width_ratios=(1, 6), layout="constrained"
)
for row, (image, path) in zip((easy, hard), axes, strict=True):
    HardestRowsDisplay.from_estimator(
        scorer, X, y, rows=row, image_shape=(8, 8), ax=image, cmap="gray_r"
    )
    ProbePathDisplay.from_estimator(scorer, X, y, row=row, ax=path)
plt.show()

# %%
# How deep are the rows?
# ----------------------
#
# Most digits are decided at the input, where neighbours are as alike as images can be. The probes
# get better from layer to layer, first of all on the rows that the network has learned: the
# *inference curve*.

held_out = scorer.score_samples(X_new)
levels = np.arange(scorer.max_depth_ + 2) - 0.5
figure, (left, right) = plt.subplots(
    1, 2, figsize=(10, 3.6), layout="constrained"
)
left.hist(
    [scorer.difficulty_, held_out],
    bins=levels,
    weights=[
        np.full(len(d), 1 / len(d)) for d in (scorer.difficulty_, held_out)
    ],
    label=["training rows", "held-out rows"],
    color=["#0072B2", "#E69F00"],
)
left.set(
    xlabel="prediction depth",
    ylabel="share of rows (logarithmic)",
    yscale="log",
)
left.legend()
InferenceCurveDisplay.from_estimator(
    scorer, X, y, name="training rows", ax=right
)
InferenceCurveDisplay.from_estimator(
    scorer, X_new, y_new, name="held-out rows", ax=right
)
figure.suptitle("Depths of training and held-out rows, accuracy of the probes")
plt.show()

# %%
# The shallowest and the deepest rows of a class
# ----------------------------------------------
#
# Deep rows look unusual, and held-out rows are more often misclassified if they are deep.

digit = 9
order = np.flatnonzero(y == digit)[
    np.argsort(scorer.difficulty_[y == digit], kind="stable")
]
figure, axes = plt.subplots(2, 1, figsize=(8, 3.2), layout="constrained")
for name, rows, axis in (
    ("shallowest", order[:8], axes[0]),
    ("deepest", order[::-1][:8], axes[1]),
):
    depths = [f"depth {depth:.0f}" for depth in scorer.difficulty_[rows]]
    display = HardestRowsDisplay(
        items=X[rows].reshape(-1, 8, 8), titles=depths
    )
    display.plot(axis, n_columns=8, cmap="gray_r")
    axis.set_title(f"{name} training rows of the digit {digit}", loc="left")
plt.show()

wrong = scorer.record_.net.predict(X_new.astype(np.float32)) != y_new
for name, rows in (("depth 0", held_out == 0), ("deeper", held_out > 0)):
    print(
        f"{name}: {rows.sum()} held-out rows, {wrong[rows].mean():.1%} "
        "misclassified"
    )
