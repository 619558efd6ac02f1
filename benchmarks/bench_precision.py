# SPDX-License-Identifier: BSD-3-Clause
"""Precision and compilation: what half precision, or torch.compile, makes of the reading.

Default networks are trained on Fashion-MNIST in single precision. Test rows with their labels are
then read by the same scorers with the same weights while the networks' `forward` autocasts; ranks
are compared with those of single precision, and times in turns; float16, which is slow on a CPU, is
timed once. Compiled are the two passes of which all readings consist, with weights put in as the
readings do: forward, and back to the input.
"""

import resource
import time
import warnings
from functools import partial

import numpy as np
import torch
from problems import images, with_noise
from report import argument_parser, parse, results_so_far, write_results
from scipy.stats import spearmanr
from summaries import show
from timing import interleaved, timed
from torch.func import functional_call

from sklearn_difficulty import (
    LabelErrorScorer,
    MarginScorer,
    NormGradScorer,
    PredictionDepthScorer,
    TrainingDynamicsScorer,
    TrainingRecord,
    VoGScorer,
)
from sklearn_difficulty.training import MLP, ConvNet, default_network

SHARE, TOP = 0.1, 0.1  # of flipped labels among the rows trained on; of the rows, the hardest
PRECISIONS = {"single": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
AGAIN = "single again"
SCORERS = {
    "dynamics, loss": lambda record: TrainingDynamicsScorer(record, measure="loss"),
    "dynamics, aum": lambda record: TrainingDynamicsScorer(record, measure="aum"),
    "VoG, logit": VoGScorer,
    "VoG, loss": lambda record: VoGScorer(record, target="loss"),
    "NormGrad": NormGradScorer,
    "input margin": lambda record: MarginScorer(record, kind="input"),
    "GraNd, last layer": lambda record: TrainingDynamicsScorer(record, measure="grand"),
    "depth": lambda record: PredictionDepthScorer(record, pool=4),
}
BLOCKS = {"MLP": 512, "conv": 176}  # rows, as the readings take them


class Autocasting:
    """Runs a forward pass in another precision, if one is set, but not in a training."""

    dtype = None

    def forward(self, x):
        is_on = Autocasting.dtype is not None and not self.training
        with torch.autocast(x.device.type, Autocasting.dtype or torch.bfloat16, enabled=is_on):
            return super().forward(x)


class AutocastingMLP(Autocasting, MLP):
    pass


class AutocastingConvNet(Autocasting, ConvNet):
    pass


def in_precision(name, work):
    """Return what a work returns while networks compute in a precision."""
    Autocasting.dtype = PRECISIONS["single" if name == AGAIN else name]
    try:
        return work()
    finally:
        Autocasting.dtype = None


def agreement(scores, reference):
    """Return how well two rankings agree, by all rows and by the hardest ones."""
    n = round(TOP * len(scores))
    hardest = [set(np.argsort(-s, kind="stable")[:n].tolist()) for s in (scores, reference)]
    return {
        "spearman": float(spearmanr(scores, reference, nan_policy="omit").statistic),
        "hardest shared": len(hardest[0] & hardest[1]) / n,
        "n_undefined": int(np.isnan(scores).sum()),
    }


def precisions(scorer, X, y, n_rounds):
    """Return the agreement with single precision, and the time in its terms."""
    found = {}
    scores = {}

    def read(name):
        scores[name] = in_precision(name, lambda: scorer.score_samples(X, y))

    works = {name: lambda name=name: read(name) for name in ("single", "bfloat16", AGAIN)}
    read("single")  # what is made once is made
    _, processor = interleaved(works, n_rounds, there_and_back=True)
    seconds = processor.median("single")
    ratios = {name: processor.ratio(name, "single") for name in works}
    ratios["float16"] = timed(lambda: read("float16"))[1] / seconds
    for name, ratio in ratios.items():
        found[name] = {"over single": ratio, **agreement(scores[name], scores["single"])}
    return found | {"rows": len(X), "seconds, single": seconds}


def spent():
    """Return the processor seconds of this process and of those that it has waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def compiled(module, X, n_rounds):
    """Return what compiling the two passes takes, and how long they take then."""
    module = module.eval()
    state = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
    block = torch.from_numpy(X)

    def outputs_of(state, x):
        return functional_call(module, state, (x,))

    found = {}
    for name, with_gradient in {"forward": False, "input gradient": True}.items():

        def run(function, with_gradient=with_gradient):
            x = block.clone().requires_grad_(with_gradient)
            with torch.set_grad_enabled(with_gradient):
                outputs = function(state, x)
                return torch.autograd.grad(outputs.sum(), x)[0] if with_gradient else outputs

        torch._dynamo.reset()
        # All of it, by processes that are counted.
        torch._inductor.config.force_disable_caches = True
        torch._inductor.config.compile_threads = 1
        quick = torch.compile(outputs_of)
        start = spent()
        run(quick)
        first = spent() - start
        assert torch.allclose(run(quick), run(outputs_of), rtol=1e-3, atol=1e-5)
        functions = {"eager": outputs_of, "eager again": outputs_of, "compiled": quick}
        works = {key: partial(run, function) for key, function in functions.items()}
        _, processor = interleaved(works, n_rounds, there_and_back=True)
        saved = (processor.median("eager") - processor.median("compiled")) / len(X)
        found[name] = {
            "rows of a block": len(X),
            "compile seconds": first,
            "compiled over eager": processor.ratio("compiled", "eager"),
            "eager over eager": processor.ratio("eager again", "eager"),
            "microseconds of a row, eager": 1e6 * processor.median("eager") / len(X),
            "passes of rows that pay for it": first / saved if saved > 0 else None,
        }
    return found


def main():
    parser = argument_parser(
        __doc__, name="precision_{device}", quick=True, rows=6_000, read=2_000, epochs=10, rounds=3
    )
    args = parse(parser)
    warnings.filterwarnings("ignore", message=".*pool=")
    if args.quick:
        args.rows, args.read, args.epochs = 400, 200, 3
    settings = {"rows": args.rows, "rows_read": args.read, "epochs": args.epochs}
    settings |= {"threads": args.threads, "capability": torch.backends.cpu.get_cpu_capability()}
    results = results_so_far(args)
    state = np.random.RandomState(0)
    X, y = images("train", args.rows, state)
    X_new, y_new = images("test", args.read, state)
    y, _ = with_noise(y, f"symmetric {100 * SHARE:.0f} %", 0)
    y_new, _ = with_noise(y_new, f"symmetric {100 * SHARE:.0f} %", 1)
    flat, flat_new = X.reshape(len(X), -1), X_new.reshape(len(X_new), -1)
    few = X_new[: args.read // 4]  # in float16 a row takes a core 12 to 25 milliseconds
    networks = {"MLP": (AutocastingMLP, flat, flat_new), "conv": (AutocastingConvNet, X, few)}
    for kind, (cls, rows, new) in networks.items():
        net = default_network(rows, y).set_params(module=cls, max_epochs=args.epochs)
        record = TrainingRecord.from_fit(net, rows, y, checkpoints=10, random_state=0)
        members = LabelErrorScorer(net.set_params(max_epochs=3), n_neighbors=None, random_state=0)
        scorers = {name: make(record) for name, make in SCORERS.items()}
        found = results.setdefault(kind, {})
        if "compiled" not in found:
            found["compiled"] = compiled(record.module, new[: BLOCKS[kind]], 7 * args.rounds)
            show(f"{kind}, compiled", found["compiled"])
            write_results(args, results, settings=settings)
        cells = found.setdefault("precision", {})
        for name, scorer in (scorers | {"label errors": members}).items():
            if name not in cells:
                scorer.fit(rows, y)
                cells[name] = precisions(scorer, new, y_new[: len(new)], args.rounds)
                show(f"{kind}, {name}", cells[name])
                write_results(args, results, settings=settings)


if __name__ == "__main__":
    main()
