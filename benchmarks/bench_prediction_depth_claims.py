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
import time
import warnings
from typing import Any

import numpy as np
import torch
from _common import (
    RESULTS,
    argument_parser,
    detection,
    gather,
    machine,
    prepare,
    shown,
    write_results,
)
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.datasets import load_digits
from skorch import NeuralNetClassifier
from skorch.callbacks import LRScheduler
from torch import nn
from torch.utils.data import DataLoader

from sklearn_difficulty import (
    MarginScorer,
    NeighborConfidenceScorer,
    PredictionDepthScorer,
    TrainingRecord,
)
from sklearn_difficulty.datasets import load_fashion_mnist, make_label_noise
from sklearn_difficulty.inference.nearest import majority
from sklearn_difficulty.measures import prediction_depth
from sklearn_difficulty.training import MLP, VGG16, ZeroMarginHingeLoss

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
Floats = NDArray[np.float64]


class ArrayLoader(DataLoader):
    """Indexes the arrays once a batch, which takes half the time that joining rows takes."""

    def __iter__(self) -> Any:
        X, y = (torch.as_tensor(a) for a in (self.dataset.X, self.dataset.y))
        for rows in self.batch_sampler:
            yield X[rows], y[rows]


# ---------------------------------------------------------------------------------------- the data


def load(name: str, seed: int, args: Any) -> dict[str, NDArray[Any]]:
    """Return the training rows of a seed and the held-out rows of all seeds."""
    if name == "digits":
        X, y = load_digits(return_X_y=True)
        X, y = X.astype(np.float32), y.astype(np.int64)
        order = np.random.RandomState(0).permutation(len(y))
        new, old = order[:597], order[597:]
        return {"X": X[old], "y": y[old], "X_new": X[new], "y_new": y[new]}
    parts = []
    for subset, n, state in (("train", args.rows, seed), ("test", args.held_out, 0)):
        part = load_fashion_mnist(subset)
        rows = np.random.RandomState(state).permutation(len(part.target))[:n]
        parts += [part.data[rows], part.target[rows].astype(np.int64)]
    return dict(zip(("X", "y", "X_new", "y_new"), parts, strict=True))


def mixed(X: NDArray[Any], y: NDArray[Any], seed: int) -> NDArray[Any]:
    """Return 0.6 times every image plus 0.4 times one of another class."""
    rng = np.random.RandomState(seed)
    others = np.array([rng.choice(np.flatnonzero(y != label)) for label in y])
    return np.asarray(0.6 * X + 0.4 * X[others], dtype=np.float32)


def shaped(X: NDArray[Any], network: str) -> NDArray[np.float32]:
    """Return images as the network wants them."""
    if network == "MLP":
        return X.reshape(len(X), -1)
    halves = X.reshape(len(X), 1, 14, 2, 14, 2)
    return np.asarray(halves.mean(axis=(3, 5)), dtype=np.float32)


# ------------------------------------------------------------------------------------- the networks


def network(kind: str, X: NDArray[Any], args: Any, **settings: Any) -> NeuralNetClassifier:
    """Return an untrained net."""
    mean, scale = float(X.mean()), float(X.std())
    if kind == "MLP":
        n = X.shape[1]
        of_kind = {
            "module": MLP,
            "module__n_inputs": n,
            "module__hidden_units": (args.width,) * 7,
            "module__mean": np.full(n, mean),
            "module__scale": np.full(n, scale),
        }
    else:
        of_kind = {
            "module": VGG16,
            "module__n_channels": 1,
            "module__channels": tuple(args.channels),
            "module__mean": mean,
            "module__scale": scale,
        }
    defaults = {
        "module__n_outputs": 10,
        "criterion": nn.CrossEntropyLoss,
        "batch_size": args.batch_size,
        "iterator_train": ArrayLoader,
        "iterator_train__shuffle": True,
        "train_split": None,
        "callbacks__print_log": None,
        "device": args.device,
        "verbose": 0,
    }
    return NeuralNetClassifier(**of_kind, **(defaults | settings))


