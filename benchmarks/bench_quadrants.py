# SPDX-License-Identifier: BSD-3-Clause
"""Do the four kinds of difficulty mean what they are named after, and do they find wrong labels?

Claims of Baldock et al. (2021; section or figure in brackets), and what a user asks beyond them:

1. Mislabelled rows gather where rows "look like a different class" (4). Precision and recall of the
   rows nearest that corner; what share of the wrong labels every quadrant holds, and what share of
   the rightly labelled ones (the paper: "visually confusing images" are there, too); whether
   `suggested_label_` is right; average precision beside the other scores of the same networks.
2. Depth bounds consensus-consistency from below, linearly (3.1, figures 3 and 4). Correlations, and
   in bins of held-out depth the 1 % and 5 % quantiles of consensus-consistency (rows of all seeds),
   the least-squares line through the latter and its R^2, and the share of rows below the line from
   (0, 1) to (1, 1 / number of classes). Once with the votes of the members that held a row out, a
   few, and once for unseen rows, on which all members vote.
3. A middle probe is right where the network is wrong (4: 98 % against 25 %). Accuracy of the
   probes and of the networks that held the row out, for the rows nearest the corner "ambiguous
   without label". *These rows are chosen by depths that know the labels.* Hence two controls
   without labels: the rows that are decided latest when held out, and unseen rows near that corner
   as `depths` places them without labels. Confidence and accuracy by probe for all corners (figure
   8).
4. How well the trained-on depth that `DifficultyQuadrantClassifier` estimates for unseen rows
   agrees with measured ones: every member estimates it for the rows that it held out. Not quite
   unseen: each has been one of many neighbours when the depths of its neighbours were measured.
5. Memorization of wrong and right labels, with its standard error. From the same members, trained
   on 90 % of the rows, where `MemorizationScorer` takes 70 % by default.

Labels: "flipped", 20 % symmetric errors, memorised (train accuracy above 99 %); "clean", the labels
as published, memorised, too; "stopped", flipped and stopped after 8 epochs. Data: 2,000 training
and 1,000 unseen rows of Fashion-MNIST; 1,400 and 397 digits, flipped only. Networks: MLP with four
hidden layers of 256 units, pixels standardised, Adam with a cosine schedule ("stopped": a small
constant rate); batches of 120, since a last batch of few rows upsets Adam. 20 members, splits at
random, so that every row is held out twice. Seeds differ in the rows, the wrong labels and the
networks; unseen rows are those after them in the seed's order. A row without a score counts as the
hardest. The figures are of all seeds together, but figure 7 of the first.

Run: ``python benchmarks/bench_quadrants.py`` (25 minutes on a core that other work used, too). The
file is written anew after every seed.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from problems import MEMORISED, STOPPED, in_regime, mlp_net, split, with_noise
from report import argument_parser, parse, write_results
from scipy.stats import spearmanr
from skorch import NeuralNetClassifier
from summaries import Array, Found, detection, gather, nan_mean, pearson, share, show
from timing import Stopwatch

from sklearn_difficulty import DifficultyQuadrantClassifier, TrainingRecord
from sklearn_difficulty.inference.nearest import count_votes, majority
from sklearn_difficulty.inference.probing import DepthReadout
from sklearn_difficulty.measures import (
    consensus_class,
    consensus_consistency,
    corner_distances,
    difficulty_quadrants,
    memorization,
    prediction_depth,
)
from sklearn_difficulty.measures.quadrants import QUADRANT_NAMES
from sklearn_difficulty.rows.rows import ArrayRows
from sklearn_difficulty.training import ResampledEnsemble

C = 10  # classes
LOOKS_DIFFERENT, UNSURE = (
    QUADRANT_NAMES.index(name)
    for name in ("looks_like_a_different_class", "ambiguous_without_label")
)
FITS: dict[str, Found] = {
    "Fashion-MNIST, flipped": {"max_epochs": 40, "lr": 2e-3},
    "Fashion-MNIST, clean": {"max_epochs": 20, "lr": 2e-3},
    "Fashion-MNIST, stopped": {"max_epochs": 8, "lr": 3e-4},
    "digits, flipped": {"max_epochs": 30, "lr": 3e-3},
}
NEAREST = (100, 200, 400)
N_CORNER = 100
CORNER_SHARE_UNSEEN = 0.05
BINS = np.linspace(0, 1, 11)
FEWEST_IN_BIN = 50


# -------------------------------------------------------------------------- the data, the networks


def draw(data: str, seed: int, args: Any) -> tuple[Array, ...]:
    """Return training rows (pixels standardised) and labels, unseen rows and labels."""
    if data == "digits":
        return split("digits", 1_400, 397, seed)
    return split("fashion_mnist", args.rows, args.unseen, seed)


def network(name: str, n_inputs: int, args: Any) -> NeuralNetClassifier:
    """Return an untrained net."""
    regime = STOPPED if name.endswith("stopped") else MEMORISED
    return mlp_net(
        n_inputs,
        (args.width,) * 4,
        n_outputs=C,
        optimizer__fused=True,
        batch_size=120,
        device=args.device,
        **in_regime(regime, FITS[name], slowdown=math.inf),
    )


# -------------------------------------------------------------------------------- the probes' votes


@dataclass(frozen=True)
class HeldOutVotes:
    """Reads from a member how the probes vote on rows that it was not trained on."""

    unseen: Any
    depth: DepthReadout = field(default_factory=DepthReadout)

    def __call__(
        self, record: TrainingRecord, X: Any, codes: Any, trained_on: Any
    ) -> dict[str, Array]:
        """Return the votes on held-out rows, and their majorities there and for unseen rows.

        votes (n_probes, n_held_out, n_classes), winners (n_probes, n_held_out), unseen_winners
        (n_probes, n_unseen).
        """
        bank = self.depth.bank(record, ArrayRows(X), codes, trained_on)
        rows = np.concatenate([X[~trained_on], self.unseen])
        n_out = np.count_nonzero(~trained_on)
        votes, winners = [], []
        for found in bank.nearest(ArrayRows(rows), self.depth.n_neighbors):
            labels = bank.codes[found.positions]
            votes.append(count_votes(labels[:n_out], C).astype(np.uint8))
            winners.append(majority(labels, found.distances, C, "nearest")[0].astype(np.int8))
        both = np.stack(winners)
        return {
            "votes": np.stack(votes),
            "winners": both[:, :n_out],
            "unseen_winners": both[:, n_out:],
        }


class HeldOut:
    """What probes and networks say about a row, on average over the members that held it out."""

    def __init__(self, ensemble: ResampledEnsemble) -> None:
        self._out = ~ensemble.masks_
        self._votes, self._winners = (ensemble.readout_[kind] for kind in ("votes", "winners"))
        pairs = zip(ensemble.predictions_, self._out, strict=True)
        self._predicted = [predictions[out] for predictions, out in pairs]

    def confidence(self, labels: Any) -> Array:
        """Return the share of the neighbours that has the rows' labels, (n_probes, n)."""
        return self._mean(
            np.take_along_axis(votes, labels[out][None, :, None], axis=2)[:, :, 0]
            / votes[0, 0].sum()
            for votes, out in zip(self._votes, self._out, strict=True)
        )

    def accuracy(self, labels: Any) -> Array:
        """Return how often a probe votes for the rows' labels, (n_probes, n)."""
        return self._mean(w == labels[out] for w, out in zip(self._winners, self._out, strict=True))

    def network(self, labels: Any) -> Array:
        """Return how often the network predicts the rows' labels, (n,)."""
        pairs = zip(self._predicted, self._out, strict=True)
        return self._mean((predicted == labels[out])[None] for predicted, out in pairs)[0]

    def depth(self) -> Array:
        """Return the mean depth (n,), to be held to that of the estimator."""
        pairs, deepest = zip(self._winners, self._predicted, strict=True), len(self._winners[0]) - 1
        return self._mean(prediction_depth(*pair)[None] / deepest for pair in pairs)[0]

    def _mean(self, of_members: Iterable[Any]) -> Array:
        total: Any = 0
        for out, values in zip(self._out, of_members, strict=True):
            of_all = np.zeros((len(values), len(out)))
            of_all[:, out] = values
            total = total + of_all
        return total / self._out.sum(axis=0)


