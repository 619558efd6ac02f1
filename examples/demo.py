# SPDX-License-Identifier: BSD-3-Clause
"""Find wrong labels in digits, drop or relabel these rows, retrain, compare. Run: `make demo`.

On scikit-learn's digits a fifth of the training labels is flipped. One training per split gives all
scores; the table says which of them finds the flipped rows. `LabelErrorScorer` estimates how many
there are, and which.
"""

import time
import warnings

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklearn_difficulty import DifficultyScorer, LabelErrorScorer, VoGScorer
from sklearn_difficulty.datasets import make_label_noise
from sklearn_difficulty.metrics import detection_report

NOISE = 0.2
SPLITS = 5
FIGURE = "demo.png"
SCORES = (
    "neighbor_confidence",
    "confidence",
    "aum",
    "forgetting",
    ("VoG of the loss", VoGScorer(target="loss")),
    "vog",
    "prediction_depth",
)


STAGES = (
    "with all given labels",
    "without the suspect rows",
    "with the suggested labels",
    "with the true labels (ceiling)",
)


def train(X, y, X_test, y_test, seed, scores=SCORES[:1]):
    """Return a fitted scorer, and which held-out rows its network gets wrong."""
    scorer = DifficultyScorer(scores=scores, random_state=seed).fit(X, y)
    return scorer, scorer.estimator_.predict(X_test.astype(np.float32)) != y_test


def run_split(seed):
    """Do all of it for one split, and say what came out."""
    print(f"  split {seed + 1}: ", end="", flush=True)
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.3, stratify=y, random_state=seed)
    given, wrong = make_label_noise(y, NOISE, random_state=seed)

    scorer, errors_before = train(X, given, X_test, y_test, seed, SCORES)
    columns = zip(scorer.score_names_, scorer.difficulties_.T, strict=True)
    found = LabelErrorScorer(random_state=seed).fit(X, given)
    suspect = found.error_probability_ > 0.5
    relabelled = np.where(suspect, found.suggested_label_, given)

    dropped, errors_dropped = train(X[~suspect], given[~suspect], X_test, y_test, seed)
    _, errors_relabelled = train(X, relabelled, X_test, y_test, seed)
    ideal, errors_ideal = train(X, y, X_test, y_test, seed)
    errors = (errors_before, errors_dropped, errors_relabelled, errors_ideal)
    print(
        f"{wrong.sum()} wrong labels; {suspect.sum()} suspects, {wrong[suspect].sum()} of them "
        f"wrong; accuracy {1 - errors_before.mean():.3f}, without them "
        f"{1 - errors_dropped.mean():.3f}",
        flush=True,
    )
    return {
        "reports": {name: detection_report(wrong, np.nan_to_num(c)) for name, c in columns},
        "wrong": wrong,
        "suspect": suspect,
        "suggestion is right": found.suggested_label_ == y,
        "estimate": len(X) * np.array([found.noise_rate_, *found.noise_rate_interval_]),
        "accuracies": [1 - e.mean() for e in errors],
        "rows": (X, given, y, found),
        "without the suspect rows": (dropped.score_samples(X_test), errors_dropped),
        "with the true labels": (ideal.score_samples(X_test), errors_ideal),
    }


def draw(results):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from sklearn_difficulty.inspection import ErrorRateDisplay, HardestRowsDisplay

    X, given, true, found = results[0]["rows"]
    figure = plt.figure(figsize=(10, 7), layout="constrained")
    upper, lower = figure.subfigures(2, 1)
    top, (left, right) = upper.subplots(), lower.subplots(1, 2)
    digits = {"y_true": true, "image_shape": (8, 8), "n_columns": 10, "cmap": "gray_r"}
    HardestRowsDisplay.from_estimator(found, X, given, n=20, ax=top, **digits)
    top.set_title(
        "The most suspect training rows: given → suggested label (✓ the true digit, ✗ not)"
    )
    draw_accuracies(left, [result["accuracies"] for result in results])
    for name in ("with the true labels", "without the suspect rows"):
        pooled = zip(*(result[name] for result in results), strict=True)
        scores, errors = (np.concatenate(part) for part in pooled)
        ErrorRateDisplay.from_predictions(scores, errors, name=f"trained {name}", ax=right)
    right.set_title(f"Errors on held-out rows by difficulty ({SPLITS} splits)", fontsize=10)
    figure.savefig(FIGURE, dpi=150)


