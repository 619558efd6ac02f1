# SPDX-License-Identifier: BSD-3-Clause
"""
VoG rises towards the decision boundary
=======================================

The first experiment of the VoG paper: two isotropic Gaussian clusters, where the hardest rows are
those between the clusters. A network with one hidden layer is trained for 15 epochs, and every row
is scored by the variance of its input gradients over these epochs.
"""

# %%
# Data and training
# -----------------
#
# ``make_gaussian_toy`` also returns the distance of every row from the best possible boundary. The
# network is trained once, and the record of its training is kept.

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.stats import spearmanr
from skorch import NeuralNetClassifier
from torch import nn

from sklearn_difficulty import TrainingRecord, VoGScorer
from sklearn_difficulty.datasets import make_gaussian_toy

torch.set_num_threads(1)
X, y, distance = make_gaussian_toy(500, random_state=0)


def train(module):
    net = NeuralNetClassifier(
        module,
        criterion=nn.CrossEntropyLoss,
        lr=0.05,
        max_epochs=15,
        batch_size=32,
        iterator_train__shuffle=True,
    )
    return TrainingRecord.from_fit(
        net, X, y, checkpoints="all", random_state=0
    )


torch.manual_seed(0)
record = train(nn.Sequential(nn.Linear(2, 10), nn.Tanh(), nn.Linear(10, 2)))
scorer = VoGScorer(record, checkpoints="all", normalize=None).fit(X, y)

# %%
# Where the scores are high
# -------------------------
#
# Left: every row with its score, and the line where the trained network changes its mind. Right:
# the same scores against the distance from the best boundary. The rank correlation is negative:
# the nearer, the harder.

correlation = spearmanr(scorer.difficulty_, distance).statistic
low, high = X.min(axis=0) - 0.5, X.max(axis=0) + 0.5
grid = np.stack(
    np.meshgrid(
        np.linspace(low[0], high[0], 200), np.linspace(low[1], high[1], 200)
    )
)
points = grid.reshape(2, -1).T.astype(np.float32)
logits = record.net.forward(points).numpy()

figure, (left, right) = plt.subplots(
    1, 2, figsize=(10, 4), layout="constrained"
)
for label, marker in ((0, "o"), (1, "^")):
    rows = y == label
    scatter = left.scatter(
        *X[rows].T,
        c=scorer.difficulty_[rows],
        marker=marker,
        s=18,
        vmin=0,
        vmax=scorer.difficulty_.max(),
        cmap="cividis_r",
        label=f"class {label}",
    )
    right.scatter(
        distance[rows], scorer.difficulty_[rows], marker=marker, s=12
    )
left.contour(
    *grid,
    (logits[:, 1] - logits[:, 0]).reshape(200, 200),
    levels=[0],
    colors="k",
)
left.set(title="Rows, their VoG, and the network's boundary", aspect="equal")
left.legend(loc="lower left")
figure.colorbar(scatter, ax=left, label="VoG (raw)")
right.set(
    xlabel="distance from the best boundary",
    ylabel="VoG (raw)",
    title=f"Spearman correlation {correlation:.2f}",
)
plt.show()

# %%
# Label-free scores anywhere
# --------------------------
#
# Unseen points are scored as the class that the network predicts for them, so the difficulty can be
# drawn for the whole plane.

difficulty = scorer.score_samples(points).reshape(200, 200)
figure, axis = plt.subplots(figsize=(5.5, 4), layout="constrained")
image = axis.imshow(
    difficulty,
    origin="lower",
    extent=(low[0], high[0], low[1], high[1]),
    cmap="cividis_r",
)
axis.scatter(*X.T, c="k", s=2)
axis.set(title="VoG of every point of the plane, label-free", aspect="equal")
figure.colorbar(image, ax=axis, label="VoG (raw)")
plt.show()

# %%
# A linear network has nothing to say
# -----------------------------------
#
# The gradient of a linear network's logit is the same for every row, so all rows of a class have
# the same score. The scorer notices that: normalised by class, the scores are 0, with a warning.

linear = VoGScorer(
    train(nn.Linear(2, 2)), checkpoints="all", normalize=None
).fit(X, y)
print(
    "distinct scores:",
    len(np.unique(linear.difficulty_.round(5))),
    "for 500 rows",
)