# ------------------------------------------------------------------------------------ the readings


def correlations(a: Any, b: Any) -> dict[str, float]:
    both = np.isfinite(a) & np.isfinite(b)
    is_constant = both.sum() < 3 or np.ptp(a[both]) == 0 or np.ptp(b[both]) == 0
    spearman = np.nan if is_constant else float(spearmanr(a[both], b[both]).statistic)
    return {"pearson": pearson(a, b), "spearman": spearman}


def hardest_if_undefined(score: Any) -> Array:
    return np.where(np.isfinite(score), score, np.nanmax(score))


def read_fit(ensemble: ResampledEnsemble, quadrants: Any, y: Any, given: Any) -> Found:
    """Return how well the members know the labels, and where the axes are cut."""
    masks, predictions = ensemble.masks_, ensemble.predictions_
    return {
        "train accuracy, given labels": share((predictions == given)[masks]),
        "train accuracy, true labels": share((predictions == y)[masks]),
        "held-out accuracy, given labels": share((predictions == given)[~masks]),
        "held-out accuracy, true labels": share((predictions == y)[~masks]),
        "undefined held-out depths": share(np.isnan(quadrants.validation_depth_)),
        "undefined training depths": share(np.isnan(quadrants.train_depth_)),
        "threshold, held out": quadrants.thresholds_[0],
        "threshold, trained on": quadrants.thresholds_[1],
    }


