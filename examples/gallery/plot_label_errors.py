# SPDX-License-Identifier: BSD-3-Clause
"""
Find wrong labels, review, retrain
==================================

Which labels are wrong, how many are there, and is it worth acting? Here labels of handwritten
digits are changed on purpose, as by someone who takes a digit for another that looks like it.
:class:`~sklearn_difficulty.LabelErrorScorer` is told nothing of that, and what it says is compared
with the truth.
"""

# %%
# Digits with wrong labels
# ------------------------
#
# Every digit has two others that it is taken for, one more often than the other. 12 % of the
# training labels are changed in this way. The held-out rows keep their right labels.

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from sklearn_difficulty import FilteredClassifier, LabelErrorScorer
from sklearn_difficulty.datasets import make_label_noise
from sklearn_difficulty.inspection import (
    HardestRowsDisplay,
    LabelErrorMatrixDisplay,
    NoiseCutsDisplay,
)

torch.set_num_threads(1)
X, y = load_digits(return_X_y=True)
X, X_test, y_true, y_test = train_test_split(
    X, y, test_size=0.3, stratify=y, random_state=0
)

taken_for = [
    (6, 8),
    (7, 4),
    (3, 7),
    (8, 5),
    (9, 1),
    (6, 3),
    (5, 0),
    (1, 9),
    (3, 9),
    (4, 7),
]
odds = np.eye(10)
for digit, (often, seldom) in enumerate(taken_for):
    odds[digit, [often, seldom]] = 0.2, 0.1
y, is_wrong = make_label_noise(
    y_true, 0.12, kind="matrix", noise_matrix=odds, random_state=0
)
print(
    f"{is_wrong.sum()} of {len(y)} training labels are wrong, {len(X_test)} "
    "rows are held out"
)

# %%
# How many are wrong
# ------------------
#
# Five small networks are trained, each on four fifths of the rows. A label is judged by the network
# that did not see the row.

scorer = LabelErrorScorer(random_state=0).fit(X, y)
low, high = scorer.noise_rate_interval_
print(
    f"wrong labels: {scorer.noise_rate_:.1%} estimated, between {low:.1%} "
    f"and {high:.1%}"
)
print(f"in truth:     {is_wrong.mean():.1%}")

# %%
# The most suspect rows
# ---------------------
#
# The label that the row has and, after the arrow, the one that is suggested. The sign says whether
# the suggestion is right. Where it is not, the given label can be wrong all the same.

n_shown = 30
_, axis = plt.subplots(figsize=(9, 3.6), layout="constrained")
HardestRowsDisplay.from_estimator(
    scorer,
    X,
    y,
    n=n_shown,
    y_true=y_true,
    image_shape=(8, 8),
    ax=axis,
    n_columns=10,
    cmap="gray_r",
)
axis.set_title(
    "The most suspect rows: given label → suggested one (✓ true, ✗ not)"
)
plt.show()

suspects = scorer.suspects()["row"].to_numpy()
suggestion_is_right = scorer.suggested_label_ == y_true
shown = suspects[:n_shown]
print(
    f"of these {len(shown)} labels {is_wrong[shown].sum()} are wrong, ", end=""
)
print(f"and {suggestion_is_right[shown].sum()} suggestions are right")
print(
    f"of all wrong labels {suggestion_is_right[is_wrong].mean():.0%} get the "
    "right suggestion"
)

# %%
# Which labels are taken for which
# --------------------------------
#
# All suspects, by the label that they have and the one that is suggested. High numbers stand where
# a digit was taken for another; on the diagonal no single other label is better.

display = LabelErrorMatrixDisplay.from_estimator(scorer, X, y)
display.ax_.set_title("Suspects by given and suggested label", loc="left")
plt.show()

# %%
# What a cut would drop
# ---------------------
#
# Whoever drops all rows with an error probability above a cut wants to know how many of them have a
# wrong label (precision), and how many of the wrong labels are among them (recall). ``cuts_`` has
# both, with intervals, from the error probabilities alone. The last two columns are the truth,
# which is known here.


def truth(cuts):
    """Return the true precision and recall of every cut."""
    dropped = scorer.error_probability_ > cuts["cut"][:, None]
    found = (dropped & is_wrong).sum(axis=1)
    return {
        "precision": found / dropped.sum(axis=1),
        "recall": found / is_wrong.sum(),
    }


