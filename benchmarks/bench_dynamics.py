# SPDX-License-Identifier: BSD-3-Clause
"""What recording a training costs, and what reading its dynamics costs.

- Recording: a skorch fit with `RecordTraining` beside the same fit without trajectories (the same
  checkpoints kept, but the sampler is not followed and no output collected), beside the same fit
  without a recorder, and with ``mode="evaluation"``. Each round runs without, recorded, without, no
  recorder, evaluation; the table shows medians of ratios over the rounds and, as a yardstick for
  the noise of the machine, that of without/without.
- Collector: `TrajectoryRecorder` alone (five numbers a row) on given logits, one epoch, beside
  `AUMCalculator.update` of the package aum (one number a row), if it is installed. The margins must
  agree.
- Scorer: `TrainingDynamicsScorer.fit` on a finished record, every measure, and the exponent with
  which the time of all of them grows in n.
- GraNd: one checkpoint read by "grand" and "grand_all" beside one epoch of training on as many
  rows.

    python benchmarks/bench_dynamics.py            # on the CPU (5 minutes)
    python benchmarks/bench_dynamics.py --quick    # small, writes nothing
    python benchmarks/bench_dynamics.py --device cuda
"""

import tempfile
import time
from functools import partial
from statistics import median

import numpy as np
import torch
from _common import argument_parser, conv, mlp, prepare, write_results
from skorch import NeuralNetClassifier
from torch import nn

from sklearn_difficulty import TrainingDynamicsScorer, TrainingRecord
from sklearn_difficulty.training import RecordTraining, TrajectoryRecorder

try:
    from aum import AUMCalculator
except ImportError:
    AUMCalculator = None

BATCH = 128
OF_TRAJECTORIES = (
    *("confidence", "aum", "loss", "el2n", "entropy", "variability", "aleatoric", "correctness"),
    *("forgetting", "iteration_learned", "iteration_settled", "final_loss"),
)


# maker, shape of a row, rows, epochs, rows for GraNd
NETWORKS = {
    "mlp 784-256-10": (mlp, (784,), 20_000, 2, 4_000),
    "conv 32-64": (conv, (1, 28, 28), 4_000, 1, 1_000),
}
TARGET = 1.10


class CheckpointsOnly(RecordTraining):
    """Keeps the checkpoints; asks for no row ids and collects no outputs."""

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        super().on_train_begin(net, X, y, **kwargs)
        self.row_ids_.detach(net)

    def on_batch_end(self, net, **kwargs):
        pass


def data(n, shape):
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, *shape), dtype=np.float32), rng.integers(10, size=n)


def network(make, epochs, device, recorder=None):
    torch.manual_seed(0)
    return NeuralNetClassifier(
        make(),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.SGD,
        lr=0.01,
        batch_size=BATCH,
        max_epochs=epochs,
        iterator_train__shuffle=True,
        train_split=None,
        callbacks=[] if recorder is None else [recorder],
        device=device,
        verbose=0,
    )


def seconds(work):
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def interleaved(works, order, rounds):
    """Return the seconds of every work in every round, in the order of `order`."""
    return np.array([[seconds(works[name]) for name in order] for _ in range(rounds)])


def recording(name, args):
    make, shape, n, epochs, _ = NETWORKS[name]
    n = n // 10 if args.quick else n
    X, y = data(n, shape)
    recorders = {
        "no recorder": lambda: None,
        "without": lambda: CheckpointsOnly("late"),
        "recorded": lambda: RecordTraining("late"),
        "evaluation": lambda: RecordTraining("late", mode="evaluation"),
    }

    def fit(kind):
        recorder = recorders[kind]()
        network(make, epochs, args.device, recorder).fit(X, y)
        return recorder

    assert fit("without").trajectory_ is None
    fit("no recorder")
    for kind in ("recorded", "evaluation"):
        trajectory = fit(kind).trajectory_
        assert trajectory.count.shape == (epochs, n)
        assert (trajectory.count == 1).all()
    order = ("without", "recorded", "without", "no recorder", "evaluation")
    works = {kind: lambda kind=kind: fit(kind) for kind in recorders}
    times = interleaved(works, order, args.rounds)
    ratio = median(times[:, 1] / times[:, 0])
    return {
        "n": n,
        "epochs": epochs,
        "recorded_over_without": ratio,
        "without_over_without": median(times[:, 2] / times[:, 0]),
        "target": TARGET,
        "meets_target": bool(ratio <= TARGET),
        "recorded_over_no_recorder": median(times[:, 1] / times[:, 3]),
        "evaluation_over_without": median(times[:, 4] / times[:, 0]),
        "seconds": {kind: median(times[:, order.index(kind)]) for kind in works},
        "ratios_per_round": times[:, 1] / times[:, 0],
    }