def read_corners(quadrants: Any, held_out: HeldOut, y: Any, given: Any) -> Found:
    """Return what the rows nearest every corner are, and figure 8 for them."""
    consensus = quadrants.consensus_class_
    kinds = {"given": given, "true": y, "consensus": consensus}
    confidence = {kind: held_out.confidence(labels) for kind, labels in kinds.items()}
    accuracy = {kind: held_out.accuracy(labels) for kind, labels in kinds.items()}
    network = {kind: held_out.network(labels) for kind, labels in kinds.items()}
    latest = np.argsort(-hardest_if_undefined(quadrants.validation_depth_), kind="stable")
    chosen = {name: quadrants.extremes(name, N_CORNER) for name in QUADRANT_NAMES}
    chosen |= {"decided latest": latest[:N_CORNER], "all rows": np.arange(len(y))}
    found = {}
    for name, rows in chosen.items():
        n_probes = len(accuracy["true"])
        middle = (n_probes - 1) // 2
        of_probes = {kind: accuracy[kind][:, rows].mean(axis=1) for kind in kinds}
        of_network = {kind: float(network[kind][rows].mean()) for kind in kinds}
        found[name] = {
            "label wrong": share((given != y)[rows]),
            "consensus is given": share((consensus == given)[rows]),
            "consensus is true": share((consensus == y)[rows]),
            "consensus-consistency": float(np.mean(quadrants.consensus_consistency_[rows])),
            "consistency": float(np.mean(quadrants.consistency_[rows])),
            "held-out depth": float(np.nanmean(quadrants.validation_depth_[rows])),
            "training depth": float(np.nanmean(quadrants.train_depth_[rows])),
            "probes, confidence": {k: confidence[k][:, rows].mean(axis=1) for k in kinds},
            "probes, accuracy": of_probes,
            "network": of_network,
            "middle minus network": {k: of_probes[k][middle] - of_network[k] for k in kinds},
        }
    return found


