# SPDX-License-Identifier: BSD-3-Clause
"""What do schedules that climb or forget change: accuracy, prediction depth, transfer?

Published for Tiny-ImageNet and CIFAR, with up to 2,200 epochs: SEAL beats later-layer forgetting
(LLF), and lowers prediction depth against it and ordinary training; LLF does not beat long training
on CIFAR-10; drawing early layers anew, and drawing the same weights each time, is worse than LLF;
LLF's features transfer worse than those of ordinary training (arXiv 2304.04858, 2202.00155).
Here all of it is reduced in scale: `rows` images of Fashion-MNIST averaged to 14 x 14, a residual
network of three blocks of 8, 16 and 32 channels, 4 generations of 12 epochs, 3 of them of ascent,
S = -0.01. SGD with momentum 0.9, weight decay 5e-4, rate 0.1 that falls by a cosine, label
smoothing 0.1, no augmentation.

Arms, of as many epochs each and from the same initial weights and the same order of rows per seed:

- long: one cosine over all epochs; restarts: one cosine in each generation, nothing else; short: a
  single generation, the exception in length, since layers that are drawn anew learn no longer;
- LLF: the last stage and the head drawn anew; the same with a fixed draw; early reset: the other
  layers drawn anew instead; KE: knowledge evolution, the first 80 % of the filters kept in all
  layers, one slim network, and the rest drawn anew;
- SEAL: stem and first stage climb, and again in steps ten times as large, since the paper takes its
  steps a thousand times as often; reverse: the other layers climb.

Depth is that of `PredictionDepthScorer`, k = 30, probes at the input, the stem, the sums of the
three blocks and the probabilities, in share of the deepest; of training and of held-out rows, of
all rows and of those that are predicted right; where undefined, not counted. Transfer: accuracy in
three-fold cross-validation of a logistic regression on the features before the head, for
scikit-learn's digits enlarged to 14 x 14; beside it that of the pixels and of the initial weights,
the same for all arms. Differences are paired by seed.

Run: ``python benchmarks/bench_schedules.py``. Finished cells are kept in results/schedules_cells.
"""

import copy
import json
from functools import cache
from typing import Any

import numpy as np
import torch
from problems import Batches, images, net
from report import RESULTS, argument_parser, parse, plain, write_results
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import LRScheduler
from summaries import Array, Found, gather, share, show
from timing import Stopwatch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR
from trained_cells import write_at_once

from sklearn_difficulty import PredictionDepthScorer, TrainingRecord
from sklearn_difficulty.training import LaterLayerForgetting, SimulatedAnnealingEarlyLayers

GENERATIONS, EPOCHS = 4, 12
LENGTH = {"n_generations": GENERATIONS, "epochs_per_generation": EPOCHS}
LAST = "stages.2"  # where the layers begin that LLF draws anew
ARMS: dict[str, Any] = {
    "long": None,
    "short": None,
    "restarts": SimulatedAnnealingEarlyLayers(ascent_epochs=0, **LENGTH),
    "LLF": LaterLayerForgetting(LAST, **LENGTH),
    "LLF, fixed draw": LaterLayerForgetting(LAST, draw="fixed", **LENGTH),
    "early reset": LaterLayerForgetting(LAST, layers="early", **LENGTH),
    "KE": LaterLayerForgetting(LAST, layers="all", keep="filters", keep_share=0.8, **LENGTH),
    "SEAL": SimulatedAnnealingEarlyLayers("stages.1", **LENGTH),
    "SEAL, S = -0.1": SimulatedAnnealingEarlyLayers("stages.1", ascent_scale=0.1, **LENGTH),
    "reverse": SimulatedAnnealingEarlyLayers("stages.1", reverse=True, **LENGTH),
}
PAIRS = (
    *((arm, "long") for arm in ARMS if arm != "long"),
    *((arm, "short") for arm in ("LLF", "early reset")),
    *((arm, "restarts") for arm in ("LLF", "KE", "SEAL", "SEAL, S = -0.1")),
    ("SEAL", "LLF"),
    ("LLF, fixed draw", "LLF"),
    ("early reset", "LLF"),
    ("KE", "LLF"),
    ("reverse", "SEAL"),
)


class Block(nn.Module):
    """Two convolutions and the way around them."""

    def __init__(self, n_in: int, n_out: int, stride: int):
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(),
            nn.Conv2d(n_out, n_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or n_in != n_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.residual(x) + self.shortcut(x))


class ResNet(nn.Module):
    """A stem, a block per stage, each of half the size, and a head."""

    def __init__(self, channels: tuple[int, ...] = (8, 16, 32)):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, channels[0], 3, padding=1, bias=False),
            nn.BatchNorm2d(channels[0]),
            nn.ReLU(),
        )
        wide = (channels[0], *channels)
        self.stages = nn.Sequential(
            *(Block(wide[i], n, 1 if i == 0 else 2) for i, n in enumerate(channels))
        )
        self.head = nn.Linear(channels[-1], 10)
        self.to(memory_format=torch.channels_last)  # a sixth faster

    def features(self, x: torch.Tensor) -> torch.Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        return self.stages(self.stem(x)).mean(dim=(2, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x))


