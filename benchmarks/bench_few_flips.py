# SPDX-License-Identifier: BSD-3-Clause
"""Which score finds a few flipped labels: 1, 2, 5 and 10 % of Fashion-MNIST.

After Table 2 of D. Ravikumar et al., "Towards Memorization Estimation: Fast, Formal and Free", ICML
2025 (openreview.net/forum?id=KZlQEoEtiu): symmetric flips, networks that are trained on until they
know their labels, AUROC. There the data are CIFAR-10 and the network is a ResNet-18; here, for a
CPU, 4,000 images of Fashion-MNIST and an MLP 784-256-128-10 (40 epochs, Adam, cosine schedule;
accuracy on the given labels above 99 %, asserted). Of each rate and seed:

- from one training on all rows: the mean loss over epochs, which is the cumulative sample loss of
  the paper, and other training dynamics; the confidence in the end; the curvature of the loss
  around the row (I. Garg, D. Ravikumar, K. Roy, arXiv:2307.05831: the mean over checkpoints of the
  squared change of the input gradient along random directions); `LabelErrorScorer` of this
  training; `NeighborConfidenceScorer`;
- from five networks, each trained on four fifths: confident learning by cleanlab, as it is compared
  in the paper, where all rows that are not flagged score 0, and repaired, with these behind the
  flagged ones by self-confidence; self-confidence alone; `LabelErrorScorer` as it is by default.

Run: ``python benchmarks/bench_few_flips.py`` (about ten minutes on one core). What is trained is
kept in results/few_flips_cells, so that another run only reads it.
"""

import pickle
from typing import Any

import numpy as np
import torch
from bench_label_errors import of_cleanlab
from problems import MEMORISED, Batches, check_regime, in_regime, mlp_net, split, with_noise
from report import RESULTS, argument_parser, parse, seconds_so_far, write_results
from summaries import Array, Found, detection, gather, share, show
from trained_cells import write_at_once

from sklearn_difficulty import LabelErrorScorer, NeighborConfidenceScorer, TrainingDynamicsScorer
from sklearn_difficulty.training import ResampledEnsemble, TrainingRecord

PERCENT = (1, 2, 5, 10)
FIT = in_regime(MEMORISED, {"max_epochs": 40, "lr": 2e-3, "batch_size": 128})
HIDDEN = (256, 128)
MEMBERS = 5
DIRECTIONS = 5  # of the curvature, at each checkpoint
STEP = 1e-3
DYNAMICS = ("loss", "aum", "confidence", "forgetting", "iteration_learned", "final_loss")


def trained(X: Array, given: Array, seed: int) -> Found:
    """Return one training on all rows, and what five say of the rows that they held out."""
    fast = {"iterator_train": Batches, "iterator_valid": Batches, "optimizer__fused": True}
    record = TrainingRecord.from_fit(
        mlp_net(784, HIDDEN, **fast, **FIT), X, given, keep_logits=True, random_state=seed
    )
    ensemble = ResampledEnsemble(
        mlp_net(784, HIDDEN, **FIT),
        n_members=MEMBERS,
        train_size=1 - 1 / MEMBERS,
        stratify=True,
        keep_members=True,
        random_state=seed,
    ).fit(X, given)
    return {
        "record": record,
        "q": LabelErrorScorer(ensemble).fit(X, given).probabilities_,
        "q_last": ensemble.out_of_sample_probability("last"),
        "curvature": curvature(record, X, given, seed),
    }


def curvature(record: TrainingRecord, X: Array, given: Array, seed: int) -> Array:
    """Return the mean squared change of the input gradient, over checkpoints and directions.

    An estimate of the trace of the squared Hessian of the loss with respect to the input.
    """
    rng = torch.Generator().manual_seed(seed)
    inputs, labels = torch.from_numpy(X), torch.from_numpy(given)
    found = torch.zeros(len(X))
    module = record.module

    def gradient(at: torch.Tensor, state: Any) -> torch.Tensor:
        at = at.detach().requires_grad_()
        logits = torch.func.functional_call(module, state, at)
        loss = torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
        return torch.autograd.grad(loss, at)[0]

    for checkpoint in record.checkpoints:
        state = checkpoint.state_dict()
        base = gradient(inputs, state)
        for _ in range(DIRECTIONS):
            signs = 2.0 * torch.randint(0, 2, inputs.shape, generator=rng) - 1
            change = gradient(inputs + STEP * signs, state) - base
            found += (change / STEP).square().sum(dim=1)
    return (found / (DIRECTIONS * len(record.checkpoints))).numpy()


def one_run(percent: int, seed: int, args: Any) -> Found:
    """Return the numbers of one rate and seed."""
    X, y, _, _ = split("fashion_mnist", args.rows, 0, seed)
    given, wrong = with_noise(y, f"symmetric {percent} %", seed)
    kept = RESULTS / "few_flips_cells"
    kept.mkdir(parents=True, exist_ok=True)
    file = kept / f"{args.rows}_{percent}_{seed}.pickle"
    if not file.exists():
        write_at_once(file, pickle.dumps(trained(X, given, seed)))
    cell = pickle.loads(file.read_bytes())
    record = cell["record"]
    accuracy = share(record.net.predict(X) == given)
    check_regime(MEMORISED, accuracy, f"{percent} %, seed {seed}")

    scorers = {measure: TrainingDynamicsScorer(record, measure=measure) for measure in DYNAMICS} | {
        "neighbours": NeighborConfidenceScorer(record),
        "ours, one": LabelErrorScorer(record),
    }
    found = {
        name: detection(wrong, scorer.fit(X, given).difficulty_) for name, scorer in scorers.items()
    }
    ours = LabelErrorScorer("precomputed").fit(cell["q"], given)
    cleanlab, flagged = of_cleanlab(cell["q_last"], given, wrong)
    doubt = 1 - cell["q_last"][np.arange(len(given)), given]
    found |= {
        "curvature": detection(wrong, cell["curvature"]),
        "ours": detection(wrong, ours.difficulty_),
        "self-confidence": detection(wrong, doubt),
        "confident learning": detection(wrong, flagged * (1 + doubt)),
        "confident learning, repaired": detection(wrong, flagged + doubt),
    }
    return {
        "train accuracy": accuracy,
        "wrong": share(wrong),
        "F1 of the cut": {
            "ours": float(2 * (suspect := ours.error_probability_ > 0.5)[wrong].sum())
            / float(suspect.sum() + wrong.sum()),
            "cleanlab": cleanlab["f1"],
        },
        "found": found,
    }


def main() -> None:
    parser = argument_parser(__doc__, name="few_flips", seeds=3, rows=(4_000, "of Fashion-MNIST"))
    args = parse(parser)
    results: Found = {}
    for percent in PERCENT:
        runs = [one_run(percent, seed, args) for seed in range(args.seeds)]
        results[f"{percent} %"] = found = gather(runs)
        show(f"{percent} %: {seconds_so_far()} s", found)
        fit = {key: value for key, value in FIT.items() if key != "callbacks"}
        write_results(args, results, settings={"rows": args.rows, "fit": fit, "members": MEMBERS})


if __name__ == "__main__":
    main()