def read_wrong_labels(ensemble: ResampledEnsemble, quadrants: Any, y: Any, given: Any) -> Found:
    """Return how well the corner finds the wrong labels, beside other scores."""
    wrong, code = given != y, quadrants.difficulty_quadrant_
    nearest = {}
    for n in NEAREST:
        rows = quadrants.extremes(LOOKS_DIFFERENT, n)
        nearest[str(n)] = {
            "precision": share(wrong[rows]),
            "recall": float(wrong[rows].sum() / wrong.sum()),
            "right labels among them": int((~wrong[rows]).sum()),
            "share of all right labels": float((~wrong[rows]).sum() / (~wrong).sum()),
            "consensus is true": share((quadrants.consensus_class_ == y)[rows]),
        }
    inside = code == LOOKS_DIFFERENT
    suggested_right = quadrants.suggested_label_ == y
    look_alike = quadrants.consensus_class_ != given
    at = np.arange(len(y)), given
    scores = {
        "corner": -quadrants.corner_distance_[:, LOOKS_DIFFERENT],
        "distance from easy": quadrants.corner_distance_[:, 0],
        "training depth": quadrants.train_depth_,
        "held-out depth": quadrants.validation_depth_,
        "1 - consistency": 1 - quadrants.consistency_,
        "memorization": quadrants.memorization_,
        "1 - p(given), held out, epochs": 1 - ensemble.out_of_sample_probability("epochs")[at],
        "1 - p(given), held out, last": 1 - ensemble.out_of_sample_probability("last")[at],
    }
    return {
        "nearest": nearest,
        "quadrants": {
            name: {
                "share of rows": share(code == q),
                "share of wrong labels": share(code == q, wrong),
                "share of right labels": share(code == q, ~wrong),
                "labels wrong": share(wrong, code == q),
            }
            for q, name in enumerate(QUADRANT_NAMES)
        },
        "suggested label is true": {
            "in the quadrant": share(suggested_right, inside),
            "in the quadrant, label wrong": share(suggested_right, inside & wrong),
            "in the quadrant, label right": share(suggested_right, inside & ~wrong),
            "all rows": share(suggested_right),
            "all rows, given label instead": share(~wrong),
        },
        "right labels in the quadrant, consensus is another": share(look_alike, inside & ~wrong),
        "found": {k: detection(wrong, hardest_if_undefined(s)) for k, s in scores.items()},
    }


def read_quadrants(quadrants: Any, given: Any) -> Found:
    """Return the shares of the quadrants, and how often the networks contradict the label there."""
    code = quadrants.difficulty_quadrant_
    contradicted = quadrants.consensus_class_ != given
    return {
        name: {
            "share of rows": share(code == q),
            "consensus is another": share(contradicted, code == q),
        }
        for q, name in enumerate(QUADRANT_NAMES)
    }


def read_consistency(depth: Any, consensus: Any, consistency: Any, agrees: Any) -> Found:
    """Return the correlations of depth with both consistencies."""
    return {
        "consensus-consistency": correlations(depth, consensus),
        "consistency": correlations(depth, consistency),
        "consistency, consensus is the label": correlations(depth[agrees], consistency[agrees]),
        "consistency, consensus is another": correlations(depth[~agrees], consistency[~agrees]),
        "below the diagonal": share(consensus < diagonal(depth) - 1e-9, np.isfinite(depth)),
        "consensus is another, above the mirrored diagonal": share(
            consistency > 1 - diagonal(depth) + 1e-9, np.isfinite(depth) & ~agrees
        ),
    }


def diagonal(depth: Any) -> Any:
    """Return the line from (0, 1) to (1, 1 / C)."""
    return 1 - (1 - 1 / C) * depth


def read_unseen(winners: Any, predicted: Any, estimated: Any, y_new: Any) -> tuple[Found, Found]:
    """Return claims 2 and 3 on unseen rows, and what claim 2 pools over seeds."""
    n_probes = winners.shape[1]
    depth = np.stack([prediction_depth(*pair) for pair in zip(winners, predicted, strict=True)])
    mean_depth = nan_mean(depth) / (n_probes - 1)
    arrays = {
        "depth": mean_depth,
        "consensus": consensus_consistency(predicted),
        "consistency": (predicted == y_new).mean(axis=0),
        "agrees": consensus_class(predicted, given=y_new) == y_new,
    }
    run = {
        "accuracy": share(predicted == y_new),
        "consistency": read_consistency(**arrays),
        "one member": one_member(depth, predicted, y_new, n_probes),
        "rows": {},
    }
    placed = corner_distances(mean_depth, estimated)[:, UNSURE]
    n_corner = round(CORNER_SHARE_UNSEEN * len(y_new))
    chosen = {
        "near the corner, labels unknown": np.argsort(placed, kind="stable")[:n_corner],
        "decided latest": np.argsort(-hardest_if_undefined(mean_depth), kind="stable")[:n_corner],
        "all rows": np.arange(len(y_new)),
    }
    middle = (n_probes - 1) // 2
    for name, rows in chosen.items():
        of_probes = (winners == y_new)[:, :, rows].mean(axis=(0, 2))
        of_network = share((predicted == y_new)[:, rows].ravel())
        # The members' votes together, which is what one would use.
        together = [
            share(consensus_class(votes[:, rows].astype(np.int64)) == y_new[rows])
            for votes in (winners[:, middle], predicted)
        ]
        run["rows"][name] = {
            "network": of_network,
            "probes": of_probes,
            "middle minus network": of_probes[middle] - of_network,
            "middle minus network, members together": together[0] - together[1],
        }
    return run, arrays


