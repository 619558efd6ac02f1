# SPDX-License-Identifier: BSD-3-Clause
"""
A data map: easy, ambiguous and hard rows
=========================================

A data map draws every training row by two measures of its training dynamics: how sure the network
was of its label on average (confidence), and how much that changed from epoch to epoch
(variability). Here one label in ten is wrong, so that there is something to find.
"""

# %%
# One training, three measures
# ----------------------------
#
# The network is trained once. Its training is recorded as it goes along, and the measures are read
# from the record.

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits

from sklearn_difficulty import TrainingDynamicsScorer, TrainingRecord
from sklearn_difficulty.datasets import make_label_noise
from sklearn_difficulty.training import default_network

torch.set_num_threads(1)
X, y_true = load_digits(return_X_y=True)
y, is_flipped = make_label_noise(y_true, rate=0.1, random_state=0)
record = TrainingRecord.from_fit(default_network(X, y), X, y, random_state=0)
confidence, variability, correctness = (
    TrainingDynamicsScorer(record, measure=measure).fit(X, y).raw_
    for measure in ("confidence", "variability", "correctness")
)

# %%
# The map
# -------
#
# Top left: rows that are easy from the start. Right: ambiguous rows, about which the network
# changes its mind. Bottom left: rows that it does not learn, where nearly all wrong labels are.

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained", sharey=True)
points = left.scatter(variability, confidence, c=correctness, s=9, cmap="viridis", vmin=0, vmax=1)
left.set(
    xlabel="variability",
    ylabel="confidence",
    title="Data map, coloured by correctness",
)
figure.colorbar(points, ax=left, label="share of epochs with the label predicted")
for name, rows, color in (
    ("label right", ~is_flipped, "tab:blue"),
    ("wrong", is_flipped, "tab:red"),
):
    right.scatter(variability[rows], confidence[rows], s=9, color=color, label=name, alpha=0.6)
right.set(xlabel="variability", title="The same rows: which labels are wrong?")
right.legend()
plt.show()

# %%
# What the training said, epoch by epoch
# --------------------------------------
#
# The record holds the probability of the given label for every row and epoch. Wrong labels stay
# improbable until the network starts to learn them by heart.

probability = record.trajectory.probability
epochs = np.arange(1, len(probability) + 1)
figure, axis = plt.subplots(figsize=(6, 3.6), layout="constrained")
for name, rows, color in (
    ("label right", ~is_flipped, "tab:blue"),
    ("wrong", is_flipped, "tab:red"),
):
    low, middle, high = np.percentile(probability[:, rows], (10, 50, 90), axis=1)
    axis.plot(epochs, middle, color=color, label=f"{name}: median")
    axis.fill_between(epochs, low, high, color=color, alpha=0.2, label="10 % to 90 %")
axis.set(
    xlabel="epoch", ylabel="probability of the given label", xticks=epochs[::3], ylim=(-0.02, 1.02)
)
axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %%
# The rows to look at first
# -------------------------
#
# The twelve rows with the lowest confidence, with their given labels.

figure, axes = plt.subplots(2, 6, figsize=(8, 3.2), layout="constrained")
for row, axis in zip(np.argsort(confidence)[:12], axes.flat, strict=True):
    axis.imshow(X[row].reshape(8, 8), cmap="gray_r")
    truth = f" (is {y_true[row]})" if is_flipped[row] else ""
    axis.set(xticks=[], yticks=[], title=f"label {y[row]}{truth}")
plt.show()

found = is_flipped[np.argsort(confidence)[: is_flipped.sum()]].mean()
print(f"{is_flipped.sum()} labels are wrong; of as many suspects, {found:.0%} are.")