@cache
def draw(part: str, n: int, seed: int) -> tuple[Array, Array]:
    """Return images of 14 x 14 pixels, of mean 0 and deviation 1, and labels."""
    X, y = images(part, n, np.random.RandomState(seed))
    X = X.reshape(n, 1, 14, 2, 14, 2).mean(axis=(3, 5))
    return ((X - 0.286) / 0.33).astype(np.float32), y


@cache
def digits() -> tuple[Array, Array]:
    """Return scikit-learn's digits in the size and the scale of the training rows."""
    X, y = load_digits(return_X_y=True)
    small = torch.tensor(X.reshape(-1, 1, 8, 8) / 16, dtype=torch.float32)
    large = nn.functional.interpolate(small, (14, 14), mode="bilinear")
    return ((large - 0.286) / 0.33).numpy(), y


def of_digits(module: Any) -> float:
    """Return the accuracy of a linear probe on digits, in three-fold cross-validation."""
    X, y = digits()
    device = next(module.parameters(), torch.empty(0)).device
    with torch.no_grad():
        read = getattr(module.eval(), "features", module)
        features = read(torch.tensor(X, device=device)).cpu().numpy()
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return float(cross_val_score(probe, features, y, cv=3).mean())


def depths(depth: Array, is_right: Array, deepest: int) -> Found:
    """Return the mean depth of rows as a share of the deepest."""
    return {
        "all rows": float(np.nanmean(depth)) / deepest,
        "right rows": float(np.nanmean(depth[is_right])) / deepest,
        "undefined": share(np.isnan(depth)),
    }


def one_cell(arm: str, seed: int, args: Any) -> Found:
    """Train one arm with one seed and return all numbers."""
    watch = Stopwatch()
    X, y = draw("train", args.rows, seed)
    X_new, y_new = draw("test", args.held_out, 0)
    schedule = ARMS[arm]
    n_epochs = EPOCHS if arm == "short" else GENERATIONS * EPOCHS
    length = n_epochs if schedule is None else EPOCHS
    callbacks = [LRScheduler(CosineAnnealingLR, T_max=length)]
    untrained = net(
        ResNet,
        criterion__label_smoothing=0.1,
        optimizer=torch.optim.SGD,
        optimizer__momentum=0.9,
        optimizer__weight_decay=5e-4,
        lr=0.1,
        optimizer__fused=True,
        batch_size=128,
        max_epochs=n_epochs,
        iterator_train=Batches,
        iterator_valid=Batches,
        device=args.device,
        callbacks=[*callbacks, *([] if schedule is None else [schedule])],
    )
    record = TrainingRecord.from_fit(untrained, X, y, checkpoints=[0, n_epochs], random_state=seed)
    seconds_training = watch.lap()
    found: Found = {"transfer": of_digits(record.module)}
    if arm == "long":
        module = copy.deepcopy(record.module)
        module.load_state_dict(record.checkpoints[0].state_dict())
        found["transfer, initial weights"] = of_digits(module)
        found["transfer, pixels"] = of_digits(nn.Flatten())
    predicted = record.net.predict(X), record.net.predict(X_new)
    scorer = PredictionDepthScorer(record, n_neighbors=30).fit(X, y)
    right = [p == truth for p, truth in zip(predicted, (y, y_new), strict=True)]
    return found | {
        "train accuracy": share(right[0]),
        "held-out accuracy": share(right[1]),
        "depth, training": depths(scorer.difficulty_, right[0], scorer.max_depth_),
        "depth, held-out": depths(scorer.score_samples(X_new), right[1], scorer.max_depth_),
        "probes, held-out": scorer.inference_curve(X_new, y_new),
        "final loss": float(record.net.history[-1, "train_loss"]),
        "seconds training": seconds_training,
        "seconds": seconds_training + watch.lap(),
    }


def difference(one: Any, other: Any) -> Any:
    """Return one cell less another, number by number."""
    if isinstance(one, dict):
        return {key: difference(one[key], other[key]) for key in one if "seconds" not in key}
    return np.subtract(one, other)


def main() -> None:
    parser = argument_parser(
        __doc__, name="schedules", seeds=3, rows=2_000, held_out=(2_000, "of Fashion-MNIST")
    )
    parser.add_argument("--summary", action="store_true", help="only gather the finished cells")
    args = parse(parser)
    folder = RESULTS / f"{args.name}_cells"
    cells: dict[str, dict[int, Found]] = {arm: {} for arm in ARMS}
    for seed in range(args.seeds):
        for arm in ARMS:
            file = folder / f"{arm}, {seed}.json".replace(" ", "_")
            if not file.exists() and not args.summary:
                folder.mkdir(exist_ok=True)
                found = plain(one_cell(arm, seed, args))
                write_at_once(file, json.dumps(found).encode())
            if file.exists():
                cells[arm][seed] = json.loads(file.read_text())
                show(f"{arm}, seed {seed}", {"": cells[arm][seed]})
    results: Found = {arm: gather(list(of.values())) for arm, of in cells.items() if of}
    pairs = {
        f"{one} - {other}": [
            difference(found, cells[other][seed])
            for seed, found in cells[one].items()
            if seed in cells[other]
        ]
        for one, other in PAIRS
    }
    results["differences"] = {name: gather(found) for name, found in pairs.items() if found}
    for name, found in results.items():
        show(name, found)
    options = ("seeds", "rows", "held_out")
    write_results(args, results, settings={**LENGTH, **{o: getattr(args, o) for o in options}})


if __name__ == "__main__":
    main()
