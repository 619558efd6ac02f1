# SPDX-License-Identifier: BSD-3-Clause
"""Where NormGrad points, and what its maps are good for, on scenes with known masks.

A scene is a random crop (64 x 64, grey) of one of scikit-learn's two photographs, onto which two
items of Fashion-MNIST of different classes are pasted side by side or apart; the masks of both are
known. A network of four convolutions (16, 32, 64, 64 channels, batch norm, ReLU, pooling between
them), global average and ten sigmoid outputs is trained on 6,000 scenes. Then, on held-out scenes:

- "pointing": the largest value of a map, resized to the scene, lies within 4 pixels of the mask of
  the class that is explained (mean over classes), for every layer and method, order 0 and order 1;
- "class sensitivity": Spearman correlation of the maps of the most and the least likely class;
- "virtual against true": the same of the map behind a convolution and of the convolution's own
  weight gradient, location by location;
- "masking": the fifth of the pixels that a map is largest at is set to 0, one step of gradient
  descent is made on what is left, and the loss on the whole scene is compared with that before.

Order 1 takes a step of cross-entropy for one class, as the authors' code does for networks that
were trained on several.

    python benchmarks/bench_normgrad.py            # about ten minutes on one core
"""

import numpy as np
import torch
from problems import images
from report import argument_parser, parse, write_results
from scipy.ndimage import binary_dilation
from scipy.stats import spearmanr
from sklearn.datasets import load_sample_images
from summaries import Array, Found, gather, show
from torch import nn

from sklearn_difficulty import NormGradScorer, TrainingRecord
from sklearn_difficulty.measures import combine_saliency_maps

SIDE, ITEM, TOLERANCE = 64, 28, 4
CHANNELS = (16, 32, 64, 64)
LAYERS = [f"stage{i}.2" for i in (1, 2, 3, 4)]  # the ReLU of every stage
CONVOLUTIONS = [f"stage{i}.0" for i in (1, 2, 3, 4)]
STEPS = (1e-4, 1e-3, 2.5e-3, 1e-2)
STEP = 2.5e-3  # of the authors' experiments
METHODS = {
    "NormGrad": {},
    "NormGrad, loss": {"target": "loss"},
    "NormGrad selective": {"selective": True},
    "linear approximation": {"variant": "scaling", "aggregation": "sum"},
    "gradient": {"variant": "bias"},
}
ORDER_1 = {
    f"{name}, step {step:g}": METHODS[name] | {"order": 1, "step": step}
    for name in ("NormGrad", "NormGrad selective")
    for step in (1e-4, STEP)
}