def draw_accuracies(ax, accuracies):
    """Draw the accuracy of held-out rows by stage, mean and standard error over the splits."""
    values = np.array(accuracies)
    means, half = values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))
    places = np.arange(len(STAGES))[::-1]
    for place, mean, error, color in zip(
        places, means, half, ["#D55E00", "#0072B2", "#0072B2", "#777777"], strict=True
    ):
        ax.errorbar(mean, place, xerr=error, fmt="o", color=color)
        ax.annotate(f"{mean:.3f}", (mean, place), (0, 7), textcoords="offset points", ha="center")
    ax.set_yticks(places, STAGES)
    ax.margins(x=0.15, y=0.2)
    ax.set_xlabel("accuracy on held-out rows")
    ax.set_title(f"Accuracy when trained ... ({SPLITS} splits)", fontsize=10)


def mean_and_error(values):
    values = np.asarray(values, dtype=float)
    return f"{values.mean():.3f} ± {values.std(ddof=1) / np.sqrt(len(values)):.3f}"


def print_wrong_labels(results):
    """Print what LabelErrorScorer says, and what of it is true."""
    wrong, suspect, right = (
        [result[name] for result in results] for name in ("wrong", "suspect", "suggestion is right")
    )
    estimates = np.array([result["estimate"] for result in results])
    n_wrong = np.array([w.sum() for w in wrong])
    inside = (estimates[:, 1] <= n_wrong) & (n_wrong <= estimates[:, 2])
    estimate, low, high = estimates.mean(axis=0)
    precision = [w[s].mean() for w, s in zip(wrong, suspect, strict=True)]
    recall = [s[w].mean() for w, s in zip(wrong, suspect, strict=True)]
    suggested = [r[w].mean() for w, r in zip(wrong, right, strict=True)]
    print(f"How many labels are wrong, and which? LabelErrorScorer is not told the {NOISE:.0%}.")
    for name, value in {
        f"wrong labels, of {len(wrong[0])}": f"{n_wrong.mean():.0f}",
        "its estimate, mean of the splits": f"{estimate:.0f}, from {low:.0f} to {high:.0f}",
        "splits with the truth in between": f"{inside.sum()} of {len(inside)}",
        "rows more likely wrong than right": f"{np.mean([s.sum() for s in suspect]):.0f}",
        "of these are wrong (precision)": mean_and_error(precision),
        "share of all wrong ones (recall)": mean_and_error(recall),
        "wrong ones with a right suggestion": mean_and_error(suggested),
    }.items():
        print(f"  {name:41}{value}")


def main():
    start = time.perf_counter()
    # Where the last probe contradicts the network there is no depth; these rows count as shallow.
    warnings.filterwarnings("ignore", message=".* no defined difficulty")
    torch.set_num_threads(1)  # for networks this small, threads mostly wait for each other
    print(
        f"scikit-learn's digits, {NOISE:.0%} of the training labels flipped, {SPLITS} splits. In "
        "each: train,\nscore all rows, find the wrong labels; drop these rows, or relabel them; "
        "train again."
    )
    results = [run_split(seed) for seed in range(SPLITS)]
    draw(results)

    print("\nHow well does a score find the flipped rows? (1 = perfectly; chance: AUROC .5, AP .2)")
    print(f"{'score':22}{'AUROC':>16}{'average precision':>22}")
    for name in results[0]["reports"]:
        reports = [result["reports"][name] for result in results]
        auroc = mean_and_error([report["auroc"] for report in reports])
        precision = mean_and_error([report["average_precision"] for report in reports])
        print(f"{name:22}{auroc:>16}{precision:>22}")
    print(
        "\nAll scores are read from one training. VoG of the logit, its definition, ranks wrong"
        "\nlabels as EASY here: there are many kinds of difficulty.\n"
    )
    print_wrong_labels(results)
    print("\nDrop these rows, or give them the suggested label, retrain, predict held-out rows.")
    accuracies = zip(*(result["accuracies"] for result in results), strict=True)
    for stage, values in zip(STAGES, accuracies, strict=True):
        print(f"  accuracy {stage:32}{mean_and_error(values)}")
    print(f"\nThe figure is in {FIGURE}. This took {time.perf_counter() - start:.0f} s.")


if __name__ == "__main__":
    main()
