# SPDX-License-Identifier: BSD-3-Clause
"""60,000 images with the user's own network and augmentation: what every score costs and finds.

Fashion-MNIST with a fifth of the labels flipped. A network of two convolutions is trained for five
epochs on images that are shifted and mirrored at random, once; that record is saved, and every
score reads it in a process of its own. Processor seconds on one thread, and the peak memory of the
whole process. A finished part is kept: the script goes on where it was stopped.
"""

import json
import warnings
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from problems import images, with_noise
from report import RESULTS, argument_parser, parse, write_results
from skorch import NeuralNetClassifier
from summaries import detection, share, show
from timing import in_fresh_process, reset_peak, resident_mib, timed
from torch import nn
from torch.utils.data import Dataset

from sklearn_difficulty import (
    LabelErrorScorer,
    NeighborConfidenceScorer,
    NormGradScorer,
    PredictionDepthScorer,
    TrainingDynamicsScorer,
    TrainingRecord,
    VoGScorer,
)

EPOCHS, FLIPPED = 5, 0.2
RECORD = "the record"
FIVE = "LabelErrorScorer"
READINGS = {
    "TrainingDynamicsScorer": partial(TrainingDynamicsScorer, measure="loss"),
    "LabelErrorScorer, one_fit": partial(LabelErrorScorer, method="one_fit"),
    "LabelErrorScorer, neighbors, pool=7": partial(LabelErrorScorer, method="neighbors", pool=7),
    "VoGScorer": partial(VoGScorer, target="loss", checkpoints="all"),
    "NormGradScorer": NormGradScorer,
    "PredictionDepthScorer, pool=4": partial(PredictionDepthScorer, pool=4),
    "PredictionDepthScorer, pool=4, max_bank=10,000": partial(
        PredictionDepthScorer, pool=4, max_bank=10_000
    ),
    "PredictionDepthScorer, max_bank=10,000": partial(PredictionDepthScorer, max_bank=10_000),
    "NeighborConfidenceScorer, pool=4": partial(NeighborConfidenceScorer, pool=4),
    "NeighborConfidenceScorer, max_bank=10,000": partial(NeighborConfidenceScorer, max_bank=10_000),
}
TRAININGS = {f"{FIVE}, pool=7": partial(LabelErrorScorer, pool=7), FIVE: LabelErrorScorer}
LAST = {"PredictionDepthScorer": PredictionDepthScorer}  # grows with the square of the rows


# What a user writes -------------------------------------------------------------------------------


class Clothing(Dataset):
    """Images, shifted by up to two pixels and mirrored at random if asked for, and their labels."""

    def __init__(self, pictures, labels, augment):
        self.pictures, self.labels, self.augment = torch.from_numpy(pictures), labels, augment

    def __len__(self):
        return len(self.pictures)

    def __getitem__(self, i):
        picture = self.pictures[i]
        if self.augment:
            top, left = torch.randint(0, 5, (2,)).tolist()
            picture = nn.functional.pad(picture, (2, 2, 2, 2))[:, top : top + 28, left : left + 28]
            if torch.rand(()) < 0.5:
                picture = picture.flip(-1)
        return picture, self.labels[i]


class SmallCNN(nn.Sequential):
    """Two convolutions, of 32 and 64 channels, and a linear layer."""

    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(64 * 7 * 7, 10),
        )


def network(device):
    """Return the untrained net."""
    return NeuralNetClassifier(
        SmallCNN,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=1e-3,
        max_epochs=EPOCHS,
        batch_size=128,
        iterator_train__shuffle=True,
        train_split=None,
        device=device,
        verbose=0,
    )


# Measured -----------------------------------------------------------------------------------------


def measure(name, n, folder, device):
    """Return what one part takes and finds, in a process that does nothing else."""
    warnings.simplefilter("ignore")
    pictures, y = images("train", int(n), np.random.RandomState(0))
    y, wrong = with_noise(y, f"symmetric {100 * FLIPPED:.0f} %", 0)
    shown, augmented = (Clothing(pictures, y, augment) for augment in (False, True))
    net, found = network(device), {}

    def train():
        record = TrainingRecord.from_fit(
            net, augmented, checkpoints="all", keep_logits=True, random_state=0
        )
        record.save(folder)

    def fit():
        if name in TRAININGS:
            scorer = TRAININGS[name](net, random_state=0)
            found["scorer"] = scorer.fit(augmented, scoring_view=shown)
        else:
            scorer = (READINGS | LAST)[name](TrainingRecord.load(folder, SmallCNN()))
            found["scorer"] = scorer.fit(shown)

    before = reset_peak()
    wall, processor = timed(train if name == RECORD else fit)
    peak = resident_mib("VmHWM")
    costs = {"seconds": processor, "wall": wall, "peak_mib": peak, "before_mib": before}
    return costs if name == RECORD else costs | quality(found["scorer"], wrong)


def quality(scorer, wrong):
    """Return how well the difficulty orders wrong labels, and what is dropped."""
    difficulty = np.nan_to_num(scorer.difficulty_, nan=np.inf)
    difficulty[np.isinf(difficulty)] = scorer.difficulty_[~np.isnan(scorer.difficulty_)].max()
    hardest = np.argsort(-difficulty, kind="stable")[: wrong.sum()]
    found = {**detection(wrong, difficulty), "hardest": share(wrong, hardest)}
    if hasattr(scorer, "error_probability_"):
        dropped = scorer.error_probability_ > 0.5
        found["f1"] = 2 * float((dropped & wrong).sum() / (dropped.sum() + wrong.sum()))
    return found


def main():
    parser = argument_parser(__doc__, name="many_images_{device}", quick=True, rows=60_000)
    parser.add_argument("--record", type=Path, help="a folder in which the record is kept")
    parser.add_argument("--parts", nargs="+", help="only these, of the names in the results")
    args = parse(parser, measure)
    n = 600 if args.quick else args.rows
    path = RESULTS / f"{args.name}.json"
    results = json.loads(path.read_text())["results"] if args.name and path.exists() else {}
    with TemporaryDirectory() as directory:
        folder = args.record or Path(directory) / "record"
        for name in args.parts or [RECORD, *READINGS, *TRAININGS, *LAST]:
            if name in results and (name != RECORD or folder.exists()):
                continue
            results[name] = found = in_fresh_process(args, name, n, folder)
            show(name, found)
            settings = {"rows": n, "epochs": EPOCHS, "flipped": FLIPPED}
            write_results(args, results, settings=settings)


if __name__ == "__main__":
    main()
