# SPDX-License-Identifier: BSD-3-Clause
"""What filters do to a small group with right labels that looks like another class.

Fashion-MNIST with nine classes: 50 of its bags carry the label "dress", beside 2,450 dresses, so
that this class is made of a large cluster and one of 2 %. No row of any other class is a bag. Then
20 % of all labels are flipped symmetrically. The question: of the rare rows that kept their label,
how many does a filter drop on its way to the wrong labels?

All filters read networks with the same settings: "quadrants" drops the rows that
`DifficultyQuadrantClassifier` puts into "looks like a different class", nearest to its corner
first, and then, since the quadrant does not hold all wrong labels, none; "ours" goes by
`LabelErrorScorer`, "neighbours" by `NeighborConfidenceScorer`, cleanlab by the probabilities of the
same networks as they were in the end, which is cross-validation. They are compared where each has
found the same share of the wrong labels, and at their own default cuts.

Run: ``python benchmarks/bench_rare_subgroup.py`` (about 15 minutes on one core).
"""

import warnings
from typing import Any

import numpy as np
import torch
from _common import argument_parser, gather, prepare, shown, write_results
from numpy.typing import NDArray
from skorch import NeuralNetClassifier
from skorch.callbacks import LRScheduler
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from sklearn_difficulty import (
    DifficultyQuadrantClassifier,
    LabelErrorScorer,
    NeighborConfidenceScorer,
)
from sklearn_difficulty.datasets import load_fashion_mnist, make_label_noise
from sklearn_difficulty.training import MLP, ResampledEnsemble

DRESS, BAG = 3, 8
N_LARGE, N_RARE, N_OTHER = 2_450, 50, 250
RECALLS = (0.25, 0.5, 0.7, 0.9)
FITS: dict[str, dict[str, Any]] = {
    "stopped early": {"max_epochs": 6, "lr": 5e-4, "batch_size": 64},
    "memorised": {"max_epochs": 40, "lr": 2e-3, "batch_size": 128},
}


def load(seed: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]]:
    """Return rows, labels, and which rows are the rare ones."""
    train = load_fashion_mnist("train")
    X, y = train.data.reshape(len(train.target), -1), train.target
    rng = np.random.RandomState(seed)
    counts = dict.fromkeys(range(10), N_OTHER) | {DRESS: N_LARGE, BAG: N_RARE}
    rows = np.concatenate([rng.permutation(np.flatnonzero(y == c))[:n] for c, n in counts.items()])
    rows = rng.permutation(rows)
    X, rare = X[rows].astype(np.float32), y[rows] == BAG
    labels = np.where(rare, DRESS, y[rows])
    spread = np.maximum(X.std(axis=0), 0.02 * X.std())
    return (X - X.mean(axis=0)) / spread, np.unique(labels, return_inverse=True)[1], rare


def network(regime: str, n_classes: int) -> NeuralNetClassifier:
    settings = dict(FITS[regime])
    if regime == "memorised":
        cosine = {"T_max": settings["max_epochs"], "eta_min": settings["lr"] / 100}
        settings["callbacks"] = [LRScheduler(CosineAnnealingLR, **cosine)]
    return NeuralNetClassifier(
        MLP,
        module__n_inputs=784,
        module__n_outputs=n_classes,
        module__hidden_units=(128, 128, 128),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
        **settings,
    )


def dropped_shares(
    order: NDArray[np.int64], wrong: NDArray[np.bool_], rare: NDArray[np.bool_]
) -> dict[str, float]:
    """Return the share of rare rows among those dropped to find a share of the wrong labels."""
    found = np.cumsum(wrong[order]) / wrong.sum()
    lost = np.cumsum(rare[order]) / rare.sum()
    shares = {}
    for recall in RECALLS:
        reached = np.flatnonzero(found >= recall)
        shares[f"{recall:.2f}"] = float(lost[reached[0]]) if len(reached) else float("nan")
    return shares


def of_cut(
    dropped: NDArray[np.bool_], wrong: NDArray[np.bool_], rare: NDArray[np.bool_]
) -> dict[str, float]:
    return {
        "recall": float(dropped[wrong].mean()),
        "precision": float(wrong[dropped].mean()) if dropped.any() else float("nan"),
        "rare rows dropped": float(dropped[rare].mean()),
        "other right rows dropped": float(dropped[~wrong & ~rare].mean()),
    }


def one_run(regime: str, seed: int) -> dict[str, Any]:
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    X, y, rare = load(seed)
    given, wrong = make_label_noise(y, 0.2, random_state=seed)
    rare &= ~wrong
    net = network(regime, len(np.unique(y)))
    quadrants = DifficultyQuadrantClassifier(random_state=seed)
    ensemble = ResampledEnsemble(
        net,
        n_members=10,
        train_size=0.8,
        stratify=True,
        readout=quadrants.readout(),
        keep_members=True,
        random_state=seed,
    ).fit(X, given)
    quadrants = quadrants.set_params(estimator=ensemble).fit(X, given)
    ours = LabelErrorScorer(ensemble).fit(X, given)
    neighbors = NeighborConfidenceScorer(net, random_state=seed).fit(X, given)
    last = ensemble.out_of_sample_probability("last")
    quality = get_label_quality_scores(given, last)
    corner = quadrants.extremes("looks_like_a_different_class", len(X))
    inside = quadrants.difficulty_quadrant_[corner] == 1
    return {
        "train accuracy": ensemble.train_accuracy_,
        "rare rows that kept their label": int(rare.sum()),
        "rare rows dropped at recall": {
            "quadrants": dropped_shares(corner[inside], wrong, rare),
            "ours": dropped_shares(np.argsort(-ours.difficulty_, kind="stable"), wrong, rare),
            "neighbours": dropped_shares(
                np.argsort(-neighbors.difficulty_, kind="stable"), wrong, rare
            ),
            "cleanlab": dropped_shares(np.argsort(quality, kind="stable"), wrong, rare),
        },
        "default cut": {
            "quadrants": of_cut(quadrants.difficulty_quadrant_ == 1, wrong, rare),
            "ours": of_cut(ours.error_probability_ > 0.5, wrong, rare),
            "cleanlab": of_cut(find_label_issues(given, last, n_jobs=1), wrong, rare),
        },
    }


def main() -> None:
    parser = argument_parser(__doc__, n_seeds=5)
    parser.set_defaults(name="rare_subgroup")
    args = parser.parse_args()
    prepare(args)
    warnings.filterwarnings("ignore", message=".* have no defined difficulty")
    results: dict[str, Any] = {}
    for regime in FITS:
        runs = []
        for seed in range(args.seeds):
            runs.append(one_run(regime, seed))
            results[regime] = gather(runs)
            write_results(args.name, {"settings": {"fits": FITS}, "results": results})
        found = results[regime]
        print(f"\n{regime}: train accuracy {shown(found['train accuracy'])}")
        for who, shares in found["rare rows dropped at recall"].items():
            columns = "   ".join(f"{recall}: {shown(share)}" for recall, share in shares.items())
            print(f"{who:12} rare rows dropped at recall {columns}")
        for who, of in found["default cut"].items():
            print(f"{who:12} " + "   ".join(f"{name} {shown(value)}" for name, value in of.items()))


if __name__ == "__main__":
    main()