def collector(args):
    n, n_classes = 5_000 if args.quick else 50_000, 10
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(n, n_classes, generator=generator).to(args.device)
    labels = torch.randint(n_classes, (n,), generator=generator).to(args.device)
    order = torch.randperm(n, generator=generator)
    batches = [
        (ids, ids.tolist(), logits[ids], labels[ids])  # as each of the two wants them
        for ids in order.split(BATCH)
    ]
    last = {}

    def ours():
        last["ours"] = recorder = TrajectoryRecorder(n)
        for ids, _, outputs, given in batches:
            recorder.update(ids, outputs, given)
        recorder.end_epoch()

    def theirs():
        last["aum"] = calculator = AUMCalculator(tempfile.gettempdir())  # writes in finalize only
        for _, ids, outputs, given in batches:
            calculator.update(outputs, given, ids)

    if AUMCalculator is None:
        times = interleaved({"ours": ours}, ("ours", "ours"), args.rounds)
        found = {"seconds": {"ours": median(times[:, 0])}}
    else:
        times = interleaved({"ours": ours, "aum": theirs}, ("ours", "aum", "ours"), args.rounds)
        margins = [last["aum"].sums[row] / last["aum"].counts[row] for row in range(n)]
        difference = np.abs(last["ours"].trajectory().margin[0] - margins).max()
        assert difference < 1e-5, difference
        found = {
            "seconds": {"ours": median(times[:, 0]), "aum": median(times[:, 1])},
            "aum_over_ours": median(times[:, 1] / times[:, 0]),
            "largest_difference_of_margins": difference,
        }
    again = median(times[:, -1] / times[:, 0])
    return {"n": n, "classes": n_classes, "batch": BATCH, "ours_over_ours": again, **found}


def finished_record(n, n_epochs, n_classes=10):
    """Return the labels and the record of a training that was only made up."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(n_classes, (n,), generator=generator)
    recorder = TrajectoryRecorder(n, keep_logits=True)
    for epoch in range(n_epochs):
        logits = torch.randn(n, n_classes, generator=generator)
        logits[torch.arange(n), labels] += 0.2 * epoch
        recorder.update(torch.arange(n), logits, labels)
        recorder.end_epoch()
    return labels.numpy(), TrainingRecord.from_trajectory(recorder.trajectory())


def scorer(args):
    sizes = (500, 1_000, 2_000) if args.quick else (5_000, 10_000, 20_000, 40_000)
    n_epochs = 20
    table = {measure: [] for measure in OF_TRAJECTORIES}
    for n in sizes:
        X, _ = data(n, (784,))
        y, record = finished_record(n, n_epochs)
        for measure, column in table.items():
            fit = partial(TrainingDynamicsScorer(record, measure=measure).fit, X, y)
            column.append(median(seconds(fit) for _ in range(3)))
    total = np.sum(list(table.values()), axis=0)
    return {
        "n": sizes,
        "epochs": n_epochs,
        "seconds": table,
        "seconds of all": total,
        "exponent": np.polyfit(np.log(sizes), np.log(total), 1)[0],
    }


def grand(name, args):
    make, shape, _, _, n = NETWORKS[name]
    n = n // 5 if args.quick else n
    X, y = data(n, shape)
    net = network(make, 1, args.device).initialize()
    record = TrainingRecord.from_fit(
        network(make, 1, args.device), X, y, checkpoints=1, random_state=0
    )
    works = {
        "epoch": lambda: net.partial_fit(X, y),
        **{
            measure: lambda m=measure: TrainingDynamicsScorer(record, measure=m, checkpoints=1).fit(
                X, y
            )
            for measure in ("grand", "grand_all")
        },
    }
    for work in works.values():
        work()  # what is set up once
    quick = interleaved(works, ("epoch", "grand", "epoch"), args.rounds)
    slow = interleaved(works, ("epoch", "grand_all"), min(3, args.rounds))
    return {
        "n": n,
        "grand_over_epoch": median(quick[:, 1] / quick[:, 0]),
        "grand_all_over_epoch": median(slow[:, 1] / slow[:, 0]),
        "epoch_over_epoch": median(quick[:, 2] / quick[:, 0]),
        "seconds": {
            "epoch": median(quick[:, 0]),
            "grand": median(quick[:, 1]),
            "grand_all": median(slow[:, 1]),
        },
    }


def main():
    parser = argument_parser(__doc__, n_seeds=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="small sizes; writes nothing")
    args = parser.parse_args()
    prepare(args)
    if args.quick:
        args.rounds = min(args.rounds, 2)
    results = {"recording": {}, "grand": {}}

    def keep():
        # After every part: a run that is cut short keeps what it has measured.
        if not args.quick:
            name = args.name or f"dynamics_speed_{args.device}"
            write_results(name, {"rounds": args.rounds, "results": results}, device=args.device)

    print(
        f"{'network':16}{'recorded/without':>18}{'without/without':>17}{'target':>8}"
        f"{'recorded/no recorder':>22}{'evaluation/without':>20}"
    )
    for name in NETWORKS:
        results["recording"][name] = found = recording(name, args)
        print(
            f"{name:16}{found['recorded_over_without']:18.3f}"
            f"{found['without_over_without']:17.3f}{found['target']:8.2f}"
            f"{found['recorded_over_no_recorder']:22.3f}{found['evaluation_over_without']:20.3f}",
            flush=True,
        )
        keep()
    results["collector"] = found = collector(args)
    print(f"\ncollector, one epoch of {found['n']:,} rows: {found}", flush=True)
    keep()
    results["scorer"] = found = scorer(args)
    print(f"\nfit on a record of {found['epochs']} epochs, seconds at n = {found['n']}:")
    for measure, column in found["seconds"].items():
        print(f"{measure:20}" + "".join(f"{value:9.4f}" for value in column))
    print(f"time of all grows with n to the power of {found['exponent']:.2f}", flush=True)
    keep()
    print(f"\n{'network':16}{'grand/epoch':>12}{'grand_all/epoch':>17}{'epoch/epoch':>13}")
    for name in NETWORKS:
        results["grand"][name] = found = grand(name, args)
        print(
            f"{name:16}{found['grand_over_epoch']:12.2f}{found['grand_all_over_epoch']:17.2f}"
            f"{found['epoch_over_epoch']:13.2f}",
            flush=True,
        )
        keep()


if __name__ == "__main__":
    main()
