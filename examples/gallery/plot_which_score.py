# SPDX-License-Identifier: BSD-3-Clause
"""
Which score finds wrong labels?
===============================

Every score of one training, held against wrong labels of three kinds. What was measured on
Fashion-MNIST by ``benchmarks/bench_dynamics_label_noise.py``, mean over 5 seeds: in networks that
were stopped early, and in networks that know every label by heart, wrong ones included.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

path = Path("../../benchmarks/results/dynamics_label_noise.json")
results = json.loads(path.read_text())["results"]
regimes = {"stopped early": ("#0072B2", "o"), "memorised": ("#E69F00", "D")}
kinds = {
    "symmetric": "flipped at random, 20 %",
    "pair": "to one other class, 20 %",
    "instance": "where classes are alike, 10 %",
}


def precision(kind, regime):
    """Return the average precision of every score."""
    found = results[f"fashion_mnist, {kind}, {regime}"]["found"]
    return {score: values["ap"]["mean"] for score, values in found.items()}


# %%
# Average precision: 1 is perfect, the dotted line is chance. The best scores of both worlds are
# on top. What is read at the end of training (``final_loss``, the margins) fails once the network
# has memorised its labels; what is averaged over training, or asks neighbours, does not.

symmetric = [precision("symmetric", regime) for regime in regimes]
others = [precision(kind, regime) for kind in kinds for regime in regimes]
scores = [s for s in symmetric[0] if all(s in found for found in others)]
scores.sort(key=lambda score: min(found[score] for found in symmetric))

figure, axes = plt.subplots(
    1, 3, sharey=True, figsize=(10, 6), layout="constrained"
)
places = np.arange(len(scores))
for axis, (kind, title) in zip(axes, kinds.items(), strict=True):
    for regime, (color, marker) in regimes.items():
        found = precision(kind, regime)
        values = [found[score] for score in scores]
        axis.plot(
            values, places, marker, color=color, label=regime, markersize=7
        )
    axis.axvline(
        0.1 if kind == "instance" else 0.2, color="0.4", linestyle=":"
    )
    axis.set(title=title, xlim=(0, 1), xlabel="average precision")
    axis.grid(axis="y", alpha=0.3)
axes[0].set_yticks(places, [score.replace("_", " ") for score in scores])
axes[0].legend(loc="lower right")
plt.show()

# sphinx_gallery_thumbnail_number = 1
