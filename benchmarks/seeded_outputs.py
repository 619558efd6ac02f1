# SPDX-License-Identifier: BSD-3-Clause
"""Seeded outputs of every scorer on digits, to be compared bit for bit before and after a change.

    python benchmarks/seeded_outputs.py before.npz            # on the old code
    python benchmarks/seeded_outputs.py --against before.npz  # on the new code

Set PYTHONPATH to the checkout that is to be run. Numbers are equal on one machine with one torch
release; the file is not meant to be kept.
"""

import argparse
import pickle
import warnings
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_diabetes, load_digits
from sklearn.linear_model import LogisticRegression, Ridge
from skorch import NeuralNetClassifier, NeuralNetRegressor
from torch import nn

import sklearn_difficulty as sd
from sklearn_difficulty.datasets import make_label_noise
from sklearn_difficulty.metrics import detection_report
from sklearn_difficulty.model_selection import cross_val_difficulty
from sklearn_difficulty.training import MLP, ConvNet, ResampledEnsemble, default_network

N_ROWS = 400
_DYNAMICS = (
    *("confidence", "aum", "entropy", "forgetting", "el2n", "grand"),
    *("grand_all", "loss", "variability"),
)


def scorers(net: Any) -> dict[str, Any]:
    """Return every scorer in several settings, by name."""
    few, bank = {"n_members": 4, "random_state": 0}, {"max_bank": 200, "metric": "cosine"}
    placed = {"n_neighbors": 5, "validation_size": 0.25}
    return {
        "vog": sd.VoGScorer(net, random_state=0),
        "vog_loss": sd.VoGScorer(net, target="loss", formula="mean_std", random_state=0),
        "depth": sd.PredictionDepthScorer(net, n_neighbors=10, random_state=0),
        "depth_bank": sd.PredictionDepthScorer(net, n_neighbors=5, **bank, random_state=0),
        "neighbors": sd.NeighborConfidenceScorer(net, n_neighbors=10, random_state=0),
        "margin": sd.MarginScorer(net, random_state=0),
        "margin_input": sd.MarginScorer(net, kind="input", random_state=0),
        **{m: sd.TrainingDynamicsScorer(net, measure=m, random_state=0) for m in _DYNAMICS},
        "evaluated": sd.TrainingDynamicsScorer(net, mode="evaluation", random_state=0),
        "many": sd.DifficultyScorer(net, scores=["vog", "aum", "forgetting"], random_state=0),
        "consistency": sd.ConsistencyScorer(net, train_size=0.5, **few),
        "consistency_joblib": sd.ConsistencyScorer(net, backend="joblib", **few),
        "memorization": sd.MemorizationScorer(net, train_size=0.5, **few),
        "quadrants": sd.DifficultyQuadrantClassifier(net, **placed, **few),
        "label_error": sd.LabelErrorScorer(net, random_state=0),
        "one_fit": sd.LabelErrorScorer(net, method="one_fit", random_state=0),
        "label_neighbors": sd.LabelErrorScorer(net, method="neighbors", random_state=0),
    }


def outputs_of(scorer: Any, X: Any, y: Any) -> dict[str, Any]:
    """Return all fitted numbers of a scorer, and what it says about unseen rows."""
    scorer.fit(X, y)
    found = {
        name: np.asarray(value)
        for name, value in vars(scorer).items()
        if name.endswith("_") and isinstance(value, (np.ndarray, float, int, list))
        if np.asarray(value).dtype.kind in "biufU"
    }
    if hasattr(scorer, "score_samples"):
        found["score_samples_y"] = scorer.score_samples(X[:40], y[:40])
        found["transform"] = scorer.transform(X[:40], y[:40])
        if scorer.classes_ is not None:
            found["score_samples"] = scorer.score_samples(X[:40])
        again = pickle.loads(pickle.dumps(scorer))
        found["unpickled"] = again.score_samples(X[:40], y[:40])
    return found