def one_member(depth: Any, predicted: Any, y_new: Any, n_probes: int) -> Found:
    """Return what the depth in one member says about the others, and about its own accuracy."""
    found: Found = {"spearman": []}
    counts = np.zeros((4, n_probes))
    for k in range(len(depth)):
        others = consensus_consistency(np.delete(predicted, k, axis=0))
        defined = np.isfinite(depth[k])
        found["spearman"].append(spearmanr(depth[k][defined], others[defined]).statistic)
        level = depth[k][defined].astype(int)
        right = (predicted[k] == y_new)[defined]
        for row, weights in zip(counts, (None, right, others[defined], None), strict=True):
            row += np.bincount(level, weights, minlength=n_probes)
    with np.errstate(invalid="ignore"):
        return {
            "spearman with the others' consensus-consistency": float(np.mean(found["spearman"])),
            "share of rows by depth": counts[0] / counts[0].sum(),
            "accuracy by depth": counts[1] / counts[0],
            "others' consensus-consistency by depth": counts[2] / counts[0],
        }


def estimate(
    ensemble: ResampledEnsemble, quadrants: Any, X: Any, given: Any, X_new: Any, predicted: Any
) -> tuple[Array, Array]:
    """Return estimates of the trained-on depth.

    Of the rows of the ensemble, by the members that held them out, with the given label and with
    the predicted class, (2, n); and of unseen rows, by all members with the predicted class.
    """
    n = len(given)
    found = np.full((len(ensemble.masks_), 2 * n + len(X_new)), np.nan)
    for k, mask in enumerate(ensemble.masks_):
        out, trained_on = np.flatnonzero(~mask), np.flatnonzero(mask)
        rows = np.concatenate([X[out], X[out], X_new])
        labels = np.concatenate([given[out], ensemble.predictions_[k, out], predicted[k]])
        where = np.concatenate([out, n + out, np.arange(2 * n, found.shape[1])])
        found[k, where] = quadrants._estimated(
            ensemble.record(k), trained_on, ArrayRows(rows), labels
        )
    means = nan_mean(found)
    return means[: 2 * n].reshape(2, n), means[2 * n :]


def read_estimates(estimates: Array, quadrants: Any, y: Any, given: Any) -> Found:
    """Return how well the estimated trained-on depth agrees with the measured one."""
    measured, cut = quadrants.train_depth_, quadrants.thresholds_[1]
    defined = np.isfinite(measured) & np.isfinite(estimates).all(axis=0)
    parts = {"all rows": defined}
    if (given != y).any():
        parts |= {"label wrong": defined & (given != y), "label right": defined & (given == y)}
    parts["consensus is the label"] = defined & (quadrants.consensus_class_ == given)
    result: Found = {}
    for kind, of_kind in zip(("given label", "predicted class"), estimates, strict=True):
        codes = difficulty_quadrants(
            quadrants.validation_depth_, of_kind, tuple(quadrants.thresholds_)
        )
        result[kind] = {
            part: {
                **correlations(of_kind[rows], measured[rows]),
                "same side of the cut": share((of_kind > cut) == (measured > cut), rows),
                "measured: below the cut": share(measured <= cut, rows),
                "estimated: below the cut": share(of_kind <= cut, rows),
                "same quadrant": share(codes == quadrants.difficulty_quadrant_, rows),
                "mean estimate": float(of_kind[rows].mean()) if rows.any() else np.nan,
                "mean measured": float(measured[rows].mean()) if rows.any() else np.nan,
            }
            for part, rows in parts.items()
        }
    return result


