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
    python benchmarks/bench_dynamics.py --quick    # small, writes only with --name
    python benchmarks/bench_dynamics.py --device cuda
"""

import tempfile
from functools import partial

import numpy as np
import torch
from problems import CONV, MLP_784, TIMED, net, random_rows
from report import argument_parser, parse, write_results
from summaries import show
from timing import SLOW_ROUNDS, exponent, interleaved

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


# rows, epochs, rows for GraNd
SIZES = {MLP_784: (20_000, 2, 4_000), CONV: (4_000, 1, 1_000)}
TARGET = 1.10


class CheckpointsOnly(RecordTraining):
    """Keeps the checkpoints; asks for no row ids and collects no outputs."""

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        super().on_train_begin(net, X, y, **kwargs)
        self.row_ids_.detach(net)

    def on_batch_end(self, net, **kwargs):
        pass


def network(name, epochs, device, recorder=None):
    make, _ = TIMED[name]
    torch.manual_seed(0)
    return net(
        make(),
        optimizer=torch.optim.SGD,
        lr=0.01,
        batch_size=BATCH,
        max_epochs=epochs,
        callbacks=[] if recorder is None else [recorder],
        device=device,
    )


def recording(name, args):
    n, epochs, _ = SIZES[name]
    n = n // 10 if args.quick else n
    X, y = random_rows(n, TIMED[name][1])
    recorders = {
        "without": lambda: CheckpointsOnly("late"),
        "recorded": lambda: RecordTraining("late"),
        "without again": lambda: CheckpointsOnly("late"),
        "no recorder": lambda: None,
        "evaluation": lambda: RecordTraining("late", mode="evaluation"),
    }

    def fit(kind):
        recorder = recorders[kind]()
        network(name, epochs, args.device, recorder).fit(X, y)
        return recorder

    assert fit("without").trajectory_ is None
    fit("no recorder")
    for kind in ("recorded", "evaluation"):
        trajectory = fit(kind).trajectory_
        assert trajectory.count.shape == (epochs, n)
        assert (trajectory.count == 1).all()
    times, _ = interleaved({kind: partial(fit, kind) for kind in recorders}, args.rounds)
    ratio = times.ratio("recorded", "without")
    return {
        "n": n,
        "epochs": epochs,
        "recorded_over_without": ratio,
        "without_over_without": times.ratio("without again", "without"),
        "target": TARGET,
        "meets_target": bool(ratio <= TARGET),
        "recorded_over_no_recorder": times.ratio("recorded", "no recorder"),
        "evaluation_over_without": times.ratio("evaluation", "without"),
        "seconds": times.medians(),
        "ratios_per_round": times.ratios("recorded", "without"),
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

    works = {"ours": ours} | ({} if AUMCalculator is None else {"aum": theirs})
    times, _ = interleaved(works | {"ours again": ours}, args.rounds)
    found = {
        "n": n,
        "classes": n_classes,
        "batch": BATCH,
        "ours_over_ours": times.ratio("ours again", "ours"),
        "seconds": {work: times.median(work) for work in works},
    }
    if AUMCalculator is not None:
        margins = [last["aum"].sums[row] / last["aum"].counts[row] for row in range(n)]
        difference = np.abs(last["ours"].trajectory().margin[0] - margins).max()
        assert difference < 1e-5, difference
        found["aum_over_ours"] = times.ratio("aum", "ours")
        found["largest_difference_of_margins"] = difference
    return found


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
        X, _ = random_rows(n, (784,))
        y, record = finished_record(n, n_epochs)
        for measure, column in table.items():
            fit = partial(TrainingDynamicsScorer(record, measure=measure).fit, X, y)
            column.append(interleaved({measure: fit}, 3)[0].median(measure))
    total = np.sum(list(table.values()), axis=0)
    return {
        "n": sizes,
        "epochs": n_epochs,
        "seconds": table,
        "seconds of all": total,
        "exponent": exponent(sizes, total),
    }


def grand(name, args):
    n = SIZES[name][2] // (5 if args.quick else 1)
    X, y = random_rows(n, TIMED[name][1])
    trained = network(name, 1, args.device).initialize()
    record = TrainingRecord.from_fit(
        network(name, 1, args.device), X, y, checkpoints=1, random_state=0
    )
    works = {"epoch": partial(trained.partial_fit, X, y)}
    for measure in ("grand", "grand_all"):
        one = TrainingDynamicsScorer(record, measure=measure, checkpoints=1)
        works[measure] = partial(one.fit, X, y)
    for work in works.values():
        work()  # what is set up once
    slow, _ = interleaved(
        {work: works[work] for work in ("epoch", "grand_all")}, min(SLOW_ROUNDS, args.rounds)
    )
    del works["grand_all"]
    quick, _ = interleaved(works | {"epoch again": works["epoch"]}, args.rounds)
    return {
        "n": n,
        "grand_over_epoch": quick.ratio("grand", "epoch"),
        "grand_all_over_epoch": slow.ratio("grand_all", "epoch"),
        "epoch_over_epoch": quick.ratio("epoch again", "epoch"),
        "seconds": slow.medians() | quick.medians(),
    }


def main():
    args = parse(argument_parser(__doc__, name="dynamics_speed_{device}", rounds=9, quick=True))
    results = {"recording": {}, "grand": {}}

    def keep(part, of_part, name, found):
        of_part[name] = found
        show(f"{part}, {name}", found)
        write_results(args, results, rounds=args.rounds)

    for name in SIZES:
        keep("recording", results["recording"], name, recording(name, args))
    keep("one epoch", results, "collector", collector(args))
    keep("all measures", results, "scorer", scorer(args))
    for name in SIZES:
        keep("GraNd", results["grand"], name, grand(name, args))


if __name__ == "__main__":
    main()