def print_cuts(cuts):
    """Print every second cut, with the truth beside it."""
    true = truth(cuts)
    print(
        " cut  dropped      precision           recall        true "
        "precision, recall"
    )
    for i, line in enumerate(cuts):
        if i % 2 == 0:
            print(f"{line['cut']:4.1f}{line['n_dropped']:9d}", end="")
            for name in ("precision", "recall"):
                low, high = line[f"{name}_low"], line[f"{name}_high"]
                cell = f"{line[name]:.2f} ({low:.2f}-{high:.2f})"
                print(f"{cell:>19}", end="")
            print(f"{true['precision'][i]:13.2f}{true['recall'][i]:9.2f}")


print_cuts(scorer.cuts_)

# %%
# Review a hundred rows
# ---------------------
#
# How many labels are wrong cannot be known without an assumption, and the interval says by how much
# assumptions differ. A person's look at some rows replaces them. ``review_plan`` chooses rows that
# tell most, ``calibrate`` takes the verdicts; here the truth gives the verdicts.

plan = scorer.review_plan(100, random_state=0)
review = scorer.calibrate(plan.rows, is_wrong[plan.rows])
low, high = review.noise_rate_interval
print(
    f"of {len(plan.rows)} reviewed rows {is_wrong[plan.rows].sum()} have a "
    "wrong label"
)
print(
    f"wrong labels: {review.noise_rate:.1%} estimated, between {low:.1%} and "
    f"{high:.1%}\n"
)
print_cuts(review.cuts)

# %%
# Both tables as a figure. The bands are the intervals.

figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for axis, measure in zip(axes, ("precision", "recall"), strict=True):
    NoiseCutsDisplay.from_estimator(
        scorer,
        X,
        y,
        review=review,
        is_wrong=is_wrong,
        ax=axis,
        measure=measure,
    )
figure.suptitle("Precision and recall by cut, before and after the review")
plt.show()

# %%
# When the doubtful rows are the wrong ones
# -----------------------------------------
#
# People also err where the image is unclear. A wrong label of an unclear image looks much like a
# right one; how many there are is a matter of what is assumed, and the interval becomes wide. Here
# 12 % of the true labels are changed, those that a linear classifier confuses most easily.

y_unclear, is_unclear = make_label_noise(
    y_true, 0.12, kind="instance", X=X, random_state=0
)
doubtful = LabelErrorScorer(random_state=0).fit(X, y_unclear)
low, high = doubtful.noise_rate_interval_
found = doubtful.error_probability_ > 0.5
print(
    f"wrong labels: {doubtful.noise_rate_:.1%} estimated, between {low:.1%} "
    f"and {high:.1%}"
)
print(f"in truth:     {is_unclear.mean():.1%}")
print(
    f"above 0.5:    {found.sum()} rows, precision "
    f"{is_unclear[found].mean():.2f}, ",
    end="",
)
print(f"recall {found[is_unclear].mean():.2f}")

# %%
# Retrain
# -------
#
# Back to the first labels. :class:`~sklearn_difficulty.FilteredClassifier` drops or relabels the
# rows whose label is more likely wrong than right, and trains any classifier on the result. It
# reads the networks that are there already, so nothing is scored twice. With so many held-out rows
# an accuracy has a standard error of about one percentage point or a little less.

reads = LabelErrorScorer(scorer.ensemble_)
print(f"accuracy on {len(X_test)} held-out rows     SVC   boosted trees")
names = (
    "all given labels",
    "suspects dropped",
    "suspects relabelled",
    "true labels",
)
table = {name: [] for name in names}
for classifier in (
    make_pipeline(StandardScaler(), SVC(C=10)),
    HistGradientBoostingClassifier(max_iter=40, random_state=0),
):
    trained = (
        clone(classifier).fit(X, y),
        FilteredClassifier(classifier, scorer=reads, action="drop").fit(X, y),
        FilteredClassifier(classifier, scorer=reads, action="relabel").fit(
            X, y
        ),
        clone(classifier).fit(X, y_true),
    )
    for accuracies, model in zip(table.values(), trained, strict=True):
        accuracies.append(model.score(X_test, y_test))
for name, (svc, trees) in table.items():
    print(f"{name:30}{svc:9.3f}{trees:16.3f}")

# %%
# The review list
# ---------------
#
# What to hand to the person who labels: the rows to look at first.

print(scorer.suspects(10).round(3).to_string(index=False))
