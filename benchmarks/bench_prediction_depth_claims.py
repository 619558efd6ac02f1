# SPDX-License-Identifier: BSD-3-Clause
"""Do the published claims about prediction depth hold in small networks, and does depth help?

Claims tested (Baldock et al. 2021; section or figure in brackets), one letter each:

- a: predictions of smaller depth are more often right (3.1). Accuracy of held-out rows by depth;
  AUROC of depth for "misclassified", beside 1 - max softmax.
- b: depth goes with small output and input margins (figure 6): Pearson correlation with the
  logarithm of the margin of the predicted class on held-out rows, for one model, and for the means
  over the seeds.
- c: a harder data set has the larger mean depth (figure 2). "mixed": 0.6 times the image plus 0.4
  times an image of another class, with the label of the first; training and held-out rows alike.
- d: probes see the original label of a mislabelled row first, and the given one in late layers only
  (figure 5). 40 % of the labels drawn anew from all classes, fixed; mislabelled rows are those
  whose label changed.
- e: a zero-margin hinge loss with full-batch gradient descent and a small learning rate makes small
  margins and large depths (3.3), against cross-entropy and SGD; 1,000 rows, the MLP.
- f: finding 20 % symmetric flips: depth of the training rows, the neighbours' confidence in the
  given label, its margins and 1 - its probability at the end, in a network that memorised the
  labels and in one that was stopped early; number of neighbours, ties, and a row as its own
  neighbour.
- g: how often depth is undefined, and whether middle probes beat the network on the held-out rows
  with the smallest output margin (section 4 has 98 % against 25 % for rows chosen by depth).

Networks: "MLP", seven hidden layers of 128 units; "VGG16", the library's, narrow, on images
averaged to 14 x 14. Adam with a cosine schedule, until the given labels are memorised (train
accuracy in the JSON). Seeds differ in the training rows (digits: all the same), initialisation,
row order and noise; held-out rows are the same for all seeds. Everything is read from one record a
training.

Run: ``python benchmarks/bench_prediction_depth_claims.py`` (42 minutes on a core that other work
used too); ``--only`` repeats some parts and leaves the others in the file as they are.
"""

import json
import math
from typing import Any

import numpy as np
import torch
from problems import MEMORISED, STOPPED, images, in_regime, load, mlp_net, net, with_noise
from report import RESULTS, argument_parser, parse, write_results
from scipy.stats import spearmanr
from skorch import NeuralNetClassifier
from summaries import Array, Found, detection, gather, minus, nan_mean, pearson, share, show
from timing import Stopwatch
from torch.utils.data import DataLoader

from sklearn_difficulty import (
    MarginScorer,
    NeighborConfidenceScorer,
    PredictionDepthScorer,
    TrainingRecord,
)
from sklearn_difficulty.inference.nearest import majority
from sklearn_difficulty.measures import prediction_depth
from sklearn_difficulty.rows.rows import ArrayRows
from sklearn_difficulty.training import VGG16, ZeroMarginHingeLoss

K = 30
KS = (5, 30, 100)
PAIRS = (
    ("neighbours, k = 30", "1 - p(given)"),
    ("depth, k = 30", "1 - p(given)"),
    ("neighbours, k = 30", "depth, k = 30"),
    ("depth, ties lowest", "depth, k = 30"),
    ("depth, own neighbour", "depth, k = 30"),
    ("neighbours, own neighbour", "neighbours, k = 30"),
)
EPOCHS = {
    "MLP, Fashion-MNIST": {"clean": 60, "mixed": 60, "random": 160, "flipped": 150, "stopped": 20},
    "VGG16, Fashion-MNIST": {"clean": 60, "mixed": 50, "random": 85, "flipped": 95, "stopped": 20},
    "MLP, digits": {"clean": 40, "random": 160, "flipped": 220, "stopped": 18},
}
RATE = {"MLP": 1e-3, "VGG16": 2e-3}
PROGRESS = ("train accuracy, given labels", "training depth", "seconds training", "seconds reading")


class ArrayLoader(DataLoader):
    """Indexes the arrays once a batch, which takes half the time that joining rows takes."""

    def __iter__(self) -> Any:
        X, y = (torch.as_tensor(a) for a in (self.dataset.X, self.dataset.y))
        for rows in self.batch_sampler:
            yield X[rows], y[rows]