def train(name: str, labels: str, X: Any, given: Any, seed: int, args: Any) -> TrainingRecord:
    """Train one network on the given labels."""
    kind, epochs = name.split(",")[0], EPOCHS[name][labels]
    schedule = LRScheduler(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=epochs)
    callbacks = [] if labels == "stopped" else [schedule]
    net = network(
        kind,
        X,
        args,
        optimizer=torch.optim.Adam,
        lr=RATE[kind],
        max_epochs=epochs,
        callbacks=callbacks,
    )
    return TrainingRecord.from_fit(net, X, given, checkpoints=[epochs], random_state=seed)


# ------------------------------------------------------------------------------------ the readings


def accuracy(predicted: NDArray[Any], y: NDArray[Any]) -> float:
    return float((predicted == y).mean())


def pearson(a: Floats, b: Floats) -> float:
    defined = np.isfinite(a) & np.isfinite(b)
    return float(np.corrcoef(a[defined], b[defined])[0, 1])


def log_margins(record: TrainingRecord, X: Any, y: Any, X_new: Any) -> dict[str, Floats]:
    """Return the logarithm of both margins of the predicted class of held-out rows."""
    found = {}
    for kind in ("output", "input"):
        margin = -MarginScorer(record, kind=kind).fit(X, y).score_samples(X_new)
        found[kind] = np.log(np.where(margin > 0, margin, np.nan).astype(np.float64))
    return found


def against_network(probes: Any, predicted: Any, y: Any) -> dict[str, Any]:
    """Return the accuracies of network and probes, and by how much each probe is better."""
    of_network, of_probes = accuracy(predicted, y), (probes == y).mean(axis=1)
    gain = of_probes - of_network
    return {
        "network": of_network,
        "probes": of_probes,
        "probe minus network": gain,
        "input minus network": gain[0],
        "middle minus network": gain[(len(gain) - 1) // 2],
    }


def read_held_out(
    record: TrainingRecord, scorer: PredictionDepthScorer, data: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Floats]]:
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
        "held-out accuracy": accuracy(predicted, y_new),
        "held-out depth": float(depth[defined].mean()),
        "held-out depth, median": float(np.median(depth[defined])),
        "held-out undefined": float(1 - defined.mean()),
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
        "train accuracy, given labels": accuracy(record.net.predict(data["X"]), given),
        "training depth": float(np.nanmean(depth)),
        "training depth, undefined as largest": float(
            np.where(np.isnan(depth), scorer.max_depth_, depth).mean()
        ),
        "training undefined": float(np.isnan(depth).mean()),
        "probes, training, given labels": (scorer.probe_predictions_.T == given).mean(axis=1),
    }


def read_labels(scorer: PredictionDepthScorer, data: Any) -> dict[str, Any]:
    """Return the inference learning curves of claim d."""
    y, given, probes = data["y"], data["given"], scorer.probe_predictions_.T
    wrong = given != y
    original = (probes[:, wrong] == y[wrong]).mean(axis=1)
    new = (probes[:, wrong] == given[wrong]).mean(axis=1)
    return {
        "mislabelled": float(wrong.mean()),
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
) -> dict[str, Any]:
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
    with_self = list(scorer._bank.nearest(X, K))
    scores["depth, own neighbour"], scores["neighbours, own neighbour"] = votes(
        with_self, data, predicted, K
    )
    if check:  # what one search gave must be what the scorers say
        depth = np.where(np.isnan(scorer.difficulty_), scorer.max_depth_, scorer.difficulty_)
        asked = NeighborConfidenceScorer(record, n_neighbors=K).fit(X, given).difficulty_
        assert np.mean(depth != scores[f"depth, k = {K}"]) < 0.005
        np.testing.assert_allclose(asked, scores[f"neighbours, k = {K}"], atol=0.01)
    run: dict[str, Any] = {name: detection(flipped, score) for name, score in scores.items()}
    for one, other in PAIRS:
        run[f"{one} minus {other}"] = {m: run[one][m] - run[other][m] for m in ("auroc", "ap")}
    run["depth of flipped rows"] = float(scores[f"depth, k = {K}"][flipped].mean())
    run["depth of clean rows"] = float(scores[f"depth, k = {K}"][~flipped].mean())
    run["train accuracy, true labels"] = accuracy(predicted, y)
    return run