def all_outputs() -> dict[str, Any]:
    """Return every number, by the names of scorer and attribute."""
    X, y = load_digits(return_X_y=True)
    X, y = X[:N_ROWS], np.array([f"digit {label}" for label in y[:N_ROWS]])
    y, is_flipped = make_label_noise(y, rate=0.1, random_state=0)
    net = default_network(X, y).set_params(max_epochs=6, module__hidden_units=(32, 16))
    images = X.reshape(-1, 1, 8, 8).astype(np.float32)
    settings = {"criterion": nn.CrossEntropyLoss, "iterator_train__shuffle": True, "lr": 0.05}
    channels = {"module__n_channels": 1, "module__n_outputs": 10}
    conv = NeuralNetClassifier(ConvNet, **channels, **settings, max_epochs=4, verbose=0)
    two = (y == "digit 0") | (y == "digit 1")
    small = {"module__n_outputs": 1, "module__hidden_units": (16,), "max_epochs": 5, "verbose": 0}
    binary = NeuralNetClassifier(MLP, criterion=nn.BCEWithLogitsLoss, module__n_inputs=64, **small)
    Xr, yr = load_diabetes(return_X_y=True)
    Xr = Xr.astype(np.float32)
    regressor = NeuralNetRegressor(MLP, module__n_inputs=10, lr=0.01, **small)
    problems = {
        "default": (None, X, y),
        "mlp": (net, X, y),
        "conv": (conv, images, y),
        "binary": (binary, X[two], y[two]),
    }
    found: dict[str, Any] = {}
    for problem, (given, rows, labels) in problems.items():
        for name, scorer in scorers(given).items():
            try:
                outputs = outputs_of(scorer, rows, labels)
            except ValueError as error:
                outputs = {"error": np.array(str(error))}
            found |= {f"{problem}.{name}.{key}": value for key, value in outputs.items()}
    for name in ("vog_loss", "loss", "grand"):
        outputs = outputs_of(scorers(regressor)[name], Xr, yr)
        found |= {f"regressor.{name}.{key}": value for key, value in outputs.items()}
    codes = np.unique(y, return_inverse=True)[1]
    tensors = (torch.from_numpy(array) for array in (X.astype(np.float32), codes))
    dataset = torch.utils.data.TensorDataset(*tensors)
    for name in ("vog", "depth", "aum", "label_error"):
        found[f"dataset.{name}"] = scorers(net)[name].fit(dataset).difficulty_
    ensemble = ResampledEnsemble(net, n_members=3, random_state=0, stack_size=2).fit(X, y)
    found["ensemble.given_probability"] = ensemble.given_probability_
    found["ensemble.masks"] = ensemble.masks_
    model, errors = LogisticRegression(max_iter=200), scorers(net)["label_error"]
    for action in ("drop", "relabel", "weight"):
        kept = sd.FilteredClassifier(model, scorer=errors, action=action).fit(X, y)
        found[f"filtered.{action}"] = kept.predict(X)
    by_loss = sd.FilteredRegressor(Ridge(), scorer=scorers(regressor)["loss"], drop=0.1)
    filtered = by_loss.fit(Xr, yr)
    found["filtered.regressor"] = filtered.predict(Xr)
    fold = cross_val_difficulty(scorers(net)["margin"], X, y, cv=3, random_state=0)
    found["cross_val"] = fold
    found["detection"] = np.array(list(map(float, detection_report(is_flipped, fold).values())))
    return found


def main() -> None:
    """Write the outputs, or compare them with a file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", nargs="?")
    parser.add_argument("--against")
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", UserWarning)
    found = all_outputs()
    print(f"{len(found)} arrays")
    if args.file:
        np.savez_compressed(args.file, **found)
    if args.against:
        before, found = dict(np.load(args.against)), {k: np.asarray(v) for k, v in found.items()}
        names = sorted(before.keys() | found.keys())
        both = before.keys() & found.keys()
        other = [name for name in names if name not in both or _differ(before[name], found[name])]
        for name in other:
            print("differs:", name)
        if other:
            raise SystemExit(f"{len(other)} of {len(names)} arrays differ")
        print("all are equal bit for bit")


def _differ(a: Any, b: Any) -> bool:
    """Tell whether two arrays differ in type, shape or values; NaN is equal to NaN."""
    return a.dtype != b.dtype or not np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")


if __name__ == "__main__":
    main()
