# SPDX-License-Identifier: BSD-3-Clause
"""
Does the error rate rise with VoG?
==================================

The VoG papers report that misclassification rises with VoG. This page draws what was measured on
Fashion-MNIST by ``benchmarks/bench_vog_error_rate.py``: how often held-out rows are misclassified,
in ten equal groups by the score, which is read without the label, for a small convolutional
network. It holds for the gradients of the probability and of the loss; for those of the logit,
which define VoG, it hardly does. The :ref:`user guide <variance_of_gradients>` has two more
networks, in one of which it holds for the logit too.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from sklearn_difficulty.inspection import ErrorRateDisplay

results = json.loads(
    Path("../../benchmarks/results/vog_error_rate.json").read_text()
)
scores = results["results"]["held-out, predicted class"]
baseline = results["results"]["1 - max softmax"]["held-out"]["error_rate"]
percentile = np.arange(10, 101, 10)

figure, rows = plt.subplots(
    2, 3, figsize=(10, 6), sharex=True, sharey=True, layout="constrained"
)
for axes, (kind, name) in zip(
    rows,
    (("vog_raw", "raw score"), ("vog_class", "normalised by class")),
    strict=True,
):
    for axis, target in zip(
        axes, ("logit", "probability", "loss"), strict=True
    ):
        curves = {
            f"VoG, {window} checkpoints": scores[f"{target}, {window}"][kind][
                "error_rate"
            ]
            for window in ("early", "late", "all")
        }
        for label, curve in {**curves, "1 − max softmax": baseline}.items():
            ErrorRateDisplay(
                percentile=percentile,
                error_rate=curve["mean"],
                standard_error=curve["se"],
                name=label,
            ).plot(axis)
        axis.set_title(f"{target}, {name}")
        axis.label_outer()
        axis.get_legend().set_visible(axis is rows[0, 0])
settings = results["settings"]
figure.suptitle(
    f"Held-out Fashion-MNIST rows, network trained on {settings['rows']:,} "
    "rows, "
    f"mean and standard error over {settings['seeds_done']} seeds"
)
plt.show()
