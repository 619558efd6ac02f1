# SPDX-License-Identifier: BSD-3-Clause
"""
Where in the image the training signal comes from
=================================================

Images of noise, each with one small bar: lying in class 0, upright in class 1. So the pixels that
matter are known, and maps can be held against them. A small convolutional network is trained, and
the same rows are looked at in four ways.
"""

# %%
# Images with known masks
# -----------------------
#
# A bar has three pixels and lies anywhere. A tenth of the labels are wrong.

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.ndimage import binary_dilation
from skorch import NeuralNetClassifier
from torch import nn

from sklearn_difficulty import NormGradScorer, TrainingRecord, VoGScorer
from sklearn_difficulty.datasets import make_label_noise
from sklearn_difficulty.inspection import NormGradDisplay
from sklearn_difficulty.training import ConvNet

torch.set_num_threads(1)
rng = np.random.default_rng(0)
n = 400
true = np.arange(n) % 2
masks = np.zeros((n, 16, 16), dtype=bool)
for i in range(n):
    a, b = rng.integers(1, 15), rng.integers(1, 13)
    bar = slice(b, b + 3)
    masks[i][(a, bar) if true[i] == 0 else (bar, a)] = True
X = rng.normal(scale=0.3, size=(n, 1, 16, 16)).astype(np.float32)
X[:, 0] += 2 * masks
y, is_wrong = make_label_noise(true, rate=0.1, random_state=0)

torch.manual_seed(0)
net = NeuralNetClassifier(
    ConvNet,
    module__n_channels=1,
    module__n_outputs=2,
    module__channels=(16, 16),
    criterion=nn.CrossEntropyLoss,
    optimizer=torch.optim.Adam,
    lr=0.005,
    max_epochs=15,
    batch_size=32,
    iterator_train__shuffle=True,
    verbose=0,
)
record = TrainingRecord.from_fit(net, X, y, checkpoints=5, random_state=0)

# %%
# Four maps of the same rows
# --------------------------
#
# - NormGrad: how long a gradient each location sends to the weights;
# - NormGrad selective: only what speaks for the label, channel by channel;
# - the linear approximation: activation times gradient, summed over channels, which is what
#   Grad-CAM becomes if gradients are not averaged over the image; negative where it speaks against;
# - the Variance of Gradients: where the gradient of the input kept changing.
#
# All are means over (or, the last, deviations between) the same five epochs. This network looks for
# upright bars: where there is none it says class 0, and then little in the image speaks for the
# label, so that the second and the third kind of map have nothing to point at.

settings = {
    "layers": ["layers.1", "layers.4"],
    "combine": "geometric",
    "checkpoints": 5,
}
normgrad = NormGradScorer(record, **settings).fit(X, y)
selective = NormGradScorer(record, selective=True, **settings).fit(X, y)
linear = NormGradScorer(
    record, variant="scaling", aggregation="sum", **settings
).fit(X, y)
vog = VoGScorer(record, checkpoints=5).fit(X, y)


def scaled(maps):
    """Return every map from 0 to 1."""
    low, high = (
        end(axis=(1, 2), keepdims=True) for end in (maps.min, maps.max)
    )
    return (maps - low) / (high - low)


maps = {
    "NormGrad": normgrad.maps(X, y),
    "selective": selective.maps(X, y),
    "linear approximation": linear.maps(X, y),
    "VoG": scaled(vog.gradient_maps(X, y)),
}
rows = [*np.flatnonzero(~is_wrong)[:3], *np.flatnonzero(is_wrong)[:1]]
figure, axes = plt.subplots(
    len(rows), 5, figsize=(10, 8), layout="constrained"
)
for row, line in zip(rows, axes, strict=True):
    line[0].imshow(X[row, 0], cmap="gray")
    line[0].set_ylabel(
        f"row {row}, label {y[row]}" + (" (wrong)" if is_wrong[row] else "")
    )
    for ax, (name, of_rows) in zip(line[1:], maps.items(), strict=True):
        display = NormGradDisplay(
            saliency_map=of_rows[row], image=X[row, 0]
        ).plot(ax)
        display.colorbar_.remove()
        ax.set_title(name if row == rows[0] else "", fontsize="medium")
    line[0].set(xticks=[], yticks=[])

# %%
# Held against the masks
# ----------------------
#
# How often the largest value of the map is no more than two pixels from the bar, for rows with
# right labels.

near = binary_dilation(masks, np.ones((1, 5, 5)))
for name, of_rows in maps.items():
    largest = of_rows.reshape(n, -1).argmax(axis=1)
    hits = near.reshape(n, -1)[np.arange(n), largest]
    print(
        f"{name:21s} {hits[~is_wrong].mean():.2f}   (by chance {near.mean():.2f})"
    )

# %%
# Layer by layer
# --------------
#
# Early layers are fine and noisy, late ones coarse. The geometric mean keeps what they agree on.

row = rows[0]
figure, axes = plt.subplots(1, 3, figsize=(10, 3), layout="constrained")
for ax, layer in zip(axes, [*normgrad.layer_names_, None], strict=True):
    NormGradDisplay.from_estimator(normgrad, X, y, row=row, layer=layer, ax=ax)
axes[-1].set_title(
    f"row {row}, label {y[row]}, both layers", fontsize="medium"
)

# %%
# How much there is of it
# -----------------------
#
# The score of a row is the length of its map before that is scaled: wrong labels send more.

right, wrong = (
    np.median(normgrad.difficulty_[mask]) for mask in (~is_wrong, is_wrong)
)
print(
    f"median training signal: right labels {right:.2f}, wrong labels {wrong:.2f}"
)

plt.show()