class SceneNet(nn.Module):
    """Four stages and a linear layer on the average of the last maps."""

    def __init__(self) -> None:
        super().__init__()
        for i, (before, after) in enumerate(zip((1, *CHANNELS), CHANNELS, strict=False), start=1):
            convolution = nn.Conv2d(before, after, 3, padding=1)
            setattr(self, f"stage{i}", nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU()))
        self.pool, self.head = nn.MaxPool2d(2), nn.Linear(CHANNELS[-1], 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (n, 10)."""
        x = self.pool(self.stage1(x))
        x = self.pool(self.stage2(x))
        x = self.pool(self.stage3(x))
        return self.head(self.stage4(x).mean(dim=(2, 3)))


def scenes(part: str, n: int, rng: np.random.RandomState) -> tuple[Array, Array, Array]:
    """Return scenes (n, 1, 64, 64), the classes (n, 2) in them, and their masks (n, 2, 64, 64)."""
    photographs = [photo.mean(axis=2) / 255 for photo in load_sample_images().images]
    items, classes = images(part, 2 * n + 50, rng)
    items = items.reshape(-1, ITEM, ITEM)
    X = np.empty((n, 1, SIDE, SIDE), np.float32)
    y, masks = np.empty((n, 2), np.int64), np.zeros((n, 2, SIDE, SIDE), bool)
    for i in range(n):
        photo = photographs[rng.randint(2)]
        top, left = (rng.randint(size - SIDE) for size in photo.shape)
        X[i, 0] = photo[top : top + SIDE, left : left + SIDE]
        pair = 2 * i, next(j for j in range(2 * i + 1, len(items)) if classes[j] != classes[2 * i])
        # One in the left half and one in the right, which may then be turned.
        for k, row in enumerate(pair):
            v = rng.randint(SIDE - ITEM)
            h = rng.randint(SIDE // 2 - ITEM) + k * SIDE // 2
            window = (slice(v, v + ITEM), slice(h, h + ITEM))
            inside = items[row] > 0.05
            X[i, 0][window][inside] = items[row][inside]
            masks[i, k][window] = inside
            y[i, k] = classes[row]
        if rng.randint(2):
            X[i], masks[i] = X[i].transpose(0, 2, 1), masks[i].transpose(0, 2, 1)
    return X, y, masks


def trained(X: Array, y: Array, seed: int, epochs: int) -> SceneNet:
    """Return a network that was trained to tell which classes are in a scene."""
    torch.manual_seed(seed)
    module = SceneNet()
    targets = torch.zeros(len(y), 10).scatter_(1, torch.from_numpy(y), 1.0)
    rows, loss = torch.from_numpy(X), nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(module.parameters(), lr=3e-3)
    n_steps = epochs * -(-len(X) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, total_steps=n_steps)
    for _ in range(epochs):
        for batch in torch.randperm(len(X)).split(64):
            optimizer.zero_grad()
            loss(module(rows[batch]), targets[batch]).backward()
            optimizer.step()
            schedule.step()
    return module.eval()


def scorer_of(record: TrainingRecord, X: Array, **settings: object) -> NormGradScorer:
    settings = {"target": "logit", "layers": LAYERS, "checkpoints": 1} | settings
    return NormGradScorer(record, **settings).fit(X[:10], np.arange(10))


def grad_cam(module: SceneNet, X: Array, y: Array) -> dict[str, Array]:
    """Return Grad-CAM at every layer: x times the mean gradient, summed over channels, if > 0."""
    found: dict[str, list[Array]] = {name: [] for name in LAYERS}
    for rows, labels in zip(
        torch.from_numpy(X).split(100), torch.from_numpy(y).split(100), strict=True
    ):
        kept: list[torch.Tensor] = []
        hooks = [
            module.get_submodule(name).register_forward_hook(
                lambda _module, _args, out, kept=kept: kept.append(out)
            )
            for name in LAYERS
        ]
        total = module(rows).gather(1, labels[:, None]).sum()
        for hook in hooks:
            hook.remove()
        for name, x, g in zip(LAYERS, kept, torch.autograd.grad(total, kept), strict=True):
            weight = g.mean(dim=(2, 3), keepdim=True)
            found[name].append((x * weight).sum(dim=1).clamp(min=0).detach().numpy())
    return {name: np.concatenate(parts) for name, parts in found.items()}


def pointing(maps: Array, y: Array, near: Array) -> float:
    """Return how often the largest value lies near the mask, a mean over classes, in percent."""
    resized = combine_saliency_maps([maps], shape=(SIDE, SIDE))
    largest = resized.reshape(len(y), -1).argmax(axis=1)
    hit = near.reshape(len(y), -1)[np.arange(len(y)), largest]
    return 100 * float(np.mean([hit[y == c].mean() for c in np.unique(y)]))


def correlation(a: Array, b: Array) -> float:
    """Return the mean over rows of the Spearman correlation of two maps; flat ones are left out."""
    flat = [v.reshape(len(a), -1) for v in (a, b)]
    each = [
        spearmanr(p, q).statistic
        for p, q in zip(*flat, strict=True)
        if np.ptp(p) > 0 and np.ptp(q) > 0
    ]
    return float(np.mean(each)) if each else float("nan")


def pointing_of_all(record: TrainingRecord, X: Array, y: Array, near: Array) -> Found:
    """Return the pointing accuracy of every method at every layer, and of combined maps."""
    found: Found = {}
    for name, settings in (METHODS | ORDER_1).items():
        scorer = scorer_of(record, X, **settings)
        maps = scorer.layer_maps(X, y)
        found[name] = {layer: pointing(m, y, near) for layer, m in maps.items()}
        combined = {
            combine: combine_saliency_maps([*maps.values()], shape=(SIDE, SIDE), combine=combine)
            for combine in ("product", "sum")
        }
        found[name] |= {c: pointing(m, y, near) for c, m in combined.items()}
    true = scorer_of(record, X, layers=CONVOLUTIONS, variant="layer").layer_maps(X, y)
    pairs = zip(LAYERS, true.values(), strict=True)
    found["NormGrad, true convolution"] = {layer: pointing(m, y, near) for layer, m in pairs}
    cam = grad_cam(record.module, X, y)
    found["Grad-CAM"] = {layer: pointing(m, y, near) for layer, m in cam.items()}
    centre = np.zeros((len(y), SIDE, SIDE))
    centre[:, SIDE // 2, SIDE // 2] = 1
    found["centre"] = {"all": pointing(centre, y, near)}
    return found


def sensitivity(record: TrainingRecord, X: Array) -> Found:
    """Return how alike the maps of the most and the least likely class are, by layer and step."""
    with torch.no_grad():
        logits = record.module(torch.from_numpy(X)).numpy()
    ends = logits.argmax(axis=1), logits.argmin(axis=1)
    found: Found = {}
    for name, settings in (("NormGrad", {}), ("NormGrad selective", {"selective": True})):
        for step in (None, *STEPS):
            order = {} if step is None else {"order": 1, "step": step}
            scorer = scorer_of(record, X, **settings, **order)
            most, least = (scorer.layer_maps(X, y) for y in ends)
            found[f"{name}, {'order 0' if step is None else f'step {step:g}'}"] = {
                layer: correlation(most[layer], least[layer]) for layer in LAYERS
            }
    return found


def virtual_and_true(record: TrainingRecord, X: Array, y: Array) -> Found:
    """Return how alike the maps behind a convolution and of its own weights are."""
    virtual, true = (
        scorer_of(record, X, layers=CONVOLUTIONS, variant=variant).layer_maps(X, y)
        for variant in ("conv1x1", "layer")
    )
    pairs = zip(LAYERS, CONVOLUTIONS, strict=True)
    return {layer: correlation(virtual[c], true[c]) for layer, c in pairs}


def masking(record: TrainingRecord, X: Array, y: Array, seed: int, rate: float) -> Found:
    """Return by how much one step on a masked scene lowers the loss on the whole scene."""
    rng = np.random.RandomState(seed)
    settings = {"target": "loss", "combine": "geometric", "order": 1, "step": STEP}
    maps = {
        direction: scorer_of(record, X, **settings, direction=direction).maps(X, y)
        for direction in ("training", "adversarial")
    }
    maps["order 0"] = scorer_of(record, X, target="loss", combine="geometric").maps(X, y)
    maps["that of another scene"] = np.roll(maps["training"], 1, axis=0)
    maps["random pixels"] = rng.uniform(size=maps["training"].shape)
    flat = {name: m.reshape(len(y), -1) for name, m in maps.items()}
    masks = {name: m >= np.quantile(m, 0.8, axis=1)[:, None] for name, m in flat.items()}
    overlap = (masks["training"] & masks["adversarial"]).sum() / masks["training"].sum()
    masks["nothing"] = np.zeros_like(masks["training"])

    module, loss = record.module, nn.CrossEntropyLoss()
    weights = {name: p.detach() for name, p in module.named_parameters()}

    def loss_of(weights: dict[str, torch.Tensor], x: torch.Tensor, label: torch.Tensor):
        return loss(torch.func.functional_call(module, weights, (x,)), label)

    gradient = torch.func.grad(loss_of)
    lower: dict[str, list[float]] = {name: [] for name in masks}
    for i in range(len(y)):
        x, label = torch.from_numpy(X[i : i + 1]), torch.tensor([y[i]])
        before = float(loss_of(weights, x, label))
        for name, mask in masks.items():
            masked = x.masked_fill(torch.from_numpy(mask[i].reshape(1, 1, SIDE, SIDE)), 0.0)
            downhill = gradient(weights, masked, label)
            moved = {n: w - rate * downhill[n] for n, w in weights.items()}
            lower[name].append(before - float(loss_of(moved, x, label)))
    gain = {name: float(np.mean(values)) for name, values in lower.items()}
    wins = np.mean(np.array(lower["training"]) < np.array(lower["adversarial"]))
    return {
        "loss is lower by": gain,
        "share of it": {name: value / gain["nothing"] for name, value in gain.items()},
        "overlap of training and adversarial": float(overlap),
        "training hurts more than adversarial": float(wins),
    }


def one_run(seed: int, args) -> Found:
    """Train once and return every number of this seed."""
    rng = np.random.RandomState(seed)
    X, y, _ = scenes("train", args.scenes, rng)
    module = trained(X, y, seed, args.epochs)
    X, both, masks = scenes("test", args.held_out, rng)
    record = TrainingRecord.from_checkpoints(
        module, [module.state_dict()], classes=range(10), criterion=nn.CrossEntropyLoss()
    )
    disc = np.hypot(*np.mgrid[-TOLERANCE : TOLERANCE + 1, -TOLERANCE : TOLERANCE + 1])
    near = np.stack([binary_dilation(m, disc <= TOLERANCE) for m in masks.reshape(-1, SIDE, SIDE)])
    with torch.no_grad():
        logits = module(torch.from_numpy(X)).numpy()
    right = np.take_along_axis(logits, both, axis=1) > 0
    every, y = np.repeat(X, 2, axis=0), both.ravel()
    few, rows = args.held_out // 2, np.arange(0, args.held_out, 2)
    return {
        "recall of classes": float(right.mean()),
        "share of classes predicted": float((logits > 0).mean()),
        "share of a mask": float(masks.mean()),
        "pointing": pointing_of_all(record, every, y, near),
        "class sensitivity": sensitivity(record, X[:few]),
        "virtual against true": virtual_and_true(record, X, both[:, 0]),
        "masking": {
            f"step {rate:g}": masking(record, X[rows], both[rows, 0], seed, rate)
            for rate in (1e-4, 5e-4)
        },
    }


def main() -> None:
    parser = argument_parser(
        __doc__,
        name="normgrad",
        seeds=2,
        scenes=(6_000, "to train on"),
        held_out=(300, "scenes to explain"),
        epochs=6,
    )
    args = parse(parser)
    runs: list[Found] = []
    for seed in range(args.seeds):  # written after each, since one takes minutes
        runs.append(one_run(seed, args))
        found = gather(runs)
        show("scenes", found)
        write_results(args, {"scenes": found}, settings=vars(args) | {"seeds": len(runs)})


if __name__ == "__main__":
    main()
