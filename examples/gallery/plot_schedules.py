# SPDX-License-Identifier: BSD-3-Clause
"""
Early layers that climb, later layers that forget
=================================================

Two schedules disturb a network again and again while it learns: one lets its early layers climb the
loss for a while, the other draws its later layers anew. Here is what that looks like, and what it
does to the depth at which rows are decided, on digits.
"""

# %%
# Three trainings of equal length
# -------------------------------
#
# Each has four generations of ten epochs. The first training only restarts its learning rate, which
# falls by a cosine. The callbacks go into the net; the scorer trains it as any other.

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from skorch.callbacks import LRScheduler
from torch.optim.lr_scheduler import CosineAnnealingLR

from sklearn_difficulty import PredictionDepthScorer
from sklearn_difficulty.training import (
    LaterLayerForgetting,
    SimulatedAnnealingEarlyLayers,
    default_network,
)

torch.set_num_threads(1)
X, X_new, y, y_new = train_test_split(
    *load_digits(return_X_y=True), train_size=600, random_state=0
)
length = {"n_generations": 4, "epochs_per_generation": 10}
schedules = {
    "restarts": SimulatedAnnealingEarlyLayers(ascent_epochs=0, **length),
    "early layers climb": SimulatedAnnealingEarlyLayers(**length),
    "later layers forget": LaterLayerForgetting(**length),
}
scorers = {}
for name, schedule in schedules.items():
    rate = LRScheduler(CosineAnnealingLR, T_max=10)
    net = default_network(X, y).set_params(
        module__hidden_units=(64,) * 4,
        lr=0.05,
        max_epochs=40,
        callbacks=[schedule, rate],
    )
    scorers[name] = PredictionDepthScorer(net, random_state=0).fit(X, y)

# %%
# The training loss
# -----------------
#
# Epochs of ascent are shaded. A step upwards is a hundredth of a step downwards, and the later
# layers go on descending meanwhile: the loss need not rise for early layers to move. Layers that
# are drawn anew have everything to learn again.

_, axis = plt.subplots(figsize=(8, 3.6), layout="constrained")
for (name, scorer), color in zip(
    scorers.items(), ("#999999", "#0072B2", "#D55E00"), strict=True
):
    history = scorer.record_.net.history
    axis.plot(history[:, "epoch"], history[:, "train_loss"], color, label=name)
climbing = scorers["early layers climb"].record_.net.history
for row in climbing:
    if row["event_ascent"]:
        axis.axvspan(row["epoch"] - 0.5, row["epoch"] + 0.5, color="#E5F0F8")
axis.set(xlabel="epoch", ylabel="training loss (logarithmic)", yscale="log")
axis.set_title("Training in four generations")
axis.legend()
plt.show()

# %%
# What came of it
# ---------------
#
# Depth is about what a network predicts, so rows that two networks predict differently are compared
# only with care. Over seeds, with more rows and a convolutional network, see
# :ref:`what_training_does`.

for name, scorer in scorers.items():
    predicted = scorer.record_.net.predict(X_new.astype(np.float32))
    depth = scorer.score_samples(X_new)
    is_right = predicted == y_new
    print(
        f"{name}: accuracy {is_right.mean():.3f}, mean depth {np.nanmean(depth):.2f} of "
        f"{scorer.max_depth_}, where right {np.nanmean(depth[is_right]):.2f}"
    )
