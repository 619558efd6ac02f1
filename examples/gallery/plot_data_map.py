# SPDX-License-Identifier: BSD-3-Clause
"""
A data map: easy, ambiguous and hard rows
=========================================

A data map draws every training row by two measures of its training dynamics: how sure the network
was of its label on average (confidence), and how much that changed from epoch to epoch
(variability). Here one label in ten is wrong, so that there is something to find.
"""

# %%
# One training
# ------------
#
# The network is trained once, and its training is recorded as it goes along. The scorer reads the
# confidence from the record; the other axis of the map is there too.

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits

from sklearn_difficulty import TrainingDynamicsScorer
from sklearn_difficulty.datasets import make_label_noise
from sklearn_difficulty.inspection import (
    DataMapDisplay,
    HardestRowsDisplay,
    TrajectoryDisplay,
)

torch.set_num_threads(1)
X, y_true = load_digits(return_X_y=True)
y, is_flipped = make_label_noise(y_true, rate=0.1, random_state=0)
scorer = TrainingDynamicsScorer(measure="confidence", random_state=0).fit(X, y)

# %%
# The map
# -------
#
# Top left: rows that are easy from the start. Right: ambiguous rows, about which the network
# changes its mind. Bottom left: rows that it does not learn, where nearly all wrong labels are.

display = DataMapDisplay.from_estimator(
    scorer, X, y, marked=is_flipped, marked_name="label wrong"
)
display.ax_.set_title("Digits, of which one label in ten is wrong")
plt.show()

# %%
# What the training said, epoch by epoch
# --------------------------------------
#
# The record holds the probability of the given label for every row and epoch. Wrong labels stay
# improbable until the network starts to learn them by heart.

groups = np.where(is_flipped, "label wrong", "label right")
display = TrajectoryDisplay.from_estimator(scorer, X, y, groups=groups)
display.ax_.set_title("Probability of the given label, epoch by epoch")
plt.show()

# %%
# The rows to look at first
# -------------------------
#
# The twelve rows with the lowest confidence, and whether their given label is right.

shape = {"image_shape": (8, 8), "cmap": "gray_r"}
display = HardestRowsDisplay.from_estimator(
    scorer, X, y, n=12, y_true=y_true, **shape
)
display.ax_.set_title("Given label → suggested one (✓ true, ✗ not)")
plt.show()

found = is_flipped[np.argsort(-scorer.difficulty_)[: is_flipped.sum()]].mean()
print(
    f"{is_flipped.sum()} labels are wrong; of as many suspects, {found:.0%} "
    "are."
)
