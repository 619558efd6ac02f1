# SPDX-License-Identifier: BSD-3-Clause
"""What a single training tells of the noise: which held-out view makes a probability of its order.

Cells are those of `bench_label_errors`: data, noise, regime, seed; of Fashion-MNIST half the rows,
so half the steps. In each of them one network is trained on all rows, and
`estimate_label_noise` reads

- what it says of its own rows: the mean over its epochs, and the votes of the nearest other rows in
  its layers;
- views that are held out, as far as they are: the votes of the nearest other rows in the input,
  which no training has moved; logistic regressions on its last hidden layer, by 5-fold
  cross-validation; and another training in which every row is left out of one epoch in five, in
  turn, and is asked at the end of these.

"one_fit" and "neighbors" are what `LabelErrorScorer` makes of it: the neighbours in the input in
the order of the training. "five networks" is its default. `told` is the share of the cells in which
it has a cut; the rest is a mean over these.

To see where neighbours in the input are no use, 1,500 columns of noise are put beside the 64 of
digits.

Run: ``python benchmarks/bench_single_training.py`` (about an hour on one core). Every cell is
written when it ends, to results/single_training_cells, and is not computed again.
"""

import json
import os
from itertools import product
from typing import Any

import numpy as np
import torch
from bench_label_errors import FITS, NOISE, cut
from problems import REGIMES, in_regime, mlp_net, split, with_noise
from report import RESULTS, argument_parser, parse, plain, seconds_so_far, write_results
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from summaries import Array, Found, calibration_error, detection, nan_mean, share

from sklearn_difficulty import LabelErrorScorer, TrainingRecord
from sklearn_difficulty.inference.probing import VotesReadout
from sklearn_difficulty.rows.rows import as_rows

SEEDS = {"digits": 2, "breast_cancer": 2, "fashion_mnist": 1, "digits + 1500": 1}
ROWS = {"digits": 1_400, "breast_cancer": 400, "fashion_mnist": 3_000, "digits + 1500": 1_400}
LEFT_OUT_EVERY = 5


def problem(data: str, seed: int) -> tuple[Array, Array]:
    """Return rows and right labels, with columns of noise where the name says so."""
    name, _, extra = data.partition(" + ")
    X, y, _, _ = split(name, ROWS[data], 10, seed)
    noise = np.random.RandomState(seed).standard_normal((len(X), int(extra or 0)))
    return np.hstack([X, noise.astype(np.float32)]), y


def told(scorer: LabelErrorScorer, wrong: Array) -> Found:
    """Return what a fitted scorer says, NaN where it says nothing of the noise."""
    found: Found = {**detection(wrong, scorer.difficulty_), "told": hasattr(scorer, "cuts_")}
    if not found["told"]:
        return found
    low, high = scorer.noise_rate_interval_
    return {
        **found,
        **cut(scorer.error_probability_ > 0.5, wrong),
        "rate": scorer.noise_rate_,
        "inside": float(low <= wrong.mean() <= high),
        "width": high - low,
        "calibration error": calibration_error(wrong, scorer.error_probability_),
    }


def last_layer(record: TrainingRecord, X: Array, given: Array) -> Array:
    """Return held-out probabilities of logistic regressions on the last hidden layer."""
    readout, rows = VotesReadout(), as_rows(X)
    probe = readout.last_hidden(record, rows)
    [embedding] = readout.reader(record).embed(rows, [probe], batch_size=512)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=100))
    return cross_val_predict(model, embedding.numpy(), given, cv=5, method="predict_proba")


def input_votes(record: TrainingRecord, X: Array, given: Array) -> Array:
    """Return the votes of the nearest other rows in the input."""
    readout, rows = VotesReadout(), as_rows(X)
    every = np.ones(len(given), dtype=bool)
    bank = readout.bank(record, rows, given, every, probes=readout.find(record, rows)[:1])
    return readout.votes(bank, None)


def left_out_in_turn(net: Any, X: Array, given: Array, seed: int) -> Array:
    """Return the mean over the epochs of which a row is left out; one in five, another each."""
    torch.manual_seed(seed)
    net.initialize()
    module, optimizer = net.module_, net.optimizer_
    n_epochs, rng = net.max_epochs, np.random.RandomState(seed)
    slows = [c for _, c in net.callbacks_ if hasattr(c, "policy")]
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_epochs, net.lr / 100)
    rows, labels = torch.from_numpy(X), torch.from_numpy(given)
    total, place = 0.0, rng.permutation(len(X))
    for epoch in range(n_epochs):
        is_out = place % LEFT_OUT_EVERY == epoch % LEFT_OUT_EVERY
        kept = rng.permutation(np.flatnonzero(~is_out))
        for start in range(0, len(kept), net.batch_size):
            batch = torch.from_numpy(kept[start : start + net.batch_size])
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(module(rows[batch]), labels[batch]).backward()
            optimizer.step()
        if slows:
            rates.step()
        with torch.no_grad():
            total = total + module(rows).softmax(dim=1).numpy() * is_out[:, None]
    return total / total.sum(axis=1, keepdims=True)


