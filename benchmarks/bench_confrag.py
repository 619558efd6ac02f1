# SPDX-License-Identifier: BSD-3-Clause
"""ConFrag on open data: does what the paper says of its parts hold for the balanced diamonds.

After C. D. Kim et al., "Sample Selection via Contrastive Fragmentation for Noisy Label Regression",
NeurIPS 2024 (arXiv:2502.17771), whose tables are of photographs, clothes and songs; no single
number of them can be compared, the directions can. Diamonds-B: 12,276 rows (`target_problems`),
8,593 of them for training. Experts and regressor are the paper's tabular residual network, of width
64 and 128 in place of 256 and 467, trained for 20 epochs by Adam with a cosine schedule; four
fragments, three neighbours, a jitter of 5 %.

Arms, of which each selects rows for every epoch: ConFrag as it is; one view; rows drawn in both
views; a fragment's own agreement alone, or that of the fragments beside it alone; no jitter; the
jitter of the released code, which pairs rows with the fragments of others (rows sorted by their
target, as the authors' are, and in random order); other pairs of fragments: mixed, (1, 4) and
(2, 3), and adjacent, (1, 2) and (3, 4). Beside them all rows ("none"), the right ones ("oracle"),
and Co-ConFrag, which is told the rate.

What is said: ERR and selection rate of the last epoch and on average over the epochs; how well 1
less the selection probability finds what was changed, and follows the size of the error; MRAE of
the regressor on test rows with right targets. Last, the mean prediction depth of the experts' task
for every pair of fragments.

Run: ``python benchmarks/bench_confrag.py`` (about 15 minutes of one idle core); what is in the
results already is not run again.
"""

import json
from typing import Any

import numpy as np
import torch
from report import RESULTS, argument_parser, parse, seconds_so_far, write_results
from scipy.stats import spearmanr
from skorch import NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import LRScheduler
from summaries import Array, Found, detection
from target_problems import Problem, problem
from torch import nn

from sklearn_difficulty import PredictionDepthScorer
from sklearn_difficulty.curation._experts import VIEWS, Fragments, train_experts
from sklearn_difficulty.curation.confrag_regressor import co_teaching_schedule
from sklearn_difficulty.inference.predictions import predicted_values
from sklearn_difficulty.measures import (
    error_residual_ratio,
    mean_relative_absolute_error,
    neighborhood_agreement,
    selection_probability,
    selection_rate,
)
from sklearn_difficulty.rows.rows import as_rows
from sklearn_difficulty.training.default import center_and_scale
from sklearn_difficulty.training.derived import teaching_net
from sklearn_difficulty.training.epoch_rows import train_on_epochs

EPOCHS, FRAGMENTS, NEIGHBORS, JITTER = 20, 4, 3, 0.05
WIDTHS = {"expert": 64, "regressor": 128}
PAIRINGS = {
    "contrastive": [(0, 2), (1, 3)],
    "mixed": [(0, 3), (1, 2)],
    "adjacent": [(0, 1), (2, 3)],
}
MAIN = "symmetric 40 %"
NOISE = (MAIN, "symmetric 20 %", "symmetric 60 %", "symmetric 80 %", "gaussian 30", "gaussian 50")
RATES = {"gaussian 30": 0.2, "gaussian 50": 0.35}  # that Co-ConFrag is told, about those measured
DEPTH_NEIGHBORS = 30


