# SPDX-License-Identifier: BSD-3-Clause
"""
Find wrong targets of a regression
==================================

Which targets of a regression are wrong, how many, and what should they be?
:class:`~sklearn_difficulty.TargetErrorScorer` asks models about rows that they did not see. The
spread of honest targets may grow, as that of prices does: a residual of a hundred means an error in
one place and nothing in another.
"""

# %%
# Prices that spread, and every tenth from another row
# ----------------------------------------------------

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor

from sklearn_difficulty import FilteredRegressor, TargetErrorScorer
from sklearn_difficulty.datasets import make_target_noise

rng = np.random.default_rng(0)
X = rng.uniform(size=(1500, 3))
expected = np.exp(4 + 3 * X[:, 0] + np.sin(6 * X[:, 1]))
y_true = expected * rng.lognormal(sigma=0.15, size=1500)
y, is_wrong, _ = make_target_noise(y_true, level=0.1, random_state=0)

judge = HistGradientBoostingRegressor(loss="absolute_error", random_state=0)
scorer = TargetErrorScorer(judge, random_state=0).fit(X, y)
suspect = scorer.error_probability_ > 0.5
low, high = scorer.noise_rate_interval_
print(
    f"between {low:.0%} and {high:.0%} are wrong; in truth {is_wrong.mean():.0%}"
)
print(f"{suspect.sum()} suspects, {is_wrong[suspect].sum()} of them are wrong")

# %%
# What was expected, and what was given
# -------------------------------------
#
# The band holds nine tenths of the right targets. It is as wide as prices spread there, so that a
# cheap thing at twice its price is found, and a dear one is not.

figure, axis = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
order = np.argsort(scorer.predictions_)
axis.fill_between(
    scorer.predictions_[order],
    *scorer.suggested_target_interval_[order].T,
    color="#BBBBBB",
    label="nine tenths of the right ones",
)
kinds = (
    ("right", ~is_wrong & ~suspect, "#555555", "."),
    ("wrong, and found", is_wrong & suspect, "#D55E00", "o"),
    ("wrong, not found", is_wrong & ~suspect, "#0072B2", "s"),
    ("right, suspected", ~is_wrong & suspect, "#E69F00", "^"),
)
for name, rows, color, marker in kinds:
    axis.plot(
        scorer.predictions_[rows],
        y[rows],
        marker,
        color=color,
        markersize=4,
        label=f"{name} ({rows.sum()})",
    )
axis.set(
    xscale="log",
    yscale="log",
    xlabel="predicted without the row",
    ylabel="given target",
)
axis.set_title("A tenth of the targets belongs to another row")
axis.legend(loc="upper left", fontsize="small")
plt.show()

# %%
# Train without them
# ------------------
#
# :class:`~sklearn_difficulty.FilteredRegressor` drops the suspects of the training rows, and those
# alone: the test rows keep their right targets here.

model = HistGradientBoostingRegressor(random_state=0)
X_test = rng.uniform(size=(1500, 3))
y_test = np.exp(4 + 3 * X_test[:, 0] + np.sin(6 * X_test[:, 1]))
filtered = FilteredRegressor(model, scorer=scorer, drop="auto")
candidates = {
    "all rows": (model, y),
    "suspects dropped": (filtered, y),
    "suspects given the suggested target": (
        FilteredRegressor(model, scorer=scorer, drop="auto", action="relabel"),
        y,
    ),
    "right targets": (model, y_true),
}
for name, (candidate, targets) in candidates.items():
    error = np.abs(candidate.fit(X, targets).predict(X_test) - y_test).mean()
    print(f"{name}: mean absolute error {error:.1f}")
