# SPDX-License-Identifier: BSD-3-Clause
"""The paper's networks on all of Fashion-MNIST, trained as in its Table 1, beside its Table 2.

ResNet18, VGG16 and the MLP of Baldock, Maennel and Neyshabur (arXiv:2106.09647, appendix A): SGD
with momentum, batches of 256, no weight decay, no augmentation, the learning rate divided by five
after each listed number of steps. Then the prediction depth of training and held-out rows.

    python benchmarks/bench_prediction_depth_paper.py --device cuda
    python benchmarks/bench_prediction_depth_paper.py --quick    # a smoke run
"""

from functools import partial

import numpy as np
import torch
from problems import net
from report import argument_parser, parse, run_cells
from skorch.callbacks import LRScheduler
from summaries import share
from timing import Stopwatch

from sklearn_difficulty import PredictionDepthScorer, TrainingRecord
from sklearn_difficulty.datasets import load_fashion_mnist
from sklearn_difficulty.training import MLP, VGG16, ResNet18

BATCH = 256
# Table 1, Fashion MNIST: learning rate, momentum, steps at each rate; Table 2: final accuracy.
SETTINGS = {
    "ResNet18": (ResNet18, 0.01, 0.95, (4000, 3000), 0.93),
    "VGG16": (VGG16, 0.01, 0.95, (3000, 6000, 1000), 0.93),
    "MLP": (MLP, 0.04, 0.5, (10000, 2500), 0.90),
}


def run(name, args, X, y, X_test, y_test, seed):
    module, rate, momentum, steps, accuracy = SETTINGS[name]
    steps = [max(1, round(args.share * s)) for s in steps]
    size = {"n_inputs": X[0].size} if module is MLP else {"n_channels": 1}
    if module is MLP:
        X, X_test = X.reshape(len(X), -1), X_test.reshape(len(X_test), -1)
    spread = {"mean": np.full(X.shape[1], X.mean()), "scale": np.full(X.shape[1], X.std())}
    untrained = net(
        module,
        **{f"module__{key}": value for key, value in {**size, **spread, "n_outputs": 10}.items()},
        optimizer=torch.optim.SGD,
        optimizer__momentum=momentum,
        lr=rate,
        batch_size=BATCH,
        max_epochs=-(-sum(steps) // -(-len(X) // BATCH)),
        device=args.device,
        callbacks=[
            LRScheduler(
                torch.optim.lr_scheduler.MultiStepLR,
                milestones=np.cumsum(steps)[:-1].tolist(),
                gamma=0.2,
                step_every="batch",
            )
        ],
    )
    watch = Stopwatch()
    record = TrainingRecord.from_fit(untrained, X, y, checkpoints="late", random_state=seed)
    seconds_training = watch.lap()
    scorer = PredictionDepthScorer(record).fit(X, y)
    seconds_depth = watch.lap()
    held_out = scorer.score_samples(X_test)
    return {
        "accuracy in the paper": accuracy,
        "held-out accuracy": share(record.net.predict(X_test) == y_test),
        "training depth": float(np.nanmean(scorer.difficulty_)),
        "held-out depth": float(np.nanmean(held_out)),
        "held-out undefined": share(np.isnan(held_out)),
        "probes": scorer.max_depth_ + 1,
        "seconds training": seconds_training,
        "seconds depth of training rows": seconds_depth,
    }


def main():
    numbers = {"rows": (60_000, "training rows"), "share": (1.0, "of the paper's steps")}
    args = parse(argument_parser(__doc__, name="prediction_depth_paper", quick=True, **numbers))
    if args.quick:
        args.rows, args.share = 300, 0.0005
    if args.device == "cpu" and args.share == 1:
        print("left out: on a CPU this takes days; pass --device cuda, --quick or a --share of it")
        return
    train, test = load_fashion_mnist("train"), load_fashion_mnist("test")
    n_test = 200 if args.quick else len(test.data)
    data = (
        train.data[: args.rows],
        train.target[: args.rows],
        test.data[:n_test],
        test.target[:n_test],
    )
    cells = {
        name: [partial(run, name, args, *data, seed) for seed in range(args.seeds)]
        for name in SETTINGS
    }
    run_cells(args, cells, vars(args))


if __name__ == "__main__":
    main()