class TabularResNet(nn.Module):
    """Two residual blocks, and a linear layer whose output is what neighbours are looked for in."""

    def __init__(self, n_inputs: int, n_outputs: int, width: int):
        super().__init__()
        self.stem = nn.Linear(n_inputs, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm1d(width),
                nn.Linear(width, 2 * width),
                nn.ReLU(),
                nn.Dropout(0.5),
                nn.Linear(2 * width, width),
                nn.Dropout(0.05),
            )
            for _ in range(2)
        )
        self.feature = nn.Sequential(
            nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width), nn.BatchNorm1d(width)
        )
        self.activation = nn.ReLU()
        self.head = nn.Linear(width, n_outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        return self.head(self.activation(self.feature(x)))


def net(kind: str, n_inputs: int) -> Any:
    """Return an expert or a regressor."""
    is_expert = kind == "expert"
    schedule = LRScheduler(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=EPOCHS)
    return (NeuralNetClassifier if is_expert else NeuralNetRegressor)(
        TabularResNet,
        module__n_inputs=n_inputs,
        module__n_outputs=2 if is_expert else 1,
        module__width=WIDTHS[kind],
        criterion=nn.CrossEntropyLoss if is_expert else nn.MSELoss,
        optimizer=torch.optim.Adam,
        lr=1e-3,
        batch_size=256,
        max_epochs=EPOCHS,
        iterator_train__shuffle=True,
        train_split=None,
        callbacks=[("schedule", schedule)],
        verbose=0,
    )


class Cell:
    """A problem, what experts of several kinds say of it, and how a regressor does on some rows."""

    def __init__(self, noise: str, seed: int, args: Any):
        self.noise, self.seed, self.args = noise, seed, args
        self.problem: Problem = problem("diamonds", noise, seed, args)
        self.rows = as_rows(self.problem.X.astype(np.float32))
        self.error = np.abs(self.problem.given - self.problem.true)
        self._votes: dict[tuple[str, str], Any] = {}

    def votes(self, pairing: str, jitter: str) -> Any:
        """Return what experts agree to, (n_epochs, n_views, n_rows, n_fragments), and the prior."""
        if (pairing, jitter) not in self._votes:
            self._votes[pairing, jitter] = self._trained(pairing, jitter)
        return self._votes[pairing, jitter]

    def _trained(self, pairing: str, jitter: str) -> Any:
        share = 0.0 if jitter == "none" else JITTER
        fragments = Fragments.of(
            self.problem.given, FRAGMENTS, "length", share, EPOCHS, seed=self.seed
        )
        if jitter.startswith("misaligned"):
            order = np.arange(len(self.error))
            if jitter == "misaligned":
                order = np.argsort(self.problem.true, kind="stable")
            for window in fragments.windows:
                kept = window[order][window[order] >= 0]
                window[order] = np.append(kept, np.full(len(window) - len(kept), -1))
        votes = train_experts(
            net("expert", self.problem.X.shape[1]),
            self.rows,
            self.rows,
            fragments,
            np.array(PAIRINGS[pairing]),
            views=VIEWS,
            n_neighbors=NEIGHBORS,
            seed=self.seed,
            verbose=0,
        )
        return votes.agrees, fragments.prior()

    def selection(
        self,
        pairing: str = "contrastive",
        jitter: str = "aligned",
        agreement: str = "both",
        views: tuple[int, ...] = (0, 1),
        in_all: bool = False,
    ) -> tuple[Array, Array]:
        """Return the rows of every epoch, and the probability with which each was drawn."""
        agrees, prior = self.votes(pairing, jitter)
        generator = np.random.default_rng(self.seed)
        selected, probabilities = [], []
        for epoch in agrees[:, list(views)]:
            p = np.array([selection_probability(prior, agreed(own, agreement)) for own in epoch])
            drawn = p > generator.random(p.shape)
            selected.append(drawn.all(axis=0) if in_all else drawn.any(axis=0))
            probabilities.append(p.prod(axis=0) if in_all else 1 - (1 - p).prod(axis=0))
        return np.array(selected), np.array(probabilities)

    def judged(self, selected: Array, probabilities: Array) -> Found:
        """Return how clean a selection is, and how well its probability finds what was changed."""
        given, true, wrong = self.problem.given, self.problem.true, self.problem.wrong
        err = [error_residual_ratio(given, true, rows) for rows in selected if rows.any()]
        doubt = 1 - probabilities.mean(axis=0)
        return {
            "err": err[-1],
            "err, all epochs": float(np.mean(err)),
            "rate": selection_rate(selected[-1]),
            "rate, all epochs": float(selected.mean()),
            **detection(wrong, doubt),
            "ap, last epoch": detection(wrong, 1 - probabilities[-1])["ap"],
            "spearman": float(spearmanr(doubt, self.error).statistic),
        }

    def predictions(self, targets: Array, selected: Array, co_teaching: Any = None) -> Array:
        """Return what a regressor, trained on some rows, predicts of the test rows."""
        center, scale = center_and_scale(targets)
        regressor, before_epoch = net("regressor", self.problem.X.shape[1]), None
        if co_teaching is not None:
            regressor, before_epoch = (
                teaching_net(regressor),
                co_teaching_schedule(co_teaching, EPOCHS),
            )
        record = train_on_epochs(
            regressor,
            self.rows,
            ((targets - center) / scale).astype(np.float32),
            None,
            selected,
            random_state=self.seed,
            verbose=0,
            before_epoch=before_epoch,
        )
        test = as_rows(self.problem.X_out.astype(np.float32))
        return predicted_values(record, test, batch_size=512)[:, 0] * scale + center

    def mrae(self, selected: Array, co_teaching: Any = None) -> float:
        """Return by how much the error exceeds that of a training on right targets."""
        return mean_relative_absolute_error(
            self.problem.y_out,
            self.predictions(self.problem.given, selected, co_teaching),
            self.on_right_targets(),
        )

    def on_right_targets(self) -> Array:
        """Return the predictions of a training on the right targets of all rows."""
        key = self.seed, self.args.rows
        if key not in _RIGHT:
            everything = np.ones((EPOCHS, len(self.error)), dtype=bool)
            _RIGHT[key] = self.predictions(self.problem.true, everything)
        return _RIGHT[key]


_RIGHT: dict[Any, Array] = {}


def agreed(own: Array, agreement: str) -> Array:
    """Return where fragments agree, by their own expert, by those beside them, or by both."""
    if agreement == "own":
        return own
    if agreement == "beside":
        # What is beside agrees with a fragment that agrees with everything.
        beside = np.zeros_like(own)
        for f in range(own.shape[1]):
            probe = own.copy()
            probe[:, f] = True
            beside[:, f] = neighborhood_agreement(probe)[:, f]
        return beside
    return neighborhood_agreement(own)


SELECTIONS: dict[str, Found] = {
    "ConFrag": {},
    "prediction view": {"views": (0,)},
    "representation view": {"views": (1,)},
    "drawn in both views": {"in_all": True},
    "own agreement": {"agreement": "own"},
    "agreement beside": {"agreement": "beside"},
    "no jitter": {"jitter": "none"},
    "misaligned jitter": {"jitter": "misaligned"},
    "misaligned, random order": {"jitter": "misaligned, random"},
    "mixed pairs": {"pairing": "mixed"},
    "adjacent pairs": {"pairing": "adjacent"},
}
ELSEWHERE = ("ConFrag", "prediction view", "representation view", "no jitter")  # than at 40 %
ONLY_SELECTED = {"mixed pairs", "adjacent pairs"}  # there: no regressor


def arm(name: str, cell: Cell, with_regressor: bool) -> Found:
    """Return the numbers of one arm."""
    everything = np.ones((EPOCHS, len(cell.error)), dtype=bool)
    if name == "none":
        return {"mrae": cell.mrae(everything)}
    if name == "oracle":
        rows = everything & ~cell.problem.wrong
        found = {"err": error_residual_ratio(cell.problem.given, cell.problem.true, rows[-1])}
        return found | {"rate": selection_rate(rows[-1]), "mrae": cell.mrae(rows)}
    if name == "Co-ConFrag":
        percent = RATES.get(cell.noise) or float(cell.noise.split()[1]) / 100
        return {"mrae": cell.mrae(cell.selection()[0], percent)}
    selected, probabilities = cell.selection(**SELECTIONS[name])
    found = cell.judged(selected, probabilities)
    return found | ({"mrae": cell.mrae(selected)} if with_regressor else {})


def depths(noise: str, seed: int, args: Any) -> Found:
    """Return the mean prediction depth of telling two fragments apart, for every pair of them."""
    data = problem("diamonds", noise, seed, args)
    fragment = Fragments.of(data.given, FRAGMENTS, "length", 0.0, 1, seed=seed).fragment
    found = {}
    for a in range(FRAGMENTS):
        for b in range(a + 1, FRAGMENTS):
            rows = np.isin(fragment, (a, b))
            scorer = PredictionDepthScorer(
                net("expert", data.X.shape[1]), n_neighbors=DEPTH_NEIGHBORS, random_state=seed
            )
            scorer.fit(data.X[rows].astype(np.float32), fragment[rows] == b)
            depth = scorer.difficulty_
            found[f"{a + 1}, {b + 1}"] = {
                "mean": float(np.nanmean(depth)),
                "at the input": float(np.nanmean(depth == 0)),
            }
    return found


def known(args: Any) -> Found:
    """Return the results that there are."""
    file = RESULTS / f"{args.name}.json"
    is_there = args.name is not None and file.exists()
    return json.loads(file.read_text())["results"] if is_there else {}


def keep(args: Any, place: list[str], found: Found) -> None:
    """Write what was found, beside all that there is by now."""
    settings = {"widths": WIDTHS, "epochs": EPOCHS, "fragments": FRAGMENTS, "jitter": JITTER}
    inner = results = known(args)  # another run may have written in the meantime
    for part in place[:-1]:
        inner = inner.setdefault(part, {})
    inner[place[-1]] = found
    print(place, found, flush=True)
    write_results(args, results, settings=settings | {"rows": args.rows or 12_276})


def run_cell(noise: str, seed: int, args: Any) -> None:
    """Run the arms of a cell that are not in the results."""
    names = ["none", "oracle", "ConFrag", "Co-ConFrag", *list(SELECTIONS)[1:]]
    if noise != MAIN:
        names = ["none", "oracle", "Co-ConFrag", *ELSEWHERE, *sorted(ONLY_SELECTED)]
    done = known(args).get(noise, {}).get(f"seed {seed}", {})
    missing = [name for name in names if name not in done]
    cell = Cell(noise, seed, args) if missing else None
    for name in missing:
        with_regressor = noise == MAIN or name not in ONLY_SELECTED
        keep(args, [noise, f"seed {seed}", name], arm(name, cell, with_regressor))


def main() -> None:
    parser = argument_parser(
        __doc__, name="confrag", seeds=3, rows=(0, "of the diamonds; 0: all"), diamonds=""
    )
    parser.add_argument("--noise", default=";".join((*NOISE, "depth")), help="what is run")
    args = parse(parser)
    args.diamonds = args.diamonds or None
    for noise in args.noise.split(";"):
        for seed in range(args.seeds if noise in (MAIN, "depth") else 1):
            if noise == "depth":
                for planted in ("none", MAIN):
                    if f"seed {seed}" not in known(args).get("depth", {}).get(planted, {}):
                        keep(args, ["depth", planted, f"seed {seed}"], depths(planted, seed, args))
            else:
                run_cell(noise, seed, args)
    print(f"{seconds_so_far()} s")


if __name__ == "__main__":
    main()
