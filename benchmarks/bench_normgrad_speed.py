# SPDX-License-Identifier: BSD-3-Clause
"""Time and memory of NormGrad, beside the bare passes and beside captum's layer attributions.

On the reference network of two convolutions (32 and 64 channels, images of 28 x 28), all layers of
"auto" together, one checkpoint:

- bare: one forward pass and one backward pass to the first of the layers, parameters frozen, in the
  same blocks, gradients thrown away;
- training pass: the same with the gradients of all weights, which order 0 does without;
- order 0: `training_signals`, and the maps of all layers;
- order 1: the same after a step for every row;
- captum: `LayerGradCam` for one layer after the other, and `LayerGradientXActivation` for all of
  them at once (which give the products of activations and gradients, channel by channel, or their
  sum), if captum can be imported.

Works take turns, in both orders; ratios are medians over the rounds, of processor time (others may
use the cores) and of the wall clock, beside that of the bare passes to themselves.
Memory beyond data and weights is read at growing numbers of rows.

    python benchmarks/bench_normgrad_speed.py
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from problems import CONV, TIMED, random_rows
from report import argument_parser, parse, write_results
from summaries import Found, show
from timing import added_mib, interleaved
from torch import nn

from sklearn_difficulty import TrainingRecord
from sklearn_difficulty.inference.blocks import rows_per_block
from sklearn_difficulty.inference.locations import Sites, find_sites
from sklearn_difficulty.inference.saliency import SaliencyReader, location_maps, training_signals
from sklearn_difficulty.rows.rows import ArrayRows

try:
    from captum.attr import LayerGradCam, LayerGradientXActivation
except ImportError:
    LayerGradCam = None

N, N_ORDER_1, BLOCK = 600, 64, 512
MEMORY = (400, 1_200, 4_800)


class Case:
    """A network, its record, rows, and what reads them."""

    def __init__(self, n: int, device: str) -> None:
        make, shape = TIMED[CONV]
        torch.manual_seed(0)
        self.module = make().eval().to(device)
        self.X, self.y = random_rows(n, shape)
        self.rows = ArrayRows(self.X)
        self.record = TrainingRecord.from_checkpoints(
            self.module,
            [self.module.state_dict()],
            classes=range(10),
            criterion=nn.CrossEntropyLoss(),
        )
        self.sites: Sites = find_sites(self.record, self.rows, "auto", variant="conv1x1")
        size = rows_per_block(self.rows, BLOCK, torch.device(device))
        self.blocks = [
            (torch.from_numpy(self.X[i : i + size]), torch.from_numpy(self.y[i : i + size]))
            for i in range(0, n, size)
        ]

    def reader(self, step: float | None = None) -> SaliencyReader:
        return SaliencyReader(self.record, self.record.checkpoints, self.sites, step=step)

    def signals(self, step: float | None = None) -> object:
        return training_signals(self.reader(step), self.rows, self.y, batch_size=BLOCK)

    def maps(self) -> object:
        return location_maps(
            self.reader(), self.rows, self.y, lambda maps, _: maps, batch_size=BLOCK
        )

    def bare(self) -> None:
        """Pass forward, and back to the first of the layers; no weight has a gradient."""
        first = int(self.sites.sites[0].module) + 1
        for x, labels in self.blocks:
            with torch.no_grad():
                kept = self.module[:first](x)
            kept.requires_grad_()
            self.module.requires_grad_(False)
            loss = nn.functional.cross_entropy(self.module[first:](kept), labels, reduction="sum")
            torch.autograd.grad(loss, kept)
        self.module.requires_grad_(True)

    def training_pass(self) -> None:
        """Pass forward and back to all weights."""
        weights = list(self.module.parameters())
        for x, labels in self.blocks:
            loss = nn.functional.cross_entropy(self.module(x), labels, reduction="sum")
            torch.autograd.grad(loss, weights)

    def grad_cam(self) -> None:
        """Let captum explain one layer after the other."""
        for site in self.sites.sites:
            explain = LayerGradCam(self.module, self.module.get_submodule(site.module))
            for x, labels in self.blocks:
                explain.attribute(x, target=labels)

    def products(self) -> None:
        """Let captum give activations times gradients of all layers."""
        layers = [self.module.get_submodule(site.module) for site in self.sites.sites]
        explain = LayerGradientXActivation(self.module, layers)
        for x, labels in self.blocks:
            explain.attribute(x, target=labels)


def peaks(step: float | None, device: str) -> Found:
    """Return what reading adds to the peak memory of this process, in MiB, by number of rows."""
    Case(MEMORY[0], device).signals(step)
    cases = {str(n): Case(n, device) for n in MEMORY}
    return {n: added_mib(partial(case.signals, step), device) for n, case in cases.items()}


def main() -> None:
    parser = argument_parser(__doc__, name="normgrad_speed_{device}", rounds=9)
    args = parse(parser)
    case, small = Case(N, args.device), Case(N_ORDER_1, args.device)
    works: dict[str, Callable[[], object]] = {
        "bare": case.bare,
        "order 0": case.signals,
        "order 0, maps": case.maps,
        "training pass": case.training_pass,
        "bare again": case.bare,
    }
    if LayerGradCam is not None:
        works |= {"captum, Grad-CAM": case.grad_cam, "captum, products": case.products}
    wall, seconds = interleaved(works, args.rounds, there_and_back=True)
    steps = {"order 0": small.signals, "order 1": partial(small.signals, 1e-3)}
    _, step = interleaved(steps, min(5, args.rounds), there_and_back=True)
    result: Found = {
        "n": N,
        "layers": case.sites.names,
        "over bare": {work: seconds.ratio(work, "bare") for work in works if work != "bare"},
        "over order 0": {work: seconds.ratio(work, "order 0") for work in works},
        "order 1 over order 0": step.ratio("order 1", "order 0"),
        "target": 1.3,
        "meets_target": bool(seconds.ratio("order 0", "bare") <= 1.3),
        "over bare, wall clock": {work: wall.ratio(work, "bare") for work in works},
        "processor seconds": seconds.medians(),
        "load": float(np.median(wall.loads)),
        "peak_mib": {"order 0": peaks(None, args.device)},
    }
    show(CONV, result)
    write_results(args, {CONV: result}, rounds=args.rounds)


if __name__ == "__main__":
    main()