def one_run(name: str, seed: int, args: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Train every label kind once and return every number of this seed."""
    kind, data_name = name.split(", ")
    base = load(data_name, seed, args)
    run: dict[str, Any] = {}
    for_means: dict[str, Any] = {}
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
            data["given"], _ = make_label_noise(base["y"], 0.2, random_state=seed)
        if data_name != "digits":
            for part in ("X", "X_new"):
                data[part] = shaped(data[part], kind)
        start = time.perf_counter()
        record = train(name, labels, data["X"], data["given"], seed, args)
        trained = time.perf_counter()
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
        found["seconds training"] = trained - start
        found["seconds reading"] = time.perf_counter() - trained
        run[labels] = found
        print(
            f"  {name}, seed {seed}, {labels}: accuracy on the given labels "
            f"{found['train accuracy, given labels']:.4f}; {found['seconds training']:.1f} s "
            f"training, {found['seconds reading']:.1f} s reading",
            flush=True,
        )
    return run, for_means


def over_models(arrays: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the correlations of the means over all seeds, row by row."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Mean of empty slice")
        depth = np.nanmean([a["depth"] for a in arrays], axis=0)
        found: dict[str, Any] = {"models": len(arrays), "largest mean depth": np.nanmax(depth)}
        for kind in ("output", "input"):
            logs = np.stack([a[kind] for a in arrays])
            found[f"mean of log {kind} margin"] = pearson(depth, np.nanmean(logs, axis=0))
            found[f"log of mean {kind} margin"] = pearson(
                depth, np.log(np.nanmean(np.exp(logs), axis=0))
            )
    return found


# --------------------------------------------------------------------------- claim e: small margins


def one_intervention(seed: int, args: Any) -> dict[str, Any]:
    """Train the MLP with each loss and optimiser on few rows."""
    base = load("Fashion-MNIST", seed, args)
    data = {part: shaped(base[part], "MLP") for part in ("X", "X_new")} | base_labels(base)
    for part in ("X", "y", "given"):
        data[part] = data[part][: args.intervention_rows]
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
    run: dict[str, Any] = {}
    for name, settings in {
        "untrained": sgd | {"lr": 0.0, "max_epochs": 1},
        "cross-entropy, SGD": sgd,
        "0-hinge, SGD": hinge | sgd,
        "0-hinge, GD": hinge | descent,
    }.items():
        start = time.perf_counter()
        net = network("MLP", data["X"], args, optimizer=torch.optim.SGD, **settings)
        last = settings["max_epochs"]
        record = TrainingRecord.from_fit(
            net, data["X"], data["y"], checkpoints=[last], random_state=seed
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
        found["held-out accuracy"] = accuracy(record.net.predict(data["X_new"]), data["y_new"])
        found["held-out depth"] = float(np.nanmean(scorer.score_samples(data["X_new"])))
        found["seconds"] = time.perf_counter() - start
        run[name] = found
        print(
            f"  {name}, seed {seed}: train accuracy {found['train accuracy, given labels']:.3f}, "
            f"depth {found['training depth']:.2f}, margin {found['output margin']:.2g}; "
            f"{found['seconds']:.1f} s",
            flush=True,
        )
    return run


def base_labels(base: dict[str, Any]) -> dict[str, Any]:
    return {"y": base["y"], "given": base["y"], "y_new": base["y_new"]}


# ---------------------------------------------------------------------------------------- the table


def line(values: Any) -> str:
    return " ".join(f"{value:.2f}" for value in np.asarray(values, dtype=float))


def print_network(name: str, found: dict[str, Any]) -> None:
    print(f"\n{name}")
    for labels, cell in found.items():
        if labels in ("over models", "seconds"):
            continue
        print(
            f"{labels}: accuracy on the given labels {shown(cell['train accuracy, given labels'])}"
            f", training depth {shown(cell['training depth'], 2)}, undefined "
            f"{shown(cell['training undefined'], 4)}"
        )
        if labels in ("clean", "mixed"):
            rows, right = (np.asarray(cell[f"held-out {w} by depth"]["mean"]) for w in ROWS)
            with np.errstate(invalid="ignore"):
                by_depth = right / rows
            print(
                f"  held-out: accuracy {shown(cell['held-out accuracy'])}, depth "
                f"{shown(cell['held-out depth'], 2)}, undefined "
                f"{shown(cell['held-out undefined'], 4)}\n"
                f"  a: accuracy by depth {line(by_depth)}\n"
                f"     share by depth    {line(rows / rows.sum())}\n"
                f"     AUROC {shown(cell['depth']['auroc'])}, of 1 - max softmax "
                f"{shown(cell['1 - max softmax']['auroc'])}, Spearman "
                f"{shown(cell['spearman of depth and misclassified'])}"
            )
            for kind in ("output", "input"):
                means = found["over models"][labels]
                print(
                    f"  b: {kind} margin: {shown(cell['log margin'][kind], 2)}, right rows only "
                    f"{shown(cell['log margin, right rows'][kind], 2)}, means over models "
                    f"{means[f'mean of log {kind} margin']:.2f} (log of mean "
                    f"{means[f'log of mean {kind} margin']:.2f})"
                )
            for chosen in ("all rows", "smallest margins", "largest depths"):
                print(
                    f"  g: {chosen}: network {shown(cell[chosen]['network'])}, middle probe minus "
                    f"network {shown(cell[chosen]['middle minus network'])}, input minus network "
                    f"{shown(cell[chosen]['input minus network'])}\n"
                    f"     probes {line(cell[chosen]['probes']['mean'])}"
                )
        elif labels == "random":
            for curve in CURVES:
                print(f"  d: {curve:28} {line(cell[curve]['mean'])}")
            print(f"     original wins at {cell['probes where the original wins']['per_seed']}")
        else:
            for score, values in cell.items():
                if "ap" in values:
                    print(f"  f: {score:40} {shown(values['auroc'])}  AP {shown(values['ap'])}")
            print(
                f"     depth of flipped rows {shown(cell['depth of flipped rows'], 2)}, clean "
                f"{shown(cell['depth of clean rows'], 2)}"
            )


ROWS = ("rows", "right")
CURVES = ("mislabelled, original label", "mislabelled, given label", "clean", "held-out")


def print_intervention(name: str, found: dict[str, Any]) -> None:
    print(f"\n{name}: e")
    for name, cell in found.items():
        if name == "seconds":
            continue
        print(
            f"  {name:20} accuracy {shown(cell['train accuracy, given labels'])} held-out "
            f"{shown(cell['held-out accuracy'])}, depth {shown(cell['training depth'], 2)} "
            f"(undefined {shown(cell['training undefined'])}; as largest: "
            f"{shown(cell['training depth, undefined as largest'], 2)}), output margin "
            f"{cell['output margin']['mean']:.2g}, input {cell['input margin']['mean']:.2g}\n"
            f"  {'probes':20} {line(cell['probes, training, given labels']['mean'])}"
        )


def main() -> None:
    parser = argument_parser(__doc__, n_seeds=5)
    parser.set_defaults(name="prediction_depth_claims")
    parser.add_argument("--rows", type=int, default=1_500, help="training rows of Fashion-MNIST")
    parser.add_argument("--held-out", type=int, default=2_000, help="of Fashion-MNIST")
    parser.add_argument("--width", type=int, default=128, help="of the MLP")
    parser.add_argument("--channels", type=int, nargs=5, default=(8, 16, 32, 32, 32))
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--intervention-rows", type=int, default=1_000)
    parser.add_argument("--steps", type=int, default=2_500, help="of claim e, for each loss")
    parser.add_argument(
        "--only", nargs="+", choices=[*EPOCHS, "intervention"], help="the rest stays in the file"
    )
    args = parser.parse_args()
    prepare(args)
    warnings.filterwarnings("ignore", message=r"\d+ row\(s\) have no defined difficulty")

    results: dict[str, Any] = {}
    path = RESULTS / f"{args.name}.json"
    if args.only and path.exists():
        results = json.loads(path.read_text())["results"]
    settings = vars(args) | {"epochs": EPOCHS, "rates": RATE, "n_neighbors": K}
    for name in [*EPOCHS, "intervention"]:
        if args.only and name not in args.only:
            continue
        start = time.perf_counter()
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
        results[name] = found | {"seconds": time.perf_counter() - start}
        (print_intervention if name == "intervention" else print_network)(name, found)
        print(f"({machine(args.device)['seconds']} s so far)", flush=True)
        # After every part, so that a run that is cut short leaves what it has.
        write_results(args.name, {"settings": settings, "results": results}, device=args.device)


if __name__ == "__main__":
    main()