# ---------------------------------------------------------------------------------------- the data


def draw(name: str, seed: int, args: Any) -> dict[str, Array]:
    """Return the training rows of a seed and the held-out rows of all seeds."""
    if name == "digits":
        X, y = load("digits")
        order = np.random.RandomState(0).permutation(len(y))
        new, old = order[:597], order[597:]
        X = X.astype(np.float32)
        return {"X": X[old], "y": y[old], "X_new": X[new], "y_new": y[new]}
    X, y = images("train", args.rows, np.random.RandomState(seed))
    X_new, y_new = images("test", args.held_out, np.random.RandomState(0))
    return {"X": X, "y": y, "X_new": X_new, "y_new": y_new}


def mixed(X: Array, y: Array, seed: int) -> Array:
    """Return 0.6 times every image plus 0.4 times one of another class."""
    rng = np.random.RandomState(seed)
    others = np.array([rng.choice(np.flatnonzero(y != label)) for label in y])
    return np.asarray(0.6 * X + 0.4 * X[others], dtype=np.float32)


def shaped(X: Array, network: str) -> Array:
    """Return images as the network wants them."""
    if network == "MLP":
        return X.reshape(len(X), -1)
    halves = X.reshape(len(X), 1, 14, 2, 14, 2)
    return np.asarray(halves.mean(axis=(3, 5)), dtype=np.float32)


# ------------------------------------------------------------------------------------- the networks


def network(kind: str, X: Array, args: Any, **settings: Any) -> NeuralNetClassifier:
    """Return an untrained net."""
    mean, scale = float(X.mean()), float(X.std())
    settings = {
        "batch_size": args.batch_size,
        "iterator_train": ArrayLoader,
        "callbacks__print_log": None,
        "device": args.device,
    } | settings
    if kind == "MLP":
        n = X.shape[1]
        spread = {"module__mean": np.full(n, mean), "module__scale": np.full(n, scale)}
        return mlp_net(n, (args.width,) * 7, **spread, **settings)
    return net(
        VGG16,
        module__n_channels=1,
        module__channels=tuple(args.channels),
        module__n_outputs=10,
        module__mean=mean,
        module__scale=scale,
        **settings,
    )


def train(name: str, labels: str, X: Any, given: Any, seed: int, args: Any) -> TrainingRecord:
    """Train one network on the given labels."""
    kind, epochs = name.split(",")[0], EPOCHS[name][labels]
    regime = STOPPED if labels == "stopped" else MEMORISED
    fit = in_regime(regime, {"max_epochs": epochs, "lr": RATE[kind]}, slowdown=math.inf)
    untrained = network(kind, X, args, **fit)
    return TrainingRecord.from_fit(untrained, X, given, checkpoints=[epochs], random_state=seed)


# ------------------------------------------------------------------------------------ the readings


def log_margins(record: TrainingRecord, X: Any, y: Any, X_new: Any) -> dict[str, Array]:
    """Return the logarithm of both margins of the predicted class of held-out rows."""
    found = {}
    for kind in ("output", "input"):
        margin = -MarginScorer(record, kind=kind).fit(X, y).score_samples(X_new)
        found[kind] = np.log(np.where(margin > 0, margin, np.nan).astype(np.float64))
    return found


