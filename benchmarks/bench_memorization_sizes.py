# SPDX-License-Identifier: BSD-3-Clause
"""What do larger networks memorize, of which rows, and do cheap scores tell?

After M. Lukasik et al., "What do larger image classifiers memorise?" (arXiv:2310.05337): ResNets of
growing depth on CIFAR-100, 400 members a size. Here, for a CPU: 2,000 images of Fashion-MNIST, 10 %
of the labels flipped (symmetric), MLPs of one hidden layer with 8 to 256 units (pixels
standardised, Adam, 40 epochs, batches of 64), and 60 members of every width, trained on the same
random 70 % of the rows.

1. Mean memorization, with its two sides, of every width: of all rows, of flipped and of right ones;
   the share of rows whose memorization is neither near 0 nor near 1 (from 0.25 to 0.75), since the
   paper finds more rows at both ends in larger networks.
2. Which share of the rows has memorization that stays, rises, falls, or turns; the mean curve of
   each kind; which share of each are flipped rows, and of the flipped rows in each.
3. How well scores of a single training of the largest width agree with its memorization, by
   correlation and cosine, as D. Ravikumar et al. have them of CIFAR-100 in "Towards Memorization
   Estimation: Fast, Formal and Free", ICML 2025 (openreview.net/forum?id=KZlQEoEtiu). They call the
   mean loss over epochs cumulative sample loss.
Run: ``python benchmarks/bench_memorization_sizes.py`` (about ten minutes on one core). Members are
kept in results/memorization_sizes_cells as they are finished, and another run goes on with them.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from bench_few_flips import curvature
from problems import mlp_net, split, with_noise
from report import RESULTS, argument_parser, parse, seconds_so_far, write_results
from summaries import Array, Found, detection, gather, nan_mean, pearson, share, show

from sklearn_difficulty import PredictionDepthScorer, TrainingDynamicsScorer, VoGScorer
from sklearn_difficulty.measures.memorization_sizes import CATEGORIES
from sklearn_difficulty.model_selection import MemorizationTrajectory
from sklearn_difficulty.training import TrainingRecord

WIDTHS = (8, 16, 32, 64, 128, 256)
FIT = {"max_epochs": 40, "lr": 1e-3, "batch_size": 64}
NOISE = "symmetric 10 %"
CELLS = RESULTS / "memorization_sizes_cells"
IN_BETWEEN = 0.25, 0.75


def rows_of(seed: int, args: Any) -> tuple[Array, Array, Array]:
    """Return rows, given labels, and which are wrong."""
    X, y, _, _ = split("fashion_mnist", args.rows, 0, seed)
    return X, *with_noise(y, NOISE, seed)


def trajectory_of(X: Array, given: Array, seed: int, args: Any) -> MemorizationTrajectory:
    """Return the fitted trajectory over all widths."""
    sizes = [(str(width), mlp_net(X.shape[1], (width,), **FIT)) for width in WIDTHS]
    return MemorizationTrajectory(
        sizes,
        n_members=args.members,
        random_state=seed,
        cache_dir=CELLS,
        verbose=1,
    ).fit(X, given)


def of_rows(found: MemorizationTrajectory, s: int, rows: Array) -> Found:
    """Return the means of some rows at a width."""
    return {
        name: float(nan_mean(getattr(found, f"{name}_")[s, rows]))
        for name in ("memorization", "p_in", "p_out")
    }


def of_sizes(found: MemorizationTrajectory, wrong: Array) -> Found:
    """Return what every width memorizes."""
    summary = found.summary_[lambda table: table["category"] == "all"]
    sizes = {}
    for s, width in enumerate(WIDTHS):
        m, line = found.memorization_[s], summary.iloc[s]
        low, high = IN_BETWEEN
        sizes[str(width)] = {
            "all": of_rows(found, s, np.ones(len(wrong), dtype=bool)),
            "standard error": {
                name: float(line[f"{name}_se"]) for name in ("memorization", "p_in", "p_out")
            },
            "right": of_rows(found, s, ~wrong),
            "flipped": of_rows(found, s, wrong),
            "in between": share((m > low) & (m < high)),
            "finds flipped": detection(wrong, np.nan_to_num(m)),
        }
    return sizes


def of_categories(found: MemorizationTrajectory, wrong: Array) -> Found:
    """Return how many rows are of a kind, how many of these are flipped, and their mean curves."""
    kinds = {}
    for name in CATEGORIES:
        rows = found.category_ == name
        kinds[name] = {
            "share": share(rows),
            "flipped among them": share(wrong, rows),
            "of the flipped": share(rows, wrong),
            "of the right": share(rows, ~wrong),
            "lift": share(wrong, rows) / share(wrong),
        } | {
            f"{quantity} at {width}": of_rows(found, s, rows)[quantity]
            for quantity in ("memorization", "p_in", "p_out")
            for s, width in enumerate(WIDTHS)
        }
    return kinds


def agreement(score: Array, memorization: Array) -> Found:
    """Return correlation and cosine of a score with the memorization, where both are defined."""
    both = np.isfinite(score) & np.isfinite(memorization)
    a, b = score[both].astype(np.float64), memorization[both]
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    return {
        "pearson": pearson(a, b),
        "cosine": float(a @ b) / norms if norms else math.nan,
        "defined": share(both),
    }


def of_cheap_scores(X: Array, given: Array, wrong: Array, m: Array, seed: int) -> Found:
    """Return how well the scores of one training agree with memorization, and find flips."""
    net = mlp_net(X.shape[1], (WIDTHS[-1],), **FIT)
    record = TrainingRecord.from_fit(net, X, given, random_state=seed)
    scorers = {
        measure: TrainingDynamicsScorer(record, measure=measure)
        for measure in ("loss", "confidence", "forgetting", "iteration_learned", "final_loss")
    } | {
        "vog": VoGScorer(record, normalize=None),
        "vog, loss": VoGScorer(record, target="loss", normalize=None),
        "prediction_depth": PredictionDepthScorer(record, undefined="max"),
    }
    scores = {name: scorer.fit(X, given).difficulty_ for name, scorer in scorers.items()}
    scores["confidence"] = scores["confidence"] + 1  # one minus the mean probability
    scores["curvature"] = curvature(record, X, given, seed)
    return {
        name: agreement(score, m) | {"auroc": detection(wrong, np.nan_to_num(score))["auroc"]}
        for name, score in scores.items()
    }


def one_run(seed: int, args: Any) -> Found:
    """Return the numbers of one seed."""
    X, given, wrong = rows_of(seed, args)
    found = trajectory_of(X, given, seed, args)
    return {
        "sizes": of_sizes(found, wrong),
        "categories": of_categories(found, wrong),
        "cheap scores": of_cheap_scores(X, given, wrong, found.memorization_[-1], seed),
        "undefined": found.n_undefined_,
        "stacked": share(np.array(found.backends_) == "stacked"),
    }


def options(description: str, name: str) -> Any:
    """Return what a script is asked for."""
    parser = argument_parser(
        description,
        name=name,
        seeds=3,
        quick=True,
        rows=(2_000, "of Fashion-MNIST"),
        members=(60, "of every size"),
    )
    args = parse(parser)
    if args.quick:
        args.rows, args.members, args.seeds = 300, 6, 1
    return args


def run_seeds(args: Any, run: Callable[[int, Any], Found], **settings: Any) -> None:
    """Run the seeds, and write after each what is there."""
    settings |= {"rows": args.rows, "members": args.members, "fit": FIT, "noise": NOISE}
    runs = []
    for seed in range(args.seeds):
        runs.append(run(seed, args))
        results = gather(runs)
        show(f"{seed + 1} seeds: {seconds_so_far()} s", results)
        write_results(args, results, settings=settings)


if __name__ == "__main__":
    run_seeds(options(__doc__, "memorization_sizes"), one_run)