def read_memorization(ensemble: ResampledEnsemble, y: Any, given: Any) -> Found:
    """Return memorization and both of its parts for wrong and for right labels."""
    found = memorization(ensemble.predictions_ == given, ensemble.masks_)
    parts = {"label right": given == y}
    if (given != y).any():
        parts["label wrong"] = given != y
    return {
        part: {
            name: float(np.nanmean(getattr(found, name)[rows]))
            for name in ("p_in", "p_out", "memorization", "standard_error")
        }
        for part, rows in parts.items()
    }


def check_unseen(quadrants: Any, X_new: Any, predicted: Any, winners: Any, estimated: Any) -> None:
    """Hold what was read at once for all members to what the estimator says of a few rows."""
    few = slice(0, 20)
    depth = [prediction_depth(w[:, few], p[few]) for w, p in zip(winners, predicted, strict=True)]
    expected = np.nanmean(depth, axis=0) / (winners.shape[1] - 1), estimated[few]
    found = quadrants.depths(X_new[few])
    assert np.isclose(found, np.stack(expected, axis=1), atol=1e-5).mean() > 0.9


def one_run(name: str, seed: int, args: Any) -> tuple[Found, Found]:
    """Train one ensemble and return every number of this seed, and what is pooled over seeds."""
    data, labels = name.split(", ")
    X, y, X_new, y_new = draw(data, seed, args)
    given = y if labels == "clean" else with_noise(y, "symmetric 20 %", seed)[0]
    watch = Stopwatch()
    ensemble = ResampledEnsemble(
        network(name, X.shape[1], args),
        n_members=args.members,
        backend="stacked",
        readout=HeldOutVotes(X_new),
        keep_members=True,
        random_state=seed,
    ).fit(X, given)
    seconds = {"training": watch.lap()}
    quadrants = DifficultyQuadrantClassifier(ensemble).fit(X, given)
    held_out = HeldOut(ensemble)
    depth = held_out.depth()  # NaN where a member defines none
    same = np.isclose(depth, quadrants.validation_depth_, atol=1e-5)
    assert share(same, np.isfinite(depth)) > 0.99

    run: Found = {"rows": len(y), "labels wrong": share(given != y)}
    run |= read_fit(ensemble, quadrants, y, given)
    run["quadrants"] = read_quadrants(quadrants, given)
    run["corners"] = read_corners(quadrants, held_out, y, given)
    if labels != "clean":
        run["wrong labels"] = read_wrong_labels(ensemble, quadrants, y, given)
    arrays = {
        "depth": quadrants.validation_depth_,
        "consensus": quadrants.consensus_consistency_,
        "consistency": quadrants.consistency_,
        "agrees": quadrants.consensus_class_ == given,
    }
    run["held out"] = read_consistency(**arrays)
    winners = ensemble.readout_["unseen_winners"]
    predicted = ensemble.member_probability(X_new).argmax(axis=2)
    estimates, of_new = estimate(ensemble, quadrants, X, given, X_new, predicted)
    run["unseen"], of_unseen = read_unseen(winners, predicted, of_new, y_new)
    run["estimated training depth"] = read_estimates(estimates, quadrants, y, given)
    run["memorization"] = read_memorization(ensemble, y, given)
    run["seconds"] = seconds | {"reading": watch.lap()}
    show(f"{name}, seed {seed}", {"train accuracy": run["train accuracy, given labels"], **seconds})
    pooled = {"held out": arrays, "unseen": of_unseen}
    if seed == 0:
        check_unseen(quadrants, X_new, predicted, winners, of_new)
        n_levels = round((winners.shape[1] - 1) * (~ensemble.masks_).sum(axis=0).mean())
        pooled["figure 7"] = histograms(
            arrays["depth"], quadrants.train_depth_, arrays["agrees"], n_levels
        )
    return run, pooled


# ----------------------------------------------------------------------- figures, over all seeds


