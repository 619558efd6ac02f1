# SPDX-License-Identifier: BSD-3-Clause
"""What is trained in a cell of bench_label_errors.py, kept, so that a cell can be judged again.

No training depends on the model of the noise: the networks are trained on the labels as given, and
those that show what a filter gives are kept by the rows and labels that they were trained on.
"""

import hashlib
import json
import os
import pickle
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from problems import Batches, in_regime, mlp_net, split, with_noise
from report import RESULTS
from summaries import Array, share
from timing import Stopwatch

from sklearn_difficulty import LabelErrorScorer, TrainingRecord
from sklearn_difficulty.training import ResampledEnsemble

ROWS = {"digits": 1_400, "fashion_mnist": 6_000, "breast_cancer": 400, "letter": 10_000}
FITS: dict[tuple[str, str], dict[str, Any]] = {
    ("digits", "stopped early"): {"max_epochs": 10, "lr": 1e-3, "batch_size": 64},
    ("digits", "memorised"): {"max_epochs": 40, "lr": 5e-3, "batch_size": 64},
    ("fashion_mnist", "stopped early"): {"max_epochs": 6, "lr": 3e-4, "batch_size": 64},
    ("fashion_mnist", "memorised"): {"max_epochs": 40, "lr": 2e-3, "batch_size": 128},
    ("breast_cancer", "stopped early"): {"max_epochs": 10, "lr": 1e-3, "batch_size": 32},
    ("breast_cancer", "memorised"): {"max_epochs": 60, "lr": 5e-3, "batch_size": 32},
    ("letter", "stopped early"): {"max_epochs": 10, "lr": 2e-3, "batch_size": 128},
    ("letter", "memorised"): {"max_epochs": 40, "lr": 5e-3, "batch_size": 128},
}
MEMBERS = 5
DROPPED = -1


def kept_file(data: str, noise: str, regime: str, seed: int) -> Path:
    """Return where what is trained in a cell is kept."""
    name = f"{data}, {noise}, {regime}, {seed}".replace(" ", "_")
    return RESULTS / "label_errors_cells" / f"{name}.pickle"


class Cell:
    """Rows, labels, five networks and one more.

    Attributes are the rows `X` with true labels `y`, the `given` ones and which are `wrong`, the
    probabilities `q` of rows held out, `q_alone` without neighbours and `q_last` without epochs,
    the `record` of one training on all rows, its `aum`, and `facts`, numbers about the trainings.
    """

    def __init__(self, data: str, noise: str, regime: str, seed: int, args: Any):
        n = ROWS[data]
        self.X, self.y, *self.held_out = split(data, n, min(n, 4_000), seed, args.letter)
        self.given, self.wrong = with_noise(self.y, noise, seed, self.X)
        self.seed = seed
        fit = in_regime(regime, FITS[data, regime])
        self.net = mlp_net(self.X.shape[1], (256, 128), len(np.unique(self.y)), **fit)
        self.one_net = mlp_net(
            *(self.X.shape[1], (256, 128), len(np.unique(self.y))),
            **fit,
            optimizer__fused=True,
            iterator_train=Batches,
            iterator_valid=Batches,
        )
        file = kept_file(data, noise, regime, seed)
        self._accuracies = file.with_suffix(".json")
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            write_at_once(file, pickle.dumps(self._train()))
        for key, value in pickle.loads(file.read_bytes()).items():
            setattr(self, key, value)

    def _train(self) -> dict[str, Any]:
        """Return what six trainings leave."""
        X, given = self.X, self.given
        watch = Stopwatch()
        ensemble = ResampledEnsemble(
            self.net,
            n_members=MEMBERS,
            train_size=1 - 1 / MEMBERS,
            stratify=True,
            keep_members=True,
            random_state=self.seed,
        ).fit(X, given)
        seconds = {"five trainings": watch.lap()}
        q = LabelErrorScorer(ensemble).fit(X, given).probabilities_
        seconds["ours"] = watch.lap()
        record = TrainingRecord.from_fit(
            self.one_net, X, given, checkpoints=1, keep_logits=True, random_state=self.seed
        )
        seconds["one training"] = watch.lap()
        facts = {
            "rows": len(X),
            "wrong": share(self.wrong),
            "train accuracy": ensemble.train_accuracy_,
            "train accuracy, one training": share(record.net.predict(X) == given),
            "held-out accuracy of a member": share(
                ensemble.predictions_ == self.y, ~ensemble.masks_
            ),
            "seconds": seconds,
        }
        return {
            "q": q,
            "q_alone": LabelErrorScorer(ensemble, n_neighbors=None).fit(X, given).probabilities_,
            "q_last": ensemble.out_of_sample_probability("last"),
            "record": record,
            "aum": of_aum(record, given),
            "facts": facts,
        }

    def accuracy(self, labels: Array) -> float:
        """Return that on held-out rows with right labels, after training on these labels.

        Rows whose label is `DROPPED` are left out.
        """
        file = self._accuracies
        known = json.loads(file.read_text()) if file.exists() else {}
        key = hashlib.sha256(labels.astype(np.int64).tobytes()).hexdigest()[:16]
        if key not in known:
            rows, (X_out, y_out) = labels != DROPPED, self.held_out
            record = TrainingRecord.from_fit(
                self.one_net,
                self.X[rows],
                labels[rows],
                checkpoints=1,
                random_state=1_000 + self.seed,
            )
            found = share(record.classes_[record.net.predict(X_out)] == y_out)
            write_at_once(file, json.dumps(known | {key: found}).encode())
        return json.loads(file.read_text())[key]


def of_aum(record: TrainingRecord, given: Array) -> Array:
    """Return minus the area under the margin, by the package."""
    from aum import AUMCalculator

    calculator = AUMCalculator(tempfile.gettempdir())  # writes in finalize only
    ids = list(range(len(given)))
    for logits in record.trajectory.logits:
        calculator.update(torch.from_numpy(logits), torch.from_numpy(given), ids)
    return -np.array([calculator.sums[i] / calculator.counts[i] for i in ids])


def write_at_once(file: Path, content: bytes) -> None:
    """Write a file at once, so that a run that is cut short leaves none that is half written."""
    unfinished = file.with_suffix(".part")
    unfinished.write_bytes(content)
    os.replace(unfinished, file)
