# SPDX-License-Identifier: BSD-3-Clause
"""The paper's networks on all of Fashion-MNIST, trained as in its Table 1, beside its Table 2.

ResNet18, VGG16 and the MLP of Baldock, Maennel and Neyshabur (arXiv:2106.09647, appendix A): SGD
with momentum, batches of 256, no weight decay, no augmentation, the learning rate divided by five
after each listed number of steps. Then the prediction depth of training and held-out rows.

    python benchmarks/bench_prediction_depth_paper.py --device cuda
    python benchmarks/bench_prediction_depth_paper.py --quick    # a smoke run, writes nothing
"""

import time

import numpy as np
import torch
from _common import argument_parser, gather, prepare, write_results
from skorch import NeuralNetClassifier
from skorch.callbacks import LRScheduler
from torch import nn

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
    module, rate, momentum, steps, _ = SETTINGS[name]
    steps = [max(1, round(args.share * s)) for s in steps]
    size = {"n_inputs": X[0].size} if module is MLP else {"n_channels": 1}
    if module is MLP:
        X, X_test = X.reshape(len(X), -1), X_test.reshape(len(X_test), -1)
    spread = {"mean": np.full(X.shape[1], X.mean()), "scale": np.full(X.shape[1], X.std())}
    net = NeuralNetClassifier(
        module,
        **{f"module__{key}": value for key, value in {**size, **spread, "n_outputs": 10}.items()},
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.SGD,
        optimizer__momentum=momentum,
        lr=rate,
        batch_size=BATCH,
        max_epochs=-(-sum(steps) // -(-len(X) // BATCH)),
        iterator_train__shuffle=True,
        train_split=None,
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
    start = time.perf_counter()
    record = TrainingRecord.from_fit(net, X, y, checkpoints="late", random_state=seed)
    trained = time.perf_counter()
    scorer = PredictionDepthScorer(record).fit(X, y)
    fitted = time.perf_counter()
    held_out = scorer.score_samples(X_test)
    return {
        "held-out accuracy": float((record.net.predict(X_test) == y_test).mean()),
        "training depth": float(np.nanmean(scorer.difficulty_)),
        "held-out depth": float(np.nanmean(held_out)),
        "held-out undefined": float(np.isnan(held_out).mean()),
        "probes": scorer.max_depth_ + 1,
        "seconds training": trained - start,
        "seconds depth of training rows": fitted - trained,
    }


def main():
    parser = argument_parser(__doc__, n_seeds=1)
    parser.add_argument("--rows", type=int, default=60_000, help="training rows")
    parser.add_argument("--share", type=float, default=1.0, help="of the paper's steps")
    parser.add_argument("--quick", action="store_true", help="few rows and steps, no file")
    args = parser.parse_args()
    if args.quick:
        args.rows, args.share = 300, 0.0005
    if args.device == "cpu" and args.share == 1:
        print("left out: on a CPU this takes days; pass --device cuda, --quick or a --share of it")
        return
    prepare(args)
    train, test = load_fashion_mnist("train"), load_fashion_mnist("test")
    n_test = 200 if args.quick else len(test.data)
    X, X_test = (
        part.data[:n].astype(np.float32).reshape(-1, 1, 28, 28)
        for part, n in ((train, args.rows), (test, n_test))
    )
    y, y_test = train.target[: args.rows], test.target[:n_test]
    found = {}
    for name, (*_, accuracy) in SETTINGS.items():
        runs = [run(name, args, X, y, X_test, y_test, s) for s in range(args.seeds)]
        found[name] = gather(runs) | {"accuracy in the paper": accuracy}
        shown = {key: round(value["mean"].item(), 3) for key, value in gather(runs).items()}
        print(name, f"(paper: accuracy {accuracy})", shown, flush=True)
    if not args.quick:
        write_results(
            args.name or "prediction_depth_paper",
            {"settings": vars(args), "results": found},
            device=args.device,
        )


if __name__ == "__main__":
    main()