def histograms(validation: Any, train: Any, agrees: Any, n_levels: int) -> Found:
    """Return counts on a grid; the held-out depth, a mean of few, has a bin for every value."""
    edges = (np.arange(n_levels + 2) - 0.5) / n_levels, np.linspace(0, 1, 21)
    counts = {
        part: np.histogram2d(validation[rows], train[rows], bins=edges)[0].astype(int)
        for part, rows in {
            "all rows": np.ones(len(agrees), dtype=bool),
            "consensus is given": agrees,
            "consensus is another": ~agrees,
        }.items()
    }
    return {"edges, held out": edges[0], "edges, trained on": edges[1], **counts}


def bound(arrays: list[Found]) -> Found:
    """Return the quantiles of consensus-consistency by depth, and the line through them."""
    depth, consensus, consistency, agrees = (
        np.concatenate([a[key] for a in arrays])
        for key in ("depth", "consensus", "consistency", "agrees")
    )
    bin_of = np.where(np.isfinite(depth), np.digitize(depth, BINS[1:-1]), -1)
    table: dict[str, list[float]] = {}

    def add(name: str, values: Any, q: float | None) -> None:
        enough = len(values) >= FEWEST_IN_BIN
        number = np.nan if not enough else values.mean() if q is None else np.quantile(values, q)
        table.setdefault(name, []).append(float(number))

    for b in range(len(BINS) - 1):
        inside = bin_of == b
        table.setdefault("rows", []).append(int(inside.sum()))
        table.setdefault("consensus is the label", []).append(share(agrees, inside))
        add("mean depth", depth[inside], None)
        for q, shown_as in ((None, "mean"), (0.01, "1 %"), (0.05, "5 %"), (0.5, "50 %")):
            add(f"consensus-consistency, {shown_as}", consensus[inside], q)
        add("consistency where it is, 5 %", consistency[inside & agrees], 0.05)
        add("consistency where it is another, 95 %", consistency[inside & ~agrees], 0.95)
    x, low = (np.array(table[key]) for key in ("mean depth", "consensus-consistency, 5 %"))
    there = np.isfinite(low)
    found = {"edges": BINS, **table}
    if there.sum() >= 3 and np.ptp(low[there]) > 0:
        slope, intercept = np.polyfit(x[there], low[there], 1)
        residual = low[there] - (slope * x[there] + intercept)
        line = intercept + slope * depth[np.isfinite(depth)]
        found["line through the 5 % quantiles"] = {
            "slope": slope,
            "intercept": intercept,
            "r2": 1 - residual.var() / low[there].var(),
            "bins": int(there.sum()),
            "rows below it": share(consensus[np.isfinite(depth)] < line - 1e-9),
        }
    return found


def over_seeds_of(runs: list[Found], arrays: list[Found]) -> Found:
    """Return means and standard errors, and the figures."""
    figures = {"figure 7, seed 0": arrays[0]["figure 7"]}
    figures["bound, held out"] = bound([a["held out"] for a in arrays])
    figures["bound, unseen"] = bound([a["unseen"] for a in arrays])
    return gather(runs) | {"figures": figures}


def main() -> None:
    parser = argument_parser(
        __doc__,
        name="quadrants",
        seeds=5,
        rows=(2_000, "training rows of Fashion-MNIST"),
        unseen=(1_000, "unseen rows of Fashion-MNIST"),
        members=20,
        width=(256, "of the four hidden layers"),
    )
    parser.add_argument("--cells", nargs="+", choices=list(FITS), default=list(FITS))
    args = parse(parser)

    settings = vars(args) | {"fits": FITS}
    runs: Found = {name: [] for name in args.cells}
    results: Found = {}
    for seed in range(args.seeds):
        for name in args.cells:
            runs[name].append(one_run(name, seed, args))
            results[name] = over_seeds_of(*(list(part) for part in zip(*runs[name], strict=True)))
        write_results(args, results, settings=settings)
    for name, cell in results.items():
        figures = {key: table for key, table in cell["figures"].items() if "figure 7" not in key}
        show(name, cell | {"figures": figures})


if __name__ == "__main__":
    main()