def against_network(probes: Any, predicted: Any, y: Any) -> Found:
    """Return the accuracies of network and probes, and by how much each probe is better."""
    of_network, of_probes = share(predicted == y), (probes == y).mean(axis=1)
    gain = of_probes - of_network
    return {
        "network": of_network,
        "probes": of_probes,
        "probe minus network": gain,
        "input minus network": gain[0],
        "middle minus network": gain[(len(gain) - 1) // 2],
    }


def read_held_out(
    record: TrainingRecord, scorer: PredictionDepthScorer, data: Found
) -> tuple[Found, dict[str, Array]]:
    """Return the numbers of claims a, b, c and g, and what claim b averages over seeds."""
    X_new, y_new = data["X_new"], data["y_new"]
    probability = record.net.predict_proba(X_new)
    predicted = probability.argmax(axis=1)
    wrong = predicted != y_new
    n_probes = scorer.max_depth_ + 1
    probes = np.stack([scorer.probe_predict(X_new, i) for i in range(n_probes)])
    depth = prediction_depth(probes, predicted)
    defined = np.isfinite(depth)
    ranked = np.where(defined, depth, scorer.max_depth_)
    margins = log_margins(record, data["X"], data["given"], X_new)
    whole = depth[defined].astype(int)
    n_unsure = len(y_new) // 10
    unsure = np.argsort(margins["output"])[:n_unsure]
    deep = np.argsort(-ranked, kind="stable")[:n_unsure]
    doubt = 1 - probability.max(axis=1)
    run = {
        "held-out accuracy": share(predicted == y_new),
        "held-out depth": float(depth[defined].mean()),
        "held-out depth, median": float(np.median(depth[defined])),
        "held-out undefined": share(~defined),
        "held-out rows by depth": np.bincount(whole, minlength=n_probes),
        "held-out right by depth": np.bincount(whole[~wrong[defined]], minlength=n_probes),
        "spearman of depth and misclassified": float(spearmanr(ranked, wrong).statistic),
        "depth": detection(wrong, ranked),
        "1 - max softmax": detection(wrong, doubt),
        "pearson of depth and 1 - max softmax": pearson(ranked, doubt),
        "log margin": {kind: pearson(depth, margin) for kind, margin in margins.items()},
        "log margin, right rows": {
            kind: pearson(depth[~wrong], margin[~wrong]) for kind, margin in margins.items()
        },
        "all rows": against_network(probes, predicted, y_new),
        "smallest margins": against_network(probes[:, unsure], predicted[unsure], y_new[unsure]),
        "largest depths": against_network(probes[:, deep], predicted[deep], y_new[deep]),
    }
    return run, {"depth": depth, **margins}


def read_training(scorer: PredictionDepthScorer, record: TrainingRecord, data: Any) -> Any:
    """Return the depth of the training rows and what the probes make of their labels."""
    depth, given = scorer.difficulty_, data["given"]
    return {
        "train accuracy, given labels": share(record.net.predict(data["X"]) == given),
        "training depth": float(np.nanmean(depth)),
        "training depth, undefined as largest": float(
            np.where(np.isnan(depth), scorer.max_depth_, depth).mean()
        ),
        "training undefined": share(np.isnan(depth)),
        "probes, training, given labels": (scorer.probe_predictions_.T == given).mean(axis=1),
    }


def read_labels(scorer: PredictionDepthScorer, data: Any) -> Found:
    """Return the inference learning curves of claim d."""
    y, given, probes = data["y"], data["given"], scorer.probe_predictions_.T
    wrong = given != y
    original = (probes[:, wrong] == y[wrong]).mean(axis=1)
    new = (probes[:, wrong] == given[wrong]).mean(axis=1)
    return {
        "mislabelled": share(wrong),
        "mislabelled, original label": original,
        "mislabelled, given label": new,
        "clean": (probes[:, ~wrong] == y[~wrong]).mean(axis=1),
        "probes where the original wins": int((original > new).sum()),
        "last probe where the original wins": int(np.flatnonzero(original > new).max(initial=-1)),
        "held-out": scorer.inference_curve(data["X_new"], data["y_new"]),
    }


def votes(found: Any, data: Any, predicted: Any, k: int, ties: str = "nearest") -> tuple[Any, Any]:
    """Return depth and 1 - confidence in the given label from the k nearest of each row."""
    given, codes, agreeing = data["given"], [], []
    for neighbors in found:
        nearest = np.argsort(neighbors.distances, axis=1, kind="stable")[:, :k]
        distances, positions = (
            np.take_along_axis(a, nearest, axis=1)
            for a in (neighbors.distances, neighbors.positions)
        )
        codes.append(majority(given[positions], distances, 10, ties)[0])
        agreeing.append((given[positions] == given[:, None]).mean(axis=1))
    depth = prediction_depth(np.stack(codes), predicted)
    return np.where(np.isnan(depth), len(codes) - 1, depth), 1 - np.mean(agreeing, axis=0)


def read_noise(
    record: TrainingRecord, scorer: PredictionDepthScorer, data: Any, *, check: bool
) -> Found:
    """Return how well every score finds the flipped rows."""
    X, y, given = data["X"], data["y"], data["given"]
    flipped = given != y
    probability = record.net.predict_proba(X)
    predicted = probability.argmax(axis=1)
    found = list(scorer._bank.nearest(None, max(KS)))
    scores = {"1 - p(given)": 1 - probability[np.arange(len(y)), given]}
    for kind in ("output", "input"):
        margin = MarginScorer(record, kind=kind, undefined="max").fit(X, given)
        scores[f"margin, {kind}"] = margin.difficulty_
    for k in KS:
        scores[f"depth, k = {k}"], scores[f"neighbours, k = {k}"] = votes(found, data, predicted, k)
    scores["depth, ties lowest"], _ = votes(found, data, predicted, K, "lowest")
    with_self = list(scorer._bank.nearest(ArrayRows(X), K))
    scores["depth, own neighbour"], scores["neighbours, own neighbour"] = votes(
        with_self, data, predicted, K
    )
    if check:  # what one search gave must be what the scorers say
        depth = np.where(np.isnan(scorer.difficulty_), scorer.max_depth_, scorer.difficulty_)
        asked = NeighborConfidenceScorer(record, n_neighbors=K).fit(X, given).difficulty_
        assert np.mean(depth != scores[f"depth, k = {K}"]) < 0.005
        np.testing.assert_allclose(asked, scores[f"neighbours, k = {K}"], atol=0.01)
    run: Found = {name: detection(flipped, score) for name, score in scores.items()}
    for one, other in PAIRS:
        run[f"{one} minus {other}"] = minus(run[one], run[other])
    run["depth of flipped rows"] = float(scores[f"depth, k = {K}"][flipped].mean())
    run["depth of clean rows"] = float(scores[f"depth, k = {K}"][~flipped].mean())
    run["train accuracy, true labels"] = share(predicted == y)
    return run


def one_run(name: str, seed: int, args: Any) -> tuple[Found, Found]:
    """Train every label kind once and return every number of this seed."""
    kind, data_name = name.split(", ")
    base = draw(data_name, seed, args)
    run: Found = {}
    for_means: Found = {}
    for labels in EPOCHS[name]:
        data = dict(base, given=base["y"])
        if labels == "mixed":
            data["X"] = mixed(base["X"], base["y"], seed)
            data["X_new"] = mixed(base["X_new"], base["y_new"], 0)
        elif labels == "random":
            rng = np.random.RandomState(seed)
            chosen = rng.permutation(len(base["y"]))[: round(0.4 * len(base["y"]))]
            data["given"] = base["y"].copy()
            data["given"][chosen] = rng.randint(10, size=len(chosen))
        elif labels in ("flipped", "stopped"):
            data["given"], _ = with_noise(base["y"], "symmetric 20 %", seed)
        if data_name != "digits":
            for part in ("X", "X_new"):
                data[part] = shaped(data[part], kind)
        watch = Stopwatch()
        record = train(name, labels, data["X"], data["given"], seed, args)
        seconds_training = watch.lap()
        scorer = PredictionDepthScorer(record, n_neighbors=K).fit(data["X"], data["given"])
        found = read_training(scorer, record, data)
        if labels in ("clean", "mixed"):
            more, arrays = read_held_out(record, scorer, data)
            found |= more
            for_means |= {labels: arrays}
        elif labels == "random":
            found |= read_labels(scorer, data)
        else:
            found |= read_noise(record, scorer, data, check=seed == 0)
        found |= {"seconds training": seconds_training, "seconds reading": watch.lap()}
        run[labels] = found
        show(f"{name}, seed {seed}, {labels}", {key: found[key] for key in PROGRESS})
    return run, for_means


def over_models(arrays: list[Found]) -> Found:
    """Return the correlations of the means over all seeds, row by row."""
    depth = nan_mean([a["depth"] for a in arrays])
    found: Found = {"models": len(arrays), "largest mean depth": np.nanmax(depth)}
    for kind in ("output", "input"):
        logs = np.stack([a[kind] for a in arrays])
        log_of_mean = np.log(nan_mean(np.exp(logs)))
        found[f"mean of log {kind} margin"] = pearson(depth, nan_mean(logs))
        found[f"log of mean {kind} margin"] = pearson(depth, log_of_mean)
    return found


# --------------------------------------------------------------------------- claim e: small margins


def one_intervention(seed: int, args: Any) -> Found:
    """Train the MLP with each loss and optimiser on few rows."""
    data = draw("Fashion-MNIST", seed, args)
    data |= {part: shaped(data[part], "MLP") for part in ("X", "X_new")}
    for part in ("X", "y"):
        data[part] = data[part][: args.intervention_rows]
    data["given"] = data["y"]
    n = len(data["y"])
    steps_an_epoch = -(-n // args.batch_size)
    hinge = {"criterion": ZeroMarginHingeLoss}
    sgd = {"lr": 0.02, "optimizer__momentum": 0.9, "max_epochs": args.steps // steps_an_epoch}
    descent = {
        "lr": 0.01,
        "optimizer__momentum": 0.95,
        "max_epochs": args.steps,
        "batch_size": n,
        "iterator_train__shuffle": False,
    }
    run: Found = {}
    for name, settings in {
        "untrained": sgd | {"lr": 0.0, "max_epochs": 1},
        "cross-entropy, SGD": sgd,
        "0-hinge, SGD": hinge | sgd,
        "0-hinge, GD": hinge | descent,
    }.items():
        watch = Stopwatch()
        untrained = network("MLP", data["X"], args, optimizer=torch.optim.SGD, **settings)
        last = settings["max_epochs"]
        record = TrainingRecord.from_fit(
            untrained, data["X"], data["y"], checkpoints=[last], random_state=seed
        )
        scorer = PredictionDepthScorer(record, n_neighbors=K).fit(data["X"], data["y"])
        found = read_training(scorer, record, data)
        margins = MarginScorer(record).fit(data["X"], data["y"])
        margin = -margins.score_samples(data["X"])
        inputs = MarginScorer(record, kind="input").fit(data["X"], data["y"])
        found["output margin"] = float(margin.mean())
        found["output margin, median"] = float(np.median(margin))
        found["output margin, held-out"] = float(-margins.score_samples(data["X_new"]).mean())
        found["input margin"] = float(-np.nanmean(inputs.score_samples(data["X"])))
        found["held-out accuracy"] = share(record.net.predict(data["X_new"]) == data["y_new"])
        found["held-out depth"] = float(np.nanmean(scorer.score_samples(data["X_new"])))
        run[name] = found | {"seconds": watch.lap()}
        show(f"{name}, seed {seed}", run[name])
    return run


def main() -> None:
    parser = argument_parser(
        __doc__,
        name="prediction_depth_claims",
        seeds=5,
        rows=(1_500, "training rows of Fashion-MNIST"),
        held_out=(2_000, "of Fashion-MNIST"),
        width=(128, "of the MLP"),
        batch_size=64,
        intervention_rows=1_000,
        steps=(2_500, "of claim e, for each loss"),
    )
    parser.add_argument("--channels", type=int, nargs=5, default=(8, 16, 32, 32, 32))
    parser.add_argument(
        "--only", nargs="+", choices=[*EPOCHS, "intervention"], help="the rest stays in the file"
    )
    args = parse(parser)

    results: Found = {}
    path = RESULTS / f"{args.name}.json"
    if args.only and path.exists():
        results = json.loads(path.read_text())["results"]
    settings = vars(args) | {"epochs": EPOCHS, "rates": RATE, "n_neighbors": K}
    for name in args.only or [*EPOCHS, "intervention"]:
        watch = Stopwatch()
        if name == "intervention":
            found = gather([one_intervention(seed, args) for seed in range(args.seeds)])
        else:
            runs, arrays = zip(
                *(one_run(name, seed, args) for seed in range(args.seeds)), strict=True
            )
            found = gather(runs)
            found["over models"] = {
                labels: over_models([a[labels] for a in arrays]) for labels in arrays[0]
            }
        results[name] = found | {"seconds": watch.lap()}
        show(name, found)
        write_results(args, results, settings=settings)


if __name__ == "__main__":
    main()