def one_cell(data: str, noise: str, regime: str, seed: int) -> Found:
    """Return every number of one cell."""
    X, y = problem(data, seed)
    given, wrong = with_noise(y, noise, seed, X)
    fit = in_regime(regime, FITS[data.partition(" + ")[0], regime])
    net = mlp_net(X.shape[1], (256, 128), len(np.unique(y)), **fit)
    record = TrainingRecord.from_fit(
        net, X, given, checkpoints=1, keep_logits=True, random_state=seed
    )
    scorers = {
        "five networks": LabelErrorScorer(net, random_state=seed).fit(X, given),
        **{m: LabelErrorScorer(record, method=m).fit(X, given) for m in ("one_fit", "neighbors")},
    }
    views = {
        "epochs": scorers["one_fit"].probabilities_,
        "votes in the layers": scorers["neighbors"].probabilities_,
        "votes in the input": input_votes(record, X, given),
        "regressions, last layer": last_layer(record, X, given),
        "left out in turn": left_out_in_turn(net, X, given, seed),
    }
    for name, q in views.items():
        scorers[name] = LabelErrorScorer("precomputed").fit(q, given)
    return {
        "wrong": share(wrong),
        "train accuracy": share(record.net.predict(X) == given),
        "found": {name: told(scorer, wrong) for name, scorer in scorers.items()},
    }


def over_cells(cells: list[Found]) -> Found:
    """Return the means over some cells of what every way has found."""
    found: Found = {}
    for name in dict.fromkeys(name for cell in cells for name in cell["found"]):
        runs = [cell["found"][name] for cell in cells if name in cell["found"]]
        keys = dict.fromkeys(key for run in runs for key in run)
        numbers = [[np.nan if run.get(k) is None else run[k] for k in keys] for run in runs]
        found[name] = dict(zip(keys, nan_mean(np.array(numbers, dtype=float)), strict=True))
    return {"cells": len(cells), **found}


def main() -> None:
    parser = argument_parser(__doc__, name="single_training", seeds=max(SEEDS.values()))
    parser.add_argument("--data", nargs="+", choices=SEEDS, default=list(SEEDS))
    parser.add_argument("--noise", nargs="+", choices=NOISE, default=NOISE)
    parser.add_argument("--summary", action="store_true", help="only gather the finished cells")
    args = parse(parser)
    folder = RESULTS / f"{args.name}_cells"
    folder.mkdir(parents=True, exist_ok=True)
    cells: dict[tuple[str, str, str, int], Found] = {}
    for seed, data, regime, noise in product(range(args.seeds), args.data, REGIMES, args.noise):
        if seed >= SEEDS[data]:
            continue
        file = folder / f"{data}, {noise}, {regime}, {seed}.json".replace(" ", "_")
        if not file.exists() and not args.summary:
            unfinished = file.with_suffix(".part")
            unfinished.write_text(json.dumps(plain(one_cell(data, noise, regime, seed))))
            os.replace(unfinished, file)
            print(f"{file.stem}: {seconds_so_far()} s", flush=True)
        if file.exists():
            cells[data, noise, regime, seed] = json.loads(file.read_text())
    results: Found = {}
    for data, regime in product(args.data, REGIMES):
        for noise in NOISE:
            some = [cells[key] for key in cells if key[:3] == (data, noise, regime)]
            if some:
                results[f"{data}, {noise}, {regime}"] = over_cells(some)
    plain_data = [data for data in args.data if "+" not in data]
    for noise, regime in product((*NOISE, "wrong labels"), REGIMES):
        # Every data set counts as much as another.
        some = [
            results[name]
            for data, n in product(plain_data, NOISE)
            if n == noise or (noise == "wrong labels" and n != "none")
            if (name := f"{data}, {n}, {regime}") in results
        ]
        if some:
            means = [{"found": {k: v for k, v in s.items() if k != "cells"}} for s in some]
            results[f"all, {noise}, {regime}"] = over_cells(means)
    write_results(args, results, settings={"seeds": SEEDS, "rows": ROWS})


if __name__ == "__main__":
    main()
