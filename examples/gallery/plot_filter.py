# SPDX-License-Identifier: BSD-3-Clause
"""
Train without wrong labels, inside a pipeline
=============================================

How much do wrong labels cost a classifier, and how much of it comes back when suspect rows are
left out? :class:`~sklearn_difficulty.FilteredClassifier` wraps the classifier, so that rows to be
predicted are never filtered.
"""

# %%
# More and more wrong labels
# --------------------------
#
# Labels of the training digits are flipped at random. The held-out rows keep their right labels,
# and say what a nearest-neighbour classifier is worth.

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from sklearn_difficulty import FilteredClassifier, LabelErrorScorer
from sklearn_difficulty.datasets import make_label_noise

torch.set_num_threads(1)
X, y = load_digits(return_X_y=True)
X, X_test, y_true, y_test = train_test_split(
    X, y, test_size=0.3, stratify=y, random_state=0
)
scorer = LabelErrorScorer(random_state=0)
knn = KNeighborsClassifier(1)
models = {
    "all rows": knn,
    "suspect rows dropped": FilteredClassifier(knn, scorer=scorer),
    "suspect rows relabelled": FilteredClassifier(
        knn, scorer=scorer, action="relabel"
    ),
}
rates = [0.0, 0.1, 0.2, 0.3]
accuracy = {name: [] for name in models}
for rate in rates:
    y, is_wrong = make_label_noise(y_true, rate, random_state=0)
    for name, model in models.items():
        pipeline = make_pipeline(MinMaxScaler(), model).fit(X, y)
        accuracy[name].append(pipeline.score(X_test, y_test))
    print(f"{rate:.0%} wrong: ", end="")
    print(", ".join(f"{n} {a[-1]:.3f}" for n, a in accuracy.items()))

# %%
# What comes back
# ---------------

figure, axis = plt.subplots(figsize=(6.4, 4), layout="constrained")
styles = zip(
    ("#555555", "#0072B2", "#E69F00"), ("s--", "o-", "^-"), strict=True
)
for (name, values), (color, style) in zip(
    accuracy.items(), styles, strict=True
):
    axis.plot(rates, values, style, color=color, label=name, linewidth=2)
axis.set(
    xlabel="share of wrong training labels",
    ylabel="accuracy on held-out rows",
    xticks=rates,
)
axis.set_title("Digits, nearest neighbour: what wrong labels cost")
axis.legend()
plt.show()

# %%
# What was left out
# -----------------
#
# The scorer does not know how many labels are wrong. With the last share of them:

dropped = models["suspect rows dropped"].fit(X, y).dropped_indices_
print(f"{is_wrong.sum()} wrong, {len(dropped)} dropped, ", end="")
print(f"{np.isin(dropped, np.flatnonzero(is_wrong)).sum()} of these wrong")
