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

from functools import partial

import numpy as np
from problems import in_regime, load, mlp_net, standardized, with_noise
from report import argument_parser, parse, run_cells
from summaries import Array, Found, share

from sklearn_difficulty import (
    DifficultyQuadrantClassifier,
    LabelErrorScorer,
    NeighborConfidenceScorer,
)
from sklearn_difficulty.training import ResampledEnsemble

DRESS, BAG = 3, 8
N_LARGE, N_RARE, N_OTHER = 2_450, 50, 250
RECALLS = (0.25, 0.5, 0.7, 0.9)
FITS: dict[str, Found] = {
    "stopped early": {"max_epochs": 6, "lr": 5e-4, "batch_size": 64},
    "memorised": {"max_epochs": 40, "lr": 2e-3, "batch_size": 128},
}


def draw(seed: int) -> tuple[Array, Array, Array]:
    """Return rows, labels, and which rows are the rare ones."""
    X, y = load("fashion_mnist")
    rng = np.random.RandomState(seed)
    counts = dict.fromkeys(range(10), N_OTHER) | {DRESS: N_LARGE, BAG: N_RARE}
    rows = np.concatenate([rng.permutation(np.flatnonzero(y == c))[:n] for c, n in counts.items()])
    rows = rng.permutation(rows)
    X, rare = standardized(X[rows], len(rows)), y[rows] == BAG
    labels = np.where(rare, DRESS, y[rows])
    return X, np.unique(labels, return_inverse=True)[1], rare


def dropped_shares(order: Array, wrong: Array, rare: Array) -> dict[str, float]:
    """Return the share of rare rows among those dropped to find a share of the wrong labels."""
    found = np.cumsum(wrong[order]) / wrong.sum()
    lost = np.cumsum(rare[order]) / rare.sum()
    shares = {}
    for recall in RECALLS:
        reached = np.flatnonzero(found >= recall)
        shares[f"{recall:.2f}"] = float(lost[reached[0]]) if len(reached) else float("nan")
    return shares


def of_cut(dropped: Array, wrong: Array, rare: Array) -> dict[str, float]:
    return {
        "recall": share(dropped, wrong),
        "precision": share(wrong, dropped),
        "rare rows dropped": share(dropped, rare),
        "other right rows dropped": share(dropped, ~wrong & ~rare),
    }


def one_run(regime: str, seed: int) -> Found:
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    X, y, rare = draw(seed)
    given, wrong = with_noise(y, "symmetric 20 %", seed)
    rare &= ~wrong
    net = mlp_net(784, (128,) * 3, len(np.unique(y)), **in_regime(regime, FITS[regime]))
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
    corner = quadrants.extremes("looks_like_a_different_class", len(X))
    inside = quadrants.difficulty_quadrant_[corner] == 1
    orders = {
        "quadrants": corner[inside],
        "ours": np.argsort(-ours.difficulty_, kind="stable"),
        "neighbours": np.argsort(-neighbors.difficulty_, kind="stable"),
        "cleanlab": np.argsort(get_label_quality_scores(given, last), kind="stable"),
    }
    cuts = {
        "quadrants": quadrants.difficulty_quadrant_ == 1,
        "ours": ours.error_probability_ > 0.5,
        "cleanlab": find_label_issues(given, last, n_jobs=1),
    }
    return {
        "train accuracy": ensemble.train_accuracy_,
        "rare rows that kept their label": int(rare.sum()),
        "rare rows dropped at recall": {
            who: dropped_shares(order, wrong, rare) for who, order in orders.items()
        },
        "default cut": {who: of_cut(dropped, wrong, rare) for who, dropped in cuts.items()},
    }


def main() -> None:
    args = parse(argument_parser(__doc__, name="rare_subgroup", seeds=5))
    cells = {r: [partial(one_run, r, seed) for seed in range(args.seeds)] for r in FITS}
    run_cells(args, cells, {"fits": FITS})


if __name__ == "__main__":
    main()
